/* Floats to bytes of one scale, for AVX-512. */
#include <immintrin.h>

#include "kernels/kernels.h"

/* The quotient is rounded as by a division: the remainder of a close guess is exact, and adding it
 * rounds correctly (Markstein, "Computation of elementary functions on the IBM RISC System/6000",
 * 1990; for divisors whose significand is not all ones). A guess far outside of what is kept stays
 * there. A NaN is the zero point. */
void nrw_quantize_u8_avx512(const nrw_quantize_u8 *q, const float *x, uint8_t *y, int64_t n) {
    const __m512 scale = _mm512_set1_ps(q->scale),
                 inverse = _mm512_set1_ps(q->factor != 0 ? q->factor : 1 / q->scale);
    const __m512 far = _mm512_set1_ps(1048576.0f), near = _mm512_set1_ps(-1048576.0f);
    const __m512 low = _mm512_set1_ps((float)-q->zero),
                 high = _mm512_set1_ps((float)(255 - q->zero));
    const __m512i zero = _mm512_set1_epi32(q->zero);
    for (int64_t i = 0; i < n; i += 16) {
        const __mmask16 some = (__mmask16)(n - i >= 16 ? 0xffff : (1 << (n - i)) - 1);
        const __m512 v = _mm512_maskz_loadu_ps(some, x + i);
        const __mmask16 number = _mm512_cmp_ps_mask(v, v, _CMP_ORD_Q);
        const __m512 guess = _mm512_max_ps(_mm512_min_ps(_mm512_mul_ps(v, inverse), far), near);
        __m512 r = q->factor != 0 ? _mm512_maskz_mov_ps(number, guess)
                                  : _mm512_maskz_fmadd_ps(number, _mm512_fnmadd_ps(guess, scale, v),
                                                          inverse, guess);
        r = _mm512_min_ps(_mm512_max_ps(r, low), high);
        _mm512_mask_cvtepi32_storeu_epi8(y + i, some,
                                         _mm512_add_epi32(_mm512_cvtps_epi32(r), zero));
    }
}
