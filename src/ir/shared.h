/* Models that share constants; inside the ir only. */
#ifndef NRW_IR_SHARED_H
#define NRW_IR_SHARED_H

#include "ir/graph.h"

/* An empty model whose constants may point to where those of `original` do (NULL: none), which may
 * be destroyed before it. */
nrw_model *nrw_model_create_beside(const nrw_context *c, const nrw_model *original);

#endif
