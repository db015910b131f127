/* The table behind a convolution with channels last is looked up as its results are stored: they
 * are neither written nor read again. */
#include <string.h>

#include "kernels/kernels.h"
#include "ops/conv_last.h"
#include "passes/for_plans.h"
#include "passes/match.h"
#include "passes/pass.h"

static nrw_status fuse(nrw_node *table, const nrw_kernels *kn, nrw_error *err) {
    const nrw_value *v = table->inputs[0], *y = table->outputs[0];
    nrw_node *conv = nrw_made_by_bare_conv_last(v);
    if (conv == NULL || conv->graph != table->graph || !nrw_quant_is_u8(v->quant) ||
        !nrw_quant_is_u8(y->quant) || !nrw_conv_last_looks_up(kn, conv))
        return NRW_OK;
    return nrw_conv_last_take(conv, 4, table->inputs[1], table, err);
}

nrw_status nrw_fuse_conv_tables(nrw_model *m, const nrw_kernels *kn, nrw_error *err) {
    for (nrw_node *n = m->graph->first, *next; n != NULL; n = next) {
        next = n->next;
        if (n->op != NULL && strcmp(n->type, "Table") == 0 && strcmp(n->domain, "ai.narrow") == 0)
            NRW_TRY_CTX(err, fuse(n, kn, err), "node '%s'", n->name);
    }
    return NRW_OK;
}
