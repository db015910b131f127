/* Topological order, in every graph of a model, by depth-first search with a stack of its own.
 * Nodes that are in order stay as they are; a producer that comes too late is pulled before its
 * first reader. */
#include <string.h>

#include "ir/graph.h"

/* Calls visit for every value that a node reads in its own graph g: inputs, and what its subgraphs
 * capture. */
typedef struct edge_walk {
    const nrw_graph *g;
    nrw_node *reader; /* a node of g */
    nrw_status (*visit)(struct edge_walk *w, nrw_node *producer);
    void *user;
} edge_walk;

static nrw_status walk_inputs(edge_walk *w, const nrw_node *n);

static nrw_status walk_value(edge_walk *w, const nrw_value *v) {
    if (v == NULL || v->graph != w->g || v->producer == NULL) return NRW_OK;
    return w->visit(w, v->producer);
}

static nrw_status walk_graph(edge_walk *w, const nrw_graph *g) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) NRW_TRY(walk_inputs(w, n));
    for (int i = 0; i < g->n_outputs; i++) NRW_TRY(walk_value(w, g->outputs[i]));
    return NRW_OK;
}

static nrw_status walk_inputs(edge_walk *w, const nrw_node *n) {
    for (int i = 0; i < n->n_inputs; i++) NRW_TRY(walk_value(w, n->inputs[i]));
    for (int i = 0; i < n->n_attrs; i++) {
        const nrw_attr *a = &n->attrs[i];
        if (a->type == NRW_ATTR_GRAPH) NRW_TRY(walk_graph(w, a->graph));
        if (a->type != NRW_ATTR_GRAPHS) continue;
        for (int64_t k = 0; k < a->n; k++) NRW_TRY(walk_graph(w, a->graphs[k]));
    }
    return NRW_OK;
}

/* What the sort knows of a node (node->tag). */
typedef struct mark {
    enum { UNSEEN, OPEN, PLACED } state;
    nrw_node **producers; /* with multiplicity */
    size_t n, cap, next;  /* next: the first one not looked at */
    nrw_node *below;      /* the node that wanted this one: the stack of the walk */
} mark;

typedef struct sorter {
    nrw_arena *scratch;
    nrw_error *err;
} sorter;

static nrw_status note_producer(edge_walk *w, nrw_node *producer) {
    sorter *s = w->user;
    mark *m = w->reader->tag;
    if (!nrw_arena_grow(s->scratch, (void **)&m->producers, &m->cap, m->n + 1,
                        sizeof *m->producers))
        NRW_OOM(s->err);
    m->producers[m->n++] = producer;
    return NRW_OK;
}

/* Places everything that `root` needs, then root itself, at the end of `order`. */
static nrw_status place(nrw_node *root, nrw_node **order, int *placed, nrw_error *err) {
    nrw_node *top = root;
    ((mark *)root->tag)->state = OPEN;
    while (top != NULL) {
        mark *m = top->tag;
        if (m->next == m->n) {
            m->state = PLACED;
            order[(*placed)++] = top;
            top = m->below;
            continue;
        }
        nrw_node *p = m->producers[m->next++];
        mark *pm = p->tag;
        if (pm->state == OPEN)
            NRW_FAIL(err, NRW_ERR_SHAPE, "node '%s' is part of a cycle", p->name);
        if (pm->state == PLACED) continue;
        pm->state = OPEN;
        pm->below = top;
        top = p;
    }
    return NRW_OK;
}

static nrw_status sort_one(nrw_graph *g, nrw_arena *scratch, nrw_error *err) {
    sorter s = {scratch, err};
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        n->tag = nrw_arena_calloc(scratch, 1, sizeof(mark));
        if (n->tag == NULL) NRW_OOM(err);
    }
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        edge_walk w = {.g = g, .reader = n, .visit = note_producer, .user = &s};
        NRW_TRY(walk_inputs(&w, n));
    }
    nrw_node **order = nrw_arena_calloc(scratch, (size_t)g->n_nodes + 1, sizeof *order);
    if (order == NULL) NRW_OOM(err);
    int placed = 0;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        if (((mark *)n->tag)->state == UNSEEN) NRW_TRY(place(n, order, &placed, err));
    }
    for (int i = 0; i < placed; i++) nrw_node_move(order[i], NULL);
    return NRW_OK;
}

static nrw_status sort_all(nrw_graph *g, nrw_arena *scratch, nrw_error *err) {
    NRW_TRY(sort_one(g, scratch, err));
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_attrs; i++) {
            const nrw_attr *a = &n->attrs[i];
            if (a->type == NRW_ATTR_GRAPH) NRW_TRY(sort_all(a->graph, scratch, err));
            if (a->type != NRW_ATTR_GRAPHS) continue;
            for (int64_t k = 0; k < a->n; k++) NRW_TRY(sort_all(a->graphs[k], scratch, err));
        }
    }
    return NRW_OK;
}

nrw_status nrw_graph_sort(nrw_graph *g, nrw_error *err) {
    nrw_arena scratch;
    nrw_arena_init(&scratch, g->model->arena.allocator);
    nrw_status s = sort_all(g, &scratch, err);
    nrw_arena_free(&scratch);
    return s;
}
