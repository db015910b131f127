/* From options and a dataset to a quantized model. */
#include "data/dataset.h"
#include "narrow/narrow.h"
#include "quant/quantize.h"
#include "report/evaluate.h"

/* Calibration samples out of a dataset. */
typedef struct source {
    nrw_dataset *data;
    const nrw_graph *graph;
    nrw_tensor *samples; /* [inputs of the dataset] */
    int *which;          /* [graph inputs] which of them; -1: the model's default */
    nrw_outputs outputs; /* the float model's, on the samples that the loss is measured on */
} source;

static nrw_status seen(void *user, int64_t index, const nrw_tensor *outputs, nrw_error *err) {
    source *s = user;
    return s->graph->n_outputs > 0 ? nrw_outputs_add(&s->outputs, index, &outputs[0], err) : NRW_OK;
}

static nrw_status next_sample(void *user, int64_t index, int n, nrw_tensor *inputs, bool *end,
                              nrw_error *err) {
    source *s = user;
    *end = index >= nrw_dataset_batches(s->data);
    if (*end) return NRW_OK;
    NRW_TRY(nrw_dataset_read(s->data, index, s->samples, NULL, err));
    for (int i = 0; i < n; i++) {
        inputs[i] = s->which[i] >= 0 ? s->samples[s->which[i]] : (nrw_tensor){0};
    }
    return NRW_OK;
}

static nrw_status open_source(source *s, const nrw_model *m, nrw_dataset *data, nrw_arena *scratch,
                              nrw_error *err) {
    const nrw_graph *g = m->graph;
    *s = (source){.data = data, .graph = g};
    s->samples =
        nrw_arena_calloc(scratch, (size_t)nrw_dataset_inputs(data) + 1, sizeof *s->samples);
    s->which = nrw_arena_calloc(scratch, (size_t)g->n_inputs + 1, sizeof *s->which);
    if (s->samples == NULL || s->which == NULL) NRW_OOM(err);
    for (int i = 0, k = 0; i < g->n_inputs; i++) {
        /* The dataset was opened for this model: it fills the inputs without a default, in order.
         */
        s->which[i] = g->inputs[i]->data == NULL ? k++ : -1;
    }
    return NRW_OK;
}

/* Batches that the loss is measured on. */
static int64_t measured_batches(const nrw_quantize_options *o, const nrw_dataset *data) {
    const int64_t all = nrw_dataset_batches(data), size = nrw_dataset_batch_size(data);
    if (o->measure < 0) return all;
    const int64_t wanted = o->measure / size + (o->measure % size != 0);
    return wanted < all ? wanted : all;
}

static nrw_status quantize(const nrw_model *m, const nrw_quantize_options *options,
                           nrw_dataset *data, nrw_arena *scratch, source *s, nrw_model **out,
                           nrw_quantize_result *result, nrw_error *err) {
    nrw_recipe recipe;
    nrw_sample_source samples = {.next = next_sample, .seen = seen, .user = s, .count = -1};
    const bool measures = data != NULL && result != NULL && options->measure != 0;
    NRW_TRY(nrw_recipe_make(scratch, options, data != NULL, &recipe, err));
    if (data != NULL) {
        NRW_TRY(open_source(s, m, data, scratch, err));
        samples.count = nrw_dataset_batches(data);
    }
    if (measures)
        nrw_outputs_init(&s->outputs, m->arena.allocator, measured_batches(options, data));
    NRW_TRY_CTX(err,
                nrw_quantize_graph(m, &recipe, data != NULL ? &samples : NULL, out, result, err),
                "%s", m->source);
    nrw_status status = NRW_OK;
    if (measures) {
        status = nrw_evaluate_first(*out, m, &s->outputs, data, measured_batches(options, data),
                                    &result->loss, err);
        result->measured = true;
    }
    if (status == NRW_OK && options->save_recipe != NULL)
        status = nrw_recipe_save(m->arena.allocator, &recipe, options->save_recipe, err);
    if (status != NRW_OK) {
        nrw_model_destroy(*out);
        *out = NULL;
    }
    return status;
}

nrw_status nrw_quantize(const nrw_model *m, const nrw_quantize_options *options, nrw_dataset *data,
                        nrw_model **out, nrw_quantize_result *result, nrw_error *err) {
    static const nrw_quantize_options defaults = {0};
    nrw_arena scratch;
    source s = {0};
    nrw_arena_init(&scratch, m->arena.allocator);
    nrw_status status =
        quantize(m, options != NULL ? options : &defaults, data, &scratch, &s, out, result, err);
    if (s.outputs.allocator != NULL) nrw_outputs_free(&s.outputs);
    nrw_arena_free(&scratch);
    return status;
}
