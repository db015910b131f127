/* What plans do to a graph for the sake of integer kernels; never done to what is written. */
#ifndef NRW_PASSES_FOR_PLANS_H
#define NRW_PASSES_FOR_PLANS_H

#include "ir/graph.h"
#include "ops/op.h"

struct nrw_kernels;

/* The node becomes one of the operators of ai.narrow; its inputs and attributes stay. type: a
 * static string. */
static inline void nrw_become(nrw_node *n, const char *type) {
    n->op = nrw_op_find(type, "ai.narrow");
    n->type = type;
    n->domain = "ai.narrow";
}

/* Functions of one 8-bit tensor become ai.narrow::Table (fuse_tables.c). The main graph only. */
nrw_status nrw_fuse_tables(nrw_model *m, nrw_error *err) NRW_MUST_CHECK;

/* MatMul, bias and Gelu to bytes become ai.narrow::MatMulGelu (fuse_matmul_gelu.c). The main graph
 * only. */
nrw_status nrw_fuse_matmul_gelu(nrw_model *m, nrw_error *err) NRW_MUST_CHECK;

/* Attention of a quantized model becomes ai.narrow::AttentionViews where `kn` has a kernel for it
 * (fuse_attention.c). The main graph only. */
nrw_status nrw_fuse_attention(nrw_model *m, const struct nrw_kernels *kn,
                              nrw_error *err) NRW_MUST_CHECK;

/* Quantized convolutions that `kn` runs with channels last become
 * ai.narrow::ConvLast between transposes; what is done to each element, and Concat along channels,
 * moves in between, and transposes that meet cancel. The main graph only. */
nrw_status nrw_channels_last(nrw_model *m, const struct nrw_kernels *kn,
                             nrw_error *err) NRW_MUST_CHECK;

/* Sums behind convolutions with channels last become part of them (fuse_residual.c). The main graph
 * only. */
nrw_status nrw_fuse_residuals(nrw_model *m, nrw_error *err) NRW_MUST_CHECK;

/* Transposes that copy nothing become Reshape (alias_transposes.c). The main graph only. */
nrw_status nrw_alias_transposes(nrw_model *m, nrw_error *err) NRW_MUST_CHECK;

/* Tables behind convolutions with channels last become part of them where `kn` looks them up
 * (fuse_conv_tables.c). The main graph only. */
nrw_status nrw_fuse_conv_tables(nrw_model *m, const struct nrw_kernels *kn,
                                nrw_error *err) NRW_MUST_CHECK;

#endif
