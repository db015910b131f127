/* From a processor to its table. */
#include "kernels/kernels.h"

const nrw_kernels *nrw_kernels_get(const nrw_cpu *cpu) {
    switch (cpu->tier) {
#if defined(__x86_64__)
    case NRW_TIER_AMX:
        return &nrw_kernels_amx;
    case NRW_TIER_AVX512VNNI:
        return cpu->avx512vbmi ? &nrw_kernels_avx512vbmi : &nrw_kernels_avx512vnni;
    case NRW_TIER_AVXVNNI:
    case NRW_TIER_AVX2:
        return &nrw_kernels_avx2;
#endif
#if defined(__AARCH64EL__)
    case NRW_TIER_I8MM:
        return &nrw_kernels_i8mm;
    case NRW_TIER_DOTPROD:
        return &nrw_kernels_dotprod;
    case NRW_TIER_NEON:
        return &nrw_kernels_neon;
#endif
    default:
        return &nrw_kernels_scalar;
    }
}
