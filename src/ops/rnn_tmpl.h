/* RNN, GRU and LSTM for one REAL. The inputs' products with W are made for all steps at once; a
 * step then works on blocks of units in parallel. */

typedef struct JOB {
    const rnn *n;
    const REAL *x, *w, *r, *peephole;
    const REAL *r_bias;   /* GRU with linear_before_reset: the last gate's, or NULL */
    REAL *bias;           /* [gates * hidden]: W's and R's together, zeros when left out */
    REAL *xw;             /* [rows of x, gates * hidden] */
    REAL *gates;          /* [batch, gates * hidden] of this step */
    REAL *h, *h_next, *c; /* [batch, hidden] */
    REAL *reset;          /* GRU: r * h, [batch, hidden] */
    REAL *y;              /* NULL: not wanted */
    int direction;
    int64_t step;
} JOB;

static REAL ACTIVATE(const activation *f, REAL v) {
    REAL a = (REAL)f->alpha, b = (REAL)f->beta;
    switch (f->kind) {
    case ACT_SIGMOID:
        return SIGMOID(v);
    case ACT_TANH:
        return TANH(v);
    case ACT_RELU:
        return v > 0 ? v : 0;
    case ACT_AFFINE:
        return a * v + b;
    case ACT_LEAKY_RELU:
        return v >= 0 ? v : a * v;
    case ACT_THRESHOLDED_RELU:
        return v > a ? v : 0;
    case ACT_SCALED_TANH:
        return a * TANH(b * v);
    case ACT_HARD_SIGMOID:
        v = a * v + b;
        return v < 0 ? 0 : v > 1 ? 1 : v;
    case ACT_ELU:
        return v >= 0 ? v : a * (EXP(v) - 1);
    case ACT_SOFTSIGN:
        return v / (1 + (v < 0 ? -v : v));
    case ACT_SOFTPLUS:
        return v > 0 ? v + (REAL)log1p((double)EXP(-v)) : (REAL)log1p((double)EXP(v));
    }
    return v;
}

/* Clips, then activates n values in place. */
NRW_WIDE static void APPLY(const activation *f, REAL clip, REAL *v, int64_t n) {
    if (clip > 0) {
        for (int64_t i = 0; i < n; i++) v[i] = v[i] > clip ? clip : v[i] < -clip ? -clip : v[i];
    }
    if (f->kind == ACT_SIGMOID) {
        for (int64_t i = 0; i < n; i++) v[i] = SIGMOID(v[i]);
    } else if (f->kind == ACT_TANH) {
        for (int64_t i = 0; i < n; i++) v[i] = TANH(v[i]);
    } else {
        for (int64_t i = 0; i < n; i++) v[i] = ACTIVATE(f, v[i]);
    }
}

/* The time step that batch entry b sees at this step, or -1 when its sequence is over. */
static int64_t TIME_OF(const JOB *j, int64_t b) {
    int64_t length = j->n->lengths[b];
    if (j->step >= length) return -1;
    return j->n->reverse[j->direction] ? length - 1 - j->step : j->step;
}

static const REAL *XW_ROW(const JOB *j, int64_t b, int64_t time) {
    int64_t row = j->n->layout != 0 ? b * j->n->steps + time : time * j->n->batch + b;
    return j->xw + row * j->n->gates * j->n->hidden;
}

/* Keeps the new state of units [u, u + n) of entry b, and shows it in Y. */
static void STORE(const JOB *j, int64_t b, int64_t time, int64_t u, int64_t n, const REAL *h) {
    const rnn *r = j->n;
    memcpy(j->h_next + b * r->hidden + u, h, (size_t)n * sizeof *h);
    if (j->y == NULL) return;
    int64_t at = r->layout != 0 ? (b * r->steps + time) * r->directions + j->direction
                                : (time * r->directions + j->direction) * r->batch + b;
    memcpy(j->y + at * r->hidden + u, h, (size_t)n * sizeof *h);
}

static void RNN_UNITS(const JOB *j, int64_t b, int64_t time, int64_t u, int64_t n, REAL *gate) {
    const REAL *xw = XW_ROW(j, b, time) + u;
    for (int64_t i = 0; i < n; i++) gate[i] += xw[i];
    APPLY(&j->n->act[j->direction][0], (REAL)j->n->clip, gate, n);
    STORE(j, b, time, u, n, gate);
}

/* Gates in the order i, o, f, c. */
static void LSTM_UNITS(const JOB *j, int64_t b, int64_t time, int64_t u, int64_t n, REAL *gate) {
    const rnn *r = j->n;
    const activation *act = r->act[j->direction];
    const REAL most = (REAL)r->cell_clip;
    REAL clip = (REAL)r->clip, *c = j->c + b * r->hidden + u, *in[4], state[UNITS];
    for (int g = 0; g < 4; g++) {
        const REAL *xw = XW_ROW(j, b, time) + g * r->hidden + u;
        in[g] = gate + g * r->hidden;
        for (int64_t i = 0; i < n; i++) in[g][i] += xw[i];
    }
    const REAL *p = j->peephole != NULL ? j->peephole + u : NULL;
    for (int64_t i = 0; p != NULL && i < n; i++) {
        in[0][i] += p[i] * c[i];
        in[2][i] += p[2 * r->hidden + i] * c[i];
    }
    APPLY(&act[0], clip, in[0], n);
    APPLY(&act[0], clip, in[2], n);
    APPLY(&act[1], clip, in[3], n);
    for (int64_t i = 0; i < n; i++) {
        REAL forget = r->input_forget ? 1 - in[0][i] : in[2][i];
        c[i] = forget * c[i] + in[0][i] * in[3][i];
        if (most > 0) c[i] = c[i] > most ? most : c[i] < -most ? -most : c[i];
        state[i] = c[i];
        if (p != NULL) in[1][i] += p[r->hidden + i] * c[i];
    }
    APPLY(&act[0], clip, in[1], n);
    APPLY(&act[2], clip, state, n);
    for (int64_t i = 0; i < n; i++) state[i] *= in[1][i];
    STORE(j, b, time, u, n, state);
}

/* Gates in the order z, r, h; the first half makes z, r and r * h. */
static void GRU_GATES(const JOB *j, int64_t b, int64_t time, int64_t u, int64_t n, REAL *gate) {
    const rnn *r = j->n;
    const activation *act = r->act[j->direction];
    const REAL *xw = XW_ROW(j, b, time) + u, *h = j->h + b * r->hidden + u;
    REAL *reset = j->reset + b * r->hidden + u;
    for (int g = 0; g < 2; g++) {
        for (int64_t i = 0; i < n; i++) gate[g * r->hidden + i] += xw[g * r->hidden + i];
        APPLY(&act[0], (REAL)r->clip, gate + g * r->hidden, n);
    }
    for (int64_t i = 0; i < n; i++) reset[i] = gate[r->hidden + i] * h[i];
}

static void GRU_STATE(const JOB *j, int64_t b, int64_t time, int64_t u, int64_t n, REAL *gate) {
    const rnn *r = j->n;
    const REAL *xw = XW_ROW(j, b, time) + 2 * r->hidden + u, *h = j->h + b * r->hidden + u;
    REAL *z = gate, *reset = gate + r->hidden, *v = gate + 2 * r->hidden;
    for (int64_t i = 0; i < n; i++) {
        if (j->r_bias != NULL) v[i] += j->r_bias[u + i];
        if (r->linear_before_reset) v[i] *= reset[i];
        v[i] += xw[i];
    }
    APPLY(&r->act[j->direction][1], (REAL)r->clip, v, n);
    for (int64_t i = 0; i < n; i++) v[i] = (1 - z[i]) * v[i] + z[i] * h[i];
    STORE(j, b, time, u, n, v);
}

/* Products of the state with R for gates [first, last), then `finish` for every sequence that still
 * goes on. */
static void BLOCK(const JOB *j, int64_t block, int first, int last, const REAL *state,
                  void (*finish)(const JOB *, int64_t, int64_t, int64_t, int64_t, REAL *)) {
    const rnn *r = j->n;
    int64_t u = block * UNITS, n = r->hidden - u < UNITS ? r->hidden - u : UNITS;
    int64_t width = r->gates * r->hidden;
    for (int g = first; g < last; g++) {
        MM_NT(r->batch, n, r->hidden, state, r->hidden, j->r + (g * r->hidden + u) * r->hidden,
              r->hidden, j->gates + g * r->hidden + u, width, 0);
    }
    for (int64_t b = 0; b < r->batch; b++) {
        int64_t time = TIME_OF(j, b), at = b * r->hidden + u;
        if (time >= 0) {
            finish(j, b, time, u, n, j->gates + b * width + u);
        } else {
            memcpy(j->h_next + at, j->h + at, (size_t)n * sizeof *j->h);
        }
    }
}

static void STEP_TASK(void *arg, int64_t block, int worker) {
    const JOB *j = arg;
    if (j->n->kind == KIND_RNN) {
        BLOCK(j, block, 0, 1, j->h, RNN_UNITS);
    } else if (j->n->kind == KIND_LSTM) {
        BLOCK(j, block, 0, 4, j->h, LSTM_UNITS);
    } else {
        BLOCK(j, block, 0, j->n->linear_before_reset ? 3 : 2, j->h, GRU_GATES);
    }
}

static void GRU_TASK(void *arg, int64_t block, int worker) {
    const JOB *j = arg;
    if (j->n->linear_before_reset) {
        BLOCK(j, block, 0, 0, j->h, GRU_STATE);
    } else {
        BLOCK(j, block, 2, 3, j->reset, GRU_STATE);
    }
}

static void INPUT_TASK(void *arg, int64_t task, int worker) {
    const JOB *j = arg;
    const rnn *r = j->n;
    int64_t width = r->gates * r->hidden, row = task * UNITS, rows = r->steps * r->batch - row;
    if (rows > UNITS) rows = UNITS;
    REAL *to = j->xw + row * width;
    for (int64_t i = 0; i < rows; i++) memcpy(to + i * width, j->bias, (size_t)width * sizeof *to);
    MM_NT(rows, width, r->input, j->x + row * r->input, r->input, j->w, r->input, to, width, 1);
}

static void RUN_DIRECTION(nrw_eval *e, JOB *j) {
    const rnn *r = j->n;
    int64_t blocks = (r->hidden + UNITS - 1) / UNITS;
    nrw_pool_run(e->pool, (r->steps * r->batch + UNITS - 1) / UNITS, INPUT_TASK, j);
    for (j->step = 0; j->step < r->steps; j->step++) {
        nrw_pool_run(e->pool, blocks, STEP_TASK, j);
        if (r->kind == KIND_GRU) nrw_pool_run(e->pool, blocks, GRU_TASK, j);
        REAL *last = j->h;
        j->h = j->h_next;
        j->h_next = last;
    }
}

/* State `i` of direction d to or from [directions, batch, hidden] (layout 1: [batch, directions,
 * hidden]). */
static void MOVE_STATE(const rnn *r, int d, REAL *whole, REAL *state, bool out) {
    for (int64_t b = 0; b < r->batch; b++) {
        int64_t at = r->layout != 0 ? b * r->directions + d : d * r->batch + b;
        REAL *there = whole + at * r->hidden, *here = state + b * r->hidden;
        memcpy(out ? there : here, out ? here : there, (size_t)r->hidden * sizeof *here);
    }
}

static void SET_BIAS(const rnn *r, JOB *j, const REAL *b) {
    int64_t width = r->gates * r->hidden;
    j->r_bias = NULL;
    for (int64_t i = 0; i < width; i++) j->bias[i] = b != NULL ? b[i] : 0;
    if (b == NULL) return;
    int64_t joined = r->linear_before_reset ? 2 * r->hidden : width;
    for (int64_t i = 0; i < joined; i++) j->bias[i] += b[width + i];
    if (joined < width) j->r_bias = b + width + joined;
}

static nrw_status RECUR(nrw_eval *e, const rnn *r) {
    JOB j = {.n = r};
    const REAL *w, *rec, *b, *h0, *c0, *p;
    REAL *h_out, *c_out;
    NRW_TRY(IN(e, 0, &j.x));
    NRW_TRY(IN(e, 1, &w));
    NRW_TRY(IN(e, 2, &rec));
    NRW_TRY(IN(e, 3, &b));
    NRW_TRY(IN(e, 5, &h0));
    NRW_TRY(IN(e, 6, &c0));
    NRW_TRY(IN(e, 7, &p));
    NRW_TRY(OUT(e, 0, &j.y));
    NRW_TRY(OUT(e, 1, &h_out));
    NRW_TRY(OUT(e, 2, &c_out));
    int64_t width = r->gates * r->hidden, states = r->batch * r->hidden, rows;
    if (!nrw_mul_i64(r->steps * r->batch, width, &rows)) NRW_OOM(e->err);
    j.bias = nrw_eval_scratch(e, width, sizeof(REAL));
    j.xw = nrw_eval_scratch(e, rows, sizeof(REAL));
    j.gates = nrw_eval_scratch(e, r->batch * width, sizeof(REAL));
    REAL *state = nrw_eval_scratch(e, states * 4, sizeof(REAL));
    if (j.bias == NULL || j.xw == NULL || j.gates == NULL || state == NULL) NRW_OOM(e->err);
    j.h = state;
    j.h_next = state + states;
    j.c = state + 2 * states;
    j.reset = state + 3 * states;
    if (j.y != NULL) memset(j.y, 0, (size_t)nrw_tensor_count(&e->out[0]) * sizeof(REAL));
    for (int d = 0; d < r->directions; d++) {
        j.direction = d;
        j.w = w + d * width * r->input;
        j.r = rec + d * width * r->hidden;
        j.peephole = p != NULL ? p + d * 3 * r->hidden : NULL;
        SET_BIAS(r, &j, b != NULL ? b + d * 2 * width : NULL);
        memset(j.h, 0, (size_t)states * sizeof(REAL));
        memset(j.c, 0, (size_t)states * sizeof(REAL));
        if (h0 != NULL) MOVE_STATE(r, d, (REAL *)h0, j.h, false);
        if (c0 != NULL) MOVE_STATE(r, d, (REAL *)c0, j.c, false);
        RUN_DIRECTION(e, &j);
        if (h_out != NULL) MOVE_STATE(r, d, h_out, j.h, true);
        if (c_out != NULL) MOVE_STATE(r, d, c_out, j.c, true);
    }
    NRW_TRY(DONE(e, 0, j.y));
    NRW_TRY(DONE(e, 1, h_out));
    return DONE(e, 2, c_out);
}

#undef REAL
#undef JOB
#undef ACTIVATE
#undef APPLY
#undef TIME_OF
#undef XW_ROW
#undef STORE
#undef RNN_UNITS
#undef LSTM_UNITS
#undef GRU_GATES
#undef GRU_STATE
#undef BLOCK
#undef STEP_TASK
#undef GRU_TASK
#undef INPUT_TASK
#undef RUN_DIRECTION
#undef MOVE_STATE
#undef SET_BIAS
#undef RECUR
#undef IN
#undef OUT
#undef DONE
#undef MM_NT
#undef SIGMOID
#undef TANH
#undef EXP
