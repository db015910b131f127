/* Constants that hold the same become one, in the main graph where they lay in different bodies. */
#include <string.h>

#include "passes/match.h"
#include "passes/pass.h"

#define HASHED_BYTES 4096 /* the rest is compared */

static bool mergeable(const nrw_value *v) {
    return nrw_is_const(v) && !v->is_state && v->data->kind == NRW_TENSOR &&
           v->data->dtype != NRW_STRING && !nrw_value_is_graph_output(v);
}

static bool same(const nrw_value *a, const nrw_value *b) {
    const nrw_tensor *x = a->data, *y = b->data;
    return x->dtype == y->dtype && nrw_dims_equal(x->rank, x->dims, y->rank, y->dims) &&
           nrw_quant_equal(a->quant, b->quant) &&
           (x->data == y->data || memcmp(x->data, y->data, nrw_tensor_bytes(x)) == 0);
}

static uint64_t hash_of(const nrw_tensor *t) {
    const size_t bytes = nrw_tensor_bytes(t);
    uint64_t h = nrw_hash64(t->dims, (size_t)t->rank * sizeof *t->dims, (uint64_t)t->dtype);
    return nrw_hash64(t->data, bytes < HASHED_BYTES ? bytes : HASHED_BYTES, h);
}

typedef struct merging {
    nrw_map seen; /* hash -> nrw_value * */
    nrw_arena *scratch;
    bool *changed;
} merging;

static nrw_graph *main_graph(nrw_graph *g) {
    while (g->parent != NULL) g = g->parent;
    return g;
}

/* A copy that every graph can see; it shares the elements and takes the name. */
static nrw_value *hoisted(nrw_value *v, nrw_error *err) {
    nrw_value *out = nrw_const_new(main_graph(v->graph), NULL, v->data);
    if (out == NULL) return NULL;
    out->quant = v->quant;
    nrw_value_swap_names(out, v);
    return nrw_value_replace(v, out, err) == NRW_OK ? out : NULL;
}

static nrw_status merge_inputs(merging *m, nrw_node *n, nrw_error *err) {
    for (int i = 0; i < n->n_inputs; i++) {
        nrw_value *v = n->inputs[i];
        if (!mergeable(v)) continue;
        const uint64_t h = hash_of(v->data);
        nrw_value *first = nrw_map_get(&m->seen, (const char *)&h, sizeof h);
        if (first == v) continue;
        if (first != NULL && same(first, v) && first->graph != v->graph &&
            first->graph->parent != NULL) {
            first = hoisted(first, err);
            if (first == NULL || !nrw_map_put(&m->seen, (const char *)&h, sizeof h, first))
                NRW_OOM(err);
        }
        if (first == NULL) {
            const uint64_t *key = nrw_arena_dup(m->scratch, &h, sizeof h);
            if (key == NULL || !nrw_map_put(&m->seen, (const char *)key, sizeof h, v)) NRW_OOM(err);
        } else if (same(first, v)) {
            NRW_TRY(nrw_value_replace(v, first, err));
            *m->changed = true;
        }
    }
    return NRW_OK;
}

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    for (nrw_node *n = g->first; n != NULL; n = n->next) NRW_TRY(merge_inputs(user, n, err));
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    merging merge = {.scratch = scratch, .changed = changed};
    nrw_map_init(&merge.seen, scratch);
    return nrw_each_graph(m->graph, sweep, &merge, err);
}

const nrw_pass nrw_pass_merge_constants = {"merge_constants", run};
