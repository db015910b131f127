/* Elements picked and put by indices. */
#include <string.h>

#include "formats/tflite/rule.h"
#include "passes/match.h"

static nrw_status raise_gather(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *at = rule_in(r, 1);
    int64_t axis = rule_int(r, "axis", 0), batch = rule_int(r, "batch_dims", 0);
    const int rank = x->type.rank, inner = at->type.rank;
    if (rank < 1 || inner < 0 || !nrw_normalize_axis(&axis, rank)) return NRW_OK;
    if (batch < 0) batch += inner;
    if (at->type.dtype != NRW_I32) at = rule_to_i64(r, at);
    *done = true;
    if (batch == 0) {
        rule_finish(r, rule_set_int(r, EMIT(r, "Gather", x, at), "axis", axis));
        return NRW_OK;
    }
    /* With as many batch axes as stand before it, GatherND picks along the next one. */
    *done = axis == batch;
    if (!*done) return NRW_OK;
    nrw_value *v = EMIT(r, "GatherND", x, rule_unsqueeze(r, rule_to_i64(r, at), -1));
    rule_finish(r, rule_set_int(r, v, "batch_dims", batch));
    return NRW_OK;
}

static nrw_status raise_gather_nd(rewriting *r, bool *done) {
    rule_finish(r, EMIT(r, "GatherND", rule_in(r, 0), rule_to_i64(r, rule_in(r, 1))));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_embedding_lookup(rewriting *r, bool *done) {
    rule_finish(r, EMIT(r, "Gather", rule_in(r, 1), rule_in(r, 0)));
    *done = true;
    return NRW_OK;
}

/* What falls on the same place adds up. */
static nrw_status raise_scatter_nd(rewriting *r, bool *done) {
    nrw_value *updates = rule_in(r, 1);
    nrw_value *zeros = EMIT(r, "Expand", rule_like(r, updates, 0), rule_to_i64(r, rule_in(r, 2)));
    nrw_value *v = EMIT(r, "ScatterND", zeros, rule_to_i64(r, rule_in(r, 0)), updates);
    rule_finish(r, rule_set_str(r, v, "reduction", "add"));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_sparse_to_dense(rewriting *r, bool *done) {
    nrw_value *at = rule_to_i64(r, rule_in(r, 0)), *x = rule_in(r, 2);
    const int rank = rule_in(r, 0)->type.rank;
    if (rank < 0) return NRW_OK;
    nrw_value *all = EMIT(r, "Expand", rule_in(r, 3), rule_to_i64(r, rule_in(r, 1)));
    if (rank == 0) at = rule_reshape(r, at, 2, (int64_t[]){1, 1});
    if (rank == 1) at = rule_unsqueeze(r, at, -1);
    if (x->type.rank == 0) {
        nrw_value *rows = EMIT(r, "Slice", rule_shape_of(r, at), rule_i64s(r, 1, (int64_t[]){0}),
                               rule_i64s(r, 1, (int64_t[]){1}));
        x = EMIT(r, "Expand", x, rows);
    }
    rule_finish(r, EMIT(r, "ScatterND", all, at, x));
    *done = true;
    return NRW_OK;
}

/* Rows of the same segment are joined; those of a negative one are left out. */
static nrw_status raise_segments(rewriting *r, nrw_value *count, const char *reduction,
                                 double first, bool *done) {
    nrw_value *x = rule_in(r, 0), *ids = rule_to_i64(r, rule_in(r, 1));
    const int ranks = rule_in(r, 1)->type.rank, rank = x->type.rank;
    if (ranks < 1 || rank < ranks) return NRW_OK;
    if (ranks > 1) { /* ids for places in several axes: these become one */
        int64_t dims[NRW_MAX_RANK] = {-1};
        for (int i = ranks; i < rank; i++) {
            if (x->type.dims[i] < 0) return NRW_OK;
            dims[1 + i - ranks] = x->type.dims[i];
        }
        x = rule_reshape(r, x, rank - ranks + 1, dims);
        ids = rule_reshape(r, ids, 1, (const int64_t[]){-1});
    }
    nrw_value *one = rule_i64s(r, 1, (int64_t[]){1}), *none = rule_i64s(r, 1, (int64_t[]){0});
    nrw_value *row =
        EMIT(r, "Slice", rule_shape_of(r, x), one, rule_i64s(r, 1, (int64_t[]){INT64_MAX}));
    /* One more row takes what is left out, and is cut off. */
    nrw_value *lost = EMIT(r, "Less", ids, rule_i64(r, 0));
    nrw_value *to = EMIT(r, "Where", lost, count, ids);
    nrw_value *shape =
        rule_set_int(r, EMIT(r, "Concat", EMIT(r, "Add", count, one), row), "axis", 0);
    nrw_value *all = EMIT(r, "Expand", rule_like(r, rule_in(r, 0), first), shape);
    nrw_value *v = EMIT(r, "ScatterND", all, rule_unsqueeze(r, to, -1), x);
    v = rule_set_str(r, v, "reduction", reduction);
    rule_finish(r, EMIT(r, "Slice", v, none, count, none));
    *done = true;
    return NRW_OK;
}

static nrw_value *one_count(rewriting *r) {
    return rule_reshape(r, rule_to_i64(r, rule_in(r, 2)), 1, (int64_t[]){1});
}

static double least_of(const rewriting *r) {
    const nrw_dtype t = rule_in(r, 0)->type.dtype;
    return nrw_dtype_is_float(t) ? -3.40282346638528859812e+38 : (double)nrw_dtype_get(t)->min;
}

static double most_of(const rewriting *r) {
    const nrw_dtype t = rule_in(r, 0)->type.dtype;
    return nrw_dtype_is_float(t) ? 3.40282346638528859812e+38 : (double)nrw_dtype_get(t)->max;
}

static nrw_status raise_unsorted_sum(rewriting *r, bool *done) {
    return raise_segments(r, one_count(r), "add", 0, done);
}

static nrw_status raise_unsorted_prod(rewriting *r, bool *done) {
    return raise_segments(r, one_count(r), "mul", 1, done);
}

static nrw_status raise_unsorted_max(rewriting *r, bool *done) {
    return raise_segments(r, one_count(r), "max", least_of(r), done);
}

static nrw_status raise_unsorted_min(rewriting *r, bool *done) {
    return raise_segments(r, one_count(r), "min", most_of(r), done);
}

/* As many segments as the last id, which is the largest, says. */
static nrw_status raise_segment_sum(rewriting *r, bool *done) {
    nrw_value *ids = rule_to_i64(r, rule_in(r, 1));
    nrw_value *top = rule_set_int(r, EMIT(r, "ReduceMax", ids), "keepdims", 0);
    nrw_value *count =
        EMIT(r, "Add", rule_reshape(r, top, 1, (int64_t[]){1}), rule_i64s(r, 1, (int64_t[]){1}));
    return raise_segments(r, count, "add", 0, done);
}

static nrw_status raise_one_hot(rewriting *r, bool *done) {
    nrw_value *on = rule_in(r, 2), *off = rule_in(r, 3);
    nrw_value *values = rule_set_int(
        r, EMIT(r, "Concat", rule_unsqueeze(r, off, 0), rule_unsqueeze(r, on, 0)), "axis", 0);
    nrw_value *depth = rule_to_i64(r, rule_in(r, 1));
    /* A negative index is none here, and counts from the end in ONNX: it is put behind the last. */
    nrw_value *at = rule_to_i64(r, rule_in(r, 0));
    at = EMIT(r, "Where", EMIT(r, "Less", at, rule_i64(r, 0)), depth, at);
    nrw_value *v = EMIT(r, "OneHot", at, depth, values);
    rule_finish(r, rule_set_int(r, v, "axis", rule_int(r, "axis", 0)));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_select_v2(rewriting *r, bool *done) {
    rule_finish(r, EMIT(r, "Where", rule_in(r, 0), rule_in(r, 1), rule_in(r, 2)));
    *done = true;
    return NRW_OK;
}

/* The condition may be a vector that picks whole rows. */
static nrw_status raise_select(rewriting *r, bool *done) {
    nrw_value *c = rule_in(r, 0), *x = rule_in(r, 1);
    if (c->type.rank < 0 || x->type.rank < 0) return NRW_OK;
    if (c->type.rank == 1 && x->type.rank > 1) {
        int64_t dims[NRW_MAX_RANK] = {-1};
        for (int i = 1; i < x->type.rank; i++) dims[i] = 1;
        c = rule_reshape(r, c, x->type.rank, dims);
    }
    rule_finish(r, EMIT(r, "Where", c, x, rule_in(r, 2)));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_where(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    if (x->type.dtype != NRW_BOOL) x = rule_cast(r, x, NRW_BOOL);
    nrw_value *v = EMIT(r, "NonZero", x);
    rule_finish(r, rule_set_ints(r, EMIT(r, "Transpose", v), "perm", 2, (int64_t[]){1, 0}));
    *done = true;
    return NRW_OK;
}

/* Of constants that are made here. */
enum { MOST_PLACES = 1 << 24 };

/* A part of x, from `start` on, becomes `update`: its rows and columns are counted out. */
static nrw_status raise_dynamic_update_slice(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *update = rule_in(r, 1), *start = rule_to_i64(r, rule_in(r, 2));
    const int rank = x->type.rank;
    int64_t grid_dims[NRW_MAX_RANK + 1], n = 1, at[NRW_MAX_RANK] = {0}, room[NRW_MAX_RANK];
    if (rank < 1 || rank == NRW_MAX_RANK || !rule_is_static(x) || !rule_is_static(update))
        return NRW_OK;
    for (int i = 0; i < rank; i++) {
        grid_dims[i] = update->type.dims[i];
        room[i] = x->type.dims[i] - update->type.dims[i];
        if (!nrw_mul_i64(n, grid_dims[i], &n) || n > MOST_PLACES) return NRW_OK;
    }
    grid_dims[rank] = rank;
    nrw_tensor grid;
    NRW_TRY(nrw_tensor_new(&r->graph->model->arena, NRW_I64, rank + 1, grid_dims, &grid, r->err));
    for (int64_t k = 0; k < n; k++) {
        memcpy((int64_t *)grid.data + k * rank, at, (size_t)rank * sizeof *at);
        for (int i = rank - 1; i >= 0 && ++at[i] == grid_dims[i]; i--) at[i] = 0;
    }
    nrw_value *places = nrw_const_new(r->graph, NULL, &grid);
    if (places == NULL) NRW_OOM(r->err);
    start = EMIT(r, "Max", rule_i64(r, 0), EMIT(r, "Min", start, rule_i64s(r, rank, room)));
    rule_finish(r, EMIT(r, "ScatterND", x, EMIT(r, "Add", places, start), update));
    *done = true;
    return NRW_OK;
}

/* Matrices with this diagonal and `rest` elsewhere; the diagonal is as long as the shorter side. */
static nrw_value *with_diagonal(rewriting *r, nrw_value *diagonal, nrw_value *rest, int64_t rows,
                                int64_t cols) {
    const int64_t dims[2] = {rows, cols};
    nrw_tensor mask;
    if (r->failed) return NULL;
    if (nrw_tensor_new(&r->graph->model->arena, NRW_BOOL, 2, dims, &mask, r->err) != NRW_OK) {
        r->failed = true;
        return NULL;
    }
    for (int64_t i = 0; i < rows && i < cols; i++) ((unsigned char *)mask.data)[i * cols + i] = 1;
    nrw_value *on = nrw_const_new(r->graph, NULL, &mask);
    if (on == NULL) r->failed = true;
    /* Along columns where there are fewer of them, else along rows: either way [i, i] gets i. */
    nrw_value *line = rule_unsqueeze(r, diagonal, rows >= cols ? -2 : -1);
    return EMIT(r, "Where", on, line, rest);
}

static nrw_status raise_matrix_diag(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    if (x->type.rank < 1 || x->type.dims[x->type.rank - 1] < 0) return NRW_OK;
    const int64_t n = x->type.dims[x->type.rank - 1];
    if (n > MOST_PLACES || n * n > MOST_PLACES) return NRW_OK;
    rule_finish(r, with_diagonal(r, x, rule_like(r, x, 0), n, n));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_matrix_set_diag(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    const int rank = x->type.rank;
    if (rank < 2 || x->type.dims[rank - 1] < 0 || x->type.dims[rank - 2] < 0) return NRW_OK;
    const int64_t rows = x->type.dims[rank - 2], cols = x->type.dims[rank - 1];
    if (rows > MOST_PLACES || cols > MOST_PLACES || rows * cols > MOST_PLACES) return NRW_OK;
    rule_finish(r, with_diagonal(r, rule_in(r, 1), x, rows, cols));
    *done = true;
    return NRW_OK;
}

/* Boxes kept by score, then padding with zeros up to the number asked for. */
static nrw_status raise_nms(rewriting *r, bool soft, bool *done) {
    nrw_value *boxes = rule_in(r, 0), *scores = rule_in(r, 1);
    int64_t most;
    float sigma = 0;
    if (rule_ints(rule_in(r, 2), &most, 1) != 1 || most < 0) return NRW_OK;
    if (soft && (!nrw_const_scalar(rule_in(r, 5), &sigma) || sigma != 0)) return NRW_OK;
    nrw_value *lines = rule_unsqueeze(r, rule_unsqueeze(r, scores, 0), 0);
    nrw_value *found = EMIT(r, "NonMaxSuppression", rule_unsqueeze(r, boxes, 0), lines,
                            rule_i64s(r, 1, &most), rule_in(r, 3), rule_in(r, 4));
    nrw_value *at = rule_set_int(r, EMIT(r, "Gather", found, rule_i64(r, 2)), "axis", 1);
    nrw_value *count = rule_shape_of(r, at);
    nrw_value *missing = EMIT(r, "Sub", rule_i64s(r, 1, &most), count);
    nrw_value *behind =
        rule_set_int(r, EMIT(r, "Concat", rule_i64s(r, 1, (int64_t[]){0}), missing), "axis", 0);
    nrw_value *valid = rule_cast(r, EMIT(r, "Squeeze", count), NRW_I32);
    const int last = soft ? 2 : 1;
    if (soft) {
        nrw_value *kept = EMIT(r, "Gather", scores, at);
        rule_finish_output(r, 1, EMIT(r, "Pad", kept, behind));
    }
    rule_finish_output(r, last, valid);
    rule_finish_output(r, 0, rule_cast(r, EMIT(r, "Pad", at, behind), NRW_I32));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_nms4(rewriting *r, bool *done) {
    return raise_nms(r, false, done);
}

static nrw_status raise_nms5(rewriting *r, bool *done) {
    return raise_nms(r, true, done);
}

const nrw_tflite_rule nrw_tflite_pick_rules[] = {
    {"GATHER", raise_gather},
    {"GATHER_ND", raise_gather_nd},
    {"EMBEDDING_LOOKUP", raise_embedding_lookup},
    {"SCATTER_ND", raise_scatter_nd},
    {"SPARSE_TO_DENSE", raise_sparse_to_dense},
    {"SEGMENT_SUM", raise_segment_sum},
    {"UNSORTED_SEGMENT_SUM", raise_unsorted_sum},
    {"UNSORTED_SEGMENT_PROD", raise_unsorted_prod},
    {"UNSORTED_SEGMENT_MAX", raise_unsorted_max},
    {"UNSORTED_SEGMENT_MIN", raise_unsorted_min},
    {"ONE_HOT", raise_one_hot},
    {"SELECT", raise_select},
    {"SELECT_V2", raise_select_v2},
    {"WHERE", raise_where},
    {"DYNAMIC_UPDATE_SLICE", raise_dynamic_update_slice},
    {"MATRIX_DIAG", raise_matrix_diag},
    {"MATRIX_SET_DIAG", raise_matrix_set_diag},
    {"NON_MAX_SUPPRESSION_V4", raise_nms4},
    {"NON_MAX_SUPPRESSION_V5", raise_nms5},
    {NULL, NULL},
};
