#include "ops/fft.h"

#include <math.h>

nrw_status nrw_fft_init(nrw_fft *f, int64_t n, bool inverse, nrw_arena *arena, nrw_error *err) {
    nrw_complex *roots = nrw_arena_calloc(arena, (size_t)n, sizeof *roots);
    if (roots == NULL) NRW_OOM(err);
    for (int64_t k = 0; k < n; k++) {
        double angle = 2 * M_PI * (double)k / (double)n;
        roots[k] = (nrw_complex){cos(angle), inverse ? sin(angle) : -sin(angle)};
    }
    *f = (nrw_fft){n, roots};
    return NRW_OK;
}

static nrw_complex multiply_add(nrw_complex sum, nrw_complex a, nrw_complex b) {
    sum.re += a.re * b.re - a.im * b.im;
    sum.im += a.re * b.im + a.im * b.re;
    return sum;
}

static int64_t smallest_factor(int64_t n) {
    for (int64_t p = 2; p * p <= n; p++) {
        if (n % p == 0) return p;
    }
    return n;
}

/* Decimation in time (Cooley and Tukey 1965) by the smallest prime factor p: p interleaved
 * transforms of length n / p, then n / p butterflies of size p. */
static void transform(const nrw_fft *f, const nrw_complex *in, int64_t stride, int64_t n,
                      nrw_complex *out, nrw_complex *room) {
    if (n == 1) {
        out[0] = in[0];
        return;
    }
    int64_t p = smallest_factor(n), m = n / p;
    for (int64_t k = 0; k < p; k++) transform(f, in + k * stride, stride * p, m, out + k * m, room);
    for (int64_t j = 0; j < m; j++) {
        for (int64_t q = 0; q < p; q++) {
            /* Output q * m + j: the root's exponent k * (q * m + j), in units of the whole length.
             */
            int64_t step = (q * m + j) * stride, at = 0;
            nrw_complex sum = {0, 0};
            for (int64_t k = 0; k < p; k++) {
                sum = multiply_add(sum, out[k * m + j], f->roots[at]);
                at += step;
                if (at >= f->n) at -= f->n;
            }
            room[q] = sum;
        }
        for (int64_t q = 0; q < p; q++) out[q * m + j] = room[q];
    }
}

void nrw_fft_run(const nrw_fft *f, const nrw_complex *in, nrw_complex *out, nrw_complex *room) {
    transform(f, in, 1, f->n, out, room);
}
