/* narrow bench: latency of a model on random inputs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define IMAGE 224 /* pixels */

typedef struct bench {
    nrw_model *model;
    nrw_plan *plan;
    nrw_session *session;
    const nrw_summary *summary;
    nrw_array **arrays; /* the inputs that are given; the others are made here */
    nrw_tensor *inputs, *outputs;
    double *times;
    int n_times, cap_times;
    double load_ms;
} bench;

/* Random data of an input's type: floats in [-1, 1), integers 0 or 1 (valid as ids and masks).
 * Unknown dims are 1, but those of a model's only image: few take one of a single pixel. */
static bool make_input(const nrw_port *p, bool only, nrw_tensor *t, unsigned *seed) {
    const bool image = only && p->rank == 4;
    size_t n = 1;
    *t = (nrw_tensor){.dtype = p->dtype, .rank = p->rank > 0 ? p->rank : 0};
    for (int i = 0; i < t->rank; i++) {
        t->dims[i] = p->dims[i] >= 0 ? p->dims[i] : image && i > 0 ? IMAGE : 1;
        if (__builtin_mul_overflow(n, (size_t)t->dims[i], &n)) return false;
    }
    size_t size = nrw_dtype_bytes(p->dtype);
    size_t there = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    if (n >= there / 2 / (size > 0 ? size : 1)) return false; /* the model needs as much again */
    unsigned char *data = calloc(n + 1, size);
    if (data == NULL) return false;
    for (size_t i = 0; i < n; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        double x = (double)(*seed >> 8) / (1 << 24);
        if (p->dtype == NRW_F32)
            ((float *)(void *)data)[i] = (float)(2 * x - 1);
        else if (p->dtype == NRW_F64)
            ((double *)(void *)data)[i] = 2 * x - 1;
        else if (p->dtype != NRW_STRING)
            data[i * size] = x < 0.5; /* little-endian; halves get tiny numbers */
    }
    t->data = data;
    return true;
}

static int compare_times(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static nrw_status one_run(bench *b, nrw_error *err) {
    return nrw_session_run(b->session, b->summary->n_inputs, b->inputs, b->summary->n_outputs,
                           b->outputs, err);
}

static bool note(bench *b, double seconds) {
    if (b->n_times == b->cap_times) {
        int cap = b->cap_times > 0 ? 2 * b->cap_times : 1024;
        double *grown = realloc(b->times, (size_t)cap * sizeof *grown);
        if (grown == NULL) return false;
        b->times = grown;
        b->cap_times = cap;
    }
    b->times[b->n_times++] = seconds;
    return true;
}

static int measure(cli *c, bench *b, double seconds) {
    for (int i = 0; i < 2; i++) {
        if (one_run(b, &c->error) != NRW_OK)
            return cli_refuse(c, "%s: %s", c->positional[0], c->error.message);
    }
    if (cli_flag(c, "profile")) nrw_session_profile(b->session, true);
    double start = cli_now(), now = start;
    while (now - start < seconds || b->n_times < 5) {
        double from = now;
        if (one_run(b, &c->error) != NRW_OK) return cli_failed(c);
        now = cli_now();
        if (!note(b, now - from)) return cli_refuse(c, "out of memory");
        if (progress_report(c->progress, "measuring", (int64_t)(1000 * (now - start)),
                            (int64_t)(1000 * seconds)))
            break;
    }
    qsort(b->times, (size_t)b->n_times, sizeof *b->times, compare_times);
    return EXIT_DONE;
}

static json_t *json_steps(const bench *b) {
    int n;
    const nrw_step_time *t = nrw_session_times(b->session, &n);
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        if (t[i].runs == 0) continue;
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f}", "node", t[i].node, "op",
                                              t[i].op, "kernel", t[i].kernel, "ms",
                                              1e3 * t[i].seconds / (double)t[i].runs));
    }
    return list;
}

static void print_steps(const bench *b) {
    int n;
    const nrw_step_time *t = nrw_session_times(b->session, &n);
    printf("%10s  %-32s %-18s %s\n", "ms", "step", "operator", "kernel");
    for (int i = 0; i < n; i++) {
        if (t[i].runs == 0) continue;
        printf("%10.4f  %-32.32s %-18s %s\n", 1e3 * t[i].seconds / (double)t[i].runs, t[i].node,
               t[i].op, t[i].kernel);
    }
}

static int bench_it(cli *c, bench *b) {
    double seconds = 2, start = cli_now();
    if (!cli_double(c, "seconds", 0, 1e6, &seconds)) return EXIT_REFUSED;
    int status = cli_load(c, c->positional[0], &b->model);
    if (status != EXIT_DONE) return status;
    if (nrw_plan_create(b->model, NULL, &b->plan, &c->error) != NRW_OK ||
        nrw_session_create(b->plan, &b->session, &c->error) != NRW_OK)
        return cli_refuse(c, "%s: %s", c->positional[0], c->error.message);
    b->load_ms = 1e3 * (cli_now() - start);
    if (nrw_inspect(b->model, &b->summary, &c->error) != NRW_OK) return cli_failed(c);
    b->arrays = calloc((size_t)b->summary->n_inputs + 1, sizeof *b->arrays);
    b->inputs = calloc((size_t)b->summary->n_inputs + 1, sizeof *b->inputs);
    b->outputs = calloc((size_t)b->summary->n_outputs + 1, sizeof *b->outputs);
    if (b->arrays == NULL || b->inputs == NULL || b->outputs == NULL)
        return cli_refuse(c, "out of memory");
    status = cli_inputs(c, b->summary, b->arrays, b->inputs);
    if (status != EXIT_DONE) return status;
    unsigned seed = 1;
    for (int i = 0; i < b->summary->n_inputs; i++) {
        const bool only = b->summary->n_inputs == 1;
        if (b->arrays[i] != NULL) continue;
        if (!make_input(&b->summary->inputs[i], only, &b->inputs[i], &seed))
            return cli_refuse(c, "%s: input '%s' is too large", c->positional[0],
                              b->summary->inputs[i].name);
    }
    status = measure(c, b, seconds);
    if (status != EXIT_DONE) return status;
    double low = 1e3 * b->times[0], median = 1e3 * b->times[b->n_times / 2];
    bool profile = cli_flag(c, "profile");
    progress_clear(c->progress);
    if (c->json) {
        json_t *o = json_pack("{s:i, s:s, s:f, s:f, s:i, s:f, s:I}", "threads",
                              nrw_threads(c->context), "isa", nrw_isa(c->context), "min_ms", low,
                              "median_ms", median, "runs", b->n_times, "load_ms", b->load_ms,
                              "slab_bytes", (json_int_t)nrw_session_slab_bytes(b->session));
        if (profile) json_object_set_new(o, "steps", json_steps(b));
        cli_print_json(o);
        return EXIT_DONE;
    }
    if (profile) print_steps(b);
    printf("%.3f ms at best, %.3f ms median of %d runs; %d thread%s, %s; loaded in %.1f ms\n", low,
           median, b->n_times, nrw_threads(c->context), nrw_threads(c->context) > 1 ? "s" : "",
           nrw_isa(c->context), b->load_ms);
    return EXIT_DONE;
}

int cmd_bench(cli *c) {
    bench b = {0};
    int status = cli_open(c);
    if (status == EXIT_DONE) status = bench_it(c, &b);
    nrw_session_destroy(b.session);
    nrw_plan_destroy(b.plan);
    for (int i = 0; b.arrays != NULL && b.inputs != NULL && i < b.summary->n_inputs; i++) {
        if (b.arrays[i] == NULL) free(b.inputs[i].data);
        nrw_array_free(b.arrays[i]);
    }
    free(b.arrays);
    free(b.inputs);
    free(b.outputs);
    free(b.times);
    nrw_model_free(b.model);
    return status;
}
