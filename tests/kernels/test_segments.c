/* Functions by segments: close to what they stand for, and the same bits in every tier. */
#include <math.h>

#include "base/rng.h"
#include "kernels/kernels.h"
#include "unit.h"

static double normal_cdf(double x) {
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

static nrw_segments gelu(float scale, int32_t zero) {
    nrw_segments s;
    nrw_segments_fit(&s, normal_cdf, -5.6f, 5.6f, true, scale, zero);
    return s;
}

static void test_close_to_the_function(void **state) {
    const nrw_segments s = gelu(0.03f, 6);
    int off = 0;
    for (int i = -80000; i <= 80000; i++) {
        const float x = (float)i * 1e-4f;
        const double y = (double)x * normal_cdf((double)x) / (double)0.03f + 6;
        const double want = y < 0 ? 0 : y > 255 ? 255 : y;
        uint8_t q;
        nrw_segments_u8(&s, &x, &q, 1);
        off += fabs(q - want) > 0.5001; /* beyond what rounding explains */
    }
    assert_int_equal(off, 0);
}

static void test_far_from_the_range(void **state) {
    const nrw_segments s = gelu(0.03f, 6);
    const float x[] = {-1e9f, -INFINITY, NAN, 1e9f, INFINITY, -5.7f, -8.0f, 7.2f};
    const uint8_t want[] = {6, 6, 6, 255, 255, 6, 6, 246};
    uint8_t got[8];
    nrw_segments_u8(&s, x, got, 8);
    assert_memory_equal(got, want, 8);
}

static void test_same_bits_in_every_tier(void **state) {
    enum { N = 4099 };
    static float x[N];
    static uint8_t want[N], got[N + 64];
    nrw_rng rng;
    nrw_cpu cpu;
    nrw_rng_seed(&rng, 7);
    assert_int_equal(nrw_cpu_detect(&cpu, NULL, NULL), NRW_OK);
    const nrw_kernels *kn = nrw_kernels_get(&cpu);
    if (kn->segments_u8 == NULL) skip();
    for (int i = 0; i < N; i++) x[i] = (float)(nrw_rng_uniform(&rng) * 18 - 9);
    x[3] = NAN;
    x[4] = INFINITY;
    x[5] = -INFINITY;
    x[6] = -0.0f;
    for (int n = N - 40; n <= N; n++) {
        const nrw_segments s = gelu(0.001f * (float)(n % 60 + 1), n % 256);
        memset(got, 0xa5, sizeof got);
        nrw_segments_u8(&s, x, want, n);
        kn->segments_u8(&s, x, got, n);
        assert_memory_equal(got, want, (size_t)n);
        assert_int_equal(got[n], 0xa5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_to_the_function),
        cmocka_unit_test(test_far_from_the_range),
        cmocka_unit_test(test_same_bits_in_every_tier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
