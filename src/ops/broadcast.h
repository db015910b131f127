/* Element-wise work under numpy broadcasting: operators bring a function for one row of elements,
 * this brings the odometer, the threads and the narrow float types. */
#ifndef NRW_OPS_BROADCAST_H
#define NRW_OPS_BROADCAST_H

#include "ops/op.h"

#define NRW_ROW_INPUTS 4

/* Computes n elements: out[i] from in[k][i * step[k]]. step[k] is 1, or 0 where one element of
 * input k serves the whole row. arg is the operator's own. out may be one of the inputs. */
typedef void (*nrw_row_fn)(const void *arg, void *out, const void *const *in, const int64_t *step,
                           int64_t n);

/* Row functions by storage type; NULL: the operator does not take that type. */
typedef struct nrw_rows {
    nrw_row_fn by[NRW_DTYPE_COUNT];
} nrw_rows;

/* Calls fn over all of out (its dims are the broadcast shape, its memory is set), n_in <=
 * NRW_ROW_INPUTS. Large tensors go to the pool in pieces of a fixed size. NRW_ERR_SHAPE when an
 * input does not broadcast to out. */
nrw_status nrw_each_row(nrw_eval *e, const nrw_tensor *out, int n_in, const nrw_tensor *const *in,
                        nrw_row_fn fn, const void *arg) NRW_MUST_CHECK;

/* The same with the function for `dtype` out of `rows`. Float types narrower than F32 that have no
 * row of their own run through the F32 row and are rounded once, at the end. */
nrw_status nrw_each_element(nrw_eval *e, const nrw_tensor *out, int n_in,
                            const nrw_tensor *const *in, nrw_dtype dtype, const nrw_rows *rows,
                            const void *arg) NRW_MUST_CHECK;

/* Splits [0, n) into pieces of at most `grain` and calls fn(arg, begin, end) on the pool. */
typedef void (*nrw_range_fn)(void *arg, int64_t begin, int64_t end);
void nrw_each_range(nrw_pool *pool, int64_t n, int64_t grain, nrw_range_fn fn, void *arg);

/* A range size that makes a piece about as much work as 16384 elements, given the elements that one
 * item touches. */
static inline int64_t nrw_grain(int64_t per_item) {
    int64_t g = 16384 / (per_item > 0 ? per_item : 1);
    return g > 0 ? g : 1;
}

#endif
