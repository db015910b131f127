/* The single steps of upgrade.c's table. */
#ifndef NRW_FORMATS_ONNX_UPGRADE_STEPS_H
#define NRW_FORMATS_ONNX_UPGRADE_STEPS_H

#include "formats/onnx/upgrade.h"

typedef struct nrw_onnx_upgrade_run {
    nrw_arena scratch;
    nrw_error *err;
    bool infer;   /* types are filled in along the way */
    bool removed; /* the step took the node out of its graph */
} nrw_onnx_upgrade_run;

/* Building blocks. New nodes go before `before` (NULL: the end); a new value is made for their one
 * output when *out is NULL. */
nrw_status nrw_onnx_up_node(nrw_onnx_upgrade_run *u, nrw_graph *g, const char *type, int n_in,
                            nrw_value *const *in, nrw_value **out, nrw_node *before,
                            nrw_node **made) NRW_MUST_CHECK;
nrw_status nrw_onnx_up_ints(nrw_onnx_upgrade_run *u, nrw_graph *g, int rank01, int64_t n,
                            const int64_t *values, nrw_value **out) NRW_MUST_CHECK;
/* A floating scalar of the type that `like` has; f32 where that is not known. */
nrw_status nrw_onnx_up_scalar(nrw_onnx_upgrade_run *u, const nrw_value *like, nrw_graph *g,
                              float value, nrw_value **out) NRW_MUST_CHECK;
/* Sets input i, making the list longer where it must be. */
nrw_status nrw_onnx_up_input(nrw_onnx_upgrade_run *u, nrw_node *n, int i,
                             nrw_value *v) NRW_MUST_CHECK;
/* Cuts outputs from `count` on; they must have no uses. */
void nrw_onnx_up_cut_outputs(nrw_node *n, int count);
void nrw_onnx_up_rename(nrw_node *n, const char *type);

#define STEP(name) nrw_status nrw_onnx_up_##name(nrw_onnx_upgrade_run *u, nrw_node *n)
/* upgrade_inputs.c: attributes that became inputs, and renamed things. */
STEP(axes);
STEP(split);
STEP(split_count);
STEP(slice);
STEP(pad_name);
STEP(pad);
STEP(top_k);
STEP(clip);
STEP(dropout_test);
STEP(dropout_mask);
STEP(dropout);
STEP(upsample_scales);
STEP(upsample_input);
STEP(upsample_resize);
STEP(resize);
STEP(resize_empty);
STEP(cast);
STEP(dft);
STEP(grid_sample);
STEP(roi_align);
STEP(scatter);
STEP(reshape);
STEP(concat);
STEP(selu);
STEP(lp_pool);
STEP(recurrent);
/* upgrade_meaning.c: what has to be said with other nodes. */
STEP(broadcast);
STEP(prelu);
STEP(gemm);
STEP(tile);
STEP(softmax);
STEP(batch_norm_test);
STEP(batch_norm_spatial);
STEP(batch_norm_outputs);
STEP(group_norm);
STEP(scan);
#undef STEP

#endif
