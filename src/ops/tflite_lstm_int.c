/* TensorFlow Lite's LSTM in integers, to the bit: lite/kernels/lstm_eval.cc (LstmStepInteger8x8_16)
 * and unidirectional_sequence_lstm.cc (PopulateQuantizedLstmParams8x8_16). Inputs, weights and the
 * output state are int8, cells int16 with a power of two for their scale, gates int16 with 12 bits
 * behind the point. */
#include <math.h>
#include <string.h>

#include "base/wide.h"
#include "ops/floats.h"
#include "ops/move.h"
#include "ops/tflite_fixed.h"
#include "ops/tflite_lstm.h"

typedef struct nrw_tflite_lstm lstm;

enum { NEEDED = 5 }; /* four gates' sums, what goes into the projection */

typedef struct gate {
    const int8_t *w, *r;
    const int16_t *peep, *norm;
    const int32_t *bias;
    int32_t *w_bias, *r_bias; /* with the zero points' share */
    nrw_fixed_factor w_scale, r_scale, peep_scale, norm_scale;
    int32_t least_variance;
    int16_t *out; /* [cells] */
} gate;

typedef struct job {
    lstm l;
    gate gates[N_GATES];
    bool coupled;
    int cell_shift; /* cells are cell * 2^cell_shift */
    int16_t cell_clip;
    int8_t proj_clip;
    const int8_t *x, *proj;
    int32_t *proj_bias;
    nrw_fixed_factor hidden_scale, proj_scale;
    int32_t hidden_zero, output_zero;
    int8_t *h, *y, *hidden;
    int16_t *c;
} job;

static const nrw_quant *quant_of(const nrw_node *n, int i) {
    return i < n->n_inputs && n->inputs[i] != NULL ? n->inputs[i]->quant : NULL;
}

/* The engine's activations may be unsigned: the same bytes with the top bit flipped. */
static int32_t signed_zero(const nrw_quant *q) {
    return q->zero_point[0] - (q->dtype == NRW_U8 ? 128 : 0);
}

static void flip(int8_t *bytes, int64_t n) {
    for (int64_t i = 0; i < n; i++) bytes[i] = (int8_t)(bytes[i] ^ -128);
}

static bool is_byte(const nrw_node *n, int i) {
    return nrw_quant_is_byte(quant_of(n, i));
}

static bool is_stored(const nrw_node *n, int i, nrw_dtype t, bool needed) {
    if (i >= n->n_inputs || n->inputs[i] == NULL) return !needed;
    const nrw_quant *q = n->inputs[i]->quant;
    return q != NULL && q->dtype == t && q->axis < 0 && !q->dynamic;
}

static bool is_power(float scale, int *log) {
    const float half = frexpf(scale, log);
    --*log;
    return half == 0.5f;
}

bool nrw_tflite_lstm_integer_ok(const nrw_node *n) {
    const int plain = n->n_inputs - NEEDED;
    const nrw_quant *y = n->outputs[0] != NULL ? n->outputs[0]->quant : NULL;
    int log;
    if (nrw_attr_int(n, "intermediates", 0) != NEEDED || plain != LSTM_INPUTS || y == NULL)
        return false;
    bool ok = nrw_quant_is_byte(y) && is_byte(n, LSTM_X) && is_byte(n, LSTM_H) &&
              is_stored(n, LSTM_C, NRW_I16, true) && is_stored(n, LSTM_PROJ, NRW_I8, false) &&
              is_stored(n, LSTM_PROJ_BIAS, NRW_I32, false) &&
              quant_of(n, plain + NEEDED - 1) != NULL;
    const bool norm = n->inputs[LSTM_NORM + GATE_FORGET] != NULL;
    for (int g = 0; g < N_GATES && ok; g++) {
        const bool needed = g != GATE_INPUT || n->inputs[LSTM_W] != NULL;
        const int peep = nrw_tflite_lstm_peep(g);
        ok = is_stored(n, LSTM_W + g, NRW_I8, needed) && is_stored(n, LSTM_R + g, NRW_I8, needed) &&
             is_stored(n, LSTM_BIAS + g, NRW_I32, needed) &&
             (peep < 0 || is_stored(n, LSTM_PEEP + peep, NRW_I16, false)) &&
             (n->inputs[LSTM_NORM + g] != NULL) == (norm && needed) &&
             (!norm ||
              (is_stored(n, LSTM_NORM + g, NRW_I16, needed) && quant_of(n, plain + g) != NULL));
    }
    for (int i = 1; i < n->n_outputs && ok; i++) {
        if (n->outputs[i] == NULL) continue;
        const nrw_quant *q = n->outputs[i]->quant, *in = quant_of(n, LSTM_H + i - 1);
        ok = q != NULL && (i == 1 ? nrw_quant_is_byte(q) : q->dtype == NRW_I16 && q->axis < 0) &&
             q->scale[0] == in->scale[0] && signed_zero(q) == signed_zero(in);
    }
    return ok && is_power(quant_of(n, LSTM_C)->scale[0], &log) && log >= -15 && log <= -9;
}

static float scale_of(const nrw_node *n, int i) {
    const nrw_quant *q = quant_of(n, i);
    return q != NULL ? q->scale[0] : 1.0f;
}

static const void *data_of(nrw_eval *e, int i) {
    return nrw_has_input(e, i) ? e->in[i]->data : NULL;
}

/* bias + factor * (the sum of each row). */
static nrw_status share(nrw_eval *e, const int8_t *w, const int32_t *bias, int32_t factor,
                        int64_t rows, int64_t columns, int32_t **out) {
    if ((*out = nrw_eval_scratch(e, rows, sizeof **out)) == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < rows; i++) {
        int64_t sum = 0;
        for (int64_t k = 0; k < columns; k++) sum += w[i * columns + k];
        (*out)[i] = (int32_t)(uint32_t)((bias != NULL ? bias[i] : 0) + factor * sum);
    }
    return NRW_OK;
}

static nrw_status set_gate(nrw_eval *e, job *j, int g) {
    const nrw_node *n = e->node;
    const lstm *l = &j->l;
    gate *o = &j->gates[g];
    const int peep = nrw_tflite_lstm_peep(g);
    o->out = nrw_eval_scratch(e, l->cells, sizeof *o->out);
    if (o->out == NULL) NRW_OOM(e->err);
    o->w = data_of(e, LSTM_W + g);
    o->r = data_of(e, LSTM_R + g);
    o->bias = data_of(e, LSTM_BIAS + g);
    o->peep = peep >= 0 ? data_of(e, LSTM_PEEP + peep) : NULL;
    o->norm = data_of(e, LSTM_NORM + g);
    if (o->w == NULL) return NRW_OK;
    /* Without normalization the sums are what the gate's function takes. */
    const float sums = o->norm != NULL ? scale_of(n, l->plain + g) : 1.0f / 4096;
    const double cell = ldexp(1, j->cell_shift);
    o->w_scale = nrw_fixed_from((double)(scale_of(n, LSTM_W + g) * scale_of(n, LSTM_X) / sums));
    o->r_scale = nrw_fixed_from((double)(scale_of(n, LSTM_R + g) * scale_of(n, LSTM_H) / sums));
    if (o->peep != NULL)
        o->peep_scale = nrw_fixed_from(
            (double)(float)(cell * (double)scale_of(n, LSTM_PEEP + peep) / (double)sums));
    if (o->norm != NULL) {
        const float scale = scale_of(n, LSTM_NORM + g);
        o->norm_scale = nrw_fixed_from((double)scale);
        o->least_variance = nrw_fixed_clamp((int64_t)fminf(10000 * scale, 1e9f), 1, INT32_MAX);
    }
    NRW_TRY(share(e, o->w, o->norm == NULL ? o->bias : NULL, -signed_zero(quant_of(n, LSTM_X)),
                  l->cells, l->input, &o->w_bias));
    return share(e, o->r, NULL, -signed_zero(quant_of(n, LSTM_H)), l->cells, l->units, &o->r_bias);
}

static nrw_status set_output(nrw_eval *e, job *j) {
    const nrw_node *n = e->node;
    const lstm *l = &j->l;
    const nrw_quant *hidden = quant_of(n, l->plain + NEEDED - 1);
    const float root = 1.0f / 32768;
    j->hidden_zero = signed_zero(hidden);
    j->hidden_scale =
        nrw_fixed_from((double)(float)((double)root / (double)hidden->scale[0] * (double)root));
    j->proj_scale =
        nrw_fixed_from((double)(scale_of(n, LSTM_PROJ) * hidden->scale[0] / scale_of(n, LSTM_H)));
    if (l->cell_clip > 0)
        j->cell_clip = (int16_t)fminf(l->cell_clip / scale_of(n, LSTM_C), 32767.0f);
    if (l->proj_clip > 0)
        j->proj_clip = (int8_t)fminf(l->proj_clip / n->outputs[0]->quant->scale[0], 127.0f);
    j->output_zero = signed_zero(quant_of(n, LSTM_H));
    j->proj = data_of(e, LSTM_PROJ);
    /* The zero point's sign is as it is there. */
    if (j->proj != NULL)
        NRW_TRY(share(e, j->proj, data_of(e, LSTM_PROJ_BIAS), j->hidden_zero, l->units, l->cells,
                      &j->proj_bias));
    return NRW_OK;
}

/* One step of one sample. */

NRW_WIDE static int32_t dot(const int8_t *a, const int8_t *b, int64_t n, int32_t from) {
    uint32_t sum = (uint32_t)from;
    for (int64_t i = 0; i < n; i++) sum += (uint32_t)(a[i] * b[i]);
    return (int32_t)sum;
}

static int16_t to_16(int64_t x) {
    return (int16_t)nrw_fixed_clamp(x, INT16_MIN, INT16_MAX);
}

static void normalize(const gate *o, int16_t *v, int64_t n) {
    int64_t sum = 0, squares = 0;
    if (n == 0) return;
    for (int64_t i = 0; i < n; i++) {
        sum += v[i];
        squares += v[i] * v[i];
    }
    const int64_t mean = sum * 1024 / n;
    const int64_t variance = (squares * ((1 << 20) / n) - mean * mean) / (1 << 20);
    const nrw_fixed_factor scale =
        nrw_fixed_inverse_root(variance < 1 ? o->least_variance : (int32_t)variance);
    const nrw_fixed_factor wide = {o->norm_scale.mantissa, o->norm_scale.shift + 12};
    for (int64_t i = 0; i < n; i++) {
        const int32_t centered = (int32_t)(1024 * v[i] - mean);
        const int64_t w = (int64_t)nrw_fixed_scale(centered, scale) * o->norm[i] + o->bias[i];
        v[i] = to_16(nrw_fixed_scale((int32_t)((w > 0 ? w + 512 : w - 512) / 1024), wide));
    }
}

static void run_gate(const job *j, int g, const int8_t *x, const int8_t *h, const int16_t *c) {
    const gate *o = &j->gates[g];
    const lstm *l = &j->l;
    for (int64_t i = 0; i < l->cells; i++) {
        int32_t acc = dot(x, o->w + i * l->input, l->input, o->w_bias[i]);
        int16_t v = to_16(nrw_fixed_scale(acc, o->w_scale));
        acc = dot(h, o->r + i * l->units, l->units, o->r_bias[i]);
        v = to_16((int64_t)nrw_fixed_scale(acc, o->r_scale) + v);
        if (o->peep != NULL)
            v = to_16((int64_t)nrw_fixed_scale(o->peep[i] * c[i], o->peep_scale) + v);
        o->out[i] = v;
    }
    if (o->norm != NULL) normalize(o, o->out, l->cells);
    for (int64_t i = 0; i < l->cells; i++)
        o->out[i] = g == GATE_CELL ? nrw_fixed_tanh(o->out[i], 3) : nrw_fixed_sigmoid(o->out[i]);
}

static void run_cells(const job *j, int16_t *c) {
    const int16_t *f = j->gates[GATE_FORGET].out, *u = j->gates[GATE_CELL].out;
    const int16_t *in = j->gates[GATE_INPUT].out;
    for (int64_t i = 0; i < j->l.cells; i++) {
        const int32_t lets = j->coupled ? INT16_MAX - f[i] : in[i];
        const int32_t kept = (int16_t)nrw_fixed_divide(f[i] * c[i], 15);
        const int32_t added = (int16_t)nrw_fixed_divide(lets * u[i], 30 + j->cell_shift);
        c[i] = to_16(kept + added);
        if (j->cell_clip > 0) c[i] = (int16_t)nrw_fixed_clamp(c[i], -j->cell_clip, j->cell_clip);
    }
}

static void project(const job *j, int8_t *h) {
    const lstm *l = &j->l;
    for (int64_t i = 0; i < l->units; i++) {
        const int32_t acc = dot(j->hidden, j->proj + i * l->cells, l->cells, j->proj_bias[i]);
        const int64_t v = (int64_t)nrw_fixed_scale(acc, j->proj_scale) + j->output_zero;
        h[i] = (int8_t)nrw_fixed_clamp(v, -128, 127);
        if (j->proj_clip > 0) h[i] = (int8_t)nrw_fixed_clamp(h[i], -j->proj_clip, j->proj_clip);
    }
}

static void run_step(const job *j, int64_t step, int64_t b) {
    const lstm *l = &j->l;
    const int64_t row = nrw_tflite_lstm_row(l, step, b);
    const int8_t *x = j->x + row * l->input;
    int8_t *h = j->h + b * l->units;
    int16_t *c = j->c + b * l->cells;
    run_gate(j, GATE_FORGET, x, h, c);
    run_gate(j, GATE_CELL, x, h, c);
    if (!j->coupled) run_gate(j, GATE_INPUT, x, h, c);
    run_cells(j, c);
    run_gate(j, GATE_OUTPUT, x, h, c);
    for (int64_t i = 0; i < l->cells; i++) {
        const int16_t shown = nrw_fixed_tanh(c[i], 15 + j->cell_shift);
        const int64_t v = nrw_fixed_scale(j->gates[GATE_OUTPUT].out[i] * shown, j->hidden_scale);
        j->hidden[i] = (int8_t)nrw_fixed_clamp(v + j->hidden_zero, -128, 127);
    }
    if (j->proj != NULL)
        project(j, h);
    else
        memcpy(h, j->hidden, (size_t)l->cells);
    if (j->y != NULL) memcpy(j->y + row * l->units, h, (size_t)l->units);
}

static nrw_status set_states(nrw_eval *e, job *j) {
    const lstm *l = &j->l;
    j->x = e->in[LSTM_X]->data;
    if (e->in[LSTM_X]->dtype == NRW_U8) {
        const int64_t n = nrw_tensor_count(e->in[LSTM_X]);
        int8_t *x = nrw_eval_scratch(e, n, 1);
        if (x == NULL) NRW_OOM(e->err);
        if (n > 0) memcpy(x, j->x, (size_t)n);
        flip(x, n);
        j->x = x;
    }
    j->y = e->out[0].data;
    j->h = nrw_eval_scratch(e, l->batch * l->units, sizeof *j->h);
    j->c = nrw_eval_scratch(e, l->batch * l->cells, sizeof *j->c);
    j->hidden = nrw_eval_scratch(e, l->cells, sizeof *j->hidden);
    if (j->h == NULL || j->c == NULL || j->hidden == NULL) NRW_OOM(e->err);
    NRW_TRY(nrw_tflite_lstm_state(e, LSTM_H, l->batch, l->units, j->h, sizeof *j->h));
    if (e->in[LSTM_H]->dtype == NRW_U8) flip(j->h, l->batch * l->units);
    return nrw_tflite_lstm_state(e, LSTM_C, l->batch, l->cells, j->c, sizeof *j->c);
}

nrw_status nrw_tflite_lstm_integer(nrw_eval *e) {
    job j = {0};
    NRW_TRY(nrw_tflite_lstm_read(e, &j.l));
    const lstm *l = &j.l;
    j.coupled = e->in[LSTM_W] == NULL;
    if (!is_power(scale_of(e->node, LSTM_C), &j.cell_shift))
        NRW_FAIL(e->err, NRW_ERR_INTERNAL, "the cells' scale is no power of two");
    for (int g = 0; g < N_GATES; g++) NRW_TRY(set_gate(e, &j, g));
    NRW_TRY(set_output(e, &j));
    NRW_TRY(set_states(e, &j));
    for (int64_t step = 0; step < l->steps; step++) {
        for (int64_t b = 0; b < l->batch; b++) run_step(&j, step, b);
    }
    const int64_t shown = l->batch * l->units;
    if (j.y != NULL && e->out[0].dtype == NRW_U8) flip(j.y, shown * l->steps);
    if (e->n_out > 1 && e->out[1].data != NULL) {
        memcpy(e->out[1].data, j.h, (size_t)shown);
        if (e->out[1].dtype == NRW_U8) flip(e->out[1].data, shown);
    }
    if (e->n_out > 2 && e->out[2].data != NULL)
        memcpy(e->out[2].data, j.c, (size_t)(l->batch * l->cells) * sizeof *j.c);
    return NRW_OK;
}
