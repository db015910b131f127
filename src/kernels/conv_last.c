#include "kernels/conv_last.h"

#include <string.h>

enum { LANES = 16, ROWS = 4 };

bool nrw_conv_last_fits(const nrw_kernels *kn, const nrw_conv *c) {
    if (kn->rows_i8 == NULL || c->kernel[0] != 1 || c->in[0] != 1 || c->out[0] != 1) return false;
    return c->groups == 1 || (c->groups == c->in_channels && c->out_channels == c->in_channels);
}

/* Taps of a line of the filter that lie side by side are one segment. */
static bool lines_are_segments(const nrw_conv *c) {
    return c->dilation[2] == 1 || c->kernel[2] == 1;
}

static nrw_rows_shape shape_of(const nrw_conv *c) {
    const int64_t kh = c->kernel[1], kw = c->kernel[2];
    return lines_are_segments(c)
               ? nrw_rows_shape_of((int)kh, kw * c->in_channels, c->out_channels)
               : nrw_rows_shape_of((int)(kh * kw), c->in_channels, c->out_channels);
}

static nrw_status pack_depthwise(const nrw_conv *c, const int8_t *w, nrw_arena *arena, int8_t **out,
                                 int32_t *sums, nrw_error *err) {
    const int64_t kh = c->kernel[1], kw = c->kernel[2], groups = nrw_ceil_div(kh, ROWS);
    const int64_t blocks = nrw_ceil_div(c->out_channels, LANES);
    size_t bytes;
    if (!nrw_mul_size((size_t)(groups * kw * LANES * ROWS), (size_t)blocks, &bytes)) NRW_OOM(err);
    int8_t *to = nrw_arena_calloc(arena, bytes, 1);
    if (to == NULL) NRW_OOM(err);
    for (int64_t ch = 0; ch < c->out_channels; ch++) {
        int8_t *block = to + ch / LANES * groups * kw * LANES * ROWS + ch % LANES * ROWS;
        sums[ch] = 0;
        for (int64_t i = 0; i < kh; i++) {
            for (int64_t j = 0; j < kw; j++) {
                const int8_t v = w[(ch * kh + i) * kw + j];
                block[(i / ROWS * kw + j) * LANES * ROWS + i % ROWS] = v;
                sums[ch] += v;
            }
        }
    }
    *out = to;
    return NRW_OK;
}

/* Weights come as [out][in][kh][kw]; rows want [kh][kw][in]. */
static nrw_status pack_dense(const nrw_conv *c, const int8_t *w, nrw_arena *arena,
                             nrw_conv_last *out, int32_t *sums, nrw_error *err) {
    const int64_t taps = c->kernel[1] * c->kernel[2], in = c->in_channels, all = taps * in;
    size_t bytes;
    if (!nrw_rows_weight_bytes(&out->shape, &bytes)) NRW_OOM(err);
    int8_t *packed = nrw_arena_alloc(arena, bytes + 64);
    nrw_arena scratch;
    nrw_arena_init(&scratch, arena->allocator);
    int8_t *turned = nrw_arena_alloc(&scratch, (size_t)(all * c->out_channels) + 1);
    if (packed == NULL || turned == NULL) {
        nrw_arena_free(&scratch);
        NRW_OOM(err);
    }
    for (int64_t o = 0; o < c->out_channels; o++) {
        for (int64_t i = 0; i < in; i++) {
            const int8_t *from = w + (o * in + i) * taps;
            for (int64_t t = 0; t < taps; t++) turned[o * all + t * in + i] = from[t];
        }
    }
    nrw_rows_pack(&out->shape, (nrw_rows_from){turned, out->shape.k, 1, all}, packed, sums);
    nrw_arena_free(&scratch);
    out->packed = packed;
    return NRW_OK;
}

nrw_status nrw_conv_last_pack(const nrw_conv *c, const int8_t *w, nrw_arena *arena,
                              nrw_conv_last *out, nrw_error *err) {
    int32_t *sums = nrw_arena_calloc(arena, (size_t)c->out_channels + 1, sizeof *sums);
    if (sums == NULL) NRW_OOM(err);
    *out = (nrw_conv_last){.shape = shape_of(c), .sums = sums, .depthwise = c->groups > 1};
    if (!out->depthwise) return pack_dense(c, w, arena, out, sums, err);
    int8_t *packed = NULL;
    NRW_TRY(pack_depthwise(c, w, arena, &packed, sums, err));
    out->packed = packed;
    return NRW_OK;
}

nrw_status nrw_conv_last_epilogue(const nrw_conv_last *p, const nrw_i8_epilogue *e,
                                  int64_t channels, nrw_arena *arena, nrw_rows_epilogue *out,
                                  nrw_error *err) {
    if (!p->depthwise) return nrw_rows_epilogue_make(e, channels, arena, out, err);
    const size_t filled = (size_t)(nrw_ceil_div(channels, LANES) * LANES);
    int32_t *add = nrw_arena_calloc(arena, filled, sizeof *add);
    float *mul = nrw_arena_calloc(arena, filled, sizeof *mul);
    if (add == NULL || mul == NULL) NRW_OOM(err);
    memcpy(add, e->add, (size_t)channels * sizeof *add);
    memcpy(mul, e->mul, (size_t)channels * sizeof *mul);
    *out = (nrw_rows_epilogue){.out = e->out, .add = add, .mul = mul, .zero = e->zero};
    return NRW_OK;
}

typedef struct running {
    const nrw_conv_call *call;
    const nrw_conv *c;
    const nrw_conv_last *p;
    const nrw_rows_epilogue *e;
    const uint8_t *x, *image; /* of one picture; the image has its padding around it */
    uint8_t *padded;
    uint8_t fill;
    uint8_t *y;
    int64_t height, width; /* of the padded image */
    const int64_t *offset;
} running;

/* Lines go to threads in a few pieces: one of them may take less time than handing it over. */
typedef void (*line_fn)(const running *r, int64_t line);
typedef struct lines {
    const running *r;
    line_fn fn;
    int64_t n, part;
} lines;

static void run_part(void *arg, int64_t i, int worker) {
    const lines *l = arg;
    const int64_t end = (i + 1) * l->part < l->n ? (i + 1) * l->part : l->n;
    for (int64_t k = i * l->part; k < end; k++) l->fn(l->r, k);
}

/* work: about how many bytes a line reads, or the like. */
static void each_line(const running *r, int64_t n, int64_t work, line_fn fn) {
    enum { WORTH_A_THREAD = 16384, PIECES = 3 };
    const int64_t threads = nrw_pool_threads(r->call->pool), pieces = PIECES * threads;
    const int64_t least = nrw_ceil_div(WORTH_A_THREAD, work > 0 ? work : 1);
    lines l = {r, fn, n, nrw_ceil_div(n, pieces)};
    if (threads == 1) l.part = n;
    if (l.part < least) l.part = least;
    if (n > 0) nrw_pool_run(r->call->pool, nrw_ceil_div(n, l.part), run_part, &l);
}

/* Line i of the padded image. */
static void pad_line(const running *r, int64_t i) {
    const nrw_conv *c = r->c;
    const int64_t bytes = r->width * c->in_channels, from = i - c->pad[1];
    uint8_t *to = r->padded + i * bytes;
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

static nrw_status find_offsets(running *r, nrw_arena *arena, nrw_error *err) {
    const nrw_rows_shape *s = &r->p->shape;
    const nrw_conv *c = r->c;
    const bool whole = lines_are_segments(c);
    int64_t *offset = nrw_arena_calloc(arena, (size_t)(s->segments * s->steps) + 1, sizeof *offset);
    if (offset == NULL) NRW_OOM(err);
    r->offset = offset;
    for (int g = 0; g < s->segments; g++) {
        const int64_t i = whole ? g : g / c->kernel[2], j = whole ? 0 : g % c->kernel[2];
        const int64_t pixel = i * c->dilation[1] * r->width + j * c->dilation[2];
        for (int k = 0; k < s->steps; k++)
            *offset++ = pixel * c->in_channels + (int64_t)k * s->depth;
    }
    return NRW_OK;
}

static nrw_rows_call call_for(const running *r, nrw_pool *pool) {
    return (nrw_rows_call){.kernels = r->call->kernels,
                           .pool = pool,
                           .a = r->image,
                           .a_stride = r->c->stride[2] * r->c->in_channels,
                           .offset = r->offset,
                           .shape = &r->p->shape,
                           .packed = r->p->packed,
                           .epilogue = r->e,
                           .c = r->y,
                           .ldc = r->c->out_channels};
}

/* Line i of the output, for strides that break the run of pixels from one line to the next. */
static void dense_line(const running *r, int64_t i) {
    const nrw_conv *c = r->c;
    nrw_rows_call call = call_for(r, NULL);
    call.a += i * c->stride[1] * r->width * c->in_channels;
    call.rows = c->out[2];
    call.c = r->y + i * c->out[2] * c->out_channels;
    nrw_rows_run(&call);
}

static void dense(const running *r) {
    const nrw_conv *c = r->c;
    if (c->stride[1] != 1 || c->stride[2] != 1) {
        each_line(r, c->out[1], c->out[2] * r->p->shape.segments * r->p->shape.k * 8, dense_line);
        return;
    }
    nrw_rows_call call = call_for(r, r->call->pool);
    call.rows = (c->out[1] - 1) * r->width + c->out[2];
    call.pitch = r->width;
    call.width = c->out[2];
    nrw_rows_run(&call);
}

enum { MAX_LINES = 64 };

static void depthwise_line(const running *r, int64_t i) {
    const nrw_conv *c = r->c;
    const uint8_t *rows[MAX_LINES];
    const int64_t line = r->width * c->in_channels;
    for (int64_t k = 0; k < c->kernel[1]; k++) {
        rows[k] = r->image + (i * c->stride[1] + k * c->dilation[1]) * line;
    }
    const nrw_depthwise_i8 d = {.rows = rows,
                                .kh = (int)c->kernel[1],
                                .kw = (int)c->kernel[2],
                                .step = c->dilation[2] * c->in_channels,
                                .stride = c->stride[2] * c->in_channels,
                                .w = r->p->packed,
                                .channels = c->in_channels,
                                .width = c->out[2],
                                .y = r->y + i * c->out[2] * c->in_channels,
                                .add = r->e->add,
                                .mul = r->e->mul,
                                .zero = r->e->zero};
    r->call->kernels->depthwise_i8(&d);
}

/* The last line that is read may lie behind what padding at the end asks for, never by more than
 * the filter. */
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
    r->width = size[1];
    const bool as_it_is = c->pad[1] == 0 && c->pad[2] == 0 && size[0] <= c->in[1];
    if (as_it_is && size[1] <= c->in[2]) {
        r->width = c->in[2];
        return NRW_OK;
    }
    int64_t bytes;
    if (!nrw_mul_i64(size[0], size[1], &bytes) || !nrw_mul_i64(bytes, c->in_channels, &bytes) ||
        bytes > INT64_MAX / 4)
        NRW_FAIL(err, NRW_ERR_SHAPE, "the padded image is too large");
    r->padded = nrw_arena_alloc(r->call->scratch, (size_t)bytes + NRW_STEP_BYTES);
    if (r->padded == NULL) NRW_OOM(err);
    return NRW_OK;
}

nrw_status nrw_conv_last_run(const nrw_conv_call *call, const nrw_conv *c, const nrw_conv_last *p,
                             const nrw_rows_epilogue *e, const uint8_t *x, uint8_t x_fill,
                             uint8_t *y) {
    running r = {.call = call, .c = c, .p = p, .e = e, .fill = x_fill};
    NRW_TRY(make_room(&r, call->err));
    if (!p->depthwise) NRW_TRY(find_offsets(&r, call->scratch, call->err));
    if (p->depthwise && c->kernel[1] > MAX_LINES)
        NRW_FAIL(call->err, NRW_ERR_UNSUPPORTED, "a filter of %lld lines", (long long)c->kernel[1]);
    for (int64_t b = 0; b < c->batch; b++) {
        r.x = x + b * c->in[1] * c->in[2] * c->in_channels;
        r.y = y + b * c->out[1] * c->out[2] * c->out_channels;
        r.image = r.padded != NULL ? r.padded : r.x;
        if (r.padded != NULL) each_line(&r, r.height, r.width * c->in_channels / 4, pad_line);
        if (p->depthwise)
            each_line(&r, c->out[1], c->out[2] * c->in_channels * c->kernel[1], depthwise_line);
        else
            dense(&r);
    }
    return NRW_OK;
}
