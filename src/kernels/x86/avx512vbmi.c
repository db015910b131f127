/* What processors with byte permutations (VBMI) add to the AVX-512 VNNI tier: look-up in tables. */
#include <immintrin.h>

#include "kernels/kernels.h"

/* Each half of the table takes the low seven bits of the index; the top bit says which half counts.
 */
void nrw_table_u8_avx512vbmi(const uint8_t *table, const uint8_t *x, uint8_t *y, int64_t n) {
    __m512i t[4];
    for (int i = 0; i < 4; i++) t[i] = _mm512_loadu_si512(table + 64 * i);
    for (int64_t i = 0; i < n; i += 64) {
        const __mmask64 some = n - i >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (n - i)) - 1;
        const __m512i at = _mm512_maskz_loadu_epi8(some, x + i);
        const __m512i low = _mm512_permutex2var_epi8(t[0], at, t[1]);
        const __m512i high = _mm512_permutex2var_epi8(t[2], at, t[3]);
        _mm512_mask_storeu_epi8(y + i, some,
                                _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), low, high));
    }
}

const nrw_kernels nrw_kernels_avx512vbmi = {
    .tier = "avx512vnni",
    NRW_WITH_AVX512VNNI,
    .rows_i8 = nrw_rows_i8_avx512vnni,
    .table_u8 = nrw_table_u8_avx512vbmi,
};
