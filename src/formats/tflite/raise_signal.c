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
    nrw_value *v = EMIT(r, "Gather", parts_of(r, x), rule_i64(r, which));
    rule_finish(r, rule_set_int(r, v, "axis", -1));
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

const nrw_tflite_rule nrw_tflite_signal_rules[] = {
    {"RFFT2D", raise_rfft2d},   {"REAL", raise_real}, {"IMAG", raise_imag},
    {"COMPLEX_ABS", raise_abs}, {NULL, NULL},
};
