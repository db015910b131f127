/* Which convolutions run with channels last. */
#ifndef NRW_OPS_CONV_LAST_H
#define NRW_OPS_CONV_LAST_H

#include "ops/op.h"

/* n is a Conv (or a ConvLast already) whose annotations, weights and shape the kernels take. */
bool nrw_conv_last_suits(const struct nrw_kernels *kn, const nrw_node *n);
/* Whether this ConvLast can look its results up in a table. */
bool nrw_conv_last_looks_up(const struct nrw_kernels *kn, const nrw_node *n);

#endif
