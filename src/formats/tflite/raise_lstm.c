/* Layers of LSTM, of one step, of a sequence, of both directions: all become the same part, which
 * is ONNX's LSTM where that says the same, and the row of ops/tflite_lstm.c where it does not. */
#include <math.h>
#include <string.h>

#include "formats/tflite/recurrent.h"
#include "passes/match.h"

enum { N_GATES = 4 }; /* input, forget, cell, output */

typedef struct part {
    nrw_value *x; /* of rank 3 */
    nrw_value *w[N_GATES], *r[N_GATES], *peep[3], *bias[N_GATES], *norm[N_GATES];
    nrw_value *proj, *proj_bias, *h, *c, *intermediates[5];
    bool time_major, reverse;
} part;

/* The weights of a part as ONNX has them. */
typedef struct weights {
    nrw_value *w, *r, *b, *p;
    int64_t input, units;
} weights;

static void read_part(const rewriting *r, int first, part *p) {
    for (int g = 0; g < N_GATES; g++) {
        p->w[g] = rule_in(r, first + g);
        p->r[g] = rule_in(r, first + 4 + g);
        if (g < 3) p->peep[g] = rule_in(r, first + 8 + g);
        p->bias[g] = rule_in(r, first + 11 + g);
    }
    p->proj = rule_in(r, first + 15);
    p->proj_bias = rule_in(r, first + 16);
}

/* ONNX's order is input, output, forget, cell. A gate without weights lets through what the forget
 * gate does not: 1 - sigmoid(v) = sigmoid(-v). */
static bool put_gates(rewriting *r, nrw_value *const *gates, bool coupled, int64_t each,
                      float *out) {
    static const int order[N_GATES] = {0, 3, 1, 2};
    for (int g = 0; g < N_GATES; g++) {
        const bool negated = g == 0 && coupled;
        const nrw_value *v = gates[negated ? 1 : order[g]];
        float *to = out + g * each;
        if (v == NULL) {
            memset(to, 0, (size_t)each * sizeof *to);
            continue;
        }
        if (!nrw_tflite_floats(r, v, each, to)) return false;
        for (int64_t i = 0; negated && i < each; i++) to[i] = -to[i];
    }
    return true;
}

static bool put_peepholes(rewriting *r, const part *p, bool coupled, int64_t units, float *out) {
    nrw_value *const list[3] = {p->peep[coupled ? 1 : 0], p->peep[2], p->peep[1]};
    for (int k = 0; k < 3; k++) {
        if (!nrw_tflite_floats(r, list[k], units, out + k * units)) return false;
        for (int64_t i = 0; k == 0 && coupled && i < units; i++) out[i] = -out[i];
    }
    return true;
}

/* false: they are not constants, or have the wrong sizes. */
static bool make_weights(rewriting *r, const part *p, weights *out) {
    const nrw_type *w = &p->w[3]->type, *rec = &p->r[3]->type;
    const bool coupled = p->w[0] == NULL;
    if (!nrw_is_const(p->w[3]) || !nrw_is_const(p->r[3]) || w->rank != 2 || rec->rank != 2)
        return false;
    const int64_t u = out->units = w->dims[0], in = out->input = w->dims[1];
    float *to_w, *to_r, *to_b, *to_p = NULL;
    if (u < 1 || u > INT32_MAX / 8 || rec->dims[0] != u || rec->dims[1] != u) return false;
    const char *like = p->w[3]->name;
    out->w = nrw_new_floats(r->graph, like, 3, (int64_t[]){1, 4 * u, in}, &to_w);
    out->r = nrw_new_floats(r->graph, p->r[3]->name, 3, (int64_t[]){1, 4 * u, u}, &to_r);
    out->b = nrw_new_floats(r->graph, like, 2, (int64_t[]){1, 8 * u}, &to_b);
    out->p = NULL;
    if (p->peep[2] != NULL)
        out->p = nrw_new_floats(r->graph, like, 2, (int64_t[]){1, 3 * u}, &to_p);
    if (out->w == NULL || out->r == NULL || out->b == NULL || (p->peep[2] && out->p == NULL)) {
        r->failed = true;
        return false;
    }
    memset(to_b, 0, (size_t)(8 * u) * sizeof *to_b);
    return put_gates(r, p->w, coupled, u * in, to_w) && put_gates(r, p->r, coupled, u * u, to_r) &&
           put_gates(r, p->bias, coupled, u, to_b) &&
           (to_p == NULL || put_peepholes(r, p, coupled, u, to_p));
}

/* Cells change by less than 1 a step: a clip beyond the number of steps changes nothing. Keras
 * writes 10 everywhere, which is kept for our own kernel's sake; less than that is in earnest. */
static bool clip_matters(const rewriting *r, const part *p) {
    const float clip = nrw_attr_float(r->node, "cell_clip", 0);
    const int64_t steps = p->x->type.rank == 3 ? p->x->type.dims[p->time_major ? 0 : 1] : -1;
    const bool bounded =
        rule_int(r, "fused_activation_function", 0) == ACT_TANH && nrw_tflite_is_zero(p->c);
    return clip > 0 && (!bounded || steps < 0 || (float)steps > clip);
}

static bool suits_onnx(const rewriting *r, const part *p) {
    enum { keras = 10 };
    const int64_t act = rule_int(r, "fused_activation_function", 0);
    if (p->proj != NULL || p->norm[1] != NULL || p->x->quant != NULL) return false;
    if (act != ACT_NONE && act != ACT_RELU && act != ACT_TANH) return false;
    return !clip_matters(r, p) || nrw_attr_float(r->node, "cell_clip", 0) >= keras;
}

static nrw_value *emit_onnx(rewriting *r, const part *p, const weights *w) {
    static const int64_t swap[3] = {1, 0, 2};
    const int64_t act = rule_int(r, "fused_activation_function", 0);
    const char *name = act == ACT_TANH ? "Tanh" : act == ACT_RELU ? "Relu" : "Affine";
    nrw_value *x = p->time_major ? p->x : rule_turn(r, p->x, 3, swap);
    nrw_value *h = nrw_tflite_start(r, p->h, w->units), *c = nrw_tflite_start(r, p->c, w->units);
    nrw_value *v = EMIT(r, "LSTM", x, w->w, w->r, w->b, NULL, h, c, w->p);
    v = rule_set_int(r, v, "hidden_size", w->units);
    if (p->reverse) v = rule_set_str(r, v, "direction", "reverse");
    if (clip_matters(r, p))
        v = rule_set_float(r, v, "cell_clip", nrw_attr_float(r->node, "cell_clip", 0));
    if (act != ACT_TANH)
        v = nrw_tflite_set_words(r, v, "activations", 3, (const char *[]){"Sigmoid", name, name});
    if (nrw_tflite_state_lives(r, p->h))
        nrw_tflite_set_state(r, p->h, rule_squeeze(r, rule_second(r, v, 1), 0));
    if (nrw_tflite_state_lives(r, p->c))
        nrw_tflite_set_state(r, p->c, rule_squeeze(r, rule_second(r, v, 2), 0));
    v = rule_squeeze(r, v, 1);
    return p->time_major ? v : rule_turn(r, v, 3, swap);
}

static nrw_value *emit_row(rewriting *r, const part *p) {
    static const char *const reals[] = {"cell_clip", "proj_clip"};
    enum { first = 24 };
    nrw_value *in[first + 5] = {p->x};
    const bool inner = p->intermediates[4] != NULL;
    for (int g = 0; g < N_GATES; g++) {
        in[1 + g] = p->w[g];
        in[5 + g] = p->r[g];
        if (g < 3) in[9 + g] = p->peep[g];
        in[12 + g] = p->bias[g];
        in[20 + g] = p->norm[g];
    }
    in[16] = p->proj;
    in[17] = p->proj_bias;
    in[18] = p->h;
    in[19] = p->c;
    for (int i = 0; inner && i < 5; i++) in[first + i] = p->intermediates[i];
    r->domain = "tflite";
    nrw_value *v = rule_emit(r, "UNIDIRECTIONAL_SEQUENCE_LSTM", first + 5, in);
    r->domain = "";
    v = rule_set_int(r, v, "fused_activation_function",
                     rule_int(r, "fused_activation_function", 0));
    for (int i = 0; i < 2; i++) {
        const float x = nrw_attr_float(r->node, reals[i], 0);
        if (x > 0) v = rule_set_float(r, v, reals[i], x);
    }
    if (p->time_major) v = rule_set_int(r, v, "time_major", 1);
    if (p->reverse) v = rule_set_int(r, v, "reverse", 1);
    if (inner) v = rule_set_int(r, v, "intermediates", 5);
    if (nrw_tflite_state_lives(r, p->h))
        nrw_tflite_set_state(r, p->h, rule_quant_as(r, rule_second(r, v, 1), p->h));
    if (nrw_tflite_state_lives(r, p->c))
        nrw_tflite_set_state(r, p->c, rule_quant_as(r, rule_second(r, v, 2), p->c));
    return v;
}

static bool is_whole(const part *p) {
    bool whole = p->x != NULL && p->x->type.rank == 3 && (p->w[0] == NULL) == (p->r[0] == NULL);
    for (int g = 1; g < N_GATES; g++) whole = whole && p->w[g] != NULL && p->r[g] != NULL;
    const bool peeps = p->peep[1] != NULL && (p->peep[0] != NULL || p->w[0] == NULL);
    return whole && (p->peep[2] == NULL || peeps);
}

static nrw_value *emit_part(rewriting *r, const part *p) {
    weights w;
    if (suits_onnx(r, p) && make_weights(r, p, &w)) return emit_onnx(r, p, &w);
    return r->failed ? NULL : emit_row(r, p);
}

/* Normalization and what comes behind the inputs. */
static void read_rest(const rewriting *r, part *p) {
    const int n = r->node->n_inputs, inner = (int)rule_int(r, "intermediates", 0);
    p->h = rule_in(r, 18);
    p->c = rule_in(r, 19);
    for (int g = 0; g < N_GATES && n - inner >= 24; g++) p->norm[g] = rule_in(r, 20 + g);
    for (int i = 0; i < 5 && inner == 5; i++) p->intermediates[i] = rule_in(r, n - 5 + i);
}

static nrw_status raise_sequence(rewriting *r, bool *done) {
    part p = {.x = rule_in(r, 0), .time_major = rule_int(r, "time_major", 0) != 0};
    read_part(r, 1, &p);
    read_rest(r, &p);
    if (!is_whole(&p) || rule_int(r, "diagonal_recurrent_tensors", 0) != 0) return NRW_OK;
    nrw_value *v = emit_part(r, &p);
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

/* The kernel of version 2, lite/kernels/lstm.cc (basic): gates are in the order input, cell,
 * forget, output; the state goes in and out as a value. */
static nrw_status raise_basic(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *h = rule_in(r, 1), *c = rule_in(r, 4), *gate[4];
    if (r->node->n_inputs != 5 || x == NULL || h == NULL || c == NULL || rule_in(r, 2) == NULL)
        return NRW_OK;
    nrw_value *both = rule_set_int(r, EMIT(r, "Concat", x, h), "axis", 1);
    nrw_value *sum = EMIT(r, "Gemm", both, rule_in(r, 2), rule_in(r, 3));
    sum = rule_set_int(r, sum, "transB", 1);
    gate[0] = rule_set_int(r, EMIT(r, "Split", sum), "num_outputs", 4);
    gate[0] = rule_set_int(r, gate[0], "axis", 1);
    for (int i = 1; i < 4; i++) gate[i] = rule_second(r, gate[0], i);
    nrw_value *added = EMIT(r, "Mul", EMIT(r, "Sigmoid", gate[0]), EMIT(r, "Tanh", gate[1]));
    nrw_value *kept = EMIT(r, "Mul", EMIT(r, "Sigmoid", gate[2]), c);
    nrw_value *state = EMIT(r, "Add", added, kept);
    nrw_value *y = EMIT(r, "Mul", EMIT(r, "Tanh", state), EMIT(r, "Sigmoid", gate[3]));
    rule_finish(r, y);
    rule_finish_output(r, 1, state);
    rule_finish_output(r, 2, both);
    rule_finish_output(r, 3, sum);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_step(rewriting *r, bool *done) {
    if (rule_int(r, "kernel_type", 0) == 1) return raise_basic(r, done);
    part p = {.x = rule_in(r, 0), .time_major = true};
    if (p.x == NULL || p.x->type.rank != 2) return NRW_OK;
    p.x = nrw_tflite_one_step(r, p.x);
    if (r->failed) return NRW_OK;
    read_part(r, 1, &p);
    read_rest(r, &p);
    if (!is_whole(&p)) return NRW_OK;
    nrw_value *v = emit_part(r, &p);
    if (!r->failed) v = rule_quant_as(r, v, rule_out(r));
    rule_finish(r, rule_squeeze(r, v, 0));
    *done = true;
    return NRW_OK;
}

/* lite/kernels/bidirectional_sequence_lstm.cc. */
static nrw_status raise_both(rewriting *r, bool *done) {
    const bool time_major = rule_int(r, "time_major", 1) != 0;
    part p[2] = {{.time_major = time_major}, {.time_major = time_major, .reverse = true}};
    nrw_value *aux = rule_in(r, 39), *y[2];
    const bool stacked = rule_in(r, 41) != NULL && aux != NULL;
    p[0].x = rule_in(r, 0);
    /* Without weights of its own, the second input is the backward direction's. */
    p[1].x = aux != NULL && !stacked ? aux : p[0].x;
    for (int d = 0; d < 2; d++) {
        read_part(r, d == 0 ? 1 : 18, &p[d]);
        p[d].h = rule_in(r, 35 + 2 * d);
        p[d].c = rule_in(r, 36 + 2 * d);
        if (!is_whole(&p[d])) return NRW_OK;
        for (int g = 0; g < N_GATES && stacked; g++) {
            if (p[d].w[g] == NULL) continue;
            p[d].w[g] = nrw_tflite_beside(r, p[d].w[g], rule_in(r, 40 + 4 * d + g));
            if (p[d].w[g] == NULL) return NRW_OK;
        }
    }
    if (stacked) {
        nrw_value *wide = rule_set_int(r, EMIT(r, "Concat", p[0].x, aux), "axis", 2);
        if (r->failed) return NRW_OK;
        wide->type =
            nrw_type_make(NRW_F32, 3, (int64_t[]){p[0].x->type.dims[0], p[0].x->type.dims[1], -1});
        p[0].x = p[1].x = wide;
    }
    for (int d = 0; d < 2; d++) y[d] = emit_part(r, &p[d]);
    nrw_tflite_finish_both(r, y);
    *done = true;
    return NRW_OK;
}

const nrw_tflite_rule nrw_tflite_lstm_rules[] = {
    {"UNIDIRECTIONAL_SEQUENCE_LSTM", raise_sequence},
    {"BIDIRECTIONAL_SEQUENCE_LSTM", raise_both},
    {"LSTM", raise_step},
    {NULL, NULL},
};
