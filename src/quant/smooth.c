#include "quant/smooth.h"

#include <math.h>

#include "passes/match.h"
#include "quant/calibrate.h"
#include "quant/placement.h"

/* s = peak^STRENGTH / weight^(1 - STRENGTH). Normalized values change little from sample to sample,
 * so most of their spread can move. */
#define STRENGTH 0.7
#define SAMPLES  32  /* peaks of channels are known soon */
#define PAYS     1.5 /* how much smaller the noise has to get */
/* Without data: what a normalization's scale and bias allow, in deviations, and more distrust. */
#define DEVIATIONS     4
#define PAYS_ESTIMATED 2.0

typedef struct site {
    nrw_value *x;
    int64_t channels;
    nrw_observer *seen; /* NULL without data */
    const float *peaks; /* [channels] */
} site;

/* Where a layer's weights have the channel of its input: rows or, transposed, columns. */
static bool transposed(const nrw_node *layer) {
    return nrw_is(layer, "Gemm") && nrw_attr_int(layer, "transB", 0) != 0;
}

static bool is_product(const nrw_use *u, const nrw_recipe *r) {
    const nrw_node *n = u->node;
    if (n == NULL || u->index != 0 || !nrw_is_layer(n)) return false;
    if (!nrw_is(n, "MatMul") && !nrw_is(n, "Gemm")) return false;
    const nrw_override *o = nrw_recipe_override(r, n->name, true);
    /* Weights that another layer reads as well would have to be stored twice. */
    return n->inputs[1]->data->rank == 2 && nrw_value_only_use(n->inputs[1]) != NULL &&
           (o == NULL || !o->keep_float);
}

static bool is_vector(const nrw_value *v, int64_t *n) {
    return nrw_const_floats(v, n) != NULL && *n > 1 && v->data->dims[v->data->rank - 1] == *n;
}

/* v is normalized: by an operator, or by a written-out one that ends with its scale and bias. */
static bool is_normalized(const nrw_value *v) {
    const nrw_node *n = v->producer;
    int64_t count;
    if (nrw_is(n, "LayerNormalization") || nrw_is(n, "RMSNormalization"))
        return n->outputs[0] == v && is_vector(nrw_input(n, 1), &count);
    if (nrw_is(n, "Mul") || nrw_is(n, "Add"))
        return is_vector(n->inputs[0], &count) || is_vector(n->inputs[1], &count);
    return false;
}

static bool is_site(nrw_value *v, const nrw_recipe *r, site *s) {
    if (v == NULL || v->type.dtype != NRW_F32 || !is_normalized(v)) return false;
    const nrw_override *o = nrw_recipe_override(r, v->name, false);
    if (o != NULL && (o->keep_float || o->has_range)) return false;
    s->x = v;
    s->channels = 0;
    for (size_t i = 0; i < v->n_uses; i++) {
        if (!is_product(&v->uses[i], r)) continue;
        const nrw_node *n = v->uses[i].node;
        const int64_t k = n->inputs[1]->data->dims[transposed(n)];
        if (s->channels != 0 && k != s->channels) return false;
        s->channels = k;
    }
    return s->channels > 1;
}

/* Over all layers that take x: the largest weight of each channel, and the sum of squares. */
static void measure_weights(const site *s, const nrw_recipe *r, float *most, double *energy) {
    for (size_t i = 0; i < s->x->n_uses; i++) {
        if (!is_product(&s->x->uses[i], r)) continue;
        const nrw_node *n = s->x->uses[i].node;
        const nrw_tensor *t = n->inputs[1]->data;
        const float *w = t->data;
        const bool turned = transposed(n);
        for (int64_t k = 0; k < nrw_tensor_count(t); k++) {
            const int64_t c = turned ? k % t->dims[1] : k / t->dims[1];
            most[c] = fmaxf(most[c], fabsf(w[k]));
            energy[c] += (double)w[k] * w[k];
        }
    }
}

/* Rounding x / s adds noise as wide as the widest channel's steps, which each channel of the
 * weights then carries. Fills factor[] and says whether that lowers it enough. */
static bool choose(const site *s, const nrw_recipe *r, float *factor, float *most, double *energy) {
    const float *peak = s->peaks;
    measure_weights(s, r, most, energy);
    double mean = 0;
    for (int64_t c = 0; c < s->channels; c++) {
        const bool known = peak[c] > 0 && most[c] > 0 && isfinite(most[c]);
        factor[c] = known ? powf(peak[c], STRENGTH) / powf(most[c], 1 - STRENGTH) : 0;
        mean += known ? log(factor[c]) : 0;
    }
    mean = exp(mean / (double)s->channels);
    double before = 0, after = 0, widest = 0, widest_then = 0;
    for (int64_t c = 0; c < s->channels; c++) {
        const double f = factor[c] > 0 ? factor[c] / mean : 1;
        factor[c] = (float)fmin(fmax(f, 1e-3), 1e3);
        widest = fmax(widest, peak[c]);
        widest_then = fmax(widest_then, peak[c] / factor[c]);
        before += energy[c];
        after += energy[c] * factor[c] * factor[c];
    }
    const double pays = s->seen != NULL ? PAYS : PAYS_ESTIMATED;
    return before * widest * widest > pays * after * widest_then * widest_then;
}

static nrw_status scale_weights(nrw_node *n, const float *factor, nrw_error *err) {
    const nrw_value *old = n->inputs[1];
    float *to;
    nrw_value *v = nrw_new_floats(n->graph, old->name, 2, old->data->dims, &to);
    if (v == NULL) NRW_OOM(err);
    const float *w = old->data->data;
    const bool turned = transposed(n);
    for (int64_t k = 0; k < nrw_tensor_count(old->data); k++) {
        const int64_t columns = old->data->dims[1];
        to[k] = w[k] * factor[turned ? k % columns : k / columns];
    }
    return nrw_node_set_input(n, 1, v, err);
}

/* What was normalized, divided by factor. */
static nrw_status divided(const site *s, const float *factor, nrw_value **out, nrw_error *err) {
    nrw_graph *g = s->x->graph;
    float *inverse;
    nrw_value *by = nrw_new_floats(g, s->x->name, 1, &s->channels, &inverse);
    nrw_node *n =
        nrw_node_new(g, nrw_op_find("Mul", ""), "Mul", "", NULL, 2, 1, s->x->producer->next);
    nrw_value *y = nrw_value_new(g, NULL, &s->x->type);
    if (by == NULL || n == NULL || y == NULL) NRW_OOM(err);
    for (int64_t c = 0; c < s->channels; c++) inverse[c] = 1 / factor[c];
    NRW_TRY(nrw_node_set_input(n, 0, s->x, err));
    NRW_TRY(nrw_node_set_input(n, 1, by, err));
    nrw_node_set_output(n, 0, y);
    *out = y;
    return NRW_OK;
}

/* The normalization divides by itself: nothing else reads what it makes. */
static nrw_status absorb(const site *s, const float *factor, nrw_value **out, nrw_error *err) {
    nrw_node *n = s->x->producer;
    nrw_value *y = nrw_value_new(n->graph, NULL, &s->x->type);
    if (y == NULL) NRW_OOM(err);
    for (int i = 1; i < 3 && nrw_input(n, i) != NULL; i++) {
        const nrw_value *old = n->inputs[i];
        float *to;
        nrw_value *v = nrw_new_floats(n->graph, old->name, old->data->rank, old->data->dims, &to);
        if (v == NULL) NRW_OOM(err);
        for (int64_t c = 0; c < s->channels; c++) {
            to[c] = ((const float *)old->data->data)[c] / factor[c];
        }
        NRW_TRY(nrw_node_set_input(n, i, v, err));
    }
    nrw_node_set_output(n, 0, y);
    *out = y;
    return NRW_OK;
}

static bool can_absorb(const site *s, const nrw_recipe *r) {
    const nrw_node *n = s->x->producer;
    if (!nrw_is(n, "LayerNormalization") && !nrw_is(n, "RMSNormalization")) return false;
    for (int i = 1; i < 3 && nrw_input(n, i) != NULL; i++) {
        int64_t count;
        if (!is_vector(n->inputs[i], &count) || count != s->channels) return false;
    }
    for (size_t i = 0; i < s->x->n_uses; i++) {
        if (!is_product(&s->x->uses[i], r)) return false;
    }
    return true;
}

static nrw_status smooth_site(const site *s, const nrw_recipe *r, nrw_arena *scratch,
                              nrw_error *err) {
    const size_t n = (size_t)s->channels;
    float *factor = nrw_arena_calloc(scratch, n, sizeof *factor);
    float *most = nrw_arena_calloc(scratch, n, sizeof *most);
    double *energy = nrw_arena_calloc(scratch, n, sizeof *energy);
    if (factor == NULL || most == NULL || energy == NULL) NRW_OOM(err);
    if (!choose(s, r, factor, most, energy)) return NRW_OK;
    nrw_value *y = NULL;
    if (can_absorb(s, r))
        NRW_TRY(absorb(s, factor, &y, err));
    else
        NRW_TRY(divided(s, factor, &y, err));
    for (size_t i = s->x->n_uses; i-- > 0;) {
        const nrw_use u = s->x->uses[i];
        if (!is_product(&u, r)) continue;
        NRW_TRY(scale_weights(u.node, factor, err));
        NRW_TRY(nrw_node_set_input(u.node, 0, y, err));
    }
    return NRW_OK;
}

static int find_sites(nrw_model *m, const nrw_recipe *r, site *sites) {
    int n = 0;
    for (nrw_node *node = m->graph->first; node != NULL; node = node->next) {
        if (node->n_outputs > 0 && is_site(node->outputs[0], r, &sites[n])) n++;
    }
    return n;
}

static nrw_status watch(site *s, const nrw_model *m, nrw_watch *watches, nrw_error *err) {
    s->seen = watches[s->x->id].range = nrw_observer_new(m->arena.allocator);
    if (s->seen == NULL) NRW_OOM(err);
    NRW_TRY(nrw_observer_watch_channels(s->seen, s->channels, err));
    s->peaks = nrw_observer_peaks(s->seen);
    return NRW_OK;
}

/* Peaks from the scale and bias; s->peaks stays NULL where they are not known. */
static nrw_status estimate(site *s, nrw_arena *scratch, nrw_error *err) {
    const nrw_node *n = s->x->producer;
    if (nrw_is(n, "Mul") || nrw_is(n, "Add")) return NRW_OK;
    const bool has_bias = nrw_input(n, 2) != NULL;
    int64_t scales, biases = s->channels;
    const float *scale = nrw_const_floats(n->inputs[1], &scales);
    const float *bias = has_bias ? nrw_const_floats(n->inputs[2], &biases) : NULL;
    if (scales != s->channels || biases != s->channels || (has_bias && bias == NULL)) return NRW_OK;
    float *peaks = nrw_arena_calloc(scratch, (size_t)s->channels, sizeof *peaks);
    if (peaks == NULL) NRW_OOM(err);
    for (int64_t c = 0; c < s->channels; c++) {
        peaks[c] = DEVIATIONS * fabsf(scale[c]) + (has_bias ? fabsf(bias[c]) : 0);
    }
    s->peaks = peaks;
    return NRW_OK;
}

static nrw_status measure(nrw_model *m, const nrw_recipe *r, const nrw_sample_source *source,
                          nrw_arena *scratch, site *sites, int n, nrw_error *err) {
    nrw_watch *watches = nrw_arena_calloc(scratch, (size_t)m->n_values + 1, sizeof *watches);
    if (watches == NULL) NRW_OOM(err);
    for (int i = 0; i < n; i++) NRW_TRY(watch(&sites[i], m, watches, err));
    int64_t limit = SAMPLES, samples;
    if (r->samples > 0 && r->samples < limit) limit = r->samples;
    nrw_sample_source quiet = *source; /* what it gives is seen by the calibration proper */
    quiet.seen = NULL;
    return nrw_calibrate(m, &quiet, limit, false, watches, &samples, err);
}

static nrw_status smooth_with(nrw_model *m, const nrw_recipe *r, const nrw_sample_source *source,
                              nrw_arena *scratch, site *sites, int n, nrw_error *err) {
    if (n > 0 && source != NULL) NRW_TRY(measure(m, r, source, scratch, sites, n, err));
    for (int i = 0; i < n; i++) {
        if (source == NULL) NRW_TRY(estimate(&sites[i], scratch, err));
        if (sites[i].peaks != NULL) NRW_TRY(smooth_site(&sites[i], r, scratch, err));
    }
    return NRW_OK;
}

nrw_status nrw_smooth(nrw_model *m, const nrw_recipe *r, const nrw_sample_source *source,
                      nrw_error *err) {
    nrw_arena scratch;
    nrw_arena_init(&scratch, m->arena.allocator);
    site *sites = nrw_arena_calloc(&scratch, (size_t)m->graph->n_nodes + 1, sizeof *sites);
    const int n = sites != NULL ? find_sites(m, r, sites) : 0;
    nrw_status s = sites != NULL ? smooth_with(m, r, source, &scratch, sites, n, err)
                                 : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
    for (int i = 0; i < n; i++) nrw_observer_free(sites[i].seen);
    nrw_arena_free(&scratch);
    return s;
}
