/* MatMul of two matrices plus a constant row becomes Gemm, the form in which a bias is quantized
 * with its weights. Only rank 2: Gemm knows no other. */
#include "passes/match.h"
#include "passes/pass.h"

static nrw_value *bias_row(nrw_graph *g, nrw_value *v, int64_t columns) {
    int64_t n;
    const float *p = nrw_const_floats(v, &n);
    if (p == NULL || n != columns || v->data->rank < 1 || v->data->rank > 2) return NULL;
    if (v->data->rank == 1) return v;
    float *row;
    nrw_value *flat = nrw_new_floats(g, v->name, 1, &columns, &row);
    for (int64_t i = 0; flat != NULL && i < n; i++) row[i] = p[i];
    return flat;
}

static nrw_status fold(nrw_node *add, bool *changed, nrw_error *err) {
    for (int i = 0; i < 2; i++) {
        nrw_value *x = add->inputs[i], *y = add->outputs[0];
        nrw_node *mm = nrw_made_by(x, "MatMul");
        if (mm == NULL || mm->graph != add->graph || x->quant != NULL) continue;
        const nrw_value *a = mm->inputs[0], *w = mm->inputs[1];
        if (a->type.rank != 2 || a->type.dtype != NRW_F32 || !nrw_is_const(w) || w->type.rank != 2)
            continue;
        nrw_value *bias = bias_row(add->graph, add->inputs[1 - i], w->type.dims[1]);
        if (bias == NULL) continue;
        nrw_node *gemm =
            nrw_node_new(add->graph, nrw_op_find("Gemm", ""), "Gemm", "", NULL, 3, 1, mm);
        if (gemm == NULL) NRW_OOM(err);
        NRW_TRY(nrw_node_set_input(gemm, 0, mm->inputs[0], err));
        NRW_TRY(nrw_node_set_input(gemm, 1, mm->inputs[1], err));
        NRW_TRY(nrw_node_set_input(gemm, 2, bias, err));
        gemm->name = mm->name;
        nrw_node_remove(add);
        nrw_node_remove(mm);
        nrw_node_set_output(gemm, 0, y);
        *changed = true;
        return NRW_OK;
    }
    return NRW_OK;
}

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        if (nrw_is(n, "Add") && n->outputs[0] != NULL) NRW_TRY(fold(n, user, err));
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    (void)scratch;
    if (nrw_op_find("Gemm", "") == NULL) return NRW_OK;
    return nrw_each_graph(m->graph, sweep, changed, err);
}

const nrw_pass nrw_pass_bias_matmul = {"bias_matmul", run};
