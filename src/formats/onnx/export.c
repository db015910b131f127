/* Writing models. */
#include "formats/onnx/export.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The constants that one graph holds. */
typedef struct nrw_onnx_constants {
    const nrw_graph *graph;
    const nrw_value **list;
    size_t n, cap;
} nrw_onnx_constants;

/* Finding constants: a graph has no list of them, its nodes and outputs lead there. */

typedef struct collector {
    nrw_onnx_exporter *x;
    unsigned char *seen; /* by value id */
} collector;

static nrw_status collect(collector *c, const nrw_value *v) {
    nrw_onnx_exporter *x = c->x;
    if (v == NULL) return NRW_OK;
    if (v->quant != NULL) {
        NRW_FAIL(x->err, NRW_ERR_UNSUPPORTED,
                 "value '%s' has a quantization annotation, which must be lowered to nodes first",
                 v->name);
    }
    if (v->data == NULL || c->seen[v->id]) return NRW_OK;
    c->seen[v->id] = 1;
    nrw_onnx_constants *of = nrw_map_get(&x->constants, (const char *)&v->graph, sizeof v->graph);
    if (of == NULL) {
        of = nrw_arena_calloc(&x->scratch, 1, sizeof *of);
        if (of == NULL) NRW_OOM(x->err);
        of->graph = v->graph;
        if (!nrw_map_put(&x->constants, (const char *)&of->graph, sizeof of->graph, of)) {
            NRW_OOM(x->err);
        }
    }
    if (!nrw_arena_grow(&x->scratch, (void **)&of->list, &of->cap, of->n + 1, sizeof *of->list)) {
        NRW_OOM(x->err);
    }
    of->list[of->n++] = v;
    return NRW_OK;
}

static nrw_status collect_graph(collector *c, const nrw_graph *g) {
    for (int i = 0; i < g->n_inputs; i++) NRW_TRY(collect(c, g->inputs[i]));
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_inputs; i++) NRW_TRY(collect(c, n->inputs[i]));
        for (int i = 0; i < n->n_outputs; i++) NRW_TRY(collect(c, n->outputs[i]));
        for (int i = 0; i < n->n_attrs; i++) {
            const nrw_attr *a = &n->attrs[i];
            if (a->type == NRW_ATTR_GRAPH) NRW_TRY(collect_graph(c, a->graph));
            for (int64_t k = 0; a->type == NRW_ATTR_GRAPHS && k < a->n; k++) {
                NRW_TRY(collect_graph(c, a->graphs[k]));
            }
        }
    }
    for (int i = 0; i < g->n_outputs; i++) NRW_TRY(collect(c, g->outputs[i]));
    return NRW_OK;
}

static nrw_status collect_constants(nrw_onnx_exporter *x) {
    collector c = {x, nrw_arena_calloc(&x->scratch, (size_t)x->model->n_values + 1, 1)};
    if (c.seen == NULL) NRW_OOM(x->err);
    return collect_graph(&c, x->model->graph);
}

/* Types. */

static void put_dims(nrw_onnx_exporter *x, const nrw_type *t) {
    nrw_pb_mark shape = nrw_pb_begin(&x->w, TYPE_SHAPE);
    for (int i = 0; i < t->rank; i++) {
        const char *symbol = nrw_model_symbol_name(x->model, t->dims[i]);
        nrw_pb_mark dim = nrw_pb_begin(&x->w, SHAPE_DIM);
        if (t->dims[i] >= 0) nrw_pb_put_int(&x->w, DIM_VALUE, t->dims[i]);
        if (symbol != NULL) nrw_pb_put_text(&x->w, DIM_PARAM, symbol);
        nrw_pb_end(&x->w, dim);
    }
    nrw_pb_end(&x->w, shape);
}

static void put_tensor_type(nrw_onnx_exporter *x, const nrw_type *t) {
    nrw_pb_mark mark = nrw_pb_begin(&x->w, TYPE_TENSOR);
    nrw_pb_put_int(&x->w, TYPE_ELEM, nrw_dtype_get(t->dtype)->onnx);
    if (t->rank >= 0) put_dims(x, t);
    nrw_pb_end(&x->w, mark);
}

/* The content of a TypeProto: the tensor type within the messages of its kind. */
static void put_type(nrw_onnx_exporter *x, const nrw_type *t) {
    nrw_pb_mark marks[4];
    int n = 0;
    if (t->kind == NRW_OPTIONAL_TENSOR || t->kind == NRW_OPTIONAL_SEQUENCE) {
        marks[n++] = nrw_pb_begin(&x->w, TYPE_OPTIONAL);
        marks[n++] = nrw_pb_begin(&x->w, TYPE_ELEM);
    }
    if (t->kind == NRW_SEQUENCE || t->kind == NRW_OPTIONAL_SEQUENCE) {
        marks[n++] = nrw_pb_begin(&x->w, TYPE_SEQUENCE);
        marks[n++] = nrw_pb_begin(&x->w, TYPE_ELEM);
    }
    put_tensor_type(x, t);
    while (n > 0) nrw_pb_end(&x->w, marks[--n]);
}

static bool has_type(const nrw_value *v) {
    return v->raw_type.size > 0 || v->type.dtype != NRW_NONE;
}

static void put_value_info(nrw_onnx_exporter *x, uint32_t number, const nrw_value *v,
                           const char *name) {
    nrw_pb_mark mark = nrw_pb_begin(&x->w, number);
    nrw_pb_put_text(&x->w, VALUE_NAME, name);
    if (v->raw_type.size > 0) {
        nrw_pb_put_bytes(&x->w, VALUE_TYPE, v->raw_type.data, v->raw_type.size);
    } else if (has_type(v)) {
        nrw_pb_mark type = nrw_pb_begin(&x->w, VALUE_TYPE);
        put_type(x, &v->type);
        nrw_pb_end(&x->w, type);
    }
    nrw_pb_end(&x->w, mark);
}

/* Nodes. */

static nrw_status put_graph(nrw_onnx_exporter *x, uint32_t number, const nrw_graph *g);

static nrw_status put_tensor_at(nrw_onnx_exporter *x, uint32_t number, const nrw_tensor *t) {
    nrw_pb_mark mark = nrw_pb_begin(&x->w, number);
    NRW_TRY(nrw_onnx_put_tensor(x, NULL, t, false));
    nrw_pb_end(&x->w, mark);
    return NRW_OK;
}

static nrw_status put_attr_value(nrw_onnx_exporter *x, const nrw_attr *a, int *kind) {
    nrw_pb_writer *w = &x->w;
    switch (a->type) {
    case NRW_ATTR_INT:
        nrw_pb_put_int(w, ATTR_I, a->i);
        *kind = KIND_INT;
        break;
    case NRW_ATTR_FLOAT:
        nrw_pb_put_float(w, ATTR_F, a->f);
        *kind = KIND_FLOAT;
        break;
    case NRW_ATTR_STRING:
        nrw_pb_put_bytes(w, ATTR_S, a->s.data, a->s.size);
        *kind = KIND_STRING;
        break;
    case NRW_ATTR_TENSOR:
        NRW_TRY(put_tensor_at(x, ATTR_T, a->tensor));
        *kind = KIND_TENSOR;
        break;
    case NRW_ATTR_GRAPH:
        NRW_TRY(put_graph(x, ATTR_G, a->graph));
        *kind = KIND_GRAPH;
        break;
    case NRW_ATTR_INTS:
        for (int64_t i = 0; i < a->n; i++) nrw_pb_put_int(w, ATTR_INTS, a->ints[i]);
        *kind = KIND_INTS;
        break;
    case NRW_ATTR_FLOATS:
        for (int64_t i = 0; i < a->n; i++) nrw_pb_put_float(w, ATTR_FLOATS, a->floats[i]);
        *kind = KIND_FLOATS;
        break;
    case NRW_ATTR_STRINGS:
        for (int64_t i = 0; i < a->n; i++) {
            nrw_pb_put_bytes(w, ATTR_STRINGS, a->strings[i].data, a->strings[i].size);
        }
        *kind = KIND_STRINGS;
        break;
    case NRW_ATTR_TENSORS:
        for (int64_t i = 0; i < a->n; i++) NRW_TRY(put_tensor_at(x, ATTR_TENSORS, &a->tensor[i]));
        *kind = KIND_TENSORS;
        break;
    case NRW_ATTR_GRAPHS:
        for (int64_t i = 0; i < a->n; i++) NRW_TRY(put_graph(x, ATTR_GRAPHS, a->graphs[i]));
        *kind = KIND_GRAPHS;
        break;
    case NRW_ATTR_RAW:
        break;
    }
    return NRW_OK;
}

static nrw_status put_attr(nrw_onnx_exporter *x, const nrw_attr *a) {
    int kind = 0;
    if (a->type == NRW_ATTR_RAW) {
        nrw_pb_put_bytes(&x->w, NODE_ATTRIBUTE, a->s.data, a->s.size);
        return NRW_OK;
    }
    nrw_pb_mark mark = nrw_pb_begin(&x->w, NODE_ATTRIBUTE);
    nrw_pb_put_text(&x->w, ATTR_NAME, a->name);
    NRW_TRY_CTX(x->err, put_attr_value(x, a, &kind), "attribute '%s'", a->name);
    nrw_pb_put_int(&x->w, ATTR_TYPE, kind);
    nrw_pb_end(&x->w, mark);
    return NRW_OK;
}

/* Left-out ones count only before others. */
static int last_used(nrw_value *const *list, int n) {
    while (n > 0 && list[n - 1] == NULL) n--;
    return n;
}

/* What operators of ONNX's own have in Narrow only. */
static bool is_ours(const nrw_node *n, const nrw_attr *a) {
    return n->domain[0] == 0 && strcmp(n->type, "LSTM") == 0 && strcmp(a->name, "cell_clip") == 0;
}

static nrw_status put_node(nrw_onnx_exporter *x, const nrw_node *n) {
    nrw_pb_mark mark = nrw_pb_begin(&x->w, GRAPH_NODE);
    int n_in = last_used(n->inputs, n->n_inputs), n_out = last_used(n->outputs, n->n_outputs);
    for (int i = 0; i < n_in; i++) {
        nrw_pb_put_text(&x->w, NODE_INPUT, n->inputs[i] != NULL ? n->inputs[i]->name : "");
    }
    for (int i = 0; i < n_out; i++) {
        nrw_pb_put_text(&x->w, NODE_OUTPUT, n->outputs[i] != NULL ? n->outputs[i]->name : "");
    }
    if (!n->nameless) nrw_pb_put_text(&x->w, NODE_NAME, n->name);
    nrw_pb_put_text(&x->w, NODE_OP_TYPE, n->type);
    for (int i = 0; i < n->n_attrs; i++) {
        if (!is_ours(n, &n->attrs[i])) NRW_TRY(put_attr(x, &n->attrs[i]));
    }
    if (n->domain[0] != 0) nrw_pb_put_text(&x->w, NODE_DOMAIN, n->domain);
    nrw_pb_end(&x->w, mark);
    return NRW_OK;
}

/* Graphs. */

/* The names of a graph's outputs. An output must be made by the graph itself and may be listed
 * once: where it is not so, an Identity is put between. */
static nrw_status name_outputs(nrw_onnx_exporter *x, const nrw_graph *g, const char **names) {
    for (int i = 0; i < g->n_outputs; i++) {
        const nrw_value *v = g->outputs[i];
        bool fine = v->graph == g;
        for (size_t k = 0; fine && v->n_uses > 1 && k < v->n_uses; k++) {
            const nrw_use *u = &v->uses[k];
            fine = u->node != NULL || u->graph != g || u->index >= i;
        }
        names[i] = v->name;
        if (fine) continue;
        names[i] =
            nrw_arena_printf(&x->scratch, "%s.%d", v->name, x->model->n_names + x->made_up++);
        if (names[i] == NULL) NRW_OOM(x->err);
        nrw_pb_mark mark = nrw_pb_begin(&x->w, GRAPH_NODE);
        nrw_pb_put_text(&x->w, NODE_INPUT, v->name);
        nrw_pb_put_text(&x->w, NODE_OUTPUT, names[i]);
        nrw_pb_put_text(&x->w, NODE_OP_TYPE, "Identity");
        nrw_pb_end(&x->w, mark);
    }
    return NRW_OK;
}

static int by_id(const void *a, const void *b) {
    const nrw_value *x = *(const nrw_value *const *)a, *y = *(const nrw_value *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

static nrw_status put_initializers(nrw_onnx_exporter *x, const nrw_graph *g) {
    nrw_onnx_constants *of = nrw_map_get(&x->constants, (const char *)&g, sizeof g);
    if (of == NULL) return NRW_OK;
    qsort(of->list, of->n, sizeof *of->list, by_id);
    for (size_t i = 0; i < of->n; i++) {
        nrw_pb_mark mark = nrw_pb_begin(&x->w, GRAPH_INITIALIZER);
        NRW_TRY_CTX(x->err, nrw_onnx_put_tensor(x, of->list[i]->name, of->list[i]->data, true),
                    "constant '%s'", of->list[i]->name);
        nrw_pb_end(&x->w, mark);
    }
    return NRW_OK;
}

static bool is_output_of(const nrw_value *v, const nrw_graph *g) {
    for (size_t i = 0; i < v->n_uses; i++) {
        if (v->uses[i].node == NULL && v->uses[i].graph == g) return true;
    }
    return false;
}

static nrw_status put_graph(nrw_onnx_exporter *x, uint32_t number, const nrw_graph *g) {
    nrw_pb_mark mark = nrw_pb_begin(&x->w, number);
    const char **outputs = nrw_arena_calloc(&x->scratch, (size_t)g->n_outputs + 1, sizeof *outputs);
    if (outputs == NULL) NRW_OOM(x->err);
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        NRW_TRY_CTX(x->err, put_node(x, n), "node '%s'", n->name);
    }
    NRW_TRY(name_outputs(x, g, outputs));
    nrw_pb_put_text(&x->w, GRAPH_NAME, g->name[0] != 0 ? g->name : "graph");
    NRW_TRY(put_initializers(x, g));
    for (int i = 0; i < g->n_inputs; i++) {
        put_value_info(x, GRAPH_INPUT, g->inputs[i], g->inputs[i]->name);
    }
    for (int i = 0; i < g->n_outputs; i++) {
        put_value_info(x, GRAPH_OUTPUT, g->outputs[i], outputs[i]);
    }
    /* Types that shape inference finds again are left out: they would be a twentieth of a small
     * quantized file. What an operator that Narrow does not know makes is kept. */
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_outputs; i++) {
            const nrw_value *v = n->outputs[i];
            if (v == NULL || !has_type(v) || is_output_of(v, g) || n->op != NULL) continue;
            put_value_info(x, GRAPH_VALUE_INFO, v, v->name);
        }
    }
    nrw_pb_end(&x->w, mark);
    return NRW_OK;
}

/* Models. */

static nrw_status choose_opset(nrw_onnx_exporter *x, const nrw_onnx_save_options *o,
                               int64_t *opset) {
    const nrw_node *because;
    int64_t imported = nrw_model_opset(x->model, "");
    *opset = nrw_onnx_lowest_opset(x->model, &because);
    if (o->opset != 0 && o->opset < *opset) {
        NRW_FAIL(x->err, NRW_ERR_UNSUPPORTED,
                 "opset %" PRId64 " is too low, %" PRId64 " is needed%s%s%s", o->opset, *opset,
                 because != NULL ? " by node '" : "", because != NULL ? because->name : "",
                 because != NULL ? "'" : "");
    }
    if (o->opset != 0) {
        *opset = o->opset;
    } else if (imported > *opset && strcmp(x->model->format, "onnx") == 0) {
        *opset = imported;
    }
    return NRW_OK;
}

static void put_opset(nrw_onnx_exporter *x, const char *domain, int64_t version) {
    nrw_pb_mark mark = nrw_pb_begin(&x->w, MODEL_OPSET_IMPORT);
    nrw_pb_put_text(&x->w, OPSET_DOMAIN, domain);
    nrw_pb_put_int(&x->w, OPSET_VERSION, version);
    nrw_pb_end(&x->w, mark);
}

/* Domains that nodes have but the model does not import get version 1. */
static nrw_status put_missing_opsets(nrw_onnx_exporter *x, const nrw_graph *g, nrw_map *put) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        size_t size = strlen(n->domain);
        if (size > 0 && nrw_model_opset(x->model, n->domain) == 0 &&
            nrw_map_get(put, n->domain, size) == NULL) {
            put_opset(x, n->domain, 1);
            if (!nrw_map_put(put, n->domain, size, x)) NRW_OOM(x->err);
        }
        for (int i = 0; i < n->n_attrs; i++) {
            const nrw_attr *a = &n->attrs[i];
            if (a->type == NRW_ATTR_GRAPH) NRW_TRY(put_missing_opsets(x, a->graph, put));
            for (int64_t k = 0; a->type == NRW_ATTR_GRAPHS && k < a->n; k++) {
                NRW_TRY(put_missing_opsets(x, a->graphs[k], put));
            }
        }
    }
    return NRW_OK;
}

static nrw_status put_opsets(nrw_onnx_exporter *x, int64_t opset) {
    const nrw_model *m = x->model;
    nrw_map put;
    nrw_map_init(&put, &x->scratch);
    put_opset(x, "", opset);
    for (int i = 0; i < m->n_opsets; i++) {
        const nrw_opset *o = &m->opsets[i];
        if (o->domain[0] != 0 && o->version > 0) put_opset(x, o->domain, o->version);
    }
    return put_missing_opsets(x, m->graph, &put);
}

static void put_optional_text(nrw_onnx_exporter *x, uint32_t number, const char *s) {
    if (s != NULL && s[0] != 0) nrw_pb_put_text(&x->w, number, s);
}

static nrw_status put_model(nrw_onnx_exporter *x, int64_t opset) {
    const nrw_model *m = x->model;
    int64_t ir = nrw_onnx_ir_version(opset);
    if (strcmp(m->format, "onnx") == 0 && m->ir_version > ir) ir = m->ir_version;
    nrw_pb_put_int(&x->w, MODEL_IR_VERSION, ir);
    put_optional_text(x, MODEL_PRODUCER_NAME, m->producer_name);
    put_optional_text(x, MODEL_PRODUCER_VERSION, m->producer_version);
    put_optional_text(x, MODEL_DOMAIN, m->domain);
    if (m->model_version != 0) nrw_pb_put_int(&x->w, MODEL_VERSION, m->model_version);
    put_optional_text(x, MODEL_DOC, m->doc);
    NRW_TRY(put_graph(x, MODEL_GRAPH, m->graph));
    NRW_TRY(put_opsets(x, opset));
    /* Of .tflite files it may be anything but the text that it has to be here. */
    const int n_metadata = strcmp(m->format, "tflite") == 0 ? 0 : m->n_metadata;
    for (int i = 0; i < n_metadata; i++) {
        const nrw_string *key = &m->metadata[2 * i], *value = key + 1;
        nrw_pb_mark mark = nrw_pb_begin(&x->w, MODEL_METADATA);
        nrw_pb_put_bytes(&x->w, ENTRY_KEY, key->data, key->size);
        nrw_pb_put_bytes(&x->w, ENTRY_VALUE, value->data, value->size);
        nrw_pb_end(&x->w, mark);
    }
    return nrw_pb_failed(&x->w) ? nrw_error_set(x->err, NRW_ERR_MEMORY, "out of memory") : NRW_OK;
}

/* Gathers the model's small bytes; when it comes out too large, again with external data. */
static nrw_status build(nrw_onnx_exporter *x, const nrw_onnx_save_options *o, const char *path) {
    const uint64_t protobuf_limit = INT32_MAX;
    int64_t opset;
    NRW_TRY(collect_constants(x));
    NRW_TRY(choose_opset(x, o, &opset));
    NRW_TRY(put_model(x, opset));
    uint64_t limit = o->external_over != 0 ? o->external_over : protobuf_limit;
    if (x->weight_bytes <= limit && nrw_pb_size(&x->w) <= protobuf_limit) return NRW_OK;
    const char *slash = strrchr(path, '/');
    x->external.location = nrw_arena_printf(&x->scratch, "%s.data", slash ? slash + 1 : path);
    if (x->external.location == NULL) NRW_OOM(x->err);
    x->external.wanted = true;
    nrw_pb_writer_free(&x->w);
    nrw_pb_writer_init(&x->w, x->model->arena.allocator);
    NRW_TRY(put_model(x, opset));
    if (nrw_pb_size(&x->w) > protobuf_limit) {
        NRW_FAIL(x->err, NRW_ERR_UNSUPPORTED, "more than 2 GiB even without its weights");
    }
    return NRW_OK;
}

static nrw_status write_data(const nrw_onnx_exporter *x, const char *path, nrw_error *err) {
    nrw_output *o;
    NRW_TRY(nrw_output_open(x->model->arena.allocator, path, &o, err));
    nrw_status st = nrw_onnx_write_external(&x->external, o, err);
    if (st != NRW_OK) {
        nrw_output_abort(o);
        return st;
    }
    return nrw_output_commit(o, err);
}

/* The data appears before the model that refers to it. */
static nrw_status write_files(nrw_onnx_exporter *x, const char *path) {
    nrw_output *o;
    NRW_TRY(nrw_output_open(x->model->arena.allocator, path, &o, x->err));
    nrw_status st = nrw_pb_write(&x->w, o, x->err);
    if (st == NRW_OK && x->external.wanted) {
        const char *data = nrw_arena_printf(&x->scratch, "%s.data", path);
        st = data != NULL ? write_data(x, data, x->err)
                          : nrw_error_set(x->err, NRW_ERR_MEMORY, "out of memory");
    }
    if (st != NRW_OK) {
        nrw_output_abort(o);
        return st;
    }
    return nrw_output_commit(o, x->err);
}

nrw_status nrw_onnx_save(const nrw_model *m, const char *path, const nrw_onnx_save_options *options,
                         nrw_error *err) {
    nrw_onnx_save_options o = options != NULL ? *options : (nrw_onnx_save_options){0};
    nrw_onnx_exporter x = {.model = m, .err = err};
    nrw_arena_init(&x.scratch, m->arena.allocator);
    nrw_map_init(&x.constants, &x.scratch);
    nrw_pb_writer_init(&x.w, m->arena.allocator);
    nrw_status st = build(&x, &o, path);
    if (st != NRW_OK) nrw_error_prefix(err, st, "%s", path);
    if (st == NRW_OK) st = write_files(&x, path);
    nrw_pb_writer_free(&x.w);
    nrw_arena_free(&x.scratch);
    return st;
}
