/* Bytes as LiteRT's kernels round them, where that differs from rounding the exact result: for
 * values whose annotation asks for it (nrw_rounding). */
#ifndef NRW_OPS_LITERT_H
#define NRW_OPS_LITERT_H

#include "kernels/kernels.h"
#include "ops/op.h"

/* Results of a function of one tensor of bytes, table[x] for each bit pattern x; the ones that
 * LiteRT rounds in its own way are put in place of what is there. table holds y's bit patterns. */
void nrw_litert_table(const nrw_node *n, const nrw_quant *x, const nrw_quant *y, uint8_t *table);

/* What a sum of products stands for in XNNPACK, whose last step is a fused one; it differs from
 * that of doubles once in 2^29. bias: 0, or what is added. */
static inline float nrw_litert_real(int32_t sum, float x_scale, float w_scale, float bias) {
    return (float)((double)((float)sum * x_scale) * w_scale + bias);
}

/* n reals of the range [lo, hi], zero among it, to bytes with parameters of their own: data beside
 * integer weights as XNNPACK, or LiteRT's own kernels, measure them. */
void nrw_litert_quantize(const nrw_kernels *kn, float lo, float hi, const float *x, int64_t n,
                         uint8_t *y, float *scale, int32_t *zero);
void nrw_litert_quantize_own(float lo, float hi, const float *x, int64_t n, uint8_t *y,
                             float *scale, int32_t *zero);

/* The mean of n integers as they lie in the file, halves away from zero; shift: how much is to be
 * taken off a byte of the engine to get the file's (128 for flipped ones). */
int32_t nrw_litert_mean(int64_t sum, int64_t n, int32_t shift);

#endif
