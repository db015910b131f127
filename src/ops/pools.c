/* Pooling: MaxPool, AveragePool, LpPool and their global kin. */
#include <math.h>
#include <string.h>

#include "ops/litert.h"
#include "ops/floats.h"
#include "ops/op.h"
#include "ops/vmath.h"
#include "ops/window.h"

/* Shape rules. */

static nrw_status infer_window(nrw_infer *c) {
    const nrw_type *x = c->in[0];
    for (int i = 0; i < c->n_out; i++) c->out[i].dtype = i == 0 ? x->dtype : NRW_I64;
    if (x->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (x->rank < 3) NRW_FAIL_INPUT(c, 0, "X", "rank %d; at least 3 is needed", x->rank);
    nrw_window w;
    NRW_TRY(nrw_window_read(c->node, x->rank - 2, NULL, &w, c->err));
    NRW_TRY(nrw_window_fit(&w, x->dims + 2, c->err));
    for (int i = 0; i < c->n_out; i++) {
        c->out[i].rank = x->rank;
        memcpy(c->out[i].dims, x->dims, 2 * sizeof x->dims[0]);
        memcpy(c->out[i].dims + 2, w.out, (size_t)w.n * sizeof w.out[0]);
    }
    return NRW_OK;
}

static nrw_status infer_global(nrw_infer *c) {
    c->out[0] = *c->in[0];
    if (c->in[0]->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (c->in[0]->rank < 3) {
        NRW_FAIL_INPUT(c, 0, "X", "rank %d; at least 3 is needed", c->in[0]->rank);
    }
    for (int i = 2; i < c->in[0]->rank; i++) c->out[0].dims[i] = 1;
    return NRW_OK;
}

/* Running. A job is one pool over all planes; its tasks are blocks of output rows. */

/* Tap k of the last axis reads x[shift + o * stride] for the outputs o in [first, end). */
typedef struct last_tap {
    int64_t shift, first, end;
} last_tap;

typedef struct pool_job pool_job;
/* scratch: this worker's row of the input (maxima) or of int32 sums (quantized averages). */
typedef void (*row_fn)(const pool_job *j, int64_t plane, int64_t row, int32_t *scratch);

struct pool_job {
    const nrw_window *w;
    const void *x;
    void *y;
    int64_t *index; /* MaxPool's second output, or NULL */
    int64_t planes, in_plane, out_plane, out_rows, rows_per_task;
    int64_t stride[NRW_MAX_SPATIAL];       /* of the input, in elements */
    int64_t index_stride[NRW_MAX_SPATIAL]; /* of the positions that `index` counts */
    int64_t last_index_stride;
    const last_tap *tap;
    const int64_t *count[NRW_MAX_SPATIAL]; /* AveragePool: divisor's factor by output position */
    const int64_t *valid[NRW_MAX_SPATIAL]; /* the taps inside the input, by output position */
    int64_t p;                             /* LpPool */
    row_fn row;
    int32_t *scratch; /* scratch_row for each worker, or NULL */
    int64_t scratch_row;
    /* Quantized averages. */
    int32_t zero_x, zero_y, lo, hi;
    float scale_x, scale_y;
    bool float_out;
    bool litert; /* by nrw_litert_mean */
    int32_t litert_shift;
};

/* Iterates over the input rows under the window of one output row. */
typedef struct row_taps {
    int64_t out[NRW_MAX_SPATIAL], first[NRW_MAX_SPATIAL], end[NRW_MAX_SPATIAL];
    int64_t at[NRW_MAX_SPATIAL];
    int64_t offset, index;
} row_taps;

static void taps_place(const pool_job *j, row_taps *t) {
    t->offset = t->index = 0;
    for (int i = 0; i < j->w->n - 1; i++) {
        int64_t pos =
            t->out[i] * j->w->stride[i] - j->w->pad_begin[i] + t->at[i] * j->w->dilation[i];
        t->offset += pos * j->stride[i];
        t->index += pos * j->index_stride[i];
    }
}

static bool taps_first(const pool_job *j, int64_t row, row_taps *t) {
    bool any = true;
    for (int i = j->w->n - 2; i >= 0; i--) {
        t->out[i] = row % j->w->out[i];
        row /= j->w->out[i];
        nrw_window_taps(j->w, i, t->out[i], &t->first[i], &t->end[i]);
        t->at[i] = t->first[i];
        any = any && t->first[i] < t->end[i];
    }
    if (any) taps_place(j, t);
    return any;
}

static bool taps_next(const pool_job *j, row_taps *t) {
    for (int i = j->w->n - 2; i >= 0; i--) {
        if (++t->at[i] < t->end[i]) {
            taps_place(j, t);
            return true;
        }
        t->at[i] = t->first[i];
    }
    return false;
}

static int64_t outer_count(const pool_job *j, int64_t row) {
    int64_t count = 1;
    for (int i = j->w->n - 2; i >= 0; i--) {
        count *= j->count[i][row % j->w->out[i]];
        row /= j->w->out[i];
    }
    return count;
}

#define T                   float
#define A                   float
#define LOWEST              -INFINITY
#define REAL_ROWS           1
#define POW                 powf
#define SQRT                sqrtf
#define MAX_NAME            max_f32
#define MAX_INDEX_NAME      max_index_f32
#define GLOBAL_MAX_NAME     global_max_f32
#define SUM_NAME            sum_f32
#define AVERAGE_NAME        average_f32
#define POWER               power_f32
#define ROOT                root_f32
#define LP_NAME             lp_f32
#define GLOBAL_AVERAGE_NAME global_average_f32
#define GLOBAL_LP_NAME      global_lp_f32
#include "ops/pools_tmpl.h"

#define T                   double
#define A                   double
#define LOWEST              -INFINITY
#define REAL_ROWS           1
#define POW                 pow
#define SQRT                sqrt
#define MAX_NAME            max_f64
#define MAX_INDEX_NAME      max_index_f64
#define GLOBAL_MAX_NAME     global_max_f64
#define SUM_NAME            sum_f64
#define AVERAGE_NAME        average_f64
#define POWER               power_f64
#define ROOT                root_f64
#define LP_NAME             lp_f64
#define GLOBAL_AVERAGE_NAME global_average_f64
#define GLOBAL_LP_NAME      global_lp_f64
#include "ops/pools_tmpl.h"

#define T               int8_t
#define A               int32_t
#define LOWEST          INT8_MIN
#define MAX_NAME        max_i8
#define MAX_INDEX_NAME  max_index_i8
#define GLOBAL_MAX_NAME global_max_i8
#define SUM_NAME        sum_i8
#include "ops/pools_tmpl.h"

#define T               uint8_t
#define A               int32_t
#define LOWEST          0
#define MAX_NAME        max_u8
#define MAX_INDEX_NAME  max_index_u8
#define GLOBAL_MAX_NAME global_max_u8
#define SUM_NAME        sum_u8
#include "ops/pools_tmpl.h"

#define T               int16_t
#define LOWEST          INT16_MIN
#define MAX_NAME        max_i16
#define MAX_INDEX_NAME  max_index_i16
#define GLOBAL_MAX_NAME global_max_i16
#include "ops/pools_tmpl.h"

#define T               uint16_t
#define LOWEST          0
#define MAX_NAME        max_u16
#define MAX_INDEX_NAME  max_index_u16
#define GLOBAL_MAX_NAME global_max_u16
#include "ops/pools_tmpl.h"

/* q = clamp(zp_y + rint((sum - n * zp_x) * m)), m = (float)(s_x / (count * s_y)), half to even; the
 * sum runs over the n taps inside the input and is exact; count is the divisor (n, or with padding
 * where count_include_pad says so). Without an output annotation: (sum - n * zp_x) * s_x / count.
 */
static void store_average(const pool_job *j, int64_t at, int64_t sum, int64_t n, int64_t count) {
    if (j->litert) {
        const int32_t v = nrw_litert_mean(sum, n > 0 ? n : 1, j->litert_shift);
        ((uint8_t *)j->y)[at] = (uint8_t)(v < j->lo ? j->lo : v > j->hi ? j->hi : v);
        return;
    }
    float acc = (float)(sum - n * j->zero_x);
    if (j->float_out) {
        ((float *)j->y)[at] = count != 0 ? acc * (float)(j->scale_x / (double)count) : 0;
        return;
    }
    float m = (float)(j->scale_x / ((double)(count != 0 ? count : 1) * j->scale_y));
    float q = rintf(acc * m) + (float)j->zero_y;
    int32_t v = q <= (float)j->lo ? j->lo : q >= (float)j->hi ? j->hi : (int32_t)q;
    if (j->lo < 0) {
        ((int8_t *)j->y)[at] = (int8_t)v;
    } else {
        ((uint8_t *)j->y)[at] = (uint8_t)v;
    }
}

static void average_q8_row(const pool_job *j, int64_t plane, int64_t row, const int32_t *sum) {
    int last = j->w->n - 1;
    int64_t n = j->w->out[last], outer = outer_count(j, row), inside = 1;
    for (int64_t i = last - 1, r = row; i >= 0; i--) {
        inside *= j->valid[i][r % j->w->out[i]];
        r /= j->w->out[i];
    }
    for (int64_t o = 0; o < n; o++) {
        store_average(j, plane * j->out_plane + row * n + o, sum[o], inside * j->valid[last][o],
                      outer * j->count[last][o]);
    }
}

static void average_i8(const pool_job *j, int64_t plane, int64_t row, int32_t *scratch) {
    sum_i8(j, plane, row, scratch);
    average_q8_row(j, plane, row, scratch);
}

static void average_u8(const pool_job *j, int64_t plane, int64_t row, int32_t *scratch) {
    sum_u8(j, plane, row, scratch);
    average_q8_row(j, plane, row, scratch);
}

static void global_average_i8(const pool_job *j, int64_t plane, int64_t row, int32_t *scratch) {
    const int8_t *x = (const int8_t *)j->x + plane * j->in_plane;
    int64_t sum = 0;
    for (int64_t i = 0; i < j->in_plane; i++) sum += x[i];
    store_average(j, plane, sum, j->in_plane, j->in_plane);
}

static void global_average_u8(const pool_job *j, int64_t plane, int64_t row, int32_t *scratch) {
    const uint8_t *x = (const uint8_t *)j->x + plane * j->in_plane;
    int64_t sum = 0;
    for (int64_t i = 0; i < j->in_plane; i++) sum += x[i];
    store_average(j, plane, sum, j->in_plane, j->in_plane);
}

static void pool_task(void *arg, int64_t i, int worker) {
    const pool_job *j = arg;
    int64_t end = (i + 1) * j->rows_per_task, all = j->planes * j->out_rows;
    int32_t *scratch = j->scratch != NULL ? j->scratch + worker * j->scratch_row : NULL;
    for (int64_t r = i * j->rows_per_task; r < end && r < all; r++) {
        j->row(j, r / j->out_rows, r % j->out_rows, scratch);
    }
}

/* About this many input elements make a task. */
#define TASK_ELEMENTS 32768

static void pool_run(nrw_eval *e, pool_job *j, int64_t elements_per_row) {
    int64_t rows = j->planes * j->out_rows;
    j->rows_per_task = elements_per_row > 0 ? TASK_ELEMENTS / elements_per_row + 1 : TASK_ELEMENTS;
    if (rows == 0 || j->out_plane == 0) return;
    nrw_pool_run(e->pool, (rows + j->rows_per_task - 1) / j->rows_per_task, pool_task, j);
}

/* The last axis' taps, and for averages how many taps each output position counts. */
static nrw_status make_tables(nrw_eval *e, pool_job *j, bool average) {
    const nrw_window *w = j->w;
    int last = w->n - 1;
    last_tap *tap = nrw_eval_scratch(e, w->kernel[last], sizeof *tap);
    if (tap == NULL) NRW_OOM(e->err);
    for (int64_t k = 0; k < w->kernel[last]; k++) {
        int64_t s = w->stride[last], shift = k * w->dilation[last] - w->pad_begin[last];
        int64_t room = w->in[last] - shift;
        tap[k].shift = shift;
        tap[k].first = shift >= 0 ? 0 : (-shift + s - 1) / s;
        tap[k].end = room <= 0 ? 0 : (room + s - 1) / s;
        if (tap[k].end > w->out[last]) tap[k].end = w->out[last];
    }
    j->tap = tap;
    bool padded = average && nrw_attr_int(e->node, "count_include_pad", 0) != 0;
    for (int i = 0; average && i < w->n; i++) {
        int64_t *count = nrw_eval_scratch(e, w->out[i], sizeof *count);
        int64_t *valid = nrw_eval_scratch(e, w->out[i], sizeof *valid);
        if (count == NULL || valid == NULL) NRW_OOM(e->err);
        /* With the padding counted, a window still counts nothing beyond it. */
        nrw_window wide = *w;
        wide.in[i] += w->pad_begin[i] + w->pad_end[i];
        wide.pad_begin[i] = 0;
        for (int64_t o = 0; o < w->out[i]; o++) {
            int64_t first, end;
            nrw_window_taps(w, i, o, &first, &end);
            valid[o] = end - first;
            if (padded) nrw_window_taps(&wide, i, o, &first, &end);
            count[o] = end - first;
        }
        j->count[i] = count;
        j->valid[i] = valid;
    }
    return NRW_OK;
}

static void make_strides(const nrw_node *n, pool_job *j) {
    const nrw_window *w = j->w;
    bool column_major = nrw_attr_int(n, "storage_order", 0) != 0;
    j->in_plane = j->out_plane = j->out_rows = 1;
    int64_t column = 1;
    for (int i = w->n - 1; i >= 0; i--) {
        j->stride[i] = j->in_plane;
        j->in_plane *= w->in[i];
        j->out_plane *= w->out[i];
        if (i < w->n - 1) j->out_rows *= w->out[i];
    }
    for (int i = 0; i < w->n; i++) {
        j->index_stride[i] = column_major ? column : j->stride[i];
        column *= w->in[i];
    }
    j->last_index_stride = j->index_stride[w->n - 1];
}

static nrw_status window_start(nrw_eval *e, pool_job *j, nrw_window *w, bool average) {
    const nrw_tensor *x = e->in[0];
    NRW_TRY(nrw_window_read(e->node, x->rank - 2, NULL, w, e->err));
    NRW_TRY(nrw_window_fit(w, x->dims + 2, e->err));
    j->w = w;
    j->planes = x->dims[0] * x->dims[1];
    make_strides(e->node, j);
    return make_tables(e, j, average);
}

static void window_run(nrw_eval *e, pool_job *j) {
    int64_t work = j->w->out[j->w->n - 1];
    for (int i = 0; i < j->w->n; i++) {
        if (!nrw_mul_i64(work, j->w->kernel[i], &work)) work = INT64_MAX;
        if (work > TASK_ELEMENTS) work = TASK_ELEMENTS;
    }
    pool_run(e, j, work);
}

static void global_start(nrw_eval *e, pool_job *j) {
    const nrw_tensor *x = e->in[0];
    j->planes = x->dims[0] * x->dims[1];
    j->in_plane = j->out_plane = j->out_rows = 1;
    for (int i = 2; i < x->rank; i++) j->in_plane *= x->dims[i];
}

/* Runs in float or double, whichever holds the input's type. */
static nrw_status run_real(nrw_eval *e, pool_job *j, row_fn f32, row_fn f64,
                           void (*run)(nrw_eval *, pool_job *)) {
    if (e->in[0]->dtype == NRW_F64) {
        j->x = e->in[0]->data;
        j->y = e->out[0].data;
        j->row = f64;
        run(e, j);
        return NRW_OK;
    }
    const float *x;
    float *y;
    NRW_TRY(nrw_floats_in(e, 0, &x));
    NRW_TRY(nrw_floats_out(e, 0, &y));
    j->x = x;
    j->y = y;
    j->row = f32;
    run(e, j);
    return nrw_floats_done(e, 0, y);
}

static void run_global(nrw_eval *e, pool_job *j) {
    pool_run(e, j, j->in_plane);
}

/* Maxima of integers, as they are; NULL: not an integer type. */
static row_fn integer_max(nrw_dtype t, bool global) {
    switch (t) {
    case NRW_I8:
    case NRW_I4:
    case NRW_I2:
        return global ? global_max_i8 : max_i8;
    case NRW_U8:
    case NRW_U4:
    case NRW_U2:
        return global ? global_max_u8 : max_u8;
    case NRW_I16:
        return global ? global_max_i16 : max_i16;
    case NRW_U16:
        return global ? global_max_u16 : max_u16;
    default:
        return NULL;
    }
}

/* n int32s for each worker. */
static nrw_status make_scratch(nrw_eval *e, pool_job *j, int64_t n) {
    int64_t all;
    if (!nrw_mul_i64(n, nrw_pool_threads(e->pool), &all)) NRW_OOM(e->err);
    j->scratch_row = n;
    j->scratch = nrw_eval_scratch(e, all, sizeof *j->scratch);
    if (j->scratch == NULL) NRW_OOM(e->err);
    return NRW_OK;
}

static nrw_status max_pool(nrw_eval *e) {
    nrw_window w;
    pool_job j = {.index = e->n_out > 1 ? e->out[1].data : NULL};
    NRW_TRY(window_start(e, &j, &w, false));
    if (e->out[0].data == NULL) return NRW_OK;
    /* Room for a row of the widest type, an even number so that doubles stay aligned. */
    NRW_TRY(make_scratch(e, &j, 2 * w.in[w.n - 1]));
    row_fn row = integer_max(e->in[0]->dtype, false);
    if (row == NULL) return run_real(e, &j, max_f32, max_f64, window_run);
    j.x = e->in[0]->data;
    j.y = e->out[0].data;
    j.row = row;
    window_run(e, &j);
    return NRW_OK;
}

static nrw_status average_pool(nrw_eval *e) {
    nrw_window w;
    pool_job j = {0};
    NRW_TRY(window_start(e, &j, &w, true));
    return run_real(e, &j, average_f32, average_f64, window_run);
}

static nrw_status read_p(nrw_eval *e, pool_job *j) {
    j->p = nrw_attr_int(e->node, "p", 2);
    if (j->p < 1) NRW_FAIL(e->err, NRW_ERR_SHAPE, "p: %lld is not positive", (long long)j->p);
    return NRW_OK;
}

static nrw_status lp_pool(nrw_eval *e) {
    nrw_window w;
    pool_job j = {0};
    NRW_TRY(read_p(e, &j));
    NRW_TRY(window_start(e, &j, &w, false));
    return run_real(e, &j, lp_f32, lp_f64, window_run);
}

static nrw_status global_max_pool(nrw_eval *e) {
    pool_job j = {0};
    global_start(e, &j);
    row_fn row = integer_max(e->in[0]->dtype, true);
    if (row == NULL) return run_real(e, &j, global_max_f32, global_max_f64, run_global);
    j.x = e->in[0]->data;
    j.y = e->out[0].data;
    j.row = row;
    run_global(e, &j);
    return NRW_OK;
}

static nrw_status global_average_pool(nrw_eval *e) {
    pool_job j = {0};
    global_start(e, &j);
    return run_real(e, &j, global_average_f32, global_average_f64, run_global);
}

static nrw_status global_lp_pool(nrw_eval *e) {
    pool_job j = {0};
    NRW_TRY(read_p(e, &j));
    global_start(e, &j);
    return run_real(e, &j, global_lp_f32, global_lp_f64, run_global);
}

/* Integer averages. */

static bool is_q8(const nrw_quant *q) {
    return q != NULL && !q->dynamic && q->count == 1 && (q->dtype == NRW_I8 || q->dtype == NRW_U8);
}

static bool average_integer_ok(const nrw_node *n) {
    const nrw_quant *x = n->inputs[0]->quant, *y = n->outputs[0]->quant;
    return is_q8(x) && (y == NULL || is_q8(y));
}

static void read_q8(nrw_eval *e, pool_job *j) {
    const nrw_quant *x = e->in[0]->quant, *y = e->out[0].quant;
    j->x = e->in[0]->data;
    j->y = e->out[0].data;
    j->scale_x = x->scale[0];
    j->zero_x = x->zero_point[0];
    j->float_out = y == NULL;
    if (y == NULL) return;
    j->scale_y = y->scale[0];
    j->zero_y = y->zero_point[0];
    j->lo = y->dtype == NRW_I8 ? INT8_MIN : 0;
    j->hi = y->dtype == NRW_I8 ? INT8_MAX : UINT8_MAX;
}

static nrw_status average_pool_integer(nrw_eval *e) {
    nrw_window w;
    pool_job j = {0};
    NRW_TRY(window_start(e, &j, &w, true));
    int64_t taps = 1;
    for (int i = 0; i < w.n; i++) {
        if (!nrw_mul_i64(taps, w.kernel[i], &taps) || taps > INT32_MAX / 255) {
            NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "kernel_shape: sums would pass 32 bits");
        }
    }
    NRW_TRY(make_scratch(e, &j, w.out[w.n - 1]));
    read_q8(e, &j);
    const nrw_quant *y = e->out[0].quant;
    j.litert = nrw_rounds_as_litert(y) && nrw_quant_equal(e->in[0]->quant, y);
    j.litert_shift = j.litert && y->dtype == NRW_U8 && y->rounding == NRW_ROUND_LITERT ? 128 : 0;
    j.row = e->in[0]->dtype == NRW_I8 ? average_i8 : average_u8;
    window_run(e, &j);
    return NRW_OK;
}

static nrw_status global_average_pool_integer(nrw_eval *e) {
    pool_job j = {0};
    global_start(e, &j);
    read_q8(e, &j);
    j.row = e->in[0]->dtype == NRW_I8 ? global_average_i8 : global_average_u8;
    run_global(e, &j);
    return NRW_OK;
}

/* Rows. */

static const nrw_attr_def max_attrs[] = {
    {"auto_pad", NRW_ATTR_STRING, false}, {"ceil_mode", NRW_ATTR_INT, false},
    {"dilations", NRW_ATTR_INTS, false},  {"kernel_shape", NRW_ATTR_INTS, true},
    {"pads", NRW_ATTR_INTS, false},       {"storage_order", NRW_ATTR_INT, false},
    {"strides", NRW_ATTR_INTS, false},    {0}};
static const nrw_attr_def average_attrs[] = {
    {"auto_pad", NRW_ATTR_STRING, false},       {"ceil_mode", NRW_ATTR_INT, false},
    {"count_include_pad", NRW_ATTR_INT, false}, {"dilations", NRW_ATTR_INTS, false},
    {"kernel_shape", NRW_ATTR_INTS, true},      {"pads", NRW_ATTR_INTS, false},
    {"strides", NRW_ATTR_INTS, false},          {0}};
static const nrw_attr_def lp_attrs[] = {
    {"auto_pad", NRW_ATTR_STRING, false}, {"ceil_mode", NRW_ATTR_INT, false},
    {"dilations", NRW_ATTR_INTS, false},  {"kernel_shape", NRW_ATTR_INTS, true},
    {"p", NRW_ATTR_INT, false},           {"pads", NRW_ATTR_INTS, false},
    {"strides", NRW_ATTR_INTS, false},    {0}};
static const nrw_attr_def global_lp_attrs[] = {{"p", NRW_ATTR_INT, false}, {0}};

static const nrw_case max_cases[] = {
    {"graph main(%x: f32[2,3,13,11]) {\n"
     "  %y: f32[...], %i: i64[...] = MaxPool(%x) {kernel_shape=[3, 2], pads=[1, 0, 1, 1], "
     "strides=[2, 3], ceil_mode=1}\n"
     "  return %y, %i\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[1,2,7,8,9] q(u8, scale=0.01, zero=100)) {\n"
     "  %y: f32[...] q(u8, scale=0.01, zero=100) = MaxPool(%x) {kernel_shape=[2, 3, 2], "
     "dilations=[1, 2, 1]}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[2,3,40]) {\n"
     "  %y: f32[...] = MaxPool(%x) {kernel_shape=[5], auto_pad=\"SAME_LOWER\", strides=[2]}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op max_pool_row = {
    .name = "MaxPool",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 2,
    .attrs = max_attrs,
    .infer = infer_window,
    .reference = max_pool,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"MaxPool", 1},
    .tflite = {"MAX_POOL_2D", 17},
    .aten = "aten.max_pool2d.default",
    .cases = max_cases,
};

static const nrw_case average_cases[] = {
    {"graph main(%x: f32[2,3,13,11]) {\n"
     "  %y: f32[...] = AveragePool(%x) {kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 1], "
     "count_include_pad=1}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[1,5,9,9] q(u8, scale=0.01, zero=100)) {\n"
     "  %y: f32[...] q(i8, scale=0.008, zero=-3) = AveragePool(%x) {kernel_shape=[3, 3], pads=[1, "
     "1, 1, 1]}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[1,3,6,7,8]) {\n"
     "  %y: f32[...] = AveragePool(%x) {kernel_shape=[2, 2, 3], ceil_mode=1, strides=[2, 3, 2]}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op average_pool_row = {
    .name = "AveragePool",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = average_attrs,
    .infer = infer_window,
    .reference = average_pool,
    .integer = average_pool_integer,
    .integer_ok = average_integer_ok,
    .quant = {.rule = NRW_QUANT_UNARY},
    .onnx = {"AveragePool", 1},
    .tflite = {"AVERAGE_POOL_2D", 1},
    .aten = "aten.avg_pool2d.default",
    .cases = average_cases,
};

static const nrw_case lp_cases[] = {
    {"graph main(%x: f32[2,3,13,11]) {\n"
     "  %y: f32[...] = LpPool(%x) {kernel_shape=[3, 2], p=3, strides=[2, 2]}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op lp_pool_row = {
    .name = "LpPool",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = lp_attrs,
    .infer = infer_window,
    .reference = lp_pool,
    .quant = {.rule = NRW_QUANT_UNARY},
    .onnx = {"LpPool", 2},
    .tflite = {"L2_POOL_2D", 12},
    .cases = lp_cases,
};

static const nrw_case global_max_cases[] = {
    {"graph main(%x: f32[2,5,7,6]) {\n"
     "  %y: f32[...] = GlobalMaxPool(%x)\n"
     "  return %y\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[2,5,7,6] q(i8, scale=0.01, zero=5)) {\n"
     "  %y: f32[...] q(i8, scale=0.01, zero=5) = GlobalMaxPool(%x)\n"
     "  return %y\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op global_max_pool_row = {
    .name = "GlobalMaxPool",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = infer_global,
    .reference = global_max_pool,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"GlobalMaxPool", 1},
    .cases = global_max_cases,
};

static const nrw_case global_average_cases[] = {
    {"graph main(%x: f32[2,5,7,6]) {\n"
     "  %y: f32[...] = GlobalAveragePool(%x)\n"
     "  return %y\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[2,5,7,6] q(u8, scale=0.01, zero=120)) {\n"
     "  %y: f32[...] q(u8, scale=0.002, zero=128) = GlobalAveragePool(%x)\n"
     "  return %y\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op global_average_pool_row = {
    .name = "GlobalAveragePool",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = infer_global,
    .reference = global_average_pool,
    .integer = global_average_pool_integer,
    .integer_ok = average_integer_ok,
    .quant = {.rule = NRW_QUANT_UNARY},
    .onnx = {"GlobalAveragePool", 1},
    .aten = "aten.adaptive_avg_pool2d.default",
    .cases = global_average_cases,
};

static const nrw_case global_lp_cases[] = {{"graph main(%x: f32[2,5,7,6]) {\n"
                                            "  %y: f32[...] = GlobalLpPool(%x) {p=1}\n"
                                            "  return %y\n"
                                            "}",
                                            -1, 1},
                                           {0}};

static const nrw_op global_lp_pool_row = {
    .name = "GlobalLpPool",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = global_lp_attrs,
    .infer = infer_global,
    .reference = global_lp_pool,
    .quant = {.rule = NRW_QUANT_UNARY},
    .onnx = {"GlobalLpPool", 2},
    .cases = global_lp_cases,
};

NRW_OPS(pools, &max_pool_row, &average_pool_row, &lp_pool_row, &global_max_pool_row,
        &global_average_pool_row, &global_lp_pool_row);
