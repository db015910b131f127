/* The fixed-point arithmetic of TensorFlow Lite's integer kernels, to the bit: what operators that
 * keep states in integers need, for there the last bit of a step is in all that come after. As in
 * lite/kernels/internal/common.h, quantization_util.cc and gemmlowp's fixedpoint/fixedpoint.h. */
#ifndef NRW_OPS_TFLITE_FIXED_H
#define NRW_OPS_TFLITE_FIXED_H

#include <stdint.h>

/* A real factor as mantissa * 2^(shift - 31). */
typedef struct nrw_fixed_factor {
    int32_t mantissa;
    int shift;
} nrw_fixed_factor;

nrw_fixed_factor nrw_fixed_from(double x);
/* x * f, rounded twice where f.shift is negative: half away from zero both times. */
int32_t nrw_fixed_scale(int32_t x, nrw_fixed_factor f);
/* x / 2^exponent, half away from zero; 0 <= exponent <= 31. */
int32_t nrw_fixed_divide(int32_t x, int exponent);
/* 1 / sqrt(x) for x >= 1. */
nrw_fixed_factor nrw_fixed_inverse_root(int32_t x);

/* Of numbers with 3 bits before the point, to numbers with none. */
int16_t nrw_fixed_sigmoid(int16_t x);
/* Of numbers with `bits` bits before the point; 0 <= bits <= 6. */
int16_t nrw_fixed_tanh(int16_t x, int bits);

static inline int32_t nrw_fixed_clamp(int64_t x, int32_t lo, int32_t hi) {
    return x < lo ? lo : x > hi ? hi : (int32_t)x;
}

#endif
