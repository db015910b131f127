/* Sums, differences and products of unsigned bytes, in one loop. */
#include <math.h>
#include <string.h>

#include "base/wide.h"
#include "kernels/kernels.h"
#include "ops/quant_table.h"

/* How products become bytes: clamp(zero + rint(acc * m)), of the exact product, where
 * acc = (a - a_zero) (b - b_zero). */
typedef struct product {
    int32_t a_zero, b_zero, zero;
    float m, low, high; /* the bounds are the magic number and a byte's, less zero */
    bool twice;         /* a float before it is whole */
} product;

/* acc is a whole number that a float holds. Adding the magic number leaves the rounded product in
 * the low bits; clamping there is the same, for the bounds are whole. */
static inline uint8_t product_byte(float acc, const product *p) {
    uint32_t bits;
    float v = p->twice ? acc * p->m + NRW_RINT_MAGIC : __builtin_fmaf(acc, p->m, NRW_RINT_MAGIC);
    v = v > p->low ? v : p->low;
    v = v < p->high ? v : p->high;
    memcpy(&bits, &v, sizeof bits);
    return (uint8_t)(bits + (uint32_t)p->zero);
}

#define PAIR_ROW(name, type, expression)                                                           \
    static inline __attribute__((always_inline)) void name##_steps(                                \
        const type *q, uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n,                  \
        const int64_t sa, const int64_t sb) {                                                      \
        const type k = *q, *const p = &k; /* bytes may alias anything that is not local */         \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const uint8_t u = a[i * sa], v = b[i * sb];                                            \
            y[i] = expression;                                                                     \
        }                                                                                          \
    }                                                                                              \
    NRW_WIDE static void name(const void *arg, void *out, const void *const *in,                   \
                              const int64_t *step, int64_t n) {                                    \
        if (step[0] == 1 && step[1] == 1)                                                          \
            name##_steps(arg, out, in[0], in[1], n, 1, 1);                                         \
        else if (step[0] == 1)                                                                     \
            name##_steps(arg, out, in[0], in[1], n, 1, 0);                                         \
        else                                                                                       \
            name##_steps(arg, out, in[0], in[1], n, step[0], step[1]);                             \
    }
PAIR_ROW(sum, nrw_sum_u8, nrw_sum_u8_of(p, u, v))
PAIR_ROW(mul, product, product_byte((float)((u - p->a_zero) * (v - p->b_zero)), p))

/* Which input is a vector along the last axis of the output, the other one being as large as it;
 * -1: neither. */
static int channel_input(const nrw_eval *e) {
    const int64_t count = nrw_tensor_count(&e->out[0]), rank = e->out[0].rank;
    const int64_t last = rank > 0 ? e->out[0].dims[rank - 1] : 0;
    for (int i = 0; i < 2; i++) {
        const nrw_tensor *v = e->in[i];
        const bool vector =
            v->rank > 0 && v->dims[v->rank - 1] == last && nrw_tensor_count(v) == last && last > 1;
        if (vector && nrw_tensor_count(e->in[1 - i]) == count && count > last) return i;
    }
    return -1;
}

/* Products with one number for each channel, by the tier's kernel. */
typedef struct pixels {
    const nrw_kernels *kernels;
    nrw_scale_u8 scale;
    const uint8_t *x;
    uint8_t *y;
} pixels;

static void scale_pixels(void *arg, int64_t begin, int64_t end) {
    const pixels *p = arg;
    const int64_t at = begin * p->scale.channels;
    p->kernels->scale_u8(&p->scale, p->x + at, p->y + at, end - begin);
}

/* in[v] is the vector. */
static nrw_status scale_channels(nrw_eval *e, const product *p, int v) {
    enum { BLOCK = 64 };
    const nrw_tensor *vector = e->in[v], *x = e->in[1 - v];
    const int64_t n = nrw_tensor_count(vector), filled = (n + BLOCK - 1) / BLOCK * BLOCK;
    float *by = nrw_arena_calloc(e->scratch, (size_t)(2 * filled), sizeof *by);
    if (by == NULL) NRW_OOM(e->err);
    float *from = by + filled;
    const int32_t zero = v == 1 ? p->b_zero : p->a_zero, x_zero = v == 1 ? p->a_zero : p->b_zero;
    for (int64_t c = 0; c < n; c++) {
        const int64_t at = c / BLOCK * BLOCK + nrw_scale_place((int)(c % BLOCK));
        by[at] = (float)(((const uint8_t *)vector->data)[c] - zero);
        from[at] = by[at] * (float)-x_zero;
    }
    pixels job = {e->kernels, {by, from, n, p->m, p->zero, p->twice}, x->data, e->out[0].data};
    nrw_each_range(e->pool, nrw_tensor_count(x) / n, nrw_grain(n / 2), scale_pixels, &job);
    return NRW_OK;
}

/* With one scale for all, in 16 bits. */
NRW_WIDE static void add_alike(const void *arg, void *out, const void *const *in,
                               const int64_t *step, int64_t n) {
    const int16_t away = *(const int16_t *)arg;
    const uint8_t *a = in[0], *b = in[1];
    uint8_t *y = out;
    if (step[0] == 1 && step[1] == 1) {
        for (int64_t i = 0; i < n; i++) {
            const int16_t v = (int16_t)(a[i] + b[i] - away);
            y[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const int16_t v = (int16_t)(a[i * step[0]] + b[i * step[1]] - away);
        y[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

static bool is_u8(const nrw_quant *q, nrw_dtype t) {
    return q != NULL && t == NRW_U8 && q->dtype == NRW_U8;
}

static nrw_byte_scale byte_scale(const nrw_quant *q) {
    return (nrw_byte_scale){q->scale[0], q->zero_point[0]};
}

bool nrw_quant_sum(const nrw_quant *a, const nrw_quant *b, const nrw_quant *y, nrw_sum_u8 *out) {
    return nrw_sum_u8_make(byte_scale(a), byte_scale(b), byte_scale(y), out);
}

static bool sum_of(const nrw_eval *e, nrw_pair_kind kind, nrw_sum_u8 *out) {
    nrw_byte_scale b = byte_scale(e->in[1]->quant);
    if (kind == NRW_PAIR_SUB) b.scale = -b.scale;
    return nrw_sum_u8_make(byte_scale(e->in[0]->quant), b, byte_scale(e->out[0].quant), out);
}

static float multiplier(const nrw_eval *e) {
    /* From left to right in floats, as XNNPACK does. */
    if (nrw_rounds_as_litert(e->out[0].quant))
        return e->in[0]->quant->scale[0] * e->in[1]->quant->scale[0] / e->out[0].quant->scale[0];
    return (float)((double)e->in[0]->quant->scale[0] * (double)e->in[1]->quant->scale[0] /
                   (double)e->out[0].quant->scale[0]);
}

bool nrw_pair_u8_suits(const nrw_eval *e, nrw_pair_kind kind) {
    const nrw_quant *q = e->out[0].quant;
    nrw_sum_u8 sum;
    for (int i = 0; i < 2; i++) {
        if (!is_u8(e->in[i]->quant, e->in[i]->dtype)) return false;
    }
    if (!is_u8(q, e->out[0].dtype)) return false;
    return kind == NRW_PAIR_MUL ? isfinite(multiplier(e)) : sum_of(e, kind, &sum);
}

nrw_status nrw_pair_u8(nrw_eval *e, nrw_pair_kind kind) {
    const nrw_quant *a = e->in[0]->quant, *b = e->in[1]->quant, *y = e->out[0].quant;
    const int32_t zero = y->zero_point[0];
    if (kind == NRW_PAIR_MUL) {
        const product p = {.a_zero = a->zero_point[0],
                           .b_zero = b->zero_point[0],
                           .zero = zero,
                           .m = multiplier(e),
                           .low = NRW_RINT_MAGIC - (float)zero,
                           .high = NRW_RINT_MAGIC + (float)(255 - zero),
                           .twice = nrw_rounds_as_litert(y)};
        const bool suits = e->kernels->scale_u8 != NULL && fabsf(p.m) * (255 * 255) < 32000;
        const int vector = suits ? channel_input(e) : -1;
        return vector >= 0 ? scale_channels(e, &p, vector)
                           : nrw_each_row(e, &e->out[0], 2, e->in, mul, &p);
    }
    const int16_t away = (int16_t)(a->zero_point[0] + b->zero_point[0] - zero);
    if (kind == NRW_PAIR_ADD && a->scale[0] == y->scale[0] && b->scale[0] == y->scale[0])
        return nrw_each_row(e, &e->out[0], 2, e->in, add_alike, &away);
    nrw_sum_u8 s = {0};
    (void)sum_of(e, kind, &s); /* it suits */
    return nrw_each_row(e, &e->out[0], 2, e->in, sum, &s);
}
