/* Gather, GatherElements, GatherND: elements picked by index. */
#include <string.h>

#include "ops/move.h"

static nrw_status index_type(nrw_infer *c, int i) {
    nrw_dtype t = c->in[i]->dtype;
    if (t == NRW_NONE || t == NRW_I32 || t == NRW_I64) return NRW_OK;
    NRW_FAIL_INPUT(c, i, "indices", "int32 or int64 expected, got %s", nrw_dtype_get(t)->title);
}

static nrw_status gather_infer(nrw_infer *c) {
    const nrw_type *data = c->in[0], *indices = c->in[1];
    NRW_TRY(index_type(c, 1));
    if (data->rank == 0) NRW_FAIL_INPUT(c, 0, "data", "a scalar has nothing to gather from");
    NRW_TRY(nrw_infer_rank(c, data->rank < 0 || indices->rank < 0
                                  ? NRW_RANK_UNKNOWN
                                  : data->rank + indices->rank - 1));
    if (c->out[0].rank < 0) return NRW_OK;
    int axis, k = 0;
    NRW_TRY(nrw_axis_attr(c->node, "axis", 0, data->rank, &axis, c->err));
    for (int i = 0; i < axis; i++) c->out[0].dims[k++] = data->dims[i];
    for (int i = 0; i < indices->rank; i++) c->out[0].dims[k++] = indices->dims[i];
    for (int i = axis + 1; i < data->rank; i++) c->out[0].dims[k++] = data->dims[i];
    return NRW_OK;
}

/* Rows of `row` bytes picked by index, the same for each of the outer slices. */
typedef struct pick_work {
    char *dst;
    const char *src;
    const int64_t *indices;
    int64_t n, length, total, per_task;
    size_t row;
} pick_work;

static void pick_task(void *arg, int64_t task, int worker) {
    const pick_work *w = arg;
    int64_t begin = task * w->per_task, end = begin + w->per_task;
    if (end > w->total) end = w->total;
    for (int64_t i = begin; i < end; i++) {
        int64_t from = i / w->n * w->length + w->indices[i % w->n];
        memcpy(w->dst + (size_t)i * w->row, w->src + (size_t)from * w->row, w->row);
    }
}

static void pick_rows(nrw_pool *pool, pick_work *w, int64_t outer) {
    w->total = outer * w->n;
    if (w->total == 0 || w->row == 0) return;
    w->per_task = (int64_t)(((size_t)1 << 16) / w->row);
    if (w->per_task < 1) w->per_task = 1;
    nrw_pool_run(pool, (w->total + w->per_task - 1) / w->per_task, pick_task, w);
}

static nrw_status gather_run(nrw_eval *e) {
    const nrw_tensor *data = e->in[0];
    int axis;
    NRW_TRY(nrw_axis_attr(e->node, "axis", 0, data->rank, &axis, e->err));
    int64_t *indices, length = data->dims[axis];
    NRW_TRY(nrw_read_indices_in(e, 1, length, &indices));
    pick_work w = {.dst = e->out[0].data,
                   .src = data->data,
                   .indices = indices,
                   .n = nrw_tensor_count(e->in[1]),
                   .length = length,
                   .row = (size_t)nrw_span(data->dims, axis + 1, data->rank) *
                          (size_t)nrw_dtype_size(data->dtype)};
    pick_rows(e->pool, &w, nrw_span(data->dims, 0, axis));
    return NRW_OK;
}

static nrw_status gather_elements_infer(nrw_infer *c) {
    const nrw_type *data = c->in[0], *indices = c->in[1];
    NRW_TRY(index_type(c, 1));
    if (data->rank >= 0 && indices->rank >= 0 && data->rank != indices->rank)
        NRW_FAIL_INPUT(c, 1, "indices", "%d axes where the data has %d", indices->rank, data->rank);
    int axis = 0, rank = data->rank >= 0 ? data->rank : indices->rank;
    if (rank == 0) NRW_FAIL_INPUT(c, 0, "data", "a scalar has nothing to gather from");
    if (rank > 0) NRW_TRY(nrw_axis_attr(c->node, "axis", 0, rank, &axis, c->err));
    for (int i = 0; data->rank >= 0 && i < indices->rank; i++) {
        if (i != axis && data->dims[i] >= 0 && indices->dims[i] > data->dims[i])
            NRW_FAIL_INPUT(c, 1, "indices", "axis %d has length %lld where the data has %lld", i,
                           (long long)indices->dims[i], (long long)data->dims[i]);
    }
    NRW_TRY(nrw_infer_rank(c, rank));
    for (int i = 0; i < indices->rank; i++) c->out[0].dims[i] = indices->dims[i];
    return NRW_OK;
}

typedef struct element_work {
    const nrw_tensor *out;
    const char *src;
    const int64_t *indices;
    int64_t strides[NRW_MAX_RANK];
    int axis, element;
    int64_t rows;
} element_work;

enum { ROWS_PER_TASK = 256 };

static void element_task(void *arg, int64_t task, int worker) {
    const element_work *w = arg;
    const nrw_tensor *out = w->out;
    int last = out->rank - 1;
    int64_t n = out->dims[last], end = (task + 1) * ROWS_PER_TASK;
    if (end > w->rows) end = w->rows;
    for (int64_t row = task * ROWS_PER_TASK; row < end; row++) {
        int64_t base = 0, rest = row;
        for (int k = last - 1; k >= 0; k--) {
            if (k != w->axis) base += rest % out->dims[k] * w->strides[k];
            rest /= out->dims[k];
        }
        for (int64_t j = 0; j < n; j++) {
            int64_t at = base + w->indices[row * n + j] * w->strides[w->axis];
            if (last != w->axis) at += j;
            memcpy((char *)out->data + (row * n + j) * w->element, w->src + at * w->element,
                   (size_t)w->element);
        }
    }
}

static nrw_status gather_elements_run(nrw_eval *e) {
    const nrw_tensor *data = e->in[0];
    element_work w = {.out = &e->out[0], .src = data->data, .element = nrw_dtype_size(data->dtype)};
    NRW_TRY(nrw_axis_attr(e->node, "axis", 0, data->rank, &w.axis, e->err));
    int64_t *indices;
    NRW_TRY(nrw_read_indices_in(e, 1, data->dims[w.axis], &indices));
    w.indices = indices;
    if (nrw_tensor_count(&e->out[0]) == 0) return NRW_OK;
    nrw_strides(data->rank, data->dims, w.strides);
    w.rows = nrw_span(w.out->dims, 0, w.out->rank - 1);
    nrw_pool_run(e->pool, (w.rows + ROWS_PER_TASK - 1) / ROWS_PER_TASK, element_task, &w);
    return NRW_OK;
}

static nrw_status gather_nd_infer(nrw_infer *c) {
    const nrw_type *data = c->in[0], *indices = c->in[1];
    NRW_TRY(index_type(c, 1));
    int64_t batch = nrw_attr_int(c->node, "batch_dims", 0);
    NRW_TRY(nrw_infer_rank(c, NRW_RANK_UNKNOWN));
    if (indices->rank == 0) NRW_FAIL_INPUT(c, 1, "indices", "a scalar");
    if (data->rank < 0 || indices->rank < 0) return NRW_OK;
    int64_t shorter = data->rank < indices->rank ? data->rank : indices->rank;
    if (batch < 0 || batch >= shorter)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "batch_dims: %lld is outside of [0, %lld)",
                 (long long)batch, (long long)shorter);
    for (int i = 0; i < batch; i++) {
        if (data->dims[i] >= 0 && indices->dims[i] >= 0 && data->dims[i] != indices->dims[i])
            NRW_FAIL_INPUT(c, 1, "indices", "batch axis %d has length %lld where the data has %lld",
                           i, (long long)indices->dims[i], (long long)data->dims[i]);
    }
    int64_t depth = indices->dims[indices->rank - 1];
    if (depth == 0 || depth > data->rank - batch)
        NRW_FAIL_INPUT(c, 1, "indices", "tuples of %lld do not index %lld axes", (long long)depth,
                       (long long)(data->rank - batch));
    if (depth < 0) return NRW_OK;
    int k = 0;
    NRW_TRY(nrw_infer_rank(c, (int)(indices->rank - 1 + data->rank - batch - depth)));
    for (int i = 0; i < indices->rank - 1; i++) c->out[0].dims[k++] = indices->dims[i];
    for (int i = (int)(batch + depth); i < data->rank; i++) c->out[0].dims[k++] = data->dims[i];
    return NRW_OK;
}

/* Turns tuples into row numbers. */
static nrw_status gather_nd_run(nrw_eval *e) {
    const nrw_tensor *data = e->in[0], *tuples = e->in[1];
    int batch = (int)nrw_attr_int(e->node, "batch_dims", 0);
    int depth = (int)tuples->dims[tuples->rank - 1];
    const int64_t *from;
    NRW_TRY(nrw_read_indices(e, 1, &from));
    int64_t outer = nrw_span(tuples->dims, 0, batch);
    int64_t n = nrw_span(tuples->dims, batch, tuples->rank - 1);
    int64_t length = nrw_span(data->dims, batch, batch + depth);
    int64_t *rows = nrw_arena_alloc(e->scratch, (size_t)(outer * n + 1) * sizeof *rows);
    if (rows == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < outer * n; i++) {
        int64_t row = i / n * length, stride = length;
        for (int k = 0; k < depth; k++) {
            int64_t d = data->dims[batch + k], at = from[i * depth + k];
            if (at < -d || at >= d)
                NRW_FAIL(e->err, NRW_ERR_DATA, "input 1 (indices): %lld is outside of [%lld, %lld)",
                         (long long)at, (long long)-d, (long long)d);
            stride /= d;
            row += (at < 0 ? at + d : at) * stride;
        }
        rows[i] = row;
    }
    pick_work w = {.dst = e->out[0].data,
                   .src = data->data,
                   .indices = rows,
                   .n = outer * n,
                   .length = 0,
                   .row = (size_t)nrw_span(data->dims, batch + depth, data->rank) *
                          (size_t)nrw_dtype_size(data->dtype)};
    pick_rows(e->pool, &w, 1);
    return NRW_OK;
}

static const nrw_attr_def axis_attrs[] = {{"axis", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def nd_attrs[] = {{"batch_dims", NRW_ATTR_INT, false}, {0}};

static const nrw_case gather_cases[] = {
    {"graph main(%x: f32[5,N]) { "
     "  const %i: i64[2,2] = [0, 4, -1, 2] "
     "  %y: f32[2,2,N] = Gather(%x, %i) "
     "  return %y } ",
     -1, 1},
    {"graph main(%x: f32[2,5] q(u8, scale=0.0078, zero=128)) { "
     "  const %i: i32[] = [-2] "
     "  %y: f32[2] q(u8, scale=0.0078, zero=128) = Gather(%x, %i) {axis=1} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op gather_row = {
    .name = "Gather",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = axis_attrs,
    .infer = gather_infer,
    .reference = gather_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"Gather", 1},
    .tflite = {"GATHER", 36},
    .aten = "aten.index_select.default",
    .cases = gather_cases,
};
static const nrw_case gather_elements_cases[] = {{"graph main(%x: f32[3,3]) { "
                                                  "  const %i: i64[2,3] = [0, 1, 2, -1, 0, 1] "
                                                  "  %y: f32[2,3] = GatherElements(%x, %i) "
                                                  "  return %y } ",
                                                  -1, 1},
                                                 {0}};
static const nrw_op gather_elements_row = {
    .name = "GatherElements",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = axis_attrs,
    .infer = gather_elements_infer,
    .reference = gather_elements_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"GatherElements", 11},
    .aten = "aten.gather.default",
    .cases = gather_elements_cases,
};
static const nrw_case gather_nd_cases[] = {{"graph main(%x: f32[2,3,4]) { "
                                            "  const %i: i64[2,2] = [0, 2, -1, 0] "
                                            "  %y: f32[2,4] = GatherND(%x, %i) "
                                            "  return %y } ",
                                            -1, 1},
                                           {"graph main(%x: f32[2,3,4]) { "
                                            "  const %i: i64[2,1] = [2, 0] "
                                            "  %y: f32[2,4] = GatherND(%x, %i) {batch_dims=1} "
                                            "  return %y } ",
                                            -1, 1},
                                           {0}};
static const nrw_op gather_nd_row = {
    .name = "GatherND",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = nd_attrs,
    .infer = gather_nd_infer,
    .reference = gather_nd_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"GatherND", 11},
    .tflite = {"GATHER_ND", 107},
    .cases = gather_nd_cases,
};

NRW_OPS(gather, &gather_row, &gather_elements_row, &gather_nd_row);
