/* What Conv, ConvTranspose, MatMul and Gemm share when their values are quantized: which
 * annotations the integer kernels take, weights as signed bytes, and the terms that turn
 * accumulators into results (kernels/kernels.h has the formula). */
#ifndef NRW_OPS_WEIGHTED_H
#define NRW_OPS_WEIGHTED_H

#include "kernels/kernels.h"
#include "ops/op.h"

/* Weights as the integer kernels want them: signed bytes in the layout they had. */
typedef struct nrw_i8_weights {
    int64_t channels;
    const int8_t *values; /* in the tensor itself where it has them in this form */
    const int32_t *zero;  /* [channels], or NULL when all are 0 */
    const float *scale;   /* [channels] */
} nrw_i8_weights;

/* Whether annotations of input 0, of the weights and of output 0 fit: 8-bit activations with one
 * scale, weights of at most 8 bits with one scale per tensor or along `axis` (< 0: per tensor
 * only), an output that is float or has at most 8 bits and one scale. bias_input 0: none. */
bool nrw_weighted_ok(const nrw_node *n, int weight_input, int bias_input, int axis);

/* Values, scales and zero points per channel, in `arena`. Where taking off the zero points leaves
 * signed bytes, that is done here and none are left. */
nrw_status nrw_weighted_make(const nrw_tensor *w, int axis, int64_t channels, nrw_arena *arena,
                             nrw_i8_weights *out, nrw_error *err) NRW_MUST_CHECK;

/* Fills *e (channel_rows and x_sum aside). sums: of the weights of each channel; depth: number of
 * products in an accumulator; bias: int32 at the accumulator's scale, any other annotated integers,
 * or floats, with one element per channel, or NULL; y: the output's parameters; float results where
 * NULL or dynamic. Needs the parameters of x: at run time, or when they are static. */
nrw_status nrw_weighted_epilogue(const nrw_i8_weights *w, const int32_t *sums, int64_t depth,
                                 const nrw_quant *x, const nrw_tensor *bias, const nrw_quant *y,
                                 nrw_arena *arena, nrw_i8_epilogue *e,
                                 nrw_error *err) NRW_MUST_CHECK;

/* The byte that flips activations to unsigned, and their zero point after that. */
static inline uint8_t nrw_weighted_flip(nrw_dtype t) {
    return t == NRW_I8 ? 0x80 : 0;
}
static inline int32_t nrw_weighted_zero(const nrw_quant *x) {
    return x->zero_point[0] + (x->dtype == NRW_I8 ? 128 : 0);
}

/* Where results go: the output's memory, or scratch floats that nrw_weighted_done measures and
 * quantizes when the output's parameters are dynamic. */
nrw_status nrw_weighted_out(nrw_eval *e, void **y) NRW_MUST_CHECK;
nrw_status nrw_weighted_done(nrw_eval *e, const void *y) NRW_MUST_CHECK;

/* The constant of input i as floats, dequantized and converted as need be; in `arena`, or where it
 * lies. *out is NULL when the input is missing or no constant. */
nrw_status nrw_weighted_floats(const nrw_plan_node *p, int i, const float **out) NRW_MUST_CHECK;

/* Only floats of 32 bits and fewer run through the f32 kernels. */
static inline bool nrw_weighted_is_f32(nrw_dtype t) {
    return t == NRW_F32 || t == NRW_F16 || t == NRW_BF16;
}

#endif
