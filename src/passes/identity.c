/* Removes nodes that hand their first input on as it is: Identity, Dropout at inference, and shape
 * or type operators whose output is known to have the input's type and shape. */
#include <string.h>

#include "passes/match.h"
#include "passes/pass.h"

static bool same_static_type(const nrw_value *a, const nrw_value *b) {
    return a->type.kind == NRW_TENSOR && b->type.kind == NRW_TENSOR && a->type.dtype != NRW_NONE &&
           a->type.dtype == b->type.dtype && nrw_type_is_static(&a->type) &&
           nrw_type_is_static(&b->type) &&
           nrw_dims_equal(a->type.rank, a->type.dims, b->type.rank, b->type.dims);
}

static bool keeps_order(const nrw_node *n) {
    int64_t count;
    const int64_t *perm = nrw_attr_ints(n, "perm", &count);
    if (perm == NULL) return n->inputs[0]->type.rank >= 0 && n->inputs[0]->type.rank < 2;
    for (int64_t i = 0; i < count; i++) {
        if (perm[i] != i) return false;
    }
    return true;
}

static bool no_padding(const nrw_node *n) {
    int64_t pads[2 * NRW_MAX_RANK];
    int count;
    if (!nrw_const_ints(nrw_input(n, 1), pads, 2 * NRW_MAX_RANK, &count)) return false;
    for (int i = 0; i < count; i++) {
        if (pads[i] != 0) return false;
    }
    return true;
}

static bool forward_slice(const nrw_node *n) {
    int64_t steps[NRW_MAX_RANK];
    int count;
    if (nrw_input(n, 4) == NULL) return true;
    if (!nrw_const_ints(n->inputs[4], steps, NRW_MAX_RANK, &count)) return false;
    for (int i = 0; i < count; i++) {
        if (steps[i] < 0) return false;
    }
    return true;
}

static bool is_inference(const nrw_node *n) {
    const nrw_value *training = nrw_input(n, 2);
    if (training == NULL) return true;
    return nrw_is_const(training) && training->data->dtype == NRW_BOOL &&
           !*(const bool *)training->data->data;
}

static bool does_nothing(const nrw_node *n) {
    const nrw_value *x = n->inputs[0], *y = n->outputs[0];
    if (nrw_is(n, "Identity")) return true;
    if (nrw_is(n, "Dropout")) {
        return (n->n_outputs < 2 || n->outputs[1] == NULL || n->outputs[1]->n_uses == 0) &&
               is_inference(n);
    }
    if (nrw_is(n, "Transpose")) return keeps_order(n);
    if (nrw_is(n, "Pad")) return no_padding(n);
    if (nrw_is(n, "Cast")) {
        return x->type.dtype != NRW_NONE && x->type.kind == NRW_TENSOR &&
               nrw_dtype_from_onnx((int)nrw_attr_int(n, "to", 0)) == x->type.dtype;
    }
    if (nrw_is(n, "Concat")) return n->n_inputs == 1;
    if (nrw_is(n, "Slice")) return same_static_type(x, y) && forward_slice(n);
    return (nrw_is(n, "Reshape") || nrw_is(n, "Flatten") || nrw_is(n, "Squeeze") ||
            nrw_is(n, "Unsqueeze") || nrw_is(n, "Expand")) &&
           same_static_type(x, y);
}

/* A graph output cannot become a graph input, a constant, another output or a value from outside:
 * its name is an interface. */
static bool may_replace(const nrw_value *y, const nrw_value *x) {
    if (!nrw_quant_equal(x->quant, y->quant)) return false;
    if (!nrw_value_is_graph_output(y)) return true;
    return x->producer != NULL && x->graph == y->graph && !nrw_value_is_graph_output(x);
}

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        if (n->op == NULL || n->n_inputs < 1 || n->n_outputs < 1) continue;
        nrw_value *x = n->inputs[0], *y = n->outputs[0];
        if (x == NULL || y == NULL || !does_nothing(n) || !may_replace(y, x)) continue;
        if (x->type.dtype == NRW_NONE || x->type.rank == NRW_RANK_UNKNOWN) x->type = y->type;
        nrw_node_remove(n);
        NRW_TRY(nrw_value_replace(y, x, err));
        *(bool *)user = true;
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    (void)scratch;
    return nrw_each_graph(m->graph, sweep, changed, err);
}

const nrw_pass nrw_pass_identity = {"identity", run};
