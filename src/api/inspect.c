/* What is in a model: counts for people. */
#include <string.h>

#include "base/str.h"
#include "ir/graph.h"
#include "narrow/narrow.h"
#include "ops/eval.h"
#include "ops/op.h"

typedef struct counter {
    nrw_model *model;
    nrw_summary *s;
    nrw_map seen; /* operators by shown name */
    nrw_operator_count *operators;
    size_t n, cap;
    bool *counted; /* [n_values] constants and annotations */
    nrw_arena scratch;
    nrw_error *err;
} counter;

static nrw_status count_operator(counter *c, const nrw_node *n) {
    nrw_arena *arena = &c->model->arena;
    const char *name = n->type;
    if (n->domain[0] != 0) name = nrw_arena_printf(arena, "%s::%s", n->domain, n->type);
    if (name == NULL) NRW_OOM(c->err);
    /* The map holds index + 1, for NULL means absent. */
    size_t at = (size_t)(uintptr_t)nrw_map_get(&c->seen, name, strlen(name));
    if (at == 0) {
        if (!nrw_arena_grow(arena, (void **)&c->operators, &c->cap, c->n + 1, sizeof *c->operators))
            NRW_OOM(c->err);
        c->operators[c->n++] = (nrw_operator_count){.name = name, .supported = n->op != NULL};
        at = c->n;
        if (!nrw_map_put(&c->seen, name, strlen(name), (void *)(uintptr_t)at)) NRW_OOM(c->err);
    }
    c->operators[at - 1].count++;
    return NRW_OK;
}

static void count_value(counter *c, const nrw_value *v) {
    if (v == NULL || c->counted[v->id]) return;
    c->counted[v->id] = true;
    if (v->quant != NULL) c->s->quantized_values++;
    if (v->data == NULL || !nrw_dtype_is_float(v->type.dtype)) return;
    int64_t n = nrw_tensor_count(v->data);
    size_t bytes = 0;
    if (!nrw_packed_size(v->data->dtype, n, &bytes)) return;
    c->s->parameters += n;
    c->s->parameter_bytes += (int64_t)bytes;
}

/* Types with unknown dims taken as 1, so that there is a number at all. */
static nrw_type as_one(const nrw_type *t) {
    nrw_type one = *t;
    for (int i = 0; i < one.rank; i++) {
        if (one.dims[i] < 0) one.dims[i] = 1;
    }
    return one;
}

/* No count of multiplications is beyond (largest input) * (largest output), times a few. */
static bool is_countable(const nrw_type *room, int n_in, const nrw_type *out, int n_out) {
    int64_t x = 1, y = 1, product;
    for (int i = 0; i < n_in + n_out; i++) {
        const nrw_type *t = i < n_in ? &room[i] : &out[i - n_in];
        int64_t *most = i < n_in ? &x : &y, count = t->rank < 0 ? 1 : nrw_type_count(t);
        if (count < 0) return false;
        if (count > *most) *most = count;
    }
    return nrw_mul_i64(x, y, &product) && product < (int64_t)1 << 56;
}

static nrw_status count_macs(counter *c, const nrw_node *n) {
    if (n->op == NULL || n->op->macs == NULL) return NRW_OK;
    size_t n_in = (size_t)n->n_inputs + 1, n_out = (size_t)n->n_outputs + 1;
    nrw_type *room = nrw_arena_calloc(&c->scratch, n_in, sizeof *room);
    const nrw_type **in = nrw_arena_calloc(&c->scratch, n_in, sizeof *in);
    nrw_type *out = nrw_arena_calloc(&c->scratch, n_out, sizeof *out);
    if (room == NULL || in == NULL || out == NULL) NRW_OOM(c->err);
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] == NULL) continue;
        room[i] = as_one(&n->inputs[i]->type);
        in[i] = &room[i];
        if (room[i].rank < 0) return NRW_OK;
    }
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] != NULL) out[i] = as_one(&n->outputs[i]->type);
    }
    if (n->n_outputs < 1 || n->outputs[0] == NULL || out[0].rank < 0) return NRW_OK;
    if (!is_countable(room, n->n_inputs, out, n->n_outputs)) return NRW_OK;
    int64_t macs = n->op->macs(n, in, out);
    if (macs > 0 && __builtin_add_overflow(c->s->macs, macs, &c->s->macs)) c->s->macs = INT64_MAX;
    return NRW_OK;
}

static nrw_status count_graph(counter *c, const nrw_graph *g) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        NRW_TRY(count_operator(c, n));
        NRW_TRY(count_macs(c, n));
        c->s->quantized_nodes += nrw_eval_is_annotated(n);
        for (int i = 0; i < n->n_inputs; i++) count_value(c, n->inputs[i]);
        for (int i = 0; i < n->n_outputs; i++) count_value(c, n->outputs[i]);
        for (int i = 0; i < n->n_attrs; i++) {
            const nrw_attr *a = &n->attrs[i];
            if (a->type == NRW_ATTR_GRAPH) NRW_TRY(count_graph(c, a->graph));
            for (int64_t k = 0; a->type == NRW_ATTR_GRAPHS && k < a->n; k++) {
                NRW_TRY(count_graph(c, a->graphs[k]));
            }
        }
    }
    return NRW_OK;
}

static const nrw_port *ports(nrw_model *m, nrw_value **values, int n) {
    nrw_port *list = nrw_arena_calloc(&m->arena, (size_t)n + 1, sizeof *list);
    for (int i = 0; list != NULL && i < n; i++) {
        const nrw_type *t = &values[i]->type;
        list[i] = (nrw_port){.name = values[i]->name, .dtype = t->dtype, .rank = t->rank};
        if (values[i]->as_integers && values[i]->quant != NULL) {
            list[i].dtype = values[i]->quant->dtype;
            list[i].scale = values[i]->quant->scale[0];
            list[i].zero_point = values[i]->quant->zero_point[0];
        }
        for (int k = 0; k < t->rank; k++) {
            list[i].dims[k] = t->dims[k] < 0 ? -1 : t->dims[k];
            list[i].dim_names[k] = nrw_model_symbol_name(m, t->dims[k]);
        }
    }
    return list;
}

static void sort_operators(nrw_operator_count *list, size_t n) {
    for (size_t i = 1; i < n; i++) {
        nrw_operator_count x = list[i];
        size_t k = i;
        for (; k > 0 && strcmp(list[k - 1].name, x.name) > 0; k--) list[k] = list[k - 1];
        list[k] = x;
    }
}

nrw_status nrw_inspect(nrw_model *m, const nrw_summary **out, nrw_error *err) {
    counter c = {.model = m, .err = err};
    c.s = nrw_arena_calloc(&m->arena, 1, sizeof *c.s);
    c.counted = nrw_arena_calloc(&m->arena, (size_t)m->n_values + 1, sizeof *c.counted);
    if (c.s == NULL || c.counted == NULL) NRW_OOM(err);
    nrw_map_init(&c.seen, &m->arena);
    nrw_arena_init(&c.scratch, m->arena.allocator);
    nrw_status status = count_graph(&c, m->graph);
    nrw_arena_free(&c.scratch);
    NRW_TRY(status);
    sort_operators(c.operators, c.n);
    c.s->format = m->format;
    c.s->inputs = ports(m, m->graph->inputs, m->graph->n_inputs);
    c.s->outputs = ports(m, m->graph->outputs, m->graph->n_outputs);
    if (c.s->inputs == NULL || c.s->outputs == NULL) NRW_OOM(err);
    c.s->n_inputs = m->graph->n_inputs;
    c.s->n_outputs = m->graph->n_outputs;
    c.s->operators = c.operators;
    c.s->n_operators = (int)c.n;
    *out = c.s;
    return NRW_OK;
}
