/* dst[i] = dst[i] combined with src[i], for one element type. Define T (in memory), A (to compare
 * in), W (to compute in: unsigned where signed integers could overflow), LOAD, STORE and SUFFIX
 * before including. */
#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

static void JOIN(combine_, SUFFIX)(void *to, const void *from, int64_t n, reduction r) {
    T *dst = to;
    const T *src = from;
    for (int64_t i = 0; i < n; i++) {
        A a = LOAD(dst[i]), b = LOAD(src[i]);
        switch (r) {
        case REDUCE_ADD:
            a = (A)((W)a + (W)b);
            break;
        case REDUCE_MUL:
            a = (A)((W)a * (W)b);
            break;
        case REDUCE_MAX:
            a = a >= b ? a : b;
            break;
        case REDUCE_MIN:
            a = a <= b ? a : b;
            break;
        default:
            a = b;
            break;
        }
        dst[i] = STORE(a);
    }
}

#undef JOIN
#undef JOIN_
#undef T
#undef A
#undef W
#undef LOAD
#undef STORE
#undef SUFFIX
