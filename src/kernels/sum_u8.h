/* Sums of two bytes, each of which stands for a number by a scale and a zero point, as bytes of a
 * third scale: in fixed point, so that the sum behind a convolution takes few instructions. */
#ifndef NRW_KERNELS_SUM_U8_H
#define NRW_KERNELS_SUM_U8_H

#include <stdbool.h>
#include <stdint.h>

/* From bytes a and b: clamp(((by_a a + by_b b + add) >> shift) + zero, 0, 255), exact in int32. */
typedef struct nrw_sum_u8 {
    int32_t by_a, by_b; /* quotients of scales times 2^shift, rounded: 21 bits and a sign */
    int32_t add;        /* less the zero points, and a half to round */
    int shift;          /* 12 … 30 */
    int32_t zero;       /* of the sum */
} nrw_sum_u8;

/* What a byte stands for: scale * (byte - zero). */
typedef struct nrw_byte_scale {
    float scale;
    int32_t zero; /* 0 … 255 */
} nrw_byte_scale;

/* The larger multiplier has 21 bits, and halves are rounded up: with quotients from 2^-10 to 2^8
 * these are the sums of XNNPACK (https://github.com/google/XNNPACK, src/reference and
 * microparams-init.c: qs8-vadd), bit by bit. a.scale or b.scale may be negative. False: the larger
 * quotient is not from 2^-10 to below 2^9. */
bool nrw_sum_u8_make(nrw_byte_scale a, nrw_byte_scale b, nrw_byte_scale y, nrw_sum_u8 *out);

static inline uint8_t nrw_sum_u8_of(const nrw_sum_u8 *s, uint8_t a, uint8_t b) {
    const uint32_t sum =
        (uint32_t)s->by_a * a + (uint32_t)s->by_b * b + (uint32_t)s->add; /* the whole fits */
    const int32_t v = ((int32_t)sum >> s->shift) + s->zero;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

#endif
