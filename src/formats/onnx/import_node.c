/* Nodes and their attributes. */
#include <inttypes.h>
#include <string.h>

#include "formats/onnx/import.h"

enum { max_attrs = 1024 };

#define SHOWN(s) (int)((s).size < 200 ? (s).size : 200), (s).data

static bool grow(nrw_onnx_importer *im, nrw_string **list, size_t n, size_t *cap) {
    return nrw_arena_grow(&im->scratch, (void **)list, cap, n + 1, sizeof **list);
}

static nrw_status take_fields(nrw_onnx_importer *im, nrw_pb r, nrw_onnx_raw_node *n) {
    nrw_pb_field f;
    size_t cap_in = 0, cap_out = 0;
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, im->err));
        switch (f.number) {
        case 0:
            return NRW_OK;
        case NODE_INPUT:
            if (!grow(im, &n->inputs, n->n_inputs, &cap_in)) NRW_OOM(im->err);
            NRW_TRY(nrw_pb_string(&f, "input", &n->inputs[n->n_inputs++], im->err));
            break;
        case NODE_OUTPUT:
            if (!grow(im, &n->outputs, n->n_outputs, &cap_out)) NRW_OOM(im->err);
            NRW_TRY(nrw_pb_string(&f, "output", &n->outputs[n->n_outputs++], im->err));
            break;
        case NODE_NAME:
            NRW_TRY(nrw_pb_string(&f, "name", &n->name, im->err));
            break;
        case NODE_OP_TYPE:
            NRW_TRY(nrw_pb_string(&f, "op_type", &n->type, im->err));
            break;
        case NODE_DOMAIN:
            NRW_TRY(nrw_pb_string(&f, "domain", &n->domain, im->err));
            break;
        case NODE_OVERLOAD:
            NRW_TRY(nrw_pb_string(&f, "overload", &n->overload, im->err));
            break;
        default:
            break;
        }
    }
}

nrw_status nrw_onnx_take_apart(nrw_onnx_importer *im, const nrw_pb *r, const nrw_pb_field *f,
                               nrw_onnx_raw_node **nodes, size_t *n, size_t *cap) {
    static const nrw_string none = {"", 0};
    nrw_onnx_raw_node node = {.name = none, .type = none, .domain = none, .overload = none};
    NRW_TRY(nrw_pb_enter(r, f, "node", &node.message, im->err));
    NRW_TRY_CTX(im->err, take_fields(im, node.message, &node), "node '%.*s'", SHOWN(node.name));
    if (nrw_onnx_is(node.domain, "ai.onnx")) node.domain = none;
    if (!nrw_arena_grow(&im->scratch, (void **)nodes, cap, *n + 1, sizeof node)) NRW_OOM(im->err);
    (*nodes)[(*n)++] = node;
    return NRW_OK;
}

/* Attributes. */

/* An attribute's message, taken apart but for its values. */
typedef struct raw_attr {
    nrw_pb message;
    nrw_string name, ref;
    int64_t kind;
    uint32_t value_field; /* the first field that holds a value */
} raw_attr;

static nrw_status read_raw_attr(nrw_pb r, raw_attr *a, nrw_error *err) {
    nrw_pb_field f;
    *a = (raw_attr){.message = r, .name = {"", 0}, .ref = {"", 0}};
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        switch (f.number) {
        case 0:
            return NRW_OK;
        case ATTR_NAME:
            NRW_TRY(nrw_pb_string(&f, "name", &a->name, err));
            break;
        case ATTR_REF:
            NRW_TRY(nrw_pb_string(&f, "ref_attr_name", &a->ref, err));
            break;
        case ATTR_TYPE:
            NRW_TRY(nrw_pb_int(&f, "type", &a->kind, err));
            break;
        case ATTR_F:
        case ATTR_I:
        case ATTR_S:
        case ATTR_T:
        case ATTR_G:
        case ATTR_FLOATS:
        case ATTR_INTS:
        case ATTR_STRINGS:
        case ATTR_TENSORS:
        case ATTR_GRAPHS:
        case ATTR_TP:
        case ATTR_TYPE_PROTOS:
        case ATTR_SPARSE:
        case ATTR_SPARSES:
            if (a->value_field == 0) a->value_field = f.number;
            break;
        default:
            break;
        }
    }
}

/* Old files state no kind: the field that is there tells it. */
static int64_t kind_of(const raw_attr *a) {
    static const struct {
        uint32_t field;
        int64_t kind;
    } kinds[] = {
        {ATTR_F, KIND_FLOAT},
        {ATTR_I, KIND_INT},
        {ATTR_S, KIND_STRING},
        {ATTR_T, KIND_TENSOR},
        {ATTR_G, KIND_GRAPH},
        {ATTR_FLOATS, KIND_FLOATS},
        {ATTR_INTS, KIND_INTS},
        {ATTR_STRINGS, KIND_STRINGS},
        {ATTR_TENSORS, KIND_TENSORS},
        {ATTR_GRAPHS, KIND_GRAPHS},
        {ATTR_SPARSE, KIND_SPARSE_TENSOR},
        {ATTR_SPARSES, KIND_SPARSE_TENSORS},
        {ATTR_TP, KIND_TYPE_PROTO},
        {ATTR_TYPE_PROTOS, KIND_TYPE_PROTOS},
    };
    if (a->kind != 0) return a->kind;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].field == a->value_field) return kinds[i].kind;
    }
    return 0;
}

nrw_status nrw_onnx_resolve(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_pb message,
                            nrw_string *name, nrw_onnx_given *out, bool *found) {
    raw_attr a;
    NRW_TRY(read_raw_attr(message, &a, im->err));
    *name = a.name;
    *out = (nrw_onnx_given){message, s};
    *found = true;
    if (a.ref.size == 0) return NRW_OK;
    const nrw_onnx_given *given =
        s->given != NULL ? nrw_map_get(s->given, a.ref.data, a.ref.size) : NULL;
    *found = given != NULL;
    if (given != NULL) *out = *given;
    return NRW_OK;
}

/* Counts the fields of a plural attribute. */
static nrw_status count_fields(nrw_pb r, uint32_t number, size_t *n, nrw_error *err) {
    nrw_pb_field f;
    for (*n = 0;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        if (f.number == 0) return NRW_OK;
        *n += f.number == number;
    }
}

static nrw_status read_numbers(nrw_onnx_importer *im, nrw_pb message, uint32_t number,
                               nrw_pb_wire wire, void **out, int64_t *count) {
    nrw_pb_numbers n = {.wire = wire};
    for (int pass = 0; pass < 2; pass++) {
        nrw_pb r = message;
        nrw_pb_field f;
        n.count = 0;
        for (;;) {
            NRW_TRY(nrw_pb_next(&r, &f, im->err));
            if (f.number == 0) break;
            if (f.number == number) NRW_TRY(nrw_pb_collect(&n, &f, "numbers", im->err));
        }
        if (pass > 0) break;
        n.cap = n.count;
        n.out = nrw_arena_calloc(&im->scratch, n.cap + 1, wire == NRW_PB_FIXED32 ? 4 : 8);
        if (n.out == NULL) NRW_OOM(im->err);
    }
    *out = n.out;
    *count = (int64_t)n.count;
    return NRW_OK;
}

static nrw_status read_body(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_pb message,
                            nrw_graph **out) {
    *out = nrw_graph_new(im->model, s->names->graph, NULL);
    if (*out == NULL) NRW_OOM(im->err);
    return nrw_onnx_read_graph(im, message, *out, s);
}

/* Fields whose payloads are strings or messages: one (the last counts) or many. */
static nrw_status read_payloads(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_pb message,
                                uint32_t number, nrw_attr *a) {
    nrw_pb_field f;
    nrw_pb inner;
    size_t n, i = 0;
    nrw_string *strings = NULL;
    nrw_tensor *tensors = NULL;
    nrw_graph **graphs = NULL;
    NRW_TRY(count_fields(message, number, &n, im->err));
    if (number == ATTR_S || number == ATTR_STRINGS) {
        a->strings = strings = nrw_arena_calloc(&im->scratch, n + 1, sizeof *strings);
    } else if (number == ATTR_G || number == ATTR_GRAPHS) {
        a->graphs = graphs = nrw_arena_calloc(&im->scratch, n + 1, sizeof(nrw_graph *));
    } else {
        a->tensor = tensors = nrw_arena_calloc(&im->model->arena, n + 1, sizeof *tensors);
    }
    if (strings == NULL && tensors == NULL && graphs == NULL) NRW_OOM(im->err);
    a->n = (int64_t)n;
    for (;;) {
        NRW_TRY(nrw_pb_next(&message, &f, im->err));
        if (f.number == 0) return NRW_OK;
        if (f.number != number) continue;
        NRW_TRY(nrw_pb_enter(&message, &f, "value", &inner, im->err));
        if (strings != NULL) strings[i] = f.bytes;
        if (graphs != NULL) NRW_TRY(read_body(im, s, inner, &graphs[i]));
        if (tensors != NULL && number == ATTR_SPARSE) {
            NRW_TRY(nrw_onnx_sparse(&im->source, inner, &tensors[i], NULL, im->err));
        } else if (tensors != NULL) {
            NRW_TRY(nrw_onnx_tensor(&im->source, inner, &tensors[i], NULL, im->err));
        }
        i++;
    }
}

/* An attribute with one payload, from what read_payloads found. */
static nrw_status only_one(nrw_attr *a, nrw_error *err) {
    if (a->n != 1) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "expected one value, got %" PRId64, a->n);
    }
    if (a->type == NRW_ATTR_STRING) a->s = a->strings[0];
    if (a->type == NRW_ATTR_GRAPH) a->graph = a->graphs[0];
    return NRW_OK;
}

static nrw_status read_scalar(nrw_pb r, nrw_attr *a, nrw_error *err) {
    nrw_pb_field f;
    a->n = 1;
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        if (f.number == 0) return NRW_OK;
        if (f.number == ATTR_I && a->type == NRW_ATTR_INT) NRW_TRY(nrw_pb_int(&f, "i", &a->i, err));
        if (f.number == ATTR_F && a->type == NRW_ATTR_FLOAT) {
            NRW_TRY(nrw_pb_float(&f, "f", &a->f, err));
        }
    }
}

/* Reads the value; a->name is set by the caller. */
static nrw_status read_value(nrw_onnx_importer *im, nrw_onnx_given given, nrw_attr *a) {
    raw_attr raw;
    void *numbers;
    nrw_pb m = given.message;
    NRW_TRY(read_raw_attr(m, &raw, im->err));
    int64_t kind = kind_of(&raw);
    switch (kind) {
    case KIND_FLOAT:
        a->type = NRW_ATTR_FLOAT;
        return read_scalar(m, a, im->err);
    case KIND_INT:
        a->type = NRW_ATTR_INT;
        return read_scalar(m, a, im->err);
    case KIND_FLOATS:
        a->type = NRW_ATTR_FLOATS;
        NRW_TRY(read_numbers(im, m, ATTR_FLOATS, NRW_PB_FIXED32, &numbers, &a->n));
        a->floats = numbers;
        return NRW_OK;
    case KIND_INTS:
        a->type = NRW_ATTR_INTS;
        NRW_TRY(read_numbers(im, m, ATTR_INTS, NRW_PB_VARINT, &numbers, &a->n));
        a->ints = numbers;
        return NRW_OK;
    case KIND_STRING:
        a->type = NRW_ATTR_STRING;
        if (raw.value_field == 0) { /* writers may leave an empty string out */
            *a = (nrw_attr){.type = NRW_ATTR_STRING, .n = 1, .s = {"", 0}};
            return NRW_OK;
        }
        NRW_TRY(read_payloads(im, given.scope, m, ATTR_S, a));
        return only_one(a, im->err);
    case KIND_TENSOR:
        a->type = NRW_ATTR_TENSOR;
        NRW_TRY(read_payloads(im, given.scope, m, ATTR_T, a));
        return only_one(a, im->err);
    case KIND_GRAPH:
        a->type = NRW_ATTR_GRAPH;
        NRW_TRY(read_payloads(im, given.scope, m, ATTR_G, a));
        return only_one(a, im->err);
    case KIND_STRINGS:
        a->type = NRW_ATTR_STRINGS;
        return read_payloads(im, given.scope, m, ATTR_STRINGS, a);
    case KIND_TENSORS:
        a->type = NRW_ATTR_TENSORS;
        return read_payloads(im, given.scope, m, ATTR_TENSORS, a);
    case KIND_GRAPHS:
        a->type = NRW_ATTR_GRAPHS;
        return read_payloads(im, given.scope, m, ATTR_GRAPHS, a);
    default:
        a->type = NRW_ATTR_RAW;
        a->n = 1;
        a->s = (nrw_string){(const char *)m.at, (size_t)(m.end - m.at)};
        return NRW_OK;
    }
}

static nrw_status read_attrs(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_pb r, nrw_node *n) {
    nrw_pb_field f;
    for (;;) {
        nrw_pb message;
        nrw_string name;
        nrw_onnx_given given;
        bool found;
        nrw_attr a = {0};
        NRW_TRY(nrw_pb_next(&r, &f, im->err));
        if (f.number == 0) return NRW_OK;
        if (f.number != NODE_ATTRIBUTE) continue;
        NRW_TRY(nrw_pb_enter(&r, &f, "attribute", &message, im->err));
        NRW_TRY(nrw_onnx_resolve(im, s, message, &name, &given, &found));
        if (!found) continue;
        NRW_TRY(nrw_onnx_text(&im->scratch, name, "an attribute's name", &a.name, im->err));
        if (nrw_node_attr(n, a.name) != NULL) {
            NRW_FAIL(im->err, NRW_ERR_FORMAT, "attribute '%s' is given twice", a.name);
        }
        if (n->n_attrs == max_attrs) {
            NRW_FAIL(im->err, NRW_ERR_UNSUPPORTED, "more than %d attributes", max_attrs);
        }
        const char *attr_name = a.name;
        NRW_TRY_CTX(im->err, read_value(im, given, &a), "attribute '%s'", attr_name);
        a.name = attr_name;
        NRW_TRY(nrw_node_set_attr(n, &a, im->err));
    }
}

/* Constant nodes. */

static nrw_status vector_of(nrw_onnx_importer *im, nrw_dtype dtype, int rank, int64_t n,
                            const void *src, nrw_tensor *t) {
    NRW_TRY(nrw_tensor_new(&im->model->arena, dtype, rank, &n, t, im->err));
    size_t bytes = nrw_tensor_bytes(t);
    if (bytes > 0) memcpy(t->data, src, bytes);
    return NRW_OK;
}

/* Strings live in the file's bytes, as long as the model. */
static nrw_status constant_from(nrw_onnx_importer *im, const char *name, const nrw_attr *a,
                                nrw_tensor *t, bool *ok) {
    *ok = true;
    if (strcmp(name, "value") == 0 && a->type == NRW_ATTR_TENSOR) {
        *t = *a->tensor;
        return NRW_OK;
    }
    if (strcmp(name, "value_int") == 0 && a->type == NRW_ATTR_INT) {
        return vector_of(im, NRW_I64, 0, 1, &a->i, t);
    }
    if (strcmp(name, "value_float") == 0 && a->type == NRW_ATTR_FLOAT) {
        return vector_of(im, NRW_F32, 0, 1, &a->f, t);
    }
    if (strcmp(name, "value_string") == 0 && a->type == NRW_ATTR_STRING) {
        return vector_of(im, NRW_STRING, 0, 1, &a->s, t);
    }
    if (strcmp(name, "value_ints") == 0 && a->type == NRW_ATTR_INTS) {
        return vector_of(im, NRW_I64, 1, a->n, a->ints, t);
    }
    if (strcmp(name, "value_floats") == 0 && a->type == NRW_ATTR_FLOATS) {
        return vector_of(im, NRW_F32, 1, a->n, a->floats, t);
    }
    if (strcmp(name, "value_strings") == 0 && a->type == NRW_ATTR_STRINGS) {
        return vector_of(im, NRW_STRING, 1, a->n, a->strings, t);
    }
    *ok = false;
    return NRW_OK;
}

static nrw_status read_constant(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_pb r, nrw_tensor *t) {
    nrw_pb_field f;
    bool done = false;
    for (;;) {
        nrw_pb message;
        nrw_string name;
        nrw_onnx_given given;
        bool found;
        const char *text;
        nrw_attr a = {0};
        NRW_TRY(nrw_pb_next(&r, &f, im->err));
        if (f.number == 0) break;
        if (f.number != NODE_ATTRIBUTE) continue;
        NRW_TRY(nrw_pb_enter(&r, &f, "attribute", &message, im->err));
        NRW_TRY(nrw_onnx_resolve(im, s, message, &name, &given, &found));
        if (!found) continue;
        if (done) NRW_FAIL(im->err, NRW_ERR_FORMAT, "a Constant with several values");
        done = true;
        NRW_TRY(nrw_onnx_text(&im->scratch, name, "an attribute's name", &text, im->err));
        if (strcmp(text, "sparse_value") == 0) {
            a.type = NRW_ATTR_TENSOR;
            NRW_TRY_CTX(im->err, read_payloads(im, s, given.message, ATTR_SPARSE, &a), "%s", text);
            NRW_TRY(only_one(&a, im->err));
            *t = *a.tensor;
            continue;
        }
        bool ok;
        NRW_TRY_CTX(im->err, read_value(im, given, &a), "attribute '%s'", text);
        NRW_TRY(constant_from(im, text, &a, t, &ok));
        if (!ok) NRW_FAIL(im->err, NRW_ERR_FORMAT, "attribute '%s' cannot be its value", text);
    }
    if (!done) NRW_FAIL(im->err, NRW_ERR_FORMAT, "a Constant without a value");
    return NRW_OK;
}

static nrw_status make_constant(nrw_onnx_importer *im, nrw_onnx_scope *s,
                                const nrw_onnx_raw_node *raw, nrw_value *v) {
    nrw_tensor *t = nrw_arena_calloc(&im->model->arena, 1, sizeof *t);
    if (t == NULL) NRW_OOM(im->err);
    NRW_TRY(read_constant(im, s, raw->message, t));
    v->data = t;
    v->type = nrw_type_of(t);
    v->raw_type = (nrw_string){0};
    return NRW_OK;
}

/* Nodes. */

static nrw_status note_version(nrw_onnx_importer *im, const nrw_onnx_scope *s, nrw_node *n) {
    int64_t version = nrw_onnx_opset_of(s->opsets, "");
    if (s->opsets == &im->opsets || version == im->versions.model || version == 0) return NRW_OK;
    nrw_onnx_exception *e = nrw_arena_alloc(&im->scratch, sizeof *e);
    if (e == NULL) NRW_OOM(im->err);
    *e = (nrw_onnx_exception){n, version};
    if (!nrw_map_put(&im->versions.exceptions, (const char *)&e->node, sizeof e->node, e)) {
        NRW_OOM(im->err);
    }
    return NRW_OK;
}

static nrw_status link_inputs(nrw_onnx_importer *im, nrw_onnx_scope *s,
                              const nrw_onnx_raw_node *raw, nrw_node *n) {
    for (size_t i = 0; i < raw->n_inputs; i++) {
        if (raw->inputs[i].size == 0) continue;
        nrw_value *v = nrw_onnx_lookup(s, raw->inputs[i]);
        if (v == NULL) {
            NRW_FAIL(im->err, NRW_ERR_FORMAT,
                     "input '%.*s' is made by no node, input or initializer",
                     SHOWN(raw->inputs[i]));
        }
        if ((const char *)v == nrw_onnx_omitted) continue;
        NRW_TRY(nrw_node_set_input(n, (int)i, v, im->err));
    }
    return NRW_OK;
}

static nrw_status make_node(nrw_onnx_importer *im, nrw_onnx_scope *s, const nrw_onnx_raw_node *raw,
                            const char *name) {
    const char *type, *domain;
    if (raw->type.size == 0) NRW_FAIL(im->err, NRW_ERR_FORMAT, "it has no operator");
    NRW_TRY(nrw_onnx_text(&im->scratch, raw->type, "op_type", &type, im->err));
    NRW_TRY(nrw_onnx_text(&im->scratch, raw->domain, "domain", &domain, im->err));
    if (raw->n_inputs > INT32_MAX / 2 || raw->n_outputs > INT32_MAX / 2) {
        NRW_FAIL(im->err, NRW_ERR_UNSUPPORTED, "too many inputs or outputs");
    }
    nrw_node *n = nrw_node_new(s->names->graph, nrw_op_find(type, domain), type, domain, name,
                               (int)raw->n_inputs, (int)raw->n_outputs, NULL);
    if (n == NULL) NRW_OOM(im->err);
    n->nameless = raw->name.size == 0;
    NRW_TRY(link_inputs(im, s, raw, n));
    for (size_t i = 0; i < raw->n_outputs; i++) {
        nrw_string out = raw->outputs[i];
        if (out.size > 0) {
            nrw_node_set_output(n, (int)i, nrw_map_get(&s->values, out.data, out.size));
        }
    }
    NRW_TRY(note_version(im, s, n));
    return read_attrs(im, s, raw->message, n);
}

/* The node's own name, prefixed in functions, unique; or one made from its operator for messages
 * while names are still being read. */
static nrw_status name_node(nrw_onnx_importer *im, const nrw_onnx_scope *s,
                            const nrw_onnx_raw_node *raw, const char **out) {
    enum { longest_type = 64 };
    const char *base;
    if (raw->name.size > 0) {
        NRW_TRY(nrw_onnx_text(&im->scratch, raw->name, "a node's name", &base, im->err));
    } else {
        size_t size = raw->type.size < longest_type ? raw->type.size : longest_type;
        *out =
            nrw_arena_printf(&im->scratch, "%.*s_%d", (int)size, raw->type.data, ++im->n_nameless);
        if (*out == NULL) NRW_OOM(im->err);
        return NRW_OK;
    }
    if (base != NULL && s->prefix != NULL) {
        base = nrw_arena_printf(&im->scratch, "%s/%s", s->prefix, base);
    }
    *out = base != NULL ? nrw_onnx_fresh(im, &im->node_names, base) : NULL;
    if (*out == NULL) NRW_OOM(im->err);
    return NRW_OK;
}

static bool is_constant(const nrw_onnx_raw_node *raw) {
    return raw->domain.size == 0 && nrw_onnx_is(raw->type, "Constant") && raw->n_outputs == 1 &&
           raw->outputs[0].size > 0;
}

static nrw_status make_one(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_onnx_raw_node raw) {
    nrw_onnx_function *function;
    const char *name;
    NRW_TRY(nrw_onnx_find_function(im, &raw, &function));
    if (function == NULL && is_constant(&raw)) {
        nrw_value *v = nrw_map_get(&s->values, raw.outputs[0].data, raw.outputs[0].size);
        NRW_TRY_CTX(im->err, make_constant(im, s, &raw, v), "node '%.*s' (Constant '%s')",
                    SHOWN(raw.name), v->name);
        return NRW_OK;
    }
    NRW_TRY(name_node(im, s, &raw, &name));
    if (function == NULL) {
        NRW_TRY_CTX(im->err, make_node(im, s, &raw, name), "node '%s' (%.*s)", name,
                    SHOWN(raw.type));
        return NRW_OK;
    }
    raw.name = (nrw_string){name, strlen(name)};
    return nrw_onnx_inline(im, s, &raw, function);
}

nrw_status nrw_onnx_make_nodes(nrw_onnx_importer *im, nrw_onnx_scope *s,
                               const nrw_onnx_raw_node *nodes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < nodes[i].n_outputs; k++) {
            nrw_string name = nodes[i].outputs[k];
            nrw_value *v;
            if (name.size == 0) continue;
            NRW_TRY_CTX(im->err, nrw_onnx_declare(im, s, name, &v), "node '%.*s' (%.*s)",
                        SHOWN(nodes[i].name), SHOWN(nodes[i].type));
        }
    }
    for (size_t i = 0; i < n; i++) NRW_TRY(make_one(im, s, nodes[i]));
    return NRW_OK;
}
