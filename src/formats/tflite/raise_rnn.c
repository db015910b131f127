/* Plain recurrent layers, and what rules for all operators with a memory have in common. */
#include <string.h>

#include "formats/tflite/recurrent.h"
#include "passes/match.h"

bool nrw_tflite_floats(rewriting *r, const nrw_value *v, int64_t n, float *out) {
    if (v == NULL || !nrw_is_const(v) || nrw_tensor_count(v->data) != n) return false;
    const nrw_status st = v->data->quant != NULL
                              ? nrw_dequantize(v->data, out, r->err)
                              : nrw_to_f32(v->data->dtype, v->data->data, out, n, r->err);
    return st == NRW_OK;
}

nrw_value *nrw_tflite_beside(rewriting *r, const nrw_value *a, const nrw_value *b) {
    if (r->failed || b == NULL || !nrw_is_const(a) || !nrw_is_const(b)) return NULL;
    const nrw_tensor *x = a->data, *y = b->data;
    if (x->rank != 2 || y->rank != 2 || x->dims[0] != y->dims[0]) return NULL;
    const int64_t rows = x->dims[0], n = x->dims[1], m = y->dims[1];
    float *out;
    float *left = nrw_arena_calloc(r->scratch, (size_t)(rows * n) + 1, sizeof *left);
    float *right = nrw_arena_calloc(r->scratch, (size_t)(rows * m) + 1, sizeof *right);
    nrw_value *v = nrw_new_floats(r->graph, a->name, 2, (int64_t[]){rows, n + m}, &out);
    if (left == NULL || right == NULL || v == NULL) {
        r->failed = true;
        return NULL;
    }
    if (!nrw_tflite_floats(r, a, rows * n, left) || !nrw_tflite_floats(r, b, rows * m, right))
        return NULL;
    for (int64_t i = 0; i < rows; i++) {
        memcpy(out + i * (n + m), left + i * n, (size_t)n * sizeof *out);
        memcpy(out + i * (n + m) + n, right + i * m, (size_t)m * sizeof *out);
    }
    return v;
}

nrw_value *nrw_tflite_set_words(rewriting *r, nrw_value *v, const char *name, int n,
                                const char *const *words) {
    enum { most = 8 };
    nrw_string list[most];
    if (r->failed || n > most) return NULL;
    for (int i = 0; i < n; i++) list[i] = (nrw_string){words[i], strlen(words[i])};
    const nrw_attr a = {.name = name, .type = NRW_ATTR_STRINGS, .n = n, .strings = list};
    if (nrw_node_set_attr(v->producer, &a, r->err) != NRW_OK) r->failed = true;
    return r->failed ? NULL : v;
}

/* States. */

bool nrw_tflite_is_zero(const nrw_value *v) {
    if (v == NULL) return true;
    if (!nrw_is_const(v)) return false;
    const char *p = v->data->data;
    const size_t n = nrw_tensor_bytes(v->data);
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0) return false;
    }
    return true;
}

bool nrw_tflite_state_lives(rewriting *r, const nrw_value *state) {
    if (r->failed || state == NULL) return false;
    const int n = nrw_tflite_read_count(r->scope, state);
    if (n < 0) r->failed = true;
    return n > 1;
}

void nrw_tflite_set_state(rewriting *r, const nrw_value *state, nrw_value *v) {
    for (size_t i = 0; !r->failed && i < r->scope->tensors.n; i++) {
        if (r->scope->values[i] == state) r->scope->values[i] = v;
    }
}

nrw_value *nrw_tflite_start(rewriting *r, nrw_value *state, int64_t units) {
    if (r->failed || nrw_tflite_is_zero(state)) return NULL;
    return rule_reshape(r, state, 3, (int64_t[]){1, -1, units});
}

nrw_value *nrw_tflite_one_step(rewriting *r, nrw_value *x) {
    nrw_value *v = rule_unsqueeze(r, x, 0);
    if (v != NULL)
        v->type = nrw_type_make(NRW_F32, 3, (int64_t[]){1, x->type.dims[0], x->type.dims[1]});
    return v;
}

void nrw_tflite_finish_both(rewriting *r, nrw_value *const *y) {
    if (rule_int(r, "merge_outputs", 0) != 0) {
        rule_finish(r, rule_set_int(r, EMIT(r, "Concat", y[0], y[1]), "axis", 2));
        return;
    }
    rule_finish_output(r, 0, y[0]);
    rule_finish_output(r, 1, y[1]);
}

/* Plain layers: lite/kernels/internal/kernel_utils.cc (RnnBatchStep). */

typedef struct part {
    nrw_value *x, *w, *r, *b, *h;
    bool time_major, reverse;
} part;

/* A clip of what goes into the function makes the limits that ONNX has no function for. */
static nrw_value *set_function(rewriting *r, nrw_value *v) {
    const int64_t act = rule_int(r, "fused_activation_function", 0);
    if (act == ACT_TANH) return v;
    if (act == ACT_RELU6) v = rule_set_float(r, v, "clip", 6);
    if (act == ACT_RELU_N1_TO_1) v = rule_set_float(r, v, "clip", 1);
    const bool relu = act == ACT_RELU || act == ACT_RELU6;
    return nrw_tflite_set_words(r, v, "activations", 1, (const char *[]){relu ? "Relu" : "Affine"});
}

static nrw_value *emit_part(rewriting *r, const part *p) {
    static const int64_t swap[3] = {1, 0, 2};
    const int64_t units = p->w->type.dims[0], input = p->w->type.dims[1];
    float *to_w, *to_r, *to_b;
    nrw_value *w = nrw_new_floats(r->graph, p->w->name, 3, (int64_t[]){1, units, input}, &to_w);
    nrw_value *rec = nrw_new_floats(r->graph, p->r->name, 3, (int64_t[]){1, units, units}, &to_r);
    nrw_value *b = nrw_new_floats(r->graph, p->w->name, 2, (int64_t[]){1, 2 * units}, &to_b);
    if (w == NULL || rec == NULL || b == NULL) {
        r->failed = true;
        return NULL;
    }
    memset(to_b, 0, (size_t)(2 * units) * sizeof *to_b);
    if (!nrw_tflite_floats(r, p->w, units * input, to_w) ||
        !nrw_tflite_floats(r, p->r, units * units, to_r) ||
        (p->b != NULL && !nrw_tflite_floats(r, p->b, units, to_b)))
        return NULL;
    nrw_value *x = p->time_major ? p->x : rule_turn(r, p->x, 3, swap);
    nrw_value *v = EMIT(r, "RNN", x, w, rec, b, NULL, nrw_tflite_start(r, p->h, units));
    v = rule_set_int(r, v, "hidden_size", units);
    if (p->reverse) v = rule_set_str(r, v, "direction", "reverse");
    v = set_function(r, v);
    if (nrw_tflite_state_lives(r, p->h))
        nrw_tflite_set_state(r, p->h, rule_squeeze(r, rule_second(r, v, 1), 0));
    v = rule_squeeze(r, v, 1);
    return p->time_major ? v : rule_turn(r, v, 3, swap);
}

static bool suits(const rewriting *r, const part *p) {
    const nrw_value *w = p->w, *rec = p->r;
    if (p->x == NULL || p->x->type.rank != 3 || p->x->quant != NULL || !rule_knows_activation(r))
        return false;
    if (w == NULL || rec == NULL || !nrw_is_const(w) || !nrw_is_const(rec)) return false;
    const int64_t units = w->type.rank == 2 ? w->type.dims[0] : 0;
    if (p->b != NULL && (!nrw_is_const(p->b) || nrw_tensor_count(p->b->data) != units))
        return false;
    return units > 0 && units < INT32_MAX / 8 && rec->type.rank == 2 &&
           rec->type.dims[0] == units && rec->type.dims[1] == units;
}

static nrw_status raise_sequence(rewriting *r, bool *done) {
    const part p = {rule_in(r, 0), rule_in(r, 1), rule_in(r, 2),
                    rule_in(r, 3), rule_in(r, 4), rule_int(r, "time_major", 0) != 0,
                    false};
    if (!suits(r, &p)) return NRW_OK;
    nrw_value *v = emit_part(r, &p);
    if (v == NULL) return NRW_OK;
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_step(rewriting *r, bool *done) {
    part p = {rule_in(r, 0), rule_in(r, 1), rule_in(r, 2), rule_in(r, 3),
              rule_in(r, 4), true,          false};
    if (p.x == NULL || p.x->type.rank != 2) return NRW_OK;
    p.x = nrw_tflite_one_step(r, p.x);
    if (r->failed || !suits(r, &p)) return NRW_OK;
    nrw_value *v = emit_part(r, &p);
    if (v == NULL) return NRW_OK;
    rule_finish(r, rule_squeeze(r, v, 0));
    *done = true;
    return NRW_OK;
}

/* lite/kernels/bidirectional_sequence_rnn.cc. */
static nrw_status raise_both(rewriting *r, bool *done) {
    const bool time_major = rule_int(r, "time_major", 0) != 0;
    nrw_value *x = rule_in(r, 0), *aux = rule_in(r, 9), *y[2];
    const bool stacked = aux != NULL && rule_in(r, 10) != NULL && rule_in(r, 11) != NULL;
    part p[2];
    for (int d = 0; d < 2; d++) {
        const int at = 1 + 4 * d;
        p[d] = (part){
            x,          rule_in(r, at), rule_in(r, at + 1), rule_in(r, at + 2), rule_in(r, at + 3),
            time_major, d == 1};
        /* Without weights of its own, the second input is the backward direction's; but with the
         * batch first nothing reads it there. */
        if (d == 1 && aux != NULL && !stacked && time_major) p[d].x = aux;
        if (!suits(r, &p[d])) return NRW_OK;
        if (stacked) p[d].w = nrw_tflite_beside(r, p[d].w, rule_in(r, 10 + d));
        if (p[d].w == NULL) return NRW_OK;
    }
    if (stacked) {
        nrw_value *wide = rule_set_int(r, EMIT(r, "Concat", x, aux), "axis", 2);
        p[0].x = p[1].x = wide;
    }
    for (int d = 0; d < 2 && !r->failed; d++) {
        y[d] = emit_part(r, &p[d]);
        if (y[d] == NULL) return NRW_OK;
    }
    nrw_tflite_finish_both(r, y);
    *done = true;
    return NRW_OK;
}

/* Stays what it is, but what it leaves in its state goes on. */
static nrw_status raise_svdf(rewriting *r, bool *done) {
    nrw_value *in[5], *state = rule_in(r, 4);
    if (r->node->n_inputs != 5 || state == NULL) return NRW_OK;
    for (int i = 0; i < 5; i++) in[i] = rule_in(r, i);
    r->domain = "tflite";
    nrw_value *v = rule_emit(r, "SVDF", 5, in);
    r->domain = "";
    v = rule_set_int(r, v, "rank", rule_int(r, "rank", 0));
    v = rule_set_int(r, v, "fused_activation_function",
                     rule_int(r, "fused_activation_function", 0));
    if (nrw_tflite_state_lives(r, state))
        nrw_tflite_set_state(r, state, rule_quant_as(r, rule_second(r, v, 1), state));
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

const nrw_tflite_rule nrw_tflite_rnn_rules[] = {
    {"SVDF", raise_svdf},
    {"RNN", raise_step},
    {"UNIDIRECTIONAL_SEQUENCE_RNN", raise_sequence},
    {"BIDIRECTIONAL_SEQUENCE_RNN", raise_both},
    {NULL, NULL},
};
