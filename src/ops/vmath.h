/* Float functions that compilers vectorize: straight-line code, no tables, no library calls, no
 * fused multiply-add, so every instruction set gives the same bits. Errors are relative, measured
 * over all floats of the range that does not underflow.
 *
 * exp: reduction to |r| <= ln2/2 with a two-part constant (Cody and Waite, "Software Manual for the
 * Elementary Functions", 1980, ch. 6). tanh, erf: an odd polynomial near zero, an exponential form
 * away from it; erfc = t exp(-x^2) P(t), t = 1 / (1 + x/2), has the form of Abramowitz and Stegun
 * 7.1.26. The coefficients are our own weighted minimax fits (Lawson iteration). */
#ifndef NRW_OPS_VMATH_H
#define NRW_OPS_VMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/rint.h"
#include "base/wide.h"

static inline float nrw_exp_f32(float x) {
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    float shifted = x * 1.44269504f + NRW_RINT_MAGIC;
    float n = shifted - NRW_RINT_MAGIC;
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.395060030e-3f;
    p = p * r + 8.368953709e-3f;
    p = p * r + 4.166620417e-2f;
    p = p * r + 1.666651830e-1f;
    p = p * r + 5.000000096e-1f;
    p = (p * r * r + r) + 1.0f;
    /* 2^n as a product of two, because n reaches 128 and -150. */
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    int32_t k = (int32_t)((uint32_t)bits - 0x4B400000u);
    int32_t half = k >> 1;
    uint32_t lo = (uint32_t)(half + 127) << 23, hi = (uint32_t)(k - half + 127) << 23;
    float scale_lo, scale_hi;
    memcpy(&scale_lo, &lo, sizeof lo);
    memcpy(&scale_hi, &hi, sizeof hi);
    return p * scale_lo * scale_hi;
}

/* exp(x) of x <= 0 for sums that contain a 1, where less than e^-80 is nothing: it and what it is
 * multiplied with would soon be subnormal numbers, which are slow. */
static inline float nrw_exp_share_f32(float x) {
    const float some = nrw_exp_f32(x < -80.0f ? -80.0f : x);
    return x < -80.0f ? 0 : some;
}

static inline float nrw_sigmoid_f32(float x) {
    return 1.0f / (1.0f + nrw_exp_f32(-x));
}

static inline float nrw_tanh_f32(float x) {
    float a = fabsf(x), z = x * x;
    float p = -5.717036548e-3f;
    p = p * z + 2.065057899e-2f;
    p = p * z - 5.374349526e-2f;
    p = p * z + 1.333149125e-1f;
    p = p * z - 3.333328392e-1f;
    float near = x + x * z * p;
    float far = copysignf(1.0f - 2.0f / (nrw_exp_f32(2.0f * a) + 1.0f), x);
    return a < 0.625f ? near : far;
}

/* erf(x) for |x| < 1. */
static inline float nrw_erf_near_f32(float x) {
    float z = x * x;
    float p = -5.631418998e-4f;
    p = p * z + 4.917550614e-3f;
    p = p * z - 2.671131059e-2f;
    p = p * z + 1.128018009e-1f;
    p = p * z - 3.761232618e-1f;
    p = p * z + 1.128379122e+0f;
    return x * p;
}

/* erfc(a) for a >= 0.9, given exp(-a^2). */
static inline float nrw_erfc_far_f32(float a, float exp_minus_square) {
    float t = 1.0f / (1.0f + 0.5f * a);
    float p = 8.939610277e-2f;
    p = p * t - 2.149207988e-1f;
    p = p * t + 6.944614361e-2f;
    p = p * t + 6.899846652e-2f;
    p = p * t + 1.759489851e-1f;
    p = p * t + 2.475402736e-1f;
    p = p * t + 2.819772424e-1f;
    p = p * t + 2.821011677e-1f;
    return exp_minus_square * t * p;
}

static inline float nrw_erf_f32(float x) {
    float a = fabsf(x);
    float far = copysignf(1.0f - nrw_erfc_far_f32(a, nrw_exp_f32(-a * a)), x);
    return a < 1.0f ? nrw_erf_near_f32(x) : far;
}

/* The normal distribution function, accurate in the lower tail as well. */
static inline float nrw_normal_cdf_f32(float x) {
    float s = x * 0.707106781f, a = fabsf(s);
    float tail = 0.5f * nrw_erfc_far_f32(a, nrw_exp_f32(-0.5f * x * x));
    float far = x < 0.0f ? tail : 1.0f - tail;
    return a < 1.0f ? 0.5f + 0.5f * nrw_erf_near_f32(s) : far;
}

/* The same names in double, from the C library. */
static inline double nrw_exp_f64(double x) {
    return exp(x);
}
static inline double nrw_sigmoid_f64(double x) {
    return x >= 0 ? 1.0 / (1.0 + exp(-x)) : exp(x) / (1.0 + exp(x));
}
static inline double nrw_tanh_f64(double x) {
    return tanh(x);
}
static inline double nrw_erf_f64(double x) {
    return erf(x);
}
static inline double nrw_normal_cdf_f64(double x) {
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

#endif
