/* FlatBuffers on the wire (flatbuffers.dev, "Internals"): views of tables and vectors in bytes that
 * nobody has checked, and a builder that goes from the back to the front. Neither knows any schema:
 * the format that uses them knows which slot of a table holds what. */
#ifndef NRW_WIRE_FLATBUFFER_H
#define NRW_WIRE_FLATBUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "narrow/tensor.h"

/* Reading. Every access is checked against the bytes. What is wrong sticks to the buffer and reads
 * as if it were absent, so that a reader asks once, after a part, whether all was well:
 * nrw_fb_check. Offsets only lead forward, so no walk is endless; and what vectors of structure
 * hold together may not exceed a multiple of the file, so that a small file cannot ask for endless
 * work by referring to one vector again and again. */
typedef struct nrw_fb {
    const unsigned char *data;
    size_t size;
    size_t budget;     /* bytes of vectors that may still be opened */
    const char *wrong; /* NULL: nothing so far */
    size_t where;      /* byte offset of it */
} nrw_fb;

/* A table; fb NULL: there is none, and every field of it is absent. */
typedef struct nrw_fb_table {
    nrw_fb *fb;
    size_t at, vtable;
    uint16_t vtable_size, size; /* both in bytes, inside the bytes */
} nrw_fb_table;

/* The elements of a vector as they lie in the file, little-endian and perhaps misaligned. */
typedef struct nrw_fb_vector {
    nrw_fb *fb;
    const unsigned char *data;
    size_t n;
} nrw_fb_vector;

typedef enum nrw_fb_kind {
    NRW_FB_BOOL,
    NRW_FB_I8,
    NRW_FB_U8,
    NRW_FB_I16,
    NRW_FB_U16,
    NRW_FB_I32,
    NRW_FB_U32,
    NRW_FB_I64,
    NRW_FB_U64,
    NRW_FB_F32,
    NRW_FB_F64
} nrw_fb_kind;
size_t nrw_fb_kind_size(nrw_fb_kind k);

/* Opens the root table. identifier: the four letters that bytes 4 to 7 must be; NULL: any. */
nrw_fb_table nrw_fb_open(nrw_fb *fb, const void *bytes, size_t size, const char *identifier);
nrw_status nrw_fb_check(const nrw_fb *fb, nrw_error *err) NRW_MUST_CHECK;
static inline bool nrw_fb_exists(const nrw_fb_table *t) {
    return t->fb != NULL;
}

bool nrw_fb_has(const nrw_fb_table *t, int slot);
/* A whole number (BOOL to U64), and a real one (F32, F64). */
int64_t nrw_fb_int(const nrw_fb_table *t, int slot, nrw_fb_kind k, int64_t absent);
double nrw_fb_real(const nrw_fb_table *t, int slot, nrw_fb_kind k, double absent);
nrw_string nrw_fb_text(const nrw_fb_table *t, int slot); /* {"", 0} when absent */
nrw_fb_table nrw_fb_child(const nrw_fb_table *t, int slot);
/* A vector of numbers, each of `element` bytes; of tables or strings with element 4. */
nrw_fb_vector nrw_fb_vec(const nrw_fb_table *t, int slot, size_t element);
/* Bytes that are content, not structure: not charged to the budget. */
nrw_string nrw_fb_bytes(const nrw_fb_table *t, int slot);

/* Elements; i < v->n. */
int64_t nrw_fb_int_at(const nrw_fb_vector *v, nrw_fb_kind k, size_t i);
float nrw_fb_f32_at(const nrw_fb_vector *v, size_t i);
nrw_fb_table nrw_fb_table_at(const nrw_fb_vector *v, size_t i);
nrw_string nrw_fb_text_at(const nrw_fb_vector *v, size_t i);

/* Building. What is referred to is made before what refers to it. A reference is the distance from
 * the end of the finished bytes; 0 is none. Out of memory, and more than 2 GiB, stick. */

typedef uint32_t nrw_fb_ref;
enum { NRW_FB_MAX_SLOTS = 64 };

/* Long content at the end of the bytes, written from where it lies. */
typedef struct nrw_fb_blob {
    const void *data;
    uint64_t size;
    uint32_t pad; /* bytes behind it */
} nrw_fb_blob;

typedef struct nrw_fb_builder {
    const nrw_allocator *allocator;
    unsigned char *bytes; /* the last `used` of `cap` */
    size_t cap, used;
    uint64_t behind; /* bytes of blobs, which come after */
    nrw_fb_blob *blobs;
    size_t n_blobs, cap_blobs;
    nrw_fb_ref *vtables; /* those made so far: equal ones are shared */
    size_t n_vtables, cap_vtables;
    struct {
        nrw_fb_ref at;
        uint8_t size;
    } slots[NRW_FB_MAX_SLOTS]; /* of the table that is being made */
    int n_slots;
    nrw_fb_ref table_end;
    bool failed;
    const char *why; /* failed, but not for want of memory */
} nrw_fb_builder;

void nrw_fb_builder_init(nrw_fb_builder *b, const nrw_allocator *a);
void nrw_fb_builder_free(nrw_fb_builder *b);

/* A vector of bytes, 16-byte aligned, that stays where it is until nrw_fb_write. Only before
 * anything else is made. */
nrw_fb_ref nrw_fb_put_blob(nrw_fb_builder *b, const void *data, uint64_t size);
nrw_fb_ref nrw_fb_put_text(nrw_fb_builder *b, const char *s, size_t n);
/* n elements of `element` bytes each, little-endian. */
nrw_fb_ref nrw_fb_put_vec(nrw_fb_builder *b, const void *elements, size_t n, size_t element);
nrw_fb_ref nrw_fb_put_refs(nrw_fb_builder *b, const nrw_fb_ref *refs, size_t n);

void nrw_fb_begin(nrw_fb_builder *b);
/* Numbers equal to the default need no room. */
void nrw_fb_set_int(nrw_fb_builder *b, int slot, nrw_fb_kind k, int64_t v, int64_t absent);
void nrw_fb_set_real(nrw_fb_builder *b, int slot, nrw_fb_kind k, double v, double absent);
void nrw_fb_set_ref(nrw_fb_builder *b, int slot, nrw_fb_ref ref); /* 0: left out */
/* A number that nrw_fb_patch will give; the reference leads to it. */
nrw_fb_ref nrw_fb_set_later(nrw_fb_builder *b, int slot);
nrw_fb_ref nrw_fb_end(nrw_fb_builder *b);

/* The bytes are whole: root and identifier go before them. */
void nrw_fb_finish(nrw_fb_builder *b, nrw_fb_ref root, const char *identifier);
void nrw_fb_patch(nrw_fb_builder *b, nrw_fb_ref at, uint64_t v);
uint64_t nrw_fb_size(const nrw_fb_builder *b);
nrw_status nrw_fb_write(const nrw_fb_builder *b, nrw_output *o, nrw_error *err) NRW_MUST_CHECK;

#endif
