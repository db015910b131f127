/* What float and integer convolutions share: padding, and gathering the columns of the implicit
 * matrix. */
#include <string.h>

#include "base/wide.h"
#include "kernels/conv.h"

bool nrw_conv_depthwise(const nrw_conv *c) {
    return c->groups > 1 && c->in_channels == c->groups && c->out_channels / c->groups <= 4;
}

int64_t nrw_conv_taps(const nrw_conv *c) {
    return c->kernel[0] * c->kernel[1] * c->kernel[2];
}

int64_t nrw_conv_pixels(const nrw_conv *c) {
    return c->out[0] * c->out[1] * c->out[2];
}

int64_t nrw_conv_in_pixels(const nrw_conv *c) {
    return c->in[0] * c->in[1] * c->in[2];
}

nrw_status nrw_conv_plane(const nrw_conv *c, nrw_arena *arena, nrw_plane *p, nrw_error *err) {
    int64_t extent[3];
    p->direct = true;
    for (int i = 0; i < 3; i++) {
        int64_t taps, steps;
        if (!nrw_mul_i64(c->kernel[i] - 1, c->dilation[i], &taps) ||
            !nrw_mul_i64(c->out[i] - 1, c->stride[i], &steps) ||
            __builtin_add_overflow(taps + 1, steps, &extent[i])) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "the convolution's window is too large");
        }
        p->direct &=
            c->kernel[i] == 1 && c->stride[i] == 1 && c->pad[i] == 0 && c->out[i] == c->in[i];
    }
    p->depth = extent[0];
    p->height = extent[1];
    p->phase = nrw_ceil_div(extent[2], c->stride[2]);
    if (!nrw_mul_i64(p->phase, c->stride[2], &p->pitch) ||
        !nrw_mul_i64(p->pitch, p->height, &p->size) || !nrw_mul_i64(p->size, p->depth, &p->size) ||
        p->size > INT64_MAX / 64) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "the padded image is too large");
    }
    int64_t *tap = nrw_arena_calloc(arena, (size_t)nrw_conv_taps(c), sizeof *tap);
    if (tap == NULL) NRW_OOM(err);
    p->tap = tap;
    for (int64_t d = 0; d < c->kernel[0]; d++) {
        for (int64_t h = 0; h < c->kernel[1]; h++) {
            for (int64_t w = 0; w < c->kernel[2]; w++) {
                int64_t column = w * c->dilation[2], s = c->stride[2];
                int64_t line = d * c->dilation[0] * p->height + h * c->dilation[1];
                *tap++ = line * p->pitch + column % s * p->phase + column / s;
            }
        }
    }
    return NRW_OK;
}

/* Columns [begin, end) of a phase hold input columns; the others are padding. */
typedef struct span {
    int64_t begin, end;
} span;

static span phase_span(const nrw_conv *c, const nrw_plane *p, int64_t phase) {
    int64_t s = c->stride[2], pad = c->pad[2], width = c->in[2];
    span r = {pad > phase ? nrw_ceil_div(pad - phase, s) : 0,
              width + pad > phase ? nrw_ceil_div(width + pad - phase, s) : 0};
    if (r.begin > p->phase) r.begin = p->phase;
    if (r.end > p->phase) r.end = p->phase;
    if (r.end < r.begin) r.end = r.begin;
    return r;
}

/* Whether any tap reads the padded line i of an axis. */
static bool is_read(const nrw_conv *c, int axis, int64_t i) {
    return c->kernel[axis] > 1 || c->stride[axis] == 1 || i % c->stride[axis] == 0;
}

#define T          uint8_t
#define NAME(what) what##_8
#include "kernels/pad_tmpl.h"
#define T          uint32_t
#define NAME(what) what##_32
#include "kernels/pad_tmpl.h"

void nrw_conv_pad(const nrw_conv *c, const nrw_plane *p, int size, const void *src, void *dst,
                  uint32_t fill) {
    int64_t phases = c->kernel[2] == 1 ? 1 : c->stride[2]; /* what no tap reads is left out */
    for (int64_t f = 0; f < phases; f++) {
        if (size == 1)
            phase_8(c, p, f, src, dst, (uint8_t)fill);
        else
            phase_32(c, p, f, src, dst, fill);
    }
}

int nrw_conv_runs(const nrw_conv *c, const nrw_plane *p, int64_t n0, int64_t nc, nrw_run *runs) {
    int n = 0;
    int64_t w = n0 % c->out[2], h = n0 / c->out[2] % c->out[1], d = n0 / c->out[2] / c->out[1];
    for (int64_t at = 0; at < nc; n++) {
        int64_t length = c->out[2] - w < nc - at ? c->out[2] - w : nc - at;
        runs[n].at = (int32_t)at;
        runs[n].length = (int32_t)length;
        runs[n].from = (d * c->stride[0] * p->height + h * c->stride[1]) * p->pitch + w;
        at += length;
        w = 0;
        if (++h == c->out[1]) {
            h = 0;
            d++;
        }
    }
    return n;
}

void nrw_conv_gather(const nrw_run *runs, int n, int size, const void *plane, void *dst) {
    for (int i = 0; i < n; i++) {
        const char *s = (const char *)plane + runs[i].from * size;
        char *d = (char *)dst + (int64_t)runs[i].at * size;
        int bytes = runs[i].length * size;
        /* Whole vectors; what is too much is overwritten by the next run. */
        for (int b = 0; b < bytes; b += 16) memcpy(d + b, s + b, 16);
    }
}
