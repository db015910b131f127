/* Lines of a depthwise convolution, for blocks of one width. The includer defines
 *   W          channels of a block, bytes of a vector
 *   V, VF      vectors of integers and of floats
 *   NAME(x)    x with the width behind it
 *   load_v, load_f, store_some(p, n, v), unpack_lo8, …, to_float, bits_of, fma_f, min_f, max_f,
 *   set1_f, words_of(a, b, up), packus_16, add_16, set1_16, shuffle, set4_32,
 *   set1_8 */

NRW_DPBUSD(NAME(dot), V)

/* Four rows of a block at a pixel, woven. */
INLINE void NAME(weave)(const nrw_depthwise_i8 *d, const uint8_t *const *rows, int64_t pixel,
                        int64_t c, V *out) {
    if (pixel < 0 || pixel >= d->in_width) {
        out[0] = out[1] = out[2] = out[3] = set1_8((char)d->fill);
        return;
    }
    const int64_t at = pixel * d->channels + c;
    const V r0 = load_v(rows[0] + at), r1 = load_v(rows[1] + at);
    const V r2 = load_v(rows[2] + at), r3 = load_v(rows[3] + at);
    const V low01 = unpack_lo8(r0, r1), high01 = unpack_hi8(r0, r1);
    const V low23 = unpack_lo8(r2, r3), high23 = unpack_hi8(r2, r3);
    out[0] = unpack_lo16(low01, low23);
    out[1] = unpack_hi16(low01, low23);
    out[2] = unpack_lo16(high01, high23);
    out[3] = unpack_hi16(high01, high23);
}

/* Results of 16 bits, a's beside b's; as in rows_finish.h. */
INLINE V NAME(words)(const nrw_depthwise_i8 *d, V a, V b, const float *mul, const bool in_range) {
    const float magic = NRW_RINT_MAGIC;
    const VF m = load_f(mul), n = load_f(mul + W / 4), shift = set1_f(magic);
    VF x = to_float(a), y = to_float(b);
    if (d->rounds_twice) {
        x = add_f(mul_f(x, m), shift);
        y = add_f(mul_f(y, n), shift);
    } else {
        x = fma_f(x, m, shift);
        y = fma_f(y, n, shift);
    }
    if (!in_range) {
        x = min_f(max_f(x, set1_f(magic - 1024)), set1_f(magic + 1024));
        y = min_f(max_f(y, set1_f(magic - 1024)), set1_f(magic + 1024));
    }
    const V up = set4_32(0x0d0c0000, 0x09080000, 0x05040000, 0x01000000);
    return add_16(words_of(bits_of(x), bits_of(y), up), set1_16((short)d->zero));
}

INLINE void NAME(finish)(const nrw_depthwise_i8 *d, const V *acc, const float *mul, uint8_t *y,
                         int64_t n, const bool in_range) {
    const V low = NAME(words)(d, acc[0], acc[1], mul, in_range);
    const V high = NAME(words)(d, acc[2], acc[3], mul + W / 2, in_range);
    /* In each 128 bits: 0 4 1 5 2 6 3 7 and so on. */
    const V order = set4_32(0x0f0d0b09, 0x0e0c0a08, 0x07050301, 0x06040200);
    store_some(y, n, shuffle(packus_16(low, high), order));
}

/* One column of output for each line, from columns that are woven already: tap t of group g lies at
 * woven[(g * columns + t) * 4]. */
INLINE void NAME(column)(const nrw_depthwise_i8 *d, const V *woven, int64_t columns,
                         const int8_t *w, const int32_t *add, const float *mul, int64_t x,
                         int64_t c, const int groups, const int kw, const int lines,
                         const bool in_range) {
    V acc[2][4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) acc[0][q] = acc[1][q] = load_v(add + q * (W / 4));
#pragma GCC unroll 2
    for (int g = 0; g < groups; g++) {
#pragma GCC unroll 8
        for (int t = 0; t < kw; t++) {
            const V *v = woven + (g * columns + t) * 4;
            const int8_t *taps = w + (g * kw + t) * 4 * W;
#pragma GCC unroll 4
            for (int q = 0; q < 4; q++) {
                acc[0][q] = NAME(dot)(acc[0][q], v[q], load_v(taps + q * W));
                if (lines == 2)
                    acc[1][q] =
                        NAME(dot)(acc[1][q], v[q], load_v(taps + (groups * kw * 4 + q) * W));
            }
        }
    }
#pragma GCC unroll 2
    for (int l = 0; l < lines; l++)
        NAME(finish)(d, acc[l], mul, d->y[l] + x * d->channels + c, d->channels - c, in_range);
}

INLINE void NAME(block)(const nrw_depthwise_i8 *d, const int8_t *w, int64_t c, const int groups,
                        const int kw, const int lines, const bool in_range) {
    V woven[WOVEN * 4];
    const int apart = (int)(d->stride / d->step);
    int64_t outs = (WOVEN / groups - kw) / apart + 1; /* at a time */
    for (int64_t x = 0; x < d->width; x += outs) {
        if (outs > d->width - x) outs = d->width - x;
        const int64_t columns = (outs - 1) * apart + kw;
        for (int g = 0; g < groups; g++) {
            for (int64_t i = 0; i < columns; i++) {
                NAME(weave)(d, d->rows + g * NRW_WOVEN_ROWS, x * d->stride + i * d->step - d->pad,
                            c, woven + (g * columns + i) * 4);
            }
        }
        for (int64_t o = 0; o < outs; o++) {
            NAME(column)(d, woven + o * apart * 4, columns, w, d->add + c, d->mul + c, x + o, c,
                         groups, kw, lines, in_range);
        }
    }
}

/* Filters that are too wide for the room, or that move by part of a step: one column at a time. */
static void NAME(apart)(const nrw_depthwise_i8 *d, const int8_t *w, int64_t c) {
    for (int64_t x = 0; x < d->width; x++) {
        V acc[2][4];
        for (int q = 0; q < 4; q++) acc[0][q] = acc[1][q] = load_v(d->add + c + q * (W / 4));
        for (int g = 0; g < d->groups; g++) {
            for (int t = 0; t < d->kw; t++) {
                V v[4];
                NAME(weave)(d, d->rows + g * NRW_WOVEN_ROWS, x * d->stride + t * d->step - d->pad,
                            c, v);
                for (int l = 0; l < d->lines; l++) {
                    const int8_t *taps = w + ((l * d->groups + g) * d->kw + t) * 4 * W;
                    for (int q = 0; q < 4; q++)
                        acc[l][q] = NAME(dot)(acc[l][q], v[q], load_v(taps + q * W));
                }
            }
        }
        for (int l = 0; l < d->lines; l++)
            NAME(finish)(d, acc[l], d->mul + c, d->y[l] + x * d->channels + c, d->channels - c,
                         false);
    }
}

#define SHAPE(g, k, l)                                                                             \
    if (d->groups == g && d->kw == k && d->lines == l) {                                           \
        NAME(block)(d, w, c, g, k, l, in_range);                                                   \
        return;                                                                                    \
    }

INLINE void NAME(shapes)(const nrw_depthwise_i8 *d, const int8_t *w, int64_t c,
                         const bool in_range) {
    SHAPE(1, 3, 2)
    SHAPE(1, 3, 1)
    SHAPE(2, 5, 2)
    SHAPE(2, 5, 1)
    if (d->lines == 2)
        NAME(block)(d, w, c, d->groups, d->kw, 2, in_range);
    else
        NAME(block)(d, w, c, d->groups, d->kw, 1, in_range);
}

static void NAME(run)(const nrw_depthwise_i8 *d, const int8_t *w, int64_t c) {
    const bool shared = d->stride % d->step == 0 && d->groups * (d->kw + 1) <= WOVEN;
    if (!shared)
        NAME(apart)(d, w, c);
    else if (d->in_range)
        NAME(shapes)(d, w, c, true);
    else
        NAME(shapes)(d, w, c, false);
}

#undef SHAPE
#undef W
#undef V
#undef VF
#undef NAME
#undef load_v
#undef load_f
#undef store_some
#undef unpack_lo8
#undef unpack_hi8
#undef unpack_lo16
#undef unpack_hi16
#undef to_float
#undef bits_of
#undef fma_f
#undef add_f
#undef mul_f
#undef min_f
#undef max_f
#undef set1_f
#undef words_of
#undef packus_16
#undef add_16
#undef set1_16
#undef shuffle
#undef set4_32
#undef set1_8
