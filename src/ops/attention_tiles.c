#include "ops/attention_tiles.h"

#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "ops/vmath.h"

enum { LANES = 16, MOST_COLS = NRW_MAX_TILE_COLS };

typedef struct turned {
    const nrw_kernels *kn;
    const nrw_attention_f32 *a;
    int width;           /* queries of a block: columns of a tile */
    float *k, *v;        /* packed: keys, and values turned */
    float *q;            /* [d][width] */
    float *s, *o;        /* [n][width], [dv][width] */
    int64_t row;         /* the block's first query */
    int cols;            /* its queries */
    float by[MOST_COLS]; /* one over the sum of its exponentials */
} turned;

static size_t lay_out(turned *t, float *at) {
    const nrw_attention_f32 *a = t->a;
    float *start = at;
    t->width = t->kn->f32_cols;
    t->q = at;
    t->s = t->q + a->d * t->width;
    t->o = t->s + a->n * t->width;
    t->k = t->o + a->dv * t->width;
    t->v = t->k + a->n * a->d;
    return (size_t)(t->v + a->n * a->dv - start) * sizeof *at;
}

size_t nrw_attention_tiles_room(const nrw_kernels *kn, const nrw_attention_f32 *a) {
    turned t = {.kn = kn, .a = a};
    static float nowhere[1];
    return lay_out(&t, nowhere) + 64;
}

/* c[m][width] = the packed left matrix times b[k][width]. */
static void multiply(const turned *t, int64_t m, int64_t k, const float *packed, const float *b,
                     float *c) {
    nrw_f32_tile tile = {.b = b, .k = k, .ldc = t->width, .lo = -INFINITY, .hi = INFINITY};
    const int rows = nrw_panel_rows(m, t->kn->f32_rows);
    for (int64_t i = 0; i < m; i += rows) {
        tile.rows = m - i < rows ? (int)(m - i) : rows;
        tile.cols = t->width;
        tile.a = packed + i * k;
        tile.c = c + i * t->width;
        t->kn->f32_tile(&tile);
    }
}

/* s = scale s + mask. */
NRW_WIDE static void mask_scores(const turned *t) {
    const nrw_attention_f32 *a = t->a;
    float *restrict s = t->s;
    const float scale = a->scale;
    for (int64_t j = 0; j < a->n; j++, s += t->width) {
        /* One number for all queries, or one for each. */
        const float all = a->mask != NULL && a->mask_row == 0 ? a->mask[j * a->mask_col] : 0;
        for (int c = 0; c < t->width; c++) s[c] = s[c] * scale + all;
        if (a->mask == NULL || a->mask_row == 0) continue;
        const float *mask = a->mask + t->row * a->mask_row + j * a->mask_col;
        for (int c = 0; c < t->cols; c++) s[c] += mask[c * a->mask_row];
    }
}

/* Scores of LANES queries to exp(score - largest), and their sums. */
NRW_WIDE static void soften(const turned *t, float *restrict s, float *restrict sums) {
    const int64_t n = t->a->n;
    float top[LANES], sum[LANES] = {0};
    for (int c = 0; c < LANES; c++) top[c] = -INFINITY;
    for (int64_t j = 0; j < n; j++) {
        for (int c = 0; c < LANES; c++) {
            const float x = s[j * t->width + c];
            top[c] = x > top[c] ? x : top[c];
        }
    }
    for (int64_t j = 0; j < n; j++) {
        for (int c = 0; c < LANES; c++) {
            const float e = nrw_exp_share_f32(s[j * t->width + c] - top[c]);
            s[j * t->width + c] = e;
            sum[c] += e;
        }
    }
    memcpy(sums, sum, sizeof sum);
}

static void soften_all(turned *t) {
    const nrw_attention_f32 *a = t->a;
    float sums[MOST_COLS];
    for (int c = 0; c < t->width; c += LANES) soften(t, t->s + c, sums + c);
    for (int c = 0; c < t->cols; c++) {
        const bool zero = a->nan_is_zero && isnan(sums[c]);
        t->by[c] = zero ? 0 : 1 / sums[c];
        for (int64_t j = 0; zero && j < a->n; j++) t->s[j * t->width + c] = 0;
    }
}

static void store(const turned *t) {
    for (int c = 0; c < t->cols; c++) {
        float *y = t->a->y + (t->row + c) * t->a->y_row;
        for (int64_t j = 0; j < t->a->dv; j++) y[j] = t->o[j * t->width + c] * t->by[c];
    }
}

void nrw_attention_tiles(const nrw_kernels *kn, const nrw_attention_f32 *a, void *room) {
    turned t = {.kn = kn, .a = a};
    lay_out(&t, (float *)(((uintptr_t)room + 63) & ~(uintptr_t)63));
    nrw_f32_pack_a(kn, NULL, a->n, a->d, (nrw_matrix){a->k, a->k_row, 1}, t.k);
    nrw_f32_pack_a(kn, NULL, a->dv, a->n, (nrw_matrix){a->v, 1, a->v_row}, t.v);
    for (; t.row < a->m; t.row += t.width) {
        t.cols = a->m - t.row < t.width ? (int)(a->m - t.row) : t.width;
        const nrw_matrix q = {a->q + t.row * a->q_row, 1, a->q_row};
        nrw_f32_pack_b(kn, NULL, a->d, t.cols, q, t.q);
        multiply(&t, a->n, a->d, t.k, t.q, t.s);
        mask_scores(&t);
        soften_all(&t);
        multiply(&t, a->dv, a->n, t.v, t.s, t.o);
        store(&t);
    }
}
