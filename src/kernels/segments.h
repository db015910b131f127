/* Smooth functions of one float with 8-bit results: a polynomial of degree 4 on each of 32 equal
 * segments of a range, outside of which the function is what it is at the ends. All tiers compute
 * the same bits: every operation below is rounded by itself.
 *
 *   u = (clamp(x, lo, hi) - lo) * per_unit     k = min((int)u, 31)     t = u - k - 0.5
 *   p = (((c4 t + c3) t + c2) t + c1) t + c0   y = times_x ? x p : p
 *   q = zero + rint(clamp(y * per_step, -zero, 255 - zero))            NaN counts as the lowest */
#ifndef NRW_KERNELS_SEGMENTS_H
#define NRW_KERNELS_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>

enum { NRW_SEGMENTS = 32, NRW_SEGMENT_TERMS = 5 };

typedef struct nrw_segments {
    float c[NRW_SEGMENT_TERMS][NRW_SEGMENTS];
    float lo, hi, per_unit;
    bool times_x;
    float per_step; /* 1 / scale of the result */
    int32_t zero;   /* 0 … 255 */
} nrw_segments;

/* Interpolates f at the Chebyshev nodes of each segment of [lo, hi]. */
void nrw_segments_fit(nrw_segments *s, double (*f)(double), float lo, float hi);
void nrw_segments_u8(const nrw_segments *s, const float *x, uint8_t *y, int64_t n);

#endif
