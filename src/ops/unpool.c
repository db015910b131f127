/* Operators that lay small pieces back into a picture: MaxUnpool, Col2Im. */
#include <string.h>

#include "ops/floats.h"
#include "ops/move.h"

/* Entry i of a list attribute with n entries, or the value that stands for an absent one. */
static nrw_status list_attr(const nrw_node *node, const char *name, int64_t n, const int64_t **list,
                            nrw_error *err) {
    int64_t count;
    *list = nrw_attr_ints(node, name, &count);
    if (*list != NULL && count != n)
        NRW_FAIL(err, NRW_ERR_SHAPE, "%s: expected %lld values, got %lld", name, (long long)n,
                 (long long)count);
    for (int64_t i = 0; *list != NULL && i < n; i++) {
        if ((*list)[i] < 0 || (*list)[i] > INT32_MAX)
            NRW_FAIL(err, NRW_ERR_SHAPE, "%s: %lld", name, (long long)(*list)[i]);
    }
    return NRW_OK;
}

/* The window attributes of a node over n spatial axes. */
typedef struct window {
    const int64_t *kernel, *strides, *dilations, *pads;
} window;

static nrw_status read_window(const nrw_node *node, int n, window *w, nrw_error *err) {
    NRW_TRY(list_attr(node, "kernel_shape", n, &w->kernel, err));
    NRW_TRY(list_attr(node, "strides", n, &w->strides, err));
    NRW_TRY(list_attr(node, "dilations", n, &w->dilations, err));
    NRW_TRY(list_attr(node, "pads", 2 * (int64_t)n, &w->pads, err));
    for (int i = 0; i < n; i++) {
        if ((w->strides != NULL && w->strides[i] < 1) ||
            (w->dilations != NULL && w->dilations[i] < 1))
            NRW_FAIL(err, NRW_ERR_SHAPE, "strides and dilations must be positive");
    }
    return NRW_OK;
}

static int64_t or_one(const int64_t *list, int i) {
    return list != NULL ? list[i] : 1;
}
static int64_t or_zero(const int64_t *list, int i) {
    return list != NULL ? list[i] : 0;
}

/* The shape that the pooling started from, as far as its parameters tell. */
static nrw_status unpooled_dims(const nrw_node *node, int rank, const int64_t *in, int64_t *out,
                                nrw_error *err) {
    window w;
    int n = rank - 2;
    NRW_TRY(read_window(node, n, &w, err));
    if (w.kernel == NULL) NRW_FAIL(err, NRW_ERR_SHAPE, "kernel_shape is missing");
    for (int i = 0; i < rank; i++) {
        out[i] = in[i];
        if (i < 2 || in[i] < 0) continue;
        int k = i - 2;
        if (!nrw_mul_i64(in[i] - 1, or_one(w.strides, k), &out[i]) || out[i] > INT64_MAX / 2)
            NRW_FAIL(err, NRW_ERR_SHAPE, "axis %d grows past 2^63", i);
        out[i] += w.kernel[k] - or_zero(w.pads, k) - or_zero(w.pads, n + k);
        if (out[i] < 0) NRW_FAIL(err, NRW_ERR_SHAPE, "pads: nothing is left of axis %d", i);
    }
    return NRW_OK;
}

static nrw_status unpool_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0], *index = c->in[1];
    NRW_TRY(nrw_infer_rank(c, in->rank));
    if (in->rank < 0) return NRW_OK;
    if (in->rank < 3) NRW_FAIL_INPUT(c, 0, "X", "expected 3 axes or more, got %d", in->rank);
    if (index->rank >= 0 && index->rank != in->rank)
        NRW_FAIL_INPUT(c, 1, "I", "%d axes where X has %d", index->rank, in->rank);
    for (int i = 0; i < index->rank; i++) {
        if (index->dims[i] >= 0 && in->dims[i] >= 0 && index->dims[i] != in->dims[i])
            NRW_FAIL_INPUT(c, 1, "I", "axis %d differs from X's", i);
    }
    int64_t own[NRW_MAX_RANK], given[NRW_MAX_RANK];
    NRW_TRY(unpooled_dims(c->node, in->rank, in->dims, own, c->err));
    if (!nrw_infer_has(c, 2)) {
        memcpy(c->out[0].dims, own, sizeof own);
        return NRW_OK;
    }
    int n;
    bool known;
    NRW_TRY(nrw_infer_ints(c, 2, "output_shape", given, in->rank, &n, &known));
    if (n >= 0 && n != in->rank)
        NRW_FAIL_INPUT(c, 2, "output_shape", "expected %d values, got %d", in->rank, n);
    for (int i = 0; known && i < n; i++) {
        if (given[i] < 0 || given[i] < own[i])
            NRW_FAIL_INPUT(c, 2, "output_shape", "axis %d of %lld is too short", i,
                           (long long)given[i]);
        c->out[0].dims[i] = given[i];
    }
    return NRW_OK;
}

/* Indices count in the shape that was pooled; a larger output holds that in its corner. */
static nrw_status unpool_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    nrw_tensor *out = &e->out[0];
    int64_t own[NRW_MAX_RANK], strides[NRW_MAX_RANK], count = 1, *index;
    NRW_TRY(unpooled_dims(e->node, in->rank, in->dims, own, e->err));
    for (int i = 0; i < in->rank; i++) {
        if (!nrw_mul_i64(count, own[i], &count))
            NRW_FAIL(e->err, NRW_ERR_SHAPE, "the dimensions multiply past 2^63");
    }
    NRW_TRY(nrw_read_indices_in(e, 1, count, &index));
    nrw_strides(out->rank, out->dims, strides);
    int64_t n = nrw_tensor_count(in);
    size_t element = (size_t)nrw_dtype_size(in->dtype);
    memset(out->data, 0, nrw_tensor_bytes(out));
    for (int64_t i = 0; i < n; i++) {
        int64_t to = 0, rest = index[i];
        for (int k = in->rank - 1; k >= 0; k--) {
            to += rest % own[k] * strides[k];
            rest /= own[k];
        }
        memcpy((char *)out->data + (size_t)to * element,
               (const char *)in->data + (size_t)i * element, element);
    }
    return NRW_OK;
}

static nrw_status positive(nrw_infer *c, int i, const char *what, const int64_t *list, int n) {
    for (int k = 0; k < n; k++) {
        if (list[k] < 1 || list[k] > INT32_MAX)
            NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d (%s): %lld", i, what, (long long)list[k]);
    }
    return NRW_OK;
}

/* How many blocks stand along axis i of the image; less than 1 where none fits. */
static int64_t blocks_along(const window *w, int n, int i, int64_t image, int64_t block) {
    int64_t span = or_one(w->dilations, i) * (block - 1) + 1;
    int64_t room = image + or_zero(w->pads, i) + or_zero(w->pads, n + i) - span;
    return room < 0 ? 0 : room / or_one(w->strides, i) + 1;
}

static nrw_status col2im_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    int64_t image[NRW_MAX_RANK], block[NRW_MAX_RANK];
    int n_image, n_block;
    bool image_known, block_known;
    if (in->rank >= 0 && in->rank != 3)
        NRW_FAIL_INPUT(c, 0, "input", "expected 3 axes, got %d", in->rank);
    NRW_TRY(nrw_infer_ints(c, 1, "image_shape", image, NRW_MAX_RANK - 2, &n_image, &image_known));
    NRW_TRY(nrw_infer_ints(c, 2, "block_shape", block, NRW_MAX_RANK - 2, &n_block, &block_known));
    if (n_image >= 0 && n_block >= 0 && n_image != n_block)
        NRW_FAIL_INPUT(c, 2, "block_shape", "%d axes where the image has %d", n_block, n_image);
    int n = n_image >= 0 ? n_image : n_block;
    NRW_TRY(nrw_infer_rank(c, n < 0 ? NRW_RANK_UNKNOWN : n + 2));
    if (n < 0) return NRW_OK;
    window w;
    NRW_TRY(read_window(c->node, n, &w, c->err));
    if (image_known) {
        NRW_TRY(positive(c, 1, "image_shape", image, n));
        memcpy(c->out[0].dims + 2, image, (size_t)n * sizeof *image);
    }
    if (in->rank == 3) c->out[0].dims[0] = in->dims[0];
    if (!block_known) return NRW_OK;
    NRW_TRY(positive(c, 2, "block_shape", block, n));
    int64_t size, blocks = 1;
    NRW_TRY(nrw_dims_product(block, 0, n, &size, c->err));
    if (in->rank == 3 && in->dims[1] >= 0) {
        if (in->dims[1] % size != 0)
            NRW_FAIL_INPUT(c, 0, "input", "%lld does not divide by a block of %lld elements",
                           (long long)in->dims[1], (long long)size);
        c->out[0].dims[1] = in->dims[1] / size;
    }
    for (int i = 0; image_known && i < n; i++) {
        if (!nrw_mul_i64(blocks, blocks_along(&w, n, i, image[i], block[i]), &blocks))
            NRW_FAIL_INPUT(c, 1, "image_shape", "too many blocks");
    }
    if (image_known && in->rank == 3 && in->dims[2] >= 0 && in->dims[2] != blocks)
        NRW_FAIL_INPUT(c, 0, "input", "%lld blocks where the image has %lld",
                       (long long)in->dims[2], (long long)blocks);
    return NRW_OK;
}

/* The image being put together from one sample and channel. */
typedef struct col2im_plan {
    window w;
    int n;
    int64_t image[NRW_MAX_RANK], block[NRW_MAX_RANK], count[NRW_MAX_RANK], strides[NRW_MAX_RANK];
    int64_t pixels, size, blocks; /* of the image, of a block, number of blocks */
} col2im_plan;

static void add_columns(const col2im_plan *p, const double *in, double *out) {
    memset(out, 0, (size_t)p->pixels * sizeof *out);
    for (int64_t i = 0; i < p->size * p->blocks; i++) {
        int64_t in_block = i / p->blocks, block = i % p->blocks, to = 0;
        for (int k = p->n - 1; k >= 0 && to >= 0; k--) {
            int64_t at = block % p->count[k] * or_one(p->w.strides, k) - or_zero(p->w.pads, k) +
                         in_block % p->block[k] * or_one(p->w.dilations, k);
            block /= p->count[k];
            in_block /= p->block[k];
            to = at < 0 || at >= p->image[k] ? -1 : to + at * p->strides[k];
        }
        if (to >= 0) out[to] += in[i];
    }
}

static nrw_status col2im_run(nrw_eval *e) {
    col2im_plan p;
    const double *in;
    double *out;
    NRW_TRY(nrw_tensor_ints(e->in[1], p.image, NRW_MAX_RANK, &p.n, e->err));
    NRW_TRY(nrw_tensor_ints(e->in[2], p.block, NRW_MAX_RANK, &p.n, e->err));
    NRW_TRY(read_window(e->node, p.n, &p.w, e->err));
    for (int i = 0; i < p.n; i++) {
        p.count[i] = blocks_along(&p.w, p.n, i, p.image[i], p.block[i]);
    }
    nrw_strides(p.n, p.image, p.strides);
    p.pixels = nrw_span(p.image, 0, p.n);
    p.size = nrw_span(p.block, 0, p.n);
    p.blocks = nrw_span(p.count, 0, p.n);
    NRW_TRY(nrw_doubles_in(e, 0, &in));
    NRW_TRY(nrw_doubles_out(e, 0, &out));
    int64_t images = e->out[0].dims[0] * e->out[0].dims[1];
    for (int64_t i = 0; i < images; i++) {
        add_columns(&p, in + i * p.size * p.blocks, out + i * p.pixels);
    }
    return nrw_doubles_done(e, 0, out);
}

static const nrw_attr_def unpool_attrs[] = {{"kernel_shape", NRW_ATTR_INTS, true},
                                            {"pads", NRW_ATTR_INTS, false},
                                            {"strides", NRW_ATTR_INTS, false},
                                            {0}};
static const nrw_attr_def col2im_attrs[] = {{"dilations", NRW_ATTR_INTS, false},
                                            {"pads", NRW_ATTR_INTS, false},
                                            {"strides", NRW_ATTR_INTS, false},
                                            {0}};

static const nrw_case unpool_cases[] = {
    {"graph main(%x: f32[1,1,2,2]) { "
     "  const %i: i64[1,1,2,2] = [0, 3, 9, 14] "
     "  %y: f32[1,1,4,4] = MaxUnpool(%x, %i) {kernel_shape=[2, 2], strides=[2, 2]} "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op unpool_row = {
    .name = "MaxUnpool",
    .domain = "",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = unpool_attrs,
    .infer = unpool_infer,
    .reference = unpool_run,
    .onnx = {"MaxUnpool", 9},
    .aten = "aten.max_unpool2d.default",
    .cases = unpool_cases,
};
static const nrw_case col2im_cases[] = {{"graph main(%x: f32[1,8,12]) { "
                                         "  const %s: i64[2] = [4, 5] "
                                         "  const %b: i64[2] = [2, 2] "
                                         "  %y: f32[1,2,4,5] = Col2Im(%x, %s, %b) "
                                         "  return %y } ",
                                         -1, 1},
                                        {0}};
static const nrw_op col2im_row = {
    .name = "Col2Im",
    .domain = "",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = col2im_attrs,
    .infer = col2im_infer,
    .reference = col2im_run,
    .onnx = {"Col2Im", 18},
    .aten = "aten.col2im.default",
    .cases = col2im_cases,
};

NRW_OPS(unpool, &unpool_row, &col2im_row);
