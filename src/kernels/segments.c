#include "kernels/segments.h"

#include <math.h>

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

void nrw_segments_fit(nrw_segments *s, double (*f)(double), float lo, float hi) {
    enum { N = NRW_SEGMENT_TERMS };
    const double pi = 3.14159265358979323846, width = ((double)hi - lo) / NRW_SEGMENTS;
    s->lo = lo;
    s->hi = hi;
    s->per_unit = (float)(1 / width);
    for (int k = 0; k < NRW_SEGMENTS; k++) {
        double t[N], y[N], c[N];
        for (int i = 0; i < N; i++) {
            t[i] = 0.5 * cos(pi * (2 * i + 1) / (2 * N));
            y[i] = f(lo + (k + 0.5 + t[i]) * width);
        }
        interpolate(t, y, c);
        for (int i = 0; i < N; i++) s->c[i][k] = (float)c[i];
    }
}

void nrw_segments_u8(const nrw_segments *s, const float *x, uint8_t *y, int64_t n) {
    const float least = (float)-s->zero, most = (float)(255 - s->zero);
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] > s->lo ? x[i] : s->lo;
        v = v < s->hi ? v : s->hi;
        const float u = (v - s->lo) * s->per_unit;
        int k = (int)u;
        if (k > NRW_SEGMENTS - 1) k = NRW_SEGMENTS - 1;
        const float t = (u - (float)k) - 0.5f;
        float p = s->c[4][k];
        for (int j = 3; j >= 0; j--) p = p * t + s->c[j][k];
        float q = (s->times_x ? x[i] * p : p) * s->per_step;
        q = q > least ? q : least;
        q = q < most ? q : most;
        y[i] = (uint8_t)(s->zero + (int)rintf(q));
    }
}
