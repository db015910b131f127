/* Functions of any number of tensors under broadcasting, and Clip. */
#include "ops/cases.h"
#include "ops/quant_table.h"
#include "ops/rows.h"

#define T  float
#define TN f32
#include "ops/nary_tmpl.h"
#define T  double
#define TN f64
#include "ops/nary_tmpl.h"
#define T  int8_t
#define TN i8
#include "ops/nary_tmpl.h"
#define T  uint8_t
#define TN u8
#include "ops/nary_tmpl.h"
#define T  int16_t
#define TN i16
#include "ops/nary_tmpl.h"
#define T  uint16_t
#define TN u16
#include "ops/nary_tmpl.h"
#define T  int32_t
#define TN i32
#include "ops/nary_tmpl.h"
#define T  uint32_t
#define TN u32
#include "ops/nary_tmpl.h"
#define T  int64_t
#define TN i64
#include "ops/nary_tmpl.h"
#define T  uint64_t
#define TN u64
#include "ops/nary_tmpl.h"

#define T          float
#define TN         f32
#define ROW        add_f32
#define EXPR(x, y) (x) + (y)
#include "ops/row2_tmpl.h"
#define ROW        over_f32
#define EXPR(x, y) (x) / (y)
#include "ops/row2_tmpl.h"
#undef T
#undef TN
#define T          double
#define TN         f64
#define ROW        add_f64
#define EXPR(x, y) (x) + (y)
#include "ops/row2_tmpl.h"
#define ROW        over_f64
#define EXPR(x, y) (x) / (y)
#include "ops/row2_tmpl.h"
#undef T
#undef TN

static bool narrow_float(nrw_dtype t) {
    return nrw_dtype_is_float(t) && t != NRW_F32 && t != NRW_F64;
}

/* Folds the inputs from left to right. Narrow floats are accumulated in F32. */
static nrw_status fold(nrw_eval *e, const nrw_rows *rows, bool mean) {
    nrw_dtype dtype = e->in[0]->dtype;
    nrw_tensor acc = e->out[0];
    int64_t count = nrw_tensor_count(&acc);
    for (int i = 0; i < e->n_in; i++) {
        if (e->in[i] == NULL) NRW_FAIL(e->err, NRW_ERR_SHAPE, "input %d is missing", i);
        if (e->in[i]->dtype != dtype)
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "input %d: its type differs from input 0's", i);
    }
    if (e->n_in == 1) {
        if (count > 0) memcpy(acc.data, e->in[0]->data, nrw_tensor_bytes(&acc));
        return NRW_OK;
    }
    if (narrow_float(dtype))
        NRW_TRY(nrw_tensor_new(e->scratch, NRW_F32, acc.rank, acc.dims, &acc, e->err));
    const nrw_tensor *pair[2] = {e->in[0], e->in[1]};
    for (int i = 1; i < e->n_in; i++) {
        pair[1] = e->in[i];
        NRW_TRY(nrw_each_element(e, &acc, 2, pair, dtype, rows, NULL));
        pair[0] = &acc;
    }
    if (mean) {
        float n32 = (float)e->n_in;
        double n64 = e->n_in;
        bool wide = acc.dtype == NRW_F64;
        nrw_tensor n = nrw_tensor_make(acc.dtype, 0, NULL, wide ? (void *)&n64 : &n32);
        pair[1] = &n;
        NRW_TRY(nrw_each_row(e, &acc, 2, pair, wide ? over_f64 : over_f32, NULL));
    }
    if (acc.data == e->out[0].data) return NRW_OK;
    return nrw_from_f32(dtype, acc.data, e->out[0].data, count, e->err);
}

static const nrw_rows max_rows = {NRW_NUMERIC_ROWS(max)}, min_rows = {NRW_NUMERIC_ROWS(min)};
static const nrw_rows add_rows = {NRW_REAL_ROWS(add)};

static nrw_status run_max(nrw_eval *e) {
    return fold(e, &max_rows, false);
}
static nrw_status run_min(nrw_eval *e) {
    return fold(e, &min_rows, false);
}
static nrw_status run_sum(nrw_eval *e) {
    return fold(e, &add_rows, false);
}
static nrw_status run_mean(nrw_eval *e) {
    return fold(e, &add_rows, true);
}
static nrw_status max_integer(nrw_eval *e) {
    return nrw_integer_pair(e, max_f32, NULL);
}
static nrw_status min_integer(nrw_eval *e) {
    return nrw_integer_pair(e, min_f32, NULL);
}
static nrw_status sum_integer(nrw_eval *e) {
    return nrw_integer_pair(e, add_f32, NULL);
}

/* Clip's bounds are scalars that may be left out; narrow floats clip in F32. */
static nrw_status find_bound(nrw_eval *e, int i, float *widened, const void **bound) {
    *bound = NULL;
    if (i >= e->n_in || e->in[i] == NULL) return NRW_OK;
    if (nrw_tensor_count(e->in[i]) != 1 || e->in[i]->dtype != e->in[0]->dtype)
        NRW_FAIL_INPUT(e, i, "bound", "expected one element of the type of input 0");
    *bound = e->in[i]->data;
    if (!narrow_float(e->in[i]->dtype)) return NRW_OK;
    *bound = widened;
    return nrw_to_f32(e->in[i]->dtype, e->in[i]->data, widened, 1, e->err);
}

static nrw_status run_clip(nrw_eval *e) {
    static const nrw_rows rows = {NRW_NUMERIC_ROWS(clip)};
    float widened[2];
    const void *bounds[2];
    NRW_TRY(find_bound(e, 1, &widened[0], &bounds[0]));
    NRW_TRY(find_bound(e, 2, &widened[1], &bounds[1]));
    return nrw_each_element(e, &e->out[0], 1, e->in, e->in[0]->dtype, &rows, bounds);
}

#define NARY(title, since)                                                                         \
    .name = title, .domain = "", .min_in = 1, .max_in = -1, .min_out = 1, .max_out = 1,            \
    .infer = nrw_infer_broadcast, .onnx = {title, since}

static const nrw_op max_op = {
    NARY("Max", 1),
    .reference = run_max,
    .cases = NRW_CASES(NRW_QUANT_CASE_2("Max"), {"graph main(%a: f32[3,4], %b: f32[4], %c: f32[]) "
                                                 "{ %y: f32[3,4] = Max(%a, %b, %c) return %y }",
                                                 -2, 2}),
    .integer = max_integer,
    .integer_ok = nrw_integer_pair_ok,
    .quant = {.rule = NRW_QUANT_CONCAT},
    .tflite = {"MAXIMUM", 55},
    .aten = "aten.maximum.default",
};
static const nrw_op min_op = {
    NARY("Min", 1),
    .reference = run_min,
    .cases = NRW_CASES(NRW_QUANT_CASE_2("Min"), {"graph main(%a: f32[3,4], %b: f32[4], %c: f32[]) "
                                                 "{ %y: f32[3,4] = Min(%a, %b, %c) return %y }",
                                                 -2, 2}),
    .integer = min_integer,
    .integer_ok = nrw_integer_pair_ok,
    .quant = {.rule = NRW_QUANT_CONCAT},
    .tflite = {"MINIMUM", 57},
    .aten = "aten.minimum.default",
};
static const nrw_op sum_op = {
    NARY("Sum", 1),
    .reference = run_sum,
    .cases = NRW_CASES(NRW_QUANT_CASE_2("Sum"), {"graph main(%a: f32[3,4], %b: f32[4], %c: f32[]) "
                                                 "{ %y: f32[3,4] = Sum(%a, %b, %c) return %y }",
                                                 -2, 2}),
    .integer = sum_integer,
    .integer_ok = nrw_integer_pair_ok,
    .quant = {.rule = NRW_QUANT_ARITH},
    .tflite = {"ADD_N", 106},
};
static const nrw_op mean_op = {
    NARY("Mean", 1),
    .reference = run_mean,
    .cases = NRW_CASES(NRW_QUANT_CASE_2("Mean"), {"graph main(%a: f32[3,4], %b: f32[4], %c: f32[]) "
                                                  "{ %y: f32[3,4] = Mean(%a, %b, %c) return %y }",
                                                  -2, 2}),
    .quant = {.rule = NRW_QUANT_ARITH},
};
static const nrw_op clip_op = {
    .name = "Clip",
    .domain = "",
    .min_in = 1,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .infer = nrw_infer_same,
    .reference = run_clip,
    .cases =
        NRW_CASES({"graph main(%x: f32[3,N]) { const %lo: f32[] = [-0.5] const %hi: f32[] = "
                   "[0.75] %y: f32[3,N] = Clip(%x, %lo, %hi) return %y }",
                   -2, 2},
                  {"graph main(%x: f32[40] q(i8, scale=0.02, zero=4)) { const %lo: f32[] = [0] "
                   "%y: f32[40] q(u8, scale=0.01, zero=0) = Clip(%x, %lo) return %y }",
                   -2, 2},
                  NRW_CASE_1("Clip", "i8[5]", "i8[5]", -9, 9)),
    .integer = nrw_table_integer,
    .integer_ok = nrw_table_integer_ok,
    .quant = {.rule = NRW_QUANT_CLAMP},
    .onnx = {"Clip", 1},
    .aten = "aten.clamp.default",
};

NRW_OPS(nary, &max_op, &min_op, &sum_op, &mean_op, &clip_op);
