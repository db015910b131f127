/* Operators with bodies: If, Loop, Scan, SequenceMap. Bodies run through the host; what must
 * outlive the next run of a body is copied here. */
#include <string.h>

#include "ops/move.h"

/* A value that a body hands to its next run: two rooms take turns, since the body may read one
 * while its result is copied to the other. */
typedef struct carried {
    nrw_tensor value;
    void *room[2];
    size_t cap[2];
    int turn;
} carried;

static nrw_status carry(nrw_eval *e, carried *c, const nrw_tensor *src) {
    if (src->kind != NRW_TENSOR) return nrw_host_keep(e, src, &c->value);
    size_t bytes = nrw_tensor_bytes(src);
    c->turn ^= 1;
    if (c->cap[c->turn] < bytes + 1) {
        /* A growing value doubles its room, so that all that was outgrown is no more than the last.
         */
        size_t cap = 2 * c->cap[c->turn] > bytes + 1 ? 2 * c->cap[c->turn] : bytes + 1;
        c->room[c->turn] = nrw_arena_alloc(e->scratch, cap);
        if (c->room[c->turn] == NULL) NRW_OOM(e->err);
        c->cap[c->turn] = cap;
    }
    c->value = *src;
    c->value.data = c->room[c->turn];
    if (bytes > 0) memcpy(c->value.data, src->data, bytes);
    return NRW_OK;
}

/* A scan output: what each run of the body added, one after the other. */
typedef struct stack {
    nrw_tensor first; /* dtype and dims of every entry; data unused */
    char *data;
    size_t used, cap;
    int64_t n;
} stack;

static nrw_status push(nrw_eval *e, stack *s, const nrw_tensor *t) {
    if (t->kind != NRW_TENSOR)
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "a scan output that is no tensor");
    if (s->n == 0)
        s->first = *t;
    else if (t->dtype != s->first.dtype ||
             !nrw_dims_equal(t->rank, t->dims, s->first.rank, s->first.dims))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "a scan output changes its shape between iterations");
    size_t bytes = nrw_tensor_bytes(t), need;
    if (!nrw_add_size(s->used, bytes, &need)) NRW_OOM(e->err);
    if (need > s->cap) {
        size_t cap = 2 * s->cap > need ? 2 * s->cap : need;
        char *grown = nrw_arena_alloc(e->scratch, cap);
        if (grown == NULL) NRW_OOM(e->err);
        if (s->used > 0) memcpy(grown, s->data, s->used);
        s->data = grown;
        s->cap = cap;
    }
    if (bytes > 0) memcpy(s->data + s->used, t->data, bytes);
    s->used = need;
    s->n++;
    return NRW_OK;
}

/* Output i becomes the entries of s along a new axis, last first if reverse. type: what the body is
 * known to give, for when it never ran. */
static nrw_status unload(nrw_eval *e, int i, const stack *s, const nrw_type *type, int64_t at_axis,
                         bool reverse) {
    nrw_dtype dtype = s->n > 0 ? s->first.dtype : type->dtype;
    int rank = s->n > 0 ? s->first.rank : type->rank < 0 ? 0 : type->rank;
    const int64_t *inner = s->n > 0 ? s->first.dims : type->dims;
    if (dtype == NRW_NONE)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "output %d: nothing is known of a scan that did not run",
                 i);
    if (rank + 1 > NRW_MAX_RANK)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "output %d would have %d axes", i, rank + 1);
    NRW_TRY(nrw_normalize_axes(&at_axis, 1, rank + 1, "scan_output_axes", e->err));
    int axis = (int)at_axis;
    int64_t dims[NRW_MAX_RANK], strides[NRW_MAX_RANK], own[NRW_MAX_RANK];
    nrw_strides(rank, inner, own);
    for (int k = 0; k <= rank; k++) {
        int from = k < axis ? k : k - 1;
        dims[k] = k == axis ? s->n : inner[from] < 0 ? 0 : inner[from];
        strides[k] = k == axis ? nrw_span(inner, 0, rank) : own[from];
    }
    NRW_TRY(nrw_eval_room(e, i, dtype, rank + 1, dims));
    if (s->used == 0) return NRW_OK;
    int element = nrw_dtype_size(dtype);
    const char *src = s->data;
    if (reverse) {
        src += (s->n - 1) * strides[axis] * element;
        strides[axis] = -strides[axis];
    }
    nrw_move_dense(e->pool, element, rank + 1, dims, e->out[i].data, src, strides);
    return NRW_OK;
}

/* The type of a scan output: what the body gives, with an axis of this length put in. */
static nrw_status stacked_type(const nrw_type *entry, int64_t length, int64_t axis, nrw_type *out,
                               nrw_error *err) {
    *out = *entry;
    if (entry->rank < 0) return NRW_OK;
    if (entry->rank + 1 > NRW_MAX_RANK)
        NRW_FAIL(err, NRW_ERR_SHAPE, "a scan output would have %d axes", entry->rank + 1);
    NRW_TRY(nrw_normalize_axes(&axis, 1, entry->rank + 1, "scan_output_axes", err));
    out->rank++;
    for (int k = out->rank - 1; k > axis; k--) out->dims[k] = entry->dims[k - 1];
    out->dims[axis] = length;
    return NRW_OK;
}

static nrw_status body_of(const nrw_node *n, const char *name, int n_in, int n_out,
                          const nrw_graph **out, nrw_error *err) {
    const nrw_graph *g = nrw_attr_graph(n, name);
    if (g == NULL) NRW_FAIL(err, NRW_ERR_SHAPE, "attribute %s is missing", name);
    if (g->n_inputs != n_in || g->n_outputs != n_out)
        NRW_FAIL(err, NRW_ERR_SHAPE, "%s: expected %d inputs and %d outputs, got %d and %d", name,
                 n_in, n_out, g->n_inputs, g->n_outputs);
    *out = g;
    return NRW_OK;
}

static nrw_status if_infer(nrw_infer *c) {
    const nrw_graph *yes = NULL, *no = NULL;
    NRW_TRY(body_of(c->node, "then_branch", 0, c->n_out, &yes, c->err));
    NRW_TRY(body_of(c->node, "else_branch", 0, c->n_out, &no, c->err));
    for (int i = 0; i < c->n_out; i++) {
        c->out[i] = nrw_type_common(&yes->outputs[i]->type, &no->outputs[i]->type);
    }
    return NRW_OK;
}

static nrw_status read_condition(nrw_eval *e, const nrw_tensor *t, bool *out) {
    if (t->kind != NRW_TENSOR || t->dtype != NRW_BOOL || nrw_tensor_count(t) != 1)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "a condition must be one bool");
    *out = *(const uint8_t *)t->data != 0;
    return NRW_OK;
}

static nrw_status if_run(nrw_eval *e) {
    bool yes = false;
    NRW_TRY(read_condition(e, e->in[0], &yes));
    const nrw_graph *g = NULL;
    NRW_TRY(body_of(e->node, yes ? "then_branch" : "else_branch", 0, e->n_out, &g, e->err));
    nrw_tensor *results = nrw_arena_calloc(e->scratch, (size_t)e->n_out, sizeof *results);
    if (results == NULL) NRW_OOM(e->err);
    NRW_TRY(e->host->run_graph(e->host, g, 0, NULL, e->n_out, results, e->err));
    for (int i = 0; i < e->n_out; i++) {
        if (e->wanted[i]) NRW_TRY(nrw_eval_give(e, i, &results[i]));
    }
    return NRW_OK;
}

static nrw_status loop_infer(nrw_infer *c) {
    const nrw_graph *g = NULL;
    int states = c->n_in - 2, scans = c->n_out - states;
    if (states < 0) NRW_FAIL(c->err, NRW_ERR_SHAPE, "M and cond are expected, if only left out");
    if (scans < 0) NRW_FAIL(c->err, NRW_ERR_SHAPE, "%d outputs for %d states", c->n_out, states);
    NRW_TRY(body_of(c->node, "body", states + 2, 1 + states + scans, &g, c->err));
    for (int i = 0; i < states; i++) {
        const nrw_type *in = c->in[i + 2], *body = &g->outputs[i + 1]->type;
        if (in != NULL)
            c->out[i] = nrw_type_common(in, body);
        else
            c->out[i] = *body;
    }
    for (int i = states; i < c->n_out; i++) {
        NRW_TRY(stacked_type(&g->outputs[i + 1]->type, NRW_DIM_UNKNOWN, 0, &c->out[i], c->err));
    }
    return NRW_OK;
}

/* More repetitions than anyone waits for. */
static const int64_t most_trips = INT32_MAX;

/* What Loop, Scan and SequenceMap keep while a body runs again and again. */
typedef struct repetition {
    const nrw_graph *body;
    int n_in, n_out, states;
    nrw_tensor *in, *out;
    carried *carried; /* [states] */
    stack *stacks;    /* [n_out] */
} repetition;

static nrw_status set_up(nrw_eval *e, int n_in, int n_out, int states, repetition *r) {
    NRW_TRY(body_of(e->node, "body", n_in, n_out, &r->body, e->err));
    r->n_in = n_in;
    r->n_out = n_out;
    r->states = states;
    r->in = nrw_arena_calloc(e->scratch, (size_t)n_in + 1, sizeof *r->in);
    r->out = nrw_arena_calloc(e->scratch, (size_t)n_out + 1, sizeof *r->out);
    r->carried = nrw_arena_calloc(e->scratch, (size_t)states + 1, sizeof *r->carried);
    r->stacks = nrw_arena_calloc(e->scratch, (size_t)n_out + 1, sizeof *r->stacks);
    if (r->in == NULL || r->out == NULL || r->carried == NULL || r->stacks == NULL) NRW_OOM(e->err);
    return NRW_OK;
}

static nrw_status run_body(nrw_eval *e, repetition *r) {
    return e->host->run_graph(e->host, r->body, r->n_in, r->in, r->n_out, r->out, e->err);
}

/* Takes the states from the body's outputs [first, first + states) and pushes the rest. All states
 * are copied before any is handed on: one may be a view of another. */
static nrw_status take_results(nrw_eval *e, repetition *r, int first_in, int first_out) {
    for (int i = 0; i < r->states; i++) {
        NRW_TRY(carry(e, &r->carried[i], &r->out[first_out + i]));
    }
    for (int i = 0; i < r->states; i++) r->in[first_in + i] = r->carried[i].value;
    for (int i = first_out + r->states; i < r->n_out; i++) {
        NRW_TRY(push(e, &r->stacks[i], &r->out[i]));
    }
    return NRW_OK;
}

/* A body that hands its condition on as it came, or a constant: only the count ends such a loop. */
static bool keeps_condition(const nrw_graph *body) {
    const nrw_value *v = body->outputs[0];
    while (v->producer != NULL && v->producer->op != NULL &&
           strcmp(v->producer->type, "Identity") == 0 && v->producer->inputs[0] != NULL)
        v = v->producer->inputs[0];
    return v == body->inputs[1] ||
           (v->data != NULL && v->data->dtype == NRW_BOOL && nrw_tensor_count(v->data) == 1 &&
            *(const uint8_t *)v->data->data != 0);
}

static nrw_status loop_run(nrw_eval *e) {
    repetition r;
    int states = e->n_in - 2;
    NRW_TRY(set_up(e, states + 2, e->n_out + 1, states, &r));
    int64_t trips = INT64_MAX, i = 0;
    bool going = true;
    if (nrw_has_input(e, 0)) NRW_TRY(nrw_read_int(e, 0, "M", &trips));
    if (nrw_has_input(e, 1)) NRW_TRY(read_condition(e, e->in[1], &going));
    if (going && trips > most_trips && keeps_condition(r.body))
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "a loop that would run %lld times and never stop",
                 (long long)trips);
    r.in[0] = nrw_tensor_make(NRW_I64, 0, NULL, &i);
    r.in[1] = nrw_tensor_make(NRW_BOOL, 0, NULL, &going);
    for (int k = 0; k < states; k++) {
        nrw_tensor nothing = {.kind = NRW_OPTIONAL_TENSOR};
        r.in[k + 2] = nrw_has_input(e, k + 2) ? *e->in[k + 2] : nothing;
    }
    for (; i < trips && going; i++) {
        NRW_TRY(run_body(e, &r));
        bool next = false;
        NRW_TRY(read_condition(e, &r.out[0], &next));
        NRW_TRY(take_results(e, &r, 2, 1));
        going = next;
    }
    for (int k = 0; k < e->n_out; k++) {
        if (!e->wanted[k]) continue;
        if (k < states)
            NRW_TRY(nrw_eval_give(e, k, &r.in[k + 2]));
        else
            NRW_TRY(unload(e, k, &r.stacks[k + 1], &r.body->outputs[k + 1]->type, 0, false));
    }
    return NRW_OK;
}

/* How many of a Scan's inputs are scanned, with its lists of axes and directions checked. */
static nrw_status scan_counts(const nrw_node *n, int n_in, int n_out, int *states, int *scans,
                              nrw_error *err) {
    int64_t given = nrw_attr_int(n, "num_scan_inputs", 0);
    if (given < 1 || given > n_in)
        NRW_FAIL(err, NRW_ERR_SHAPE, "num_scan_inputs: %lld of %d inputs", (long long)given, n_in);
    *states = n_in - (int)given;
    *scans = n_out - *states;
    if (*scans < 0) NRW_FAIL(err, NRW_ERR_SHAPE, "%d outputs for %d states", n_out, *states);
    const struct {
        const char *name;
        int64_t n;
    } lists[] = {{"scan_input_axes", given},
                 {"scan_input_directions", given},
                 {"scan_output_axes", *scans},
                 {"scan_output_directions", *scans}};
    for (int i = 0; i < 4; i++) {
        int64_t count;
        if (nrw_attr_ints(n, lists[i].name, &count) != NULL && count != lists[i].n)
            NRW_FAIL(err, NRW_ERR_SHAPE, "%s: expected %lld values, got %lld", lists[i].name,
                     (long long)lists[i].n, (long long)count);
    }
    return NRW_OK;
}

/* Entry k of a list attribute; 0 where it is absent. */
static int64_t listed(const nrw_node *n, const char *name, int k) {
    int64_t count;
    const int64_t *list = nrw_attr_ints(n, name, &count);
    return list != NULL ? list[k] : 0;
}

static nrw_status scan_infer(nrw_infer *c) {
    const nrw_graph *g = NULL;
    int states, scans;
    NRW_TRY(scan_counts(c->node, c->n_in, c->n_out, &states, &scans, c->err));
    NRW_TRY(body_of(c->node, "body", c->n_in, c->n_out, &g, c->err));
    int64_t length = NRW_DIM_UNKNOWN;
    for (int i = states; i < c->n_in; i++) {
        const nrw_type *t = c->in[i];
        if (t == NULL) NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d is left out", i);
        if (t->rank < 0) continue;
        int64_t axis = listed(c->node, "scan_input_axes", i - states);
        NRW_TRY(nrw_normalize_axes(&axis, 1, t->rank, "scan_input_axes", c->err));
        int64_t d = t->dims[axis];
        if (d >= 0 && length >= 0 && d != length)
            NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d: a sequence of %lld where others have %lld",
                     i, (long long)d, (long long)length);
        if (length < 0) length = d;
    }
    for (int i = 0; i < states; i++) {
        const nrw_type *in = c->in[i], *body = &g->outputs[i]->type;
        if (in != NULL)
            c->out[i] = nrw_type_common(in, body);
        else
            c->out[i] = *body;
    }
    for (int i = states; i < c->n_out; i++) {
        int64_t axis = listed(c->node, "scan_output_axes", i - states);
        NRW_TRY(stacked_type(&g->outputs[i]->type, length, axis, &c->out[i], c->err));
    }
    return NRW_OK;
}

/* Where a Scan takes the slices of one input from. */
typedef struct slices {
    const nrw_tensor *whole;
    nrw_tensor slice; /* its data: a copy of the present one */
    int axis;
    int64_t length;
    bool reverse;
} slices;

static nrw_status make_slices(nrw_eval *e, int i, int k, slices *s) {
    const nrw_tensor *t = e->in[i];
    int64_t axis = listed(e->node, "scan_input_axes", k), dims[NRW_MAX_RANK];
    NRW_TRY(nrw_normalize_axes(&axis, 1, t->rank, "scan_input_axes", e->err));
    int n = 0;
    for (int a = 0; a < t->rank; a++) {
        if (a != axis) dims[n++] = t->dims[a];
    }
    *s = (slices){.whole = t,
                  .axis = (int)axis,
                  .length = t->dims[axis],
                  .reverse = listed(e->node, "scan_input_directions", k) != 0};
    return nrw_tensor_new(e->scratch, t->dtype, n, dims, &s->slice, e->err);
}

static void load_slice(nrw_eval *e, const slices *s, int64_t t) {
    nrw_tensor part = *s->whole;
    part.dims[s->axis] = 1;
    part.data = s->slice.data;
    nrw_move_part(e->pool, s->whole, &part, s->axis, s->reverse ? s->length - 1 - t : t, false);
}

static nrw_status scan_run(nrw_eval *e) {
    repetition r;
    int states, scans;
    NRW_TRY(scan_counts(e->node, e->n_in, e->n_out, &states, &scans, e->err));
    NRW_TRY(set_up(e, e->n_in, e->n_out, states, &r));
    int n = e->n_in - states;
    slices *in = nrw_arena_calloc(e->scratch, (size_t)n, sizeof *in);
    if (in == NULL) NRW_OOM(e->err);
    for (int k = 0; k < states; k++) r.in[k] = *e->in[k];
    for (int k = 0; k < n; k++) {
        NRW_TRY(make_slices(e, states + k, k, &in[k]));
        r.in[states + k] = in[k].slice;
    }
    for (int64_t t = 0; t < in[0].length; t++) {
        for (int k = 0; k < n; k++) load_slice(e, &in[k], t);
        NRW_TRY(run_body(e, &r));
        NRW_TRY(take_results(e, &r, 0, 0));
    }
    for (int k = 0; k < e->n_out; k++) {
        if (!e->wanted[k]) continue;
        if (k < states)
            NRW_TRY(nrw_eval_give(e, k, &r.in[k]));
        else
            NRW_TRY(unload(e, k, &r.stacks[k], &r.body->outputs[k]->type,
                           listed(e->node, "scan_output_axes", k - states),
                           listed(e->node, "scan_output_directions", k - states) != 0));
    }
    return NRW_OK;
}

static nrw_status map_infer(nrw_infer *c) {
    const nrw_graph *g = NULL;
    NRW_TRY(body_of(c->node, "body", c->n_in, c->n_out, &g, c->err));
    for (int i = 0; i < c->n_out; i++) {
        c->out[i] = g->outputs[i]->type;
        c->out[i].kind = NRW_SEQUENCE;
    }
    return NRW_OK;
}

static nrw_status map_run(nrw_eval *e) {
    repetition r;
    NRW_TRY(set_up(e, e->n_in, e->n_out, 0, &r));
    int64_t n = e->in[0]->n_elements;
    for (int i = 0; i < e->n_in; i++) {
        if (e->in[i]->kind == NRW_SEQUENCE && e->in[i]->n_elements != n)
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "input %d: a sequence of %lld where the first has %lld",
                     i, (long long)e->in[i]->n_elements, (long long)n);
    }
    for (int i = 0; i < e->n_out; i++) {
        nrw_tensor *elements = e->host->bytes(e->host, ((size_t)n + 1) * sizeof *elements);
        if (elements == NULL) NRW_OOM(e->err);
        e->out[i] = (nrw_tensor){.kind = NRW_SEQUENCE,
                                 .dtype = r.body->outputs[i]->type.dtype,
                                 .rank = NRW_RANK_UNKNOWN,
                                 .elements = elements,
                                 .n_elements = n};
    }
    for (int64_t k = 0; k < n; k++) {
        for (int i = 0; i < e->n_in; i++) {
            r.in[i] = e->in[i]->kind == NRW_SEQUENCE ? e->in[i]->elements[k] : *e->in[i];
        }
        NRW_TRY(run_body(e, &r));
        for (int i = 0; i < e->n_out; i++) {
            NRW_TRY(nrw_host_keep(e, &r.out[i], &e->out[i].elements[k]));
            e->out[i].dtype = r.out[i].dtype;
        }
    }
    return NRW_OK;
}

static const nrw_attr_def if_attrs[] = {
    {"then_branch", NRW_ATTR_GRAPH, true}, {"else_branch", NRW_ATTR_GRAPH, true}, {0}};
static const nrw_attr_def body_attrs[] = {{"body", NRW_ATTR_GRAPH, true}, {0}};
static const nrw_attr_def scan_attrs[] = {{"body", NRW_ATTR_GRAPH, true},
                                          {"num_scan_inputs", NRW_ATTR_INT, true},
                                          {"scan_input_axes", NRW_ATTR_INTS, false},
                                          {"scan_input_directions", NRW_ATTR_INTS, false},
                                          {"scan_output_axes", NRW_ATTR_INTS, false},
                                          {"scan_output_directions", NRW_ATTR_INTS, false},
                                          {0}};

static const nrw_case if_cases[] = {
    {"graph main(%c: bool[], %x: f32[2]) { "
     "  %y: f32[2] = If(%c) {then_branch=graph yes() { %a: f32[2] = Neg(%x) return "
     "%a }, else_branch=graph no() { %b: f32[2] = Identity(%x) return %b }} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op if_row = {
    .name = "If",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = -1,
    .attrs = if_attrs,
    .infer = if_infer,
    .reference = if_run,
    .onnx = {"If", 1},
    .tflite = {"IF", 118},
    .takes_sequences = true,
    .cases = if_cases,
};
static const nrw_case loop_cases[] = {
    {"graph main(%x: f32[2]) { "
     "  const %m: i64[] = [3] "
     "  %y: f32[2], %z: f32[?,2] = Loop(%m, _, %x) {body=graph body(%i: i64[], %go: "
     "bool[], %v: f32[2]) { %on: bool[] = Identity(%go) %w: f32[2] = Add(%v, %x) "
     "%s: f32[2] = Mul(%w, %v) return %on, %w, %s }} "
     "  return %y, %z } ",
     -1, 1},
    {0}};
static const nrw_op loop_row = {
    .name = "Loop",
    .domain = "",
    .min_in = 0,
    .max_in = -1,
    .min_out = 1,
    .max_out = -1,
    .attrs = body_attrs,
    .infer = loop_infer,
    .reference = loop_run,
    .onnx = {"Loop", 1},
    .tflite = {"WHILE", 119},
    .takes_sequences = true,
    .cases = loop_cases,
};
static const nrw_case scan_cases[] = {
    {"graph main(%x: f32[2], %a: f32[2,4]) { "
     "  %y: f32[2], %z: f32[2,4] = Scan(%x, %a) {num_scan_inputs=1, "
     "scan_input_axes=[1], scan_output_axes=[1], scan_input_directions=[1], "
     "body=graph body(%v: f32[2], %e: f32[2]) { %w: f32[2] = Add(%v, %e) %s: f32[2] "
     "= Mul(%w, %v) return %w, %s }} "
     "  return %y, %z } ",
     -1, 1},
    {0}};
static const nrw_op scan_row = {
    .name = "Scan",
    .domain = "",
    .min_in = 1,
    .max_in = -1,
    .min_out = 1,
    .max_out = -1,
    .attrs = scan_attrs,
    .infer = scan_infer,
    .reference = scan_run,
    .onnx = {"Scan", 8},
    .cases = scan_cases,
};
static const nrw_case map_cases[] = {
    {"graph main(%x: f32[3,2]) { "
     "  %s: seq(f32[2]) = SplitToSequence(%x) {keepdims=0} "
     "  %t: seq(f32[2]) = SequenceMap(%s) {body=graph body(%e: f32[2]) { %n: f32[2] "
     "= Neg(%e) return %n }} "
     "  %y: f32[?] = ConcatFromSequence(%t) {axis=0} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op map_row = {
    .name = "SequenceMap",
    .domain = "",
    .min_in = 1,
    .max_in = -1,
    .min_out = 1,
    .max_out = -1,
    .attrs = body_attrs,
    .infer = map_infer,
    .reference = map_run,
    .onnx = {"SequenceMap", 17},
    .takes_sequences = true,
    .cases = map_cases,
};

NRW_OPS(control, &if_row, &loop_row, &scan_row, &map_row);
