/* Integer kernels by tiles (AMX): blocks of 32 rows x 32 columns in four accumulator tiles. What
 * has no use for tiles is the AVX-512 VNNI tier's. */
#include <immintrin.h>
#include <string.h>

#include "kernels/x86/rows_finish.h"

enum { BLOCK = 32, TILE = 16, STAYS_BYTES = 512 << 10 };

typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* Tiles 0 to 3 accumulate, 4 and 5 hold rows of activations, 6 and 7 weights. */
static void configure(int top, int bottom, int depth) {
    _Alignas(64) tile_config t = {.palette = 1};
    for (int i = 0; i < 4; i++) {
        t.rows[i] = (uint8_t)(i < 2 ? top : bottom);
        t.row_bytes[i] = 64;
    }
    for (int i = 4; i < 6; i++) {
        t.rows[i] = (uint8_t)(i == 4 ? top : bottom);
        t.row_bytes[i] = (uint16_t)depth;
    }
    for (int i = 6; i < 8; i++) {
        t.rows[i] = (uint8_t)(depth / 4);
        t.row_bytes[i] = 64;
    }
    _tile_loadconfig(&t);
}

/* Sums of a block of rows and one panel, as [rows][32]. */
NRW_INLINE void multiply(const nrw_rows_i8 *r, const uint8_t *a, const int8_t *b, const bool two,
                         int32_t *acc) {
    const int64_t half = (int64_t)r->depth * TILE, below = TILE * r->a_stride;
    _tile_zero(0);
    _tile_zero(1);
    if (two) {
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int s = 0; s < r->steps; s++, b += 2 * half) {
        const uint8_t *from = a + r->offset[s];
        _tile_loadd(6, b, 64);
        _tile_loadd(4, from, r->a_stride);
        _tile_loadd(7, b + half, 64);
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        if (two) {
            _tile_loadd(5, from + below, r->a_stride);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        }
    }
    _tile_stored(0, acc, 128);
    _tile_stored(1, acc + TILE, 128);
    if (two) {
        _tile_stored(2, acc + TILE * 32, 128);
        _tile_stored(3, acc + TILE * 32 + TILE, 128);
    }
}

/* Block number i of rows, in the panel. The last block starts earlier, so that it is whole: some
 * rows are computed twice. */
NRW_INLINE void run_block(const nrw_rows_i8 *r, int64_t i, int64_t panel, const nrw_finish *f,
                          const bool two) {
    _Alignas(64) int32_t acc[BLOCK * 32];
    int64_t row = i * BLOCK;
    if (row + BLOCK > r->rows) row = r->rows > BLOCK ? r->rows - BLOCK : 0;
    const int rows = r->rows < BLOCK ? (int)r->rows : BLOCK;
    multiply(r, r->a + row * r->a_stride, r->b + panel * r->panel_bytes, two, acc);
    finish_block(r, f, panel, row, acc, rows);
}

static void rows_i8(const nrw_rows_i8 *r) {
    const int64_t blocks = (r->rows + BLOCK - 1) / BLOCK;
    const int top = r->rows < TILE ? (int)r->rows : TILE;
    const int bottom = r->rows >= BLOCK ? TILE : r->rows > TILE ? (int)r->rows - TILE : 1;
    /* Weights that stay in the second-level cache are swept for each block of rows; others are read
     * once, and the rows swept for each panel. */
    const bool stays = r->panels * r->panel_bytes <= STAYS_BYTES;
    const int64_t outer = stays ? blocks : r->panels, inner = stays ? r->panels : blocks;
    configure(top, bottom, r->depth);
    for (int64_t i = 0; i < outer; i++) {
        for (int64_t j = 0; j < inner; j++) {
            const int64_t panel = stays ? j : i, block = stays ? i : j;
            const nrw_finish f = finish_of(&r->epilogue, panel, r->cols - panel * NRW_ROWS_PANEL);
            if (r->rows > TILE)
                run_block(r, block, panel, &f, true);
            else
                run_block(r, block, panel, &f, false);
        }
    }
    _tile_release();
}

const nrw_kernels nrw_kernels_amx = {
    .tier = "amx",
    NRW_WITH_AVX512VNNI,
    .rows_i8 = rows_i8,
    .table_u8 = nrw_table_u8_avx512vbmi, /* processors with tiles have it */
};
