/* Bytes as LiteRT's kernels round them, where that differs from rounding the exact result: for
 * values whose annotation asks for it (nrw_rounding). */
#ifndef NRW_OPS_LITERT_H
#define NRW_OPS_LITERT_H

#include "kernels/kernels.h"
#include "ops/op.h"

/* Results of a function of one tensor of bytes, table[x] for each bit pattern x; the ones that
 * LiteRT rounds in its own way are put in place of what is there. table holds y's bit patterns. */
void nrw_litert_table(const nrw_node *n, const nrw_quant *x, const nrw_quant *y, uint8_t *table);

/* The range of n reals, and zero. */
void nrw_litert_range(const float *x, int64_t n, float *lo, float *hi);

/* What sums of products of a row stand for in XNNPACK, whose last step is a fused one; that differs
 * from one in doubles once in 2^29. A sum has zero * taken[i] too much. bias: NULL, or added. */
void nrw_litert_row(const int32_t *sum, const int32_t *taken, int32_t zero, float x_scale,
                    const float *w_scale, const float *bias, int64_t n, float *y);

/* The same for sums of one channel; own: as LiteRT's own kernels of depthwise convolutions. */
typedef struct nrw_litert_channel {
    float x_scale, w_scale, bias, lo, hi;
    bool own;
} nrw_litert_channel;
void nrw_litert_pixels(const nrw_litert_channel *c, const int32_t *sum, int64_t n, float *y);

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
