/* Every allocation of reading, planning, running and writing a model fails once: each time the call
 * says so, and nothing is lost. */
#include "unit.h"

#include <unistd.h>

#include "formats/onnx/onnx.h"
#include "narrow/session.h"
#include "ops/op.h"

static nrw_status whole_way(const nrw_context *c, const char *path, const char *out,
                            nrw_error *err) {
    nrw_model *model = NULL;
    nrw_plan *plan = NULL;
    nrw_session *session = NULL;
    static float pixels[2 * 64];
    int64_t dims[] = {2, 1, 8, 8};
    nrw_tensor in = nrw_tensor_make(NRW_F32, 4, dims, pixels), logits;
    nrw_status s = nrw_onnx_load(c, path, &model, err);
    if (s == NRW_OK) s = nrw_plan_create(model, NULL, &plan, err);
    if (s == NRW_OK) s = nrw_session_create(plan, &session, err);
    if (s == NRW_OK) s = nrw_session_run(session, 1, &in, 1, &logits, err);
    if (s == NRW_OK) {
        assert_int_equal(logits.rank, 2);
        assert_int_equal(logits.dims[1], 10);
        s = nrw_onnx_save(model, out, NULL, err);
    }
    nrw_session_destroy(session);
    nrw_plan_destroy(plan);
    nrw_model_destroy(model);
    return s;
}

static void test_each_allocation_may_fail(void **state) {
    char out[] = "/tmp/narrow-oom-XXXXXX";
    close(mkstemp(out));
    unlink(out);
    for (int64_t fail_at = 0;; fail_at++) {
        failing_allocator a;
        nrw_context c;
        nrw_error err = {0};
        failing_init(&a, fail_at);
        nrw_context_options options = {.allocator = &a.allocator, .threads = 1};
        nrw_status s = nrw_context_init(&c, &options, &err);
        if (s == NRW_OK) s = whole_way(&c, "examples/digits/digits.onnx", out, &err);
        nrw_context_destroy(&c);
        assert_int_equal(a.live, 0);
        if (s == NRW_OK) {
            assert_true(fail_at > 10);
            break;
        }
        if (s != NRW_ERR_MEMORY) fail_msg("allocation %d: %s", (int)fail_at, err.message);
        assert_int_not_equal(access(out, F_OK), 0);
    }
    unlink(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
