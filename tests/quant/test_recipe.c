/* Recipes: what options give, the file, and what is refused. */
#include "unit.h"

#include "quant/recipe.h"

static nrw_arena arena;

static int setup(void **state) {
    (void)state;
    nrw_arena_init(&arena, nrw_system_allocator());
    return 0;
}

static int teardown(void **state) {
    (void)state;
    nrw_arena_free(&arena);
    return 0;
}

static void test_defaults(void **state) {
    (void)state;
    nrw_recipe r;
    nrw_error err;
    assert_ok(nrw_recipe_make(&arena, &(nrw_quantize_options){0}, true, &r, &err), &err);
    assert_true(r.mode == NRW_MODE_STATIC && r.weight_bits == 8 && r.activation_bits == 8);
    assert_ok(nrw_recipe_make(&arena, &(nrw_quantize_options){0}, false, &r, &err), &err);
    assert_int_equal(r.mode, NRW_MODE_DYNAMIC);
    const nrw_quantize_options half = {.mode = NRW_MODE_FP16};
    assert_ok(nrw_recipe_make(&arena, &half, false, &r, &err), &err);
    assert_int_equal(r.weight_bits, 16);
}

static void test_round_trip(void **state) {
    (void)state;
    char *folder = make_folder();
    const char *path = in_folder(folder, "recipe.json");
    const nrw_override overrides[3] = {
        {.name = "Conv_1", .is_node = true, .keep_float = true},
        {.name = "Gemm_2", .is_node = true, .weight_bits = 4},
        {.name = "a/b", .has_range = true, .lo = -1.25, .hi = 0.1},
    };
    const nrw_recipe r = {.mode = NRW_MODE_STATIC,
                          .weight_bits = 4,
                          .activation_bits = 16,
                          .granularity = NRW_PER_TENSOR,
                          .calibrator = NRW_CALIBRATE_PERCENTILE,
                          .percentile = 99.9,
                          .symmetric = true,
                          .search_weights = true,
                          .clamp_weights = true,
                          .samples = 12,
                          .seed = 7,
                          .preprocess = "scale=1/255",
                          .overrides = overrides,
                          .n_overrides = 3};
    nrw_recipe back;
    nrw_error err;
    assert_ok(nrw_recipe_save(nrw_system_allocator(), &r, path, &err), &err);
    assert_ok(nrw_recipe_load(&arena, path, &back, &err), &err);
    assert_true(back.mode == r.mode && back.weight_bits == 4 && back.activation_bits == 16);
    assert_true(back.granularity == r.granularity && back.calibrator == r.calibrator);
    assert_true(back.percentile == 99.9 && back.symmetric && back.search_weights);
    assert_true(back.clamp_weights && !back.smooth && back.samples == 12 && back.seed == 7);
    assert_string_equal(back.preprocess, r.preprocess);
    assert_int_equal(back.n_overrides, 3);
    assert_true(nrw_recipe_override(&back, "Conv_1", true)->keep_float);
    assert_null(nrw_recipe_override(&back, "Conv_1", false));
    assert_int_equal(nrw_recipe_override(&back, "Gemm_2", true)->weight_bits, 4);
    const nrw_override *v = nrw_recipe_override(&back, "a/b", false);
    assert_true(v->has_range && v->lo == -1.25 && v->hi == 0.1);

    const nrw_quantize_options more = {.recipe = path, .activation_bits = 8};
    assert_ok(nrw_recipe_make(&arena, &more, true, &back, &err), &err);
    assert_true(back.weight_bits == 4 && back.activation_bits == 8 && back.seed == 7);
    remove_folder(folder);
}

static void refuse(const char *text, nrw_status status, const char *word) {
    nrw_recipe r;
    nrw_error err;
    assert_fails(nrw_recipe_parse(&arena, text, strlen(text), &r, &err), status, &err, word);
}

static void test_refused(void **state) {
    (void)state;
    refuse("{", NRW_ERR_FORMAT, "line 1");
    refuse("[]", NRW_ERR_FORMAT, "object");
    refuse("{\"mdoe\": \"static\"}", NRW_ERR_ARGUMENT, "mdoe");
    refuse("{\"mode\": \"quick\"}", NRW_ERR_ARGUMENT, "quick");
    refuse("{\"mode\": \"auto\"}", NRW_ERR_ARGUMENT, "auto");
    refuse("{\"weight_bits\": 5}", NRW_ERR_ARGUMENT, "5 bits");
    refuse("{\"weight_bits\": \"8\"}", NRW_ERR_ARGUMENT, "weight_bits");
    refuse("{\"mode\": \"weights\", \"granularity\": \"block\", \"block\": 33}", NRW_ERR_ARGUMENT,
           "33");
    refuse("{\"granularity\": \"block\"}", NRW_ERR_ARGUMENT, "weights mode");
    refuse("{\"percentile\": 20}", NRW_ERR_ARGUMENT, "percentile");
    refuse("{\"nodes\": {\"n\": {\"rnage\": [0, 1]}}}", NRW_ERR_ARGUMENT, "rnage");
    refuse("{\"values\": {\"v\": {\"range\": [1, 0]}}}", NRW_ERR_ARGUMENT, "range");
    refuse("{\"narrow_recipe\": 2}", NRW_ERR_UNSUPPORTED, "version 2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
