/* Transposes between channels first and last move down through what does not mind, until they meet
 * one that turns back, or something that minds. Equal ones of the same value become one. */
#include <string.h>

#include "passes/match.h"
#include "passes/pass.h"
#include "passes/turn.h"

/* The output of an earlier Transpose like n. */
static nrw_value *made_already(const nrw_node *n, const int64_t *perm, int rank) {
    const nrw_value *x = n->inputs[0];
    for (size_t i = 0; i < x->n_uses; i++) {
        const nrw_node *u = x->uses[i].node;
        if (u == NULL || u == n || u->graph != n->graph || !nrw_has_perm(u, perm, rank)) continue;
        if (!nrw_quant_equal(u->outputs[0]->quant, n->outputs[0]->quant)) continue;
        for (const nrw_node *before = n->prev; before != NULL; before = before->prev) {
            if (before == u) return u->outputs[0];
        }
    }
    return NULL;
}

static nrw_status share(nrw_graph *g, nrw_error *err) {
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        const int64_t *perm;
        int rank;
        if (!nrw_is_turn(n, &perm, &rank) || nrw_value_is_graph_output(n->outputs[0])) continue;
        nrw_value *same = n->inputs[0]->n_uses > 1 ? made_already(n, perm, rank) : NULL;
        if (same != NULL) NRW_TRY(nrw_value_replace(n->outputs[0], same, err));
    }
    return NRW_OK;
}

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    bool *changed = user;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        bool sunk;
        NRW_TRY_CTX(err, nrw_sink_turn(n, &sunk, err), "node '%s'", n->name);
        *changed |= sunk;
    }
    NRW_TRY(nrw_cancel_turns(g, err));
    return share(g, err);
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    (void)scratch;
    NRW_TRY(nrw_each_graph(m->graph, sweep, changed, err));
    return nrw_run_pass(m, &nrw_pass_dead_code, NULL, err);
}

const nrw_pass nrw_pass_sink_transposes = {"sink_transposes", run};
