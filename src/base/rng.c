#include "base/rng.h"

#include <math.h>

static uint64_t rotl(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

/* SplitMix64 spreads the seed over the state, as the authors of xoshiro advise. */
void nrw_rng_seed(nrw_rng *r, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r->s[i] = z ^ z >> 31;
    }
}

uint64_t nrw_rng_u64(nrw_rng *r) {
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t nrw_rng_below(nrw_rng *r, uint64_t n) {
    /* Numbers below 2^64 mod n are drawn again, so that every remainder is equally frequent. */
    uint64_t skip = (0 - n) % n, x;
    do x = nrw_rng_u64(r);
    while (x < skip);
    return x % n;
}

double nrw_rng_uniform(nrw_rng *r) {
    return (double)(nrw_rng_u64(r) >> 11) * 0x1p-53;
}

/* ln x for 0 < x < 1 in plain arithmetic: the C libraries' log differ in the last bit. With x = m
 * 2^e, m near 1 and t = (m - 1) / (m + 1), ln m = 2 (t + t^3 / 3 + t^5 / 5 + …). */
static double portable_log(double x) {
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752) {
        m *= 2;
        e--;
    }
    double t = (m - 1) / (m + 1), t2 = t * t, sum = 0;
    for (int k = 23; k > 0; k -= 2) sum = sum * t2 + 1.0 / k;
    return 2 * t * sum + e * 0.69314718055994531;
}

/* The polar method (Marsaglia and Bray 1964); its second number is dropped, so that the generator
 * has no other state. */
double nrw_rng_normal(nrw_rng *r) {
    double u, v, s;
    do {
        u = 2 * nrw_rng_uniform(r) - 1;
        v = 2 * nrw_rng_uniform(r) - 1;
        s = u * u + v * v;
    } while (s >= 1 || s == 0);
    return u * sqrt(-2 * portable_log(s) / s);
}
