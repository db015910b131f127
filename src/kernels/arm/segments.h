/* Four lanes of kernels/segments.h. */
#ifndef NRW_KERNELS_ARM_SEGMENTS_H
#define NRW_KERNELS_ARM_SEGMENTS_H

#include <arm_neon.h>

#include "base/rint.h"
#include "kernels/segments.h"

/* The coefficient of each lane's segment. Loads of single lanes: a table of 128 bytes would take
 * two of the look-ups that are slowest, and its eight vectors do not stay in registers. */
static inline __attribute__((always_inline)) float32x4_t coefficients(const float *c,
                                                                      const uint32_t *segment) {
    float32x4_t v = vdupq_n_f32(c[segment[0]]);
    v = vld1q_lane_f32(c + segment[1], v, 1);
    v = vld1q_lane_f32(c + segment[2], v, 2);
    return vld1q_lane_f32(c + segment[3], v, 3);
}

/* Results, one in each lane, still to be held to 255. Adding the magic number leaves the rounded
 * segment in the low bits. maxnm and minnm give the number of a pair with NaN. */
static inline __attribute__((always_inline)) uint32x4_t segments_of(const nrw_segments *s,
                                                                    float32x4_t x) {
    const float32x4_t magic = vdupq_n_f32(NRW_RINT_MAGIC);
    const float32x4_t v = vmaxnmq_f32(x, vdupq_n_f32(s->lo));
    float32x4_t u = vfmaq_f32(vdupq_n_f32(s->shift), v, vdupq_n_f32(s->per_unit));
    u = vminnmq_f32(u, vdupq_n_f32(NRW_SEGMENTS_LAST));
    const float32x4_t k = vaddq_f32(u, magic);
    const float32x4_t t = vsubq_f32(u, vsubq_f32(k, magic));
    const uint32x4_t at = vandq_u32(vreinterpretq_u32_f32(k), vdupq_n_u32(NRW_SEGMENTS - 1));
    const uint32_t segment[4] = {vgetq_lane_u32(at, 0), vgetq_lane_u32(at, 1),
                                 vgetq_lane_u32(at, 2), vgetq_lane_u32(at, 3)};
    float32x4_t p = coefficients(s->c[NRW_SEGMENT_TERMS - 1], segment);
#pragma GCC unroll 4
    for (int j = NRW_SEGMENT_TERMS - 2; j >= 0; j--)
        p = vfmaq_f32(coefficients(s->c[j], segment), p, t);
    const float32x4_t by = s->times_x ? v : vdupq_n_f32(1);
    const float32x4_t q = vfmaq_f32(vdupq_n_f32(s->zero), by, p);
    return vcvtnq_u32_f32(vmaxnmq_f32(q, vdupq_n_f32(0)));
}

/* Sixteen bytes from sixteen floats. */
static inline __attribute__((always_inline)) uint8x16_t segment_bytes(const nrw_segments *s,
                                                                      const float32x4_t *x) {
    uint16x8_t half[2];
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        const uint16x4_t low = vqmovn_u32(segments_of(s, x[2 * h]));
        half[h] = vqmovn_high_u32(low, segments_of(s, x[2 * h + 1]));
    }
    return vqmovn_high_u16(vqmovn_u16(half[0]), half[1]);
}

#endif
