/* ai.narrow::AttentionViews: softmax(scale Q K^T + mask) V for a stack of heads, as plans run it
 * (the pass fuse_attention puts it there). Q, K and V are views into inputs 0
 * to 2, which may be one tensor: an offset and the distances of heads and rows, in elements; values
 * of a row lie side by side.
 *
 *   sizes  [batch, heads, m, n, d, dv]
 *   q, k, v  [offset, batch, head, row]       mask (input 3)  [batch, head, row, column]
 *   y  [batch, head, row]                     shape  of the output */
#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "ops/attention_tiles.h"
#include "ops/floats.h"
#include "ops/op.h"

enum { BATCH, HEADS, M, N, D, DV, SIZES };
enum { QUERIES = 32 }; /* the least that is worth a task */

static nrw_status infer(nrw_infer *c) {
    int64_t rank;
    const int64_t *shape = nrw_attr_ints(c->node, "shape", &rank);
    if (rank > NRW_MAX_RANK) NRW_FAIL(c->err, NRW_ERR_SHAPE, "shape: too many axes");
    c->out[0] = nrw_type_make(NRW_F32, (int)rank, shape);
    return NRW_OK;
}

/* Elements from the first to the last of a view, or -1. */
static int64_t extent(const int64_t *sizes, const int64_t *steps, int axes) {
    int64_t last = 0, step;
    for (int i = 0; i < axes; i++) {
        if (sizes[i] < 1 || steps[i] < 0 || !nrw_mul_i64(sizes[i] - 1, steps[i], &step) ||
            __builtin_add_overflow(last, step, &last))
            return -1;
    }
    return last + 1;
}

static nrw_status get(nrw_eval *e, const char *name, int64_t want, const int64_t **out) {
    int64_t count;
    *out = nrw_attr_ints(e->node, name, &count);
    if (count != want) NRW_FAIL(e->err, NRW_ERR_SHAPE, "%s: %lld numbers", name, (long long)count);
    return NRW_OK;
}

/* Whether a view has each of `count` elements once, whatever the order of its axes. */
static bool is_whole(const int64_t *sizes, const int64_t *steps, int axes, int64_t count) {
    int64_t step = 1;
    int left = 0, before;
    for (int i = 0; i < axes; i++) left += sizes[i] > 1;
    do {
        before = left;
        for (int i = 0; i < axes; i++) {
            if (sizes[i] > 1 && steps[i] == step && nrw_mul_i64(step, sizes[i], &step)) left--;
        }
    } while (left < before);
    return left == 0 && step == count;
}

/* The view of an input with this many rows of `width`. */
static nrw_status view(nrw_eval *e, int i, const char *name, const int64_t *sizes, int64_t rows,
                       int64_t width, const float **at, const int64_t **steps) {
    const int64_t *v;
    NRW_TRY(get(e, name, 4, &v));
    const int64_t all[4] = {sizes[BATCH], sizes[HEADS], rows, width};
    const int64_t n = extent(all, (int64_t[]){v[1], v[2], v[3], 1}, 4);
    const int64_t have = nrw_tensor_count(e->in[i]);
    if (e->in[i]->dtype != NRW_F32 || n < 0 || v[0] < 0 || v[0] > have - n)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "%s: no view of input %d", name, i);
    *at = (const float *)e->in[i]->data + v[0];
    *steps = v + 1;
    return NRW_OK;
}

typedef struct heads {
    const nrw_eval *e;
    nrw_attention_f32 first;
    int64_t count, all;                  /* of a batch, of all batches */
    int64_t part;                        /* queries of a task; kernels only */
    const int64_t *q, *k, *v, *mask, *y; /* steps of batch, head, row */
    char *room;                          /* [workers][room_bytes], for kernels */
    size_t room_bytes;
} heads;

static nrw_status read(nrw_eval *e, const int64_t **sizes, heads *h) {
    nrw_attention_f32 *a = &h->first;
    const int64_t *s;
    NRW_TRY(get(e, "sizes", SIZES, sizes));
    s = *sizes;
    NRW_TRY(view(e, 0, "q", s, s[M], s[D], &a->q, &h->q));
    NRW_TRY(view(e, 1, "k", s, s[N], s[D], &a->k, &h->k));
    NRW_TRY(view(e, 2, "v", s, s[N], s[DV], &a->v, &h->v));
    NRW_TRY(get(e, "y", 3, &h->y));
    const int64_t all[4] = {s[BATCH], s[HEADS], s[M], s[DV]};
    const int64_t steps[4] = {h->y[0], h->y[1], h->y[2], 1}, n = extent(all, steps, 4);
    if (n < 0 || n != nrw_tensor_count(&e->out[0]) || !is_whole(all, steps, 4, n))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "y: no view of the output");
    if (e->n_in > 3 && e->in[3] != NULL) {
        NRW_TRY(get(e, "mask", 4, &h->mask));
        const int64_t cells[4] = {s[BATCH], s[HEADS], s[M], s[N]};
        const int64_t last = extent(cells, h->mask, 4);
        if (e->in[3]->dtype != NRW_F32 || last < 0 || last > nrw_tensor_count(e->in[3]) ||
            h->mask[3] > 1)
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "mask: no view of input 3");
        a->mask = e->in[3]->data;
        a->mask_row = h->mask[2];
        a->mask_col = h->mask[3];
    }
    a->y = e->out[0].data;
    a->m = s[M];
    a->n = s[N];
    a->d = s[D];
    a->dv = s[DV];
    a->q_row = h->q[2];
    a->k_row = h->k[2];
    a->v_row = h->v[2];
    a->y_row = h->y[2];
    a->scale = nrw_attr_float(e->node, "scale", 1);
    a->nan_is_zero = nrw_attr_int(e->node, "nan_is_zero", 0) != 0;
    h->e = e;
    h->count = s[HEADS];
    h->all = s[BATCH] * s[HEADS]; /* y has as many rows or more */
    return NRW_OK;
}

static nrw_attention_f32 head(const heads *h, int64_t i) {
    nrw_attention_f32 a = h->first;
    const int64_t b = i / h->count, at = i % h->count;
    a.q += b * h->q[0] + at * h->q[1];
    a.k += b * h->k[0] + at * h->k[1];
    a.v += b * h->v[0] + at * h->v[1];
    a.y += b * h->y[0] + at * h->y[1];
    if (a.mask != NULL) a.mask += b * h->mask[0] + at * h->mask[1];
    return a;
}

/* Reference. */

static float score(const nrw_attention_f32 *a, int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t k = 0; k < a->d; k++)
        sum += (double)a->q[i * a->q_row + k] * a->k[j * a->k_row + k];
    const float scaled = (float)(sum * (double)a->scale); /* a mask of -1e9 hides it */
    return a->mask != NULL ? scaled + a->mask[i * a->mask_row + j * a->mask_col] : scaled;
}

static void attend(const nrw_attention_f32 *a, double *s) {
    for (int64_t i = 0; i < a->m; i++) {
        double top = -INFINITY, total = 0;
        for (int64_t j = 0; j < a->n; j++) {
            s[j] = (double)score(a, i, j);
            if (s[j] > top) top = s[j];
        }
        for (int64_t j = 0; j < a->n; j++) total += s[j] = exp(s[j] - top);
        const bool zero = a->nan_is_zero && isnan(total);
        for (int64_t c = 0; c < a->dv; c++) {
            double sum = 0;
            for (int64_t j = 0; j < a->n; j++)
                sum += (zero ? 0 : s[j] / total) * (double)a->v[j * a->v_row + c];
            a->y[i * a->y_row + c] = (float)sum;
        }
    }
}

static nrw_status reference(nrw_eval *e) {
    const int64_t *sizes;
    heads h = {0};
    NRW_TRY(read(e, &sizes, &h));
    double *s = nrw_eval_scratch(e, sizes[N], sizeof *s);
    if (s == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < h.all; i++) {
        const nrw_attention_f32 a = head(&h, i);
        attend(&a, s);
    }
    return NRW_OK;
}

/* Kernels. */

/* The room that they need is reckoned without checks, and grows with these. */
static bool fits_kernels(const int64_t *sizes) {
    enum { MOST = 1 << 20 };
    int64_t values;
    for (int i = M; i < SIZES; i++) {
        if (sizes[i] > MOST) return false;
    }
    values = (sizes[N] + 64) * (sizes[D] + sizes[DV] + 128); /* at most 2^42 */
    return values <= INT32_MAX;
}

/* Some queries of one head. */
static void run_part(void *arg, int64_t i, int worker) {
    const heads *h = arg;
    nrw_attention_f32 a = head(h, i % h->all);
    const int64_t row = i / h->all * h->part, left = a.m - row;
    a.m = left < h->part ? left : h->part;
    a.q += row * a.q_row;
    a.y += row * a.y_row;
    if (a.mask != NULL) a.mask += row * a.mask_row;
    const nrw_kernels *kn = h->e->kernels;
    char *room = h->room + (size_t)worker * h->room_bytes;
    if (kn->attention_f32 != NULL)
        kn->attention_f32(&a, room);
    else
        nrw_attention_tiles(kn, &a, room);
}

static nrw_status run(nrw_eval *e) {
    const int64_t *sizes;
    heads h = {0};
    NRW_TRY(read(e, &sizes, &h));
    if (!fits_kernels(sizes)) return reference(e);
    const nrw_kernels *kn = e->kernels;
    h.room_bytes = kn->attention_f32 != NULL ? kn->attention_room(&h.first)
                                             : nrw_attention_tiles_room(kn, &h.first);
    h.room = nrw_eval_scratch(e, nrw_pool_threads(e->pool), h.room_bytes);
    if (h.room == NULL) NRW_OOM(e->err);
    /* Keys and values are packed anew for each part of a head: it is cut only for idle threads. */
    const int64_t parts = nrw_ceil_div(nrw_pool_threads(e->pool), h.all);
    h.part = nrw_ceil_div(nrw_ceil_div(sizes[M], parts), QUERIES) * QUERIES;
    nrw_pool_run(e->pool, h.all * nrw_ceil_div(sizes[M], h.part), run_part, &h);
    return NRW_OK;
}

static nrw_status plan(nrw_plan_node *p, nrw_step_choice *choice) {
    choice->run = run;
    choice->kernel = nrw_arena_printf(p->arena, "attention_f32_%s", p->kernels->tier);
    if (choice->kernel == NULL) NRW_OOM(p->err);
    return NRW_OK;
}

static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    int64_t count, all = 1;
    const int64_t *s = nrw_attr_ints(n, "sizes", &count);
    if (count != SIZES) return 0;
    for (int i = 0; i <= N; i++) {
        if (!nrw_mul_i64(all, s[i], &all)) return 0;
    }
    int64_t depth;
    if (__builtin_add_overflow(s[D], s[DV], &depth)) return 0;
    return nrw_mul_i64(all, depth, &all) ? all : 0;
}

static const nrw_attr_def attrs[] = {
    {"sizes", NRW_ATTR_INTS, true},       {"q", NRW_ATTR_INTS, true},
    {"k", NRW_ATTR_INTS, true},           {"v", NRW_ATTR_INTS, true},
    {"mask", NRW_ATTR_INTS, false},       {"y", NRW_ATTR_INTS, true},
    {"shape", NRW_ATTR_INTS, true},       {"scale", NRW_ATTR_FLOAT, false},
    {"nan_is_zero", NRW_ATTR_INT, false}, {0}};

/* Three heads of 20 values, side by side in rows of 60 and of 180; tails everywhere. */
static const nrw_case cases[] = {
    {"graph main(%q: f32[37,60], %kv: f32[41,120]) {\n"
     "  %y: f32[37,3,20] = ai.narrow::AttentionViews(%q, %kv, %kv) {sizes=[1, 3, 37, 41, 20, 20], "
     "q=[0, 0, 20, 60], k=[0, 0, 20, 120], v=[60, 0, 20, 120], y=[0, 20, 60], shape=[37, 3, 20], "
     "scale=0.5}\n  return %y\n}",
     -0.5f, 0.5f},
    {"graph main(%q: f32[2,33,64], %k: f32[2,70,64], %v: f32[2,70,33], %m: f32[33,70]) {\n"
     "  %y: f32[2,33,33] = ai.narrow::AttentionViews(%q, %k, %v, %m) {sizes=[2, 1, 33, 70, 64, "
     "33], "
     "q=[0, 2112, 0, 64], k=[0, 4480, 0, 64], v=[0, 2310, 0, 33], mask=[0, 0, 70, 1], "
     "y=[1089, 0, 33], shape=[2, 33, 33], scale=0.125, nan_is_zero=1}\n  return %y\n}",
     -0.5f, 0.5f},
    {"graph main(%q: f32[5,8]) {\n  const %m: f32[5,1] = [0, -inf, 1, -1e9, 3]\n"
     "  %y: f32[5,8] = ai.narrow::AttentionViews(%q, %q, %q, %m) {sizes=[1, 1, 5, 5, 8, 8], "
     "q=[0, 0, 0, 8], k=[0, 0, 0, 8], v=[0, 0, 0, 8], mask=[0, 0, 1, 0], y=[0, 0, 8], "
     "shape=[5, 8], nan_is_zero=1}\n  return %y\n}",
     -1, 1},
    {0}};

static const nrw_op attention_views = {
    .name = "AttentionViews",
    .domain = "ai.narrow",
    .min_in = 3,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = reference,
    .plan = plan,
    .macs = macs,
    .cases = cases,
};

NRW_OPS(attention_views, &attention_views);
