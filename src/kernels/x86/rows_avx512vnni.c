/* rows_i8 by vpdpbusd, 512 bits: blocks of up to 12 rows x 32 columns. */
#include <immintrin.h>
#include <string.h>

#include "kernels/x86/ahead.h"
#include "kernels/x86/dpbusd.h"
#include "kernels/x86/rows_finish.h"

enum { BLOCK = 12, STAYS_BYTES = 512 << 10 };

NRW_DPBUSD(dot, __m512i)

NRW_INLINE __m512i broadcast4(const uint8_t *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}

/* The rows of a block: only those that are stored, wherever their lines end. */
typedef struct block {
    const uint8_t *row[BLOCK];
    nrw_ahead ahead;
    int32_t acc[BLOCK * 32] __attribute__((aligned(64)));
} block;

/* Fours of values from `at` to `end` of the rows, `fours` at a time, times b on; returns where it
 * got. `at` is hidden from the compiler, which would keep twelve pointers in step instead of one
 * place. */
NRW_INLINE int64_t dot_fours(const block *k, __m512i (*acc)[2], const int rows, const int fours,
                             int64_t at, int64_t end, const int8_t **weights, int64_t half) {
    const int8_t *b = *weights;
    for (; at + 4 * fours <= end; at += 4 * fours, b += 64 * fours) {
        __asm__("" : "+r"(at));
        __m512i w[2][2];
        for (int f = 0; f < fours; f++) {
            w[f][0] = _mm512_loadu_si512(b + 64 * f);
            w[f][1] = _mm512_loadu_si512(b + 64 * f + half);
        }
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const uint8_t *row = k->row[i] + at;
            for (int f = 0; f < fours; f++) {
                const __m512i x = broadcast4(row + 4 * f);
                acc[i][0] = dot(acc[i][0], x, w[f][0]);
                acc[i][1] = dot(acc[i][1], x, w[f][1]);
            }
        }
    }
    *weights = b;
    return at;
}

NRW_INLINE void multiply(const nrw_rows_i8 *r, block *k, const int8_t *b, const int32_t *add,
                         const int rows) {
    __m512i acc[BLOCK][2];
    const int64_t half = (int64_t)r->depth * 16;
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        acc[i][0] = _mm512_loadu_si512(add);
        acc[i][1] = _mm512_loadu_si512(add + 16);
    }
    for (int s = 0; s < r->steps; s++, b += half) {
        const int64_t end = r->offset[s] + r->depth;
        const int64_t at = dot_fours(k, acc, rows, 2, r->offset[s], end, &b, half);
        dot_fours(k, acc, rows, 1, at, end, &b, half);
        fetch_ahead(&k->ahead);
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        _mm512_store_si512(k->acc + 32 * i, acc[i][0]);
        _mm512_store_si512(k->acc + 32 * i + 16, acc[i][1]);
    }
}

typedef void (*multiply_rows)(const nrw_rows_i8 *r, block *k, const int8_t *b, const int32_t *add);
#define MULTIPLY(n)                                                                                \
    static void multiply_##n(const nrw_rows_i8 *r, block *k, const int8_t *b,                      \
                             const int32_t *add) {                                                 \
        multiply(r, k, b, add, n);                                                                 \
    }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)
MULTIPLY(7)
MULTIPLY(8)
MULTIPLY(9)
MULTIPLY(10)
MULTIPLY(11)
MULTIPLY(12)

static const multiply_rows multiply_by[BLOCK + 1] = {
    NULL,       multiply_1, multiply_2, multiply_3,  multiply_4,  multiply_5, multiply_6,
    multiply_7, multiply_8, multiply_9, multiply_10, multiply_11, multiply_12};

/* Rows of a block stay in the first-level cache while weights stream past them from the second,
 * which holds a group of panels until all blocks have seen them. */
NRW_INLINE void run_kind(const nrw_rows_i8 *r, const nrw_finish_kind kind) {
    block k;
    int64_t x = 0;
    const int64_t all = has_lines(r) ? stored_before(r, r->rows, &x) : r->rows;
    if (all == 0) return; /* nothing but padding */
    const int64_t blocks = (all + BLOCK - 1) / BLOCK;
    const int64_t bytes = r->panel_bytes, most = STAYS_BYTES / bytes, group = most > 1 ? most : 1;
    k.ahead.lines = (int)((bytes / 64 + blocks * r->steps - 1) / (blocks * r->steps));
    for (int64_t first = 0; first < r->panels; first += group) {
        const int64_t end = first + group < r->panels ? first + group : r->panels;
        const int64_t after = end + group < r->panels ? end + group : r->panels;
        k.ahead.next = r->b + end * bytes;
        k.ahead.end = r->b + after * bytes;
        for (int64_t i = 0; i < blocks; i++) {
            /* Blocks differ by one row at most. */
            const int64_t row = all * i / blocks;
            const int rows = (int)(all * (i + 1) / blocks - row);
            find_rows(r, row, rows, k.row);
            for (int64_t panel = first; panel < end; panel++) {
                multiply_by[rows](r, &k, r->b + panel * bytes,
                                  r->epilogue.add + panel * NRW_ROWS_PANEL);
                nrw_finish f = finish_stored(r, panel, row, k.acc, rows, kind);
                store_rows(&f, k.acc, rows, kind);
            }
        }
    }
}

void nrw_rows_i8_avx512vnni(const nrw_rows_i8 *r) {
    WITH_FINISH_KIND(run_kind, r);
}
