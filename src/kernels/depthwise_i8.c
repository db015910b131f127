#include "kernels/depthwise_i8.h"

/* Where channel c of a block lies among its channels as dealt. */
static int dealt(int c, int block) {
    return c % 16 / 4 * (block / 4) + c / 16 * 4 + c % 4;
}

static size_t filled_up(int64_t channels) {
    return (size_t)((channels + 63) / 64 * 64);
}

nrw_status nrw_depthwise_pack(const nrw_conv *c, const int8_t *w, nrw_arena *arena, int8_t **out,
                              nrw_weight_sums sums, nrw_error *err) {
    const int64_t kh = c->kernel[1], kw = c->kernel[2], channels = c->out_channels;
    const int lines = nrw_depthwise_lines(c), groups = nrw_depthwise_groups(c);
    size_t bytes;
    if (!nrw_mul_size((size_t)(lines * groups * NRW_WOVEN_ROWS), (size_t)kw, &bytes) ||
        !nrw_mul_size(bytes, filled_up(channels), &bytes))
        NRW_OOM(err);
    int8_t *to = nrw_arena_calloc(arena, bytes + 64, 1);
    if (to == NULL) NRW_OOM(err);
    *out = to;
    for (int64_t at = 0; at < channels;) {
        const int block = nrw_depthwise_block(channels - at), tap = block * NRW_WOVEN_ROWS;
        const int here = channels - at < block ? (int)(channels - at) : block;
        for (int i = 0; i < here; i++) {
            const int8_t *from = w + (at + i) * kh * kw;
            int8_t *place = to + dealt(i, block) * NRW_WOVEN_ROWS;
            sums.sum[at + i] = 0;
            sums.size[at + i] = 0;
            for (int64_t y = 0; y < kh; y++) {
                for (int64_t x = 0; x < kw; x++) {
                    const int8_t v = from[y * kw + x];
                    for (int l = 0; l < lines; l++) {
                        const int64_t row = y + l, group = l * groups + row / NRW_WOVEN_ROWS;
                        place[(group * kw + x) * tap + row % NRW_WOVEN_ROWS] = v;
                    }
                    sums.sum[at + i] += v;
                    sums.size[at + i] += v < 0 ? -v : v;
                }
            }
        }
        to += (int64_t)lines * groups * kw * tap;
        at += block;
    }
    return NRW_OK;
}

nrw_status nrw_depthwise_epilogue(const nrw_i8_epilogue *e, nrw_weight_sums sums, int64_t channels,
                                  nrw_arena *arena, nrw_rows_epilogue *out, nrw_error *err) {
    int32_t *add = nrw_arena_calloc(arena, filled_up(channels), sizeof *add);
    int32_t *sum = nrw_arena_calloc(arena, filled_up(channels), sizeof *sum);
    float *mul = nrw_arena_calloc(arena, filled_up(channels), sizeof *mul);
    if (add == NULL || sum == NULL || mul == NULL) NRW_OOM(err);
    for (int64_t at = 0; at < channels;) {
        const int block = nrw_depthwise_block(channels - at);
        for (int i = 0; i < block && at + i < channels; i++) {
            add[at + dealt(i, block)] = e->add[at + i];
            sum[at + dealt(i, block)] = sums.sum[at + i];
            mul[at + dealt(i, block)] = e->mul[at + i];
        }
        at += block;
    }
    *out = (nrw_rows_epilogue){.out = e->out,
                               .add = add,
                               .sum = sum,
                               .mul = mul,
                               .zero = e->zero,
                               .rounds_twice = e->rounds_twice,
                               .in_range = nrw_stays_in_words(e, sums, channels)};
    return NRW_OK;
}
