/* rows_i8 of a tier. By pairs of rows and columns (USMMLA): blocks of up to BLOCK rows times 16
 * columns, of panels with eight values side by side. Else by sums of four products: blocks of BLOCK
 * rows times 8 columns, or of half as many times 16. dot.h says by what instructions; the includer
 * defines BLOCK, 4, 6 or 8. */
#include "kernels/arm/dot.h"
#include "kernels/arm/rows_finish.h"

enum { STAYS_BYTES = 256 << 10, HALF_PANEL = NRW_ROWS_PANEL / 2 };

/* The rows of a block: only those that are stored, wherever their lines end. */
typedef struct row_block {
    const uint8_t *row[BLOCK];
    int32_t acc[BLOCK * NRW_ROWS_PANEL];
} row_block;

/* Four columns' share of the epilogue's `add`, of a panel's c on. */
NRW_INLINE int32x4_t start_of(const nrw_rows_i8 *r, int64_t c) {
    const int32x4_t add = vld1q_s32(r->epilogue.add + c);
    return NRW_LESS == 0 ? add : vmlaq_n_s32(add, vld1q_s32(r->epilogue.sum + c), NRW_LESS);
}

/* Some of the columns of a panel: their weights, the first's `add`, and where their sums go. */
typedef struct some_columns {
    const int8_t *b;
    int64_t add;
    int32_t *acc; /* [rows][32] */
} some_columns;

/* Compilers that schedule would load the weights of several fours at once, for which there are not
 * enough registers. */
NRW_INLINE void keep_order(void) {
    __asm__ volatile("");
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
NRW_INLINE uint8x16_t both_low(uint8x16_t a, uint8x16_t b) {
    return vreinterpretq_u8_u64(vzip1q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
}

NRW_INLINE uint8x16_t both_high(uint8x16_t a, uint8x16_t b) {
    return vreinterpretq_u8_u64(vzip2q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
}

/* Eight values of k of pairs of rows times 16 columns, of which two and two are an operand. */
NRW_INLINE void multiply_eight(int32x4_t (*acc)[8], const uint8x16_t *x, const int8_t *b,
                               const int pairs) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        if (j % 2 == 0) keep_order();
        const int8x16_t w = vld1q_s8(b + 16 * j);
#pragma GCC unroll 3
        for (int i = 0; i < pairs; i++) acc[i][j] = vusmmlaq_s32(acc[i][j], x[i], w);
    }
}

/* Sums of 16 columns. An odd row is its own pair. */
NRW_INLINE void multiply_row_pairs(const nrw_rows_i8 *r, const row_block *k, some_columns c,
                                   const int rows) {
    enum { PAIRS = BLOCK / 2 };
    const int pairs = (rows + 1) / 2;
    int32x4_t acc[PAIRS][8];
#pragma GCC unroll 3
    for (int i = 0; i < pairs; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) acc[i][j] = vdupq_n_s32(0);
    }
    const int64_t half = (int64_t)r->depth * HALF_PANEL;
    for (int s = 0; s < r->steps; s++, c.b += 2 * half) {
        const int8_t *w = c.b;
        int64_t at = r->offset[s];
        const int64_t end = at + r->depth;
        uint8x16_t x[2][PAIRS];
        for (; at + 16 <= end; at += 16, w += 256) {
#pragma GCC unroll 3
            for (int i = 0; i < pairs; i++) {
                const uint8x16_t a = vld1q_u8(k->row[2 * i] + at);
                const uint8x16_t z = 2 * i + 1 < rows ? vld1q_u8(k->row[2 * i + 1] + at) : a;
                x[0][i] = both_low(a, z);
                x[1][i] = both_high(a, z);
            }
            multiply_eight(acc, x[0], w, pairs);
            multiply_eight(acc, x[1], w + 128, pairs);
        }
        if (at == end) continue;
#pragma GCC unroll 3
        for (int i = 0; i < pairs; i++) {
            const uint8x8_t a = vld1_u8(k->row[2 * i] + at);
            x[0][i] = vcombine_u8(a, 2 * i + 1 < rows ? vld1_u8(k->row[2 * i + 1] + at) : a);
        }
        multiply_eight(acc, x[0], w, pairs);
    }
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        const int32x4_t start = start_of(r, c.add + 4 * v);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            const uint8x16_t p = vreinterpretq_u8_s32(acc[i / 2][2 * v]);
            const uint8x16_t q = vreinterpretq_u8_s32(acc[i / 2][2 * v + 1]);
            const uint8x16_t row = i % 2 == 0 ? both_low(p, q) : both_high(p, q);
            vst1q_s32(c.acc + NRW_ROWS_PANEL * i + 4 * v,
                      vaddq_s32(vreinterpretq_s32_u8(row), start));
        }
    }
}
#else
/* Four values of k of each row, lane `lane` of x, times some columns. */
NRW_INLINE void dot_four(nrw_sums (*acc)[4], const nrw_active *x, const int lane, const int8_t *b,
                         const int rows, const int vecs) {
    int8x16_t w[4];
    keep_order();
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) w[v] = vld1q_s8(b + 16 * v);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        if (NRW_SUMS > 1) keep_order(); /* products on their way to sums take registers, too */
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) acc[i][v] = dot_x(acc[i][v], x[i], lane, w[v]);
    }
}

/* Sums of `vecs` times four columns. */
NRW_INLINE void multiply_dots(const nrw_rows_i8 *r, const row_block *k, some_columns c,
                              const int rows, const int vecs) {
    nrw_sums acc[BLOCK][4];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) acc[i][v] = no_sums();
    }
    const int64_t half = (int64_t)r->depth * HALF_PANEL;
    for (int s = 0; s < r->steps; s++, c.b += 2 * half) {
        const int8_t *w = c.b;
        int64_t at = r->offset[s];
        const int64_t end = at + r->depth;
        nrw_active x[BLOCK];
        for (; at + 16 <= end; at += 16, w += 256) {
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) x[i] = active_of(vld1q_u8(k->row[i] + at));
            dot_four(acc, x, 0, w, rows, vecs);
            dot_four(acc, x, 1, w + 64, rows, vecs);
            dot_four(acc, x, 2, w + 128, rows, vecs);
            dot_four(acc, x, 3, w + 192, rows, vecs);
        }
        for (; at < end; at += 4, w += 64) {
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) x[i] = active_of(four_bytes(k->row[i] + at));
            dot_four(acc, x, 0, w, rows, vecs);
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        const int32x4_t start = start_of(r, c.add + 4 * v);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
            vst1q_s32(c.acc + NRW_ROWS_PANEL * i + 4 * v, vaddq_s32(total(acc[i][v]), start));
    }
}
#endif

NRW_INLINE void multiply(const nrw_rows_i8 *r, row_block *k, int64_t panel, const int rows) {
    const int8_t *b = r->b + panel * r->panel_bytes;
    const int64_t half = (int64_t)r->depth * HALF_PANEL;
#if defined(__ARM_FEATURE_MATMUL_INT8)
    const int cols = 16;
#else
    const int cols = rows <= BLOCK / 2 ? 16 : 8;
#endif
    for (int at = 0; at < NRW_ROWS_PANEL; at += cols) {
        /* One half of the columns behind the other; within a half, columns lie 4 bytes apart. */
        const some_columns c = {b + at / HALF_PANEL * half + at % HALF_PANEL * 4,
                                panel * NRW_ROWS_PANEL + at, k->acc + at};
#if defined(__ARM_FEATURE_MATMUL_INT8)
        multiply_row_pairs(r, k, c, rows);
#else
        if (cols == 16)
            multiply_dots(r, k, c, rows, 4);
        else
            multiply_dots(r, k, c, rows, 2);
#endif
    }
}

typedef void (*multiply_rows)(const nrw_rows_i8 *r, row_block *k, int64_t panel);
#define MULTIPLY(n)                                                                                \
    static void multiply_##n(const nrw_rows_i8 *r, row_block *k, int64_t panel) {                  \
        multiply(r, k, panel, n);                                                                  \
    }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
#if BLOCK > 4
MULTIPLY(5)
MULTIPLY(6)
#endif
#if BLOCK > 6
MULTIPLY(7)
MULTIPLY(8)
#endif

static const multiply_rows multiply_by[BLOCK + 1] = {
    NULL,       multiply_1, multiply_2, multiply_3, multiply_4,
#if BLOCK > 4
    multiply_5, multiply_6,
#endif
#if BLOCK > 6
    multiply_7, multiply_8,
#endif
};

/* Rows of a block stay in the first-level cache while weights stream past them from the second,
 * which holds a group of panels until all blocks have seen them. */
NRW_INLINE void run_kind(const nrw_rows_i8 *r, const nrw_finish_kind kind) {
    row_block k;
    int64_t x = 0;
    const int64_t all = has_lines(r) ? stored_before(r, r->rows, &x) : r->rows;
    if (all == 0) return; /* nothing but padding */
    const int64_t blocks = (all + BLOCK - 1) / BLOCK;
    const int64_t most = STAYS_BYTES / r->panel_bytes, group = most > 1 ? most : 1;
    for (int64_t first = 0; first < r->panels; first += group) {
        const int64_t end = first + group < r->panels ? first + group : r->panels;
        for (int64_t i = 0; i < blocks; i++) {
            /* Blocks differ by one row at most. */
            const int64_t row = all * i / blocks;
            const int rows = (int)(all * (i + 1) / blocks - row);
            find_rows(r, row, rows, k.row);
            for (int64_t panel = first; panel < end; panel++) {
                multiply_by[rows](r, &k, panel);
                const nrw_finish f = finish_stored(r, panel, row, k.acc, rows, kind);
                store_rows(&f, kind);
            }
        }
    }
}

static void rows_i8(const nrw_rows_i8 *r) {
    WITH_FINISH_KIND(run_kind, r);
}
