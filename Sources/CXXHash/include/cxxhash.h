// cxxhash.h - libxxhash compiled into its callers: header-only, so it inlines into Swift and needs no shared library.
#ifndef CXXHASH_H
#define CXXHASH_H

#define XXH_INLINE_ALL 1
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

/// XXH64 with seed 0: the hash of the on-disk ids (docs/format/encoding-primitives.md, 8).
static inline __attribute__((always_inline)) uint64_t cxx_xxh64(const void *bytes, size_t count) {
    return XXH64(bytes, count, 0);
}

/// XXH3 with a seed: the hash of in-memory tables; never stored.
static inline __attribute__((always_inline)) uint64_t cxx_xxh3(const void *bytes, size_t count, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, count, seed);
}

/// State of a streaming XXH64, for digests over many pieces. Made, fed, read and freed by one thread.
static inline void *cxx_xxh64_create(void) {
    XXH64_state_t *state = XXH64_createState();
    if (state) XXH64_reset(state, 0);
    return state;
}
static inline void cxx_xxh64_update(void *state, const void *bytes, size_t count) {
    XXH64_update((XXH64_state_t *)state, bytes, count);
}
static inline uint64_t cxx_xxh64_digest(const void *state) { return XXH64_digest((const XXH64_state_t *)state); }
static inline void cxx_xxh64_free(void *state) { XXH64_freeState((XXH64_state_t *)state); }

#endif
