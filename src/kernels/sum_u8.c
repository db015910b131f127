#include "kernels/sum_u8.h"

#include <math.h>

bool nrw_sum_u8_make(nrw_byte_scale a, nrw_byte_scale b, nrw_byte_scale y, nrw_sum_u8 *out) {
    enum { MOST = 32767, LEAST_SHIFT = 9, MOST_SHIFT = 22 };
    const double by_a = (double)a.scale / (double)y.scale, by_b = (double)b.scale / (double)y.scale;
    const double larger = fmax(fabs(by_a), fabs(by_b));
    int shift = MOST_SHIFT;
    while (shift >= LEAST_SHIFT && !(larger * (1 << shift) <= MOST)) shift--;
    if (shift < LEAST_SHIFT || !isfinite(by_a) || !isfinite(by_b)) return false;
    out->by_a = (int16_t)rint(by_a * (1 << shift));
    out->by_b = (int16_t)rint(by_b * (1 << shift));
    out->shift = shift;
    out->add = y.zero * (1 << shift) - out->by_a * a.zero - out->by_b * b.zero + (1 << shift) / 2;
    return true;
}
