/* Reductions, and what finds places: maxima, sorted elements. */
#include <string.h>

#include "formats/tflite/rule.h"
#include "passes/match.h"

static nrw_value *reduced(rewriting *r, const char *type, nrw_value *x) {
    nrw_value *axes = rule_to_i64(r, rule_in(r, 1));
    if (!r->failed && axes->type.rank == 0) axes = rule_reshape(r, axes, 1, (int64_t[]){1});
    nrw_value *v = EMIT(r, type, x, axes);
    return rule_set_int(r, v, "keepdims", rule_int(r, "keep_dims", 0));
}

/* No axes: nothing is reduced. */
static bool keeps_all(rewriting *r, bool *done) {
    int64_t axes[NRW_MAX_RANK];
    *done = true;
    if (rule_ints(rule_in(r, 1), axes, NRW_MAX_RANK) != 0) return false;
    rule_finish(r, rule_in(r, 0));
    return true;
}

static nrw_status raise_reduce(rewriting *r, const char *type, bool *done) {
    if (keeps_all(r, done)) return NRW_OK;
    rule_finish(r, reduced(r, type, rule_in(r, 0)));
    return NRW_OK;
}

/* The mean of an image is an average pool over all of it. */
static nrw_status raise_mean(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *y = rule_out(r);
    int64_t axes[NRW_MAX_RANK];
    const int n = rule_ints(rule_in(r, 1), axes, NRW_MAX_RANK), rank = x->type.rank;
    bool image = rank == 4 && n == 2 && (x->quant != NULL || nrw_dtype_is_float(x->type.dtype));
    for (int i = 0; image && i < n; i++) image = nrw_normalize_axis(&axes[i], rank);
    if (!image || axes[0] + axes[1] != 3 || axes[0] * axes[1] != 2)
        return raise_reduce(r, "ReduceMean", done);
    nrw_value *v = rule_quant_as(r, EMIT(r, "GlobalAveragePool", rule_to_first(r, x, 4)), y);
    v = rule_to_last(r, v, 4);
    if (rule_int(r, "keep_dims", 0) == 0) v = EMIT(r, "Squeeze", v, rule_i64s(r, 2, axes));
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_sum(rewriting *r, bool *done) {
    return raise_reduce(r, "ReduceSum", done);
}

static nrw_status raise_prod(rewriting *r, bool *done) {
    return raise_reduce(r, "ReduceProd", done);
}

static nrw_status raise_max(rewriting *r, bool *done) {
    return raise_reduce(r, "ReduceMax", done);
}

static nrw_status raise_min(rewriting *r, bool *done) {
    return raise_reduce(r, "ReduceMin", done);
}

static nrw_status raise_any(rewriting *r, bool *done) {
    if (keeps_all(r, done)) return NRW_OK;
    rule_finish(
        r, rule_cast(r, reduced(r, "ReduceMax", rule_cast(r, rule_in(r, 0), NRW_I32)), NRW_BOOL));
    return NRW_OK;
}

static nrw_status raise_all(rewriting *r, bool *done) {
    if (keeps_all(r, done)) return NRW_OK;
    rule_finish(
        r, rule_cast(r, reduced(r, "ReduceMin", rule_cast(r, rule_in(r, 0), NRW_I32)), NRW_BOOL));
    return NRW_OK;
}

static nrw_status raise_arg(rewriting *r, const char *type, bool *done) {
    int64_t axis;
    if (rule_ints(rule_in(r, 1), &axis, 1) != 1) return NRW_OK;
    nrw_value *x = rule_in(r, 0);
    if (x->type.dtype == NRW_BOOL) x = rule_cast(r, x, NRW_I32);
    nrw_value *v = rule_set_int(r, EMIT(r, type, x), "axis", axis);
    v = rule_set_int(r, v, "keepdims", 0);
    rule_finish(r, rule_out(r)->type.dtype == NRW_I64 ? v : rule_cast(r, v, NRW_I32));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_arg_max(rewriting *r, bool *done) {
    return raise_arg(r, "ArgMax", done);
}

static nrw_status raise_arg_min(rewriting *r, bool *done) {
    return raise_arg(r, "ArgMin", done);
}

static nrw_status raise_top_k(rewriting *r, bool *done) {
    nrw_value *k = rule_to_i64(r, rule_in(r, 1));
    if (!r->failed && k->type.rank == 0) k = rule_reshape(r, k, 1, (int64_t[]){1});
    nrw_value *v = EMIT(r, "TopK", rule_in(r, 0), k), *places = rule_second(r, v, 1);
    rule_finish_output(r, 0, v);
    if (r->node->n_outputs > 1) rule_finish_output(r, 1, rule_cast(r, places, NRW_I32));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_unique(rewriting *r, bool *done) {
    nrw_value *v = rule_set_int(r, EMIT(r, "Unique", rule_in(r, 0)), "sorted", 0);
    nrw_value *places = rule_second(r, v, 2);
    const bool wide = r->node->n_outputs < 2 || r->node->outputs[1] == NULL ||
                      r->node->outputs[1]->type.dtype == NRW_I64;
    rule_finish_output(r, 0, v);
    rule_finish_output(r, 1, wide ? places : rule_cast(r, places, NRW_I32));
    *done = true;
    return NRW_OK;
}

const nrw_tflite_rule nrw_tflite_reduce_rules[] = {
    {"MEAN", raise_mean},      {"SUM", raise_sum},         {"REDUCE_PROD", raise_prod},
    {"REDUCE_MAX", raise_max}, {"REDUCE_MIN", raise_min},  {"REDUCE_ANY", raise_any},
    {"REDUCE_ALL", raise_all}, {"ARG_MAX", raise_arg_max}, {"ARG_MIN", raise_arg_min},
    {"TOPK_V2", raise_top_k},  {"UNIQUE", raise_unique},   {NULL, NULL},
};
