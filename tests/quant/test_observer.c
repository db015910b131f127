/* Observers: exact merging, extremes, sentinels, and what each calibrator picks. */
#include "unit.h"

#include <math.h>

#include "base/rng.h"
#include "quant/observer.h"

enum { N = 5000 };

static nrw_range range_by(const nrw_observer *o, nrw_calibrator c, double percentile) {
    const nrw_range_rule rule = {.calibrator = c, .percentile = percentile, .levels = 255};
    nrw_range r;
    nrw_error err;
    assert_ok(nrw_observer_range(o, &rule, &r, &err), &err);
    return r;
}

static nrw_observer *watch(const float *x, int64_t n) {
    nrw_error err;
    nrw_observer *o = nrw_observer_new(nrw_system_allocator());
    assert_non_null(o);
    assert_ok(nrw_observer_add(o, x, n, &err), &err);
    return o;
}

static void fill_normal(float *x, int64_t n, uint64_t seed) {
    nrw_rng rng;
    nrw_rng_seed(&rng, seed);
    for (int64_t i = 0; i < n; i++) x[i] = (float)nrw_rng_normal(&rng);
}

static void assert_same_range(const nrw_range *a, const nrw_range *b) {
    assert_memory_equal(a, b, sizeof *a);
}

static void test_merge_is_exact(void **state) {
    (void)state;
    static float x[N];
    fill_normal(x, N, 1);
    x[17] = 0;
    x[18] = 1e-42f;
    x[19] = -300.5f;
    nrw_error err;
    static const nrw_calibrator all[] = {NRW_CALIBRATE_MINMAX, NRW_CALIBRATE_PERCENTILE,
                                         NRW_CALIBRATE_ENTROPY, NRW_CALIBRATE_MSE};
    nrw_observer *whole = watch(x, N);
    for (int split = 1; split <= 7; split++) {
        /* Parts of odd sizes, merged from the last to the first. */
        nrw_observer *sum = nrw_observer_new(nrw_system_allocator());
        for (int part = split - 1; part >= 0; part--) {
            const int64_t from = N * part / split, to = N * (part + 1) / split;
            nrw_observer *o = watch(x + from, to - from);
            assert_ok(nrw_observer_merge(sum, o, &err), &err);
            nrw_observer_free(o);
        }
        for (size_t c = 0; c < sizeof all / sizeof *all; c++) {
            const nrw_range a = range_by(whole, all[c], 99.9), b = range_by(sum, all[c], 99.9);
            assert_same_range(&a, &b);
        }
        nrw_observer_free(sum);
    }
    nrw_observer_free(whole);
}

static void test_moving_mean_merges(void **state) {
    (void)state;
    nrw_error err;
    nrw_observer *one = nrw_observer_new(nrw_system_allocator());
    nrw_observer *first = nrw_observer_new(nrw_system_allocator());
    nrw_observer *second = nrw_observer_new(nrw_system_allocator());
    for (int i = 0; i < 40; i++) {
        const float x[2] = {-1.0f - (float)i, 2.0f + (float)i};
        assert_ok(nrw_observer_add(one, x, 2, &err), &err);
        assert_ok(nrw_observer_add(i < 13 ? first : second, x, 2, &err), &err);
    }
    assert_ok(nrw_observer_merge(first, second, &err), &err);
    const nrw_range a = range_by(one, NRW_CALIBRATE_MOVING, 0);
    const nrw_range b = range_by(first, NRW_CALIBRATE_MOVING, 0);
    assert_true(fabs(a.lo - b.lo) < 1e-9 && fabs(a.hi - b.hi) < 1e-9);
    assert_true(a.lo < -20 && a.lo > -40 && a.hi > 21);
    nrw_observer_free(one);
    nrw_observer_free(first);
    nrw_observer_free(second);
}

static void test_extremes_are_exact(void **state) {
    (void)state;
    static float x[N];
    fill_normal(x, N, 2);
    float lo = 0, hi = 0;
    for (int i = 0; i < N; i++) {
        lo = fminf(lo, x[i]);
        hi = fmaxf(hi, x[i]);
    }
    nrw_observer *o = watch(x, N);
    const nrw_range r = range_by(o, NRW_CALIBRATE_MINMAX, 0);
    assert_true(r.lo == lo && r.hi == hi && r.count == N && r.clipped == 0);
    nrw_observer_free(o);
    const float positive[3] = {3.25f, 7.0f, 5.5f};
    o = watch(positive, 3);
    const nrw_range p = range_by(o, NRW_CALIBRATE_MINMAX, 0);
    assert_true(p.lo == 0 && p.hi == 7.0); /* zero always belongs to the range */
    nrw_observer_free(o);
}

/* Whatever the samples hold, the shortcut finds the ranges that a full count does. */
static void test_extremes_only(void **state) {
    (void)state;
    static float x[N];
    nrw_error err;
    for (int kind = 0; kind < 5; kind++) {
        nrw_observer *full = nrw_observer_new(nrw_system_allocator());
        nrw_observer *quick = nrw_observer_new(nrw_system_allocator());
        nrw_observer_extremes_only(quick);
        for (int sample = 0; sample < 3; sample++) {
            fill_normal(x, N, (uint64_t)(10 * kind + sample));
            if (kind == 1) x[sample * 7] = -1e9f;
            if (kind == 2) x[17] = NAN;
            if (kind == 3) x[N - 1] = INFINITY;
            for (int i = 0; kind == 4 && i < N; i++) x[i] = fabsf(x[i]) + 1;
            assert_ok(nrw_observer_add(full, x, N - sample, &err), &err);
            assert_ok(nrw_observer_add(quick, x, N - sample, &err), &err);
        }
        for (int moving = 0; moving < 2; moving++) {
            const nrw_calibrator c = moving ? NRW_CALIBRATE_MOVING : NRW_CALIBRATE_MINMAX;
            const nrw_range a = range_by(full, c, 0), b = range_by(quick, c, 0);
            assert_true(a.lo == b.lo && a.hi == b.hi && a.nans == b.nans);
            assert_true(a.infinities == b.infinities && a.sentinels == b.sentinels);
        }
        nrw_observer_free(full);
        nrw_observer_free(quick);
    }
}

static void test_percentile(void **state) {
    (void)state;
    static float x[1000];
    for (int i = 0; i < 1000; i++) x[i] = (float)(i + 1);
    nrw_observer *o = watch(x, 1000);
    const nrw_range r = range_by(o, NRW_CALIBRATE_PERCENTILE, 99);
    assert_true(r.lo == 0);
    assert_true(fabs(r.hi - 990) < 8); /* a bin's width */
    assert_true(r.clipped > 0 && r.clipped <= 0.011);
    nrw_observer_free(o);
}

static void test_searches_clip_outliers(void **state) {
    (void)state;
    static float x[N];
    fill_normal(x, N, 3);
    x[5] = 60; /* one value far out, but near enough to be no sentinel */
    nrw_observer *o = watch(x, N);
    const nrw_range_rule rule = {.calibrator = NRW_CALIBRATE_MSE, .levels = 15};
    nrw_range mse;
    nrw_error err;
    assert_ok(nrw_observer_range(o, &rule, &mse, &err), &err);
    const nrw_range kl = range_by(o, NRW_CALIBRATE_ENTROPY, 0);
    assert_true(mse.hi < 40 && mse.hi > 2);
    assert_true(kl.hi < 40 && kl.hi > 2);
    assert_true(range_by(o, NRW_CALIBRATE_MINMAX, 0).hi == 60);
    nrw_observer_free(o);
}

static void test_sentinels(void **state) {
    (void)state;
    static const float markers[] = {-1e4f, -1e9f, -3.4028234e38f};
    for (int m = 0; m < 3; m++) {
        static float x[N];
        fill_normal(x, N, 4);
        for (int i = 0; i < 50; i++) x[i] = markers[m] + x[i];
        nrw_observer *o = watch(x, N);
        const nrw_range r = range_by(o, NRW_CALIBRATE_MINMAX, 0);
        assert_int_equal(r.sentinels, 50);
        assert_true(r.lo > -6 && r.hi < 6);
        nrw_observer_free(o);
    }
    static float large[N]; /* a wide spread is data, however large */
    for (int i = 0; i < N; i++) large[i] = (float)(i * i);
    nrw_observer *o = watch(large, N);
    assert_int_equal(range_by(o, NRW_CALIBRATE_MINMAX, 0).sentinels, 0);
    nrw_observer_free(o);
}

static void test_strange_values(void **state) {
    (void)state;
    const float x[5] = {NAN, INFINITY, -INFINITY, 1, -2};
    nrw_observer *o = watch(x, 5);
    const nrw_range r = range_by(o, NRW_CALIBRATE_MSE, 0);
    assert_int_equal(r.nans, 1);
    assert_int_equal(r.infinities, 2);
    assert_int_equal(r.count, 2);
    assert_true(r.min == -2 && r.max == 1);
    nrw_observer_free(o);
    o = watch(x, 0);
    const nrw_range none = range_by(o, NRW_CALIBRATE_ENTROPY, 0);
    assert_true(none.count == 0 && none.lo == 0 && none.hi == 0);
    nrw_observer_free(o);
}

static void test_out_of_memory(void **state) {
    (void)state;
    static float x[N];
    fill_normal(x, N, 5);
    for (int64_t at = 0;; at++) {
        failing_allocator f;
        failing_init(&f, at);
        nrw_observer *o = nrw_observer_new(&f.allocator);
        nrw_status s = o != NULL ? nrw_observer_add(o, x, N, NULL) : NRW_ERR_MEMORY;
        nrw_range r;
        const nrw_range_rule rule = {.calibrator = NRW_CALIBRATE_MSE, .levels = 255};
        if (s == NRW_OK) s = nrw_observer_range(o, &rule, &r, NULL);
        nrw_observer_free(o);
        assert_int_equal(f.live, 0);
        if (s == NRW_OK) break;
        assert_int_equal(s, NRW_ERR_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_is_exact),     cmocka_unit_test(test_moving_mean_merges),
        cmocka_unit_test(test_extremes_are_exact), cmocka_unit_test(test_extremes_only),
        cmocka_unit_test(test_percentile),         cmocka_unit_test(test_searches_clip_outliers),
        cmocka_unit_test(test_sentinels),          cmocka_unit_test(test_strange_values),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
