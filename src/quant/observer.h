/* Watching the values of a tensor go by, to choose a range for them afterwards.
 *
 * One pass serves every calibrator. The values are counted in a logarithmic histogram: 64 bins to
 * an octave (the top bits of the float are the bin's number), in pages of one octave that are made
 * when first hit. It needs no range beforehand and no second pass, an outlier cannot spoil its
 * resolution, and two of them merge exactly, whatever way the samples were split (the moving mean,
 * which depends on the samples' order, up to rounding). A page takes half a kilobyte; a tensor
 * fills some twenty to forty. Memory does not grow with the samples. */
#ifndef NRW_QUANT_OBSERVER_H
#define NRW_QUANT_OBSERVER_H

#include "base/error.h"
#include "base/mem.h"
#include "narrow/narrow.h"

typedef struct nrw_observer nrw_observer;

/* What calibrators ask. MINMAX takes the smallest and largest value seen; MOVING the exponential
 * mean of each sample's; PERCENTILE leaves (100 - P) % out at each end; ENTROPY and MSE minimise
 * what histogram.h says. levels is the number of integer steps (255 for 8 bits). */
typedef struct nrw_range_rule {
    nrw_calibrator calibrator;
    double percentile; /* 0 < P <= 100 */
    int64_t levels;
    bool symmetric;
} nrw_range_rule;

typedef struct nrw_range {
    double lo, hi;   /* chosen; lo <= 0 <= hi */
    double min, max; /* smallest and largest finite value and 0, sentinels left out */
    int64_t count;   /* finite values, sentinels left out */
    int64_t nans, infinities;
    int64_t sentinels; /* values left out as sentinels */
    double clipped;    /* share of the values outside [lo, hi] */
} nrw_range;

nrw_observer *nrw_observer_new(const nrw_allocator *a); /* NULL: out of memory */
void nrw_observer_free(nrw_observer *o);                /* NULL allowed */
void nrw_observer_clear(nrw_observer *o);               /* as if nothing had been added */
/* For MINMAX and MOVING, which look at nothing else: samples without NaN, infinities and numbers
 * that may be sentinels leave only their smallest and largest value, which is much faster. */
void nrw_observer_extremes_only(nrw_observer *o);

/* One sample: n values. NaN and infinities are counted and left out. */
nrw_status nrw_observer_add(nrw_observer *o, const float *x, int64_t n,
                            nrw_error *err) NRW_MUST_CHECK;
/* From now on the largest magnitude of each position in rows of n values is kept as well; before
 * anything is added. Rows of another length are left out. */
nrw_status nrw_observer_watch_channels(nrw_observer *o, int64_t n, nrw_error *err) NRW_MUST_CHECK;
const float *nrw_observer_peaks(const nrw_observer *o); /* [n]; NULL: not watched */

/* Adds to `o` what `later` saw; `later`'s samples are taken to follow. */
nrw_status nrw_observer_merge(nrw_observer *o, const nrw_observer *later,
                              nrw_error *err) NRW_MUST_CHECK;

/* The range that the rule picks. Nothing seen: count 0 and an empty range at 0.
 *
 * Sentinels are left out: numbers that stand for "minus infinity" (attention masks: -1e4, -1e9,
 * -3.4e38) carry no information and would take the whole range. The values at the far end of one
 * sign are sentinels when they are nearly constant (within 7 %), at least 512, and at least 64
 * times larger than every other value of either sign; or when they are beyond 1e30. */
nrw_status nrw_observer_range(const nrw_observer *o, const nrw_range_rule *rule, nrw_range *out,
                              nrw_error *err) NRW_MUST_CHECK;

#endif
