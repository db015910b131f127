/* Scores, softmax and the product with the values become one ai.narrow::AttentionViews. What only
 * moves heads about (Transpose, Reshape, picking one of a stack) is not run at all: the operator
 * reads Q, K and V where they were made. Exporters write scales before or behind the product, masks
 * as an Add, and some guard rows without any score against NaN. */
#include <string.h>

#include "passes/for_plans.h"
#include "passes/match.h"
#include "passes/pass.h"

enum { BATCH, HEADS, M, N, D, DV, SIZES };

/* Elements of `base` under another shape. */
typedef struct view {
    nrw_value *base;
    int rank;
    int64_t offset, dims[NRW_MAX_RANK], steps[NRW_MAX_RANK];
    float scale; /* what they are multiplied by */
} view;

static bool is_plain(const nrw_value *v) {
    return v != NULL && v->quant == NULL && v->type.kind == NRW_TENSOR &&
           v->type.dtype == NRW_F32 && nrw_type_is_static(&v->type) && nrw_type_count(&v->type) > 0;
}

static void whole(nrw_value *v, view *out) {
    *out = (view){.base = v, .rank = v->type.rank, .scale = 1};
    int64_t step = 1;
    for (int i = v->type.rank - 1; i >= 0; i--) {
        out->dims[i] = v->type.dims[i];
        out->steps[i] = step;
        step *= v->type.dims[i];
    }
}

/* Axes that lie behind one another merge, axes of 1 go. */
static void squeeze(view *v) {
    int n = 0;
    for (int i = 0; i < v->rank; i++) {
        if (v->dims[i] == 1) continue;
        if (n > 0 && v->steps[n - 1] == v->dims[i] * v->steps[i]) {
            v->dims[n - 1] *= v->dims[i];
            v->steps[n - 1] = v->steps[i];
            continue;
        }
        v->dims[n] = v->dims[i];
        v->steps[n++] = v->steps[i];
    }
    v->rank = n;
}

/* The same elements in the shape of `type`; false where that takes a copy. */
static bool reshape(view *v, const nrw_type *type) {
    view from = *v;
    squeeze(&from);
    int at = from.rank - 1;
    int64_t left = at >= 0 ? from.dims[at] : 1, step = at >= 0 ? from.steps[at] : 1;
    for (int i = type->rank - 1; i >= 0; i--) {
        const int64_t dim = type->dims[i];
        v->dims[i] = dim;
        v->steps[i] = dim == 1 ? 0 : step;
        if (dim == 1) continue;
        if (left % dim != 0) return false;
        left /= dim;
        step *= dim;
        if (left > 1) continue;
        at--;
        left = at >= 0 ? from.dims[at] : 1;
        step = at >= 0 ? from.steps[at] : 1;
    }
    v->rank = type->rank;
    return at < 0;
}

static bool permute(view *v, const nrw_node *n) {
    int64_t count;
    const int64_t *perm = nrw_attr_ints(n, "perm", &count);
    const view from = *v;
    if (perm == NULL || count != v->rank) return false;
    for (int i = 0; i < v->rank; i++) {
        v->dims[i] = from.dims[perm[i]];
        v->steps[i] = from.steps[perm[i]];
    }
    return true;
}

/* Gather of one index, which takes the axis away. */
static bool pick(view *v, const nrw_node *n) {
    int64_t index, axis = nrw_attr_int(n, "axis", 0);
    int count;
    if (!nrw_const_ints(n->inputs[1], &index, 1, &count) || count != 1 ||
        n->inputs[1]->data->rank != 0 || !nrw_normalize_axis(&axis, v->rank))
        return false;
    if (index < 0) index += v->dims[axis];
    if (index < 0 || index >= v->dims[axis]) return false;
    v->offset += index * v->steps[axis];
    v->rank--;
    const size_t behind = (size_t)(v->rank - axis) * sizeof *v->dims;
    memmove(v->dims + axis, v->dims + axis + 1, behind);
    memmove(v->steps + axis, v->steps + axis + 1, behind);
    return true;
}

/* n multiplies input *x by a constant. */
static bool scales(const nrw_node *n, int *x, float *by) {
    const bool times = nrw_is(n, "Mul"), over = nrw_is(n, "Div");
    if (!times && !over) return false;
    for (*x = 0; *x < (over ? 1 : 2); ++*x) {
        const nrw_value *v = n->inputs[*x];
        if (nrw_is_const(v) || !nrw_const_scalar(n->inputs[1 - *x], by) ||
            !nrw_dims_equal(v->type.rank, v->type.dims, n->outputs[0]->type.rank,
                            n->outputs[0]->type.dims))
            continue;
        if (over) *by = 1 / *by;
        return true;
    }
    return false;
}

static void trace(nrw_value *v, view *out, int depth) {
    enum { deepest = 24 };
    const nrw_node *n = v->producer;
    view from;
    int x = 0;
    float by;
    whole(v, out);
    if (n == NULL || n->graph != v->graph || depth == deepest || n->n_inputs < 1 ||
        n->n_outputs != 1)
        return;
    const bool scaled = scales(n, &x, &by);
    if (!is_plain(n->inputs[x])) return;
    const bool reshaped = nrw_is(n, "Reshape") || nrw_is(n, "Squeeze") || nrw_is(n, "Unsqueeze") ||
                          nrw_is(n, "Flatten") || nrw_is(n, "Identity");
    if (!scaled && !reshaped && !nrw_is(n, "Transpose") && !nrw_is(n, "Gather")) return;
    trace(n->inputs[x], &from, depth + 1);
    bool fits = true;
    if (scaled) from.scale *= by;
    if (reshaped) fits = reshape(&from, &v->type);
    if (nrw_is(n, "Transpose")) fits = permute(&from, n);
    if (nrw_is(n, "Gather")) fits = pick(&from, n);
    if (fits) *out = from;
}

typedef struct match {
    nrw_node *scores, *values; /* the products */
    nrw_value *mask;           /* NULL: none */
    nrw_value *y;              /* what comes out, transposed or not */
    float scale;
    bool nan_is_zero;
} match;

/* The other input of a node that reads v. */
static nrw_value *other(const nrw_node *n, const nrw_value *v) {
    return n->inputs[0] == v ? n->inputs[1] : n->inputs[0];
}

/* From the softmax back to the product. */
static bool find_scores(const nrw_node *softmax, match *m) {
    nrw_value *v = softmax->inputs[0];
    int x;
    float by;
    m->scale = 1;
    for (int i = 0; i < 3; i++) {
        nrw_node *n = v->producer;
        if (n == NULL || !is_plain(v) || nrw_value_only_use(v) == NULL) return false;
        if (nrw_is(n, "MatMul")) {
            m->scores = n;
            return true;
        }
        if (scales(n, &x, &by)) {
            m->scale *= by;
            v = n->inputs[x];
        } else if (nrw_is(n, "Add") && m->mask == NULL && m->scale == 1) {
            const bool second = n->inputs[1]->producer != NULL &&
                                (nrw_is(n->inputs[1]->producer, "MatMul") ||
                                 scales(n->inputs[1]->producer, &x, &by)) &&
                                n->inputs[1]->type.rank == v->type.rank;
            const bool firsts =
                n->inputs[0]->producer != NULL && (nrw_is(n->inputs[0]->producer, "MatMul") ||
                                                   scales(n->inputs[0]->producer, &x, &by));
            v = n->inputs[firsts ? 0 : 1];
            if (!firsts && !second) return false;
            m->mask = other(n, v);
            if (!is_plain(m->mask) || m->mask == v) return false;
        } else {
            return false;
        }
    }
    return false;
}

/* Where(IsNaN(p), 0, p), if that is all that reads p. */
static nrw_value *guarded(nrw_value *p) {
    if (p->n_uses != 2) return NULL;
    for (int i = 0; i < 2; i++) {
        const nrw_node *test = p->uses[i].node, *where = p->uses[1 - i].node;
        float zero;
        if (nrw_is(test, "IsNaN") && nrw_is(where, "Where") && p->uses[1 - i].index == 2 &&
            where->inputs[0] == test->outputs[0] && nrw_value_only_use(test->outputs[0]) != NULL &&
            nrw_const_scalar(where->inputs[1], &zero) && zero == 0)
            return where->outputs[0];
    }
    return NULL;
}

/* From the softmax on to what its product with the values becomes. */
static bool find_values(const nrw_node *softmax, match *m) {
    nrw_value *p = softmax->outputs[0], *safe = guarded(p);
    m->nan_is_zero = safe != NULL;
    if (safe != NULL) p = safe;
    const nrw_use *u = nrw_value_only_use(p);
    if (!is_plain(p) || u == NULL || !nrw_is(u->node, "MatMul") || u->index != 0 ||
        u->node->graph != softmax->graph)
        return false;
    m->values = u->node;
    m->y = u->node->outputs[0];
    u = nrw_value_only_use(m->y);
    if (u != NULL && nrw_is(u->node, "Transpose") && u->node->graph == softmax->graph &&
        is_plain(m->y) && is_plain(u->node->outputs[0]))
        m->y = u->node->outputs[0];
    return is_plain(m->y);
}

/* Axes of the stack in front of the last two: batch and heads, either may be missing. */
static void stack_steps(const view *v, int64_t *batch, int64_t *heads) {
    *heads = v->rank > 2 ? v->steps[v->rank - 3] : 0;
    *batch = v->rank > 3 ? v->steps[v->rank - 4] : 0;
}

static bool same_stack(const view *a, const view *b) {
    return a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)(a->rank - 2) * sizeof *a->dims) == 0;
}

/* Rows of side by side values. */
static bool has_rows(const view *v, int last) {
    return v->steps[last] == 1 || v->dims[last] == 1;
}

static bool mask_steps(const nrw_value *mask, int rank, const int64_t *sizes, int64_t *steps) {
    view v;
    whole((nrw_value *)mask, &v);
    if (v.rank > rank || v.rank < 1) return false;
    const int64_t want[4] = {sizes[BATCH], sizes[HEADS], sizes[M], sizes[N]};
    for (int i = 0; i < 4; i++) {
        const int at = v.rank - 4 + i;
        const int64_t dim = at >= 0 ? v.dims[at] : 1;
        if (dim != 1 && dim != want[i]) return false;
        steps[i] = dim == 1 ? 0 : v.steps[at];
    }
    return true;
}

/* Steps of [batch][heads][m][dv] in the output, which may be a transposition. */
static bool output_steps(const match *m, int rank, int64_t *steps) {
    view y;
    whole(m->y, &y);
    int64_t out[NRW_MAX_RANK], count;
    memcpy(out, y.steps, sizeof out);
    if (m->y != m->values->outputs[0]) {
        const int64_t *perm = nrw_attr_ints(m->y->producer, "perm", &count);
        if (perm == NULL || count != rank) return false;
        for (int i = 0; i < rank; i++) out[perm[i]] = y.steps[i];
    }
    steps[0] = rank > 3 ? out[rank - 4] : 0;
    steps[1] = rank > 2 ? out[rank - 3] : 0;
    steps[2] = out[rank - 2];
    return out[rank - 1] == 1;
}

static nrw_status set_view(nrw_node *n, int i, const char *name, const view *v, int row,
                           nrw_error *err) {
    int64_t batch, heads;
    stack_steps(v, &batch, &heads);
    NRW_TRY(nrw_node_set_input(n, i, v->base, err));
    return nrw_node_set_ints(n, name, 4, (const int64_t[]){v->offset, batch, heads, v->steps[row]},
                             err);
}

static nrw_status fuse(nrw_node *softmax, nrw_error *err) {
    match m = {0};
    const nrw_value *p = softmax->outputs[0];
    int64_t axis = nrw_attr_int(softmax, "axis", -1), sizes[SIZES], mask[4], y[3];
    if (!is_plain(softmax->inputs[0]) || !is_plain(p) || !nrw_normalize_axis(&axis, p->type.rank) ||
        axis != p->type.rank - 1 || p->type.rank < 2 || p->type.rank > 4 ||
        !find_scores(softmax, &m) || !find_values(softmax, &m))
        return NRW_OK;
    view q, k, v;
    for (int i = 0; i < 2; i++) {
        if (!is_plain(m.scores->inputs[i]) || !is_plain(m.values->inputs[i])) return NRW_OK;
    }
    trace(m.scores->inputs[0], &q, 0);
    trace(m.scores->inputs[1], &k, 0); /* [..., d, n] */
    trace(m.values->inputs[1], &v, 0);
    const int rank = p->type.rank, row = rank - 2, last = rank - 1;
    if (q.rank != rank || m.values->outputs[0]->type.rank != rank || m.y->type.rank != rank ||
        !same_stack(&q, &k) || !same_stack(&q, &v) || v.scale != 1 || !has_rows(&q, last) ||
        !has_rows(&k, row) || !has_rows(&v, last))
        return NRW_OK;
    sizes[BATCH] = rank > 3 ? q.dims[rank - 4] : 1;
    sizes[HEADS] = rank > 2 ? q.dims[rank - 3] : 1;
    sizes[M] = q.dims[row];
    sizes[N] = k.dims[last];
    sizes[D] = q.dims[last];
    sizes[DV] = v.dims[last];
    if ((m.mask != NULL && !mask_steps(m.mask, rank, sizes, mask)) || !output_steps(&m, rank, y))
        return NRW_OK;
    nrw_node *n =
        nrw_node_new(softmax->graph, nrw_op_find("AttentionViews", "ai.narrow"), "AttentionViews",
                     "ai.narrow", softmax->name, m.mask != NULL ? 4 : 3, 1, m.y->producer);
    if (n == NULL) NRW_OOM(err);
    NRW_TRY(set_view(n, 0, "q", &q, row, err));
    NRW_TRY(set_view(n, 1, "k", &k, last, err));
    NRW_TRY(set_view(n, 2, "v", &v, row, err));
    if (m.mask != NULL) {
        NRW_TRY(nrw_node_set_input(n, 3, m.mask, err));
        NRW_TRY(nrw_node_set_ints(n, "mask", 4, mask, err));
    }
    NRW_TRY(nrw_node_set_ints(n, "sizes", SIZES, sizes, err));
    NRW_TRY(nrw_node_set_ints(n, "y", 3, y, err));
    NRW_TRY(nrw_node_set_ints(n, "shape", m.y->type.rank, m.y->type.dims, err));
    NRW_TRY(nrw_node_set_float(n, "scale", m.scale * q.scale * k.scale, err));
    NRW_TRY(nrw_node_set_int(n, "nan_is_zero", m.nan_is_zero, err));
    nrw_node *before = m.y->producer;
    nrw_node_set_output(before, 0, NULL);
    nrw_node_set_output(n, 0, m.y);
    return NRW_OK;
}

/* Products to 17 bits, as some tier may have them, are more than enough for what came from
 * integers; a model that is all float keeps its own operators. */
nrw_status nrw_fuse_attention(nrw_model *m, const struct nrw_kernels *kn, nrw_error *err) {
    if (!nrw_is_annotated(m->graph)) return NRW_OK;
    for (nrw_node *n = m->graph->first; n != NULL; n = n->next) {
        if (nrw_is(n, "Softmax")) NRW_TRY_CTX(err, fuse(n, err), "node '%s'", n->name);
    }
    return nrw_run_pass(m, &nrw_pass_dead_code, NULL, err);
}
