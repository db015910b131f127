/* Between signed and unsigned bytes: the same bits with the top one flipped, and a zero point that
 * is 128 off. Integers that callers see stay as the model has them, with a Requantize between. */
#include <string.h>

#include "passes/for_plans.h"
#include "passes/match.h"
#include "passes/pass.h"

static bool flips(const nrw_value *v, nrw_dtype to) {
    return v != NULL && nrw_quant_is_byte(v->quant) && v->quant->dtype != to;
}

static const nrw_quant *flipped(nrw_model *m, const nrw_quant *q) {
    const bool to_unsigned = q->dtype == NRW_I8;
    nrw_quant *f = nrw_quant_per_tensor(&m->arena, to_unsigned ? NRW_U8 : NRW_I8, q->scale[0],
                                        q->zero_point[0] + (to_unsigned ? 128 : -128));
    if (f != NULL) f->rounding = q->rounding;
    return f;
}

static nrw_node *requantize(nrw_value *x, nrw_value *y, nrw_node *before, nrw_error *err) {
    nrw_node *n = nrw_node_new(x->graph, nrw_op_find("Requantize", "ai.narrow"), "Requantize",
                               "ai.narrow", NULL, 1, 1, before);
    if (n == NULL || nrw_node_set_input(n, 0, x, err) != NRW_OK) return NULL;
    nrw_node_set_output(n, 0, y);
    return n;
}

/* Operators of a file's own, which know its own integers. */
static bool is_foreign(const nrw_node *n) {
    return n->op == NULL || strcmp(n->domain, "tflite") == 0;
}

/* Whoever reads v here wants the integers that the model has. */
static bool keeps(const nrw_value *v, const nrw_use *use) {
    return use->node == NULL ? v->as_integers : is_foreign(use->node);
}

/* Uses of v that keep its integers, or (keeping false) those that do not, become uses of w. */
static nrw_status redirect(nrw_value *v, nrw_value *w, bool keeping, nrw_error *err) {
    for (size_t left = v->n_uses; left-- > 0;) {
        const nrw_use use = v->uses[left];
        if (keeps(v, &use) != keeping) continue;
        if (use.node != NULL)
            NRW_TRY(nrw_node_set_input(use.node, use.index, w, err));
        else
            NRW_TRY(nrw_graph_set_output(use.graph, use.index, w, err));
    }
    return NRW_OK;
}

static nrw_value *twin(const nrw_value *v, const nrw_quant *q) {
    nrw_value *w = q != NULL ? nrw_value_new(v->graph, NULL, &v->type) : NULL;
    if (w != NULL) w->quant = q;
    return w;
}

/* v comes as it is: from callers, or from an operator that makes the model's integers. */
static nrw_status flip_given(nrw_value *v, nrw_node *before, nrw_error *err) {
    nrw_value *w = twin(v, flipped(v->graph->model, v->quant));
    if (w == NULL) NRW_OOM(err);
    NRW_TRY(redirect(v, w, false, err));
    return requantize(v, w, before, err) != NULL
               ? NRW_OK
               : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
}

static nrw_status flip_input(nrw_value *v, nrw_error *err) {
    if (v->as_integers) return flip_given(v, v->graph->first, err);
    v->quant = flipped(v->graph->model, v->quant);
    return v->quant != NULL ? NRW_OK : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
}

static nrw_status flip_output(nrw_value *v, nrw_error *err) {
    const nrw_quant *was = v->quant;
    bool kept = false;
    if (is_foreign(v->producer)) return flip_given(v, v->producer->next, err);
    v->quant = flipped(v->graph->model, was);
    for (size_t i = 0; i < v->n_uses; i++) kept |= keeps(v, &v->uses[i]);
    if (v->quant == NULL) NRW_OOM(err);
    if (!kept) return NRW_OK;
    nrw_value *w = twin(v, was);
    if (w == NULL) NRW_OOM(err);
    if (nrw_value_is_graph_output(v) && v->as_integers) {
        nrw_value_swap_names(w, v);
        w->as_integers = true;
    }
    NRW_TRY(redirect(v, w, true, err));
    v->as_integers = false;
    return requantize(v, w, v->producer->next, err) != NULL
               ? NRW_OK
               : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
}

/* A constant that is data, not weights, follows what it is combined with. */
static nrw_status flip_constant(nrw_node *n, int i, nrw_dtype to, nrw_error *err) {
    const nrw_value *v = n->inputs[i];
    const nrw_quant_spec *spec = &n->op->quant;
    if (!flips(v, to) || v->data == NULL || v->is_input || spec->rule == NRW_QUANT_NONE ||
        (spec->rule == NRW_QUANT_WEIGHTED && i > 0))
        return NRW_OK;
    nrw_tensor t;
    NRW_TRY(nrw_tensor_copy(&n->graph->model->arena, v->data, &t, err));
    unsigned char *p = t.data;
    const int64_t count = nrw_tensor_count(&t);
    for (int64_t k = 0; k < count; k++) p[k] ^= 0x80;
    t.dtype = to;
    t.quant = flipped(n->graph->model, v->quant);
    nrw_value *u = t.quant != NULL ? nrw_const_new(n->graph, NULL, &t) : NULL;
    if (u == NULL) NRW_OOM(err);
    return nrw_node_set_input(n, i, u, err);
}

nrw_status nrw_flip_bytes(nrw_model *m, nrw_dtype to, nrw_error *err) {
    nrw_graph *g = m->graph;
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next; /* before n gets a Requantize for callers behind it */
        for (int i = 0; i < n->n_inputs && !is_foreign(n); i++)
            NRW_TRY(flip_constant(n, i, to, err));
        for (int i = 0; i < n->n_outputs; i++) {
            if (flips(n->outputs[i], to)) NRW_TRY(flip_output(n->outputs[i], err));
        }
    }
    for (int i = 0; i < g->n_inputs; i++) {
        if (flips(g->inputs[i], to) && g->inputs[i]->data == NULL)
            NRW_TRY(flip_input(g->inputs[i], err));
    }
    return NRW_OK;
}

nrw_status nrw_unsigned_bytes(nrw_model *m, const struct nrw_kernels *kn, nrw_error *err) {
    (void)kn;
    return nrw_flip_bytes(m, NRW_U8, err);
}
