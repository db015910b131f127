/* Inside of the Cast operators. */
#ifndef NRW_OPS_CAST_H
#define NRW_OPS_CAST_H

#include "ops/rows.h"

typedef struct nrw_cast {
    nrw_dtype from, to;
    bool saturate;  /* to 8-bit floats */
    int round_mode; /* to F8E8M0, as nrw_f32_to_f8e8m0 takes it */
} nrw_cast;

/* Input 0 from or to text, into output 0. */
nrw_status nrw_cast_from_strings(nrw_eval *e, const nrw_cast *c) NRW_MUST_CHECK;
nrw_status nrw_cast_to_strings(nrw_eval *e, const nrw_cast *c) NRW_MUST_CHECK;
/* One number to another, neither a string. */
/* n floats to c->to, a float type narrower than F32. */
void nrw_store_narrow_floats(const nrw_cast *c, const float *x, void *out, int64_t n);
void nrw_cast_number(const nrw_cast *c, const void *src, void *dst);

#endif
