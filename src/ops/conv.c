/* Conv, ConvInteger, QLinearConv (ONNX operators specification). The layout is [batch][channel][…];
 * weights are [out][in / group][…]. */
#include <math.h>
#include <string.h>

#include "kernels/conv.h"
#include "ops/floats.h"
#include "ops/litert.h"
#include "ops/qlinear.h"
#include "ops/weighted.h"
#include "ops/window.h"

/* Shape rules. */

/* bias_in: -1 where there is none. */
static nrw_status infer_at(nrw_infer *c, int x_in, int w_in, int bias_in) {
    const nrw_type *x = c->in[x_in], *w = c->in[w_in];
    if (bias_in >= 0 && w->rank >= 1) NRW_TRY(nrw_infer_bias(c, bias_in, w->dims[0]));
    if (x->rank == NRW_RANK_UNKNOWN && w->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (x->rank != NRW_RANK_UNKNOWN && x->rank < 3)
        NRW_FAIL_INPUT(c, x_in, "X", "rank %d; at least 3 is needed", x->rank);
    if (w->rank != NRW_RANK_UNKNOWN && w->rank < 3)
        NRW_FAIL_INPUT(c, w_in, "W", "rank %d; at least 3 is needed", w->rank);
    if (x->rank != NRW_RANK_UNKNOWN && w->rank != NRW_RANK_UNKNOWN && x->rank != w->rank)
        NRW_FAIL_INPUT(c, w_in, "W", "rank %d, but X has rank %d", w->rank, x->rank);
    nrw_type *y = &c->out[0];
    y->rank = x->rank != NRW_RANK_UNKNOWN ? x->rank : w->rank;
    for (int i = 0; i < y->rank; i++) y->dims[i] = NRW_DIM_UNKNOWN;
    if (x->rank != NRW_RANK_UNKNOWN) y->dims[0] = x->dims[0];
    int64_t group = nrw_attr_int(c->node, "group", 1);
    if (group < 1) NRW_FAIL(c->err, NRW_ERR_SHAPE, "group: %lld", (long long)group);
    if (w->rank != NRW_RANK_UNKNOWN) {
        y->dims[1] = w->dims[0];
        if (w->dims[0] >= 0 && w->dims[0] % group != 0)
            NRW_FAIL_INPUT(c, w_in, "W", "%lld output channels do not split into %lld groups",
                           (long long)w->dims[0], (long long)group);
        if (x->rank != NRW_RANK_UNKNOWN && x->dims[1] >= 0 && w->dims[1] >= 0 &&
            (x->dims[1] % group != 0 || x->dims[1] / group != w->dims[1]))
            NRW_FAIL_INPUT(c, w_in, "W", "%lld channels in each of %lld groups, but X has %lld",
                           (long long)w->dims[1], (long long)group, (long long)x->dims[1]);
    }
    if (x->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    nrw_window win;
    NRW_TRY(nrw_window_read(c->node, x->rank - 2, w->rank != NRW_RANK_UNKNOWN ? w->dims + 2 : NULL,
                            &win, c->err));
    NRW_TRY(nrw_window_fit(&win, x->dims + 2, c->err));
    memcpy(y->dims + 2, win.out, (size_t)win.n * sizeof win.out[0]);
    return NRW_OK;
}

static nrw_status infer_conv(nrw_infer *c) {
    c->out[0].dtype = c->in[0]->dtype;
    return infer_at(c, 0, 1, 2);
}

static nrw_status infer_integer(nrw_infer *c) {
    c->out[0].dtype = NRW_I32;
    return infer_at(c, 0, 1, -1);
}

static nrw_status infer_qlinear(nrw_infer *c) {
    c->out[0].dtype = c->in[7]->dtype;
    return infer_at(c, 0, 3, 8);
}

static int64_t macs_at(const nrw_type *w, const nrw_type *y) {
    int64_t outputs = nrw_type_count(y), n = outputs;
    if (w->rank < 3 || outputs < 0) return 0;
    for (int i = 1; i < w->rank; i++) {
        if (w->dims[i] < 0 || !nrw_mul_i64(n, w->dims[i], &n)) return 0;
    }
    return n;
}

static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    return macs_at(in[1], &out[0]);
}

static int64_t macs_qlinear(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    return macs_at(in[3], &out[0]);
}

/* Reference. */

typedef struct geometry {
    nrw_window w;
    int64_t group, batch, in_channels, out_channels, in_pixels, out_pixels, taps;
} geometry;

static nrw_status read_geometry(nrw_eval *e, const nrw_tensor *x, const nrw_tensor *w,
                                geometry *g) {
    NRW_TRY(nrw_window_read(e->node, x->rank - 2, w->dims + 2, &g->w, e->err));
    NRW_TRY(nrw_window_fit(&g->w, x->dims + 2, e->err));
    g->group = nrw_attr_int(e->node, "group", 1);
    g->batch = x->dims[0];
    g->in_channels = x->dims[1];
    g->out_channels = w->dims[0];
    g->in_pixels = g->out_pixels = g->taps = 1;
    for (int i = 0; i < g->w.n; i++) {
        g->in_pixels *= g->w.in[i];
        g->out_pixels *= g->w.out[i];
        g->taps *= g->w.kernel[i];
    }
    return NRW_OK;
}

/* The sum for one output pixel: x and w point at the first channel of the group. */
static double window_sum(const geometry *g, const double *x, const double *w, int64_t pixel) {
    int64_t start[NRW_MAX_SPATIAL], per_group = g->in_channels / g->group;
    for (int i = g->w.n - 1; i >= 0; i--) {
        start[i] = pixel % g->w.out[i] * g->w.stride[i] - g->w.pad_begin[i];
        pixel /= g->w.out[i];
    }
    double sum = 0;
    for (int64_t t = 0; t < g->taps; t++) {
        int64_t rest = t, at = 0, step = 1;
        bool inside = true;
        for (int i = g->w.n - 1; i >= 0; i--) {
            int64_t pos = start[i] + rest % g->w.kernel[i] * g->w.dilation[i];
            rest /= g->w.kernel[i];
            inside = inside && pos >= 0 && pos < g->w.in[i];
            at += pos * step;
            step *= g->w.in[i];
        }
        if (!inside) continue;
        for (int64_t c = 0; c < per_group; c++)
            sum += x[c * g->in_pixels + at] * w[c * g->taps + t];
    }
    return sum;
}

typedef struct reference_job {
    const geometry *g;
    const double *x, *w, *bias;
    double *y;
} reference_job;

/* One channel of one image. */
static void reference_task(void *arg, int64_t i, int worker) {
    const reference_job *j = arg;
    const geometry *g = j->g;
    int64_t oc = i % g->out_channels, b = i / g->out_channels;
    int64_t per_group = g->in_channels / g->group;
    int64_t first = oc / (g->out_channels / g->group) * per_group;
    const double *x = j->x + (b * g->in_channels + first) * g->in_pixels;
    const double *w = j->w + oc * per_group * g->taps;
    for (int64_t p = 0; p < g->out_pixels; p++) {
        double sum = window_sum(g, x, w, p);
        j->y[i * g->out_pixels + p] = j->bias != NULL ? sum + j->bias[oc] : sum;
    }
}

static void reference_loops(nrw_eval *e, const geometry *g, const double *x, const double *w,
                            const double *bias, double *y) {
    reference_job j = {g, x, w, bias, y};
    nrw_pool_run(e->pool, g->batch * g->out_channels, reference_task, &j);
}

static nrw_status reference(nrw_eval *e) {
    geometry g;
    const double *x, *w, *bias;
    double *y;
    NRW_TRY(read_geometry(e, e->in[0], e->in[1], &g));
    NRW_TRY(nrw_doubles_in(e, 0, &x));
    NRW_TRY(nrw_doubles_in(e, 1, &w));
    NRW_TRY(nrw_doubles_in(e, 2, &bias));
    NRW_TRY(nrw_doubles_out(e, 0, &y));
    if (y == NULL) return NRW_OK;
    reference_loops(e, &g, x, w, bias, y);
    return nrw_doubles_done(e, 0, y);
}

static nrw_status reference_integer(nrw_eval *e) {
    geometry g;
    double *x, *w, *y;
    NRW_TRY(read_geometry(e, e->in[0], e->in[1], &g));
    NRW_TRY(nrw_centered(e, 0, 2, -1, &x));
    NRW_TRY(nrw_centered(e, 1, 3, 0, &w));
    NRW_TRY(nrw_doubles_out(e, 0, &y));
    if (y == NULL) return NRW_OK;
    reference_loops(e, &g, x, w, NULL, y); /* exact: far below 2^53 */
    return nrw_doubles_done(e, 0, y);
}

static nrw_status reference_qlinear(nrw_eval *e) {
    geometry g;
    double *x, *w, *y;
    const double *bias;
    NRW_TRY(read_geometry(e, e->in[0], e->in[3], &g));
    NRW_TRY(nrw_centered(e, 0, 2, -1, &x));
    NRW_TRY(nrw_centered(e, 3, 5, 0, &w));
    NRW_TRY(nrw_doubles_in(e, 8, &bias));
    NRW_TRY(nrw_doubles_out(e, 0, &y));
    if (y == NULL) return NRW_OK;
    reference_loops(e, &g, x, w, bias, y);
    return nrw_requantize(e, y, g.out_channels, g.out_pixels);
}

/* Fast kernels. */

typedef struct conv_state {
    const float *packed, *bias; /* float; NULL: packed on each run */
    float lo, hi;
    const void *packed_i8;
    nrw_i8_weights weights;
    const int32_t *sums;
    const nrw_i8_epilogue *epilogue; /* NULL: made on each run */
} conv_state;

/* The kernels' view of the convolution; false when it has too many axes. */
static bool kernel_geometry(const geometry *g, nrw_conv *c) {
    if (g->w.n > 3) return false;
    *c = (nrw_conv){g->batch,  g->group,  g->in_channels, g->out_channels, {1, 1, 1},
                    {1, 1, 1}, {1, 1, 1}, {1, 1, 1},      {1, 1, 1},       {0, 0, 0}};
    for (int i = 0; i < g->w.n; i++) {
        int to = 3 - g->w.n + i;
        c->in[to] = g->w.in[i];
        c->out[to] = g->w.out[i];
        c->kernel[to] = g->w.kernel[i];
        c->stride[to] = g->w.stride[i];
        c->dilation[to] = g->w.dilation[i];
        c->pad[to] = g->w.pad_begin[i];
    }
    return true;
}

/* What packing weights needs to know: everything but the image. */
static nrw_conv weight_geometry(const nrw_node *n, const nrw_tensor *w) {
    nrw_conv c = {.batch = 1, .groups = nrw_attr_int(n, "group", 1), .out_channels = w->dims[0]};
    c.in_channels = w->dims[1] * c.groups;
    for (int i = 0; i < 3; i++) {
        int from = w->rank - 3 + i;
        c.kernel[i] = from >= 2 ? w->dims[from] : 1;
    }
    return c;
}

static nrw_status pack_f32(const nrw_kernels *kn, const nrw_conv *c, const float *w, nrw_arena *a,
                           const float **out, nrw_error *err) {
    size_t bytes;
    if (!nrw_conv_f32_weight_bytes(kn, c, &bytes)) NRW_OOM(err);
    float *packed = nrw_arena_alloc(a, bytes + 64);
    if (packed == NULL) NRW_OOM(err);
    nrw_conv_f32_pack(kn, c, w, packed);
    *out = packed;
    return NRW_OK;
}

static nrw_status run_f32(nrw_eval *e) {
    const conv_state *s = e->state;
    geometry g;
    nrw_conv c;
    NRW_TRY(read_geometry(e, e->in[0], e->in[1], &g));
    if (!kernel_geometry(&g, &c)) return reference(e);
    const nrw_kernels *kn = e->kernels;
    const float *x, *bias = s->bias, *packed = s->packed;
    float *y;
    NRW_TRY(nrw_floats_in(e, 0, &x));
    if (bias == NULL) NRW_TRY(nrw_floats_in(e, 2, &bias));
    NRW_TRY(nrw_floats_out(e, 0, &y));
    if (y == NULL || nrw_tensor_count(&e->out[0]) == 0) return NRW_OK;
    if (packed == NULL) {
        const float *w;
        NRW_TRY(nrw_floats_in(e, 1, &w));
        NRW_TRY(pack_f32(kn, &c, w, e->scratch, &packed, e->err));
    }
    nrw_conv_call call = {kn, e->pool, e->scratch, e->err};
    NRW_TRY(nrw_conv_f32(&call, &c, x, packed, bias, s->lo, s->hi, y));
    return nrw_floats_done(e, 0, y);
}

/* Weights packed for the integer kernels. */
static nrw_status pack_i8(const nrw_kernels *kn, const nrw_conv *c, const nrw_tensor *w,
                          nrw_arena *a, conv_state *s, nrw_error *err) {
    size_t bytes;
    NRW_TRY(nrw_weighted_make(w, 0, c->out_channels, a, &s->weights, err));
    if (!nrw_conv_i8_weight_bytes(kn, c, &bytes)) NRW_OOM(err);
    void *packed = nrw_arena_alloc(a, bytes + 64);
    int32_t *sums = nrw_arena_calloc(a, (size_t)c->out_channels + 1, sizeof *sums);
    if (packed == NULL || sums == NULL) NRW_OOM(err);
    nrw_conv_i8_pack(kn, c, (const uint8_t *)s->weights.values, 0, packed, sums);
    s->packed_i8 = packed;
    s->sums = sums;
    return NRW_OK;
}

static nrw_status make_epilogue(const conv_state *s, const nrw_conv *c, const nrw_quant *x,
                                const nrw_tensor *bias, const nrw_quant *y, nrw_arena *a,
                                nrw_i8_epilogue *out, nrw_error *err) {
    int64_t depth = c->in_channels / c->groups * nrw_conv_taps(c);
    NRW_TRY(nrw_weighted_epilogue(&s->weights, s->sums, depth, x, bias, y, a, out, err));
    out->channel_rows = true;
    return NRW_OK;
}

static bool measures_images(const nrw_quant *x, const conv_state *s) {
    return x->dynamic && nrw_rounds_as_litert(x) && s->weights.zero == NULL;
}

/* Images that were measured one by one: sums first, and what they stand for image by image. */
static nrw_status run_by_images(nrw_eval *e, const conv_state *s, const nrw_conv *c) {
    const nrw_tensor *x = e->in[0], *bias = e->n_in > 2 ? e->in[2] : NULL;
    const nrw_quant *q = x->quant;
    const float *added = bias != NULL && bias->quant == NULL ? bias->data : NULL;
    const int64_t channels = c->out_channels, out = nrw_tensor_count(&e->out[0]);
    const int64_t images = q->count, pixels = out / (images * channels > 0 ? images * channels : 1);
    const int64_t from = images > 0 ? nrw_tensor_count(x) / images : 0;
    float *y, *wide;
    int32_t *acc = nrw_arena_alloc(e->scratch, (size_t)(channels * pixels) * sizeof *acc + 64);
    int32_t *add = nrw_arena_calloc(e->scratch, (size_t)channels + 1, sizeof *add);
    if (acc == NULL || add == NULL) NRW_OOM(e->err);
    if (bias != NULL && bias->quant != NULL) {
        wide = nrw_arena_alloc(e->scratch, (size_t)channels * sizeof *wide + 64);
        if (wide == NULL) NRW_OOM(e->err);
        NRW_TRY(nrw_dequantize(bias, wide, e->err));
        added = wide;
    }
    NRW_TRY(nrw_floats_out(e, 0, &y));
    const nrw_i8_epilogue sums = {.out = NRW_OUT_I32, .channel_rows = true, .add = add};
    nrw_conv one = *c;
    one.batch = 1;
    for (int64_t i = 0; i < images && out > 0; i++) {
        nrw_conv_call call = {e->kernels, e->pool, e->scratch, e->err};
        for (int64_t o = 0; o < channels; o++) add[o] = -q->zero_point[i] * s->sums[o];
        NRW_TRY(nrw_conv_i8(&call, &one, (const uint8_t *)x->data + i * from,
                            (uint8_t)q->zero_point[i], 0, s->packed_i8, &sums, acc));
        for (int64_t o = 0; o < channels; o++) {
            const nrw_litert_channel channel = {q->scale[i],
                                                s->weights.scale[o],
                                                added != NULL ? added[o] : 0,
                                                s->lo,
                                                s->hi,
                                                q->rounding != NRW_ROUND_LITERT};
            nrw_litert_pixels(&channel, acc + o * pixels, pixels, y + (i * channels + o) * pixels);
        }
    }
    return nrw_floats_done(e, 0, y);
}

static nrw_status run_i8(nrw_eval *e) {
    conv_state here = {.lo = -INFINITY, .hi = INFINITY};
    const conv_state *s = e->state;
    geometry g;
    nrw_conv c;
    NRW_TRY(read_geometry(e, e->in[0], e->in[1], &g));
    if (!kernel_geometry(&g, &c))
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "an integer convolution over %d axes", g.w.n);
    const nrw_kernels *kn = e->kernels;
    if (s == NULL) {
        NRW_TRY(pack_i8(kn, &c, e->in[1], e->scratch, &here, e->err));
        s = &here;
    }
    const nrw_tensor *x = e->in[0];
    if (measures_images(x->quant, s)) return run_by_images(e, s, &c);
    nrw_i8_epilogue made;
    const nrw_i8_epilogue *ep = s->epilogue;
    if (ep == NULL) {
        const nrw_tensor *bias = e->n_in > 2 ? e->in[2] : NULL;
        NRW_TRY(make_epilogue(s, &c, x->quant, bias, e->node->outputs[0]->quant, e->scratch, &made,
                              e->err));
        ep = &made;
    }
    void *y;
    NRW_TRY(nrw_weighted_out(e, &y));
    if (nrw_tensor_count(&e->out[0]) > 0) {
        nrw_conv_call call = {kn, e->pool, e->scratch, e->err};
        NRW_TRY(nrw_conv_i8(&call, &c, x->data, (uint8_t)x->quant->zero_point[0],
                            nrw_weighted_flip(x->dtype), s->packed_i8, ep, y));
    }
    return nrw_weighted_done(e, y);
}

static bool integer_ok(const nrw_node *n) {
    const nrw_value *w = n->inputs[1];
    return nrw_weighted_ok(n, 1, 2, 0) && w->type.rank >= 3 && w->type.rank <= 5;
}

static nrw_status plan_i8(nrw_plan_node *p, nrw_step_choice *choice) {
    const nrw_value *x = p->node->inputs[0], *w = p->node->inputs[1];
    const nrw_value *bias = p->node->n_inputs > 2 ? p->node->inputs[2] : NULL;
    const nrw_quant *y = p->node->outputs[0]->quant;
    conv_state *s = nrw_arena_calloc(p->arena, 1, sizeof *s);
    if (s == NULL) NRW_OOM(p->err);
    const nrw_kernels *kn = p->kernels;
    nrw_conv c = weight_geometry(p->node, w->data);
    NRW_TRY(pack_i8(kn, &c, w->data, p->arena, s, p->err));
    if (!x->quant->dynamic && (bias == NULL || (bias->data != NULL && !bias->is_input))) {
        nrw_i8_epilogue *ep = nrw_arena_calloc(p->arena, 1, sizeof *ep);
        if (ep == NULL) NRW_OOM(p->err);
        NRW_TRY(make_epilogue(s, &c, x->quant, bias != NULL ? bias->data : NULL, y, p->arena, ep,
                              p->err));
        s->epilogue = ep;
    }
    s->lo = p->clamp_lo;
    s->hi = p->clamp_hi;
    choice->clamps = measures_images(x->quant, s);
    choice->run = run_i8;
    choice->state = s;
    choice->takes_quantized = true;
    choice->kernel = nrw_arena_printf(p->arena, "conv_i8_%s", kn->tier);
    return choice->kernel != NULL ? NRW_OK : nrw_error_set(p->err, NRW_ERR_MEMORY, "out of memory");
}

static nrw_status plan(nrw_plan_node *p, nrw_step_choice *choice) {
    const nrw_value *x = p->node->inputs[0], *w = p->node->inputs[1];
    bool constant = w->data != NULL && !w->is_input && w->data->rank >= 3 && w->data->rank <= 5;
    if (p->integers && integer_ok(p->node)) return constant ? plan_i8(p, choice) : NRW_OK;
    if (!nrw_weighted_is_f32(x->type.dtype)) return NRW_OK;
    conv_state *s = nrw_arena_calloc(p->arena, 1, sizeof *s);
    if (s == NULL) NRW_OOM(p->err);
    const nrw_kernels *kn = p->kernels;
    if (constant) {
        const float *values;
        nrw_conv c = weight_geometry(p->node, w->data);
        NRW_TRY(nrw_weighted_floats(p, 1, &values));
        NRW_TRY(nrw_weighted_floats(p, 2, &s->bias));
        NRW_TRY(pack_f32(kn, &c, values, p->arena, &s->packed, p->err));
    }
    s->lo = p->clamp_lo;
    s->hi = p->clamp_hi;
    choice->run = run_f32;
    choice->state = s;
    choice->clamps = w->type.rank >= 3 && w->type.rank <= 5; /* others fall back on the reference */
    choice->kernel = nrw_arena_printf(p->arena, "conv_f32_%s", kn->tier);
    return choice->kernel != NULL ? NRW_OK : nrw_error_set(p->err, NRW_ERR_MEMORY, "out of memory");
}

static const nrw_attr_def attrs[] = {{"auto_pad", NRW_ATTR_STRING, false},
                                     {"dilations", NRW_ATTR_INTS, false},
                                     {"group", NRW_ATTR_INT, false},
                                     {"kernel_shape", NRW_ATTR_INTS, false},
                                     {"pads", NRW_ATTR_INTS, false},
                                     {"strides", NRW_ATTR_INTS, false},
                                     {0}};

static const nrw_case cases[] = {
    {"graph main(%x: f32[2,3,9,11]) {\n"
     "  const %w: f32[5,3,3,3] = random 1\n  const %b: f32[5] = random 2\n"
     "  %y: f32[...] = Conv(%x, %w, %b) {pads=[1, 1, 1, 1], strides=[2, 1]}\n  return %y\n}",
     -1, 1},
    {"graph main(%x: f32[1,6,8,8]) {\n  const %w: f32[12,1,5,5] = random 3\n"
     "  %y: f32[...] = Conv(%x, %w) {group=6, pads=[2, 2, 2, 2]}\n  return %y\n}",
     -1, 1},
    {"graph main(%x: f32[1,4,20]) {\n  const %w: f32[6,2,3] = random 4\n"
     "  %y: f32[...] = Conv(%x, %w) {auto_pad=\"SAME_UPPER\", dilations=[2], group=2}\n"
     "  return %y\n}",
     -1, 1},
    {"graph main(%x: f32[1,16,7,7]) {\n  const %w: f32[24,16,1,1] = random 5\n"
     "  %y: f32[...] = Conv(%x, %w)\n  return %y\n}",
     -1, 1},
    {"graph main(%x: f32[1,6,9,9]) {\n"
     "  %xq: f32[1,6,9,9] q(u8, scale=0.0078, zero=128) = ai.narrow::Requantize(%x)\n"
     "  const %w: i8[8,6,3,3] q(i8, axis=0, scale=[0.01, 0.02, 0.01, 0.01, 0.005, 0.01, 0.01, "
     "0.01], zero=[0, 0, 0, 0, 0, 0, 0, 0]) = random 6\n  const %b: f32[8] = random 7\n"
     "  %y: f32[1,8,9,9] q(u8, scale=0.03, zero=0) = Conv(%xq, %w, %b) {pads=[1, 1, 1, 1]}\n"
     "  %z: f32[1,8,9,9] = ai.narrow::Requantize(%y)\n  return %z\n}",
     -1, 1},
    {"graph main(%x: f32[2,10,12,13]) {\n"
     "  %xq: f32[2,10,12,13] q(i8, scale=0.0078, zero=2) = ai.narrow::Requantize(%x)\n"
     "  const %w: u8[10,1,3,3] q(u8, scale=0.01, zero=117) = random 8\n"
     "  %y: f32[2,10,6,7] = Conv(%xq, %w) {group=10, pads=[1, 1, 1, 1], strides=[2, 2]}\n"
     "  return %y\n}",
     -1, 1},
    {"graph main(%x: f32[1,16,10]) {\n"
     "  %xq: f32[1,16,10] q(u8, dynamic) = ai.narrow::Requantize(%x)\n"
     "  const %w: i8[4,16,3] q(i8, scale=0.01, zero=0) = random 9\n"
     "  %y: f32[1,4,8] q(u8, dynamic) = Conv(%xq, %w)\n"
     "  %z: f32[1,4,8] = ai.narrow::Requantize(%y)\n  return %z\n}",
     -1, 1},
    {0}};

static const nrw_op conv = {
    .name = "Conv",
    .domain = "",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer_conv,
    .reference = reference,
    .integer = run_i8,
    .integer_ok = integer_ok,
    .plan = plan,
    .macs = macs,
    .quant = {.rule = NRW_QUANT_WEIGHTED, .weight_input = 1, .bias_input = 2, .weight_channel = 0},
    .onnx = {"Conv", 1},
    .tflite = {"CONV_2D", 3},
    .aten = "aten.conv2d.default",
    .cases = cases,
};

static const nrw_op conv_integer = {
    .name = "ConvInteger",
    .domain = "",
    .min_in = 2,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer_integer,
    .reference = reference_integer,
    .macs = macs,
    .onnx = {"ConvInteger", 10},
};

static const nrw_op qlinear_conv = {
    .name = "QLinearConv",
    .domain = "",
    .min_in = 8,
    .max_in = 9,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer_qlinear,
    .reference = reference_qlinear,
    .macs = macs_qlinear,
    .onnx = {"QLinearConv", 10},
};

NRW_OPS(conv, &conv, &conv_integer, &qlinear_conv);
