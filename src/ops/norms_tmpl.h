/* Loops of norms.c for one REAL. Sums run in 64 lanes over blocks whose results add up in double:
 * the order of additions is fixed, whatever the vector width. */

typedef struct JOB {
    const REAL *x, *scale, *bias; /* scale and bias may be NULL */
    REAL *y, *mean, *inv;         /* mean and inv may be NULL */
    const REAL *given_mean, *given_var;
    int64_t rows, span, rows_per_task;
    /* Layer norms: by how much scale and bias move on from row to row. */
    int64_t scale_step, bias_step;
    /* The others: a row holds `channels` channels of `inner` elements; there are all_channels. */
    int64_t channels, inner, all_channels;
    REAL epsilon;
    bool centre;
} JOB;

/* Four times 16 lanes: so many additions are under way at a time. */
NRW_WIDE static double SUM_OF(const REAL *x, int64_t n) {
    double sum = 0;
    for (int64_t at = 0; at < n; at += 4096) {
        int64_t end = at + 4096 < n ? at + 4096 : n, i = at;
        REAL a[16] = {0}, b[16] = {0}, c[16] = {0}, d[16] = {0};
        for (; i + 64 <= end; i += 64) {
            for (int l = 0; l < 16; l++) a[l] += x[i + l];
            for (int l = 0; l < 16; l++) b[l] += x[i + l + 16];
            for (int l = 0; l < 16; l++) c[l] += x[i + l + 32];
            for (int l = 0; l < 16; l++) d[l] += x[i + l + 48];
        }
        for (; i < end; i++) a[i % 16] += x[i];
        for (int l = 0; l < 16; l++) sum += (double)((a[l] + b[l]) + (c[l] + d[l]));
    }
    return sum;
}

static inline REAL SQUARE(REAL x) {
    return x * x;
}

NRW_WIDE static double SQUARES_OF(const REAL *x, int64_t n, REAL centre) {
    double sum = 0;
    for (int64_t at = 0; at < n; at += 4096) {
        int64_t end = at + 4096 < n ? at + 4096 : n, i = at;
        REAL a[16] = {0}, b[16] = {0}, c[16] = {0}, d[16] = {0};
        for (; i + 64 <= end; i += 64) {
            for (int l = 0; l < 16; l++) a[l] += SQUARE(x[i + l] - centre);
            for (int l = 0; l < 16; l++) b[l] += SQUARE(x[i + l + 16] - centre);
            for (int l = 0; l < 16; l++) c[l] += SQUARE(x[i + l + 32] - centre);
            for (int l = 0; l < 16; l++) d[l] += SQUARE(x[i + l + 48] - centre);
        }
        for (; i < end; i++) a[i % 16] += SQUARE(x[i] - centre);
        for (int l = 0; l < 16; l++) sum += (double)((a[l] + b[l]) + (c[l] + d[l]));
    }
    return sum;
}

static void STATS(const JOB *j, const REAL *x, REAL *mean, REAL *inv) {
    *mean = j->centre ? (REAL)(SUM_OF(x, j->span) / (double)j->span) : 0;
    double var = SQUARES_OF(x, j->span, *mean) / (double)j->span;
    *inv = (REAL)(1 / sqrt(var + (double)j->epsilon));
}

NRW_WIDE static void LAYER_ROW(REAL *y, const REAL *x, const REAL *scale, const REAL *bias,
                               int64_t n, REAL mean, REAL inv) {
    if (scale == NULL) {
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inv;
    } else if (bias == NULL) {
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inv * scale[i];
    } else {
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inv * scale[i] + bias[i];
    }
}

static void LAYER_TASK(void *arg, int64_t task, int worker) {
    const JOB *j = arg;
    int64_t end = (task + 1) * j->rows_per_task;
    for (int64_t r = task * j->rows_per_task; r < end && r < j->rows; r++) {
        REAL mean, inv;
        STATS(j, j->x + r * j->span, &mean, &inv);
        LAYER_ROW(j->y + r * j->span, j->x + r * j->span,
                  j->scale != NULL ? j->scale + r * j->scale_step : NULL,
                  j->bias != NULL ? j->bias + r * j->bias_step : NULL, j->span, mean, inv);
        if (j->mean != NULL) j->mean[r] = mean;
        if (j->inv != NULL) j->inv[r] = inv;
    }
}

NRW_WIDE static void AFFINE(REAL *y, const REAL *x, int64_t n, REAL mean, REAL factor, REAL bias) {
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * factor + bias;
}

static void CHANNEL_TASK(void *arg, int64_t task, int worker) {
    const JOB *j = arg;
    int64_t end = (task + 1) * j->rows_per_task;
    for (int64_t r = task * j->rows_per_task; r < end && r < j->rows; r++) {
        REAL mean = 0, inv = 0;
        if (j->given_mean == NULL) STATS(j, j->x + r * j->span, &mean, &inv);
        for (int64_t k = 0; k < j->channels; k++) {
            int64_t c = (r * j->channels + k) % j->all_channels;
            int64_t at = r * j->span + k * j->inner;
            if (j->given_mean != NULL) {
                mean = j->given_mean[c];
                inv = (REAL)(1 / sqrt((double)j->given_var[c] + (double)j->epsilon));
            }
            AFFINE(j->y + at, j->x + at, j->inner, mean, inv * j->scale[c], j->bias[c]);
        }
    }
}

static void RUN(nrw_eval *e, JOB *j, nrw_task_fn task) {
    if (j->rows == 0 || j->span == 0) return;
    j->rows_per_task = TASK_ELEMENTS / j->span + 1;
    nrw_pool_run(e->pool, (j->rows + j->rows_per_task - 1) / j->rows_per_task, task, j);
}

/* scale or bias (input i) as it applies to x seen as rows of the axes from `axis` on; *step is the
 * span where it differs from row to row, else 0. */
static nrw_status SPREAD(nrw_eval *e, int i, int axis, const REAL **out, int64_t *step) {
    const REAL *p;
    NRW_TRY(IN(e, i, &p));
    *out = p;
    *step = 0;
    if (p == NULL) return NRW_OK;
    const nrw_tensor *x = e->in[0], *t = e->in[i];
    int64_t span = 1, stride[NRW_MAX_RANK], at[NRW_MAX_RANK] = {0}, own = 1;
    for (int d = axis; d < x->rank; d++) span *= x->dims[d];
    bool by_row = false;
    for (int d = x->rank - 1; d >= 0; d--) {
        int from = d - (x->rank - t->rank);
        int64_t dim = from >= 0 ? t->dims[from] : 1;
        stride[d] = dim == 1 ? 0 : own;
        own *= dim;
        by_row = by_row || (d < axis && dim != 1);
    }
    if (!by_row && own == span) return NRW_OK;
    int64_t n = by_row ? nrw_tensor_count(x) : span, offset = 0;
    REAL *wide = nrw_eval_scratch(e, n, sizeof *wide);
    if (wide == NULL) NRW_OOM(e->err);
    for (int64_t k = 0; k < n; k++) {
        wide[k] = p[offset];
        for (int d = x->rank - 1; d >= 0; d--) {
            offset += stride[d];
            if (++at[d] < x->dims[d]) break;
            offset -= stride[d] * x->dims[d];
            at[d] = 0;
        }
    }
    *out = wide;
    *step = by_row ? span : 0;
    return NRW_OK;
}

static nrw_status LAYER(nrw_eval *e, bool centre) {
    JOB j = {.centre = centre, .epsilon = nrw_attr_float(e->node, "epsilon", 1e-5F), .rows = 1};
    int64_t axis = nrw_attr_int(e->node, "axis", -1);
    const nrw_tensor *x = e->in[0];
    if (!nrw_normalize_axis(&axis, x->rank)) NRW_FAIL(e->err, NRW_ERR_SHAPE, "axis out of range");
    j.span = 1;
    for (int d = 0; d < x->rank; d++) *(d < axis ? &j.rows : &j.span) *= x->dims[d];
    NRW_TRY(IN(e, 0, &j.x));
    NRW_TRY(SPREAD(e, 1, (int)axis, &j.scale, &j.scale_step));
    NRW_TRY(SPREAD(e, 2, (int)axis, &j.bias, &j.bias_step));
    NRW_TRY(OUT(e, 0, &j.y));
    if (j.y == NULL) {
        j.y = nrw_eval_scratch(e, nrw_tensor_count(x), sizeof *j.y);
        if (j.y == NULL) NRW_OOM(e->err);
    }
    NRW_TRY(OUT(e, 1, &j.mean));
    NRW_TRY(OUT(e, 2, &j.inv));
    RUN(e, &j, LAYER_TASK);
    if (e->out[0].data != NULL) NRW_TRY(DONE(e, 0, j.y));
    NRW_TRY(DONE(e, 1, j.mean));
    return DONE(e, 2, j.inv);
}

static nrw_status GROUPS(nrw_eval *e, int64_t groups) {
    const nrw_tensor *x = e->in[0];
    JOB j = {.centre = true, .epsilon = nrw_attr_float(e->node, "epsilon", 1e-5F), .inner = 1};
    j.all_channels = x->dims[1];
    for (int d = 2; d < x->rank; d++) j.inner *= x->dims[d];
    j.channels = groups != 0 ? j.all_channels / groups : 1;
    j.rows = x->dims[0] * (groups != 0 ? groups : j.all_channels);
    j.span = j.channels * j.inner;
    NRW_TRY(IN(e, 0, &j.x));
    NRW_TRY(IN(e, 1, &j.scale));
    NRW_TRY(IN(e, 2, &j.bias));
    NRW_TRY(OUT(e, 0, &j.y));
    RUN(e, &j, CHANNEL_TASK);
    return DONE(e, 0, j.y);
}

/* Means and (biased) variances of the batch, and the running ones that follow from them. */
static nrw_status BATCH_STATS(nrw_eval *e, JOB *j) {
    int64_t batches = j->rows / (j->all_channels != 0 ? j->all_channels : 1);
    REAL *mean = nrw_eval_scratch(e, j->all_channels, sizeof *mean);
    REAL *var = nrw_eval_scratch(e, j->all_channels, sizeof *var);
    REAL momentum = nrw_attr_float(e->node, "momentum", 0.9F), *run_mean, *run_var;
    if (mean == NULL || var == NULL) NRW_OOM(e->err);
    NRW_TRY(OUT(e, 1, &run_mean));
    NRW_TRY(OUT(e, 2, &run_var));
    for (int64_t c = 0; c < j->all_channels; c++) {
        double sum = 0, squares = 0, n = (double)batches * (double)j->inner;
        for (int64_t b = 0; b < batches; b++) {
            sum += SUM_OF(j->x + (b * j->all_channels + c) * j->inner, j->inner);
        }
        mean[c] = (REAL)(sum / n);
        for (int64_t b = 0; b < batches; b++) {
            squares += SQUARES_OF(j->x + (b * j->all_channels + c) * j->inner, j->inner, mean[c]);
        }
        var[c] = (REAL)(squares / n);
        if (run_mean != NULL) {
            run_mean[c] = j->given_mean[c] * momentum + mean[c] * (1 - momentum);
        }
        if (run_var != NULL) run_var[c] = j->given_var[c] * momentum + var[c] * (1 - momentum);
    }
    j->given_mean = mean;
    j->given_var = var;
    NRW_TRY(DONE(e, 1, run_mean));
    return DONE(e, 2, run_var);
}

static nrw_status BATCH(nrw_eval *e) {
    const nrw_tensor *x = e->in[0];
    JOB j = {.epsilon = nrw_attr_float(e->node, "epsilon", 1e-5F), .span = 1, .channels = 1};
    j.all_channels = x->rank > 1 ? x->dims[1] : 1;
    j.rows = x->dims[0] * j.all_channels;
    for (int d = 2; d < x->rank; d++) j.span *= x->dims[d];
    j.inner = j.span;
    NRW_TRY(IN(e, 0, &j.x));
    NRW_TRY(IN(e, 1, &j.scale));
    NRW_TRY(IN(e, 2, &j.bias));
    NRW_TRY(IN(e, 3, &j.given_mean));
    NRW_TRY(IN(e, 4, &j.given_var));
    if (nrw_attr_int(e->node, "training_mode", 0) != 0) NRW_TRY(BATCH_STATS(e, &j));
    NRW_TRY(OUT(e, 0, &j.y));
    RUN(e, &j, CHANNEL_TASK);
    return DONE(e, 0, j.y);
}

#undef REAL
#undef IN
#undef OUT
#undef DONE
#undef JOB
#undef SUM_OF
#undef SQUARES_OF
#undef SQUARE
#undef STATS
#undef LAYER_ROW
#undef LAYER_TASK
#undef AFFINE
#undef CHANNEL_TASK
#undef RUN
#undef SPREAD
#undef LAYER
#undef GROUPS
#undef BATCH_STATS
#undef BATCH
