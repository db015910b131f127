#include "data/fit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What has to happen to the axes of a sample. */
typedef enum placement {
    MISFIT = 0,
    SAME,      /* nothing, but for axes of length 1 */
    TO_PLANAR, /* height, width, channels → channels, height, width */
    TO_PIXELS, /* the other way */
    AMBIGUOUS
} placement;

static bool is_channels(int64_t dim) {
    return dim == 1 || dim == 3 || dim == 4;
}

static bool same_dim(int64_t a, int64_t b) {
    return a < 0 || b < 0 || a == b;
}

static bool same_dims(const nrw_type *a, const nrw_type *b) {
    if (a->rank != b->rank) return false;
    for (int k = 0; k < a->rank; k++) {
        if (!same_dim(a->dims[k], b->dims[k])) return false;
    }
    return true;
}

static nrw_type without_ones(const nrw_type *t) {
    nrw_type out = nrw_type_make(t->dtype, 0, t->dims);
    for (int k = 0; k < t->rank; k++) {
        if (t->dims[k] != 1) out.dims[out.rank++] = t->dims[k];
    }
    return out;
}

static nrw_type moved(const nrw_type *t, placement how) {
    const int64_t *d = t->dims;
    if (how == TO_PLANAR) return nrw_type_make(t->dtype, 3, (int64_t[]){d[2], d[0], d[1]});
    if (how == TO_PIXELS) return nrw_type_make(t->dtype, 3, (int64_t[]){d[1], d[2], d[0]});
    return *t;
}

/* sample and want: without batch. order: what is known of the sample's axes. */
static placement place(const nrw_type *sample, const nrw_type *want, bool is_image,
                       nrw_layout order, nrw_layout given) {
    bool same = same_dims(sample, want), planar = false, pixels = false;
    if (sample->rank == 3 && want->rank == 3) {
        nrw_type p = moved(sample, TO_PLANAR), q = moved(sample, TO_PIXELS);
        planar = order != NRW_LAYOUT_NCHW && is_channels(p.dims[0]) && same_dims(&p, want);
        pixels = order != NRW_LAYOUT_NHWC && is_channels(q.dims[2]) && same_dims(&q, want);
    }
    if (is_image && same && planar) { /* the model's known channels tell; else layout= does */
        bool first = want->dims[0] == sample->dims[2], last = want->dims[2] == sample->dims[2];
        if (first != last) return first ? TO_PLANAR : SAME;
        if (given == NRW_LAYOUT_NONE) return AMBIGUOUS;
        return given == NRW_LAYOUT_NCHW ? TO_PLANAR : SAME;
    }
    if (same) return SAME;
    if (planar && pixels) {
        if (given == NRW_LAYOUT_NONE) return AMBIGUOUS;
        return given == NRW_LAYOUT_NHWC ? TO_PLANAR : TO_PIXELS;
    }
    if (planar) return TO_PLANAR;
    if (pixels) return TO_PIXELS;
    nrw_type a = without_ones(sample), b = without_ones(want);
    return same_dims(&a, &b) ? SAME : MISFIT;
}

/* The input's type without its first axis. */
static nrw_type without_batch(const nrw_type *t) {
    int batch = t->rank > 0;
    return nrw_type_make(t->dtype, t->rank - batch, t->dims + batch);
}

static nrw_status misfit(const nrw_feed *f, const nrw_type *sample, nrw_error *err) {
    char have[160], want[160];
    nrw_type_str(sample, have, sizeof have);
    nrw_type_str(&f->type, want, sizeof want);
    if (f->source->is_image) {
        NRW_FAIL(err, NRW_ERR_DATA,
                 "%s: a picture of %lld x %lld pixels; the input '%s' takes %s (resize= and crop= "
                 "change sizes)",
                 f->source->name, (long long)sample->dims[1], (long long)sample->dims[0], f->name,
                 want);
    }
    NRW_FAIL(err, NRW_ERR_DATA,
             "%s: a sample (the array without its first axis) is %s; the input '%s' expects %s, "
             "the first axis being the batch",
             f->source->name, have, f->name, want);
}

static nrw_status ambiguous(const nrw_feed *f, nrw_error *err) {
    NRW_FAIL(err, NRW_ERR_DATA,
             "%s: the shape does not tell where the channels are; say layout=nchw or layout=nhwc",
             f->source->name);
}

/* Where the channels are in samples that are to be resized. */
static nrw_status decide_planar(nrw_feed *f, const nrw_preprocess *p, nrw_error *err) {
    const nrw_type *t = &f->source->type;
    f->planar = false;
    if (f->source->is_image) return NRW_OK;
    f->planar = true;
    if (t->rank == 2) return NRW_OK;
    if (t->rank != 3) {
        char text[160];
        NRW_FAIL(err, NRW_ERR_DATA, "%s: a sample is %s, which is no image to resize or crop",
                 f->source->name, nrw_type_str(t, text, sizeof text));
    }
    bool first = is_channels(t->dims[0]), last = is_channels(t->dims[2]);
    f->planar = first;
    if (p->layout != NRW_LAYOUT_NONE) {
        f->planar = p->layout == NRW_LAYOUT_NCHW;
    } else if (first == last) {
        return ambiguous(f, err);
    }
    return NRW_OK;
}

static nrw_layout order_of(const nrw_feed *f, const nrw_preprocess *p) {
    if (f->source->is_image) return NRW_LAYOUT_NHWC;
    if (nrw_preprocess_has_geometry(p)) return f->planar ? NRW_LAYOUT_NCHW : NRW_LAYOUT_NHWC;
    return NRW_LAYOUT_NONE;
}

static nrw_status check_types(const nrw_feed *f, nrw_error *err) {
    nrw_dtype from = f->source->type.dtype, to = f->type.dtype;
    bool numbers = nrw_dtype_is_float(to) || nrw_dtype_is_integer(to) || to == NRW_BOOL;
    if (!numbers) {
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "%s: the input '%s' has type %s, which data cannot fill",
                 f->source->name, f->name, nrw_dtype_get(to)->title);
    }
    if (nrw_dtype_is_float(from) && !nrw_dtype_is_float(to)) {
        NRW_FAIL(err, NRW_ERR_DATA, "%s: holds %s; the input '%s' expects %s", f->source->name,
                 nrw_dtype_get(from)->title, f->name, nrw_dtype_get(to)->title);
    }
    return NRW_OK;
}

nrw_status nrw_feed_decide(nrw_feed *f, const nrw_preprocess *p, nrw_error *err) {
    nrw_type sample = f->source->type, want = without_batch(&f->type);
    NRW_TRY(check_types(f, err));
    if (sample.rank >= NRW_MAX_RANK) return misfit(f, &sample, err);
    if (nrw_preprocess_has_geometry(p) && nrw_dtype_is_float(f->type.dtype)) {
        NRW_TRY(decide_planar(f, p, err));
        if (sample.rank == 2) {
            sample = nrw_type_make(sample.dtype, 3, (int64_t[]){1, -1, -1});
        } else {
            sample.dims[f->planar ? 1 : 0] = sample.dims[f->planar ? 2 : 1] = NRW_DIM_UNKNOWN;
        }
    }
    if (f->type.rank == NRW_RANK_UNKNOWN) return NRW_OK;
    /* Pictures show their size only later. */
    placement how = place(&sample, &want, f->source->is_image, order_of(f, p), p->layout);
    if (how == AMBIGUOUS) return ambiguous(f, err);
    if (how != MISFIT) return NRW_OK;
    f->whole = same_dims(&sample, &f->type);
    return f->whole ? NRW_OK : misfit(f, &f->source->type, err);
}

void nrw_feed_close(nrw_feed *f) {
    nrw_source_close(f->source);
    nrw_buffer_free(&f->permuted);
    nrw_buffer_free(&f->wide);
    nrw_buffer_free(&f->out);
}

/* One sample ---------------------------------------------------------------------------------- */

/* Turns the matrix of rows x columns elements over. */
static void turn(const unsigned char *src, unsigned char *dst, int64_t rows, int64_t columns,
                 size_t size) {
    for (int64_t c = 0; c < columns; c++) {
        for (int64_t r = 0; r < rows; r++, dst += size) {
            memcpy(dst, src + (size_t)(r * columns + c) * size, size);
        }
    }
}

static nrw_status permute(nrw_feed *f, nrw_tensor *t, placement how, nrw_error *err) {
    if (how == SAME) return NRW_OK;
    void *dst = nrw_buffer_need(&f->permuted, nrw_tensor_bytes(t));
    if (!dst) NRW_OOM(err);
    const int64_t *d = t->dims;
    size_t size = (size_t)nrw_dtype_size(t->dtype);
    if (how == TO_PLANAR) turn(t->data, dst, d[0] * d[1], d[2], size);
    if (how == TO_PIXELS) turn(t->data, dst, d[0], d[1] * d[2], size);
    nrw_type from = nrw_type_of(t), to = moved(&from, how);
    *t = nrw_tensor_make(t->dtype, 3, to.dims, dst);
    return NRW_OK;
}

/* The axis that mean and std run along, -1 when they have one value. */
static nrw_status channel_axis(const nrw_feed *f, const nrw_preprocess *p, const nrw_tensor *t,
                               placement how, int *axis, nrw_error *err) {
    int n = p->n_mean > p->n_std ? p->n_mean : p->n_std, last = t->rank - 1;
    *axis = -1;
    if (n <= 1) return NRW_OK;
    int first = f->whole && t->rank > 1 ? 1 : 0;
    nrw_layout order = order_of(f, p);
    bool at_first = t->rank > first && t->dims[first] == n, at_last = t->rank && t->dims[last] == n;
    if (how == TO_PLANAR || (how == SAME && order == NRW_LAYOUT_NCHW)) at_last = false;
    if (how == TO_PIXELS || (how == SAME && order == NRW_LAYOUT_NHWC)) at_first = false;
    if (at_first && at_last && first != last) {
        if (p->layout == NRW_LAYOUT_NONE) return ambiguous(f, err);
        at_first = p->layout == NRW_LAYOUT_NCHW;
    }
    *axis = at_first ? first : last;
    bool counts = (p->n_mean <= 1 || p->n_mean == n) && (p->n_std <= 1 || p->n_std == n);
    if ((at_first || at_last) && counts) return NRW_OK;
    char text[160];
    nrw_type type = nrw_type_of(t);
    NRW_FAIL(err, NRW_ERR_DATA, "%s: mean= and std= have %d values, but a sample is %s",
             f->source->name, n, nrw_type_str(&type, text, sizeof text));
}

static nrw_status check_nan(const nrw_feed *f, const float *x, int64_t n, int64_t i,
                            nrw_error *err) {
    for (int64_t k = 0; k < n; k++) {
        if (isnan(x[k])) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s: sample %lld holds NaN (element %lld)", f->source->name,
                     (long long)i, (long long)k);
        }
    }
    return NRW_OK;
}

/* dst: of the input's type. */
static nrw_status store_floats(nrw_feed *f, const nrw_preprocess *p, const nrw_tensor *t,
                               placement how, int64_t i, void *dst, nrw_error *err) {
    int64_t n = nrw_tensor_count(t);
    int axis;
    bool direct = f->type.dtype == NRW_F32;
    float *x = direct ? dst : nrw_buffer_need(&f->wide, (size_t)n * sizeof *x);
    if (!x) NRW_OOM(err);
    NRW_TRY(nrw_to_f32(t->dtype, t->data, x, n, err));
    if (nrw_dtype_is_float(f->source->type.dtype)) NRW_TRY(check_nan(f, x, n, i, err));
    if (nrw_preprocess_has_affine(p)) {
        NRW_TRY(channel_axis(f, p, t, how, &axis, err));
        nrw_preprocess_affine(p, x, t->rank, t->dims, axis);
    } else if (t->dtype == f->type.dtype && !direct) {
        memcpy(dst, t->data, nrw_tensor_bytes(t)); /* keeps what float cannot hold */
        return NRW_OK;
    }
    return direct ? NRW_OK : nrw_from_f32(f->type.dtype, x, dst, n, err);
}

static nrw_status store_integers(nrw_feed *f, const nrw_tensor *t, int64_t i, void *dst,
                                 nrw_error *err) {
    const nrw_dtype_row *to = nrw_dtype_get(f->type.dtype);
    int64_t n = nrw_tensor_count(t);
    if (t->dtype == f->type.dtype) {
        memcpy(dst, t->data, nrw_tensor_bytes(t));
        return NRW_OK;
    }
    int64_t *x = nrw_buffer_need(&f->wide, (size_t)n * sizeof *x);
    if (!x) NRW_OOM(err);
    NRW_TRY(nrw_to_i64(t->dtype, t->data, x, n, err));
    for (int64_t k = 0; k < n && f->type.dtype != NRW_BOOL; k++) {
        if (x[k] < to->min || x[k] > to->max) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s: sample %lld: %lld does not fit the input's type %s",
                     f->source->name, (long long)i, (long long)x[k], to->title);
        }
    }
    return nrw_from_i64(f->type.dtype, x, dst, n, err);
}

/* The dims that the input has when it is filled with this sample in `slots` places. */
static nrw_status set_dims(const nrw_feed *f, const nrw_tensor *t, int64_t slots, nrw_tensor *out,
                           nrw_error *err) {
    nrw_type want = without_batch(&f->type), have = nrw_type_of(t);
    *out = nrw_tensor_make(f->type.dtype, t->rank, t->dims, NULL);
    if (f->whole) return NRW_OK;
    if (f->type.rank >= 0 && !same_dims(&have, &want)) { /* axes of length 1 go in or out */
        const nrw_type bare = without_ones(&have);
        out->rank = want.rank;
        for (int k = 0, next = 0; k < want.rank; k++) {
            out->dims[k] = want.dims[k] == 1 || next >= bare.rank ? 1 : bare.dims[next++];
        }
    }
    if (out->rank == NRW_MAX_RANK) return misfit(f, &have, err);
    memmove(out->dims + 1, out->dims, (size_t)out->rank * sizeof *out->dims);
    out->dims[0] = slots;
    out->rank++;
    return NRW_OK;
}

nrw_status nrw_feed_sample(nrw_feed *f, const nrw_preprocess *p, nrw_buffer geometry[3], int64_t i,
                           int64_t slot, int64_t slots, nrw_tensor *out, nrw_error *err) {
    nrw_tensor t, shape;
    NRW_TRY(f->source->read(f->source, i, &t, err));
    bool is_float = nrw_dtype_is_float(f->type.dtype);
    if (nrw_preprocess_has_geometry(p) && is_float) {
        if (t.rank == 2)
            t = nrw_tensor_make(t.dtype, 3, (int64_t[]){1, t.dims[0], t.dims[1]}, t.data);
        nrw_tensor image = t;
        NRW_TRY_CTX(err, nrw_preprocess_geometry(p, &image, f->planar, geometry, &t, err), "%s",
                    f->source->name);
    }
    nrw_type sample = nrw_type_of(&t), want = without_batch(&f->type);
    placement how = SAME;
    if (!f->whole && f->type.rank >= 0) {
        how = place(&sample, &want, f->source->is_image, order_of(f, p), p->layout);
        if (how == AMBIGUOUS) return ambiguous(f, err);
        if (how == MISFIT) return misfit(f, &sample, err);
    }
    NRW_TRY(permute(f, &t, how, err));
    NRW_TRY(set_dims(f, &t, slots, &shape, err));
    size_t bytes;
    NRW_TRY(nrw_checked_bytes(shape.dtype, shape.rank, shape.dims, &bytes, err));
    if (slot == 0) {
        *out = shape;
        out->data = nrw_buffer_need(&f->out, bytes);
        if (!out->data) NRW_OOM(err);
    } else if (!nrw_dims_equal(out->rank, out->dims, shape.rank, shape.dims)) {
        NRW_FAIL(err, NRW_ERR_DATA, "%s: sample %lld is of another size than those before it",
                 f->source->name, (long long)i);
    }
    unsigned char *dst = (unsigned char *)out->data + bytes / (size_t)slots * (size_t)slot;
    if (is_float) return store_floats(f, p, &t, how, i, dst, err);
    return store_integers(f, &t, i, dst, err);
}
