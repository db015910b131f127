/* Lanes of vectors: the first few of them, where rows end (nothing behind them is read or written),
 * and single ones. */
#ifndef NRW_KERNELS_ARM_SOME_H
#define NRW_KERNELS_ARM_SOME_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define NRW_SOME_INLINE static inline __attribute__((always_inline))

/* n: 1 … 16; more count as 16. Lanes that are not loaded are 0. */
NRW_SOME_INLINE void store_some_bytes(int64_t n, uint8_t *p, uint8x16_t v) {
    if (n >= 16) {
        vst1q_u8(p, v);
        return;
    }
    uint64_t left = vgetq_lane_u64(vreinterpretq_u64_u8(v), 0);
    if (n & 8) {
        memcpy(p, &left, 8);
        left = vgetq_lane_u64(vreinterpretq_u64_u8(v), 1);
        p += 8;
    }
    if (n & 4) {
        memcpy(p, &left, 4);
        left >>= 32;
        p += 4;
    }
    if (n & 2) {
        memcpy(p, &left, 2);
        left >>= 16;
        p += 2;
    }
    if (n & 1) *p = (uint8_t)left;
}

NRW_SOME_INLINE uint8x16_t load_some_bytes(int64_t n, const uint8_t *p) {
    if (n >= 16) return vld1q_u8(p);
    uint64_t half[2] = {0, 0};
    int at = 0;
    if (n & 8) {
        memcpy(&half[0], p, 8);
        at = 8;
    }
    uint64_t last = 0;
    int shift = 0;
    if (n & 4) {
        uint32_t v;
        memcpy(&v, p + at, 4);
        last = v;
        shift = 32;
        at += 4;
    }
    if (n & 2) {
        uint16_t v;
        memcpy(&v, p + at, 2);
        last |= (uint64_t)v << shift;
        shift += 16;
        at += 2;
    }
    if (n & 1) last |= (uint64_t)p[at] << shift;
    half[n >> 3 & 1] = last;
    return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(half[0]), vcreate_u64(half[1])));
}

/* n: 1 … 4 of 32 bits; more count as 4. */
NRW_SOME_INLINE int32x4_t load_some_i(int64_t n, const void *p) {
    return vreinterpretq_s32_u8(load_some_bytes(n >= 4 ? 16 : 4 * n, p));
}

NRW_SOME_INLINE void store_some_i(int64_t n, void *p, int32x4_t v) {
    store_some_bytes(n >= 4 ? 16 : 4 * n, p, vreinterpretq_u8_s32(v));
}

NRW_SOME_INLINE float32x4_t load_some_f(int64_t n, const void *p) {
    return vreinterpretq_f32_s32(load_some_i(n, p));
}

NRW_SOME_INLINE void store_some_f(int64_t n, void *p, float32x4_t v) {
    store_some_i(n, p, vreinterpretq_s32_f32(v));
}

/* The intrinsics want lanes that are constant whether or not the compiler optimizes. */
#define NRW_LANE_OF(call, lane)                                                                    \
    ((lane) == 0 ? call(0) : (lane) == 1 ? call(1) : (lane) == 2 ? call(2) : call(3))

#endif
