/* A small seeded generator (xoshiro256**, Blackman and Vigna 2018), for everything random: same
 * seed, same numbers, on every machine. */
#ifndef NRW_BASE_RNG_H
#define NRW_BASE_RNG_H

#include <stdint.h>

typedef struct nrw_rng {
    uint64_t s[4];
} nrw_rng;
void nrw_rng_seed(nrw_rng *r, uint64_t seed);
uint64_t nrw_rng_u64(nrw_rng *r);
uint64_t nrw_rng_below(nrw_rng *r, uint64_t n); /* unbiased, in [0, n); n > 0 */
double nrw_rng_uniform(nrw_rng *r);             /* [0, 1), 53 bits */
double nrw_rng_normal(nrw_rng *r);              /* mean 0, deviation 1 */

#endif
