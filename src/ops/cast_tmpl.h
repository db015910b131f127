/* Integers of another width: the low bits. In: T, TN; undefined again. */
static void NRW_CAT(wrap_, TN)(const int64_t *x, void *out, int64_t n) {
    T *y = out;
    for (int64_t i = 0; i < n; i++) y[i] = (T)x[i];
}
#undef T
#undef TN
