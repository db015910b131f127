/* Bytes as LiteRT's kernels round them, where that differs from rounding the exact result: for
 * values whose annotation asks for it (nrw_rounding). */
#ifndef NRW_OPS_LITERT_H
#define NRW_OPS_LITERT_H

#include "ops/op.h"

/* Results of a function of one tensor of bytes, table[x] for each bit pattern x; the ones that
 * LiteRT rounds in its own way are put in place of what is there. table holds y's bit patterns. */
void nrw_litert_table(const nrw_node *n, const nrw_quant *x, const nrw_quant *y, uint8_t *table);

/* The mean of n integers as they lie in the file, halves away from zero; shift: how much is to be
 * taken off a byte of the engine to get the file's (128 for flipped ones). */
int32_t nrw_litert_mean(int64_t sum, int64_t n, int32_t shift);

#endif
