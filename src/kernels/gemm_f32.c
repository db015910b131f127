/* Float matrix products. Blocked as in Goto and van de Geijn, "Anatomy of High-Performance Matrix
 * Multiplication" (2008), section 4: a block of the right matrix stays in L2, a panel of the left
 * one in L1. */
#include <string.h>

#include "kernels/gemm.h"

enum { BLOCK_K = 256, BLOCK_N = 256, MIN_SPLIT_PANELS = 4 };

int nrw_panel_rows(int64_t m, int tile_rows) {
    int64_t panels = nrw_ceil_div(m, tile_rows);
    return panels == 0 ? 1 : (int)nrw_ceil_div(m, panels);
}

static bool product(int64_t a, int64_t b, int64_t c, size_t *bytes) {
    size_t t;
    return nrw_mul_size((size_t)a, (size_t)b, &t) && nrw_mul_size(t, (size_t)c, bytes);
}

bool nrw_f32_a_bytes(const nrw_kernels *kn, int64_t m, int64_t k, size_t *bytes) {
    return product(m, k, sizeof(float), bytes);
}

bool nrw_f32_b_bytes(const nrw_kernels *kn, int64_t k, int64_t n, size_t *bytes) {
    int64_t cols = nrw_ceil_div(n, kn->f32_cols) * kn->f32_cols;
    return product(cols, k, sizeof(float), bytes);
}

size_t nrw_f32_block_bytes(const nrw_kernels *kn, int64_t k, int64_t n) {
    int64_t cols = nrw_ceil_div(n, kn->f32_cols) * kn->f32_cols;
    if (cols > BLOCK_N) cols = BLOCK_N;
    return (size_t)(cols * (k < BLOCK_K ? k : BLOCK_K)) * sizeof(float);
}

typedef struct packing {
    int64_t m, k; /* rows (or columns, for the right matrix) and depth */
    int width;    /* of a panel */
    bool padded;  /* the last panel is filled up to width */
    nrw_matrix from;
    float *dst;
} packing;

static void pack_panel(void *arg, int64_t i, int worker) {
    const packing *p = arg;
    int64_t first = i * p->width;
    int have = p->m - first < p->width ? (int)(p->m - first) : p->width;
    int width = p->padded ? p->width : have;
    const float *src = (const float *)p->from.data + first * p->from.row;
    float *dst = p->dst + first * p->k;
    if (have < width) memset(dst, 0, (size_t)(p->k * width) * sizeof *dst);
    if (p->from.row == 1) {
        for (int64_t k = 0; k < p->k; k++, dst += width, src += p->from.col) {
            for (int r = 0; r < have; r++) dst[r] = src[r];
        }
        return;
    }
    /* A few k at a time, so that the lines of dst are still in the cache for the next row. */
    for (int64_t k0 = 0; k0 < p->k; k0 += 64) {
        int64_t end = k0 + 64 < p->k ? k0 + 64 : p->k;
        for (int r = 0; r < have; r++) {
            const float *s = src + r * p->from.row;
            for (int64_t k = k0; k < end; k++) dst[k * width + r] = s[k * p->from.col];
        }
    }
}

void nrw_f32_pack_a(const nrw_kernels *kn, nrw_pool *pool, int64_t m, int64_t k, nrw_matrix a,
                    float *dst) {
    int rows = nrw_panel_rows(m, kn->f32_rows);
    packing p = {.m = m, .k = k, .width = rows, .from = a, .dst = dst};
    nrw_pool_run(pool, nrw_ceil_div(m, rows), pack_panel, &p);
}

void nrw_f32_pack_b(const nrw_kernels *kn, nrw_pool *pool, int64_t k, int64_t n, nrw_matrix b,
                    float *dst) {
    nrw_matrix turned = {b.data, b.col, b.row};
    packing p = {.m = n, .k = k, .width = kn->f32_cols, .padded = true, .from = turned, .dst = dst};
    nrw_pool_run(pool, nrw_ceil_div(n, kn->f32_cols), pack_panel, &p);
}

typedef struct running {
    const nrw_gemm_f32 *g;
    int rows;                      /* of a panel */
    int64_t panels, part;          /* panels of rows, and how many a task takes */
    int64_t col_blocks, row_parts; /* the grid of tasks */
    size_t block_bytes;
} running;

/* All tiles of one block of k: panels [p0, p1) of rows against columns [n0, n0 + nc). */
static void run_block(const running *r, int64_t p0, int64_t p1, int64_t n0, int64_t nc, int64_t k0,
                      int64_t kc, const float *b, int64_t b_panel) {
    const nrw_gemm_f32 *g = r->g;
    const nrw_kernels *kn = g->kernels;
    nrw_f32_tile t = {
        .k = kc, .ldc = g->ldc, .resume = k0 > 0, .lo = -__builtin_inff(), .hi = __builtin_inff()};
    if (k0 + kc == g->k) {
        t.lo = g->lo;
        t.hi = g->hi;
    }
    for (int64_t p = p0; p < p1; p++) {
        int64_t row = p * r->rows;
        t.rows = g->m - row < r->rows ? (int)(g->m - row) : r->rows;
        t.a = g->a + row * g->k + k0 * t.rows;
        t.row_bias = g->row_bias != NULL ? g->row_bias + row : NULL;
        for (int64_t j = 0; j < nc; j += kn->f32_cols) {
            t.cols = nc - j < kn->f32_cols ? (int)(nc - j) : kn->f32_cols;
            t.b = b + j / kn->f32_cols * b_panel;
            t.col_bias = g->col_bias != NULL ? g->col_bias + n0 + j : NULL;
            t.c = g->c + row * g->ldc + n0 + j;
            kn->f32_tile(&t);
        }
    }
}

static void run_task(void *arg, int64_t i, int worker) {
    const running *r = arg;
    const nrw_gemm_f32 *g = r->g;
    int64_t p0 = i % r->row_parts * r->part, n0 = i / r->row_parts * BLOCK_N;
    int64_t p1 = p0 + r->part < r->panels ? p0 + r->part : r->panels;
    int64_t nc = g->n - n0 < BLOCK_N ? g->n - n0 : BLOCK_N;
    int cols = g->kernels->f32_cols;
    for (int64_t k0 = 0; k0 == 0 || k0 < g->k; k0 += BLOCK_K) {
        int64_t kc = g->k - k0 < BLOCK_K ? g->k - k0 : BLOCK_K;
        if (g->b != NULL) {
            run_block(r, p0, p1, n0, nc, k0, kc, g->b + n0 * g->k + k0 * cols, g->k * cols);
            continue;
        }
        float *block = (float *)(void *)(g->blocks + (size_t)worker * r->block_bytes);
        g->fill(g->fill_arg, k0, kc, n0, nc, block, worker);
        run_block(r, p0, p1, n0, nc, k0, kc, block, kc * cols);
    }
}

void nrw_f32_gemm(const nrw_gemm_f32 *g) {
    if (g->m == 0 || g->n == 0) return;
    running r = {.g = g, .rows = nrw_panel_rows(g->m, g->kernels->f32_rows), .row_parts = 1};
    r.panels = nrw_ceil_div(g->m, r.rows);
    r.col_blocks = nrw_ceil_div(g->n, BLOCK_N);
    r.block_bytes = nrw_f32_block_bytes(g->kernels, g->k, g->n);
    /* Splitting the rows as well repeats the filling of blocks, so only threads justify it; every
     * element is the same sum whichever task it falls to. */
    int threads = nrw_pool_threads(g->pool);
    if (threads > 1 && r.col_blocks < 4 * threads) {
        r.row_parts = nrw_ceil_div(4 * threads, r.col_blocks);
        int64_t most = r.panels / MIN_SPLIT_PANELS > 0 ? r.panels / MIN_SPLIT_PANELS : 1;
        if (r.row_parts > most) r.row_parts = most;
    }
    r.part = nrw_ceil_div(r.panels, r.row_parts);
    r.row_parts = nrw_ceil_div(r.panels, r.part);
    nrw_pool_run(g->pool, r.col_blocks * r.row_parts, run_task, &r);
}
