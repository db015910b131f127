/* Views of FlatBuffers must take any bytes: all that they lead to lies inside, and what is wrong is
 * said in the end. No schema is needed: every slot is read as all that it could be. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "wire/flatbuffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { max_depth = 4, max_slots = 8, max_elements = 8, max_tables = 2000 };

typedef struct walk {
    const uint8_t *data;
    size_t size, tables;
    uint64_t sum; /* of all that was seen, so that it is loaded */
} walk;

/* n bytes at p are those of the file. */
static void see(walk *w, const void *p, size_t n) {
    const uint8_t *at = p;
    if (n == 0) return;
    if (at < w->data || n > w->size || (size_t)(at - w->data) > w->size - n) abort();
    w->sum += at[0] + at[n - 1];
}

static void see_table(walk *w, const nrw_fb_table *t, int depth) {
    if (!nrw_fb_exists(t) || depth == max_depth || w->tables++ > max_tables) return;
    see(w, w->data + t->at, t->size);
    see(w, w->data + t->vtable, t->vtable_size);
    for (int slot = 0; slot < max_slots; slot++) {
        for (int k = NRW_FB_BOOL; k <= NRW_FB_U64; k++) {
            w->sum += (uint64_t)nrw_fb_int(t, slot, (nrw_fb_kind)k, 1);
        }
        w->sum += nrw_fb_real(t, slot, NRW_FB_F32, 0) > 0;
        w->sum += nrw_fb_real(t, slot, NRW_FB_F64, 0) > 0;
        const nrw_string s = nrw_fb_text(t, slot), b = nrw_fb_bytes(t, slot);
        if (s.size > 0) see(w, s.data, s.size);
        if (b.size > 0) see(w, b.data, b.size);
        const nrw_fb_vector wide = nrw_fb_vec(t, slot, 8), v = nrw_fb_vec(t, slot, 4);
        see(w, wide.data, 8 * wide.n);
        see(w, v.data, 4 * v.n);
        if (wide.n > 0) w->sum += (uint64_t)nrw_fb_int_at(&wide, NRW_FB_I64, wide.n - 1);
        if (v.n > 0) w->sum += nrw_fb_f32_at(&v, v.n - 1) > 0;
        const nrw_fb_table child = nrw_fb_child(t, slot);
        see_table(w, &child, depth + 1);
        for (size_t i = 0; i < v.n && i < max_elements; i++) {
            const nrw_string text = nrw_fb_text_at(&v, i);
            if (text.size > 0) see(w, text.data, text.size);
            const nrw_fb_table item = nrw_fb_table_at(&v, i);
            see_table(w, &item, depth + 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nrw_fb fb;
    nrw_error err = {0};
    walk w = {data, size, 0, 0};
    const nrw_fb_table root = nrw_fb_open(&fb, data, size, NULL);
    see_table(&w, &root, 0);
    const nrw_status s = nrw_fb_check(&fb, &err);
    if (s != NRW_OK && (s != NRW_ERR_FORMAT || err.message[0] == 0)) abort();
    if (s == NRW_OK && !nrw_fb_exists(&root)) abort();
    volatile uint64_t sum = w.sum;
    (void)sum;
    return 0;
}
