/* TensorFlow Lite's LSTM over a sequence, with what ONNX's has not: projections, layer
 * normalization of gates, clips of cells. lite/kernels/lstm_eval.cc. Its states go in and, as
 * outputs 1 and 2, out. */
#include "ops/tflite_lstm.h"

#include <math.h>
#include <string.h>

#include "ops/floats.h"
#include "ops/mm.h"
#include "ops/move.h"
#include "ops/vmath.h"

typedef struct nrw_tflite_lstm lstm;

/* Checks what is known of input i; rank 1 or 2. */
static nrw_status expect(const nrw_type *const *in, int i, int rank, int64_t rows, int64_t columns,
                         nrw_error *err) {
    const nrw_type *t = in[i];
    const int64_t want[2] = {rows, columns};
    if (t == NULL || t->rank < 0) return NRW_OK;
    if (t->rank != rank)
        NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: rank %d instead of %d", i, t->rank, rank);
    for (int k = 0; k < rank; k++) {
        if (want[k] >= 0 && t->dims[k] >= 0 && want[k] != t->dims[k])
            NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: axis %d has length %lld instead of %lld", i, k,
                     (long long)t->dims[k], (long long)want[k]);
    }
    return NRW_OK;
}

static nrw_status check_gates(const nrw_node *n, const nrw_type *const *in, const lstm *l,
                              nrw_error *err) {
    const bool coupled = in[LSTM_W] == NULL;
    for (int g = 0; g < N_GATES; g++) {
        const int peep = nrw_tflite_lstm_peep(g);
        NRW_TRY(expect(in, LSTM_W + g, 2, l->cells, l->input, err));
        NRW_TRY(expect(in, LSTM_R + g, 2, l->cells, l->units, err));
        NRW_TRY(expect(in, LSTM_BIAS + g, 1, l->cells, -1, err));
        if (peep >= 0) NRW_TRY(expect(in, LSTM_PEEP + peep, 1, l->cells, -1, err));
        NRW_TRY(expect(in, LSTM_NORM + g, 1, l->cells, -1, err));
        const bool needed = g != GATE_INPUT || !coupled;
        if (needed && (in[LSTM_W + g] == NULL || in[LSTM_R + g] == NULL))
            NRW_FAIL(err, NRW_ERR_SHAPE, "the weights of gate %d are missing", g);
    }
    if (in[LSTM_PROJ] == NULL && l->cells >= 0 && l->units >= 0 && l->cells != l->units)
        NRW_FAIL(err, NRW_ERR_SHAPE, "%lld cells make %lld outputs without a projection",
                 (long long)l->cells, (long long)l->units);
    NRW_TRY(expect(in, LSTM_PROJ, 2, l->units, l->cells, err));
    NRW_TRY(expect(in, LSTM_PROJ_BIAS, 1, l->units, -1, err));
    const int64_t act = nrw_attr_int(n, "fused_activation_function", 0);
    if (act < 0 || act > 4)
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "activation function %lld", (long long)act);
    return NRW_OK;
}

static nrw_status read_dims(const nrw_node *n, const nrw_type *const *given, lstm *l,
                            nrw_error *err) {
    const nrw_type *in[LSTM_INPUTS] = {NULL};
    *l = (lstm){.steps = -1, .batch = -1, .input = -1, .cells = -1, .units = -1};
    const int64_t extra = nrw_attr_int(n, "intermediates", 0);
    l->time_major = nrw_attr_int(n, "time_major", 0) != 0;
    l->reverse = nrw_attr_int(n, "reverse", 0) != 0;
    l->cell_clip = nrw_attr_float(n, "cell_clip", 0);
    l->proj_clip = nrw_attr_float(n, "proj_clip", 0);
    l->plain = n->n_inputs - (int)(extra >= 0 && extra <= n->n_inputs ? extra : 0);
    if (l->plain > LSTM_INPUTS || l->plain < LSTM_PEEP)
        NRW_FAIL(err, NRW_ERR_SHAPE, "%d inputs instead of %d", l->plain, LSTM_INPUTS);
    for (int i = 0; i < l->plain; i++) in[i] = given[i];
    if (nrw_attr_int(n, "diagonal_recurrent_tensors", 0) != 0)
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "diagonal weights");
    const nrw_type *x = in[LSTM_X], *w = in[LSTM_W + GATE_OUTPUT], *r = in[LSTM_R + GATE_OUTPUT];
    if (x == NULL || (x->rank >= 0 && x->rank != 3))
        NRW_FAIL(err, NRW_ERR_SHAPE, "input 0 (x): rank 3 is expected");
    if (x->rank == 3) {
        l->steps = x->dims[l->time_major ? 0 : 1];
        l->batch = x->dims[l->time_major ? 1 : 0];
        l->input = x->dims[2];
    }
    if (w != NULL && w->rank == 2) l->cells = w->dims[0];
    if (r != NULL && r->rank == 2) l->units = r->dims[1];
    return check_gates(n, in, l, err);
}

static nrw_status infer(nrw_infer *c) {
    lstm l;
    NRW_TRY(read_dims(c->node, c->in, &l, c->err));
    const int64_t y[3] = {l.time_major ? l.steps : l.batch, l.time_major ? l.batch : l.steps,
                          l.units};
    const nrw_dtype t = c->in[LSTM_X]->dtype;
    if (t != NRW_NONE && t != NRW_F32)
        NRW_FAIL_INPUT(c, 0, "x", "expected f32, got %s", nrw_dtype_name(t));
    c->out[0] = nrw_type_make(NRW_F32, 3, y);
    if (c->n_out > 1) c->out[1] = nrw_type_make(NRW_F32, 2, (int64_t[]){l.batch, l.units});
    if (c->n_out > 2) c->out[2] = nrw_type_make(NRW_F32, 2, (int64_t[]){l.batch, l.cells});
    return NRW_OK;
}

nrw_status nrw_tflite_lstm_read(nrw_eval *e, lstm *l) {
    nrw_type room[LSTM_INPUTS];
    const nrw_type *in[LSTM_INPUTS] = {NULL};
    for (int i = 0; i < e->n_in && i < LSTM_INPUTS; i++) {
        if (e->in[i] == NULL) continue;
        room[i] = nrw_type_of(e->in[i]);
        in[i] = &room[i];
    }
    return read_dims(e->node, in, l, e->err);
}

nrw_status nrw_tflite_lstm_state(nrw_eval *e, int i, int64_t rows, int64_t width, void *out,
                                 size_t element) {
    memset(out, 0, (size_t)(rows * width) * element);
    if (!nrw_has_input(e, i)) return NRW_OK;
    const int64_t n = nrw_tensor_count(e->in[i]);
    if ((n != rows * width && n != width) || (size_t)nrw_dtype_size(e->in[i]->dtype) != element)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "input %d: %lld elements of state for %lld samples", i,
                 (long long)n, (long long)rows);
    for (int64_t b = 0; b < rows; b++) {
        const int64_t from = n == width ? 0 : b * width;
        memcpy((char *)out + (size_t)(b * width) * element,
               (const char *)e->in[i]->data + (size_t)from * element, (size_t)width * element);
    }
    return NRW_OK;
}

/* The float kernel. */

typedef struct job {
    lstm l;
    int act;
    const float *in[LSTM_INPUTS];
    float *xw[N_GATES];   /* [rows of x, cells] */
    float *gate[N_GATES]; /* [batch, cells], of this step */
    float *h, *c, *y;
} job;

static void activate(int act, float *v, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float x = v[i];
        if (act == 1) v[i] = x > 0 ? x : 0;
        if (act == 2) v[i] = x > 1 ? 1 : x < -1 ? -1 : x;
        if (act == 3) v[i] = x > 6 ? 6 : x > 0 ? x : 0;
        if (act == 4) v[i] = nrw_tanh_f32(x);
    }
}

static void clip(float limit, float *v, int64_t n) {
    for (int64_t i = 0; i < n && limit > 0; i++)
        v[i] = v[i] > limit ? limit : v[i] < -limit ? -limit : v[i];
}

static void normalize(float *v, int64_t n) {
    float sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += v[i];
    const float mean = sum / (float)n;
    for (int64_t i = 0; i < n; i++) squares += (v[i] - mean) * (v[i] - mean);
    const float scale = 1.0f / sqrtf(squares / (float)n + 1e-8f);
    for (int64_t i = 0; i < n; i++) v[i] = (v[i] - mean) * scale;
}

/* From the products' sums to what the gate lets through. */
static void finish_gate(const job *j, int g, int64_t b) {
    const int64_t n = j->l.cells;
    float *v = j->gate[g] + b * n;
    const int at = nrw_tflite_lstm_peep(g);
    const float *peep = at >= 0 ? j->in[LSTM_PEEP + at] : NULL, *c = j->c + b * n;
    const float *norm = j->in[LSTM_NORM + g], *bias = j->in[LSTM_BIAS + g];
    for (int64_t i = 0; peep != NULL && i < n; i++) v[i] += peep[i] * c[i];
    if (norm != NULL) normalize(v, n);
    for (int64_t i = 0; norm != NULL && i < n; i++) v[i] *= norm[i];
    for (int64_t i = 0; bias != NULL && i < n; i++) v[i] += bias[i];
    if (g == GATE_CELL)
        activate(j->act, v, n);
    else
        for (int64_t i = 0; i < n; i++) v[i] = nrw_sigmoid_f32(v[i]);
}

static void finish_step(const job *j, int64_t step, int64_t b) {
    const lstm *l = &j->l;
    const int64_t n = l->cells;
    float *c = j->c + b * n, *out = j->gate[GATE_OUTPUT] + b * n, *shown = j->gate[GATE_CELL];
    float *h = j->h + b * l->units;
    const float *f = j->gate[GATE_FORGET] + b * n, *in = j->gate[GATE_INPUT] + b * n;
    const bool coupled = j->in[LSTM_W] == NULL;
    shown += b * n;
    if (!coupled) finish_gate(j, GATE_INPUT, b);
    finish_gate(j, GATE_FORGET, b);
    finish_gate(j, GATE_CELL, b);
    for (int64_t i = 0; i < n; i++) c[i] = f[i] * c[i] + (coupled ? 1.0f - f[i] : in[i]) * shown[i];
    clip(l->cell_clip, c, n);
    finish_gate(j, GATE_OUTPUT, b);
    memcpy(shown, c, (size_t)n * sizeof *c);
    activate(j->act, shown, n);
    for (int64_t i = 0; i < n; i++) out[i] *= shown[i];
    if (j->in[LSTM_PROJ] != NULL) {
        nrw_mm_nt_f32(1, l->units, n, out, n, j->in[LSTM_PROJ], n, h, l->units, 0);
        const float *bias = j->in[LSTM_PROJ_BIAS];
        for (int64_t i = 0; bias != NULL && i < l->units; i++) h[i] += bias[i];
        clip(l->proj_clip, h, l->units);
    } else {
        memcpy(h, out, (size_t)n * sizeof *h);
    }
    if (j->y != NULL)
        memcpy(j->y + nrw_tflite_lstm_row(l, step, b) * l->units, h, (size_t)l->units * sizeof *h);
}

static nrw_status get_room(nrw_eval *e, job *j) {
    const lstm *l = &j->l;
    int64_t rows, all;
    if (!nrw_mul_i64(l->steps, l->batch, &rows) || !nrw_mul_i64(rows, l->cells, &all))
        NRW_OOM(e->err);
    for (int g = 0; g < N_GATES; g++) {
        j->xw[g] = nrw_eval_scratch(e, all, sizeof(float));
        j->gate[g] = nrw_eval_scratch(e, l->batch * l->cells, sizeof(float));
        if (j->xw[g] == NULL || j->gate[g] == NULL) NRW_OOM(e->err);
        if (j->in[LSTM_W + g] == NULL) continue;
        nrw_mm_nt_f32(rows, l->cells, l->input, j->in[LSTM_X], l->input, j->in[LSTM_W + g],
                      l->input, j->xw[g], l->cells, 0);
    }
    j->h = nrw_eval_scratch(e, l->batch * l->units, sizeof(float));
    j->c = nrw_eval_scratch(e, l->batch * l->cells, sizeof(float));
    if (j->h == NULL || j->c == NULL) NRW_OOM(e->err);
    NRW_TRY(nrw_tflite_lstm_state(e, LSTM_H, l->batch, l->units, j->h, sizeof(float)));
    return nrw_tflite_lstm_state(e, LSTM_C, l->batch, l->cells, j->c, sizeof(float));
}

static nrw_status run(nrw_eval *e) {
    job j = {.act = (int)nrw_attr_int(e->node, "fused_activation_function", 0)};
    NRW_TRY(nrw_tflite_lstm_read(e, &j.l));
    const lstm *l = &j.l;
    for (int i = 0; i < l->plain; i++) {
        if (e->in[i] != NULL && e->in[i]->dtype != NRW_F32)
            NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "input %d is no f32", i);
        NRW_TRY(nrw_floats_in(e, i, &j.in[i]));
    }
    j.y = e->out[0].data;
    NRW_TRY(get_room(e, &j));
    for (int64_t step = 0; step < l->steps; step++) {
        for (int g = 0; g < N_GATES; g++) {
            if (j.in[LSTM_W + g] == NULL) continue;
            for (int64_t b = 0; b < l->batch; b++)
                memcpy(j.gate[g] + b * l->cells,
                       j.xw[g] + nrw_tflite_lstm_row(l, step, b) * l->cells,
                       (size_t)l->cells * sizeof(float));
            nrw_mm_nt_f32(l->batch, l->cells, l->units, j.h, l->units, j.in[LSTM_R + g], l->units,
                          j.gate[g], l->cells, 1);
        }
        for (int64_t b = 0; b < l->batch; b++) finish_step(&j, step, b);
    }
    const size_t row = (size_t)l->batch * sizeof(float);
    if (e->n_out > 1 && e->out[1].data != NULL) memcpy(e->out[1].data, j.h, row * (size_t)l->units);
    if (e->n_out > 2 && e->out[2].data != NULL) memcpy(e->out[2].data, j.c, row * (size_t)l->cells);
    return NRW_OK;
}

static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    lstm l;
    (void)out;
    if (read_dims(n, in, &l, NULL) != NRW_OK) return 0;
    if (l.steps < 0 || l.batch < 0 || l.input < 0 || l.cells < 0 || l.units < 0) return 0;
    return l.steps * l.batch * N_GATES * l.cells * (l.input + l.units);
}

static const nrw_attr_def attrs[] = {{"fused_activation_function", NRW_ATTR_INT, false},
                                     {"cell_clip", NRW_ATTR_FLOAT, false},
                                     {"proj_clip", NRW_ATTR_FLOAT, false},
                                     {"time_major", NRW_ATTR_INT, false},
                                     {"reverse", NRW_ATTR_INT, false},
                                     {"asymmetric_quantize_inputs", NRW_ATTR_INT, false},
                                     {"diagonal_recurrent_tensors", NRW_ATTR_INT, false},
                                     {"intermediates", NRW_ATTR_INT, false},
                                     {0}};

static const nrw_case cases[] = {
    {"graph main(%x: f32[2,3,4]) {\n"
     "  const %w: f32[5,4] = random 1\n"
     "  const %r: f32[5,3] = random 2\n"
     "  const %b: f32[5] = random 3\n"
     "  const %p: f32[3,5] = random 4\n"
     "  const %n: f32[5] = random 5\n"
     "  %y: f32[2,3,3], %h: f32[2,3], %c: f32[2,5] = tflite::UNIDIRECTIONAL_SEQUENCE_LSTM(%x, %w, "
     "%w, %w, %w, %r, %r, %r, %r, %b, %b, %b, %b, %b, %b, %b, %p, _, _, _, %n, %n, %n, %n) "
     "{fused_activation_function=4, cell_clip=0.5, proj_clip=0.3}\n"
     "  return %y, %h, %c }",
     -1, 1},
    {"graph main(%x: f32[N,2,4]) {\n"
     "  const %w: f32[5,4] = random 1\n"
     "  const %r: f32[5,5] = random 2\n"
     "  const %h: f32[1,5] = random 3\n"
     "  %y: f32[N,2,5] = tflite::UNIDIRECTIONAL_SEQUENCE_LSTM(%x, _, %w, %w, %w, _, %r, %r, %r, _, "
     "_, _, _, _, _, _, _, _, %h, %h) {fused_activation_function=3, time_major=1, reverse=1}\n"
     "  return %y }",
     -1, 1},
    {"graph main(%x: f32[2,3,4] q(i8, scale=0.01, zero=5)) {\n"
     "  const %w: i8[4,4] q(i8, scale=0.01, zero=0) = random 1\n"
     "  const %b: i32[4] q(i32, scale=0.0001, zero=0) = [10, -200, 0, 3000]\n"
     "  const %h: i8[2,4] q(i8, scale=0.0078, zero=-3) = [-3]\n"
     "  const %c: i16[2,4] q(i16, scale=0.00048828125, zero=0) = [0]\n"
     "  const %g: i16[] q(i16, scale=0.000244140625, zero=0) = [0]\n"
     "  const %m: i8[] q(i8, scale=0.0078, zero=-3) = [0]\n"
     "  %y: f32[2,3,4] q(i8, scale=0.0078, zero=-3) = tflite::UNIDIRECTIONAL_SEQUENCE_LSTM(%x, %w, "
     "%w, %w, %w, %w, %w, %w, %w, _, _, _, %b, %b, %b, %b, _, _, %h, %c, _, _, _, _, %g, %g, %g, "
     "%g, %m) "
     "{fused_activation_function=4, intermediates=5}\n"
     "  return %y }",
     -1, 1},
    {0}};

static const nrw_op lstm_row = {
    .name = "UNIDIRECTIONAL_SEQUENCE_LSTM",
    .domain = "tflite",
    .min_in = 1,
    .max_in = LSTM_INPUTS + 5,
    .min_out = 1,
    .max_out = 3,
    .attrs = attrs,
    .infer = infer,
    .reference = run,
    .integer = nrw_tflite_lstm_integer,
    .integer_ok = nrw_tflite_lstm_integer_ok,
    .macs = macs,
    .onnx = {"UNIDIRECTIONAL_SEQUENCE_LSTM", 1},
    .cases = cases,
};

NRW_OPS(tflite_lstm, &lstm_row);
