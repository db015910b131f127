/* Operators that permute axes: Transpose, DepthToSpace, SpaceToDepth. */
#include <string.h>

#include "ops/move.h"

/* The permutation of a node for this rank: perm, or the reverse order. */
static nrw_status read_perm(const nrw_node *node, int rank, int64_t *perm, nrw_error *err) {
    int64_t n;
    const int64_t *given = nrw_attr_ints(node, "perm", &n);
    if (given == NULL) {
        for (int i = 0; i < rank; i++) perm[i] = rank - 1 - i;
        return NRW_OK;
    }
    if (n != rank)
        NRW_FAIL(err, NRW_ERR_SHAPE, "perm: expected %d axes, got %lld", rank, (long long)n);
    memcpy(perm, given, (size_t)rank * sizeof *perm);
    return nrw_normalize_axes(perm, rank, rank, "perm", err);
}

static nrw_status transpose_infer(nrw_infer *c) {
    int rank = c->in[0]->rank;
    int64_t n;
    if (rank < 0 && nrw_attr_ints(c->node, "perm", &n) != NULL && n <= NRW_MAX_RANK)
        return nrw_infer_rank(c, (int)n);
    NRW_TRY(nrw_infer_rank(c, rank));
    if (rank < 0) return NRW_OK;
    int64_t perm[NRW_MAX_RANK];
    NRW_TRY(read_perm(c->node, rank, perm, c->err));
    for (int i = 0; i < rank; i++) c->out[0].dims[i] = c->in[0]->dims[perm[i]];
    return NRW_OK;
}

static nrw_status transpose_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    int64_t perm[NRW_MAX_RANK], strides[NRW_MAX_RANK], source[NRW_MAX_RANK];
    NRW_TRY(read_perm(e->node, in->rank, perm, e->err));
    nrw_strides(in->rank, in->dims, strides);
    for (int i = 0; i < in->rank; i++) source[i] = strides[perm[i]];
    nrw_move_dense(e->pool, nrw_dtype_size(in->dtype), in->rank, e->out[0].dims, e->out[0].data,
                   in->data, source);
    return NRW_OK;
}

static nrw_status block_setup(nrw_infer *c, int64_t *block) {
    const nrw_type *in = c->in[0];
    *block = nrw_attr_int(c->node, "blocksize", 0);
    if (*block < 1 || *block > INT32_MAX)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "blocksize: %lld is not positive", (long long)*block);
    const char *mode = nrw_attr_str(c->node, "mode", "DCR");
    if (strcmp(mode, "DCR") != 0 && strcmp(mode, "CRD") != 0)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "mode: expected DCR or CRD, got %s", mode);
    if (in->rank >= 0 && in->rank != 4)
        NRW_FAIL_INPUT(c, 0, "input", "expected 4 axes, got %d", in->rank);
    return nrw_infer_rank(c, 4);
}

static nrw_status depth_to_space_infer(nrw_infer *c) {
    int64_t block;
    NRW_TRY(block_setup(c, &block));
    if (c->in[0]->rank < 0) return NRW_OK;
    const int64_t *in = c->in[0]->dims;
    int64_t *out = c->out[0].dims;
    out[0] = in[0];
    if (in[1] >= 0 && in[1] % (block * block) != 0)
        NRW_FAIL_INPUT(c, 0, "input", "%lld channels do not divide by blocksize squared",
                       (long long)in[1]);
    if (in[1] >= 0) out[1] = in[1] / (block * block);
    for (int i = 2; i < 4; i++) {
        if (in[i] >= 0 && !nrw_mul_i64(in[i], block, &out[i]))
            NRW_FAIL(c->err, NRW_ERR_SHAPE, "axis %d grows past 2^63", i);
    }
    return NRW_OK;
}

static nrw_status space_to_depth_infer(nrw_infer *c) {
    int64_t block;
    NRW_TRY(block_setup(c, &block));
    if (c->in[0]->rank < 0) return NRW_OK;
    const int64_t *in = c->in[0]->dims;
    int64_t *out = c->out[0].dims;
    out[0] = in[0];
    if (in[1] >= 0 && !nrw_mul_i64(in[1], block * block, &out[1]))
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "axis 1 grows past 2^63");
    for (int i = 2; i < 4; i++) {
        if (in[i] >= 0 && in[i] % block != 0)
            NRW_FAIL_INPUT(c, 0, "input", "axis %d: %lld does not divide by blocksize", i,
                           (long long)in[i]);
        if (in[i] >= 0) out[i] = in[i] / block;
    }
    return NRW_OK;
}

/* Both operators see the deep tensor as [n, …, h, w] with its channels split into (block row, block
 * column, c) for DCR or (c, block row, block column) for CRD, and the wide one as
 * [n, c, h, block row, w, block column]. deep: the strides of the deep tensor in the order of the
 * wide one's axes, which are written to dims. */
static void block_view(const nrw_node *node, const int64_t *deep_dims, int64_t dims[6],
                       int64_t deep[6]) {
    int64_t b = nrw_attr_int(node, "blocksize", 1);
    int64_t h = deep_dims[2], w = deep_dims[3], c = deep_dims[1] / (b * b);
    bool crd = strcmp(nrw_attr_str(node, "mode", "DCR"), "CRD") == 0;
    int64_t channel = crd ? b * b : 1, row = crd ? b : b * c, column = crd ? 1 : c;
    int64_t view[6] = {deep_dims[0], c, h, b, w, b};
    int64_t strides[6] = {deep_dims[1] * h * w, channel * h * w, w, row * h * w, 1, column * h * w};
    memcpy(dims, view, sizeof view);
    memcpy(deep, strides, sizeof strides);
}

static nrw_status depth_to_space_run(nrw_eval *e) {
    int64_t dims[6], deep[6];
    block_view(e->node, e->in[0]->dims, dims, deep);
    nrw_move_dense(e->pool, nrw_dtype_size(e->in[0]->dtype), 6, dims, e->out[0].data,
                   e->in[0]->data, deep);
    return NRW_OK;
}

static nrw_status space_to_depth_run(nrw_eval *e) {
    int64_t dims[6], deep[6], wide[6];
    block_view(e->node, e->out[0].dims, dims, deep);
    nrw_strides(6, dims, wide);
    nrw_move(e->pool, nrw_dtype_size(e->in[0]->dtype), 6, dims, e->out[0].data, deep,
             e->in[0]->data, wide);
    return NRW_OK;
}

static const nrw_attr_def transpose_attrs[] = {{"perm", NRW_ATTR_INTS, false}, {0}};
static const nrw_attr_def block_attrs[] = {
    {"blocksize", NRW_ATTR_INT, true}, {"mode", NRW_ATTR_STRING, false}, {0}};

static const nrw_case transpose_cases[] = {
    {"graph main(%x: f32[1,0,3]) { "
     "  %y: f32[0,1,3] = Transpose(%x) {perm=[1, 0, 2]} "
     "  return %y } ",
     -1, 1},
    {"graph main(%x: f32[4,1,3]) { "
     "  %y: f32[1,4,3] = Transpose(%x) {perm=[1, 0, 2]} "
     "  return %y } ",
     -1, 1},
    {"graph main(%x: f32[2,N,5]) { "
     "  %y: f32[5,2,N] = Transpose(%x) {perm=[2, 0, 1]} "
     "  return %y } ",
     -1, 1},
    {"graph main(%x: f32[40,50]) { "
     "  %y: f32[50,40] = Transpose(%x) "
     "  return %y } ",
     -1, 1},
    {"graph main(%x: f32[2,3,4,5] q(u8, scale=0.0078, zero=128)) { "
     "  %y: f32[2,4,5,3] q(u8, scale=0.0078, zero=128) = Transpose(%x) {perm=[0, 2, "
     "3, 1]} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op transpose_row = {
    .name = "Transpose",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = transpose_attrs,
    .infer = transpose_infer,
    .reference = transpose_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"Transpose", 1},
    .tflite = {"TRANSPOSE", 39},
    .aten = "aten.permute.default",
    .cases = transpose_cases,
};
static const nrw_case depth_to_space_cases[] = {
    {"graph main(%x: f32[1,8,2,3]) { "
     "  %y: f32[1,2,4,6] = DepthToSpace(%x) {blocksize=2} "
     "  return %y } ",
     -1, 1},
    {"graph main(%x: f32[1,8,2,3] q(u8, scale=0.0078, zero=128)) { "
     "  %y: f32[1,2,4,6] q(u8, scale=0.0078, zero=128) = DepthToSpace(%x) "
     "{blocksize=2, mode=\"CRD\"} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op depth_to_space_row = {
    .name = "DepthToSpace",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = block_attrs,
    .infer = depth_to_space_infer,
    .reference = depth_to_space_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"DepthToSpace", 1},
    .tflite = {"DEPTH_TO_SPACE", 5},
    .aten = "aten.pixel_shuffle.default",
    .cases = depth_to_space_cases,
};
static const nrw_case space_to_depth_cases[] = {
    {"graph main(%x: f32[N,2,4,6]) { "
     "  %y: f32[N,8,2,3] = SpaceToDepth(%x) {blocksize=2} "
     "  return %y } ",
     -1, 1},
    {"graph main(%x: f32[1,2,4,6] q(u8, scale=0.0078, zero=128)) { "
     "  %y: f32[1,8,2,3] q(u8, scale=0.0078, zero=128) = SpaceToDepth(%x) "
     "{blocksize=2, mode=\"CRD\"} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op space_to_depth_row = {
    .name = "SpaceToDepth",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = block_attrs,
    .infer = space_to_depth_infer,
    .reference = space_to_depth_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"SpaceToDepth", 1},
    .tflite = {"SPACE_TO_DEPTH", 26},
    .aten = "aten.pixel_unshuffle.default",
    .cases = space_to_depth_cases,
};

NRW_OPS(transpose, &transpose_row, &depth_to_space_row, &space_to_depth_row);
