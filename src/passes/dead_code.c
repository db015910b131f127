/* Removes nodes whose outputs nobody uses. Nodes of unknown operators go as well: an operator has
 * no effect but its outputs. */
#include "passes/match.h"
#include "passes/pass.h"

static bool is_dead(const nrw_node *n) {
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] != NULL && n->outputs[i]->n_uses > 0) return false;
    }
    return true;
}

/* Bodies go with their node: what they used from outside is unused then. */
static nrw_status release_body(nrw_graph *g, void *user, nrw_error *err) {
    (void)user, (void)err;
    while (g->last != NULL) nrw_node_remove(g->last);
    return NRW_OK;
}

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    for (nrw_node *n = g->last, *prev; n != NULL; n = prev) {
        prev = n->prev;
        if (!is_dead(n)) continue;
        for (int i = 0; i < n->n_attrs; i++) {
            if (n->attrs[i].type != NRW_ATTR_GRAPH) continue;
            NRW_TRY(nrw_each_graph(n->attrs[i].graph, release_body, NULL, err));
        }
        nrw_node_remove(n);
        *(bool *)user = true;
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    (void)scratch;
    return nrw_each_graph(m->graph, sweep, changed, err);
}

const nrw_pass nrw_pass_dead_code = {"dead_code", run};
