/* Images with channels last, where kernels want them so. */
#ifndef NRW_PASSES_CHANNELS_LAST_H
#define NRW_PASSES_CHANNELS_LAST_H

#include "ir/graph.h"

struct nrw_kernels;

/* For plans, not for files: quantized convolutions that `kn` runs with channels last become
 * ai.narrow::ConvLast between transposes; what is done to each element, and Concat along channels,
 * moves in between, and transposes that meet cancel. The main graph only. */
nrw_status nrw_channels_last(nrw_model *m, const struct nrw_kernels *kn,
                             nrw_error *err) NRW_MUST_CHECK;

#endif
