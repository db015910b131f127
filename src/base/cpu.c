#include "base/cpu.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
/* Older headers do not have them all. */
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1UL << 20)
#endif
#ifndef HWCAP2_I8MM
#define HWCAP2_I8MM (1UL << 13)
#endif
#endif
#if defined(__linux__)
#include <sched.h>
#endif

static const char *const tier_names[] = {"scalar", "avx2", "avxvnni", "avx512vnni",
                                         "amx",    "neon", "dotprod", "i8mm"};
enum { TIERS = sizeof tier_names / sizeof *tier_names };

const char *nrw_tier_name(nrw_tier t) {
    return tier_names[t];
}

/* Which tiers the processor has, and the rest of nrw_cpu. */
typedef struct features {
    bool tier[TIERS];
    nrw_cpu cpu;
} features;

#if defined(__x86_64__)
static bool bit(unsigned reg, int i) {
    return reg >> i & 1;
}

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Linux hands out the tile registers on demand, for the whole process (arch_prctl(2),
 * ARCH_REQ_XCOMP_PERM, state component 18). */
static bool may_use_tiles(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0;
#else
    return false;
#endif
}

/* The deterministic cache leaf: 4 at Intel, 0x8000001D at AMD, in the same layout. Empty at the
 * other. */
static void find_caches(nrw_cpu *cpu, unsigned leaf) {
    unsigned a, b, c, d;
    for (unsigned i = 0; i < 16; i++) {
        if (!__get_cpuid_count(leaf, i, &a, &b, &c, &d)) return;
        unsigned type = a & 31, level = a >> 5 & 7;
        if (type == 0) return;
        uint64_t bytes = (uint64_t)((b >> 22) + 1) * ((b >> 12 & 0x3ff) + 1) * ((b & 0xfff) + 1) *
                         ((uint64_t)c + 1);
        if (type == 2 || bytes > INT32_MAX) continue; /* instructions */
        if (level == 1) cpu->l1d = (int)bytes;
        if (level == 2) cpu->l2 = (int)bytes;
        if (level == 3) cpu->l3 = (int)bytes;
    }
}

static void find_model(nrw_cpu *cpu) {
    unsigned regs[12];
    for (unsigned i = 0; i < 3; i++) {
        if (!__get_cpuid(0x80000002 + i, &regs[4 * i], &regs[4 * i + 1], &regs[4 * i + 2],
                         &regs[4 * i + 3])) {
            return;
        }
    }
    char text[sizeof regs + 1] = {0};
    memcpy(text, regs, sizeof regs);
    snprintf(cpu->model, sizeof cpu->model, "%s", text + strspn(text, " "));
    for (size_t n = strlen(cpu->model); n && cpu->model[n - 1] == ' ';) cpu->model[--n] = 0;
}

/* Tiles are asked for only if cap admits them. */
static void find_features(features *f, nrw_tier cap) {
    unsigned a, b, c, d, b7 = 0, c7 = 0, d7 = 0, a71 = 0;
    if (!__get_cpuid(0, &a, &b, &c, &d)) return;
    find_caches(&f->cpu, 4);
    find_caches(&f->cpu, 0x8000001d);
    find_model(&f->cpu);
    unsigned c1 = 0;
    if (!__get_cpuid(1, &a, &b, &c1, &d) || !bit(c1, 27)) return; /* OSXSAVE */
    if (__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) && a >= 1) {
        __get_cpuid_count(7, 1, &a71, &b, &c, &d);
    }
    uint64_t state = enabled_state();
    bool ymm = (state & 0x6) == 0x6, zmm = (state & 0xe6) == 0xe6,
         tiles = state >> 17 & 1 && state >> 18 & 1;
    f->tier[NRW_TIER_AVX2] = ymm && bit(c1, 12) && bit(c1, 28) && bit(c1, 29) && bit(b7, 5);
    f->tier[NRW_TIER_AVXVNNI] = f->tier[NRW_TIER_AVX2] && bit(a71, 4);
    f->tier[NRW_TIER_AVX512VNNI] = f->tier[NRW_TIER_AVX2] && zmm && bit(b7, 16) && bit(b7, 17) &&
                                   bit(b7, 30) && bit(b7, 31) && bit(c7, 11);
    f->tier[NRW_TIER_AMX] = cap == NRW_TIER_AMX && f->tier[NRW_TIER_AVX512VNNI] && tiles &&
                            bit(c7, 1) && bit(d7, 22) && bit(d7, 24) && bit(d7, 25) &&
                            bit(a71, 5) && may_use_tiles();
    f->cpu.avx512vbmi = bit(c7, 1);
    f->cpu.avx512bf16 = bit(a71, 5);
    f->cpu.amxbf16 = bit(d7, 22);
}

static const nrw_tier lowest_tier = NRW_TIER_SCALAR, highest_tier = NRW_TIER_AMX;
#else
static void set_if_known(int *to, long bytes) {
    if (bytes > 0 && bytes <= INT32_MAX) *to = (int)bytes;
}

static void find_features(features *f, nrw_tier cap) {
#if defined(__linux__) && defined(_SC_LEVEL1_DCACHE_SIZE)
    set_if_known(&f->cpu.l1d, sysconf(_SC_LEVEL1_DCACHE_SIZE));
    set_if_known(&f->cpu.l2, sysconf(_SC_LEVEL2_CACHE_SIZE));
    set_if_known(&f->cpu.l3, sysconf(_SC_LEVEL3_CACHE_SIZE));
#else
    (void)set_if_known;
#endif
#if defined(__aarch64__)
    f->tier[NRW_TIER_NEON] = true; /* part of the base architecture */
#if defined(__linux__)
    f->tier[NRW_TIER_DOTPROD] = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
    f->tier[NRW_TIER_I8MM] = f->tier[NRW_TIER_DOTPROD] && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
#endif
#endif
}
#if defined(__aarch64__)
static const nrw_tier lowest_tier = NRW_TIER_NEON, highest_tier = NRW_TIER_I8MM;
#else
static const nrw_tier lowest_tier = NRW_TIER_SCALAR, highest_tier = NRW_TIER_SCALAR;
#endif
#endif

bool nrw_tier_is_here(nrw_tier t) {
    return t == NRW_TIER_SCALAR || (t >= lowest_tier && t <= highest_tier);
}

static nrw_status refuse_cap(const char *cap, const char *why, nrw_error *err) {
    char names[128] = "";
    for (int t = 0; t < TIERS; t++) {
        size_t n = strlen(names);
        if (!nrw_tier_is_here((nrw_tier)t)) continue;
        snprintf(names + n, sizeof names - n, "%s%s", t ? ", " : "", tier_names[t]);
    }
    NRW_FAIL(err, NRW_ERR_ARGUMENT, "cpu: '%s' is %s; expected one of %s", cap, why, names);
}

static nrw_status parse_cap(const char *cap, nrw_tier *out, nrw_error *err) {
    *out = highest_tier;
    if (!cap || !*cap) return NRW_OK;
    const char *name = strcmp(cap, "neon-dotprod") == 0 ? "dotprod" : cap;
    for (int t = 0; t < TIERS; t++) {
        if (strcmp(name, tier_names[t]) != 0) continue;
        if (!nrw_tier_is_here((nrw_tier)t)) return refuse_cap(cap, "of another architecture", err);
        *out = (nrw_tier)t;
        return NRW_OK;
    }
    return refuse_cap(cap, "no instruction set", err);
}

nrw_status nrw_cpu_detect(nrw_cpu *cpu, const char *cap, nrw_error *err) {
    nrw_tier top;
    *cpu = (nrw_cpu){0};
    NRW_TRY(parse_cap(cap, &top, err));
    features f = {.cpu = {.l1d = 32 * 1024, .l2 = 512 * 1024, .l3 = 8 * 1024 * 1024}};
    snprintf(f.cpu.model, sizeof f.cpu.model, "unknown");
    find_features(&f, top);
    *cpu = f.cpu;
    cpu->tier = NRW_TIER_SCALAR;
    for (int t = (int)lowest_tier; t <= (int)top; t++) {
        if (f.tier[t]) cpu->tier = (nrw_tier)t;
    }
    bool wide = cpu->tier == NRW_TIER_AVX512VNNI || cpu->tier == NRW_TIER_AMX;
    cpu->avx512vbmi &= wide;
    cpu->avx512bf16 &= wide;
    cpu->amxbf16 &= cpu->tier == NRW_TIER_AMX;
    return NRW_OK;
}

#if defined(__linux__)
/* Processors' worth of time that the control group may use; 0: unlimited. */
static int group_quota(void) {
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f) return 0;
    long long quota, period;
    int fields = fscanf(f, "%lld %lld", &quota, &period); /* "max 100000" when unlimited */
    fclose(f);
    if (fields != 2 || quota <= 0 || period <= 0) return 0;
    long long processors = (quota + period - 1) / period;
    return processors < INT32_MAX ? (int)processors : 0;
}
#endif

int nrw_cpu_count(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
    int quota = group_quota();
    if (quota && quota < count) count = quota;
#endif
    return count > 0 && count <= INT32_MAX ? (int)count : 1;
}
