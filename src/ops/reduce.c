/* Reductions along axes. Reals are accumulated in double, integers modulo 2^64.
 *
 * Neighbouring axes that are both kept or both reduced are merged. If the innermost axis is
 * reduced, each result folds runs of neighbours; if it is kept, rows are folded into a row of
 * accumulators. Either way the order of additions depends on the shape alone. */
#include "ops/cases.h"
#include "ops/rows.h"

#define T   float
#define TN  f32
#define A   double
#define EXP nrw_exp_f32
#include "ops/reduce_tmpl.h"
#define T   double
#define TN  f64
#define A   double
#define EXP exp
#include "ops/reduce_tmpl.h"
#define T  int8_t
#define TN i8
#define A  int64_t
#include "ops/reduce_tmpl.h"
#define T  uint8_t
#define TN u8
#define A  uint64_t
#include "ops/reduce_tmpl.h"
#define T  int32_t
#define TN i32
#define A  int64_t
#include "ops/reduce_tmpl.h"
#define T  uint32_t
#define TN u32
#define A  uint64_t
#include "ops/reduce_tmpl.h"
#define T  int64_t
#define TN i64
#define A  int64_t
#include "ops/reduce_tmpl.h"
#define T  uint64_t
#define TN u64
#define A  uint64_t
#include "ops/reduce_tmpl.h"

typedef void (*fold_fn)(void *acc, const void *x, const void *shift, int64_t n);

typedef struct fold {
    fold_fn run, row;
} fold;

#define FOLDS(name)                                                                                \
    {                                                                                              \
        [NRW_F32] = {name##_run_f32, name##_row_f32},                                              \
        [NRW_F64] = {name##_run_f64, name##_row_f64}, [NRW_I8] = {name##_run_i8, name##_row_i8},   \
        [NRW_U8] = {name##_run_u8, name##_row_u8}, [NRW_BOOL] = {name##_run_u8, name##_row_u8},    \
        [NRW_I32] = {name##_run_i32, name##_row_i32},                                              \
        [NRW_U32] = {name##_run_u32, name##_row_u32},                                              \
        [NRW_I64] = {name##_run_i64, name##_row_i64}, [NRW_U64] = {                                \
            name##_run_u64,                                                                        \
            name##_row_u64                                                                         \
        }                                                                                          \
    }

static const fold sum_folds[NRW_DTYPE_COUNT] = FOLDS(sum);
static const fold abs_folds[NRW_DTYPE_COUNT] = FOLDS(abs);
static const fold square_folds[NRW_DTYPE_COUNT] = FOLDS(square);
static const fold prod_folds[NRW_DTYPE_COUNT] = FOLDS(prod);
static const fold max_folds[NRW_DTYPE_COUNT] = FOLDS(max);
static const fold min_folds[NRW_DTYPE_COUNT] = FOLDS(min);
static const fold exp_folds[NRW_DTYPE_COUNT] = {
    [NRW_F32] = {exp_run_f32, exp_row_f32}, [NRW_F64] = {exp_run_f64, exp_row_f64}};

typedef enum finish {
    AS_IS,
    MEAN,
    ROOT,
    LOG,
    LOG_SHIFTED /* log(sum exp(x - max)) + max */
} finish;

/* A reduction; node->op leads back here because op comes first. */
typedef struct reduce_op {
    nrw_op op;
    const fold *folds;
    finish finish;
} reduce_op;

/* An accumulator, by class of type. */
typedef union cell {
    double f;
    int64_t i;
    uint64_t u;
} cell;

/* Results of a range that are computed together. */
#define TILE 256

typedef struct reduction {
    const reduce_op *op;
    nrw_dtype dtype; /* of x and y */
    const char *x;
    char *y;
    int size;
    bool inner_kept;
    int64_t inner;         /* length of the innermost merged axis */
    int64_t tiles;         /* inner_kept: pieces of at most TILE of the innermost axis; else 1 */
    int64_t results;       /* over the kept axes, the innermost left out when it is kept */
    int64_t folded;        /* elements per result */
    int n_kept, n_reduced; /* outer axes of either kind */
    int64_t kept[NRW_MAX_RANK], kept_stride[NRW_MAX_RANK];
    int64_t reduced[NRW_MAX_RANK], reduced_stride[NRW_MAX_RANK];
    cell start, max_start;
} reduction;

static void lay_out(reduction *r, int rank, const int64_t *dims, const bool *mask) {
    int64_t merged[NRW_MAX_RANK];
    bool kind[NRW_MAX_RANK];
    int n = 0;
    for (int d = 0; d < rank; d++) {
        if (dims[d] == 1) continue;
        if (n > 0 && kind[n - 1] == mask[d]) {
            merged[n - 1] *= dims[d];
        } else {
            merged[n] = dims[d];
            kind[n++] = mask[d];
        }
    }
    if (n == 0) {
        merged[n] = 1;
        kind[n++] = false;
    }
    r->inner = merged[n - 1];
    r->inner_kept = !kind[n - 1];
    r->tiles = r->inner_kept ? (r->inner + TILE - 1) / TILE : 1;
    r->results = 1;
    r->folded = r->inner_kept ? 1 : r->inner;
    int64_t stride = r->inner;
    for (int d = n - 2; d >= 0; d--) {
        int64_t *axis = kind[d] ? r->reduced : r->kept,
                *step = kind[d] ? r->reduced_stride : r->kept_stride;
        int *count = kind[d] ? &r->n_reduced : &r->n_kept;
        axis[*count] = merged[d];
        step[(*count)++] = stride;
        stride *= merged[d];
        if (kind[d])
            r->folded *= merged[d];
        else
            r->results *= merged[d];
    }
}

/* Offset of item i along axes that are listed innermost first. */
static int64_t offset_of(int64_t i, int n, const int64_t *axis, const int64_t *stride) {
    int64_t offset = 0;
    for (int d = 0; d < n; d++) {
        offset += i % axis[d] * stride[d];
        i /= axis[d];
    }
    return offset;
}

/* Folds everything that belongs to `width` results from offset `at` on. */
static void fold_all(const reduction *r, const fold *f, cell *acc, const cell *shift, int64_t at,
                     int64_t width) {
    int64_t outer = 1;
    for (int d = 0; d < r->n_reduced; d++) outer *= r->reduced[d];
    if (r->folded == 0) return;
    for (int64_t i = 0; i < outer; i++) {
        int64_t from = at + offset_of(i, r->n_reduced, r->reduced, r->reduced_stride);
        const char *x = r->x + from * r->size;
        if (r->inner_kept)
            f->row(acc, x, shift, width);
        else
            f->run(acc, x, shift, r->inner);
    }
}

static double finish_real(const reduction *r, double v, double shift) {
    switch (r->op->finish) {
    case MEAN:
        return v / (double)r->folded;
    case ROOT:
        return sqrt(v);
    case LOG:
        return log(v);
    case LOG_SHIFTED:
        return log(v) + shift;
    default:
        return v;
    }
}

static uint64_t finish_integer(const reduction *r, cell v) {
    bool is_signed = nrw_dtype_get(r->dtype)->klass == NRW_CLASS_SINT;
    double real = is_signed ? (double)v.i : (double)v.u;
    switch (r->op->finish) {
    case MEAN:
        if (r->folded == 0) return 0;
        return is_signed ? (uint64_t)(v.i / r->folded) : v.u / (uint64_t)r->folded;
    case ROOT:
        return real > 0 ? (uint64_t)sqrt(real) : 0;
    case LOG:
        return real >= 1 ? (uint64_t)log(real) : 0;
    default:
        return v.u;
    }
}

static void store(const reduction *r, int64_t at, cell v, cell shift) {
    char *y = r->y + at * r->size;
    if (r->dtype == NRW_F32) {
        *(float *)(void *)y = (float)finish_real(r, v.f, shift.f);
    } else if (r->dtype == NRW_F64) {
        *(double *)(void *)y = finish_real(r, v.f, shift.f);
    } else {
        uint64_t whole = finish_integer(r, v);
        switch (r->size) {
        case 1:
            *(uint8_t *)y = (uint8_t)whole;
            break;
        case 4:
            *(uint32_t *)(void *)y = (uint32_t)whole;
            break;
        default:
            *(uint64_t *)(void *)y = whole;
            break;
        }
    }
}

static void reduce_range(void *arg, int64_t begin, int64_t end) {
    const reduction *r = arg;
    cell acc[TILE], shift[TILE];
    const fold *f = &r->op->folds[r->dtype], *max = &max_folds[r->dtype];
    bool shifted = r->op->finish == LOG_SHIFTED;
    for (int64_t item = begin; item < end; item++) {
        int64_t result = item / r->tiles, column = item % r->tiles * TILE;
        int64_t width = !r->inner_kept ? 1 : r->inner - column < TILE ? r->inner - column : TILE;
        int64_t at = offset_of(result, r->n_kept, r->kept, r->kept_stride) + column;
        for (int64_t k = 0; k < width; k++) {
            acc[k] = r->start;
            shift[k] = r->max_start;
        }
        if (shifted) {
            fold_all(r, max, shift, NULL, at, width);
            for (int64_t k = 0; k < width; k++) {
                if (isinf(shift[k].f)) shift[k].f = 0;
            }
        }
        fold_all(r, f, acc, shifted ? shift : NULL, at, width);
        int64_t to = r->inner_kept ? result * r->inner + column : result;
        for (int64_t k = 0; k < width; k++) store(r, to + k, acc[k], shift[k]);
    }
}

/* What an empty set gives. */
static cell start_of(const reduce_op *op, nrw_dtype t) {
    const nrw_dtype_row *row = nrw_dtype_get(t);
    bool real = nrw_dtype_is_float(t);
    cell c = {.u = 0};
    if (op->folds == prod_folds) {
        if (real)
            c.f = 1;
        else
            c.u = 1;
    } else if (op->folds == max_folds) {
        if (real)
            c.f = -INFINITY;
        else if (row->klass == NRW_CLASS_SINT)
            c.i = row->min;
    } else if (op->folds == min_folds) {
        if (real)
            c.f = INFINITY;
        else if (t == NRW_U64)
            c.u = UINT64_MAX;
        else
            c.i = t == NRW_BOOL ? 1 : row->max;
    }
    return c;
}

/* The axes to reduce. False: not known yet. */
static nrw_status read_axes(const nrw_node *n, bool given, const nrw_tensor *axes, int rank,
                            bool *mask, bool *known, nrw_error *err) {
    int64_t list[NRW_MAX_RANK];
    int count = 0;
    *known = true;
    memset(mask, 0, sizeof *mask * NRW_MAX_RANK);
    if (given && axes == NULL) {
        *known = false;
        return NRW_OK;
    }
    if (axes != NULL)
        NRW_TRY_CTX(err, nrw_tensor_ints(axes, list, NRW_MAX_RANK, &count, err), "input 1 (axes)");
    if (count == 0 && nrw_attr_int(n, "noop_with_empty_axes", 0) == 0) {
        for (int d = 0; d < rank; d++) mask[d] = true;
    }
    for (int i = 0; i < count; i++) {
        int64_t axis = list[i];
        if (!nrw_normalize_axis(&axis, rank))
            NRW_FAIL(err, NRW_ERR_SHAPE, "input 1 (axes): axis %lld of a tensor of rank %d",
                     (long long)list[i], rank);
        mask[axis] = true;
    }
    return NRW_OK;
}

static nrw_status infer(nrw_infer *c) {
    const nrw_type *x = c->in[0];
    nrw_type *y = &c->out[0];
    bool keep = nrw_attr_int(c->node, "keepdims", 1) != 0, mask[NRW_MAX_RANK], known;
    y->kind = NRW_TENSOR;
    y->dtype = x->dtype;
    if (x->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    bool given = c->n_in > 1 && c->in[1] != NULL;
    NRW_TRY(read_axes(c->node, given, given ? c->data[1] : NULL, x->rank, mask, &known, c->err));
    if (!known && !keep) return NRW_OK;
    y->rank = 0;
    for (int d = 0; d < x->rank; d++) {
        if (!known)
            y->dims[y->rank++] = x->dims[d] == 1 ? 1 : NRW_DIM_UNKNOWN;
        else if (!mask[d] || keep)
            y->dims[y->rank++] = mask[d] ? 1 : x->dims[d];
    }
    return NRW_OK;
}

/* Narrow floats are reduced in F32, and LogSumExp of integers in F64. */
static nrw_dtype working_type(const reduce_op *op, nrw_dtype t) {
    if (op->folds[t].run != NULL) return t;
    if (nrw_dtype_is_float(t)) return NRW_F32;
    return op->folds == exp_folds && nrw_dtype_is_integer(t) ? NRW_F64 : NRW_NONE;
}

static nrw_status run(nrw_eval *e) {
    const reduce_op *op = (const reduce_op *)e->node->op;
    const nrw_tensor *in = e->in[0];
    nrw_tensor *out = &e->out[0], x = *in, y = *out;
    bool mask[NRW_MAX_RANK], known;
    const nrw_tensor *axes = e->n_in > 1 ? e->in[1] : NULL;
    NRW_TRY(read_axes(e->node, axes != NULL, axes, in->rank, mask, &known, e->err));
    nrw_dtype t = working_type(op, in->dtype);
    if (t == NRW_NONE)
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "%s does not take %s", e->node->type,
                 nrw_dtype_name(in->dtype));
    int64_t n_in = nrw_tensor_count(in), n_out = nrw_tensor_count(out);
    if (t != in->dtype) {
        NRW_TRY(nrw_tensor_new(e->scratch, t, in->rank, in->dims, &x, e->err));
        NRW_TRY(nrw_tensor_new(e->scratch, t, out->rank, out->dims, &y, e->err));
        NRW_TRY(t == NRW_F32 ? nrw_to_f32(in->dtype, in->data, x.data, n_in, e->err)
                             : nrw_to_f64(in->dtype, in->data, x.data, n_in, e->err));
    }
    reduction r = {.op = op, .dtype = t, .x = x.data, .y = y.data, .size = nrw_dtype_size(t)};
    lay_out(&r, in->rank, in->dims, mask);
    r.start = start_of(op, t);
    r.max_start.f = -INFINITY;
    int64_t work = r.folded * (r.inner_kept ? (r.inner < TILE ? r.inner : TILE) : 1);
    if (n_out > 0) nrw_each_range(e->pool, r.results * r.tiles, nrw_grain(work), reduce_range, &r);
    if (t == in->dtype) return NRW_OK;
    return t == NRW_F32 ? nrw_from_f32(in->dtype, y.data, out->data, n_out, e->err)
                        : nrw_from_f64(in->dtype, y.data, out->data, n_out, e->err);
}

static const nrw_attr_def attrs[] = {
    {"keepdims", NRW_ATTR_INT, false}, {"noop_with_empty_axes", NRW_ATTR_INT, false}, {0}};

#define ROW_OF(title)                                                                              \
    .name = title, .domain = "", .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1,             \
    .attrs = attrs, .infer = infer, .reference = run, .onnx = {title, 1},                          \
    .cases = NRW_CASES(                                                                            \
        {"graph main(%x: f32[3,4,5]) { const %a: i64[2] = [0, -1] %y: f32[1,4,1] = " title         \
         "(%x, %a) return %y }",                                                                   \
         1, 2},                                                                                    \
        {"graph main(%x: f16[3,4,5]) { const %a: i64[1] = [1] %y: f16[3,5] = " title               \
         "(%x, %a) {keepdims=0} return %y }",                                                      \
         1, 2},                                                                                    \
        {"graph main(%x: f32[2,N]) { %y: f32[] = " title "(%x) {keepdims=0} return %y }", 1, 2})

static const reduce_op l1_op = {.op = {ROW_OF("ReduceL1")}, .folds = abs_folds};
static const reduce_op l2_op = {.op = {ROW_OF("ReduceL2")}, .folds = square_folds, .finish = ROOT};
static const reduce_op log_sum_op = {
    .op = {ROW_OF("ReduceLogSum")}, .folds = sum_folds, .finish = LOG};
static const reduce_op log_sum_exp_op = {
    .op = {ROW_OF("ReduceLogSumExp"), .aten = "aten.logsumexp.default"},
    .folds = exp_folds,
    .finish = LOG_SHIFTED};
static const reduce_op max_op = {.op = {ROW_OF("ReduceMax"),
                                        .quant = {.rule = NRW_QUANT_SAME_SCALE},
                                        .tflite = {"REDUCE_MAX", 82}, .aten = "aten.amax.default"},
                                 .folds = max_folds};
static const reduce_op min_op = {.op = {ROW_OF("ReduceMin"),
                                        .quant = {.rule = NRW_QUANT_SAME_SCALE},
                                        .tflite = {"REDUCE_MIN", 89}, .aten = "aten.amin.default"},
                                 .folds = min_folds};
static const reduce_op mean_op = {.op = {ROW_OF("ReduceMean"), .quant = {.rule = NRW_QUANT_UNARY},
                                         .tflite = {"MEAN", 40}, .aten = "aten.mean.dim"},
                                  .folds = sum_folds,
                                  .finish = MEAN};
static const reduce_op prod_op = {
    .op = {ROW_OF("ReduceProd"), .tflite = {"REDUCE_PROD", 81}, .aten = "aten.prod.dim_int"},
    .folds = prod_folds};
static const reduce_op sum_op = {
    .op = {ROW_OF("ReduceSum"), .tflite = {"SUM", 74}, .aten = "aten.sum.dim_IntList"},
    .folds = sum_folds};
static const reduce_op sum_square_op = {.op = {ROW_OF("ReduceSumSquare")}, .folds = square_folds};

NRW_OPS(reduce, &l1_op.op, &l2_op.op, &log_sum_op.op, &log_sum_exp_op.op, &max_op.op, &min_op.op,
        &mean_op.op, &prod_op.op, &sum_op.op, &sum_square_op.op);
