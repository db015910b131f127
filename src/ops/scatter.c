/* Scatter, ScatterElements, ScatterND, TensorScatter: a copy of the data with elements replaced. */
#include <string.h>

#include "base/half.h"
#include "ops/move.h"

typedef enum reduction { REDUCE_NONE, REDUCE_ADD, REDUCE_MUL, REDUCE_MAX, REDUCE_MIN } reduction;

#define PLAIN(x) (x)
#define TRUTH(x) ((x) != 0)
#define T        float
#define A        float
#define W        float
#define LOAD     PLAIN
#define STORE    PLAIN
#define SUFFIX   f32
#include "ops/scatter_tmpl.h"
#define T      double
#define A      double
#define W      double
#define LOAD   PLAIN
#define STORE  PLAIN
#define SUFFIX f64
#include "ops/scatter_tmpl.h"
#define T      uint16_t
#define A      float
#define W      float
#define LOAD   nrw_f16_to_f32
#define STORE  nrw_f32_to_f16
#define SUFFIX f16
#include "ops/scatter_tmpl.h"
#define T      uint16_t
#define A      float
#define W      float
#define LOAD   nrw_bf16_to_f32
#define STORE  nrw_f32_to_bf16
#define SUFFIX bf16
#include "ops/scatter_tmpl.h"
#define T      int8_t
#define A      int8_t
#define W      int
#define LOAD   PLAIN
#define STORE  PLAIN
#define SUFFIX i8
#include "ops/scatter_tmpl.h"
#define T      uint8_t
#define A      uint8_t
#define W      int
#define LOAD   PLAIN
#define STORE  PLAIN
#define SUFFIX u8
#include "ops/scatter_tmpl.h"
#define T      int16_t
#define A      int16_t
#define W      unsigned
#define LOAD   PLAIN
#define STORE  PLAIN
#define SUFFIX i16
#include "ops/scatter_tmpl.h"
#define T      uint16_t
#define A      uint16_t
#define W      unsigned
#define LOAD   PLAIN
#define STORE  PLAIN
#define SUFFIX u16
#include "ops/scatter_tmpl.h"
#define T      int32_t
#define A      int32_t
#define W      uint32_t
#define LOAD   PLAIN
#define STORE  PLAIN
#define SUFFIX i32
#include "ops/scatter_tmpl.h"
#define T      uint32_t
#define A      uint32_t
#define W      uint32_t
#define LOAD   PLAIN
#define STORE  PLAIN
#define SUFFIX u32
#include "ops/scatter_tmpl.h"
#define T      int64_t
#define A      int64_t
#define W      uint64_t
#define LOAD   PLAIN
#define STORE  PLAIN
#define SUFFIX i64
#include "ops/scatter_tmpl.h"
#define T      uint64_t
#define A      uint64_t
#define W      uint64_t
#define LOAD   PLAIN
#define STORE  PLAIN
#define SUFFIX u64
#include "ops/scatter_tmpl.h"
#define T      uint8_t
#define A      uint8_t
#define W      int
#define LOAD   PLAIN
#define STORE  TRUTH
#define SUFFIX truth
#include "ops/scatter_tmpl.h"

typedef void (*combine_fn)(void *dst, const void *src, int64_t n, reduction r);

static const combine_fn combines[NRW_DTYPE_COUNT] = {
    [NRW_F32] = combine_f32,    [NRW_F64] = combine_f64,   [NRW_F16] = combine_f16,
    [NRW_I8] = combine_i8,      [NRW_BF16] = combine_bf16, [NRW_U8] = combine_u8,
    [NRW_I16] = combine_i16,    [NRW_U16] = combine_u16,   [NRW_I32] = combine_i32,
    [NRW_U32] = combine_u32,    [NRW_I64] = combine_i64,   [NRW_U64] = combine_u64,
    [NRW_BOOL] = combine_truth,
};

static nrw_status read_reduction(const nrw_node *node, reduction *out, nrw_error *err) {
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    const char *given = nrw_attr_str(node, "reduction", "none");
    for (int i = 0; i < 5; i++) {
        if (strcmp(given, names[i]) == 0) {
            *out = (reduction)i;
            return NRW_OK;
        }
    }
    NRW_FAIL(err, NRW_ERR_SHAPE, "reduction: expected none, add, mul, max or min, got %s", given);
}

/* Puts n elements at dst. */
typedef struct writer {
    combine_fn combine; /* NULL: replaces */
    reduction how;
    int element;
} writer;

static nrw_status make_writer(nrw_eval *e, writer *w) {
    nrw_dtype t = e->in[0]->dtype;
    *w = (writer){.element = nrw_dtype_size(t)};
    NRW_TRY(read_reduction(e->node, &w->how, e->err));
    if (w->how == REDUCE_NONE) return NRW_OK;
    w->combine = combines[t];
    if (w->combine == NULL)
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "reduction of %s", nrw_dtype_get(t)->title);
    return NRW_OK;
}

static void put(const writer *w, char *dst, const char *src, int64_t n) {
    if (w->combine != NULL)
        w->combine(dst, src, n, w->how);
    else
        memcpy(dst, src, (size_t)(n * w->element));
}

static nrw_status same_types(nrw_infer *c) {
    nrw_dtype a = c->in[0]->dtype, b = c->in[2]->dtype, i = c->in[1]->dtype;
    if (a != NRW_NONE && b != NRW_NONE && a != b)
        NRW_FAIL_INPUT(c, 2, "updates", "%s for %s data", nrw_dtype_get(b)->title,
                       nrw_dtype_get(a)->title);
    if (i != NRW_NONE && i != NRW_I64 && i != NRW_I32)
        NRW_FAIL_INPUT(c, 1, "indices", "int32 or int64 expected, got %s", nrw_dtype_get(i)->title);
    reduction ignored;
    return read_reduction(c->node, &ignored, c->err);
}

static nrw_status same_dim(nrw_infer *c, int axis, int64_t got, int64_t expected) {
    if (got < 0 || expected < 0 || got == expected) return NRW_OK;
    NRW_FAIL_INPUT(c, 2, "updates", "axis %d has length %lld, expected %lld", axis, (long long)got,
                   (long long)expected);
}

static nrw_status elements_infer(nrw_infer *c) {
    const nrw_type *data = c->in[0], *indices = c->in[1], *updates = c->in[2];
    NRW_TRY(same_types(c));
    c->out[0] = *data;
    if (data->rank < 0) return NRW_OK;
    if (data->rank == 0) NRW_FAIL_INPUT(c, 0, "data", "a scalar has nothing to scatter to");
    int axis;
    NRW_TRY(nrw_axis_attr(c->node, "axis", 0, data->rank, &axis, c->err));
    if (indices->rank >= 0 && indices->rank != data->rank)
        NRW_FAIL_INPUT(c, 1, "indices", "%d axes where the data has %d", indices->rank, data->rank);
    if (updates->rank >= 0 && updates->rank != data->rank)
        NRW_FAIL_INPUT(c, 2, "updates", "%d axes where the data has %d", updates->rank, data->rank);
    for (int i = 0; i < indices->rank; i++) {
        if (i != axis && data->dims[i] >= 0 && indices->dims[i] > data->dims[i])
            NRW_FAIL_INPUT(c, 1, "indices", "axis %d has length %lld where the data has %lld", i,
                           (long long)indices->dims[i], (long long)data->dims[i]);
        if (updates->rank >= 0) NRW_TRY(same_dim(c, i, updates->dims[i], indices->dims[i]));
    }
    return NRW_OK;
}

static nrw_status elements_run(nrw_eval *e) {
    const nrw_tensor *data = e->in[0], *index = e->in[1];
    const char *updates = e->in[2]->data;
    writer w;
    int axis, rank = data->rank;
    int64_t *to, strides[NRW_MAX_RANK], n = nrw_tensor_count(index);
    NRW_TRY(make_writer(e, &w));
    NRW_TRY(nrw_axis_attr(e->node, "axis", 0, rank, &axis, e->err));
    NRW_TRY(nrw_read_indices_in(e, 1, data->dims[axis], &to));
    NRW_TRY(nrw_run_copy(e));
    nrw_strides(rank, data->dims, strides);
    int64_t at[NRW_MAX_RANK] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t offset = to[i] * strides[axis];
        for (int k = 0; k < rank; k++) {
            if (k != axis) offset += at[k] * strides[k];
        }
        put(&w, (char *)e->out[0].data + offset * w.element, updates + i * w.element, 1);
        for (int k = rank - 1; k >= 0 && ++at[k] == index->dims[k]; k--) at[k] = 0;
    }
    return NRW_OK;
}

static nrw_status nd_infer(nrw_infer *c) {
    const nrw_type *data = c->in[0], *indices = c->in[1], *updates = c->in[2];
    NRW_TRY(same_types(c));
    c->out[0] = *data;
    if (indices->rank == 0) NRW_FAIL_INPUT(c, 1, "indices", "a scalar");
    if (data->rank < 0 || indices->rank < 0) return NRW_OK;
    int64_t depth = indices->dims[indices->rank - 1];
    if (depth == 0 || depth > data->rank)
        NRW_FAIL_INPUT(c, 1, "indices", "tuples of %lld do not index %d axes", (long long)depth,
                       data->rank);
    if (depth < 0 || updates->rank < 0) return NRW_OK;
    int tuples = indices->rank - 1, rank = tuples + data->rank - (int)depth;
    if (updates->rank != rank)
        NRW_FAIL_INPUT(c, 2, "updates", "%d axes, expected %d", updates->rank, rank);
    for (int i = 0; i < rank; i++) {
        int64_t want = i < tuples ? indices->dims[i] : data->dims[i - tuples + depth];
        NRW_TRY(same_dim(c, i, updates->dims[i], want));
    }
    return NRW_OK;
}

static nrw_status nd_run(nrw_eval *e) {
    const nrw_tensor *data = e->in[0], *tuples = e->in[1];
    int depth = (int)tuples->dims[tuples->rank - 1];
    int64_t n = nrw_span(tuples->dims, 0, tuples->rank - 1);
    int64_t row = nrw_span(data->dims, depth, data->rank);
    const int64_t *index;
    writer w;
    NRW_TRY(make_writer(e, &w));
    NRW_TRY(nrw_read_indices(e, 1, &index));
    NRW_TRY(nrw_run_copy(e));
    for (int64_t i = 0; i < n; i++) {
        int64_t to = 0;
        for (int k = 0; k < depth; k++) {
            int64_t d = data->dims[k], at = index[i * depth + k];
            if (at < -d || at >= d)
                NRW_FAIL(e->err, NRW_ERR_DATA, "input 1 (indices): %lld is outside of [%lld, %lld)",
                         (long long)at, (long long)-d, (long long)d);
            to = to * d + (at < 0 ? at + d : at);
        }
        put(&w, (char *)e->out[0].data + to * row * w.element,
            (const char *)e->in[2]->data + i * row * w.element, row);
    }
    return NRW_OK;
}

static nrw_status cache_infer(nrw_infer *c) {
    const nrw_type *cache = c->in[0], *update = c->in[1];
    c->out[0] = *cache;
    if (cache->rank < 0) return NRW_OK;
    int axis;
    NRW_TRY(nrw_axis_attr(c->node, "axis", -2, cache->rank, &axis, c->err));
    if (axis == 0) NRW_FAIL(c->err, NRW_ERR_SHAPE, "axis: 0 is the batch axis");
    const char *mode = nrw_attr_str(c->node, "mode", "linear");
    if (strcmp(mode, "linear") != 0 && strcmp(mode, "circular") != 0)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "mode: expected linear or circular, got %s", mode);
    if (update->rank >= 0 && update->rank != cache->rank)
        NRW_FAIL_INPUT(c, 1, "update", "%d axes where the cache has %d", update->rank, cache->rank);
    for (int i = 0; i < update->rank; i++) {
        int64_t got = update->dims[i], have = cache->dims[i];
        if (got >= 0 && have >= 0 && (i == axis ? got > have : got != have))
            NRW_FAIL_INPUT(c, 1, "update", "axis %d has length %lld where the cache has %lld", i,
                           (long long)got, (long long)have);
    }
    if (nrw_infer_has(c, 2) && c->in[2]->rank >= 0) {
        const nrw_type *at = c->in[2];
        if (at->rank != 1 ||
            (at->dims[0] >= 0 && cache->dims[0] >= 0 && at->dims[0] != cache->dims[0]))
            NRW_FAIL_INPUT(c, 2, "write_indices",
                           "expected one index for each sample of the batch");
    }
    return NRW_OK;
}

static nrw_status cache_run(nrw_eval *e) {
    const nrw_tensor *cache = e->in[0], *update = e->in[1];
    bool circular = strcmp(nrw_attr_str(e->node, "mode", "linear"), "circular") == 0;
    int axis;
    NRW_TRY(nrw_axis_attr(e->node, "axis", -2, cache->rank, &axis, e->err));
    const int64_t *starts = NULL;
    if (nrw_has_input(e, 2)) NRW_TRY(nrw_read_indices(e, 2, &starts));
    NRW_TRY(nrw_run_copy(e));
    if (update->dtype != cache->dtype)
        NRW_FAIL_INPUT(e, 1, "update", "type %s where the cache has %s",
                       nrw_dtype_name(update->dtype), nrw_dtype_name(cache->dtype));
    int64_t length = cache->dims[axis], n = update->dims[axis];
    int64_t middle = nrw_span(cache->dims, 1, axis);
    size_t row =
        (size_t)nrw_span(cache->dims, axis + 1, cache->rank) * (size_t)nrw_dtype_size(cache->dtype);
    for (int64_t b = 0; b < cache->dims[0]; b++) {
        int64_t start = starts != NULL ? starts[b] : 0;
        if (start < 0 || start > length || (!circular && start > length - n))
            NRW_FAIL(e->err, NRW_ERR_DATA, "input 2 (write_indices): %lld does not fit into %lld",
                     (long long)start, (long long)length);
        for (int64_t i = 0; i < middle * n; i++) {
            int64_t block = b * middle + i / n, to = (start + i % n) % length;
            memcpy((char *)e->out[0].data + (size_t)(block * length + to) * row,
                   (const char *)update->data + (size_t)(b * middle * n + i) * row, row);
        }
    }
    return NRW_OK;
}

static const nrw_attr_def scatter_attrs[] = {{"axis", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def elements_attrs[] = {
    {"axis", NRW_ATTR_INT, false}, {"reduction", NRW_ATTR_STRING, false}, {0}};
static const nrw_attr_def nd_attrs[] = {{"reduction", NRW_ATTR_STRING, false}, {0}};
static const nrw_attr_def cache_attrs[] = {
    {"axis", NRW_ATTR_INT, false}, {"mode", NRW_ATTR_STRING, false}, {0}};

static const nrw_op scatter_row = {
    .name = "Scatter",
    .domain = "",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = scatter_attrs,
    .infer = elements_infer,
    .reference = elements_run,
    .onnx = {"Scatter", 9},
};
static const nrw_case elements_cases[] = {
    {"graph main(%x: f32[3,3], %u: f32[2,3]) { "
     "  const %i: i64[2,3] = [0, 1, 2, 2, 0, -1] "
     "  %y: f32[3,3] = ScatterElements(%x, %i, %u) "
     "  return %y } ",
     -1, 1},
    {"graph main(%x: f32[3,3], %u: f32[2,3]) { "
     "  const %i: i64[2,3] = [0, 0, 2, 2, 1, 1] "
     "  %y: f32[3,3] = ScatterElements(%x, %i, %u) {axis=1, reduction=\"add\"} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op elements_row = {
    .name = "ScatterElements",
    .domain = "",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = elements_attrs,
    .infer = elements_infer,
    .reference = elements_run,
    .onnx = {"ScatterElements", 11},
    .aten = "aten.scatter.src",
    .cases = elements_cases,
};
static const nrw_case nd_cases[] = {{"graph main(%x: f32[4,5], %u: f32[2,5]) { "
                                     "  const %i: i64[2,1] = [3, -3] "
                                     "  %y: f32[4,5] = ScatterND(%x, %i, %u) {reduction=\"max\"} "
                                     "  return %y } ",
                                     -1, 1},
                                    {0}};
static const nrw_op nd_row = {
    .name = "ScatterND",
    .domain = "",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = nd_attrs,
    .infer = nd_infer,
    .reference = nd_run,
    .onnx = {"ScatterND", 11},
    .cases = nd_cases,
};
static const nrw_case cache_cases[] = {
    {"graph main(%x: f32[2,1,4,5], %u: f32[2,1,2,5]) { "
     "  const %i: i64[2] = [1, 3] "
     "  %y: f32[2,1,4,5] = TensorScatter(%x, %u, %i) {mode=\"circular\"} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op cache_row = {
    .name = "TensorScatter",
    .domain = "",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = cache_attrs,
    .infer = cache_infer,
    .reference = cache_run,
    .onnx = {"TensorScatter", 24},
    .cases = cache_cases,
};

NRW_OPS(scatter, &scatter_row, &elements_row, &nd_row, &cache_row);
