/* Protocol Buffers on the wire (protobuf.dev, "Encoding"): a zero-copy reader whose every step is
 * checked against the end of the bytes, and a writer that never copies large payloads. Neither
 * knows any message type: the format that uses them knows its field numbers. */
#ifndef NRW_WIRE_PROTOBUF_H
#define NRW_WIRE_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "narrow/tensor.h"

/* Messages within messages beyond this are refused, as Google's own readers do. */
#define NRW_PB_MAX_DEPTH 100

typedef enum nrw_pb_wire {
    NRW_PB_VARINT = 0,
    NRW_PB_FIXED64 = 1,
    NRW_PB_BYTES = 2,
    NRW_PB_GROUP = 3, /* deprecated start group; read as one opaque field, end tag included */
    NRW_PB_FIXED32 = 5
} nrw_pb_wire;

/* A cursor over one message. Copying it makes a second, independent cursor. */
typedef struct nrw_pb {
    const unsigned char *start; /* of the outermost message: errors tell offsets from here */
    const unsigned char *at, *end;
    int depth;
} nrw_pb;

/* One field. number 0: the message has ended. */
typedef struct nrw_pb_field {
    uint32_t number;
    nrw_pb_wire wire;
    uint64_t value;   /* VARINT, FIXED32, FIXED64: the bits */
    nrw_string bytes; /* BYTES: the payload */
    nrw_string whole; /* tag, length and payload: writing these bytes back keeps the field */
    size_t offset;    /* of the tag, from the start of the outermost message */
} nrw_pb_field;

nrw_pb nrw_pb_open(const void *bytes, size_t size);
/* Reads the next field, whatever it is; reading on skips it. NRW_ERR_FORMAT when the bytes end
 * early, a varint is longer than 10 bytes, the tag is nonsense or groups do not match. */
nrw_status nrw_pb_next(nrw_pb *r, nrw_pb_field *f, nrw_error *err) NRW_MUST_CHECK;
/* Opens the message in f. `what` names it in errors. */
nrw_status nrw_pb_enter(const nrw_pb *parent, const nrw_pb_field *f, const char *what, nrw_pb *out,
                        nrw_error *err) NRW_MUST_CHECK;
/* Fails unless f has this wire type. */
nrw_status nrw_pb_expect(const nrw_pb_field *f, nrw_pb_wire wire, const char *what,
                         nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_pb_string(const nrw_pb_field *f, const char *what, nrw_string *out,
                         nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_pb_int(const nrw_pb_field *f, const char *what, int64_t *out,
                      nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_pb_float(const nrw_pb_field *f, const char *what, float *out,
                        nrw_error *err) NRW_MUST_CHECK;

/* A repeated number, which may come packed or one by one, or both. Make one zeroed, feed it every
 * field with that number, then take count. Twice over the same message: first with out NULL to
 * count, then with memory. */
typedef struct nrw_pb_numbers {
    nrw_pb_wire wire; /* what one element is: VARINT, FIXED32, FIXED64 */
    void *out;        /* int64_t for VARINT, 4 or 8 raw bytes for fixed; NULL: count only */
    size_t count, cap;
} nrw_pb_numbers;
nrw_status nrw_pb_collect(nrw_pb_numbers *n, const nrw_pb_field *f, const char *what,
                          nrw_error *err) NRW_MUST_CHECK;

/* Writing. Small things are gathered in memory; large payloads are only noted, and go straight from
 * where they lie to the output when all sizes are known. Out of memory sticks: nrw_pb_failed. */

/* Writes `size` bytes of a payload in pieces. */
typedef nrw_status (*nrw_pb_emit)(const void *user, nrw_output *o, nrw_error *err);

typedef struct nrw_pb_blob {
    size_t at; /* where in the small bytes it belongs */
    uint64_t size;
    const void *data;
    nrw_pb_emit emit; /* NULL: data is the payload itself; else called with data */
} nrw_pb_blob;

typedef struct nrw_pb_writer {
    nrw_strbuf bytes;
    nrw_pb_blob *blobs;
    size_t n_blobs, cap_blobs;
    uint64_t blob_bytes;
    bool failed;
} nrw_pb_writer;

typedef struct nrw_pb_mark {
    size_t at, first_blob;
    uint64_t blob_bytes;
} nrw_pb_mark;

void nrw_pb_writer_init(nrw_pb_writer *w, const nrw_allocator *a);
void nrw_pb_writer_free(nrw_pb_writer *w);
bool nrw_pb_failed(const nrw_pb_writer *w);
uint64_t nrw_pb_size(const nrw_pb_writer *w); /* bytes that the output will have */
void nrw_pb_put_int(nrw_pb_writer *w, uint32_t number, int64_t v);
void nrw_pb_put_float(nrw_pb_writer *w, uint32_t number, float v);
void nrw_pb_put_bytes(nrw_pb_writer *w, uint32_t number, const void *p, size_t n);
void nrw_pb_put_text(nrw_pb_writer *w, uint32_t number, const char *s);
/* Fields as they stood in a file. */
void nrw_pb_put_raw(nrw_pb_writer *w, const void *p, size_t n);
/* A payload that stays where it is until nrw_pb_write; see nrw_pb_blob. */
void nrw_pb_put_blob(nrw_pb_writer *w, uint32_t number, const void *data, uint64_t size,
                     nrw_pb_emit emit);
/* A message within: everything put between the two calls is its content. */
nrw_pb_mark nrw_pb_begin(nrw_pb_writer *w, uint32_t number);
void nrw_pb_end(nrw_pb_writer *w, nrw_pb_mark mark);
nrw_status nrw_pb_write(const nrw_pb_writer *w, nrw_output *o, nrw_error *err) NRW_MUST_CHECK;

#endif
