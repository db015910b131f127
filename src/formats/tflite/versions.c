/* Operator versions: the lowest that has what a node uses, for readers refuse those that are too
 * high for them, and may misread what is too low (lite/tools/versioning/op_version.cc). */
#include <math.h>
#include <string.h>

#include "formats/tflite/schema.h"
#include "formats/tflite/write.h"
#include "passes/match.h"

static nrw_dtype stored(const nrw_node *n, int i) {
    const nrw_value *v = nrw_input(n, i);
    if (v == NULL) return NRW_NONE;
    if (v->data != NULL) return v->data->dtype;
    return v->quant != NULL ? v->quant->dtype : v->type.dtype;
}

static bool is(const nrw_node *n, const char *type) {
    return strcmp(n->type, type) == 0;
}

static bool per_channel(const nrw_node *n, int i) {
    const nrw_value *v = nrw_input(n, i);
    return v != NULL && v->quant != NULL && v->quant->axis >= 0;
}

static bool dilates(const nrw_node *n) {
    return nrw_attr_int(n, "dilation_w_factor", 1) != 1 ||
           nrw_attr_int(n, "dilation_h_factor", 1) != 1;
}

static int version_of_conv(const nrw_node *n, bool depthwise) {
    const nrw_dtype x = stored(n, 0), w = stored(n, 1);
    if (w == NRW_I4) return 7;
    if (depthwise) {
        if (x == NRW_F32 && w == NRW_I8) return per_channel(n, 1) ? 6 : 4;
        return x == NRW_I16 ? 5 : x == NRW_I8 ? 3 : dilates(n) ? 2 : 1;
    }
    if (x == NRW_F32 && w == NRW_I8) return per_channel(n, 1) ? 5 : 2;
    return x == NRW_I16 ? 4 : x == NRW_I8 ? 3 : 1;
}

static int version_of_fully_connected(const nrw_node *n) {
    const nrw_dtype x = stored(n, 0), w = stored(n, 1);
    const bool keeps = nrw_attr_int(n, "keep_num_dims", 0) != 0;
    if (w == NRW_I4) return 13;
    if (x != NRW_F32 && per_channel(n, 1)) return 12;
    if (x == NRW_I16) return 7;
    if (nrw_input(n, 2) == NULL) return 6;
    if (x == NRW_F32 && w == NRW_I8) return per_channel(n, 1) ? 12 : keeps ? 5 : 3;
    if (keeps) return 5;
    return x == NRW_I8 ? 4 : 1;
}

/* Products whose scale is 1 or more have a kernel of their own. */
static bool grows(const nrw_node *n) {
    const nrw_value *const v[] = {nrw_input(n, 0), nrw_input(n, 1), n->outputs[0]};
    if (v[0] == NULL || v[1] == NULL || v[2] == NULL) return false;
    const nrw_quant *a = v[0]->quant, *b = v[1]->quant, *y = v[2]->quant;
    return a != NULL && b != NULL && y != NULL && a->scale[0] * b->scale[0] / y->scale[0] >= 1;
}

static int most(const nrw_node *n) {
    int rank = 0;
    for (int i = 0; i < n->n_inputs; i++) {
        const nrw_value *v = n->inputs[i];
        if (v != NULL && v->type.rank > rank) rank = v->type.rank;
    }
    return rank;
}

/* Operators with one version for bytes and one for 16 bits above the first. */
static const struct {
    const char *type;
    int i8, i16;
} plain[] = {
    {"AVERAGE_POOL_2D", 2, 3},
    {"MAX_POOL_2D", 2, 3},
    {"CONCATENATION", 2, 3},
    {"SOFTMAX", 2, 3},
    {"LOGISTIC", 2, 3},
    {"TANH", 2, 3},
    {"PAD", 2, 3},
    {"PADV2", 2, 3},
    {"MEAN", 2, 3},
    {"SUM", 2, 2},
    {"RESHAPE", 1, 1},
    {"MAXIMUM", 2, 3},
    {"MINIMUM", 2, 3},
    {"SLICE", 2, 4},
    {"SPACE_TO_DEPTH", 2, 2},
    {"DEPTH_TO_SPACE", 2, 2},
    {"RELU", 2, 3},
    {"RELU6", 2, 3},
    {"LEAKY_RELU", 1, 2},
    {"LOG_SOFTMAX", 2, 2},
    {"REDUCE_MAX", 2, 3},
    {"REDUCE_MIN", 2, 3},
    {"ARG_MAX", 2, 2},
    {"ARG_MIN", 2, 2},
    {"MIRROR_PAD", 2, 3},
    {"SQUARED_DIFFERENCE", 2, 3},
    {"TILE", 2, 2},
    {"ABS", 2, 3},
    {"RSQRT", 2, 3},
    {"EXP", 2, 2},
    {"LOG", 2, 2},
    {"GELU", 2, 2},
    {"GREATER", 2, 2},
    {"GREATER_EQUAL", 2, 2},
    {"LESS", 2, 2},
    {"LESS_EQUAL", 2, 2},
    {"EQUAL", 2, 2},
    {"NOT_EQUAL", 2, 2},
    {"PACK", 2, 2},
    {"UNPACK", 2, 2},
    {"SPLIT_V", 2, 2},
};

static int plain_version(const nrw_node *n, nrw_dtype x) {
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (!is(n, plain[i].type)) continue;
        return x == NRW_I8 ? plain[i].i8 : x == NRW_I16 ? plain[i].i16 : 1;
    }
    return 1;
}

static int version_of_sum(const nrw_node *n, nrw_dtype x) {
    if (is(n, "MUL") && x == NRW_I8) return grows(n) ? 3 : 2;
    if (is(n, "SUB") && most(n) > 4) return 3;
    return x == NRW_I8 ? 2 : x == NRW_I16 ? (is(n, "SUB") ? 5 : is(n, "MUL") ? 4 : 3) : 1;
}

int nrw_tflite_version(const nrw_node *n) {
    const nrw_dtype x = stored(n, 0);
    const bool half = nrw_attr_int(n, "half_pixel_centers", 0) != 0;
    if (is(n, "CONV_2D")) return version_of_conv(n, false);
    if (is(n, "DEPTHWISE_CONV_2D")) return version_of_conv(n, true);
    if (is(n, "FULLY_CONNECTED")) return version_of_fully_connected(n);
    if (is(n, "TRANSPOSE_CONV")) {
        const nrw_dtype data = stored(n, 2);
        const bool biased = nrw_input(n, 3) != NULL;
        return data == NRW_I16 || biased ? 3 : data == NRW_I8 ? 2 : 1;
    }
    if (is(n, "ADD") || is(n, "SUB") || is(n, "MUL")) return version_of_sum(n, x);
    if (is(n, "RESIZE_BILINEAR") || is(n, "RESIZE_NEAREST_NEIGHBOR"))
        return x == NRW_I16 ? 4 : half ? 3 : x == NRW_I8 ? 2 : 1;
    if (is(n, "DEQUANTIZE"))
        return x == NRW_F16 || x == NRW_I16 ? 3 : x == NRW_I8 ? (per_channel(n, 0) ? 5 : 2) : 1;
    if (is(n, "QUANTIZE")) return x == NRW_I16 ? 2 : 1;
    if (is(n, "TRANSPOSE")) return most(n) > 5 ? 6 : most(n) > 4 ? 4 : x == NRW_I8 ? 2 : 1;
    if (is(n, "BATCH_MATMUL"))
        return x == NRW_I8 ? 2 : x == NRW_I16 ? 3 : stored(n, 1) == NRW_I8 ? 4 : 1;
    if (is(n, "STRIDED_SLICE")) return x == NRW_I8 ? 2 : x == NRW_I16 ? 4 : 1;
    if (is(n, "GATHER")) return x == NRW_I8 ? 2 : x == NRW_I16 ? 4 : 1;
    if (is(n, "SPLIT")) return stored(n, 1) == NRW_I8 ? 2 : 1;
    if (is(n, "SELECT_V2")) return most(n) > 4 ? 2 : 1;
    if (is(n, "BROADCAST_TO")) return x == NRW_I8 ? 3 : 2;
    return plain_version(n, x);
}
