/* Weighted resizing along one axis for one REAL. */

typedef struct JOB {
    const REAL *x, *weight;
    REAL *y;
    const int64_t *index; /* [out * taps]; -1 in the first tap: outside, gets `fill` */
    int64_t rows, in, out, inner, taps, rows_per_task;
    REAL fill;
} JOB;

/* The last axis: a row of outputs from a row of inputs. */
static void ALONG(const JOB *j, int64_t row) {
    const REAL *x = j->x + row * j->in;
    REAL *y = j->y + row * j->out;
    for (int64_t o = 0; o < j->out; o++) {
        const int64_t *index = j->index + o * j->taps;
        const REAL *weight = j->weight + o * j->taps;
        REAL sum = 0;
        if (index[0] < 0) {
            y[o] = j->fill;
            continue;
        }
        for (int64_t t = 0; t < j->taps; t++) sum += x[index[t]] * weight[t];
        y[o] = sum;
    }
}

/* Another axis: one output position, all of what lies inside it. */
NRW_WIDE static void ACROSS(const JOB *j, int64_t row) {
    int64_t o = row % j->out, n = j->inner;
    const int64_t *index = j->index + o * j->taps;
    const REAL *weight = j->weight + o * j->taps, *x = j->x + row / j->out * j->in * n;
    REAL *y = j->y + row * n;
    if (index[0] < 0) {
        for (int64_t i = 0; i < n; i++) y[i] = j->fill;
        return;
    }
    if (j->taps == 2) {
        const REAL *a = x + index[0] * n, *b = x + index[1] * n;
        for (int64_t i = 0; i < n; i++) y[i] = a[i] * weight[0] + b[i] * weight[1];
        return;
    }
    for (int64_t i = 0; i < n; i++) y[i] = 0;
    for (int64_t t = 0; t < j->taps; t++) {
        const REAL *a = x + index[t] * n;
        for (int64_t i = 0; i < n; i++) y[i] += a[i] * weight[t];
    }
}

static void TASK(void *arg, int64_t task, int worker) {
    const JOB *j = arg;
    int64_t end = (task + 1) * j->rows_per_task;
    for (int64_t r = task * j->rows_per_task; r < end && r < j->rows; r++) {
        if (j->inner == 1) {
            ALONG(j, r);
        } else {
            ACROSS(j, r);
        }
    }
}

/* Axis after axis, from the last to the first: each pass shortens or lengthens one of dims. */
static nrw_status RESIZE(nrw_eval *e, const resize_plan *p) {
    const REAL *x;
    REAL *y;
    int64_t dims[NRW_MAX_RANK];
    memcpy(dims, p->in, sizeof dims);
    NRW_TRY(IN(e, 0, &x));
    NRW_TRY(OUT(e, 0, &y));
    int passes = 0;
    for (int a = 0; a < p->rank; a++) passes += p->resized[a];
    for (int a = p->rank - 1; a >= 0 && passes > 0; a--) {
        if (!p->resized[a]) continue;
        JOB j = {.x = x, .in = dims[a], .out = p->out[a], .inner = 1, .rows = 1};
        double *weight;
        NRW_TRY(resize_table(e, p, a, &j.taps, (int64_t **)&j.index, &weight));
        REAL *narrow = nrw_eval_scratch(e, j.out * j.taps, sizeof *narrow);
        if (narrow == NULL) NRW_OOM(e->err);
        for (int64_t i = 0; i < j.out * j.taps; i++) narrow[i] = (REAL)weight[i];
        j.weight = narrow;
        j.fill = (REAL)p->fill;
        dims[a] = p->out[a];
        for (int d = 0; d < p->rank; d++) *(d > a ? &j.inner : &j.rows) *= dims[d];
        int64_t n;
        if (!nrw_mul_i64(j.rows, j.inner, &n)) NRW_OOM(e->err);
        j.y = --passes == 0 ? y : nrw_eval_scratch(e, n, sizeof *j.y);
        if (j.y == NULL) NRW_OOM(e->err);
        int64_t work = j.inner * j.taps;
        if (j.inner == 1) {
            j.rows /= j.out;
            work *= j.out;
        }
        j.rows_per_task = TASK_ELEMENTS / work + 1;
        nrw_pool_run(e->pool, (j.rows + j.rows_per_task - 1) / j.rows_per_task, TASK, &j);
        x = j.y;
    }
    if (x != y) memcpy(y, x, (size_t)nrw_tensor_count(&e->out[0]) * sizeof *y);
    return DONE(e, 0, y);
}

#undef REAL
#undef JOB
#undef ALONG
#undef ACROSS
#undef TASK
#undef RESIZE
#undef IN
#undef OUT
#undef DONE
