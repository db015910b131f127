/* Tensors: types, parameters of quantization, and elements, which may be stored sparse, packed or
 * as text. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "formats/tflite/read.h"

enum { max_sparse_axes = 2 * NRW_MAX_RANK };

typedef struct tensor {
    nrw_fb_table t;
    nrw_string name;
    nrw_type type;              /* as stored; lengths that are not fixed are unknown */
    int64_t dims[NRW_MAX_RANK]; /* as the file gives them for the elements */
    const nrw_quant *quant;
} tensor;

static nrw_status read_dims(nrw_tflite_scope *s, tensor *t) {
    nrw_error *err = s->reader->err;
    const nrw_fb_vector dims = nrw_fb_vec(&t->t, TENSOR_SHAPE, 4);
    const nrw_fb_vector open = nrw_fb_vec(&t->t, TENSOR_SIGNATURE, 4);
    if (dims.n > NRW_MAX_RANK)
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "%zu dimensions; at most %d are supported", dims.n,
                 NRW_MAX_RANK);
    t->type.rank = (int)dims.n;
    for (size_t i = 0; i < dims.n; i++) {
        t->dims[i] = nrw_fb_int_at(&dims, NRW_FB_I32, i);
        if (t->dims[i] < 0)
            NRW_FAIL(err, NRW_ERR_FORMAT, "dimension %zu is %" PRId64, i, t->dims[i]);
        const bool fixed = s->reader->varying == 0 &&
                           (open.n != dims.n || nrw_fb_int_at(&open, NRW_FB_I32, i) >= 0);
        t->type.dims[i] = fixed ? t->dims[i] : NRW_DIM_UNKNOWN;
    }
    return NRW_OK;
}

/* Quantization. */

static bool is_storage(nrw_dtype t) {
    return t == NRW_U8 || t == NRW_I8 || t == NRW_I16 || t == NRW_U16 || t == NRW_I4 ||
           t == NRW_U4 || t == NRW_I2 || t == NRW_I32 || t == NRW_I64;
}

static nrw_quant *new_quant(nrw_tflite_scope *s, nrw_dtype dtype, int64_t count, float **scale,
                            int32_t **zero) {
    nrw_arena *a = &s->reader->model->arena;
    nrw_quant *q = nrw_arena_calloc(a, 1, sizeof *q);
    *scale = nrw_arena_calloc(a, (size_t)count, sizeof **scale);
    *zero = nrw_arena_calloc(a, (size_t)count, sizeof **zero);
    if (q == NULL || *scale == NULL || *zero == NULL) return NULL;
    *q = (nrw_quant){.dtype = dtype,
                     .axis = -1,
                     .count = count,
                     .scale = *scale,
                     .zero_point = *zero,
                     .rounding = dtype == NRW_U8 ? NRW_ROUND_LITERT_U8 : NRW_ROUND_LITERT};
    return q;
}

/* A scale of 0 belongs to a channel whose weights are all 0; annotations have positive ones. */
static bool take_scale(float x, float *out) {
    *out = x == 0 ? FLT_MIN : x;
    return x >= 0 && isfinite(x);
}

static bool has_blocks(const nrw_fb_table *q) {
    return nrw_fb_int(q, QUANT_DETAILS_TYPE, NRW_FB_U8, 0) == NRW_TFLITE_BLOCKWISE;
}

/* Scales in a tensor of their own, for each block along an axis. */
static nrw_status read_blocks(nrw_tflite_scope *s, tensor *t, const nrw_fb_table *q) {
    nrw_error *err = s->reader->err;
    const nrw_fb_table d = nrw_fb_child(q, QUANT_DETAILS);
    const int64_t index = nrw_fb_int(&d, BLOCKWISE_SCALES, NRW_FB_I32, 0);
    const int64_t block = nrw_fb_int(&d, BLOCKWISE_SIZE, NRW_FB_I32, 0);
    int64_t axis = nrw_fb_int(q, QUANT_AXIS, NRW_FB_I32, 0);
    nrw_value *v;
    const bool listed = index >= 0 && (size_t)index < s->tensors.n;
    const nrw_fb_table scales = nrw_fb_table_at(&s->tensors, listed ? (size_t)index : 0);
    const nrw_fb_table own = nrw_fb_child(&scales, TENSOR_QUANT);
    if (has_blocks(&own)) NRW_FAIL(err, NRW_ERR_FORMAT, "its scales have blocks themselves");
    NRW_TRY(nrw_tflite_value(s, index, NRW_TFLITE_READ, &v));
    if (v->data == NULL || block < 1 || axis < 0 || axis >= t->type.rank)
        NRW_FAIL(err, NRW_ERR_FORMAT, "its blocks of scales make no sense");
    /* Blocks run along the last axis in what converters write, whatever the axis says. */
    axis = t->type.rank - 1;
    const int64_t n = nrw_tensor_count(v->data);
    float *scale;
    int32_t *zero;
    int64_t elements = 1;
    for (int i = 0; i < t->type.rank; i++) elements *= t->dims[i];
    if (n < 1 || t->dims[axis] % block != 0 || n * block != elements)
        NRW_FAIL(err, NRW_ERR_FORMAT, "%" PRId64 " scales for blocks of %" PRId64, n, block);
    nrw_quant *out = new_quant(s, t->type.dtype, n, &scale, &zero);
    if (out == NULL) NRW_OOM(err);
    NRW_TRY(nrw_to_f32(v->data->dtype, v->data->data, scale, n, err));
    for (int64_t i = 0; i < n; i++) {
        if (!take_scale(scale[i], &scale[i]))
            NRW_FAIL(err, NRW_ERR_FORMAT, "a scale is not positive");
    }
    out->axis = (int32_t)axis;
    out->block = block;
    t->quant = out;
    return NRW_OK;
}

static nrw_status read_quant(nrw_tflite_scope *s, tensor *t) {
    nrw_error *err = s->reader->err;
    const nrw_fb_table q = nrw_fb_child(&t->t, TENSOR_QUANT);
    if (!is_storage(t->type.dtype)) return NRW_OK;
    if (has_blocks(&q)) return read_blocks(s, t, &q);
    const nrw_fb_vector scales = nrw_fb_vec(&q, QUANT_SCALE, 4);
    const nrw_fb_vector zeros = nrw_fb_vec(&q, QUANT_ZERO, 8);
    const int64_t n = (int64_t)scales.n, axis = nrw_fb_int(&q, QUANT_AXIS, NRW_FB_I32, 0);
    float *scale;
    int32_t *zero;
    if (n == 0) return NRW_OK;
    if (n > 1 && (axis < 0 || axis >= t->type.rank || t->dims[axis] != n))
        NRW_FAIL(err, NRW_ERR_FORMAT, "%" PRId64 " scales along axis %" PRId64, n, axis);
    if (zeros.n != 0 && zeros.n != 1 && zeros.n != scales.n)
        NRW_FAIL(err, NRW_ERR_FORMAT, "%zu zero points for %" PRId64 " scales", zeros.n, n);
    nrw_quant *out = new_quant(s, t->type.dtype, n, &scale, &zero);
    if (out == NULL) NRW_OOM(err);
    const nrw_dtype_row *row = nrw_dtype_get(t->type.dtype);
    for (int64_t i = 0; i < n; i++) {
        const int64_t z =
            zeros.n > 0 ? nrw_fb_int_at(&zeros, NRW_FB_I64, zeros.n > 1 ? (size_t)i : 0) : 0;
        if (!take_scale(nrw_fb_f32_at(&scales, (size_t)i), &scale[i]))
            NRW_FAIL(err, NRW_ERR_FORMAT, "scale %" PRId64 " is not a positive number", i);
        if (z < row->min || z > row->max || z != (int32_t)z)
            NRW_FAIL(err, NRW_ERR_FORMAT, "zero point %" PRId64 " is no %s", z, row->title);
        zero[i] = (int32_t)z;
    }
    out->axis = n > 1 ? (int32_t)axis : -1;
    t->quant = out;
    return NRW_OK;
}

/* Elements. */

/* The bytes of a buffer; 0 of them where the file has none. */
static nrw_status find_bytes(nrw_tflite_scope *s, const tensor *t, nrw_string *out) {
    nrw_tflite_reader *r = s->reader;
    const uint64_t index = (uint64_t)nrw_fb_int(&t->t, TENSOR_BUFFER, NRW_FB_U32, 0);
    *out = (nrw_string){"", 0};
    if (index >= r->buffers.n) {
        if (index == 0) return NRW_OK;
        NRW_FAIL(r->err, NRW_ERR_FORMAT, "buffer %" PRIu64 " of %zu", index, r->buffers.n);
    }
    if (nrw_fb_int(&t->t, TENSOR_EXTERNAL, NRW_FB_U32, 0) != 0)
        NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "its elements are in another file");
    const nrw_fb_table b = nrw_fb_table_at(&r->buffers, index);
    const uint64_t at = (uint64_t)nrw_fb_int(&b, BUFFER_OFFSET, NRW_FB_U64, 0);
    const uint64_t n = (uint64_t)nrw_fb_int(&b, BUFFER_SIZE, NRW_FB_U64, 0);
    if (at <= 1) {
        *out = nrw_fb_bytes(&b, BUFFER_DATA);
        return nrw_fb_check(&r->fb, r->err);
    }
    if (at > r->fb.size || n > r->fb.size - at)
        NRW_FAIL(r->err, NRW_ERR_FORMAT, "bytes %" PRIu64 " to %" PRIu64 " are not in the file", at,
                 at + n);
    *out = (nrw_string){(const char *)r->fb.data + at, n};
    return NRW_OK;
}

static nrw_status wrong_size(nrw_tflite_reader *r, size_t want, size_t got) {
    NRW_FAIL(r->err, NRW_ERR_FORMAT, "%zu bytes of elements expected, got %zu", want, got);
}

/* Text: the number of strings, where each begins and where the last ends, then the letters. */
static nrw_status read_strings(nrw_tflite_scope *s, const tensor *t, nrw_string bytes,
                               nrw_tensor *out) {
    nrw_tflite_reader *r = s->reader;
    NRW_TRY(nrw_tensor_new(&r->model->arena, NRW_STRING, t->type.rank, t->dims, out, r->err));
    const uint64_t n = (uint64_t)nrw_tensor_count(out);
    const unsigned char *p = (const unsigned char *)bytes.data;
    uint32_t count = 0, from, to;
    if (bytes.size >= 4) memcpy(&count, p, 4);
    if (count != n || bytes.size < 4 * (n + 2)) return wrong_size(r, 4 * (n + 2), bytes.size);
    for (uint64_t i = 0; i < n; i++) {
        memcpy(&from, p + 4 + 4 * i, 4);
        memcpy(&to, p + 8 + 4 * i, 4);
        if (from > to || to > bytes.size)
            NRW_FAIL(r->err, NRW_ERR_FORMAT, "a string leads outside");
        ((nrw_string *)out->data)[i] = (nrw_string){bytes.data + from, to - from};
    }
    return NRW_OK;
}

/* Sparse elements: https://arxiv.org/abs/1804.10112 (TACO), as lite/kernels/internal/utils/
 * sparsity_format_converter.h has it: the axes in traversal order, then the axes within blocks;
 * each is dense, or lists the indices that are there for each position of the axes before it. */
typedef struct sparse {
    int rank, axes;
    int64_t order[max_sparse_axes], block_map[max_sparse_axes], size[max_sparse_axes];
    bool compressed[max_sparse_axes];
    nrw_fb_vector segments[max_sparse_axes], indices[max_sparse_axes];
    nrw_fb_kind segment_kind[max_sparse_axes], index_kind[max_sparse_axes];
    int64_t at[max_sparse_axes]; /* the position in each axis, by traversal */
    int64_t dense[NRW_MAX_RANK], block[NRW_MAX_RANK];
    const char *values;
    uint64_t n_values, next;
    size_t size_of_element;
} sparse;

static nrw_fb_vector read_index_vector(const nrw_fb_table *d, int type_slot, nrw_fb_kind *kind) {
    static const nrw_fb_kind kinds[] = {NRW_FB_I32, NRW_FB_I32, NRW_FB_U16, NRW_FB_U8};
    const int64_t type = nrw_fb_int(d, type_slot, NRW_FB_U8, 0);
    const nrw_fb_table v = nrw_fb_child(d, type_slot + 1);
    *kind = kinds[type >= 1 && type <= 3 ? type : 0];
    return nrw_fb_vec(&v, 0, nrw_fb_kind_size(*kind));
}

static nrw_status read_sparsity(nrw_tflite_scope *s, const tensor *t, sparse *x) {
    nrw_tflite_reader *r = s->reader;
    const nrw_fb_table p = nrw_fb_child(&t->t, TENSOR_SPARSITY);
    const nrw_fb_vector order = nrw_fb_vec(&p, SPARSITY_ORDER, 4);
    const nrw_fb_vector map = nrw_fb_vec(&p, SPARSITY_BLOCK_MAP, 4);
    const nrw_fb_vector dims = nrw_fb_vec(&p, SPARSITY_DIMS, 4);
    x->rank = t->type.rank;
    x->axes = (int)order.n;
    bool fine = order.n <= max_sparse_axes && order.n == (size_t)x->rank + map.n &&
                dims.n == order.n && map.n <= (size_t)x->rank;
    for (int i = 0; i < x->rank; i++) x->block[i] = 1;
    for (size_t i = 0; fine && i < order.n; i++) {
        const nrw_fb_table d = nrw_fb_table_at(&dims, i);
        x->order[i] = nrw_fb_int_at(&order, NRW_FB_I32, i);
        x->compressed[i] = nrw_fb_int(&d, DIM_FORMAT, NRW_FB_I8, 0) == 1;
        x->size[i] = nrw_fb_int(&d, DIM_DENSE_SIZE, NRW_FB_I32, 0);
        x->segments[i] = read_index_vector(&d, DIM_SEGMENTS_TYPE, &x->segment_kind[i]);
        x->indices[i] = read_index_vector(&d, DIM_INDICES_TYPE, &x->index_kind[i]);
        fine = x->order[i] >= 0 && x->order[i] < (int64_t)order.n &&
               (x->compressed[i] || x->size[i] > 0);
        if (fine && i >= (size_t)x->rank) {
            const size_t k = (size_t)x->order[i] - (size_t)x->rank;
            fine = x->order[i] >= x->rank && k < map.n && !x->compressed[i];
            const int64_t axis = fine ? nrw_fb_int_at(&map, NRW_FB_I32, k) : -1;
            fine = fine && axis >= 0 && axis < x->rank;
            if (fine) x->block[axis] = x->size[i];
            x->block_map[i] = axis > 0 ? axis : 0;
        } else {
            fine = fine && x->order[i] < x->rank;
        }
    }
    if (!fine) NRW_FAIL(r->err, NRW_ERR_FORMAT, "its sparsity makes no sense");
    return nrw_fb_check(&r->fb, r->err);
}

/* Puts the elements of everything below position `before` of the axes so far. */
static bool unfold(sparse *x, int axis, int64_t before, char *out) {
    if (axis == x->axes) {
        int64_t at[NRW_MAX_RANK] = {0}, flat = 0;
        for (int i = 0; i < x->rank; i++) at[x->order[i]] = x->at[i] * x->block[x->order[i]];
        for (int i = x->rank > 0 ? x->rank : 0; i < x->axes; i++) at[x->block_map[i]] += x->at[i];
        for (int i = 0; i < x->rank; i++) {
            if (at[i] >= x->dense[i]) return false;
            flat = flat * x->dense[i] + at[i];
        }
        if (x->next >= x->n_values) return false;
        memcpy(out + (size_t)flat * x->size_of_element, x->values + x->next++ * x->size_of_element,
               x->size_of_element);
        return true;
    }
    if (!x->compressed[axis]) {
        for (int64_t i = 0; i < x->size[axis]; i++) {
            x->at[axis] = i;
            if (!unfold(x, axis + 1, before * x->size[axis] + i, out)) return false;
        }
        return true;
    }
    const nrw_fb_vector *seg = &x->segments[axis], *ind = &x->indices[axis];
    if ((uint64_t)before + 1 >= seg->n) return false;
    const int64_t from = nrw_fb_int_at(seg, x->segment_kind[axis], (size_t)before);
    const int64_t to = nrw_fb_int_at(seg, x->segment_kind[axis], (size_t)before + 1);
    if (from < 0 || to < from || (uint64_t)to > ind->n) return false;
    for (int64_t i = from; i < to; i++) {
        x->at[axis] = nrw_fb_int_at(ind, x->index_kind[axis], (size_t)i);
        if (x->at[axis] < 0 || !unfold(x, axis + 1, i, out)) return false;
    }
    return true;
}

static nrw_status read_sparse(nrw_tflite_scope *s, const tensor *t, nrw_string bytes,
                              nrw_tensor *out) {
    enum { most = 64 }; /* times the elements stored: more is not worth storing sparse */
    nrw_tflite_reader *r = s->reader;
    sparse x = {.values = bytes.data};
    size_t dense;
    NRW_TRY(read_sparsity(s, t, &x));
    NRW_TRY(nrw_checked_bytes(t->type.dtype, t->type.rank, t->dims, &dense, r->err));
    x.size_of_element = (size_t)nrw_dtype_size(t->type.dtype);
    if (nrw_dtype_get(t->type.dtype)->bits % 8 != 0 || dense / most > bytes.size + 4096)
        NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "%zu sparse bytes for %zu", bytes.size, dense);
    x.n_values = bytes.size / x.size_of_element;
    memcpy(x.dense, t->dims, sizeof x.dense);
    NRW_TRY(nrw_tensor_new(&r->model->arena, t->type.dtype, t->type.rank, t->dims, out, r->err));
    if (t->quant != NULL && t->quant->zero_point[0] != 0)
        NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "sparse elements with a zero point");
    if (!unfold(&x, 0, 0, out->data))
        NRW_FAIL(r->err, NRW_ERR_FORMAT, "its sparse elements lead outside");
    return NRW_OK;
}

static nrw_status read_elements(nrw_tflite_scope *s, const tensor *t, nrw_string bytes,
                                nrw_tensor *out) {
    nrw_tflite_reader *r = s->reader;
    nrw_arena *a = &r->model->arena;
    const nrw_dtype_row *row = nrw_dtype_get(t->type.dtype);
    size_t want, packed;
    if (t->type.dtype == NRW_STRING) return read_strings(s, t, bytes, out);
    if (nrw_fb_has(&t->t, TENSOR_SPARSITY)) return read_sparse(s, t, bytes, out);
    NRW_TRY(nrw_checked_bytes(t->type.dtype, t->type.rank, t->dims, &want, r->err));
    *out = nrw_tensor_make(t->type.dtype, t->type.rank, t->dims, NULL);
    if (row->bits < 8) {
        const int64_t n = nrw_tensor_count(out);
        if (!nrw_packed_size(t->type.dtype, n, &packed) || packed != bytes.size)
            return wrong_size(r, packed, bytes.size);
        NRW_TRY(nrw_tensor_new(a, t->type.dtype, t->type.rank, t->dims, out, r->err));
        nrw_unpack_bits(t->type.dtype, (const unsigned char *)bytes.data, out->data, n);
        return NRW_OK;
    }
    if (want != bytes.size) return wrong_size(r, want, bytes.size);
    const size_t align = (size_t)(row->size < 16 ? row->size : 16);
    out->data = (void *)(uintptr_t)bytes.data;
    if ((uintptr_t)bytes.data % align == 0) return NRW_OK;
    out->data = nrw_arena_dup(a, bytes.data, want);
    if (out->data == NULL) NRW_OOM(r->err);
    return NRW_OK;
}

/* Quantized 64-bit integers are the biases of 16-bit layers: 32 bits nearly always do, and real
 * numbers do otherwise. */
static nrw_status narrow_bias(nrw_tflite_scope *s, tensor *t, nrw_tensor *x) {
    nrw_tflite_reader *r = s->reader;
    const int64_t n = nrw_tensor_count(x), *from = x->data;
    const nrw_quant *q = t->quant;
    bool fits = true;
    nrw_tensor y;
    for (int64_t i = 0; i < n; i++) fits = fits && from[i] == (int32_t)from[i];
    NRW_TRY(
        nrw_tensor_new(&r->model->arena, fits ? NRW_I32 : NRW_F32, x->rank, x->dims, &y, r->err));
    if (!fits && q->axis >= 0 && x->rank != 1)
        NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "64-bit integers with scales of their own");
    for (int64_t i = 0; i < n; i++) {
        if (fits)
            ((int32_t *)y.data)[i] = (int32_t)from[i];
        else
            ((float *)y.data)[i] =
                (float)((double)q->scale[q->axis >= 0 ? i : 0] * (double)from[i]);
    }
    nrw_quant *narrow = nrw_quant_copy(&r->model->arena, q);
    if (narrow == NULL) NRW_OOM(r->err);
    narrow->dtype = NRW_I32;
    t->quant = fits ? narrow : NULL;
    *x = y;
    return NRW_OK;
}

/* Values. */

static nrw_status make_constant(nrw_tflite_scope *s, tensor *t, nrw_string bytes, nrw_value **out) {
    nrw_tflite_reader *r = s->reader;
    nrw_tensor *x = nrw_arena_calloc(&r->model->arena, 1, sizeof *x);
    if (x == NULL) NRW_OOM(r->err);
    NRW_TRY(read_elements(s, t, bytes, x));
    if (t->quant != NULL && t->type.dtype == NRW_I64) NRW_TRY(narrow_bias(s, t, x));
    x->quant = t->quant;
    const char *name = nrw_tflite_fresh_name(r, t->name);
    *out = name != NULL ? nrw_const_new(s->graph, name, x) : NULL;
    if (*out == NULL) NRW_OOM(r->err);
    return NRW_OK;
}

/* State that lives from one run to the next begins as zeros, and does so on every run. */
static nrw_status make_zeros(nrw_tflite_scope *s, tensor *t, nrw_value **out) {
    enum { most = 1 << 28 };
    nrw_tflite_reader *r = s->reader;
    nrw_tensor x;
    size_t bytes;
    NRW_TRY(nrw_checked_bytes(t->type.dtype, t->type.rank, t->dims, &bytes, r->err));
    if (bytes > most) NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "%zu bytes of state", bytes);
    if (r->looping > 0 && nrw_fb_int(&t->t, TENSOR_IS_VARIABLE, NRW_FB_BOOL, 0) != 0)
        NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "a state within what may run again");
    NRW_TRY(nrw_tensor_new(&r->model->arena, t->type.dtype, t->type.rank, t->dims, &x, r->err));
    if (t->quant != NULL && t->type.dtype != NRW_I64) {
        const int64_t n = nrw_tensor_count(&x);
        for (int64_t i = 0; i < n; i++) {
            memcpy((char *)x.data + i * nrw_dtype_size(x.dtype), &t->quant->zero_point[0],
                   (size_t)nrw_dtype_size(x.dtype));
        }
        x.quant = t->quant;
    }
    const char *name = nrw_tflite_fresh_name(r, t->name);
    *out = name != NULL ? nrw_const_new(s->graph, name, &x) : NULL;
    if (*out == NULL) NRW_OOM(r->err);
    (*out)->is_state = nrw_fb_int(&t->t, TENSOR_IS_VARIABLE, NRW_FB_BOOL, 0) != 0;
    return NRW_OK;
}

static nrw_status make_variable(nrw_tflite_scope *s, tensor *t, nrw_value **out) {
    nrw_tflite_reader *r = s->reader;
    const char *name = nrw_tflite_fresh_name(r, t->name);
    nrw_type type = t->type;
    if (t->quant != NULL) type.dtype = NRW_F32;
    *out = name != NULL ? nrw_value_new(s->graph, name, &type) : NULL;
    if (*out == NULL) NRW_OOM(r->err);
    (*out)->quant = t->quant;
    return NRW_OK;
}

static nrw_status read_tensor(nrw_tflite_scope *s, tensor *t, nrw_tflite_role role,
                              nrw_value **out) {
    nrw_tflite_reader *r = s->reader;
    const int code = (int)nrw_fb_int(&t->t, TENSOR_TYPE, NRW_FB_I8, 0);
    nrw_string bytes;
    t->type.dtype = nrw_dtype_from_tflite(code);
    NRW_TRY(read_dims(s, t));
    NRW_TRY(read_quant(s, t));
    NRW_TRY(find_bytes(s, t, &bytes));
    NRW_TRY(nrw_fb_check(&r->fb, r->err));
    if (role == NRW_TFLITE_MADE) return make_variable(s, t, out);
    if (t->type.dtype == NRW_NONE)
        NRW_FAIL(r->err, NRW_ERR_UNSUPPORTED, "elements of type %d are not supported", code);
    nrw_type shape = nrw_type_make(t->type.dtype, t->type.rank, t->dims);
    if (bytes.size > 0 || nrw_type_count(&shape) == 0) return make_constant(s, t, bytes, out);
    if (role == NRW_TFLITE_SHOWN || nrw_fb_int(&t->t, TENSOR_IS_VARIABLE, NRW_FB_BOOL, 0))
        return make_zeros(s, t, out);
    NRW_FAIL(r->err, NRW_ERR_FORMAT, "it is read, but nothing makes it");
}

nrw_status nrw_tflite_value(nrw_tflite_scope *s, int64_t index, nrw_tflite_role role,
                            nrw_value **out) {
    nrw_tflite_reader *r = s->reader;
    if (index < 0 || (uint64_t)index >= s->tensors.n)
        NRW_FAIL(r->err, NRW_ERR_FORMAT, "tensor %" PRId64 " of %zu", index, s->tensors.n);
    *out = s->values[index];
    if (*out != NULL) {
        if (role != NRW_TFLITE_MADE) return NRW_OK;
        NRW_FAIL(r->err, NRW_ERR_FORMAT, "tensor '%s' is made twice", (*out)->name);
    }
    tensor t = {.t = nrw_fb_table_at(&s->tensors, (size_t)index), .type = nrw_type_unknown()};
    t.name = nrw_fb_text(&t.t, TENSOR_NAME);
    NRW_TRY_CTX(r->err, read_tensor(s, &t, role, out), "tensor '%.*s'",
                (int)(t.name.size < 200 ? t.name.size : 200), t.name.data);
    s->values[index] = *out;
    return NRW_OK;
}
