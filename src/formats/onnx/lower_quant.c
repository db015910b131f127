/* Annotations to QuantizeLinear and DequantizeLinear. */
#include <string.h>

#include "formats/onnx/quantized.h"
#include "passes/match.h"
#include "passes/pass.h"

/* The integers of one annotated value, and how they are made real again. */
typedef struct lowered {
    nrw_value *q, *scale, *zero; /* zero NULL: int32, which has none (ONNX, DequantizeLinear) */
    int axis;
    int64_t block;
} lowered;

static nrw_node *after(const nrw_value *v) {
    return v->producer != NULL ? v->producer->next : v->graph->first;
}

static nrw_status set_axis(nrw_node *n, int axis, int64_t block, nrw_error *err) {
    if (axis < 0) return NRW_OK;
    NRW_TRY(nrw_node_set_int(n, "axis", axis, err));
    return block > 0 ? nrw_node_set_int(n, "block_size", block, err) : NRW_OK;
}

/* A DequantizeLinear for one use, right before the node that uses it (NULL: at the end). */
static nrw_value *dequantized(const lowered *l, const nrw_type *type, nrw_node *user, nrw_graph *g,
                              nrw_error *err) {
    nrw_type real = *type;
    real.dtype = NRW_F32;
    nrw_value *v = nrw_emit(g, "DequantizeLinear", l->zero != NULL ? 3 : 2,
                            (nrw_value *[]){l->q, l->scale, l->zero}, &real, user);
    if (v == NULL || set_axis(v->producer, l->axis, l->block, err) != NRW_OK) return NULL;
    return v;
}

static nrw_status redirect_use(const lowered *l, nrw_value *v, nrw_use use, nrw_error *err) {
    nrw_graph *g = use.node != NULL ? use.node->graph : use.graph;
    if (use.node == NULL && v->as_integers) {
        /* An input that is an output as well stays both. */
        if (l->q == v) return NRW_OK;
        nrw_value_swap_names(v, l->q);
        return nrw_graph_set_output(use.graph, use.index, l->q, err);
    }
    nrw_value *real = dequantized(l, &v->type, use.node, g, err);
    if (real == NULL) NRW_OOM(err);
    if (use.node != NULL) return nrw_node_set_input(use.node, use.index, real, err);
    /* The output's name is an interface. */
    nrw_value_swap_names(v, real);
    return nrw_graph_set_output(use.graph, use.index, real, err);
}

/* All uses of v but the one by `except` read the integers through nodes of their own. */
static nrw_status redirect(const lowered *l, nrw_value *v, const nrw_node *except, nrw_error *err) {
    for (size_t left = v->n_uses; left-- > 0;) {
        const nrw_use use = v->uses[left];
        if (use.node != NULL && use.node == except) continue;
        NRW_TRY(redirect_use(l, v, use, err));
    }
    return NRW_OK;
}

static nrw_status lower_value(nrw_value *v, nrw_error *err) {
    const nrw_quant *q = v->quant;
    nrw_graph *g = v->graph;
    nrw_node *producer = v->producer;
    lowered l = {.axis = q->axis, .block = q->block};
    nrw_type type = v->type;
    type.dtype = q->dtype;
    NRW_TRY(nrw_onnx_params(g, q, &v->type, &l.scale, &l.zero, err));
    const bool requantize = producer != NULL && strcmp(producer->type, "Requantize") == 0;
    nrw_value *from = requantize ? producer->inputs[0] : v;
    l.q = nrw_emit(g, "QuantizeLinear", 3, (nrw_value *[]){from, l.scale, l.zero}, &type, after(v));
    if (l.q == NULL) NRW_OOM(err);
    NRW_TRY(set_axis(l.q->producer, q->axis, q->block, err));
    v->quant = NULL;
    NRW_TRY(redirect(&l, v, l.q->producer, err));
    if (requantize) nrw_node_remove(producer);
    return NRW_OK;
}

/* Rows are picked from the integers, and only those are made real. */
static nrw_status lower_table(const lowered *l, nrw_node *gather, nrw_error *err) {
    nrw_graph *g = gather->graph;
    nrw_value *y = gather->outputs[0];
    NRW_TRY(nrw_node_set_input(gather, 0, l->q, err));
    nrw_type type = y->type;
    type.dtype = l->q->type.dtype;
    nrw_value *rows = nrw_value_new(g, NULL, &type);
    if (rows == NULL) NRW_OOM(err);
    nrw_node_set_output(gather, 0, NULL);
    nrw_node_set_output(gather, 0, rows);
    nrw_node *dq = nrw_node_new(g, nrw_op_find("DequantizeLinear", ""), "DequantizeLinear", "",
                                NULL, 3, 1, gather->next);
    if (dq == NULL) NRW_OOM(err);
    NRW_TRY(nrw_node_set_input(dq, 0, rows, err));
    NRW_TRY(nrw_node_set_input(dq, 1, l->scale, err));
    NRW_TRY(nrw_node_set_input(dq, 2, l->zero, err));
    nrw_node_set_output(dq, 0, y);
    return l->axis < 0 ? NRW_OK : nrw_node_set_int(dq, "axis", -1, err);
}

static bool picks_rows(const nrw_value *v, const nrw_use *u) {
    return nrw_is(u->node, "Gather") && u->index == 0 && v->data->rank == 2 &&
           nrw_attr_int(u->node, "axis", 0) == 0 && v->quant->axis != 0 && v->quant->block == 0 &&
           u->node->outputs[0] != NULL && u->node->outputs[0]->quant == NULL;
}

/* The scale that the DequantizeLinear in front of input i of n has. */
static nrw_value *scale_of_input(const nrw_node *n, int i) {
    const nrw_value *v = nrw_input(n, i);
    return v != NULL && nrw_is(v->producer, "DequantizeLinear") ? v->producer->inputs[1] : NULL;
}

static bool is_product(const nrw_tensor *x, const nrw_tensor *w, const nrw_tensor *of) {
    if (x->rank != 0 || w->rank != 1 || !nrw_dims_equal(w->rank, w->dims, of->rank, of->dims))
        return false;
    const float *a = x->data, *b = w->data, *c = of->data;
    for (int64_t i = 0; i < w->dims[0]; i++) {
        if (a[0] * b[i] != c[i]) return false;
    }
    return true;
}

/* A bias has the product of two scales that the file holds already. Written as such, scales of
 * channels are stored once; runtimes compute it at load. */
static nrw_status lower_bias(const lowered *l, nrw_value *v, nrw_use use, nrw_error *err) {
    enum { least = 16 }; /* fewer do not pay for a node */
    lowered own = *l;
    nrw_value *x = NULL, *w = NULL;
    int64_t n;
    if (use.node != NULL && use.index == 2 && v->quant->dtype == NRW_I32 &&
        v->quant->count >= least) {
        x = scale_of_input(use.node, 0);
        w = scale_of_input(use.node, 1);
    }
    if (nrw_const_floats(x, &n) != NULL && nrw_const_floats(w, &n) != NULL &&
        is_product(x->data, w->data, l->scale->data)) {
        own.scale =
            nrw_emit(use.node->graph, "Mul", 2, (nrw_value *[]){x, w}, &l->scale->type, use.node);
        if (own.scale == NULL) NRW_OOM(err);
    }
    return redirect_use(&own, v, use, err);
}

static nrw_status lower_constant(nrw_value *v, bool products, nrw_error *err) {
    const nrw_quant *q = v->quant;
    nrw_graph *g = v->graph;
    lowered l = {.axis = q->axis, .block = q->block};
    nrw_tensor plain = *v->data;
    plain.quant = NULL;
    l.q = nrw_const_new(g, NULL, &plain);
    if (l.q == NULL) NRW_OOM(err);
    /* Nothing will use v any more. */
    nrw_value_swap_names(l.q, v);
    NRW_TRY(nrw_onnx_params(g, q, &v->type, &l.scale, &l.zero, err));
    if (q->dtype == NRW_I32) l.zero = NULL; /* 0 by nrw_quant_bias */
    for (size_t left = v->n_uses; left-- > 0;) {
        const nrw_use use = v->uses[left];
        if (use.node != NULL && picks_rows(v, &use))
            NRW_TRY(lower_table(&l, use.node, err));
        else if (products)
            NRW_TRY(lower_bias(&l, v, use, err));
        else
            NRW_TRY(redirect_use(&l, v, use, err));
    }
    return NRW_OK;
}

/* Callers give the integers. */
static nrw_status lower_integer_input(nrw_value *v, nrw_error *err) {
    const nrw_quant *q = v->quant;
    lowered l = {.q = v, .axis = q->axis, .block = q->block};
    NRW_TRY(nrw_onnx_params(v->graph, q, &v->type, &l.scale, &l.zero, err));
    v->quant = NULL;
    v->type.dtype = q->dtype;
    return redirect(&l, v, NULL, err);
}

static nrw_status lower_inputs(nrw_graph *g, nrw_error *err) {
    for (int i = 0; i < g->n_inputs; i++) {
        nrw_value *v = g->inputs[i];
        if (v->quant == NULL || v->data != NULL) continue;
        NRW_TRY(v->as_integers ? lower_integer_input(v, err) : lower_value(v, err));
    }
    return NRW_OK;
}

/* A Requantize without annotation only says "real again", which every use says for itself. */
static nrw_status drop_widening(nrw_graph *g, nrw_error *err) {
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        if (strcmp(n->type, "Requantize") != 0 || strcmp(n->domain, "ai.narrow") != 0) continue;
        nrw_value *x = n->inputs[0], *y = n->outputs[0];
        if (y->quant != NULL) continue;
        nrw_node_remove(n);
        NRW_TRY(nrw_value_replace(y, x, err));
    }
    return NRW_OK;
}

/* onnxruntime turns MatMul and Add of a row into Gemm before it looks for quantized nodes, and then
 * finds none. It leaves a bias of rank 3 alone. */
static nrw_status keep_bias_apart(nrw_node *n, nrw_error *err) {
    const nrw_value *w = nrw_input(n, 1);
    if (!nrw_is(n, "MatMul") || w->data == NULL || w->quant == NULL || n->inputs[0]->quant == NULL)
        return NRW_OK;
    const nrw_use *u = nrw_value_only_use(n->outputs[0]);
    if (u == NULL || !nrw_is(u->node, "Add") || n->outputs[0]->quant != NULL) return NRW_OK;
    nrw_value *b = u->node->inputs[1 - u->index];
    int64_t count;
    const float *row = nrw_const_floats(b, &count);
    if (row == NULL || b->data->rank != 1 || n->outputs[0]->type.rank < 3) return NRW_OK;
    nrw_tensor t = nrw_tensor_make(NRW_F32, 3, (const int64_t[]){1, 1, count}, b->data->data);
    nrw_value *cube = nrw_const_new(n->graph, NULL, &t);
    if (cube == NULL) NRW_OOM(err);
    if (nrw_value_only_use(b) != NULL) {
        nrw_value_swap_names(cube, b);
    }
    return nrw_node_set_input(u->node, 1 - u->index, cube, err);
}

typedef struct lowering {
    bool qoperator;
    bool any; /* annotations were found */
} lowering;

static nrw_status lower_graph(nrw_graph *g, void *user, nrw_error *err) {
    lowering *l = user;
    l->any = l->any || nrw_is_annotated(g);
    NRW_TRY(nrw_onnx_lower_dynamic(g, err));
    NRW_TRY(drop_widening(g, err));
    for (nrw_node *n = g->first; n != NULL; n = n->next) NRW_TRY(keep_bias_apart(n, err));
    NRW_TRY(lower_inputs(g, err));
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        for (int i = 0; i < n->n_inputs; i++) {
            nrw_value *v = n->inputs[i];
            if (v != NULL && v->data != NULL && v->quant != NULL)
                NRW_TRY_CTX(err, lower_constant(v, !l->qoperator, err), "value '%s'", v->name);
        }
        const int n_out = n->n_outputs;
        nrw_value *const *out = n->outputs; /* outlives the node: all is in the arena */
        for (int i = 0; i < n_out; i++) {
            if (out[i] != NULL && out[i]->quant != NULL)
                NRW_TRY_CTX(err, lower_value(out[i], err), "value '%s'", out[i]->name);
        }
    }
    return l->qoperator ? nrw_onnx_to_qoperators(g, err) : NRW_OK;
}

nrw_status nrw_onnx_lower_quantization(nrw_model *m, bool qoperator, nrw_error *err) {
    lowering l = {.qoperator = qoperator};
    NRW_TRY(nrw_each_graph(m->graph, lower_graph, &l, err));
    NRW_TRY(nrw_graph_sort(m->graph, err));
    return l.any ? nrw_run_pipeline(m, NRW_PIPELINE_SHRINK, NULL, err) : NRW_OK;
}
