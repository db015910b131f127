/* What is done to a sample before the model sees it: the SPEC of --preprocess.
 *
 *   scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225 layout=nchw resize=256 crop=224
 *
 * Words in any order, separated by blanks; the order of work is resize, crop, then
 * (x * scale - mean) / std. mean and std have one value, or one for each channel. resize=N brings
 * the shorter side to N and keeps the aspect (the longer side is cut to a whole number), resize=WxH
 * sets both; crop=N or WxH cuts from the centre. layout names the data's axes where shapes do not
 * tell (or the model's, for pictures). */
#ifndef NRW_DATA_PREPROCESS_H
#define NRW_DATA_PREPROCESS_H

#include "base/error.h"
#include "base/str.h"
#include "data/source.h"

typedef enum nrw_layout { NRW_LAYOUT_NONE = 0, NRW_LAYOUT_NCHW, NRW_LAYOUT_NHWC } nrw_layout;

enum { NRW_PREPROCESS_CHANNELS = 64 };

typedef struct nrw_preprocess {
    double scale, divisor; /* scale / divisor: fractions print as they were given */
    int n_mean, n_std;
    double mean[NRW_PREPROCESS_CHANNELS], std[NRW_PREPROCESS_CHANNELS];
    nrw_layout layout;
    int resize_width, resize_height; /* 0: none; height 0: width is the shorter side */
    int crop_width, crop_height;     /* 0: none */
} nrw_preprocess;

/* text NULL or "": nothing is done. NRW_ERR_ARGUMENT names the word at fault. */
nrw_status nrw_preprocess_parse(const char *text, nrw_preprocess *out,
                                nrw_error *err) NRW_MUST_CHECK;
/* In fixed order, without what does nothing; parses back to an equal one. */
void nrw_preprocess_print(const nrw_preprocess *p, nrw_strbuf *out);

/* Whether numbers change: scale, mean or std. */
bool nrw_preprocess_has_affine(const nrw_preprocess *p);
/* (x * scale - mean) / std in place, computed in double, for a row-major array whose axis `axis` is
 * the channels; axis -1 with one mean and std only. */
void nrw_preprocess_affine(const nrw_preprocess *p, float *x, int rank, const int64_t *dims,
                           int axis);

/* Resizes and crops. image: [height, width, channels] or, when planar, [channels, height, width];
 * any numeric type. *out has the same axes in float32, in one of the buffers. U8 images are rounded
 * to whole numbers after each direction, so that results are those of Pillow's BILINEAR: a triangle
 * filter, stretched when the image shrinks, along rows first. */
nrw_status nrw_preprocess_geometry(const nrw_preprocess *p, const nrw_tensor *image, bool planar,
                                   nrw_buffer buffers[3], nrw_tensor *out,
                                   nrw_error *err) NRW_MUST_CHECK;
bool nrw_preprocess_has_geometry(const nrw_preprocess *p);

#endif
