/* TensorProto and SparseTensorProto. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/onnx/proto.h"

enum { LOCATION_EXTERNAL = 1 };

/* Less than this is copied. A page of the file that is touched brings its neighbours along, so
 * scattered biases viewed in place would keep much of the file in memory. */
enum { WORTH_A_VIEW = 4096 };

/* A TensorProto taken apart, before anything is known to fit. */
typedef struct parts {
    nrw_pb message;
    int64_t dims[NRW_MAX_RANK];
    size_t rank;
    int64_t code, location;
    nrw_string name, raw;
    bool has_raw, has_segment;
    size_t n_float, n_int32, n_int64, n_double, n_uint64, n_strings;
    nrw_string file, offset, length; /* external data */
} parts;

void nrw_onnx_source_init(nrw_onnx_source *s, nrw_arena *arena, nrw_arena *scratch) {
    *s = (nrw_onnx_source){.arena = arena, .scratch = scratch};
    nrw_map_init(&s->externals, scratch);
}

nrw_status nrw_onnx_text(nrw_arena *a, nrw_string s, const char *what, const char **out,
                         nrw_error *err) {
    if (s.size > 0 && memchr(s.data, 0, s.size) != NULL) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "%s has a zero byte in it", what);
    }
    *out = s.size > 0 ? nrw_arena_strndup(a, s.data, s.size) : "";
    if (*out == NULL) NRW_OOM(err);
    return NRW_OK;
}

static bool is(nrw_string s, const char *text) {
    return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

static nrw_status read_entry(const nrw_pb *r, const nrw_pb_field *f, parts *p, nrw_error *err) {
    nrw_pb entry;
    nrw_pb_field e;
    nrw_string key = {0}, value = {0};
    NRW_TRY(nrw_pb_enter(r, f, "external_data", &entry, err));
    for (;;) {
        NRW_TRY(nrw_pb_next(&entry, &e, err));
        if (e.number == 0) break;
        if (e.number == ENTRY_KEY) NRW_TRY(nrw_pb_string(&e, "key", &key, err));
        if (e.number == ENTRY_VALUE) NRW_TRY(nrw_pb_string(&e, "value", &value, err));
    }
    if (is(key, "location")) p->file = value;
    if (is(key, "offset")) p->offset = value;
    if (is(key, "length")) p->length = value;
    return NRW_OK;
}

static nrw_status count_numbers(const nrw_pb_field *f, nrw_pb_wire wire, const char *what,
                                size_t *n, nrw_error *err) {
    nrw_pb_numbers numbers = {.wire = wire, .count = *n};
    NRW_TRY(nrw_pb_collect(&numbers, f, what, err));
    *n = numbers.count;
    return NRW_OK;
}

static nrw_status read_parts(nrw_pb r, parts *p, nrw_error *err) {
    nrw_pb_field f;
    nrw_pb_numbers dims = {.wire = NRW_PB_VARINT, .out = p->dims, .cap = NRW_MAX_RANK};
    p->message = r;
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        switch (f.number) {
        case 0:
            p->rank = dims.count;
            return NRW_OK;
        case TENSOR_DIMS:
            NRW_TRY(nrw_pb_collect(&dims, &f, "dims", err));
            break;
        case TENSOR_DATA_TYPE:
            NRW_TRY(nrw_pb_int(&f, "data_type", &p->code, err));
            break;
        case TENSOR_SEGMENT:
            p->has_segment = true;
            break;
        case TENSOR_NAME:
            NRW_TRY(nrw_pb_string(&f, "name", &p->name, err));
            break;
        case TENSOR_RAW_DATA:
            NRW_TRY(nrw_pb_string(&f, "raw_data", &p->raw, err));
            p->has_raw = true;
            break;
        case TENSOR_EXTERNAL_DATA:
            NRW_TRY(read_entry(&r, &f, p, err));
            break;
        case TENSOR_DATA_LOCATION:
            NRW_TRY(nrw_pb_int(&f, "data_location", &p->location, err));
            break;
        case TENSOR_FLOAT_DATA:
            NRW_TRY(count_numbers(&f, NRW_PB_FIXED32, "float_data", &p->n_float, err));
            break;
        case TENSOR_DOUBLE_DATA:
            NRW_TRY(count_numbers(&f, NRW_PB_FIXED64, "double_data", &p->n_double, err));
            break;
        case TENSOR_INT32_DATA:
            NRW_TRY(count_numbers(&f, NRW_PB_VARINT, "int32_data", &p->n_int32, err));
            break;
        case TENSOR_INT64_DATA:
            NRW_TRY(count_numbers(&f, NRW_PB_VARINT, "int64_data", &p->n_int64, err));
            break;
        case TENSOR_UINT64_DATA:
            NRW_TRY(count_numbers(&f, NRW_PB_VARINT, "uint64_data", &p->n_uint64, err));
            break;
        case TENSOR_STRING_DATA:
            p->n_strings++;
            break;
        default:
            break;
        }
    }
}

/* External data. */

static nrw_status parse_u64(nrw_string s, const char *what, uint64_t *out, nrw_error *err) {
    uint64_t v = 0;
    if (s.size == 0) NRW_FAIL(err, NRW_ERR_FORMAT, "external data: %s is empty", what);
    for (size_t i = 0; i < s.size; i++) {
        unsigned digit = (unsigned)(s.data[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            NRW_FAIL(err, NRW_ERR_FORMAT, "external data: %s '%.*s' is no byte count", what,
                     (int)(s.size < 40 ? s.size : 40), s.data);
    }
    *out = v;
    return NRW_OK;
}

static nrw_status map_external(nrw_onnx_source *s, nrw_string file, nrw_mapping **out,
                               nrw_error *err) {
    *out = nrw_map_get(&s->externals, file.data, file.size);
    if (*out != NULL) return NRW_OK;
    if (s->path == NULL) {
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "its data lies in file '%.*s': load the model by path",
                 (int)(file.size < 200 ? file.size : 200), file.data);
    }
    const char *path;
    NRW_TRY(nrw_path_beside(s->scratch, s->path, file.data, file.size, &path, err));
    nrw_mapping *mapping = nrw_arena_calloc(s->scratch, 1, sizeof *mapping);
    if (mapping == NULL) NRW_OOM(err);
    NRW_TRY(nrw_map_file(path, mapping, err));
    NRW_TRY(nrw_model_keep_file(s->model, *mapping, err));
    if (!nrw_map_put(&s->externals, file.data, file.size, mapping)) NRW_OOM(err);
    *out = mapping;
    return NRW_OK;
}

static nrw_status find_external(nrw_onnx_source *s, const parts *p, size_t need, nrw_string *bytes,
                                nrw_error *err) {
    nrw_mapping *mapping;
    uint64_t offset = 0, length = need, end;
    if (p->file.size == 0) NRW_FAIL(err, NRW_ERR_FORMAT, "external data without a location");
    if (p->offset.data != NULL) NRW_TRY(parse_u64(p->offset, "offset", &offset, err));
    if (p->length.data != NULL) NRW_TRY(parse_u64(p->length, "length", &length, err));
    NRW_TRY(map_external(s, p->file, &mapping, err));
    if (__builtin_add_overflow(offset, length, &end) || end > mapping->size) {
        NRW_FAIL(err, NRW_ERR_FORMAT,
                 "external data: %" PRIu64 " bytes at %" PRIu64 " run past the end of '%.*s' (%zu)",
                 length, offset, (int)(p->file.size < 200 ? p->file.size : 200), p->file.data,
                 mapping->size);
    }
    static const char nothing[1];
    *bytes =
        (nrw_string){length > 0 ? (const char *)mapping->data + offset : nothing, (size_t)length};
    return NRW_OK;
}

/* Making the tensor. */

static nrw_status alloc_data(nrw_onnx_source *s, nrw_tensor *t, size_t bytes, nrw_error *err) {
    t->data = nrw_arena_alloc(s->arena, bytes > 0 ? bytes : 1);
    if (t->data == NULL) NRW_OOM(err);
    return NRW_OK;
}

/* Do several elements share a byte of the file? */
static bool is_packed(nrw_dtype t) {
    int bits = nrw_dtype_get(t)->bits;
    return bits > 0 && bits < 8;
}

/* A bool is one byte that must be 0 or 1; files in the wild hold other true bytes. */
static bool clean_bools(const unsigned char *p, size_t n) {
    unsigned char seen = 0;
    for (size_t i = 0; i < n; i++) seen |= p[i];
    return seen <= 1;
}

static nrw_status from_raw(nrw_onnx_source *s, nrw_string raw, size_t need, nrw_tensor *t,
                           nrw_error *err) {
    const nrw_dtype_row *row = nrw_dtype_get(t->dtype);
    const unsigned char *src = (const unsigned char *)raw.data;
    if (t->dtype == NRW_STRING) NRW_FAIL(err, NRW_ERR_FORMAT, "strings cannot be raw data");
    if (raw.size != need) {
        char text[128];
        nrw_type type = nrw_type_make(t->dtype, t->rank, t->dims);
        NRW_FAIL(err, NRW_ERR_FORMAT, "%s needs %zu bytes of data, there are %zu",
                 nrw_type_str(&type, text, sizeof text), need, raw.size);
    }
    int64_t n = nrw_tensor_count(t);
    if (is_packed(t->dtype)) {
        NRW_TRY(alloc_data(s, t, (size_t)n, err));
        nrw_unpack_bits(t->dtype, src, t->data, n);
        return NRW_OK;
    }
    bool bools = t->dtype == NRW_BOOL && !clean_bools(src, need);
    if (!bools && need >= WORTH_A_VIEW && (uintptr_t)src % (size_t)row->size == 0) {
        t->data = (void *)(uintptr_t)src;
        return NRW_OK;
    }
    NRW_TRY(alloc_data(s, t, need, err));
    if (need > 0) memcpy(t->data, src, need);
    for (size_t i = 0; bools && i < need; i++) {
        ((unsigned char *)t->data)[i] = src[i] != 0;
    }
    return NRW_OK;
}

/* Gathers the numbers of one repeated field. */
static nrw_status gather(const parts *p, uint32_t number, nrw_pb_wire wire, void *out, size_t n,
                         nrw_error *err) {
    nrw_pb r = p->message;
    nrw_pb_field f;
    nrw_pb_numbers numbers = {.wire = wire, .out = out, .cap = n};
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        if (f.number == 0) return NRW_OK;
        if (f.number == number) NRW_TRY(nrw_pb_collect(&numbers, &f, "data", err));
    }
}

static void narrow_ints(const int64_t *src, size_t n, int size, void *dst) {
    for (size_t i = 0; i < n; i++) {
        if (size == 1) ((uint8_t *)dst)[i] = (uint8_t)src[i];
        if (size == 2) ((uint16_t *)dst)[i] = (uint16_t)src[i];
        if (size == 4) ((uint32_t *)dst)[i] = (uint32_t)src[i];
        if (size == 8) ((uint64_t *)dst)[i] = (uint64_t)src[i];
    }
}

/* Varint fields: each element of the field holds one element of the tensor, or, below 8 bits, one
 * byte of packed elements. */
static nrw_status from_varints(nrw_onnx_source *s, const parts *p, uint32_t number, size_t n,
                               nrw_tensor *t, nrw_error *err) {
    const nrw_allocator *a = s->arena->allocator;
    const nrw_dtype_row *row = nrw_dtype_get(t->dtype);
    size_t bytes;
    if (!nrw_mul_size(n, sizeof(int64_t), &bytes)) NRW_OOM(err);
    NRW_TRY(alloc_data(s, t, nrw_tensor_bytes(t), err));
    if (n == 0) return NRW_OK;
    int64_t *numbers = nrw_mem_alloc(a, bytes);
    if (numbers == NULL) NRW_OOM(err);
    nrw_status st = gather(p, number, NRW_PB_VARINT, numbers, n, err);
    if (st == NRW_OK && is_packed(t->dtype)) {
        narrow_ints(numbers, n, 1, numbers); /* in place: writes stay behind reads */
        nrw_unpack_bits(t->dtype, (unsigned char *)numbers, t->data, nrw_tensor_count(t));
    } else if (st == NRW_OK) {
        for (size_t i = 0; t->dtype == NRW_BOOL && i < n; i++) numbers[i] = numbers[i] != 0;
        narrow_ints(numbers, n, row->size, t->data);
    }
    nrw_mem_free(a, numbers, bytes);
    return st;
}

static nrw_status from_strings(nrw_onnx_source *s, const parts *p, nrw_tensor *t, nrw_error *err) {
    NRW_TRY(alloc_data(s, t, nrw_tensor_bytes(t), err));
    nrw_string *out = t->data;
    nrw_pb r = p->message;
    nrw_pb_field f;
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        if (f.number == 0) return NRW_OK;
        if (f.number == TENSOR_STRING_DATA) NRW_TRY(nrw_pb_string(&f, "string_data", out++, err));
    }
}

/* Which field holds the elements of a type, how many it has, and how many elements of the field
 * make one of the tensor. */
typedef struct typed_field {
    uint32_t number;
    size_t have, per_element;
    nrw_pb_wire wire;
} typed_field;

static typed_field typed_field_of(const parts *p, nrw_dtype t) {
    switch (t) {
    case NRW_F32:
        return (typed_field){TENSOR_FLOAT_DATA, p->n_float, 1, NRW_PB_FIXED32};
    case NRW_C64:
        return (typed_field){TENSOR_FLOAT_DATA, p->n_float, 2, NRW_PB_FIXED32};
    case NRW_F64:
        return (typed_field){TENSOR_DOUBLE_DATA, p->n_double, 1, NRW_PB_FIXED64};
    case NRW_C128:
        return (typed_field){TENSOR_DOUBLE_DATA, p->n_double, 2, NRW_PB_FIXED64};
    case NRW_I64:
        return (typed_field){TENSOR_INT64_DATA, p->n_int64, 1, NRW_PB_VARINT};
    case NRW_U32:
    case NRW_U64:
        return (typed_field){TENSOR_UINT64_DATA, p->n_uint64, 1, NRW_PB_VARINT};
    case NRW_STRING:
        return (typed_field){TENSOR_STRING_DATA, p->n_strings, 1, NRW_PB_BYTES};
    default:
        return (typed_field){TENSOR_INT32_DATA, p->n_int32, 1, NRW_PB_VARINT};
    }
}

static nrw_status from_typed(nrw_onnx_source *s, const parts *p, size_t packed, nrw_tensor *t,
                             nrw_error *err) {
    typed_field field = typed_field_of(p, t->dtype);
    size_t n = (size_t)nrw_tensor_count(t), need;
    if (is_packed(t->dtype)) n = packed;
    if (!nrw_mul_size(n, field.per_element, &need) || need != field.have) {
        char text[128];
        nrw_type type = nrw_type_make(t->dtype, t->rank, t->dims);
        NRW_FAIL(err, NRW_ERR_FORMAT, "%s has %zu numbers in its data",
                 nrw_type_str(&type, text, sizeof text), field.have);
    }
    if (field.wire == NRW_PB_VARINT) return from_varints(s, p, field.number, n, t, err);
    if (field.wire == NRW_PB_BYTES) return from_strings(s, p, t, err);
    NRW_TRY(alloc_data(s, t, nrw_tensor_bytes(t), err));
    return gather(p, field.number, field.wire, t->data, need, err);
}

/* Checks type and dims; the tensor has no data yet. */
static nrw_status make_frame(int64_t code, size_t rank, const int64_t *dims, nrw_tensor *t,
                             nrw_error *err) {
    size_t ignored;
    nrw_dtype dtype = code > 0 && code < 1000 ? nrw_dtype_from_onnx((int)code) : NRW_NONE;
    if (dtype == NRW_NONE) {
        NRW_FAIL(err, code == 0 ? NRW_ERR_FORMAT : NRW_ERR_UNSUPPORTED,
                 "data type %" PRId64 " is unknown", code);
    }
    if (rank > NRW_MAX_RANK) {
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "%zu axes, at most %d are handled", rank, NRW_MAX_RANK);
    }
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] < 0) NRW_FAIL(err, NRW_ERR_FORMAT, "dim %zu is %" PRId64, i, dims[i]);
    }
    NRW_TRY(nrw_checked_bytes(dtype, (int)rank, dims, &ignored, err));
    *t = nrw_tensor_make(dtype, (int)rank, dims, NULL);
    return NRW_OK;
}

nrw_status nrw_onnx_tensor(nrw_onnx_source *s, nrw_pb r, nrw_tensor *out, nrw_string *name,
                           nrw_error *err) {
    parts p = {0};
    size_t packed = 0;
    NRW_TRY(read_parts(r, &p, err));
    if (name != NULL) *name = p.name;
    if (p.has_segment) NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "tensors in segments are not handled");
    NRW_TRY(make_frame(p.code, p.rank, p.dims, out, err));
    if (out->dtype != NRW_STRING && !nrw_packed_size(out->dtype, nrw_tensor_count(out), &packed)) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "its size does not fit");
    }
    if (p.location == LOCATION_EXTERNAL) {
        NRW_TRY(find_external(s, &p, packed, &p.raw, err));
        p.has_raw = true;
    }
    if (p.has_raw && (p.raw.size > 0 || p.n_strings == 0)) {
        return from_raw(s, p.raw, packed, out, err);
    }
    return from_typed(s, &p, packed, out, err);
}

/* Sparse tensors. */

/* Writing a dense tensor far larger than the file is how a small file could take all memory. */
static nrw_status check_expansion(const nrw_tensor *dense, size_t file_bytes, nrw_error *err) {
    enum { always_fine = 64 << 20, ratio = 65536 };
    size_t bytes = nrw_tensor_bytes(dense);
    if (bytes > always_fine && bytes / ratio > file_bytes) {
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "a sparse tensor of %zu bytes expands to %zu",
                 file_bytes, bytes);
    }
    return NRW_OK;
}

/* Where element k of the values goes; -1 when its index is out of bounds. Indices are linear [n],
 * or one row of coordinates for each [n, rank]. */
static int64_t sparse_position(const nrw_tensor *dense, const nrw_tensor *indices, int64_t k) {
    const int64_t *index = indices->data;
    if (indices->rank == 1) {
        return index[k] >= 0 && index[k] < nrw_tensor_count(dense) ? index[k] : -1;
    }
    int64_t at = 0;
    for (int d = 0; d < dense->rank; d++) {
        int64_t i = index[k * dense->rank + d];
        if (i < 0 || i >= dense->dims[d]) return -1;
        at = at * dense->dims[d] + i;
    }
    return at;
}

static nrw_status scatter(const nrw_tensor *values, const nrw_tensor *indices, nrw_tensor *dense,
                          nrw_error *err) {
    size_t size = (size_t)nrw_dtype_size(dense->dtype);
    int64_t n = nrw_tensor_count(values);
    bool linear = indices->rank == 1 && indices->dims[0] == n;
    bool rows = indices->rank == 2 && indices->dims[0] == n && indices->dims[1] == dense->rank;
    if (values->rank != 1 || indices->dtype != NRW_I64 || (!linear && !rows)) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "sparse tensor: values and indices do not fit together");
    }
    for (int64_t k = 0; k < n; k++) {
        int64_t at = sparse_position(dense, indices, k);
        if (at < 0) {
            NRW_FAIL(err, NRW_ERR_FORMAT, "sparse tensor: index %" PRId64 " is out of bounds", k);
        }
        memcpy((char *)dense->data + (size_t)at * size,
               (const char *)values->data + (size_t)k * size, size);
    }
    return NRW_OK;
}

nrw_status nrw_onnx_sparse(nrw_onnx_source *s, nrw_pb r, nrw_tensor *out, nrw_string *name,
                           nrw_error *err) {
    nrw_pb_field f;
    nrw_pb inner;
    nrw_tensor values = {0}, indices = {0};
    int64_t dims[NRW_MAX_RANK];
    nrw_pb_numbers all_dims = {.wire = NRW_PB_VARINT, .out = dims, .cap = NRW_MAX_RANK};
    size_t file_bytes = (size_t)(r.end - r.at);
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, err));
        if (f.number == 0) break;
        if (f.number == SPARSE_DIMS) {
            NRW_TRY(nrw_pb_collect(&all_dims, &f, "dims", err));
        } else if (f.number == SPARSE_VALUES) {
            NRW_TRY(nrw_pb_enter(&r, &f, "values", &inner, err));
            NRW_TRY(nrw_onnx_tensor(s, inner, &values, name, err));
        } else if (f.number == SPARSE_INDICES) {
            NRW_TRY(nrw_pb_enter(&r, &f, "indices", &inner, err));
            NRW_TRY(nrw_onnx_tensor(s, inner, &indices, NULL, err));
        }
    }
    if (values.dtype == NRW_NONE || indices.dtype == NRW_NONE) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "sparse tensor without values or indices");
    }
    NRW_TRY(make_frame(nrw_dtype_get(values.dtype)->onnx, all_dims.count, dims, out, err));
    NRW_TRY(check_expansion(out, file_bytes, err));
    NRW_TRY(nrw_tensor_new(s->arena, out->dtype, out->rank, dims, out, err));
    return scatter(&values, &indices, out, err);
}
