/* What rows_i8 is made of in every tier that has it: variants of the epilogue, and rows in lines.
 */
#ifndef NRW_KERNELS_ROWS_TIERS_H
#define NRW_KERNELS_ROWS_TIERS_H

#include "kernels/kernels.h"

#define NRW_INLINE static inline __attribute__((always_inline))

/* Variants of an epilogue, known when loops are compiled. Bytes are usual where no sum leaves the
 * range of int16 (in_range), and plain where the zero point is 0 as well. */
typedef enum nrw_finish_kind {
    FINISH_PLAIN_U8,
    FINISH_U8,
    FINISH_ANY_U8,
    FINISH_TABLE,
    FINISH_ANY_TABLE,
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
    if (e->table != NULL) return e->in_range ? FINISH_TABLE : FINISH_ANY_TABLE;
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
    case FINISH_TABLE:                                                                             \
        run(r, FINISH_TABLE);                                                                      \
        break;                                                                                     \
    case FINISH_ANY_TABLE:                                                                         \
        run(r, FINISH_ANY_TABLE);                                                                  \
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

NRW_INLINE bool has_lines(const nrw_rows_i8 *r) {
    return r->pitch != r->width;
}

/* How many rows before row `row` are stored, and its place in its line. */
NRW_INLINE int64_t stored_before(const nrw_rows_i8 *r, int64_t row, int64_t *x) {
    const int64_t from = r->first + row, line = from / r->pitch;
    const int64_t skipped = r->first < r->width ? r->first : r->width;
    *x = from - line * r->pitch;
    return line * r->width + (*x < r->width ? *x : r->width) - skipped;
}

/* Finds rows `stored` to `stored + n - 1` of those that are stored. */
static inline void find_rows(const nrw_rows_i8 *r, int64_t stored, int n, const uint8_t **row) {
    if (!has_lines(r)) {
        for (int i = 0; i < n; i++) row[i] = r->a + (stored + i) * r->a_stride;
        return;
    }
    const int64_t u = stored + (r->first < r->width ? r->first : r->width), line = u / r->width;
    int64_t x = u - line * r->width;
    const uint8_t *at = r->a + (line * r->pitch + x - r->first) * r->a_stride;
    for (int i = 0; i < n; i++) {
        row[i] = at;
        const bool last = ++x == r->width;
        at += (last ? r->pitch - r->width + 1 : 1) * r->a_stride;
        x = last ? 0 : x;
    }
}

#endif
