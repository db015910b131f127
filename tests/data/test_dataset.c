/* Datasets against small models made by hand: which samples fit, what they become, what is refused.
 */
#include <math.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/context.h"
#include "data/dataset.h"
#include "data/npy.h"
#include "unit.h"
#include "wire/zip.h"

#include <jpeglib.h>
#include <spng.h>

static nrw_context context;
static char *folder;

static int enter(void **state) {
    folder = make_folder();
    return nrw_context_init(&context, &(nrw_context_options){.threads = 1}, NULL) != NRW_OK;
}

static int leave(void **state) {
    remove_folder(folder);
    nrw_context_destroy(&context);
    assert_int_equal(context.memory.used, 0);
    return 0;
}

/* A model that has inputs and nothing else. */
static nrw_model *make_model(void) {
    nrw_model *m = nrw_model_create(&context);
    assert_non_null(m);
    m->graph = m->graph ? m->graph : nrw_graph_new(m, NULL, "g");
    return m;
}

static void add_input(nrw_model *m, const char *name, nrw_dtype t, int rank, const int64_t *dims) {
    nrw_type type = nrw_type_make(t, rank, dims);
    nrw_value *v = nrw_value_new(m->graph, name, &type);
    assert_int_equal(nrw_graph_add_input(m->graph, v, NULL), NRW_OK);
}

static nrw_model *model1(nrw_dtype t, int rank, const int64_t *dims) {
    nrw_model *m = make_model();
    add_input(m, "x", t, rank, dims);
    return m;
}

#define DIMS(...)                                                                                  \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) {                       \
        __VA_ARGS__                                                                                \
    }

static const char *npy(const char *name, nrw_dtype t, int rank, const int64_t *dims,
                       const void *data) {
    nrw_arena a;
    const char *header;
    size_t n, bytes;
    nrw_arena_init(&a, nrw_system_allocator());
    assert_int_equal(nrw_npy_header(&a, t, rank, dims, 0, &header, &n, NULL), NRW_OK);
    assert_int_equal(nrw_checked_bytes(t, rank, dims, &bytes, NULL), NRW_OK);
    unsigned char *file = malloc(n + bytes);
    memcpy(file, header, n);
    memcpy(file + n, data, bytes);
    const char *path = in_folder(folder, name);
    put_file(path, file, n + bytes);
    free(file);
    nrw_arena_free(&a);
    return path;
}

static nrw_dataset *open_data(const nrw_model *m, const char *path, const char *labels,
                              const char *preprocess) {
    nrw_dataset *d;
    nrw_error err;
    nrw_data_options o = {.path = path, .labels = labels, .preprocess = preprocess};
    assert_ok(nrw_dataset_open(&context, m, &o, &d, &err), &err);
    return d;
}

static void refuse(const nrw_model *m, const char *path, const char *labels, const char *preprocess,
                   nrw_status status, const char *what) {
    nrw_dataset *d;
    nrw_error err;
    nrw_data_options o = {.path = path, .labels = labels, .preprocess = preprocess};
    assert_fails(nrw_dataset_open(&context, m, &o, &d, &err), status, &err, what);
    assert_null(d);
}

static const nrw_tensor *read_batch(nrw_dataset *d, int64_t b, int *valid) {
    static nrw_tensor in[4];
    nrw_error err;
    assert_ok(nrw_dataset_read(d, b, in, valid, &err), &err);
    return in;
}

static void check_dims(const nrw_tensor *t, int rank, const int64_t *dims) {
    assert_true(nrw_dims_equal(t->rank, t->dims, rank, dims));
}

static unsigned char bytes[4 * 2 * 3 * 3];

static void fill_bytes(void) {
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)i;
}

static void arrays_fit(void **state) {
    fill_bytes();
    nrw_model *m = model1(NRW_F32, DIMS(-1, 3, 2, 3));
    /* As they are. */
    nrw_dataset *d = open_data(m, npy("a.npy", NRW_U8, DIMS(4, 3, 2, 3), bytes), NULL, NULL);
    assert_int_equal(nrw_dataset_samples(d), 4);
    assert_int_equal(nrw_dataset_batches(d), 4);
    assert_string_equal(nrw_dataset_preprocess(d), "");
    const nrw_tensor *t = read_batch(d, 2, NULL);
    check_dims(t, DIMS(1, 3, 2, 3));
    for (int i = 0; i < 18; i++) assert_true(((float *)t->data)[i] == (float)(36 + i));
    nrw_dataset_free(d);
    /* Channels last, with preprocessing. */
    nrw_model_destroy(m);
    m = model1(NRW_F32, DIMS(1, 3, 2, 3 + 1));
    d = open_data(m, npy("b.npy", NRW_U8, DIMS(3, 2, 4, 3), bytes), NULL, "mean=1,2,3 scale=2");
    t = read_batch(d, 1, NULL);
    check_dims(t, DIMS(1, 3, 2, 4));
    for (int i = 0; i < 24; i++) {
        int c = i / 8, pixel = i % 8;
        assert_true(((float *)t->data)[i] == (float)(2 * (24 + 3 * pixel + c) - 1 - c));
    }
    nrw_dataset_free(d);
    nrw_model_destroy(m);
    /* Channels first for a model that has them last. */
    m = model1(NRW_F32, DIMS(1, 2, 4, 3));
    d = open_data(m, npy("b.npy", NRW_U8, DIMS(3, 3, 2, 4), bytes), NULL, NULL);
    t = read_batch(d, 0, NULL);
    check_dims(t, DIMS(1, 2, 4, 3));
    for (int i = 0; i < 24; i++) assert_true(((float *)t->data)[i] == (float)(i % 3 * 8 + i / 3));
    nrw_dataset_free(d);
    nrw_model_destroy(m);
    /* Axes of length 1 appear; a rank that does not fit is told. */
    m = model1(NRW_F32, DIMS(1, 1, 2, 3));
    d = open_data(m, npy("c.npy", NRW_U8, DIMS(4, 2, 3), bytes), NULL, NULL);
    check_dims(read_batch(d, 3, NULL), DIMS(1, 1, 2, 3));
    nrw_dataset_free(d);
    refuse(m, npy("c.npy", NRW_U8, DIMS(2, 3), bytes), NULL, NULL, NRW_ERR_DATA, "u8[3]");
    refuse(m, npy("c.npy", NRW_U8, DIMS(2, 3), bytes), NULL, NULL, NRW_ERR_DATA, "f32[1,1,2,3]");
    refuse(m, npy("c.npy", NRW_U8, DIMS(4, 3, 2), bytes), NULL, NULL, NRW_ERR_DATA, "c.npy");
    refuse(m, npy("c.npy", NRW_U8, DIMS(0, 2, 3), bytes), NULL, NULL, NRW_ERR_DATA, "no samples");
    refuse(m, in_folder(folder, "none.npy"), NULL, NULL, NRW_ERR_IO, "none.npy");
    refuse(m, in_folder(folder, "none.txt"), NULL, NULL, NRW_ERR_ARGUMENT, "none.txt");
    nrw_model_destroy(m);
    /* A sample that fills the input, batch axis and all. */
    m = model1(NRW_F32, DIMS(1, 6));
    d = open_data(m, npy("d.npy", NRW_U8, DIMS(4, 1, 6), bytes), NULL, NULL);
    check_dims(read_batch(d, 3, NULL), DIMS(1, 6));
    nrw_dataset_free(d);
    nrw_model_destroy(m);
}

static void fixed_batches(void **state) {
    float data[10];
    for (int i = 0; i < 10; i++) data[i] = (float)i;
    nrw_model *m = model1(NRW_F32, DIMS(3, 2));
    nrw_dataset *d = open_data(m, npy("a.npy", NRW_F32, DIMS(5, 2), data), NULL, NULL);
    assert_int_equal(nrw_dataset_batches(d), 2);
    assert_int_equal(nrw_dataset_batch_size(d), 3);
    int valid;
    const nrw_tensor *t = read_batch(d, 0, &valid);
    assert_int_equal(valid, 3);
    check_dims(t, DIMS(3, 2));
    assert_memory_equal(t->data, data, 24);
    t = read_batch(d, 1, &valid);
    assert_int_equal(valid, 2);
    assert_memory_equal(t->data, data + 6, 16);
    assert_memory_equal((float *)t->data + 4, data + 8, 8); /* the last one again */
    nrw_tensor in;
    assert_int_equal(nrw_dataset_read(d, 2, &in, NULL, NULL), NRW_ERR_INTERNAL);
    nrw_dataset_free(d);
    nrw_model_destroy(m);
}

static void types(void **state) {
    const int64_t ids[4] = {1, 2, 3, 1000};
    float bad[4] = {1, 2, NAN, 4};
    nrw_error err;
    nrw_tensor in;
    nrw_model *m = model1(NRW_I32, DIMS(-1, 2));
    nrw_dataset *d = open_data(m, npy("a.npy", NRW_I64, DIMS(2, 2), ids), NULL, NULL);
    assert_int_equal(((int32_t *)read_batch(d, 1, NULL)->data)[1], 1000);
    nrw_dataset_free(d);
    refuse(m, npy("f.npy", NRW_F32, DIMS(2, 2), bad), NULL, NULL, NRW_ERR_DATA, "expects int32");
    refuse(m, npy("a.npy", NRW_I64, DIMS(2, 2), ids), NULL, "scale=2", NRW_ERR_ARGUMENT, "whole");
    nrw_model_destroy(m);
    m = model1(NRW_U8, DIMS(-1, 2));
    d = open_data(m, npy("a.npy", NRW_I64, DIMS(2, 2), ids), NULL, NULL);
    assert_fails(nrw_dataset_read(d, 1, &in, NULL, &err), NRW_ERR_DATA, &err, "1000");
    nrw_dataset_free(d);
    nrw_model_destroy(m);
    m = model1(NRW_F32, DIMS(-1, 2));
    d = open_data(m, npy("f.npy", NRW_F32, DIMS(2, 2), bad), NULL, NULL);
    assert_ok(nrw_dataset_read(d, 0, &in, NULL, &err), &err);
    assert_fails(nrw_dataset_read(d, 1, &in, NULL, &err), NRW_ERR_DATA, &err, "sample 1 holds NaN");
    nrw_dataset_free(d);
    nrw_model_destroy(m);
}

static void labels(void **state) {
    const float data[6] = {0};
    const int64_t good[3] = {2, 0, 5}, negative[3] = {2, -1, 5};
    const double halves[3] = {1, 0.5, 2};
    nrw_error err;
    nrw_model *m = model1(NRW_F32, DIMS(1, 2));
    const char *x = npy("x.npy", NRW_F32, DIMS(3, 2), data);
    nrw_dataset *d = open_data(m, x, npy("y.npy", NRW_I64, DIMS(3), good), NULL);
    assert_true(nrw_dataset_has_labels(d));
    assert_int_equal(nrw_dataset_label(d, 2), 5);
    assert_ok(nrw_dataset_check_labels(d, 6, &err), &err);
    assert_fails(nrw_dataset_check_labels(d, 5, &err), NRW_ERR_DATA, &err, "y.npy");
    nrw_dataset_free(d);
    refuse(m, x, npy("y.npy", NRW_I64, DIMS(2), good), NULL, NRW_ERR_DATA, "2 labels for 3");
    refuse(m, x, npy("y.npy", NRW_I64, DIMS(3), negative), NULL, NRW_ERR_DATA, "below 0");
    refuse(m, x, npy("y.npy", NRW_F64, DIMS(3), halves), NULL, NRW_ERR_DATA, "0.5");
    refuse(m, x, npy("y.npy", NRW_I64, DIMS(1, 3), good), NULL, NRW_ERR_DATA, "one label");
    const char *csv = in_folder(folder, "y.csv");
    put_file(csv, "name,class\na,1\nb,0\r\nc,7\n", 24);
    d = open_data(m, x, csv, NULL);
    assert_int_equal(nrw_dataset_label(d, 2), 7);
    nrw_dataset_free(d);
    d = open_data(m, x, NULL, NULL);
    assert_false(nrw_dataset_has_labels(d));
    nrw_dataset_free(d);
    nrw_model_destroy(m);
}

static void tables(void **state) {
    nrw_model *m = model1(NRW_F32, DIMS(-1, 2, 2));
    const char *path = in_folder(folder, "t.csv");
    const char *text = "a,b,c,d,label\n1,2.5,-3e1,\"4\",1\n\n5;6;7;8;0\n";
    put_file(path, text, strlen(text));
    nrw_dataset *d = open_data(m, path, NULL, NULL);
    assert_int_equal(nrw_dataset_samples(d), 2);
    assert_int_equal(nrw_dataset_label(d, 0), 1);
    const nrw_tensor *t = read_batch(d, 0, NULL);
    check_dims(t, DIMS(1, 2, 2));
    const float want[4] = {1, 2.5f, -30, 4};
    assert_memory_equal(t->data, want, sizeof want);
    nrw_dataset_free(d);
    text = "1,2,3,4\n5,6,x,8\n1,2\n";
    put_file(path, text, strlen(text));
    d = open_data(m, path, NULL, NULL);
    assert_false(nrw_dataset_has_labels(d));
    nrw_tensor in;
    nrw_error err;
    assert_fails(nrw_dataset_read(d, 1, &in, NULL, &err), NRW_ERR_DATA, &err, "'x'");
    assert_fails(nrw_dataset_read(d, 2, &in, NULL, &err), NRW_ERR_DATA, &err, "2 columns");
    nrw_dataset_free(d);
    put_file(path, "1,2,3\n", 6);
    refuse(m, path, NULL, NULL, NRW_ERR_DATA, "3 columns");
    put_file(path, "", 0);
    refuse(m, path, NULL, NULL, NRW_ERR_DATA, "no rows");
    nrw_model_destroy(m);
}

static void add_array(nrw_zip_writer *w, const char *name, nrw_dtype t, int rank,
                      const int64_t *dims, const void *data) {
    nrw_arena a;
    const char *header;
    size_t n, size;
    nrw_error err;
    nrw_arena_init(&a, nrw_system_allocator());
    assert_ok(nrw_npy_header(&a, t, rank, dims, 0, &header, &n, &err), &err);
    assert_ok(nrw_checked_bytes(t, rank, dims, &size, &err), &err);
    const nrw_zip_piece pieces[2] = {{header, n}, {data, size}};
    assert_ok(nrw_zip_add(w, name, 1, 2, pieces, &err), &err);
    nrw_arena_free(&a);
}

static void archives(void **state) {
    const int64_t ids[6] = {1, 2, 3, 4, 5, 6}, y[3] = {1, 0, 1};
    const float x[3] = {0.5f, 1.5f, 2.5f};
    const char *path = in_folder(folder, "a.npz");
    nrw_output *o;
    nrw_zip_writer w;
    nrw_error err;
    assert_ok(nrw_output_open(nrw_system_allocator(), path, &o, &err), &err);
    nrw_zip_writer_init(&w, nrw_system_allocator(), o);
    add_array(&w, "ids.npy", NRW_I64, DIMS(3, 2), ids);
    add_array(&w, "x.npy", NRW_F32, DIMS(3, 1), x);
    add_array(&w, "short.npy", NRW_F32, DIMS(2, 1), x);
    add_array(&w, "labels.npy", NRW_I64, DIMS(3), y);
    assert_ok(nrw_zip_finish(&w, &err), &err);
    nrw_zip_writer_free(&w);
    assert_ok(nrw_output_commit(o, &err), &err);

    nrw_model *m = make_model();
    add_input(m, "x", NRW_F32, DIMS(-1, 1));
    add_input(m, "ids", NRW_I64, DIMS(-1, -1));
    nrw_dataset *d = open_data(m, path, NULL, NULL);
    assert_int_equal(nrw_dataset_inputs(d), 2);
    assert_string_equal(nrw_dataset_input_name(d, 1), "ids");
    const nrw_tensor *t = read_batch(d, 1, NULL);
    assert_true(*(float *)t[0].data == 1.5f);
    check_dims(&t[1], DIMS(1, 2));
    assert_memory_equal(t[1].data, ids + 2, 16);
    assert_int_equal(nrw_dataset_label(d, 0), 1);
    nrw_dataset_free(d);
    refuse(m, npy("x.npy", NRW_F32, DIMS(3, 1), x), NULL, NULL, NRW_ERR_DATA, "2 inputs");
    add_input(m, "short", NRW_F32, DIMS(-1, 1));
    refuse(m, path, NULL, NULL, NRW_ERR_DATA, "has 2");
    add_input(m, "other", NRW_F32, DIMS(-1, 1));
    refuse(m, path, NULL, NULL, NRW_ERR_DATA, "'other'");
    nrw_model_destroy(m);
}

/* One input and one array: the name does not matter. */
static void archive_of_one(void **state) {
    const float x[3] = {0.5f, 1.5f, 2.5f};
    const int64_t y[3] = {1, 0, 1};
    const char *path = in_folder(folder, "a.npz");
    nrw_model *m = model1(NRW_F32, DIMS(1, 1));
    for (int extra = 0; extra < 2; extra++) {
        nrw_output *o;
        nrw_zip_writer w;
        nrw_error err;
        assert_ok(nrw_output_open(nrw_system_allocator(), path, &o, &err), &err);
        nrw_zip_writer_init(&w, nrw_system_allocator(), o);
        add_array(&w, "arr_0.npy", NRW_F32, DIMS(3, 1), x);
        add_array(&w, "labels.npy", NRW_I64, DIMS(3), y);
        if (extra) add_array(&w, "arr_1.npy", NRW_F32, DIMS(3, 1), x);
        assert_ok(nrw_zip_finish(&w, &err), &err);
        nrw_zip_writer_free(&w);
        assert_ok(nrw_output_commit(o, &err), &err);
        if (extra) {
            refuse(m, path, NULL, NULL, NRW_ERR_DATA, "arr_1.npy");
            continue;
        }
        nrw_dataset *d = open_data(m, path, NULL, NULL);
        assert_true(*(float *)read_batch(d, 2, NULL)->data == 2.5f);
        assert_true(nrw_dataset_has_labels(d));
        nrw_dataset_free(d);
    }
    nrw_model_destroy(m);
}

static void random_data(void **state) {
    nrw_model *m = model1(NRW_F32, DIMS(2, 3));
    nrw_dataset *d = open_data(m, "random:3", NULL, NULL);
    assert_int_equal(nrw_dataset_samples(d), 3);
    float first[6];
    memcpy(first, read_batch(d, 0, NULL)->data, sizeof first);
    assert_true(memcmp(first, read_batch(d, 1, NULL)->data, sizeof first) != 0);
    assert_memory_equal(read_batch(d, 0, NULL)->data, first, sizeof first);
    nrw_dataset_free(d);
    refuse(m, "random:", NULL, NULL, NRW_ERR_ARGUMENT, "random:N");
    refuse(m, "random:0", NULL, NULL, NRW_ERR_ARGUMENT, "random:N");
    nrw_model_destroy(m);
}

/* A picture of one colour with a top left pixel of another. */
static void put_png(const char *path, int width, int height) {
    unsigned char pixels[64 * 64 * 3];
    for (int i = 0; i < width * height; i++) memcpy(pixels + 3 * i, "\x0a\x14\x1e", 3);
    memcpy(pixels, "\xc8\x64\x32", 3);
    spng_ctx *c = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr head = {.width = (uint32_t)width,
                             .height = (uint32_t)height,
                             .bit_depth = 8,
                             .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    size_t n;
    int error;
    spng_set_option(c, SPNG_ENCODE_TO_BUFFER, 1);
    spng_set_ihdr(c, &head);
    assert_int_equal(spng_encode_image(c, pixels, (size_t)(width * height * 3), SPNG_FMT_PNG,
                                       SPNG_ENCODE_FINALIZE),
                     0);
    void *file = spng_get_png_buffer(c, &n, &error);
    put_file(path, file, n);
    free(file);
    spng_ctx_free(c);
}

static void put_jpeg(const char *path, int width, int height) {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL, row[64 * 3];
    unsigned long n = 0;
    memset(row, 100, sizeof row);
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, &n);
    c.image_width = (unsigned)width;
    c.image_height = (unsigned)height;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_start_compress(&c, TRUE);
    JSAMPROW rows[1] = {row};
    for (int y = 0; y < height; y++) jpeg_write_scanlines(&c, rows, 1);
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    put_file(path, out, n);
    free(out);
}

static void pictures(void **state) {
    nrw_model *m = model1(NRW_F32, DIMS(-1, 3, 4, 5));
    nrw_error err;
    nrw_tensor in;
    mkdir(in_folder(folder, "p"), 0700);
    mkdir(in_folder(folder, "p/dog"), 0700);
    mkdir(in_folder(folder, "p/cat"), 0700);
    put_png(in_folder(folder, "p/dog/1.png"), 5, 4);
    put_jpeg(in_folder(folder, "p/cat/2.JPG"), 5, 4);
    put_png(in_folder(folder, "p/cat/1.png"), 5, 4);
    put_png(in_folder(folder, "p/cat/3.png"), 9, 9);
    put_file(in_folder(folder, "p/cat/notes.txt"), "x", 1);
    nrw_dataset *d = open_data(m, in_folder(folder, "p"), NULL, "scale=1/100");
    assert_int_equal(nrw_dataset_samples(d), 4);
    assert_int_equal(nrw_dataset_label(d, 2), 0);
    assert_int_equal(nrw_dataset_label(d, 3), 1);
    const nrw_tensor *t = read_batch(d, 3, NULL);
    check_dims(t, DIMS(1, 3, 4, 5));
    const float *x = t->data;
    assert_true(x[0] == 2.0f && x[1] == 0.1f && x[20] == 1.0f && x[21] == 0.2f && x[41] == 0.3f);
    assert_true(fabsf(((float *)read_batch(d, 1, NULL)->data)[59] - 1.0f) < 0.03f);
    assert_fails(nrw_dataset_read(d, 2, &in, NULL, &err), NRW_ERR_DATA, &err, "3.png");
    assert_non_null(strstr(err.message, "9 x 9"));
    nrw_dataset_free(d);
    d = open_data(m, in_folder(folder, "p"), NULL, "resize=6 crop=5x4");
    for (int i = 0; i < 4; i++) check_dims(read_batch(d, i, NULL), DIMS(1, 3, 4, 5));
    nrw_dataset_free(d);
    /* Flat, and damaged ones. */
    put_file(in_folder(folder, "p/cat/bad.png"), "hello", 5);
    d = open_data(m, in_folder(folder, "p/cat"), NULL, NULL);
    assert_false(nrw_dataset_has_labels(d));
    assert_fails(nrw_dataset_read(d, 3, &in, NULL, &err), NRW_ERR_DATA, &err, "bad.png");
    nrw_dataset_free(d);
    for (int k = 0; k < 2; k++) {
        nrw_mapping f;
        assert_ok(nrw_map_file(in_folder(folder, k ? "p/cat/2.JPG" : "p/cat/1.png"), &f, &err),
                  &err);
        put_file(in_folder(folder, "p/cat/bad.png"), f.data, f.size - (k ? 4 : 30));
        nrw_unmap_file(&f);
        d = open_data(m, in_folder(folder, "p/cat"), NULL, NULL);
        assert_fails(nrw_dataset_read(d, 3, &in, NULL, &err), NRW_ERR_DATA, &err,
                     "bad.png: damaged");
        nrw_dataset_free(d);
    }
    put_png(in_folder(folder, "p/loose.png"), 5, 4);
    refuse(m, in_folder(folder, "p"), NULL, NULL, NRW_ERR_DATA, "both");
    mkdir(in_folder(folder, "empty"), 0700);
    refuse(m, in_folder(folder, "empty"), NULL, NULL, NRW_ERR_DATA, "no .jpg");
    nrw_model_destroy(m);
}

static void out_of_memory(void **state) {
    fill_bytes();
    const char *path = npy("b.npy", NRW_U8, DIMS(3, 2, 4, 3), bytes);
    nrw_model *m = model1(NRW_F32, DIMS(1, 3, 2, 2));
    bool finished = false;
    for (int64_t fail_at = 0; !finished; fail_at++) {
        failing_allocator heap;
        failing_init(&heap, fail_at);
        nrw_context c = context;
        nrw_limit_init(&c.memory, &heap.allocator, 0);
        nrw_dataset *d;
        nrw_tensor in;
        nrw_data_options o = {.path = path, .preprocess = "resize=3x4 crop=2"};
        nrw_status s = nrw_dataset_open(&c, m, &o, &d, NULL);
        if (s == NRW_OK) s = nrw_dataset_read(d, 0, &in, NULL, NULL);
        nrw_dataset_free(d);
        assert_int_equal(heap.live, 0);
        finished = s == NRW_OK;
        if (!finished) assert_int_equal(s, NRW_ERR_MEMORY);
        assert_true(fail_at < 100);
    }
    nrw_model_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arrays_fit, enter, leave),
        cmocka_unit_test_setup_teardown(fixed_batches, enter, leave),
        cmocka_unit_test_setup_teardown(types, enter, leave),
        cmocka_unit_test_setup_teardown(labels, enter, leave),
        cmocka_unit_test_setup_teardown(tables, enter, leave),
        cmocka_unit_test_setup_teardown(archives, enter, leave),
        cmocka_unit_test_setup_teardown(archive_of_one, enter, leave),
        cmocka_unit_test_setup_teardown(random_data, enter, leave),
        cmocka_unit_test_setup_teardown(pictures, enter, leave),
        cmocka_unit_test_setup_teardown(out_of_memory, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
