/* FlexBuffers: what Google's writer makes reads back, and no damage gets anywhere. */
#include "unit.h"
#include "wire/flexbuffer.h"

/* {"small": -5, "wide": 1 << 40, "real": 0.25, "flag": true, "u": 250, "nothing": null,
 *  "far": -70000 behind an offset, "inner": {"third": 1 / 3}} */
static const unsigned char sample[] = {
    /* clang-format off */
    0x73, 0x6d, 0x61, 0x6c, 0x6c, 0x00, 0x77, 0x69, 0x64, 0x65, 0x00, 0x72,
    0x65, 0x61, 0x6c, 0x00, 0x66, 0x6c, 0x61, 0x67, 0x00, 0x75, 0x00, 0x6e,
    0x6f, 0x74, 0x68, 0x69, 0x6e, 0x67, 0x00, 0x66, 0x61, 0x72, 0x00, 0x00,
    0x90, 0xee, 0xfe, 0xff, 0x69, 0x6e, 0x6e, 0x65, 0x72, 0x00, 0x74, 0x68,
    0x69, 0x72, 0x64, 0x00, 0x01, 0x07, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x55, 0x55, 0x55, 0x55,
    0x55, 0x55, 0xd5, 0x3f, 0x0f, 0x08, 0x3b, 0x4b, 0x34, 0x46, 0x53, 0x5f,
    0x4b, 0x5b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0e, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x5c, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xd0, 0x3f,
    0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00,
    0x1a, 0x6b, 0x27, 0x03, 0x0f, 0x07, 0x0b, 0x07, 0x48, 0x27, 0x01,
    /* clang-format on */
};

static nrw_flex get(const char *key) {
    const nrw_flex root = nrw_flex_root(sample, sizeof sample);
    return nrw_flex_get(&root, key);
}

static void reads_numbers(void **state) {
    (void)state;
    nrw_flex v = get("small");
    assert_int_equal(nrw_flex_int(&v, 0), -5);
    v = get("wide");
    assert_int_equal(nrw_flex_int(&v, 0), (int64_t)1 << 40);
    assert_true(nrw_flex_real(&v, 0) == 1099511627776.0);
    v = get("real");
    assert_true(nrw_flex_real(&v, 0) == 0.25);
    assert_int_equal(nrw_flex_int(&v, 9), 0);
    v = get("flag");
    assert_int_equal(nrw_flex_int(&v, 0), 1);
    v = get("u");
    assert_int_equal(nrw_flex_int(&v, 0), 250);
    v = get("far");
    assert_int_equal(nrw_flex_int(&v, 0), -70000);
}

static void reads_inner_maps(void **state) {
    (void)state;
    const nrw_flex inner = get("inner"), v = nrw_flex_get(&inner, "third");
    assert_true(nrw_flex_real(&v, 0) == 1.0 / 3);
    assert_int_equal(nrw_flex_int(&inner, 4), 4);
}

static void knows_what_is_not_there(void **state) {
    (void)state;
    nrw_flex v = get("nothing");
    assert_false(nrw_flex_exists(&v));
    assert_int_equal(nrw_flex_int(&v, 3), 3);
    v = get("smal");
    assert_false(nrw_flex_exists(&v));
    v = get("smalls");
    assert_false(nrw_flex_exists(&v));
    v = nrw_flex_root(NULL, 0);
    v = nrw_flex_get(&v, "a");
    assert_false(nrw_flex_exists(&v));
}

/* Every byte changed to many others, and every length: whatever comes out lies inside. */
static void survives_damage(void **state) {
    (void)state;
    static const char *const keys[] = {"small", "wide", "real", "flag", "u", "far", "inner"};
    for (size_t i = 0; i < sizeof sample; i++) {
        for (unsigned x = 0; x < 256; x += 5) {
            unsigned char *bytes = malloc(sizeof sample - i % 3);
            assert_non_null(bytes);
            memcpy(bytes, sample + i % 3, sizeof sample - i % 3);
            if (i % 3 <= i && i - i % 3 < sizeof sample - i % 3)
                bytes[i - i % 3] = (unsigned char)x;
            const nrw_flex root = nrw_flex_root(bytes, sizeof sample - i % 3);
            for (int k = 0; k < 7; k++) {
                const nrw_flex v = nrw_flex_get(&root, keys[k]);
                (void)nrw_flex_int(&v, 0);
                (void)nrw_flex_real(&v, 0);
                const nrw_flex in = nrw_flex_get(&v, "third");
                (void)nrw_flex_real(&in, 0);
            }
            free(bytes);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_numbers),
        cmocka_unit_test(reads_inner_maps),
        cmocka_unit_test(knows_what_is_not_there),
        cmocka_unit_test(survives_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
