/* Ranges to parameters. */
#include "unit.h"

#include <float.h>
#include <math.h>

#include "quant/params.h"

static void test_asymmetric(void **state) {
    (void)state;
    float s;
    int32_t z;
    nrw_quant_params(NRW_U8, false, 0, 6, &s, &z);
    assert_true(z == 0 && s == 6.0f / 255);
    nrw_quant_params(NRW_U8, false, -3, 0, &s, &z);
    assert_true(z == 255);
    nrw_quant_params(NRW_U8, false, 2, 6, &s, &z); /* widened to hold zero */
    assert_true(z == 0 && s == 6.0f / 255);
    nrw_quant_params(NRW_I8, false, 0, 6, &s, &z);
    assert_true(z == -128);
    nrw_quant_params(NRW_U16, false, -1, 1, &s, &z);
    assert_true(z == 32768 || z == 32767);
    /* Zero is exact and both ends are within a step, whatever the range. */
    for (int i = 1; i < 200; i++) {
        const double lo = -0.013 * i, hi = 0.031 * (200 - i);
        nrw_quant_params(NRW_U8, false, lo, hi, &s, &z);
        assert_in_range(z, 0, 255);
        assert_true(s * (0 - z) <= lo + s && s * (255 - z) >= hi - s);
    }
}

static void test_symmetric(void **state) {
    (void)state;
    float s;
    int32_t z;
    nrw_quant_params(NRW_I8, true, -3, 2, &s, &z);
    assert_true(z == 0 && s == 3.0f / 127);
    nrw_quant_params(NRW_I4, true, -7, 2, &s, &z);
    assert_true(z == 0 && s == 1);
    nrw_quant_params(NRW_U8, true, -1, 1, &s, &z);
    assert_true(z == 128);
}

static void test_degenerate(void **state) {
    (void)state;
    float s;
    int32_t z;
    nrw_quant_params(NRW_U8, false, 0, 0, &s, &z);
    assert_true(s == 1 && z == 0);
    nrw_quant_params(NRW_I8, true, 0, 0, &s, &z);
    assert_true(s == 1 && z == 0);
    nrw_quant_params(NRW_U8, false, 0, 1e-44, &s, &z);
    assert_true(s == NRW_SCALE_FLOOR && z == 0);
    nrw_quant_params(NRW_U8, false, -FLT_MAX, FLT_MAX, &s, &z);
    assert_true(isfinite(s) && s > 0 && z > 0 && z < 255);
    nrw_quant_params(NRW_U8, false, -INFINITY, INFINITY, &s, &z);
    assert_true(isfinite(s));
}

static nrw_quant *weights(nrw_arena *arena, const float *w, int rank, const int64_t *dims,
                          nrw_weight_scheme scheme) {
    nrw_tensor t = nrw_tensor_make(NRW_F32, rank, dims, (void *)w);
    nrw_quant *q;
    nrw_error err;
    assert_ok(nrw_quant_weights(arena, &t, &scheme, &q, &err), &err);
    return q;
}

static void test_weights(void **state) {
    (void)state;
    nrw_arena arena;
    nrw_arena_init(&arena, nrw_system_allocator());
    const float w[8] = {1, -2, 0.5f, 127, 0, 0, -3, 4};
    const int64_t dims[2] = {4, 2};
    nrw_weight_scheme s = {.dtype = NRW_I8, .symmetric = true, .axis = 0};
    nrw_quant *q = weights(&arena, w, 2, dims, s);
    assert_true(q->count == 4 && q->axis == 0 && q->scale[0] == 2.0f / 127);
    assert_true(q->scale[1] == 1 && q->scale[3] == 4.0f / 127);
    assert_true(q->scale[2] == 0x1p-20f); /* a dead channel: beside the largest, not underflowing */
    s.axis = 1;
    q = weights(&arena, w, 2, dims, s);
    assert_true(q->count == 2 && q->scale[0] == 3.0f / 127 && q->scale[1] == 1);
    s.axis = -1;
    q = weights(&arena, w, 2, dims, s);
    assert_true(q->count == 1 && q->scale[0] == 1);
    /* Blocks of two rows: scales are a 2x2 matrix. */
    s.axis = 0;
    s.block = 2;
    q = weights(&arena, w, 2, dims, s);
    assert_true(q->count == 4 && q->block == 2 && q->scale[0] == 1.0f / 127);
    assert_true(q->scale[1] == 1 && q->scale[2] == 3.0f / 127 && q->scale[3] == 4.0f / 127);
    const float zeros[2] = {0, 0};
    const int64_t one[1] = {2};
    q = weights(&arena, zeros, 1, one, (nrw_weight_scheme){NRW_I8, true, -1, 0, false});
    assert_true(q->scale[0] == 1);
    nrw_error err;
    nrw_quant *none;
    nrw_tensor t = nrw_tensor_make(NRW_F32, 2, dims, (void *)w);
    s.block = 3;
    assert_fails(nrw_quant_weights(&arena, &t, &s, &none, &err), NRW_ERR_ARGUMENT, &err, "blocks");
    nrw_arena_free(&arena);
}

static double error_of(const float *w, int64_t n, const nrw_quant *q, float top) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const float x = fminf(fmaxf(rintf(w[i] / q->scale[0]), -top), top) * q->scale[0];
        sum += (double)(w[i] - x) * (w[i] - x);
    }
    return sum;
}

static void test_search_lowers_error(void **state) {
    (void)state;
    nrw_arena arena;
    nrw_arena_init(&arena, nrw_system_allocator());
    float w[256];
    for (int i = 0; i < 256; i++) w[i] = sinf((float)i);
    w[0] = 1.9f;
    const int64_t dims[1] = {256};
    nrw_weight_scheme s = {.dtype = NRW_I4, .symmetric = true, .axis = -1};
    const double plain = error_of(w, 256, weights(&arena, w, 1, dims, s), 7);
    s.search = true;
    assert_true(error_of(w, 256, weights(&arena, w, 1, dims, s), 7) < 0.9 * plain);
    nrw_arena_free(&arena);
}

static void test_bias(void **state) {
    (void)state;
    nrw_arena arena;
    nrw_arena_init(&arena, nrw_system_allocator());
    const float w[2] = {1, 1e-12f}, bias[2] = {0.5f, 100};
    const int64_t dims[2] = {2, 1};
    nrw_quant *q = weights(&arena, w, 2, dims, (nrw_weight_scheme){NRW_I8, true, 0, 0, false});
    const float before = q->scale[0];
    assert_true(nrw_quant_raise_for_bias(q, 1e-3f, bias, 2));
    assert_true(q->scale[0] == before);
    nrw_quant *b = nrw_quant_bias(&arena, q, 1e-3f, 2);
    assert_non_null(b);
    assert_true(b->dtype == NRW_I32 && b->axis == 0 && b->count == 2);
    for (int c = 0; c < 2; c++) {
        assert_true(b->scale[c] == 1e-3f * q->scale[c]);
        assert_true(fabs(bias[c] / b->scale[c]) <= 0x1p30 * 1.000001);
        assert_int_equal(b->zero_point[c], 0);
    }
    assert_false(nrw_quant_raise_for_bias(q, 1e-3f, bias, 2));
    nrw_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asymmetric),          cmocka_unit_test(test_symmetric),
        cmocka_unit_test(test_degenerate),          cmocka_unit_test(test_weights),
        cmocka_unit_test(test_search_lowers_error), cmocka_unit_test(test_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
