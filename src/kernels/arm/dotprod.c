/* Integer kernels by SDOT, 16 products at a time. */
#define ROWS   8
#define BLOCK  8
#define PIXELS 2
#include "kernels/arm/i8_tmpl.h"
#include "kernels/arm/rows_tmpl.h"
#include "kernels/arm/depthwise_tmpl.h"

const nrw_kernels nrw_kernels_dotprod = {
    .tier = "dotprod",
    NRW_WITH_NEON,
    .i8_rows = ROWS,
    .i8_tile = i8_tile,
    .i8_taps = i8_taps,
    .i8_interleave = i8_interleave,
    .rows_i8 = rows_i8,
    .depthwise_i8 = depthwise_i8,
};
