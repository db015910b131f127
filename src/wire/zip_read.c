#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/str.h"
#include "wire/zip.h"

enum {
    END_SIG = 0x06054b50,
    END64_LOCATOR_SIG = 0x07064b50,
    END64_SIG = 0x06064b50,
    CENTRAL_SIG = 0x02014b50,
    LOCAL_SIG = 0x04034b50,
    END_SIZE = 22,
    END64_LOCATOR_SIZE = 20,
    END64_SIZE = 56,
    CENTRAL_SIZE = 46,
    LOCAL_SIZE = 30,
    ZIP64_TAG = 1,
    INFLATE_MOST = 1032 /* deflate's best ratio */
};

static uint32_t u16(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const unsigned char *p) {
    return u16(p) | u16(p + 2) << 16;
}

static uint64_t u64(const unsigned char *p) {
    return u32(p) | (uint64_t)u32(p + 4) << 32;
}

/* Where the directory is. */
typedef struct directory {
    uint64_t offset, size, count;
    uint64_t end; /* of the part that may hold members and the directory */
} directory;

/* The end record stands last, followed only by a comment of the length that it tells. */
static const unsigned char *find_end(const unsigned char *data, size_t size) {
    if (size < END_SIZE) return NULL;
    size_t most = size - END_SIZE < 0xffff ? size - END_SIZE : 0xffff;
    for (size_t comment = 0; comment <= most; comment++) {
        const unsigned char *p = data + size - END_SIZE - comment;
        if (u32(p) == END_SIG && u16(p + 20) == comment) return p;
    }
    return NULL;
}

static nrw_status find_directory64(const unsigned char *data, directory *d, uint64_t end,
                                   nrw_error *err) {
    const unsigned char *locator = data + end - END64_LOCATOR_SIZE;
    uint64_t at = u64(locator + 8);
    if (u32(locator + 4) != 0 || u32(locator + 16) > 1) {
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "zip: archive of several disks");
    }
    if (end < END64_LOCATOR_SIZE + END64_SIZE || at > end - END64_LOCATOR_SIZE - END64_SIZE ||
        u32(data + at) != END64_SIG) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: malformed zip64 end of directory");
    }
    const unsigned char *p = data + at;
    *d = (directory){.count = u64(p + 32), .size = u64(p + 40), .offset = u64(p + 48), .end = at};
    return NRW_OK;
}

static nrw_status find_directory(const unsigned char *data, size_t size, directory *d,
                                 nrw_error *err) {
    const unsigned char *p = find_end(data, size);
    if (!p) NRW_FAIL(err, NRW_ERR_FORMAT, "zip: no end of directory; truncated or not an archive");
    uint64_t end = (uint64_t)(p - data);
    if (end >= END64_LOCATOR_SIZE && u32(p - END64_LOCATOR_SIZE) == END64_LOCATOR_SIG) {
        NRW_TRY(find_directory64(data, d, end, err));
    } else {
        if (u16(p + 4) != 0 || u16(p + 6) != 0) {
            NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "zip: archive of several disks");
        }
        *d = (directory){
            .count = u16(p + 10), .size = u32(p + 12), .offset = u32(p + 16), .end = end};
    }
    if (d->offset > d->end || d->size > d->end - d->offset || d->count > d->size / CENTRAL_SIZE) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: directory outside the file");
    }
    return NRW_OK;
}

static bool is_safe_name(const char *name, size_t n) {
    if (!n || name[0] == '/' || memchr(name, 0, n) || memchr(name, '\\', n)) return false;
    for (size_t i = 0; i < n;) {
        const char *slash = memchr(name + i, '/', n - i);
        size_t part = slash ? (size_t)(slash - name) - i : n - i;
        if (part == 2 && name[i] == '.' && name[i + 1] == '.') return false;
        i += part + 1;
    }
    return true;
}

/* A header of the directory while it is read. */
typedef struct header {
    const unsigned char *p;
    uint64_t size, stored, offset;
} header;

/* Numbers that are all ones in the header stand in the zip64 field, in this order. */
static bool read_zip64(header *h, const unsigned char *extra, size_t n) {
    bool wants[3] = {h->size == UINT32_MAX, h->stored == UINT32_MAX, h->offset == UINT32_MAX};
    if (!wants[0] && !wants[1] && !wants[2]) return true;
    uint64_t *fields[3] = {&h->size, &h->stored, &h->offset};
    while (n >= 4) {
        size_t tag = u16(extra), length = u16(extra + 2);
        extra += 4;
        n -= 4;
        if (length > n) return false;
        if (tag == ZIP64_TAG) {
            for (int i = 0; i < 3; i++) {
                if (!wants[i]) continue;
                if (length < 8) return false;
                *fields[i] = u64(extra);
                extra += 8;
                length -= 8;
            }
            return true;
        }
        extra += length;
        n -= length;
    }
    return true; /* no zip64 field: the numbers are meant as they stand */
}

/* Extent of a member in the archive, local header included. */
typedef struct extent {
    uint64_t start, end;
} extent;

static nrw_status read_member(const unsigned char *data, const directory *d, const header *h,
                              nrw_zip_entry *e, extent *x, nrw_error *err) {
    uint32_t flags = u16(h->p + 8), method = u16(h->p + 10);
    if (flags & 0x41) NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "zip: '%s' is encrypted", e->name);
    if (method != 0 && method != 8) {
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "zip: '%s' uses compression method %u", e->name, method);
    }
    if (h->offset > d->offset || d->offset - h->offset < LOCAL_SIZE) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: '%s' lies outside the file", e->name);
    }
    const unsigned char *local = data + h->offset;
    uint64_t room = d->offset - h->offset - LOCAL_SIZE;
    uint64_t skip = (uint64_t)u16(local + 26) + u16(local + 28);
    if (u32(local) != LOCAL_SIG || u16(local + 8) != method) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: '%s' has a malformed local header", e->name);
    }
    if (skip > room || h->stored > room - skip) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: '%s' lies outside the file", e->name);
    }
    e->data = local + LOCAL_SIZE + skip;
    e->stored = h->stored;
    e->size = h->size;
    e->crc = u32(h->p + 16);
    e->deflated = method == 8;
    if (!e->deflated && e->size != e->stored) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: '%s' is stored, yet its sizes differ", e->name);
    }
    if (e->deflated && e->size / INFLATE_MOST > e->stored) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: '%s' claims %llu bytes, more than %llu can inflate to",
                 e->name, (unsigned long long)e->size, (unsigned long long)e->stored);
    }
    *x = (extent){h->offset, h->offset + LOCAL_SIZE + skip + h->stored};
    return NRW_OK;
}

static int by_start(const void *a, const void *b) {
    const extent *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

/* Reads the header at *at and moves on. */
static nrw_status next_header(nrw_arena *a, const unsigned char **at, const unsigned char *end,
                              header *h, nrw_zip_entry *e, nrw_error *err) {
    const unsigned char *p = *at;
    if ((size_t)(end - p) < CENTRAL_SIZE || u32(p) != CENTRAL_SIG) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: malformed directory");
    }
    size_t name = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
    if (name + extra + comment > (size_t)(end - p) - CENTRAL_SIZE) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: malformed directory");
    }
    const char *text = (const char *)p + CENTRAL_SIZE;
    e->name = nrw_arena_strndup(a, text, name);
    if (!e->name) NRW_OOM(err);
    if (!is_safe_name(text, name)) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: '%s' is not a name that a member may have", e->name);
    }
    *h = (header){p, u32(p + 24), u32(p + 20), u32(p + 42)};
    if (!read_zip64(h, p + CENTRAL_SIZE + name, extra)) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: '%s' has a malformed zip64 field", e->name);
    }
    *at = p + CENTRAL_SIZE + name + extra + comment;
    return NRW_OK;
}

nrw_status nrw_zip_open(nrw_arena *a, const unsigned char *data, size_t size, nrw_zip *out,
                        nrw_error *err) {
    *out = (nrw_zip){0};
    directory d = {0};
    NRW_TRY(find_directory(data, size, &d, err));
    size_t n = (size_t)d.count;
    nrw_zip_entry *entries = nrw_arena_calloc(a, n, sizeof *entries);
    extent *extents = nrw_arena_calloc(a, n, sizeof *extents);
    if (!entries || !extents) NRW_OOM(err);
    nrw_map names;
    nrw_map_init(&names, a);
    const unsigned char *at = data + d.offset, *end = at + d.size;
    for (size_t i = 0; i < n; i++) {
        nrw_zip_entry *e = &entries[i];
        header h = {0};
        NRW_TRY(next_header(a, &at, end, &h, e, err));
        NRW_TRY(read_member(data, &d, &h, e, &extents[i], err));
        if (nrw_map_get(&names, e->name, strlen(e->name))) {
            NRW_FAIL(err, NRW_ERR_FORMAT, "zip: two members are named '%s'", e->name);
        }
        if (!nrw_map_put(&names, e->name, strlen(e->name), e)) NRW_OOM(err);
    }
    if (n) qsort(extents, n, sizeof *extents, by_start);
    for (size_t i = 1; i < n; i++) {
        if (extents[i].start < extents[i - 1].end) {
            NRW_FAIL(err, NRW_ERR_FORMAT, "zip: members overlap");
        }
    }
    *out = (nrw_zip){entries, n};
    return NRW_OK;
}

const nrw_zip_entry *nrw_zip_find(const nrw_zip *z, const char *name) {
    for (size_t i = 0; i < z->n; i++) {
        if (strcmp(z->entries[i].name, name) == 0) return &z->entries[i];
    }
    return NULL;
}

/* Streams ----------------------------------------------------------------------------------- */

struct nrw_zip_stream {
    const nrw_allocator *allocator;
    nrw_zip_entry entry;
    z_stream z;
    bool ready;        /* z is initialised */
    uint64_t position; /* bytes that were inflated so far */
    uint64_t fed;      /* bytes that were handed to z */
    uint32_t crc;
    unsigned char skipped[16 * 1024];
};

enum { PREFIX = 64 }; /* before each of zlib's blocks: its size, which freeing needs */

static void *zlib_alloc(void *user, unsigned n, unsigned size) {
    size_t bytes;
    if (!nrw_mul_size(n, size, &bytes) || !nrw_add_size(bytes, PREFIX, &bytes)) return NULL;
    unsigned char *p = nrw_mem_alloc(user, bytes);
    if (!p) return NULL;
    memcpy(p, &bytes, sizeof bytes);
    return p + PREFIX;
}

static void zlib_free(void *user, void *block) {
    unsigned char *p = (unsigned char *)block - PREFIX;
    size_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    nrw_mem_free(user, p, bytes);
}

static nrw_status rewind_stream(nrw_zip_stream *s, nrw_error *err) {
    s->position = s->fed = 0;
    s->crc = 0;
    s->z.avail_in = 0;
    if (!s->entry.deflated) return NRW_OK;
    int code = s->ready ? inflateReset(&s->z) : inflateInit2(&s->z, -MAX_WBITS);
    if (code != Z_OK) NRW_OOM(err);
    s->ready = true;
    return NRW_OK;
}

nrw_status nrw_zip_stream_open(const nrw_allocator *a, const nrw_zip_entry *e, nrw_zip_stream **out,
                               nrw_error *err) {
    *out = NULL;
    nrw_zip_stream *s = nrw_mem_alloc(a, sizeof *s);
    if (!s) NRW_OOM(err);
    memset(s, 0, sizeof *s);
    s->allocator = a;
    s->entry = *e;
    s->z.zalloc = zlib_alloc;
    s->z.zfree = zlib_free;
    s->z.opaque = (void *)(uintptr_t)a;
    nrw_status status = rewind_stream(s, err);
    if (status != NRW_OK) {
        nrw_zip_stream_close(s);
        return status;
    }
    *out = s;
    return NRW_OK;
}

void nrw_zip_stream_close(nrw_zip_stream *s) {
    if (!s) return;
    if (s->ready) inflateEnd(&s->z);
    nrw_mem_free(s->allocator, s, sizeof *s);
}

/* At most a number that fits zlib's counters. */
static unsigned some(uint64_t n) {
    return n < (1u << 30) ? (unsigned)n : 1u << 30;
}

static nrw_status inflate_bytes(nrw_zip_stream *s, unsigned char *out, size_t n, nrw_error *err) {
    const nrw_zip_entry *e = &s->entry;
    while (n) {
        unsigned want = some(n);
        s->z.next_out = out;
        s->z.avail_out = want;
        while (s->z.avail_out) {
            if (!s->z.avail_in) {
                s->z.next_in = (unsigned char *)(uintptr_t)e->data + s->fed;
                s->z.avail_in = some(e->stored - s->fed);
                s->fed += s->z.avail_in;
            }
            int code = inflate(&s->z, Z_NO_FLUSH);
            if (code == Z_MEM_ERROR) NRW_OOM(err);
            if ((code != Z_OK && code != Z_STREAM_END) ||
                (code == Z_STREAM_END && s->z.avail_out)) {
                NRW_FAIL(err, NRW_ERR_FORMAT, "zip: '%s' does not inflate", e->name);
            }
        }
        out += want;
        n -= want;
    }
    return NRW_OK;
}

/* The next n bytes. */
static nrw_status advance(nrw_zip_stream *s, unsigned char *out, size_t n, nrw_error *err) {
    if (s->entry.deflated) {
        NRW_TRY(inflate_bytes(s, out, n, err));
    } else {
        memcpy(out, s->entry.data + s->position, n);
    }
    for (size_t done = 0; done < n;) {
        unsigned part = some(n - done);
        s->crc = (uint32_t)crc32(s->crc, out + done, part);
        done += part;
    }
    s->position += n;
    if (s->position == s->entry.size && s->crc != s->entry.crc) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: '%s' is damaged: its checksum does not match",
                 s->entry.name);
    }
    return NRW_OK;
}

nrw_status nrw_zip_stream_read(nrw_zip_stream *s, uint64_t offset, void *out, size_t n,
                               nrw_error *err) {
    if (offset > s->entry.size || n > s->entry.size - offset) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "zip: '%s' ends early", s->entry.name);
    }
    if (!n) return NRW_OK;
    if (offset < s->position) NRW_TRY(rewind_stream(s, err));
    while (s->position < offset) {
        uint64_t gap = offset - s->position;
        size_t part = gap < sizeof s->skipped ? (size_t)gap : sizeof s->skipped;
        NRW_TRY(advance(s, s->skipped, part, err));
    }
    return advance(s, out, n, err);
}

nrw_status nrw_zip_read(const nrw_allocator *a, const nrw_zip_entry *e, void *out, nrw_error *err) {
    nrw_zip_stream *s;
    NRW_TRY(nrw_zip_stream_open(a, e, &s, err));
    nrw_status status = nrw_zip_stream_read(s, 0, out, (size_t)e->size, err);
    nrw_zip_stream_close(s);
    return status;
}
