/* Small questions that passes ask, and small things that they make. */
#ifndef NRW_PASSES_MATCH_H
#define NRW_PASSES_MATCH_H

#include "ir/graph.h"
#include "ops/op.h"

/* n is this operator of ONNX's own domain; n may be NULL. */
bool nrw_is(const nrw_node *n, const char *type);
static inline nrw_value *nrw_input(const nrw_node *n, int i) {
    return i < n->n_inputs ? n->inputs[i] : NULL;
}
/* A constant that nobody can override. */
bool nrw_is_const(const nrw_value *v);
/* Its elements if it is a plain float32 constant, else NULL. */
const float *nrw_const_floats(const nrw_value *v, int64_t *n);
/* A plain float32 constant of one element. */
bool nrw_const_scalar(const nrw_value *v, float *x);
/* A constant of at most max integers. */
bool nrw_const_ints(const nrw_value *v, int64_t *x, int max, int *n);
/* n is a Relu, or a Clip by constants; what it leaves is in [*lo, *hi]. */
bool nrw_clamp_bounds(const nrw_node *n, double *lo, double *hi);
/* The node that makes v if it is of this type and v has no other use than the one given. */
nrw_node *nrw_made_by(const nrw_value *v, const char *type);

/* The ai.narrow::ConvLast that makes v for its only reader, with nothing behind its results yet;
 * NULL: none does. */
nrw_node *nrw_made_by_bare_conv_last(const nrw_value *v);
/* What `behind` does to conv's result becomes part of conv, which reads `with` as input i for it.
 */
nrw_status nrw_conv_last_take(nrw_node *conv, int i, nrw_value *with, nrw_node *behind,
                              nrw_error *err) NRW_MUST_CHECK;

/* Any node of the graph itself reads or makes an annotated value. */
bool nrw_is_annotated(const nrw_graph *g);

/* Calls fn for every graph of the model: the main one, then the bodies of its nodes, and so on. */
typedef nrw_status (*nrw_graph_fn)(nrw_graph *g, void *user, nrw_error *err);
nrw_status nrw_each_graph(nrw_graph *g, nrw_graph_fn fn, void *user, nrw_error *err) NRW_MUST_CHECK;

/* A new float32 constant; the elements lie in the model's arena, to be filled in. */
nrw_value *nrw_new_floats(nrw_graph *g, const char *like, int rank, const int64_t *dims,
                          float **elements);
/* A node of ONNX's own domain with one output, put before `before` (NULL: at the end); inputs may
 * be NULL. Returns the output; NULL: out of memory. */
nrw_value *nrw_emit(nrw_graph *g, const char *type, int n_in, nrw_value *const *in,
                    const nrw_type *out, nrw_node *before);

#endif
