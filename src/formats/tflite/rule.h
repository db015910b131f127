/* From operators of TensorFlow Lite to ONNX's, and back. An operator of TensorFlow Lite is a node
 * of the domain "tflite" with its options as attributes. A rule takes one node, puts nodes of the
 * other kind before it that make the same outputs, and the node goes. Without a rule, or where a
 * rule does not know the case, it stays.
 *
 * Rules call the functions below in a row, like formulas. What fails on the way (out of memory)
 * makes all later calls return NULL, and is reported when the rule is through. */
#ifndef NRW_FORMATS_TFLITE_RULE_H
#define NRW_FORMATS_TFLITE_RULE_H

#include "formats/tflite/read.h"

/* Formulas read better with short names; the linker sees long ones. */
#define rule_cast              nrw_tflite_rule_cast
#define rule_emit              nrw_tflite_rule_emit
#define rule_f32               nrw_tflite_rule_f32
#define rule_finish_activated  nrw_tflite_rule_finish_activated
#define rule_finish_output     nrw_tflite_rule_finish_output
#define rule_i32s              nrw_tflite_rule_i32s
#define rule_i64               nrw_tflite_rule_i64
#define rule_i64s              nrw_tflite_rule_i64s
#define rule_ints              nrw_tflite_rule_ints
#define rule_is_never_negative nrw_tflite_rule_is_never_negative
#define rule_is_static         nrw_tflite_rule_is_static
#define rule_knows_activation  nrw_tflite_rule_knows_activation
#define rule_like              nrw_tflite_rule_like
#define rule_lowest            nrw_tflite_rule_lowest
#define rule_quant_as          nrw_tflite_rule_quant_as
#define rule_reshape           nrw_tflite_rule_reshape
#define rule_second            nrw_tflite_rule_second
#define rule_set_float         nrw_tflite_rule_set_float
#define rule_set_int           nrw_tflite_rule_set_int
#define rule_set_ints          nrw_tflite_rule_set_ints
#define rule_set_str           nrw_tflite_rule_set_str
#define rule_shape_of          nrw_tflite_rule_shape_of
#define rule_squeeze           nrw_tflite_rule_squeeze
#define rule_to_first          nrw_tflite_rule_to_first
#define rule_to_i64            nrw_tflite_rule_to_i64
#define rule_to_last           nrw_tflite_rule_to_last
#define rule_turn              nrw_tflite_rule_turn
#define rule_unsqueeze         nrw_tflite_rule_unsqueeze

typedef struct nrw_tflite_rewriting {
    nrw_graph *graph;
    nrw_node *node;     /* what is being rewritten */
    const char *domain; /* of the nodes that are emitted: "" or "tflite" */
    nrw_arena *scratch;
    nrw_tflite_scope *scope; /* of raising only */
    bool failed;
    nrw_error *err;
} rewriting;

typedef struct nrw_tflite_rule {
    const char *type; /* of the node */
    /* *done false: the case is not known. */
    nrw_status (*rewrite)(rewriting *r, bool *done);
} nrw_tflite_rule;

/* Each list ends with a NULL type. */
extern const nrw_tflite_rule nrw_tflite_control_rules[], nrw_tflite_conv_rules[],
    nrw_tflite_lstm_rules[], nrw_tflite_math_rules[], nrw_tflite_move_rules[],
    nrw_tflite_pick_rules[], nrw_tflite_reduce_rules[], nrw_tflite_rnn_rules[],
    nrw_tflite_signal_rules[];
/* Of operators that need no outputs, of custom ones, and of complex numbers. */
extern const nrw_tflite_rule nrw_tflite_effect_rules[], nrw_tflite_custom_rules[],
    nrw_tflite_complex_rules[];
nrw_status nrw_tflite_raise_transpose_bias(rewriting *r, bool *done) NRW_MUST_CHECK;
/* The other way: what minds where channels lie, and all the rest. */
extern const nrw_tflite_rule nrw_tflite_lower_image_rules[], nrw_tflite_lower_lstm_rules[],
    nrw_tflite_lower_math_rules[], nrw_tflite_lower_move_rules[];
/* Between operators of ONNX's: those that have no equal become several that have. */
extern const nrw_tflite_rule nrw_tflite_prepare_rules[];

/* Raises n, which is then gone, if there is a rule for it. */
nrw_status nrw_tflite_raise(nrw_tflite_scope *s, nrw_node *n) NRW_MUST_CHECK;
const nrw_tflite_rule *nrw_tflite_find_rule(const nrw_tflite_rule *const *lists, const char *type);
/* Applies a rule (NULL: the operator of the same meaning, if there is one); the node is gone if
 * *done. */
nrw_status nrw_tflite_apply(rewriting *r, const nrw_tflite_rule *rule, bool *done) NRW_MUST_CHECK;

/* What the node says.
 * --------------------------------------------------------------------------------- */

static inline nrw_value *rule_in(const rewriting *r, int i) {
    return i < r->node->n_inputs ? r->node->inputs[i] : NULL;
}
static inline nrw_value *rule_out(const rewriting *r) {
    return r->node->outputs[0];
}
static inline int64_t rule_int(const rewriting *r, const char *name, int64_t absent) {
    return nrw_attr_int(r->node, name, absent);
}
/* A constant of at most `max` integers: how many; -1: it is none. */
int rule_ints(const nrw_value *v, int64_t *out, int max);
/* No element is below zero, by the operator that makes it or by its integers. */
bool rule_is_never_negative(const nrw_value *v);
/* The lengths are all fixed. */
bool rule_is_static(const nrw_value *v);

/* Making.
 * --------------------------------------------------------------------------------------------- */

/* A node before the one that is rewritten; inputs may be NULL. Its first output. */
nrw_value *rule_emit(rewriting *r, const char *type, int n_in, nrw_value *const *in);
#define EMIT(r, type, ...)                                                                         \
    rule_emit((r), (type), (int)(sizeof((nrw_value *[]){__VA_ARGS__}) / sizeof(nrw_value *)),      \
              (nrw_value *[]){__VA_ARGS__})
/* Another output of the node that makes v. */
nrw_value *rule_second(rewriting *r, nrw_value *v, int index);
/* Attributes of the node that makes v. Return v. */
nrw_value *rule_set_int(rewriting *r, nrw_value *v, const char *name, int64_t x);
nrw_value *rule_set_float(rewriting *r, nrw_value *v, const char *name, float x);
nrw_value *rule_set_str(rewriting *r, nrw_value *v, const char *name, const char *x);
nrw_value *rule_set_ints(rewriting *r, nrw_value *v, const char *name, int64_t n, const int64_t *x);

nrw_value *rule_i64s(rewriting *r, int64_t n, const int64_t *x); /* a constant of rank 1 */
nrw_value *rule_i64(rewriting *r, int64_t x);                    /* of rank 0 */
nrw_value *rule_i32s(rewriting *r, int rank, const int64_t *dims, const int32_t *x);
nrw_value *rule_lowest(rewriting *r, const nrw_quant *q); /* the least that q can stand for */
nrw_value *rule_f32(rewriting *r, float x);
/* x as a constant of rank 0 of v's element type. */
nrw_value *rule_like(rewriting *r, const nrw_value *v, double x);
nrw_value *rule_cast(rewriting *r, nrw_value *v, nrw_dtype to);
nrw_value *rule_to_i64(rewriting *r, nrw_value *v); /* v itself, or widened */
/* v turned; a constant is turned right away, its scales with it. */
nrw_value *rule_turn(rewriting *r, nrw_value *v, int rank, const int64_t *perm);
/* Images and volumes between channels last and channels first; rank 3 to 5. */
nrw_value *rule_to_first(rewriting *r, nrw_value *v, int rank);
nrw_value *rule_to_last(rewriting *r, nrw_value *v, int rank);
/* How the integers of a layer's bias are scaled: by the data's scale times the weights'. NULL
 * without memory. */
const nrw_quant *nrw_tflite_bias_quant(nrw_arena *a, nrw_dtype dtype, const nrw_quant *x,
                                       const nrw_quant *w);
/* As ONNX's Reshape: a length of -1 is what is left, one of 0 that of v. */
nrw_value *rule_reshape(rewriting *r, nrw_value *v, int rank, const int64_t *dims);
nrw_value *rule_shape_of(rewriting *r, nrw_value *v); /* int64, rank 1 */
nrw_value *rule_unsqueeze(rewriting *r, nrw_value *v, int64_t axis);
nrw_value *rule_squeeze(rewriting *r, nrw_value *v, int64_t axis);

/* v stands for real numbers by the same integers as `like` does. Returns v. */
nrw_value *rule_quant_as(rewriting *r, nrw_value *v, const nrw_value *like);

/* v is what output i of the node was. */
void rule_finish_output(rewriting *r, int i, nrw_value *v);
static inline void rule_finish(rewriting *r, nrw_value *v) {
    rule_finish_output(r, 0, v);
}
/* The fused activation, then as above. false: an activation that is not known; nothing was done. */
bool rule_knows_activation(const rewriting *r);
void rule_finish_activated(rewriting *r, nrw_value *v);

#endif
