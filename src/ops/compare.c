/* Comparisons, and the choice by a condition. */
#include "ops/cases.h"
#include "ops/rows.h"

#define T  float
#define TN f32
#include "ops/compare_tmpl.h"
#define T  double
#define TN f64
#include "ops/compare_tmpl.h"
#define T  int8_t
#define TN i8
#include "ops/compare_tmpl.h"
#define T  int16_t
#define TN i16
#include "ops/compare_tmpl.h"
#define T  int32_t
#define TN i32
#include "ops/compare_tmpl.h"
#define T  int64_t
#define TN i64
#include "ops/compare_tmpl.h"
#define T  uint8_t
#define TN u8
#include "ops/compare_tmpl.h"
#define T  uint16_t
#define TN u16
#include "ops/compare_tmpl.h"
#define T  uint32_t
#define TN u32
#include "ops/compare_tmpl.h"
#define T  uint64_t
#define TN u64
#include "ops/compare_tmpl.h"

static inline bool same_string(nrw_string a, nrw_string b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void equal_string(const void *arg, void *out, const void *const *in, const int64_t *step,
                         int64_t n) {
    const nrw_string *x = in[0], *y = in[1];
    bool *z = out;
    for (int64_t i = 0; i < n; i++) z[i] = same_string(x[i * step[0]], y[i * step[1]]);
}

/* A comparison with its functions; node->op leads back here because op comes first. */
typedef struct compare_op {
    nrw_op op;
    nrw_rows rows;
} compare_op;

static nrw_status run(nrw_eval *e) {
    const compare_op *c = (const compare_op *)e->node->op;
    return nrw_each_element(e, &e->out[0], 2, e->in, e->in[0]->dtype, &c->rows, NULL);
}

typedef struct bytes16 {
    uint64_t v[2];
} bytes16;

#define T   uint8_t
#define ROW where_1
#include "ops/where_tmpl.h"
#define T   uint16_t
#define ROW where_2
#include "ops/where_tmpl.h"
#define T   uint32_t
#define ROW where_4
#include "ops/where_tmpl.h"
#define T   uint64_t
#define ROW where_8
#include "ops/where_tmpl.h"
#define T   bytes16
#define ROW where_16
#include "ops/where_tmpl.h"

static nrw_status run_where(nrw_eval *e) {
    int size = nrw_dtype_size(e->in[1]->dtype);
    if (e->in[0]->dtype != NRW_BOOL || e->in[2]->dtype != e->in[1]->dtype)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "Where wants a bool condition and two tensors of one type");
    nrw_row_fn fn = size == 1   ? where_1
                    : size == 2 ? where_2
                    : size == 4 ? where_4
                    : size == 8 ? where_8
                                : where_16;
    return nrw_each_row(e, &e->out[0], 3, e->in, fn, NULL);
}

static nrw_status infer_where(nrw_infer *c) {
    NRW_TRY(nrw_infer_broadcast(c));
    c->out[0].dtype = c->in[1]->dtype != NRW_NONE ? c->in[1]->dtype : c->in[2]->dtype;
    return NRW_OK;
}

#define ROW_OF(title, since)                                                                       \
    .name = title, .domain = "", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,             \
    .onnx = {title, since},                                                                        \
    .cases = NRW_CASES(NRW_CASE_2(title, "f32[2,3,5]", "f32[5]", "bool[2,3,5]", -1, 1),            \
                       NRW_CASE_2(title, "i64[N]", "i64[]", "bool[N]", -2, 2))

static const compare_op equal_op = {
    .op = {ROW_OF("Equal", 1), .infer = nrw_infer_compare, .reference = run,
           .tflite = {"EQUAL", 71}, .aten = "aten.eq.Tensor"},
    .rows = {NRW_NUMERIC_ROWS(equal), .by[NRW_BOOL] = equal_u8, .by[NRW_STRING] = equal_string},
};
static const compare_op less_op = {
    .op = {ROW_OF("Less", 7), .infer = nrw_infer_compare, .reference = run, .tflite = {"LESS", 58},
           .aten = "aten.lt.Tensor"},
    .rows = {NRW_NUMERIC_ROWS(less)},
};
static const compare_op less_equal_op = {
    .op = {ROW_OF("LessOrEqual", 16), .infer = nrw_infer_compare, .reference = run,
           .tflite = {"LESS_EQUAL", 63}, .aten = "aten.le.Tensor"},
    .rows = {NRW_NUMERIC_ROWS(less_equal)},
};
static const compare_op greater_op = {
    .op = {ROW_OF("Greater", 7), .infer = nrw_infer_compare, .reference = run,
           .tflite = {"GREATER", 61}, .aten = "aten.gt.Tensor"},
    .rows = {NRW_NUMERIC_ROWS(greater)},
};
static const compare_op greater_equal_op = {
    .op = {ROW_OF("GreaterOrEqual", 16), .infer = nrw_infer_compare, .reference = run,
           .tflite = {"GREATER_EQUAL", 62}, .aten = "aten.ge.Tensor"},
    .rows = {NRW_NUMERIC_ROWS(greater_equal)},
};
static const nrw_op where_op = {
    .name = "Where",
    .domain = "",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .infer = infer_where,
    .reference = run_where,
    .cases = NRW_CASES({"graph main(%c: bool[3,1], %a: f32[3,4], %b: f32[4]) { %y: f32[3,4] = "
                        "Where(%c, %a, %b) return %y }",
                        0, 1}),
    .onnx = {"Where", 9},
    .tflite = {"SELECT_V2", 123},
    .aten = "aten.where.self",
};

NRW_OPS(compare, &equal_op.op, &less_op.op, &less_equal_op.op, &greater_op.op, &greater_equal_op.op,
        &where_op);
