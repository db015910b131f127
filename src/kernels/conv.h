/* Convolutions of images with up to three spatial axes, laid out as [batch][channel][d][h][w].
 *
 * They run as implicit matrix products: weights are the left matrix, and the right one, whose
 * columns are the pixels of the output, is gathered block by block from a padded copy of the image
 * (Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning" (2014), section 3). In the copy,
 * columns of equal index modulo the stride lie together, so that a row of the gathered matrix is
 * always made of contiguous runs. Depthwise convolutions slide their filter over the same copy. */
#ifndef NRW_KERNELS_CONV_H
#define NRW_KERNELS_CONV_H

#include "base/error.h"
#include "base/mem.h"
#include "base/pool.h"
#include "kernels/gemm.h"

/* Axes are depth, height, width; absent ones have length 1. All lengths are at least 1, and the
 * windows fit: (out - 1) * stride + (kernel - 1) * dilation < in + padding on both sides. */
typedef struct nrw_conv {
    int64_t batch, groups, in_channels, out_channels;
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3], pad[3]; /* pad: before */
} nrw_conv;

/* What a call runs on. */
typedef struct nrw_conv_call {
    const nrw_kernels *kernels;
    nrw_pool *pool;
    nrw_arena *scratch;
    nrw_error *err;
} nrw_conv_call;

/* Packed weights. w: [out_channels][in_channels / groups][kernel…]. */
bool nrw_conv_f32_weight_bytes(const nrw_kernels *kn, const nrw_conv *c, size_t *bytes);
void nrw_conv_f32_pack(const nrw_kernels *kn, const nrw_conv *c, const float *w, float *dst);
nrw_status nrw_conv_f32(const nrw_conv_call *call, const nrw_conv *c, const float *x,
                        const float *packed, const float *bias, float lo, float hi,
                        float *y) NRW_MUST_CHECK;

bool nrw_conv_i8_weight_bytes(const nrw_kernels *kn, const nrw_conv *c, size_t *bytes);
/* sums: [out_channels], the sums of each channel's weights as packed (signed). */
void nrw_conv_i8_pack(const nrw_kernels *kn, const nrw_conv *c, const uint8_t *w, uint8_t flip,
                      void *dst, int32_t *sums);
/* x_fill: the byte that stands for zero in x; flip: 0x80 where x is signed. The epilogue has
 * channel_rows set and arrays over all output channels; x_sum is found here where w_zero asks for
 * it. y: elements of the epilogue's type. */
nrw_status nrw_conv_i8(const nrw_conv_call *call, const nrw_conv *c, const uint8_t *x,
                       uint8_t x_fill, uint8_t flip, const void *packed, const nrw_i8_epilogue *e,
                       void *y) NRW_MUST_CHECK;

/* Shared by conv_*.c.
 * ------------------------------------------------------------------------------------------ */

/* The padded copy of one channel: [depth][height][pitch], where column w lies at
 * w % stride * phase + w / stride. */
typedef struct nrw_plane {
    int64_t depth, height, phase, pitch;
    int64_t size;       /* elements */
    const int64_t *tap; /* [kernel elements] offset of each tap relative to the first one */
    bool direct;        /* no copy is needed: output pixel n reads input pixel n */
} nrw_plane;

typedef struct nrw_run {
    int32_t at, length; /* columns of the block */
    int64_t from;       /* offset in the plane, for the filter's first tap */
} nrw_run;
#define NRW_MAX_RUNS 512

bool nrw_conv_depthwise(const nrw_conv *c);
int64_t nrw_conv_taps(const nrw_conv *c);   /* kernel elements of a channel */
int64_t nrw_conv_pixels(const nrw_conv *c); /* of one output channel */
int64_t nrw_conv_in_pixels(const nrw_conv *c);
/* The table of taps lies in `arena`. */
nrw_status nrw_conv_plane(const nrw_conv *c, nrw_arena *arena, nrw_plane *p,
                          nrw_error *err) NRW_MUST_CHECK;
/* Copies one channel; size: bytes of an element, 1 or 4. */
void nrw_conv_pad(const nrw_conv *c, const nrw_plane *p, int size, const void *src, void *dst,
                  uint32_t fill);
/* Cuts the output pixels [n0, n0 + nc) into contiguous runs; nc <= NRW_MAX_RUNS. */
int nrw_conv_runs(const nrw_conv *c, const nrw_plane *p, int64_t n0, int64_t nc, nrw_run *runs);
/* Gathers the runs, bytes wide of size each; writes and reads up to 15 bytes more. */
void nrw_conv_gather(const nrw_run *runs, int n, int size, const void *plane, void *dst);

#endif
