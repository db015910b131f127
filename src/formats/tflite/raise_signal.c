/* Fourier transforms. Complex numbers become two real ones along a last axis, as ONNX's DFT has
 * them; complex tensors are only made where something else reads them. */
#include <string.h>

#include "formats/tflite/rule.h"

static nrw_value *emit_row(rewriting *r, const char *type, nrw_value *v) {
    r->domain = "tflite";
    v = EMIT(r, type, v);
    r->domain = "";
    return v;
}

static nrw_value *parts_of(rewriting *r, nrw_value *v) {
    const nrw_node *n = v->producer;
    const bool joined = n != NULL && strcmp(n->type, "COMPLEX_OF_PARTS") == 0;
    return joined ? n->inputs[0] : emit_row(r, "PARTS_OF_COMPLEX", v);
}

static nrw_value *part(rewriting *r, nrw_value *parts, int which) {
    return rule_set_int(r, EMIT(r, "Gather", parts, rule_i64(r, which)), "axis", -1);
}

static nrw_value *transform(rewriting *r, nrw_value *v, nrw_value *lengths, int which, int64_t axis,
                            bool onesided) {
    nrw_value *length = EMIT(r, "Gather", lengths, rule_i64(r, which));
    v = EMIT(r, "DFT", v, rule_set_int(r, length, "axis", 0), rule_i64(r, axis));
    return onesided ? rule_set_int(r, v, "onesided", 1) : v;
}

/* lite/kernels/rfft2d.cc: rows, of which one half says all, then columns. */
static nrw_status raise_rfft2d(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *lengths = rule_in(r, 1);
    if (x == NULL || lengths == NULL || x->type.rank < 2 || x->type.rank >= NRW_MAX_RANK)
        return NRW_OK;
    lengths = rule_to_i64(r, lengths);
    nrw_value *v = rule_unsqueeze(r, x, x->type.rank);
    v = transform(r, v, lengths, 1, -2, true);
    v = transform(r, v, lengths, 0, -3, false);
    rule_finish(r, emit_row(r, "COMPLEX_OF_PARTS", v));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_part(rewriting *r, int which, bool *done) {
    nrw_value *x = rule_in(r, 0);
    if (x == NULL || x->type.dtype != NRW_C64) return NRW_OK;
    rule_finish(r, part(r, parts_of(r, x), which));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_real(rewriting *r, bool *done) {
    return raise_part(r, 0, done);
}

static nrw_status raise_imag(rewriting *r, bool *done) {
    return raise_part(r, 1, done);
}

static nrw_status raise_abs(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    if (x == NULL || x->type.dtype != NRW_C64) return NRW_OK;
    const int64_t last = -1;
    nrw_value *v = EMIT(r, "ReduceL2", parts_of(r, x), rule_i64s(r, 1, &last));
    rule_finish(r, rule_set_int(r, v, "keepdims", 0));
    *done = true;
    return NRW_OK;
}

static nrw_value *join(rewriting *r, nrw_value *re, nrw_value *im) {
    nrw_value *both = EMIT(r, "Concat", rule_unsqueeze(r, re, -1), rule_unsqueeze(r, im, -1));
    return emit_row(r, "COMPLEX_OF_PARTS", rule_set_int(r, both, "axis", -1));
}

static nrw_status raise_product(rewriting *r, bool *done) {
    nrw_value *x[2];
    if (r->node->n_inputs != 2 || rule_int(r, "fused_activation_function", ACT_NONE) != ACT_NONE)
        return NRW_OK;
    for (int i = 0; i < 2; i++) {
        if (rule_in(r, i) == NULL || rule_in(r, i)->type.dtype != NRW_C64) return NRW_OK;
        x[i] = parts_of(r, rule_in(r, i));
    }
    nrw_value *a = part(r, x[0], 0), *b = part(r, x[0], 1);
    nrw_value *c = part(r, x[1], 0), *d = part(r, x[1], 1);
    nrw_value *re = EMIT(r, "Sub", EMIT(r, "Mul", a, c), EMIT(r, "Mul", b, d));
    nrw_value *im = EMIT(r, "Add", EMIT(r, "Mul", a, d), EMIT(r, "Mul", b, c));
    rule_finish(r, join(r, re, im));
    *done = true;
    return NRW_OK;
}

/* What is cast to a real type loses its imaginary part. */
static nrw_status raise_cast(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    const nrw_dtype to = rule_out(r)->type.dtype;
    if (x == NULL || x->type.dtype == NRW_NONE || to == NRW_NONE || x->type.dtype == to)
        return NRW_OK;
    if (x->type.dtype == NRW_C64) {
        nrw_value *re = part(r, parts_of(r, x), 0);
        rule_finish(r, to == NRW_F32 ? re : rule_cast(r, re, to));
    } else {
        nrw_value *re = x->type.dtype == NRW_F32 ? x : rule_cast(r, x, NRW_F32);
        rule_finish(r, join(r, re, EMIT(r, "Expand", rule_f32(r, 0), rule_shape_of(r, re))));
    }
    *done = true;
    return NRW_OK;
}

/* Where complex numbers come in or out. */
const nrw_tflite_rule nrw_tflite_complex_rules[] = {
    {"MUL", raise_product}, {"CAST", raise_cast}, {NULL, NULL}};

const nrw_tflite_rule nrw_tflite_signal_rules[] = {
    {"RFFT2D", raise_rfft2d},   {"REAL", raise_real}, {"IMAG", raise_imag},
    {"COMPLEX_ABS", raise_abs}, {NULL, NULL},
};
