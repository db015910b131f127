/* Reading: which rule raises an operator. */
#include <stdio.h>
#include <string.h>

#include "formats/tflite/rule.h"
#include "formats/tflite/tflite.h"

static const nrw_tflite_rule *const families[] = {
    nrw_tflite_conv_rules, nrw_tflite_math_rules,   nrw_tflite_move_rules,
    nrw_tflite_pick_rules, nrw_tflite_reduce_rules, NULL,
};

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

/* How many inputs an operator cannot do without: two unless it is listed here. */
static int needed(const char *type) {
    static const struct {
        int n;
        const char *types; /* between spaces */
    } rows[] = {
        {1, " ABS AVERAGE_POOL_2D BITCAST BUCKETIZE CAST CEIL CONCATENATION COS DENSIFY "
            "DEPTH_TO_SPACE DEQUANTIZE ELU EXP FAKE_QUANT FLOOR GELU HARD_SWISH L2_NORMALIZATION "
            "L2_POOL_2D LEAKY_RELU LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_NOT LOGISTIC "
            "LOG_SOFTMAX MATRIX_DIAG MAX_POOL_2D NEG QUANTIZE RANK RELU RELU6 RELU_0_TO_1 "
            "RELU_N1_TO_1 RESHAPE ROUND RSQRT SHAPE SIGN SIN SOFTMAX SPACE_TO_DEPTH SQRT SQUARE "
            "SQUEEZE TANH UNIQUE UNPACK WHERE ZEROS_LIKE ADD_N PACK "},
        {3, " BATCH_TO_SPACE_ND CONV_3D_TRANSPOSE DYNAMIC_UPDATE_SLICE PADV2 RANGE SCATTER_ND "
            "SELECT SELECT_V2 SLICE SPACE_TO_BATCH_ND SPLIT_V TRANSPOSE_CONV UNSORTED_SEGMENT_MAX "
            "UNSORTED_SEGMENT_MIN UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_SUM "},
        {4, " ONE_HOT SPARSE_TO_DENSE STRIDED_SLICE "},
        {5, " NON_MAX_SUPPRESSION_V4 "},
        {6, " NON_MAX_SUPPRESSION_V5 "},
    };
    char word[64];
    snprintf(word, sizeof word, " %s ", type);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strstr(rows[i].types, word) != NULL) return rows[i].n;
    }
    return 2;
}

/* Rules do not ask whether an input is there, but for a bias, which may be left out. */
static nrw_status check_inputs(const nrw_node *n, nrw_error *err) {
    const bool biased = strstr(n->type, "CONV") != NULL || strcmp(n->type, "FULLY_CONNECTED") == 0;
    const int must = needed(n->type);
    for (int i = 0; i < must || i < n->n_inputs; i++) {
        if (i < n->n_inputs && n->inputs[i] != NULL) continue;
        if (i >= must && biased) continue;
        NRW_FAIL(err, NRW_ERR_FORMAT, "%s: its input %d is missing", n->type, i);
    }
    return NRW_OK;
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
    if (n->op != NULL || n->n_outputs < 1 || n->outputs[0] == NULL ||
        rule_int(&r, "custom", 0) != 0)
        return NRW_OK;
    const nrw_tflite_rule *rule = nrw_tflite_find_rule(families, n->type);
    if (rule == NULL && same_operator(nrw_tflite_builtin_named(n->type)) != NULL) rule = &same;
    if (rule == NULL) return NRW_OK;
    NRW_TRY(check_inputs(n, r.err));
    return nrw_tflite_apply(&r, rule, &done);
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
