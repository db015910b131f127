/* What must hold for every operator, tried on the sample cases of its row and on those of a file
 * (cases.txt, beside this):
 *
 *   text      the case parses, verifies, and prints to a text that parses to the same
 *   shapes    the shape rule says nothing that a run belies, with and without known values
 *   threads   1, 2 and 4 threads give the same bits
 *   tiers     every tier gives the same integers, and the same floats within rounding
 *   integers  annotated graphs run in integers within one step of dequantize, compute, quantize
 *   onnx      written as .onnx and read back, it gives the same bits
 *
 * usage: op_suite CASES [FILTER] [-v]      FILTER: a part of a case's name */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/onnx/onnx.h"
#include "narrow/session.h"
#include "ops/op.h"
#include "testing.h"

#define MAX_PORTS 16

typedef struct run {
    nrw_arena arena;
    nrw_tensor out[MAX_PORTS];
    int n;
} run;

/* One case on its way through the checks. */
typedef struct trial {
    const char *name; /* "Conv: what is special" */
    nrw_case sample;
    nrw_arena arena;
    nrw_model *model;
    bool annotated;
    nrw_tensor in[MAX_PORTS];
    char why[1200];
} trial;

typedef const char *(*check_fn)(trial *t);

static nrw_context native;

#define CHECK(t, expr, ...)                                                                        \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            snprintf((t)->why, sizeof(t)->why, __VA_ARGS__);                                       \
            return (t)->why;                                                                       \
        }                                                                                          \
    } while (0)

/* --- running ---------------------------------------------------------------------------------- */

static nrw_status parse(const nrw_context *c, const char *text, nrw_model **out, nrw_error *err) {
    return nrw_model_parse(c, text, strlen(text), nrw_op_find, out, err);
}

/* Random values for the inputs of the graph; symbolic dims become 3. */
static nrw_status make_inputs(trial *t, nrw_error *err) {
    nrw_rng rng;
    nrw_rng_seed(&rng, 11);
    const nrw_graph *g = t->model->graph;
    if (g->n_inputs > MAX_PORTS || g->n_outputs > MAX_PORTS) {
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "more than %d inputs or outputs", MAX_PORTS);
    }
    for (int i = 0; i < g->n_inputs; i++) {
        nrw_type type = g->inputs[i]->type;
        if (type.kind != NRW_TENSOR || type.rank < 0) {
            NRW_FAIL(err, NRW_ERR_ARGUMENT, "input %d must be a tensor of known rank", i);
        }
        for (int k = 0; k < type.rank; k++) {
            if (type.dims[k] < 0) type.dims[k] = 3;
        }
        NRW_TRY(nrw_tensor_new(&t->arena, type.dtype, type.rank, type.dims, &t->in[i], err));
        int64_t count = nrw_tensor_count(&t->in[i]);
        if (type.dtype == NRW_STRING) {
            nrw_string *s = t->in[i].data;
            for (int64_t k = 0; k < count; k++) s[k] = (nrw_string){&"narrow"[k % 6], 1};
            continue;
        }
        double *values = nrw_arena_calloc(&t->arena, (size_t)count + 1, sizeof *values);
        if (values == NULL) NRW_OOM(err);
        double span = (double)t->sample.hi - (double)t->sample.lo;
        for (int64_t k = 0; k < count; k++) {
            values[k] = type.dtype == NRW_BOOL
                            ? (double)nrw_rng_below(&rng, 2)
                            : (double)t->sample.lo + span * nrw_rng_uniform(&rng);
        }
        NRW_TRY(nrw_from_f64(type.dtype, values, t->in[i].data, count, err));
    }
    return NRW_OK;
}

/* Parses the text anew for context c, so that everything in the run belongs to it. */
static nrw_status run_model(const nrw_model *m, const trial *t, bool simulate, run *r,
                            nrw_error *err) {
    nrw_plan *plan = NULL;
    nrw_session *session = NULL;
    nrw_tensor out[MAX_PORTS];
    nrw_arena_init(&r->arena, nrw_system_allocator());
    r->n = m->graph->n_outputs;
    nrw_status s = nrw_plan_create(m, &(nrw_plan_options){.simulate = simulate}, &plan, err);
    if (s == NRW_OK) s = nrw_session_create(plan, &session, err);
    if (s == NRW_OK) s = nrw_session_run(session, m->graph->n_inputs, t->in, r->n, out, err);
    for (int i = 0; s == NRW_OK && i < r->n; i++) {
        s = nrw_tensor_copy(&r->arena, &out[i], &r->out[i], err);
    }
    if (session != NULL) nrw_session_destroy(session);
    if (plan != NULL) nrw_plan_destroy(plan);
    return s;
}

static nrw_status run_with(trial *t, const char *cap, int threads, run *r, nrw_error *err) {
    nrw_context c;
    testing_context(&c, cap, threads);
    nrw_model *m = NULL;
    nrw_arena_init(&r->arena, nrw_system_allocator());
    nrw_status s = parse(&c, t->sample.text, &m, err);
    if (s == NRW_OK) s = run_model(m, t, false, r, err);
    if (m != NULL) nrw_model_destroy(m);
    nrw_context_destroy(&c);
    return s;
}

/* --- checks ----------------------------------------------------------------------------------- */

static const char *check_text(trial *t) {
    nrw_error err = {0};
    nrw_strbuf first, second;
    nrw_model *again = NULL;
    nrw_strbuf_init(&first, nrw_system_allocator());
    nrw_strbuf_init(&second, nrw_system_allocator());
    nrw_status s = nrw_graph_verify(t->model, &err);
    if (s == NRW_OK) s = nrw_model_print(t->model, &first, -1, &err);
    if (s == NRW_OK) s = parse(&native, first.data, &again, &err);
    if (s == NRW_OK) s = nrw_model_print(again, &second, -1, &err);
    bool same = s == NRW_OK && strcmp(first.data, second.data) == 0;
    if (again != NULL) nrw_model_destroy(again);
    nrw_strbuf_free(&first);
    nrw_strbuf_free(&second);
    CHECK(t, s == NRW_OK, "%s", err.message);
    CHECK(t, same, "the printed text parses to something else");
    return NULL;
}

/* Does what the rule said hold for the tensor? */
static bool holds(const nrw_type *said, const nrw_tensor *t) {
    if (said->dtype == NRW_NONE && said->rank == NRW_RANK_UNKNOWN) return true;
    if (said->kind != t->kind) return false;
    bool sequence = t->kind == NRW_SEQUENCE || t->kind == NRW_OPTIONAL_SEQUENCE;
    if (sequence)
        return t->n_elements == 0 || said->dtype == NRW_NONE || said->dtype == t->elements[0].dtype;
    if (said->dtype != NRW_NONE && said->dtype != t->dtype) return false;
    if (said->rank == NRW_RANK_UNKNOWN) return true;
    if (said->rank != t->rank) return false;
    for (int i = 0; i < t->rank; i++) {
        if (said->dims[i] >= 0 && said->dims[i] != t->dims[i]) return false;
    }
    return true;
}

/* Runs the last node's shape rule, telling it the types of graph inputs and constants (and their
 * values, if so asked), and holds the answer against what a run gave. */
static const char *check_rule(trial *t, const run *r, bool values, bool dims) {
    const nrw_graph *g = t->model->graph;
    const nrw_node *n = g->last;
    if (g->first != g->last || n->op == NULL || n->n_inputs > MAX_PORTS) return NULL;
    nrw_type types[MAX_PORTS], out[MAX_PORTS];
    const nrw_type *in[MAX_PORTS] = {NULL};
    const nrw_tensor *data[MAX_PORTS] = {NULL};
    for (int i = 0; i < n->n_inputs; i++) {
        const nrw_value *v = n->inputs[i];
        if (v == NULL) continue;
        const nrw_tensor *known = v->data;
        for (int k = 0; known == NULL && k < g->n_inputs; k++) {
            if (g->inputs[k] == v) known = &t->in[k];
        }
        if (known == NULL) return NULL;
        types[i] = v->data != NULL ? v->type : nrw_type_of(known);
        for (int k = 0; !dims && k < types[i].rank; k++) types[i].dims[k] = NRW_DIM_UNKNOWN;
        in[i] = &types[i];
        if (v->data != NULL || (values && v->quant == NULL)) data[i] = known;
    }
    nrw_arena scratch;
    nrw_arena_init(&scratch, nrw_system_allocator());
    nrw_error err = {0};
    nrw_status s = nrw_op_infer(n, in, data, out, &scratch, &err);
    nrw_arena_free(&scratch);
    CHECK(t, s == NRW_OK, "the shape rule refuses: %s", err.message);
    for (int o = 0; o < n->n_outputs; o++) {
        for (int k = 0; n->outputs[o] != NULL && k < g->n_outputs; k++) {
            if (g->outputs[k] != n->outputs[o]) continue;
            char a[160], b[160];
            nrw_type real = nrw_type_of(&r->out[k]);
            CHECK(t, holds(&out[o], &r->out[k]),
                  "output %d: the shape rule says %s, a run gives %s", o,
                  nrw_type_str(&out[o], a, sizeof a), nrw_type_str(&real, b, sizeof b));
        }
    }
    return NULL;
}

static const char *check_shapes(trial *t) {
    nrw_error err = {0};
    run r;
    nrw_status s = run_model(t->model, t, false, &r, &err);
    const char *bad = NULL;
    if (s != NRW_OK) {
        snprintf(t->why, sizeof t->why, "%s", err.message);
        bad = t->why;
    }
    if (bad == NULL) bad = check_rule(t, &r, true, true);
    if (bad == NULL) bad = check_rule(t, &r, false, true);
    if (bad == NULL) bad = check_rule(t, &r, false, false);
    nrw_arena_free(&r.arena);
    return bad;
}

static const char *check_same(trial *t, const run *a, const run *b, bool bits, const char *what) {
    for (int i = 0; i < a->n; i++) {
        char differ[800];
        const char *d = testing_differ(&b->out[i], &a->out[i], bits ? 0 : 1e-5, bits ? 0 : 1e-5,
                                       differ, sizeof differ);
        CHECK(t, d == NULL, "%s: output %d: %s", what, i, d);
        CHECK(t, !bits || testing_identical(&a->out[i], &b->out[i]),
              "%s: output %d: other bits (signs of zero or NaN)", what, i);
    }
    return NULL;
}

static const char *check_against(trial *t, const char *cap, int threads, bool bits,
                                 const char *what) {
    nrw_error err = {0};
    run a, b;
    nrw_status s = run_with(t, NULL, 1, &a, &err);
    const char *bad = NULL;
    if (s == NRW_OK) {
        s = run_with(t, cap, threads, &b, &err);
        if (s == NRW_OK) bad = check_same(t, &a, &b, bits, what);
        nrw_arena_free(&b.arena);
    }
    nrw_arena_free(&a.arena);
    if (bad != NULL) return bad;
    CHECK(t, s == NRW_OK, "%s: %s", what, err.message);
    return NULL;
}

static const char *check_threads(trial *t) {
    const char *bad = check_against(t, NULL, 2, true, "2 threads");
    return bad != NULL ? bad : check_against(t, NULL, 4, true, "4 threads");
}

static bool has_half(const trial *t) {
    for (int i = 0; i < t->model->graph->n_inputs; i++) {
        int bits = nrw_dtype_get(t->in[i].dtype)->bits;
        if (nrw_dtype_is_float(t->in[i].dtype) && bits < 32) return true;
    }
    return false;
}

static const char *check_tiers(trial *t) {
    if (has_half(t)) return NULL; /* one unit in the last place is already beyond the tolerance */
    for (nrw_tier tier = NRW_TIER_SCALAR; tier < native.cpu.tier; tier++) {
        const char *name = nrw_tier_name(tier);
        if (!nrw_tier_is_here(tier)) continue;
        const char *bad = check_against(t, name, 4, t->annotated, name);
        if (bad != NULL) return bad;
    }
    return NULL;
}

/* Integer kernels against float kernels between dequantize and quantize. A graph output that is
 * annotated may be one step off for each node on the way; float outputs (of integer products) are
 * the same but for float rounding. */
static const char *check_integers(trial *t) {
    if (!t->annotated) return NULL;
    nrw_error err = {0};
    run a, b;
    nrw_arena_init(&b.arena, nrw_system_allocator());
    nrw_status s = run_model(t->model, t, true, &a, &err);
    if (s == NRW_OK) s = run_model(t->model, t, false, &b, &err);
    const char *bad = NULL;
    for (int i = 0; s == NRW_OK && bad == NULL && i < a.n; i++) {
        const nrw_value *v = t->model->graph->outputs[i];
        double step = 1e-5;
        if (v->quant != NULL && v->quant->scale != NULL) {
            for (int64_t k = 0; k < v->quant->count; k++) {
                double one = 1.001 * (double)v->quant->scale[k] * t->model->graph->n_nodes;
                if (one > step) step = one;
            }
        }
        char differ[800];
        bad = testing_differ(&b.out[i], &a.out[i], 1e-5, step, differ, sizeof differ);
        if (bad != NULL) {
            snprintf(t->why, sizeof t->why, "output %d: beyond %g: %s", i, step, bad);
            bad = t->why;
        }
    }
    nrw_arena_free(&a.arena);
    nrw_arena_free(&b.arena);
    CHECK(t, s == NRW_OK, "%s", err.message);
    return bad;
}

/* Annotations are lowered by the exporter's pipeline, which has tests of its own. */
static const char *check_onnx(trial *t) {
    if (t->annotated) return NULL;
    char path[] = "/tmp/narrow-op-XXXXXX.onnx";
    int fd = mkstemps(path, 5);
    CHECK(t, fd >= 0, "no temporary file");
    close(fd);
    nrw_error err = {0};
    nrw_model *again = NULL;
    run a, b;
    nrw_arena_init(&a.arena, nrw_system_allocator());
    nrw_arena_init(&b.arena, nrw_system_allocator());
    nrw_status s = nrw_onnx_save(t->model, path, NULL, &err);
    if (s == NRW_OK) s = nrw_onnx_load(&native, path, &again, &err);
    if (s == NRW_OK) s = run_model(t->model, t, false, &a, &err);
    if (s == NRW_OK) s = run_model(again, t, false, &b, &err);
    const char *bad = s == NRW_OK ? check_same(t, &a, &b, true, "read back") : NULL;
    if (again != NULL) nrw_model_destroy(again);
    nrw_arena_free(&a.arena);
    nrw_arena_free(&b.arena);
    unlink(path);
    if (bad != NULL) return bad;
    CHECK(t, s == NRW_OK, "%s", err.message);
    return NULL;
}

/* --- the loop --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    check_fn fn;
} checks[] = {{"text", check_text},   {"shapes", check_shapes},     {"threads", check_threads},
              {"tiers", check_tiers}, {"integers", check_integers}, {"onnx", check_onnx}};

static bool is_annotated(const nrw_model *m) {
    for (const nrw_node *n = m->graph->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_inputs; i++) {
            if (n->inputs[i] != NULL && n->inputs[i]->quant != NULL) return true;
        }
        for (int i = 0; i < n->n_outputs; i++) {
            if (n->outputs[i] != NULL && n->outputs[i]->quant != NULL) return true;
        }
    }
    return false;
}

/* Results that differ from run to run cannot be compared. */
static bool has_random(const nrw_model *m) {
    for (const nrw_node *n = m->graph->first; n != NULL; n = n->next) {
        if (n->op != NULL && n->op->random) return true;
    }
    return false;
}

static int passed, failed;

static void try_case(const char *name, nrw_case sample, bool verbose) {
    trial t = {.name = name, .sample = sample};
    nrw_error err = {0};
    nrw_arena_init(&t.arena, nrw_system_allocator());
    nrw_status s = parse(&native, sample.text, &t.model, &err);
    if (s == NRW_OK) s = make_inputs(&t, &err);
    if (s != NRW_OK) {
        printf("FAIL %s: %s\n", name, err.message);
        failed++;
    } else {
        t.annotated = is_annotated(t.model);
        bool random = has_random(t.model);
        for (size_t k = 0; k < sizeof checks / sizeof *checks; k++) {
            const char *bad = random && k > 1 ? NULL : checks[k].fn(&t);
            if (bad != NULL) {
                printf("FAIL %s (%s): %s\n", name, checks[k].name, bad);
            } else if (verbose) {
                printf("ok %s (%s)\n", name, checks[k].name);
            }
            *(bad == NULL ? &passed : &failed) += 1;
        }
    }
    if (t.model != NULL) nrw_model_destroy(t.model);
    nrw_arena_free(&t.arena);
}

static bool try_rows(const char *filter, bool verbose) {
    nrw_arena arena;
    nrw_arena_init(&arena, nrw_system_allocator());
    size_t n = 0;
    const nrw_op **ops = nrw_op_list(&arena, &n);
    for (size_t i = 0; ops != NULL && i < n; i++) {
        int number = 0;
        for (const nrw_case *c = ops[i]->cases; c != NULL && c->text != NULL; c++) {
            char name[128];
            snprintf(name, sizeof name, "%s: row's case %d", ops[i]->name, number++);
            if (strcasestr(name, filter) != NULL) try_case(name, *c, verbose);
        }
    }
    nrw_arena_free(&arena);
    return ops != NULL;
}

/* The file's cases: "## name [lo hi]", then the graph, up to the next such line. */
static bool try_file(const char *path, const char *filter, bool verbose) {
    nrw_mapping map;
    nrw_error err = {0};
    if (nrw_map_file(path, &map, &err) != NRW_OK) {
        fprintf(stderr, "%s\n", err.message);
        return false;
    }
    char *text = strndup((const char *)map.data, map.size);
    nrw_unmap_file(&map);
    char *at = text == NULL ? NULL : strstr(text, "\n## ");
    while (at != NULL) {
        char name[128];
        nrw_case c = {0};
        char *body = strchr(at + 1, '\n'), *next = strstr(at + 1, "\n## ");
        if (next != NULL) *next = '\0';
        if (body == NULL || sscanf(at, "\n## %127[^[][%f %f]", name, &c.lo, &c.hi) != 3) {
            fprintf(stderr, "%s: bad line: %.80s\n", path, at + 1);
            free(text);
            return false;
        }
        c.text = body;
        name[strlen(name) - 1] = '\0';
        if (strcasestr(name, filter) != NULL) try_case(name, c, verbose);
        at = next;
        if (at != NULL) *at = '\n';
    }
    free(text);
    return true;
}

int main(int argc, char **argv) {
    const char *path = NULL, *filter = "";
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
        } else if (path == NULL) {
            path = argv[i];
        } else {
            filter = argv[i];
        }
    }
    if (path == NULL) {
        fprintf(stderr, "usage: op_suite CASES [FILTER] [-v]\n");
        return 2;
    }
    testing_context(&native, NULL, 1);
    bool whole = try_rows(filter, verbose) && try_file(path, filter, verbose);
    nrw_context_destroy(&native);
    printf("%d passed, %d failed\n", passed, failed);
    return whole && failed == 0 ? 0 : 1;
}
