/* Writing: from ONNX's operators to TensorFlow Lite's. */
#include <inttypes.h>
#include <string.h>

#include "formats/tflite/rule.h"
#include "formats/tflite/write.h"
#include "passes/for_plans.h"
#include "passes/match.h"
#include "passes/pass.h"

static const nrw_tflite_rule *const prepare_rules[] = {nrw_tflite_prepare_rules, NULL};
static const nrw_tflite_rule *const image_rules[] = {nrw_tflite_lower_image_rules, NULL};
static const nrw_tflite_rule *const other_rules[] = {
    nrw_tflite_lower_lstm_rules, nrw_tflite_lower_math_rules, nrw_tflite_lower_move_rules, NULL};

typedef struct lowering {
    nrw_graph *graph;
    nrw_arena scratch;
    nrw_error *err;
} lowering;

/* Applies the rules of these lists where they apply. */
static nrw_status apply_rules(lowering *l, const nrw_tflite_rule *const *lists,
                              const char *domain) {
    for (nrw_node *n = l->graph->first, *next; n != NULL; n = next) {
        next = n->next;
        if (n->op == NULL || strcmp(n->domain, "tflite") == 0 || n->n_outputs < 1) continue;
        if (n->outputs[0] == NULL) { /* rules look at it even where nobody reads it */
            nrw_value *unread = nrw_value_new(l->graph, NULL, NULL);
            if (unread == NULL) NRW_OOM(l->err);
            nrw_node_set_output(n, 0, unread);
        }
        const nrw_tflite_rule *rule = nrw_tflite_find_rule(lists, n->type);
        rewriting r = {
            .graph = l->graph, .node = n, .domain = domain, .scratch = &l->scratch, .err = l->err};
        bool done;
        if (rule != NULL)
            NRW_TRY_CTX(l->err, nrw_tflite_apply(&r, rule, &done), "node '%s' (%s)", n->name,
                        n->type);
    }
    return NRW_OK;
}

/* Without options of its own an operator of the same meaning takes the same inputs; one with a rule
 * of its own has more to it, and what that did not know is no case for the name alone. */
static nrw_status rename_operator(rewriting *r, bool *done) {
    const nrw_op *op = r->node->op;
    rule_finish(r, rule_emit(r, op->tflite.name, r->node->n_inputs, r->node->inputs));
    *done = true;
    return NRW_OK;
}

static bool has_same(const nrw_node *n) {
    const nrw_tflite_builtin *b =
        n->op->tflite.name != NULL ? nrw_tflite_builtin_of(n->op->tflite.code) : NULL;
    return b != NULL && b->fields[0] == 0 && nrw_tflite_find_rule(image_rules, n->type) == NULL &&
           nrw_tflite_find_rule(other_rules, n->type) == NULL;
}

static nrw_status rename_operators(lowering *l) {
    static const nrw_tflite_rule same = {"", rename_operator};
    for (nrw_node *n = l->graph->first, *next; n != NULL; n = next) {
        next = n->next;
        if (n->op == NULL || strcmp(n->domain, "tflite") == 0 || n->n_outputs < 1 ||
            n->outputs[0] == NULL || !has_same(n))
            continue;
        rewriting r = {.graph = l->graph,
                       .node = n,
                       .domain = "tflite",
                       .scratch = &l->scratch,
                       .err = l->err};
        bool done;
        NRW_TRY(nrw_tflite_apply(&r, &same, &done));
    }
    return NRW_OK;
}

/* Integers of 8 bits are scaled ones there; those of 16 bits have a kernel here and there. */
static bool counts_in_small_integers(const nrw_node *n) {
    enum { N_WIDE = 2 }; /* no kernel for 16 bits either */
    static const char *const types[] = {"DIV",   "SUB",       "ADD",     "MUL",
                                        "EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL",
                                        "LESS",  "LESS_EQUAL"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(n->type, types[i]) != 0) continue;
        for (int k = 0; k < n->n_inputs; k++) {
            const nrw_value *v = n->inputs[k];
            const nrw_dtype t = v != NULL && v->quant == NULL ? v->type.dtype : NRW_NONE;
            const bool wide = i < N_WIDE && t == NRW_I16;
            if (t == NRW_I8 || t == NRW_U8 || t == NRW_U16 || wide) return true;
        }
    }
    return false;
}

static nrw_status refuse_others(const nrw_graph *g, nrw_error *err) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        if (strcmp(n->domain, "tflite") == 0) {
            if (nrw_attr_int(n, "kept", 0) != 0 || !counts_in_small_integers(n)) continue;
            NRW_FAIL(err, NRW_ERR_UNSUPPORTED,
                     "node '%s' (%s): TensorFlow Lite has it for scaled integers only", n->name,
                     n->type);
        }
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED,
                 "node '%s' (%s%s%s): TensorFlow Lite has no operator that does this", n->name,
                 n->domain, n->domain[0] != 0 ? "::" : "", n->type);
    }
    return NRW_OK;
}

/* Shapes must be known. A first axis that is not fixed is a batch, and one sample at a time is what
 * such files are written for; readers may resize it. */
static nrw_status fix_inputs(nrw_graph *g, nrw_error *err) {
    for (int i = 0; i < g->n_inputs; i++) {
        nrw_value *v = g->inputs[i];
        if (v->type.kind != NRW_TENSOR || v->type.rank < 0)
            NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "input '%s': its rank is not known", v->name);
        for (int k = 0; k < v->type.rank; k++) {
            if (v->type.dims[k] >= 0) continue;
            if (k > 0)
                NRW_FAIL(err, NRW_ERR_UNSUPPORTED,
                         "input '%s': axis %d has no fixed length, which TensorFlow Lite needs; "
                         "fix it (--shape)",
                         v->name, k);
            v->type.dims[k] = 1;
        }
    }
    return NRW_OK;
}

static nrw_status check_shapes(const nrw_graph *g, nrw_error *err) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_outputs; i++) {
            const nrw_value *v = n->outputs[i];
            if (v == NULL || (nrw_type_is_static(&v->type) && v->type.dtype != NRW_NONE)) continue;
            NRW_FAIL(err, NRW_ERR_UNSUPPORTED,
                     "node '%s' (%s): the shape of '%s' depends on data, which TensorFlow Lite "
                     "cannot be given",
                     n->name, n->type, v->name);
        }
    }
    return NRW_OK;
}

static nrw_status prepare(lowering *l, nrw_model *m) {
    NRW_TRY(nrw_run_pass(m, &nrw_pass_fuse_gelu, NULL, l->err));
    NRW_TRY(nrw_run_pass(m, &nrw_pass_dead_code, NULL, l->err));
    NRW_TRY(apply_rules(l, prepare_rules, ""));
    NRW_TRY(nrw_run_pass(m, &nrw_pass_infer_shapes, NULL, l->err));
    return nrw_run_pass(m, &nrw_pass_fold_constants, NULL, l->err);
}

/* Operators that reading left as they were, which writing does as well. */
static nrw_status mark_kept(const nrw_graph *g, nrw_error *err) {
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        if (strcmp(n->domain, "tflite") == 0) NRW_TRY(nrw_node_set_int(n, "kept", 1, err));
    }
    return NRW_OK;
}

static nrw_status lower(lowering *l, nrw_model *m) {
    nrw_error *err = l->err;
    NRW_TRY(mark_kept(l->graph, err));
    NRW_TRY(fix_inputs(l->graph, err));
    NRW_TRY(nrw_run_pipeline(m, NRW_PIPELINE_RUN, NULL, err));
    NRW_TRY(nrw_flip_bytes(m, NRW_I8, err));
    NRW_TRY(prepare(l, m));
    NRW_TRY(check_shapes(l->graph, err));
    NRW_TRY(apply_rules(l, image_rules, "tflite"));
    NRW_TRY(nrw_run_pipeline(m, NRW_PIPELINE_TURN, NULL, err));
    NRW_TRY(nrw_alias_transposes(m, NULL, err));
    NRW_TRY(apply_rules(l, other_rules, "tflite"));
    NRW_TRY(rename_operators(l));
    NRW_TRY(refuse_others(l->graph, err));
    return nrw_run_pass(m, &nrw_pass_dead_code, NULL, err);
}

static nrw_status with_scratch(nrw_model *m, nrw_status (*work)(lowering *l, nrw_model *m),
                               nrw_error *err) {
    lowering l = {.graph = m->graph, .err = err};
    nrw_arena_init(&l.scratch, m->arena.allocator);
    nrw_status s = work(&l, m);
    nrw_arena_free(&l.scratch);
    return s;
}

nrw_status nrw_tflite_prepare(nrw_model *m, nrw_error *err) {
    return with_scratch(m, prepare, err);
}

nrw_status nrw_tflite_lower(nrw_model *m, nrw_error *err) {
    return with_scratch(m, lower, err);
}

/* Fused activations. */

static bool takes_activation(const nrw_node *n) {
    const nrw_tflite_builtin *b = nrw_tflite_builtin_named(n->type);
    return b != NULL && strstr(b->fields, "fused_activation_function:") != NULL &&
           strcmp(n->type, "CONCATENATION") != 0 && /* no kernel has it */
           nrw_attr_int(n, "fused_activation_function", ACT_NONE) == ACT_NONE;
}

static int activation(const nrw_node *n) {
    return strcmp(n->type, "RELU") == 0           ? ACT_RELU
           : strcmp(n->type, "RELU6") == 0        ? ACT_RELU6
           : strcmp(n->type, "RELU_N1_TO_1") == 0 ? ACT_RELU_N1_TO_1
                                                  : ACT_NONE;
}

nrw_status nrw_tflite_fuse_activations(nrw_graph *g, nrw_error *err) {
    for (nrw_node *n = g->first, *next; n != NULL; n = next) {
        next = n->next;
        if (activation(n) == ACT_NONE || n->inputs[0] == NULL) continue;
        nrw_value *v = n->inputs[0], *y = n->outputs[0];
        nrw_node *maker = v->producer;
        if (maker == NULL || maker->graph != g || v->n_uses != 1 || !takes_activation(maker))
            continue;
        if (v->quant != NULL && !nrw_quant_equal(v->quant, y->quant)) continue;
        NRW_TRY(nrw_node_set_int(maker, "fused_activation_function", activation(n), err));
        nrw_node_remove(n);
        nrw_node_set_output(maker, 0, NULL);
        nrw_node_set_output(maker, 0, y);
    }
    return NRW_OK;
}
