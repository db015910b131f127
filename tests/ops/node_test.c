/* ONNX's backend node tests (tests/ops/make_node_tests.py writes them) on the library.
 *
 * usage: node_test FOLDER [FILTER] [-v] [--here]
 *
 * A case whose operators are all known must give what ONNX says, within ONNX's tolerances. One with
 * an operator that Narrow does not know must either work all the same (the importer may have put
 * others in its place) or be refused with that operator's name. FILTER picks cases by a part of
 * their name; -v tells how each went; --here runs them in this process, for a debugger. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/onnx/onnx.h"
#include "ops/op.h"
#include "runtime/session.h"
#include "testing.h"

#define MAX_VALUES   32
#define CASE_SECONDS 60

/* What `meta` says of a case. */
typedef struct meta {
    double rtol, atol;
    char in[MAX_VALUES + 2], out[MAX_VALUES + 2]; /* a dash, then one letter each */
    char about[64];
    char ops[4096];
} meta;

/* Cases whose expected values carry rounding noise of their own beyond ONNX's tolerances. */
static const struct {
    const char *name;
    double rtol, atol;
    const char *why;
} noisy[] = {
    {"test_dft_inverse", 1e-3, 1e-6, "zeros that were computed in float32 as 2e-7"},
    {"test_attention_4d_causal_fp16_expanded", 0x1p-9, 1e-7,
     "every step rounds to float16: two units in the last place"},
};

typedef enum verdict { PASSED = 0, REFUSED = 1, FAILED = 2 } verdict;

typedef struct tally {
    char op[64];
    int total, passed, refused;
} tally;

static bool read_meta(const char *folder, meta *m) {
    char path[4096];
    snprintf(path, sizeof path, "%s/meta", folder);
    FILE *f = fopen(path, "r");
    if (f == NULL) return false;
    bool ok =
        fscanf(f, "%lf %lf %33s %33s %63s ", &m->rtol, &m->atol, m->in, m->out, m->about) == 5 &&
        fgets(m->ops, sizeof m->ops, f) != NULL;
    fclose(f);
    for (size_t i = 0; i < sizeof noisy / sizeof *noisy; i++) {
        if (strstr(folder, noisy[i].name) == NULL) continue;
        m->rtol = noisy[i].rtol;
        m->atol = noisy[i].atol;
    }
    return ok;
}

/* Of random results only type and shape can be foretold. */
static bool is_random(const meta *m) {
    const nrw_op *op = nrw_op_find(m->about, "");
    return op != NULL && op->random;
}

/* Copies the name of an operator of the case that the registry lacks and the message names; false
 * when there is none. */
static bool refused_by_name(const meta *m, const char *message, char *name, size_t n) {
    char copy[sizeof m->ops], *rest = copy;
    memcpy(copy, m->ops, sizeof copy);
    for (char *word; (word = strsep(&rest, " \n")) != NULL;) {
        char *slash = strchr(word, '/');
        if (slash == NULL) continue;
        *slash = '\0';
        if (nrw_op_find(slash + 1, word) != NULL || strstr(message, slash + 1) == NULL) continue;
        snprintf(name, n, "%s", slash + 1);
        return true;
    }
    return false;
}

static nrw_status read_value(nrw_arena *arena, const char *folder, const char *role, int i,
                             char kind, nrw_tensor *out, nrw_error *err) {
    char *path = nrw_arena_printf(arena, "%s/%s_%d.pb", folder, role, i);
    nrw_mapping map;
    NRW_TRY(nrw_map_file(path, &map, err));
    /* Views point into the bytes, so these stay as long as the arena. */
    void *bytes = nrw_arena_dup(arena, map.data, map.size);
    size_t size = map.size;
    nrw_unmap_file(&map);
    if (kind == 's') return nrw_onnx_read_sequence(arena, bytes, size, out, NULL, err);
    if (kind == 'o') return nrw_onnx_read_optional(arena, bytes, size, out, NULL, err);
    return nrw_onnx_read_tensor(arena, bytes, size, out, NULL, err);
}

static nrw_status run_session(const nrw_plan *plan, const char *folder, const meta *m,
                              nrw_arena *arena, const char **differ, char *why, size_t n,
                              nrw_error *err) {
    nrw_tensor in[MAX_VALUES], want, got[MAX_VALUES];
    int n_in = (int)strlen(m->in) - 1, n_out = (int)strlen(m->out) - 1;
    for (int i = 0; i < n_in; i++) {
        NRW_TRY(read_value(arena, folder, "input", i, m->in[i + 1], &in[i], err));
    }
    nrw_session *session;
    NRW_TRY(nrw_session_create(plan, &session, err));
    nrw_status s = nrw_session_run(session, n_in, in, n_out, got, err);
    for (int i = 0; s == NRW_OK && i < n_out && *differ == NULL; i++) {
        char what[800];
        s = read_value(arena, folder, "output", i, m->out[i + 1], &want, err);
        if (s != NRW_OK) break;
        if (is_random(m) && got[i].dtype == want.dtype &&
            nrw_dims_equal(got[i].rank, got[i].dims, want.rank, want.dims))
            continue;
        const char *d = testing_differ(&got[i], &want, m->rtol, m->atol, what, sizeof what);
        if (d == NULL) continue;
        snprintf(why, n, "output %d: %s", i, d);
        *differ = why;
    }
    nrw_session_destroy(session);
    return s;
}

static verdict run_case(const nrw_context *c, const char *folder, const meta *m, char *why,
                        size_t n) {
    nrw_arena arena;
    nrw_arena_init(&arena, nrw_system_allocator());
    nrw_error err = {0};
    nrw_model *model = NULL;
    nrw_plan *plan = NULL;
    const char *differ = NULL;
    char *path = nrw_arena_printf(&arena, "%s/model.onnx", folder);
    nrw_status s = nrw_onnx_load(c, path, &model, &err);
    if (s == NRW_OK) s = nrw_plan_create(model, NULL, &plan, &err);
    if (s == NRW_OK) s = run_session(plan, folder, m, &arena, &differ, why, n, &err);
    nrw_plan_destroy(plan);
    if (model != NULL) nrw_model_destroy(model);
    nrw_arena_free(&arena);

    if (s == NRW_OK) return differ == NULL ? PASSED : FAILED;
    char unknown[64];
    if (s == NRW_ERR_UNSUPPORTED && refused_by_name(m, err.message, unknown, sizeof unknown)) {
        snprintf(why, n, "%s is unknown", unknown);
        return REFUSED;
    }
    snprintf(why, n, "%s: %s", nrw_status_name(s), err.message);
    return FAILED;
}

/* Runs the case in a child, so that a crash or an endless loop is one failed case. */
static verdict run_apart(const nrw_context *c, const char *folder, const meta *m, char *why,
                         size_t n) {
    int fd[2];
    if (pipe(fd) != 0) return FAILED;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char answer[1100];
        memset(answer, 0, sizeof answer);
        alarm(CASE_SECONDS);
        answer[0] = (char)run_case(c, folder, m, answer + 1, sizeof answer - 1);
        bool sent = write(fd[1], answer, sizeof answer) == (ssize_t)sizeof answer;
        _exit(sent ? 0 : 1);
    }
    close(fd[1]);
    char answer[1100];
    size_t got = 0;
    for (ssize_t k; (k = read(fd[0], answer + got, sizeof answer - got)) > 0;) got += (size_t)k;
    close(fd[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (got == sizeof answer && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        snprintf(why, n, "%s", answer + 1);
        return (verdict)answer[0];
    }
    if (WIFSIGNALED(status)) {
        snprintf(why, n, "%s", strsignal(WTERMSIG(status)));
    } else {
        snprintf(why, n, "the test ended with status %d", WEXITSTATUS(status));
    }
    return FAILED;
}

static tally *tally_of(tally *all, size_t *n, size_t cap, const char *op) {
    for (size_t i = 0; i < *n; i++) {
        if (strcmp(all[i].op, op) == 0) return &all[i];
    }
    if (*n == cap) return &all[cap - 1];
    tally *t = &all[(*n)++];
    *t = (tally){0};
    snprintf(t->op, sizeof t->op, "%s", op);
    return t;
}

static int is_case(const struct dirent *d) {
    return strncmp(d->d_name, "test_", 5) == 0;
}

int main(int argc, char **argv) {
    const char *root = NULL, *filter = "";
    bool verbose = false, here = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "--here") == 0) {
            here = true;
        } else if (root == NULL) {
            root = argv[i];
        } else {
            filter = argv[i];
        }
    }
    struct dirent **names = NULL;
    int n_names = root == NULL ? -1 : scandir(root, &names, is_case, alphasort);
    if (n_names <= 0) {
        fprintf(stderr, "usage: node_test FOLDER [FILTER] [-v] [--here]   (no cases in %s)\n",
                root == NULL ? "?" : root);
        return 2;
    }
    nrw_context context;
    testing_context(&context, NULL, 1);
    static tally tallies[400];
    size_t n_tallies = 0;
    int passed = 0, refused = 0, failed = 0;
    for (int i = 0; i < n_names; i++) {
        const char *name = names[i]->d_name;
        if (strcasestr(name, filter) != NULL) {
            char folder[4096], why[1100] = "";
            meta m;
            snprintf(folder, sizeof folder, "%s/%s", root, name);
            verdict v = FAILED;
            if (!read_meta(folder, &m)) {
                snprintf(m.about, sizeof m.about, "?");
                snprintf(why, sizeof why, "cannot read meta");
            } else {
                v = (here ? run_case : run_apart)(&context, folder, &m, why, sizeof why);
            }
            tally *t = tally_of(tallies, &n_tallies, 400, m.about);
            t->total++;
            t->passed += v == PASSED;
            t->refused += v == REFUSED;
            passed += v == PASSED;
            refused += v == REFUSED;
            failed += v == FAILED;
            if (v == FAILED || verbose) {
                static const char *const words[] = {"ok", "refused", "FAIL"};
                printf("%s %s: %s\n", words[v], name, why);
            }
        }
        free(names[i]);
    }
    free(names);
    nrw_context_destroy(&context);
    for (size_t i = 0; i < n_tallies; i++) {
        const tally *t = &tallies[i];
        if (t->passed == t->total && !verbose) continue;
        printf("%-28s %3d of %3d", t->op, t->passed, t->total);
        if (t->refused > 0) printf(", %d refused by name", t->refused);
        printf("\n");
    }
    if (refused > 0) printf("refused by name: %d\n", refused);
    printf("%d passed, %d failed\n", passed + refused, failed);
    return failed > 0 ? 1 : 0;
}
