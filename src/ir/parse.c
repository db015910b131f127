/* The text form, parsing. docs/ir-text.md has the grammar. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "ir/graph.h"
#include "ir/lexer.h"

enum { MAX_DEPTH = 32 };

typedef struct scope {
    nrw_graph *graph;
    nrw_map names;
    struct scope *outer;
} scope;

typedef struct parser {
    nrw_lexer lex; /* first */
    nrw_model *model;
    nrw_op_lookup find;
    nrw_arena scratch;
    int depth;
    nrw_error *err;
} parser;

#define P_FAIL(p, ...) return nrw_lex_fail(&(p)->lex, __VA_ARGS__)

static nrw_status parse_graph(parser *p, nrw_graph *g, scope *outer);

static nrw_status parse_type(parser *p, nrw_type *t) {
    *t = nrw_type_unknown();
    if (nrw_lex_accept(&p->lex, "?")) {
        if (!nrw_lex_peek(&p->lex, "[")) return NRW_OK;
    } else {
        nrw_string word;
        NRW_TRY(nrw_lex_word(&p->lex, &word));
        bool seq = word.size == 3 && memcmp(word.data, "seq", 3) == 0;
        if (seq || (word.size == 8 && memcmp(word.data, "optional", 8) == 0)) {
            NRW_TRY(nrw_lex_expect(&p->lex, "("));
            NRW_TRY(parse_type(p, t));
            t->kind = seq                       ? NRW_SEQUENCE
                      : t->kind == NRW_SEQUENCE ? NRW_OPTIONAL_SEQUENCE
                                                : NRW_OPTIONAL_TENSOR;
            return nrw_lex_expect(&p->lex, ")");
        }
        t->dtype = nrw_dtype_from_name(word.data, word.size);
        if (t->dtype == NRW_NONE) P_FAIL(p, "'%.*s' is no element type", (int)word.size, word.data);
    }
    NRW_TRY(nrw_lex_expect(&p->lex, "["));
    if (nrw_lex_accept(&p->lex, "...")) return nrw_lex_expect(&p->lex, "]");
    t->rank = 0;
    while (!nrw_lex_accept(&p->lex, "]")) {
        if (t->rank > 0) NRW_TRY(nrw_lex_expect(&p->lex, ","));
        if (t->rank == NRW_MAX_RANK) P_FAIL(p, "more than %d axes", NRW_MAX_RANK);
        int64_t *d = &t->dims[t->rank++];
        nrw_string name;
        if (nrw_lex_accept(&p->lex, "?"))
            *d = NRW_DIM_UNKNOWN;
        else if (nrw_lex_at_number(&p->lex)) {
            NRW_TRY(nrw_lex_int(&p->lex, d));
            if (*d < 0) P_FAIL(p, "negative length");
        } else {
            if (nrw_lex_peek(&p->lex, "\""))
                NRW_TRY(nrw_lex_string(&p->lex, &p->scratch, &name));
            else
                NRW_TRY(nrw_lex_word(&p->lex, &name));
            if ((*d = nrw_model_symbol(p->model, name.data, name.size)) == NRW_DIM_UNKNOWN)
                NRW_OOM(p->err);
        }
    }
    return NRW_OK;
}

/* A list in brackets, or (single) one number. */
static nrw_status parse_numbers(parser *p, double **out, int64_t *n) {
    size_t cap = 0;
    *out = NULL;
    *n = 0;
    bool list = nrw_lex_accept(&p->lex, "[");
    if (list && nrw_lex_accept(&p->lex, "]")) return NRW_OK;
    do {
        if (!nrw_arena_grow(&p->scratch, (void **)out, &cap, (size_t)*n + 1, sizeof **out))
            NRW_OOM(p->err);
        NRW_TRY(nrw_lex_double(&p->lex, &(*out)[(*n)++]));
    } while (list && nrw_lex_accept(&p->lex, ","));
    return list ? nrw_lex_expect(&p->lex, "]") : NRW_OK;
}

static nrw_status parse_quant_numbers(parser *p, nrw_quant *q, double *scale, int64_t n,
                                      double *zero, int64_t n_zero) {
    nrw_arena *a = &p->model->arena;
    float *s = nrw_arena_calloc(a, (size_t)n + 1, sizeof *s);
    int32_t *z = nrw_arena_calloc(a, (size_t)n + 1, sizeof *z);
    if (s == NULL || z == NULL) NRW_OOM(p->err);
    if (n < 1 || (zero != NULL && n_zero != n))
        P_FAIL(p, "as many zero points as scales, and one at least");
    for (int64_t i = 0; i < n; i++) {
        s[i] = (float)scale[i];
        if (!(s[i] > 0)) P_FAIL(p, "a scale is not positive");
        double zp = zero != NULL ? zero[i] : 0;
        if (!(zp >= INT32_MIN && zp <= INT32_MAX)) P_FAIL(p, "a zero point does not fit");
        z[i] = (int32_t)zp;
    }
    q->count = n;
    q->scale = s;
    q->zero_point = z;
    return NRW_OK;
}

static nrw_status parse_quant(parser *p, const nrw_quant **out) {
    *out = NULL;
    if (!nrw_lex_accept(&p->lex, "q(")) return NRW_OK;
    nrw_quant q = {.axis = -1};
    nrw_string word;
    double *scale = NULL, *zero = NULL;
    int64_t n_scale = 0, n_zero = 0, axis;
    NRW_TRY(nrw_lex_word(&p->lex, &word));
    q.dtype = nrw_dtype_from_name(word.data, word.size);
    if (!nrw_dtype_is_integer(q.dtype)) P_FAIL(p, "an integer type expected");
    while (nrw_lex_accept(&p->lex, ",")) {
        if (nrw_lex_accept(&p->lex, "dynamic")) {
            q.dynamic = true;
        } else if (nrw_lex_accept(&p->lex, "litert_u8")) {
            q.rounding = NRW_ROUND_LITERT_U8;
        } else if (nrw_lex_accept(&p->lex, "litert")) {
            q.rounding = NRW_ROUND_LITERT;
        } else if (nrw_lex_accept(&p->lex, "axis=")) {
            NRW_TRY(nrw_lex_int(&p->lex, &axis));
            if (axis < 0 || axis >= NRW_MAX_RANK) P_FAIL(p, "no such axis");
            q.axis = (int32_t)axis;
        } else if (nrw_lex_accept(&p->lex, "block=")) {
            NRW_TRY(nrw_lex_int(&p->lex, &q.block));
        } else if (nrw_lex_accept(&p->lex, "scale=")) {
            NRW_TRY(parse_numbers(p, &scale, &n_scale));
        } else {
            NRW_TRY(nrw_lex_expect(&p->lex, "zero="));
            NRW_TRY(parse_numbers(p, &zero, &n_zero));
        }
    }
    NRW_TRY(nrw_lex_expect(&p->lex, ")"));
    if (!q.dynamic) NRW_TRY(parse_quant_numbers(p, &q, scale, n_scale, zero, n_zero));
    *out = nrw_arena_dup(&p->model->arena, &q, sizeof q);
    if (*out == NULL) NRW_OOM(p->err);
    return NRW_OK;
}

/* Elements.
 * ------------------------------------------------------------------------------------------- */

static nrw_status parse_element(parser *p, nrw_tensor *t, int64_t i) {
    char *at = (char *)t->data + i * nrw_dtype_size(t->dtype);
    nrw_class k = nrw_dtype_get(t->dtype)->klass;
    double x[2];
    int64_t n;
    if (k == NRW_CLASS_STRING)
        return nrw_lex_string(&p->lex, &p->model->arena, (nrw_string *)(void *)at);
    if (k == NRW_CLASS_BOOL && nrw_lex_accept(&p->lex, "true")) return *at = 1, NRW_OK;
    if (k == NRW_CLASS_BOOL && nrw_lex_accept(&p->lex, "false")) return *at = 0, NRW_OK;
    if (t->dtype == NRW_U64) return nrw_lex_uint(&p->lex, (uint64_t *)(void *)at);
    if (k == NRW_CLASS_SINT || k == NRW_CLASS_UINT || k == NRW_CLASS_BOOL) {
        NRW_TRY(nrw_lex_int(&p->lex, &n));
        if (n < nrw_dtype_get(t->dtype)->min || n > nrw_dtype_get(t->dtype)->max)
            P_FAIL(p, "%" PRId64 " does not fit %s", n, nrw_dtype_get(t->dtype)->title);
        return nrw_from_i64(t->dtype, &n, at, 1, p->err);
    }
    NRW_TRY(nrw_lex_double(&p->lex, &x[0]));
    if (k != NRW_CLASS_COMPLEX) return nrw_from_f64(t->dtype, x, at, 1, p->err);
    NRW_TRY(nrw_lex_expect(&p->lex, ","));
    NRW_TRY(nrw_lex_double(&p->lex, &x[1]));
    return nrw_from_f64(t->dtype == NRW_C64 ? NRW_F32 : NRW_F64, x, at, 2, p->err);
}

static nrw_status fill_random(parser *p, nrw_tensor *t) {
    int64_t seed, n = nrw_tensor_count(t);
    const nrw_dtype_row *row = nrw_dtype_get(t->dtype);
    NRW_TRY(nrw_lex_int(&p->lex, &seed));
    if (row->klass == NRW_CLASS_STRING || row->klass == NRW_CLASS_COMPLEX)
        P_FAIL(p, "random %s is not possible", row->title);
    nrw_rng rng;
    nrw_rng_seed(&rng, (uint64_t)seed);
    int64_t lo = row->min < -100 && row->bits > 8 ? -100 : row->min;
    int64_t hi = row->max > 100 && row->bits > 8 ? 100 : row->max;
    for (int64_t i = 0; i < n; i++) {
        char *at = (char *)t->data + i * row->size;
        double x = 2 * nrw_rng_uniform(&rng) - 1;
        int64_t k = lo + (int64_t)nrw_rng_below(&rng, (uint64_t)(hi - lo + 1));
        if (row->klass == NRW_CLASS_FLOAT)
            NRW_TRY(nrw_from_f64(t->dtype, &x, at, 1, p->err));
        else
            NRW_TRY(nrw_from_i64(t->dtype, &k, at, 1, p->err));
    }
    return NRW_OK;
}

/* "= [elements]" for a tensor of this type. */
static nrw_status parse_tensor(parser *p, const nrw_type *type, nrw_tensor *t) {
    if (!nrw_type_is_static(type) || type->dtype == NRW_NONE)
        P_FAIL(p, "a constant needs a full type");
    NRW_TRY(nrw_tensor_new(&p->model->arena, type->dtype, type->rank, type->dims, t, p->err));
    NRW_TRY(nrw_lex_expect(&p->lex, "="));
    if (nrw_lex_accept(&p->lex, "random")) return fill_random(p, t);
    NRW_TRY(nrw_lex_expect(&p->lex, "["));
    int64_t n = nrw_tensor_count(t), i = 0;
    size_t size = (size_t)nrw_dtype_size(t->dtype);
    while (!nrw_lex_accept(&p->lex, "]")) {
        if (i > 0) NRW_TRY(nrw_lex_expect(&p->lex, ","));
        if (i == n) P_FAIL(p, "more than %" PRId64 " elements", n);
        NRW_TRY(parse_element(p, t, i++));
    }
    if (i != n && i != 1) P_FAIL(p, "%" PRId64 " elements expected, got %" PRId64, n, i);
    for (int64_t k = 1; i == 1 && k < n; k++)
        memcpy((char *)t->data + (size_t)k * size, t->data, size);
    return NRW_OK;
}

/* Attributes.
 * ----------------------------------------------------------------------------------------- */

static nrw_status parse_tensor_attr(parser *p, nrw_tensor *t) {
    nrw_type type;
    NRW_TRY(parse_type(p, &type));
    return parse_tensor(p, &type, t);
}

static nrw_status parse_body(parser *p, scope *s, nrw_graph **out) {
    *out = nrw_graph_new(p->model, s->graph, NULL);
    if (*out == NULL) NRW_OOM(p->err);
    return parse_graph(p, *out, s);
}

/* tensors[…] and graphs[…], after the word and the bracket. */
static nrw_status parse_items(parser *p, scope *s, nrw_attr *a) {
    size_t cap = 0, item = a->type == NRW_ATTR_TENSORS ? sizeof(nrw_tensor) : sizeof(nrw_graph *);
    void *items = NULL;
    while (!nrw_lex_accept(&p->lex, "]")) {
        if (a->n > 0) NRW_TRY(nrw_lex_expect(&p->lex, ","));
        if (!nrw_arena_grow(&p->scratch, &items, &cap, (size_t)a->n + 1, item)) NRW_OOM(p->err);
        if (a->type == NRW_ATTR_TENSORS) {
            NRW_TRY(nrw_lex_expect(&p->lex, "tensor"));
            NRW_TRY(parse_tensor_attr(p, (nrw_tensor *)items + a->n));
        } else {
            NRW_TRY(nrw_lex_expect(&p->lex, "graph"));
            NRW_TRY(parse_body(p, s, (nrw_graph **)items + a->n));
        }
        a->n++;
    }
    if (a->type == NRW_ATTR_TENSORS)
        a->tensor = items;
    else
        a->graphs = items;
    return NRW_OK;
}

static nrw_status parse_number_attr(parser *p, nrw_attr *a) {
    bool list = nrw_lex_accept(&p->lex, "["), is_float = nrw_lex_at_float(&p->lex);
    size_t cap = 0;
    void *items = NULL;
    do {
        if (!nrw_arena_grow(&p->scratch, &items, &cap, (size_t)a->n + 1, 8)) NRW_OOM(p->err);
        double x;
        if (is_float) {
            NRW_TRY(nrw_lex_double(&p->lex, &x));
            ((float *)items)[a->n++] = (float)x;
        } else {
            NRW_TRY(nrw_lex_int(&p->lex, &((int64_t *)items)[a->n++]));
        }
    } while (list && nrw_lex_accept(&p->lex, ","));
    if (list) NRW_TRY(nrw_lex_expect(&p->lex, "]"));
    a->type = is_float ? (list ? NRW_ATTR_FLOATS : NRW_ATTR_FLOAT)
                       : (list ? NRW_ATTR_INTS : NRW_ATTR_INT);
    if (list && is_float)
        a->floats = items;
    else if (list)
        a->ints = items;
    else if (is_float)
        a->f = *(float *)items;
    else
        a->i = *(int64_t *)items;
    return NRW_OK;
}

static nrw_status parse_string_list(parser *p, nrw_attr *a) {
    size_t cap = 0;
    nrw_string *items = NULL;
    a->type = NRW_ATTR_STRINGS;
    do {
        if (!nrw_arena_grow(&p->scratch, (void **)&items, &cap, (size_t)a->n + 1, sizeof *items))
            NRW_OOM(p->err);
        NRW_TRY(nrw_lex_string(&p->lex, &p->scratch, &items[a->n++]));
    } while (nrw_lex_accept(&p->lex, ","));
    a->strings = items;
    return nrw_lex_expect(&p->lex, "]");
}

static nrw_status parse_raw(parser *p, nrw_attr *a) {
    nrw_string hex;
    a->type = NRW_ATTR_RAW;
    NRW_TRY(nrw_lex_string(&p->lex, &p->scratch, &hex));
    char *bytes = nrw_arena_alloc(&p->scratch, hex.size / 2 + 1);
    if (bytes == NULL) NRW_OOM(p->err);
    for (size_t i = 0; i + 1 < hex.size; i += 2) {
        char pair[3] = {hex.data[i], hex.data[i + 1], 0};
        bytes[i / 2] = (char)strtol(pair, NULL, 16);
    }
    a->s = (nrw_string){bytes, hex.size / 2};
    a->n = 1;
    return NRW_OK;
}

static nrw_status parse_attr_value(parser *p, scope *s, nrw_attr *a) {
    nrw_lexer *l = &p->lex;
    static const struct {
        const char *word;
        nrw_attr_type type;
    } empty[] = {
        {"ints[]", NRW_ATTR_INTS}, {"floats[]", NRW_ATTR_FLOATS}, {"strings[]", NRW_ATTR_STRINGS}};
    for (int i = 0; i < 3; i++) {
        if (!nrw_lex_accept(l, empty[i].word)) continue;
        a->type = empty[i].type;
        return NRW_OK;
    }
    bool tensors = nrw_lex_accept(l, "tensors[");
    if (tensors || nrw_lex_accept(l, "graphs[")) {
        a->type = tensors ? NRW_ATTR_TENSORS : NRW_ATTR_GRAPHS;
        return parse_items(p, s, a);
    }
    if (nrw_lex_accept(l, "tensor")) {
        nrw_tensor *t = nrw_arena_calloc(&p->scratch, 1, sizeof *t);
        if (t == NULL) NRW_OOM(p->err);
        *a = (nrw_attr){.name = a->name, .type = NRW_ATTR_TENSOR, .n = 1, .tensor = t};
        return parse_tensor_attr(p, t);
    }
    if (nrw_lex_accept(l, "graph")) {
        a->type = NRW_ATTR_GRAPH;
        a->n = 1;
        return parse_body(p, s, &a->graph);
    }
    if (nrw_lex_accept(l, "raw")) return parse_raw(p, a);
    if (nrw_lex_accept(l, "[\"")) {
        l->at--; /* back to the quote */
        return parse_string_list(p, a);
    }
    if (!nrw_lex_peek(l, "\"")) return parse_number_attr(p, a);
    a->type = NRW_ATTR_STRING;
    a->n = 1;
    return nrw_lex_string(l, &p->scratch, &a->s);
}

static nrw_status parse_attrs(parser *p, scope *s, nrw_node *n) {
    if (!nrw_lex_accept(&p->lex, "{")) return NRW_OK;
    do {
        nrw_attr a = {0};
        nrw_string word;
        NRW_TRY(nrw_lex_word(&p->lex, &word));
        a.name = nrw_arena_strndup(&p->scratch, word.data, word.size);
        if (a.name == NULL) NRW_OOM(p->err);
        NRW_TRY(nrw_lex_expect(&p->lex, "="));
        NRW_TRY(parse_attr_value(p, s, &a));
        NRW_TRY(nrw_node_set_attr(n, &a, p->err));
    } while (nrw_lex_accept(&p->lex, ","));
    return nrw_lex_expect(&p->lex, "}");
}

/* Values and nodes.
 * ----------------------------------------------------------------------------------- */

static nrw_status parse_name(parser *p, nrw_string *name) {
    NRW_TRY(nrw_lex_expect(&p->lex, "%"));
    return nrw_lex_peek(&p->lex, "\"") ? nrw_lex_string(&p->lex, &p->model->arena, name)
                                       : nrw_lex_word(&p->lex, name);
}

/* "%name: type annotation", entered into the scope. */
static nrw_status parse_definition(parser *p, scope *s, nrw_type *type, nrw_value **out) {
    nrw_string name;
    NRW_TRY(parse_name(p, &name));
    if (nrw_map_get(&s->names, name.data, name.size) != NULL)
        P_FAIL(p, "%%%.*s is made twice", (int)name.size, name.data);
    const char *copy = nrw_arena_strndup(&p->scratch, name.data, name.size);
    if (copy == NULL) NRW_OOM(p->err);
    NRW_TRY(nrw_lex_expect(&p->lex, ":"));
    NRW_TRY(parse_type(p, type));
    nrw_value *v = nrw_value_new(s->graph, copy, type);
    if (v == NULL) NRW_OOM(p->err);
    NRW_TRY(parse_quant(p, &v->quant));
    v->as_integers = v->quant != NULL && nrw_lex_accept(&p->lex, "as integers");
    if (!nrw_map_put(&s->names, copy, name.size, v)) NRW_OOM(p->err);
    *out = v;
    return NRW_OK;
}

static nrw_status attach(parser *p, nrw_value *v, const nrw_type *type) {
    nrw_tensor *t = nrw_arena_calloc(&p->model->arena, 1, sizeof *t);
    if (t == NULL) NRW_OOM(p->err);
    NRW_TRY(parse_tensor(p, type, t));
    t->quant = v->quant;
    v->data = t;
    if (v->quant != NULL) v->type.dtype = NRW_F32;
    return NRW_OK;
}

static nrw_status parse_input_default(parser *p, scope *s) {
    nrw_string name;
    NRW_TRY(parse_name(p, &name));
    nrw_value *v = nrw_map_get(&s->names, name.data, name.size);
    if (v == NULL || !v->is_input) P_FAIL(p, "%%%.*s is no input", (int)name.size, name.data);
    NRW_TRY(nrw_lex_expect(&p->lex, ":"));
    nrw_type type;
    const nrw_quant *same;
    NRW_TRY(parse_type(p, &type));
    NRW_TRY(parse_quant(p, &same));
    return attach(p, v, &type);
}

static nrw_status parse_use(parser *p, scope *s, nrw_value **out) {
    *out = NULL;
    if (nrw_lex_accept(&p->lex, "_")) return NRW_OK;
    nrw_string name;
    NRW_TRY(parse_name(p, &name));
    for (; s != NULL && *out == NULL; s = s->outer)
        *out = nrw_map_get(&s->names, name.data, name.size);
    if (*out == NULL) P_FAIL(p, "%%%.*s is not made before it is used", (int)name.size, name.data);
    return NRW_OK;
}

static nrw_status parse_inputs(parser *p, scope *s, nrw_node *n) {
    NRW_TRY(nrw_lex_expect(&p->lex, "("));
    for (int i = 0; !nrw_lex_accept(&p->lex, ")"); i++) {
        nrw_value *v;
        if (i > 0) NRW_TRY(nrw_lex_expect(&p->lex, ","));
        NRW_TRY(parse_use(p, s, &v));
        NRW_TRY(nrw_node_resize_inputs(n, i + 1, p->err));
        NRW_TRY(nrw_node_set_input(n, i, v, p->err));
    }
    return NRW_OK;
}

static nrw_status parse_node(parser *p, scope *s) {
    nrw_value **outputs = NULL;
    size_t cap = 0;
    int n_out = 0;
    do {
        nrw_type type;
        if (!nrw_arena_grow(&p->scratch, (void **)&outputs, &cap, (size_t)n_out + 1,
                            sizeof *outputs))
            NRW_OOM(p->err);
        outputs[n_out] = NULL;
        if (!nrw_lex_accept(&p->lex, "_")) NRW_TRY(parse_definition(p, s, &type, &outputs[n_out]));
        n_out++;
    } while (nrw_lex_accept(&p->lex, ","));
    NRW_TRY(nrw_lex_expect(&p->lex, "="));
    nrw_string a, b = {NULL, 0};
    NRW_TRY(nrw_lex_operator(&p->lex, &a, &b)); /* a: domain (may be empty), b: name */
    const char *domain = nrw_arena_strndup(&p->scratch, a.data, a.size);
    const char *type = nrw_arena_strndup(&p->scratch, b.data, b.size);
    if (domain == NULL || type == NULL) NRW_OOM(p->err);
    nrw_node *n = nrw_node_new(s->graph, p->find(type, domain), type, domain, NULL, 0, n_out, NULL);
    if (n == NULL) NRW_OOM(p->err);
    NRW_TRY(parse_inputs(p, s, n));
    NRW_TRY(parse_attrs(p, s, n));
    nrw_string name;
    if (nrw_lex_peek(&p->lex, "\"")) {
        NRW_TRY(nrw_lex_string(&p->lex, &p->model->arena, &name));
        n->name = name.data;
        n->nameless = false;
        nrw_model_note_name(p->model, name.data, name.size);
    }
    for (int i = 0; i < n_out; i++) {
        if (outputs[i] != NULL) nrw_node_set_output(n, i, outputs[i]);
    }
    return NRW_OK;
}

static nrw_status parse_return(parser *p, scope *s) {
    while (!nrw_lex_accept(&p->lex, "}")) {
        nrw_value *v;
        if (s->graph->n_outputs > 0) NRW_TRY(nrw_lex_expect(&p->lex, ","));
        NRW_TRY(parse_use(p, s, &v));
        if (v == NULL) P_FAIL(p, "an output is left out");
        NRW_TRY(nrw_graph_add_output(s->graph, v, p->err));
    }
    return NRW_OK;
}

/* After the word `graph`. */
static nrw_status parse_graph(parser *p, nrw_graph *g, scope *outer) {
    scope s = {.graph = g, .outer = outer};
    nrw_string name;
    nrw_value *v;
    nrw_type type;
    if (++p->depth > MAX_DEPTH) P_FAIL(p, "graphs nest deeper than %d levels", MAX_DEPTH);
    nrw_map_init(&s.names, &p->scratch);
    if (nrw_lex_peek(&p->lex, "\""))
        NRW_TRY(nrw_lex_string(&p->lex, &p->model->arena, &name));
    else
        NRW_TRY(nrw_lex_word(&p->lex, &name));
    g->name = nrw_arena_strndup(&p->model->arena, name.data, name.size);
    if (g->name == NULL) NRW_OOM(p->err);
    NRW_TRY(nrw_lex_expect(&p->lex, "("));
    while (!nrw_lex_accept(&p->lex, ")")) {
        if (g->n_inputs > 0) NRW_TRY(nrw_lex_expect(&p->lex, ","));
        NRW_TRY(parse_definition(p, &s, &type, &v));
        NRW_TRY(nrw_graph_add_input(g, v, p->err));
    }
    NRW_TRY(nrw_lex_expect(&p->lex, "{"));
    while (!nrw_lex_accept(&p->lex, "return")) {
        if (nrw_lex_accept(&p->lex, "input const")) {
            NRW_TRY(parse_input_default(p, &s));
        } else if (nrw_lex_accept(&p->lex, "const")) {
            NRW_TRY(parse_definition(p, &s, &type, &v));
            NRW_TRY(attach(p, v, &type));
        } else {
            NRW_TRY(parse_node(p, &s));
        }
    }
    p->depth--;
    return parse_return(p, &s);
}

nrw_status nrw_model_parse(const nrw_context *c, const char *text, size_t n, nrw_op_lookup find,
                           nrw_model **out, nrw_error *err) {
    parser p = {.find = find, .err = err, .model = nrw_model_create(c)};
    if (p.model == NULL) NRW_OOM(err);
    p.model->format = "text";
    p.lex = (nrw_lexer){.start = text, .at = text, .end = text + n, .err = err};
    nrw_arena_init(&p.scratch, &c->memory.allocator);
    nrw_status s = nrw_lex_expect(&p.lex, "graph");
    if (s == NRW_OK) s = parse_graph(&p, p.model->graph, NULL);
    if (s == NRW_OK && !nrw_lex_at_end(&p.lex)) s = nrw_lex_fail(&p.lex, "text after the graph");
    if (s == NRW_OK) s = nrw_graph_verify(p.model, err);
    nrw_arena_free(&p.scratch);
    if (s == NRW_OK)
        *out = p.model;
    else
        nrw_model_destroy(p.model);
    return s;
}
