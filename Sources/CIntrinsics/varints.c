// varints.c - sums of varints of mixed lengths without a branch on each length.
//
// A mask of 64 bits says which of 64 bytes end a varint. Walking over its set bits gives the place and length of every
// varint without looking at the bytes, so the processor works on several at once; what is left a varint is a load, the
// gathering of its 7-bit groups (one instruction with BMI2), and undoing zigzag. Branching on each length instead costs
// a misprediction every few values.

#include "cintrinsics.h"

/// Bit i is set when byte i ends a varint.
static inline uint64_t ends_of_varints(const uint8_t *source) {
#if defined(__SSE2__)
    uint64_t more = 0;
    for (int i = 0; i < 4; i++) {
        __m128i x = _mm_loadu_si128((const __m128i *)(source + 16 * i));
        more |= (uint64_t)(uint16_t)_mm_movemask_epi8(x) << (16 * i);
    }
    return ~more;
#else
    uint64_t ends = 0;
    for (int i = 0; i < 64; i++) ends |= (uint64_t)(source[i] < 0x80) << i;
    return ends;
#endif
}

static inline uint64_t load_little_endian(const uint8_t *source) {
    uint64_t word;
    memcpy(&word, source, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/// The bits of the first 1, 2, ... 8 groups of 7 bits.
static const uint64_t groups[8] = {
    UINT64_C(0x7F),         UINT64_C(0x7F7F),         UINT64_C(0x7F7F7F),         UINT64_C(0x7F7F7F7F),
    UINT64_C(0x7F7F7F7F7F), UINT64_C(0x7F7F7F7F7F7F), UINT64_C(0x7F7F7F7F7F7F7F), UINT64_C(0x7F7F7F7F7F7F7F7F),
};

/// The 7-bit groups of the first `more` + 1 bytes of a word, 0 <= more <= 7.
static inline uint64_t gather_portable(uint64_t word, unsigned more) {
    word &= groups[more];
    word = (word & UINT64_C(0x007F007F007F007F)) | (word & UINT64_C(0x7F007F007F007F00)) >> 1;
    word = (word & UINT64_C(0x00003FFF00003FFF)) | (word & UINT64_C(0x3FFF00003FFF0000)) >> 2;
    return (word & UINT64_C(0x0FFFFFFF)) | (word & UINT64_C(0x0FFFFFFF00000000)) >> 4;
}

#define SUM(gather, add)                                                                          \
    uint64_t ends = ends_of_varints(source), sum = (uint64_t)sums[0], delta = (uint64_t)sums[1];  \
    uint32_t start = 0, count = 0;                                                                \
    while (ends) {                                                                                \
        uint32_t end = (uint32_t)__builtin_ctzll(ends);                                           \
        uint32_t more = end - start;                                                              \
        uint64_t word = load_little_endian(source + start), code;                                 \
        if (__builtin_expect(more <= 7, 1)) {                                                     \
            code = gather(word, more);                                                            \
        } else {                                                                                  \
            if (more > 9) break;                                                                  \
            code = gather(word, 7) | (uint64_t)(source[start + 8] & 0x7F) << 56;                  \
            if (more == 9) code |= (uint64_t)source[start + 9] << 63;                             \
        }                                                                                         \
        ends &= ends - 1;                                                                         \
        uint64_t value = (code >> 1) ^ (0 - (code & 1));                                          \
        add;                                                                                      \
        values[count++] = (int64_t)sum;                                                           \
        start = end + 1;                                                                          \
    }                                                                                             \
    sums[0] = (int64_t)sum;                                                                       \
    sums[1] = (int64_t)delta;                                                                     \
    return (ci_summed){count, start};

ci_summed ci_sum_varints_portable(const uint8_t *source, int64_t *values, int order, int64_t *sums) {
    if (order == 1) {
        SUM(gather_portable, sum += value)
    } else {
        SUM(gather_portable, (delta += value, sum += delta))
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("bmi2"))) static inline uint64_t gather_bmi2(uint64_t word, unsigned more) {
    return _pext_u64(word, groups[more]);
}

__attribute__((target("bmi,bmi2"))) static ci_summed sum_bmi2(
    const uint8_t *source, int64_t *values, int order, int64_t *sums) {
    if (order == 1) {
        SUM(gather_bmi2, sum += value)
    } else {
        SUM(gather_bmi2, (delta += value, sum += delta))
    }
}

ci_summed ci_sum_varints(const uint8_t *source, int64_t *values, int order, int64_t *sums) {
    // The first two generations of Zen have the instruction in microcode, slower than the portable form.
    if (__builtin_cpu_supports("bmi2") && __builtin_cpu_supports("bmi") && !__builtin_cpu_is("znver1") &&
        !__builtin_cpu_is("znver2")) {
        return sum_bmi2(source, values, order, sums);
    }
    return ci_sum_varints_portable(source, values, order, sums);
}
#else
ci_summed ci_sum_varints(const uint8_t *source, int64_t *values, int order, int64_t *sums) {
    return ci_sum_varints_portable(source, values, order, sums);
}
#endif
