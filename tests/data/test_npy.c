/* Numpy arrays: headers good and bad, orders of axes and bytes. */
#include "base/rng.h"
#include "data/npy.h"
#include "unit.h"

/* An array file with this header text; returns its size. */
static size_t make(unsigned char *out, int version, const char *header, const void *data,
                   size_t n) {
    size_t length = strlen(header), prefix = version == 1 ? 10 : 12;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (unsigned char)version;
    out[7] = 0;
    out[8] = (unsigned char)length;
    out[9] = (unsigned char)(length >> 8);
    out[10] = out[11] = 0;
    memcpy(out + prefix, header, length);
    if (n) memcpy(out + prefix + length, data, n);
    return prefix + length + n;
}

static void headers(void **state) {
    unsigned char file[512];
    nrw_npy a;
    nrw_error err;
    const float data[6] = {1, 2, 3, 4, 5, 6};
    for (int version = 1; version <= 3; version++) {
        size_t n = make(file, version,
                        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }     \n", data,
                        sizeof data);
        assert_ok(nrw_npy_parse(file, n, n, &a, &err), &err);
        assert_int_equal(a.dtype, NRW_F32);
        assert_int_equal(a.rank, 2);
        assert_int_equal(a.dims[0] * 10 + a.dims[1], 23);
        assert_int_equal(a.bytes, sizeof data);
        assert_false(a.fortran || a.swapped);
        float out[6];
        nrw_npy_to_native(&a, file + a.offset, 0, 2, out);
        assert_memory_equal(out, data, sizeof data);
        nrw_npy_to_native(&a, file + a.offset, 1, 1, out);
        assert_memory_equal(out, data + 3, 12);
        assert_fails(nrw_npy_parse(file, n, n - 1, &a, &err), NRW_ERR_FORMAT, &err, "truncated");
    }
    size_t n = make(file, 1, "{\"shape\":(),'fortran_order':True,'descr':'|b1'}", "\1", 1);
    assert_ok(nrw_npy_parse(file, n, n, &a, &err), &err);
    assert_int_equal(a.rank, 0);
    assert_int_equal(a.dtype, NRW_BOOL);
}

static void orders(void **state) {
    unsigned char file[512];
    nrw_npy a;
    nrw_error err;
    /* 2 x 3 x 2, element (i, j, k) is 100 i + 10 j + k, first axis fastest, high byte first. */
    unsigned char data[24];
    int at = 0;
    for (int k = 0; k < 2; k++) {
        for (int j = 0; j < 3; j++) {
            for (int i = 0; i < 2; i++) {
                data[at++] = 0;
                data[at++] = (unsigned char)(100 * i + 10 * j + k);
            }
        }
    }
    size_t n = make(file, 1, "{'descr':'>i2','fortran_order':True,'shape':(2,3,2)}", data, 24);
    assert_ok(nrw_npy_parse(file, n, n, &a, &err), &err);
    assert_true(a.fortran && a.swapped);
    int16_t all[12], one[6];
    nrw_npy_to_native(&a, file + a.offset, 0, 2, all);
    nrw_npy_to_native(&a, file + a.offset, 1, 1, one);
    for (int i = 0; i < 12; i++) assert_int_equal(all[i], i / 6 * 100 + i / 2 % 3 * 10 + i % 2);
    assert_memory_equal(one, all + 6, sizeof one);
}

static void refusals(void **state) {
    static const struct {
        const char *header;
        nrw_status status;
        const char *what;
    } bad[] = {
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", NRW_ERR_UNSUPPORTED, "pickle"},
        {"{'descr': '<U8', 'fortran_order': False, 'shape': (2,)}", NRW_ERR_UNSUPPORTED, "<U8"},
        {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,)}", NRW_ERR_UNSUPPORTED,
         "records"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999)}",
         NRW_ERR_SHAPE, "npy"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
         NRW_ERR_FORMAT, "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", NRW_ERR_FORMAT, "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1)}",
         NRW_ERR_UNSUPPORTED, "axes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9,)}", NRW_ERR_FORMAT, "truncated"},
        {"{'descr': '<f4', 'fortran_order': False}", NRW_ERR_FORMAT, "incomplete"},
        {"{'descr': '<f4', 'descr': '<f4'}", NRW_ERR_FORMAT, "descr"},
        {"{'descr': '<f4', 'fortran_order': No, 'shape': (1,)}", NRW_ERR_FORMAT, "malformed"},
        {"{'descr': '<f4', 'other': 1}", NRW_ERR_FORMAT, "other"},
        {"{'descr': '<f4", NRW_ERR_UNSUPPORTED, "npy"},
        {"{", NRW_ERR_FORMAT, "malformed"},
        {"", NRW_ERR_FORMAT, "malformed"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        unsigned char file[512];
        nrw_npy a;
        nrw_error err;
        size_t n = make(file, 1, bad[i].header, "12345678", 8);
        assert_fails(nrw_npy_parse(file, n, n, &a, &err), bad[i].status, &err, bad[i].what);
    }
    nrw_npy a;
    nrw_error err;
    assert_fails(nrw_npy_parse((const unsigned char *)"PK\3\4 something", 14, 14, &a, &err),
                 NRW_ERR_FORMAT, &err, "not a numpy");
    unsigned char file[512];
    size_t n = make(file, 4, "{}", "", 0);
    assert_fails(nrw_npy_parse(file, n, n, &a, &err), NRW_ERR_UNSUPPORTED, &err, "4.0");
}

/* Damaged headers in blocks of exactly their size: no overrun, and never more data than there are.
 */
static void damage(void **state) {
    unsigned char whole[512];
    nrw_rng r;
    nrw_rng_seed(&r, 3);
    size_t n = make(whole, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n",
                    "123456789012345678901234", 24);
    for (int round = 0; round < 20000; round++) {
        size_t size = round % 3 ? n : nrw_rng_below(&r, n);
        unsigned char *file = malloc(size + 1);
        memcpy(file, whole, size);
        for (int k = 0; k < 2 && size; k++) {
            file[nrw_rng_below(&r, size)] = (unsigned char)nrw_rng_u64(&r);
        }
        nrw_npy a;
        if (nrw_npy_parse(file, size, size, &a, NULL) == NRW_OK) {
            assert_true(a.offset + a.bytes <= size);
        }
        free(file);
    }
}

static void writes_what_it_reads(void **state) {
    const nrw_dtype types[] = {NRW_F32, NRW_F64, NRW_F16, NRW_U8,   NRW_I8,  NRW_I16,
                               NRW_I64, NRW_U64, NRW_C64, NRW_BOOL, NRW_C128};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (int rank = 0; rank <= NRW_MAX_RANK; rank++) {
            const int64_t dims[NRW_MAX_RANK] = {3, 1, 0, 4000000000, 1, 1, 1, 1, 1, 7};
            nrw_arena arena;
            const char *header;
            size_t n;
            nrw_npy a;
            nrw_error err;
            nrw_arena_init(&arena, nrw_system_allocator());
            assert_ok(nrw_npy_header(&arena, types[t], rank, dims, 0, &header, &n, &err), &err);
            assert_int_equal(n % 64, 0);
            assert_int_equal(header[n - 1], '\n');
            assert_ok(nrw_npy_parse((const unsigned char *)header, n, n + 100, &a, &err), &err);
            assert_int_equal(a.dtype, types[t]);
            assert_int_equal(a.rank, rank);
            assert_memory_equal(a.dims, dims, (size_t)rank * sizeof *dims);
            assert_int_equal(a.offset, n);
            nrw_arena_free(&arena);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),
        cmocka_unit_test(orders),
        cmocka_unit_test(refusals),
        cmocka_unit_test(damage),
        cmocka_unit_test(writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
