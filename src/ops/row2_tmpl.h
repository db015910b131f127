/* One row function of two inputs, with a loop of its own for either input standing still. In: ROW
 * its name, T the input type, TN its short name, R the output type (T if not set), EXPR(x, y) the
 * value, in which a is the operator's parameter (arg points to a double; NULL: 0). ROW, EXPR and R
 * are undefined again.
 */
#ifndef R
#define R T
#endif
NRW_WIDE_FOR(TN)
static void ROW(const void *arg, void *out, const void *const *in, const int64_t *step, int64_t n) {
    const T a = (T)(arg != NULL ? *(const double *)arg : 0);
    const T *x = in[0], *y = in[1];
    R *z = out;
    (void)a;
    if (step[0] != 0 && step[1] != 0) {
        for (int64_t i = 0; i < n; i++) z[i] = (R)(EXPR(x[i], y[i]));
    } else if (step[0] != 0) {
        const T still = y[0];
        for (int64_t i = 0; i < n; i++) z[i] = (R)(EXPR(x[i], still));
    } else if (step[1] != 0) {
        const T still = x[0];
        for (int64_t i = 0; i < n; i++) z[i] = (R)(EXPR(still, y[i]));
    } else {
        const R value = (R)(EXPR(x[0], y[0]));
        for (int64_t i = 0; i < n; i++) z[i] = value;
    }
}
#undef ROW
#undef EXPR
#undef R
