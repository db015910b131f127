#include "quant/calibrate.h"

#include <pthread.h>
#include <string.h>

#include "passes/match.h"
#include "runtime/lanes.h"

enum { LOCKS = 64 };

typedef struct calibration {
    const nrw_model *model;
    nrw_map watches; /* value name -> nrw_watch: sessions run a copy of the model */
    pthread_mutex_t locks[LOCKS];
    nrw_lanes *lanes;
} calibration;

static nrw_status add(const nrw_watch *w, const nrw_tensor *t, nrw_error *err) {
    if (w->means != NULL) nrw_means_add(w->means, t);
    return w->range != NULL ? nrw_observer_add(w->range, t->data, nrw_tensor_count(t), err)
                            : NRW_OK;
}

static nrw_status see(void *user, const nrw_value *v, const nrw_tensor *t, nrw_error *err) {
    calibration *c = user;
    if (v->graph->parent != NULL || t->dtype != NRW_F32 || t->data == NULL) return NRW_OK;
    const nrw_watch *w = nrw_map_get(&c->watches, v->name, strlen(v->name));
    if (w == NULL) return NRW_OK;
    pthread_mutex_t *lock = &c->locks[v->id % LOCKS];
    pthread_mutex_lock(lock);
    const nrw_status s = add(w, t, err);
    pthread_mutex_unlock(lock);
    return s;
}

static bool put(const nrw_watch *watches, const nrw_value *v, nrw_map *map) {
    const nrw_watch *w = &watches[v->id];
    if (w->range == NULL && w->means == NULL) return true;
    return nrw_map_put(map, v->name, strlen(v->name), (void *)(uintptr_t)w);
}

static bool by_name(const nrw_graph *g, const nrw_watch *watches, nrw_map *map) {
    bool good = true;
    for (int i = 0; i < g->n_inputs; i++) good &= put(watches, g->inputs[i], map);
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_outputs; i++) {
            if (n->outputs[i] != NULL) good &= put(watches, n->outputs[i], map);
        }
    }
    return good;
}

/* Nobody looks at a value between a layer and the Relu or Clip that alone reads it. */
static bool may_fuse_clamps(const nrw_graph *g, const nrw_watch *watches) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        double lo, hi;
        if (!nrw_clamp_bounds(n, &lo, &hi) || n->inputs[0]->producer == NULL) continue;
        const nrw_watch *w = &watches[n->inputs[0]->id];
        if (w->range != NULL || w->means != NULL) return false;
    }
    return true;
}

/* Samples first, first + 1, … into as many lanes as there are; *n says how many. */
static nrw_status fill(const calibration *c, const nrw_sample_source *source, int64_t first,
                       int64_t limit, nrw_tensor *in, int *n, nrw_error *err) {
    const int inputs = c->model->graph->n_inputs;
    for (*n = 0; *n < nrw_lanes_width(c->lanes) && (limit <= 0 || first + *n < limit); ++*n) {
        bool end = false;
        NRW_TRY_CTX(err, source->next(source->user, first + *n, inputs, in, &end, err),
                    "calibration sample %lld", (long long)(first + *n));
        if (end) return NRW_OK;
        NRW_TRY(nrw_lanes_fill(c->lanes, *n, in, err));
    }
    return NRW_OK;
}

static nrw_status run_samples(const calibration *c, const nrw_sample_source *source, int64_t limit,
                              nrw_tensor *in, int64_t *samples, nrw_error *err) {
    int64_t total = source->count;
    if (limit > 0 && (total < 0 || limit < total)) total = limit;
    for (*samples = 0;;) {
        int n, failed = 0;
        NRW_TRY(nrw_progress(c->model->context, "calibrating", *samples, total, err));
        NRW_TRY(fill(c, source, *samples, limit, in, &n, err));
        if (n == 0) break;
        NRW_TRY_CTX(err, nrw_lanes_run(c->lanes, n, &failed, err), "calibration sample %lld",
                    (long long)(*samples + failed));
        for (int i = 0; i < n && source->seen != NULL; i++) {
            NRW_TRY(source->seen(source->user, *samples + i, nrw_lanes_outputs(c->lanes, i), err));
        }
        *samples += n;
    }
    if (*samples == 0) NRW_FAIL(err, NRW_ERR_DATA, "the calibration set is empty");
    return NRW_OK;
}

static nrw_status calibrate_with(calibration *c, const nrw_plan *plan,
                                 const nrw_sample_source *source, int64_t limit, bool in_order,
                                 nrw_arena *arena, int64_t *samples, nrw_error *err) {
    nrw_tensor *in = nrw_arena_calloc(arena, (size_t)c->model->graph->n_inputs + 1, sizeof *in);
    if (in == NULL) NRW_OOM(err);
    NRW_TRY(nrw_lanes_create(plan, in_order ? 1 : 0, &c->lanes, err));
    nrw_lanes_observe(c->lanes, see, c);
    const nrw_status s = run_samples(c, source, limit, in, samples, err);
    nrw_lanes_destroy(c->lanes);
    return s;
}

/* As if nothing had been seen. */
static void clear(const nrw_watch *watches, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (watches[i].range != NULL) nrw_observer_clear(watches[i].range);
        if (watches[i].means != NULL) nrw_means_clear(watches[i].means);
    }
}

nrw_status nrw_calibrate(const nrw_model *m, const nrw_sample_source *source, int64_t limit,
                         bool in_order, const nrw_watch *watches, int64_t *samples,
                         nrw_error *err) {
    nrw_arena arena;
    nrw_arena_init(&arena, m->arena.allocator);
    calibration c = {.model = m};
    nrw_map_init(&c.watches, &arena);
    for (int i = 0; i < LOCKS; i++) pthread_mutex_init(&c.locks[i], NULL);
    nrw_plan *plan = NULL;
    const nrw_plan_options options = {.keep_values = true,
                                      .fuse_clamps = may_fuse_clamps(m->graph, watches)};
    nrw_status s = by_name(m->graph, watches, &c.watches)
                       ? nrw_plan_create(m, &options, &plan, err)
                       : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
    if (s == NRW_OK) s = calibrate_with(&c, plan, source, limit, in_order, &arena, samples, err);
    if (s == NRW_ERR_MEMORY && plan != NULL && !in_order) { /* one sample at a time takes least */
        clear(watches, m->n_values);
        s = calibrate_with(&c, plan, source, limit, true, &arena, samples, err);
    }
    nrw_plan_destroy(plan);
    for (int i = 0; i < LOCKS; i++) pthread_mutex_destroy(&c.locks[i]);
    nrw_arena_free(&arena);
    return s;
}

void nrw_watches_free(nrw_watch *watches, int64_t n) {
    for (int64_t i = 0; watches != NULL && i < n; i++) {
        nrw_observer_free(watches[i].range);
        nrw_means_free(watches[i].means);
        watches[i] = (nrw_watch){0};
    }
}
