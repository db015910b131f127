/* Smoothing: what is divided is multiplied back, and only where it pays. */
#include "with_context.h"

#include <math.h>

#include "base/rng.h"
#include "ops/op.h"
#include "passes/match.h"
#include "quant/smooth.h"

#define WIDE "[60, 1, 1, 1, 1, 1, 1, 0.1]"
#define EVEN "[1]"

/* A normalization before two products, one of them transposed, and what else reads it. */
#define BLOCK(scale, rest)                                                                         \
    "graph main(%x: f32[1,6,8]) {\n"                                                               \
    "  const %scale: f32[8] = " scale "\n"                                                         \
    "  const %bias: f32[8] = random 4\n"                                                           \
    "  const %w1: f32[8,5] = random 1\n"                                                           \
    "  const %w2: f32[5,8] = random 2\n"                                                           \
    "  const %s: i64[2] = [-1, 8]\n"                                                               \
    "  %x2: f32[6,8] = Reshape(%x, %s)\n"                                                          \
    "  %n: f32[6,8] = LayerNormalization(%x2, %scale, %bias) \"norm\"\n"                           \
    "  %a: f32[6,5] = MatMul(%n, %w1) \"a\"\n"                                                     \
    "  %b: f32[6,5] = Gemm(%n, %w2) {transB=1} \"b\"\n"                                            \
    "  %c: f32[6,5] = Add(%a, %b)\n" rest "}\n"

#define ALONE    "  return %c\n"
#define RESIDUAL "  %r: f32[6,8] = Tanh(%n) \"r\"\n  return %c, %r\n"

static nrw_status next_sample(void *user, int64_t index, int n, nrw_tensor *in, bool *end,
                              nrw_error *err) {
    static const int64_t dims[3] = {1, 6, 8};
    float *x = user;
    *end = index >= 4;
    nrw_rng rng;
    nrw_rng_seed(&rng, (uint64_t)index + 1);
    for (int i = 0; i < 48; i++) x[i] = (float)nrw_rng_normal(&rng);
    for (int i = 0; i < n; i++) in[i] = nrw_tensor_make(NRW_F32, 3, dims, x);
    return NRW_OK;
}

static nrw_model *parsed(const char *text) {
    nrw_model *m;
    nrw_error err;
    assert_ok(nrw_model_parse(&context, text, strlen(text), nrw_op_find, &m, &err), &err);
    return m;
}

static nrw_model *smoothed(const char *text, const nrw_recipe *r) {
    nrw_model *m = parsed(text);
    nrw_error err;
    float x[48];
    const nrw_sample_source source = {.next = next_sample, .user = x, .count = 4};
    assert_ok(nrw_smooth(m, r, &source, &err), &err);
    assert_ok(nrw_graph_verify(m, &err), &err);
    return m;
}

static const nrw_node *node(const nrw_model *m, const char *name) {
    for (const nrw_node *n = m->graph->first; n != NULL; n = n->next) {
        if (strcmp(n->name, name) == 0) return n;
    }
    return NULL;
}

static const float *floats(const nrw_value *v) {
    int64_t n;
    const float *x = nrw_const_floats(v, &n);
    assert_non_null(x);
    return x;
}

/* by[] over base[] is the inverse of what the rows of both weights were multiplied by. */
static void check_weights(const nrw_model *m, const nrw_model *old, const float *by,
                          const float *base) {
    const float *a = floats(node(m, "a")->inputs[1]), *a0 = floats(node(old, "a")->inputs[1]);
    const float *b = floats(node(m, "b")->inputs[1]), *b0 = floats(node(old, "b")->inputs[1]);
    float least = INFINITY, most = 0;
    for (int c = 0; c < 8; c++) {
        const float inverse = by[c] / base[c];
        least = fminf(least, inverse);
        most = fmaxf(most, inverse);
        for (int j = 0; j < 5; j++) {
            assert_true(fabsf(a[c * 5 + j] * inverse - a0[c * 5 + j]) < 1e-5f);
            assert_true(fabsf(b[j * 8 + c] * inverse - b0[j * 8 + c]) < 1e-5f);
        }
    }
    assert_true(most > 10 * least); /* the wide channel was divided by much more */
}

static const nrw_recipe none = {.weight_bits = 8, .activation_bits = 8};

static void test_absorbed(void **state) {
    (void)state;
    nrw_model *m = smoothed(BLOCK(WIDE, ALONE), &none);
    nrw_model *old = parsed(BLOCK(WIDE, ALONE));
    const nrw_node *norm = node(m, "norm"), *before = node(old, "norm");
    assert_true(node(m, "a")->inputs[0] == norm->outputs[0]);
    check_weights(m, old, floats(norm->inputs[1]), floats(before->inputs[1]));
    check_weights(m, old, floats(norm->inputs[2]), floats(before->inputs[2]));
    nrw_model_destroy(old);
    nrw_model_destroy(m);
}

static void test_beside_a_residual(void **state) {
    (void)state;
    static const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    nrw_model *m = smoothed(BLOCK(WIDE, RESIDUAL), &none), *old = parsed(BLOCK(WIDE, RESIDUAL));
    const nrw_node *norm = node(m, "norm"), *by = node(m, "a")->inputs[0]->producer;
    assert_string_equal(by->type, "Mul");
    assert_true(node(m, "b")->inputs[0] == by->outputs[0] && by->inputs[0] == norm->outputs[0]);
    assert_true(node(m, "r")->inputs[0] == norm->outputs[0]);
    check_weights(m, old, floats(by->inputs[1]), ones);
    nrw_model_destroy(old);
    nrw_model_destroy(m);
}

static void test_left_alone(void **state) {
    (void)state;
    nrw_model *m = smoothed(BLOCK(EVEN, RESIDUAL), &none);
    assert_true(node(m, "a")->inputs[0]->producer == node(m, "norm"));
    assert_string_equal(node(m, "a")->inputs[1]->name, "w1");
    nrw_model_destroy(m);
    /* A layer that stays float keeps its input. */
    const nrw_recipe r = {.overrides =
                              &(nrw_override){.name = "a", .is_node = true, .keep_float = true},
                          .n_overrides = 1};
    m = smoothed(BLOCK(WIDE, ALONE), &r);
    assert_true(node(m, "a")->inputs[0]->producer == node(m, "norm"));
    assert_string_equal(node(m, "b")->inputs[0]->producer->type, "Mul");
    nrw_model_destroy(m);
}

static void test_without_data(void **state) {
    (void)state;
    static const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    const char *text = BLOCK(WIDE, RESIDUAL);
    nrw_model *m = parsed(text), *old = parsed(text);
    nrw_error err;
    assert_ok(nrw_smooth(m, &none, NULL, &err), &err);
    assert_ok(nrw_graph_verify(m, &err), &err);
    check_weights(m, old, floats(node(m, "a")->inputs[0]->producer->inputs[1]), ones);
    nrw_model_destroy(old);
    nrw_model_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absorbed),
        cmocka_unit_test(test_beside_a_residual),
        cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_without_data),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
