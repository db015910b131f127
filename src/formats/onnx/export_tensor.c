/* Tensors: large ones are streamed from where they lie. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/onnx/export.h"

enum {
    copied_below = 4096,  /* payloads below this are gathered with the small bytes */
    external_from = 1024, /* smaller ones stay in the model's file */
    external_align = 64,
    chunk = 1 << 15 /* elements packed at a time; a multiple of 8 */
};

/* Elements below 8 bits are packed on the way. */
static nrw_status emit_packed(const void *user, nrw_output *o, nrw_error *err) {
    const nrw_tensor *t = user;
    unsigned char packed[chunk / 2];
    int64_t n = nrw_tensor_count(t);
    for (int64_t i = 0; i < n; i += chunk) {
        size_t bytes;
        int64_t count = n - i < chunk ? n - i : chunk;
        if (!nrw_packed_size(t->dtype, count, &bytes)) NRW_OOM(err);
        nrw_pack_bits(t->dtype, (const unsigned char *)t->data + i, packed, count);
        NRW_TRY(nrw_output_write(o, packed, bytes, err));
    }
    return NRW_OK;
}

static bool is_packed(const nrw_tensor *t) {
    int bits = nrw_dtype_get(t->dtype)->bits;
    return bits > 0 && bits < 8;
}

static void put_raw_data(nrw_onnx_exporter *x, const nrw_tensor *t, size_t bytes) {
    unsigned char packed[copied_below];
    if (is_packed(t) && bytes < copied_below) {
        nrw_pack_bits(t->dtype, t->data, packed, nrw_tensor_count(t));
        nrw_pb_put_bytes(&x->w, TENSOR_RAW_DATA, packed, bytes);
    } else if (is_packed(t)) {
        nrw_pb_put_blob(&x->w, TENSOR_RAW_DATA, t, bytes, emit_packed);
    } else if (bytes < copied_below) {
        nrw_pb_put_bytes(&x->w, TENSOR_RAW_DATA, t->data, bytes);
    } else {
        nrw_pb_put_blob(&x->w, TENSOR_RAW_DATA, t->data, bytes, NULL);
    }
}

static void put_entry(nrw_onnx_exporter *x, const char *key, const char *value) {
    nrw_pb_mark mark = nrw_pb_begin(&x->w, TENSOR_EXTERNAL_DATA);
    nrw_pb_put_text(&x->w, ENTRY_KEY, key);
    nrw_pb_put_text(&x->w, ENTRY_VALUE, value);
    nrw_pb_end(&x->w, mark);
}

static nrw_status put_external(nrw_onnx_exporter *x, const nrw_tensor *t, size_t bytes) {
    enum { external = 1 };
    nrw_onnx_external *e = &x->external;
    uint64_t offset = (e->size + external_align - 1) / external_align * external_align;
    if (!nrw_arena_grow(&x->scratch, (void **)&e->tensors, &e->cap_tensors, e->n + 1,
                        sizeof *e->tensors) ||
        !nrw_arena_grow(&x->scratch, (void **)&e->offsets, &e->cap_offsets, e->n + 1,
                        sizeof *e->offsets)) {
        NRW_OOM(x->err);
    }
    e->tensors[e->n] = t;
    e->offsets[e->n++] = offset;
    e->size = offset + bytes;
    char text[24];
    put_entry(x, "location", e->location);
    snprintf(text, sizeof text, "%" PRIu64, offset);
    put_entry(x, "offset", text);
    snprintf(text, sizeof text, "%zu", bytes);
    put_entry(x, "length", text);
    nrw_pb_put_int(&x->w, TENSOR_DATA_LOCATION, external);
    return NRW_OK;
}

nrw_status nrw_onnx_put_tensor(nrw_onnx_exporter *x, const char *name, const nrw_tensor *t,
                               bool may_be_external) {
    size_t bytes = 0;
    const nrw_dtype_row *row = nrw_dtype_get(t->dtype);
    if (t->kind != NRW_TENSOR || row->onnx == 0) {
        NRW_FAIL(x->err, NRW_ERR_UNSUPPORTED, "a constant that is no tensor");
    }
    for (int i = 0; i < t->rank; i++) nrw_pb_put_int(&x->w, TENSOR_DIMS, t->dims[i]);
    nrw_pb_put_int(&x->w, TENSOR_DATA_TYPE, row->onnx);
    int64_t n = nrw_tensor_count(t);
    const nrw_string *strings = t->data;
    for (int64_t i = 0; t->dtype == NRW_STRING && i < n; i++) {
        nrw_pb_put_bytes(&x->w, TENSOR_STRING_DATA, strings[i].data, strings[i].size);
    }
    if (name != NULL) nrw_pb_put_text(&x->w, TENSOR_NAME, name);
    if (t->dtype == NRW_STRING) return NRW_OK;
    if (!nrw_packed_size(t->dtype, n, &bytes)) NRW_FAIL(x->err, NRW_ERR_SHAPE, "too large");
    if (may_be_external && bytes >= external_from) {
        x->weight_bytes += bytes;
        if (x->external.wanted) return put_external(x, t, bytes);
    }
    put_raw_data(x, t, bytes);
    return NRW_OK;
}

nrw_status nrw_onnx_write_external(const nrw_onnx_external *e, nrw_output *o, nrw_error *err) {
    static const unsigned char zeros[external_align];
    for (size_t i = 0; i < e->n; i++) {
        const nrw_tensor *t = e->tensors[i];
        NRW_TRY(nrw_output_write(o, zeros, (size_t)(e->offsets[i] - nrw_output_tell(o)), err));
        if (is_packed(t)) {
            NRW_TRY(emit_packed(t, o, err));
        } else {
            NRW_TRY(nrw_output_write(o, t->data, nrw_tensor_bytes(t), err));
        }
    }
    return NRW_OK;
}
