/* Where for elements of one size. In: T, ROW; undefined again. */
NRW_WIDE static void ROW(const void *arg, void *out, const void *const *in, const int64_t *step,
                         int64_t n) {
    const uint8_t *c = in[0];
    const T *x = in[1], *y = in[2];
    T *z = out;
    if (step[0] == 1 && step[1] == 1 && step[2] == 0) {
        const T still = y[0];
        for (int64_t i = 0; i < n; i++) z[i] = c[i] ? x[i] : still;
    } else if (step[0] == 1 && step[1] == 0 && step[2] == 1) {
        const T still = x[0];
        for (int64_t i = 0; i < n; i++) z[i] = c[i] ? still : y[i];
    } else {
        const int64_t sc = step[0], sx = step[1], sy = step[2];
        for (int64_t i = 0; i < n; i++) z[i] = c[i * sc] ? x[i * sx] : y[i * sy];
    }
}
#undef T
#undef ROW
