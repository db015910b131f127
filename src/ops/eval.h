/* Pieces of running a node that the session (runtime) shares with nrw_op_run. */
#ifndef NRW_OPS_EVAL_H
#define NRW_OPS_EVAL_H

#include "ops/op.h"

/* Does any input or output carry an annotation? */
bool nrw_eval_is_annotated(const nrw_node *n);
/* May the node run on its values' integers as they lie in memory (op->integer, or a reference
 * kernel that only moves elements whose parameters are the same on both sides)? */
bool nrw_eval_takes_integers(const nrw_node *n);
/* Runs a float kernel on a node with annotations: inputs dequantized into scratch, outputs
 * quantized. */
nrw_status nrw_eval_simulated(nrw_eval *e, nrw_run_fn run) NRW_MUST_CHECK;
/* As nrw_quantize_values, by the tier's kernels and threads. y: annotated, not dynamic. */
nrw_status nrw_quantize_floats(const struct nrw_kernels *kn, nrw_pool *pool, const float *x,
                               nrw_tensor *y, nrw_error *err) NRW_MUST_CHECK;
/* Quantizes what was computed for annotated output i into its memory, measuring the range first
 * where its parameters are dynamic. */
nrw_status nrw_eval_quantize(nrw_eval *e, int i, const float *computed) NRW_MUST_CHECK;
/* The axes that the Shape node tells of an input of this rank: [*start, *end), clamped. */
void nrw_shape_range(const nrw_node *node, int rank, int *start, int *end);
/* The shape rule on the inputs as they are now: real types, and all of them known as data. */
nrw_status nrw_op_infer_now(const nrw_node *n, const nrw_tensor *const *in, nrw_type *out,
                            nrw_arena *scratch, nrw_error *err) NRW_MUST_CHECK;
/* Sets up *out for a value of this (real) type: storage type, annotation, and memory from the host
 * if the type is static; else only kind and annotation. v may be NULL. */
nrw_status nrw_eval_prepare_output(struct nrw_host *h, const nrw_value *v, const nrw_type *type,
                                   nrw_tensor *out, nrw_error *err) NRW_MUST_CHECK;

#endif
