/* Attention for one REAL: scores, softmax and the weighted sum of values, in blocks of query rows.
 */

/* A [batch, heads, rows, width] array by strides: 3-D and 4-D inputs differ in nothing else. */
typedef struct ARRAY {
    REAL *data;
    int64_t batch, head, row;
} ARRAY;

typedef struct JOB {
    const attention_dims *d;
    ARRAY q, k, v, y;
    REAL scale, softcap;
    const REAL *mask; /* float masks; see bias_row for the strides */
    const uint8_t *mask_bool;
    int64_t mask_stride[4], mask_length;
    const int64_t *nonpad; /* [batch] or NULL */
    int64_t left, right;   /* sliding window; -1: unbounded */
    bool causal;
    int mode;
    REAL *qk;     /* qk_matmul_output or NULL: [batch, heads, q_len, total] */
    REAL *scores; /* ROWS x total per worker */
    REAL *bias;   /* total per worker */
    /* Narrow floats: what each step's result is rounded to, and each step of the softmax; NRW_NONE:
     * not at all. */
    nrw_dtype step, softmax_step;
} JOB;

/* What is added to a row of scores: 0 or -inf or the mask's number. False when all is -inf. */
static bool BIAS_ROW(const JOB *j, int64_t b, int64_t h, int64_t i, REAL *bias) {
    int64_t total = j->d->total, offset = j->d->past;
    if (j->nonpad != NULL) offset = j->nonpad[b] - j->d->q_len;
    int64_t first = 0, end = total, at = i + offset;
    if (j->causal && end > at + 1) end = at + 1;
    if (j->right >= 0 && end > at + j->right + 1) end = at + j->right + 1;
    if (j->left >= 0 && first < at - j->left) first = at - j->left;
    if (j->nonpad != NULL && end > j->nonpad[b]) end = j->nonpad[b];
    bool masked = j->mask != NULL || j->mask_bool != NULL, any = false;
    if (masked && end > j->mask_length) end = j->mask_length;
    int64_t from = b * j->mask_stride[0] + h * j->mask_stride[1] + i * j->mask_stride[2];
    for (int64_t k = 0; k < total; k++) {
        REAL v = k >= first && k < end ? 0 : (REAL)-INFINITY;
        if (v == 0 && j->mask != NULL) v = j->mask[from + k];
        if (v == 0 && j->mask_bool != NULL && !j->mask_bool[from + k]) v = (REAL)-INFINITY;
        any = any || v != (REAL)-INFINITY;
        bias[k] = v;
    }
    return any;
}

NRW_WIDE static void SOFTMAX_ROW(REAL *s, int64_t n) {
    REAL top = (REAL)-INFINITY, sum = 0;
    for (int64_t k = 0; k < n; k++) top = s[k] > top ? s[k] : top;
    if (top == (REAL)-INFINITY) {
        for (int64_t k = 0; k < n; k++) s[k] = 0;
        return;
    }
    for (int64_t k = 0; k < n; k++) s[k] = EXP(s[k] - top);
    REAL lane[16] = {0};
    int64_t k = 0;
    for (; k + 16 <= n; k += 16) {
        for (int l = 0; l < 16; l++) lane[l] += s[k + l];
    }
    for (; k < n; k++) lane[0] += s[k];
    for (int l = 0; l < 16; l++) sum += lane[l];
    REAL factor = 1 / sum;
    for (k = 0; k < n; k++) s[k] *= factor;
}

/* The softmax in a narrow type, rounded after each step as the specification's function body does.
 * As in ONNX's reference implementation, sums round after each addition in bf16 but once in f16. */
static void SOFTMAX_STEPS(REAL *s, int64_t n, nrw_dtype type) {
    REAL top = (REAL)-INFINITY, sum = 0;
    for (int64_t k = 0; k < n; k++) top = s[k] > top ? s[k] : top;
    for (int64_t k = 0; k < n; k++) s[k] -= top;
    ROUND(type, s, n);
    for (int64_t k = 0; k < n; k++) s[k] = EXP(s[k]);
    ROUND(type, s, n);
    for (int64_t k = 0; k < n; k++) {
        sum += s[k];
        if (type == NRW_BF16) ROUND(type, &sum, 1);
    }
    ROUND(type, &sum, 1);
    for (int64_t k = 0; k < n; k++) s[k] /= sum;
}

static void CAP_ROW(const JOB *j, REAL *s, int64_t n) {
    for (int64_t k = 0; k < n; k++) s[k] /= j->softcap;
    ROUND(j->step, s, n);
    for (int64_t k = 0; k < n; k++) s[k] = TANH(s[k]);
    ROUND(j->step, s, n);
    for (int64_t k = 0; k < n; k++) s[k] *= j->softcap;
    ROUND(j->step, s, n);
}

/* Row i of head h, from raw products to probabilities; `shown` gets what qk_matmul_output_mode
 * asks for. */
static void SCORE_ROW(const JOB *j, int64_t b, int64_t h, int64_t i, REAL *s, REAL *bias,
                      REAL *shown) {
    int64_t n = j->d->total;
    size_t bytes = (size_t)n * sizeof *s;
    for (int64_t k = 0; k < n; k++) s[k] *= j->scale;
    ROUND(j->step, s, n);
    if (shown != NULL && j->mode == 0) memcpy(shown, s, bytes);
    if (j->softcap > 0) CAP_ROW(j, s, n);
    if (shown != NULL && j->mode == 1) memcpy(shown, s, bytes);
    bool any = BIAS_ROW(j, b, h, i, bias);
    for (int64_t k = 0; k < n; k++) s[k] += bias[k];
    ROUND(j->step, s, n);
    if (shown != NULL && j->mode == 2) memcpy(shown, s, bytes);
    if (!any) {
        memset(s, 0, bytes);
    } else if (j->softmax_step != NRW_NONE) {
        SOFTMAX_STEPS(s, n, j->softmax_step);
    } else {
        SOFTMAX_ROW(s, n);
    }
    ROUND(j->step, s, n);
    if (shown != NULL && j->mode == 3) memcpy(shown, s, bytes);
}

static void TASK(void *arg, int64_t task, int worker) {
    const JOB *j = arg;
    const attention_dims *d = j->d;
    int64_t blocks = (d->q_len + ROWS - 1) / ROWS, block = task % blocks;
    int64_t h = task / blocks % d->heads, b = task / blocks / d->heads;
    int64_t kv = h / (d->heads / d->kv_heads), row = block * ROWS, n = d->total;
    int64_t m = d->q_len - row < ROWS ? d->q_len - row : ROWS;
    REAL *s = j->scores + worker * ROWS * n, *bias = j->bias + worker * n;
    const REAL *k = j->k.data + b * j->k.batch + kv * j->k.head;
    const REAL *v = j->v.data + b * j->v.batch + kv * j->v.head;
    MM_NT(m, n, d->width, j->q.data + b * j->q.batch + h * j->q.head + row * j->q.row, j->q.row, k,
          j->k.row, s, n, 0);
    for (int64_t i = 0; i < m; i++) {
        REAL *shown = j->qk != NULL ? j->qk + ((b * d->heads + h) * d->q_len + row + i) * n : NULL;
        SCORE_ROW(j, b, h, row + i, s + i * n, bias, shown);
    }
    MM(m, d->v_width, n, s, n, v, j->v.row,
       j->y.data + b * j->y.batch + h * j->y.head + row * j->y.row, j->y.row, 0);
}

static ARRAY PLACE(const REAL *data, int rank, int64_t heads, int64_t rows, int64_t width) {
    ARRAY a = {(REAL *)data, heads * rows * width, rows * width, width};
    if (rank == 3) {
        a.head = width;
        a.row = heads * width;
    }
    return a;
}

/* What K or V is with the past before it: input `in` as it stands, or a joined copy that is also
 * output `out`. */
static nrw_status JOIN(nrw_eval *e, const attention_dims *d, int in, int past, int out,
                       int64_t width, ARRAY *a) {
    const REAL *now, *before = NULL;
    REAL *all = NULL;
    NRW_TRY(IN(e, in, &now));
    NRW_TRY(IN(e, past, &before));
    NRW_TRY(OUT(e, out, &all));
    ARRAY from = PLACE(now, e->in[in]->rank, d->kv_heads, d->kv_len, width);
    if (before == NULL && all == NULL) {
        *a = from;
        return NRW_OK;
    }
    if (all == NULL) {
        all = nrw_eval_scratch(e, d->batch * d->kv_heads * d->total * width, sizeof *all);
        if (all == NULL) NRW_OOM(e->err);
    }
    *a = PLACE(all, 4, d->kv_heads, d->total, width);
    size_t line = (size_t)width * sizeof *all;
    for (int64_t bh = 0; bh < d->batch * d->kv_heads; bh++) {
        int64_t b = bh / d->kv_heads, h = bh % d->kv_heads;
        REAL *to = all + bh * d->total * width;
        if (before != NULL) memcpy(to, before + bh * d->past * width, line * (size_t)d->past);
        to += d->past * width;
        for (int64_t r = 0; r < d->kv_len; r++) {
            memcpy(to + r * width, now + b * from.batch + h * from.head + r * from.row, line);
        }
    }
    return out < e->n_out && e->out[out].data != NULL ? DONE(e, out, all) : NRW_OK;
}

static nrw_status READ_MASK(nrw_eval *e, JOB *j) {
    const nrw_tensor *t = e->n_in > 3 ? e->in[3] : NULL;
    if (t == NULL) return NRW_OK;
    if (t->dtype == NRW_BOOL) {
        j->mask_bool = t->data;
    } else {
        NRW_TRY(IN(e, 3, &j->mask));
    }
    j->mask_length = t->dims[t->rank - 1];
    int64_t stride = 1;
    for (int i = 0; i < t->rank; i++) {
        int64_t dim = t->dims[t->rank - 1 - i];
        j->mask_stride[3 - i] = dim == 1 ? 0 : stride;
        stride *= dim;
    }
    return NRW_OK;
}

/* A copy of n elements times a factor, rounded: narrow types scale Q and K before the product. */
static nrw_status SCALED(nrw_eval *e, REAL **data, int64_t n, REAL factor, nrw_dtype type) {
    REAL *copy = nrw_eval_scratch(e, n, sizeof *copy);
    if (copy == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < n; i++) copy[i] = (*data)[i] * factor;
    ROUND(type, copy, n);
    *data = copy;
    return NRW_OK;
}

static nrw_status NARROW_STEPS(nrw_eval *e, JOB *j) {
    const attention_dims *d = j->d;
    nrw_dtype type = e->in[0]->dtype;
    if (type != NRW_F16 && type != NRW_BF16) return NRW_OK;
    int64_t precision = nrw_attr_int(e->node, "softmax_precision", 0);
    nrw_dtype softmax = precision != 0 ? nrw_dtype_from_onnx((int)precision) : type;
    j->step = type;
    j->softmax_step = softmax == NRW_F16 || softmax == NRW_BF16 ? softmax : NRW_NONE;
    REAL factor = (REAL)sqrt((double)j->scale);
    ROUND(type, &factor, 1);
    j->scale = 1;
    NRW_TRY(SCALED(e, &j->q.data, d->batch * d->heads * d->q_len * d->width, factor, type));
    return SCALED(e, &j->k.data, d->batch * d->kv_heads * d->total * d->width, factor, type);
}

static nrw_status ATTENTION(nrw_eval *e, const attention_dims *d) {
    JOB j = {.d = d, .mode = (int)nrw_attr_int(e->node, "qk_matmul_output_mode", 0)};
    const REAL *q;
    REAL *y;
    j.scale = (REAL)attention_scale(e->node, d);
    j.softcap = (REAL)nrw_attr_float(e->node, "softcap", 0);
    j.causal = nrw_attr_int(e->node, "is_causal", 0) != 0;
    j.left = nrw_attr_int(e->node, "left_window_size", -1);
    j.right = nrw_attr_int(e->node, "right_window_size", -1);
    NRW_TRY(IN(e, 0, &q));
    NRW_TRY(OUT(e, 0, &y));
    NRW_TRY(OUT(e, 3, &j.qk));
    NRW_TRY(READ_MASK(e, &j));
    NRW_TRY(JOIN(e, d, 1, 4, 1, d->width, &j.k));
    NRW_TRY(JOIN(e, d, 2, 5, 2, d->v_width, &j.v));
    NRW_TRY(read_lengths(e, d, &j.nonpad));
    if (y == NULL) {
        y = nrw_eval_scratch(e, d->batch * d->heads * d->q_len * d->v_width, sizeof *y);
        if (y == NULL) NRW_OOM(e->err);
    }
    j.q = PLACE(q, e->in[0]->rank, d->heads, d->q_len, d->width);
    j.y = PLACE(y, e->in[0]->rank, d->heads, d->q_len, d->v_width);
    NRW_TRY(NARROW_STEPS(e, &j));
    int64_t workers = nrw_pool_threads(e->pool);
    j.scores = nrw_eval_scratch(e, workers * d->total, ROWS * sizeof *j.scores);
    j.bias = nrw_eval_scratch(e, workers * d->total, sizeof *j.bias);
    if (j.scores == NULL || j.bias == NULL) NRW_OOM(e->err);
    nrw_pool_run(e->pool, d->batch * d->heads * ((d->q_len + ROWS - 1) / ROWS), TASK, &j);
    if (e->out[0].data != NULL) NRW_TRY(DONE(e, 0, y));
    return DONE(e, 3, j.qk);
}

/* FlexAttention: the same three steps, each over all heads, so that bodies can change the scores
 * and the probabilities in between. */

static void FLEX_SCORES(void *arg, int64_t bh, int worker) {
    const JOB *j = arg;
    const attention_dims *d = j->d;
    int64_t b = bh / d->heads, h = bh % d->heads, kv = h / (d->heads / d->kv_heads);
    REAL *s = j->scores + bh * d->q_len * d->total;
    MM_NT(d->q_len, d->total, d->width, j->q.data + b * j->q.batch + h * j->q.head, j->q.row,
          j->k.data + b * j->k.batch + kv * j->k.head, j->k.row, s, d->total, 0);
    for (int64_t i = 0; i < d->q_len * d->total; i++) s[i] *= j->scale;
}

static void FLEX_SOFTMAX(void *arg, int64_t bh, int worker) {
    const JOB *j = arg;
    for (int64_t i = 0; i < j->d->q_len; i++) {
        SOFTMAX_ROW(j->scores + (bh * j->d->q_len + i) * j->d->total, j->d->total);
    }
}

static void FLEX_VALUES(void *arg, int64_t bh, int worker) {
    const JOB *j = arg;
    const attention_dims *d = j->d;
    int64_t b = bh / d->heads, h = bh % d->heads, kv = h / (d->heads / d->kv_heads);
    MM(d->q_len, d->v_width, d->total, j->scores + bh * d->q_len * d->total, d->total,
       j->v.data + b * j->v.batch + kv * j->v.head, j->v.row,
       j->y.data + b * j->y.batch + h * j->y.head, j->y.row, 0);
}

/* Runs the body of attribute `name`, if there is one, over the scores. */
static nrw_status FLEX_BODY(nrw_eval *e, JOB *j, const char *name, nrw_dtype type) {
    nrw_graph *g = nrw_attr_graph(e->node, name);
    if (g == NULL) return NRW_OK;
    int64_t dims[4] = {j->d->batch, j->d->heads, j->d->q_len, j->d->total};
    nrw_tensor in = nrw_tensor_make(type, 4, dims, j->scores), out;
    int64_t n = nrw_tensor_count(&in);
    if (type != REAL_DTYPE) {
        in.data = nrw_eval_scratch(e, n, (size_t)nrw_dtype_size(type));
        if (in.data == NULL) NRW_OOM(e->err);
        NRW_TRY(FROM(type, j->scores, in.data, n, e->err));
    }
    NRW_TRY_CTX(e->err, e->host->run_graph(e->host, g, 1, &in, 1, &out, e->err), "%s", name);
    if (nrw_tensor_count(&out) != n || !nrw_dtype_is_float(out.dtype)) {
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "%s: changes the shape of the scores", name);
    }
    return TO(out.dtype, out.data, j->scores, n, e->err);
}

static nrw_status FLEX(nrw_eval *e, const attention_dims *d, nrw_dtype type) {
    JOB j = {.d = d, .scale = (REAL)attention_scale(e->node, d)};
    const REAL *q, *k, *v;
    REAL *y;
    NRW_TRY(IN(e, 0, &q));
    NRW_TRY(IN(e, 1, &k));
    NRW_TRY(IN(e, 2, &v));
    NRW_TRY(OUT(e, 0, &y));
    int64_t heads = d->batch * d->heads, n;
    if (!nrw_mul_i64(heads * d->q_len, d->total, &n)) NRW_OOM(e->err);
    j.scores = nrw_eval_scratch(e, n, sizeof *j.scores);
    if (j.scores == NULL) NRW_OOM(e->err);
    j.q = PLACE(q, 4, d->heads, d->q_len, d->width);
    j.k = PLACE(k, 4, d->kv_heads, d->total, d->width);
    j.v = PLACE(v, 4, d->kv_heads, d->total, d->v_width);
    j.y = PLACE(y, 4, d->heads, d->q_len, d->v_width);
    nrw_pool_run(e->pool, heads, FLEX_SCORES, &j);
    NRW_TRY(FLEX_BODY(e, &j, "score_mod", type));
    nrw_pool_run(e->pool, heads, FLEX_SOFTMAX, &j);
    NRW_TRY(FLEX_BODY(e, &j, "prob_mod", type));
    nrw_pool_run(e->pool, heads, FLEX_VALUES, &j);
    return DONE(e, 0, y);
}

#undef REAL
#undef REAL_DTYPE
#undef ARRAY
#undef JOB
#undef BIAS_ROW
#undef SOFTMAX_ROW
#undef CAP_ROW
#undef SOFTMAX_STEPS
#undef SCORE_ROW
#undef SCALED
#undef NARROW_STEPS
#undef ROUND
#undef TASK
#undef PLACE
#undef JOIN
#undef READ_MASK
#undef ATTENTION
#undef FLEX_SCORES
#undef FLEX_SOFTMAX
#undef FLEX_VALUES
#undef FLEX_BODY
#undef FLEX
#undef IN
#undef OUT
#undef DONE
#undef TO
#undef FROM
#undef MM
#undef MM_NT
#undef EXP
#undef TANH
