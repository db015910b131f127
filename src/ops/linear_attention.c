/* Operators with a running state: LinearAttention and CausalConvWithState. As the specification
 * asks, the state is kept in f32. */
#include <math.h>
#include <string.h>

#include "ops/floats.h"
#include "ops/op.h"
#include "ops/vmath.h"

/* LinearAttention. */

typedef struct linear_dims {
    int64_t batch, length, heads, kv_heads, width, v_width; /* unknown: < 0 */
    bool gated, delta;
} linear_dims;

static bool meets(int64_t a, int64_t b) {
    return a < 0 || b < 0 || a == b;
}

static nrw_status read_rule(const nrw_node *n, int n_in, const void *const *in, linear_dims *d,
                            nrw_error *err) {
    const char *rule = nrw_attr_str(n, "update_rule", "gated_delta");
    d->gated = strcmp(rule, "gated") == 0 || strcmp(rule, "gated_delta") == 0;
    d->delta = strcmp(rule, "delta") == 0 || strcmp(rule, "gated_delta") == 0;
    if (!d->gated && !d->delta && strcmp(rule, "linear") != 0) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "update_rule: unknown value '%s'", rule);
    }
    if (d->gated != (n_in > 4 && in[4] != NULL) || d->delta != (n_in > 5 && in[5] != NULL)) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "update_rule: %s does not go with these inputs", rule);
    }
    d->heads = nrw_attr_int(n, "q_num_heads", 0);
    d->kv_heads = nrw_attr_int(n, "kv_num_heads", 0);
    if (d->heads < 1 || d->kv_heads < 1 || d->heads % d->kv_heads != 0) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "q_num_heads and kv_num_heads: %lld and %lld",
                 (long long)d->heads, (long long)d->kv_heads);
    }
    return NRW_OK;
}

/* Lengths from the types of all inputs, whose ranks are known. */
static nrw_status read_linear(const nrw_node *n, int n_in, const nrw_type *const *in,
                              linear_dims *d, nrw_error *err) {
    NRW_TRY(read_rule(n, n_in, (const void *const *)in, d, err));
    d->batch = in[0]->dims[0];
    d->length = in[0]->dims[1];
    int64_t heads[3] = {d->heads, d->kv_heads, d->kv_heads}, width[3];
    for (int i = 0; i < n_in; i++) {
        if (in[i] == NULL) continue;
        int rank = i == 3 ? 4 : 3;
        if (in[i]->rank != rank || !meets(in[i]->dims[0], d->batch) ||
            (rank == 3 && !meets(in[i]->dims[1], d->length)) ||
            (i < 3 && in[i]->dims[2] >= 0 && in[i]->dims[2] % heads[i] != 0)) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "input %d does not fit the query", i);
        }
        if (i < 3) width[i] = in[i]->dims[2] < 0 ? in[i]->dims[2] : in[i]->dims[2] / heads[i];
    }
    d->width = width[0] >= 0 ? width[0] : width[1];
    d->v_width = width[2];
    bool fits = meets(width[0], width[1]);
    if (n_in > 3 && in[3] != NULL) {
        fits = fits && meets(in[3]->dims[1], d->kv_heads) && meets(in[3]->dims[2], d->width) &&
               meets(in[3]->dims[3], d->v_width);
    }
    if (d->gated) {
        fits = fits && (meets(in[4]->dims[2], d->kv_heads) || d->width < 0 ||
                        in[4]->dims[2] == d->kv_heads * d->width);
    }
    if (d->delta) fits = fits && (meets(in[5]->dims[2], d->kv_heads) || in[5]->dims[2] == 1);
    if (!fits) NRW_FAIL(err, NRW_ERR_SHAPE, "the inputs' heads do not fit together");
    return NRW_OK;
}

static nrw_status infer_linear(nrw_infer *c) {
    const nrw_type *past = c->n_in > 3 ? c->in[3] : NULL;
    c->out[0].dtype = c->in[0]->dtype;
    if (c->n_out > 1) c->out[1].dtype = past != NULL ? past->dtype : c->in[0]->dtype;
    for (int i = 0; i < c->n_in; i++) {
        if (c->in[i] != NULL && c->in[i]->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    }
    linear_dims d;
    NRW_TRY(read_linear(c->node, c->n_in, c->in, &d, c->err));
    int64_t wide = d.v_width < 0 ? d.v_width : d.heads * d.v_width;
    c->out[0] = nrw_type_make(c->in[0]->dtype, 3, (int64_t[]){d.batch, d.length, wide});
    if (c->n_out > 1) {
        c->out[1] =
            nrw_type_make(c->out[1].dtype, 4, (int64_t[]){d.batch, d.kv_heads, d.width, d.v_width});
    }
    return NRW_OK;
}

typedef struct linear_job {
    const linear_dims *d;
    const float *q, *k, *v, *decay, *beta;
    float *y, *state;      /* [batch, kv_heads, width, v_width] */
    float *row;            /* v_width per worker */
    int64_t decays, betas; /* numbers per position */
    float scale;
} linear_job;

/* state = exp(decay) state + k (beta (v - stateᵀ k))ᵀ, without the parts that the rule leaves out.
 */
NRW_WIDE static void linear_update(const linear_dims *d, float *state, const float *k,
                                   const float *v, const float *decay, bool each, const float *beta,
                                   float *row) {
    int64_t n = d->v_width;
    for (int64_t i = 0; decay != NULL && i < d->width; i++) {
        float factor = nrw_exp_f32(decay[each ? i : 0]);
        for (int64_t m = 0; m < n; m++) state[i * n + m] *= factor;
    }
    memcpy(row, v, (size_t)n * sizeof *row);
    if (beta != NULL) {
        for (int64_t m = 0; m < n; m++) row[m] = 0;
        for (int64_t i = 0; i < d->width; i++) {
            for (int64_t m = 0; m < n; m++) row[m] += state[i * n + m] * k[i];
        }
        for (int64_t m = 0; m < n; m++) row[m] = *beta * (v[m] - row[m]);
    }
    for (int64_t i = 0; i < d->width; i++) {
        for (int64_t m = 0; m < n; m++) state[i * n + m] += k[i] * row[m];
    }
}

NRW_WIDE static void linear_read(const linear_dims *d, const float *state, const float *q,
                                 float scale, float *y) {
    int64_t n = d->v_width;
    for (int64_t m = 0; m < n; m++) y[m] = 0;
    for (int64_t i = 0; i < d->width; i++) {
        for (int64_t m = 0; m < n; m++) y[m] += q[i] * state[i * n + m];
    }
    for (int64_t m = 0; m < n; m++) y[m] *= scale;
}

/* One key head of one batch entry, with the query heads that share it. */
static void linear_task(void *arg, int64_t task, int worker) {
    const linear_job *j = arg;
    const linear_dims *d = j->d;
    int64_t b = task / d->kv_heads, kv = task % d->kv_heads, group = d->heads / d->kv_heads;
    float *state = j->state + task * d->width * d->v_width, *row = j->row + worker * d->v_width;
    bool each = j->decays != d->kv_heads || d->width == 1;
    for (int64_t t = 0; t < d->length; t++) {
        int64_t at = b * d->length + t;
        const float *decay = j->decay, *beta = j->beta;
        if (decay != NULL) decay += at * j->decays + (each ? kv * d->width : kv);
        if (beta != NULL) beta += at * j->betas + (j->betas == 1 ? 0 : kv);
        linear_update(d, state, j->k + (at * d->kv_heads + kv) * d->width,
                      j->v + (at * d->kv_heads + kv) * d->v_width, decay, each, beta, row);
        for (int64_t h = kv * group; h < (kv + 1) * group; h++) {
            linear_read(d, state, j->q + (at * d->heads + h) * d->width, j->scale,
                        j->y + (at * d->heads + h) * d->v_width);
        }
    }
}

static nrw_status linear_attention(nrw_eval *e) {
    nrw_type types[6];
    const nrw_type *in[6] = {NULL};
    for (int i = 0; i < e->n_in; i++) {
        if (e->in[i] == NULL) continue;
        types[i] = nrw_type_of(e->in[i]);
        in[i] = &types[i];
    }
    linear_dims d;
    linear_job j = {.d = &d, .scale = nrw_attr_float(e->node, "scale", 0)};
    const float *past;
    float *present;
    NRW_TRY(read_linear(e->node, e->n_in, in, &d, e->err));
    if (j.scale == 0) j.scale = (float)(1 / sqrt((double)d.width));
    NRW_TRY(nrw_floats_in(e, 0, &j.q));
    NRW_TRY(nrw_floats_in(e, 1, &j.k));
    NRW_TRY(nrw_floats_in(e, 2, &j.v));
    NRW_TRY(nrw_floats_in(e, 3, &past));
    NRW_TRY(nrw_floats_in(e, 4, &j.decay));
    NRW_TRY(nrw_floats_in(e, 5, &j.beta));
    NRW_TRY(nrw_floats_out(e, 0, &j.y));
    NRW_TRY(nrw_floats_out(e, 1, &present));
    int64_t states = d.batch * d.kv_heads * d.width * d.v_width;
    j.state = present != NULL ? present : nrw_eval_scratch(e, states, sizeof *j.state);
    j.row = nrw_eval_scratch(e, nrw_pool_threads(e->pool) * d.v_width, sizeof *j.row);
    if (j.y == NULL)
        j.y = nrw_eval_scratch(e, d.batch * d.length * d.heads * d.v_width, sizeof *j.y);
    if (j.state == NULL || j.row == NULL || j.y == NULL) NRW_OOM(e->err);
    j.decays = j.decay != NULL ? e->in[4]->dims[2] : 0;
    j.betas = j.beta != NULL ? e->in[5]->dims[2] : 0;
    if (past != NULL) {
        memcpy(j.state, past, (size_t)states * sizeof *past);
    } else {
        memset(j.state, 0, (size_t)states * sizeof *j.state);
    }
    nrw_pool_run(e->pool, d.batch * d.kv_heads, linear_task, &j);
    if (e->out[0].data != NULL) NRW_TRY(nrw_floats_done(e, 0, j.y));
    return nrw_floats_done(e, 1, present);
}

/* Update and read-out: each touches the whole state once per head and position. */
static int64_t linear_macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    linear_dims d;
    for (int i = 0; i < n->n_inputs; i++) {
        if (in[i] != NULL && in[i]->rank == NRW_RANK_UNKNOWN) return 0;
    }
    if (read_linear(n, n->n_inputs, in, &d, NULL) != NRW_OK) return 0;
    if (d.batch < 0 || d.length < 0 || d.width < 0 || d.v_width < 0) return 0;
    return d.batch * d.length * d.width * d.v_width * (d.heads + d.kv_heads * (d.delta ? 2 : 1));
}

/* CausalConvWithState: a depthwise 1-D convolution over the past state and the input. */

static nrw_status infer_causal(nrw_infer *c) {
    const nrw_type *x = c->in[0], *w = c->in[1], *past = c->n_in > 3 ? c->in[3] : NULL;
    const char *activation = nrw_attr_str(c->node, "activation", "none");
    if (strcmp(activation, "none") != 0 && strcmp(activation, "silu") != 0 &&
        strcmp(activation, "swish") != 0) {
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "activation: unknown value '%s'", activation);
    }
    c->out[0] = *x;
    if (c->n_out > 1) c->out[1].dtype = x->dtype;
    if (x->rank == NRW_RANK_UNKNOWN || w->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (x->rank != 3) NRW_FAIL_INPUT(c, 0, "input", "rank %d instead of 3", x->rank);
    if (w->rank != 3 || !meets(w->dims[0], x->dims[1]) || !meets(w->dims[1], 1) ||
        w->dims[2] == 0) {
        NRW_FAIL_INPUT(c, 1, "weight", "must be [channels, 1, k]");
    }
    const nrw_type *bias = c->n_in > 2 ? c->in[2] : NULL;
    if (bias != NULL && bias->rank != NRW_RANK_UNKNOWN &&
        (bias->rank != 1 || !meets(bias->dims[0], x->dims[1]))) {
        NRW_FAIL_INPUT(c, 2, "bias", "must be [channels]");
    }
    int64_t kept = w->dims[2] < 0 ? w->dims[2] : w->dims[2] - 1;
    if (past != NULL && past->rank != NRW_RANK_UNKNOWN &&
        (past->rank != 3 || !meets(past->dims[0], x->dims[0]) ||
         !meets(past->dims[1], x->dims[1]) || !meets(past->dims[2], kept))) {
        NRW_FAIL_INPUT(c, 3, "past_state", "must be [batch, channels, k - 1]");
    }
    if (c->n_out > 1) {
        c->out[1] = nrw_type_make(x->dtype, 3, (int64_t[]){x->dims[0], x->dims[1], kept});
    }
    return NRW_OK;
}

typedef struct causal_job {
    const float *x, *w, *bias, *past;
    float *y, *present, *line; /* line: length + k - 1 per worker */
    int64_t channels, length, k;
} causal_job;

NRW_WIDE static void causal_row(float *y, const float *line, const float *w, float bias, int64_t k,
                                int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = 0;
    for (int64_t t = 0; t < k; t++) {
        for (int64_t i = 0; i < n; i++) y[i] += line[i + t] * w[t];
    }
    for (int64_t i = 0; i < n; i++) y[i] += bias;
}

static void causal_task(void *arg, int64_t task, int worker) {
    const causal_job *j = arg;
    int64_t c = task % j->channels, kept = j->k - 1, all = j->length + kept;
    float *line = j->line + worker * all;
    for (int64_t i = 0; i < kept; i++) line[i] = j->past != NULL ? j->past[task * kept + i] : 0;
    memcpy(line + kept, j->x + task * j->length, (size_t)j->length * sizeof *line);
    if (j->y != NULL) {
        causal_row(j->y + task * j->length, line, j->w + c * j->k, j->bias ? j->bias[c] : 0, j->k,
                   j->length);
    }
    for (int64_t i = 0; j->present != NULL && i < kept; i++) {
        j->present[task * kept + i] = line[j->length + i];
    }
}

NRW_WIDE static void silu(float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] *= nrw_sigmoid_f32(y[i]);
}

static nrw_status causal_conv(nrw_eval *e) {
    const nrw_tensor *x = e->in[0];
    causal_job j = {.channels = x->dims[1], .length = x->dims[2], .k = e->in[1]->dims[2]};
    NRW_TRY(nrw_floats_in(e, 0, &j.x));
    NRW_TRY(nrw_floats_in(e, 1, &j.w));
    NRW_TRY(nrw_floats_in(e, 2, &j.bias));
    NRW_TRY(nrw_floats_in(e, 3, &j.past));
    NRW_TRY(nrw_floats_out(e, 0, &j.y));
    NRW_TRY(nrw_floats_out(e, 1, &j.present));
    j.line = nrw_eval_scratch(e, nrw_pool_threads(e->pool) * (j.length + j.k), sizeof *j.line);
    if (j.line == NULL) NRW_OOM(e->err);
    nrw_pool_run(e->pool, x->dims[0] * j.channels, causal_task, &j);
    int64_t n = nrw_tensor_count(x);
    if (j.y != NULL && strcmp(nrw_attr_str(e->node, "activation", "none"), "none") != 0) {
        /* The convolution's result is rounded to its type before the activation. */
        NRW_TRY(nrw_floats_done(e, 0, j.y));
        NRW_TRY(nrw_to_f32(e->out[0].dtype, e->out[0].data, j.y, n, e->err));
        silu(j.y, n);
    }
    NRW_TRY(nrw_floats_done(e, 0, j.y));
    return nrw_floats_done(e, 1, j.present);
}

static int64_t causal_macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    int64_t count = nrw_type_count(in[0]);
    return count < 0 || in[1]->rank != 3 || in[1]->dims[2] < 0 ? 0 : count * in[1]->dims[2];
}

static const nrw_attr_def linear_attrs[] = {
    {"chunk_size", NRW_ATTR_INT, false},     {"kv_num_heads", NRW_ATTR_INT, true},
    {"q_num_heads", NRW_ATTR_INT, true},     {"scale", NRW_ATTR_FLOAT, false},
    {"update_rule", NRW_ATTR_STRING, false}, {0}};
static const nrw_attr_def causal_attrs[] = {{"activation", NRW_ATTR_STRING, false}, {0}};

static const nrw_case linear_cases[] = {{"graph main(%q: f32[2,6,16], %k: f32[2,6,8], %v: "
                                         "f32[2,6,6], %d: f32[2,6,8], %b: f32[2,6,2]) {\n"
                                         "  %y: f32[...], %s: f32[...] = LinearAttention(%q, %k, "
                                         "%v, _, %d, %b) {q_num_heads=4, kv_num_heads=2}\n"
                                         "  return %y, %s\n"
                                         "}",
                                         -1, 1},
                                        {0}};

static const nrw_op linear_row = {
    .name = "LinearAttention",
    .domain = "",
    .min_in = 3,
    .max_in = 6,
    .min_out = 1,
    .max_out = 2,
    .attrs = linear_attrs,
    .infer = infer_linear,
    .reference = linear_attention,
    .macs = linear_macs,
    .onnx = {"LinearAttention", 27},
    .cases = linear_cases,
};

static const nrw_case causal_cases[] = {
    {"graph main(%x: f32[2,3,7], %s: f32[2,3,3]) {\n"
     "  const %w: f32[3,1,4] = random 1\n"
     "  const %b: f32[3] = random 2\n"
     "  %y: f32[...], %n: f32[...] = CausalConvWithState(%x, %w, %b, %s) {activation=\"silu\"}\n"
     "  return %y, %n\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op causal_row_op = {
    .name = "CausalConvWithState",
    .domain = "",
    .min_in = 2,
    .max_in = 4,
    .min_out = 1,
    .max_out = 2,
    .attrs = causal_attrs,
    .infer = infer_causal,
    .reference = causal_conv,
    .macs = causal_macs,
    .onnx = {"CausalConvWithState", 27},
    .cases = causal_cases,
};

NRW_OPS(linear_attention, &linear_row, &causal_row_op);
