/* Transpose of a Transpose becomes one Transpose (which `identity` removes if nothing is left). */
#include "passes/match.h"
#include "passes/pass.h"

static nrw_status merge(nrw_node *n, bool *changed, nrw_error *err) {
    nrw_value *middle = n->inputs[0];
    nrw_node *first = middle != NULL ? middle->producer : NULL;
    if (!nrw_is(first, "Transpose") || first->graph != n->graph || middle->quant != NULL)
        return NRW_OK;
    int64_t rank, rank2, perm[NRW_MAX_RANK];
    const int64_t *p = nrw_attr_ints(first, "perm", &rank);
    const int64_t *q = nrw_attr_ints(n, "perm", &rank2);
    if (p == NULL || q == NULL || rank != rank2 || rank > NRW_MAX_RANK) return NRW_OK;
    for (int64_t i = 0; i < rank; i++) {
        if (q[i] < 0 || q[i] >= rank) return NRW_OK;
        perm[i] = p[q[i]];
    }
    NRW_TRY(nrw_node_set_ints(n, "perm", rank, perm, err));
    NRW_TRY(nrw_node_set_input(n, 0, first->inputs[0], err));
    *changed = true;
    return NRW_OK;
}

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        if (nrw_is(n, "Transpose")) NRW_TRY(merge(n, user, err));
    }
    for (nrw_node *n = g->last, *prev; n != NULL; n = prev) {
        prev = n->prev;
        if (nrw_is(n, "Transpose") && n->outputs[0] != NULL && n->outputs[0]->n_uses == 0)
            nrw_node_remove(n);
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    (void)scratch;
    return nrw_each_graph(m->graph, sweep, changed, err);
}

const nrw_pass nrw_pass_merge_transposes = {"merge_transposes", run};
