/* Half-precision modes. */
#ifndef NRW_QUANT_FLOAT16_H
#define NRW_QUANT_FLOAT16_H

#include "ir/graph.h"
#include "quant/recipe.h"

/* Everything that is float32 in the main graph becomes float16, with Casts behind the inputs and
 * before the outputs, which keep their type. Around nodes that the recipe leaves float, nodes that
 * have bodies or that Narrow does not know, and operators that sum many squares or exponentials or
 * take their types from elsewhere, values are cast to float32 and back. Constants beyond float16's
 * range become its largest number. Sets *nodes. */
nrw_status nrw_to_half(nrw_model *m, const nrw_recipe *r, int64_t *nodes,
                       nrw_error *err) NRW_MUST_CHECK;

/* float32 constants of 256 elements or more are rounded to float16, and stay float32: for writers
 * that store what fits. */
nrw_status nrw_round_to_half(nrw_model *m, const nrw_recipe *r, int64_t *nodes,
                             nrw_error *err) NRW_MUST_CHECK;

/* float32 constants of 256 elements or more are stored as bfloat16, with a Cast behind. */
nrw_status nrw_store_bfloat16(nrw_model *m, const nrw_recipe *r, int64_t *nodes,
                              nrw_error *err) NRW_MUST_CHECK;

#endif
