/* One row function of one input. In: ROW its name, T the input type, TN its short name, R the
 * output type (T if not set), EXPR(x) the value, in which a and b are the operator's two parameters
 * (arg points to two doubles). ROW and EXPR are undefined again, and R. */
#ifndef R
#define R T
#endif
NRW_WIDE_FOR(TN)
static void ROW(const void *arg, void *out, const void *const *in, const int64_t *step, int64_t n) {
    const T a = (T)((const double *)arg)[0], b = (T)((const double *)arg)[1];
    const T *x = in[0];
    R *y = out;
    (void)a;
    (void)b;
    (void)step;
    for (int64_t i = 0; i < n; i++) y[i] = (R)(EXPR(x[i]));
}
#undef ROW
#undef EXPR
#undef R
