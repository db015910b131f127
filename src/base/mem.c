#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Under AddressSanitizer, arena memory that was not handed out is poisoned, and every allocation is
 * followed by a gap, so that overruns inside a chunk are found as they are on the heap. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_GUARD 16
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_GUARD 16
#endif
#endif
#ifdef ARENA_GUARD
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define ARENA_GUARD    0
#define POISON(p, n)   ((void)0)
#define UNPOISON(p, n) ((void)0)
#endif

enum { ALIGNMENT = 64, SMALL_ALIGNMENT = 16 };

/* Large blocks are mapped, so that what is freed is given back at once: heaps keep it, or what lies
 * between the pieces that are left. The sanitizers watch the heap only. */
enum { LARGE = 256 * 1024, PAGES_OF_THEIR_OWN = ARENA_GUARD == 0 };
enum { FIRST_CHUNK = 64 * 1024, LAST_CHUNK = 4 * 1024 * 1024 };

static void *system_alloc(void *user, size_t size) {
    size_t rounded;
    if (!nrw_add_size(size, ALIGNMENT - 1, &rounded)) return NULL;
    rounded &= ~(size_t)(ALIGNMENT - 1);
    if (!PAGES_OF_THEIR_OWN || rounded < LARGE)
        return aligned_alloc(ALIGNMENT, rounded ? rounded : ALIGNMENT);
    void *p = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED && rounded >= (4 << 20)) madvise(p, rounded, MADV_HUGEPAGE);
    return p != MAP_FAILED ? p : NULL;
}

static void system_free(void *user, void *p, size_t size) {
    const size_t rounded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (!PAGES_OF_THEIR_OWN || rounded < LARGE)
        free(p);
    else
        munmap(p, rounded);
}

const nrw_allocator *nrw_system_allocator(void) {
    static const nrw_allocator heap = {system_alloc, system_free, NULL};
    return &heap;
}

void *nrw_mem_alloc(const nrw_allocator *a, size_t size) {
    if (size > PTRDIFF_MAX) return NULL;
    return a->alloc(a->user, size);
}

void nrw_mem_free(const nrw_allocator *a, void *p, size_t size) {
    if (p) a->free(a->user, p, size);
}

/* Counting and refusing --------------------------------------------------------------------- */

static void *limit_alloc(void *user, size_t size) {
    nrw_limit *l = user;
    size_t before = __atomic_load_n(&l->used, __ATOMIC_RELAXED), after;
    do {
        if (!nrw_add_size(before, size, &after) || (l->limit && after > l->limit)) return NULL;
    } while (!__atomic_compare_exchange_n(&l->used, &before, after, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    void *p = nrw_mem_alloc(l->parent, size);
    if (!p) {
        __atomic_fetch_sub(&l->used, size, __ATOMIC_RELAXED);
        return NULL;
    }
    size_t peak = __atomic_load_n(&l->peak, __ATOMIC_RELAXED);
    while (peak < after && !__atomic_compare_exchange_n(&l->peak, &peak, after, true,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    return p;
}

static void limit_free(void *user, void *p, size_t size) {
    nrw_limit *l = user;
    nrw_mem_free(l->parent, p, size);
    __atomic_fetch_sub(&l->used, size, __ATOMIC_RELAXED);
}

void nrw_limit_init(nrw_limit *l, const nrw_allocator *parent, size_t limit) {
    *l = (nrw_limit){.allocator = {limit_alloc, limit_free, l}, .parent = parent, .limit = limit};
}

size_t nrw_limit_used(const nrw_limit *l) {
    return __atomic_load_n(&l->used, __ATOMIC_RELAXED);
}

/* Arenas ------------------------------------------------------------------------------------ */

/* The first chunk of the list is the one that is filled; the others are full, or hold one large
 * allocation each. The memory follows the header. */
struct nrw_arena_chunk {
    _Alignas(ALIGNMENT) nrw_arena_chunk *next;
    size_t size; /* of the allocation, header included */
    size_t used; /* header included */
    size_t grow; /* size of the chunk that comes after this one */
};

void nrw_arena_init(nrw_arena *a, const nrw_allocator *allocator) {
    *a = (nrw_arena){.allocator = allocator};
}

void nrw_arena_free(nrw_arena *a) {
    for (nrw_arena_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        UNPOISON(c, c->size);
        nrw_mem_free(a->allocator, c, c->size);
    }
    a->chunks = NULL;
}

static nrw_arena_chunk *new_chunk(nrw_arena *a, size_t size) {
    nrw_arena_chunk *c = nrw_mem_alloc(a->allocator, size);
    if (!c) return NULL;
    *c = (nrw_arena_chunk){.size = size, .used = sizeof *c};
    POISON(c + 1, size - sizeof *c);
    return c;
}

void nrw_arena_reset(nrw_arena *a) {
    nrw_arena_chunk *c = a->chunks;
    if (!c) return;
    size_t total = 0, grow = c->grow;
    for (; c; c = c->next) total += c->size;
    c = a->chunks;
    if (c->next) {
        /* One chunk that holds it all, so that the same work does not allocate again. */
        nrw_arena_free(a);
        c = a->chunks = new_chunk(a, total);
        if (!c) return;
        c->grow = grow;
    }
    c->used = sizeof *c;
    POISON(c + 1, c->size - sizeof *c);
}

static void *take(nrw_arena_chunk *c, size_t offset, size_t size) {
    void *p = (char *)c + offset;
    c->used = offset + size;
    UNPOISON(p, size);
    return p;
}

void *nrw_arena_alloc(nrw_arena *a, size_t size) {
    size_t align = size >= ALIGNMENT ? ALIGNMENT : SMALL_ALIGNMENT;
    if (size > PTRDIFF_MAX - 2 * ALIGNMENT - sizeof(nrw_arena_chunk)) return NULL;
    nrw_arena_chunk *c = a->chunks;
    if (c) {
        size_t offset = (c->used + ARENA_GUARD + align - 1) & ~(align - 1);
        if (offset <= c->size && size <= c->size - offset) return take(c, offset, size);
    }
    size_t grow = c ? c->grow : FIRST_CHUNK;
    if (size > (grow - sizeof *c) / 4) {
        /* A chunk of its own, behind the one that is being filled. */
        nrw_arena_chunk *own = new_chunk(a, sizeof *own + size);
        if (!own) return NULL;
        if (c) {
            own->next = c->next;
            c->next = own;
        } else {
            a->chunks = own;
        }
        own->grow = grow;
        return take(own, sizeof *own, size);
    }
    nrw_arena_chunk *fresh = new_chunk(a, grow);
    if (!fresh) return NULL;
    fresh->grow = grow < LAST_CHUNK ? 2 * grow : LAST_CHUNK;
    fresh->next = c;
    a->chunks = fresh;
    return take(fresh, sizeof *fresh, size);
}

void *nrw_arena_calloc(nrw_arena *a, size_t n, size_t size) {
    size_t bytes;
    if (!nrw_mul_size(n, size, &bytes)) return NULL;
    void *p = nrw_arena_alloc(a, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

void *nrw_arena_dup(nrw_arena *a, const void *p, size_t size) {
    void *copy = nrw_arena_alloc(a, size);
    if (copy && size) memcpy(copy, p, size);
    return copy;
}

char *nrw_arena_strdup(nrw_arena *a, const char *s) {
    return nrw_arena_dup(a, s, strlen(s) + 1);
}

char *nrw_arena_strndup(nrw_arena *a, const char *s, size_t n) {
    size_t bytes;
    if (!nrw_add_size(n, 1, &bytes)) return NULL;
    char *copy = nrw_arena_alloc(a, bytes);
    if (!copy) return NULL;
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

char *nrw_arena_printf(nrw_arena *a, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = n < 0 ? NULL : nrw_arena_alloc(a, (size_t)n + 1);
    if (text) vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

bool nrw_arena_grow(nrw_arena *a, void **array, size_t *cap, size_t need, size_t element) {
    if (need <= *cap) return true;
    size_t wanted = *cap > SIZE_MAX / 2 ? need : 2 * *cap, bytes;
    if (wanted < 8) wanted = 8;
    if (wanted < need) wanted = need;
    if (!nrw_mul_size(wanted, element, &bytes)) return false;
    void *p = nrw_arena_alloc(a, bytes);
    if (!p) return false;
    if (*cap) memcpy(p, *array, *cap * element);
    *array = p;
    *cap = wanted;
    return true;
}
