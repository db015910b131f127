#include "passes/turn.h"

#include <string.h>

#include "ops/op.h"
#include "passes/for_plans.h"
#include "passes/match.h"

void nrw_perm_to_last(int rank, int64_t *perm) {
    perm[0] = 0;
    for (int i = 1; i < rank - 1; i++) perm[i] = i + 1;
    perm[rank - 1] = 1;
}

void nrw_perm_to_first(int rank, int64_t *perm) {
    perm[0] = 0;
    perm[1] = rank - 1;
    for (int i = 2; i < rank; i++) perm[i] = i - 1;
}

bool nrw_has_perm(const nrw_node *n, const int64_t *perm, int rank) {
    int64_t count;
    if (!nrw_is(n, "Transpose")) return false;
    const int64_t *p = nrw_attr_ints(n, "perm", &count);
    return p != NULL && count == rank && memcmp(p, perm, (size_t)rank * sizeof *perm) == 0;
}

bool nrw_is_turn(const nrw_node *n, const int64_t **perm, int *rank) {
    int64_t count, turn[NRW_MAX_RANK];
    if (!nrw_is(n, "Transpose") || n->outputs[0] == NULL || n->inputs[0] == NULL) return false;
    *perm = nrw_attr_ints(n, "perm", &count);
    if (*perm == NULL || count < 3 || count > 5) return false;
    *rank = (int)count;
    nrw_perm_to_last(*rank, turn);
    if (nrw_has_perm(n, turn, *rank)) return true;
    nrw_perm_to_first(*rank, turn);
    return nrw_has_perm(n, turn, *rank);
}

static void invert(int rank, const int64_t *perm, int64_t *back) {
    for (int i = 0; i < rank; i++) back[perm[i]] = i;
}

/* Making. */

nrw_value *nrw_turned_constant(nrw_graph *g, const nrw_value *v, const int64_t *perm) {
    const nrw_tensor *x = v->data;
    nrw_arena *a = &g->model->arena;
    const size_t size = (size_t)nrw_dtype_size(x->dtype);
    int64_t dims[NRW_MAX_RANK], strides[NRW_MAX_RANK], at[NRW_MAX_RANK] = {0};
    nrw_tensor y;
    nrw_strides(x->rank, x->dims, strides);
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[perm[i]];
    if (nrw_tensor_new(a, x->dtype, x->rank, dims, &y, NULL) != NRW_OK) return NULL;
    const int64_t n = nrw_tensor_count(x);
    for (int64_t k = 0; k < n; k++) {
        int64_t from = 0;
        for (int i = 0; i < x->rank; i++) from += at[i] * strides[perm[i]];
        memcpy((char *)y.data + (size_t)k * size, (const char *)x->data + (size_t)from * size,
               size);
        for (int i = x->rank - 1; i >= 0 && ++at[i] == dims[i]; i--) at[i] = 0;
    }
    y.quant = x->quant;
    if (x->quant != NULL && x->quant->axis >= 0) {
        nrw_quant *q = nrw_quant_copy(a, x->quant);
        if (q == NULL) return NULL;
        for (int i = 0; i < x->rank; i++) {
            if (perm[i] == x->quant->axis) q->axis = i;
        }
        y.quant = q;
    }
    return nrw_const_new(g, NULL, &y);
}

static nrw_type permuted(const nrw_type *t, int rank, const int64_t *perm) {
    nrw_type out = *t;
    for (int i = 0; i < rank && t->rank == rank; i++) out.dims[i] = t->dims[perm[i]];
    return out;
}

static nrw_node *transpose(nrw_graph *g, nrw_value *x, nrw_value *y, int rank, const int64_t *perm,
                           nrw_node *before) {
    nrw_node *n =
        nrw_node_new(g, nrw_op_find("Transpose", ""), "Transpose", "", NULL, 1, 1, before);
    if (n == NULL || nrw_node_set_ints(n, "perm", rank, perm, NULL) != NRW_OK ||
        nrw_node_set_input(n, 0, x, NULL) != NRW_OK)
        return NULL;
    nrw_node_set_output(n, 0, y);
    return n;
}

nrw_value *nrw_turned(nrw_graph *g, nrw_value *x, int rank, const int64_t *perm, nrw_node *before) {
    const nrw_type type = permuted(&x->type, rank, perm);
    nrw_value *y = nrw_value_new(g, NULL, &type);
    if (y == NULL || transpose(g, x, y, rank, perm, before) == NULL) return NULL;
    y->quant = x->quant;
    return y;
}

nrw_status nrw_turn_output(nrw_node *n, int i, int rank, const int64_t *perm, nrw_error *err) {
    nrw_value *y = n->outputs[i];
    int64_t back[NRW_MAX_RANK];
    invert(rank, perm, back);
    const nrw_type type = permuted(&y->type, rank, back);
    nrw_value *inner = nrw_value_new(n->graph, NULL, &type);
    if (inner == NULL) NRW_OOM(err);
    inner->quant = y->quant;
    nrw_node_set_output(n, i, NULL);
    nrw_node_set_output(n, i, inner);
    if (transpose(n->graph, inner, y, rank, perm, n->next) == NULL) NRW_OOM(err);
    return NRW_OK;
}

/* Sinking. */

/* How the positions of elements matter to an operator. */
typedef enum habit {
    ELEMENTS,   /* not at all; inputs broadcast */
    FIRST_ONLY, /* not at all; inputs behind the first are parameters without axes */
    LOOKS_UP,   /* not at all; input 1 is a table */
    ALONG_AXIS, /* the attribute "axis" names one */
    JOINS,      /* likewise, and all inputs are data */
    SPLITS,     /* likewise, and there are several outputs */
    REDUCES,    /* input 1 names axes, and they stay with length 1 */
    PADS,
    SLICES
} habit;

static const struct {
    const char *type;
    habit habit;
} habits[] = {
    {"Add", ELEMENTS},
    {"Sub", ELEMENTS},
    {"Mul", ELEMENTS},
    {"Div", ELEMENTS},
    {"Pow", ELEMENTS},
    {"Max", ELEMENTS},
    {"Min", ELEMENTS},
    {"Sum", ELEMENTS},
    {"Mean", ELEMENTS},
    {"Where", ELEMENTS},
    {"Equal", ELEMENTS},
    {"Less", ELEMENTS},
    {"LessOrEqual", ELEMENTS},
    {"Greater", ELEMENTS},
    {"GreaterOrEqual", ELEMENTS},
    {"And", ELEMENTS},
    {"Or", ELEMENTS},
    {"Xor", ELEMENTS},
    {"PRelu", ELEMENTS},
    {"Mod", ELEMENTS},
    {"Relu", FIRST_ONLY},
    {"Clip", FIRST_ONLY},
    {"Sigmoid", FIRST_ONLY},
    {"HardSwish", FIRST_ONLY},
    {"HardSigmoid", FIRST_ONLY},
    {"LeakyRelu", FIRST_ONLY},
    {"Elu", FIRST_ONLY},
    {"Selu", FIRST_ONLY},
    {"Celu", FIRST_ONLY},
    {"Tanh", FIRST_ONLY},
    {"Mish", FIRST_ONLY},
    {"Gelu", FIRST_ONLY},
    {"Softplus", FIRST_ONLY},
    {"Softsign", FIRST_ONLY},
    {"Swish", FIRST_ONLY},
    {"Neg", FIRST_ONLY},
    {"Abs", FIRST_ONLY},
    {"Exp", FIRST_ONLY},
    {"Log", FIRST_ONLY},
    {"Sqrt", FIRST_ONLY},
    {"Reciprocal", FIRST_ONLY},
    {"Floor", FIRST_ONLY},
    {"Ceil", FIRST_ONLY},
    {"Round", FIRST_ONLY},
    {"Sign", FIRST_ONLY},
    {"Sin", FIRST_ONLY},
    {"Cos", FIRST_ONLY},
    {"Erf", FIRST_ONLY},
    {"Not", FIRST_ONLY},
    {"Cast", FIRST_ONLY},
    {"Identity", FIRST_ONLY},
    {"Requantize", FIRST_ONLY},
    {"Table", LOOKS_UP},
    {"Softmax", ALONG_AXIS},
    {"LogSoftmax", ALONG_AXIS},
    {"Concat", JOINS},
    {"Split", SPLITS},
    {"ReduceMean", REDUCES},
    {"ReduceSum", REDUCES},
    {"ReduceMax", REDUCES},
    {"ReduceMin", REDUCES},
    {"ReduceProd", REDUCES},
    {"ReduceL2", REDUCES},
    {"Pad", PADS},
    {"Slice", SLICES},
};

static bool find_habit(const nrw_node *n, habit *out) {
    const bool ours = strcmp(n->domain, "ai.narrow") == 0;
    if (n->op == NULL || (n->domain[0] != 0 && !ours)) return false;
    for (size_t i = 0; i < sizeof habits / sizeof *habits; i++) {
        if (strcmp(habits[i].type, n->type) != 0) continue;
        *out = habits[i].habit;
        return true;
    }
    return false;
}

typedef struct sinking {
    nrw_node *node;
    habit habit;
    int rank, data; /* data: inputs that are turned along */
    const int64_t *perm;
    int64_t back[NRW_MAX_RANK];
} sinking;

static nrw_value *before_turn(const sinking *s, const nrw_value *v) {
    return v != NULL && nrw_has_perm(v->producer, s->perm, s->rank) ? v->producer->inputs[0] : NULL;
}

/* A constant of no more axes than the data, whose missing axes are of length 1. */
static bool can_turn_constant(const sinking *s, const nrw_value *v) {
    if (!nrw_is_const(v) || v->data->rank > s->rank) return false;
    return v->quant == NULL || v->quant->axis < 0 || v->data->rank == s->rank;
}

static bool has_one_element(const sinking *s, const nrw_value *v) {
    return v->type.rank == 0 ||
           (nrw_is_const(v) && nrw_tensor_count(v->data) == 1 && v->data->rank <= s->rank &&
            (v->quant == NULL || v->quant->axis < 0));
}

/* Whether the inputs allow it, and it pays: as many are turned already as have to be turned. */
static bool inputs_allow(const sinking *s) {
    int turned = 0, others = 0;
    for (int i = 0; i < s->data; i++) {
        const nrw_value *v = s->node->inputs[i];
        if (v == NULL) return false;
        if (before_turn(s, v) != NULL)
            turned++;
        else if (s->habit != JOINS && has_one_element(s, v))
            continue;
        else if (can_turn_constant(s, v) && (s->habit != JOINS || v->data->rank == s->rank))
            continue;
        else if (v->type.rank == s->rank && (v->quant == NULL || v->quant->axis < 0))
            others++;
        else
            return false;
    }
    return turned > 0 && turned >= others;
}

static nrw_value *turn_constant(const sinking *s, nrw_value *v) {
    nrw_tensor t = *v->data;
    const int missing = s->rank - t.rank;
    if (missing > 0) {
        memmove(t.dims + missing, t.dims, (size_t)t.rank * sizeof *t.dims);
        for (int i = 0; i < missing; i++) t.dims[i] = 1;
        t.rank = s->rank;
        v = nrw_const_new(v->graph, NULL, &t);
        if (v == NULL) return NULL;
    }
    return nrw_turned_constant(v->graph, v, s->back);
}

static nrw_status turn_inputs(const sinking *s, nrw_error *err) {
    nrw_node *n = s->node;
    for (int i = 0; i < s->data; i++) {
        nrw_value *v = n->inputs[i], *x = before_turn(s, v);
        if (x == NULL && s->habit != JOINS && has_one_element(s, v)) continue;
        if (x == NULL && nrw_is_const(v)) {
            x = turn_constant(s, v);
            if (x != NULL && v->n_uses == 1) nrw_value_swap_names(x, v);
        } else if (x == NULL) {
            x = nrw_turned(n->graph, v, s->rank, s->back, n);
        }
        if (x == NULL) NRW_OOM(err);
        NRW_TRY(nrw_node_set_input(n, i, x, err));
    }
    return NRW_OK;
}

static nrw_status move_axis(const sinking *s, int64_t absent, nrw_error *err) {
    int64_t axis = nrw_attr_int(s->node, "axis", absent);
    if (!nrw_normalize_axis(&axis, s->rank)) return NRW_OK;
    return nrw_node_set_int(s->node, "axis", s->perm[axis], err);
}

/* The constant axes of input i, all of them where it is left out. */
static bool read_axes(const sinking *s, int i, int64_t *axes, int *n) {
    const nrw_value *v = nrw_input(s->node, i);
    if (v == NULL) {
        *n = s->rank;
        for (int k = 0; k < s->rank; k++) axes[k] = k;
        return true;
    }
    if (!nrw_const_ints(v, axes, NRW_MAX_RANK, n) || v->data->rank != 1) return false;
    for (int k = 0; k < *n; k++) {
        if (!nrw_normalize_axis(&axes[k], s->rank)) return false;
    }
    return true;
}

static nrw_status set_ints(nrw_node *n, int i, int64_t count, const int64_t *list, nrw_error *err) {
    nrw_value *v = nrw_const_i64(n->graph, NULL, 1, count, list);
    if (v == NULL) NRW_OOM(err);
    if (i >= n->n_inputs) NRW_TRY(nrw_node_resize_inputs(n, i + 1, err));
    return nrw_node_set_input(n, i, v, err);
}

static nrw_status move_axes(const sinking *s, int i, nrw_error *err) {
    int64_t axes[NRW_MAX_RANK];
    int n;
    if (!read_axes(s, i, axes, &n)) return NRW_OK; /* was asked before */
    for (int k = 0; k < n; k++) axes[k] = s->perm[axes[k]];
    return set_ints(s->node, i, n, axes, err);
}

static nrw_status move_pads(const sinking *s, nrw_error *err) {
    int64_t pads[2 * NRW_MAX_RANK], moved[2 * NRW_MAX_RANK];
    int n;
    if (!nrw_const_ints(s->node->inputs[1], pads, 2 * NRW_MAX_RANK, &n)) return NRW_OK;
    for (int i = 0; i < s->rank; i++) {
        moved[s->perm[i]] = pads[i];
        moved[s->rank + s->perm[i]] = pads[s->rank + i];
    }
    return set_ints(s->node, 1, n, moved, err);
}

/* Whether what names axes is known. */
static bool parameters_allow(const sinking *s) {
    const nrw_node *n = s->node;
    int64_t list[2 * NRW_MAX_RANK];
    int count;
    switch (s->habit) {
    case ELEMENTS:
        /* Slopes broadcast towards the data only, which gives the result its rank. */
        return strcmp(n->type, "PRelu") != 0 || before_turn(s, n->inputs[0]) != NULL;
    case FIRST_ONLY:
        for (int i = 1; i < n->n_inputs; i++) {
            if (n->inputs[i] != NULL && !has_one_element(s, n->inputs[i])) return false;
        }
        return true;
    case REDUCES:
        return nrw_attr_int(n, "keepdims", 1) != 0 && nrw_input(n, 1) != NULL &&
               read_axes(s, 1, list, &count) && count > 0;
    case PADS:
        return nrw_input(n, 3) == NULL &&
               nrw_const_ints(nrw_input(n, 1), list, 2 * NRW_MAX_RANK, &count) &&
               count == 2 * s->rank;
    case SLICES:
        return read_axes(s, 3, list, &count) &&
               (nrw_input(n, 3) != NULL ||
                (nrw_is_const(n->inputs[1]) && nrw_tensor_count(n->inputs[1]->data) == s->rank));
    default:
        return true;
    }
}

static nrw_status move_parameters(const sinking *s, nrw_error *err) {
    switch (s->habit) {
    case ALONG_AXIS:
        return move_axis(s, -1, err);
    case JOINS:
    case SPLITS:
        return move_axis(s, 0, err);
    case REDUCES:
        return move_axes(s, 1, err);
    case PADS:
        return move_pads(s, err);
    case SLICES:
        return move_axes(s, 3, err);
    default:
        return NRW_OK;
    }
}

/* The Transpose in front of one of the data that leads the way. */
static bool find_perm(sinking *s) {
    for (int i = 0; i < s->data; i++) {
        const nrw_value *v = s->node->inputs[i];
        if (v != NULL && nrw_is_turn(v->producer, &s->perm, &s->rank) &&
            nrw_quant_equal(v->quant, v->producer->inputs[0]->quant))
            return true;
    }
    return false;
}

nrw_status nrw_sink_turn(nrw_node *n, bool *sunk, nrw_error *err) {
    sinking s = {.node = n};
    *sunk = false;
    if (n->n_inputs < 1 || n->n_outputs < 1 || !find_habit(n, &s.habit)) return NRW_OK;
    s.data = s.habit == ELEMENTS || s.habit == JOINS ? n->n_inputs : 1;
    if (!find_perm(&s) || !inputs_allow(&s) || !parameters_allow(&s)) return NRW_OK;
    for (int i = 0; i < n->n_outputs; i++) {
        const nrw_value *y = n->outputs[i];
        /* What is measured is what a layer reads: nothing comes between. */
        if (y != NULL && y->quant != NULL && (y->quant->axis >= 0 || y->quant->dynamic))
            return NRW_OK;
    }
    invert(s.rank, s.perm, s.back);
    int64_t perm[NRW_MAX_RANK]; /* outlives the Transpose's attribute */
    memcpy(perm, s.perm, (size_t)s.rank * sizeof *perm);
    s.perm = perm;
    NRW_TRY(turn_inputs(&s, err));
    NRW_TRY(move_parameters(&s, err));
    for (int i = n->n_outputs - 1; i >= 0; i--) {
        if (n->outputs[i] != NULL) NRW_TRY(nrw_turn_output(n, i, s.rank, perm, err));
    }
    *sunk = true;
    return NRW_OK;
}

/* Integers turned, then read as reals and turned back: only the reading is left. */
static nrw_status read_as_reals(nrw_node *n, nrw_value *x, nrw_error *err) {
    nrw_become(n, "Requantize");
    n->n_attrs = 0;
    return nrw_node_set_input(n, 0, x, err);
}

nrw_status nrw_cancel_turns(nrw_graph *g, nrw_error *err) {
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        const int64_t *perm;
        int64_t back[NRW_MAX_RANK];
        int rank;
        if (!nrw_is_turn(n, &perm, &rank) || nrw_value_is_graph_output(n->outputs[0])) continue;
        invert(rank, perm, back);
        const nrw_node *before = n->inputs[0]->producer;
        if (!nrw_has_perm(before, back, rank)) continue;
        nrw_value *x = before->inputs[0], *y = n->outputs[0];
        if (nrw_quant_equal(x->quant, y->quant))
            NRW_TRY(nrw_value_replace(y, x, err));
        else if (y->quant == NULL && nrw_quant_equal(x->quant, before->outputs[0]->quant))
            NRW_TRY(read_as_reals(n, x, err));
    }
    return NRW_OK;
}
