#include "passes/match.h"

#include <math.h>
#include <string.h>

#include "ops/eval.h"

bool nrw_is(const nrw_node *n, const char *type) {
    return n != NULL && n->op != NULL && n->domain[0] == 0 && strcmp(n->type, type) == 0;
}

bool nrw_is_const(const nrw_value *v) {
    return v != NULL && v->data != NULL && !v->is_input;
}

const float *nrw_const_floats(const nrw_value *v, int64_t *n) {
    if (!nrw_is_const(v) || v->quant != NULL || v->data->dtype != NRW_F32) return NULL;
    *n = nrw_tensor_count(v->data);
    return v->data->data;
}

bool nrw_const_scalar(const nrw_value *v, float *x) {
    int64_t n;
    const float *p = nrw_const_floats(v, &n);
    if (p == NULL || n != 1) return false;
    *x = p[0];
    return true;
}

bool nrw_const_ints(const nrw_value *v, int64_t *x, int max, int *n) {
    return nrw_is_const(v) && v->quant == NULL &&
           nrw_tensor_ints(v->data, x, max, n, NULL) == NRW_OK;
}

bool nrw_clamp_bounds(const nrw_node *n, double *lo, double *hi) {
    float x;
    *lo = -INFINITY;
    *hi = INFINITY;
    if (nrw_is(n, "Relu")) {
        *lo = 0;
        return true;
    }
    if (!nrw_is(n, "Clip")) return false;
    if (nrw_input(n, 1) != NULL) {
        if (!nrw_const_scalar(n->inputs[1], &x)) return false;
        *lo = x;
    }
    if (nrw_input(n, 2) != NULL) {
        if (!nrw_const_scalar(n->inputs[2], &x)) return false;
        *hi = x;
    }
    return true;
}

nrw_node *nrw_made_by(const nrw_value *v, const char *type) {
    if (v == NULL || !nrw_is(v->producer, type) || nrw_value_only_use(v) == NULL) return NULL;
    return v->producer;
}

nrw_node *nrw_made_by_bare_conv_last(const nrw_value *v) {
    nrw_node *n = v->producer;
    const bool bare = n != NULL && strcmp(n->type, "ConvLast") == 0 && n->n_inputs <= 3;
    return bare && nrw_value_only_use(v) != NULL ? n : NULL;
}

nrw_status nrw_conv_last_take(nrw_node *conv, int i, nrw_value *with, nrw_node *behind,
                              nrw_error *err) {
    const nrw_quant *inner = conv->outputs[0]->quant;
    nrw_value *y = behind->outputs[0];
    NRW_TRY(nrw_node_set_float(conv, "inner_scale", inner->scale[0], err));
    NRW_TRY(nrw_node_set_int(conv, "inner_zero", inner->zero_point[0], err));
    NRW_TRY(nrw_node_resize_inputs(conv, i + 1, err));
    NRW_TRY(nrw_node_set_input(conv, i, with, err));
    nrw_node_move(conv, behind);
    nrw_node_set_output(conv, 0, NULL);
    nrw_node_remove(behind);
    nrw_node_set_output(conv, 0, y);
    return NRW_OK;
}

bool nrw_is_annotated(const nrw_graph *g) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        if (nrw_eval_is_annotated(n)) return true;
    }
    return false;
}

nrw_status nrw_each_graph(nrw_graph *g, nrw_graph_fn fn, void *user, nrw_error *err) {
    NRW_TRY(fn(g, user, err));
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_attrs; i++) {
            const nrw_attr *a = &n->attrs[i];
            if (a->type == NRW_ATTR_GRAPH) NRW_TRY(nrw_each_graph(a->graph, fn, user, err));
            if (a->type != NRW_ATTR_GRAPHS) continue;
            for (int64_t k = 0; k < a->n; k++) {
                NRW_TRY(nrw_each_graph(a->graphs[k], fn, user, err));
            }
        }
    }
    return NRW_OK;
}

nrw_value *nrw_new_floats(nrw_graph *g, const char *like, int rank, const int64_t *dims,
                          float **elements) {
    nrw_arena *arena = &g->model->arena;
    nrw_tensor t;
    if (nrw_tensor_new(arena, NRW_F32, rank, dims, &t, NULL) != NRW_OK) return NULL;
    *elements = t.data;
    const char *name = nrw_model_made_up_name(g->model, like);
    return name != NULL ? nrw_const_new(g, name, &t) : NULL;
}

nrw_value *nrw_emit(nrw_graph *g, const char *type, int n_in, nrw_value *const *in,
                    const nrw_type *out, nrw_node *before) {
    nrw_value *v = nrw_value_new(g, NULL, out);
    nrw_node *n =
        v == NULL ? NULL : nrw_node_new(g, nrw_op_find(type, ""), type, "", NULL, n_in, 1, before);
    if (n == NULL) return NULL;
    for (int i = 0; i < n_in; i++) {
        if (in[i] != NULL && nrw_node_set_input(n, i, in[i], NULL) != NRW_OK) return NULL;
    }
    nrw_node_set_output(n, 0, v);
    return v;
}
