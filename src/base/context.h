/* The one object that carries what would otherwise be global: allocator, processor, threads,
 * progress. It is immutable once made, but for the cancel flag, and shared by everything made from
 * it. */
#ifndef NRW_BASE_CONTEXT_H
#define NRW_BASE_CONTEXT_H

#include "base/cpu.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/pool.h"

/* Called now and then from the thread that called the library: stage names the work
 * ("calibrating"), done of total items are finished (total < 0: unknown). Return nonzero to cancel:
 * the call then fails with NRW_ERR_CANCELLED. */
typedef int (*nrw_progress_fn)(void *user, const char *stage, int64_t done, int64_t total);

typedef struct nrw_context {
    nrw_limit memory; /* memory.allocator is what everything allocates from */
    nrw_cpu cpu;
    nrw_pool *pool;
    int threads;
    nrw_progress_fn progress; /* NULL: none */
    void *progress_user;
} nrw_context;

typedef struct nrw_context_options {
    const nrw_allocator *allocator; /* NULL: the C library's heap */
    size_t max_memory;              /* bytes; 0: as much as the machine has */
    int threads;                    /* 0: as many as the process has processors */
    const char *cpu;                /* tier name that caps the processor's; NULL or "": none */
    nrw_progress_fn progress;       /* NULL: none */
    void *progress_user;
} nrw_context_options;

/* options may be NULL. The context must not move in memory between init and destroy; destroy may
 * follow a failed init. */
nrw_status nrw_context_init(nrw_context *c, const nrw_context_options *options,
                            nrw_error *err) NRW_MUST_CHECK;
void nrw_context_destroy(nrw_context *c);

/* Reports progress; NRW_ERR_CANCELLED when the callback says stop. */
nrw_status nrw_progress(const nrw_context *c, const char *stage, int64_t done, int64_t total,
                        nrw_error *err) NRW_MUST_CHECK;

#endif
