/* Integer kernels that all element-wise operators share, for per-tensor parameters: what the float
 * operator computes between dequantizing and quantizing, to the bit but for nrw_pair_u8. */
#ifndef NRW_OPS_QUANT_TABLE_H
#define NRW_OPS_QUANT_TABLE_H

#include "kernels/sum_u8.h"
#include "ops/rows.h"

/* For functions of one tensor (further inputs are plain parameters, as Clip's bounds): 8-bit in and
 * out, by a table of 256 results of the operator's own reference kernel. */
nrw_status nrw_table_integer(nrw_eval *e) NRW_MUST_CHECK;
bool nrw_table_integer_ok(const nrw_node *n);
/* Output 0 from input 0, byte by byte, by a table of 256. */
nrw_status nrw_look_up(nrw_eval *e, const uint8_t *table) NRW_MUST_CHECK;

/* For functions of two tensors: 8- or 16-bit in and out, in float:
 * q = clamp(rint(f(sa (qa - za), sb (qb - zb)) / sy) + zy), f being the float row function. */
nrw_status nrw_integer_pair(nrw_eval *e, nrw_row_fn f32_row, const void *arg) NRW_MUST_CHECK;
bool nrw_integer_pair_ok(const nrw_node *n);

/* a + b, a - b and a * b of unsigned bytes, faster (quant_pair.c): sums in fixed point
 * (kernels/sum_u8.h), products by the contract of kernels.h, acc = (a - za) (b - zb). */
typedef enum nrw_pair_kind { NRW_PAIR_ADD, NRW_PAIR_SUB, NRW_PAIR_MUL } nrw_pair_kind;
bool nrw_pair_u8_suits(const nrw_eval *e, nrw_pair_kind kind);
nrw_status nrw_pair_u8(nrw_eval *e, nrw_pair_kind kind) NRW_MUST_CHECK;
/* How bytes of a and b, one scale each, are added to bytes of y; false: not in fixed point. */
bool nrw_quant_sum(const nrw_quant *a, const nrw_quant *b, const nrw_quant *y, nrw_sum_u8 *out);

/* n elements between float and an integer type of at most 16 bits, one scale and zero point. */
void nrw_dequantize_row(nrw_dtype t, const void *q, float scale, int32_t zero, float *x, int64_t n);
void nrw_quantize_row(nrw_dtype t, const float *x, float scale, int32_t zero, void *q, int64_t n);

#endif
