/* Element types and tensors, shared by the public surface and the inside of the library. */
#ifndef NARROW_TENSOR_H
#define NARROW_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The largest number of axes that a tensor may have; importers refuse more by name. */
#define NRW_MAX_RANK 10

/* Storage types. One row of properties for each stands in src/ir/dtype.c. In memory every element
 * takes a whole number of bytes: sub-byte types (I4, U4, I2, U2, F4E2M1) take one byte each, sign-
 * or zero-extended (F4E2M1: its 4-bit pattern), and are packed only in files. STRING elements are
 * nrw_string views. */
typedef enum nrw_dtype {
    NRW_NONE = 0,
    NRW_F32,
    NRW_F64,
    NRW_F16,
    NRW_BF16,
    NRW_F8E4M3FN,
    NRW_F8E4M3FNUZ,
    NRW_F8E5M2,
    NRW_F8E5M2FNUZ,
    NRW_F8E8M0,
    NRW_F4E2M1,
    NRW_I8,
    NRW_U8,
    NRW_I16,
    NRW_U16,
    NRW_I32,
    NRW_U32,
    NRW_I64,
    NRW_U64,
    NRW_I4,
    NRW_U4,
    NRW_I2,
    NRW_U2,
    NRW_BOOL,
    NRW_STRING,
    NRW_C64,
    NRW_C128,
    NRW_DTYPE_COUNT
} nrw_dtype;

/* A view of bytes, not terminated; whoever made the tensor owns them. */
typedef struct nrw_string {
    const char *data;
    size_t size;
} nrw_string;

/* How results are rounded to integers. */
typedef enum nrw_rounding {
    NRW_ROUND_ONCE = 0, /* the exact result to the nearest integer, ties to even */
    /* As LiteRT does with XNNPACK, in files of signed and of unsigned bytes: products are floats
     * before they are rounded, and some operators have rules of their own. */
    NRW_ROUND_LITERT,
    NRW_ROUND_LITERT_U8
} nrw_rounding;

/* How integers stand for reals: real = scale * (q - zero_point). */
typedef struct nrw_quant {
    nrw_dtype dtype; /* storage type: U8, I8, I16, U16, I4, U4, I2, U2, I32 */
    int32_t axis;    /* -1: one scale for the tensor; else the channel axis, or the blocked axis */
    int64_t block;   /* 0, or the number of consecutive elements along axis that share a scale */
    int64_t count;   /* number of scales; per block: the product of dims with dims[axis] / block */
    const float *scale;        /* [count], > 0; NULL when dynamic */
    const int32_t *zero_point; /* [count], never NULL unless dynamic; all 0 when symmetric */
    bool dynamic;              /* parameters are measured on each run, per tensor */
    nrw_rounding rounding;     /* of what is computed, not of what the integers mean */
} nrw_quant;

/* What a value holds. OPTIONAL_* may be empty. */
typedef enum nrw_kind {
    NRW_TENSOR = 0,
    NRW_SEQUENCE,
    NRW_OPTIONAL_TENSOR,
    NRW_OPTIONAL_SEQUENCE
} nrw_kind;

/* A dense row-major tensor, or a sequence of them. A plain view: copying the struct copies no data
 * and moves no ownership. dtype is what lies in memory: a quantized tensor has dtype ==
 * quant->dtype. An optional value is a tensor (or sequence) with kind NRW_OPTIONAL_*; it is empty
 * when data (elements) is NULL and dtype is NRW_NONE. */
typedef struct nrw_tensor {
    nrw_kind kind;
    nrw_dtype dtype;
    int32_t rank;
    int64_t dims[NRW_MAX_RANK];
    void *data; /* count * size-of-element bytes; 64-byte aligned where Narrow allocates */
    const nrw_quant *quant;      /* NULL for plain tensors */
    struct nrw_tensor *elements; /* sequences: [n_elements] */
    int64_t n_elements;
} nrw_tensor;

#ifdef __cplusplus
}
#endif
#endif
