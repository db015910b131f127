/* TensorFlow Lite's SVDF: a layer whose weights are products of a vector over features and one over
 * time, `rank` of them for each unit; its state are the features' products of the last steps.
 * lite/kernels/internal/reference/svdf.h. The state goes in and, as output 1, out. */
#include <string.h>

#include "ops/floats.h"
#include "ops/mm.h"
#include "ops/move.h"
#include "ops/tflite_fixed.h"
#include "ops/vmath.h"

enum { IN_X, IN_FEATURE, IN_TIME, IN_BIAS, IN_STATE };

typedef struct svdf {
    int64_t batch, input, filters, memory, rank; /* unknown: < 0 */
    int act;
} svdf;

static const nrw_type *type_of(const nrw_type *const *in, int n_in, int i) {
    return i < n_in ? in[i] : NULL;
}

static nrw_status same(int64_t a, int64_t b, int input, nrw_error *err) {
    if (a < 0 || b < 0 || a == b) return NRW_OK;
    NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: a length of %lld where %lld is needed", input,
             (long long)b, (long long)a);
}

static nrw_status read_dims(const nrw_node *n, const nrw_type *const *in, int n_in, svdf *s,
                            nrw_error *err) {
    const nrw_type *bias = type_of(in, n_in, IN_BIAS);
    *s = (svdf){-1,
                -1,
                -1,
                -1,
                nrw_attr_int(n, "rank", 0),
                (int)nrw_attr_int(n, "fused_activation_function", 0)};
    if (s->rank < 1) NRW_FAIL(err, NRW_ERR_SHAPE, "rank: %lld", (long long)s->rank);
    if (s->act < 0 || s->act > 4) NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "activation %d", s->act);
    for (int i = IN_X; i <= IN_TIME; i++) {
        if (in[i]->rank >= 0 && in[i]->rank != 2)
            NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: rank %d instead of 2", i, in[i]->rank);
    }
    if (in[IN_X]->rank == 2) {
        s->batch = in[IN_X]->dims[0];
        s->input = in[IN_X]->dims[1];
    }
    if (in[IN_FEATURE]->rank == 2) {
        s->filters = in[IN_FEATURE]->dims[0];
        NRW_TRY(same(s->input, in[IN_FEATURE]->dims[1], IN_FEATURE, err));
        if (s->filters >= 0 && s->filters % s->rank != 0)
            NRW_FAIL(err, NRW_ERR_SHAPE, "%lld filters of rank %lld", (long long)s->filters,
                     (long long)s->rank);
    }
    if (in[IN_TIME]->rank == 2) {
        s->memory = in[IN_TIME]->dims[1];
        NRW_TRY(same(s->filters, in[IN_TIME]->dims[0], IN_TIME, err));
        if (s->memory == 0) NRW_FAIL(err, NRW_ERR_SHAPE, "weights over no time");
    }
    if (bias != NULL && bias->rank >= 0 && bias->rank != 1)
        NRW_FAIL(err, NRW_ERR_SHAPE, "input 3: rank %d instead of 1", bias->rank);
    if (bias != NULL && bias->rank == 1 && s->filters >= 0)
        NRW_TRY(same(s->filters / s->rank, bias->dims[0], IN_BIAS, err));
    return NRW_OK;
}

static nrw_status infer(nrw_infer *c) {
    svdf s;
    NRW_TRY(read_dims(c->node, c->in, c->n_in, &s, c->err));
    const nrw_dtype t = c->in[IN_X]->dtype;
    if (t != NRW_NONE && t != NRW_F32)
        NRW_FAIL_INPUT(c, 0, "x", "expected f32, got %s", nrw_dtype_name(t));
    const int64_t units = s.filters < 0 ? s.filters : s.filters / s.rank;
    int64_t state = -1;
    if (s.filters >= 0 && s.memory >= 0 && !nrw_mul_i64(s.filters, s.memory, &state))
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "the state is too large");
    c->out[0] = nrw_type_make(NRW_F32, 2, (int64_t[]){s.batch, units});
    if (c->n_out > 1) c->out[1] = nrw_type_make(NRW_F32, 2, (int64_t[]){s.batch, state});
    return NRW_OK;
}

static nrw_status read(nrw_eval *e, svdf *s) {
    nrw_type room[4];
    const nrw_type *in[4] = {NULL};
    for (int i = 0; i < 4 && i < e->n_in; i++) {
        if (e->in[i] == NULL) continue;
        room[i] = nrw_type_of(e->in[i]);
        in[i] = &room[i];
    }
    return read_dims(e->node, in, 4, s, e->err);
}

/* The state, one step on: a room for the newest products is free behind each filter's others. One
 * row may stand for all samples. */
static nrw_status shift_state(nrw_eval *e, const svdf *s, int element, char **out) {
    const int64_t filters = s->batch * s->filters, row = s->filters * s->memory;
    const size_t each = (size_t)(s->memory * element);
    *out = nrw_eval_scratch(e, s->batch * row, (size_t)element);
    if (*out == NULL) NRW_OOM(e->err);
    memset(*out, 0, (size_t)filters * each);
    if (!nrw_has_input(e, IN_STATE)) return NRW_OK;
    const int64_t n = nrw_tensor_count(e->in[IN_STATE]);
    if ((n != s->batch * row && n != row) || nrw_dtype_size(e->in[IN_STATE]->dtype) != element)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 4 (state): %lld elements", (long long)n);
    const char *from = e->in[IN_STATE]->data;
    for (int64_t f = 0; f < filters; f++) {
        const int64_t at = n == row ? f % s->filters : f;
        memcpy(*out + (size_t)f * each, from + (size_t)at * each + element, each - (size_t)element);
    }
    return NRW_OK;
}

static float activate(int act, float x) {
    if (act == 1) return x > 0 ? x : 0;
    if (act == 2) return x > 1 ? 1 : x < -1 ? -1 : x;
    if (act == 3) return x > 6 ? 6 : x > 0 ? x : 0;
    return act == 4 ? nrw_tanh_f32(x) : x;
}

static nrw_status run(nrw_eval *e) {
    svdf s;
    const float *in[4];
    char *bytes;
    NRW_TRY(read(e, &s));
    for (int i = 0; i < 4; i++) {
        in[i] = NULL;
        if (!nrw_has_input(e, i)) continue;
        if (e->in[i]->dtype != NRW_F32)
            NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "input %d is no f32", i);
        in[i] = e->in[i]->data;
    }
    NRW_TRY(shift_state(e, &s, sizeof(float), &bytes));
    float *state = (float *)(void *)bytes;
    const int64_t units = s.filters / s.rank;
    float *y = e->out[0].data;
    for (int64_t b = 0; b < s.batch; b++) {
        float *row = state + b * s.filters * s.memory;
        for (int64_t f = 0; f < s.filters; f++) {
            nrw_mm_nt_f32(1, 1, s.input, in[IN_X] + b * s.input, s.input,
                          in[IN_FEATURE] + f * s.input, s.input, row + (f + 1) * s.memory - 1, 1,
                          0);
        }
        for (int64_t u = 0; u < units && y != NULL; u++) {
            float sum = 0;
            for (int64_t f = u * s.rank; f < (u + 1) * s.rank; f++) {
                float one;
                nrw_mm_nt_f32(1, 1, s.memory, in[IN_TIME] + f * s.memory, s.memory,
                              row + f * s.memory, s.memory, &one, 1, 0);
                sum += one;
            }
            y[b * units + u] = activate(s.act, sum + (in[IN_BIAS] != NULL ? in[IN_BIAS][u] : 0));
        }
    }
    if (e->n_out > 1 && e->out[1].data != NULL)
        memcpy(e->out[1].data, state, nrw_tensor_bytes(&e->out[1]));
    return NRW_OK;
}

/* In integers. */

static const nrw_quant *quant_of(const nrw_node *n, int i) {
    return i < n->n_inputs && n->inputs[i] != NULL ? n->inputs[i]->quant : NULL;
}

static bool is_stored(const nrw_quant *q, nrw_dtype t) {
    return q != NULL && q->dtype == t && q->axis < 0 && !q->dynamic;
}

static bool integer_ok(const nrw_node *n) {
    const nrw_quant *y = n->outputs[0] != NULL ? n->outputs[0]->quant : NULL;
    const nrw_quant *state = quant_of(n, IN_STATE);
    if (!nrw_quant_is_byte(y) || !nrw_quant_is_byte(quant_of(n, IN_X)) ||
        !is_stored(quant_of(n, IN_FEATURE), NRW_I8) || !is_stored(quant_of(n, IN_TIME), NRW_I16) ||
        !is_stored(state, NRW_I16))
        return false;
    if (n->inputs[IN_BIAS] != NULL && !is_stored(quant_of(n, IN_BIAS), NRW_I32)) return false;
    return n->n_outputs < 2 || n->outputs[1] == NULL ||
           (is_stored(n->outputs[1]->quant, NRW_I16) &&
            n->outputs[1]->quant->scale[0] == state->scale[0]);
}

/* Unsigned bytes are the signed ones with the top bit flipped. */
static int read_byte(const nrw_tensor *t, int64_t i) {
    return t->dtype == NRW_U8 ? ((const uint8_t *)t->data)[i] : ((const int8_t *)t->data)[i];
}

static void write_byte(nrw_tensor *t, int64_t i, int64_t x) {
    if (t->dtype == NRW_U8)
        ((uint8_t *)t->data)[i] = (uint8_t)nrw_fixed_clamp(x, 0, 255);
    else
        ((int8_t *)t->data)[i] = (int8_t)nrw_fixed_clamp(x, -128, 127);
}

static double scale_of(const nrw_quant *q) {
    return (double)q->scale[0];
}

static nrw_status run_integer(nrw_eval *e) {
    svdf s;
    char *bytes;
    NRW_TRY(read(e, &s));
    NRW_TRY(shift_state(e, &s, sizeof(int16_t), &bytes));
    const nrw_node *n = e->node;
    const nrw_quant *x = quant_of(n, IN_X), *kept = quant_of(n, IN_STATE);
    const nrw_quant *out = n->outputs[0]->quant;
    const nrw_fixed_factor in_scale =
        nrw_fixed_from(scale_of(x) * scale_of(quant_of(n, IN_FEATURE)) / scale_of(kept));
    const nrw_fixed_factor out_scale =
        nrw_fixed_from(scale_of(kept) * scale_of(quant_of(n, IN_TIME)) / scale_of(out));
    int16_t *state = (int16_t *)(void *)bytes;
    const int8_t *feature = e->in[IN_FEATURE]->data;
    const int16_t *time = e->in[IN_TIME]->data;
    const int32_t *bias = nrw_has_input(e, IN_BIAS) ? e->in[IN_BIAS]->data : NULL;
    const int64_t units = s.filters / s.rank;
    for (int64_t b = 0; b < s.batch; b++) {
        int16_t *row = state + b * s.filters * s.memory;
        for (int64_t f = 0; f < s.filters; f++) {
            int64_t sum = 0;
            for (int64_t i = 0; i < s.input; i++)
                sum += feature[f * s.input + i] *
                       (read_byte(e->in[IN_X], b * s.input + i) - x->zero_point[0]);
            row[(f + 1) * s.memory - 1] = (int16_t)nrw_fixed_clamp(
                nrw_fixed_scale((int32_t)(uint32_t)sum, in_scale), INT16_MIN, INT16_MAX);
        }
        for (int64_t u = 0; u < units && e->out[0].data != NULL; u++) {
            int64_t sum = bias != NULL ? bias[u] : 0;
            for (int64_t i = u * s.rank * s.memory; i < (u + 1) * s.rank * s.memory; i++)
                sum += time[i] * row[i];
            const int32_t y = nrw_fixed_scale((int32_t)(uint32_t)sum, out_scale);
            write_byte(&e->out[0], b * units + u, (int64_t)y + out->zero_point[0]);
        }
    }
    if (e->n_out > 1 && e->out[1].data != NULL)
        memcpy(e->out[1].data, state, nrw_tensor_bytes(&e->out[1]));
    return NRW_OK;
}

static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    svdf s;
    (void)out;
    if (read_dims(n, in, n->n_inputs, &s, NULL) != NRW_OK) return 0;
    if (s.batch < 0 || s.input < 0 || s.filters < 0 || s.memory < 0) return 0;
    return s.batch * s.filters * (s.input + s.memory);
}

static const nrw_attr_def attrs[] = {{"rank", NRW_ATTR_INT, true},
                                     {"fused_activation_function", NRW_ATTR_INT, false},
                                     {"asymmetric_quantize_inputs", NRW_ATTR_INT, false},
                                     {0}};

static const nrw_case cases[] = {
    {"graph main(%x: f32[2,5], %s: f32[2,24]) {\n"
     "  const %w: f32[6,5] = random 1\n"
     "  const %t: f32[6,4] = random 2\n"
     "  const %b: f32[3] = random 3\n"
     "  %y: f32[2,3], %n: f32[2,24] = tflite::SVDF(%x, %w, %t, %b, %s) {rank=2, "
     "fused_activation_function=1}\n"
     "  return %y, %n }",
     -1, 1},
    {"graph main(%x: f32[N,5]) {\n"
     "  const %w: f32[6,5] = random 1\n"
     "  const %t: f32[6,1] = random 2\n"
     "  %y: f32[N,6] = tflite::SVDF(%x, %w, %t) {rank=1}\n"
     "  return %y }",
     -1, 1},
    {"graph main(%x: f32[2,5] q(i8, scale=0.01, zero=-4)) {\n"
     "  const %w: i8[4,5] q(i8, scale=0.01, zero=0) = random 1\n"
     "  const %t: i16[4,2] q(i16, scale=0.00003, zero=0) = [30000]\n"
     "  const %b: i32[2] q(i32, scale=0.000000003, zero=0) = [100000, -30000]\n"
     "  const %s: i16[2,8] q(i16, scale=0.0001, zero=0) = [900]\n"
     "  %y: f32[2,2] q(i8, scale=0.02, zero=7) = tflite::SVDF(%x, %w, %t, %b, %s) {rank=2}\n"
     "  return %y }",
     -1, 1},
    {0}};

static const nrw_op svdf_row = {
    .name = "SVDF",
    .domain = "tflite",
    .min_in = 3,
    .max_in = 5,
    .min_out = 1,
    .max_out = 2,
    .attrs = attrs,
    .infer = infer,
    .reference = run,
    .integer = run_integer,
    .integer_ok = integer_ok,
    .macs = macs,
    .onnx = {"SVDF", 1},
    .cases = cases,
};

NRW_OPS(tflite_svdf, &svdf_row);
