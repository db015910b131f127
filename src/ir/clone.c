/* Deep copies of models. Constants in the mapped file stay views; constants made by passes are
 * copied. */
#include <string.h>

#include "ir/graph.h"
#include "ir/shared.h"

typedef struct cloner {
    const nrw_model *from;
    nrw_model *to;
    nrw_value **values; /* by old id */
    nrw_error *err;
} cloner;

static nrw_status clone_graph(cloner *c, const nrw_graph *g, nrw_graph *parent, nrw_graph **out);

/* g: the clone of the graph in which v is met. That may be a body that captures a constant of an
 * enclosing graph: the constant belongs to the clone of the graph that it had. */
static nrw_status clone_value(cloner *c, nrw_graph *g, const nrw_graph *from, const nrw_value *v,
                              nrw_value **out) {
    *out = NULL;
    if (v == NULL) return NRW_OK;
    if (c->values[v->id] != NULL) {
        *out = c->values[v->id];
        return NRW_OK;
    }
    for (; from != v->graph && from->parent != NULL; from = from->parent) g = g->parent;
    nrw_arena *arena = &c->to->arena;
    nrw_value *copy = nrw_value_new(g, v->name, &v->type);
    if (copy == NULL) NRW_OOM(c->err);
    if (v->quant != NULL && (copy->quant = nrw_quant_copy(arena, v->quant)) == NULL)
        NRW_OOM(c->err);
    copy->as_integers = v->as_integers;
    copy->is_state = v->is_state;
    if (v->data != NULL) {
        nrw_tensor *data = nrw_arena_dup(arena, v->data, sizeof *data);
        if (data == NULL) NRW_OOM(c->err);
        data->quant = copy->quant;
        copy->data = data;
    }
    if (v->raw_type.data != NULL) {
        copy->raw_type.data = nrw_arena_strndup(arena, v->raw_type.data, v->raw_type.size);
        copy->raw_type.size = v->raw_type.size;
        if (copy->raw_type.data == NULL) NRW_OOM(c->err);
    }
    c->values[v->id] = copy;
    *out = copy;
    return NRW_OK;
}

static nrw_status clone_attr(cloner *c, nrw_node *n, const nrw_attr *from) {
    nrw_attr a = *from;
    if (a.type == NRW_ATTR_GRAPH) NRW_TRY(clone_graph(c, from->graph, n->graph, &a.graph));
    if (a.type == NRW_ATTR_GRAPHS) {
        a.graphs = nrw_arena_calloc(&c->to->arena, (size_t)a.n + 1, sizeof *a.graphs);
        if (a.graphs == NULL) NRW_OOM(c->err);
        for (int64_t i = 0; i < a.n; i++) {
            NRW_TRY(clone_graph(c, from->graphs[i], n->graph, &a.graphs[i]));
        }
    }
    return nrw_node_set_attr(n, &a, c->err);
}

static nrw_status clone_node(cloner *c, nrw_graph *g, const nrw_node *from) {
    nrw_node *n = nrw_node_new(g, from->op, from->type, from->domain, from->name, from->n_inputs,
                               from->n_outputs, NULL);
    if (n == NULL) NRW_OOM(c->err);
    n->nameless = from->nameless;
    for (int i = 0; i < from->n_inputs; i++) {
        nrw_value *v;
        NRW_TRY(clone_value(c, g, from->graph, from->inputs[i], &v));
        NRW_TRY(nrw_node_set_input(n, i, v, c->err));
    }
    for (int i = 0; i < from->n_outputs; i++) {
        nrw_value *v;
        NRW_TRY(clone_value(c, g, from->graph, from->outputs[i], &v));
        nrw_node_set_output(n, i, v);
    }
    for (int i = 0; i < from->n_attrs; i++) NRW_TRY(clone_attr(c, n, &from->attrs[i]));
    return NRW_OK;
}

/* Graph order is topological, so that a value captured from outside was cloned, into its own graph,
 * before. */
static nrw_status fill_graph(cloner *c, const nrw_graph *g, nrw_graph *to) {
    for (int i = 0; i < g->n_inputs; i++) {
        nrw_value *v;
        NRW_TRY(clone_value(c, to, g, g->inputs[i], &v));
        NRW_TRY(nrw_graph_add_input(to, v, c->err));
    }
    for (const nrw_node *n = g->first; n != NULL; n = n->next) NRW_TRY(clone_node(c, to, n));
    for (int i = 0; i < g->n_outputs; i++) {
        nrw_value *v;
        NRW_TRY(clone_value(c, to, g, g->outputs[i], &v));
        NRW_TRY(nrw_graph_add_output(to, v, c->err));
    }
    return NRW_OK;
}

static nrw_status clone_graph(cloner *c, const nrw_graph *g, nrw_graph *parent, nrw_graph **out) {
    *out = nrw_graph_new(c->to, parent, g->name);
    if (*out == NULL) NRW_OOM(c->err);
    return fill_graph(c, g, *out);
}

static bool clone_names(nrw_arena *a, const char *const *from, int n, const char ***to) {
    *to = nrw_arena_calloc(a, (size_t)n + 1, sizeof **to);
    for (int i = 0; *to != NULL && i < n; i++) {
        if (from[i] == NULL) continue;
        (*to)[i] = nrw_arena_strdup(a, from[i]);
        if ((*to)[i] == NULL) return false;
    }
    return *to != NULL;
}

static nrw_status clone_signature(cloner *c) {
    const nrw_signature *from = &c->from->signature;
    nrw_signature *to = &c->to->signature;
    nrw_arena *a = &c->to->arena;
    if (from->key == NULL) return NRW_OK;
    *to = *from;
    to->key = nrw_arena_strdup(a, from->key);
    if (to->key == NULL || !clone_names(a, from->inputs, from->n_inputs, &to->inputs) ||
        !clone_names(a, from->outputs, from->n_outputs, &to->outputs))
        NRW_OOM(c->err);
    return NRW_OK;
}

static nrw_status clone_header(cloner *c) {
    const nrw_model *m = c->from;
    nrw_model *to = c->to;
    nrw_arena *a = &to->arena;
    to->format = m->format;
    to->source = nrw_arena_strdup(a, m->source);
    to->producer_name = nrw_arena_strdup(a, m->producer_name);
    to->producer_version = nrw_arena_strdup(a, m->producer_version);
    to->doc = nrw_arena_strdup(a, m->doc);
    to->domain = nrw_arena_strdup(a, m->domain);
    if (!to->source || !to->producer_name || !to->producer_version || !to->doc || !to->domain)
        NRW_OOM(c->err);
    to->model_version = m->model_version;
    to->ir_version = m->ir_version;
    to->n_names = m->n_names;
    to->n_given_names = m->n_given_names;
    for (int i = 0; i < m->n_opsets; i++) {
        NRW_TRY(nrw_model_set_opset(to, m->opsets[i].domain, m->opsets[i].version, c->err));
    }
    nrw_string *meta = nrw_arena_calloc(a, 2 * (size_t)m->n_metadata + 1, sizeof *meta);
    if (meta == NULL) NRW_OOM(c->err);
    for (int i = 0; i < 2 * m->n_metadata; i++) {
        const nrw_string *s = &m->metadata[i];
        meta[i] = (nrw_string){nrw_arena_strndup(a, s->size > 0 ? s->data : "", s->size), s->size};
        if (meta[i].data == NULL) NRW_OOM(c->err);
    }
    to->metadata = meta;
    to->n_metadata = m->n_metadata;
    for (size_t i = 0; i < m->n_symbols; i++) {
        if (nrw_model_symbol(to, m->symbols[i], strlen(m->symbols[i])) == NRW_DIM_UNKNOWN)
            NRW_OOM(c->err);
    }
    return clone_signature(c);
}

nrw_status nrw_model_clone(const nrw_model *m, nrw_model **out, nrw_error *err) {
    const nrw_allocator *a = m->arena.allocator;
    size_t bytes = ((size_t)m->n_values + 1) * sizeof(nrw_value *);
    cloner c = {.from = m, .to = nrw_model_create_beside(m->context, m), .err = err};
    c.values = nrw_mem_alloc(a, bytes);
    nrw_status s = NRW_OK;
    if (c.to == NULL || c.values == NULL) {
        s = nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
    } else {
        memset(c.values, 0, bytes);
        s = clone_header(&c);
        if (s == NRW_OK) s = fill_graph(&c, m->graph, c.to->graph);
    }
    nrw_mem_free(a, c.values, bytes);
    if (s == NRW_OK)
        *out = c.to;
    else
        nrw_model_destroy(c.to);
    return s;
}
