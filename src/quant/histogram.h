/* Choosing a range from counted values. The bins are the octave bins of observer.h: narrow beside
 * their value, ascending, never across zero. */
#ifndef NRW_QUANT_HISTOGRAM_H
#define NRW_QUANT_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>

#define NRW_OCTAVE_BITS 6
#define NRW_OCTAVE_BINS (1 << NRW_OCTAVE_BITS)

typedef struct nrw_bin {
    double lo, hi;
    int64_t count;
} nrw_bin;

typedef struct nrw_histogram {
    nrw_bin *bins;
    int64_t n;
    int64_t zeros, total; /* total: all values, zeros included */
} nrw_histogram;

/* Each function narrows [*lo, *hi], which comes in as the whole range. */

/* Leaves (100 - percentile) % of the values out below *lo and as many above *hi; a sign that is not
 * there keeps its bound of 0. */
void nrw_histogram_percentile(const nrw_histogram *h, double percentile, double *lo, double *hi);

/* Least expected squared error: a step's uniform error inside, the distance outside; values nearer
 * to zero than half a step cost their own square. Both ends are searched in turn (each a grid over
 * its whole length), together when symmetric. */
void nrw_histogram_mse(const nrw_histogram *h, int64_t levels, bool symmetric, double *lo,
                       double *hi);

/* Least Kullback-Leibler divergence between the distribution cut at a threshold and the same in
 * `levels` steps (Migacz, "8-bit inference with TensorRT", GTC 2017), over 2048 equal bins of |x|
 * when symmetric; otherwise of [lo, hi] with the two ends drawn in together. */
void nrw_histogram_entropy(const nrw_histogram *h, int64_t levels, bool symmetric, double *lo,
                           double *hi);

/* The share of values outside [lo, hi]. */
double nrw_histogram_outside(const nrw_histogram *h, double lo, double hi);

#endif
