/* Writing: arithmetic, matrix products, reductions. */
#include <math.h>
#include <string.h>

#include "formats/tflite/rule.h"
#include "passes/match.h"
#include "passes/turn.h"

static nrw_status lower_pair(rewriting *r, const char *type, bool *done) {
    rule_finish(r, EMIT(r, type, rule_in(r, 0), rule_in(r, 1)));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_add(rewriting *r, bool *done) {
    return lower_pair(r, "ADD", done);
}

static nrw_status lower_sub(rewriting *r, bool *done) {
    return lower_pair(r, "SUB", done);
}

static nrw_status lower_mul(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    if (x != rule_in(r, 1) || x->quant != NULL || x->type.dtype != NRW_F32)
        return lower_pair(r, "MUL", done);
    rule_finish(r, EMIT(r, "SQUARE", x));
    *done = true;
    return NRW_OK;
}

/* Integers round towards zero in both. */
static nrw_status lower_div(rewriting *r, bool *done) {
    return lower_pair(r, "DIV", done);
}

static nrw_status lower_mod(rewriting *r, bool *done) {
    const bool real = nrw_dtype_is_float(rule_in(r, 0)->type.dtype);
    if (real || rule_int(r, "fmod", 0) != 0) return NRW_OK;
    return lower_pair(r, "FLOOR_MOD", done);
}

static nrw_status lower_clip(rewriting *r, bool *done) {
    double lo, hi;
    nrw_value *x = rule_in(r, 0), *v = x;
    *done = true;
    if (nrw_clamp_bounds(r->node, &lo, &hi)) {
        const char *one = lo == 0 && hi == 6     ? "RELU6"
                          : lo == -1 && hi == 1  ? "RELU_N1_TO_1"
                          : lo == 0 && isinf(hi) ? "RELU"
                                                 : NULL;
        if (one != NULL) {
            rule_finish(r, EMIT(r, one, x));
            return NRW_OK;
        }
        if (!isinf(lo))
            v = rule_quant_as(r, EMIT(r, "MAXIMUM", v, rule_f32(r, (float)lo)), rule_out(r));
        if (!isinf(hi)) v = EMIT(r, "MINIMUM", v, rule_f32(r, (float)hi));
    } else {
        if (rule_in(r, 1) != NULL) v = EMIT(r, "MAXIMUM", v, rule_in(r, 1));
        if (rule_in(r, 2) != NULL) v = EMIT(r, "MINIMUM", v, rule_in(r, 2));
    }
    rule_finish(r, v);
    return NRW_OK;
}

static nrw_status lower_leaky_relu(rewriting *r, bool *done) {
    const float alpha = nrw_attr_float(r->node, "alpha", 0.01f);
    rule_finish(r, rule_set_float(r, EMIT(r, "LEAKY_RELU", rule_in(r, 0)), "alpha", alpha));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_gelu(rewriting *r, bool *done) {
    const bool tanh = strcmp(nrw_attr_str(r->node, "approximate", "none"), "tanh") == 0;
    rule_finish(r, rule_set_int(r, EMIT(r, "GELU", rule_in(r, 0)), "approximate", tanh));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_cast(rewriting *r, bool *done) {
    const int from = nrw_dtype_get(rule_in(r, 0)->type.dtype)->tflite;
    const int to = nrw_dtype_get(rule_out(r)->type.dtype)->tflite;
    if (from < 0 || to < 0) return NRW_OK;
    nrw_value *v = rule_set_int(r, EMIT(r, "CAST", rule_in(r, 0)), "in_data_type", from);
    rule_finish(r, rule_set_int(r, v, "out_data_type", to));
    *done = true;
    return NRW_OK;
}

/* Only reals have an Identity here, and it is never needed. */
static nrw_status lower_identity(rewriting *r, bool *done) {
    const int64_t dims[1] = {rule_out(r)->type.rank};
    int32_t shape[NRW_MAX_RANK];
    if (!rule_is_static(rule_out(r))) return NRW_OK;
    for (int i = 0; i < rule_out(r)->type.rank; i++) shape[i] = (int32_t)rule_out(r)->type.dims[i];
    rule_finish(r, EMIT(r, "RESHAPE", rule_in(r, 0), rule_i32s(r, 1, dims, shape)));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_requantize(rewriting *r, bool *done) {
    const bool real = rule_out(r)->quant == NULL;
    rule_finish(r, EMIT(r, real ? "DEQUANTIZE" : "QUANTIZE", rule_in(r, 0)));
    *done = true;
    return NRW_OK;
}

/* Along one axis, which has to be the last. */
static nrw_status lower_along_last(rewriting *r, const char *type, bool *done) {
    nrw_value *x = rule_in(r, 0);
    const int rank = x->type.rank;
    int64_t axis = rule_int(r, "axis", -1), perm[NRW_MAX_RANK];
    if (rank < 1 || !nrw_normalize_axis(&axis, rank)) return NRW_OK;
    for (int i = 0; i < rank; i++) perm[i] = i;
    perm[axis] = rank - 1;
    perm[rank - 1] = axis;
    const bool last = axis == rank - 1;
    nrw_value *v = EMIT(r, type, last ? x : rule_turn(r, x, rank, perm));
    if (strcmp(type, "SOFTMAX") == 0) v = rule_set_float(r, v, "beta", 1);
    if (!last && !r->failed) {
        v->type = rule_out(r)->type;
        v->type.dims[axis] = rule_out(r)->type.dims[rank - 1];
        v->type.dims[rank - 1] = rule_out(r)->type.dims[axis];
        v = rule_turn(r, rule_quant_as(r, v, rule_out(r)), rank, perm);
    }
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

static nrw_status lower_softmax(rewriting *r, bool *done) {
    return lower_along_last(r, "SOFTMAX", done);
}

static nrw_status lower_log_softmax(rewriting *r, bool *done) {
    return lower_along_last(r, "LOG_SOFTMAX", done);
}

static nrw_status lower_cumsum(rewriting *r, bool *done) {
    int64_t axis;
    if (rule_ints(rule_in(r, 1), &axis, 1) != 1) return NRW_OK;
    const int32_t a = (int32_t)axis;
    nrw_value *v = EMIT(r, "CUMSUM", rule_in(r, 0), rule_i32s(r, 0, NULL, &a));
    v = rule_set_int(r, v, "exclusive", rule_int(r, "exclusive", 0));
    rule_finish(r, rule_set_int(r, v, "reverse", rule_int(r, "reverse", 0)));
    *done = true;
    return NRW_OK;
}

/* Matrix products. */

static nrw_value *swapped(rewriting *r, nrw_value *v) {
    static const int64_t perm[2] = {1, 0};
    return rule_turn(r, v, 2, perm);
}

/* A constant times a factor; NULL where it is no float constant. */
static nrw_value *times(rewriting *r, nrw_value *v, float factor) {
    int64_t n;
    nrw_tensor t;
    const float *x = nrw_const_floats(v, &n);
    if (factor == 1 || r->failed) return v;
    if (x == NULL) return NULL;
    if (nrw_tensor_copy(&r->graph->model->arena, v->data, &t, r->err) != NRW_OK) return NULL;
    for (int64_t i = 0; i < n; i++) ((float *)t.data)[i] = x[i] * factor;
    return nrw_const_new(r->graph, NULL, &t);
}

/* The bias as a vector: a row of that many elements is one, whatever its rank. */
static nrw_value *as_vector(rewriting *r, nrw_value *v, int64_t n) {
    if (!nrw_is_const(v) || nrw_tensor_count(v->data) != n) return NULL;
    if (v->data->rank == 1) return v;
    if (v->data->rank == 0 || v->data->dims[v->data->rank - 1] != n || v->quant != NULL)
        return NULL;
    nrw_tensor t = *v->data;
    t.rank = 1;
    t.dims[0] = n;
    nrw_value *w = nrw_const_new(r->graph, NULL, &t);
    if (w == NULL) r->failed = true;
    return w;
}

static nrw_value *zeros(rewriting *r, int64_t n) {
    float *x = nrw_arena_calloc(r->scratch, (size_t)n + 1, sizeof *x);
    nrw_value *v = x != NULL ? nrw_const_f32(r->graph, NULL, 1, n, x) : NULL;
    if (v == NULL) r->failed = true;
    return v;
}

static nrw_status lower_gemm(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *w = rule_in(r, 1), *c = rule_in(r, 2);
    const float alpha = nrw_attr_float(r->node, "alpha", 1),
                beta = nrw_attr_float(r->node, "beta", 1);
    const int64_t units =
        w->type.rank == 2 ? w->type.dims[rule_int(r, "transB", 0) != 0 ? 0 : 1] : -1;
    if (units < 0 || x->type.rank != 2) return NRW_OK;
    w = times(r, w, alpha);
    if (w == NULL) return NRW_OK;
    if (c != NULL) c = times(r, c, beta);
    if (rule_in(r, 2) != NULL && c == NULL) return NRW_OK;
    if (rule_int(r, "transA", 0) != 0) x = swapped(r, x);
    if (rule_int(r, "transB", 0) == 0) w = swapped(r, w);
    nrw_value *bias = c != NULL ? as_vector(r, c, units) : zeros(r, units);
    nrw_value *v = EMIT(r, "FULLY_CONNECTED", x, w, bias != NULL ? bias : zeros(r, units));
    if (bias == NULL) v = EMIT(r, "ADD", v, c);
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

static nrw_status lower_matmul(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *w = rule_in(r, 1);
    *done = true;
    if (!nrw_is_const(w) || w->type.rank != 2 || x->type.rank < 2) {
        *done = x->type.rank >= 2 && w->type.rank >= 2;
        if (*done) rule_finish(r, EMIT(r, "BATCH_MATMUL", x, w));
        return NRW_OK;
    }
    nrw_value *v = EMIT(r, "FULLY_CONNECTED", x, swapped(r, w), zeros(r, w->type.dims[1]));
    if (x->type.rank > 2) v = rule_set_int(r, v, "keep_num_dims", 1);
    rule_finish(r, v);
    return NRW_OK;
}

/* Reductions. */

static nrw_status lower_reduce(rewriting *r, const char *type, bool *done) {
    nrw_value *x = rule_in(r, 0);
    int64_t list[NRW_MAX_RANK];
    int32_t axes[NRW_MAX_RANK];
    int n = rule_in(r, 1) != NULL ? rule_ints(rule_in(r, 1), list, NRW_MAX_RANK) : 0;
    if (n < 0 || x->type.rank < 0) return NRW_OK;
    if (n == 0 && rule_int(r, "noop_with_empty_axes", 0) != 0) return lower_identity(r, done);
    for (int i = 0; i < n; i++) axes[i] = (int32_t)list[i];
    if (n == 0) {
        n = x->type.rank;
        for (int i = 0; i < n; i++) axes[i] = i;
    }
    nrw_value *v = EMIT(r, type, x, rule_i32s(r, 1, (const int64_t[]){n}, axes));
    rule_finish(r, rule_set_int(r, v, "keep_dims", rule_int(r, "keepdims", 1)));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_mean(rewriting *r, bool *done) {
    return lower_reduce(r, "MEAN", done);
}

static nrw_status lower_sum(rewriting *r, bool *done) {
    return lower_reduce(r, "SUM", done);
}

static nrw_status lower_prod(rewriting *r, bool *done) {
    return lower_reduce(r, "REDUCE_PROD", done);
}

static nrw_status lower_max(rewriting *r, bool *done) {
    return lower_reduce(r, "REDUCE_MAX", done);
}

static nrw_status lower_min(rewriting *r, bool *done) {
    return lower_reduce(r, "REDUCE_MIN", done);
}

static nrw_status lower_arg(rewriting *r, const char *type, bool *done) {
    int64_t axis = rule_int(r, "axis", 0);
    const int rank = rule_in(r, 0)->type.rank;
    if (rule_int(r, "select_last_index", 0) != 0 || rank < 1 || !nrw_normalize_axis(&axis, rank))
        return NRW_OK;
    const int32_t a = (int32_t)axis;
    nrw_value *v = EMIT(r, type, rule_in(r, 0), rule_i32s(r, 0, NULL, &a));
    v = rule_set_int(r, v, "output_type", nrw_dtype_get(NRW_I64)->tflite);
    if (rule_int(r, "keepdims", 1) != 0 && !r->failed) {
        nrw_type t = rule_out(r)->type;
        memmove(&t.dims[axis], &t.dims[axis + 1], (size_t)(rank - 1 - axis) * sizeof *t.dims);
        t.rank--;
        v->type = t;
        v = EMIT(r, "EXPAND_DIMS", v, rule_i32s(r, 0, NULL, &a));
    }
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

static nrw_status lower_arg_max(rewriting *r, bool *done) {
    return lower_arg(r, "ARG_MAX", done);
}

static nrw_status lower_arg_min(rewriting *r, bool *done) {
    return lower_arg(r, "ARG_MIN", done);
}

/* The largest of the last axis, sorted; places are 32 bits wide. */
static nrw_status lower_top_k(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    int64_t axis = rule_int(r, "axis", -1), k;
    const int rank = x->type.rank;
    if (rank < 1 || !nrw_normalize_axis(&axis, rank) || axis != rank - 1 ||
        rule_int(r, "largest", 1) == 0 || rule_ints(rule_in(r, 1), &k, 1) != 1)
        return NRW_OK;
    const int32_t count = (int32_t)k;
    nrw_value *v = EMIT(r, "TOPK_V2", x, rule_i32s(r, 0, NULL, &count)), *at = rule_second(r, v, 1);
    if (r->failed) return NRW_OK;
    at->type = v->type;
    at->type.dtype = NRW_I32;
    if (r->node->n_outputs > 1 && r->node->outputs[1] != NULL) {
        nrw_value *wide =
            rule_set_int(r, EMIT(r, "CAST", at), "in_data_type", nrw_dtype_get(NRW_I32)->tflite);
        rule_finish_output(r, 1,
                           rule_set_int(r, wide, "out_data_type", nrw_dtype_get(NRW_I64)->tflite));
    }
    rule_finish_output(r, 0, v); /* last: what is emitted looks like it */
    *done = true;
    return NRW_OK;
}

const nrw_tflite_rule nrw_tflite_lower_math_rules[] = {
    {"Add", lower_add},
    {"Sub", lower_sub},
    {"Mul", lower_mul},
    {"Div", lower_div},
    {"Mod", lower_mod},
    {"Clip", lower_clip},
    {"LeakyRelu", lower_leaky_relu},
    {"Gelu", lower_gelu},
    {"Cast", lower_cast},
    {"Identity", lower_identity},
    {"Requantize", lower_requantize},
    {"Softmax", lower_softmax},
    {"LogSoftmax", lower_log_softmax},
    {"CumSum", lower_cumsum},
    {"Gemm", lower_gemm},
    {"MatMul", lower_matmul},
    {"ReduceMean", lower_mean},
    {"ReduceSum", lower_sum},
    {"ReduceProd", lower_prod},
    {"ReduceMax", lower_max},
    {"ReduceMin", lower_min},
    {"ArgMax", lower_arg_max},
    {"ArgMin", lower_arg_min},
    {"TopK", lower_top_k},
    {NULL, NULL},
};
