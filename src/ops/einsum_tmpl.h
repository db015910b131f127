/* Einsum for one REAL. An operand is an array whose axes carry labels. */

/* Sums x into a dense array (x itself if nothing changes) whose axes are `labels`: labels that x
 * lacks repeat it, labels of x that are not among them are summed over, a label that x has twice
 * takes the diagonal. */
static nrw_status ARRANGE(nrw_eval *e, const einsum *s, const REAL *x, const term *t,
                          const term *to, const REAL **out) {
    *out = x;
    if (same_axes(s, t, to)) return NRW_OK;
    int64_t stride[MAX_LABELS] = {0}, own = 1, n = 1, sums = 1, at[MAX_LABELS] = {0};
    int order[MAX_LABELS], kept = to->rank, all = to->rank;
    for (int d = t->rank - 1; d >= 0; d--) {
        if (t->dims[d] != 1) stride[t->label[d]] += own;
        own *= t->dims[d];
    }
    for (int d = 0; d < to->rank; d++) {
        order[d] = to->label[d];
        if (!nrw_mul_i64(n, s->size[order[d]], &n)) NRW_OOM(e->err);
    }
    for (int d = 0; d < t->rank; d++) {
        if (has_label(to, t->label[d])) continue;
        bool seen = false;
        for (int k = kept; k < all; k++) seen = seen || order[k] == t->label[d];
        if (seen) continue;
        /* A label that x has at length 1 only stands for the others' length once. */
        sums *= label_length(t, t->label[d]);
        order[all++] = t->label[d];
    }
    REAL *y = nrw_eval_scratch(e, n, sizeof *y);
    if (y == NULL) NRW_OOM(e->err);
    *out = y;
    /* Rows along the last axis that is kept. */
    int64_t offset = 0, row = kept > 0 ? s->size[order[kept - 1]] : 1;
    int64_t step = kept > 0 ? stride[order[kept - 1]] : 0;
    for (int64_t i = 0; i < n; i += row) {
        for (int64_t l = 0; l < row; l++) y[i + l] = sums == 1 ? x[offset + l * step] : 0;
        for (int64_t k = 0; sums != 1 && k < sums; k++) {
            for (int64_t l = 0; l < row; l++) y[i + l] += x[offset + l * step];
            for (int d = all - 1; d >= kept; d--) {
                int64_t length = label_length(t, order[d]);
                offset += stride[order[d]];
                if (++at[d] < length) break;
                offset -= stride[order[d]] * length;
                at[d] = 0;
            }
        }
        for (int d = kept - 2; d >= 0; d--) {
            offset += stride[order[d]];
            if (++at[d] < s->size[order[d]]) break;
            offset -= stride[order[d]] * s->size[order[d]];
            at[d] = 0;
        }
    }
    return NRW_OK;
}

typedef struct PRODUCT {
    const REAL *a, *b;
    REAL *c;
    int64_t m, n, k, row_blocks;
} PRODUCT;

static void PRODUCT_TASK(void *arg, int64_t task, int worker) {
    const PRODUCT *p = arg;
    int64_t batch = task / p->row_blocks, row = task % p->row_blocks * ROWS;
    int64_t m = p->m - row < ROWS ? p->m - row : ROWS;
    MM(m, p->n, p->k, p->a + (batch * p->m + row) * p->k, p->k, p->b + batch * p->k * p->n, p->n,
       p->c + (batch * p->m + row) * p->n, p->n, 0);
}

/* c = a and b contracted to the labels of `keep`, as a batched matrix product; *tc gets c's labels
 * in the order in which the product leaves them. */
static nrw_status CONTRACT(nrw_eval *e, const einsum *s, const REAL *a, const term *ta,
                           const REAL *b, const term *tb, const term *keep, REAL **c, term *tc) {
    contraction k;
    split_labels(s, ta, tb, keep, &k);
    PRODUCT p = {.m = term_size(&k.m), .n = term_size(&k.n), .k = term_size(&k.k)};
    const REAL *left = NULL, *right = NULL;
    *tc = k.c;
    NRW_TRY(ARRANGE(e, s, a, ta, &k.a, &left));
    NRW_TRY(ARRANGE(e, s, b, tb, &k.b, &right));
    *c = nrw_eval_scratch(e, term_size(&k.c), sizeof **c);
    if (*c == NULL) NRW_OOM(e->err);
    p.a = left;
    p.b = right;
    p.c = *c;
    p.row_blocks = (p.m + ROWS - 1) / ROWS;
    nrw_pool_run(e->pool, term_size(&k.batch) * p.row_blocks, PRODUCT_TASK, &p);
    return NRW_OK;
}

/* From left to right, each step keeping only the labels that are still needed. */
static nrw_status EINSUM(nrw_eval *e, const einsum *s) {
    const REAL *x = NULL, *y = NULL;
    term t = s->in[0];
    NRW_TRY(IN(e, 0, &x));
    for (int i = 1; i < s->n; i++) {
        const REAL *next = NULL;
        REAL *made;
        term made_term;
        NRW_TRY(IN(e, i, &next));
        term keep = s->out;
        for (int later = i + 1; later < s->n; later++) {
            for (int d = 0; d < s->in[later].rank; d++) {
                add_label(s, &keep, s->in[later].label[d]);
            }
        }
        NRW_TRY(CONTRACT(e, s, x, &t, next, &s->in[i], &keep, &made, &made_term));
        x = made;
        t = made_term;
    }
    NRW_TRY(ARRANGE(e, s, x, &t, &s->out, &y));
    return FROM(e->out[0].dtype, y, e->out[0].data, term_size(&s->out), e->err);
}

#undef REAL
#undef ARRANGE
#undef PRODUCT
#undef PRODUCT_TASK
#undef CONTRACT
#undef EINSUM
#undef IN
#undef FROM
#undef MM
