#include <string.h>
#include <zlib.h>

#include "wire/zip.h"

/* What the directory will say of a member. */
struct nrw_zip_record {
    const char *name;
    uint64_t size, offset;
    uint32_t crc;
};

enum {
    VERSION = 45,         /* 4.5: zip64 */
    UTF8_NAMES = 1 << 11, /* flag */
    DATE = 1 << 5 | 1,    /* 1 January 1980: the same input gives the same bytes */
    ZIP64_TAG = 1,
    PADDING_TAG = 0x4e57, /* an extra field of our own, to be skipped */
    LOCAL_SIZE = 30
};

/* Little-endian bytes, collected on the stack. */
typedef struct bytes {
    unsigned char at[64];
    size_t n;
} bytes;

static void put(bytes *b, int width, uint64_t v) {
    for (int i = 0; i < width; i++) b->at[b->n++] = (unsigned char)(v >> (8 * i));
}

void nrw_zip_writer_init(nrw_zip_writer *w, const nrw_allocator *a, nrw_output *o) {
    *w = (nrw_zip_writer){.output = o};
    nrw_arena_init(&w->arena, a);
}

void nrw_zip_writer_free(nrw_zip_writer *w) {
    nrw_arena_free(&w->arena);
    *w = (nrw_zip_writer){0};
}

static uint32_t narrow32(uint64_t v) {
    return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

/* The fields that local and directory headers share, from "version needed" to the extra field's
 * length. */
static void put_common(bytes *b, const struct nrw_zip_record *r, size_t extra) {
    put(b, 2, VERSION);
    put(b, 2, UTF8_NAMES);
    put(b, 2, 0); /* stored */
    put(b, 2, 0); /* time */
    put(b, 2, DATE);
    put(b, 4, r->crc);
    put(b, 4, narrow32(r->size));
    put(b, 4, narrow32(r->size));
    put(b, 2, strlen(r->name));
    put(b, 2, extra);
}

static nrw_status put_padding(nrw_output *o, size_t n, nrw_error *err) {
    static const unsigned char zeros[512];
    while (n) {
        size_t part = n < sizeof zeros ? n : sizeof zeros;
        NRW_TRY(nrw_output_write(o, zeros, part, err));
        n -= part;
    }
    return NRW_OK;
}

static nrw_status put_local(nrw_zip_writer *w, const struct nrw_zip_record *r, size_t align,
                            nrw_error *err) {
    bool large = r->size >= UINT32_MAX;
    size_t name = strlen(r->name), zip64 = large ? 20 : 0, padding = 0;
    uint64_t start = r->offset + LOCAL_SIZE + name + zip64;
    if (start % align) padding = 4 + (size_t)(align - (start + 4) % align) % align;
    bytes b = {.n = 0};
    put(&b, 4, 0x04034b50);
    put_common(&b, r, zip64 + padding);
    NRW_TRY(nrw_output_write(w->output, b.at, b.n, err));
    NRW_TRY(nrw_output_write(w->output, r->name, name, err));
    b.n = 0;
    if (large) {
        put(&b, 2, ZIP64_TAG);
        put(&b, 2, 16);
        put(&b, 8, r->size);
        put(&b, 8, r->size);
    }
    if (padding) {
        put(&b, 2, PADDING_TAG);
        put(&b, 2, padding - 4);
    }
    NRW_TRY(nrw_output_write(w->output, b.at, b.n, err));
    return put_padding(w->output, padding ? padding - 4 : 0, err);
}

nrw_status nrw_zip_add(nrw_zip_writer *w, const char *name, size_t align, int n_pieces,
                       const nrw_zip_piece *pieces, nrw_error *err) {
    if (strlen(name) > UINT16_MAX) {
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "zip: a member's name is too long");
    }
    if (!nrw_arena_grow(&w->arena, (void **)&w->records, &w->cap, w->n + 1, sizeof *w->records)) {
        NRW_OOM(err);
    }
    struct nrw_zip_record *r = &w->records[w->n];
    *r = (struct nrw_zip_record){.name = nrw_arena_strdup(&w->arena, name),
                                 .offset = nrw_output_tell(w->output)};
    if (!r->name) NRW_OOM(err);
    for (int i = 0; i < n_pieces; i++) {
        r->size += pieces[i].size;
        /* For no bytes at NULL, zlib would start anew. */
        if (pieces[i].size) r->crc = (uint32_t)crc32_z(r->crc, pieces[i].data, pieces[i].size);
    }
    NRW_TRY(put_local(w, r, align, err));
    for (int i = 0; i < n_pieces; i++) {
        NRW_TRY(nrw_output_write(w->output, pieces[i].data, pieces[i].size, err));
    }
    w->n++;
    return NRW_OK;
}

static nrw_status put_record(nrw_zip_writer *w, const struct nrw_zip_record *r, nrw_error *err) {
    bool large = r->size >= UINT32_MAX, far = r->offset >= UINT32_MAX;
    size_t zip64 = large || far ? 4 + 16 * (size_t)large + 8 * (size_t)far : 0;
    bytes b = {.n = 0};
    put(&b, 4, 0x02014b50);
    put(&b, 2, VERSION);
    put_common(&b, r, zip64);
    put(&b, 2, 0); /* comment */
    put(&b, 2, 0); /* disk */
    put(&b, 2, 0); /* internal attributes */
    put(&b, 4, 0); /* external attributes */
    put(&b, 4, narrow32(r->offset));
    NRW_TRY(nrw_output_write(w->output, b.at, b.n, err));
    NRW_TRY(nrw_output_write(w->output, r->name, strlen(r->name), err));
    b.n = 0;
    if (zip64) {
        put(&b, 2, ZIP64_TAG);
        put(&b, 2, zip64 - 4);
        if (large) put(&b, 8, r->size);
        if (large) put(&b, 8, r->size);
        if (far) put(&b, 8, r->offset);
    }
    return nrw_output_write(w->output, b.at, b.n, err);
}

nrw_status nrw_zip_finish(nrw_zip_writer *w, nrw_error *err) {
    uint64_t start = nrw_output_tell(w->output);
    for (size_t i = 0; i < w->n; i++) NRW_TRY(put_record(w, &w->records[i], err));
    uint64_t end = nrw_output_tell(w->output);
    bytes b = {.n = 0};
    if (w->n >= UINT16_MAX || end >= UINT32_MAX) {
        put(&b, 4, 0x06064b50);
        put(&b, 8, 44); /* bytes that follow in this record */
        put(&b, 2, VERSION);
        put(&b, 2, VERSION);
        put(&b, 4, 0);
        put(&b, 4, 0);
        put(&b, 8, w->n);
        put(&b, 8, w->n);
        put(&b, 8, end - start);
        put(&b, 8, start);
        NRW_TRY(nrw_output_write(w->output, b.at, b.n, err));
        b.n = 0;
        put(&b, 4, 0x07064b50);
        put(&b, 4, 0);
        put(&b, 8, end);
        put(&b, 4, 1);
    }
    uint64_t count = w->n < UINT16_MAX ? w->n : UINT16_MAX;
    put(&b, 4, 0x06054b50);
    put(&b, 2, 0);
    put(&b, 2, 0);
    put(&b, 2, count);
    put(&b, 2, count);
    put(&b, 4, narrow32(end - start));
    put(&b, 4, narrow32(start));
    put(&b, 2, 0);
    return nrw_output_write(w->output, b.at, b.n, err);
}
