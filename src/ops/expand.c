/* Expand and Tile: elements repeated along axes. */
#include <string.h>

#include "ops/move.h"

static nrw_status expand_infer(nrw_infer *c) {
    int64_t shape[NRW_MAX_RANK];
    int n;
    bool known;
    NRW_TRY(nrw_infer_ints(c, 1, "shape", shape, NRW_MAX_RANK, &n, &known));
    NRW_TRY(nrw_infer_rank(c, NRW_RANK_UNKNOWN));
    if (n < 0) return NRW_OK;
    for (int i = 0; i < n; i++) {
        if (!known)
            shape[i] = NRW_DIM_UNKNOWN;
        else if (shape[i] < 0)
            NRW_FAIL_INPUT(c, 1, "shape", "%lld is no length", (long long)shape[i]);
    }
    nrw_type target = nrw_type_make(c->in[0]->dtype, n, shape);
    const nrw_type *both[2] = {c->in[0], &target};
    return nrw_broadcast(2, both, &c->out[0], c->err);
}

static nrw_status expand_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0], *out = &e->out[0];
    int64_t own[NRW_MAX_RANK], source[NRW_MAX_RANK];
    nrw_strides(in->rank, in->dims, own);
    int shift = out->rank - in->rank;
    for (int i = 0; i < out->rank; i++) {
        source[i] = i < shift || in->dims[i - shift] == 1 ? 0 : own[i - shift];
    }
    nrw_move_dense(e->pool, nrw_dtype_size(in->dtype), out->rank, out->dims, out->data, in->data,
                   source);
    return NRW_OK;
}

static nrw_status tile_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    int64_t repeats[NRW_MAX_RANK];
    int n;
    bool known;
    NRW_TRY(nrw_infer_ints(c, 1, "repeats", repeats, NRW_MAX_RANK, &n, &known));
    if (in->rank >= 0 && n >= 0 && in->rank != n)
        NRW_FAIL_INPUT(c, 1, "repeats", "%d values for %d axes", n, in->rank);
    NRW_TRY(nrw_infer_rank(c, in->rank >= 0 ? in->rank : n));
    for (int i = 0; known && i < in->rank; i++) {
        int64_t *d = &c->out[0].dims[i];
        if (repeats[i] < 0)
            NRW_FAIL_INPUT(c, 1, "repeats", "%lld is negative", (long long)repeats[i]);
        if (repeats[i] == 0)
            *d = 0;
        else if (in->dims[i] < 0)
            *d = repeats[i] == 1 ? in->dims[i] : NRW_DIM_UNKNOWN;
        else if (!nrw_mul_i64(in->dims[i], repeats[i], d))
            NRW_FAIL_INPUT(c, 1, "repeats", "axis %d grows past 2^63", i);
    }
    return NRW_OK;
}

/* Every axis becomes two: the repetitions, along which the source stands still, and the axis. */
static nrw_status tile_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0], *out = &e->out[0];
    int64_t own[NRW_MAX_RANK], dims[NRW_MOVE_RANK], source[NRW_MOVE_RANK];
    nrw_strides(in->rank, in->dims, own);
    for (int i = 0; i < in->rank; i++) {
        dims[2 * i] = in->dims[i] > 0 ? out->dims[i] / in->dims[i] : 0;
        dims[2 * i + 1] = in->dims[i];
        source[2 * i] = 0;
        source[2 * i + 1] = own[i];
    }
    nrw_move_dense(e->pool, nrw_dtype_size(in->dtype), 2 * in->rank, dims, out->data, in->data,
                   source);
    return NRW_OK;
}

static const nrw_case expand_cases[] = {
    {"graph main(%x: f32[3,1]) { "
     "  const %s: i64[3] = [2, 1, 4] "
     "  %y: f32[2,3,4] = Expand(%x, %s) "
     "  return %y } ",
     -1, 1},
    {"graph main(%x: f32[3,1] q(u8, scale=0.0078, zero=128)) { "
     "  const %s: i64[2] = [3, 4] "
     "  %y: f32[3,4] q(u8, scale=0.0078, zero=128) = Expand(%x, %s) "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op expand_row = {
    .name = "Expand",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .infer = expand_infer,
    .reference = expand_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"Expand", 8},
    .tflite = {"BROADCAST_TO", 130},
    .aten = "aten.expand.default",
    .cases = expand_cases,
};
static const nrw_case tile_cases[] = {{"graph main(%x: f32[2,N]) { "
                                       "  const %r: i64[2] = [3, 2] "
                                       "  %y: f32[6,?] = Tile(%x, %r) "
                                       "  return %y } ",
                                       -1, 1},
                                      {0}};
static const nrw_op tile_row = {
    .name = "Tile",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .infer = tile_infer,
    .reference = tile_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"Tile", 1},
    .tflite = {"TILE", 69},
    .aten = "aten.repeat.default",
    .cases = tile_cases,
};

NRW_OPS(expand, &expand_row, &tile_row);
