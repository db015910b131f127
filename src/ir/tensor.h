/* Types (what is known of a value before it is computed) and helpers on tensors. */
#ifndef NRW_IR_TENSOR_H
#define NRW_IR_TENSOR_H

#include "base/error.h"
#include "base/mem.h"
#include "ir/dtype.h"
#include "narrow/tensor.h"

/* A dimension is >= 0 when known. NRW_DIM_UNKNOWN is unknown; any smaller number is a symbol of the
 * model (nrw_graph_symbol): unknown as well, but equal symbols are equal lengths. */
#define NRW_DIM_UNKNOWN  ((int64_t)-1)
#define NRW_RANK_UNKNOWN (-1)

/* What is known of a value. dtype NRW_NONE: unknown. Sequences: dtype and dims describe the
 * elements. */
typedef struct nrw_type {
    nrw_kind kind;
    nrw_dtype dtype;
    int32_t rank; /* NRW_RANK_UNKNOWN, or number of dims */
    int64_t dims[NRW_MAX_RANK];
} nrw_type;

nrw_type nrw_type_unknown(void);
nrw_type nrw_type_make(nrw_dtype dtype, int rank, const int64_t *dims);
nrw_type nrw_type_of(const nrw_tensor *t);
bool nrw_type_is_static(const nrw_type *t); /* rank and all dims known */
/* Number of elements; -1 if unknown, or if it does not fit in 63 bits. Rank 0 has one. */
int64_t nrw_type_count(const nrw_type *t);
/* "f32[1,3,?,224]"; writes at most n bytes, terminated, and returns buf. Symbols print as "?". */
const char *nrw_type_str(const nrw_type *t, char *buf, size_t n);
bool nrw_dims_equal(int rank_a, const int64_t *a, int rank_b, const int64_t *b);

/* Number of elements of a tensor (its dims are always valid and fit). */
int64_t nrw_tensor_count(const nrw_tensor *t);
size_t nrw_tensor_bytes(const nrw_tensor *t);
/* count * element size, checked. NRW_ERR_SHAPE when it does not fit or a dim is negative. */
nrw_status nrw_checked_bytes(nrw_dtype dtype, int rank, const int64_t *dims, size_t *bytes,
                             nrw_error *err) NRW_MUST_CHECK;
/* Sets kind, dtype, rank, dims; data NULL. rank <= NRW_MAX_RANK. */
nrw_tensor nrw_tensor_make(nrw_dtype dtype, int rank, const int64_t *dims, void *data);
/* A cleared tensor with memory from the arena. */
nrw_status nrw_tensor_new(nrw_arena *a, nrw_dtype dtype, int rank, const int64_t *dims,
                          nrw_tensor *out, nrw_error *err) NRW_MUST_CHECK;
/* Deep copy into the arena: data, quant, elements, strings. */
nrw_status nrw_tensor_copy(nrw_arena *a, const nrw_tensor *src, nrw_tensor *out,
                           nrw_error *err) NRW_MUST_CHECK;

/* Row-major strides in elements. */
void nrw_strides(int rank, const int64_t *dims, int64_t *strides);
/* Adds rank to a negative axis; false when out of [-rank, rank). */
bool nrw_normalize_axis(int64_t *axis, int rank);

/* Numpy broadcasting of n shapes; unknown dims stay unknown. NRW_ERR_SHAPE says which dims clash.
 */
nrw_status nrw_broadcast(int n, const nrw_type *const *in, nrw_type *out,
                         nrw_error *err) NRW_MUST_CHECK;

/* Reads a small integer tensor (int32, int64, …) into int64s; at most max values, *n the number
 * there. */
nrw_status nrw_tensor_ints(const nrw_tensor *t, int64_t *out, int max, int *n,
                           nrw_error *err) NRW_MUST_CHECK;

/* Quantization.
 * ---------------------------------------------------------------------------------------- */

/* real = scale * (q - zero_point), element by element, honouring axis and block. src has q's type.
 */
nrw_status nrw_dequantize(const nrw_tensor *src, float *dst, nrw_error *err) NRW_MUST_CHECK;
/* q = clamp(rint(x / scale) + zero_point), the division in float as ONNX defines it. dst->quant and
 * dims set. */
nrw_status nrw_quantize_values(const float *src, nrw_tensor *dst, nrw_error *err) NRW_MUST_CHECK;
bool nrw_quant_equal(const nrw_quant *a,
                     const nrw_quant *b); /* the same parameters; NULLs are equal. Rounding does not
                                             count: the integers mean the same */
static inline bool nrw_rounds_as_litert(const nrw_quant *q) {
    return q != NULL && q->rounding != NRW_ROUND_ONCE;
}
/* One known scale for the whole tensor, 8 bits of either sign; u8: unsigned. NULL is neither. */
bool nrw_quant_is_byte(const nrw_quant *q);
bool nrw_quant_is_u8(const nrw_quant *q);
/* Whether quotients by this scale may be computed from its reciprocal: the scale is far from what
 * is not normal, and so are the quotients' remainders; its significand is not all ones. */
bool nrw_has_reciprocal(float scale);
nrw_quant *nrw_quant_copy(nrw_arena *a, const nrw_quant *q); /* NULL: out of memory */
/* Per-tensor parameters in the arena; NULL: out of memory. */
nrw_quant *nrw_quant_per_tensor(nrw_arena *a, nrw_dtype dtype, float scale, int32_t zero_point);

#endif
