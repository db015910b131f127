/* Small serial matrix products for kernels that run many of them in parallel: heads of attention,
 * steps of recurrences, batches of einsum. Rows are contiguous; ld* is the distance of rows. The
 * order of additions is fixed. */
#ifndef NRW_OPS_MM_H
#define NRW_OPS_MM_H

#include <stdint.h>

/* c[m, n] (+)= a[m, k] b[k, n]; `add` keeps what c holds. */
void nrw_mm_f32(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                int64_t ldb, float *c, int64_t ldc, int add);
void nrw_mm_f64(int64_t m, int64_t n, int64_t k, const double *a, int64_t lda, const double *b,
                int64_t ldb, double *c, int64_t ldc, int add);
/* Integers wrap around. */
void nrw_mm_u64(int64_t m, int64_t n, int64_t k, const uint64_t *a, int64_t lda, const uint64_t *b,
                int64_t ldb, uint64_t *c, int64_t ldc, int add);
/* c[m, n] (+)= a[m, k] b[n, k] transposed. */
void nrw_mm_nt_f32(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                   int64_t ldb, float *c, int64_t ldc, int add);
void nrw_mm_nt_f64(int64_t m, int64_t n, int64_t k, const double *a, int64_t lda, const double *b,
                   int64_t ldb, double *c, int64_t ldc, int add);

#endif
