/* Computes what depends on constants alone, and Shape of a value whose shape is known. A chain of
 * nodes is computed as a whole: what passes between them leaves no constant behind, only what
 * others read. That may not be larger than the constants that the chain starts from (or 64 KiB),
 * and altogether not than all constants of the graph: a file that says Expand or ConstantOfShape
 * stays small. Annotated constants are never folded away. */
#include <string.h>

#include "passes/match.h"
#include "passes/pass.h"

#define SMALL_BYTES     ((size_t)64 << 10)
#define TRANSIENT_BYTES ((size_t)256 << 20) /* of everything that passes between nodes */
#define GROWTH_BYTES    ((size_t)16 << 20)  /* beyond the size of the graph's constants */

typedef enum fate {
    STAYS = 0,
    COMPUTABLE, /* from constants, directly or through other nodes */
    PASSES_ON,  /* only nodes that are folded read its outputs */
    FOLDS       /* its outputs become constants */
} fate;

typedef struct entry {
    nrw_node *node;
    fate fate;
    size_t from, makes; /* bytes of the constants it starts from; of its outputs */
    nrw_tensor *out;    /* [n_outputs] of one that passes on, once computed; else NULL */
} entry;

typedef struct folding {
    nrw_arena *scratch;
    bool *changed;
    entry *entries; /* of the graph at hand, in order; node->tag is the index + 1 */
    int n;
    size_t transient, growth; /* what is left of the limits */
} folding;

static size_t plus(size_t a, size_t b) {
    size_t sum;
    return nrw_add_size(a, b, &sum) ? sum : SIZE_MAX;
}

static bool is_plain_const(const nrw_value *v) {
    return nrw_is_const(v) && v->quant == NULL;
}

static entry *entry_of(const folding *f, const nrw_node *n) {
    if (n == NULL || f->n == 0 || n->graph != f->entries[0].node->graph) return NULL;
    return &f->entries[(intptr_t)n->tag - 1];
}

static bool has_body(const nrw_node *n) {
    for (int i = 0; i < n->n_attrs; i++) {
        nrw_attr_type t = n->attrs[i].type;
        if (t == NRW_ATTR_GRAPH || t == NRW_ATTR_GRAPHS || t == NRW_ATTR_RAW) return true;
    }
    return false;
}

/* Shape of a value with a known shape is constant whatever the value. */
static bool is_known_shape(const nrw_node *n) {
    return nrw_is(n, "Shape") && n->inputs[0] != NULL && n->outputs[0] != NULL &&
           n->inputs[0]->type.rank != NRW_RANK_UNKNOWN && nrw_type_is_static(&n->inputs[0]->type);
}

/* Outputs are plain tensors of known size. */
static bool known_outputs(const nrw_node *n, size_t *bytes) {
    *bytes = 0;
    for (int i = 0; i < n->n_outputs; i++) {
        const nrw_value *v = n->outputs[i];
        if (v == NULL) continue;
        size_t size;
        if (v->quant != NULL || v->type.kind != NRW_TENSOR || v->type.dtype == NRW_NONE ||
            !nrw_type_is_static(&v->type) ||
            nrw_checked_bytes(v->type.dtype, v->type.rank, v->type.dims, &size, NULL) != NRW_OK)
            return false;
        *bytes = plus(*bytes, size);
    }
    return true;
}

/* Bytes of the constants that input i of n comes down to; one that is read twice counts once. False
 * when it comes from elsewhere. */
static bool known_input(const folding *f, const nrw_node *n, int i, size_t *bytes) {
    const nrw_value *v = n->inputs[i];
    *bytes = 0;
    if (v == NULL) return true;
    const entry *made_by = entry_of(f, v->producer);
    if (!is_plain_const(v) && (made_by == NULL || made_by->fate == STAYS)) return false;
    for (int k = 0; k < i; k++) {
        if (n->inputs[k] == v) return true;
    }
    *bytes = made_by != NULL ? made_by->from : nrw_tensor_bytes(v->data);
    return true;
}

static fate judge(const folding *f, entry *e) {
    const nrw_node *n = e->node;
    if (n->op == NULL || n->op->reference == NULL || n->op->random) return STAYS;
    if (is_known_shape(n)) {
        e->makes = sizeof(int64_t) * NRW_MAX_RANK;
        return COMPUTABLE;
    }
    if (has_body(n) || !known_outputs(n, &e->makes) || e->makes > TRANSIENT_BYTES) return STAYS;
    for (int i = 0; i < n->n_inputs; i++) {
        size_t bytes;
        if (!known_input(f, n, i, &bytes)) return STAYS;
        e->from = plus(e->from, bytes);
    }
    return COMPUTABLE;
}

static bool is_unused(const nrw_node *n) {
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] != NULL && n->outputs[i]->n_uses > 0) return false;
    }
    return true;
}

/* Every use of the outputs is in a node that is folded. */
static bool passes_on(const folding *f, const nrw_node *n) {
    for (int i = 0; i < n->n_outputs; i++) {
        const nrw_value *v = n->outputs[i];
        for (size_t k = 0; v != NULL && k < v->n_uses; k++) {
            const entry *user = entry_of(f, v->uses[k].node);
            if (user == NULL || user->fate < PASSES_ON) return false;
        }
    }
    return true;
}

/* What becomes of a computable node whose users are settled. */
static fate settle(folding *f, const entry *e) {
    if (passes_on(f, e->node)) {
        if (e->makes > f->transient) return STAYS;
        f->transient -= e->makes;
        return PASSES_ON;
    }
    if (nrw_is(e->node, "Constant") || e->makes <= SMALL_BYTES) return FOLDS;
    if (e->makes > e->from || e->makes > f->growth) return STAYS;
    f->growth -= e->makes;
    return FOLDS;
}

static nrw_status decide(folding *f, nrw_graph *g, nrw_error *err) {
    f->entries = nrw_arena_calloc(f->scratch, (size_t)g->n_nodes + 1, sizeof *f->entries);
    if (f->entries == NULL) NRW_OOM(err);
    f->n = 0;
    f->transient = TRANSIENT_BYTES;
    f->growth = GROWTH_BYTES;
    for (nrw_node *n = g->first; n != NULL; n = n->next) n->tag = (void *)(intptr_t)++f->n;
    int k = 0;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        entry *e = &f->entries[k++];
        e->node = n;
    }
    for (int i = 0; i < f->n; i++) {
        const nrw_node *n = f->entries[i].node;
        f->entries[i].fate = judge(f, &f->entries[i]);
        for (int j = 0; j < n->n_inputs; j++) {
            if (is_plain_const(n->inputs[j]))
                f->growth = plus(f->growth, nrw_tensor_bytes(n->inputs[j]->data));
        }
    }
    for (int i = f->n - 1; i >= 0; i--) {
        if (f->entries[i].fate == COMPUTABLE) f->entries[i].fate = settle(f, &f->entries[i]);
    }
    return NRW_OK;
}

static nrw_status shape_of(const nrw_node *n, nrw_arena *arena, nrw_tensor *out, nrw_error *err) {
    const nrw_type *x = &n->inputs[0]->type;
    int64_t from = nrw_attr_int(n, "start", 0), to = nrw_attr_int(n, "end", x->rank);
    if (from < 0) from += x->rank;
    if (to < 0) to += x->rank;
    from = from < 0 ? 0 : from > x->rank ? x->rank : from;
    to = to < from ? from : to > x->rank ? x->rank : to;
    const int64_t count = to - from;
    int64_t *dims = nrw_arena_dup(arena, x->dims + from, (size_t)count * sizeof *dims + 1);
    if (dims == NULL) NRW_OOM(err);
    *out = nrw_tensor_make(NRW_I64, 1, &count, dims);
    return NRW_OK;
}

/* The value of input i of n; NULL when what makes it could not be computed. */
static const nrw_tensor *value_of(const folding *f, const nrw_node *n, int i) {
    const nrw_value *v = n->inputs[i];
    if (v->data != NULL) return v->data;
    const entry *made_by = entry_of(f, v->producer);
    return made_by->out != NULL ? &made_by->out[v->producer_index] : NULL;
}

/* Outputs in the arena. Leaves *done NULL when something that it needs could not be computed, or it
 * cannot itself: the node stays then, and says so when it is run. */
static nrw_status compute(const folding *f, const nrw_node *n, nrw_arena *arena, nrw_tensor **done,
                          nrw_error *err) {
    nrw_tensor *out = nrw_arena_calloc(arena, (size_t)n->n_outputs + 1, sizeof *out);
    const nrw_tensor **in = nrw_arena_calloc(arena, (size_t)n->n_inputs + 1, sizeof *in);
    if (out == NULL || in == NULL) NRW_OOM(err);
    if (is_known_shape(n)) {
        *done = out;
        return shape_of(n, arena, out, err);
    }
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] != NULL && (in[i] = value_of(f, n, i)) == NULL) return NRW_OK;
    }
    nrw_status s = nrw_op_run(n->graph->model->context, n, in, out, arena, err);
    if (s == NRW_ERR_MEMORY) return s;
    if (s == NRW_OK) *done = out;
    return NRW_OK;
}

static nrw_status put_constant(nrw_value *v, const nrw_tensor *t, nrw_error *err) {
    nrw_graph *g = v->graph;
    nrw_tensor copy;
    NRW_TRY(nrw_tensor_copy(&g->model->arena, t, &copy, err));
    nrw_value *c = nrw_const_new(g, NULL, &copy);
    if (c == NULL) NRW_OOM(err);
    return nrw_value_replace(v, c, err);
}

/* Readers find constants in the place of the node's outputs. */
static nrw_status fold_node(folding *f, nrw_node *n, nrw_error *err) {
    nrw_arena arena;
    nrw_arena_init(&arena, f->scratch->allocator);
    nrw_tensor *out = NULL;
    nrw_status s = compute(f, n, &arena, &out, err);
    for (int k = 0; s == NRW_OK && out != NULL && k < n->n_outputs; k++) {
        nrw_value *v = n->outputs[k];
        if (v != NULL && v->n_uses > 0) s = put_constant(v, &out[k], err);
    }
    nrw_arena_free(&arena);
    return s;
}

static nrw_status fold_graph(nrw_graph *g, void *user, nrw_error *err) {
    folding *f = user;
    NRW_TRY(decide(f, g, err));
    for (int i = 0; i < f->n; i++) {
        entry *e = &f->entries[i];
        nrw_status s = NRW_OK;
        if (is_unused(e->node)) continue;
        if (e->fate == PASSES_ON) s = compute(f, e->node, f->scratch, &e->out, err);
        if (e->fate == FOLDS) s = fold_node(f, e->node, err);
        NRW_TRY_CTX(err, s, "node '%s'", e->node->name);
    }
    for (int i = f->n - 1; i >= 0; i--) {
        const entry *e = &f->entries[i];
        if (e->fate < PASSES_ON || !is_unused(e->node)) continue;
        nrw_node_remove(e->node);
        *f->changed = true;
    }
    nrw_arena_free(f->scratch);
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    folding f = {.scratch = scratch, .changed = changed};
    return nrw_each_graph(m->graph, fold_graph, &f, err);
}

const nrw_pass nrw_pass_fold_constants = {"fold_constants", run};
