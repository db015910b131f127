#include "report/outputs.h"

#define KEEP_BYTES ((size_t)64 << 20)

void nrw_outputs_init(nrw_outputs *o, const nrw_allocator *a, int64_t wanted) {
    *o = (nrw_outputs){.allocator = a, .wanted = wanted};
}

void nrw_outputs_free(nrw_outputs *o) {
    nrw_mem_free(o->allocator, o->values, o->bytes);
    *o = (nrw_outputs){0};
}

/* The first output says how much room all take. */
static nrw_status make_room(nrw_outputs *o, int64_t n, nrw_error *err) {
    size_t bytes;
    o->n = n;
    if (!nrw_mul_size((size_t)n, sizeof(float), &bytes) ||
        !nrw_mul_size(bytes, (size_t)o->wanted, &bytes) || bytes > KEEP_BYTES) {
        o->wanted = 0;
        return NRW_OK;
    }
    o->bytes = bytes + 1;
    o->values = nrw_mem_alloc(o->allocator, o->bytes);
    if (o->values == NULL) NRW_OOM(err);
    return NRW_OK;
}

nrw_status nrw_outputs_add(nrw_outputs *o, int64_t b, const nrw_tensor *t, nrw_error *err) {
    if (b != o->batches || b >= o->wanted || t->kind != NRW_TENSOR || t->dtype == NRW_STRING)
        return NRW_OK;
    const int64_t n = nrw_tensor_count(t);
    if (b == 0) NRW_TRY(make_room(o, n, err));
    if (o->wanted == 0 || n != o->n) return NRW_OK;
    NRW_TRY(nrw_to_f32(t->dtype, t->data, o->values + b * n, n, err));
    o->batches++;
    return NRW_OK;
}

bool nrw_outputs_complete(const nrw_outputs *o) {
    return o->wanted > 0 && o->batches == o->wanted;
}

const float *nrw_outputs_get(const nrw_outputs *o, int64_t b) {
    return o->values + b * o->n;
}
