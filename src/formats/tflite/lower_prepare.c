/* Writing: operators of ONNX's that TensorFlow Lite has no equal of become several that it has. The
 * result is still ONNX's, so that shapes are inferred as ever. */
#include <math.h>
#include <string.h>

#include "formats/tflite/rule.h"
#include "passes/match.h"

/* Shapes of convolutions. */

static int64_t attr_at(const nrw_node *n, const char *name, int i, int64_t absent) {
    int64_t count = 0;
    const int64_t *list = nrw_attr_ints(n, name, &count);
    return list != NULL && i < count ? list[i] : absent;
}

/* A line is an image one pixel high. */
static nrw_status prepare_line(rewriting *r, const char *type, bool *done) {
    nrw_value *x = rule_in(r, 0), *w = rule_in(r, 1);
    static const char *const lists[] = {"strides", "dilations", "kernel_shape", "output_padding"};
    nrw_tensor t;
    if (w->type.rank != 3 || !nrw_is_const(w) || (w->quant != NULL && w->quant->block > 0))
        return NRW_OK;
    t = *w->data;
    memmove(&t.dims[3], &t.dims[2], sizeof *t.dims);
    t.dims[2] = 1;
    t.rank = 4;
    nrw_value *w4 = nrw_const_new(r->graph, NULL, &t);
    if (w4 == NULL) NRW_OOM(r->err);
    nrw_value *v = EMIT(r, type, rule_unsqueeze(r, x, 2), w4, rule_in(r, 2));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (nrw_node_attr(r->node, lists[i]) == NULL) continue;
        const int64_t unit = strcmp(lists[i], "output_padding") == 0 ? 0 : 1;
        const int64_t two[2] = {unit, attr_at(r->node, lists[i], 0, unit)};
        v = rule_set_ints(r, v, lists[i], 2, two);
    }
    const int64_t pads[4] = {0, attr_at(r->node, "pads", 0, 0), 0, attr_at(r->node, "pads", 1, 0)};
    if (nrw_node_attr(r->node, "pads") != NULL) v = rule_set_ints(r, v, "pads", 4, pads);
    if (nrw_node_attr(r->node, "auto_pad") != NULL)
        v = rule_set_str(r, v, "auto_pad", nrw_attr_str(r->node, "auto_pad", ""));
    v = rule_set_int(r, v, "group", rule_int(r, "group", 1));
    v = rule_quant_as(r, v, rule_out(r));
    rule_finish(r, rule_squeeze(r, v, 2));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_conv(rewriting *r, bool *done) {
    return prepare_line(r, "Conv", done);
}

static nrw_status prepare_conv_transpose(rewriting *r, bool *done) {
    return prepare_line(r, "ConvTranspose", done);
}

/* CRD has the channel before the place in its block: axes are split, moved and joined. */
static nrw_status prepare_crd(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    const int64_t b = rule_int(r, "blocksize", 1), *d = x->type.dims;
    static const int64_t perm[6] = {0, 1, 4, 2, 5, 3};
    if (strcmp(nrw_attr_str(r->node, "mode", "DCR"), "CRD") != 0 || x->type.rank != 4 ||
        !rule_is_static(x) || b < 1 || d[1] % (b * b) != 0)
        return NRW_OK;
    nrw_value *v = rule_reshape(r, x, 6, (const int64_t[]){d[0], d[1] / (b * b), b, b, d[2], d[3]});
    v = rule_quant_as(r, rule_set_ints(r, EMIT(r, "Transpose", v), "perm", 6, perm), x);
    rule_finish(r,
                rule_reshape(r, v, 4, (const int64_t[]){d[0], d[1] / (b * b), d[2] * b, d[3] * b}));
    *done = true;
    return NRW_OK;
}

/* Normalizations. */

/* Means over some axes, which stay with length 1. */
static nrw_value *mean(rewriting *r, nrw_value *x, int n, const int64_t *axes) {
    return EMIT(r, "ReduceMean", x, rule_i64s(r, n, axes));
}

/* x less its mean, by its deviation. */
static nrw_value *normalized(rewriting *r, nrw_value *x, int n, const int64_t *axes) {
    nrw_value *centred = EMIT(r, "Sub", x, mean(r, x, n, axes));
    nrw_value *spread = mean(r, EMIT(r, "Mul", centred, centred), n, axes);
    const float epsilon = nrw_attr_float(r->node, "epsilon", 1e-5f);
    nrw_value *deviation = EMIT(r, "Sqrt", EMIT(r, "Add", spread, rule_f32(r, epsilon)));
    return EMIT(r, "Div", centred, deviation);
}

static nrw_value *scaled(rewriting *r, nrw_value *v, nrw_value *by, nrw_value *plus) {
    if (by != NULL) v = EMIT(r, "Mul", v, by);
    return plus != NULL ? EMIT(r, "Add", v, plus) : v;
}

static nrw_status prepare_layer_norm(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    int64_t axis = rule_int(r, "axis", -1), axes[NRW_MAX_RANK];
    const int rank = x->type.rank;
    if (rank < 1 || !nrw_normalize_axis(&axis, rank) || r->node->n_outputs > 1) return NRW_OK;
    for (int64_t i = axis; i < rank; i++) axes[i - axis] = i;
    nrw_value *v = normalized(r, x, rank - (int)axis, axes);
    rule_finish(r, scaled(r, v, rule_in(r, 1), rule_in(r, 2)));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_rms_norm(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    int64_t axis = rule_int(r, "axis", -1), axes[NRW_MAX_RANK];
    const int rank = x->type.rank;
    if (rank < 1 || !nrw_normalize_axis(&axis, rank)) return NRW_OK;
    for (int64_t i = axis; i < rank; i++) axes[i - axis] = i;
    nrw_value *square = mean(r, EMIT(r, "Mul", x, x), rank - (int)axis, axes);
    const float epsilon = nrw_attr_float(r->node, "epsilon", 1e-5f);
    nrw_value *root = EMIT(r, "Sqrt", EMIT(r, "Add", square, rule_f32(r, epsilon)));
    rule_finish(r, scaled(r, EMIT(r, "Div", x, root), rule_in(r, 1), NULL));
    *done = true;
    return NRW_OK;
}

/* A vector of one number for each channel, to stand beside an image. */
static nrw_value *by_channel(rewriting *r, nrw_value *v, int rank) {
    int64_t dims[NRW_MAX_RANK] = {-1};
    if (v == NULL) return NULL;
    for (int i = 1; i < rank - 1; i++) dims[i] = 1;
    return rule_reshape(r, v, rank - 1, dims);
}

static nrw_status prepare_instance_norm(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    int64_t axes[NRW_MAX_RANK];
    const int rank = x->type.rank;
    if (rank < 3) return NRW_OK;
    for (int i = 2; i < rank; i++) axes[i - 2] = i;
    nrw_value *v = normalized(r, x, rank - 2, axes);
    rule_finish(
        r, scaled(r, v, by_channel(r, rule_in(r, 1), rank), by_channel(r, rule_in(r, 2), rank)));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_group_norm(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    const int64_t groups = rule_int(r, "num_groups", 1), *d = x->type.dims;
    const int64_t axes[1] = {2};
    const int rank = x->type.rank;
    if (rank < 3 || !rule_is_static(x) || groups < 1 || d[1] % groups != 0) return NRW_OK;
    nrw_value *rows = rule_reshape(r, x, 3, (const int64_t[]){d[0], groups, -1});
    nrw_value *v = rule_reshape(r, normalized(r, rows, 1, axes), rank, d);
    rule_finish(
        r, scaled(r, v, by_channel(r, rule_in(r, 1), rank), by_channel(r, rule_in(r, 2), rank)));
    *done = true;
    return NRW_OK;
}

/* By the moments that training left. */
static nrw_status prepare_batch_norm(rewriting *r, bool *done) {
    const int rank = rule_in(r, 0)->type.rank;
    const float epsilon = nrw_attr_float(r->node, "epsilon", 1e-5f);
    if (rank < 2 || (r->node->n_outputs > 1 && r->node->outputs[1] != NULL)) return NRW_OK;
    nrw_value *root = EMIT(r, "Sqrt", EMIT(r, "Add", rule_in(r, 4), rule_f32(r, epsilon)));
    nrw_value *factor = EMIT(r, "Div", rule_in(r, 1), root);
    nrw_value *offset = EMIT(r, "Sub", rule_in(r, 2), EMIT(r, "Mul", rule_in(r, 3), factor));
    rule_finish(r,
                scaled(r, rule_in(r, 0), by_channel(r, factor, rank), by_channel(r, offset, rank)));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_lp_norm(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    const int64_t p = rule_int(r, "p", 2), axis = rule_int(r, "axis", -1);
    if (p != 1 && p != 2) return NRW_OK;
    nrw_value *norm = EMIT(r, p == 1 ? "ReduceL1" : "ReduceL2", x, rule_i64s(r, 1, &axis));
    rule_finish(r, EMIT(r, "Div", x, norm));
    *done = true;
    return NRW_OK;
}

/* Activations and other functions of one number. */

static nrw_status prepare_swish(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *at = x;
    const float alpha = nrw_attr_float(r->node, "alpha", 1);
    if (alpha != 1) at = EMIT(r, "Mul", x, rule_f32(r, alpha));
    rule_finish(r, EMIT(r, "Mul", x, EMIT(r, "Sigmoid", at)));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_hard_sigmoid(rewriting *r, bool *done) {
    /* A sixth of what is cut off at 6, for which there is an activation. */
    const float alpha = 6 * nrw_attr_float(r->node, "alpha", 0.2f);
    nrw_value *v = rule_in(r, 0);
    if (fabsf(alpha - 1) > 1e-6f) v = EMIT(r, "Mul", v, rule_f32(r, alpha));
    v = EMIT(r, "Add", v, rule_f32(r, 6 * nrw_attr_float(r->node, "beta", 0.5f)));
    v = EMIT(r, "Clip", v, rule_f32(r, 0), rule_f32(r, 6));
    rule_finish(r, EMIT(r, "Mul", v, rule_f32(r, 1.0f / 6)));
    *done = true;
    return NRW_OK;
}

static nrw_value *softplus(rewriting *r, nrw_value *x) {
    /* max(x, 0) + log(1 + exp(-|x|)) does not overflow. */
    nrw_value *tail = EMIT(r, "Exp", EMIT(r, "Neg", EMIT(r, "Abs", x)));
    tail = EMIT(r, "Log", EMIT(r, "Add", tail, rule_f32(r, 1)));
    return EMIT(r, "Add", EMIT(r, "Relu", x), tail);
}

static nrw_status prepare_softplus(rewriting *r, bool *done) {
    rule_finish(r, softplus(r, rule_in(r, 0)));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_mish(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    rule_finish(r, EMIT(r, "Mul", x, EMIT(r, "Tanh", softplus(r, x))));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_softsign(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    rule_finish(r, EMIT(r, "Div", x, EMIT(r, "Add", EMIT(r, "Abs", x), rule_f32(r, 1))));
    *done = true;
    return NRW_OK;
}

/* gamma * (max(x, 0) + alpha * (exp(min(x, 0)) - 1)), x by `inner` in the exponent. */
static nrw_value *exponential_unit(rewriting *r, float gamma, float alpha, float inner) {
    nrw_value *x = rule_in(r, 0), *low = EMIT(r, "Min", x, rule_f32(r, 0));
    if (inner != 1) low = EMIT(r, "Mul", low, rule_f32(r, inner));
    nrw_value *tail = EMIT(r, "Sub", EMIT(r, "Exp", low), rule_f32(r, 1));
    nrw_value *v = EMIT(r, "Add", EMIT(r, "Relu", x), EMIT(r, "Mul", tail, rule_f32(r, alpha)));
    return gamma != 1 ? EMIT(r, "Mul", v, rule_f32(r, gamma)) : v;
}

static nrw_status prepare_elu(rewriting *r, bool *done) {
    const float alpha = nrw_attr_float(r->node, "alpha", 1);
    if (alpha == 1) return NRW_OK;
    rule_finish(r, exponential_unit(r, 1, alpha, 1));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_celu(rewriting *r, bool *done) {
    const float alpha = nrw_attr_float(r->node, "alpha", 1);
    rule_finish(r, exponential_unit(r, 1, alpha, 1 / alpha));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_selu(rewriting *r, bool *done) {
    const float alpha = nrw_attr_float(r->node, "alpha", 1.67326319217681884765625f);
    const float gamma = nrw_attr_float(r->node, "gamma", 1.05070102214813232421875f);
    rule_finish(r, exponential_unit(r, gamma, alpha, 1));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_thresholded_relu(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    nrw_value *passes = EMIT(r, "Greater", x, rule_f32(r, nrw_attr_float(r->node, "alpha", 1)));
    rule_finish(r, EMIT(r, "Where", passes, x, rule_f32(r, 0)));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_reciprocal(rewriting *r, bool *done) {
    rule_finish(r, EMIT(r, "Div", rule_like(r, rule_in(r, 0), 1), rule_in(r, 0)));
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_tan(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    rule_finish(r, EMIT(r, "Div", EMIT(r, "Sin", x), EMIT(r, "Cos", x)));
    *done = true;
    return NRW_OK;
}

/* The error function by Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.28: good to
 * 3e-7. */
static nrw_status prepare_erf(rewriting *r, bool *done) {
    static const float a[6] = {0.0705230784f, 0.0422820123f, 0.0092705272f,
                               0.0001520143f, 0.0002765672f, 0.0000430638f};
    nrw_value *x = rule_in(r, 0), *size = EMIT(r, "Abs", x), *sum = rule_f32(r, a[5]);
    if (x->type.dtype != NRW_F32) return NRW_OK;
    for (int i = 4; i >= 0; i--) {
        sum = EMIT(r, "Add", EMIT(r, "Mul", sum, size), rule_f32(r, a[i]));
    }
    sum = EMIT(r, "Add", EMIT(r, "Mul", sum, size), rule_f32(r, 1));
    for (int i = 0; i < 4; i++) sum = EMIT(r, "Mul", sum, sum);
    nrw_value *rest = EMIT(r, "Div", rule_f32(r, 1), sum);
    rule_finish(r, EMIT(r, "Mul", EMIT(r, "Sign", x), EMIT(r, "Sub", rule_f32(r, 1), rest)));
    *done = true;
    return NRW_OK;
}

/* Several operands. */

static nrw_status prepare_many(rewriting *r, const char *pair, bool *done) {
    nrw_value *v = rule_in(r, 0);
    if (r->node->n_inputs == 2 && strcmp(pair, "Add") != 0) return NRW_OK;
    for (int i = 1; i < r->node->n_inputs; i++) v = EMIT(r, pair, v, rule_in(r, i));
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_sum(rewriting *r, bool *done) {
    return prepare_many(r, "Add", done);
}

static nrw_status prepare_max(rewriting *r, bool *done) {
    return prepare_many(r, "Max", done);
}

static nrw_status prepare_min(rewriting *r, bool *done) {
    return prepare_many(r, "Min", done);
}

static nrw_status prepare_mean(rewriting *r, bool *done) {
    nrw_value *v = rule_in(r, 0);
    const int n = r->node->n_inputs;
    for (int i = 1; i < n; i++) v = EMIT(r, "Add", v, rule_in(r, i));
    rule_finish(r, EMIT(r, "Div", v, rule_f32(r, (float)n)));
    *done = true;
    return NRW_OK;
}

/* Reductions of a function of the elements, and a function of the result. */
static nrw_status prepare_reduction(rewriting *r, const char *before, const char *after,
                                    bool *done) {
    nrw_value *x = rule_in(r, 0);
    if (strcmp(before, "Mul") == 0)
        x = EMIT(r, "Mul", x, x);
    else if (before[0] != 0)
        x = EMIT(r, before, x);
    nrw_value *v = EMIT(r, "ReduceSum", x, rule_in(r, 1));
    v = rule_set_int(r, v, "keepdims", rule_int(r, "keepdims", 1));
    v = rule_set_int(r, v, "noop_with_empty_axes", rule_int(r, "noop_with_empty_axes", 0));
    rule_finish(r, after[0] != 0 ? EMIT(r, after, v) : v);
    *done = true;
    return NRW_OK;
}

static nrw_status prepare_l1(rewriting *r, bool *done) {
    return prepare_reduction(r, "Abs", "", done);
}

static nrw_status prepare_l2(rewriting *r, bool *done) {
    return prepare_reduction(r, "Mul", "Sqrt", done);
}

static nrw_status prepare_log_sum(rewriting *r, bool *done) {
    return prepare_reduction(r, "", "Log", done);
}

static nrw_status prepare_sum_square(rewriting *r, bool *done) {
    return prepare_reduction(r, "Mul", "", done);
}

const nrw_tflite_rule nrw_tflite_prepare_rules[] = {
    {"Conv", prepare_conv},
    {"ConvTranspose", prepare_conv_transpose},
    {"DepthToSpace", prepare_crd},
    {"LayerNormalization", prepare_layer_norm},
    {"RMSNormalization", prepare_rms_norm},
    {"InstanceNormalization", prepare_instance_norm},
    {"GroupNormalization", prepare_group_norm},
    {"BatchNormalization", prepare_batch_norm},
    {"LpNormalization", prepare_lp_norm},
    {"Swish", prepare_swish},
    {"HardSigmoid", prepare_hard_sigmoid},
    {"Softplus", prepare_softplus},
    {"Mish", prepare_mish},
    {"Softsign", prepare_softsign},
    {"Elu", prepare_elu},
    {"Celu", prepare_celu},
    {"Selu", prepare_selu},
    {"ThresholdedRelu", prepare_thresholded_relu},
    {"Reciprocal", prepare_reciprocal},
    {"Tan", prepare_tan},
    {"Erf", prepare_erf},
    {"Sum", prepare_sum},
    {"Max", prepare_max},
    {"Min", prepare_min},
    {"Mean", prepare_mean},
    {"ReduceL1", prepare_l1},
    {"ReduceL2", prepare_l2},
    {"ReduceLogSum", prepare_log_sum},
    {"ReduceSumSquare", prepare_sum_square},
    {NULL, NULL},
};
