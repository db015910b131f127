/* Normalizations: BatchNormalization, InstanceNormalization, GroupNormalization,
 * LayerNormalization, RMSNormalization and LRN. f16 and bf16 compute in f32 and round once. */
#include <math.h>
#include <string.h>

#include "ops/floats.h"
#include "ops/op.h"
#include "ops/vmath.h"

/* About this many elements make a task. */
#define TASK_ELEMENTS 8192

#define REAL         float
#define IN           nrw_floats_in
#define OUT          nrw_floats_out
#define DONE         nrw_floats_done
#define JOB          job_f32
#define SUM_OF       sum_f32
#define SQUARES_OF   squares_f32
#define SQUARE       square_f32
#define STATS        stats_f32
#define LAYER_ROW    layer_row_f32
#define LAYER_TASK   layer_task_f32
#define AFFINE       affine_f32
#define CHANNEL_TASK channel_task_f32
#define RUN          run_f32
#define SPREAD       spread_f32
#define LAYER        layer_f32
#define GROUPS       groups_f32
#define BATCH_STATS  batch_stats_f32
#define BATCH        batch_f32
#include "ops/norms_tmpl.h"

#define REAL         double
#define IN           nrw_doubles_in
#define OUT          nrw_doubles_out
#define DONE         nrw_doubles_done
#define JOB          job_f64
#define SUM_OF       sum_f64
#define SQUARES_OF   squares_f64
#define SQUARE       square_f64
#define STATS        stats_f64
#define LAYER_ROW    layer_row_f64
#define LAYER_TASK   layer_task_f64
#define AFFINE       affine_f64
#define CHANNEL_TASK channel_task_f64
#define RUN          run_f64
#define SPREAD       spread_f64
#define LAYER        layer_f64
#define GROUPS       groups_f64
#define BATCH_STATS  batch_stats_f64
#define BATCH        batch_f64
#include "ops/norms_tmpl.h"

/* Shape rules. */

/* Inputs first … last hold one number per channel of input 0. */
static nrw_status check_channels(nrw_infer *c, int first, int last) {
    const nrw_type *x = c->in[0];
    if (x->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (x->rank < 1) NRW_FAIL_INPUT(c, 0, "X", "a scalar has no channels");
    int64_t channels = x->rank > 1 ? x->dims[1] : 1;
    for (int i = first; i <= last; i++) {
        const nrw_type *t = c->in[i];
        if (t == NULL || t->rank == NRW_RANK_UNKNOWN) continue;
        if (t->rank != 1) NRW_FAIL_INPUT(c, i, "per channel", "rank %d instead of 1", t->rank);
        if (channels >= 0 && t->dims[0] >= 0 && t->dims[0] != channels) {
            NRW_FAIL_INPUT(c, i, "per channel", "%lld values for %lld channels",
                           (long long)t->dims[0], (long long)channels);
        }
    }
    return NRW_OK;
}

static nrw_status infer_batch(nrw_infer *c) {
    c->out[0] = *c->in[0];
    for (int i = 1; i < c->n_out; i++) {
        if (nrw_attr_int(c->node, "training_mode", 0) == 0) {
            NRW_FAIL(c->err, NRW_ERR_SHAPE, "output %d exists in training_mode only", i);
        }
        c->out[i] = *c->in[2 + i];
    }
    return check_channels(c, 1, 4);
}

static nrw_status infer_instance(nrw_infer *c) {
    c->out[0] = *c->in[0];
    if (c->in[0]->rank == 1) NRW_FAIL_INPUT(c, 0, "input", "rank 1; at least 2 is needed");
    return check_channels(c, 1, 2);
}

static nrw_status infer_group(nrw_infer *c) {
    NRW_TRY(infer_instance(c));
    int64_t groups = nrw_attr_int(c->node, "num_groups", 0);
    int64_t channels = c->in[0]->rank > 1 ? c->in[0]->dims[1] : NRW_DIM_UNKNOWN;
    if (groups < 1 || (channels >= 0 && channels % groups != 0)) {
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "num_groups: %lld does not divide the channels",
                 (long long)groups);
    }
    return NRW_OK;
}

/* Scale and bias must broadcast to x. */
static nrw_status check_spread(nrw_infer *c, int i) {
    const nrw_type *x = c->in[0], *t = i < c->n_in ? c->in[i] : NULL;
    if (t == NULL || t->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (t->rank > x->rank) NRW_FAIL_INPUT(c, i, "scale or bias", "has more axes than the input");
    for (int d = 0; d < t->rank; d++) {
        int64_t have = t->dims[d], want = x->dims[x->rank - t->rank + d];
        if (have >= 0 && want >= 0 && have != 1 && have != want) {
            NRW_FAIL_INPUT(c, i, "scale or bias", "length %lld does not broadcast to %lld",
                           (long long)have, (long long)want);
        }
    }
    return NRW_OK;
}

static nrw_status infer_layer(nrw_infer *c) {
    const nrw_type *x = c->in[0];
    nrw_dtype stash = nrw_dtype_from_onnx((int)nrw_attr_int(c->node, "stash_type", 1));
    if (!nrw_dtype_is_float(stash)) NRW_FAIL(c->err, NRW_ERR_SHAPE, "stash_type: not a float");
    for (int i = 0; i < c->n_out; i++) {
        c->out[i] = *x;
        if (i > 0) c->out[i].dtype = stash;
    }
    if (x->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    int64_t axis = nrw_attr_int(c->node, "axis", -1);
    if (!nrw_normalize_axis(&axis, x->rank)) {
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "axis: %lld is out of range", (long long)axis);
    }
    for (int i = 1; i < c->n_out; i++) {
        for (int d = (int)axis; d < x->rank; d++) c->out[i].dims[d] = 1;
    }
    NRW_TRY(check_spread(c, 1));
    return check_spread(c, 2);
}

static nrw_status infer_lrn(nrw_infer *c) {
    c->out[0] = *c->in[0];
    if (c->in[0]->rank != NRW_RANK_UNKNOWN && c->in[0]->rank < 2) {
        NRW_FAIL_INPUT(c, 0, "X", "rank %d; at least 2 is needed", c->in[0]->rank);
    }
    int64_t size = nrw_attr_int(c->node, "size", 0);
    if (size < 1 || size > INT32_MAX) NRW_FAIL(c->err, NRW_ERR_SHAPE, "size is out of range");
    return NRW_OK;
}

/* Running. */

static nrw_status batch_norm(nrw_eval *e) {
    return e->in[0]->dtype == NRW_F64 ? batch_f64(e) : batch_f32(e);
}

static nrw_status instance_norm(nrw_eval *e) {
    return e->in[0]->dtype == NRW_F64 ? groups_f64(e, 0) : groups_f32(e, 0);
}

static nrw_status group_norm(nrw_eval *e) {
    int64_t groups = nrw_attr_int(e->node, "num_groups", 1);
    return e->in[0]->dtype == NRW_F64 ? groups_f64(e, groups) : groups_f32(e, groups);
}

static nrw_status layer_norm(nrw_eval *e) {
    return e->in[0]->dtype == NRW_F64 ? layer_f64(e, true) : layer_f32(e, true);
}

static nrw_status rms_norm(nrw_eval *e) {
    return e->in[0]->dtype == NRW_F64 ? layer_f64(e, false) : layer_f32(e, false);
}

/* LRN: y = x / (bias + alpha / size * (sum of squares over size channels around))^beta. Computed
 * in double: it is rare, and f64 input comes for free. */
typedef struct lrn_job {
    const double *x;
    double *y;
    int64_t channels, inner, before, after;
    double bias, factor, beta;
} lrn_job;

static void lrn_task(void *arg, int64_t task, int worker) {
    const lrn_job *j = arg;
    int64_t n = task / j->channels, c = task % j->channels;
    int64_t first = c > j->before ? c - j->before : 0;
    int64_t end = c + j->after < j->channels ? c + j->after + 1 : j->channels;
    const double *x = j->x + n * j->channels * j->inner;
    double *y = j->y + task * j->inner;
    for (int64_t i = 0; i < j->inner; i++) y[i] = 0;
    for (int64_t k = first; k < end; k++) {
        for (int64_t i = 0; i < j->inner; i++) y[i] += x[k * j->inner + i] * x[k * j->inner + i];
    }
    for (int64_t i = 0; i < j->inner; i++) {
        y[i] = x[c * j->inner + i] / pow(j->bias + j->factor * y[i], j->beta);
    }
}

static nrw_status lrn(nrw_eval *e) {
    const nrw_tensor *x = e->in[0];
    int64_t size = nrw_attr_int(e->node, "size", 1);
    lrn_job j = {.channels = x->dims[1], .inner = 1, .before = (size - 1) / 2, .after = size / 2};
    for (int d = 2; d < x->rank; d++) j.inner *= x->dims[d];
    j.bias = (double)nrw_attr_float(e->node, "bias", 1.0F);
    j.factor = (double)nrw_attr_float(e->node, "alpha", 1e-4F) / (double)size;
    j.beta = (double)nrw_attr_float(e->node, "beta", 0.75F);
    NRW_TRY(nrw_doubles_in(e, 0, &j.x));
    NRW_TRY(nrw_doubles_out(e, 0, &j.y));
    nrw_pool_run(e->pool, x->dims[0] * j.channels, lrn_task, &j);
    return nrw_doubles_done(e, 0, j.y);
}

/* Rows. */

static const nrw_attr_def batch_attrs[] = {{"epsilon", NRW_ATTR_FLOAT, false},
                                           {"momentum", NRW_ATTR_FLOAT, false},
                                           {"training_mode", NRW_ATTR_INT, false},
                                           {0}};
static const nrw_attr_def instance_attrs[] = {{"epsilon", NRW_ATTR_FLOAT, false}, {0}};
static const nrw_attr_def group_attrs[] = {{"epsilon", NRW_ATTR_FLOAT, false},
                                           {"num_groups", NRW_ATTR_INT, true},
                                           {"stash_type", NRW_ATTR_INT, false},
                                           {0}};
static const nrw_attr_def layer_attrs[] = {{"axis", NRW_ATTR_INT, false},
                                           {"epsilon", NRW_ATTR_FLOAT, false},
                                           {"stash_type", NRW_ATTR_INT, false},
                                           {0}};
static const nrw_attr_def lrn_attrs[] = {{"alpha", NRW_ATTR_FLOAT, false},
                                         {"beta", NRW_ATTR_FLOAT, false},
                                         {"bias", NRW_ATTR_FLOAT, false},
                                         {"size", NRW_ATTR_INT, true},
                                         {0}};

static const nrw_case batch_cases[] = {
    {"graph main(%x: f32[2,5,4,3]) {\n"
     "  const %s: f32[5] = random 1\n"
     "  const %b: f32[5] = random 2\n"
     "  const %m: f32[5] = random 3\n"
     "  const %v: f32[5] = [1, 2, 0.5, 0.1, 3]\n"
     "  %y: f32[...] = BatchNormalization(%x, %s, %b, %m, %v) {epsilon=0.01}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[4,5,6]) {\n"
     "  const %s: f32[5] = random 1\n"
     "  const %b: f32[5] = random 2\n"
     "  const %m: f32[5] = random 3\n"
     "  const %v: f32[5] = [1]\n"
     "  %y: f32[...], %rm: f32[...], %rv: f32[...] = BatchNormalization(%x, %s, %b, %m, %v) "
     "{training_mode=1}\n"
     "  return %y, %rm, %rv\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op batch_row = {
    .name = "BatchNormalization",
    .domain = "",
    .min_in = 5,
    .max_in = 5,
    .min_out = 1,
    .max_out = 3,
    .attrs = batch_attrs,
    .infer = infer_batch,
    .reference = batch_norm,
    .onnx = {"BatchNormalization", 1},
    .aten = "aten.batch_norm.default",
    .cases = batch_cases,
};

static const nrw_case instance_cases[] = {{"graph main(%x: f32[2,3,8,5]) {\n"
                                           "  const %s: f32[3] = random 1\n"
                                           "  const %b: f32[3] = random 2\n"
                                           "  %y: f32[...] = InstanceNormalization(%x, %s, %b)\n"
                                           "  return %y\n"
                                           "}",
                                           -1, 1},
                                          {0}};

static const nrw_op instance_row = {
    .name = "InstanceNormalization",
    .domain = "",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = instance_attrs,
    .infer = infer_instance,
    .reference = instance_norm,
    .onnx = {"InstanceNormalization", 1},
    .aten = "aten.instance_norm.default",
    .cases = instance_cases,
};

static const nrw_case group_cases[] = {
    {"graph main(%x: f32[2,6,8,5]) {\n"
     "  const %s: f32[6] = random 1\n"
     "  const %b: f32[6] = random 2\n"
     "  %y: f32[...] = GroupNormalization(%x, %s, %b) {num_groups=3}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op group_row = {
    .name = "GroupNormalization",
    .domain = "",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = group_attrs,
    .infer = infer_group,
    .reference = group_norm,
    .onnx = {"GroupNormalization", 18},
    .aten = "aten.group_norm.default",
    .cases = group_cases,
};

static const nrw_case layer_cases[] = {
    {"graph main(%x: f32[3,7,40]) {\n"
     "  const %s: f32[40] = random 1\n"
     "  const %b: f32[40] = random 2\n"
     "  %y: f32[...], %m: f32[...], %d: f32[...] = LayerNormalization(%x, %s, %b)\n"
     "  return %y, %m, %d\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[3,4,5]) {\n"
     "  const %s: f32[4,5] = random 1\n"
     "  %y: f32[...] = LayerNormalization(%x, %s) {axis=1, epsilon=0.1}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[3,4,5]) {\n"
     "  const %s: f32[3,1,5] = random 1\n"
     "  %y: f32[...] = LayerNormalization(%x, %s) {axis=2}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op layer_row = {
    .name = "LayerNormalization",
    .domain = "",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 3,
    .attrs = layer_attrs,
    .infer = infer_layer,
    .reference = layer_norm,
    .onnx = {"LayerNormalization", 17},
    .aten = "aten.layer_norm.default",
    .cases = layer_cases,
};

static const nrw_case rms_cases[] = {{"graph main(%x: f32[3,7,40]) {\n"
                                      "  const %s: f32[40] = random 1\n"
                                      "  %y: f32[...] = RMSNormalization(%x, %s)\n"
                                      "  return %y\n"
                                      "}",
                                      -1, 1},
                                     {0}};

static const nrw_op rms_row = {
    .name = "RMSNormalization",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = layer_attrs,
    .infer = infer_layer,
    .reference = rms_norm,
    .onnx = {"RMSNormalization", 23},
    .aten = "aten.rms_norm.default",
    .cases = rms_cases,
};

static const nrw_case lrn_cases[] = {{"graph main(%x: f32[2,7,5,4]) {\n"
                                      "  %y: f32[...] = LRN(%x) {size=3, alpha=0.5, bias=2.0}\n"
                                      "  return %y\n"
                                      "}",
                                      -1, 1},
                                     {0}};

static const nrw_op lrn_row = {
    .name = "LRN",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = lrn_attrs,
    .infer = infer_lrn,
    .reference = lrn,
    .onnx = {"LRN", 1},
    .tflite = {"LOCAL_RESPONSE_NORMALIZATION", 13},
    .cases = lrn_cases,
};

NRW_OPS(norms, &batch_row, &instance_row, &group_row, &layer_row, &rms_row, &lrn_row);
