/* Samples from text: one row each, numbers between commas, semicolons or tabs. A first row that
 * starts with a word is a heading. Quotes around a field are allowed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/source.h"

typedef struct table {
    const char *path;
    nrw_mapping mapping;
    const char **rows; /* [n]: where each starts */
    int64_t n;
    size_t cap;
    int64_t columns;
    bool heading;
} table;

typedef struct csv_source {
    nrw_source base;
    table table;
    int64_t features;
} csv_source;

static const char *end_of(const table *t) {
    return (const char *)t->mapping.data + t->mapping.size;
}

static bool is_separator(char c) {
    return c == ',' || c == ';' || c == '\t';
}

static bool is_line_end(char c) {
    return c == '\n' || c == '\r';
}

/* The next field of a row, without blanks and quotes; false at the row's end. */
static bool next_field(const char **at, const char *end, const char **field, size_t *n) {
    const char *p = *at;
    if (!p) return false;
    while (p < end && *p == ' ') p++;
    const char *start = p;
    while (p < end && !is_separator(*p) && !is_line_end(*p)) p++;
    const char *stop = p;
    while (stop > start && stop[-1] == ' ') stop--;
    if (stop - start >= 2 && *start == '"' && stop[-1] == '"') {
        start++;
        stop--;
    }
    *field = start;
    *n = (size_t)(stop - start);
    *at = p < end && is_separator(*p) ? p + 1 : NULL;
    return true;
}

/* The C library's reader is exact, but wants a terminated text. */
static bool parse_number(const char *field, size_t n, double *out) {
    char text[64];
    if (!n || n >= sizeof text || strspn(field, "+-.0123456789eEinfatyINFATY") < n) return false;
    memcpy(text, field, n);
    text[n] = 0;
    char *end;
    *out = strtod(text, &end);
    return end == text + n;
}

static int64_t count_fields(const char *row, const char *end) {
    const char *field;
    size_t size;
    int64_t n = 0;
    while (next_field(&row, end, &field, &size)) n++;
    return n;
}

static nrw_status index_rows(nrw_arena *a, table *t, nrw_error *err) {
    const char *p = (const char *)t->mapping.data, *end = end_of(t);
    if (t->mapping.size > 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3; /* byte order mark */
    for (bool first = true; p < end; first = false) {
        const char *line = p;
        while (p < end && !is_line_end(*p)) p++;
        const char *stop = p;
        while (p < end && is_line_end(*p)) p++;
        if (stop == line) continue;
        const char *field, *at = line;
        size_t n;
        double x;
        if (first && next_field(&at, end, &field, &n) && !parse_number(field, n, &x)) {
            t->heading = true;
            continue;
        }
        if (!nrw_arena_grow(a, (void **)&t->rows, &t->cap, (size_t)t->n + 1, sizeof *t->rows)) {
            NRW_OOM(err);
        }
        t->rows[t->n++] = line;
    }
    if (!t->n) NRW_FAIL(err, NRW_ERR_DATA, "%s: holds no rows of numbers", t->path);
    t->columns = count_fields(t->rows[0], end);
    return NRW_OK;
}

static nrw_status open_table(nrw_arena *a, const char *path, table *t, nrw_error *err) {
    *t = (table){.path = path};
    NRW_TRY(nrw_map_file(path, &t->mapping, err));
    nrw_status status = index_rows(a, t, err);
    if (status != NRW_OK) nrw_unmap_file(&t->mapping);
    return status;
}

/* Row i: the first n fields to out (if not NULL), the last one to *last (if not NULL). */
static nrw_status parse_row(const table *t, int64_t i, float *out, int64_t n, double *last,
                            nrw_error *err) {
    const char *at = t->rows[i], *end = end_of(t), *field;
    size_t size;
    int64_t k = 0;
    for (; next_field(&at, end, &field, &size); k++) {
        double x = 0;
        bool wanted = (out && k < n) || (last && k == t->columns - 1);
        if (wanted && !parse_number(field, size, &x)) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s: row %lld, column %lld: '%.*s' is not a number",
                     t->path, (long long)(i + 1 + t->heading), (long long)(k + 1),
                     size < 40 ? (int)size : 40, field);
        }
        if (out && k < n) out[k] = (float)x;
        if (last && k == t->columns - 1) *last = x;
    }
    if (k != t->columns) {
        NRW_FAIL(err, NRW_ERR_DATA, "%s: row %lld has %lld columns, the first one has %lld",
                 t->path, (long long)(i + 1 + t->heading), (long long)k, (long long)t->columns);
    }
    return NRW_OK;
}

static nrw_status last_column(nrw_arena *a, const table *t, int64_t **out, nrw_error *err) {
    *out = nrw_arena_calloc(a, (size_t)t->n, sizeof **out);
    if (!*out) NRW_OOM(err);
    for (int64_t i = 0; i < t->n; i++) {
        double x = 0;
        NRW_TRY(parse_row(t, i, NULL, 0, &x, err));
        if (!(fabs(x) < 0x1p53) || x != rint(x)) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s: row %lld: label %g is not a whole number", t->path,
                     (long long)(i + 1 + t->heading), x);
        }
        (*out)[i] = (int64_t)x;
    }
    return NRW_OK;
}

nrw_status nrw_csv_labels(nrw_arena *a, const char *path, int64_t **out, int64_t *n,
                          nrw_error *err) {
    table t;
    *out = NULL;
    *n = 0;
    NRW_TRY(open_table(a, path, &t, err));
    nrw_status status = last_column(a, &t, out, err);
    nrw_unmap_file(&t.mapping);
    *n = t.n;
    return status;
}

static nrw_status read_row(nrw_source *base, int64_t i, nrw_tensor *out, nrw_error *err) {
    csv_source *s = (csv_source *)base;
    float *values = nrw_buffer_need(&base->buffer, (size_t)s->features * sizeof *values);
    if (!values) NRW_OOM(err);
    NRW_TRY(parse_row(&s->table, i, values, s->features, NULL, err));
    *out = nrw_tensor_make(NRW_F32, base->type.rank, base->type.dims, values);
    return NRW_OK;
}

static void close_csv(nrw_source *base) {
    nrw_unmap_file(&((csv_source *)base)->table.mapping);
}

/* A row has the input's shape, less the batch, when it has as many elements. */
static nrw_status set_columns(nrw_arena *a, csv_source *s, const nrw_type *in, bool take_labels,
                              const int64_t **labels, nrw_error *err) {
    const table *t = &s->table;
    int batch = in->rank > 0;
    nrw_type sample = nrw_type_make(NRW_F32, in->rank < 0 ? 0 : in->rank - batch, in->dims + batch);
    int64_t want = in->rank < 1 ? -1 : nrw_type_count(&sample);
    bool labelled = take_labels && want >= 0 && t->columns == want + 1;
    s->features = t->columns - labelled;
    if (want >= 0 && s->features != want) {
        char text[128];
        NRW_FAIL(err, NRW_ERR_DATA, "%s: rows have %lld columns; the input %s takes %lld%s",
                 t->path, (long long)t->columns, nrw_type_str(in, text, sizeof text),
                 (long long)want, take_labels ? ", and one more for a label" : "");
    }
    if (labelled) {
        int64_t *found;
        NRW_TRY(last_column(a, t, &found, err));
        *labels = found;
    }
    s->base.type = want >= 0 ? sample : nrw_type_make(NRW_F32, 1, &s->features);
    return NRW_OK;
}

nrw_status nrw_source_csv(nrw_arena *a, const char *path, const nrw_type *in, bool take_labels,
                          nrw_source **out, const int64_t **labels, nrw_error *err) {
    *labels = NULL;
    csv_source *s = nrw_arena_calloc(a, 1, sizeof *s);
    if (!s) NRW_OOM(err);
    NRW_TRY(open_table(a, path, &s->table, err));
    s->base = (nrw_source){.allocator = a->allocator,
                           .name = path,
                           .count = s->table.n,
                           .buffer = {.allocator = a->allocator},
                           .read = read_row,
                           .close = close_csv};
    nrw_status status = set_columns(a, s, in, take_labels, labels, err);
    if (status != NRW_OK) {
        nrw_source_close(&s->base);
        return status;
    }
    *out = &s->base;
    return NRW_OK;
}
