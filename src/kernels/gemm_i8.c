/* Integer matrix products: as the float ones, but never cut along k, so that accumulators live in
 * registers from the first product to the epilogue. A block of the right matrix is as wide as L2
 * allows instead. */
#include <string.h>

#include "kernels/gemm.h"

enum { BLOCK_BYTES = 256 << 10, MAX_BLOCK_N = 512, MIN_SPLIT_PANELS = 4 };

static int64_t groups_of(const nrw_kernels *kn, int64_t k) {
    return nrw_ceil_div(k, kn->i8_group);
}

/* Bytes of one row (or column) of a packed matrix. */
static int64_t line_bytes(const nrw_kernels *kn, int64_t k) {
    return groups_of(kn, k) * kn->i8_group * kn->i8_bytes;
}

static int64_t block_cols(const nrw_kernels *kn, int64_t k) {
    int64_t line = line_bytes(kn, k);
    int64_t n = BLOCK_BYTES / (line > 0 ? line : 1);
    if (n > MAX_BLOCK_N) n = MAX_BLOCK_N;
    n = n / kn->i8_cols * kn->i8_cols;
    return n > 0 ? n : kn->i8_cols;
}

bool nrw_i8_a_bytes(const nrw_kernels *kn, int64_t m, int64_t k, size_t *bytes) {
    return nrw_mul_size((size_t)m, (size_t)line_bytes(kn, k), bytes);
}

bool nrw_i8_b_bytes(const nrw_kernels *kn, int64_t k, int64_t n, size_t *bytes) {
    return nrw_i8_a_bytes(kn, nrw_ceil_div(n, kn->i8_cols) * kn->i8_cols, k, bytes);
}

size_t nrw_i8_block_bytes(const nrw_kernels *kn, int64_t k, int64_t n) {
    int64_t cols = nrw_ceil_div(n, kn->i8_cols) * kn->i8_cols;
    int64_t most = block_cols(kn, k);
    return (size_t)((cols < most ? cols : most) * line_bytes(kn, k));
}

typedef struct packing {
    const nrw_kernels *kn;
    int64_t m, k;
    int width;
    bool padded;
    nrw_matrix from;
    nrw_byte_rule rule;
    char *dst;
    int32_t *sums;
} packing;

/* Whole groups of four bytes from rows whose k lie side by side; no sums. */
static void pack_fours(const packing *p, const uint8_t *src, int rows, int width, char *dst) {
    const uint32_t flip = p->rule.flip * 0x01010101u;
    for (int64_t k = 0; k + 4 <= p->k; k += 4, dst += 4 * width) {
        for (int r = 0; r < rows; r++) {
            uint32_t v;
            memcpy(&v, src + r * p->from.row + k, 4);
            v ^= flip;
            memcpy(dst + 4 * r, &v, 4);
        }
    }
}

static void pack_panel(void *arg, int64_t i, int worker) {
    const packing *p = arg;
    int group = p->kn->i8_group, bytes = p->kn->i8_bytes;
    int64_t first = i * p->width, groups = groups_of(p->kn, p->k);
    int have = p->m - first < p->width ? (int)(p->m - first) : p->width;
    int width = p->padded ? p->width : have;
    const uint8_t *src = (const uint8_t *)p->from.data + first * p->from.row;
    char *dst = p->dst + first * line_bytes(p->kn, p->k);
    int64_t k0 = 0;
    if (bytes == 1 && group == 4 && p->from.col == 1 && p->sums == NULL && have == width) {
        pack_fours(p, src, have, width, dst);
        k0 = p->k / 4 * 4;
        if (k0 == p->k) return;
        memset(dst + k0 * width, 0, (size_t)(4 * width));
    } else {
        memset(dst, 0, (size_t)(groups * group * width * bytes));
    }
    for (int r = 0; r < have; r++) {
        const uint8_t *s = src + r * p->from.row;
        uint32_t sum = 0;
        for (int64_t k = k0; k < p->k; k++) {
            uint8_t raw = s[k * p->from.col] ^ p->rule.flip;
            int16_t v = p->rule.is_signed ? (int8_t)raw : raw;
            int64_t at = (k / group * width + r) * group + k % group;
            if (bytes == 1)
                dst[at] = (char)raw;
            else
                ((int16_t *)(void *)dst)[at] = v;
            sum += (uint32_t)(int32_t)v;
        }
        if (p->sums != NULL) p->sums[first + r] = (int32_t)sum;
    }
}

void nrw_i8_pack_a(const nrw_kernels *kn, nrw_pool *pool, int64_t m, int64_t k, nrw_matrix a,
                   nrw_byte_rule rule, void *dst, int32_t *sums) {
    int rows = nrw_panel_rows(m, kn->i8_rows);
    packing p = {kn, m, k, rows, false, a, rule, dst, sums};
    nrw_pool_run(pool, nrw_ceil_div(m, rows), pack_panel, &p);
}

void nrw_i8_pack_b(const nrw_kernels *kn, nrw_pool *pool, int64_t k, int64_t n, nrw_matrix b,
                   nrw_byte_rule rule, void *dst, int32_t *sums) {
    nrw_matrix turned = {b.data, b.col, b.row};
    packing p = {kn, n, k, kn->i8_cols, true, turned, rule, dst, sums};
    nrw_pool_run(pool, nrw_ceil_div(n, kn->i8_cols), pack_panel, &p);
}

typedef struct running {
    const nrw_gemm_i8 *g;
    int rows;
    int64_t panels, part, block, col_blocks, row_parts;
    size_t block_bytes;
} running;

static void run_task(void *arg, int64_t i, int worker) {
    const running *r = arg;
    const nrw_gemm_i8 *g = r->g;
    const nrw_kernels *kn = g->kernels;
    int64_t p0 = i % r->row_parts * r->part, n0 = i / r->row_parts * r->block;
    int64_t p1 = p0 + r->part < r->panels ? p0 + r->part : r->panels;
    int64_t nc = g->n - n0 < r->block ? g->n - n0 : r->block;
    int64_t line = line_bytes(kn, g->k);
    const char *b = (const char *)g->b + n0 * line;
    if (g->b == NULL) {
        char *block = g->blocks + (size_t)worker * r->block_bytes;
        g->fill(g->fill_arg, 0, g->k, n0, nc, block, worker);
        b = block;
    }
    bool wide = g->epilogue->out == NRW_OUT_I32 || g->epilogue->out == NRW_OUT_F32;
    nrw_i8_tile t = {.groups = groups_of(kn, g->k),
                     .ldc = g->ldc,
                     .a_signed = g->a_signed,
                     .epilogue = g->epilogue};
    for (int64_t p = p0; p < p1; p++) {
        t.row0 = p * r->rows;
        t.rows = g->m - t.row0 < r->rows ? (int)(g->m - t.row0) : r->rows;
        t.a = (const char *)g->a + t.row0 * line;
        for (int64_t j = 0; j < nc; j += kn->i8_cols) {
            t.col0 = n0 + j;
            t.cols = nc - j < kn->i8_cols ? (int)(nc - j) : kn->i8_cols;
            t.b = b + j * line;
            t.c = (char *)g->c + (t.row0 * g->ldc + t.col0) * (wide ? 4 : 1);
            kn->i8_tile(&t);
        }
    }
}

void nrw_i8_gemm(const nrw_gemm_i8 *g) {
    if (g->m == 0 || g->n == 0) return;
    running r = {.g = g, .rows = nrw_panel_rows(g->m, g->kernels->i8_rows), .row_parts = 1};
    r.panels = nrw_ceil_div(g->m, r.rows);
    r.block = block_cols(g->kernels, g->k);
    r.col_blocks = nrw_ceil_div(g->n, r.block);
    r.block_bytes = nrw_i8_block_bytes(g->kernels, g->k, g->n);
    int threads = nrw_pool_threads(g->pool);
    if (threads > 1 && r.col_blocks < 4 * threads) { /* as for floats */
        r.row_parts = nrw_ceil_div(4 * threads, r.col_blocks);
        int64_t most = r.panels / MIN_SPLIT_PANELS > 0 ? r.panels / MIN_SPLIT_PANELS : 1;
        if (r.row_parts > most) r.row_parts = most;
    }
    r.part = nrw_ceil_div(r.panels, r.row_parts);
    r.row_parts = nrw_ceil_div(r.panels, r.part);
    nrw_pool_run(g->pool, r.col_blocks * r.row_parts, run_task, &r);
}
