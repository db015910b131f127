/* ai.narrow::ConvLast: Conv with channels last, [batch][h][w][channel], as plans run it (the pass
 * channels_last puts it there; files never hold it). Weights stay as Conv has them, [out][in /
 * group][kh][kw]; group is 1 or the number of channels.
 *
 * Input 3, if there is one, is added to the result (fuse_residual.c): to what it was as bytes, with
 * the attributes inner_scale and inner_zero, before an Add came behind it. Input 4 is a table of
 * 256 bytes, where such results are looked up (fuse_conv_tables.c); one excludes the other. */
#include <math.h>
#include <string.h>

#include "kernels/conv_last.h"
#include "kernels/depthwise_i8.h"
#include "ops/conv_last.h"
#include "ops/floats.h"
#include "ops/quant_table.h"
#include "ops/weighted.h"
#include "ops/window.h"

/* What comes behind the results as bytes. */
static nrw_status check_behind(nrw_infer *c) {
    const nrw_node *n = c->node;
    const nrw_value *residual = n->n_inputs > 3 ? n->inputs[3] : NULL;
    const nrw_value *table = n->n_inputs > 4 ? n->inputs[4] : NULL;
    if (residual == NULL && table == NULL) return NRW_OK;
    if (residual != NULL && table != NULL)
        NRW_FAIL_INPUT(c, 4, "table", "it excludes what input 3 adds");
    if (table != NULL && (table->data == NULL || table->is_input || table->data->dtype != NRW_U8 ||
                          table->data->rank != 1 || table->data->dims[0] != 256))
        NRW_FAIL_INPUT(c, 4, "table", "256 constant bytes are needed");
    const int64_t zero = nrw_attr_int(n, "inner_zero", 0);
    const float scale = nrw_attr_float(n, "inner_scale", 1);
    if (zero < 0 || zero > 255 || !(scale > 0) || !isfinite(scale))
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "inner_scale or inner_zero is not that of a byte");
    return NRW_OK;
}

static nrw_status infer(nrw_infer *c) {
    const nrw_type *x = c->in[0], *w = c->in[1];
    nrw_type *y = &c->out[0];
    y->dtype = x->dtype;
    y->rank = 4;
    for (int i = 0; i < 4; i++) y->dims[i] = NRW_DIM_UNKNOWN;
    if (x->rank != NRW_RANK_UNKNOWN && x->rank != 4)
        NRW_FAIL_INPUT(c, 0, "X", "rank %d; 4 is needed", x->rank);
    if (w->rank != NRW_RANK_UNKNOWN && w->rank != 4)
        NRW_FAIL_INPUT(c, 1, "W", "rank %d; 4 is needed", w->rank);
    if (w->rank == 4) y->dims[3] = w->dims[0];
    if (x->rank != 4) return NRW_OK;
    y->dims[0] = x->dims[0];
    const int64_t group = nrw_attr_int(c->node, "group", 1);
    if (group < 1 || (w->rank == 4 && w->dims[0] >= 0 && w->dims[0] % group != 0))
        NRW_FAIL_INPUT(c, 1, "W", "its channels do not divide into %lld groups", (long long)group);
    if (w->rank == 4) NRW_TRY(nrw_infer_bias(c, 2, w->dims[0]));
    if (w->rank == 4 && x->dims[3] >= 0 && w->dims[1] >= 0 && x->dims[3] != w->dims[1] * group)
        NRW_FAIL_INPUT(c, 1, "W", "%lld channels in each of %lld groups, but X has %lld",
                       (long long)w->dims[1], (long long)group, (long long)x->dims[3]);
    NRW_TRY(check_behind(c));
    nrw_window win;
    NRW_TRY(nrw_window_read(c->node, 2, w->rank == 4 ? w->dims + 2 : NULL, &win, c->err));
    NRW_TRY(nrw_window_fit(&win, x->dims + 1, c->err));
    memcpy(y->dims + 1, win.out, 2 * sizeof win.out[0]);
    return NRW_OK;
}

static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    int64_t count = nrw_type_count(&out[0]);
    if (in[1]->rank != 4 || count < 0) return 0;
    for (int i = 1; i < 4; i++) {
        if (in[1]->dims[i] < 0 || !nrw_mul_i64(count, in[1]->dims[i], &count)) return 0;
    }
    return count;
}

static nrw_status read_geometry(const nrw_eval *e, const nrw_tensor *x, const nrw_tensor *w,
                                nrw_conv *c) {
    nrw_window win;
    NRW_TRY(nrw_window_read(e->node, 2, w->dims + 2, &win, e->err));
    NRW_TRY(nrw_window_fit(&win, x->dims + 1, e->err));
    *c = (nrw_conv){x->dims[0], nrw_attr_int(e->node, "group", 1),
                    x->dims[3], w->dims[0],
                    {1, 1, 1},  {1, 1, 1},
                    {1, 1, 1},  {1, 1, 1},
                    {1, 1, 1},  {0, 0, 0}};
    for (int i = 0; i < 2; i++) {
        c->in[1 + i] = win.in[i];
        c->out[1 + i] = win.out[i];
        c->kernel[1 + i] = win.kernel[i];
        c->stride[1 + i] = win.stride[i];
        c->dilation[1 + i] = win.dilation[i];
        c->pad[1 + i] = win.pad_begin[i];
    }
    return NRW_OK;
}

static double window_sum(const nrw_conv *c, const double *x, const double *w, int64_t oc,
                         int64_t oh, int64_t ow) {
    const int64_t per = c->in_channels / c->groups,
                  first = oc / (c->out_channels / c->groups) * per;
    double sum = 0;
    for (int64_t i = 0; i < c->kernel[1]; i++) {
        for (int64_t j = 0; j < c->kernel[2]; j++) {
            const int64_t h = oh * c->stride[1] + i * c->dilation[1] - c->pad[1];
            const int64_t v = ow * c->stride[2] + j * c->dilation[2] - c->pad[2];
            if (h < 0 || h >= c->in[1] || v < 0 || v >= c->in[2]) continue;
            const double *at = x + (h * c->in[2] + v) * c->in_channels + first;
            const double *weight = w + ((oc * per) * c->kernel[1] + i) * c->kernel[2] + j;
            for (int64_t k = 0; k < per; k++)
                sum += at[k] * weight[k * c->kernel[1] * c->kernel[2]];
        }
    }
    return sum;
}

static bool has_residual(const nrw_node *n) {
    return n->n_inputs > 3 && n->inputs[3] != NULL;
}

static const uint8_t *table_of(const nrw_node *n) {
    return n->n_inputs > 4 && n->inputs[4] != NULL ? n->inputs[4]->data->data : NULL;
}

static nrw_quant inner_quant(const nrw_node *n, float *scale, int32_t *zero) {
    *scale = nrw_attr_float(n, "inner_scale", 1);
    *zero = (int32_t)nrw_attr_int(n, "inner_zero", 0);
    const nrw_quant *y = n->outputs[0]->quant;
    return (nrw_quant){.dtype = NRW_U8,
                       .axis = -1,
                       .count = 1,
                       .scale = scale,
                       .zero_point = zero,
                       .rounding = y != NULL ? y->rounding : NRW_ROUND_ONCE};
}

static double step_of(double y, const nrw_quant *q) {
    const double byte = rint(y / (double)q->scale[0]) + q->zero_point[0];
    return byte < 0 ? 0 : byte > 255 ? 255 : byte;
}

/* What the convolution itself gave goes through bytes; bytes are added as kernels add them. */
static double sum_with(const nrw_node *n, double own, double other) {
    float scale;
    int32_t zero;
    nrw_sum_u8 sum;
    const nrw_quant inner = inner_quant(n, &scale, &zero), *y = n->outputs[0]->quant;
    const nrw_quant *r = n->inputs[3]->quant;
    const double q = step_of(own, &inner);
    if (!nrw_quant_is_u8(r) || !nrw_quant_is_u8(y) || !nrw_quant_sum(&inner, r, y, &sum))
        return (double)scale * (q - zero) + other;
    const int byte = nrw_sum_u8_of(&sum, (uint8_t)q, (uint8_t)step_of(other, r));
    return (double)y->scale[0] * (byte - y->zero_point[0]);
}

static double look_up(const nrw_node *n, double own) {
    float scale;
    int32_t zero;
    const nrw_quant inner = inner_quant(n, &scale, &zero), *y = n->outputs[0]->quant;
    return (double)y->scale[0] * (table_of(n)[(uint8_t)step_of(own, &inner)] - y->zero_point[0]);
}

static nrw_status reference(nrw_eval *e) {
    nrw_conv c;
    const double *x, *w, *bias, *residual;
    double *y;
    NRW_TRY(read_geometry(e, e->in[0], e->in[1], &c));
    NRW_TRY(nrw_doubles_in(e, 0, &x));
    NRW_TRY(nrw_doubles_in(e, 1, &w));
    NRW_TRY(nrw_doubles_in(e, 2, &bias));
    NRW_TRY(nrw_doubles_in(e, 3, &residual));
    if (residual != NULL && nrw_tensor_count(e->in[3]) != nrw_tensor_count(&e->out[0]))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "what is added has another shape than the result");
    if (table_of(e->node) != NULL && !nrw_quant_is_u8(e->node->outputs[0]->quant))
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "a table takes quantized values only");
    NRW_TRY(nrw_doubles_out(e, 0, &y));
    if (y == NULL) return NRW_OK;
    int64_t at = 0;
    for (int64_t b = 0; b < c.batch; b++) {
        const double *image = x + b * c.in[1] * c.in[2] * c.in_channels;
        for (int64_t p = 0; p < c.out[1] * c.out[2]; p++) {
            for (int64_t oc = 0; oc < c.out_channels; oc++, at++) {
                y[at] = window_sum(&c, image, w, oc, p / c.out[2], p % c.out[2]);
                if (bias != NULL) y[at] += bias[oc];
                if (residual != NULL) y[at] = sum_with(e->node, y[at], residual[at]);
                if (table_of(e->node) != NULL) y[at] = look_up(e->node, y[at]);
            }
        }
    }
    return nrw_doubles_done(e, 0, y);
}

typedef struct conv_last_state {
    nrw_conv_last weights;
    nrw_rows_epilogue epilogue;
    nrw_sum_u8 residual;
} conv_last_state;

static nrw_status run_i8(nrw_eval *e) {
    const conv_last_state *s = e->state;
    const nrw_tensor *x = e->in[0];
    nrw_conv c;
    NRW_TRY(read_geometry(e, x, e->in[1], &c));
    if (nrw_tensor_count(&e->out[0]) == 0) return NRW_OK;
    const nrw_conv_call call = {e->kernels, e->pool, e->scratch, e->err};
    const nrw_tensor *r = has_residual(e->node) ? e->in[3] : NULL;
    if (r != NULL && nrw_tensor_count(r) != nrw_tensor_count(&e->out[0]))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "what is added has another shape than the result");
    return nrw_conv_last_run(&call, &c, &s->weights, &s->epilogue, x->data,
                             (uint8_t)x->quant->zero_point[0], r != NULL ? r->data : NULL,
                             e->out[0].data);
}

/* Everything but the image. */
static nrw_conv weight_geometry(const nrw_node *n, const nrw_tensor *w) {
    nrw_conv c = {.batch = 1,
                  .groups = nrw_attr_int(n, "group", 1),
                  .out_channels = w->dims[0],
                  .in = {1, 1, 1},
                  .out = {1, 1, 1},
                  .kernel = {1, w->dims[2], w->dims[3]},
                  .stride = {1, 1, 1},
                  .dilation = {1, 1, 1}};
    c.in_channels = w->dims[1] * c.groups;
    int64_t count;
    const int64_t *v = nrw_attr_ints(n, "dilations", &count);
    for (int i = 0; v != NULL && i < 2 && i < count; i++) c.dilation[1 + i] = v[i];
    v = nrw_attr_ints(n, "strides", &count);
    for (int i = 0; v != NULL && i < 2 && i < count; i++) c.stride[1 + i] = v[i];
    return c;
}

bool nrw_conv_last_suits(const nrw_kernels *kn, const nrw_node *n) {
    const nrw_value *x = n->inputs[0], *w = n->inputs[1], *y = n->outputs[0];
    const nrw_value *bias = n->n_inputs > 2 ? n->inputs[2] : NULL;
    if (!nrw_weighted_ok(n, 1, 2, 0) || !nrw_quant_is_u8(x->quant) || !nrw_quant_is_u8(y->quant))
        return false;
    if (w->data == NULL || w->is_input || w->data->rank != 4 || w->quant->dtype != NRW_I8)
        return false;
    if (bias != NULL && (bias->data == NULL || bias->is_input)) return false;
    for (int64_t i = 0; i < w->quant->count; i++) {
        if (w->quant->zero_point[i] != 0) return false;
    }
    const nrw_conv c = weight_geometry(n, w->data);
    return nrw_conv_last_fits(kn, &c) && (c.groups == 1 || c.kernel[1] <= NRW_DEPTHWISE_MAX_ROWS);
}

bool nrw_conv_last_looks_up(const nrw_kernels *kn, const nrw_node *n) {
    return nrw_attr_int(n, "group", 1) > 1 ? kn->table_u8 != NULL : kn->rows_look_up;
}

static nrw_status plan(nrw_plan_node *p, nrw_step_choice *choice) {
    const nrw_node *n = p->node;
    if (!p->integers || !nrw_conv_last_suits(p->kernels, n)) return NRW_OK;
    float scale;
    int32_t zero;
    const nrw_quant *y = n->outputs[0]->quant, inner = inner_quant(n, &scale, &zero);
    nrw_sum_u8 sum;
    if (table_of(n) != NULL && !nrw_conv_last_looks_up(p->kernels, n)) return NRW_OK;
    if (has_residual(n) &&
        (!nrw_quant_is_u8(n->inputs[3]->quant) || nrw_attr_int(n, "group", 1) != 1 ||
         !nrw_quant_sum(&inner, n->inputs[3]->quant, y, &sum)))
        return NRW_OK;
    const nrw_tensor *w = n->inputs[1]->data;
    const nrw_tensor *bias = n->n_inputs > 2 && n->inputs[2] != NULL ? n->inputs[2]->data : NULL;
    const nrw_conv c = weight_geometry(n, w);
    conv_last_state *s = nrw_arena_calloc(p->arena, 1, sizeof *s);
    nrw_i8_weights weights;
    nrw_i8_epilogue e;
    if (s == NULL) NRW_OOM(p->err);
    NRW_TRY(nrw_weighted_make(w, 0, c.out_channels, p->arena, &weights, p->err));
    NRW_TRY(nrw_conv_last_pack(p->kernels, &c, weights.values, p->arena, &s->weights, p->err));
    const int64_t depth = w->dims[1] * w->dims[2] * w->dims[3];
    NRW_TRY(nrw_weighted_epilogue(&weights, s->weights.sums.sum, depth, n->inputs[0]->quant, bias,
                                  has_residual(n) || table_of(n) != NULL ? &inner : y, p->arena, &e,
                                  p->err));
    NRW_TRY(
        nrw_conv_last_epilogue(&s->weights, &e, c.out_channels, p->arena, &s->epilogue, p->err));
    s->epilogue.table = table_of(n);
    if (has_residual(n)) {
        s->residual = sum;
        s->epilogue.residual = &s->residual;
    }
    choice->run = run_i8;
    choice->state = s;
    choice->takes_quantized = true;
    choice->kernel = nrw_arena_printf(p->arena, "%s_%s", c.groups > 1 ? "depthwise" : "conv_last",
                                      p->kernels->tier);
    return choice->kernel != NULL ? NRW_OK : nrw_error_set(p->err, NRW_ERR_MEMORY, "out of memory");
}

static const nrw_attr_def attrs[] = {{"auto_pad", NRW_ATTR_STRING, false},
                                     {"dilations", NRW_ATTR_INTS, false},
                                     {"group", NRW_ATTR_INT, false},
                                     {"inner_scale", NRW_ATTR_FLOAT, false},
                                     {"inner_zero", NRW_ATTR_INT, false},
                                     {"kernel_shape", NRW_ATTR_INTS, false},
                                     {"pads", NRW_ATTR_INTS, false},
                                     {"strides", NRW_ATTR_INTS, false},
                                     {0}};

#define CASE(x, w, y, b, attributes)                                                               \
    {"graph main(%x: f32[" x "]) {\n"                                                              \
     "  %xq: f32[" x "] q(u8, scale=0.0078, zero=117) = ai.narrow::Requantize(%x)\n"               \
     "  const %w: i8[" w "] q(i8, scale=0.01, zero=0) = random 6\n"                                \
     "  const %b: i32[" b "] q(i32, scale=7.8e-05, zero=0) = random 7\n"                           \
     "  %y: f32[" y "] q(u8, scale=0.05, zero=90) = ai.narrow::ConvLast(%xq, %w, %b) "             \
     "{" attributes "}\n"                                                                          \
     "  %z: f32[" y "] = ai.narrow::Requantize(%y)\n  return %z\n}",                               \
     -1, 1}

static const nrw_case cases[] = {
    CASE("1,9,8,20", "37,20,1,1", "1,9,8,37", "37", "group=1"),
    CASE("2,11,7,6", "8,6,3,3", "2,11,7,8", "8", "pads=[1, 1, 1, 1]"),
    CASE("1,15,14,3", "40,3,5,3", "1,6,7,40", "40", "strides=[2, 2], pads=[0, 1, 0, 1]"),
    CASE("1,12,13,5", "9,5,3,3", "1,8,9,9", "9", "dilations=[2, 2]"),
    CASE("1,10,11,19", "19,1,3,3", "1,10,11,19", "19", "group=19, pads=[1, 1, 1, 1]"),
    CASE("1,13,14,33", "33,1,5,5", "1,7,7,33", "33", "group=33, pads=[2, 2, 2, 2], strides=[2, 2]"),
    CASE("1,11,40,100", "100,1,3,3", "1,11,40,100", "100", "group=100, pads=[1, 1, 1, 1]"),
    CASE("1,8,57,70", "70,1,3,3", "1,4,29,70", "70", "group=70, pads=[1, 1, 1, 1], strides=[2, 2]"),
    CASE("1,9,30,64", "64,1,5,5", "1,9,30,64", "64", "group=64, pads=[2, 2, 2, 2]"),
    CASE("1,12,13,32", "32,1,3,3", "1,8,9,32", "32", "group=32, dilations=[2, 2]"),
    CASE("1,4,60,40", "40,1,3,49", "1,2,12,40", "40", "group=40"),
    {"graph main(%x: f32[1,9,7,24], %r: f32[1,9,7,45]) {\n"
     "  %xq: f32[1,9,7,24] q(u8, scale=0.0078, zero=117) = ai.narrow::Requantize(%x)\n"
     "  %rq: f32[1,9,7,45] q(u8, scale=0.009, zero=121) = ai.narrow::Requantize(%r)\n"
     "  const %w: i8[45,24,1,1] q(i8, scale=0.01, zero=0) = random 6\n"
     "  %y: f32[1,9,7,45] q(u8, scale=0.06, zero=90) = ai.narrow::ConvLast(%xq, %w, _, %rq) "
     "{inner_scale=0.0419, inner_zero=100}\n"
     "  %z: f32[1,9,7,45] = ai.narrow::Requantize(%y)\n  return %z\n}",
     -1, 1},
#define TABLE_CASE(x, w, y, attributes)                                                            \
    {"graph main(%x: f32[" x "]) {\n"                                                              \
     "  %xq: f32[" x "] q(u8, scale=0.0078, zero=117) = ai.narrow::Requantize(%x)\n"               \
     "  const %w: i8[" w "] q(i8, scale=0.01, zero=0) = random 6\n"                                \
     "  const %t: u8[256] = random 8\n"                                                            \
     "  %y: f32[" y "] q(u8, scale=0.06, zero=90) = ai.narrow::ConvLast(%xq, %w, _, _, %t) "       \
     "{inner_scale=0.0419, inner_zero=100, " attributes "}\n"                                      \
     "  %z: f32[" y "] = ai.narrow::Requantize(%y)\n  return %z\n}",                               \
     -1, 1}
    TABLE_CASE("1,9,7,24", "45,24,1,1", "1,9,7,45", "group=1"),
    TABLE_CASE("1,9,7,40", "40,1,3,3", "1,9,7,40", "group=40, pads=[1, 1, 1, 1]"),
    CASE("1,9,12,16", "16,1,2,4", "1,4,9,16", "16", "group=16, strides=[2, 1]"),
    {0}};

static const nrw_op conv_last = {
    .name = "ConvLast",
    .domain = "ai.narrow",
    .min_in = 2,
    .max_in = 5,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = reference,
    .plan = plan,
    .macs = macs,
    .cases = cases,
};

NRW_OPS(conv_last, &conv_last);
