#include "kernels/bench_kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/conv_last.h"
#include "kernels/gemm.h"
#include "kernels/x86/tiles.h"

typedef struct bench {
    const nrw_kernels *kn;
    double peak; /* GMAC/s of 8-bit products; 0: not known */
    nrw_arena arena, scratch;
} bench;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of the fastest call in a tenth of a second. */
static double best_of(void (*call)(void *arg), void *arg) {
    double best = 1e9;
    const double start = now();
    for (int i = 0; i < 3 || now() - start < 0.1; i++) {
        double t = now();
        call(arg);
        t = now() - t;
        if (t < best) best = t;
    }
    return best;
}

/* Peaks: independent products out of registers. */

enum { PEAK_ROUNDS = 20000 };

#if defined(__x86_64__)
#define EIGHT(x, from)                                                                             \
    x(from##0) x(from##1) x(from##2) x(from##3) x(from##4) x(from##5) x(from##6) x(from##7)
#define MADD(n) "vpmaddwd %%ymm14, %%ymm15, %%ymm13\nvpaddd %%ymm13, %%ymm" #n ", %%ymm" #n "\n"
#define DOT(n)  "vpdpbusd %%zmm30, %%zmm31, %%zmm" #n "\n"

/* Bytes widened to 16 bits: 16 products. */
static void peak_avx2(void *arg) {
    for (int i = 0; i < PEAK_ROUNDS; i++)
        __asm__ volatile(EIGHT(MADD, )::
                             : "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7",
                               "ymm13");
}

static void peak_vnni(void *arg) {
    for (int i = 0; i < PEAK_ROUNDS; i++)
        __asm__ volatile(EIGHT(DOT, ) EIGHT(DOT, 1)::
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                               "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static void peak_amx(void *arg) {
    _Alignas(64) tile_config t = {.palette = 1};
    for (int i = 0; i < 8; i++) t.rows[i] = 16, t.row_bytes[i] = 64;
    __asm__ volatile("ldtilecfg %0" ::"m"(t));
    for (int i = 0; i < PEAK_ROUNDS; i++)
        __asm__ volatile("tdpbusd %tmm7, %tmm6, %tmm0\ntdpbusd %tmm7, %tmm6, %tmm1\n"
                         "tdpbusd %tmm7, %tmm6, %tmm2\ntdpbusd %tmm7, %tmm6, %tmm3\n");
    __asm__ volatile("tilerelease");
}

static double peak_of(nrw_tier tier) {
    if (tier == NRW_TIER_AVX2) return 1e-9 * PEAK_ROUNDS * 8 * 16 / best_of(peak_avx2, NULL);
    if (tier == NRW_TIER_AVX512VNNI) return 1e-9 * PEAK_ROUNDS * 16 * 64 / best_of(peak_vnni, NULL);
    if (tier == NRW_TIER_AMX) return 1e-9 * PEAK_ROUNDS * 4 * 16384 / best_of(peak_amx, NULL);
    return 0;
}
#elif defined(__AARCH64EL__)
#define EIGHT(x, from)                                                                             \
    x(from##0) x(from##1) x(from##2) x(from##3) x(from##4) x(from##5) x(from##6) x(from##7)
#define WIDEN(n) "smull v2" #n ".8h, v30.8b, v31.8b\nsadalp v" #n ".4s, v2" #n ".8h\n"
#define DOT(n)   "sdot v" #n ".4s, v30.16b, v31.16b\n"
#define PAIRS(n) "usmmla v" #n ".4s, v30.16b, v31.16b\n"
#define SUMS                                                                                       \
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v10", "v11", "v12", "v13", "v14", "v15",      \
        "v16", "v17"

/* Eight products widened to 16 bits, and added to four sums. */
static void peak_neon(void *arg) {
    for (int i = 0; i < PEAK_ROUNDS; i++)
        __asm__ volatile(EIGHT(WIDEN, )::
                             : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v20", "v21", "v22",
                               "v23", "v24", "v25", "v26", "v27");
}

static void peak_dotprod(void *arg) {
    for (int i = 0; i < PEAK_ROUNDS; i++)
        __asm__ volatile(".arch armv8.2-a+dotprod\n" EIGHT(DOT, ) EIGHT(DOT, 1)::: SUMS);
}

static void peak_i8mm(void *arg) {
    for (int i = 0; i < PEAK_ROUNDS; i++)
        __asm__ volatile(".arch armv8.2-a+i8mm\n" EIGHT(PAIRS, ) EIGHT(PAIRS, 1)::: SUMS);
}

static double peak_of(nrw_tier tier) {
    if (tier == NRW_TIER_NEON) return 1e-9 * PEAK_ROUNDS * 8 * 8 / best_of(peak_neon, NULL);
    if (tier == NRW_TIER_DOTPROD) return 1e-9 * PEAK_ROUNDS * 16 * 16 / best_of(peak_dotprod, NULL);
    if (tier == NRW_TIER_I8MM) return 1e-9 * PEAK_ROUNDS * 16 * 32 / best_of(peak_i8mm, NULL);
    return 0;
}
#else
static double peak_of(nrw_tier tier) {
    return 0;
}
#endif

static void print_macs(const bench *b, const char *kernel, const char *shape, double macs,
                       double seconds) {
    const double rate = 1e-9 * macs / seconds;
    printf("%-11s %-10s %-22s %8.1f GMAC/s", b->kn->tier, kernel, shape, rate);
    if (b->peak > 0) printf("%5.0f %% of the peak", 100 * rate / b->peak);
    printf("\n");
}

static void *some(size_t bytes) {
    uint8_t *p = aligned_alloc(64, (bytes + 191) / 64 * 64);
    if (p == NULL) exit(2);
    for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)(i * 2654435761u >> 13);
    return p;
}

static float *floats(int64_t n, float value) {
    float *p = some((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = value;
    return p;
}

static nrw_conv square(int64_t in, int64_t out, int64_t groups, int64_t side, int64_t kernel,
                       int64_t stride) {
    nrw_conv c = {.batch = 1, .groups = groups, .in_channels = in, .out_channels = out};
    for (int i = 0; i < 3; i++) {
        c.kernel[i] = i == 0 ? 1 : kernel;
        c.stride[i] = i == 0 ? 1 : stride;
        c.in[i] = i == 0 ? 1 : side;
        c.pad[i] = (c.kernel[i] - 1) / 2;
        c.out[i] = (c.in[i] + 2 * c.pad[i] - c.kernel[i]) / c.stride[i] + 1;
        c.dilation[i] = 1;
    }
    return c;
}

static double conv_macs(const nrw_conv *c) {
    return (double)c->out_channels * (double)(nrw_conv_pixels(c) * nrw_conv_taps(c)) *
           (double)(c->in_channels / c->groups);
}

/* Convolutions with channels last; products of matrices are those of 1 x 1. */
typedef struct last {
    bench *b;
    nrw_conv c;
    nrw_conv_last packed;
    nrw_rows_epilogue finish;
    uint8_t *x, *y;
} last;

static void run_last(void *arg) {
    last *l = arg;
    const nrw_conv_call call = {l->b->kn, NULL, &l->b->scratch, NULL};
    if (nrw_conv_last_run(&call, &l->c, &l->packed, &l->finish, l->x, 0, NULL, l->y) != NRW_OK)
        exit(2);
    nrw_arena_reset(&l->b->scratch);
}

static void bench_last(bench *b, const char *shape, nrw_conv c) {
    last l = {.b = b, .c = c};
    if (!nrw_conv_last_fits(b->kn, &c)) return;
    const int64_t in = c.in_channels * nrw_conv_in_pixels(&c);
    l.x = some((size_t)in + NRW_STEP_BYTES);
    l.y = some((size_t)(c.out_channels * nrw_conv_pixels(&c)));
    int8_t *w = some((size_t)(c.out_channels * c.in_channels / c.groups * nrw_conv_taps(&c)));
    float *mul = floats(c.out_channels, 1e-4f);
    if (nrw_conv_last_pack(b->kn, &c, w, &b->arena, &l.packed, NULL) != NRW_OK) exit(2);
    const nrw_i8_epilogue e = {
        .out = NRW_OUT_U8, .add = l.packed.sums.sum, .mul = mul, .zero = 3, .hi = 255};
    if (nrw_conv_last_epilogue(&l.packed, &e, c.out_channels, &b->arena, &l.finish, NULL) != NRW_OK)
        exit(2);
    const double seconds = best_of(run_last, &l);
    print_macs(b, l.packed.depthwise ? "depthwise" : "rows", shape, conv_macs(&c), seconds);
    free(l.x), free(l.y), free(w), free(mul);
    nrw_arena_free(&b->arena);
}

static void bench_matrix(bench *b, int64_t rows, int64_t k, int64_t n) {
    char shape[40];
    nrw_conv c = square(k, n, 1, 1, 1, 1);
    c.in[1] = c.out[1] = rows;
    snprintf(shape, sizeof shape, "%d x %d x %d", (int)rows, (int)k, (int)n);
    bench_last(b, shape, c);
}

/* Convolutions of planes, as graphs that are not annotated have them. */
typedef struct first {
    bench *b;
    nrw_conv c;
    float *x, *packed, *y;
} first;

static void run_first(void *arg) {
    const first *f = arg;
    const nrw_conv_call call = {f->b->kn, NULL, &f->b->scratch, NULL};
    if (nrw_conv_f32(&call, &f->c, f->x, f->packed, NULL, -INFINITY, INFINITY, f->y) != NRW_OK)
        exit(2);
    nrw_arena_reset(&f->b->scratch);
}

static void bench_f32(bench *b, const char *shape, nrw_conv c) {
    first f = {.b = b, .c = c};
    size_t bytes = 0;
    if (!nrw_conv_f32_weight_bytes(b->kn, &c, &bytes)) return;
    f.x = floats(c.in_channels * nrw_conv_in_pixels(&c) + NRW_ROW_SLACK, 0.5f);
    f.y = floats(c.out_channels * nrw_conv_pixels(&c), 0);
    float *w = floats(c.out_channels * c.in_channels / c.groups * nrw_conv_taps(&c), 0.25f);
    f.packed = some(bytes);
    nrw_conv_f32_pack(b->kn, &c, w, f.packed);
    printf("%-11s %-10s %-22s %8.1f GMAC/s\n", b->kn->tier, "f32", shape,
           1e-9 * conv_macs(&c) / best_of(run_first, &f));
    free(f.x), free(f.y), free(w), free(f.packed);
}

typedef struct look_up {
    const nrw_kernels *kn;
    uint8_t *table, *x, *y;
    int64_t n;
} look_up;

static void run_table(void *arg) {
    const look_up *l = arg;
    l->kn->table_u8(l->table, l->x, l->y, l->n);
}

static void bench_table(bench *b) {
    enum { N = 16384 };
    look_up l = {b->kn, some(256), some(N), some(N), N};
    if (b->kn->table_u8 != NULL)
        printf("%-11s %-10s %-22s %8.1f Gelem/s\n", b->kn->tier, "table", "16384",
               1e-9 * N / best_of(run_table, &l));
    free(l.table), free(l.x), free(l.y);
}

void bench_kernels(const nrw_kernels *kn, nrw_tier tier) {
    bench b = {.kn = kn, .peak = peak_of(tier)};
    nrw_arena_init(&b.arena, nrw_system_allocator());
    nrw_arena_init(&b.scratch, nrw_system_allocator());
    if (b.peak > 0) printf("%-11s peak %.1f GMAC/s\n", kn->tier, b.peak);
    bench_matrix(&b, 1024, 1024, 1024);
    bench_matrix(&b, 128, 768, 3072);
    bench_matrix(&b, 128, 3072, 768);
    bench_matrix(&b, 1, 1280, 1000);
    bench_last(&b, "3x3 64->64 56", square(64, 64, 1, 56, 3, 1));
    bench_last(&b, "3x3 128->128 56", square(128, 128, 1, 56, 3, 1));
    bench_last(&b, "3x3 128->128 28", square(128, 128, 1, 28, 3, 1));
    bench_last(&b, "3x3 256->256 14", square(256, 256, 1, 14, 3, 1));
    bench_last(&b, "3x3 512->512 7", square(512, 512, 1, 7, 3, 1));
    bench_last(&b, "7x7/2 3->64 224", square(3, 64, 1, 224, 7, 2));
    bench_last(&b, "1x1 16->96 112", square(16, 96, 1, 112, 1, 1));
    bench_last(&b, "1x1 24->144 56", square(24, 144, 1, 56, 1, 1));
    bench_last(&b, "1x1 96->24 56", square(96, 24, 1, 56, 1, 1));
    bench_last(&b, "1x1 384->64 14", square(384, 64, 1, 14, 1, 1));
    bench_last(&b, "1x1 960->160 7", square(960, 160, 1, 7, 1, 1));
    bench_last(&b, "3x3 192 56", square(192, 192, 192, 56, 3, 1));
    bench_last(&b, "3x3/2 144 56", square(144, 144, 144, 56, 3, 2));
    bench_last(&b, "3x3 576 14", square(576, 576, 576, 14, 3, 1));
    bench_last(&b, "5x5 672 14", square(672, 672, 672, 14, 5, 1));
    bench_last(&b, "3x3 960 7", square(960, 960, 960, 7, 3, 1));
    bench_table(&b);
    bench_f32(&b, "3x3 128->128 28", square(128, 128, 1, 28, 3, 1));
    bench_f32(&b, "1x1 384->64 14", square(384, 64, 1, 14, 1, 1));
    bench_f32(&b, "dw 3x3 144 56", square(144, 144, 144, 56, 3, 1));
    nrw_arena_free(&b.scratch);
}
