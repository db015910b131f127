/* One step of an optimizer (domain ai.onnx.preview.training). Inputs: rate, step count, then n
 * tensors, n gradients and n of each state; outputs: the new tensors, then the new states. */
#include <math.h>
#include <string.h>

#include "ops/floats.h"

#define DOMAIN "ai.onnx.preview.training"

/* One tensor's step, in double. state and new_state: one array per state of the method. */
typedef struct step {
    const nrw_node *node;
    double rate;
    int64_t count, n;
    const double *x, *gradient, *state[2];
    double *new_x, *new_state[2];
} step;

static double attr(const step *s, const char *name, float absent) {
    return (double)nrw_attr_float(s->node, name, absent);
}

/* Duchi, Hazan, Singer: "Adaptive Subgradient Methods", 2011. */
static void adagrad(const step *s) {
    double rate = s->rate / (1 + (double)s->count * attr(s, "decay_factor", 0));
    double norm = attr(s, "norm_coefficient", 0), epsilon = attr(s, "epsilon", 1e-6f);
    for (int64_t i = 0; i < s->n; i++) {
        double g = norm * s->x[i] + s->gradient[i];
        double h = s->state[0][i] + g * g;
        s->new_state[0][i] = h;
        s->new_x[i] = s->x[i] - rate * g / (sqrt(h) + epsilon);
    }
}

/* Kingma and Ba: "Adam: A Method for Stochastic Optimization", 2015, algorithm 1. */
static void adam(const step *s) {
    double alpha = attr(s, "alpha", 0.9f), beta = attr(s, "beta", 0.999f), rate = s->rate;
    double norm = attr(s, "norm_coefficient", 0), epsilon = attr(s, "epsilon", 1e-6f);
    double keep = 1 - attr(s, "norm_coefficient_post", 0);
    if (s->count > 0)
        rate *= sqrt(1 - pow(beta, (double)s->count)) / (1 - pow(alpha, (double)s->count));
    for (int64_t i = 0; i < s->n; i++) {
        double g = norm * s->x[i] + s->gradient[i];
        double v = alpha * s->state[0][i] + (1 - alpha) * g;
        double h = beta * s->state[1][i] + (1 - beta) * g * g;
        s->new_state[0][i] = v;
        s->new_state[1][i] = h;
        s->new_x[i] = keep * (s->x[i] - rate * v / (sqrt(h) + epsilon));
    }
}

/* Sutskever and others: "On the importance of initialization and momentum", 2013. */
static void momentum(const step *s) {
    double alpha = attr(s, "alpha", 0), norm = attr(s, "norm_coefficient", 0);
    double beta = s->count > 0 ? attr(s, "beta", 0) : 1;
    bool nesterov = strcmp(nrw_attr_str(s->node, "mode", "standard"), "nesterov") == 0;
    for (int64_t i = 0; i < s->n; i++) {
        double g = norm * s->x[i] + s->gradient[i];
        double v = alpha * s->state[0][i] + beta * g;
        s->new_state[0][i] = v;
        s->new_x[i] = s->x[i] - s->rate * (nesterov ? g + alpha * v : v);
    }
}

static nrw_status run_one(nrw_eval *e, step *s, int tensors, int i, int states,
                          void (*method)(const step *)) {
    double *unused = nrw_eval_scratch(e, s->n, sizeof *unused);
    if (unused == NULL) NRW_OOM(e->err);
    NRW_TRY(nrw_doubles_in(e, 2 + i, &s->x));
    NRW_TRY(nrw_doubles_in(e, 2 + tensors + i, &s->gradient));
    NRW_TRY(nrw_doubles_out(e, i, &s->new_x));
    if (s->new_x == NULL) s->new_x = unused;
    for (int k = 0; k < states; k++) {
        NRW_TRY(nrw_doubles_in(e, 2 + (2 + k) * tensors + i, &s->state[k]));
        NRW_TRY(nrw_doubles_out(e, (1 + k) * tensors + i, &s->new_state[k]));
        if (s->new_state[k] == NULL) s->new_state[k] = unused;
    }
    method(s);
    if (s->new_x != unused) NRW_TRY(nrw_doubles_done(e, i, s->new_x));
    for (int k = 0; k < states; k++) {
        if (s->new_state[k] != unused)
            NRW_TRY(nrw_doubles_done(e, (1 + k) * tensors + i, s->new_state[k]));
    }
    return NRW_OK;
}

static nrw_status run(nrw_eval *e, int states, void (*method)(const step *)) {
    step s = {.node = e->node};
    int per_tensor = 2 + states, tensors = (e->n_in - 2) / per_tensor;
    if (tensors * per_tensor != e->n_in - 2 || e->n_out != tensors * (1 + states))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "the number of inputs or outputs does not fit");
    NRW_TRY(nrw_to_f64(e->in[0]->dtype, e->in[0]->data, &s.rate, 1, e->err));
    NRW_TRY(nrw_to_i64(e->in[1]->dtype, e->in[1]->data, &s.count, 1, e->err));
    for (int i = 0; i < tensors; i++) {
        for (int k = 0; k < per_tensor; k++) {
            const nrw_tensor *t = e->in[2 + k * tensors + i];
            s.n = k == 0 ? nrw_tensor_count(t) : s.n;
            if (nrw_tensor_count(t) != s.n)
                NRW_FAIL_INPUT(e, 2 + k * tensors + i, "state", "its size is not the tensor's");
        }
        NRW_TRY(run_one(e, &s, tensors, i, states, method));
    }
    return NRW_OK;
}

static nrw_status run_adagrad(nrw_eval *e) {
    return run(e, 1, adagrad);
}
static nrw_status run_adam(nrw_eval *e) {
    return run(e, 2, adam);
}
static nrw_status run_momentum(nrw_eval *e) {
    return run(e, 1, momentum);
}

/* New tensors look like the old ones, which stand before the gradients. */
static nrw_status infer(nrw_infer *c, int states) {
    int tensors = (c->n_in - 2) / (2 + states);
    for (int i = 0; i < c->n_out && tensors > 0; i++) {
        int from = i < tensors ? 2 + i : 2 + tensors + i;
        if (from < c->n_in && c->in[from] != NULL) c->out[i] = *c->in[from];
    }
    return NRW_OK;
}
static nrw_status infer_one(nrw_infer *c) {
    return infer(c, 1);
}
static nrw_status infer_two(nrw_infer *c) {
    return infer(c, 2);
}

static const nrw_attr_def adagrad_attrs[] = {{"decay_factor", NRW_ATTR_FLOAT, false},
                                             {"epsilon", NRW_ATTR_FLOAT, false},
                                             {"norm_coefficient", NRW_ATTR_FLOAT, false},
                                             {0}};
static const nrw_attr_def adam_attrs[] = {{"alpha", NRW_ATTR_FLOAT, false},
                                          {"beta", NRW_ATTR_FLOAT, false},
                                          {"epsilon", NRW_ATTR_FLOAT, false},
                                          {"norm_coefficient", NRW_ATTR_FLOAT, false},
                                          {"norm_coefficient_post", NRW_ATTR_FLOAT, false},
                                          {0}};
static const nrw_attr_def momentum_attrs[] = {{"alpha", NRW_ATTR_FLOAT, true},
                                              {"beta", NRW_ATTR_FLOAT, true},
                                              {"mode", NRW_ATTR_STRING, true},
                                              {"norm_coefficient", NRW_ATTR_FLOAT, true},
                                              {0}};

#define ROW_OF(title)                                                                              \
    .name = title, .domain = DOMAIN, .min_in = 3, .max_in = -1, .min_out = 1, .max_out = -1,       \
    .onnx = {title, 1}

static const nrw_op adagrad_op = {
    ROW_OF("Adagrad"),
    .attrs = adagrad_attrs,
    .infer = infer_one,
    .reference = run_adagrad,
};
static const nrw_op adam_op = {
    ROW_OF("Adam"),
    .attrs = adam_attrs,
    .infer = infer_two,
    .reference = run_adam,
};
static const nrw_op momentum_op = {
    ROW_OF("Momentum"),
    .attrs = momentum_attrs,
    .infer = infer_one,
    .reference = run_momentum,
};

NRW_OPS(optimizer, &adagrad_op, &adam_op, &momentum_op);
