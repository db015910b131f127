/* Writing: ONNX's LSTM, with the memory in variables that begin with zeros. */
#include <string.h>

#include "formats/tflite/recurrent.h"
#include "passes/match.h"

enum { N_GATES = 4, INPUTS = 24 };

/* Where lite/kernels/unidirectional_sequence_lstm.cc has what, its gates being input, forget, cell
 * and output. */
enum { AT_X = 0, AT_W = 1, AT_R = 5, AT_PEEP = 9, AT_BIAS = 12, AT_H = 18, AT_C = 19 };
static const int onnx_gate[N_GATES] = {0, 2, 3, 1};
static const int onnx_peep[3] = {0, 2, 1}; /* input, forget, output from input, output, forget */

typedef struct layer {
    int64_t steps, batch, input, units, directions;
    const float *w, *r, *b, *p; /* of all directions; b, p: may be NULL */
} layer;

/* Output i, if somebody reads it. */
static nrw_value *wanted(const nrw_node *n, int i) {
    nrw_value *v = i < n->n_outputs ? n->outputs[i] : NULL;
    return v != NULL && v->n_uses > 0 ? v : NULL;
}

static const float *floats_of(rewriting *r, const nrw_value *v, int64_t n) {
    float *x = nrw_arena_alloc(r->scratch, (size_t)n * sizeof *x + 1);
    return x != NULL && nrw_tflite_floats(r, v, n, x) ? x : NULL;
}

static bool has_words(const nrw_node *n, int64_t directions) {
    static const char *const usual[3] = {"sigmoid", "tanh", "tanh"};
    const nrw_attr *a = nrw_node_attr(n, "activations");
    if (a == NULL) return true;
    if (a->n != 3 * directions) return false;
    for (int64_t i = 0; i < a->n; i++) {
        const nrw_string s = a->strings[i];
        if (s.size != strlen(usual[i % 3]) || strncasecmp(s.data, usual[i % 3], s.size) != 0)
            return false;
    }
    return true;
}

/* What their kernel can do. */
static bool read_layer(rewriting *r, layer *l) {
    const nrw_node *n = r->node;
    const nrw_value *x = rule_in(r, 0), *w = rule_in(r, 1);
    const nrw_value *b = rule_in(r, 3), *p = rule_in(r, 7);
    if (x == NULL || w == NULL || x->type.rank != 3 || w->type.rank != 3 || !rule_is_static(x) ||
        !rule_is_static(w) || x->quant != NULL || x->type.dtype != NRW_F32)
        return false;
    *l = (layer){x->type.dims[0],
                 x->type.dims[1],
                 x->type.dims[2],
                 w->type.dims[1] / N_GATES,
                 w->type.dims[0],
                 NULL,
                 NULL,
                 NULL,
                 NULL};
    if (l->units < 1 || l->units > INT32_MAX / 8 || l->steps < 1 || w->type.dims[2] != l->input ||
        l->directions < 1 || l->directions > 2 || !has_words(n, l->directions))
        return false;
    if (rule_int(r, "layout", 0) != 0 || rule_int(r, "input_forget", 0) != 0 ||
        nrw_attr_float(n, "clip", 0) != 0 || rule_in(r, 4) != NULL ||
        !nrw_tflite_is_zero(rule_in(r, 5)) || !nrw_tflite_is_zero(rule_in(r, 6)))
        return false;
    if (wanted(n, 2) != NULL) return false; /* what becomes of the cells is not an output there */
    const int64_t each = N_GATES * l->units * l->directions;
    l->w = floats_of(r, w, each * l->input);
    l->r = rule_in(r, 2) != NULL ? floats_of(r, rule_in(r, 2), each * l->units) : NULL;
    l->b = b != NULL ? floats_of(r, b, 2 * each) : NULL;
    l->p = p != NULL ? floats_of(r, p, 3 * l->units * l->directions) : NULL;
    return l->w != NULL && l->r != NULL && (b == NULL || l->b != NULL) &&
           (p == NULL || l->p != NULL);
}

static nrw_value *copied(rewriting *r, int rank, const int64_t *dims, const float *from) {
    float *to;
    nrw_value *v = nrw_new_floats(r->graph, NULL, rank, dims, &to);
    if (v == NULL) {
        r->failed = true;
        return NULL;
    }
    const size_t bytes = (size_t)(dims[0] * (rank > 1 ? dims[1] : 1)) * sizeof *to;
    if (from != NULL)
        memcpy(to, from, bytes);
    else
        memset(to, 0, bytes);
    return v;
}

static nrw_value *state(rewriting *r, const layer *l) {
    nrw_value *v = copied(r, 2, (int64_t[]){l->batch, l->units}, NULL);
    if (v != NULL) v->is_state = true;
    return v;
}

/* Both biases of a gate, and zeros without any. */
static nrw_value *bias(rewriting *r, const layer *l, int64_t d, int gate) {
    const int64_t u = l->units;
    float *to;
    nrw_value *v = nrw_new_floats(r->graph, NULL, 1, &u, &to);
    if (v == NULL) {
        r->failed = true;
        return NULL;
    }
    const float *b = l->b != NULL ? l->b + (2 * N_GATES * d + gate) * u : NULL;
    for (int64_t i = 0; i < u; i++) to[i] = b != NULL ? b[i] + b[N_GATES * u + i] : 0;
    return v;
}

static nrw_value *typed(rewriting *r, nrw_value *v, int rank, const int64_t *dims) {
    if (!r->failed) v->type = nrw_type_make(NRW_F32, rank, dims);
    return v;
}

static nrw_value *backwards(rewriting *r, nrw_value *v) {
    if (r->failed) return NULL;
    const nrw_type type = v->type;
    nrw_value *axis = rule_i32s(r, 1, (const int64_t[]){1}, (const int32_t[]){0});
    return typed(r, EMIT(r, "REVERSE_V2", v, axis), type.rank, type.dims);
}

/* [steps][batch][units] of one direction. */
static nrw_value *emit_direction(rewriting *r, const layer *l, int64_t d, bool reverse) {
    const int64_t u = l->units, n = l->input;
    nrw_value *in[INPUTS] = {NULL};
    in[AT_X] = reverse ? backwards(r, rule_in(r, 0)) : rule_in(r, 0);
    for (int g = 0; g < N_GATES; g++) {
        const int64_t row = (N_GATES * d + onnx_gate[g]) * u;
        in[AT_W + g] = copied(r, 2, (int64_t[]){u, n}, l->w + row * n);
        in[AT_R + g] = copied(r, 2, (int64_t[]){u, u}, l->r + row * u);
        in[AT_BIAS + g] = bias(r, l, d, onnx_gate[g]);
    }
    for (int k = 0; k < 3 && l->p != NULL; k++)
        in[AT_PEEP + k] = copied(r, 1, &u, l->p + (3 * d + onnx_peep[k]) * u);
    in[AT_H] = state(r, l);
    in[AT_C] = state(r, l);
    if (r->failed) return NULL;
    nrw_value *v = rule_emit(r, "UNIDIRECTIONAL_SEQUENCE_LSTM", INPUTS, in);
    v = rule_set_int(r, v, "fused_activation_function", 4); /* tanh */
    v = rule_set_int(r, v, "time_major", 1);
    const float clip = nrw_attr_float(r->node, "cell_clip", 0);
    if (clip > 0) v = rule_set_float(r, v, "cell_clip", clip);
    v = typed(r, v, 3, (int64_t[]){l->steps, l->batch, u});
    return reverse ? backwards(r, v) : v;
}

static nrw_value *shaped(rewriting *r, nrw_value *v, int rank, const int64_t *dims) {
    int32_t list[4];
    for (int i = 0; i < rank; i++) list[i] = (int32_t)dims[i];
    nrw_value *shape = rule_i32s(r, 1, (const int64_t[]){rank}, list);
    return typed(r, EMIT(r, "RESHAPE", v, shape), rank, dims);
}

static nrw_value *step(rewriting *r, const layer *l, nrw_value *v, int64_t at) {
    const int64_t three = 3;
    nrw_value *begin = rule_i32s(r, 1, &three, (const int32_t[]){(int32_t)at, 0, 0});
    nrw_value *size =
        rule_i32s(r, 1, &three, (const int32_t[]){1, (int32_t)l->batch, (int32_t)l->units});
    return typed(r, EMIT(r, "SLICE", v, begin, size), 3, (int64_t[]){1, l->batch, l->units});
}

static nrw_value *joined(rewriting *r, const layer *l, nrw_value *const *v, int64_t axis,
                         const nrw_value *like) {
    if (l->directions == 1 || r->failed) return v[0];
    nrw_value *all = rule_emit(r, "CONCATENATION", 2, v);
    all = rule_set_int(r, all, "axis", axis);
    return typed(r, all, like->type.rank, like->type.dims);
}

static nrw_status lower_lstm(rewriting *r, bool *done) {
    layer l;
    if (!read_layer(r, &l)) return NRW_OK;
    const nrw_attr *word = nrw_node_attr(r->node, "direction");
    const bool back = word != NULL && word->s.size > 0 && (word->s.data[0] | 32) == 'r';
    nrw_value *whole[2] = {NULL}, *last[2] = {NULL};
    nrw_value *y = wanted(r->node, 0), *h = wanted(r->node, 1);
    for (int64_t d = 0; d < l.directions; d++) {
        const bool reverse = back || d == 1;
        nrw_value *v = emit_direction(r, &l, d, reverse);
        if (y != NULL) whole[d] = shaped(r, v, 4, (int64_t[]){l.steps, 1, l.batch, l.units});
        if (h != NULL) last[d] = step(r, &l, v, reverse ? 0 : l.steps - 1);
    }
    nrw_value *steps = y != NULL ? joined(r, &l, whole, 1, y) : NULL;
    nrw_value *ends = h != NULL ? joined(r, &l, last, 0, h) : NULL;
    if (y != NULL) rule_finish_output(r, 0, steps);
    if (h != NULL) rule_finish_output(r, 1, ends);
    *done = true;
    return NRW_OK;
}

const nrw_tflite_rule nrw_tflite_lower_lstm_rules[] = {{"LSTM", lower_lstm}, {NULL, NULL}};
