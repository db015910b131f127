/* The table behind a convolution with channels last is looked up as its results are stored: they
 * are neither written nor read again. */
#include <string.h>

#include "kernels/kernels.h"
#include "ops/conv_last.h"
#include "passes/for_plans.h"
#include "passes/match.h"
#include "passes/pass.h"

static bool is_bytes(const nrw_value *v) {
    return nrw_quant_is_u8(v->quant) && !v->quant->dynamic && v->quant->count == 1;
}

static nrw_status fuse(nrw_node *table, const nrw_kernels *kn, nrw_error *err) {
    nrw_value *v = table->inputs[0], *y = table->outputs[0];
    nrw_node *conv = v->producer;
    if (conv == NULL || strcmp(conv->type, "ConvLast") != 0 || conv->graph != table->graph ||
        nrw_value_only_use(v) == NULL || !is_bytes(v) || !is_bytes(y) || conv->n_inputs > 3 ||
        !nrw_conv_last_looks_up(kn, conv))
        return NRW_OK;
    NRW_TRY(nrw_node_set_float(conv, "inner_scale", v->quant->scale[0], err));
    NRW_TRY(nrw_node_set_int(conv, "inner_zero", v->quant->zero_point[0], err));
    NRW_TRY(nrw_node_resize_inputs(conv, 5, err));
    NRW_TRY(nrw_node_set_input(conv, 4, table->inputs[1], err));
    nrw_node_move(conv, table);
    nrw_node_set_output(conv, 0, NULL);
    nrw_node_remove(table);
    nrw_node_set_output(conv, 0, y);
    return NRW_OK;
}

nrw_status nrw_fuse_conv_tables(nrw_model *m, const nrw_kernels *kn, nrw_error *err) {
    for (nrw_node *n = m->graph->first, *next; n != NULL; n = next) {
        next = n->next;
        if (n->op != NULL && strcmp(n->type, "Table") == 0 && strcmp(n->domain, "ai.narrow") == 0)
            NRW_TRY_CTX(err, fuse(n, kn, err), "node '%s'", n->name);
    }
    return NRW_OK;
}
