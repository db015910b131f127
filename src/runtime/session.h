/* A session runs a plan: it owns the memory that values live in. One session per thread.
 *
 * A run has two parts. When the shapes of the inputs are new, the session *reshapes*: shape rules
 * run in order, nodes that only compute shapes (Shape, Gather of it, …) are evaluated on the spot,
 * and every value whose size is then known gets a place in one slab, where values that do not live
 * at the same time share memory. What depends on data (NonZero, bodies of If and Loop) gets memory
 * during the run. Then the steps run. */
#ifndef NRW_RUNTIME_SESSION_H
#define NRW_RUNTIME_SESSION_H

#include "runtime/plan.h"

/* Called after a step has run, once for each output (and, before the first step, for each graph
 * input): t is the value as it lies in memory, valid during the call. A status other than NRW_OK
 * ends the run with it. */
typedef nrw_status (*nrw_observer_fn)(void *user, const nrw_value *v, const nrw_tensor *t,
                                      nrw_error *err);
void nrw_session_observe(nrw_session *s, nrw_observer_fn fn, void *user); /* NULL: stop */

#endif
