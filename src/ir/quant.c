/* Quantization of whole arrays: the definition that every faster path is held to.
 *
 *   q    = clamp(rint(x / scale) + zero_point)      ties to even, the division in float (ONNX
 * QuantizeLinear) real = scale * (q - zero_point) */
#include <math.h>
#include <string.h>

#include "base/rint.h"
#include "base/wide.h"
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

/* 8-bit elements by one rule: a run of them with one scale, or a row with a scale for each. Plain
 * loops that vectorize; `step` is 0 or 1, so that one loop serves both once it is inlined. */
static inline __attribute__((always_inline)) void dequantize_row(const char *src, bool is_unsigned,
                                                                 const float *scale,
                                                                 const int32_t *zp, const int step,
                                                                 float *dst, int64_t n) {
    const uint8_t *u = (const uint8_t *)src;
    const int8_t *i = (const int8_t *)src;
    if (is_unsigned) {
        for (int64_t k = 0; k < n; k++) dst[k] = scale[k * step] * (float)(u[k] - zp[k * step]);
    } else {
        for (int64_t k = 0; k < n; k++) dst[k] = scale[k * step] * (float)(i[k] - zp[k * step]);
    }
}

/* Runs along `inner`, or rows along the channels where they lie side by side. */
NRW_WIDE static void dequantize_bytes(const nrw_tensor *src, const layout *l, float *dst) {
    const nrw_quant *q = src->quant;
    const bool is_unsigned = nrw_dtype_get(src->dtype)->klass == NRW_CLASS_UINT;
    const char *p = src->data;
    const bool rows = l->inner == 1;
    const int64_t n = rows ? l->channels : l->inner,
                  runs = rows ? l->outer : l->outer * l->channels;
    for (int64_t r = 0; r < runs; r++, p += n, dst += n) {
        const int64_t c = rows ? 0 : r % l->channels;
        if (rows)
            dequantize_row(p, is_unsigned, q->scale, q->zero_point, 1, dst, n);
        else
            dequantize_row(p, is_unsigned, q->scale + c, q->zero_point + c, 0, dst, n);
    }
}

nrw_status nrw_dequantize(const nrw_tensor *src, float *dst, nrw_error *err) {
    const nrw_quant *q = src->quant;
    layout l;
    NRW_TRY(find_layout(src, q, &l, err));
    if (nrw_dtype_size(src->dtype) == 1 && l.block == 0) {
        dequantize_bytes(src, &l, dst);
        return NRW_OK;
    }
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

/* x in steps: a quotient, or by the reciprocal, as XNNPACK has it. */
static inline float steps_of(float x, float scale, bool reciprocal) {
    return reciprocal ? x * (1.0f / scale) : x / scale;
}

static int64_t quantize_one(float x, float scale, int32_t zp, bool reciprocal,
                            const nrw_dtype_row *row) {
    float r = nearbyintf(steps_of(x, scale, reciprocal));
    if (r != r) return zp; /* NaN: as zero */
    /* Float bounds far outside any zero point keep the addition exact in int64. */
    if (r > 1.0e15f) r = 1.0e15f;
    if (r < -1.0e15f) r = -1.0e15f;
    int64_t q = (int64_t)r + zp;
    return q < row->min ? row->min : q > row->max ? row->max : q;
}

/* The same as quantize_one for 8-bit elements, as dequantize_row. Clamping before rounding is the
 * same, for the bounds are whole; within them adding and subtracting 1.5 * 2^23 rounds to nearest,
 * ties to even. NaN is caught first, as 0. */
static inline __attribute__((always_inline)) void
quantize_row(const float *src, const float *scale, const int32_t *zp, const int step,
             const bool reciprocal, const nrw_dtype_row *row, uint8_t *dst, int64_t n) {
    const float magic = NRW_RINT_MAGIC;
    const int32_t min = (int32_t)row->min, max = (int32_t)row->max;
    for (int64_t k = 0; k < n; k++) {
        const int32_t zero = zp[k * step];
        const float low = (float)(min - zero), high = (float)(max - zero);
        float r = steps_of(src[k], scale[k * step], reciprocal);
        r = r == r ? r : 0;
        r = r < low ? low : r;
        r = r > high ? high : r;
        dst[k] = (uint8_t)((int32_t)((r + magic) - magic) + zero);
    }
}

bool nrw_has_reciprocal(float scale) {
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    return (bits & 0x7fffff) != 0x7fffff && scale > 0x1p-60f && scale < 0x1p60f;
}

NRW_WIDE static void quantize_bytes(const float *src, nrw_tensor *dst, const layout *l) {
    const nrw_quant *q = dst->quant;
    const nrw_dtype_row *type = nrw_dtype_get(dst->dtype);
    uint8_t *p = dst->data;
    const bool rows = l->inner == 1;
    const int64_t n = rows ? l->channels : l->inner,
                  runs = rows ? l->outer : l->outer * l->channels;
    for (int64_t r = 0; r < runs; r++, p += n, src += n) {
        const int64_t c = rows ? 0 : r % l->channels;
        if (rows)
            quantize_row(src, q->scale, q->zero_point, 1, false, type, p, n);
        else if (nrw_rounds_as_litert(q))
            quantize_row(src, q->scale + c, q->zero_point + c, 0, true, type, p, n);
        else
            quantize_row(src, q->scale + c, q->zero_point + c, 0, false, type, p, n);
    }
}

/* Zero points so far away would not be exact in the float arithmetic of quantize_row. */
static bool zeros_are_near(const nrw_quant *q) {
    for (int64_t i = 0; i < q->count; i++) {
        if (q->zero_point[i] < -65536 || q->zero_point[i] > 65536) return false;
    }
    return true;
}

nrw_status nrw_quantize_values(const float *src, nrw_tensor *dst, nrw_error *err) {
    const nrw_quant *q = dst->quant;
    const nrw_dtype_row *row = nrw_dtype_get(dst->dtype);
    layout l;
    NRW_TRY(find_layout(dst, q, &l, err));
    if (row->size == 1 && l.block == 0 && zeros_are_near(q)) {
        quantize_bytes(src, dst, &l);
        return NRW_OK;
    }
    int step = l.block > 0;
    char *p = dst->data;
    int64_t chunk[256];
    for (int64_t run = 0; run < l.outer * l.channels; run++) {
        int64_t s = l.inner > 0 ? scale_index(&l, run / l.channels, run % l.channels) : 0;
        for (int64_t i = 0; i < l.inner;) {
            int64_t n = l.inner - i < 256 ? l.inner - i : 256;
            for (int64_t k = 0; k < n; k++) {
                int64_t at = s + (i + k) * step;
                chunk[k] = quantize_one(src[k], q->scale[at], q->zero_point[at],
                                        nrw_rounds_as_litert(q), row);
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

bool nrw_quant_is_byte(const nrw_quant *q) {
    return q != NULL && q->axis < 0 && !q->dynamic && (q->dtype == NRW_U8 || q->dtype == NRW_I8);
}

bool nrw_quant_is_u8(const nrw_quant *q) {
    return nrw_quant_is_byte(q) && q->dtype == NRW_U8;
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
