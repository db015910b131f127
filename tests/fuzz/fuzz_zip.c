/* The archive reader must take any bytes: refuse them with a message, or give members that lie
 * inside and read to the end or fail with a message. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "wire/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_message(nrw_status s, const nrw_error *err) {
    if (s != NRW_OK && (s == NRW_ERR_INTERNAL || !err->message[0])) abort();
}

static void read_member(const nrw_allocator *a, const nrw_zip_entry *e) {
    nrw_error err = {0};
    if (e->size > 1 << 20) return; /* the caller's decision, as in the library */
    unsigned char *whole = nrw_mem_alloc(a, (size_t)e->size);
    if (!whole) return;
    expect_message(nrw_zip_read(a, e, whole, &err), &err);
    nrw_zip_stream *s;
    if (nrw_zip_stream_open(a, e, &s, &err) == NRW_OK) {
        /* Forward, and back again. */
        expect_message(nrw_zip_stream_read(s, e->size / 2, whole, (size_t)(e->size / 4), &err),
                       &err);
        expect_message(nrw_zip_stream_read(s, 0, whole, (size_t)(e->size / 2), &err), &err);
        nrw_zip_stream_close(s);
    }
    nrw_mem_free(a, whole, (size_t)e->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nrw_limit limit;
    nrw_arena arena;
    nrw_zip z;
    nrw_error err = {0};
    nrw_limit_init(&limit, nrw_system_allocator(), (size_t)1 << 28);
    nrw_arena_init(&arena, &limit.allocator);
    nrw_status s = nrw_zip_open(&arena, data, size, &z, &err);
    expect_message(s, &err);
    for (size_t i = 0; s == NRW_OK && i < z.n; i++) {
        const nrw_zip_entry *e = &z.entries[i];
        if (e->data < data || e->stored > size || (size_t)(e->data - data) > size - e->stored)
            abort();
        read_member(&limit.allocator, e);
    }
    nrw_arena_free(&arena);
    if (limit.used) abort();
    return 0;
}
