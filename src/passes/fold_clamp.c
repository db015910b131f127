/* Relu and Clip vanish where the integers of their output cannot hold what they would cut off: a
 * saturating store does the same. The producer then makes the clamped value directly. */
#include "passes/match.h"
#include "passes/pass.h"

/* Every real that q stands for lies in [lo, hi], up to the rounding of the scale itself. */
static bool range_clamps(const nrw_quant *q, double lo, double hi) {
    const nrw_dtype_row *row = nrw_dtype_get(q->dtype);
    if (q->dynamic || q->axis >= 0 || q->count != 1) return false;
    const double s = q->scale[0], slack = s * 1e-3;
    return s * (double)(row->min - q->zero_point[0]) >= lo - slack &&
           s * (double)(row->max - q->zero_point[0]) <= hi + slack;
}

static void fold(nrw_node *n, bool *changed) {
    nrw_value *x = n->inputs[0], *y = n->outputs[0];
    double lo, hi;
    if (y == NULL || y->quant == NULL || !nrw_clamp_bounds(n, &lo, &hi)) return;
    if (x->producer == NULL || x->producer->op == NULL || x->producer->graph != n->graph) return;
    if (nrw_value_only_use(x) == NULL) return;
    if (x->quant != NULL && !nrw_quant_equal(x->quant, y->quant)) return;
    if (!range_clamps(y->quant, lo, hi)) return;
    nrw_node *producer = x->producer;
    const int index = x->producer_index;
    nrw_node_remove(n);
    nrw_node_set_output(producer, index, NULL);
    nrw_node_set_output(producer, index, y);
    *changed = true;
}

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    (void)err;
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        if (n->op != NULL && n->n_outputs == 1) fold(n, user);
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    (void)scratch;
    return nrw_each_graph(m->graph, sweep, changed, err);
}

const nrw_pass nrw_pass_fold_clamp = {"fold_clamp", run};
