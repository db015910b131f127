/* Depthwise convolutions by vpdpbusd, in blocks of 64 channels and of 32. */
#include <immintrin.h>

#include "kernels/depthwise_i8.h"
#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline))

enum { WOVEN = 48 }; /* columns of four rows that have room at a time */

static inline uint64_t first_bytes(int64_t n) {
    return n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
}

#define W                   64
#define V                   __m512i
#define VF                  __m512
#define NAME(x)             x##_64
#define load_v              _mm512_loadu_si512
#define load_f              _mm512_loadu_ps
#define store_some(p, n, v) _mm512_mask_storeu_epi8(p, first_bytes(n), v)
#define unpack_lo8          _mm512_unpacklo_epi8
#define unpack_hi8          _mm512_unpackhi_epi8
#define unpack_lo16         _mm512_unpacklo_epi16
#define unpack_hi16         _mm512_unpackhi_epi16
#define to_float            _mm512_cvtepi32_ps
#define to_int              _mm512_cvtps_epi32
#define mul_f               _mm512_mul_ps
#define min_f               _mm512_min_ps
#define set1_f              _mm512_set1_ps
#define packs_32            _mm512_packs_epi32
#define packus_16           _mm512_packus_epi16
#define adds_16             _mm512_adds_epi16
#define set1_16             _mm512_set1_epi16
#include "kernels/x86/depthwise_tmpl.h"

#define W                   32
#define V                   __m256i
#define VF                  __m256
#define NAME(x)             x##_32
#define load_v(p)           _mm256_loadu_si256((const __m256i *)(p))
#define load_f              _mm256_loadu_ps
#define store_some(p, n, v) _mm256_mask_storeu_epi8(p, (__mmask32)first_bytes(n), v)
#define unpack_lo8          _mm256_unpacklo_epi8
#define unpack_hi8          _mm256_unpackhi_epi8
#define unpack_lo16         _mm256_unpacklo_epi16
#define unpack_hi16         _mm256_unpackhi_epi16
#define to_float            _mm256_cvtepi32_ps
#define to_int              _mm256_cvtps_epi32
#define mul_f               _mm256_mul_ps
#define min_f               _mm256_min_ps
#define set1_f              _mm256_set1_ps
#define packs_32            _mm256_packs_epi32
#define packus_16           _mm256_packus_epi16
#define adds_16             _mm256_adds_epi16
#define set1_16             _mm256_set1_epi16
#include "kernels/x86/depthwise_tmpl.h"

void nrw_depthwise_i8_avx512vnni(const nrw_depthwise_i8 *d) {
    const int8_t *w = d->w;
    for (int64_t c = 0; c < d->channels;) {
        const int block = nrw_depthwise_block(d->channels - c);
        if (block == 64)
            run_64(d, w, c);
        else
            run_32(d, w, c);
        w += (int64_t)d->packed_lines * d->groups * d->kw * NRW_WOVEN_ROWS * block;
        c += block;
    }
}
