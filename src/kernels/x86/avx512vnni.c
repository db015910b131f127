/* Integer kernels by vpdpbusd, 512 bits: tiles of 12 x 32. The loops are in i8_tmpl.h; here is what
 * differs by tier. */
#include <immintrin.h>
#include <stdint.h>

#include "kernels/x86/dpbusd.h"

#define VI       __m512i
#define VF       __m512
#define LANES    16
#define ROWS     12
#define zero_i   _mm512_setzero_si512
#define load_i   _mm512_loadu_si512
#define store_i  _mm512_storeu_si512
#define set1_i   _mm512_set1_epi32
#define add_i    _mm512_add_epi32
#define sub_i    _mm512_sub_epi32
#define mul_i    _mm512_mullo_epi32
#define to_float _mm512_cvtepi32_ps
#define bits_of  _mm512_castps_si512
#define set1_f   _mm512_set1_ps
#define mul_f    _mm512_mul_ps
#define add_f    _mm512_add_ps
#define fma_f    _mm512_fmadd_ps
#define min_f    _mm512_min_ps
#define max_f    _mm512_max_ps

static inline __attribute__((always_inline)) __mmask16 mask_of(int n) {
    return (__mmask16)((1u << n) - 1);
}
#define load_some_i(n, p)     _mm512_maskz_loadu_epi32(mask_of(n), p)
#define load_some_f(n, p)     _mm512_maskz_loadu_ps(mask_of(n), p)
#define store_some_i(n, p, v) _mm512_mask_storeu_epi32(p, mask_of(n), v)
#define store_some_f(n, p, v) _mm512_mask_storeu_ps(p, mask_of(n), v)
#define store_bytes(n, p, v)  _mm512_mask_cvtepi32_storeu_epi8(p, mask_of(n), v)

NRW_DPBUSD(dot, __m512i)

#define TILE_NAME i8_tile
#define TAPS_NAME i8_taps
#include "kernels/x86/i8_tmpl.h"

void nrw_i8_tile_avx512vnni(const nrw_i8_tile *t) {
    i8_tile(t);
}

void nrw_i8_taps_avx512vnni(const nrw_i8_taps *t) {
    i8_taps(t);
}

void nrw_i8_interleave_avx512vnni(void *dst, const uint8_t *const *rows, int64_t n, uint8_t flip,
                                  bool is_signed) {
    __m128i *d = dst;
    const __m128i f = _mm_set1_epi8((char)flip);
    for (int64_t j = 0; j < n; j += 16, d += 4) {
        __m128i r0 = _mm_xor_si128(f, _mm_loadu_si128((const __m128i *)(rows[0] + j)));
        __m128i r1 = _mm_xor_si128(f, _mm_loadu_si128((const __m128i *)(rows[1] + j)));
        __m128i r2 = _mm_xor_si128(f, _mm_loadu_si128((const __m128i *)(rows[2] + j)));
        __m128i r3 = _mm_xor_si128(f, _mm_loadu_si128((const __m128i *)(rows[3] + j)));
        __m128i a = _mm_unpacklo_epi8(r0, r1), b = _mm_unpackhi_epi8(r0, r1);
        __m128i c = _mm_unpacklo_epi8(r2, r3), e = _mm_unpackhi_epi8(r2, r3);
        _mm_storeu_si128(d, _mm_unpacklo_epi16(a, c));
        _mm_storeu_si128(d + 1, _mm_unpackhi_epi16(a, c));
        _mm_storeu_si128(d + 2, _mm_unpacklo_epi16(b, e));
        _mm_storeu_si128(d + 3, _mm_unpackhi_epi16(b, e));
    }
}

const nrw_kernels nrw_kernels_avx512vnni = {
    .tier = "avx512vnni",
    NRW_WITH_AVX512VNNI,
    .rows_i8 = nrw_rows_i8_avx512vnni,
};
