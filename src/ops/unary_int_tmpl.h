/* The unary functions that all integers have. In: T the type, TN its short name; undefined again.
 */

#define ROW     NRW_CAT(bitwise_not_, TN)
#define EXPR(x) ~(x)
#include "ops/row1_tmpl.h"

/* Parameters may have fractions, so Shrink computes in double and truncates. */
static void NRW_CAT(shrink_, TN)(const void *arg, void *out, const void *const *in,
                                 const int64_t *step, int64_t n) {
    const double *p = arg, lambd = p[0], bias = p[1];
    const T *x = in[0];
    T *y = out;
    (void)step;
    for (int64_t i = 0; i < n; i++) {
        double v = (double)x[i];
        y[i] = v < -lambd ? (T)(v + bias) : v > lambd ? (T)(v - bias) : 0;
    }
}

#undef T
#undef TN
