/* What quality is measured by. All accumulators take one sample at a time; all intervals are at
 * 95 % and analytic (nothing is resampled, so results are the same on every run).
 *
 * An interval is two numbers, low <= value <= high; both NaN when there are too few samples. */
#ifndef NRW_REPORT_METRICS_H
#define NRW_REPORT_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

typedef struct nrw_interval {
    double value, low, high;
} nrw_interval;

/* Classes: the first of the largest scores, -1 when n is 0 or all scores are NaN. */
int64_t nrw_argmax(const float *scores, int64_t n);
/* Whether fewer than k scores beat the label's: larger ones, and equal ones with a lower index. A
 * label out of range or with a NaN score is never among them. */
bool nrw_in_top(const float *scores, int64_t n, int64_t label, int k);

/* A share: top1, top5, agreement. Wilson's score interval (Wilson 1927; Brown, Cai and DasGupta
 * 2001, section 3.1.1). */
typedef struct nrw_share {
    int64_t n, hits;
} nrw_share;
void nrw_share_add(nrw_share *s, bool hit);
nrw_interval nrw_share_value(const nrw_share *s);

/* Two classifiers on the same samples. */
typedef struct nrw_paired {
    int64_t n, both, first_only, second_only;
} nrw_paired;
void nrw_paired_add(nrw_paired *p, bool first, bool second);
/* McNemar's test, conditional on the discordant pairs: the exact two-sided binomial p, or mid-p,
 * which is nearer to its level (Fagerland, Lydersen and Laake 2013). 1 when no pair is discordant.
 */
double nrw_paired_p_exact(const nrw_paired *p);
double nrw_paired_p_mid(const nrw_paired *p);
/* Share of the first less share of the second. Wald's interval with Laplace-adjusted proportions
 * (Bonett and Price 2012). */
nrw_interval nrw_paired_drop(const nrw_paired *p);

/* Signal to quantization noise over all elements of all samples: 10 log10(sum r² / sum (r - q)²),
 * decibels; infinite when there is no noise. The interval is that of a ratio of means over samples
 * by the delta method, on the logarithm. */
typedef struct nrw_sqnr {
    int64_t n;
    double s, e, ss, ee, se; /* sums over samples of signal and noise energy, and their products */
} nrw_sqnr;
void nrw_sqnr_add(nrw_sqnr *a, const float *reference, const float *values, int64_t n);
nrw_interval nrw_sqnr_value(const nrw_sqnr *a);

/* The mean over samples of a number for each, such as the cosine of two outputs. Student's
 * interval. */
typedef struct nrw_mean {
    int64_t n;
    double mean, m2; /* Welford's sums */
} nrw_mean;
void nrw_mean_add(nrw_mean *a, double x);
nrw_interval nrw_mean_value(const nrw_mean *a);
/* Two zero vectors have cosine 1, one zero vector 0. */
double nrw_cosine(const float *a, const float *b, int64_t n);

/* The area under the ROC curve of a binary classifier: the share of (positive, negative) pairs that
 * the score orders rightly, ties counting one half. DeLong's interval (DeLong, DeLong and
 * Clarke-Pearson 1988) by mid-ranks (Sun and Xu 2014). Keeps 16 bytes a sample. */
typedef struct nrw_auc {
    const nrw_allocator *allocator;
    struct nrw_auc_row *rows;
    size_t n, cap;
} nrw_auc;
void nrw_auc_init(nrw_auc *a, const nrw_allocator *allocator);
void nrw_auc_free(nrw_auc *a);
/* NRW_ERR_DATA when the score is NaN. */
nrw_status nrw_auc_add(nrw_auc *a, double score, bool positive, nrw_error *err) NRW_MUST_CHECK;
/* NaN when one class is missing. Sorts the rows; more may be added after it. */
nrw_interval nrw_auc_value(nrw_auc *a);

#endif
