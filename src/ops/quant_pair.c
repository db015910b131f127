/* Sums, differences and products of unsigned bytes, in one loop. Products are the same bits as
 * quant_table.h's nrw_integer_pair, which goes through float buffers and divides. */
#include <math.h>
#include <string.h>

#include "base/wide.h"
#include "ops/quant_table.h"

typedef struct pair {
    float a_scale, b_scale, scale, inverse;
    int32_t a_zero, b_zero, zero;
    float low, high; /* of the result, in steps from its zero point */
} pair;

/* y / s, correctly rounded, by the rounded reciprocal r of s: the remainder is exact, and adding it
 * rounds as the division would (Markstein, "Computation of elementary functions on the IBM RISC
 * System/6000", 1990; for divisors whose significand is not all ones). */
static inline float quotient(float y, float s, float r) {
    const float q = y * r;
    return __builtin_fmaf(__builtin_fmaf(-q, s, y), r, q);
}

/* Clamping before rounding is the same, for the bounds are whole. */
static inline uint8_t quantize(float y, const pair *p) {
    float v = quotient(y, p->scale, p->inverse);
    v = v > p->low ? v : p->low;
    v = v < p->high ? v : p->high;
    return (uint8_t)((int32_t)((v + NRW_RINT_MAGIC) - NRW_RINT_MAGIC) + p->zero);
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
PAIR_ROW(mul, pair,
         quantize(p->a_scale *(float)((int32_t)u - p->a_zero) *
                      (p->b_scale * (float)((int32_t)v - p->b_zero)),
                  p))

/* Products with one number for each channel, which comes last: as mul, with the numbers real
 * already.
 */
typedef struct channels {
    pair p;
    const uint8_t *x;
    uint8_t *y;
    const float *by; /* [span], repeated */
    int64_t span;
} channels;

NRW_WIDE static void scale_span(const pair *q, uint8_t *restrict y, const uint8_t *restrict x,
                                const float *restrict by, int64_t n) {
    const pair k = *q, *const p = &k;
    for (int64_t i = 0; i < n; i++)
        y[i] = quantize(p->a_scale * (float)((int32_t)x[i] - p->a_zero) * by[i], p);
}

static void scale_spans(void *arg, int64_t begin, int64_t end) {
    const channels *c = arg;
    for (int64_t at = begin; at < end; at += c->span)
        scale_span(&c->p, c->y + at, c->x + at, c->by, end - at < c->span ? end - at : c->span);
}

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

/* in[v] is the vector. */
static nrw_status scale_channels(nrw_eval *e, const pair *p, int v) {
    enum { SPAN = 1024, WORK = 16 };
    const nrw_tensor *vector = e->in[v], *x = e->in[1 - v];
    const int64_t n = nrw_tensor_count(vector), times = n < SPAN ? SPAN / n : 1;
    float *by = nrw_arena_alloc(e->scratch, (size_t)(n * times) * sizeof *by);
    if (by == NULL) NRW_OOM(e->err);
    const float scale = v == 1 ? p->b_scale : p->a_scale;
    const int32_t zero = v == 1 ? p->b_zero : p->a_zero;
    for (int64_t i = 0; i < n * times; i++)
        by[i] = scale * (float)((int32_t)((const uint8_t *)vector->data)[i % n] - zero);
    channels c = {*p, x->data, e->out[0].data, by, n * times};
    if (v == 0) { /* products of floats commute */
        c.p.a_scale = p->b_scale;
        c.p.a_zero = p->b_zero;
    }
    nrw_each_range(e->pool, nrw_tensor_count(x), c.span * WORK, scale_spans, &c);
    return NRW_OK;
}

/* With one scale for all, in 16 bits. */
NRW_WIDE static void add_alike(const void *arg, void *out, const void *const *in,
                               const int64_t *step, int64_t n) {
    const pair *p = arg;
    const int16_t away = (int16_t)(p->a_zero + p->b_zero - p->zero);
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

/* Whether a quotient by this scale may be computed from its reciprocal. */
static bool quotient_suits(float scale) {
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    return (bits & 0x7fffff) != 0x7fffff && isnormal(1 / scale);
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

bool nrw_pair_u8_suits(const nrw_eval *e, nrw_pair_kind kind) {
    const nrw_quant *q = e->out[0].quant;
    nrw_sum_u8 sum;
    for (int i = 0; i < 2; i++) {
        if (!is_u8(e->in[i]->quant, e->in[i]->dtype)) return false;
    }
    if (!is_u8(q, e->out[0].dtype)) return false;
    return kind == NRW_PAIR_MUL ? quotient_suits(q->scale[0]) : sum_of(e, kind, &sum);
}

nrw_status nrw_pair_u8(nrw_eval *e, nrw_pair_kind kind) {
    const nrw_quant *a = e->in[0]->quant, *b = e->in[1]->quant, *y = e->out[0].quant;
    const int32_t zero = y->zero_point[0];
    const pair p = {.a_scale = a->scale[0],
                    .b_scale = b->scale[0],
                    .scale = y->scale[0],
                    .inverse = 1 / y->scale[0],
                    .a_zero = a->zero_point[0],
                    .b_zero = b->zero_point[0],
                    .zero = zero,
                    .low = (float)-zero,
                    .high = (float)(255 - zero)};
    if (kind == NRW_PAIR_MUL) {
        const int vector = channel_input(e);
        return vector >= 0 ? scale_channels(e, &p, vector)
                           : nrw_each_row(e, &e->out[0], 2, e->in, mul, &p);
    }
    if (kind == NRW_PAIR_ADD && p.a_scale == p.scale && p.b_scale == p.scale)
        return nrw_each_row(e, &e->out[0], 2, e->in, add_alike, &p);
    nrw_sum_u8 s = {0};
    (void)sum_of(e, kind, &s); /* it suits */
    return nrw_each_row(e, &e->out[0], 2, e->in, sum, &s);
}
