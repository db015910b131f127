/* Integer kernels of the base architecture: products of bytes are widened to 16 bits and added up
 * in pairs, two registers of sums where others have one. */
#define ROWS   4
#define BLOCK  4
#define PIXELS 1
#include "kernels/arm/i8_tmpl.h"
#include "kernels/arm/rows_tmpl.h"
#include "kernels/arm/depthwise_tmpl.h"

const nrw_kernels nrw_kernels_neon = {
    .tier = "neon",
    NRW_WITH_NEON,
    .i8_rows = ROWS,
    .i8_tile = i8_tile,
    .i8_taps = i8_taps,
    .i8_interleave = i8_interleave,
    .rows_i8 = rows_i8,
    .depthwise_i8 = depthwise_i8,
};
