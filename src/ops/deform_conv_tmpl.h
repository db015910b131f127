/* DeformConv for one REAL: sampled columns, then a matrix product per group. */

typedef struct JOB {
    const deform *d;
    const REAL *x, *w, *offset, *bias, *mask; /* of one batch entry but for w and bias */
    REAL *columns, *y;
} JOB;

/* x at a fractional place; what lies outside the image counts as zero. */
static REAL SAMPLE(const REAL *x, int64_t height, int64_t width, REAL row, REAL column) {
    if (!(row > -1 && row < (REAL)height && column > -1 && column < (REAL)width)) return 0;
    int64_t r = (int64_t)FLOOR(row), c = (int64_t)FLOOR(column);
    REAL dr = row - (REAL)r, dc = column - (REAL)c, sum = 0;
    if (r >= 0 && c >= 0) sum += x[r * width + c] * (1 - dr) * (1 - dc);
    if (r >= 0 && c + 1 < width) sum += x[r * width + c + 1] * (1 - dr) * dc;
    if (r + 1 < height && c >= 0) sum += x[(r + 1) * width + c] * dr * (1 - dc);
    if (r + 1 < height && c + 1 < width) sum += x[(r + 1) * width + c + 1] * dr * dc;
    return sum;
}

/* The columns of one input channel: [taps, outputs]. */
static void COLUMNS_TASK(void *arg, int64_t channel, int worker) {
    const JOB *j = arg;
    const deform *d = j->d;
    const nrw_window *w = &d->window;
    int64_t outputs = w->out[0] * w->out[1], taps = w->kernel[0] * w->kernel[1];
    int64_t group = channel / (d->channels / d->offset_group);
    const REAL *x = j->x + channel * w->in[0] * w->in[1];
    for (int64_t t = 0; t < taps; t++) {
        REAL *to = j->columns + (channel * taps + t) * outputs;
        const REAL *rows = j->offset + (group * taps + t) * 2 * outputs, *columns = rows + outputs;
        const REAL *mask = j->mask != NULL ? j->mask + (group * taps + t) * outputs : NULL;
        int64_t row = t / w->kernel[1] * w->dilation[0] - w->pad_begin[0];
        int64_t column = t % w->kernel[1] * w->dilation[1] - w->pad_begin[1];
        for (int64_t o = 0; o < outputs; o++) {
            REAL r = (REAL)(o / w->out[1] * w->stride[0] + row) + rows[o];
            REAL c = (REAL)(o % w->out[1] * w->stride[1] + column) + columns[o];
            to[o] = SAMPLE(x, w->in[0], w->in[1], r, c) * (mask != NULL ? mask[o] : 1);
        }
    }
}

/* One output channel at a time, in blocks of four for the product's sake. */
static void PRODUCT_TASK(void *arg, int64_t task, int worker) {
    const JOB *j = arg;
    const deform *d = j->d;
    const nrw_window *w = &d->window;
    int64_t outputs = w->out[0] * w->out[1], taps = w->kernel[0] * w->kernel[1];
    int64_t per_group = d->filters / d->group, blocks = (per_group + 3) / 4;
    int64_t group = task / blocks, first = group * per_group + task % blocks * 4;
    int64_t m = (group + 1) * per_group - first < 4 ? (group + 1) * per_group - first : 4;
    int64_t k = d->channels / d->group * taps;
    for (int64_t i = 0; i < m; i++) {
        REAL bias = j->bias != NULL ? j->bias[first + i] : 0;
        for (int64_t o = 0; o < outputs; o++) j->y[(first + i) * outputs + o] = bias;
    }
    MM(m, outputs, k, j->w + first * k, k, j->columns + group * k * outputs, outputs,
       j->y + first * outputs, outputs, 1);
}

static nrw_status RUN(nrw_eval *e, const deform *d) {
    JOB j = {.d = d};
    const REAL *x, *offset, *mask;
    REAL *y;
    NRW_TRY(IN(e, 0, &x));
    NRW_TRY(IN(e, 1, &j.w));
    NRW_TRY(IN(e, 2, &offset));
    NRW_TRY(IN(e, 3, &j.bias));
    NRW_TRY(IN(e, 4, &mask));
    NRW_TRY(OUT(e, 0, &y));
    const nrw_window *w = &d->window;
    int64_t outputs = w->out[0] * w->out[1], taps = w->kernel[0] * w->kernel[1], n;
    if (!nrw_mul_i64(outputs, taps, &n) || !nrw_mul_i64(n, d->channels, &n)) NRW_OOM(e->err);
    j.columns = nrw_eval_scratch(e, n, sizeof *j.columns);
    if (j.columns == NULL) NRW_OOM(e->err);
    for (int64_t b = 0; b < d->batch; b++) {
        j.x = x + b * d->channels * w->in[0] * w->in[1];
        j.offset = offset + b * d->offset_group * taps * 2 * outputs;
        j.mask = mask != NULL ? mask + b * d->offset_group * taps * outputs : NULL;
        j.y = y + b * d->filters * outputs;
        nrw_pool_run(e->pool, d->channels, COLUMNS_TASK, &j);
        nrw_pool_run(e->pool, d->group * ((d->filters / d->group + 3) / 4), PRODUCT_TASK, &j);
    }
    return DONE(e, 0, y);
}

#undef REAL
#undef FLOOR
#undef JOB
#undef SAMPLE
#undef COLUMNS_TASK
#undef PRODUCT_TASK
#undef RUN
#undef MM
#undef IN
#undef OUT
#undef DONE
