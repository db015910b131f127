/* The kernels and their numeric contracts: one table of function pointers for each tier of
 * processor. The drivers on top of it (gemm.h, conv.h) are the same for all tiers; a tier says how
 * large its tiles are and how its panels are laid out, and computes tiles and rows.
 *
 * Floats. A result is a chain of additions over k in ascending order, started from the bias (or
 * zero): it depends neither on the number of threads nor on where blocks end. All tiers but the
 * scalar one use fused multiply-add and agree with one another bit by bit; that one rounds twice.
 *
 * Integers. Activations are unsigned bytes and weights signed bytes by the time they reach a tile:
 * packing flips the top bit of what is stored the other way round, which moves the zero point by
 * 128 and changes nothing else. Accumulators are int32 and exact, modulo 2^32. All tiers agree bit
 * by bit with
 *
 *   acc  = sum_k x[k] * w[k] + add[c] - w_zero[c] * x_sum
 *   u8, i8:  clamp(zero + rint((float)acc * mul[c]), lo, hi)
 *   f32:     (float)acc * mul[c] + bias[c]
 *   i32:     acc
 *
 * where rint rounds the exact product, half to even (NaN counts as below lo), and f32 is rounded
 * twice. */
#ifndef NRW_KERNELS_KERNELS_H
#define NRW_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "kernels/segments.h"
#include "kernels/sum_u8.h"

/* The largest tile of any tier, for buffers on the stack. */
#define NRW_MAX_TILE_ROWS 16
#define NRW_MAX_TILE_COLS 64

/* What kernels may read behind the last element of a row of input, in elements: packed panels end
 * where they end, but rows of images are read in whole vectors. */
#define NRW_ROW_SLACK 64

/* One tile of a float matrix product: c[i][j] = sum_k a[k][i] * b[k][j]. */
typedef struct nrw_f32_tile {
    const float *a; /* [k][rows] */
    const float *b; /* [k][f32_cols] */
    int64_t k;
    float *c;
    int64_t ldc;
    int rows, cols;        /* 1 … f32_rows, 1 … f32_cols */
    bool resume;           /* go on from c, the sum of earlier k; the biases are in it already */
    const float *row_bias; /* [rows], or NULL */
    const float *col_bias; /* [cols], or NULL */
    float lo, hi;          /* applied when the tile is stored; -INFINITY and INFINITY: nothing */
} nrw_f32_tile;

/* Rows of a filter that slides over one plane: y[r][j] = bias + sum_t w[t] * x[t][r][j]. */
typedef struct nrw_f32_taps {
    const float *const *x; /* [taps], each at its own offset in the plane */
    int64_t x_stride;      /* from one r to the next, elements */
    const float *w;        /* [taps] */
    int taps;
    float *y;
    int64_t y_stride, rows, cols;
    float bias, lo, hi;
} nrw_f32_taps;

typedef enum nrw_i8_out { NRW_OUT_U8, NRW_OUT_I8, NRW_OUT_I32, NRW_OUT_F32 } nrw_i8_out;

/* How accumulators become results. Channels run along the rows of tiles (convolutions: weights are
 * the left matrix) or along their columns (matrix products: weights are the right one). */
typedef struct nrw_i8_epilogue {
    nrw_i8_out out;
    bool channel_rows;
    const int32_t *add;    /* [channels] bias - x_zero * sum w + K * x_zero * w_zero */
    const float *mul;      /* [channels]; unused for i32 */
    const float *bias;     /* [channels] for f32, or NULL */
    const int32_t *w_zero; /* [channels]; NULL: all 0 */
    const int32_t *x_sum;  /* sums of x over k for each index of the other axis; with w_zero only */
    int32_t zero, lo, hi;  /* u8, i8: zero point and range of the output */
    bool rounds_twice;     /* u8, i8: the product is rounded to a float first, as XNNPACK does; else
                              the exact one is rounded */
    /* f32: the results are not these but bytes, by this function of them; NULL: they are. Tiles do
     * not know it (ops/product.h does). */
    const nrw_segments *segments;
} nrw_i8_epilogue;

/* One tile of an integer matrix product. Panels hold groups of i8_group values of k side by side,
 * the last group filled up with zeros on the side of the weights. */
typedef struct nrw_i8_tile {
    const void *a; /* [groups][rows][i8_group], elements of i8_bytes bytes */
    const void *b; /* [groups][i8_cols][i8_group] */
    int64_t groups;
    void *c; /* of the epilogue's type */
    int64_t ldc;
    int rows, cols;
    bool a_signed;      /* a holds the weights and b the activations, or the other way round */
    int64_t row0, col0; /* of this tile in the whole, to find channels and sums */
    const nrw_i8_epilogue *epilogue;
} nrw_i8_tile;

/* As nrw_f32_taps, over interleaved rows: x[t][r] holds i8_group values for each column. */
typedef struct nrw_i8_taps {
    const void *const *x; /* [taps] */
    int64_t x_stride;     /* bytes */
    const void *w;        /* [taps][i8_group] signed, elements of i8_bytes bytes */
    int taps;
    void *y;
    int64_t y_stride, rows, cols;
    int64_t channel;
    int64_t sum0; /* index of y[0][0] in x_sum; rows of sums lie y_stride apart */
    const nrw_i8_epilogue *epilogue;
} nrw_i8_taps;

/* Columns of a panel of rows_i8. */
#define NRW_ROWS_PANEL 32

/* An epilogue dealt to the halves of panels (rows_i8.h); arrays over all columns, filled up to
 * whole panels. */
typedef struct nrw_rows_epilogue {
    nrw_i8_out out; /* u8 (all of its range), i32, f32 */
    const int32_t *add;
    const int32_t *sum; /* of the column's weights: what an x that is read as x - 128 lacks */
    const float *mul;
    const float *bias; /* f32 only */
    int32_t zero;
    bool adds_bias;
    const nrw_segments *segments; /* u8: by this function of what f32 would be; NULL: plainly */
    bool rounds_twice;            /* as in nrw_i8_epilogue */
    bool in_range; /* u8: no sum times its mul, plus the zero point, lies outside of int16 */
    const nrw_sum_u8 *residual; /* u8: bytes that are added to the result (b); NULL: none */
    const uint8_t *table;       /* u8: [256], where results are looked up; NULL: nowhere */
} nrw_rows_epilogue;

/* Rows of activations times panels of weights (rows_i8.h): c[i][c] from the sum over the steps s of
 * a[i * a_stride + offset[s] + …] times the step's weights. */
typedef struct nrw_rows_i8 {
    const uint8_t *a;
    int64_t a_stride;
    const int64_t *offset; /* [steps] */
    int steps, depth;
    int64_t rows;
    const int8_t *b; /* [panels] */
    int64_t panels, panel_bytes, cols;
    void *c;
    int64_t ldc;
    const uint8_t *residual; /* as c, where the epilogue has one */
    /* Rows come in lines of `pitch`, of which the first `width` are stored, one behind the other;
     * the others are padding between the lines of an image. first: the place of row 0 in its line;
     * c is where the first row that is stored goes. */
    int64_t pitch, width, first;
    nrw_rows_epilogue epilogue; /* from the first panel on */
} nrw_rows_i8;

/* One or two lines of a depthwise convolution, channels last (depthwise_i8.h has the layouts):
 * y[l][x][c] from the sum over rows i and columns j of channel c of pixel x * stride + j * step -
 * pad of rows[i], `fill` where that is outside of the row, times the weight of line l. Up to 63
 * bytes are read behind a row. */
typedef struct nrw_depthwise_i8 {
    const uint8_t *const *rows; /* [groups * 4]; any row where the weights are 0 */
    int groups, kw, lines;
    int packed_lines;                    /* that w has; at least `lines` */
    int64_t step, stride, pad, in_width; /* pixels */
    uint8_t fill;
    const int8_t *w;
    int64_t channels, width;
    uint8_t *y[2];      /* [lines], each [width][channels] */
    const int32_t *add; /* dealt to the blocks, filled up */
    const int32_t *sum; /* as in nrw_rows_epilogue; so are the flags */
    const float *mul;
    int32_t zero;
    bool in_range;
    bool rounds_twice;
} nrw_depthwise_i8;

/* softmax(scale q k^T + mask) v of one head, in float: rows of q, k and v have their values side by
 * side, and lie *_row apart. */
typedef struct nrw_attention_f32 {
    const float *q, *k, *v; /* [m][d], [n][d], [n][dv]; all at least 1 */
    const float *mask;      /* [m][n], or NULL; mask_row, mask_col 0: the same for all m, all n */
    float *y;               /* [m][dv] */
    int64_t m, n, d, dv, q_row, k_row, v_row, mask_row, mask_col, y_row;
    float scale;
    bool nan_is_zero; /* rows of the softmax that are NaN count as zero */
} nrw_attention_f32;

/* Floats to bytes, as ir/quant.h has it: clamp(zero + rint(x / scale), 0, 255), the quotient
 * rounded to a float first; or x times factor, if that is not 0. scale: 2^-60 … 2^60, its
 * significand not all ones (nrw_has_reciprocal).
 */
typedef struct nrw_quantize_u8 {
    float scale;
    int32_t zero; /* 0 … 255 */
    float factor;
} nrw_quantize_u8;

/* Bytes times a number for each channel, channels last: clamp(zero + rint(acc * m), 0, 255) of the
 * exact product, or of the product as a float if it rounds twice, acc = x * by[c] + from[c], a
 * whole number; |acc * m| < 32000. by and from are dealt to blocks of 64 channels, filled up:
 * channel c of a block lies at nrw_scale_place(c). */
typedef struct nrw_scale_u8 {
    const float *by, *from;
    int64_t channels;
    float m;
    int32_t zero;
    bool rounds_twice;
} nrw_scale_u8;

static inline int nrw_scale_place(int c) {
    return c % 16 / 4 * 16 + c / 16 * 4 + c % 4;
}

typedef struct nrw_kernels {
    const char *tier;
    int f32_rows, f32_cols; /* columns: a multiple of 16 */
    void (*f32_tile)(const nrw_f32_tile *t);
    void (*f32_taps)(const nrw_f32_taps *t);

    int i8_rows, i8_cols;
    int i8_group; /* values of k that lie side by side in a panel */
    int i8_bytes; /* of one element in a panel: 1, or 2 where bytes are widened */
    void (*i8_tile)(const nrw_i8_tile *t);
    void (*i8_taps)(const nrw_i8_taps *t);
    /* dst[j][g] = rows[g][j] ^ flip for j in [0, n), widened as signed or unsigned. Writes up to 31
     * columns more and reads as many. */
    void (*i8_interleave)(void *dst, const uint8_t *const *rows, int64_t n, uint8_t flip,
                          bool is_signed);
    void (*rows_i8)(const nrw_rows_i8 *r); /* NULL: not in this tier, nor depthwise_i8 */
    bool rows_look_up;                     /* rows_i8 takes tables */
    bool rows_eights; /* eight values of a column of weights lie side by side for rows_i8, not 4 */
    /* Rows at a distance of a multiple of 256 bytes are better with a gap of so many between them,
     * which many products are worth a copy; 0: it is the same. */
    int rows_gap;
    void (*depthwise_i8)(const nrw_depthwise_i8 *d);
    /* y[i] = table[x[i]]; y may be x. NULL: as plain loops do it. */
    void (*table_u8)(const uint8_t *table, const uint8_t *x, uint8_t *y, int64_t n);
    /* pixels of all channels. NULL: as any product (ops/quant_pair.c). */
    void (*scale_u8)(const nrw_scale_u8 *s, const uint8_t *x, uint8_t *y, int64_t pixels);
    /* NULL: as ir/quant.c does it. */
    void (*quantize_u8)(const nrw_quantize_u8 *q, const float *x, uint8_t *y, int64_t n);
    void (*segments_u8)(const nrw_segments *s, const float *x, uint8_t *y, int64_t n);
    /* Not the chain of additions that other float kernels promise: products are good to 17 bits.
     * room: attention_room bytes for the kernel's own use. NULL: as ops/attention_tiles.h does it.
     */
    void (*attention_f32)(const nrw_attention_f32 *a, void *room);
    size_t (*attention_room)(const nrw_attention_f32 *a);
} nrw_kernels;

/* The best table that this processor (as capped) can run; never NULL. */
const nrw_kernels *nrw_kernels_get(const nrw_cpu *cpu);

/* The tiers' entries; each lies in a library built with its own flags, so only ask for them by way
 * of nrw_kernels_get. */
extern const nrw_kernels nrw_kernels_scalar;
#if defined(__x86_64__)
extern const nrw_kernels nrw_kernels_avx2;
void nrw_f32_tile_avx2(const nrw_f32_tile *t);
void nrw_f32_taps_avx2(const nrw_f32_taps *t);
void nrw_f32_tile_avx512(const nrw_f32_tile *t);
void nrw_f32_taps_avx512(const nrw_f32_taps *t);
extern const nrw_kernels nrw_kernels_avx512vnni;
void nrw_rows_i8_avx512vnni(const nrw_rows_i8 *r);
void nrw_depthwise_i8_avx512vnni(const nrw_depthwise_i8 *d);
void nrw_scale_u8_avx512(const nrw_scale_u8 *s, const uint8_t *x, uint8_t *y, int64_t pixels);
void nrw_quantize_u8_avx512(const nrw_quantize_u8 *q, const float *x, uint8_t *y, int64_t n);
void nrw_segments_u8_avx512(const nrw_segments *s, const float *x, uint8_t *y, int64_t n);
void nrw_table_u8_avx512vbmi(const uint8_t *table, const uint8_t *x, uint8_t *y, int64_t n);
extern const nrw_kernels nrw_kernels_avx512vbmi; /* the tier avx512vnni, with VBMI */
void nrw_i8_tile_avx512vnni(const nrw_i8_tile *t);
void nrw_i8_taps_avx512vnni(const nrw_i8_taps *t);
void nrw_i8_interleave_avx512vnni(void *dst, const uint8_t *const *rows, int64_t n, uint8_t flip,
                                  bool is_signed);
extern const nrw_kernels nrw_kernels_amx;
void nrw_attention_f32_amx(const nrw_attention_f32 *a, void *room);
size_t nrw_attention_room_amx(const nrw_attention_f32 *a);
/* What every tier from avx512vnni up has of that tier; rows_i8 and table_u8 are its own. */
#define NRW_WITH_AVX512VNNI                                                                        \
    .f32_rows = 12, .f32_cols = 32, .f32_tile = nrw_f32_tile_avx512,                               \
    .f32_taps = nrw_f32_taps_avx512, .i8_rows = 12, .i8_cols = 32, .i8_group = 4, .i8_bytes = 1,   \
    .i8_tile = nrw_i8_tile_avx512vnni, .i8_taps = nrw_i8_taps_avx512vnni,                          \
    .i8_interleave = nrw_i8_interleave_avx512vnni, .depthwise_i8 = nrw_depthwise_i8_avx512vnni,    \
    .segments_u8 = nrw_segments_u8_avx512, .quantize_u8 = nrw_quantize_u8_avx512,                  \
    .scale_u8 = nrw_scale_u8_avx512
#endif
#if defined(__AARCH64EL__)
extern const nrw_kernels nrw_kernels_neon;
extern const nrw_kernels nrw_kernels_dotprod;
extern const nrw_kernels nrw_kernels_i8mm;
void nrw_f32_tile_neon(const nrw_f32_tile *t);
void nrw_f32_taps_neon(const nrw_f32_taps *t);
void nrw_table_u8_neon(const uint8_t *table, const uint8_t *x, uint8_t *y, int64_t n);
void nrw_scale_u8_neon(const nrw_scale_u8 *s, const uint8_t *x, uint8_t *y, int64_t pixels);
void nrw_quantize_u8_neon(const nrw_quantize_u8 *q, const float *x, uint8_t *y, int64_t n);
void nrw_segments_u8_neon(const nrw_segments *s, const float *x, uint8_t *y, int64_t n);
/* What every tier has of the lowest one; products of bytes are its own. */
#define NRW_WITH_NEON                                                                              \
    .f32_rows = 6, .f32_cols = 16, .f32_tile = nrw_f32_tile_neon, .f32_taps = nrw_f32_taps_neon,   \
    .i8_cols = 16, .i8_group = 4, .i8_bytes = 1, .rows_look_up = true,                             \
    .table_u8 = nrw_table_u8_neon, .scale_u8 = nrw_scale_u8_neon,                                  \
    .quantize_u8 = nrw_quantize_u8_neon, .segments_u8 = nrw_segments_u8_neon
#endif

#endif
