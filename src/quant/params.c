#include "quant/params.h"

#include <float.h>
#include <math.h>

nrw_levels nrw_quant_levels(nrw_dtype dtype, bool symmetric) {
    const nrw_dtype_row *row = nrw_dtype_get(dtype);
    nrw_levels l = {row->min, row->max};
    if (symmetric) l.lo = row->min < 0 ? -row->max : 1;
    return l;
}

static float floored(double scale) {
    if (!(scale > NRW_SCALE_FLOOR)) return NRW_SCALE_FLOOR;
    return scale > FLT_MAX ? FLT_MAX : (float)scale;
}

void nrw_quant_params(nrw_dtype dtype, bool symmetric, double lo, double hi, float *scale,
                      int32_t *zero_point) {
    nrw_levels l = nrw_quant_levels(dtype, symmetric);
    lo = fmax(fmin(lo, 0.0), -FLT_MAX);
    hi = fmin(fmax(hi, 0.0), FLT_MAX);
    if (symmetric) {
        double half = (double)(l.hi - l.lo) / 2.0;
        *scale = lo == hi ? 1.0f : floored(fmax(-lo, hi) / half);
        *zero_point = (int32_t)((l.hi + l.lo) / 2);
        return;
    }
    if (lo == hi) {
        *scale = 1.0f;
        *zero_point = (int32_t)(l.lo < 0 ? 0 : l.lo);
        return;
    }
    *scale = floored((hi - lo) / (double)(l.hi - l.lo));
    double zp = rint((double)l.lo - lo / *scale);
    *zero_point = (int32_t)fmin(fmax(zp, (double)l.lo), (double)l.hi);
}

void nrw_quant_reals(const nrw_quant *q, double *lo, double *hi) {
    nrw_levels l = nrw_quant_levels(q->dtype, false);
    *lo = (double)q->scale[0] * (double)(l.lo - q->zero_point[0]);
    *hi = (double)q->scale[0] * (double)(l.hi - q->zero_point[0]);
}

/* The elements that share scale number g: `outer` runs, `stride` apart, of `length` neighbours. */
typedef struct span {
    int64_t start, outer, stride, length;
    int64_t count; /* of groups altogether */
} span;

static span group_span(const nrw_tensor *w, const nrw_weight_scheme *s, int64_t g) {
    if (s->axis < 0) {
        return (span){.outer = 1, .length = nrw_tensor_count(w), .count = 1};
    }
    int64_t outer = 1, inner = 1, dim = w->dims[s->axis];
    for (int i = 0; i < s->axis; i++) outer *= w->dims[i];
    for (int i = s->axis + 1; i < w->rank; i++) inner *= w->dims[i];
    if (s->block == 0) {
        return (span){.start = g * inner,
                      .outer = outer,
                      .stride = dim * inner,
                      .length = inner,
                      .count = dim};
    }
    /* Per block, scales are laid out as the tensor with dims[axis] / block: outer, block, inner. */
    int64_t blocks = dim / s->block, in = g % inner, b = g / inner % blocks,
            o = g / (inner * blocks);
    return (span){.start = (o * dim + b * s->block) * inner + in,
                  .outer = s->block,
                  .stride = inner,
                  .length = 1,
                  .count = outer * blocks * inner};
}

static void span_range(const float *w, const span *s, double *lo, double *hi) {
    float min = 0, max = 0;
    for (int64_t o = 0; o < s->outer; o++) {
        const float *p = w + s->start + o * s->stride;
        for (int64_t i = 0; i < s->length; i++) {
            min = p[i] < min ? p[i] : min;
            max = p[i] > max ? p[i] : max;
        }
    }
    *lo = min;
    *hi = max;
}

static double span_error(const float *w, const span *s, nrw_levels l, float scale, int32_t zp) {
    double sum = 0;
    for (int64_t o = 0; o < s->outer; o++) {
        const float *p = w + s->start + o * s->stride;
        for (int64_t i = 0; i < s->length; i++) {
            float q = rintf(p[i] / scale) + (float)zp;
            q = fminf(fmaxf(q, (float)l.lo), (float)l.hi);
            double d = (double)p[i] - (double)scale * (q - (float)zp);
            sum += d * d;
        }
    }
    return sum;
}

/* Tries narrower ranges, down to half, and keeps the one with the least squared error. */
static void search_clip(const float *w, const span *s, const nrw_weight_scheme *scheme, double lo,
                        double hi, float *scale, int32_t *zp) {
    nrw_levels l = nrw_quant_levels(scheme->dtype, scheme->symmetric);
    double best = span_error(w, s, l, *scale, *zp);
    for (int step = 1; step <= 20; step++) {
        double k = 1.0 - 0.025 * step;
        float try_scale;
        int32_t try_zp;
        nrw_quant_params(scheme->dtype, scheme->symmetric, lo * k, hi * k, &try_scale, &try_zp);
        double e = span_error(w, s, l, try_scale, try_zp);
        if (e < best) {
            best = e;
            *scale = try_scale;
            *zp = try_zp;
        }
    }
}

nrw_status nrw_quant_weights(nrw_arena *arena, const nrw_tensor *w, const nrw_weight_scheme *scheme,
                             nrw_quant **out, nrw_error *err) {
    if (w->dtype != NRW_F32) NRW_FAIL(err, NRW_ERR_ARGUMENT, "weights are not float32");
    if (scheme->axis >= w->rank) {
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "axis %d of rank %d", scheme->axis, w->rank);
    }
    if (scheme->block > 0 && (scheme->axis < 0 || w->dims[scheme->axis] % scheme->block != 0)) {
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "%lld elements cannot be cut in blocks of %lld",
                 scheme->axis < 0 ? -1LL : (long long)w->dims[scheme->axis],
                 (long long)scheme->block);
    }
    const int64_t n = group_span(w, scheme, 0).count;
    nrw_quant *q = nrw_arena_calloc(arena, 1, sizeof *q);
    float *scale = nrw_arena_calloc(arena, n > 0 ? (size_t)n : 1, sizeof *scale);
    int32_t *zp = nrw_arena_calloc(arena, n > 0 ? (size_t)n : 1, sizeof *zp);
    if (q == NULL || scale == NULL || zp == NULL) NRW_OOM(err);

    const float *data = w->data;
    float largest = 0;
    for (int64_t g = 0; g < n; g++) {
        span s = group_span(w, scheme, g);
        double lo, hi;
        span_range(data, &s, &lo, &hi);
        if (lo == hi) continue;
        nrw_quant_params(scheme->dtype, scheme->symmetric, lo, hi, &scale[g], &zp[g]);
        if (scheme->search) search_clip(data, &s, scheme, lo, hi, &scale[g], &zp[g]);
        largest = fmaxf(largest, scale[g]);
    }
    float least = largest > 0 ? fmaxf(largest * 0x1p-20f, NRW_SCALE_FLOOR) : 1.0f;
    nrw_levels l = nrw_quant_levels(scheme->dtype, scheme->symmetric);
    for (int64_t g = 0; g < n; g++) {
        if (scale[g] < least) {
            scale[g] = least;
            zp[g] = scheme->symmetric ? (int32_t)((l.lo + l.hi) / 2) : (int32_t)fmax(0, l.lo);
        }
    }
    *q = (nrw_quant){.dtype = scheme->dtype,
                     .axis = scheme->axis,
                     .block = scheme->block,
                     .count = n,
                     .scale = scale,
                     .zero_point = zp};
    *out = q;
    return NRW_OK;
}

bool nrw_quant_raise_for_bias(nrw_quant *weights, float input_scale, const float *bias, int64_t n) {
    float *scale = (float *)weights->scale; /* made by nrw_quant_weights, ours to change */
    bool raised = false;
    for (int64_t c = 0; c < n; c++) {
        float *s = &scale[weights->count == 1 ? 0 : c];
        double need = fabs((double)bias[c]) / ((double)input_scale * 0x1p30);
        if (*s < need) {
            /* One ulp up, lest rounding to float undo it. */
            *s = nextafterf((float)need, INFINITY);
            raised = true;
        }
    }
    return raised;
}

nrw_quant *nrw_quant_bias(nrw_arena *arena, const nrw_quant *weights, float input_scale,
                          int64_t n) {
    const bool one = weights->count == 1;
    nrw_quant *q = nrw_arena_calloc(arena, 1, sizeof *q);
    const int64_t count = one ? 1 : n;
    float *scale = nrw_arena_calloc(arena, (size_t)count + 1, sizeof *scale);
    int32_t *zp = nrw_arena_calloc(arena, (size_t)count + 1, sizeof *zp);
    if (q == NULL || scale == NULL || zp == NULL) return NULL;
    for (int64_t c = 0; c < count; c++) scale[c] = input_scale * weights->scale[c];
    *q = (nrw_quant){
        .dtype = NRW_I32, .axis = one ? -1 : 0, .count = count, .scale = scale, .zero_point = zp};
    return q;
}
