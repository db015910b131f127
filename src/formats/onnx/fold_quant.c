/* QuantizeLinear and DequantizeLinear to annotations. */
#include <string.h>

#include "formats/onnx/quantized.h"
#include "ops/op.h"
#include "passes/match.h"
#include "passes/pass.h"

static bool is_storage(nrw_dtype t) {
    return t == NRW_U8 || t == NRW_I8 || t == NRW_U16 || t == NRW_I16 || t == NRW_I4 ||
           t == NRW_U4 || t == NRW_I2 || t == NRW_U2 || t == NRW_I32;
}

static bool is_single(const nrw_value *v) {
    return v != NULL && v->type.kind == NRW_TENSOR &&
           (v->type.dtype == NRW_F32 || v->type.dtype == NRW_NONE);
}

/* The integers' type that a QuantizeLinear makes. */
static nrw_dtype quantized_type(const nrw_node *n) {
    const nrw_value *zero = nrw_input(n, 2);
    if (zero != NULL) return zero->type.dtype;
    const int64_t code = nrw_attr_int(n, "output_dtype", 0);
    return code == 0 ? NRW_U8 : nrw_dtype_from_onnx((int)code);
}

/* The scales of a Q or DQ node; those of a bias may be the product of two. False where they are not
 * constant. */
static bool read_scale(const nrw_value *s, nrw_tensor *t) {
    int64_t one, count;
    if (nrw_const_floats(s, &count) != NULL) {
        *t = *s->data;
        return true;
    }
    const nrw_node *mul = s != NULL ? s->producer : NULL;
    if (!nrw_is(mul, "Mul")) return false;
    const float *x = nrw_const_floats(mul->inputs[0], &one);
    const float *w = nrw_const_floats(mul->inputs[1], &count);
    if (x == NULL || w == NULL || mul->inputs[0]->data->rank != 0) return false;
    *t = *mul->inputs[1]->data;
    float *product =
        nrw_arena_calloc(&mul->graph->model->arena, (size_t)count + 1, sizeof *product);
    for (int64_t i = 0; product != NULL && i < count; i++) product[i] = x[0] * w[i];
    t->data = product;
    return product != NULL;
}

/* The parameters of a Q or DQ node whose integers have this type; NULL where they are not
 * constant, or of a kind that annotations do not know. real: the type of the real side. */
static nrw_quant *read_params(const nrw_node *n, nrw_dtype type, const nrw_type *real) {
    nrw_arena *arena = &n->graph->model->arena;
    const nrw_value *z = nrw_input(n, 2);
    nrw_tensor s;
    if (!is_storage(type) || !read_scale(nrw_input(n, 1), &s)) return NULL;
    const int64_t count = nrw_tensor_count(&s);
    const float *scale = s.data;
    if (count < 1 || (z != NULL && (!nrw_is_const(z) || z->quant != NULL ||
                                    z->data->dtype != type || nrw_tensor_count(z->data) != count)))
        return NULL;
    int64_t axis = nrw_attr_int(n, "axis", 1), block = nrw_attr_int(n, "block_size", 0);
    const bool whole = s.rank == 0 || (s.rank == 1 && count == 1 && block == 0);
    if (whole) {
        axis = -1;
        block = 0;
    } else {
        if (real->rank == NRW_RANK_UNKNOWN ? axis < 0 : !nrw_normalize_axis(&axis, real->rank))
            return NULL;
        if (block == 0 && s.rank != 1) return NULL;
        if (block > 0 && (s.rank != real->rank || real->dims[axis] < 0 ||
                          s.dims[axis] * block != real->dims[axis]))
            return NULL;
    }
    nrw_quant *q = nrw_arena_calloc(arena, 1, sizeof *q);
    float *to = nrw_arena_dup(arena, scale, (size_t)count * sizeof *to);
    int32_t *zero = nrw_arena_calloc(arena, (size_t)count, sizeof *zero);
    if (q == NULL || to == NULL || zero == NULL) return NULL;
    for (int64_t i = 0; i < count; i++) {
        int64_t x = 0;
        const int size = nrw_dtype_size(type);
        if (!(scale[i] > 0) || (z != NULL && nrw_to_i64(type, (char *)z->data->data + i * size, &x,
                                                        1, NULL) != NRW_OK))
            return NULL;
        zero[i] = (int32_t)x;
    }
    *q = (nrw_quant){.dtype = type,
                     .axis = (int32_t)axis,
                     .block = block,
                     .count = count,
                     .scale = to,
                     .zero_point = zero};
    return q;
}

typedef struct folding {
    nrw_arena scratch;
    nrw_map constants; /* a constant's address -> its annotated twin */
} folding;

/* The annotated twin of an integer constant. */
static nrw_value *annotated(folding *f, nrw_value *c, const nrw_quant *q) {
    nrw_value *known = nrw_map_get(&f->constants, (const char *)c->name, strlen(c->name));
    if (known != NULL && known->data->data == c->data->data && nrw_quant_equal(known->quant, q))
        return known;
    nrw_tensor t = *c->data;
    t.quant = q;
    nrw_value *v = nrw_const_new(c->graph, NULL, &t);
    if (v == NULL || !nrw_map_put(&f->constants, c->name, strlen(c->name), v)) return NULL;
    return v;
}

/* Once nothing reads the plain integers, the annotated ones go by their name. */
static void inherit_name(nrw_value *plain, nrw_value *twin) {
    if (plain->n_uses > 0) return;
    nrw_value_swap_names(plain, twin);
}

static nrw_status fold_constant(folding *f, nrw_node *n, nrw_error *err) {
    nrw_value *c = n->inputs[0], *y = n->outputs[0];
    if (!is_single(y) || nrw_value_is_graph_output(y)) return NRW_OK;
    const nrw_quant *q = read_params(n, c->data->dtype, &c->type);
    if (q == NULL) return NRW_OK;
    nrw_value *v = annotated(f, c, q);
    if (v == NULL) NRW_OOM(err);
    nrw_node_remove(n);
    NRW_TRY(nrw_value_replace(y, v, err));
    inherit_name(c, v);
    return NRW_OK;
}

/* DequantizeLinear of picked rows: the table is annotated. */
static nrw_status fold_table(folding *f, nrw_node *n, nrw_error *err) {
    nrw_value *rows = n->inputs[0], *y = n->outputs[0];
    nrw_node *gather = nrw_made_by(rows, "Gather");
    if (gather == NULL || gather->graph != n->graph || !is_single(y)) return NRW_OK;
    nrw_value *c = gather->inputs[0];
    if (!nrw_is_const(c) || c->quant != NULL || c->data->rank != 2 ||
        nrw_attr_int(gather, "axis", 0) != 0)
        return NRW_OK;
    /* Only columns may have scales of their own; counted from the end, they are axis -1 of both. */
    const int64_t axis = nrw_attr_int(n, "axis", 1);
    const int rank = rows->type.rank;
    if (axis != -1 && rank != NRW_RANK_UNKNOWN && axis != rank - 1) return NRW_OK;
    if (axis != -1 && rank == NRW_RANK_UNKNOWN) return NRW_OK;
    NRW_TRY(nrw_node_set_int(n, "axis", 1, err));
    const nrw_quant *q = read_params(n, c->data->dtype, &c->type);
    if (q == NULL) return nrw_node_set_int(n, "axis", axis, err);
    nrw_value *v = annotated(f, c, q);
    if (v == NULL) NRW_OOM(err);
    NRW_TRY(nrw_node_set_input(gather, 0, v, err));
    nrw_node_remove(n);
    nrw_node_set_output(gather, 0, NULL);
    nrw_node_set_output(gather, 0, y);
    y->type.dtype = NRW_F32;
    inherit_name(c, v);
    return NRW_OK;
}

/* Every use of the integers is a DequantizeLinear with the same parameters; or, *shown, callers get
 * them. */
static bool all_dequantize(const nrw_value *vq, const nrw_quant *q, bool *to_output, bool *shown) {
    *to_output = *shown = false;
    for (size_t i = 0; i < vq->n_uses; i++) {
        const nrw_node *n = vq->uses[i].node;
        if (n == NULL && vq->uses[i].graph == vq->graph && vq->graph->parent == NULL) {
            *shown = true;
            continue;
        }
        if (!nrw_is(n, "DequantizeLinear") || vq->uses[i].index != 0) return false;
        if (!is_single(n->outputs[0])) return false;
        const nrw_quant *p = read_params(n, q->dtype, &vq->type);
        if (p == NULL || !nrw_quant_equal(p, q)) return false;
        *to_output |= nrw_value_is_graph_output(n->outputs[0]);
    }
    return vq->n_uses > 0;
}

static nrw_value *quantized_constant(nrw_value *x, const nrw_quant *q, nrw_error *err) {
    nrw_tensor t;
    if (nrw_tensor_new(&x->graph->model->arena, q->dtype, x->data->rank, x->data->dims, &t, err) !=
        NRW_OK)
        return NULL;
    t.quant = q;
    if (nrw_quantize_values(x->data->data, &t, err) != NRW_OK) return NULL;
    return nrw_const_new(x->graph, NULL, &t);
}

static nrw_value *requantized(nrw_node *n, const nrw_quant *q, nrw_error *err) {
    nrw_value *x = n->inputs[0];
    nrw_type type = x->type;
    type.dtype = NRW_F32;
    nrw_node *r = nrw_node_new(n->graph, nrw_op_find("Requantize", "ai.narrow"), "Requantize",
                               "ai.narrow", NULL, 1, 1, n);
    nrw_value *y = nrw_value_new(n->graph, NULL, &type);
    if (r == NULL || y == NULL || nrw_node_set_input(r, 0, x, err) != NRW_OK) return NULL;
    y->quant = q;
    nrw_node_set_output(r, 0, y);
    return y;
}

static nrw_status fold_pair(nrw_node *n, nrw_error *err) {
    nrw_value *x = n->inputs[0], *vq = n->outputs[0];
    bool to_output, shown;
    int64_t count;
    if (!is_single(x)) return NRW_OK;
    const nrw_quant *q = read_params(n, quantized_type(n), &x->type);
    if (q == NULL || !all_dequantize(vq, q, &to_output, &shown) || (to_output && shown))
        return NRW_OK;
    const bool own = x->graph == n->graph;
    if ((to_output || shown) && (x->producer == NULL || !own)) return NRW_OK;
    nrw_value *target;
    if (shown && (x->quant != NULL || x->n_uses > 1))
        target = requantized(n, q, err);
    else if (x->quant != NULL && nrw_quant_equal(x->quant, q))
        target = x;
    else if (x->quant == NULL && nrw_const_floats(x, &count) != NULL)
        target = quantized_constant(x, q, err);
    else if (x->quant == NULL && x->data == NULL && x->n_uses == 1 && own)
        target = x;
    else
        target = requantized(n, q, err);
    if (target == NULL) NRW_OOM(err);
    if (target == x && x->quant == NULL) {
        x->quant = q;
        x->type.dtype = NRW_F32;
    }
    for (size_t left = vq->n_uses; left-- > 0;) {
        nrw_node *dq = vq->uses[left].node;
        if (dq == NULL) continue;
        nrw_value *real = dq->outputs[0];
        nrw_node_remove(dq);
        NRW_TRY(nrw_value_replace(real, target, err));
    }
    nrw_node_remove(n);
    if (!shown) return NRW_OK;
    NRW_TRY(nrw_value_replace(vq, target, err));
    target->as_integers = true;
    return NRW_OK;
}

/* An input of integers that are made real right away. */
static nrw_status fold_input(nrw_value *v, nrw_error *err) {
    bool to_output, shown;
    if (v->data != NULL || v->type.kind != NRW_TENSOR || !is_storage(v->type.dtype) ||
        v->n_uses == 0 || !nrw_is(v->uses[0].node, "DequantizeLinear"))
        return NRW_OK;
    const nrw_quant *q = read_params(v->uses[0].node, v->type.dtype, &v->type);
    if (q == NULL || q->axis >= 0 || !all_dequantize(v, q, &to_output, &shown) || to_output ||
        shown)
        return NRW_OK;
    const size_t dequantized = v->n_uses;
    for (size_t i = 0; i < dequantized; i++) {
        /* The first use goes, and those of what it made come last. */
        nrw_node *dq = v->uses[0].node;
        nrw_value *real = dq->outputs[0];
        nrw_node_remove(dq);
        NRW_TRY(nrw_value_replace(real, v, err));
    }
    v->quant = q;
    v->type.dtype = NRW_F32;
    v->as_integers = true;
    return NRW_OK;
}

static nrw_status fold_graph(nrw_graph *g, void *user, nrw_error *err) {
    folding *f = user;
    NRW_TRY(nrw_onnx_from_qoperators(g, err));
    NRW_TRY(nrw_onnx_fold_dynamic(g, err));
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        if (!nrw_is(n, "DequantizeLinear") || n->outputs[0] == NULL) continue;
        if (nrw_is_const(n->inputs[0]) && n->inputs[0]->quant == NULL)
            NRW_TRY_CTX(err, fold_constant(f, n, err), "node '%s'", n->name);
        else
            NRW_TRY_CTX(err, fold_table(f, n, err), "node '%s'", n->name);
    }
    for (int i = 0; i < g->n_inputs && g->parent == NULL; i++)
        NRW_TRY(fold_input(g->inputs[i], err));
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        nrw_node *before = n->prev;
        if (nrw_is(n, "QuantizeLinear") && n->outputs[0] != NULL) {
            NRW_TRY_CTX(err, fold_pair(n, err), "node '%s'", n->name);
            /* n and nodes behind it may be gone. */
            next = before != NULL ? before->next : g->first;
            if (next == n) next = n->next;
        } else {
            next = n->next;
        }
    }
    return NRW_OK;
}

nrw_status nrw_onnx_fold_quantization(nrw_model *m, nrw_error *err) {
    /* Scales and biases may have been stored as palettes. */
    NRW_TRY(nrw_run_pipeline(m, NRW_PIPELINE_UNSHRINK, NULL, err));
    folding f;
    nrw_arena_init(&f.scratch, m->arena.allocator);
    nrw_map_init(&f.constants, &f.scratch);
    nrw_status s = nrw_each_graph(m->graph, fold_graph, &f, err);
    nrw_arena_free(&f.scratch);
    return s;
}
