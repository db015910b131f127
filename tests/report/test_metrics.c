/* Metrics against numbers worked out elsewhere: by hand, from the papers' examples, or with R and
 * scipy as the comments say. */
#include <math.h>

#include "report/metrics.h"
#include "unit.h"

static void assert_near(double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance)) fail_msg("got %.10g, want %.10g", got, want);
}

static void classes(void **state) {
    const float scores[] = {0.1f, 0.7f, 0.7f, NAN, 0.5f};
    assert_int_equal(nrw_argmax(scores, 5), 1);
    assert_int_equal(nrw_argmax(scores + 3, 1), -1);
    assert_int_equal(nrw_argmax(scores, 0), -1);
    assert_true(nrw_in_top(scores, 5, 1, 1));
    assert_false(nrw_in_top(scores, 5, 2, 1)); /* a tie goes to the lower index */
    assert_true(nrw_in_top(scores, 5, 2, 2));
    assert_false(nrw_in_top(scores, 5, 3, 5));
    assert_false(nrw_in_top(scores, 5, 5, 5));
    assert_false(nrw_in_top(scores, 5, -1, 5));
    assert_true(nrw_in_top(scores, 5, 0, 4));
    assert_false(nrw_in_top(scores, 5, 0, 3));
}

static void shares(void **state) {
    /* Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29. */
    const struct {
        int64_t hits, n;
        double low, high;
    } cases[] = {{81, 263, 0.2553, 0.3662},
                 {15, 148, 0.0624, 0.1605},
                 {0, 20, 0, 0.1611},
                 {1, 29, 0.0061, 0.1718}};
    for (int i = 0; i < 4; i++) {
        nrw_interval v = nrw_share_value(&(nrw_share){cases[i].n, cases[i].hits});
        assert_near(v.low, cases[i].low, 6e-5);
        assert_near(v.high, cases[i].high, 6e-5);
    }
    nrw_share s = {0};
    assert_true(isnan(nrw_share_value(&s).value));
    for (int i = 0; i < 10; i++) nrw_share_add(&s, true);
    assert_true(nrw_share_value(&s).high == 1);
    assert_true(nrw_share_value(&s).value == 1);
}

static void paired(void **state) {
    nrw_paired p = {0};
    assert_true(nrw_paired_p_mid(&p) == 1);
    for (int i = 0; i < 21; i++) {
        nrw_paired_add(&p, i < 8, i < 7 || i >= 12);
    }
    assert_int_equal(p.n, 21);
    assert_int_equal(p.both, 7);
    assert_int_equal(p.first_only, 1);
    assert_int_equal(p.second_only, 9);
    /* 10 coins, at most 1 head: 11/1024. */
    assert_near(nrw_paired_p_exact(&p), 22.0 / 1024, 1e-12);
    assert_near(nrw_paired_p_mid(&p), 12.0 / 1024, 1e-12);
    nrw_paired even = {.n = 100, .first_only = 7, .second_only = 7};
    assert_near(nrw_paired_p_exact(&even), 1, 1e-12);
    assert_near(nrw_paired_p_mid(&even), 1, 1e-9);
    nrw_paired large = {.n = 1000000, .first_only = 10000, .second_only = 10300};
    /* The normal approximation: z = 300 / sqrt(20300). */
    assert_near(nrw_paired_p_mid(&large), erfc(300 / sqrt(20300) / sqrt(2)), 1e-5);
    /* a = 2/23, b = 10/23. */
    nrw_interval d = nrw_paired_drop(&p);
    double half = 1.959963984540054 * sqrt((12.0 / 23 - 64.0 / 529) / 23);
    assert_near(d.value, -8.0 / 21, 1e-12);
    assert_near(d.low, -8.0 / 23 - half, 1e-12);
    assert_near(d.high, -8.0 / 23 + half, 1e-12);
}

static void sqnr(void **state) {
    nrw_sqnr a = {0};
    const float r[4] = {3, 4, 0, 0}, q[4] = {3, 3.5f, 0, 0};
    assert_true(isnan(nrw_sqnr_value(&a).value));
    nrw_sqnr_add(&a, r, r, 4);
    assert_true(isinf(nrw_sqnr_value(&a).value));
    nrw_sqnr_add(&a, r, q, 4);
    assert_near(nrw_sqnr_value(&a).value, 10 * log10(50 / 0.25), 1e-12);
    /* Equal samples leave no doubt; unequal ones do. */
    nrw_sqnr b = {0};
    for (int i = 0; i < 5; i++) nrw_sqnr_add(&b, r, q, 4);
    assert_near(nrw_sqnr_value(&b).high - nrw_sqnr_value(&b).low, 0, 1e-5);
    assert_true(nrw_sqnr_value(&a).low < nrw_sqnr_value(&a).value);
    /* Signals 25, 25 and noises 0, 1/4: the ratio's relative variance is 1/4 * 4 / 1. */
    assert_near(nrw_sqnr_value(&a).high - nrw_sqnr_value(&a).value,
                1.959963984540054 * 10 / log(10), 1e-9);
}

static void means(void **state) {
    nrw_mean m = {0};
    for (int i = 1; i <= 5; i++) nrw_mean_add(&m, i);
    nrw_interval v = nrw_mean_value(&m);
    assert_near(v.value, 3, 1e-12);
    assert_near(v.high - 3, 2.7764451052 * sqrt(2.5 / 5), 2e-3); /* Student, 4 degrees */
    const float a[3] = {1, 0, 2}, b[3] = {2, 0, 4}, zero[3] = {0}, c[3] = {0, 5, 0};
    assert_near(nrw_cosine(a, b, 3), 1, 1e-12);
    assert_near(nrw_cosine(a, c, 3), 0, 1e-12);
    assert_near(nrw_cosine(a, zero, 3), 0, 0);
    assert_near(nrw_cosine(zero, zero, 3), 1, 0);
}

/* All pairs, and the variances of placements as DeLong defines them. */
static void auc(void **state) {
    const double scores[] = {0.1, 0.4, 0.35, 0.8, 0.35, 0.9, 0.2, 0.8};
    const bool positive[] = {false, false, true, true, false, true, false, false};
    enum { N = 8, P = 3, Q = 5 };
    double sum = 0, v10[P] = {0}, v01[Q] = {0};
    for (int i = 0, p = 0; i < N; i++) {
        if (!positive[i]) continue;
        for (int j = 0, q = 0; j < N; j++) {
            if (positive[j]) continue;
            double psi = scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
            sum += psi;
            v10[p] += psi / Q;
            v01[q++] += psi / P;
        }
        p++;
    }
    double area = sum / (P * Q), s10 = 0, s01 = 0;
    for (int i = 0; i < P; i++) s10 += (v10[i] - area) * (v10[i] - area) / (P - 1);
    for (int i = 0; i < Q; i++) s01 += (v01[i] - area) * (v01[i] - area) / (Q - 1);
    double half = 1.959963984540054 * sqrt(s10 / P + s01 / Q);

    nrw_auc a;
    nrw_error err;
    nrw_auc_init(&a, nrw_system_allocator());
    assert_true(isnan(nrw_auc_value(&a).value));
    for (int i = 0; i < N; i++) assert_ok(nrw_auc_add(&a, scores[i], positive[i], &err), &err);
    nrw_interval v = nrw_auc_value(&a);
    assert_near(v.value, area, 1e-12);
    assert_near(v.low, fmax(0, area - half), 1e-12);
    assert_near(v.high, fmin(1, area + half), 1e-12);
    assert_fails(nrw_auc_add(&a, NAN, true, &err), NRW_ERR_DATA, &err, "NaN");
    nrw_auc_free(&a);
    failing_allocator failing;
    failing_init(&failing, 0);
    nrw_auc_init(&a, &failing.allocator);
    assert_int_equal(nrw_auc_add(&a, 1, true, &err), NRW_ERR_MEMORY);
    nrw_auc_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes), cmocka_unit_test(shares), cmocka_unit_test(paired),
        cmocka_unit_test(sqnr),    cmocka_unit_test(means),  cmocka_unit_test(auc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
