#include "kernels/conv_last.h"

#include <string.h>

#include "kernels/depthwise_i8.h"

bool nrw_conv_last_fits(const nrw_kernels *kn, const nrw_conv *c) {
    if (kn->rows_i8 == NULL || c->kernel[0] != 1 || c->in[0] != 1 || c->out[0] != 1) return false;
    return c->groups == 1 || (c->groups == c->in_channels && c->out_channels == c->in_channels);
}

/* Taps of a line of the filter that lie side by side are one segment. */
static bool lines_are_segments(const nrw_conv *c) {
    return c->dilation[2] == 1 || c->kernel[2] == 1;
}

static nrw_rows_shape shape_of(const nrw_kernels *kn, const nrw_conv *c) {
    const int64_t kh = c->kernel[1], kw = c->kernel[2];
    return lines_are_segments(c)
               ? nrw_rows_shape_of(kn, (int)kh, kw * c->in_channels, c->out_channels)
               : nrw_rows_shape_of(kn, (int)(kh * kw), c->in_channels, c->out_channels);
}

/* Weights come as [out][in][taps]; rows want [out][taps][in]. */
static void turn(int8_t *restrict to, const int8_t *restrict w, int64_t out, int64_t in,
                 int64_t taps) {
    for (int64_t o = 0; o < out; o++, to += taps * in, w += taps * in) {
        for (int64_t t = 0; t < taps; t++) {
            for (int64_t i = 0; i < in; i++) to[t * in + i] = w[i * taps + t];
        }
    }
}

static nrw_status pack_dense(const nrw_conv *c, const int8_t *w, nrw_arena *arena,
                             nrw_conv_last *out, nrw_error *err) {
    const int64_t taps = c->kernel[1] * c->kernel[2], all = taps * c->in_channels;
    size_t bytes;
    if (!nrw_rows_weight_bytes(&out->shape, &bytes)) NRW_OOM(err);
    int8_t *packed = nrw_arena_alloc(arena, bytes + 64);
    if (packed == NULL) NRW_OOM(err);
    nrw_arena scratch;
    nrw_arena_init(&scratch, arena->allocator);
    int8_t *turned = NULL;
    if (taps > 1) {
        turned = nrw_arena_alloc(&scratch, (size_t)(all * c->out_channels) + 1);
        if (turned == NULL) {
            nrw_arena_free(&scratch);
            NRW_OOM(err);
        }
        turn(turned, w, c->out_channels, c->in_channels, taps);
    }
    const nrw_rows_from from = {turned != NULL ? turned : w, out->shape.k, 1, all};
    nrw_rows_pack(&out->shape, from, packed, out->sums);
    nrw_arena_free(&scratch);
    out->packed = packed;
    return NRW_OK;
}

nrw_status nrw_conv_last_pack(const nrw_kernels *kn, const nrw_conv *c, const int8_t *w,
                              nrw_arena *arena, nrw_conv_last *out, nrw_error *err) {
    *out = (nrw_conv_last){.shape = shape_of(kn, c), .depthwise = c->groups > 1};
    NRW_TRY(nrw_weight_sums_make(c->out_channels, arena, &out->sums, err));
    if (!out->depthwise) return pack_dense(c, w, arena, out, err);
    int8_t *packed = NULL;
    NRW_TRY(nrw_depthwise_pack(c, w, arena, &packed, out->sums, err));
    out->packed = packed;
    return NRW_OK;
}

nrw_status nrw_conv_last_epilogue(const nrw_conv_last *p, const nrw_i8_epilogue *e,
                                  int64_t channels, nrw_arena *arena, nrw_rows_epilogue *out,
                                  nrw_error *err) {
    return p->depthwise ? nrw_depthwise_epilogue(e, p->sums, channels, arena, out, err)
                        : nrw_rows_epilogue_make(e, p->sums, channels, arena, out, err);
}

typedef struct running {
    const nrw_conv_call *call;
    const nrw_conv *c;
    const nrw_conv_last *p;
    const nrw_rows_epilogue *e;
    const uint8_t *x, *image; /* of one picture; the image has its padding around it */
    uint8_t *padded;          /* dense: the whole image; depthwise: a line of padding */
    uint8_t fill;
    const uint8_t *residual;
    uint8_t *y;
    int64_t height, width; /* of the padded image */
    const int64_t *offset;
} running;

/* Lines go to threads in a few pieces: one of them may take less time than handing it over. */
typedef void (*lines_fn)(const running *r, int64_t begin, int64_t end, int worker);
typedef struct pieces {
    const running *r;
    lines_fn fn;
    int64_t n, part;
} pieces;

static void run_piece(void *arg, int64_t i, int worker) {
    const pieces *l = arg;
    const int64_t end = (i + 1) * l->part < l->n ? (i + 1) * l->part : l->n;
    l->fn(l->r, i * l->part, end, worker);
}

/* work: about how many bytes a line reads, or the like. */
static void each_line(const running *r, int64_t n, int64_t work, lines_fn fn) {
    enum { WORTH_A_THREAD = 16384, PIECES = 3 };
    const int64_t threads = nrw_pool_threads(r->call->pool), most = PIECES * threads;
    const int64_t least = nrw_ceil_div(WORTH_A_THREAD, work > 0 ? work : 1);
    pieces l = {r, fn, n, nrw_ceil_div(n, most)};
    if (threads == 1) l.part = n;
    if (l.part < least) l.part = least;
    if (n > 0) nrw_pool_run(r->call->pool, nrw_ceil_div(n, l.part), run_piece, &l);
}

/* Line i of the padded image. */
static void pad_line(const running *r, int64_t i, uint8_t *to) {
    const nrw_conv *c = r->c;
    const int64_t bytes = r->width * c->in_channels, from = i - c->pad[1];
    if (from < 0 || from >= c->in[1]) {
        memset(to, r->fill, (size_t)bytes);
        return;
    }
    const int64_t left = c->pad[2] * c->in_channels, have = c->in[2] * c->in_channels;
    const int64_t kept = left + have <= bytes ? have : bytes - left;
    memset(to, r->fill, (size_t)left);
    memcpy(to + left, r->x + from * have, (size_t)kept);
    memset(to + left + kept, r->fill, (size_t)(bytes - left - kept));
}

/* Where line i of the padded image lies among those of a dense convolution: lines that one row of
 * the filter reads follow one another, and then come those that the next row reads. */
static int64_t line_place(const running *r, int64_t i) {
    const int64_t stride = r->c->stride[1];
    return i % stride * nrw_ceil_div(r->height, stride) + i / stride;
}

static void pad_lines(const running *r, int64_t begin, int64_t end, int worker) {
    const nrw_conv *c = r->c;
    for (int64_t i = begin; i < end; i++) {
        if (c->kernel[1] == 1 && i % c->stride[1] != 0) continue; /* nothing reads it */
        pad_line(r, i, r->padded + line_place(r, i) * r->width * c->in_channels);
    }
}

static nrw_status find_offsets(running *r, nrw_arena *arena, nrw_error *err) {
    const nrw_rows_shape *s = &r->p->shape;
    const nrw_conv *c = r->c;
    const bool whole = lines_are_segments(c);
    int64_t *offset = nrw_arena_calloc(arena, (size_t)(s->segments * s->steps) + 1, sizeof *offset);
    if (offset == NULL) NRW_OOM(err);
    r->offset = offset;
    for (int g = 0; g < s->segments; g++) {
        const int64_t i = whole ? g : g / c->kernel[2], j = whole ? 0 : g % c->kernel[2];
        const int64_t line = line_place(r, i * c->dilation[1]);
        const int64_t pixel = line * r->width + j * c->dilation[2];
        for (int k = 0; k < s->steps; k++)
            *offset++ = pixel * c->in_channels + (int64_t)k * s->depth;
    }
    return NRW_OK;
}

static void dense(const running *r) {
    const nrw_conv *c = r->c;
    const int64_t pitch = r->width / c->stride[2];
    const nrw_rows_call call = {.kernels = r->call->kernels,
                                .pool = r->call->pool,
                                .a = r->image,
                                .a_stride = c->stride[2] * c->in_channels,
                                .offset = r->offset,
                                .rows = (c->out[1] - 1) * pitch + c->out[2],
                                .shape = &r->p->shape,
                                .packed = r->p->packed,
                                .epilogue = r->e,
                                .c = r->y,
                                .ldc = c->out_channels,
                                .residual = r->residual,
                                .pitch = pitch,
                                .width = c->out[2]};
    nrw_rows_run(&call);
}

/* As many lines of output as share their rows. */
static void depthwise_few(const running *r, int64_t first) {
    const nrw_conv *c = r->c;
    const uint8_t *rows[NRW_DEPTHWISE_MAX_ROWS + 2 * NRW_WOVEN_ROWS];
    const int packed = nrw_depthwise_lines(c), groups = nrw_depthwise_groups(c);
    const int here = c->out[1] - first < packed ? (int)(c->out[1] - first) : packed;
    const int64_t last = c->kernel[1] + here - 2;
    for (int64_t k = 0; k < groups * NRW_WOVEN_ROWS; k++) {
        const int64_t tap = (k < last ? k : last) * c->dilation[1];
        const int64_t line = first * c->stride[1] + tap - c->pad[1];
        const bool exists = line >= 0 && line < c->in[1];
        rows[k] = exists ? r->x + line * c->in[2] * c->in_channels : r->padded;
    }
    const int64_t bytes = c->out[2] * c->in_channels;
    const nrw_depthwise_i8 d = {.rows = rows,
                                .groups = groups,
                                .kw = (int)c->kernel[2],
                                .lines = here,
                                .packed_lines = packed,
                                .step = c->dilation[2],
                                .stride = c->stride[2],
                                .pad = c->pad[2],
                                .in_width = c->in[2],
                                .fill = r->fill,
                                .w = r->p->packed,
                                .channels = c->in_channels,
                                .width = c->out[2],
                                .y = {r->y + first * bytes, r->y + (first + 1) * bytes},
                                .add = r->e->add,
                                .sum = r->e->sum,
                                .mul = r->e->mul,
                                .zero = r->e->zero,
                                .in_range = r->e->in_range,
                                .rounds_twice = r->e->rounds_twice};
    r->call->kernels->depthwise_i8(&d);
    if (r->e->table != NULL) r->call->kernels->table_u8(r->e->table, d.y[0], d.y[0], here * bytes);
}

static void depthwise_lines(const running *r, int64_t begin, int64_t end, int worker) {
    for (int64_t i = begin; i < end; i++) depthwise_few(r, i * nrw_depthwise_lines(r->c));
}

static nrw_status depthwise(running *r) {
    const nrw_conv *c = r->c;
    const int lines = nrw_depthwise_lines(c);
    if (c->kernel[1] > NRW_DEPTHWISE_MAX_ROWS)
        NRW_FAIL(r->call->err, NRW_ERR_UNSUPPORTED, "a filter of %lld lines",
                 (long long)c->kernel[1]);
    each_line(r, nrw_ceil_div(c->out[1], lines), c->out[2] * c->in_channels * c->kernel[1] * lines,
              depthwise_lines);
    return NRW_OK;
}

/* A line outside of the image. */
static nrw_status make_padding(running *r) {
    const size_t bytes = (size_t)(r->c->in[2] * r->c->in_channels) + NRW_STEP_BYTES;
    r->padded = nrw_arena_alloc(r->call->scratch, bytes);
    if (r->padded == NULL) NRW_OOM(r->call->err);
    memset(r->padded, r->fill, bytes);
    return NRW_OK;
}

/* Bytes of this many padded lines, or -1. */
static int64_t line_bytes(const running *r, int64_t lines) {
    int64_t bytes;
    const bool fits = nrw_mul_i64(lines, r->width, &bytes) &&
                      nrw_mul_i64(bytes, r->c->in_channels, &bytes) && bytes <= INT64_MAX / 4;
    return fits ? bytes : -1;
}

/* Dense. The last line that is read may lie behind what padding at the end asks for, never by more
 * than the filter. */
static nrw_status make_room(running *r, nrw_error *err) {
    const nrw_conv *c = r->c;
    int64_t size[2];
    for (int i = 1; i < 3; i++) {
        if (!nrw_mul_i64(c->out[i] - 1, c->stride[i], &size[i - 1]) ||
            __builtin_add_overflow(size[i - 1], (c->kernel[i] - 1) * c->dilation[i] + 1,
                                   &size[i - 1]))
            NRW_FAIL(err, NRW_ERR_SHAPE, "the convolution's window is too large");
    }
    r->height = size[0];
    r->width = nrw_ceil_div(size[1], c->stride[2]) * c->stride[2];
    const bool as_it_is = c->pad[1] == 0 && c->pad[2] == 0 && size[0] <= c->in[1];
    const bool in_run = c->stride[1] == 1 && c->in[2] % c->stride[2] == 0;
    if (as_it_is && in_run && size[1] <= c->in[2]) {
        r->width = c->in[2];
        return NRW_OK;
    }
    const int64_t bytes = line_bytes(r, nrw_ceil_div(r->height, c->stride[1]) * c->stride[1]);
    if (bytes < 0) NRW_FAIL(err, NRW_ERR_SHAPE, "the padded image is too large");
    r->padded = nrw_arena_alloc(r->call->scratch, (size_t)bytes + NRW_STEP_BYTES);
    if (r->padded == NULL) NRW_OOM(err);
    return NRW_OK;
}

nrw_status nrw_conv_last_run(const nrw_conv_call *call, const nrw_conv *c, const nrw_conv_last *p,
                             const nrw_rows_epilogue *e, const uint8_t *x, uint8_t x_fill,
                             const uint8_t *residual, uint8_t *y) {
    running r = {.call = call, .c = c, .p = p, .e = e, .fill = x_fill};
    if (p->depthwise) {
        NRW_TRY(make_padding(&r));
    } else {
        NRW_TRY(make_room(&r, call->err));
        NRW_TRY(find_offsets(&r, call->scratch, call->err));
    }
    for (int64_t b = 0; b < c->batch; b++) {
        r.x = x + b * c->in[1] * c->in[2] * c->in_channels;
        const int64_t done = b * c->out[1] * c->out[2] * c->out_channels;
        r.y = y + done;
        r.residual = residual != NULL ? residual + done : NULL;
        r.image = r.padded != NULL ? r.padded : r.x;
        if (p->depthwise) {
            NRW_TRY(depthwise(&r));
            continue;
        }
        if (r.padded != NULL) each_line(&r, r.height, r.width * c->in_channels / 4, pad_lines);
        dense(&r);
    }
    return NRW_OK;
}
