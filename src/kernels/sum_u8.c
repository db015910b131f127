#include "kernels/sum_u8.h"

#include <math.h>

bool nrw_sum_u8_make(nrw_byte_scale a, nrw_byte_scale b, nrw_byte_scale y, nrw_sum_u8 *out) {
    enum { BITS = 21, LEAST_SHIFT = 12, MOST_SHIFT = 30 };
    const float by_a = a.scale / y.scale, by_b = b.scale / y.scale;
    const float larger = fmaxf(fabsf(by_a), fabsf(by_b));
    int exponent;
    if (!isfinite(by_a) || !isfinite(by_b) || !(larger > 0)) return false;
    frexpf(larger, &exponent); /* larger is below 2^exponent */
    const int shift = BITS - exponent;
    if (shift < LEAST_SHIFT || shift > MOST_SHIFT) return false;
    out->by_a = (int32_t)lrintf(ldexpf(by_a, shift));
    out->by_b = (int32_t)lrintf(ldexpf(by_b, shift));
    out->shift = shift;
    out->zero = y.zero;
    out->add = (int32_t)((uint32_t)(1 << shift) / 2 - (uint32_t)out->by_a * (uint32_t)a.zero -
                         (uint32_t)out->by_b * (uint32_t)b.zero);
    return true;
}
