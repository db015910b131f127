/* Integer products of rows by constant weights: rows of activations as they lie in memory, channels
 * along the columns. A matrix product is one, and so is a convolution with channels last, whose
 * rows are pixels. Unlike gemm.h nothing of the activations is packed.
 *
 * The depth of the product is cut into equal steps of at most 64 values (a multiple of four), which
 * lie side by side in a row: one tile row of AMX, sixteen lanes of four bytes for VNNI. Weights are
 * packed in panels of 32 columns, one step after the other: two halves of [depth / 4][16][4] bytes,
 * the even columns and the odd ones: results of 16 bits come in order by moving the second half's
 * up beside the first's. Tiers whose products take eight values at once have [depth / 8][16][8],
 * and depths that are multiples of eight. */
#ifndef NRW_KERNELS_ROWS_I8_H
#define NRW_KERNELS_ROWS_I8_H

#include "base/error.h"
#include "base/mem.h"
#include "base/pool.h"
#include "kernels/gemm.h"

/* A step reads `depth` bytes, also where fewer are left in a row: so many may be read behind the
 * last row, whatever they are. */
#define NRW_STEP_BYTES 64

typedef struct nrw_rows_shape {
    int64_t k, n; /* values of a segment (see pack), output columns */
    int segments; /* the whole depth is segments * k: the taps of a convolution */
    int steps;    /* of one segment */
    int depth;    /* values in a step */
    int group;    /* values of a column that lie side by side: 4 or 8 */
} nrw_rows_shape;

nrw_rows_shape nrw_rows_shape_of(const nrw_kernels *kn, int segments, int64_t k, int64_t n);
/* Bytes of packed weights; false when that is too much. */
bool nrw_rows_weight_bytes(const nrw_rows_shape *s, size_t *bytes);
/* Of the weights of each column, [n]: their sum, and the sum of their magnitudes. */
typedef struct nrw_weight_sums {
    int32_t *sum;
    int64_t *size;
} nrw_weight_sums;
nrw_status nrw_weight_sums_make(int64_t n, nrw_arena *arena, nrw_weight_sums *out,
                                nrw_error *err) NRW_MUST_CHECK;
/* Weight (segment, i, c) lies at w[segment * at.segment + i * at.row + c * at.col]. */
typedef struct nrw_rows_from {
    const int8_t *w;
    int64_t segment, row, col;
} nrw_rows_from;
void nrw_rows_pack(const nrw_rows_shape *s, nrw_rows_from from, int8_t *dst, nrw_weight_sums sums);

/* Turns an epilogue into the form that these kernels take: dealt to the halves and filled up to
 * whole panels. e->w_zero must be NULL and the output u8, f32 or i32. Lies in the arena. */
nrw_status nrw_rows_epilogue_make(const nrw_i8_epilogue *e, nrw_weight_sums sums, int64_t n,
                                  nrw_arena *arena, nrw_rows_epilogue *out,
                                  nrw_error *err) NRW_MUST_CHECK;
bool nrw_rows_epilogue_fits(const nrw_i8_epilogue *e);
/* Whether results of these weights stay in the range of int16 before they are clamped to bytes,
 * whatever the activations are. */
bool nrw_stays_in_words(const nrw_i8_epilogue *e, nrw_weight_sums sums, int64_t n);

typedef struct nrw_rows_call {
    const nrw_kernels *kernels; /* with rows_i8 */
    nrw_pool *pool;             /* NULL: serial */
    const uint8_t *a;
    int64_t a_stride;      /* bytes from a row to the next */
    const int64_t *offset; /* [segments * steps] bytes from the start of a row to each step */
    int64_t rows;
    const nrw_rows_shape *shape;
    const int8_t *packed;
    const nrw_rows_epilogue *epilogue;
    void *c;                 /* of the epilogue's type */
    int64_t ldc;             /* elements */
    const uint8_t *residual; /* as c, where the epilogue has one */
    /* Of every `pitch` rows the first `width` are wanted, and lie one behind the other in c. 0, 0:
     * all are. */
    int64_t pitch, width;
} nrw_rows_call;
void nrw_rows_run(const nrw_rows_call *call);

#endif
