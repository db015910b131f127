/* What becomes of a block of accumulators of rows_i8: rows of 32, dealt to two halves of a panel
 * (kernels/rows_i8.h). For AVX-512. */
#ifndef NRW_KERNELS_X86_ROWS_FINISH_H
#define NRW_KERNELS_X86_ROWS_FINISH_H

#include <immintrin.h>

#include "kernels/kernels.h"

#define NRW_INLINE static inline __attribute__((always_inline))

typedef struct nrw_finish {
    __m512i add[2];
    __m512 mul[2], bias[2];
    __m512i zero;   /* int16 */
    __mmask32 mask; /* columns that exist */
} nrw_finish;

NRW_INLINE nrw_finish finish_of(const nrw_rows_epilogue *e, int64_t panel, int64_t cols) {
    nrw_finish f;
    for (int h = 0; h < 2; h++) {
        f.add[h] = _mm512_loadu_si512(e->add + panel * NRW_ROWS_PANEL + 16 * h);
        f.mul[h] = _mm512_loadu_ps(e->mul + panel * NRW_ROWS_PANEL + 16 * h);
        f.bias[h] = _mm512_loadu_ps(e->bias + panel * NRW_ROWS_PANEL + 16 * h);
    }
    f.zero = _mm512_set1_epi16((short)e->zero);
    f.mask = cols >= 32 ? 0xffffffffu : (1u << cols) - 1;
    return f;
}

/* Clamping from above first keeps the conversion in range; from below it saturates as it should.
 * What the 16-bit steps saturate lies far outside a byte. */
NRW_INLINE __m512i to_words(const nrw_finish *f, const int32_t *acc) {
    const __m512 most = _mm512_set1_ps(32767.0f);
    __m512i w[2];
    for (int h = 0; h < 2; h++) {
        const __m512i sum = _mm512_add_epi32(_mm512_loadu_si512(acc + 16 * h), f->add[h]);
        const __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), f->mul[h]);
        w[h] = _mm512_cvtps_epi32(_mm512_min_ps(x, most));
    }
    return _mm512_adds_epi16(_mm512_packs_epi32(w[0], w[1]), f->zero);
}

/* Two rows of bytes. */
NRW_INLINE __m512i to_bytes(const nrw_finish *f, const int32_t *row0, const int32_t *row1) {
    const __m512i bytes = _mm512_packus_epi16(to_words(f, row0), to_words(f, row1));
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), bytes);
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

NRW_INLINE void finish_u8(const nrw_finish *f, const int32_t *acc, int rows, nrw_places *p) {
    char *at;
    int i = 0;
    for (; i + 2 <= rows; i += 2, acc += 64) {
        const __m512i both = to_bytes(f, acc, acc + 32);
        if (next_place(p, &at)) _mm256_mask_storeu_epi8(at, f->mask, _mm512_castsi512_si256(both));
        if (next_place(p, &at))
            _mm256_mask_storeu_epi8(at, f->mask, _mm512_extracti64x4_epi64(both, 1));
    }
    if (i < rows && next_place(p, &at))
        _mm256_mask_storeu_epi8(at, f->mask, _mm512_castsi512_si256(to_bytes(f, acc, acc)));
}

/* The halves in order of columns: 0 … 15 and 16 … 31. */
NRW_INLINE void in_order(__m512i a, __m512i b, __m512i *low, __m512i *high) {
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i eight = _mm512_set1_epi32(8);
    *low = _mm512_permutex2var_epi32(a, first, b);
    *high = _mm512_permutex2var_epi32(a, _mm512_add_epi32(first, eight), b);
}

NRW_INLINE void finish_wide(const nrw_finish *f, const nrw_rows_epilogue *e, const int32_t *acc,
                            int rows, nrw_places *p) {
    for (int i = 0; i < rows; i++, acc += 32) {
        __m512i v[2], low, high;
        char *at;
        if (!next_place(p, &at)) continue;
        for (int h = 0; h < 2; h++) {
            v[h] = _mm512_add_epi32(_mm512_loadu_si512(acc + 16 * h), f->add[h]);
            if (e->out != NRW_OUT_F32) continue;
            __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(v[h]), f->mul[h]);
            if (e->adds_bias) x = _mm512_add_ps(x, f->bias[h]);
            v[h] = _mm512_castps_si512(x);
        }
        in_order(v[0], v[1], &low, &high);
        _mm512_mask_storeu_epi32(at, (__mmask16)f->mask, low);
        _mm512_mask_storeu_epi32(at + 64, (__mmask16)(f->mask >> 16), high);
    }
}

/* acc: [rows][32], of rows `row` and following, of panel `panel`. */
NRW_INLINE void finish_block(const nrw_rows_i8 *r, const nrw_finish *f, int64_t panel, int64_t row,
                             const int32_t *acc, int rows) {
    const int64_t size = r->epilogue.out == NRW_OUT_U8 ? 1 : 4;
    const int64_t from = r->first + row, line = from / r->pitch, x = from % r->pitch;
    const int64_t skipped = r->first < r->width ? r->first : r->width;
    const int64_t stored = line * r->width + (x < r->width ? x : r->width) - skipped;
    nrw_places p = {x, r->width, r->pitch,
                    (char *)r->c + (stored * r->ldc + panel * NRW_ROWS_PANEL) * size,
                    r->ldc * size};
    if (r->epilogue.out == NRW_OUT_U8)
        finish_u8(f, acc, rows, &p);
    else
        finish_wide(f, &r->epilogue, acc, rows, &p);
}

#endif
