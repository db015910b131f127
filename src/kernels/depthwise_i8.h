/* Depthwise convolutions with channels last: how weights and the epilogue lie for the tiers'
 * depthwise_i8 (kernels.h).
 *
 * Four rows of the image are woven byte by byte, so that the sum over four rows of the filter is
 * one instruction for each column. Channels go in blocks of 64, and the rest in one of 64 or 32.
 * Weaving bytes within 128-bit lanes deals the channels of a block to four vectors: channel c of it
 * lies in vector (c % 16) / 4, at place 4 (c / 16) + c % 4. */
#ifndef NRW_KERNELS_DEPTHWISE_I8_H
#define NRW_KERNELS_DEPTHWISE_I8_H

#include "base/error.h"
#include "base/mem.h"
#include "kernels/conv.h"
#include "kernels/rows_i8.h"

enum { NRW_WOVEN_ROWS = 4, NRW_DEPTHWISE_MAX_ROWS = 64 };

/* The block's width for `left` channels. */
static inline int nrw_depthwise_block(int64_t left) {
    return left > 32 ? 64 : 32;
}
/* Two lines of output share their rows where the filter moves down by one row and reads each. */
static inline int nrw_depthwise_lines(const nrw_conv *c) {
    return c->stride[1] == 1 && c->dilation[1] == 1 ? 2 : 1;
}
/* Groups of woven rows that these lines read. */
static inline int nrw_depthwise_groups(const nrw_conv *c) {
    const int64_t rows = c->kernel[1] + nrw_depthwise_lines(c) - 1;
    return (int)((rows + NRW_WOVEN_ROWS - 1) / NRW_WOVEN_ROWS);
}

/* w: [channels][1][kh][kw]. In the arena: [blocks][lines][groups][kw][4][block / 4 channels][4
 * rows]; the sums are filled in. */
nrw_status nrw_depthwise_pack(const nrw_conv *c, const int8_t *w, nrw_arena *arena, int8_t **out,
                              nrw_weight_sums sums, nrw_error *err) NRW_MUST_CHECK;
/* add and mul dealt to the blocks' vectors. */
nrw_status nrw_depthwise_epilogue(const nrw_i8_epilogue *e, nrw_weight_sums sums, int64_t channels,
                                  nrw_arena *arena, nrw_rows_epilogue *out,
                                  nrw_error *err) NRW_MUST_CHECK;

#endif
