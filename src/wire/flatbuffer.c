/* Reading FlatBuffers. */
#include "wire/flatbuffer.h"

#include <string.h>

enum { budget_base = 1 << 20, budget_per_byte = 8 };

size_t nrw_fb_kind_size(nrw_fb_kind k) {
    static const unsigned char size[] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8};
    return size[k];
}

static void note(nrw_fb *fb, size_t where, const char *wrong) {
    if (fb->wrong != NULL) return;
    fb->wrong = wrong;
    fb->where = where;
}

nrw_status nrw_fb_check(const nrw_fb *fb, nrw_error *err) {
    if (fb->wrong == NULL) return NRW_OK;
    NRW_FAIL(err, NRW_ERR_FORMAT, "byte %zu: %s: the file is damaged or cut off", fb->where,
             fb->wrong);
}

/* n bytes at `at` lie inside. */
static bool inside(nrw_fb *fb, size_t at, size_t n, const char *what) {
    if (at <= fb->size && n <= fb->size - at) return true;
    note(fb, at, what);
    return false;
}

static uint32_t u32_at(const nrw_fb *fb, size_t at) {
    uint32_t v;
    memcpy(&v, fb->data + at, sizeof v);
    return v;
}

static uint16_t u16_at(const nrw_fb *fb, size_t at) {
    uint16_t v;
    memcpy(&v, fb->data + at, sizeof v);
    return v;
}

/* Where the offset at `at` leads; 0 where it leads nowhere. */
static size_t follow(nrw_fb *fb, size_t at) {
    if (!inside(fb, at, 4, "an offset ends early")) return 0;
    const size_t to = u32_at(fb, at);
    if (to == 0) note(fb, at, "an offset leads nowhere");
    if (to == 0 || !inside(fb, at + to, 4, "an offset leads outside")) return 0;
    return at + to;
}

static nrw_fb_table open_table(nrw_fb *fb, size_t at) {
    const nrw_fb_table none = {0};
    if (at == 0 || !inside(fb, at, 4, "a table ends early")) return none;
    const int64_t vtable = (int64_t)at - (int32_t)u32_at(fb, at);
    if (vtable < 0 || !inside(fb, (size_t)vtable, 4, "a table's layout is outside")) {
        note(fb, at, "a table's layout is outside");
        return none;
    }
    nrw_fb_table t = {fb, at, (size_t)vtable, u16_at(fb, (size_t)vtable),
                      u16_at(fb, (size_t)vtable + 2)};
    if (t.vtable_size < 4) note(fb, t.vtable, "a table's layout ends early");
    if (t.vtable_size < 4 || !inside(fb, t.vtable, t.vtable_size, "a table's layout ends early") ||
        !inside(fb, at, t.size, "a table ends early"))
        return none;
    return t;
}

nrw_fb_table nrw_fb_open(nrw_fb *fb, const void *bytes, size_t size, const char *identifier) {
    *fb = (nrw_fb){.data = bytes, .size = size};
    if (__builtin_mul_overflow(size, (size_t)budget_per_byte, &fb->budget) ||
        __builtin_add_overflow(fb->budget, (size_t)budget_base, &fb->budget))
        fb->budget = SIZE_MAX;
    if (size < 8) {
        note(fb, size, "too short");
        return (nrw_fb_table){0};
    }
    if (identifier != NULL && memcmp(fb->data + 4, identifier, 4) != 0) {
        note(fb, 4, "the file identifier is another");
        return (nrw_fb_table){0};
    }
    return open_table(fb, follow(fb, 0));
}

/* Where the field in this slot lies; 0: it is absent. */
static size_t field(const nrw_fb_table *t, int slot, size_t size) {
    const size_t entry = 4 + 2 * (size_t)slot;
    if (t->fb == NULL || entry + 2 > t->vtable_size) return 0;
    const uint16_t offset = u16_at(t->fb, t->vtable + entry);
    if (offset == 0) return 0;
    if (offset + size > t->size) {
        note(t->fb, t->at, "a field lies outside its table");
        return 0;
    }
    return t->at + offset;
}

bool nrw_fb_has(const nrw_fb_table *t, int slot) {
    return field(t, slot, 1) != 0;
}

static int64_t load_int(const unsigned char *p, nrw_fb_kind k) {
    uint64_t bits = 0;
    const size_t size = nrw_fb_kind_size(k);
    memcpy(&bits, p, size);
    const bool is_signed = k == NRW_FB_I8 || k == NRW_FB_I16 || k == NRW_FB_I32;
    if (is_signed && bits >> (8 * size - 1)) bits |= UINT64_MAX << (8 * size);
    return k == NRW_FB_BOOL ? bits != 0 : (int64_t)bits;
}

int64_t nrw_fb_int(const nrw_fb_table *t, int slot, nrw_fb_kind k, int64_t absent) {
    const size_t at = field(t, slot, nrw_fb_kind_size(k));
    return at != 0 ? load_int(t->fb->data + at, k) : absent;
}

double nrw_fb_real(const nrw_fb_table *t, int slot, nrw_fb_kind k, double absent) {
    const size_t at = field(t, slot, nrw_fb_kind_size(k));
    if (at == 0) return absent;
    float f;
    double d;
    if (k == NRW_FB_F64) {
        memcpy(&d, t->fb->data + at, sizeof d);
        return d;
    }
    memcpy(&f, t->fb->data + at, sizeof f);
    return (double)f;
}

/* The vector at `at`, whose elements have this size. */
static nrw_fb_vector open_vector(nrw_fb *fb, size_t at, size_t element) {
    nrw_fb_vector v = {.fb = fb};
    size_t bytes;
    if (at == 0 || !inside(fb, at, 4, "a vector ends early")) return v;
    const size_t n = u32_at(fb, at);
    if (!nrw_mul_size(n, element, &bytes) || !inside(fb, at + 4, bytes, "a vector ends early"))
        return v;
    v.data = fb->data + at + 4;
    v.n = n;
    return v;
}

nrw_fb_vector nrw_fb_vec(const nrw_fb_table *t, int slot, size_t element) {
    const size_t at = field(t, slot, 4);
    nrw_fb_vector v = {.fb = t->fb};
    if (at == 0) return v;
    v = open_vector(t->fb, follow(t->fb, at), element);
    if (v.n * element > t->fb->budget) {
        note(t->fb, at, "vectors are referred to too often");
        return (nrw_fb_vector){.fb = t->fb};
    }
    t->fb->budget -= v.n * element;
    return v;
}

nrw_string nrw_fb_bytes(const nrw_fb_table *t, int slot) {
    const size_t at = field(t, slot, 4);
    if (at == 0) return (nrw_string){"", 0};
    const nrw_fb_vector v = open_vector(t->fb, follow(t->fb, at), 1);
    return v.data != NULL ? (nrw_string){(const char *)v.data, v.n} : (nrw_string){"", 0};
}

nrw_string nrw_fb_text(const nrw_fb_table *t, int slot) {
    return nrw_fb_bytes(t, slot);
}

nrw_fb_table nrw_fb_child(const nrw_fb_table *t, int slot) {
    const size_t at = field(t, slot, 4);
    return at != 0 ? open_table(t->fb, follow(t->fb, at)) : (nrw_fb_table){0};
}

int64_t nrw_fb_int_at(const nrw_fb_vector *v, nrw_fb_kind k, size_t i) {
    return load_int(v->data + i * nrw_fb_kind_size(k), k);
}

float nrw_fb_f32_at(const nrw_fb_vector *v, size_t i) {
    float f;
    memcpy(&f, v->data + i * sizeof f, sizeof f);
    return f;
}

nrw_fb_table nrw_fb_table_at(const nrw_fb_vector *v, size_t i) {
    return open_table(v->fb, follow(v->fb, (size_t)(v->data - v->fb->data) + 4 * i));
}

nrw_string nrw_fb_text_at(const nrw_fb_vector *v, size_t i) {
    const size_t at = follow(v->fb, (size_t)(v->data - v->fb->data) + 4 * i);
    const nrw_fb_vector s = open_vector(v->fb, at, 1);
    return s.data != NULL ? (nrw_string){(const char *)s.data, s.n} : (nrw_string){"", 0};
}
