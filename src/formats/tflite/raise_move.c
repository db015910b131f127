/* Elements moved as they are: shapes, joining, cutting, padding, images to blocks and back. */
#include <string.h>

#include "formats/tflite/rule.h"
#include "passes/match.h"

static nrw_status raise_reshape(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *shape = rule_in(r, 1);
    int64_t n = 0;
    const int64_t *dims = nrw_attr_ints(r->node, "new_shape", &n);
    nrw_value *wanted;
    *done = true;
    /* ONNX takes a 0 in a shape for "as it was" unless told otherwise. */
    if (shape != NULL && shape->type.rank == 1)
        wanted = rule_to_i64(r, shape);
    else /* a single 0 is how a scalar was spelled */
        wanted = rule_i64s(r, n == 1 && dims[0] == 0 ? 0 : n, dims);
    rule_finish(r, rule_set_int(r, EMIT(r, "Reshape", x, wanted), "allowzero", 1));
    return NRW_OK;
}

static nrw_status raise_squeeze(rewriting *r, bool *done) {
    int64_t n = 0;
    const int64_t *dims = nrw_attr_ints(r->node, "squeeze_dims", &n);
    rule_finish(r, EMIT(r, "Squeeze", rule_in(r, 0), n > 0 ? rule_i64s(r, n, dims) : NULL));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_expand_dims(rewriting *r, bool *done) {
    int64_t axis;
    if (rule_ints(rule_in(r, 1), &axis, 1) != 1) return NRW_OK;
    rule_finish(r, rule_unsqueeze(r, rule_in(r, 0), axis));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_transpose(rewriting *r, bool *done) {
    int64_t perm[NRW_MAX_RANK];
    const int n = rule_ints(rule_in(r, 1), perm, NRW_MAX_RANK);
    if (n < 1) return NRW_OK;
    for (int i = 0; i < n; i++) {
        if (perm[i] < 0) perm[i] += n;
    }
    rule_finish(r, rule_set_ints(r, EMIT(r, "Transpose", rule_in(r, 0)), "perm", n, perm));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_concatenation(rewriting *r, bool *done) {
    if (!rule_knows_activation(r)) return NRW_OK;
    nrw_value *v = rule_emit(r, "Concat", r->node->n_inputs, r->node->inputs);
    v = rule_set_int(r, v, "axis", rule_int(r, "axis", 0));
    rule_finish_activated(r, v);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_pack(rewriting *r, bool *done) {
    const int n = r->node->n_inputs;
    const int64_t axis = rule_int(r, "axis", 0);
    nrw_value **in = nrw_arena_calloc(r->scratch, (size_t)n + 1, sizeof *in);
    if (in == NULL) NRW_OOM(r->err);
    for (int i = 0; i < n; i++) in[i] = rule_unsqueeze(r, rule_in(r, i), axis);
    rule_finish(r, rule_set_int(r, rule_emit(r, "Concat", n, in), "axis", axis));
    *done = true;
    return NRW_OK;
}

/* Output i of a Split into the node's outputs. */
static nrw_value *split(rewriting *r, nrw_value *x, int64_t axis, nrw_value *sizes) {
    nrw_value *v = EMIT(r, "Split", x, sizes);
    if (sizes == NULL) v = rule_set_int(r, v, "num_outputs", r->node->n_outputs);
    return rule_set_int(r, v, "axis", axis);
}

static nrw_status finish_split(rewriting *r, nrw_value *first) {
    nrw_value **parts = nrw_arena_calloc(r->scratch, (size_t)r->node->n_outputs, sizeof *parts);
    if (parts == NULL) NRW_OOM(r->err);
    parts[0] = first;
    for (int i = r->node->n_outputs - 1; i > 0; i--) parts[i] = rule_second(r, first, i);
    for (int i = 0; i < r->node->n_outputs; i++) rule_finish_output(r, i, parts[i]);
    return NRW_OK;
}

static nrw_status raise_split(rewriting *r, bool *done) {
    int64_t axis;
    if (rule_ints(rule_in(r, 0), &axis, 1) != 1) return NRW_OK;
    *done = true;
    return finish_split(r, split(r, rule_in(r, 1), axis, NULL));
}

static nrw_status raise_split_v(rewriting *r, bool *done) {
    enum { most = 256 };
    int64_t axis, sizes[most], length;
    nrw_value *x = rule_in(r, 0);
    const int n = rule_ints(rule_in(r, 1), sizes, most);
    if (rule_ints(rule_in(r, 2), &axis, 1) != 1 || n != r->node->n_outputs) return NRW_OK;
    if (x->type.rank < 1 || !nrw_normalize_axis(&axis, x->type.rank)) return NRW_OK;
    length = x->type.dims[axis];
    for (int i = 0; i < n; i++) {
        if (sizes[i] > length && length >= 0) return NRW_OK;
        length -= sizes[i] > 0 && length >= 0 ? sizes[i] : 0;
    }
    for (int i = 0; i < n; i++) {
        if (sizes[i] >= 0) continue;
        if (length < 0) return NRW_OK; /* what is left is not known */
        sizes[i] = length;
    }
    *done = true;
    return finish_split(r, split(r, x, axis, rule_i64s(r, n, sizes)));
}

static nrw_status raise_unpack(rewriting *r, bool *done) {
    const int64_t axis = rule_int(r, "axis", 0);
    *done = true;
    for (int i = 0; i < r->node->n_outputs; i++) {
        if (r->node->outputs[i] == NULL) continue;
        nrw_value *v = EMIT(r, "Gather", rule_in(r, 0), rule_i64(r, i));
        rule_finish_output(r, i, rule_set_int(r, v, "axis", axis));
    }
    return NRW_OK;
}

/* A size of -1 is all that is left. */
static nrw_status raise_slice(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *begin = rule_in(r, 1), *size = rule_in(r, 2);
    int64_t from[NRW_MAX_RANK], count[NRW_MAX_RANK];
    const int n = rule_ints(begin, from, NRW_MAX_RANK);
    const int m = rule_ints(size, count, NRW_MAX_RANK);
    if (x->type.rank == NRW_RANK_UNKNOWN) return NRW_OK;
    *done = true;
    if (n == m && n > 0) {
        for (int i = 0; i < n; i++) {
            if (count[i] < 0 || __builtin_add_overflow(from[i], count[i], &count[i]))
                count[i] = INT64_MAX;
        }
        rule_finish(r, EMIT(r, "Slice", x, rule_i64s(r, n, from), rule_i64s(r, n, count)));
        return NRW_OK;
    }
    nrw_value *start = rule_to_i64(r, begin), *length = rule_to_i64(r, size);
    nrw_value *rest = EMIT(r, "Less", length, rule_i64(r, 0));
    nrw_value *end = EMIT(r, "Where", rest, rule_i64(r, INT64_MAX), EMIT(r, "Add", start, length));
    rule_finish(r, EMIT(r, "Slice", x, start, end));
    return NRW_OK;
}

/* lite/kernels/strided_slice.cc. The masks' bits count the entries of begin; an ellipsis stands for
 * all axes that the other entries leave. */
typedef struct strided {
    int entries, rank;
    int64_t begin[NRW_MAX_RANK], end[NRW_MAX_RANK], step[NRW_MAX_RANK];
    int n_axes, n_new, n_gone;
    int64_t axes[NRW_MAX_RANK], from[NRW_MAX_RANK], to[NRW_MAX_RANK], by[NRW_MAX_RANK];
    int64_t new_axes[NRW_MAX_RANK], gone[NRW_MAX_RANK];
    int64_t begin_mask, end_mask, ellipsis, new_mask, shrink;
} strided;

static bool has_bit(int64_t mask, int i) {
    return (mask >> i & 1) != 0;
}

static void add_axis(strided *s, int i, int axis) {
    const bool back = s->step[i] < 0, gone = has_bit(s->shrink, i);
    int64_t from = s->begin[i], to = s->end[i], by = s->step[i];
    if (has_bit(s->begin_mask, i) && !gone) from = back ? INT64_MAX : 0;
    if (has_bit(s->end_mask, i)) to = back ? INT64_MIN : INT64_MAX;
    if (gone) {
        by = 1;
        to = from == -1 || from == INT64_MAX ? INT64_MAX : from + 1;
    }
    s->axes[s->n_axes] = axis;
    s->from[s->n_axes] = from;
    s->to[s->n_axes] = to;
    s->by[s->n_axes++] = by;
    if (gone) s->gone[s->n_gone++] = axis;
}

static bool plan_strided(strided *s) {
    int others = 0, axis = 0, made = 0;
    for (int i = 0; i < s->entries; i++) {
        if (!has_bit(s->ellipsis, i) && !has_bit(s->new_mask, i)) others++;
    }
    for (int i = 0; i < s->entries; i++) {
        if (has_bit(s->ellipsis, i)) {
            if (others > s->rank) return false;
            axis += s->rank - others;
            made += s->rank - others;
        } else if (has_bit(s->new_mask, i)) {
            s->new_axes[s->n_new++] = made++;
        } else {
            if (axis >= s->rank || s->step[i] == 0) return false;
            if (!has_bit(s->shrink, i)) made++;
            add_axis(s, i, axis++);
        }
    }
    return true;
}

/* Ends that are computed: what masks leave out gets the axis' own, and one element is what is left
 * of an axis that goes. */
static nrw_status raise_open_slice(rewriting *r, strided *s, bool *done) {
    nrw_value *x = rule_in(r, 0);
    const int n = s->entries;
    int64_t begin_out[NRW_MAX_RANK], end_out[NRW_MAX_RANK], gone_mask[NRW_MAX_RANK];
    int64_t lowest[NRW_MAX_RANK], highest[NRW_MAX_RANK], axes[NRW_MAX_RANK];
    if (s->ellipsis != 0 || s->new_mask != 0 || rule_int(r, "offset", 0) != 0 || n > s->rank)
        return NRW_OK;
    for (int i = 0; i < n; i++) {
        const bool gone = has_bit(s->shrink, i);
        begin_out[i] = has_bit(s->begin_mask, i) && !gone;
        end_out[i] = has_bit(s->end_mask, i) && !gone;
        gone_mask[i] = gone;
        lowest[i] = s->step[i] < 0 ? INT64_MAX : 0;
        highest[i] = s->step[i] < 0 ? INT64_MIN : INT64_MAX;
        axes[i] = i;
        if (gone) s->gone[s->n_gone++] = i;
    }
    nrw_value *one = rule_i64(r, 1);
    nrw_value *from = EMIT(r, "Where", rule_cast(r, rule_i64s(r, n, begin_out), NRW_BOOL),
                           rule_i64s(r, n, lowest), rule_to_i64(r, rule_in(r, 1)));
    nrw_value *to = EMIT(r, "Where", rule_cast(r, rule_i64s(r, n, end_out), NRW_BOOL),
                         rule_i64s(r, n, highest), rule_to_i64(r, rule_in(r, 2)));
    nrw_value *next = EMIT(r, "Add", from, one); /* behind the last element that is 0, not -1 + 1 */
    next = EMIT(r, "Where", EMIT(r, "Equal", next, rule_i64(r, 0)), rule_i64(r, INT64_MAX), next);
    to = EMIT(r, "Where", rule_cast(r, rule_i64s(r, n, gone_mask), NRW_BOOL), next, to);
    nrw_value *v = rule_quant_as(
        r, EMIT(r, "Slice", x, from, to, rule_i64s(r, n, axes), rule_i64s(r, n, s->step)), x);
    if (s->n_gone > 0) v = EMIT(r, "Squeeze", v, rule_i64s(r, s->n_gone, s->gone));
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_strided_slice(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    strided s = {.rank = x->type.rank,
                 .begin_mask = rule_int(r, "begin_mask", 0),
                 .end_mask = rule_int(r, "end_mask", 0),
                 .ellipsis = rule_int(r, "ellipsis_mask", 0),
                 .new_mask = rule_int(r, "new_axis_mask", 0),
                 .shrink = rule_int(r, "shrink_axis_mask", 0)};
    s.entries = rule_ints(rule_in(r, 3), s.step, NRW_MAX_RANK);
    if (s.entries < 1 || s.rank < 0) return NRW_OK;
    if (rule_ints(rule_in(r, 1), s.begin, NRW_MAX_RANK) != s.entries ||
        rule_ints(rule_in(r, 2), s.end, NRW_MAX_RANK) != s.entries)
        return raise_open_slice(r, &s, done);
    if (rule_int(r, "offset", 0) != 0) {
        for (int i = 0; i < s.entries; i++) {
            if (__builtin_add_overflow(s.end[i], s.begin[i], &s.end[i])) return NRW_OK;
        }
    }
    if (!plan_strided(&s)) return NRW_OK;
    nrw_value *v = x;
    if (s.n_axes > 0) {
        v = EMIT(r, "Slice", v, rule_i64s(r, s.n_axes, s.from), rule_i64s(r, s.n_axes, s.to),
                 rule_i64s(r, s.n_axes, s.axes), rule_i64s(r, s.n_axes, s.by));
        v = rule_quant_as(r, v, x);
    }
    if (s.n_gone > 0)
        v = rule_quant_as(r, EMIT(r, "Squeeze", v, rule_i64s(r, s.n_gone, s.gone)), x);
    if (s.n_new > 0) v = EMIT(r, "Unsqueeze", v, rule_i64s(r, s.n_new, s.new_axes));
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

/* Paddings come as [rank, 2]; ONNX wants all that is added before, then all that is added after. */
static nrw_value *pads(rewriting *r, nrw_value *p) {
    int64_t list[2 * NRW_MAX_RANK], sorted[2 * NRW_MAX_RANK];
    const int n = rule_ints(p, list, 2 * NRW_MAX_RANK);
    if (n < 0) {
        nrw_value *t = rule_set_ints(r, EMIT(r, "Transpose", rule_to_i64(r, p)), "perm", 2,
                                     (const int64_t[]){1, 0});
        return rule_reshape(r, t, 1, (const int64_t[]){-1});
    }
    for (int i = 0; i < n / 2; i++) {
        sorted[i] = list[2 * i];
        sorted[n / 2 + i] = list[2 * i + 1];
    }
    return rule_i64s(r, n / 2 * 2, sorted);
}

static nrw_status raise_pad(rewriting *r, bool *done) {
    nrw_value *fill = rule_in(r, 2);
    if (fill != NULL && fill->type.rank == 1)
        fill = rule_quant_as(r, EMIT(r, "Squeeze", fill), fill);
    nrw_value *v = EMIT(r, "Pad", rule_in(r, 0), pads(r, rule_in(r, 1)), fill);
    rule_finish(r, rule_set_str(r, v, "mode", "constant"));
    *done = true;
    return NRW_OK;
}

enum { MOST_PICKED = 1 << 22 };

/* SYMMETRIC repeats the border element, which ONNX's modes do not: rows are picked axis by axis. */
static nrw_status raise_symmetric_pad(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *v = x;
    int64_t list[2 * NRW_MAX_RANK];
    const int n = rule_ints(rule_in(r, 1), list, 2 * NRW_MAX_RANK), rank = x->type.rank;
    if (rank < 0 || n != 2 * rank || !rule_is_static(x)) return NRW_OK;
    for (int i = 0; i < rank; i++) {
        const int64_t before = list[2 * i], after = list[2 * i + 1], length = x->type.dims[i];
        if (before == 0 && after == 0) continue;
        if (before < 0 || after < 0 || before > length || after > length || length > MOST_PICKED)
            return NRW_OK;
        int64_t *rows =
            nrw_arena_calloc(r->scratch, (size_t)(before + length + after), sizeof *rows);
        if (rows == NULL) NRW_OOM(r->err);
        for (int64_t k = -before; k < length + after; k++)
            rows[before + k] = k < 0 ? -1 - k : k < length ? k : 2 * length - 1 - k;
        nrw_value *picked = EMIT(r, "Gather", v, rule_i64s(r, before + length + after, rows));
        v = rule_quant_as(r, rule_set_int(r, picked, "axis", i), x);
    }
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_mirror_pad(rewriting *r, bool *done) {
    if (rule_int(r, "mode", 0) != 0) return raise_symmetric_pad(r, done);
    nrw_value *v = EMIT(r, "Pad", rule_in(r, 0), pads(r, rule_in(r, 1)));
    rule_finish(r, rule_set_str(r, v, "mode", "reflect"));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_tile(rewriting *r, bool *done) {
    rule_finish(r, EMIT(r, "Tile", rule_in(r, 0), rule_to_i64(r, rule_in(r, 1))));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_broadcast_to(rewriting *r, bool *done) {
    rule_finish(r, EMIT(r, "Expand", rule_in(r, 0), rule_to_i64(r, rule_in(r, 1))));
    *done = true;
    return NRW_OK;
}

/* The shape that two shapes broadcast to: that of zeros expanded. */
static nrw_status raise_broadcast_args(rewriting *r, bool *done) {
    nrw_value *a = rule_to_i64(r, rule_in(r, 0)), *b = rule_to_i64(r, rule_in(r, 1));
    nrw_value *shape = rule_shape_of(r, EMIT(r, "Expand", EMIT(r, "ConstantOfShape", a), b));
    const bool narrow = rule_out(r)->type.dtype == NRW_I32;
    rule_finish(r, narrow ? rule_cast(r, shape, NRW_I32) : shape);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_fill(rewriting *r, bool *done) {
    rule_finish(r, EMIT(r, "Expand", rule_in(r, 1), rule_to_i64(r, rule_in(r, 0))));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_shape(rewriting *r, bool *done) {
    nrw_value *v = rule_shape_of(r, rule_in(r, 0));
    rule_finish(r, rule_out(r)->type.dtype == NRW_I64 ? v : rule_cast(r, v, NRW_I32));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_rank(rewriting *r, bool *done) {
    rule_finish(r, rule_cast(r, EMIT(r, "Size", rule_shape_of(r, rule_in(r, 0))), NRW_I32));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_reverse(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    int64_t axes[NRW_MAX_RANK], from[NRW_MAX_RANK], to[NRW_MAX_RANK], by[NRW_MAX_RANK];
    const int n = rule_ints(rule_in(r, 1), axes, NRW_MAX_RANK);
    if (n < 1) return NRW_OK;
    for (int i = 0; i < n; i++) {
        from[i] = INT64_MAX;
        to[i] = INT64_MIN;
        by[i] = -1;
    }
    rule_finish(r, EMIT(r, "Slice", x, rule_i64s(r, n, from), rule_i64s(r, n, to),
                        rule_i64s(r, n, axes), rule_i64s(r, n, by)));
    *done = true;
    return NRW_OK;
}

/* ONNX knows batch and time as the first two axes. */
static nrw_status raise_reverse_sequence(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0), *lengths = rule_to_i64(r, rule_in(r, 1));
    int64_t time = rule_int(r, "seq_dim", 0), batch = rule_int(r, "batch_dim", 0);
    const int rank = x->type.rank;
    if (rank < 2 || !nrw_normalize_axis(&time, rank) || !nrw_normalize_axis(&batch, rank) ||
        time == batch)
        return NRW_OK;
    int64_t perm[NRW_MAX_RANK] = {batch, time}, back[NRW_MAX_RANK];
    for (int i = 0, k = 2; i < rank; i++) {
        if (i != batch && i != time) perm[k++] = i;
    }
    for (int i = 0; i < rank; i++) back[perm[i]] = i;
    nrw_value *v = EMIT(r, "ReverseSequence", rule_turn(r, x, rank, perm), lengths);
    v = rule_set_int(r, rule_set_int(r, v, "batch_axis", 0), "time_axis", 1);
    rule_finish(r, rule_turn(r, rule_quant_as(r, v, x), rank, back));
    *done = true;
    return NRW_OK;
}

/* Images. */

static nrw_status raise_depth(rewriting *r, const char *type, bool *done) {
    nrw_value *x = rule_in(r, 0);
    const int64_t block = rule_int(r, "block_size", 0);
    if (x->type.rank != 4 || block < 1) return NRW_OK;
    nrw_value *v = rule_set_int(r, EMIT(r, type, rule_to_first(r, x, 4)), "blocksize", block);
    rule_finish(r, rule_to_last(r, rule_quant_as(r, v, x), 4));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_space_to_depth(rewriting *r, bool *done) {
    return raise_depth(r, "SpaceToDepth", done);
}

static nrw_status raise_depth_to_space(rewriting *r, bool *done) {
    return raise_depth(r, "DepthToSpace", done);
}

enum { most_spatial = 3 };

static bool all_but_batch_known(const nrw_value *x) {
    for (int i = 1; i < x->type.rank; i++) {
        if (x->type.dims[i] < 0) return false;
    }
    return true;
}

/* Blocks of space become images of their own, in front of the batch: padding, then splitting each
 * spatial axis into blocks and places within, then the places first. */
/* Lengths there are integers of 32 bits. */
static bool is_length(int64_t n) {
    return n >= 0 && n <= INT32_MAX;
}

static nrw_status raise_space_to_batch(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    int64_t block[most_spatial], extra[2 * most_spatial], all[2 * NRW_MAX_RANK] = {0};
    int64_t split_dims[NRW_MAX_RANK], perm[NRW_MAX_RANK], merged[NRW_MAX_RANK];
    const int m = rule_ints(rule_in(r, 1), block, most_spatial), rank = x->type.rank;
    if (m < 1 || rule_ints(rule_in(r, 2), extra, 2 * most_spatial) != 2 * m || rank < m + 1 ||
        rank + m > NRW_MAX_RANK || !all_but_batch_known(x))
        return NRW_OK;
    int at = 0;
    split_dims[at++] = x->type.dims[0] < 0 ? -1 : x->type.dims[0];
    merged[0] = split_dims[0];
    for (int i = 0; i < m; i++) {
        if (!is_length(extra[2 * i]) || !is_length(extra[2 * i + 1]) || !is_length(block[i]))
            return NRW_OK;
        const int64_t padded = x->type.dims[1 + i] + extra[2 * i] + extra[2 * i + 1];
        if (block[i] < 1 || padded % block[i] != 0) return NRW_OK;
        all[1 + i] = extra[2 * i];
        all[rank + 1 + i] = extra[2 * i + 1];
        split_dims[at++] = padded / block[i];
        split_dims[at++] = block[i];
        if (merged[0] >= 0 && !nrw_mul_i64(merged[0], block[i], &merged[0])) return NRW_OK;
        merged[1 + i] = padded / block[i];
        perm[i] = 2 + 2 * i;
        perm[m + 1 + i] = 1 + 2 * i;
    }
    perm[m] = 0;
    for (int i = m + 1; i < rank; i++) {
        perm[m + i] = at;
        split_dims[at++] = x->type.dims[i];
        merged[i] = x->type.dims[i];
    }
    nrw_value *v = rule_quant_as(r, EMIT(r, "Pad", x, rule_i64s(r, 2 * rank, all)), x);
    v = rule_turn(r, rule_reshape(r, v, at, split_dims), at, perm);
    rule_finish(r, rule_reshape(r, v, rank, merged));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_batch_to_space(rewriting *r, bool *done) {
    nrw_value *x = rule_in(r, 0);
    int64_t block[most_spatial], crop[2 * most_spatial], from[most_spatial], to[most_spatial];
    int64_t split_dims[NRW_MAX_RANK], perm[NRW_MAX_RANK], merged[NRW_MAX_RANK];
    int64_t axes[most_spatial];
    const int m = rule_ints(rule_in(r, 1), block, most_spatial), rank = x->type.rank;
    if (m < 1 || rule_ints(rule_in(r, 2), crop, 2 * most_spatial) != 2 * m || rank < m + 1 ||
        rank + m > NRW_MAX_RANK || !all_but_batch_known(x))
        return NRW_OK;
    int64_t images = x->type.dims[0];
    for (int i = 0; i < m; i++) {
        if (!is_length(crop[2 * i]) || !is_length(crop[2 * i + 1]) || !is_length(block[i]))
            return NRW_OK;
        if (block[i] < 1 || (images >= 0 && images % block[i] != 0)) return NRW_OK;
        if (images >= 0) images /= block[i];
        split_dims[i] = block[i];
    }
    split_dims[m] = merged[0] = images < 0 ? -1 : images;
    perm[0] = m;
    for (int i = 1; i < rank; i++) {
        split_dims[m + i] = x->type.dims[i];
        merged[i] = x->type.dims[i];
        if (i > m) perm[m + i] = m + i;
    }
    for (int i = 0; i < m; i++) {
        perm[1 + 2 * i] = m + 1 + i;
        perm[2 + 2 * i] = i;
        if (!nrw_mul_i64(merged[1 + i], block[i], &merged[1 + i])) return NRW_OK;
        axes[i] = 1 + i;
        from[i] = crop[2 * i];
        to[i] = merged[1 + i] - crop[2 * i + 1];
    }
    nrw_value *v = rule_turn(r, rule_reshape(r, x, rank + m, split_dims), rank + m, perm);
    v = rule_reshape(r, v, rank, merged);
    rule_finish(
        r, EMIT(r, "Slice", v, rule_i64s(r, m, from), rule_i64s(r, m, to), rule_i64s(r, m, axes)));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_resize(rewriting *r, const char *mode, bool *done) {
    nrw_value *x = rule_in(r, 0), *size = rule_in(r, 1);
    const bool corners = rule_int(r, "align_corners", 0) != 0;
    const bool half = rule_int(r, "half_pixel_centers", 0) != 0;
    const bool nearest = strcmp(mode, "nearest") == 0;
    if (x->type.rank != 4) return NRW_OK;
    nrw_value *first = rule_to_first(r, x, 4);
    nrw_value *front = EMIT(r, "Slice", rule_shape_of(r, first), rule_i64s(r, 1, (int64_t[]){0}),
                            rule_i64s(r, 1, (int64_t[]){2}));
    if (x->type.dims[0] >= 0 && x->type.dims[3] >= 0)
        front = rule_i64s(r, 2, (int64_t[]){x->type.dims[0], x->type.dims[3]});
    nrw_value *sizes = rule_set_int(r, EMIT(r, "Concat", front, rule_to_i64(r, size)), "axis", 0);
    nrw_value *v = EMIT(r, "Resize", first, NULL, NULL, sizes);
    v = rule_set_str(r, v, "mode", mode);
    v = rule_set_str(r, v, "coordinate_transformation_mode",
                     corners ? "align_corners"
                     : half  ? "half_pixel"
                             : "asymmetric");
    if (nearest)
        v = rule_set_str(r, v, "nearest_mode", corners || half ? "round_prefer_ceil" : "floor");
    rule_finish(r, rule_to_last(r, rule_quant_as(r, v, rule_out(r)), 4));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_resize_bilinear(rewriting *r, bool *done) {
    return raise_resize(r, "linear", done);
}

static nrw_status raise_resize_nearest(rewriting *r, bool *done) {
    return raise_resize(r, "nearest", done);
}

const nrw_tflite_rule nrw_tflite_move_rules[] = {
    {"RESHAPE", raise_reshape},
    {"SQUEEZE", raise_squeeze},
    {"EXPAND_DIMS", raise_expand_dims},
    {"TRANSPOSE", raise_transpose},
    {"CONCATENATION", raise_concatenation},
    {"PACK", raise_pack},
    {"SPLIT", raise_split},
    {"SPLIT_V", raise_split_v},
    {"UNPACK", raise_unpack},
    {"SLICE", raise_slice},
    {"STRIDED_SLICE", raise_strided_slice},
    {"PAD", raise_pad},
    {"PADV2", raise_pad},
    {"MIRROR_PAD", raise_mirror_pad},
    {"TILE", raise_tile},
    {"BROADCAST_TO", raise_broadcast_to},
    {"BROADCAST_ARGS", raise_broadcast_args},
    {"FILL", raise_fill},
    {"SHAPE", raise_shape},
    {"RANK", raise_rank},
    {"REVERSE_V2", raise_reverse},
    {"REVERSE_SEQUENCE", raise_reverse_sequence},
    {"SPACE_TO_DEPTH", raise_space_to_depth},
    {"DEPTH_TO_SPACE", raise_depth_to_space},
    {"SPACE_TO_BATCH_ND", raise_space_to_batch},
    {"BATCH_TO_SPACE_ND", raise_batch_to_space},
    {"RESIZE_BILINEAR", raise_resize_bilinear},
    {"RESIZE_NEAREST_NEIGHBOR", raise_resize_nearest},
    {NULL, NULL},
};
