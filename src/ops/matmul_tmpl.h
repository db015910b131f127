/* Plain products of a stack of matrices of T. A task is one row of the result. */
typedef struct NAME {
    const stacks *s;
    const T *a, *b;
    T *y;
} NAME;

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

static void JOIN(NAME, _row)(void *arg, int64_t i, int worker) {
    const NAME *j = arg;
    const stacks *s = j->s;
    int64_t ia, ib;
    locate(s, i / s->m, &ia, &ib);
    const T *a = j->a + (ia * s->m + i % s->m) * s->k, *b = j->b + ib * s->k * s->n;
    T *y = j->y + i * s->n;
    for (int64_t c = 0; c < s->n; c++) y[c] = 0;
    for (int64_t k = 0; k < s->k; k++) {
        for (int64_t c = 0; c < s->n; c++) y[c] += a[k] * b[k * s->n + c];
    }
}

static void JOIN(NAME, _all)(nrw_pool *pool, const stacks *s, const T *a, const T *b, T *y) {
    NAME j = {s, a, b, y};
    nrw_pool_run(pool, s->products * s->m, JOIN(NAME, _row), &j);
}

#undef JOIN
#undef JOIN_
#undef T
#undef NAME
