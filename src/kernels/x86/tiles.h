/* What AMX's tiles are set to hold. */
#ifndef NRW_KERNELS_X86_TILES_H
#define NRW_KERNELS_X86_TILES_H

#include <stdint.h>

/* The layout of ldtilecfg (Intel 64 and IA-32 Architectures Software Developer's Manual, vol. 1,
 * "Programming with Intel AMX"); to be aligned to 64 bytes. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

#endif
