/* Smooth functions of one float with 8-bit results: a polynomial of degree 4 on each of 32 equal
 * segments of a range, outside of which the function is what it is at the ends. All tiers compute
 * the same bits: every line below is rounded once, fma included.
 *
 *   v = max(x, lo)                           NaN counts as lo
 *   u = min(fma(v, per_unit, shift), last)   the segments' middles are whole numbers
 *   k = rint(u)      t = u - k
 *   p = fma(fma(fma(fma(c4, t, c3), t, c2), t, c1), t, c0)
 *   q = rint(max(fma(times_x ? v : 1, p, zero), 0)), at most 255
 *
 * The coefficients have the scale of the result in them. */
#ifndef NRW_KERNELS_SEGMENTS_H
#define NRW_KERNELS_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>

enum { NRW_SEGMENTS = 32, NRW_SEGMENT_TERMS = 5 };

#define NRW_SEGMENTS_LAST 31.499998f /* rounds to 31 */

typedef struct nrw_segments {
    float c[NRW_SEGMENT_TERMS][NRW_SEGMENTS];
    float lo, per_unit, shift, zero;
    bool times_x;
} nrw_segments;

/* Interpolates f at the Chebyshev nodes of each segment of [lo, hi]. The result is f(x), or x f(x),
 * in steps of `scale` from `zero`. */
void nrw_segments_fit(nrw_segments *s, double (*f)(double), float lo, float hi, bool times_x,
                      float scale, int32_t zero);
void nrw_segments_u8(const nrw_segments *s, const float *x, uint8_t *y, int64_t n);

#endif
