/* RotaryEmbedding for one REAL: a task turns one head of one position. */

typedef struct JOB {
    const rotary_dims *d;
    const REAL *x, *cos, *sin;
    REAL *y;
    const int64_t *rows;
    bool three, interleaved;
} JOB;

static void TASK(void *arg, int64_t task, int worker) {
    const JOB *j = arg;
    const rotary_dims *d = j->d;
    int64_t b = task / d->length, p = task % d->length, half = d->turned / 2;
    const REAL *cos = j->cos + j->rows[task] * half, *sin = j->sin + j->rows[task] * half;
    int64_t apart = j->interleaved ? 1 : half, step = j->interleaved ? 2 : 1;
    for (int64_t h = 0; h < d->heads; h++) {
        int64_t row = j->three ? task * d->heads + h : (b * d->heads + h) * d->length + p;
        const REAL *x = j->x + row * d->width;
        REAL *y = j->y + row * d->width;
        for (int64_t i = 0; i < half; i++) {
            REAL re = x[i * step], im = x[i * step + apart];
            y[i * step] = cos[i] * re - sin[i] * im;
            y[i * step + apart] = sin[i] * re + cos[i] * im;
        }
        for (int64_t i = d->turned; i < d->width; i++) y[i] = x[i];
    }
}

static nrw_status RUN(nrw_eval *e, const rotary_dims *d, const int64_t *rows) {
    JOB j = {.d = d, .rows = rows, .three = e->in[0]->rank == 3};
    j.interleaved = nrw_attr_int(e->node, "interleaved", 0) != 0;
    NRW_TRY(IN(e, 0, &j.x));
    NRW_TRY(IN(e, 1, &j.cos));
    NRW_TRY(IN(e, 2, &j.sin));
    NRW_TRY(OUT(e, 0, &j.y));
    nrw_pool_run(e->pool, d->batch * d->length, TASK, &j);
    return DONE(e, 0, j.y);
}

#undef REAL
#undef JOB
#undef TASK
#undef RUN
#undef IN
#undef OUT
#undef DONE
