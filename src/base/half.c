#include "base/half.h"

#include <string.h>

static uint32_t bits_of(float f) {
    uint32_t x;
    memcpy(&x, &f, sizeof x);
    return x;
}

static float float_of(uint32_t x) {
    float f;
    memcpy(&f, &x, sizeof f);
    return f;
}

/* A small binary floating type: sign, exponent and `mantissa` bits, the lowest exponent field for
 * subnormal numbers. */
typedef struct minifloat {
    int mantissa, bias;
    uint32_t sign; /* the sign bit */
    uint32_t max;  /* code of the largest finite magnitude */
} minifloat;

static const minifloat f16 = {10, 15, 0x8000, 0x7bff};
static const minifloat e4m3fn = {3, 7, 0x80, 0x7e};
static const minifloat e4m3fnuz = {3, 8, 0x80, 0x7f};
static const minifloat e5m2 = {2, 15, 0x80, 0x7b};
static const minifloat e5m2fnuz = {2, 16, 0x80, 0x7f};
static const minifloat e2m1 = {1, 1, 0x8, 0x7};

/* The value of a finite code. */
static inline float decode(minifloat t, uint32_t v) {
    uint32_t magnitude = v & (t.sign - 1), sign = v & t.sign ? 0x80000000u : 0;
    uint32_t exponent = magnitude >> t.mantissa;
    if (exponent) {
        uint32_t rebias = (uint32_t)(127 - t.bias) << 23;
        return float_of(sign | ((magnitude << (23 - t.mantissa)) + rebias));
    }
    float unit = float_of((uint32_t)(127 + 1 - t.bias - t.mantissa) << 23);
    return float_of(sign | bits_of((float)magnitude * unit));
}

/* The code of the nearest value to a magnitude (a float's bits without sign, finite), ties to even,
 * as if exponents had no upper end. */
static inline uint32_t encode(minifloat t, uint32_t x) {
    int exponent = (int)(x >> 23) - 127, lowest = 1 - t.bias, drop = 23 - t.mantissa;
    uint32_t significand = x & 0x7fffff, base = 0;
    if (x >> 23) {
        significand |= 0x800000;
    } else {
        exponent = -126;
    }
    if (exponent < lowest) {
        drop += lowest - exponent;
        if (drop > 24) return 0; /* below a half of the smallest step; a half itself rounds to 0 */
    } else {
        base = (uint32_t)(exponent - lowest) << t.mantissa;
    }
    uint32_t kept = significand >> drop, rest = significand & ((1u << drop) - 1),
             half = 1u << (drop - 1);
    return base + kept + (rest > half || (rest == half && kept & 1));
}

static inline bool is_nan_bits(uint32_t x) {
    return (x & 0x7fffffff) > 0x7f800000;
}

float nrw_f16_to_f32(uint16_t h) {
    if ((h & 0x7c00) != 0x7c00) return decode(f16, h);
    return float_of((uint32_t)(h & 0x8000) << 16 | 0x7f800000 | (uint32_t)(h & 0x3ff) << 13);
}

uint16_t nrw_f32_to_f16(float f) {
    uint32_t x = bits_of(f), sign = x >> 16 & 0x8000;
    x &= 0x7fffffff;
    if (x > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (x >> 13 & 0x3ff));
    if (x >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 rounds to 2^16 */
    return (uint16_t)(sign | encode(f16, x));
}

float nrw_bf16_to_f32(uint16_t h) {
    return float_of((uint32_t)h << 16);
}

uint16_t nrw_f32_to_bf16(float f) {
    uint32_t x = bits_of(f);
    if (is_nan_bits(x)) return (uint16_t)(x >> 16 | 0x40);
    return (uint16_t)((x + 0x7fff + (x >> 16 & 1)) >> 16);
}

/* Encodes with sign. beyond: the code (without sign) for what does not fit, infinity included. */
static inline uint8_t encode_signed(minifloat t, float f, bool saturate, uint32_t beyond) {
    uint32_t x = bits_of(f), sign = x >> 31 ? t.sign : 0, code;
    x &= 0x7fffffff;
    code = x < 0x7f800000 ? encode(t, x) : t.max + 1;
    if (code > t.max) code = saturate ? t.max : beyond;
    return (uint8_t)(sign | code);
}

float nrw_f8e4m3fn_to_f32(uint8_t v) {
    if ((v & 0x7f) == 0x7f) return float_of(v & 0x80 ? 0xffc00000 : 0x7fc00000);
    return decode(e4m3fn, v);
}

uint8_t nrw_f32_to_f8e4m3fn(float f, bool saturate) {
    uint32_t x = bits_of(f);
    if (is_nan_bits(x)) return x >> 31 ? 0xff : 0x7f;
    return encode_signed(e4m3fn, f, saturate, 0x7f);
}

/* The "fnuz" types have one NaN, in the place of minus zero, and no infinities. */
static inline uint8_t encode_fnuz(minifloat t, float f, bool saturate) {
    uint32_t x = bits_of(f), magnitude = x & 0x7fffffff;
    if (magnitude > 0x7f800000) return 0x80;
    uint32_t code = magnitude < 0x7f800000 ? encode(t, magnitude) : t.max + 1;
    if (code > t.max) {
        if (!saturate) return 0x80;
        code = t.max;
    }
    return (uint8_t)(code && x >> 31 ? 0x80 | code : code);
}

float nrw_f8e4m3fnuz_to_f32(uint8_t v) {
    return v == 0x80 ? float_of(0x7fc00000) : decode(e4m3fnuz, v);
}

uint8_t nrw_f32_to_f8e4m3fnuz(float f, bool saturate) {
    return encode_fnuz(e4m3fnuz, f, saturate);
}

float nrw_f8e5m2_to_f32(uint8_t v) {
    return nrw_f16_to_f32((uint16_t)(v << 8)); /* the upper half of a float16 */
}

uint8_t nrw_f32_to_f8e5m2(float f, bool saturate) {
    uint32_t x = bits_of(f);
    if (is_nan_bits(x)) return x >> 31 ? 0xfe : 0x7e;
    return encode_signed(e5m2, f, saturate, 0x7c);
}

float nrw_f8e5m2fnuz_to_f32(uint8_t v) {
    return v == 0x80 ? float_of(0x7fc00000) : decode(e5m2fnuz, v);
}

uint8_t nrw_f32_to_f8e5m2fnuz(float f, bool saturate) {
    return encode_fnuz(e5m2fnuz, f, saturate);
}

/* E8M0 is the exponent field of a float by itself; 2^-127 is a float's subnormal. */
float nrw_f8e8m0_to_f32(uint8_t v) {
    if (v == 0xff) return float_of(0x7fc00000);
    return v ? float_of((uint32_t)v << 23) : float_of(0x00400000);
}

uint8_t nrw_f32_to_f8e8m0(float f, bool saturate, int mode) {
    uint32_t x = bits_of(f) & 0x7fffffff, exponent = x >> 23, fraction = x & 0x7fffff;
    if (exponent == 0xff) return 0xff; /* NaN and infinity alike */
    bool up = false;
    if (mode == 0) up = fraction != 0;
    if (mode == 2) up = fraction > 0x400000 || (fraction == 0x400000 && exponent > 0);
    if (exponent == 0xfe && saturate) up = false;
    return (uint8_t)(exponent + up);
}

float nrw_f4e2m1_to_f32(uint8_t v) {
    return decode(e2m1, v & 15);
}

uint8_t nrw_f32_to_f4e2m1(float f) {
    /* No code stands for NaN; zero of the opposite sign is what others write. */
    uint32_t x = bits_of(f);
    if (is_nan_bits(x)) return x >> 31 ? 0x0 : 0x8;
    return encode_signed(e2m1, f, true, 0);
}
