#include "quant/bias_correction.h"

#include <math.h>
#include <string.h>

#include "base/wide.h"
#include "ops/window.h"
#include "passes/match.h"

__extension__ typedef __int128 wide;

struct nrw_means {
    const nrw_allocator *allocator;
    size_t bytes;
    int axis;
    int64_t channels, count; /* values seen of each channel */
    wide sum[];              /* [channels] in units of UNIT */
};

/* Sums are kept in whole units, so that they do not depend on the order of the samples. A sample's
 * own sum is a double; beyond LARGEST it says nothing that could be corrected. */
#define UNIT    0x1p-40
#define LARGEST 0x1p60

nrw_means *nrw_means_new(const nrw_allocator *a, int axis, int64_t channels) {
    size_t bytes;
    if (channels < 0 || !nrw_mul_size((size_t)channels, sizeof(wide), &bytes) ||
        !nrw_add_size(bytes, sizeof(nrw_means), &bytes))
        return NULL;
    nrw_means *m = nrw_mem_alloc(a, bytes);
    if (m == NULL) return NULL;
    memset(m, 0, bytes);
    m->allocator = a;
    m->bytes = bytes;
    m->axis = axis;
    m->channels = channels;
    return m;
}

void nrw_means_free(nrw_means *m) {
    if (m != NULL) nrw_mem_free(m->allocator, m, m->bytes);
}

void nrw_means_clear(nrw_means *m) {
    m->count = 0;
    memset(m->sum, 0, (size_t)m->channels * sizeof *m->sum);
}

/* Sixteen sums side by side, each of few enough numbers for a float. */
typedef float lanes __attribute__((vector_size(64)));

NRW_WIDE static double sum_of(const float *x, int64_t n) {
    enum { LANES = 16, RUN = 1024 };
    double sum = 0;
    int64_t i = 0;
    while (i + LANES <= n) {
        lanes part = {0}, v;
        for (int64_t end = i + RUN < n ? i + RUN : n; i + LANES <= end; i += LANES) {
            memcpy(&v, x + i, sizeof v);
            part += v;
        }
        for (int k = 0; k < LANES; k++) sum += (double)part[k];
    }
    for (; i < n; i++) sum += (double)x[i];
    return sum;
}

void nrw_means_add(nrw_means *m, const nrw_tensor *t) {
    const int axis = m->axis < 0 ? m->axis + t->rank : m->axis;
    if (t->dtype != NRW_F32 || axis < 0 || axis >= t->rank || t->dims[axis] != m->channels) return;
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < axis; i++) outer *= t->dims[i];
    for (int i = axis + 1; i < t->rank; i++) inner *= t->dims[i];
    const float *x = t->data;
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t c = 0; c < m->channels; c++, x += inner) {
            const double sum = sum_of(x, inner);
            if (fabs(sum) <= LARGEST) m->sum[c] += (wide)(sum / UNIT);
        }
    }
    m->count += outer * inner;
}

double nrw_means_get(const nrw_means *m, int64_t channel) {
    return m->count > 0 ? (double)m->sum[channel] * UNIT / (double)m->count : 0;
}

/* How the weights of a layer are addressed: output o, input i (within the group of o), tap k. */
typedef struct layout {
    int64_t outputs, inputs, taps, groups;
    int64_t output_step, input_step; /* taps lie side by side */
    const double *covered; /* [taps] at what share of the positions the tap is not on padding */
} layout;

/* Along one axis, for tap k. */
static double covered_along(const nrw_window *w, int axis, int64_t k) {
    int64_t inside = 0;
    for (int64_t o = 0; o < w->out[axis]; o++) {
        int64_t first, last;
        nrw_window_taps(w, axis, o, &first, &last);
        inside += k >= first && k < last;
    }
    return w->out[axis] > 0 ? (double)inside / (double)w->out[axis] : 1;
}

/* Padding is zero, whatever the mean of the input. False when the sizes that tell are not known. */
static bool find_covered(const nrw_node *n, layout *l, nrw_arena *arena) {
    const nrw_type *x = &n->inputs[0]->type;
    const nrw_tensor *weights = n->inputs[n->op->quant.weight_input]->data;
    double *covered = nrw_arena_calloc(arena, (size_t)l->taps + 1, sizeof *covered);
    nrw_window w = {0};
    l->covered = covered;
    if (covered == NULL) return false;
    if (nrw_is(n, "Conv")) {
        if (x->rank != weights->rank ||
            nrw_window_read(n, x->rank - 2, weights->dims + 2, &w, NULL) != NRW_OK ||
            nrw_window_fit(&w, x->dims + 2, NULL) != NRW_OK)
            return false;
    }
    bool pads = w.auto_pad == NRW_PAD_SAME_UPPER || w.auto_pad == NRW_PAD_SAME_LOWER, known = true;
    for (int i = 0; i < w.n; i++) {
        pads |= w.pad_begin[i] != 0 || w.pad_end[i] != 0;
        known &= w.in[i] >= 0 && w.out[i] >= 0;
    }
    for (int64_t k = 0; k < l->taps; k++) {
        int64_t rest = k;
        covered[k] = 1;
        for (int i = w.n - 1; i >= 0 && pads && known; i--) {
            covered[k] *= covered_along(&w, i, rest % w.kernel[i]);
            rest /= w.kernel[i];
        }
    }
    return known || !pads;
}

static bool layout_of(const nrw_node *n, layout *l) {
    const nrw_tensor *w = n->inputs[n->op->quant.weight_input]->data;
    if (nrw_is(n, "Conv")) {
        *l = (layout){w->dims[0], w->dims[1], 1, nrw_attr_int(n, "group", 1), 0, 0, NULL};
        for (int i = 2; i < w->rank; i++) l->taps *= w->dims[i];
        l->input_step = l->taps;
        l->output_step = l->taps * l->inputs;
        return l->groups > 0 && l->outputs % l->groups == 0;
    }
    if (!nrw_is(n, "Gemm")) return false;
    const bool turned = nrw_attr_int(n, "transB", 0) != 0;
    *l = (layout){.outputs = w->dims[!turned],
                  .inputs = w->dims[turned],
                  .taps = 1,
                  .groups = 1,
                  .output_step = turned ? w->dims[1] : 1,
                  .input_step = turned ? 1 : w->dims[1]};
    return true;
}

bool nrw_correction_channels(const nrw_node *layer, int *axis, int64_t *channels) {
    layout l;
    if (!layout_of(layer, &l)) return false;
    *axis = nrw_is(layer, "Conv") ? 1 : -1;
    *channels = l.inputs * l.groups;
    return true;
}

/* shift[o]: how much the error of the weights moves the mean of output o. */
static void find_shift(const layout *l, const float *exact, const float *rounded,
                       const nrw_means *x, double *shift) {
    for (int64_t o = 0; o < l->outputs; o++) {
        const int64_t first = o / (l->outputs / l->groups) * l->inputs;
        shift[o] = 0;
        for (int64_t i = 0; i < l->inputs; i++) {
            const int64_t at = o * l->output_step + i * l->input_step;
            double error = 0;
            for (int64_t k = 0; k < l->taps; k++) {
                error += ((double)rounded[at + k] - exact[at + k]) * l->covered[k];
            }
            shift[o] += error * nrw_means_get(x, first + i);
        }
    }
}

/* What the weights are once they are integers. */
static nrw_status round_weights(const nrw_tensor *w, const nrw_quant *quant, nrw_arena *arena,
                                float **rounded, nrw_error *err) {
    nrw_tensor q;
    *rounded = nrw_arena_calloc(arena, (size_t)nrw_tensor_count(w) + 1, sizeof **rounded);
    if (*rounded == NULL) NRW_OOM(err);
    NRW_TRY(nrw_tensor_new(arena, quant->dtype, w->rank, w->dims, &q, err));
    q.quant = quant;
    NRW_TRY(nrw_quantize_values(w->data, &q, err));
    return nrw_dequantize(&q, *rounded, err);
}

static nrw_status correct(nrw_node *n, layout *l, const nrw_quant *weights, const nrw_means *x,
                          nrw_arena *scratch, nrw_error *err) {
    const nrw_quant_spec *spec = &n->op->quant;
    const nrw_tensor *w = n->inputs[spec->weight_input]->data;
    const nrw_value *old = nrw_input(n, spec->bias_input);
    int64_t count = l->outputs;
    const float *before = old != NULL ? nrw_const_floats(old, &count) : NULL;
    if ((old != NULL && before == NULL) || count != l->outputs) return NRW_OK;
    float *rounded, *bias;
    if (!find_covered(n, l, scratch)) return NRW_OK;
    NRW_TRY(round_weights(w, weights, scratch, &rounded, err));
    double *shift = nrw_arena_calloc(scratch, (size_t)l->outputs + 1, sizeof *shift);
    nrw_value *v =
        nrw_new_floats(n->graph, old != NULL ? old->name : n->name, 1, &l->outputs, &bias);
    if (shift == NULL || v == NULL) NRW_OOM(err);
    find_shift(l, w->data, rounded, x, shift);
    for (int64_t o = 0; o < l->outputs; o++) {
        bias[o] = (float)((before != NULL ? (double)before[o] : 0) - shift[o]);
    }
    if (n->n_inputs <= spec->bias_input)
        NRW_TRY(nrw_node_resize_inputs(n, spec->bias_input + 1, err));
    return nrw_node_set_input(n, spec->bias_input, v, err);
}

nrw_status nrw_correct_bias(nrw_node *layer, const nrw_quant *weights, const nrw_means *x,
                            nrw_error *err) {
    layout l;
    if (x == NULL || x->count == 0 || !layout_of(layer, &l) || x->channels != l.inputs * l.groups)
        return NRW_OK;
    nrw_arena scratch;
    nrw_arena_init(&scratch, layer->graph->model->arena.allocator);
    const nrw_status s = correct(layer, &l, weights, x, &scratch, err);
    nrw_arena_free(&scratch);
    return s;
}
