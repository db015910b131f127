#include "quant/histogram.h"

#include <math.h>
#include <string.h>

#define GRID   100  /* steps of a search over one end */
#define LINEAR 2048 /* equal bins of the entropy search */

/* The share of a bin that lies below x. */
static double below(const nrw_bin *b, double x) {
    if (x <= b->lo) return 0;
    if (x >= b->hi) return 1;
    return (x - b->lo) / (b->hi - b->lo);
}

double nrw_histogram_outside(const nrw_histogram *h, double lo, double hi) {
    double out = 0;
    for (int64_t i = 0; i < h->n; i++) {
        const nrw_bin *b = &h->bins[i];
        /* A bin that holds the bound counts as inside: the bound may be its very value. */
        if (b->hi <= lo || b->lo >= hi) out += (double)b->count;
    }
    return h->total > 0 ? out / (double)h->total : 0;
}

void nrw_histogram_percentile(const nrw_histogram *h, double percentile, double *lo, double *hi) {
    const double out = (double)h->total * (100.0 - percentile) / 100.0;
    double left = out;
    for (int64_t i = 0; i < h->n && h->bins[i].lo < 0; i++) {
        const nrw_bin *b = &h->bins[i];
        if (left < (double)b->count) {
            *lo = fmax(*lo, b->lo + (b->hi - b->lo) * (left / (double)b->count));
            break;
        }
        left -= (double)b->count;
        *lo = fmax(*lo, b->hi);
    }
    left = out;
    for (int64_t i = h->n - 1; i >= 0 && h->bins[i].hi > 0; i--) {
        const nrw_bin *b = &h->bins[i];
        if (left < (double)b->count) {
            *hi = fmin(*hi, b->hi - (b->hi - b->lo) * (left / (double)b->count));
            break;
        }
        left -= (double)b->count;
        *hi = fmin(*hi, b->lo);
    }
}

static double squared_error(const nrw_histogram *h, int64_t levels, double lo, double hi) {
    const double step = (hi - lo) / (double)levels, rounding = step * step / 12;
    double sum = 0;
    for (int64_t i = 0; i < h->n; i++) {
        const nrw_bin *b = &h->bins[i];
        const double x = 0.5 * (b->lo + b->hi), count = (double)b->count;
        const double far = x < lo ? lo - x : x > hi ? x - hi : 0;
        if (far > 0)
            sum += count * far * far;
        else
            sum += count * (fabs(x) < 0.5 * step ? x * x : rounding);
    }
    return sum;
}

void nrw_histogram_mse(const nrw_histogram *h, int64_t levels, bool symmetric, double *lo,
                       double *hi) {
    const double lo0 = *lo, hi0 = *hi, most = fmax(-lo0, hi0);
    if (most <= 0) return;
    if (symmetric) {
        double best = INFINITY;
        for (int k = GRID; k > 0; k--) {
            const double t = most * k / GRID, e = squared_error(h, levels, -t, t);
            if (e < best) {
                best = e;
                *lo = fmax(lo0, -t);
                *hi = fmin(hi0, t);
            }
        }
        return;
    }
    double best = squared_error(h, levels, lo0, hi0);
    for (int round = 0; round < 3; round++) {
        const double before = best;
        for (int k = GRID - 1; k > 0; k--) {
            const double e = squared_error(h, levels, *lo, hi0 * k / GRID);
            if (e < best) {
                best = e;
                *hi = hi0 * k / GRID;
            }
        }
        for (int k = GRID - 1; k > 0 && lo0 < 0; k--) {
            const double e = squared_error(h, levels, lo0 * k / GRID, *hi);
            if (e < best) {
                best = e;
                *lo = lo0 * k / GRID;
            }
        }
        if (best == before) break;
    }
}

/* Spreads the counts over LINEAR equal bins of [lo, hi], or of [0, hi] by magnitude. Exact zeros
 * stay out: they are exact in any step and would drown the rest. */
static void linear_bins(const nrw_histogram *h, bool magnitude, double lo, double hi, double *p) {
    memset(p, 0, LINEAR * sizeof *p);
    const double width = (hi - lo) / LINEAR;
    for (int64_t i = 0; i < h->n; i++) {
        nrw_bin b = h->bins[i];
        if (magnitude && b.lo < 0) b = (nrw_bin){-b.hi, -b.lo, b.count};
        int64_t first = (int64_t)((b.lo - lo) / width), last = (int64_t)((b.hi - lo) / width);
        first = first < 0 ? 0 : first > LINEAR - 1 ? LINEAR - 1 : first;
        last = last < first ? first : last > LINEAR - 1 ? LINEAR - 1 : last;
        for (int64_t k = first; k <= last; k++) {
            double from = k == first ? 0 : below(&b, lo + (double)k * width);
            double to = k == last ? 1 : below(&b, lo + (double)(k + 1) * width);
            p[k] += (double)b.count * (to - from);
        }
    }
}

/* Divergence of p over bins [a, z), with everything outside piled on the ends, from the same in
 * `levels` equal steps. */
static double divergence(const double *p, int64_t a, int64_t z, int64_t levels, double *reference,
                         double *coarse) {
    const int64_t n = z - a;
    memcpy(reference, p + a, (size_t)n * sizeof *p);
    double total = 0, coarse_total = 0, sum = 0;
    for (int64_t k = 0; k < a; k++) reference[0] += p[k];
    for (int64_t k = z; k < LINEAR; k++) reference[n - 1] += p[k];
    for (int64_t level = 0; level < levels; level++) {
        const int64_t from = level * n / levels, to = (level + 1) * n / levels;
        double mass = 0;
        int64_t filled = 0;
        for (int64_t k = from; k < to; k++) {
            mass += p[a + k];
            filled += p[a + k] > 0;
        }
        for (int64_t k = from; k < to; k++) {
            coarse[k] = p[a + k] > 0 ? mass / (double)filled : 0;
            coarse_total += coarse[k];
        }
    }
    for (int64_t k = 0; k < n; k++) total += reference[k];
    if (total <= 0 || coarse_total <= 0) return INFINITY;
    for (int64_t k = 0; k < n; k++) {
        if (reference[k] <= 0) continue;
        const double r = reference[k] / total, c = coarse[k] / coarse_total;
        sum += r * log(r / fmax(c, 1e-9));
    }
    return sum;
}

void nrw_histogram_entropy(const nrw_histogram *h, int64_t levels, bool symmetric, double *lo,
                           double *hi) {
    double p[LINEAR], reference[LINEAR], coarse[LINEAR];
    const double lo0 = *lo, hi0 = *hi, most = fmax(-lo0, hi0);
    if (most <= 0 || levels >= LINEAR) return;
    if (symmetric) levels = levels / 2 + 1; /* of the magnitude */
    const double from = symmetric ? 0 : lo0, to = symmetric ? most : hi0;
    linear_bins(h, symmetric, from, to, p);
    /* The bin that holds zero stays inside. */
    const double width = (to - from) / LINEAR;
    double best = INFINITY;
    for (int step = LINEAR / 8; step > 0; step--) {
        const double t = most * 8 * step / LINEAR;
        int64_t a = symmetric ? 0 : (int64_t)((fmax(lo0, -t) - from) / width);
        int64_t z = (int64_t)ceil((fmin(to, t) - from) / width);
        a = a < 0 ? 0 : a;
        z = z > LINEAR ? LINEAR : z;
        if (z - a < levels) break;
        const double e = divergence(p, a, z, levels, reference, coarse);
        if (e < best) {
            best = e;
            *lo = fmax(lo0, -t);
            *hi = fmin(hi0, t);
        }
    }
}
