/* Means do not depend on order; a corrected layer keeps its mean output. */
#include "with_context.h"

#include <math.h>

#include "ops/op.h"
#include "quant/bias_correction.h"
#include "quant/params.h"

static nrw_tensor image(float *x, int64_t channels) {
    return nrw_tensor_make(NRW_F32, 4, (const int64_t[]){2, channels, 3, 7}, x);
}

static void test_means(void **state) {
    (void)state;
    enum { N = 2 * 3 * 21 };
    float a[N], b[N], huge[N];
    for (int i = 0; i < N; i++) {
        a[i] = (float)(i % 7) * 0.3f + (float)(i / 21 % 3);
        b[i] = (float)i * 1e-3f;
        huge[i] = 1e30f;
    }
    const nrw_tensor ta = image(a, 3), tb = image(b, 3), th = image(huge, 3), other = image(a, 1);
    nrw_means *m = nrw_means_new(nrw_system_allocator(), 1, 3);
    nrw_means *turned = nrw_means_new(nrw_system_allocator(), 1, 3);
    for (int i = 0; i < 50; i++) nrw_means_add(m, i % 2 ? &ta : &tb);
    for (int i = 0; i < 50; i++) nrw_means_add(turned, i < 25 ? &ta : &tb);
    nrw_means_add(m, &other); /* another number of channels: left out */
    for (int c = 0; c < 3; c++) {
        double sum = 0;
        for (int i = 0; i < N; i++) sum += i / 21 % 3 == c ? (double)a[i] + b[i] : 0;
        assert_true(fabs(nrw_means_get(m, c) - sum / 84) < 1e-6);
        assert_true(nrw_means_get(m, c) == nrw_means_get(turned, c));
    }
    nrw_means_add(m, &th);
    assert_true(isfinite(nrw_means_get(m, 0)));
    nrw_means_free(m);
    nrw_means_free(turned);
    assert_null(nrw_means_new(nrw_system_allocator(), 1, INT64_MAX));
}

/* Groups, taps and transposed matrices: with an input that is its mean everywhere, the corrected
 * layer with rounded weights gives what the float one gives. */
static void check_layer(const char *text, const double *mean, int axis) {
    nrw_model *m;
    nrw_error err;
    assert_ok(nrw_model_parse(&context, text, strlen(text), nrw_op_find, &m, &err), &err);
    nrw_node *n = m->graph->first;
    const nrw_tensor *w = n->inputs[1]->data;
    const nrw_weight_scheme coarse = {.dtype = NRW_I4, .symmetric = true, .axis = -1};
    nrw_quant *q;
    assert_ok(nrw_quant_weights(&m->arena, w, &coarse, &q, &err), &err);

    int at;
    int64_t channels;
    assert_true(nrw_correction_channels(n, &at, &channels));
    assert_int_equal(at, axis);
    nrw_means *means = nrw_means_new(nrw_system_allocator(), axis, channels);
    float x[16];
    for (int64_t c = 0; c < channels; c++) x[c] = (float)mean[c];
    const nrw_tensor sample = nrw_tensor_make(NRW_F32, 2, (const int64_t[]){1, channels}, x);
    nrw_means_add(means, &sample);
    const int64_t outputs = axis == 1                      ? w->dims[0]
                            : nrw_attr_int(n, "transB", 0) ? w->dims[0]
                                                           : w->dims[1];
    float before[16] = {0}, *after, rounded[256];
    if (n->n_inputs > 2) memcpy(before, n->inputs[2]->data->data, (size_t)outputs * sizeof(float));
    assert_ok(nrw_correct_bias(n, q, means, &err), &err);
    after = n->inputs[2]->data->data;

    nrw_tensor t;
    assert_ok(nrw_tensor_new(&m->arena, NRW_I4, w->rank, w->dims, &t, &err), &err);
    t.quant = q;
    assert_ok(nrw_quantize_values(w->data, &t, &err), &err);
    assert_ok(nrw_dequantize(&t, rounded, &err), &err);
    const float *exact = w->data;
    const int64_t per = nrw_tensor_count(w) / outputs;
    bool moved = false;
    for (int64_t o = 0; o < outputs; o++) {
        double want = before[o], got = after[o];
        for (int64_t k = 0; k < per; k++) {
            int64_t i = o * per + k, c = k;
            if (axis == 1) /* [8][2][3] in two groups */
                c = o / (outputs / 2) * 2 + k / 3;
            else if (nrw_attr_int(n, "transB", 0) == 0)
                i = k * outputs + o;
            want += exact[i] * mean[c];
            got += rounded[i] * mean[c];
        }
        assert_true(fabs(want - got) < 1e-5);
        moved |= fabsf(before[o] - after[o]) > 1e-3f;
    }
    assert_true(moved);
    nrw_means_free(means);
    nrw_model_destroy(m);
}

static void test_layers(void **state) {
    (void)state;
    const double mean[] = {0.5, -2, 3, 1, 0.25};
    check_layer("graph main(%x: f32[1,4,9]) {\n  const %w: f32[8,2,3] = random 1\n"
                "  %y: f32[...] = Conv(%x, %w) {group=2}\n  return %y\n}\n",
                mean, 1);
    check_layer("graph main(%x: f32[1,5]) {\n  const %w: f32[5,6] = random 2\n"
                "  const %b: f32[6] = random 3\n"
                "  %y: f32[...] = Gemm(%x, %w, %b)\n  return %y\n}\n",
                mean, -1);
    check_layer("graph main(%x: f32[1,5]) {\n  const %w: f32[6,5] = random 2\n"
                "  const %b: f32[6] = random 3\n"
                "  %y: f32[...] = Gemm(%x, %w, %b) {transB=1}\n  return %y\n}\n",
                mean, -1);
}

/* On a map of one pixel only the middle of the filter sees anything but padding. */
static void test_padding(void **state) {
    (void)state;
    const char *text = "graph main(%x: f32[1,1,1,1]) {\n  const %w: f32[2,1,3,3] = random 4\n"
                       "  %y: f32[...] = Conv(%x, %w) {pads=[1, 1, 1, 1]}\n  return %y\n}\n";
    const char *unknown = "graph main(%x: f32[1,1,H,W]) {\n  const %w: f32[2,1,3,3] = random 4\n"
                          "  %y: f32[...] = Conv(%x, %w) {pads=[1, 1, 1, 1]}\n  return %y\n}\n";
    for (int i = 0; i < 2; i++) {
        nrw_model *m;
        nrw_error err;
        const char *t = i == 0 ? text : unknown;
        assert_ok(nrw_model_parse(&context, t, strlen(t), nrw_op_find, &m, &err), &err);
        nrw_node *n = m->graph->first;
        const nrw_tensor *w = n->inputs[1]->data;
        const nrw_weight_scheme coarse = {.dtype = NRW_I4, .symmetric = true, .axis = -1};
        nrw_quant *q;
        assert_ok(nrw_quant_weights(&m->arena, w, &coarse, &q, &err), &err);
        nrw_means *means = nrw_means_new(nrw_system_allocator(), 1, 1);
        float two = 2;
        const nrw_tensor sample = nrw_tensor_make(NRW_F32, 2, (const int64_t[]){1, 1}, &two);
        nrw_means_add(means, &sample);
        assert_ok(nrw_correct_bias(n, q, means, &err), &err);
        if (i == 1) { /* how much of it is padding cannot be told: left alone */
            assert_int_equal(n->n_inputs, 2);
        } else {
            const float *exact = w->data, *bias = n->inputs[2]->data->data;
            for (int o = 0; o < 2; o++) {
                const float middle = exact[o * 9 + 4];
                const float rounded = nearbyintf(middle / q->scale[0]) * q->scale[0];
                assert_true(fabsf(bias[o] + (rounded - middle) * 2) < 1e-5f);
            }
        }
        nrw_means_free(means);
        nrw_model_destroy(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_means), cmocka_unit_test(test_layers),
                                       cmocka_unit_test(test_padding)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
