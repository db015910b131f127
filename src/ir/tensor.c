/* Types and plain tensors. Quantized ones: quant.c. */
#include "ir/tensor.h"

#include <stdio.h>
#include <string.h>

nrw_type nrw_type_unknown(void) {
    nrw_type t = {.rank = NRW_RANK_UNKNOWN};
    return t;
}

nrw_type nrw_type_make(nrw_dtype dtype, int rank, const int64_t *dims) {
    nrw_type t = {.kind = NRW_TENSOR, .dtype = dtype, .rank = rank};
    for (int i = 0; i < rank; i++) t.dims[i] = dims[i];
    return t;
}

nrw_type nrw_type_of(const nrw_tensor *t) {
    /* A sequence's elements may each have a shape of their own; an empty optional has none. */
    bool shapeless = t->kind == NRW_SEQUENCE || t->kind == NRW_OPTIONAL_SEQUENCE ||
                     (t->kind != NRW_TENSOR && t->dtype == NRW_NONE);
    nrw_type type = nrw_type_make(t->dtype, shapeless ? 0 : t->rank, t->dims);
    if (shapeless) type.rank = NRW_RANK_UNKNOWN;
    type.kind = t->kind;
    return type;
}

bool nrw_type_is_static(const nrw_type *t) {
    if (t->rank < 0 || t->kind != NRW_TENSOR) return false;
    for (int i = 0; i < t->rank; i++) {
        if (t->dims[i] < 0) return false;
    }
    return true;
}

int64_t nrw_type_count(const nrw_type *t) {
    if (!nrw_type_is_static(t)) return -1;
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) {
        if (!nrw_mul_i64(n, t->dims[i], &n)) return -1;
    }
    return n;
}

const char *nrw_type_str(const nrw_type *t, char *buf, size_t n) {
    static const char *const wrap[] = {"", "seq(", "optional(", "optional(seq("};
    static const char *const unwrap[] = {"", ")", ")", "))"};
    size_t at = (size_t)snprintf(buf, n, "%s%s[", wrap[t->kind], nrw_dtype_name(t->dtype));
    if (t->rank < 0 && at < n) at += (size_t)snprintf(buf + at, n - at, "...");
    for (int i = 0; i < t->rank && at < n; i++) {
        const char *comma = i > 0 ? "," : "";
        if (t->dims[i] < 0)
            at += (size_t)snprintf(buf + at, n - at, "%s?", comma);
        else
            at += (size_t)snprintf(buf + at, n - at, "%s%lld", comma, (long long)t->dims[i]);
    }
    if (at < n) snprintf(buf + at, n - at, "]%s", unwrap[t->kind]);
    return buf;
}

bool nrw_dims_equal(int rank_a, const int64_t *a, int rank_b, const int64_t *b) {
    return rank_a == rank_b && (rank_a <= 0 || memcmp(a, b, (size_t)rank_a * sizeof *a) == 0);
}

int64_t nrw_tensor_count(const nrw_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dims[i];
    return n;
}

size_t nrw_tensor_bytes(const nrw_tensor *t) {
    return (size_t)nrw_tensor_count(t) * (size_t)nrw_dtype_size(t->dtype);
}

nrw_status nrw_checked_bytes(nrw_dtype dtype, int rank, const int64_t *dims, size_t *bytes,
                             nrw_error *err) {
    if (rank < 0 || rank > NRW_MAX_RANK)
        NRW_FAIL(err, NRW_ERR_SHAPE, "%d axes; at most %d are handled", rank, NRW_MAX_RANK);
    /* The product of the nonzero dims must fit too: a zero elsewhere must not hide an overflow. */
    int64_t nonzero = nrw_dtype_size(dtype);
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0)
            NRW_FAIL(err, NRW_ERR_SHAPE, "axis %d has length %lld", i, (long long)dims[i]);
        if (dims[i] == 0)
            empty = true;
        else if (!nrw_mul_i64(nonzero, dims[i], &nonzero))
            NRW_FAIL(err, NRW_ERR_SHAPE, "the dimensions multiply past 2^63 bytes");
    }
    *bytes = empty ? 0 : (size_t)nonzero;
    return NRW_OK;
}

nrw_tensor nrw_tensor_make(nrw_dtype dtype, int rank, const int64_t *dims, void *data) {
    nrw_tensor t = {.kind = NRW_TENSOR, .dtype = dtype, .rank = rank, .data = data};
    for (int i = 0; i < rank; i++) t.dims[i] = dims[i];
    return t;
}

nrw_status nrw_tensor_new(nrw_arena *a, nrw_dtype dtype, int rank, const int64_t *dims,
                          nrw_tensor *out, nrw_error *err) {
    size_t bytes;
    NRW_TRY(nrw_checked_bytes(dtype, rank, dims, &bytes, err));
    void *data = nrw_arena_calloc(a, bytes > 0 ? bytes : 1, 1);
    if (data == NULL) NRW_OOM(err);
    *out = nrw_tensor_make(dtype, rank, dims, data);
    return NRW_OK;
}

static nrw_status copy_strings(nrw_arena *a, const nrw_tensor *src, nrw_tensor *out,
                               nrw_error *err) {
    const nrw_string *from = src->data;
    nrw_string *to = out->data;
    int64_t n = nrw_tensor_count(src);
    for (int64_t i = 0; i < n; i++) {
        char *text = nrw_arena_strndup(a, from[i].size > 0 ? from[i].data : "", from[i].size);
        if (text == NULL) NRW_OOM(err);
        to[i] = (nrw_string){text, from[i].size};
    }
    return NRW_OK;
}

nrw_status nrw_tensor_copy(nrw_arena *a, const nrw_tensor *src, nrw_tensor *out, nrw_error *err) {
    nrw_tensor t = *src;
    if (src->quant != NULL) {
        t.quant = nrw_quant_copy(a, src->quant);
        if (t.quant == NULL) NRW_OOM(err);
    }
    if (src->elements != NULL) {
        t.elements = nrw_arena_calloc(a, (size_t)src->n_elements + 1, sizeof *t.elements);
        if (t.elements == NULL) NRW_OOM(err);
        for (int64_t i = 0; i < src->n_elements; i++) {
            NRW_TRY(nrw_tensor_copy(a, &src->elements[i], &t.elements[i], err));
        }
    }
    if (src->data != NULL) {
        size_t bytes = nrw_tensor_bytes(src);
        t.data = nrw_arena_alloc(a, bytes > 0 ? bytes : 1);
        if (t.data == NULL) NRW_OOM(err);
        if (src->dtype == NRW_STRING)
            NRW_TRY(copy_strings(a, src, &t, err));
        else if (bytes > 0)
            memcpy(t.data, src->data, bytes);
    }
    *out = t;
    return NRW_OK;
}

void nrw_strides(int rank, const int64_t *dims, int64_t *strides) {
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= dims[i];
    }
}

bool nrw_normalize_axis(int64_t *axis, int rank) {
    if (*axis < -(int64_t)rank || *axis >= rank) return false;
    if (*axis < 0) *axis += rank;
    return true;
}

/* One axis of a broadcast: 1 yields to anything; unknown yields to a known length other than 1. */
static bool broadcast_dim(int64_t *acc, int64_t d) {
    if (*acc == d || d == 1) return true;
    if (*acc == 1) {
        *acc = d;
        return true;
    }
    if (*acc >= 0 && d >= 0) return false;
    if (*acc < 0 && d >= 0)
        *acc = d;
    else if (*acc < 0 && d < 0)
        *acc = NRW_DIM_UNKNOWN;
    return true;
}

nrw_status nrw_broadcast(int n, const nrw_type *const *in, nrw_type *out, nrw_error *err) {
    int rank = 0;
    for (int k = 0; k < n; k++) {
        if (in[k]->rank < 0) {
            out->rank = NRW_RANK_UNKNOWN;
            return NRW_OK;
        }
        if (in[k]->rank > rank) rank = in[k]->rank;
    }
    int64_t dims[NRW_MAX_RANK];
    for (int i = 0; i < rank; i++) dims[i] = 1;
    for (int k = 0; k < n; k++) {
        int shift = rank - in[k]->rank;
        for (int i = 0; i < in[k]->rank; i++) {
            if (broadcast_dim(&dims[shift + i], in[k]->dims[i])) continue;
            char a[160], b[160];
            NRW_FAIL(err, NRW_ERR_SHAPE, "shapes %s and %s do not broadcast",
                     nrw_type_str(in[0], a, sizeof a), nrw_type_str(in[k], b, sizeof b));
        }
    }
    out->rank = rank;
    memcpy(out->dims, dims, sizeof dims);
    return NRW_OK;
}

nrw_status nrw_tensor_ints(const nrw_tensor *t, int64_t *out, int max, int *n, nrw_error *err) {
    int64_t count = nrw_tensor_count(t);
    if (count > max)
        NRW_FAIL(err, NRW_ERR_SHAPE, "at most %d values expected, got %lld", max, (long long)count);
    if (!nrw_dtype_is_integer(t->dtype))
        NRW_FAIL(err, NRW_ERR_SHAPE, "integers expected, got %s", nrw_dtype_get(t->dtype)->title);
    *n = (int)count;
    return nrw_to_i64(t->dtype, t->data, out, count, err);
}
