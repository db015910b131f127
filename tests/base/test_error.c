#include "unit.h"

static void test_messages_are_one_line_of_text(void **state) {
    nrw_error err;
    assert_int_equal(
        nrw_error_set(&err, NRW_ERR_IO,
                      "a\nb\x80 \xc3\xbc \xe2\x82\xac \xed\xa0\x80 \xf0\x9f\x98\x80 \xff\x7f"),
        NRW_ERR_IO);
    assert_string_equal(err.message, "a?b? \xc3\xbc \xe2\x82\xac ??? \xf0\x9f\x98\x80 ??");
    assert_int_equal(nrw_error_prefix(&err, err.code, "x\ty"), NRW_ERR_IO);
    assert_string_equal(err.message, "x?y: a?b? \xc3\xbc \xe2\x82\xac ??? \xf0\x9f\x98\x80 ??");
}

/* A character cut in two by the end of the buffer is no character. */
static void test_long_messages_end_whole(void **state) {
    nrw_error err;
    char text[2000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = i % 2 == 0 ? '\xc3' : '\xbc';
    text[sizeof text - 1] = '\0';
    assert_int_equal(nrw_error_set(&err, NRW_ERR_IO, "%s", text), NRW_ERR_IO);
    size_t n = strlen(err.message);
    assert_int_equal(n, sizeof err.message - 1);
    assert_int_equal(err.message[n - 1], '?');
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages_are_one_line_of_text),
                                       cmocka_unit_test(test_long_messages_end_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
