/* Operators whose results depend on the values: Compress, NonZero, TopK, Unique. */
#include <string.h>

#include "ops/move.h"
#include "ops/order.h"

/* Compress without an axis works on the flat tensor. */
static bool compress_axis(const nrw_node *node) {
    return nrw_node_attr(node, "axis") != NULL;
}

static nrw_status compress_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0], *condition = c->in[1];
    if (condition->rank >= 0 && condition->rank != 1)
        NRW_FAIL_INPUT(c, 1, "condition", "expected one axis, got %d", condition->rank);
    if (!compress_axis(c->node)) return nrw_infer_rank(c, 1);
    if (in->rank == 0) NRW_FAIL_INPUT(c, 0, "input", "a scalar has no axis");
    NRW_TRY(nrw_infer_rank(c, in->rank));
    if (in->rank < 0) return NRW_OK;
    int axis;
    NRW_TRY(nrw_axis_attr(c->node, "axis", 0, in->rank, &axis, c->err));
    for (int i = 0; i < in->rank; i++) {
        if (i != axis) c->out[0].dims[i] = in->dims[i];
    }
    return NRW_OK;
}

static nrw_status compress_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    const unsigned char *keep = e->in[1]->data;
    int64_t n = nrw_tensor_count(e->in[1]), kept = 0, dims[NRW_MAX_RANK];
    int axis = 0, rank = in->rank;
    memcpy(dims, in->dims, sizeof dims);
    if (compress_axis(e->node)) {
        NRW_TRY(nrw_axis_attr(e->node, "axis", 0, rank, &axis, e->err));
    } else {
        rank = 1;
        dims[0] = nrw_tensor_count(in);
    }
    int64_t length = dims[axis], outer = nrw_span(dims, 0, axis);
    if (n > length) n = length;
    for (int64_t i = 0; i < n; i++) kept += keep[i] != 0;
    dims[axis] = kept;
    NRW_TRY(nrw_eval_alloc(e, 0, in->dtype, rank, dims));
    size_t row = (size_t)nrw_span(dims, axis + 1, rank) * (size_t)nrw_dtype_size(in->dtype);
    char *dst = e->out[0].data;
    for (int64_t o = 0; o < outer; o++) {
        const char *src = (const char *)in->data + (size_t)(o * length) * row;
        for (int64_t i = 0; i < n; i++) {
            if (keep[i] == 0) continue;
            memcpy(dst, src + (size_t)i * row, row);
            dst += row;
        }
    }
    return NRW_OK;
}

static nrw_status non_zero_infer(nrw_infer *c) {
    /* A scalar counts as a vector of one. */
    int64_t dims[2] = {c->in[0]->rank < 0 ? NRW_DIM_UNKNOWN : c->in[0]->rank, NRW_DIM_UNKNOWN};
    if (dims[0] == 0) dims[0] = 1;
    c->out[0] = nrw_type_make(NRW_I64, 2, dims);
    return NRW_OK;
}

static nrw_status non_zero_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    int64_t n = nrw_tensor_count(in), found = 0;
    double *x = nrw_arena_alloc(e->scratch, (size_t)(n > 0 ? n : 1) * sizeof *x);
    if (x == NULL) NRW_OOM(e->err);
    NRW_TRY(nrw_to_f64(in->dtype, in->data, x, n, e->err));
    for (int64_t i = 0; i < n; i++) found += x[i] != 0;
    int64_t dims[2] = {in->rank > 0 ? in->rank : 1, found}, k = 0;
    NRW_TRY(nrw_eval_alloc(e, 0, NRW_I64, 2, dims));
    int64_t *out = e->out[0].data;
    for (int64_t i = 0; i < n; i++) {
        if (x[i] == 0) continue;
        int64_t rest = i;
        for (int a = in->rank - 1; a >= 0; a--) {
            out[a * found + k] = rest % in->dims[a];
            rest /= in->dims[a];
        }
        if (in->rank == 0) out[k] = 0;
        k++;
    }
    return NRW_OK;
}

static nrw_status topk_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    int64_t k;
    bool known;
    NRW_TRY(nrw_infer_int(c, 1, "K", &k, &known));
    if (known && k < 0) NRW_FAIL_INPUT(c, 1, "K", "%lld is negative", (long long)k);
    if (in->rank == 0) NRW_FAIL_INPUT(c, 0, "X", "a scalar has no axis");
    NRW_TRY(nrw_infer_rank(c, in->rank));
    if (in->rank > 0) {
        int axis;
        NRW_TRY(nrw_axis_attr(c->node, "axis", -1, in->rank, &axis, c->err));
        if (known && in->dims[axis] >= 0 && k > in->dims[axis])
            NRW_FAIL_INPUT(c, 1, "K", "%lld of an axis of length %lld", (long long)k,
                           (long long)in->dims[axis]);
        memcpy(c->out[0].dims, in->dims, sizeof in->dims);
        c->out[0].dims[axis] = known ? k : NRW_DIM_UNKNOWN;
    }
    if (c->n_out > 1) {
        c->out[1] = c->out[0];
        c->out[1].dtype = NRW_I64;
    }
    return NRW_OK;
}

/* One selection per row; a row is the elements along the axis for one (outer, inner). */
typedef struct topk_work {
    const nrw_tensor *in;
    nrw_tensor *values, *indices;
    const uint64_t *keys;
    uint64_t flip;  /* all ones when the smallest are wanted */
    int64_t *heaps; /* k for each thread */
    int64_t k, length, inner, rows;
} topk_work;

/* Does item a (an index along the axis) come after item b in the result? */
static bool later(const topk_work *w, const uint64_t *keys, int64_t a, int64_t b) {
    uint64_t x = keys[a * w->inner] ^ w->flip, y = keys[b * w->inner] ^ w->flip;
    return x != y ? x < y : a > b;
}

/* Restores the heap whose root is the last of its items to come. */
static void sift(const topk_work *w, const uint64_t *keys, int64_t *heap, int64_t at, int64_t n) {
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= n) return;
        if (child + 1 < n && later(w, keys, heap[child + 1], heap[child])) child++;
        if (!later(w, keys, heap[child], heap[at])) return;
        int64_t t = heap[at];
        heap[at] = heap[child];
        heap[child] = t;
        at = child;
    }
}

static void topk_row(void *arg, int64_t row, int worker) {
    const topk_work *w = arg;
    int64_t outer = row / w->inner, inner = row % w->inner;
    int64_t base = outer * w->length * w->inner + inner, to = outer * w->k * w->inner + inner;
    const uint64_t *keys = w->keys + base;
    int64_t *heap = w->heaps + worker * w->k;
    for (int64_t i = 0; i < w->k; i++) heap[i] = i;
    for (int64_t i = w->k / 2 - 1; i >= 0; i--) sift(w, keys, heap, i, w->k);
    for (int64_t i = w->k; i < w->length; i++) {
        if (!later(w, keys, heap[0], i)) continue;
        heap[0] = i;
        sift(w, keys, heap, 0, w->k);
    }
    for (int64_t n = w->k; n > 1; n--) {
        int64_t t = heap[0];
        heap[0] = heap[n - 1];
        heap[n - 1] = t;
        sift(w, keys, heap, 0, n - 1);
    }
    int element = nrw_dtype_size(w->in->dtype);
    for (int64_t i = 0; i < w->k; i++) {
        int64_t dst = to + i * w->inner;
        if (w->values->data != NULL)
            memcpy((char *)w->values->data + dst * element,
                   (const char *)w->in->data + (base + heap[i] * w->inner) * element,
                   (size_t)element);
        if (w->indices != NULL && w->indices->data != NULL)
            ((int64_t *)w->indices->data)[dst] = heap[i];
    }
}

static nrw_status topk_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    uint64_t *keys;
    int axis;
    topk_work w = {.in = in, .values = &e->out[0], .indices = e->n_out > 1 ? &e->out[1] : NULL};
    NRW_TRY(nrw_axis_attr(e->node, "axis", -1, in->rank, &axis, e->err));
    NRW_TRY(nrw_order_keys(in, e->scratch, &keys, e->err));
    NRW_TRY(nrw_read_int(e, 1, "K", &w.k));
    w.keys = keys;
    w.flip = nrw_attr_int(e->node, "largest", 1) != 0 ? 0 : UINT64_MAX;
    w.length = in->dims[axis];
    w.inner = nrw_span(in->dims, axis + 1, in->rank);
    w.rows = nrw_span(in->dims, 0, axis) * w.inner;
    size_t room = (size_t)nrw_pool_threads(e->pool) * (size_t)w.k;
    w.heaps = nrw_arena_calloc(e->scratch, room + 1, sizeof *w.heaps);
    if (w.heaps == NULL) NRW_OOM(e->err);
    if (w.k > 0) nrw_pool_run(e->pool, w.rows, topk_row, &w);
    return NRW_OK;
}

static nrw_status unique_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    int64_t unknown = NRW_DIM_UNKNOWN;
    if (!compress_axis(c->node)) {
        NRW_TRY(nrw_infer_rank(c, 1));
    } else {
        NRW_TRY(nrw_infer_rank(c, in->rank));
        if (in->rank >= 0) {
            int axis;
            NRW_TRY(nrw_axis_attr(c->node, "axis", 0, in->rank, &axis, c->err));
            memcpy(c->out[0].dims, in->dims, sizeof in->dims);
            c->out[0].dims[axis] = NRW_DIM_UNKNOWN;
        }
    }
    for (int i = 1; i < c->n_out; i++) c->out[i] = nrw_type_make(NRW_I64, 1, &unknown);
    return NRW_OK;
}

/* The items that Unique compares: slices of the axis, each of outer * inner elements. */
typedef struct unique_items {
    const uint64_t *keys;      /* numbers */
    const nrw_string *strings; /* or strings */
    int64_t n, outer, inner;
} unique_items;

static int compare_strings(const nrw_string *a, const nrw_string *b) {
    size_t n = a->size < b->size ? a->size : b->size;
    int order = n > 0 ? memcmp(a->data, b->data, n) : 0;
    if (order != 0) return order;
    return a->size < b->size ? -1 : a->size > b->size;
}

static int compare_items(const unique_items *u, int64_t a, int64_t b) {
    for (int64_t o = 0; o < u->outer; o++) {
        int64_t x = (o * u->n + a) * u->inner, y = (o * u->n + b) * u->inner;
        for (int64_t i = 0; i < u->inner; i++) {
            int order = u->strings != NULL ? compare_strings(&u->strings[x + i], &u->strings[y + i])
                        : u->keys[x + i] < u->keys[y + i] ? -1
                                                          : u->keys[x + i] > u->keys[y + i];
            if (order != 0) return order;
        }
    }
    return 0;
}

static bool item_before(const void *ctx, int64_t a, int64_t b) {
    return compare_items(ctx, a, b) < 0;
}

/* Groups of equal items in the order of the result. */
typedef struct groups {
    int64_t n;
    int64_t *first, *inverse, *counts; /* first: [n]; inverse: [items]; counts: [n] */
} groups;

/* group_of[first item of a group] is its number once known; the sort being stable, the first of a
 * run of equals is the one that stands first in the data. */
static nrw_status find_groups(nrw_eval *e, const unique_items *u, bool sorted, groups *g) {
    size_t n = (size_t)u->n + 1;
    int64_t *items = nrw_arena_calloc(e->scratch, n, sizeof *items);
    int64_t *leader = nrw_arena_calloc(e->scratch, n, sizeof *leader);
    int64_t *number = nrw_arena_calloc(e->scratch, n, sizeof *number);
    g->first = nrw_arena_calloc(e->scratch, n, sizeof *g->first);
    g->inverse = nrw_arena_calloc(e->scratch, n, sizeof *g->inverse);
    g->counts = nrw_arena_calloc(e->scratch, n, sizeof *g->counts);
    if (items == NULL || leader == NULL || number == NULL || g->first == NULL ||
        g->inverse == NULL || g->counts == NULL)
        NRW_OOM(e->err);
    for (int64_t i = 0; i < u->n; i++) items[i] = i;
    nrw_sort_items(items, leader, u->n, item_before, u);
    for (int64_t i = 0; i < u->n; i++) {
        bool same = i > 0 && compare_items(u, items[i - 1], items[i]) == 0;
        leader[items[i]] = same ? leader[items[i - 1]] : items[i];
    }
    g->n = 0;
    for (int64_t i = 0; i < u->n; i++) {
        int64_t item = sorted ? items[i] : i;
        if (leader[item] != item) continue;
        number[item] = g->n;
        g->first[g->n++] = item;
    }
    for (int64_t i = 0; i < u->n; i++) {
        g->inverse[i] = number[leader[i]];
        g->counts[g->inverse[i]]++;
    }
    return NRW_OK;
}

static nrw_status unique_values(nrw_eval *e, const unique_items *u, const groups *g, int axis) {
    const nrw_tensor *in = e->in[0];
    bool flat = !compress_axis(e->node);
    int64_t dims[NRW_MAX_RANK];
    memcpy(dims, in->dims, sizeof dims);
    dims[flat ? 0 : axis] = g->n;
    NRW_TRY(nrw_eval_alloc(e, 0, in->dtype, flat ? 1 : in->rank, dims));
    size_t row = (size_t)u->inner * (size_t)nrw_dtype_size(in->dtype);
    for (int64_t o = 0; o < u->outer; o++) {
        for (int64_t i = 0; i < g->n; i++) {
            memcpy((char *)e->out[0].data + (size_t)(o * g->n + i) * row,
                   (const char *)in->data + (size_t)(o * u->n + g->first[i]) * row, row);
        }
    }
    return NRW_OK;
}

static nrw_status unique_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    unique_items u = {.n = nrw_tensor_count(in), .outer = 1, .inner = 1};
    int axis = 0;
    if (compress_axis(e->node)) {
        NRW_TRY(nrw_axis_attr(e->node, "axis", 0, in->rank, &axis, e->err));
        u.outer = nrw_span(in->dims, 0, axis);
        u.n = in->dims[axis];
        u.inner = nrw_span(in->dims, axis + 1, in->rank);
    }
    uint64_t *keys = NULL;
    if (in->dtype == NRW_STRING)
        u.strings = in->data;
    else
        NRW_TRY(nrw_order_keys(in, e->scratch, &keys, e->err));
    u.keys = keys;
    groups g = {0};
    NRW_TRY(find_groups(e, &u, nrw_attr_int(e->node, "sorted", 1) != 0, &g));
    NRW_TRY(unique_values(e, &u, &g, axis));
    const int64_t *lists[3] = {g.first, g.inverse, g.counts};
    for (int i = 1; i < e->n_out; i++) {
        int64_t n = i == 2 ? u.n : g.n;
        NRW_TRY(nrw_eval_alloc(e, i, NRW_I64, 1, &n));
        if (n > 0) memcpy(e->out[i].data, lists[i - 1], (size_t)n * sizeof **lists);
    }
    return NRW_OK;
}

static const nrw_attr_def compress_attrs[] = {{"axis", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def topk_attrs[] = {{"axis", NRW_ATTR_INT, false},
                                          {"largest", NRW_ATTR_INT, false},
                                          {"sorted", NRW_ATTR_INT, false},
                                          {0}};
static const nrw_attr_def unique_attrs[] = {
    {"axis", NRW_ATTR_INT, false}, {"sorted", NRW_ATTR_INT, false}, {0}};

static const nrw_case compress_cases[] = {{"graph main(%x: f32[3,4]) { "
                                           "  const %c: bool[4] = [true, false, false, true] "
                                           "  %y: f32[3,?] = Compress(%x, %c) {axis=1} "
                                           "  return %y } ",
                                           -1, 1},
                                          {0}};
static const nrw_op compress_row = {
    .name = "Compress",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = compress_attrs,
    .infer = compress_infer,
    .reference = compress_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"Compress", 9},
    .cases = compress_cases,
};
static const nrw_case non_zero_cases[] = {{"graph main() { "
                                           "  const %x: f32[2,2] = [0, 1.5, 0, -1] "
                                           "  %y: i64[2,?] = NonZero(%x) "
                                           "  return %y } ",
                                           -1, 1},
                                          {0}};
static const nrw_op non_zero_row = {
    .name = "NonZero",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = non_zero_infer,
    .reference = non_zero_run,
    .onnx = {"NonZero", 9},
    .aten = "aten.nonzero.default",
    .cases = non_zero_cases,
};
static const nrw_case topk_cases[] = {
    {"graph main(%x: f32[3,7]) { "
     "  const %k: i64[1] = [3] "
     "  %v: f32[3,3], %i: i64[3,3] = TopK(%x, %k) "
     "  return %v, %i } ",
     -1, 1},
    {"graph main(%x: f32[7,N]) { "
     "  const %k: i64[1] = [2] "
     "  %v: f32[2,N], %i: i64[2,N] = TopK(%x, %k) {axis=0, largest=0} "
     "  return %v, %i } ",
     -1, 1},
    {0}};
static const nrw_op topk_row_op = {
    .name = "TopK",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 2,
    .attrs = topk_attrs,
    .infer = topk_infer,
    .reference = topk_run,
    .quant = {.rule = NRW_QUANT_SAME_SCALE, .moves_only = true},
    .onnx = {"TopK", 1},
    .tflite = {"TOPK_V2", 48},
    .aten = "aten.topk.default",
    .cases = topk_cases,
};
static const nrw_case unique_cases[] = {
    {"graph main() { "
     "  const %x: i64[5] = [4, 2, 4, 1, 2] "
     "  %y: i64[?], %i: i64[?], %v: i64[?], %c: i64[?] = Unique(%x) "
     "  return %y, %i, %v, %c } ",
     -1, 1},
    {0}};
static const nrw_op unique_row = {
    .name = "Unique",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 4,
    .attrs = unique_attrs,
    .infer = unique_infer,
    .reference = unique_run,
    .onnx = {"Unique", 11},
    .tflite = {"UNIQUE", 103},
    .cases = unique_cases,
};

NRW_OPS(select, &compress_row, &non_zero_row, &topk_row_op, &unique_row);
