/* What rules have in common. */
#include "formats/tflite/rule.h"

#include <math.h>
#include <string.h>

#include "passes/match.h"
#include "passes/turn.h"

int rule_ints(const nrw_value *v, int64_t *out, int max) {
    int n;
    return nrw_const_ints(v, out, max, &n) ? n : -1;
}

bool rule_is_static(const nrw_value *v) {
    return nrw_type_is_static(&v->type);
}

bool rule_is_never_negative(const nrw_value *v) {
    double lo, hi;
    const nrw_quant *q = v->quant;
    if (q != NULL && q->axis < 0 && !q->dynamic)
        return q->zero_point[0] <= nrw_dtype_get(q->dtype)->min;
    if (v->producer == NULL) return false;
    if (nrw_is(v->producer, "Sigmoid") || nrw_is(v->producer, "Softmax")) return true;
    return nrw_clamp_bounds(v->producer, &lo, &hi) && lo >= 0;
}

/* Making. */

static nrw_value *fail(rewriting *r) {
    r->failed = true;
    return NULL;
}

nrw_value *rule_emit(rewriting *r, const char *type, int n_in, nrw_value *const *in) {
    if (r->failed) return NULL;
    while (n_in > 0 && in[n_in - 1] == NULL) n_in--;
    /* Nobody infers the shapes of operators of TensorFlow Lite: most of what rules make on the way
     * looks like the output, and rules say where it does not. */
    const bool lowers = r->scope == NULL && r->domain[0] != 0;
    nrw_value *v = nrw_value_new(r->graph, NULL, lowers ? &rule_out(r)->type : NULL);
    nrw_node *n = nrw_node_new(r->graph, nrw_op_find(type, r->domain), type, r->domain, NULL, n_in,
                               1, r->node);
    if (v == NULL || n == NULL) return fail(r);
    for (int i = 0; i < n_in; i++) {
        if (in[i] != NULL && nrw_node_set_input(n, i, in[i], r->err) != NRW_OK) return fail(r);
    }
    nrw_node_set_output(n, 0, v);
    return v;
}

nrw_value *rule_second(rewriting *r, nrw_value *v, int index) {
    if (r->failed) return NULL;
    nrw_node *n = v->producer;
    if (index >= n->n_outputs) {
        nrw_value **more =
            nrw_arena_calloc(&r->graph->model->arena, (size_t)index + 1, sizeof *more);
        if (more == NULL) return fail(r);
        memcpy(more, n->outputs, (size_t)n->n_outputs * sizeof *more);
        n->outputs = more;
        n->n_outputs = index + 1;
    }
    nrw_value *w = nrw_value_new(r->graph, NULL, NULL);
    if (w == NULL) return fail(r);
    nrw_node_set_output(n, index, w);
    return w;
}

nrw_value *rule_set_int(rewriting *r, nrw_value *v, const char *name, int64_t x) {
    if (!r->failed && nrw_node_set_int(v->producer, name, x, r->err) != NRW_OK) r->failed = true;
    return r->failed ? NULL : v;
}

nrw_value *rule_set_float(rewriting *r, nrw_value *v, const char *name, float x) {
    if (!r->failed && nrw_node_set_float(v->producer, name, x, r->err) != NRW_OK) r->failed = true;
    return r->failed ? NULL : v;
}

nrw_value *rule_set_str(rewriting *r, nrw_value *v, const char *name, const char *x) {
    if (!r->failed && nrw_node_set_str(v->producer, name, x, r->err) != NRW_OK) r->failed = true;
    return r->failed ? NULL : v;
}

nrw_value *rule_set_ints(rewriting *r, nrw_value *v, const char *name, int64_t n,
                         const int64_t *x) {
    if (!r->failed && nrw_node_set_ints(v->producer, name, n, x, r->err) != NRW_OK)
        r->failed = true;
    return r->failed ? NULL : v;
}

nrw_value *rule_i64s(rewriting *r, int64_t n, const int64_t *x) {
    nrw_value *v = r->failed ? NULL : nrw_const_i64(r->graph, NULL, 1, n, x);
    return v != NULL ? v : fail(r);
}

nrw_value *rule_i64(rewriting *r, int64_t x) {
    nrw_value *v = r->failed ? NULL : nrw_const_i64(r->graph, NULL, 0, 1, &x);
    return v != NULL ? v : fail(r);
}

nrw_value *rule_i32s(rewriting *r, int rank, const int64_t *dims, const int32_t *x) {
    nrw_tensor t;
    if (r->failed) return NULL;
    if (nrw_tensor_new(&r->graph->model->arena, NRW_I32, rank, dims, &t, r->err) != NRW_OK)
        return fail(r);
    memcpy(t.data, x, nrw_tensor_bytes(&t));
    nrw_value *v = nrw_const_new(r->graph, NULL, &t);
    return v != NULL ? v : fail(r);
}

nrw_value *rule_lowest(rewriting *r, const nrw_quant *q) {
    nrw_tensor t;
    const int64_t least = nrw_dtype_get(q->dtype)->min;
    if (r->failed) return NULL;
    if (nrw_tensor_new(&r->graph->model->arena, q->dtype, 0, NULL, &t, r->err) != NRW_OK ||
        nrw_from_i64(q->dtype, &least, t.data, 1, r->err) != NRW_OK)
        return fail(r);
    t.quant = q;
    nrw_value *v = nrw_const_new(r->graph, NULL, &t);
    return v != NULL ? v : fail(r);
}

nrw_value *rule_f32(rewriting *r, float x) {
    nrw_value *v = r->failed ? NULL : nrw_const_f32(r->graph, NULL, 0, 1, &x);
    return v != NULL ? v : fail(r);
}

nrw_value *rule_like(rewriting *r, const nrw_value *v, double x) {
    if (r->failed) return NULL;
    const nrw_dtype t = v->quant != NULL || v->type.dtype == NRW_NONE ? NRW_F32 : v->type.dtype;
    nrw_tensor c;
    if (nrw_tensor_new(&r->graph->model->arena, t, 0, NULL, &c, r->err) != NRW_OK ||
        nrw_from_f64(t, &x, c.data, 1, r->err) != NRW_OK)
        return fail(r);
    nrw_value *w = nrw_const_new(r->graph, NULL, &c);
    return w != NULL ? w : fail(r);
}

nrw_value *rule_cast(rewriting *r, nrw_value *v, nrw_dtype to) {
    return rule_set_int(r, EMIT(r, "Cast", v), "to", nrw_dtype_get(to)->onnx);
}

nrw_value *rule_to_i64(rewriting *r, nrw_value *v) {
    int64_t list[NRW_MAX_RANK];
    if (r->failed || v->type.dtype == NRW_I64) return v;
    const int n = rule_ints(v, list, NRW_MAX_RANK);
    if (n >= 0 && v->data->rank <= 1) {
        nrw_value *w = nrw_const_i64(r->graph, NULL, v->data->rank, n, list);
        return w != NULL ? w : fail(r);
    }
    return rule_cast(r, v, NRW_I64);
}

const nrw_quant *nrw_tflite_bias_quant(nrw_arena *a, nrw_dtype dtype, const nrw_quant *x,
                                       const nrw_quant *w) {
    float *scale = nrw_arena_calloc(a, (size_t)w->count, sizeof *scale);
    int32_t *zero = nrw_arena_calloc(a, (size_t)w->count, sizeof *zero);
    nrw_quant *q = nrw_arena_calloc(a, 1, sizeof *q);
    if (scale == NULL || zero == NULL || q == NULL) return NULL;
    for (int64_t i = 0; i < w->count; i++) scale[i] = x->scale[0] * w->scale[i];
    *q = (nrw_quant){.dtype = dtype,
                     .axis = w->count > 1 ? 0 : -1,
                     .count = w->count,
                     .scale = scale,
                     .zero_point = zero};
    return q;
}

nrw_value *rule_quant_as(rewriting *r, nrw_value *v, const nrw_value *like) {
    if (r->failed || like->quant == NULL) return v;
    v->quant = like->quant;
    v->type.dtype = NRW_F32;
    return v;
}

static nrw_value *turn_constant(rewriting *r, nrw_value *v, const int64_t *perm) {
    nrw_value *w = nrw_turned_constant(r->graph, v, perm);
    if (w == NULL) return fail(r);
    /* It goes by the name that the file has for it, unless others still need that. */
    if (v->n_uses == 1 && v->uses[0].node == r->node) nrw_value_swap_names(w, v);
    return w;
}

nrw_value *rule_turn(rewriting *r, nrw_value *v, int rank, const int64_t *perm) {
    if (r->failed) return NULL;
    const bool blocks = v->quant != NULL && v->quant->block > 0;
    if (nrw_is_const(v) && v->data->rank == rank && !blocks) return turn_constant(r, v, perm);
    nrw_value *t = nrw_turned(r->graph, v, rank, perm, r->node);
    return t != NULL ? t : fail(r);
}

nrw_value *rule_to_first(rewriting *r, nrw_value *v, int rank) {
    int64_t perm[NRW_MAX_RANK];
    nrw_perm_to_first(rank, perm);
    return rule_turn(r, v, rank, perm);
}

nrw_value *rule_to_last(rewriting *r, nrw_value *v, int rank) {
    int64_t perm[NRW_MAX_RANK];
    nrw_perm_to_last(rank, perm);
    return rule_turn(r, v, rank, perm);
}

nrw_value *rule_reshape(rewriting *r, nrw_value *v, int rank, const int64_t *dims) {
    if (r->failed) return NULL;
    return rule_quant_as(r, EMIT(r, "Reshape", v, rule_i64s(r, rank, dims)), v);
}

nrw_value *rule_shape_of(rewriting *r, nrw_value *v) {
    return EMIT(r, "Shape", v);
}

nrw_value *rule_unsqueeze(rewriting *r, nrw_value *v, int64_t axis) {
    if (r->failed) return NULL;
    return rule_quant_as(r, EMIT(r, "Unsqueeze", v, rule_i64s(r, 1, &axis)), v);
}

nrw_value *rule_squeeze(rewriting *r, nrw_value *v, int64_t axis) {
    if (r->failed) return NULL;
    return rule_quant_as(r, EMIT(r, "Squeeze", v, rule_i64s(r, 1, &axis)), v);
}

void rule_finish_output(rewriting *r, int i, nrw_value *v) {
    if (r->failed || i >= r->node->n_outputs || r->node->outputs[i] == NULL) return;
    nrw_value *y = r->node->outputs[i];
    /* What came from elsewhere, or is read on the way, is passed on. */
    const bool own = v->producer != NULL && v->n_uses == 0 && v->producer->graph == r->graph &&
                     v->producer != r->node;
    if (!own || v->is_input || nrw_is_const(v)) {
        v = nrw_emit(r->graph, "Identity", 1, &v, NULL, r->node);
        if (v == NULL) {
            r->failed = true;
            return;
        }
    }
    nrw_node *n = v->producer;
    int at = 0;
    while (n->outputs[at] != v) at++;
    nrw_node_set_output(r->node, i, NULL);
    nrw_node_set_output(n, at, NULL);
    nrw_node_set_output(n, at, y);
    if (i == 0) nrw_node_take_name(n, r->node);
}

bool rule_knows_activation(const rewriting *r) {
    const int64_t a = rule_int(r, "fused_activation_function", ACT_NONE);
    return a >= ACT_NONE && a <= ACT_TANH;
}

static nrw_value *clip(rewriting *r, nrw_value *v, const nrw_value *like, double lo, double hi) {
    return EMIT(r, "Clip", v, rule_like(r, like, lo), rule_like(r, like, hi));
}

void rule_finish_activated(rewriting *r, nrw_value *v) {
    const int64_t a = rule_int(r, "fused_activation_function", ACT_NONE);
    const nrw_value *y = rule_out(r);
    if (r->failed || a == ACT_NONE) {
        rule_finish(r, v);
        return;
    }
    rule_quant_as(r, v, y);
    if (a == ACT_RELU) v = EMIT(r, "Relu", v);
    if (a == ACT_RELU6) v = clip(r, v, y, 0, 6);
    if (a == ACT_RELU_N1_TO_1) v = clip(r, v, y, -1, 1);
    if (a == ACT_TANH) v = EMIT(r, "Tanh", v);
    rule_finish(r, v);
}

/* Applying. */

const nrw_tflite_rule *nrw_tflite_find_rule(const nrw_tflite_rule *const *lists, const char *type) {
    for (const nrw_tflite_rule *const *f = lists; *f != NULL; f++) {
        for (const nrw_tflite_rule *rule = *f; rule->type != NULL; rule++) {
            if (strcmp(rule->type, type) == 0) return rule;
        }
    }
    return NULL;
}

nrw_status nrw_tflite_apply(rewriting *r, const nrw_tflite_rule *rule, bool *done) {
    nrw_node *n = r->node, *before = n->prev;
    *done = false;
    NRW_TRY(rule->rewrite(r, done));
    if (r->failed) NRW_OOM(r->err);
    if (*done) {
        nrw_node_remove(n);
        return NRW_OK;
    }
    /* What the rule made before it gave up. */
    for (nrw_node *p = n->prev, *prev; p != before; p = prev) {
        prev = p->prev;
        nrw_node_remove(p);
    }
    return NRW_OK;
}
