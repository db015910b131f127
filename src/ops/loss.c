/* Classification losses. Computed in double, whatever the type. */
#include <math.h>
#include <string.h>

#include "ops/floats.h"

typedef struct loss {
    const double *x; /* scores or log-probabilities: [batch, classes, inner] */
    const double *weights;
    int64_t batch, classes, inner;
    bool ignores;
    int64_t ignored;
} loss;

typedef enum reduction { NONE, SUM, MEAN } reduction;

static nrw_status read_reduction(const nrw_node *n, reduction *r, nrw_error *err) {
    const char *name = nrw_attr_str(n, "reduction", "mean");
    *r = strcmp(name, "none") == 0 ? NONE : strcmp(name, "sum") == 0 ? SUM : MEAN;
    if (*r == MEAN && strcmp(name, "mean") != 0)
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "reduction: expected none, sum or mean");
    return NRW_OK;
}

static nrw_status read_shape(nrw_eval *e, loss *l) {
    const nrw_tensor *x = e->in[0], *target = e->in[1];
    if (x->rank < 2 || target->rank != x->rank - 1 || target->dims[0] != x->dims[0])
        NRW_FAIL_INPUT(e, 1, "target", "its shape does not fit the scores'");
    l->batch = x->dims[0];
    l->classes = x->dims[1];
    l->inner = 1;
    for (int d = 2; d < x->rank; d++) {
        if (target->dims[d - 1] != x->dims[d])
            NRW_FAIL_INPUT(e, 1, "target", "its shape does not fit the scores'");
        l->inner *= x->dims[d];
    }
    l->ignores = nrw_node_attr(e->node, "ignore_index") != NULL;
    l->ignored = nrw_attr_int(e->node, "ignore_index", 0);
    bool weighted = e->n_in > 2 && e->in[2] != NULL;
    if (weighted && nrw_tensor_count(e->in[2]) != l->classes)
        NRW_FAIL_INPUT(e, 2, "weight", "expected one value per class");
    return NRW_OK;
}

/* The losses of all positions, reduced into output 0. */
static nrw_status pick(nrw_eval *e, const loss *l) {
    int64_t positions = l->batch * l->inner;
    int64_t *target = nrw_eval_scratch(e, positions, sizeof *target);
    double *losses = nrw_eval_scratch(e, positions, sizeof *losses), total = 0, weight = 0;
    reduction r;
    if (target == NULL || losses == NULL) NRW_OOM(e->err);
    NRW_TRY(read_reduction(e->node, &r, e->err));
    NRW_TRY(nrw_to_i64(e->in[1]->dtype, e->in[1]->data, target, positions, e->err));
    for (int64_t i = 0; i < positions; i++) {
        losses[i] = 0;
        if (l->ignores && target[i] == l->ignored) continue;
        if (target[i] < 0 || target[i] >= l->classes)
            NRW_FAIL(e->err, NRW_ERR_DATA, "input 1 (target): class %lld of %lld",
                     (long long)target[i], (long long)l->classes);
        double w = l->weights != NULL ? l->weights[target[i]] : 1;
        int64_t n = i / l->inner, k = i % l->inner;
        losses[i] = -w * l->x[(n * l->classes + target[i]) * l->inner + k];
        total += losses[i];
        weight += w;
    }
    if (r == MEAN) total /= weight;
    const nrw_tensor *out = &e->out[0];
    return r == NONE ? nrw_from_f64(out->dtype, losses, out->data, positions, e->err)
                     : nrw_from_f64(out->dtype, &total, out->data, 1, e->err);
}

static nrw_status run_nll(nrw_eval *e) {
    loss l = {0};
    NRW_TRY(read_shape(e, &l));
    NRW_TRY(nrw_doubles_in(e, 0, &l.x));
    if (e->n_in > 2) NRW_TRY(nrw_doubles_in(e, 2, &l.weights));
    return pick(e, &l);
}

static void log_softmax(const loss *l, const double *x, double *y) {
    for (int64_t i = 0; i < l->batch * l->inner; i++) {
        int64_t at = i / l->inner * l->classes * l->inner + i % l->inner;
        double top = -INFINITY, sum = 0;
        for (int64_t c = 0; c < l->classes; c++) top = fmax(top, x[at + c * l->inner]);
        for (int64_t c = 0; c < l->classes; c++) sum += exp(x[at + c * l->inner] - top);
        for (int64_t c = 0; c < l->classes; c++)
            y[at + c * l->inner] = x[at + c * l->inner] - top - log(sum);
    }
}

static nrw_status run_sce(nrw_eval *e) {
    loss l = {0};
    const double *scores;
    int64_t n = nrw_tensor_count(e->in[0]);
    double *log_prob = nrw_eval_scratch(e, n, sizeof *log_prob);
    if (log_prob == NULL) NRW_OOM(e->err);
    NRW_TRY(read_shape(e, &l));
    NRW_TRY(nrw_doubles_in(e, 0, &scores));
    if (e->n_in > 2) NRW_TRY(nrw_doubles_in(e, 2, &l.weights));
    log_softmax(&l, scores, log_prob);
    l.x = log_prob;
    if (e->n_out > 1 && e->out[1].data != NULL)
        NRW_TRY(nrw_from_f64(e->out[1].dtype, log_prob, e->out[1].data, n, e->err));
    return pick(e, &l);
}

static nrw_status infer(nrw_infer *c) {
    reduction r;
    NRW_TRY(read_reduction(c->node, &r, c->err));
    c->out[0] = r == NONE ? *c->in[1] : nrw_type_make(c->in[0]->dtype, 0, NULL);
    c->out[0].dtype = c->in[0]->dtype;
    if (c->n_out > 1) c->out[1] = *c->in[0];
    return NRW_OK;
}

static const nrw_attr_def attrs[] = {
    {"ignore_index", NRW_ATTR_INT, false}, {"reduction", NRW_ATTR_STRING, false}, {0}};

static const nrw_op nll_op = {
    .name = "NegativeLogLikelihoodLoss",
    .domain = "",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = run_nll,
    .onnx = {"NegativeLogLikelihoodLoss", 12},
    .aten = "aten.nll_loss.default",
};
static const nrw_op sce_op = {
    .name = "SoftmaxCrossEntropyLoss",
    .domain = "",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 2,
    .attrs = attrs,
    .infer = infer,
    .reference = run_sce,
    .onnx = {"SoftmaxCrossEntropyLoss", 12},
    .aten = "aten.cross_entropy_loss.default",
};

NRW_OPS(loss, &nll_op, &sce_op);
