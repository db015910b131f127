#include "base/rng.h"
#include "base/str.h"
#include "unit.h"

static void strbuf(void **state) {
    nrw_strbuf b;
    nrw_strbuf_init(&b, nrw_system_allocator());
    assert_null(b.data);
    for (int i = 0; i < 1000; i++) {
        nrw_strbuf_printf(&b, "%03d", i);
        nrw_strbuf_puts(&b, ",");
    }
    nrw_strbuf_add(&b, "\0x", 2);
    assert_false(b.failed);
    assert_int_equal(b.size, 4002);
    assert_memory_equal(b.data, "000,001,002,", 12);
    assert_memory_equal(b.data + 3996, "999,\0x", 7);
    nrw_strbuf_free(&b);
    assert_null(b.data);
}

static void strbuf_failure_sticks(void **state) {
    failing_allocator heap;
    failing_init(&heap, 1);
    nrw_strbuf b;
    nrw_strbuf_init(&b, &heap.allocator);
    nrw_strbuf_puts(&b, "ab");
    assert_false(b.failed);
    nrw_strbuf_printf(&b, "%1000d", 1);
    assert_true(b.failed);
    nrw_strbuf_puts(&b, "c");
    assert_string_equal(b.data, "ab");
    nrw_strbuf_free(&b);
    assert_int_equal(heap.live, 0);
}

static void map(void **state) {
    nrw_arena a;
    nrw_arena_init(&a, nrw_system_allocator());
    nrw_map m;
    nrw_map_init(&m, &a);
    assert_null(nrw_map_get(&m, "x", 1));
    static char keys[5000][8];
    static int values[5000];
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(keys[i], sizeof keys[i], "k%d", i);
        assert_true(nrw_map_put(&m, keys[i], (size_t)n, &values[i]));
    }
    assert_int_equal(m.used, 5000);
    for (int i = 0; i < 5000; i++) {
        assert_ptr_equal(nrw_map_get(&m, keys[i], strlen(keys[i])), &values[i]);
    }
    assert_null(nrw_map_get(&m, "k", 1));
    assert_null(nrw_map_get(&m, "k5000", 5));
    assert_true(nrw_map_put(&m, "k7", 2, &values[0]));
    assert_ptr_equal(nrw_map_get(&m, "k7", 2), &values[0]);
    assert_true(nrw_map_put(&m, NULL, 0, &values[3]));
    assert_ptr_equal(nrw_map_get(&m, "", 0), &values[3]);
    assert_int_equal(m.used, 5001);
    nrw_arena_free(&a);
}

static void map_out_of_memory(void **state) {
    failing_allocator heap;
    failing_init(&heap, 0);
    nrw_arena a;
    nrw_arena_init(&a, &heap.allocator);
    nrw_map m;
    nrw_map_init(&m, &a);
    assert_false(nrw_map_put(&m, "x", 1, &m));
    assert_null(nrw_map_get(&m, "x", 1));
    nrw_arena_free(&a);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Inputs that differ in one bit or in length alone have different hashes; the seed counts. */
static void hash(void **state) {
    static uint64_t seen[40 * 320 + 80];
    size_t n = 0;
    unsigned char text[40] = {0};
    for (size_t size = 0; size <= sizeof text; size++) {
        seen[n++] = nrw_hash64(text, size, 0);
        seen[n++] = nrw_hash64(text, size, 1);
        for (size_t bit = 0; bit < 8 * size && n < sizeof seen / sizeof *seen; bit++) {
            text[bit / 8] ^= (unsigned char)(1 << bit % 8);
            seen[n++] = nrw_hash64(text, size, 0);
            text[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
    }
    qsort(seen, n, sizeof *seen, by_value);
    for (size_t i = 1; i < n; i++) assert_true(seen[i - 1] != seen[i]);
}

static void sha256_is(const char *text, size_t n, size_t repeat, const char *want) {
    nrw_sha256 s;
    char hex[65];
    nrw_sha256_init(&s);
    for (size_t i = 0; i < repeat; i++) nrw_sha256_add(&s, text, n);
    nrw_sha256_hex(&s, hex);
    assert_string_equal(hex, want);
}

/* The examples of FIPS 180-2, appendix B, and lengths around the padding's borders. */
static void sha256(void **state) {
    sha256_is("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_is("abc", 3, 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *long_one = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    sha256_is(long_one, 56, 1, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    sha256_is("a", 1, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    static const char zeros[150];
    for (size_t n = 50; n <= 130; n++) { /* the same bytes in one piece and one by one */
        char hex[65];
        nrw_sha256 s;
        nrw_sha256_init(&s);
        nrw_sha256_add(&s, zeros, n);
        nrw_sha256_hex(&s, hex);
        sha256_is(zeros, 1, n, hex);
    }
}

/* The generator's first numbers are pinned: results anywhere may depend on them. */
static void random_numbers(void **state) {
    nrw_rng r = {{1, 2, 3, 4}};
    /* xoshiro256** from this state; the first two numbers are easily worked out by hand. */
    static const uint64_t first[5] = {11520, 0, 1509978240, 1215971899390074240,
                                      1216172134540287360};
    for (int i = 0; i < 5; i++) assert_true(nrw_rng_u64(&r) == first[i]);
    nrw_rng_seed(&r, 0);
    assert_true(r.s[0] == 0xe220a8397b1dcdafu); /* SplitMix64's first number from seed 0 */
    int counts[7] = {0};
    for (int i = 0; i < 70000; i++) counts[nrw_rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++) assert_in_range(counts[i], 9600, 10400);
    double sum = 0, squares = 0, fourth = 0;
    for (int i = 0; i < 100000; i++) {
        double u = nrw_rng_uniform(&r), x = nrw_rng_normal(&r);
        assert_true(u >= 0 && u < 1);
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    assert_true(sum / 1e5 < 0.02 && sum / 1e5 > -0.02);
    assert_true(squares / 1e5 < 1.03 && squares / 1e5 > 0.97);
    assert_true(fourth / 1e5 < 3.2 && fourth / 1e5 > 2.8);
}

static void error_texts(void **state) {
    nrw_error err;
    assert_int_equal(nrw_error_set(&err, NRW_ERR_SHAPE, "pads: got %d", 3), NRW_ERR_SHAPE);
    assert_int_equal(nrw_error_prefix(&err, NRW_ERR_SHAPE, "node '%s'", "x"), NRW_ERR_SHAPE);
    assert_string_equal(err.message, "node 'x': pads: got 3");
    nrw_error_set(&err, NRW_ERR_IO, "again: %s", err.message);
    assert_string_equal(err.message, "again: node 'x': pads: got 3");
    assert_int_equal(err.code, NRW_ERR_IO);
    for (int i = 0; i < 50; i++) nrw_error_prefix(&err, NRW_ERR_IO, "%0100d", i);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_int_equal(nrw_error_set(NULL, NRW_ERR_IO, "x"), NRW_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strbuf),
        cmocka_unit_test(strbuf_failure_sticks),
        cmocka_unit_test(map),
        cmocka_unit_test(map_out_of_memory),
        cmocka_unit_test(hash),
        cmocka_unit_test(sha256),
        cmocka_unit_test(random_numbers),
        cmocka_unit_test(error_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
