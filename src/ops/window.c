#include "ops/window.h"

#include <string.h>

#define LARGEST INT32_MAX

static nrw_status read_auto_pad(const nrw_node *node, nrw_auto_pad *out, nrw_error *err) {
    static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    const char *s = nrw_attr_str(node, "auto_pad", "NOTSET");
    for (int i = 0; i < 4; i++) {
        if (strcmp(s, names[i]) == 0) {
            *out = (nrw_auto_pad)i;
            return NRW_OK;
        }
    }
    NRW_FAIL(err, NRW_ERR_SHAPE, "auto_pad: unknown value '%s'", s);
}

static nrw_status read_positive(const nrw_node *node, const char *name, int n, int64_t *out,
                                nrw_error *err) {
    int64_t count;
    const int64_t *v = nrw_attr_ints(node, name, &count);
    if (v != NULL && count != n) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "%s: expected %d values, got %lld", name, n, (long long)count);
    }
    for (int i = 0; i < n; i++) {
        out[i] = v != NULL ? v[i] : 1;
        if (out[i] < 1 || out[i] > LARGEST) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "%s: %lld is out of range", name, (long long)out[i]);
        }
    }
    return NRW_OK;
}

static nrw_status read_pads(const nrw_node *node, nrw_window *w, nrw_error *err) {
    int64_t count;
    const int64_t *v = nrw_attr_ints(node, "pads", &count);
    bool holds = v != NULL && w->auto_pad == NRW_PAD_NOTSET;
    if (holds && count != 2 * w->n) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "pads: expected %d values, got %lld", 2 * w->n,
                 (long long)count);
    }
    for (int i = 0; i < 2 * w->n; i++) {
        int64_t pad = holds ? v[i] : 0;
        if (pad < 0 || pad > LARGEST) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "pads: %lld is out of range", (long long)pad);
        }
        if (i < w->n) {
            w->pad_begin[i] = pad;
        } else {
            w->pad_end[i - w->n] = pad;
        }
    }
    return NRW_OK;
}

static nrw_status read_kernel(const nrw_node *node, const int64_t *kernel, nrw_window *w,
                              nrw_error *err) {
    int64_t count;
    const int64_t *v = nrw_attr_ints(node, "kernel_shape", &count);
    if (kernel == NULL && v == NULL) NRW_FAIL(err, NRW_ERR_SHAPE, "kernel_shape is missing");
    if (kernel == NULL) return read_positive(node, "kernel_shape", w->n, w->kernel, err);
    if (v != NULL && count != w->n) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "kernel_shape: expected %d values, got %lld", w->n,
                 (long long)count);
    }
    for (int i = 0; i < w->n; i++) {
        w->kernel[i] = kernel[i] < 0 && v != NULL ? v[i] : kernel[i];
        if (w->kernel[i] == 0 || w->kernel[i] > LARGEST) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "kernel: %lld is out of range", (long long)w->kernel[i]);
        }
        if (v != NULL && v[i] != w->kernel[i]) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "kernel_shape: %lld differs from the weights' %lld",
                     (long long)v[i], (long long)w->kernel[i]);
        }
    }
    return NRW_OK;
}

nrw_status nrw_window_read(const nrw_node *node, int n, const int64_t *kernel, nrw_window *w,
                           nrw_error *err) {
    memset(w, 0, sizeof *w);
    if (n < 1 || n > NRW_MAX_SPATIAL) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "%d spatial axes; there must be 1 to %d", n, NRW_MAX_SPATIAL);
    }
    w->n = n;
    w->ceil_mode = nrw_attr_int(node, "ceil_mode", 0) != 0;
    NRW_TRY(read_auto_pad(node, &w->auto_pad, err));
    NRW_TRY(read_kernel(node, kernel, w, err));
    NRW_TRY(read_positive(node, "strides", n, w->stride, err));
    NRW_TRY(read_positive(node, "dilations", n, w->dilation, err));
    return read_pads(node, w, err);
}

static void fit_same(nrw_window *w, int i, int64_t extent) {
    w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
    int64_t pad = w->in[i] == 0 ? 0 : (w->out[i] - 1) * w->stride[i] + extent - w->in[i];
    if (pad < 0) pad = 0;
    int64_t less = pad / 2;
    w->pad_begin[i] = w->auto_pad == NRW_PAD_SAME_UPPER ? less : pad - less;
    w->pad_end[i] = pad - w->pad_begin[i];
}

nrw_status nrw_window_fit(nrw_window *w, const int64_t *in, nrw_error *err) {
    for (int i = 0; i < w->n; i++) {
        w->in[i] = in[i];
        w->out[i] = NRW_DIM_UNKNOWN;
        bool same = w->auto_pad == NRW_PAD_SAME_UPPER || w->auto_pad == NRW_PAD_SAME_LOWER;
        if (in[i] < 0 || w->kernel[i] < 0) {
            /* Stride 1 under SAME keeps even a symbolic length. */
            if (same && w->stride[i] == 1) w->out[i] = in[i];
            continue;
        }
        if (in[i] > INT64_MAX / 4) NRW_FAIL(err, NRW_ERR_SHAPE, "input of axis %d too long", i);
        int64_t extent = nrw_window_extent(w, i);
        if (same) {
            fit_same(w, i, extent);
            continue;
        }
        int64_t room = in[i] + w->pad_begin[i] + w->pad_end[i] - extent;
        if (room < 0) {
            NRW_FAIL(err, NRW_ERR_SHAPE,
                     "spatial axis %d: a window of %lld does not fit into %lld padded by %lld", i,
                     (long long)extent, (long long)in[i],
                     (long long)(w->pad_begin[i] + w->pad_end[i]));
        }
        int64_t stride = w->stride[i];
        w->out[i] = (room + (w->ceil_mode ? stride - 1 : 0)) / stride + 1;
        /* A window that ceil_mode adds must not start in the padding at the end. */
        if (w->ceil_mode && (w->out[i] - 1) * stride >= in[i] + w->pad_begin[i]) w->out[i]--;
    }
    return NRW_OK;
}
