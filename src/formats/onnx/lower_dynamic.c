/* Layers whose input is measured at run time: DynamicQuantizeLinear, an integer product, and what
 * makes it real again. */
#include <string.h>

#include "formats/onnx/quantized.h"
#include "ops/op.h"
#include "passes/match.h"

typedef struct measured {
    nrw_value *q, *scale, *zero;
} measured;

static bool is_layer_of(const nrw_use *u) {
    const nrw_node *n = u->node;
    if (n == NULL || u->index != 0) return false;
    if (!nrw_is(n, "MatMul") && !nrw_is(n, "Gemm") && !nrw_is(n, "Conv")) return false;
    const nrw_value *w = nrw_input(n, 1);
    for (int64_t i = 0; w != NULL && w->quant != NULL && i < w->quant->count; i++) {
        if (w->quant->zero_point[i] != 0) return false;
    }
    return w != NULL && w->data != NULL && w->quant != NULL && w->quant->block == 0 &&
           (w->quant->dtype == NRW_I8 || w->quant->dtype == NRW_U8) && n->outputs[0]->quant == NULL;
}

/* The integers of the weights; those of a transposed Gemm the other way round. */
static nrw_status plain_weights(const nrw_node *n, nrw_tensor *t, nrw_error *err) {
    const nrw_tensor *w = n->inputs[1]->data;
    *t = *w;
    t->quant = NULL;
    if (!nrw_is(n, "Gemm") || nrw_attr_int(n, "transB", 0) == 0) return NRW_OK;
    const int64_t rows = w->dims[0], columns = w->dims[1];
    const int64_t dims[2] = {columns, rows};
    NRW_TRY(nrw_tensor_new(&n->graph->model->arena, w->dtype, 2, dims, t, err));
    const char *from = w->data;
    char *to = t->data;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c];
    }
    return NRW_OK;
}

/* Per-channel numbers in the shape that spreads over the layer's output. */
static nrw_value *channel_constant(nrw_graph *g, const nrw_node *n, const char *like,
                                   const float *x, int64_t count) {
    const int spatial = nrw_is(n, "Conv") ? n->inputs[1]->data->rank - 2 : 0;
    int64_t dims[NRW_MAX_RANK] = {count};
    for (int i = 1; i <= spatial; i++) dims[i] = 1;
    float *to;
    nrw_value *v = nrw_new_floats(g, like, count == 1 ? 0 : 1 + spatial, dims, &to);
    if (v != NULL) memcpy(to, x, (size_t)count * sizeof *x);
    return v;
}

static nrw_status copy_window(const nrw_node *from, nrw_node *to, nrw_error *err) {
    for (int i = 0; i < from->n_attrs; i++) {
        if (nrw_is(from, "Conv")) NRW_TRY(nrw_node_set_attr(to, &from->attrs[i], err));
    }
    return NRW_OK;
}

static nrw_value *bias_of(nrw_node *n) {
    nrw_value *b = nrw_is(n, "MatMul") ? NULL : nrw_input(n, 2);
    int64_t count;
    const float *x = nrw_const_floats(b, &count);
    return x != NULL ? channel_constant(n->graph, n, b->name, x, count) : b;
}

static nrw_status lower_layer(nrw_node *n, const measured *m, nrw_error *err) {
    nrw_graph *g = n->graph;
    nrw_value *w = n->inputs[1], *y = n->outputs[0];
    nrw_type sums = y->type, real = y->type;
    sums.dtype = NRW_I32;
    nrw_tensor t;
    NRW_TRY(plain_weights(n, &t, err));
    nrw_value *wq = nrw_const_new(g, NULL, &t);
    nrw_value *ws = channel_constant(g, n, w->name, w->quant->scale, w->quant->count);
    const nrw_type scale_type = nrw_type_unknown();
    if (wq == NULL || ws == NULL) NRW_OOM(err);
    nrw_value_swap_names(wq, w);
    nrw_value *acc = nrw_emit(g, nrw_is(n, "Conv") ? "ConvInteger" : "MatMulInteger", 3,
                              (nrw_value *[]){m->q, wq, m->zero}, &sums, n);
    if (acc == NULL) NRW_OOM(err);
    NRW_TRY(copy_window(n, acc->producer, err));
    nrw_value *f = nrw_emit(g, "Cast", 1, &acc, &real, n);
    if (f == NULL) NRW_OOM(err);
    NRW_TRY(nrw_node_set_int(f->producer, "to", nrw_dtype_get(NRW_F32)->onnx, err));
    nrw_value *s = nrw_emit(g, "Mul", 2, (nrw_value *[]){m->scale, ws}, &scale_type, n);
    nrw_value *b = bias_of(n);
    nrw_value *out = s == NULL ? NULL : nrw_emit(g, "Mul", 2, (nrw_value *[]){f, s}, &real, n);
    if (out != NULL && b != NULL) out = nrw_emit(g, "Add", 2, (nrw_value *[]){out, b}, &real, n);
    if (out == NULL) NRW_OOM(err);
    nrw_node *last = out->producer;
    nrw_node_take_name(acc->producer, n);
    nrw_node_remove(n);
    nrw_node_set_output(last, 0, NULL);
    nrw_node_set_output(last, 0, y);
    return NRW_OK;
}

static nrw_status lower_measured(nrw_node *n, nrw_error *err) {
    nrw_graph *g = n->graph;
    nrw_value *x = n->inputs[0], *v = n->outputs[0];
    const nrw_type scalar[3] = {v->type, nrw_type_make(NRW_F32, 0, NULL),
                                nrw_type_make(NRW_U8, 0, NULL)};
    nrw_node *dql = nrw_node_new(g, nrw_op_find("DynamicQuantizeLinear", ""),
                                 "DynamicQuantizeLinear", "", NULL, 1, 3, n);
    if (dql == NULL) NRW_OOM(err);
    NRW_TRY(nrw_node_set_input(dql, 0, x, err));
    for (int i = 0; i < 3; i++) {
        nrw_value *o = nrw_value_new(g, NULL, &scalar[i]);
        if (o == NULL) NRW_OOM(err);
        if (i == 0) o->type.dtype = NRW_U8;
        nrw_node_set_output(dql, i, o);
    }
    const measured m = {dql->outputs[0], dql->outputs[1], dql->outputs[2]};
    while (v->n_uses > 0) {
        const nrw_use u = v->uses[v->n_uses - 1];
        if (is_layer_of(&u)) {
            NRW_TRY(lower_layer(u.node, &m, err));
            continue;
        }
        nrw_value *real = nrw_emit(u.node != NULL ? u.node->graph : u.graph, "DequantizeLinear", 3,
                                   (nrw_value *[]){m.q, m.scale, m.zero}, &v->type, u.node);
        if (real == NULL) NRW_OOM(err);
        NRW_TRY(u.node != NULL ? nrw_node_set_input(u.node, u.index, real, err)
                               : nrw_graph_set_output(u.graph, u.index, real, err));
    }
    nrw_node_remove(n);
    return NRW_OK;
}

nrw_status nrw_onnx_lower_dynamic(nrw_graph *g, nrw_error *err) {
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        if (strcmp(n->type, "Requantize") != 0 || strcmp(n->domain, "ai.narrow") != 0) continue;
        const nrw_quant *q = n->outputs[0]->quant;
        if (q != NULL && q->dynamic) {
            nrw_node *anchor = n->prev;
            NRW_TRY_CTX(err, lower_measured(n, err), "node '%s'", n->name);
            next = anchor != NULL ? anchor->next : g->first;
        }
    }
    return NRW_OK;
}
