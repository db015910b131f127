/* DynamicQuantizeLinear and the integer products behind it, back to layers with measured inputs. */
#include <string.h>

#include "formats/onnx/quantized.h"
#include "ops/op.h"
#include "passes/match.h"

/* The nodes of one layer: sums = product(q, w); y = float(sums) * (s * w_scale) [+ bias] */
typedef struct product {
    nrw_node *sums, *cast, *scaled, *scale, *add;
    nrw_value *w;
    const nrw_value *w_scale, *bias;
    bool conv;
} product;

static nrw_node *only_user(const nrw_value *v, const char *type) {
    const nrw_use *u = v != NULL ? nrw_value_only_use(v) : NULL;
    return u != NULL && nrw_is(u->node, type) ? u->node : NULL;
}

static bool is_zero(const nrw_value *v) {
    if (v == NULL) return true;
    if (!nrw_is_const(v) || nrw_dtype_size(v->data->dtype) != 1) return false;
    const char *p = v->data->data;
    for (int64_t i = 0; i < nrw_tensor_count(v->data); i++) {
        if (p[i] != 0) return false;
    }
    return true;
}

/* The constant has one element, or as many as there are channels, along the channels only. */
static bool along_channels(const nrw_value *v, const product *p, int64_t channels) {
    int64_t n;
    if (nrw_const_floats(v, &n) == NULL) return false;
    if (n == 1) return true;
    const int spatial = p->conv ? p->w->data->rank - 2 : 0, rank = v->data->rank;
    return n == channels && rank > spatial && v->data->dims[rank - 1 - spatial] == channels;
}

static bool match(nrw_node *sums, const nrw_node *dql, product *p) {
    *p = (product){.sums = sums, .conv = nrw_is(sums, "ConvInteger"), .w = nrw_input(sums, 1)};
    if (!p->conv && !nrw_is(sums, "MatMulInteger")) return false;
    if (sums->graph != dql->graph || !nrw_is_const(p->w) || p->w->quant != NULL) return false;
    if (nrw_input(sums, 2) != dql->outputs[2] || !is_zero(nrw_input(sums, 3))) return false;
    const nrw_tensor *w = p->w->data;
    if (w->rank < 2 || (w->dtype != NRW_I8 && w->dtype != NRW_U8)) return false;
    const int64_t channels = p->conv ? w->dims[0] : w->dims[w->rank - 1];
    p->cast = only_user(sums->outputs[0], "Cast");
    if (p->cast == NULL || nrw_attr_int(p->cast, "to", 0) != 1) return false;
    p->scaled = only_user(p->cast->outputs[0], "Mul");
    if (p->scaled == NULL) return false;
    const int at = p->scaled->inputs[0] == p->cast->outputs[0] ? 1 : 0;
    p->scale = nrw_made_by(p->scaled->inputs[at], "Mul");
    if (p->scale == NULL) return false;
    const int s = p->scale->inputs[0] == dql->outputs[1] ? 0 : 1;
    if (p->scale->inputs[s] != dql->outputs[1]) return false;
    p->w_scale = p->scale->inputs[1 - s];
    if (!along_channels(p->w_scale, p, channels)) return false;
    p->add = p->conv ? only_user(p->scaled->outputs[0], "Add") : NULL;
    if (p->add == NULL) return true;
    p->bias = p->add->inputs[p->add->inputs[0] == p->scaled->outputs[0] ? 1 : 0];
    if (!along_channels(p->bias, p, channels) || nrw_tensor_count(p->bias->data) != channels)
        p->add = NULL;
    return true;
}

static nrw_value *weights(const product *p) {
    nrw_graph *g = p->sums->graph;
    nrw_arena *arena = &g->model->arena;
    int64_t n;
    const float *scale = nrw_const_floats(p->w_scale, &n);
    nrw_quant *q = nrw_arena_calloc(arena, 1, sizeof *q);
    float *to = nrw_arena_dup(arena, scale, (size_t)n * sizeof *to);
    int32_t *zero = nrw_arena_calloc(arena, (size_t)n, sizeof *zero);
    if (q == NULL || to == NULL || zero == NULL) return NULL;
    nrw_tensor t = *p->w->data;
    *q = (nrw_quant){.dtype = t.dtype,
                     .axis = n == 1    ? -1
                             : p->conv ? 0
                                       : t.rank - 1,
                     .count = n,
                     .scale = to,
                     .zero_point = zero};
    t.quant = q;
    return nrw_const_new(g, NULL, &t);
}

static nrw_status rebuild(const product *p, nrw_value *x, nrw_error *err) {
    nrw_graph *g = p->sums->graph;
    const char *type = p->conv ? "Conv" : "MatMul";
    const bool bias = p->add != NULL;
    nrw_node *last = bias ? p->add : p->scaled;
    nrw_node *n = nrw_node_new(g, nrw_op_find(type, ""), type, "", NULL, bias ? 3 : 2, 1, last);
    nrw_value *w = weights(p);
    if (n == NULL || w == NULL) NRW_OOM(err);
    NRW_TRY(nrw_node_set_input(n, 0, x, err));
    NRW_TRY(nrw_node_set_input(n, 1, w, err));
    for (int i = 0; p->conv && i < p->sums->n_attrs; i++) {
        NRW_TRY(nrw_node_set_attr(n, &p->sums->attrs[i], err));
    }
    if (bias) {
        int64_t count;
        float *to;
        const float *from = nrw_const_floats(p->bias, &count);
        nrw_value *b = nrw_new_floats(g, p->bias->name, 1, &count, &to);
        if (b == NULL) NRW_OOM(err);
        memcpy(to, from, (size_t)count * sizeof *to);
        NRW_TRY(nrw_node_set_input(n, 2, b, err));
    }
    nrw_value *y = last->outputs[0];
    nrw_node_take_name(n, p->sums);
    nrw_node_remove(last);
    if (bias) nrw_node_remove(p->scaled);
    nrw_node_remove(p->scale);
    nrw_node_remove(p->cast);
    nrw_node_remove(p->sums);
    nrw_node_set_output(n, 0, y);
    y->type.dtype = NRW_F32;
    if (p->w->n_uses == 0) {
        nrw_value_swap_names(w, p->w);
    }
    return NRW_OK;
}

static nrw_value *measured(nrw_node *dql, nrw_error *err) {
    nrw_graph *g = dql->graph;
    nrw_type type = dql->inputs[0]->type;
    type.dtype = NRW_F32;
    nrw_node *n = nrw_node_new(g, nrw_op_find("Requantize", "ai.narrow"), "Requantize", "ai.narrow",
                               NULL, 1, 1, dql);
    nrw_value *v = nrw_value_new(g, NULL, &type);
    nrw_quant *q = nrw_arena_calloc(&g->model->arena, 1, sizeof *q);
    if (n == NULL || v == NULL || q == NULL) return NULL;
    *q = (nrw_quant){.dtype = NRW_U8, .axis = -1, .count = 1, .dynamic = true};
    if (nrw_node_set_input(n, 0, dql->inputs[0], err) != NRW_OK) return NULL;
    nrw_node_set_output(n, 0, v);
    v->quant = q;
    return v;
}

static nrw_status fold(nrw_node *dql, nrw_error *err) {
    nrw_value *q = dql->outputs[0], *v = NULL;
    if (q == NULL || dql->n_outputs < 3) return NRW_OK;
    for (size_t i = q->n_uses; i-- > 0;) {
        product p;
        if (i >= q->n_uses || q->uses[i].node == NULL || q->uses[i].index != 0) continue;
        nrw_node *user = q->uses[i].node;
        const bool widens = nrw_is(user, "DequantizeLinear") &&
                            nrw_input(user, 1) == dql->outputs[1] && user->graph == dql->graph &&
                            nrw_input(user, 2) == dql->outputs[2] &&
                            !nrw_value_is_graph_output(user->outputs[0]);
        if (!widens && !match(user, dql, &p)) continue;
        if (v == NULL) v = measured(dql, err);
        if (v == NULL) NRW_OOM(err);
        if (!widens) {
            NRW_TRY(rebuild(&p, v, err));
            continue;
        }
        nrw_value *y = user->outputs[0];
        nrw_node_remove(user);
        NRW_TRY(nrw_value_replace(y, v, err));
    }
    for (int i = 0; i < dql->n_outputs; i++) {
        if (dql->outputs[i] != NULL && dql->outputs[i]->n_uses > 0) return NRW_OK;
    }
    nrw_node_remove(dql);
    return NRW_OK;
}

nrw_status nrw_onnx_fold_dynamic(nrw_graph *g, nrw_error *err) {
    /* From the end: what folding removes lies behind the node at hand. */
    for (nrw_node *n = g->last, *prev; n != NULL; n = prev) {
        prev = n->prev;
        if (nrw_is(n, "DynamicQuantizeLinear"))
            NRW_TRY_CTX(err, fold(n, err), "node '%s'", n->name);
    }
    return NRW_OK;
}
