/* Between complex numbers and what ONNX's DFT has for them: real numbers with a last axis of two
 * parts. The bytes are the same. */
#include <string.h>

#include "ops/move.h"

static bool joins(const nrw_node *n) {
    return strcmp(n->type, "COMPLEX_OF_PARTS") == 0;
}

static nrw_status infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    const bool join = joins(c->node);
    const nrw_dtype from = join ? NRW_F32 : NRW_C64;
    if (in->dtype != NRW_NONE && in->dtype != from)
        NRW_FAIL_INPUT(c, 0, "x", "expected %s, got %s", nrw_dtype_name(from),
                       nrw_dtype_name(in->dtype));
    NRW_TRY(nrw_infer_rank(c, in->rank < 0 ? in->rank : in->rank + (join ? -1 : 1)));
    c->out[0].dtype = join ? NRW_C64 : NRW_F32;
    if (in->rank < 0) return NRW_OK;
    if (join && (in->rank < 1 || (in->dims[in->rank - 1] >= 0 && in->dims[in->rank - 1] != 2)))
        NRW_FAIL_INPUT(c, 0, "x", "a last axis of 2 parts is expected");
    for (int i = 0; i < in->rank && i < c->out[0].rank; i++) c->out[0].dims[i] = in->dims[i];
    if (!join) c->out[0].dims[in->rank] = 2;
    return NRW_OK;
}

static nrw_status run(nrw_eval *e) {
    const nrw_tensor *x = e->in[0];
    const bool join = joins(e->node);
    int64_t dims[NRW_MAX_RANK];
    const int rank = join ? x->rank - 1 : x->rank + 1;
    if (rank < 0 || rank > NRW_MAX_RANK || (join && x->dims[x->rank - 1] != 2))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 0: a last axis of 2 parts is expected");
    for (int i = 0; i < rank; i++) dims[i] = i < x->rank ? x->dims[i] : 2;
    NRW_TRY(nrw_eval_room(e, 0, join ? NRW_C64 : NRW_F32, rank, dims));
    const size_t n = nrw_tensor_bytes(x);
    if (n > 0) memcpy(e->out[0].data, x->data, n);
    return NRW_OK;
}

static const nrw_case cases[] = {{"graph main(%x: f32[3,N,2]) {\n"
                                  "  %c: c64[3,N] = tflite::COMPLEX_OF_PARTS(%x)\n"
                                  "  %y: f32[3,N,2] = tflite::PARTS_OF_COMPLEX(%c)\n"
                                  "  return %y }",
                                  -1, 1},
                                 {0}};

static const nrw_op join_row = {
    .name = "COMPLEX_OF_PARTS",
    .domain = "tflite",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = infer,
    .reference = run,
    .onnx = {"COMPLEX_OF_PARTS", 1},
    .cases = cases,
};

static const nrw_op part_row = {
    .name = "PARTS_OF_COMPLEX",
    .domain = "tflite",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = infer,
    .reference = run,
    .onnx = {"PARTS_OF_COMPLEX", 1},
    .cases = cases,
};

NRW_OPS(tflite_complex, &join_row, &part_row);
