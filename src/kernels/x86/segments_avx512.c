/* Polynomials on 32 segments (kernels/segments.h): a table of 32 floats is two vectors, which one
 * permutation looks up. Multiplications and additions stay apart, as everywhere else. */
#include <immintrin.h>

#include "kernels/kernels.h"

static inline __attribute__((always_inline)) __m512 evaluate(const nrw_segments *s, __m512 x) {
    const __m512 lo = _mm512_set1_ps(s->lo);
    const __m512 v = _mm512_min_ps(_mm512_max_ps(x, lo), _mm512_set1_ps(s->hi));
    const __m512 u = _mm512_mul_ps(_mm512_sub_ps(v, lo), _mm512_set1_ps(s->per_unit));
    const __m512i k = _mm512_min_epi32(_mm512_cvttps_epi32(u), _mm512_set1_epi32(NRW_SEGMENTS - 1));
    const __m512 t = _mm512_sub_ps(_mm512_sub_ps(u, _mm512_cvtepi32_ps(k)), _mm512_set1_ps(0.5f));
    __m512 p = _mm512_setzero_ps();
#pragma GCC unroll 5
    for (int j = NRW_SEGMENT_TERMS - 1; j >= 0; j--) {
        const __m512 c =
            _mm512_permutex2var_ps(_mm512_loadu_ps(s->c[j]), k, _mm512_loadu_ps(s->c[j] + 16));
        p = j == NRW_SEGMENT_TERMS - 1 ? c : _mm512_add_ps(_mm512_mul_ps(p, t), c);
    }
    return s->times_x ? _mm512_mul_ps(x, p) : p;
}

void nrw_segments_u8_avx512(const nrw_segments *s, const float *x, uint8_t *y, int64_t n) {
    const __m512 per_step = _mm512_set1_ps(s->per_step);
    const __m512 least = _mm512_set1_ps((float)-s->zero);
    const __m512 most = _mm512_set1_ps((float)(255 - s->zero));
    for (int64_t i = 0; i < n; i += 16) {
        const __mmask16 m = n - i >= 16 ? 0xffff : (__mmask16)((1u << (n - i)) - 1);
        __m512 q = _mm512_mul_ps(evaluate(s, _mm512_maskz_loadu_ps(m, x + i)), per_step);
        q = _mm512_min_ps(_mm512_max_ps(q, least), most);
        const __m512i whole = _mm512_add_epi32(_mm512_cvtps_epi32(q), _mm512_set1_epi32(s->zero));
        _mm512_mask_cvtepi32_storeu_epi8(y + i, m, whole);
    }
}
