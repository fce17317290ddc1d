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

/// Names the calling thread (15 bytes at most), for profilers.
void ci_set_thread_name(const char *name);

/// Callgrind client requests; nothing happens outside valgrind. Collection starts switched off in profiled runs and
/// covers the measured region only.
void ci_callgrind_start(void);
void ci_callgrind_stop(void);
/// 1 when the header of valgrind was there at build time.
int ci_callgrind_available(void);

#endif
