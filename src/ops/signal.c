/* Signal processing: DFT, STFT, window functions, MelWeightMatrix. Computed in double. */
#include <math.h>
#include <string.h>

#include "ops/fft.h"
#include "ops/move.h"

static nrw_status float_data(nrw_infer *c, int i) {
    if (c->in[i]->dtype == NRW_NONE || nrw_dtype_is_float(c->in[i]->dtype)) return NRW_OK;
    NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d: a float type expected, got %s", i,
             nrw_dtype_get(c->in[i]->dtype)->title);
}

/* A tensor's elements as doubles, in scratch. */
static nrw_status widen(nrw_eval *e, const nrw_tensor *t, double **out) {
    int64_t n = nrw_tensor_count(t);
    *out = nrw_arena_calloc(e->scratch, (size_t)n + 1, sizeof **out);
    if (*out == NULL) NRW_OOM(e->err);
    return nrw_to_f64(t->dtype, t->data, *out, n, e->err);
}

typedef struct dft_mode {
    bool inverse, onesided;
} dft_mode;

static dft_mode read_mode(const nrw_node *n) {
    return (dft_mode){nrw_attr_int(n, "inverse", 0) != 0, nrw_attr_int(n, "onesided", 0) != 0};
}

/* The length of the transform: given, or the axis; an inverse from one side has nearly twice that.
 */
static int64_t default_length(dft_mode mode, int64_t axis_length) {
    return mode.inverse && mode.onesided ? 2 * (axis_length - 1) : axis_length;
}

static nrw_status dft_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    dft_mode mode = read_mode(c->node);
    NRW_TRY(float_data(c, 0));
    NRW_TRY(nrw_infer_rank(c, in->rank));
    if (in->rank < 0) return NRW_OK;
    if (in->rank < 2) NRW_FAIL_INPUT(c, 0, "input", "expected 2 axes or more, got %d", in->rank);
    int64_t parts = in->dims[in->rank - 1], axis = -2, length = 0;
    if (parts >= 0 && parts != 1 && parts != 2)
        NRW_FAIL_INPUT(c, 0, "input", "the last axis holds 1 or 2 parts, got %lld",
                       (long long)parts);
    bool axis_known = true, length_known = false;
    if (nrw_infer_has(c, 2)) NRW_TRY(nrw_infer_int(c, 2, "axis", &axis, &axis_known));
    if (nrw_infer_has(c, 1)) NRW_TRY(nrw_infer_int(c, 1, "dft_length", &length, &length_known));
    c->out[0].dims[in->rank - 1] = mode.inverse && mode.onesided ? 1 : 2;
    if (!axis_known) return NRW_OK;
    NRW_TRY(nrw_normalize_axes(&axis, 1, in->rank, "input 2 (axis)", c->err));
    if (axis == in->rank - 1)
        NRW_FAIL_INPUT(c, 2, "axis", "the last axis holds the real and imaginary parts");
    for (int i = 0; i < in->rank - 1; i++) c->out[0].dims[i] = in->dims[i];
    if (!nrw_infer_has(c, 1) && in->dims[axis] >= 0) {
        length = default_length(mode, in->dims[axis]);
        length_known = true;
    }
    if (length_known && (length < 1 || length > INT32_MAX))
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "a transform of length %lld", (long long)length);
    bool half = mode.onesided && !mode.inverse;
    c->out[0].dims[axis] = !length_known ? NRW_DIM_UNKNOWN : half ? length / 2 + 1 : length;
    return NRW_OK;
}

/* Transforms of lines: each has `given` complex numbers of which `length` are transformed (cut, or
 * filled up with zeros) and `kept` come out. */
typedef struct line_work {
    nrw_fft fft;
    const double *in;
    double *out;
    nrw_complex *room; /* 3 * length for each thread */
    int64_t given, kept, inner;
    int in_parts, out_parts;
    dft_mode mode;
    double scale;
} line_work;

static void load_line(const line_work *w, int64_t base, nrw_complex *x) {
    int64_t n = w->fft.n, count = w->given < n ? w->given : n;
    bool mirrored = w->mode.inverse && w->mode.onesided;
    if (mirrored && count > n / 2 + 1) count = n / 2 + 1;
    memset(x, 0, (size_t)n * sizeof *x);
    for (int64_t i = 0; i < count; i++) {
        const double *p = w->in + (base + i * w->inner) * w->in_parts;
        x[i] = (nrw_complex){p[0], w->in_parts == 2 ? p[1] : 0};
    }
    for (int64_t i = n / 2 + 1; mirrored && i < n; i++) {
        x[i] = (nrw_complex){x[n - i].re, -x[n - i].im};
    }
}

static void line_task(void *arg, int64_t line, int worker) {
    const line_work *w = arg;
    int64_t n = w->fft.n, outer = line / w->inner, inner = line % w->inner;
    nrw_complex *x = w->room + worker * 3 * n, *y = x + n;
    load_line(w, outer * w->given * w->inner + inner, x);
    nrw_fft_run(&w->fft, x, y, y + n);
    for (int64_t i = 0; i < w->kept; i++) {
        double *p = w->out + ((outer * w->kept + i) * w->inner + inner) * w->out_parts;
        p[0] = y[i].re * w->scale;
        if (w->out_parts == 2) p[1] = y[i].im * w->scale;
    }
}

/* Runs w over all lines and stores the result in output 0. in, given, inner, in_parts, mode set. */
static nrw_status run_lines(nrw_eval *e, line_work *w, int64_t length, int64_t lines) {
    nrw_tensor *out = &e->out[0];
    int64_t n = nrw_tensor_count(out);
    size_t threads = (size_t)nrw_pool_threads(e->pool);
    NRW_TRY(nrw_fft_init(&w->fft, length, w->mode.inverse, e->scratch, e->err));
    w->room = nrw_arena_calloc(e->scratch, threads * 3 * (size_t)length, sizeof *w->room);
    w->out = nrw_arena_calloc(e->scratch, (size_t)n + 1, sizeof *w->out);
    if (w->room == NULL || w->out == NULL) NRW_OOM(e->err);
    w->scale = w->mode.inverse ? 1 / (double)length : 1;
    nrw_pool_run(e->pool, lines, line_task, w);
    return nrw_from_f64(out->dtype, w->out, out->data, n, e->err);
}

static nrw_status dft_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    int64_t axis = -2, length;
    if (nrw_has_input(e, 2)) NRW_TRY(nrw_read_int(e, 2, "axis", &axis));
    NRW_TRY(nrw_normalize_axes(&axis, 1, in->rank, "input 2 (axis)", e->err));
    line_work w = {.mode = read_mode(e->node),
                   .given = in->dims[axis],
                   .kept = e->out[0].dims[axis],
                   .inner = nrw_span(in->dims, (int)axis + 1, in->rank - 1),
                   .in_parts = (int)in->dims[in->rank - 1],
                   .out_parts = (int)e->out[0].dims[in->rank - 1]};
    length = default_length(w.mode, w.given);
    if (nrw_has_input(e, 1)) NRW_TRY(nrw_read_int(e, 1, "dft_length", &length));
    double *x;
    NRW_TRY(widen(e, in, &x));
    w.in = x;
    return run_lines(e, &w, length, nrw_span(in->dims, 0, (int)axis) * w.inner);
}

/* The frame length of an STFT: given, or the window's; -1 if unknown. */
static nrw_status frame_length(nrw_infer *c, int64_t *length) {
    *length = -1;
    bool known = false;
    if (nrw_infer_has(c, 3)) {
        NRW_TRY(nrw_infer_int(c, 3, "frame_length", length, &known));
        if (!known) *length = -1;
    }
    if (!nrw_infer_has(c, 2)) {
        if (!nrw_infer_has(c, 3) && c->in[0]->rank == 3) *length = c->in[0]->dims[1];
        return NRW_OK;
    }
    const nrw_type *window = c->in[2];
    if (window->rank >= 0 && window->rank != 1)
        NRW_FAIL_INPUT(c, 2, "window", "expected one axis, got %d", window->rank);
    int64_t n = window->rank == 1 ? window->dims[0] : -1;
    if (n >= 0 && *length >= 0 && n != *length)
        NRW_FAIL_INPUT(c, 2, "window", "%lld values for frames of %lld", (long long)n,
                       (long long)*length);
    if (n >= 0) *length = n;
    return NRW_OK;
}

static nrw_status stft_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    NRW_TRY(float_data(c, 0));
    /* Exporters write real signals without their last axis, and runtimes take them. */
    if (in->rank >= 0 && in->rank != 2 && in->rank != 3)
        NRW_FAIL_INPUT(c, 0, "signal", "expected [batch, length, parts]");
    NRW_TRY(nrw_infer_rank(c, 4));
    int64_t step, length, *out = c->out[0].dims;
    bool known;
    NRW_TRY(nrw_infer_int(c, 1, "frame_step", &step, &known));
    if (known && step < 1) NRW_FAIL_INPUT(c, 1, "frame_step", "%lld", (long long)step);
    NRW_TRY(frame_length(c, &length));
    out[3] = 2;
    bool given = length >= 0;
    if (given && (length < 1 || length > INT32_MAX))
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "frames of length %lld", (long long)length);
    if (given) out[2] = nrw_attr_int(c->node, "onesided", 1) != 0 ? length / 2 + 1 : length;
    if (in->rank < 0) return NRW_OK;
    out[0] = in->dims[0];
    if (in->rank == 3 && in->dims[2] >= 0 && in->dims[2] != 1 && in->dims[2] != 2)
        NRW_FAIL_INPUT(c, 0, "signal", "the last axis holds 1 or 2 parts");
    if (!given || !known || in->dims[1] < 0) return NRW_OK;
    if (length > in->dims[1])
        NRW_FAIL_INPUT(c, 0, "signal", "%lld values are shorter than a frame of %lld",
                       (long long)in->dims[1], (long long)length);
    out[1] = 1 + (in->dims[1] - length) / step;
    return NRW_OK;
}

/* Cuts the frames out and weights them; what is left are plain lines. */
static nrw_status stft_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    int64_t batch = in->dims[0], frames = e->out[0].dims[1], step, length = in->dims[1];
    int parts = in->rank == 3 ? (int)in->dims[2] : 1;
    double *x, *window = NULL;
    NRW_TRY(nrw_read_int(e, 1, "frame_step", &step));
    if (nrw_has_input(e, 3)) NRW_TRY(nrw_read_int(e, 3, "frame_length", &length));
    if (nrw_has_input(e, 2)) {
        length = e->in[2]->dims[0];
        NRW_TRY(widen(e, e->in[2], &window));
    }
    NRW_TRY(widen(e, in, &x));
    size_t count;
    if (!nrw_mul_size((size_t)(batch * frames), (size_t)(length * parts), &count)) NRW_OOM(e->err);
    double *cut = nrw_arena_calloc(e->scratch, count + 1, sizeof *cut);
    if (cut == NULL) NRW_OOM(e->err);
    for (int64_t f = 0; f < batch * frames; f++) {
        const double *from = x + (f / frames * in->dims[1] + f % frames * step) * parts;
        for (int64_t i = 0; i < length * parts; i++) {
            cut[f * length * parts + i] = from[i] * (window != NULL ? window[i / parts] : 1);
        }
    }
    line_work w = {.in = cut,
                   .given = length,
                   .kept = e->out[0].dims[2],
                   .inner = 1,
                   .in_parts = parts,
                   .out_parts = 2};
    return run_lines(e, &w, length, batch * frames);
}

static nrw_status output_dtype(nrw_infer *c, nrw_dtype *out) {
    int64_t code = nrw_attr_int(c->node, "output_datatype", 1);
    *out = nrw_dtype_from_onnx((int)code);
    if (*out == NRW_NONE)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "output_datatype: no type %lld", (long long)code);
    return NRW_OK;
}

static nrw_status window_infer(nrw_infer *c) {
    int64_t n;
    bool known;
    NRW_TRY(nrw_infer_int(c, 0, "size", &n, &known));
    if (known && n < 0) NRW_FAIL_INPUT(c, 0, "size", "%lld is negative", (long long)n);
    if (!known) n = NRW_DIM_UNKNOWN;
    nrw_dtype dtype;
    NRW_TRY(output_dtype(c, &dtype));
    c->out[0] = nrw_type_make(dtype, 1, &n);
    return NRW_OK;
}

/* a0 - a1 cos(2πi/N) + a2 cos(4πi/N), N the size, or one less where the window is symmetric. */
static nrw_status window_run(nrw_eval *e, double a0, double a1, double a2) {
    nrw_tensor *out = &e->out[0];
    int64_t n = out->dims[0];
    double period = (double)(nrw_attr_int(e->node, "periodic", 1) != 0 ? n : n - 1);
    for (int64_t i = 0; i < n; i++) {
        double angle = 2 * M_PI * (double)i / period;
        double v = n == 1 ? 1 : a0 - a1 * cos(angle) + a2 * cos(2 * angle);
        char *to = (char *)out->data + i * nrw_dtype_size(out->dtype);
        NRW_TRY(nrw_from_f64(out->dtype, &v, to, 1, e->err));
    }
    return NRW_OK;
}

static nrw_status blackman_run(nrw_eval *e) {
    return window_run(e, 0.42, 0.5, 0.08);
}
static nrw_status hamming_run(nrw_eval *e) {
    return window_run(e, 25.0 / 46, 21.0 / 46, 0);
}
static nrw_status hann_run(nrw_eval *e) {
    return window_run(e, 0.5, 0.5, 0);
}

static nrw_status mel_infer(nrw_infer *c) {
    int64_t dims[2] = {NRW_DIM_UNKNOWN, NRW_DIM_UNKNOWN}, bins, length, rate;
    bool bins_known, length_known, rate_known;
    NRW_TRY(nrw_infer_int(c, 0, "num_mel_bins", &bins, &bins_known));
    NRW_TRY(nrw_infer_int(c, 1, "dft_length", &length, &length_known));
    NRW_TRY(nrw_infer_int(c, 2, "sample_rate", &rate, &rate_known));
    if ((bins_known && bins < 0) || (length_known && length < 0) || (rate_known && rate < 1))
        NRW_FAIL(c->err, NRW_ERR_SHAPE,
                 "num_mel_bins, dft_length and sample_rate must be positive");
    if (length_known) dims[0] = length / 2 + 1;
    if (bins_known) dims[1] = bins;
    nrw_dtype dtype;
    NRW_TRY(output_dtype(c, &dtype));
    c->out[0] = nrw_type_make(dtype, 2, dims);
    return NRW_OK;
}

static double hertz_to_mel(double hz) {
    return 2595 * log10(1 + hz / 700);
}
static double mel_to_hertz(double mel) {
    return 700 * (pow(10, mel / 2595) - 1);
}

/* Row of the spectrogram that the i-th of the equally spaced mel frequencies falls on. */
static double mel_row(double lo, double step, int64_t i, double length, double rate) {
    return floor((length + 1) * mel_to_hertz(lo + step * (double)i) / rate);
}

/* One triangle per mel bin: 0 at the rows of its neighbours' centres, 1 at its own. */
static nrw_status mel_run(nrw_eval *e) {
    nrw_tensor *out = &e->out[0];
    double length, rate, lo, hi;
    NRW_TRY(nrw_read_scalar(e, 1, &length));
    NRW_TRY(nrw_read_scalar(e, 2, &rate));
    NRW_TRY(nrw_read_scalar(e, 3, &lo));
    NRW_TRY(nrw_read_scalar(e, 4, &hi));
    int64_t rows = out->dims[0], bins = out->dims[1];
    lo = hertz_to_mel(lo);
    double step = (hertz_to_mel(hi) - lo) / (double)(bins + 2);
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < bins; i++) {
            double left = mel_row(lo, step, i, length, rate), at = (double)row, v = 0;
            double centre = mel_row(lo, step, i + 1, length, rate);
            double right = mel_row(lo, step, i + 2, length, rate);
            if (at >= centre && at < right)
                v = (right - at) / (right - centre);
            else if (at == centre)
                v = 1;
            else if (at >= left && at < centre)
                v = (at - left) / (centre - left);
            char *to = (char *)out->data + (row * bins + i) * nrw_dtype_size(out->dtype);
            NRW_TRY(nrw_from_f64(out->dtype, &v, to, 1, e->err));
        }
    }
    return NRW_OK;
}

static const nrw_attr_def dft_attrs[] = {
    {"inverse", NRW_ATTR_INT, false}, {"onesided", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def stft_attrs[] = {{"onesided", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def window_attrs[] = {
    {"periodic", NRW_ATTR_INT, false}, {"output_datatype", NRW_ATTR_INT, false}, {0}};
static const nrw_attr_def mel_attrs[] = {{"output_datatype", NRW_ATTR_INT, false}, {0}};

static const nrw_case dft_cases[] = {{"graph main(%x: f32[2,10,1]) { "
                                      "  %y: f32[2,6,2] = DFT(%x) {onesided=1} "
                                      "  return %y } ",
                                      -1, 1},
                                     {"graph main(%x: f32[2,6,2]) { "
                                      "  const %a: i64[] = [1] "
                                      "  const %n: i64[] = [7] "
                                      "  %y: f32[2,7,2] = DFT(%x, %n, %a) {inverse=1} "
                                      "  return %y } ",
                                      -1, 1},
                                     {0}};
static const nrw_op dft_row = {
    .name = "DFT",
    .domain = "",
    .min_in = 1,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = dft_attrs,
    .infer = dft_infer,
    .reference = dft_run,
    .onnx = {"DFT", 17},
    .cases = dft_cases,
};
static const nrw_case stft_cases[] = {{"graph main(%x: f32[1,32,1]) { "
                                       "  const %s: i64[] = [4] "
                                       "  const %n: i64[] = [12] "
                                       "  %y: f32[1,6,7,2] = STFT(%x, %s, _, %n) "
                                       "  return %y } ",
                                       -1, 1},
                                      {"graph main(%x: f32[2,32]) { "
                                       "  const %s: i64[] = [4] "
                                       "  const %n: i64[] = [12] "
                                       "  %y: f32[2,6,7,2] = STFT(%x, %s, _, %n) "
                                       "  return %y } ",
                                       -1, 1},
                                      {0}};
static const nrw_op stft_row = {
    .name = "STFT",
    .domain = "",
    .min_in = 2,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .attrs = stft_attrs,
    .infer = stft_infer,
    .reference = stft_run,
    .onnx = {"STFT", 17},
    .cases = stft_cases,
};
static const nrw_case blackman_cases[] = {{"graph main() { "
                                           "  const %n: i64[] = [9] "
                                           "  %y: f32[9] = BlackmanWindow(%n) "
                                           "  return %y } ",
                                           -1, 1},
                                          {0}};
static const nrw_op blackman_row = {
    .name = "BlackmanWindow",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = window_attrs,
    .infer = window_infer,
    .reference = blackman_run,
    .onnx = {"BlackmanWindow", 17},
    .aten = "aten.blackman_window.default",
    .cases = blackman_cases,
};
static const nrw_case hamming_cases[] = {{"graph main() { "
                                          "  const %n: i64[] = [9] "
                                          "  %y: f32[9] = HammingWindow(%n) {periodic=0} "
                                          "  return %y } ",
                                          -1, 1},
                                         {0}};
static const nrw_op hamming_row = {
    .name = "HammingWindow",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = window_attrs,
    .infer = window_infer,
    .reference = hamming_run,
    .onnx = {"HammingWindow", 17},
    .aten = "aten.hamming_window.default",
    .cases = hamming_cases,
};
static const nrw_case hann_cases[] = {{"graph main() { "
                                       "  const %n: i64[] = [9] "
                                       "  %y: f32[9] = HannWindow(%n) "
                                       "  return %y } ",
                                       -1, 1},
                                      {0}};
static const nrw_op hann_row = {
    .name = "HannWindow",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = window_attrs,
    .infer = window_infer,
    .reference = hann_run,
    .onnx = {"HannWindow", 17},
    .aten = "aten.hann_window.default",
    .cases = hann_cases,
};
static const nrw_case mel_op_cases[] = {{"graph main() { "
                                         "  const %b: i64[] = [4] "
                                         "  const %n: i64[] = [16] "
                                         "  const %r: i64[] = [8192] "
                                         "  const %l: f32[] = [0] "
                                         "  const %h: f32[] = [4096] "
                                         "  %y: f32[9,4] = MelWeightMatrix(%b, %n, %r, %l, %h) "
                                         "  return %y } ",
                                         -1, 1},
                                        {0}};
static const nrw_op mel_op_row = {
    .name = "MelWeightMatrix",
    .domain = "",
    .min_in = 5,
    .max_in = 5,
    .min_out = 1,
    .max_out = 1,
    .attrs = mel_attrs,
    .infer = mel_infer,
    .reference = mel_run,
    .onnx = {"MelWeightMatrix", 17},
    .cases = mel_op_cases,
};

NRW_OPS(signal, &dft_row, &stft_row, &blackman_row, &hamming_row, &hann_row, &mel_op_row);
