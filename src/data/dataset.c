#include "data/dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/fit.h"

struct nrw_dataset {

    nrw_arena arena;
    nrw_mapping archive; /* .npz */
    nrw_preprocess preprocess;
    const char *spec, *path;
    nrw_feed *feeds;
    int n_feeds;
    int64_t available, count, batch; /* samples there, samples to use, samples in one run */
    const int64_t *labels;           /* [available], or NULL */
    const char *labels_name;         /* for messages */
    nrw_buffer geometry[3];
};

/* Opening ---------------------------------------------------------------------------------------
 */

/* The inputs that need data: those without a default. */
static nrw_status list_inputs(nrw_dataset *d, const nrw_model *m, nrw_error *err) {
    const nrw_graph *g = m->graph;
    d->feeds = nrw_arena_calloc(&d->arena, (size_t)g->n_inputs, sizeof *d->feeds);
    if (!d->feeds) NRW_OOM(err);
    for (int k = 0; k < g->n_inputs; k++) {
        const nrw_value *v = g->inputs[k];
        if (v->data) continue;
        nrw_feed *f = &d->feeds[d->n_feeds++];
        f->name = nrw_arena_strdup(&d->arena, v->name);
        if (!f->name) NRW_OOM(err);
        f->type = v->type;
        f->permuted.allocator = f->wide.allocator = f->out.allocator = d->arena.allocator;
        if (v->type.kind != NRW_TENSOR) {
            NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "input '%s' is no tensor; data cannot fill it",
                     v->name);
        }
    }
    if (!d->n_feeds) NRW_FAIL(err, NRW_ERR_DATA, "the model has no inputs that data could fill");
    return NRW_OK;
}

/* Names, as a message shows them. */
static const char *join_members(nrw_arena *a, const nrw_zip *z) {
    nrw_strbuf b;
    nrw_strbuf_init(&b, a->allocator);
    for (size_t i = 0; i < z->n && i < 8; i++) {
        nrw_strbuf_printf(&b, "%s%s", i ? ", " : "", z->entries[i].name);
    }
    if (z->n > 8) nrw_strbuf_puts(&b, ", …");
    const char *text = b.failed || !b.data ? "nothing" : nrw_arena_strdup(a, b.data);
    nrw_strbuf_free(&b);
    return text ? text : "";
}

static nrw_status read_labels(nrw_dataset *d, nrw_source *s, int64_t *n, nrw_error *err) {
    int64_t elements = nrw_type_count(&s->type);
    if (elements != 1) {
        char text[160];
        NRW_FAIL(err, NRW_ERR_DATA, "%s: expected one label for each sample, got %s each", s->name,
                 nrw_type_str(&s->type, text, sizeof text));
    }
    int64_t *labels = nrw_arena_calloc(&d->arena, (size_t)s->count, sizeof *labels);
    if (!labels) NRW_OOM(err);
    for (int64_t i = 0; i < s->count; i++) {
        nrw_tensor t;
        double x;
        NRW_TRY(s->read(s, i, &t, err));
        NRW_TRY(nrw_to_f64(t.dtype, t.data, &x, 1, err));
        if (!(fabs(x) < 0x1p53) || x != rint(x)) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s: label %lld is %g, expected a whole number", s->name,
                     (long long)i, x);
        }
        labels[i] = (int64_t)x;
    }
    d->labels = labels;
    d->labels_name = s->name;
    *n = s->count;
    return NRW_OK;
}

static bool ends_in(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && strcmp(path + n - m, ending) == 0;
}

/* d->available is known. */
static nrw_status check_labels(const nrw_dataset *d, int64_t n, nrw_error *err) {
    if (n != d->available) {
        NRW_FAIL(err, NRW_ERR_DATA, "%s: %lld labels for %lld samples of %s", d->labels_name,
                 (long long)n, (long long)d->available, d->path);
    }
    for (int64_t i = 0; i < n; i++) {
        if (d->labels[i] < 0) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s: label %lld is %lld, below 0", d->labels_name,
                     (long long)i, (long long)d->labels[i]);
        }
    }
    return NRW_OK;
}

static nrw_status open_labels(nrw_dataset *d, const char *path, nrw_error *err) {
    int64_t n = 0;
    d->labels_name = nrw_arena_strdup(&d->arena, path);
    if (!d->labels_name) NRW_OOM(err);
    if (ends_in(path, ".csv")) {
        int64_t *labels;
        NRW_TRY(nrw_csv_labels(&d->arena, path, &labels, &n, err));
        d->labels = labels;
    } else if (ends_in(path, ".npy")) {
        nrw_source *s;
        NRW_TRY(nrw_source_npy(&d->arena, d->labels_name, &s, err));
        nrw_status status = read_labels(d, s, &n, err);
        nrw_source_close(s);
        NRW_TRY(status);
    } else {
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "%s: labels are expected in a .npy or .csv file", path);
    }
    return check_labels(d, n, err);
}

static const nrw_zip_entry *find_array(nrw_arena *a, const nrw_zip *z, const char *name) {
    const char *member = nrw_arena_printf(a, "%s.npy", name);
    return member ? nrw_zip_find(z, member) : NULL;
}

/* The one array besides labels; NULL when there are several. With one input as well, there is
 * nothing to mix up. */
static const nrw_zip_entry *only_array(const nrw_zip *z) {
    const nrw_zip_entry *only = NULL;
    for (size_t i = 0; i < z->n; i++) {
        if (strcmp(z->entries[i].name, "labels.npy") == 0) continue;
        if (only) return NULL;
        only = &z->entries[i];
    }
    return only;
}

static nrw_status open_npz(nrw_dataset *d, bool take_labels, nrw_error *err) {
    nrw_zip z;
    NRW_TRY(nrw_map_file(d->path, &d->archive, err));
    NRW_TRY_CTX(err, nrw_zip_open(&d->arena, d->archive.data, d->archive.size, &z, err), "%s",
                d->path);
    for (int k = 0; k < d->n_feeds; k++) {
        nrw_feed *f = &d->feeds[k];
        const nrw_zip_entry *e = find_array(&d->arena, &z, f->name);
        if (!e && d->n_feeds == 1) e = only_array(&z);
        if (!e) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s: no array for the input '%s'; it holds %s", d->path,
                     f->name, join_members(&d->arena, &z));
        }
        NRW_TRY(nrw_source_npz(&d->arena, d->path, e, &f->source, err));
    }
    d->available = d->feeds[0].source->count;
    const nrw_zip_entry *e = take_labels ? find_array(&d->arena, &z, "labels") : NULL;
    for (int k = 0; k < d->n_feeds; k++) {
        if (strcmp(d->feeds[k].name, "labels") == 0) e = NULL;
    }
    if (!e) return NRW_OK;
    nrw_source *s;
    int64_t n = 0;
    NRW_TRY(nrw_source_npz(&d->arena, d->path, e, &s, err));
    nrw_status status = read_labels(d, s, &n, err);
    nrw_source_close(s);
    NRW_TRY(status);
    return check_labels(d, n, err);
}

static nrw_status open_random(nrw_dataset *d, uint64_t seed, nrw_error *err) {
    char *end;
    const char *text = strchr(d->path, ':') + 1;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || n < 1) {
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "%s: expected random:N with N at least 1", d->path);
    }
    for (int k = 0; k < d->n_feeds; k++) {
        NRW_TRY(nrw_source_random(&d->arena, n, seed + (uint64_t)k, &d->feeds[k].type,
                                  &d->feeds[k].source, err));
    }
    return NRW_OK;
}

static nrw_status open_single(nrw_dataset *d, bool take_labels, nrw_error *err) {
    nrw_feed *f = &d->feeds[0];
    struct stat st;
    bool folder = stat(d->path, &st) == 0 && S_ISDIR(st.st_mode);
    bool npy = ends_in(d->path, ".npy"), csv = ends_in(d->path, ".csv");
    if (!folder && !npy && !csv) {
        NRW_FAIL(err, NRW_ERR_ARGUMENT,
                 "%s: expected a .npy, .npz or .csv file, a folder of pictures, or random:N",
                 d->path);
    }
    if (d->n_feeds > 1) {
        NRW_FAIL(err, NRW_ERR_DATA,
                 "%s: the model has %d inputs ('%s', '%s'%s); expected a .npz file with one array "
                 "for each",
                 d->path, d->n_feeds, f[0].name, f[1].name, d->n_feeds > 2 ? ", …" : "");
    }
    if (npy) return nrw_source_npy(&d->arena, d->path, &f->source, err);
    const int64_t *labels = NULL;
    int64_t classes;
    if (csv) {
        NRW_TRY(
            nrw_source_csv(&d->arena, d->path, &f->type, take_labels, &f->source, &labels, err));
    } else {
        NRW_TRY(
            nrw_source_images(&d->arena, d->path, &f->type, &f->source, &labels, &classes, err));
    }
    if (!labels) return NRW_OK;
    d->labels = labels;
    d->labels_name = d->path;
    d->available = f->source->count;
    return check_labels(d, d->available, err);
}

/* Fixed batches must agree; an input that a sample fills whole stands alone. */
static nrw_status decide_batch(nrw_dataset *d, nrw_error *err) {
    d->batch = 1;
    const nrw_feed *fixed = NULL, *whole = NULL;
    for (int k = 0; k < d->n_feeds; k++) {
        nrw_feed *f = &d->feeds[k];
        NRW_TRY(nrw_feed_decide(f, &d->preprocess, err));
        if (f->whole) whole = f;
        if (f->whole || f->type.rank < 1 || f->type.dims[0] < 0) continue;
        if (f->type.dims[0] == 0) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s: input '%s' takes no samples: its batch is 0", d->path,
                     f->name);
        }
        if (fixed && fixed->type.dims[0] != f->type.dims[0]) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s: inputs '%s' and '%s' differ in their batch", d->path,
                     f->name, fixed->name);
        }
        fixed = f;
        d->batch = f->type.dims[0];
    }
    if (whole && d->batch > 1) {
        NRW_FAIL(err, NRW_ERR_DATA, "%s: a sample fills all of '%s', but '%s' takes %lld at once",
                 whole->source->name, whole->name, fixed->name, (long long)d->batch);
    }
    return NRW_OK;
}

static nrw_status count_samples(nrw_dataset *d, int64_t limit, nrw_error *err) {
    const nrw_source *first = d->feeds[0].source;
    d->available = first->count;
    for (int k = 1; k < d->n_feeds; k++) {
        const nrw_source *s = d->feeds[k].source;
        if (s->count != d->available) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s has %lld samples, %s has %lld", first->name,
                     (long long)d->available, s->name, (long long)s->count);
        }
    }
    d->count = limit > 0 && limit < d->available ? limit : d->available;
    return NRW_OK;
}

static nrw_status check_preprocess(nrw_dataset *d, const char *text, nrw_error *err) {
    NRW_TRY(nrw_preprocess_parse(text, &d->preprocess, err));
    bool used =
        !nrw_preprocess_has_affine(&d->preprocess) && !nrw_preprocess_has_geometry(&d->preprocess);
    for (int k = 0; k < d->n_feeds; k++) used |= nrw_dtype_is_float(d->feeds[k].type.dtype);
    if (!used) {
        NRW_FAIL(err, NRW_ERR_ARGUMENT,
                 "preprocess: input '%s' takes whole numbers of type %s as "
                 "they are",
                 d->feeds[0].name, nrw_dtype_get(d->feeds[0].type.dtype)->title);
    }
    nrw_strbuf b;
    nrw_strbuf_init(&b, d->arena.allocator);
    nrw_preprocess_print(&d->preprocess, &b);
    d->spec = b.failed ? NULL : nrw_arena_strdup(&d->arena, b.data ? b.data : "");
    nrw_strbuf_free(&b);
    if (!d->spec) NRW_OOM(err);
    return NRW_OK;
}

static nrw_status open_dataset(nrw_dataset *d, const nrw_model *m, const nrw_data_options *o,
                               nrw_error *err) {
    NRW_TRY_CTX(err, list_inputs(d, m, err), "%s", m->source);
    NRW_TRY(check_preprocess(d, o->preprocess, err));
    d->path = nrw_arena_strdup(&d->arena, o->path);
    if (!d->path) NRW_OOM(err);
    if (strncmp(d->path, "random:", 7) == 0) {
        NRW_TRY(open_random(d, o->seed, err));
    } else if (ends_in(d->path, ".npz")) {
        NRW_TRY(open_npz(d, !o->labels, err));
    } else {
        NRW_TRY(open_single(d, !o->labels, err));
    }
    NRW_TRY(count_samples(d, o->limit, err));
    if (o->labels) NRW_TRY(open_labels(d, o->labels, err));
    return decide_batch(d, err);
}

nrw_status nrw_dataset_open(nrw_context *c, const nrw_model *m, const nrw_data_options *options,
                            nrw_dataset **out, nrw_error *err) {
    *out = NULL;
    if (!options || !options->path) NRW_FAIL(err, NRW_ERR_ARGUMENT, "data: no path given");
    const nrw_allocator *heap = &c->memory.allocator;
    nrw_dataset *d = nrw_mem_alloc(heap, sizeof *d);
    if (!d) NRW_OOM(err);
    *d = (nrw_dataset){0};
    nrw_arena_init(&d->arena, heap);
    for (int k = 0; k < 3; k++) d->geometry[k].allocator = heap;
    nrw_status status = open_dataset(d, m, options, err);
    if (status != NRW_OK) {
        nrw_dataset_free(d);
        return status;
    }
    *out = d;
    return NRW_OK;
}

void nrw_dataset_free(nrw_dataset *d) {
    if (!d) return;
    for (int k = 0; k < d->n_feeds; k++) nrw_feed_close(&d->feeds[k]);
    for (int k = 0; k < 3; k++) nrw_buffer_free(&d->geometry[k]);
    nrw_unmap_file(&d->archive);
    nrw_arena_free(&d->arena);
    nrw_mem_free(d->arena.allocator, d, sizeof *d);
}

/* Reading -----------------------------------------------------------------------------------------
 */

nrw_status nrw_dataset_read(nrw_dataset *d, int64_t b, nrw_tensor *in, int *valid, nrw_error *err) {
    int64_t first = b * d->batch, left = d->count - first;
    if (b < 0 || left < 1) {
        NRW_FAIL(err, NRW_ERR_INTERNAL, "%s: batch %lld is out of range", d->path, (long long)b);
    }
    if (valid) *valid = (int)(left < d->batch ? left : d->batch);
    for (int k = 0; k < d->n_feeds; k++) {
        for (int64_t slot = 0; slot < d->batch; slot++) {
            int64_t i = slot < left ? first + slot : d->count - 1;
            NRW_TRY(nrw_feed_sample(&d->feeds[k], &d->preprocess, d->geometry, i, slot, d->batch,
                                    &in[k], err));
        }
    }
    return NRW_OK;
}

int64_t nrw_dataset_samples(const nrw_dataset *d) {
    return d->count;
}

int64_t nrw_dataset_batches(const nrw_dataset *d) {
    return d->count / d->batch + (d->count % d->batch != 0);
}

int64_t nrw_dataset_batch_size(const nrw_dataset *d) {
    return d->batch;
}

int nrw_dataset_inputs(const nrw_dataset *d) {
    return d->n_feeds;
}

const char *nrw_dataset_input_name(const nrw_dataset *d, int k) {
    return d->feeds[k].name;
}

bool nrw_dataset_has_labels(const nrw_dataset *d) {
    return d->labels;
}

int64_t nrw_dataset_label(const nrw_dataset *d, int64_t i) {
    return d->labels[i];
}

nrw_status nrw_dataset_check_labels(const nrw_dataset *d, int64_t classes, nrw_error *err) {
    for (int64_t i = 0; i < d->count; i++) {
        if (d->labels[i] >= classes) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s: label %lld is %lld, but the model has %lld classes",
                     d->labels_name, (long long)i, (long long)d->labels[i], (long long)classes);
        }
    }
    return NRW_OK;
}

const char *nrw_dataset_preprocess(const nrw_dataset *d) {
    return d->spec;
}
