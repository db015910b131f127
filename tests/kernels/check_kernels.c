/* Holds every tier of kernels to plain loops: random shapes with ragged ends, extreme values, all
 * combinations of zero points and epilogues, with memory that ends at a page that may not be
 * touched. Integer results must be equal, floats close.
 *
 * usage: check_kernels [ROUNDS | --bench]      --bench: see bench_kernels.h */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/bench_kernels.h"
#include "kernels/conv_last.h"
#include "kernels/gemm.h"
#include "kernels/rows_i8.h"

static nrw_rng rng;
static int failures, checks;

static int64_t between(int64_t lo, int64_t hi) {
    return lo + (int64_t)nrw_rng_below(&rng, (uint64_t)(hi - lo + 1));
}

/* Memory that ends right before a page without access. */
typedef struct guarded {
    char *map;
    size_t mapped;
    void *p;
} guarded;

static guarded guard(size_t bytes, size_t align) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inside = (bytes + page - 1) / page * page + page;
    guarded g = {.mapped = inside + page};
    g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map + inside, page, PROT_NONE) != 0) {
        perror("mmap");
        exit(2);
    }
    size_t start = inside - bytes;
    g.p = g.map + start / align * align;
    return g;
}

static void unguard(guarded *g) {
    munmap(g->map, g->mapped);
}

static void fill_bytes(uint8_t *p, int64_t n, int style) {
    for (int64_t i = 0; i < n; i++) {
        if (style == 0)
            p[i] = (uint8_t)nrw_rng_u64(&rng);
        else
            p[i] = (nrw_rng_u64(&rng) & 1) != 0 ? 255 : (style == 1 ? 0 : 128);
    }
}

static void fill_floats(float *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) p[i] = (float)nrw_rng_normal(&rng);
}

/* A problem: convolutions, and matrix products as convolutions of one pixel wide images. */
typedef struct problem {
    nrw_conv c;
    int64_t x_size, w_size, y_size, k, m, pixels;
} problem;

static void measure(problem *p) {
    nrw_conv *c = &p->c;
    p->m = c->out_channels / c->groups;
    p->k = c->in_channels / c->groups * nrw_conv_taps(c);
    p->pixels = nrw_conv_pixels(c);
    p->x_size = c->batch * c->in_channels * nrw_conv_in_pixels(c);
    p->w_size = c->out_channels * p->k;
    p->y_size = c->batch * c->out_channels * p->pixels;
}

static problem random_conv(void) {
    problem p = {0};
    nrw_conv *c = &p.c;
    int kind = (int)between(0, 4);
    c->batch = between(1, 2);
    c->groups = kind == 0 ? between(1, 3) : 1;
    c->in_channels = c->groups * between(1, 20);
    c->out_channels = c->groups * between(1, 40);
    if (kind == 1) {
        c->groups = c->in_channels = between(2, 9);
        c->out_channels = c->groups * between(1, 3);
    }
    for (int i = 0; i < 3; i++) {
        bool flat = i == 0 && between(0, 3) != 0;
        c->kernel[i] = flat || kind == 2 ? 1 : between(1, i == 0 ? 3 : 6);
        c->stride[i] = flat || (kind == 2 && between(0, 2) != 0) ? 1 : between(1, 3);
        c->dilation[i] = between(0, 3) == 0 ? 2 : 1;
        int64_t extent = (c->kernel[i] - 1) * c->dilation[i] + 1;
        c->pad[i] = kind == 2 ? 0 : between(0, extent - 1);
        c->in[i] = flat ? 1 : between(1, i == 2 ? 45 : 12);
        int64_t after = kind == 2 ? 0 : between(0, extent - 1);
        while (c->in[i] + c->pad[i] + after < extent) c->in[i]++;
        c->out[i] = (c->in[i] + c->pad[i] + after - extent) / c->stride[i] + 1;
    }
    measure(&p);
    return p;
}

/* Calls visit for every pair of input and weight that adds to output y. */
typedef struct walk {
    int64_t x, w; /* x < 0: padding */
} walk;

static walk source(const problem *p, int64_t b, int64_t oc, int64_t pixel, int64_t k) {
    const nrw_conv *c = &p->c;
    int64_t per = nrw_conv_taps(c), t = k % per, channel = oc / p->m * (p->k / per) + k / per;
    int64_t tap[3] = {t / (c->kernel[1] * c->kernel[2]), t / c->kernel[2] % c->kernel[1],
                      t % c->kernel[2]};
    int64_t out[3] = {pixel / (c->out[1] * c->out[2]), pixel / c->out[2] % c->out[1],
                      pixel % c->out[2]};
    int64_t at = b * c->in_channels + channel;
    for (int i = 0; i < 3; i++) {
        int64_t in = out[i] * c->stride[i] - c->pad[i] + tap[i] * c->dilation[i];
        if (in < 0 || in >= c->in[i]) return (walk){-1, oc * p->k + k};
        at = at * c->in[i] + in;
    }
    return (walk){at, oc * p->k + k};
}

static void report(const char *what, const nrw_kernels *kn, const problem *p, int64_t at) {
    const nrw_conv *c = &p->c;
    failures++;
    if (failures > 10) return;
    printf("FAILED %s %s at %lld: batch %lld groups %lld channels %lld -> %lld", kn->tier, what,
           (long long)at, (long long)c->batch, (long long)c->groups, (long long)c->in_channels,
           (long long)c->out_channels);
    for (int i = 0; i < 3; i++) {
        printf(" [%lld k%lld s%lld d%lld p%lld]", (long long)c->in[i], (long long)c->kernel[i],
               (long long)c->stride[i], (long long)c->dilation[i], (long long)c->pad[i]);
    }
    printf("\n");
}

static nrw_arena arena;

static void check_conv_f32(const nrw_kernels *kn, const problem *p) {
    guarded x = guard((size_t)p->x_size * 4, 4), w = guard((size_t)p->w_size * 4, 4),
            y = guard((size_t)p->y_size * 4, 4);
    size_t bytes = 0;
    float bias[256], lo = between(0, 1) ? 0 : -INFINITY;
    fill_floats(x.p, p->x_size);
    fill_floats(w.p, p->w_size);
    fill_floats(bias, 256);
    const float *b = between(0, 2) != 0 ? bias : NULL;
    bool fits = nrw_conv_f32_weight_bytes(kn, &p->c, &bytes);
    guarded packed = guard(fits ? bytes : 0, 4);
    nrw_conv_f32_pack(kn, &p->c, w.p, packed.p);
    nrw_conv_call call = {kn, NULL, &arena, NULL};
    nrw_status s = nrw_conv_f32(&call, &p->c, x.p, packed.p, b, lo, INFINITY, y.p);
    int64_t bad = s == NRW_OK ? -1 : 0;
    for (int64_t i = 0; i < p->y_size && bad < 0; i++) {
        int64_t oc = i / p->pixels % p->c.out_channels;
        double sum = b != NULL ? b[oc] : 0, size = fabs(sum);
        for (int64_t k = 0; k < p->k; k++) {
            walk at = source(p, i / p->pixels / p->c.out_channels, oc, i % p->pixels, k);
            if (at.x < 0) continue;
            double v = (double)((float *)x.p)[at.x] * ((float *)w.p)[at.w];
            sum += v;
            size += fabs(v);
        }
        if (sum < lo) sum = lo;
        if (!(fabs(sum - ((float *)y.p)[i]) <= 1e-6 * size + 1e-6)) bad = i;
    }
    checks++;
    if (bad >= 0) report("conv f32", kn, p, bad);
    unguard(&x), unguard(&w), unguard(&y), unguard(&packed);
    nrw_arena_free(&arena);
}

/* The integer problem's parameters. Zero points are those of the bytes as stored. */
typedef struct integers {
    nrw_i8_out out;
    bool x_signed, w_signed;
    int32_t x_zero, w_zero[256], bias[256], add[256], y_zero, lo, hi, canon[256];
    float mul[256], fbias[256];
    bool with_w_zero, with_fbias, twice;
} integers;

static void random_integers(integers *q, int64_t channels) {
    q->out = (nrw_i8_out)between(0, 3);
    q->x_signed = between(0, 1);
    q->w_signed = between(0, 1);
    q->x_zero = (int32_t)between(0, 255) - (q->x_signed ? 128 : 0);
    q->with_w_zero = !q->w_signed || between(0, 1);
    q->with_fbias = between(0, 1);
    q->twice = between(0, 2) == 0;
    int32_t low = q->out == NRW_OUT_I8 ? -128 : 0;
    q->y_zero = low + (int32_t)between(0, 255);
    q->lo = low + (between(0, 1) ? 0 : (int32_t)between(0, 100));
    q->hi = low + (between(0, 1) ? 255 : (int32_t)between(100, 255));
    for (int64_t i = 0; i < channels; i++) {
        q->w_zero[i] = q->w_signed ? 0 : 128;
        if (q->with_w_zero) q->w_zero[i] = (int32_t)between(0, 255) - (q->w_signed ? 128 : 0);
        q->bias[i] = (int32_t)between(-100000, 100000);
        q->mul[i] = (float)exp(nrw_rng_uniform(&rng) * 16 - 14);
        q->fbias[i] = (float)nrw_rng_normal(&rng);
    }
    if (between(0, 3) == 0) q->mul[0] = 1e6f; /* far out of range: must saturate */
    if (between(0, 7) == 0) q->mul[0] = INFINITY;
}

/* NaN counts as below lo. */
static int clamped(double v, int lo, int hi) {
    return !(v > lo) ? lo : v > hi ? hi : (int)v;
}

/* A byte as the epilogue gives it: of the exact product, or of the product as a float. */
static int byte_of(const integers *q, int32_t acc, int64_t c) {
    double product = (double)(float)acc * (double)q->mul[c];
    if (q->twice) product = (double)(float)product;
    return clamped(rint(product) + q->y_zero, q->lo, q->hi);
}

static bool integers_equal(const integers *q, int64_t acc, int64_t c, const void *y, int64_t i) {
    int32_t v = (int32_t)(uint32_t)acc;
    if (q->out == NRW_OUT_I32) return ((const int32_t *)y)[i] == v;
    float f = (float)v * q->mul[c];
    if (q->out == NRW_OUT_F32) {
        if (q->with_fbias) f += q->fbias[c];
        const float got = ((const float *)y)[i];
        return got == f || (isnan(got) && isnan(f));
    }
    const int r = byte_of(q, v, c);
    return q->out == NRW_OUT_I8 ? ((const int8_t *)y)[i] == r : ((const uint8_t *)y)[i] == r;
}

static int value(const void *p, int64_t i, bool is_signed) {
    return is_signed ? ((const int8_t *)p)[i] : ((const uint8_t *)p)[i];
}

/* Folds zero points into the epilogue; sums: of the weights as packed. */
static nrw_i8_epilogue make_epilogue(integers *q, int64_t channels, int64_t k,
                                     const int32_t *sums) {
    int32_t x_zero = q->x_zero + (q->x_signed ? 128 : 0);
    for (int64_t i = 0; i < channels; i++) {
        q->canon[i] = q->w_zero[i] - (q->w_signed ? 0 : 128);
        q->add[i] = (int32_t)((uint32_t)q->bias[i] - (uint32_t)x_zero * (uint32_t)sums[i] +
                              (uint32_t)k * (uint32_t)x_zero * (uint32_t)q->canon[i]);
    }
    return (nrw_i8_epilogue){.out = q->out,
                             .channel_rows = true,
                             .add = q->add,
                             .mul = q->mul,
                             .bias = q->with_fbias ? q->fbias : NULL,
                             .w_zero = q->with_w_zero ? q->canon : NULL,
                             .zero = q->y_zero,
                             .rounds_twice = q->twice,
                             .lo = q->lo,
                             .hi = q->hi};
}

static int out_size(nrw_i8_out o) {
    return o == NRW_OUT_I32 || o == NRW_OUT_F32 ? 4 : 1;
}

static void check_conv_i8(const nrw_kernels *kn, const problem *p) {
    integers q;
    int32_t sums[256];
    size_t bytes = 0;
    random_integers(&q, p->c.out_channels);
    guarded x = guard((size_t)p->x_size, 1), w = guard((size_t)p->w_size, 1),
            y = guard((size_t)(p->y_size * out_size(q.out)), (size_t)out_size(q.out));
    fill_bytes(x.p, p->x_size, (int)between(0, 2));
    fill_bytes(w.p, p->w_size, (int)between(0, 2));
    bool fits = nrw_conv_i8_weight_bytes(kn, &p->c, &bytes);
    guarded packed = guard(fits ? bytes : 0, 4);
    nrw_conv_i8_pack(kn, &p->c, w.p, q.w_signed ? 0 : 0x80, packed.p, sums);
    nrw_i8_epilogue e = make_epilogue(&q, p->c.out_channels, p->k, sums);
    nrw_conv_call call = {kn, NULL, &arena, NULL};
    nrw_status s =
        nrw_conv_i8(&call, &p->c, x.p, (uint8_t)q.x_zero, q.x_signed ? 0x80 : 0, packed.p, &e, y.p);
    int64_t bad = s == NRW_OK ? -1 : 0;
    for (int64_t i = 0; i < p->y_size && bad < 0; i++) {
        int64_t oc = i / p->pixels % p->c.out_channels, acc = q.bias[oc];
        for (int64_t k = 0; k < p->k; k++) {
            walk at = source(p, i / p->pixels / p->c.out_channels, oc, i % p->pixels, k);
            if (at.x < 0) continue;
            acc += (int64_t)(value(x.p, at.x, q.x_signed) - q.x_zero) *
                   (value(w.p, at.w, q.w_signed) - q.w_zero[oc]);
        }
        if (!integers_equal(&q, acc, oc, y.p, i)) bad = i;
    }
    checks++;
    if (bad >= 0) report("conv i8", kn, p, bad);
    unguard(&x), unguard(&w), unguard(&y), unguard(&packed);
    nrw_arena_free(&arena);
}

/* Matrix products. The problem's fields: m = batch, k = in_channels, n = out_channels. */
static problem matrix_problem(int64_t m, int64_t k, int64_t n) {
    problem p = {.c = {.batch = m, .groups = 1, .in_channels = k, .out_channels = n}};
    for (int i = 0; i < 3; i++) {
        p.c.in[i] = p.c.out[i] = p.c.kernel[i] = p.c.stride[i] = p.c.dilation[i] = 1;
    }
    measure(&p);
    return p;
}

static void check_gemm_f32(const nrw_kernels *kn, int64_t m, int64_t k, int64_t n) {
    problem p = matrix_problem(m, k, n);
    size_t a_bytes = 0, b_bytes = 0;
    bool fits = nrw_f32_a_bytes(kn, m, k, &a_bytes) && nrw_f32_b_bytes(kn, k, n, &b_bytes);
    if (!fits) return;
    guarded x = guard((size_t)(m * k) * 4, 4), w = guard((size_t)(k * n) * 4, 4),
            y = guard((size_t)(m * n) * 4, 4), a = guard(a_bytes, 4), b = guard(b_bytes, 4),
            bias = guard((size_t)n * 4, 4);
    fill_floats(x.p, m * k);
    fill_floats(w.p, k * n);
    fill_floats(bias.p, n);
    bool turned = between(0, 1), x_turned = between(0, 1);
    nrw_matrix xm = x_turned ? (nrw_matrix){x.p, 1, m} : (nrw_matrix){x.p, k, 1};
    nrw_matrix wm = turned ? (nrw_matrix){w.p, 1, k} : (nrw_matrix){w.p, n, 1};
    nrw_f32_pack_a(kn, NULL, m, k, xm, a.p);
    nrw_f32_pack_b(kn, NULL, k, n, wm, b.p);
    nrw_gemm_f32 g = {.kernels = kn,
                      .m = m,
                      .n = n,
                      .k = k,
                      .a = a.p,
                      .b = b.p,
                      .c = y.p,
                      .ldc = n,
                      .col_bias = bias.p,
                      .lo = -INFINITY,
                      .hi = INFINITY};
    nrw_f32_gemm(&g);
    int64_t bad = -1;
    for (int64_t i = 0; i < m * n && bad < 0; i++) {
        double sum = ((float *)bias.p)[i % n], size = fabs(sum);
        for (int64_t j = 0; j < k; j++) {
            double v = (double)((float *)x.p)[i / n * xm.row + j * xm.col] *
                       ((float *)w.p)[j * wm.row + i % n * wm.col];
            sum += v;
            size += fabs(v);
        }
        if (!(fabs(sum - ((float *)y.p)[i]) <= 1e-6 * size + 1e-6)) bad = i;
    }
    checks++;
    if (bad >= 0) report("gemm f32", kn, &p, bad);
    unguard(&x), unguard(&w), unguard(&y), unguard(&a), unguard(&b), unguard(&bias);
}

static void check_gemm_i8(const nrw_kernels *kn, int64_t m, int64_t k, int64_t n) {
    problem p = matrix_problem(m, k, n);
    integers q;
    int32_t w_sums[256], x_sums[256];
    size_t a_bytes = 0, b_bytes = 0;
    bool fits = nrw_i8_a_bytes(kn, m, k, &a_bytes) && nrw_i8_b_bytes(kn, k, n, &b_bytes);
    if (!fits) return;
    random_integers(&q, n);
    guarded x = guard((size_t)(m * k), 1), w = guard((size_t)(k * n), 1),
            y = guard((size_t)(m * n * out_size(q.out)), (size_t)out_size(q.out)),
            a = guard(a_bytes, 4), b = guard(b_bytes, 4);
    fill_bytes(x.p, m * k, (int)between(0, 2));
    fill_bytes(w.p, k * n, (int)between(0, 2));
    bool turned = between(0, 1), x_turned = between(0, 1);
    nrw_matrix xm = x_turned ? (nrw_matrix){x.p, 1, m} : (nrw_matrix){x.p, k, 1};
    nrw_matrix wm = turned ? (nrw_matrix){w.p, 1, k} : (nrw_matrix){w.p, n, 1};
    nrw_byte_rule xr = {q.x_signed ? 0x80 : 0, false}, wr = {q.w_signed ? 0 : 0x80, true};
    nrw_i8_pack_a(kn, NULL, m, k, xm, xr, a.p, q.with_w_zero ? x_sums : NULL);
    nrw_i8_pack_b(kn, NULL, k, n, wm, wr, b.p, w_sums);
    nrw_i8_epilogue e = make_epilogue(&q, n, k, w_sums);
    e.channel_rows = false;
    e.x_sum = x_sums;
    nrw_gemm_i8 g = {.kernels = kn,
                     .m = m,
                     .n = n,
                     .k = k,
                     .a = a.p,
                     .b = b.p,
                     .c = y.p,
                     .ldc = n,
                     .epilogue = &e};
    nrw_i8_gemm(&g);
    int64_t bad = -1;
    for (int64_t i = 0; i < m * n && bad < 0; i++) {
        int64_t c = i % n, acc = q.bias[c];
        for (int64_t j = 0; j < k; j++) {
            acc += (int64_t)(value(x.p, i / n * xm.row + j * xm.col, q.x_signed) - q.x_zero) *
                   (value(w.p, j * wm.row + c * wm.col, q.w_signed) - q.w_zero[c]);
        }
        if (!integers_equal(&q, acc, c, y.p, i)) bad = i;
    }
    checks++;
    if (bad >= 0) report("gemm i8", kn, &p, bad);
    unguard(&x), unguard(&w), unguard(&y), unguard(&a), unguard(&b);
}

/* What may come behind bytes: a sum with others, or a table. */
typedef struct behind {
    nrw_sum_u8 sum;
    uint8_t table[256];
} behind;

static void random_behind(const nrw_kernels *kn, behind *b, nrw_rows_epilogue *finish) {
    const int choice = (int)between(0, kn->rows_look_up ? 2 : 1);
    const nrw_byte_scale own = {(float)exp(nrw_rng_uniform(&rng) * 8 - 4), (int)between(0, 255)};
    const nrw_byte_scale other = {(float)exp(nrw_rng_uniform(&rng) * 8 - 4), (int)between(0, 255)};
    const nrw_byte_scale y = {1, (int)between(0, 255)};
    fill_bytes(b->table, 256, 0);
    if (finish->out != NRW_OUT_U8 || choice == 0) return;
    if (choice == 2)
        finish->table = b->table;
    else if (nrw_sum_u8_make(own, other, y, &b->sum))
        finish->residual = &b->sum;
}

/* Multipliers that take the biases next to the middle between two integers: where sums are nothing
 * but their bias, results tell products that are rounded first from those that are not. Infinity
 * times zero is NaN. */
static void near_ties(integers *q, int64_t channels) {
    for (int64_t i = 0; i < channels; i++) {
        q->bias[i] |= 1;
        q->mul[i] = (float)(((double)between(0, 200) + 0.5) / q->bias[i]);
    }
    if (between(0, 1)) q->bias[0] = 0, q->mul[0] = INFINITY;
}

/* Rows of several segments that lie anywhere, as those of a convolution do. */
static void check_rows_i8(const nrw_kernels *kn, int64_t rows, int segments, int64_t k, int64_t n) {
    integers q;
    int32_t sum[256];
    int64_t size[256];
    const nrw_weight_sums sums = {sum, size};
    size_t bytes = 0;
    if (kn->rows_i8 == NULL) return;
    do random_integers(&q, n);
    while (q.out == NRW_OUT_I8);
    q.x_signed = false;
    q.w_signed = true;
    q.with_w_zero = false;
    q.x_zero &= 255;
    q.lo = 0;
    q.hi = 255;
    memset(q.w_zero, 0, sizeof q.w_zero);
    const nrw_rows_shape shape = nrw_rows_shape_of(kn, segments, k, n);
    if (!nrw_rows_weight_bytes(&shape, &bytes)) return;
    const bool ties = between(0, 4) == 0;
    if (ties) near_ties(&q, n);
    const int64_t stride = k + between(0, 40), spread = between(0, 200);
    const int64_t last = (rows - 1) * stride + (segments - 1) * spread + k;
    /* Lines, of which the first `width` rows are stored. */
    const bool lines = between(0, 1) != 0;
    const int64_t pitch = lines ? between(1, rows) : rows, width = lines ? between(1, pitch) : rows;
    const int64_t rest = rows % pitch;
    const int64_t stored = rows / pitch * width + (rest < width ? rest : width);
    guarded x = guard((size_t)last + NRW_STEP_BYTES, 1), w = guard((size_t)(segments * k * n), 1),
            y = guard((size_t)(stored * n * out_size(q.out)), (size_t)out_size(q.out)),
            other = guard((size_t)(stored * n), 1), packed = guard(bytes, 64);
    fill_bytes(other.p, stored * n, (int)between(0, 2));
    fill_bytes(x.p, last + NRW_STEP_BYTES, (int)between(0, 2));
    fill_bytes(w.p, segments * k * n, (int)between(0, 2));
    if (ties) memset(w.p, 0, (size_t)(segments * k * n));
    const bool turned = between(0, 1);
    const nrw_rows_from from = {w.p, k * n, turned ? 1 : n, turned ? k : 1};
    nrw_rows_pack(&shape, from, packed.p, sums);
    int64_t *offset = nrw_arena_calloc(&arena, (size_t)(segments * shape.steps), sizeof *offset);
    for (int i = 0; offset != NULL && i < segments * shape.steps; i++) {
        offset[i] = i / shape.steps * spread + i % shape.steps * shape.depth;
    }
    nrw_i8_epilogue e = make_epilogue(&q, n, segments * k, sum);
    nrw_rows_epilogue finish;
    checks++;
    if (offset == NULL || !nrw_rows_epilogue_fits(&e) ||
        nrw_rows_epilogue_make(&e, sums, n, &arena, &finish, NULL) != NRW_OK) {
        failures++;
        return;
    }
    behind after;
    random_behind(kn, &after, &finish);
    const nrw_rows_call call = {.kernels = kn,
                                .residual = finish.residual != NULL ? other.p : NULL,
                                .a = x.p,
                                .a_stride = stride,
                                .offset = offset,
                                .rows = rows,
                                .shape = &shape,
                                .packed = packed.p,
                                .epilogue = &finish,
                                .c = y.p,
                                .ldc = n,
                                .pitch = lines ? pitch : 0,
                                .width = lines ? width : 0};
    nrw_rows_run(&call);
    int64_t bad = -1;
    for (int64_t i = 0; i < stored * n && bad < 0; i++) {
        const int64_t c = i % n, row = i / n / width * pitch + i / n % width;
        int64_t acc = q.bias[c];
        for (int64_t j = 0; j < segments * k; j++) {
            const int64_t g = j / k, at = row * stride + g * spread + j % k;
            acc += (int64_t)(value(x.p, at, false) - q.x_zero) *
                   value(w.p, g * from.segment + j % k * from.row + c * from.col, true);
        }
        const uint8_t *bytes_of_y = y.p, *others = other.p;
        const int byte = byte_of(&q, (int32_t)(uint32_t)acc, c);
        const bool good = finish.residual != NULL
                              ? bytes_of_y[i] == nrw_sum_u8_of(&after.sum, (uint8_t)byte, others[i])
                          : finish.table != NULL ? bytes_of_y[i] == after.table[byte]
                                                 : integers_equal(&q, acc, c, y.p, i);
        if (!good) bad = i;
    }
    const problem p = matrix_problem(rows, segments * k, n);
    if (bad >= 0) report("rows i8", kn, &p, bad);
    unguard(&x), unguard(&w), unguard(&y), unguard(&other), unguard(&packed);
    nrw_arena_free(&arena);
}

/* The sum of two bytes is the real one but for what its multipliers round off. */
static void check_sum_u8(void) {
    nrw_sum_u8 s;
    const nrw_byte_scale a = {(float)exp(nrw_rng_uniform(&rng) * 4 - 3), (int)between(0, 255)};
    const nrw_byte_scale b = {(float)exp(nrw_rng_uniform(&rng) * 4 - 3) * (between(0, 1) ? 1 : -1),
                              (int)between(0, 255)};
    const nrw_byte_scale y = {1, (int)between(0, 255)};
    bool good = nrw_sum_u8_make(a, b, y, &s);
    for (int i = 0; i < 500 && good; i++) {
        const uint8_t p = (uint8_t)between(0, 255), q = (uint8_t)between(0, 255);
        const double sum = (double)a.scale * (p - a.zero) + (double)b.scale * (q - b.zero) + y.zero;
        const double most = 0.5 + fmax((double)a.scale, fabs((double)b.scale)) / 1024;
        const double real = sum < 0 ? 0 : sum > 255 ? 255 : sum;
        good = fabs(nrw_sum_u8_of(&s, p, q) - real) <= most;
    }
    checks++;
    if (!good) failures++, printf("FAILED sum of bytes\n");
}

static void check_quantize_u8(const nrw_kernels *kn) {
    if (kn->quantize_u8 == NULL) return;
    const float scale = (float)exp(nrw_rng_uniform(&rng) * 40 - 20);
    const nrw_quantize_u8 q = {scale, (int)between(0, 255),
                               between(0, 1) ? nextafterf(1 / scale, INFINITY) : 0};
    const int64_t n = between(1, 100);
    guarded x = guard((size_t)n * 4, 4), y = guard((size_t)n, 1);
    float *v = x.p;
    fill_floats(v, n);
    for (int64_t i = 0; i < n; i++) {
        v[i] *= 60 * q.scale;
        if (between(0, 9) == 0) v[i] = ((float)between(-200, 200) + 0.5f) * q.scale; /* ties */
        if (between(0, 19) == 0) v[i] = between(0, 1) ? INFINITY : between(0, 1) ? -INFINITY : NAN;
    }
    kn->quantize_u8(&q, v, y.p, n);
    int64_t bad = -1;
    for (int64_t i = 0; i < n && bad < 0; i++) {
        const float steps = q.factor != 0 ? v[i] * q.factor : v[i] / q.scale;
        const double r = isnan(v[i]) ? 0 : rint((double)steps);
        if (((uint8_t *)y.p)[i] != clamped(r + q.zero, 0, 255)) bad = i;
    }
    checks++;
    const problem p = matrix_problem(1, 1, n);
    if (bad >= 0) report("quantize u8", kn, &p, bad);
    unguard(&x), unguard(&y);
}

static void check_scale_u8(const nrw_kernels *kn) {
    enum { MOST = 192 };
    if (kn->scale_u8 == NULL) return;
    const int64_t channels = between(1, MOST), pixels = between(1, 9);
    float by[MOST] = {0}, from[MOST] = {0};
    guarded x = guard((size_t)(channels * pixels), 1), y = guard((size_t)(channels * pixels), 1);
    fill_bytes(x.p, channels * pixels, (int)between(0, 2));
    const nrw_scale_u8 s = {
        by,           from, channels, (float)nrw_rng_uniform(&rng) * 0.4f, (int)between(0, 255),
        between(0, 1)};
    const int zero = (int)between(0, 255);
    for (int64_t c = 0; c < channels; c++) {
        const int64_t at = c / 64 * 64 + nrw_scale_place((int)(c % 64));
        by[at] = (float)between(-255, 255);
        from[at] = by[at] * (float)-zero;
    }
    kn->scale_u8(&s, x.p, y.p, pixels);
    int64_t bad = -1;
    for (int64_t i = 0; i < channels * pixels && bad < 0; i++) {
        const int64_t c = i % channels, at = c / 64 * 64 + nrw_scale_place((int)(c % 64));
        const double acc = (((uint8_t *)x.p)[i] - zero) * (double)by[at];
        double product = acc * (double)s.m;
        if (s.rounds_twice) product = (double)(float)product;
        if (((uint8_t *)y.p)[i] != clamped(rint(product) + s.zero, 0, 255)) bad = i;
    }
    checks++;
    const problem p = matrix_problem(pixels, 1, channels);
    if (bad >= 0) report("scale u8", kn, &p, bad);
    unguard(&x), unguard(&y);
}

/* Channels last, one group or a filter for each channel: bytes in, bytes out. */
static void check_conv_last(const nrw_kernels *kn) {
    problem p = random_conv();
    nrw_conv *c = &p.c;
    integers q;
    nrw_conv_last packed;
    nrw_rows_epilogue finish;
    c->groups = between(0, 1) ? c->in_channels : 1;
    if (c->groups > 1) c->in_channels = c->out_channels = c->groups = between(2, 100);
    c->in[0] = c->out[0] = c->kernel[0] = c->stride[0] = c->dilation[0] = 1;
    c->pad[0] = 0;
    measure(&p);
    if (!nrw_conv_last_fits(kn, c)) return;
    random_integers(&q, c->out_channels);
    q.out = NRW_OUT_U8;
    q.x_signed = q.with_w_zero = false;
    q.w_signed = true;
    q.x_zero &= 255;
    q.y_zero &= 255;
    q.lo = 0;
    q.hi = 255;
    memset(q.w_zero, 0, sizeof q.w_zero);
    if (between(0, 1)) /* no sum leaves int16 */
        for (int64_t i = 0; i < c->out_channels; i++) q.mul[i] = 1e-4f, q.bias[i] /= 100;
    guarded x = guard((size_t)p.x_size + NRW_STEP_BYTES, 1), y = guard((size_t)p.y_size, 1);
    int8_t *w = nrw_arena_alloc(&arena, (size_t)p.w_size);
    fill_bytes(x.p, p.x_size + NRW_STEP_BYTES, (int)between(0, 2));
    fill_bytes((uint8_t *)w, p.w_size, (int)between(0, 2));
    const nrw_conv_call call = {kn, NULL, &arena, NULL};
    nrw_status s = nrw_conv_last_pack(kn, c, w, &arena, &packed, NULL);
    if (s == NRW_OK) {
        const nrw_i8_epilogue e = make_epilogue(&q, c->out_channels, p.k, packed.sums.sum);
        s = nrw_conv_last_epilogue(&packed, &e, c->out_channels, &arena, &finish, NULL);
    }
    if (s == NRW_OK)
        s = nrw_conv_last_run(&call, c, &packed, &finish, x.p, (uint8_t)q.x_zero, NULL, y.p);
    int64_t bad = s == NRW_OK ? -1 : 0;
    const int64_t pixels = nrw_conv_in_pixels(c);
    for (int64_t i = 0; i < p.y_size && bad < 0; i++) {
        const int64_t oc = i % c->out_channels, pixel = i / c->out_channels;
        int64_t acc = q.bias[oc];
        for (int64_t k = 0; k < p.k; k++) {
            const walk at = source(&p, pixel / p.pixels, oc, pixel % p.pixels, k);
            if (at.x < 0) continue;
            const int64_t plane = at.x / pixels, image = plane / c->in_channels;
            const int64_t from =
                (image * pixels + at.x % pixels) * c->in_channels + plane % c->in_channels;
            acc += (int64_t)(value(x.p, from, false) - q.x_zero) * w[at.w];
        }
        if (!integers_equal(&q, acc, oc, y.p, i)) bad = i;
    }
    checks++;
    if (bad >= 0) report(packed.depthwise ? "depthwise last" : "conv last", kn, &p, bad);
    unguard(&x), unguard(&y);
    nrw_arena_free(&arena);
}

/* Functions of one byte or float: by table, and by segments against the plain loop. */
static void check_functions(const nrw_kernels *kn) {
    const int64_t n = between(1, 150);
    guarded x = guard((size_t)n * 4, 4), y = guard((size_t)n, 1), table = guard(256, 1);
    int64_t bad = -1;
    fill_bytes(table.p, 256, 0);
    if (kn->table_u8 != NULL) {
        uint8_t from[150], *bytes = y.p;
        fill_bytes(y.p, n, 0);
        memcpy(from, y.p, (size_t)n);
        kn->table_u8(table.p, y.p, y.p, n);
        for (int64_t i = 0; i < n && bad < 0; i++)
            if (bytes[i] != ((uint8_t *)table.p)[from[i]]) bad = i;
    }
    checks++;
    const problem p = matrix_problem(1, 1, n);
    if (bad >= 0) report("table u8", kn, &p, bad);
    nrw_segments s;
    uint8_t want[150];
    float *v = x.p;
    nrw_segments_fit(&s, tanh, -4, 4, between(0, 1), 0.02f, (int)between(0, 255));
    fill_floats(v, n);
    for (int64_t i = 0; i < n; i++) {
        v[i] *= 3;
        if (between(0, 19) == 0) v[i] = between(0, 1) ? INFINITY : between(0, 1) ? -INFINITY : NAN;
    }
    nrw_segments_u8(&s, v, want, n);
    kn->segments_u8(&s, v, y.p, n);
    checks++;
    if (memcmp(want, y.p, (size_t)n) != 0) report("segments u8", kn, &p, 0);
    unguard(&x), unguard(&y), unguard(&table);
}

/* Float results of two numbers of threads must be the same bits. */
static void check_threads(const nrw_kernels *kn) {
    nrw_pool *pool = NULL;
    if (nrw_pool_create(nrw_system_allocator(), 2, &pool, NULL) != NRW_OK) exit(2);
    for (int i = 0; i < 20; i++) {
        problem p = random_conv();
        float *x = malloc((size_t)p.x_size * 4), *w = malloc((size_t)p.w_size * 4),
              *y[2] = {malloc((size_t)p.y_size * 4), malloc((size_t)p.y_size * 4)};
        float *packed = malloc((size_t)p.w_size * 4);
        fill_floats(x, p.x_size);
        fill_floats(w, p.w_size);
        nrw_conv_f32_pack(kn, &p.c, w, packed);
        nrw_status s = NRW_OK;
        for (int t = 0; t < 2; t++) {
            nrw_conv_call call = {kn, t == 0 ? NULL : pool, &arena, NULL};
            if (s == NRW_OK) {
                s = nrw_conv_f32(&call, &p.c, x, packed, NULL, -INFINITY, INFINITY, y[t]);
            }
            nrw_arena_free(&arena);
        }
        checks++;
        if (s != NRW_OK || memcmp(y[0], y[1], (size_t)p.y_size * 4) != 0) {
            report("threads", kn, &p, 0);
        }
        free(x), free(w), free(y[0]), free(y[1]), free(packed);
    }
    nrw_pool_destroy(pool);
}

static void check(const nrw_kernels *kn, uint64_t seed, int rounds) {
    nrw_rng_seed(&rng, seed);
    for (int i = 0; i < rounds; i++) {
        problem p = random_conv();
        check_conv_f32(kn, &p);
        check_conv_i8(kn, &p);
        int64_t m = between(1, 40), k = between(1, 70), n = between(1, 130);
        check_gemm_f32(kn, m, i % 8 == 0 ? k * 9 : k, n);
        check_gemm_i8(kn, m, i % 8 == 0 ? k * 9 : k, n);
        check_rows_i8(kn, i % 4 == 0 ? m * 3 : m, (int)between(1, 9), i % 8 == 0 ? k * 9 : k, n);
        check_sum_u8();
        check_quantize_u8(kn);
        check_scale_u8(kn);
        check_conv_last(kn);
        check_functions(kn);
        if (i % 50 == 0)
            check_rows_i8(kn, between(20, 70), 9, 490, 150); /* many weights, few rows */
    }
    check_gemm_i8(kn, 3, 40000, 5); /* unsigned sums leave int32 on the way, results do not */
    check_threads(kn);
}

int main(int argc, char **argv) {
    nrw_cpu cpu;
    if (nrw_cpu_detect(&cpu, NULL, NULL) != NRW_OK) return 2;
    bool benching = argc > 1 && strcmp(argv[1], "--bench") == 0;
    const int rounds = argc > 1 && !benching ? atoi(argv[1]) : 120;
    const nrw_tier have = cpu.tier;
    nrw_arena_init(&arena, nrw_system_allocator());
    nrw_rng_seed(&rng, 1);
    const nrw_kernels *last = NULL;
    for (nrw_tier t = NRW_TIER_SCALAR; t <= have; t++) {
        cpu.tier = t;
        const nrw_kernels *kn = nrw_kernels_get(&cpu);
        if (!nrw_tier_is_here(t) || kn == last) continue; /* one without kernels of its own */
        last = kn;
        if (benching) {
            bench_kernels(kn, t);
            continue;
        }
        const int before = checks;
        check(kn, 1, rounds);
        printf("%s: %d checks\n", kn->tier, checks - before);
    }
    nrw_arena_free(&arena);
    if (!benching) printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}
