/* Float tiles and taps, for any width of vector. The includer defines
 *   VF, LANES, ROWS               the vector type, its lanes, the rows of the largest tile
 *   load, store, set1, add, fma_, min_, max_   (min_ and max_ return the second of a pair with NaN)
 *   mask, mask_of(n), load_some(m, p), store_some(m, p, v)     the first n lanes only
 *   TILE_NAME, TAPS_NAME
 * A tile is two vectors wide. */
#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline))

INLINE void tile(const nrw_f32_tile *t, const int rows, const int vecs) {
    VF acc[ROWS][2];
    const int last = t->cols - (vecs - 1) * LANES; /* lanes in use of the last vector */
    const mask m = mask_of(last), full = mask_of(LANES);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++) {
            mask mv = v == vecs - 1 ? m : full;
            if (t->resume) {
                acc[i][v] = load_some(mv, t->c + i * t->ldc + v * LANES);
            } else {
                acc[i][v] = set1(t->row_bias != NULL ? t->row_bias[i] : 0);
                if (t->col_bias != NULL) {
                    acc[i][v] = add(acc[i][v], load_some(mv, t->col_bias + v * LANES));
                }
            }
        }
    }
    const float *a = t->a, *b = t->b;
    for (int64_t k = t->k; k > 0; k--, a += rows, b += 2 * LANES) {
        VF b0 = load(b), b1 = b0;
        if (vecs == 2) b1 = load(b + LANES);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            VF x = set1(a[i]);
            acc[i][0] = fma_(x, b0, acc[i][0]);
            if (vecs == 2) acc[i][1] = fma_(x, b1, acc[i][1]);
        }
    }
    const VF lo = set1(t->lo), hi = set1(t->hi);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++) {
            VF y = min_(hi, max_(lo, acc[i][v]));
            float *c = t->c + i * t->ldc + v * LANES;
            if (v < vecs - 1 || last == LANES)
                store(c, y);
            else
                store_some(m, c, y);
        }
    }
}

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        if (t->cols > LANES)                                                                       \
            tile(t, n, 2);                                                                         \
        else                                                                                       \
            tile(t, n, 1);                                                                         \
        break;

void TILE_NAME(const nrw_f32_tile *t) {
    switch (t->rows) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#if ROWS > 6
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
#endif
    }
}

INLINE void taps(const nrw_f32_taps *t, int64_t at, float *y, int cols, const int rows) {
    VF acc[4];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) acc[r] = set1(t->bias);
    for (int k = 0; k < t->taps; k++) {
        const float *x = t->x[k] + at;
        VF w = set1(t->w[k]);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) acc[r] = fma_(w, load(x + r * t->x_stride), acc[r]);
    }
    const VF lo = set1(t->lo), hi = set1(t->hi);
    const mask m = mask_of(cols);
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        VF v = min_(hi, max_(lo, acc[r]));
        if (cols == LANES)
            store(y + r * t->y_stride, v);
        else
            store_some(m, y + r * t->y_stride, v);
    }
}

void TAPS_NAME(const nrw_f32_taps *t) {
    for (int64_t r = 0; r < t->rows; r += 4) {
        for (int64_t j = 0; j < t->cols; j += LANES) {
            int cols = t->cols - j < LANES ? (int)(t->cols - j) : LANES;
            float *y = t->y + r * t->y_stride + j;
            int64_t at = r * t->x_stride + j;
            switch (t->rows - r) {
            case 1:
                taps(t, at, y, cols, 1);
                break;
            case 2:
                taps(t, at, y, cols, 2);
                break;
            case 3:
                taps(t, at, y, cols, 3);
                break;
            default:
                taps(t, at, y, cols, 4);
            }
        }
    }
}
