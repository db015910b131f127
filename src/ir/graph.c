/* Graphs: making and changing values and nodes. Use lists are kept by every function here and by
 * nothing else. */
#include "ir/graph.h"

#include <stdio.h>
#include <string.h>

nrw_graph *nrw_graph_new(nrw_model *m, nrw_graph *parent, const char *name) {
    nrw_graph *g = nrw_arena_calloc(&m->arena, 1, sizeof *g);
    if (g == NULL) return NULL;
    g->model = m;
    g->parent = parent;
    g->name = nrw_arena_strdup(&m->arena, name != NULL ? name : "");
    return g->name != NULL ? g : NULL;
}

const char *nrw_model_made_up_name(nrw_model *m, const char *hint) {
    return nrw_arena_printf(&m->arena, "%s.%d", hint, m->n_names++);
}

/* The number of "hint.number" and the length of the hint; -1: the name is not of that form. */
static int32_t number_of(const char *name, size_t n, size_t *hint) {
    enum { most = 100000000 }; /* no model counts so far */
    int32_t number = 0, unit = 1;
    for (; n > 0 && name[n - 1] >= '0' && name[n - 1] <= '9' && unit < most; unit *= 10) {
        number += (name[--n] - '0') * unit;
    }
    if (unit == 1 || n == 0 || name[n - 1] != '.') return -1;
    *hint = n - 1;
    return number;
}

void nrw_model_note_name(nrw_model *m, const char *name, size_t n) {
    size_t hint;
    const int32_t number = number_of(name, n, &hint);
    if (number >= m->n_names) m->n_names = number + 1;
}

void nrw_model_names_are_given(nrw_model *m) {
    m->n_given_names = m->n_names;
}

size_t nrw_name_given(const nrw_model *m, const char *name) {
    size_t n = strlen(name), hint = 0;
    while (number_of(name, n, &hint) >= m->n_given_names && hint > 0) n = hint;
    return n;
}

/* A copy of the name that the caller gives, or one made up from `hint`. */
static const char *name_of(nrw_model *m, const char *name, const char *hint) {
    if (name == NULL) return nrw_model_made_up_name(m, hint);
    nrw_model_note_name(m, name, strlen(name));
    return nrw_arena_strdup(&m->arena, name);
}

nrw_value *nrw_value_new(nrw_graph *g, const char *name, const nrw_type *type) {
    nrw_arena *arena = &g->model->arena;
    nrw_value *v = nrw_arena_calloc(arena, 1, sizeof *v);
    if (v == NULL) return NULL;
    v->name = name_of(g->model, name, "v");
    if (v->name == NULL) return NULL;
    v->graph = g;
    v->id = g->model->n_values++;
    v->type = type != NULL ? *type : nrw_type_unknown();
    return v;
}

nrw_value *nrw_const_new(nrw_graph *g, const char *name, const nrw_tensor *data) {
    nrw_type type = nrw_type_of(data);
    if (data->quant != NULL) type.dtype = NRW_F32;
    nrw_tensor *copy = nrw_arena_dup(&g->model->arena, data, sizeof *data);
    nrw_value *v = copy != NULL ? nrw_value_new(g, name, &type) : NULL;
    if (v == NULL) return NULL;
    v->data = copy;
    v->quant = data->quant;
    return v;
}

static nrw_value *const_of(nrw_graph *g, const char *name, nrw_dtype dtype, int rank01, int64_t n,
                           const void *values) {
    nrw_tensor t;
    if (nrw_tensor_new(&g->model->arena, dtype, rank01, &n, &t, NULL) != NRW_OK) return NULL;
    if (n > 0) memcpy(t.data, values, nrw_tensor_bytes(&t));
    return nrw_const_new(g, name, &t);
}

nrw_value *nrw_const_i64(nrw_graph *g, const char *name, int rank01, int64_t n,
                         const int64_t *values) {
    return const_of(g, name, NRW_I64, rank01, n, values);
}

nrw_value *nrw_const_f32(nrw_graph *g, const char *name, int rank01, int64_t n,
                         const float *values) {
    return const_of(g, name, NRW_F32, rank01, n, values);
}

/* Grows one of the graph's lists of values. */
static bool grow_values(nrw_graph *g, nrw_value ***list, int n, int *cap) {
    size_t c = (size_t)*cap;
    if (!nrw_arena_grow(&g->model->arena, (void **)list, &c, (size_t)n + 1, sizeof **list))
        return false;
    *cap = (int)c;
    return true;
}

static bool add_use(nrw_value *v, nrw_use use) {
    if (!nrw_arena_grow(&v->graph->model->arena, (void **)&v->uses, &v->cap_uses, v->n_uses + 1,
                        sizeof *v->uses))
        return false;
    v->uses[v->n_uses++] = use;
    return true;
}

static void drop_use(nrw_value *v, nrw_use use) {
    for (size_t i = v->n_uses; i-- > 0;) { /* from the end: there nrw_value_replace takes them */
        const nrw_use *u = &v->uses[i];
        if (u->node != use.node || u->index != use.index || u->graph != use.graph) continue;
        memmove(&v->uses[i], &v->uses[i + 1], (v->n_uses - i - 1) * sizeof use);
        v->n_uses--;
        return;
    }
}

nrw_status nrw_graph_add_input(nrw_graph *g, nrw_value *v, nrw_error *err) {
    if (!grow_values(g, &g->inputs, g->n_inputs, &g->cap_inputs)) NRW_OOM(err);
    g->inputs[g->n_inputs++] = v;
    v->is_input = true;
    return NRW_OK;
}

nrw_status nrw_graph_add_output(nrw_graph *g, nrw_value *v, nrw_error *err) {
    if (!grow_values(g, &g->outputs, g->n_outputs, &g->cap_outputs)) NRW_OOM(err);
    if (!add_use(v, (nrw_use){.node = NULL, .index = g->n_outputs, .graph = g})) NRW_OOM(err);
    g->outputs[g->n_outputs++] = v;
    return NRW_OK;
}

nrw_status nrw_graph_set_output(nrw_graph *g, int i, nrw_value *v, nrw_error *err) {
    nrw_use use = {.node = NULL, .index = i, .graph = g};
    if (!add_use(v, use)) NRW_OOM(err);
    drop_use(g->outputs[i], use);
    g->outputs[i] = v;
    return NRW_OK;
}

static void link_before(nrw_node *n, nrw_node *before) {
    nrw_graph *g = n->graph;
    n->next = before;
    n->prev = before != NULL ? before->prev : g->last;
    *(n->prev != NULL ? &n->prev->next : &g->first) = n;
    *(before != NULL ? &before->prev : &g->last) = n;
    g->n_nodes++;
}

static void unlink_node(nrw_node *n) {
    nrw_graph *g = n->graph;
    *(n->prev != NULL ? &n->prev->next : &g->first) = n->next;
    *(n->next != NULL ? &n->next->prev : &g->last) = n->prev;
    g->n_nodes--;
}

nrw_node *nrw_node_new(nrw_graph *g, const struct nrw_op *op, const char *type, const char *domain,
                       const char *name, int n_in, int n_out, nrw_node *before) {
    nrw_arena *arena = &g->model->arena;
    nrw_node *n = nrw_arena_calloc(arena, 1, sizeof *n);
    if (n == NULL) return NULL;
    n->op = op;
    n->graph = g;
    n->type = nrw_arena_strdup(arena, type);
    n->domain = nrw_arena_strdup(arena, domain);
    n->nameless = name == NULL || name[0] == 0;
    n->name = name_of(g->model, n->nameless ? NULL : name, type);
    n->inputs = nrw_arena_calloc(arena, (size_t)n_in + 1, sizeof *n->inputs);
    n->outputs = nrw_arena_calloc(arena, (size_t)n_out + 1, sizeof *n->outputs);
    if (!n->type || !n->domain || !n->name || !n->inputs || !n->outputs) return NULL;
    n->n_inputs = n_in;
    n->cap_inputs = n_in + 1;
    n->n_outputs = n_out;
    link_before(n, before);
    return n;
}

nrw_status nrw_node_set_input(nrw_node *n, int i, nrw_value *v, nrw_error *err) {
    nrw_use use = {.node = n, .index = i};
    if (v == n->inputs[i]) return NRW_OK;
    if (v != NULL && !add_use(v, use)) NRW_OOM(err);
    if (n->inputs[i] != NULL) drop_use(n->inputs[i], use);
    n->inputs[i] = v;
    return NRW_OK;
}

nrw_status nrw_node_resize_inputs(nrw_node *n, int count, nrw_error *err) {
    for (int i = count; i < n->n_inputs; i++) NRW_TRY(nrw_node_set_input(n, i, NULL, err));
    size_t cap = (size_t)n->cap_inputs;
    if (!nrw_arena_grow(&n->graph->model->arena, (void **)&n->inputs, &cap, (size_t)count,
                        sizeof *n->inputs))
        NRW_OOM(err);
    n->cap_inputs = (int)cap;
    for (int i = n->n_inputs; i < count; i++) n->inputs[i] = NULL;
    n->n_inputs = count;
    return NRW_OK;
}

void nrw_node_set_output(nrw_node *n, int i, nrw_value *v) {
    if (n->outputs[i] != NULL) n->outputs[i]->producer = NULL;
    n->outputs[i] = v;
    if (v == NULL) return;
    v->producer = n;
    v->producer_index = i;
}

bool nrw_value_is_graph_output(const nrw_value *v) {
    for (size_t i = 0; i < v->n_uses; i++) {
        if (v->uses[i].node == NULL) return true;
    }
    return false;
}

const nrw_use *nrw_value_only_use(const nrw_value *v) {
    return v->n_uses == 1 && v->uses[0].node != NULL ? &v->uses[0] : NULL;
}

nrw_status nrw_value_replace(nrw_value *old, nrw_value *v, nrw_error *err) {
    if (old == v) return NRW_OK;
    if (nrw_value_is_graph_output(old) && !v->is_input && !nrw_value_is_graph_output(v)) {
        nrw_value_swap_names(v, old);
        v->as_integers = old->as_integers && v->quant != NULL;
    }
    while (old->n_uses > 0) {
        nrw_use use = old->uses[old->n_uses - 1];
        if (use.node != NULL)
            NRW_TRY(nrw_node_set_input(use.node, use.index, v, err));
        else
            NRW_TRY(nrw_graph_set_output(use.graph, use.index, v, err));
    }
    return NRW_OK;
}

void nrw_node_remove(nrw_node *n) {
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] != NULL) drop_use(n->inputs[i], (nrw_use){.node = n, .index = i});
        n->inputs[i] = NULL;
    }
    for (int i = 0; i < n->n_outputs; i++) nrw_node_set_output(n, i, NULL);
    unlink_node(n);
}

void nrw_node_move(nrw_node *n, nrw_node *before) {
    if (n == before) return;
    unlink_node(n);
    link_before(n, before);
}
