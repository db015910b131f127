#include "runtime/memory_plan.h"

#include <stdlib.h>

static int larger_first(const void *a, const void *b) {
    const nrw_buffer *x = *(nrw_buffer *const *)a, *y = *(nrw_buffer *const *)b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x < y ? -1 : x > y);
}

static bool overlap(const nrw_buffer *a, const nrw_buffer *b) {
    return a->first <= b->last && b->first <= a->last;
}

nrw_status nrw_memory_plan(nrw_buffer *buffers, int n, size_t *slab, nrw_arena *scratch,
                           nrw_error *err) {
    /* placed: by offset. order: by size. */
    nrw_buffer **order = nrw_arena_calloc(scratch, (size_t)n + 1, sizeof *order);
    nrw_buffer **placed = nrw_arena_calloc(scratch, (size_t)n + 1, sizeof *placed);
    if (order == NULL || placed == NULL) NRW_OOM(err);
    int count = 0, done = 0;
    for (int i = 0; i < n; i++) {
        if (buffers[i].size > 0) order[count++] = &buffers[i];
    }
    qsort(order, (size_t)count, sizeof *order, larger_first);
    *slab = 0;
    for (int i = 0; i < count; i++) {
        nrw_buffer *b = order[i];
        size_t at = 0, size = (b->size + 63) & ~(size_t)63;
        if (size < b->size) NRW_OOM(err);
        for (int k = 0; k < done; k++) {
            if (!overlap(b, placed[k])) continue;
            if (placed[k]->offset >= at && placed[k]->offset - at >= size) break;
            size_t end = placed[k]->offset + ((placed[k]->size + 63) & ~(size_t)63);
            if (end > at) at = end;
        }
        b->offset = at;
        size_t end;
        if (!nrw_add_size(at, size, &end)) NRW_OOM(err);
        if (end > *slab) *slab = end;
        int k = done++;
        for (; k > 0 && placed[k - 1]->offset > at; k--) placed[k] = placed[k - 1];
        placed[k] = b;
    }
    return NRW_OK;
}
