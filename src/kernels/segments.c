#include "kernels/segments.h"

#include <math.h>

#include "base/wide.h"

#define HALF 0.499 /* a segment, less what makes sure that lo rounds to the first one */

/* Coefficients in powers of t from values at the nodes, by divided differences. */
static void interpolate(const double *t, double *y, double *c) {
    enum { N = NRW_SEGMENT_TERMS };
    for (int k = 1; k < N; k++) {
        for (int i = N - 1; i >= k; i--) y[i] = (y[i] - y[i - 1]) / (t[i] - t[i - k]);
    }
    for (int i = 0; i < N; i++) c[i] = 0;
    for (int k = N - 1; k >= 0; k--) {
        for (int i = N - 1; i > 0; i--) c[i] = c[i - 1] - t[k] * c[i];
        c[0] = y[k] - t[k] * c[0];
    }
}

void nrw_segments_fit(nrw_segments *s, double (*f)(double), float lo, float hi, bool times_x,
                      float scale, int32_t zero) {
    enum { N = NRW_SEGMENT_TERMS };
    const double pi = 3.14159265358979323846, width = ((double)hi - lo) / NRW_SEGMENTS;
    *s = (nrw_segments){.lo = lo,
                        .per_unit = (float)(1 / width),
                        .shift = (float)(-lo / width - HALF),
                        .zero = (float)zero,
                        .times_x = times_x};
    for (int k = 0; k < NRW_SEGMENTS; k++) {
        double t[N], y[N], c[N];
        for (int i = 0; i < N; i++) {
            t[i] = 0.5 * cos(pi * (2 * i + 1) / (2 * N));
            y[i] = f(lo + (k + HALF + t[i]) * width) / (double)scale;
        }
        interpolate(t, y, c);
        for (int i = 0; i < N; i++) s->c[i][k] = (float)c[i];
    }
}

NRW_WIDE void nrw_segments_u8(const nrw_segments *s, const float *x, uint8_t *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] > s->lo ? x[i] : s->lo;
        float u = __builtin_fmaf(v, s->per_unit, s->shift);
        u = u < NRW_SEGMENTS_LAST ? u : NRW_SEGMENTS_LAST;
        const float whole = rintf(u), t = u - whole;
        const int k = (int)whole & (NRW_SEGMENTS - 1);
        float p = s->c[4][k];
        for (int j = 3; j >= 0; j--) p = __builtin_fmaf(p, t, s->c[j][k]);
        float q = __builtin_fmaf(s->times_x ? v : 1.0f, p, s->zero);
        q = q > 0 ? q : 0;
        y[i] = (uint8_t)(q < 255 ? (int)rintf(q) : 255);
    }
}
