/* Operators that change or tell a tensor's shape and leave its elements in order: Identity,
 * Reshape, Flatten, Squeeze, Unsqueeze; Shape and Size. */
#include "ops/eval.h"
#include "ops/move.h"

static nrw_status identity_infer(nrw_infer *c) {
    c->out[0] = *c->in[0];
    return NRW_OK;
}

static nrw_status identity_run(nrw_eval *e) {
    if (e->in[0]->kind != NRW_TENSOR) return nrw_host_keep(e, e->in[0], &e->out[0]);
    return nrw_run_copy(e);
}

/* What Reshape knows of the lengths it must match: axes that a 0 copies drop out on both sides. */
typedef struct reshape_sides {
    int64_t in, out;   /* products of the known lengths that were not copied */
    int64_t in_symbol; /* the last unknown length of the input */
    int in_unknown;    /* unknown lengths of the input that were not copied */
    int out_unknown;   /* unknown lengths of the output (a 0 on an input of unknown rank) */
    int wild;          /* where the -1 stands; -1: nowhere */
} reshape_sides;

static nrw_status reshape_output_side(nrw_infer *c, const int64_t *shape, bool *copied,
                                      reshape_sides *s) {
    const nrw_type *in = c->in[0];
    bool allow_zero = nrw_attr_int(c->node, "allowzero", 0) != 0;
    for (int i = 0; i < c->out[0].rank; i++) {
        int64_t d = shape[i];
        if (d < -1) NRW_FAIL_INPUT(c, 1, "shape", "%lld is no length", (long long)d);
        if (d == -1) {
            if (s->wild >= 0) NRW_FAIL_INPUT(c, 1, "shape", "-1 stands there twice");
            s->wild = i;
        } else if (d == 0 && !allow_zero) {
            if (in->rank >= 0 && i >= in->rank)
                NRW_FAIL_INPUT(c, 1, "shape", "0 at axis %d, but the data has %d axes", i,
                               in->rank);
            c->out[0].dims[i] = in->rank >= 0 ? in->dims[i] : NRW_DIM_UNKNOWN;
            if (in->rank >= 0)
                copied[i] = true;
            else
                s->out_unknown++;
        } else {
            c->out[0].dims[i] = d;
            if (!nrw_mul_i64(s->out, d, &s->out))
                NRW_FAIL_INPUT(c, 1, "shape", "the dimensions multiply past 2^63");
        }
    }
    return NRW_OK;
}

static nrw_status reshape_known(nrw_infer *c, const int64_t *shape) {
    const nrw_type *in = c->in[0];
    bool copied[NRW_MAX_RANK] = {false};
    reshape_sides s = {.in = 1, .out = 1, .wild = -1};
    NRW_TRY(reshape_output_side(c, shape, copied, &s));
    if (in->rank < 0 || s.out_unknown > 0) return NRW_OK;
    for (int i = 0; i < in->rank; i++) {
        if (copied[i]) continue;
        if (in->dims[i] < 0) {
            s.in_unknown++;
            s.in_symbol = in->dims[i];
        } else if (!nrw_mul_i64(s.in, in->dims[i], &s.in)) {
            NRW_FAIL_INPUT(c, 0, "data", "the dimensions multiply past 2^63");
        }
    }
    char text[160];
    if (s.in_unknown == 0) {
        bool fits = s.wild >= 0 ? s.out != 0 && s.in % s.out == 0 : s.in == s.out;
        if (!fits)
            NRW_FAIL_INPUT(c, 1, "shape", "%s does not fit into it",
                           nrw_type_str(in, text, sizeof text));
        if (s.wild >= 0) c->out[0].dims[s.wild] = s.in / s.out;
    } else if (s.in_unknown == 1 && s.wild >= 0 && s.in == s.out && s.in > 0) {
        c->out[0].dims[s.wild] = s.in_symbol;
    } else if (s.in_unknown == 1 && s.wild < 0 && s.in > 0 && s.out % s.in != 0) {
        NRW_FAIL_INPUT(c, 1, "shape", "%s cannot fit into it", nrw_type_str(in, text, sizeof text));
    }
    return NRW_OK;
}

static nrw_status reshape_infer(nrw_infer *c) {
    int64_t shape[NRW_MAX_RANK];
    int n;
    bool known;
    NRW_TRY(nrw_infer_ints(c, 1, "shape", shape, NRW_MAX_RANK, &n, &known));
    NRW_TRY(nrw_infer_rank(c, n));
    if (known) return reshape_known(c, shape);
    if (n == 1)
        return nrw_dims_product(c->in[0]->dims, 0, c->in[0]->rank < 0 ? 0 : c->in[0]->rank,
                                &c->out[0].dims[0], c->err);
    return NRW_OK;
}

static nrw_status flatten_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    NRW_TRY(nrw_infer_rank(c, 2));
    if (in->rank < 0) return NRW_OK;
    int64_t axis = nrw_attr_int(c->node, "axis", 1);
    if (axis < -in->rank || axis > in->rank)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "axis: %lld is outside of [%d, %d]", (long long)axis,
                 -in->rank, in->rank);
    if (axis < 0) axis += in->rank;
    NRW_TRY(nrw_dims_product(in->dims, 0, (int)axis, &c->out[0].dims[0], c->err));
    return nrw_dims_product(in->dims, (int)axis, in->rank, &c->out[0].dims[1], c->err);
}

static nrw_status squeeze_ones(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    int n = 0;
    for (int i = 0; i < in->rank; i++) {
        if (in->dims[i] < 0) return nrw_infer_rank(c, NRW_RANK_UNKNOWN);
        if (in->dims[i] != 1) c->out[0].dims[n++] = in->dims[i];
    }
    c->out[0].dtype = in->dtype;
    c->out[0].rank = in->rank < 0 ? NRW_RANK_UNKNOWN : n;
    return NRW_OK;
}

static nrw_status squeeze_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    if (!nrw_infer_has(c, 1)) return squeeze_ones(c);
    int64_t axes[NRW_MAX_RANK];
    int n;
    bool known;
    NRW_TRY(nrw_infer_ints(c, 1, "axes", axes, in->rank < 0 ? NRW_MAX_RANK : in->rank, &n, &known));
    NRW_TRY(nrw_infer_rank(c, in->rank < 0 || n < 0 ? NRW_RANK_UNKNOWN : in->rank - n));
    if (in->rank < 0 || !known) return NRW_OK;
    NRW_TRY(nrw_normalize_axes(axes, n, in->rank, "input 1 (axes)", c->err));
    bool gone[NRW_MAX_RANK] = {false};
    for (int i = 0; i < n; i++) {
        if (in->dims[axes[i]] >= 0 && in->dims[axes[i]] != 1)
            NRW_FAIL_INPUT(c, 1, "axes", "axis %d has length %lld, not 1", (int)axes[i],
                           (long long)in->dims[axes[i]]);
        gone[axes[i]] = true;
    }
    for (int i = 0, k = 0; i < in->rank; i++) {
        if (!gone[i]) c->out[0].dims[k++] = in->dims[i];
    }
    return NRW_OK;
}

static nrw_status unsqueeze_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    int64_t axes[NRW_MAX_RANK];
    int n;
    bool known;
    NRW_TRY(nrw_infer_ints(c, 1, "axes", axes, NRW_MAX_RANK, &n, &known));
    NRW_TRY(nrw_infer_rank(c, in->rank < 0 || n < 0 ? NRW_RANK_UNKNOWN : in->rank + n));
    if (in->rank < 0 || !known) return NRW_OK;
    NRW_TRY(nrw_normalize_axes(axes, n, in->rank + n, "input 1 (axes)", c->err));
    for (int i = 0; i < n; i++) c->out[0].dims[axes[i]] = 1;
    for (int i = 0, k = 0; i < in->rank + n; i++) {
        if (c->out[0].dims[i] != 1) c->out[0].dims[i] = in->dims[k++];
    }
    return NRW_OK;
}

void nrw_shape_range(const nrw_node *node, int rank, int *start, int *end) {
    int64_t ends[2] = {nrw_attr_int(node, "start", 0), nrw_attr_int(node, "end", rank)};
    for (int i = 0; i < 2; i++) {
        if (ends[i] < 0) ends[i] += rank;
        if (ends[i] < 0) ends[i] = 0;
        if (ends[i] > rank) ends[i] = rank;
    }
    *start = (int)ends[0];
    *end = ends[1] > ends[0] ? (int)ends[1] : (int)ends[0];
}

static nrw_status shape_infer(nrw_infer *c) {
    int64_t n = NRW_DIM_UNKNOWN;
    if (c->in[0]->rank >= 0) {
        int start, end;
        nrw_shape_range(c->node, c->in[0]->rank, &start, &end);
        n = end - start;
    }
    c->out[0] = nrw_type_make(NRW_I64, 1, &n);
    return NRW_OK;
}

static nrw_status shape_run(nrw_eval *e) {
    int start, end;
    nrw_shape_range(e->node, e->in[0]->rank, &start, &end);
    int64_t *out = e->out[0].data;
    for (int i = start; i < end; i++) out[i - start] = e->in[0]->dims[i];
    return NRW_OK;
}

static nrw_status size_infer(nrw_infer *c) {
    c->out[0] = nrw_type_make(NRW_I64, 0, NULL);
    return NRW_OK;
}

static nrw_status size_run(nrw_eval *e) {
    *(int64_t *)e->out[0].data = nrw_tensor_count(e->in[0]);
    return NRW_OK;
}

static const nrw_attr_def reshape_attrs[] = {{"allowzero", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def flatten_attrs[] = {{"axis", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def shape_attrs[] = {
    {"start", NRW_ATTR_INT, false}, {"end", NRW_ATTR_INT, false}, {0}};

static const nrw_case identity_cases[] = {{"graph main(%x: f32[2,N]) { "
                                           "  %y: f32[2,N] = Identity(%x) "
                                           "  return %y } ",
                                           -1, 1},
                                          {0}};
static const nrw_op identity_row = {
    .name = "Identity",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = identity_infer,
    .reference = identity_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .alias = true,
    .onnx = {"Identity", 1},
    .aten = "aten.alias.default",
    .takes_sequences = true,
    .cases = identity_cases,
};
static const nrw_case reshape_cases[] = {
    {"graph main(%x: f32[N,2,6]) { "
     "  const %s: i64[3] = [0, 4, -1] "
     "  %y: f32[N,4,3] = Reshape(%x, %s) "
     "  return %y } ",
     -1, 1},
    {"graph main(%x: f32[2,6] q(u8, scale=0.0078, zero=128)) { "
     "  const %s: i64[2] = [3, 4] "
     "  %y: f32[3,4] q(u8, scale=0.0078, zero=128) = Reshape(%x, %s) "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op reshape_row = {
    .name = "Reshape",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = reshape_attrs,
    .infer = reshape_infer,
    .reference = nrw_run_copy,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .alias = true,
    .onnx = {"Reshape", 1},
    .tflite = {"RESHAPE", 22},
    .aten = "aten.reshape.default",
    .cases = reshape_cases,
};
static const nrw_case flatten_cases[] = {{"graph main(%x: f32[N,2,6]) { "
                                          "  %y: f32[N,12] = Flatten(%x) {axis=1} "
                                          "  return %y } ",
                                          -1, 1},
                                         {0}};
static const nrw_op flatten_row = {
    .name = "Flatten",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = flatten_attrs,
    .infer = flatten_infer,
    .reference = nrw_run_copy,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .alias = true,
    .onnx = {"Flatten", 1},
    .aten = "aten.flatten.using_ints",
    .cases = flatten_cases,
};
static const nrw_case squeeze_cases[] = {{"graph main(%x: f32[1,N,1]) { "
                                          "  const %a: i64[1] = [-1] "
                                          "  %y: f32[1,N] = Squeeze(%x, %a) "
                                          "  return %y } ",
                                          -1, 1},
                                         {"graph main(%x: f32[1,3,1]) { "
                                          "  %y: f32[3] = Squeeze(%x) "
                                          "  return %y } ",
                                          -1, 1},
                                         {0}};
static const nrw_op squeeze_row = {
    .name = "Squeeze",
    .domain = "",
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .infer = squeeze_infer,
    .reference = nrw_run_copy,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .alias = true,
    .onnx = {"Squeeze", 1},
    .tflite = {"SQUEEZE", 43},
    .aten = "aten.squeeze.dims",
    .cases = squeeze_cases,
};
static const nrw_case unsqueeze_cases[] = {{"graph main(%x: f32[N,2]) { "
                                            "  const %a: i64[2] = [0, -1] "
                                            "  %y: f32[1,N,2,1] = Unsqueeze(%x, %a) "
                                            "  return %y } ",
                                            -1, 1},
                                           {0}};
static const nrw_op unsqueeze_row = {
    .name = "Unsqueeze",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .infer = unsqueeze_infer,
    .reference = nrw_run_copy,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .alias = true,
    .onnx = {"Unsqueeze", 1},
    .tflite = {"EXPAND_DIMS", 70},
    .aten = "aten.unsqueeze.default",
    .cases = unsqueeze_cases,
};
static const nrw_op shape_row = {
    .name = "Shape",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = shape_attrs,
    .infer = shape_infer,
    .reference = shape_run,
    .onnx = {"Shape", 1},
    .tflite = {"SHAPE", 77},
};
static const nrw_case size_cases[] = {{"graph main(%x: f32[N,4,5]) { "
                                       "  %y: i64[] = Size(%x) "
                                       "  return %y } ",
                                       -1, 1},
                                      {0}};
static const nrw_op size_row = {
    .name = "Size",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = size_infer,
    .reference = size_run,
    .onnx = {"Size", 1},
    .aten = "aten.numel.default",
    .cases = size_cases,
};

NRW_OPS(shape, &identity_row, &reshape_row, &flatten_row, &squeeze_row, &unsqueeze_row, &shape_row,
        &size_row);
