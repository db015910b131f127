/* TfIdfVectorizer: counts of known n-grams with skips, weighted. */
#include "base/str.h"
#include "ops/rows.h"

typedef struct vectorizer {
    nrw_map grams; /* length and words of a gram -> its index + 1 */
    int64_t shortest, longest, skips;
    const int64_t *columns; /* [n_grams] output column of each gram */
    int64_t n_columns;
    bool strings;
} vectorizer;

/* The key of `length` words, `stride` apart: numbers by their bytes, text with its size before it.
 */
static bool make_key(nrw_strbuf *key, bool strings, const void *words, int64_t stride,
                     int64_t length) {
    key->size = 0;
    nrw_strbuf_add(key, &length, sizeof length);
    for (int64_t i = 0; i < length; i++) {
        if (strings) {
            const nrw_string *w = (const nrw_string *)words + i * stride;
            nrw_strbuf_add(key, &w->size, sizeof w->size);
            nrw_strbuf_add(key, w->data, w->size);
        } else {
            nrw_strbuf_add(key, (const int64_t *)words + i * stride, sizeof(int64_t));
        }
    }
    return !key->failed;
}

static nrw_status add_grams(nrw_eval *e, vectorizer *v, nrw_strbuf *key, const nrw_attr *pool) {
    int64_t n_starts, n_columns, gram = 0;
    const int64_t *starts = nrw_attr_ints(e->node, "ngram_counts", &n_starts);
    v->columns = nrw_attr_ints(e->node, "ngram_indexes", &n_columns);
    size_t size = v->strings ? sizeof(nrw_string) : sizeof(int64_t);
    const char *words = v->strings ? (const void *)pool->strings : (const void *)pool->ints;
    for (int64_t length = 1; length <= n_starts; length++) {
        int64_t begin = starts[length - 1], end = length < n_starts ? starts[length] : pool->n;
        if (begin < 0 || end > pool->n || begin > end || (end - begin) % length != 0)
            NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "ngram_counts: does not fit the pool");
        for (int64_t i = begin; i < end; i += length, gram++) {
            if (gram >= n_columns || v->columns[gram] < 0 || v->columns[gram] >= v->n_columns)
                NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "ngram_indexes: does not fit the pool");
            if (!make_key(key, v->strings, words + (size_t)i * size, 1, length)) NRW_OOM(e->err);
            char *kept = nrw_arena_dup(e->scratch, key->data, key->size);
            if (kept == NULL ||
                !nrw_map_put(&v->grams, kept, key->size, (void *)(uintptr_t)(gram + 1)))
                NRW_OOM(e->err);
        }
    }
    return NRW_OK;
}

static nrw_status count_row(nrw_eval *e, const vectorizer *v, nrw_strbuf *key, const char *words,
                            int64_t n, int64_t *counts) {
    size_t size = v->strings ? sizeof(nrw_string) : sizeof(int64_t);
    for (int64_t length = v->shortest; length <= v->longest && length <= n; length++) {
        /* Single words have nothing to skip between them. */
        int64_t strides = length == 1 ? 1 : v->skips + 1;
        for (int64_t stride = 1; stride <= strides && stride <= n; stride++) {
            if ((length - 1) > (n - 1) / stride) break;
            for (int64_t i = 0; i + (length - 1) * stride < n; i++) {
                if (!make_key(key, v->strings, words + (size_t)i * size, stride, length))
                    NRW_OOM(e->err);
                const void *found = nrw_map_get(&v->grams, key->data, key->size);
                if (found != NULL) counts[(uintptr_t)found - 1]++;
            }
        }
    }
    return NRW_OK;
}

static nrw_status weigh(nrw_eval *e, const vectorizer *v, const int64_t *counts, float *row) {
    const char *mode = nrw_attr_str(e->node, "mode", "TF");
    int64_t n_grams, n_weights;
    (void)nrw_attr_ints(e->node, "ngram_indexes", &n_grams);
    const float *weights = nrw_attr_floats(e->node, "weights", &n_weights);
    bool tf = strcmp(mode, "TF") == 0, idf = strcmp(mode, "IDF") == 0;
    if (!tf && !idf && strcmp(mode, "TFIDF") != 0)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "mode: expected TF, IDF or TFIDF");
    if (weights != NULL && n_weights != n_grams)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "weights: expected %lld", (long long)n_grams);
    memset(row, 0, sizeof *row * (size_t)v->n_columns);
    for (int64_t g = 0; g < n_grams; g++) {
        if (counts[g] == 0) continue;
        float w = tf || weights == NULL ? 1.0f : weights[g];
        row[v->columns[g]] += w * (idf ? 1.0f : (float)counts[g]);
    }
    return NRW_OK;
}

static nrw_status count_columns(const nrw_node *node, int64_t *columns, nrw_error *err) {
    int64_t n;
    const int64_t *index = nrw_attr_ints(node, "ngram_indexes", &n);
    *columns = 0;
    for (int64_t i = 0; i < n; i++) {
        if (index[i] < 0 || index[i] >= INT32_MAX)
            NRW_FAIL(err, NRW_ERR_ARGUMENT, "ngram_indexes: %lld", (long long)index[i]);
        if (index[i] >= *columns) *columns = index[i] + 1;
    }
    return NRW_OK;
}

static nrw_status vectorize(nrw_eval *e, vectorizer *v, nrw_strbuf *key, const nrw_attr *pool) {
    const nrw_tensor *x = e->in[0];
    int64_t n = nrw_tensor_count(x), n_grams, length = x->rank > 0 ? x->dims[x->rank - 1] : 1;
    (void)nrw_attr_ints(e->node, "ngram_indexes", &n_grams);
    const char *words = x->data;
    size_t size = v->strings ? sizeof(nrw_string) : sizeof(int64_t);
    if (!v->strings) { /* all integers are looked up as int64 */
        int64_t *wide = nrw_arena_calloc(e->scratch, (size_t)n + 1, sizeof *wide);
        if (wide == NULL) NRW_OOM(e->err);
        NRW_TRY(nrw_to_i64(x->dtype, x->data, wide, n, e->err));
        words = (const char *)wide;
    }
    NRW_TRY(add_grams(e, v, key, pool));
    int64_t *counts = nrw_arena_calloc(e->scratch, (size_t)n_grams + 1, sizeof *counts);
    if (counts == NULL) NRW_OOM(e->err);
    int64_t rows = x->rank == 2 ? x->dims[0] : 1;
    for (int64_t r = 0; r < rows; r++) {
        memset(counts, 0, sizeof *counts * (size_t)n_grams);
        NRW_TRY(count_row(e, v, key, words + (size_t)(r * length) * size, length, counts));
        NRW_TRY(weigh(e, v, counts, (float *)e->out[0].data + r * v->n_columns));
    }
    return NRW_OK;
}

static nrw_status run(nrw_eval *e) {
    const nrw_tensor *x = e->in[0];
    vectorizer v = {.shortest = nrw_attr_int(e->node, "min_gram_length", 1),
                    .longest = nrw_attr_int(e->node, "max_gram_length", 1),
                    .skips = nrw_attr_int(e->node, "max_skip_count", 0),
                    .strings = x->dtype == NRW_STRING};
    const nrw_attr *pool = nrw_node_attr(e->node, v.strings ? "pool_strings" : "pool_int64s");
    if (pool == NULL || (!v.strings && !nrw_dtype_is_integer(x->dtype)))
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "the pool is not of the input's type");
    if (x->rank > 2) NRW_FAIL_INPUT(e, 0, "X", "expected shape [C] or [N, C]");
    if (v.shortest < 1 || v.longest < v.shortest || v.skips < 0 || v.skips > INT32_MAX)
        NRW_FAIL(e->err, NRW_ERR_ARGUMENT, "n-gram lengths or skips make no sense");
    NRW_TRY(count_columns(e->node, &v.n_columns, e->err));
    nrw_map_init(&v.grams, e->scratch);
    nrw_strbuf key;
    nrw_strbuf_init(&key, &e->context->memory.allocator);
    nrw_status s = vectorize(e, &v, &key, pool);
    nrw_strbuf_free(&key);
    return s;
}

static nrw_status infer(nrw_infer *c) {
    int64_t columns;
    NRW_TRY(count_columns(c->node, &columns, c->err));
    c->out[0] = *c->in[0];
    c->out[0].dtype = NRW_F32;
    if (c->out[0].rank == 0) c->out[0].rank = 1;
    if (c->out[0].rank > 0) c->out[0].dims[c->out[0].rank - 1] = columns;
    return NRW_OK;
}

static const nrw_attr_def attrs[] = {
    {"max_gram_length", NRW_ATTR_INT, true}, {"max_skip_count", NRW_ATTR_INT, true},
    {"min_gram_length", NRW_ATTR_INT, true}, {"mode", NRW_ATTR_STRING, true},
    {"ngram_counts", NRW_ATTR_INTS, true},   {"ngram_indexes", NRW_ATTR_INTS, true},
    {"pool_int64s", NRW_ATTR_INTS, false},   {"pool_strings", NRW_ATTR_STRINGS, false},
    {"weights", NRW_ATTR_FLOATS, false},     {0}};

static const nrw_op tfidf_op = {
    .name = "TfIdfVectorizer",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = run,
    .onnx = {"TfIdfVectorizer", 9},
};

NRW_OPS(tfidf, &tfidf_op);
