/* Writing: elements moved as they are. */
#include <string.h>

#include "formats/tflite/rule.h"
#include "passes/match.h"

/* A constant vector of 32-bit integers. */
static nrw_value *vector(rewriting *r, int n, const int64_t *x) {
    int32_t list[2 * NRW_MAX_RANK];
    for (int i = 0; i < n; i++)
        list[i] = (int32_t)(x[i] > INT32_MAX ? INT32_MAX : x[i] < INT32_MIN ? INT32_MIN : x[i]);
    return rule_i32s(r, 1, (const int64_t[]){n}, list);
}

/* The output's shape is known, so whatever led to it need not be written. */
static nrw_status lower_shape(rewriting *r, bool *done) {
    const nrw_type *y = &rule_out(r)->type;
    nrw_value *x = rule_in(r, 0);
    if (!nrw_type_is_static(y)) return NRW_OK;
    /* Several in a row come to the last. */
    while (x->producer != NULL && strcmp(x->producer->domain, "tflite") == 0 &&
           strcmp(x->producer->type, "RESHAPE") == 0 &&
           nrw_quant_equal(x->quant, x->producer->inputs[0]->quant))
        x = x->producer->inputs[0];
    rule_finish(r, EMIT(r, "RESHAPE", x, vector(r, y->rank, y->dims)));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_transpose(rewriting *r, bool *done) {
    int64_t n, reversed[NRW_MAX_RANK];
    const int64_t *perm = nrw_attr_ints(r->node, "perm", &n);
    const int rank = rule_in(r, 0)->type.rank;
    if (perm == NULL) {
        if (rank < 0) return NRW_OK;
        for (int i = 0; i < rank; i++) reversed[i] = rank - 1 - i;
        perm = reversed;
        n = rank;
    }
    rule_finish(r, EMIT(r, "TRANSPOSE", rule_in(r, 0), vector(r, (int)n, perm)));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_concat(rewriting *r, bool *done) {
    int64_t axis = rule_int(r, "axis", 0);
    if (!nrw_normalize_axis(&axis, rule_out(r)->type.rank)) return NRW_OK;
    nrw_value *v = rule_emit(r, "CONCATENATION", r->node->n_inputs, r->node->inputs);
    rule_finish(r, rule_set_int(r, v, "axis", axis));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_split(rewriting *r, bool *done) {
    nrw_node *n = r->node;
    nrw_value *x = rule_in(r, 0);
    int64_t axis = rule_int(r, "axis", 0);
    enum { most = 256 };
    int32_t sizes[most], a;
    if (x->type.rank < 1 || !nrw_normalize_axis(&axis, x->type.rank) || n->n_outputs > most)
        return NRW_OK;
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] == NULL || !rule_is_static(n->outputs[i])) return NRW_OK;
        sizes[i] = (int32_t)n->outputs[i]->type.dims[axis];
    }
    a = (int32_t)axis;
    bool even = true;
    for (int i = 1; i < n->n_outputs; i++) even = even && sizes[i] == sizes[0];
    nrw_value *at = rule_i32s(r, 0, NULL, &a), *list = NULL;
    if (!even) list = rule_i32s(r, 1, (const int64_t[]){n->n_outputs}, sizes);
    nrw_value *v = even ? EMIT(r, "SPLIT", at, x) : EMIT(r, "SPLIT_V", x, list, at);
    v = rule_set_int(r, v, "num_splits", n->n_outputs);
    if (r->failed) return NRW_OK;
    nrw_value **parts = nrw_arena_calloc(r->scratch, (size_t)n->n_outputs, sizeof *parts);
    if (parts == NULL) NRW_OOM(r->err);
    parts[0] = v;
    for (int i = n->n_outputs - 1; i > 0; i--) parts[i] = rule_second(r, v, i);
    for (int i = 0; i < n->n_outputs; i++) rule_finish_output(r, i, parts[i]);
    *done = true;
    return NRW_OK;
}

/* The constants of a Slice, spread over all axes and cut to the length that there is. */
static bool read_slice(const rewriting *r, int64_t *from, int64_t *to, int64_t *by) {
    const nrw_type *x = &rule_in(r, 0)->type;
    int64_t starts[NRW_MAX_RANK], ends[NRW_MAX_RANK], axes[NRW_MAX_RANK], steps[NRW_MAX_RANK];
    const int n = rule_ints(rule_in(r, 1), starts, NRW_MAX_RANK);
    if (n < 1 || rule_ints(rule_in(r, 2), ends, NRW_MAX_RANK) != n || !nrw_type_is_static(x))
        return false;
    for (int i = 0; i < n; i++) {
        axes[i] = i;
        steps[i] = 1;
    }
    if (rule_in(r, 3) != NULL && rule_ints(rule_in(r, 3), axes, NRW_MAX_RANK) != n) return false;
    if (rule_in(r, 4) != NULL && rule_ints(rule_in(r, 4), steps, NRW_MAX_RANK) != n) return false;
    for (int i = 0; i < x->rank; i++) {
        from[i] = 0;
        to[i] = x->dims[i];
        by[i] = 1;
    }
    for (int i = 0; i < n; i++) {
        int64_t a = axes[i];
        if (!nrw_normalize_axis(&a, x->rank) || steps[i] == 0) return false;
        const int64_t length = x->dims[a], back = steps[i] < 0;
        int64_t s = starts[i] < 0 ? starts[i] + length : starts[i];
        int64_t e = ends[i] < 0 ? (ends[i] < -length ? -1 : ends[i] + length) : ends[i];
        const int64_t most = back ? length - 1 : length, least = back ? -1 : 0;
        from[a] = s < 0 ? 0 : s > most ? most : s;
        to[a] = e < least ? least : e > length ? length : e;
        by[a] = steps[i];
    }
    return true;
}

static nrw_status lower_slice(rewriting *r, bool *done) {
    int64_t from[NRW_MAX_RANK], to[NRW_MAX_RANK], by[NRW_MAX_RANK], end_mask = 0;
    nrw_value *x = rule_in(r, 0);
    const int rank = x->type.rank;
    bool plain = true;
    if (!read_slice(r, from, to, by)) return NRW_OK;
    *done = true;
    for (int i = 0; i < rank; i++) {
        plain = plain && by[i] == 1;
        if (to[i] < 0) {
            end_mask |= 1 << i; /* a negative end counts from the back; left out, it is the front */
            to[i] = 0;
        }
    }
    if (plain) {
        for (int i = 0; i < rank; i++) to[i] = to[i] > from[i] ? to[i] - from[i] : 0;
        rule_finish(r, EMIT(r, "SLICE", x, vector(r, rank, from), vector(r, rank, to)));
        return NRW_OK;
    }
    nrw_value *v = EMIT(r, "STRIDED_SLICE", x, vector(r, rank, from), vector(r, rank, to),
                        vector(r, rank, by));
    rule_finish(r, rule_set_int(r, v, "end_mask", end_mask));
    return NRW_OK;
}

/* ONNX has all that is added before, then all that is added after. */
static bool read_pads(const rewriting *r, int rank, int64_t *before, int64_t *after) {
    int64_t list[2 * NRW_MAX_RANK], axes[NRW_MAX_RANK];
    const int n = rule_ints(rule_in(r, 1), list, 2 * NRW_MAX_RANK);
    const nrw_value *which = rule_in(r, 3);
    int k = rank;
    for (int i = 0; i < rank; i++) {
        axes[i] = i;
        before[i] = after[i] = 0;
    }
    if (which != NULL) k = rule_ints(which, axes, NRW_MAX_RANK);
    if (k < 0 || n != 2 * k) return false;
    for (int i = 0; i < k; i++) {
        if (!nrw_normalize_axis(&axes[i], rank)) return false;
        before[axes[i]] = list[i];
        after[axes[i]] = list[k + i];
    }
    return true;
}

static nrw_status lower_pad(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *fill = rule_in(r, 2);
    const char *mode = nrw_attr_str(r->node, "mode", "constant");
    const int rank = x->type.rank;
    int64_t before[NRW_MAX_RANK], after[NRW_MAX_RANK];
    int32_t list[2 * NRW_MAX_RANK];
    const bool reflects = strcmp(mode, "reflect") == 0;
    if (rank < 1 || !read_pads(r, rank, before, after)) return NRW_OK;
    if (strcmp(mode, "constant") != 0 && !reflects) return NRW_OK;
    for (int i = 0; i < rank; i++) {
        if (before[i] < 0 || after[i] < 0) return NRW_OK;
        list[2 * i] = (int32_t)before[i];
        list[2 * i + 1] = (int32_t)after[i];
    }
    nrw_value *pads = rule_i32s(r, 2, (const int64_t[]){rank, 2}, list);
    float zero;
    if (fill != NULL && nrw_const_scalar(fill, &zero) && zero == 0) fill = NULL;
    nrw_value *v = reflects       ? EMIT(r, "MIRROR_PAD", x, pads)
                   : fill != NULL ? EMIT(r, "PADV2", x, pads, fill)
                                  : EMIT(r, "PAD", x, pads);
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

/* Places count from the front. */
static nrw_value *indices(rewriting *r, nrw_value *at, int64_t length) {
    int64_t n;
    if (!nrw_is_const(at) || at->quant != NULL || r->failed) return at;
    n = nrw_tensor_count(at->data);
    int64_t *wide = nrw_arena_calloc(r->scratch, (size_t)n + 1, sizeof *wide);
    int32_t *narrow = nrw_arena_calloc(r->scratch, (size_t)n + 1, sizeof *narrow);
    if (wide == NULL || narrow == NULL ||
        nrw_to_i64(at->data->dtype, at->data->data, wide, n, r->err) != NRW_OK) {
        r->failed = true;
        return NULL;
    }
    for (int64_t i = 0; i < n; i++) narrow[i] = (int32_t)(wide[i] < 0 ? wide[i] + length : wide[i]);
    return rule_i32s(r, at->data->rank, at->data->dims, narrow);
}

static nrw_status lower_gather(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *at = rule_in(r, 1);
    int64_t axis = rule_int(r, "axis", 0);
    if (x->type.rank < 1 || !nrw_normalize_axis(&axis, x->type.rank) || x->type.dims[axis] < 0)
        return NRW_OK;
    nrw_value *v = EMIT(r, "GATHER", x, indices(r, at, x->type.dims[axis]));
    rule_finish(r, rule_set_int(r, v, "axis", axis));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_gather_nd(rewriting *r, bool *done) {
    if (rule_int(r, "batch_dims", 0) != 0) return NRW_OK;
    rule_finish(r, EMIT(r, "GATHER_ND", rule_in(r, 0), rule_in(r, 1)));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_tile(rewriting *r, bool *done) {
    int64_t times[NRW_MAX_RANK];
    const int n = rule_ints(rule_in(r, 1), times, NRW_MAX_RANK);
    if (n < 0) return NRW_OK;
    rule_finish(r, EMIT(r, "TILE", rule_in(r, 0), vector(r, n, times)));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_expand(rewriting *r, bool *done) {
    const nrw_type *y = &rule_out(r)->type;
    if (!nrw_type_is_static(y)) return NRW_OK;
    rule_finish(r, EMIT(r, "BROADCAST_TO", rule_in(r, 0), vector(r, y->rank, y->dims)));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_where(rewriting *r, bool *done) {
    rule_finish(r, EMIT(r, "SELECT_V2", rule_in(r, 0), rule_in(r, 1), rule_in(r, 2)));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_one_hot(rewriting *r, bool *done) {
    nrw_value *values = rule_in(r, 2);
    int64_t depth, axis = rule_int(r, "axis", -1);
    float off_on[2];
    int64_t n;
    const float *x = nrw_const_floats(values, &n);
    if (x == NULL || n != 2 || rule_ints(rule_in(r, 1), &depth, 1) != 1) return NRW_OK;
    if (!nrw_normalize_axis(&axis, rule_out(r)->type.rank)) return NRW_OK;
    memcpy(off_on, x, sizeof off_on);
    const int32_t d = (int32_t)depth;
    nrw_value *v = EMIT(r, "ONE_HOT", rule_in(r, 0), rule_i32s(r, 0, NULL, &d),
                        rule_f32(r, off_on[1]), rule_f32(r, off_on[0]));
    if (axis == rule_out(r)->type.rank - 1) axis = -1;
    rule_finish(r, rule_set_int(r, v, "axis", axis));
    *done = true;
    return NRW_OK;
}

static nrw_status lower_reverse_sequence(rewriting *r, bool *done) {
    nrw_value *v = EMIT(r, "REVERSE_SEQUENCE", rule_in(r, 0), rule_in(r, 1));
    v = rule_set_int(r, v, "seq_dim", rule_int(r, "time_axis", 0));
    rule_finish(r, rule_set_int(r, v, "batch_dim", rule_int(r, "batch_axis", 1)));
    *done = true;
    return NRW_OK;
}

const nrw_tflite_rule nrw_tflite_lower_move_rules[] = {
    {"Reshape", lower_shape},
    {"Flatten", lower_shape},
    {"Squeeze", lower_shape},
    {"Unsqueeze", lower_shape},
    {"Transpose", lower_transpose},
    {"Concat", lower_concat},
    {"Split", lower_split},
    {"Slice", lower_slice},
    {"Pad", lower_pad},
    {"Gather", lower_gather},
    {"GatherND", lower_gather_nd},
    {"Tile", lower_tile},
    {"Expand", lower_expand},
    {"Where", lower_where},
    {"OneHot", lower_one_hot},
    {"ReverseSequence", lower_reverse_sequence},
    {NULL, NULL},
};
