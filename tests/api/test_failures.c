/* The whole way of a model, from a file by way of quantization to another file that is read and
 * run: every allocation fails once, and so does every write. Each time the call says what is wrong,
 * nothing is lost and no file is left. */
#include "unit.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/context.h"
#include "narrow/narrow.h"

static const char model_path[] = "examples/digits/digits.onnx";

/* Fails allocation number fail_at, and those after it unless only_one. */
typedef struct shaky_allocator {
    failing_allocator inner;
    int64_t asked, fail_at;
    bool only_one;
} shaky_allocator;

static void *shaky_alloc(void *user, size_t size) {
    shaky_allocator *s = user;
    int64_t i = s->asked++;
    if (s->fail_at >= 0 && (s->only_one ? i == s->fail_at : i >= s->fail_at)) return NULL;
    return nrw_mem_alloc(&s->inner.allocator, size);
}

static void shaky_free(void *user, void *p, size_t size) {
    shaky_allocator *s = user;
    nrw_mem_free(&s->inner.allocator, p, size);
}

typedef struct way {
    const char *folder, *path;
    nrw_mode mode;
    nrw_onnx_style style;
} way;

static nrw_status run_once(nrw_context *c, const char *path, nrw_error *err) {
    nrw_model *m = NULL;
    nrw_plan *plan = NULL;
    nrw_session *session = NULL;
    static float pixels[64];
    nrw_tensor in = {.dtype = NRW_F32, .rank = 4, .dims = {1, 1, 8, 8}, .data = pixels}, out;
    nrw_status s = nrw_load(c, path, &m, err);
    if (s == NRW_OK) s = nrw_plan_create(m, NULL, &plan, err);
    if (s == NRW_OK) s = nrw_session_create(plan, &session, err);
    if (s == NRW_OK) s = nrw_session_run(session, 1, &in, 1, &out, err);
    nrw_session_destroy(session);
    nrw_plan_destroy(plan);
    nrw_model_free(m);
    return s;
}

static nrw_status quantize_and_save(nrw_context *c, const way *w, nrw_error *err) {
    nrw_model *m = NULL, *q = NULL;
    nrw_dataset *d = NULL;
    nrw_data_options data = {.path = "random:2"};
    nrw_quantize_options options = {.mode = w->mode};
    nrw_save_options save = {.onnx_style = w->style};
    nrw_status s = nrw_load(c, model_path, &m, err);
    if (s == NRW_OK && w->mode == NRW_MODE_STATIC) s = nrw_dataset_open(c, m, &data, &d, err);
    if (s == NRW_OK) s = nrw_quantize(m, &options, d, &q, NULL, err);
    if (s == NRW_OK) s = nrw_save(q, w->path, &save, err);
    nrw_dataset_free(d);
    nrw_model_free(q);
    nrw_model_free(m);
    return s;
}

static int files_in(const char *folder) {
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d) != NULL) n++;
    closedir(d);
    return n - 2; /* "." and ".." */
}

/* Runs it all with allocation fail_at failing; true when there was no such allocation. */
static bool attempt(const way *w, int64_t fail_at, bool only_one) {
    shaky_allocator a = {.fail_at = fail_at, .only_one = only_one};
    nrw_allocator allocator = {shaky_alloc, shaky_free, &a};
    nrw_context c;
    nrw_error err = {0};
    failing_init(&a.inner, -1);
    nrw_context_options options = {.allocator = &allocator, .threads = 1};
    nrw_status s = nrw_context_init(&c, &options, &err);
    if (s == NRW_OK) s = quantize_and_save(&c, w, &err);
    if (s != NRW_OK && files_in(w->folder) != 0)
        fail_msg("allocation %d: a file is left", (int)fail_at);
    if (s == NRW_OK) s = run_once(&c, w->path, &err);
    nrw_context_destroy(&c);
    unlink(w->path);
    if (a.inner.live != 0) fail_msg("allocation %d: something is not freed", (int)fail_at);
    bool reached = a.asked > fail_at;
    /* A single failure may be one that the library can do without. */
    bool fine = s == NRW_OK ? !reached || only_one : s == NRW_ERR_MEMORY && reached;
    if (!fine) fail_msg("allocation %d: status %d, '%s'", (int)fail_at, (int)s, err.message);
    return !reached;
}

static void fail_each_allocation(nrw_mode mode, nrw_onnx_style style) {
    char *folder = make_folder();
    way w = {.folder = folder, .path = in_folder(folder, "q.onnx"), .mode = mode, .style = style};
    int64_t i = 0;
    while (!attempt(&w, i, false)) i++;
    assert_true(i > 50);
    for (i = 0; !attempt(&w, i, true);) i++;
    remove_folder(folder);
}

static void test_static(void **state) {
    fail_each_allocation(NRW_MODE_STATIC, NRW_ONNX_QDQ);
}

static void test_static_qoperator(void **state) {
    fail_each_allocation(NRW_MODE_STATIC, NRW_ONNX_QOPERATOR);
}

static void test_dynamic(void **state) {
    fail_each_allocation(NRW_MODE_DYNAMIC, NRW_ONNX_QDQ);
}

static void test_half(void **state) {
    fail_each_allocation(NRW_MODE_FP16, NRW_ONNX_QDQ);
}

/* The system refuses to let a file grow beyond so many bytes, and later any write at all. */
static void test_each_write_may_fail(void **state) {
    char *folder = make_folder();
    way w = {.folder = folder, .path = in_folder(folder, "q.onnx"), .mode = NRW_MODE_DYNAMIC};
    nrw_context *c = NULL;
    nrw_error err = {0};
    struct rlimit before, small;
    struct stat st;
    assert_ok(nrw_open(&(nrw_options){.threads = 1}, &c, &err), &err);
    assert_ok(quantize_and_save(c, &w, &err), &err);
    assert_int_equal(stat(w.path, &st), 0);
    assert_int_equal(unlink(w.path), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (off_t size = 0; size < st.st_size; size += st.st_size / 20) {
        small = before;
        small.rlim_cur = (rlim_t)size;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        nrw_status s = quantize_and_save(c, &w, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(s, NRW_ERR_IO);
        assert_non_null(strstr(err.message, w.path));
        assert_int_equal(files_in(folder), 0);
    }
    assert_int_equal(symlink("/dev/full", w.path), 0);
    assert_fails(quantize_and_save(c, &w, &err), NRW_ERR_IO, &err, w.path);
    nrw_close(c);
    remove_folder(folder);
}

/* A recipe that cannot be written: the quantized model is gone, and the pointer says so. */
static void test_recipe_cannot_be_written(void **state) {
    nrw_context *c = NULL;
    nrw_model *m = NULL, *q = NULL;
    nrw_error err = {0};
    nrw_quantize_options options = {.mode = NRW_MODE_DYNAMIC, .save_recipe = "/nowhere/r.json"};
    assert_ok(nrw_open(&(nrw_options){.threads = 1}, &c, &err), &err);
    assert_ok(nrw_load(c, model_path, &m, &err), &err);
    assert_fails(nrw_quantize(m, &options, NULL, &q, NULL, &err), NRW_ERR_IO, &err, "/nowhere/");
    assert_null(q);
    nrw_model_free(m);
    nrw_close(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static),
        cmocka_unit_test(test_static_qoperator),
        cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_each_write_may_fail),
        cmocka_unit_test(test_recipe_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
