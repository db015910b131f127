/* Attention of one head by tiles of bfloat16. A float is the sum of two bfloat16 (itself rounded,
 * and what is left), and a product of floats three of theirs, so that products are good to about 17
 * bits; sums are float. Blocks of 32 rows of scores stay in the caches until they are used. */
#include <immintrin.h>
#include <string.h>

#include "base/rint.h"
#include "kernels/kernels.h"
#include "kernels/x86/tiles.h"

#define INLINE static inline __attribute__((always_inline))

enum { TILE = 16, BLOCK = 32, TILE_BYTES = 1024, PAIR = 2 * TILE_BYTES /* high and low parts */ };

typedef struct room {
    int64_t n, d, dv; /* filled up to whole tiles */
    uint8_t *k;       /* [n / 16][d / 32][high, low][16 pairs of depth][16 columns][2] */
    uint8_t *v;       /* [n / 32][dv / 16][high, low][16 pairs of n][16 columns][2] */
    uint8_t *q;       /* [2][d / 32][high, low][16 rows][32] */
    uint8_t *p;       /* [2][n / 32][high, low][16 rows][32] */
    float *s, *o;     /* [32][n], [32][dv] */
} room;

static int64_t fill_up(int64_t n) {
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

static size_t lay_out(const nrw_attention_f32 *a, uint8_t *at, room *r) {
    *r = (room){.n = fill_up(a->n), .d = fill_up(a->d), .dv = fill_up(a->dv)};
    uint8_t *start = at;
    r->k = at;
    r->v = r->k + r->n * r->d * 4;
    r->q = r->v + r->n * r->dv * 4;
    r->p = r->q + BLOCK * r->d * 4;
    r->s = (float *)(r->p + BLOCK * r->n * 4);
    r->o = r->s + BLOCK * r->n;
    return (size_t)((uint8_t *)(r->o + BLOCK * r->dv) - start);
}

size_t nrw_attention_room_amx(const nrw_attention_f32 *a) {
    room r;
    static uint8_t nowhere[1];
    return lay_out(a, nowhere, &r) + 64;
}

typedef struct parts {
    __m256i high, low; /* 16 bfloat16 each */
} parts;

/* What is not finite has no rest. */
INLINE parts split(__m512 x) {
    parts p;
    p.high = (__m256i)_mm512_cvtneps_pbh(x);
    const __m512i top = _mm512_slli_epi32(_mm512_cvtepu16_epi32(p.high), 16);
    const __m512 rest = _mm512_sub_ps(x, _mm512_castsi512_ps(top));
    const __mmask16 finite = _mm512_cmp_ps_mask(rest, rest, _CMP_ORD_Q);
    p.low = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_mov_ps(finite, rest));
    return p;
}

INLINE __mmask16 first(int64_t n) {
    return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1);
}

/* Thirty-two floats of a row, of which n exist, as 32 bfloat16 each. */
INLINE void split_row(const float *x, int64_t n, __m512 factor, uint8_t *high, uint8_t *low) {
    for (int h = 0; h < 2; h++) {
        const __m512 v = _mm512_maskz_loadu_ps(first(n - 16 * h), x + (n > 16 * h ? 16 * h : 0));
        const parts p = split(_mm512_mul_ps(v, factor));
        _mm256_storeu_si256((__m256i *)(high + 32 * h), p.high);
        _mm256_storeu_si256((__m256i *)(low + 32 * h), p.low);
    }
}

/* Rows of 16 lanes to columns. */
INLINE void transpose(__m512i *r) {
    __m512i a[16], b[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        a[i] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
        a[i + 4] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd);
        a[i + 8] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
        a[i + 12] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0xdd);
    }
}

/* Keys: pairs of a row go down a column of its tile. */
static void pack_keys(const nrw_attention_f32 *a, const room *r) {
    const int64_t steps = r->d / BLOCK;
    for (int64_t i = 0; i < r->n; i += TILE) {
        for (int64_t s = 0; s < steps; s++) {
            _Alignas(64) uint8_t rows[2][TILE][64];
            __m512i v[TILE];
            for (int64_t k = 0; k < TILE; k++) {
                const bool exists = i + k < a->n;
                split_row(exists ? a->k + (i + k) * a->k_row + s * BLOCK : a->k,
                          exists ? a->d - s * BLOCK : 0, _mm512_set1_ps(1), rows[0][k], rows[1][k]);
            }
            uint8_t *tile = r->k + (i / TILE * steps + s) * PAIR;
            for (int h = 0; h < 2; h++, tile += TILE_BYTES) {
                for (int k = 0; k < TILE; k++) v[k] = _mm512_load_si512(rows[h][k]);
                transpose(v);
                for (int k = 0; k < TILE; k++) _mm512_storeu_si512(tile + 64 * k, v[k]);
            }
        }
    }
}

INLINE __m512i weave(__m256i even, __m256i odd) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(even),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
}

/* Values: two rows are woven. */
static void pack_values(const nrw_attention_f32 *a, const room *r) {
    const int64_t across = r->dv / TILE;
    for (int64_t i = 0; i < r->n; i += 2) {
        uint8_t *tiles = r->v + i / BLOCK * across * PAIR + i % BLOCK / 2 * 64;
        for (int64_t c = 0; c < across; c++, tiles += PAIR) {
            parts p[2];
            for (int h = 0; h < 2; h++) {
                const int64_t left = i + h < a->n ? a->dv - c * TILE : 0;
                const float *from = left > 0 ? a->v + (i + h) * a->v_row + c * TILE : a->v;
                p[h] = split(_mm512_maskz_loadu_ps(first(left), from));
            }
            _mm512_storeu_si512(tiles, weave(p[0].high, p[1].high));
            _mm512_storeu_si512(tiles + TILE_BYTES, weave(p[0].low, p[1].low));
        }
    }
}

static void pack_queries(const nrw_attention_f32 *a, const room *r, int64_t row) {
    const int64_t steps = r->d / BLOCK;
    const __m512 factor = _mm512_set1_ps(a->scale);
    for (int64_t i = 0; i < BLOCK; i++) {
        uint8_t *tiles = r->q + i / TILE * steps * PAIR + i % TILE * 64;
        const bool exists = row + i < a->m;
        for (int64_t s = 0; s < steps; s++, tiles += PAIR) {
            split_row(exists ? a->q + (row + i) * a->q_row + s * BLOCK : a->q,
                      exists ? a->d - s * BLOCK : 0, factor, tiles, tiles + TILE_BYTES);
        }
    }
}

INLINE void load_pair(const int tile, const uint8_t *first, const uint8_t *second) {
    if (tile == 4) {
        _tile_loadd(4, first, 64);
        _tile_loadd(5, second, 64);
    } else {
        _tile_loadd(6, first, 64);
        _tile_loadd(7, second, 64);
    }
}

INLINE void four_products(void) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

/* c[32][ldc] = two rows of tiles times two columns of tiles, `steps` deep. Tiles of a row follow
 * one another; those of a column lie b_step apart. */
INLINE void products(const uint8_t *a, int64_t steps, const uint8_t *b0, const uint8_t *b1,
                     int64_t b_step, float *c, int64_t ldc) {
    const uint8_t *a1 = a + steps * PAIR;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t s = 0; s < steps; s++, a += PAIR, a1 += PAIR, b0 += b_step, b1 += b_step) {
        load_pair(4, a, a1);
        load_pair(6, b0, b1);
        four_products();
        load_pair(6, b0 + TILE_BYTES, b1 + TILE_BYTES);
        four_products();
        load_pair(4, a + TILE_BYTES, a1 + TILE_BYTES);
        load_pair(6, b0, b1);
        four_products();
    }
    _tile_stored(0, c, ldc * 4);
    _tile_stored(1, c + TILE, ldc * 4);
    _tile_stored(2, c + TILE * ldc, ldc * 4);
    _tile_stored(3, c + TILE * ldc + TILE, ldc * 4);
}

/* exp(x) for x <= 0, as 2^n 2^r with |r| <= 1/2. The error grows with -x to 5e-6 at -87, below
 * which it is 2^-126: subnormal numbers are slow. NaN stays. The polynomial is our own fit. */
INLINE __m512 exponential(__m512 x) {
    const __m512 magic = _mm512_set1_ps(NRW_RINT_MAGIC); /* adding it rounds to a whole number */
    x = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
    x = _mm512_max_ps(_mm512_set1_ps(-126.0f), x);
    const __m512 n = _mm512_add_ps(x, magic);
    const __m512 r = _mm512_sub_ps(x, _mm512_sub_ps(n, magic));
    __m512 p = _mm512_set1_ps(1.32647273e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.67151299e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.55073358e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.40222424e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.93147004e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    const __m512i power = _mm512_slli_epi32(_mm512_castps_si512(n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), power));
}

/* The largest of a row of scores, to which the mask is added. */
INLINE __m512 largest(const nrw_attention_f32 *a, float *s, const float *mask) {
    __m512 top = _mm512_set1_ps(-__builtin_inff());
    for (int64_t j = 0; j < a->n; j += 16) {
        const __mmask16 exist = first(a->n - j);
        __m512 x = _mm512_loadu_ps(s + j);
        if (mask != NULL) {
            x = _mm512_add_ps(x, a->mask_col == 0 ? _mm512_set1_ps(*mask)
                                                  : _mm512_maskz_loadu_ps(exist, mask + j));
            _mm512_storeu_ps(s + j, x);
        }
        top = _mm512_mask_max_ps(top, exist, top, x);
    }
    return _mm512_set1_ps(_mm512_reduce_max_ps(top));
}

/* As split, of what is finite or NaN. */
INLINE void store_parts(__m512 x, uint8_t *to) {
    const __m256i high = (__m256i)_mm512_cvtneps_pbh(x);
    const __m512i top = _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16);
    const __m512 rest = _mm512_sub_ps(x, _mm512_castsi512_ps(top));
    _mm256_storeu_si256((__m256i *)to, high);
    _mm256_storeu_si256((__m256i *)(to + TILE_BYTES), (__m256i)_mm512_cvtneps_pbh(rest));
}

/* Scores of row i of the block to exp(score - largest), in parts for the next product. Gives one
 * over their sum. */
static float soften(const nrw_attention_f32 *a, const room *r, int64_t i, const float *mask) {
    float *s = r->s + i * r->n;
    uint8_t *tiles = r->p + i / TILE * (r->n / BLOCK) * PAIR + i % TILE * 64;
    const __m512 top = largest(a, s, mask);
    __m512 sum = _mm512_setzero_ps();
    int64_t j = 0;
    for (; j + 16 <= a->n; j += 16) {
        const __m512 e = exponential(_mm512_sub_ps(_mm512_loadu_ps(s + j), top));
        sum = _mm512_add_ps(sum, e);
        store_parts(e, tiles + j / BLOCK * PAIR + j % BLOCK * 2);
    }
    for (; j < r->n; j += 16) {
        const __m512 x = _mm512_sub_ps(_mm512_loadu_ps(s + j), top);
        const __m512 e = _mm512_maskz_mov_ps(first(a->n - j), exponential(x));
        sum = _mm512_add_ps(sum, e);
        store_parts(e, tiles + j / BLOCK * PAIR + j % BLOCK * 2);
    }
    const float total = _mm512_reduce_add_ps(sum);
    if (total == total || !a->nan_is_zero) return 1 / total;
    for (j = 0; j < r->n; j += BLOCK) {
        _mm512_storeu_si512(tiles + j / BLOCK * PAIR, _mm512_setzero_si512());
        _mm512_storeu_si512(tiles + j / BLOCK * PAIR + TILE_BYTES, _mm512_setzero_si512());
    }
    return 0;
}

static void store_rows(const nrw_attention_f32 *a, const room *r, int64_t row, const float *scale) {
    for (int64_t i = 0; i < BLOCK && row + i < a->m; i++) {
        float *y = a->y + (row + i) * a->y_row;
        for (int64_t j = 0; j < a->dv; j += 16) {
            const __m512 o = _mm512_loadu_ps(r->o + i * r->dv + j);
            _mm512_mask_storeu_ps(y + j, first(a->dv - j),
                                  _mm512_mul_ps(o, _mm512_set1_ps(scale[i])));
        }
    }
}

static void configure(void) {
    _Alignas(64) tile_config t = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        t.rows[i] = TILE;
        t.row_bytes[i] = 64;
    }
    _tile_loadconfig(&t);
}

void nrw_attention_f32_amx(const nrw_attention_f32 *a, void *space) {
    room r;
    float scale[BLOCK];
    lay_out(a, (uint8_t *)(((uintptr_t)space + 63) & ~(uintptr_t)63), &r);
    const int64_t steps = r.d / BLOCK, across = r.dv / TILE, deep = r.n / BLOCK;
    configure();
    pack_keys(a, &r);
    pack_values(a, &r);
    for (int64_t row = 0; row < a->m; row += BLOCK) {
        pack_queries(a, &r, row);
        for (int64_t j = 0; j < r.n; j += BLOCK) {
            const uint8_t *k = r.k + j / TILE * steps * PAIR;
            products(r.q, steps, k, k + steps * PAIR, PAIR, r.s + j, r.n);
        }
        for (int64_t i = 0; i < BLOCK; i++) {
            const bool masks = a->mask != NULL && row + i < a->m;
            scale[i] = soften(a, &r, i, masks ? a->mask + (row + i) * a->mask_row : NULL);
        }
        for (int64_t j = 0; j < r.dv; j += BLOCK) {
            const uint8_t *v = r.v + j / TILE * PAIR;
            products(r.p, deep, v, v + PAIR, across * PAIR, r.o + j, r.dv);
        }
        store_rows(a, &r, row, scale);
    }
    _tile_release();
}
