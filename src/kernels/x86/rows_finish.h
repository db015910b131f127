/* What becomes of a block of accumulators of rows_i8: rows of 32, of which the even columns come
 * before the odd ones (kernels/rows_i8.h). For AVX-512. */
#ifndef NRW_KERNELS_X86_ROWS_FINISH_H
#define NRW_KERNELS_X86_ROWS_FINISH_H

#include <immintrin.h>

#include "base/rint.h"
#include "kernels/rows_tiers.h"
#include "kernels/x86/segments.h"

/* A block of sums, which began with the epilogue's `add`, on its way to results. Rows come in lines
 * of which the first `width` are stored, one behind the other, so that only the place in the line
 * and the address have to be known. */
typedef struct nrw_finish {
    const nrw_rows_i8 *r;
    const int32_t *acc; /* [rows][32], aligned */
    int rows, done;
    int64_t x; /* place in the line, where there are lines */
    char *c;
    const float *mul, *bias; /* of the panel */
    __mmask32 mask;          /* columns that exist */
} nrw_finish;

/* acc: of the rows from number `stored` of those that are stored, of panel `panel`. */
NRW_INLINE nrw_finish finish_stored(const nrw_rows_i8 *r, int64_t panel, int64_t stored,
                                    const int32_t *acc, int rows, const nrw_finish_kind kind) {
    const nrw_rows_epilogue *e = &r->epilogue;
    const int64_t size = kind == FINISH_F32 || kind == FINISH_I32 ? 4 : 1;
    const int64_t at = panel * NRW_ROWS_PANEL, cols = r->cols - at;
    return (nrw_finish){.r = r,
                        .acc = acc,
                        .rows = rows,
                        .c = (char *)r->c + (stored * r->ldc + at) * size,
                        .mul = e->mul + at,
                        .bias = e->bias + at,
                        .mask = cols >= 32 ? 0xffffffffu : (1u << cols) - 1};
}

/* acc: of rows `row` and following, of panel `panel`. */
NRW_INLINE nrw_finish finish_of(const nrw_rows_i8 *r, int64_t panel, int64_t row,
                                const int32_t *acc, int rows, const nrw_finish_kind kind) {
    int64_t x = 0;
    const int64_t stored = has_lines(r) ? stored_before(r, row, &x) : row;
    nrw_finish f = finish_stored(r, panel, stored, acc, rows, kind);
    f.x = x;
    return f;
}

/* Half a row rounded, in the low 16 bits of each lane: adding the magic number leaves whole numbers
 * in the low bits of the significand, and rounds the exact product once. There are as few
 * operations on floats as can be: next to tiles, those on 512 bits start on one port only
 * (measured), and the rest of the epilogue finds room on the other. */
NRW_INLINE __m512i rounded(const int32_t *acc, __m512 mul, const bool twice, const bool any) {
    const __m512 magic = _mm512_set1_ps(NRW_RINT_MAGIC);
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(acc));
    __m512 x =
        twice ? _mm512_add_ps(_mm512_mul_ps(sum, mul), magic) : _mm512_fmadd_ps(sum, mul, magic);
    if (any) { /* far outside of a byte, whatever the zero point */
        x = _mm512_max_ps(x, _mm512_set1_ps(NRW_RINT_MAGIC - 1024)); /* NaN as well */
        x = _mm512_min_ps(x, _mm512_set1_ps(NRW_RINT_MAGIC + 1024));
    }
    return _mm512_castps_si512(x);
}

/* What rows of bytes share: the panel's multipliers, and the zero point as int16. */
typedef struct nrw_to_words {
    __m512 mul[2];
    __m512i zero;
    bool twice;
} nrw_to_words;

NRW_INLINE nrw_to_words words_of(const nrw_finish *f) {
    return (nrw_to_words){{_mm512_loadu_ps(f->mul), _mm512_loadu_ps(f->mul + 16)},
                          _mm512_set1_epi16((short)f->r->epilogue.zero),
                          f->r->epilogue.rounds_twice};
}

/* A row as int16: even columns are the first half's, odd ones the second's. */
NRW_INLINE __m512i to_words(const nrw_to_words *k, const int32_t *acc, const nrw_finish_kind kind) {
    const bool any =
        kind == FINISH_ANY_U8 || kind == FINISH_ANY_RESIDUAL || kind == FINISH_ANY_TABLE;
    const __m512i up = _mm512_set4_epi32(0x0d0c0000, 0x09080000, 0x05040000, 0x01000000);
    const __m512i words =
        _mm512_mask_shuffle_epi8(rounded(acc, k->mul[0], k->twice, any), 0xcccccccccccccccc,
                                 rounded(acc + 16, k->mul[1], k->twice, any), up);
    return kind == FINISH_PLAIN_U8 ? words : _mm512_add_epi16(words, k->zero);
}

/* Bytes of two rows, one behind the other, from two rows packed within 128 bits. */
NRW_INLINE __m512i rows_apart(__m512i packed) {
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), packed);
}

/* A table of 256 bytes; only processors with VBMI are asked to look anything up. */
typedef struct nrw_table {
    __m512i quarter[4];
} nrw_table;

NRW_INLINE nrw_table table_of(const nrw_finish *f, const nrw_finish_kind kind) {
    nrw_table t = {0};
    if (kind == FINISH_TABLE || kind == FINISH_ANY_TABLE) {
        for (int i = 0; i < 4; i++)
            t.quarter[i] = _mm512_loadu_si512(f->r->epilogue.table + 64 * i);
    }
    return t;
}

NRW_INLINE __m512i looked_up(const nrw_table *t, __m512i at, const nrw_finish_kind kind) {
#ifdef __AVX512VBMI__
    if (kind == FINISH_TABLE || kind == FINISH_ANY_TABLE) {
        const __m512i low = _mm512_permutex2var_epi8(t->quarter[0], at, t->quarter[1]);
        const __m512i high = _mm512_permutex2var_epi8(t->quarter[2], at, t->quarter[3]);
        return _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), low, high);
    }
#endif
    return at;
}

/* Rows that are stored one behind the other. */
NRW_INLINE void store_u8(nrw_finish *f, const int32_t *acc, int rows, const nrw_finish_kind kind) {
    const nrw_to_words k = words_of(f);
    const nrw_table table = table_of(f, kind);
    const int64_t ldc = f->r->ldc;
    const __mmask32 mask = f->mask;
    char *c = f->c;
    int i = 0;
    for (; i + 2 <= rows; i += 2, acc += 64, c += 2 * ldc) {
        const __m512i packed =
            _mm512_packus_epi16(to_words(&k, acc, kind), to_words(&k, acc + 32, kind));
        const __m512i both = rows_apart(looked_up(&table, packed, kind));
        _mm256_mask_storeu_epi8(c, mask, _mm512_castsi512_si256(both));
        _mm256_mask_storeu_epi8(c + ldc, mask, _mm512_extracti64x4_epi64(both, 1));
    }
    if (i < rows) {
        const __m512i words = to_words(&k, acc, kind);
        const __m512i row = rows_apart(looked_up(&table, _mm512_packus_epi16(words, words), kind));
        _mm256_mask_storeu_epi8(c, mask, _mm512_castsi512_si256(row));
        c += ldc;
    }
    f->c = c;
}

/* The halves in order of columns: 0 … 15 and 16 … 31. */
NRW_INLINE void in_order(__m512i a, __m512i b, __m512i *low, __m512i *high) {
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i eight = _mm512_set1_epi32(8);
    *low = _mm512_permutex2var_epi32(a, first, b);
    *high = _mm512_permutex2var_epi32(a, _mm512_add_epi32(first, eight), b);
}

/* What rows of floats share. Kept apart from what is written, which may alias anything. */
typedef struct nrw_to_floats {
    __m512 mul[2], bias[2];
    bool adds_bias;
} nrw_to_floats;

NRW_INLINE nrw_to_floats floats_of(const nrw_finish *f) {
    nrw_to_floats k = {.adds_bias = f->r->epilogue.adds_bias};
    for (int h = 0; h < 2; h++) {
        k.mul[h] = _mm512_loadu_ps(f->mul + 16 * h);
        k.bias[h] = _mm512_loadu_ps(f->bias + 16 * h);
    }
    return k;
}

/* A row's sums, or what they stand for, in order. */
NRW_INLINE void widen(const nrw_to_floats *k, const int32_t *acc, const bool real, __m512i *low,
                      __m512i *high) {
    __m512i v[2];
    for (int h = 0; h < 2; h++) {
        v[h] = _mm512_load_si512(acc + 16 * h);
        if (!real) continue;
        const __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(v[h]), k->mul[h]);
        v[h] = _mm512_castps_si512(k->adds_bias ? _mm512_add_ps(x, k->bias[h]) : x);
    }
    in_order(v[0], v[1], low, high);
}

NRW_INLINE void store_wide(nrw_finish *f, const int32_t *acc, int rows,
                           const nrw_finish_kind kind) {
    const nrw_to_floats k = floats_of(f);
    const int64_t bytes = 4 * f->r->ldc;
    const __mmask32 mask = f->mask;
    char *c = f->c;
    for (int i = 0; i < rows; i++, acc += 32, c += bytes) {
        __m512i low, high;
        widen(&k, acc, kind == FINISH_F32, &low, &high);
        _mm512_mask_storeu_epi32(c, (__mmask16)mask, low);
        _mm512_mask_storeu_epi32(c + 64, (__mmask16)(mask >> 16), high);
    }
    f->c = c;
}

NRW_INLINE void store_segments(nrw_finish *f, const int32_t *acc, int rows) {
    const nrw_to_floats k = floats_of(f);
    const nrw_segments *segments = f->r->epilogue.segments;
    const int64_t bytes = f->r->ldc;
    const __mmask32 mask = f->mask;
    char *c = f->c;
    for (int i = 0; i < rows; i++, acc += 32, c += bytes) {
        __m512i low, high;
        widen(&k, acc, true, &low, &high);
        low = segments_of(segments, _mm512_castsi512_ps(low));
        high = segments_of(segments, _mm512_castsi512_ps(high));
        _mm512_mask_cvtusepi32_storeu_epi8(c, (__mmask16)mask, low);
        _mm512_mask_cvtusepi32_storeu_epi8(c + 16, (__mmask16)(mask >> 16), high);
    }
    f->c = c;
}

/* How results and the residual are added: multipliers in pairs of int16, the upper bits and the
 * lower eight. */
typedef struct nrw_add_words {
    __m512i upper, lower, add, shift, zero;
} nrw_add_words;

NRW_INLINE nrw_add_words adding_of(const nrw_finish *f) {
    const nrw_sum_u8 *s = f->r->epilogue.residual;
    const uint32_t upper_a = (uint16_t)(s->by_a >> 8), upper_b = (uint16_t)(s->by_b >> 8);
    const uint32_t lower_a = s->by_a & 0xff, lower_b = s->by_b & 0xff;
    return (nrw_add_words){_mm512_set1_epi32((int)(upper_b << 16 | upper_a)),
                           _mm512_set1_epi32((int)(lower_b << 16 | lower_a)),
                           _mm512_set1_epi32(s->add), _mm512_set1_epi32(s->shift),
                           _mm512_set1_epi16((short)s->zero)};
}

/* One sum of each pair of int16, without the zero point. */
NRW_INLINE __m512i add_pairs(const nrw_add_words *k, __m512i pairs) {
    const __m512i upper = _mm512_dpwssd_epi32(_mm512_setzero_si512(), pairs, k->upper);
    const __m512i from = _mm512_add_epi32(k->add, _mm512_slli_epi32(upper, 8));
    return _mm512_srav_epi32(_mm512_dpwssd_epi32(from, pairs, k->lower), k->shift);
}

/* 32 results and bytes of the residual, both as int16. */
NRW_INLINE __m512i add_words(const nrw_add_words *k, __m512i own, __m512i other) {
    const __m512i low = add_pairs(k, _mm512_unpacklo_epi16(own, other));
    const __m512i high = add_pairs(k, _mm512_unpackhi_epi16(own, other));
    return _mm512_adds_epi16(_mm512_packs_epi32(low, high), k->zero);
}

NRW_INLINE void store_residual(nrw_finish *f, const int32_t *acc, int rows,
                               const nrw_finish_kind kind) {
    const nrw_to_words k = words_of(f);
    const nrw_add_words adding = adding_of(f);
    const __m512i zero = _mm512_setzero_si512();
    const ptrdiff_t away = (const char *)f->r->residual - (const char *)f->r->c;
    const int64_t ldc = f->r->ldc;
    for (int i = 0; i < rows; i += 2, acc += 64) {
        const bool both = i + 1 < rows;
        const int32_t *second = both ? acc + 32 : acc;
        char *c[2] = {f->c, both ? f->c + ldc : f->c};
        __m512i other[2];
        for (int j = 0; j < 2; j++)
            other[j] = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(f->mask, c[j] + away));
        /* Results are bytes before they are added to. */
        const __m512i q = _mm512_packus_epi16(to_words(&k, acc, kind), to_words(&k, second, kind));
        const __m512i bytes = rows_apart(
            _mm512_packus_epi16(add_words(&adding, _mm512_unpacklo_epi8(q, zero), other[0]),
                                add_words(&adding, _mm512_unpackhi_epi8(q, zero), other[1])));
        _mm256_mask_storeu_epi8(c[0], f->mask, _mm512_castsi512_si256(bytes));
        if (both) _mm256_mask_storeu_epi8(c[1], f->mask, _mm512_extracti64x4_epi64(bytes, 1));
        f->c = c[1] + ldc;
    }
}

NRW_INLINE void store_rows(nrw_finish *f, const int32_t *acc, int rows,
                           const nrw_finish_kind kind) {
    switch (kind) {
    case FINISH_PLAIN_U8:
    case FINISH_U8:
    case FINISH_ANY_U8:
    case FINISH_TABLE:
    case FINISH_ANY_TABLE:
        store_u8(f, acc, rows, kind);
        break;
    case FINISH_SEGMENTS:
        store_segments(f, acc, rows);
        break;
    case FINISH_RESIDUAL:
    case FINISH_ANY_RESIDUAL:
        store_residual(f, acc, rows, kind);
        break;
    default:
        store_wide(f, acc, rows, kind);
    }
}

/* The next n rows of a block. */
NRW_INLINE void finish_some(nrw_finish *f, int n, const nrw_finish_kind kind) {
    const int64_t width = f->r->width, pitch = f->r->pitch;
    const int end = f->done + n < f->rows ? f->done + n : f->rows;
    while (f->done < end) {
        int run = end - f->done;
        bool stored = true;
        if (has_lines(f->r)) {
            stored = f->x < width;
            const int64_t left = (stored ? width : pitch) - f->x;
            if (left < run) run = (int)left;
            f->x = f->x + run < pitch ? f->x + run : 0;
        }
        if (stored) store_rows(f, f->acc + 32 * f->done, run, kind);
        f->done += run;
    }
}

#endif
