#include "kernels/arm/segments.h"
#include "kernels/arm/some.h"
#include "kernels/kernels.h"

void nrw_segments_u8_neon(const nrw_segments *s, const float *x, uint8_t *y, int64_t n) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const float32x4_t v[4] = {vld1q_f32(x + i), vld1q_f32(x + i + 4), vld1q_f32(x + i + 8),
                                  vld1q_f32(x + i + 12)};
        vst1q_u8(y + i, segment_bytes(s, v));
    }
    if (i == n) return;
    float32x4_t v[4];
    for (int k = 0; k < 4; k++)
        v[k] = n - i > 4 * k ? load_some_f(n - i - 4 * k, x + i + 4 * k) : vdupq_n_f32(0);
    store_some_bytes(n - i, y + i, segment_bytes(s, v));
}
