/* What becomes of a block of accumulators of rows_i8: rows of 32, dealt to two halves of a panel
 * (kernels/rows_i8.h). For AVX-512. */
#ifndef NRW_KERNELS_X86_ROWS_FINISH_H
#define NRW_KERNELS_X86_ROWS_FINISH_H

#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/x86/segments.h"

#define NRW_INLINE static inline __attribute__((always_inline))

/* Variants of an epilogue, known when loops are compiled. Plain bytes have a zero point of 0 and
 * multipliers that leave any sum in the range of int32. */
typedef enum nrw_finish_kind {
    FINISH_PLAIN_U8,
    FINISH_U8,
    FINISH_SEGMENTS,
    FINISH_F32,
    FINISH_I32
} nrw_finish_kind;

NRW_INLINE nrw_finish_kind finish_kind_of(const nrw_rows_epilogue *e) {
    if (e->out == NRW_OUT_F32) return FINISH_F32;
    if (e->out == NRW_OUT_I32) return FINISH_I32;
    if (e->segments != NULL) return FINISH_SEGMENTS;
    return e->zero == 0 && e->in_range ? FINISH_PLAIN_U8 : FINISH_U8;
}

/* A block of sums on its way to results, and the panel's share of the epilogue. Rows come in lines
 * of which the first `width` are stored, one behind the other, so that only the place in the line
 * and the address have to be known. */
typedef struct nrw_finish {
    const int32_t *acc; /* [rows][32], aligned */
    int rows, done;
    int64_t x, width, pitch; /* place in the line */
    char *c;
    int64_t bytes;  /* of a row of c */
    __mmask32 mask; /* columns that exist */
    __m512i add[2];
    __m512 mul[2], bias[2];
    __m512i zero; /* int16 */
    bool adds_bias;
    const nrw_segments *segments;
} nrw_finish;

/* acc: of rows `row` and following, of panel `panel`. */
NRW_INLINE nrw_finish finish_of(const nrw_rows_i8 *r, int64_t panel, int64_t row,
                                const int32_t *acc, int rows, const nrw_finish_kind kind) {
    const nrw_rows_epilogue *e = &r->epilogue;
    const int64_t size = e->out == NRW_OUT_U8 ? 1 : 4, at = panel * NRW_ROWS_PANEL;
    const bool lines = r->pitch != r->width;
    const int64_t from = r->first + row, line = lines ? from / r->pitch : 0;
    const int64_t x = from - line * r->pitch;
    const int64_t skipped = r->first < r->width ? r->first : r->width;
    const int64_t stored = line * r->width + (x < r->width || !lines ? x : r->width) - skipped;
    const int64_t cols = r->cols - at;
    nrw_finish f = {.acc = acc,
                    .rows = rows,
                    .x = lines ? x : 0,
                    .width = lines ? r->width : INT64_MAX,
                    .pitch = lines ? r->pitch : INT64_MAX,
                    .c = (char *)r->c + (stored * r->ldc + at) * size,
                    .bytes = r->ldc * size,
                    .mask = cols >= 32 ? 0xffffffffu : (1u << cols) - 1,
                    .adds_bias = e->adds_bias,
                    .segments = e->segments};
    for (int h = 0; h < 2; h++) {
        f.add[h] = _mm512_loadu_si512(e->add + at + 16 * h);
        f.mul[h] = _mm512_loadu_ps(e->mul + at + 16 * h);
        if (kind == FINISH_F32 || kind == FINISH_SEGMENTS)
            f.bias[h] = _mm512_loadu_ps(e->bias + at + 16 * h);
    }
    if (kind == FINISH_U8) f.zero = _mm512_set1_epi16((short)e->zero);
    return f;
}

/* Clamping from above first keeps the conversion in range; from below it saturates as it should.
 * What the 16-bit steps saturate lies far outside a byte. */
NRW_INLINE __m512i to_words(const nrw_finish *f, const int32_t *acc, const nrw_finish_kind kind) {
    __m512i w[2];
    for (int h = 0; h < 2; h++) {
        const __m512i sum = _mm512_add_epi32(_mm512_load_si512(acc + 16 * h), f->add[h]);
        __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), f->mul[h]);
        if (kind == FINISH_U8) x = _mm512_min_ps(x, _mm512_set1_ps(32767.0f));
        w[h] = _mm512_cvtps_epi32(x);
    }
    const __m512i words = _mm512_packs_epi32(w[0], w[1]);
    return kind == FINISH_U8 ? _mm512_adds_epi16(words, f->zero) : words;
}

/* Two rows of bytes. */
NRW_INLINE __m512i to_bytes(const nrw_finish *f, const int32_t *row0, const int32_t *row1,
                            const nrw_finish_kind kind) {
    const __m512i bytes = _mm512_packus_epi16(to_words(f, row0, kind), to_words(f, row1, kind));
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), bytes);
}

/* Rows that are stored one behind the other. */
NRW_INLINE void store_u8(nrw_finish *f, const int32_t *acc, int rows, const nrw_finish_kind kind) {
    int i = 0;
    for (; i + 2 <= rows; i += 2, acc += 64, f->c += 2 * f->bytes) {
        const __m512i both = to_bytes(f, acc, acc + 32, kind);
        _mm256_mask_storeu_epi8(f->c, f->mask, _mm512_castsi512_si256(both));
        _mm256_mask_storeu_epi8(f->c + f->bytes, f->mask, _mm512_extracti64x4_epi64(both, 1));
    }
    if (i == rows) return;
    _mm256_mask_storeu_epi8(f->c, f->mask, _mm512_castsi512_si256(to_bytes(f, acc, acc, kind)));
    f->c += f->bytes;
}

/* The halves in order of columns: 0 … 15 and 16 … 31. */
NRW_INLINE void in_order(__m512i a, __m512i b, __m512i *low, __m512i *high) {
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i eight = _mm512_set1_epi32(8);
    *low = _mm512_permutex2var_epi32(a, first, b);
    *high = _mm512_permutex2var_epi32(a, _mm512_add_epi32(first, eight), b);
}

/* What f32 results are, or the sums themselves, in order. */
NRW_INLINE void widen(const nrw_finish *f, const int32_t *acc, const bool real, __m512i *low,
                      __m512i *high) {
    __m512i v[2];
    for (int h = 0; h < 2; h++) {
        v[h] = _mm512_add_epi32(_mm512_load_si512(acc + 16 * h), f->add[h]);
        if (!real) continue;
        const __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(v[h]), f->mul[h]);
        v[h] = _mm512_castps_si512(f->adds_bias ? _mm512_add_ps(x, f->bias[h]) : x);
    }
    in_order(v[0], v[1], low, high);
}

NRW_INLINE void store_wide(nrw_finish *f, const int32_t *acc, int rows,
                           const nrw_finish_kind kind) {
    for (int i = 0; i < rows; i++, acc += 32, f->c += f->bytes) {
        __m512i low, high;
        widen(f, acc, kind == FINISH_F32, &low, &high);
        _mm512_mask_storeu_epi32(f->c, (__mmask16)f->mask, low);
        _mm512_mask_storeu_epi32(f->c + 64, (__mmask16)(f->mask >> 16), high);
    }
}

NRW_INLINE void store_segments(nrw_finish *f, const int32_t *acc, int rows) {
    for (int i = 0; i < rows; i++, acc += 32, f->c += f->bytes) {
        __m512i low, high;
        widen(f, acc, true, &low, &high);
        low = segments_of(f->segments, _mm512_castsi512_ps(low));
        high = segments_of(f->segments, _mm512_castsi512_ps(high));
        _mm512_mask_cvtusepi32_storeu_epi8(f->c, (__mmask16)f->mask, low);
        _mm512_mask_cvtusepi32_storeu_epi8(f->c + 16, (__mmask16)(f->mask >> 16), high);
    }
}

/* The next n rows of a block. */
NRW_INLINE void finish_some(nrw_finish *f, int n, const nrw_finish_kind kind) {
    const int end = f->done + n < f->rows ? f->done + n : f->rows;
    while (f->done < end) {
        const bool stored = f->x < f->width;
        const int64_t left = (stored ? f->width : f->pitch) - f->x;
        const int run = left < end - f->done ? (int)left : end - f->done;
        const int32_t *acc = f->acc + 32 * f->done;
        if (stored && (kind == FINISH_PLAIN_U8 || kind == FINISH_U8))
            store_u8(f, acc, run, kind);
        else if (stored && kind == FINISH_SEGMENTS)
            store_segments(f, acc, run);
        else if (stored)
            store_wide(f, acc, run, kind);
        f->done += run;
        f->x += run;
        if (f->x == f->pitch) f->x = 0;
    }
}

#endif
