#include "quant/float16.h"

#include <string.h>

#include "base/half.h"
#include "ops/op.h"
#include "passes/match.h"

#define HALF_MAX   65504.0f
#define ONNX_F32   1
#define ONNX_F16   10
#define BIG_ENOUGH 256 /* elements of a constant that is worth a Cast */

/* Operators whose float inputs or outputs are float32 by definition, or whose sums do not fit. */
static const char *const wide_ops[] = {"Resize",
                                       "Upsample",
                                       "NonMaxSuppression",
                                       "ConstantOfShape",
                                       "Range",
                                       "RandomNormal",
                                       "RandomUniform",
                                       "RandomNormalLike",
                                       "RandomUniformLike",
                                       "EyeLike",
                                       "MelWeightMatrix",
                                       "HannWindow",
                                       "HammingWindow",
                                       "BlackmanWindow",
                                       "Pow",
                                       "ReduceSum",
                                       "ReduceL2",
                                       "ReduceSumSquare",
                                       "ReduceLogSumExp",
                                       "LpNormalization",
                                       "MeanVarianceNormalization",
                                       "CumSum",
                                       "QuantizeLinear",
                                       "DequantizeLinear",
                                       "DynamicQuantizeLinear",
                                       "Constant",
                                       "Bernoulli",
                                       "Multinomial",
                                       "DFT",
                                       "STFT",
                                       "RoiAlign",
                                       "MaxRoiPool",
                                       "Det",
                                       "StringNormalizer",
                                       NULL};

static bool has_body(const nrw_node *n) {
    for (int i = 0; i < n->n_attrs; i++) {
        if (n->attrs[i].type == NRW_ATTR_GRAPH || n->attrs[i].type == NRW_ATTR_GRAPHS) return true;
    }
    return false;
}

static bool is_single(const nrw_value *v) {
    return v != NULL && v->type.kind == NRW_TENSOR && v->type.dtype == NRW_F32 && v->quant == NULL;
}

/* A square, or a sum on its way to become a mean: variances written out in single steps. Either may
 * be far beyond float16's range where its root or its mean is not. */
static bool is_huge(const nrw_node *n) {
    if (!nrw_is(n, "Mul") && !nrw_is(n, "Div")) return false;
    for (int i = 0; i < n->n_inputs; i++) {
        const nrw_node *from = n->inputs[i] != NULL ? n->inputs[i]->producer : NULL;
        if (from != NULL && nrw_is(from, "ReduceSum")) return true;
    }
    return nrw_is(n, "Mul") && n->inputs[0] == n->inputs[1];
}

static bool goes_half(const nrw_node *n, const nrw_recipe *r) {
    if (n->op == NULL || n->domain[0] != 0 || n->op->takes_sequences || has_body(n)) return false;
    for (const char *const *w = wide_ops; *w != NULL; w++) {
        if (strcmp(*w, n->type) == 0) return false;
    }
    if (is_huge(n)) return false;
    const nrw_override *o = nrw_recipe_override(r, n->name, true);
    if (o != NULL && o->keep_float) return false;
    bool any = false;
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] == NULL) continue;
        if (n->inputs[i]->type.dtype == NRW_NONE) return false;
        any |= is_single(n->inputs[i]);
    }
    for (int i = 0; i < n->n_outputs; i++) any |= is_single(n->outputs[i]);
    return any;
}

typedef struct halving {
    nrw_model *model;
    nrw_value **half; /* [n_values] the float16 twin of a float32 value */
    int32_t n;
} halving;

static nrw_node *cast_node(nrw_graph *g, nrw_value *from, nrw_value *to, int code, nrw_node *before,
                           nrw_error *err) {
    nrw_node *n = nrw_node_new(g, nrw_op_find("Cast", ""), "Cast", "", NULL, 1, 1, before);
    if (n == NULL || nrw_node_set_int(n, "to", code, err) != NRW_OK) return NULL;
    if (nrw_node_set_input(n, 0, from, err) != NRW_OK) return NULL;
    nrw_node_set_output(n, 0, to);
    return n;
}

static nrw_value *half_constant(nrw_graph *g, const nrw_value *v) {
    nrw_arena *arena = &g->model->arena;
    nrw_tensor t;
    if (nrw_tensor_new(arena, NRW_F16, v->data->rank, v->data->dims, &t, NULL) != NRW_OK)
        return NULL;
    const float *from = v->data->data;
    uint16_t *to = t.data;
    for (int64_t i = 0, n = nrw_tensor_count(&t); i < n; i++) {
        const float x = from[i];
        to[i] = nrw_f32_to_f16(x > HALF_MAX ? HALF_MAX : x < -HALF_MAX ? -HALF_MAX : x);
    }
    const char *name = nrw_arena_printf(arena, "%s.f16", v->name);
    return name != NULL ? nrw_const_new(g, name, &t) : NULL;
}

static nrw_value *twin(nrw_graph *g, const nrw_value *v) {
    nrw_type type = v->type;
    type.dtype = NRW_F16;
    const char *name = nrw_arena_printf(&g->model->arena, "%s.f16", v->name);
    return name != NULL ? nrw_value_new(g, name, &type) : NULL;
}

static nrw_status halve_input(halving *h, nrw_node *n, int i, nrw_error *err) {
    nrw_value *v = n->inputs[i];
    if (v->id >= h->n) return NRW_OK;
    nrw_value *half = h->half[v->id];
    if (half == NULL && nrw_is_const(v)) {
        half = half_constant(v->graph, v);
        if (half == NULL) NRW_OOM(err);
    } else if (half == NULL) {
        nrw_graph *g = v->graph;
        nrw_node *before = v->producer != NULL ? v->producer->next : g->first;
        half = twin(g, v);
        if (half == NULL || cast_node(g, v, half, ONNX_F16, before, err) == NULL) NRW_OOM(err);
    }
    h->half[v->id] = half;
    return nrw_node_set_input(n, i, half, err);
}

static nrw_status halve_node(halving *h, nrw_node *n, nrw_error *err) {
    for (int i = 0; i < n->n_inputs; i++) {
        if (is_single(n->inputs[i])) NRW_TRY(halve_input(h, n, i, err));
    }
    if (nrw_is(n, "Cast") && nrw_attr_int(n, "to", 0) == ONNX_F32)
        NRW_TRY(nrw_node_set_int(n, "to", ONNX_F16, err));
    for (int i = 0; i < n->n_outputs; i++) {
        nrw_value *y = n->outputs[i];
        if (!is_single(y)) continue;
        nrw_value *half = twin(n->graph, y);
        if (half == NULL) NRW_OOM(err);
        nrw_node_set_output(n, i, NULL);
        nrw_node_set_output(n, i, half);
        h->half[y->id] = half;
    }
    return NRW_OK;
}

/* float32 values that someone still wants are cast back; the others leave their name behind. */
static nrw_status restore(halving *h, nrw_value **values, nrw_error *err) {
    for (int32_t i = 0; i < h->n; i++) {
        nrw_value *y = values[i], *half = h->half[i];
        if (y == NULL || half == NULL || y->producer != NULL || half->producer == NULL) continue;
        if (y->n_uses > 0) {
            if (cast_node(y->graph, half, y, ONNX_F32, half->producer->next, err) == NULL)
                NRW_OOM(err);
        } else {
            nrw_value_swap_names(half, y);
        }
    }
    return NRW_OK;
}

static nrw_status halve_all(halving *h, const nrw_recipe *r, nrw_arena *scratch, int64_t *nodes,
                            nrw_error *err) {
    nrw_value **values = nrw_arena_calloc(scratch, (size_t)h->n + 1, sizeof(nrw_value *));
    h->half = nrw_arena_calloc(scratch, (size_t)h->n + 1, sizeof(nrw_value *));
    if (values == NULL || h->half == NULL) NRW_OOM(err);
    for (nrw_node *n = h->model->graph->first, *next; n != NULL; n = next) {
        next = n->next;
        if (!goes_half(n, r)) continue;
        for (int i = 0; i < n->n_outputs; i++) {
            if (n->outputs[i] != NULL) values[n->outputs[i]->id] = n->outputs[i];
        }
        NRW_TRY(halve_node(h, n, err));
        ++*nodes;
    }
    return restore(h, values, err);
}

nrw_status nrw_to_half(nrw_model *m, const nrw_recipe *r, int64_t *nodes, nrw_error *err) {
    nrw_arena scratch;
    nrw_arena_init(&scratch, m->arena.allocator);
    halving h = {.model = m, .n = m->n_values};
    *nodes = 0;
    nrw_status s = halve_all(&h, r, &scratch, nodes, err);
    nrw_arena_free(&scratch);
    return s;
}

static nrw_status store_bfloat16(nrw_value *v, nrw_error *err) {
    nrw_graph *g = v->graph;
    nrw_tensor t;
    NRW_TRY(nrw_tensor_new(&g->model->arena, NRW_BF16, v->data->rank, v->data->dims, &t, err));
    const float *from = v->data->data;
    uint16_t *to = t.data;
    for (int64_t i = 0, n = nrw_tensor_count(&t); i < n; i++) to[i] = nrw_f32_to_bf16(from[i]);
    const char *name = nrw_arena_printf(&g->model->arena, "%s.bf16", v->name);
    nrw_value *stored = name != NULL ? nrw_const_new(g, name, &t) : NULL;
    nrw_value *wide = nrw_value_new(g, NULL, &v->type);
    if (stored == NULL || wide == NULL) NRW_OOM(err);
    NRW_TRY(nrw_value_replace(v, wide, err));
    return cast_node(g, stored, wide, ONNX_F32, g->first, err) != NULL
               ? NRW_OK
               : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
}

static nrw_status round_to_half(nrw_value *v, nrw_error *err) {
    nrw_tensor t;
    NRW_TRY(nrw_tensor_copy(&v->graph->model->arena, v->data, &t, err));
    float *x = t.data;
    for (int64_t i = 0, n = nrw_tensor_count(&t); i < n; i++) {
        const float inside = x[i] > HALF_MAX ? HALF_MAX : x[i] < -HALF_MAX ? -HALF_MAX : x[i];
        x[i] = nrw_f16_to_f32(nrw_f32_to_f16(inside));
    }
    nrw_value *rounded = nrw_const_new(v->graph, NULL, &t);
    if (rounded == NULL) NRW_OOM(err);
    nrw_value_swap_names(rounded, v);
    return nrw_value_replace(v, rounded, err);
}

/* Large float32 constants of the main graph, by `store`. */
static nrw_status store_constants(nrw_model *m, const nrw_recipe *r,
                                  nrw_status (*store)(nrw_value *v, nrw_error *err), int64_t *nodes,
                                  nrw_error *err) {
    *nodes = 0;
    for (nrw_node *n = m->graph->first; n != NULL; n = n->next) {
        const nrw_override *o = nrw_recipe_override(r, n->name, true);
        if (n->op == NULL || (o != NULL && o->keep_float)) continue;
        bool any = false;
        for (int i = 0; i < n->n_inputs; i++) {
            int64_t count;
            nrw_value *v = n->inputs[i];
            if (nrw_const_floats(v, &count) == NULL || count < BIG_ENOUGH) continue;
            if (v->graph != m->graph) continue;
            NRW_TRY(store(v, err));
            any = true;
        }
        *nodes += any;
    }
    return NRW_OK;
}

nrw_status nrw_store_bfloat16(nrw_model *m, const nrw_recipe *r, int64_t *nodes, nrw_error *err) {
    return store_constants(m, r, store_bfloat16, nodes, err);
}

nrw_status nrw_round_to_half(nrw_model *m, const nrw_recipe *r, int64_t *nodes, nrw_error *err) {
    return store_constants(m, r, round_to_half, nodes, err);
}
