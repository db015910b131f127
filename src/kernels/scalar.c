/* The reference that every other tier is held to. Plain loops; the compiler may vectorise them. */
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

enum { ROWS = 4, COLS = 16, GROUP = 4 };

static float clamp_float(float v, float lo, float hi) {
    v = v < lo ? lo : v;
    return v > hi ? hi : v;
}

static void f32_tile(const nrw_f32_tile *t) {
    float acc[ROWS][COLS];
    for (int i = 0; i < t->rows; i++) {
        for (int j = 0; j < COLS; j++) {
            if (t->resume) {
                acc[i][j] = j < t->cols ? t->c[i * t->ldc + j] : 0;
            } else {
                acc[i][j] = (t->row_bias != NULL ? t->row_bias[i] : 0) +
                            (t->col_bias != NULL && j < t->cols ? t->col_bias[j] : 0);
            }
        }
    }
    const float *a = t->a, *b = t->b;
    for (int64_t k = 0; k < t->k; k++, a += t->rows, b += COLS) {
        for (int i = 0; i < t->rows; i++) {
            for (int j = 0; j < COLS; j++) acc[i][j] += a[i] * b[j];
        }
    }
    for (int i = 0; i < t->rows; i++) {
        for (int j = 0; j < t->cols; j++)
            t->c[i * t->ldc + j] = clamp_float(acc[i][j], t->lo, t->hi);
    }
}

static void f32_taps(const nrw_f32_taps *t) {
    for (int64_t r = 0; r < t->rows; r++) {
        for (int64_t j = 0; j < t->cols; j++) {
            float acc = t->bias;
            for (int k = 0; k < t->taps; k++) acc += t->w[k] * t->x[k][r * t->x_stride + j];
            t->y[r * t->y_stride + j] = clamp_float(acc, t->lo, t->hi);
        }
    }
}

/* Writes element `at` of out. channel and other are the indices on the weights' axis and on the
 * other one. */
static void finish(const nrw_i8_epilogue *e, uint32_t acc, int64_t channel, int64_t other,
                   void *out, int64_t at) {
    acc += (uint32_t)e->add[channel];
    if (e->w_zero != NULL) acc -= (uint32_t)e->w_zero[channel] * (uint32_t)e->x_sum[other];
    int32_t v = (int32_t)acc;
    switch (e->out) {
    case NRW_OUT_I32:
        ((int32_t *)out)[at] = v;
        break;
    case NRW_OUT_F32: {
        float f = (float)v * e->mul[channel];
        ((float *)out)[at] = e->bias != NULL ? f + e->bias[channel] : f;
        break;
    }
    default: {
        /* Clamping before rounding is the same, since the bounds are integers, and keeps the
         * conversion in range. */
        double f = (double)(float)v * (double)e->mul[channel]; /* exact */
        if (e->rounds_twice) f = (double)(float)f;
        f = f > e->lo - e->zero ? f : e->lo - e->zero;
        f = f < e->hi - e->zero ? f : e->hi - e->zero;
        ((uint8_t *)out)[at] = (uint8_t)(e->zero + (int32_t)rint(f));
    }
    }
}

static void i8_tile(const nrw_i8_tile *t) {
    int32_t acc[ROWS][COLS] = {{0}};
    const uint8_t *a = t->a, *b = t->b;
    for (int64_t g = 0; g < t->groups; g++, a += t->rows * GROUP, b += COLS * GROUP) {
        for (int i = 0; i < t->rows; i++) {
            for (int j = 0; j < COLS; j++) {
                uint32_t sum = (uint32_t)acc[i][j];
                for (int k = 0; k < GROUP; k++) {
                    uint8_t x = a[i * GROUP + k], y = b[j * GROUP + k];
                    sum += (uint32_t)(t->a_signed ? (int8_t)x * y : x * (int8_t)y);
                }
                acc[i][j] = (int32_t)sum;
            }
        }
    }
    bool by_rows = t->epilogue->channel_rows;
    for (int i = 0; i < t->rows; i++) {
        for (int j = 0; j < t->cols; j++) {
            int64_t r = t->row0 + i, c = t->col0 + j;
            finish(t->epilogue, (uint32_t)acc[i][j], by_rows ? r : c, by_rows ? c : r, t->c,
                   i * t->ldc + j);
        }
    }
}

static void i8_taps(const nrw_i8_taps *t) {
    const int8_t *w = t->w;
    for (int64_t r = 0; r < t->rows; r++) {
        for (int64_t j = 0; j < t->cols; j++) {
            uint32_t acc = 0;
            for (int k = 0; k < t->taps; k++) {
                const uint8_t *x = (const uint8_t *)t->x[k] + r * t->x_stride + j * GROUP;
                for (int g = 0; g < GROUP; g++) acc += (uint32_t)(x[g] * w[k * GROUP + g]);
            }
            int64_t at = r * t->y_stride + j;
            finish(t->epilogue, acc, t->channel, t->sum0 + at, t->y, at);
        }
    }
}

static void i8_interleave(void *dst, const uint8_t *const *rows, int64_t n, uint8_t flip,
                          bool is_signed) {
    uint8_t *d = dst;
    for (int64_t j = 0; j < n; j++) {
        for (int g = 0; g < GROUP; g++) d[j * GROUP + g] = rows[g][j] ^ flip;
    }
}

const nrw_kernels nrw_kernels_scalar = {
    .tier = "scalar",
    .f32_rows = ROWS,
    .f32_cols = COLS,
    .f32_tile = f32_tile,
    .f32_taps = f32_taps,
    .i8_rows = ROWS,
    .i8_cols = COLS,
    .i8_group = GROUP,
    .i8_bytes = 1,
    .i8_tile = i8_tile,
    .i8_taps = i8_taps,
    .i8_interleave = i8_interleave,
    .segments_u8 = nrw_segments_u8,
};
