/* Sixteen lanes of kernels/segments.h, for AVX-512: a table of 32 floats is two vectors, which one
 * permutation looks up. */
#ifndef NRW_KERNELS_X86_SEGMENTS_H
#define NRW_KERNELS_X86_SEGMENTS_H

#include <immintrin.h>

#include "base/rint.h"
#include "kernels/segments.h"

/* Results, one in each lane, still to be held to 255. Adding the magic number leaves the rounded
 * segment in the low bits, all that the permutation looks at. */
static inline __attribute__((always_inline)) __m512i segments_of(const nrw_segments *s, __m512 x) {
    const __m512 magic = _mm512_set1_ps(NRW_RINT_MAGIC);
    const __m512 v = _mm512_max_ps(x, _mm512_set1_ps(s->lo));
    __m512 u = _mm512_fmadd_ps(v, _mm512_set1_ps(s->per_unit), _mm512_set1_ps(s->shift));
    u = _mm512_min_ps(u, _mm512_set1_ps(NRW_SEGMENTS_LAST));
    const __m512 k = _mm512_add_ps(u, magic);
    const __m512 t = _mm512_sub_ps(u, _mm512_sub_ps(k, magic));
    __m512 p = _mm512_setzero_ps();
#pragma GCC unroll 5
    for (int j = NRW_SEGMENT_TERMS - 1; j >= 0; j--) {
        const __m512 c = _mm512_permutex2var_ps(_mm512_loadu_ps(s->c[j]), _mm512_castps_si512(k),
                                                _mm512_loadu_ps(s->c[j] + 16));
        p = j == NRW_SEGMENT_TERMS - 1 ? c : _mm512_fmadd_ps(p, t, c);
    }
    const __m512 by = s->times_x ? v : _mm512_set1_ps(1);
    const __m512 q = _mm512_fmadd_ps(by, p, _mm512_set1_ps(s->zero));
    return _mm512_cvtps_epi32(_mm512_max_ps(q, _mm512_setzero_ps()));
}

#endif
