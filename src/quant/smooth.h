/* Moving the spread of channels from activations to weights: x W = (x / s)(s W), with one s for
 * each channel of x (Xiao et al., SmoothQuant, 2023, section 4). Activations share one scale, so a
 * few wide channels cost all others their steps; rows of weights bear it better. */
#ifndef NRW_QUANT_SMOOTH_H
#define NRW_QUANT_SMOOTH_H

#include "quant/quantize.h"

/* Rewrites m where normalized values enter products with constant matrices and it pays, by the
 * peaks of channels over some samples; without samples (source NULL), by what the normalization's
 * own scale and bias tell of them. Exact but for rounding. */
nrw_status nrw_smooth(nrw_model *m, const nrw_recipe *r, const nrw_sample_source *source,
                      nrw_error *err) NRW_MUST_CHECK;

#endif
