/* What becomes of a block of accumulators of rows_i8: rows of 32, of which the even columns come
 * before the odd ones (kernels/rows_i8.h). For AVX-512. */
#ifndef NRW_KERNELS_X86_ROWS_FINISH_H
#define NRW_KERNELS_X86_ROWS_FINISH_H

#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/x86/segments.h"

#define NRW_INLINE static inline __attribute__((always_inline))

/* Variants of an epilogue, known when loops are compiled. Bytes are usual where no sum leaves the
 * range of int16 (in_range), and plain where the zero point is 0 as well. */
typedef enum nrw_finish_kind {
    FINISH_PLAIN_U8,
    FINISH_U8,
    FINISH_ANY_U8,
    FINISH_SEGMENTS,
    FINISH_RESIDUAL,
    FINISH_ANY_RESIDUAL,
    FINISH_F32,
    FINISH_I32
} nrw_finish_kind;

NRW_INLINE nrw_finish_kind finish_kind_of(const nrw_rows_epilogue *e) {
    if (e->out == NRW_OUT_F32) return FINISH_F32;
    if (e->out == NRW_OUT_I32) return FINISH_I32;
    if (e->segments != NULL) return FINISH_SEGMENTS;
    if (e->residual != NULL) return e->in_range ? FINISH_RESIDUAL : FINISH_ANY_RESIDUAL;
    if (!e->in_range) return FINISH_ANY_U8;
    return e->zero == 0 ? FINISH_PLAIN_U8 : FINISH_U8;
}

/* Calls run(r, kind) with the kind as a constant. */
#define WITH_FINISH_KIND(run, r)                                                                   \
    switch (finish_kind_of(&(r)->epilogue)) {                                                      \
    case FINISH_PLAIN_U8:                                                                          \
        run(r, FINISH_PLAIN_U8);                                                                   \
        break;                                                                                     \
    case FINISH_U8:                                                                                \
        run(r, FINISH_U8);                                                                         \
        break;                                                                                     \
    case FINISH_ANY_U8:                                                                            \
        run(r, FINISH_ANY_U8);                                                                     \
        break;                                                                                     \
    case FINISH_SEGMENTS:                                                                          \
        run(r, FINISH_SEGMENTS);                                                                   \
        break;                                                                                     \
    case FINISH_RESIDUAL:                                                                          \
        run(r, FINISH_RESIDUAL);                                                                   \
        break;                                                                                     \
    case FINISH_ANY_RESIDUAL:                                                                      \
        run(r, FINISH_ANY_RESIDUAL);                                                               \
        break;                                                                                     \
    case FINISH_F32:                                                                               \
        run(r, FINISH_F32);                                                                        \
        break;                                                                                     \
    case FINISH_I32:                                                                               \
        run(r, FINISH_I32);                                                                        \
        break;                                                                                     \
    }

/* A block of sums, which began with the epilogue's `add`, on its way to results, and the panel's
 * share of the epilogue. Rows come in lines of which the first `width` are stored, one behind the
 * other, so that only the place in the line and the address have to be known. */
typedef struct nrw_finish {
    const int32_t *acc; /* [rows][32], aligned */
    int rows, done;
    int64_t x, width, pitch; /* place in the line */
    char *c;
    int64_t bytes;  /* of a row of c */
    __mmask32 mask; /* columns that exist */
    __m512 mul[2], bias[2];
    __m512i zero; /* int16 */
    bool adds_bias;
    const nrw_segments *segments;
    __m512i by, residual_add,
        shift;             /* of the sum with the residual: int16 in pairs, int32, int32 */
    ptrdiff_t to_residual; /* from c */
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
        f.mul[h] = _mm512_loadu_ps(e->mul + at + 16 * h);
        if (kind == FINISH_F32 || kind == FINISH_SEGMENTS)
            f.bias[h] = _mm512_loadu_ps(e->bias + at + 16 * h);
    }
    if (kind != FINISH_PLAIN_U8) f.zero = _mm512_set1_epi16((short)e->zero);
    if (kind == FINISH_RESIDUAL || kind == FINISH_ANY_RESIDUAL) {
        const nrw_sum_u8 *sum = e->residual;
        const uint32_t by_b = (uint32_t)(uint16_t)sum->by_b;
        f.by = _mm512_set1_epi32((int)(by_b << 16 | (uint16_t)sum->by_a));
        f.residual_add = _mm512_set1_epi32(sum->add);
        f.shift = _mm512_set1_epi32(sum->shift);
        f.to_residual = (const char *)r->residual - (const char *)r->c;
    }
    return f;
}

/* Half a row rounded, in the low 16 bits of each lane: adding the magic number leaves whole numbers
 * in the low bits of the significand, and rounds the exact product once. While tiles are in use,
 * port 5 does not take operations on 512 bits of floats, so that the fewer there are of them, the
 * better; what follows is for port 5. */
NRW_INLINE __m512i rounded(const nrw_finish *f, const int32_t *acc, const int h, const bool any) {
    const __m512 magic = _mm512_set1_ps(12582912.0f),
                 sum = _mm512_cvtepi32_ps(_mm512_load_si512(acc + 16 * h));
    __m512 x = _mm512_fmadd_ps(sum, f->mul[h], magic);
    if (any) { /* far outside of a byte, whatever the zero point */
        x = _mm512_min_ps(x, _mm512_set1_ps(12582912.0f + 1024));
        x = _mm512_max_ps(x, _mm512_set1_ps(12582912.0f - 1024));
    }
    return _mm512_castps_si512(x);
}

/* A row as int16: even columns are the first half's, odd ones the second's. */
NRW_INLINE __m512i to_words(const nrw_finish *f, const int32_t *acc, const nrw_finish_kind kind) {
    const bool any = kind == FINISH_ANY_U8 || kind == FINISH_ANY_RESIDUAL;
    const __m512i up = _mm512_set4_epi32(0x0d0c0000, 0x09080000, 0x05040000, 0x01000000);
    const __m512i words = _mm512_mask_shuffle_epi8(rounded(f, acc, 0, any), 0xcccccccccccccccc,
                                                   rounded(f, acc, 1, any), up);
    return kind == FINISH_PLAIN_U8 ? words : _mm512_add_epi16(words, f->zero);
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
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i eight = _mm512_set1_epi32(8);
    *low = _mm512_permutex2var_epi32(a, first, b);
    *high = _mm512_permutex2var_epi32(a, _mm512_add_epi32(first, eight), b);
}

/* What f32 results are, or the sums themselves, in order. */
NRW_INLINE void widen(const nrw_finish *f, const int32_t *acc, const bool real, __m512i *low,
                      __m512i *high) {
    __m512i v[2];
    for (int h = 0; h < 2; h++) {
        v[h] = _mm512_load_si512(acc + 16 * h);
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

/* Sums of 32 results and bytes of the residual, both as int16. */
NRW_INLINE __m512i add_residual(const nrw_finish *f, __m512i own, __m512i other) {
    const __m512i low = _mm512_unpacklo_epi16(own, other);
    const __m512i high = _mm512_unpackhi_epi16(own, other);
    return _mm512_packs_epi32(
        _mm512_srav_epi32(_mm512_dpwssd_epi32(f->residual_add, low, f->by), f->shift),
        _mm512_srav_epi32(_mm512_dpwssd_epi32(f->residual_add, high, f->by), f->shift));
}

NRW_INLINE __m512i residual_row(const nrw_finish *f, const char *c) {
    return _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(f->mask, c + f->to_residual));
}

NRW_INLINE void store_residual(nrw_finish *f, const int32_t *acc, int rows,
                               const nrw_finish_kind kind) {
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    const __m512i zero = _mm512_setzero_si512();
    for (int i = 0; i < rows; i += 2, acc += 64, f->c += 2 * f->bytes) {
        const bool both = i + 1 < rows;
        const int32_t *second = both ? acc + 32 : acc;
        char *c = both ? f->c + f->bytes : f->c;
        /* Results are bytes before they are added to. */
        const __m512i q = _mm512_packus_epi16(to_words(f, acc, kind), to_words(f, second, kind));
        const __m512i bytes = _mm512_packus_epi16(
            add_residual(f, _mm512_unpacklo_epi8(q, zero), residual_row(f, f->c)),
            add_residual(f, _mm512_unpackhi_epi8(q, zero), residual_row(f, c)));
        const __m512i rows_apart = _mm512_permutexvar_epi64(order, bytes);
        _mm256_mask_storeu_epi8(f->c, f->mask, _mm512_castsi512_si256(rows_apart));
        if (both)
            _mm256_mask_storeu_epi8(c, f->mask, _mm512_extracti64x4_epi64(rows_apart, 1));
        else
            f->c -= f->bytes;
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
        if (stored && (kind == FINISH_PLAIN_U8 || kind == FINISH_U8 || kind == FINISH_ANY_U8))
            store_u8(f, acc, run, kind);
        else if (stored && kind == FINISH_SEGMENTS)
            store_segments(f, acc, run);
        else if (stored && (kind == FINISH_RESIDUAL || kind == FINISH_ANY_RESIDUAL))
            store_residual(f, acc, run, kind);
        else if (stored)
            store_wide(f, acc, run, kind);
        f->done += run;
        f->x += run;
        if (f->x == f->pitch) f->x = 0;
    }
}

#endif
