#include "ops/order.h"

#include <string.h>

static uint64_t key_of_double(double d) {
    if (d != d) return UINT64_MAX;
    d += 0.0; /* -0 and 0 are one number */
    uint64_t bits, sign = (uint64_t)1 << 63;
    memcpy(&bits, &d, sizeof bits);
    return bits & sign ? ~bits : bits | sign;
}

nrw_status nrw_order_keys(const nrw_tensor *t, nrw_arena *scratch, uint64_t **keys,
                          nrw_error *err) {
    int64_t n = nrw_tensor_count(t);
    uint64_t *k = nrw_arena_alloc(scratch, (size_t)(n > 0 ? n : 1) * sizeof *k);
    if (k == NULL) NRW_OOM(err);
    *keys = k;
    if (t->dtype == NRW_U64) {
        memcpy(k, t->data, (size_t)n * sizeof *k);
    } else if (nrw_dtype_is_float(t->dtype)) {
        double *d = (double *)(void *)k;
        NRW_TRY(nrw_to_f64(t->dtype, t->data, d, n, err));
        for (int64_t i = 0; i < n; i++) {
            double v;
            memcpy(&v, &k[i], sizeof v);
            k[i] = key_of_double(v);
        }
    } else {
        NRW_TRY(nrw_to_i64(t->dtype, t->data, (int64_t *)k, n, err));
        for (int64_t i = 0; i < n; i++) k[i] ^= (uint64_t)1 << 63;
    }
    return NRW_OK;
}

/* Bottom-up merge sort. */
void nrw_sort_items(int64_t *items, int64_t *room, int64_t n, nrw_before_fn before,
                    const void *ctx) {
    int64_t *from = items, *to = room;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t lo = 0; lo < n; lo += 2 * width) {
            int64_t mid = lo + width < n ? lo + width : n;
            int64_t hi = lo + 2 * width < n ? lo + 2 * width : n;
            int64_t a = lo, b = mid;
            for (int64_t k = lo; k < hi; k++) {
                bool right = a == mid || (b < hi && before(ctx, from[b], from[a]));
                to[k] = right ? from[b++] : from[a++];
            }
        }
        int64_t *t = from;
        from = to;
        to = t;
    }
    if (from != items && n > 0) memcpy(items, from, (size_t)n * sizeof *items);
}
