/* Fixed-point arithmetic. Numbers of 16 bits have as many bits before the point as the comment
 * says, the sign not counted; products of two have the sum of them. Sums wrap around where nothing
 * else is said, as they do there. */
#include "ops/tflite_fixed.h"

#include <math.h>

nrw_fixed_factor nrw_fixed_from(double x) {
    nrw_fixed_factor f = {0, 0};
    if (!(x > 0) || !isfinite(x)) return f;
    int64_t mantissa = (int64_t)round(frexp(x, &f.shift) * 2147483648.0);
    if (mantissa == (int64_t)1 << 31) {
        mantissa /= 2;
        f.shift++;
    }
    if (f.shift < -31) return (nrw_fixed_factor){0, 0};
    f.mantissa = (int32_t)mantissa;
    return f;
}

/* The upper half of twice the product. */
static int32_t high(int32_t a, int32_t b) {
    if (a == b && a == INT32_MIN) return INT32_MAX;
    const int64_t ab = (int64_t)a * b, nudge = ab >= 0 ? 1 << 30 : 1 - (1 << 30);
    return (int32_t)((ab + nudge) / ((int64_t)1 << 31));
}

int32_t nrw_fixed_divide(int32_t x, int exponent) {
    const int64_t mask = ((int64_t)1 << exponent) - 1, rest = x & mask;
    return (int32_t)(((int64_t)x - rest) / ((int64_t)1 << exponent)) +
           (rest > (mask >> 1) + (x < 0));
}

int32_t nrw_fixed_scale(int32_t x, nrw_fixed_factor f) {
    const int left = f.shift > 0 ? f.shift : 0;
    const int32_t wide = left > 31 ? 0 : (int32_t)((uint32_t)x << left);
    return nrw_fixed_divide(high(wide, f.mantissa), left - f.shift);
}

/* x * 2^bits, to the ends of the range where that does not fit. */
static int32_t raise32(int32_t x, int bits) {
    const int32_t limit = (int32_t)((UINT32_C(1) << (31 - bits)) - 1);
    return x > limit ? INT32_MAX : x < -limit ? INT32_MIN : (int32_t)((uint32_t)x << bits);
}

/* Newton's iteration for a number that was brought into [1/4, 1) of 3 bits before the point. */
nrw_fixed_factor nrw_fixed_inverse_root(int32_t x) {
    if (x <= 1) return (nrw_fixed_factor){INT32_MAX, 0};
    int shift = 11;
    for (; x >= 1 << 29; x /= 4) shift++;
    const int pairs = (__builtin_clz((unsigned)x) - 1) / 2 - 1;
    shift -= pairs;
    x <<= 2 * pairs;
    const int32_t half = nrw_fixed_divide(x >> 1, 1), half_three = (1 << 28) + (1 << 27);
    int32_t y = 1 << 28;
    for (int i = 0; i < 5; i++) {
        const int32_t cube = raise32(high(high(y, y), y), 6);
        y = raise32((int32_t)((uint32_t)high(half_three, y) - (uint32_t)high(half, cube)), 3);
    }
    y = high(y, 1518500250); /* sqrt(1/2), no bits before the point */
    if (shift < 0) {
        y = (int32_t)((uint32_t)y << -shift);
        shift = 0;
    }
    return (nrw_fixed_factor){y, -shift};
}

/* 16 bits. */

static int16_t wrap(int32_t x) {
    return (int16_t)(uint16_t)x;
}

static int16_t mul(int16_t a, int16_t b) {
    if (a == b && a == INT16_MIN) return INT16_MAX;
    const int32_t ab = a * b, nudge = ab >= 0 ? 1 << 14 : 1 - (1 << 14);
    return (int16_t)((ab + nudge) / (1 << 15));
}

static int16_t raise16(int16_t x, int bits) {
    const int32_t limit = (1 << (15 - bits)) - 1;
    return x > limit ? INT16_MAX : x < -limit ? INT16_MIN : (int16_t)(x * (1 << bits));
}

/* exp of a number in [-1/4, 0): Taylor's series at -1/8. */
static int16_t exp_small(int16_t a) {
    const int16_t at = 28918, third = 10923; /* exp(-1/8), 1/3 */
    const int16_t x = wrap(a + (1 << 12)), x2 = mul(x, x), x3 = mul(x2, x), x4 = mul(x2, x2);
    const int16_t rest = mul(wrap((int16_t)nrw_fixed_divide(x4, 2) + x3), third);
    const int16_t tail = (int16_t)nrw_fixed_divide(wrap(rest + x2), 1);
    return (int16_t)nrw_fixed_clamp(at + mul(at, wrap(x + tail)), INT16_MIN, INT16_MAX);
}

/* exp of a number <= 0 with `bits` bits before the point: a quarter's rest, times a power for each
 * bit of what is left. */
static int16_t exp_negative(int16_t a, int bits) {
    /* exp(-2^k) from k = -2 on. */
    static const int16_t powers[] = {25520, 19875, 12055, 4435, 600, 11, 0};
    const int fraction = 15 - bits;
    const int16_t quarter = (int16_t)(1 << (fraction - 2));
    const int16_t rest = wrap((a & (quarter - 1)) - quarter);
    int16_t y = exp_small(raise16(rest, bits));
    const int16_t whole = wrap(rest - a);
    for (int k = -2; k <= 4 && k < bits; k++) {
        if ((whole & (1 << (fraction + k))) != 0) y = mul(y, powers[k + 2]);
    }
    if (bits > 5 && a < -(1 << (20 - bits))) y = 0;
    return a == 0 ? INT16_MAX : y;
}

/* 1 / (1 + a) for a in (0, 1), with 2 bits before the point and halved: Newton's division. */
static int16_t half_inverse(int16_t a) {
    const int32_t sum = a + INT16_MAX;
    const int16_t half = (int16_t)((sum + (sum >= 0 ? 1 : -1)) / 2);
    int16_t x = wrap(23130 + mul(half, -15420)); /* 48/17 - 32/17 half */
    for (int i = 0; i < 3; i++) {
        const int16_t rest = wrap((1 << 13) - mul(half, x));
        x = wrap(x + raise16(mul(x, rest), 2));
    }
    return x;
}

int16_t nrw_fixed_sigmoid(int16_t x) {
    if (x == 0) return 1 << 14;
    const int16_t y = raise16(half_inverse(exp_negative(x > 0 ? wrap(-x) : x, 3)), 1);
    return x > 0 ? y : wrap(INT16_MAX - y);
}

/* (1 - exp(-2x)) / (1 + exp(-2x)); twice a number is the same bits with one more before the point.
 */
int16_t nrw_fixed_tanh(int16_t x, int bits) {
    if (x == 0) return 0;
    const int16_t y = half_inverse(exp_negative(x < 0 ? x : wrap(-x), bits + 1));
    const int16_t t = raise16(wrap(y - (1 << 13)), 2);
    return x < 0 ? wrap(-t) : t;
}
