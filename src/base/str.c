#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void nrw_strbuf_init(nrw_strbuf *b, const nrw_allocator *a) {
    *b = (nrw_strbuf){.allocator = a};
}

void nrw_strbuf_free(nrw_strbuf *b) {
    nrw_mem_free(b->allocator, b->data, b->cap);
    *b = (nrw_strbuf){.allocator = b->allocator};
}

/* Room for n more bytes and the terminator. */
static bool reserve(nrw_strbuf *b, size_t n) {
    size_t need;
    if (b->failed) return false;
    if (!nrw_add_size(b->size, n, &need) || !nrw_add_size(need, 1, &need)) {
        b->failed = true;
        return false;
    }
    if (need <= b->cap) return true;
    size_t cap = b->cap > SIZE_MAX / 2 ? need : 2 * b->cap;
    if (cap < 128) cap = 128;
    if (cap < need) cap = need;
    char *data = nrw_mem_alloc(b->allocator, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    if (b->size) memcpy(data, b->data, b->size);
    data[b->size] = 0;
    nrw_mem_free(b->allocator, b->data, b->cap);
    b->data = data;
    b->cap = cap;
    return true;
}

void nrw_strbuf_add(nrw_strbuf *b, const void *p, size_t n) {
    if (!reserve(b, n)) return;
    if (n) memcpy(b->data + b->size, p, n);
    b->size += n;
    b->data[b->size] = 0;
}

void nrw_strbuf_puts(nrw_strbuf *b, const char *s) {
    nrw_strbuf_add(b, s, strlen(s));
}

void nrw_strbuf_printf(nrw_strbuf *b, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) b->failed = true;
    if (n >= 0 && reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->size, (size_t)n + 1, fmt, again);
        b->size += (size_t)n;
    }
    va_end(again);
}

/* Map --------------------------------------------------------------------------------------- */

struct nrw_map_slot {
    const char *key;
    size_t n;
    uint64_t hash; /* 0: the slot is free */
    void *value;
};

void nrw_map_init(nrw_map *m, nrw_arena *arena) {
    *m = (nrw_map){.arena = arena};
}

static uint64_t slot_hash(const char *key, size_t n) {
    uint64_t h = nrw_hash64(key, n, 0);
    return h ? h : 1;
}

/* The slot that holds key, or the free one where it belongs. There is always a free one. */
static struct nrw_map_slot *find_slot(struct nrw_map_slot *slots, size_t cap, uint64_t hash,
                                      const char *key, size_t n) {
    size_t i = hash & (cap - 1);
    for (; slots[i].hash; i = (i + 1) & (cap - 1)) {
        if (slots[i].hash == hash && slots[i].n == n && !(n && memcmp(slots[i].key, key, n))) break;
    }
    return &slots[i];
}

void *nrw_map_get(const nrw_map *m, const char *key, size_t n) {
    if (!m->cap) return NULL;
    return find_slot(m->slots, m->cap, slot_hash(key, n), key, n)->value;
}

static bool rehash(nrw_map *m) {
    size_t cap = m->cap ? 2 * m->cap : 16;
    struct nrw_map_slot *slots = nrw_arena_calloc(m->arena, cap, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < m->cap; i++) {
        const struct nrw_map_slot *s = &m->slots[i];
        if (s->hash) *find_slot(slots, cap, s->hash, s->key, s->n) = *s;
    }
    m->slots = slots;
    m->cap = cap;
    return true;
}

bool nrw_map_put(nrw_map *m, const char *key, size_t n, void *value) {
    if (4 * (m->used + 1) > 3 * m->cap && !rehash(m)) return false;
    uint64_t hash = slot_hash(key, n);
    struct nrw_map_slot *s = find_slot(m->slots, m->cap, hash, key, n);
    if (!s->hash) {
        *s = (struct nrw_map_slot){.key = key, .n = n, .hash = hash};
        m->used++;
    }
    s->value = value;
    return true;
}

/* Hash: folded 64x64 -> 128 bit products over two words at a time. Not for adversaries with time to
 * spare, and not for anything that must be unforgeable. ---------------------------------------- */

static uint64_t fold(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 u128;
    u128 product = (u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load_le(const unsigned char *p, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

uint64_t nrw_hash64(const void *data, size_t n, uint64_t seed) {
    /* The first hexadecimal digits of pi's, e's and the golden ratio's fractions, made odd. */
    const uint64_t k0 = 0x243f6a8885a308d3u, k1 = 0xb7e151628aed2a6bu, k2 = 0x9e3779b97f4a7c15u;
    const unsigned char *p = data;
    uint64_t h = fold(seed ^ k0, (uint64_t)n ^ k1);
    size_t left = n;
    for (; left >= 16; p += 16, left -= 16)
        h = fold(load_le(p, 8) ^ k1 ^ h, load_le(p + 8, 8) ^ k2);
    size_t low = left < 8 ? left : 8;
    h = fold(load_le(p, low) ^ k1 ^ h, load_le(p + low, left - low) ^ k2);
    return fold(h ^ k0, k2);
}
