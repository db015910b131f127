/* TensorFlow Lite's own operators: integers that LiteRT 2.3 computes for the same graphs, and the
 * fixed-point functions behind them. */
#include <math.h>

#include "base/context.h"
#include "ops/op.h"
#include "ops/tflite_fixed.h"
#include "runtime/session.h"
#include "unit.h"

static nrw_context context;

static int setup(void **state) {
    (void)state;
    return nrw_context_init(&context, &(nrw_context_options){.threads = 2}, NULL) != NRW_OK;
}

static int teardown(void **state) {
    (void)state;
    nrw_context_destroy(&context);
    return context.memory.used != 0;
}

/* Runs a graph of int8 inputs [1, each] or as the graph says, one after the other in x. */
static void expect(const char *text, int n_in, const nrw_type *type, int8_t *x, int n_out,
                   const int8_t *want) {
    nrw_model *model = NULL;
    nrw_plan *plan = NULL;
    nrw_session *session = NULL;
    nrw_error err = {0};
    nrw_tensor in[4], out[4];
    assert_ok(nrw_model_parse(&context, text, strlen(text), nrw_op_find, &model, &err), &err);
    assert_ok(nrw_plan_create(model, NULL, &plan, &err), &err);
    assert_ok(nrw_session_create(plan, &session, &err), &err);
    for (int i = 0; i < n_in; i++) {
        in[i] = nrw_tensor_make(NRW_I8, type->rank, type->dims, x);
        x += nrw_type_count(type);
    }
    assert_ok(nrw_session_run(session, n_in, in, n_out, out, &err), &err);
    for (int i = 0; i < n_out; i++) {
        const int64_t n = nrw_tensor_count(&out[i]);
        assert_int_equal(out[i].dtype, NRW_I8);
        assert_memory_equal(out[i].data, want, (size_t)n);
        want += n;
    }
    nrw_session_destroy(session);
    nrw_plan_destroy(plan);
    nrw_model_destroy(model);
}

/* Peepholes, normalization and a clip. */
static void lstm_is_exact(void **state) {
    (void)state;
    static const char text[] =
        "graph main(%x: f32[1,4,3] q(i8, scale=0.0299999993, zero=-7) as integers) {\n"
        "  const %wi: i8[4,3] q(i8, scale=0.00859533064, zero=0) = [-47, -63, -13, 49, 34, 37, "
        "-99, -91, 90, 56, 127, 70]\n"
        "  const %wf: i8[4,3] q(i8, scale=0.00623915717, zero=0) = [-82, 103, 50, 17, -66, 0, "
        "-12, 72, 10, 127, -62, 38]\n"
        "  const %wc: i8[4,3] q(i8, scale=0.00465065381, zero=0) = [54, -93, -127, 109, 56, -17, "
        "42, -73, 26, -65, 20, 106]\n"
        "  const %wo: i8[4,3] q(i8, scale=0.00560548343, zero=0) = [-30, 76, -92, -26, -122, -9, "
        "7, -18, -24, 120, 127, -108]\n"
        "  const %ri: i8[4,4] q(i8, scale=0.00678373873, zero=0) = [87, -127, -54, -13, 8, -77, "
        "-53, 6, -51, -47, 49, 69, -4, 1, -1, -33]\n"
        "  const %rf: i8[4,4] q(i8, scale=0.00559462374, zero=0) = [-46, -93, 58, -8, -12, 18, "
        "47, 127, -24, -36, 18, -76, 114, 83, 62, -11]\n"
        "  const %rc: i8[4,4] q(i8, scale=0.00746110966, zero=0) = [50, 70, 34, -19, -113, 63, "
        "-24, -57, 60, 23, -95, -7, -18, 67, -127, -26]\n"
        "  const %ro: i8[4,4] q(i8, scale=0.0115765035, zero=0) = [-6, 61, -47, -127, -60, 11, "
        "35, 75, 17, -35, 38, 0, -9, 1, 55, -39]\n"
        "  const %pi: i16[4] q(i16, scale=1.56243677e-05, zero=0) = [-32767, -2129, -2130, "
        "-26064]\n"
        "  const %pf: i16[4] q(i16, scale=2.04143671e-05, zero=0) = [-21540, 9250, 32767, 17463]\n"
        "  const %po: i16[4] q(i16, scale=3.0380761e-05, zero=0) = [11276, 20502, -32767, "
        "-24857]\n"
        "  const %bi: i32[4] q(i32, scale=1.78090875e-08, zero=0) = [-17843496, -40433608, "
        "-28696582, -15576784]\n"
        "  const %bf: i32[4] q(i32, scale=3.04463086e-08, zero=0) = [8799568, -3355234, -6549338, "
        "-2950791]\n"
        "  const %bc: i32[4] q(i32, scale=2.00508374e-08, zero=0) = [27424212, -14350994, "
        "37687496, -30612008]\n"
        "  const %bo: i32[4] q(i32, scale=1.03924647e-08, zero=0) = [-28493492, 41135700, "
        "24913574, -41160076]\n"
        "  const %h: i8[1,4] q(i8, scale=0.00800000038, zero=11) = [11]\n"
        "  const %c: i16[1,4] q(i16, scale=0.00048828125, zero=0) = [0]\n"
        "  const %ni: i16[4] q(i16, scale=1.82365056e-05, zero=0) = [-19340, -32767, -27127, "
        "1916]\n"
        "  const %nf: i16[4] q(i16, scale=3.117702e-05, zero=0) = [-20598, -7113, -32767, "
        "-15620]\n"
        "  const %nc: i16[4] q(i16, scale=2.05320575e-05, zero=0) = [32767, -13221, 7893, 17245]\n"
        "  const %no: i16[4] q(i16, scale=1.06418838e-05, zero=0) = [-23065, 27208, 10080, "
        "32767]\n"
        "  const %g: i16[] q(i16, scale=0.00048828125, zero=0) = [0]\n"
        "  const %m: i8[] q(i8, scale=0.00800000038, zero=11) = [11]\n"
        "  %y: f32[1,4,4] q(i8, scale=0.00800000038, zero=11) as integers = "
        "tflite::UNIDIRECTIONAL_SEQUENCE_LSTM(%x, %wi, %wf, %wc, %wo, %ri, %rf, %rc, %ro, %pi, "
        "%pf, %po, %bi, %bf, %bc, %bo, _, _, %h, %c, %ni, %nf, %nc, %no, %g, %g, %g, %g, %m) "
        "{fused_activation_function=4, cell_clip=0.600000024, intermediates=5}\n"
        "  return %y }";
    int8_t x[] = {-51, 71, -30, 27, -9, 53, -40, -106, -53, 33, 30, 123};
    static const int8_t want[] = {11, 2, 29, 6, -8, -4, 38, 1, 16, 4, 39, -3, -4, 0, 40, -5};
    const nrw_type type = nrw_type_make(NRW_I8, 3, (int64_t[]){1, 4, 3});
    expect(text, 1, &type, x, 1, want);
}

/* Three steps; the memory holds two. */
static void svdf_is_exact(void **state) {
    (void)state;
    static const char text[] =
        "graph main(%a: f32[1,3] q(i8, scale=0.0299999993, zero=-7) as integers, %b: f32[1,3] "
        "q(i8, scale=0.0299999993, zero=-7) as integers, %c: f32[1,3] q(i8, scale=0.0299999993, "
        "zero=-7) as integers) {\n"
        "  const %w: i8[4,3] q(i8, scale=0.00630438561, zero=0) = [-111, -95, -103, -49, 115, "
        "-127, 75, 100, -28, -56, 37, 96]\n"
        "  const %t: i16[4,2] q(i16, scale=3.28917995e-05, zero=0) = [32767, 13557, 24229, -6845, "
        "-13289, -26143, -17538, -5525]\n"
        "  const %o: i32[2] q(i32, scale=3.28917982e-09, zero=0) = [29337820, -199609120]\n"
        "  const %s: i16[1,8] q(i16, scale=9.99999975e-05, zero=0) = [0]\n"
        "  %x: f32[1,2] q(i8, scale=0.0199999996, zero=-5) as integers, %p: f32[1,8] q(i16, "
        "scale=9.99999975e-05, zero=0) = tflite::SVDF(%a, %w, %t, %o, %s) {rank=2}\n"
        "  %y: f32[1,2] q(i8, scale=0.0199999996, zero=-5) as integers, %q: f32[1,8] q(i16, "
        "scale=9.99999975e-05, zero=0) = tflite::SVDF(%b, %w, %t, %o, %p) {rank=2}\n"
        "  %z: f32[1,2] q(i8, scale=0.0199999996, zero=-5) as integers = tflite::SVDF(%c, %w, "
        "%t, %o, %q) {rank=2}\n"
        "  return %x, %y, %z }";
    int8_t x[] = {-29, -111, -65, 3, -16, 42, 105, -23, 124};
    static const int8_t want[] = {80, 61, 127, 56, -128, -88};
    const nrw_type type = nrw_type_make(NRW_I8, 2, (int64_t[]){1, 3});
    expect(text, 3, &type, x, 3, want);
}

/* Boxes that overlap, two classes behind a background: all of this can be done by hand. */
static void detections_are_found(void **state) {
    (void)state;
    static const char text[] =
        "graph main(%b: f32[1,3,4] q(i8, scale=1.0, zero=0) as integers, %s: f32[1,3,4] q(i8, "
        "scale=1.0, zero=0) as integers) {\n"
        "  const %a: f32[3,4] = [10, 10, 4, 4, 10, 11, 4, 4, 30, 30, 4, 4]\n"
        "  %x: f32[1,2,4] q(i8, scale=1.0, zero=0) as integers, %l: f32[1,2] q(i8, scale=1.0, "
        "zero=0) as integers, %p: f32[1,2] q(i8, scale=1.0, zero=0) as integers, %n: f32[1] "
        "q(i8, scale=1.0, zero=0) as integers = tflite::TFLite_Detection_PostProcess(%b, %s, %a) "
        "{max_detections=2, max_classes_per_detection=1, num_classes=3, nms_score_threshold=2.0, "
        "nms_iou_threshold=0.5, y_scale=1.0, x_scale=1.0, h_scale=1.0, w_scale=1.0}\n"
        "  return %x, %l, %p, %n }";
    int8_t x[24] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 99, 3, 9, 1, 99, 1, 1, 8, 99, 2, 5, 1};
    static const int8_t want[] = {8, 8, 12, 12, 28, 28, 32, 32, 1, 1, 9, 5, 2};
    const nrw_type type = nrw_type_make(NRW_I8, 3, (int64_t[]){1, 3, 4});
    expect(text, 2, &type, x, 4, want);
}

static void fixed_functions_are_near(void **state) {
    (void)state;
    for (int x = INT16_MIN; x <= INT16_MAX; x++) {
        const double v = x / 4096.0;
        assert_true(fabs(nrw_fixed_sigmoid((int16_t)x) / 32768.0 - 1 / (1 + exp(-v))) < 1e-3);
        assert_true(fabs(nrw_fixed_tanh((int16_t)x, 3) / 32768.0 - tanh(v)) < 2e-3);
        assert_true(fabs(nrw_fixed_tanh((int16_t)x, 6) / 32768.0 - tanh(v * 8)) < 3e-3);
    }
    assert_int_equal(nrw_fixed_sigmoid(0), 16384);
    assert_int_equal(nrw_fixed_tanh(0, 4), 0);
}

static void fixed_factors_round(void **state) {
    (void)state;
    const nrw_fixed_factor third = nrw_fixed_from(1.0 / 3), large = nrw_fixed_from(1000);
    assert_int_equal(nrw_fixed_scale(100, third), 34); /* 66.7 to 67, 33.5 to 34 */
    assert_int_equal(nrw_fixed_scale(-101, third), -34);
    assert_int_equal(nrw_fixed_scale(7, large), 7000);
    assert_int_equal(nrw_fixed_scale(7, nrw_fixed_from(0)), 0);
    assert_int_equal(nrw_fixed_scale(INT32_MAX, nrw_fixed_from(1e-12)), 0);
    assert_int_equal(nrw_fixed_divide(-6, 2), -2);
    assert_int_equal(nrw_fixed_divide(6, 2), 2);
    assert_int_equal(nrw_fixed_divide(5, 2), 1);
    for (int64_t x = 2; x < 1 << 30; x = x * 3 + 1) {
        const nrw_fixed_factor f = nrw_fixed_inverse_root((int32_t)x);
        assert_true(fabs(ldexp(f.mantissa, f.shift - 31) * sqrt((double)x) - 1) < 1e-5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lstm_is_exact),        cmocka_unit_test(svdf_is_exact),
        cmocka_unit_test(detections_are_found), cmocka_unit_test(fixed_functions_are_near),
        cmocka_unit_test(fixed_factors_round),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
