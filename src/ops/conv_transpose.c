/* ConvTranspose: the gradient of a convolution by its input (Dumoulin and Visin, "A guide to
 * convolution arithmetic for deep learning" (2016), chapter 4). Weights are [in][out / group][…].
 */
#include <math.h>
#include <string.h>

#include "ops/floats.h"
#include "ops/product.h"
#include "ops/window.h"

typedef struct geometry {
    int n;                                            /* spatial axes */
    int64_t batch, groups, in_channels, out_channels; /* channels: of all groups */
    int64_t in[NRW_MAX_SPATIAL], out[NRW_MAX_SPATIAL], kernel[NRW_MAX_SPATIAL];
    int64_t stride[NRW_MAX_SPATIAL], dilation[NRW_MAX_SPATIAL], pad[NRW_MAX_SPATIAL];
    int64_t taps, in_pixels, out_pixels;
    int64_t in_rows; /* in_pixels / in[n - 1] */
} geometry;

/* Value i of an attribute of n numbers, or `absent`; refuses those out of [lo, 2^31). */
static nrw_status read_number(const nrw_node *node, const char *name, int i, int n, int64_t absent,
                              int64_t lo, int64_t *out, nrw_error *err) {
    int64_t count;
    const int64_t *v = nrw_attr_ints(node, name, &count);
    *out = absent;
    if (v == NULL || count == 0) return NRW_OK;
    if (count != n)
        NRW_FAIL(err, NRW_ERR_SHAPE, "%s: expected %d values, got %lld", name, n, (long long)count);
    if (v[i] < lo || v[i] > INT32_MAX)
        NRW_FAIL(err, NRW_ERR_SHAPE, "%s: %lld", name, (long long)v[i]);
    *out = v[i];
    return NRW_OK;
}

/* One axis: the length of the output and the padding before it. */
static nrw_status read_axis(const nrw_node *node, int i, geometry *g, nrw_error *err) {
    int64_t before, after, extra, wanted, count = 0;
    const char *auto_pad = nrw_attr_str(node, "auto_pad", "NOTSET");
    const int64_t *shape = nrw_attr_ints(node, "output_shape", &count);
    int n = g->n, skip = shape != NULL && count == n + 2 ? 2 : 0;
    NRW_TRY(read_number(node, "strides", i, n, 1, 1, &g->stride[i], err));
    NRW_TRY(read_number(node, "dilations", i, n, 1, 1, &g->dilation[i], err));
    NRW_TRY(read_number(node, "output_padding", i, n, 0, 0, &extra, err));
    NRW_TRY(read_number(node, "pads", i, 2 * n, 0, 0, &before, err));
    NRW_TRY(read_number(node, "pads", i + n, 2 * n, 0, 0, &after, err));
    NRW_TRY(read_number(node, "output_shape", i + skip, n + skip, -1, 0, &wanted, err));
    g->pad[i] = before;
    g->out[i] = NRW_DIM_UNKNOWN;
    if (g->in[i] < 0 || g->kernel[i] < 0) return NRW_OK;
    if (g->in[i] > INT32_MAX || g->kernel[i] > INT32_MAX)
        NRW_FAIL(err, NRW_ERR_SHAPE, "an axis of more than 2^31 - 1 elements");
    int64_t whole, steps;
    if (!nrw_mul_i64(g->kernel[i] - 1, g->dilation[i], &whole) ||
        !nrw_mul_i64(g->in[i] - 1, g->stride[i], &steps) ||
        __builtin_add_overflow(whole + 1 + extra, steps, &whole) || whole > INT64_MAX / 4)
        NRW_FAIL(err, NRW_ERR_SHAPE, "the output is too large");
    bool upper = strcmp(auto_pad, "SAME_UPPER") == 0, lower = strcmp(auto_pad, "SAME_LOWER") == 0;
    if (wanted < 0 && (upper || lower)) wanted = g->in[i] * g->stride[i];
    if (wanted >= 0) {
        int64_t total = whole - wanted > 0 ? whole - wanted : 0;
        g->pad[i] = upper ? total / 2 : total - total / 2;
        g->out[i] = wanted;
        return NRW_OK;
    }
    if (strcmp(auto_pad, "VALID") == 0) g->pad[i] = before = after = 0;
    g->out[i] = whole - before - after;
    if (g->out[i] < 0)
        NRW_FAIL(err, NRW_ERR_SHAPE, "pads take more than the %lld elements of axis %d",
                 (long long)whole, i + 2);
    return NRW_OK;
}

static nrw_status read_geometry(const nrw_node *node, int rank, const int64_t *x, const int64_t *w,
                                geometry *g, nrw_error *err) {
    *g = (geometry){.n = rank - 2, .groups = nrw_attr_int(node, "group", 1), .batch = x[0]};
    if (g->groups < 1 || g->groups > INT32_MAX)
        NRW_FAIL(err, NRW_ERR_SHAPE, "group: %lld", (long long)g->groups);
    g->in_channels = x[1];
    g->out_channels = NRW_DIM_UNKNOWN;
    if (w[1] >= 0 && !nrw_mul_i64(w[1], g->groups, &g->out_channels))
        NRW_FAIL(err, NRW_ERR_SHAPE, "too many channels");
    if (x[1] >= 0 && w[0] >= 0 && (x[1] != w[0] || x[1] % g->groups != 0))
        NRW_FAIL(err, NRW_ERR_SHAPE, "input 1 (W): %lld channels in %lld groups, but X has %lld",
                 (long long)w[0], (long long)g->groups, (long long)x[1]);
    g->taps = g->in_pixels = g->out_pixels = g->in_rows = 1;
    for (int i = 0; i < g->n; i++) {
        g->in[i] = x[i + 2];
        g->kernel[i] = w[i + 2];
        if (g->kernel[i] == 0) NRW_FAIL(err, NRW_ERR_SHAPE, "input 1 (W): an empty kernel");
        NRW_TRY(read_axis(node, i, g, err));
        if (g->in[i] < 0 || g->out[i] < 0 || g->kernel[i] < 0) continue;
        if (i < g->n - 1) g->in_rows *= g->in[i];
        if (!nrw_mul_i64(g->taps, g->kernel[i], &g->taps) ||
            !nrw_mul_i64(g->in_pixels, g->in[i], &g->in_pixels) ||
            !nrw_mul_i64(g->out_pixels, g->out[i], &g->out_pixels))
            NRW_FAIL(err, NRW_ERR_SHAPE, "the output is too large");
    }
    return NRW_OK;
}

static nrw_status infer(nrw_infer *c) {
    const nrw_type *x = c->in[0], *w = c->in[1];
    c->out[0].dtype = x->dtype;
    if (x->rank == NRW_RANK_UNKNOWN || w->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (x->rank < 3) NRW_FAIL_INPUT(c, 0, "X", "rank %d; at least 3 is needed", x->rank);
    if (w->rank != x->rank)
        NRW_FAIL_INPUT(c, 1, "W", "rank %d, but X has rank %d", w->rank, x->rank);
    geometry g;
    NRW_TRY(read_geometry(c->node, x->rank, x->dims, w->dims, &g, c->err));
    NRW_TRY(nrw_infer_bias(c, 2, g.out_channels));
    c->out[0].rank = x->rank;
    c->out[0].dims[0] = g.batch;
    c->out[0].dims[1] = g.out_channels;
    memcpy(c->out[0].dims + 2, g.out, (size_t)g.n * sizeof g.out[0]);
    return NRW_OK;
}

static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    int64_t count = nrw_type_count(in[0]);
    if (in[1]->rank < 3 || count < 0) return 0;
    for (int i = 1; i < in[1]->rank; i++) {
        if (in[1]->dims[i] < 0 || !nrw_mul_i64(count, in[1]->dims[i], &count)) return 0;
    }
    return count;
}

/* Where products go. */

/* Offset in an output channel of the row that tap t puts input row `row` into; -1: cut off. */
static int64_t output_row(const geometry *g, int64_t t, int64_t row) {
    int64_t at = 0, size = g->out[g->n - 1];
    t /= g->kernel[g->n - 1];
    for (int i = g->n - 2; i >= 0; i--) {
        int64_t pos = row % g->in[i] * g->stride[i] + t % g->kernel[i] * g->dilation[i] - g->pad[i];
        row /= g->in[i];
        t /= g->kernel[i];
        if (pos < 0 || pos >= g->out[i]) return -1;
        at += pos * size;
        size *= g->out[i];
    }
    return at;
}

/* Along the last axis, input j of tap t goes to start + j * stride, for j in [first, last). */
static int64_t row_range(const geometry *g, int64_t t, int64_t *first, int64_t *last) {
    int i = g->n - 1;
    int64_t s = g->stride[i], start = t % g->kernel[i] * g->dilation[i] - g->pad[i];
    *first = start >= 0 ? 0 : (-start + s - 1) / s;
    *last = g->out[i] > start ? (g->out[i] - start + s - 1) / s : 0;
    if (*last > g->in[i]) *last = g->in[i];
    return start;
}

#define T    float
#define NAME scatter_f32
#include "ops/scatter_taps_tmpl.h"
#define T    int32_t
#define NAME scatter_i32
#include "ops/scatter_taps_tmpl.h"

/* Reference: doubles, one output channel a task. */

typedef struct reference_job {
    const geometry *g;
    const double *x, *w, *bias;
    double *y;
} reference_job;

static void reference_task(void *arg, int64_t i, int worker) {
    const reference_job *j = arg;
    const geometry *g = j->g;
    int64_t per_in = g->in_channels / g->groups, per_out = g->out_channels / g->groups;
    int64_t b = i / g->out_channels, oc = i % g->out_channels, group = oc / per_out;
    double *y = j->y + i * g->out_pixels;
    for (int64_t p = 0; p < g->out_pixels; p++) y[p] = j->bias != NULL ? j->bias[oc] : 0;
    for (int64_t ic = group * per_in; ic < (group + 1) * per_in; ic++) {
        const double *w = j->w + (ic * per_out + oc % per_out) * g->taps;
        for (int64_t t = 0; t < g->taps; t++) {
            const double *x = j->x + (b * g->in_channels + ic) * g->in_pixels;
            for (int64_t row = 0; row < g->in_rows; row++, x += g->in[g->n - 1]) {
                int64_t at = output_row(g, t, row), first, last;
                if (at < 0) continue;
                at += row_range(g, t, &first, &last);
                for (int64_t c = first; c < last; c++) {
                    y[at + c * g->stride[g->n - 1]] += x[c] * w[t];
                }
            }
        }
    }
}

static nrw_status reference(nrw_eval *e) {
    geometry g;
    const double *x, *w, *bias;
    double *y;
    NRW_TRY(read_geometry(e->node, e->in[0]->rank, e->in[0]->dims, e->in[1]->dims, &g, e->err));
    NRW_TRY(nrw_doubles_in(e, 0, &x));
    NRW_TRY(nrw_doubles_in(e, 1, &w));
    NRW_TRY(nrw_doubles_in(e, 2, &bias));
    NRW_TRY(nrw_doubles_out(e, 0, &y));
    if (y == NULL) return NRW_OK;
    reference_job j = {&g, x, w, bias, y};
    nrw_pool_run(e->pool, g.batch * g.out_channels, reference_task, &j);
    return nrw_doubles_done(e, 0, y);
}

/* Fast kernel: one product gives what every tap adds, then the taps are scattered. */

enum { EXACT_DEPTH = 256 }; /* products of 9-bit integers whose sum a float holds exactly */

typedef struct scatter_job {
    const geometry *g;
    const float *products; /* of one group: [out / group][taps][in pixels] */
    float *y;              /* one of the two, at the group's first channel */
    int32_t *acc;
} scatter_job;

static void scatter_task(void *arg, int64_t oc, int worker) {
    const scatter_job *j = arg;
    const float *from = j->products + oc * j->g->taps * j->g->in_pixels;
    if (j->y != NULL)
        scatter_f32(j->g, from, j->y + oc * j->g->out_pixels);
    else
        scatter_i32(j->g, from, j->acc + oc * j->g->out_pixels);
}

/* Adds everything to y or acc, which hold the biases. At most `depth` channels go into a product.
 */
static nrw_status add_products(nrw_eval *e, const geometry *g, const float *x, const float *w,
                               int64_t depth, float *y, int32_t *acc) {
    const nrw_kernels *kn = e->kernels;
    int64_t per_in = g->in_channels / g->groups, per_out = g->out_channels / g->groups, m, size;
    if (!nrw_mul_i64(per_out, g->taps, &m) || !nrw_mul_i64(m, g->in_pixels, &size)) NRW_OOM(e->err);
    float *products = nrw_eval_scratch(e, size, sizeof *products);
    if (products == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < g->batch * g->groups; i++) {
        scatter_job j = {g, products, NULL, NULL};
        if (y != NULL)
            j.y = y + i * per_out * g->out_pixels;
        else
            j.acc = acc + i * per_out * g->out_pixels;
        for (int64_t k0 = 0; k0 < per_in; k0 += depth) {
            int64_t k = per_in - k0 < depth ? per_in - k0 : depth;
            const float *b, *image = x + (i * per_in + k0) * g->in_pixels;
            const float *a = w + (i % g->groups * per_in + k0) * m;
            NRW_TRY(nrw_product_pack_f32(kn, e->pool, k, g->in_pixels,
                                         (nrw_matrix){image, g->in_pixels, 1}, e->scratch, &b,
                                         e->err));
            NRW_TRY(nrw_product_f32(e, kn, m, k, g->in_pixels, (nrw_matrix){a, 1, m}, b, NULL,
                                    products));
            nrw_pool_run(e->pool, per_out, scatter_task, &j);
        }
    }
    return NRW_OK;
}

static nrw_status run_f32(nrw_eval *e) {
    geometry g;
    const float *x, *bias, *w = e->state;
    float *y;
    NRW_TRY(read_geometry(e->node, e->in[0]->rank, e->in[0]->dims, e->in[1]->dims, &g, e->err));
    NRW_TRY(nrw_floats_in(e, 0, &x));
    if (w == NULL) NRW_TRY(nrw_floats_in(e, 1, &w));
    NRW_TRY(nrw_floats_in(e, 2, &bias));
    NRW_TRY(nrw_floats_out(e, 0, &y));
    if (y == NULL || nrw_tensor_count(&e->out[0]) == 0) return NRW_OK;
    for (int64_t i = 0; i < g.batch * g.out_channels; i++) {
        float v = bias != NULL ? bias[i % g.out_channels] : 0;
        for (int64_t p = 0; p < g.out_pixels; p++) y[i * g.out_pixels + p] = v;
    }
    NRW_TRY(add_products(e, &g, x, w, INT64_MAX, y, NULL));
    return nrw_floats_done(e, 0, y);
}

/* Integers without their zero points, as floats. */
static nrw_status centered(nrw_eval *e, int i, int64_t channels, float **out) {
    const nrw_tensor *t = e->in[i];
    int64_t n = nrw_tensor_count(t), inner = 1;
    float *v = nrw_eval_scratch(e, n, sizeof *v);
    if (v == NULL) NRW_OOM(e->err);
    for (int k = 2; k < t->rank; k++) inner *= t->dims[k];
    NRW_TRY(nrw_to_f32(t->dtype, t->data, v, n, e->err));
    const nrw_quant *q = t->quant;
    for (int64_t k = 0; k < n; k++) {
        v[k] -= (float)q->zero_point[q->count == 1 ? 0 : k / inner % channels];
    }
    *out = v;
    return NRW_OK;
}

/* Turns the accumulators of every channel into results. */
static void finish(const geometry *g, const int32_t *acc, const nrw_i8_epilogue *ep, void *y) {
    for (int64_t i = 0; i < g->batch * g->out_channels * g->out_pixels; i++) {
        int64_t oc = i / g->out_pixels % g->out_channels;
        float v = (float)acc[i] * ep->mul[oc];
        if (ep->out == NRW_OUT_F32) {
            ((float *)y)[i] = ep->bias != NULL ? v + ep->bias[oc] : v;
            continue;
        }
        v = fminf(fmaxf(v, (float)(ep->lo - ep->zero)), (float)(ep->hi - ep->zero));
        ((uint8_t *)y)[i] = (uint8_t)((int32_t)rintf(v) + ep->zero);
    }
}

static nrw_status run_i8(nrw_eval *e) {
    geometry g;
    float *x, *w;
    void *y;
    const nrw_tensor *bias = e->n_in > 2 ? e->in[2] : NULL;
    NRW_TRY(read_geometry(e->node, e->in[0]->rank, e->in[0]->dims, e->in[1]->dims, &g, e->err));
    NRW_TRY(centered(e, 0, 1, &x));
    NRW_TRY(centered(e, 1, e->in[1]->dims[1], &w));
    int64_t n = nrw_tensor_count(&e->out[0]), per_out = g.out_channels / g.groups;
    int32_t *acc = nrw_eval_scratch(e, n, sizeof *acc);
    if (acc == NULL) NRW_OOM(e->err);
    /* The zero points are gone already, so the sums of the weights do not matter; the biases, which
     * belong to all channels and not to those of a group, start the accumulators. */
    nrw_i8_weights weights = {.channels = g.out_channels};
    float *scale = nrw_arena_calloc(e->scratch, (size_t)g.out_channels + 1, sizeof *scale);
    int32_t *none = nrw_arena_calloc(e->scratch, (size_t)g.out_channels + 1, sizeof *none);
    if (scale == NULL || none == NULL) NRW_OOM(e->err);
    const nrw_quant *q = e->in[1]->quant;
    for (int64_t c = 0; c < g.out_channels; c++)
        scale[c] = q->scale[q->count == 1 ? 0 : c % per_out];
    weights.scale = scale;
    nrw_i8_epilogue ep;
    NRW_TRY(nrw_weighted_epilogue(&weights, none, 0, e->in[0]->quant, bias,
                                  e->node->outputs[0]->quant, e->scratch, &ep, e->err));
    NRW_TRY(nrw_weighted_out(e, &y));
    if (n > 0) {
        for (int64_t i = 0; i < n; i++) acc[i] = ep.add[i / g.out_pixels % g.out_channels];
        NRW_TRY(add_products(e, &g, x, w, EXACT_DEPTH, NULL, acc));
        finish(&g, acc, &ep, y);
    }
    return nrw_weighted_done(e, y);
}

static bool integer_ok(const nrw_node *n) {
    return nrw_weighted_ok(n, 1, 2, 1);
}

static nrw_status plan(nrw_plan_node *p, nrw_step_choice *choice) {
    if (p->integers && integer_ok(p->node)) return NRW_OK;
    if (!nrw_weighted_is_f32(p->node->inputs[0]->type.dtype)) return NRW_OK;
    const float *w;
    NRW_TRY(nrw_weighted_floats(p, 1, &w));
    choice->run = run_f32;
    choice->state = w;
    choice->kernel = nrw_arena_printf(p->arena, "conv_transpose_f32_%s", p->kernels->tier);
    if (choice->kernel == NULL) NRW_OOM(p->err);
    return NRW_OK;
}

static const nrw_attr_def attrs[] = {{"auto_pad", NRW_ATTR_STRING, false},
                                     {"dilations", NRW_ATTR_INTS, false},
                                     {"group", NRW_ATTR_INT, false},
                                     {"kernel_shape", NRW_ATTR_INTS, false},
                                     {"output_padding", NRW_ATTR_INTS, false},
                                     {"output_shape", NRW_ATTR_INTS, false},
                                     {"pads", NRW_ATTR_INTS, false},
                                     {"strides", NRW_ATTR_INTS, false},
                                     {0}};

static const nrw_case cases[] = {
    {"graph main(%x: f32[2,4,5,6]) {\n"
     "  const %w: f32[4,3,3,2] = random 1\n  const %b: f32[3] = random 2\n"
     "  %y: f32[...] = ConvTranspose(%x, %w, %b) {strides=[2, 3], pads=[1, 0, 0, 1], "
     "output_padding=[1, 0]}\n  return %y\n}",
     -1, 1},
    {"graph main(%x: f32[1,6,7]) {\n  const %w: f32[6,2,4] = random 3\n"
     "  %y: f32[...] = ConvTranspose(%x, %w) {group=3, dilations=[2]}\n  return %y\n}",
     -1, 1},
    {"graph main(%x: f32[1,300,3,3]) {\n"
     "  %xq: f32[1,300,3,3] q(u8, scale=0.0079, zero=125) = ai.narrow::Requantize(%x)\n"
     "  const %w: i8[300,2,2,2] q(i8, axis=1, scale=[0.01, 0.02], zero=[0, 0]) = random 4\n"
     "  const %b: f32[2] = random 5\n"
     "  %y: f32[1,2,6,6] q(u8, scale=0.3, zero=120) = ConvTranspose(%xq, %w, %b) "
     "{strides=[2, 2]}\n"
     "  %z: f32[1,2,6,6] = ai.narrow::Requantize(%y)\n  return %z\n}",
     -1, 1},
    {0}};

static const nrw_op conv_transpose = {
    .name = "ConvTranspose",
    .domain = "",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = reference,
    .integer = run_i8,
    .integer_ok = integer_ok,
    .plan = plan,
    .macs = macs,
    .quant = {.rule = NRW_QUANT_WEIGHTED, .weight_input = 1, .bias_input = 2, .weight_channel = 1},
    .onnx = {"ConvTranspose", 1},
    .tflite = {"TRANSPOSE_CONV", 67},
    .aten = "aten.conv_transpose2d.input",
    .cases = cases,
};

NRW_OPS(conv_transpose, &conv_transpose);
