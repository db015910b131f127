/* Sliding windows: kernel, stride, dilation and padding along spatial axes, as Conv, the pools and
 * their kin share them (ONNX operators specification, Conv and MaxPool). */
#ifndef NRW_OPS_WINDOW_H
#define NRW_OPS_WINDOW_H

#include "ir/graph.h"

#define NRW_MAX_SPATIAL (NRW_MAX_RANK - 2)

typedef enum nrw_auto_pad {
    NRW_PAD_NOTSET = 0, /* the pads attribute holds */
    NRW_PAD_SAME_UPPER, /* out = ceil(in / stride); an odd pad more goes to the end */
    NRW_PAD_SAME_LOWER, /* … to the begin */
    NRW_PAD_VALID       /* no padding */
} nrw_auto_pad;

typedef struct nrw_window {
    int n; /* spatial axes */
    nrw_auto_pad auto_pad;
    bool ceil_mode;
    int64_t kernel[NRW_MAX_SPATIAL], stride[NRW_MAX_SPATIAL], dilation[NRW_MAX_SPATIAL];
    int64_t pad_begin[NRW_MAX_SPATIAL], pad_end[NRW_MAX_SPATIAL];
    /* Set by nrw_window_fit. */
    int64_t in[NRW_MAX_SPATIAL], out[NRW_MAX_SPATIAL];
} nrw_window;

/* Reads auto_pad, ceil_mode, strides, dilations and pads, and kernel_shape where kernel is NULL;
 * otherwise kernel[n] holds (weights' dims) and kernel_shape, if there, must agree. A kernel entry
 * that is an unknown dimension passes, and the outputs along its axis will be unknown. Every known
 * number is checked to be below 2^31, kernels, strides and dilations to be positive. */
nrw_status nrw_window_read(const nrw_node *node, int n, const int64_t *kernel, nrw_window *w,
                           nrw_error *err) NRW_MUST_CHECK;

/* Given the input's spatial dims, resolves auto_pad into pads and sets w->in and w->out. Unknown
 * dims give unknown outputs (and pads of 0 under SAME). A window that does not fit: NRW_ERR_SHAPE.
 */
nrw_status nrw_window_fit(nrw_window *w, const int64_t *in, nrw_error *err) NRW_MUST_CHECK;

/* Positions covered by the kernel along an axis: (kernel - 1) * dilation + 1. */
static inline int64_t nrw_window_extent(const nrw_window *w, int axis) {
    return (w->kernel[axis] - 1) * w->dilation[axis] + 1;
}

/* The taps [*first, *last) of output position o that fall inside the input along an axis. */
static inline void nrw_window_taps(const nrw_window *w, int axis, int64_t o, int64_t *first,
                                   int64_t *last) {
    int64_t d = w->dilation[axis], start = o * w->stride[axis] - w->pad_begin[axis];
    *first = start >= 0 ? 0 : (-start + d - 1) / d;
    int64_t room = w->in[axis] - start;
    *last = room <= 0 ? 0 : (room + d - 1) / d;
    if (*last > w->kernel[axis]) *last = w->kernel[axis];
    if (*first > *last) *first = *last;
}

#endif
