/* Quantization as plain operators: QuantizeLinear and DequantizeLinear with all granularities,
 * DynamicQuantizeLinear, and Requantize, which is a copy whose annotations do the work. */
#include "ops/cases.h"
#include "ops/cast.h"
#include "ops/quant_table.h"

#define BLOCK 256

/* How scales lie over a tensor. Rows are runs of neighbouring elements that share one scale (step
 * 0) or have one each (step 1). */
typedef struct layout {
    int64_t rows, length; /* rows of at most length elements */
    int64_t group;        /* rows of a group; blocks along the last axis may end short */
    int64_t group_length; /* elements of a group */
    int64_t step;
    int64_t count; /* elements of the tensor */
    bool own;      /* every row has scales of its own; false: scales repeat with each group */
} layout;

static nrw_status find_layout(nrw_eval *e, layout *l) {
    const nrw_tensor *x = e->in[0], *scale = e->in[1];
    int64_t n = nrw_tensor_count(x), axis = nrw_attr_int(e->node, "axis", 1);
    int64_t block = nrw_attr_int(e->node, "block_size", 0);
    if (nrw_tensor_count(scale) == 1 && block == 0) {
        *l = (layout){(n + BLOCK - 1) / BLOCK, BLOCK, 1, BLOCK, 0, n, false};
        return NRW_OK;
    }
    if (x->rank == 1) axis = 0;
    if (!nrw_normalize_axis(&axis, x->rank))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "axis: %lld of a tensor of rank %d", (long long)axis,
                 (int)x->rank);
    int64_t inner = 1, channels = x->dims[axis];
    for (int d = (int)axis + 1; d < x->rank; d++) inner *= x->dims[d];
    int64_t outer = n > 0 ? n / (inner * channels) : 0;
    if (block == 0) {
        if (scale->rank != 1 || scale->dims[0] != channels)
            NRW_FAIL_INPUT(e, 1, "scale", "expected one value or %lld", (long long)channels);
        *l = inner > 1 ? (layout){outer * channels, inner, channels, channels * inner, 0, n, false}
                       : (layout){outer, channels, 1, channels, 1, n, false};
        return NRW_OK;
    }
    int64_t blocks = block > 0 ? (channels + block - 1) / block : 0;
    bool fits = block > 0 && scale->rank == x->rank;
    for (int d = 0; d < x->rank && fits; d++)
        fits = scale->dims[d] == (d == axis ? blocks : x->dims[d]);
    if (!fits)
        NRW_FAIL_INPUT(e, 1, "scale", "its shape does not fit blocks of %lld", (long long)block);
    *l = inner > 1 ? (layout){outer * channels, inner, channels, channels * inner, 1, n, true}
                   : (layout){outer * blocks, block, blocks, channels, 0, n, true};
    return NRW_OK;
}

typedef struct job {
    layout l;
    int64_t block; /* along an axis that is not the last: channels per scale */
    const char *x;
    char *y;
    nrw_dtype from, to, precision;
    const float *scale, *zero; /* as floats, which hold every zero point exactly */
    nrw_cast narrow;
    void (*fn)(const struct job *j, const char *x, char *y, const float *scale, const float *zero,
               int64_t n);
} job;

static void run_rows(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const layout *l = &j->l;
    int from_size = nrw_dtype_size(j->from), to_size = nrw_dtype_size(j->to);
    for (int64_t r = begin; r < end; r++) {
        int64_t group = r / l->group, in_group = r % l->group;
        int64_t at = group * l->group_length + in_group * l->length, n = l->length;
        int64_t group_end = (group + 1) * l->group_length;
        if (group_end > l->count) group_end = l->count;
        if (n > group_end - at) n = group_end - at;
        int64_t s;
        if (l->own && l->step == 1) {
            int64_t blocks = (l->group + j->block - 1) / j->block;
            s = (group * blocks + in_group / j->block) * l->length;
        } else {
            s = l->own ? r : l->step == 1 ? 0 : in_group;
        }
        for (int64_t i = 0; i < n; i += BLOCK) {
            int64_t m = n - i < BLOCK ? n - i : BLOCK, k = s + i * l->step;
            j->fn(j, j->x + (at + i) * from_size, j->y + (at + i) * to_size, j->scale + k,
                  j->zero + k, m);
        }
    }
}

static void round_to(nrw_dtype t, float *v, int64_t n) {
    uint16_t half[BLOCK];
    if (t == NRW_F32) return;
    if (nrw_from_f32(t, v, half, n, NULL) != NRW_OK || nrw_to_f32(t, half, v, n, NULL) != NRW_OK)
        return;
}

static void quantize_piece(const job *j, const char *x, char *y, const float *scale,
                           const float *zero, int64_t n) {
    float v[BLOCK];
    int64_t step = j->l.step;
    if (nrw_to_f32(j->from, x, v, n, NULL) != NRW_OK) return;
    round_to(j->precision, v, n);
    for (int64_t i = 0; i < n; i++) v[i] /= scale[i * step];
    round_to(j->precision, v, n);
    if (nrw_dtype_is_float(j->to)) {
        for (int64_t i = 0; i < n; i++) v[i] += zero[i * step];
        nrw_store_narrow_floats(&j->narrow, v, y, n);
    } else if (step == 0) {
        nrw_quantize_row(j->to, v, 1.0f, (int32_t)zero[0], y, n);
    } else {
        int size = nrw_dtype_size(j->to);
        for (int64_t i = 0; i < n; i++)
            nrw_quantize_row(j->to, &v[i], 1.0f, (int32_t)zero[i], y + i * size, 1);
    }
}

static void dequantize_piece(const job *j, const char *x, char *y, const float *scale,
                             const float *zero, int64_t n) {
    float v[BLOCK];
    int64_t step = j->l.step;
    if (nrw_to_f32(j->from, x, v, n, NULL) != NRW_OK) return;
    if (step == 0) {
        const float s = scale[0], z = zero[0];
        for (int64_t i = 0; i < n; i++) v[i] = (v[i] - z) * s;
    } else {
        for (int64_t i = 0; i < n; i++) v[i] = (v[i] - zero[i]) * scale[i];
    }
    if (nrw_from_f32(j->to, v, y, n, NULL) != NRW_OK) return;
}

/* Per-tensor integers need no float buffers. */
static void dequantize_simple(const job *j, const char *x, char *y, const float *scale,
                              const float *zero, int64_t n) {
    nrw_dequantize_row(j->from, x, scale[0], (int32_t)zero[0], (float *)(void *)y, n);
}

static nrw_status to_floats(nrw_eval *e, const nrw_tensor *t, int64_t n, const float **out) {
    float *f = nrw_arena_calloc(e->scratch, (size_t)n + 1, sizeof *f);
    if (f == NULL) NRW_OOM(e->err);
    *out = f;
    return t != NULL ? nrw_to_f32(t->dtype, t->data, f, n, e->err) : NRW_OK;
}

static nrw_status run_job(nrw_eval *e, job *j) {
    const nrw_tensor *scale = e->in[1], *zero = e->n_in > 2 ? e->in[2] : NULL;
    int64_t n = nrw_tensor_count(scale);
    if (zero != NULL && nrw_tensor_count(zero) != n)
        NRW_FAIL_INPUT(e, 2, "zero point", "expected as many values as scales");
    NRW_TRY(find_layout(e, &j->l));
    NRW_TRY(to_floats(e, scale, n, &j->scale));
    NRW_TRY(to_floats(e, zero, n, &j->zero));
    j->block = nrw_attr_int(e->node, "block_size", 0);
    j->x = e->in[0]->data;
    j->y = e->out[0].data;
    j->from = e->in[0]->dtype;
    j->to = e->out[0].dtype;
    if (nrw_tensor_count(e->in[0]) == 0) return NRW_OK;
    nrw_each_range(e->pool, j->l.rows, nrw_grain(j->l.length), run_rows, j);
    return NRW_OK;
}

static bool is_real_input(nrw_dtype t) {
    return t == NRW_F32 || t == NRW_F16 || t == NRW_BF16 || t == NRW_I32;
}

static nrw_status run_quantize(nrw_eval *e) {
    nrw_dtype scale = e->in[1]->dtype, to = e->out[0].dtype;
    int64_t asked = nrw_attr_int(e->node, "precision", 0);
    const nrw_dtype_row *row = nrw_dtype_get(to);
    bool integer = nrw_dtype_is_integer(to) && row->size <= 2;
    bool narrow_float = nrw_dtype_is_float(to) && row->size == 1 && to != NRW_F8E8M0;
    if (!is_real_input(e->in[0]->dtype) || !(integer || narrow_float))
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "QuantizeLinear from %s to %s",
                 nrw_dtype_name(e->in[0]->dtype), row->name);
    job j = {.fn = quantize_piece, .precision = scale};
    j.narrow = (nrw_cast){NRW_F32, to, nrw_attr_int(e->node, "saturate", 1) != 0, 0};
    if (asked != 0) j.precision = nrw_dtype_from_onnx((int)asked);
    if (j.precision != NRW_F16 && j.precision != NRW_BF16) j.precision = NRW_F32;
    return run_job(e, &j);
}

static nrw_status run_dequantize(nrw_eval *e) {
    nrw_dtype from = e->in[0]->dtype, to = e->out[0].dtype;
    const nrw_dtype_row *row = nrw_dtype_get(from);
    bool number = nrw_dtype_is_float(from) || nrw_dtype_is_integer(from);
    if (!number || row->size > 4 || (to != NRW_F32 && to != NRW_F16 && to != NRW_BF16))
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "DequantizeLinear from %s to %s", row->name,
                 nrw_dtype_name(to));
    job j = {.fn = dequantize_piece};
    bool per_tensor = nrw_tensor_count(e->in[1]) == 1;
    if (per_tensor && nrw_dtype_is_integer(from) && row->size <= 2 && to == NRW_F32)
        j.fn = dequantize_simple;
    return run_job(e, &j);
}

static nrw_status set_type(nrw_infer *c, nrw_dtype absent) {
    int64_t code = nrw_attr_int(c->node, "output_dtype", 0);
    NRW_TRY(nrw_infer_same(c));
    c->out[0].dtype = code != 0 ? nrw_dtype_from_onnx((int)code) : absent;
    if (code != 0 && c->out[0].dtype == NRW_NONE)
        NRW_FAIL(c->err, NRW_ERR_UNSUPPORTED, "output_dtype: data type %lld is not known",
                 (long long)code);
    return NRW_OK;
}

static nrw_status infer_quantize(nrw_infer *c) {
    bool zero = c->n_in > 2 && c->in[2] != NULL;
    return set_type(c, zero ? c->in[2]->dtype : NRW_U8);
}

static nrw_status infer_dequantize(nrw_infer *c) {
    nrw_dtype scale = c->in[1]->dtype;
    return set_type(c, scale == NRW_F8E8M0 ? NRW_F32 : scale);
}

static nrw_status infer_dynamic(nrw_infer *c) {
    c->out[0] = *c->in[0];
    c->out[0].dtype = NRW_U8;
    if (c->n_out > 1) c->out[1] = nrw_type_make(NRW_F32, 0, NULL);
    if (c->n_out > 2) c->out[2] = nrw_type_make(NRW_U8, 0, NULL);
    return NRW_OK;
}

static nrw_status run_dynamic(nrw_eval *e) {
    const nrw_tensor *x = e->in[0];
    if (x->dtype != NRW_F32)
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "DynamicQuantizeLinear does not take %s",
                 nrw_dtype_name(x->dtype));
    const float *v = x->data;
    int64_t n = nrw_tensor_count(x);
    float lo = 0, hi = 0;
    for (int64_t i = 0; i < n; i++) {
        lo = v[i] < lo ? v[i] : lo;
        hi = v[i] > hi ? v[i] : hi;
    }
    float scale = (hi - lo) / 255.0f;
    if (!(scale > 0)) scale = 1;
    float zero = rintf((0 - lo) / scale);
    zero = zero < 0 ? 0 : zero > 255 ? 255 : zero;
    if (e->out[0].data != NULL)
        nrw_quantize_row(NRW_U8, v, scale, (int32_t)zero, e->out[0].data, n);
    if (e->n_out > 1 && e->out[1].data != NULL) *(float *)e->out[1].data = scale;
    if (e->n_out > 2 && e->out[2].data != NULL) *(uint8_t *)e->out[2].data = (uint8_t)zero;
    return NRW_OK;
}

static nrw_status run_requantize(nrw_eval *e) {
    size_t bytes = nrw_tensor_bytes(e->in[0]);
    if (bytes > 0) memcpy(e->out[0].data, e->in[0]->data, bytes);
    return NRW_OK;
}

static const nrw_attr_def quantize_attrs[] = {
    {"axis", NRW_ATTR_INT, false},         {"block_size", NRW_ATTR_INT, false},
    {"output_dtype", NRW_ATTR_INT, false}, {"precision", NRW_ATTR_INT, false},
    {"saturate", NRW_ATTR_INT, false},     {0}};
static const nrw_attr_def dequantize_attrs[] = {{"axis", NRW_ATTR_INT, false},
                                                {"block_size", NRW_ATTR_INT, false},
                                                {"output_dtype", NRW_ATTR_INT, false},
                                                {0}};

static const nrw_op quantize_op = {
    .name = "QuantizeLinear",
    .domain = "",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = quantize_attrs,
    .infer = infer_quantize,
    .reference = run_quantize,
    .cases = NRW_CASES(
        {"graph main(%x: f32[2,3,4]) { const %s: f32[3] = [0.1, 0.2, 0.3] const %z: "
         "i8[3] = [1, 2, 3] %y: i8[2,3,4] = QuantizeLinear(%x, %s, %z) return %y }",
         -9, 9},
        {"graph main(%x: f32[2,5]) { const %s: f32[2,3] = [0.25] %y: u4[2,5] = "
         "QuantizeLinear(%x, %s) {axis=1, block_size=2, output_dtype=21} return %y }",
         -1, 4},
        {"graph main(%x: f16[N]) { const %s: f16[] = [0.5] %y: u8[N] = QuantizeLinear(%x, "
         "%s) return %y }",
         -1, 4}),
    .onnx = {"QuantizeLinear", 10},
    .tflite = {"QUANTIZE", 114},
    .aten = "quantized_decomposed.quantize_per_tensor.default",
};
static const nrw_op dequantize_op = {
    .name = "DequantizeLinear",
    .domain = "",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = dequantize_attrs,
    .infer = infer_dequantize,
    .reference = run_dequantize,
    .cases = NRW_CASES(
        {"graph main(%x: u8[2,3,4]) { const %s: f32[4] = [0.1, 0.2, 0.3, 0.4] const %z: u8[4] = "
         "[1, 2, 3, 4] %y: f32[2,3,4] = DequantizeLinear(%x, %s, %z) {axis=2} return %y }",
         0, 255},
        {"graph main(%x: i4[5,2]) { const %s: f32[3,2] = [0.25] %y: f32[5,2] = "
         "DequantizeLinear(%x, "
         "%s) {axis=0, block_size=2} return %y }",
         -8, 7}),
    .onnx = {"DequantizeLinear", 10},
    .tflite = {"DEQUANTIZE", 6},
    .aten = "quantized_decomposed.dequantize_per_tensor.default",
};
static const nrw_op dynamic_op = {
    .name = "DynamicQuantizeLinear",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 3,
    .infer = infer_dynamic,
    .reference = run_dynamic,
    .cases = NRW_CASES({"graph main(%x: f32[3,N]) { %y: u8[3,N], %s: f32[], %z: u8[] = "
                        "DynamicQuantizeLinear(%x) return %y, %s, %z }",
                        -1, 2}),
    .onnx = {"DynamicQuantizeLinear", 11},
};
static const nrw_op requantize_op = {
    .name = "Requantize",
    .domain = "ai.narrow",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = nrw_infer_same,
    .reference = run_requantize,
    .cases = NRW_CASES(
        {"graph main(%x: f32[40] q(u8, scale=0.02, zero=90)) { %y: f32[40] q(i8, scale=0.03, "
         "zero=-5) = ai.narrow::Requantize(%x) %z: f32[40] = ai.narrow::Requantize(%y) return %z }",
         -2, 3}),
    .integer = nrw_table_integer,
    .integer_ok = nrw_table_integer_ok,
    .quant = {.rule = NRW_QUANT_UNARY},
};

NRW_OPS(quantize, &quantize_op, &dequantize_op, &dynamic_op, &requantize_op);
