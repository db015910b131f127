/* QLinear* operators. Reading: each becomes its float form between DequantizeLinear and
 * QuantizeLinear, and so do operators that move integers about; folding the pairs does the rest.
 * Writing: layers between such pairs become QLinearConv and QLinearMatMul. The forms of domain
 * com.microsoft are those of onnxruntime (ContribOperators.md). */
#include <string.h>

#include "formats/onnx/quantized.h"
#include "ops/op.h"
#include "passes/match.h"

/* Where the parts of a QLinear operator stand among its inputs. data[k] is followed by its scale
 * and zero point; y: the output's scale. */
typedef struct qoperator {
    const char *type, *domain, *real;
    int n_data, data[2], y, bias;
} qoperator;

static const qoperator table[] = {
    {"QLinearConv", "", "Conv", 2, {0, 3}, 6, 8},
    {"QLinearMatMul", "", "MatMul", 2, {0, 3}, 6, -1},
    {"QLinearConv", "com.microsoft", "Conv", 2, {0, 3}, 6, 8},
    {"QLinearAdd", "com.microsoft", "Add", 2, {0, 3}, 6, -1},
    {"QLinearMul", "com.microsoft", "Mul", 2, {0, 3}, 6, -1},
    {"QGemm", "com.microsoft", "Gemm", 2, {0, 3}, 7, 6},
    {"QLinearSigmoid", "com.microsoft", "Sigmoid", 1, {0}, 3, -1},
    {"QLinearLeakyRelu", "com.microsoft", "LeakyRelu", 1, {0}, 3, -1},
    {"QLinearAveragePool", "com.microsoft", "AveragePool", 1, {0}, 3, -1},
    {"QLinearGlobalAveragePool", "com.microsoft", "GlobalAveragePool", 1, {0}, 3, -1},
    {"QLinearSoftmax", "com.microsoft", "Softmax", 1, {0}, 3, -1},
};

static const qoperator *find(const nrw_node *n) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].type, n->type) == 0 && strcmp(table[i].domain, n->domain) == 0)
            return &table[i];
    }
    return NULL;
}

static nrw_value *widen(nrw_node *user, nrw_value *q, nrw_value *scale, nrw_value *zero,
                        int64_t axis) {
    nrw_type type = q->type;
    type.dtype = NRW_F32;
    nrw_value *v =
        nrw_emit(user->graph, "DequantizeLinear", 3, (nrw_value *[]){q, scale, zero}, &type, user);
    if (v != NULL && scale->data != NULL && nrw_tensor_count(scale->data) > 1 &&
        nrw_node_set_int(v->producer, "axis", axis, NULL) != NRW_OK)
        return NULL;
    return v;
}

/* Puts a QuantizeLinear between n's output and what it was. */
static nrw_status narrow_output(nrw_node *n, nrw_value *scale, nrw_value *zero, nrw_error *err) {
    nrw_value *y = n->outputs[0];
    nrw_type type = y->type;
    type.dtype = NRW_F32;
    nrw_value *real = nrw_value_new(n->graph, NULL, &type);
    nrw_node *q = nrw_node_new(n->graph, nrw_op_find("QuantizeLinear", ""), "QuantizeLinear", "",
                               NULL, 3, 1, n->next);
    if (real == NULL || q == NULL) NRW_OOM(err);
    if (!nrw_value_is_graph_output(y)) nrw_value_swap_names(y, real);
    nrw_node_set_output(n, 0, NULL);
    nrw_node_set_output(n, 0, real);
    NRW_TRY(nrw_node_set_input(q, 0, real, err));
    NRW_TRY(nrw_node_set_input(q, 1, scale, err));
    NRW_TRY(nrw_node_set_input(q, 2, zero, err));
    nrw_node_set_output(q, 0, y);
    return NRW_OK;
}

/* int32 bias: its scale is the product of the input's and the weights'. */
static nrw_value *widen_bias(nrw_node *n, const qoperator *o) {
    nrw_value *b = nrw_input(n, o->bias), *s;
    int64_t n_x, n_w;
    const float *x = nrw_const_floats(nrw_input(n, o->data[0] + 1), &n_x);
    const float *w = nrw_const_floats(nrw_input(n, o->data[1] + 1), &n_w);
    if (x == NULL || w == NULL || n_x != 1) return NULL;
    float *to;
    s = nrw_new_floats(n->graph, b->name, n_w == 1 ? 0 : 1, &n_w, &to);
    for (int64_t i = 0; s != NULL && i < n_w; i++) to[i] = x[0] * w[i];
    return s != NULL ? widen(n, b, s, NULL, 0) : NULL;
}

static nrw_status open_up(nrw_node *n, const qoperator *o, nrw_error *err) {
    const bool bias = o->bias >= 0 && nrw_input(n, o->bias) != NULL;
    for (int k = 0; k < o->n_data; k++) {
        for (int i = 0; i < 2; i++) {
            if (nrw_input(n, o->data[k] + i) == NULL) return NRW_OK;
        }
    }
    nrw_value *ys = nrw_input(n, o->y), *yz = nrw_input(n, o->y + 1);
    nrw_value *in[3] = {NULL};
    const nrw_value *w_scale = o->n_data > 1 ? n->inputs[o->data[1] + 1] : NULL;
    if (w_scale != NULL && !nrw_is_const(w_scale)) return NRW_OK;
    if (bias && (in[2] = widen_bias(n, o)) == NULL) return NRW_OK;
    for (int k = 0; k < o->n_data; k++) {
        nrw_value *x = n->inputs[o->data[k]];
        const bool rows = strcmp(o->real, "Conv") == 0 || nrw_attr_int(n, "transB", 0) != 0;
        const int64_t axis = rows ? 0 : x->type.rank > 0 ? x->type.rank - 1 : 1;
        in[k] = widen(n, x, n->inputs[o->data[k] + 1], nrw_input(n, o->data[k] + 2), axis);
        if (in[k] == NULL) NRW_OOM(err);
    }
    const int n_in = bias ? 3 : o->n_data;
    nrw_node *real =
        nrw_node_new(n->graph, nrw_op_find(o->real, ""), o->real, "", NULL, n_in, 1, n);
    if (real == NULL) NRW_OOM(err);
    for (int i = 0; i < n_in; i++) NRW_TRY(nrw_node_set_input(real, i, in[i], err));
    for (int i = 0; i < n->n_attrs; i++) {
        if (strcmp(n->attrs[i].name, "channels_last") != 0)
            NRW_TRY(nrw_node_set_attr(real, &n->attrs[i], err));
    }
    nrw_value *y = n->outputs[0];
    nrw_node_take_name(real, n);
    nrw_node_remove(n);
    nrw_node_set_output(real, 0, y);
    if (ys == NULL) { /* QGemm without output parameters: float */
        y->type.dtype = NRW_F32;
        return NRW_OK;
    }
    return narrow_output(real, ys, yz, err);
}

/* MaxPool, Reshape, … on integers that a QuantizeLinear made. */
static nrw_status widen_mover(nrw_node *n, nrw_error *err) {
    const nrw_node *q = n->inputs[0] != NULL ? n->inputs[0]->producer : NULL;
    if (!nrw_is(q, "QuantizeLinear") || n->outputs[0] == NULL) return NRW_OK;
    nrw_value *scale = nrw_input(q, 1), *zero = nrw_input(q, 2);
    if (!nrw_is_const(scale) || nrw_tensor_count(scale->data) != 1 || zero == NULL) return NRW_OK;
    nrw_value *x = widen(n, n->inputs[0], scale, zero, 0);
    if (x == NULL) NRW_OOM(err);
    NRW_TRY(nrw_node_set_input(n, 0, x, err));
    return narrow_output(n, scale, zero, err);
}

nrw_status nrw_onnx_from_qoperators(nrw_graph *g, nrw_error *err) {
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        const qoperator *o = find(n);
        if (o != NULL && nrw_attr_int(n, "channels_last", 0) == 0 && n->outputs[0] != NULL)
            NRW_TRY_CTX(err, open_up(n, o, err), "node '%s'", n->name);
        else if (n->op != NULL && n->op->quant.rule == NRW_QUANT_SAME_SCALE && n->n_outputs == 1)
            NRW_TRY_CTX(err, widen_mover(n, err), "node '%s'", n->name);
    }
    return NRW_OK;
}

/* Writing.
 * ------------------------------------------------------------------------------------------- */

/* The DequantizeLinear behind input i, read by nobody else. */
static nrw_node *widened(const nrw_node *n, int i) {
    nrw_node *dq = nrw_made_by(nrw_input(n, i), "DequantizeLinear");
    return dq != NULL && nrw_attr_int(dq, "block_size", 0) == 0 ? dq : NULL;
}

static bool is_byte(const nrw_value *v) {
    return v->type.dtype == NRW_U8 || v->type.dtype == NRW_I8;
}

static nrw_status close_up(nrw_node *n, nrw_error *err) {
    const bool conv = nrw_is(n, "Conv");
    nrw_node *x = widened(n, 0), *w = widened(n, 1);
    nrw_node *b = conv && nrw_input(n, 2) != NULL ? widened(n, 2) : NULL;
    if (x == NULL || w == NULL || (conv && nrw_input(n, 2) != NULL && b == NULL)) return NRW_OK;
    const nrw_use *u = nrw_value_only_use(n->outputs[0]);
    nrw_node *q = u != NULL && nrw_is(u->node, "QuantizeLinear") ? u->node : NULL;
    if (q == NULL || q->graph != n->graph || !is_byte(x->inputs[0]) || !is_byte(w->inputs[0]) ||
        !is_byte(q->outputs[0]))
        return NRW_OK;
    /* QLinearMatMul has scales for each column only as a matrix of rank 2 or for rank-2 weights. */
    const char *type = conv ? "QLinearConv" : "QLinearMatMul";
    nrw_node *to =
        nrw_node_new(n->graph, nrw_op_find(type, ""), type, "", NULL, b != NULL ? 9 : 8, 1, n);
    if (to == NULL) NRW_OOM(err);
    const nrw_node *const from[3] = {x, w, q};
    for (int i = 0; i < 3; i++) {
        const int at = i * 3;
        if (i < 2) NRW_TRY(nrw_node_set_input(to, at, from[i]->inputs[0], err));
        NRW_TRY(nrw_node_set_input(to, at + (i < 2), from[i]->inputs[1], err));
        NRW_TRY(nrw_node_set_input(to, at + (i < 2) + 1, from[i]->inputs[2], err));
    }
    if (b != NULL) NRW_TRY(nrw_node_set_input(to, 8, b->inputs[0], err));
    for (int i = 0; i < n->n_attrs; i++) NRW_TRY(nrw_node_set_attr(to, &n->attrs[i], err));
    nrw_value *y = q->outputs[0];
    nrw_node_take_name(to, n);
    if (!nrw_value_is_graph_output(y)) nrw_value_swap_names(y, n->outputs[0]);
    nrw_node_remove(q);
    nrw_node_remove(n);
    nrw_node_remove(x);
    nrw_node_remove(w);
    if (b != NULL) nrw_node_remove(b);
    nrw_node_set_output(to, 0, y);
    return NRW_OK;
}

nrw_status nrw_onnx_to_qoperators(nrw_graph *g, nrw_error *err) {
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        if (nrw_is(n, "Conv") || nrw_is(n, "MatMul")) {
            /* The nodes that go may include the next one. */
            nrw_node *before = n->prev;
            while (before != NULL && nrw_is(before, "DequantizeLinear")) before = before->prev;
            nrw_node *last = n;
            NRW_TRY_CTX(err, close_up(last, err), "node '%s'", last->name);
            if (last->n_outputs > 0 && last->outputs[0] == NULL)
                next = before != NULL ? before->next : g->first;
        }
    }
    return NRW_OK;
}
