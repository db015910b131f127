#include "quant/placement.h"

#include <string.h>

#include "passes/match.h"

/* Operators that spread over many magnitudes or feed on small differences. */
static const char *const wide_ops[] = {"Softmax",
                                       "LogSoftmax",
                                       "LayerNormalization",
                                       "RMSNormalization",
                                       "InstanceNormalization",
                                       "GroupNormalization",
                                       "BatchNormalization",
                                       "LpNormalization",
                                       "MeanVarianceNormalization",
                                       "LRN",
                                       "Gelu",
                                       "Erf",
                                       "Exp",
                                       "Log",
                                       "Sqrt",
                                       "Pow",
                                       "Div",
                                       "Reciprocal",
                                       "Softplus",
                                       "Cos",
                                       "Sin",
                                       "Sinh",
                                       "Cosh",
                                       "Tan",
                                       "Mod",
                                       "Sub",
                                       "ReduceL2",
                                       "ReduceSumSquare",
                                       "ReduceLogSumExp",
                                       "ReduceProd",
                                       "CumSum",
                                       "TopK",
                                       NULL};

/* Stays float, whatever lies around it. */
static bool is_wide(const nrw_placement *p, const nrw_node *n) {
    if (nrw_target_lists(p->target->lacks, n->type)) return true;
    return nrw_target_lists(wide_ops, n->type) && !nrw_target_lists(p->target->takes, n->type);
}

int nrw_data_inputs(const nrw_node *n, int *at) {
    const nrw_quant_rule rule = n->op->quant.rule;
    if (rule != NRW_QUANT_CONCAT && rule != NRW_QUANT_ARITH) {
        at[0] = 0;
        return n->n_inputs > 0 && n->inputs[0] != NULL ? 1 : 0;
    }
    int k = 0;
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] != NULL) at[k++] = i;
    }
    return k;
}

bool nrw_is_layer(const nrw_node *n) {
    if (n->op == NULL || n->op->quant.rule != NRW_QUANT_WEIGHTED) return false;
    int64_t count;
    const nrw_value *w = nrw_input(n, n->op->quant.weight_input);
    if (nrw_const_floats(w, &count) == NULL || w->data->rank < 2) return false;
    const int b = n->op->quant.bias_input;
    if (b > 0 && nrw_input(n, b) != NULL && nrw_const_floats(n->inputs[b], &count) == NULL)
        return false;
    if (nrw_is(n, "Gemm")) {
        /* The integer forms know alpha only as part of a scale, and neither beta nor transA. */
        return nrw_attr_float(n, "alpha", 1) == 1 && nrw_attr_float(n, "beta", 1) == 1 &&
               nrw_attr_int(n, "transA", 0) == 0 &&
               (nrw_input(n, 2) == NULL || n->inputs[2]->data->rank == 1);
    }
    return true;
}

/* Convolutions store integers; products of matrices may as well hand on float sums. */
static bool sums_may_stay_float(const nrw_placement *p, const nrw_node *n) {
    return !p->target->everything && (nrw_is(n, "MatMul") || nrw_is(n, "Gemm"));
}

static int index_of(const nrw_node *n) {
    return (int)(intptr_t)n->tag - 1;
}

bool nrw_node_is_quantized(const nrw_placement *p, const nrw_node *n) {
    return n != NULL && n->graph == p->graph && index_of(n) >= 0 && p->quantized[index_of(n)];
}

static bool is_quant_rule(const nrw_node *n, nrw_quant_rule rule) {
    return n->op->quant.rule == rule;
}

static bool eligible(const nrw_placement *p, const nrw_node *n) {
    if (n->op == NULL || n->op->quant.rule == NRW_QUANT_NONE || is_wide(p, n)) return false;
    /* A product of constants has no range to measure. */
    if (is_quant_rule(n, NRW_QUANT_WEIGHTED) && (!nrw_is_layer(n) || nrw_is_const(n->inputs[0])))
        return false;
    const nrw_override *o = nrw_recipe_override(p->recipe, n->name, true);
    if (o != NULL && o->keep_float) return false;
    int at[64];
    if (n->n_inputs > 64 || n->n_outputs < 1) return false;
    const int k = nrw_data_inputs(n, at);
    if (k == 0) return false;
    for (int i = 0; i < k; i++) {
        const nrw_value *v = n->inputs[at[i]];
        int64_t count;
        if (v->type.dtype != NRW_F32 || v->type.kind != NRW_TENSOR || v->quant != NULL)
            return false;
        if (v->data != NULL && nrw_const_floats(v, &count) == NULL) return false;
        o = nrw_recipe_override(p->recipe, v->name, false);
        if (o != NULL && o->keep_float) return false;
    }
    for (int i = 1; is_quant_rule(n, NRW_QUANT_CLAMP) && i < n->n_inputs; i++) {
        if (n->inputs[i] != NULL && !nrw_is_const(n->inputs[i])) return false;
    }
    for (int i = 0; i < n->n_outputs; i++) {
        const nrw_value *y = n->outputs[i];
        if (y == NULL) continue;
        if (y->quant != NULL) return false;
        o = nrw_recipe_override(p->recipe, y->name, false);
        if (o != NULL && o->keep_float) return false;
        /* MaxPool's indices and their like are not real numbers; unused, they do no harm. */
        if (i > 0 && y->n_uses > 0 && y->type.dtype != NRW_F32) return false;
    }
    return n->outputs[0] != NULL;
}

static bool is_data_use(const nrw_use *u) {
    int at[64];
    const int k = nrw_data_inputs(u->node, at);
    for (int i = 0; i < k; i++) {
        if (at[i] == u->index) return true;
    }
    return false;
}

static bool quantized_use(const nrw_placement *p, const nrw_use *u) {
    return u->node != NULL && nrw_node_is_quantized(p, u->node) && is_data_use(u);
}

/* Every use of v leads to a quantized layer through nothing but operators that move or clamp. */
static bool goes_straight_to_layers(const nrw_placement *p, const nrw_value *v) {
    for (size_t i = 0; i < v->n_uses; i++) {
        const nrw_use *u = &v->uses[i];
        if (!quantized_use(p, u)) return false;
        const nrw_quant_rule rule = u->node->op->quant.rule;
        if (rule == NRW_QUANT_WEIGHTED) continue;
        if (rule != NRW_QUANT_CLAMP && rule != NRW_QUANT_SAME_SCALE) return false;
        if (!goes_straight_to_layers(p, u->node->outputs[0])) return false;
    }
    return v->n_uses > 0;
}

/* v is integers anyway. */
static bool comes_as_integers(const nrw_placement *p, const nrw_value *v, const nrw_node *user) {
    if (nrw_is_const(v)) return true;
    const nrw_node *n = v->producer;
    if (n == NULL) /* a graph input: moving it about is cheaper in integers, computing is not */
        return v->is_input && is_quant_rule(user, NRW_QUANT_SAME_SCALE);
    if (!nrw_node_is_quantized(p, n)) return false;
    return !sums_may_stay_float(p, n) || goes_straight_to_layers(p, v);
}

static bool comes_all_as_integers(const nrw_placement *p, const nrw_node *n) {
    int at[64], made = 0;
    const int k = nrw_data_inputs(n, at);
    for (int i = 0; i < k; i++) {
        if (!comes_as_integers(p, n->inputs[at[i]], n)) return false;
        made += !nrw_is_const(n->inputs[at[i]]);
    }
    return made > 0;
}

/* Some use of an output is in a quantized layer, or in a node that pays itself. Nodes are visited
 * last to first, so that users are settled. */
static bool pays(const nrw_placement *p, const nrw_node *n, const bool *paying) {
    for (int i = 0; i < n->n_outputs; i++) {
        const nrw_value *v = n->outputs[i];
        for (size_t k = 0; v != NULL && k < v->n_uses; k++) {
            const nrw_use *u = &v->uses[k];
            if (!quantized_use(p, u)) continue;
            if (is_quant_rule(u->node, NRW_QUANT_WEIGHTED) || paying[index_of(u->node)])
                return true;
        }
    }
    return false;
}

/* An operator that is integers for the sake of its neighbours needs one: what it reads, or somebody
 * who reads it. */
static bool has_neighbour(const nrw_placement *p, const nrw_node *n) {
    int at[64];
    const int k = nrw_data_inputs(n, at);
    for (int i = 0; i < k; i++) {
        const nrw_value *v = n->inputs[at[i]];
        if (v->is_input || nrw_node_is_quantized(p, v->producer)) return true;
    }
    for (int i = 0; i < n->n_outputs; i++) {
        const nrw_value *v = n->outputs[i];
        for (size_t u = 0; v != NULL && u < v->n_uses; u++) {
            if (quantized_use(p, &v->uses[u])) return true;
        }
    }
    return false;
}

static void settle_everything(nrw_placement *p) {
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < p->n_nodes; i++) {
            const nrw_node *n = p->nodes[i];
            if (!p->quantized[i] || is_quant_rule(n, NRW_QUANT_WEIGHTED) || has_neighbour(p, n))
                continue;
            p->quantized[i] = false;
            changed = true;
        }
    }
}

/* Takes nodes out until the rule holds for all that are left. */
static void settle(nrw_placement *p, bool *paying) {
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = p->n_nodes - 1; i >= 0; i--) {
            paying[i] = p->quantized[i] && pays(p, p->nodes[i], paying);
        }
        for (int i = 0; i < p->n_nodes; i++) {
            const nrw_node *n = p->nodes[i];
            if (!p->quantized[i] || is_quant_rule(n, NRW_QUANT_WEIGHTED)) continue;
            if (paying[i] && comes_all_as_integers(p, n)) continue;
            p->quantized[i] = false;
            changed = true;
        }
    }
}

static int32_t find(int32_t *group, int32_t i) {
    while (group[i] != i) i = group[i] = group[group[i]];
    return i;
}

int32_t nrw_group_of(const nrw_placement *p, const nrw_value *v) {
    return find(p->group, v->id);
}

static void unite(nrw_placement *p, const nrw_value *a, const nrw_value *b) {
    p->group[find(p->group, b->id)] = find(p->group, a->id);
}

bool nrw_will_vanish(const nrw_placement *p, const nrw_value *v) {
    const nrw_use *u = nrw_value_only_use(v);
    if (!nrw_node_is_quantized(p, v->producer) || u == NULL || !quantized_use(p, u) ||
        !is_quant_rule(u->node, NRW_QUANT_CLAMP))
        return false;
    const nrw_quant_rule rule = v->producer->op->quant.rule;
    return !p->recipe->symmetric && rule != NRW_QUANT_SAME_SCALE && rule != NRW_QUANT_CONCAT &&
           rule != NRW_QUANT_CLAMP;
}

static void unite_outputs(nrw_placement *p, const nrw_node *n) {
    for (int k = 0; k < n->n_outputs; k++) {
        if (n->outputs[k] != NULL && n->outputs[k]->type.dtype == NRW_F32)
            unite(p, n->inputs[0], n->outputs[k]);
    }
}

static void unite_all(nrw_placement *p, const nrw_node *n) {
    int at[64];
    const int k = nrw_data_inputs(n, at);
    for (int i = 0; i < k; i++) {
        if (!nrw_is_const(n->inputs[at[i]])) unite(p, n->outputs[0], n->inputs[at[i]]);
    }
}

static void assign_roles(nrw_placement *p) {
    for (int32_t i = 0; i < p->n_values; i++) {
        const nrw_value *v = p->values[i];
        p->roles[i] = NRW_ROLE_FLOAT;
        p->group[i] = i;
        if (v == NULL) continue;
        size_t users = 0;
        for (size_t k = 0; k < v->n_uses; k++) users += quantized_use(p, &v->uses[k]);
        if (nrw_node_is_quantized(p, v->producer)) {
            const bool open = sums_may_stay_float(p, v->producer);
            if (nrw_will_vanish(p, v) || v->type.dtype != NRW_F32) continue;
            if (!open || goes_straight_to_layers(p, v))
                p->roles[i] = NRW_ROLE_ANNOTATED;
            else if (users > 0)
                p->roles[i] = NRW_ROLE_BRANCH;
        } else if (users > 0) {
            p->roles[i] =
                users == v->n_uses && !nrw_is_const(v) ? NRW_ROLE_ANNOTATED : NRW_ROLE_BRANCH;
        }
    }
    for (int i = 0; i < p->n_nodes; i++) {
        const nrw_node *n = p->nodes[i];
        if (!p->quantized[i]) continue;
        if (nrw_target_lists(p->target->shares, n->type))
            unite_all(p, n);
        else if (is_quant_rule(n, NRW_QUANT_SAME_SCALE))
            unite_outputs(p, n);
    }
}

void nrw_place_again(nrw_placement *p) {
    bool *paying = (bool *)p->barred + p->n_nodes;
    for (int i = 0; i < p->n_nodes; i++) {
        p->quantized[i] = !p->barred[i] && eligible(p, p->nodes[i]);
    }
    if (p->target->everything)
        settle_everything(p);
    else
        settle(p, paying);
    assign_roles(p);
}

static void note(nrw_placement *p, nrw_value *v) {
    if (v != NULL && v->graph == p->graph) p->values[v->id] = v;
}

nrw_status nrw_place(nrw_model *m, const nrw_recipe *r, nrw_arena *arena, nrw_placement *p,
                     nrw_error *err) {
    nrw_graph *g = m->graph;
    const size_t n = (size_t)g->n_nodes + 1, nv = (size_t)m->n_values + 1;
    *p = (nrw_placement){
        .recipe = r, .target = nrw_target_get(r->target), .graph = g, .n_values = m->n_values};
    p->nodes = nrw_arena_calloc(arena, n, sizeof *p->nodes);
    p->quantized = nrw_arena_calloc(arena, n, sizeof *p->quantized);
    p->barred = nrw_arena_calloc(arena, 2 * n, sizeof *p->barred); /* and scratch of as many */
    p->roles = nrw_arena_calloc(arena, nv, sizeof *p->roles);
    p->values = nrw_arena_calloc(arena, nv, sizeof *p->values);
    p->group = nrw_arena_calloc(arena, nv, sizeof *p->group);
    if (p->nodes == NULL || p->quantized == NULL || p->barred == NULL || p->roles == NULL ||
        p->values == NULL || p->group == NULL)
        NRW_OOM(err);
    for (int i = 0; i < g->n_inputs; i++) note(p, g->inputs[i]);
    for (nrw_node *node = g->first; node != NULL; node = node->next) {
        p->nodes[p->n_nodes++] = node;
        node->tag = (void *)(intptr_t)p->n_nodes;
        for (int i = 0; i < node->n_inputs; i++) note(p, node->inputs[i]);
        for (int i = 0; i < node->n_outputs; i++) note(p, node->outputs[i]);
    }
    nrw_place_again(p);
    return NRW_OK;
}
