/* TypeProto, and the messages that hold sequences and optionals of tensors. */
#include <inttypes.h>
#include <string.h>

#include "formats/onnx/proto.h"

enum { max_symbols = 10000 };

static nrw_status read_symbol(nrw_onnx_symbols *symbols, nrw_string name, int64_t *dim,
                              nrw_error *err) {
    *dim = NRW_DIM_UNKNOWN;
    if (symbols == NULL || name.size == 0 || memchr(name.data, 0, name.size) != NULL) return NRW_OK;
    void *known = nrw_map_get(&symbols->known, name.data, name.size);
    if (known != NULL) {
        *dim = (int64_t)(intptr_t)known;
        return NRW_OK;
    }
    /* Looking a new symbol up takes time in the number of symbols. */
    if (symbols->model->n_symbols >= max_symbols) return NRW_OK;
    *dim = nrw_model_symbol(symbols->model, name.data, name.size);
    if (*dim == NRW_DIM_UNKNOWN) NRW_OOM(err);
    if (!nrw_map_put(&symbols->known, name.data, name.size, (void *)(intptr_t)*dim)) NRW_OOM(err);
    return NRW_OK;
}

static nrw_status read_dim(const nrw_pb *r, const nrw_pb_field *f, nrw_onnx_symbols *symbols,
                           int64_t *dim, nrw_error *err) {
    nrw_pb inner;
    nrw_pb_field d;
    *dim = NRW_DIM_UNKNOWN;
    NRW_TRY(nrw_pb_enter(r, f, "dim", &inner, err));
    for (;;) {
        NRW_TRY(nrw_pb_next(&inner, &d, err));
        if (d.number == 0) return NRW_OK;
        if (d.number == DIM_VALUE) {
            NRW_TRY(nrw_pb_int(&d, "dim_value", dim, err));
            /* Some exporters write -1 for a dim that they do not know. */
            if (*dim < -1) NRW_FAIL(err, NRW_ERR_FORMAT, "a dim is %" PRId64, *dim);
        } else if (d.number == DIM_PARAM) {
            nrw_string name;
            NRW_TRY(nrw_pb_string(&d, "dim_param", &name, err));
            NRW_TRY(read_symbol(symbols, name, dim, err));
        }
    }
}

static nrw_status read_shape(const nrw_pb *r, const nrw_pb_field *f, nrw_onnx_symbols *symbols,
                             nrw_type *out, nrw_error *err) {
    nrw_pb shape;
    nrw_pb_field d;
    NRW_TRY(nrw_pb_enter(r, f, "shape", &shape, err));
    out->rank = 0;
    for (;;) {
        NRW_TRY(nrw_pb_next(&shape, &d, err));
        if (d.number == 0) return NRW_OK;
        if (d.number != SHAPE_DIM) continue;
        if (out->rank == NRW_MAX_RANK) {
            NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "more than %d axes", NRW_MAX_RANK);
        }
        NRW_TRY(read_dim(&shape, &d, symbols, &out->dims[out->rank++], err));
    }
}

static nrw_status read_tensor_type(nrw_pb r, nrw_onnx_symbols *symbols, nrw_type *out, bool *raw,
                                   nrw_error *err) {
    nrw_pb_field f;
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        if (f.number == 0) return NRW_OK;
        if (f.number == TYPE_ELEM) {
            int64_t code;
            NRW_TRY(nrw_pb_int(&f, "elem_type", &code, err));
            out->dtype = code > 0 && code < 1000 ? nrw_dtype_from_onnx((int)code) : NRW_NONE;
            if (out->dtype == NRW_NONE && code != 0) *raw = true;
        } else if (f.number == TYPE_SHAPE) {
            NRW_TRY(read_shape(&r, &f, symbols, out, err));
        }
    }
}

/* The element type of a sequence or optional: r stands in the message that wraps it. */
static nrw_status read_element(nrw_pb r, nrw_onnx_symbols *symbols, nrw_type *out, bool *raw,
                               nrw_error *err) {
    nrw_pb_field f;
    nrw_pb inner;
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        if (f.number == 0) return NRW_OK;
        if (f.number != TYPE_ELEM) continue;
        NRW_TRY(nrw_pb_enter(&r, &f, "elem_type", &inner, err));
        NRW_TRY(nrw_onnx_type(inner, symbols, out, raw, err));
    }
}

nrw_status nrw_onnx_type(nrw_pb r, nrw_onnx_symbols *symbols, nrw_type *out, bool *raw,
                         nrw_error *err) {
    nrw_pb_field f;
    nrw_pb inner;
    *out = nrw_type_unknown();
    *raw = false;
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        switch (f.number) {
        case 0:
            return NRW_OK;
        case TYPE_TENSOR:
            NRW_TRY(nrw_pb_enter(&r, &f, "tensor_type", &inner, err));
            NRW_TRY(read_tensor_type(inner, symbols, out, raw, err));
            break;
        case TYPE_SEQUENCE:
            NRW_TRY(nrw_pb_enter(&r, &f, "sequence_type", &inner, err));
            NRW_TRY(read_element(inner, symbols, out, raw, err));
            if (out->kind != NRW_TENSOR) *raw = true;
            out->kind = NRW_SEQUENCE;
            break;
        case TYPE_OPTIONAL:
            NRW_TRY(nrw_pb_enter(&r, &f, "optional_type", &inner, err));
            NRW_TRY(read_element(inner, symbols, out, raw, err));
            if (out->kind != NRW_TENSOR && out->kind != NRW_SEQUENCE) *raw = true;
            out->kind = out->kind == NRW_TENSOR ? NRW_OPTIONAL_TENSOR : NRW_OPTIONAL_SEQUENCE;
            break;
        case TYPE_MAP:
        case TYPE_OPAQUE:
        case TYPE_SPARSE:
            *raw = true;
            break;
        default:
            break;
        }
    }
}

nrw_status nrw_onnx_read_type(const void *bytes, size_t size, nrw_type *out, bool *raw,
                              nrw_error *err) {
    return nrw_onnx_type(nrw_pb_open(bytes, size), NULL, out, raw, err);
}

/* A source for messages that stand alone. */
static nrw_onnx_source alone(nrw_arena *a) {
    nrw_onnx_source s;
    nrw_onnx_source_init(&s, a, a);
    return s;
}

nrw_status nrw_onnx_read_tensor(nrw_arena *a, const void *bytes, size_t size, nrw_tensor *out,
                                nrw_string *name, nrw_error *err) {
    nrw_onnx_source s = alone(a);
    return nrw_onnx_tensor(&s, nrw_pb_open(bytes, size), out, name, err);
}

static nrw_status read_sequence(nrw_onnx_source *s, nrw_pb r, nrw_tensor *out, nrw_string *name,
                                nrw_error *err) {
    nrw_pb_field f;
    nrw_pb inner;
    size_t cap = 0, n = 0;
    void *elements = NULL;
    *out = (nrw_tensor){.kind = NRW_SEQUENCE};
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        switch (f.number) {
        case 0:
            out->elements = elements;
            out->n_elements = (int64_t)n;
            if (n > 0) out->dtype = out->elements[0].dtype;
            return NRW_OK;
        case LIST_NAME:
            if (name != NULL) NRW_TRY(nrw_pb_string(&f, "name", name, err));
            break;
        case LIST_TENSORS:
        case LIST_SPARSE: {
            if (!nrw_arena_grow(s->scratch, &elements, &cap, n + 1, sizeof(nrw_tensor))) {
                NRW_OOM(err);
            }
            nrw_tensor *t = (nrw_tensor *)elements + n++;
            NRW_TRY(nrw_pb_enter(&r, &f, "element", &inner, err));
            NRW_TRY(f.number == LIST_TENSORS ? nrw_onnx_tensor(s, inner, t, NULL, err)
                                             : nrw_onnx_sparse(s, inner, t, NULL, err));
            break;
        }
        case LIST_ELEM_TYPE:
            break;
        default:
            NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "a sequence of other things than tensors");
        }
    }
}

nrw_status nrw_onnx_read_sequence(nrw_arena *a, const void *bytes, size_t size, nrw_tensor *out,
                                  nrw_string *name, nrw_error *err) {
    nrw_onnx_source s = alone(a);
    return read_sequence(&s, nrw_pb_open(bytes, size), out, name, err);
}

nrw_status nrw_onnx_read_optional(nrw_arena *a, const void *bytes, size_t size, nrw_tensor *out,
                                  nrw_string *name, nrw_error *err) {
    nrw_onnx_source s = alone(a);
    nrw_pb r = nrw_pb_open(bytes, size), inner;
    nrw_pb_field f;
    int64_t elem = ELEM_UNDEFINED;
    *out = (nrw_tensor){.kind = NRW_OPTIONAL_TENSOR};
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        switch (f.number) {
        case 0:
            if (elem == ELEM_SEQUENCE) out->kind = NRW_OPTIONAL_SEQUENCE;
            return NRW_OK;
        case LIST_NAME:
            if (name != NULL) NRW_TRY(nrw_pb_string(&f, "name", name, err));
            break;
        case LIST_ELEM_TYPE:
            NRW_TRY(nrw_pb_int(&f, "elem_type", &elem, err));
            break;
        case LIST_TENSORS:
        case LIST_SPARSE:
            NRW_TRY(nrw_pb_enter(&r, &f, "value", &inner, err));
            NRW_TRY(f.number == LIST_TENSORS ? nrw_onnx_tensor(&s, inner, out, NULL, err)
                                             : nrw_onnx_sparse(&s, inner, out, NULL, err));
            out->kind = NRW_OPTIONAL_TENSOR;
            break;
        case LIST_SEQUENCES:
            NRW_TRY(nrw_pb_enter(&r, &f, "value", &inner, err));
            NRW_TRY(read_sequence(&s, inner, out, NULL, err));
            out->kind = NRW_OPTIONAL_SEQUENCE;
            break;
        default:
            NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "an optional of something else than tensors");
        }
    }
}
