/* Lines of softmax and its kin for one type. In: T, TN, EXP, LOG; undefined again. y may be x. Rows
 * (stride 1, one column) have loops of their own with eight partial results. */

NRW_WIDE static T NRW_CAT(row_max_, TN)(const T *x, int64_t n) {
    T lane[8], top;
    int64_t i = 0;
    for (int k = 0; k < 8; k++) lane[k] = x[0];
    for (; i + 8 <= n; i += 8) {
        for (int k = 0; k < 8; k++) lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
    }
    for (; i < n; i++) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    top = lane[0];
    for (int k = 1; k < 8; k++) top = lane[k] > top ? lane[k] : top;
    return top;
}

NRW_WIDE static double NRW_CAT(row_sum_, TN)(const T *x, int64_t n) {
    double lane[8] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int k = 0; k < 8; k++) lane[k] += (double)x[i + k];
    }
    for (; i < n; i++) lane[0] += (double)x[i];
    for (int k = 0; k < 8; k++) sum += lane[k];
    return sum;
}

NRW_WIDE static void NRW_CAT(row_softmax_, TN)(const T *x, T *y, int64_t n) {
    const T top = NRW_CAT(row_max_, TN)(x, n);
    for (int64_t i = 0; i < n; i++) y[i] = EXP(x[i] - top);
    const T scale = (T)(1 / NRW_CAT(row_sum_, TN)(y, n));
    for (int64_t i = 0; i < n; i++) y[i] *= scale;
}

/* The largest of each column, and the sum of exp(x - largest). */
NRW_WIDE static void NRW_CAT(column_sums_, TN)(const T *x, int64_t length, int64_t stride,
                                               int64_t columns, T *top, double *sum) {
    for (int64_t c = 0; c < columns; c++) {
        top[c] = x[c];
        sum[c] = 0;
    }
    for (int64_t i = 1; i < length; i++) {
        const T *row = x + i * stride;
        for (int64_t c = 0; c < columns; c++) top[c] = row[c] > top[c] ? row[c] : top[c];
    }
    for (int64_t i = 0; i < length; i++) {
        const T *row = x + i * stride;
        for (int64_t c = 0; c < columns; c++) sum[c] += (double)EXP(row[c] - top[c]);
    }
}

NRW_WIDE static void NRW_CAT(softmax_, TN)(const void *from, void *to, int64_t length,
                                           int64_t stride, int64_t columns, const void *arg) {
    const T *x = from;
    T *y = to, top[TILE], scale[TILE];
    double sum[TILE];
    (void)arg;
    if (stride == 1) {
        NRW_CAT(row_softmax_, TN)(x, y, length);
        return;
    }
    NRW_CAT(column_sums_, TN)(x, length, stride, columns, top, sum);
    for (int64_t c = 0; c < columns; c++) scale[c] = (T)(1 / sum[c]);
    for (int64_t i = 0; i < length; i++) {
        for (int64_t c = 0; c < columns; c++)
            y[i * stride + c] = EXP(x[i * stride + c] - top[c]) * scale[c];
    }
}

static void NRW_CAT(log_softmax_, TN)(const void *from, void *to, int64_t length, int64_t stride,
                                      int64_t columns, const void *arg) {
    const T *x = from;
    T *y = to, top[TILE], log_sum[TILE];
    double sum[TILE];
    (void)arg;
    NRW_CAT(column_sums_, TN)(x, length, stride, columns, top, sum);
    for (int64_t c = 0; c < columns; c++) log_sum[c] = LOG((T)sum[c]);
    for (int64_t i = 0; i < length; i++) {
        for (int64_t c = 0; c < columns; c++)
            y[i * stride + c] = x[i * stride + c] - top[c] - log_sum[c];
    }
}

/* One at the first largest element, zero elsewhere. */
static void NRW_CAT(hardmax_, TN)(const void *from, void *to, int64_t length, int64_t stride,
                                  int64_t columns, const void *arg) {
    const T *x = from;
    T *y = to;
    (void)arg;
    for (int64_t c = 0; c < columns; c++) {
        int64_t best = 0;
        for (int64_t i = 1; i < length; i++) {
            if (x[i * stride + c] > x[best * stride + c]) best = i;
        }
        for (int64_t i = 0; i < length; i++) y[i * stride + c] = i == best ? 1 : 0;
    }
}

/* Divides by the p-norm; arg points to p. A line of zeros stays zero. */
static void NRW_CAT(lp_, TN)(const void *from, void *to, int64_t length, int64_t stride,
                             int64_t columns, const void *arg) {
    const T *x = from;
    const bool absolute = *(const int64_t *)arg == 1;
    T *y = to;
    double norm[TILE] = {0};
    for (int64_t i = 0; i < length; i++) {
        for (int64_t c = 0; c < columns; c++) {
            double v = (double)x[i * stride + c];
            norm[c] += absolute ? fabs(v) : v * v;
        }
    }
    for (int64_t c = 0; c < columns; c++) {
        double d = absolute ? norm[c] : sqrt(norm[c]);
        norm[c] = d == 0 ? 0 : 1 / d;
    }
    for (int64_t i = 0; i < length; i++) {
        for (int64_t c = 0; c < columns; c++)
            y[i * stride + c] = (T)((double)x[i * stride + c] * norm[c]);
    }
}

#undef T
#undef TN
#undef EXP
#undef LOG
