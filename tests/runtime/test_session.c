/* Sessions: shapes, memory, bodies, annotations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/context.h"
#include "ops/op.h"
#include "runtime/session.h"

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

typedef struct machine {
    nrw_model *model;
    nrw_plan *plan;
    nrw_session *session;
    nrw_error err;
} machine;

static void start(machine *m, const char *text, const nrw_plan_options *options) {
    memset(m, 0, sizeof *m);
    nrw_status s = nrw_model_parse(&context, text, strlen(text), nrw_op_find, &m->model, &m->err);
    if (s == NRW_OK) s = nrw_plan_create(m->model, options, &m->plan, &m->err);
    if (s == NRW_OK) s = nrw_session_create(m->plan, &m->session, &m->err);
    if (s != NRW_OK) fail_msg("%s", m->err.message);
}

static void stop(machine *m) {
    nrw_session_destroy(m->session);
    nrw_plan_destroy(m->plan);
    nrw_model_destroy(m->model);
}

static nrw_status run_f32(machine *m, int rank, const int64_t *dims, float *x, nrw_tensor *y) {
    nrw_tensor in = nrw_tensor_make(NRW_F32, rank, dims, x);
    return nrw_session_run(m->session, 1, &in, 1, y, &m->err);
}

static void expect_f32(const nrw_tensor *t, int64_t n, const float *want) {
    assert_int_equal(t->dtype, NRW_F32);
    assert_int_equal(nrw_tensor_count(t), n);
    for (int64_t i = 0; i < n; i++) {
        if (((float *)t->data)[i] != want[i])
            fail_msg("element %d: %g, expected %g", (int)i, (double)((float *)t->data)[i],
                     (double)want[i]);
    }
}

/* Reshape's shape is computed from the input's: known before the run, and again for each new shape.
 */
static void test_shapes_are_found_before_the_run(void **state) {
    (void)state;
    machine m;
    start(&m,
          "graph g(%x: f32[N,2]) {\n  const %i: i64[1] = [0]\n  const %minus: i64[1] = [-1]\n"
          "  %s: ? = Shape(%x)\n  %n: ? = Gather(%s, %i)\n  %t: ? = Concat(%minus, %n) {axis=0}\n"
          "  %r: ? = Reshape(%x, %t)\n  %y: ? = Relu(%r)\n  return %y\n}",
          NULL);
    float x[] = {1, -2, 3, -4, 5, -6};
    for (int64_t n = 1; n <= 3; n++) {
        nrw_tensor y;
        if (run_f32(&m, 2, (int64_t[]){n, 2}, x, &y) != NRW_OK) fail_msg("%s", m.err.message);
        assert_int_equal(y.rank, 2);
        assert_int_equal(y.dims[0], 2);
        assert_int_equal(y.dims[1], n);
        expect_f32(&y, 2 * n, (float[]){1, 0, 3, 0, 5, 0});
    }
    int steps;
    const nrw_step_time *t = nrw_session_times(m.session, &steps);
    assert_int_equal(steps, 5);
    assert_string_equal(t[0].op, "Shape");
    stop(&m);
}

static void test_sizes_that_only_data_tell(void **state) {
    (void)state;
    machine m;
    start(&m,
          "graph g(%x: f32[4]) {\n  %i: ? = NonZero(%x)\n  %j: ? = Transpose(%i)\n  %y: ? = "
          "GatherND(%x, %j)\n"
          "  return %y\n}",
          NULL);
    nrw_tensor y;
    float x[] = {0, 5, 0, 7}, z[] = {1, 2, 3, 0}, none[] = {0, 0, 0, 0};
    const int64_t four = 4;
    assert_int_equal(run_f32(&m, 1, &four, x, &y), NRW_OK);
    expect_f32(&y, 2, (float[]){5, 7});
    assert_int_equal(run_f32(&m, 1, &four, z, &y), NRW_OK);
    expect_f32(&y, 3, (float[]){1, 2, 3});
    assert_int_equal(run_f32(&m, 1, &four, none, &y), NRW_OK);
    assert_int_equal(nrw_tensor_count(&y), 0);
    stop(&m);
}

static void test_wrong_inputs_are_named(void **state) {
    (void)state;
    machine m;
    start(&m, "graph g(%pixels: f32[2,2]) {\n  %y: ? = Relu(%pixels)\n  return %y\n}", NULL);
    nrw_tensor y;
    float x[8] = {0};
    assert_int_equal(run_f32(&m, 1, (int64_t[]){4}, x, &y), NRW_ERR_DATA);
    assert_string_equal(m.err.message, "input 'pixels': expected f32[2,2], got f32[4]");
    stop(&m);
}

/* The same values through integers and through simulation: x is rounded to steps of 0.5 and clipped
 * to 0..127.5. */
static void test_annotations(void **state) {
    (void)state;
    static const char *const text =
        "graph g(%x: f32[4]) {\n  const %s: i64[2] = [2, 2]\n"
        "  %q: f32[4] q(u8, scale=0.5, zero=0) = ai.narrow::Requantize(%x)\n"
        "  %r: f32[2,2] q(u8, scale=0.5, zero=0) = Reshape(%q, %s)\n"
        "  %y: f32[2,2] = Exp(%r)\n  return %y\n}";
    for (int simulate = 0; simulate < 2; simulate++) {
        machine m;
        start(&m, text, &(nrw_plan_options){.simulate = simulate});
        nrw_tensor y;
        float x[] = {-3, 0.6f, 0.74f, 0.76f};
        if (run_f32(&m, 1, (int64_t[]){4}, x, &y) != NRW_OK) fail_msg("%s", m.err.message);
        assert_float_equal(((float *)y.data)[0], 1, 1e-6);
        assert_float_equal(((float *)y.data)[1], 1.6487213, 1e-5);
        assert_float_equal(((float *)y.data)[2], 1.6487213, 1e-5);
        assert_float_equal(((float *)y.data)[3], 2.7182818, 1e-5);
        stop(&m);
    }
}

static void test_memory_is_shared(void **state) {
    (void)state;
    machine m;
    start(&m,
          "graph g(%x: f32[1000]) {\n  %a: ? = Exp(%x)\n  %b: ? = Neg(%a)\n  %c: ? = Abs(%b)\n"
          "  %d: ? = Sqrt(%c)\n  return %d\n}",
          NULL);
    static float x[1000];
    nrw_tensor y;
    assert_int_equal(run_f32(&m, 1, (int64_t[]){1000}, x, &y), NRW_OK);
    assert_in_range(nrw_session_slab_bytes(m.session), 2 * 4000, 2 * 4064);
    stop(&m);
}

static nrw_status note(void *user, const nrw_value *v, const nrw_tensor *t, nrw_error *err) {
    (void)t, (void)err;
    strcat(user, v->name);
    return NRW_OK;
}

static void test_observer(void **state) {
    (void)state;
    machine m;
    char seen[64] = "";
    start(&m, "graph g(%x: f32[1]) {\n  %a: ? = Exp(%x)\n  %b: ? = Neg(%a)\n  return %b\n}",
          &(nrw_plan_options){.keep_values = true});
    float x = 1;
    nrw_tensor y;
    nrw_session_observe(m.session, note, seen);
    assert_int_equal(run_f32(&m, 1, (int64_t[]){1}, &x, &y), NRW_OK);
    assert_string_equal(seen, "xab");
    stop(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes_are_found_before_the_run),
        cmocka_unit_test(test_sizes_that_only_data_tell),
        cmocka_unit_test(test_wrong_inputs_are_named),
        cmocka_unit_test(test_annotations),
        cmocka_unit_test(test_memory_is_shared),
        cmocka_unit_test(test_observer),
    };
    return cmocka_run_group_tests_name("session", tests, setup, teardown);
}
