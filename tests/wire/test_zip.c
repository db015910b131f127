/* Archives: what is written reads back, and no malformed one gets through. */
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "base/rng.h"
#include "unit.h"
#include "wire/zip.h"

static void put16(unsigned char *p, unsigned v) {
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}

static void put32(unsigned char *p, uint32_t v) {
    put16(p, v & 0xffff);
    put16(p + 2, v >> 16);
}

/* An archive in memory, with room for damage. */
typedef struct archive {
    unsigned char bytes[8192];
    size_t size;
    size_t local[4], central[4], end; /* offsets of headers */
    int n;
} archive;

static void append(archive *a, const void *p, size_t n) {
    assert_true(a->size + n <= sizeof a->bytes);
    memcpy(a->bytes + a->size, p, n);
    a->size += n;
}

/* Raw deflate. */
static size_t deflated(const void *p, size_t n, unsigned char *out, size_t room) {
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)p;
    z.avail_in = (unsigned)n;
    z.next_out = out;
    z.avail_out = (unsigned)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

typedef struct member {
    const char *name;
    const void *data;
    size_t size;
    bool deflate;
} member;

static void make(archive *a, const member *m, int n) {
    memset(a, 0, sizeof *a);
    a->n = n;
    unsigned char headers[4][30], packed[4096];
    for (int i = 0; i < n; i++) {
        unsigned char *h = headers[i];
        size_t stored = m[i].size;
        const void *data = m[i].data;
        if (m[i].deflate) {
            stored = deflated(m[i].data, m[i].size, packed, sizeof packed);
            data = packed;
        }
        memset(h, 0, 30);
        put32(h, 0x04034b50);
        put16(h + 8, m[i].deflate ? 8 : 0);
        put32(h + 14, (uint32_t)crc32(0, m[i].data, (unsigned)m[i].size));
        put32(h + 18, (uint32_t)stored);
        put32(h + 22, (uint32_t)m[i].size);
        put16(h + 26, (unsigned)strlen(m[i].name));
        a->local[i] = a->size;
        append(a, h, 30);
        append(a, m[i].name, strlen(m[i].name));
        append(a, data, stored);
    }
    size_t start = a->size;
    for (int i = 0; i < n; i++) {
        unsigned char c[46] = {0};
        put32(c, 0x02014b50);
        memcpy(c + 6, headers[i] + 4, 24); /* version … name length */
        put32(c + 42, (uint32_t)a->local[i]);
        a->central[i] = a->size;
        append(a, c, 46);
        append(a, m[i].name, strlen(m[i].name));
    }
    unsigned char e[22] = {0};
    a->end = a->size;
    put32(e, 0x06054b50);
    put16(e + 8, (unsigned)n);
    put16(e + 10, (unsigned)n);
    put32(e + 12, (uint32_t)(a->size - start));
    put32(e + 16, (uint32_t)start);
    append(a, e, 22);
}

static char text[3000];
static const member two[2] = {{"a.txt", "hello", 5, false}, {"dir/b.bin", text, sizeof text, true}};

static void fill_text(void) {
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)("abcdefg"[i % 7] + (i / 900));
}

/* Opens the archive from a block of exactly its size, so that overruns are seen. */
static nrw_status try_open(const archive *a, nrw_error *err) {
    nrw_arena arena;
    nrw_zip z;
    nrw_arena_init(&arena, nrw_system_allocator());
    unsigned char *copy = malloc(a->size ? a->size : 1);
    memcpy(copy, a->bytes, a->size);
    nrw_status s = nrw_zip_open(&arena, copy, a->size, &z, err);
    for (size_t i = 0; s == NRW_OK && i < z.n; i++) {
        if (z.entries[i].size > 1 << 24) continue;
        unsigned char *out = malloc(z.entries[i].size + 1);
        s = nrw_zip_read(nrw_system_allocator(), &z.entries[i], out, err);
        free(out);
    }
    free(copy);
    nrw_arena_free(&arena);
    return s;
}

static void reads_members(void **state) {
    archive a;
    nrw_error err;
    nrw_arena arena;
    nrw_zip z;
    fill_text();
    make(&a, two, 2);
    nrw_arena_init(&arena, nrw_system_allocator());
    assert_ok(nrw_zip_open(&arena, a.bytes, a.size, &z, &err), &err);
    assert_int_equal(z.n, 2);
    assert_null(nrw_zip_find(&z, "b.bin"));
    const nrw_zip_entry *e = nrw_zip_find(&z, "a.txt");
    assert_non_null(e);
    assert_false(e->deflated);
    assert_memory_equal(e->data, "hello", 5);
    e = nrw_zip_find(&z, "dir/b.bin");
    static char out[sizeof text];
    assert_true(e->deflated && e->size == sizeof text);
    assert_ok(nrw_zip_read(nrw_system_allocator(), e, out, &err), &err);
    assert_memory_equal(out, text, sizeof text);

    failing_allocator heap;
    failing_init(&heap, -1);
    nrw_zip_stream *s;
    assert_ok(nrw_zip_stream_open(&heap.allocator, e, &s, &err), &err);
    const size_t at[] = {0, 700, 1500, 20, 2990, 0, 3000};
    for (int i = 0; i < 7; i++) {
        size_t n = at[i] + 500 <= sizeof text ? 500 : sizeof text - at[i];
        assert_ok(nrw_zip_stream_read(s, at[i], out, n, &err), &err);
        assert_memory_equal(out, text + at[i], n);
    }
    assert_fails(nrw_zip_stream_read(s, 2999, out, 2, &err), NRW_ERR_FORMAT, &err, "ends early");
    nrw_zip_stream_close(s);
    assert_int_equal(heap.live, 0);
    for (int64_t fail_at = 0; fail_at < heap.made; fail_at++) {
        failing_allocator bad;
        failing_init(&bad, fail_at);
        assert_int_equal(nrw_zip_read(&bad.allocator, e, out, &err), NRW_ERR_MEMORY);
        assert_int_equal(bad.live, 0);
    }
    nrw_arena_free(&arena);
}

static void attacks(void **state) {
    archive a;
    nrw_error err;
    fill_text();
#define ATTACK(change, status, what)                                                               \
    do {                                                                                           \
        make(&a, two, 2);                                                                          \
        change;                                                                                    \
        assert_fails(try_open(&a, &err), status, &err, what);                                      \
    } while (0)
    make(&a, two, 2);
    assert_ok(try_open(&a, &err), &err);
    ATTACK(put32(a.bytes + a.central[1] + 42, (uint32_t)a.local[0]), NRW_ERR_FORMAT,
           "local header");
    ATTACK(put32(a.bytes + a.central[1] + 42, 0x7fffffff), NRW_ERR_FORMAT, "outside");
    ATTACK(put32(a.bytes + a.central[1] + 42, 0xffffffff), NRW_ERR_FORMAT, "outside");
    ATTACK(put32(a.bytes + a.central[1] + 20, 0x7fffffff), NRW_ERR_FORMAT, "outside");
    ATTACK(put32(a.bytes + a.central[1] + 24, 0x7fffffff), NRW_ERR_FORMAT, "inflate");
    ATTACK(put32(a.bytes + a.central[1] + 24, 3001), NRW_ERR_FORMAT, "inflate");
    ATTACK(put32(a.bytes + a.central[1] + 24, 2999), NRW_ERR_FORMAT, "checksum");
    ATTACK(put32(a.bytes + a.central[0] + 24, 6), NRW_ERR_FORMAT, "sizes differ");
    ATTACK(a.bytes[a.local[0] + 36] ^= 1, NRW_ERR_FORMAT, "checksum");
    ATTACK(put16(a.bytes + a.central[0] + 8, 1), NRW_ERR_UNSUPPORTED, "encrypted");
    ATTACK(put16(a.bytes + a.central[0] + 10, 12), NRW_ERR_UNSUPPORTED, "method 12");
    ATTACK(put32(a.bytes + a.end + 16, 0x7fffffff), NRW_ERR_FORMAT, "directory");
    ATTACK(put32(a.bytes + a.end + 12, 0x7fffffff), NRW_ERR_FORMAT, "directory");
    ATTACK(put16(a.bytes + a.end + 10, 0xffff), NRW_ERR_FORMAT, "directory");
    ATTACK(put16(a.bytes + a.end + 10, 3), NRW_ERR_FORMAT, "directory");
    ATTACK(put16(a.bytes + a.end + 4, 1), NRW_ERR_UNSUPPORTED, "disks");
    ATTACK(put16(a.bytes + a.central[1] + 28, 0xffff), NRW_ERR_FORMAT, "directory");
    ATTACK(put16(a.bytes + a.local[1] + 28, 0xffff), NRW_ERR_FORMAT, "outside");
    ATTACK(a.size = a.end, NRW_ERR_FORMAT, "truncated");
    ATTACK(a.size = 0, NRW_ERR_FORMAT, "truncated");
#undef ATTACK
    /* The same bytes twice: a member that lies within another. */
    const member same[2] = {{"x", "zzzzzzzzzz", 10, false}, {"y", "zzzzzzzzzz", 10, false}};
    make(&a, same, 2);
    put32(a.bytes + a.central[1] + 42, (uint32_t)a.local[0]);
    assert_fails(try_open(&a, &err), NRW_ERR_FORMAT, &err, "overlap");
}

static void names(void **state) {
    archive a;
    nrw_error err;
    const char *bad[] = {"../x", "a/../b", "/x", "..", "a\\b", ""};
    for (int i = 0; i < 6; i++) {
        make(&a, &(member){bad[i], "x", 1, false}, 1);
        assert_fails(try_open(&a, &err), NRW_ERR_FORMAT, &err, "name");
    }
    make(&a, &(member){"..x/a..b", "x", 1, false}, 1);
    assert_ok(try_open(&a, &err), &err);
    const member twice[2] = {{"x", "a", 1, false}, {"x", "b", 1, false}};
    make(&a, twice, 2);
    assert_fails(try_open(&a, &err), NRW_ERR_FORMAT, &err, "two members");
}

/* Every byte in turn, and random ones together: nothing but an answer may come of it. */
static void damage(void **state) {
    archive a;
    nrw_rng r;
    fill_text();
    nrw_rng_seed(&r, 1);
    make(&a, two, 2);
    archive whole = a;
    for (size_t i = 0; i < whole.size; i++) {
        a = whole;
        a.bytes[i] ^= (unsigned char)(1 + nrw_rng_below(&r, 255));
        (void)!try_open(&a, NULL);
        a.size = i;
        assert_int_not_equal(try_open(&a, NULL), NRW_OK);
    }
}

static void writes_what_it_reads(void **state) {
    nrw_error err;
    nrw_output *o;
    nrw_zip_writer w;
    nrw_mapping m;
    nrw_arena arena;
    nrw_zip z;
    char *folder = make_folder();
    const char *path = in_folder(folder, "x.zip");
    fill_text();
    assert_ok(nrw_output_open(nrw_system_allocator(), path, &o, &err), &err);
    nrw_zip_writer_init(&w, nrw_system_allocator(), o);
    const nrw_zip_piece pieces[3] = {{"head", 4}, {text, sizeof text}, {NULL, 0}};
    const size_t aligns[4] = {1, 64, 4096, 64};
    char name[32];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "%0*d", i % 9 + 2, i);
        assert_ok(nrw_zip_add(&w, name, aligns[i % 4], 3, pieces, &err), &err);
    }
    assert_ok(nrw_zip_finish(&w, &err), &err);
    nrw_zip_writer_free(&w);
    assert_ok(nrw_output_commit(o, &err), &err);
    assert_ok(nrw_map_file(path, &m, &err), &err);
    nrw_arena_init(&arena, nrw_system_allocator());
    assert_ok(nrw_zip_open(&arena, m.data, m.size, &z, &err), &err);
    assert_int_equal(z.n, 40);
    for (int i = 0; i < 40; i++) {
        static char out[sizeof text + 4];
        snprintf(name, sizeof name, "%0*d", i % 9 + 2, i);
        const nrw_zip_entry *e = nrw_zip_find(&z, name);
        assert_non_null(e);
        assert_int_equal(e->size, sizeof text + 4);
        assert_int_equal((size_t)(e->data - m.data) % aligns[i % 4], 0);
        assert_ok(nrw_zip_read(nrw_system_allocator(), e, out, &err), &err);
        assert_memory_equal(out + 4, text, sizeof text);
    }
    nrw_arena_free(&arena);
    nrw_unmap_file(&m);
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_members),
        cmocka_unit_test(attacks),
        cmocka_unit_test(names),
        cmocka_unit_test(damage),
        cmocka_unit_test(writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
