/* Weights on their way to the second-level cache while others are multiplied. */
#ifndef NRW_KERNELS_X86_AHEAD_H
#define NRW_KERNELS_X86_AHEAD_H

#include <immintrin.h>
#include <stdint.h>

typedef struct nrw_ahead {
    const int8_t *next, *end;
    int lines; /* of the cache, fetched at each step */
} nrw_ahead;

static inline __attribute__((always_inline)) void fetch_ahead(nrw_ahead *a) {
    const int8_t *next = a->next;
    for (int i = 0; i < a->lines && next < a->end; i++, next += 64) _mm_prefetch(next, _MM_HINT_T2);
    a->next = next;
}

#endif
