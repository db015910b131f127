#include "quant/quantize.h"

#include <string.h>

#include "base/clock.h"
#include "passes/match.h"
#include "passes/pass.h"
#include "quant/annotate.h"
#include "quant/calibrate.h"
#include "quant/float16.h"
#include "quant/smooth.h"
#include "quant/target.h"

static bool is_wanted(const nrw_placement *p, int32_t i) {
    const nrw_value *v = p->values[i];
    if (v == NULL || nrw_is_const(v) || v->type.dtype != NRW_F32 || nrw_will_vanish(p, v))
        return false;
    return p->roles[i] != NRW_ROLE_FLOAT || nrw_node_is_quantized(p, v->producer);
}

/* Values with sentinels or infinities would lose them in integers: what touches them stays float,
 * except the layer that makes them. */
static bool bar_sentinels(nrw_placement *p, const nrw_range *ranges) {
    bool barred = false;
    for (int32_t i = 0; i < p->n_values; i++) {
        if (p->roles[i] == NRW_ROLE_FLOAT || ranges[i].sentinels + ranges[i].infinities == 0)
            continue;
        const nrw_value *v = p->values[i];
        for (int k = 0; k < p->n_nodes; k++) {
            nrw_node *n = p->nodes[k];
            bool touches = n == v->producer && !nrw_is_layer(n);
            for (int j = 0; j < n->n_inputs; j++) touches |= n->inputs[j] == v;
            if (!touches || p->barred[k]) continue;
            p->barred[k] = barred = true;
        }
    }
    if (barred) nrw_place_again(p);
    return barred;
}

static nrw_status find_ranges(const nrw_placement *p, const nrw_watch *watches, nrw_range *ranges,
                              nrw_error *err) {
    const nrw_recipe *r = p->recipe;
    const nrw_range_rule rule = {.calibrator = r->calibrator,
                                 .percentile = r->percentile,
                                 .levels = ((int64_t)1 << r->activation_bits) - 1,
                                 .symmetric = r->symmetric};
    for (int32_t i = 0; i < p->n_values; i++) {
        if (watches[i].range == NULL) continue;
        NRW_TRY(nrw_observer_range(watches[i].range, &rule, &ranges[i], err));
        if (ranges[i].nans > 0)
            NRW_FAIL(err, NRW_ERR_DATA, "value '%s' was NaN %lld times during calibration",
                     p->values[i]->name, (long long)ranges[i].nans);
    }
    return NRW_OK;
}

static nrw_status watch_ranges(const nrw_placement *p, const nrw_allocator *a, nrw_watch *watches,
                               nrw_error *err) {
    for (int32_t i = 0; i < p->n_values; i++) {
        if (!is_wanted(p, i)) continue;
        nrw_observer *o = watches[i].range = nrw_observer_new(a);
        if (o == NULL) NRW_OOM(err);
        const nrw_calibrator c = p->recipe->calibrator;
        if (c == NRW_CALIBRATE_MINMAX || c == NRW_CALIBRATE_MOVING) nrw_observer_extremes_only(o);
    }
    return NRW_OK;
}

static nrw_status watch_means(const nrw_placement *p, const nrw_allocator *a, nrw_watch *watches,
                              nrw_error *err) {
    for (int i = 0; i < p->n_nodes && p->recipe->correct_bias; i++) {
        int axis;
        int64_t channels;
        const nrw_node *n = p->nodes[i];
        if (!p->quantized[i] || !nrw_is_layer(n) || !nrw_correction_channels(n, &axis, &channels))
            continue;
        nrw_watch *w = &watches[n->inputs[0]->id];
        if (w->means == NULL) w->means = nrw_means_new(a, axis, channels);
        if (w->means == NULL) NRW_OOM(err);
    }
    return NRW_OK;
}

static nrw_status static_with(nrw_model *m, nrw_placement *p, nrw_arena *scratch,
                              nrw_watch *watches, const nrw_sample_source *source,
                              nrw_quantize_result *result, nrw_error *err) {
    nrw_range *ranges = nrw_arena_calloc(scratch, (size_t)p->n_values + 1, sizeof *ranges);
    if (ranges == NULL) NRW_OOM(err);
    NRW_TRY(watch_ranges(p, scratch->allocator, watches, err));
    NRW_TRY(watch_means(p, scratch->allocator, watches, err));
    const bool in_order = p->recipe->calibrator == NRW_CALIBRATE_MOVING;
    NRW_TRY(nrw_calibrate(m, source, p->recipe->samples, in_order, watches, &result->samples, err));
    NRW_TRY(find_ranges(p, watches, ranges, err));
    while (bar_sentinels(p, ranges)) {}
    for (int i = 0; i < p->n_nodes; i++) result->quantized_nodes += p->quantized[i];
    return nrw_annotate_static(m, p, ranges, watches, err);
}

static nrw_status quantize_static(nrw_model *m, const nrw_recipe *r,
                                  const nrw_sample_source *source, nrw_quantize_result *result,
                                  nrw_error *err) {
    if (source == NULL)
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "static quantization needs calibration data");
    nrw_arena scratch;
    nrw_arena_init(&scratch, m->arena.allocator);
    nrw_placement p;
    const int32_t n = m->n_values;
    nrw_watch *watches = nrw_arena_calloc(&scratch, (size_t)n + 1, sizeof *watches);
    nrw_status s = watches != NULL ? nrw_place(m, r, &scratch, &p, err)
                                   : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
    if (s == NRW_OK) s = static_with(m, &p, &scratch, watches, source, result, err);
    nrw_watches_free(watches, n);
    nrw_arena_free(&scratch);
    NRW_TRY(s);
    int64_t tables;
    NRW_TRY(nrw_annotate_weights(m, r, true, &tables, err));
    result->quantized_nodes += tables;
    return NRW_OK;
}

/* Before anything runs: what a NaN among the weights does would show up far from it. */
static nrw_status check_weights(nrw_model *m, const nrw_recipe *r, nrw_error *err) {
    for (nrw_node *n = m->graph->first; n != NULL; n = n->next) {
        if (!nrw_is_layer(n)) continue;
        const nrw_quant_spec *s = &n->op->quant;
        NRW_TRY(nrw_check_finite(n, s->weight_input, r, err));
        if (s->bias_input > 0 && nrw_input(n, s->bias_input) != NULL)
            NRW_TRY(nrw_check_finite(n, s->bias_input, r, err));
    }
    return NRW_OK;
}

static nrw_status quantize_in_place(nrw_model *m, const nrw_recipe *r,
                                    const nrw_sample_source *source, nrw_quantize_result *result,
                                    nrw_error *err) {
    int64_t n = 0;
    const bool integers = r->mode == NRW_MODE_STATIC || r->mode == NRW_MODE_DYNAMIC;
    /* Finer activations have no need of it, and coarser weights no room for it. */
    const bool w8a8 = integers && r->weight_bits == 8 && r->activation_bits == 8;
    if (r->smooth && w8a8 && (source != NULL || r->mode == NRW_MODE_DYNAMIC))
        NRW_TRY(nrw_smooth(m, r, source, err));
    switch (r->mode) {
    case NRW_MODE_AUTO:
        break;
    case NRW_MODE_STATIC:
        return quantize_static(m, r, source, result, err);
    case NRW_MODE_DYNAMIC:
        NRW_TRY(nrw_annotate_dynamic(m, r, &result->quantized_nodes, err));
        NRW_TRY(nrw_annotate_weights(m, r, true, &n, err));
        result->quantized_nodes += n;
        return NRW_OK;
    case NRW_MODE_WEIGHTS:
        return nrw_annotate_weights(m, r, false, &result->quantized_nodes, err);
    case NRW_MODE_FP16:
        if (r->target == NRW_TARGET_TFLITE)
            return nrw_round_to_half(m, r, &result->quantized_nodes, err);
        return nrw_to_half(m, r, &result->quantized_nodes, err);
    case NRW_MODE_BF16:
        return nrw_store_bfloat16(m, r, &result->quantized_nodes, err);
    }
    NRW_FAIL(err, NRW_ERR_ARGUMENT, "mode is not settled");
}

static bool already_quantized(const nrw_graph *g) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_outputs; i++) {
            if (n->outputs[i] != NULL && n->outputs[i]->quant != NULL) return true;
        }
    }
    return false;
}

static void show_integers(nrw_graph *g) {
    for (int i = 0; i < g->n_inputs; i++) {
        const nrw_quant *q = g->inputs[i]->quant;
        g->inputs[i]->as_integers = q != NULL && !q->dynamic;
    }
    for (int i = 0; i < g->n_outputs; i++) {
        const nrw_quant *q = g->outputs[i]->quant;
        if (q != NULL && !q->dynamic) g->outputs[i]->as_integers = true;
    }
}

nrw_status nrw_quantize_graph(const nrw_model *m, const nrw_recipe *recipe,
                              const nrw_sample_source *source, nrw_model **out,
                              nrw_quantize_result *result, nrw_error *err) {
    const double start = nrw_seconds();
    if (already_quantized(m->graph))
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "%s is quantized already", m->source);
    nrw_quantize_result r = {.mode = recipe->mode,
                             .weight_bits = recipe->weight_bits,
                             .activation_bits = recipe->activation_bits};
    nrw_model *q;
    NRW_TRY(nrw_model_clone(m, &q, err));
    nrw_status s = nrw_run_pipeline(q, NRW_PIPELINE_QUANTIZE, NULL, err);
    const nrw_target_rules *target = nrw_target_get(recipe->target);
    if (s == NRW_OK && target->prepare != NULL) s = target->prepare(q, err);
    if (s == NRW_OK) s = check_weights(q, recipe, err);
    if (s == NRW_OK) s = quantize_in_place(q, recipe, source, &r, err);
    /* Weights that several nodes share were quantized for each. */
    if (s == NRW_OK) s = nrw_run_pass(q, &nrw_pass_merge_constants, NULL, err);
    if (s == NRW_OK) s = nrw_run_pass(q, &nrw_pass_dead_code, NULL, err);
    if (s == NRW_OK && recipe->integer_io) show_integers(q->graph);
    if (s == NRW_OK) s = nrw_graph_verify(q, err);
    if (s != NRW_OK) {
        nrw_model_destroy(q);
        return s;
    }
    for (const nrw_node *n = q->graph->first; n != NULL; n = n->next) r.float_nodes++;
    r.float_nodes -= r.quantized_nodes < r.float_nodes ? r.quantized_nodes : r.float_nodes;
    r.seconds = nrw_seconds() - start;
    if (result != NULL) *result = r;
    *out = q;
    return NRW_OK;
}
