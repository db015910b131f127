/* The reference arithmetic of the QLinear and …Integer operators. */
#ifndef NRW_OPS_QLINEAR_H
#define NRW_OPS_QLINEAR_H

#include "ops/op.h"

/* *out: input i minus its zero points (input zero_in, or 0 where that is left out), exactly, in
 * scratch. Zero points with several elements run along `axis` (negative: from the end). */
nrw_status nrw_centered(nrw_eval *e, int i, int zero_in, int axis, double **out) NRW_MUST_CHECK;

/* What QLinearConv and QLinearMatMul have in common behind their sums: inputs 1, 4, 6 are the
 * scales of a, b, y and input 7 is the zero point of y. acc: exact sums; the channel of element i,
 * which the scales of b may run along, is i / inner % channels. Writes output 0. */
nrw_status nrw_requantize(nrw_eval *e, const double *acc, int64_t channels,
                          int64_t inner) NRW_MUST_CHECK;

#endif
