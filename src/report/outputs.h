/* A model's first output on the batches of a dataset, kept as floats. */
#ifndef NRW_REPORT_OUTPUTS_H
#define NRW_REPORT_OUTPUTS_H

#include "base/error.h"
#include "base/mem.h"
#include "ir/tensor.h"

typedef struct nrw_outputs {
    const nrw_allocator *allocator;
    int64_t wanted;  /* batches; 0 when they would take too much memory */
    int64_t batches; /* there are, from the first on */
    int64_t n;       /* floats of one batch */
    float *values;   /* [wanted][n] */
    size_t bytes;
} nrw_outputs;

void nrw_outputs_init(nrw_outputs *o, const nrw_allocator *a, int64_t wanted);
void nrw_outputs_free(nrw_outputs *o);
/* The output on batch b. Left out when it is not the next one that is wanted, not a tensor of
 * numbers, or of another length than those before. */
nrw_status nrw_outputs_add(nrw_outputs *o, int64_t b, const nrw_tensor *t,
                           nrw_error *err) NRW_MUST_CHECK;
/* All that were wanted are there. */
bool nrw_outputs_complete(const nrw_outputs *o);
const float *nrw_outputs_get(const nrw_outputs *o, int64_t b); /* [n] */

#endif
