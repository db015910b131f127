/* DeformConv: a convolution whose taps are moved by learned offsets (Dai et al., "Deformable
 * Convolutional Networks", 2017; the mask is from Zhu et al., "Deformable ConvNets v2", 2018). */
#include <math.h>
#include <string.h>

#include "ops/floats.h"
#include "ops/mm.h"
#include "ops/op.h"
#include "ops/window.h"

typedef struct deform {
    int64_t batch, channels, filters, group, offset_group; /* unknown: < 0 */
    nrw_window window;
} deform;

static bool meets(int64_t a, int64_t b) {
    return a < 0 || b < 0 || a == b;
}

static int64_t times(int64_t a, int64_t b) {
    int64_t n;
    return a < 0 || b < 0 || !nrw_mul_i64(a, b, &n) ? NRW_DIM_UNKNOWN : n;
}

static nrw_status read_dims(const nrw_node *n, const nrw_type *x, const nrw_type *w, deform *d,
                            nrw_error *err) {
    if (x->rank != 4 || w->rank != 4) {
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "only two spatial axes are handled");
    }
    d->batch = x->dims[0];
    d->channels = x->dims[1];
    d->filters = w->dims[0];
    d->group = nrw_attr_int(n, "group", 1);
    d->offset_group = nrw_attr_int(n, "offset_group", 1);
    if (d->group < 1 || d->group > INT32_MAX || d->offset_group < 1 ||
        d->offset_group > INT32_MAX || !meets(d->channels, times(w->dims[1], d->group)) ||
        (d->filters >= 0 && d->filters % d->group != 0) ||
        (d->channels >= 0 && d->channels % d->offset_group != 0)) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "channels, weights and groups do not fit together");
    }
    NRW_TRY(nrw_window_read(n, 2, w->dims + 2, &d->window, err));
    return nrw_window_fit(&d->window, x->dims + 2, err);
}

/* Offsets ("per" 2) or masks ("per" 1) for every tap and output. */
static nrw_status check_taps(nrw_infer *c, int i, int64_t per, const deform *d) {
    const nrw_type *t = i < c->n_in ? c->in[i] : NULL;
    if (t == NULL || t->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    int64_t taps = times(times(d->window.kernel[0], d->window.kernel[1]), per * d->offset_group);
    if (t->rank != 4 || !meets(t->dims[0], d->batch) || !meets(t->dims[1], taps) ||
        !meets(t->dims[2], d->window.out[0]) || !meets(t->dims[3], d->window.out[1])) {
        NRW_FAIL_INPUT(c, i, "offset or mask", "does not fit kernel and output");
    }
    return NRW_OK;
}

static nrw_status infer(nrw_infer *c) {
    c->out[0].dtype = c->in[0]->dtype;
    if (c->in[0]->rank == NRW_RANK_UNKNOWN || c->in[1]->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    deform d;
    NRW_TRY(read_dims(c->node, c->in[0], c->in[1], &d, c->err));
    NRW_TRY(check_taps(c, 2, 2, &d));
    NRW_TRY(check_taps(c, 4, 1, &d));
    const nrw_type *bias = c->n_in > 3 ? c->in[3] : NULL;
    if (bias != NULL && bias->rank != NRW_RANK_UNKNOWN &&
        (bias->rank != 1 || !meets(bias->dims[0], d.filters))) {
        NRW_FAIL_INPUT(c, 3, "B", "one value per output channel is needed");
    }
    c->out[0] = nrw_type_make(c->in[0]->dtype, 4,
                              (int64_t[]){d.batch, d.filters, d.window.out[0], d.window.out[1]});
    return NRW_OK;
}

#define REAL         float
#define FLOOR        floorf
#define JOB          job_f32
#define SAMPLE       sample_f32
#define COLUMNS_TASK columns_task_f32
#define PRODUCT_TASK product_task_f32
#define RUN          run_f32
#define MM           nrw_mm_f32
#define IN           nrw_floats_in
#define OUT          nrw_floats_out
#define DONE         nrw_floats_done
#include "ops/deform_conv_tmpl.h"

#define REAL         double
#define FLOOR        floor
#define JOB          job_f64
#define SAMPLE       sample_f64
#define COLUMNS_TASK columns_task_f64
#define PRODUCT_TASK product_task_f64
#define RUN          run_f64
#define MM           nrw_mm_f64
#define IN           nrw_doubles_in
#define OUT          nrw_doubles_out
#define DONE         nrw_doubles_done
#include "ops/deform_conv_tmpl.h"

static nrw_status deform_conv(nrw_eval *e) {
    const nrw_type x = nrw_type_of(e->in[0]), w = nrw_type_of(e->in[1]);
    deform d;
    NRW_TRY(read_dims(e->node, &x, &w, &d, e->err));
    return x.dtype == NRW_F64 ? run_f64(e, &d) : run_f32(e, &d);
}

static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    int64_t count = nrw_type_count(&out[0]), filter = 1;
    if (in[1]->rank != 4) return 0;
    for (int i = 1; i < 4; i++) filter = times(filter, in[1]->dims[i]);
    int64_t all = times(count, filter);
    return all > 0 ? all : 0;
}

static const nrw_attr_def attrs[] = {{"dilations", NRW_ATTR_INTS, false},
                                     {"group", NRW_ATTR_INT, false},
                                     {"kernel_shape", NRW_ATTR_INTS, false},
                                     {"offset_group", NRW_ATTR_INT, false},
                                     {"pads", NRW_ATTR_INTS, false},
                                     {"strides", NRW_ATTR_INTS, false},
                                     {0}};

static const nrw_case cases[] = {
    {"graph main(%x: f32[1,4,6,5], %o: f32[1,36,4,3], %m: f32[1,18,4,3]) {\n"
     "  const %w: f32[6,2,3,3] = random 1\n"
     "  const %b: f32[6] = random 2\n"
     "  %y: f32[...] = DeformConv(%x, %w, %o, %b, %m) {group=2, offset_group=2}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op deform_row = {
    .name = "DeformConv",
    .domain = "",
    .min_in = 3,
    .max_in = 5,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = deform_conv,
    .macs = macs,
    .onnx = {"DeformConv", 19},
    .cases = cases,
};

NRW_OPS(deform_conv, &deform_row);
