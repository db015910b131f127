#include "ops/move.h"

#include <string.h>

#include "base/wide.h"

/* Elements that one task moves, about. */
#define TASK_ELEMENTS ((int64_t)1 << 15)

typedef struct wide {
    uint64_t low, high;
} wide;

/* A copy after axes of length 1 are gone and neighbours that run on are joined. */
typedef struct view {
    int rank;
    int element;
    int64_t dims[NRW_MOVE_RANK], dst[NRW_MOVE_RANK], src[NRW_MOVE_RANK];
} view;

#define T      uint8_t
#define SUFFIX 1
#include "ops/move_tmpl.h"
#define T      uint16_t
#define SUFFIX 2
#include "ops/move_tmpl.h"
#define T      uint32_t
#define SUFFIX 4
#include "ops/move_tmpl.h"
#define T      uint64_t
#define SUFFIX 8
#include "ops/move_tmpl.h"
#define T      wide
#define SUFFIX 16
#include "ops/move_tmpl.h"

/* False when there is nothing to copy. */
static bool simplify(view *v, int element, int rank, const int64_t *dims, const int64_t *dst,
                     const int64_t *src) {
    v->rank = 0;
    v->element = element;
    for (int i = 0; i < rank; i++) {
        if (dims[i] == 0) return false;
        if (dims[i] == 1) continue;
        int k = v->rank - 1;
        if (k >= 0 && v->dst[k] == dst[i] * dims[i] && v->src[k] == src[i] * dims[i]) {
            v->dims[k] *= dims[i];
            v->dst[k] = dst[i];
            v->src[k] = src[i];
            continue;
        }
        v->dims[v->rank] = dims[i];
        v->dst[v->rank] = dst[i];
        v->src[v->rank] = src[i];
        v->rank++;
    }
    if (v->rank == 0) {
        v->dims[0] = v->dst[0] = v->src[0] = 1;
        v->rank = 1;
    }
    return true;
}

/* Axes may be walked in any order. When src does not run along the last axis, the axis along which
 * it does run is brought next to it, which makes a plane to transpose. */
static void bring_source_axis(view *v) {
    int last = v->rank - 1;
    if (v->src[last] == 1) return;
    for (int k = 0; k < last - 1; k++) {
        if (v->src[k] != 1) continue;
        int64_t n = v->dims[k], d = v->dst[k];
        for (int i = k; i < last - 1; i++) {
            v->dims[i] = v->dims[i + 1];
            v->dst[i] = v->dst[i + 1];
            v->src[i] = v->src[i + 1];
        }
        v->dims[last - 1] = n;
        v->dst[last - 1] = d;
        v->src[last - 1] = 1;
        return;
    }
}

static void plane(const view *v, char *dst, const char *src, int64_t n1) {
    int last = v->rank - 1;
    if (v->dst[last] == 1 && v->src[last] == 1) {
        size_t run = (size_t)v->dims[last] * (size_t)v->element;
        int64_t d = last > 0 ? v->dst[last - 1] * v->element : 0;
        int64_t s = last > 0 ? v->src[last - 1] * v->element : 0;
        for (int64_t i = 0; i < n1; i++) memcpy(dst + i * d, src + i * s, run);
        return;
    }
    switch (v->element) {
    case 1:
        plane_1(v, (uint8_t *)dst, (const uint8_t *)src, n1);
        break;
    case 2:
        plane_2(v, (uint16_t *)dst, (const uint16_t *)src, n1);
        break;
    case 4:
        plane_4(v, (uint32_t *)dst, (const uint32_t *)src, n1);
        break;
    case 8:
        plane_8(v, (uint64_t *)dst, (const uint64_t *)src, n1);
        break;
    default:
        plane_16(v, (wide *)dst, (const wide *)src, n1);
        break;
    }
}

/* The planes of a view, each cut into chunks of its first axis, dealt out in tasks. */
typedef struct move_work {
    view v;
    char *dst;
    const char *src;
    int64_t rows, chunk, chunks; /* rows of a plane; rows of a chunk; chunks of a plane */
    int64_t pieces, per_task;
} move_work;

static void move_task(void *arg, int64_t task, int worker) {
    const move_work *w = arg;
    const view *v = &w->v;
    int64_t end = (task + 1) * w->per_task < w->pieces ? (task + 1) * w->per_task : w->pieces;
    for (int64_t piece = task * w->per_task; piece < end; piece++) {
        int64_t outer = piece / w->chunks, row = piece % w->chunks * w->chunk;
        int64_t d = 0, s = 0;
        for (int k = v->rank - 3; k >= 0; k--) {
            int64_t i = outer % v->dims[k];
            outer /= v->dims[k];
            d += i * v->dst[k];
            s += i * v->src[k];
        }
        if (v->rank > 1) {
            d += row * v->dst[v->rank - 2];
            s += row * v->src[v->rank - 2];
        }
        int64_t n = w->rows - row < w->chunk ? w->rows - row : w->chunk;
        plane(v, w->dst + d * v->element, w->src + s * v->element, n);
    }
}

/* One long run is cut so that several threads may copy it. */
static void split_run(view *v) {
    int64_t n = v->dims[0];
    if (v->rank != 1 || n < 4 * TASK_ELEMENTS || n % TASK_ELEMENTS != 0) return;
    v->rank = 2;
    v->dims[0] = n / TASK_ELEMENTS;
    v->dims[1] = TASK_ELEMENTS;
    v->dst[1] = v->dst[0];
    v->src[1] = v->src[0];
    v->dst[0] *= TASK_ELEMENTS;
    v->src[0] *= TASK_ELEMENTS;
}

void nrw_move(nrw_pool *pool, int element, int rank, const int64_t *dims, void *dst,
              const int64_t *dst_strides, const void *src, const int64_t *src_strides) {
    move_work w = {.dst = dst, .src = src};
    if (!simplify(&w.v, element, rank, dims, dst_strides, src_strides)) return;
    int64_t tail = w.v.rank == 1 ? w.v.dims[0] % TASK_ELEMENTS : 0;
    if (tail > 0 && w.v.dims[0] > 4 * TASK_ELEMENTS) {
        int64_t head = w.v.dims[0] - tail;
        int64_t d = head * w.v.dst[0] * element, s = head * w.v.src[0] * element;
        view rest = w.v;
        rest.dims[0] = tail;
        plane(&rest, w.dst + d, w.src + s, 1);
        w.v.dims[0] = head;
    }
    split_run(&w.v);
    bring_source_axis(&w.v);
    int64_t n2 = w.v.dims[w.v.rank - 1];
    w.rows = w.v.rank > 1 ? w.v.dims[w.v.rank - 2] : 1;
    w.chunk = TASK_ELEMENTS / n2 > 16 ? TASK_ELEMENTS / n2 : 16;
    if (w.chunk > w.rows) w.chunk = w.rows;
    w.chunks = (w.rows + w.chunk - 1) / w.chunk;
    w.pieces = w.chunks * nrw_span(w.v.dims, 0, w.v.rank - 2);
    w.per_task = TASK_ELEMENTS / (w.chunk * n2);
    if (w.per_task < 1) w.per_task = 1;
    nrw_pool_run(pool, (w.pieces + w.per_task - 1) / w.per_task, move_task, &w);
}

void nrw_move_dense(nrw_pool *pool, int element, int rank, const int64_t *dims, void *dst,
                    const void *src, const int64_t *src_strides) {
    int64_t strides[NRW_MOVE_RANK];
    nrw_strides(rank, dims, strides);
    nrw_move(pool, element, rank, dims, dst, strides, src, src_strides);
}

void nrw_move_part(nrw_pool *pool, const nrw_tensor *whole, const nrw_tensor *part, int axis,
                   int64_t at, bool into_whole) {
    int element = nrw_dtype_size(whole->dtype);
    int64_t inner = nrw_span(whole->dims, axis + 1, whole->rank);
    int64_t dims[2] = {nrw_span(whole->dims, 0, axis), part->dims[axis] * inner};
    int64_t whole_strides[2] = {whole->dims[axis] * inner, 1}, part_strides[2] = {dims[1], 1};
    char *w = (char *)whole->data + at * inner * element;
    if (into_whole)
        nrw_move(pool, element, 2, dims, w, whole_strides, part->data, part_strides);
    else
        nrw_move(pool, element, 2, dims, part->data, part_strides, w, whole_strides);
}

typedef struct map_work {
    int element, rank;
    const int64_t *dims;
    char *dst;
    const char *src;
    const int64_t *const *maps;
    const void *value;
    int64_t rows, per_task;
} map_work;

static void map_task(void *arg, int64_t task, int worker) {
    const map_work *w = arg;
    int64_t n = w->rank > 0 ? w->dims[w->rank - 1] : 1, zero = 0;
    const int64_t *map = w->rank > 0 ? w->maps[w->rank - 1] : &zero;
    int64_t end = (task + 1) * w->per_task < w->rows ? (task + 1) * w->per_task : w->rows;
    for (int64_t row = task * w->per_task; row < end; row++) {
        int64_t base = 0, rest = row;
        for (int k = w->rank - 2; k >= 0; k--) {
            int64_t from = w->maps[k][rest % w->dims[k]];
            rest /= w->dims[k];
            base = from < 0 || base < 0 ? -1 : base + from;
        }
        void *dst = w->dst + row * n * w->element;
        switch (w->element) {
        case 1:
            mapped_1(dst, (const void *)w->src, base, n, map, w->value);
            break;
        case 2:
            mapped_2(dst, (const void *)w->src, base, n, map, w->value);
            break;
        case 4:
            mapped_4(dst, (const void *)w->src, base, n, map, w->value);
            break;
        case 8:
            mapped_8(dst, (const void *)w->src, base, n, map, w->value);
            break;
        default:
            mapped_16(dst, (const void *)w->src, base, n, map, w->value);
            break;
        }
    }
}

void nrw_move_mapped(nrw_pool *pool, int element, int rank, const int64_t *dims, void *dst,
                     const void *src, const int64_t *const *maps, const void *value) {
    int64_t n = rank > 0 ? dims[rank - 1] : 1;
    map_work w = {.element = element,
                  .rank = rank,
                  .dims = dims,
                  .dst = dst,
                  .src = src,
                  .maps = maps,
                  .value = value,
                  .rows = nrw_span(dims, 0, rank - 1)};
    if (n == 0 || w.rows == 0) return;
    w.per_task = TASK_ELEMENTS / n > 1 ? TASK_ELEMENTS / n : 1;
    nrw_pool_run(pool, (w.rows + w.per_task - 1) / w.per_task, map_task, &w);
}

void nrw_move_fill(int element, void *dst, int64_t n, const void *value) {
    switch (element) {
    case 1:
        fill_1(dst, n, value);
        break;
    case 2:
        fill_2(dst, n, value);
        break;
    case 4:
        fill_4(dst, n, value);
        break;
    case 8:
        fill_8(dst, n, value);
        break;
    default:
        fill_16(dst, n, value);
        break;
    }
}

/* Small parameters. */

nrw_status nrw_read_indices(nrw_eval *e, int i, const int64_t **out) {
    const nrw_tensor *t = e->in[i];
    if (t->dtype == NRW_I64) {
        *out = t->data;
        return NRW_OK;
    }
    int64_t n = nrw_tensor_count(t);
    int64_t *copy = nrw_arena_alloc(e->scratch, (size_t)(n > 0 ? n : 1) * sizeof *copy);
    if (copy == NULL) NRW_OOM(e->err);
    *out = copy;
    return nrw_to_i64(t->dtype, t->data, copy, n, e->err);
}

nrw_status nrw_read_indices_in(nrw_eval *e, int i, int64_t length, int64_t **out) {
    const int64_t *from;
    NRW_TRY(nrw_read_indices(e, i, &from));
    int64_t n = nrw_tensor_count(e->in[i]);
    int64_t *to = nrw_arena_alloc(e->scratch, (size_t)(n > 0 ? n : 1) * sizeof *to);
    if (to == NULL) NRW_OOM(e->err);
    for (int64_t k = 0; k < n; k++) {
        if (from[k] < -length || from[k] >= length)
            NRW_FAIL(e->err, NRW_ERR_DATA, "input %d (indices): %lld is outside of [%lld, %lld)", i,
                     (long long)from[k], (long long)-length, (long long)length);
        to[k] = from[k] < 0 ? from[k] + length : from[k];
    }
    *out = to;
    return NRW_OK;
}

nrw_status nrw_infer_ints(nrw_infer *c, int i, const char *what, int64_t *out, int max, int *n,
                          bool *known) {
    const nrw_type *t = c->in[i];
    *known = false;
    *n = -1;
    if (t->rank > 1)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d (%s): expected one axis, got %d", i, what,
                 t->rank);
    if (t->rank == 0) *n = 1;
    if (t->rank == 1 && t->dims[0] >= 0) *n = t->dims[0] <= INT32_MAX ? (int)t->dims[0] : INT32_MAX;
    if (*n > max)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d (%s): %d values; at most %d are possible", i,
                 what, *n, max);
    if (c->data[i] == NULL) return NRW_OK;
    NRW_TRY_CTX(c->err, nrw_tensor_ints(c->data[i], out, max, n, c->err), "input %d (%s)", i, what);
    *known = true;
    return NRW_OK;
}

nrw_status nrw_infer_int(nrw_infer *c, int i, const char *what, int64_t *out, bool *known) {
    *known = false;
    if (c->data[i] == NULL) return NRW_OK;
    int n;
    NRW_TRY_CTX(c->err, nrw_tensor_ints(c->data[i], out, 1, &n, c->err), "input %d (%s)", i, what);
    if (n != 1) NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d (%s): expected one value", i, what);
    *known = true;
    return NRW_OK;
}

nrw_status nrw_normalize_axes(int64_t *axes, int n, int rank, const char *what, nrw_error *err) {
    bool seen[NRW_MOVE_RANK] = {false};
    for (int i = 0; i < n; i++) {
        int64_t given = axes[i];
        if (!nrw_normalize_axis(&axes[i], rank))
            NRW_FAIL(err, NRW_ERR_SHAPE, "%s: %lld is outside of [%d, %d)", what, (long long)given,
                     -rank, rank);
        if (seen[axes[i]])
            NRW_FAIL(err, NRW_ERR_SHAPE, "%s: axis %lld is named twice", what, (long long)axes[i]);
        seen[axes[i]] = true;
    }
    return NRW_OK;
}

nrw_status nrw_axis_attr(const nrw_node *node, const char *name, int64_t absent, int rank,
                         int *axis, nrw_error *err) {
    int64_t a = nrw_attr_int(node, name, absent);
    NRW_TRY(nrw_normalize_axes(&a, 1, rank, name, err));
    *axis = (int)a;
    return NRW_OK;
}

nrw_status nrw_read_scalar(nrw_eval *e, int i, double *out) {
    const nrw_tensor *t = e->in[i];
    if (nrw_tensor_count(t) != 1)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "input %d: expected one value, got %lld", i,
                 (long long)nrw_tensor_count(t));
    return nrw_to_f64(t->dtype, t->data, out, 1, e->err);
}

nrw_status nrw_read_int(nrw_eval *e, int i, const char *what, int64_t *out) {
    const nrw_tensor *t = e->in[i];
    if (nrw_tensor_count(t) != 1)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "input %d (%s): expected one value, got %lld", i, what,
                 (long long)nrw_tensor_count(t));
    return nrw_to_i64(t->dtype, t->data, out, 1, e->err);
}

nrw_status nrw_run_copy(nrw_eval *e) {
    const nrw_tensor *t = e->in[0];
    int64_t n = nrw_tensor_count(t), one = 1;
    nrw_move(e->pool, nrw_dtype_size(t->dtype), 1, &n, e->out[0].data, &one, t->data, &one);
    return NRW_OK;
}

nrw_status nrw_eval_room(nrw_eval *e, int i, nrw_dtype dtype, int rank, const int64_t *dims) {
    const nrw_tensor *out = &e->out[i];
    if (out->data != NULL && out->kind == NRW_TENSOR && out->dtype == dtype &&
        nrw_dims_equal(out->rank, out->dims, rank, dims))
        return NRW_OK;
    return nrw_eval_alloc(e, i, dtype, rank, dims);
}

nrw_status nrw_eval_give(nrw_eval *e, int i, const nrw_tensor *src) {
    nrw_tensor *out = &e->out[i];
    if (src->kind != NRW_TENSOR) return nrw_host_keep(e, src, out);
    NRW_TRY(nrw_eval_room(e, i, src->dtype, src->rank, src->dims));
    size_t bytes = nrw_tensor_bytes(src);
    if (bytes > 0) memcpy(out->data, src->data, bytes);
    return NRW_OK;
}

nrw_type nrw_type_common(const nrw_type *a, const nrw_type *b) {
    nrw_type t = nrw_type_unknown();
    if (a->kind != b->kind) return t;
    t.kind = a->kind;
    if (a->dtype == b->dtype) t.dtype = a->dtype;
    if (a->rank != b->rank) return t;
    t.rank = a->rank;
    for (int i = 0; i < t.rank; i++) {
        t.dims[i] = a->dims[i] == b->dims[i] ? a->dims[i] : NRW_DIM_UNKNOWN;
    }
    return t;
}

nrw_status nrw_infer_rank(nrw_infer *c, int rank) {
    if (rank > NRW_MAX_RANK)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "the result would have %d axes; at most %d are handled",
                 rank, NRW_MAX_RANK);
    c->out[0].dtype = c->in[0]->dtype;
    c->out[0].rank = rank < 0 ? NRW_RANK_UNKNOWN : rank;
    for (int i = 0; i < rank; i++) c->out[0].dims[i] = NRW_DIM_UNKNOWN;
    return NRW_OK;
}

nrw_status nrw_dims_product(const int64_t *dims, int from, int to, int64_t *out, nrw_error *err) {
    int64_t n = 1, symbol = NRW_DIM_UNKNOWN;
    int unknown = 0;
    for (int i = from; i < to; i++) {
        if (dims[i] < 0) {
            unknown++;
            symbol = dims[i];
        } else if (!nrw_mul_i64(n, dims[i], &n)) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "the dimensions multiply past 2^63");
        }
    }
    if (unknown == 0)
        *out = n;
    else
        *out = unknown == 1 && n == 1 ? symbol : NRW_DIM_UNKNOWN;
    return NRW_OK;
}
