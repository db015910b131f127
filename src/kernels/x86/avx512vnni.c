/* Integer kernels by vpdpbusd, 512 bits: tiles of 12 x 32. The loops are in i8_tmpl.h; here is what
 * differs by tier. */
#include <immintrin.h>
#include <stdint.h>

#define VI       __m512i
#define VF       __m512
#define LANES    16
#define ROWS     12
#define zero_i   _mm512_setzero_si512
#define load_i   _mm512_loadu_si512
#define store_i  _mm512_storeu_si512
#define set1_i   _mm512_set1_epi32
#define add_i    _mm512_add_epi32
#define sub_i    _mm512_sub_epi32
#define mul_i    _mm512_mullo_epi32
#define to_float _mm512_cvtepi32_ps
#define bits_of  _mm512_castps_si512
#define set1_f   _mm512_set1_ps
#define mul_f    _mm512_mul_ps
#define add_f    _mm512_add_ps
#define fma_f    _mm512_fmadd_ps
#define min_f    _mm512_min_ps
#define max_f    _mm512_max_ps

static inline __attribute__((always_inline)) __mmask16 mask_of(int n) {
    return (__mmask16)((1u << n) - 1);
}
#define load_some_i(n, p)     _mm512_maskz_loadu_epi32(mask_of(n), p)
#define load_some_f(n, p)     _mm512_maskz_loadu_ps(mask_of(n), p)
#define store_some_i(n, p, v) _mm512_mask_storeu_epi32(p, mask_of(n), v)
#define store_some_f(n, p, v) _mm512_mask_storeu_ps(p, mask_of(n), v)
#define store_bytes(n, p, v)  _mm512_mask_cvtepi32_storeu_epi8(p, mask_of(n), v)

/* gcc 12 copies the accumulators of the intrinsic back and forth; the instruction itself does not.
 */
static inline __attribute__((always_inline)) __m512i dot(__m512i acc, __m512i u, __m512i s) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u), "v"(s));
    return acc;
}

#define TILE_NAME i8_tile
#define TAPS_NAME i8_taps
#include "kernels/x86/i8_tmpl.h"
#include "kernels/x86/rows_finish.h"

void nrw_i8_tile_avx512vnni(const nrw_i8_tile *t) {
    i8_tile(t);
}

void nrw_i8_taps_avx512vnni(const nrw_i8_taps *t) {
    i8_taps(t);
}

void nrw_i8_interleave_avx512vnni(void *dst, const uint8_t *const *rows, int64_t n, uint8_t flip,
                                  bool is_signed) {
    __m128i *d = dst;
    const __m128i f = _mm_set1_epi8((char)flip);
    for (int64_t j = 0; j < n; j += 16, d += 4) {
        __m128i r0 = _mm_xor_si128(f, _mm_loadu_si128((const __m128i *)(rows[0] + j)));
        __m128i r1 = _mm_xor_si128(f, _mm_loadu_si128((const __m128i *)(rows[1] + j)));
        __m128i r2 = _mm_xor_si128(f, _mm_loadu_si128((const __m128i *)(rows[2] + j)));
        __m128i r3 = _mm_xor_si128(f, _mm_loadu_si128((const __m128i *)(rows[3] + j)));
        __m128i a = _mm_unpacklo_epi8(r0, r1), b = _mm_unpackhi_epi8(r0, r1);
        __m128i c = _mm_unpacklo_epi8(r2, r3), e = _mm_unpackhi_epi8(r2, r3);
        _mm_storeu_si128(d, _mm_unpacklo_epi16(a, c));
        _mm_storeu_si128(d + 1, _mm_unpackhi_epi16(a, c));
        _mm_storeu_si128(d + 2, _mm_unpacklo_epi16(b, e));
        _mm_storeu_si128(d + 3, _mm_unpackhi_epi16(b, e));
    }
}

/* rows_i8: blocks of up to 12 rows x 32 columns. */
enum { BLOCK = 12, STAYS_BYTES = 512 << 10 };

INLINE void rows_block(const nrw_rows_i8 *r, const uint8_t *a, const int8_t *b, const int32_t *add,
                       int32_t *out, const int rows) {
    __m512i acc[BLOCK][2];
    const int64_t half = (int64_t)r->depth * 16;
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        acc[i][0] = _mm512_loadu_si512(add);
        acc[i][1] = _mm512_loadu_si512(add + 16);
    }
    for (int s = 0; s < r->steps; s++, b += 2 * half) {
        const uint8_t *from = a + r->offset[s];
        for (int k = 0; k < r->depth; k += 4) {
            const __m512i b0 = _mm512_loadu_si512(b + k * 16);
            const __m512i b1 = _mm512_loadu_si512(b + half + k * 16);
#pragma GCC unroll 16
            for (int i = 0; i < rows; i++) {
                const __m512i x = broadcast4((const char *)from + i * r->a_stride + k);
                acc[i][0] = dot(acc[i][0], x, b0);
                acc[i][1] = dot(acc[i][1], x, b1);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        _mm512_storeu_si512(out + 32 * i, acc[i][0]);
        _mm512_storeu_si512(out + 32 * i + 16, acc[i][1]);
    }
}

#define ROWS_CASE(n)                                                                               \
    case n:                                                                                        \
        rows_block(r, a, b, add, acc, n);                                                          \
        break;

/* Block number i of rows; they differ by one row at most. */
INLINE void rows_at(const nrw_rows_i8 *r, int64_t i, int64_t blocks, int64_t panel,
                    const nrw_finish_kind kind) {
    _Alignas(64) int32_t acc[BLOCK * 32];
    const int64_t row = r->rows * i / blocks, rows = r->rows * (i + 1) / blocks - row;
    const uint8_t *a = r->a + row * r->a_stride;
    const int8_t *b = r->b + panel * r->panel_bytes;
    const int32_t *add = r->epilogue.add + panel * NRW_ROWS_PANEL;
    switch (rows) {
        ROWS_CASE(1)
        ROWS_CASE(2)
        ROWS_CASE(3)
        ROWS_CASE(4)
        ROWS_CASE(5)
        ROWS_CASE(6)
        ROWS_CASE(7)
        ROWS_CASE(8)
        ROWS_CASE(9)
        ROWS_CASE(10)
        ROWS_CASE(11)
        ROWS_CASE(12)
    }
    nrw_finish f = finish_of(r, panel, row, acc, (int)rows, kind);
    finish_some(&f, BLOCK, kind);
}

INLINE void rows_sweep(const nrw_rows_i8 *r, const nrw_finish_kind kind) {
    const int64_t blocks = (r->rows + BLOCK - 1) / BLOCK;
    const bool stays = r->panels * r->panel_bytes <= STAYS_BYTES;
    const int64_t outer = stays ? blocks : r->panels, inner = stays ? r->panels : blocks;
    for (int64_t i = 0; i < outer; i++) {
        for (int64_t j = 0; j < inner; j++) {
            rows_at(r, stays ? i : j, blocks, stays ? j : i, kind);
        }
    }
}

void nrw_rows_i8_avx512vnni(const nrw_rows_i8 *r) {
    WITH_FINISH_KIND(rows_sweep, r);
}

const nrw_kernels nrw_kernels_avx512vnni = {
    .tier = "avx512vnni",
    NRW_WITH_AVX512VNNI,
    .rows_i8 = nrw_rows_i8_avx512vnni,
};
