/* Quantized constants: layers' weights, and weights that are only stored small. */
#include <float.h>
#include <math.h>

#include "passes/match.h"
#include "quant/annotate.h"
#include "quant/params.h"

#define WORTH_IT 1024 /* elements: smaller constants stay float when only their storage is won */
/* Constants that are added: a larger share of the model's, with rows of so many elements (fewer are
 * coordinates), no larger (what is may be a mask), that integers keep so well. */
#define ADDEND_SHARE 64
#define ADDEND_ROW   16
#define ADDEND_MOST  1e4
#define ADDEND_SQNR  3000.0 /* 35 dB */

nrw_status nrw_put_quantized(nrw_node *n, int i, nrw_quant *q, nrw_error *err) {
    nrw_graph *g = n->graph;
    nrw_value *old = n->inputs[i];
    nrw_tensor t;
    NRW_TRY(nrw_tensor_new(&g->model->arena, q->dtype, old->data->rank, old->data->dims, &t, err));
    t.quant = q;
    NRW_TRY_CTX(err, nrw_quantize_values(old->data->data, &t, err), "constant '%s'", old->name);
    nrw_value *v = nrw_const_new(g, NULL, &t);
    if (v == NULL) NRW_OOM(err);
    if (nrw_value_only_use(old) != NULL) { /* nothing else needs the name */
        nrw_value_swap_names(v, old);
    }
    return nrw_node_set_input(n, i, v, err);
}

nrw_status nrw_check_finite(nrw_node *n, int i, const nrw_recipe *r, nrw_error *err) {
    const nrw_value *v = n->inputs[i];
    int64_t count, bad = 0;
    const float *x = nrw_const_floats(v, &count);
    for (int64_t k = 0; k < count; k++) bad += !isfinite(x[k]);
    if (bad == 0) return NRW_OK;
    if (!r->clamp_weights)
        NRW_FAIL(err, NRW_ERR_DATA,
                 "node '%s': constant '%s' holds %lld values that are NaN or infinite; "
                 "clamp_weights makes them finite",
                 n->name, v->name, (long long)bad);
    float *to;
    nrw_value *clean = nrw_new_floats(n->graph, v->name, v->data->rank, v->data->dims, &to);
    if (clean == NULL) NRW_OOM(err);
    float least = 0, most = 0;
    for (int64_t k = 0; k < count; k++) {
        if (!isfinite(x[k])) continue;
        least = fminf(least, x[k]);
        most = fmaxf(most, x[k]);
    }
    for (int64_t k = 0; k < count; k++) {
        to[k] = isnan(x[k]) ? 0 : isinf(x[k]) ? (x[k] < 0 ? least : most) : x[k];
    }
    return nrw_node_set_input(n, i, clean, err);
}

static nrw_dtype weight_type(int bits) {
    return bits == 4 ? NRW_I4 : NRW_I8;
}

static int channel_axis(const nrw_node *n, int rank) {
    const nrw_quant_spec *s = &n->op->quant;
    if (nrw_is(n, "ConvTranspose") && nrw_attr_int(n, "group", 1) > 1) return -1;
    return s->weight_axis != NULL ? s->weight_axis(n, rank) : s->weight_channel;
}

nrw_status nrw_layer_weights(nrw_node *n, const nrw_recipe *r, bool blocks, nrw_quant **q,
                             nrw_error *err) {
    const int at = n->op->quant.weight_input;
    NRW_TRY(nrw_check_finite(n, at, r, err));
    const nrw_tensor *w = n->inputs[at]->data;
    const nrw_override *o = nrw_recipe_override(r, n->name, true);
    nrw_weight_scheme scheme = {
        .dtype = weight_type(o != NULL && o->weight_bits != 0 ? o->weight_bits : r->weight_bits),
        .symmetric = true,
        .axis = r->granularity == NRW_PER_TENSOR ? -1 : channel_axis(n, w->rank),
        .search = r->search_weights};
    const bool matrix = nrw_is(n, "MatMul") || nrw_is(n, "Gemm");
    if (blocks && r->granularity == NRW_PER_BLOCK && matrix && w->rank == 2) {
        const int along = 1 - scheme.axis; /* the axis that is summed over */
        if (w->dims[along] % r->block == 0) {
            scheme.axis = along;
            scheme.block = r->block;
        }
    }
    return nrw_quant_weights(&n->graph->model->arena, w, &scheme, q, err);
}

static bool big_floats(const nrw_value *v) {
    int64_t n;
    return nrw_const_floats(v, &n) != NULL && n >= WORTH_IT;
}

/* Weights of a recurrent cell: [directions, gates * hidden, …]; a table: rows that Gather picks. A
 * table has a scale for each column, so that rows can be picked from the integers first. */
static nrw_status store_small(nrw_node *n, const nrw_recipe *r, int at, int axis, nrw_error *err) {
    NRW_TRY(nrw_check_finite(n, at, r, err));
    nrw_weight_scheme scheme = {.dtype = NRW_I8,
                                .symmetric = true,
                                .axis = r->granularity == NRW_PER_TENSOR ? -1 : axis,
                                .search = r->search_weights};
    nrw_quant *q;
    NRW_TRY(nrw_quant_weights(&n->graph->model->arena, n->inputs[at]->data, &scheme, &q, err));
    return nrw_put_quantized(n, at, q, err);
}

/* Position embeddings, as a rule, which can be a good part of a small transformer. */
static bool is_large_addend(const nrw_node *n, int i, int64_t total) {
    int64_t count;
    const nrw_value *v = nrw_input(n, i);
    const float *x = nrw_is(n, "Add") ? nrw_const_floats(v, &count) : NULL;
    if (x == NULL || v->data->rank < 2 || count < WORTH_IT || count < total / ADDEND_SHARE)
        return false;
    if (v->data->dims[v->data->rank - 1] < ADDEND_ROW) return false;
    const int64_t row = v->data->dims[v->data->rank - 1];
    double signal = 0, noise = 0;
    for (int64_t c = 0; c < row; c++) {
        double most = 0;
        for (int64_t k = c; k < count; k += row) {
            most = isfinite(x[k]) ? fmax(most, fabs((double)x[k])) : INFINITY;
            signal += (double)x[k] * x[k];
        }
        if (!(most <= ADDEND_MOST)) return false;
        const double step = most / nrw_quant_levels(NRW_I8, true).hi;
        noise += step * step / 12 * (double)(count / row);
    }
    return signal >= ADDEND_SQNR * noise;
}

static bool is_cell(const nrw_node *n) {
    return nrw_is(n, "LSTM") || nrw_is(n, "GRU") || nrw_is(n, "RNN");
}

typedef struct weights_walk {
    const nrw_recipe *recipe;
    bool tables_only;
    int64_t total; /* elements of float constants */
    int64_t nodes;
} weights_walk;

static nrw_status annotate_node(nrw_node *n, const weights_walk *walk, bool tables_only, bool *done,
                                nrw_error *err) {
    const nrw_recipe *r = walk->recipe;
    const nrw_override *o = nrw_recipe_override(r, n->name, true);
    if (n->op == NULL || (o != NULL && o->keep_float)) return NRW_OK;
    if (nrw_is(n, "Gather") && big_floats(nrw_input(n, 0)) && n->inputs[0]->data->rank == 2 &&
        nrw_attr_int(n, "axis", 0) == 0) {
        *done = true;
        return store_small(n, r, 0, 1, err);
    }
    for (int i = 1; is_cell(n) && i <= 2; i++) {
        if (!big_floats(nrw_input(n, i)) || n->inputs[i]->data->rank != 3) continue;
        *done = true;
        NRW_TRY(store_small(n, r, i, 1, err));
    }
    for (int i = 0; i < 2; i++) {
        if (!is_large_addend(n, i, walk->total)) continue;
        *done = true;
        return store_small(n, r, i, n->inputs[i]->data->rank - 1, err);
    }
    /* No format has a transposed convolution with measured inputs: only its weights are small. */
    const bool wanted = !tables_only || nrw_is(n, "ConvTranspose");
    if (!wanted || !nrw_is_layer(n) || !big_floats(n->inputs[n->op->quant.weight_input]))
        return NRW_OK;
    nrw_quant *q;
    NRW_TRY(nrw_layer_weights(n, r, true, &q, err));
    *done = true;
    return nrw_put_quantized(n, n->op->quant.weight_input, q, err);
}

/* Only the main graph has layers that compute in integers; in bodies weights are stored small. */
static nrw_status annotate_graph(nrw_graph *g, void *user, nrw_error *err) {
    weights_walk *walk = user;
    const bool tables_only = walk->tables_only && g->parent == NULL;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        bool done = false;
        NRW_TRY_CTX(err, annotate_node(n, walk, tables_only, &done, err), "node '%s'", n->name);
        walk->nodes += done;
    }
    return NRW_OK;
}

/* Constants that several nodes read count for each: it is an estimate. */
static nrw_status count_floats(nrw_graph *g, void *user, nrw_error *err) {
    (void)err;
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_inputs; i++) {
            const nrw_value *v = n->inputs[i];
            if (nrw_is_const(v) && v->type.dtype == NRW_F32)
                *(int64_t *)user += nrw_tensor_count(v->data);
        }
    }
    return NRW_OK;
}

nrw_status nrw_annotate_weights(nrw_model *m, const nrw_recipe *r, bool tables_only, int64_t *nodes,
                                nrw_error *err) {
    weights_walk walk = {.recipe = r, .tables_only = tables_only};
    NRW_TRY(nrw_each_graph(m->graph, count_floats, &walk.total, err));
    const nrw_status s = nrw_each_graph(m->graph, annotate_graph, &walk, err);
    *nodes = walk.nodes;
    return s;
}

/* Dynamic: one Requantize for each value, shared by the layers that take it. */

static nrw_value *measured(nrw_value *x, nrw_value **made, nrw_error *err) {
    if (made[x->id] != NULL) return made[x->id];
    nrw_graph *g = x->graph;
    nrw_node *before = x->producer != NULL ? x->producer->next : g->first;
    nrw_quant *q = nrw_arena_calloc(&g->model->arena, 1, sizeof *q);
    nrw_node *n = nrw_node_new(g, nrw_op_find("Requantize", "ai.narrow"), "Requantize", "ai.narrow",
                               NULL, 1, 1, before);
    nrw_value *v = nrw_value_new(g, NULL, &x->type);
    if (q == NULL || n == NULL || v == NULL) return NULL;
    *q = (nrw_quant){.dtype = NRW_U8, .axis = -1, .count = 1, .dynamic = true};
    v->quant = q;
    if (nrw_node_set_input(n, 0, x, err) != NRW_OK) return NULL;
    nrw_node_set_output(n, 0, v);
    return made[x->id] = v;
}

nrw_status nrw_annotate_dynamic(nrw_model *m, const nrw_recipe *r, int64_t *layers,
                                nrw_error *err) {
    nrw_arena scratch;
    nrw_arena_init(&scratch, m->arena.allocator);
    nrw_value **made = nrw_arena_calloc(&scratch, (size_t)m->n_values + 1, sizeof(nrw_value *));
    nrw_status s = made != NULL ? NRW_OK : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
    *layers = 0;
    for (nrw_node *n = m->graph->first; s == NRW_OK && n != NULL; n = n->next) {
        const nrw_override *o = nrw_recipe_override(r, n->name, true);
        if (!nrw_is_layer(n) || nrw_is(n, "ConvTranspose") || (o != NULL && o->keep_float))
            continue;
        nrw_value *x = n->inputs[0];
        if (x == NULL || x->data != NULL || x->type.dtype != NRW_F32 || x->graph != m->graph)
            continue;
        nrw_quant *q;
        if ((s = nrw_layer_weights(n, r, false, &q, err)) != NRW_OK) break;
        if ((s = nrw_put_quantized(n, n->op->quant.weight_input, q, err)) != NRW_OK) break;
        nrw_value *v = measured(x, made, err);
        s = v != NULL ? nrw_node_set_input(n, 0, v, err)
                      : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
        ++*layers;
    }
    nrw_arena_free(&scratch);
    return s;
}
