/* x * 0.5 * (1 + erf(x / sqrt(2))), written out as exporters do, becomes Gelu: one sweep over the
 * tensor instead of five. */
#include <math.h>

#include "passes/match.h"
#include "passes/pass.h"

static bool is_near(float a, double b) {
    return fabs(a - b) <= 1e-6 * fabs(b);
}

/* The other input of a binary node whose one input is the constant c; NULL: it is something else.
 */
static nrw_value *other_than(const nrw_node *n, double c) {
    float v;
    for (int i = 0; i < 2; i++) {
        if (nrw_const_scalar(n->inputs[i], &v) && is_near(v, c)) return n->inputs[1 - i];
    }
    return NULL;
}

static const nrw_node *only_user(const nrw_value *v, const char *type) {
    const nrw_use *u = v != NULL && v->quant == NULL ? nrw_value_only_use(v) : NULL;
    return u != NULL && nrw_is(u->node, type) ? u->node : NULL;
}

/* x of erf(x / sqrt(2)). */
static nrw_value *argument(const nrw_node *erf) {
    const nrw_value *v = erf->inputs[0];
    const nrw_node *scale = v->quant == NULL ? nrw_made_by(v, "Div") : NULL;
    float c;
    if (scale != NULL)
        return nrw_const_scalar(scale->inputs[1], &c) && is_near(c, sqrt(2)) ? scale->inputs[0]
                                                                             : NULL;
    scale = v->quant == NULL ? nrw_made_by(v, "Mul") : NULL;
    return scale != NULL ? other_than(scale, sqrt(0.5)) : NULL;
}

/* The node that makes the whole product; NULL: this is no such thing. */
static nrw_node *whole(const nrw_node *erf, const nrw_value *x) {
    const nrw_node *plus = only_user(erf->outputs[0], "Add");
    if (plus == NULL || other_than(plus, 1) != erf->outputs[0]) return NULL;
    const nrw_node *product = only_user(plus->outputs[0], "Mul");
    if (product == NULL) return NULL;
    nrw_value *factor = product->inputs[product->inputs[0] == plus->outputs[0]];
    if (factor == x) {
        const nrw_node *half = only_user(product->outputs[0], "Mul");
        return half != NULL && other_than(half, 0.5) == product->outputs[0] ? (nrw_node *)half
                                                                            : NULL;
    }
    const nrw_node *half = factor->quant == NULL ? nrw_made_by(factor, "Mul") : NULL;
    return half != NULL && other_than(half, 0.5) == x ? (nrw_node *)product : NULL;
}

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        if (!nrw_is(n, "Erf") || n->outputs[0] == NULL || n->inputs[0] == NULL) continue;
        nrw_value *x = argument(n);
        nrw_node *end = x != NULL ? whole(n, x) : NULL;
        if (end == NULL || end->graph != g || end->outputs[0] == NULL ||
            end->outputs[0]->type.dtype != x->type.dtype)
            continue;
        nrw_node *gelu =
            nrw_node_new(g, nrw_op_find("Gelu", ""), "Gelu", "", NULL, 1, 1, end->next);
        nrw_value *y = end->outputs[0];
        if (gelu == NULL) NRW_OOM(err);
        NRW_TRY(nrw_node_set_input(gelu, 0, x, err));
        nrw_node_set_output(end, 0, NULL);
        nrw_node_set_output(gelu, 0, y);
        *(bool *)user = true;
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    (void)scratch;
    return nrw_each_graph(m->graph, sweep, changed, err);
}

const nrw_pass nrw_pass_fuse_gelu = {"fuse_gelu", run};
