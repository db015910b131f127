/* Resizing and cropping of images. */
#include <math.h>

#include "data/preprocess.h"

/* An image in float with the step from one pixel to the next along each axis. */
typedef struct view {
    const float *data;
    int64_t size[3]; /* channels, rows, columns */
    int64_t step[3];
} view;

static view view_of(const float *data, bool planar, const int64_t *dims) {
    if (planar) return (view){data, {dims[0], dims[1], dims[2]}, {dims[1] * dims[2], dims[2], 1}};
    return (view){data, {dims[2], dims[0], dims[1]}, {1, dims[1] * dims[2], dims[2]}};
}

static void dims_of(bool planar, int64_t channels, int64_t rows, int64_t columns, int64_t *dims) {
    dims[planar ? 0 : 2] = channels;
    dims[planar ? 1 : 0] = rows;
    dims[planar ? 2 : 1] = columns;
}

/* The weights of output position i: *n inputs from *first on. For whole numbers they have 22 binary
 * digits, as in Pillow, whose results turn on it where a sum ends in a half. */
static void triangle(int64_t i, int64_t from, int64_t to, bool whole, double *weights,
                     int64_t *first, int64_t *n) {
    double scale = (double)from / (double)to, stretch = fmax(scale, 1);
    double centre = ((double)i + 0.5) * scale;
    int64_t low = (int64_t)(centre - stretch + 0.5), high = (int64_t)(centre + stretch + 0.5);
    if (low < 0) low = 0;
    if (high > from) high = from;
    double sum = 0;
    for (int64_t k = low; k < high; k++) {
        weights[k - low] = fmax(0, 1 - fabs(((double)k - centre + 0.5) / stretch));
        sum += weights[k - low];
    }
    for (int64_t k = 0; k < high - low; k++) {
        weights[k] /= sum;
        if (whole) weights[k] = floor(weights[k] * 0x1p22 + 0.5) * 0x1p-22;
    }
    *first = low;
    *n = high - low;
}

/* Resizes along axis (1: rows, 2: columns) into out, whose other sizes are in's. */
static void resize_axis(view in, int axis, view out, float *data, bool whole, double *weights) {
    int other = 3 - axis;
    for (int64_t i = 0; i < out.size[axis]; i++) {
        int64_t first, n;
        triangle(i, in.size[axis], out.size[axis], whole, weights, &first, &n);
        for (int64_t c = 0; c < in.size[0]; c++) {
            for (int64_t j = 0; j < in.size[other]; j++) {
                const float *p =
                    in.data + c * in.step[0] + j * in.step[other] + first * in.step[axis];
                double sum = 0;
                for (int64_t k = 0; k < n; k++) sum += weights[k] * (double)p[k * in.step[axis]];
                if (whole) sum = floor(sum + 0.5);
                data[c * out.step[0] + j * out.step[other] + i * out.step[axis]] = (float)sum;
            }
        }
    }
}

bool nrw_preprocess_has_geometry(const nrw_preprocess *p) {
    return p->resize_width || p->crop_width;
}

/* Sizes after resizing. The aspect is kept as torchvision keeps it. */
static void resized(const nrw_preprocess *p, int64_t rows, int64_t columns, int64_t *new_rows,
                    int64_t *new_columns) {
    *new_rows = rows;
    *new_columns = columns;
    if (!p->resize_width) return;
    if (p->resize_height) {
        *new_rows = p->resize_height;
        *new_columns = p->resize_width;
    } else if (rows < columns) {
        *new_rows = p->resize_width;
        *new_columns = p->resize_width * columns / rows;
    } else {
        *new_columns = p->resize_width;
        *new_rows = p->resize_width * rows / columns;
    }
}

static nrw_status crop(const nrw_preprocess *p, view in, bool planar, nrw_buffer *b,
                       nrw_tensor *out, nrw_error *err) {
    int64_t rows = p->crop_height, columns = p->crop_width;
    if (rows > in.size[1] || columns > in.size[2]) {
        NRW_FAIL(err, NRW_ERR_DATA, "crop=%lldx%lld is larger than the image of %lldx%lld pixels",
                 (long long)columns, (long long)rows, (long long)in.size[2], (long long)in.size[1]);
    }
    /* Halves to even, as Python's round. */
    int64_t top = (int64_t)rint((double)(in.size[1] - rows) / 2);
    int64_t left = (int64_t)rint((double)(in.size[2] - columns) / 2);
    dims_of(planar, in.size[0], rows, columns, out->dims);
    float *data = nrw_buffer_need(b, (size_t)(in.size[0] * rows * columns) * sizeof *data);
    if (!data) NRW_OOM(err);
    view to = view_of(data, planar, out->dims);
    for (int64_t c = 0; c < in.size[0]; c++) {
        for (int64_t y = 0; y < rows; y++) {
            for (int64_t x = 0; x < columns; x++) {
                data[c * to.step[0] + y * to.step[1] + x * to.step[2]] =
                    in.data[c * in.step[0] + (top + y) * in.step[1] + (left + x) * in.step[2]];
            }
        }
    }
    out->data = data;
    return NRW_OK;
}

/* Resizes in into buffers[1] by way of buffers[2]; *in becomes the result. */
static nrw_status resize(const nrw_preprocess *p, view *in, bool planar, bool whole,
                         nrw_buffer buffers[3], nrw_tensor *out, nrw_error *err) {
    int64_t rows, columns, middle_dims[3];
    resized(p, in->size[1], in->size[2], &rows, &columns);
    int64_t pixels, elements;
    if (!nrw_mul_i64(columns, rows > in->size[1] ? rows : in->size[1], &pixels) ||
        !nrw_mul_i64(pixels, in->size[0], &elements) || elements > INT32_MAX) {
        NRW_FAIL(err, NRW_ERR_DATA, "resize gives an image of %lld x %lld pixels",
                 (long long)columns, (long long)rows);
    }
    dims_of(planar, in->size[0], in->size[1], columns, middle_dims);
    dims_of(planar, in->size[0], rows, columns, out->dims);
    size_t middle_bytes = (size_t)(in->size[0] * in->size[1] * columns) * sizeof(float);
    size_t taps = (size_t)(in->size[1] > in->size[2] ? in->size[1] : in->size[2]) + 2;
    size_t offset = (middle_bytes + 63) / 64 * 64;
    unsigned char *scratch = nrw_buffer_need(&buffers[2], offset + taps * sizeof(double));
    float *data =
        nrw_buffer_need(&buffers[1], (size_t)(in->size[0] * rows * columns) * sizeof *data);
    if (!scratch || !data) NRW_OOM(err);
    double *weights = (double *)(void *)(scratch + offset);
    float *middle = (float *)(void *)scratch;
    view between = view_of(middle, planar, middle_dims), to = view_of(data, planar, out->dims);
    resize_axis(*in, 2, between, middle, whole, weights);
    resize_axis(between, 1, to, data, whole, weights);
    *in = to;
    out->data = data;
    return NRW_OK;
}

nrw_status nrw_preprocess_geometry(const nrw_preprocess *p, const nrw_tensor *image, bool planar,
                                   nrw_buffer buffers[3], nrw_tensor *out, nrw_error *err) {
    int64_t n = nrw_tensor_count(image);
    float *data = nrw_buffer_need(&buffers[0], (size_t)n * sizeof *data);
    if (!data) NRW_OOM(err);
    if (!n) NRW_FAIL(err, NRW_ERR_DATA, "an image without pixels cannot be resized");
    NRW_TRY(nrw_to_f32(image->dtype, image->data, data, n, err));
    *out = nrw_tensor_make(NRW_F32, 3, image->dims, data);
    view v = view_of(data, planar, image->dims);
    if (p->resize_width) {
        NRW_TRY(resize(p, &v, planar, image->dtype == NRW_U8, buffers, out, err));
    }
    if (!p->crop_width) return NRW_OK;
    return crop(p, v, planar, v.data == data ? &buffers[1] : &buffers[0], out, err);
}
