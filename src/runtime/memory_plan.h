/* Places buffers with lifetimes in one slab. */
#ifndef NRW_RUNTIME_MEMORY_PLAN_H
#define NRW_RUNTIME_MEMORY_PLAN_H

#include "base/error.h"
#include "base/mem.h"

typedef struct nrw_buffer {
    size_t size;     /* bytes wanted; 0: none */
    int first, last; /* steps during which it lives, both included */
    size_t offset;   /* result: 64-byte aligned */
} nrw_buffer;

/* Greedy by size: the largest first, each at the lowest place where nothing that lives at the same
 * time lies (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net Inference",
 * section 5.2). */
nrw_status nrw_memory_plan(nrw_buffer *buffers, int n, size_t *slab, nrw_arena *scratch,
                           nrw_error *err) NRW_MUST_CHECK;

#endif
