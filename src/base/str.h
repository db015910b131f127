/* Growing strings, string sets and hashes. */
#ifndef NRW_BASE_STR_H
#define NRW_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/* A growing byte buffer. Failures stick: check failed once at the end. */
typedef struct nrw_strbuf {
    const nrw_allocator *allocator;
    char *data; /* always terminated once anything was added; NULL while empty */
    size_t size, cap;
    bool failed;
} nrw_strbuf;
void nrw_strbuf_init(nrw_strbuf *b, const nrw_allocator *a);
void nrw_strbuf_free(nrw_strbuf *b);
void nrw_strbuf_add(nrw_strbuf *b, const void *p, size_t n);
void nrw_strbuf_puts(nrw_strbuf *b, const char *s);
void nrw_strbuf_printf(nrw_strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A map from byte strings to pointers, open addressing, keys are not copied. Lives in an arena. */
typedef struct nrw_map {
    nrw_arena *arena;
    struct nrw_map_slot *slots;
    size_t cap, used;
} nrw_map;
void nrw_map_init(nrw_map *m, nrw_arena *arena);
void *nrw_map_get(const nrw_map *m, const char *key, size_t n); /* NULL when absent */
bool nrw_map_put(nrw_map *m, const char *key, size_t n,
                 void *value); /* replaces; false: out of memory */

uint64_t nrw_hash64(const void *p, size_t n, uint64_t seed);

/* SHA-256 (FIPS 180-4), streaming. */
typedef struct nrw_sha256 {
    uint32_t h[8];
    uint64_t bytes;
    unsigned char block[64];
} nrw_sha256;
void nrw_sha256_init(nrw_sha256 *s);
void nrw_sha256_add(nrw_sha256 *s, const void *p, size_t n);
void nrw_sha256_hex(nrw_sha256 *s, char out[65]);

#endif
