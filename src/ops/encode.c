/* Feature encoders of classical machine learning (domain ai.onnx.ml). */
#include <stdio.h>

#include "base/str.h"
#include "ops/rows.h"

#define DOMAIN "ai.onnx.ml"

/* LabelEncoder. Keys and values come as lists of one kind each; both become tensors first. */
static nrw_status list_of(const nrw_node *n, const char *prefix, nrw_tensor *t, nrw_error *err) {
    static const char *const kinds[] = {"int64s", "strings", "floats", "tensor"};
    char name[32];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s_%s", prefix, kinds[i]);
        const nrw_attr *a = nrw_node_attr(n, name);
        if (a == NULL) continue;
        if (a->type == NRW_ATTR_INTS)
            *t = nrw_tensor_make(NRW_I64, 1, &a->n, (void *)a->ints);
        else if (a->type == NRW_ATTR_STRINGS)
            *t = nrw_tensor_make(NRW_STRING, 1, &a->n, (void *)a->strings);
        else if (a->type == NRW_ATTR_FLOATS)
            *t = nrw_tensor_make(NRW_F32, 1, &a->n, (void *)a->floats);
        else if (a->type == NRW_ATTR_TENSOR)
            *t = *a->tensor;
        else
            continue;
        return NRW_OK;
    }
    NRW_FAIL(err, NRW_ERR_ARGUMENT, "no %s_* attribute", prefix);
}

/* What unknown keys map to, for values of type t. */
static const void *default_of(const nrw_node *n, nrw_dtype t, void *room) {
    static const nrw_string unused = {"_Unused", 7};
    const nrw_tensor *given = nrw_attr_tensor(n, "default_tensor");
    if (given != NULL && given->dtype == t && nrw_tensor_count(given) == 1) return given->data;
    if (t == NRW_STRING) {
        const nrw_attr *a = nrw_node_attr(n, "default_string");
        return a != NULL ? &a->s : &unused;
    }
    if (t == NRW_F32 || t == NRW_F64) {
        float v = nrw_attr_float(n, "default_float", -0.0f);
        if (t == NRW_F64)
            *(double *)room = (double)v;
        else
            *(float *)room = v;
        return room;
    }
    int64_t v = nrw_attr_int(n, "default_int64", -1);
    memcpy(room, &v, sizeof v); /* little-endian: the low bytes come first */
    return room;
}

/* The bytes by which an element is found: text itself, or a number's pattern with one NaN and one
 * zero. */
static nrw_string key_of(nrw_dtype t, const void *x, void *room) {
    if (t == NRW_STRING) return *(const nrw_string *)x;
    int size = nrw_dtype_size(t);
    memcpy(room, x, (size_t)size);
    if (t == NRW_F32) {
        float v = *(const float *)x;
        v = v != v ? NAN : v + 0.0f;
        memcpy(room, &v, sizeof v);
    } else if (t == NRW_F64) {
        double v = *(const double *)x;
        v = v != v ? (double)NAN : v + 0.0;
        memcpy(room, &v, sizeof v);
    }
    return (nrw_string){room, (size_t)size};
}

static nrw_status run_label_encoder(nrw_eval *e) {
    nrw_tensor keys = {0}, values = {0};
    NRW_TRY(list_of(e->node, "keys", &keys, e->err));
    NRW_TRY(list_of(e->node, "values", &values, e->err));
    int64_t n = nrw_tensor_count(&keys), count = nrw_tensor_count(e->in[0]);
    if (nrw_tensor_count(&values) != n || keys.dtype != e->in[0]->dtype)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "keys, values and input do not fit together");
    nrw_map map;
    nrw_map_init(&map, e->scratch);
    int key_size = nrw_dtype_size(keys.dtype), size = nrw_dtype_size(values.dtype);
    uint64_t *rooms = nrw_arena_calloc(e->scratch, (size_t)n + 1, sizeof *rooms);
    if (rooms == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < n; i++) {
        nrw_string key = key_of(keys.dtype, (char *)keys.data + i * key_size, &rooms[i]);
        if (!nrw_map_put(&map, key.data, key.size, (char *)values.data + i * size)) NRW_OOM(e->err);
    }
    uint64_t room, default_room;
    const void *absent = default_of(e->node, values.dtype, &default_room);
    for (int64_t i = 0; i < count; i++) {
        nrw_string key = key_of(keys.dtype, (const char *)e->in[0]->data + i * key_size, &room);
        const void *value = nrw_map_get(&map, key.data, key.size);
        memcpy((char *)e->out[0].data + i * size, value != NULL ? value : absent, (size_t)size);
    }
    return NRW_OK;
}

static nrw_status infer_label_encoder(nrw_infer *c) {
    nrw_tensor values = {0};
    NRW_TRY(list_of(c->node, "values", &values, c->err));
    c->out[0] = *c->in[0];
    c->out[0].dtype = values.dtype;
    return NRW_OK;
}

#define T       float
#define TN      f32
#define ROW     above_f32
#define EXPR(x) (x) > a
#include "ops/row1_tmpl.h"
#undef T
#undef TN
#define T       double
#define TN      f64
#define ROW     above_f64
#define EXPR(x) (x) > a
#include "ops/row1_tmpl.h"
#undef T
#undef TN

/* Thresholds may have fractions: integers are compared as doubles. */
static void above_i32(const void *arg, void *out, const void *const *in, const int64_t *step,
                      int64_t n) {
    const int32_t *x = in[0];
    for (int64_t i = 0; i < n; i++) ((int32_t *)out)[i] = (double)x[i] > *(const double *)arg;
}
static void above_i64(const void *arg, void *out, const void *const *in, const int64_t *step,
                      int64_t n) {
    const int64_t *x = in[0];
    for (int64_t i = 0; i < n; i++) ((int64_t *)out)[i] = (double)x[i] > *(const double *)arg;
}

static nrw_status run_binarizer(nrw_eval *e) {
    static const nrw_rows rows = {NRW_REAL_ROWS(above), .by[NRW_I32] = above_i32,
                                  .by[NRW_I64] = above_i64};
    double threshold[2] = {(double)nrw_attr_float(e->node, "threshold", 0), 0};
    return nrw_each_element(e, &e->out[0], 1, e->in, e->in[0]->dtype, &rows, threshold);
}

/* ArrayFeatureExtractor: columns of the last axis. A vector counts as one row. */
static nrw_status run_extractor(nrw_eval *e) {
    const nrw_tensor *x = e->in[0], *index = e->in[1];
    int64_t columns = x->rank > 0 ? x->dims[x->rank - 1] : 1, n = nrw_tensor_count(index);
    int64_t rows = columns > 0 ? nrw_tensor_count(x) / columns : 0;
    const int64_t *at = index->data;
    if (index->dtype != NRW_I64) NRW_FAIL_INPUT(e, 1, "Y", "expected int64");
    for (int64_t i = 0; i < n; i++) {
        if (at[i] < 0 || at[i] >= columns)
            NRW_FAIL_INPUT(e, 1, "Y", "column %lld of %lld", (long long)at[i], (long long)columns);
    }
    int size = nrw_dtype_size(x->dtype);
    char *y = e->out[0].data;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < n; i++, y += size)
            memcpy(y, (const char *)x->data + (r * columns + at[i]) * size, (size_t)size);
    }
    return NRW_OK;
}

static nrw_status infer_extractor(nrw_infer *c) {
    nrw_type *y = &c->out[0];
    *y = *c->in[0];
    if (y->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    int64_t n = nrw_type_count(c->in[1]);
    if (y->rank <= 1) {
        y->rank = 2;
        y->dims[0] = 1;
    }
    y->dims[y->rank - 1] = n >= 0 ? n : NRW_DIM_UNKNOWN;
    return NRW_OK;
}

static const nrw_attr_def label_attrs[] = {{"default_float", NRW_ATTR_FLOAT, false},
                                           {"default_int64", NRW_ATTR_INT, false},
                                           {"default_string", NRW_ATTR_STRING, false},
                                           {"default_tensor", NRW_ATTR_TENSOR, false},
                                           {"keys_floats", NRW_ATTR_FLOATS, false},
                                           {"keys_int64s", NRW_ATTR_INTS, false},
                                           {"keys_strings", NRW_ATTR_STRINGS, false},
                                           {"keys_tensor", NRW_ATTR_TENSOR, false},
                                           {"values_floats", NRW_ATTR_FLOATS, false},
                                           {"values_int64s", NRW_ATTR_INTS, false},
                                           {"values_strings", NRW_ATTR_STRINGS, false},
                                           {"values_tensor", NRW_ATTR_TENSOR, false},
                                           {0}};
static const nrw_attr_def binarizer_attrs[] = {{"threshold", NRW_ATTR_FLOAT, false}, {0}};

static const nrw_op label_op = {
    .name = "LabelEncoder",
    .domain = DOMAIN,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = label_attrs,
    .infer = infer_label_encoder,
    .reference = run_label_encoder,
    .onnx = {"LabelEncoder", 1},
};
static const nrw_op binarizer_op = {
    .name = "Binarizer",
    .domain = DOMAIN,
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = binarizer_attrs,
    .infer = nrw_infer_same,
    .reference = run_binarizer,
    .onnx = {"Binarizer", 1},
};
static const nrw_op extractor_op = {
    .name = "ArrayFeatureExtractor",
    .domain = DOMAIN,
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .infer = infer_extractor,
    .reference = run_extractor,
    .onnx = {"ArrayFeatureExtractor", 1},
};

NRW_OPS(encode, &label_op, &binarizer_op, &extractor_op);
