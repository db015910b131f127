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

/* All of them, in the order of pipeline.c, on the main graph: bodies stay as they are. `kn`: what
 * runs the plan. */
nrw_status nrw_ready_for_plan(nrw_model *m, const struct nrw_kernels *kn,
                              nrw_error *err) NRW_MUST_CHECK;

typedef nrw_status nrw_plan_pass(nrw_model *m, const struct nrw_kernels *kn, nrw_error *err);
/* Signed bytes become unsigned ones. */
nrw_plan_pass nrw_unsigned_bytes;
/* Functions of one 8-bit tensor become ai.narrow::Table. */
nrw_plan_pass nrw_fuse_tables;
/* MatMul, bias and Gelu to bytes become ai.narrow::MatMulGelu. */
nrw_plan_pass nrw_fuse_matmul_gelu;
/* Attention of a quantized model becomes ai.narrow::AttentionViews where there is a kernel for it.
 */
nrw_plan_pass nrw_fuse_attention;
/* Quantized convolutions that run with channels last become ai.narrow::ConvLast between transposes;
 * what is done to each element, and Concat along channels, moves in between, and transposes that
 * meet cancel. */
nrw_plan_pass nrw_channels_last;
/* Sums behind convolutions with channels last become part of them. */
nrw_plan_pass nrw_fuse_residuals;
/* Tables behind convolutions with channels last become part of them where they are looked up. */
nrw_plan_pass nrw_fuse_conv_tables;
/* Transposes that copy nothing become Reshape. */
nrw_plan_pass nrw_alias_transposes;

#endif
