#include <stdbool.h>

#include "unit.h"

static void arena_alignment_and_content(void **state) {
    failing_allocator heap;
    failing_init(&heap, -1);
    nrw_arena a;
    nrw_arena_init(&a, &heap.allocator);
    unsigned char *blocks[500];
    size_t sizes[500];
    for (int i = 0; i < 500; i++) {
        sizes[i] = (size_t)(i * 37 % 300) * (i % 50 == 0 ? 1000 : 1);
        blocks[i] = nrw_arena_alloc(&a, sizes[i]);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % (sizes[i] >= 64 ? 64 : 16), 0);
        memset(blocks[i], i, sizes[i]);
    }
    for (int i = 0; i < 500; i++) {
        for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(blocks[i][k], i & 255);
    }
    nrw_arena_free(&a);
    assert_int_equal(heap.live, 0);
    assert_non_null(nrw_arena_alloc(&a, 10)); /* usable again */
    nrw_arena_free(&a);
    assert_int_equal(heap.live, 0);
}

/* Many small allocations need few chunks; a large one does not end the chunk being filled. */
static void arena_chunks(void **state) {
    failing_allocator heap;
    failing_init(&heap, -1);
    nrw_arena a;
    nrw_arena_init(&a, &heap.allocator);
    for (int i = 0; i < 100000; i++) assert_non_null(nrw_arena_alloc(&a, 48));
    assert_true(heap.made <= 10);
    nrw_arena_free(&a);

    failing_init(&heap, -1);
    nrw_arena_init(&a, &heap.allocator);
    assert_non_null(nrw_arena_alloc(&a, 16));
    assert_non_null(nrw_arena_alloc(&a, 1 << 20));
    assert_non_null(nrw_arena_alloc(&a, 16));
    assert_int_equal(heap.made, 2);
    nrw_arena_free(&a);
}

static void arena_impossible_sizes(void **state) {
    nrw_arena a;
    nrw_arena_init(&a, nrw_system_allocator());
    assert_null(nrw_arena_alloc(&a, SIZE_MAX));
    assert_null(nrw_arena_alloc(&a, SIZE_MAX / 2));
    assert_null(nrw_arena_calloc(&a, SIZE_MAX / 8, 16));
    assert_null(nrw_arena_strndup(&a, "", SIZE_MAX));
    size_t cap = 0;
    void *array = NULL;
    assert_false(nrw_arena_grow(&a, &array, &cap, SIZE_MAX / 4, 8));
    assert_null(array);
    nrw_arena_free(&a);
}

static void arena_text_and_growth(void **state) {
    nrw_arena a;
    nrw_arena_init(&a, nrw_system_allocator());
    assert_string_equal(nrw_arena_strdup(&a, "abc"), "abc");
    assert_string_equal(nrw_arena_strndup(&a, "abcdef", 2), "ab");
    assert_string_equal(nrw_arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    int *array = NULL;
    size_t cap = 0;
    for (int i = 0; i < 1000; i++) {
        assert_true(nrw_arena_grow(&a, (void **)&array, &cap, (size_t)i + 1, sizeof *array));
        array[i] = i;
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(array[i], i);
    nrw_arena_free(&a);
}

/* Whichever allocation fails, nothing is lost. */
static void arena_out_of_memory(void **state) {
    bool finished = false;
    for (int64_t fail_at = 0; !finished; fail_at++) {
        failing_allocator heap;
        failing_init(&heap, fail_at);
        nrw_arena a;
        nrw_arena_init(&a, &heap.allocator);
        finished = true;
        for (int i = 0; i < 300 && finished; i++) {
            finished = nrw_arena_alloc(&a, i % 100 == 0 ? 300000 : 2000) != NULL;
        }
        nrw_arena_free(&a);
        assert_int_equal(heap.live, 0);
        assert_true(fail_at < 100);
    }
}

static void limit_holds(void **state) {
    nrw_limit l;
    nrw_limit_init(&l, nrw_system_allocator(), 1000);
    void *p = nrw_mem_alloc(&l.allocator, 600);
    assert_non_null(p);
    assert_null(nrw_mem_alloc(&l.allocator, 401));
    assert_null(nrw_mem_alloc(&l.allocator, SIZE_MAX / 2));
    void *q = nrw_mem_alloc(&l.allocator, 400);
    assert_non_null(q);
    assert_int_equal(l.used, 1000);
    nrw_mem_free(&l.allocator, p, 600);
    nrw_mem_free(&l.allocator, q, 400);
    nrw_mem_free(&l.allocator, NULL, 5);
    assert_int_equal(l.used, 0);
    assert_int_equal(l.peak, 1000);
}

static void limit_forgets_failures_of_its_parent(void **state) {
    failing_allocator heap;
    failing_init(&heap, 0);
    nrw_limit l;
    nrw_limit_init(&l, &heap.allocator, 0);
    assert_null(nrw_mem_alloc(&l.allocator, 100));
    assert_int_equal(l.used, 0);
    assert_int_equal(l.peak, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_alignment_and_content),
        cmocka_unit_test(arena_chunks),
        cmocka_unit_test(arena_impossible_sizes),
        cmocka_unit_test(arena_text_and_growth),
        cmocka_unit_test(arena_out_of_memory),
        cmocka_unit_test(limit_holds),
        cmocka_unit_test(limit_forgets_failures_of_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
