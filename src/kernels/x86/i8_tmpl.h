/* Integer tiles and taps, for any width of vector. A lane holds one int32 accumulator and is fed by
 * four bytes of panel: four bytes, or two widened ones. The includer defines what i8_finish_tmpl.h
 * asks for, and
 *   ROWS                                rows of the largest tile
 *   zero_i, store_i
 *   dot(acc, u, s)                      acc plus the products of activations u and weights s
 *   TILE_NAME, TAPS_NAME
 * A tile is two vectors wide. */
#include <string.h>

#define TILE_COLS (2 * LANES)
#include "kernels/i8_finish_tmpl.h"

INLINE VI broadcast4(const char *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return set1_i(v);
}

INLINE void tile(const nrw_i8_tile *t, int32_t *out, const int rows, const int vecs,
                 const bool a_signed) {
    VI acc[ROWS][2];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) acc[i][0] = acc[i][1] = zero_i();
    const char *a = t->a, *b = t->b;
    for (int64_t g = t->groups; g > 0; g--, a += rows * 4, b += 2 * LANES * 4) {
        VI b0 = load_i(b), b1 = b0;
        if (vecs == 2) b1 = load_i(b + LANES * 4);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            VI x = broadcast4(a + 4 * i);
            acc[i][0] = a_signed ? dot(acc[i][0], b0, x) : dot(acc[i][0], x, b0);
            if (vecs == 2) acc[i][1] = a_signed ? dot(acc[i][1], b1, x) : dot(acc[i][1], x, b1);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        store_i(out + i * 2 * LANES, acc[i][0]);
        if (vecs == 2) store_i(out + i * 2 * LANES + LANES, acc[i][1]);
    }
}

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        if (t->cols > LANES) {                                                                     \
            if (t->a_signed)                                                                       \
                tile(t, acc, n, 2, true);                                                          \
            else                                                                                   \
                tile(t, acc, n, 2, false);                                                         \
        } else {                                                                                   \
            if (t->a_signed)                                                                       \
                tile(t, acc, n, 1, true);                                                          \
            else                                                                                   \
                tile(t, acc, n, 1, false);                                                         \
        }                                                                                          \
        break;

static void TILE_NAME(const nrw_i8_tile *t) {
    _Alignas(64) int32_t acc[ROWS * 2 * LANES];
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
    finish_tile(t, acc);
}

/* Four rows (or the last few) of one vector. */
INLINE void taps(const nrw_i8_taps *t, int64_t r0, int64_t j, const nrw_i8_out out,
                 const int rows) {
    VI acc[4];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) acc[r] = zero_i();
    const char *w = t->w;
    for (int k = 0; k < t->taps; k++, w += 4) {
        const char *x = (const char *)t->x[k] + r0 * t->x_stride + j * 4;
        VI wv = broadcast4(w);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) acc[r] = dot(acc[r], load_i(x + r * t->x_stride), wv);
    }
    int n = t->cols - j < LANES ? (int)(t->cols - j) : LANES;
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        int64_t at = (r0 + r) * t->y_stride + j;
        finish(t->epilogue, out, true, acc[r], n, t->channel, t->sum0 + at,
               (char *)t->y + at * out_size(out));
    }
}

INLINE void taps_rows(const nrw_i8_taps *t, const nrw_i8_out out) {
    int64_t r = 0;
    for (; r + 4 <= t->rows; r += 4) {
        for (int64_t j = 0; j < t->cols; j += LANES) taps(t, r, j, out, 4);
    }
    for (; r < t->rows; r++) {
        for (int64_t j = 0; j < t->cols; j += LANES) taps(t, r, j, out, 1);
    }
}

static void TAPS_NAME(const nrw_i8_taps *t) {
    switch (t->epilogue->out) {
    case NRW_OUT_I32:
        taps_rows(t, NRW_OUT_I32);
        break;
    case NRW_OUT_F32:
        taps_rows(t, NRW_OUT_F32);
        break;
    default:
        taps_rows(t, NRW_OUT_U8);
    }
}
