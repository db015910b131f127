/* Building FlatBuffers from the back to the front. */
#include <string.h>

#include "wire/flatbuffer.h"

enum { blob_align = 16, first_cap = 1 << 16 };

void nrw_fb_builder_init(nrw_fb_builder *b, const nrw_allocator *a) {
    *b = (nrw_fb_builder){.allocator = a};
}

void nrw_fb_builder_free(nrw_fb_builder *b) {
    nrw_mem_free(b->allocator, b->bytes, b->cap);
    nrw_mem_free(b->allocator, b->blobs, b->cap_blobs * sizeof *b->blobs);
    nrw_mem_free(b->allocator, b->vtables, b->cap_vtables * sizeof *b->vtables);
    *b = (nrw_fb_builder){.allocator = b->allocator};
}

uint64_t nrw_fb_size(const nrw_fb_builder *b) {
    return b->used + b->behind;
}

static bool fail(nrw_fb_builder *b, const char *why) {
    if (!b->failed) b->why = why;
    b->failed = true;
    return false;
}

/* Room for n more bytes in front of what there is. */
static bool reserve(nrw_fb_builder *b, size_t n) {
    if (b->failed) return false;
    if (nrw_fb_size(b) + n > INT32_MAX) return fail(b, "more than 2 GiB in one flatbuffer");
    if (n <= b->cap - b->used) return true;
    size_t cap = b->cap == 0 ? first_cap : 2 * b->cap;
    while (cap - b->used < n) cap *= 2;
    unsigned char *more = nrw_mem_alloc(b->allocator, cap);
    if (more == NULL) return fail(b, NULL);
    if (b->used > 0) memcpy(more + cap - b->used, b->bytes + b->cap - b->used, b->used);
    nrw_mem_free(b->allocator, b->bytes, b->cap);
    b->bytes = more;
    b->cap = cap;
    return true;
}

static bool grow_list(nrw_fb_builder *b, void **list, size_t *cap, size_t n, size_t size) {
    if (n < *cap) return true;
    const size_t more_cap = *cap == 0 ? 64 : 2 * *cap;
    void *more = nrw_mem_alloc(b->allocator, more_cap * size);
    if (more == NULL) return fail(b, NULL);
    if (n > 0) memcpy(more, *list, n * size);
    nrw_mem_free(b->allocator, *list, *cap * size);
    *list = more;
    *cap = more_cap;
    return true;
}

static unsigned char *front(nrw_fb_builder *b) {
    return b->bytes + b->cap - b->used;
}

static nrw_fb_ref here(const nrw_fb_builder *b) {
    return b->failed ? 0 : (nrw_fb_ref)nrw_fb_size(b);
}

/* Zero bytes, so that what comes next, of n bytes, begins at a multiple of `align` from the end. */
static bool pad(nrw_fb_builder *b, size_t n, size_t align) {
    const size_t zeros = (size_t)(-(nrw_fb_size(b) + n)) & (align - 1);
    if (!reserve(b, zeros + n)) return false;
    b->used += zeros;
    if (zeros > 0) memset(front(b), 0, zeros);
    return true;
}

static void push(nrw_fb_builder *b, const void *p, size_t n) {
    if (!reserve(b, n)) return;
    b->used += n;
    if (n > 0) memcpy(front(b), p, n);
}

static void push_u32(nrw_fb_builder *b, uint32_t v) {
    push(b, &v, sizeof v);
}

nrw_fb_ref nrw_fb_put_blob(nrw_fb_builder *b, const void *data, uint64_t size) {
    if (b->failed || b->used > 0) return fail(b, "content comes first"), 0;
    if (size > INT32_MAX || b->behind + size > INT32_MAX - 64)
        return fail(b, "more than 2 GiB in one flatbuffer"), 0;
    if (!grow_list(b, (void **)&b->blobs, &b->cap_blobs, b->n_blobs, sizeof *b->blobs)) return 0;
    const uint32_t zeros = (uint32_t)(-(b->behind + size)) & (blob_align - 1);
    b->blobs[b->n_blobs++] = (nrw_fb_blob){data, size, zeros};
    b->behind += zeros + size + 4;
    return (nrw_fb_ref)b->behind;
}

nrw_fb_ref nrw_fb_put_text(nrw_fb_builder *b, const char *s, size_t n) {
    if (!pad(b, n + 1, 4)) return 0;
    push(b, "", 1);
    push(b, s, n);
    push_u32(b, (uint32_t)n);
    return here(b);
}

nrw_fb_ref nrw_fb_put_vec(nrw_fb_builder *b, const void *elements, size_t n, size_t element) {
    size_t bytes;
    if (!nrw_mul_size(n, element, &bytes) || n > INT32_MAX)
        return fail(b, "more than 2 GiB in one flatbuffer"), 0;
    if (!pad(b, bytes, element > 4 ? element : 4)) return 0;
    push(b, elements, bytes);
    push_u32(b, (uint32_t)n);
    return here(b);
}

/* The offset from where it will stand, 4 bytes further to the front, to what it refers to. */
static uint32_t offset_to(const nrw_fb_builder *b, nrw_fb_ref to) {
    return (uint32_t)(nrw_fb_size(b) + 4) - to;
}

nrw_fb_ref nrw_fb_put_refs(nrw_fb_builder *b, const nrw_fb_ref *refs, size_t n) {
    if (!pad(b, 4 * n, 4)) return 0;
    for (size_t i = n; i-- > 0;) push_u32(b, offset_to(b, refs[i]));
    push_u32(b, (uint32_t)n);
    return here(b);
}

/* Tables. */

void nrw_fb_begin(nrw_fb_builder *b) {
    memset(b->slots, 0, sizeof b->slots);
    b->n_slots = 0;
    b->table_end = here(b);
}

static nrw_fb_ref set(nrw_fb_builder *b, int slot, const void *p, size_t size) {
    if (slot >= NRW_FB_MAX_SLOTS) return fail(b, "too many fields in one table"), 0;
    if (!pad(b, size, size)) return 0;
    push(b, p, size);
    b->slots[slot].at = here(b);
    b->slots[slot].size = (uint8_t)size;
    if (slot >= b->n_slots) b->n_slots = slot + 1;
    return here(b);
}

void nrw_fb_set_int(nrw_fb_builder *b, int slot, nrw_fb_kind k, int64_t v, int64_t absent) {
    if (v != absent) set(b, slot, &v, nrw_fb_kind_size(k));
}

void nrw_fb_set_real(nrw_fb_builder *b, int slot, nrw_fb_kind k, double v, double absent) {
    const float f = (float)v;
    if (v == absent) return;
    set(b, slot, k == NRW_FB_F64 ? (const void *)&v : &f, nrw_fb_kind_size(k));
}

void nrw_fb_set_ref(nrw_fb_builder *b, int slot, nrw_fb_ref ref) {
    if (ref == 0 || !pad(b, 4, 4)) return;
    const uint32_t offset = offset_to(b, ref);
    set(b, slot, &offset, sizeof offset);
}

nrw_fb_ref nrw_fb_set_later(nrw_fb_builder *b, int slot) {
    const uint64_t nothing = 0;
    return set(b, slot, &nothing, sizeof nothing);
}

/* A vtable like this one, made before; 0: there is none. */
static nrw_fb_ref same_vtable(const nrw_fb_builder *b, const uint16_t *v, size_t bytes) {
    for (size_t i = b->n_vtables; i-- > 0;) {
        const unsigned char *p = b->bytes + b->cap - (b->vtables[i] - b->behind);
        if (memcmp(p, v, 2) == 0 && memcmp(p, v, bytes) == 0) return b->vtables[i];
    }
    return 0;
}

nrw_fb_ref nrw_fb_end(nrw_fb_builder *b) {
    uint16_t v[2 + NRW_FB_MAX_SLOTS];
    const size_t bytes = 4 + 2 * (size_t)b->n_slots;
    if (!pad(b, 4, 4)) return 0;
    push_u32(b, 0);
    const nrw_fb_ref table = here(b);
    v[0] = (uint16_t)bytes;
    v[1] = (uint16_t)(table - b->table_end);
    for (int i = 0; i < b->n_slots; i++) {
        v[2 + i] = (uint16_t)(b->slots[i].at != 0 ? table - b->slots[i].at : 0);
    }
    nrw_fb_ref vtable = b->failed ? 0 : same_vtable(b, v, bytes);
    if (vtable == 0) {
        push(b, v, bytes);
        vtable = here(b);
        if (!grow_list(b, (void **)&b->vtables, &b->cap_vtables, b->n_vtables, sizeof *b->vtables))
            return 0;
        b->vtables[b->n_vtables++] = vtable;
    }
    if (b->failed) return 0;
    const int32_t back = (int32_t)(vtable - table);
    memcpy(b->bytes + b->cap - (table - b->behind), &back, sizeof back);
    return table;
}

/* The whole. */

void nrw_fb_finish(nrw_fb_builder *b, nrw_fb_ref root, const char *identifier) {
    if (!pad(b, 8, blob_align)) return;
    push(b, identifier, 4);
    push_u32(b, offset_to(b, root));
}

void nrw_fb_patch(nrw_fb_builder *b, nrw_fb_ref at, uint64_t v) {
    if (!b->failed && at != 0) memcpy(b->bytes + b->cap - (at - b->behind), &v, sizeof v);
}

nrw_status nrw_fb_write(const nrw_fb_builder *b, nrw_output *o, nrw_error *err) {
    static const unsigned char zeros[blob_align] = {0};
    if (b->failed && b->why != NULL) NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "%s", b->why);
    if (b->failed) NRW_OOM(err);
    NRW_TRY(nrw_output_write(o, b->bytes + b->cap - b->used, b->used, err));
    for (size_t i = b->n_blobs; i-- > 0;) {
        const nrw_fb_blob *blob = &b->blobs[i];
        const uint32_t n = (uint32_t)blob->size;
        NRW_TRY(nrw_output_write(o, &n, sizeof n, err));
        if (n > 0) NRW_TRY(nrw_output_write(o, blob->data, n, err));
        if (blob->pad > 0) NRW_TRY(nrw_output_write(o, zeros, blob->pad, err));
    }
    return NRW_OK;
}
