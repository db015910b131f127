/* Operators that read a picture at fractional places: AffineGrid, GridSample, RoiAlign. */
#include <math.h>
#include <string.h>

#include "ops/floats.h"
#include "ops/move.h"

/* The spatial axes of a grid for 4 or 5 axes in all. */
static nrw_status affine_infer(nrw_infer *c) {
    const nrw_type *theta = c->in[0];
    int64_t size[5];
    int n;
    bool known;
    NRW_TRY(nrw_infer_ints(c, 1, "size", size, 5, &n, &known));
    if (n >= 0 && n != 4 && n != 5)
        NRW_FAIL_INPUT(c, 1, "size", "expected 4 or 5 values, got %d", n);
    if (theta->rank >= 0 && theta->rank != 3)
        NRW_FAIL_INPUT(c, 0, "theta", "expected 3 axes, got %d", theta->rank);
    NRW_TRY(nrw_infer_rank(c, n < 0 ? NRW_RANK_UNKNOWN : n));
    if (n < 0) return NRW_OK;
    c->out[0].dims[n - 1] = n - 2;
    c->out[0].dims[0] = theta->rank == 3 ? theta->dims[0] : NRW_DIM_UNKNOWN;
    int64_t want[3] = {known ? size[0] : NRW_DIM_UNKNOWN, n - 2, n - 1};
    for (int i = 0; i < theta->rank; i++) {
        if (theta->dims[i] >= 0 && want[i] >= 0 && theta->dims[i] != want[i])
            NRW_FAIL_INPUT(c, 0, "theta", "axis %d has length %lld, expected %lld", i,
                           (long long)theta->dims[i], (long long)want[i]);
    }
    for (int i = 0; known && i < n; i++) {
        if (size[i] < 0) NRW_FAIL_INPUT(c, 1, "size", "%lld is no length", (long long)size[i]);
        if (i >= 2) c->out[0].dims[i - 1] = size[i];
    }
    return NRW_OK;
}

/* The place of element i of n on [-1, 1]. */
static double grid_place(int64_t i, int64_t n, bool align) {
    if (!align) return (2 * (double)i + 1) / (double)n - 1;
    return n > 1 ? 2 * (double)i / (double)(n - 1) - 1 : -1;
}

static nrw_status affine_run(nrw_eval *e) {
    const nrw_tensor *out = &e->out[0];
    bool align = nrw_attr_int(e->node, "align_corners", 0) != 0;
    int k = out->rank - 2;
    const double *theta;
    double *y;
    NRW_TRY(nrw_doubles_in(e, 0, &theta));
    NRW_TRY(nrw_doubles_out(e, 0, &y));
    int64_t points = nrw_span(out->dims, 1, k + 1);
    for (int64_t p = 0; p < out->dims[0] * points; p++) {
        const double *t = theta + p / points * k * (k + 1);
        double at[4];
        int64_t rest = p % points;
        /* Coordinates run x, y, z: the last axis first. */
        for (int a = 0; a < k; a++) {
            int64_t n = out->dims[k - a];
            at[a] = grid_place(rest % n, n, align);
            rest /= n;
        }
        at[k] = 1;
        for (int r = 0; r < k; r++) {
            double sum = 0;
            for (int a = 0; a <= k; a++) sum += t[r * (k + 1) + a] * at[a];
            y[p * k + r] = sum;
        }
    }
    return nrw_doubles_done(e, 0, y);
}

enum { MAX_SPACE = 3, MAX_TAPS = 64 };

static nrw_status grid_infer(nrw_infer *c) {
    const nrw_type *x = c->in[0], *grid = c->in[1];
    const char *mode = nrw_attr_str(c->node, "mode", "linear");
    const char *padding = nrw_attr_str(c->node, "padding_mode", "zeros");
    if (strcmp(mode, "linear") != 0 && strcmp(mode, "nearest") != 0 && strcmp(mode, "cubic") != 0)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "mode: expected linear, nearest or cubic, got %s", mode);
    if (strcmp(padding, "zeros") != 0 && strcmp(padding, "border") != 0 &&
        strcmp(padding, "reflection") != 0)
        NRW_FAIL(c->err, NRW_ERR_SHAPE,
                 "padding_mode: expected zeros, border or reflection, got %s", padding);
    int rank = x->rank >= 0 ? x->rank : grid->rank;
    NRW_TRY(nrw_infer_rank(c, rank));
    if (rank < 0) return NRW_OK;
    if (rank < 3 || rank > MAX_SPACE + 2)
        NRW_FAIL_INPUT(c, 0, "X", "expected 3 to %d axes, got %d", MAX_SPACE + 2, rank);
    if (grid->rank >= 0 && grid->rank != rank)
        NRW_FAIL_INPUT(c, 1, "grid", "%d axes where X has %d", grid->rank, rank);
    if (x->rank >= 0) memcpy(c->out[0].dims, x->dims, 2 * sizeof *x->dims);
    for (int i = 2; i < rank; i++) {
        c->out[0].dims[i] = grid->rank >= 0 ? grid->dims[i - 1] : NRW_DIM_UNKNOWN;
        if (x->rank >= 0 && x->dims[i] == 0) NRW_FAIL_INPUT(c, 0, "X", "axis %d is empty", i);
    }
    if (grid->rank < 0) return NRW_OK;
    if (grid->dims[rank - 1] >= 0 && grid->dims[rank - 1] != rank - 2)
        NRW_FAIL_INPUT(c, 1, "grid", "%lld coordinates for %d axes",
                       (long long)grid->dims[rank - 1], rank - 2);
    if (x->rank >= 0 && x->dims[0] >= 0 && grid->dims[0] >= 0 && x->dims[0] != grid->dims[0])
        NRW_FAIL_INPUT(c, 1, "grid", "a batch of %lld where X has %lld", (long long)grid->dims[0],
                       (long long)x->dims[0]);
    return NRW_OK;
}

typedef struct grid_work {
    const double *x, *grid;
    double *y;
    char mode, padding; /* first letters */
    bool align, single; /* single: coordinates are computed in float, as the data are */
    int space;
    int64_t dims[MAX_SPACE], strides[MAX_SPACE];
    int64_t batch, channels, size, points; /* size: elements of a channel of x */
} grid_work;

/* x mirrored at lo and hi until it lies within. */
static double reflect(double x, double lo, double hi) {
    double range = hi - lo;
    if (range <= 0) return lo;
    double d = x < lo ? lo - x : x > hi ? x - hi : 0;
    if (d == 0) return x;
    double turns = trunc(d / range), rest = d - turns * range;
    bool even = fmod(turns, 2) == 0;
    return (x < lo) == even ? lo + rest : hi - rest;
}

/* The element that index i stands for, or -1 for one that counts as 0. */
static int64_t padded_index(const grid_work *w, double i, int64_t n) {
    if (i >= 0 && i <= (double)(n - 1)) return (int64_t)i;
    if (w->padding == 'z') return -1;
    if (w->padding == 'b') return i < 0 ? 0 : n - 1;
    double lo = w->align ? 0 : -0.5, r = reflect(i, lo, (double)n - 1 - lo);
    return r < 0 ? 0 : r > (double)(n - 1) ? n - 1 : (int64_t)r;
}

/* From [-1, 1] to element numbers, with the padding applied to the place itself. */
static double denormalize(const grid_work *w, double g, int64_t n) {
    double x;
    if (w->single) {
        float f = (float)g, len = (float)n;
        x = w->align ? (f + 1) / 2 * (len - 1) : ((f + 1) * len - 1) / 2;
    } else {
        x = w->align ? (g + 1) / 2 * (double)(n - 1) : ((g + 1) * (double)n - 1) / 2;
    }
    if (x != x) x = -1;
    if (w->mode == 'n') x = rint(x);
    double lo = w->align ? 0 : -0.5, hi = (double)n - 1 - lo;
    if (x >= lo && x <= hi) return x;
    if (w->padding == 'b') return x < 0 ? 0 : (double)(n - 1);
    if (w->padding == 'r') return reflect(x, lo, hi);
    /* Far outside is as good as outside; the taps around must stay representable. */
    return x < -1e9 ? -1e9 : x > 1e9 ? 1e9 : x;
}

/* Cubic convolution with a = -0.75 (Keys 1981, eq. 4) for the distances 1 + t, t, 1 - t, 2 - t. */
static void cubic_weights(double t, double *w) {
    const double a = -0.75;
    double u = 1 - t;
    w[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
    w[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    w[2] = ((a + 2) * u - (a + 3)) * u * u + 1;
    w[3] = ((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a;
}

/* The elements that one place reads, and their weights. */
static int point_taps(const grid_work *w, const double *g, int64_t *offsets, double *weights) {
    int n = 1;
    offsets[0] = 0;
    weights[0] = 1;
    for (int a = 0; a < w->space; a++) {
        double x = denormalize(w, g[w->space - 1 - a], w->dims[a]), first = floor(x), axis[4] = {1};
        int taps = 1;
        if (w->mode == 'l') {
            taps = 2;
            axis[0] = 1 - (x - first);
            axis[1] = x - first;
        } else if (w->mode == 'c') {
            taps = 4;
            cubic_weights(x - first, axis);
            first -= 1;
        }
        /* From the back, so that the taps so far are still there to be multiplied out. */
        for (int i = n - 1; i >= 0; i--) {
            int64_t base = offsets[i];
            double weight = weights[i];
            for (int k = taps - 1; k >= 0; k--) {
                int64_t at = padded_index(w, first + k, w->dims[a]);
                offsets[i * taps + k] = at < 0 || base < 0 ? -1 : base + at * w->strides[a];
                weights[i * taps + k] = weight * axis[k];
            }
        }
        n *= taps;
    }
    return n;
}

enum { POINTS_PER_TASK = 256 };

static void grid_task(void *arg, int64_t task, int worker) {
    const grid_work *w = arg;
    int64_t end = (task + 1) * POINTS_PER_TASK, total = w->batch * w->points;
    if (end > total) end = total;
    for (int64_t p = task * POINTS_PER_TASK; p < end; p++) {
        int64_t offsets[MAX_TAPS], b = p / w->points;
        double weights[MAX_TAPS];
        int n = point_taps(w, w->grid + p * w->space, offsets, weights);
        for (int64_t c = 0; c < w->channels; c++) {
            const double *x = w->x + (b * w->channels + c) * w->size;
            double sum = 0;
            for (int i = 0; i < n; i++) {
                if (offsets[i] >= 0) sum += weights[i] * x[offsets[i]];
            }
            w->y[(b * w->channels + c) * w->points + p % w->points] = sum;
        }
    }
}

static nrw_status grid_run(nrw_eval *e) {
    const nrw_tensor *x = e->in[0], *out = &e->out[0];
    grid_work w = {.mode = nrw_attr_str(e->node, "mode", "linear")[0],
                   .padding = nrw_attr_str(e->node, "padding_mode", "zeros")[0],
                   .align = nrw_attr_int(e->node, "align_corners", 0) != 0,
                   .single = e->in[1]->dtype != NRW_F64,
                   .space = x->rank - 2,
                   .batch = x->dims[0],
                   .channels = x->dims[1],
                   .size = nrw_span(x->dims, 2, x->rank),
                   .points = nrw_span(out->dims, 2, out->rank)};
    memcpy(w.dims, x->dims + 2, (size_t)w.space * sizeof *w.dims);
    nrw_strides(w.space, w.dims, w.strides);
    NRW_TRY(nrw_doubles_in(e, 0, &w.x));
    NRW_TRY(nrw_doubles_in(e, 1, &w.grid));
    NRW_TRY(nrw_doubles_out(e, 0, &w.y));
    int64_t total = w.batch * w.points;
    nrw_pool_run(e->pool, (total + POINTS_PER_TASK - 1) / POINTS_PER_TASK, grid_task, &w);
    return nrw_doubles_done(e, 0, w.y);
}

static nrw_status roi_infer(nrw_infer *c) {
    const nrw_type *x = c->in[0], *rois = c->in[1], *batch = c->in[2];
    const char *mode = nrw_attr_str(c->node, "mode", "avg");
    const char *how = nrw_attr_str(c->node, "coordinate_transformation_mode", "half_pixel");
    if (strcmp(mode, "avg") != 0 && strcmp(mode, "max") != 0)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "mode: expected avg or max, got %s", mode);
    if (strcmp(how, "half_pixel") != 0 && strcmp(how, "output_half_pixel") != 0)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "coordinate_transformation_mode: %s", how);
    if (x->rank >= 0 && x->rank != 4) NRW_FAIL_INPUT(c, 0, "X", "expected 4 axes, got %d", x->rank);
    if (rois->rank >= 0 && (rois->rank != 2 || (rois->dims[1] >= 0 && rois->dims[1] != 4)))
        NRW_FAIL_INPUT(c, 1, "rois", "expected [rois, 4]");
    if (batch->rank >= 0 && batch->rank != 1)
        NRW_FAIL_INPUT(c, 2, "batch_indices", "expected one axis, got %d", batch->rank);
    int64_t from_rois = rois->rank == 2 ? rois->dims[0] : NRW_DIM_UNKNOWN;
    int64_t from_batch = batch->rank == 1 ? batch->dims[0] : NRW_DIM_UNKNOWN;
    if (from_rois >= 0 && from_batch >= 0 && from_rois != from_batch)
        NRW_FAIL_INPUT(c, 2, "batch_indices", "%lld indices for %lld rois", (long long)from_batch,
                       (long long)from_rois);
    NRW_TRY(nrw_infer_rank(c, 4));
    int64_t *out = c->out[0].dims;
    out[0] = from_rois >= 0 ? from_rois : from_batch;
    out[1] = x->rank == 4 ? x->dims[1] : NRW_DIM_UNKNOWN;
    out[2] = nrw_attr_int(c->node, "output_height", 1);
    out[3] = nrw_attr_int(c->node, "output_width", 1);
    if (out[2] < 1 || out[3] < 1)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "output_height and output_width must be positive");
    if (nrw_attr_int(c->node, "sampling_ratio", 0) < 0)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "sampling_ratio: is negative");
    return NRW_OK;
}

/* One bilinear sample: four elements of the picture. */
typedef struct sample {
    int64_t at[4];
    double weight[4];
} sample;

static sample roi_sample(double y, double x, int64_t height, int64_t width) {
    sample s = {{0}, {0}};
    if (y < -1 || y > (double)height || x < -1 || x > (double)width) return s;
    double at[2] = {y > 0 ? y : 0, x > 0 ? x : 0}, part[2];
    int64_t n[2] = {height, width}, low[2], high[2];
    for (int a = 0; a < 2; a++) {
        low[a] = (int64_t)at[a];
        if (low[a] >= n[a] - 1) {
            low[a] = high[a] = n[a] - 1;
            at[a] = (double)low[a];
        } else {
            high[a] = low[a] + 1;
        }
        part[a] = at[a] - (double)low[a];
    }
    for (int k = 0; k < 4; k++) {
        int64_t row = k & 2 ? high[0] : low[0], column = k & 1 ? high[1] : low[1];
        s.at[k] = row * width + column;
        s.weight[k] = (k & 2 ? part[0] : 1 - part[0]) * (k & 1 ? part[1] : 1 - part[1]);
    }
    return s;
}

typedef struct roi_box {
    double start[2], bin[2]; /* y, x */
    int64_t grid[2];
} roi_box;

/* More samples than this along one axis of a bin make no sense of any picture. */
#define MAX_ROI_SAMPLES 65536

static nrw_status roi_of(nrw_eval *e, const double *roi, roi_box *box) {
    const nrw_tensor *out = &e->out[0];
    bool half = nrw_attr_str(e->node, "coordinate_transformation_mode", "half_pixel")[0] == 'h';
    double scale = nrw_attr_float(e->node, "spatial_scale", 1), offset = half ? 0.5 : 0;
    int64_t ratio = nrw_attr_int(e->node, "sampling_ratio", 0);
    for (int a = 0; a < 2; a++) {
        double start = roi[1 - a] * scale - offset, size = roi[3 - a] * scale - offset - start;
        if (!half && size < 1) size = 1;
        box->start[a] = start;
        box->bin[a] = size / (double)out->dims[2 + a];
        double samples = ratio > 0 ? (double)ratio : ceil(box->bin[a]);
        if (!(samples <= MAX_ROI_SAMPLES && fabs(start) < 1e15))
            NRW_FAIL(e->err, NRW_ERR_DATA, "input 1 (rois): a region of length %g", size);
        box->grid[a] = samples > 0 ? (int64_t)samples : 0;
    }
    return NRW_OK;
}

/* All bins of one region in one channel. */
static void roi_channel(const roi_box *box, const double *x, const int64_t *x_dims, double *y,
                        int64_t rows, int64_t columns, bool max) {
    int64_t count = box->grid[0] * box->grid[1];
    for (int64_t bin = 0; bin < rows * columns; bin++) {
        int64_t cell[2] = {bin / columns, bin % columns};
        double result = 0;
        for (int64_t i = 0; i < count; i++) {
            int64_t step[2] = {i / box->grid[1], i % box->grid[1]};
            double at[2];
            for (int a = 0; a < 2; a++) {
                at[a] = box->start[a] + (double)cell[a] * box->bin[a] +
                        ((double)step[a] + 0.5) * box->bin[a] / (double)box->grid[a];
            }
            sample s = roi_sample(at[0], at[1], x_dims[2], x_dims[3]);
            double v[4];
            for (int k = 0; k < 4; k++) v[k] = s.weight[k] * x[s.at[k]];
            if (max) {
                double top = fmax(fmax(v[0], v[1]), fmax(v[2], v[3]));
                result = i == 0 ? top : fmax(result, top);
            } else {
                result += v[0] + v[1] + v[2] + v[3];
            }
        }
        y[bin] = max || count == 0 ? result : result / (double)count;
    }
}

typedef struct roi_work {
    const roi_box *boxes;
    const int64_t *batch, *x_dims, *y_dims;
    const double *x;
    double *y;
    bool max;
} roi_work;

static void roi_task(void *arg, int64_t i, int worker) {
    const roi_work *w = arg;
    int64_t channels = w->x_dims[1], roi = i / channels, channel = i % channels;
    int64_t picture = w->x_dims[2] * w->x_dims[3], bins = w->y_dims[2] * w->y_dims[3];
    roi_channel(&w->boxes[roi], w->x + (w->batch[roi] * channels + channel) * picture, w->x_dims,
                w->y + i * bins, w->y_dims[2], w->y_dims[3], w->max);
}

static nrw_status roi_run(nrw_eval *e) {
    const nrw_tensor *x = e->in[0], *out = &e->out[0];
    int64_t n = out->dims[0], *batch;
    const double *rois;
    roi_work w = {.x_dims = x->dims,
                  .y_dims = out->dims,
                  .max = nrw_attr_str(e->node, "mode", "avg")[0] == 'm'};
    if (nrw_tensor_count(out) == 0) return NRW_OK;
    if (x->dims[2] == 0 || x->dims[3] == 0)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 0 (X): the picture is empty");
    NRW_TRY(nrw_read_indices_in(e, 2, x->dims[0], &batch));
    NRW_TRY(nrw_doubles_in(e, 0, &w.x));
    NRW_TRY(nrw_doubles_in(e, 1, &rois));
    NRW_TRY(nrw_doubles_out(e, 0, &w.y));
    roi_box *boxes = nrw_eval_scratch(e, n, sizeof *boxes);
    if (boxes == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < n; i++) NRW_TRY(roi_of(e, rois + 4 * i, &boxes[i]));
    w.boxes = boxes;
    w.batch = batch;
    nrw_pool_run(e->pool, n * x->dims[1], roi_task, &w);
    return nrw_doubles_done(e, 0, w.y);
}

static const nrw_attr_def affine_attrs[] = {{"align_corners", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def grid_attrs[] = {{"align_corners", NRW_ATTR_INT, false},
                                          {"mode", NRW_ATTR_STRING, false},
                                          {"padding_mode", NRW_ATTR_STRING, false},
                                          {0}};
static const nrw_attr_def roi_attrs[] = {{"coordinate_transformation_mode", NRW_ATTR_STRING, false},
                                         {"mode", NRW_ATTR_STRING, false},
                                         {"output_height", NRW_ATTR_INT, false},
                                         {"output_width", NRW_ATTR_INT, false},
                                         {"sampling_ratio", NRW_ATTR_INT, false},
                                         {"spatial_scale", NRW_ATTR_FLOAT, false},
                                         {0}};

static const nrw_case affine_cases[] = {
    {"graph main(%t: f32[2,2,3]) { "
     "  const %s: i64[4] = [2, 1, 4, 5] "
     "  %y: f32[2,4,5,2] = AffineGrid(%t, %s) {align_corners=1} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op affine_row = {
    .name = "AffineGrid",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = affine_attrs,
    .infer = affine_infer,
    .reference = affine_run,
    .onnx = {"AffineGrid", 20},
    .aten = "aten.affine_grid_generator.default",
    .cases = affine_cases,
};
static const nrw_case grid_cases[] = {{"graph main(%x: f32[2,3,4,5], %g: f32[2,3,3,2]) { "
                                       "  %y: f32[2,3,3,3] = GridSample(%x, %g) "
                                       "  return %y } ",
                                       -1, 1},
                                      {"graph main(%x: f32[1,2,4,5], %g: f32[1,3,3,2]) { "
                                       "  %y: f32[1,2,3,3] = GridSample(%x, %g) {mode=\"cubic\", "
                                       "padding_mode=\"reflection\", align_corners=1} "
                                       "  return %y } ",
                                       -1, 1},
                                      {0}};
static const nrw_op grid_row = {
    .name = "GridSample",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = grid_attrs,
    .infer = grid_infer,
    .reference = grid_run,
    .onnx = {"GridSample", 16},
    .aten = "aten.grid_sampler.default",
    .cases = grid_cases,
};
static const nrw_case roi_cases[] = {
    {"graph main(%x: f32[2,3,8,8]) { "
     "  const %r: f32[2,4] = [0, 0, 5, 6, 1.5, 2, 7, 7] "
     "  const %b: i64[2] = [1, 0] "
     "  %y: f32[2,3,2,2] = RoiAlign(%x, %r, %b) {output_height=2, output_width=2, "
     "sampling_ratio=2} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op roi_row = {
    .name = "RoiAlign",
    .domain = "",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = roi_attrs,
    .infer = roi_infer,
    .reference = roi_run,
    .onnx = {"RoiAlign", 10},
    .aten = "torchvision.roi_align.default",
    .cases = roi_cases,
};

NRW_OPS(sampling, &affine_row, &grid_row, &roi_row);
