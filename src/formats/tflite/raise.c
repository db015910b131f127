/* What rules have in common. */
#include "formats/tflite/raise.h"

#include <math.h>
#include <string.h>

#include "formats/tflite/tflite.h"
#include "passes/match.h"
#include "passes/turn.h"

static const nrw_tflite_rule *const families[] = {
    nrw_tflite_conv_rules, nrw_tflite_math_rules,   nrw_tflite_move_rules,
    nrw_tflite_pick_rules, nrw_tflite_reduce_rules, NULL,
};

int rule_ints(const nrw_value *v, int64_t *out, int max) {
    int n;
    return nrw_const_ints(v, out, max, &n) ? n : -1;
}

bool rule_is_static(const nrw_value *v) {
    return nrw_type_is_static(&v->type);
}

/* Making. */

static nrw_value *fail(raising *r) {
    r->failed = true;
    return NULL;
}

nrw_value *rule_emit(raising *r, const char *type, int n_in, nrw_value *const *in) {
    if (r->failed) return NULL;
    while (n_in > 0 && in[n_in - 1] == NULL) n_in--;
    nrw_value *v = nrw_emit(r->graph, type, n_in, in, NULL, r->node);
    return v != NULL ? v : fail(r);
}

nrw_value *rule_second(raising *r, nrw_value *v, int index) {
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

nrw_value *rule_set_int(raising *r, nrw_value *v, const char *name, int64_t x) {
    if (!r->failed && nrw_node_set_int(v->producer, name, x, r->err) != NRW_OK) r->failed = true;
    return r->failed ? NULL : v;
}

nrw_value *rule_set_float(raising *r, nrw_value *v, const char *name, float x) {
    if (!r->failed && nrw_node_set_float(v->producer, name, x, r->err) != NRW_OK) r->failed = true;
    return r->failed ? NULL : v;
}

nrw_value *rule_set_str(raising *r, nrw_value *v, const char *name, const char *x) {
    if (!r->failed && nrw_node_set_str(v->producer, name, x, r->err) != NRW_OK) r->failed = true;
    return r->failed ? NULL : v;
}

nrw_value *rule_set_ints(raising *r, nrw_value *v, const char *name, int64_t n, const int64_t *x) {
    if (!r->failed && nrw_node_set_ints(v->producer, name, n, x, r->err) != NRW_OK)
        r->failed = true;
    return r->failed ? NULL : v;
}

nrw_value *rule_i64s(raising *r, int64_t n, const int64_t *x) {
    nrw_value *v = r->failed ? NULL : nrw_const_i64(r->graph, NULL, 1, n, x);
    return v != NULL ? v : fail(r);
}

nrw_value *rule_i64(raising *r, int64_t x) {
    nrw_value *v = r->failed ? NULL : nrw_const_i64(r->graph, NULL, 0, 1, &x);
    return v != NULL ? v : fail(r);
}

nrw_value *rule_f32(raising *r, float x) {
    nrw_value *v = r->failed ? NULL : nrw_const_f32(r->graph, NULL, 0, 1, &x);
    return v != NULL ? v : fail(r);
}

nrw_value *rule_like(raising *r, const nrw_value *v, double x) {
    if (r->failed) return NULL;
    const nrw_dtype t = v->quant != NULL || v->type.dtype == NRW_NONE ? NRW_F32 : v->type.dtype;
    nrw_tensor c;
    if (nrw_tensor_new(&r->graph->model->arena, t, 0, NULL, &c, r->err) != NRW_OK ||
        nrw_from_f64(t, &x, c.data, 1, r->err) != NRW_OK)
        return fail(r);
    nrw_value *w = nrw_const_new(r->graph, NULL, &c);
    return w != NULL ? w : fail(r);
}

nrw_value *rule_cast(raising *r, nrw_value *v, nrw_dtype to) {
    return rule_set_int(r, EMIT(r, "Cast", v), "to", nrw_dtype_get(to)->onnx);
}

nrw_value *rule_to_i64(raising *r, nrw_value *v) {
    int64_t list[NRW_MAX_RANK];
    if (r->failed || v->type.dtype == NRW_I64) return v;
    const int n = rule_ints(v, list, NRW_MAX_RANK);
    if (n >= 0 && v->data->rank <= 1) {
        nrw_value *w = nrw_const_i64(r->graph, NULL, v->data->rank, n, list);
        return w != NULL ? w : fail(r);
    }
    return rule_cast(r, v, NRW_I64);
}

nrw_value *rule_quant_as(raising *r, nrw_value *v, const nrw_value *like) {
    if (r->failed || like->quant == NULL) return v;
    v->quant = like->quant;
    v->type.dtype = NRW_F32;
    return v;
}

static nrw_value *turn_constant(raising *r, nrw_value *v, const int64_t *perm) {
    nrw_value *w = nrw_turned_constant(r->graph, v, perm);
    if (w == NULL) return fail(r);
    /* It goes by the name that the file has for it, unless others still need that. */
    if (v->n_uses == 1 && v->uses[0].node == r->node) nrw_value_swap_names(w, v);
    return w;
}

nrw_value *rule_turn(raising *r, nrw_value *v, int rank, const int64_t *perm) {
    if (r->failed) return NULL;
    const bool blocks = v->quant != NULL && v->quant->block > 0;
    if (nrw_is_const(v) && v->data->rank == rank && !blocks) return turn_constant(r, v, perm);
    nrw_value *t = rule_set_ints(r, EMIT(r, "Transpose", v), "perm", rank, perm);
    if (v->quant == NULL || v->quant->axis < 0) return rule_quant_as(r, t, v);
    return t;
}

nrw_value *rule_to_first(raising *r, nrw_value *v, int rank) {
    int64_t perm[NRW_MAX_RANK];
    nrw_perm_to_first(rank, perm);
    return rule_turn(r, v, rank, perm);
}

nrw_value *rule_to_last(raising *r, nrw_value *v, int rank) {
    int64_t perm[NRW_MAX_RANK];
    nrw_perm_to_last(rank, perm);
    return rule_turn(r, v, rank, perm);
}

nrw_value *rule_reshape(raising *r, nrw_value *v, int rank, const int64_t *dims) {
    if (r->failed) return NULL;
    return rule_quant_as(r, EMIT(r, "Reshape", v, rule_i64s(r, rank, dims)), v);
}

nrw_value *rule_shape_of(raising *r, nrw_value *v) {
    return EMIT(r, "Shape", v);
}

nrw_value *rule_unsqueeze(raising *r, nrw_value *v, int64_t axis) {
    if (r->failed) return NULL;
    return rule_quant_as(r, EMIT(r, "Unsqueeze", v, rule_i64s(r, 1, &axis)), v);
}

nrw_value *rule_squeeze(raising *r, nrw_value *v, int64_t axis) {
    if (r->failed) return NULL;
    return rule_quant_as(r, EMIT(r, "Squeeze", v, rule_i64s(r, 1, &axis)), v);
}

void rule_finish_output(raising *r, int i, nrw_value *v) {
    if (r->failed || i >= r->node->n_outputs || r->node->outputs[i] == NULL) return;
    nrw_value *y = r->node->outputs[i];
    /* What came from elsewhere, or is read on the way, is passed on. */
    const bool own = v->producer != NULL && v->n_uses == 0 && v->producer->graph == r->graph &&
                     strcmp(v->producer->domain, "tflite") != 0 && v->name != NULL;
    if (!own || v->is_input || nrw_is_const(v)) v = EMIT(r, "Identity", v);
    if (r->failed) return;
    nrw_node *n = v->producer;
    int at = 0;
    while (n->outputs[at] != v) at++;
    nrw_node_set_output(r->node, i, NULL);
    nrw_node_set_output(n, at, NULL);
    nrw_node_set_output(n, at, y);
    if (i == 0) nrw_node_take_name(n, r->node);
}

bool rule_knows_activation(const raising *r) {
    const int64_t a = rule_int(r, "fused_activation_function", ACT_NONE);
    return a >= ACT_NONE && a <= ACT_TANH;
}

static nrw_value *clip(raising *r, nrw_value *v, const nrw_value *like, double lo, double hi) {
    return EMIT(r, "Clip", v, rule_like(r, like, lo), rule_like(r, like, hi));
}

void rule_finish_activated(raising *r, nrw_value *v) {
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

/* Operators without options that mean the same in both formats: rows of src/ops say which. */
static const nrw_op *same_operator(const nrw_tflite_builtin *b) {
    return b != NULL && b->fields[0] == 0 ? nrw_op_find_tflite(b->code) : NULL;
}

static nrw_status apply(raising *r, const nrw_tflite_rule *rule, bool *done) {
    const nrw_tflite_builtin *b = nrw_tflite_builtin_named(r->node->type);
    *done = false;
    if (rule != NULL) return rule->raise(r, done);
    const nrw_op *same = same_operator(b);
    if (same == NULL) return NRW_OK;
    *done = true;
    rule_finish(r, rule_emit(r, same->name, r->node->n_inputs, r->node->inputs));
    return NRW_OK;
}

static const nrw_tflite_rule *find_rule(const char *builtin) {
    for (const nrw_tflite_rule *const *f = families; *f != NULL; f++) {
        for (const nrw_tflite_rule *rule = *f; rule->builtin != NULL; rule++) {
            if (strcmp(rule->builtin, builtin) == 0) return rule;
        }
    }
    return NULL;
}

nrw_status nrw_tflite_raise(nrw_tflite_scope *s, nrw_node *n) {
    raising r = {s, n->graph, n, false, s->reader->err};
    const nrw_tflite_rule *rule = find_rule(n->type);
    bool done;
    if (n->op != NULL || n->n_outputs < 1 || n->outputs[0] == NULL ||
        rule_int(&r, "custom", 0) != 0)
        return NRW_OK;
    nrw_node *before = n->prev;
    NRW_TRY(apply(&r, rule, &done));
    if (r.failed) NRW_OOM(r.err);
    if (done) {
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

void nrw_tflite_list(void (*each)(void *user, const char *name, bool reads, bool writes),
                     void *user) {
    size_t n;
    const nrw_tflite_builtin *b = nrw_tflite_builtins(&n);
    for (size_t i = 0; i < n; i++) {
        if (find_rule(b[i].name) != NULL || same_operator(&b[i]) != NULL)
            each(user, b[i].name, true, false);
    }
}
