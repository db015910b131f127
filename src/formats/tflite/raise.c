/* Reading: which rule raises an operator. */
#include <stdio.h>
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

/* How many inputs an operator cannot do without: two unless it is listed here. */
static int required_inputs(const char *type) {
    static const struct {
        int n;
        const char *types; /* between spaces */
    } rows[] = {
        {0, " CALL IF STABLEHLO_CASE STABLEHLO_COMPOSITE STABLEHLO_WHILE VAR_HANDLE WHILE "},
        {1, " ABS AVERAGE_POOL_2D BITCAST BUCKETIZE CAST CEIL CONCATENATION COS DENSIFY "
            "DEPTH_TO_SPACE DEQUANTIZE ELU EXP FAKE_QUANT FLOOR GELU HARD_SWISH L2_NORMALIZATION "
            "L2_POOL_2D LEAKY_RELU LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_NOT LOGISTIC "
            "LOG_SOFTMAX MATRIX_DIAG MAX_POOL_2D NEG QUANTIZE RANK RELU RELU6 RELU_0_TO_1 "
            "RELU_N1_TO_1 RESHAPE ROUND RSQRT SHAPE SIGN SIN SOFTMAX SPACE_TO_DEPTH SQRT SQUARE "
            "SQUEEZE TANH UNIQUE UNPACK WHERE ZEROS_LIKE ADD_N PACK "
            "COMPLEX_ABS IMAG READ_VARIABLE REAL "},
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

static bool has_word(const char *type, const char *word) {
    return strstr(type, word) != NULL;
}

/* Rules do not ask whether an input is there, but those of recurrent layers, and but for a bias,
 * which may be left out. */
static nrw_status check_inputs(const nrw_node *n, nrw_error *err) {
    const bool recurrent = has_word(n->type, "LSTM") || has_word(n->type, "RNN");
    const bool biased = has_word(n->type, "CONV") || has_word(n->type, "FULLY_CONNECTED");
    const bool optional = recurrent || biased || has_word(n->type, "SVDF");
    const int must = recurrent ? 1 : required_inputs(n->type);
    for (int i = 0; i < must || i < n->n_inputs; i++) {
        if (i < n->n_inputs && n->inputs[i] != NULL) continue;
        if (i >= must && optional) continue;
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
    if (rule == NULL) return NRW_OK;
    if (!custom) NRW_TRY(check_inputs(n, r.err));
    return nrw_tflite_apply(&r, rule, &done);
}

void nrw_tflite_list(void (*each)(void *user, const char *name, bool reads, bool writes),
                     void *user) {
    size_t n;
    const nrw_tflite_builtin *b = nrw_tflite_builtins(&n);
    for (size_t i = 0; i < n; i++) {
        if (nrw_tflite_find_rule(families, b[i].name) != NULL ||
            nrw_tflite_find_rule(effect_families, b[i].name) != NULL ||
            same_operator(&b[i]) != NULL)
            each(user, b[i].name, true, false);
    }
}
