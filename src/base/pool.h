/* A fork-join thread pool. Work is split into tasks whose number and borders never depend on the
 * number of threads, so results do not either. */
#ifndef NRW_BASE_POOL_H
#define NRW_BASE_POOL_H

#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

typedef struct nrw_pool nrw_pool;

#define NRW_MAX_THREADS 1024

/* threads, 1 to NRW_MAX_THREADS, counts the caller: threads - 1 workers are started. */
nrw_status nrw_pool_create(const nrw_allocator *a, int threads, nrw_pool **out,
                           nrw_error *err) NRW_MUST_CHECK;
void nrw_pool_destroy(nrw_pool *p);      /* NULL allowed */
int nrw_pool_threads(const nrw_pool *p); /* 1 for NULL */

/* Calls fn(arg, i, worker) for every i in [0, n), on all threads, and returns when all are done.
 * worker is in [0, threads), distinct among calls that run at the same time: it indexes per-thread
 * scratch. A NULL pool, or a call from inside a task, runs serially. Tasks must not fail; they
 * record trouble in arg. */
typedef void (*nrw_task_fn)(void *arg, int64_t i, int worker);
void nrw_pool_run(nrw_pool *p, int64_t n, nrw_task_fn fn, void *arg);

#endif
