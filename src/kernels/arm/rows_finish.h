/* What becomes of a block of accumulators of rows_i8: rows of 32, of which the even columns come
 * before the odd ones (kernels/rows_i8.h). */
#ifndef NRW_KERNELS_ARM_ROWS_FINISH_H
#define NRW_KERNELS_ARM_ROWS_FINISH_H

#include <arm_neon.h>

#include "base/rint.h"
#include "kernels/arm/segments.h"
#include "kernels/arm/some.h"
#include "kernels/arm/table.h"
#include "kernels/rows_tiers.h"

/* A block of sums of a panel, the epilogue's `add` in them, on its way to rows that are stored one
 * behind the other. */
typedef struct nrw_finish {
    const nrw_rows_i8 *r;
    const int32_t *acc; /* [rows][32] */
    int rows;
    char *c;
    const float *mul, *bias; /* of the panel */
    int64_t cols;            /* that exist, from the panel's first on */
} nrw_finish;

/* acc: of the rows from number `stored` of those that are stored, of panel `panel`. */
NRW_INLINE nrw_finish finish_stored(const nrw_rows_i8 *r, int64_t panel, int64_t stored,
                                    const int32_t *acc, int rows, const nrw_finish_kind kind) {
    const nrw_rows_epilogue *e = &r->epilogue;
    const int64_t size = kind == FINISH_F32 || kind == FINISH_I32 ? 4 : 1;
    const int64_t at = panel * NRW_ROWS_PANEL;
    return (nrw_finish){.r = r,
                        .acc = acc,
                        .rows = rows,
                        .c = (char *)r->c + (stored * r->ldc + at) * size,
                        .mul = e->mul + at,
                        .bias = e->bias + at,
                        .cols = r->cols - at};
}

/* Four sums rounded, in the low 16 bits of each lane: adding the magic number leaves whole numbers
 * in the low bits of the significand, and rounds the exact product once, unless it is to be rounded
 * twice. */
NRW_INLINE int16x8_t rounded(int32x4_t sums, float32x4_t mul, const bool twice, const bool any) {
    const float32x4_t magic = vdupq_n_f32(NRW_RINT_MAGIC), f = vcvtq_f32_s32(sums);
    float32x4_t x = twice ? vaddq_f32(vmulq_f32(f, mul), magic) : vfmaq_f32(magic, f, mul);
    if (any) { /* far outside of a byte, whatever the zero point; NaN below */
        x = vmaxnmq_f32(x, vdupq_n_f32(NRW_RINT_MAGIC - 1024));
        x = vminnmq_f32(x, vdupq_n_f32(NRW_RINT_MAGIC + 1024));
    }
    return vreinterpretq_s16_f32(x);
}

/* What rows of bytes share. */
typedef struct nrw_to_bytes {
    float32x4_t mul[8];
    int16x8_t zero;
    bool twice;
} nrw_to_bytes;

NRW_INLINE nrw_to_bytes bytes_by(const nrw_finish *f) {
    nrw_to_bytes k = {.zero = vdupq_n_s16((int16_t)f->r->epilogue.zero),
                      .twice = f->r->epilogue.rounds_twice};
    for (int i = 0; i < 8; i++) k.mul[i] = vld1q_f32(f->mul + 4 * i);
    return k;
}

/* Half a row: bytes of the even columns, or of the odd ones. */
NRW_INLINE uint8x16_t half_bytes(const nrw_to_bytes *k, const int32_t *acc, int half,
                                 const nrw_finish_kind kind) {
    const bool any =
        kind == FINISH_ANY_U8 || kind == FINISH_ANY_RESIDUAL || kind == FINISH_ANY_TABLE;
    int16x8_t words[2];
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const int at = 4 * half + 2 * i;
        words[i] = vuzp1q_s16(rounded(vld1q_s32(acc + 4 * at), k->mul[at], k->twice, any),
                              rounded(vld1q_s32(acc + 4 * at + 4), k->mul[at + 1], k->twice, any));
        if (kind != FINISH_PLAIN_U8) words[i] = vaddq_s16(words[i], k->zero);
    }
    return vqmovun_high_s16(vqmovun_s16(words[0]), words[1]);
}

/* A row's bytes in order of columns. */
NRW_INLINE uint8x16x2_t row_bytes(const nrw_to_bytes *k, const int32_t *acc,
                                  const nrw_finish_kind kind) {
    const uint8x16_t even = half_bytes(k, acc, 0, kind), odd = half_bytes(k, acc, 1, kind);
    return (uint8x16x2_t){{vzip1q_u8(even, odd), vzip2q_u8(even, odd)}};
}

NRW_INLINE void store_row(char *c, uint8x16x2_t row, int64_t cols) {
    store_some_bytes(cols, (uint8_t *)c, row.val[0]);
    if (cols > 16) store_some_bytes(cols - 16, (uint8_t *)c + 16, row.val[1]);
}

NRW_INLINE void store_u8(const nrw_finish *f, const nrw_finish_kind kind) {
    const bool looks_up = kind == FINISH_TABLE || kind == FINISH_ANY_TABLE;
    const nrw_to_bytes k = bytes_by(f);
    const int32_t *acc = f->acc;
    char *c = f->c;
    for (int i = 0; i < f->rows; i++, acc += NRW_ROWS_PANEL, c += f->r->ldc)
        store_row(c, row_bytes(&k, acc, kind), f->cols);
    if (!looks_up) return;
    /* Apart from the above, which needs the registers as well. */
    const nrw_table table = table_of(f->r->epilogue.table);
    const int64_t cols = f->cols < NRW_ROWS_PANEL ? f->cols : NRW_ROWS_PANEL;
    c = f->c;
    for (int i = 0; i < f->rows; i++, c += f->r->ldc) {
        uint8_t *y = (uint8_t *)c;
        for (int64_t at = 0; at < cols; at += 16)
            store_some_bytes(cols - at, y + at,
                             looked_up(&table, load_some_bytes(cols - at, y + at)));
    }
}

/* What rows of floats share. */
typedef struct nrw_to_floats {
    float32x4_t mul[8], bias[8];
    bool adds_bias;
} nrw_to_floats;

NRW_INLINE nrw_to_floats floats_by(const nrw_finish *f) {
    nrw_to_floats k = {.adds_bias = f->r->epilogue.adds_bias};
    for (int i = 0; i < 8; i++) {
        k.mul[i] = vld1q_f32(f->mul + 4 * i);
        k.bias[i] = vld1q_f32(f->bias + 4 * i);
    }
    return k;
}

/* A row's sums, or what they stand for, in order of columns. */
NRW_INLINE void widen(const nrw_to_floats *k, const int32_t *acc, const bool real, int32x4_t *out) {
    int32x4_t v[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        v[i] = vld1q_s32(acc + 4 * i);
        if (!real) continue;
        const float32x4_t x = vmulq_f32(vcvtq_f32_s32(v[i]), k->mul[i]);
        v[i] = vreinterpretq_s32_f32(k->adds_bias ? vaddq_f32(x, k->bias[i]) : x);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        out[2 * i] = vzip1q_s32(v[i], v[i + 4]);
        out[2 * i + 1] = vzip2q_s32(v[i], v[i + 4]);
    }
}

NRW_INLINE void store_wide(const nrw_finish *f, const nrw_finish_kind kind) {
    const nrw_to_floats k = floats_by(f);
    const int32_t *acc = f->acc;
    char *c = f->c;
    for (int i = 0; i < f->rows; i++, acc += NRW_ROWS_PANEL, c += 4 * f->r->ldc) {
        int32x4_t row[8];
        widen(&k, acc, kind == FINISH_F32, row);
        for (int v = 0; v < 8 && 4 * v < f->cols; v++)
            store_some_i(f->cols - 4 * v, c + 16 * v, row[v]);
    }
}

NRW_INLINE void store_segments(const nrw_finish *f) {
    const nrw_to_floats k = floats_by(f);
    const nrw_segments *s = f->r->epilogue.segments;
    const int32_t *acc = f->acc;
    char *c = f->c;
    for (int i = 0; i < f->rows; i++, acc += NRW_ROWS_PANEL, c += f->r->ldc) {
        int32x4_t row[8];
        float32x4_t x[8];
        widen(&k, acc, true, row);
        for (int v = 0; v < 8; v++) x[v] = vreinterpretq_f32_s32(row[v]);
        store_row(c, (uint8x16x2_t){{segment_bytes(s, x), segment_bytes(s, x + 4)}}, f->cols);
    }
}

/* Four results and bytes of the residual, added, without the zero point. */
NRW_INLINE int32x4_t add_four(const nrw_sum_u8 *s, uint16x4_t own, uint16x4_t other) {
    const int32x4_t a = vreinterpretq_s32_u32(vmovl_u16(own));
    const int32x4_t b = vreinterpretq_s32_u32(vmovl_u16(other));
    const int32x4_t sum = vmlaq_n_s32(vmlaq_n_s32(vdupq_n_s32(s->add), a, s->by_a), b, s->by_b);
    return vshlq_s32(sum, vdupq_n_s32(-s->shift));
}

NRW_INLINE int16x8_t add_eight(const nrw_sum_u8 *s, uint8x8_t own, uint8x8_t other) {
    const uint16x8_t a = vmovl_u8(own), b = vmovl_u8(other);
    const int16x4_t low = vqmovn_s32(add_four(s, vget_low_u16(a), vget_low_u16(b)));
    const int16x8_t sums = vqmovn_high_s32(low, add_four(s, vget_high_u16(a), vget_high_u16(b)));
    return vqaddq_s16(sums, vdupq_n_s16((int16_t)s->zero));
}

NRW_INLINE uint8x16_t add_bytes(const nrw_sum_u8 *s, uint8x16_t own, uint8x16_t other) {
    const int16x8_t low = add_eight(s, vget_low_u8(own), vget_low_u8(other));
    const int16x8_t high = add_eight(s, vget_high_u8(own), vget_high_u8(other));
    return vqmovun_high_s16(vqmovun_s16(low), high);
}

NRW_INLINE void store_residual(const nrw_finish *f, const nrw_finish_kind kind) {
    const nrw_to_bytes k = bytes_by(f);
    const nrw_sum_u8 sum = *f->r->epilogue.residual; /* bytes may alias what is not local */
    const ptrdiff_t away = (const char *)f->r->residual - (const char *)f->r->c;
    const int32_t *acc = f->acc;
    char *c = f->c;
    for (int i = 0; i < f->rows; i++, acc += NRW_ROWS_PANEL, c += f->r->ldc) {
        const uint8_t *other = (const uint8_t *)c + away;
        uint8x16x2_t row = row_bytes(&k, acc, kind);
        row.val[0] = add_bytes(&sum, row.val[0], load_some_bytes(f->cols, other));
        if (f->cols > 16)
            row.val[1] = add_bytes(&sum, row.val[1], load_some_bytes(f->cols - 16, other + 16));
        store_row(c, row, f->cols);
    }
}

NRW_INLINE void store_rows(const nrw_finish *f, const nrw_finish_kind kind) {
    switch (kind) {
    case FINISH_PLAIN_U8:
    case FINISH_U8:
    case FINISH_ANY_U8:
    case FINISH_TABLE:
    case FINISH_ANY_TABLE:
        store_u8(f, kind);
        break;
    case FINISH_SEGMENTS:
        store_segments(f);
        break;
    case FINISH_RESIDUAL:
    case FINISH_ANY_RESIDUAL:
        store_residual(f, kind);
        break;
    default:
        store_wide(f, kind);
    }
}

#endif
