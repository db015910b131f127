#include "report/runner.h"

#include <string.h>

static nrw_status match_inputs(nrw_runner *f, const nrw_dataset *d, nrw_error *err) {
    const nrw_graph *g = f->model->graph;
    int given = nrw_dataset_inputs(d), matched = 0, needed = 0;
    for (int i = 0; i < g->n_inputs; i++) {
        f->source[i] = -1;
        needed += g->inputs[i]->data == NULL;
        for (int k = 0; k < given; k++) {
            if (strcmp(nrw_dataset_input_name(d, k), g->inputs[i]->name) == 0) f->source[i] = k;
        }
        matched += f->source[i] >= 0;
    }
    if (matched == given && matched >= needed) return NRW_OK;
    if (given != needed)
        NRW_FAIL(err, NRW_ERR_DATA, "%s: the data fill %d inputs, the model wants %d",
                 f->model->source, given, needed);
    for (int i = 0, k = 0; i < g->n_inputs; i++) {
        f->source[i] = g->inputs[i]->data == NULL ? k++ : -1;
    }
    return NRW_OK;
}

nrw_status nrw_runner_open(nrw_runner *f, const nrw_model *m, const nrw_dataset *d,
                           const nrw_plan_options *options, int lanes, nrw_error *err) {
    memset(f, 0, sizeof *f);
    f->model = m;
    nrw_arena_init(&f->arena, m->arena.allocator);
    size_t n_in = (size_t)m->graph->n_inputs + 1;
    f->source = nrw_arena_calloc(&f->arena, n_in, sizeof *f->source);
    f->inputs = nrw_arena_calloc(&f->arena, n_in, sizeof *f->inputs);
    if (f->source == NULL || f->inputs == NULL) NRW_OOM(err);
    NRW_TRY(match_inputs(f, d, err));
    NRW_TRY_CTX(err, nrw_plan_create(m, options, &f->plan, err), "%s", m->source);
    return nrw_lanes_create(f->plan, lanes, &f->lanes, err);
}

void nrw_runner_close(nrw_runner *f) {
    nrw_lanes_destroy(f->lanes);
    nrw_plan_destroy(f->plan);
    nrw_mem_free(f->arena.allocator, f->values, f->values_bytes);
    nrw_arena_free(&f->arena);
    memset(f, 0, sizeof *f);
}

int nrw_runner_width(const nrw_runner *f) {
    return nrw_lanes_width(f->lanes);
}

nrw_status nrw_runner_fill(nrw_runner *f, int i, const nrw_tensor *samples, nrw_error *err) {
    const nrw_graph *g = f->model->graph;
    for (int k = 0; k < g->n_inputs; k++) {
        f->inputs[k] = f->source[k] >= 0 ? samples[f->source[k]] : (nrw_tensor){0};
    }
    return nrw_lanes_fill(f->lanes, i, f->inputs, err);
}

nrw_status nrw_runner_run(nrw_runner *f, int n, nrw_error *err) {
    int failed;
    NRW_TRY_CTX(err, nrw_lanes_run(f->lanes, n, &failed, err), "%s", f->model->source);
    return NRW_OK;
}

const nrw_tensor *nrw_runner_first_output(const nrw_runner *f, int i) {
    return &nrw_lanes_outputs(f->lanes, i)[0];
}

nrw_status nrw_runner_output(nrw_runner *f, int i, int64_t batch, const float **rows, int64_t *n,
                             nrw_error *err) {
    if (f->model->graph->n_outputs < 1)
        NRW_FAIL(err, NRW_ERR_DATA, "%s: the model has no output", f->model->source);
    const nrw_tensor *t = nrw_runner_first_output(f, i);
    int64_t count = nrw_tensor_count(t);
    if (t->kind != NRW_TENSOR || count % batch != 0)
        NRW_FAIL(err, NRW_ERR_DATA, "%s: output '%s' does not divide into %lld samples",
                 f->model->source, f->model->graph->outputs[0]->name, (long long)batch);
    *n = count / batch;
    *rows = t->data;
    if (t->dtype == NRW_F32) return NRW_OK;
    size_t bytes = (size_t)count * sizeof(float) + 1;
    if (bytes > f->values_bytes) {
        nrw_mem_free(f->arena.allocator, f->values, f->values_bytes);
        f->values_bytes = 0;
        f->values = nrw_mem_alloc(f->arena.allocator, bytes);
        if (f->values == NULL) NRW_OOM(err);
        f->values_bytes = bytes;
    }
    *rows = f->values;
    return nrw_to_f32(t->dtype, t->data, f->values, count, err);
}
