/* Samples from .npy files and members of .npz archives. */
#include <string.h>

#include "data/npy.h"
#include "data/source.h"

enum { FORGET_AFTER = 1 << 21 };

typedef struct array_source {
    nrw_source base;
    nrw_mapping mapping;           /* .npy: the file */
    size_t read_bytes;             /* since its pages were last let go */
    nrw_zip_stream *stream;        /* deflated member: read as samples are asked for */
    const unsigned char *elements; /* NULL with a stream */
    unsigned char *whole;          /* deflated member in Fortran order: inflated */
    nrw_npy npy;
    size_t sample_bytes;
} array_source;

/* Memory must stay flat however many samples there are: pages that were read go now and then. */
static void forget_what_was_read(array_source *s) {
    s->read_bytes += s->sample_bytes;
    if (s->read_bytes < FORGET_AFTER) return;
    nrw_mapping_forget(&s->mapping);
    s->read_bytes = 0;
}

static nrw_status read_sample(nrw_source *base, int64_t i, nrw_tensor *out, nrw_error *err) {
    array_source *s = (array_source *)base;
    const nrw_npy *a = &s->npy;
    *out = nrw_tensor_make(a->dtype, base->type.rank, base->type.dims, NULL);
    forget_what_was_read(s);
    if (s->elements && !a->swapped && !(a->fortran && a->rank > 1)) {
        const unsigned char *p = s->elements + (size_t)i * s->sample_bytes;
        if ((uintptr_t)p % (size_t)nrw_dtype_size(a->dtype) == 0) {
            out->data = (void *)(uintptr_t)p;
            return NRW_OK;
        }
    }
    out->data = nrw_buffer_need(&base->buffer, s->sample_bytes);
    if (!out->data) NRW_OOM(err);
    if (s->stream) {
        uint64_t offset = a->offset + (uint64_t)i * s->sample_bytes;
        NRW_TRY_CTX(err, nrw_zip_stream_read(s->stream, offset, out->data, s->sample_bytes, err),
                    "%s", base->name);
        if (a->swapped) nrw_npy_swap(a->dtype, out->data, nrw_tensor_count(out));
    } else {
        nrw_npy_to_native(a, s->elements, i, 1, out->data);
    }
    return NRW_OK;
}

static void close_array(nrw_source *base) {
    array_source *s = (array_source *)base;
    nrw_zip_stream_close(s->stream);
    nrw_mem_free(base->allocator, s->whole, s->npy.bytes);
    nrw_unmap_file(&s->mapping);
}

static array_source *new_source(nrw_arena *a, const char *name) {
    array_source *s = nrw_arena_calloc(a, 1, sizeof *s);
    if (!s) return NULL;
    s->base = (nrw_source){.allocator = a->allocator,
                           .name = name,
                           .buffer = {.allocator = a->allocator},
                           .read = read_sample,
                           .close = close_array};
    return s;
}

/* Cuts the first axis off the header's dims. */
static nrw_status set_samples(array_source *s, nrw_error *err) {
    const nrw_npy *a = &s->npy;
    const char *name = s->base.name;
    if (a->rank < 1) NRW_FAIL(err, NRW_ERR_DATA, "%s: a single number, expected samples", name);
    if (a->dims[0] == 0) NRW_FAIL(err, NRW_ERR_DATA, "%s: holds no samples", name);
    if (nrw_dtype_get(a->dtype)->klass == NRW_CLASS_COMPLEX) {
        NRW_FAIL(err, NRW_ERR_DATA, "%s: complex numbers are no samples", name);
    }
    s->base.count = a->dims[0];
    s->base.type = nrw_type_make(a->dtype, a->rank - 1, a->dims + 1);
    s->sample_bytes = a->bytes / (size_t)a->dims[0];
    return NRW_OK;
}

static nrw_status open_npy(array_source *s, const char *path, nrw_error *err) {
    NRW_TRY(nrw_map_file(path, &s->mapping, err));
    size_t head = s->mapping.size < NRW_NPY_MAX_HEADER ? s->mapping.size : NRW_NPY_MAX_HEADER;
    NRW_TRY_CTX(err, nrw_npy_parse(s->mapping.data, head, s->mapping.size, &s->npy, err), "%s",
                path);
    s->elements = s->mapping.data + s->npy.offset;
    return set_samples(s, err);
}

nrw_status nrw_source_npy(nrw_arena *a, const char *path, nrw_source **out, nrw_error *err) {
    array_source *s = new_source(a, path);
    if (!s) NRW_OOM(err);
    nrw_status status = open_npy(s, path, err);
    if (status != NRW_OK) {
        nrw_source_close(&s->base);
        return status;
    }
    *out = &s->base;
    return NRW_OK;
}

static nrw_status open_deflated(array_source *s, const nrw_zip_entry *e, nrw_error *err) {
    const nrw_allocator *heap = s->base.allocator;
    NRW_TRY(nrw_zip_stream_open(heap, e, &s->stream, err));
    size_t head = e->size < NRW_NPY_MAX_HEADER ? (size_t)e->size : NRW_NPY_MAX_HEADER;
    unsigned char *first = nrw_buffer_need(&s->base.buffer, head);
    if (!first) NRW_OOM(err);
    NRW_TRY(nrw_zip_stream_read(s->stream, 0, first, head, err));
    NRW_TRY(nrw_npy_parse(first, head, e->size, &s->npy, err));
    if (!s->npy.fortran || s->npy.rank < 2 || !s->npy.bytes) return NRW_OK;
    /* Samples lie scattered: there is no way around having them all. */
    s->whole = nrw_mem_alloc(heap, s->npy.bytes);
    if (!s->whole) NRW_OOM(err);
    NRW_TRY(nrw_zip_stream_read(s->stream, s->npy.offset, s->whole, s->npy.bytes, err));
    s->elements = s->whole;
    nrw_zip_stream_close(s->stream);
    s->stream = NULL;
    return NRW_OK;
}

static nrw_status open_member(array_source *s, const nrw_zip_entry *e, nrw_error *err) {
    if (e->deflated) {
        NRW_TRY_CTX(err, open_deflated(s, e, err), "%s", s->base.name);
        return set_samples(s, err);
    }
    size_t head = e->size < NRW_NPY_MAX_HEADER ? (size_t)e->size : NRW_NPY_MAX_HEADER;
    NRW_TRY_CTX(err, nrw_npy_parse(e->data, head, e->size, &s->npy, err), "%s", s->base.name);
    s->elements = e->data + s->npy.offset;
    return set_samples(s, err);
}

nrw_status nrw_source_npz(nrw_arena *a, const char *path, const nrw_zip_entry *e, nrw_source **out,
                          nrw_error *err) {
    const char *name = nrw_arena_printf(a, "%s: '%s'", path, e->name);
    array_source *s = name ? new_source(a, name) : NULL;
    if (!s) NRW_OOM(err);
    nrw_status status = open_member(s, e, err);
    if (status != NRW_OK) {
        nrw_source_close(&s->base);
        return status;
    }
    *out = &s->base;
    return NRW_OK;
}
