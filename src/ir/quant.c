/* Quantization of whole arrays: the definition that every faster path is held to.
 *
 *   q    = clamp(rint(x / scale) + zero_point)      ties to even, the division in float (ONNX
 * QuantizeLinear) real = scale * (q - zero_point) */
#include <math.h>
#include <string.h>

#include "ir/tensor.h"

/* Where the scales of a tensor lie: element (outer, channel, inner) uses scale index
 * blocked ? ((outer * blocks) + channel / block) * inner_n + inner : channel. */
typedef struct layout {
    int64_t outer, channels, inner, blocks, block;
} layout;

static nrw_status find_layout(const nrw_tensor *t, const nrw_quant *q, layout *l, nrw_error *err) {
    *l = (layout){.outer = 1, .channels = 1, .inner = 1};
    if (q->axis < 0) {
        l->inner = nrw_tensor_count(t);
        if (q->count != 1)
            NRW_FAIL(err, NRW_ERR_SHAPE, "%lld scales for a tensor", (long long)q->count);
        return NRW_OK;
    }
    if (q->axis >= t->rank)
        NRW_FAIL(err, NRW_ERR_SHAPE, "quantization axis %d of a tensor of rank %d", q->axis,
                 t->rank);
    for (int i = 0; i < q->axis; i++) l->outer *= t->dims[i];
    l->channels = t->dims[q->axis];
    for (int i = q->axis + 1; i < t->rank; i++) l->inner *= t->dims[i];
    l->block = q->block;
    l->blocks = q->block > 0 ? (l->channels + q->block - 1) / q->block : 0;
    int64_t want = q->block > 0 ? l->outer * l->blocks * l->inner : l->channels;
    if (q->count != want)
        NRW_FAIL(err, NRW_ERR_SHAPE, "%lld scales expected, got %lld", (long long)want,
                 (long long)q->count);
    return NRW_OK;
}

/* The scale index of the first element of a run, and whether it advances with each element of the
 * run. */
static int64_t scale_index(const layout *l, int64_t outer, int64_t channel) {
    return l->block > 0 ? (outer * l->blocks + channel / l->block) * l->inner : channel;
}

/* One scale, 8-bit elements: what nearly all activations are. Plain loops that vectorize. */
static bool dequantize_bytes(const nrw_tensor *src, float *dst, int64_t n) {
    const float scale = src->quant->scale[0];
    const int32_t zp = src->quant->zero_point[0];
    const uint8_t *u = src->data;
    const int8_t *i = src->data;
    if (src->quant->axis >= 0 || nrw_dtype_size(src->dtype) != 1) return false;
    if (nrw_dtype_get(src->dtype)->klass == NRW_CLASS_UINT) {
        for (int64_t k = 0; k < n; k++) dst[k] = scale * (float)(u[k] - zp);
    } else {
        for (int64_t k = 0; k < n; k++) dst[k] = scale * (float)(i[k] - zp);
    }
    return true;
}

nrw_status nrw_dequantize(const nrw_tensor *src, float *dst, nrw_error *err) {
    const nrw_quant *q = src->quant;
    layout l;
    NRW_TRY(find_layout(src, q, &l, err));
    if (dequantize_bytes(src, dst, nrw_tensor_count(src))) return NRW_OK;
    int size = nrw_dtype_size(src->dtype), step = l.block > 0;
    const char *p = src->data;
    int64_t chunk[256];
    for (int64_t run = 0; run < l.outer * l.channels; run++) {
        int64_t s = l.inner > 0 ? scale_index(&l, run / l.channels, run % l.channels) : 0;
        for (int64_t i = 0; i < l.inner;) {
            int64_t n = l.inner - i < 256 ? l.inner - i : 256;
            NRW_TRY(nrw_to_i64(src->dtype, p, chunk, n, err));
            for (int64_t k = 0; k < n; k++) {
                int64_t at = s + (i + k) * step;
                dst[k] = q->scale[at] * (float)(chunk[k] - q->zero_point[at]);
            }
            p += n * size;
            dst += n;
            i += n;
        }
    }
    return NRW_OK;
}

static int64_t quantize_one(float x, float scale, int32_t zp, const nrw_dtype_row *row) {
    float r = nearbyintf(x / scale);
    if (r != r) return zp; /* NaN: as zero */
    /* Float bounds far outside any zero point keep the addition exact in int64. */
    if (r > 1.0e15f) r = 1.0e15f;
    if (r < -1.0e15f) r = -1.0e15f;
    int64_t q = (int64_t)r + zp;
    return q < row->min ? row->min : q > row->max ? row->max : q;
}

/* The same as quantize_one for one scale and 8-bit elements. Clamping before rounding is the same,
 * for the bounds are whole; within them adding and subtracting 1.5 * 2^23 rounds to nearest, ties
 * to even. NaN is caught first, as 0. */
static bool quantize_bytes(const float *src, nrw_tensor *dst, int64_t n) {
    const nrw_quant *q = dst->quant;
    const nrw_dtype_row *row = nrw_dtype_get(dst->dtype);
    const float scale = q->scale[0], magic = 12582912.0f;
    const int32_t zp = q->zero_point[0];
    const float low = (float)(row->min - zp), high = (float)(row->max - zp);
    uint8_t *p = dst->data;
    if (q->axis >= 0 || row->size != 1 || zp < -65536 || zp > 65536) return false;
    for (int64_t k = 0; k < n; k++) {
        float r = src[k] / scale;
        r = r == r ? r : 0;
        r = r < low ? low : r;
        r = r > high ? high : r;
        p[k] = (uint8_t)((int32_t)((r + magic) - magic) + zp);
    }
    return true;
}

nrw_status nrw_quantize_values(const float *src, nrw_tensor *dst, nrw_error *err) {
    const nrw_quant *q = dst->quant;
    const nrw_dtype_row *row = nrw_dtype_get(dst->dtype);
    layout l;
    NRW_TRY(find_layout(dst, q, &l, err));
    if (quantize_bytes(src, dst, nrw_tensor_count(dst))) return NRW_OK;
    int step = l.block > 0;
    char *p = dst->data;
    int64_t chunk[256];
    for (int64_t run = 0; run < l.outer * l.channels; run++) {
        int64_t s = l.inner > 0 ? scale_index(&l, run / l.channels, run % l.channels) : 0;
        for (int64_t i = 0; i < l.inner;) {
            int64_t n = l.inner - i < 256 ? l.inner - i : 256;
            for (int64_t k = 0; k < n; k++) {
                int64_t at = s + (i + k) * step;
                chunk[k] = quantize_one(src[k], q->scale[at], q->zero_point[at], row);
            }
            NRW_TRY(nrw_from_i64(dst->dtype, chunk, p, n, err));
            p += n * row->size;
            src += n;
            i += n;
        }
    }
    return NRW_OK;
}

bool nrw_quant_equal(const nrw_quant *a, const nrw_quant *b) {
    if (a == b) return true;
    if (a == NULL || b == NULL) return false;
    if (a->dtype != b->dtype || a->dynamic != b->dynamic) return false;
    if (a->dynamic) return true;
    if (a->axis != b->axis || a->block != b->block || a->count != b->count) return false;
    size_t n = (size_t)a->count;
    return memcmp(a->scale, b->scale, n * sizeof *a->scale) == 0 &&
           memcmp(a->zero_point, b->zero_point, n * sizeof *a->zero_point) == 0;
}

nrw_quant *nrw_quant_copy(nrw_arena *a, const nrw_quant *q) {
    nrw_quant *copy = nrw_arena_dup(a, q, sizeof *q);
    if (copy == NULL || q->scale == NULL) return copy;
    size_t n = (size_t)q->count;
    copy->scale = nrw_arena_dup(a, q->scale, n * sizeof *q->scale);
    copy->zero_point = nrw_arena_dup(a, q->zero_point, n * sizeof *q->zero_point);
    return copy->scale != NULL && copy->zero_point != NULL ? copy : NULL;
}

nrw_quant *nrw_quant_per_tensor(nrw_arena *a, nrw_dtype dtype, float scale, int32_t zero_point) {
    nrw_quant q = {
        .dtype = dtype, .axis = -1, .count = 1, .scale = &scale, .zero_point = &zero_point};
    return nrw_quant_copy(a, &q);
}
