/* Gemm by plain loops over T. IN, OUT and DONE convert to T, give memory for T and convert back;
 * SCALAR takes a float to T. */
static nrw_status NAME(nrw_eval *e) {
    form f = read_form(e->node, e->in[0], e->in[1]);
    const T *a, *b, *c;
    T *y;
    NRW_TRY(IN(e, 0, &a));
    NRW_TRY(IN(e, 1, &b));
    NRW_TRY(IN(e, 2, &c));
    NRW_TRY(OUT(e, 0, &y));
    if (y == NULL) return NRW_OK;
    nrw_matrix l = left(&f, NULL), r = right(&f, NULL);
    for (int64_t i = 0; i < f.m; i++) {
        for (int64_t j = 0; j < f.n; j++) {
            T sum = 0;
            for (int64_t k = 0; k < f.k; k++) {
                sum += a[i * l.row + k * l.col] * b[k * r.row + j * r.col];
            }
            sum *= SCALAR(f.alpha);
            if (c != NULL) sum += SCALAR(f.beta) * c[c_at(e->in[2], i, j)];
            y[i * f.n + j] = sum;
        }
    }
    return DONE(e, 0, y);
}
#undef T
#undef NAME
#undef SCALAR
#undef IN
#undef OUT
#undef DONE
