/* Attributes of nodes. */
#include <string.h>

#include "ir/graph.h"

const nrw_attr *nrw_node_attr(const nrw_node *n, const char *name) {
    for (int i = 0; i < n->n_attrs; i++) {
        if (strcmp(n->attrs[i].name, name) == 0) return &n->attrs[i];
    }
    return NULL;
}

static const nrw_attr *typed(const nrw_node *n, const char *name, nrw_attr_type type) {
    const nrw_attr *a = nrw_node_attr(n, name);
    return a != NULL && a->type == type ? a : NULL;
}

int64_t nrw_attr_int(const nrw_node *n, const char *name, int64_t absent) {
    const nrw_attr *a = typed(n, name, NRW_ATTR_INT);
    return a != NULL ? a->i : absent;
}

float nrw_attr_float(const nrw_node *n, const char *name, float absent) {
    const nrw_attr *a = typed(n, name, NRW_ATTR_FLOAT);
    return a != NULL ? a->f : absent;
}

const char *nrw_attr_str(const nrw_node *n, const char *name, const char *absent) {
    const nrw_attr *a = typed(n, name, NRW_ATTR_STRING);
    /* nrw_node_set_attr terminates its copy. */
    return a != NULL && memchr(a->s.data, 0, a->s.size) == NULL ? a->s.data : absent;
}

const int64_t *nrw_attr_ints(const nrw_node *n, const char *name, int64_t *count) {
    const nrw_attr *a = typed(n, name, NRW_ATTR_INTS);
    *count = a != NULL ? a->n : 0;
    return a != NULL ? a->ints : NULL;
}

const float *nrw_attr_floats(const nrw_node *n, const char *name, int64_t *count) {
    const nrw_attr *a = typed(n, name, NRW_ATTR_FLOATS);
    *count = a != NULL ? a->n : 0;
    return a != NULL ? a->floats : NULL;
}

nrw_graph *nrw_attr_graph(const nrw_node *n, const char *name) {
    const nrw_attr *a = typed(n, name, NRW_ATTR_GRAPH);
    return a != NULL ? a->graph : NULL;
}

const nrw_tensor *nrw_attr_tensor(const nrw_node *n, const char *name) {
    const nrw_attr *a = typed(n, name, NRW_ATTR_TENSOR);
    return a != NULL ? a->tensor : NULL;
}

static bool copy_string(nrw_arena *arena, nrw_string *s) {
    s->data = nrw_arena_strndup(arena, s->size > 0 ? s->data : "", s->size);
    return s->data != NULL;
}

static bool copy_strings(nrw_arena *arena, nrw_attr *a) {
    nrw_string *copy = nrw_arena_calloc(arena, (size_t)a->n + 1, sizeof *copy);
    if (copy == NULL) return false;
    for (int64_t i = 0; i < a->n; i++) {
        copy[i] = a->strings[i];
        if (!copy_string(arena, &copy[i])) return false;
    }
    a->strings = copy;
    return true;
}

/* Copies what the attribute points to; graphs and the data of tensors stay where they are. */
static bool own(nrw_arena *arena, nrw_attr *a) {
    size_t n = (size_t)a->n;
    a->name = nrw_arena_strdup(arena, a->name);
    if (a->name == NULL) return false;
    switch (a->type) {
    case NRW_ATTR_INT:
    case NRW_ATTR_FLOAT:
    case NRW_ATTR_GRAPH:
        return true;
    case NRW_ATTR_STRING:
    case NRW_ATTR_RAW:
        return copy_string(arena, &a->s);
    case NRW_ATTR_TENSOR:
        n = 1; /* fall through */
    case NRW_ATTR_TENSORS:
        return (a->tensor = nrw_arena_dup(arena, a->tensor, n * sizeof *a->tensor)) != NULL;
    case NRW_ATTR_INTS:
        return (a->ints = nrw_arena_dup(arena, a->ints, n * sizeof *a->ints)) != NULL;
    case NRW_ATTR_FLOATS:
        return (a->floats = nrw_arena_dup(arena, a->floats, n * sizeof *a->floats)) != NULL;
    case NRW_ATTR_STRINGS:
        return copy_strings(arena, a);
    case NRW_ATTR_GRAPHS:
        return (a->graphs = nrw_arena_dup(arena, a->graphs, n * sizeof *a->graphs)) != NULL;
    }
    return false;
}

nrw_status nrw_node_set_attr(nrw_node *n, const nrw_attr *a, nrw_error *err) {
    nrw_arena *arena = &n->graph->model->arena;
    nrw_attr copy = *a;
    if (!own(arena, &copy)) NRW_OOM(err);
    nrw_attr *slot = (nrw_attr *)nrw_node_attr(n, a->name);
    if (slot == NULL) {
        size_t cap = (size_t)n->cap_attrs;
        if (!nrw_arena_grow(arena, (void **)&n->attrs, &cap, (size_t)n->n_attrs + 1,
                            sizeof *n->attrs))
            NRW_OOM(err);
        n->cap_attrs = (int)cap;
        slot = &n->attrs[n->n_attrs++];
    }
    *slot = copy;
    return NRW_OK;
}

nrw_status nrw_node_set_int(nrw_node *n, const char *name, int64_t v, nrw_error *err) {
    return nrw_node_set_attr(n, &(nrw_attr){.name = name, .type = NRW_ATTR_INT, .n = 1, .i = v},
                             err);
}

nrw_status nrw_node_set_float(nrw_node *n, const char *name, float v, nrw_error *err) {
    return nrw_node_set_attr(n, &(nrw_attr){.name = name, .type = NRW_ATTR_FLOAT, .n = 1, .f = v},
                             err);
}

nrw_status nrw_node_set_str(nrw_node *n, const char *name, const char *v, nrw_error *err) {
    nrw_attr a = {.name = name, .type = NRW_ATTR_STRING, .n = 1, .s = {v, strlen(v)}};
    return nrw_node_set_attr(n, &a, err);
}

nrw_status nrw_node_set_ints(nrw_node *n, const char *name, int64_t count, const int64_t *v,
                             nrw_error *err) {
    nrw_attr a = {.name = name, .type = NRW_ATTR_INTS, .n = count, .ints = v};
    return nrw_node_set_attr(n, &a, err);
}

void nrw_node_remove_attr(nrw_node *n, const char *name) {
    nrw_attr *a = (nrw_attr *)nrw_node_attr(n, name);
    if (a == NULL) return;
    size_t after = (size_t)(n->attrs + n->n_attrs - (a + 1));
    memmove(a, a + 1, after * sizeof *a);
    n->n_attrs--;
}
