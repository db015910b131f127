#include "kernels/rows_i8.h"

#include <math.h>
#include <string.h>

#include "base/wide.h"

enum { PANEL = NRW_ROWS_PANEL, HALF = PANEL / 2, BLOCK_ROWS = 32, PART_BYTES = 256 << 10 };

nrw_rows_shape nrw_rows_shape_of(const nrw_kernels *kn, int segments, int64_t k, int64_t n) {
    const int group = kn->rows_eights ? 8 : 4;
    const int64_t steps = k > 0 ? nrw_ceil_div(k, NRW_STEP_BYTES) : 1;
    const int64_t depth = nrw_ceil_div(nrw_ceil_div(k > 0 ? k : 1, steps), group) * group;
    return (nrw_rows_shape){k, n, segments, (int)steps, (int)depth, group};
}

/* Where column c of a panel lies among its 32. */
static int dealt(int c) {
    return c % 2 * HALF + c / 2;
}

static int64_t panel_bytes(const nrw_rows_shape *s) {
    return (int64_t)s->segments * s->steps * s->depth * PANEL;
}

bool nrw_rows_weight_bytes(const nrw_rows_shape *s, size_t *bytes) {
    return nrw_mul_size((size_t)panel_bytes(s), (size_t)nrw_ceil_div(s->n, PANEL), bytes);
}

/* Where weights of four values of k go: `half` bytes from one half of the step to the other. */
typedef struct fours {
    int64_t half;
    int group;
    int places[PANEL]; /* of each column */
} fours;

/* Four values of k, from w on, of `cols` columns of a panel. */
static void pack_four(const fours *f, const int8_t *w, int64_t row, int64_t col, int values,
                      int cols, int8_t *dst, int32_t *sums) {
    for (int c = 0; c < cols; c++) {
        int8_t *to = dst + f->places[c];
        for (int k = 0; k < values; k++) {
            const int8_t v = w[k * row + c * col];
            to[k] = v;
            sums[c] += v;
        }
    }
}

/* The same of a whole panel whose columns lie side by side. */
NRW_WIDE static void pack_four_rows(const fours *f, const int8_t *restrict w, int64_t row,
                                    int8_t *restrict dst, int32_t *restrict sums) {
    int32_t woven[PANEL], apart[2][HALF];
    const int8_t *a = w, *b = w + row, *c = w + 2 * row, *d = w + 3 * row;
    for (int i = 0; i < PANEL; i++) {
        woven[i] = (int32_t)((uint32_t)(uint8_t)a[i] | (uint32_t)(uint8_t)b[i] << 8 |
                             (uint32_t)(uint8_t)c[i] << 16 | (uint32_t)(uint8_t)d[i] << 24);
        sums[i] += a[i] + b[i] + c[i] + d[i];
    }
    for (int i = 0; i < HALF; i++) {
        apart[0][i] = woven[2 * i];
        apart[1][i] = woven[2 * i + 1];
    }
    if (f->group == 4) {
        memcpy(dst, apart[0], sizeof apart[0]);
        memcpy(dst + f->half, apart[1], sizeof apart[1]);
        return;
    }
    for (int i = 0; i < HALF; i++) {
        memcpy(dst + i * f->group, &apart[0][i], 4);
        memcpy(dst + f->half + i * f->group, &apart[1][i], 4);
    }
}

/* Whole fours of k of `cols` columns whose values lie side by side. */
static void pack_column_fours(const fours *f, const int8_t *w, int64_t col, int cols, int8_t *dst) {
    for (int c = 0; c < cols; c++) memcpy(dst + f->places[c], w + c * col, 4);
}

NRW_WIDE static int32_t sum_of(const int8_t *w, int64_t n) {
    int32_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += w[i];
    return sum;
}

/* One segment of the panel from w on. */
static void pack_segment(const nrw_rows_shape *s, const fours *f, const int8_t *w, int64_t row,
                         int64_t col, int cols, int8_t *dst, int32_t *sums) {
    const bool columns = row == 1 && s->k >= 4;
    for (int c = 0; columns && c < cols; c++) sums[c] += sum_of(w + c * col, s->k / 4 * 4);
    for (int64_t i = 0; i < s->k; i += 4) {
        /* Steps are whole fours, so that four values never part. */
        const int64_t in_step = i % s->depth, in_group = in_step % s->group;
        int8_t *step = dst + (i / s->depth) * 2 * f->half + (in_step - in_group) * HALF + in_group;
        const int values = s->k - i < 4 ? (int)(s->k - i) : 4;
        if (values == 4 && columns)
            pack_column_fours(f, w + i, col, cols, step);
        else if (values == 4 && col == 1 && cols == PANEL)
            pack_four_rows(f, w + i * row, row, step, sums);
        else
            pack_four(f, w + i * row, row, col, values, cols, step, sums);
    }
}

nrw_status nrw_weight_sums_make(int64_t n, nrw_arena *arena, nrw_weight_sums *out, nrw_error *err) {
    out->sum = nrw_arena_calloc(arena, (size_t)n + 1, sizeof *out->sum);
    out->size = nrw_arena_calloc(arena, (size_t)n + 1, sizeof *out->size);
    if (out->sum == NULL || out->size == NULL) NRW_OOM(err);
    return NRW_OK;
}

/* Adds the magnitudes of one half of a step. */
NRW_WIDE static void add_sizes(const int8_t *restrict half, int depth, int group,
                               int64_t *restrict sizes) {
    int32_t byte[8 * HALF] = {0};
    const int width = group * HALF;
    for (int at = 0; at < depth * HALF; at += width) {
        for (int i = 0; i < width; i++) byte[i] += half[at + i] < 0 ? -half[at + i] : half[at + i];
    }
    for (int i = 0; i < width; i++) sizes[i / group] += byte[i];
}

void nrw_rows_pack(const nrw_rows_shape *s, nrw_rows_from from, int8_t *dst, nrw_weight_sums sums) {
    fours f = {.half = (int64_t)HALF * s->depth, .group = s->group};
    for (int c = 0; c < PANEL; c++)
        f.places[c] = dealt(c) / HALF * (int)f.half + dealt(c) % HALF * f.group;
    memset(dst, 0, (size_t)(nrw_ceil_div(s->n, PANEL) * panel_bytes(s)));
    memset(sums.sum, 0, (size_t)s->n * sizeof *sums.sum);
    for (int64_t c = 0; c < s->n; c += PANEL) {
        const int cols = s->n - c < PANEL ? (int)(s->n - c) : PANEL;
        int64_t sizes[2][HALF] = {{0}};
        for (int g = 0; g < s->segments; g++) {
            const int8_t *w = from.w + g * from.segment + c * from.col;
            pack_segment(s, &f, w, from.row, from.col, cols, dst, sums.sum + c);
            for (int i = 0; i < 2 * s->steps; i++, dst += f.half)
                add_sizes(dst, s->depth, s->group, sizes[i % 2]);
        }
        for (int i = 0; i < cols; i++) sums.size[c + i] = sizes[dealt(i) / HALF][dealt(i) % HALF];
    }
}

bool nrw_rows_epilogue_fits(const nrw_i8_epilogue *e) {
    const bool whole = e->out != NRW_OUT_U8 || (e->lo == 0 && e->hi == 255);
    return e->w_zero == NULL && e->out != NRW_OUT_I8 && whole;
}

bool nrw_stays_in_words(const nrw_i8_epilogue *e, nrw_weight_sums sums, int64_t n) {
    if (e->mul == NULL) return false;
    for (int64_t c = 0; c < n; c++) {
        const int64_t most = e->add[c] + 255 * ((sums.size[c] + sums.sum[c]) / 2);
        const int64_t least = e->add[c] - 255 * ((sums.size[c] - sums.sum[c]) / 2);
        const int64_t size = most > -least ? most : -least;
        if (size > INT32_MAX || !((double)size * fabs((double)e->mul[c]) < INT16_MAX - 256))
            return false;
    }
    return true;
}

nrw_status nrw_rows_epilogue_make(const nrw_i8_epilogue *e, nrw_weight_sums sums, int64_t n,
                                  nrw_arena *arena, nrw_rows_epilogue *out, nrw_error *err) {
    const size_t filled = (size_t)(nrw_ceil_div(n, PANEL) * PANEL);
    int32_t *add = nrw_arena_calloc(arena, filled, sizeof *add);
    int32_t *sum = nrw_arena_calloc(arena, filled, sizeof *sum);
    float *mul = nrw_arena_calloc(arena, filled, sizeof *mul);
    float *bias = nrw_arena_calloc(arena, filled, sizeof *bias);
    if (add == NULL || sum == NULL || mul == NULL || bias == NULL) NRW_OOM(err);
    for (int64_t c = 0; c < n; c++) {
        const int64_t at = c / PANEL * PANEL + dealt((int)(c % PANEL));
        add[at] = e->add[c];
        sum[at] = sums.sum[c];
        mul[at] = e->mul != NULL ? e->mul[c] : 0;
        bias[at] = e->bias != NULL ? e->bias[c] : 0;
    }
    *out = (nrw_rows_epilogue){
        .out = e->out, .add = add, .sum = sum, .mul = mul, .bias = bias, .zero = e->zero};
    out->adds_bias = e->bias != NULL;
    out->in_range = e->out == NRW_OUT_U8 && nrw_stays_in_words(e, sums, n);
    out->rounds_twice = e->rounds_twice;
    out->segments = e->segments;
    if (e->segments != NULL) out->out = NRW_OUT_U8;
    return NRW_OK;
}

typedef struct running {
    const nrw_rows_call *call;
    nrw_rows_i8 block;
    int64_t row_part, row_parts, panel_part, panels;
} running;

static void run_part(void *arg, int64_t i, int worker) {
    const running *r = arg;
    const nrw_rows_call *call = r->call;
    const int64_t row = i % r->row_parts * r->row_part, panel = i / r->row_parts * r->panel_part;
    const int64_t size = call->epilogue->out == NRW_OUT_U8 ? 1 : 4;
    nrw_rows_i8 b = r->block;
    b.rows = call->rows - row < r->row_part ? call->rows - row : r->row_part;
    b.panels = r->panels - panel < r->panel_part ? r->panels - panel : r->panel_part;
    b.cols = call->shape->n - panel * PANEL;
    if (b.cols > b.panels * PANEL) b.cols = b.panels * PANEL;
    b.a = call->a + row * call->a_stride;
    b.b = call->packed + panel * b.panel_bytes;
    b.first = row % b.pitch;
    const int64_t in_line = b.first < b.width ? b.first : b.width;
    const int64_t stored = row / b.pitch * b.width + in_line; /* before row */
    const int64_t at = stored * call->ldc + panel * PANEL;
    b.c = (char *)call->c + at * size;
    if (call->residual != NULL) b.residual = call->residual + at;
    b.epilogue.add += panel * PANEL;
    b.epilogue.sum += panel * PANEL;
    b.epilogue.mul += panel * PANEL;
    b.epilogue.bias += panel * PANEL;
    call->kernels->rows_i8(&b);
}

/* Rows are shared out among threads where there are many, else panels of columns. The borders fall
 * between blocks; every element is the same whichever part it falls to. */
void nrw_rows_run(const nrw_rows_call *call) {
    if (call->rows == 0 || call->shape->n == 0) return;
    const int threads = nrw_pool_threads(call->pool);
    running r = {.call = call, .row_parts = 1, .panels = nrw_ceil_div(call->shape->n, PANEL)};
    r.block = (nrw_rows_i8){.a_stride = call->a_stride,
                            .offset = call->offset,
                            .steps = call->shape->segments * call->shape->steps,
                            .depth = call->shape->depth,
                            .panel_bytes = panel_bytes(call->shape),
                            .ldc = call->ldc,
                            .pitch = call->pitch > 0 ? call->pitch : call->rows,
                            .width = call->pitch > 0 ? call->width : call->rows,
                            .epilogue = *call->epilogue};
    const int64_t blocks = nrw_ceil_div(call->rows, BLOCK_ROWS);
    int64_t col_parts = 1;
    /* Weights that are much larger than what they are multiplied with are read once, in parts. */
    const bool heavy =
        r.panels >= 2 * threads &&
        r.panels * r.block.panel_bytes > 2 * call->rows * ((int64_t)r.block.steps * r.block.depth);
    if (threads > 1 && blocks >= 2 * threads && !heavy)
        r.row_parts = threads * (blocks >= 8 * threads ? 2 : 1);
    else if (threads > 1)
        col_parts = r.panels < threads ? r.panels : threads;
    r.row_part = nrw_ceil_div(blocks, r.row_parts) * BLOCK_ROWS;
    r.row_parts = nrw_ceil_div(call->rows, r.row_part);
    r.panel_part = nrw_ceil_div(r.panels, col_parts);
    nrw_pool_run(call->pool, r.row_parts * nrw_ceil_div(r.panels, r.panel_part), run_part, &r);
}
