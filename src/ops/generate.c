/* Tensors made from parameters: Constant, ConstantOfShape, EyeLike, OneHot, Range, Trilu. */
#include <math.h>
#include <string.h>

#include "ops/move.h"

/* Room for a Constant that is one number. */
typedef union scalar {
    int64_t i;
    float f;
} scalar;

/* The one attribute of a Constant as a tensor that views it, or room. */
static nrw_status constant_tensor(const nrw_node *node, scalar *room, nrw_tensor *out,
                                  nrw_error *err) {
    static const struct {
        const char *name;
        nrw_attr_type type;
        nrw_dtype dtype;
    } kinds[] = {{"value_int", NRW_ATTR_INT, NRW_I64},
                 {"value_ints", NRW_ATTR_INTS, NRW_I64},
                 {"value_float", NRW_ATTR_FLOAT, NRW_F32},
                 {"value_floats", NRW_ATTR_FLOATS, NRW_F32},
                 {"value_string", NRW_ATTR_STRING, NRW_STRING},
                 {"value_strings", NRW_ATTR_STRINGS, NRW_STRING}};
    const nrw_tensor *value = nrw_attr_tensor(node, "value");
    if (value != NULL) {
        *out = *value;
        return NRW_OK;
    }
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const nrw_attr *a = nrw_node_attr(node, kinds[k].name);
        if (a == NULL || a->type != kinds[k].type) continue;
        bool list = a->type >= NRW_ATTR_INTS;
        *out = nrw_tensor_make(kinds[k].dtype, list, &a->n, NULL);
        if (list)
            out->data = (void *)a->ints;
        else if (a->type == NRW_ATTR_STRING)
            out->data = (void *)&a->s;
        else
            out->data = room;
        if (a->type == NRW_ATTR_INT) room->i = a->i;
        if (a->type == NRW_ATTR_FLOAT) room->f = a->f;
        return NRW_OK;
    }
    NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "no value that Narrow reads");
}

static nrw_status constant_infer(nrw_infer *c) {
    scalar room;
    nrw_tensor t;
    NRW_TRY(constant_tensor(c->node, &room, &t, c->err));
    c->out[0] = nrw_type_of(&t);
    return NRW_OK;
}

static nrw_status constant_run(nrw_eval *e) {
    scalar room;
    nrw_tensor t;
    NRW_TRY(constant_tensor(e->node, &room, &t, e->err));
    size_t bytes = nrw_tensor_bytes(&t);
    if (bytes > 0) memcpy(e->out[0].data, t.data, bytes);
    return NRW_OK;
}

static nrw_status filled_infer(nrw_infer *c) {
    const nrw_tensor *value = nrw_attr_tensor(c->node, "value");
    if (value != NULL && nrw_tensor_count(value) != 1)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "value: expected one element");
    int n;
    bool known;
    NRW_TRY(nrw_infer_ints(c, 0, "input", c->out[0].dims, NRW_MAX_RANK, &n, &known));
    c->out[0].dtype = value != NULL ? value->dtype : NRW_F32;
    c->out[0].rank = n < 0 ? NRW_RANK_UNKNOWN : n;
    for (int i = 0; i < n; i++) {
        if (!known)
            c->out[0].dims[i] = NRW_DIM_UNKNOWN;
        else if (c->out[0].dims[i] < 0)
            NRW_FAIL_INPUT(c, 0, "input", "%lld is no length", (long long)c->out[0].dims[i]);
    }
    return NRW_OK;
}

static nrw_status filled_run(nrw_eval *e) {
    static const char zero[16] = {0};
    const nrw_tensor *value = nrw_attr_tensor(e->node, "value");
    nrw_move_fill(nrw_dtype_size(e->out[0].dtype), e->out[0].data, nrw_tensor_count(&e->out[0]),
                  value != NULL ? value->data : zero);
    return NRW_OK;
}

static nrw_status eye_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    if (in->rank >= 0 && in->rank != 2) NRW_FAIL_INPUT(c, 0, "input", "expected 2 axes");
    NRW_TRY(nrw_infer_rank(c, 2));
    for (int i = 0; i < in->rank; i++) c->out[0].dims[i] = in->dims[i];
    int64_t code = nrw_attr_int(c->node, "dtype", 0);
    if (code != 0) c->out[0].dtype = nrw_dtype_from_onnx((int)code);
    if (code != 0 && c->out[0].dtype == NRW_NONE)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "dtype: no type %lld", (long long)code);
    return NRW_OK;
}

static nrw_status eye_run(nrw_eval *e) {
    nrw_tensor *out = &e->out[0];
    int64_t k = nrw_attr_int(e->node, "k", 0), one = 1;
    int64_t rows = out->dims[0], columns = out->dims[1];
    int element = nrw_dtype_size(out->dtype);
    memset(out->data, 0, nrw_tensor_bytes(out));
    if (k < -rows || k > columns) return NRW_OK;
    for (int64_t i = 0; i < rows; i++) {
        if (i + k < 0 || i + k >= columns) continue;
        char *at = (char *)out->data + (i * columns + i + k) * element;
        NRW_TRY(nrw_from_i64(out->dtype, &one, at, 1, e->err));
    }
    return NRW_OK;
}

static nrw_status one_hot_depth(const nrw_tensor *t, int64_t *depth, nrw_error *err) {
    if (nrw_tensor_count(t) != 1)
        NRW_FAIL(err, NRW_ERR_SHAPE, "input 1 (depth): expected one value");
    NRW_TRY(nrw_to_i64(t->dtype, t->data, depth, 1, err));
    if (*depth < 1)
        NRW_FAIL(err, NRW_ERR_SHAPE, "input 1 (depth): %lld is not positive", (long long)*depth);
    return NRW_OK;
}

static nrw_status one_hot_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0], *values = c->in[2];
    if (values->rank >= 0 && (values->rank != 1 || (values->dims[0] >= 0 && values->dims[0] != 2)))
        NRW_FAIL_INPUT(c, 2, "values", "expected [off, on]");
    NRW_TRY(nrw_infer_rank(c, in->rank < 0 ? NRW_RANK_UNKNOWN : in->rank + 1));
    c->out[0].dtype = values->dtype;
    if (in->rank < 0) return NRW_OK;
    int axis;
    NRW_TRY(nrw_axis_attr(c->node, "axis", -1, in->rank + 1, &axis, c->err));
    for (int i = 0; i < in->rank; i++) c->out[0].dims[i < axis ? i : i + 1] = in->dims[i];
    return c->data[1] == NULL ? NRW_OK : one_hot_depth(c->data[1], &c->out[0].dims[axis], c->err);
}

static nrw_status one_hot_run(nrw_eval *e) {
    nrw_tensor *out = &e->out[0];
    const nrw_tensor *in = e->in[0];
    const char *values = e->in[2]->data;
    int axis, element = nrw_dtype_size(out->dtype);
    NRW_TRY(nrw_axis_attr(e->node, "axis", -1, out->rank, &axis, e->err));
    const int64_t *index;
    NRW_TRY(nrw_read_indices(e, 0, &index));
    int64_t depth = out->dims[axis], inner = nrw_span(out->dims, axis + 1, out->rank);
    int64_t n = nrw_tensor_count(in);
    nrw_move_fill(element, out->data, nrw_tensor_count(out), values);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = index[i] < 0 ? index[i] + depth : index[i];
        if (at < 0 || at >= depth) continue;
        int64_t to = (i / inner * depth + at) * inner + i % inner;
        memcpy((char *)out->data + to * element, values + element, (size_t)element);
    }
    return NRW_OK;
}

/* The number of elements of a Range whose three parameters are known. */
static nrw_status range_count(const nrw_tensor *const *in, int64_t *n, nrw_error *err) {
    double v[3];
    int64_t k[3];
    bool integer = nrw_dtype_is_integer(in[0]->dtype);
    for (int i = 0; i < 3; i++) {
        if (nrw_tensor_count(in[i]) != 1)
            NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: expected one value", i);
        NRW_TRY(nrw_to_f64(in[i]->dtype, in[i]->data, &v[i], 1, err));
        if (integer) NRW_TRY(nrw_to_i64(in[i]->dtype, in[i]->data, &k[i], 1, err));
    }
    if (v[2] == 0) NRW_FAIL(err, NRW_ERR_SHAPE, "input 2 (delta): is 0");
    if (integer) {
        int64_t from = k[2] > 0 ? k[0] : k[1], to = k[2] > 0 ? k[1] : k[0];
        /* The difference and the size of the step fit without their sign. */
        uint64_t step = k[2] > 0 ? (uint64_t)k[2] : -(uint64_t)k[2];
        uint64_t count = to > from ? ((uint64_t)to - (uint64_t)from - 1) / step + 1 : 0;
        if (count > INT64_MAX) NRW_FAIL(err, NRW_ERR_SHAPE, "more than 2^63 elements");
        *n = (int64_t)count;
        return NRW_OK;
    }
    double count = ceil((v[1] - v[0]) / v[2]);
    if (!(count < 9.0e18)) NRW_FAIL(err, NRW_ERR_SHAPE, "the range has no end");
    *n = count > 0 ? (int64_t)count : 0;
    return NRW_OK;
}

static nrw_status range_infer(nrw_infer *c) {
    int64_t n = NRW_DIM_UNKNOWN;
    for (int i = 1; i < 3; i++) {
        if (c->in[i]->dtype != NRW_NONE && c->in[0]->dtype != NRW_NONE &&
            c->in[i]->dtype != c->in[0]->dtype)
            NRW_FAIL(c->err, NRW_ERR_SHAPE, "start, limit and delta are of different types");
    }
    if (c->data[0] != NULL && c->data[1] != NULL && c->data[2] != NULL)
        NRW_TRY(range_count(c->data, &n, c->err));
    c->out[0] = nrw_type_make(c->in[0]->dtype, 1, &n);
    return NRW_OK;
}

static nrw_status range_run(nrw_eval *e) {
    nrw_tensor *out = &e->out[0];
    nrw_dtype t = out->dtype;
    double start, delta;
    int64_t first, step;
    NRW_TRY(nrw_read_scalar(e, 0, &start));
    NRW_TRY(nrw_read_scalar(e, 2, &delta));
    if (nrw_dtype_is_integer(t)) {
        NRW_TRY(nrw_read_int(e, 0, "start", &first));
        NRW_TRY(nrw_read_int(e, 2, "delta", &step));
    }
    for (int64_t i = 0; i < out->dims[0]; i++) {
        char *at = (char *)out->data + i * nrw_dtype_size(t);
        if (nrw_dtype_is_integer(t)) {
            int64_t v = (int64_t)((uint64_t)first + (uint64_t)i * (uint64_t)step);
            NRW_TRY(nrw_from_i64(t, &v, at, 1, e->err));
        } else if (t == NRW_F64) {
            *(double *)at = start + (double)i * delta;
        } else {
            float v = (float)start + (float)i * (float)delta;
            NRW_TRY(nrw_from_f32(t, &v, at, 1, e->err));
        }
    }
    return NRW_OK;
}

static nrw_status trilu_infer(nrw_infer *c) {
    if (c->in[0]->rank == 0 || c->in[0]->rank == 1)
        NRW_FAIL_INPUT(c, 0, "input", "expected 2 axes or more, got %d", c->in[0]->rank);
    return nrw_infer_same(c);
}

static nrw_status trilu_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    bool upper = nrw_attr_int(e->node, "upper", 1) != 0;
    int64_t k = 0, rows = in->dims[in->rank - 2], columns = in->dims[in->rank - 1];
    if (nrw_has_input(e, 1)) NRW_TRY(nrw_read_int(e, 1, "k", &k));
    if (k > columns) k = columns;
    if (k < -rows) k = -rows;
    size_t element = (size_t)nrw_dtype_size(in->dtype);
    int64_t n = nrw_span(in->dims, 0, in->rank - 1);
    for (int64_t i = 0; i < n; i++) {
        /* [0, cut) lies below the diagonal for upper, up to it and on it for lower. */
        int64_t cut = i % rows + k + (upper ? 0 : 1);
        if (cut < 0) cut = 0;
        if (cut > columns) cut = columns;
        char *dst = (char *)e->out[0].data + (size_t)(i * columns) * element;
        const char *src = (const char *)in->data + (size_t)(i * columns) * element;
        size_t left = (size_t)cut * element, right = (size_t)(columns - cut) * element;
        if (upper) {
            memset(dst, 0, left);
            memcpy(dst + left, src + left, right);
        } else {
            memcpy(dst, src, left);
            memset(dst + left, 0, right);
        }
    }
    return NRW_OK;
}

static const nrw_attr_def constant_attrs[] = {
    {"value", NRW_ATTR_TENSOR, false},          {"value_int", NRW_ATTR_INT, false},
    {"value_ints", NRW_ATTR_INTS, false},       {"value_float", NRW_ATTR_FLOAT, false},
    {"value_floats", NRW_ATTR_FLOATS, false},   {"value_string", NRW_ATTR_STRING, false},
    {"value_strings", NRW_ATTR_STRINGS, false}, {0}};
static const nrw_attr_def filled_attrs[] = {{"value", NRW_ATTR_TENSOR, false}, {0}};
static const nrw_attr_def eye_attrs[] = {
    {"dtype", NRW_ATTR_INT, false}, {"k", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def one_hot_attrs[] = {{"axis", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def range_attrs[] = {{"stash_type", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def trilu_attrs[] = {{"upper", NRW_ATTR_INT, false}, {0}};

static const nrw_case constant_cases[] = {{"graph main() { "
                                           "  %y: f32[2] = Constant() {value_floats=[1.5, -2.0]} "
                                           "  return %y } ",
                                           -1, 1},
                                          {0}};
static const nrw_op constant_row = {
    .name = "Constant",
    .domain = "",
    .min_in = 0,
    .max_in = 0,
    .min_out = 1,
    .max_out = 1,
    .attrs = constant_attrs,
    .infer = constant_infer,
    .reference = constant_run,
    .onnx = {"Constant", 1},
    .cases = constant_cases,
};
static const nrw_case filled_cases[] = {
    {"graph main() { "
     "  const %s: i64[2] = [2, 3] "
     "  %y: i32[2,3] = ConstantOfShape(%s) {value=tensor i32[1] = [7]} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op filled_row = {
    .name = "ConstantOfShape",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = filled_attrs,
    .infer = filled_infer,
    .reference = filled_run,
    .onnx = {"ConstantOfShape", 9},
    .tflite = {"FILL", 94},
    .aten = "aten.full.default",
    .cases = filled_cases,
};
static const nrw_case eye_cases[] = {{"graph main(%x: f32[N,4]) { "
                                      "  %y: f32[N,4] = EyeLike(%x) {k=-1} "
                                      "  return %y } ",
                                      -1, 1},
                                     {0}};
static const nrw_op eye_row = {
    .name = "EyeLike",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = eye_attrs,
    .infer = eye_infer,
    .reference = eye_run,
    .onnx = {"EyeLike", 9},
    .aten = "aten.eye.m",
    .cases = eye_cases,
};
static const nrw_case one_hot_cases[] = {{"graph main() { "
                                          "  const %i: i64[3] = [0, -1, 9] "
                                          "  const %d: i64[] = [4] "
                                          "  const %v: f32[2] = [-1, 2] "
                                          "  %y: f32[4,3] = OneHot(%i, %d, %v) {axis=0} "
                                          "  return %y } ",
                                          -1, 1},
                                         {0}};
static const nrw_op one_hot_row = {
    .name = "OneHot",
    .domain = "",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = one_hot_attrs,
    .infer = one_hot_infer,
    .reference = one_hot_run,
    .onnx = {"OneHot", 9},
    .tflite = {"ONE_HOT", 85},
    .aten = "aten.one_hot.default",
    .cases = one_hot_cases,
};
static const nrw_case range_cases[] = {{"graph main() { "
                                        "  const %a: i64[] = [10] "
                                        "  const %b: i64[] = [3] "
                                        "  const %c: i64[] = [-3] "
                                        "  %y: i64[3] = Range(%a, %b, %c) "
                                        "  return %y } ",
                                        -1, 1},
                                       {0}};
static const nrw_op range_row = {
    .name = "Range",
    .domain = "",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = range_attrs,
    .infer = range_infer,
    .reference = range_run,
    .onnx = {"Range", 11},
    .tflite = {"RANGE", 96},
    .aten = "aten.arange.start_step",
    .cases = range_cases,
};
static const nrw_case trilu_cases[] = {{"graph main(%x: f32[2,N,4]) { "
                                        "  const %k: i64[] = [-1] "
                                        "  %y: f32[2,N,4] = Trilu(%x, %k) {upper=0} "
                                        "  return %y } ",
                                        -1, 1},
                                       {0}};
static const nrw_op trilu_row = {
    .name = "Trilu",
    .domain = "",
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = trilu_attrs,
    .infer = trilu_infer,
    .reference = trilu_run,
    .onnx = {"Trilu", 14},
    .aten = "aten.triu.default",
    .cases = trilu_cases,
};

NRW_OPS(generate, &constant_row, &filled_row, &eye_row, &one_hot_row, &range_row, &trilu_row);
