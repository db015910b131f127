/* A table of 256 bytes, in sixteen registers. */
#ifndef NRW_KERNELS_ARM_TABLE_H
#define NRW_KERNELS_ARM_TABLE_H

#include <arm_neon.h>
#include <stdint.h>

typedef struct nrw_table {
    uint8x16x4_t quarter[4];
} nrw_table;

static inline __attribute__((always_inline)) nrw_table table_of(const uint8_t *table) {
    nrw_table t;
    for (int i = 0; i < 4; i++) t.quarter[i] = vld1q_u8_x4(table + 64 * i);
    return t;
}

/* Indices beyond a quarter leave what is there. */
static inline __attribute__((always_inline)) uint8x16_t looked_up(const nrw_table *t,
                                                                  uint8x16_t at) {
    const uint8x16_t quarter = vdupq_n_u8(64);
    uint8x16_t y = vqtbl4q_u8(t->quarter[0], at);
    for (int i = 1; i < 4; i++) {
        at = vsubq_u8(at, quarter);
        y = vqtbx4q_u8(y, t->quarter[i], at);
    }
    return y;
}

#endif
