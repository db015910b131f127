#include "ops/product.h"

#include <math.h>
#include <string.h>

#include "ops/floats.h"

nrw_status nrw_product_pack_f32(const nrw_kernels *kn, nrw_pool *pool, int64_t k, int64_t n,
                                nrw_matrix b, nrw_arena *arena, const float **out, nrw_error *err) {
    size_t bytes;
    if (!nrw_f32_b_bytes(kn, k, n, &bytes)) NRW_OOM(err);
    float *packed = nrw_arena_alloc(arena, bytes + 64);
    if (packed == NULL) NRW_OOM(err);
    nrw_f32_pack_b(kn, pool, k, n, b, packed);
    *out = packed;
    return NRW_OK;
}

nrw_status nrw_product_f32(nrw_eval *e, const nrw_kernels *kn, int64_t m, int64_t k, int64_t n,
                           nrw_matrix a, const float *b, const float *col_bias, float *y) {
    size_t bytes;
    if (!nrw_f32_a_bytes(kn, m, k, &bytes)) NRW_OOM(e->err);
    float *packed = nrw_arena_alloc(e->scratch, bytes + 64);
    if (packed == NULL) NRW_OOM(e->err);
    nrw_f32_pack_a(kn, e->pool, m, k, a, packed);
    nrw_gemm_f32 g = {.kernels = kn,
                      .pool = e->pool,
                      .m = m,
                      .n = n,
                      .k = k,
                      .a = packed,
                      .b = b,
                      .c = y,
                      .ldc = n,
                      .col_bias = col_bias,
                      .lo = -INFINITY,
                      .hi = INFINITY};
    nrw_f32_gemm(&g);
    return NRW_OK;
}

/* In panels, where the tier multiplies rows as they lie. */
static nrw_status pack_panels(const nrw_kernels *kn, int64_t k, int64_t n, nrw_matrix b,
                              nrw_arena *arena, nrw_product_i8 *out, nrw_error *err) {
    size_t bytes;
    out->shape = nrw_rows_shape_of(kn, 1, k, n);
    if (!nrw_rows_weight_bytes(&out->shape, &bytes)) NRW_OOM(err);
    int8_t *panels = nrw_arena_alloc(arena, bytes + 64);
    int64_t *offset = nrw_arena_calloc(arena, (size_t)out->shape.steps, sizeof *offset);
    if (panels == NULL || offset == NULL) NRW_OOM(err);
    nrw_rows_pack(&out->shape, (nrw_rows_from){b.data, 0, b.row, b.col}, panels, out->sums);
    for (int i = 0; i < out->shape.steps; i++) offset[i] = (int64_t)i * out->shape.depth;
    out->panels = panels;
    out->offset = offset;
    return NRW_OK;
}

static nrw_status pack_tiles(const nrw_kernels *kn, nrw_pool *pool, int64_t k, int64_t n,
                             nrw_matrix b, nrw_arena *arena, nrw_product_i8 *out, nrw_error *err) {
    size_t bytes;
    if (!nrw_i8_b_bytes(kn, k, n, &bytes)) NRW_OOM(err);
    void *packed = nrw_arena_alloc(arena, bytes + 64);
    if (packed == NULL) NRW_OOM(err);
    nrw_i8_pack_b(kn, pool, k, n, b, (nrw_byte_rule){0, true}, packed, out->sums.sum);
    out->packed = packed;
    return NRW_OK;
}

nrw_status nrw_product_pack_i8(const nrw_kernels *kn, nrw_pool *pool, int64_t k, int64_t n,
                               nrw_matrix b, bool centered, nrw_arena *arena, nrw_product_i8 *out,
                               nrw_error *err) {
    *out = (nrw_product_i8){0};
    NRW_TRY(nrw_weight_sums_make(n, arena, &out->sums, err));
    if (kn->rows_i8 != NULL && centered) return pack_panels(kn, k, n, b, arena, out, err);
    return pack_tiles(kn, pool, k, n, b, arena, out, err);
}

/* Whether rows are worth a copy with gaps between them. */
static bool wants_gaps(const nrw_kernels *kn, int64_t m, int64_t n, int64_t distance) {
    enum { MANY_ROWS = 32, MANY_COLUMNS = 256 };
    return kn->rows_gap > 0 && distance > 0 && distance % 256 == 0 && m >= MANY_ROWS &&
           n >= MANY_COLUMNS;
}

typedef struct row_copy {
    nrw_matrix from;
    uint8_t *to;
    int64_t m, k, stride, part;
    uint8_t flip;
} row_copy;

static void copy_rows(void *arg, int64_t i, int worker) {
    const row_copy *c = arg;
    const int64_t end = (i + 1) * c->part < c->m ? (i + 1) * c->part : c->m;
    for (int64_t r = i * c->part; r < end; r++) {
        const uint8_t *from = (const uint8_t *)c->from.data + r * c->from.row;
        uint8_t *to = c->to + r * c->stride;
        if (c->flip == 0 && c->from.col == 1) {
            memcpy(to, from, (size_t)c->k);
            continue;
        }
        for (int64_t j = 0; j < c->k; j++) to[j] = from[j * c->from.col] ^ c->flip;
    }
}

/* Rows of unsigned bytes, as they lie or with their top bits flipped, with something to read behind
 * the last. */
static nrw_status unsigned_rows(nrw_eval *e, nrw_rows_call *call, nrw_matrix a, nrw_dtype x) {
    const int64_t m = call->rows, k = call->shape->k;
    const uint8_t flip = nrw_weighted_flip(x);
    const bool gaps = wants_gaps(call->kernels, m, call->shape->n, a.row);
    call->a = a.data;
    call->a_stride = a.row;
    if (flip == 0 && a.col == 1 && k % 4 == 0 && !gaps) return NRW_OK;
    call->a_stride = nrw_ceil_div(k, 4) * 4 + (gaps ? call->kernels->rows_gap : 0);
    uint8_t *copy = nrw_arena_alloc(e->scratch, (size_t)(m * call->a_stride) + NRW_STEP_BYTES);
    if (copy == NULL) NRW_OOM(e->err);
    row_copy c = {.from = a, .to = copy, .m = m, .k = k, .stride = call->a_stride, .flip = flip};
    c.part = nrw_ceil_div(m > 0 ? m : 1, nrw_pool_threads(e->pool));
    nrw_pool_run(e->pool, nrw_ceil_div(m, c.part), copy_rows, &c);
    call->a = copy;
    return NRW_OK;
}

static nrw_status run_rows(nrw_eval *e, const nrw_kernels *kn, int64_t m, int64_t k, int64_t n,
                           nrw_matrix a, nrw_dtype x, const nrw_product_i8 *b,
                           const nrw_i8_epilogue *epilogue, void *y) {
    nrw_rows_epilogue finish;
    nrw_i8_epilogue ep = *epilogue;
    const bool is_signed = ep.out == NRW_OUT_I8; /* the same bits with the top one flipped */
    if (is_signed) {
        ep.out = NRW_OUT_U8;
        ep.zero += 128;
        ep.lo += 128;
        ep.hi += 128;
    }
    nrw_rows_call call = {.kernels = kn,
                          .pool = e->pool,
                          .offset = b->offset,
                          .rows = m,
                          .shape = &b->shape,
                          .packed = b->panels,
                          .epilogue = &finish,
                          .c = y,
                          .ldc = n};
    NRW_TRY(nrw_rows_epilogue_make(&ep, b->sums, n, e->scratch, &finish, e->err));
    NRW_TRY(unsigned_rows(e, &call, a, x));
    nrw_rows_run(&call);
    uint8_t *bytes = y;
    for (int64_t i = 0; is_signed && i < m * n; i++) bytes[i] ^= 0x80;
    return NRW_OK;
}

/* In two sweeps, where the tier's tiles know nothing of segments. */
static nrw_status run_segments(nrw_eval *e, const nrw_kernels *kn, int64_t m, int64_t k, int64_t n,
                               nrw_matrix a, nrw_dtype x, const nrw_product_i8 *b,
                               const nrw_i8_epilogue *epilogue, void *y) {
    nrw_i8_epilogue plain = *epilogue;
    float *wide = nrw_eval_scratch(e, m * n, sizeof *wide);
    if (wide == NULL) NRW_OOM(e->err);
    plain.segments = NULL;
    NRW_TRY(nrw_run_product_i8(e, kn, m, k, n, a, x, b, &plain, wide));
    kn->segments_u8(epilogue->segments, wide, y, m * n);
    return NRW_OK;
}

nrw_status nrw_run_product_i8(nrw_eval *e, const nrw_kernels *kn, int64_t m, int64_t k, int64_t n,
                              nrw_matrix a, nrw_dtype x, const nrw_product_i8 *b,
                              const nrw_i8_epilogue *epilogue, void *y) {
    if (b->panels != NULL) return run_rows(e, kn, m, k, n, a, x, b, epilogue, y);
    if (epilogue->segments != NULL) return run_segments(e, kn, m, k, n, a, x, b, epilogue, y);
    size_t bytes;
    if (!nrw_i8_a_bytes(kn, m, k, &bytes)) NRW_OOM(e->err);
    void *packed = nrw_arena_alloc(e->scratch, bytes + 64);
    int32_t *sums = NULL;
    if (epilogue->w_zero != NULL) {
        sums = nrw_arena_calloc(e->scratch, (size_t)m + 1, sizeof *sums);
        if (sums == NULL) NRW_OOM(e->err);
    }
    if (packed == NULL) NRW_OOM(e->err);
    nrw_i8_pack_a(kn, e->pool, m, k, a, (nrw_byte_rule){nrw_weighted_flip(x), false}, packed, sums);
    nrw_i8_epilogue ep = *epilogue;
    ep.x_sum = sums;
    ep.channel_rows = false;
    nrw_gemm_i8 g = {.kernels = kn,
                     .pool = e->pool,
                     .m = m,
                     .n = n,
                     .k = k,
                     .a = packed,
                     .b = b->packed,
                     .c = y,
                     .ldc = n,
                     .epilogue = &ep};
    nrw_i8_gemm(&g);
    return NRW_OK;
}
