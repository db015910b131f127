/* FlatBuffers: what the reader makes of bytes that lie, and what the builder makes of all kinds. */
#include "unit.h"

#include "base/file.h"
#include "wire/flatbuffer.h"

/* A table with one field of each kind of offset, made by hand: root offset, identifier, layout,
 * table, then what it refers to. Numbers stand for byte offsets. */
enum {
    LAYOUT = 8,
    TABLE = 24,
    SLOT_U8 = 0,
    SLOT_I32 = 1,
    SLOT_TEXT = 2,
    SLOT_VECTOR = 3,
    SLOT_TABLE = 5, /* 4 is absent */
    U8_AT = TABLE + 4,
    I32_AT = TABLE + 8,
    TEXT_AT = TABLE + 12,
    VECTOR_AT = TABLE + 16,
    CHILD_AT = TABLE + 20,
    TEXT = 48,
    VECTOR = 56,
    CHILD = 72,
    CHILD_LAYOUT = 76,
    SIZE = 80
};

static void put16(unsigned char *p, unsigned v) {
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}

static void put32(unsigned char *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (8 * i));
}

static void make(unsigned char *b) {
    static const unsigned fields[] = {4, 8, 12, 16, 0, 20};
    memset(b, 0, SIZE);
    put32(b, TABLE);
    memcpy(b + 4, "TEST", 4);
    put16(b + LAYOUT, 16);
    put16(b + LAYOUT + 2, 24);
    for (int i = 0; i < 6; i++) put16(b + LAYOUT + 4 + 2 * i, fields[i]);
    put32(b + TABLE, TABLE - LAYOUT);
    b[U8_AT] = 200;
    put32(b + I32_AT, (uint32_t)-7);
    put32(b + TEXT_AT, TEXT - TEXT_AT);
    put32(b + VECTOR_AT, VECTOR - VECTOR_AT);
    put32(b + CHILD_AT, CHILD - CHILD_AT);
    put32(b + TEXT, 2);
    memcpy(b + TEXT + 4, "hi", 3);
    put32(b + VECTOR, 3);
    for (int i = 0; i < 3; i++) put32(b + VECTOR + 4 + 4 * i, (uint32_t)(10 + i));
    put32(b + CHILD, (uint32_t)(CHILD - CHILD_LAYOUT)); /* its layout lies behind it */
    put16(b + CHILD_LAYOUT, 4);
    put16(b + CHILD_LAYOUT + 2, 4);
}

/* Reads all there is from a block of exactly the bytes' size, so that overruns are seen. */
static nrw_status walk(const unsigned char *bytes, size_t size, nrw_error *err) {
    nrw_fb fb;
    unsigned char *copy = malloc(size > 0 ? size : 1);
    memcpy(copy, bytes, size);
    const nrw_fb_table t = nrw_fb_open(&fb, copy, size, "TEST");
    (void)nrw_fb_int(&t, SLOT_U8, NRW_FB_U8, 0);
    (void)nrw_fb_int(&t, SLOT_I32, NRW_FB_I32, 0);
    const nrw_string s = nrw_fb_text(&t, SLOT_TEXT);
    int sum = 0;
    for (size_t i = 0; i < s.size; i++) sum += s.data[i];
    const nrw_fb_vector v = nrw_fb_vec(&t, SLOT_VECTOR, 4);
    for (size_t i = 0; i < v.n; i++) sum += (int)nrw_fb_int_at(&v, NRW_FB_I32, i) & 1;
    const nrw_fb_table child = nrw_fb_child(&t, SLOT_TABLE);
    sum += (int)nrw_fb_int(&child, 0, NRW_FB_I64, 1) & 1;
    *err = (nrw_error){0};
    const nrw_status st = nrw_fb_check(&fb, err);
    free(copy);
    return sum == INT32_MIN ? NRW_ERR_INTERNAL : st;
}

static void reads_fields(void **state) {
    unsigned char b[SIZE];
    nrw_fb fb;
    nrw_error err;
    make(b);
    const nrw_fb_table t = nrw_fb_open(&fb, b, SIZE, "TEST");
    assert_true(nrw_fb_exists(&t));
    assert_int_equal(nrw_fb_int(&t, SLOT_U8, NRW_FB_U8, 5), 200);
    assert_int_equal(nrw_fb_int(&t, SLOT_U8, NRW_FB_I8, 5), -56);
    assert_int_equal(nrw_fb_int(&t, SLOT_U8, NRW_FB_BOOL, 0), 1);
    assert_int_equal(nrw_fb_int(&t, SLOT_I32, NRW_FB_I32, 5), -7);
    assert_int_equal(nrw_fb_int(&t, SLOT_I32, NRW_FB_U32, 5), UINT32_MAX - 6);
    const nrw_string s = nrw_fb_text(&t, SLOT_TEXT);
    assert_int_equal(s.size, 2);
    assert_memory_equal(s.data, "hi", 2);
    const nrw_fb_vector v = nrw_fb_vec(&t, SLOT_VECTOR, 4);
    assert_int_equal(v.n, 3);
    assert_int_equal(nrw_fb_int_at(&v, NRW_FB_I32, 2), 12);
    const nrw_fb_table child = nrw_fb_child(&t, SLOT_TABLE);
    assert_true(nrw_fb_exists(&child));
    assert_ok(nrw_fb_check(&fb, &err), &err);
}

/* By a zero in the layout, by a layout that ends before, and in a table that is not there. */
static void absent_fields_read_as_defaults(void **state) {
    unsigned char b[SIZE];
    nrw_fb fb;
    nrw_error err;
    make(b);
    const nrw_fb_table t = nrw_fb_open(&fb, b, SIZE, NULL);
    const nrw_fb_table child = nrw_fb_child(&t, SLOT_TABLE), none = nrw_fb_child(&t, 4);
    assert_false(nrw_fb_exists(&none));
    const nrw_fb_table *tables[] = {&t, &child, &none};
    for (int i = 0; i < 3; i++) {
        for (int slot = i == 0 ? 4 : 0; slot < 40; slot += slot == 4 ? 2 : 1) {
            const nrw_fb_table *p = tables[i];
            if (i > 0 || slot == 4 || slot > SLOT_TABLE) {
                assert_false(nrw_fb_has(p, slot));
                assert_int_equal(nrw_fb_int(p, slot, NRW_FB_I64, -3), -3);
                assert_true(nrw_fb_real(p, slot, NRW_FB_F32, 0.5) == 0.5);
                assert_int_equal(nrw_fb_text(p, slot).size, 0);
                assert_non_null(nrw_fb_text(p, slot).data);
                assert_int_equal(nrw_fb_bytes(p, slot).size, 0);
                assert_int_equal(nrw_fb_vec(p, slot, 8).n, 0);
                const nrw_fb_table below = nrw_fb_child(p, slot);
                assert_false(nrw_fb_exists(&below));
            }
        }
    }
    assert_ok(nrw_fb_check(&fb, &err), &err);
}

static void lies(void **state) {
    unsigned char b[SIZE];
    nrw_error err;
#define LIE(change, what)                                                                          \
    do {                                                                                           \
        make(b);                                                                                   \
        change;                                                                                    \
        assert_fails(walk(b, SIZE, &err), NRW_ERR_FORMAT, &err, what);                             \
        assert_non_null(strstr(err.message, "damaged"));                                           \
    } while (0)
    make(b);
    assert_ok(walk(b, SIZE, &err), &err);
    LIE(b[5] ^= 1, "identifier");
    LIE(put32(b, 0), "leads nowhere");
    LIE(put32(b, SIZE - 3), "offset leads outside");
    LIE(put32(b, 0xffffffff), "offset leads outside");
    LIE(put32(b + TABLE, TABLE + 1), "layout is outside");
    LIE(put32(b + TABLE, 0x80000000), "layout is outside");
    LIE(put32(b + TABLE, 0x7fffffff), "layout is outside");
    LIE(put32(b + TABLE, (uint32_t)(TABLE - SIZE + 2)), "layout is outside");
    LIE(put16(b + LAYOUT, 3), "layout ends early");
    LIE(put16(b + LAYOUT, 0xffff), "layout ends early");
    LIE(put16(b + LAYOUT + 2, 0xffff), "table ends early");
    LIE(put16(b + LAYOUT + 4, 24), "outside its table");
    LIE(put16(b + LAYOUT + 6, 21), "outside its table");
    LIE(put16(b + LAYOUT + 6, 0xffff), "outside its table");
    LIE(put16(b + LAYOUT + 8, 22), "outside its table");
    LIE(put32(b + TEXT_AT, 0), "leads nowhere");
    LIE(put32(b + TEXT_AT, SIZE), "offset leads outside");
    LIE(put32(b + TEXT, SIZE), "vector ends early");
    LIE(put32(b + VECTOR, 6), "vector ends early");
    LIE(put32(b + VECTOR, 0xffffffff), "vector ends early");
    LIE(put32(b + VECTOR, 0x40000001), "vector ends early"); /* times 4: 4 in 32 bits */
    LIE(put32(b + CHILD_AT, SIZE - CHILD_AT - 3), "offset leads outside");
    LIE(put32(b + CHILD, (uint32_t)(CHILD - SIZE)), "layout is outside");
#undef LIE
}

/* Cut off anywhere, and each byte replaced. */
static void cut_off(void **state) {
    unsigned char b[SIZE];
    nrw_error err;
    make(b);
    for (size_t size = 0; size < SIZE; size++) {
        assert_int_equal(walk(b, size, &err), NRW_ERR_FORMAT);
    }
    for (size_t at = 0; at < SIZE; at++) {
        for (int v = 0; v < 256; v += 5) {
            make(b);
            b[at] = (unsigned char)v;
            const nrw_status s = walk(b, SIZE, &err);
            assert_true(s == NRW_OK || (s == NRW_ERR_FORMAT && err.message[0] != 0));
        }
    }
}

/* Tables that share one long vector: honest at first, endless work in the end. */
static void references_are_counted(void **state) {
    enum { n = 1 << 20 };
    nrw_fb fb;
    nrw_error err;
    unsigned char *b = calloc(1, SIZE + n);
    make(b);
    put32(b + VECTOR_AT, SIZE - VECTOR_AT);
    put32(b + SIZE, n / 4 - 4);
    const nrw_fb_table t = nrw_fb_open(&fb, b, SIZE + n, "TEST");
    int opened = 0;
    while (fb.wrong == NULL && opened < 1000) {
        const nrw_fb_vector v = nrw_fb_vec(&t, SLOT_VECTOR, 4);
        assert_true(v.n == n / 4 - 4 || fb.wrong != NULL);
        if (fb.wrong == NULL) opened++;
    }
    assert_in_range(opened, 8, 10);
    assert_fails(nrw_fb_check(&fb, &err), NRW_ERR_FORMAT, &err, "too often");
    assert_int_equal(nrw_fb_vec(&t, SLOT_VECTOR, 4).n, 0);
    /* Content may be as long as it likes. */
    assert_true(nrw_fb_bytes(&t, SLOT_VECTOR).size > 0);
    free(b);
}

/* Building. */

typedef struct written {
    unsigned char *bytes;
    size_t size;
} written;

/* What the builder writes; NULL bytes when it fails. */
static written finish(const nrw_fb_builder *b, const char *folder, nrw_error *err,
                      nrw_status *status) {
    const char *path = in_folder(folder, "x.bin");
    nrw_output *o;
    written w = {NULL, 0};
    assert_ok(nrw_output_open(nrw_system_allocator(), path, &o, err), err);
    *status = nrw_fb_write(b, o, err);
    if (*status != NRW_OK) {
        nrw_output_abort(o);
        return w;
    }
    assert_ok(nrw_output_commit(o, err), err);
    nrw_mapping m;
    assert_ok(nrw_map_file(path, &m, err), err);
    assert_int_equal(m.size, nrw_fb_size(b));
    w.bytes = malloc(m.size);
    w.size = m.size;
    memcpy(w.bytes, m.data, m.size);
    nrw_unmap_file(&m);
    return w;
}

static const int64_t whole[] = {1,           -100,       200,       -30000,   60000,
                                -2000000000, 4000000000, INT64_MIN, INT64_MAX};
static const char content[3][40] = {"first", "second, which is longer", "third"};

/* One table with everything in it. */
static void build(nrw_fb_builder *b) {
    nrw_fb_ref blobs[3], texts[3], tables[40];
    for (int i = 0; i < 3; i++) blobs[i] = nrw_fb_put_blob(b, content[i], strlen(content[i]));
    const nrw_fb_ref nothing = nrw_fb_put_blob(b, NULL, 0);
    for (int i = 0; i < 3; i++) texts[i] = nrw_fb_put_text(b, content[i], strlen(content[i]));
    const nrw_fb_ref wide = nrw_fb_put_vec(b, whole, 9, 8), bytes = nrw_fb_put_vec(b, "abc", 3, 1);
    const float reals[] = {0.5f, -1e30f};
    const nrw_fb_ref floats = nrw_fb_put_vec(b, reals, 2, 4), list = nrw_fb_put_refs(b, texts, 3);
    for (int i = 0; i < 40; i++) {
        nrw_fb_begin(b);
        nrw_fb_set_int(b, i % 2, NRW_FB_I32, i, -1);
        tables[i] = nrw_fb_end(b);
    }
    const nrw_fb_ref many = nrw_fb_put_refs(b, tables, 40);
    nrw_fb_begin(b);
    for (int k = 0; k < 9; k++) nrw_fb_set_int(b, k, (nrw_fb_kind)k, whole[k], 0);
    nrw_fb_set_real(b, 9, NRW_FB_F32, 0.1f, 0);
    nrw_fb_set_real(b, 10, NRW_FB_F64, 0.1, 0);
    nrw_fb_set_int(b, 11, NRW_FB_I32, 77, 77);
    nrw_fb_set_real(b, 12, NRW_FB_F32, 2.5, 2.5);
    nrw_fb_set_ref(b, 13, 0);
    const nrw_fb_ref refs[] = {texts[1], wide,     bytes,    floats,   list,
                               many,     blobs[0], blobs[1], blobs[2], nothing};
    for (int i = 0; i < 10; i++) nrw_fb_set_ref(b, 20 + i, refs[i]);
    const nrw_fb_ref later = nrw_fb_set_later(b, 30);
    nrw_fb_finish(b, nrw_fb_end(b), "TEST");
    nrw_fb_patch(b, later, 0x123456789abcdef0);
}

static void check_built(const written *w) {
    nrw_fb fb;
    nrw_error err;
    const nrw_fb_table t = nrw_fb_open(&fb, w->bytes, w->size, "TEST");
    for (int k = 0; k < 9; k++) {
        assert_int_equal(nrw_fb_int(&t, k, (nrw_fb_kind)k, 0), whole[k]);
    }
    assert_true(nrw_fb_real(&t, 9, NRW_FB_F32, 0) == (double)0.1f);
    assert_true(nrw_fb_real(&t, 10, NRW_FB_F64, 0) == 0.1);
    for (int slot = 11; slot < 20; slot++) assert_false(nrw_fb_has(&t, slot));
    assert_int_equal(nrw_fb_int(&t, 11, NRW_FB_I32, 77), 77);
    const nrw_string s = nrw_fb_text(&t, 20);
    assert_int_equal(s.size, strlen(content[1]));
    assert_string_equal(s.data, content[1]); /* with its zero */
    const nrw_fb_vector wide = nrw_fb_vec(&t, 21, 8), bytes = nrw_fb_vec(&t, 22, 1),
                        floats = nrw_fb_vec(&t, 23, 4), list = nrw_fb_vec(&t, 24, 4),
                        many = nrw_fb_vec(&t, 25, 4);
    assert_int_equal(wide.n, 9);
    for (size_t i = 0; i < 9; i++) assert_int_equal(nrw_fb_int_at(&wide, NRW_FB_I64, i), whole[i]);
    assert_int_equal(bytes.n, 3);
    assert_int_equal(nrw_fb_int_at(&bytes, NRW_FB_U8, 2), 'c');
    assert_true(nrw_fb_f32_at(&floats, 0) == 0.5f && nrw_fb_f32_at(&floats, 1) == -1e30f);
    assert_int_equal(list.n, 3);
    for (size_t i = 0; i < 3; i++) assert_string_equal(nrw_fb_text_at(&list, i).data, content[i]);
    assert_int_equal(many.n, 40);
    size_t layouts = 0, made[40];
    for (size_t i = 0; i < 40; i++) {
        const nrw_fb_table child = nrw_fb_table_at(&many, i);
        assert_int_equal(nrw_fb_int(&child, (int)(i % 2), NRW_FB_I32, -9), i);
        assert_false(nrw_fb_has(&child, 1 - (int)(i % 2)));
        size_t k = 0;
        while (k < layouts && made[k] != child.vtable) k++;
        if (k == layouts) made[layouts++] = child.vtable;
    }
    /* Two kinds of table, of which some begin with padding. */
    assert_in_range(layouts, 2, 4);
    for (int i = 0; i < 4; i++) {
        const nrw_string blob = nrw_fb_bytes(&t, 26 + i);
        assert_int_equal(blob.size, i < 3 ? strlen(content[i]) : 0);
        if (i < 3) assert_memory_equal(blob.data, content[i], blob.size);
        assert_int_equal((blob.data - (const char *)w->bytes) % 16, 0);
    }
    assert_int_equal(nrw_fb_int(&t, 30, NRW_FB_U64, 0), 0x123456789abcdef0);
    /* Numbers lie where their size divides: readers load them right from the file. */
    for (int slot = 0; slot <= 30; slot++) {
        static const unsigned char sizes[] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8};
        const size_t size = slot < 11 ? sizes[slot] : slot == 30 ? 8 : 4;
        if (!nrw_fb_has(&t, slot)) continue;
        uint16_t offset;
        memcpy(&offset, w->bytes + t.vtable + 4 + 2 * slot, 2);
        assert_int_equal((t.at + offset) % size, 0);
    }
    assert_int_equal((size_t)(wide.data - w->bytes) % 8, 0);
    assert_ok(nrw_fb_check(&fb, &err), &err);
}

static void reads_what_it_builds(void **state) {
    char *folder = make_folder();
    nrw_fb_builder b;
    nrw_error err;
    nrw_status s;
    nrw_fb_builder_init(&b, nrw_system_allocator());
    build(&b);
    written w = finish(&b, folder, &err, &s);
    assert_ok(s, &err);
    check_built(&w);
    free(w.bytes);
    nrw_fb_builder_free(&b);
    remove_folder(folder);
}

static void each_allocation_may_fail(void **state) {
    char *folder = make_folder();
    for (int64_t fail_at = 0;; fail_at++) {
        failing_allocator heap;
        nrw_fb_builder b;
        nrw_error err = {0};
        nrw_status s;
        failing_init(&heap, fail_at);
        nrw_fb_builder_init(&b, &heap.allocator);
        build(&b);
        /* More than the first room, so that it has to grow. */
        written w = finish(&b, folder, &err, &s);
        nrw_fb_builder_free(&b);
        assert_int_equal(heap.live, 0);
        if (s == NRW_OK) {
            check_built(&w);
            free(w.bytes);
            assert_true(fail_at >= 3);
            break;
        }
        assert_int_equal(s, NRW_ERR_MEMORY);
    }
    remove_folder(folder);
}

/* The bytes grow from the back, so growing moves what is there; lists of blobs and layouts too. */
static void large_files(void **state) {
    enum { n = 1000, size = 3000 };
    static nrw_fb_ref refs[n];
    char *folder = make_folder(), *text = malloc(size);
    memset(text, 'x', size);
    for (int64_t fail_at = 0, done = 0; !done; fail_at++) {
        failing_allocator heap;
        nrw_fb_builder b;
        nrw_error err = {0};
        nrw_status s;
        failing_init(&heap, fail_at);
        nrw_fb_builder_init(&b, &heap.allocator);
        for (int i = 0; i < n; i++) refs[i] = nrw_fb_put_blob(&b, text, (uint64_t)i % 40);
        for (int i = 0; i < n; i++) {
            const nrw_fb_ref name = nrw_fb_put_text(&b, text, (size_t)(i % size));
            nrw_fb_begin(&b);
            nrw_fb_set_ref(&b, 0, refs[i]);
            nrw_fb_set_ref(&b, 1, name);
            /* 128 layouts and more. */
            for (int k = 0; k < 8; k++) {
                if (i >> k & 1) nrw_fb_set_int(&b, 2 + k, NRW_FB_U8, 1, 0);
            }
            refs[i] = nrw_fb_end(&b);
        }
        const nrw_fb_ref all = nrw_fb_put_refs(&b, refs, n);
        nrw_fb_begin(&b);
        nrw_fb_set_ref(&b, 0, all);
        nrw_fb_finish(&b, nrw_fb_end(&b), "TEST");
        written w = finish(&b, folder, &err, &s);
        const size_t layouts = b.n_vtables;
        nrw_fb_builder_free(&b);
        assert_int_equal(heap.live, 0);
        if (s != NRW_OK) {
            assert_int_equal(s, NRW_ERR_MEMORY);
            continue;
        }
        assert_int_equal(layouts, 257);
        nrw_fb fb;
        const nrw_fb_table t = nrw_fb_open(&fb, w.bytes, w.size, "TEST");
        const nrw_fb_vector v = nrw_fb_vec(&t, 0, 4);
        assert_int_equal(v.n, n);
        for (int i = 0; i < n; i++) {
            const nrw_fb_table item = nrw_fb_table_at(&v, (size_t)i);
            assert_int_equal(nrw_fb_bytes(&item, 0).size, i % 40);
            assert_int_equal((nrw_fb_bytes(&item, 0).data - (const char *)w.bytes) % 16, 0);
            assert_int_equal(nrw_fb_text(&item, 1).size, i % size);
        }
        assert_ok(nrw_fb_check(&fb, &err), &err);
        free(w.bytes);
        done = 1;
        assert_true(fail_at > 8);
    }
    free(text);
    remove_folder(folder);
}

static void what_cannot_be_built(void **state) {
    char *folder = make_folder();
    for (int kind = 0; kind < 5; kind++) {
        nrw_fb_builder b;
        nrw_error err = {0};
        nrw_status s;
        nrw_fb_builder_init(&b, nrw_system_allocator());
        if (kind == 0) { /* twice a GiB behind, which is never touched */
            assert_int_not_equal(nrw_fb_put_blob(&b, "", 1u << 30), 0);
            assert_int_equal(nrw_fb_put_blob(&b, "", 1u << 30), 0);
        }
        if (kind == 1) assert_int_equal(nrw_fb_put_blob(&b, "", UINT64_MAX), 0);
        if (kind == 2) assert_int_equal(nrw_fb_put_vec(&b, "", SIZE_MAX / 2, 8), 0);
        if (kind == 3) {
            nrw_fb_put_text(&b, "x", 1);
            assert_int_equal(nrw_fb_put_blob(&b, "x", 1), 0);
        }
        nrw_fb_begin(&b);
        if (kind == 4) nrw_fb_set_int(&b, NRW_FB_MAX_SLOTS, NRW_FB_I8, 1, 0);
        nrw_fb_finish(&b, nrw_fb_end(&b), "TEST");
        (void)finish(&b, folder, &err, &s);
        assert_int_equal(s, NRW_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.message, kind < 3    ? "2 GiB"
                                            : kind == 3 ? "comes first"
                                                        : "too many fields"));
        nrw_fb_builder_free(&b);
    }
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_fields),
        cmocka_unit_test(absent_fields_read_as_defaults),
        cmocka_unit_test(lies),
        cmocka_unit_test(cut_off),
        cmocka_unit_test(references_are_counted),
        cmocka_unit_test(reads_what_it_builds),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(large_files),
        cmocka_unit_test(what_cannot_be_built),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
