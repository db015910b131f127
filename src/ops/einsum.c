/* Einsum: any number of operands, contracted pair by pair through matrix products. */
#include <string.h>

#include "ops/floats.h"
#include "ops/mm.h"
#include "ops/op.h"

/* Labels 0 … 51 are letters, A before a; the rest are the ellipsis' axes, from the last. */
#define LETTERS    52
#define MAX_LABELS (LETTERS + NRW_MAX_RANK)
#define MAX_TERMS  32
/* Rows of a product that make a task. */
#define ROWS 64

/* The labels of an operand's axes. */
typedef struct term {
    int rank;
    int label[MAX_LABELS];
    int64_t dims[MAX_LABELS]; /* unknown: < 0 */
} term;

typedef struct einsum {
    int n;
    term in[MAX_TERMS], out;
    int64_t size[MAX_LABELS]; /* of each label over all operands; unknown: < 0; not there: 0 */
    bool there[MAX_LABELS];
    int dots; /* axes that the ellipsis stands for */
} einsum;

static bool has_label(const term *t, int label) {
    for (int d = 0; d < t->rank; d++) {
        if (t->label[d] == label) return true;
    }
    return false;
}

/* The length of a label within one operand. */
static int64_t label_length(const term *t, int label) {
    int64_t length = 1;
    for (int d = 0; d < t->rank; d++) {
        if (t->label[d] == label && t->dims[d] != 1) length = t->dims[d];
    }
    return length;
}

static void add_label(const einsum *s, term *t, int label) {
    if (has_label(t, label)) return;
    t->dims[t->rank] = s->size[label];
    t->label[t->rank++] = label;
}

/* Does an array with the axes of t lie in memory as one with those of `to`? */
static bool same_axes(const einsum *s, const term *t, const term *to) {
    bool same = t->rank == to->rank;
    for (int d = 0; same && d < t->rank; d++) {
        same = t->label[d] == to->label[d] && t->dims[d] == s->size[to->label[d]];
        for (int before = 0; before < d; before++) {
            same = same && t->label[before] != t->label[d];
        }
    }
    return same;
}

static int64_t term_size(const term *t) {
    int64_t n = 1;
    for (int d = 0; d < t->rank; d++) {
        if (t->dims[d] < 0 || !nrw_mul_i64(n, t->dims[d], &n)) return -1;
    }
    return n;
}

static int letter_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    return c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

/* One term of the equation, up to ',' or "->" or the end. The ellipsis becomes `dots` axes. */
static nrw_status read_term(const char **at, int dots, term *t, bool *had_dots, nrw_error *err) {
    const char *c = *at;
    *had_dots = false;
    t->rank = 0;
    for (; *c != 0 && *c != ',' && !(c[0] == '-' && c[1] == '>'); c++) {
        if (*c == ' ') continue;
        if (strncmp(c, "...", 3) == 0 && !*had_dots) {
            *had_dots = true;
            if (t->rank + dots > MAX_LABELS) NRW_FAIL(err, NRW_ERR_SHAPE, "equation: too long");
            for (int i = dots - 1; i >= 0; i--) t->label[t->rank++] = LETTERS + i;
            c += 2;
            continue;
        }
        if (letter_of(*c) < 0) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "equation: unexpected '%c'", *c);
        }
        if (t->rank == MAX_LABELS) NRW_FAIL(err, NRW_ERR_SHAPE, "equation: too long");
        t->label[t->rank++] = letter_of(*c);
    }
    *at = c;
    return NRW_OK;
}

/* Gives an operand's axes their lengths and checks them against what the labels have so far. */
static nrw_status measure(einsum *s, int i, const nrw_type *type, nrw_error *err) {
    term *t = &s->in[i];
    for (int d = 0; d < t->rank; d++) {
        int label = t->label[d];
        int64_t dim = type->dims[d], *size = &s->size[label];
        t->dims[d] = dim;
        if (!s->there[label] || *size == 1 || (*size < 0 && dim > 1)) {
            *size = dim;
        } else if (dim >= 0 && *size >= 0 && dim != *size && dim != 1) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: axis %d has length %lld, elsewhere %lld", i, d,
                     (long long)dim, (long long)*size);
        }
        s->there[label] = true;
    }
    return NRW_OK;
}

/* Without "->": the ellipsis, then the letters that appear once, in their order. */
static void implied_output(einsum *s) {
    int count[LETTERS] = {0};
    s->out.rank = 0;
    for (int i = s->dots - 1; i >= 0; i--) add_label(s, &s->out, LETTERS + i);
    for (int i = 0; i < s->n; i++) {
        for (int d = 0; d < s->in[i].rank; d++) {
            if (s->in[i].label[d] < LETTERS) count[s->in[i].label[d]]++;
        }
    }
    for (int l = 0; l < LETTERS; l++) {
        if (count[l] == 1) add_label(s, &s->out, l);
    }
}

static nrw_status read_output(einsum *s, const char *at, nrw_error *err) {
    term t;
    bool dots;
    NRW_TRY(read_term(&at, s->dots, &t, &dots, err));
    if (*at != 0) NRW_FAIL(err, NRW_ERR_SHAPE, "equation: unexpected '%s'", at);
    s->out.rank = 0;
    for (int d = 0; d < t.rank; d++) {
        if (!s->there[t.label[d]] || has_label(&s->out, t.label[d])) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "equation: the output's label %d is new or there twice",
                     d);
        }
        add_label(s, &s->out, t.label[d]);
    }
    return NRW_OK;
}

/* All ranks must be known. */
static nrw_status parse(const nrw_node *n, int n_in, const nrw_type *const *in, einsum *s,
                        nrw_error *err) {
    memset(s, 0, sizeof *s);
    const char *at = nrw_attr_str(n, "equation", NULL);
    if (at == NULL) NRW_FAIL(err, NRW_ERR_SHAPE, "equation is missing");
    if (n_in > MAX_TERMS) NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "more than %d operands", MAX_TERMS);
    s->n = n_in;
    for (int i = 0; i < n_in; i++) {
        const char *start = at;
        term *t = &s->in[i];
        bool dots;
        NRW_TRY(read_term(&at, 0, t, &dots, err));
        int rest = in[i]->rank - t->rank;
        if (rest < 0 || (rest > 0 && !dots)) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: rank %d does not fit the equation", i,
                     in[i]->rank);
        }
        if (dots && rest > s->dots) s->dots = rest;
        at = start;
        NRW_TRY(read_term(&at, rest, t, &dots, err));
        NRW_TRY(measure(s, i, in[i], err));
        if (i + 1 < n_in && *at++ != ',') {
            NRW_FAIL(err, NRW_ERR_SHAPE, "equation: fewer terms than inputs");
        }
    }
    if (*at == 0) {
        implied_output(s);
    } else if (*at == ',') {
        NRW_FAIL(err, NRW_ERR_SHAPE, "equation: more terms than inputs");
    } else {
        NRW_TRY(read_output(s, at + 2, err));
    }
    if (s->out.rank > NRW_MAX_RANK) NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "rank %d", s->out.rank);
    return NRW_OK;
}

static nrw_status infer(nrw_infer *c) {
    c->out[0].dtype = c->in[0]->dtype;
    for (int i = 0; i < c->n_in; i++) {
        if (c->in[i] == NULL) NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d is missing", i);
        if (c->in[i]->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    }
    einsum *s = nrw_arena_alloc(c->scratch, sizeof *s);
    if (s == NULL) NRW_OOM(c->err);
    NRW_TRY(parse(c->node, c->n_in, c->in, s, c->err));
    c->out[0] = nrw_type_make(c->in[0]->dtype, s->out.rank, s->out.dims);
    return NRW_OK;
}

/* The labels of a pair of operands by their part in a matrix product. */
typedef struct contraction {
    term batch, m, n, k; /* kept and in both; in the left; in the right; summed over */
    term a, b, c;        /* [batch, m, k], [batch, k, n], [batch, m, n] */
} contraction;

static void append(const einsum *s, term *to, const term *from) {
    for (int d = 0; d < from->rank; d++) add_label(s, to, from->label[d]);
}

/* Labels in one operand only that nobody needs are summed when it is arranged. */
static void split_labels(const einsum *s, const term *a, const term *b, const term *keep,
                         contraction *k) {
    memset(k, 0, sizeof *k);
    for (int d = 0; d < a->rank; d++) {
        int label = a->label[d];
        bool both = has_label(b, label), kept = has_label(keep, label);
        if (both) add_label(s, kept ? &k->batch : &k->k, label);
        if (!both && kept) add_label(s, &k->m, label);
    }
    for (int d = 0; d < b->rank; d++) {
        int label = b->label[d];
        if (!has_label(a, label) && has_label(keep, label)) add_label(s, &k->n, label);
    }
    append(s, &k->a, &k->batch);
    append(s, &k->a, &k->m);
    append(s, &k->a, &k->k);
    append(s, &k->b, &k->batch);
    append(s, &k->b, &k->k);
    append(s, &k->b, &k->n);
    append(s, &k->c, &k->batch);
    append(s, &k->c, &k->m);
    append(s, &k->c, &k->n);
}

static nrw_status integers_in(nrw_eval *e, int i, const uint64_t **out) {
    int64_t n = nrw_tensor_count(e->in[i]), *copy = nrw_eval_scratch(e, n, sizeof *copy);
    if (copy == NULL) NRW_OOM(e->err);
    *out = (const uint64_t *)copy;
    return nrw_to_i64(e->in[i]->dtype, e->in[i]->data, copy, n, e->err);
}

static nrw_status integers_from(nrw_dtype to, const uint64_t *src, void *dst, int64_t n,
                                nrw_error *err) {
    return nrw_from_i64(to, (const int64_t *)src, dst, n, err);
}

#define REAL         float
#define ARRANGE      arrange_f32
#define PRODUCT      product_f32
#define PRODUCT_TASK product_task_f32
#define CONTRACT     contract_f32
#define EINSUM       einsum_f32
#define IN           nrw_floats_in
#define FROM         nrw_from_f32
#define MM           nrw_mm_f32
#include "ops/einsum_tmpl.h"

#define REAL         double
#define ARRANGE      arrange_f64
#define PRODUCT      product_f64
#define PRODUCT_TASK product_task_f64
#define CONTRACT     contract_f64
#define EINSUM       einsum_f64
#define IN           nrw_doubles_in
#define FROM         nrw_from_f64
#define MM           nrw_mm_f64
#include "ops/einsum_tmpl.h"

#define REAL         uint64_t
#define ARRANGE      arrange_u64
#define PRODUCT      product_u64
#define PRODUCT_TASK product_task_u64
#define CONTRACT     contract_u64
#define EINSUM       einsum_u64
#define IN           integers_in
#define FROM         integers_from
#define MM           nrw_mm_u64
#include "ops/einsum_tmpl.h"

static nrw_status run(nrw_eval *e) {
    nrw_type *types = nrw_eval_scratch(e, e->n_in, sizeof *types);
    const nrw_type **in = nrw_eval_scratch(e, e->n_in, sizeof *in);
    einsum *s = nrw_eval_scratch(e, 1, sizeof *s);
    if (types == NULL || in == NULL || s == NULL) NRW_OOM(e->err);
    for (int i = 0; i < e->n_in; i++) {
        types[i] = nrw_type_of(e->in[i]);
        in[i] = &types[i];
    }
    NRW_TRY(parse(e->node, e->n_in, in, s, e->err));
    if (term_size(&s->out) == 0) return NRW_OK;
    nrw_dtype t = e->in[0]->dtype;
    if (t == NRW_F64) return einsum_f64(e, s);
    return nrw_dtype_is_float(t) ? einsum_f32(e, s) : einsum_u64(e, s);
}

/* As if all operands were contracted at once: what a naive loop would do, at most. */
static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    einsum s;
    for (int i = 0; i < n->n_inputs; i++) {
        if (in[i] == NULL || in[i]->rank == NRW_RANK_UNKNOWN) return 0;
    }
    if (n->n_inputs < 2 || parse(n, n->n_inputs, in, &s, NULL) != NRW_OK) return 0;
    int64_t count = 1;
    for (int l = 0; l < MAX_LABELS; l++) {
        if (!s.there[l]) continue;
        if (s.size[l] < 0 || !nrw_mul_i64(count, s.size[l], &count)) return 0;
    }
    return count;
}

static const nrw_attr_def attrs[] = {{"equation", NRW_ATTR_STRING, true}, {0}};

static const nrw_case cases[] = {
    {"graph main(%a: f32[2,3,4,5], %b: f32[2,3,6,5]) {\n"
     "  %y: f32[...] = Einsum(%a, %b) {equation=\"bhid,bhjd->bhij\"}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {"graph main(%a: f32[3,1,4,4], %b: f32[5,4], %c: f32[4]) {\n"
     "  %y: f32[...] = Einsum(%a, %b, %c) {equation=\"...ii,ki,j->k...\"}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op einsum_row = {
    .name = "Einsum",
    .domain = "",
    .min_in = 1,
    .max_in = -1,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = run,
    .macs = macs,
    .onnx = {"Einsum", 12},
    .aten = "aten.einsum.default",
    .cases = cases,
};

NRW_OPS(einsum, &einsum_row);
