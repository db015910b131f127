/* Narrow floats through f32: kernels that compute in float take and give f16, bf16 and the 8-bit
 * floats by way of these. f32 tensors pass through without a copy. */
#ifndef NRW_OPS_FLOATS_H
#define NRW_OPS_FLOATS_H

#include "ops/op.h"

/* *out: input i as floats, its own memory or scratch; NULL when the input is left out. */
nrw_status nrw_floats_in(nrw_eval *e, int i, const float **out) NRW_MUST_CHECK;
/* *out: where to compute output i, its own memory or scratch; NULL when the output is left out or
 * has no memory. Finish with nrw_floats_done. */
nrw_status nrw_floats_out(nrw_eval *e, int i, float **out) NRW_MUST_CHECK;
/* Rounds what was computed into the output's type, where that was not f32. */
nrw_status nrw_floats_done(nrw_eval *e, int i, const float *computed) NRW_MUST_CHECK;

/* The same in double, for f64 kernels. */
nrw_status nrw_doubles_in(nrw_eval *e, int i, const double **out) NRW_MUST_CHECK;
nrw_status nrw_doubles_out(nrw_eval *e, int i, double **out) NRW_MUST_CHECK;
nrw_status nrw_doubles_done(nrw_eval *e, int i, const double *computed) NRW_MUST_CHECK;

/* Scratch for n elements of `size` bytes; NULL when out of memory or too many. n < 0 is refused. */
void *nrw_eval_scratch(nrw_eval *e, int64_t n, size_t size);

#endif
