/* Zip archives (PKWARE's APPNOTE 6.3.10), as far as .npz and .pt2 use them: stored and deflated
 * members, zip64. Reading works on mapped bytes and trusts nothing; stored members are views.
 *
 * Refused (NRW_ERR_FORMAT): members that overlap each other or the directory, that are larger than
 * the archive can hold, with names that are absolute, contain "..", a backslash or a zero byte, or
 * appear twice. Encrypted members, several disks and other methods are NRW_ERR_UNSUPPORTED. A
 * deflated member may declare at most the size that its bytes could inflate to (1032 : 1), and
 * inflating stops at the declared size, so memory use is the caller's choice. */
#ifndef NRW_WIRE_ZIP_H
#define NRW_WIRE_ZIP_H

#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

typedef struct nrw_zip_entry {
    const char *name;          /* terminated, in the arena */
    const unsigned char *data; /* the member's bytes as stored */
    uint64_t stored, size;     /* bytes in the archive, and inflated */
    uint32_t crc;
    bool deflated;
} nrw_zip_entry;

typedef struct nrw_zip {
    const nrw_zip_entry *entries; /* in the directory's order */
    size_t n;
} nrw_zip;

/* Entries live in the arena; their data in the bytes given. */
nrw_status nrw_zip_open(nrw_arena *a, const unsigned char *data, size_t size, nrw_zip *out,
                        nrw_error *err) NRW_MUST_CHECK;
const nrw_zip_entry *nrw_zip_find(const nrw_zip *z, const char *name); /* NULL if absent */

/* The whole member, checked against its CRC. out has room for e->size bytes. */
nrw_status nrw_zip_read(const nrw_allocator *a, const nrw_zip_entry *e, void *out,
                        nrw_error *err) NRW_MUST_CHECK;

/* A member read from front to back, in memory that does not grow with it. The CRC is checked when
 * the end is reached. Reading at an earlier offset starts again from the front. */
typedef struct nrw_zip_stream nrw_zip_stream;
nrw_status nrw_zip_stream_open(const nrw_allocator *a, const nrw_zip_entry *e, nrw_zip_stream **out,
                               nrw_error *err) NRW_MUST_CHECK;
/* n bytes from offset; NRW_ERR_FORMAT beyond the end. */
nrw_status nrw_zip_stream_read(nrw_zip_stream *s, uint64_t offset, void *out, size_t n,
                               nrw_error *err) NRW_MUST_CHECK;
void nrw_zip_stream_close(nrw_zip_stream *s); /* NULL allowed */

/* Writing: stored members, one after the other, to an output that starts with the archive. */
typedef struct nrw_zip_writer {
    nrw_output *output;
    nrw_arena arena;
    struct nrw_zip_record *records;
    size_t n, cap;
} nrw_zip_writer;
void nrw_zip_writer_init(nrw_zip_writer *w, const nrw_allocator *a, nrw_output *o);
/* One member made of pieces. Its first byte lies at a multiple of align (a power of two up to 4096)
 * in the file. The name is copied. */
typedef struct nrw_zip_piece {
    const void *data;
    size_t size;
} nrw_zip_piece;
nrw_status nrw_zip_add(nrw_zip_writer *w, const char *name, size_t align, int n_pieces,
                       const nrw_zip_piece *pieces, nrw_error *err) NRW_MUST_CHECK;
/* Writes the directory. The output stays open. */
nrw_status nrw_zip_finish(nrw_zip_writer *w, nrw_error *err) NRW_MUST_CHECK;
void nrw_zip_writer_free(nrw_zip_writer *w);

#endif
