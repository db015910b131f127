/* Whole quantizations of small graphs: what is annotated, that files give the annotations back, and
 * what is refused. */
#include "with_context.h"

#include <math.h>

#include "base/rng.h"
#include "formats/onnx/quantized.h"
#include "ops/op.h"
#include "passes/pass.h"
#include "quant/quantize.h"

/* conv, relu, pool, conv, add with a branch, and a classifier. */
static const char *const network =
    "graph main(%x: f32[1,2,8,8]) {\n"
    "  const %w1: f32[4,2,3,3] = random 1\n"
    "  const %b1: f32[4] = random 2\n"
    "  const %w2: f32[4,4,1,1] = random 3\n"
    "  const %w3: f32[5,4] = random 4\n"
    "  const %b3: f32[5] = random 5\n"
    "  %c1: f32[1,4,8,8] = Conv(%x, %w1, %b1) {pads=[1, 1, 1, 1]} \"c1\"\n"
    "  %r1: f32[1,4,8,8] = Relu(%c1) \"r1\"\n"
    "  %p: f32[1,4,4,4] = MaxPool(%r1) {kernel_shape=[2, 2], strides=[2, 2]} \"p\"\n"
    "  %c2: f32[1,4,4,4] = Conv(%p, %w2) \"c2\"\n"
    "  %s: f32[1,4,4,4] = Add(%c2, %p) \"s\"\n"
    "  %g: f32[1,4,1,1] = GlobalAveragePool(%s) \"g\"\n"
    "  %f: f32[1,4] = Flatten(%g) \"f\"\n"
    "  %y: f32[1,5] = Gemm(%f, %w3, %b3) {transB=1} \"fc\"\n"
    "  %probabilities: f32[1,5] = Softmax(%y) \"softmax\"\n"
    "  return %probabilities\n"
    "}\n";

/* A residual stream with a normalization, as in transformers. */
static const char *const block = "graph main(%x: f32[1,8,16]) {\n"
                                 "  const %scale: f32[16] = [1]\n"
                                 "  const %w1: f32[16,32] = random 1\n"
                                 "  const %b1: f32[1,1,32] = random 2\n"
                                 "  const %w2: f32[32,16] = random 3\n"
                                 "  %n: f32[1,8,16] = LayerNormalization(%x, %scale) \"norm\"\n"
                                 "  %h: f32[1,8,32] = MatMul(%n, %w1) \"up\"\n"
                                 "  %hb: f32[1,8,32] = Add(%h, %b1) \"bias\"\n"
                                 "  %a: f32[1,8,32] = Tanh(%hb) \"act\"\n"
                                 "  %d: f32[1,8,16] = MatMul(%a, %w2) \"down\"\n"
                                 "  %y: f32[1,8,16] = Add(%d, %n) \"residual\"\n"
                                 "  return %y\n"
                                 "}\n";

static nrw_model *parse(const char *text) {
    nrw_model *m;
    nrw_error err;
    assert_ok(nrw_model_parse(&context, text, strlen(text), nrw_op_find, &m, &err), &err);
    return m;
}

typedef struct samples {
    int64_t n;
    const nrw_graph *graph;
    float data[2048];
} samples;

static nrw_status next_sample(void *user, int64_t index, int n, nrw_tensor *in, bool *end,
                              nrw_error *err) {
    samples *s = user;
    *end = index >= s->n;
    if (*end) return NRW_OK;
    const nrw_type *t = &s->graph->inputs[0]->type;
    nrw_rng rng;
    nrw_rng_seed(&rng, (uint64_t)index + 1);
    for (int64_t i = 0; i < nrw_type_count(t); i++) s->data[i] = (float)nrw_rng_normal(&rng);
    for (int i = 0; i < n; i++) in[i] = nrw_tensor_make(NRW_F32, t->rank, t->dims, s->data);
    return NRW_OK;
}

static nrw_status quantize(const nrw_model *m, const nrw_recipe *r, int64_t n_samples,
                           nrw_model **q, nrw_error *err) {
    samples s = {.n = n_samples, .graph = m->graph};
    const nrw_sample_source source = {.next = next_sample, .user = &s, .count = n_samples};
    return nrw_quantize_graph(m, r, &source, q, NULL, err);
}

static nrw_recipe recipe(nrw_mode mode) {
    return (nrw_recipe){.mode = mode,
                        .weight_bits = mode >= NRW_MODE_FP16 ? 16 : 8,
                        .activation_bits = 8,
                        .calibrator = NRW_CALIBRATE_MINMAX,
                        .percentile = 99.99};
}

static nrw_model *quantized(const char *text, const nrw_recipe *r) {
    nrw_model *m = parse(text), *q;
    nrw_error err;
    assert_ok(quantize(m, r, 4, &q, &err), &err);
    nrw_model_destroy(m);
    return q;
}

static const nrw_node *node(const nrw_model *m, const char *name) {
    for (const nrw_node *n = m->graph->first; n != NULL; n = n->next) {
        if (strcmp(n->name, name) == 0) return n;
    }
    return NULL;
}

static void test_static_network(void **state) {
    (void)state;
    const nrw_recipe r = recipe(NRW_MODE_STATIC);
    nrw_model *q = quantized(network, &r);
    const nrw_node *c1 = node(q, "c1"), *p = node(q, "p"), *s = node(q, "s"), *fc = node(q, "fc");
    assert_null(node(q, "r1")); /* its clamp is the range of what c1 makes */
    assert_string_equal(c1->outputs[0]->name, "r1");
    assert_int_equal(c1->outputs[0]->quant->zero_point[0], 0);
    assert_int_equal(c1->inputs[0]->quant->dtype, NRW_U8);
    assert_true(c1->inputs[1]->quant->dtype == NRW_I8 && c1->inputs[1]->quant->count == 4);
    const nrw_quant *bias = c1->inputs[2]->quant;
    assert_true(bias->dtype == NRW_I32 && bias->count == 4);
    assert_true(bias->scale[1] == c1->inputs[0]->quant->scale[0] * c1->inputs[1]->quant->scale[1]);
    assert_true(nrw_quant_equal(p->inputs[0]->quant, p->outputs[0]->quant));
    assert_true(s->inputs[0]->quant != NULL && s->inputs[1]->quant != NULL);
    assert_true(s->outputs[0]->quant != NULL);
    assert_true(fc->inputs[0]->quant != NULL && fc->inputs[1]->quant->axis == 0);
    assert_null(fc->outputs[0]->quant); /* sums go to Softmax as they are */
    nrw_model_destroy(q);
}

static void test_static_transformer(void **state) {
    (void)state;
    const nrw_recipe r = recipe(NRW_MODE_STATIC);
    nrw_model *q = quantized(block, &r);
    const nrw_node *up = node(q, "up"), *down = node(q, "down"), *sum = node(q, "residual");
    /* The residual stream stays float; the layer reads a branch of it. */
    assert_null(node(q, "norm")->outputs[0]->quant);
    assert_string_equal(up->inputs[0]->producer->type, "Requantize");
    assert_null(up->outputs[0]->quant);
    assert_null(sum->inputs[0]->quant);
    assert_true(sum->inputs[1] == node(q, "norm")->outputs[0]);
    /* Tanh feeds nothing else: its output is annotated, by what is known of it. */
    const nrw_quant *a = down->inputs[0]->quant;
    assert_true(a != NULL && fabsf(a->scale[0] - 2.0f / 255) < 1e-6f);
    nrw_model_destroy(q);
}

static void test_dynamic(void **state) {
    (void)state;
    const nrw_recipe r = recipe(NRW_MODE_DYNAMIC);
    nrw_model *q = quantized(block, &r);
    const nrw_node *up = node(q, "up");
    assert_true(up->inputs[0]->quant->dynamic);
    assert_true(up->inputs[1]->quant->axis == 1 && up->inputs[1]->quant->count == 32);
    nrw_model_destroy(q);
}

/* Weights in bodies are stored small in every mode; what two branches share, once. */
static void test_bodies(void **state) {
    (void)state;
    static const char *const text = "graph main(%x: f32[4,32]) {\n"
                                    "  %n: f32[4,32] = Neg(%x) \"neg\"\n"
                                    "  %m: f32[] = ReduceMax(%n) {keepdims=0} \"max\"\n"
                                    "  %z: f32[] = Sub(%m, %m) \"zero\"\n"
                                    "  %b: bool[] = Cast(%z) {to=9} \"bool\"\n"
                                    "  %y: f32[4,40] = If(%b) {then_branch=graph then() {\n"
                                    "    const %w1: f32[32,40] = random 1\n"
                                    "    %t: f32[4,40] = MatMul(%x, %w1) \"t\"\n"
                                    "    return %t\n"
                                    "  }, else_branch=graph other() {\n"
                                    "    const %w2: f32[32,40] = random 1\n"
                                    "    %u: f32[4,40] = MatMul(%n, %w2) \"u\"\n"
                                    "    return %u\n"
                                    "  }} \"if\"\n"
                                    "  return %y\n"
                                    "}\n";
    for (nrw_mode mode = NRW_MODE_STATIC; mode <= NRW_MODE_WEIGHTS; mode++) {
        const nrw_recipe r = recipe(mode);
        nrw_model *q = quantized(text, &r);
        const nrw_node *branch = node(q, "if");
        const nrw_value *w[2];
        for (int i = 0; i < 2; i++) {
            const nrw_graph *g = nrw_attr_graph(branch, i == 0 ? "then_branch" : "else_branch");
            assert_non_null(g);
            w[i] = g->first->inputs[1];
            assert_true(w[i]->quant != NULL && w[i]->quant->dtype == NRW_I8);
        }
        assert_true(w[0] == w[1]);
        nrw_model_destroy(q);
    }
}

static void test_overrides(void **state) {
    (void)state;
    const nrw_override overrides[2] = {
        {.name = "c2", .is_node = true, .keep_float = true},
        {.name = "x", .has_range = true, .lo = -1, .hi = 1},
    };
    nrw_recipe r = recipe(NRW_MODE_STATIC);
    r.overrides = overrides;
    r.n_overrides = 2;
    nrw_model *q = quantized(network, &r);
    assert_null(node(q, "c2")->inputs[1]->quant);
    assert_null(node(q, "s")->outputs[0]->quant);
    assert_true(node(q, "c1")->inputs[0]->quant->scale[0] == 2.0f / 255);
    nrw_model_destroy(q);
}

static void test_refused(void **state) {
    (void)state;
    nrw_recipe r = recipe(NRW_MODE_STATIC);
    nrw_error err;
    nrw_model *m = parse(network), *q;
    assert_fails(quantize(m, &r, 0, &q, &err), NRW_ERR_DATA, &err, "empty");
    assert_fails(nrw_quantize_graph(m, &r, NULL, &q, NULL, &err), NRW_ERR_ARGUMENT, &err, "data");
    nrw_model_destroy(m);
    m = parse("graph main(%x: f32[1,2]) {\n  const %w: f32[2,2] = [1, nan, 3, inf]\n"
              "  %y: f32[1,2] = MatMul(%x, %w) \"mm\"\n  return %y\n}\n");
    assert_fails(quantize(m, &r, 2, &q, &err), NRW_ERR_DATA, &err, "'w'");
    r.clamp_weights = true;
    assert_ok(quantize(m, &r, 2, &q, &err), &err);
    const nrw_node *mm = node(q, "mm");
    const int8_t *w = mm->inputs[1]->data->data;
    assert_true(w[1] == 0 && w[3] == 127);
    nrw_model_destroy(q);
    nrw_model_destroy(m);
}

static char *text_of(const nrw_model *m) {
    nrw_strbuf b;
    nrw_error err;
    nrw_strbuf_init(&b, nrw_system_allocator());
    assert_ok(nrw_model_print(m, &b, -1, &err), &err);
    char *text = strdup(b.data);
    nrw_strbuf_free(&b);
    return text;
}

/* Made-up names (a number behind a point) differ from one conversion to the next. */
static void without_numbers(char *s) {
    char *to = s, before = 0;
    for (; *s != 0; s++) {
        *to++ = *s;
        const bool decimal = before >= '0' && before <= '9';
        before = *s;
        if (*s != '.' || decimal) continue;
        while (s[1] >= '0' && s[1] <= '9') s++;
    }
    *to = 0;
}

static void check_round_trip(const char *text, nrw_mode mode, bool qoperator) {
    nrw_recipe r = recipe(mode);
    nrw_model *q = quantized(text, &r);
    nrw_error err;
    char *before = text_of(q);
    assert_ok(nrw_onnx_lower_quantization(q, qoperator, &err), &err);
    for (const nrw_node *n = q->graph->first; n != NULL; n = n->next) {
        assert_true(strcmp(n->domain, "ai.narrow") != 0);
        for (int i = 0; i < n->n_inputs; i++) {
            assert_true(n->inputs[i] == NULL || n->inputs[i]->quant == NULL);
        }
    }
    assert_ok(nrw_graph_verify(q, &err), &err);
    assert_ok(nrw_onnx_fold_quantization(q, &err), &err);
    assert_ok(nrw_run_pipeline(q, NRW_PIPELINE_IMPORT, NULL, &err), &err);
    assert_ok(nrw_graph_verify(q, &err), &err);
    char *after = text_of(q);
    without_numbers(before);
    without_numbers(after);
    size_t at = 0;
    while (before[at] == after[at] && before[at] != 0) at++;
    if (before[at] != after[at]) {
        at = at < 100 ? 0 : at - 100;
        fail_msg("...%.300s...\nbecame\n...%.300s...", before + at, after + at);
    }
    free(before);
    free(after);
    nrw_model_destroy(q);
}

static void test_round_trips(void **state) {
    (void)state;
    check_round_trip(network, NRW_MODE_STATIC, false);
    check_round_trip(network, NRW_MODE_STATIC, true);
    check_round_trip(network, NRW_MODE_WEIGHTS, false);
    check_round_trip(block, NRW_MODE_STATIC, false);
    check_round_trip(block, NRW_MODE_DYNAMIC, false);
}

static void test_half(void **state) {
    (void)state;
    const nrw_recipe r = recipe(NRW_MODE_FP16);
    nrw_model *q = quantized(network, &r);
    assert_int_equal(node(q, "c1")->inputs[1]->type.dtype, NRW_F16);
    assert_int_equal(node(q, "c1")->outputs[0]->type.dtype, NRW_F16);
    assert_int_equal(q->graph->inputs[0]->type.dtype, NRW_F32);
    assert_int_equal(q->graph->outputs[0]->type.dtype, NRW_F32);
    assert_string_equal(q->graph->outputs[0]->name, "probabilities");
    nrw_model_destroy(q);
}

/* Position embeddings are stored small; a table of coordinates and a mask are not. A product of
 * constants has no range that could be measured, weights that two layers share stay one. */
static const char *const constants = "graph main(%x: f32[1,64,32]) {\n"
                                     "  const %position: f32[64,32] = random 1\n"
                                     "  const %boxes: f32[1,1024,2] = random 2\n"
                                     "  const %mask: f32[64,32] = [-3.40282347e+38]\n"
                                     "  const %a: f32[8,2048] = random 3\n"
                                     "  const %w: f32[32,32] = random 4\n"
                                     "  const %b: f32[2048,32] = random 5\n"
                                     "  const %shape: i64[3] = [1, 1024, 2]\n"
                                     "  %p: f32[1,64,32] = Add(%x, %position) \"position\"\n"
                                     "  %d: f32[1,64,32] = MatMul(%p, %w) \"first\"\n"
                                     "  %e: f32[1,64,32] = MatMul(%d, %w) \"second\"\n"
                                     "  %f: f32[1,64,32] = Add(%e, %mask) \"mask\"\n"
                                     "  %g: f32[1,1024,2] = Reshape(%f, %shape) \"reshape\"\n"
                                     "  %y: f32[1,1024,2] = Add(%g, %boxes) \"boxes\"\n"
                                     "  %k: f32[8,32] = MatMul(%a, %b) \"constant\"\n"
                                     "  return %y, %k\n"
                                     "}\n";

static void test_constants(void **state) {
    (void)state;
    const nrw_mode modes[] = {NRW_MODE_STATIC, NRW_MODE_DYNAMIC, NRW_MODE_WEIGHTS};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const nrw_recipe r = recipe(modes[i]);
        nrw_model *q = quantized(constants, &r);
        assert_non_null(node(q, "position")->inputs[1]->quant);
        assert_null(node(q, "mask")->inputs[1]->quant);
        assert_null(node(q, "boxes")->inputs[1]->quant);
        assert_non_null(node(q, "first")->inputs[1]->quant);
        assert_ptr_equal(node(q, "first")->inputs[1], node(q, "second")->inputs[1]);
        assert_null(node(q, "constant")); /* folded */
        nrw_model_destroy(q);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static_network), cmocka_unit_test(test_static_transformer),
        cmocka_unit_test(test_dynamic),        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_half),           cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_constants),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
