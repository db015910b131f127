/* What becomes of a block of accumulators of rows_i8: rows of 32, dealt to two halves of a panel
 * (kernels/rows_i8.h). For AVX-512. */
#ifndef NRW_KERNELS_X86_ROWS_FINISH_H
#define NRW_KERNELS_X86_ROWS_FINISH_H

#include <immintrin.h>

#include "kernels/kernels.h"

#define NRW_INLINE static inline __attribute__((always_inline))

/* Variants of an epilogue, known when loops are compiled. Plain bytes have a zero point of 0 and
 * multipliers that leave any sum in the range of int32. */
typedef enum nrw_finish_kind { FINISH_PLAIN_U8, FINISH_U8, FINISH_F32, FINISH_I32 } nrw_finish_kind;

NRW_INLINE nrw_finish_kind finish_kind_of(const nrw_rows_epilogue *e) {
    if (e->out == NRW_OUT_F32) return FINISH_F32;
    if (e->out == NRW_OUT_I32) return FINISH_I32;
    return e->zero == 0 && e->in_range ? FINISH_PLAIN_U8 : FINISH_U8;
}

/* Where the next row goes: nowhere (false) when it is padding. Rows of a line come one after the
 * other, so that only the place in the line and the address have to be known. */
typedef struct nrw_places {
    int64_t x, width, pitch;
    char *c;
    int64_t bytes; /* of a row of c */
} nrw_places;

NRW_INLINE bool next_place(nrw_places *p, char **at) {
    const bool stored = p->x < p->width;
    *at = p->c;
    if (stored) p->c += p->bytes;
    if (++p->x == p->pitch) p->x = 0;
    return stored;
}

/* A block of sums on its way to results. */
typedef struct nrw_finish {
    const int32_t *acc; /* [rows][32], aligned */
    const nrw_rows_epilogue *e;
    int64_t panel;
    __mmask32 mask; /* columns that exist */
    int rows, done;
    nrw_places places;
} nrw_finish;

/* acc: of rows `row` and following, of panel `panel`. */
NRW_INLINE nrw_finish finish_of(const nrw_rows_i8 *r, int64_t panel, int64_t row,
                                const int32_t *acc, int rows) {
    const int64_t size = r->epilogue.out == NRW_OUT_U8 ? 1 : 4;
    const int64_t from = r->first + row, line = from / r->pitch, x = from % r->pitch;
    const int64_t skipped = r->first < r->width ? r->first : r->width;
    const int64_t stored = line * r->width + (x < r->width ? x : r->width) - skipped;
    const int64_t cols = r->cols - panel * NRW_ROWS_PANEL;
    return (nrw_finish){.acc = acc,
                        .e = &r->epilogue,
                        .panel = panel,
                        .mask = cols >= 32 ? 0xffffffffu : (1u << cols) - 1,
                        .rows = rows,
                        .places = {x, r->width, r->pitch,
                                   (char *)r->c + (stored * r->ldc + panel * NRW_ROWS_PANEL) * size,
                                   r->ldc * size}};
}

/* A panel's share of the epilogue. */
typedef struct nrw_factors {
    __m512i add[2];
    __m512 mul[2], bias[2];
    __m512i zero; /* int16 */
} nrw_factors;

NRW_INLINE nrw_factors factors_of(const nrw_finish *f, const nrw_finish_kind kind) {
    nrw_factors k;
    const int64_t at = f->panel * NRW_ROWS_PANEL;
    for (int h = 0; h < 2; h++) {
        k.add[h] = _mm512_loadu_si512(f->e->add + at + 16 * h);
        k.mul[h] = _mm512_loadu_ps(f->e->mul + at + 16 * h);
        if (kind == FINISH_F32) k.bias[h] = _mm512_loadu_ps(f->e->bias + at + 16 * h);
    }
    k.zero = _mm512_set1_epi16((short)f->e->zero);
    return k;
}

/* Clamping from above first keeps the conversion in range; from below it saturates as it should.
 * What the 16-bit steps saturate lies far outside a byte. */
NRW_INLINE __m512i to_words(const nrw_factors *k, const int32_t *acc, const nrw_finish_kind kind) {
    __m512i w[2];
    for (int h = 0; h < 2; h++) {
        const __m512i sum = _mm512_add_epi32(_mm512_load_si512(acc + 16 * h), k->add[h]);
        __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), k->mul[h]);
        if (kind == FINISH_U8) x = _mm512_min_ps(x, _mm512_set1_ps(32767.0f));
        w[h] = _mm512_cvtps_epi32(x);
    }
    const __m512i words = _mm512_packs_epi32(w[0], w[1]);
    return kind == FINISH_U8 ? _mm512_adds_epi16(words, k->zero) : words;
}

/* Two rows of bytes. */
NRW_INLINE __m512i to_bytes(const nrw_factors *k, const int32_t *row0, const int32_t *row1,
                            const nrw_finish_kind kind) {
    const __m512i bytes = _mm512_packus_epi16(to_words(k, row0, kind), to_words(k, row1, kind));
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), bytes);
}

NRW_INLINE void finish_u8(nrw_finish *f, int end, const nrw_finish_kind kind) {
    const nrw_factors k = factors_of(f, kind);
    const int32_t *acc = f->acc + 32 * f->done;
    char *at;
    int i = f->done;
    for (; i + 2 <= end; i += 2, acc += 64) {
        const __m512i both = to_bytes(&k, acc, acc + 32, kind);
        if (next_place(&f->places, &at))
            _mm256_mask_storeu_epi8(at, f->mask, _mm512_castsi512_si256(both));
        if (next_place(&f->places, &at))
            _mm256_mask_storeu_epi8(at, f->mask, _mm512_extracti64x4_epi64(both, 1));
    }
    if (i < end && next_place(&f->places, &at))
        _mm256_mask_storeu_epi8(at, f->mask, _mm512_castsi512_si256(to_bytes(&k, acc, acc, kind)));
}

/* The halves in order of columns: 0 … 15 and 16 … 31. */
NRW_INLINE void in_order(__m512i a, __m512i b, __m512i *low, __m512i *high) {
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i eight = _mm512_set1_epi32(8);
    *low = _mm512_permutex2var_epi32(a, first, b);
    *high = _mm512_permutex2var_epi32(a, _mm512_add_epi32(first, eight), b);
}

NRW_INLINE void finish_wide(nrw_finish *f, int end, const nrw_finish_kind kind) {
    const nrw_factors k = factors_of(f, kind);
    const int32_t *acc = f->acc + 32 * f->done;
    for (int i = f->done; i < end; i++, acc += 32) {
        __m512i v[2], low, high;
        char *at;
        if (!next_place(&f->places, &at)) continue;
        for (int h = 0; h < 2; h++) {
            v[h] = _mm512_add_epi32(_mm512_load_si512(acc + 16 * h), k.add[h]);
            if (kind != FINISH_F32) continue;
            const __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(v[h]), k.mul[h]);
            v[h] = _mm512_castps_si512(f->e->adds_bias ? _mm512_add_ps(x, k.bias[h]) : x);
        }
        in_order(v[0], v[1], &low, &high);
        _mm512_mask_storeu_epi32(at, (__mmask16)f->mask, low);
        _mm512_mask_storeu_epi32(at + 64, (__mmask16)(f->mask >> 16), high);
    }
}

/* The next rows of a block; n is even. */
NRW_INLINE void finish_some(nrw_finish *f, int n, const nrw_finish_kind kind) {
    const int end = f->done + n < f->rows ? f->done + n : f->rows;
    if (f->done == end) return;
    if (kind == FINISH_PLAIN_U8 || kind == FINISH_U8)
        finish_u8(f, end, kind);
    else
        finish_wide(f, end, kind);
    f->done = end;
}

#endif
