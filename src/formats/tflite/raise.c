/* Reading: which rule raises an operator. */
#include <string.h>

#include "formats/tflite/rule.h"
#include "formats/tflite/tflite.h"

static const nrw_tflite_rule *const families[] = {
    nrw_tflite_control_rules,
    nrw_tflite_effect_rules,
    nrw_tflite_conv_rules,
    nrw_tflite_lstm_rules,
    nrw_tflite_math_rules,
    nrw_tflite_move_rules,
    nrw_tflite_pick_rules,
    nrw_tflite_reduce_rules,
    nrw_tflite_rnn_rules,
    nrw_tflite_signal_rules,
    NULL,
};

static const nrw_tflite_rule *const effect_families[] = {nrw_tflite_effect_rules, NULL};
static const nrw_tflite_rule *const complex_families[] = {nrw_tflite_complex_rules, NULL};
static const nrw_tflite_rule *const custom_families[] = {nrw_tflite_custom_rules, NULL};

/* Operators without options that mean the same in both formats: rows of src/ops say which. */
static const nrw_op *same_operator(const nrw_tflite_builtin *b) {
    return b != NULL && b->fields[0] == 0 ? nrw_op_find_tflite(b->code) : NULL;
}

static nrw_status rename_operator(rewriting *r, bool *done) {
    const nrw_op *same = same_operator(nrw_tflite_builtin_named(r->node->type));
    rule_finish(r, rule_emit(r, same->name, r->node->n_inputs, r->node->inputs));
    *done = true;
    return NRW_OK;
}

static bool is_complex(const nrw_value *v) {
    return v != NULL && v->type.dtype == NRW_C64;
}

nrw_status nrw_tflite_raise(nrw_tflite_scope *s, nrw_node *n) {
    static const nrw_tflite_rule same = {"", rename_operator};
    rewriting r = {.graph = n->graph,
                   .node = n,
                   .domain = "",
                   .scratch = &s->reader->scratch,
                   .scope = s,
                   .err = s->reader->err};
    bool done;
    const bool custom = rule_int(&r, "custom", 0) != 0;
    if (n->n_outputs < 1 || n->outputs[0] == NULL) {
        const nrw_tflite_rule *effect =
            custom ? NULL : nrw_tflite_find_rule(effect_families, n->type);
        return effect != NULL ? nrw_tflite_apply(&r, effect, &done) : NRW_OK;
    }
    const nrw_tflite_rule *rule = NULL;
    if (is_complex(rule_in(&r, 0)) || is_complex(n->outputs[0]))
        rule = nrw_tflite_find_rule(complex_families, n->type);
    if (rule == NULL) rule = nrw_tflite_find_rule(custom ? custom_families : families, n->type);
    if (rule == NULL && !custom && same_operator(nrw_tflite_builtin_named(n->type)) != NULL)
        rule = &same;
    return rule != NULL ? nrw_tflite_apply(&r, rule, &done) : NRW_OK;
}

void nrw_tflite_list(void (*each)(void *user, const char *name, bool reads, bool writes),
                     void *user) {
    size_t n;
    const nrw_tflite_builtin *b = nrw_tflite_builtins(&n);
    for (size_t i = 0; i < n; i++) {
        if (nrw_tflite_find_rule(families, b[i].name) != NULL || same_operator(&b[i]) != NULL)
            each(user, b[i].name, true, false);
    }
}
