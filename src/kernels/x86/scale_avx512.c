/* Bytes times a number for each channel, for AVX-512. */
#include <immintrin.h>

#include "base/rint.h"
#include "kernels/kernels.h"

/* What x stands for times its channel's number, rounded, in the low 16 bits of each lane. */
static inline __attribute__((always_inline)) __m512i product(__m512i x, const float *by,
                                                             const float *from, __m512 m,
                                                             const bool twice) {
    const __m512 acc =
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(x), _mm512_loadu_ps(by), _mm512_loadu_ps(from));
    const __m512 magic = _mm512_set1_ps(NRW_RINT_MAGIC);
    return _mm512_castps_si512(twice ? _mm512_add_ps(_mm512_mul_ps(acc, m), magic)
                                     : _mm512_fmadd_ps(acc, m, magic));
}

/* As in depthwise_tmpl.h: bytes are widened within 128 bits, and packed so again. */
void nrw_scale_u8_avx512(const nrw_scale_u8 *s, const uint8_t *x, uint8_t *y, int64_t pixels) {
    const __m512i nothing = _mm512_setzero_si512(), zero = _mm512_set1_epi16((short)s->zero);
    const __m512i up = _mm512_set4_epi32(0x0d0c0000, 0x09080000, 0x05040000, 0x01000000);
    const __m512i order = _mm512_set4_epi32(0x0f0d0b09, 0x0e0c0a08, 0x07050301, 0x06040200);
    const __m512 m = _mm512_set1_ps(s->m);
    const bool twice = s->rounds_twice;
    for (int64_t p = 0; p < pixels; p++, x += s->channels, y += s->channels) {
        for (int64_t c = 0; c < s->channels; c += 64) {
            const int64_t left = s->channels - c;
            const __mmask64 some = left >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
            const __m512i v = _mm512_maskz_loadu_epi8(some, x + c);
            __m512i words[2];
            for (int h = 0; h < 2; h++) {
                const __m512i w =
                    h == 0 ? _mm512_unpacklo_epi8(v, nothing) : _mm512_unpackhi_epi8(v, nothing);
                const float *by = s->by + c + 32 * h, *from = s->from + c + 32 * h;
                const __m512i a = product(_mm512_unpacklo_epi16(w, nothing), by, from, m, twice);
                const __m512i b =
                    product(_mm512_unpackhi_epi16(w, nothing), by + 16, from + 16, m, twice);
                words[h] =
                    _mm512_add_epi16(_mm512_mask_shuffle_epi8(a, 0xcccccccccccccccc, b, up), zero);
            }
            const __m512i bytes = _mm512_packus_epi16(words[0], words[1]);
            _mm512_mask_storeu_epi8(y + c, some, _mm512_shuffle_epi8(bytes, order));
        }
    }
}
