/* For plans: functions of one 8-bit tensor become tables of 256 results, and so does what is made
 * of such a tensor and a function of the same (x * sigmoid(x)), or of the result of a table. Each
 * table holds what the nodes themselves give, so results are the same bits. */
#include <string.h>

#include "ops/quant_table.h"
#include "passes/for_plans.h"
#include "passes/match.h"
#include "passes/pass.h"

static bool is_table(const nrw_node *n) {
    return n != NULL && n->op != NULL && strcmp(n->type, "Table") == 0 &&
           strcmp(n->domain, "ai.narrow") == 0;
}

static bool is_pair(const nrw_node *n) {
    return nrw_is(n, "Mul") || nrw_is(n, "Add") || nrw_is(n, "Sub");
}

/* The value that all data of n comes from through at most one table each; NULL: there is none. */
static nrw_value *one_source(const nrw_node *n) {
    nrw_value *source = NULL;
    for (int i = 0; i < (is_pair(n) ? 2 : 1); i++) {
        nrw_value *v = n->inputs[i];
        if (!nrw_quant_is_byte(v->quant) || nrw_is_const(v)) return NULL;
        if (is_table(v->producer) && v->producer->graph == n->graph) v = v->producer->inputs[0];
        if (source != NULL && v != source) return NULL;
        source = v;
    }
    return source;
}

/* x * f(x) is read through f alone by chance: then x itself is the source. */
static nrw_value *source_of(const nrw_node *n) {
    nrw_value *direct[2] = {n->inputs[0], is_pair(n) ? n->inputs[1] : n->inputs[0]};
    if (direct[0] == NULL || direct[1] == NULL) return NULL;
    for (int i = 0; i < 2; i++) {
        const nrw_value *other = direct[1 - i];
        if (direct[0] == direct[1]) return nrw_quant_is_byte(direct[0]->quant) ? direct[0] : NULL;
        if (nrw_quant_is_byte(direct[i]->quant) && nrw_quant_is_byte(other->quant) &&
            is_table(other->producer) && other->producer->inputs[0] == direct[i])
            return direct[i];
    }
    return one_source(n);
}

/* What input i of n is when the source is `pattern`. */
static const nrw_tensor *on_pattern(const nrw_node *n, int i, const nrw_value *source,
                                    const nrw_tensor *pattern, nrw_tensor *room) {
    const nrw_value *v = n->inputs[i];
    if (v == source) return pattern;
    *room = nrw_tensor_make(v->quant->dtype, 1, (const int64_t[]){256},
                            v->producer->inputs[1]->data->data);
    room->quant = v->quant;
    return room;
}

static bool suits(const nrw_node *n) {
    if (n->op == NULL || n->n_outputs != 1 || n->outputs[0] == NULL || is_table(n)) return false;
    if (!nrw_quant_is_byte(n->outputs[0]->quant)) return false;
    if (is_pair(n)) return true;
    if (n->op->integer != nrw_table_integer || !nrw_table_integer_ok(n)) return false;
    for (int i = 1; i < n->n_inputs; i++) {
        if (n->inputs[i] != NULL && !nrw_is_const(n->inputs[i])) return false;
    }
    return true;
}

static nrw_status fuse(nrw_node *n, nrw_value *source, nrw_arena *scratch, nrw_error *err) {
    nrw_graph *g = n->graph;
    uint8_t bytes[256];
    for (int i = 0; i < 256; i++) bytes[i] = (uint8_t)i;
    nrw_tensor pattern = nrw_tensor_make(source->quant->dtype, 1, (const int64_t[]){256}, bytes);
    pattern.quant = source->quant;
    nrw_tensor room[2], out = {0}, copy;
    const nrw_tensor **in = nrw_arena_calloc(scratch, (size_t)n->n_inputs + 1, sizeof *in);
    if (in == NULL) NRW_OOM(err);
    const int data = is_pair(n) ? 2 : 1;
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] == NULL) continue;
        in[i] = i < data ? on_pattern(n, i, source, &pattern, &room[i]) : n->inputs[i]->data;
    }
    NRW_TRY(nrw_op_run(g->model->context, n, in, &out, scratch, err));
    out.quant = NULL;
    out.dtype = NRW_U8; /* bytes, whatever they stand for */
    NRW_TRY(nrw_tensor_copy(&g->model->arena, &out, &copy, err));
    nrw_value *table = nrw_const_new(g, NULL, &copy);
    if (table == NULL) NRW_OOM(err);
    NRW_TRY(nrw_node_resize_inputs(n, 0, err));
    NRW_TRY(nrw_node_resize_inputs(n, 2, err));
    nrw_become(n, "Table");
    n->n_attrs = 0;
    NRW_TRY(nrw_node_set_input(n, 0, source, err));
    return nrw_node_set_input(n, 1, table, err);
}

nrw_status nrw_fuse_tables(nrw_model *m, const struct nrw_kernels *kn, nrw_error *err) {
    (void)kn;
    nrw_arena scratch;
    nrw_arena_init(&scratch, m->arena.allocator);
    nrw_status s = NRW_OK;
    for (nrw_node *n = m->graph->first; s == NRW_OK && n != NULL; n = n->next) {
        nrw_value *source = suits(n) ? source_of(n) : NULL;
        if (source != NULL) s = fuse(n, source, &scratch, err);
        nrw_arena_free(&scratch);
    }
    if (s == NRW_OK) s = nrw_run_pass(m, &nrw_pass_dead_code, NULL, err);
    return s;
}
