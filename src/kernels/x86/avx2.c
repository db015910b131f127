/* Integer kernels of 256 bits: tiles of 6 x 16. Bytes are widened to int16 when they are packed and
 * multiplied in pairs by vpmaddwd, which is exact where vpmaddubsw would saturate. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VI             __m256i
#define VF             __m256
#define LANES          8
#define ROWS           6
#define zero_i         _mm256_setzero_si256
#define load_i(p)      _mm256_loadu_si256((const __m256i *)(p))
#define store_i(p, v)  _mm256_storeu_si256((__m256i *)(p), v)
#define set1_i         _mm256_set1_epi32
#define add_i          _mm256_add_epi32
#define sub_i          _mm256_sub_epi32
#define mul_i          _mm256_mullo_epi32
#define to_float       _mm256_cvtepi32_ps
#define bits_of        _mm256_castps_si256
#define set1_f         _mm256_set1_ps
#define mul_f          _mm256_mul_ps
#define add_f          _mm256_add_ps
#define fma_f          _mm256_fmadd_ps
#define min_f          _mm256_min_ps
#define max_f          _mm256_max_ps
#define dot(acc, u, s) _mm256_add_epi32(acc, _mm256_madd_epi16(u, s))

/* The first n lanes: a window into this table. */
static const int32_t lane_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

static inline __attribute__((always_inline)) __m256i mask_of(int n) {
    return _mm256_loadu_si256((const __m256i *)(lane_masks + 8 - n));
}
#define load_some_i(n, p) _mm256_maskload_epi32(p, mask_of(n))
#define load_some_f(n, p) _mm256_maskload_ps(p, mask_of(n))

/* Masked stores are slow on some processors, so they are kept for the ragged end. */
static inline __attribute__((always_inline)) void store_some_i(int n, void *p, __m256i v) {
    if (n == LANES)
        _mm256_storeu_si256(p, v);
    else
        _mm256_maskstore_epi32(p, mask_of(n), v);
}

static inline __attribute__((always_inline)) void store_some_f(int n, void *p, __m256 v) {
    if (n == LANES)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, mask_of(n), v);
}

/* The low byte of each lane. */
static inline __attribute__((always_inline)) void store_bytes(int n, char *p, __m256i v) {
    const __m256i pick = _mm256_set1_epi32(0x0c080400);
    v = _mm256_shuffle_epi8(v, pick);
    __m128i bytes = _mm_unpacklo_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    if (n == LANES) {
        _mm_storel_epi64((__m128i *)p, bytes);
    } else {
        char some[16];
        _mm_storeu_si128((__m128i *)some, bytes);
        for (int i = 0; i < n; i++) p[i] = some[i];
    }
}

#define TILE_NAME i8_tile
#define TAPS_NAME i8_taps
#include "kernels/x86/i8_tmpl.h"

static inline __attribute__((always_inline)) __m256i widen(const uint8_t *p, __m128i flip,
                                                           bool is_signed) {
    __m128i v = _mm_xor_si128(flip, _mm_loadu_si128((const __m128i *)p));
    return is_signed ? _mm256_cvtepi8_epi16(v) : _mm256_cvtepu8_epi16(v);
}

static void i8_interleave(void *dst, const uint8_t *const *rows, int64_t n, uint8_t flip,
                          bool is_signed) {
    __m256i *d = dst;
    const __m128i f = _mm_set1_epi8((char)flip);
    for (int64_t j = 0; j < n; j += 16, d += 2) {
        __m256i r0 = widen(rows[0] + j, f, is_signed), r1 = widen(rows[1] + j, f, is_signed);
        __m256i lo = _mm256_unpacklo_epi16(r0, r1), hi = _mm256_unpackhi_epi16(r0, r1);
        _mm256_storeu_si256(d, _mm256_permute2x128_si256(lo, hi, 0x20));
        _mm256_storeu_si256(d + 1, _mm256_permute2x128_si256(lo, hi, 0x31));
    }
}

const nrw_kernels nrw_kernels_avx2 = {
    .tier = "avx2",
    .f32_rows = 6,
    .f32_cols = 16,
    .f32_tile = nrw_f32_tile_avx2,
    .f32_taps = nrw_f32_taps_avx2,
    .i8_rows = ROWS,
    .i8_cols = 2 * LANES,
    .i8_group = 2,
    .i8_bytes = 2,
    .i8_tile = i8_tile,
    .i8_taps = i8_taps,
    .i8_interleave = i8_interleave,
    .segments_u8 = nrw_segments_u8,
};
