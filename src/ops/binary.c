/* Arithmetic and logic of two tensors under broadcasting. */
#include "ops/cases.h"
#include "ops/quant_table.h"
#include "ops/rows.h"

#define T       float
#define TN      f32
#define M(name) name##f
#define V(name) nrw_##name##_f32
#include "ops/binary_real_tmpl.h"

#define T       double
#define TN      f64
#define M(name) name
#define V(name) nrw_##name##_f64
#include "ops/binary_real_tmpl.h"

#define T  int8_t
#define TN i8
#include "ops/binary_sint_tmpl.h"
#define T  int16_t
#define TN i16
#include "ops/binary_sint_tmpl.h"
#define T  int32_t
#define TN i32
#include "ops/binary_sint_tmpl.h"
#define T  int64_t
#define TN i64
#include "ops/binary_sint_tmpl.h"
#define T  uint8_t
#define TN u8
#include "ops/binary_uint_tmpl.h"
#define T  uint16_t
#define TN u16
#include "ops/binary_uint_tmpl.h"
#define T  uint32_t
#define TN u32
#include "ops/binary_uint_tmpl.h"
#define T  uint64_t
#define TN u64
#include "ops/binary_uint_tmpl.h"

/* PRelu of an unsigned tensor: nothing is below zero. */
#define T          uint32_t
#define TN         u32
#define ROW        keep_u32
#define EXPR(x, y) (x) + 0 * (y)
#include "ops/row2_tmpl.h"
#undef T
#undef TN
#define T          uint64_t
#define TN         u64
#define ROW        keep_u64
#define EXPR(x, y) (x) + 0 * (y)
#include "ops/row2_tmpl.h"
#undef T
#undef TN

/* A binary operator with its functions; node->op leads back here because op comes first. */
typedef struct binary_op {
    nrw_op op;
    nrw_rows rows;
    bool has_pair; /* a loop of its own for unsigned bytes */
    nrw_pair_kind pair;
    const char *param; /* float attribute that the functions see as `a`; NULL: none */
    float absent;
} binary_op;

static double parameter(const nrw_node *n) {
    const binary_op *b = (const binary_op *)n->op;
    return b->param != NULL ? (double)nrw_attr_float(n, b->param, b->absent) : 0;
}

static nrw_status run(nrw_eval *e) {
    const binary_op *b = (const binary_op *)e->node->op;
    double a = parameter(e->node);
    return nrw_each_element(e, &e->out[0], 2, e->in, e->in[0]->dtype, &b->rows, &a);
}

static nrw_status run_integer(nrw_eval *e) {
    const binary_op *b = (const binary_op *)e->node->op;
    double a = parameter(e->node);
    if (b->has_pair && nrw_pair_u8_suits(e, b->pair)) return nrw_pair_u8(e, b->pair);
    return nrw_integer_pair(e, b->rows.by[NRW_F32], &a);
}

static nrw_status run_mod(nrw_eval *e) {
    static const nrw_rows floored = {NRW_NUMERIC_ROWS(mod)};
    /* Of unsigned integers, both are the same. */
    static const nrw_rows truncated = {NRW_REAL_ROWS(fmod), NRW_SINT_ROWS(fmod),
                                       NRW_UINT_ROWS(mod)};
    const nrw_rows *rows = nrw_attr_int(e->node, "fmod", 0) != 0 ? &truncated : &floored;
    return nrw_each_element(e, &e->out[0], 2, e->in, e->in[0]->dtype, rows, NULL);
}

static nrw_status run_shift(nrw_eval *e) {
    static const nrw_rows left = {NRW_INT_ROWS(shift_left)}, right = {NRW_INT_ROWS(shift_right)};
    const char *direction = nrw_attr_str(e->node, "direction", "");
    bool is_left = strcmp(direction, "LEFT") == 0;
    if (!is_left && strcmp(direction, "RIGHT") != 0)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "direction: expected LEFT or RIGHT");
    return nrw_each_element(e, &e->out[0], 2, e->in, e->in[0]->dtype, is_left ? &left : &right,
                            NULL);
}

/* Pow's exponent has a type of its own. */
typedef struct pow_types {
    nrw_dtype base, exponent;
    bool integers;
} pow_types;

static int64_t int_power(int64_t x, int64_t y) {
    if (y < 0) return x == 1 ? 1 : x == -1 ? (y % 2 != 0 ? -1 : 1) : 0;
    uint64_t result = 1, base = (uint64_t)x;
    for (; y > 0; y >>= 1, base *= base) {
        if (y & 1) result *= base;
    }
    return (int64_t)result;
}

static void store_power(nrw_dtype t, void *out, int64_t i, double v) {
    /* What does not fit is undefined in ONNX; saturating is one answer. */
    if (t == NRW_I32) {
        ((int32_t *)out)[i] = v != v        ? 0
                              : v >= 0x1p31 ? INT32_MAX
                              : v < -0x1p31 ? INT32_MIN
                                            : (int32_t)v;
    } else {
        ((int64_t *)out)[i] = v != v        ? 0
                              : v >= 0x1p63 ? INT64_MAX
                              : v < -0x1p63 ? INT64_MIN
                                            : (int64_t)v;
    }
}

static void pow_mixed(const void *arg, void *out, const void *const *in, const int64_t *step,
                      int64_t n) {
    const pow_types *p = arg;
    int sizes[2] = {nrw_dtype_size(p->base), nrw_dtype_size(p->exponent)};
    for (int64_t i = 0; i < n; i++) {
        const char *x = (const char *)in[0] + i * step[0] * sizes[0];
        const char *y = (const char *)in[1] + i * step[1] * sizes[1];
        int64_t ix, iy;
        double dx, dy;
        if (p->integers) {
            if (nrw_to_i64(p->base, x, &ix, 1, NULL) != NRW_OK ||
                nrw_to_i64(p->exponent, y, &iy, 1, NULL) != NRW_OK)
                return;
            ix = int_power(ix, iy);
            if (p->base == NRW_I32)
                ((int32_t *)out)[i] = (int32_t)(uint32_t)ix;
            else
                ((int64_t *)out)[i] = ix;
            continue;
        }
        if (nrw_to_f64(p->base, x, &dx, 1, NULL) != NRW_OK ||
            nrw_to_f64(p->exponent, y, &dy, 1, NULL) != NRW_OK)
            return;
        dx = power_f64(dx, dy);
        if (!nrw_dtype_is_float(p->base))
            store_power(p->base, out, i, dx);
        else if (nrw_from_f64(p->base, &dx, (char *)out + i * sizes[0], 1, NULL) != NRW_OK)
            return;
    }
}

static nrw_status run_pow(nrw_eval *e) {
    static const nrw_rows rows = {NRW_REAL_ROWS(pow)};
    nrw_dtype base = e->in[0]->dtype, exponent = e->in[1]->dtype;
    if (base == exponent && nrw_dtype_is_float(base))
        return nrw_each_element(e, &e->out[0], 2, e->in, base, &rows, NULL);
    bool integers = nrw_dtype_is_integer(base) && nrw_dtype_is_integer(exponent);
    bool fits = nrw_dtype_is_float(base) || base == NRW_I32 || base == NRW_I64;
    if (!fits || !(nrw_dtype_is_float(exponent) || nrw_dtype_is_integer(exponent)))
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "Pow does not take %s to the power of %s",
                 nrw_dtype_name(base), nrw_dtype_name(exponent));
    pow_types types = {base, exponent, integers};
    return nrw_each_row(e, &e->out[0], 2, e->in, pow_mixed, &types);
}

static nrw_status infer_prelu(nrw_infer *c) {
    nrw_type both;
    NRW_TRY(nrw_broadcast(2, c->in, &both, c->err));
    return nrw_infer_same(c);
}

static const nrw_attr_def alpha_attrs[] = {{"alpha", NRW_ATTR_FLOAT, false}, {0}};
static const nrw_attr_def mod_attrs[] = {{"fmod", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def shift_attrs[] = {{"direction", NRW_ATTR_STRING, true}, {0}};

#define SHAPE_OF(title, since)                                                                     \
    .name = title, .domain = "", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,             \
    .onnx = {title, since}
#define ROW_OF(title, since, ...)                                                                  \
    SHAPE_OF(title, since), .reference = run, .cases = NRW_CASES(__VA_ARGS__)
#define QUANTIZES(how)                                                                             \
    .quant = {.rule = how}, .integer = run_integer, .integer_ok = nrw_integer_pair_ok

static const binary_op add_op = {
    .op = {ROW_OF("Add", 1, NRW_CASE_2("Add", "f32[2,3,5]", "f32[3,1]", "f32[2,3,5]", -2, 2),
                  NRW_CASE_2("Add", "i32[4]", "i32[4]", "i32[4]", -9, 9),
                  NRW_CASE_2("Add", "f16[N,2]", "f16[]", "f16[N,2]", -2, 2),
                  NRW_QUANT_CASE_2("Add")),
           .infer = nrw_infer_broadcast, QUANTIZES(NRW_QUANT_ARITH), .tflite = {"ADD", 0},
           .aten = "aten.add.Tensor"},
    .rows = {NRW_NUMERIC_ROWS(add)},
    .has_pair = true,
    .pair = NRW_PAIR_ADD,
};
static const binary_op sub_op = {
    .op = {ROW_OF("Sub", 1, NRW_CASE_2("Sub", "f32[2,3,5]", "f32[3,1]", "f32[2,3,5]", -2, 2),
                  NRW_CASE_2("Sub", "i32[4]", "i32[4]", "i32[4]", -9, 9),
                  NRW_CASE_2("Sub", "f16[N,2]", "f16[]", "f16[N,2]", -2, 2),
                  NRW_QUANT_CASE_2("Sub")),
           .infer = nrw_infer_broadcast, QUANTIZES(NRW_QUANT_ARITH), .tflite = {"SUB", 41},
           .aten = "aten.sub.Tensor"},
    .rows = {NRW_NUMERIC_ROWS(sub)},
    .has_pair = true,
    .pair = NRW_PAIR_SUB,
};
static const binary_op mul_op = {
    .op = {ROW_OF("Mul", 1, NRW_CASE_2("Mul", "f32[2,3,5]", "f32[3,1]", "f32[2,3,5]", -2, 2),
                  NRW_CASE_2("Mul", "i32[4]", "i32[4]", "i32[4]", -9, 9),
                  NRW_CASE_2("Mul", "f16[N,2]", "f16[]", "f16[N,2]", -2, 2),
                  NRW_QUANT_CASE_2("Mul")),
           .infer = nrw_infer_broadcast, QUANTIZES(NRW_QUANT_ARITH), .tflite = {"MUL", 18},
           .aten = "aten.mul.Tensor"},
    .rows = {NRW_NUMERIC_ROWS(mul)},
    .has_pair = true,
    .pair = NRW_PAIR_MUL,
};
static const binary_op div_op = {
    .op = {ROW_OF("Div", 1, NRW_CASE_2("Div", "f32[2,3,5]", "f32[3,1]", "f32[2,3,5]", 1, 9),
                  NRW_CASE_2("Div", "i32[4]", "i32[4]", "i32[4]", 1, 9),
                  NRW_CASE_2("Div", "f16[N,2]", "f16[]", "f16[N,2]", 1, 9)),
           .infer = nrw_infer_broadcast, .tflite = {"DIV", 42}, .aten = "aten.div.Tensor"},
    .rows = {NRW_NUMERIC_ROWS(div)},
};
static const binary_op prelu_op = {
    .op = {ROW_OF("PRelu", 1, NRW_CASE_2("PRelu", "f32[2,3,5]", "f32[3,1]", "f32[2,3,5]", -2, 2),
                  NRW_QUANT_CASE_2("PRelu")),
           .infer = infer_prelu, QUANTIZES(NRW_QUANT_ARITH), .tflite = {"PRELU", 54},
           .aten = "aten.prelu.default"},
    .rows = {NRW_REAL_ROWS(prelu), NRW_SINT_ROWS(prelu), .by[NRW_U32] = keep_u32,
             .by[NRW_U64] = keep_u64},
};
static const binary_op swiglu_op = {
    .op = {ROW_OF("SwiGLU", 28, NRW_CASE_2("SwiGLU", "f32[3,8]", "f32[3,8]", "f32[3,8]", -2, 2),
                  NRW_CASE_2("SwiGLU", "bf16[N]", "bf16[N]", "bf16[N]", -2, 2)),
           .infer = nrw_infer_broadcast, .attrs = alpha_attrs, QUANTIZES(NRW_QUANT_ARITH)},
    .rows = {NRW_REAL_ROWS(swiglu)},
    .param = "alpha",
    .absent = 1.0f,
};
static const binary_op logical_and_op = {
    .op = {ROW_OF("And", 1, NRW_CASE_2("And", "bool[3,4]", "bool[4]", "bool[3,4]", 0, 1)),
           .infer = nrw_infer_compare, .tflite = {"LOGICAL_AND", 86},
           .aten = "aten.logical_and.default"},
    .rows = {.by[NRW_BOOL] = bitwise_and_u8},
};
static const binary_op logical_or_op = {
    .op = {ROW_OF("Or", 1, NRW_CASE_2("Or", "bool[3,4]", "bool[4]", "bool[3,4]", 0, 1)),
           .infer = nrw_infer_compare, .tflite = {"LOGICAL_OR", 84},
           .aten = "aten.logical_or.default"},
    .rows = {.by[NRW_BOOL] = bitwise_or_u8},
};
static const binary_op logical_xor_op = {
    .op = {ROW_OF("Xor", 1, NRW_CASE_2("Xor", "bool[3,4]", "bool[4]", "bool[3,4]", 0, 1)),
           .infer = nrw_infer_compare, .aten = "aten.logical_xor.default"},
    .rows = {.by[NRW_BOOL] = bitwise_xor_u8},
};
static const binary_op bitwise_and_op = {
    .op = {ROW_OF("BitwiseAnd", 18,
                  NRW_CASE_2("BitwiseAnd", "i32[3,4]", "i32[4]", "i32[3,4]", -9, 9),
                  NRW_CASE_2("BitwiseAnd", "u8[3]", "u8[]", "u8[3]", 0, 9)),
           .infer = nrw_infer_broadcast, .aten = "aten.bitwise_and.Tensor"},
    .rows = {NRW_INT_ROWS(bitwise_and)},
};
static const binary_op bitwise_or_op = {
    .op = {ROW_OF("BitwiseOr", 18, NRW_CASE_2("BitwiseOr", "i32[3,4]", "i32[4]", "i32[3,4]", -9, 9),
                  NRW_CASE_2("BitwiseOr", "u8[3]", "u8[]", "u8[3]", 0, 9)),
           .infer = nrw_infer_broadcast, .aten = "aten.bitwise_or.Tensor"},
    .rows = {NRW_INT_ROWS(bitwise_or)},
};
static const binary_op bitwise_xor_op = {
    .op = {ROW_OF("BitwiseXor", 18,
                  NRW_CASE_2("BitwiseXor", "i32[3,4]", "i32[4]", "i32[3,4]", -9, 9),
                  NRW_CASE_2("BitwiseXor", "u8[3]", "u8[]", "u8[3]", 0, 9)),
           .infer = nrw_infer_broadcast, .tflite = {"BITWISE_XOR", 160},
           .aten = "aten.bitwise_xor.Tensor"},
    .rows = {NRW_INT_ROWS(bitwise_xor)},
};
static const nrw_op mod_op = {
    SHAPE_OF("Mod", 10),
    .attrs = mod_attrs,
    .infer = nrw_infer_broadcast,
    .reference = run_mod,
    .cases = NRW_CASES(NRW_CASE_2("Mod", "f32[6]", "f32[]", "f32[6]", -5, 5),
                       NRW_CASE_2("Mod", "i64[6]", "i64[6]", "i64[6]", 1, 9)),
    .tflite = {"FLOOR_MOD", 95},
    .aten = "aten.remainder.Tensor",
};
static const nrw_op pow_op = {
    SHAPE_OF("Pow", 1),
    .infer = nrw_infer_broadcast,
    .reference = run_pow,
    .cases = NRW_CASES(NRW_CASE_2("Pow", "f32[2,3]", "f32[]", "f32[2,3]", 0, 3),
                       NRW_CASE_2("Pow", "i64[4]", "i32[4]", "i64[4]", 0, 5)),
    .tflite = {"POW", 78},
    .aten = "aten.pow.Tensor_Tensor",
};
static const nrw_op shift_op = {
    SHAPE_OF("BitShift", 11),
    .attrs = shift_attrs,
    .infer = nrw_infer_broadcast,
    .reference = run_shift,
    .cases = NRW_CASES({"graph main(%a: u8[6], %b: u8[6]) { %y: u8[6] = BitShift(%a, %b) "
                        "{direction=\"LEFT\"} return %y }",
                        0, 7}),
};

NRW_OPS(binary, &add_op.op, &sub_op.op, &mul_op.op, &div_op.op, &prelu_op.op, &swiglu_op.op,
        &logical_and_op.op, &logical_or_op.op, &logical_xor_op.op, &bitwise_and_op.op,
        &bitwise_or_op.op, &bitwise_xor_op.op, &mod_op, &pow_op, &shift_op);
