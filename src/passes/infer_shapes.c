/* Types and shapes, forward, as far as they can be told without running the model. Small integer
 * tensors that only depend on shapes (Shape, Gather of it, Concat, …) are computed on the way, so
 * that a Reshape to such a shape is known too. */
#include <string.h>

#include "ops/eval.h"
#include "passes/match.h"
#include "passes/pass.h"

#define MAX_KNOWN 64 /* elements of a shape value that is worth computing */

typedef struct inference {
    nrw_model *model;
    nrw_arena *scratch;
    const nrw_tensor **known; /* [n_values] values found out here */
    bool *changed;
} inference;

static const nrw_tensor *known_data(const inference *c, const nrw_value *v) {
    if (nrw_is_const(v) && v->quant == NULL) return v->data;
    return c->known[v->id];
}

/* What old and found tell together; found wins where they differ. */
static nrw_type merge(const nrw_type *old, const nrw_type *found) {
    nrw_type t = *found;
    if (t.dtype == NRW_NONE) {
        t.dtype = old->dtype;
        t.kind = old->kind;
    }
    if (t.rank == NRW_RANK_UNKNOWN) {
        t.rank = old->rank;
        memcpy(t.dims, old->dims, sizeof t.dims);
    } else if (t.rank == old->rank) {
        for (int i = 0; i < t.rank; i++) {
            if (t.dims[i] < 0 && (t.dims[i] == NRW_DIM_UNKNOWN || old->dims[i] >= 0)) {
                t.dims[i] = old->dims[i];
            }
        }
    }
    return t;
}

static bool same_type(const nrw_type *a, const nrw_type *b) {
    return a->kind == b->kind && a->dtype == b->dtype && a->rank == b->rank &&
           (a->rank <= 0 || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0);
}

static bool is_shape_like(const nrw_type *t) {
    int64_t n = nrw_type_count(t);
    return t->kind == NRW_TENSOR && n >= 0 && n <= MAX_KNOWN &&
           (nrw_dtype_is_integer(t->dtype) || t->dtype == NRW_BOOL);
}

static nrw_status shape_tensor(inference *c, const nrw_node *n, nrw_error *err) {
    const nrw_type *x = &n->inputs[0]->type;
    if (x->rank == NRW_RANK_UNKNOWN || n->outputs[0] == NULL) return NRW_OK;
    int from, to;
    nrw_shape_range(n, x->rank, &from, &to);
    for (int i = from; i < to; i++) {
        if (x->dims[i] < 0) return NRW_OK;
    }
    int64_t count = to - from;
    nrw_tensor *t = nrw_arena_calloc(c->scratch, 1, sizeof *t);
    if (t == NULL) NRW_OOM(err);
    NRW_TRY(nrw_tensor_new(c->scratch, NRW_I64, 1, &count, t, err));
    if (count > 0) memcpy(t->data, x->dims + from, (size_t)count * sizeof(int64_t));
    c->known[n->outputs[0]->id] = t;
    return NRW_OK;
}

/* Runs a node whose inputs are all known and whose one output is a shape-like tensor. */
static nrw_status compute(inference *c, const nrw_node *n, nrw_error *err) {
    if (nrw_is(n, "Shape")) return shape_tensor(c, n, err);
    if (n->op->random || n->op->takes_sequences || n->op->reference == NULL) return NRW_OK;
    if (n->n_outputs != 1 || n->outputs[0] == NULL || n->outputs[0]->quant != NULL) return NRW_OK;
    if (!is_shape_like(&n->outputs[0]->type)) return NRW_OK;
    const nrw_tensor **in =
        nrw_arena_calloc(c->scratch, (size_t)n->n_inputs + 1, sizeof(nrw_tensor *));
    nrw_tensor *out = nrw_arena_calloc(c->scratch, 1, sizeof *out);
    if (in == NULL || out == NULL) NRW_OOM(err);
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] == NULL) continue;
        in[i] = known_data(c, n->inputs[i]);
        if (in[i] == NULL || nrw_tensor_count(in[i]) > MAX_KNOWN) return NRW_OK;
    }
    for (int i = 0; i < n->n_attrs; i++) {
        if (n->attrs[i].type == NRW_ATTR_GRAPH || n->attrs[i].type == NRW_ATTR_GRAPHS)
            return NRW_OK;
    }
    /* What cannot be computed here stays unknown; running the model will tell. */
    nrw_status s = nrw_op_run(c->model->context, n, in, out, c->scratch, err);
    if (s == NRW_ERR_MEMORY) return s;
    if (s == NRW_OK && out->data != NULL) c->known[n->outputs[0]->id] = out;
    return NRW_OK;
}

static nrw_status infer_node(inference *c, nrw_node *n, nrw_error *err) {
    if (n->op == NULL || n->op->infer == NULL) return NRW_OK;
    const size_t n_in = (size_t)n->n_inputs + 1, n_out = (size_t)n->n_outputs + 1;
    const nrw_type **in = nrw_arena_calloc(c->scratch, n_in, sizeof(nrw_type *));
    const nrw_tensor **data = nrw_arena_calloc(c->scratch, n_in, sizeof(nrw_tensor *));
    nrw_type *out = nrw_arena_calloc(c->scratch, n_out, sizeof *out);
    if (in == NULL || data == NULL || out == NULL) NRW_OOM(err);
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] == NULL) continue;
        in[i] = &n->inputs[i]->type;
        data[i] = known_data(c, n->inputs[i]);
    }
    NRW_TRY_CTX(err, nrw_op_infer(n, in, data, out, c->scratch, err), "node '%s' (%s)", n->name,
                n->type);
    for (int i = 0; i < n->n_outputs; i++) {
        nrw_value *v = n->outputs[i];
        if (v == NULL) continue;
        nrw_type t = merge(&v->type, &out[i]);
        if (!same_type(&t, &v->type)) *c->changed = true;
        v->type = t;
    }
    return compute(c, n, err);
}

static nrw_status infer_graph(inference *c, nrw_graph *g, nrw_error *err) {
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_attrs; i++) {
            const nrw_attr *a = &n->attrs[i];
            if (a->type == NRW_ATTR_GRAPH) NRW_TRY(infer_graph(c, a->graph, err));
            for (int64_t k = 0; a->type == NRW_ATTR_GRAPHS && k < a->n; k++) {
                NRW_TRY(infer_graph(c, a->graphs[k], err));
            }
        }
        NRW_TRY(infer_node(c, n, err));
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    inference c = {.model = m, .scratch = scratch, .changed = changed};
    c.known = nrw_arena_calloc(scratch, (size_t)m->n_values + 1, sizeof(nrw_tensor *));
    if (c.known == NULL) NRW_OOM(err);
    return infer_graph(&c, m->graph, err);
}

const nrw_pass nrw_pass_infer_shapes = {"infer_shapes", run};
