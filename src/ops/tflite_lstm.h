/* The parts of TensorFlow Lite's LSTM: the row and the float kernel are in tflite_lstm.c, the
 * integer kernel is in tflite_lstm_int.c. */
#ifndef NRW_OPS_TFLITE_LSTM_H
#define NRW_OPS_TFLITE_LSTM_H

#include "ops/op.h"

/* Inputs, as lite/kernels/lstm_shared.h has them. Gates are in the order input, forget, cell,
 * output; peepholes have no cell gate. Tensors that only carry parameters of quantization come
 * behind all these. */
enum {
    LSTM_X = 0,
    LSTM_W = 1,
    LSTM_R = 5,
    LSTM_PEEP = 9,
    LSTM_BIAS = 12,
    LSTM_PROJ = 16,
    LSTM_PROJ_BIAS = 17,
    LSTM_H = 18,
    LSTM_C = 19,
    LSTM_NORM = 20,
    LSTM_INPUTS = 24
};
enum { GATE_INPUT, GATE_FORGET, GATE_CELL, GATE_OUTPUT, N_GATES };

typedef struct nrw_tflite_lstm {
    int64_t steps, batch, input, cells, units; /* unknown: < 0 */
    bool time_major, reverse;
    float cell_clip, proj_clip; /* 0: none */
    int plain;                  /* inputs that are not there for their parameters alone */
} nrw_tflite_lstm;

/* The peephole of a gate: index behind LSTM_PEEP; -1: it has none. */
static inline int nrw_tflite_lstm_peep(int gate) {
    return gate == GATE_CELL ? -1 : gate == GATE_OUTPUT ? 2 : gate;
}
/* The row of x and y that a sample has at a step. */
static inline int64_t nrw_tflite_lstm_row(const nrw_tflite_lstm *l, int64_t step, int64_t b) {
    const int64_t time = l->reverse ? l->steps - 1 - step : step;
    return l->time_major ? time * l->batch + b : b * l->steps + time;
}
nrw_status nrw_tflite_lstm_read(nrw_eval *e, nrw_tflite_lstm *l) NRW_MUST_CHECK;
/* A state's elements, one row for each sample, from input i, which may have a single row; zeros
 * where it is left out. */
nrw_status nrw_tflite_lstm_state(nrw_eval *e, int i, int64_t rows, int64_t width, void *out,
                                 size_t element) NRW_MUST_CHECK;

nrw_status nrw_tflite_lstm_integer(nrw_eval *e) NRW_MUST_CHECK;
bool nrw_tflite_lstm_integer_ok(const nrw_node *n);

#endif
