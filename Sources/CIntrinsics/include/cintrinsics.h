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

/// Adds (a + key[0]) * (b + key[1]) to the first sum and the same under the key two words on to the second.
static inline __attribute__((always_inline)) void ci_nh_pair(
    uint64_t a, uint64_t b, const uint64_t *key, unsigned __int128 *sum1, unsigned __int128 *sum2) {
    *sum1 += (unsigned __int128)(a + key[0]) * (b + key[1]);
    *sum2 += (unsigned __int128)(a + key[2]) * (b + key[3]);
}

/// NH of `pairs` times 16 bytes at `bytes` and, when `tail` is not null, of the 16 bytes there; modulo 2^128, under
/// `key` and, as the second sum, under the key that begins two words later. `key` has 2 * (pairs + 2) words.
static inline __attribute__((always_inline)) ci_nh_sums ci_nh(
    const uint8_t *bytes, size_t pairs, const uint8_t *tail, const uint64_t *key) {
    unsigned __int128 sum1 = 0, sum2 = 0;
    for (size_t i = 0; i < pairs; i++) {
        uint64_t word[2];
        memcpy(word, bytes + 16 * i, 16);
        ci_nh_pair(word[0], word[1], key + 2 * i, &sum1, &sum2);
    }
    if (tail) {
        uint64_t word[2];
        memcpy(word, tail, 16);
        ci_nh_pair(word[0], word[1], key + 2 * pairs, &sum1, &sum2);
    }
    ci_nh_sums sums = {(uint64_t)sum1, (uint64_t)(sum1 >> 64), (uint64_t)sum2, (uint64_t)(sum2 >> 64)};
    return sums;
}

/// carry * key[0] + the 128-bit number in pieces of 60, 60 and 8 bits, times key[1], key[2] and key[3], + last * key[4],
/// modulo 2^61 - 1. `carry`, `last` and the keys are below 2^61 - 1.
static inline __attribute__((always_inline)) uint64_t ci_fold61(
    uint64_t carry, uint64_t low, uint64_t high, uint64_t last, const uint64_t *key) {
    const uint64_t piece = ((uint64_t)1 << 60) - 1, prime = ((uint64_t)1 << 61) - 1;
    unsigned __int128 sum = (unsigned __int128)carry * key[0] + (unsigned __int128)(low & piece) * key[1] +
                            (unsigned __int128)((low >> 60 | high << 4) & piece) * key[2] +
                            (unsigned __int128)(high >> 56) * key[3] + (unsigned __int128)last * key[4];
    uint64_t folded = ((uint64_t)sum & prime) + ((uint64_t)(sum >> 61) & prime) + (uint64_t)(sum >> 122);
    folded = (folded & prime) + (folded >> 61);
    return folded >= prime ? folded - prime : folded;
}

/// Positions of all bytes 01 among the first `count` bytes, ascending, at most `room` of them. Returns how many there
/// are in all, which can be more than `room`. Sets the lowest bit of `*has_zero` when there is a byte 00 among them.
static inline size_t ci_find_ones(
    const uint8_t *bytes, size_t count, uint32_t *positions, size_t room, unsigned *has_zero) {
    size_t found = 0, i = 0;
    unsigned zeros = 0;
#if defined(__SSE2__)
    const __m128i one = _mm_set1_epi8(1), zero = _mm_setzero_si128();
    for (; i + 16 <= count; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(bytes + i));
        zeros |= (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, zero));
        unsigned ones = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, one));
        while (ones) {
            if (found < room) positions[found] = (uint32_t)(i + (size_t)__builtin_ctz(ones));
            found++;
            ones &= ones - 1;
        }
    }
#endif
    for (; i < count; i++) {
        if (bytes[i] == 0) zeros = 1;
        if (bytes[i] == 1) {
            if (found < room) positions[found] = (uint32_t)i;
            found++;
        }
    }
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

/// Names the calling thread (15 bytes at most), for profilers.
void ci_set_thread_name(const char *name);

/// Callgrind client requests; nothing happens outside valgrind. Collection starts switched off in profiled runs and
/// covers the measured region only.
void ci_callgrind_start(void);
void ci_callgrind_stop(void);
/// 1 when the header of valgrind was there at build time.
int ci_callgrind_available(void);

#endif
