/* Convolutions, pools and matrix products. Images and volumes lie with channels last here and come
 * out with channels first between two Transposes each, most of which cancel. */
#include <string.h>

#include "formats/tflite/rule.h"
#include "passes/match.h"

typedef struct window {
    int n; /* spatial axes */
    int64_t kernel[3], stride[3], dilation[3];
} window;

static bool is_positive(const window *w) {
    for (int i = 0; i < w->n; i++) {
        if (w->kernel[i] < 1 || w->stride[i] < 1 || w->dilation[i] < 1) return false;
    }
    return true;
}

/* A window of one pixel, moved by one. */
static bool is_point(const window *w) {
    for (int i = 0; i < w->n; i++) {
        if (w->kernel[i] != 1 || w->stride[i] != 1) return false;
    }
    return true;
}

/* What SAME adds before and after an axis of this length; lite/kernels/padding.h. */
static void same_pads(const window *w, int i, int64_t length, int64_t *before, int64_t *after) {
    const int64_t out = (length + w->stride[i] - 1) / w->stride[i];
    const int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
    int64_t total = (out - 1) * w->stride[i] + reach - length;
    if (total < 0) total = 0;
    *before = total / 2;
    *after = total - total / 2;
}

/* Attributes of the node that makes v, for an input x with channels last. */
static nrw_value *set_window(rewriting *r, nrw_value *v, const window *w, const nrw_value *x,
                             bool dilates) {
    int64_t pads[6] = {0};
    v = rule_set_ints(r, v, "kernel_shape", w->n, w->kernel);
    v = rule_set_ints(r, v, "strides", w->n, w->stride);
    if (dilates) v = rule_set_ints(r, v, "dilations", w->n, w->dilation);
    if (rule_int(r, "padding", SAME) == VALID) return v;
    for (int i = 0; i < w->n; i++) {
        const int64_t length = x->type.rank == w->n + 2 ? x->type.dims[1 + i] : -1;
        if (length < 0) return rule_set_str(r, v, "auto_pad", "SAME_UPPER");
        same_pads(w, i, length, &pads[i], &pads[w->n + i]);
    }
    return rule_set_ints(r, v, "pads", 2 * w->n, pads);
}

static window read_window2(const rewriting *r, int64_t kh, int64_t kw) {
    return (window){2,
                    {kh, kw},
                    {rule_int(r, "stride_h", 0), rule_int(r, "stride_w", 0)},
                    {rule_int(r, "dilation_h_factor", 1), rule_int(r, "dilation_w_factor", 1)}};
}

static window read_window3(const rewriting *r, const int64_t *k) {
    return (window){
        3,
        {k[0], k[1], k[2]},
        {rule_int(r, "stride_d", 0), rule_int(r, "stride_h", 0), rule_int(r, "stride_w", 0)},
        {rule_int(r, "dilation_d_factor", 1), rule_int(r, "dilation_h_factor", 1),
         rule_int(r, "dilation_w_factor", 1)}};
}

static bool has_rank(const nrw_value *v, int rank) {
    return v != NULL && v->type.rank == rank;
}

/* Weights: the lengths must be there to tell groups and windows. */
static bool has_weights(const rewriting *r, int i, int rank) {
    return has_rank(rule_in(r, i), rank) && rule_is_static(rule_in(r, i)) &&
           rule_knows_activation(r);
}

/* Real data beside integer weights whose zero is 0. */
static bool is_hybrid(const nrw_value *x, const nrw_value *w) {
    const nrw_quant *q = w->quant;
    if (x->quant != NULL || x->type.dtype != NRW_F32 || q == NULL || q->dtype != NRW_I8 ||
        !nrw_is_const(w) || q->block > 0)
        return false;
    for (int64_t i = 0; i < q->count; i++) {
        if (q->zero_point[i] != 0) return false;
    }
    return true;
}

/* Integers from real data: LiteRT has no such kernels. */
static bool is_mixed(const rewriting *r, const nrw_value *x, const nrw_value *w) {
    return is_hybrid(x, w) && rule_out(r)->quant != NULL;
}

/* A bias of integers that says nothing of its scale has the product of the data's and the
 * weights'. */
static nrw_value *bias_of(rewriting *r, int i, const nrw_value *x, const nrw_value *w) {
    nrw_value *b = rule_in(r, i);
    if (r->failed || b == NULL || b->quant != NULL || !nrw_is_const(b)) return b;
    if (!nrw_dtype_is_integer(b->data->dtype) || x->quant == NULL || w->quant == NULL) return b;
    const nrw_quant *q =
        nrw_tflite_bias_quant(&r->graph->model->arena, b->data->dtype, x->quant, w->quant);
    nrw_value *v = nrw_const_new(r->graph, NULL, b->data);
    if (q == NULL || v == NULL) {
        r->failed = true;
        return NULL;
    }
    v->quant = q;
    v->type.dtype = NRW_F32;
    if (b->n_uses == 1) nrw_value_swap_names(v, b);
    return v;
}

/* Data as the runtime measures them, run by run. */
static nrw_value *measured(rewriting *r, nrw_value *x, nrw_rounding rounding) {
    if (r->failed) return NULL;
    nrw_quant *q = nrw_arena_calloc(&r->graph->model->arena, 1, sizeof *q);
    nrw_value *v = nrw_value_new(r->graph, NULL, &x->type);
    nrw_node *n = nrw_node_new(r->graph, nrw_op_find("Requantize", "ai.narrow"), "Requantize",
                               "ai.narrow", NULL, 1, 1, r->node);
    if (q == NULL || v == NULL || n == NULL || nrw_node_set_input(n, 0, x, r->err) != NRW_OK) {
        r->failed = true;
        return NULL;
    }
    *q =
        (nrw_quant){.dtype = NRW_U8, .axis = -1, .count = 1, .dynamic = true, .rounding = rounding};
    v->quant = q;
    nrw_node_set_output(n, 0, v);
    return v;
}

/* The lengths of x before its last axis, then `last`, as a shape. */
static nrw_value *shape_with_last(rewriting *r, nrw_value *x, int64_t last) {
    int64_t dims[NRW_MAX_RANK];
    const int rank = x->type.rank;
    int open = 0;
    for (int i = 0; i < rank - 1; i++) {
        dims[i] = x->type.dims[i];
        if (dims[i] < 0) {
            dims[i] = -1;
            open++;
        }
    }
    dims[rank - 1] = last;
    if (open <= 1) return rule_i64s(r, rank, dims);
    nrw_value *front = EMIT(r, "Slice", rule_shape_of(r, x), rule_i64s(r, 1, (int64_t[]){0}),
                            rule_i64s(r, 1, (int64_t[]){rank - 1}));
    return rule_set_int(r, EMIT(r, "Concat", front, rule_i64s(r, 1, &last)), "axis", 0);
}

static nrw_value *as_matrix(rewriting *r, nrw_value *w, int64_t rows, int64_t columns) {
    if (r->failed) return NULL;
    nrw_tensor t = *w->data;
    t.rank = 2;
    t.dims[0] = rows;
    t.dims[1] = columns;
    nrw_value *v = nrw_const_new(r->graph, NULL, &t);
    if (v == NULL) {
        r->failed = true;
        return NULL;
    }
    if (w->n_uses == 1) nrw_value_swap_names(v, w);
    return rule_quant_as(r, v, w);
}

/* Rows along the last axis of x by the rows of w, which may have axes of length 1 between. */
static nrw_value *rows_product(rewriting *r, nrw_value *x, nrw_value *w, nrw_value *bias) {
    const int64_t units = w->type.dims[0], depth = w->type.dims[w->type.rank - 1];
    const bool flat = x->type.rank == 2 && (x->type.dims[1] == depth || x->type.dims[1] < 0);
    const bool hybrid = is_hybrid(x, w);
    nrw_value *rows = flat ? x : rule_reshape(r, x, 2, (int64_t[]){-1, depth});
    if (hybrid) rows = measured(r, rows, NRW_ROUND_LITERT);
    if (w->type.rank != 2) w = as_matrix(r, w, units, depth);
    nrw_value *v = EMIT(r, "Gemm", rows, w, bias);
    return rule_quant_as(r, rule_set_int(r, v, "transB", 1), rule_out(r));
}

/* The data of a convolution with channels first. */
static nrw_value *image(rewriting *r, nrw_value *x, const nrw_value *w, nrw_rounding rounding) {
    nrw_value *v = rule_to_first(r, x, x->type.rank);
    return is_hybrid(x, w) ? measured(r, v, rounding) : v;
}

static void finish_convolution(rewriting *r, nrw_value *v, int rank) {
    v = rule_quant_as(r, v, rule_out(r));
    rule_finish_activated(r, rule_to_last(r, v, rank));
}

static nrw_status raise_conv2d(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *w = rule_in(r, 1);
    if (!has_rank(x, 4) || !has_weights(r, 1, 4)) return NRW_OK;
    const int64_t *d = w->type.dims;
    const window win = read_window2(r, d[1], d[2]);
    const int64_t channels = x->type.dims[3];
    if (!is_positive(&win) || d[3] < 1 || (channels >= 0 && channels % d[3] != 0)) return NRW_OK;
    if (is_mixed(r, x, w)) return NRW_OK;
    *done = true;
    if (is_hybrid(x, w) && is_point(&win) && d[3] == channels && w->quant->axis <= 0) {
        /* XNNPACK measures pixel by pixel here, and the whole image for other windows. */
        nrw_value *rows = rows_product(r, x, w, bias_of(r, 2, x, w));
        nrw_value *y = EMIT(r, "Reshape", rows, shape_with_last(r, x, d[0]));
        rule_finish_activated(r, rule_quant_as(r, y, rule_out(r)));
        return NRW_OK;
    }
    nrw_value *in = image(r, x, w, NRW_ROUND_LITERT);
    nrw_value *v = EMIT(r, "Conv", in, rule_to_first(r, w, 4), bias_of(r, 2, x, w));
    v = rule_set_int(r, v, "group", channels > 0 ? channels / d[3] : 1);
    finish_convolution(r, set_window(r, v, &win, x, true), 4);
    return NRW_OK;
}

static nrw_status raise_depthwise(rewriting *r, bool *done) {
    static const int64_t perm[4] = {3, 0, 1, 2};
    nrw_value *x = rule_in(r, 0), *w = rule_in(r, 1);
    if (!has_rank(x, 4) || !has_weights(r, 1, 4)) return NRW_OK;
    const int64_t *d = w->type.dims, channels = x->type.dims[3];
    const window win = read_window2(r, d[1], d[2]);
    if (!is_positive(&win) || channels < 1 || d[0] != 1 || d[3] % channels != 0) return NRW_OK;
    if (is_mixed(r, x, w)) return NRW_OK;
    /* Not XNNPACK's: LiteRT's own kernel runs these. */
    nrw_value *in = image(r, x, w, NRW_ROUND_LITERT_U8);
    nrw_value *v = EMIT(r, "Conv", in, rule_turn(r, w, 4, perm), bias_of(r, 2, x, w));
    v = rule_set_int(r, v, "group", channels);
    finish_convolution(r, set_window(r, v, &win, x, true), 4);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_conv3d(rewriting *r, bool *done) {
    static const int64_t perm[5] = {4, 3, 0, 1, 2};
    nrw_value *x = rule_in(r, 0), *w = rule_in(r, 1);
    if (!has_rank(x, 5) || !has_weights(r, 1, 5)) return NRW_OK;
    const window win = read_window3(r, w->type.dims);
    const int64_t channels = x->type.dims[4], each = w->type.dims[3];
    if (!is_positive(&win) || each < 1 || (channels >= 0 && channels % each != 0)) return NRW_OK;
    nrw_value *v = EMIT(r, "Conv", rule_to_first(r, x, 5), rule_turn(r, w, 5, perm), rule_in(r, 2));
    v = rule_set_int(r, v, "group", channels > 0 ? channels / each : 1);
    finish_convolution(r, set_window(r, v, &win, x, true), 5);
    *done = true;
    return NRW_OK;
}

/* The shape of the output says what is cut off, or left over, around the sums. */
static bool set_transposed_window(rewriting *r, nrw_value *v, const window *w, const nrw_value *x,
                                  bool same, const int64_t *out) {
    int64_t pads[6] = {0}, extra[3] = {0};
    for (int i = 0; i < w->n; i++) {
        if (x->type.dims[1 + i] < 0) return false;
        const int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
        const int64_t full = (x->type.dims[1 + i] - 1) * w->stride[i] + reach;
        if (same) same_pads(w, i, out[1 + i], &pads[i], &pads[w->n + i]);
        extra[i] = out[1 + i] - (full - pads[i] - pads[w->n + i]);
        if (extra[i] < 0) {
            pads[w->n + i] -= extra[i];
            extra[i] = 0;
        }
        if (extra[i] >= w->stride[i] && extra[i] >= w->dilation[i]) return false;
    }
    v = rule_set_ints(r, v, "kernel_shape", w->n, w->kernel);
    v = rule_set_ints(r, v, "strides", w->n, w->stride);
    v = rule_set_ints(r, v, "dilations", w->n, w->dilation);
    v = rule_set_ints(r, v, "pads", 2 * w->n, pads);
    rule_set_ints(r, v, "output_padding", w->n, extra);
    return true;
}

static nrw_status raise_transposed(rewriting *r, const window *win, int rank, const int64_t *perm,
                                   bool *done) {
    nrw_value *w = rule_in(r, 1), *x = rule_in(r, 2);
    int64_t out[5];
    if (!is_positive(win)) return NRW_OK;
    if (rule_ints(rule_in(r, 0), out, 5) != rank) {
        /* A shape that is computed: the file says what it comes to. */
        const nrw_type *y = &rule_out(r)->type;
        if (y->rank != rank || !nrw_type_is_static(y)) return NRW_OK;
        memcpy(out, y->dims, (size_t)rank * sizeof *out);
    }
    nrw_value *v = EMIT(r, "ConvTranspose", rule_to_first(r, x, rank), rule_turn(r, w, rank, perm),
                        rule_in(r, 3));
    const bool same = rule_int(r, "padding", SAME) == SAME;
    if (r->failed || !set_transposed_window(r, v, win, x, same, out)) return NRW_OK;
    finish_convolution(r, v, rank);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_transpose_conv(rewriting *r, bool *done) {
    static const int64_t perm[4] = {3, 0, 1, 2};
    if (!has_rank(rule_in(r, 2), 4) || !has_weights(r, 1, 4)) return NRW_OK;
    const int64_t *d = rule_in(r, 1)->type.dims;
    window win = read_window2(r, d[1], d[2]);
    return raise_transposed(r, &win, 4, perm, done);
}

/* MediaPipe's operator, which XNNPACK runs; its options are the struct TfLiteTransposeConvParams of
 * lite/core/c/builtin_op_data.h as it lies in memory: padding (1 for SAME), strides. */
nrw_status nrw_tflite_raise_transpose_bias(rewriting *r, bool *done) {
    static const int64_t perm[4] = {3, 0, 1, 2};
    const nrw_attr *options = nrw_node_attr(r->node, "custom_options");
    nrw_value *x = rule_in(r, 0), *w = rule_in(r, 1), *y = rule_out(r);
    int32_t given[3];
    if (options == NULL || options->s.size < sizeof given || !has_rank(x, 4) || !has_rank(w, 4) ||
        !has_rank(y, 4) || !rule_is_static(w) || !rule_is_static(y))
        return NRW_OK;
    memcpy(given, options->s.data, sizeof given);
    const window win = {2, {w->type.dims[1], w->type.dims[2]}, {given[2], given[1]}, {1, 1}};
    if (!is_positive(&win) || given[0] < 1 || given[0] > 2) return NRW_OK;
    nrw_value *v =
        EMIT(r, "ConvTranspose", rule_to_first(r, x, 4), rule_turn(r, w, 4, perm), rule_in(r, 2));
    if (r->failed || !set_transposed_window(r, v, &win, x, given[0] == 1, y->type.dims))
        return NRW_OK;
    finish_convolution(r, v, 4);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_conv3d_transpose(rewriting *r, bool *done) {
    static const int64_t perm[5] = {4, 3, 0, 1, 2};
    if (!has_rank(rule_in(r, 2), 5) || !has_weights(r, 1, 5)) return NRW_OK;
    const window win = read_window3(r, rule_in(r, 1)->type.dims);
    return raise_transposed(r, &win, 5, perm, done);
}

/* Pools. */

static nrw_status raise_pool(rewriting *r, const char *type, bool *done) {
    nrw_value *x = rule_in(r, 0);
    window win = read_window2(r, rule_int(r, "filter_height", 0), rule_int(r, "filter_width", 0));
    if (!has_rank(x, 4) || !is_positive(&win) || !rule_knows_activation(r)) return NRW_OK;
    nrw_value *v = EMIT(r, type, rule_to_first(r, x, 4));
    finish_convolution(r, set_window(r, v, &win, x, false), 4);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_average_pool(rewriting *r, bool *done) {
    return raise_pool(r, "AveragePool", done);
}

static nrw_status raise_max_pool(rewriting *r, bool *done) {
    return raise_pool(r, "MaxPool", done);
}

/* The root of the mean square. */
static nrw_status raise_l2_pool(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    const window win =
        read_window2(r, rule_int(r, "filter_height", 0), rule_int(r, "filter_width", 0));
    if (!has_rank(x, 4) || !is_positive(&win) || !rule_knows_activation(r)) return NRW_OK;
    nrw_value *v = EMIT(r, "AveragePool", rule_to_first(r, EMIT(r, "Mul", x, x), 4));
    v = EMIT(r, "Sqrt", set_window(r, v, &win, x, false));
    finish_convolution(r, v, 4);
    *done = true;
    return NRW_OK;
}

/* Matrix products. */

static nrw_status raise_fully_connected(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *w = rule_in(r, 1);
    if (!has_weights(r, 1, 2) || x == NULL || x->type.rank < 1) return NRW_OK;
    if (rule_int(r, "weights_format", 0) != 0 || is_mixed(r, x, w)) return NRW_OK;
    const int64_t units = w->type.dims[0];
    const bool keeps = rule_int(r, "keep_num_dims", 0) != 0 && x->type.rank != 2;
    nrw_value *v = rows_product(r, x, w, bias_of(r, 2, x, w));
    if (keeps) {
        nrw_value *shape = shape_with_last(r, x, units);
        v = rule_quant_as(r, EMIT(r, "Reshape", v, shape), rule_out(r));
    }
    rule_finish_activated(r, v);
    *done = true;
    return NRW_OK;
}

static nrw_value *swap_last(rewriting *r, nrw_value *v) {
    int64_t perm[NRW_MAX_RANK];
    const int rank = v->type.rank;
    for (int i = 0; i < rank; i++) perm[i] = i;
    perm[rank - 1] = rank - 2;
    perm[rank - 2] = rank - 1;
    return rule_turn(r, v, rank, perm);
}

static nrw_status raise_batch_matmul(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *y = rule_in(r, 1);
    if (x == NULL || y == NULL || x->type.rank < 2 || y->type.rank < 2) return NRW_OK;
    if (rule_int(r, "adj_x", 0) != 0) x = swap_last(r, x);
    if (rule_int(r, "adj_y", 0) != 0) y = swap_last(r, y);
    rule_finish(r, EMIT(r, "MatMul", x, y));
    *done = true;
    return NRW_OK;
}

const nrw_tflite_rule nrw_tflite_conv_rules[] = {
    {"CONV_2D", raise_conv2d},
    {"DEPTHWISE_CONV_2D", raise_depthwise},
    {"CONV_3D", raise_conv3d},
    {"TRANSPOSE_CONV", raise_transpose_conv},
    {"CONV_3D_TRANSPOSE", raise_conv3d_transpose},
    {"AVERAGE_POOL_2D", raise_average_pool},
    {"MAX_POOL_2D", raise_max_pool},
    {"L2_POOL_2D", raise_l2_pool},
    {"FULLY_CONNECTED", raise_fully_connected},
    {"BATCH_MATMUL", raise_batch_matmul},
    {NULL, NULL},
};
