/* Depthwise convolutions by vpdpbusd, in blocks of 64 channels and of 32. */
#include <immintrin.h>

#include "base/rint.h"
#include "kernels/depthwise_i8.h"
#include "kernels/kernels.h"
#include "kernels/x86/dpbusd.h"

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
#define bits_of             _mm512_castps_si512
#define fma_f               _mm512_fmadd_ps
#define add_f               _mm512_add_ps
#define mul_f               _mm512_mul_ps
#define min_f               _mm512_min_ps
#define max_f               _mm512_max_ps
#define set1_f              _mm512_set1_ps
#define words_of(a, b, up)  _mm512_mask_shuffle_epi8(a, 0xcccccccccccccccc, b, up)
#define packus_16           _mm512_packus_epi16
#define add_16              _mm512_add_epi16
#define set1_16             _mm512_set1_epi16
#define set1_8              _mm512_set1_epi8
#define shuffle             _mm512_shuffle_epi8
#define set4_32             _mm512_set4_epi32
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
#define bits_of             _mm256_castps_si256
#define fma_f               _mm256_fmadd_ps
#define add_f               _mm256_add_ps
#define mul_f               _mm256_mul_ps
#define min_f               _mm256_min_ps
#define max_f               _mm256_max_ps
#define set1_f              _mm256_set1_ps
#define words_of(a, b, up)  _mm256_mask_shuffle_epi8(a, 0xcccccccc, b, up)
#define packus_16           _mm256_packus_epi16
#define add_16              _mm256_add_epi16
#define set1_16             _mm256_set1_epi16
#define set1_8              _mm256_set1_epi8
#define shuffle             _mm256_shuffle_epi8
#define set4_32(d, c, b, a) _mm256_setr_epi32(a, b, c, d, a, b, c, d)
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
