/* Matrix products on top of a tier's tiles: c[i][j] = sum_k a[i][k] * b[k][j].
 *
 * The left matrix is packed into panels of a few rows, the right one into panels of as many columns
 * as a tile has. Panels of rows are equally high (but for the last), not as high as the tile
 * allows: 16 rows are two panels of 8 rather than 12 and 4. A right matrix that is used once (the
 * pixels of a convolution) is not packed beforehand but block by block by a callback, into memory
 * that stays in the cache. Work is split over blocks of rows and columns, never over k. */
#ifndef NRW_KERNELS_GEMM_H
#define NRW_KERNELS_GEMM_H

#include "base/error.h"
#include "base/mem.h"
#include "base/pool.h"
#include "kernels/kernels.h"

/* A matrix of floats or bytes: element (i, j) lies at data + i * row + j * col elements. */
typedef struct nrw_matrix {
    const void *data;
    int64_t row, col;
} nrw_matrix;

static inline int64_t nrw_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Height of the panels that m rows are cut into. */
int nrw_panel_rows(int64_t m, int tile_rows);

/* Packs columns [n0, n0 + nc) and k in [k0, k0 + kc) of the right matrix, from n0 on panel by
 * panel: floats [panel][kc][f32_cols]; integers (k0 = 0, kc = k):
 * [panel][group][i8_cols][i8_group].
 */
typedef void (*nrw_fill_fn)(void *arg, int64_t k0, int64_t kc, int64_t n0, int64_t nc, void *panels,
                            int worker);

typedef struct nrw_gemm_f32 {
    const nrw_kernels *kernels;
    nrw_pool *pool;
    int64_t m, n, k;
    const float *a;   /* nrw_f32_pack_a */
    const float *b;   /* nrw_f32_pack_b, or NULL: fill */
    nrw_fill_fn fill; /* may run for one block several times, from several threads */
    void *fill_arg;
    char *blocks; /* fill only: nrw_f32_block_bytes for each thread, 64-byte aligned */
    float *c;
    int64_t ldc;
    const float *row_bias, *col_bias; /* or NULL */
    float lo, hi;                     /* clamp */
} nrw_gemm_f32;

/* Bytes of packed matrices; false when they do not fit in size_t. */
bool nrw_f32_a_bytes(const nrw_kernels *kn, int64_t m, int64_t k, size_t *bytes);
bool nrw_f32_b_bytes(const nrw_kernels *kn, int64_t k, int64_t n, size_t *bytes);
size_t nrw_f32_block_bytes(const nrw_kernels *kn, int64_t k, int64_t n);
void nrw_f32_pack_a(const nrw_kernels *kn, nrw_pool *pool, int64_t m, int64_t k, nrw_matrix a,
                    float *dst);
void nrw_f32_pack_b(const nrw_kernels *kn, nrw_pool *pool, int64_t k, int64_t n, nrw_matrix b,
                    float *dst);
void nrw_f32_gemm(const nrw_gemm_f32 *g);

typedef struct nrw_gemm_i8 {
    const nrw_kernels *kernels;
    nrw_pool *pool;
    int64_t m, n, k;
    const void *a; /* nrw_i8_pack_a */
    const void *b; /* nrw_i8_pack_b, or NULL: fill */
    nrw_fill_fn fill;
    void *fill_arg;
    char *blocks;
    void *c; /* of the epilogue's type */
    int64_t ldc;
    bool a_signed; /* a holds the weights */
    const nrw_i8_epilogue *epilogue;
} nrw_gemm_i8;

/* How bytes become panels: xor with flip, then taken as signed (weights) or unsigned. */
typedef struct nrw_byte_rule {
    uint8_t flip;
    bool is_signed;
} nrw_byte_rule;

bool nrw_i8_a_bytes(const nrw_kernels *kn, int64_t m, int64_t k, size_t *bytes);
bool nrw_i8_b_bytes(const nrw_kernels *kn, int64_t k, int64_t n, size_t *bytes);
size_t nrw_i8_block_bytes(const nrw_kernels *kn, int64_t k, int64_t n);
/* sums: [m] or [n] sums over k of the packed values, or NULL. */
void nrw_i8_pack_a(const nrw_kernels *kn, nrw_pool *pool, int64_t m, int64_t k, nrw_matrix a,
                   nrw_byte_rule rule, void *dst, int32_t *sums);
void nrw_i8_pack_b(const nrw_kernels *kn, nrw_pool *pool, int64_t k, int64_t n, nrw_matrix b,
                   nrw_byte_rule rule, void *dst, int32_t *sums);
void nrw_i8_gemm(const nrw_gemm_i8 *g);

#endif
