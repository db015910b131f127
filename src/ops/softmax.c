/* Softmax, LogSoftmax and Hardmax along an axis, and scaling by a norm. */
#include "ops/cases.h"
#include "ops/rows.h"

/* Columns that are computed together where the axis is not the innermost. */
#define TILE 64

#define T      float
#define TN     f32
#define EXP(x) nrw_exp_share_f32(x)
#define LOG(x) logf(x)
#include "ops/softmax_tmpl.h"
#define T      double
#define TN     f64
#define EXP(x) exp(x)
#define LOG(x) log(x)
#include "ops/softmax_tmpl.h"

/* One line of `length` elements, `stride` apart, for each of `columns` neighbouring columns. A
 * single column with stride 1 is a row. */
typedef void (*line_fn)(const void *x, void *y, int64_t length, int64_t stride, int64_t columns,
                        const void *arg);

typedef struct line_fns {
    line_fn f32, f64;
} line_fns;

typedef struct job {
    line_fn fn;
    const void *arg;
    const char *x;
    char *y;
    int size;
    int64_t length, inner, tiles;
} job;

static void lines(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t column = i % j->tiles * TILE;
        int64_t columns = j->inner - column < TILE ? j->inner - column : TILE;
        int64_t at = (i / j->tiles * j->length * j->inner + column) * j->size;
        j->fn(j->x + at, j->y + at, j->length, j->inner, columns, j->arg);
    }
}

/* Runs fn over all lines of input 0 along the axis attribute. Narrow floats go through F32. */
static nrw_status along_axis(nrw_eval *e, const line_fns *fns, const void *arg) {
    const nrw_tensor *in = e->in[0];
    nrw_tensor *out = &e->out[0], x = *in, y = *out;
    int64_t axis = nrw_attr_int(e->node, "axis", -1), n = nrw_tensor_count(in), outer = 1;
    if (in->rank == 0 && (axis == -1 || axis == 0)) {
        x.rank = 1;
        x.dims[0] = 1;
        axis = 0;
    }
    if (!nrw_normalize_axis(&axis, x.rank))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "axis: %lld of a tensor of rank %d", (long long)axis,
                 (int)in->rank);
    if (!nrw_dtype_is_float(in->dtype))
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "%s does not take %s", e->node->type,
                 nrw_dtype_name(in->dtype));
    if (n == 0) return NRW_OK;
    bool wide = in->dtype == NRW_F32 || in->dtype == NRW_F64;
    if (!wide) {
        NRW_TRY(nrw_tensor_new(e->scratch, NRW_F32, x.rank, x.dims, &x, e->err));
        NRW_TRY(nrw_to_f32(in->dtype, in->data, x.data, n, e->err));
        y = x;
    }
    job j = {.arg = arg, .x = x.data, .y = y.data, .length = x.dims[axis], .inner = 1};
    j.fn = in->dtype == NRW_F64 ? fns->f64 : fns->f32;
    j.size = nrw_dtype_size(x.dtype);
    for (int d = 0; d < axis; d++) outer *= x.dims[d];
    for (int d = (int)axis + 1; d < x.rank; d++) j.inner *= x.dims[d];
    j.tiles = (j.inner + TILE - 1) / TILE;
    int64_t columns = j.inner < TILE ? j.inner : TILE;
    nrw_each_range(e->pool, outer * j.tiles, nrw_grain(j.length * columns), lines, &j);
    return wide ? NRW_OK : nrw_from_f32(in->dtype, y.data, out->data, n, e->err);
}

/* Rounds n floats to a narrower type. */
static void round_to(nrw_dtype t, float *x, int64_t n) {
    uint16_t narrow[TILE];
    for (int64_t i = 0; i < n; i += TILE) {
        int64_t m = n - i < TILE ? n - i : TILE;
        if (nrw_from_f32(t, x + i, narrow, m, NULL) != NRW_OK ||
            nrw_to_f32(t, narrow, x + i, m, NULL) != NRW_OK)
            return;
    }
}

/* Softmax of a narrow float type, which arg points to: ONNX defines it as a function of Sub, Exp,
 * ReduceSum and Div, and rounds after each. The last rounding is the caller's. */
static void softmax_narrow(const void *from, void *to, int64_t length, int64_t stride,
                           int64_t columns, const void *arg) {
    const nrw_dtype t = *(const nrw_dtype *)arg;
    const float *x = from;
    float *y = to, top[TILE], sum[TILE] = {0};
    for (int64_t c = 0; c < columns; c++) top[c] = x[c];
    for (int64_t i = 1; i < length; i++) {
        for (int64_t c = 0; c < columns; c++)
            top[c] = x[i * stride + c] > top[c] ? x[i * stride + c] : top[c];
    }
    /* Rows without gaps are rounded as one. */
    int64_t rows = stride == columns ? 1 : length,
            width = stride == columns ? length * columns : columns;
    for (int64_t i = 0; i < length; i++) {
        for (int64_t c = 0; c < columns; c++) y[i * stride + c] = x[i * stride + c] - top[c];
    }
    for (int64_t r = 0; r < rows; r++) {
        float *row = y + r * stride;
        round_to(t, row, width);
        for (int64_t k = 0; k < width; k++) row[k] = nrw_exp_f32(row[k]);
        round_to(t, row, width);
    }
    for (int64_t i = 0; i < length; i++) {
        for (int64_t c = 0; c < columns; c++) sum[c] += y[i * stride + c];
    }
    round_to(t, sum, columns);
    for (int64_t i = 0; i < length; i++) {
        for (int64_t c = 0; c < columns; c++) y[i * stride + c] /= sum[c];
    }
}

static nrw_status run_softmax(nrw_eval *e) {
    static const line_fns fns = {softmax_f32, softmax_f64};
    static const line_fns narrow = {softmax_narrow, NULL};
    nrw_dtype t = e->in[0]->dtype;
    bool wide = t == NRW_F32 || t == NRW_F64 || !nrw_dtype_is_float(t);
    return along_axis(e, wide ? &fns : &narrow, &t);
}
static nrw_status run_log_softmax(nrw_eval *e) {
    static const line_fns fns = {log_softmax_f32, log_softmax_f64};
    return along_axis(e, &fns, NULL);
}
static nrw_status run_hardmax(nrw_eval *e) {
    static const line_fns fns = {hardmax_f32, hardmax_f64};
    return along_axis(e, &fns, NULL);
}

static nrw_status run_lp(nrw_eval *e) {
    static const line_fns fns = {lp_f32, lp_f64};
    int64_t p = nrw_attr_int(e->node, "p", 2);
    if (p != 1 && p != 2)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "p: expected 1 or 2, got %lld", (long long)p);
    return along_axis(e, &fns, &p);
}

/* MeanVarianceNormalization: (x - mean) / (deviation + 1e-9) over the given axes, which is how
 * ONNX's function body writes it. Group g of element i is its position along the kept axes. */
static nrw_status find_groups(nrw_eval *e, int64_t *stride, int64_t *groups) {
    static const int64_t usual[] = {0, 2, 3};
    const nrw_tensor *x = e->in[0];
    int64_t count;
    const int64_t *axes = nrw_attr_ints(e->node, "axes", &count);
    if (axes == NULL) {
        axes = usual;
        count = 3;
    }
    for (int d = 0; d < x->rank; d++) stride[d] = 1;
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = axes[i];
        if (!nrw_normalize_axis(&axis, x->rank))
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "axes: %lld of a tensor of rank %d", (long long)axes[i],
                     (int)x->rank);
        stride[axis] = 0;
    }
    *groups = 1;
    for (int d = x->rank - 1; d >= 0; d--) {
        if (stride[d] == 0) continue;
        stride[d] = *groups;
        *groups *= x->dims[d];
    }
    return NRW_OK;
}

static int64_t group_of(const nrw_tensor *x, const int64_t *stride, int64_t i) {
    int64_t g = 0;
    for (int d = x->rank - 1; d >= 0; d--) {
        g += i % x->dims[d] * stride[d];
        i /= x->dims[d];
    }
    return g;
}

static nrw_status run_mvn(nrw_eval *e) {
    const nrw_tensor *x = e->in[0];
    int64_t stride[NRW_MAX_RANK], groups = 1, n = nrw_tensor_count(x);
    if (!nrw_dtype_is_float(x->dtype))
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "%s does not take %s", e->node->type,
                 nrw_dtype_name(x->dtype));
    NRW_TRY(find_groups(e, stride, &groups));
    if (n == 0) return NRW_OK;
    double *mean = nrw_arena_calloc(e->scratch, (size_t)groups, sizeof *mean);
    double *square = nrw_arena_calloc(e->scratch, (size_t)groups, sizeof *square);
    double *v = nrw_arena_calloc(e->scratch, (size_t)n, sizeof *v);
    if (mean == NULL || square == NULL || v == NULL) NRW_OOM(e->err);
    NRW_TRY(nrw_to_f64(x->dtype, x->data, v, n, e->err));
    double size = (double)(n / groups);
    for (int64_t i = 0; i < n; i++) mean[group_of(x, stride, i)] += v[i] / size;
    for (int64_t i = 0; i < n; i++) {
        int64_t g = group_of(x, stride, i);
        v[i] -= mean[g];
        square[g] += v[i] * v[i] / size;
    }
    for (int64_t i = 0; i < n; i++) v[i] /= sqrt(square[group_of(x, stride, i)]) + 1e-9;
    return nrw_from_f64(x->dtype, v, e->out[0].data, n, e->err);
}

static const nrw_attr_def axis_attrs[] = {{"axis", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def lp_attrs[] = {
    {"axis", NRW_ATTR_INT, false}, {"p", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def mvn_attrs[] = {{"axes", NRW_ATTR_INTS, false}, {0}};

#define ROW_OF(title, since)                                                                       \
    .name = title, .domain = "", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,             \
    .infer = nrw_infer_same, .onnx = {title, since},                                               \
    .cases = NRW_CASES(NRW_CASE_1(title, "f32[3,4,5,6]", "f32[3,4,5,6]", -3, 3),                   \
                       NRW_CASE_1(title, "f16[1,3,N,1]", "f16[1,3,N,1]", -3, 3))

static const nrw_op softmax_op = {
    ROW_OF("Softmax", 1),      .attrs = axis_attrs,
    .reference = run_softmax,  .quant = {.rule = NRW_QUANT_UNARY, .fixed_lo = 0, .fixed_hi = 1},
    .tflite = {"SOFTMAX", 25}, .aten = "aten._softmax.default",
};
static const nrw_op log_softmax_op = {
    ROW_OF("LogSoftmax", 1),
    .attrs = axis_attrs,
    .reference = run_log_softmax,
    .tflite = {"LOG_SOFTMAX", 50},
    .aten = "aten._log_softmax.default",
};
static const nrw_op hardmax_op = {
    ROW_OF("Hardmax", 1),
    .attrs = axis_attrs,
    .reference = run_hardmax,
};
static const nrw_op lp_op = {
    ROW_OF("LpNormalization", 1),
    .attrs = lp_attrs,
    .reference = run_lp,
};
static const nrw_op mvn_op = {
    ROW_OF("MeanVarianceNormalization", 9),
    .attrs = mvn_attrs,
    .reference = run_mvn,
};

NRW_OPS(softmax, &softmax_op, &log_softmax_op, &hardmax_op, &lp_op, &mvn_op);
