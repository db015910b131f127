/* Integer tiles and taps of a tier: blocks of ROWS x 8 in a panel of 16 columns. dot.h says by what
 * instructions; the includer defines ROWS, at most 8. */
#include "kernels/arm/dot.h"
#include "kernels/arm/some.h"

#define VI             int32x4_t
#define VF             float32x4_t
#define LANES          4
#define TILE_COLS      16
#define load_i         vld1q_s32
#define set1_i         vdupq_n_s32
#define add_i          vaddq_s32
#define sub_i          vsubq_s32
#define mul_i          vmulq_s32
#define to_float       vcvtq_f32_s32
#define bits_of        vreinterpretq_s32_f32
#define set1_f         vdupq_n_f32
#define mul_f          vmulq_f32
#define add_f          vaddq_f32
#define fma_f(a, b, c) vfmaq_f32(c, a, b)
#define min_f          vminnmq_f32
#define max_f          vmaxnmq_f32

/* The low byte of each lane. */
NRW_INLINE void store_bytes(int n, char *p, int32x4_t v) {
    const uint16x4_t words = vmovn_u32(vreinterpretq_u32_s32(v));
    const uint8x8_t bytes = vmovn_u16(vcombine_u16(words, words));
    store_some_bytes(n, (uint8_t *)p, vcombine_u8(bytes, bytes));
}

#include "kernels/i8_finish_tmpl.h"

enum { HALF = TILE_COLS / 2 };

/* Which of the two sides of a tile holds weights. */
NRW_INLINE nrw_sums dot_row(nrw_sums s, uint8x16_t a, const int lane, uint8x16_t b,
                            const bool a_signed) {
    return a_signed ? dot_w(s, active_of(b), vreinterpretq_s8_u8(a), lane)
                    : dot_x(s, active_of(a), lane, vreinterpretq_s8_u8(b));
}

/* What the sums of each row (a_signed) or of each column lack. */
typedef struct lacking {
    int32x4_t v[2];
} lacking;

NRW_INLINE int32x4_t add_lack(int32x4_t sum, const lacking *l, int row, int v,
                              const bool a_signed) {
    if (NRW_LESS == 0) return sum;
    int32_t rows[8];
    vst1q_s32(rows, l->v[0]);
    vst1q_s32(rows + 4, l->v[1]);
    return vmlaq_n_s32(sum, a_signed ? vdupq_n_s32(rows[row]) : l->v[v], NRW_LESS);
}

/* Rows of a group of a panel of so many rows, in fours. */
NRW_INLINE void load_rows(const uint8_t *a, const int rows, uint8x16_t *out) {
    out[0] = some_fours(a, rows < 4 ? rows : 4);
    if (rows > 4) out[1] = some_fours(a + 16, rows - 4);
}

/* Half of the columns. */
NRW_INLINE void half_tile(const nrw_i8_tile *t, int32_t *out, int half, const int rows,
                          const bool a_signed) {
    nrw_sums acc[ROWS][2];
    lacking lacks = {{vdupq_n_s32(0), vdupq_n_s32(0)}};
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) acc[i][0] = acc[i][1] = no_sums();
    const uint8_t *a = t->a, *b = (const uint8_t *)t->b + half * HALF * 4;
    for (int64_t g = t->groups; g > 0; g--, a += rows * 4, b += TILE_COLS * 4) {
        const uint8x16_t bv[2] = {vld1q_u8(b), vld1q_u8(b + 16)};
        uint8x16_t av[2];
        load_rows(a, rows, av);
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            if (!a_signed || 4 * v < rows)
                lacks.v[v] = add_lacking(lacks.v[v], vreinterpretq_s8_u8(a_signed ? av[v] : bv[v]));
        }
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            acc[i][0] = dot_row(acc[i][0], av[i / 4], i % 4, bv[0], a_signed);
            acc[i][1] = dot_row(acc[i][1], av[i / 4], i % 4, bv[1], a_signed);
        }
    }
    out += half * HALF;
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            vst1q_s32(out + i * TILE_COLS + 4 * v,
                      add_lack(total(acc[i][v]), &lacks, i, v, a_signed));
    }
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
NRW_INLINE uint8x16_t zip_low(uint8x16_t a, uint8x16_t b) {
    return vreinterpretq_u8_u32(vzip1q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
}

NRW_INLINE uint8x16_t zip_high(uint8x16_t a, uint8x16_t b) {
    return vreinterpretq_u8_u32(vzip2q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
}

/* Two rows or columns with eight values of k each make an operand of usmmla, which gives four sums:
 * a pair of rows times a pair of columns. */
typedef struct eights {
    uint8x16_t v[4];
} eights;

NRW_INLINE eights eights_of(const uint8x16_t *first, const uint8x16_t *second, const int fours) {
    eights p;
#pragma GCC unroll 2
    for (int i = 0; i < fours; i++) {
        p.v[2 * i] = zip_low(first[i], second[i]);
        p.v[2 * i + 1] = zip_high(first[i], second[i]);
    }
    return p;
}

NRW_INLINE void multiply_pairs(int32x4_t (*acc)[4], eights a, eights b, const int rows,
                               const bool a_signed) {
#pragma GCC unroll 4
    for (int i = 0; i < (rows + 1) / 2; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            acc[i][j] = a_signed ? vusmmlaq_s32(acc[i][j], b.v[j], vreinterpretq_s8_u8(a.v[i]))
                                 : vusmmlaq_s32(acc[i][j], a.v[i], vreinterpretq_s8_u8(b.v[j]));
    }
}

/* Two groups at a time; the last one of an odd number beside zeros. */
NRW_INLINE void half_tile_by_pairs(const nrw_i8_tile *t, int32_t *out, int half, const int rows,
                                   const bool a_signed) {
    const int fours = (rows + 3) / 4;
    int32x4_t acc[4][4];
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) acc[i][j] = vdupq_n_s32(0);
    }
    const uint8_t *a = t->a, *b = (const uint8_t *)t->b + half * HALF * 4;
    for (int64_t g = t->groups; g > 0; g -= 2, a += rows * 8, b += TILE_COLS * 8) {
        uint8x16_t a0[2], a1[2] = {vdupq_n_u8(0), vdupq_n_u8(0)};
        uint8x16_t b0[2] = {vld1q_u8(b), vld1q_u8(b + 16)}, b1[2] = {vdupq_n_u8(0), vdupq_n_u8(0)};
        load_rows(a, rows, a0);
        if (g > 1) {
            load_rows(a + rows * 4, rows, a1);
            b1[0] = vld1q_u8(b + TILE_COLS * 4);
            b1[1] = vld1q_u8(b + TILE_COLS * 4 + 16);
        }
        multiply_pairs(acc, eights_of(a0, a1, fours), eights_of(b0, b1, 2), rows, a_signed);
    }
    out += half * HALF;
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            const int32x4_t p = acc[i / 2][2 * v], q = acc[i / 2][2 * v + 1];
            const int64x2_t wide[2] = {vreinterpretq_s64_s32(p), vreinterpretq_s64_s32(q)};
            int32x4_t row;
            if (a_signed) /* columns come first in each sum */
                row = i % 2 == 0 ? vuzp1q_s32(p, q) : vuzp2q_s32(p, q);
            else
                row = vreinterpretq_s32_s64(i % 2 == 0 ? vzip1q_s64(wide[0], wide[1])
                                                       : vzip2q_s64(wide[0], wide[1]));
            vst1q_s32(out + i * TILE_COLS + 4 * v, row);
        }
    }
}
#endif

NRW_INLINE void tile(const nrw_i8_tile *t, int32_t *out, const int rows, const bool a_signed) {
    for (int half = 0; half * HALF < t->cols; half++) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
        if (rows > 2) {
            half_tile_by_pairs(t, out, half, rows, a_signed);
            continue;
        }
#endif
        half_tile(t, out, half, rows, a_signed);
    }
}

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        if (t->a_signed)                                                                           \
            tile(t, acc, n, true);                                                                 \
        else                                                                                       \
            tile(t, acc, n, false);                                                                \
        break;

static void i8_tile(const nrw_i8_tile *t) {
    int32_t acc[ROWS * TILE_COLS];
    switch (t->rows) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
#if ROWS > 4
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
#endif
    }
    finish_tile(t, acc);
}

/* Four rows (or the last few) of four columns. */
INLINE void taps(const nrw_i8_taps *t, int64_t r0, int64_t j, int32x4_t lack, const nrw_i8_out out,
                 const int rows) {
    nrw_sums acc[4];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) acc[r] = no_sums();
    const int8_t *w = t->w;
    for (int k = 0; k < t->taps; k++, w += 4) {
        const uint8_t *x = (const uint8_t *)t->x[k] + r0 * t->x_stride + j * 4;
        const int8x16_t wv = vreinterpretq_s8_u8(four_bytes(w));
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            acc[r] = dot(acc[r], active_of(vld1q_u8(x + r * t->x_stride)), wv);
    }
    const int n = t->cols - j < LANES ? (int)(t->cols - j) : LANES;
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        const int64_t at = (r0 + r) * t->y_stride + j;
        finish(t->epilogue, out, true, vaddq_s32(total(acc[r]), lack), n, t->channel, t->sum0 + at,
               (char *)t->y + at * out_size(out));
    }
}

INLINE void taps_rows(const nrw_i8_taps *t, const nrw_i8_out out) {
    const int8_t *w = t->w;
    int32_t sum = 0;
    for (int k = 0; NRW_LESS > 0 && k < t->taps * 4; k++) sum += w[k];
    const int32x4_t lack = vmulq_n_s32(vdupq_n_s32(sum), NRW_LESS);
    int64_t r = 0;
    for (; r + 4 <= t->rows; r += 4) {
        for (int64_t j = 0; j < t->cols; j += LANES) taps(t, r, j, lack, out, 4);
    }
    for (; r < t->rows; r++) {
        for (int64_t j = 0; j < t->cols; j += LANES) taps(t, r, j, lack, out, 1);
    }
}

static void i8_taps(const nrw_i8_taps *t) {
    switch (t->epilogue->out) {
    case NRW_OUT_I32:
        taps_rows(t, NRW_OUT_I32);
        break;
    case NRW_OUT_F32:
        taps_rows(t, NRW_OUT_F32);
        break;
    default:
        taps_rows(t, NRW_OUT_U8);
    }
}

static void i8_interleave(void *dst, const uint8_t *const *rows, int64_t n, uint8_t flip,
                          bool is_signed) {
    uint8_t *d = dst;
    const uint8x16_t f = vdupq_n_u8(flip);
    for (int64_t j = 0; j < n; j += 16, d += 64) {
        uint8x16_t row[4], woven[4];
        for (int i = 0; i < 4; i++) row[i] = veorq_u8(f, vld1q_u8(rows[i] + j));
        weave(row, woven);
        for (int i = 0; i < 4; i++) vst1q_u8(d + 16 * i, woven[i]);
    }
}
