#include "ops/weighted.h"

#include <math.h>

#include "ops/eval.h"

static bool is_byte(nrw_dtype t) {
    return t == NRW_U8 || t == NRW_I8;
}

static bool fits_byte(nrw_dtype t) {
    return is_byte(t) || t == NRW_I4 || t == NRW_U4 || t == NRW_I2 || t == NRW_U2;
}

bool nrw_weighted_ok(const nrw_node *n, int weight_input, int bias_input, int axis) {
    const nrw_value *x = n->inputs[0], *w = n->inputs[weight_input], *y = n->outputs[0];
    if (x == NULL || w == NULL || y == NULL || x->quant == NULL || w->quant == NULL) return false;
    if (!is_byte(x->quant->dtype) || x->quant->axis >= 0) return false;
    if (!fits_byte(w->quant->dtype) || w->quant->block != 0) return false;
    if (w->quant->axis >= 0 && w->quant->axis != axis) return false;
    if (y->quant != NULL && (!is_byte(y->quant->dtype) || y->quant->axis >= 0)) return false;
    if (x->type.dtype != NRW_F32 || y->type.dtype != NRW_F32) return false;
    if (bias_input == 0 || bias_input >= n->n_inputs || n->inputs[bias_input] == NULL) return true;
    const nrw_value *b = n->inputs[bias_input];
    if (b->quant == NULL) return b->type.dtype == NRW_F32;
    return b->quant->dtype == NRW_I32 && b->quant->block == 0 && !b->quant->dynamic &&
           b->quant->axis <= 0;
}

/* Parameter i of per-channel ones, or the only one. */
static int64_t at(const nrw_quant *q, int64_t i) {
    return q->count == 1 ? 0 : i;
}

nrw_status nrw_weighted_make(const nrw_tensor *w, int axis, int64_t channels, nrw_arena *arena,
                             nrw_i8_weights *out, nrw_error *err) {
    const nrw_quant *q = w->quant;
    int64_t count = nrw_tensor_count(w), inner = 1;
    bool is_signed = q->dtype == NRW_I8 || q->dtype == NRW_I4 || q->dtype == NRW_I2, fits = true;
    if (q->count != 1 && q->count != channels)
        NRW_FAIL(err, NRW_ERR_SHAPE, "%lld scales for %lld channels of weights",
                 (long long)q->count, (long long)channels);
    for (int i = axis + 1; i < w->rank; i++) inner *= w->dims[i];
    float *scale = nrw_arena_calloc(arena, (size_t)channels + 1, sizeof *scale);
    int32_t *zero = nrw_arena_calloc(arena, (size_t)channels + 1, sizeof *zero);
    if (scale == NULL || zero == NULL) NRW_OOM(err);
    bool centered = is_signed;
    for (int64_t c = 0; c < channels; c++) {
        scale[c] = q->scale[at(q, c)];
        zero[c] = q->zero_point[at(q, c)];
        centered &= zero[c] == 0;
    }
    const uint8_t *from = w->data;
    if (centered) { /* as they are */
        *out = (nrw_i8_weights){channels, w->data, NULL, scale};
        return NRW_OK;
    }
    int8_t *values = nrw_arena_alloc(arena, (size_t)count + 64);
    if (values == NULL) NRW_OOM(err);
    for (int64_t i = 0; i < count; i++) {
        int32_t v = is_signed ? (int8_t)from[i] : from[i];
        v -= zero[i / inner % channels];
        if (v < -128 || v > 127) fits = false;
        values[i] = (int8_t)v;
    }
    *out = (nrw_i8_weights){channels, values, NULL, scale};
    if (fits) return NRW_OK;
    for (int64_t i = 0; i < count; i++) {
        values[i] = (int8_t)(is_signed ? (int8_t)from[i] : (int)from[i] - 128);
    }
    for (int64_t c = 0; c < channels; c++) zero[c] -= is_signed ? 0 : 128;
    out->zero = zero;
    return NRW_OK;
}

static int32_t saturate(double v) {
    return v <= INT32_MIN ? INT32_MIN : v >= INT32_MAX ? INT32_MAX : (int32_t)v;
}

/* Bias b of channel c in units of the accumulator. */
static int32_t bias_units(const nrw_tensor *b, int64_t c, double unit) {
    if (b->quant == NULL) return saturate(rint(((const float *)b->data)[c] / unit));
    const nrw_quant *q = b->quant;
    double steps = (double)((const int32_t *)b->data)[c] - q->zero_point[at(q, c)];
    double ratio = q->scale[at(q, c)] / unit;
    /* Scales are written as floats: the product need not be theirs to the last bit. */
    return saturate(fabs(ratio - 1) < 1e-6 ? steps : rint(steps * ratio));
}

nrw_status nrw_weighted_epilogue(const nrw_i8_weights *w, const int32_t *sums, int64_t depth,
                                 const nrw_quant *x, const nrw_tensor *bias, const nrw_quant *y,
                                 nrw_arena *arena, nrw_i8_epilogue *e, nrw_error *err) {
    size_t n = (size_t)w->channels + 1;
    int32_t *add = nrw_arena_calloc(arena, n, sizeof *add);
    float *mul = nrw_arena_calloc(arena, n, sizeof *mul);
    if (add == NULL || mul == NULL) NRW_OOM(err);
    bool integers = y != NULL && !y->dynamic;
    uint32_t x_zero = (uint32_t)nrw_weighted_zero(x);
    *e = (nrw_i8_epilogue){.out = NRW_OUT_F32, .add = add, .mul = mul, .w_zero = w->zero};
    if (integers) {
        e->out = y->dtype == NRW_I8 ? NRW_OUT_I8 : NRW_OUT_U8;
        e->zero = y->zero_point[0];
        e->lo = y->dtype == NRW_I8 ? -128 : 0;
        e->hi = e->lo + 255;
        e->rounds_twice = nrw_rounds_as_litert(y);
    } else if (bias != NULL && bias->quant == NULL) {
        e->bias = bias->data;
    }
    for (int64_t c = 0; c < w->channels; c++) {
        double unit = (double)x->scale[0] * w->scale[c];
        uint32_t sum = 0 - x_zero * (uint32_t)sums[c];
        if (w->zero != NULL) sum += (uint32_t)depth * x_zero * (uint32_t)w->zero[c];
        if (bias != NULL && e->bias == NULL) sum += (uint32_t)bias_units(bias, c, unit);
        add[c] = (int32_t)sum;
        /* In float, from left to right, as ONNX Runtime and XNNPACK compute it: the last bit of the
         * multiplier decides ties, and a tie decided otherwise in an early layer moves a twentieth
         * of the integers of a late one. */
        float both = x->scale[0] * w->scale[c];
        mul[c] = integers ? both / y->scale[0] : both;
    }
    return NRW_OK;
}

static bool is_dynamic(const nrw_eval *e) {
    const nrw_value *v = e->node->outputs[0];
    return v->quant != NULL && v->quant->dynamic;
}

nrw_status nrw_weighted_out(nrw_eval *e, void **y) {
    if (is_dynamic(e)) {
        size_t bytes;
        NRW_TRY(nrw_checked_bytes(NRW_F32, e->out[0].rank, e->out[0].dims, &bytes, e->err));
        *y = nrw_arena_alloc(e->scratch, bytes + 64);
        if (*y == NULL) NRW_OOM(e->err);
    } else {
        *y = e->out[0].data;
    }
    return NRW_OK;
}

nrw_status nrw_weighted_done(nrw_eval *e, const void *y) {
    return is_dynamic(e) ? nrw_eval_quantize(e, 0, y) : NRW_OK;
}

nrw_status nrw_weighted_floats(const nrw_plan_node *p, int i, const float **out) {
    *out = NULL;
    if (i >= p->node->n_inputs || p->node->inputs[i] == NULL) return NRW_OK;
    const nrw_tensor *t = p->node->inputs[i]->data;
    if (t == NULL || p->node->inputs[i]->is_input) return NRW_OK;
    if (t->quant == NULL && t->dtype == NRW_F32) {
        *out = t->data;
        return NRW_OK;
    }
    size_t bytes;
    NRW_TRY(nrw_checked_bytes(NRW_F32, t->rank, t->dims, &bytes, p->err));
    float *copy = nrw_arena_alloc(p->arena, bytes + 64);
    if (copy == NULL) NRW_OOM(p->err);
    *out = copy;
    if (t->quant != NULL) return nrw_dequantize(t, copy, p->err);
    return nrw_to_f32(t->dtype, t->data, copy, nrw_tensor_count(t), p->err);
}
