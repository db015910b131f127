/* Float kernels: tiles of 6 x 16, 24 accumulators of 4 lanes. */
#include "kernels/arm/some.h"
#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 4, ROWS = 6 };

/* As plain comparisons: a NaN stays, and so does the sign of a zero. */
INLINE float32x4_t clamp(float32x4_t v, float32x4_t lo, float32x4_t hi) {
    v = vbslq_f32(vcltq_f32(v, lo), lo, v);
    return vbslq_f32(vcgtq_f32(v, hi), hi, v);
}

INLINE float32x4_t start(const nrw_f32_tile *t, int i, int v, int64_t cols) {
    if (t->resume) return load_some_f(cols, t->c + i * t->ldc + v * LANES);
    const float32x4_t row = vdupq_n_f32(t->row_bias != NULL ? t->row_bias[i] : 0);
    if (t->col_bias == NULL) return row;
    return vaddq_f32(row, load_some_f(cols, t->col_bias + v * LANES));
}

/* n floats, 1 … 4; what is behind them is anything. */
INLINE float32x4_t load_first(const float *p, const int n) {
    if (n >= 4) return vld1q_f32(p);
    if (n == 1) return vdupq_n_f32(*p);
    const float32x2_t two = vld1_f32(p);
    return vcombine_f32(two, n == 2 ? vdup_n_f32(0) : vdup_n_f32(p[2]));
}

INLINE float32x4_t fma_lane(float32x4_t acc, float32x4_t w, float32x4_t a, const int lane) {
#define LANE(n) vfmaq_laneq_f32(acc, w, a, n)
    return NRW_LANE_OF(LANE, lane);
#undef LANE
}

INLINE void tile(const nrw_f32_tile *t, const int rows, const int vecs) {
    float32x4_t acc[ROWS][4];
    const int last = t->cols - (vecs - 1) * LANES; /* lanes in use of the last vector */
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) acc[i][v] = start(t, i, v, v + 1 < vecs ? LANES : last);
    }
    const float *a = t->a, *b = t->b;
    for (int64_t k = t->k; k > 0; k--, a += rows, b += 4 * LANES) {
        float32x4_t w[4], x[2];
        x[0] = load_first(a, rows);
        if (rows > LANES) x[1] = load_first(a + LANES, rows - LANES);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) w[v] = vld1q_f32(b + v * LANES);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                acc[i][v] = fma_lane(acc[i][v], w[v], x[i / LANES], i % LANES);
        }
    }
    const float32x4_t lo = vdupq_n_f32(t->lo), hi = vdupq_n_f32(t->hi);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            store_some_f(v + 1 < vecs ? LANES : last, t->c + i * t->ldc + v * LANES,
                         clamp(acc[i][v], lo, hi));
        }
    }
}

INLINE void tile_rows(const nrw_f32_tile *t, const int rows) {
    switch ((t->cols + LANES - 1) / LANES) {
    case 1:
        tile(t, rows, 1);
        break;
    case 2:
        tile(t, rows, 2);
        break;
    case 3:
        tile(t, rows, 3);
        break;
    default:
        tile(t, rows, 4);
    }
}

void nrw_f32_tile_neon(const nrw_f32_tile *t) {
    switch (t->rows) {
    case 1:
        tile_rows(t, 1);
        break;
    case 2:
        tile_rows(t, 2);
        break;
    case 3:
        tile_rows(t, 3);
        break;
    case 4:
        tile_rows(t, 4);
        break;
    case 5:
        tile_rows(t, 5);
        break;
    default:
        tile_rows(t, ROWS);
    }
}

/* Rows of 16 columns, two of them at a time; the last few columns are computed as many as there
 * are vectors for. */
INLINE void taps(const nrw_f32_taps *t, int64_t r0, int64_t j, const int rows, const int vecs) {
    float32x4_t acc[2][4];
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) acc[r][v] = vdupq_n_f32(t->bias);
    }
    for (int k = 0; k < t->taps; k++) {
        const float *x = t->x[k] + r0 * t->x_stride + j, w = t->w[k];
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) {
                const float32x4_t xv = vld1q_f32(x + r * t->x_stride + v * LANES);
                acc[r][v] = vfmaq_n_f32(acc[r][v], xv, w);
            }
        }
    }
    const float32x4_t lo = vdupq_n_f32(t->lo), hi = vdupq_n_f32(t->hi);
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++) {
        float *y = t->y + (r0 + r) * t->y_stride + j;
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            store_some_f(t->cols - j - v * LANES, y + v * LANES, clamp(acc[r][v], lo, hi));
    }
}

INLINE void taps_rows(const nrw_f32_taps *t, int64_t r, const int rows) {
    int64_t j = 0;
    for (; j + 3 * LANES < t->cols; j += 4 * LANES) taps(t, r, j, rows, 4);
    for (; j < t->cols; j += LANES) taps(t, r, j, rows, 1);
}

void nrw_f32_taps_neon(const nrw_f32_taps *t) {
    int64_t r = 0;
    for (; r + 2 <= t->rows; r += 2) taps_rows(t, r, 2);
    if (r < t->rows) taps_rows(t, r, 1);
}
