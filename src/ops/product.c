#include "ops/product.h"

#include <math.h>

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

nrw_status nrw_product_pack_i8(const nrw_kernels *kn, nrw_pool *pool, int64_t k, int64_t n,
                               nrw_matrix b, nrw_arena *arena, nrw_product_i8 *out,
                               nrw_error *err) {
    size_t bytes;
    if (!nrw_i8_b_bytes(kn, k, n, &bytes)) NRW_OOM(err);
    void *packed = nrw_arena_alloc(arena, bytes + 64);
    int32_t *sums = nrw_arena_calloc(arena, (size_t)n + 1, sizeof *sums);
    if (packed == NULL || sums == NULL) NRW_OOM(err);
    nrw_i8_pack_b(kn, pool, k, n, b, (nrw_byte_rule){0, true}, packed, sums);
    *out = (nrw_product_i8){packed, sums};
    return NRW_OK;
}

nrw_status nrw_run_product_i8(nrw_eval *e, const nrw_kernels *kn, int64_t m, int64_t k, int64_t n,
                              nrw_matrix a, nrw_dtype x, const void *b,
                              const nrw_i8_epilogue *epilogue, void *y) {
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
                     .b = b,
                     .c = y,
                     .ldc = n,
                     .epilogue = &ep};
    nrw_i8_gemm(&g);
    return NRW_OK;
}
