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
    const int8_t *w; /* of the first tap of the first line */
    int64_t c, n;    /* the first channel, and how many there are */
    int64_t line;    /* bytes from a line to the next */
    const int32_t *add, *sum;
    const float *mul;
    int block; /* so many bytes of weights, and a quarter of it of the others' elements, lie between
                  four channels and the next four */
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
    int32x4_t start = vld1q_s32(k->add + q * (k->block / 4));
    if (NRW_LESS > 0) start = vmlaq_n_s32(start, vld1q_s32(k->sum + q * (k->block / 4)), NRW_LESS);
    const float32x4_t acc = vcvtq_f32_s32(vaddq_s32(total(sums), start));
    const float32x4_t mul = vld1q_f32(k->mul + q * (k->block / 4));
    float32x4_t x =
        k->d->rounds_twice ? vaddq_f32(vmulq_f32(acc, mul), magic) : vfmaq_f32(magic, acc, mul);
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

/* How weights and columns that are woven already lie: tap t of group g has columns
 * woven[(g * columns + t) * 4] … + 3, and those of the next column of output `apart` columns on. */
typedef struct taps_of {
    const nrw_active *woven;
    int64_t columns;
    int apart;
} taps_of;

/* One or two columns of output for each line. Loops over the taps are left as they are: the body of
 * one is long enough, and has all the registers that there are. */
NRW_INLINE void pixels(const group *k, taps_of from, int64_t x, const int block, const int lines,
                       const int count, const bool in_range) {
    const nrw_depthwise_i8 *d = k->d;
    nrw_sums acc[2][2][4];
#pragma GCC unroll 2
    for (int l = 0; l < lines; l++) {
#pragma GCC unroll 2
        for (int p = 0; p < count; p++) {
#pragma GCC unroll 4
            for (int q = 0; q < 4; q++) acc[l][p][q] = no_sums();
        }
    }
    const int8_t *w = k->w;
    for (int g = 0; g < d->groups; g++) {
        const nrw_active *v = from.woven + g * from.columns * 4, *end = v + d->kw * 4;
#pragma GCC unroll 1
        for (; v < end; v += 4, w += block * NRW_WOVEN_ROWS) {
#pragma GCC unroll 4
            for (int q = 0; q < 4; q++) {
#pragma GCC unroll 2
                for (int l = 0; l < lines; l++) {
                    const int8x16_t taps = vld1q_s8(w + l * k->line + q * block);
#pragma GCC unroll 2
                    for (int p = 0; p < count; p++)
                        acc[l][p][q] = dot(acc[l][p][q], v[4 * p * from.apart + q], taps);
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

NRW_INLINE void shared_columns(const group *k, const int block, const int lines,
                               const bool in_range) {
    const nrw_depthwise_i8 *d = k->d;
    nrw_active woven[WOVEN * 4];
    taps_of from = {.apart = (int)(d->stride / d->step)};
    int64_t outs = (WOVEN / d->groups - d->kw) / from.apart + 1; /* at a time */
    for (int64_t x = 0; x < d->width; x += outs) {
        if (outs > d->width - x) outs = d->width - x;
        from.columns = (outs - 1) * from.apart + d->kw;
        for (int g = 0; g < d->groups; g++) {
            for (int64_t i = 0; i < from.columns; i++)
                weave_pixel(k, d->rows + g * NRW_WOVEN_ROWS, x * d->stride + i * d->step - d->pad,
                            woven + (g * from.columns + i) * 4);
        }
        from.woven = woven;
        int64_t o = 0;
        for (; o + PIXELS <= outs; o += PIXELS, from.woven += PIXELS * from.apart * 4)
            pixels(k, from, x + o, block, lines, PIXELS, in_range);
        if (o < outs) pixels(k, from, x + o, block, lines, 1, in_range);
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
                    const int8_t *w =
                        k->w + l * k->line + (g * d->kw + t) * k->block * NRW_WOVEN_ROWS;
                    for (int q = 0; q < 4; q++)
                        acc[l][q] = dot(acc[l][q], v[q], vld1q_s8(w + q * k->block));
                }
            }
        }
        for (int l = 0; l < d->lines; l++) store_pixel(k, acc[l], l, x, false);
    }
}

NRW_INLINE void lines_of(const group *k, const int block, const bool in_range) {
    if (k->d->lines == 2)
        shared_columns(k, block, 2, in_range);
    else
        shared_columns(k, block, 1, in_range);
}

static void run_group(const group *k) {
    const nrw_depthwise_i8 *d = k->d;
    const bool shared = d->stride % d->step == 0 && d->groups * (d->kw + 1) <= WOVEN;
    if (!shared)
        columns_apart(k);
    else if (k->block == 64 && d->in_range)
        lines_of(k, 64, true);
    else if (k->block == 64)
        lines_of(k, 64, false);
    else if (d->in_range)
        lines_of(k, 32, true);
    else
        lines_of(k, 32, false);
}

static void depthwise_i8(const nrw_depthwise_i8 *d) {
    const int8_t *w = d->w;
    for (int64_t c = 0; c < d->channels;) {
        const int block = nrw_depthwise_block(d->channels - c);
        const int64_t line = (int64_t)d->groups * d->kw * block * NRW_WOVEN_ROWS;
        for (int at = 0; at < block && c + at < d->channels; at += 16) {
            const group k = {.d = d,
                             .w = w + at,
                             .c = c + at,
                             .n = d->channels - c - at,
                             .line = line,
                             .add = d->add + c + at / 4,
                             .sum = d->sum + c + at / 4,
                             .mul = d->mul + c + at / 4,
                             .block = block};
            run_group(&k);
        }
        w += d->packed_lines * line;
        c += block;
    }
}
