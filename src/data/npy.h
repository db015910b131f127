/* Numpy's .npy arrays (format 1.0, 2.0 and 3.0) and the elements in them. */
#ifndef NRW_DATA_NPY_H
#define NRW_DATA_NPY_H

#include "base/error.h"
#include "base/mem.h"
#include "narrow/tensor.h"

/* An array's header. Elements are dims in C or Fortran order, perhaps of the other byte order. */
typedef struct nrw_npy {
    nrw_dtype dtype;
    int32_t rank;
    int64_t dims[NRW_MAX_RANK];
    bool fortran, swapped;
    size_t offset, bytes; /* of the elements in the file; bytes is checked against the file */
} nrw_npy;

/* The most bytes that nrw_npy_parse looks at. */
#define NRW_NPY_MAX_HEADER (64 * 1024)

/* head: the first n bytes of an array of file_size bytes, all of them or NRW_NPY_MAX_HEADER.
 * Objects (pickles), records, dates and text are NRW_ERR_UNSUPPORTED. */
nrw_status nrw_npy_parse(const unsigned char *head, size_t n, uint64_t file_size, nrw_npy *out,
                         nrw_error *err) NRW_MUST_CHECK;

/* Copies slices first … first + slices of the first axis (without axes: the one element) to dst, in
 * C order and native byte order. src: all elements of the array, of any alignment. */
void nrw_npy_to_native(const nrw_npy *a, const unsigned char *src, int64_t first, int64_t slices,
                       void *dst);
/* Reverses the bytes of n elements in place. */
void nrw_npy_swap(nrw_dtype t, void *data, int64_t n);

/* The header that a C-order array of this type starts with, in the arena; its size is a multiple of
 * 64. width: bytes of each text for NRW_STRING. Small integers are stored as bytes; small floats as
 * opaque elements ("V2"), as numpy stores types that it does not know. */
nrw_status nrw_npy_header(nrw_arena *a, nrw_dtype t, int rank, const int64_t *dims, int64_t width,
                          const char **out, size_t *size, nrw_error *err) NRW_MUST_CHECK;

#endif
