#include "report/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double z95 = 1.959963984540054; /* the normal distribution's 97.5 % quantile */

int64_t nrw_argmax(const float *scores, int64_t n) {
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++) {
        if (!isnan(scores[i]) && (best < 0 || scores[i] > scores[best])) best = i;
    }
    return best;
}

bool nrw_in_top(const float *scores, int64_t n, int64_t label, int k) {
    if (label < 0 || label >= n || isnan(scores[label])) return false;
    float own = scores[label];
    int64_t ahead = 0;
    for (int64_t i = 0; i < n; i++) ahead += scores[i] > own || (scores[i] == own && i < label);
    return ahead < k;
}

static nrw_interval interval(double value, double low, double high) {
    return (nrw_interval){value, low, high};
}

static double clamp(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* Shares ------------------------------------------------------------------------------------ */

void nrw_share_add(nrw_share *s, bool hit) {
    s->n++;
    s->hits += hit;
}

nrw_interval nrw_share_value(const nrw_share *s) {
    if (!s->n) return interval(NAN, NAN, NAN);
    double n = (double)s->n, p = (double)s->hits / n, z2 = z95 * z95;
    double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = z95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);
    double low = s->hits == 0 ? 0 : fmax(0, centre - half);
    double high = s->hits == s->n ? 1 : fmin(1, centre + half);
    return interval(p, low, high);
}

void nrw_paired_add(nrw_paired *p, bool first, bool second) {
    p->n++;
    p->both += first && second;
    p->first_only += first && !second;
    p->second_only += !first && second;
}

/* P(X <= k) - tie * P(X = k) for X of m fair coins, k <= m / 2. Terms are summed from the largest
 * down, so that the sum may stop when the rest cannot matter. */
static double coin_tail(int64_t k, int64_t m, double tie) {
    int sign;
    double log_top = lgamma_r((double)m + 1, &sign) - lgamma_r((double)k + 1, &sign) -
                     lgamma_r((double)(m - k) + 1, &sign) - (double)m * log(2.0);
    double term = exp(log_top), sum = (1 - tie) * term;
    for (int64_t i = k; i > 0 && term > 1e-18 * sum; i--) {
        term *= (double)i / (double)(m - i + 1);
        sum += term;
    }
    return sum;
}

static double mcnemar(const nrw_paired *p, double tie) {
    int64_t m = p->first_only + p->second_only;
    int64_t k = p->first_only < p->second_only ? p->first_only : p->second_only;
    if (m == 0) return 1;
    return fmin(1, 2 * coin_tail(k, m, tie));
}

double nrw_paired_p_exact(const nrw_paired *p) {
    return mcnemar(p, 0);
}

double nrw_paired_p_mid(const nrw_paired *p) {
    /* With equal counts the tails overlap in one term: twice (tail - half the term) is 1. */
    return mcnemar(p, 0.5);
}

nrw_interval nrw_paired_drop(const nrw_paired *p) {
    if (!p->n) return interval(NAN, NAN, NAN);
    double n = (double)p->n;
    double drop = (double)(p->first_only - p->second_only) / n;
    double a = ((double)p->first_only + 1) / (n + 2), b = ((double)p->second_only + 1) / (n + 2);
    double half = z95 * sqrt((a + b - (a - b) * (a - b)) / (n + 2));
    double low = clamp(a - b - half, -1, 1), high = clamp(a - b + half, -1, 1);
    return interval(drop, fmin(low, drop), fmax(high, drop));
}

/* Signal and noise -------------------------------------------------------------------------- */

void nrw_sqnr_add(nrw_sqnr *a, const float *reference, const float *values, int64_t n) {
    double s = 0, e = 0;
    for (int64_t i = 0; i < n; i++) {
        double r = (double)reference[i], d = r - (double)values[i];
        s += r * r;
        e += d * d;
    }
    a->n++;
    a->s += s;
    a->e += e;
    a->ss += s * s;
    a->ee += e * e;
    a->se += s * e;
}

nrw_interval nrw_sqnr_value(const nrw_sqnr *a) {
    if (!a->n || isnan(a->s) || isnan(a->e)) return interval(NAN, NAN, NAN);
    if (a->e == 0) return interval(INFINITY, INFINITY, INFINITY);
    if (a->s == 0) return interval(-INFINITY, -INFINITY, -INFINITY);
    double db = 10 * log10(a->s / a->e), n = (double)a->n;
    if (a->n < 2) return interval(db, NAN, NAN);
    /* Var(log(mean s / mean e)) to first order, from the samples' covariances. */
    double s = a->s / n, e = a->e / n;
    double relative = a->ss / n / (s * s) + a->ee / n / (e * e) - 2 * (a->se / n) / (s * e);
    double half = z95 * sqrt(fmax(0, relative) / (n - 1)) * 10 / log(10);
    return interval(db, db - half, db + half);
}

/* Means ------------------------------------------------------------------------------------- */

void nrw_mean_add(nrw_mean *a, double x) {
    a->n++;
    double d = x - a->mean;
    a->mean += d / (double)a->n;
    a->m2 += d * (x - a->mean);
}

/* Student's 97.5 % quantile with f degrees of freedom: exact for 1 and 2, above by the
 * Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5), which is good to 0.2 % at 3 and better
 * from there. */
static double student(double f) {
    if (f < 1.5) return 12.706204736;
    if (f < 2.5) return 4.3026527297;
    double z = z95, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z, z9 = z7 * z * z;
    double g1 = (z3 + z) / 4, g2 = (5 * z5 + 16 * z3 + 3 * z) / 96;
    double g3 = (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / 384;
    double g4 = (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / 92160;
    return z + g1 / f + g2 / (f * f) + g3 / (f * f * f) + g4 / (f * f * f * f);
}

nrw_interval nrw_mean_value(const nrw_mean *a) {
    if (!a->n) return interval(NAN, NAN, NAN);
    if (a->n < 2) return interval(a->mean, NAN, NAN);
    double n = (double)a->n, half = student(n - 1) * sqrt(a->m2 / (n - 1) / n);
    return interval(a->mean, a->mean - half, a->mean + half);
}

double nrw_cosine(const float *a, const float *b, int64_t n) {
    double aa = 0, bb = 0, ab = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i];
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    if (aa == 0 || bb == 0) return aa == bb ? 1 : 0;
    return clamp(ab / (sqrt(aa) * sqrt(bb)), -1, 1);
}

/* AUC --------------------------------------------------------------------------------------- */

struct nrw_auc_row {
    double score;
    bool positive;
};

void nrw_auc_init(nrw_auc *a, const nrw_allocator *allocator) {
    *a = (nrw_auc){.allocator = allocator};
}

void nrw_auc_free(nrw_auc *a) {
    nrw_mem_free(a->allocator, a->rows, a->cap * sizeof *a->rows);
    *a = (nrw_auc){.allocator = a->allocator};
}

nrw_status nrw_auc_add(nrw_auc *a, double score, bool positive, nrw_error *err) {
    if (isnan(score)) NRW_FAIL(err, NRW_ERR_DATA, "auc: the model's score is NaN");
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 1024, bytes;
        if (!nrw_mul_size(cap, sizeof *a->rows, &bytes)) NRW_OOM(err);
        struct nrw_auc_row *rows = nrw_mem_alloc(a->allocator, bytes);
        if (!rows) NRW_OOM(err);
        if (a->n) memcpy(rows, a->rows, a->n * sizeof *rows);
        nrw_mem_free(a->allocator, a->rows, a->cap * sizeof *rows);
        a->rows = rows;
        a->cap = cap;
    }
    a->rows[a->n++] = (struct nrw_auc_row){score, positive};
    return NRW_OK;
}

static int by_score(const void *x, const void *y) {
    double a = ((const struct nrw_auc_row *)x)->score, b = ((const struct nrw_auc_row *)y)->score;
    return (a > b) - (a < b);
}

/* A row's placement is the share of the other class that it beats (positives) or that beats it
 * (negatives), ties counting one half. Both classes' placements have the AUC as their mean, and
 * their variances make up that of the AUC. */
nrw_interval nrw_auc_value(nrw_auc *a) {
    if (a->n) qsort(a->rows, a->n, sizeof *a->rows, by_score);
    size_t positives = 0;
    for (size_t i = 0; i < a->n; i++) positives += a->rows[i].positive;
    size_t negatives = a->n - positives;
    if (!positives || !negatives) return interval(NAN, NAN, NAN);
    nrw_mean of_positives = {0}, of_negatives = {0};
    size_t positives_below = 0, negatives_below = 0;
    for (size_t i = 0, end; i < a->n; i = end) { /* rows i … end have equal scores */
        size_t p = 0;
        for (end = i; end < a->n && a->rows[end].score == a->rows[i].score; end++) {
            p += a->rows[end].positive;
        }
        size_t q = end - i - p;
        double beats = ((double)negatives_below + 0.5 * (double)q) / (double)negatives;
        double beaten = 1 - ((double)positives_below + 0.5 * (double)p) / (double)positives;
        for (size_t k = 0; k < p; k++) nrw_mean_add(&of_positives, beats);
        for (size_t k = 0; k < q; k++) nrw_mean_add(&of_negatives, beaten);
        positives_below += p;
        negatives_below += q;
    }
    double auc = of_positives.mean;
    if (positives < 2 || negatives < 2) return interval(auc, NAN, NAN);
    double variance = of_positives.m2 / (double)(positives - 1) / (double)positives +
                      of_negatives.m2 / (double)(negatives - 1) / (double)negatives;
    double half = z95 * sqrt(variance);
    return interval(auc, fmax(0, auc - half), fmin(1, auc + half));
}
