/* Pad and CenterCropPad: axes made longer or shorter at their ends. */
#include <string.h>

#include "ops/move.h"

/* What each axis gains (or, negative, loses) before and after. */
typedef struct pads {
    int64_t before[NRW_MAX_RANK], after[NRW_MAX_RANK];
} pads;

static bool known_mode(const char *mode) {
    static const char *const modes[] = {"constant", "edge", "reflect", "wrap"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(mode, modes[i]) == 0) return true;
    }
    return false;
}

/* Spreads given[2 * n] (all befores, then all afters) over the axes. */
static nrw_status spread(const int64_t *given, int64_t *axes, int n, int rank, pads *p,
                         nrw_error *err) {
    memset(p, 0, sizeof *p);
    NRW_TRY(nrw_normalize_axes(axes, n, rank, "input 3 (axes)", err));
    for (int i = 0; i < 2 * n; i++) {
        if (given[i] < -INT64_MAX / 2)
            NRW_FAIL(err, NRW_ERR_SHAPE, "input 1 (pads): %lld is too small", (long long)given[i]);
    }
    for (int i = 0; i < n; i++) {
        p->before[axes[i]] = given[i];
        p->after[axes[i]] = given[n + i];
    }
    return NRW_OK;
}

static nrw_status padded_length(int64_t length, const pads *p, int i, int64_t *out,
                                nrw_error *err) {
    if (__builtin_add_overflow(length, p->before[i], out) ||
        __builtin_add_overflow(*out, p->after[i], out))
        NRW_FAIL(err, NRW_ERR_SHAPE, "axis %d grows past 2^63", i);
    if (*out < 0)
        NRW_FAIL(err, NRW_ERR_SHAPE, "axis %d of length %lld loses more than it has", i,
                 (long long)length);
    return NRW_OK;
}

static nrw_status pad_axes(nrw_infer *c, int rank, int64_t *axes, int *n, bool *known) {
    *known = true;
    *n = rank;
    for (int i = 0; i < rank; i++) axes[i] = i;
    return nrw_infer_has(c, 3) ? nrw_infer_ints(c, 3, "axes", axes, rank, n, known) : NRW_OK;
}

static nrw_status pad_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    const char *mode = nrw_attr_str(c->node, "mode", "constant");
    if (!known_mode(mode))
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "mode: expected constant, edge, reflect or wrap, got %s",
                 mode);
    NRW_TRY(nrw_infer_rank(c, in->rank));
    if (in->rank < 0) return NRW_OK;
    int64_t given[2 * NRW_MAX_RANK], axes[NRW_MAX_RANK];
    int n_given, n_axes;
    bool pads_known, axes_known;
    NRW_TRY(nrw_infer_ints(c, 1, "pads", given, 2 * in->rank, &n_given, &pads_known));
    NRW_TRY(pad_axes(c, in->rank, axes, &n_axes, &axes_known));
    if (n_given >= 0 && n_axes >= 0 && n_given != 2 * n_axes)
        NRW_FAIL_INPUT(c, 1, "pads", "expected %d values, got %d", 2 * n_axes, n_given);
    if (!axes_known || n_axes < 0) return NRW_OK;
    pads p;
    if (!pads_known) memset(given, 0, sizeof given);
    NRW_TRY(spread(given, axes, n_axes, in->rank, &p, c->err));
    memcpy(c->out[0].dims, in->dims, sizeof in->dims);
    for (int i = 0; i < n_axes; i++) {
        int64_t k = axes[i], *d = &c->out[0].dims[k];
        bool changes = !pads_known || p.before[k] != 0 || p.after[k] != 0;
        if (!changes) continue;
        if (!pads_known || *d < 0)
            *d = NRW_DIM_UNKNOWN;
        else
            NRW_TRY(padded_length(*d, &p, (int)k, d, c->err));
        bool must_have = strcmp(mode, "constant") != 0 && in->dims[k] == 0;
        if (must_have && *d > 0) NRW_FAIL_INPUT(c, 0, "data", "axis %d is empty", (int)k);
    }
    return NRW_OK;
}

static nrw_status read_pads(nrw_eval *e, pads *p) {
    int rank = e->in[0]->rank, n = rank, n_given;
    int64_t given[2 * NRW_MAX_RANK], axes[NRW_MAX_RANK];
    for (int i = 0; i < rank; i++) axes[i] = i;
    NRW_TRY(nrw_tensor_ints(e->in[1], given, 2 * NRW_MAX_RANK, &n_given, e->err));
    if (nrw_has_input(e, 3)) NRW_TRY(nrw_tensor_ints(e->in[3], axes, NRW_MAX_RANK, &n, e->err));
    return spread(given, axes, n, rank, p, e->err);
}

/* The whole output becomes the constant, then the part that stays is copied in. */
static void pad_constant(nrw_eval *e, const pads *p, const void *value) {
    const nrw_tensor *in = e->in[0], *out = &e->out[0];
    int element = nrw_dtype_size(in->dtype);
    int64_t from[NRW_MAX_RANK], to[NRW_MAX_RANK], dims[NRW_MAX_RANK], src = 0, dst = 0;
    nrw_strides(in->rank, in->dims, from);
    nrw_strides(out->rank, out->dims, to);
    nrw_move_fill(element, out->data, nrw_tensor_count(out), value);
    for (int i = 0; i < in->rank; i++) {
        int64_t cut = p->before[i] < 0 ? -p->before[i] : 0;
        int64_t cut_end = p->after[i] < 0 ? -p->after[i] : 0;
        dims[i] = in->dims[i] - cut - cut_end;
        /* Cropped away altogether. */
        if (dims[i] <= 0) return;
        src += cut * from[i];
        dst += (p->before[i] > 0 ? p->before[i] : 0) * to[i];
    }
    nrw_move(e->pool, element, in->rank, dims, (char *)out->data + dst * element, to,
             (const char *)in->data + src * element, from);
}

/* Where element i of a padded axis comes from; the axis has `length` elements, at least 1. */
static int64_t source_index(int64_t i, int64_t length, char mode) {
    if (i >= 0 && i < length) return i;
    if (mode == 'e') return i < 0 ? 0 : length - 1;
    if (mode == 'w') {
        i %= length;
        return i < 0 ? i + length : i;
    }
    if (length == 1) return 0;
    int64_t period = 2 * (length - 1);
    i %= period;
    if (i < 0) i += period;
    return i < length ? i : period - i;
}

static nrw_status pad_mapped(nrw_eval *e, const pads *p, char mode) {
    const nrw_tensor *in = e->in[0], *out = &e->out[0];
    if (nrw_tensor_count(out) == 0) return NRW_OK;
    int64_t strides[NRW_MAX_RANK], *maps[NRW_MAX_RANK];
    nrw_strides(in->rank, in->dims, strides);
    for (int k = 0; k < in->rank; k++) {
        maps[k] = nrw_arena_alloc(e->scratch, (size_t)out->dims[k] * sizeof *maps[k]);
        if (maps[k] == NULL) NRW_OOM(e->err);
        /* Cropping comes before padding: the mirror stands where the axis now ends. */
        int64_t cut = p->before[k] < 0 ? -p->before[k] : 0;
        int64_t left = in->dims[k] - cut + (p->after[k] < 0 ? p->after[k] : 0);
        if (left < 1)
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 1 (pads): nothing is left of axis %d to pad", k);
        int64_t lead = p->before[k] > 0 ? p->before[k] : 0;
        for (int64_t i = 0; i < out->dims[k]; i++) {
            maps[k][i] = (cut + source_index(i - lead, left, mode)) * strides[k];
        }
    }
    nrw_move_mapped(e->pool, nrw_dtype_size(in->dtype), in->rank, out->dims, out->data, in->data,
                    (const int64_t *const *)maps, NULL);
    return NRW_OK;
}

static nrw_status pad_with(nrw_eval *e, const void *value) {
    pads p;
    NRW_TRY(read_pads(e, &p));
    char mode = nrw_attr_str(e->node, "mode", "constant")[0];
    if (mode != 'c') return pad_mapped(e, &p, mode);
    pad_constant(e, &p, value);
    return NRW_OK;
}

static nrw_status pad_run(nrw_eval *e) {
    static const char zero[16] = {0};
    static const nrw_string empty = {"", 0};
    const void *value = e->in[0]->dtype == NRW_STRING ? (const void *)&empty : zero;
    if (nrw_has_input(e, 2)) {
        const nrw_tensor *v = e->in[2];
        if (nrw_tensor_count(v) != 1 || v->dtype != e->in[0]->dtype)
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 2 (constant_value): expected one %s",
                     nrw_dtype_get(e->in[0]->dtype)->title);
        value = v->data;
    }
    return pad_with(e, value);
}

/* The constant is a real number: what it becomes under the output's parameters is put in. */
static nrw_status pad_integer(nrw_eval *e) {
    float real = 0;
    if (nrw_has_input(e, 2)) {
        const nrw_tensor *v = e->in[2];
        if (nrw_tensor_count(v) != 1)
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 2 (constant_value): expected one value");
        if (v->quant != NULL)
            NRW_TRY(nrw_dequantize(v, &real, e->err));
        else
            NRW_TRY(nrw_to_f32(v->dtype, v->data, &real, 1, e->err));
    }
    char value[16];
    nrw_tensor q = nrw_tensor_make(e->out[0].dtype, 0, NULL, value);
    q.quant = e->out[0].quant;
    NRW_TRY(nrw_quantize_values(&real, &q, e->err));
    return pad_with(e, value);
}

static bool pad_integer_ok(const nrw_node *n) {
    const nrw_quant *in = n->inputs[0] != NULL ? n->inputs[0]->quant : NULL;
    return in != NULL && in->axis < 0 && !in->dynamic && n->outputs[0] != NULL &&
           nrw_quant_equal(in, n->outputs[0]->quant);
}

/* The axes that CenterCropPad's shape speaks of. */
static nrw_status crop_axes(const nrw_node *node, int rank, int64_t *axes, int *n, nrw_error *err) {
    int64_t count;
    const int64_t *given = nrw_attr_ints(node, "axes", &count);
    if (given != NULL && count > rank)
        NRW_FAIL(err, NRW_ERR_SHAPE, "axes: %lld for %d axes", (long long)count, rank);
    *n = given != NULL ? (int)count : rank;
    for (int i = 0; i < *n; i++) axes[i] = given != NULL ? given[i] : i;
    return nrw_normalize_axes(axes, *n, rank, "axes", err);
}

static nrw_status crop_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    NRW_TRY(nrw_infer_rank(c, in->rank));
    if (in->rank < 0) return NRW_OK;
    int64_t axes[NRW_MAX_RANK], shape[NRW_MAX_RANK];
    int n = -1, n_axes = 0;
    bool known;
    NRW_TRY(crop_axes(c->node, in->rank, axes, &n_axes, c->err));
    NRW_TRY(nrw_infer_ints(c, 1, "shape", shape, in->rank, &n, &known));
    if (n >= 0 && n != n_axes)
        NRW_FAIL_INPUT(c, 1, "shape", "expected %d values, got %d", n_axes, n);
    memcpy(c->out[0].dims, in->dims, sizeof in->dims);
    for (int i = 0; i < n_axes; i++) {
        if (known && shape[i] < 0)
            NRW_FAIL_INPUT(c, 1, "shape", "%lld is no length", (long long)shape[i]);
        c->out[0].dims[axes[i]] = known ? shape[i] : NRW_DIM_UNKNOWN;
    }
    return NRW_OK;
}

/* Of an odd difference the larger half is at the end, for cropping and for padding alike. */
static nrw_status crop_run(nrw_eval *e) {
    static const char zero[16] = {0};
    pads p;
    for (int i = 0; i < e->in[0]->rank; i++) {
        int64_t in = e->in[0]->dims[i], out = e->out[0].dims[i];
        p.before[i] = (out - in) / 2;
        p.after[i] = out - in - p.before[i];
    }
    pad_constant(e, &p, zero);
    return NRW_OK;
}

static const nrw_attr_def pad_attrs[] = {{"mode", NRW_ATTR_STRING, false}, {0}};
static const nrw_attr_def crop_attrs[] = {{"axes", NRW_ATTR_INTS, false}, {0}};

static const nrw_case pad_cases[] = {{"graph main(%x: f32[2,N]) { "
                                      "  const %p: i64[4] = [0, 2, 1, -1] "
                                      "  const %v: f32[] = [1.5] "
                                      "  %y: f32[3,?] = Pad(%x, %p, %v) "
                                      "  return %y } ",
                                      -1, 1},
                                     {"graph main(%x: f32[3,5]) { "
                                      "  const %p: i64[2] = [3, 2] "
                                      "  const %a: i64[1] = [1] "
                                      "  %y: f32[3,10] = Pad(%x, %p, _, %a) {mode=\"reflect\"} "
                                      "  return %y } ",
                                      -1, 1},
                                     {"graph main(%x: f32[2,4] q(u8, scale=0.0078, zero=128)) { "
                                      "  const %p: i64[4] = [1, 1, 1, 1] "
                                      "  %y: f32[4,6] q(u8, scale=0.0078, zero=128) = Pad(%x, %p) "
                                      "  return %y } ",
                                      -1, 1},
                                     {0}};
static const nrw_op pad_row = {
    .name = "Pad",
    .domain = "",
    .min_in = 2,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .attrs = pad_attrs,
    .infer = pad_infer,
    .reference = pad_run,
    .integer = pad_integer,
    .integer_ok = pad_integer_ok,
    .quant = {.rule = NRW_QUANT_SAME_SCALE},
    .onnx = {"Pad", 1},
    .tflite = {"PADV2", 60},
    .aten = "aten.pad.default",
    .cases = pad_cases,
};
static const nrw_case crop_cases[] = {{"graph main(%x: f32[5,4]) { "
                                       "  const %s: i64[2] = [2, 7] "
                                       "  %y: f32[2,7] = CenterCropPad(%x, %s) "
                                       "  return %y } ",
                                       -1, 1},
                                      {0}};
static const nrw_op crop_row = {
    .name = "CenterCropPad",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = crop_attrs,
    .infer = crop_infer,
    .reference = crop_run,
    .onnx = {"CenterCropPad", 18},
    .cases = crop_cases,
};

NRW_OPS(pad, &pad_row, &crop_row);
