/* A quantized MatMul, the bias behind it, and a Gelu whose result is bytes become one
 * ai.narrow::MatMulGelu: what lies between is four times as large as either end. */
#include <string.h>

#include "passes/for_plans.h"
#include "passes/match.h"
#include "passes/pass.h"

/* The only reader of v, of this type. */
static nrw_node *reader(const nrw_value *v, const char *type) {
    const nrw_use *u = v != NULL && v->quant == NULL ? nrw_value_only_use(v) : NULL;
    return u != NULL && nrw_is(u->node, type) ? u->node : NULL;
}

/* One float for each of the n columns. */
static bool is_vector(const nrw_value *b, int64_t n) {
    int64_t count;
    return nrw_const_floats(b, &count) != NULL && count == n && b->data->rank >= 1 &&
           b->data->dims[b->data->rank - 1] == n;
}

static nrw_status fuse(nrw_node *n, nrw_error *err) {
    const nrw_value *w = n->inputs[1];
    if (n->inputs[0]->quant == NULL || n->inputs[0]->quant->dynamic || !nrw_is_const(w) ||
        w->quant == NULL || w->data->rank != 2)
        return NRW_OK;
    nrw_value *v = n->outputs[0], *bias = NULL;
    nrw_node *add = reader(v, "Add");
    if (add != NULL && v->type.rank >= 1) {
        bias = add->inputs[add->inputs[0] == v];
        const nrw_type *y = &add->outputs[0]->type;
        if (!is_vector(bias, w->data->dims[1]) || bias->data->rank > v->type.rank ||
            y->rank != v->type.rank)
            return NRW_OK;
        v = add->outputs[0];
    }
    nrw_node *gelu = reader(v, "Gelu");
    if (gelu == NULL || gelu->graph != n->graph || (add != NULL && add->graph != n->graph))
        return NRW_OK;
    nrw_value *y = gelu->outputs[0];
    if (!nrw_quant_is_u8(y->quant) || y->quant->dynamic) return NRW_OK;
    const char *how = nrw_attr_str(gelu, "approximate", "none");
    if (bias != NULL) {
        NRW_TRY(nrw_node_resize_inputs(n, 3, err));
        NRW_TRY(nrw_node_set_input(n, 2, bias, err));
    }
    NRW_TRY(nrw_node_set_str(n, "approximate", how, err));
    nrw_become(n, "MatMulGelu");
    nrw_node_move(n, gelu);
    nrw_node_set_output(gelu, 0, NULL);
    nrw_node_set_output(n, 0, NULL);
    nrw_node_remove(gelu);
    if (add != NULL) nrw_node_remove(add);
    nrw_node_set_output(n, 0, y);
    return NRW_OK;
}

nrw_status nrw_fuse_matmul_gelu(nrw_model *m, const struct nrw_kernels *kn, nrw_error *err) {
    (void)kn;
    for (nrw_node *n = m->graph->first, *next; n != NULL; n = next) {
        next = n->next;
        if (nrw_is(n, "MatMul")) {
            /* The nodes behind it may go. */
            nrw_node *before = n->prev;
            NRW_TRY_CTX(err, fuse(n, err), "node '%s'", n->name);
            next = before != NULL ? before->next : m->graph->first;
            if (next == n) next = n->next;
        }
    }
    return NRW_OK;
}
