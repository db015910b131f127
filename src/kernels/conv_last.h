/* Integer convolutions of images with channels last, [batch][h][w][channel], by rows_i8.h; those
 * with a filter for each channel by depthwise_i8.h, which read images as they lie. For the others
 * the image is copied with its padding around it; then the pixels under a row of the filter lie
 * side by side, and pixels of a line follow one another at equal distance: rows of a matrix that is
 * never made. Lines follow one another at that distance, too, where each is read (the copy brings
 * those together which a filter that moves down by more than one reads in turn), so that the whole
 * image is one run of rows, in which the pixels between the lines are not stored. */
#ifndef NRW_KERNELS_CONV_LAST_H
#define NRW_KERNELS_CONV_LAST_H

#include "kernels/conv.h"
#include "kernels/rows_i8.h"

/* The kernels' view of the weights: dense, or one filter for each channel. */
typedef struct nrw_conv_last {
    nrw_rows_shape shape; /* dense */
    const int8_t *packed;
    nrw_weight_sums sums; /* [out_channels] */
    bool depthwise;
} nrw_conv_last;

/* Whether c (two spatial axes: depth is 1) can run here: one group, or a filter for each channel.
 */
bool nrw_conv_last_fits(const nrw_kernels *kn, const nrw_conv *c);
/* w: [out_channels][in_channels / groups][kh][kw]. In the arena. */
nrw_status nrw_conv_last_pack(const nrw_kernels *kn, const nrw_conv *c, const int8_t *w,
                              nrw_arena *arena, nrw_conv_last *out, nrw_error *err) NRW_MUST_CHECK;
/* As nrw_rows_epilogue_make, or nrw_depthwise_epilogue. */
nrw_status nrw_conv_last_epilogue(const nrw_conv_last *p, const nrw_i8_epilogue *e,
                                  int64_t channels, nrw_arena *arena, nrw_rows_epilogue *out,
                                  nrw_error *err) NRW_MUST_CHECK;
/* y: u8, [batch][oh][ow][out_channels]; residual: likewise where the epilogue has one, else NULL.
 * Up to NRW_STEP_BYTES are read behind x. */
nrw_status nrw_conv_last_run(const nrw_conv_call *call, const nrw_conv *c, const nrw_conv_last *p,
                             const nrw_rows_epilogue *e, const uint8_t *x, uint8_t x_fill,
                             const uint8_t *residual, uint8_t *y) NRW_MUST_CHECK;

#endif
