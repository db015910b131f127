/* Conversions between types: Cast, CastLike, BitCast. Strings are converted in cast_string.c. */
#include "base/half.h"
#include "ops/cases.h"
#include "ops/cast.h"

/* Elements travel in blocks: every real type fits a double exactly, every integer a 64-bit one. */
#define BLOCK 256

#define T  int8_t
#define TN i8
#include "ops/cast_tmpl.h"
#define T  uint8_t
#define TN u8
#include "ops/cast_tmpl.h"
#define T  int16_t
#define TN i16
#include "ops/cast_tmpl.h"
#define T  uint16_t
#define TN u16
#include "ops/cast_tmpl.h"
#define T  int32_t
#define TN i32
#include "ops/cast_tmpl.h"
#define T  uint32_t
#define TN u32
#include "ops/cast_tmpl.h"
#define T  int64_t
#define TN i64
#include "ops/cast_tmpl.h"

/* To 64 bits by truncation; what does not fit saturates (undefined in ONNX), NaN is 0. Values past
 * INT64_MAX keep their bits as unsigned ones. */
static int64_t truncate_f64(double v) {
    if (v >= -0x1p63 && v < 0x1p63) return (int64_t)v;
    if (v != v) return 0;
    if (v < 0) return INT64_MIN;
    return v < 0x1p64 ? (int64_t)(uint64_t)v : -1;
}

/* The float next to v, rounded to odd when inexact: rounding it once more to a type of at most 22
 * bits gives what rounding v directly would (Boldo and Melquiond, "Emulation of FMA and correctly
 * rounded sums: proved algorithms using rounding to odd", 2008). */
static float to_odd(double v) {
    float f = (float)v;
    if ((double)f == v || f != f || isinf(v)) return f;
    if (isinf(f)) return copysignf(3.40282347e38f, f);
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    bool too_large = fabs((double)f) > fabs(v);
    if (too_large) bits--;
    bits |= 1;
    memcpy(&f, &bits, sizeof f);
    return f;
}

void nrw_store_narrow_floats(const nrw_cast *c, const float *x, void *out, int64_t n) {
    uint8_t *y8 = out;
    uint16_t *y16 = out;
    for (int64_t i = 0; i < n; i++) {
        switch (c->to) {
        case NRW_F16:
            y16[i] = nrw_f32_to_f16(x[i]);
            break;
        case NRW_BF16:
            y16[i] = nrw_f32_to_bf16(x[i]);
            break;
        case NRW_F8E4M3FN:
            y8[i] = nrw_f32_to_f8e4m3fn(x[i], c->saturate);
            break;
        case NRW_F8E4M3FNUZ:
            y8[i] = nrw_f32_to_f8e4m3fnuz(x[i], c->saturate);
            break;
        case NRW_F8E5M2:
            y8[i] = nrw_f32_to_f8e5m2(x[i], c->saturate);
            break;
        case NRW_F8E5M2FNUZ:
            y8[i] = nrw_f32_to_f8e5m2fnuz(x[i], c->saturate);
            break;
        case NRW_F8E8M0:
            y8[i] = nrw_f32_to_f8e8m0(x[i], c->saturate, c->round_mode);
            break;
        default:
            y8[i] = nrw_f32_to_f4e2m1(x[i]);
            break;
        }
    }
}

/* Keeps the low `bits` bits, as a signed or an unsigned number. */
static void store_bits(const int64_t *x, void *out, int64_t n, int bits, bool is_signed) {
    uint8_t *y = out;
    uint8_t mask = (uint8_t)((1 << bits) - 1), sign = (uint8_t)(is_signed ? 1 << (bits - 1) : 0);
    for (int64_t i = 0; i < n; i++) y[i] = (uint8_t)((((uint8_t)x[i] & mask) ^ sign) - sign);
}

static void store_integers(nrw_dtype to, const int64_t *x, void *out, int64_t n) {
    switch (to) {
    case NRW_I8:
        wrap_i8(x, out, n);
        break;
    case NRW_U8:
        wrap_u8(x, out, n);
        break;
    case NRW_I16:
        wrap_i16(x, out, n);
        break;
    case NRW_U16:
        wrap_u16(x, out, n);
        break;
    case NRW_I32:
        wrap_i32(x, out, n);
        break;
    case NRW_U32:
        wrap_u32(x, out, n);
        break;
    case NRW_I4:
        store_bits(x, out, n, 4, true);
        break;
    case NRW_U4:
        store_bits(x, out, n, 4, false);
        break;
    case NRW_I2:
        store_bits(x, out, n, 2, true);
        break;
    case NRW_U2:
        store_bits(x, out, n, 2, false);
        break;
    default:
        wrap_i64(x, out, n);
        break;
    }
}

static void from_integers(const nrw_cast *c, const int64_t *x, void *out, int64_t n) {
    bool is_unsigned = c->from == NRW_U64;
    if (c->to == NRW_BOOL) {
        for (int64_t i = 0; i < n; i++) ((bool *)out)[i] = x[i] != 0;
    } else if (c->to == NRW_F32) {
        float *y = out;
        for (int64_t i = 0; i < n; i++) y[i] = is_unsigned ? (float)(uint64_t)x[i] : (float)x[i];
    } else if (c->to == NRW_F64) {
        double *y = out;
        for (int64_t i = 0; i < n; i++) y[i] = is_unsigned ? (double)(uint64_t)x[i] : (double)x[i];
    } else if (nrw_dtype_is_float(c->to)) {
        float f[BLOCK];
        for (int64_t i = 0; i < n; i++)
            f[i] = to_odd(is_unsigned ? (double)(uint64_t)x[i] : (double)x[i]);
        nrw_store_narrow_floats(c, f, out, n);
    } else {
        store_integers(c->to, x, out, n);
    }
}

static void from_reals(const nrw_cast *c, const double *x, void *out, int64_t n) {
    if (c->to == NRW_BOOL) {
        for (int64_t i = 0; i < n; i++) ((bool *)out)[i] = x[i] != 0;
    } else if (c->to == NRW_F32) {
        for (int64_t i = 0; i < n; i++) ((float *)out)[i] = (float)x[i];
    } else if (c->to == NRW_F64) {
        memcpy(out, x, (size_t)n * sizeof *x);
    } else if (nrw_dtype_is_float(c->to)) {
        float f[BLOCK];
        for (int64_t i = 0; i < n; i++) f[i] = to_odd(x[i]);
        nrw_store_narrow_floats(c, f, out, n);
    } else {
        int64_t whole[BLOCK];
        for (int64_t i = 0; i < n; i++) whole[i] = truncate_f64(x[i]);
        store_integers(c->to, whole, out, n);
    }
}

static void load_u64(const void *src, int64_t *dst, int64_t n) {
    memcpy(dst, src, (size_t)n * sizeof *dst);
}

/* Numbers to numbers; n is at most BLOCK. */
static void convert_block(const nrw_cast *c, const void *src, void *dst, int64_t n) {
    if (nrw_dtype_is_float(c->from)) {
        double x[BLOCK];
        if (nrw_to_f64(c->from, src, x, n, NULL) == NRW_OK) from_reals(c, x, dst, n);
    } else {
        int64_t x[BLOCK];
        if (c->from == NRW_U64)
            load_u64(src, x, n);
        else if (nrw_to_i64(c->from, src, x, n, NULL) != NRW_OK)
            return;
        from_integers(c, x, dst, n);
    }
}

void nrw_cast_number(const nrw_cast *c, const void *src, void *dst) {
    convert_block(c, src, dst, 1);
}

typedef struct job {
    const nrw_cast *cast;
    const char *src;
    char *dst;
} job;

static void convert_range(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const nrw_cast *c = j->cast;
    int64_t from_size = nrw_dtype_size(c->from), to_size = nrw_dtype_size(c->to);
    for (int64_t i = begin; i < end; i += BLOCK) {
        int64_t n = end - i < BLOCK ? end - i : BLOCK;
        const char *src = j->src + i * from_size;
        char *dst = j->dst + i * to_size;
        if (c->from == NRW_F32 && (c->to == NRW_F16 || c->to == NRW_BF16)) {
            float x[BLOCK];
            memcpy(x, src, (size_t)n * sizeof *x);
            nrw_store_narrow_floats(c, x, dst, n);
        } else if (c->to == NRW_F32 && (c->from == NRW_F16 || c->from == NRW_BF16)) {
            if (nrw_to_f32(c->from, src, (float *)(void *)dst, n, NULL) != NRW_OK) return;
        } else {
            convert_block(c, src, dst, n);
        }
    }
}

static nrw_status convert(nrw_eval *e, nrw_dtype to) {
    static const char *const modes[] = {"up", "down", "nearest"};
    const nrw_tensor *in = e->in[0];
    nrw_cast c = {in->dtype, to, nrw_attr_int(e->node, "saturate", 1) != 0, 0};
    const char *mode = nrw_attr_str(e->node, "round_mode", "up");
    while (c.round_mode < 3 && strcmp(mode, modes[c.round_mode]) != 0) c.round_mode++;
    if (c.round_mode == 3)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "round_mode: expected up, down or nearest");
    int64_t n = nrw_tensor_count(in);
    if (n == 0) return NRW_OK;
    if (c.from == c.to) {
        memcpy(e->out[0].data, in->data, nrw_tensor_bytes(in));
        return NRW_OK;
    }
    nrw_class from = nrw_dtype_get(c.from)->klass, target = nrw_dtype_get(c.to)->klass;
    if (from == NRW_CLASS_COMPLEX || target == NRW_CLASS_COMPLEX)
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "no conversion from %s to %s", nrw_dtype_name(c.from),
                 nrw_dtype_name(c.to));
    if (from == NRW_CLASS_STRING) return nrw_cast_from_strings(e, &c);
    if (target == NRW_CLASS_STRING) return nrw_cast_to_strings(e, &c);
    job j = {&c, in->data, e->out[0].data};
    nrw_each_range(e->pool, n, 1 << 15, convert_range, &j);
    return NRW_OK;
}

static nrw_status read_target(const nrw_node *n, nrw_dtype *to, nrw_error *err) {
    int64_t code = nrw_attr_int(n, "to", 0);
    *to = code < 0 || code > INT32_MAX ? NRW_NONE : nrw_dtype_from_onnx((int)code);
    if (*to == NRW_NONE)
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "to: data type %lld is not known", (long long)code);
    return NRW_OK;
}

static nrw_status infer_cast(nrw_infer *c) {
    NRW_TRY(nrw_infer_same(c));
    return read_target(c->node, &c->out[0].dtype, c->err);
}

static nrw_status run_cast(nrw_eval *e) {
    nrw_dtype to;
    NRW_TRY(read_target(e->node, &to, e->err));
    return convert(e, to);
}

static nrw_status infer_cast_like(nrw_infer *c) {
    NRW_TRY(nrw_infer_same(c));
    c->out[0].dtype = c->in[1]->dtype;
    return NRW_OK;
}

static nrw_status run_cast_like(nrw_eval *e) {
    return convert(e, e->in[1]->dtype);
}

static nrw_status infer_bit_cast(nrw_infer *c) {
    NRW_TRY(infer_cast(c));
    const nrw_dtype_row *from = nrw_dtype_get(c->in[0]->dtype);
    const nrw_dtype_row *to = nrw_dtype_get(c->out[0].dtype);
    bool strings = from->klass == NRW_CLASS_STRING || to->klass == NRW_CLASS_STRING;
    if (c->in[0]->dtype != NRW_NONE && (strings || from->bits != to->bits))
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "the bits of %s are not those of %s", from->name, to->name);
    return NRW_OK;
}

/* Types of less than a byte lie sign- or zero-extended, so their bits are stored anew. */
static nrw_status run_bit_cast(nrw_eval *e) {
    const nrw_dtype_row *to = nrw_dtype_get(e->out[0].dtype);
    int64_t n = nrw_tensor_count(e->in[0]);
    if (n == 0) return NRW_OK;
    memcpy(e->out[0].data, e->in[0]->data, nrw_tensor_bytes(e->in[0]));
    if (to->bits >= 8) return NRW_OK;
    int8_t *y = e->out[0].data;
    for (int64_t i = 0; i < n; i++) {
        int64_t v = y[i];
        store_bits(&v, &y[i], 1, to->bits, to->klass == NRW_CLASS_SINT);
    }
    return NRW_OK;
}

static const nrw_attr_def cast_attrs[] = {{"to", NRW_ATTR_INT, true},
                                          {"saturate", NRW_ATTR_INT, false},
                                          {"round_mode", NRW_ATTR_STRING, false},
                                          {0}};

static const nrw_attr_def bit_cast_attrs[] = {{"to", NRW_ATTR_INT, true}, {0}};

static const nrw_op cast_op = {
    .name = "Cast",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = cast_attrs,
    .infer = infer_cast,
    .reference = run_cast,
    .cases = NRW_CASES(
        {"graph main(%x: f32[3,4]) { %y: i8[3,4] = Cast(%x) {to=3} return %y }", -99, 99},
        {"graph main(%x: i64[N]) { %y: f16[N] = Cast(%x) {to=10} return %y }", -99, 99},
        {"graph main(%x: f32[9]) { %y: f8e4m3fn[9] = Cast(%x) {to=17, saturate=0} return %y }",
         -500, 500}),
    .onnx = {"Cast", 1},
    .tflite = {"CAST", 53},
    .aten = "aten._to_copy.default",
};
static const nrw_op cast_like_op = {
    .name = "CastLike",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = cast_attrs + 1,
    .infer = infer_cast_like,
    .reference = run_cast_like,
    .cases = NRW_CASES(NRW_CASE_2("CastLike", "f32[4]", "i32[1]", "i32[4]", -9, 9)),
    .onnx = {"CastLike", 15},
};
static const nrw_op bit_cast_op = {
    .name = "BitCast",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = bit_cast_attrs,
    .infer = infer_bit_cast,
    .reference = run_bit_cast,
    .cases =
        NRW_CASES({"graph main(%x: f32[4]) { %y: u32[4] = BitCast(%x) {to=12} return %y }", -9, 9}),
    .onnx = {"BitCast", 26},
    .tflite = {"BITCAST", 159},
};

NRW_OPS(cast, &cast_op, &cast_like_op, &bit_cast_op);
