/* Computes what depends on constants alone, and Shape of a value whose shape is known. A chain of
 * nodes is computed as a whole: what passes between them leaves no constant behind, only what
 * others read. That may not be larger than the constants that the chain starts from (or 64 KiB),
 * and altogether not than 16 MiB and all constants of the model: a file that says Expand or
 * ConstantOfShape stays small. Nor may a result turn out larger than its type said: types of files
 * lie. Annotated constants are never folded away. */
#include <string.h>

#include "ops/eval.h"
#include "passes/match.h"
#include "passes/pass.h"

#define SMALL_BYTES     ((size_t)64 << 10)
#define TRANSIENT_BYTES ((size_t)256 << 20) /* of everything that passes between nodes */
#define GROWTH_BYTES    ((size_t)16 << 20)  /* beyond the size of the model's constants */

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
    size_t transient, growth; /* what is left of the limits: of this graph, of the model */
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

/* Bytes of the constants that input i of n comes down to; an input that is read twice counts once.
 * False when it comes from elsewhere. */
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
    if (nrw_is(e->node, "Constant")) return FOLDS;
    if ((e->makes > e->from && e->makes > SMALL_BYTES) || e->makes > f->growth) return STAYS;
    f->growth -= e->makes;
    return FOLDS;
}

static nrw_status decide(folding *f, nrw_graph *g, nrw_error *err) {
    f->entries = nrw_arena_calloc(f->scratch, (size_t)g->n_nodes + 1, sizeof *f->entries);
    if (f->entries == NULL) NRW_OOM(err);
    f->n = 0;
    f->transient = TRANSIENT_BYTES;
    for (nrw_node *n = g->first; n != NULL; n = n->next) n->tag = (void *)(intptr_t)++f->n;
    int k = 0;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        entry *e = &f->entries[k++];
        e->node = n;
    }
    for (int i = 0; i < f->n; i++) {
        f->entries[i].fate = judge(f, &f->entries[i]);
    }
    for (int i = f->n - 1; i >= 0; i--) {
        if (f->entries[i].fate == COMPUTABLE) f->entries[i].fate = settle(f, &f->entries[i]);
    }
    return NRW_OK;
}

static nrw_status shape_of(const nrw_node *n, nrw_arena *arena, nrw_tensor *out, nrw_error *err) {
    const nrw_type *x = &n->inputs[0]->type;
    int from, to;
    nrw_shape_range(n, x->rank, &from, &to);
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

/* What the values at hand say of the outputs is no more than was reckoned with. */
static bool stays_in_bounds(const entry *e, const nrw_tensor *const *in, nrw_arena *arena) {
    const nrw_node *n = e->node;
    nrw_type *types = nrw_arena_calloc(arena, (size_t)n->n_outputs + 1, sizeof *types);
    size_t total = 0, bytes;
    if (types == NULL || nrw_op_infer_now(n, in, types, arena, NULL) != NRW_OK) return false;
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] == NULL || !nrw_type_is_static(&types[i])) continue; /* told afterwards */
        if (types[i].dtype == NRW_NONE ||
            nrw_checked_bytes(types[i].dtype, types[i].rank, types[i].dims, &bytes, NULL) != NRW_OK)
            return false;
        total = plus(total, bytes);
    }
    return total <= e->makes;
}

static bool came_as_told(const entry *e, const nrw_tensor *out) {
    size_t total = 0, text = 0;
    for (int i = 0; i < e->node->n_outputs; i++) {
        if (e->node->outputs[i] == NULL) continue;
        total = plus(total, nrw_tensor_bytes(&out[i]));
        if (out[i].dtype != NRW_STRING) continue;
        const nrw_string *s = out[i].data;
        for (int64_t k = 0; k < nrw_tensor_count(&out[i]); k++) text = plus(text, s[k].size);
    }
    return total <= e->makes && text <= SMALL_BYTES;
}

/* Outputs in the arena. Leaves *done NULL when something that it needs could not be computed, or it
 * cannot itself: the node stays then, and says so when it is run. */
static nrw_status compute(const folding *f, const entry *e, nrw_arena *arena, nrw_tensor **done,
                          nrw_error *err) {
    const nrw_node *n = e->node;
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
    if (!stays_in_bounds(e, in, arena)) return NRW_OK;
    nrw_status s = nrw_op_run(n->graph->model->context, n, in, out, arena, err);
    if (s == NRW_ERR_MEMORY) return s;
    if (s == NRW_OK && came_as_told(e, out)) *done = out;
    return NRW_OK;
}

static nrw_status put_constant(nrw_value *v, const nrw_tensor *t, nrw_error *err) {
    nrw_graph *g = v->graph;
    nrw_tensor copy;
    NRW_TRY(nrw_tensor_copy(&g->model->arena, t, &copy, err));
    nrw_value *c = nrw_const_new(g, NULL, &copy);
    if (c == NULL) NRW_OOM(err);
    const char *made_up = c->name;
    NRW_TRY(nrw_value_replace(v, c, err));
    if (c->name != made_up) return NRW_OK; /* an output: it has the name already */
    nrw_value_swap_names(c, v);
    return NRW_OK;
}

/* Readers find constants in the place of the node's outputs. */
static nrw_status fold_node(folding *f, const entry *e, nrw_error *err) {
    nrw_node *n = e->node;
    nrw_arena arena;
    nrw_arena_init(&arena, f->scratch->allocator);
    nrw_tensor *out = NULL;
    nrw_status s = compute(f, e, &arena, &out, err);
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
        if (e->fate == PASSES_ON) s = compute(f, e, f->scratch, &e->out, err);
        if (e->fate == FOLDS) s = fold_node(f, e, err);
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

typedef struct counting {
    bool *seen; /* [n_values] */
    size_t bytes;
} counting;

/* Each constant of the model once. */
static nrw_status count_constants(nrw_graph *g, void *user, nrw_error *err) {
    counting *c = user;
    (void)err;
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_inputs; i++) {
            const nrw_value *v = n->inputs[i];
            if (!nrw_is_const(v) || c->seen[v->id]) continue;
            c->seen[v->id] = true;
            c->bytes = plus(c->bytes, nrw_tensor_bytes(v->data));
        }
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    folding f = {.scratch = scratch, .changed = changed};
    counting c = {.seen = nrw_arena_calloc(scratch, (size_t)m->n_values + 1, sizeof *c.seen)};
    if (c.seen == NULL) NRW_OOM(err);
    NRW_TRY(nrw_each_graph(m->graph, count_constants, &c, err));
    nrw_arena_free(scratch);
    f.growth = plus(GROWTH_BYTES, c.bytes);
    return nrw_each_graph(m->graph, fold_graph, &f, err);
}

const nrw_pass nrw_pass_fold_constants = {"fold_constants", run};
