/* What the processor can do. Detected once per context (CPUID and XCR0 on x86; AMX needs a kernel
 * permission that detection asks for), and capped by name, which is what the environment variable
 * NRW_CPU does. */
#ifndef NRW_BASE_CPU_H
#define NRW_BASE_CPU_H

#include <stdbool.h>

#include "base/error.h"

/* Ordered: a higher tier includes the ones below it within its architecture. */
typedef enum nrw_tier {
    NRW_TIER_SCALAR = 0,
    NRW_TIER_AVX2,       /* AVX2, FMA, F16C */
    NRW_TIER_AVXVNNI,    /* + AVX-VNNI */
    NRW_TIER_AVX512VNNI, /* AVX-512 F, BW, DQ, VL, VNNI */
    NRW_TIER_AMX,        /* + AMX-INT8, AMX-TILE */
    NRW_TIER_NEON,
    NRW_TIER_DOTPROD,
    NRW_TIER_I8MM
} nrw_tier;

typedef struct nrw_cpu {
    nrw_tier tier;   /* after the cap */
    bool avx512vbmi; /* false below AVX512VNNI */
    bool avx512bf16;
    bool amxbf16;
    int l1d, l2, l3; /* bytes per core (l3: shared); sane defaults when unknown */
    char model[64];  /* brand string, terminated */
} nrw_cpu;

/* cap: NULL or "" for none, else a tier name, or "neon-dotprod" for dotprod; an unknown name is
 * NRW_ERR_ARGUMENT listing the names of this architecture, and so is one of another. The tier is
 * the highest one up to the cap that the processor has: processors with AVX-512 VNNI but without
 * AVX-VNNI go from avxvnni down to avx2. */
nrw_status nrw_cpu_detect(nrw_cpu *cpu, const char *cap, nrw_error *err) NRW_MUST_CHECK;
const char *nrw_tier_name(
    nrw_tier t); /* "scalar", "avx2", "avxvnni", "avx512vnni", "amx", "neon", "dotprod", "i8mm" */

/* Whether t is scalar or one of this architecture's. */
bool nrw_tier_is_here(nrw_tier t);

/* Processors that this process may use: its affinity, and its control group's quota rounded up. At
 * least 1. */
int nrw_cpu_count(void);

#endif
