/* The checker that runs after passes: everything that graph.h promises. */
#include <string.h>

#include "ir/graph.h"

typedef struct verifier {
    const nrw_model *model;
    const nrw_value **seen; /* by id: the values defined so far */
    nrw_error *err;
} verifier;

static nrw_status check_graph(verifier *v, const nrw_graph *g);

static bool encloses(const nrw_graph *outer, const nrw_graph *inner) {
    for (; inner != NULL; inner = inner->parent) {
        if (inner == outer) return true;
    }
    return false;
}

static bool has_use(const nrw_value *value, const nrw_node *n, int index, const nrw_graph *g) {
    for (size_t i = 0; i < value->n_uses; i++) {
        const nrw_use *u = &value->uses[i];
        if (u->node == n && u->index == index && u->graph == g) return true;
    }
    return false;
}

static nrw_status check_const(verifier *v, const nrw_value *value) {
    const nrw_tensor *t = value->data;
    size_t bytes;
    NRW_TRY_CTX(v->err, nrw_checked_bytes(t->dtype, t->rank, t->dims, &bytes, v->err),
                "constant '%s'", value->name);
    if (bytes > 0 && t->data == NULL)
        NRW_FAIL(v->err, NRW_ERR_INTERNAL, "constant '%s' has no data", value->name);
    if (!nrw_quant_equal(t->quant, value->quant))
        NRW_FAIL(v->err, NRW_ERR_INTERNAL, "constant '%s': its tensor and its annotation differ",
                 value->name);
    nrw_dtype real = value->quant != NULL ? value->quant->dtype : value->type.dtype;
    if (real != t->dtype && value->type.kind == NRW_TENSOR)
        NRW_FAIL(v->err, NRW_ERR_INTERNAL, "constant '%s' is %s but its data are %s", value->name,
                 nrw_dtype_name(real), nrw_dtype_name(t->dtype));
    return NRW_OK;
}

static nrw_status check_read(verifier *v, const nrw_value *value, const nrw_graph *g,
                             const char *reader) {
    if (value->id < 0 || value->id >= v->model->n_values)
        NRW_FAIL(v->err, NRW_ERR_INTERNAL, "value '%s' has id %d", value->name, value->id);
    if (!encloses(value->graph, g))
        NRW_FAIL(v->err, NRW_ERR_INTERNAL, "%s uses '%s' of a graph that does not enclose it",
                 reader, value->name);
    if (value->data != NULL)
        NRW_TRY(check_const(v, value));
    else if (v->seen[value->id] != value)
        NRW_FAIL(v->err, NRW_ERR_SHAPE, "%s uses '%s' before it is made", reader, value->name);
    return NRW_OK;
}

static nrw_status define(verifier *v, const nrw_value *value) {
    if (v->seen[value->id] != NULL)
        NRW_FAIL(v->err, NRW_ERR_SHAPE, "value '%s' is made twice", value->name);
    v->seen[value->id] = value;
    return NRW_OK;
}

static nrw_status check_node(verifier *v, const nrw_graph *g, const nrw_node *n) {
    if (n->graph != g)
        NRW_FAIL(v->err, NRW_ERR_INTERNAL, "node '%s' stands in the wrong graph", n->name);
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] == NULL) continue;
        NRW_TRY(check_read(v, n->inputs[i], g, n->name));
        if (!has_use(n->inputs[i], n, i, NULL))
            NRW_FAIL(v->err, NRW_ERR_INTERNAL, "node '%s': input %d is not in the use list",
                     n->name, i);
    }
    for (int i = 0; i < n->n_attrs; i++) {
        const nrw_attr *a = &n->attrs[i];
        if (a->type == NRW_ATTR_GRAPH) NRW_TRY(check_graph(v, a->graph));
        if (a->type != NRW_ATTR_GRAPHS) continue;
        for (int64_t k = 0; k < a->n; k++) NRW_TRY(check_graph(v, a->graphs[k]));
    }
    for (int i = 0; i < n->n_outputs; i++) {
        const nrw_value *out = n->outputs[i];
        if (out == NULL) continue;
        if (out->producer != n || out->producer_index != i || out->graph != g)
            NRW_FAIL(v->err, NRW_ERR_INTERNAL, "node '%s': output %d has another producer", n->name,
                     i);
        NRW_TRY(define(v, out));
    }
    return NRW_OK;
}

static nrw_status check_graph(verifier *v, const nrw_graph *g) {
    int count = 0;
    for (int i = 0; i < g->n_inputs; i++) {
        if (g->inputs[i]->data == NULL) NRW_TRY(define(v, g->inputs[i]));
    }
    for (const nrw_node *n = g->first; n != NULL; n = n->next, count++) {
        NRW_TRY(check_node(v, g, n));
        if (n->next != NULL && n->next->prev != n)
            NRW_FAIL(v->err, NRW_ERR_INTERNAL, "node '%s': broken list", n->name);
    }
    if (count != g->n_nodes)
        NRW_FAIL(v->err, NRW_ERR_INTERNAL, "graph '%s' counts %d nodes but has %d", g->name,
                 g->n_nodes, count);
    for (int i = 0; i < g->n_outputs; i++) {
        NRW_TRY(check_read(v, g->outputs[i], g, "the list of outputs"));
        if (!has_use(g->outputs[i], NULL, i, g))
            NRW_FAIL(v->err, NRW_ERR_INTERNAL, "output %d is not in the use list", i);
    }
    return NRW_OK;
}

nrw_status nrw_graph_verify(const nrw_model *m, nrw_error *err) {
    size_t bytes = ((size_t)m->n_values + 1) * sizeof(nrw_value *);
    verifier v = {.model = m, .seen = nrw_mem_alloc(m->arena.allocator, bytes), .err = err};
    if (v.seen == NULL) NRW_OOM(err);
    memset(v.seen, 0, bytes);
    nrw_status s = check_graph(&v, m->graph);
    nrw_mem_free(m->arena.allocator, v.seen, bytes);
    return s;
}
