/* TreeEnsemble (ai.onnx.ml 5): decision trees whose leaves add up to targets. */
#include <math.h>
#include <string.h>

#include "ops/floats.h"

enum { LEQ, LT, GTE, GT, EQ, NEQ, MEMBER };
enum { AVERAGE, SUM, MIN, MAX };
enum { NO_TRANSFORM, SOFTMAX, LOGISTIC, SOFTMAX_ZERO, PROBIT };

typedef struct ensemble {
    int64_t n_nodes, n_leaves, n_roots, n_targets;
    const int64_t *feature, *if_true, *if_false, *true_is_leaf, *false_is_leaf, *missing, *roots;
    const int64_t *leaf_target;
    const uint8_t *mode;
    double *split, *leaf_weight, *members;
    int64_t n_members;
    int64_t *first_member; /* of MEMBER nodes; a set ends at a NaN */
    int64_t aggregate;
} ensemble;

static nrw_status ints(nrw_eval *e, const char *name, int64_t count, const int64_t **out) {
    int64_t n;
    *out = nrw_attr_ints(e->node, name, &n);
    if (*out == NULL || n != count)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "%s: expected %lld values", name, (long long)count);
    return NRW_OK;
}

static nrw_status reals(nrw_eval *e, const char *name, int64_t count, double **out) {
    const nrw_tensor *t = nrw_attr_tensor(e->node, name);
    if (t == NULL || nrw_tensor_count(t) != count)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "%s: expected %lld values", name, (long long)count);
    *out = nrw_eval_scratch(e, count, sizeof **out);
    if (*out == NULL) NRW_OOM(e->err);
    return nrw_to_f64(t->dtype, t->data, *out, count, e->err);
}

static nrw_status read_nodes(nrw_eval *e, ensemble *t) {
    NRW_TRY(ints(e, "nodes_truenodeids", t->n_nodes, &t->if_true));
    NRW_TRY(ints(e, "nodes_falsenodeids", t->n_nodes, &t->if_false));
    NRW_TRY(ints(e, "nodes_trueleafs", t->n_nodes, &t->true_is_leaf));
    NRW_TRY(ints(e, "nodes_falseleafs", t->n_nodes, &t->false_is_leaf));
    if (nrw_node_attr(e->node, "nodes_missing_value_tracks_true") != NULL)
        NRW_TRY(ints(e, "nodes_missing_value_tracks_true", t->n_nodes, &t->missing));
    NRW_TRY(reals(e, "nodes_splits", t->n_nodes, &t->split));
    const nrw_tensor *modes = nrw_attr_tensor(e->node, "nodes_modes");
    if (modes == NULL || modes->dtype != NRW_U8 || nrw_tensor_count(modes) != t->n_nodes)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "nodes_modes: expected one uint8 per node");
    t->mode = modes->data;
    t->roots = nrw_attr_ints(e->node, "tree_roots", &t->n_roots);
    for (int64_t i = 0; i < t->n_roots; i++) {
        if (t->roots[i] < 0 || t->roots[i] >= t->n_nodes)
            NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "tree_roots: no such node");
    }
    return NRW_OK;
}

static nrw_status read_leaves(nrw_eval *e, ensemble *t) {
    t->leaf_target = nrw_attr_ints(e->node, "leaf_targetids", &t->n_leaves);
    NRW_TRY(reals(e, "leaf_weights", t->n_leaves, &t->leaf_weight));
    for (int64_t i = 0; i < t->n_leaves; i++) {
        if (t->leaf_target[i] < 0 || t->leaf_target[i] >= t->n_targets)
            NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "leaf_targetids: no such target");
    }
    return NRW_OK;
}

/* Sets lie one after the other, in the order of the nodes that test them. */
static nrw_status read_members(nrw_eval *e, ensemble *t) {
    const nrw_tensor *members = nrw_attr_tensor(e->node, "membership_values");
    int64_t at = 0;
    t->first_member = nrw_eval_scratch(e, t->n_nodes, sizeof *t->first_member);
    if (t->first_member == NULL) NRW_OOM(e->err);
    if (members != NULL) {
        t->n_members = nrw_tensor_count(members);
        NRW_TRY(reals(e, "membership_values", t->n_members, &t->members));
    }
    for (int64_t i = 0; i < t->n_nodes; i++) {
        if (t->mode[i] != MEMBER) continue;
        if (at >= t->n_members)
            NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "membership_values: a set is missing");
        t->first_member[i] = at;
        while (at < t->n_members && t->members[at] == t->members[at]) at++;
        at++;
    }
    return NRW_OK;
}

/* Every edge must lead to something, and no walk may go on for ever: a walk of n_nodes steps has
 * met a node twice. The walk itself counts its steps. */
static nrw_status check_edges(nrw_eval *e, const ensemble *t, int64_t features) {
    for (int64_t i = 0; i < t->n_nodes; i++) {
        int64_t true_limit = t->true_is_leaf[i] != 0 ? t->n_leaves : t->n_nodes;
        int64_t false_limit = t->false_is_leaf[i] != 0 ? t->n_leaves : t->n_nodes;
        if (t->if_true[i] < 0 || t->if_true[i] >= true_limit || t->if_false[i] < 0 ||
            t->if_false[i] >= false_limit || t->feature[i] < 0 || t->feature[i] >= features)
            NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "node %lld: no such node, leaf or feature",
                     (long long)i);
    }
    return NRW_OK;
}

static bool is_member(const ensemble *t, int64_t node, double v) {
    for (int64_t i = t->first_member[node]; i < t->n_members && t->members[i] == t->members[i];
         i++) {
        if (t->members[i] == v) return true;
    }
    return false;
}

static bool test(const ensemble *t, int64_t node, double v) {
    if (v != v && t->missing != NULL && t->missing[node] != 0) return true;
    switch (t->mode[node]) {
    case LEQ:
        return v <= t->split[node];
    case LT:
        return v < t->split[node];
    case GTE:
        return v >= t->split[node];
    case GT:
        return v > t->split[node];
    case EQ:
        return v == t->split[node];
    case NEQ:
        return v != t->split[node];
    default:
        return is_member(t, node, v);
    }
}

/* The leaf that x falls into; -1: the tree has a cycle. */
static int64_t find_leaf(const ensemble *t, int64_t node, const double *x) {
    for (int64_t steps = 0; steps < t->n_nodes; steps++) {
        bool yes = test(t, node, x[t->feature[node]]);
        int64_t next = yes ? t->if_true[node] : t->if_false[node];
        if ((yes ? t->true_is_leaf[node] : t->false_is_leaf[node]) != 0) return next;
        node = next;
    }
    return -1;
}

static double combine(const ensemble *t, double sum, double leaf) {
    switch (t->aggregate) {
    case MIN:
        return fmin(sum, leaf);
    case MAX:
        return fmax(sum, leaf);
    case AVERAGE:
        return sum + leaf / (double)t->n_roots;
    default:
        return sum + leaf;
    }
}

static nrw_status predict(nrw_eval *e, const ensemble *t, const double *x, double *y) {
    for (int64_t k = 0; k < t->n_targets; k++)
        y[k] = t->aggregate == MIN ? INFINITY : t->aggregate == MAX ? -INFINITY : 0;
    for (int64_t i = 0; i < t->n_roots; i++) {
        int64_t leaf = find_leaf(t, t->roots[i], x);
        if (leaf < 0) NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "tree %lld has a cycle", (long long)i);
        double *target = &y[t->leaf_target[leaf]];
        *target = combine(t, *target, t->leaf_weight[leaf]);
    }
    return NRW_OK;
}

/* Scores to probabilities. SOFTMAX_ZERO leaves zeros alone. */
static void transform(double *y, int64_t n, int64_t how) {
    double top = -INFINITY, sum = 0;
    if (how == LOGISTIC) {
        for (int64_t i = 0; i < n; i++) y[i] = 1 / (1 + exp(-y[i]));
        return;
    }
    for (int64_t i = 0; i < n; i++) top = fmax(top, y[i]);
    for (int64_t i = 0; i < n; i++) {
        if (how == SOFTMAX_ZERO && y[i] == 0) continue;
        y[i] = exp(y[i] - top);
        sum += y[i];
    }
    for (int64_t i = 0; i < n; i++) y[i] /= sum != 0 ? sum : 1;
}

static nrw_status run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    ensemble t = {.aggregate = nrw_attr_int(e->node, "aggregate_function", SUM),
                  .n_targets = nrw_attr_int(e->node, "n_targets", 1)};
    int64_t how = nrw_attr_int(e->node, "post_transform", NO_TRANSFORM);
    if (in->rank != 2) NRW_FAIL_INPUT(e, 0, "X", "expected [N, features]");
    if (how < NO_TRANSFORM || how >= PROBIT)
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "post_transform %lld", (long long)how);
    t.feature = nrw_attr_ints(e->node, "nodes_featureids", &t.n_nodes);
    NRW_TRY(read_nodes(e, &t));
    NRW_TRY(read_leaves(e, &t));
    NRW_TRY(read_members(e, &t));
    NRW_TRY(check_edges(e, &t, in->dims[1]));
    const double *x;
    double *y;
    NRW_TRY(nrw_doubles_in(e, 0, &x));
    NRW_TRY(nrw_doubles_out(e, 0, &y));
    for (int64_t i = 0; i < in->dims[0]; i++) {
        NRW_TRY(predict(e, &t, x + i * in->dims[1], y + i * t.n_targets));
        if (how != NO_TRANSFORM) transform(y + i * t.n_targets, t.n_targets, how);
    }
    return nrw_doubles_done(e, 0, y);
}

static nrw_status infer(nrw_infer *c) {
    int64_t targets = nrw_attr_int(c->node, "n_targets", 1);
    if (targets < 1 || targets > INT32_MAX)
        NRW_FAIL(c->err, NRW_ERR_ARGUMENT, "n_targets: %lld", (long long)targets);
    int64_t dims[2] = {c->in[0]->rank == 2 ? c->in[0]->dims[0] : NRW_DIM_UNKNOWN, targets};
    c->out[0] = nrw_type_make(c->in[0]->dtype, 2, dims);
    return NRW_OK;
}

static const nrw_attr_def attrs[] = {{"aggregate_function", NRW_ATTR_INT, false},
                                     {"leaf_targetids", NRW_ATTR_INTS, true},
                                     {"leaf_weights", NRW_ATTR_TENSOR, true},
                                     {"membership_values", NRW_ATTR_TENSOR, false},
                                     {"n_targets", NRW_ATTR_INT, false},
                                     {"nodes_falseleafs", NRW_ATTR_INTS, true},
                                     {"nodes_falsenodeids", NRW_ATTR_INTS, true},
                                     {"nodes_featureids", NRW_ATTR_INTS, true},
                                     {"nodes_hitrates", NRW_ATTR_TENSOR, false},
                                     {"nodes_missing_value_tracks_true", NRW_ATTR_INTS, false},
                                     {"nodes_modes", NRW_ATTR_TENSOR, true},
                                     {"nodes_splits", NRW_ATTR_TENSOR, true},
                                     {"nodes_trueleafs", NRW_ATTR_INTS, true},
                                     {"nodes_truenodeids", NRW_ATTR_INTS, true},
                                     {"post_transform", NRW_ATTR_INT, false},
                                     {"tree_roots", NRW_ATTR_INTS, true},
                                     {0}};

static const nrw_op tree_op = {
    .name = "TreeEnsemble",
    .domain = "ai.onnx.ml",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = run,
    .onnx = {"TreeEnsemble", 5},
};

NRW_OPS(tree, &tree_op);
