/* Extremes and clipping for one type. In: T, TN; undefined again. NaN wins, as in numpy; for
 * integers the comparison with itself is false. */

#define ROW        NRW_CAT(max_, TN)
#define EXPR(x, y) (x) > (y) || (x) != (x) ? (x) : (y)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(min_, TN)
#define EXPR(x, y) (x) < (y) || (x) != (x) ? (x) : (y)
#include "ops/row2_tmpl.h"

/* arg: two pointers to a T, the lower and the upper bound; NULL: none. The upper one is applied
 * last. */
NRW_WIDE_FOR(TN)
static void NRW_CAT(clip_, TN)(const void *arg, void *out, const void *const *in,
                               const int64_t *step, int64_t n) {
    const T *const *bounds = arg;
    const T *x = in[0];
    T *y = out;
    if (bounds[0] != NULL && bounds[1] != NULL) {
        const T lo = *bounds[0], hi = *bounds[1];
        for (int64_t i = 0; i < n; i++) {
            T v = x[i] < lo ? lo : x[i];
            y[i] = v > hi ? hi : v;
        }
    } else if (bounds[0] != NULL) {
        const T lo = *bounds[0];
        for (int64_t i = 0; i < n; i++) y[i] = x[i] < lo ? lo : x[i];
    } else if (bounds[1] != NULL) {
        const T hi = *bounds[1];
        for (int64_t i = 0; i < n; i++) y[i] = x[i] > hi ? hi : x[i];
    } else if (n > 0) {
        memmove(y, x, (size_t)n * sizeof(T));
    }
}

#undef T
#undef TN
