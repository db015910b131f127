/* The broadcasting odometer. Axes along which all operands move alike are merged first, so that the
 * common cases (equal shapes, a scalar, a bias along the last axis or per channel) become one or
 * two long loops. */
#include <string.h>

#include "ops/broadcast.h"

/* Elements per task: small enough to share the work of a layer, large enough to hide the call. */
#define PIECE 8192

typedef struct odometer {
    nrw_row_fn fn;
    const void *arg;
    char *out;
    size_t out_size;
    int n_in;
    const char *in[NRW_ROW_INPUTS];
    size_t in_size[NRW_ROW_INPUTS];
    int rank;
    int64_t count;
    int64_t dims[NRW_MAX_RANK];
    int64_t stride[NRW_ROW_INPUTS][NRW_MAX_RANK]; /* elements; 0 along broadcast axes */
} odometer;

typedef struct ranges {
    nrw_range_fn fn;
    void *arg;
    int64_t n, grain;
} ranges;

static void run_range(void *arg, int64_t i, int worker) {
    const ranges *r = arg;
    int64_t begin = i * r->grain;
    int64_t end = r->n - begin < r->grain ? r->n : begin + r->grain;
    r->fn(r->arg, begin, end);
}

void nrw_each_range(nrw_pool *pool, int64_t n, int64_t grain, nrw_range_fn fn, void *arg) {
    ranges r = {fn, arg, n, grain};
    if (n > 0) nrw_pool_run(pool, (n - 1) / grain + 1, run_range, &r);
}

static nrw_status set_strides(odometer *o, const nrw_tensor *out, int n_in,
                              const nrw_tensor *const *in, nrw_error *err) {
    for (int k = 0; k < n_in; k++) {
        int shift = out->rank - in[k]->rank;
        if (shift < 0)
            NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: rank %d does not broadcast to rank %d", k,
                     (int)in[k]->rank, (int)out->rank);
        int64_t stride[NRW_MAX_RANK];
        nrw_strides(in[k]->rank, in[k]->dims, stride);
        for (int d = 0; d < out->rank; d++) {
            int64_t dim = d < shift ? 1 : in[k]->dims[d - shift];
            if (dim != 1 && dim != out->dims[d])
                NRW_FAIL(err, NRW_ERR_SHAPE,
                         "input %d: axis of length %lld does not broadcast to %lld", k,
                         (long long)dim, (long long)out->dims[d]);
            o->stride[k][d] = dim == 1 ? 0 : stride[d - shift];
        }
    }
    return NRW_OK;
}

/* Drops axes of length 1 and joins an axis to the one before it where every input allows. */
static void merge_axes(odometer *o, int rank, const int64_t *dims) {
    int64_t merged[NRW_MAX_RANK];
    int n = 0;
    for (int d = 0; d < rank; d++) {
        if (dims[d] == 1) continue;
        bool join = n > 0;
        for (int k = 0; k < o->n_in && join; k++) {
            join = o->stride[k][n - 1] == o->stride[k][d] * dims[d];
        }
        if (join) n--;
        merged[n] = join ? merged[n] * dims[d] : dims[d];
        for (int k = 0; k < o->n_in; k++) o->stride[k][n] = o->stride[k][d];
        n++;
    }
    if (n == 0) { /* one element */
        merged[n++] = 1;
        for (int k = 0; k < o->n_in; k++) o->stride[k][0] = 0;
    }
    o->rank = n;
    memcpy(o->dims, merged, sizeof(int64_t) * (size_t)n);
}

static void run_piece(void *arg, int64_t begin, int64_t end) {
    const odometer *o = arg;
    int last = o->rank - 1;
    int64_t index[NRW_MAX_RANK], offset[NRW_ROW_INPUTS] = {0}, step[NRW_ROW_INPUTS];
    int64_t rest = begin;
    for (int d = last; d >= 0; d--) {
        index[d] = rest % o->dims[d];
        rest /= o->dims[d];
        for (int k = 0; k < o->n_in; k++) offset[k] += index[d] * o->stride[k][d];
    }
    for (int k = 0; k < o->n_in; k++) step[k] = o->stride[k][last];
    while (begin < end) {
        int64_t n = o->dims[last] - index[last];
        if (n > end - begin) n = end - begin;
        const void *in[NRW_ROW_INPUTS];
        for (int k = 0; k < o->n_in; k++) in[k] = o->in[k] + (size_t)offset[k] * o->in_size[k];
        o->fn(o->arg, o->out + (size_t)begin * o->out_size, in, step, n);
        begin += n;
        index[last] += n;
        for (int k = 0; k < o->n_in; k++) offset[k] += n * o->stride[k][last];
        for (int d = last; d > 0 && index[d] == o->dims[d]; d--) {
            for (int k = 0; k < o->n_in; k++)
                offset[k] += o->stride[k][d - 1] - o->dims[d] * o->stride[k][d];
            index[d] = 0;
            index[d - 1]++;
        }
    }
}

nrw_status nrw_each_row(nrw_eval *e, const nrw_tensor *out, int n_in, const nrw_tensor *const *in,
                        nrw_row_fn fn, const void *arg) {
    odometer o = {.fn = fn, .arg = arg, .out = out->data, .n_in = n_in};
    o.out_size = (size_t)nrw_dtype_size(out->dtype);
    o.count = nrw_tensor_count(out);
    for (int k = 0; k < n_in; k++) {
        o.in[k] = in[k]->data;
        o.in_size[k] = (size_t)nrw_dtype_size(in[k]->dtype);
    }
    NRW_TRY(set_strides(&o, out, n_in, in, e->err));
    if (o.count == 0) return NRW_OK;
    merge_axes(&o, out->rank, out->dims);
    nrw_each_range(e->pool, o.count, PIECE, run_piece, &o);
    return NRW_OK;
}

/* Narrow floats: rows of at most WIDEN elements go through float buffers. */
#define WIDEN 256

typedef struct widen {
    nrw_row_fn fn;
    const void *arg;
    int n_in;
    nrw_dtype out, in[NRW_ROW_INPUTS]; /* NRW_NONE: passed as it is */
    size_t out_size, in_size[NRW_ROW_INPUTS];
} widen;

static bool narrow_float(nrw_dtype t) {
    return nrw_dtype_is_float(t) && t != NRW_F32 && t != NRW_F64;
}

static void widen_row(const void *arg, void *out, const void *const *in, const int64_t *step,
                      int64_t n) {
    const widen *w = arg;
    float wide_out[WIDEN], wide_in[NRW_ROW_INPUTS][WIDEN];
    for (int64_t i = 0; i < n; i += WIDEN) {
        int64_t m = n - i < WIDEN ? n - i : WIDEN;
        const void *p[NRW_ROW_INPUTS];
        for (int k = 0; k < w->n_in; k++) {
            p[k] = (const char *)in[k] + (size_t)(i * step[k]) * w->in_size[k];
            if (w->in[k] == NRW_NONE) continue;
            if (nrw_to_f32(w->in[k], p[k], wide_in[k], step[k] != 0 ? m : 1, NULL) != NRW_OK)
                return;
            p[k] = wide_in[k];
        }
        char *y = (char *)out + (size_t)i * w->out_size;
        w->fn(w->arg, w->out == NRW_NONE ? (void *)y : wide_out, p, step, m);
        if (w->out != NRW_NONE && nrw_from_f32(w->out, wide_out, y, m, NULL) != NRW_OK) return;
    }
}

nrw_status nrw_each_element(nrw_eval *e, const nrw_tensor *out, int n_in,
                            const nrw_tensor *const *in, nrw_dtype dtype, const nrw_rows *rows,
                            const void *arg) {
    for (int k = 0; k < n_in; k++) {
        if (in[k]->dtype != dtype)
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "its inputs must be of one type; got %s and %s",
                     nrw_dtype_name(dtype), nrw_dtype_name(in[k]->dtype));
    }
    if (rows->by[dtype] != NULL) return nrw_each_row(e, out, n_in, in, rows->by[dtype], arg);
    if (!narrow_float(dtype) || rows->by[NRW_F32] == NULL)
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "%s does not take %s", e->node->type,
                 nrw_dtype_name(dtype));
    widen w = {.fn = rows->by[NRW_F32], .arg = arg, .n_in = n_in};
    w.out = narrow_float(out->dtype) ? out->dtype : NRW_NONE;
    w.out_size = (size_t)nrw_dtype_size(out->dtype);
    for (int k = 0; k < n_in; k++) {
        w.in[k] = narrow_float(in[k]->dtype) ? in[k]->dtype : NRW_NONE;
        w.in_size[k] = (size_t)nrw_dtype_size(in[k]->dtype);
    }
    return nrw_each_row(e, out, n_in, in, widen_row, &w);
}
