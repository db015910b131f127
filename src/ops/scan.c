/* Work along one axis, element after element: CumSum, CumProd, ArgMax, ArgMin. */
#include "ops/cases.h"
#include "ops/rows.h"

typedef struct cumulation {
    bool product, exclusive, reverse;
} cumulation;

typedef struct search {
    bool smallest, last;
} search;

#define T         float
#define TN        f32
#define A         double
#define IS_NAN(x) ((x) != (x))
#include "ops/scan_tmpl.h"
#define T         double
#define TN        f64
#define A         double
#define IS_NAN(x) ((x) != (x))
#include "ops/scan_tmpl.h"
#define T         int8_t
#define TN        i8
#define A         uint64_t
#define IS_NAN(x) false
#include "ops/scan_tmpl.h"
#define T         uint8_t
#define TN        u8
#define A         uint64_t
#define IS_NAN(x) false
#include "ops/scan_tmpl.h"
#define T         int16_t
#define TN        i16
#define A         uint64_t
#define IS_NAN(x) false
#include "ops/scan_tmpl.h"
#define T         uint16_t
#define TN        u16
#define A         uint64_t
#define IS_NAN(x) false
#include "ops/scan_tmpl.h"
#define T         int32_t
#define TN        i32
#define A         uint64_t
#define IS_NAN(x) false
#include "ops/scan_tmpl.h"
#define T         uint32_t
#define TN        u32
#define A         uint64_t
#define IS_NAN(x) false
#include "ops/scan_tmpl.h"
#define T         int64_t
#define TN        i64
#define A         uint64_t
#define IS_NAN(x) false
#include "ops/scan_tmpl.h"
#define T         uint64_t
#define TN        u64
#define A         uint64_t
#define IS_NAN(x) false
#include "ops/scan_tmpl.h"

typedef void (*cumulate_fn)(const void *x, void *y, int64_t length, int64_t stride,
                            const cumulation *c);
typedef int64_t (*extreme_fn)(const void *x, int64_t length, int64_t stride, const search *s);

static const struct {
    cumulate_fn cumulate;
    extreme_fn extreme;
} fns[NRW_DTYPE_COUNT] = {
    [NRW_F32] = {cumulate_f32, extreme_f32}, [NRW_F64] = {cumulate_f64, extreme_f64},
    [NRW_I8] = {cumulate_i8, extreme_i8},    [NRW_U8] = {cumulate_u8, extreme_u8},
    [NRW_I16] = {cumulate_i16, extreme_i16}, [NRW_U16] = {cumulate_u16, extreme_u16},
    [NRW_I32] = {cumulate_i32, extreme_i32}, [NRW_U32] = {cumulate_u32, extreme_u32},
    [NRW_I64] = {cumulate_i64, extreme_i64}, [NRW_U64] = {cumulate_u64, extreme_u64},
};

/* A tensor as lines along one axis. */
typedef struct job {
    nrw_dtype dtype;
    const char *x;
    void *y;
    int64_t length, inner, lines;
    cumulation cumulation;
    search search;
} job;

static const char *line_at(const job *j, int64_t line, int64_t *offset) {
    *offset = line / j->inner * j->length * j->inner + line % j->inner;
    return j->x + *offset * nrw_dtype_size(j->dtype);
}

static void cumulate_lines(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t offset;
        const char *x = line_at(j, i, &offset);
        fns[j->dtype].cumulate(x, (char *)j->y + offset * nrw_dtype_size(j->dtype), j->length,
                               j->inner, &j->cumulation);
    }
}

static void search_lines(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t offset;
        const char *x = line_at(j, i, &offset);
        ((int64_t *)j->y)[i] = fns[j->dtype].extreme(x, j->length, j->inner, &j->search);
    }
}

/* Narrow floats are widened into scratch; *x is what to read. */
static nrw_status set_up(nrw_eval *e, int64_t axis, job *j, nrw_tensor *x) {
    *x = *e->in[0];
    if (x->rank == 0) {
        x->rank = 1;
        x->dims[0] = 1;
    }
    if (!nrw_normalize_axis(&axis, x->rank))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "axis: %lld of a tensor of rank %d", (long long)axis,
                 (int)e->in[0]->rank);
    int64_t n = nrw_tensor_count(x);
    if (fns[x->dtype].cumulate == NULL) {
        if (!nrw_dtype_is_float(x->dtype))
            NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "%s does not take %s", e->node->type,
                     nrw_dtype_name(x->dtype));
        NRW_TRY(nrw_tensor_new(e->scratch, NRW_F32, x->rank, x->dims, x, e->err));
        NRW_TRY(nrw_to_f32(e->in[0]->dtype, e->in[0]->data, x->data, n, e->err));
    }
    j->dtype = x->dtype;
    j->x = x->data;
    j->length = x->dims[axis];
    j->inner = j->lines = 1;
    for (int d = 0; d < x->rank; d++) {
        if (d > axis) j->inner *= x->dims[d];
        if (d != axis) j->lines *= x->dims[d];
    }
    return NRW_OK;
}

static nrw_status cumulate(nrw_eval *e, bool product) {
    int64_t axis;
    int n_axes;
    NRW_TRY_CTX(e->err, nrw_tensor_ints(e->in[1], &axis, 1, &n_axes, e->err), "input 1 (axis)");
    if (n_axes != 1) NRW_FAIL_INPUT(e, 1, "axis", "expected one value");
    job j = {.cumulation = {product, nrw_attr_int(e->node, "exclusive", 0) != 0,
                            nrw_attr_int(e->node, "reverse", 0) != 0}};
    nrw_tensor x;
    NRW_TRY(set_up(e, axis, &j, &x));
    bool widened = x.dtype != e->in[0]->dtype;
    j.y = widened ? x.data : e->out[0].data;
    if (j.length == 0) return NRW_OK;
    nrw_each_range(e->pool, j.lines, nrw_grain(j.length), cumulate_lines, &j);
    if (!widened) return NRW_OK;
    return nrw_from_f32(e->in[0]->dtype, x.data, e->out[0].data, nrw_tensor_count(&x), e->err);
}

static nrw_status run_sum(nrw_eval *e) {
    return cumulate(e, false);
}
static nrw_status run_product(nrw_eval *e) {
    return cumulate(e, true);
}

static nrw_status find(nrw_eval *e, bool smallest) {
    job j = {.search = {smallest, nrw_attr_int(e->node, "select_last_index", 0) != 0},
             .y = e->out[0].data};
    nrw_tensor x;
    NRW_TRY(set_up(e, nrw_attr_int(e->node, "axis", 0), &j, &x));
    if (j.length == 0 && j.lines > 0)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "the extreme of an empty axis");
    nrw_each_range(e->pool, j.lines, nrw_grain(j.length), search_lines, &j);
    return NRW_OK;
}

static nrw_status run_argmax(nrw_eval *e) {
    return find(e, false);
}
static nrw_status run_argmin(nrw_eval *e) {
    return find(e, true);
}

static nrw_status infer_find(nrw_infer *c) {
    const nrw_type *x = c->in[0];
    nrw_type *y = &c->out[0];
    y->kind = NRW_TENSOR;
    y->dtype = NRW_I64;
    if (x->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    int64_t axis = nrw_attr_int(c->node, "axis", 0);
    if (!nrw_normalize_axis(&axis, x->rank > 0 ? x->rank : 1))
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "axis: %lld of a tensor of rank %d", (long long)axis,
                 (int)x->rank);
    bool keep = nrw_attr_int(c->node, "keepdims", 1) != 0;
    y->rank = 0;
    for (int d = 0; d < x->rank; d++) {
        if (d != axis || keep) y->dims[y->rank++] = d == axis ? 1 : x->dims[d];
    }
    return NRW_OK;
}

static const nrw_attr_def cumulate_attrs[] = {
    {"exclusive", NRW_ATTR_INT, false}, {"reverse", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def find_attrs[] = {{"axis", NRW_ATTR_INT, false},
                                          {"keepdims", NRW_ATTR_INT, false},
                                          {"select_last_index", NRW_ATTR_INT, false},
                                          {0}};

static const nrw_op cumsum_op = {
    .name = "CumSum",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = cumulate_attrs,
    .infer = nrw_infer_same,
    .reference = run_sum,
    .cases = NRW_CASES({"graph main(%x: f32[3,4,2]) { const %a: i64[] = [1] %y: f32[3,4,2] = "
                        "CumSum(%x, %a) {exclusive=1, reverse=1} return %y }",
                        -2, 2}),
    .onnx = {"CumSum", 11},
    .tflite = {"CUMSUM", 128},
    .aten = "aten.cumsum.default",
};
static const nrw_op cumprod_op = {
    .name = "CumProd",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = cumulate_attrs,
    .infer = nrw_infer_same,
    .reference = run_product,
    .cases = NRW_CASES({"graph main(%x: f32[3,4,2]) { const %a: i64[] = [1] %y: f32[3,4,2] = "
                        "CumProd(%x, %a) {exclusive=1, reverse=1} return %y }",
                        -2, 2}),
    .onnx = {"CumProd", 26},
    .aten = "aten.cumprod.default",
};
static const nrw_op argmax_op = {
    .name = "ArgMax",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = find_attrs,
    .infer = infer_find,
    .reference = run_argmax,
    .cases = NRW_CASES(NRW_CASE_1("ArgMax", "f32[3,4]", "i64[1,4]", -2, 2),
                       {"graph main(%x: i8[3,N]) { %y: i64[3] = ArgMax(%x) {axis=1, keepdims=0, "
                        "select_last_index=1} return %y }",
                        -2, 2}),
    .onnx = {"ArgMax", 1},
    .tflite = {"ARG_MAX", 56},
    .aten = "aten.argmax.default",
};
static const nrw_op argmin_op = {
    .name = "ArgMin",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = find_attrs,
    .infer = infer_find,
    .reference = run_argmin,
    .cases = NRW_CASES(NRW_CASE_1("ArgMin", "f32[3,4]", "i64[1,4]", -2, 2),
                       {"graph main(%x: i8[3,N]) { %y: i64[3] = ArgMin(%x) {axis=1, keepdims=0, "
                        "select_last_index=1} return %y }",
                        -2, 2}),
    .onnx = {"ArgMin", 1},
    .tflite = {"ARG_MIN", 79},
    .aten = "aten.argmin.default",
};

NRW_OPS(scan, &cumsum_op, &cumprod_op, &argmax_op, &argmin_op);
