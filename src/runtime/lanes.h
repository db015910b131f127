/* Several sessions of one plan, side by side: samples that do not depend on one another run one to
 * a thread, which costs less than sharing each step among threads. What comes of a sample does not
 * depend on how many run with it. */
#ifndef NRW_RUNTIME_LANES_H
#define NRW_RUNTIME_LANES_H

#include "runtime/session.h"

typedef struct nrw_lanes nrw_lanes;

/* most: lanes that are ever wanted; 0: as many as pay. The plan must outlive them. */
nrw_status nrw_lanes_create(const nrw_plan *p, int most, nrw_lanes **out,
                            nrw_error *err) NRW_MUST_CHECK;
void nrw_lanes_destroy(nrw_lanes *l); /* NULL allowed */

/* How many lanes the next run may use: one until the first run has shown how much memory a session
 * takes, then as many as there are threads, as long as that stays small and the context's limit is
 * far. Samples that suddenly take much more may fail with NRW_ERR_MEMORY where a single lane would
 * do: callers start again with one. */
int nrw_lanes_width(const nrw_lanes *l);
/* A copy of one sample's inputs, as for nrw_session_run, for lane i < width. */
nrw_status nrw_lanes_fill(nrw_lanes *l, int i, const nrw_tensor *inputs,
                          nrw_error *err) NRW_MUST_CHECK;
/* Runs the first n lanes. The error is that of the lowest lane that failed, *failed. */
nrw_status nrw_lanes_run(nrw_lanes *l, int n, int *failed, nrw_error *err) NRW_MUST_CHECK;
/* Lane i's outputs of the last run, valid until the lane is filled again. */
const nrw_tensor *nrw_lanes_outputs(const nrw_lanes *l, int i);

/* As nrw_session_observe for every lane: fn is called from several threads at a time. */
void nrw_lanes_observe(nrw_lanes *l, nrw_observer_fn fn, void *user);

#endif
