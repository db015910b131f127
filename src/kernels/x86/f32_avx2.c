/* Float kernels of 256 bits: tiles of 6 x 16. */
#include <immintrin.h>
#include <stdint.h>

/* The first n lanes: a window into this table. */
static const int32_t lane_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

#define VF                  __m256
#define LANES               8
#define ROWS                6
#define load                _mm256_loadu_ps
#define store               _mm256_storeu_ps
#define set1                _mm256_set1_ps
#define add                 _mm256_add_ps
#define fma_                _mm256_fmadd_ps
#define min_                _mm256_min_ps
#define max_                _mm256_max_ps
#define mask                __m256i
#define mask_of(n)          _mm256_loadu_si256((const __m256i *)(lane_masks + 8 - (n)))
#define load_some(m, p)     _mm256_maskload_ps(p, m)
#define store_some(m, p, v) _mm256_maskstore_ps(p, m, v)
#define TILE_NAME           nrw_f32_tile_avx2
#define TAPS_NAME           nrw_f32_taps_avx2
#include "kernels/x86/f32_tmpl.h"
