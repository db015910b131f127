#include "ops/litert.h"

#include <math.h>
#include <string.h>

#include "base/wide.h"

enum { LANES = 16 };

/* Fixed point, as gemmlowp has it (https://github.com/google/gemmlowp, fixedpoint/fixedpoint.h):
 * products of high halves, and divisions by powers of two, to nearest, halves away from zero. */

static int16_t saturate16(int32_t v) {
    return (int16_t)(v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v);
}

static int16_t high_product16(int16_t a, int16_t b) {
    if (a == INT16_MIN && b == INT16_MIN) return INT16_MAX;
    const int32_t product = (int32_t)a * b, nudge = product >= 0 ? 1 << 14 : 1 - (1 << 14);
    return (int16_t)((product + nudge) / (1 << 15));
}

/* Without rounding, towards minus infinity where the product is halved. */
static int16_t low_product16(int16_t a, int16_t b) {
    if (a == INT16_MIN && b == INT16_MIN) return INT16_MAX;
    return (int16_t)((int32_t)a * b / (1 << 15));
}

static int32_t high_product32(int32_t a, int32_t b) {
    if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
    const int64_t product = (int64_t)a * b, nudge = product >= 0 ? 1 << 30 : 1 - (1 << 30);
    return (int32_t)((product + nudge) / ((int64_t)1 << 31));
}

static int32_t halve(int32_t x, int times) {
    const int32_t mask = (int32_t)(((int64_t)1 << times) - 1), rest = x & mask;
    return (x >> times) + (rest > (mask >> 1) + (x < 0 ? 1 : 0) ? 1 : 0);
}

/* A positive number as m * 2^(shift - 31), m from 2^30 to 2^31. */
typedef struct multiplier {
    int32_t m;
    int shift;
} multiplier;

static multiplier multiplier_of(double x) {
    multiplier r = {0, 0};
    if (!(x > 0)) return r;
    int64_t m = llrint(round(frexp(x, &r.shift) * 2147483648.0));
    if (m == (int64_t)1 << 31) {
        m /= 2;
        r.shift++;
    }
    if (r.shift < -31) return (multiplier){0, 0};
    r.m = (int32_t)m;
    return r;
}

static int32_t times(int32_t x, multiplier by) {
    const int left = by.shift > 0 ? by.shift : 0, right = by.shift > 0 ? 0 : -by.shift;
    if (left > 22) return x > 0 ? INT16_MAX : x < 0 ? INT16_MIN : 0; /* beyond any byte */
    return halve(high_product32((int32_t)((uint32_t)x << left), by.m), right);
}

/* lite/kernels/internal/reference/hard_swish.h. */
typedef struct hard_swish {
    int16_t out, reluish;
    int out_shift, reluish_shift;
} hard_swish;

static int16_t upper_half(int32_t m) {
    return (int16_t)(m >= INT32_MAX - (1 << 15) ? INT16_MAX : (m + (1 << 15)) >> 16);
}

static hard_swish hard_swish_of(const nrw_quant *x, const nrw_quant *y) {
    const float fine = (1.0f / 128.0f) * x->scale[0], whole = 3.0f / 32768.0f;
    const multiplier out = multiplier_of((double)(fine / y->scale[0]));
    const multiplier reluish = multiplier_of((double)(fine / whole));
    return (hard_swish){upper_half(out.m), upper_half(reluish.m), out.shift, reluish.shift};
}

static int16_t left(int16_t x, int by) {
    return by > 15 ? (x > 0 ? INT16_MAX : x < 0 ? INT16_MIN : 0) : saturate16((int32_t)x << by);
}

static int32_t hard_swish_byte(const hard_swish *h, int32_t steps) {
    const int16_t fine = (int16_t)(steps * 128);
    const int16_t wide = high_product16(fine, h->out);
    int16_t r = fine;
    /* All shifts but the last before the product, so that only the last can cut off what counts. */
    if (h->reluish_shift > 0) r = left(r, h->reluish_shift - 1);
    r = high_product16(r, h->reluish);
    if (h->reluish_shift > 0) r = left(r, 1);
    if (h->reluish_shift < 0) r = (int16_t)halve(r, -h->reluish_shift);
    r = (int16_t)((r + (1 << 15)) >> 1);
    return halve(low_product16(r, wide), -h->out_shift);
}

/* XNNPACK, qs8-vlrelu and qs8-vcvt: multipliers of 8 bits behind the point, halves up. */
static int32_t by_eighths(int32_t steps, float scale) {
    const int32_t m = (int32_t)lrintf(256.0f * scale);
    return (steps * m + 0x80) >> 8;
}

static bool is(const nrw_node *n, const char *type) {
    return strcmp(n->type, type) == 0;
}

/* What x stands for as steps of y, before y's zero point; false: by the exact result. */
static bool litert_steps(const nrw_node *n, const nrw_quant *x, const nrw_quant *y,
                         const hard_swish *h, int32_t steps, int32_t *out) {
    const float ratio = x->scale[0] / y->scale[0];
    if (is(n, "HardSwish")) {
        if (h->out_shift > 0) return false;
        *out = hard_swish_byte(h, steps);
        return true;
    }
    if (is(n, "LeakyRelu")) {
        const float slope = nrw_attr_float(n, "alpha", 0.01f);
        const float below = fabsf(ratio * slope);
        if (!(ratio >= 0x1p-8f && ratio <= 0x1p+7f && below <= 0x1p+7f)) return false;
        *out = by_eighths(steps, steps >= 0 ? ratio : ratio * slope);
        return true;
    }
    if (is(n, "Requantize")) {
        if (!(ratio >= 0x1p-8f && ratio <= 0x1p+7f && ratio != 1)) return false;
        *out = by_eighths(steps, ratio);
        return true;
    }
    if (is(n, "Relu") && ratio != 1) {
        const int32_t v = times(steps, multiplier_of((double)ratio));
        *out = v > 0 ? v : 0;
        return true;
    }
    return false;
}

void nrw_litert_table(const nrw_node *n, const nrw_quant *x, const nrw_quant *y, uint8_t *table) {
    const hard_swish h = is(n, "HardSwish") ? hard_swish_of(x, y) : (hard_swish){0};
    const int32_t least = y->dtype == NRW_I8 ? -128 : 0;
    for (int i = 0; i < 256; i++) {
        const int32_t q = x->dtype == NRW_I8 ? (int8_t)i : i;
        int32_t v;
        if (!litert_steps(n, x, y, &h, q - x->zero_point[0], &v)) return;
        v += y->zero_point[0];
        v = v < least ? least : v > least + 255 ? least + 255 : v;
        table[i] = (uint8_t)v;
    }
}

int32_t nrw_litert_mean(int64_t sum, int64_t n, int32_t shift) {
    const int64_t own = sum - n * shift;
    return (int32_t)(own > 0 ? (own + n / 2) / n : (own - n / 2) / n) + shift;
}

NRW_WIDE void nrw_litert_range(const float *x, int64_t n, float *lo, float *hi) {
    float low[LANES] = {0}, high[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++) low[k] = x[i + k] < low[k] ? x[i + k] : low[k];
        for (int k = 0; k < LANES; k++) high[k] = x[i + k] > high[k] ? x[i + k] : high[k];
    }
    for (int k = 0; i < n; i++, k++) {
        low[k] = x[i] < low[k] ? x[i] : low[k];
        high[k] = x[i] > high[k] ? x[i] : high[k];
    }
    *lo = *hi = 0;
    for (int k = 0; k < LANES; k++) {
        *lo = low[k] < *lo ? low[k] : *lo;
        *hi = high[k] > *hi ? high[k] : *hi;
    }
}

static inline float fused(int32_t sum, float x_scale, float w_scale, float bias) {
    return (float)((double)((float)sum * x_scale) * w_scale + bias);
}

NRW_WIDE static void biased_row(const int32_t *sum, const int32_t *taken, int32_t zero,
                                float x_scale, const float *w_scale, const float *bias, int64_t n,
                                float *y) {
    for (int64_t i = 0; i < n; i++)
        y[i] = fused(sum[i] - zero * taken[i], x_scale, w_scale[i], bias[i]);
}

void nrw_litert_row(const int32_t *sum, const int32_t *taken, int32_t zero, float x_scale,
                    const float *w_scale, const float *bias, int64_t n, float *y) {
    if (bias != NULL) {
        biased_row(sum, taken, zero, x_scale, w_scale, bias, n, y);
        return;
    }
    for (int64_t i = 0; i < n; i++) y[i] = fused(sum[i] - zero * taken[i], x_scale, w_scale[i], 0);
}

NRW_WIDE void nrw_litert_pixels(const nrw_litert_channel *c, const int32_t *sum, int64_t n,
                                float *y) {
    const float x_scale = c->x_scale, w_scale = c->w_scale, bias = c->bias, lo = c->lo, hi = c->hi;
    if (c->own) {
        for (int64_t i = 0; i < n; i++) y[i] = (float)sum[i] * w_scale * x_scale + bias;
    } else {
        for (int64_t i = 0; i < n; i++) y[i] = fused(sum[i], x_scale, w_scale, bias);
    }
    if (!(lo > -INFINITY || hi < INFINITY)) return;
    for (int64_t i = 0; i < n; i++) {
        const float v = y[i] < lo ? lo : y[i];
        y[i] = v > hi ? hi : v;
    }
}

/* XNNPACK, src/xnnpack/quantization.h: the zero point is taken from the end of the range that
 * leaves the smaller error, and data are multiplied by what the scale is the reciprocal of. */
void nrw_litert_quantize(const nrw_kernels *kn, float lo, float hi, const float *x, int64_t n,
                         uint8_t *y, float *scale, int32_t *zero) {
    const float factor = lo == hi ? 1.0f : 255.0f / (hi - lo);
    const float low = lo * factor, high = hi * factor;
    float z = (-128.0f + low) + (127.0f + high) > 0 ? -128.0f - low : 127.0f - high;
    z = z < -128.0f ? -128.0f : z > 127.0f ? 127.0f : z;
    *zero = (int32_t)lrintf(z) + 128;
    *scale = 1.0f / factor;
    if (kn->quantize_u8 != NULL) {
        const nrw_quantize_u8 by = {*scale, *zero, factor};
        kn->quantize_u8(&by, x, y, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const float v = rintf(x[i] * factor) + (float)*zero; /* NaN: the zero point */
        y[i] = (uint8_t)(v != v ? *zero : v < 0 ? 0 : v > 255 ? 255 : (int32_t)v);
    }
}

NRW_WIDE static void quantize_away(const float *x, int64_t n, float factor, int32_t zero,
                                   uint8_t *y) {
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] * factor;
        v = v > -1000.0f ? v : -1000.0f; /* NaN, too */
        v = v < 1000.0f ? v : 1000.0f;
        const int32_t b = (int32_t)(v + (v < 0 ? -0.5f : 0.5f)) + zero;
        y[i] = (uint8_t)(b < 0 ? 0 : b > 255 ? 255 : b);
    }
}

/* LiteRT, lite/kernels/internal/optimized/neon_tensor_utils.cc, AsymmetricQuantizeFloats: the zero
 * point in doubles, halves away from zero before it is added. */
void nrw_litert_quantize_own(float lo, float hi, const float *x, int64_t n, uint8_t *y,
                             float *scale, int32_t *zero) {
    *scale = 1;
    *zero = 128;
    if (lo != hi) {
        const double step = (hi - lo) / 255.0, low = lo / step, high = hi / step;
        const double z = 128 - low < 127 + high ? -128 - low : 127 - high;
        *zero = z <= -128 ? 0 : z >= 127 ? 255 : (int32_t)round(z) + 128;
        *scale = (float)step;
    }
    quantize_away(x, n, (float)(1.0 / *scale), *zero, y);
}
