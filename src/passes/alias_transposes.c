/* For plans: a Transpose that only moves axes of length 1 is a Reshape, which copies nothing. */
#include "passes/for_plans.h"
#include "passes/match.h"
#include "passes/pass.h"

static bool keeps_order(const nrw_type *x, const int64_t *perm) {
    int64_t last = -1;
    for (int i = 0; i < x->rank; i++) {
        if (perm[i] < 0 || perm[i] >= x->rank) return false;
        if (x->dims[i] == 0) return false; /* to Reshape 0 says something else */
        if (x->dims[perm[i]] == 1) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

static nrw_status rewrite(nrw_node *n, nrw_error *err) {
    const nrw_value *x = n->inputs[0], *y = n->outputs[0];
    int64_t rank;
    const int64_t *perm = nrw_attr_ints(n, "perm", &rank);
    if (x == NULL || y == NULL || perm == NULL || x->type.kind != NRW_TENSOR ||
        rank != x->type.rank || !nrw_type_is_static(&x->type) || !keeps_order(&x->type, perm))
        return NRW_OK;
    int64_t dims[NRW_MAX_RANK];
    for (int i = 0; i < rank; i++) dims[i] = x->type.dims[perm[i]];
    nrw_value *shape = nrw_const_i64(n->graph, NULL, 1, rank, dims), *out = n->outputs[0];
    nrw_node *r = nrw_node_new(n->graph, nrw_op_find("Reshape", ""), "Reshape", "", NULL, 2, 1, n);
    if (shape == NULL || r == NULL) NRW_OOM(err);
    nrw_node_take_name(r, n);
    NRW_TRY(nrw_node_set_input(r, 0, n->inputs[0], err));
    NRW_TRY(nrw_node_set_input(r, 1, shape, err));
    nrw_node_set_output(n, 0, NULL);
    nrw_node_remove(n);
    nrw_node_set_output(r, 0, out);
    return NRW_OK;
}

nrw_status nrw_alias_transposes(nrw_model *m, const struct nrw_kernels *kn, nrw_error *err) {
    (void)kn;
    for (nrw_node *n = m->graph->first, *next; n != NULL; n = next) {
        next = n->next;
        if (nrw_is(n, "Transpose")) NRW_TRY_CTX(err, rewrite(n, err), "node '%s'", n->name);
    }
    return NRW_OK;
}
