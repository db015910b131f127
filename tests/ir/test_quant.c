/* Quantization of arrays against the definition, written out in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "ir/tensor.h"

enum { N = 4096 };

static void expect_definition(nrw_dtype dtype, float scale, int32_t zp) {
    static float x[N], back[N];
    static uint8_t bytes[8 * N];
    nrw_rng rng;
    nrw_rng_seed(&rng, 7);
    const nrw_dtype_row *row = nrw_dtype_get(dtype);
    for (int i = 0; i < N; i++) {
        x[i] = (float)(300 * (double)scale * nrw_rng_normal(&rng));
        if (i % 3 == 0) x[i] = scale * ((float)(i % 512 - 256) + 0.5f); /* ties */
    }
    x[0] = INFINITY, x[1] = -INFINITY, x[2] = NAN, x[3] = 0, x[4] = 3e38f;
    nrw_quant q = {.dtype = dtype, .axis = -1, .count = 1, .scale = &scale, .zero_point = &zp};
    nrw_tensor t = nrw_tensor_make(dtype, 1, (int64_t[]){N}, bytes);
    t.quant = &q;
    assert_int_equal(nrw_quantize_values(x, &t, NULL), NRW_OK);
    assert_int_equal(nrw_dequantize(&t, back, NULL), NRW_OK);
    for (int i = 0; i < N; i++) {
        double r = isnan(x[i]) ? 0 : nearbyint((double)(x[i] / scale));
        double want = fmin(fmax(r + zp, (double)row->min), (double)row->max);
        int64_t got;
        assert_int_equal(nrw_to_i64(dtype, bytes + (size_t)i * (size_t)row->size, &got, 1, NULL),
                         NRW_OK);
        if ((double)got != want)
            fail_msg("%s: %g gives %d, not %g", row->name, (double)x[i], (int)got, want);
        assert_true(back[i] == scale * (float)(got - zp));
    }
}

static void test_definition(void **state) {
    (void)state;
    const nrw_dtype types[] = {NRW_U8, NRW_I8, NRW_U16, NRW_I16, NRW_U4,
                               NRW_I4, NRW_U2, NRW_I2,  NRW_I32};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const nrw_dtype_row *row = nrw_dtype_get(types[i]);
        expect_definition(types[i], 0.37f, 0);
        expect_definition(types[i], 1e-3f, (int32_t)row->min);
        expect_definition(types[i], 2.0f, (int32_t)(row->max / 2));
    }
}

static void test_per_channel_and_block(void **state) {
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8}, scale[] = {1, 2, 0.5f, 4};
    const int32_t zp[] = {0, 1, 0, -1};
    int8_t out[8];
    nrw_quant q = {.dtype = NRW_I8, .axis = 0, .count = 2, .scale = scale, .zero_point = zp};
    nrw_tensor t = nrw_tensor_make(NRW_I8, 2, (int64_t[]){2, 4}, out);
    t.quant = &q;
    assert_int_equal(nrw_quantize_values(x, &t, NULL), NRW_OK);
    assert_memory_equal(out, ((int8_t[]){1, 2, 3, 4, 3, 4, 5, 5}),
                        8); /* 2.5 and 3.5 to even, plus 1 */
    q = (nrw_quant){
        .dtype = NRW_I8, .axis = 1, .block = 2, .count = 4, .scale = scale, .zero_point = zp};
    assert_int_equal(nrw_quantize_values(x, &t, NULL), NRW_OK);
    assert_memory_equal(out, ((int8_t[]){1, 2, 3, 3, 10, 12, 1, 1}), 8);
    q.count = 3;
    assert_int_equal(nrw_quantize_values(x, &t, NULL), NRW_ERR_SHAPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_per_channel_and_block),
    };
    return cmocka_run_group_tests_name("quant", tests, NULL, NULL);
}
