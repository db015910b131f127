#include "passes/for_plans.h"

#include "ops/conv_last.h"
#include "passes/match.h"
#include "passes/pass.h"
#include "passes/turn.h"

static const int64_t to_last[4] = {0, 2, 3, 1}, to_first[4] = {0, 3, 1, 2};

/* n reads x with channels last and makes its output so, between two Transposes. */
static nrw_status turn(nrw_node *n, nrw_value *last, const char *type, nrw_error *err) {
    if (last == NULL) NRW_OOM(err);
    nrw_become(n, type);
    NRW_TRY(nrw_node_set_input(n, 0, last, err));
    return nrw_turn_output(n, 0, 4, to_first, err);
}

static nrw_status turn_conv(nrw_node *n, nrw_error *err) {
    return turn(n, nrw_turned(n->graph, n->inputs[0], 4, to_last, n), "ConvLast", err);
}

/* The name of the operator that does what a pool does with channels last; NULL: there is none. */
static const char *pool_last(const nrw_node *n) {
    if (n->outputs[0] == NULL || n->inputs[0]->type.rank != 4) return NULL;
    if (!nrw_quant_is_u8(n->inputs[0]->quant) || !nrw_quant_is_u8(n->outputs[0]->quant))
        return NULL;
    if (nrw_is(n, "GlobalAveragePool")) return "GlobalAveragePoolLast";
    const bool indices = n->n_outputs > 1 && n->outputs[1] != NULL;
    if (!nrw_is(n, "MaxPool") || indices) return NULL;
    return nrw_quant_equal(n->inputs[0]->quant, n->outputs[0]->quant) ? "MaxPoolLast" : NULL;
}

/* A pool behind something with channels last. */
static nrw_status turn_pool(nrw_node *n, bool *turned, nrw_error *err) {
    const char *type =
        n->n_inputs > 0 && n->n_outputs > 0 && n->inputs[0] != NULL ? pool_last(n) : NULL;
    *turned = type != NULL && nrw_has_perm(n->inputs[0]->producer, to_first, 4);
    return *turned ? turn(n, n->inputs[0]->producer->inputs[0], type, err) : NRW_OK;
}

nrw_status nrw_channels_last(nrw_model *m, const struct nrw_kernels *kn, nrw_error *err) {
    nrw_graph *g = m->graph;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        if (nrw_is(n, "Conv") && n->outputs[0] != NULL && n->inputs[0]->type.rank == 4 &&
            nrw_conv_last_suits(kn, n))
            NRW_TRY(turn_conv(n, err));
    }
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        bool turned;
        NRW_TRY(turn_pool(n, &turned, err));
        if (!turned) NRW_TRY(nrw_sink_turn(n, &turned, err));
    }
    NRW_TRY(nrw_cancel_turns(g, err));
    return nrw_run_pass(m, &nrw_pass_dead_code, NULL, err);
}
