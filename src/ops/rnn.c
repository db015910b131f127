/* Recurrent networks: RNN, GRU, LSTM. f16 and bf16 compute in f32 and round once. */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "ops/floats.h"
#include "ops/mm.h"
#include "ops/op.h"
#include "ops/vmath.h"

/* Hidden units (or rows of the input) of a task. */
#define UNITS 64

typedef enum rnn_kind { KIND_RNN, KIND_GRU, KIND_LSTM } rnn_kind;

typedef enum activation_kind {
    ACT_SIGMOID,
    ACT_TANH,
    ACT_RELU,
    ACT_AFFINE,
    ACT_LEAKY_RELU,
    ACT_THRESHOLDED_RELU,
    ACT_SCALED_TANH,
    ACT_HARD_SIGMOID,
    ACT_ELU,
    ACT_SOFTSIGN,
    ACT_SOFTPLUS
} activation_kind;

typedef struct activation {
    activation_kind kind;
    float alpha, beta;
} activation;

/* Defaults of alpha and beta as the specification has them; `takes` says how many of the two the
 * function has. */
static const struct {
    const char *name;
    int takes;
    float alpha, beta;
} activations[] = {{"Sigmoid", 0, 0, 0},       {"Tanh", 0, 0, 0},
                   {"Relu", 0, 0, 0},          {"Affine", 2, 1, 0},
                   {"LeakyRelu", 1, 0.01F, 0}, {"ThresholdedRelu", 1, 1, 0},
                   {"ScaledTanh", 2, 1, 1},    {"HardSigmoid", 2, 0.2F, 0.5F},
                   {"Elu", 1, 1, 0},           {"Softsign", 0, 0, 0},
                   {"Softplus", 0, 0, 0}};

typedef struct rnn {
    rnn_kind kind;
    int gates, directions, layout;
    bool reverse[2], input_forget, linear_before_reset;
    int64_t steps, batch, input, hidden; /* unknown: < 0 */
    float clip;                          /* 0: none */
    float cell_clip;                     /* of an LSTM's cells, as TensorFlow Lite has it */
    activation act[2][3];
    const int64_t *lengths; /* [batch] */
} rnn;

static nrw_status read_activations(const nrw_node *n, rnn *r, nrw_error *err) {
    static const activation_kind usual[3][3] = {{ACT_TANH, ACT_TANH, ACT_TANH},
                                                {ACT_SIGMOID, ACT_TANH, ACT_TANH},
                                                {ACT_SIGMOID, ACT_TANH, ACT_TANH}};
    const nrw_attr *names = nrw_node_attr(n, "activations");
    int64_t alphas, betas, alpha = 0, beta = 0;
    const float *a = nrw_attr_floats(n, "activation_alpha", &alphas);
    const float *b = nrw_attr_floats(n, "activation_beta", &betas);
    int each = r->kind == KIND_RNN ? 1 : r->kind == KIND_GRU ? 2 : 3;
    if (names != NULL && names->n != (int64_t)each * r->directions) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "activations: expected %d names, got %lld",
                 each * r->directions, (long long)names->n);
    }
    for (int i = 0; i < each * r->directions; i++) {
        activation *f = &r->act[i / each][i % each];
        f->kind = usual[r->kind][i % each];
        if (names != NULL) {
            const nrw_string *s = &names->strings[i];
            size_t k = 0, known = sizeof activations / sizeof activations[0];
            while (k < known && (strlen(activations[k].name) != s->size ||
                                 strncasecmp(activations[k].name, s->data, s->size) != 0)) {
                k++;
            }
            if (k == known) {
                NRW_FAIL(err, NRW_ERR_SHAPE, "activations: unknown function '%.*s'", (int)s->size,
                         s->data);
            }
            f->kind = (activation_kind)k;
        }
        int takes = activations[f->kind].takes;
        f->alpha = takes > 0 && alpha < alphas ? a[alpha++] : activations[f->kind].alpha;
        f->beta = takes > 1 && beta < betas ? b[beta++] : activations[f->kind].beta;
    }
    return NRW_OK;
}

static nrw_status read_attributes(const nrw_node *n, rnn *r, nrw_error *err) {
    memset(r, 0, sizeof *r);
    r->kind = strcmp(n->type, "RNN") == 0   ? KIND_RNN
              : strcmp(n->type, "GRU") == 0 ? KIND_GRU
                                            : KIND_LSTM;
    r->gates = r->kind == KIND_RNN ? 1 : r->kind == KIND_GRU ? 3 : 4;
    const char *direction = nrw_attr_str(n, "direction", "forward");
    r->directions = strcmp(direction, "bidirectional") == 0 ? 2 : 1;
    r->reverse[0] = strcmp(direction, "reverse") == 0;
    r->reverse[1] = true;
    if (r->directions == 1 && !r->reverse[0] && strcmp(direction, "forward") != 0) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "direction: unknown value '%s'", direction);
    }
    r->layout = nrw_attr_int(n, "layout", 0) != 0;
    r->clip = nrw_attr_float(n, "clip", 0);
    r->cell_clip = r->kind == KIND_LSTM ? nrw_attr_float(n, "cell_clip", 0) : 0;
    r->input_forget = nrw_attr_int(n, "input_forget", 0) != 0;
    r->linear_before_reset = r->kind == KIND_GRU && nrw_attr_int(n, "linear_before_reset", 0) != 0;
    return read_activations(n, r, err);
}

/* Checks input i against dims, where each is known. */
static nrw_status expect(const nrw_type *const *in, int n_in, int i, int rank, const int64_t *dims,
                         nrw_error *err) {
    const nrw_type *t = i < n_in ? in[i] : NULL;
    if (t == NULL || t->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (t->rank != rank) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: rank %d instead of %d", i, t->rank, rank);
    }
    for (int d = 0; d < rank; d++) {
        if (dims[d] >= 0 && t->dims[d] >= 0 && dims[d] != t->dims[d]) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: axis %d has length %lld instead of %lld", i, d,
                     (long long)t->dims[d], (long long)dims[d]);
        }
    }
    return NRW_OK;
}

static nrw_status read_dims(const nrw_node *n, const nrw_type *const *in, int n_in, rnn *r,
                            nrw_error *err) {
    NRW_TRY(read_attributes(n, r, err));
    r->steps = r->batch = r->input = NRW_DIM_UNKNOWN;
    r->hidden = nrw_attr_int(n, "hidden_size", NRW_DIM_UNKNOWN);
    if (in[2]->rank == 3 && in[2]->dims[2] >= 0) r->hidden = in[2]->dims[2];
    if (r->hidden == 0 || r->hidden > INT32_MAX / 8) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "hidden_size is out of range");
    }
    if (in[0]->rank == 3) {
        r->steps = in[0]->dims[r->layout];
        r->batch = in[0]->dims[1 - r->layout];
        r->input = in[0]->dims[2];
    } else if (in[0]->rank != NRW_RANK_UNKNOWN) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "input 0 (X): rank %d instead of 3", in[0]->rank);
    }
    int64_t d = r->directions, h = r->hidden, wide = h < 0 ? h : h * r->gates;
    int64_t first = r->layout != 0 ? r->batch : d, second = r->layout != 0 ? d : r->batch;
    NRW_TRY(expect(in, n_in, 1, 3, (int64_t[]){d, wide, r->input}, err));
    NRW_TRY(expect(in, n_in, 2, 3, (int64_t[]){d, wide, h}, err));
    NRW_TRY(expect(in, n_in, 3, 2, (int64_t[]){d, h < 0 ? h : 2 * wide}, err));
    NRW_TRY(expect(in, n_in, 4, 1, (int64_t[]){r->batch}, err));
    NRW_TRY(expect(in, n_in, 5, 3, (int64_t[]){first, second, h}, err));
    NRW_TRY(expect(in, n_in, 6, 3, (int64_t[]){first, second, h}, err));
    return expect(in, n_in, 7, 2, (int64_t[]){d, h < 0 ? h : 3 * h}, err);
}

static nrw_status infer(nrw_infer *c) {
    rnn r;
    NRW_TRY(read_dims(c->node, c->in, c->n_in, &r, c->err));
    nrw_dtype t = c->in[0]->dtype;
    int64_t d = r.directions;
    if (c->n_out > 0) {
        c->out[0] = r.layout != 0 ? nrw_type_make(t, 4, (int64_t[]){r.batch, r.steps, d, r.hidden})
                                  : nrw_type_make(t, 4, (int64_t[]){r.steps, d, r.batch, r.hidden});
    }
    for (int i = 1; i < c->n_out; i++) {
        c->out[i] = r.layout != 0 ? nrw_type_make(t, 3, (int64_t[]){r.batch, d, r.hidden})
                                  : nrw_type_make(t, 3, (int64_t[]){d, r.batch, r.hidden});
    }
    return NRW_OK;
}

#define REAL          float
#define JOB           job_f32
#define ACTIVATE      activate_f32
#define APPLY         apply_f32
#define TIME_OF       time_of_f32
#define XW_ROW        xw_row_f32
#define STORE         store_f32
#define RNN_UNITS     rnn_units_f32
#define LSTM_UNITS    lstm_units_f32
#define GRU_GATES     gru_gates_f32
#define GRU_STATE     gru_state_f32
#define BLOCK         block_f32
#define STEP_TASK     step_task_f32
#define GRU_TASK      gru_task_f32
#define INPUT_TASK    input_task_f32
#define RUN_DIRECTION run_direction_f32
#define MOVE_STATE    move_state_f32
#define SET_BIAS      set_bias_f32
#define RECUR         recur_f32
#define IN            nrw_floats_in
#define OUT           nrw_floats_out
#define DONE          nrw_floats_done
#define MM_NT         nrw_mm_nt_f32
#define SIGMOID       nrw_sigmoid_f32
#define TANH          nrw_tanh_f32
#define EXP           nrw_exp_f32
#include "ops/rnn_tmpl.h"

static double sigmoid(double v) {
    return 1 / (1 + exp(-v));
}

#define REAL          double
#define JOB           job_f64
#define ACTIVATE      activate_f64
#define APPLY         apply_f64
#define TIME_OF       time_of_f64
#define XW_ROW        xw_row_f64
#define STORE         store_f64
#define RNN_UNITS     rnn_units_f64
#define LSTM_UNITS    lstm_units_f64
#define GRU_GATES     gru_gates_f64
#define GRU_STATE     gru_state_f64
#define BLOCK         block_f64
#define STEP_TASK     step_task_f64
#define GRU_TASK      gru_task_f64
#define INPUT_TASK    input_task_f64
#define RUN_DIRECTION run_direction_f64
#define MOVE_STATE    move_state_f64
#define SET_BIAS      set_bias_f64
#define RECUR         recur_f64
#define IN            nrw_doubles_in
#define OUT           nrw_doubles_out
#define DONE          nrw_doubles_done
#define MM_NT         nrw_mm_nt_f64
#define SIGMOID       sigmoid
#define TANH          tanh
#define EXP           exp
#include "ops/rnn_tmpl.h"

static nrw_status read_lengths(nrw_eval *e, rnn *r) {
    int64_t *lengths = nrw_eval_scratch(e, r->batch, sizeof *lengths);
    if (lengths == NULL) NRW_OOM(e->err);
    for (int64_t b = 0; b < r->batch; b++) lengths[b] = r->steps;
    r->lengths = lengths;
    const nrw_tensor *t = e->n_in > 4 ? e->in[4] : NULL;
    if (t == NULL) return NRW_OK;
    NRW_TRY(nrw_to_i64(t->dtype, t->data, lengths, r->batch, e->err));
    for (int64_t b = 0; b < r->batch; b++) {
        if (lengths[b] < 0 || lengths[b] > r->steps) {
            NRW_FAIL(e->err, NRW_ERR_DATA, "sequence_lens: %lld of %lld steps",
                     (long long)lengths[b], (long long)r->steps);
        }
    }
    return NRW_OK;
}

static nrw_status recurrent(nrw_eval *e) {
    nrw_type types[8];
    const nrw_type *in[8] = {NULL};
    for (int i = 0; i < e->n_in; i++) {
        if (e->in[i] == NULL) continue;
        types[i] = nrw_type_of(e->in[i]);
        in[i] = &types[i];
    }
    rnn r;
    NRW_TRY(read_dims(e->node, in, e->n_in, &r, e->err));
    NRW_TRY(read_lengths(e, &r));
    return e->in[0]->dtype == NRW_F64 ? recur_f64(e, &r) : recur_f32(e, &r);
}

static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    rnn r;
    if (read_dims(n, in, n->n_inputs, &r, NULL) != NRW_OK) return 0;
    if (r.steps < 0 || r.batch < 0 || r.input < 0 || r.hidden < 0) return 0;
    return r.steps * r.batch * r.directions * r.gates * r.hidden * (r.input + r.hidden);
}

#define COMMON_ATTRS                                                                               \
    {"activation_alpha", NRW_ATTR_FLOATS, false}, {"activation_beta", NRW_ATTR_FLOATS, false},     \
        {"activations", NRW_ATTR_STRINGS, false}, {"clip", NRW_ATTR_FLOAT, false},                 \
        {"direction", NRW_ATTR_STRING, false}, {"hidden_size", NRW_ATTR_INT, false}, {             \
        "layout", NRW_ATTR_INT, false                                                              \
    }
static const nrw_attr_def rnn_attrs[] = {COMMON_ATTRS, {0}};
static const nrw_attr_def gru_attrs[] = {
    COMMON_ATTRS, {"linear_before_reset", NRW_ATTR_INT, false}, {0}};
/* cell_clip is not ONNX's: the writer of its files leaves it out. */
static const nrw_attr_def lstm_attrs[] = {
    COMMON_ATTRS, {"input_forget", NRW_ATTR_INT, false}, {"cell_clip", NRW_ATTR_FLOAT, false}, {0}};

static const nrw_case rnn_cases[] = {{"graph main(%x: f32[5,2,4], %h: f32[1,2,6]) {\n"
                                      "  const %w: f32[1,6,4] = random 1\n"
                                      "  const %r: f32[1,6,6] = random 2\n"
                                      "  const %b: f32[1,12] = random 3\n"
                                      "  %y: f32[...], %yh: f32[...] = RNN(%x, %w, %r, %b, _, %h) "
                                      "{hidden_size=6, activations=[\"Relu\"], clip=2.0}\n"
                                      "  return %y, %yh\n"
                                      "}",
                                      -1, 1},
                                     {0}};

static const nrw_op rnn_row = {
    .name = "RNN",
    .domain = "",
    .min_in = 3,
    .max_in = 6,
    .min_out = 0,
    .max_out = 2,
    .attrs = rnn_attrs,
    .infer = infer,
    .reference = recurrent,
    .macs = macs,
    .onnx = {"RNN", 1},
    .aten = "aten.rnn_tanh.input",
    .cases = rnn_cases,
};

static const nrw_case gru_cases[] = {
    {"graph main(%x: f32[5,2,4]) {\n"
     "  const %w: f32[2,18,4] = random 1\n"
     "  const %r: f32[2,18,6] = random 2\n"
     "  const %b: f32[2,36] = random 3\n"
     "  %y: f32[...], %yh: f32[...] = GRU(%x, %w, %r, %b) {hidden_size=6, "
     "direction=\"bidirectional\", linear_before_reset=1}\n"
     "  return %y, %yh\n"
     "}",
     -1, 1},
    {"graph main(%x: f32[2,5,4]) {\n"
     "  const %n: i32[2] = [5, 3]\n"
     "  const %w: f32[1,210,4] = random 1\n"
     "  const %r: f32[1,210,70] = random 2\n"
     "  %y: f32[...], %yh: f32[...] = GRU(%x, %w, %r, _, %n) {hidden_size=70, layout=1, "
     "direction=\"reverse\"}\n"
     "  return %y, %yh\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op gru_row = {
    .name = "GRU",
    .domain = "",
    .min_in = 3,
    .max_in = 6,
    .min_out = 0,
    .max_out = 2,
    .attrs = gru_attrs,
    .infer = infer,
    .reference = recurrent,
    .macs = macs,
    .onnx = {"GRU", 1},
    .aten = "aten.gru.input",
    .cases = gru_cases,
};

static const nrw_case lstm_cases[] = {{"graph main(%x: f32[5,2,4]) {\n"
                                       "  const %w: f32[1,24,4] = random 1\n"
                                       "  const %r: f32[1,24,6] = random 2\n"
                                       "  const %b: f32[1,48] = random 3\n"
                                       "  const %p: f32[1,18] = random 4\n"
                                       "  %y: f32[...], %yh: f32[...], %yc: f32[...] = LSTM(%x, "
                                       "%w, %r, %b, _, _, _, %p) {hidden_size=6}\n"
                                       "  return %y, %yh, %yc\n"
                                       "}",
                                       -1, 1},
                                      {"graph main(%x: f32[6,3,8]) {\n"
                                       "  const %w: f32[2,288,8] = random 1\n"
                                       "  const %r: f32[2,288,72] = random 2\n"
                                       "  %y: f32[...] = LSTM(%x, %w, %r) {hidden_size=72, "
                                       "direction=\"bidirectional\", input_forget=1}\n"
                                       "  return %y\n"
                                       "}",
                                       -1, 1},
                                      {0}};

static const nrw_op lstm_row = {
    .name = "LSTM",
    .domain = "",
    .min_in = 3,
    .max_in = 8,
    .min_out = 0,
    .max_out = 3,
    .attrs = lstm_attrs,
    .infer = infer,
    .reference = recurrent,
    .macs = macs,
    .onnx = {"LSTM", 1},
    .aten = "aten.lstm.input",
    .cases = lstm_cases,
};

NRW_OPS(rnn, &rnn_row, &gru_row, &lstm_row);
