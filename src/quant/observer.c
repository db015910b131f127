#include "quant/observer.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/wide.h"
#include "quant/histogram.h"

/* Per float: sign and exponent number the page, the next six bits the bin. */
#define PAGES          512
#define MOMENTUM       0.01
#define SENTINEL_LEAST 512.0
#define SENTINEL_GAP   64.0
#define SENTINEL_SPAN  1.07
#define SENTINEL_SURE  1e30

typedef struct page {
    int64_t bin[NRW_OCTAVE_BINS];
    uint32_t top; /* bits of the value farthest from 0 */
} page;

struct nrw_observer {
    const nrw_allocator *allocator;
    page *pages[PAGES]; /* NULL: nothing seen there */
    int64_t zeros, nans, infinities;
    float *peaks; /* [channels]; NULL: not watched */
    int64_t channels;
    bool extremes_only;
    /* Exponential sums of each sample's extremes, and the weight that a value from before these
     * samples would have left: sum / (1 - keep) is the mean. */
    double keep, sum_lo, sum_hi;
};

nrw_observer *nrw_observer_new(const nrw_allocator *a) {
    nrw_observer *o = nrw_mem_alloc(a, sizeof *o);
    if (o == NULL) return NULL;
    memset(o, 0, sizeof *o);
    o->allocator = a;
    o->keep = 1;
    return o;
}

void nrw_observer_free(nrw_observer *o) {
    if (o == NULL) return;
    for (int p = 0; p < PAGES; p++) {
        if (o->pages[p] != NULL) nrw_mem_free(o->allocator, o->pages[p], sizeof(page));
    }
    if (o->peaks != NULL) nrw_mem_free(o->allocator, o->peaks, (size_t)o->channels * sizeof(float));
    nrw_mem_free(o->allocator, o, sizeof *o);
}

void nrw_observer_clear(nrw_observer *o) {
    for (int p = 0; p < PAGES; p++) {
        if (o->pages[p] != NULL) memset(o->pages[p], 0, sizeof(page));
    }
    for (int64_t c = 0; c < o->channels; c++) o->peaks[c] = 0;
    o->zeros = o->nans = o->infinities = 0;
    o->keep = 1;
    o->sum_lo = o->sum_hi = 0;
}

nrw_status nrw_observer_watch_channels(nrw_observer *o, int64_t n, nrw_error *err) {
    size_t bytes;
    if (n < 1 || !nrw_mul_size((size_t)n, sizeof(float), &bytes)) NRW_OOM(err);
    o->peaks = nrw_mem_alloc(o->allocator, bytes);
    if (o->peaks == NULL) NRW_OOM(err);
    memset(o->peaks, 0, bytes);
    o->channels = n;
    return NRW_OK;
}

const float *nrw_observer_peaks(const nrw_observer *o) {
    return o->peaks;
}

static void raise_peaks(nrw_observer *o, const float *x, int64_t n) {
    if (n % o->channels != 0) return;
    for (int64_t i = 0; i < n; i += o->channels) {
        for (int64_t c = 0; c < o->channels; c++) {
            const float a = fabsf(x[i + c]);
            if (a > o->peaks[c] && a <= FLT_MAX) o->peaks[c] = a;
        }
    }
}

static page *page_for(nrw_observer *o, unsigned p) {
    if (o->pages[p] == NULL) {
        o->pages[p] = nrw_mem_alloc(o->allocator, sizeof(page));
        if (o->pages[p] != NULL) memset(o->pages[p], 0, sizeof(page));
    }
    return o->pages[p];
}

void nrw_observer_extremes_only(nrw_observer *o) {
    o->extremes_only = true;
}

/* The bits of a float as an integer that orders like it: NaN lies beyond the infinities. */
static inline int32_t ordered(int32_t bits) {
    return bits ^ ((bits >> 31) & INT32_MAX);
}

static float unordered(int32_t key) {
    const int32_t bits = ordered(key); /* its own inverse */
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Smallest and largest of x, n > 0; false when there is anything that wants a closer look. Whole
 * numbers, for their comparisons vectorize. */
NRW_WIDE static bool plain_extremes(const float *x, int64_t n, float *lo, float *hi) {
    int32_t low = INT32_MAX, high = INT32_MIN;
    for (int64_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        const int32_t key = ordered(bits);
        low = key < low ? key : low;
        high = key > high ? key : high;
    }
    *lo = unordered(low);
    *hi = unordered(high);
    return *lo > -(float)SENTINEL_LEAST && *hi < (float)SENTINEL_LEAST;
}

static nrw_status add_all(nrw_observer *o, const float *x, int64_t n, nrw_error *err) {
    float lo = INFINITY, hi = -INFINITY;
    if (o->peaks != NULL) raise_peaks(o, x, n);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        const unsigned p = bits >> 23, exponent = p & 0xff;
        if (exponent == 0) { /* zeros, and numbers too small to tell from them */
            o->zeros++;
            lo = lo < 0 ? lo : 0;
            hi = hi > 0 ? hi : 0;
            continue;
        }
        if (exponent == 0xff) {
            if (bits & 0x7fffff)
                o->nans++;
            else
                o->infinities++;
            continue;
        }
        page *at = o->pages[p];
        if (at == NULL && (at = page_for(o, p)) == NULL) NRW_OOM(err);
        at->bin[bits >> (23 - NRW_OCTAVE_BITS) & (NRW_OCTAVE_BINS - 1)]++;
        if (bits > at->top) at->top = bits;
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    if (lo <= hi) {
        o->keep *= 1 - MOMENTUM;
        o->sum_lo = o->sum_lo * (1 - MOMENTUM) + MOMENTUM * lo;
        o->sum_hi = o->sum_hi * (1 - MOMENTUM) + MOMENTUM * hi;
    }
    return NRW_OK;
}

nrw_status nrw_observer_add(nrw_observer *o, const float *x, int64_t n, nrw_error *err) {
    float extremes[2];
    if (n > 0 && o->extremes_only && plain_extremes(x, n, &extremes[0], &extremes[1]))
        return add_all(o, extremes, 2, err);
    return add_all(o, x, n, err);
}

nrw_status nrw_observer_merge(nrw_observer *o, const nrw_observer *later, nrw_error *err) {
    for (unsigned p = 0; p < PAGES; p++) {
        if (later->pages[p] == NULL) continue;
        page *at = page_for(o, p);
        if (at == NULL) NRW_OOM(err);
        for (int b = 0; b < NRW_OCTAVE_BINS; b++) at->bin[b] += later->pages[p]->bin[b];
        if (later->pages[p]->top > at->top) at->top = later->pages[p]->top;
    }
    for (int64_t c = 0; later->channels == o->channels && c < o->channels; c++) {
        o->peaks[c] = fmaxf(o->peaks[c], later->peaks[c]);
    }
    o->zeros += later->zeros;
    o->nans += later->nans;
    o->infinities += later->infinities;
    o->sum_lo = o->sum_lo * later->keep + later->sum_lo;
    o->sum_hi = o->sum_hi * later->keep + later->sum_hi;
    o->keep *= later->keep;
    return NRW_OK;
}

/* Bins of both signs in ascending order of their reals. */
static void gather(const nrw_observer *o, nrw_histogram *h) {
    h->n = 0;
    h->zeros = o->zeros;
    h->total = o->zeros;
    for (int p = PAGES - 1; p >= 0; p--) {
        const bool negative = p >= PAGES / 2;
        const int at = negative ? p : PAGES / 2 - 1 - p;
        if (o->pages[at] == NULL) continue;
        const double octave = ldexp(1.0, (at & 0xff) - 127);
        for (int i = 0; i < NRW_OCTAVE_BINS; i++) {
            const int b = negative ? NRW_OCTAVE_BINS - 1 - i : i;
            const int64_t count = o->pages[at]->bin[b];
            if (count == 0) continue;
            h->total += count;
            const double a = octave * (1 + (double)b / NRW_OCTAVE_BINS);
            const double z = octave * (1 + (double)(b + 1) / NRW_OCTAVE_BINS);
            h->bins[h->n++] = negative ? (nrw_bin){-z, -a, count} : (nrw_bin){a, z, count};
        }
    }
}

static double largest(const nrw_histogram *h, int64_t first, int64_t last) {
    if (first >= last) return 0;
    return fmax(fabs(h->bins[first].lo), fabs(h->bins[last - 1].hi));
}

/* Cuts sentinels off one end of h; the number of values cut. */
static int64_t cut_sentinels(nrw_histogram *h, bool low_end) {
    if (h->n == 0) return 0;
    const nrw_bin *end = low_end ? &h->bins[0] : &h->bins[h->n - 1];
    const double outer = low_end ? -end->lo : end->hi;
    if (outer < SENTINEL_LEAST) return 0;
    int64_t k = 0, cut = 0; /* bins of the cluster */
    double inner = outer;   /* its smallest magnitude */
    for (; k < h->n; k++) {
        const nrw_bin *b = low_end ? &h->bins[k] : &h->bins[h->n - 1 - k];
        const double near = low_end ? -b->hi : b->lo;
        if (outer < SENTINEL_SURE && near * SENTINEL_SPAN < outer) break;
        if (outer >= SENTINEL_SURE && near < SENTINEL_SURE) break;
        inner = near;
        cut += b->count;
    }
    const double rest = low_end ? largest(h, k, h->n) : largest(h, 0, h->n - k);
    if (k == 0 || (outer < SENTINEL_SURE && rest * SENTINEL_GAP > inner)) return 0;
    if (k == h->n && h->zeros == 0) return 0; /* all there is: a constant, not a marker */
    if (low_end) memmove(h->bins, h->bins + k, (size_t)(h->n - k) * sizeof *h->bins);
    h->n -= k;
    h->total -= cut;
    return cut;
}

/* The exact extreme of the outermost octave that is left. */
static double exact_extreme(const nrw_observer *o, const nrw_histogram *h, bool low_end) {
    if (h->n == 0) return 0;
    const nrw_bin *end = low_end ? &h->bins[0] : &h->bins[h->n - 1];
    float near = (float)(low_end ? end->hi : end->lo), top;
    if (low_end != (near < 0)) return 0;
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    memcpy(&top, &o->pages[bits >> 23]->top, sizeof top);
    return top;
}

static void choose(const nrw_observer *o, const nrw_histogram *h, const nrw_range_rule *rule,
                   nrw_range *r) {
    switch (rule->calibrator) {
    case NRW_CALIBRATE_DEFAULT:
    case NRW_CALIBRATE_MINMAX:
        break;
    case NRW_CALIBRATE_MOVING:
        if (o->keep < 1) {
            r->lo = o->sum_lo / (1 - o->keep);
            r->hi = o->sum_hi / (1 - o->keep);
        }
        break;
    case NRW_CALIBRATE_PERCENTILE:
        nrw_histogram_percentile(h, rule->percentile, &r->lo, &r->hi);
        break;
    case NRW_CALIBRATE_ENTROPY:
        nrw_histogram_entropy(h, rule->levels, rule->symmetric, &r->lo, &r->hi);
        break;
    case NRW_CALIBRATE_MSE:
        nrw_histogram_mse(h, rule->levels, rule->symmetric, &r->lo, &r->hi);
        break;
    }
    r->lo = fmin(fmax(r->lo, r->min), 0);
    r->hi = fmax(fmin(r->hi, r->max), 0);
}

nrw_status nrw_observer_range(const nrw_observer *o, const nrw_range_rule *rule, nrw_range *out,
                              nrw_error *err) {
    size_t used = 0;
    for (int p = 0; p < PAGES; p++) used += o->pages[p] != NULL;
    const size_t bytes = (used + 1) * NRW_OCTAVE_BINS * sizeof(nrw_bin);
    nrw_histogram h = {.bins = nrw_mem_alloc(o->allocator, bytes)};
    if (h.bins == NULL) NRW_OOM(err);
    gather(o, &h);
    *out = (nrw_range){.nans = o->nans, .infinities = o->infinities};
    for (int64_t cut = 1; cut > 0;) {
        cut = cut_sentinels(&h, true) + cut_sentinels(&h, false);
        out->sentinels += cut;
    }
    out->count = h.total;
    out->lo = out->min = exact_extreme(o, &h, true);
    out->hi = out->max = exact_extreme(o, &h, false);
    choose(o, &h, rule, out);
    out->clipped = nrw_histogram_outside(&h, out->lo, out->hi);
    nrw_mem_free(o->allocator, h.bins, bytes);
    return NRW_OK;
}
