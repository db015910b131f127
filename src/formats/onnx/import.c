/* Models and graphs. */
#include "formats/onnx/import.h"

#include <inttypes.h>
#include <string.h>

#include "formats/load.h"
#include "passes/match.h"

enum { max_depth = 64, max_opsets = 256, first_overridable_ir = 4 };

const char nrw_onnx_omitted[] = "";

bool nrw_onnx_is(nrw_string s, const char *text) {
    return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

/* Names. */

const char *nrw_onnx_fresh(nrw_onnx_importer *im, nrw_map *taken, const char *base) {
    const char *name = base;
    while (nrw_map_get(taken, name, strlen(name)) != NULL) {
        name = nrw_arena_printf(&im->scratch, "%s.%d", base, im->made_up++);
        if (name == NULL) return NULL;
    }
    return nrw_map_put(taken, name, strlen(name), im) ? name : NULL;
}

static bool is_visible(const nrw_onnx_names *n, const char *name) {
    for (size_t size = strlen(name); n != NULL; n = n->parent) {
        if (nrw_map_get(&n->values, name, size) != NULL) return true;
    }
    return false;
}

nrw_status nrw_onnx_declare(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_string name,
                            nrw_value **out) {
    const char *text;
    NRW_TRY(nrw_onnx_text(&im->scratch, name, "the name of a value", &text, im->err));
    if (nrw_map_get(&s->values, name.data, name.size) != NULL) {
        NRW_FAIL(im->err, NRW_ERR_FORMAT, "value '%s' is made twice", text);
    }
    *out = nrw_map_get(&s->outputs, name.data, name.size);
    if (*out != NULL) {
        if (!nrw_map_put(&s->values, name.data, name.size, *out)) NRW_OOM(im->err);
        return NRW_OK;
    }
    if (s->prefix != NULL) text = nrw_arena_printf(&im->scratch, "%s/%s", s->prefix, text);
    if (text == NULL) NRW_OOM(im->err);
    /* A body may use a name that stands for something else around it; the graph may not. */
    if (s->prefix != NULL || is_visible(s->names, text)) {
        text = nrw_onnx_fresh(im, &im->taken, text);
    } else if (!nrw_map_put(&im->taken, text, strlen(text), im)) {
        text = NULL;
    }
    nrw_value *v = text != NULL ? nrw_value_new(s->names->graph, text, NULL) : NULL;
    if (v == NULL || !nrw_map_put(&s->values, name.data, name.size, v) ||
        !nrw_map_put(&s->names->values, v->name, strlen(v->name), v)) {
        NRW_OOM(im->err);
    }
    const nrw_string *info = nrw_map_get(&s->infos, name.data, name.size);
    if (info != NULL) NRW_TRY_CTX(im->err, nrw_onnx_read_type_into(im, *info, v), "'%s'", text);
    *out = v;
    return NRW_OK;
}

nrw_value *nrw_onnx_lookup(const nrw_onnx_scope *s, nrw_string name) {
    for (; s != NULL; s = s->parent) {
        nrw_value *v = nrw_map_get(&s->values, name.data, name.size);
        if (v != NULL) return v;
    }
    return NULL;
}

void nrw_onnx_scope_init(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_onnx_scope *parent,
                         nrw_onnx_names *names) {
    *s = (nrw_onnx_scope){.parent = parent, .names = names, .opsets = &im->opsets};
    if (parent != NULL) {
        s->prefix = parent->prefix;
        s->given = parent->given;
        s->opsets = parent->opsets;
    }
    nrw_map_init(&s->values, &im->scratch);
    nrw_map_init(&s->infos, &im->scratch);
    nrw_map_init(&s->outputs, &im->scratch);
}

/* Types. */

nrw_status nrw_onnx_read_type_into(nrw_onnx_importer *im, nrw_string type, nrw_value *v) {
    nrw_type t;
    bool raw;
    NRW_TRY(nrw_onnx_type(nrw_pb_open(type.data, type.size), &im->symbols, &t, &raw, im->err));
    if (raw) {
        v->raw_type = type;
    } else {
        v->type = t;
    }
    return NRW_OK;
}

static nrw_status read_value_info(nrw_onnx_importer *im, const nrw_pb *r, const nrw_pb_field *f,
                                  nrw_string *name, nrw_string *type) {
    nrw_pb inner;
    nrw_pb_field v;
    *name = *type = (nrw_string){"", 0};
    NRW_TRY(nrw_pb_enter(r, f, "value", &inner, im->err));
    for (;;) {
        NRW_TRY(nrw_pb_next(&inner, &v, im->err));
        if (v.number == 0) return NRW_OK;
        if (v.number == VALUE_NAME) NRW_TRY(nrw_pb_string(&v, "name", name, im->err));
        if (v.number == VALUE_TYPE) NRW_TRY(nrw_pb_string(&v, "type", type, im->err));
    }
}

/* Graphs. */

static nrw_status note_info(nrw_onnx_importer *im, nrw_onnx_scope *s, const nrw_pb *r,
                            const nrw_pb_field *f) {
    nrw_string name;
    nrw_string *type = nrw_arena_alloc(&im->scratch, sizeof *type);
    if (type == NULL) NRW_OOM(im->err);
    NRW_TRY(read_value_info(im, r, f, &name, type));
    if (name.size == 0) return NRW_OK;
    if (!nrw_map_put(&s->infos, name.data, name.size, type)) NRW_OOM(im->err);
    return NRW_OK;
}

static nrw_status read_input(nrw_onnx_importer *im, nrw_onnx_scope *s, const nrw_pb *r,
                             const nrw_pb_field *f, nrw_value **out) {
    nrw_string name, type;
    NRW_TRY(read_value_info(im, r, f, &name, &type));
    if (name.size == 0) NRW_FAIL(im->err, NRW_ERR_FORMAT, "an input has no name");
    NRW_TRY(nrw_onnx_declare(im, s, name, out));
    NRW_TRY_CTX(im->err, nrw_onnx_read_type_into(im, type, *out), "input '%s'", (*out)->name);
    return NRW_OK;
}

/* Up to IR version 3 every initializer had to be listed among the inputs, without any wish that
 * callers might override it: such inputs are constants. Bodies get all inputs from their node, so
 * that a default for one is never used. */
static bool ignores_default(const nrw_graph *g) {
    return g->parent != NULL;
}

static bool takes_default(const nrw_graph *g) {
    return g->parent == NULL && g->model->ir_version >= first_overridable_ir;
}

static nrw_status read_initializer(nrw_onnx_importer *im, nrw_onnx_scope *s, const nrw_pb *r,
                                   const nrw_pb_field *f) {
    nrw_pb inner;
    nrw_string name = {"", 0};
    nrw_tensor t;
    nrw_graph *g = s->names->graph;
    bool sparse = f->number == GRAPH_SPARSE_INITIALIZER;
    NRW_TRY(nrw_pb_enter(r, f, "initializer", &inner, im->err));
    nrw_status st = sparse ? nrw_onnx_sparse(&im->source, inner, &t, &name, im->err)
                           : nrw_onnx_tensor(&im->source, inner, &t, &name, im->err);
    NRW_TRY_CTX(im->err, st, "initializer '%.*s'", (int)(name.size < 200 ? name.size : 200),
                name.data);
    if (name.size == 0) NRW_FAIL(im->err, NRW_ERR_FORMAT, "an initializer has no name");
    nrw_value *v = nrw_map_get(&s->values, name.data, name.size);
    if (v != NULL && v->data != NULL) {
        NRW_FAIL(im->err, NRW_ERR_FORMAT, "initializer '%s' is given twice", v->name);
    }
    if (v != NULL && ignores_default(g)) return NRW_OK;
    if (v == NULL) NRW_TRY(nrw_onnx_declare(im, s, name, &v));
    nrw_tensor *copy = nrw_arena_dup(&im->model->arena, &t, sizeof t);
    if (copy == NULL) NRW_OOM(im->err);
    v->data = copy;
    /* An input that may be overridden keeps its own, perhaps less exact, dims. */
    if (!v->is_input || v->type.dtype != t.dtype || v->type.kind != NRW_TENSOR) {
        v->type = nrw_type_of(&t);
    }
    v->raw_type = (nrw_string){0};
    return NRW_OK;
}

static nrw_status read_output(nrw_onnx_importer *im, nrw_onnx_scope *s, const nrw_pb *r,
                              const nrw_pb_field *f) {
    nrw_string name, type;
    NRW_TRY(read_value_info(im, r, f, &name, &type));
    nrw_value *v = name.size > 0 ? nrw_onnx_lookup(s, name) : NULL;
    if (v == NULL || (const char *)v == nrw_onnx_omitted) {
        NRW_FAIL(im->err, NRW_ERR_FORMAT, "output '%.*s' is made by no node",
                 (int)(name.size < 200 ? name.size : 200), name.data);
    }
    bool known = v->type.dtype != NRW_NONE && v->type.rank != NRW_RANK_UNKNOWN;
    if (v->data == NULL && !known && v->raw_type.size == 0) {
        NRW_TRY_CTX(im->err, nrw_onnx_read_type_into(im, type, v), "output '%s'", v->name);
    }
    return nrw_graph_add_output(s->names->graph, v, im->err);
}

/* Inputs first, since initializers may be defaults for them; value_info before anything is
 * declared. */
static nrw_status read_declarations(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_pb r) {
    nrw_graph *g = s->names->graph;
    nrw_pb_field f;
    nrw_value **inputs = NULL;
    size_t n = 0, cap = 0;
    for (nrw_pb at = r;;) {
        NRW_TRY(nrw_pb_next(&at, &f, im->err));
        if (f.number == 0) break;
        if (f.number == GRAPH_VALUE_INFO) NRW_TRY(note_info(im, s, &at, &f));
    }
    for (nrw_pb at = r;;) {
        NRW_TRY(nrw_pb_next(&at, &f, im->err));
        if (f.number == 0) break;
        if (f.number != GRAPH_INPUT) continue;
        if (!nrw_arena_grow(&im->scratch, (void **)&inputs, &cap, n + 1, sizeof *inputs)) {
            NRW_OOM(im->err);
        }
        NRW_TRY(read_input(im, s, &at, &f, &inputs[n++]));
        if (takes_default(g) || g->parent != NULL) inputs[n - 1]->is_input = true;
    }
    for (nrw_pb at = r;;) {
        NRW_TRY(nrw_pb_next(&at, &f, im->err));
        if (f.number == 0) break;
        if (f.number != GRAPH_INITIALIZER && f.number != GRAPH_SPARSE_INITIALIZER) continue;
        NRW_TRY(read_initializer(im, s, &at, &f));
    }
    for (size_t i = 0; i < n; i++) {
        if (inputs[i]->is_input || inputs[i]->data == NULL) {
            NRW_TRY(nrw_graph_add_input(g, inputs[i], im->err));
        }
    }
    return NRW_OK;
}

/* Before any node is made: those that are made on the way get names of their own. */
static void note_names(nrw_model *m, const nrw_onnx_raw_node *nodes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        nrw_model_note_name(m, nodes[i].name.data, nodes[i].name.size);
        for (size_t k = 0; k < nodes[i].n_outputs; k++) {
            nrw_model_note_name(m, nodes[i].outputs[k].data, nodes[i].outputs[k].size);
        }
    }
}

static nrw_status read_contents(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_pb r) {
    nrw_graph *g = s->names->graph;
    nrw_onnx_raw_node *nodes = NULL;
    size_t n = 0, cap = 0;
    nrw_pb_field f;
    NRW_TRY(read_declarations(im, s, r));
    for (nrw_pb at = r;;) {
        NRW_TRY(nrw_pb_next(&at, &f, im->err));
        if (f.number == 0) break;
        if (f.number == GRAPH_NODE) {
            NRW_TRY(nrw_onnx_take_apart(im, &at, &f, &nodes, &n, &cap));
        } else if (f.number == GRAPH_NAME) {
            nrw_string name;
            NRW_TRY(nrw_pb_string(&f, "name", &name, im->err));
            NRW_TRY(nrw_onnx_text(&im->model->arena, name, "the graph's name", &g->name, im->err));
        }
    }
    note_names(im->model, nodes, n);
    NRW_TRY(nrw_onnx_make_nodes(im, s, nodes, n));
    for (nrw_pb at = r;;) {
        NRW_TRY(nrw_pb_next(&at, &f, im->err));
        if (f.number == 0) return NRW_OK;
        if (f.number == GRAPH_OUTPUT) NRW_TRY(read_output(im, s, &at, &f));
    }
}

nrw_status nrw_onnx_read_graph(nrw_onnx_importer *im, nrw_pb r, nrw_graph *g,
                               nrw_onnx_scope *parent) {
    /* Scopes outlive this call: attributes of calls point to them. */
    nrw_onnx_scope *s = nrw_arena_alloc(&im->scratch, sizeof *s);
    nrw_onnx_names *names = nrw_arena_alloc(&im->scratch, sizeof *names);
    if (s == NULL || names == NULL) NRW_OOM(im->err);
    if (im->depth == max_depth) {
        NRW_FAIL(im->err, NRW_ERR_UNSUPPORTED, "graphs and functions nest deeper than %d",
                 max_depth);
    }
    *names = (nrw_onnx_names){.parent = parent != NULL ? parent->names : NULL, .graph = g};
    nrw_map_init(&names->values, &im->scratch);
    nrw_onnx_scope_init(im, s, parent, names);
    im->depth++;
    nrw_status st = read_contents(im, s, r);
    im->depth--;
    return st;
}

/* Models. */

int64_t nrw_onnx_opset_of(const nrw_onnx_opsets *o, const char *domain) {
    for (size_t i = 0; i < o->n; i++) {
        if (strcmp(o->list[i].domain, domain) == 0) return o->list[i].version;
    }
    return 0;
}

nrw_status nrw_onnx_read_opset(const nrw_pb *r, const nrw_pb_field *f, nrw_arena *arena,
                               nrw_onnx_opsets *out, nrw_error *err) {
    nrw_pb inner;
    nrw_pb_field e;
    nrw_string domain = {"", 0};
    nrw_opset o = {0};
    NRW_TRY(nrw_pb_enter(r, f, "opset_import", &inner, err));
    for (;;) {
        NRW_TRY(nrw_pb_next(&inner, &e, err));
        if (e.number == 0) break;
        if (e.number == OPSET_DOMAIN) NRW_TRY(nrw_pb_string(&e, "domain", &domain, err));
        if (e.number == OPSET_VERSION) NRW_TRY(nrw_pb_int(&e, "version", &o.version, err));
    }
    NRW_TRY(nrw_onnx_text(arena, domain, "a domain", &o.domain, err));
    if (strcmp(o.domain, "ai.onnx") == 0) o.domain = "";
    if (o.version < 0 || o.version > INT32_MAX) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "opset version %" PRId64 " of domain '%s' is impossible",
                 o.version, o.domain);
    }
    if (out->n == max_opsets) NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "more than 256 opset imports");
    if (!nrw_arena_grow(arena, (void **)&out->list, &out->cap, out->n + 1, sizeof o)) NRW_OOM(err);
    out->list[out->n++] = o;
    return NRW_OK;
}

static nrw_status read_metadata(nrw_onnx_importer *im, const nrw_pb *r, const nrw_pb_field *f,
                                nrw_string **list, size_t *cap) {
    nrw_pb inner;
    nrw_pb_field e;
    nrw_model *m = im->model;
    if (m->n_metadata == INT32_MAX / 2) return NRW_OK;
    if (!nrw_arena_grow(&m->arena, (void **)list, cap, 2 * (size_t)m->n_metadata + 2,
                        sizeof **list)) {
        NRW_OOM(im->err);
    }
    nrw_string *key = *list + 2 * m->n_metadata++;
    key[0] = key[1] = (nrw_string){"", 0};
    NRW_TRY(nrw_pb_enter(r, f, "metadata", &inner, im->err));
    for (;;) {
        NRW_TRY(nrw_pb_next(&inner, &e, im->err));
        if (e.number == 0) return NRW_OK;
        if (e.number == ENTRY_KEY) NRW_TRY(nrw_pb_string(&e, "key", &key[0], im->err));
        if (e.number == ENTRY_VALUE) NRW_TRY(nrw_pb_string(&e, "value", &key[1], im->err));
    }
}

static nrw_status read_text(nrw_onnx_importer *im, const nrw_pb_field *f, const char *what,
                            const char **out) {
    nrw_string s;
    NRW_TRY(nrw_pb_string(f, what, &s, im->err));
    return nrw_onnx_text(&im->model->arena, s, what, out, im->err);
}

/* Everything but the graph, whose message is noted. */
static nrw_status read_header(nrw_onnx_importer *im, nrw_pb r, nrw_pb *graph, bool *has_graph) {
    nrw_model *m = im->model;
    nrw_pb_field f;
    nrw_string *metadata = NULL;
    size_t cap = 0;
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, im->err));
        switch (f.number) {
        case 0:
            m->metadata = metadata;
            return NRW_OK;
        case MODEL_IR_VERSION:
            NRW_TRY(nrw_pb_int(&f, "ir_version", &m->ir_version, im->err));
            break;
        case MODEL_PRODUCER_NAME:
            NRW_TRY(read_text(im, &f, "producer", &m->producer_name));
            break;
        case MODEL_PRODUCER_VERSION:
            NRW_TRY(read_text(im, &f, "producer_version", &m->producer_version));
            break;
        case MODEL_DOMAIN:
            NRW_TRY(read_text(im, &f, "domain", &m->domain));
            break;
        case MODEL_VERSION:
            NRW_TRY(nrw_pb_int(&f, "model_version", &m->model_version, im->err));
            break;
        case MODEL_DOC:
            NRW_TRY(read_text(im, &f, "doc_string", &m->doc));
            break;
        case MODEL_GRAPH:
            NRW_TRY(nrw_pb_enter(&r, &f, "graph", graph, im->err));
            *has_graph = true;
            break;
        case MODEL_OPSET_IMPORT:
            NRW_TRY(nrw_onnx_read_opset(&r, &f, &im->scratch, &im->opsets, im->err));
            break;
        case MODEL_METADATA:
            NRW_TRY(read_metadata(im, &r, &f, &metadata, &cap));
            break;
        case MODEL_FUNCTIONS:
            NRW_TRY(nrw_onnx_note_function(im, &r, &f));
            break;
        default:
            break;
        }
    }
}

/* A file from before opsets were imported (IR version 2 and earlier) means version 1. */
static nrw_status settle_opsets(nrw_onnx_importer *im) {
    enum { first_with_opsets = 3 };
    nrw_model *m = im->model;
    if (im->opsets.n == 0 && m->ir_version >= first_with_opsets) {
        NRW_FAIL(im->err, NRW_ERR_FORMAT, "the model imports no opset");
    }
    if (im->opsets.n == 0) NRW_TRY(nrw_model_set_opset(m, "", 1, im->err));
    for (size_t i = 0; i < im->opsets.n; i++) {
        const nrw_opset *o = &im->opsets.list[i];
        NRW_TRY(nrw_model_set_opset(m, o->domain, o->version, im->err));
    }
    im->versions.model = nrw_model_opset(m, "");
    return NRW_OK;
}

/* Lengths that a file claims for what known operators make are found out anew: nothing checks the
 * claims, and what is derived from them (Shape, say) would be wrong in silence. */
static nrw_status forget_claims(nrw_graph *g, void *user, nrw_error *err) {
    (void)user, (void)err;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; n->op != NULL && i < n->n_outputs; i++) {
            nrw_value *v = n->outputs[i];
            if (v == NULL || nrw_value_is_graph_output(v)) continue;
            for (int k = 0; k < v->type.rank; k++) {
                if (v->type.dims[k] >= 0) v->type.dims[k] = NRW_DIM_UNKNOWN;
            }
        }
    }
    return NRW_OK;
}

/* Nodes without a name get one when all that the file gives are known. */
static nrw_status name_nodes(nrw_graph *g, void *user, nrw_error *err) {
    (void)user;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        if (!n->nameless) continue;
        n->name = nrw_model_made_up_name(g->model, n->type);
        if (n->name == NULL) NRW_OOM(err);
    }
    return NRW_OK;
}

static nrw_status read_model(nrw_onnx_importer *im, nrw_pb r) {
    nrw_pb graph;
    bool has_graph = false;
    NRW_TRY(read_header(im, r, &graph, &has_graph));
    if (!has_graph) NRW_FAIL(im->err, NRW_ERR_FORMAT, "no graph in it; is this an ONNX model?");
    NRW_TRY(settle_opsets(im));
    NRW_TRY(nrw_onnx_read_graph(im, graph, im->model->graph, NULL));
    NRW_TRY(nrw_graph_sort(im->model->graph, im->err));
    NRW_TRY(nrw_onnx_upgrade(im->model, &im->versions, im->err));
    NRW_TRY(nrw_each_graph(im->model->graph, name_nodes, NULL, im->err));
    return nrw_each_graph(im->model->graph, forget_claims, NULL, im->err);
}

static nrw_status import(nrw_model *m, const char *path, nrw_mapping bytes, nrw_error *err) {
    enum { free_budget = 16 << 20, budget_per_byte = 8 };
    nrw_onnx_importer im = {.model = m, .err = err};
    m->format = "onnx";
    nrw_arena_init(&im.scratch, m->arena.allocator);
    nrw_onnx_source_init(&im.source, &m->arena, &im.scratch);
    im.source.path = path;
    im.source.model = m;
    im.symbols.model = m;
    im.budget = free_budget + budget_per_byte * (uint64_t)bytes.size;
    nrw_map_init(&im.symbols.known, &im.scratch);
    nrw_map_init(&im.versions.exceptions, &im.scratch);
    nrw_map_init(&im.taken, &im.scratch);
    nrw_map_init(&im.node_names, &im.scratch);
    nrw_map_init(&im.functions, &im.scratch);
    nrw_status st = read_model(&im, nrw_pb_open(bytes.data, bytes.size));
    nrw_arena_free(&im.scratch);
    return st;
}

nrw_status nrw_onnx_load(const nrw_context *c, const char *path, nrw_model **out, nrw_error *err) {
    return nrw_load_mapped(c, path, import, out, err);
}

nrw_status nrw_onnx_load_bytes(const nrw_context *c, const void *bytes, size_t size,
                               nrw_model **out, nrw_error *err) {
    return nrw_load_copied(c, bytes, size, import, out, err);
}
