#include "data/npy.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "ir/tensor.h"

static const struct {
    const char *code;
    nrw_dtype dtype;
} codes[] = {{"f4", NRW_F32}, {"f8", NRW_F64},  {"f2", NRW_F16}, {"u1", NRW_U8},   {"i1", NRW_I8},
             {"u2", NRW_U16}, {"i2", NRW_I16},  {"u4", NRW_U32}, {"i4", NRW_I32},  {"u8", NRW_U64},
             {"i8", NRW_I64}, {"b1", NRW_BOOL}, {"c8", NRW_C64}, {"c16", NRW_C128}};
enum { CODES = sizeof codes / sizeof *codes };

/* The header is a Python dictionary literal with three known keys. */
typedef struct reader {
    const char *at, *end;
} reader;

static void skip_space(reader *r) {
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at) r->at++;
}

static bool accept(reader *r, char c) {
    skip_space(r);
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

/* A quoted text without escapes. */
static bool read_text(reader *r, char *out, size_t size) {
    skip_space(r);
    if (r->at == r->end || (*r->at != '\'' && *r->at != '"')) return false;
    char quote = *r->at++;
    size_t n = 0;
    for (; r->at < r->end && *r->at != quote; r->at++) {
        if (n + 1 == size || *r->at == '\\' || !*r->at) return false;
        out[n++] = *r->at;
    }
    out[n] = 0;
    return accept(r, quote);
}

static bool accept_word(reader *r, const char *word) {
    skip_space(r);
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0) return false;
    r->at += n;
    return true;
}

static bool read_number(reader *r, int64_t *out) {
    skip_space(r);
    const char *start = r->at;
    *out = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        if (!nrw_mul_i64(*out, 10, out) || __builtin_add_overflow(*out, *r->at - '0', out)) {
            return false;
        }
    }
    return r->at > start;
}

static nrw_status read_shape(reader *r, nrw_npy *a, nrw_error *err) {
    a->rank = 0;
    if (!accept(r, '(')) NRW_FAIL(err, NRW_ERR_FORMAT, "npy: malformed shape");
    while (!accept(r, ')')) {
        int64_t dim;
        if (!read_number(r, &dim)) NRW_FAIL(err, NRW_ERR_FORMAT, "npy: malformed shape");
        if (a->rank == NRW_MAX_RANK) {
            NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "npy: more than %d axes", NRW_MAX_RANK);
        }
        a->dims[a->rank++] = dim;
        if (accept(r, ',')) continue;
        if (!accept(r, ')')) NRW_FAIL(err, NRW_ERR_FORMAT, "npy: malformed shape");
        break;
    }
    return NRW_OK;
}

static nrw_status read_descr(reader *r, nrw_npy *a, nrw_error *err) {
    char text[32];
    if (!read_text(r, text, sizeof text)) {
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "npy: records and unusual element types are not read");
    }
    char order = text[0];
    const char *code = order && strchr("<>|=", order) ? text + 1 : text;
    for (int i = 0; i < CODES; i++) {
        if (strcmp(code, codes[i].code) == 0) a->dtype = codes[i].dtype;
    }
    if (a->dtype == NRW_NONE) {
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "npy: element type '%s' is not read%s", text,
                 code[0] == 'O' ? " (it needs Python's pickle)" : "");
    }
    const uint16_t probe = 1;
    unsigned char low_first;
    memcpy(&low_first, &probe, 1);
    a->swapped = nrw_dtype_size(a->dtype) > 1 && order == (low_first ? '>' : '<');
    return NRW_OK;
}

static nrw_status read_dictionary(reader *r, nrw_npy *a, nrw_error *err) {
    bool descr = false, order = false, shape = false;
    if (!accept(r, '{')) NRW_FAIL(err, NRW_ERR_FORMAT, "npy: malformed header");
    while (!accept(r, '}')) {
        char key[32];
        if (!read_text(r, key, sizeof key) || !accept(r, ':')) {
            NRW_FAIL(err, NRW_ERR_FORMAT, "npy: malformed header");
        }
        if (strcmp(key, "descr") == 0 && !descr) {
            descr = true;
            NRW_TRY(read_descr(r, a, err));
        } else if (strcmp(key, "shape") == 0 && !shape) {
            shape = true;
            NRW_TRY(read_shape(r, a, err));
        } else if (strcmp(key, "fortran_order") == 0 && !order) {
            order = true;
            a->fortran = accept_word(r, "True");
            if (!a->fortran && !accept_word(r, "False")) {
                NRW_FAIL(err, NRW_ERR_FORMAT, "npy: malformed header");
            }
        } else {
            NRW_FAIL(err, NRW_ERR_FORMAT, "npy: unexpected key '%s' in the header", key);
        }
        if (accept(r, ',')) continue;
        if (!accept(r, '}')) NRW_FAIL(err, NRW_ERR_FORMAT, "npy: malformed header");
        break;
    }
    if (!descr || !order || !shape) NRW_FAIL(err, NRW_ERR_FORMAT, "npy: incomplete header");
    return NRW_OK;
}

nrw_status nrw_npy_parse(const unsigned char *head, size_t n, uint64_t file_size, nrw_npy *out,
                         nrw_error *err) {
    *out = (nrw_npy){0};
    if (n < 10 || memcmp(head, "\x93NUMPY", 6) != 0) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "npy: not a numpy array (wrong first bytes)");
    }
    int version = head[6];
    size_t prefix = version == 1 ? 10 : 12;
    if (version < 1 || version > 3) {
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "npy: format %d.%d", version, head[7]);
    }
    if (n < prefix) NRW_FAIL(err, NRW_ERR_FORMAT, "npy: truncated header");
    size_t length = (size_t)head[8] | (size_t)head[9] << 8;
    if (version > 1) length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    if (length > n - prefix) NRW_FAIL(err, NRW_ERR_FORMAT, "npy: truncated header");
    reader r = {(const char *)head + prefix, (const char *)head + prefix + length};
    NRW_TRY(read_dictionary(&r, out, err));
    NRW_TRY_CTX(err, nrw_checked_bytes(out->dtype, out->rank, out->dims, &out->bytes, err), "npy");
    out->offset = prefix + length;
    if (out->bytes > file_size - out->offset) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "npy: truncated: %zu bytes of elements expected, %llu there",
                 out->bytes, (unsigned long long)(file_size - out->offset));
    }
    return NRW_OK;
}

void nrw_npy_swap(nrw_dtype t, void *data, int64_t n) {
    size_t size = (size_t)nrw_dtype_size(t), parts = 1;
    if (nrw_dtype_get(t)->klass == NRW_CLASS_COMPLEX) parts = 2;
    size /= parts;
    unsigned char *p = data;
    for (int64_t i = 0; i < n * (int64_t)parts; i++, p += size) {
        for (size_t k = 0; k < size / 2; k++) {
            unsigned char low = p[k];
            p[k] = p[size - 1 - k];
            p[size - 1 - k] = low;
        }
    }
}

/* Walks n elements of a in C order, from slice i of the first axis on; src steps by the strides
 * that Fortran order has. */
static void from_fortran(const nrw_npy *a, const unsigned char *src, int64_t i, int64_t n,
                         unsigned char *dst) {
    size_t size = (size_t)nrw_dtype_size(a->dtype);
    int64_t stride[NRW_MAX_RANK], at[NRW_MAX_RANK] = {i}, step = 1, from = i;
    for (int k = 0; k < a->rank; k++) {
        stride[k] = step;
        step *= a->dims[k];
    }
    for (; n > 0; n--) {
        memcpy(dst, src + (size_t)from * size, size);
        dst += size;
        for (int k = a->rank - 1; k >= 0; k--) {
            from += stride[k];
            if (++at[k] < a->dims[k]) break;
            from -= stride[k] * a->dims[k];
            at[k] = 0;
        }
    }
}

void nrw_npy_to_native(const nrw_npy *a, const unsigned char *src, int64_t first, int64_t slices,
                       void *dst) {
    size_t size = (size_t)nrw_dtype_size(a->dtype), n = 1;
    for (int k = 1; k < a->rank; k++) n *= (size_t)a->dims[k];
    if (a->rank) {
        n *= (size_t)slices;
    } else {
        first = 0;
    }
    if (!n) return;
    if (a->fortran && a->rank > 1) {
        from_fortran(a, src, first, (int64_t)n, dst);
    } else {
        memcpy(dst, src + (slices ? n / (size_t)slices : n) * size * (size_t)first, n * size);
    }
    if (a->swapped) nrw_npy_swap(a->dtype, dst, (int64_t)n);
}

/* Numbers of fewer than 8 bits lie in bytes. */
static nrw_dtype stored_type(nrw_dtype t) {
    if (t == NRW_I4 || t == NRW_I2) return NRW_I8;
    if (t == NRW_U4 || t == NRW_U2) return NRW_U8;
    return t;
}

nrw_status nrw_npy_header(nrw_arena *a, nrw_dtype t, int rank, const int64_t *dims, int64_t width,
                          const char **out, size_t *size, nrw_error *err) {
    const char *code = NULL;
    nrw_dtype stored = stored_type(t);
    for (int i = 0; i < CODES; i++) {
        if (codes[i].dtype == stored) code = codes[i].code;
    }
    if (!code && nrw_dtype_is_float(t)) code = nrw_dtype_size(t) == 1 ? "V1" : "V2";
    if (!code && t != NRW_STRING) {
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "npy: numpy has no type %s", nrw_dtype_get(t)->title);
    }
    const uint16_t probe = 1;
    unsigned char low_first;
    memcpy(&low_first, &probe, 1);
    char text[512];
    int n = 10;
    if (code) {
        char order = nrw_dtype_size(t) == 1 ? '|' : low_first ? '<' : '>';
        n += snprintf(text + n, sizeof text - (size_t)n, "{'descr': '%c%s'", order, code);
    } else {
        n += snprintf(text + n, sizeof text - (size_t)n, "{'descr': '|S%lld'", (long long)width);
    }
    n += snprintf(text + n, sizeof text - (size_t)n, ", 'fortran_order': False, 'shape': (");
    for (int i = 0; i < rank; i++) {
        n += snprintf(text + n, sizeof text - (size_t)n,
                      i           ? ", %lld"
                      : rank == 1 ? "%lld,"
                                  : "%lld",
                      (long long)dims[i]);
    }
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    while ((n + 1) % 64) text[n++] = ' ';
    text[n++] = '\n';
    memcpy(text, "\x93NUMPY\x01", 8); /* version 1.0 */
    text[8] = (char)((n - 10) & 255);
    text[9] = (char)((n - 10) >> 8);
    *out = nrw_arena_dup(a, text, (size_t)n);
    if (!*out) NRW_OOM(err);
    *size = (size_t)n;
    return NRW_OK;
}
