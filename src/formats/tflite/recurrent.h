/* What rules for operators with a memory have in common. */
#ifndef NRW_FORMATS_TFLITE_RECURRENT_H
#define NRW_FORMATS_TFLITE_RECURRENT_H

#include "formats/tflite/rule.h"

/* n elements of a constant as real numbers; false: it is none, or has another number of them. */
bool nrw_tflite_floats(rewriting *r, const nrw_value *v, int64_t n, float *out);
/* Two constant matrices side by side, as real numbers. NULL: they are none. */
nrw_value *nrw_tflite_beside(rewriting *r, const nrw_value *a, const nrw_value *b);
nrw_value *nrw_tflite_set_words(rewriting *r, nrw_value *v, const char *name, int n,
                                const char *const *words);

/* States. A state is a tensor that an operator reads and writes, and that the next operator which
 * has it, or the next run, finds as it was left. A run begins with zeros. */

/* v stands for zeros whatever happens; NULL: true. */
bool nrw_tflite_is_zero(const nrw_value *v);
/* Another operator has this state too: it must be told what becomes of it. */
bool nrw_tflite_state_lives(rewriting *r, const nrw_value *state);
/* From here on, the state is v. */
void nrw_tflite_set_state(rewriting *r, const nrw_value *state, nrw_value *v);
/* The state [batch, units] as ONNX's layers take it; NULL for zeros. */
nrw_value *nrw_tflite_start(rewriting *r, nrw_value *state, int64_t units);

/* x of rank 2 as a sequence of one step, time first. */
nrw_value *nrw_tflite_one_step(rewriting *r, nrw_value *x);
/* The results of both directions are the node's two outputs, or its single one side by side. */
void nrw_tflite_finish_both(rewriting *r, nrw_value *const *y);

#endif
