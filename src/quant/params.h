/* From ranges of reals to integer parameters. All pure functions: the same numbers in, the same
 * numbers out. */
#ifndef NRW_QUANT_PARAMS_H
#define NRW_QUANT_PARAMS_H

#include "base/error.h"
#include "base/mem.h"
#include "ir/tensor.h"

/* No scale is smaller: products of two scales stay normal floats, and a range this narrow is zero
 * for every purpose. */
#define NRW_SCALE_FLOOR 0x1p-60f

/* The integers that a scheme uses. Symmetric types give up the lowest value, so that -x is as
 * exact as x. */
typedef struct nrw_levels {
    int64_t lo, hi;
} nrw_levels;
nrw_levels nrw_quant_levels(nrw_dtype dtype, bool symmetric);

/* Scale and zero point for reals in [lo, hi]. Zero is always exactly representable, so the range is
 * widened to hold it. Symmetric: zero point 0 (the middle for unsigned types). A range that starts
 * at 0 has the type's lowest value as its zero point, one that ends there the highest. */
void nrw_quant_params(nrw_dtype dtype, bool symmetric, double lo, double hi, float *scale,
                      int32_t *zero_point);

/* The reals that the lowest and the highest integer of q (per tensor) stand for. */
void nrw_quant_reals(const nrw_quant *q, double *lo, double *hi);

typedef struct nrw_weight_scheme {
    nrw_dtype dtype; /* I8, I4, U4, I2, … */
    bool symmetric;
    int axis;      /* channel axis, or the axis that is cut in blocks; -1: one scale */
    int64_t block; /* 0, or elements per block; must divide dims[axis] */
    bool search;   /* clip where that lowers the mean squared error; else take the whole range */
} nrw_weight_scheme;

/* Parameters for the float tensor w. Channels that are all zero, or nearly so beside the largest,
 * get a scale 2^-20 of the largest channel's rather than one that underflows. Values must be
 * finite. Everything lies in the arena. */
nrw_status nrw_quant_weights(nrw_arena *arena, const nrw_tensor *w, const nrw_weight_scheme *scheme,
                             nrw_quant **out, nrw_error *err) NRW_MUST_CHECK;

/* Raises the scales of weights (per tensor or per channel) where s_x * s_w would be too small for
 * the bias: afterwards |bias[c]| / (s_x * s_w[c]) <= 2^30, which leaves as much again for the
 * products. bias has n entries. True if a scale was raised. */
bool nrw_quant_raise_for_bias(nrw_quant *weights, float input_scale, const float *bias, int64_t n);

/* int32 parameters of a bias of n entries: scale s_x * s_w[c], zero point 0. NULL: out of memory.
 */
nrw_quant *nrw_quant_bias(nrw_arena *arena, const nrw_quant *weights, float input_scale, int64_t n);

#endif
