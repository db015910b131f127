/* A model measured on a dataset, alone or beside a reference on the same samples. */
#include <math.h>
#include <string.h>

#include "report/evaluate.h"
#include "report/metrics.h"
#include "report/runner.h"

const char *nrw_metric_name(nrw_metric m) {
    static const char *const names[] = {"default",   "top1", "top5",  "auc",
                                        "agreement", "sqnr", "cosine"};
    return names[m];
}

typedef struct evaluator {
    nrw_metric metric;
    nrw_dataset *data;
    nrw_runner model, reference;
    bool compares;
    int64_t batches, samples;
    int lanes;                            /* at most; 0: as many as pay */
    nrw_outputs kept;                     /* the reference's, when it runs before the model */
    const nrw_outputs *reference_outputs; /* those, or the caller's; NULL: both run side by side */
    /* of the model; of the reference */
    nrw_share hits, reference_hits;
    nrw_auc auc, reference_auc;
    nrw_paired paired;
    nrw_share agreement;
    nrw_sqnr sqnr;
    nrw_mean cosine;
    nrw_error *err;
} evaluator;

static bool looks_like_classes(const nrw_tensor *t, int64_t batch) {
    return t->rank >= 1 && t->rank <= 2 && t->dims[t->rank - 1] > 1 &&
           nrw_tensor_count(t) == batch * t->dims[t->rank - 1];
}

/* The default metric is known once there is an output to look at. */
static nrw_status choose_metric(evaluator *e, int64_t batch, int64_t n) {
    bool labels = nrw_dataset_has_labels(e->data),
         classes = looks_like_classes(nrw_runner_first_output(&e->model, 0), batch);
    if (e->metric == NRW_METRIC_DEFAULT) {
        if (labels && n > 1)
            e->metric = NRW_METRIC_TOP1;
        else if (labels)
            e->metric = NRW_METRIC_AUC;
        else if (e->compares)
            e->metric = classes ? NRW_METRIC_AGREEMENT : NRW_METRIC_SQNR;
        else
            NRW_FAIL(e->err, NRW_ERR_ARGUMENT,
                     "nothing to measure: give labels, or a reference model");
    }
    bool needs_labels = e->metric <= NRW_METRIC_AUC;
    if (needs_labels && !labels)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "the metric %s needs labels",
                 nrw_metric_name(e->metric));
    if (!needs_labels && !e->compares)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "the metric %s needs a reference model",
                 nrw_metric_name(e->metric));
    if (e->metric == NRW_METRIC_AUC && n > 2)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "auc is for two classes; the model has %lld",
                 (long long)n);
    if (e->metric == NRW_METRIC_TOP1 || e->metric == NRW_METRIC_TOP5)
        return nrw_dataset_check_labels(e->data, n, e->err);
    return e->metric == NRW_METRIC_AUC ? nrw_dataset_check_labels(e->data, 2, e->err) : NRW_OK;
}

static double binary_score(const float *row, int64_t n) {
    return n == 2 ? (double)row[1] - (double)row[0] : (double)row[0];
}

static nrw_status add_labelled(evaluator *e, int64_t label, const float *row, const float *ref,
                               int64_t n) {
    if (e->metric == NRW_METRIC_AUC) {
        NRW_TRY(nrw_auc_add(&e->auc, binary_score(row, n), label == 1, e->err));
        if (ref != NULL)
            NRW_TRY(nrw_auc_add(&e->reference_auc, binary_score(ref, n), label == 1, e->err));
        return NRW_OK;
    }
    int k = e->metric == NRW_METRIC_TOP5 ? 5 : 1;
    bool hit = nrw_in_top(row, n, label, k);
    nrw_share_add(&e->hits, hit);
    if (ref == NULL) return NRW_OK;
    bool ref_hit = nrw_in_top(ref, n, label, k);
    nrw_share_add(&e->reference_hits, ref_hit);
    nrw_paired_add(&e->paired, ref_hit, hit);
    return NRW_OK;
}

static nrw_status add_sample(evaluator *e, int64_t i, const float *row, const float *ref,
                             int64_t n) {
    if (e->metric <= NRW_METRIC_AUC)
        NRW_TRY(add_labelled(e, nrw_dataset_label(e->data, i), row, ref, n));
    if (ref == NULL) return NRW_OK;
    nrw_share_add(&e->agreement, nrw_argmax(row, n) == nrw_argmax(ref, n));
    nrw_sqnr_add(&e->sqnr, ref, row, n);
    nrw_mean_add(&e->cosine, nrw_cosine(ref, row, n));
    return NRW_OK;
}

/* The reference's rows for batch b, lane i of the present run: kept ones, or made by that run. */
static nrw_status reference_rows(evaluator *e, int64_t b, int i, const float **rows, int64_t *n) {
    int64_t size = nrw_dataset_batch_size(e->data);
    if (e->reference_outputs == NULL)
        return nrw_runner_output(&e->reference, i, size, rows, n, e->err);
    if (e->reference_outputs->n % size != 0)
        NRW_FAIL(e->err, NRW_ERR_DATA, "the reference's output does not divide into %lld samples",
                 (long long)size);
    *n = e->reference_outputs->n / size;
    *rows = nrw_outputs_get(e->reference_outputs, b);
    return NRW_OK;
}

static nrw_status add_batch(evaluator *e, int64_t b, int i) {
    int64_t size = nrw_dataset_batch_size(e->data), n, n_ref = 0;
    const float *rows, *refs = NULL;
    NRW_TRY(nrw_runner_output(&e->model, i, size, &rows, &n, e->err));
    if (e->compares) {
        NRW_TRY(reference_rows(e, b, i, &refs, &n_ref));
        if (n != n_ref)
            NRW_FAIL(e->err, NRW_ERR_DATA,
                     "the model gives %lld values a sample, the reference %lld", (long long)n,
                     (long long)n_ref);
    }
    if (b == 0) NRW_TRY(choose_metric(e, size, n));
    for (int k = 0; k < size && b * size + k < e->samples; k++) {
        NRW_TRY(add_sample(e, b * size + k, rows + k * n, refs != NULL ? refs + k * n : NULL, n));
    }
    return NRW_OK;
}

/* Reads batches from b on into the lanes of one or two runners, and runs them; *n says how many. */
static nrw_status run_batches(evaluator *e, nrw_runner *f, nrw_runner *beside, int64_t b,
                              nrw_tensor *samples, int *n) {
    int width = nrw_runner_width(f);
    if (beside != NULL && nrw_runner_width(beside) < width) width = nrw_runner_width(beside);
    for (*n = 0; *n < width && b + *n < e->batches; ++*n) {
        NRW_TRY(nrw_dataset_read(e->data, b + *n, samples, NULL, e->err));
        NRW_TRY(nrw_runner_fill(f, *n, samples, e->err));
        if (beside != NULL) NRW_TRY(nrw_runner_fill(beside, *n, samples, e->err));
    }
    NRW_TRY(nrw_runner_run(f, *n, e->err));
    return beside != NULL ? nrw_runner_run(beside, *n, e->err) : NRW_OK;
}

/* Runs the reference on everything before the model is even planned, so that the two need not be in
 * memory together; unless its outputs would take more than they do. */
static nrw_status run_reference_first(evaluator *e, nrw_tensor *samples) {
    int n;
    nrw_outputs_init(&e->kept, e->reference.arena.allocator, e->batches);
    for (int64_t b = 0; b < e->batches; b += n) {
        NRW_TRY(nrw_progress(e->reference.model->context, "evaluating the reference", b, e->batches,
                             e->err));
        NRW_TRY(run_batches(e, &e->reference, NULL, b, samples, &n));
        for (int i = 0; i < n; i++) {
            NRW_TRY(nrw_outputs_add(&e->kept, b + i, nrw_runner_first_output(&e->reference, i),
                                    e->err));
        }
        if (e->kept.batches < b + n) return NRW_OK; /* not to be kept */
    }
    e->reference_outputs = &e->kept;
    nrw_runner_close(&e->reference);
    return NRW_OK;
}

static nrw_status run_all(evaluator *e, const nrw_model *m, const nrw_model *reference,
                          nrw_arena *arena) {
    nrw_tensor *samples =
        nrw_arena_calloc(arena, (size_t)nrw_dataset_inputs(e->data) + 1, sizeof *samples);
    if (samples == NULL) NRW_OOM(e->err);
    if (e->batches == 0) NRW_FAIL(e->err, NRW_ERR_DATA, "the data hold no sample");
    if (reference != NULL) {
        NRW_TRY(nrw_runner_open(&e->reference, reference, e->data, NULL, e->lanes, e->err));
        NRW_TRY(run_reference_first(e, samples));
    }
    NRW_TRY(nrw_runner_open(&e->model, m, e->data, NULL, e->lanes, e->err));
    nrw_runner *beside = reference != NULL && e->reference_outputs == NULL ? &e->reference : NULL;
    int n;
    for (int64_t b = 0; b < e->batches; b += n) {
        NRW_TRY(nrw_progress(m->context, "evaluating", b, e->batches, e->err));
        NRW_TRY(run_batches(e, &e->model, beside, b, samples, &n));
        for (int i = 0; i < n; i++) NRW_TRY(add_batch(e, b + i, i));
    }
    return nrw_progress(m->context, "evaluating", e->batches, e->batches, e->err);
}

static nrw_interval main_value(evaluator *e) {
    switch (e->metric) {
    case NRW_METRIC_AUC:
        return nrw_auc_value(&e->auc);
    case NRW_METRIC_AGREEMENT:
        return nrw_share_value(&e->agreement);
    case NRW_METRIC_SQNR:
        return nrw_sqnr_value(&e->sqnr);
    case NRW_METRIC_COSINE:
        return nrw_mean_value(&e->cosine);
    default:
        return nrw_share_value(&e->hits);
    }
}

static void conclude(evaluator *e, nrw_evaluation *out) {
    nrw_interval v = main_value(e);
    *out = (nrw_evaluation){.metric = e->metric,
                            .value = v.value,
                            .ci_low = v.low,
                            .ci_high = v.high,
                            .reference_value = NAN,
                            .p_value = NAN,
                            .agreement = NAN,
                            .sqnr_db = NAN,
                            .cosine = NAN,
                            .samples = e->samples};
    if (!e->compares) return;
    out->agreement = nrw_share_value(&e->agreement).value;
    out->sqnr_db = nrw_sqnr_value(&e->sqnr).value;
    out->cosine = nrw_mean_value(&e->cosine).value;
    if (e->metric == NRW_METRIC_AUC) out->reference_value = nrw_auc_value(&e->reference_auc).value;
    if (e->metric != NRW_METRIC_TOP1 && e->metric != NRW_METRIC_TOP5) return;
    out->reference_value = nrw_share_value(&e->reference_hits).value;
    out->p_value = nrw_paired_p_mid(&e->paired);
}

static nrw_status evaluate_once(evaluator *e, const nrw_model *m, const nrw_model *reference,
                                nrw_evaluation *out) {
    const nrw_allocator *a = &m->context->memory.allocator;
    const int64_t size = nrw_dataset_batch_size(e->data), all = nrw_dataset_samples(e->data);
    e->samples = e->batches * size < all ? e->batches * size : all;
    nrw_auc_init(&e->auc, a);
    nrw_auc_init(&e->reference_auc, a);
    nrw_arena arena;
    nrw_arena_init(&arena, a);
    nrw_status s = run_all(e, m, reference, &arena);
    if (s == NRW_OK) conclude(e, out);
    nrw_auc_free(&e->auc);
    nrw_auc_free(&e->reference_auc);
    if (e->model.model != NULL) nrw_runner_close(&e->model);
    if (e->reference.model != NULL) nrw_runner_close(&e->reference);
    if (e->kept.allocator != NULL) nrw_outputs_free(&e->kept);
    nrw_arena_free(&arena);
    return s;
}

/* One batch at a time takes least memory. */
static nrw_status evaluate(const evaluator *start, const nrw_model *m, const nrw_model *reference,
                           nrw_evaluation *out) {
    evaluator e = *start;
    nrw_status s = evaluate_once(&e, m, reference, out);
    if (s != NRW_ERR_MEMORY) return s;
    e = *start;
    e.lanes = 1;
    return evaluate_once(&e, m, reference, out);
}

nrw_status nrw_evaluate(const nrw_model *m, const nrw_model *reference, nrw_dataset *d,
                        nrw_metric metric, nrw_evaluation *out, nrw_error *err) {
    const evaluator e = {.metric = metric,
                         .data = d,
                         .compares = reference != NULL,
                         .batches = nrw_dataset_batches(d),
                         .err = err};
    return evaluate(&e, m, reference, out);
}

nrw_status nrw_evaluate_first(const nrw_model *m, const nrw_model *reference,
                              const nrw_outputs *outputs, nrw_dataset *d, int64_t batches,
                              nrw_evaluation *out, nrw_error *err) {
    const bool complete = nrw_outputs_complete(outputs) && outputs->batches == batches;
    const evaluator e = {.data = d,
                         .compares = true,
                         .batches = batches,
                         .reference_outputs = complete ? outputs : NULL,
                         .err = err};
    return evaluate(&e, m, complete ? NULL : reference, out);
}
