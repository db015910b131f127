/* Order-preserving keys: what operators that sort compare instead of elements. */
#ifndef NRW_OPS_ORDER_H
#define NRW_OPS_ORDER_H

#include "ops/op.h"

/* keys[i] < keys[j] exactly where element i < element j of t, equal where they are equal; NaNs are
 * equal to each other and above everything. Numbers and bool; scratch holds the result. */
nrw_status nrw_order_keys(const nrw_tensor *t, nrw_arena *scratch, uint64_t **keys,
                          nrw_error *err) NRW_MUST_CHECK;

/* Sorts n items, stably. before(ctx, a, b): a comes strictly before b. room: n items. */
typedef bool (*nrw_before_fn)(const void *ctx, int64_t a, int64_t b);
void nrw_sort_items(int64_t *items, int64_t *room, int64_t n, nrw_before_fn before,
                    const void *ctx);

#endif
