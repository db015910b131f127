/* Float kernels of 512 bits: tiles of 12 x 32. */
#include <immintrin.h>

#define VF                  __m512
#define LANES               16
#define ROWS                12
#define load                _mm512_loadu_ps
#define store               _mm512_storeu_ps
#define set1                _mm512_set1_ps
#define add                 _mm512_add_ps
#define fma_                _mm512_fmadd_ps
#define min_                _mm512_min_ps
#define max_                _mm512_max_ps
#define mask                __mmask16
#define mask_of(n)          ((__mmask16)((1u << (n)) - 1))
#define load_some(m, p)     _mm512_maskz_loadu_ps(m, p)
#define store_some(m, p, v) _mm512_mask_storeu_ps(p, m, v)
#define TILE_NAME           nrw_f32_tile_avx512
#define TAPS_NAME           nrw_f32_taps_avx512
#include "kernels/x86/f32_tmpl.h"
