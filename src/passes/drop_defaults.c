/* Attributes of windows that say what would hold without them: strides and dilations of one, pads
 * of zero, one group. */
#include <string.h>

#include "passes/match.h"
#include "passes/pass.h"

/* In every operator of ONNX's domain that has an attribute of this name. */
static const struct {
    const char *name;
    int64_t value;
} defaults[] = {{"strides", 1}, {"dilations", 1}, {"pads", 0}, {"group", 1}};

static bool says_default(const nrw_attr *a) {
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        if (strcmp(a->name, defaults[i].name) != 0) continue;
        if (a->type == NRW_ATTR_INT) return a->i == defaults[i].value;
        bool all = a->type == NRW_ATTR_INTS;
        for (int64_t k = 0; all && k < a->n; k++) all = a->ints[k] == defaults[i].value;
        return all;
    }
    return false;
}

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    bool *changed = user;
    (void)err;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        if (n->op == NULL || n->domain[0] != 0) continue;
        for (int i = n->n_attrs - 1; i >= 0; i--) {
            if (!says_default(&n->attrs[i])) continue;
            nrw_node_remove_attr(n, n->attrs[i].name);
            *changed = true;
        }
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    (void)scratch;
    return nrw_each_graph(m->graph, sweep, changed, err);
}

const nrw_pass nrw_pass_drop_defaults = {"drop_defaults", run};
