// cintrinsics.h - the few instructions that Swift cannot say, as inline functions with a portable fallback.
#ifndef CINTRINSICS_H
#define CINTRINSICS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/// Asks for the cache line at `address`; never faults.
static inline __attribute__((always_inline)) void ci_prefetch(const void *address) {
    __builtin_prefetch(address, 0, 3);
}

/// Length of the longest common prefix of two byte strings, looking at no more than `count` bytes of either: the
/// portable form, eight bytes a step.
static inline size_t ci_common_prefix_portable(const uint8_t *a, const uint8_t *b, size_t count) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint64_t x, y;
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
            return i + (size_t)(__builtin_clzll(x ^ y) >> 3);
#else
            return i + (size_t)(__builtin_ctzll(x ^ y) >> 3);
#endif
        }
    }
    for (; i < count && a[i] == b[i]; i++) {}
    return i;
}

/// As ci_common_prefix_portable, sixteen bytes a step where the processor can.
static inline __attribute__((always_inline)) size_t ci_common_prefix(const uint8_t *a, const uint8_t *b, size_t count) {
#if defined(__SSE2__)
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(a + i));
        __m128i y = _mm_loadu_si128((const __m128i *)(b + i));
        unsigned different = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) ^ 0xFFFFu;
        if (different) return i + (size_t)__builtin_ctz(different);
    }
    if (count - i >= 8) {
        uint64_t x, y;
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y) return i + (size_t)(__builtin_ctzll(x ^ y) >> 3);
        i += 8;
    }
    for (; i < count && a[i] == b[i]; i++) {}
    return i;
#elif defined(__aarch64__)
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        uint8x16_t equal = vceqq_u8(vld1q_u8(a + i), vld1q_u8(b + i));
        uint64_t mask = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(equal), 4)), 0);
        if (mask != ~(uint64_t)0) return i + (size_t)(__builtin_ctzll(~mask) >> 2);
    }
    return i + ci_common_prefix_portable(a + i, b + i, count - i);
#else
    return ci_common_prefix_portable(a, b, count);
#endif
}

/// Two 128-bit sums of ci_nh.
typedef struct {
    uint64_t low1, high1, low2, high2;
} ci_nh_sums;

/// (a + key[0]) * (b + key[1]): sums modulo 2^64, the product in full.
static inline __attribute__((always_inline)) unsigned __int128 ci_nh_pair(uint64_t a, uint64_t b, const uint64_t *key) {
    return (unsigned __int128)(a + key[0]) * (b + key[1]);
}

/// NH of groups of three pairs of words and of their parities, of `pairs` times 16 bytes at `bytes` and, when `tail` is
/// not null, of the 16 bytes there (Fingerprint.swift says why). `key` has 8 words for each group, begun ones included.
static inline __attribute__((always_inline)) ci_nh_sums ci_nh(
    const uint8_t *bytes, size_t pairs, const uint8_t *tail, const uint64_t *key) {
    unsigned __int128 sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    uint64_t word[6];
    for (; pairs >= 3; pairs -= 3) {
        memcpy(word, bytes, 48);
        sum0 += ci_nh_pair(word[0], word[1], key);
        sum1 += ci_nh_pair(word[2], word[3], key + 2);
        sum2 += ci_nh_pair(word[4], word[5], key + 4);
        sum3 += ci_nh_pair(word[0] ^ word[2] ^ word[4], word[1] ^ word[3] ^ word[5], key + 6);
        bytes += 48;
        key += 8;
    }
    if (pairs > 0 || tail) {
        uint64_t a = 0, b = 0;
        if (pairs > 0) {
            memcpy(word, bytes, 16);
            sum0 += ci_nh_pair(word[0], word[1], key);
            a = word[0];
            b = word[1];
        }
        if (pairs > 1) {
            memcpy(word, bytes + 16, 16);
            sum1 += ci_nh_pair(word[0], word[1], key + 2);
            a ^= word[0];
            b ^= word[1];
        }
        if (tail) {
            memcpy(word, tail, 16);
            sum2 += ci_nh_pair(word[0], word[1], key + 4);
            a ^= word[0];
            b ^= word[1];
        }
        sum3 += ci_nh_pair(a, b, key + 6);
    }
    unsigned __int128 first = sum0 + sum1 + sum2 + sum3, second = sum1 + 2 * sum2 + 3 * sum3;
    ci_nh_sums sums = {(uint64_t)first, (uint64_t)(first >> 64), (uint64_t)second, (uint64_t)(second >> 64)};
    return sums;
}

/// The upper half of low * K1 + high * K2 + last * K3 + K4, modulo 2^128; K1...K4 are 128-bit numbers, of which `key` has
/// the lower halves, then the upper ones.
static inline __attribute__((always_inline)) uint64_t ci_multilinear(
    uint64_t low, uint64_t high, uint64_t last, const uint64_t *key) {
    unsigned __int128 sum = (unsigned __int128)low * key[0] + (unsigned __int128)key[3];
    sum += (unsigned __int128)high * key[1];
    sum += (unsigned __int128)last * key[2];
    return (uint64_t)(sum >> 64) + low * key[4] + high * key[5] + last * key[6] + key[7];
}

/// carry * key[0] + the 128-bit number in pieces of 60, 60 and 8 bits, times key[1], key[2] and key[3], modulo 2^61 - 1.
/// `carry` and the keys are below 2^61 - 1.
static inline __attribute__((always_inline)) uint64_t ci_fold61(
    uint64_t carry, uint64_t low, uint64_t high, const uint64_t *key) {
    const uint64_t piece = ((uint64_t)1 << 60) - 1, prime = ((uint64_t)1 << 61) - 1;
    unsigned __int128 sum = (unsigned __int128)carry * key[0] + (unsigned __int128)(low & piece) * key[1] +
                            (unsigned __int128)((low >> 60 | high << 4) & piece) * key[2] +
                            (unsigned __int128)(high >> 56) * key[3];
    uint64_t folded = ((uint64_t)sum & prime) + ((uint64_t)(sum >> 61) & prime) + (uint64_t)(sum >> 122);
    folded = (folded & prime) + (folded >> 61);
    return folded >= prime ? folded - prime : folded;
}

/// Positions of all bytes 01 among the first `count` bytes, ascending, at most `room` of them. Returns how many there
/// are in all, which can be more than `room`. Sets the lowest bit of `*has_zero` when there is a byte 00 among them.
/// 15 bytes behind the last one are readable.
static inline size_t ci_find_ones(
    const uint8_t *bytes, size_t count, uint32_t *positions, size_t room, unsigned *has_zero) {
    size_t found = 0, i = 0;
    unsigned zeros = 0;
#if defined(__SSE2__)
    const __m128i one = _mm_set1_epi8(1), zero = _mm_setzero_si128();
    for (; i < count; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(bytes + i));
        unsigned valid = count - i >= 16 ? 0xFFFFu : (1u << (count - i)) - 1;
        zeros |= (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, zero)) & valid;
        unsigned ones = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, one)) & valid;
        while (ones) {
            if (found < room) positions[found] = (uint32_t)(i + (size_t)__builtin_ctz(ones));
            found++;
            ones &= ones - 1;
        }
    }
#else
    for (; i < count; i++) {
        if (bytes[i] == 0) zeros = 1;
        if (bytes[i] == 1) {
            if (found < room) positions[found] = (uint32_t)i;
            found++;
        }
    }
#endif
    *has_zero = zeros != 0;
    return found;
}

/// What ci_sum_varints has read.
typedef struct {
    uint32_t values, bytes;
} ci_summed;

/// Decodes zigzag varints of any mixture of lengths and adds them up: those that end among the 64 bytes at `source`, of
/// which 72 are readable; `values` has room for 64. Stops before a varint of more than ten bytes; where that is the first
/// one, nothing is read. Bits above bit 63 of a varint are dropped.
///
/// order 1: each varint is added to sums[0], which is the next value. order 2: each varint is added to sums[1], and
/// sums[1] to sums[0], which is the next value.
ci_summed ci_sum_varints(const uint8_t *source, int64_t *values, int order, int64_t *sums);
/// The same in portable C, for tests.
ci_summed ci_sum_varints_portable(const uint8_t *source, int64_t *values, int order, int64_t *sums);

/// Loads and stores of single words that other threads load and store at the same time. The address is aligned.
static inline __attribute__((always_inline)) uint64_t ci_load64(const uint64_t *address) {
    return __atomic_load_n(address, __ATOMIC_RELAXED);
}
static inline __attribute__((always_inline)) uint64_t ci_load64_acquire(const uint64_t *address) {
    return __atomic_load_n(address, __ATOMIC_ACQUIRE);
}
static inline __attribute__((always_inline)) void ci_store64(uint64_t *address, uint64_t value) {
    __atomic_store_n(address, value, __ATOMIC_RELAXED);
}
static inline __attribute__((always_inline)) void ci_store64_release(uint64_t *address, uint64_t value) {
    __atomic_store_n(address, value, __ATOMIC_RELEASE);
}
static inline __attribute__((always_inline)) uint8_t ci_load8(const uint8_t *address) {
    return __atomic_load_n(address, __ATOMIC_RELAXED);
}
static inline __attribute__((always_inline)) void ci_store8(uint8_t *address, uint8_t value) {
    __atomic_store_n(address, value, __ATOMIC_RELAXED);
}

/// Loads before the fence stay before loads and stores behind it.
static inline __attribute__((always_inline)) void ci_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
/// Loads and stores before the fence stay before stores behind it.
static inline __attribute__((always_inline)) void ci_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }

/// Writes the eight bytes of `bytes`, the lowest first, as numbers of 32 bits, each plus `more`.
static inline __attribute__((always_inline)) void ci_widen8(uint64_t bytes, uint32_t more, uint32_t *target) {
#if defined(__SSE2__)
    __m128i zero = _mm_setzero_si128(), add = _mm_set1_epi32((int)more);
    __m128i words = _mm_unpacklo_epi8(_mm_cvtsi64_si128((long long)bytes), zero);
    _mm_storeu_si128((__m128i *)target, _mm_add_epi32(_mm_unpacklo_epi16(words, zero), add));
    _mm_storeu_si128((__m128i *)(target + 4), _mm_add_epi32(_mm_unpackhi_epi16(words, zero), add));
#else
    for (int i = 0; i < 8; i++) target[i] = (uint32_t)(bytes >> (8 * i) & 0xFF) + more;
#endif
}

/// 32 bytes of ones, then 32 bytes of zeros: at 32 - n starts a mask of the first n of 32 bytes.
static inline const void *ci_prefix_masks(void) {
    static const uint64_t masks[8] = {~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0, 0, 0, 0, 0};
    return masks;
}

/// Names the calling thread (15 bytes at most), for profilers.
void ci_set_thread_name(const char *name);

/// Callgrind client requests; nothing happens outside valgrind. Collection starts switched off in profiled runs and
/// covers the measured region only.
void ci_callgrind_start(void);
/// Counts on from what was counted before the stop.
void ci_callgrind_resume(void);
void ci_callgrind_stop(void);
/// 1 when the header of valgrind was there at build time.
int ci_callgrind_available(void);

/// posix_spawn_file_actions_addchdir_np, which the Swift overlay of glibc hides. `actions` is a posix_spawn_file_actions_t.
int ci_spawn_in_directory(void *actions, const char *directory);

#endif
