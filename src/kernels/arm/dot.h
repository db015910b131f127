/* Products of bytes by what the compiler's flags say is there: SUDOT, USDOT and USMMLA (FEAT_I8MM),
 * SDOT (FEAT_DotProd), or neither.
 *
 * nrw_sums holds the sums of four columns (or rows), each fed by four bytes at a time. Without I8MM
 * both sides are signed: activations are taken as x - NRW_LESS, and whoever adds up the sums adds
 * NRW_LESS times the sum of the weights. Products of two signed bytes fit in 16 bits, the sum of
 * two need not, so that without SDOT each of them goes to a sum of 32 bits: nrw_sums then has four
 * bytes' sums in two lanes. */
#ifndef NRW_KERNELS_ARM_DOT_H
#define NRW_KERNELS_ARM_DOT_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/arm/some.h"

#define NRW_INLINE static inline __attribute__((always_inline))

#if defined(__ARM_FEATURE_MATMUL_INT8)
enum { NRW_LESS = 0, NRW_SUMS = 1 };
typedef uint8x16_t nrw_active; /* activations, ready for products */

NRW_INLINE nrw_active active_of(uint8x16_t x) {
    return x;
}
#else
enum { NRW_LESS = 128 };
typedef int8x16_t nrw_active;

NRW_INLINE nrw_active active_of(uint8x16_t x) {
    return vreinterpretq_s8_u8(veorq_u8(x, vdupq_n_u8(0x80)));
}
#if defined(__ARM_FEATURE_DOTPROD)
enum { NRW_SUMS = 1 };
#else
enum { NRW_SUMS = 2 };
#endif
#endif

typedef struct nrw_sums {
    int32x4_t v[NRW_SUMS];
} nrw_sums;

NRW_INLINE nrw_sums no_sums(void) {
    nrw_sums s;
    for (int i = 0; i < NRW_SUMS; i++) s.v[i] = vdupq_n_s32(0);
    return s;
}

NRW_INLINE int32x4_t total(nrw_sums s) {
    return NRW_SUMS == 1 ? s.v[0] : vpaddq_s32(s.v[0], s.v[NRW_SUMS - 1]);
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
/* All of x times all of w. */
NRW_INLINE nrw_sums dot(nrw_sums s, nrw_active x, int8x16_t w) {
    return (nrw_sums){{vusdotq_s32(s.v[0], x, w)}};
}

/* Four bytes of x, those of one lane, times all of w. */
NRW_INLINE nrw_sums dot_x(nrw_sums s, nrw_active x, const int lane, int8x16_t w) {
#define LANE(n) vsudotq_laneq_s32(s.v[0], w, x, n)
    return (nrw_sums){{NRW_LANE_OF(LANE, lane)}};
#undef LANE
}

/* All of x times one lane of w. */
NRW_INLINE nrw_sums dot_w(nrw_sums s, nrw_active x, int8x16_t w, const int lane) {
#define LANE(n) vusdotq_laneq_s32(s.v[0], x, w, n)
    return (nrw_sums){{NRW_LANE_OF(LANE, lane)}};
#undef LANE
}
#else
NRW_INLINE nrw_sums dot(nrw_sums s, int8x16_t x, int8x16_t w) {
#if defined(__ARM_FEATURE_DOTPROD)
    return (nrw_sums){{vdotq_s32(s.v[0], x, w)}};
#else
    s.v[0] = vpadalq_s16(s.v[0], vmull_s8(vget_low_s8(x), vget_low_s8(w)));
    s.v[1] = vpadalq_s16(s.v[1], vmull_high_s8(x, w));
    return s;
#endif
}

NRW_INLINE nrw_sums dot_w(nrw_sums s, int8x16_t x, int8x16_t w, const int lane) {
#if defined(__ARM_FEATURE_DOTPROD)
#define LANE(n) vdotq_laneq_s32(s.v[0], x, w, n)
    return (nrw_sums){{NRW_LANE_OF(LANE, lane)}};
#else
#define LANE(n) vdupq_laneq_s32(vreinterpretq_s32_s8(w), n)
    return dot(s, x, vreinterpretq_s8_s32(NRW_LANE_OF(LANE, lane)));
#endif
#undef LANE
}

NRW_INLINE nrw_sums dot_x(nrw_sums s, nrw_active x, const int lane, int8x16_t w) {
    return dot_w(s, w, x, lane);
}
#endif

/* Adds NRW_LESS times each lane's four bytes of weights: what dot would have to have been given. */
NRW_INLINE int32x4_t add_lacking(int32x4_t lacking, int8x16_t w) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
    return lacking;
#elif defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(lacking, w, vdupq_n_s8(1));
#else
    return vpadalq_s16(lacking, vpaddlq_s8(w));
#endif
}

/* Four bytes in each lane. */
NRW_INLINE uint8x16_t four_bytes(const void *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return vreinterpretq_u8_u32(vdupq_n_u32(v));
}

/* n times four bytes, 1 … 4; what is behind them is anything. */
NRW_INLINE uint8x16_t some_fours(const uint8_t *p, const int n) {
    if (n == 4) return vld1q_u8(p);
    if (n == 1) return four_bytes(p);
    const uint8x8_t two = vld1_u8(p);
    if (n == 2) return vcombine_u8(two, vdup_n_u8(0));
    return vcombine_u8(two, vget_low_u8(four_bytes(p + 8)));
}

/* Four rows of bytes woven: out[q] has columns 4q … 4q + 3, the rows' bytes of each side by side.
 */
NRW_INLINE void weave(const uint8x16_t *row, uint8x16_t *out) {
    const uint16x8_t low01 = vreinterpretq_u16_u8(vzip1q_u8(row[0], row[1]));
    const uint16x8_t low23 = vreinterpretq_u16_u8(vzip1q_u8(row[2], row[3]));
    const uint16x8_t high01 = vreinterpretq_u16_u8(vzip2q_u8(row[0], row[1]));
    const uint16x8_t high23 = vreinterpretq_u16_u8(vzip2q_u8(row[2], row[3]));
    out[0] = vreinterpretq_u8_u16(vzip1q_u16(low01, low23));
    out[1] = vreinterpretq_u8_u16(vzip2q_u16(low01, low23));
    out[2] = vreinterpretq_u8_u16(vzip1q_u16(high01, high23));
    out[3] = vreinterpretq_u8_u16(vzip2q_u16(high01, high23));
}

#endif
