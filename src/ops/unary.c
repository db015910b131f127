/* Functions of one tensor, element by element. */
#include "ops/cases.h"
#include "ops/quant_segments.h"
#include "ops/quant_table.h"
#include "ops/rows.h"

#define T       float
#define TN      f32
#define M(name) name##f
#define V(f)    nrw_##f##_f32
#include "ops/unary_real_tmpl.h"

#define T       double
#define TN      f64
#define M(name) name
#define V(f)    nrw_##f##_f64
#include "ops/unary_real_tmpl.h"

#define T  int8_t
#define TN i8
#include "ops/unary_sint_tmpl.h"

#define T  int16_t
#define TN i16
#include "ops/unary_sint_tmpl.h"

#define T  int32_t
#define TN i32
#include "ops/unary_sint_tmpl.h"

#define T  int64_t
#define TN i64
#include "ops/unary_sint_tmpl.h"

#define T  int8_t
#define TN i8
#include "ops/unary_int_tmpl.h"

#define T  int16_t
#define TN i16
#include "ops/unary_int_tmpl.h"

#define T  int32_t
#define TN i32
#include "ops/unary_int_tmpl.h"

#define T  int64_t
#define TN i64
#include "ops/unary_int_tmpl.h"

#define T  uint8_t
#define TN u8
#include "ops/unary_int_tmpl.h"

#define T  uint16_t
#define TN u16
#include "ops/unary_int_tmpl.h"

#define T  uint32_t
#define TN u32
#include "ops/unary_int_tmpl.h"

#define T  uint64_t
#define TN u64
#include "ops/unary_int_tmpl.h"

#define T  uint8_t
#define TN u8
#include "ops/unary_uint_tmpl.h"

#define T  uint16_t
#define TN u16
#include "ops/unary_uint_tmpl.h"

#define T  uint32_t
#define TN u32
#include "ops/unary_uint_tmpl.h"

#define T  uint64_t
#define TN u64
#include "ops/unary_uint_tmpl.h"

#define T       bool
#define TN      u8
#define ROW     not_bool
#define EXPR(x) !(x)
#include "ops/row1_tmpl.h"
#undef T
#undef TN

/* A unary operator with its functions; node->op leads back here because op comes first. */
typedef struct unary_op {
    nrw_op op;
    nrw_rows rows;
    struct {
        const char *name; /* float attribute; NULL: none */
        float absent;
    } params[2];
} unary_op;

static nrw_status run(nrw_eval *e) {
    const unary_op *u = (const unary_op *)e->node->op;
    double params[2] = {0, 0};
    for (int k = 0; k < 2; k++) {
        if (u->params[k].name != NULL)
            params[k] = (double)nrw_attr_float(e->node, u->params[k].name, u->params[k].absent);
    }
    return nrw_each_element(e, &e->out[0], 1, e->in, e->in[0]->dtype, &u->rows, params);
}

static nrw_status run_gelu(nrw_eval *e) {
    static const nrw_rows exact = {NRW_REAL_ROWS(gelu)}, by_tanh = {NRW_REAL_ROWS(gelu_tanh)};
    static const double no_params[2];
    const char *how = nrw_attr_str(e->node, "approximate", "none");
    const nrw_rows *rows = strcmp(how, "tanh") == 0 ? &by_tanh : &exact;
    return nrw_each_element(e, &e->out[0], 1, e->in, e->in[0]->dtype, rows, no_params);
}

static nrw_status plan_gelu(nrw_plan_node *p, nrw_step_choice *choice) {
    const nrw_smooth f = nrw_gelu(nrw_attr_str(p->node, "approximate", "none"));
    return nrw_plan_segments(p, &f, choice);
}

static nrw_status run_isinf(nrw_eval *e) {
    static const nrw_rows rows = {NRW_REAL_ROWS(isinf)};
    double signs[2] = {(double)nrw_attr_int(e->node, "detect_positive", 1),
                       (double)nrw_attr_int(e->node, "detect_negative", 1)};
    return nrw_each_element(e, &e->out[0], 1, e->in, e->in[0]->dtype, &rows, signs);
}

static nrw_status infer_test(nrw_infer *c) {
    NRW_TRY(nrw_infer_same(c));
    c->out[0].dtype = NRW_BOOL;
    return NRW_OK;
}

static const nrw_attr_def alpha_attrs[] = {{"alpha", NRW_ATTR_FLOAT, false}, {0}};
static const nrw_attr_def alpha_beta_attrs[] = {
    {"alpha", NRW_ATTR_FLOAT, false}, {"beta", NRW_ATTR_FLOAT, false}, {0}};
static const nrw_attr_def alpha_gamma_attrs[] = {
    {"alpha", NRW_ATTR_FLOAT, false}, {"gamma", NRW_ATTR_FLOAT, false}, {0}};
static const nrw_attr_def lambd_bias_attrs[] = {
    {"lambd", NRW_ATTR_FLOAT, false}, {"bias", NRW_ATTR_FLOAT, false}, {0}};
static const nrw_attr_def gelu_attrs[] = {{"approximate", NRW_ATTR_STRING, false}, {0}};
static const nrw_attr_def isinf_attrs[] = {
    {"detect_negative", NRW_ATTR_INT, false}, {"detect_positive", NRW_ATTR_INT, false}, {0}};

#define SHAPE_OF(title, since)                                                                     \
    .name = title, .domain = "", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,             \
    .onnx = {title, since}
#define ROW_OF(title, since, examples)                                                             \
    SHAPE_OF(title, since), .infer = nrw_infer_same, .reference = run, .cases = examples
#define QUANTIZES(how, lo, hi)                                                                     \
    .quant = {.rule = how, .fixed_lo = lo, .fixed_hi = hi}, .integer = nrw_table_integer,          \
    .integer_ok = nrw_table_integer_ok

static const unary_op abs_op = {
    .op = {ROW_OF("Abs", 1, NRW_QUANT_CASES_1("Abs", -3, 3)), QUANTIZES(NRW_QUANT_UNARY, 0, 0),
           .tflite = {"ABS", 101}, .aten = "aten.abs.default"},
    .rows = {NRW_REAL_ROWS(abs), .by[NRW_U8] = copy_u8, .by[NRW_U16] = copy_u16,
             .by[NRW_U32] = copy_u32, .by[NRW_U64] = copy_u64, NRW_SINT_ROWS(abs)},
};
static const unary_op acos_op = {
    .op = {ROW_OF("Acos", 7, NRW_REAL_CASES_1("Acos", -1, 1)), .aten = "aten.acos.default"},
    .rows = {NRW_REAL_ROWS(acos)},
};
static const unary_op acosh_op = {
    .op = {ROW_OF("Acosh", 9, NRW_REAL_CASES_1("Acosh", 1, 4)), .aten = "aten.acosh.default"},
    .rows = {NRW_REAL_ROWS(acosh)},
};
static const unary_op asin_op = {
    .op = {ROW_OF("Asin", 7, NRW_REAL_CASES_1("Asin", -1, 1)), .aten = "aten.asin.default"},
    .rows = {NRW_REAL_ROWS(asin)},
};
static const unary_op asinh_op = {
    .op = {ROW_OF("Asinh", 9, NRW_REAL_CASES_1("Asinh", -3, 3)), .aten = "aten.asinh.default"},
    .rows = {NRW_REAL_ROWS(asinh)},
};
static const unary_op atan_op = {
    .op = {ROW_OF("Atan", 7, NRW_REAL_CASES_1("Atan", -3, 3)), .aten = "aten.atan.default"},
    .rows = {NRW_REAL_ROWS(atan)},
};
static const unary_op atanh_op = {
    .op = {ROW_OF("Atanh", 9, NRW_REAL_CASES_1("Atanh", -0.9f, 0.9f)),
           .aten = "aten.atanh.default"},
    .rows = {NRW_REAL_ROWS(atanh)},
};
static const unary_op ceil_op = {
    .op = {ROW_OF("Ceil", 1, NRW_REAL_CASES_1("Ceil", -3, 3)), .tflite = {"CEIL", 104},
           .aten = "aten.ceil.default"},
    .rows = {NRW_REAL_ROWS(ceil)},
};
static const unary_op celu_op = {
    .op = {ROW_OF("Celu", 12, NRW_QUANT_CASES_1("Celu", -3, 3)), .attrs = alpha_attrs,
           QUANTIZES(NRW_QUANT_UNARY, 0, 0), .aten = "aten.celu.default"},
    .rows = {NRW_REAL_ROWS(celu)},
    .params = {{"alpha", 1.0f}},
};
static const unary_op cos_op = {
    .op = {ROW_OF("Cos", 7, NRW_REAL_CASES_1("Cos", -3, 3)), .tflite = {"COS", 108},
           .aten = "aten.cos.default"},
    .rows = {NRW_REAL_ROWS(cos)},
};
static const unary_op cosh_op = {
    .op = {ROW_OF("Cosh", 9, NRW_REAL_CASES_1("Cosh", -3, 3)), .aten = "aten.cosh.default"},
    .rows = {NRW_REAL_ROWS(cosh)},
};
static const unary_op elu_op = {
    .op = {ROW_OF("Elu", 1, NRW_QUANT_CASES_1("Elu", -3, 3)), .attrs = alpha_attrs,
           QUANTIZES(NRW_QUANT_UNARY, 0, 0), .tflite = {"ELU", 111}, .aten = "aten.elu.default"},
    .rows = {NRW_REAL_ROWS(elu)},
    .params = {{"alpha", 1.0f}},
};
static const unary_op erf_op = {
    .op = {ROW_OF("Erf", 9, NRW_QUANT_CASES_1("Erf", -3, 3)), QUANTIZES(NRW_QUANT_UNARY, -1, 1),
           .aten = "aten.erf.default"},
    .rows = {NRW_REAL_ROWS(erf)},
};
static const unary_op exp_op = {
    .op = {ROW_OF("Exp", 1, NRW_REAL_CASES_1("Exp", -3, 3)), .tflite = {"EXP", 47},
           .aten = "aten.exp.default"},
    .rows = {NRW_REAL_ROWS(exp)},
};
static const unary_op floor_op = {
    .op = {ROW_OF("Floor", 1, NRW_REAL_CASES_1("Floor", -3, 3)), .tflite = {"FLOOR", 8},
           .aten = "aten.floor.default"},
    .rows = {NRW_REAL_ROWS(floor)},
};
static const unary_op hard_sigmoid_op = {
    .op = {ROW_OF("HardSigmoid", 1, NRW_QUANT_CASES_1("HardSigmoid", -3, 3)),
           .attrs = alpha_beta_attrs, QUANTIZES(NRW_QUANT_UNARY, 0, 1),
           .aten = "aten.hardsigmoid.default"},
    .rows = {NRW_REAL_ROWS(hard_sigmoid)},
    .params = {{"alpha", 0.2f}, {"beta", 0.5f}},
};
static const unary_op hard_swish_op = {
    .op = {ROW_OF("HardSwish", 14, NRW_QUANT_CASES_1("HardSwish", -3, 3)),
           QUANTIZES(NRW_QUANT_UNARY, 0, 0), .tflite = {"HARD_SWISH", 117},
           .aten = "aten.hardswish.default"},
    .rows = {NRW_REAL_ROWS(hard_swish)},
};
static const unary_op leaky_relu_op = {
    .op = {ROW_OF("LeakyRelu", 1, NRW_QUANT_CASES_1("LeakyRelu", -3, 3)), .attrs = alpha_attrs,
           QUANTIZES(NRW_QUANT_UNARY, 0, 0), .tflite = {"LEAKY_RELU", 98},
           .aten = "aten.leaky_relu.default"},
    .rows = {NRW_REAL_ROWS(leaky_relu)},
    .params = {{"alpha", 0.01f}},
};
static const unary_op log_op = {
    .op = {ROW_OF("Log", 1, NRW_REAL_CASES_1("Log", 0.1f, 4)), .tflite = {"LOG", 73},
           .aten = "aten.log.default"},
    .rows = {NRW_REAL_ROWS(log)},
};
static const unary_op mish_op = {
    .op = {ROW_OF("Mish", 18, NRW_QUANT_CASES_1("Mish", -3, 3)), QUANTIZES(NRW_QUANT_UNARY, 0, 0),
           .aten = "aten.mish.default"},
    .rows = {NRW_REAL_ROWS(mish)},
};
static const unary_op neg_op = {
    .op = {ROW_OF("Neg", 1, NRW_QUANT_CASES_1("Neg", -3, 3)), QUANTIZES(NRW_QUANT_UNARY, 0, 0),
           .tflite = {"NEG", 59}, .aten = "aten.neg.default"},
    .rows = {NRW_REAL_ROWS(neg), NRW_SINT_ROWS(neg)},
};
static const unary_op reciprocal_op = {
    .op = {ROW_OF("Reciprocal", 1, NRW_REAL_CASES_1("Reciprocal", 0.5f, 4)),
           .aten = "aten.reciprocal.default"},
    .rows = {NRW_REAL_ROWS(reciprocal)},
};
static const unary_op relu_op = {
    .op = {ROW_OF("Relu", 1, NRW_QUANT_CASES_1("Relu", -3, 3)), QUANTIZES(NRW_QUANT_CLAMP, 0, 0),
           .tflite = {"RELU", 19}, .aten = "aten.relu.default"},
    .rows = {NRW_REAL_ROWS(relu), NRW_SINT_ROWS(relu)},
};
static const unary_op round_op = {
    .op = {ROW_OF("Round", 11, NRW_REAL_CASES_1("Round", -3, 3)), .tflite = {"ROUND", 116},
           .aten = "aten.round.default"},
    .rows = {NRW_REAL_ROWS(round)},
};
static const unary_op selu_op = {
    .op = {ROW_OF("Selu", 1, NRW_QUANT_CASES_1("Selu", -3, 3)), .attrs = alpha_gamma_attrs,
           QUANTIZES(NRW_QUANT_UNARY, 0, 0), .aten = "aten.selu.default"},
    .rows = {NRW_REAL_ROWS(selu)},
    .params = {{"alpha", 1.67326319217681884765625f}, {"gamma", 1.05070102214813232421875f}},
};
static const unary_op shrink_op = {
    .op = {ROW_OF("Shrink", 9, NRW_REAL_CASES_1("Shrink", -3, 3)), .attrs = lambd_bias_attrs},
    .rows = {NRW_REAL_ROWS(shrink), NRW_INT_ROWS(shrink)},
    .params = {{"lambd", 0.5f}, {"bias", 0.0f}},
};
static const unary_op sigmoid_op = {
    .op = {ROW_OF("Sigmoid", 1, NRW_QUANT_CASES_1("Sigmoid", -3, 3)),
           QUANTIZES(NRW_QUANT_UNARY, 0, 1), .tflite = {"LOGISTIC", 14},
           .aten = "aten.sigmoid.default"},
    .rows = {NRW_REAL_ROWS(sigmoid)},
};
static const unary_op sign_op = {
    .op = {ROW_OF("Sign", 9, NRW_REAL_CASES_1("Sign", -3, 3)), .tflite = {"SIGN", 158},
           .aten = "aten.sign.default"},
    .rows = {NRW_REAL_ROWS(sign), NRW_SINT_ROWS(sign), .by[NRW_U8] = nonzero_u8,
             .by[NRW_U16] = nonzero_u16, .by[NRW_U32] = nonzero_u32, .by[NRW_U64] = nonzero_u64},
};
static const unary_op sin_op = {
    .op = {ROW_OF("Sin", 7, NRW_REAL_CASES_1("Sin", -3, 3)), .tflite = {"SIN", 66},
           .aten = "aten.sin.default"},
    .rows = {NRW_REAL_ROWS(sin)},
};
static const unary_op sinh_op = {
    .op = {ROW_OF("Sinh", 9, NRW_REAL_CASES_1("Sinh", -3, 3)), .aten = "aten.sinh.default"},
    .rows = {NRW_REAL_ROWS(sinh)},
};
static const unary_op softplus_op = {
    .op = {ROW_OF("Softplus", 1, NRW_QUANT_CASES_1("Softplus", -3, 3)),
           QUANTIZES(NRW_QUANT_UNARY, 0, 0), .aten = "aten.softplus.default"},
    .rows = {NRW_REAL_ROWS(softplus)},
};
static const unary_op softsign_op = {
    .op = {ROW_OF("Softsign", 1, NRW_QUANT_CASES_1("Softsign", -3, 3)),
           QUANTIZES(NRW_QUANT_UNARY, -1, 1), .aten = "aten.softsign.default"},
    .rows = {NRW_REAL_ROWS(softsign)},
};
static const unary_op sqrt_op = {
    .op = {ROW_OF("Sqrt", 1, NRW_REAL_CASES_1("Sqrt", 0, 4)), .tflite = {"SQRT", 75},
           .aten = "aten.sqrt.default"},
    .rows = {NRW_REAL_ROWS(sqrt)},
};
static const unary_op swish_op = {
    .op = {ROW_OF("Swish", 24, NRW_QUANT_CASES_1("Swish", -3, 3)), .attrs = alpha_attrs,
           QUANTIZES(NRW_QUANT_UNARY, 0, 0), .aten = "aten.silu.default"},
    .rows = {NRW_REAL_ROWS(swish)},
    .params = {{"alpha", 1.0f}},
};
static const unary_op tan_op = {
    .op = {ROW_OF("Tan", 7, NRW_REAL_CASES_1("Tan", -3, 3)), .aten = "aten.tan.default"},
    .rows = {NRW_REAL_ROWS(tan)},
};
static const unary_op tanh_op = {
    .op = {ROW_OF("Tanh", 1, NRW_QUANT_CASES_1("Tanh", -3, 3)), QUANTIZES(NRW_QUANT_UNARY, -1, 1),
           .tflite = {"TANH", 28}, .aten = "aten.tanh.default"},
    .rows = {NRW_REAL_ROWS(tanh)},
};
static const unary_op thresholded_relu_op = {
    .op = {ROW_OF("ThresholdedRelu", 10, NRW_QUANT_CASES_1("ThresholdedRelu", -3, 3)),
           .attrs = alpha_attrs, QUANTIZES(NRW_QUANT_UNARY, 0, 0)},
    .rows = {NRW_REAL_ROWS(thresholded_relu)},
    .params = {{"alpha", 1.0f}},
};
static const unary_op isnan_op = {
    .op = {SHAPE_OF("IsNaN", 9), .infer = infer_test, .reference = run,
           .aten = "aten.isnan.default"},
    .rows = {NRW_REAL_ROWS(isnan)},
};
static const unary_op not_op = {
    .op = {ROW_OF("Not", 1, NRW_CASES(NRW_CASE_1("Not", "bool[3,4]", "bool[3,4]", 0, 1))),
           .tflite = {"LOGICAL_NOT", 87}, .aten = "aten.logical_not.default"},
    .rows = {.by[NRW_BOOL] = not_bool},
};
static const unary_op bitwise_not_op = {
    .op = {ROW_OF("BitwiseNot", 18,
                  NRW_CASES(NRW_CASE_1("BitwiseNot", "i32[3,4]", "i32[3,4]", -9, 9),
                            NRW_CASE_1("BitwiseNot", "u8[5]", "u8[5]", 0, 99))),
           .aten = "aten.bitwise_not.default"},
    .rows = {NRW_INT_ROWS(bitwise_not)},
};
static const nrw_op isinf_op = {
    SHAPE_OF("IsInf", 10),
    .attrs = isinf_attrs,
    .infer = infer_test,
    .reference = run_isinf,
    .cases = NRW_CASES(NRW_CASE_1("IsInf", "f32[9]", "bool[9]", -1, 1)),
    .aten = "aten.isinf.default",
};
static const nrw_op gelu_op = {
    SHAPE_OF("Gelu", 20),
    .attrs = gelu_attrs,
    .infer = nrw_infer_same,
    .reference = run_gelu,
    .plan = plan_gelu,
    .cases = NRW_QUANT_CASES_1("Gelu", -3, 3),
    QUANTIZES(NRW_QUANT_UNARY, 0, 0),
    .tflite = {"GELU", 150},
    .aten = "aten.gelu.default",
};

NRW_OPS(unary, &abs_op.op, &acos_op.op, &acosh_op.op, &asin_op.op, &asinh_op.op, &atan_op.op,
        &atanh_op.op, &ceil_op.op, &celu_op.op, &cos_op.op, &cosh_op.op, &elu_op.op, &erf_op.op,
        &exp_op.op, &floor_op.op, &hard_sigmoid_op.op, &hard_swish_op.op, &leaky_relu_op.op,
        &log_op.op, &mish_op.op, &neg_op.op, &reciprocal_op.op, &relu_op.op, &round_op.op,
        &selu_op.op, &shrink_op.op, &sigmoid_op.op, &sign_op.op, &sin_op.op, &sinh_op.op,
        &softplus_op.op, &softsign_op.op, &sqrt_op.op, &swish_op.op, &tan_op.op, &tanh_op.op,
        &thresholded_relu_op.op, &isnan_op.op, &not_op.op, &bitwise_not_op.op, &isinf_op, &gelu_op);
