/* Old opsets to the newest: what a node of an older version of ONNX's domain meant, said anew. */
#ifndef NRW_FORMATS_ONNX_UPGRADE_H
#define NRW_FORMATS_ONNX_UPGRADE_H

#include "ops/op.h"

/* What a model or function imports. */
typedef struct nrw_onnx_opsets {
    nrw_opset *list;
    size_t n, cap;
} nrw_onnx_opsets;
int64_t nrw_onnx_opset_of(const nrw_onnx_opsets *o, const char *domain); /* 0: not imported */

/* The version of ONNX's domain at which nodes were written: one for the model, and another for
 * nodes that came from functions which import another one. */
typedef struct nrw_onnx_versions {
    int64_t model;
    nrw_map exceptions; /* node (the pointer's bytes) -> nrw_onnx_exception * */
} nrw_onnx_versions;
typedef struct nrw_onnx_exception {
    const nrw_node *node;
    int64_t version;
} nrw_onnx_exception;

/* Upgrades every node of a sorted model. Shape rules run along the way, since some upgrades need
 * the rank of an input. */
nrw_status nrw_onnx_upgrade(nrw_model *m, const nrw_onnx_versions *versions,
                            nrw_error *err) NRW_MUST_CHECK;

/* One row of the table: how `op` before opset `since` becomes what it is from then on. Versions of
 * an operator without a row mean the same as the one before, or more. */
struct nrw_onnx_upgrade_run;
typedef struct nrw_onnx_step {
    const char *op;
    int since;
    nrw_status (*apply)(struct nrw_onnx_upgrade_run *u, nrw_node *n);
} nrw_onnx_step;
/* Rows of an operator by version; ended by a NULL name. */
extern const nrw_onnx_step nrw_onnx_steps[];

#endif
