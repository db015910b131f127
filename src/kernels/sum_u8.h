/* Sums of two bytes, each of which stands for a number by a scale and a zero point, as bytes of a
 * third scale: in fixed point, so that the sum behind a convolution takes few instructions. */
#ifndef NRW_KERNELS_SUM_U8_H
#define NRW_KERNELS_SUM_U8_H

#include <stdbool.h>
#include <stdint.h>

/* From bytes a and b: clamp((by_a a + by_b b + add) >> shift, 0, 255), exact in int32. */
typedef struct nrw_sum_u8 {
    int16_t by_a, by_b; /* quotients of scales times 2^shift, rounded */
    int32_t add;        /* the zero points, and a half to round */
    int shift;          /* 9 … 22 */
} nrw_sum_u8;

/* What a byte stands for: scale * (byte - zero). */
typedef struct nrw_byte_scale {
    float scale;
    int32_t zero; /* 0 … 255 */
} nrw_byte_scale;

/* The larger multiplier has 15 bits, so that sums are off by at most 1/64 of a step for each unit
 * of the larger quotient of scales before they are rounded; where a and b are their zero points,
 * the sum is exactly its own. a.scale or b.scale may be negative. False: a quotient is larger
 * than 63. */
bool nrw_sum_u8_make(nrw_byte_scale a, nrw_byte_scale b, nrw_byte_scale y, nrw_sum_u8 *out);

static inline uint8_t nrw_sum_u8_of(const nrw_sum_u8 *s, uint8_t a, uint8_t b) {
    const int32_t v = (s->by_a * a + s->by_b * b + s->add) >> s->shift;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

#endif
