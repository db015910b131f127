/* Writing .tflite files. */
#include "formats/tflite/write.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "formats/tflite/schema.h"
#include "passes/match.h"
#include "wire/flatbuffer.h"

/* Beyond this, constants come behind the flatbuffer, whose offsets have 32 bits, one of them lost
 * to readers that take them for signed. */
#define MOST_INSIDE ((uint64_t)2000 << 20)
enum { ALIGN = 16 };

typedef struct buffer {
    const void *data;
    uint64_t size;
    nrw_fb_ref blob;           /* inside */
    nrw_fb_ref offset, length; /* behind: where the file says so */
} buffer;

typedef struct writer {
    const nrw_model *model;
    nrw_arena scratch;
    nrw_fb_builder b;
    int32_t *index; /* by value id: the tensor's, plus 1 */
    const nrw_value **tensors;
    size_t n_tensors, cap_tensors;
    buffer *buffers; /* 0 is empty, as readers expect */
    size_t n_buffers, cap_buffers;
    uint32_t *buffer_of; /* by tensor */
    nrw_map shared;      /* address and size of constants -> number of their buffer */
    nrw_fb_ref *codes;
    nrw_map known_codes; /* name and version -> number, plus 1 */
    size_t n_codes, cap_codes;
    bool behind;
    nrw_error *err;
} writer;

/* Which tensors there are. */

static nrw_status add_tensor(writer *w, const nrw_value *v) {
    if (v == NULL || w->index[v->id] != 0) return NRW_OK;
    if (!nrw_arena_grow(&w->scratch, (void **)&w->tensors, &w->cap_tensors, w->n_tensors + 1,
                        sizeof *w->tensors))
        NRW_OOM(w->err);
    w->tensors[w->n_tensors++] = v;
    w->index[v->id] = (int32_t)w->n_tensors;
    return NRW_OK;
}

/* Operators with a memory take states and give them as further outputs, i + 1 for state i; in a
 * file they are one variable each, which all operators share that hand it on. -1: there is no state
 * i. */
static int state_input(const nrw_node *n, int i) {
    if (strcmp(n->domain, "tflite") != 0) return -1;
    if (strcmp(n->type, "SVDF") == 0) return i == 0 ? 4 : -1;
    return strcmp(n->type, "UNIDIRECTIONAL_SEQUENCE_LSTM") == 0 ? 18 + i : -1;
}

static nrw_status add_outputs(writer *w, const nrw_node *n) {
    for (int i = 0; i < n->n_outputs; i++) {
        const int at = i == 1 || i == 2 ? state_input(n, i - 1) : -1;
        const nrw_value *state = at >= 0 && at < n->n_inputs ? n->inputs[at] : NULL;
        if (state != NULL && n->outputs[i] != NULL)
            w->index[n->outputs[i]->id] = w->index[state->id];
        else
            NRW_TRY(add_tensor(w, n->outputs[i]));
    }
    return NRW_OK;
}

static nrw_status collect_tensors(writer *w) {
    const nrw_graph *g = w->model->graph;
    w->index = nrw_arena_calloc(&w->scratch, (size_t)w->model->n_values + 1, sizeof *w->index);
    if (w->index == NULL) NRW_OOM(w->err);
    for (int i = 0; i < g->n_inputs; i++) NRW_TRY(add_tensor(w, g->inputs[i]));
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_inputs; i++) NRW_TRY(add_tensor(w, n->inputs[i]));
        NRW_TRY(add_outputs(w, n));
    }
    for (int i = 0; i < g->n_outputs; i++) NRW_TRY(add_tensor(w, g->outputs[i]));
    return NRW_OK;
}

/* A layer on 16-bit data has a bias of 64 bits. */
static bool is_wide_bias(const nrw_value *v) {
    if (v->data == NULL || v->data->dtype != NRW_I32 || v->quant == NULL || v->n_uses == 0)
        return false;
    const nrw_node *n = v->uses[0].node;
    const bool transposed = n != NULL && strcmp(n->type, "TRANSPOSE_CONV") == 0;
    if (n == NULL || v->uses[0].index != (transposed ? 3 : 2)) return false;
    const nrw_value *x = n->inputs[transposed ? 2 : 0];
    return x != NULL && x->quant != NULL && x->quant->dtype == NRW_I16;
}

static nrw_dtype stored_type(const nrw_value *v) {
    if (is_wide_bias(v)) return NRW_I64;
    if (v->data != NULL) return v->data->dtype;
    return v->quant != NULL ? v->quant->dtype : v->type.dtype;
}

/* Constants. */

static nrw_status add_buffer(writer *w, const void *data, uint64_t size, uint32_t *number) {
    struct {
        const void *data;
        uint64_t size;
    } key = {data, size};
    *number = (uint32_t)(uintptr_t)nrw_map_get(&w->shared, (const char *)&key, sizeof key);
    if (*number != 0) return NRW_OK;
    if (!nrw_arena_grow(&w->scratch, (void **)&w->buffers, &w->cap_buffers, w->n_buffers + 1,
                        sizeof *w->buffers))
        NRW_OOM(w->err);
    *number = (uint32_t)w->n_buffers;
    w->buffers[w->n_buffers++] = (buffer){data, size, 0, 0, 0};
    const char *kept = nrw_arena_dup(&w->scratch, &key, sizeof key);
    if (kept == NULL || !nrw_map_put(&w->shared, kept, sizeof key, (void *)(uintptr_t)*number))
        NRW_OOM(w->err);
    return NRW_OK;
}

static nrw_status pack_strings(writer *w, const nrw_tensor *t, const void **data, uint64_t *size) {
    const int64_t n = nrw_tensor_count(t);
    const nrw_string *s = t->data;
    uint64_t at = 4 * ((uint64_t)n + 2);
    *size = at;
    for (int64_t i = 0; i < n; i++) *size += s[i].size;
    char *out = *size < INT32_MAX ? nrw_arena_alloc(&w->scratch, (size_t)*size) : NULL;
    if (out == NULL) NRW_OOM(w->err);
    const uint32_t count = (uint32_t)n;
    memcpy(out, &count, 4);
    for (int64_t i = 0; i <= n; i++) {
        const uint32_t begin = (uint32_t)at;
        memcpy(out + 4 + 4 * i, &begin, 4);
        if (i == n) break;
        if (s[i].size > 0) memcpy(out + at, s[i].data, s[i].size);
        at += s[i].size;
    }
    *data = out;
    return NRW_OK;
}

static nrw_status stored_bytes(writer *w, const nrw_value *v, const void **data, uint64_t *size) {
    const nrw_tensor *t = v->data;
    const int64_t n = nrw_tensor_count(t);
    size_t packed;
    if (t->dtype == NRW_STRING) return pack_strings(w, t, data, size);
    if (is_wide_bias(v)) {
        int64_t *wide = nrw_arena_calloc(&w->scratch, (size_t)n + 1, sizeof *wide);
        if (wide == NULL) NRW_OOM(w->err);
        for (int64_t i = 0; i < n; i++) wide[i] = ((const int32_t *)t->data)[i];
        *data = wide;
        *size = (uint64_t)n * sizeof *wide;
        return NRW_OK;
    }
    *data = t->data;
    *size = nrw_tensor_bytes(t);
    if (nrw_dtype_get(t->dtype)->bits >= 8) return NRW_OK;
    if (!nrw_packed_size(t->dtype, n, &packed)) NRW_OOM(w->err);
    unsigned char *out = nrw_arena_calloc(&w->scratch, packed + 1, 1);
    if (out == NULL) NRW_OOM(w->err);
    nrw_pack_bits(t->dtype, t->data, out, n);
    *data = out;
    *size = packed;
    return NRW_OK;
}

static nrw_status collect_buffers(writer *w) {
    uint32_t none;
    NRW_TRY(add_buffer(w, NULL, 0, &none));
    w->buffer_of = nrw_arena_calloc(&w->scratch, w->n_tensors + 1, sizeof *w->buffer_of);
    if (w->buffer_of == NULL) NRW_OOM(w->err);
    for (size_t i = 0; i < w->n_tensors; i++) {
        const nrw_value *v = w->tensors[i];
        const void *data = NULL;
        uint64_t size = 0;
        if (v->data == NULL || v->is_input || v->is_state) continue;
        NRW_TRY_CTX(w->err, stored_bytes(w, v, &data, &size), "constant '%s'", v->name);
        NRW_TRY(add_buffer(w, data, size, &w->buffer_of[i]));
    }
    uint64_t total = 0;
    for (size_t i = 0; i < w->n_buffers; i++) total += w->buffers[i].size;
    w->behind = total > MOST_INSIDE;
    for (size_t i = 1; i < w->n_buffers && !w->behind; i++) {
        buffer *b = &w->buffers[i];
        if (b->size > 0) b->blob = nrw_fb_put_blob(&w->b, b->data, b->size);
    }
    return NRW_OK;
}

static nrw_fb_ref put_buffer(writer *w, buffer *b) {
    nrw_fb_begin(&w->b);
    if (w->behind && b->size > 0) {
        b->offset = nrw_fb_set_later(&w->b, BUFFER_OFFSET);
        b->length = nrw_fb_set_later(&w->b, BUFFER_SIZE);
    } else {
        nrw_fb_set_ref(&w->b, BUFFER_DATA, b->blob);
    }
    return nrw_fb_end(&w->b);
}

/* Tensors. */

static nrw_fb_ref put_quant(writer *w, const nrw_quant *q) {
    if (q == NULL || q->dynamic) return 0;
    int64_t *zeros = nrw_arena_calloc(&w->scratch, (size_t)q->count + 1, sizeof *zeros);
    if (zeros == NULL) {
        w->b.failed = true;
        return 0;
    }
    for (int64_t i = 0; i < q->count; i++) zeros[i] = q->zero_point[i];
    const nrw_fb_ref scale = nrw_fb_put_vec(&w->b, q->scale, (size_t)q->count, sizeof(float));
    const nrw_fb_ref zero = nrw_fb_put_vec(&w->b, zeros, (size_t)q->count, sizeof *zeros);
    nrw_fb_begin(&w->b);
    nrw_fb_set_ref(&w->b, QUANT_SCALE, scale);
    nrw_fb_set_ref(&w->b, QUANT_ZERO, zero);
    nrw_fb_set_int(&w->b, QUANT_AXIS, NRW_FB_I32, q->axis > 0 ? q->axis : 0, 0);
    return nrw_fb_end(&w->b);
}

static nrw_status put_tensor(writer *w, size_t i, nrw_fb_ref *out) {
    const nrw_value *v = w->tensors[i];
    const int type = nrw_dtype_get(stored_type(v))->tflite;
    int32_t shape[NRW_MAX_RANK];
    if (type < 0)
        NRW_FAIL(w->err, NRW_ERR_UNSUPPORTED, "'%s': TensorFlow Lite has no elements of type %s",
                 v->name, nrw_dtype_get(stored_type(v))->title);
    if (v->quant != NULL && v->quant->block > 0)
        NRW_FAIL(w->err, NRW_ERR_UNSUPPORTED, "'%s': scales by block are not written", v->name);
    for (int k = 0; k < v->type.rank; k++) {
        if (v->type.dims[k] > INT32_MAX)
            NRW_FAIL(w->err, NRW_ERR_UNSUPPORTED, "'%s': an axis of %" PRId64, v->name,
                     v->type.dims[k]);
        shape[k] = (int32_t)(v->type.dims[k] >= 0 ? v->type.dims[k] : 1);
    }
    const size_t rank = v->type.rank > 0 ? (size_t)v->type.rank : 0;
    const nrw_fb_ref quant = put_quant(w, v->quant);
    const nrw_fb_ref name = nrw_fb_put_text(&w->b, v->name, strlen(v->name));
    const nrw_fb_ref dims = nrw_fb_put_vec(&w->b, shape, rank, sizeof *shape);
    nrw_fb_begin(&w->b);
    nrw_fb_set_ref(&w->b, TENSOR_SHAPE, dims);
    nrw_fb_set_int(&w->b, TENSOR_TYPE, NRW_FB_I8, type, 0);
    nrw_fb_set_int(&w->b, TENSOR_BUFFER, NRW_FB_U32, w->buffer_of[i], 0);
    nrw_fb_set_ref(&w->b, TENSOR_NAME, name);
    nrw_fb_set_ref(&w->b, TENSOR_QUANT, quant);
    nrw_fb_set_int(&w->b, TENSOR_IS_VARIABLE, NRW_FB_BOOL, v->is_state, 0);
    nrw_fb_set_int(&w->b, TENSOR_HAS_RANK, NRW_FB_BOOL, v->type.rank >= 0, 0);
    *out = nrw_fb_end(&w->b);
    return NRW_OK;
}

/* Operators. */

static nrw_status put_code(writer *w, const nrw_node *n, uint32_t *number) {
    const bool custom = nrw_attr_int(n, "custom", 0) != 0;
    const nrw_tflite_builtin *b = custom ? NULL : nrw_tflite_builtin_named(n->type);
    const int version = custom ? 1 : nrw_tflite_version(n);
    const int code = b != NULL ? b->code : NRW_TFLITE_CUSTOM;
    const char *key = nrw_arena_printf(&w->scratch, "%s/%d", n->type, version);
    if (key == NULL) NRW_OOM(w->err);
    if (b == NULL && !custom)
        NRW_FAIL(w->err, NRW_ERR_UNSUPPORTED, "TensorFlow Lite has no operator %s", n->type);
    const uintptr_t known = (uintptr_t)nrw_map_get(&w->known_codes, key, strlen(key));
    if (known != 0) {
        *number = (uint32_t)known - 1;
        return NRW_OK;
    }
    const nrw_fb_ref name = custom ? nrw_fb_put_text(&w->b, n->type, strlen(n->type)) : 0;
    nrw_fb_begin(&w->b);
    nrw_fb_set_int(&w->b, CODE_OLD_BUILTIN, NRW_FB_I8,
                   code < NRW_TFLITE_LAST_OLD_BUILTIN ? code : NRW_TFLITE_LAST_OLD_BUILTIN, 0);
    nrw_fb_set_ref(&w->b, CODE_CUSTOM, name);
    nrw_fb_set_int(&w->b, CODE_VERSION, NRW_FB_I32, version, 1);
    nrw_fb_set_int(&w->b, CODE_BUILTIN, NRW_FB_I32, code, 0);
    const nrw_fb_ref ref = nrw_fb_end(&w->b);
    if (!nrw_arena_grow(&w->scratch, (void **)&w->codes, &w->cap_codes, w->n_codes + 1,
                        sizeof *w->codes) ||
        !nrw_map_put(&w->known_codes, key, strlen(key), (void *)(uintptr_t)(w->n_codes + 1)))
        NRW_OOM(w->err);
    *number = (uint32_t)w->n_codes;
    w->codes[w->n_codes++] = ref;
    return NRW_OK;
}

/* What an attribute refers to, made before the table that holds it; 0 for plain numbers. */
static nrw_fb_ref put_field_content(writer *w, const nrw_node *n, const nrw_tflite_field *f) {
    const nrw_attr *a = nrw_node_attr(n, f->name);
    if (a == NULL) return 0;
    if (f->kind == 's' || f->kind == 'B') {
        return f->kind == 's' ? nrw_fb_put_text(&w->b, a->s.data, a->s.size)
                              : nrw_fb_put_vec(&w->b, a->s.data, a->s.size, 1);
    }
    if (f->kind == 'F') return nrw_fb_put_vec(&w->b, a->floats, (size_t)a->n, sizeof(float));
    if (f->kind == 'L') return nrw_fb_put_vec(&w->b, a->ints, (size_t)a->n, sizeof(int64_t));
    if (f->kind != 'I') return 0;
    int32_t *narrow = nrw_arena_calloc(&w->scratch, (size_t)a->n + 1, sizeof *narrow);
    if (narrow == NULL) {
        w->b.failed = true;
        return 0;
    }
    for (int64_t i = 0; i < a->n; i++) narrow[i] = (int32_t)a->ints[i];
    return nrw_fb_put_vec(&w->b, narrow, (size_t)a->n, sizeof *narrow);
}

static void put_field(writer *w, const nrw_node *n, const nrw_tflite_field *f, nrw_fb_ref content) {
    const int64_t absent = (int64_t)f->absent;
    switch (f->kind) {
    case 'b':
        nrw_fb_set_int(&w->b, f->slot, NRW_FB_BOOL, nrw_attr_int(n, f->name, absent), absent);
        break;
    case 'y':
        nrw_fb_set_int(&w->b, f->slot, NRW_FB_I8, nrw_attr_int(n, f->name, absent), absent);
        break;
    case 'i':
        nrw_fb_set_int(&w->b, f->slot, NRW_FB_I32, nrw_attr_int(n, f->name, absent), absent);
        break;
    case 'l':
        nrw_fb_set_int(&w->b, f->slot, NRW_FB_I64, nrw_attr_int(n, f->name, absent), absent);
        break;
    case 'f':
        nrw_fb_set_real(&w->b, f->slot, NRW_FB_F32,
                        (double)nrw_attr_float(n, f->name, (float)f->absent), f->absent);
        break;
    default:
        nrw_fb_set_ref(&w->b, f->slot, content);
    }
}

static nrw_fb_ref put_options(writer *w, const nrw_node *n, const nrw_tflite_builtin *b) {
    nrw_fb_ref content[NRW_FB_MAX_SLOTS] = {0};
    nrw_tflite_field f;
    const char *fields = b->fields;
    int slot = 0;
    while (nrw_tflite_next_field(&fields, &slot, &f)) {
        content[f.slot] = put_field_content(w, n, &f);
    }
    nrw_fb_begin(&w->b);
    fields = b->fields;
    slot = 0;
    while (nrw_tflite_next_field(&fields, &slot, &f)) put_field(w, n, &f, content[f.slot]);
    return nrw_fb_end(&w->b);
}

static nrw_fb_ref put_indices(writer *w, nrw_value *const *list, int n) {
    int32_t *out = nrw_arena_calloc(&w->scratch, (size_t)n + 1, sizeof *out);
    if (out == NULL) {
        w->b.failed = true;
        return 0;
    }
    for (int i = 0; i < n; i++) out[i] = list[i] != NULL ? w->index[list[i]->id] - 1 : -1;
    return nrw_fb_put_vec(&w->b, out, (size_t)n, sizeof *out);
}

/* A state that others see as well has no place in a file, nor have sequences from behind. */
static nrw_status check_states(const nrw_node *n, nrw_error *err) {
    if (state_input(n, 0) < 0) return NRW_OK;
    bool fits = nrw_attr_int(n, "reverse", 0) == 0;
    for (int i = 0; i < 2; i++) {
        const int at = state_input(n, i);
        if (at < 0) continue;
        const nrw_value *v = at < n->n_inputs ? n->inputs[at] : NULL;
        fits = fits && v != NULL && v->n_uses == 1 && v->uses[0].node == n &&
               (v->is_state || (v->producer != NULL && state_input(v->producer, 0) >= 0));
    }
    if (!fits) NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "a state elsewhere, or a backward sequence");
    return NRW_OK;
}

static nrw_status put_operator(writer *w, const nrw_node *n, nrw_fb_ref *out) {
    const bool custom = nrw_attr_int(n, "custom", 0) != 0;
    const nrw_tflite_builtin *b = custom ? NULL : nrw_tflite_builtin_named(n->type);
    const nrw_attr *raw = custom ? nrw_node_attr(n, "custom_options") : NULL;
    const int extra = (int)nrw_attr_int(n, "intermediates", 0);
    uint32_t code = 0;
    if (extra < 0 || extra > n->n_inputs)
        NRW_FAIL(w->err, NRW_ERR_FORMAT, "intermediates: %d of %d inputs", extra, n->n_inputs);
    NRW_TRY(check_states(n, w->err));
    NRW_TRY(put_code(w, n, &code));
    const nrw_fb_ref options = b != NULL && b->options != 0 ? put_options(w, n, b) : 0;
    const nrw_fb_ref bytes = raw != NULL ? nrw_fb_put_vec(&w->b, raw->s.data, raw->s.size, 1) : 0;
    const nrw_fb_ref in = put_indices(w, n->inputs, n->n_inputs - extra);
    const int n_out = state_input(n, 0) >= 0 ? 1 : n->n_outputs;
    const nrw_fb_ref outputs = put_indices(w, n->outputs, n_out);
    const nrw_fb_ref inter = extra > 0 ? put_indices(w, n->inputs + n->n_inputs - extra, extra) : 0;
    const bool second = options != 0 && b->options > 1000;
    nrw_fb_begin(&w->b);
    nrw_fb_set_int(&w->b, OP_CODE, NRW_FB_U32, code, 0);
    nrw_fb_set_ref(&w->b, OP_INPUTS, in);
    nrw_fb_set_ref(&w->b, OP_OUTPUTS, outputs);
    if (options != 0) {
        nrw_fb_set_int(&w->b, second ? OP_OPTIONS2_TYPE : OP_OPTIONS_TYPE, NRW_FB_U8,
                       b->options % 1000, 0);
        nrw_fb_set_ref(&w->b, second ? OP_OPTIONS2 : OP_OPTIONS, options);
    }
    nrw_fb_set_ref(&w->b, OP_CUSTOM_OPTIONS, bytes);
    nrw_fb_set_ref(&w->b, OP_INTERMEDIATES, inter);
    *out = nrw_fb_end(&w->b);
    return NRW_OK;
}

/* The whole. */

static nrw_status put_subgraph(writer *w, nrw_fb_ref *out) {
    const nrw_graph *g = w->model->graph;
    nrw_fb_ref *tensors = nrw_arena_calloc(&w->scratch, w->n_tensors + 1, sizeof *tensors);
    nrw_fb_ref *ops = nrw_arena_calloc(&w->scratch, (size_t)g->n_nodes + 1, sizeof *ops);
    if (tensors == NULL || ops == NULL) NRW_OOM(w->err);
    for (size_t i = 0; i < w->n_tensors; i++) NRW_TRY(put_tensor(w, i, &tensors[i]));
    size_t n_ops = 0;
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        NRW_TRY_CTX(w->err, put_operator(w, n, &ops[n_ops++]), "node '%s' (%s)", n->name, n->type);
    }
    const nrw_fb_ref list = nrw_fb_put_refs(&w->b, tensors, w->n_tensors);
    const nrw_fb_ref op_list = nrw_fb_put_refs(&w->b, ops, n_ops);
    const nrw_fb_ref inputs = put_indices(w, g->inputs, g->n_inputs);
    const nrw_fb_ref outputs = put_indices(w, g->outputs, g->n_outputs);
    const nrw_fb_ref name = nrw_fb_put_text(&w->b, "main", 4);
    nrw_fb_begin(&w->b);
    nrw_fb_set_ref(&w->b, GRAPH_TENSORS, list);
    nrw_fb_set_ref(&w->b, GRAPH_INPUTS, inputs);
    nrw_fb_set_ref(&w->b, GRAPH_OUTPUTS, outputs);
    nrw_fb_set_ref(&w->b, GRAPH_OPERATORS, op_list);
    nrw_fb_set_ref(&w->b, GRAPH_NAME, name);
    *out = nrw_fb_end(&w->b);
    return NRW_OK;
}

/* names: what a signature calls them; NULL, or NULL for one: their own names. */
static nrw_fb_ref put_map(writer *w, nrw_value *const *list, int n, const char *const *names) {
    nrw_fb_ref *refs = nrw_arena_calloc(&w->scratch, (size_t)n + 1, sizeof *refs);
    if (refs == NULL) {
        w->b.failed = true;
        return 0;
    }
    for (int i = 0; i < n; i++) {
        const char *text = names != NULL && names[i] != NULL ? names[i] : list[i]->name;
        const nrw_fb_ref name = nrw_fb_put_text(&w->b, text, strlen(text));
        nrw_fb_begin(&w->b);
        nrw_fb_set_ref(&w->b, MAP_NAME, name);
        nrw_fb_set_int(&w->b, MAP_TENSOR, NRW_FB_U32, w->index[list[i]->id] - 1, 0);
        refs[i] = nrw_fb_end(&w->b);
    }
    return nrw_fb_put_refs(&w->b, refs, (size_t)n);
}

static nrw_fb_ref put_signature(writer *w) {
    const nrw_graph *g = w->model->graph;
    const nrw_signature *s = &w->model->signature;
    const bool fits = s->n_inputs == g->n_inputs && s->n_outputs == g->n_outputs;
    const char *text = s->key != NULL ? s->key : "serving_default";
    const nrw_fb_ref in = put_map(w, g->inputs, g->n_inputs, fits ? s->inputs : NULL);
    const nrw_fb_ref out = put_map(w, g->outputs, g->n_outputs, fits ? s->outputs : NULL);
    const nrw_fb_ref key = nrw_fb_put_text(&w->b, text, strlen(text));
    nrw_fb_begin(&w->b);
    nrw_fb_set_ref(&w->b, SIGNATURE_INPUTS, in);
    nrw_fb_set_ref(&w->b, SIGNATURE_OUTPUTS, out);
    nrw_fb_set_ref(&w->b, SIGNATURE_KEY, key);
    const nrw_fb_ref ref = nrw_fb_end(&w->b);
    return nrw_fb_put_refs(&w->b, &ref, 1);
}

static nrw_fb_ref put_metadata(writer *w, const uint32_t *numbers) {
    const nrw_model *m = w->model;
    nrw_fb_ref *refs = nrw_arena_calloc(&w->scratch, (size_t)m->n_metadata + 1, sizeof *refs);
    if (refs == NULL) {
        w->b.failed = true;
        return 0;
    }
    for (int i = 0; i < m->n_metadata; i++) {
        const nrw_string key = m->metadata[2 * i];
        const nrw_fb_ref name = nrw_fb_put_text(&w->b, key.data, key.size);
        nrw_fb_begin(&w->b);
        nrw_fb_set_ref(&w->b, META_NAME, name);
        nrw_fb_set_int(&w->b, META_BUFFER, NRW_FB_U32, numbers[i], 0);
        refs[i] = nrw_fb_end(&w->b);
    }
    return nrw_fb_put_refs(&w->b, refs, (size_t)m->n_metadata);
}

static nrw_status put_model(writer *w) {
    const nrw_model *m = w->model;
    const char *doc = m->doc != NULL && m->doc[0] != 0 ? m->doc : "Narrow";
    nrw_fb_ref graph;
    uint32_t *meta = nrw_arena_calloc(&w->scratch, (size_t)m->n_metadata + 1, sizeof *meta);
    if (meta == NULL) NRW_OOM(w->err);
    NRW_TRY(collect_tensors(w));
    NRW_TRY(collect_buffers(w));
    for (int i = 0; i < m->n_metadata; i++) {
        const nrw_string s = m->metadata[2 * i + 1];
        NRW_TRY(add_buffer(w, s.data, s.size, &meta[i]));
    }
    for (int i = 0; i < m->n_metadata && w->b.used == 0; i++) {
        buffer *b = &w->buffers[meta[i]];
        if (b->blob == 0 && b->size > 0 && !w->behind)
            b->blob = nrw_fb_put_blob(&w->b, b->data, b->size);
    }
    NRW_TRY(put_subgraph(w, &graph));
    nrw_fb_ref *refs = nrw_arena_calloc(&w->scratch, w->n_buffers + 1, sizeof *refs);
    if (refs == NULL) NRW_OOM(w->err);
    for (size_t i = 0; i < w->n_buffers; i++) refs[i] = put_buffer(w, &w->buffers[i]);
    const nrw_fb_ref buffers = nrw_fb_put_refs(&w->b, refs, w->n_buffers);
    const nrw_fb_ref codes = nrw_fb_put_refs(&w->b, w->codes, w->n_codes);
    const nrw_fb_ref graphs = nrw_fb_put_refs(&w->b, &graph, 1);
    const nrw_fb_ref text = nrw_fb_put_text(&w->b, doc, strlen(doc));
    const nrw_fb_ref signatures = put_signature(w);
    const nrw_fb_ref metadata = m->n_metadata > 0 ? put_metadata(w, meta) : 0;
    nrw_fb_begin(&w->b);
    nrw_fb_set_int(&w->b, MODEL_VERSION, NRW_FB_U32, 3, 0);
    nrw_fb_set_ref(&w->b, MODEL_OPERATOR_CODES, codes);
    nrw_fb_set_ref(&w->b, MODEL_SUBGRAPHS, graphs);
    nrw_fb_set_ref(&w->b, MODEL_DESCRIPTION, text);
    nrw_fb_set_ref(&w->b, MODEL_BUFFERS, buffers);
    nrw_fb_set_ref(&w->b, MODEL_METADATA, metadata);
    nrw_fb_set_ref(&w->b, MODEL_SIGNATURES, signatures);
    nrw_fb_finish(&w->b, nrw_fb_end(&w->b), NRW_TFLITE_IDENTIFIER);
    return NRW_OK;
}

/* Where what comes behind the flatbuffer will lie. */
static void place_behind(writer *w) {
    uint64_t at = nrw_fb_size(&w->b);
    for (size_t i = 0; i < w->n_buffers && w->behind; i++) {
        buffer *b = &w->buffers[i];
        if (b->size == 0) continue;
        at = (at + ALIGN - 1) / ALIGN * ALIGN;
        nrw_fb_patch(&w->b, b->offset, at);
        nrw_fb_patch(&w->b, b->length, b->size);
        at += b->size;
    }
}

static nrw_status put_file(writer *w, nrw_output *o) {
    static const char zeros[ALIGN] = {0};
    NRW_TRY(nrw_fb_write(&w->b, o, w->err));
    for (size_t i = 0; i < w->n_buffers && w->behind; i++) {
        const buffer *b = &w->buffers[i];
        if (b->size == 0) continue;
        const size_t pad = (size_t)(-nrw_output_tell(o)) & (ALIGN - 1);
        if (pad > 0) NRW_TRY(nrw_output_write(o, zeros, pad, w->err));
        NRW_TRY(nrw_output_write(o, b->data, b->size, w->err));
    }
    return NRW_OK;
}

static nrw_status write_file(const nrw_model *m, const char *path, nrw_error *err) {
    writer w = {.model = m, .err = err};
    nrw_output *o = NULL;
    nrw_arena_init(&w.scratch, m->arena.allocator);
    nrw_fb_builder_init(&w.b, m->arena.allocator);
    nrw_map_init(&w.shared, &w.scratch);
    nrw_map_init(&w.known_codes, &w.scratch);
    nrw_status s = put_model(&w);
    if (s == NRW_OK) {
        place_behind(&w);
        s = nrw_output_open(m->arena.allocator, path, &o, err);
    }
    if (s == NRW_OK) {
        s = put_file(&w, o);
        if (s == NRW_OK)
            s = nrw_output_commit(o, err);
        else
            nrw_output_abort(o);
    }
    nrw_fb_builder_free(&w.b);
    nrw_arena_free(&w.scratch);
    return s;
}

nrw_status nrw_tflite_save(nrw_model *m, const char *path, nrw_error *err) {
    NRW_TRY_CTX(err, nrw_tflite_lower(m, err), "%s", path);
    NRW_TRY_CTX(err, nrw_tflite_fuse_activations(m->graph, err), "%s", path);
    NRW_TRY_CTX(err, nrw_tflite_fit_integers(m, err), "%s", path);
    NRW_TRY_CTX(err, nrw_tflite_store_halves(m->graph, err), "%s", path);
    NRW_TRY_CTX(err, write_file(m, path, err), "%s", path);
    return NRW_OK;
}
