/* Where a quantized model differs from its float original, layer by layer.
 *
 * Three numbers for each layer, all as signal to quantization noise:
 *   all errors so far   the layer's output in the quantized model against the float one
 *   the layer's own     its output when the layer alone is quantized, everything before it in float
 *   its effect          the model's first output when the layer alone is quantized
 * The last two come from interventions: the float model with one layer's annotations put in. Layers
 * meet by the name of their nodes, in the form that the float model has after the passes that come
 * before quantization. */
#include <math.h>
#include <string.h>

#include "narrow/narrow.h"
#include "ops/eval.h"
#include "passes/pass.h"
#include "report/runner.h"
#include "report/metrics.h"

/* Interventions run the model twice per layer and sample: a few samples tell enough, and deep
 * models get fewer yet. */
enum { SAMPLES = 8, INTERVENTIONS = 400 };

struct nrw_comparison {
    nrw_arena arena;
    const nrw_allocator *allocator;
    nrw_layer_error *rows;
    int n;
};

typedef struct layer {
    const nrw_node *quantized, *twin; /* the node in the quantized model, and in the float one */
    const nrw_value *value;           /* output 0 of the float one */
    nrw_sqnr all, own, effect;
    double low, high;
    int64_t outside, count;
    float *kept; /* the float value on the present sample */
    int64_t kept_n;
} layer;

typedef struct comparer {
    const nrw_context *context;
    nrw_model *twin; /* the float model in the form that was quantized */
    const nrw_model *quantized;
    nrw_dataset *data;
    layer *layers;
    int n;
    layer *watched; /* interventions: the layer whose output is measured; NULL: all */
    bool keeping;   /* the float pass stores; the other passes compare */
    nrw_arena arena, sample_arena;
    nrw_error *err;
} comparer;

static const nrw_node *find_node(const nrw_graph *g, const nrw_node *like) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        if (strcmp(n->name, like->name) == 0 && strcmp(n->type, like->type) == 0) return n;
    }
    return NULL;
}

/* The float value that a layer's output stands for: the layer's own, or that of a Relu or Clip
 * behind it, when the quantized layer has taken that over together with its name. */
static const nrw_value *float_output(const nrw_node *quantized, const nrw_node *twin) {
    const nrw_value *v = twin->outputs[0];
    const nrw_use *use = nrw_value_only_use(v);
    if (quantized->outputs[0] == NULL || use == NULL || use->node->op == NULL) return v;
    const nrw_value *after =
        use->node->op->quant.rule == NRW_QUANT_CLAMP ? use->node->outputs[0] : NULL;
    return after != NULL && strcmp(after->name, quantized->outputs[0]->name) == 0 ? after : v;
}

static nrw_status find_layers(comparer *c) {
    const nrw_graph *g = c->quantized->graph;
    c->layers = nrw_arena_calloc(&c->arena, (size_t)g->n_nodes + 1, sizeof *c->layers);
    if (c->layers == NULL) NRW_OOM(c->err);
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        if (n->op == NULL || n->op->quant.rule == NRW_QUANT_NONE || !nrw_eval_is_annotated(n))
            continue;
        const nrw_node *twin = find_node(c->twin->graph, n);
        if (twin == NULL || twin->n_outputs < 1 || twin->outputs[0] == NULL) continue;
        if (n->op->quant.rule == NRW_QUANT_SAME_SCALE && n->op->quant.moves_only) continue;
        c->layers[c->n++] = (layer){.quantized = n,
                                    .twin = twin,
                                    .value = float_output(n, twin),
                                    .low = INFINITY,
                                    .high = -INFINITY};
    }
    if (c->n == 0)
        NRW_FAIL(c->err, NRW_ERR_DATA,
                 "%s: no quantized layer has its float twin in %s; are they the same model?",
                 c->quantized->source, c->twin->source);
    return NRW_OK;
}

static layer *layer_of(comparer *c, const nrw_value *v) {
    for (int i = 0; i < c->n; i++) {
        if (strcmp(c->layers[i].value->name, v->name) == 0) return &c->layers[i];
    }
    return NULL;
}

static nrw_status as_floats(comparer *c, const nrw_tensor *t, float **out, int64_t *n) {
    *n = nrw_tensor_count(t);
    *out = nrw_arena_calloc(&c->sample_arena, (size_t)*n + 1, sizeof **out);
    if (*out == NULL) NRW_OOM(c->err);
    if (t->quant != NULL) return nrw_dequantize(t, *out, c->err);
    return nrw_to_f32(t->dtype, t->data, *out, *n, c->err);
}

static nrw_status keep(comparer *c, layer *l, const nrw_tensor *t) {
    NRW_TRY(as_floats(c, t, &l->kept, &l->kept_n));
    const nrw_quant *q = l->quantized->outputs[0] != NULL ? l->quantized->outputs[0]->quant : NULL;
    bool ranged = q != NULL && q->count == 1 && !q->dynamic;
    const nrw_dtype_row *row = ranged ? nrw_dtype_get(q->dtype) : NULL;
    float low = ranged ? q->scale[0] * (float)(row->min - q->zero_point[0]) : -INFINITY;
    float high = ranged ? q->scale[0] * (float)(row->max - q->zero_point[0]) : INFINITY;
    float half = ranged ? q->scale[0] / 2 : 0;
    for (int64_t i = 0; i < l->kept_n; i++) {
        float x = l->kept[i];
        l->low = fmin(l->low, (double)x);
        l->high = fmax(l->high, (double)x);
        l->outside += x < low - half || x > high + half;
    }
    l->count += l->kept_n;
    return NRW_OK;
}

/* Float pass: stores every layer's output. Other passes: measures against what was stored. */
static nrw_status observe(void *user, const nrw_value *v, const nrw_tensor *t, nrw_error *err) {
    comparer *c = user;
    (void)err;
    layer *l = layer_of(c, v);
    if (l == NULL || t->kind != NRW_TENSOR) return NRW_OK;
    if (c->keeping) return keep(c, l, t);
    if (l->kept == NULL || (c->watched != NULL && c->watched != l)) return NRW_OK;
    float *x;
    int64_t n;
    NRW_TRY(as_floats(c, t, &x, &n));
    if (n == l->kept_n) nrw_sqnr_add(c->watched != NULL ? &l->own : &l->all, l->kept, x, n);
    return NRW_OK;
}

static nrw_status open_watched(comparer *c, nrw_runner *f, const nrw_model *m) {
    const nrw_plan_options options = {.keep_values = true};
    NRW_TRY(nrw_runner_open(f, m, c->data, &options, 1, c->err));
    nrw_lanes_observe(f->lanes, observe, c);
    return NRW_OK;
}

/* One batch at a time: observers look at the values of one. */
static nrw_status run_one(nrw_runner *f, const nrw_tensor *samples, nrw_error *err) {
    NRW_TRY(nrw_runner_fill(f, 0, samples, err));
    return nrw_runner_run(f, 1, err);
}

static nrw_status float_pass(comparer *c, nrw_runner *f, int64_t b, nrw_tensor *samples,
                             const float **out, int64_t *n) {
    const float *rows;
    nrw_arena_reset(&c->sample_arena);
    NRW_TRY(nrw_dataset_read(c->data, b, samples, NULL, c->err));
    c->keeping = true;
    nrw_status s = run_one(f, samples, c->err);
    c->keeping = false;
    NRW_TRY(s);
    NRW_TRY(nrw_runner_output(f, 0, 1, &rows, n, c->err));
    *out = nrw_arena_dup(&c->sample_arena, rows, (size_t)*n * sizeof(float) + 1);
    if (*out == NULL) NRW_OOM(c->err);
    return NRW_OK;
}

static bool same_name(const nrw_value *a, const nrw_value *b) {
    return strcmp(a->name, b->name) == 0;
}

/* Smoothing put a factor between a value and the layer: a product with constants behind the value,
 * or other constants in the normalization that makes it. Finds that node of the quantized model,
 * and what its copy in the float one has to read. x is the layer's input there. */
static const nrw_node *smoothing_node(const nrw_value *v, nrw_value *x, nrw_value **data) {
    while (v->producer != NULL && strcmp(v->producer->type, "Requantize") == 0)
        v = v->producer->inputs[0];
    const nrw_node *n = v->producer, *made = x->producer;
    if (n == NULL || n->op == NULL || same_name(v, x)) return NULL;
    for (int i = 0; strcmp(n->type, "Mul") == 0 && i < 2; i++) {
        if (n->inputs[1 - i]->data == NULL || !same_name(n->inputs[i], x)) continue;
        *data = x;
        return n;
    }
    if (made == NULL || n->op != made->op || n->op->quant.rule != NRW_QUANT_NONE ||
        strcmp(n->name, made->name) != 0)
        return NULL;
    *data = made->inputs[0];
    return n;
}

static nrw_status smoothed_input(const nrw_value *v, nrw_node *to, int i, nrw_value **out,
                                 nrw_error *err) {
    nrw_value *data;
    *out = to->inputs[i];
    const nrw_node *n = smoothing_node(v, to->inputs[i], &data);
    if (n == NULL) return NRW_OK;
    nrw_node *copy = nrw_node_new(to->graph, n->op, n->type, n->domain, NULL, n->n_inputs, 1, to);
    nrw_value *y = nrw_value_new(to->graph, NULL, &to->inputs[i]->type);
    if (copy == NULL || y == NULL) NRW_OOM(err);
    for (int k = 0; k < n->n_inputs; k++) {
        nrw_value *in = n->inputs[k];
        if (in == NULL) continue;
        in = in->data != NULL ? nrw_const_new(to->graph, NULL, in->data) : data;
        if (in == NULL) NRW_OOM(err);
        NRW_TRY(nrw_node_set_input(copy, k, in, err));
    }
    for (int k = 0; k < n->n_attrs; k++) NRW_TRY(nrw_node_set_attr(copy, &n->attrs[k], err));
    nrw_node_set_output(copy, 0, y);
    *out = y;
    return NRW_OK;
}

/* Copies one node's annotations, and the constants that carry them, from the quantized model into a
 * float twin. */
static nrw_status transplant(const nrw_node *from, nrw_node *to, nrw_error *err) {
    nrw_model *m = to->graph->model;
    for (int i = 0; i < from->n_inputs && i < to->n_inputs; i++) {
        const nrw_value *v = from->inputs[i];
        if (v == NULL || v->quant == NULL || to->inputs[i] == NULL) continue;
        nrw_value *fresh;
        if (v->data != NULL) {
            fresh = nrw_const_new(to->graph, NULL, v->data);
            if (fresh == NULL) NRW_OOM(err);
        } else {
            /* The float value stays as it is for its other readers. */
            nrw_node *q = nrw_node_new(to->graph, nrw_op_find("Requantize", "ai.narrow"),
                                       "Requantize", "ai.narrow", NULL, 1, 1, to);
            fresh = q != NULL ? nrw_value_new(to->graph, NULL, &to->inputs[i]->type) : NULL;
            if (fresh == NULL) NRW_OOM(err);
            nrw_value *source;
            NRW_TRY(smoothed_input(v, to, i, &source, err));
            nrw_node_move(q, to); /* behind what was put in */
            NRW_TRY(nrw_node_set_input(q, 0, source, err));
            nrw_node_set_output(q, 0, fresh);
            fresh->quant = nrw_quant_copy(&m->arena, v->quant);
            if (fresh->quant == NULL) NRW_OOM(err);
        }
        NRW_TRY(nrw_node_set_input(to, i, fresh, err));
    }
    for (int i = 0; i < from->n_outputs && i < to->n_outputs; i++) {
        const nrw_value *v = from->outputs[i];
        if (v == NULL || v->quant == NULL || to->outputs[i] == NULL) continue;
        nrw_value *out = i == 0 ? (nrw_value *)float_output(from, to) : to->outputs[i];
        out->quant = nrw_quant_copy(&m->arena, v->quant);
        if (out->quant == NULL) NRW_OOM(err);
    }
    return NRW_OK;
}

static nrw_status intervene(comparer *c, layer *l, nrw_runner *alone) {
    nrw_model *m;
    NRW_TRY(nrw_model_clone(c->twin, &m, c->err));
    nrw_status s = transplant(l->quantized, (nrw_node *)find_node(m->graph, l->twin), c->err);
    if (s == NRW_OK) s = open_watched(c, alone, m);
    if (s != NRW_OK) nrw_runner_close(alone);
    nrw_model_destroy(m); /* the plan has its own copy; only its name is used later */
    alone->model = c->twin;
    return s;
}

static nrw_status measure_layer(comparer *c, layer *l, nrw_runner *plain, int64_t batches,
                                nrw_tensor *samples) {
    nrw_runner alone;
    NRW_TRY(intervene(c, l, &alone));
    nrw_status s = NRW_OK;
    for (int64_t b = 0; b < batches && s == NRW_OK; b++) {
        const float *want, *got;
        int64_t n, n_got;
        s = float_pass(c, plain, b, samples, &want, &n);
        c->watched = l;
        if (s == NRW_OK) s = run_one(&alone, samples, c->err);
        c->watched = NULL;
        if (s == NRW_OK) s = nrw_runner_output(&alone, 0, 1, &got, &n_got, c->err);
        if (s == NRW_OK && n == n_got) nrw_sqnr_add(&l->effect, want, got, n);
    }
    nrw_runner_close(&alone);
    return s;
}

static nrw_status measure_all(comparer *c, nrw_runner *plain, nrw_runner *quantized,
                              int64_t batches, nrw_tensor *samples) {
    const float *unused;
    int64_t n;
    for (int64_t b = 0; b < batches; b++) {
        NRW_TRY(float_pass(c, plain, b, samples, &unused, &n));
        NRW_TRY(run_one(quantized, samples, c->err));
    }
    const int64_t each = c->n * batches <= INTERVENTIONS ? batches
                         : c->n < INTERVENTIONS          ? INTERVENTIONS / c->n
                                                         : 1;
    for (int i = 0; i < c->n; i++) {
        NRW_TRY(nrw_progress(c->context, "comparing layers", i, c->n, c->err));
        NRW_TRY(measure_layer(c, &c->layers[i], plain, each, samples));
    }
    return nrw_progress(c->context, "comparing layers", c->n, c->n, c->err);
}

static nrw_status compare(comparer *c, const nrw_model *reference) {
    NRW_TRY(nrw_model_clone(reference, &c->twin, c->err));
    NRW_TRY(nrw_run_pipeline(c->twin, NRW_PIPELINE_QUANTIZE, NULL, c->err));
    NRW_TRY(find_layers(c));
    nrw_runner plain = {0}, quantized = {0};
    int64_t batches = nrw_dataset_batches(c->data);
    if (batches > SAMPLES) batches = SAMPLES;
    nrw_tensor *samples =
        nrw_arena_calloc(&c->arena, (size_t)nrw_dataset_inputs(c->data) + 1, sizeof *samples);
    if (samples == NULL) NRW_OOM(c->err);
    nrw_status s = open_watched(c, &plain, c->twin);
    if (s == NRW_OK) s = open_watched(c, &quantized, c->quantized);
    if (s == NRW_OK) s = measure_all(c, &plain, &quantized, batches, samples);
    if (plain.model != NULL) nrw_runner_close(&plain);
    if (quantized.model != NULL) nrw_runner_close(&quantized);
    return s;
}

static nrw_status write_rows(comparer *c, nrw_comparison *out) {
    out->rows = nrw_arena_calloc(&out->arena, (size_t)c->n + 1, sizeof *out->rows);
    if (out->rows == NULL) NRW_OOM(c->err);
    for (int i = 0; i < c->n; i++) {
        const layer *l = &c->layers[i];
        nrw_layer_error *r = &out->rows[out->n++];
        *r = (nrw_layer_error){.node = nrw_arena_strdup(&out->arena, l->quantized->name),
                               .op = nrw_arena_strdup(&out->arena, l->quantized->type),
                               .value = nrw_arena_strdup(&out->arena, l->value->name),
                               .sqnr_db = nrw_sqnr_value(&l->all).value,
                               .own_sqnr_db = nrw_sqnr_value(&l->own).value,
                               .effect_db = nrw_sqnr_value(&l->effect).value,
                               .float_min = l->low,
                               .float_max = l->high,
                               .saturated =
                                   l->count > 0 ? (double)l->outside / (double)l->count : 0};
        if (r->node == NULL || r->op == NULL || r->value == NULL) NRW_OOM(c->err);
    }
    return NRW_OK;
}

nrw_status nrw_compare(const nrw_model *reference, const nrw_model *quantized, nrw_dataset *d,
                       nrw_comparison **out, nrw_error *err) {
    const nrw_allocator *a = &reference->context->memory.allocator;
    nrw_comparison *result = nrw_mem_alloc(a, sizeof *result);
    if (result == NULL) NRW_OOM(err);
    *result = (nrw_comparison){.allocator = a};
    nrw_arena_init(&result->arena, a);
    comparer c = {.context = reference->context, .quantized = quantized, .data = d, .err = err};
    nrw_arena_init(&c.arena, a);
    nrw_arena_init(&c.sample_arena, a);
    nrw_status s = compare(&c, reference);
    if (s == NRW_OK) s = write_rows(&c, result);
    nrw_model_destroy(c.twin);
    nrw_arena_free(&c.sample_arena);
    nrw_arena_free(&c.arena);
    if (s == NRW_OK)
        *out = result;
    else
        nrw_comparison_free(result);
    return s;
}

void nrw_comparison_free(nrw_comparison *c) {
    if (c == NULL) return;
    const nrw_allocator *a = c->allocator;
    nrw_arena_free(&c->arena);
    nrw_mem_free(a, c, sizeof *c);
}

const nrw_layer_error *nrw_comparison_layers(const nrw_comparison *c, int *n) {
    *n = c->n;
    return c->rows;
}
