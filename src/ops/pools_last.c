/* ai.narrow::MaxPoolLast and ai.narrow::GlobalAveragePoolLast: pools of unsigned bytes with
 * channels last, [batch][h][w][channel], as plans run them (the pass channels_last puts them
 * there). They give the bits of MaxPool and GlobalAveragePool. */
#include <math.h>
#include <string.h>

#include "base/wide.h"
#include "ops/broadcast.h"
#include "ops/floats.h"
#include "ops/window.h"

static nrw_status infer_max(nrw_infer *c) {
    const nrw_type *x = c->in[0];
    nrw_type *y = &c->out[0];
    *y = *x;
    if (x->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (x->rank != 4) NRW_FAIL_INPUT(c, 0, "X", "rank %d; 4 is needed", x->rank);
    nrw_window w;
    NRW_TRY(nrw_window_read(c->node, 2, NULL, &w, c->err));
    NRW_TRY(nrw_window_fit(&w, x->dims + 1, c->err));
    memcpy(y->dims + 1, w.out, 2 * sizeof w.out[0]);
    return NRW_OK;
}

static nrw_status infer_average(nrw_infer *c) {
    *(&c->out[0]) = *c->in[0];
    if (c->in[0]->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (c->in[0]->rank != 4) NRW_FAIL_INPUT(c, 0, "X", "rank %d; 4 is needed", c->in[0]->rank);
    c->out[0].dims[1] = c->out[0].dims[2] = 1;
    return NRW_OK;
}

/* Maxima. */

typedef struct max_job {
    nrw_window w;
    int64_t channels;
    const uint8_t *x;
    uint8_t *y;
    uint8_t *down; /* for each worker a line of the input, the largest of those under a window */
} max_job;

static inline uint8_t larger_of(uint8_t a, uint8_t b) {
    return a > b ? a : b;
}

NRW_WIDE static void larger(uint8_t *restrict y, const uint8_t *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = larger_of(y[i], x[i]);
}

/* n windows of a line, `stride` bytes apart, of `taps` pixels that lie `step` bytes apart. */
NRW_WIDE static void larger_across(uint8_t *restrict y, const uint8_t *restrict x, int64_t n,
                                   int64_t channels, int64_t taps, int64_t step, int64_t stride) {
    for (int64_t o = 0; o < n; o++, y += channels, x += stride) {
        for (int64_t i = 0; i < channels; i++) y[i] = larger_of(x[i], x[(taps - 1) * step + i]);
        for (int64_t k = 1; k < taps - 1; k++) {
            for (int64_t i = 0; i < channels; i++) y[i] = larger_of(y[i], x[k * step + i]);
        }
    }
}

/* One line of one picture. A window lies inside by at least one pixel, or gives the lowest byte. */
static void max_line(void *arg, int64_t line, int worker) {
    const max_job *j = arg;
    const nrw_window *w = &j->w;
    const int64_t picture = line / w->out[0], oh = line % w->out[0], c = j->channels;
    const int64_t bytes = w->in[1] * c;
    uint8_t *y = j->y + line * w->out[1] * c, *down = j->down + worker * bytes;
    int64_t top, bottom, left, right;
    nrw_window_taps(w, 0, oh, &top, &bottom);
    if (top >= bottom) memset(down, 0, (size_t)bytes);
    for (int64_t i = top; i < bottom; i++) {
        const int64_t h = oh * w->stride[0] + i * w->dilation[0] - w->pad_begin[0];
        const uint8_t *x = j->x + (picture * w->in[0] + h) * bytes;
        if (i == top)
            memcpy(down, x, (size_t)bytes);
        else
            larger(down, x, bytes);
    }
    for (int64_t ow = 0, n; ow < w->out[1]; ow += n, y += n * c) {
        nrw_window_taps(w, 1, ow, &left, &right);
        const bool whole = left == 0 && right == w->kernel[1];
        n = 1;
        for (int64_t l, r; whole && ow + n < w->out[1]; n++) {
            nrw_window_taps(w, 1, ow + n, &l, &r);
            if (l != 0 || r != w->kernel[1]) break;
        }
        const int64_t from = ow * w->stride[1] + left * w->dilation[1] - w->pad_begin[1];
        if (left < right)
            larger_across(y, down + from * c, n, c, right - left, w->dilation[1] * c,
                          w->stride[1] * c);
        else
            memset(y, 0, (size_t)c);
    }
}

static bool max_ok(const nrw_node *n) {
    return nrw_quant_is_u8(n->inputs[0]->quant) &&
           nrw_quant_equal(n->inputs[0]->quant, n->outputs[0]->quant);
}

static nrw_status max_integer(nrw_eval *e) {
    const nrw_tensor *x = e->in[0];
    max_job j = {.channels = x->dims[3], .x = x->data, .y = e->out[0].data};
    NRW_TRY(nrw_window_read(e->node, 2, NULL, &j.w, e->err));
    NRW_TRY(nrw_window_fit(&j.w, x->dims + 1, e->err));
    if (nrw_tensor_count(&e->out[0]) == 0) return NRW_OK;
    const size_t line = (size_t)(j.w.in[1] * j.channels),
                 workers = (size_t)nrw_pool_threads(e->pool);
    j.down = nrw_arena_alloc(e->scratch, workers * line + 1);
    if (j.down == NULL) NRW_OOM(e->err);
    nrw_pool_run(e->pool, x->dims[0] * j.w.out[0], max_line, &j);
    return NRW_OK;
}

static nrw_status max_reference(nrw_eval *e) {
    const nrw_tensor *t = e->in[0];
    const float *x;
    float *y;
    nrw_window w;
    NRW_TRY(nrw_window_read(e->node, 2, NULL, &w, e->err));
    NRW_TRY(nrw_window_fit(&w, t->dims + 1, e->err));
    NRW_TRY(nrw_floats_in(e, 0, &x));
    NRW_TRY(nrw_floats_out(e, 0, &y));
    if (y == NULL) return NRW_OK;
    const int64_t c = t->dims[3], pixels = w.out[0] * w.out[1];
    for (int64_t at = 0; at < t->dims[0] * pixels * c; at++) {
        const int64_t p = at / c % pixels, oh = p / w.out[1], ow = p % w.out[1];
        const float *picture = x + at / (pixels * c) * w.in[0] * w.in[1] * c + at % c;
        int64_t top, bottom, left, right;
        nrw_window_taps(&w, 0, oh, &top, &bottom);
        nrw_window_taps(&w, 1, ow, &left, &right);
        y[at] = -INFINITY;
        for (int64_t i = top; i < bottom; i++) {
            const int64_t h = oh * w.stride[0] + i * w.dilation[0] - w.pad_begin[0];
            for (int64_t k = left; k < right; k++) {
                const int64_t v = ow * w.stride[1] + k * w.dilation[1] - w.pad_begin[1];
                y[at] = fmaxf(y[at], picture[(h * w.in[1] + v) * c]);
            }
        }
    }
    return nrw_floats_done(e, 0, y);
}

/* Means over the picture. */

static bool average_ok(const nrw_node *n) {
    return nrw_quant_is_u8(n->inputs[0]->quant) && nrw_quant_is_u8(n->outputs[0]->quant);
}

/* Pictures are summed in pieces of their pixels, which are still in the caches of the processors
 * that made them. */
typedef struct average_job {
    const uint8_t *x;
    int64_t pixels, channels, pieces, piece; /* piece: pixels of one */
    uint32_t *sums;                          /* [pictures][pieces][channels] */
} average_job;

enum { TOGETHER = 64, MOST_TOGETHER = 1024, PIXELS = 257 };

NRW_WIDE static void add_pixels(const uint8_t *x, int64_t stride, int64_t pixels, int64_t n,
                                uint32_t *restrict sum) {
    uint16_t words[MOST_TOGETHER] = {0};
    /* Whole vectors: what the last takes too much belongs to the pixel behind. */
    const int64_t whole = (n + TOGETHER - 1) / TOGETHER * TOGETHER;
    const int64_t safe = stride < TOGETHER ? 0 : pixels - 1;
    for (int64_t p = 0; p < safe; p++, x += stride) {
        for (int64_t c = 0; c < whole; c++) words[c] = (uint16_t)(words[c] + x[c]);
    }
    for (int64_t p = safe; p < pixels; p++, x += stride) {
        for (int64_t c = 0; c < n; c++) words[c] = (uint16_t)(words[c] + x[c]);
    }
    for (int64_t c = 0; c < n; c++) sum[c] += words[c];
}

static void average_piece(void *arg, int64_t i, int worker) {
    const average_job *j = arg;
    const int64_t c = j->channels, begin = i % j->pieces * j->piece;
    const int64_t end = begin + j->piece < j->pixels ? begin + j->piece : j->pixels;
    const uint8_t *x = j->x + i / j->pieces * j->pixels * c;
    uint32_t *sums = j->sums + i * c;
    memset(sums, 0, (size_t)c * sizeof *sums);
    for (int64_t p = begin, n; p < end; p += n) {
        n = end - p < PIXELS ? end - p : PIXELS;
        for (int64_t at = 0; at < c; at += MOST_TOGETHER) {
            const int64_t some = c - at < MOST_TOGETHER ? c - at : MOST_TOGETHER;
            add_pixels(x + p * c + at, c, n, some, sums + at);
        }
    }
}

/* One picture's result. As pools.c has it. */
static void average(const average_job *j, const uint32_t *sums, const nrw_quant *a,
                    const nrw_quant *b, uint8_t *y) {
    const float m = (float)(a->scale[0] / ((double)(j->pixels > 0 ? j->pixels : 1) * b->scale[0]));
    for (int64_t c = 0; c < j->channels; c++) {
        int64_t sum = -j->pixels * a->zero_point[0];
        for (int64_t i = 0; i < j->pieces; i++) sum += sums[i * j->channels + c];
        const float q = rintf((float)sum * m) + (float)b->zero_point[0];
        y[c] = (uint8_t)(q <= 0 ? 0 : q >= 255 ? 255 : (int32_t)q);
    }
}

static nrw_status average_integer(nrw_eval *e) {
    enum { WORTH_A_THREAD = 32768 };
    const nrw_tensor *x = e->in[0];
    average_job j = {.x = x->data, .channels = x->dims[3], .pixels = x->dims[1] * x->dims[2]};
    if (j.pixels > UINT32_MAX / 255)
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "a picture of %lld pixels", (long long)j.pixels);
    if (nrw_tensor_count(&e->out[0]) == 0) return NRW_OK;
    const int64_t threads = nrw_pool_threads(e->pool),
                  worth = j.pixels * j.channels / WORTH_A_THREAD;
    j.pieces = worth < 1 ? 1 : worth < threads ? worth : threads;
    j.piece = (j.pixels + j.pieces - 1) / j.pieces;
    const int64_t tasks = x->dims[0] * j.pieces;
    j.sums = nrw_arena_calloc(e->scratch, (size_t)(tasks * j.channels), sizeof *j.sums);
    if (j.sums == NULL) NRW_OOM(e->err);
    nrw_pool_run(e->pool, tasks, average_piece, &j);
    for (int64_t i = 0; i < x->dims[0]; i++)
        average(&j, j.sums + i * j.pieces * j.channels, x->quant, e->out[0].quant,
                (uint8_t *)e->out[0].data + i * j.channels);
    return NRW_OK;
}

static nrw_status average_reference(nrw_eval *e) {
    const nrw_tensor *t = e->in[0];
    const double *x;
    double *y;
    NRW_TRY(nrw_doubles_in(e, 0, &x));
    NRW_TRY(nrw_doubles_out(e, 0, &y));
    if (y == NULL) return NRW_OK;
    const int64_t pixels = t->dims[1] * t->dims[2], c = t->dims[3];
    for (int64_t at = 0; at < t->dims[0] * c; at++) {
        double sum = 0;
        for (int64_t p = 0; p < pixels; p++) sum += x[(at / c * pixels + p) * c + at % c];
        y[at] = pixels > 0 ? sum / (double)pixels : 0;
    }
    return nrw_doubles_done(e, 0, y);
}

static const nrw_attr_def attrs[] = {
    {"auto_pad", NRW_ATTR_STRING, false}, {"ceil_mode", NRW_ATTR_INT, false},
    {"dilations", NRW_ATTR_INTS, false},  {"kernel_shape", NRW_ATTR_INTS, true},
    {"pads", NRW_ATTR_INTS, false},       {"storage_order", NRW_ATTR_INT, false},
    {"strides", NRW_ATTR_INTS, false},    {0}};

#define CASE(op, x, y, attributes, scale, zero)                                                    \
    {"graph main(%x: f32[" x "]) {\n"                                                              \
     "  %xq: f32[" x "] q(u8, scale=0.0078, zero=117) = ai.narrow::Requantize(%x)\n"               \
     "  %y: f32[" y "] q(u8, scale=" scale ", zero=" zero ") = ai.narrow::" op "(%xq)" attributes  \
     "\n  %z: f32[" y "] = ai.narrow::Requantize(%y)\n  return %z\n}",                             \
     -1, 1}

static const nrw_case max_cases[] = {
    CASE("MaxPoolLast", "2,9,8,20", "2,4,4,20",
         " {kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 0, 1]}", "0.0078", "117"),
    CASE("MaxPoolLast", "1,7,5,3", "1,3,5,3",
         " {kernel_shape=[3, 2], dilations=[2, 1], pads=[0, 0, 0, 1]}", "0.0078", "117"),
    {0}};
static const nrw_case average_cases[] = {
    CASE("GlobalAveragePoolLast", "2,9,8,70", "2,1,1,70", "", "0.002", "100"), {0}};

static const nrw_op max_pool_last = {
    .name = "MaxPoolLast",
    .domain = "ai.narrow",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer_max,
    .reference = max_reference,
    .integer = max_integer,
    .integer_ok = max_ok,
    .cases = max_cases,
};

static const nrw_op global_average_pool_last = {
    .name = "GlobalAveragePoolLast",
    .domain = "ai.narrow",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = infer_average,
    .reference = average_reference,
    .integer = average_integer,
    .integer_ok = average_ok,
    .cases = average_cases,
};

NRW_OPS(pools_last, &max_pool_last, &global_average_pool_last);
