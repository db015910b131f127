/* Matrix products as MatMul and Gemm run them: packing around kernels/gemm.h. */
#ifndef NRW_OPS_PRODUCT_H
#define NRW_OPS_PRODUCT_H

#include "kernels/gemm.h"
#include "kernels/rows_i8.h"
#include "ops/op.h"
#include "ops/weighted.h"

/* The right matrix of k x n, packed. */
nrw_status nrw_product_pack_f32(const nrw_kernels *kn, nrw_pool *pool, int64_t k, int64_t n,
                                nrw_matrix b, nrw_arena *arena, const float **out,
                                nrw_error *err) NRW_MUST_CHECK;
/* y[m][n] = a * b + col_bias. */
nrw_status nrw_product_f32(nrw_eval *e, const nrw_kernels *kn, int64_t m, int64_t k, int64_t n,
                           nrw_matrix a, const float *b, const float *col_bias,
                           float *y) NRW_MUST_CHECK;

/* A right matrix of weights. */
typedef struct nrw_product_i8 {
    const void *packed;
    nrw_weight_sums sums; /* [n] */
    const int8_t *panels; /* for rows of activations as they lie; NULL: not in this tier */
    nrw_rows_shape shape;
    const int64_t *offset; /* [shape.steps] */
} nrw_product_i8;
/* centered: the weights have no zero points left (nrw_i8_weights.zero is NULL). */
nrw_status nrw_product_pack_i8(const nrw_kernels *kn, nrw_pool *pool, int64_t k, int64_t n,
                               nrw_matrix b, bool centered, nrw_arena *arena, nrw_product_i8 *out,
                               nrw_error *err) NRW_MUST_CHECK;
/* a: bytes of type x. y: elements of the epilogue's type (bytes where it has segments), whose x_sum
 * is found here. */
nrw_status nrw_run_product_i8(nrw_eval *e, const nrw_kernels *kn, int64_t m, int64_t k, int64_t n,
                              nrw_matrix a, nrw_dtype x, const nrw_product_i8 *b,
                              const nrw_i8_epilogue *epilogue, void *y) NRW_MUST_CHECK;

#endif
