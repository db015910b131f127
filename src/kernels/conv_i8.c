/* Integer convolutions. */
#include <string.h>

#include "kernels/conv.h"

static int64_t depth_of(const nrw_conv *c) {
    return c->in_channels / c->groups * nrw_conv_taps(c);
}

/* Depthwise filters: groups of rows of the kernel lie side by side, as interleaved rows do. */
static int64_t row_groups(const nrw_kernels *kn, const nrw_conv *c) {
    return nrw_ceil_div(c->kernel[1], kn->i8_group);
}

static int64_t packed_taps(const nrw_kernels *kn, const nrw_conv *c) {
    return c->kernel[0] * row_groups(kn, c) * c->kernel[2];
}

/* Bytes of the packed weights of one group. */
static bool group_bytes(const nrw_kernels *kn, const nrw_conv *c, size_t *bytes) {
    int64_t m = c->out_channels / c->groups;
    if (!nrw_conv_depthwise(c)) return nrw_i8_a_bytes(kn, m, depth_of(c), bytes);
    return nrw_mul_size((size_t)m, (size_t)(packed_taps(kn, c) * kn->i8_group * kn->i8_bytes),
                        bytes);
}

bool nrw_conv_i8_weight_bytes(const nrw_kernels *kn, const nrw_conv *c, size_t *bytes) {
    return group_bytes(kn, c, bytes) && nrw_mul_size(*bytes, (size_t)c->groups, bytes);
}

static void pack_depthwise(const nrw_kernels *kn, const nrw_conv *c, const uint8_t *w, uint8_t flip,
                           char *dst, int32_t *sums) {
    int64_t kh = c->kernel[1], kw = c->kernel[2], groups = row_groups(kn, c);
    int64_t channel_values = packed_taps(kn, c) * kn->i8_group;
    memset(dst, 0, (size_t)(c->out_channels * channel_values * kn->i8_bytes));
    for (int64_t oc = 0; oc < c->out_channels; oc++) {
        sums[oc] = 0;
        for (int64_t i = 0; i < nrw_conv_taps(c); i++) {
            int64_t x = i % kw, y = i / kw % kh, z = i / kw / kh;
            int8_t v = (int8_t)(w[oc * nrw_conv_taps(c) + i] ^ flip);
            int64_t tap = (z * groups + y / kn->i8_group) * kw + x;
            int64_t at = oc * channel_values + tap * kn->i8_group + y % kn->i8_group;
            if (kn->i8_bytes == 1)
                dst[at] = (char)v;
            else
                ((int16_t *)(void *)dst)[at] = v;
            sums[oc] += v;
        }
    }
}

void nrw_conv_i8_pack(const nrw_kernels *kn, const nrw_conv *c, const uint8_t *w, uint8_t flip,
                      void *dst, int32_t *sums) {
    if (nrw_conv_depthwise(c)) {
        pack_depthwise(kn, c, w, flip, dst, sums);
        return;
    }
    int64_t k = depth_of(c), m = c->out_channels / c->groups;
    size_t bytes = 0;
    if (!group_bytes(kn, c, &bytes)) return; /* the caller has asked for the size before */
    for (int64_t g = 0; g < c->groups; g++) {
        nrw_i8_pack_a(kn, NULL, m, k, (nrw_matrix){w + g * m * k, k, 1},
                      (nrw_byte_rule){flip, true}, (char *)dst + (size_t)g * bytes, sums + g * m);
    }
}

typedef struct running {
    const nrw_conv_call *call;
    const nrw_conv *c;
    nrw_plane plane;
    const uint8_t *x; /* one image */
    uint8_t x_fill, flip;
    const char *packed;
    size_t group_bytes, out_size;
    const nrw_i8_epilogue *epilogue;
    char *y;
    uint8_t *padded; /* [in_channels][plane.size]; depthwise: for each thread */
    char *blocks;    /* for each thread: blocks of the right matrix, or interleaved rows */
    size_t block_bytes;
    const void **taps; /* depthwise: [threads][packed taps] */
    int32_t *sums;     /* [threads or 1][pixels], with w_zero only */
} running;

typedef struct group_fill {
    const running *r;
    const uint8_t *planes;
    int64_t plane_size, total; /* bytes of one plane, and of all that may be read */
} group_fill;

/* Points at the row of a tap of a channel in the implicit right matrix, columns [n0, n0 + nc),
 * gathering it if need be. */
static const uint8_t *matrix_row(const group_fill *f, int64_t channel, int64_t tap, int64_t n0,
                                 int64_t nc, const nrw_run *runs, int n_runs, uint8_t *row) {
    int64_t at = channel * f->plane_size;
    if (!f->r->plane.direct) {
        nrw_conv_gather(runs, n_runs, 1, f->planes + at + f->r->plane.tap[tap], row);
        return row;
    }
    if (at + n0 + nc + 31 <= f->total) return f->planes + at + n0;
    memcpy(row, f->planes + at + n0, (size_t)nc); /* no slack behind the caller's image */
    return row;
}

static void fill(void *arg, int64_t k0, int64_t kc, int64_t n0, int64_t nc, void *panels,
                 int worker) {
    const group_fill *f = arg;
    const nrw_kernels *kn = f->r->call->kernels;
    nrw_run runs[NRW_MAX_RUNS];
    uint8_t rows[4][NRW_MAX_RUNS + NRW_ROW_SLACK];
    const uint8_t *row[4];
    int group = kn->i8_group, cols = kn->i8_cols;
    int n_runs = f->r->plane.direct ? 0 : nrw_conv_runs(f->r->c, &f->r->plane, n0, nc, runs);
    int64_t groups = nrw_ceil_div(kc, group), step = (int64_t)cols * group * kn->i8_bytes;
    int64_t taps = nrw_conv_taps(f->r->c), channel = 0, tap = 0;
    for (int64_t g = 0; g < groups; g++) {
        for (int i = 0; i < group; i++) {
            if (g * group + i == kc) {
                for (; i < group; i++) row[i] = row[i - 1]; /* weights are zero there */
                break;
            }
            row[i] = matrix_row(f, channel, tap, n0, nc, runs, n_runs, rows[i]);
            if (++tap == taps) {
                tap = 0;
                channel++;
            }
        }
        char *dst = (char *)panels + g * step;
        for (int64_t j = 0; j < nc; j += cols, dst += groups * step) {
            const uint8_t *at[4];
            for (int i = 0; i < group; i++) at[i] = row[i] + j;
            kn->i8_interleave(dst, at, nc - j < cols ? nc - j : cols, f->r->flip, false);
        }
    }
}

/* Sums over k of every column, which zero points of weights are multiplied with. */
static void column_sums(const group_fill *f, int64_t channels, int32_t *sums) {
    const nrw_conv *c = f->r->c;
    nrw_run runs[NRW_MAX_RUNS];
    uint8_t buffer[NRW_MAX_RUNS + NRW_ROW_SLACK];
    int64_t pixels = nrw_conv_pixels(c), taps = nrw_conv_taps(c);
    for (int64_t n0 = 0; n0 < pixels; n0 += NRW_MAX_RUNS) {
        int64_t nc = pixels - n0 < NRW_MAX_RUNS ? pixels - n0 : NRW_MAX_RUNS;
        int n = f->r->plane.direct ? 0 : nrw_conv_runs(c, &f->r->plane, n0, nc, runs);
        memset(sums + n0, 0, (size_t)nc * sizeof *sums);
        for (int64_t i = 0; i < channels * taps; i++) {
            const uint8_t *row = matrix_row(f, i / taps, i % taps, n0, nc, runs, n, buffer);
            for (int64_t j = 0; j < nc; j++) sums[n0 + j] += row[j] ^ f->r->flip;
        }
    }
}

/* The epilogue of the channels from `first` on. */
static nrw_i8_epilogue epilogue_from(const nrw_i8_epilogue *e, int64_t first, const int32_t *sums) {
    nrw_i8_epilogue g = *e;
    g.add += first;
    if (g.mul != NULL) g.mul += first;
    if (g.bias != NULL) g.bias += first;
    if (g.w_zero != NULL) g.w_zero += first;
    g.x_sum = sums;
    return g;
}

static void run_group(const running *r, int64_t g, nrw_pool *pool, char *blocks, int32_t *sums) {
    const nrw_conv *c = r->c;
    int64_t m = c->out_channels / c->groups, channels = c->in_channels / c->groups;
    int64_t n = nrw_conv_pixels(c);
    group_fill f = {.r = r, .plane_size = r->plane.size};
    if (r->plane.direct) {
        f.plane_size = nrw_conv_in_pixels(c);
        f.planes = r->x + g * channels * f.plane_size;
        f.total = channels * f.plane_size;
    } else {
        f.planes = r->padded + g * channels * f.plane_size;
    }
    if (r->epilogue->w_zero != NULL) column_sums(&f, channels, sums);
    nrw_i8_epilogue e = epilogue_from(r->epilogue, g * m, sums);
    nrw_gemm_i8 product = {.kernels = r->call->kernels,
                           .pool = pool,
                           .m = m,
                           .n = n,
                           .k = depth_of(c),
                           .a = r->packed + (size_t)g * r->group_bytes,
                           .fill = fill,
                           .fill_arg = &f,
                           .blocks = blocks,
                           .c = r->y + (size_t)(g * m * n) * r->out_size,
                           .ldc = n,
                           .a_signed = true,
                           .epilogue = &e};
    nrw_i8_gemm(&product);
}

static void group_task(void *arg, int64_t g, int worker) {
    const running *r = arg;
    int32_t *sums = r->sums != NULL ? r->sums + worker * nrw_conv_pixels(r->c) : NULL;
    run_group(r, g, NULL, r->blocks + (size_t)worker * r->block_bytes, sums);
}

static void pad_task(void *arg, int64_t channel, int worker) {
    const running *r = arg;
    nrw_conv_pad(r->c, &r->plane, 1, r->x + channel * nrw_conv_in_pixels(r->c),
                 r->padded + channel * r->plane.size, r->x_fill);
}

enum { STRIP = 4 };

/* Bytes of one interleaved row of the padded image. */
static int64_t strip_pitch(const running *r) {
    const nrw_kernels *kn = r->call->kernels;
    return (nrw_ceil_div(r->plane.pitch, 32) * 32 + NRW_ROW_SLACK) * kn->i8_group * kn->i8_bytes;
}

/* Interleaves what `rows` output rows from (od, oh) on read, and points the taps at it. */
static void interleave_strip(const running *r, const uint8_t *plane, int64_t od, int64_t oh,
                             int64_t rows, char *strip, const void **taps) {
    const nrw_conv *c = r->c;
    const nrw_plane *p = &r->plane;
    const nrw_kernels *kn = r->call->kernels;
    int64_t pitch = strip_pitch(r);
    for (int64_t d = 0; d < c->kernel[0]; d++) {
        for (int64_t h = 0; h < c->kernel[1]; h += kn->i8_group, strip += STRIP * pitch) {
            for (int64_t i = 0; i < rows; i++) {
                const uint8_t *from[4];
                for (int k = 0; k < kn->i8_group; k++) {
                    int64_t tap = h + k < c->kernel[1] ? h + k : h; /* weights are zero there */
                    int64_t line = (od * c->stride[0] + d * c->dilation[0]) * p->height +
                                   (oh + i) * c->stride[1] + tap * c->dilation[1];
                    from[k] = plane + line * p->pitch;
                }
                kn->i8_interleave(strip + i * pitch, from, p->pitch, r->flip, false);
            }
            for (int64_t w = 0; w < c->kernel[2]; w++) {
                *taps++ = strip + p->tap[w] * kn->i8_group * kn->i8_bytes;
            }
        }
    }
}

static void window_sums(const running *r, const uint8_t *plane, int32_t *sums) {
    group_fill f = {.r = r, .planes = plane, .plane_size = r->plane.size};
    column_sums(&f, 1, sums);
}

static void depthwise_task(void *arg, int64_t group, int worker) {
    const running *r = arg;
    const nrw_conv *c = r->c;
    const nrw_kernels *kn = r->call->kernels;
    int64_t n_taps = packed_taps(kn, c), m = c->out_channels / c->groups;
    uint8_t *plane = r->padded + worker * (r->plane.size + NRW_ROW_SLACK);
    char *strip = r->blocks + (size_t)worker * r->block_bytes;
    int32_t *sums = r->sums != NULL ? r->sums + worker * nrw_conv_pixels(c) : NULL;
    nrw_conv_pad(c, &r->plane, 1, r->x + group * nrw_conv_in_pixels(c), plane, r->x_fill);
    if (sums != NULL) window_sums(r, plane, sums);
    nrw_i8_epilogue e = epilogue_from(r->epilogue, 0, sums);
    nrw_i8_taps t = {.x = r->taps + worker * n_taps,
                     .x_stride = strip_pitch(r),
                     .taps = (int)n_taps,
                     .y_stride = c->out[2],
                     .cols = c->out[2],
                     .epilogue = &e};
    for (int64_t od = 0; od < c->out[0]; od++) {
        for (int64_t oh = 0; oh < c->out[1]; oh += STRIP) {
            t.rows = c->out[1] - oh < STRIP ? c->out[1] - oh : STRIP;
            t.sum0 = (od * c->out[1] + oh) * c->out[2];
            interleave_strip(r, plane, od, oh, t.rows, strip, r->taps + worker * n_taps);
            for (t.channel = group * m; t.channel < (group + 1) * m; t.channel++) {
                t.w = r->packed + t.channel * n_taps * kn->i8_group * kn->i8_bytes;
                t.y = r->y + (size_t)(t.channel * nrw_conv_pixels(c) + t.sum0) * r->out_size;
                kn->i8_taps(&t);
            }
        }
    }
}

/* Allocates count * size bytes; NULL when that is too much. */
static void *scratch(const running *r, int64_t count, int64_t size) {
    size_t bytes;
    if (!nrw_mul_size((size_t)count, (size_t)size, &bytes)) return NULL;
    return nrw_arena_alloc(r->call->scratch, bytes);
}

static nrw_status prepare(running *r, bool depthwise) {
    const nrw_conv *c = r->c;
    const nrw_kernels *kn = r->call->kernels;
    nrw_error *err = r->call->err;
    int64_t threads = nrw_pool_threads(r->call->pool), pixels = nrw_conv_pixels(c);
    if (depthwise) {
        int64_t strips = c->kernel[0] * row_groups(kn, c) * STRIP;
        r->taps = scratch(r, threads * packed_taps(kn, c), sizeof *r->taps);
        r->padded = scratch(r, threads, r->plane.size + NRW_ROW_SLACK);
        r->block_bytes = (size_t)(strips * strip_pitch(r));
        if (r->taps == NULL || r->padded == NULL) NRW_OOM(err);
    } else {
        r->block_bytes = nrw_i8_block_bytes(kn, depth_of(c), pixels);
        if (!r->plane.direct) {
            r->padded = scratch(r, c->in_channels + 1, r->plane.size + NRW_ROW_SLACK);
            if (r->padded == NULL) NRW_OOM(err);
        }
    }
    r->blocks = scratch(r, threads, (int64_t)r->block_bytes);
    if (r->blocks == NULL) NRW_OOM(err);
    if (r->epilogue->w_zero != NULL) {
        r->sums = scratch(r, threads * pixels, sizeof *r->sums);
        if (r->sums == NULL) NRW_OOM(err);
    }
    return NRW_OK;
}

nrw_status nrw_conv_i8(const nrw_conv_call *call, const nrw_conv *c, const uint8_t *x,
                       uint8_t x_fill, uint8_t flip, const void *packed, const nrw_i8_epilogue *e,
                       void *y) {
    running r = {.call = call,
                 .c = c,
                 .x_fill = x_fill,
                 .flip = flip,
                 .packed = packed,
                 .epilogue = e,
                 .out_size = e->out == NRW_OUT_I32 || e->out == NRW_OUT_F32 ? 4 : 1};
    bool depthwise = nrw_conv_depthwise(c);
    NRW_TRY(nrw_conv_plane(c, call->scratch, &r.plane, call->err));
    if (depthwise) r.plane.direct = false;
    if (!group_bytes(call->kernels, c, &r.group_bytes)) NRW_OOM(call->err);
    NRW_TRY(prepare(&r, depthwise));
    for (int64_t b = 0; b < c->batch; b++) {
        r.x = x + b * c->in_channels * nrw_conv_in_pixels(c);
        r.y = (char *)y + (size_t)(b * c->out_channels * nrw_conv_pixels(c)) * r.out_size;
        if (depthwise) {
            nrw_pool_run(call->pool, c->groups, depthwise_task, &r);
            continue;
        }
        if (!r.plane.direct) nrw_pool_run(call->pool, c->in_channels, pad_task, &r);
        if (c->groups == 1)
            run_group(&r, 0, call->pool, r.blocks, r.sums);
        else
            nrw_pool_run(call->pool, c->groups, group_task, &r);
    }
    return NRW_OK;
}
