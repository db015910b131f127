#include "quant/calibrate.h"

#include <string.h>

#include "runtime/session.h"

/* The session runs a copy of the model: values are known by name there. */
static nrw_status see(void *user, const nrw_value *v, const nrw_tensor *t, nrw_error *err) {
    if (v->graph->parent != NULL || t->dtype != NRW_F32 || t->data == NULL) return NRW_OK;
    nrw_observer *o = nrw_map_get(user, v->name, strlen(v->name));
    return o != NULL ? nrw_observer_add(o, t->data, nrw_tensor_count(t), err) : NRW_OK;
}

static bool by_name(const nrw_graph *g, nrw_observer *const *observers, nrw_map *map) {
    bool good = true;
    for (int i = 0; i < g->n_inputs; i++) {
        const nrw_value *v = g->inputs[i];
        if (observers[v->id] != NULL)
            good &= nrw_map_put(map, v->name, strlen(v->name), observers[v->id]);
    }
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_outputs; i++) {
            const nrw_value *v = n->outputs[i];
            if (v != NULL && observers[v->id] != NULL)
                good &= nrw_map_put(map, v->name, strlen(v->name), observers[v->id]);
        }
    }
    return good;
}

static nrw_status run_samples(nrw_session *session, const nrw_model *m,
                              const nrw_sample_source *source, int64_t limit, nrw_tensor *in,
                              nrw_tensor *out, int64_t *samples, nrw_error *err) {
    int64_t total = source->count;
    if (limit > 0 && (total < 0 || limit < total)) total = limit;
    for (int64_t i = 0; limit <= 0 || i < limit; i++) {
        NRW_TRY(nrw_progress(m->context, "calibrating", i, total, err));
        bool end = false;
        NRW_TRY_CTX(err, source->next(source->user, i, m->graph->n_inputs, in, &end, err),
                    "calibration sample %lld", (long long)i);
        if (end) break;
        NRW_TRY_CTX(err,
                    nrw_session_run(session, m->graph->n_inputs, in, m->graph->n_outputs, out, err),
                    "calibration sample %lld", (long long)i);
        *samples = i + 1;
    }
    if (*samples == 0) NRW_FAIL(err, NRW_ERR_DATA, "the calibration set is empty");
    return NRW_OK;
}

nrw_status nrw_calibrate(const nrw_model *m, const nrw_sample_source *source, int64_t limit,
                         nrw_observer *const *observers, int64_t *samples, nrw_error *err) {
    *samples = 0;
    nrw_plan *plan = NULL;
    nrw_session *session = NULL;
    nrw_arena arena;
    nrw_arena_init(&arena, m->arena.allocator);
    nrw_tensor *in = nrw_arena_calloc(&arena, (size_t)m->graph->n_inputs + 1, sizeof *in);
    nrw_tensor *out = nrw_arena_calloc(&arena, (size_t)m->graph->n_outputs + 1, sizeof *out);
    nrw_map map;
    nrw_map_init(&map, &arena);
    nrw_status s = NRW_OK;
    if (in == NULL || out == NULL || !by_name(m->graph, observers, &map)) {
        s = nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
        goto done;
    }
    if ((s = nrw_plan_create(m, &(nrw_plan_options){.keep_values = true}, &plan, err)) != NRW_OK)
        goto done;
    if ((s = nrw_session_create(plan, &session, err)) != NRW_OK) goto done;
    nrw_session_observe(session, see, &map);
    s = run_samples(session, m, source, limit, in, out, samples, err);
done:
    nrw_session_destroy(session);
    nrw_plan_destroy(plan);
    nrw_arena_free(&arena);
    return s;
}
