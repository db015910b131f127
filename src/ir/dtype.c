/* The table of storage types, and conversions of arrays between them. */
#include "ir/dtype.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/mem.h"

static const nrw_dtype_row rows[NRW_DTYPE_COUNT] = {
    /* clang-format off */
    /*                name         title             class             bits size onnx tfl pt2  min        max */
    [NRW_NONE]       = {"?",        "unknown",        NRW_CLASS_NONE,    0,   0,  0, -1,  0, 0,         0},
    [NRW_F32]        = {"f32",      "float32",        NRW_CLASS_FLOAT,   32,  4,  1,  0,  7, 0,         0},
    [NRW_F64]        = {"f64",      "float64",        NRW_CLASS_FLOAT,   64,  8, 11, 10,  8, 0,         0},
    [NRW_F16]        = {"f16",      "float16",        NRW_CLASS_FLOAT,   16,  2, 10,  1,  6, 0,         0},
    [NRW_BF16]       = {"bf16",     "bfloat16",       NRW_CLASS_FLOAT,   16,  2, 16, 18, 13, 0,         0},
    [NRW_F8E4M3FN]   = {"f8e4m3fn", "float8e4m3fn",   NRW_CLASS_FLOAT,    8,  1, 17, 21,  0, 0,         0},
    [NRW_F8E4M3FNUZ] = {"f8e4m3fnuz", "float8e4m3fnuz", NRW_CLASS_FLOAT,  8,  1, 18, -1,  0, 0,         0},
    [NRW_F8E5M2]     = {"f8e5m2",   "float8e5m2",     NRW_CLASS_FLOAT,    8,  1, 19, 22,  0, 0,         0},
    [NRW_F8E5M2FNUZ] = {"f8e5m2fnuz", "float8e5m2fnuz", NRW_CLASS_FLOAT,  8,  1, 20, -1,  0, 0,         0},
    [NRW_F8E8M0]     = {"f8e8m0",   "float8e8m0",     NRW_CLASS_FLOAT,    8,  1, 24, -1,  0, 0,         0},
    [NRW_F4E2M1]     = {"f4e2m1",   "float4e2m1",     NRW_CLASS_FLOAT,    4,  1, 23, -1,  0, 0,         0},
    [NRW_I8]         = {"i8",       "int8",           NRW_CLASS_SINT,     8,  1,  3,  9,  2, INT8_MIN,  INT8_MAX},
    [NRW_U8]         = {"u8",       "uint8",          NRW_CLASS_UINT,     8,  1,  2,  3,  1, 0,         UINT8_MAX},
    [NRW_I16]        = {"i16",      "int16",          NRW_CLASS_SINT,    16,  2,  5,  7,  3, INT16_MIN, INT16_MAX},
    [NRW_U16]        = {"u16",      "uint16",         NRW_CLASS_UINT,    16,  2,  4, 16,  0, 0,         UINT16_MAX},
    [NRW_I32]        = {"i32",      "int32",          NRW_CLASS_SINT,    32,  4,  6,  2,  4, INT32_MIN, INT32_MAX},
    [NRW_U32]        = {"u32",      "uint32",         NRW_CLASS_UINT,    32,  4, 12, 15,  0, 0,         UINT32_MAX},
    [NRW_I64]        = {"i64",      "int64",          NRW_CLASS_SINT,    64,  8,  7,  4,  5, INT64_MIN, INT64_MAX},
    [NRW_U64]        = {"u64",      "uint64",         NRW_CLASS_UINT,    64,  8, 13, 12,  0, 0,         INT64_MAX},
    [NRW_I4]         = {"i4",       "int4",           NRW_CLASS_SINT,     4,  1, 22, 17,  0, -8,        7},
    [NRW_U4]         = {"u4",       "uint4",          NRW_CLASS_UINT,     4,  1, 21, 20,  0, 0,         15},
    [NRW_I2]         = {"i2",       "int2",           NRW_CLASS_SINT,     2,  1, 26, 19,  0, -2,        1},
    [NRW_U2]         = {"u2",       "uint2",          NRW_CLASS_UINT,     2,  1, 25, -1,  0, 0,         3},
    [NRW_BOOL]       = {"bool",     "bool",           NRW_CLASS_BOOL,     8,  1,  9,  6, 12, 0,         1},
    [NRW_STRING]     = {"str",      "string",         NRW_CLASS_STRING,   0, sizeof(nrw_string), 8, 5, 0, 0, 0},
    [NRW_C64]        = {"c64",      "complex64",      NRW_CLASS_COMPLEX, 64,  8, 14,  8, 10, 0,         0},
    [NRW_C128]       = {"c128",     "complex128",     NRW_CLASS_COMPLEX, 128, 16, 15, 11, 11, 0,        0},
    /* clang-format on */
};

const nrw_dtype_row *nrw_dtype_get(nrw_dtype t) {
    return &rows[(unsigned)t < NRW_DTYPE_COUNT ? t : NRW_NONE];
}

bool nrw_dtype_is_float(nrw_dtype t) {
    return nrw_dtype_get(t)->klass == NRW_CLASS_FLOAT;
}

bool nrw_dtype_is_integer(nrw_dtype t) {
    nrw_class k = nrw_dtype_get(t)->klass;
    return k == NRW_CLASS_SINT || k == NRW_CLASS_UINT;
}

static bool same_text(const char *s, const char *name, size_t n) {
    return strlen(s) == n && memcmp(s, name, n) == 0;
}

nrw_dtype nrw_dtype_from_name(const char *name, size_t n) {
    for (int t = NRW_NONE + 1; t < NRW_DTYPE_COUNT; t++) {
        if (same_text(rows[t].name, name, n) || same_text(rows[t].title, name, n)) return t;
    }
    return NRW_NONE;
}

nrw_dtype nrw_dtype_from_onnx(int code) {
    for (int t = NRW_NONE + 1; t < NRW_DTYPE_COUNT; t++) {
        if (code != 0 && rows[t].onnx == code) return t;
    }
    return NRW_NONE;
}

nrw_dtype nrw_dtype_from_tflite(int code) {
    for (int t = NRW_NONE + 1; t < NRW_DTYPE_COUNT; t++) {
        if (code >= 0 && rows[t].tflite == code) return t;
    }
    return NRW_NONE;
}

/* Reading one element of a float type as float; exact for all but F64. */
static float load_narrow_float(nrw_dtype t, const void *p, int64_t i) {
    switch (t) {
    case NRW_F16:
        return nrw_f16_to_f32(((const uint16_t *)p)[i]);
    case NRW_BF16:
        return nrw_bf16_to_f32(((const uint16_t *)p)[i]);
    case NRW_F8E4M3FN:
        return nrw_f8e4m3fn_to_f32(((const uint8_t *)p)[i]);
    case NRW_F8E4M3FNUZ:
        return nrw_f8e4m3fnuz_to_f32(((const uint8_t *)p)[i]);
    case NRW_F8E5M2:
        return nrw_f8e5m2_to_f32(((const uint8_t *)p)[i]);
    case NRW_F8E5M2FNUZ:
        return nrw_f8e5m2fnuz_to_f32(((const uint8_t *)p)[i]);
    case NRW_F8E8M0:
        return nrw_f8e8m0_to_f32(((const uint8_t *)p)[i]);
    default:
        return nrw_f4e2m1_to_f32(((const uint8_t *)p)[i]);
    }
}

static void store_narrow_float(nrw_dtype t, void *p, int64_t i, float f) {
    switch (t) {
    case NRW_F16:
        ((uint16_t *)p)[i] = nrw_f32_to_f16(f);
        break;
    case NRW_BF16:
        ((uint16_t *)p)[i] = nrw_f32_to_bf16(f);
        break;
    case NRW_F8E4M3FN:
        ((uint8_t *)p)[i] = nrw_f32_to_f8e4m3fn(f, true);
        break;
    case NRW_F8E4M3FNUZ:
        ((uint8_t *)p)[i] = nrw_f32_to_f8e4m3fnuz(f, true);
        break;
    case NRW_F8E5M2:
        ((uint8_t *)p)[i] = nrw_f32_to_f8e5m2(f, true);
        break;
    case NRW_F8E5M2FNUZ:
        ((uint8_t *)p)[i] = nrw_f32_to_f8e5m2fnuz(f, true);
        break;
    case NRW_F8E8M0:
        ((uint8_t *)p)[i] = nrw_f32_to_f8e8m0(f, true, 0);
        break;
    default:
        ((uint8_t *)p)[i] = nrw_f32_to_f4e2m1(f);
        break;
    }
}

/* Rounds half to even and saturates; NaN becomes 0. */
static int64_t double_to_int(double x, nrw_dtype t) {
    double r = nearbyint(x);
    if (!(r == r)) return 0;
    if (r <= (double)rows[t].min) return rows[t].min;
    if (r >= (double)rows[t].max) return rows[t].max;
    return (int64_t)r;
}

static uint64_t double_to_u64(double x) {
    double r = nearbyint(x);
    if (!(r > 0)) return 0;
    return r >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)r;
}

#define COMPUTE float
#define SUFFIX  f32
#include "ir/dtype_convert_tmpl.h"
#define COMPUTE double
#define SUFFIX  f64
#include "ir/dtype_convert_tmpl.h"
#define COMPUTE int64_t
#define COMPUTE_IS_INTEGER
#define SUFFIX i64
#include "ir/dtype_convert_tmpl.h"

bool nrw_packed_size(nrw_dtype t, int64_t n, size_t *bytes) {
    size_t bits;
    if (n < 0 || !nrw_mul_size((size_t)n, (size_t)nrw_dtype_get(t)->bits, &bits)) return false;
    *bytes = bits / 8 + (bits % 8 != 0);
    return true;
}

void nrw_unpack_bits(nrw_dtype t, const unsigned char *packed, unsigned char *out, int64_t n) {
    const nrw_dtype_row *row = nrw_dtype_get(t);
    int per_byte = 8 / row->bits, mask = (1 << row->bits) - 1, sign = 1 << (row->bits - 1);
    for (int64_t i = 0; i < n; i++) {
        int v = (packed[i / per_byte] >> (i % per_byte * row->bits)) & mask;
        if (row->klass == NRW_CLASS_SINT) v = (v ^ sign) - sign;
        out[i] = (unsigned char)v;
    }
}

void nrw_pack_bits(nrw_dtype t, const unsigned char *in, unsigned char *packed, int64_t n) {
    const nrw_dtype_row *row = nrw_dtype_get(t);
    int per_byte = 8 / row->bits, mask = (1 << row->bits) - 1;
    memset(packed, 0, (size_t)((n + per_byte - 1) / per_byte));
    for (int64_t i = 0; i < n; i++) {
        packed[i / per_byte] |= (unsigned char)((in[i] & mask) << (i % per_byte * row->bits));
    }
}
