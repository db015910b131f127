/* Bytes from bytes and from floats, one by one. */
#include <arm_neon.h>

#include "base/rint.h"
#include "kernels/arm/some.h"
#include "kernels/arm/table.h"
#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline))

void nrw_table_u8_neon(const uint8_t *table, const uint8_t *x, uint8_t *y, int64_t n) {
    const nrw_table t = table_of(table);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) vst1q_u8(y + i, looked_up(&t, vld1q_u8(x + i)));
    if (i < n) store_some_bytes(n - i, y + i, looked_up(&t, load_some_bytes(n - i, x + i)));
}

/* What x stands for times its channel's number, rounded, in the low 16 bits of each lane. */
INLINE int16x8_t product(uint16x4_t x, const float *by, const float *from, float32x4_t m,
                         const bool twice) {
    const float32x4_t acc = vfmaq_f32(vld1q_f32(from), vcvtq_f32_u32(vmovl_u16(x)), vld1q_f32(by));
    const float32x4_t magic = vdupq_n_f32(NRW_RINT_MAGIC);
    return vreinterpretq_s16_f32(twice ? vaddq_f32(vmulq_f32(acc, m), magic)
                                       : vfmaq_f32(magic, acc, m));
}

/* Blocks of 64 channels are dealt as sixteen channels lie when they are widened: four vectors at a
 * distance of sixteen. */
void nrw_scale_u8_neon(const nrw_scale_u8 *s, const uint8_t *x, uint8_t *y, int64_t pixels) {
    const float32x4_t m = vdupq_n_f32(s->m);
    const bool twice = s->rounds_twice;
    const int16x8_t zero = vdupq_n_s16((int16_t)s->zero);
    for (int64_t p = 0; p < pixels; p++, x += s->channels, y += s->channels) {
        for (int64_t c = 0; c < s->channels; c += 16) {
            const int64_t left = s->channels - c;
            const float *by = s->by + c / 64 * 64 + c % 64 / 4;
            const float *from = s->from + c / 64 * 64 + c % 64 / 4;
            const uint8x16_t v = load_some_bytes(left, x + c);
            const uint16x8_t low = vmovl_u8(vget_low_u8(v)), high = vmovl_high_u8(v);
            const int16x8_t a =
                vuzp1q_s16(product(vget_low_u16(low), by, from, m, twice),
                           product(vget_high_u16(low), by + 16, from + 16, m, twice));
            const int16x8_t b =
                vuzp1q_s16(product(vget_low_u16(high), by + 32, from + 32, m, twice),
                           product(vget_high_u16(high), by + 48, from + 48, m, twice));
            store_some_bytes(left, y + c,
                             vqmovun_high_s16(vqmovun_s16(vaddq_s16(a, zero)), vaddq_s16(b, zero)));
        }
    }
}

typedef struct quantizing {
    float32x4_t scale, inverse;
    int32x4_t zero;
    bool reciprocal;
} quantizing;

/* The quotient is rounded as by a division: the remainder of a close guess is exact, and adding it
 * rounds correctly (Markstein, "Computation of elementary functions on the IBM RISC System/6000",
 * 1990; for divisors whose significand is not all ones). A guess far outside of what is kept stays
 * there. A NaN converts to 0, which is the zero point. */
INLINE int16x4_t quantized(const quantizing *q, float32x4_t x) {
    const float32x4_t far = vdupq_n_f32(1048576.0f);
    float32x4_t guess = vminq_f32(vmulq_f32(x, q->inverse), far);
    guess = vmaxq_f32(guess, vnegq_f32(far));
    const float32x4_t r =
        q->reciprocal ? guess : vfmaq_f32(guess, vfmsq_f32(x, guess, q->scale), q->inverse);
    return vqmovn_s32(vqaddq_s32(vcvtnq_s32_f32(r), q->zero));
}

INLINE uint8x16_t quantized_16(const quantizing *q, const float32x4_t *x) {
    const int16x8_t low = vcombine_s16(quantized(q, x[0]), quantized(q, x[1]));
    const int16x8_t high = vcombine_s16(quantized(q, x[2]), quantized(q, x[3]));
    return vqmovun_high_s16(vqmovun_s16(low), high);
}

INLINE void quantize_16(const quantizing *q, const float *x, uint8_t *y, int64_t n) {
    float32x4_t v[4];
    for (int j = 0; j < 4; j++)
        v[j] = n > 4 * j ? load_some_f(n - 4 * j, x + 4 * j) : vdupq_n_f32(0);
    store_some_bytes(n, y, quantized_16(q, v));
}

void nrw_quantize_u8_neon(const nrw_quantize_u8 *q, const float *x, uint8_t *y, int64_t n) {
    const float inverse = q->factor != 0 ? q->factor : 1 / q->scale;
    const quantizing k = {vdupq_n_f32(q->scale), vdupq_n_f32(inverse), vdupq_n_s32(q->zero),
                          q->factor != 0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) quantize_16(&k, x + i, y + i, 16);
    if (i < n) quantize_16(&k, x + i, y + i, n - i);
}
