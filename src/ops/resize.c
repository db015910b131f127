/* Resize. Interpolation is separable: one weighted pass per axis whose length changes; nearest
 * neighbours are picked in one go and only move elements. */
#include <math.h>
#include <string.h>

#include "ops/floats.h"
#include "ops/op.h"
#include "ops/vmath.h"

/* About this many multiplications make a task. */
#define TASK_ELEMENTS 32768

typedef enum resize_mode { NEAREST, LINEAR, CUBIC } resize_mode;
typedef enum resize_coordinates {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_CROP_AND_RESIZE
} resize_coordinates;
typedef enum resize_nearest { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL } resize_nearest;
typedef enum resize_aspect { STRETCH, NOT_LARGER, NOT_SMALLER } resize_aspect;

typedef struct resize_plan {
    resize_mode mode;
    resize_coordinates coordinates;
    resize_nearest nearest;
    resize_aspect aspect;
    bool antialias, exclude_outside;
    double cubic_a, fill;
    int rank, n_axes, axes[NRW_MAX_RANK];
    int64_t in[NRW_MAX_RANK], out[NRW_MAX_RANK]; /* unknown lengths are < 0 */
    double scale[NRW_MAX_RANK];
    double roi_from[NRW_MAX_RANK], roi_to[NRW_MAX_RANK];
    bool resized[NRW_MAX_RANK];
} resize_plan;

static nrw_status read_word(const nrw_node *n, const char *name, const char *const *words, int *out,
                            nrw_error *err) {
    const char *s = nrw_attr_str(n, name, words[0]);
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(s, words[i]) == 0) {
            *out = i;
            return NRW_OK;
        }
    }
    NRW_FAIL(err, NRW_ERR_SHAPE, "%s: unknown value '%s'", name, s);
}

static nrw_status read_words(const nrw_node *n, resize_plan *p, nrw_error *err) {
    static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
    static const char *const coordinates[] = {"half_pixel",
                                              "half_pixel_symmetric",
                                              "pytorch_half_pixel",
                                              "align_corners",
                                              "asymmetric",
                                              "tf_crop_and_resize",
                                              NULL};
    static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                          "ceil", NULL};
    static const char *const aspects[] = {"stretch", "not_larger", "not_smaller", NULL};
    int word = 0;
    NRW_TRY(read_word(n, "mode", modes, &word, err));
    p->mode = (resize_mode)word;
    NRW_TRY(read_word(n, "coordinate_transformation_mode", coordinates, &word, err));
    p->coordinates = (resize_coordinates)word;
    NRW_TRY(read_word(n, "nearest_mode", nearest, &word, err));
    p->nearest = (resize_nearest)word;
    NRW_TRY(read_word(n, "keep_aspect_ratio_policy", aspects, &word, err));
    p->aspect = (resize_aspect)word;
    p->antialias = nrw_attr_int(n, "antialias", 0) != 0;
    if (p->antialias && p->mode == NEAREST) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "antialias does not go with mode nearest");
    }
    p->exclude_outside = nrw_attr_int(n, "exclude_outside", 0) != 0;
    p->cubic_a = (double)nrw_attr_float(n, "cubic_coeff_a", -0.75F);
    p->fill = (double)nrw_attr_float(n, "extrapolation_value", 0);
    return NRW_OK;
}

static nrw_status read_axes(const nrw_node *n, resize_plan *p, nrw_error *err) {
    int64_t count;
    const int64_t *axes = nrw_attr_ints(n, "axes", &count);
    if (axes == NULL) count = p->rank;
    if (count > p->rank) NRW_FAIL(err, NRW_ERR_SHAPE, "axes: more than the input has");
    bool seen[NRW_MAX_RANK] = {false};
    for (int i = 0; i < (int)count; i++) {
        int64_t a = axes != NULL ? axes[i] : i;
        if (!nrw_normalize_axis(&a, p->rank) || seen[a]) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "axes: %lld is out of range or there twice", (long long)a);
        }
        seen[a] = true;
        p->axes[i] = (int)a;
    }
    p->n_axes = (int)count;
    return NRW_OK;
}

/* The longest length that Resize makes: more is a mistake in the model. */
#define LONGEST ((double)((int64_t)1 << 40))

static nrw_status apply_scales(resize_plan *p, const nrw_tensor *t, nrw_error *err) {
    float scales[NRW_MAX_RANK];
    if (nrw_tensor_count(t) != p->n_axes) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "input 2 (scales): expected %d values", p->n_axes);
    }
    NRW_TRY(nrw_to_f32(t->dtype, t->data, scales, p->n_axes, err));
    for (int i = 0; i < p->n_axes; i++) {
        int a = p->axes[i];
        if (!(scales[i] > 0) || !isfinite(scales[i])) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "input 2 (scales): %g is out of range", (double)scales[i]);
        }
        p->scale[a] = (double)scales[i];
        if (p->in[a] < 0) {
            if (scales[i] != 1) p->out[a] = NRW_DIM_UNKNOWN;
            continue;
        }
        /* In float, as everyone computes it. */
        float length = floorf((float)p->in[a] * scales[i]);
        if ((double)length > LONGEST) NRW_FAIL(err, NRW_ERR_SHAPE, "input 2 (scales): too large");
        p->out[a] = (int64_t)length;
    }
    return NRW_OK;
}

static nrw_status apply_sizes(resize_plan *p, const nrw_tensor *t, nrw_error *err) {
    int64_t sizes[NRW_MAX_RANK];
    int n;
    NRW_TRY(nrw_tensor_ints(t, sizes, NRW_MAX_RANK, &n, err));
    if (n != p->n_axes) NRW_FAIL(err, NRW_ERR_SHAPE, "input 3 (sizes): expected %d", p->n_axes);
    double common = 0;
    bool known = true;
    for (int i = 0; i < n; i++) {
        int a = p->axes[i];
        if (sizes[i] < 0 || (double)sizes[i] > LONGEST) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "input 3 (sizes): %lld is out of range",
                     (long long)sizes[i]);
        }
        p->out[a] = sizes[i];
        if (p->in[a] <= 0) {
            known = false;
            continue;
        }
        p->scale[a] = (double)sizes[i] / (double)p->in[a];
        bool first = i == 0, smaller = p->scale[a] < common;
        if (first || smaller == (p->aspect == NOT_LARGER)) common = p->scale[a];
    }
    if (p->aspect == STRETCH) return NRW_OK;
    for (int i = 0; i < n; i++) {
        int a = p->axes[i];
        p->scale[a] = common;
        p->out[a] = known ? (int64_t)floor(common * (double)p->in[a] + 0.5) : NRW_DIM_UNKNOWN;
    }
    return NRW_OK;
}

static bool is_there(const nrw_tensor *t) {
    return t != NULL && nrw_tensor_count(t) > 0;
}

static nrw_status read_roi(resize_plan *p, const nrw_tensor *t, nrw_error *err) {
    float roi[2 * NRW_MAX_RANK];
    if (p->coordinates != TF_CROP_AND_RESIZE || t == NULL) return NRW_OK;
    if (nrw_tensor_count(t) != 2 * p->n_axes) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "input 1 (roi): expected %d values", 2 * p->n_axes);
    }
    NRW_TRY(nrw_to_f32(t->dtype, t->data, roi, 2 * p->n_axes, err));
    for (int i = 0; i < p->n_axes; i++) {
        p->roi_from[p->axes[i]] = (double)roi[i];
        p->roi_to[p->axes[i]] = (double)roi[p->n_axes + i];
    }
    return NRW_OK;
}

/* data: the four inputs' values as far as they are known. */
static nrw_status make_plan(const nrw_node *n, const nrw_type *x, const nrw_tensor *const *data,
                            int n_in, bool has_scales, bool has_sizes, resize_plan *p,
                            nrw_error *err) {
    memset(p, 0, sizeof *p);
    p->rank = x->rank;
    NRW_TRY(read_words(n, p, err));
    NRW_TRY(read_axes(n, p, err));
    for (int a = 0; a < p->rank; a++) {
        p->in[a] = p->out[a] = x->dims[a];
        p->scale[a] = p->roi_to[a] = 1;
    }
    const nrw_tensor *roi = n_in > 1 ? data[1] : NULL;
    const nrw_tensor *scales = n_in > 2 ? data[2] : NULL, *sizes = n_in > 3 ? data[3] : NULL;
    NRW_TRY(read_roi(p, roi, err));
    if (is_there(scales)) {
        if (is_there(sizes)) NRW_FAIL(err, NRW_ERR_SHAPE, "both scales and sizes are there");
        NRW_TRY(apply_scales(p, scales, err));
    } else if (is_there(sizes)) {
        NRW_TRY(apply_sizes(p, sizes, err));
    } else if ((has_scales && scales == NULL) || (has_sizes && sizes == NULL)) {
        for (int i = 0; i < p->n_axes; i++) p->out[p->axes[i]] = NRW_DIM_UNKNOWN;
    } else {
        NRW_FAIL(err, NRW_ERR_SHAPE, "neither scales nor sizes is there");
    }
    for (int a = 0; a < p->rank; a++) {
        bool whole = p->roi_from[a] == 0 && p->roi_to[a] == 1;
        p->resized[a] = p->out[a] != p->in[a] || fabs(p->scale[a] - 1) > 1e-9 || !whole;
        if (p->in[a] == 0 && p->out[a] > 0) NRW_FAIL(err, NRW_ERR_SHAPE, "nothing to resize from");
    }
    return NRW_OK;
}

static nrw_status infer(nrw_infer *c) {
    c->out[0].dtype = c->in[0]->dtype;
    if (c->in[0]->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    resize_plan p;
    NRW_TRY(make_plan(c->node, c->in[0], c->data, c->n_in, c->n_in > 2 && c->in[2] != NULL,
                      c->n_in > 3 && c->in[3] != NULL, &p, c->err));
    c->out[0] = nrw_type_make(c->in[0]->dtype, p.rank, p.out);
    return NRW_OK;
}

/* Where output position o of an axis lies in the input; false: outside (tf_crop_and_resize). */
static bool source(const resize_plan *p, int a, int64_t o, double *at) {
    double in = (double)p->in[a], scale = p->scale[a], length = scale * in, x = (double)o;
    switch (p->coordinates) {
    case HALF_PIXEL:
        *at = (x + 0.5) / scale - 0.5;
        break;
    case HALF_PIXEL_SYMMETRIC:
        *at = in / 2 * (1 - (double)p->out[a] / length) + (x + 0.5) / scale - 0.5;
        break;
    case PYTORCH_HALF_PIXEL:
        *at = p->out[a] > 1 ? (x + 0.5) / scale - 0.5 : 0;
        break;
    case ALIGN_CORNERS:
        *at = length == 1 ? 0 : x * (in - 1) / (length - 1);
        break;
    case ASYMMETRIC:
        *at = x / scale;
        break;
    case TF_CROP_AND_RESIZE: {
        double size = p->roi_to[a] - p->roi_from[a];
        *at = length == 1 ? size * (in - 1) / 2 : x * size * (in - 1) / (length - 1);
        *at += p->roi_from[a] * (in - 1);
        return *at >= 0 && *at <= in - 1;
    }
    }
    return true;
}

static int64_t clamped(double index, int64_t n) {
    return index <= 0 ? 0 : index >= (double)(n - 1) ? n - 1 : (int64_t)index;
}

/* Keys' cubic kernel with parameter a ("Cubic Convolution Interpolation for Digital Image
 * Processing", 1981, eq. 8), and the triangle. */
static double kernel_at(const resize_plan *p, double x) {
    double a = p->cubic_a;
    x = fabs(x);
    if (p->mode == LINEAR) return x < 1 ? 1 - x : 0;
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* Taps and weights for every output position of an axis. Antialiasing stretches the kernel by
 * 1 / scale when the axis shrinks. */
static nrw_status resize_table(nrw_eval *e, const resize_plan *p, int a, int64_t *taps,
                               int64_t **index, double **weight) {
    double stretch = p->antialias && p->scale[a] < 1 ? p->scale[a] : 1;
    double reach = p->mode == LINEAR ? 1 : 2;
    int64_t start = (int64_t)floor(-reach / stretch) + 1, n = 2 - 2 * start, size;
    *taps = n;
    if (!nrw_mul_i64(p->out[a], n, &size)) NRW_OOM(e->err);
    *index = nrw_eval_scratch(e, size, sizeof **index);
    *weight = nrw_eval_scratch(e, size, sizeof **weight);
    if (*index == NULL || *weight == NULL) NRW_OOM(e->err);
    for (int64_t o = 0; o < p->out[a]; o++) {
        int64_t *to = *index + o * n;
        double *w = *weight + o * n, at, sum = 0;
        bool inside = source(p, a, o, &at);
        double base = floor(at), ratio = at - base;
        for (int64_t t = 0; t < n; t++) {
            double from = base + (double)(start + t);
            bool outside = from < 0 || from > (double)(p->in[a] - 1);
            w[t] = kernel_at(p, stretch * ((double)(start + t) - ratio));
            if (outside && p->exclude_outside) w[t] = 0;
            to[t] = clamped(w[t] != 0 ? from : base, p->in[a]);
            sum += w[t];
        }
        bool normalize = stretch < 1 || p->exclude_outside;
        for (int64_t t = 0; normalize && sum != 0 && t < n; t++) w[t] /= sum;
        if (!inside) to[0] = -1;
    }
    return NRW_OK;
}

#define REAL   float
#define JOB    job_f32
#define ALONG  along_f32
#define ACROSS across_f32
#define TASK   task_f32
#define RESIZE resize_f32
#define IN     nrw_floats_in
#define OUT    nrw_floats_out
#define DONE   nrw_floats_done
#include "ops/resize_tmpl.h"

#define REAL   double
#define JOB    job_f64
#define ALONG  along_f64
#define ACROSS across_f64
#define TASK   task_f64
#define RESIZE resize_f64
#define IN     nrw_doubles_in
#define OUT    nrw_doubles_out
#define DONE   nrw_doubles_done
#include "ops/resize_tmpl.h"

/* Nearest neighbours: elements move as they are. */
typedef struct nearest_job {
    const resize_plan *p;
    const char *x;
    char *y;
    const int64_t *index[NRW_MAX_RANK]; /* -1: outside */
    int64_t stride[NRW_MAX_RANK], rows, rows_per_task;
    int size;
    char fill[16];
} nearest_job;

static nrw_status nearest_table(nrw_eval *e, const resize_plan *p, int a, const int64_t **out) {
    int64_t *index = nrw_eval_scratch(e, p->out[a], sizeof *index);
    if (index == NULL) NRW_OOM(e->err);
    for (int64_t o = 0; o < p->out[a]; o++) {
        double at = (double)o;
        bool inside = !p->resized[a] || source(p, a, o, &at);
        double base = floor(at), ratio = at - base;
        bool up =
            ratio > 0 && (p->nearest == CEIL || (p->nearest == ROUND_PREFER_FLOOR && ratio > 0.5) ||
                          (p->nearest == ROUND_PREFER_CEIL && ratio >= 0.5));
        index[o] = inside ? clamped(base + up, p->in[a]) : -1;
    }
    *out = index;
    return NRW_OK;
}

static void nearest_row(const nearest_job *j, int64_t row) {
    int last = j->p->rank - 1;
    int64_t n = j->p->out[last], from = 0, rest = row;
    const int64_t *index = j->index[last];
    bool inside = true;
    for (int a = last - 1; a >= 0; a--) {
        int64_t i = j->index[a][rest % j->p->out[a]];
        rest /= j->p->out[a];
        inside = inside && i >= 0;
        from += i * j->stride[a];
    }
    const char *x = inside ? j->x + from * j->size : NULL;
    char *y = j->y + row * n * j->size;
    for (int64_t o = 0; o < n; o++) {
        const char *p = inside && index[o] >= 0 ? x + index[o] * j->size : j->fill;
        switch (j->size) {
        case 1:
            y[o] = *p;
            break;
        case 4:
            memcpy(y + o * 4, p, 4);
            break;
        default:
            memcpy(y + o * j->size, p, (size_t)j->size);
        }
    }
}

static void nearest_task(void *arg, int64_t task, int worker) {
    const nearest_job *j = arg;
    int64_t end = (task + 1) * j->rows_per_task;
    for (int64_t r = task * j->rows_per_task; r < end && r < j->rows; r++) nearest_row(j, r);
}

static nrw_status run_nearest(nrw_eval *e, const resize_plan *p) {
    nearest_job j = {.p = p, .x = e->in[0]->data, .y = e->out[0].data, .rows = 1};
    j.size = nrw_dtype_size(e->in[0]->dtype);
    if (p->coordinates == TF_CROP_AND_RESIZE) {
        NRW_TRY(nrw_from_f64(e->in[0]->dtype, &p->fill, j.fill, 1, e->err));
    }
    nrw_strides(p->rank, p->in, j.stride);
    for (int a = 0; a < p->rank; a++) {
        NRW_TRY(nearest_table(e, p, a, &j.index[a]));
        if (a < p->rank - 1) j.rows *= p->out[a];
    }
    j.rows_per_task = TASK_ELEMENTS / (p->out[p->rank - 1] + 1) + 1;
    nrw_pool_run(e->pool, (j.rows + j.rows_per_task - 1) / j.rows_per_task, nearest_task, &j);
    return NRW_OK;
}

static nrw_status resize(nrw_eval *e) {
    const nrw_type x = nrw_type_of(e->in[0]);
    resize_plan p;
    NRW_TRY(make_plan(e->node, &x, e->in, e->n_in, e->n_in > 2 && e->in[2] != NULL,
                      e->n_in > 3 && e->in[3] != NULL, &p, e->err));
    if (nrw_tensor_count(&e->out[0]) == 0) return NRW_OK;
    if (p.rank == 0) {
        memcpy(e->out[0].data, e->in[0]->data, (size_t)nrw_dtype_size(x.dtype));
        return NRW_OK;
    }
    if (p.mode == NEAREST) return run_nearest(e, &p);
    /* Integers wider than f32's 24 bits go through double. */
    bool narrow =
        x.dtype != NRW_F64 && (nrw_dtype_is_float(x.dtype) || nrw_dtype_size(x.dtype) < 3);
    return narrow ? resize_f32(e, &p) : resize_f64(e, &p);
}

/* Picking neighbours needs no arithmetic on the values. */
static bool integer_ok(const nrw_node *n) {
    const nrw_quant *x = n->inputs[0]->quant;
    return strcmp(nrw_attr_str(n, "mode", "nearest"), "nearest") == 0 &&
           strcmp(nrw_attr_str(n, "coordinate_transformation_mode", ""), "tf_crop_and_resize") !=
               0 &&
           x != NULL && x->axis < 0 && !x->dynamic && nrw_quant_equal(x, n->outputs[0]->quant);
}

static const nrw_attr_def attrs[] = {{"antialias", NRW_ATTR_INT, false},
                                     {"axes", NRW_ATTR_INTS, false},
                                     {"coordinate_transformation_mode", NRW_ATTR_STRING, false},
                                     {"cubic_coeff_a", NRW_ATTR_FLOAT, false},
                                     {"exclude_outside", NRW_ATTR_INT, false},
                                     {"extrapolation_value", NRW_ATTR_FLOAT, false},
                                     {"keep_aspect_ratio_policy", NRW_ATTR_STRING, false},
                                     {"mode", NRW_ATTR_STRING, false},
                                     {"nearest_mode", NRW_ATTR_STRING, false},
                                     {0}};

static const nrw_case cases[] = {
    {"graph main(%x: f32[1,3,7,9]) {\n"
     "  const %s: f32[4] = [1, 1, 2, 1.5]\n"
     "  %y: f32[...] = Resize(%x, _, %s) {mode=\"linear\"}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[1,3,7,9] q(u8, scale=0.01, zero=100)) {\n"
     "  const %s: i64[2] = [14, 5]\n"
     "  %y: f32[...] q(u8, scale=0.01, zero=100) = Resize(%x, _, _, %s) {axes=[2, 3], "
     "coordinate_transformation_mode=\"asymmetric\", nearest_mode=\"floor\"}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[1,2,12,10]) {\n"
     "  const %s: i64[4] = [1, 2, 5, 7]\n"
     "  %y: f32[...] = Resize(%x, _, _, %s) {mode=\"cubic\", antialias=1, exclude_outside=1}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op resize_row = {
    .name = "Resize",
    .domain = "",
    .min_in = 1,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = resize,
    .integer = resize,
    .integer_ok = integer_ok,
    .quant = {.rule = NRW_QUANT_SAME_SCALE},
    .onnx = {"Resize", 10},
    .aten = "aten.upsample_bilinear2d.vec",
    .cases = cases,
};

NRW_OPS(resize, &resize_row);
