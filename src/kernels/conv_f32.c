/* Float convolutions. */
#include <string.h>

#include "kernels/conv.h"

enum { MAX_BLOCK = NRW_MAX_RUNS };

bool nrw_conv_f32_weight_bytes(const nrw_kernels *kn, const nrw_conv *c, size_t *bytes) {
    return nrw_f32_a_bytes(kn, c->out_channels, c->in_channels / c->groups * nrw_conv_taps(c),
                           bytes);
}

void nrw_conv_f32_pack(const nrw_kernels *kn, const nrw_conv *c, const float *w, float *dst) {
    int64_t k = c->in_channels / c->groups * nrw_conv_taps(c), m = c->out_channels / c->groups;
    if (nrw_conv_depthwise(c)) {
        memcpy(dst, w, (size_t)(c->out_channels * k) * sizeof *w);
        return;
    }
    for (int64_t g = 0; g < c->groups; g++) {
        nrw_f32_pack_a(kn, NULL, m, k, (nrw_matrix){w + g * m * k, k, 1}, dst + g * m * k);
    }
}

typedef struct running {
    const nrw_conv_call *call;
    const nrw_conv *c;
    nrw_plane plane;
    const float *x; /* one image */
    const float *packed, *bias;
    float lo, hi;
    float *y;
    float *padded; /* [in_channels][plane.size] */
    char *blocks;  /* for each thread */
    size_t block_bytes;
    const float **taps; /* depthwise: [threads][taps] */
} running;

/* The planes that one group reads. */
typedef struct group_fill {
    const running *r;
    const float *planes;
    int64_t plane_size, channels;
} group_fill;

/* Puts one row of nc floats into panels that lie `step` floats apart. */
static void spread(const float *row, int64_t nc, int cols, float *dst, int64_t step) {
    for (int64_t j = 0; j < nc; j += cols, dst += step) {
        int have = nc - j < cols ? (int)(nc - j) : cols;
        if (have == cols) {
            for (int v = 0; v < cols; v += 16) memcpy(dst + v, row + j + v, 16 * sizeof *dst);
        } else {
            memcpy(dst, row + j, (size_t)have * sizeof *dst);
            memset(dst + have, 0, (size_t)(cols - have) * sizeof *dst);
        }
    }
}

static void fill(void *arg, int64_t k0, int64_t kc, int64_t n0, int64_t nc, void *panels,
                 int worker) {
    const group_fill *f = arg;
    const nrw_conv *c = f->r->c;
    const nrw_plane *p = &f->r->plane;
    int cols = f->r->call->kernels->f32_cols;
    nrw_run runs[NRW_MAX_RUNS];
    float row[MAX_BLOCK + NRW_ROW_SLACK];
    int n_runs = p->direct ? 0 : nrw_conv_runs(c, p, n0, nc, runs);
    int64_t taps = nrw_conv_taps(c), channel = k0 / taps, tap = k0 % taps;
    float *dst = panels;
    for (int64_t k = 0; k < kc; k++, dst += cols) {
        const float *plane = f->planes + channel * f->plane_size;
        const float *from = row;
        if (p->direct)
            from = plane + n0;
        else
            nrw_conv_gather(runs, n_runs, 4, plane + p->tap[tap], row);
        spread(from, nc, cols, dst, kc * cols);
        if (++tap == taps) {
            tap = 0;
            channel++;
        }
    }
}

static void run_group(const running *r, int64_t g, nrw_pool *pool, char *blocks) {
    const nrw_conv *c = r->c;
    int64_t m = c->out_channels / c->groups, channels = c->in_channels / c->groups;
    int64_t k = channels * nrw_conv_taps(c), n = nrw_conv_pixels(c);
    group_fill f = {r, NULL, r->plane.size, channels};
    if (r->plane.direct) {
        f.plane_size = nrw_conv_in_pixels(c);
        f.planes = r->x + g * channels * f.plane_size;
    } else {
        f.planes = r->padded + g * channels * f.plane_size;
    }
    nrw_gemm_f32 product = {.kernels = r->call->kernels,
                            .pool = pool,
                            .m = m,
                            .n = n,
                            .k = k,
                            .a = r->packed + g * m * k,
                            .fill = fill,
                            .fill_arg = &f,
                            .blocks = blocks,
                            .c = r->y + g * m * n,
                            .ldc = n,
                            .row_bias = r->bias != NULL ? r->bias + g * m : NULL,
                            .lo = r->lo,
                            .hi = r->hi};
    nrw_f32_gemm(&product);
}

static void group_task(void *arg, int64_t g, int worker) {
    const running *r = arg;
    run_group(r, g, NULL, r->blocks + (size_t)worker * r->block_bytes);
}

static void pad_task(void *arg, int64_t channel, int worker) {
    const running *r = arg;
    nrw_conv_pad(r->c, &r->plane, 4, r->x + channel * nrw_conv_in_pixels(r->c),
                 r->padded + channel * r->plane.size, 0);
}

static void depthwise_task(void *arg, int64_t group, int worker) {
    const running *r = arg;
    const nrw_conv *c = r->c;
    const nrw_plane *p = &r->plane;
    int64_t taps = nrw_conv_taps(c), m = c->out_channels / c->groups;
    float *plane = r->padded + worker * (p->size + NRW_ROW_SLACK);
    const float **x = r->taps + worker * taps;
    nrw_conv_pad(c, p, 4, r->x + group * nrw_conv_in_pixels(c), plane, 0);
    for (int64_t channel = group * m; channel < (group + 1) * m; channel++) {
        nrw_f32_taps t = {.x = x,
                          .x_stride = c->stride[1] * p->pitch,
                          .w = r->packed + channel * taps,
                          .taps = (int)taps,
                          .y_stride = c->out[2],
                          .rows = c->out[1],
                          .cols = c->out[2],
                          .bias = r->bias != NULL ? r->bias[channel] : 0,
                          .lo = r->lo,
                          .hi = r->hi};
        for (int64_t od = 0; od < c->out[0]; od++) {
            const float *base = plane + od * c->stride[0] * p->height * p->pitch;
            for (int64_t k = 0; k < taps; k++) x[k] = base + p->tap[k];
            t.y = r->y + (channel * c->out[0] + od) * c->out[1] * c->out[2];
            r->call->kernels->f32_taps(&t);
        }
    }
}

/* Scratch for the padded image and for each thread. */
static nrw_status prepare(running *r, bool depthwise) {
    const nrw_conv *c = r->c;
    nrw_error *err = r->call->err;
    int64_t threads = nrw_pool_threads(r->call->pool), planes = c->in_channels,
            size = r->plane.size;
    if (depthwise) {
        planes = threads;
        size += NRW_ROW_SLACK;
        r->taps = nrw_arena_calloc(r->call->scratch, (size_t)(threads * nrw_conv_taps(c)),
                                   sizeof *r->taps);
        if (r->taps == NULL) NRW_OOM(err);
    } else {
        int64_t k = c->in_channels / c->groups * nrw_conv_taps(c);
        r->block_bytes = nrw_f32_block_bytes(r->call->kernels, k, nrw_conv_pixels(c));
        r->blocks = nrw_arena_alloc(r->call->scratch, r->block_bytes * (size_t)threads);
        if (r->blocks == NULL) NRW_OOM(err);
        if (r->plane.direct) return NRW_OK;
    }
    size_t bytes;
    if (!nrw_mul_size((size_t)planes, (size_t)size, &bytes) ||
        !nrw_add_size(bytes, NRW_ROW_SLACK, &bytes) ||
        !nrw_mul_size(bytes, sizeof(float), &bytes)) {
        NRW_OOM(err);
    }
    r->padded = nrw_arena_alloc(r->call->scratch, bytes);
    if (r->padded == NULL) NRW_OOM(err);
    return NRW_OK;
}

nrw_status nrw_conv_f32(const nrw_conv_call *call, const nrw_conv *c, const float *x,
                        const float *packed, const float *bias, float lo, float hi, float *y) {
    running r = {.call = call, .c = c, .packed = packed, .bias = bias, .lo = lo, .hi = hi};
    bool depthwise = nrw_conv_depthwise(c);
    NRW_TRY(nrw_conv_plane(c, call->scratch, &r.plane, call->err));
    NRW_TRY(prepare(&r, depthwise));
    for (int64_t b = 0; b < c->batch; b++) {
        r.x = x + b * c->in_channels * nrw_conv_in_pixels(c);
        r.y = y + b * c->out_channels * nrw_conv_pixels(c);
        if (depthwise) {
            nrw_pool_run(call->pool, c->groups, depthwise_task, &r);
            continue;
        }
        if (!r.plane.direct) nrw_pool_run(call->pool, c->in_channels, pad_task, &r);
        if (c->groups == 1)
            run_group(&r, 0, call->pool, r.blocks);
        else
            nrw_pool_run(call->pool, c->groups, group_task, &r);
    }
    return NRW_OK;
}
