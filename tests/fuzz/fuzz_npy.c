/* The array reader must take any bytes: refuse them with a message, or describe elements that are
 * there and can be copied. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "data/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nrw_npy a;
    nrw_error err = {0};
    size_t head = size < NRW_NPY_MAX_HEADER ? size : NRW_NPY_MAX_HEADER;
    nrw_status s = nrw_npy_parse(data, head, size, &a, &err);
    if (s != NRW_OK) {
        if (s == NRW_ERR_INTERNAL || !err.message[0]) abort();
        return 0;
    }
    if (a.offset > size || a.bytes > size - a.offset) abort();
    void *out = nrw_mem_alloc(nrw_system_allocator(), a.bytes);
    if (!out) return 0;
    int64_t slices = a.rank ? a.dims[0] : 1;
    nrw_npy_to_native(&a, data + a.offset, 0, slices, out);
    if (slices > 0) nrw_npy_to_native(&a, data + a.offset, slices - 1, 1, out);
    nrw_mem_free(nrw_system_allocator(), out, a.bytes);
    return 0;
}
