/* Row kernels of pools.c for one element type T: maxima, and sums in A (if SUM_NAME). Output row
 * `row` of a plane gathers from the input rows that its window covers, one tap at a time, so that
 * the inner loop runs along the row. */

/* Maxima with their positions, tap by tap. */
static void MAX_INDEX_NAME(const pool_job *j, int64_t plane, int64_t row) {
    const nrw_window *w = j->w;
    int last = w->n - 1;
    int64_t s = w->stride[last], at = plane * j->out_plane + row * w->out[last];
    T *y = (T *)j->y + at;
    int64_t *index = j->index + at;
    for (int64_t o = 0; o < w->out[last]; o++) {
        y[o] = LOWEST;
        index[o] = -1;
    }
    row_taps t;
    for (bool more = taps_first(j, row, &t); more; more = taps_next(j, &t)) {
        const T *x = (const T *)j->x + plane * j->in_plane + t.offset;
        for (int64_t k = 0; k < w->kernel[last]; k++) {
            const T *p = x + j->tap[k].shift;
            for (int64_t o = j->tap[k].first; o < j->tap[k].end; o++) {
                if (index[o] >= 0 && !(p[o * s] > y[o])) continue;
                y[o] = p[o * s];
                index[o] = plane * j->in_plane + t.index +
                           (j->tap[k].shift + o * s) * j->last_index_stride;
            }
        }
    }
}

/* First the maxima over the rows under the window, in `scratch`, then along the row. */
NRW_WIDE static void MAX_NAME(const pool_job *j, int64_t plane, int64_t row, int32_t *scratch) {
    const nrw_window *w = j->w;
    int last = w->n - 1;
    if (j->index != NULL) {
        MAX_INDEX_NAME(j, plane, row);
        return;
    }
    T *restrict y = (T *)j->y + plane * j->out_plane + row * w->out[last];
    T *restrict line = (T *)scratch;
    int64_t n = w->in[last], s = w->stride[last];
    for (int64_t o = 0; o < w->out[last]; o++) y[o] = LOWEST;
    for (int64_t i = 0; i < n; i++) line[i] = LOWEST;
    row_taps t;
    for (bool more = taps_first(j, row, &t); more; more = taps_next(j, &t)) {
        const T *restrict x = (const T *)j->x + plane * j->in_plane + t.offset;
        for (int64_t i = 0; i < n; i++) line[i] = x[i] > line[i] ? x[i] : line[i];
    }
    for (int64_t k = 0; k < w->kernel[last]; k++) {
        const T *p = line + j->tap[k].shift;
        int64_t end = j->tap[k].end;
        if (s == 1) {
            for (int64_t o = j->tap[k].first; o < end; o++) y[o] = p[o] > y[o] ? p[o] : y[o];
        } else {
            for (int64_t o = j->tap[k].first; o < end; o++) {
                y[o] = p[o * s] > y[o] ? p[o * s] : y[o];
            }
        }
    }
}

static void GLOBAL_MAX_NAME(const pool_job *j, int64_t plane, int64_t row, int32_t *scratch) {
    const T *x = (const T *)j->x + plane * j->in_plane;
    T best = LOWEST;
    for (int64_t i = 0; i < j->in_plane; i++) best = x[i] > best ? x[i] : best;
    ((T *)j->y)[plane] = best;
}

#ifdef SUM_NAME
/* Sums of a row's windows into sum[out of the last axis]. */
NRW_WIDE static void SUM_NAME(const pool_job *j, int64_t plane, int64_t row, A *restrict sum) {
    const nrw_window *w = j->w;
    int last = w->n - 1;
    int64_t s = w->stride[last];
    for (int64_t o = 0; o < w->out[last]; o++) sum[o] = 0;
    row_taps t;
    for (bool more = taps_first(j, row, &t); more; more = taps_next(j, &t)) {
        const T *x = (const T *)j->x + plane * j->in_plane + t.offset;
        for (int64_t k = 0; k < w->kernel[last]; k++) {
            const T *restrict p = x + j->tap[k].shift;
            if (s == 1) {
                for (int64_t o = j->tap[k].first; o < j->tap[k].end; o++) sum[o] += (A)p[o];
            } else {
                for (int64_t o = j->tap[k].first; o < j->tap[k].end; o++) sum[o] += (A)p[o * s];
            }
        }
    }
}
#endif

#ifdef REAL_ROWS
static void AVERAGE_NAME(const pool_job *j, int64_t plane, int64_t row, int32_t *scratch) {
    int last = j->w->n - 1;
    int64_t n = j->w->out[last], outer = outer_count(j, row);
    T *restrict y = (T *)j->y + plane * j->out_plane + row * n;
    SUM_NAME(j, plane, row, y);
    for (int64_t o = 0; o < n; o++) {
        int64_t count = outer * j->count[last][o];
        y[o] = count != 0 ? y[o] / (T)count : 0;
    }
}

static T POWER(T v, int64_t p) {
    v = v < 0 ? -v : v;
    return p == 1 ? v : p == 2 ? v * v : POW(v, (T)p);
}

static T ROOT(T v, int64_t p) {
    return p == 1 ? v : p == 2 ? SQRT(v) : POW(v, 1 / (T)p);
}

static void LP_NAME(const pool_job *j, int64_t plane, int64_t row, int32_t *scratch) {
    const nrw_window *w = j->w;
    int last = w->n - 1;
    T *restrict y = (T *)j->y + plane * j->out_plane + row * w->out[last];
    for (int64_t o = 0; o < w->out[last]; o++) y[o] = 0;
    row_taps t;
    for (bool more = taps_first(j, row, &t); more; more = taps_next(j, &t)) {
        const T *x = (const T *)j->x + plane * j->in_plane + t.offset;
        for (int64_t k = 0; k < w->kernel[last]; k++) {
            const T *restrict p = x + j->tap[k].shift;
            for (int64_t o = j->tap[k].first; o < j->tap[k].end; o++) {
                y[o] += POWER(p[o * w->stride[last]], j->p);
            }
        }
    }
    for (int64_t o = 0; o < w->out[last]; o++) y[o] = ROOT(y[o], j->p);
}

/* Sums in blocks, so that rounding errors stay small on large planes. */
static void GLOBAL_AVERAGE_NAME(const pool_job *j, int64_t plane, int64_t row, int32_t *scratch) {
    const T *x = (const T *)j->x + plane * j->in_plane;
    T sum = 0;
    for (int64_t at = 0; at < j->in_plane; at += 256) {
        int64_t end = at + 256 < j->in_plane ? at + 256 : j->in_plane;
        T part[8] = {0};
        int64_t i = at;
        for (; i + 8 <= end; i += 8) {
            for (int l = 0; l < 8; l++) part[l] += x[i + l];
        }
        for (; i < end; i++) part[0] += x[i];
        sum += ((part[0] + part[4]) + (part[2] + part[6])) +
               ((part[1] + part[5]) + (part[3] + part[7]));
    }
    ((T *)j->y)[plane] = sum / (T)j->in_plane;
}

static void GLOBAL_LP_NAME(const pool_job *j, int64_t plane, int64_t row, int32_t *scratch) {
    const T *x = (const T *)j->x + plane * j->in_plane;
    T sum = 0;
    for (int64_t i = 0; i < j->in_plane; i++) sum += POWER(x[i], j->p);
    ((T *)j->y)[plane] = ROOT(sum, j->p);
}
#endif

#undef T
#undef A
#undef LOWEST
#undef MAX_NAME
#undef MAX_INDEX_NAME
#undef GLOBAL_MAX_NAME
#undef SUM_NAME
#undef REAL_ROWS
#undef AVERAGE_NAME
#undef POWER
#undef ROOT
#undef POW
#undef SQRT
#undef LP_NAME
#undef GLOBAL_AVERAGE_NAME
#undef GLOBAL_LP_NAME
