#include "wire/protobuf.h"

#include <inttypes.h>
#include <string.h>

/* Reading. */

nrw_pb nrw_pb_open(const void *bytes, size_t size) {
    static const unsigned char nothing[1];
    const unsigned char *p = size > 0 ? bytes : nothing;
    return (nrw_pb){p, p, p + size, 0};
}

static size_t offset_of(const nrw_pb *r) {
    return (size_t)(r->at - r->start);
}

static bool read_varint(const unsigned char **at, const unsigned char *end, uint64_t *out) {
    uint64_t v = 0;
    const unsigned char *p = *at;
    for (int shift = 0; shift < 70 && p < end; shift += 7, p++) {
        v |= (uint64_t)(*p & 0x7f) << shift;
        if (*p < 0x80) {
            /* The tenth byte has room for one bit. */
            if (shift == 63 && *p > 1) return false;
            *at = p + 1;
            *out = v;
            return true;
        }
    }
    return false;
}

static nrw_status take(nrw_pb *r, size_t n, const unsigned char **out, nrw_error *err) {
    if ((size_t)(r->end - r->at) < n) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: a field of %zu bytes runs past the end",
                 offset_of(r), n);
    }
    *out = r->at;
    r->at += n;
    return NRW_OK;
}

static uint64_t little(const unsigned char *p, int n) {
    uint64_t v = 0;
    for (int i = n - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static nrw_status read_tag(nrw_pb *r, uint32_t *number, int *wire, nrw_error *err) {
    uint64_t tag;
    size_t offset = offset_of(r);
    if (!read_varint(&r->at, r->end, &tag)) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: broken field tag", offset);
    }
    *number = (uint32_t)(tag >> 3);
    *wire = (int)(tag & 7);
    if (tag >> 3 == 0 || tag >> 32 != 0) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: field number %" PRIu64 " is impossible", offset,
                 tag >> 3);
    }
    return NRW_OK;
}

/* Reads what follows a tag, groups aside. */
static nrw_status read_payload(nrw_pb *r, int wire, nrw_pb_field *f, nrw_error *err) {
    const unsigned char *p = NULL;
    size_t offset = offset_of(r);
    switch (wire) {
    case NRW_PB_VARINT:
        if (!read_varint(&r->at, r->end, &f->value)) {
            NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: broken varint", offset);
        }
        return NRW_OK;
    case NRW_PB_FIXED64:
        NRW_TRY(take(r, 8, &p, err));
        f->value = little(p, 8);
        return NRW_OK;
    case NRW_PB_FIXED32:
        NRW_TRY(take(r, 4, &p, err));
        f->value = little(p, 4);
        return NRW_OK;
    case NRW_PB_BYTES: {
        uint64_t n;
        if (!read_varint(&r->at, r->end, &n)) {
            NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: broken length", offset);
        }
        if (n > (uint64_t)(r->end - r->at)) {
            NRW_FAIL(err, NRW_ERR_FORMAT,
                     "byte %zu: a field of %" PRIu64 " bytes runs past the end (truncated file?)",
                     offset, n);
        }
        f->bytes = (nrw_string){(const char *)r->at, (size_t)n};
        r->at += n;
        return NRW_OK;
    }
    default:
        NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: wire type %d is impossible", offset, wire);
    }
}

/* Skips to the end tag that matches group `number`; the start tag has been read. */
static nrw_status skip_group(nrw_pb *r, uint32_t number, nrw_error *err) {
    enum { max_open = 64, end_group = 4 };
    uint32_t open[max_open];
    int n_open = 0;
    open[n_open++] = number;
    while (n_open > 0) {
        nrw_pb_field ignored;
        uint32_t inner = 0;
        int wire = 0;
        NRW_TRY(read_tag(r, &inner, &wire, err));
        if (wire == NRW_PB_GROUP) {
            if (n_open == max_open) {
                NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: groups nest too deeply", offset_of(r));
            }
            open[n_open++] = inner;
        } else if (wire == end_group) {
            if (open[--n_open] != inner) {
                NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: mismatched end of group", offset_of(r));
            }
        } else {
            NRW_TRY(read_payload(r, wire, &ignored, err));
        }
    }
    return NRW_OK;
}

nrw_status nrw_pb_next(nrw_pb *r, nrw_pb_field *f, nrw_error *err) {
    *f = (nrw_pb_field){0};
    if (r->at == r->end) return NRW_OK;
    const unsigned char *tag = r->at;
    uint32_t number = 0;
    int wire = 0;
    f->offset = offset_of(r);
    NRW_TRY(read_tag(r, &number, &wire, err));
    if (wire == NRW_PB_GROUP) {
        NRW_TRY(skip_group(r, number, err));
    } else {
        NRW_TRY(read_payload(r, wire, f, err));
    }
    f->number = number;
    f->wire = (nrw_pb_wire)wire;
    f->whole = (nrw_string){(const char *)tag, (size_t)(r->at - tag)};
    return NRW_OK;
}

nrw_status nrw_pb_expect(const nrw_pb_field *f, nrw_pb_wire wire, const char *what,
                         nrw_error *err) {
    if (f->wire == wire) return NRW_OK;
    NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: %s (field %u) has wire type %d, expected %d",
             f->offset, what, f->number, (int)f->wire, (int)wire);
}

nrw_status nrw_pb_enter(const nrw_pb *parent, const nrw_pb_field *f, const char *what, nrw_pb *out,
                        nrw_error *err) {
    NRW_TRY(nrw_pb_expect(f, NRW_PB_BYTES, what, err));
    if (parent->depth + 1 > NRW_PB_MAX_DEPTH) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: messages nest deeper than %d", f->offset,
                 NRW_PB_MAX_DEPTH);
    }
    const unsigned char *p = (const unsigned char *)f->bytes.data;
    *out = (nrw_pb){parent->start, p, p + f->bytes.size, parent->depth + 1};
    return NRW_OK;
}

nrw_status nrw_pb_string(const nrw_pb_field *f, const char *what, nrw_string *out, nrw_error *err) {
    NRW_TRY(nrw_pb_expect(f, NRW_PB_BYTES, what, err));
    *out = f->bytes;
    return NRW_OK;
}

nrw_status nrw_pb_int(const nrw_pb_field *f, const char *what, int64_t *out, nrw_error *err) {
    NRW_TRY(nrw_pb_expect(f, NRW_PB_VARINT, what, err));
    *out = (int64_t)f->value;
    return NRW_OK;
}

nrw_status nrw_pb_float(const nrw_pb_field *f, const char *what, float *out, nrw_error *err) {
    NRW_TRY(nrw_pb_expect(f, NRW_PB_FIXED32, what, err));
    uint32_t bits = (uint32_t)f->value;
    memcpy(out, &bits, sizeof bits);
    return NRW_OK;
}

static void store(nrw_pb_numbers *n, uint64_t v) {
    if (n->out != NULL && n->count < n->cap) {
        if (n->wire == NRW_PB_FIXED32) {
            uint32_t low = (uint32_t)v;
            memcpy((unsigned char *)n->out + 4 * n->count, &low, 4);
        } else {
            memcpy((unsigned char *)n->out + 8 * n->count, &v, 8);
        }
    }
    n->count++;
}

nrw_status nrw_pb_collect(nrw_pb_numbers *n, const nrw_pb_field *f, const char *what,
                          nrw_error *err) {
    if (f->wire == n->wire) {
        store(n, f->value);
        return NRW_OK;
    }
    NRW_TRY(nrw_pb_expect(f, NRW_PB_BYTES, what, err));
    const unsigned char *p = (const unsigned char *)f->bytes.data;
    const unsigned char *end = p + f->bytes.size;
    if (n->wire == NRW_PB_VARINT) {
        while (p < end) {
            uint64_t v;
            if (!read_varint(&p, end, &v)) {
                NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: %s: broken varint", f->offset, what);
            }
            store(n, v);
        }
        return NRW_OK;
    }
    size_t width = n->wire == NRW_PB_FIXED32 ? 4 : 8;
    if (f->bytes.size % width != 0) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: %s: %zu bytes are no whole number of elements",
                 f->offset, what, f->bytes.size);
    }
    size_t count = f->bytes.size / width;
    if (n->out != NULL && n->count < n->cap) {
        size_t fits = count < n->cap - n->count ? count : n->cap - n->count;
        if (fits > 0) memcpy((unsigned char *)n->out + width * n->count, p, width * fits);
    }
    n->count += count;
    return NRW_OK;
}

/* Writing. */

void nrw_pb_writer_init(nrw_pb_writer *w, const nrw_allocator *a) {
    *w = (nrw_pb_writer){0};
    nrw_strbuf_init(&w->bytes, a);
}

void nrw_pb_writer_free(nrw_pb_writer *w) {
    nrw_mem_free(w->bytes.allocator, w->blobs, w->cap_blobs * sizeof *w->blobs);
    nrw_strbuf_free(&w->bytes);
    w->blobs = NULL;
    w->n_blobs = w->cap_blobs = 0;
}

bool nrw_pb_failed(const nrw_pb_writer *w) {
    return w->failed || w->bytes.failed;
}

uint64_t nrw_pb_size(const nrw_pb_writer *w) {
    return w->bytes.size + w->blob_bytes;
}

static size_t encode_varint(uint64_t v, unsigned char out[10]) {
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (unsigned char)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (unsigned char)v;
    return n;
}

static void put_varint(nrw_pb_writer *w, uint64_t v) {
    unsigned char b[10];
    nrw_strbuf_add(&w->bytes, b, encode_varint(v, b));
}

static void put_tag(nrw_pb_writer *w, uint32_t number, nrw_pb_wire wire) {
    put_varint(w, (uint64_t)number << 3 | (uint64_t)wire);
}

void nrw_pb_put_int(nrw_pb_writer *w, uint32_t number, int64_t v) {
    put_tag(w, number, NRW_PB_VARINT);
    put_varint(w, (uint64_t)v);
}

void nrw_pb_put_float(nrw_pb_writer *w, uint32_t number, float v) {
    put_tag(w, number, NRW_PB_FIXED32);
    nrw_strbuf_add(&w->bytes, &v, sizeof v);
}

void nrw_pb_put_bytes(nrw_pb_writer *w, uint32_t number, const void *p, size_t n) {
    put_tag(w, number, NRW_PB_BYTES);
    put_varint(w, n);
    if (n > 0) nrw_strbuf_add(&w->bytes, p, n);
}

void nrw_pb_put_text(nrw_pb_writer *w, uint32_t number, const char *s) {
    nrw_pb_put_bytes(w, number, s, strlen(s));
}

void nrw_pb_put_raw(nrw_pb_writer *w, const void *p, size_t n) {
    if (n > 0) nrw_strbuf_add(&w->bytes, p, n);
}

static bool grow_blobs(nrw_pb_writer *w) {
    if (w->n_blobs < w->cap_blobs) return true;
    size_t cap = w->cap_blobs == 0 ? 64 : 2 * w->cap_blobs;
    nrw_pb_blob *more = nrw_mem_alloc(w->bytes.allocator, cap * sizeof *more);
    if (more == NULL) return false;
    if (w->n_blobs > 0) memcpy(more, w->blobs, w->n_blobs * sizeof *more);
    nrw_mem_free(w->bytes.allocator, w->blobs, w->cap_blobs * sizeof *w->blobs);
    w->blobs = more;
    w->cap_blobs = cap;
    return true;
}

void nrw_pb_put_blob(nrw_pb_writer *w, uint32_t number, const void *data, uint64_t size,
                     nrw_pb_emit emit) {
    put_tag(w, number, NRW_PB_BYTES);
    put_varint(w, size);
    if (size == 0) return;
    if (!grow_blobs(w)) {
        w->failed = true;
        return;
    }
    w->blobs[w->n_blobs++] = (nrw_pb_blob){w->bytes.size, size, data, emit};
    w->blob_bytes += size;
}

nrw_pb_mark nrw_pb_begin(nrw_pb_writer *w, uint32_t number) {
    put_tag(w, number, NRW_PB_BYTES);
    return (nrw_pb_mark){w->bytes.size, w->n_blobs, w->blob_bytes};
}

/* The length goes before the content, which moves up by the few bytes that the length takes. */
void nrw_pb_end(nrw_pb_writer *w, nrw_pb_mark mark) {
    unsigned char b[10];
    size_t content = w->bytes.size - mark.at;
    size_t n = encode_varint(content + (w->blob_bytes - mark.blob_bytes), b);
    nrw_strbuf_add(&w->bytes, b, n);
    if (nrw_pb_failed(w)) return;
    memmove(w->bytes.data + mark.at + n, w->bytes.data + mark.at, content);
    memcpy(w->bytes.data + mark.at, b, n);
    for (size_t i = mark.first_blob; i < w->n_blobs; i++) w->blobs[i].at += n;
}

nrw_status nrw_pb_write(const nrw_pb_writer *w, nrw_output *o, nrw_error *err) {
    if (nrw_pb_failed(w)) NRW_OOM(err);
    size_t at = 0;
    for (size_t i = 0; i < w->n_blobs; i++) {
        const nrw_pb_blob *b = &w->blobs[i];
        if (b->at > at) NRW_TRY(nrw_output_write(o, w->bytes.data + at, b->at - at, err));
        at = b->at;
        if (b->emit != NULL) {
            NRW_TRY(b->emit(b->data, o, err));
        } else {
            NRW_TRY(nrw_output_write(o, b->data, (size_t)b->size, err));
        }
    }
    if (w->bytes.size > at)
        NRW_TRY(nrw_output_write(o, w->bytes.data + at, w->bytes.size - at, err));
    return NRW_OK;
}
