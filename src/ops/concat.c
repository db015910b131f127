/* Concat and Split: one axis put together and taken apart. */
#include <string.h>

#include "ops/move.h"

static nrw_status concat_infer(nrw_infer *c) {
    nrw_type *out = &c->out[0];
    int first = -1;
    for (int i = 0; i < c->n_in; i++) {
        const nrw_type *t = c->in[i];
        if (t == NULL) NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d is left out", i);
        if (t->dtype == NRW_NONE) continue;
        if (out->dtype != NRW_NONE && out->dtype != t->dtype)
            NRW_FAIL_INPUT(c, i, "inputs", "%s among %s", nrw_dtype_get(t->dtype)->title,
                           nrw_dtype_get(out->dtype)->title);
        out->dtype = t->dtype;
    }
    for (int i = 0; i < c->n_in && first < 0; i++) {
        if (c->in[i]->rank >= 0) first = i;
    }
    if (first < 0) return NRW_OK;
    int axis, rank = c->in[first]->rank;
    NRW_TRY(nrw_axis_attr(c->node, "axis", 0, rank, &axis, c->err));
    out->rank = rank;
    for (int k = 0; k < rank; k++) out->dims[k] = NRW_DIM_UNKNOWN;
    int64_t total = 0;
    for (int i = 0; i < c->n_in; i++) {
        const nrw_type *t = c->in[i];
        if (t->rank >= 0 && t->rank != rank)
            NRW_FAIL_INPUT(c, i, "inputs", "%d axes where others have %d", t->rank, rank);
        for (int k = 0; k < t->rank; k++) {
            int64_t *d = &out->dims[k];
            if (k == axis || t->dims[k] == NRW_DIM_UNKNOWN) continue;
            if (*d >= 0 && t->dims[k] >= 0 && *d != t->dims[k])
                NRW_FAIL_INPUT(c, i, "inputs", "axis %d has length %lld where others have %lld", k,
                               (long long)t->dims[k], (long long)*d);
            if (*d < 0) *d = t->dims[k];
        }
        if (t->rank < 0 || t->dims[axis] < 0)
            total = -1;
        else if (total >= 0 && __builtin_add_overflow(total, t->dims[axis], &total))
            NRW_FAIL(c->err, NRW_ERR_SHAPE, "axis %d grows past 2^63", axis);
    }
    out->dims[axis] = c->n_in == 1 ? c->in[0]->dims[axis] : total;
    return NRW_OK;
}

static nrw_status concat_run(nrw_eval *e) {
    int axis;
    NRW_TRY(nrw_axis_attr(e->node, "axis", 0, e->out[0].rank, &axis, e->err));
    int64_t at = 0;
    for (int i = 0; i < e->n_in; i++) {
        nrw_move_part(e->pool, &e->out[0], e->in[i], axis, at, true);
        at += e->in[i]->dims[axis];
    }
    return NRW_OK;
}

/* An input whose parameters differ from the output's is dequantized and quantized again; every
 * storage value has one image, so a table of them does for 8 bits. */
static nrw_status requantize(nrw_eval *e, const nrw_tensor *in, nrw_tensor *to) {
    int64_t n = nrw_tensor_count(in);
    bool table = nrw_dtype_size(in->dtype) == 1 && in->quant->axis < 0 && n > 256;
    nrw_tensor from = *in;
    int64_t count = n, all = 256;
    unsigned char codes[256], images[256];
    if (table) {
        for (int i = 0; i < 256; i++) codes[i] = (unsigned char)i;
        from = nrw_tensor_make(in->dtype, 1, &all, codes);
        from.quant = in->quant;
        count = all;
    }
    float *real = nrw_arena_alloc(e->scratch, (size_t)(count > 0 ? count : 1) * sizeof *real);
    if (real == NULL) NRW_OOM(e->err);
    NRW_TRY(nrw_dequantize(&from, real, e->err));
    nrw_tensor target = nrw_tensor_make(to->dtype, from.rank, from.dims, table ? images : to->data);
    target.quant = to->quant;
    NRW_TRY(nrw_quantize_values(real, &target, e->err));
    if (!table) return NRW_OK;
    const unsigned char *q = in->data;
    unsigned char *out = to->data;
    for (int64_t i = 0; i < n; i++) out[i] = images[q[i]];
    return NRW_OK;
}

static nrw_status concat_integer(nrw_eval *e) {
    int axis;
    NRW_TRY(nrw_axis_attr(e->node, "axis", 0, e->out[0].rank, &axis, e->err));
    int64_t at = 0;
    for (int i = 0; i < e->n_in; i++) {
        nrw_tensor part = *e->in[i];
        if (!nrw_quant_equal(part.quant, e->out[0].quant)) {
            NRW_TRY(
                nrw_tensor_new(e->scratch, e->out[0].dtype, part.rank, part.dims, &part, e->err));
            part.quant = e->out[0].quant;
            NRW_TRY(requantize(e, e->in[i], &part));
        }
        nrw_move_part(e->pool, &e->out[0], &part, axis, at, true);
        at += part.dims[axis];
    }
    return NRW_OK;
}

static bool concat_integer_ok(const nrw_node *n) {
    const nrw_quant *out = n->outputs[0] != NULL ? n->outputs[0]->quant : NULL;
    if (out == NULL || out->axis >= 0 || out->dynamic) return false;
    for (int i = 0; i < n->n_inputs; i++) {
        const nrw_quant *q = n->inputs[i] != NULL ? n->inputs[i]->quant : NULL;
        if (q == NULL || q->axis >= 0 || q->dynamic) return false;
        if (nrw_dtype_size(q->dtype) != nrw_dtype_size(out->dtype)) return false;
    }
    return true;
}

/* The lengths of the parts. known: all of them are. */
static nrw_status split_given(nrw_infer *c, int axis, int64_t length, int64_t *parts, bool *known) {
    *known = false;
    if (c->in[1]->rank > 1)
        NRW_FAIL_INPUT(c, 1, "split", "expected one axis, got %d", c->in[1]->rank);
    if (c->in[1]->rank == 1 && c->in[1]->dims[0] >= 0 && c->in[1]->dims[0] != c->n_out)
        NRW_FAIL_INPUT(c, 1, "split", "%lld lengths for %d outputs", (long long)c->in[1]->dims[0],
                       c->n_out);
    if (c->data[1] == NULL) return NRW_OK;
    int n;
    NRW_TRY_CTX(c->err, nrw_tensor_ints(c->data[1], parts, c->n_out, &n, c->err),
                "input 1 (split)");
    if (n != c->n_out) NRW_FAIL_INPUT(c, 1, "split", "%d lengths for %d outputs", n, c->n_out);
    int64_t total = 0;
    for (int i = 0; i < n; i++) {
        if (parts[i] < 0) NRW_FAIL_INPUT(c, 1, "split", "%lld is no length", (long long)parts[i]);
        if (__builtin_add_overflow(total, parts[i], &total))
            NRW_FAIL_INPUT(c, 1, "split", "the lengths add up past 2^63");
    }
    if (length >= 0 && total != length)
        NRW_FAIL_INPUT(c, 1, "split", "the lengths add up to %lld, but axis %d has %lld",
                       (long long)total, axis, (long long)length);
    *known = true;
    return NRW_OK;
}

static nrw_status split_equal(nrw_infer *c, int64_t length, int64_t *parts, bool *known) {
    int64_t n = nrw_attr_int(c->node, "num_outputs", c->n_out);
    if (n != c->n_out)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "num_outputs: %lld, but there are %d outputs", (long long)n,
                 c->n_out);
    *known = length >= 0;
    if (!*known) return NRW_OK;
    int64_t each = length / n + (length % n != 0);
    for (int64_t i = 0; i < n; i++) {
        parts[i] = length < each ? length : each;
        length -= parts[i];
    }
    return NRW_OK;
}

static nrw_status split_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    for (int i = 0; i < c->n_out; i++) {
        c->out[i] = *in;
    }
    if (in->rank < 0) return NRW_OK;
    int axis;
    NRW_TRY(nrw_axis_attr(c->node, "axis", 0, in->rank, &axis, c->err));
    int64_t *parts = nrw_arena_calloc(c->scratch, (size_t)c->n_out, sizeof *parts);
    if (parts == NULL) NRW_OOM(c->err);
    bool known;
    if (nrw_infer_has(c, 1))
        NRW_TRY(split_given(c, axis, in->dims[axis], parts, &known));
    else
        NRW_TRY(split_equal(c, in->dims[axis], parts, &known));
    for (int i = 0; i < c->n_out; i++) c->out[i].dims[axis] = known ? parts[i] : NRW_DIM_UNKNOWN;
    return NRW_OK;
}

static nrw_status split_run(nrw_eval *e) {
    int axis;
    NRW_TRY(nrw_axis_attr(e->node, "axis", 0, e->in[0]->rank, &axis, e->err));
    int64_t at = 0;
    for (int i = 0; i < e->n_out; i++) {
        if (e->out[i].data != NULL) nrw_move_part(e->pool, e->in[0], &e->out[i], axis, at, false);
        at += e->out[i].dims[axis];
    }
    return NRW_OK;
}

static const nrw_attr_def concat_attrs[] = {{"axis", NRW_ATTR_INT, true}, {0}};
static const nrw_attr_def split_attrs[] = {
    {"axis", NRW_ATTR_INT, false}, {"num_outputs", NRW_ATTR_INT, false}, {0}};

static const nrw_case concat_cases[] = {
    {"graph main(%a: f32[2,N], %b: f32[2,4]) { "
     "  %y: f32[2,?] = Concat(%a, %b) {axis=1} "
     "  return %y } ",
     -1, 1},
    {"graph main(%a: f32[2,3] q(u8, scale=0.0078, zero=128), %b: f32[2,3] q(u8, "
     "scale=0.011, zero=100)) { "
     "  %y: f32[2,6] q(u8, scale=0.011, zero=100) = Concat(%a, %b) {axis=-1} "
     "  return %y } ",
     -1, 1},
    {"graph main(%a: f32[20,30] q(u8, scale=0.0078, zero=128), %b: f32[20,30] q(u8, "
     "scale=0.011, zero=100)) { "
     "  %y: f32[40,30] q(u8, scale=0.011, zero=100) = Concat(%a, %b) {axis=0} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op concat_row = {
    .name = "Concat",
    .domain = "",
    .min_in = 1,
    .max_in = -1,
    .min_out = 1,
    .max_out = 1,
    .attrs = concat_attrs,
    .infer = concat_infer,
    .reference = concat_run,
    .integer = concat_integer,
    .integer_ok = concat_integer_ok,
    .quant = {.rule = NRW_QUANT_CONCAT},
    .onnx = {"Concat", 1},
    .tflite = {"CONCATENATION", 2},
    .aten = "aten.cat.default",
    .cases = concat_cases,
};
static const nrw_case split_cases[] = {
    {"graph main(%x: f32[N,7]) { "
     "  %a: f32[N,4], %b: f32[N,3] = Split(%x) {axis=1, num_outputs=2} "
     "  return %a, %b } ",
     -1, 1},
    {"graph main(%x: f32[2,7] q(u8, scale=0.0078, zero=128)) { "
     "  const %s: i64[2] = [5, 2] "
     "  %a: f32[2,5] q(u8, scale=0.0078, zero=128), %b: f32[2,2] q(u8, "
     "scale=0.0078, zero=128) = Split(%x, %s) {axis=-1} "
     "  return %a, %b } ",
     -1, 1},
    {0}};
static const nrw_op split_row = {
    .name = "Split",
    .domain = "",
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = -1,
    .attrs = split_attrs,
    .infer = split_infer,
    .reference = split_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"Split", 1},
    .tflite = {"SPLIT_V", 102},
    .aten = "aten.split_with_sizes.default",
    .cases = split_cases,
};

NRW_OPS(concat, &concat_row, &split_row);
