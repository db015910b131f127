/* Computes nodes whose inputs are all constants, and Shape of a value whose shape is known. A
 * result may not be larger than what it is made from (or 64 KiB): a file that says Expand or
 * ConstantOfShape stays small. Annotated constants are never folded away. */
#include <string.h>

#include "passes/match.h"
#include "passes/pass.h"

#define SMALL_BYTES (64 << 10)

static bool has_body(const nrw_node *n) {
    for (int i = 0; i < n->n_attrs; i++) {
        nrw_attr_type t = n->attrs[i].type;
        if (t == NRW_ATTR_GRAPH || t == NRW_ATTR_GRAPHS || t == NRW_ATTR_RAW) return true;
    }
    return false;
}

/* Every input constant, outputs plain tensors of known and bearable size. */
static bool worth_folding(const nrw_node *n) {
    if (n->op == NULL || n->op->reference == NULL || n->op->random || n->op->takes_sequences)
        return false;
    if (has_body(n)) return false;
    size_t in_bytes = 0, out_bytes = 0;
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] == NULL) continue;
        if (!nrw_is_const(n->inputs[i]) || n->inputs[i]->quant != NULL) return false;
        in_bytes += nrw_tensor_bytes(n->inputs[i]->data);
    }
    for (int i = 0; i < n->n_outputs; i++) {
        const nrw_value *v = n->outputs[i];
        if (v == NULL) continue;
        if (v->quant != NULL || v->type.kind != NRW_TENSOR || v->type.dtype == NRW_NONE)
            return false;
        size_t bytes;
        if (!nrw_type_is_static(&v->type) ||
            nrw_checked_bytes(v->type.dtype, v->type.rank, v->type.dims, &bytes, NULL) != NRW_OK)
            return false;
        out_bytes += bytes;
    }
    return nrw_is(n, "Constant") || out_bytes <= SMALL_BYTES || out_bytes <= in_bytes;
}

static nrw_status put_constant(nrw_value *v, const nrw_tensor *t, nrw_error *err) {
    nrw_graph *g = v->graph;
    nrw_tensor copy;
    NRW_TRY(nrw_tensor_copy(&g->model->arena, t, &copy, err));
    nrw_value *c = nrw_const_new(g, NULL, &copy);
    if (c == NULL) NRW_OOM(err);
    return nrw_value_replace(v, c, err);
}

/* Shape of a value with a known shape is constant whatever the value. */
static nrw_status fold_shape(nrw_node *n, bool *folded, nrw_error *err) {
    const nrw_type *x = &n->inputs[0]->type;
    if (x->rank == NRW_RANK_UNKNOWN || !nrw_type_is_static(x)) return NRW_OK;
    int64_t from = nrw_attr_int(n, "start", 0), to = nrw_attr_int(n, "end", x->rank);
    if (from < 0) from += x->rank;
    if (to < 0) to += x->rank;
    from = from < 0 ? 0 : from > x->rank ? x->rank : from;
    to = to < from ? from : to > x->rank ? x->rank : to;
    int64_t count = to - from, dims[NRW_MAX_RANK];
    memcpy(dims, x->dims, sizeof dims);
    nrw_tensor t = nrw_tensor_make(NRW_I64, 1, &count, dims + from);
    *folded = true;
    return put_constant(n->outputs[0], &t, err);
}

static nrw_status fold_node(nrw_node *n, nrw_arena *scratch, bool *folded, nrw_error *err) {
    if (nrw_is(n, "Shape") && n->outputs[0] != NULL && !nrw_is_const(n->inputs[0]))
        return fold_shape(n, folded, err);
    if (!worth_folding(n)) return NRW_OK;
    const nrw_tensor **in =
        nrw_arena_calloc(scratch, (size_t)n->n_inputs + 1, sizeof(nrw_tensor *));
    nrw_tensor *out = nrw_arena_calloc(scratch, (size_t)n->n_outputs + 1, sizeof *out);
    if (in == NULL || out == NULL) NRW_OOM(err);
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] != NULL) in[i] = n->inputs[i]->data;
    }
    nrw_status s = nrw_op_run(n->graph->model->context, n, in, out, scratch, err);
    if (s == NRW_ERR_MEMORY) return s;
    if (s != NRW_OK) return NRW_OK; /* the node stays, and says so itself when it is run */
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] == NULL || n->outputs[i]->n_uses == 0) continue;
        NRW_TRY(put_constant(n->outputs[i], &out[i], err));
    }
    *folded = true;
    return NRW_OK;
}

typedef struct folding {
    nrw_arena *scratch;
    bool *changed;
} folding;

static nrw_status fold_graph(nrw_graph *g, void *user, nrw_error *err) {
    folding *f = user;
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        bool folded = false;
        NRW_TRY_CTX(err, fold_node(n, f->scratch, &folded, err), "node '%s'", n->name);
        nrw_arena_free(f->scratch);
        if (!folded) continue;
        nrw_node_remove(n);
        *f->changed = true;
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    folding f = {scratch, changed};
    return nrw_each_graph(m->graph, fold_graph, &f, err);
}

const nrw_pass nrw_pass_fold_constants = {"fold_constants", run};
