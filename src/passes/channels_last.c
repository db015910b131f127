#include "passes/for_plans.h"

#include <string.h>

#include "ops/conv_last.h"
#include "passes/match.h"
#include "passes/pass.h"

static const int64_t to_last[4] = {0, 2, 3, 1}, to_first[4] = {0, 3, 1, 2};

/* Work on one element at a time, or on pairs that broadcast. */
static const char *const elementwise[] = {
    "Add",         "Mul",       "Sub",   "Relu",       "Clip",  "Sigmoid", "HardSwish",
    "HardSigmoid", "LeakyRelu", "Elu",   "Tanh",       "Mish",  "Gelu",    "Softplus",
    "Neg",         "Abs",       "Swish", "Requantize", "Table", NULL};

static bool is_elementwise(const nrw_node *n) {
    for (const char *const *e = elementwise; n->op != NULL && *e != NULL; e++) {
        if (strcmp(*e, n->type) == 0) return true;
    }
    return false;
}

/* Binary operators take data in both inputs; of others the first counts (Clip's bounds do not). */
static int data_inputs(const nrw_node *n) {
    if (nrw_is(n, "Concat")) return n->n_inputs;
    return nrw_is(n, "Add") || nrw_is(n, "Mul") || nrw_is(n, "Sub") ? 2 : 1;
}

static bool has_perm(const nrw_node *n, const int64_t *perm) {
    int64_t count;
    if (!nrw_is(n, "Transpose")) return false;
    const int64_t *p = nrw_attr_ints(n, "perm", &count);
    return p != NULL && count == 4 && memcmp(p, perm, 4 * sizeof *perm) == 0;
}

static nrw_type permuted(const nrw_type *t, const int64_t *perm) {
    nrw_type out = *t;
    for (int i = 0; i < 4 && t->rank == 4; i++) out.dims[i] = t->dims[perm[i]];
    return out;
}

static nrw_node *transpose(nrw_graph *g, nrw_value *x, nrw_value *y, const int64_t *perm,
                           nrw_node *before, nrw_error *err) {
    nrw_node *n =
        nrw_node_new(g, nrw_op_find("Transpose", ""), "Transpose", "", NULL, 1, 1, before);
    if (n == NULL || nrw_node_set_ints(n, "perm", 4, perm, err) != NRW_OK ||
        nrw_node_set_input(n, 0, x, err) != NRW_OK)
        return NULL;
    nrw_node_set_output(n, 0, y);
    return n;
}

/* n makes its output with channels last, and a Transpose behind it makes what it was. */
static nrw_status turn_output(nrw_node *n, nrw_error *err) {
    nrw_value *y = n->outputs[0];
    const nrw_type type = permuted(&y->type, to_last);
    nrw_value *last = nrw_value_new(n->graph, NULL, &type);
    if (last == NULL) NRW_OOM(err);
    last->quant = y->quant;
    nrw_node_set_output(n, 0, NULL);
    nrw_node_set_output(n, 0, last);
    return transpose(n->graph, last, y, to_first, n->next, err) != NULL
               ? NRW_OK
               : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
}

static nrw_status turn_conv(nrw_node *n, nrw_error *err) {
    nrw_value *x = n->inputs[0];
    const nrw_type type = permuted(&x->type, to_last);
    nrw_value *last = nrw_value_new(n->graph, NULL, &type);
    if (last == NULL) NRW_OOM(err);
    last->quant = x->quant;
    if (transpose(n->graph, x, last, to_last, n, err) == NULL) NRW_OOM(err);
    nrw_become(n, "ConvLast");
    NRW_TRY(nrw_node_set_input(n, 0, last, err));
    return turn_output(n, err);
}

/* The value with channels last that a Transpose in front of input i comes from; NULL: none. */
static nrw_value *turned_already(const nrw_node *n, int i) {
    const nrw_value *v = n->inputs[i];
    return v != NULL && has_perm(v->producer, to_first) ? v->producer->inputs[0] : NULL;
}

/* A constant operand broadcasts to [batch, channels, h, w]: one element, or one for each channel.
 */
static bool can_turn_const(const nrw_value *v) {
    if (!nrw_is_const(v) || (v->quant != NULL && v->quant->axis >= 0)) return false;
    const nrw_tensor *t = v->data;
    if (nrw_tensor_count(t) == 1) return true;
    return t->rank >= 3 && t->rank <= 4 && t->dims[t->rank - 1] == 1 && t->dims[t->rank - 2] == 1 &&
           (t->rank == 3 || t->dims[0] == 1);
}

/* The same elements along the last axis. */
static nrw_value *turn_const(nrw_node *n, const nrw_value *v) {
    nrw_tensor t = *v->data;
    const int64_t count = nrw_tensor_count(&t);
    t.rank = 1;
    t.dims[0] = count;
    nrw_value *c = nrw_const_new(n->graph, NULL, &t);
    if (c != NULL) c->quant = v->quant;
    return c;
}

/* The name of the operator that does what a pool does with channels last; NULL: there is none. */
static const char *pool_last(const nrw_node *n) {
    if (n->outputs[0] == NULL || n->inputs[0]->type.rank != 4) return NULL;
    if (!nrw_quant_is_u8(n->inputs[0]->quant) || !nrw_quant_is_u8(n->outputs[0]->quant))
        return NULL;
    if (nrw_is(n, "GlobalAveragePool")) return "GlobalAveragePoolLast";
    const bool indices = n->n_outputs > 1 && n->outputs[1] != NULL;
    if (!nrw_is(n, "MaxPool") || indices) return NULL;
    return nrw_quant_equal(n->inputs[0]->quant, n->outputs[0]->quant) ? "MaxPoolLast" : NULL;
}

static bool can_sink(const nrw_node *n) {
    const bool joins = nrw_is(n, "Concat");
    if (n->op == NULL || n->n_outputs < 1 || n->n_inputs < 1) return false;
    if (n->inputs[0] == NULL || n->outputs[0] == NULL) return false;
    if (!joins && !(is_elementwise(n) && n->n_outputs == 1) && pool_last(n) == NULL) return false;
    if (n->outputs[0]->type.rank != 4) return false;
    if (joins && nrw_attr_int(n, "axis", 0) != 1 && nrw_attr_int(n, "axis", 0) != -3) return false;
    int turned = 0;
    for (int i = 0; i < data_inputs(n); i++) {
        if (n->inputs[i] == NULL) return false;
        if (turned_already(n, i) != NULL)
            turned++;
        else if (joins || !can_turn_const(n->inputs[i]))
            return false;
    }
    return turned > 0;
}

static nrw_status sink(nrw_node *n, nrw_error *err) {
    const char *pool = pool_last(n);
    if (pool != NULL) nrw_become(n, pool);
    for (int i = 0; i < data_inputs(n); i++) {
        nrw_value *v = turned_already(n, i);
        if (v == NULL) v = turn_const(n, n->inputs[i]);
        if (v == NULL) NRW_OOM(err);
        NRW_TRY(nrw_node_set_input(n, i, v, err));
    }
    if (nrw_is(n, "Concat")) NRW_TRY(nrw_node_set_int(n, "axis", 3, err));
    return turn_output(n, err);
}

/* Transpose of a Transpose back: readers take what there was. */
static nrw_status cancel(nrw_graph *g, nrw_error *err) {
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        if (!has_perm(n, to_last)) continue;
        const nrw_node *before = n->inputs[0]->producer;
        if (!has_perm(before, to_first) || nrw_value_is_graph_output(n->outputs[0])) continue;
        if (!nrw_quant_equal(before->inputs[0]->quant, n->outputs[0]->quant)) continue;
        NRW_TRY(nrw_value_replace(n->outputs[0], before->inputs[0], err));
    }
    return NRW_OK;
}

nrw_status nrw_channels_last(nrw_model *m, const struct nrw_kernels *kn, nrw_error *err) {
    nrw_graph *g = m->graph;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        if (nrw_is(n, "Conv") && n->outputs[0] != NULL && n->inputs[0]->type.rank == 4 &&
            nrw_conv_last_suits(kn, n))
            NRW_TRY(turn_conv(n, err));
    }
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        if (can_sink(n)) NRW_TRY(sink(n, err));
    }
    NRW_TRY(cancel(g, err));
    return nrw_run_pass(m, &nrw_pass_dead_code, NULL, err);
}
