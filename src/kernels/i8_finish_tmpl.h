/* From accumulators of integer tiles to results, for any width of vector. The includer defines
 *   VI, VF, LANES, TILE_COLS            vectors of int32 and float, lanes, columns of a tile
 *   load_i, set1_i, add_i, sub_i, mul_i, to_float, bits_of
 *   set1_f, mul_f, add_f, fma_f (a b + c), min_f, max_f (the second of a pair with NaN)
 *   load_some_i(n, p), load_some_f(n, p), store_some_i, store_some_f, store_bytes(n, p, v) */
#include "base/rint.h"
#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline))

/* Finishes n accumulators at (row, col) … (row, col + n - 1) and stores them. */
INLINE void finish(const nrw_i8_epilogue *e, const nrw_i8_out out, const bool by_rows, VI acc,
                   int n, int64_t row, int64_t col, char *c) {
    int64_t ch = by_rows ? row : col;
    acc = add_i(acc, by_rows ? set1_i(e->add[ch]) : load_some_i(n, e->add + ch));
    if (e->w_zero != NULL) {
        VI w = by_rows ? set1_i(e->w_zero[ch]) : load_some_i(n, e->w_zero + ch);
        VI x = by_rows ? load_some_i(n, e->x_sum + col) : set1_i(e->x_sum[row]);
        acc = sub_i(acc, mul_i(w, x));
    }
    if (out == NRW_OUT_I32) {
        store_some_i(n, c, acc);
        return;
    }
    const VF mul = by_rows ? set1_f(e->mul[ch]) : load_some_f(n, e->mul + ch);
    if (out == NRW_OUT_F32) {
        VF f = mul_f(to_float(acc), mul);
        if (e->bias != NULL) {
            f = add_f(f, by_rows ? set1_f(e->bias[ch]) : load_some_f(n, e->bias + ch));
        }
        store_some_f(n, c, f);
        return;
    }
    /* The magic number is 1.5 * 2^23: whole numbers that are added to it stand in the low bits, and
     * the exact product is rounded once. */
    const float magic = NRW_RINT_MAGIC;
    VF f = to_float(acc);
    f = e->rounds_twice ? add_f(mul_f(f, mul), set1_f(magic)) : fma_f(f, mul, set1_f(magic));
    f = max_f(f, set1_f(magic + (float)(e->lo - e->zero)));
    f = min_f(f, set1_f(magic + (float)(e->hi - e->zero)));
    store_bytes(n, c, add_i(bits_of(f), set1_i(e->zero - 0x4b400000)));
}

INLINE int out_size(nrw_i8_out out) {
    return out == NRW_OUT_I32 || out == NRW_OUT_F32 ? 4 : 1;
}

INLINE void finish_rows(const nrw_i8_tile *t, const int32_t *acc, const nrw_i8_out out,
                        const bool by_rows) {
    const nrw_i8_epilogue *e = t->epilogue;
    for (int i = 0; i < t->rows; i++, acc += TILE_COLS) {
        char *c = (char *)t->c + i * t->ldc * out_size(out);
        for (int j = 0; j < t->cols; j += LANES) {
            int n = t->cols - j < LANES ? t->cols - j : LANES;
            finish(e, out, by_rows, load_i(acc + j), n, t->row0 + i, t->col0 + j,
                   c + j * out_size(out));
        }
    }
}

static void finish_tile(const nrw_i8_tile *t, const int32_t *acc) {
    bool by_rows = t->epilogue->channel_rows;
    switch (t->epilogue->out) {
    case NRW_OUT_I32:
        if (by_rows)
            finish_rows(t, acc, NRW_OUT_I32, true);
        else
            finish_rows(t, acc, NRW_OUT_I32, false);
        break;
    case NRW_OUT_F32:
        if (by_rows)
            finish_rows(t, acc, NRW_OUT_F32, true);
        else
            finish_rows(t, acc, NRW_OUT_F32, false);
        break;
    default:
        if (by_rows)
            finish_rows(t, acc, NRW_OUT_U8, true);
        else
            finish_rows(t, acc, NRW_OUT_U8, false);
    }
}
