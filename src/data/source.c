#include "data/source.h"

#include "base/rng.h"

void *nrw_buffer_need(nrw_buffer *b, size_t n) {
    if (n <= b->cap && b->data) return b->data;
    nrw_buffer_free(b);
    size_t cap = n ? n : 1;
    b->data = nrw_mem_alloc(b->allocator, cap);
    b->cap = b->data ? cap : 0;
    return b->data;
}

void nrw_buffer_free(nrw_buffer *b) {
    nrw_mem_free(b->allocator, b->data, b->cap);
    b->data = NULL;
    b->cap = 0;
}

void nrw_source_close(nrw_source *s) {
    if (!s) return;
    s->close(s);
    nrw_buffer_free(&s->buffer);
}

/* Random samples ---------------------------------------------------------------------------- */

typedef struct random_source {
    nrw_source base;
    uint64_t seed;
} random_source;

/* Of no meaning, only of a shape: timing needs no more. */
enum { ASSUMED_DIM = 64 };

/* Floats are normal; bytes cover their range; other whole numbers are 0 or 1, which is in range for
 * masks and indices alike. */
static nrw_status read_random(nrw_source *base, int64_t i, nrw_tensor *out, nrw_error *err) {
    random_source *s = (random_source *)base;
    const nrw_type *t = &base->type;
    size_t bytes;
    NRW_TRY(nrw_checked_bytes(t->dtype, t->rank, t->dims, &bytes, err));
    *out = nrw_tensor_make(t->dtype, t->rank, t->dims, nrw_buffer_need(&base->buffer, bytes));
    if (!out->data) NRW_OOM(err);
    nrw_rng r;
    nrw_rng_seed(&r, s->seed + (uint64_t)i * 0x9e3779b97f4a7c15u);
    bool is_float = t->dtype == NRW_F32, is_byte = t->dtype == NRW_U8;
    float *floats = out->data;
    unsigned char *byte = out->data;
    int64_t *whole = out->data;
    for (int64_t k = 0, n = nrw_tensor_count(out); k < n; k++) {
        if (is_float) {
            floats[k] = (float)nrw_rng_normal(&r);
        } else if (is_byte) {
            byte[k] = (unsigned char)nrw_rng_below(&r, 256);
        } else {
            whole[k] = (int64_t)nrw_rng_below(&r, 2);
        }
    }
    return NRW_OK;
}

static void close_nothing(nrw_source *s) {}

nrw_status nrw_source_random(nrw_arena *a, int64_t n, uint64_t seed, const nrw_type *in,
                             nrw_source **out, nrw_error *err) {
    if (in->rank == NRW_RANK_UNKNOWN) {
        NRW_FAIL(err, NRW_ERR_DATA, "random data need an input of known rank");
    }
    random_source *s = nrw_arena_calloc(a, 1, sizeof *s);
    if (!s) NRW_OOM(err);
    s->seed = seed;
    s->base = (nrw_source){.allocator = a->allocator,
                           .name = "random",
                           .count = n,
                           .buffer = {.allocator = a->allocator},
                           .read = read_random,
                           .close = close_nothing};
    int batch = in->rank > 0;
    nrw_type *t = &s->base.type;
    *t = nrw_type_make(NRW_I64, in->rank - batch, in->dims + batch);
    if (nrw_dtype_is_float(in->dtype)) t->dtype = NRW_F32;
    if (in->dtype == NRW_U8) t->dtype = NRW_U8;
    for (int k = 0; k < t->rank; k++) {
        if (t->dims[k] < 0) t->dims[k] = ASSUMED_DIM;
    }
    *out = &s->base;
    return NRW_OK;
}
