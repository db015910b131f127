/* Sequences and optionals. A sequence's elements lie in memory that lives through the run, so that
 * one sequence made from another shares them. */
#include <string.h>

#include "ops/move.h"

static nrw_type sequence_of(nrw_type t) {
    t.kind = NRW_SEQUENCE;
    return t;
}

static nrw_status need_sequence(nrw_infer *c, int i) {
    if (c->in[i]->kind == NRW_SEQUENCE || c->in[i]->dtype == NRW_NONE) return NRW_OK;
    NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d: a sequence is expected", i);
}

/* Output 0 becomes a sequence of n elements, which the caller fills in. */
static nrw_status new_sequence(nrw_eval *e, nrw_dtype dtype, int64_t n) {
    size_t bytes;
    if (!nrw_mul_size((size_t)n + 1, sizeof(nrw_tensor), &bytes)) NRW_OOM(e->err);
    nrw_tensor *elements = e->host->bytes(e->host, bytes);
    if (elements == NULL) NRW_OOM(e->err);
    memset(elements, 0, bytes);
    e->out[0] = (nrw_tensor){.kind = NRW_SEQUENCE,
                             .dtype = dtype,
                             .rank = NRW_RANK_UNKNOWN,
                             .elements = elements,
                             .n_elements = n};
    return NRW_OK;
}

/* Memory for an element of this shape. */
static nrw_status new_element(nrw_eval *e, nrw_dtype dtype, int rank, const int64_t *dims,
                              nrw_tensor *out) {
    size_t bytes;
    NRW_TRY(nrw_checked_bytes(dtype, rank, dims, &bytes, e->err));
    *out = nrw_tensor_make(dtype, rank, dims, e->host->bytes(e->host, bytes > 0 ? bytes : 1));
    if (out->data == NULL) NRW_OOM(e->err);
    return NRW_OK;
}

/* Reads an optional position input, in [-n, limit). */
static nrw_status read_position(nrw_eval *e, int i, int64_t n, int64_t limit, int64_t *at) {
    if (!nrw_has_input(e, i)) return NRW_OK;
    NRW_TRY(nrw_read_int(e, i, "position", at));
    if (*at < -n || *at >= limit)
        NRW_FAIL(e->err, NRW_ERR_DATA, "input %d (position): %lld in a sequence of %lld", i,
                 (long long)*at, (long long)n);
    if (*at < 0) *at += n;
    return NRW_OK;
}

static nrw_status construct_infer(nrw_infer *c) {
    nrw_type t = *c->in[0];
    for (int i = 1; i < c->n_in; i++) {
        if (c->in[i] == NULL) NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d is left out", i);
        if (c->in[i]->dtype != NRW_NONE && c->in[0]->dtype != NRW_NONE &&
            c->in[i]->dtype != c->in[0]->dtype)
            NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d: %s among %s", i,
                     nrw_dtype_get(c->in[i]->dtype)->title, nrw_dtype_get(c->in[0]->dtype)->title);
        t = nrw_type_common(&t, c->in[i]);
    }
    c->out[0] = sequence_of(t);
    return NRW_OK;
}

static nrw_status construct_run(nrw_eval *e) {
    NRW_TRY(new_sequence(e, e->in[0]->dtype, e->n_in));
    for (int i = 0; i < e->n_in; i++) {
        NRW_TRY(nrw_host_keep(e, e->in[i], &e->out[0].elements[i]));
    }
    return NRW_OK;
}

static nrw_status empty_infer(nrw_infer *c) {
    c->out[0] = sequence_of(nrw_type_unknown());
    int64_t code = nrw_attr_int(c->node, "dtype", 1);
    c->out[0].dtype = nrw_dtype_from_onnx((int)code);
    if (c->out[0].dtype == NRW_NONE)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "dtype: no type %lld", (long long)code);
    return NRW_OK;
}

static nrw_status empty_run(nrw_eval *e) {
    return new_sequence(e, nrw_dtype_from_onnx((int)nrw_attr_int(e->node, "dtype", 1)), 0);
}

static nrw_status at_infer(nrw_infer *c) {
    NRW_TRY(need_sequence(c, 0));
    c->out[0] = *c->in[0];
    c->out[0].kind = NRW_TENSOR;
    return NRW_OK;
}

static nrw_status at_run(nrw_eval *e) {
    const nrw_tensor *s = e->in[0];
    int64_t at = 0;
    NRW_TRY(read_position(e, 1, s->n_elements, s->n_elements, &at));
    return nrw_eval_give(e, 0, &s->elements[at]);
}

static nrw_status insert_infer(nrw_infer *c) {
    NRW_TRY(need_sequence(c, 0));
    nrw_type element = sequence_of(*c->in[1]);
    if (c->in[0]->dtype != NRW_NONE && c->in[1]->dtype != NRW_NONE &&
        c->in[0]->dtype != c->in[1]->dtype)
        NRW_FAIL_INPUT(c, 1, "tensor", "%s into a sequence of %s",
                       nrw_dtype_get(c->in[1]->dtype)->title,
                       nrw_dtype_get(c->in[0]->dtype)->title);
    c->out[0] = nrw_type_common(c->in[0], &element);
    c->out[0].kind = NRW_SEQUENCE;
    return NRW_OK;
}

static nrw_status insert_run(nrw_eval *e) {
    const nrw_tensor *s = e->in[0];
    int64_t n = s->n_elements, at = n;
    NRW_TRY(read_position(e, 2, n, n + 1, &at));
    NRW_TRY(new_sequence(e, e->in[1]->dtype, n + 1));
    nrw_tensor *to = e->out[0].elements;
    if (at > 0) memcpy(to, s->elements, (size_t)at * sizeof *to);
    if (n > at) memcpy(to + at + 1, s->elements + at, (size_t)(n - at) * sizeof *to);
    return nrw_host_keep(e, e->in[1], &to[at]);
}

static nrw_status erase_infer(nrw_infer *c) {
    NRW_TRY(need_sequence(c, 0));
    c->out[0] = *c->in[0];
    return NRW_OK;
}

static nrw_status erase_run(nrw_eval *e) {
    const nrw_tensor *s = e->in[0];
    int64_t n = s->n_elements, at = n - 1;
    if (n == 0) NRW_FAIL(e->err, NRW_ERR_DATA, "input 0: the sequence is empty");
    NRW_TRY(read_position(e, 1, n, n, &at));
    NRW_TRY(new_sequence(e, s->dtype, n - 1));
    nrw_tensor *to = e->out[0].elements;
    if (at > 0) memcpy(to, s->elements, (size_t)at * sizeof *to);
    if (n - 1 > at) memcpy(to + at, s->elements + at + 1, (size_t)(n - 1 - at) * sizeof *to);
    return NRW_OK;
}

static nrw_status length_infer(nrw_infer *c) {
    NRW_TRY(need_sequence(c, 0));
    c->out[0] = nrw_type_make(NRW_I64, 0, NULL);
    return NRW_OK;
}

static nrw_status length_run(nrw_eval *e) {
    *(int64_t *)e->out[0].data = e->in[0]->n_elements;
    return NRW_OK;
}

/* Without lengths every element has length 1, and that axis may go. */
static bool drops_axis(const nrw_node *n, bool has_split) {
    return !has_split && nrw_attr_int(n, "keepdims", 1) == 0;
}

static nrw_status split_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    bool has_split = nrw_infer_has(c, 1), drop = drops_axis(c->node, has_split);
    c->out[0] = sequence_of(*in);
    if (in->rank < 0) return NRW_OK;
    if (in->rank == 0) NRW_FAIL_INPUT(c, 0, "input", "a scalar does not split");
    int axis;
    NRW_TRY(nrw_axis_attr(c->node, "axis", 0, in->rank, &axis, c->err));
    c->out[0].dims[axis] = has_split ? NRW_DIM_UNKNOWN : 1;
    if (!drop) return NRW_OK;
    c->out[0].rank--;
    for (int i = axis; i < c->out[0].rank; i++) c->out[0].dims[i] = in->dims[i + 1];
    return NRW_OK;
}

/* The lengths of the parts: given one by one, or one for all but the last, or 1. */
static nrw_status split_lengths(nrw_eval *e, int64_t length, const int64_t **parts, int64_t *n) {
    const int64_t *given = NULL;
    int64_t each = 1, total = 0;
    if (nrw_has_input(e, 1)) NRW_TRY(nrw_read_indices(e, 1, &given));
    if (given != NULL && e->in[1]->rank == 1) {
        *parts = given;
        *n = nrw_tensor_count(e->in[1]);
        for (int64_t i = 0; i < *n; i++) {
            if (given[i] < 0 || given[i] > length - total)
                NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 1 (split): the lengths exceed the axis");
            total += given[i];
        }
        if (total != length)
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 1 (split): the lengths add up to %lld, not %lld",
                     (long long)total, (long long)length);
        return NRW_OK;
    }
    if (given != NULL) each = given[0];
    if (each < 1)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 1 (split): %lld is not positive", (long long)each);
    *n = length / each + (length % each != 0);
    int64_t *even = nrw_arena_calloc(e->scratch, (size_t)*n + 1, sizeof *even);
    if (even == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < *n; i++) {
        even[i] = length < each ? length : each;
        length -= even[i];
    }
    *parts = even;
    return NRW_OK;
}

static nrw_status split_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    int axis;
    NRW_TRY(nrw_axis_attr(e->node, "axis", 0, in->rank, &axis, e->err));
    const int64_t *parts = NULL;
    int64_t n = 0, at = 0;
    NRW_TRY(split_lengths(e, in->dims[axis], &parts, &n));
    NRW_TRY(new_sequence(e, in->dtype, n));
    bool drop = drops_axis(e->node, nrw_has_input(e, 1));
    for (int64_t i = 0; i < n; i++) {
        nrw_tensor *part = &e->out[0].elements[i];
        int64_t dims[NRW_MAX_RANK];
        memcpy(dims, in->dims, sizeof dims);
        dims[axis] = parts[i];
        NRW_TRY(new_element(e, in->dtype, in->rank, dims, part));
        nrw_move_part(e->pool, in, part, axis, at, false);
        at += parts[i];
        if (!drop) continue;
        part->rank--;
        for (int k = axis; k < part->rank; k++) part->dims[k] = dims[k + 1];
    }
    return NRW_OK;
}

static nrw_status join_infer(nrw_infer *c) {
    NRW_TRY(need_sequence(c, 0));
    const nrw_type *in = c->in[0];
    bool stack = nrw_attr_int(c->node, "new_axis", 0) != 0;
    NRW_TRY(nrw_infer_rank(c, in->rank < 0 ? NRW_RANK_UNKNOWN : in->rank + stack));
    if (in->rank < 0) return NRW_OK;
    int axis;
    NRW_TRY(nrw_axis_attr(c->node, "axis", 0, in->rank + stack, &axis, c->err));
    for (int i = 0; i < in->rank; i++) {
        int k = stack && i >= axis ? i + 1 : i;
        if (k != axis) c->out[0].dims[k] = in->dims[i];
    }
    return NRW_OK;
}

/* A view of an element with the axis to join along in it. */
static nrw_tensor joinable(const nrw_tensor *t, int axis, bool stack) {
    nrw_tensor view = *t;
    if (!stack) return view;
    for (int i = view.rank; i > axis; i--) view.dims[i] = view.dims[i - 1];
    view.dims[axis] = 1;
    view.rank++;
    return view;
}

static nrw_status join_run(nrw_eval *e) {
    const nrw_tensor *s = e->in[0];
    if (s->n_elements == 0) NRW_FAIL(e->err, NRW_ERR_DATA, "input 0: the sequence is empty");
    bool stack = nrw_attr_int(e->node, "new_axis", 0) != 0;
    int axis, rank = s->elements[0].rank + stack;
    if (rank > NRW_MAX_RANK) NRW_FAIL(e->err, NRW_ERR_SHAPE, "the result would have %d axes", rank);
    NRW_TRY(nrw_axis_attr(e->node, "axis", 0, rank, &axis, e->err));
    nrw_tensor whole = joinable(&s->elements[0], axis, stack);
    for (int64_t i = 1; i < s->n_elements; i++) {
        if (s->elements[i].rank + stack != rank || s->elements[i].dtype != whole.dtype)
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "element %lld is of another kind than the first",
                     (long long)i);
        nrw_tensor part = joinable(&s->elements[i], axis, stack);
        for (int k = 0; k < rank; k++) {
            if (k != axis && part.dims[k] != whole.dims[k])
                NRW_FAIL(e->err, NRW_ERR_SHAPE, "element %lld differs in axis %d", (long long)i, k);
        }
        if (__builtin_add_overflow(whole.dims[axis], part.dims[axis], &whole.dims[axis]))
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "axis %d grows past 2^63", axis);
    }
    NRW_TRY(nrw_eval_alloc(e, 0, whole.dtype, rank, whole.dims));
    int64_t at = 0;
    for (int64_t i = 0; i < s->n_elements; i++) {
        nrw_tensor part = joinable(&s->elements[i], axis, stack);
        nrw_move_part(e->pool, &e->out[0], &part, axis, at, true);
        at += part.dims[axis];
    }
    return NRW_OK;
}

static bool is_sequence(nrw_kind k) {
    return k == NRW_SEQUENCE || k == NRW_OPTIONAL_SEQUENCE;
}

static bool holds_nothing(const nrw_tensor *t) {
    return t->kind >= NRW_OPTIONAL_TENSOR && t->data == NULL && t->elements == NULL &&
           t->dtype == NRW_NONE;
}

static nrw_status optional_infer(nrw_infer *c) {
    if (nrw_infer_has(c, 0)) c->out[0] = *c->in[0];
    c->out[0].kind = is_sequence(c->out[0].kind) ? NRW_OPTIONAL_SEQUENCE : NRW_OPTIONAL_TENSOR;
    return NRW_OK;
}

static nrw_status optional_run(nrw_eval *e) {
    e->out[0] = (nrw_tensor){.kind = NRW_OPTIONAL_TENSOR};
    if (!nrw_has_input(e, 0)) return NRW_OK;
    NRW_TRY(nrw_host_keep(e, e->in[0], &e->out[0]));
    e->out[0].kind = is_sequence(e->in[0]->kind) ? NRW_OPTIONAL_SEQUENCE : NRW_OPTIONAL_TENSOR;
    return NRW_OK;
}

static nrw_status get_element_infer(nrw_infer *c) {
    c->out[0] = *c->in[0];
    c->out[0].kind = is_sequence(c->in[0]->kind) ? NRW_SEQUENCE : NRW_TENSOR;
    return NRW_OK;
}

static nrw_status get_element_run(nrw_eval *e) {
    if (holds_nothing(e->in[0])) NRW_FAIL(e->err, NRW_ERR_DATA, "input 0: the optional is empty");
    nrw_tensor t = *e->in[0];
    t.kind = is_sequence(t.kind) ? NRW_SEQUENCE : NRW_TENSOR;
    return nrw_eval_give(e, 0, &t);
}

static nrw_status has_element_infer(nrw_infer *c) {
    c->out[0] = nrw_type_make(NRW_BOOL, 0, NULL);
    return NRW_OK;
}

static nrw_status has_element_run(nrw_eval *e) {
    *(bool *)e->out[0].data = nrw_has_input(e, 0) && !holds_nothing(e->in[0]);
    return NRW_OK;
}

static const nrw_attr_def empty_attrs[] = {{"dtype", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def split_attrs[] = {
    {"axis", NRW_ATTR_INT, false}, {"keepdims", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def join_attrs[] = {
    {"axis", NRW_ATTR_INT, true}, {"new_axis", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def optional_attrs[] = {{"type", NRW_ATTR_RAW, false}, {0}};

static const nrw_case construct_cases[] = {{"graph main(%a: f32[2], %b: f32[2]) { "
                                            "  %s: seq(f32[2]) = SequenceConstruct(%a, %b) "
                                            "  %y: f32[4] = ConcatFromSequence(%s) {axis=0} "
                                            "  return %y } ",
                                            -1, 1},
                                           {0}};
static const nrw_op construct_row = {
    .name = "SequenceConstruct",
    .domain = "",
    .min_in = 1,
    .max_in = -1,
    .min_out = 1,
    .max_out = 1,
    .infer = construct_infer,
    .reference = construct_run,
    .onnx = {"SequenceConstruct", 11},
    .takes_sequences = true,
    .cases = construct_cases,
};
static const nrw_case empty_cases[] = {{"graph main() { "
                                        "  %s: seq(f32[...]) = SequenceEmpty() "
                                        "  %y: i64[] = SequenceLength(%s) "
                                        "  return %y } ",
                                        -1, 1},
                                       {0}};
static const nrw_op empty_row = {
    .name = "SequenceEmpty",
    .domain = "",
    .min_in = 0,
    .max_in = 0,
    .min_out = 1,
    .max_out = 1,
    .attrs = empty_attrs,
    .infer = empty_infer,
    .reference = empty_run,
    .onnx = {"SequenceEmpty", 11},
    .takes_sequences = true,
    .cases = empty_cases,
};
static const nrw_case at_cases[] = {{"graph main(%a: f32[2], %b: f32[3]) { "
                                     "  const %i: i64[] = [-1] "
                                     "  %s: seq(f32[?]) = SequenceConstruct(%a, %b) "
                                     "  %y: f32[?] = SequenceAt(%s, %i) "
                                     "  return %y } ",
                                     -1, 1},
                                    {0}};
static const nrw_op at_row = {
    .name = "SequenceAt",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .infer = at_infer,
    .reference = at_run,
    .onnx = {"SequenceAt", 11},
    .takes_sequences = true,
    .cases = at_cases,
};
static const nrw_case insert_cases[] = {
    {"graph main(%a: f32[2], %b: f32[2]) { "
     "  const %i: i64[] = [0] "
     "  %s: seq(f32[2]) = SequenceConstruct(%a) "
     "  %t: seq(f32[2]) = SequenceInsert(%s, %b, %i) "
     "  %y: f32[2,2] = ConcatFromSequence(%t) {axis=0, new_axis=1} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op insert_row = {
    .name = "SequenceInsert",
    .domain = "",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .infer = insert_infer,
    .reference = insert_run,
    .onnx = {"SequenceInsert", 11},
    .takes_sequences = true,
    .cases = insert_cases,
};
static const nrw_case erase_cases[] = {{"graph main(%a: f32[2], %b: f32[2]) { "
                                        "  const %i: i64[] = [0] "
                                        "  %s: seq(f32[2]) = SequenceConstruct(%a, %b) "
                                        "  %t: seq(f32[2]) = SequenceErase(%s, %i) "
                                        "  %y: f32[2] = ConcatFromSequence(%t) {axis=0} "
                                        "  return %y } ",
                                        -1, 1},
                                       {0}};
static const nrw_op erase_row = {
    .name = "SequenceErase",
    .domain = "",
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .infer = erase_infer,
    .reference = erase_run,
    .onnx = {"SequenceErase", 11},
    .takes_sequences = true,
    .cases = erase_cases,
};
static const nrw_case length_cases[] = {{"graph main(%a: f32[2]) { "
                                         "  %s: seq(f32[2]) = SequenceConstruct(%a, %a, %a) "
                                         "  %y: i64[] = SequenceLength(%s) "
                                         "  return %y } ",
                                         -1, 1},
                                        {0}};
static const nrw_op length_row = {
    .name = "SequenceLength",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = length_infer,
    .reference = length_run,
    .onnx = {"SequenceLength", 11},
    .takes_sequences = true,
    .cases = length_cases,
};
static const nrw_case split_cases[] = {{"graph main(%x: f32[2,5]) { "
                                        "  const %n: i64[] = [2] "
                                        "  %s: seq(f32[2,?]) = SplitToSequence(%x, %n) {axis=1} "
                                        "  %y: f32[2,?] = ConcatFromSequence(%s) {axis=1} "
                                        "  return %y } ",
                                        -1, 1},
                                       {0}};
static const nrw_op split_row = {
    .name = "SplitToSequence",
    .domain = "",
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .attrs = split_attrs,
    .infer = split_infer,
    .reference = split_run,
    .onnx = {"SplitToSequence", 11},
    .takes_sequences = true,
    .cases = split_cases,
};
static const nrw_case join_cases[] = {
    {"graph main(%x: f32[3,2]) { "
     "  %s: seq(f32[2]) = SplitToSequence(%x) {keepdims=0} "
     "  %y: f32[2,?] = ConcatFromSequence(%s) {axis=-1, new_axis=1} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op join_row = {
    .name = "ConcatFromSequence",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = join_attrs,
    .infer = join_infer,
    .reference = join_run,
    .onnx = {"ConcatFromSequence", 11},
    .takes_sequences = true,
    .cases = join_cases,
};
static const nrw_case optional_cases[] = {{"graph main(%x: f32[2]) { "
                                           "  %o: optional(f32[2]) = Optional(%x) "
                                           "  %y: f32[2] = OptionalGetElement(%o) "
                                           "  return %y } ",
                                           -1, 1},
                                          {0}};
static const nrw_op optional_row = {
    .name = "Optional",
    .domain = "",
    .min_in = 0,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = optional_attrs,
    .infer = optional_infer,
    .reference = optional_run,
    .onnx = {"Optional", 15},
    .takes_sequences = true,
    .cases = optional_cases,
};
static const nrw_case get_element_cases[] = {{"graph main(%x: f32[2]) { "
                                              "  %y: f32[2] = OptionalGetElement(%x) "
                                              "  return %y } ",
                                              -1, 1},
                                             {0}};
static const nrw_op get_element_row = {
    .name = "OptionalGetElement",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = get_element_infer,
    .reference = get_element_run,
    .onnx = {"OptionalGetElement", 15},
    .takes_sequences = true,
    .cases = get_element_cases,
};
static const nrw_case has_element_cases[] = {{"graph main(%x: f32[2]) { "
                                              "  %o: optional(f32[2]) = Optional(%x) "
                                              "  %a: bool[] = OptionalHasElement(%o) "
                                              "  %b: bool[] = OptionalHasElement() "
                                              "  return %a, %b } ",
                                              -1, 1},
                                             {0}};
static const nrw_op has_element_row = {
    .name = "OptionalHasElement",
    .domain = "",
    .min_in = 0,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = has_element_infer,
    .reference = has_element_run,
    .onnx = {"OptionalHasElement", 15},
    .takes_sequences = true,
    .cases = has_element_cases,
};

NRW_OPS(sequence, &construct_row, &empty_row, &at_row, &insert_row, &erase_row, &length_row,
        &split_row, &join_row, &optional_row, &get_element_row, &has_element_row);
