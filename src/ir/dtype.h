/* Storage types: one row each, with what every part of the library needs to know of it. */
#ifndef NRW_IR_DTYPE_H
#define NRW_IR_DTYPE_H

#include "base/error.h"
#include "narrow/tensor.h"

typedef enum nrw_class {
    NRW_CLASS_NONE,
    NRW_CLASS_FLOAT,
    NRW_CLASS_SINT,
    NRW_CLASS_UINT,
    NRW_CLASS_BOOL,
    NRW_CLASS_STRING,
    NRW_CLASS_COMPLEX
} nrw_class;

typedef struct nrw_dtype_row {
    const char *name;  /* "f32": the text form and messages */
    const char *title; /* "float32": numpy's spelling, shown to users */
    nrw_class klass;
    int bits;         /* in files */
    int size;         /* bytes of one element in memory */
    int onnx;         /* TensorProto.DataType, 0 if none */
    int tflite;       /* TensorType, -1 if none */
    int pt2;          /* torch.export schema ScalarType, 0 if none */
    int64_t min, max; /* integers only (U64: max is INT64_MAX) */
} nrw_dtype_row;

const nrw_dtype_row *nrw_dtype_get(nrw_dtype t);
static inline int nrw_dtype_size(nrw_dtype t) {
    return nrw_dtype_get(t)->size;
}
static inline const char *nrw_dtype_name(nrw_dtype t) {
    return nrw_dtype_get(t)->name;
}
bool nrw_dtype_is_float(nrw_dtype t);   /* includes half and 8-bit floats */
bool nrw_dtype_is_integer(nrw_dtype t); /* signed or unsigned, not bool */
nrw_dtype nrw_dtype_from_name(const char *name,
                              size_t n);   /* short or long name; NRW_NONE if unknown */
nrw_dtype nrw_dtype_from_onnx(int code);   /* NRW_NONE if unknown */
nrw_dtype nrw_dtype_from_tflite(int code); /* likewise */

/* Converts n elements. Any numeric (or bool) type to and from float, double and int64. Integer
 * targets saturate and round half to even; use the Cast operator for C-like conversion. Strings and
 * complex: NRW_ERR_UNSUPPORTED. */
nrw_status nrw_to_f32(nrw_dtype from, const void *src, float *dst, int64_t n,
                      nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_from_f32(nrw_dtype to, const float *src, void *dst, int64_t n,
                        nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_to_f64(nrw_dtype from, const void *src, double *dst, int64_t n,
                      nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_from_f64(nrw_dtype to, const double *src, void *dst, int64_t n,
                        nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_to_i64(nrw_dtype from, const void *src, int64_t *dst, int64_t n,
                      nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_from_i64(nrw_dtype to, const int64_t *src, void *dst, int64_t n,
                        nrw_error *err) NRW_MUST_CHECK;

/* Packs and unpacks sub-byte elements, low bits first, as ONNX and TFLite store them. */
void nrw_unpack_bits(nrw_dtype t, const unsigned char *packed, unsigned char *out, int64_t n);
void nrw_pack_bits(nrw_dtype t, const unsigned char *in, unsigned char *packed, int64_t n);
/* Bytes that n elements take in a file; false on overflow. */
bool nrw_packed_size(nrw_dtype t, int64_t n, size_t *bytes);

#endif
