#include "kernels/kernels.h"
#include "kernels/x86/segments.h"

void nrw_segments_u8_avx512(const nrw_segments *segments, const float *x, uint8_t *y, int64_t n) {
    const nrw_segments here = *segments, *const s = &here; /* bytes may alias what is not local */
    for (int64_t i = 0; i < n; i += 16) {
        const __mmask16 m = n - i >= 16 ? 0xffff : (__mmask16)((1u << (n - i)) - 1);
        _mm512_mask_cvtusepi32_storeu_epi8(y + i, m,
                                           segments_of(s, _mm512_maskz_loadu_ps(m, x + i)));
    }
}
