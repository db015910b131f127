#include "runtime/lanes.h"

#include "base/pool.h"

enum { WIDEST = 64 };
#define LANES_BYTES ((size_t)64 << 20) /* of all lanes together */

typedef struct lane {
    nrw_session *session;
    nrw_arena arena; /* inputs; emptied by every fill */
    nrw_tensor *inputs, *outputs;
    nrw_status status;
    nrw_error err;
} lane;

struct nrw_lanes {
    const nrw_plan *plan;
    nrw_arena arena;
    lane lanes[WIDEST];
    int open, width, most;
    size_t used; /* of the context's memory, before there were lanes */
    nrw_observer_fn observer;
    void *observer_user;
};

static nrw_status open_lane(nrw_lanes *l, nrw_error *err) {
    const nrw_graph *g = l->plan->model->graph;
    lane *at = &l->lanes[l->open];
    nrw_arena_init(&at->arena, l->arena.allocator);
    at->inputs = nrw_arena_calloc(&l->arena, (size_t)g->n_inputs + 1, sizeof *at->inputs);
    at->outputs = nrw_arena_calloc(&l->arena, (size_t)g->n_outputs + 1, sizeof *at->outputs);
    if (at->inputs == NULL || at->outputs == NULL) NRW_OOM(err);
    NRW_TRY(nrw_session_create(l->plan, &at->session, err));
    nrw_session_observe(at->session, l->observer, l->observer_user);
    nrw_session_give_reals(at->session);
    l->open++;
    return NRW_OK;
}

nrw_status nrw_lanes_create(const nrw_plan *p, int most, nrw_lanes **out, nrw_error *err) {
    const nrw_allocator *a = &p->context->memory.allocator;
    nrw_lanes *l = nrw_mem_alloc(a, sizeof *l);
    if (l == NULL) NRW_OOM(err);
    *l = (nrw_lanes){.plan = p, .width = 1, .most = most > 0 && most < WIDEST ? most : WIDEST};
    l->used = nrw_limit_used(&p->context->memory);
    nrw_arena_init(&l->arena, a);
    const nrw_status s = open_lane(l, err);
    if (s == NRW_OK)
        *out = l;
    else
        nrw_lanes_destroy(l);
    return s;
}

void nrw_lanes_destroy(nrw_lanes *l) {
    if (l == NULL) return;
    const nrw_allocator *a = l->arena.allocator;
    for (int i = 0; i < l->open; i++) {
        nrw_session_destroy(l->lanes[i].session);
        nrw_arena_free(&l->lanes[i].arena);
    }
    nrw_arena_free(&l->arena);
    nrw_mem_free(a, l, sizeof *l);
}

int nrw_lanes_width(const nrw_lanes *l) {
    return l->width;
}

void nrw_lanes_observe(nrw_lanes *l, nrw_observer_fn fn, void *user) {
    l->observer = fn;
    l->observer_user = user;
    for (int i = 0; i < l->open; i++) nrw_session_observe(l->lanes[i].session, fn, user);
}

nrw_status nrw_lanes_fill(nrw_lanes *l, int i, const nrw_tensor *inputs, nrw_error *err) {
    while (l->open <= i) NRW_TRY(open_lane(l, err));
    lane *at = &l->lanes[i];
    nrw_arena_reset(&at->arena);
    for (int k = 0; k < l->plan->model->graph->n_inputs; k++) {
        at->inputs[k] = inputs[k];
        if (inputs[k].data == NULL) continue; /* the model's default */
        NRW_TRY(nrw_tensor_copy(&at->arena, &inputs[k], &at->inputs[k], err));
    }
    return NRW_OK;
}

static void run_lane(void *arg, int64_t i, int worker) {
    nrw_lanes *l = arg;
    const nrw_graph *g = l->plan->model->graph;
    lane *at = &l->lanes[i];
    at->status =
        nrw_session_run(at->session, g->n_inputs, at->inputs, g->n_outputs, at->outputs, &at->err);
}

/* A limit must hold: what is left of it is not taken to the end, for lanes grow. */
static void widen(nrw_lanes *l) {
    const nrw_limit *memory = &l->plan->context->memory;
    const int threads = nrw_pool_threads(l->plan->context->pool);
    const size_t used = nrw_limit_used(memory);
    const size_t each = used > l->used ? (used - l->used) / (size_t)l->open + 1 : 1;
    const size_t left = memory->limit > used ? memory->limit - used : 0;
    const size_t most = left / 2 < LANES_BYTES ? left / 2 : LANES_BYTES;
    l->width = threads < l->most ? threads : l->most;
    if ((size_t)l->width > 1 + most / each) l->width = 1 + (int)(most / each);
    /* A few lanes on many threads would leave most of them idle. */
    if (2 * l->width < threads && l->width < l->most) l->width = 1;
}

nrw_status nrw_lanes_run(nrw_lanes *l, int n, int *failed, nrw_error *err) {
    nrw_pool_run(l->plan->context->pool, n, run_lane, l);
    for (*failed = 0; *failed < n; ++*failed) {
        lane *at = &l->lanes[*failed];
        if (at->status == NRW_OK) continue;
        if (err != NULL) *err = at->err;
        return at->status;
    }
    widen(l);
    return NRW_OK;
}

const nrw_tensor *nrw_lanes_outputs(const nrw_lanes *l, int i) {
    return l->lanes[i].outputs;
}
