/* What a layer's output is scaled by and shifted by, channel by channel, moves into its weights and
 * bias: BatchNormalization, and Mul, Add, Sub, Div by a constant, after Conv, ConvTranspose and
 * Gemm. */
#include <math.h>

#include "passes/match.h"
#include "passes/pass.h"

/* y[c] = k[c] * x[c] + b[c] */
typedef struct affine {
    float *k, *b; /* [channels] */
    int64_t channels;
    nrw_value *x;
} affine;

/* The weights of a layer and where their output channels lie: channel = group * (channels / groups)
 * + index along `axis`. */
typedef struct layer {
    nrw_node *node;
    const float *w, *bias; /* bias NULL: none */
    int axis, groups, rank;
    int64_t channels;
} layer;

static bool read_layer(nrw_node *n, layer *l) {
    int64_t count, bias_count = 0;
    if (!nrw_is(n, "Conv") && !nrw_is(n, "ConvTranspose") && !nrw_is(n, "Gemm")) return false;
    const nrw_value *w = nrw_input(n, 1), *bias = nrw_input(n, 2);
    *l = (layer){.node = n, .w = nrw_const_floats(w, &count), .groups = 1};
    if (l->w == NULL || w->data->rank < 2) return false;
    if (nrw_is(n, "Gemm")) {
        if (nrw_attr_float(n, "alpha", 1) != 1 || nrw_attr_float(n, "beta", 1) != 1) return false;
        l->axis = nrw_attr_int(n, "transB", 0) != 0 ? 0 : 1;
        l->rank = 2;
    } else {
        l->rank = w->data->rank;
        if (nrw_is(n, "ConvTranspose")) {
            l->axis = 1;
            l->groups = (int)nrw_attr_int(n, "group", 1);
            if (l->groups < 1 || w->data->dims[0] % l->groups != 0) return false;
        }
    }
    l->channels = w->data->dims[l->axis] * l->groups;
    if (bias == NULL) return true;
    l->bias = nrw_const_floats(bias, &bias_count);
    return l->bias != NULL && bias_count == l->channels;
}

/* A constant that broadcasts along channels (axis 1 of a value of this rank) and nothing else. */
static const float *per_channel(const nrw_value *v, int rank, int64_t channels, int64_t *step) {
    int64_t n;
    const float *p = nrw_const_floats(v, &n);
    if (p == NULL || v->data->rank > rank || (n != 1 && n != channels)) return NULL;
    *step = n == 1 ? 0 : 1;
    if (n == 1) return p;
    const int at = v->data->rank - (rank - 1); /* the channel axis counted from the right */
    return at >= 0 && v->data->dims[at] == channels ? p : NULL;
}

static bool batch_norm(const nrw_node *n, affine *a) {
    const float *p[4];
    for (int i = 0; i < 4; i++) {
        int64_t count;
        p[i] = nrw_const_floats(nrw_input(n, i + 1), &count);
        if (p[i] == NULL || count != a->channels) return false;
    }
    if (nrw_attr_int(n, "training_mode", 0) != 0) return false;
    const double epsilon = nrw_attr_float(n, "epsilon", 1e-5f);
    for (int64_t c = 0; c < a->channels; c++) {
        const double k = p[0][c] / sqrt((double)p[3][c] + epsilon);
        a->k[c] = (float)k;
        a->b[c] = (float)(p[1][c] - k * p[2][c]);
    }
    return true;
}

static bool arithmetic(const nrw_node *n, int rank, affine *a) {
    const bool mul = nrw_is(n, "Mul"), add = nrw_is(n, "Add"), sub = nrw_is(n, "Sub");
    const int at = n->inputs[0] == a->x ? 1 : 0;
    if (at == 0 && !mul && !add) return false;
    int64_t step;
    const float *p = per_channel(n->inputs[at], rank, a->channels, &step);
    if (p == NULL) return false;
    for (int64_t c = 0; c < a->channels; c++) {
        const float v = p[c * step];
        a->k[c] = mul ? v : !add && !sub ? 1 / v : 1;
        a->b[c] = add ? v : sub ? -v : 0;
        if (!isfinite(a->k[c]) || !isfinite(a->b[c])) return false;
    }
    return true;
}

/* Which input of n comes from a layer that only n uses. */
static bool find_layer(const nrw_node *n, layer *l, nrw_value **x) {
    const bool two = nrw_is(n, "Mul") || nrw_is(n, "Add");
    if (!two && !nrw_is(n, "BatchNormalization") && !nrw_is(n, "Sub") && !nrw_is(n, "Div"))
        return false;
    for (int i = 0; i < (two ? 2 : 1); i++) {
        *x = n->inputs[i];
        if (*x == NULL || (*x)->producer == NULL || (*x)->quant != NULL) continue;
        if (nrw_value_only_use(*x) != NULL && (*x)->producer->graph == n->graph &&
            read_layer((*x)->producer, l))
            return true;
    }
    return false;
}

static nrw_status scale_layer(const layer *l, const affine *a, nrw_error *err) {
    const nrw_value *w = l->node->inputs[1];
    const nrw_tensor *t = w->data;
    float *to, *bias;
    nrw_value *scaled = nrw_new_floats(l->node->graph, w->name, t->rank, t->dims, &to);
    nrw_value *shifted = nrw_new_floats(l->node->graph, l->node->name, 1, &l->channels, &bias);
    if (scaled == NULL || shifted == NULL) NRW_OOM(err);
    int64_t inner = 1, outer = 1;
    for (int i = 0; i < l->axis; i++) outer *= t->dims[i];
    for (int i = l->axis + 1; i < t->rank; i++) inner *= t->dims[i];
    const int64_t along = t->dims[l->axis], per_group = outer / l->groups;
    for (int64_t o = 0; o < outer; o++) {
        const int64_t base = l->groups > 1 ? o / per_group * along : 0;
        for (int64_t c = 0; c < along; c++) {
            const int64_t at = (o * along + c) * inner;
            for (int64_t i = 0; i < inner; i++) to[at + i] = l->w[at + i] * a->k[base + c];
        }
    }
    for (int64_t c = 0; c < l->channels; c++) {
        bias[c] = (l->bias != NULL ? l->bias[c] * a->k[c] : 0) + a->b[c];
    }
    bool shifts = l->bias != NULL;
    for (int64_t c = 0; c < l->channels; c++) shifts |= a->b[c] != 0;
    NRW_TRY(nrw_node_set_input(l->node, 1, scaled, err));
    if (!shifts) return NRW_OK;
    if (l->node->n_inputs < 3) NRW_TRY(nrw_node_resize_inputs(l->node, 3, err));
    return nrw_node_set_input(l->node, 2, shifted, err);
}

static nrw_status fold(nrw_node *n, nrw_arena *scratch, bool *changed, nrw_error *err) {
    layer l;
    affine a;
    if (!find_layer(n, &l, &a.x)) return NRW_OK;
    a.channels = l.channels;
    a.k = nrw_arena_calloc(scratch, (size_t)l.channels + 1, sizeof(float));
    a.b = nrw_arena_calloc(scratch, (size_t)l.channels + 1, sizeof(float));
    if (a.k == NULL || a.b == NULL) NRW_OOM(err);
    if (!(nrw_is(n, "BatchNormalization") ? batch_norm(n, &a) : arithmetic(n, l.rank, &a)))
        return NRW_OK;
    NRW_TRY(scale_layer(&l, &a, err));
    /* The layer now makes what n made, under its name. */
    nrw_value *y = n->outputs[0];
    const int index = a.x->producer_index;
    nrw_node_remove(n);
    nrw_node_set_output(l.node, index, NULL);
    nrw_node_set_output(l.node, index, y);
    *changed = true;
    return NRW_OK;
}

typedef struct folding {
    nrw_arena *scratch;
    bool *changed;
} folding;

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    folding *f = user;
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        if (n->n_outputs >= 1 && n->outputs[0] != NULL)
            NRW_TRY(fold(n, f->scratch, f->changed, err));
        nrw_arena_free(f->scratch);
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    folding f = {scratch, changed};
    return nrw_each_graph(m->graph, sweep, &f, err);
}

const nrw_pass nrw_pass_fold_batch_norm = {"fold_batch_norm", run};
