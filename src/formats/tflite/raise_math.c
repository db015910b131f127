/* Element by element: arithmetic, comparisons, activations, conversions; and what works along an
 * axis of channels. */
#include <string.h>

#include "formats/tflite/rule.h"
#include "passes/match.h"

static bool is_real(const nrw_value *v) {
    return v->quant != NULL || nrw_dtype_is_float(v->type.dtype);
}

static nrw_status raise_pair(rewriting *r, const char *type, bool *done) {
    if (!rule_knows_activation(r)) return NRW_OK;
    rule_finish_activated(r, EMIT(r, type, rule_in(r, 0), rule_in(r, 1)));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_add(rewriting *r, bool *done) {
    return raise_pair(r, "Add", done);
}

static nrw_status raise_sub(rewriting *r, bool *done) {
    return raise_pair(r, "Sub", done);
}

static nrw_status raise_mul(rewriting *r, bool *done) {
    return raise_pair(r, "Mul", done);
}

static nrw_status raise_div(rewriting *r, bool *done) {
    return raise_pair(r, "Div", done);
}

static nrw_status raise_squared_difference(rewriting *r, bool *done) {
    nrw_value *d = EMIT(r, "Sub", rule_in(r, 0), rule_in(r, 1));
    rule_finish(r, EMIT(r, "Mul", d, d));
    *done = true;
    return NRW_OK;
}

/* Integers round down, where ONNX's Div rounds towards zero. */
static nrw_status raise_floor_div(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *y = rule_in(r, 1);
    *done = true;
    nrw_value *q = EMIT(r, "Div", x, y);
    if (is_real(x)) {
        rule_finish(r, EMIT(r, "Floor", q));
        return NRW_OK;
    }
    nrw_value *rest = EMIT(r, "Sub", x, EMIT(r, "Mul", q, y)), *zero = rule_like(r, x, 0);
    nrw_value *signs = EMIT(r, "Xor", EMIT(r, "Less", rest, zero), EMIT(r, "Less", y, zero));
    nrw_value *inexact = EMIT(r, "Not", EMIT(r, "Equal", rest, zero));
    nrw_value *below = EMIT(r, "And", signs, inexact);
    rule_finish(r, EMIT(r, "Where", below, EMIT(r, "Sub", q, rule_like(r, x, 1)), q));
    return NRW_OK;
}

/* The remainder has the divisor's sign. */
static nrw_status raise_floor_mod(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *y = rule_in(r, 1);
    *done = true;
    if (!is_real(x)) {
        rule_finish(r, EMIT(r, "Mod", x, y));
        return NRW_OK;
    }
    nrw_value *m = rule_set_int(r, EMIT(r, "Mod", x, y), "fmod", 1), *zero = rule_like(r, x, 0);
    nrw_value *signs = EMIT(r, "Xor", EMIT(r, "Less", m, zero), EMIT(r, "Less", y, zero));
    nrw_value *off = EMIT(r, "And", signs, EMIT(r, "Not", EMIT(r, "Equal", m, zero)));
    rule_finish(r, EMIT(r, "Where", off, EMIT(r, "Add", m, y), m));
    return NRW_OK;
}

static nrw_status raise_not_equal(rewriting *r, bool *done) {
    rule_finish(r, EMIT(r, "Not", EMIT(r, "Equal", rule_in(r, 0), rule_in(r, 1))));
    *done = true;
    return NRW_OK;
}

/* Sum takes reals only. */
static nrw_status raise_add_n(rewriting *r, bool *done) {
    nrw_value *v = rule_in(r, 0);
    for (int i = 1; i < r->node->n_inputs; i++) v = EMIT(r, "Add", v, rule_in(r, i));
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

/* Arithmetic: copies of the sign come in from the left, which is division by a power of two that
 * rounds down. A shift by as many bits as there are, or more, is one by all but the last. */
static nrw_status raise_right_shift(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *n = rule_in(r, 1);
    const nrw_dtype t = x->type.dtype;
    const bool is_signed = nrw_dtype_get(t)->klass == NRW_CLASS_SINT;
    if (t == NRW_I64 || t == NRW_U64) return NRW_OK; /* float64 does not hold them */
    *done = true;
    nrw_value *last = rule_cast(r, rule_f32(r, (float)(nrw_dtype_get(t)->bits - 1)), NRW_F64);
    nrw_value *least = rule_cast(r, rule_f32(r, 0), NRW_F64);
    nrw_value *by = EMIT(r, "Max", EMIT(r, "Min", rule_cast(r, n, NRW_F64), last), least);
    if (!is_signed) {
        nrw_value *v = EMIT(r, "BitShift", x, rule_cast(r, by, t));
        rule_finish(r, rule_set_str(r, v, "direction", "RIGHT"));
        return NRW_OK;
    }
    nrw_value *unit = EMIT(r, "Pow", rule_cast(r, rule_f32(r, 2), NRW_F64), by);
    nrw_value *q = EMIT(r, "Floor", EMIT(r, "Div", rule_cast(r, x, NRW_F64), unit));
    rule_finish(r, rule_cast(r, q, t));
    return NRW_OK;
}

/* The angle of (x, y): arc tangent of y / x, moved by half a turn on the left. */
static nrw_status raise_atan2(rewriting *r, bool *done) {
    nrw_value *y = rule_in(r, 0), *x = rule_in(r, 1);
    if (y->type.dtype != NRW_F32) return NRW_OK;
    nrw_value *zero = rule_f32(r, 0), *pi = rule_f32(r, 3.14159265358979f);
    nrw_value *left = EMIT(r, "Less", x, zero), *level = EMIT(r, "Equal", x, zero);
    nrw_value *down = EMIT(r, "Less", y, zero);
    nrw_value *half = EMIT(r, "Where", down, EMIT(r, "Neg", pi), pi);
    nrw_value *safe = EMIT(r, "Where", level, rule_f32(r, 1), x);
    nrw_value *angle = EMIT(r, "Atan", EMIT(r, "Div", y, safe));
    nrw_value *turned = EMIT(r, "Where", left, EMIT(r, "Add", angle, half), angle);
    nrw_value *up = EMIT(r, "Mul", EMIT(r, "Sign", y), rule_f32(r, 1.57079632679490f));
    rule_finish(r, EMIT(r, "Where", level, up, turned));
    *done = true;
    return NRW_OK;
}

/* StableHLO's names for pairs that ONNX has under others. */
static nrw_status raise_maximum(rewriting *r, bool *done) {
    return raise_pair(r, "Max", done);
}

static nrw_status raise_minimum(rewriting *r, bool *done) {
    return raise_pair(r, "Min", done);
}

static nrw_status raise_and(rewriting *r, bool *done) {
    if (rule_in(r, 0)->type.dtype != NRW_BOOL) return NRW_OK;
    return raise_pair(r, "And", done);
}

/* One operand. */

static nrw_status raise_rsqrt(rewriting *r, bool *done) {
    rule_finish(r, EMIT(r, "Reciprocal", EMIT(r, "Sqrt", rule_in(r, 0))));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_square(rewriting *r, bool *done) {
    rule_finish(r, EMIT(r, "Mul", rule_in(r, 0), rule_in(r, 0)));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_clip(rewriting *r, double lo, double hi, bool *done) {
    nrw_value *x = rule_in(r, 0);
    rule_finish(r, EMIT(r, "Clip", x, rule_like(r, x, lo), rule_like(r, x, hi)));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_relu6(rewriting *r, bool *done) {
    return raise_clip(r, 0, 6, done);
}

static nrw_status raise_relu_n1_to_1(rewriting *r, bool *done) {
    return raise_clip(r, -1, 1, done);
}

static nrw_status raise_relu_0_to_1(rewriting *r, bool *done) {
    return raise_clip(r, 0, 1, done);
}

static nrw_status raise_leaky_relu(rewriting *r, bool *done) {
    const float alpha = nrw_attr_float(r->node, "alpha", 0);
    rule_finish(r, rule_set_float(r, EMIT(r, "LeakyRelu", rule_in(r, 0)), "alpha", alpha));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_gelu(rewriting *r, bool *done) {
    const bool tanh = rule_int(r, "approximate", 0) != 0;
    nrw_value *v = EMIT(r, "Gelu", rule_in(r, 0));
    rule_finish(r, rule_set_str(r, v, "approximate", tanh ? "tanh" : "none"));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_cast(rewriting *r, bool *done) {
    const nrw_dtype to = rule_out(r)->type.dtype;
    if (to == NRW_NONE || nrw_dtype_get(to)->klass == NRW_CLASS_COMPLEX ||
        rule_out(r)->quant != NULL)
        return NRW_OK;
    if (nrw_dtype_get(rule_in(r, 0)->type.dtype)->klass == NRW_CLASS_COMPLEX) return NRW_OK;
    rule_finish(r, rule_cast(r, rule_in(r, 0), to));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_bitcast(rewriting *r, bool *done) {
    const nrw_dtype to = rule_out(r)->type.dtype, from = rule_in(r, 0)->type.dtype;
    if (nrw_dtype_size(to) != nrw_dtype_size(from) || to == NRW_NONE) return NRW_OK;
    nrw_value *v = EMIT(r, "BitCast", rule_in(r, 0));
    rule_finish(r, rule_set_int(r, v, "to", nrw_dtype_get(to)->onnx));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_zeros_like(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    rule_finish(r, EMIT(r, "Expand", rule_like(r, x, 0), rule_shape_of(r, x)));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_bucketize(rewriting *r, bool *done) {
    int64_t n = 0;
    const float *bounds = nrw_attr_floats(r->node, "boundaries", &n);
    nrw_value *x = rule_in(r, 0);
    nrw_value *list = nrw_const_f32(r->graph, NULL, 1, n, bounds);
    if (list == NULL) NRW_OOM(r->err);
    nrw_value *wide =
        EMIT(r, "Unsqueeze", rule_cast(r, x, NRW_F32), rule_i64s(r, 1, (int64_t[]){-1}));
    nrw_value *passed = rule_cast(r, EMIT(r, "GreaterOrEqual", wide, list), NRW_I32);
    nrw_value *sum = EMIT(r, "ReduceSum", passed, rule_i64s(r, 1, (int64_t[]){-1}));
    rule_finish(r, rule_set_int(r, sum, "keepdims", 0));
    *done = true;
    return NRW_OK;
}

/* Along the last axis. */

static nrw_status raise_softmax(rewriting *r, bool *done) {
    const float beta = nrw_attr_float(r->node, "beta", 0);
    nrw_value *x = rule_in(r, 0);
    if (beta != 1) x = EMIT(r, "Mul", x, rule_f32(r, beta));
    rule_finish(r, rule_set_int(r, EMIT(r, "Softmax", x), "axis", -1));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_log_softmax(rewriting *r, bool *done) {
    rule_finish(r, rule_set_int(r, EMIT(r, "LogSoftmax", rule_in(r, 0)), "axis", -1));
    *done = true;
    return NRW_OK;
}

/* lite/kernels/l2norm.cc: the root of the sum of squares, not below 1e-6. */
static nrw_status raise_l2_normalization(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    if (!rule_knows_activation(r)) return NRW_OK;
    nrw_value *norm = EMIT(r, "ReduceL2", x, rule_i64s(r, 1, (int64_t[]){-1}));
    rule_finish_activated(r, EMIT(r, "Div", x, EMIT(r, "Max", norm, rule_f32(r, 1e-6f))));
    *done = true;
    return NRW_OK;
}

/* ONNX divides alpha by the size of the neighbourhood. */
static nrw_status raise_local_response(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    const int64_t radius = rule_int(r, "radius", 0), size = 2 * radius + 1;
    if (x->type.rank != 4 || radius < 0 || size > INT16_MAX) return NRW_OK;
    nrw_value *v = EMIT(r, "LRN", rule_to_first(r, x, 4));
    v = rule_set_int(r, v, "size", size);
    v = rule_set_float(r, v, "alpha", nrw_attr_float(r->node, "alpha", 0) * (float)size);
    v = rule_set_float(r, v, "beta", nrw_attr_float(r->node, "beta", 0));
    v = rule_set_float(r, v, "bias", nrw_attr_float(r->node, "bias", 0));
    rule_finish(r, rule_to_last(r, v, 4));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_cumsum(rewriting *r, bool *done) {
    nrw_value *v = EMIT(r, "CumSum", rule_in(r, 0), rule_in(r, 1));
    v = rule_set_int(r, v, "exclusive", rule_int(r, "exclusive", 0));
    rule_finish(r, rule_set_int(r, v, "reverse", rule_int(r, "reverse", 0)));
    *done = true;
    return NRW_OK;
}

/* Between real numbers and integers. */

/* The same real numbers; annotations say the rest. */
static nrw_status raise_requantize(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *y = rule_out(r);
    *done = true;
    if (x->quant == NULL && y->quant == NULL && x->type.dtype != NRW_F32) {
        rule_finish(r, rule_cast(r, x, y->type.dtype)); /* from half precision */
        return NRW_OK;
    }
    nrw_node *n = nrw_node_new(r->graph, nrw_op_find("Requantize", "ai.narrow"), "Requantize",
                               "ai.narrow", NULL, 1, 1, r->node);
    nrw_value *v = nrw_value_new(r->graph, NULL, NULL);
    if (n == NULL || v == NULL || nrw_node_set_input(n, 0, x, r->err) != NRW_OK) NRW_OOM(r->err);
    nrw_node_set_output(n, 0, v);
    rule_finish(r, v);
    return NRW_OK;
}

/* lite/kernels/dequantize.cc: a constant in half precision is real numbers from the start. */
static nrw_status raise_dequantize(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *y = rule_out(r);
    if (!nrw_is_const(x) || x->quant != NULL || !nrw_dtype_is_float(x->data->dtype))
        return raise_requantize(r, done);
    nrw_tensor wide;
    NRW_TRY(nrw_tensor_new(&r->graph->model->arena, NRW_F32, x->data->rank, x->data->dims, &wide,
                           r->err));
    NRW_TRY(nrw_to_f32(x->data->dtype, x->data->data, wide.data, nrw_tensor_count(&wide), r->err));
    y->data = nrw_arena_dup(&r->graph->model->arena, &wide, sizeof wide);
    if (y->data == NULL) NRW_OOM(r->err);
    y->type = nrw_type_of(&wide);
    *done = true;
    return NRW_OK;
}

/* The elements are dense already: reading made them so. */
static nrw_status raise_densify(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *y = rule_out(r);
    if (!nrw_is_const(x)) return NRW_OK;
    y->data = x->data;
    y->type = x->type;
    y->quant = x->quant;
    *done = true;
    return NRW_OK;
}

static nrw_status raise_fake_quant(rewriting *r, bool *done) {
    const int64_t bits = rule_int(r, "num_bits", 0);
    const float lo = nrw_attr_float(r->node, "min", 0), hi = nrw_attr_float(r->node, "max", 0);
    if (bits < 2 || bits > 16 || !(lo < hi)) return NRW_OK;
    const float least = rule_int(r, "narrow_range", 0) != 0 ? 1.0f : 0.0f;
    const float most = (float)((1 << bits) - 1), scale = (hi - lo) / (most - least);
    /* core/kernels/fake_quant_ops_functor.h, Nudge: zero becomes one of the steps. */
    const float zero = least - lo / scale;
    const float nudged = zero < least ? least : zero > most ? most : (float)(int)(zero + 0.5f);
    nrw_value *low = rule_f32(r, (least - nudged) * scale);
    nrw_value *high = rule_f32(r, (most - nudged) * scale), *step = rule_f32(r, scale);
    nrw_value *inside = EMIT(r, "Clip", rule_in(r, 0), low, high);
    nrw_value *steps = EMIT(r, "Mul", EMIT(r, "Sub", inside, low), rule_f32(r, 1 / scale));
    nrw_value *whole = EMIT(r, "Floor", EMIT(r, "Add", steps, rule_f32(r, 0.5f)));
    rule_finish(r, EMIT(r, "Add", EMIT(r, "Mul", whole, step), low));
    *done = true;
    return NRW_OK;
}

const nrw_tflite_rule nrw_tflite_math_rules[] = {
    {"STABLEHLO_ADD", raise_add},
    {"STABLEHLO_MULTIPLY", raise_mul},
    {"STABLEHLO_SUBTRACT", raise_sub},
    {"STABLEHLO_DIVIDE", raise_div},
    {"STABLEHLO_MAXIMUM", raise_maximum},
    {"STABLEHLO_MINIMUM", raise_minimum},
    {"STABLEHLO_AND", raise_and},
    {"ADD", raise_add},
    {"SUB", raise_sub},
    {"MUL", raise_mul},
    {"DIV", raise_div},
    {"SQUARED_DIFFERENCE", raise_squared_difference},
    {"FLOOR_DIV", raise_floor_div},
    {"FLOOR_MOD", raise_floor_mod},
    {"NOT_EQUAL", raise_not_equal},
    {"ADD_N", raise_add_n},
    {"RIGHT_SHIFT", raise_right_shift},
    {"ATAN2", raise_atan2},
    {"RSQRT", raise_rsqrt},
    {"SQUARE", raise_square},
    {"RELU6", raise_relu6},
    {"RELU_N1_TO_1", raise_relu_n1_to_1},
    {"RELU_0_TO_1", raise_relu_0_to_1},
    {"LEAKY_RELU", raise_leaky_relu},
    {"GELU", raise_gelu},
    {"CAST", raise_cast},
    {"BITCAST", raise_bitcast},
    {"ZEROS_LIKE", raise_zeros_like},
    {"BUCKETIZE", raise_bucketize},
    {"SOFTMAX", raise_softmax},
    {"LOG_SOFTMAX", raise_log_softmax},
    {"L2_NORMALIZATION", raise_l2_normalization},
    {"LOCAL_RESPONSE_NORMALIZATION", raise_local_response},
    {"CUMSUM", raise_cumsum},
    {"QUANTIZE", raise_requantize},
    {"DEQUANTIZE", raise_dequantize},
    {"DENSIFY", raise_densify},
    {"FAKE_QUANT", raise_fake_quant},
    {NULL, NULL},
};
