/* depthwise_i8 of a tier: 16 channels at a time. dot.h says by what instructions; the includer
 * defines PIXELS, how many columns of output share each weight that is loaded, 1 or 2. */
#include "base/rint.h"
#include "kernels/arm/dot.h"
#include "kernels/arm/some.h"
#include "kernels/depthwise_i8.h"

enum { WOVEN = 48 }; /* columns of four rows that have room at a time */

/* Sixteen channels of a block. */
typedef struct group {
    const nrw_depthwise_i8 *d;
    const int8_t *w;   /* of the first tap of the first line */
    int64_t c, n;      /* the first channel, and how many there are */
    int64_t tap, line; /* bytes from a tap or a line to the next */
    const int32_t *add, *sum;
    const float *mul;
    int deal; /* from four channels to the next four: elements of the above, four bytes of weights
               */
} group;

/* Four rows at a pixel, woven. */
NRW_INLINE void weave_pixel(const group *k, const uint8_t *const *rows, int64_t pixel,
                            nrw_active *out) {
    const nrw_depthwise_i8 *d = k->d;
    uint8x16_t row[4], woven[4];
    if (pixel < 0 || pixel >= d->in_width) {
        for (int q = 0; q < 4; q++) out[q] = active_of(vdupq_n_u8(d->fill));
        return;
    }
    const int64_t at = pixel * d->channels + k->c;
    for (int i = 0; i < 4; i++) row[i] = vld1q_u8(rows[i] + at);
    weave(row, woven);
    for (int q = 0; q < 4; q++) out[q] = active_of(woven[q]);
}

/* Sums rounded, in the low 16 bits of each lane; as in rows_finish.h. */
NRW_INLINE int16x8_t rounded_sums(const group *k, nrw_sums sums, int q, const bool in_range) {
    const float32x4_t magic = vdupq_n_f32(NRW_RINT_MAGIC);
    int32x4_t start = vld1q_s32(k->add + q * k->deal);
    if (NRW_LESS > 0) start = vmlaq_n_s32(start, vld1q_s32(k->sum + q * k->deal), NRW_LESS);
    const float32x4_t acc = vcvtq_f32_s32(vaddq_s32(total(sums), start));
    float32x4_t x = vfmaq_f32(magic, acc, vld1q_f32(k->mul + q * k->deal));
    if (!in_range) {
        x = vmaxnmq_f32(x, vdupq_n_f32(NRW_RINT_MAGIC - 1024));
        x = vminnmq_f32(x, vdupq_n_f32(NRW_RINT_MAGIC + 1024));
    }
    return vreinterpretq_s16_f32(x);
}

NRW_INLINE void store_pixel(const group *k, const nrw_sums *acc, int line, int64_t x,
                            const bool in_range) {
    const nrw_depthwise_i8 *d = k->d;
    const int16x8_t zero = vdupq_n_s16((int16_t)d->zero);
    int16x8_t words[2];
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        const int16x8_t a = rounded_sums(k, acc[2 * h], 2 * h, in_range);
        const int16x8_t b = rounded_sums(k, acc[2 * h + 1], 2 * h + 1, in_range);
        words[h] = vaddq_s16(vuzp1q_s16(a, b), zero);
    }
    store_some_bytes(k->n, d->y[line] + x * d->channels + k->c,
                     vqmovun_high_s16(vqmovun_s16(words[0]), words[1]));
}

/* One or two columns of output for each line, from columns that are woven already: tap t of group g
 * lies at woven[(g * columns + t) * 4], that of the next column of output `apart` columns on. */
NRW_INLINE void pixels(const group *k, const nrw_active *woven, int64_t columns, int apart,
                       int64_t x, const int groups, const int kw, const int lines, const int count,
                       const bool in_range) {
    nrw_sums acc[2][2][4];
#pragma GCC unroll 2
    for (int l = 0; l < lines; l++) {
#pragma GCC unroll 2
        for (int p = 0; p < count; p++) {
#pragma GCC unroll 4
            for (int q = 0; q < 4; q++) acc[l][p][q] = no_sums();
        }
    }
#pragma GCC unroll 2
    for (int g = 0; g < groups; g++) {
#pragma GCC unroll 5
        for (int t = 0; t < kw; t++) {
            const nrw_active *v = woven + (g * columns + t) * 4;
            const int8_t *w = k->w + (g * kw + t) * k->tap;
#pragma GCC unroll 4
            for (int q = 0; q < 4; q++) {
#pragma GCC unroll 2
                for (int l = 0; l < lines; l++) {
                    const int8x16_t taps = vld1q_s8(w + l * k->line + 4 * q * k->deal);
#pragma GCC unroll 2
                    for (int p = 0; p < count; p++)
                        acc[l][p][q] = dot(acc[l][p][q], v[4 * p * apart + q], taps);
                }
            }
        }
    }
#pragma GCC unroll 2
    for (int l = 0; l < lines; l++) {
#pragma GCC unroll 2
        for (int p = 0; p < count; p++) store_pixel(k, acc[l][p], l, x + p, in_range);
    }
}

NRW_INLINE void shared_columns(const group *k, const int groups, const int kw, const int lines,
                               const bool in_range) {
    const nrw_depthwise_i8 *d = k->d;
    nrw_active woven[WOVEN * 4];
    const int apart = (int)(d->stride / d->step);
    int64_t outs = (WOVEN / groups - kw) / apart + 1; /* at a time */
    for (int64_t x = 0; x < d->width; x += outs) {
        if (outs > d->width - x) outs = d->width - x;
        const int64_t columns = (outs - 1) * apart + kw;
        for (int g = 0; g < groups; g++) {
            for (int64_t i = 0; i < columns; i++)
                weave_pixel(k, d->rows + g * NRW_WOVEN_ROWS, x * d->stride + i * d->step - d->pad,
                            woven + (g * columns + i) * 4);
        }
        int64_t o = 0;
        for (; o + PIXELS <= outs; o += PIXELS)
            pixels(k, woven + o * apart * 4, columns, apart, x + o, groups, kw, lines, PIXELS,
                   in_range);
        if (o < outs)
            pixels(k, woven + o * apart * 4, columns, apart, x + o, groups, kw, lines, 1, in_range);
    }
}

/* Filters that are too wide for the room, or that move by part of a step: one column at a time. */
static void columns_apart(const group *k) {
    const nrw_depthwise_i8 *d = k->d;
    for (int64_t x = 0; x < d->width; x++) {
        nrw_sums acc[2][4];
        for (int q = 0; q < 4; q++) acc[0][q] = acc[1][q] = no_sums();
        for (int g = 0; g < d->groups; g++) {
            for (int t = 0; t < d->kw; t++) {
                nrw_active v[4];
                weave_pixel(k, d->rows + g * NRW_WOVEN_ROWS, x * d->stride + t * d->step - d->pad,
                            v);
                for (int l = 0; l < d->lines; l++) {
                    const int8_t *w = k->w + l * k->line + (g * d->kw + t) * k->tap;
                    for (int q = 0; q < 4; q++)
                        acc[l][q] = dot(acc[l][q], v[q], vld1q_s8(w + 4 * q * k->deal));
                }
            }
        }
        for (int l = 0; l < d->lines; l++) store_pixel(k, acc[l], l, x, false);
    }
}

#define SHAPE(g, w, l)                                                                             \
    if (d->groups == g && d->kw == w && d->lines == l) {                                           \
        shared_columns(k, g, w, l, in_range);                                                      \
        return;                                                                                    \
    }

NRW_INLINE void shapes(const group *k, const bool in_range) {
    const nrw_depthwise_i8 *d = k->d;
    SHAPE(1, 3, 2)
    SHAPE(1, 3, 1)
    SHAPE(2, 5, 2)
    SHAPE(2, 5, 1)
    if (d->lines == 2)
        shared_columns(k, d->groups, d->kw, 2, in_range);
    else
        shared_columns(k, d->groups, d->kw, 1, in_range);
}
#undef SHAPE

static void run_group(const group *k) {
    const nrw_depthwise_i8 *d = k->d;
    const bool shared = d->stride % d->step == 0 && d->groups * (d->kw + 1) <= WOVEN;
    if (!shared)
        columns_apart(k);
    else if (d->in_range)
        shapes(k, true);
    else
        shapes(k, false);
}

static void depthwise_i8(const nrw_depthwise_i8 *d) {
    const int8_t *w = d->w;
    for (int64_t c = 0; c < d->channels;) {
        const int block = nrw_depthwise_block(d->channels - c), tap = block * NRW_WOVEN_ROWS;
        const int64_t line = (int64_t)d->groups * d->kw * tap;
        for (int at = 0; at < block && c + at < d->channels; at += 16) {
            const group k = {.d = d,
                             .w = w + at,
                             .c = c + at,
                             .n = d->channels - c - at,
                             .tap = tap,
                             .line = line,
                             .add = d->add + c + at / 4,
                             .sum = d->sum + c + at / 4,
                             .mul = d->mul + c + at / 4,
                             .deal = block / 4};
            run_group(&k);
        }
        w += d->packed_lines * line;
        c += block;
    }
}
