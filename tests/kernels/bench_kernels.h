/* What `check_kernels --bench` prints. */
#ifndef NRW_TESTS_BENCH_KERNELS_H
#define NRW_TESTS_BENCH_KERNELS_H

#include "base/cpu.h"
#include "kernels/kernels.h"

/* A line for each kernel and shape: GMAC/s, and the share of what the tier's multiply instruction
 * does in a loop of its own; or Gelem/s. One thread; the best of many runs. */
void bench_kernels(const nrw_kernels *kn, nrw_tier tier);

#endif
