/* The text form, printing. docs/ir-text.md has the grammar. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ir/graph.h"

typedef struct printer {
    const nrw_model *model;
    nrw_strbuf *out;
    int64_t elide;
    bool *printed; /* [n_values] constants that stand already */
    nrw_error *err;
} printer;

static void put_indent(printer *p, int depth) {
    for (int i = 0; i < depth; i++) nrw_strbuf_puts(p->out, "  ");
}

static void put_quoted(printer *p, const char *s, size_t n) {
    nrw_strbuf_puts(p->out, "\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            nrw_strbuf_printf(p->out, "\\%c", c);
        else if (c == '\n')
            nrw_strbuf_puts(p->out, "\\n");
        else if (c < 32 || c == 127)
            nrw_strbuf_printf(p->out, "\\x%02x", c);
        else
            nrw_strbuf_add(p->out, &s[i], 1);
    }
    nrw_strbuf_puts(p->out, "\"");
}

static bool is_bare(const char *s) {
    if (*s == 0) return false;
    for (; *s != 0; s++) {
        if (!isalnum((unsigned char)*s) && strchr("_./:-", *s) == NULL) return false;
    }
    return true;
}

static void put_name(printer *p, const nrw_value *v) {
    if (v == NULL) {
        nrw_strbuf_puts(p->out, "_");
        return;
    }
    nrw_strbuf_puts(p->out, "%");
    if (is_bare(v->name))
        nrw_strbuf_puts(p->out, v->name);
    else
        put_quoted(p, v->name, strlen(v->name));
}

/* Enough digits to read the same number back; for attributes always recognizable as a float. */
static void put_float(printer *p, double x, int digits, bool marked) {
    char text[40];
    if (isnan(x))
        snprintf(text, sizeof text, "nan");
    else if (isinf(x))
        snprintf(text, sizeof text, x < 0 ? "-inf" : "inf");
    else
        snprintf(text, sizeof text, "%.*g", digits, x);
    nrw_strbuf_puts(p->out, text);
    if (marked && strpbrk(text, ".en") == NULL) nrw_strbuf_puts(p->out, ".0");
}

static void put_type(printer *p, const nrw_type *t, nrw_dtype dtype) {
    static const char *const wrap[] = {"", "seq(", "optional(", "optional(seq("};
    static const char *const unwrap[] = {"", ")", ")", "))"};
    nrw_strbuf_puts(p->out, wrap[t->kind]);
    nrw_strbuf_puts(p->out, nrw_dtype_name(dtype));
    if (t->rank >= 0 || dtype != NRW_NONE) {
        nrw_strbuf_puts(p->out, t->rank < 0 ? "[..." : "[");
        for (int i = 0; i < t->rank; i++) {
            const char *symbol = nrw_model_symbol_name(p->model, t->dims[i]);
            if (i > 0) nrw_strbuf_puts(p->out, ",");
            if (t->dims[i] >= 0)
                nrw_strbuf_printf(p->out, "%" PRId64, t->dims[i]);
            else if (symbol == NULL || isdigit((unsigned char)symbol[0]))
                nrw_strbuf_puts(p->out, "?");
            else if (is_bare(symbol))
                nrw_strbuf_puts(p->out, symbol);
            else
                put_quoted(p, symbol, strlen(symbol));
        }
        nrw_strbuf_puts(p->out, "]");
    }
    nrw_strbuf_puts(p->out, unwrap[t->kind]);
}

static void put_rounding(printer *p, const nrw_quant *q) {
    if (q->rounding == NRW_ROUND_LITERT) nrw_strbuf_puts(p->out, ", litert");
    if (q->rounding == NRW_ROUND_LITERT_U8) nrw_strbuf_puts(p->out, ", litert_u8");
}

static void put_quant(printer *p, const nrw_quant *q) {
    nrw_strbuf_printf(p->out, " q(%s", nrw_dtype_name(q->dtype));
    if (q->dynamic) {
        nrw_strbuf_puts(p->out, ", dynamic");
        put_rounding(p, q);
        nrw_strbuf_puts(p->out, ")");
        return;
    }
    bool list = q->axis >= 0;
    if (list) nrw_strbuf_printf(p->out, ", axis=%d", q->axis);
    if (q->block > 0) nrw_strbuf_printf(p->out, ", block=%" PRId64, q->block);
    nrw_strbuf_puts(p->out, list ? ", scale=[" : ", scale=");
    for (int64_t i = 0; i < q->count; i++) {
        if (i > 0) nrw_strbuf_puts(p->out, ", ");
        put_float(p, (double)q->scale[i], 9, false);
    }
    nrw_strbuf_puts(p->out, list ? "], zero=[" : ", zero=");
    for (int64_t i = 0; i < q->count; i++) {
        nrw_strbuf_printf(p->out, i > 0 ? ", %d" : "%d", q->zero_point[i]);
    }
    if (list) nrw_strbuf_puts(p->out, "]");
    put_rounding(p, q);
    nrw_strbuf_puts(p->out, ")");
}

static nrw_status put_element(printer *p, const nrw_tensor *t, int64_t i) {
    const char *at = (const char *)t->data + i * nrw_dtype_size(t->dtype);
    double x;
    int64_t n;
    switch (nrw_dtype_get(t->dtype)->klass) {
    case NRW_CLASS_FLOAT:
        NRW_TRY(nrw_to_f64(t->dtype, at, &x, 1, p->err));
        put_float(p, x, t->dtype == NRW_F64 ? 17 : 9, false);
        return NRW_OK;
    case NRW_CLASS_STRING:
        put_quoted(p, ((const nrw_string *)at)->data, ((const nrw_string *)at)->size);
        return NRW_OK;
    case NRW_CLASS_BOOL:
        nrw_strbuf_puts(p->out, *at != 0 ? "true" : "false");
        return NRW_OK;
    case NRW_CLASS_COMPLEX:
        for (int k = 0; k < 2; k++) {
            if (k == 1) nrw_strbuf_puts(p->out, ", ");
            if (t->dtype == NRW_C64)
                put_float(p, (double)((const float *)at)[k], 9, false);
            else
                put_float(p, ((const double *)at)[k], 17, false);
        }
        return NRW_OK;
    default:
        if (t->dtype == NRW_U64) {
            nrw_strbuf_printf(p->out, "%" PRIu64, *(const uint64_t *)at);
            return NRW_OK;
        }
        NRW_TRY(nrw_to_i64(t->dtype, at, &n, 1, p->err));
        nrw_strbuf_printf(p->out, "%" PRId64, n);
        return NRW_OK;
    }
}

static nrw_status put_elements(printer *p, const nrw_tensor *t) {
    int64_t n = nrw_tensor_count(t);
    nrw_strbuf_puts(p->out, " = ");
    if (p->elide >= 0 && n > p->elide) {
        nrw_strbuf_printf(p->out, "\xe2\x80\xa6 %016" PRIx64,
                          nrw_hash64(t->data, t->dtype == NRW_STRING ? 0 : nrw_tensor_bytes(t), 0));
        return NRW_OK;
    }
    nrw_strbuf_puts(p->out, "[");
    for (int64_t i = 0; i < n; i++) {
        if (i > 0) nrw_strbuf_puts(p->out, ", ");
        NRW_TRY(put_element(p, t, i));
    }
    nrw_strbuf_puts(p->out, "]");
    return NRW_OK;
}

static nrw_status put_tensor_attr(printer *p, const nrw_tensor *t) {
    nrw_type type = nrw_type_of(t);
    nrw_strbuf_puts(p->out, "tensor ");
    put_type(p, &type, t->dtype);
    return put_elements(p, t);
}

static nrw_status put_graph(printer *p, const nrw_graph *g, int depth);

static nrw_status put_attr(printer *p, const nrw_attr *a, int depth) {
    nrw_strbuf_printf(p->out, "%s=", a->name);
    bool plural = a->type >= NRW_ATTR_INTS && a->type != NRW_ATTR_RAW;
    static const char *const plurals[] = {[NRW_ATTR_INTS] = "ints",
                                          [NRW_ATTR_FLOATS] = "floats",
                                          [NRW_ATTR_STRINGS] = "strings",
                                          [NRW_ATTR_TENSORS] = "tensors",
                                          [NRW_ATTR_GRAPHS] = "graphs"};
    bool word = plural && (a->n == 0 || a->type == NRW_ATTR_TENSORS || a->type == NRW_ATTR_GRAPHS);
    if (plural) nrw_strbuf_printf(p->out, "%s[", word ? plurals[a->type] : "");
    for (int64_t i = 0; i < a->n; i++) {
        if (i > 0) nrw_strbuf_puts(p->out, ", ");
        switch (a->type) {
        case NRW_ATTR_INT:
            nrw_strbuf_printf(p->out, "%" PRId64, a->i);
            break;
        case NRW_ATTR_INTS:
            nrw_strbuf_printf(p->out, "%" PRId64, a->ints[i]);
            break;
        case NRW_ATTR_FLOAT:
            put_float(p, (double)a->f, 9, true);
            break;
        case NRW_ATTR_FLOATS:
            put_float(p, (double)a->floats[i], 9, true);
            break;
        case NRW_ATTR_STRING:
            put_quoted(p, a->s.data, a->s.size);
            break;
        case NRW_ATTR_STRINGS:
            put_quoted(p, a->strings[i].data, a->strings[i].size);
            break;
        case NRW_ATTR_TENSOR:
        case NRW_ATTR_TENSORS:
            NRW_TRY(put_tensor_attr(p, &a->tensor[i]));
            break;
        case NRW_ATTR_GRAPH:
            NRW_TRY(put_graph(p, a->graph, depth + 1));
            break;
        case NRW_ATTR_GRAPHS:
            NRW_TRY(put_graph(p, a->graphs[i], depth + 1));
            break;
        case NRW_ATTR_RAW:
            nrw_strbuf_puts(p->out, "raw \"");
            for (size_t k = 0; k < a->s.size; k++) {
                nrw_strbuf_printf(p->out, "%02x", (unsigned char)a->s.data[k]);
            }
            nrw_strbuf_puts(p->out, "\"");
            break;
        }
    }
    if (plural) nrw_strbuf_puts(p->out, "]");
    return NRW_OK;
}

static void put_typed(printer *p, const nrw_value *v) {
    put_name(p, v);
    if (v == NULL) return;
    nrw_strbuf_puts(p->out, ": ");
    put_type(p, &v->type, v->data != NULL ? v->data->dtype : v->type.dtype);
    if (v->quant != NULL) put_quant(p, v->quant);
    if (v->quant != NULL && v->as_integers) nrw_strbuf_puts(p->out, " as integers");
}

static nrw_status put_const(printer *p, const nrw_graph *g, const nrw_value *v, int depth) {
    if (v == NULL || v->data == NULL || v->graph != g || p->printed[v->id]) return NRW_OK;
    p->printed[v->id] = true;
    put_indent(p, depth + 1);
    nrw_strbuf_puts(p->out, v->is_input ? "input const " : "const ");
    put_typed(p, v);
    NRW_TRY(put_elements(p, v->data));
    nrw_strbuf_puts(p->out, "\n");
    return NRW_OK;
}

/* Constants of g that nodes of `in` (g or a body below it) use. */
static nrw_status put_consts(printer *p, const nrw_graph *g, const nrw_graph *in, int depth) {
    for (const nrw_node *n = in->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_inputs; i++) NRW_TRY(put_const(p, g, n->inputs[i], depth));
        for (int i = 0; i < n->n_attrs; i++) {
            const nrw_attr *a = &n->attrs[i];
            if (a->type == NRW_ATTR_GRAPH) NRW_TRY(put_consts(p, g, a->graph, depth));
            for (int64_t k = 0; a->type == NRW_ATTR_GRAPHS && k < a->n; k++) {
                NRW_TRY(put_consts(p, g, a->graphs[k], depth));
            }
        }
    }
    for (int i = 0; i < in->n_outputs; i++) NRW_TRY(put_const(p, g, in->outputs[i], depth));
    return NRW_OK;
}

static nrw_status put_node(printer *p, const nrw_node *n, int depth) {
    put_indent(p, depth + 1);
    for (int i = 0; i < n->n_outputs; i++) {
        if (i > 0) nrw_strbuf_puts(p->out, ", ");
        put_typed(p, n->outputs[i]);
    }
    nrw_strbuf_printf(p->out, " = %s%s%s(", n->domain, n->domain[0] != 0 ? "::" : "", n->type);
    for (int i = 0; i < n->n_inputs; i++) {
        if (i > 0) nrw_strbuf_puts(p->out, ", ");
        put_name(p, n->inputs[i]);
    }
    nrw_strbuf_puts(p->out, ")");
    for (int i = 0; i < n->n_attrs; i++) {
        nrw_strbuf_puts(p->out, i == 0 ? " {" : ", ");
        NRW_TRY(put_attr(p, &n->attrs[i], depth));
    }
    if (n->n_attrs > 0) nrw_strbuf_puts(p->out, "}");
    nrw_strbuf_puts(p->out, " ");
    put_quoted(p, n->name, strlen(n->name));
    nrw_strbuf_puts(p->out, "\n");
    return NRW_OK;
}

static nrw_status put_graph(printer *p, const nrw_graph *g, int depth) {
    nrw_strbuf_puts(p->out, "graph ");
    if (is_bare(g->name))
        nrw_strbuf_puts(p->out, g->name);
    else
        put_quoted(p, g->name, strlen(g->name));
    nrw_strbuf_puts(p->out, "(");
    for (int i = 0; i < g->n_inputs; i++) {
        if (i > 0) nrw_strbuf_puts(p->out, ", ");
        put_typed(p, g->inputs[i]);
    }
    nrw_strbuf_puts(p->out, ") {\n");
    for (int i = 0; i < g->n_inputs; i++) NRW_TRY(put_const(p, g, g->inputs[i], depth));
    NRW_TRY(put_consts(p, g, g, depth));
    for (const nrw_node *n = g->first; n != NULL; n = n->next) NRW_TRY(put_node(p, n, depth));
    put_indent(p, depth + 1);
    nrw_strbuf_puts(p->out, "return");
    for (int i = 0; i < g->n_outputs; i++) {
        nrw_strbuf_puts(p->out, i > 0 ? ", " : " ");
        put_name(p, g->outputs[i]);
    }
    nrw_strbuf_puts(p->out, "\n");
    put_indent(p, depth);
    nrw_strbuf_puts(p->out, "}");
    return NRW_OK;
}

nrw_status nrw_model_print(const nrw_model *m, nrw_strbuf *out, int64_t elide, nrw_error *err) {
    size_t bytes = (size_t)m->n_values + 1;
    printer p = {.model = m, .out = out, .elide = elide, .err = err};
    p.printed = nrw_mem_alloc(m->arena.allocator, bytes);
    if (p.printed == NULL) NRW_OOM(err);
    memset(p.printed, 0, bytes);
    nrw_status s = put_graph(&p, m->graph, 0);
    nrw_mem_free(m->arena.allocator, p.printed, bytes);
    nrw_strbuf_puts(out, "\n");
    if (s == NRW_OK && out->failed) NRW_OOM(err);
    return s;
}
