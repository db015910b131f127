/* Operators that take parts of axes: Slice, ReverseSequence. */
#include <string.h>

#include "ops/move.h"

/* One axis of a Slice: count elements from start on, step apart. */
typedef struct range {
    int64_t start, step, count;
} range;

static int64_t clamp(int64_t v, int64_t lo, int64_t hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

static range slice_axis(int64_t length, int64_t start, int64_t end, int64_t step) {
    if (start < 0) start += length;
    if (end < 0) end += length;
    range r = {.step = step};
    if (step > 0) {
        r.start = clamp(start, 0, length);
        end = clamp(end, 0, length);
        if (end > r.start) r.count = (end - r.start - 1) / step + 1;
    } else {
        /* -INT64_MIN does not exist; no tensor is long enough to tell it from the next. */
        if (step == INT64_MIN) r.step = step = -INT64_MAX;
        r.start = clamp(start, -1, length - 1);
        end = clamp(end, -1, length - 1);
        if (r.start > end) r.count = (r.start - end - 1) / -step + 1;
    }
    return r;
}

/* The parameters of a Slice as far as they are known. */
typedef struct slice_params {
    int64_t starts[NRW_MAX_RANK], ends[NRW_MAX_RANK], axes[NRW_MAX_RANK], steps[NRW_MAX_RANK];
    int n; /* -1: unknown */
    bool bounds_known, axes_known, steps_known;
} slice_params;

static nrw_status same_number(nrw_infer *c, int i, const char *what, int n, int *expected) {
    if (n >= 0 && *expected >= 0 && n != *expected)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d (%s): expected %d values, got %d", i, what,
                 *expected, n);
    if (n >= 0) *expected = n;
    return NRW_OK;
}

static nrw_status read_slice(nrw_infer *c, slice_params *p) {
    int n, max = c->in[0]->rank < 0 ? NRW_MAX_RANK : c->in[0]->rank;
    bool starts, ends;
    NRW_TRY(nrw_infer_ints(c, 1, "starts", p->starts, max, &p->n, &starts));
    NRW_TRY(nrw_infer_ints(c, 2, "ends", p->ends, max, &n, &ends));
    NRW_TRY(same_number(c, 2, "ends", n, &p->n));
    p->bounds_known = starts && ends;
    p->axes_known = p->steps_known = true;
    if (nrw_infer_has(c, 3)) {
        NRW_TRY(nrw_infer_ints(c, 3, "axes", p->axes, max, &n, &p->axes_known));
        NRW_TRY(same_number(c, 3, "axes", n, &p->n));
    } else {
        for (int i = 0; i < NRW_MAX_RANK; i++) p->axes[i] = i;
    }
    if (nrw_infer_has(c, 4)) {
        NRW_TRY(nrw_infer_ints(c, 4, "steps", p->steps, max, &n, &p->steps_known));
        NRW_TRY(same_number(c, 4, "steps", n, &p->n));
        for (int i = 0; p->steps_known && i < n; i++) {
            if (p->steps[i] == 0) NRW_FAIL_INPUT(c, 4, "steps", "a step is 0");
        }
    } else {
        for (int i = 0; i < NRW_MAX_RANK; i++) p->steps[i] = 1;
    }
    return NRW_OK;
}

static nrw_status slice_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    slice_params p;
    NRW_TRY(read_slice(c, &p));
    NRW_TRY(nrw_infer_rank(c, in->rank));
    if (in->rank < 0 || p.n < 0 || !p.axes_known) return NRW_OK;
    memcpy(c->out[0].dims, in->dims, sizeof in->dims);
    NRW_TRY(nrw_normalize_axes(p.axes, p.n, in->rank, "input 3 (axes)", c->err));
    for (int i = 0; i < p.n; i++) {
        int64_t *d = &c->out[0].dims[p.axes[i]];
        if (!p.bounds_known || !p.steps_known) {
            *d = *d == 0 ? 0 : NRW_DIM_UNKNOWN;
        } else if (*d >= 0) {
            *d = slice_axis(*d, p.starts[i], p.ends[i], p.steps[i]).count;
        } else if (p.steps[i] != 1 || p.starts[i] != 0 || p.ends[i] < INT32_MAX) {
            /* A slice that takes the whole axis leaves its symbol. */
            *d = NRW_DIM_UNKNOWN;
        }
    }
    return NRW_OK;
}

static nrw_status read_slice_inputs(nrw_eval *e, slice_params *p) {
    struct {
        int64_t *to;
        const char *what;
    } lists[] = {{p->starts, "starts"}, {p->ends, "ends"}, {p->axes, "axes"}, {p->steps, "steps"}};
    for (int i = 0; i < NRW_MAX_RANK; i++) {
        p->axes[i] = i;
        p->steps[i] = 1;
    }
    for (int i = 0; i < 4; i++) {
        if (!nrw_has_input(e, i + 1)) continue;
        NRW_TRY_CTX(e->err, nrw_tensor_ints(e->in[i + 1], lists[i].to, NRW_MAX_RANK, &p->n, e->err),
                    "input %d (%s)", i + 1, lists[i].what);
    }
    return nrw_normalize_axes(p->axes, p->n, e->in[0]->rank, "input 3 (axes)", e->err);
}

static nrw_status slice_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    slice_params p;
    NRW_TRY(read_slice_inputs(e, &p));
    if (nrw_tensor_count(&e->out[0]) == 0) return NRW_OK;
    int element = nrw_dtype_size(in->dtype);
    int64_t strides[NRW_MAX_RANK], offset = 0;
    nrw_strides(in->rank, in->dims, strides);
    for (int i = 0; i < p.n; i++) {
        int axis = (int)p.axes[i];
        range r = slice_axis(in->dims[axis], p.starts[i], p.ends[i], p.steps[i]);
        offset += r.start * strides[axis];
        strides[axis] = r.count > 1 ? strides[axis] * r.step : 0;
    }
    nrw_move_dense(e->pool, element, in->rank, e->out[0].dims, e->out[0].data,
                   (const char *)in->data + offset * element, strides);
    return NRW_OK;
}

static nrw_status reverse_axes(const nrw_node *node, int rank, int *batch, int *time,
                               nrw_error *err) {
    NRW_TRY(nrw_axis_attr(node, "batch_axis", 1, rank, batch, err));
    NRW_TRY(nrw_axis_attr(node, "time_axis", 0, rank, time, err));
    if (*batch > 1 || *time > 1 || *batch == *time)
        NRW_FAIL(err, NRW_ERR_SHAPE, "batch_axis and time_axis must be 0 and 1 or 1 and 0");
    return NRW_OK;
}

static nrw_status reverse_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0], *lens = c->in[1];
    c->out[0] = *in;
    if (in->rank < 0) return NRW_OK;
    if (in->rank < 2) NRW_FAIL_INPUT(c, 0, "input", "expected 2 axes or more, got %d", in->rank);
    int batch, time;
    NRW_TRY(reverse_axes(c->node, in->rank, &batch, &time, c->err));
    if (lens->rank >= 0 && lens->rank != 1)
        NRW_FAIL_INPUT(c, 1, "sequence_lens", "expected one axis, got %d", lens->rank);
    if (lens->rank == 1 && lens->dims[0] >= 0 && in->dims[batch] >= 0 &&
        lens->dims[0] != in->dims[batch])
        NRW_FAIL_INPUT(c, 1, "sequence_lens", "%lld lengths for a batch of %lld",
                       (long long)lens->dims[0], (long long)in->dims[batch]);
    return NRW_OK;
}

static nrw_status reverse_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    int batch, time, element = nrw_dtype_size(in->dtype);
    NRW_TRY(reverse_axes(e->node, in->rank, &batch, &time, e->err));
    const int64_t *lens;
    NRW_TRY(nrw_read_indices(e, 1, &lens));
    int64_t strides[NRW_MAX_RANK], length = in->dims[time];
    nrw_strides(in->rank, in->dims, strides);
    size_t row = (size_t)nrw_span(in->dims, 2, in->rank) * (size_t)element;
    for (int64_t b = 0; b < in->dims[batch]; b++) {
        if (lens[b] < 0 || lens[b] > length)
            NRW_FAIL(e->err, NRW_ERR_DATA, "input 1 (sequence_lens): %lld is outside of [0, %lld]",
                     (long long)lens[b], (long long)length);
        for (int64_t t = 0; t < length; t++) {
            int64_t from = t < lens[b] ? lens[b] - 1 - t : t;
            int64_t to_at = (b * strides[batch] + t * strides[time]) * element;
            int64_t from_at = (b * strides[batch] + from * strides[time]) * element;
            memcpy((char *)e->out[0].data + to_at, (const char *)in->data + from_at, row);
        }
    }
    return NRW_OK;
}

static const nrw_attr_def reverse_attrs[] = {
    {"batch_axis", NRW_ATTR_INT, false}, {"time_axis", NRW_ATTR_INT, false}, {0}};

static const nrw_case slice_cases[] = {
    {"graph main(%x: f32[N,10]) { "
     "  const %s: i64[1] = [1] "
     "  const %e: i64[1] = [-2] "
     "  const %a: i64[1] = [-1] "
     "  const %t: i64[1] = [3] "
     "  %y: f32[N,3] = Slice(%x, %s, %e, %a, %t) "
     "  return %y } ",
     -1, 1},
    {"graph main(%x: f32[4,10] q(u8, scale=0.0078, zero=128)) { "
     "  const %s: i64[2] = [3, 8] "
     "  const %e: i64[2] = [-9, 1] "
     "  const %a: i64[2] = [0, 1] "
     "  const %t: i64[2] = [-1, -2] "
     "  %y: f32[4,4] q(u8, scale=0.0078, zero=128) = Slice(%x, %s, %e, %a, %t) "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op slice_row = {
    .name = "Slice",
    .domain = "",
    .min_in = 3,
    .max_in = 5,
    .min_out = 1,
    .max_out = 1,
    .infer = slice_infer,
    .reference = slice_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"Slice", 1},
    .tflite = {"STRIDED_SLICE", 45},
    .aten = "aten.slice.Tensor",
    .cases = slice_cases,
};
static const nrw_case reverse_cases[] = {{"graph main(%x: f32[4,3,2]) { "
                                          "  const %n: i64[3] = [4, 1, 2] "
                                          "  %y: f32[4,3,2] = ReverseSequence(%x, %n) "
                                          "  return %y } ",
                                          -1, 1},
                                         {0}};
static const nrw_op reverse_row = {
    .name = "ReverseSequence",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = reverse_attrs,
    .infer = reverse_infer,
    .reference = reverse_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"ReverseSequence", 10},
    .tflite = {"REVERSE_SEQUENCE", 112},
    .cases = reverse_cases,
};

NRW_OPS(slice, &slice_row, &reverse_row);
