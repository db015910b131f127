/* Attention of one head on the float tiles that every tier has. Scores are computed with queries
 * along the columns, so that the softmax goes down them, a query in each lane, and what it leaves
 * is the right matrix of the product with the values as it stands. All tiers with fused
 * multiply-add give the same bits. */
#ifndef NRW_OPS_ATTENTION_TILES_H
#define NRW_OPS_ATTENTION_TILES_H

#include <stddef.h>

#include "kernels/kernels.h"

/* Bytes that a call needs for its own use. */
size_t nrw_attention_tiles_room(const nrw_kernels *kn, const nrw_attention_f32 *a);
void nrw_attention_tiles(const nrw_kernels *kn, const nrw_attention_f32 *a, void *room);

#endif
