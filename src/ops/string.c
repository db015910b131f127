/* Operators on text: StringConcat, StringSplit, StringNormalizer, RegexFullMatch. */
#include "base/str.h"
#include "ops/cases.h"
#include "ops/regex.h"
#include "ops/rows.h"

static const char white_space[] = " \t\n\v\f\r";

static bool is_space(char c) {
    return c != 0 && strchr(white_space, c) != NULL;
}

static bool same(nrw_string a, nrw_string b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool all_strings(nrw_eval *e) {
    for (int i = 0; i < e->n_in; i++) {
        if (e->in[i]->dtype != NRW_STRING) return false;
    }
    return true;
}

/* StringConcat: pairs are laid out first, then joined one after the other, because the host's
 * memory is given out by one thread. */
static void keep_first(const void *arg, void *out, const void *const *in, const int64_t *step,
                       int64_t n) {
    const nrw_string *x = in[0];
    nrw_string *y = out;
    for (int64_t i = 0; i < n; i++) y[i] = x[i * step[0]];
}

static nrw_status run_concat(nrw_eval *e) {
    if (!all_strings(e)) NRW_FAIL(e->err, NRW_ERR_SHAPE, "StringConcat takes strings");
    nrw_tensor sides[2], *out = &e->out[0];
    for (int k = 0; k < 2; k++) {
        NRW_TRY(nrw_tensor_new(e->scratch, NRW_STRING, out->rank, out->dims, &sides[k], e->err));
        NRW_TRY(nrw_each_row(e, &sides[k], 1, &e->in[k], keep_first, NULL));
    }
    const nrw_string *x = sides[0].data, *y = sides[1].data;
    nrw_string *z = out->data;
    int64_t n = nrw_tensor_count(out);
    for (int64_t i = 0; i < n; i++) {
        size_t size;
        if (!nrw_add_size(x[i].size, y[i].size, &size)) NRW_OOM(e->err);
        char *text = e->host->bytes(e->host, size > 0 ? size : 1);
        if (text == NULL) NRW_OOM(e->err);
        if (x[i].size > 0) memcpy(text, x[i].data, x[i].size);
        if (y[i].size > 0) memcpy(text + x[i].size, y[i].data, y[i].size);
        z[i] = (nrw_string){text, size};
    }
    return NRW_OK;
}

/* StringSplit. Parts are views into the input until they are stored. */
typedef struct splitter {
    nrw_string delimiter; /* empty: runs of white space */
    int64_t max;          /* number of splits; -1: no limit */
} splitter;

static const char *find_delimiter(nrw_string s, nrw_string d) {
    return s.size < d.size ? NULL : memmem(s.data, s.size, d.data, d.size);
}

static nrw_string drop(nrw_string s, size_t n) {
    return (nrw_string){s.data + n, s.size - n};
}

static int64_t split_at_delimiter(const splitter *sp, nrw_string s, nrw_string *parts) {
    int64_t n = 0;
    const char *at;
    while ((sp->max < 0 || n < sp->max) && (at = find_delimiter(s, sp->delimiter)) != NULL) {
        size_t size = (size_t)(at - s.data);
        if (parts != NULL) parts[n] = (nrw_string){s.data, size};
        n++;
        s = drop(s, size + sp->delimiter.size);
    }
    if (parts != NULL) parts[n] = s;
    return n + 1;
}

/* The part after the last split keeps its inner white space. */
static int64_t split_at_spaces(const splitter *sp, nrw_string s, nrw_string *parts) {
    while (s.size > 0 && is_space(s.data[s.size - 1])) s.size--;
    for (int64_t n = 0;; n++) {
        while (s.size > 0 && is_space(s.data[0])) s = drop(s, 1);
        if (s.size == 0) return n;
        size_t size = 0;
        if (n == sp->max) size = s.size;
        while (size < s.size && !is_space(s.data[size])) size++;
        if (parts != NULL) parts[n] = (nrw_string){s.data, size};
        s = drop(s, size);
    }
}

/* The number of parts of s; they are written to parts unless it is NULL. */
static int64_t split(const splitter *sp, nrw_string s, nrw_string *parts) {
    return sp->delimiter.size > 0 ? split_at_delimiter(sp, s, parts)
                                  : split_at_spaces(sp, s, parts);
}

static nrw_status run_split(nrw_eval *e) {
    if (!all_strings(e)) NRW_FAIL(e->err, NRW_ERR_SHAPE, "StringSplit takes strings");
    const nrw_tensor *in = e->in[0];
    const nrw_attr *delimiter = nrw_node_attr(e->node, "delimiter");
    splitter sp = {.max = nrw_attr_int(e->node, "maxsplit", -1)};
    if (delimiter != NULL) sp.delimiter = delimiter->s;
    int64_t n = nrw_tensor_count(in), most = 0, dims[NRW_MAX_RANK];
    const nrw_string *x = in->data;
    if (in->rank == NRW_MAX_RANK)
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "one axis more than %d", NRW_MAX_RANK);
    int64_t *counts = nrw_arena_calloc(e->scratch, (size_t)n + 1, sizeof *counts);
    if (counts == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < n; i++) {
        counts[i] = split(&sp, x[i], NULL);
        most = counts[i] > most ? counts[i] : most;
    }
    memcpy(dims, in->dims, sizeof(int64_t) * (size_t)in->rank);
    dims[in->rank] = most;
    NRW_TRY(nrw_eval_alloc(e, 0, NRW_STRING, in->rank + 1, dims));
    nrw_string *parts = e->out[0].data;
    for (int64_t i = 0; i < n; i++) {
        memset(parts + i * most, 0, sizeof *parts * (size_t)most);
        (void)split(&sp, x[i], parts + i * most);
    }
    if (e->n_out > 1 && e->out[1].data != NULL && n > 0)
        memcpy(e->out[1].data, counts, sizeof *counts * (size_t)n);
    return NRW_OK;
}

static nrw_status infer_split(nrw_infer *c) {
    const nrw_type *x = c->in[0];
    c->out[0].kind = NRW_TENSOR;
    c->out[0].dtype = NRW_STRING;
    if (x->rank != NRW_RANK_UNKNOWN && x->rank < NRW_MAX_RANK) {
        c->out[0] = *x;
        c->out[0].dims[c->out[0].rank++] = NRW_DIM_UNKNOWN;
    }
    if (c->n_out > 1) {
        c->out[1] = *x;
        c->out[1].dtype = NRW_I64;
    }
    return NRW_OK;
}

/* StringNormalizer. Case is that of ASCII, Latin-1, Greek and Cyrillic letters; other text stays.
 */
typedef enum letter_case { AS_IS, LOWER, UPPER } letter_case;

/* The other case of a two-byte code point whose two cases take two bytes each. */
static unsigned change_case(unsigned c, letter_case how) {
    bool lower = how == LOWER;
    if (lower ? (c >= 0xC0 && c <= 0xDE && c != 0xD7) : (c >= 0xE0 && c <= 0xFE && c != 0xF7))
        return lower ? c + 0x20 : c - 0x20;
    if (lower ? (c >= 0x391 && c <= 0x3A9) : (c >= 0x3B1 && c <= 0x3C9 && c != 0x3C2))
        return lower ? c + 0x20 : c - 0x20;
    if (lower ? (c >= 0x410 && c <= 0x42F) : (c >= 0x430 && c <= 0x44F))
        return lower ? c + 0x20 : c - 0x20;
    if (lower ? (c >= 0x400 && c <= 0x40F) : (c >= 0x450 && c <= 0x45F))
        return lower ? c + 0x50 : c - 0x50;
    return c;
}

static void recase(const char *from, char *to, size_t n, letter_case how) {
    for (size_t i = 0; i < n; i++) {
        unsigned char a = (unsigned char)from[i];
        to[i] = from[i];
        if (how == LOWER && a >= 'A' && a <= 'Z') to[i] = (char)(a + 32);
        if (how == UPPER && a >= 'a' && a <= 'z') to[i] = (char)(a - 32);
        if ((a & 0xE0) == 0xC0 && i + 1 < n) {
            unsigned c = (unsigned)(a & 0x1F) << 6 | ((unsigned char)from[i + 1] & 0x3F);
            c = how == AS_IS ? c : change_case(c, how);
            to[i] = (char)(0xC0 | c >> 6);
            to[++i] = (char)(0x80 | (c & 0x3F));
        }
    }
}

static nrw_status recased(nrw_eval *e, nrw_string s, letter_case how, nrw_string *out) {
    char *text = e->host->bytes(e->host, s.size > 0 ? s.size : 1);
    if (text == NULL) NRW_OOM(e->err);
    recase(s.data, text, s.size, how);
    *out = (nrw_string){text, s.size};
    return NRW_OK;
}

static nrw_status is_stopword(nrw_eval *e, nrw_string s, bool exact, bool *stop) {
    const nrw_attr *words = nrw_node_attr(e->node, "stopwords");
    *stop = false;
    for (int64_t i = 0; words != NULL && i < words->n && !*stop; i++) {
        nrw_string a = s, b = words->strings[i];
        if (!exact) {
            NRW_TRY(recased(e, s, LOWER, &a));
            NRW_TRY(recased(e, words->strings[i], LOWER, &b));
        }
        *stop = same(a, b);
    }
    return NRW_OK;
}

static nrw_status run_normalize(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    if (!all_strings(e)) NRW_FAIL(e->err, NRW_ERR_SHAPE, "StringNormalizer takes strings");
    if (in->rank != 1 && !(in->rank == 2 && in->dims[0] == 1))
        NRW_FAIL_INPUT(e, 0, "X", "expected shape [C] or [1, C]");
    const char *action = nrw_attr_str(e->node, "case_change_action", "NONE");
    letter_case how = strcmp(action, "LOWER") == 0   ? LOWER
                      : strcmp(action, "UPPER") == 0 ? UPPER
                                                     : AS_IS;
    bool exact = nrw_attr_int(e->node, "is_case_sensitive", 0) != 0;
    const nrw_string *x = in->data;
    int64_t n = nrw_tensor_count(in), kept = 0;
    nrw_string *left = nrw_arena_calloc(e->scratch, (size_t)n + 1, sizeof *left);
    if (left == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < n; i++) {
        bool stop;
        NRW_TRY(is_stopword(e, x[i], exact, &stop));
        if (stop) continue;
        if (how == AS_IS)
            left[kept++] = x[i];
        else
            NRW_TRY(recased(e, x[i], how, &left[kept++]));
    }
    if (kept == 0) kept = 1; /* one empty string */
    int64_t dims[2] = {1, kept};
    NRW_TRY(nrw_eval_alloc(e, 0, NRW_STRING, in->rank, in->rank == 1 ? dims + 1 : dims));
    memcpy(e->out[0].data, left, sizeof *left * (size_t)kept);
    return NRW_OK;
}

static nrw_status infer_normalize(nrw_infer *c) {
    c->out[0] = *c->in[0];
    if (c->out[0].rank > 0) c->out[0].dims[c->out[0].rank - 1] = NRW_DIM_UNKNOWN;
    return NRW_OK;
}

static nrw_status run_regex(nrw_eval *e) {
    const nrw_attr *pattern = nrw_node_attr(e->node, "pattern");
    nrw_regex *re;
    if (!all_strings(e)) NRW_FAIL(e->err, NRW_ERR_SHAPE, "RegexFullMatch takes strings");
    if (pattern == NULL) NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "pattern: missing");
    NRW_TRY(nrw_regex_compile(e->scratch, pattern->s, &re, e->err));
    const nrw_string *x = e->in[0]->data;
    int64_t n = nrw_tensor_count(e->in[0]);
    for (int64_t i = 0; i < n; i++) ((bool *)e->out[0].data)[i] = nrw_regex_match(re, x[i]);
    return NRW_OK;
}

static nrw_status infer_regex(nrw_infer *c) {
    NRW_TRY(nrw_infer_same(c));
    c->out[0].dtype = NRW_BOOL;
    return NRW_OK;
}

static const nrw_attr_def regex_attrs[] = {{"pattern", NRW_ATTR_STRING, false}, {0}};
static const nrw_attr_def split_attrs[] = {
    {"delimiter", NRW_ATTR_STRING, false}, {"maxsplit", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def normalize_attrs[] = {{"case_change_action", NRW_ATTR_STRING, false},
                                               {"is_case_sensitive", NRW_ATTR_INT, false},
                                               {"locale", NRW_ATTR_STRING, false},
                                               {"stopwords", NRW_ATTR_STRINGS, false},
                                               {0}};

static const nrw_op concat_op = {
    .name = "StringConcat",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .infer = nrw_infer_broadcast,
    .reference = run_concat,
    .onnx = {"StringConcat", 20},
};
static const nrw_op split_op = {
    .name = "StringSplit",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 2,
    .attrs = split_attrs,
    .infer = infer_split,
    .cases = NRW_CASES({"graph main(%x: str[2,3]) { %y: str[2,3,?], %n: i64[2,3] = StringSplit(%x) "
                        "{delimiter=\"r\"} return %y, %n }",
                        0, 1}),
    .reference = run_split,
    .onnx = {"StringSplit", 20},
};
static const nrw_op normalize_op = {
    .name = "StringNormalizer",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = normalize_attrs,
    .infer = infer_normalize,
    .reference = run_normalize,
    .onnx = {"StringNormalizer", 10},
};

static const nrw_op regex_op = {
    .name = "RegexFullMatch",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = regex_attrs,
    .infer = infer_regex,
    .reference = run_regex,
    .onnx = {"RegexFullMatch", 20},
    .cases = NRW_CASES({"graph main(%x: str[3,N]) { %y: bool[3,N] = RegexFullMatch(%x) "
                        "{pattern=\"[n-r]\"} return %y }",
                        0, 1}),
};

NRW_OPS(string, &concat_op, &split_op, &normalize_op, &regex_op);
