/* Turning images: Transposes between channels first and channels last, and operators that may come
 * before or after them. Axis a behind a Transpose by perm is axis perm[a] in front of it. */
#ifndef NRW_PASSES_TURN_H
#define NRW_PASSES_TURN_H

#include "ir/graph.h"

/* perm of channels first to last, and back, for this rank. */
void nrw_perm_to_last(int rank, int64_t *perm);
void nrw_perm_to_first(int rank, int64_t *perm);
/* n is a Transpose between channels first and channels last, rank 3 to 5; *perm is its own. */
bool nrw_is_turn(const nrw_node *n, const int64_t **perm, int *rank);
bool nrw_has_perm(const nrw_node *n, const int64_t *perm, int rank);

/* A constant with its axes in another order, its scales along; the elements are copied. NULL: out
 * of memory. */
nrw_value *nrw_turned_constant(nrw_graph *g, const nrw_value *v, const int64_t *perm);
/* x turned by a new Transpose before `before`. NULL: out of memory. */
nrw_value *nrw_turned(nrw_graph *g, nrw_value *x, int rank, const int64_t *perm, nrw_node *before);
/* Output i of n comes out as it is now before a new Transpose by perm, which makes what it was. */
nrw_status nrw_turn_output(nrw_node *n, int i, int rank, const int64_t *perm,
                           nrw_error *err) NRW_MUST_CHECK;

/* If n reads turned values and what it does can as well be done before turning, it does, and its
 * outputs are turned instead: *sunk. */
nrw_status nrw_sink_turn(nrw_node *n, bool *sunk, nrw_error *err) NRW_MUST_CHECK;
/* Readers of a Transpose of a Transpose back take what there was. */
nrw_status nrw_cancel_turns(nrw_graph *g, nrw_error *err) NRW_MUST_CHECK;

#endif
