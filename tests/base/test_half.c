/* Small floats against values derived from their definition, in double arithmetic. */
#include <math.h>

#include "base/half.h"
#include "unit.h"

/* sign, exponent and mantissa fields spelled out; specials are the caller's business. */
static double value_of(unsigned code, int exponent_bits, int mantissa_bits, int bias) {
    unsigned mantissa = code % (1u << mantissa_bits);
    unsigned exponent = code >> mantissa_bits & ((1u << exponent_bits) - 1);
    double sign = code >> (mantissa_bits + exponent_bits) & 1 ? -1 : 1;
    double fraction = (double)mantissa / (1 << mantissa_bits);
    if (exponent == 0) return sign * ldexp(fraction, 1 - bias);
    return sign * ldexp(1 + fraction, (int)exponent - bias);
}

static void check_same(double got, double want, unsigned code) {
    if (isnan(got) != isnan(want) ||
        (!isnan(want) && (got != want || signbit(got) != signbit(want)))) {
        fail_msg("code 0x%x: got %g, want %g", code, got, want);
    }
}

static void f16_values(void **state) {
    for (unsigned h = 0; h < 65536; h++) {
        double want = value_of(h, 5, 10, 15);
        if ((h >> 10 & 31) == 31) want = h & 1023 ? (double)NAN : copysign(INFINITY, want);
        check_same((double)nrw_f16_to_f32((uint16_t)h), want, h);
        uint16_t back = nrw_f32_to_f16(nrw_f16_to_f32((uint16_t)h));
        if (isnan(want)) {
            assert_true((back & 0x7c00) == 0x7c00 && back & 0x3ff);
            assert_int_equal(back & 0x8000, h & 0x8000);
        } else {
            assert_int_equal(back, h);
        }
    }
}

static void bf16_values(void **state) {
    for (unsigned h = 0; h < 65536; h++) {
        double want = value_of(h, 8, 7, 127);
        if ((h >> 7 & 255) == 255) want = h & 127 ? (double)NAN : copysign(INFINITY, want);
        check_same((double)nrw_bf16_to_f32((uint16_t)h), want, h);
        uint16_t back = nrw_f32_to_bf16(nrw_bf16_to_f32((uint16_t)h));
        if (isnan(want)) {
            assert_true(isnan(nrw_bf16_to_f32(back)));
        } else {
            assert_int_equal(back, h);
        }
    }
}

/* Midpoints between neighbours go to the even code; a hair beside them, to the nearer. */
static void f16_rounding(void **state) {
    for (unsigned h = 0; h < 0x7bff; h++) {
        float low = nrw_f16_to_f32((uint16_t)h), high = nrw_f16_to_f32((uint16_t)(h + 1));
        float middle = (low + high) / 2;
        assert_int_equal(nrw_f32_to_f16(middle), h + (h & 1));
        assert_int_equal(nrw_f32_to_f16(-middle), 0x8000 + h + (h & 1));
        assert_int_equal(nrw_f32_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(nrw_f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
    }
    assert_int_equal(nrw_f32_to_f16(65519.99f), 0x7bff);
    assert_int_equal(nrw_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(nrw_f32_to_f16(1e-30f), 0);
}

static void bf16_rounding(void **state) {
    for (unsigned h = 0; h < 0x7f7f; h++) {
        double low = (double)nrw_bf16_to_f32((uint16_t)h);
        double high = (double)nrw_bf16_to_f32((uint16_t)(h + 1));
        float middle = (float)((low + high) / 2);
        assert_int_equal(nrw_f32_to_bf16(middle), h + (h & 1));
        assert_int_equal(nrw_f32_to_bf16(nextafterf(middle, 0)), h);
        assert_int_equal(nrw_f32_to_bf16(nextafterf(middle, INFINITY)), h + 1);
    }
}

typedef struct f8 {
    const char *name;
    float (*decode)(uint8_t);
    uint8_t (*encode)(float, bool);
    int exponent_bits, mantissa_bits, bias;
    unsigned max;    /* code of the largest finite value */
    unsigned beyond; /* what 1e9 becomes without saturation */
    bool fnuz;
} f8;

static const f8 types[] = {
    {"e4m3fn", nrw_f8e4m3fn_to_f32, nrw_f32_to_f8e4m3fn, 4, 3, 7, 0x7e, 0x7f, false},
    {"e4m3fnuz", nrw_f8e4m3fnuz_to_f32, nrw_f32_to_f8e4m3fnuz, 4, 3, 8, 0x7f, 0x80, true},
    {"e5m2", nrw_f8e5m2_to_f32, nrw_f32_to_f8e5m2, 5, 2, 15, 0x7b, 0x7c, false},
    {"e5m2fnuz", nrw_f8e5m2fnuz_to_f32, nrw_f32_to_f8e5m2fnuz, 5, 2, 16, 0x7f, 0x80, true},
};

static void f8_values(void **state) {
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const f8 *y = &types[t];
        for (unsigned v = 0; v < 256; v++) {
            double want = value_of(v, y->exponent_bits, y->mantissa_bits, y->bias);
            if (y->fnuz) {
                if (v == 0x80) want = (double)NAN;
            } else if ((v & 0x7f) > y->max) {
                bool infinity = y->exponent_bits == 5 && (v & 3) == 0;
                want = infinity ? copysign(INFINITY, want) : (double)NAN;
            }
            float got = y->decode((uint8_t)v);
            check_same((double)got, want, v);
            if (!isnan(want)) assert_int_equal(y->encode(got, false), v);
            if (isnan(want)) assert_true(isnan(y->decode(y->encode(got, true))));
        }
    }
}

static void f8_rounding(void **state) {
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const f8 *y = &types[t];
        for (unsigned v = 0; v < y->max; v++) {
            float middle = (y->decode((uint8_t)v) + y->decode((uint8_t)(v + 1))) / 2;
            assert_int_equal(y->encode(middle, true), v + (v & 1));
            assert_int_equal(y->encode(nextafterf(middle, 0), true), v);
            assert_int_equal(y->encode(nextafterf(middle, INFINITY), true), v + 1);
        }
        assert_int_equal(y->encode(1e9f, true), y->max);
        assert_int_equal(y->encode(-INFINITY, true), 0x80 | y->max);
        assert_int_equal(y->encode(1e9f, false), y->beyond);
        assert_int_equal(y->encode(INFINITY, false), y->beyond);
        assert_int_equal(y->encode(-1e-20f, true), y->fnuz ? 0 : 0x80);
    }
}

static void f8e8m0(void **state) {
    for (unsigned v = 0; v < 255; v++) {
        float f = nrw_f8e8m0_to_f32((uint8_t)v);
        check_same((double)f, ldexp(1, (int)v - 127), v);
        for (int mode = 0; mode < 3; mode++) {
            if (v) assert_int_equal(nrw_f32_to_f8e8m0(f, true, mode), v);
        }
        if (v == 0 || v == 254) continue;
        assert_int_equal(nrw_f32_to_f8e8m0(f * 1.01f, true, 0), v + 1);
        assert_int_equal(nrw_f32_to_f8e8m0(f * 1.99f, true, 1), v);
        assert_int_equal(nrw_f32_to_f8e8m0(f * 1.49f, true, 2), v);
        assert_int_equal(nrw_f32_to_f8e8m0(f * 1.5f, true, 2), v + 1);
    }
    assert_true(isnan(nrw_f8e8m0_to_f32(255)));
    assert_int_equal(nrw_f32_to_f8e8m0(INFINITY, true, 0), 255);
    assert_int_equal(nrw_f32_to_f8e8m0(3.4e38f, true, 0), 254);
    assert_int_equal(nrw_f32_to_f8e8m0(3.4e38f, false, 0), 255);
}

static void f4e2m1(void **state) {
    static const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    for (unsigned v = 0; v < 16; v++) {
        float want = v & 8 ? -values[v & 7] : values[v & 7];
        check_same((double)nrw_f4e2m1_to_f32((uint8_t)v), (double)want, v);
        assert_int_equal(nrw_f32_to_f4e2m1(want), v);
        assert_int_equal(nrw_f4e2m1_to_f32((uint8_t)(0xf0 | v)), nrw_f4e2m1_to_f32((uint8_t)v));
        if ((v & 7) == 7) continue;
        float middle = (values[v & 7] + values[(v & 7) + 1]) / 2;
        assert_int_equal(nrw_f32_to_f4e2m1(middle), (v & 7) + (v & 1));
    }
    assert_int_equal(nrw_f32_to_f4e2m1(100), 7);
    assert_int_equal(nrw_f32_to_f4e2m1(-INFINITY), 15);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_values),   cmocka_unit_test(bf16_values),
        cmocka_unit_test(f16_rounding), cmocka_unit_test(bf16_rounding),
        cmocka_unit_test(f8_values),    cmocka_unit_test(f8_rounding),
        cmocka_unit_test(f8e8m0),       cmocka_unit_test(f4e2m1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
