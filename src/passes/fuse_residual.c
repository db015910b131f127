/* The sum behind a convolution with channels last becomes part of it: the convolution's result is
 * neither written nor read again. */
#include "ops/quant_table.h"
#include "passes/for_plans.h"
#include "passes/match.h"
#include "passes/pass.h"

static bool is_bytes(const nrw_value *v) {
    return v != NULL && nrw_quant_is_u8(v->quant) && v->data == NULL &&
           v->type.kind == NRW_TENSOR && nrw_type_is_static(&v->type);
}

static bool same_shape(const nrw_value *a, const nrw_value *b) {
    return nrw_dims_equal(a->type.rank, a->type.dims, b->type.rank, b->type.dims);
}

/* Whether a comes before b in the graph. */
static bool is_before(const nrw_node *a, const nrw_node *b) {
    for (; a != NULL; a = a->next) {
        if (a == b) return true;
    }
    return false;
}

static nrw_status fuse(nrw_node *add, nrw_error *err) {
    nrw_value *y = add->outputs[0];
    nrw_sum_u8 sum;
    if (!is_bytes(y)) return NRW_OK;
    nrw_node *conv = NULL;
    nrw_value *other = NULL;
    for (int i = 0; i < 2; i++) {
        nrw_value *v = add->inputs[i], *o = add->inputs[1 - i];
        if (!is_bytes(v) || !is_bytes(o) || v == o || !same_shape(v, y) || !same_shape(o, y) ||
            !nrw_quant_sum(v->quant, o->quant, y->quant, &sum))
            continue;
        nrw_node *n = nrw_made_by_bare_conv_last(v);
        /* The later of two: what the other gives must be there. */
        if (n == NULL || nrw_attr_int(n, "group", 1) != 1 || n->graph != add->graph ||
            (conv != NULL && is_before(n, conv)))
            continue;
        conv = n;
        other = o;
    }
    return conv != NULL ? nrw_conv_last_take(conv, 3, other, add, err) : NRW_OK;
}

nrw_status nrw_fuse_residuals(nrw_model *m, const struct nrw_kernels *kn, nrw_error *err) {
    (void)kn;
    for (nrw_node *n = m->graph->first, *next; n != NULL; n = next) {
        next = n->next;
        if (nrw_is(n, "Add")) NRW_TRY_CTX(err, fuse(n, err), "node '%s'", n->name);
    }
    return NRW_OK;
}
