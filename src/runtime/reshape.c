/* The first part of a run with new input shapes: what can be known before any data flows. */
#include <string.h>

#include "kernels/rows_i8.h"
#include "ops/eval.h"
#include "runtime/memory_plan.h"
#include "runtime/session_impl.h"

/* Nodes whose result is no larger are evaluated while shapes are found: they compute shapes. */
enum { KNOWN_BYTES = 4096 };

typedef struct reshaper {
    nrw_session *s;
    nrw_type *types;     /* [n_values] real types */
    int32_t *root;       /* [n_values] the value whose memory this one shares; itself if none */
    nrw_buffer *buffers; /* [n_values] of roots */
    nrw_arena *arena;
    nrw_error *err;
} reshaper;

static bool has_data(const reshaper *r, const nrw_value *v) {
    return v->data != NULL ? !v->is_input : r->s->known[v->id];
}

static bool evaluates_now(const reshaper *r, const nrw_step *step, const nrw_type *out) {
    const nrw_node *n = step->node;
    if (n->op->random || step->has_body || nrw_eval_is_annotated(n)) return false;
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] == NULL) continue;
        int64_t count = nrw_type_count(&out[i]);
        if (count < 0 || out[i].dtype == NRW_NONE || out[i].kind != NRW_TENSOR ||
            count * nrw_dtype_size(out[i].dtype) > KNOWN_BYTES)
            return false;
    }
    bool shape_only = n->domain[0] == '\0' && n->n_inputs == 1 && n->inputs[0] != NULL &&
                      (strcmp(n->op->name, "Shape") == 0 || strcmp(n->op->name, "Size") == 0);
    if (shape_only) return nrw_type_is_static(&r->types[n->inputs[0]->id]);
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] != NULL && !has_data(r, n->inputs[i])) return false;
    }
    return true;
}

static nrw_status evaluate(reshaper *r, const nrw_step *step, const nrw_tensor *const *data) {
    const nrw_node *n = step->node;
    nrw_tensor *out = nrw_arena_calloc(r->arena, (size_t)n->n_outputs + 1, sizeof *out);
    const nrw_tensor **in = nrw_arena_calloc(r->arena, (size_t)n->n_inputs + 1, sizeof *in);
    if (out == NULL || in == NULL) NRW_OOM(r->err);
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] == NULL) continue;
        in[i] = data[i];
        if (in[i] != NULL) continue;
        /* Shape and Size look at nothing but the type. */
        const nrw_type *t = &r->types[n->inputs[i]->id];
        nrw_tensor *stand_in = nrw_arena_calloc(r->arena, 1, sizeof *stand_in);
        if (stand_in == NULL) NRW_OOM(r->err);
        *stand_in = nrw_tensor_make(t->dtype, t->rank, t->dims, NULL);
        in[i] = stand_in;
    }
    NRW_TRY(nrw_op_run(r->s->plan->context, n, in, out, r->arena, r->err));
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] == NULL) continue;
        int32_t id = n->outputs[i]->id;
        r->s->slots[id] = out[i];
        r->s->known[id] = true;
        r->types[id] = nrw_type_of(&out[i]);
    }
    return NRW_OK;
}

/* Shapes of one step's outputs; known data where it only computes shapes. */
static nrw_status shape_step(reshaper *r, int index, const nrw_step *step) {
    const nrw_node *n = step->node;
    size_t n_in = (size_t)n->n_inputs + 1, n_out = (size_t)n->n_outputs + 1;
    const nrw_type **types = nrw_arena_calloc(r->arena, n_in, sizeof *types);
    const nrw_tensor **data = nrw_arena_calloc(r->arena, n_in, sizeof *data);
    nrw_type *out = nrw_arena_calloc(r->arena, n_out, sizeof *out);
    if (types == NULL || data == NULL || out == NULL) NRW_OOM(r->err);
    for (int i = 0; i < n->n_inputs; i++) {
        const nrw_value *v = n->inputs[i];
        if (v == NULL) continue;
        types[i] = &r->types[v->id];
        if (has_data(r, v)) data[i] = &r->s->slots[v->id];
    }
    NRW_TRY(nrw_op_infer(n, types, data, out, r->arena, r->err));
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] != NULL) r->types[n->outputs[i]->id] = out[i];
    }
    if (step->mode == NRW_STEP_ALIAS) {
        r->root[n->outputs[0]->id] = r->root[n->inputs[0]->id];
        r->s->alias_types[index] = out[0];
    }
    if (!evaluates_now(r, step, out)) return NRW_OK;
    r->s->skip[index] = true;
    return evaluate(r, step, data);
}

static void live(reshaper *r, const nrw_value *v, int at) {
    if (v == NULL) return;
    nrw_buffer *b = &r->buffers[r->root[v->id]];
    if (at < b->first) b->first = at;
    if (at > b->last) b->last = at;
}

static void live_in_bodies(reshaper *r, const nrw_node *n, int at);

static void live_in_graph(reshaper *r, const nrw_graph *g, int at) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_inputs; i++) live(r, n->inputs[i], at);
        live_in_bodies(r, n, at);
    }
    for (int i = 0; i < g->n_outputs; i++) live(r, g->outputs[i], at);
}

/* Values of the main graph that bodies of n read. */
static void live_in_bodies(reshaper *r, const nrw_node *n, int at) {
    for (int i = 0; i < n->n_attrs; i++) {
        const nrw_attr *a = &n->attrs[i];
        if (a->type == NRW_ATTR_GRAPH) live_in_graph(r, a->graph, at);
        for (int64_t k = 0; a->type == NRW_ATTR_GRAPHS && k < a->n; k++) {
            live_in_graph(r, a->graphs[k], at);
        }
    }
}

/* Gives a value of known size a buffer, unless it is known, shared, or given by the caller. */
static void want_buffer(reshaper *r, const nrw_value *v) {
    if (v == NULL || r->root[v->id] != v->id || r->s->known[v->id]) return;
    const nrw_type *t = &r->types[v->id];
    int64_t count = nrw_type_count(t);
    nrw_dtype storage = v->quant != NULL ? v->quant->dtype : t->dtype;
    if (count < 0 || storage == NRW_NONE || t->kind != NRW_TENSOR) return;
    size_t bytes = (size_t)count * (size_t)nrw_dtype_size(storage);
    r->buffers[v->id].size = bytes > 0 ? bytes : 1;
}

static nrw_status place(reshaper *r, const nrw_plan_graph *pg) {
    nrw_session *s = r->s;
    const nrw_graph *g = pg->graph;
    for (int i = 0; i < g->n_inputs; i++) {
        if (g->inputs[i]->quant != NULL) want_buffer(r, g->inputs[i]);
        live(r, g->inputs[i], 0);
    }
    for (int k = 0; k < pg->n_steps; k++) {
        const nrw_node *n = pg->steps[k].node;
        for (int i = 0; i < n->n_inputs; i++) live(r, n->inputs[i], k);
        live_in_bodies(r, n, k);
        for (int i = 0; i < n->n_outputs; i++) {
            want_buffer(r, n->outputs[i]);
            live(r, n->outputs[i], k);
        }
    }
    for (int i = 0; i < g->n_outputs; i++) live(r, g->outputs[i], pg->n_steps);
    size_t size;
    NRW_TRY(nrw_memory_plan(r->buffers, s->n_values, &size, r->arena, r->err));
    size += NRW_STEP_BYTES; /* what kernels may read behind the last value */
    if (size > s->slab_size) {
        nrw_mem_free(s->allocator, s->slab, s->slab_size);
        s->slab_size = 0;
        s->slab = nrw_mem_alloc(s->allocator, size);
        if (s->slab == NULL) NRW_OOM(r->err);
        s->slab_size = size;
    }
    return NRW_OK;
}

/* Writes types and addresses into the slots. */
static void settle(reshaper *r, const nrw_value *v) {
    if (v == NULL || r->s->known[v->id] || r->buffers[v->id].size == 0) return;
    const nrw_type *t = &r->types[v->id];
    nrw_dtype storage = v->quant != NULL ? v->quant->dtype : t->dtype;
    nrw_tensor *slot = &r->s->slots[v->id];
    *slot =
        nrw_tensor_make(storage, t->rank, t->dims, (char *)r->s->slab + r->buffers[v->id].offset);
    slot->quant = v->quant;
    r->s->placed[v->id] = true;
}

static nrw_status reshape(reshaper *r, const nrw_type *inputs) {
    nrw_session *s = r->s;
    const nrw_plan_graph *pg = s->plan->graphs;
    size_t n = (size_t)s->n_values + 1;
    r->types = nrw_arena_calloc(r->arena, n, sizeof *r->types);
    r->root = nrw_arena_calloc(r->arena, n, sizeof *r->root);
    r->buffers = nrw_arena_calloc(r->arena, n, sizeof *r->buffers);
    if (r->types == NULL || r->root == NULL || r->buffers == NULL) NRW_OOM(r->err);
    for (int i = 0; i < s->n_values; i++) {
        r->root[i] = i;
        r->buffers[i] = (nrw_buffer){.first = pg->n_steps + 1, .last = -1};
        r->types[i] = nrw_type_unknown();
        if (!s->constant[i]) continue;
        r->types[i] = nrw_type_of(&s->slots[i]);
        if (s->slots[i].quant != NULL) r->types[i].dtype = NRW_F32;
    }
    memset(s->known, 0, n);
    memset(s->placed, 0, n);
    memset(s->skip, 0, (size_t)pg->n_steps + 1);
    for (int i = 0; i < pg->graph->n_inputs; i++) r->types[pg->graph->inputs[i]->id] = inputs[i];
    for (int k = 0; k < pg->n_steps; k++) {
        const nrw_node *node = pg->steps[k].node;
        NRW_TRY_CTX(r->err, shape_step(r, k, &pg->steps[k]), "node '%s' (%s)", node->name,
                    node->type);
    }
    NRW_TRY(place(r, pg));
    for (int i = 0; i < pg->graph->n_inputs; i++) settle(r, pg->graph->inputs[i]);
    for (int k = 0; k < pg->n_steps; k++) {
        const nrw_node *node = pg->steps[k].node;
        for (int i = 0; i < node->n_outputs; i++) settle(r, node->outputs[i]);
    }
    return NRW_OK;
}

nrw_status nrw_session_reshape(nrw_session *s, const nrw_type *inputs, nrw_error *err) {
    nrw_arena_reset(&s->shape_arena);
    s->shaped = false;
    reshaper r = {.s = s, .arena = &s->shape_arena, .err = err};
    NRW_TRY(reshape(&r, inputs));
    memcpy(s->shape_of_inputs, inputs, (size_t)s->plan->graphs->graph->n_inputs * sizeof *inputs);
    s->shaped = true;
    return NRW_OK;
}
