/* Memory: one allocator interface, and arenas on top of it. All memory of the library goes through
 * an nrw_allocator, so that a limit (--max-ram) can hold and tests can fail every allocation in
 * turn. No function here reports errors: NULL means out of memory (or an impossible size). */
#ifndef NRW_BASE_MEM_H
#define NRW_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* alloc returns 64-byte aligned memory or NULL; free takes the size that alloc was given. Must be
 * thread-safe. */
typedef struct nrw_allocator {
    void *(*alloc)(void *user, size_t size);
    void (*free)(void *user, void *p, size_t size);
    void *user;
} nrw_allocator;

/* The heap, and pages of their own for large blocks. Static storage, immutable. */
const nrw_allocator *nrw_system_allocator(void);

void *nrw_mem_alloc(const nrw_allocator *a, size_t size);
void nrw_mem_free(const nrw_allocator *a, void *p, size_t size); /* p may be NULL */

/* An allocator that counts, refuses beyond a limit (0 = none), and remembers the peak. Thread-safe.
 * Initialise with nrw_limit_init; pass &l->allocator around. Must outlive what it allocated. */
typedef struct nrw_limit {
    nrw_allocator allocator;
    const nrw_allocator *parent;
    size_t limit, used, peak; /* bytes; used and peak are updated atomically */
} nrw_limit;
void nrw_limit_init(nrw_limit *l, const nrw_allocator *parent, size_t limit);
size_t nrw_limit_used(const nrw_limit *l); /* now, from any thread */

/* Bump allocation in chunks; everything goes at once with nrw_arena_free. Not thread-safe. */
typedef struct nrw_arena_chunk nrw_arena_chunk;
typedef struct nrw_arena {
    const nrw_allocator *allocator;
    nrw_arena_chunk *chunks;
} nrw_arena;
void nrw_arena_init(nrw_arena *a, const nrw_allocator *allocator);
void nrw_arena_free(nrw_arena *a);  /* leaves a usable, empty arena */
void nrw_arena_reset(nrw_arena *a); /* empties it, but keeps its memory for what comes next */
void *nrw_arena_alloc(nrw_arena *a,
                      size_t size); /* 16-byte aligned (64 from 64 bytes up), not cleared */
void *nrw_arena_calloc(nrw_arena *a, size_t n,
                       size_t size); /* cleared; NULL when n * size overflows */
void *nrw_arena_dup(nrw_arena *a, const void *p, size_t size);
char *nrw_arena_strdup(nrw_arena *a, const char *s);
char *nrw_arena_strndup(nrw_arena *a, const char *s, size_t n); /* terminated */
char *nrw_arena_printf(nrw_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Grows an arena-held array of *cap elements to hold at least need; the old copy stays in the
 * arena. */
bool nrw_arena_grow(nrw_arena *a, void **array, size_t *cap, size_t need, size_t element);

/* *out = a op b; false when the result does not fit. */
static inline bool nrw_mul_size(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool nrw_add_size(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool nrw_mul_i64(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

#endif
