/* The inner loops of nrw_move for one element type. Define T and SUFFIX before including. */
#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

/* Three rows become one row of threes: colours of pixels. */
NRW_WIDE static void JOIN(weave_, SUFFIX)(T *restrict dst, const T *restrict a, const T *restrict b,
                                          const T *restrict c, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        dst[3 * i] = a[i];
        dst[3 * i + 1] = b[i];
        dst[3 * i + 2] = c[i];
    }
}

/* A plane of n1 x n2 elements. Where src runs along the first axis and dst along the second, it is
 * walked in blocks that stay in the first-level cache. */
static void JOIN(plane_, SUFFIX)(const view *v, T *restrict dst, const T *restrict src,
                                 int64_t n1) {
    int last = v->rank - 1;
    int64_t n2 = v->dims[last], d1 = 0, s1 = 0, d2 = v->dst[last], s2 = v->src[last];
    if (last > 0) d1 = v->dst[last - 1], s1 = v->src[last - 1];
    if (s1 == 1 && n2 == 3 && d1 == 3 && d2 == 1) {
        JOIN(weave_, SUFFIX)(dst, src, src + s2, src + 2 * s2, n1);
        return;
    }
    if (s1 == 1 && s2 != 1) {
        enum { block = 16 };
        for (int64_t i0 = 0; i0 < n1; i0 += block) {
            int64_t i1 = i0 + block < n1 ? i0 + block : n1;
            for (int64_t j0 = 0; j0 < n2; j0 += block) {
                int64_t j1 = j0 + block < n2 ? j0 + block : n2;
                for (int64_t i = i0; i < i1; i++) {
                    for (int64_t j = j0; j < j1; j++) dst[i * d1 + j * d2] = src[i + j * s2];
                }
            }
        }
        return;
    }
    for (int64_t i = 0; i < n1; i++) {
        T *restrict d = dst + i * d1;
        const T *restrict s = src + i * s1;
        if (s2 == 0 && d2 == 1) {
            for (int64_t j = 0; j < n2; j++) d[j] = s[0];
        } else if (d2 == 1) {
            for (int64_t j = 0; j < n2; j++) d[j] = s[j * s2];
        } else {
            for (int64_t j = 0; j < n2; j++) d[j * d2] = s[j * s2];
        }
    }
}

static void JOIN(mapped_, SUFFIX)(T *restrict dst, const T *restrict src, int64_t base, int64_t n,
                                  const int64_t *restrict map, const T *value) {
    for (int64_t j = 0; j < n; j++) dst[j] = base < 0 || map[j] < 0 ? *value : src[base + map[j]];
}

static void JOIN(fill_, SUFFIX)(T *restrict dst, int64_t n, const T *value) {
    T v = *value;
    for (int64_t i = 0; i < n; i++) dst[i] = v;
}

#undef JOIN
#undef JOIN_
#undef T
#undef SUFFIX
