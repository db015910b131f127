/* The discrete Fourier transform of any length, in double. */
#ifndef NRW_OPS_FFT_H
#define NRW_OPS_FFT_H

#include "base/error.h"
#include "base/mem.h"

typedef struct nrw_complex {
    double re, im;
} nrw_complex;

typedef struct nrw_fft {
    int64_t n;
    const nrw_complex *roots; /* exp(∓2πi k / n) */
} nrw_fft;

nrw_status nrw_fft_init(nrw_fft *f, int64_t n, bool inverse, nrw_arena *arena,
                        nrw_error *err) NRW_MUST_CHECK;
/* out[k] = Σ in[j] exp(∓2πi jk / n), unscaled. room: n elements. The three do not overlap. */
void nrw_fft_run(const nrw_fft *f, const nrw_complex *in, nrw_complex *out, nrw_complex *room);

#endif
