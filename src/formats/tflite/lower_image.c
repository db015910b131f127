/* Writing: operators that mind where channels lie. They read and make images with channels last,
 * between Transposes that mostly cancel. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "formats/tflite/rule.h"
#include "passes/match.h"
#include "passes/turn.h"

enum { most_spatial = 3 };

/* Windows. */

typedef struct window {
    int n; /* spatial axes */
    int64_t in[most_spatial], out[most_spatial];
    int64_t kernel[most_spatial], stride[most_spatial], dilation[most_spatial];
    int64_t before[most_spatial], after[most_spatial];
} window;

static int64_t attr_at(const nrw_node *n, const char *name, int i, int64_t absent) {
    int64_t count = 0;
    const int64_t *list = nrw_attr_ints(n, name, &count);
    return list != NULL && i < count ? list[i] : absent;
}

/* What SAME adds along an axis; lite/kernels/padding.h. */
static int64_t same_total(const window *w, int i, int64_t in) {
    const int64_t out = (in + w->stride[i] - 1) / w->stride[i];
    const int64_t total = (out - 1) * w->stride[i] + (w->kernel[i] - 1) * w->dilation[i] + 1 - in;
    return total > 0 ? total : 0;
}

/* The window of a Conv or pool over x; kernel: what the weights say, or NULL. */
static bool read_window(const nrw_node *n, const int64_t *kernel, window *w) {
    const nrw_type *x = &n->inputs[0]->type, *y = &n->outputs[0]->type;
    const char *how = nrw_attr_str(n, "auto_pad", "NOTSET");
    *w = (window){.n = x->rank - 2};
    if (w->n < 1 || w->n > most_spatial || !nrw_type_is_static(x) || !nrw_type_is_static(y))
        return false;
    for (int i = 0; i < w->n; i++) {
        w->in[i] = x->dims[2 + i];
        w->out[i] = y->dims[2 + i];
        w->kernel[i] = kernel != NULL ? kernel[i] : attr_at(n, "kernel_shape", i, 1);
        w->stride[i] = attr_at(n, "strides", i, 1);
        w->dilation[i] = attr_at(n, "dilations", i, 1);
        w->before[i] = attr_at(n, "pads", i, 0);
        w->after[i] = attr_at(n, "pads", w->n + i, 0);
        if (strncmp(how, "SAME", 4) == 0) {
            const int64_t total = same_total(w, i, w->in[i]);
            w->before[i] = strcmp(how, "SAME_LOWER") == 0 ? total - total / 2 : total / 2;
            w->after[i] = total - w->before[i];
        }
        if (w->before[i] < 0 || w->after[i] < 0 || w->stride[i] < 1) return false;
        /* Rounding up the number of places reads beyond the padding. */
        const int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
        const int64_t needs = (w->out[i] - 1) * w->stride[i] + reach;
        if (needs > w->before[i] + w->in[i] + w->after[i])
            w->after[i] = needs - w->before[i] - w->in[i];
    }
    return true;
}

static bool is_same(const window *w) {
    for (int i = 0; i < w->n; i++) {
        const int64_t total = same_total(w, i, w->in[i]);
        if (w->before[i] != total / 2 || w->before[i] + w->after[i] != total) return false;
        if (w->out[i] != (w->in[i] + w->stride[i] - 1) / w->stride[i]) return false;
    }
    return true;
}

static bool is_padded(const window *w) {
    for (int i = 0; i < w->n; i++) {
        if (w->before[i] != 0 || w->after[i] != 0) return true;
    }
    return false;
}

/* x, with channels last, inside its padding. low: filled with what no maximum picks. */
static nrw_value *padded(rewriting *r, nrw_value *x, const window *w, bool low) {
    const int rank = w->n + 2;
    int32_t list[2 * (most_spatial + 2)] = {0};
    for (int i = 0; i < w->n; i++) {
        list[2 + 2 * i] = (int32_t)w->before[i];
        list[3 + 2 * i] = (int32_t)w->after[i];
    }
    nrw_value *pads = rule_i32s(r, 2, (const int64_t[]){rank, 2}, list);
    const nrw_value *from = r->node->inputs[0];
    const nrw_quant *q = from->quant;
    nrw_value *fill = NULL;
    if (low && !rule_is_never_negative(from))
        fill = q != NULL ? rule_lowest(r, q) : rule_f32(r, -FLT_MAX);
    nrw_value *v = EMIT(r, fill != NULL ? "PADV2" : "PAD", x, pads, fill);
    if (r->failed) return NULL;
    v->type = x->type;
    for (int i = 0; i < w->n; i++) v->type.dims[1 + i] += w->before[i] + w->after[i];
    return rule_quant_as(r, v, x);
}

/* VALID and SAME are told apart; other padding becomes an operator of its own. */
static nrw_value *settle_padding(rewriting *r, nrw_value *x, const window *w, bool low,
                                 int64_t *padding) {
    *padding = is_padded(w) && is_same(w) ? SAME : VALID;
    return is_padded(w) && !is_same(w) ? padded(r, x, w, low) : x;
}

static nrw_value *set_window(rewriting *r, nrw_value *v, const window *w, int64_t padding,
                             bool dilates) {
    static const char *const strides[] = {"stride_d", "stride_h", "stride_w"};
    static const char *const dilations[] = {"dilation_d_factor", "dilation_h_factor",
                                            "dilation_w_factor"};
    for (int i = 0; i < w->n; i++) {
        const int at = most_spatial - w->n + i;
        v = rule_set_int(r, v, strides[at], w->stride[i]);
        if (dilates) v = rule_set_int(r, v, dilations[at], w->dilation[i]);
    }
    return rule_set_int(r, v, "padding", padding);
}

/* v has the output's elements with channels last. */
static nrw_value *type_image(rewriting *r, nrw_value *v, int rank) {
    int64_t perm[NRW_MAX_RANK];
    if (r->failed) return NULL;
    nrw_perm_to_last(rank, perm);
    v->type = rule_out(r)->type;
    for (int i = 0; i < rank; i++) v->type.dims[i] = rule_out(r)->type.dims[perm[i]];
    return rule_quant_as(r, v, rule_out(r));
}

static void finish_image(rewriting *r, nrw_value *v, int rank) {
    v = type_image(r, v, rank);
    rule_finish(r, rule_to_first(r, v, rank));
}

/* Convolutions. */

/* Other runtimes want a bias; one of zeros is as good as none. */
static nrw_value *bias_or_zeros(rewriting *r, nrw_value *b, int64_t n) {
    if (b != NULL || r->failed) return b;
    float *zeros = nrw_arena_calloc(r->scratch, (size_t)n + 1, sizeof *zeros);
    nrw_value *v = zeros != NULL ? nrw_const_f32(r->graph, NULL, 1, n, zeros) : NULL;
    if (v == NULL) r->failed = true;
    return v;
}

static nrw_status lower_conv(rewriting *r, bool *done) {
    static const int64_t to_ohwi[4] = {0, 2, 3, 1}, to_depth[4] = {1, 2, 3, 0};
    static const int64_t to_dhwio[5] = {2, 3, 4, 1, 0};
    nrw_value *x = rule_in(r, 0), *w = rule_in(r, 1);
    const int rank = w->type.rank;
    window win;
    int64_t padding;
    if (!rule_is_static(w) || rank < 4 || rank > 5 || !read_window(r->node, w->type.dims + 2, &win))
        return NRW_OK;
    const int64_t group = rule_int(r, "group", 1), channels = x->type.dims[1];
    const int64_t units = w->type.dims[0];
    const bool depthwise = rank == 4 && group == channels && w->type.dims[1] == 1 && group > 1;
    if (rank == 5 && group != 1) return NRW_OK;
    nrw_value *in = settle_padding(r, rule_to_last(r, x, rank), &win, false, &padding);
    nrw_value *turned = rule_turn(r, w, rank,
                                  rank == 5   ? to_dhwio
                                  : depthwise ? to_depth
                                              : to_ohwi);
    nrw_value *b = bias_or_zeros(r, rule_in(r, 2), units);
    const char *type = rank == 5 ? "CONV_3D" : depthwise ? "DEPTHWISE_CONV_2D" : "CONV_2D";
    nrw_value *v = set_window(r, EMIT(r, type, in, turned, b), &win, padding, true);
    if (depthwise) v = rule_set_int(r, v, "depth_multiplier", units / channels);
    finish_image(r, v, rank);
    *done = true;
    return NRW_OK;
}

/* A part of v, with channels last, from `begin` on. */
static nrw_value *cropped(rewriting *r, nrw_value *v, int rank, const int64_t *begin,
                          const int64_t *size) {
    int32_t from[NRW_MAX_RANK], count[NRW_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        from[i] = (int32_t)begin[i];
        count[i] = (int32_t)size[i];
    }
    const int64_t n[1] = {rank};
    return EMIT(r, "SLICE", v, rule_i32s(r, 1, n, from), rule_i32s(r, 1, n, count));
}

/* What the sums reach without padding, of which a part is wanted. */
static nrw_status lower_conv_transpose(rewriting *r, bool *done) {
    static const int64_t perm[4] = {1, 2, 3, 0}, perm3[5] = {2, 3, 4, 1, 0};
    nrw_value *x = rule_in(r, 0), *w = rule_in(r, 1);
    const int rank = w->type.rank;
    const nrw_type *y = &rule_out(r)->type;
    if (rank < 4 || rank > 5 || !rule_is_static(w) || !rule_is_static(x) ||
        !nrw_type_is_static(y) || rule_int(r, "group", 1) != 1)
        return NRW_OK;
    window win = {.n = rank - 2};
    int32_t shape[5] = {(int32_t)y->dims[0]};
    int64_t begin[5] = {0}, size[5] = {y->dims[0]};
    bool same = true, crops = false;
    for (int i = 0; i < win.n; i++) {
        win.kernel[i] = w->type.dims[2 + i];
        win.stride[i] = attr_at(r->node, "strides", i, 1);
        win.dilation[i] = attr_at(r->node, "dilations", i, 1);
        if (win.dilation[i] != 1) return NRW_OK;
        const int64_t out = y->dims[2 + i], in = x->type.dims[2 + i];
        const int64_t full = (in - 1) * win.stride[i] + win.kernel[i];
        /* How much is cut off in front; SAME_UPPER and explicit padding alike come from what the
         * output's length says (ONNX, ConvTranspose). */
        const char *how = nrw_attr_str(r->node, "auto_pad", "NOTSET");
        const int64_t total = full - out;
        begin[1 + i] = attr_at(r->node, "pads", i, 0);
        if (strcmp(how, "SAME_UPPER") == 0) begin[1 + i] = total > 0 ? total / 2 : 0;
        if (strcmp(how, "SAME_LOWER") == 0) begin[1 + i] = total > 0 ? total - total / 2 : 0;
        size[1 + i] = out;
        const int64_t needs = begin[1 + i] + out > full ? begin[1 + i] + out : full;
        shape[1 + i] = (int32_t)needs;
        same = same && (out + win.stride[i] - 1) / win.stride[i] == in &&
               same_total(&win, i, out) / 2 == begin[1 + i];
        crops = crops || needs != out;
    }
    size[rank - 1] = shape[rank - 1] = (int32_t)y->dims[1];
    if (same) {
        for (int i = 0; i < win.n; i++) shape[1 + i] = (int32_t)y->dims[2 + i];
    }
    nrw_value *out_shape = rule_i32s(r, 1, (const int64_t[]){rank}, shape);
    nrw_value *turned = rule_turn(r, w, rank, rank == 4 ? perm : perm3);
    nrw_value *b = bias_or_zeros(r, rule_in(r, 2), y->dims[1]);
    nrw_value *v = EMIT(r, rank == 4 ? "TRANSPOSE_CONV" : "CONV_3D_TRANSPOSE", out_shape, turned,
                        rule_to_last(r, x, rank), b);
    v = type_image(r, set_window(r, v, &win, same ? SAME : VALID, false), rank);
    if (crops && !same && !r->failed) {
        for (int i = 0; i < rank; i++) v->type.dims[i] = shape[i];
        v = cropped(r, v, rank, begin, size);
    }
    finish_image(r, v, rank);
    *done = true;
    return NRW_OK;
}

/* Pools. */

static nrw_value *pool(rewriting *r, const char *type, nrw_value *x, const window *w,
                       int64_t padding) {
    nrw_value *v = set_window(r, EMIT(r, type, x), w, padding, false);
    v = rule_set_int(r, v, "filter_height", w->kernel[0]);
    return rule_set_int(r, v, "filter_width", w->kernel[1]);
}

static bool is_plain_pool(const rewriting *r, window *w) {
    if (rule_in(r, 0)->type.rank != 4 || !read_window(r->node, NULL, w)) return false;
    if (r->node->n_outputs > 1 && r->node->outputs[1] != NULL) return false;
    return w->dilation[0] == 1 && w->dilation[1] == 1;
}

static nrw_status lower_max_pool(rewriting *r, bool *done) {
    window w;
    int64_t padding;
    if (!is_plain_pool(r, &w)) return NRW_OK;
    nrw_value *x = settle_padding(r, rule_to_last(r, rule_in(r, 0), 4), &w, true, &padding);
    finish_image(r, pool(r, "MAX_POOL_2D", x, &w, padding), 4);
    *done = true;
    return NRW_OK;
}

/* How many of the places along an axis under window `at` are not padding; counted: padding given by
 * the model counts. */
static int64_t places(const window *w, int i, int64_t at, int64_t given_after, bool counted) {
    int64_t from = at * w->stride[i] - w->before[i], to = from + w->kernel[i];
    const int64_t least = counted ? -w->before[i] : 0;
    const int64_t most = w->in[i] + (counted ? given_after : 0);
    from = from > least ? from : least;
    to = to < most ? to : most;
    return to - from;
}

/* Means over padded windows: sums over all of it, and each place's own number to divide by. */
static nrw_value *mend_means(rewriting *r, nrw_value *v, const window *w, bool counted) {
    const int64_t dims[4] = {1, w->out[0], w->out[1], 1};
    nrw_tensor t;
    bool all = true;
    if (r->failed) return NULL;
    if (nrw_tensor_new(&r->graph->model->arena, NRW_F32, 4, dims, &t, r->err) != NRW_OK) {
        r->failed = true;
        return NULL;
    }
    const float area = (float)(w->kernel[0] * w->kernel[1]);
    for (int64_t y = 0; y < w->out[0]; y++) {
        for (int64_t x = 0; x < w->out[1]; x++) {
            const int64_t given[2] = {attr_at(r->node, "pads", 2, w->after[0]),
                                      attr_at(r->node, "pads", 3, w->after[1])};
            const int64_t n =
                places(w, 0, y, given[0], counted) * places(w, 1, x, given[1], counted);
            ((float *)t.data)[y * w->out[1] + x] = area / (float)n;
            all = all && (float)n == area;
        }
    }
    if (all) return v;
    nrw_value *factor = nrw_const_new(r->graph, NULL, &t);
    if (factor == NULL) r->failed = true;
    type_image(r, v, 4);
    return EMIT(r, "MUL", v, factor);
}

static nrw_status lower_average_pool(rewriting *r, bool *done) {
    window w;
    int64_t padding;
    if (!is_plain_pool(r, &w)) return NRW_OK;
    const bool counted = rule_int(r, "count_include_pad", 0) != 0;
    nrw_value *x = rule_to_last(r, rule_in(r, 0), 4);
    *done = true;
    if (!is_padded(&w) || (is_same(&w) && !counted)) {
        x = settle_padding(r, x, &w, false, &padding);
        finish_image(r, pool(r, "AVERAGE_POOL_2D", x, &w, padding), 4);
        return NRW_OK;
    }
    nrw_value *v = pool(r, "AVERAGE_POOL_2D", padded(r, x, &w, false), &w, VALID);
    finish_image(r, mend_means(r, v, &w, counted), 4);
    return NRW_OK;
}

static nrw_status lower_global_pool(rewriting *r, const char *type, bool *done) {
    static const int32_t axes[most_spatial] = {1, 2, 3};
    nrw_value *x = rule_in(r, 0);
    const int rank = x->type.rank;
    if (rank < 3 || rank > 5) return NRW_OK;
    nrw_value *over = rule_i32s(r, 1, (const int64_t[]){rank - 2}, axes);
    nrw_value *v = EMIT(r, type, rule_to_last(r, x, rank), over);
    finish_image(r, rule_set_int(r, v, "keep_dims", 1), rank);
    *done = true;
    return NRW_OK;
}

static nrw_status lower_global_average(rewriting *r, bool *done) {
    return lower_global_pool(r, "MEAN", done);
}

static nrw_status lower_global_max(rewriting *r, bool *done) {
    return lower_global_pool(r, "REDUCE_MAX", done);
}

/* Resizing. */

/* Halves are rounded the other way here; whether any place of this axis is one. */
static bool has_ties(int64_t in, int64_t out) {
    for (int64_t i = 0; i < out; i++) {
        /* (i + 0.5) * in / out - 0.5 is a whole number and a half. */
        if ((2 * i + 1) * in % (2 * out) == 0) return true;
    }
    return false;
}

/* ONNX places pixels by the scales that it is given, TensorFlow Lite by the lengths. */
static bool lengths_tell(const rewriting *r, const int64_t *in, const int64_t *out) {
    const nrw_value *scales = rule_in(r, 2);
    if (strcmp(nrw_attr_str(r->node, "keep_aspect_ratio_policy", "stretch"), "stretch") != 0)
        return false;
    if (scales == NULL || (nrw_is_const(scales) && nrw_tensor_count(scales->data) == 0))
        return true;
    if (!nrw_is_const(scales) || scales->data->dtype != NRW_F32 ||
        nrw_tensor_count(scales->data) != 4)
        return false;
    const float *by = scales->data->data;
    for (int i = 2; i < 4; i++) {
        if (fabs((double)in[i] * (double)by[i] - (double)out[i]) > 1e-5 * (double)out[i])
            return false;
    }
    return true;
}

static nrw_status lower_resize(rewriting *r, bool *done) {
    const nrw_node *n = r->node;
    const nrw_value *x = rule_in(r, 0), *y = rule_out(r);
    const char *mode = nrw_attr_str(n, "mode", "nearest");
    const char *place = nrw_attr_str(n, "coordinate_transformation_mode", "half_pixel");
    const char *round = nrw_attr_str(n, "nearest_mode", "round_prefer_floor");
    const bool nearest = strcmp(mode, "nearest") == 0, linear = strcmp(mode, "linear") == 0;
    const bool half = strcmp(place, "half_pixel") == 0 || strcmp(place, "pytorch_half_pixel") == 0;
    const bool corners = strcmp(place, "align_corners") == 0;
    if (x->type.rank != 4 || !rule_is_static(x) || !rule_is_static(y) || (!nearest && !linear) ||
        (!half && !corners && strcmp(place, "asymmetric") != 0) || rule_int(r, "antialias", 0) != 0)
        return NRW_OK;
    const int64_t *in = x->type.dims, *out = y->type.dims;
    if (in[0] != out[0] || in[1] != out[1] || !lengths_tell(r, in, out)) return NRW_OK;
    if (strcmp(place, "pytorch_half_pixel") == 0 && (out[2] == 1 || out[3] == 1)) return NRW_OK;
    if (nearest) {
        const bool ties = has_ties(in[2], out[2]) || has_ties(in[3], out[3]);
        if (corners && strcmp(round, "round_prefer_ceil") != 0) return NRW_OK;
        if (half && strcmp(round, "round_prefer_ceil") != 0 &&
            (strcmp(round, "round_prefer_floor") != 0 || ties))
            return NRW_OK;
        if (!half && !corners && strcmp(round, "floor") != 0) return NRW_OK;
    }
    const int32_t size[2] = {(int32_t)out[2], (int32_t)out[3]};
    nrw_value *v =
        EMIT(r, nearest ? "RESIZE_NEAREST_NEIGHBOR" : "RESIZE_BILINEAR",
             rule_to_last(r, rule_in(r, 0), 4), rule_i32s(r, 1, (const int64_t[]){2}, size));
    if (corners) v = rule_set_int(r, v, "align_corners", 1);
    if (half) v = rule_set_int(r, v, "half_pixel_centers", 1);
    finish_image(r, v, 4);
    *done = true;
    return NRW_OK;
}

static nrw_status lower_depth(rewriting *r, const char *type, bool *done) {
    nrw_value *x = rule_in(r, 0);
    if (x->type.rank != 4) return NRW_OK;
    nrw_value *v = EMIT(r, type, rule_to_last(r, x, 4));
    finish_image(r, rule_set_int(r, v, "block_size", rule_int(r, "blocksize", 1)), 4);
    *done = true;
    return NRW_OK;
}

static nrw_status lower_depth_to_space(rewriting *r, bool *done) {
    return lower_depth(r, "DEPTH_TO_SPACE", done);
}

static nrw_status lower_space_to_depth(rewriting *r, bool *done) {
    if (strcmp(nrw_attr_str(r->node, "mode", "DCR"), "DCR") != 0) return NRW_OK;
    return lower_depth(r, "SPACE_TO_DEPTH", done);
}

static nrw_status lower_lrn(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    const int64_t size = rule_int(r, "size", 1);
    if (x->type.rank != 4 || size % 2 == 0) return NRW_OK;
    nrw_value *v = EMIT(r, "LOCAL_RESPONSE_NORMALIZATION", rule_to_last(r, x, 4));
    v = rule_set_int(r, v, "radius", size / 2);
    v = rule_set_float(r, v, "alpha", nrw_attr_float(r->node, "alpha", 1e-4f) / (float)size);
    v = rule_set_float(r, v, "beta", nrw_attr_float(r->node, "beta", 0.75f));
    v = rule_set_float(r, v, "bias", nrw_attr_float(r->node, "bias", 1));
    finish_image(r, v, 4);
    *done = true;
    return NRW_OK;
}

const nrw_tflite_rule nrw_tflite_lower_image_rules[] = {
    {"Conv", lower_conv},
    {"ConvTranspose", lower_conv_transpose},
    {"MaxPool", lower_max_pool},
    {"AveragePool", lower_average_pool},
    {"GlobalAveragePool", lower_global_average},
    {"GlobalMaxPool", lower_global_max},
    {"Resize", lower_resize},
    {"DepthToSpace", lower_depth_to_space},
    {"SpaceToDepth", lower_space_to_depth},
    {"LRN", lower_lrn},
    {NULL, NULL},
};
