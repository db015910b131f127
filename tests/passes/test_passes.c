/* Every text file of this folder is a test: a line "passes: NAME …", a graph, a line "becomes", the
 * graph that the passes must make of it. */
#include "with_context.h"

#include <dirent.h>

#include "ops/op.h"
#include "passes/pass.h"

#define FOLDER "tests/passes"

static char *read_text(const char *path) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    const size_t n = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    text[n] = 0;
    return text;
}

static nrw_model *parse(const char *path, const char *text) {
    nrw_model *m;
    nrw_error err;
    if (nrw_model_parse(&context, text, strlen(text), nrw_op_find, &m, &err) != NRW_OK)
        fail_msg("%s: %s", path, err.message);
    nrw_model_names_are_given(m);
    return m;
}

static void print(const nrw_model *m, nrw_strbuf *out) {
    nrw_error err;
    nrw_strbuf_init(out, context.memory.parent);
    assert_ok(nrw_model_print(m, out, -1, &err), &err);
    nrw_strbuf_add(out, "", 0);
}

static void run_passes(const char *path, char *names, nrw_model *m) {
    nrw_error err;
    const nrw_pass_watch watch = {.verify = true};
    for (char *save, *name = strtok_r(names, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
        const nrw_pass *pass = nrw_pass_find(name);
        if (pass == NULL) fail_msg("%s: no pass '%s'", path, name);
        if (nrw_run_pass(m, pass, &watch, &err) != NRW_OK) fail_msg("%s: %s", path, err.message);
    }
}

static void check_file(const char *path) {
    char *text = read_text(path), *from = strstr(text, "\n"), *to = strstr(text, "\nbecomes\n");
    assert_int_equal(strncmp(text, "passes: ", 8), 0);
    assert_non_null(to);
    *from++ = 0;
    *to = 0;
    nrw_model *m = parse(path, from), *expected = parse(path, to + 9);
    run_passes(path, text + 8, m);
    nrw_strbuf got, want;
    print(m, &got);
    print(expected, &want);
    if (strcmp(got.data, want.data) != 0) fail_msg("%s gives\n%s", path, got.data);
    nrw_strbuf_free(&got);
    nrw_strbuf_free(&want);
    nrw_model_destroy(m);
    nrw_model_destroy(expected);
    free(text);
}

static void test_files(void **state) {
    (void)state;
    struct dirent **files;
    int n = scandir(FOLDER, &files, NULL, alphasort), seen = 0;
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        const size_t size = strlen(files[i]->d_name);
        char path[512];
        snprintf(path, sizeof path, "%s/%s", FOLDER, files[i]->d_name);
        free(files[i]);
        if (size < 5 || strcmp(path + strlen(path) - 4, ".txt") != 0) continue;
        check_file(path);
        seen++;
    }
    free(files);
    assert_true(seen > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
