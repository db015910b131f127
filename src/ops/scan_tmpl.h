/* Running sums and products, and the place of an extreme, for one type. In: T, TN, A what sums are
 * accumulated in (integers: unsigned, so that they wrap),
 * IS_NAN(x); undefined again. */

/* One line of `length` elements, `stride` apart. */
static void NRW_CAT(cumulate_, TN)(const void *from, void *to, int64_t length, int64_t stride,
                                   const cumulation *c) {
    const T *x = from;
    T *y = to;
    A total = c->product ? 1 : 0;
    for (int64_t k = 0; k < length; k++) {
        int64_t i = (c->reverse ? length - 1 - k : k) * stride;
        A before = total;
        total = c->product ? total * (A)x[i] : total + (A)x[i];
        y[i] = (T)(c->exclusive ? before : total);
    }
}

/* NaN counts as the extreme, as in numpy. */
static int64_t NRW_CAT(extreme_, TN)(const void *from, int64_t length, int64_t stride,
                                     const search *s) {
    const T *x = from;
    int64_t best = 0;
    for (int64_t i = 1; i < length; i++) {
        T v = x[i * stride], w = x[best * stride];
        bool better = s->smallest ? v < w : v > w;
        if (IS_NAN(w)) better = false;
        if (IS_NAN(v) && !IS_NAN(w)) better = true;
        if (better || (s->last && v == w)) best = i;
    }
    return best;
}

#undef T
#undef TN
#undef A
#undef IS_NAN
