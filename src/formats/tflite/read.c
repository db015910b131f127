/* Models, subgraphs and operators. */
#include "formats/tflite/read.h"

#include <inttypes.h>
#include <string.h>

#include "formats/load.h"
#include "formats/tflite/rule.h"
#include "formats/tflite/tflite.h"
#include "passes/match.h"

enum { max_depth = 32, most_operators = 1 << 20 };

bool nrw_tflite_is(const void *bytes, size_t size) {
    return size >= 8 && memcmp((const char *)bytes + 4, NRW_TFLITE_IDENTIFIER, 4) == 0;
}

const char *nrw_tflite_fresh_name(nrw_tflite_reader *r, nrw_string base) {
    enum { longest = 1024 };
    const size_t n = base.size < longest ? base.size : longest;
    const void *zero = memchr(base.data, 0, n);
    const int shown = (int)(zero != NULL ? (size_t)((const char *)zero - base.data) : n);
    const char *name = shown > 0 ? nrw_arena_strndup(&r->scratch, base.data, (size_t)shown)
                                 : nrw_arena_strdup(&r->scratch, "t");
    while (name != NULL && nrw_map_get(&r->taken, name, strlen(name)) != NULL) {
        name = nrw_arena_printf(&r->scratch, "%.*s.%d", shown, base.data, r->made_up++);
    }
    return name != NULL && nrw_map_put(&r->taken, name, strlen(name), r) ? name : NULL;
}

/* Operators. */

typedef struct op_code {
    const nrw_tflite_builtin *builtin; /* NULL: custom */
    nrw_string custom;
} op_code;

static nrw_status read_code(nrw_tflite_reader *r, const nrw_fb_table *op, op_code *out) {
    const uint64_t index = (uint64_t)nrw_fb_int(op, OP_CODE, NRW_FB_U32, 0);
    *out = (op_code){NULL, {"", 0}};
    if (index >= r->codes.n)
        NRW_FAIL(r->err, NRW_ERR_FORMAT, "operator code %" PRIu64 " of %zu", index, r->codes.n);
    const nrw_fb_table t = nrw_fb_table_at(&r->codes, index);
    const int64_t before = nrw_fb_int(&t, CODE_OLD_BUILTIN, NRW_FB_I8, 0);
    const int64_t now = nrw_fb_int(&t, CODE_BUILTIN, NRW_FB_I32, 0);
    const int64_t code = now > before ? now : before;
    NRW_TRY(nrw_fb_check(&r->fb, r->err));
    if (code == NRW_TFLITE_CUSTOM) {
        out->custom = nrw_fb_text(&t, CODE_CUSTOM);
        return NRW_OK;
    }
    out->builtin = code == (int)code ? nrw_tflite_builtin_of((int)code) : NULL;
    if (out->builtin == NULL)
        NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "builtin operator %" PRId64 " is not known", code);
    return NRW_OK;
}

static nrw_status set_list(nrw_tflite_reader *r, nrw_node *n, const nrw_tflite_field *f,
                           const nrw_fb_table *t) {
    const bool wide = f->kind == 'L';
    const nrw_fb_vector v = nrw_fb_vec(t, f->slot, wide ? 8 : 4);
    if (!nrw_fb_has(t, f->slot)) return NRW_OK;
    int64_t *list = nrw_arena_calloc(&r->scratch, v.n + 1, sizeof *list);
    if (list == NULL) NRW_OOM(r->err);
    for (size_t i = 0; i < v.n; i++) list[i] = nrw_fb_int_at(&v, wide ? NRW_FB_I64 : NRW_FB_I32, i);
    return nrw_node_set_ints(n, f->name, (int64_t)v.n, list, r->err);
}

static nrw_status set_bytes(nrw_tflite_reader *r, nrw_node *n, const char *name, nrw_string s) {
    return nrw_node_set_attr(n, &(nrw_attr){.name = name, .type = NRW_ATTR_STRING, .n = 1, .s = s},
                             r->err);
}

static nrw_status set_floats(nrw_tflite_reader *r, nrw_node *n, const nrw_tflite_field *f,
                             const nrw_fb_table *t) {
    const nrw_fb_vector v = nrw_fb_vec(t, f->slot, 4);
    if (!nrw_fb_has(t, f->slot)) return NRW_OK;
    float *list = nrw_arena_calloc(&r->scratch, v.n + 1, sizeof *list);
    if (list == NULL) NRW_OOM(r->err);
    for (size_t i = 0; i < v.n; i++) list[i] = nrw_fb_f32_at(&v, i);
    const nrw_attr a = {
        .name = f->name, .type = NRW_ATTR_FLOATS, .n = (int64_t)v.n, .floats = list};
    return nrw_node_set_attr(n, &a, r->err);
}

/* The options' fields become attributes of the same name; those with their default are left out. */
static nrw_status read_options(nrw_tflite_reader *r, nrw_node *n, const nrw_tflite_builtin *b,
                               const nrw_fb_table *t) {
    const char *fields = b->fields;
    nrw_tflite_field f;
    int slot = 0;
    while (nrw_tflite_next_field(&fields, &slot, &f)) {
        nrw_status st = NRW_OK;
        const int64_t absent = (int64_t)f.absent;
        const nrw_fb_kind kind = f.kind == 'b'   ? NRW_FB_BOOL
                                 : f.kind == 'y' ? NRW_FB_I8
                                 : f.kind == 'i' ? NRW_FB_I32
                                                 : NRW_FB_I64;
        if (f.kind == 'f') {
            const float x = (float)nrw_fb_real(t, f.slot, NRW_FB_F32, f.absent);
            if (x != (float)f.absent) st = nrw_node_set_float(n, f.name, x, r->err);
        } else if (f.kind == 's' || f.kind == 'B') {
            if (nrw_fb_has(t, f.slot)) st = set_bytes(r, n, f.name, nrw_fb_bytes(t, f.slot));
        } else if (f.kind == 'F') {
            st = set_floats(r, n, &f, t);
        } else if (f.kind == 'I' || f.kind == 'L') {
            st = set_list(r, n, &f, t);
        } else {
            const int64_t x = nrw_fb_int(t, f.slot, kind, absent);
            if (x != absent) st = nrw_node_set_int(n, f.name, x, r->err);
        }
        NRW_TRY(st);
    }
    return nrw_fb_check(&r->fb, r->err);
}

static nrw_status read_custom_options(nrw_tflite_reader *r, nrw_node *n, const nrw_fb_table *op) {
    const uint64_t at = (uint64_t)nrw_fb_int(op, OP_LARGE_CUSTOM_OFFSET, NRW_FB_U64, 0);
    const uint64_t size = (uint64_t)nrw_fb_int(op, OP_LARGE_CUSTOM_SIZE, NRW_FB_U64, 0);
    nrw_string s = nrw_fb_bytes(op, OP_CUSTOM_OPTIONS);
    if (at > 1) {
        if (at > r->fb.size || size > r->fb.size - at)
            NRW_FAIL(r->err, NRW_ERR_FORMAT, "its options are not in the file");
        s = (nrw_string){(const char *)r->fb.data + at, size};
    }
    return set_bytes(r, n, "custom_options", s);
}

/* Intermediate tensors only carry parameters of quantization; they become inputs behind the
 * others. */
static nrw_status read_inputs(nrw_tflite_scope *s, nrw_node *n, const nrw_fb_vector *in,
                              const nrw_fb_vector *intermediates) {
    nrw_tflite_reader *r = s->reader;
    for (size_t i = 0; i < in->n + intermediates->n; i++) {
        const bool plain = i < in->n;
        const int64_t index = plain ? nrw_fb_int_at(in, NRW_FB_I32, i)
                                    : nrw_fb_int_at(intermediates, NRW_FB_I32, i - in->n);
        nrw_value *v = NULL;
        if (index == -1) continue;
        NRW_TRY(nrw_tflite_value(s, index, plain ? NRW_TFLITE_READ : NRW_TFLITE_SHOWN, &v));
        NRW_TRY(nrw_node_set_input(n, (int)i, v, r->err));
    }
    if (intermediates->n == 0) return NRW_OK;
    return nrw_node_set_int(n, "intermediates", (int64_t)intermediates->n, r->err);
}

int nrw_tflite_read_count(nrw_tflite_scope *s, const nrw_value *v) {
    if (s->reads == NULL) {
        s->reads = nrw_arena_calloc(&s->reader->scratch, s->tensors.n + 1, sizeof *s->reads);
        for (size_t i = 0; s->reads != NULL && i < s->operators.n; i++) {
            const nrw_fb_table op = nrw_fb_table_at(&s->operators, i);
            const nrw_fb_vector in = nrw_fb_vec(&op, OP_INPUTS, 4);
            for (size_t k = 0; k < in.n; k++) {
                const int64_t index = nrw_fb_int_at(&in, NRW_FB_I32, k);
                if (index >= 0 && (uint64_t)index < s->tensors.n) s->reads[index]++;
            }
        }
    }
    int n = 0;
    for (size_t i = 0; s->reads != NULL && i < s->tensors.n; i++)
        n += s->values[i] == v ? s->reads[i] : 0;
    return s->reads != NULL ? n : -1;
}

static nrw_status read_operator(nrw_tflite_scope *s, const nrw_fb_table *op) {
    nrw_tflite_reader *r = s->reader;
    const nrw_fb_vector in = nrw_fb_vec(op, OP_INPUTS, 4), out = nrw_fb_vec(op, OP_OUTPUTS, 4);
    const nrw_fb_vector inter = nrw_fb_vec(op, OP_INTERMEDIATES, 4);
    op_code code;
    NRW_TRY(read_code(r, op, &code));
    if (in.n + inter.n > INT16_MAX || out.n > INT16_MAX)
        NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "%zu inputs, %zu outputs", in.n, out.n);
    const char *type = code.builtin != NULL ? code.builtin->name
                                            : nrw_arena_strndup(&r->model->arena, code.custom.data,
                                                                code.custom.size);
    nrw_node *n = type != NULL ? nrw_node_new(s->graph, nrw_op_find(type, "tflite"), type, "tflite",
                                              NULL, (int)(in.n + inter.n), (int)out.n, NULL)
                               : NULL;
    if (n == NULL) NRW_OOM(r->err);
    if (code.builtin == NULL) NRW_TRY(nrw_node_set_int(n, "custom", 1, r->err));
    NRW_TRY(read_inputs(s, n, &in, &inter));
    for (size_t i = 0; i < out.n; i++) {
        const int64_t index = nrw_fb_int_at(&out, NRW_FB_I32, i);
        nrw_value *v;
        if (index == -1) continue;
        NRW_TRY(nrw_tflite_value(s, index, NRW_TFLITE_MADE, &v));
        nrw_node_set_output(n, (int)i, v);
    }
    if (code.builtin == NULL) {
        NRW_TRY(read_custom_options(r, n, op));
    } else {
        const bool second = code.builtin->options > 1000;
        const nrw_fb_table t = nrw_fb_child(op, second ? OP_OPTIONS2 : OP_OPTIONS);
        const int64_t type_of =
            nrw_fb_int(op, second ? OP_OPTIONS2_TYPE : OP_OPTIONS_TYPE, NRW_FB_U8, 0);
        /* Some operators have options of another one's kind where none are needed. */
        const nrw_fb_table none = {0};
        NRW_TRY(
            read_options(r, n, code.builtin, type_of == code.builtin->options % 1000 ? &t : &none));
    }
    return nrw_tflite_raise(s, n);
}

/* Subgraphs. */

static nrw_status read_inputs_of_graph(nrw_tflite_scope *s, const nrw_fb_table *t, int n_in,
                                       nrw_value *const *in) {
    nrw_tflite_reader *r = s->reader;
    const nrw_fb_vector inputs = nrw_fb_vec(t, GRAPH_INPUTS, 4);
    if (in != NULL && (size_t)n_in != inputs.n)
        NRW_FAIL(r->err, NRW_ERR_FORMAT, "a subgraph of %zu inputs is given %d", inputs.n, n_in);
    for (size_t i = 0; i < inputs.n; i++) {
        const int64_t index = nrw_fb_int_at(&inputs, NRW_FB_I32, i);
        nrw_value *v;
        if (in != NULL) {
            if (index < 0 || (uint64_t)index >= s->tensors.n)
                NRW_FAIL(r->err, NRW_ERR_FORMAT, "tensor %" PRId64 " of %zu", index, s->tensors.n);
            s->values[index] = in[i];
            continue;
        }
        NRW_TRY(nrw_tflite_value(s, index, NRW_TFLITE_MADE, &v));
        if (v->type.dtype == NRW_NONE)
            NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "input '%s': its type is not supported", v->name);
        v->as_integers = v->quant != NULL;
        NRW_TRY(nrw_graph_add_input(s->graph, v, r->err));
    }
    return NRW_OK;
}

static nrw_status read_nodes(nrw_tflite_scope *s, const nrw_fb_table *t) {
    nrw_tflite_reader *r = s->reader;
    const nrw_fb_vector ops = s->operators = nrw_fb_vec(t, GRAPH_OPERATORS, 4);
    NRW_TRY(nrw_fb_check(&r->fb, r->err));
    if (ops.n > r->operators)
        NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "more than %d operators", most_operators);
    r->operators -= ops.n;
    for (size_t i = 0; i < ops.n; i++) {
        const nrw_fb_table op = nrw_fb_table_at(&ops, i);
        op_code code = {0};
        nrw_status st = read_operator(s, &op);
        if (st == NRW_OK) continue;
        if (read_code(r, &op, &code) != NRW_OK)
            return nrw_error_prefix(r->err, st, "operator %zu", i);
        return nrw_error_prefix(r->err, st, "operator %zu (%s)", i,
                                code.builtin != NULL ? code.builtin->name : "custom");
    }
    return NRW_OK;
}

static nrw_status read_graph(nrw_tflite_scope *s, const nrw_fb_table *t, int n_in,
                             nrw_value *const *in, int *n_out, nrw_value ***out) {
    nrw_tflite_reader *r = s->reader;
    s->tensors = nrw_fb_vec(t, GRAPH_TENSORS, 4);
    NRW_TRY(nrw_fb_check(&r->fb, r->err));
    s->values = nrw_arena_calloc(&r->scratch, s->tensors.n + 1, sizeof *s->values);
    if (s->values == NULL) NRW_OOM(r->err);
    NRW_TRY(read_inputs_of_graph(s, t, n_in, in));
    NRW_TRY(read_nodes(s, t));
    const nrw_fb_vector outputs = nrw_fb_vec(t, GRAPH_OUTPUTS, 4);
    NRW_TRY(nrw_fb_check(&r->fb, r->err));
    if (outputs.n > INT16_MAX) NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "%zu outputs", outputs.n);
    *out = nrw_arena_calloc(&r->scratch, outputs.n + 1, sizeof **out);
    if (*out == NULL) NRW_OOM(r->err);
    *n_out = (int)outputs.n;
    for (size_t i = 0; i < outputs.n; i++) {
        const int64_t index = nrw_fb_int_at(&outputs, NRW_FB_I32, i);
        NRW_TRY(nrw_tflite_value(s, index, NRW_TFLITE_READ, &(*out)[i]));
    }
    return NRW_OK;
}

nrw_status nrw_tflite_read_subgraph(nrw_tflite_reader *r, int64_t index, nrw_graph *g, int n_in,
                                    nrw_value *const *in, int *n_out, nrw_value ***out) {
    if (index < 0 || (uint64_t)index >= r->subgraphs.n)
        NRW_FAIL(r->err, NRW_ERR_FORMAT, "subgraph %" PRId64 " of %zu", index, r->subgraphs.n);
    if (r->depth == max_depth)
        NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "subgraphs nest deeper than %d", max_depth);
    const nrw_fb_table t = nrw_fb_table_at(&r->subgraphs, (size_t)index);
    nrw_tflite_scope s = {.reader = r, .graph = g};
    r->depth++;
    nrw_status st = read_graph(&s, &t, n_in, in, n_out, out);
    r->depth--;
    return index == 0 && r->depth == 0 ? st
                                       : nrw_error_prefix(r->err, st, "subgraph %" PRId64, index);
}

/* Models. */

/* Integers that a caller sees are those of the file. */
static nrw_status add_outputs(nrw_tflite_reader *r, int n, nrw_value *const *out) {
    for (int i = 0; i < n; i++) {
        if (out[i]->quant != NULL) out[i]->as_integers = true;
        NRW_TRY(nrw_graph_add_output(r->model->graph, out[i], r->err));
    }
    return NRW_OK;
}

static nrw_status read_metadata(nrw_tflite_reader *r, const nrw_fb_table *root) {
    const nrw_fb_vector list = nrw_fb_vec(root, MODEL_METADATA, 4);
    nrw_model *m = r->model;
    nrw_string *out = nrw_arena_calloc(&m->arena, 2 * list.n + 1, sizeof *out);
    if (out == NULL) NRW_OOM(r->err);
    m->metadata = out;
    for (size_t i = 0; i < list.n && i < INT16_MAX; i++) {
        const nrw_fb_table e = nrw_fb_table_at(&list, i);
        const uint64_t index = (uint64_t)nrw_fb_int(&e, META_BUFFER, NRW_FB_U32, 0);
        if (index >= r->buffers.n) continue;
        const nrw_fb_table b = nrw_fb_table_at(&r->buffers, index);
        out[2 * m->n_metadata] = nrw_fb_text(&e, META_NAME);
        out[2 * m->n_metadata + 1] = nrw_fb_bytes(&b, BUFFER_DATA);
        m->n_metadata++;
    }
    return nrw_fb_check(&r->fb, r->err);
}

/* The names that a map of a signature has for values. */
static nrw_status read_names(nrw_tflite_reader *r, const nrw_fb_table *signature, int slot,
                             const nrw_fb_vector *tensors, const char ***out) {
    nrw_arena *a = &r->model->arena;
    const nrw_fb_vector maps = nrw_fb_vec(signature, slot, 4);
    const char **names = nrw_arena_calloc(a, tensors->n + 1, sizeof *names);
    if (names == NULL) NRW_OOM(r->err);
    for (size_t i = 0; i < maps.n; i++) {
        const nrw_fb_table m = nrw_fb_table_at(&maps, i);
        const nrw_string name = nrw_fb_text(&m, MAP_NAME);
        const int64_t tensor = nrw_fb_int(&m, MAP_TENSOR, NRW_FB_U32, 0);
        for (size_t k = 0; k < tensors->n; k++) {
            if (names[k] != NULL || nrw_fb_int_at(tensors, NRW_FB_I32, k) != tensor) continue;
            names[k] = nrw_arena_strndup(a, name.data, name.size);
            if (names[k] == NULL) NRW_OOM(r->err);
            break;
        }
    }
    *out = names;
    return nrw_fb_check(&r->fb, r->err);
}

/* The first signature of the main subgraph. */
static nrw_status read_signature(nrw_tflite_reader *r, const nrw_fb_table *root) {
    const nrw_fb_vector list = nrw_fb_vec(root, MODEL_SIGNATURES, 4);
    const nrw_fb_table graph = nrw_fb_table_at(&r->subgraphs, 0);
    const nrw_fb_vector in = nrw_fb_vec(&graph, GRAPH_INPUTS, 4);
    const nrw_fb_vector out = nrw_fb_vec(&graph, GRAPH_OUTPUTS, 4);
    nrw_signature *s = &r->model->signature;
    for (size_t i = 0; i < list.n; i++) {
        const nrw_fb_table t = nrw_fb_table_at(&list, i);
        const nrw_string key = nrw_fb_text(&t, SIGNATURE_KEY);
        if (nrw_fb_int(&t, SIGNATURE_SUBGRAPH, NRW_FB_U32, 0) != 0) continue;
        s->key = nrw_arena_strndup(&r->model->arena, key.data, key.size);
        if (s->key == NULL) NRW_OOM(r->err);
        s->n_inputs = (int)in.n;
        s->n_outputs = (int)out.n;
        NRW_TRY(read_names(r, &t, SIGNATURE_INPUTS, &in, &s->inputs));
        return read_names(r, &t, SIGNATURE_OUTPUTS, &out, &s->outputs);
    }
    return nrw_fb_check(&r->fb, r->err);
}

static nrw_status read_description(nrw_tflite_reader *r, const nrw_fb_table *root) {
    const nrw_string s = nrw_fb_text(root, MODEL_DESCRIPTION);
    r->model->doc = nrw_arena_strndup(&r->model->arena, s.data, s.size);
    if (r->model->doc == NULL) NRW_OOM(r->err);
    return NRW_OK;
}

/* Lengths that a file claims are found out anew, see formats/onnx/import.c; operators that were not
 * raised keep theirs. */
static nrw_status forget_claims(nrw_graph *g, void *user, nrw_error *err) {
    (void)user, (void)err;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; n->op != NULL && i < n->n_outputs; i++) {
            nrw_value *v = n->outputs[i];
            if (v == NULL) continue;
            for (int k = 0; k < v->type.rank; k++) v->type.dims[k] = NRW_DIM_UNKNOWN;
        }
    }
    return NRW_OK;
}

/* Before any node is made: values that are made on the way get names of their own. */
static nrw_status note_names(nrw_tflite_reader *r) {
    for (size_t g = 0; g < r->subgraphs.n; g++) {
        const nrw_fb_table t = nrw_fb_table_at(&r->subgraphs, g);
        const nrw_fb_vector tensors = nrw_fb_vec(&t, GRAPH_TENSORS, 4);
        for (size_t i = 0; i < tensors.n; i++) {
            const nrw_fb_table e = nrw_fb_table_at(&tensors, i);
            const nrw_string name = nrw_fb_text(&e, TENSOR_NAME);
            nrw_model_note_name(r->model, name.data, name.size);
        }
    }
    return nrw_fb_check(&r->fb, r->err);
}

static nrw_status read_model(nrw_tflite_reader *r, const nrw_fb_table *root) {
    int n_out;
    nrw_value **out;
    NRW_TRY(nrw_fb_check(&r->fb, r->err));
    const int64_t version = nrw_fb_int(root, MODEL_VERSION, NRW_FB_U32, 0);
    if (version != 3)
        NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "schema version %" PRId64 ", not 3", version);
    r->subgraphs = nrw_fb_vec(root, MODEL_SUBGRAPHS, 4);
    r->buffers = nrw_fb_vec(root, MODEL_BUFFERS, 4);
    r->codes = nrw_fb_vec(root, MODEL_OPERATOR_CODES, 4);
    NRW_TRY(nrw_fb_check(&r->fb, r->err));
    if (r->subgraphs.n == 0) NRW_FAIL(r->err, NRW_ERR_FORMAT, "it has no subgraph");
    NRW_TRY(read_description(r, root));
    NRW_TRY(read_metadata(r, root));
    NRW_TRY(note_names(r));
    NRW_TRY(nrw_tflite_read_subgraph(r, 0, r->model->graph, 0, NULL, &n_out, &out));
    NRW_TRY(add_outputs(r, n_out, out));
    NRW_TRY(read_signature(r, root));
    return nrw_each_graph(r->model->graph, forget_claims, NULL, r->err);
}

static nrw_status read(nrw_model *m, const char *path, nrw_mapping bytes, nrw_error *err) {
    (void)path;
    nrw_tflite_reader r = {.model = m, .operators = most_operators, .err = err};
    m->format = "tflite";
    nrw_arena_init(&r.scratch, m->arena.allocator);
    nrw_map_init(&r.taken, &r.scratch);
    nrw_map_init(&r.variables, &r.scratch);
    nrw_map_init(&r.handles, &r.scratch);
    const nrw_fb_table root = nrw_fb_open(&r.fb, bytes.data, bytes.size, NRW_TFLITE_IDENTIFIER);
    nrw_status st = read_model(&r, &root);
    nrw_arena_free(&r.scratch);
    return st;
}

nrw_status nrw_tflite_load(const nrw_context *c, const char *path, nrw_model **out,
                           nrw_error *err) {
    return nrw_load_mapped(c, path, read, out, err);
}

nrw_status nrw_tflite_load_bytes(const nrw_context *c, const void *bytes, size_t size,
                                 nrw_model **out, nrw_error *err) {
    return nrw_load_copied(c, bytes, size, read, out, err);
}
