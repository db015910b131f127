/* One fold: of a run of neighbours into one accumulator, and of a row into a row of them. In: FOLD
 * (acc, x, m), MERGE(a, b) of two accumulators, START the value of an empty lane, NAME; undefined
 * again. m is what `shift` holds for the accumulator (only LogSumExp has one). */
NRW_WIDE_FOR(TN)
static void NAME(run)(void *accumulator, const void *from, const void *shift, int64_t n) {
    A *acc = accumulator;
    const T *x = from;
    const A m = shift != NULL ? *(const A *)shift : 0;
    A lane[LANES];
    int64_t i = 0;
    (void)m;
    for (int k = 0; k < LANES; k++) lane[k] = START;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++) lane[k] = FOLD(lane[k], x[i + k], m);
    }
    for (int k = 0; i < n; i++, k++) lane[k] = FOLD(lane[k], x[i], m);
    for (int k = 0; k < LANES; k++) acc[0] = MERGE(acc[0], lane[k]);
}

NRW_WIDE_FOR(TN)
static void NAME(row)(void *accumulator, const void *from, const void *shift, int64_t n) {
    A *acc = accumulator;
    const T *x = from;
    const A *m = shift != NULL ? (const A *)shift : acc;
    (void)m;
    for (int64_t i = 0; i < n; i++) acc[i] = FOLD(acc[i], x[i], m[i]);
}
#undef FOLD
#undef MERGE
#undef START
#undef NAME
