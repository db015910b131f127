/* Integer kernels by USMMLA, 32 products at a time, and by USDOT and SUDOT. */
#define ROWS   8
#define BLOCK  6
#define PIXELS 2
#include "kernels/arm/i8_tmpl.h"
#include "kernels/arm/rows_tmpl.h"
#include "kernels/arm/depthwise_tmpl.h"

const nrw_kernels nrw_kernels_i8mm = {
    .tier = "i8mm",
    NRW_WITH_NEON,
    .i8_rows = ROWS,
    .i8_tile = i8_tile,
    .i8_taps = i8_taps,
    .i8_interleave = i8_interleave,
    .rows_i8 = rows_i8,
    .rows_eights = true,
    .depthwise_i8 = depthwise_i8,
};
