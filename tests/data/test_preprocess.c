#include <math.h>

#include "data/preprocess.h"
#include "unit.h"

static void check_spelling(const char *text, const char *canonical) {
    nrw_preprocess p, q;
    nrw_error err;
    nrw_strbuf b;
    nrw_strbuf_init(&b, nrw_system_allocator());
    assert_ok(nrw_preprocess_parse(text, &p, &err), &err);
    nrw_preprocess_print(&p, &b);
    assert_string_equal(b.data ? b.data : "", canonical);
    assert_ok(nrw_preprocess_parse(b.data, &q, &err), &err);
    assert_memory_equal(&p, &q, sizeof p);
    nrw_strbuf_free(&b);
}

static void spelling(void **state) {
    check_spelling(NULL, "");
    check_spelling("  ", "");
    check_spelling("scale=1", "");
    check_spelling("crop=224 resize=256  layout=nchw std=0.229,0.224,0.225 "
                   "mean=0.485,0.456,0.406 scale=1/255",
                   "scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225 layout=nchw "
                   "resize=256 crop=224");
    check_spelling("scale=0.0078125 mean=1", "scale=0.0078125 mean=1");
    check_spelling("std=1/3", "std=0.3333333333333333");
    check_spelling("resize=320x240 crop=10x20 layout=nhwc",
                   "layout=nhwc resize=320x240 crop=10x20");
    check_spelling("crop=7x7", "crop=7");
}

static void refusals(void **state) {
    const char *bad[] = {"scale",     "scale=",    "scale=x",         "scale=1/0",  "scale=0",
                         "mean=1,,2", "mean=1,",   "std=0",           "std=1,0",    "layout=hwc",
                         "resize=0",  "resize=-3", "resize=2x",       "crop=70000", "crop=1.5",
                         "blur=1",    "scale=nan", "scale=1 scale=2", "mean=1 ,2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nrw_preprocess p;
        nrw_error err;
        assert_fails(nrw_preprocess_parse(bad[i], &p, &err), NRW_ERR_ARGUMENT, &err, "preprocess");
    }
}

static void affine(void **state) {
    nrw_preprocess p;
    nrw_error err;
    assert_ok(nrw_preprocess_parse("scale=1/255 mean=0.5,0.25 std=0.5,2", &p, &err), &err);
    float planar[4] = {0, 255, 51, 255}, pixels[4] = {0, 51, 255, 255};
    nrw_preprocess_affine(&p, planar, 2, (int64_t[]){2, 2}, 0);
    nrw_preprocess_affine(&p, pixels, 2, (int64_t[]){2, 2}, 1);
    const float want[4] = {-1, 1, (float)((0.2 - 0.25) / 2), 0.375f};
    for (int i = 0; i < 4; i++) assert_true(fabsf(planar[i] - want[i]) < 1e-7f);
    for (int i = 0; i < 4; i++) assert_true(pixels[i] == planar[i % 2 * 2 + i / 2]);
}

static nrw_buffer buffers[3];

static nrw_tensor shape(const char *spec, nrw_tensor image, bool planar) {
    nrw_preprocess p;
    nrw_error err;
    nrw_tensor out;
    for (int k = 0; k < 3; k++) {
        nrw_buffer_free(&buffers[k]);
        buffers[k].allocator = nrw_system_allocator();
    }
    assert_ok(nrw_preprocess_parse(spec, &p, &err), &err);
    assert_ok(nrw_preprocess_geometry(&p, &image, planar, buffers, &out, &err), &err);
    return out;
}

static int enter(void **state) {
    for (int k = 0; k < 3; k++) buffers[k] = (nrw_buffer){.allocator = nrw_system_allocator()};
    return 0;
}

static int leave(void **state) {
    for (int k = 0; k < 3; k++) nrw_buffer_free(&buffers[k]);
    return 0;
}

/* Expected numbers are those of Pillow's Image.resize with BILINEAR. */
static void resizing(void **state) {
    const unsigned char row[8] = {0, 10, 200, 50, 7, 255, 255, 3};
    const nrw_tensor line =
        nrw_tensor_make(NRW_U8, 3, (int64_t[]){1, 8, 1}, (void *)(uintptr_t)row);
    const float half[4] = {33, 96, 136, 147}, third[3] = {55, 100, 162};
    const float wider[13] = {0, 4, 17, 134, 160, 67, 29, 36, 188, 255, 255, 110, 3};
    nrw_tensor t = shape("resize=4x1", line, false);
    assert_int_equal(t.dims[0] * 100 + t.dims[1] * 10 + t.dims[2], 141);
    assert_memory_equal(t.data, half, sizeof half);
    t = shape("resize=3x1", line, false);
    assert_memory_equal(t.data, third, sizeof third);
    t = shape("resize=13x1", line, false);
    assert_memory_equal(t.data, wider, sizeof wider);
    t = shape("resize=8x3", line, false);
    for (int i = 0; i < 24; i++) assert_true(((float *)t.data)[i] == row[i % 8]);
}

/* A picture whose pixels tell where they were. */
static void cropping(void **state) {
    unsigned char image[5 * 6 * 3];
    for (int i = 0; i < 90; i++) image[i] = (unsigned char)i;
    nrw_tensor t =
        shape("crop=3x2", nrw_tensor_make(NRW_U8, 3, (int64_t[]){5, 6, 3}, image), false);
    assert_int_equal(t.dims[0] * 100 + t.dims[1] * 10 + t.dims[2], 233);
    /* top = round(1.5) = 2, left = round(1.5) = 2 */
    for (int i = 0; i < 18; i++) {
        assert_true(((float *)t.data)[i] ==
                    (float)((2 + i / 9) * 18 + (2 + i / 3 % 3) * 3 + i % 3));
    }
    t = shape("crop=3x2", nrw_tensor_make(NRW_U8, 3, (int64_t[]){3, 5, 6}, image), true);
    assert_int_equal(t.dims[0] * 100 + t.dims[1] * 10 + t.dims[2], 323);
    for (int i = 0; i < 18; i++) {
        assert_true(((float *)t.data)[i] == (float)(i / 6 * 30 + (2 + i / 3 % 2) * 6 + 2 + i % 3));
    }
    nrw_preprocess p;
    nrw_error err;
    nrw_tensor whole = nrw_tensor_make(NRW_U8, 3, (int64_t[]){5, 6, 3}, image);
    assert_ok(nrw_preprocess_parse("crop=6", &p, &err), &err);
    assert_fails(nrw_preprocess_geometry(&p, &whole, false, buffers, &t, &err), NRW_ERR_DATA, &err,
                 "larger");
    t = shape("resize=10", whole, false); /* 5 x 6 → 10 x 12 */
    assert_int_equal(t.dims[0] * 100 + t.dims[1], 1012);
    t = shape("resize=3", whole, false); /* 3 x 3.6 */
    assert_int_equal(t.dims[0] * 100 + t.dims[1], 303);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spelling),
        cmocka_unit_test(refusals),
        cmocka_unit_test(affine),
        cmocka_unit_test_setup_teardown(resizing, enter, leave),
        cmocka_unit_test_setup_teardown(cropping, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
