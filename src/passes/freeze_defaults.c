/* Old exporters list every weight among the graph's inputs, where callers could override it (before
 * IR version 4 files had to). Nobody does, and a weight that may change can be neither folded nor
 * quantized: defaults that are only read as parameters of layers, or by nobody, become constants.
 * Other defaults stay inputs. */
#include "passes/match.h"
#include "passes/pass.h"

static const char *const parameter_readers[] = {"BatchNormalization",
                                                "InstanceNormalization",
                                                "LayerNormalization",
                                                "GroupNormalization",
                                                "PRelu",
                                                "LSTM",
                                                "GRU",
                                                "RNN",
                                                NULL};

static bool reads_parameter(const nrw_use *u) {
    if (u->node == NULL || u->node->op == NULL || u->index == 0) return false;
    if (u->node->op->quant.rule == NRW_QUANT_WEIGHTED) return true;
    for (const char *const *r = parameter_readers; *r != NULL; r++) {
        if (nrw_is(u->node, *r)) return true;
    }
    return false;
}

static bool is_parameter(const nrw_model *m, const nrw_value *v) {
    if (v->data == NULL) return false;
    if (m->ir_version > 0 && m->ir_version < 4) return true;
    for (size_t i = 0; i < v->n_uses; i++) {
        if (!reads_parameter(&v->uses[i])) return false;
    }
    return true;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    (void)scratch, (void)err;
    nrw_graph *g = m->graph;
    int kept = 0;
    for (int i = 0; i < g->n_inputs; i++) {
        nrw_value *v = g->inputs[i];
        if (!is_parameter(m, v)) {
            g->inputs[kept++] = v;
            continue;
        }
        v->is_input = false;
        *changed = true;
    }
    g->n_inputs = kept;
    return NRW_OK;
}

const nrw_pass nrw_pass_freeze_defaults = {"freeze_defaults", run};
