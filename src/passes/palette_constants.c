/* Large float constants that repeat a few values, or a few rows, become bytes that pick from a
 * table: masks, prior boxes, position biases. Gather(table, Cast(bytes)) gives the same bits, and
 * runtimes compute it once, at load. Only constants that arithmetic reads: other operands may have
 * to be constants as they are. unpack_palettes brings them back after reading. */
#include <string.h>

#include "passes/match.h"
#include "passes/pass.h"

#define MOST_ROWS    256  /* what a byte can tell apart */
#define LEAST_SAVING 1024 /* bytes; two nodes and two names take some 200 */
#define MOST_TIMES   8    /* smaller: so that a file cannot claim to hold any amount */

typedef struct palette {
    size_t row_bytes;
    int64_t n_rows;         /* of the constant */
    int n_different;        /* rows in the table */
    const char **different; /* [n_different] */
    uint8_t *index;         /* [n_rows] */
} palette;

static bool only_arithmetic_reads(const nrw_value *v) {
    for (size_t i = 0; i < v->n_uses; i++) {
        const nrw_node *n = v->uses[i].node;
        if (n == NULL || n->op == NULL || n->op->quant.rule != NRW_QUANT_ARITH) return false;
    }
    return v->n_uses > 0;
}

static bool is_candidate(const nrw_value *v) {
    return nrw_is_const(v) && v->quant == NULL && v->data->kind == NRW_TENSOR &&
           (v->data->dtype == NRW_F32 || v->data->dtype == NRW_F64) &&
           nrw_tensor_bytes(v->data) > LEAST_SAVING && only_arithmetic_reads(v);
}

static size_t stored_bytes(const palette *p) {
    return (size_t)p->n_rows + (size_t)p->n_different * p->row_bytes;
}

/* Finds the different rows, p->row_bytes and p->n_rows being set. *fits: there are few enough. */
static nrw_status collect_rows(palette *p, const char *data, nrw_arena *scratch, bool *fits,
                               nrw_error *err) {
    nrw_map seen; /* row -> its place in p->different */
    nrw_map_init(&seen, scratch);
    p->different = nrw_arena_calloc(scratch, MOST_ROWS, sizeof *p->different);
    p->index = nrw_arena_calloc(scratch, (size_t)p->n_rows, 1);
    if (p->different == NULL || p->index == NULL) NRW_OOM(err);
    *fits = false;
    for (int64_t i = 0; i < p->n_rows; i++, data += p->row_bytes) {
        const char **at = nrw_map_get(&seen, data, p->row_bytes);
        if (at == NULL) {
            if (p->n_different == MOST_ROWS) return NRW_OK;
            at = &p->different[p->n_different++];
            *at = data;
            if (!nrw_map_put(&seen, data, p->row_bytes, (void *)at)) NRW_OOM(err);
        }
        p->index[i] = (uint8_t)(at - p->different);
    }
    *fits = true;
    return NRW_OK;
}

/* The split of the axes, outer ones into rows and inner ones into a row, that takes the fewest
 * bytes; *inner < 0: none saves enough. */
static nrw_status choose(const nrw_tensor *t, palette *best, int *inner, nrw_arena *scratch,
                         nrw_error *err) {
    size_t least = nrw_tensor_bytes(t) - LEAST_SAVING;
    palette p = {.row_bytes = nrw_dtype_size(t->dtype), .n_rows = nrw_tensor_count(t)};
    *inner = -1;
    for (int i = 0; i < t->rank; i++) {
        bool fits = false;
        p.n_different = 0;
        NRW_TRY(collect_rows(&p, t->data, scratch, &fits, err));
        if (fits && stored_bytes(&p) < least &&
            nrw_tensor_bytes(t) <= MOST_TIMES * stored_bytes(&p)) {
            least = stored_bytes(&p);
            *best = p;
            *inner = i;
        }
        const int64_t dim = t->dims[t->rank - 1 - i];
        p.row_bytes *= (size_t)dim;
        p.n_rows /= dim;
    }
    return NRW_OK;
}

static nrw_value *table_of(nrw_graph *g, const nrw_tensor *t, const palette *p, int inner) {
    int64_t dims[NRW_MAX_RANK] = {p->n_different};
    memcpy(dims + 1, t->dims + t->rank - inner, (size_t)inner * sizeof *dims);
    nrw_tensor table;
    if (nrw_tensor_new(&g->model->arena, t->dtype, 1 + inner, dims, &table, NULL) != NRW_OK)
        return NULL;
    for (int i = 0; i < p->n_different; i++)
        memcpy((char *)table.data + (size_t)i * p->row_bytes, p->different[i], p->row_bytes);
    return nrw_const_new(g, NULL, &table);
}

static nrw_status replace(nrw_value *v, const palette *p, int inner, nrw_error *err) {
    nrw_graph *g = v->graph;
    nrw_node *start = g->first;
    const nrw_tensor *t = v->data;
    const int outer = t->rank - inner;
    nrw_tensor bytes = nrw_tensor_make(NRW_U8, outer, t->dims, NULL);
    bytes.data = nrw_arena_dup(&g->model->arena, p->index, (size_t)p->n_rows);
    const nrw_type wide = nrw_type_make(NRW_I32, outer, t->dims);
    nrw_value *picks = bytes.data != NULL ? nrw_const_new(g, NULL, &bytes) : NULL;
    nrw_value *table = table_of(g, t, p, inner);
    if (picks == NULL || table == NULL) NRW_OOM(err);
    nrw_value *cast = nrw_emit(g, "Cast", 1, &picks, &wide, start);
    if (cast == NULL) NRW_OOM(err);
    NRW_TRY(nrw_node_set_int(cast->producer, "to", nrw_dtype_get(NRW_I32)->onnx, err));
    nrw_value *rows = nrw_emit(g, "Gather", 2, (nrw_value *[]){table, cast}, &v->type, start);
    if (rows == NULL) NRW_OOM(err);
    nrw_value_swap_names(v, rows);
    return nrw_value_replace(v, rows, err);
}

typedef struct sweeping {
    nrw_arena *scratch;
    bool *changed;
} sweeping;

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    const sweeping *s = user;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_inputs; i++) {
            palette p;
            int inner = -1;
            if (is_candidate(n->inputs[i]))
                NRW_TRY(choose(n->inputs[i]->data, &p, &inner, s->scratch, err));
            if (inner >= 0) {
                NRW_TRY(replace(n->inputs[i], &p, inner, err));
                *s->changed = true;
            }
            nrw_arena_free(s->scratch);
        }
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    sweeping s = {scratch, changed};
    return nrw_each_graph(m->graph, sweep, &s, err);
}

const nrw_pass nrw_pass_palette_constants = {"palette_constants", run};

/* The bytes of a palette that ends in this Gather; NULL: it is none. */
static const nrw_tensor *bytes_of(const nrw_node *n) {
    if (!nrw_is(n, "Gather") || nrw_attr_int(n, "axis", 0) != 0 || n->inputs[1] == NULL)
        return NULL;
    const nrw_value *table = n->inputs[0];
    const nrw_node *cast = n->inputs[1]->producer;
    if (!nrw_is_const(table) || table->quant != NULL || table->data->rank < 1 ||
        (table->data->dtype != NRW_F32 && table->data->dtype != NRW_F64))
        return NULL;
    if (!nrw_is(cast, "Cast") || !nrw_is_const(cast->inputs[0]) || cast->inputs[0]->quant != NULL)
        return NULL;
    const int64_t to = nrw_attr_int(cast, "to", 0);
    const bool wide = to == nrw_dtype_get(NRW_I32)->onnx || to == nrw_dtype_get(NRW_I64)->onnx;
    const nrw_tensor *bytes = cast->inputs[0]->data;
    return wide && bytes->dtype == NRW_U8 ? bytes : NULL;
}

/* Leaves out->data NULL where the palette is none that this pass makes. */
static nrw_status unpack(const nrw_tensor *table, const nrw_tensor *bytes, nrw_arena *arena,
                         nrw_tensor *out, nrw_error *err) {
    const int inner = table->rank - 1;
    const int64_t n = nrw_tensor_count(bytes), rows = table->dims[0];
    size_t row = nrw_dtype_size(table->dtype), size;
    int64_t dims[NRW_MAX_RANK];
    *out = (nrw_tensor){0};
    if (bytes->rank + inner > NRW_MAX_RANK || n == 0 || rows == 0) return NRW_OK;
    memcpy(dims, bytes->dims, (size_t)bytes->rank * sizeof *dims);
    memcpy(dims + bytes->rank, table->dims + 1, (size_t)inner * sizeof *dims);
    for (int i = 0; i < inner; i++) row *= (size_t)table->dims[1 + i];
    if (!nrw_mul_size((size_t)n, row, &size) ||
        size / MOST_TIMES > (size_t)n + nrw_tensor_bytes(table))
        return NRW_OK;
    const uint8_t *pick = bytes->data;
    for (int64_t i = 0; i < n; i++) {
        if (pick[i] >= rows) return NRW_OK;
    }
    NRW_TRY(nrw_tensor_new(arena, table->dtype, bytes->rank + inner, dims, out, err));
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out->data + (size_t)i * row, (char *)table->data + pick[i] * row, row);
    return NRW_OK;
}

static nrw_status unpack_graph(nrw_graph *g, void *user, nrw_error *err) {
    bool *changed = user;
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        const nrw_tensor *bytes = bytes_of(n);
        nrw_tensor t = {0};
        if (bytes != NULL) NRW_TRY(unpack(n->inputs[0]->data, bytes, &g->model->arena, &t, err));
        if (t.data == NULL) continue;
        nrw_value *y = n->outputs[0], *v = nrw_const_new(g, NULL, &t);
        if (v == NULL) NRW_OOM(err);
        if (!nrw_value_is_graph_output(y)) nrw_value_swap_names(y, v);
        NRW_TRY(nrw_value_replace(y, v, err));
        nrw_node_remove(n);
        *changed = true;
    }
    return NRW_OK;
}

static nrw_status run_unpack(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    (void)scratch;
    return nrw_each_graph(m->graph, unpack_graph, changed, err);
}

const nrw_pass nrw_pass_unpack_palettes = {"unpack_palettes", run_unpack};
