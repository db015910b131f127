/* Writing: integers as TensorFlow Lite's kernels want them (8-bit quantization specification,
 * https://ai.google.dev/edge/litert/models/quantization_spec). */
#include <math.h>
#include <string.h>

#include "formats/tflite/rule.h"
#include "formats/tflite/schema.h"
#include "formats/tflite/write.h"
#include "passes/match.h"

typedef enum kind {
    REALS = 0,  /* no integer kernel */
    LAYER,      /* data, constant weights, bias */
    FREE,       /* each its own scale */
    SAME_SCALE, /* all data and outputs the same */
    FIXED,      /* the output's is prescribed */
    PLACES      /* the output is no number of that kind: comparisons, ARG_MAX */
} kind;

typedef struct row {
    const char *type;
    kind kind;
    int first, last;   /* the inputs that are data; last -1: all */
    int weights, bias; /* of layers */
    int axis;          /* of the weights' scales */
    float scale;       /* FIXED */
    int zero;
} row;

static const row rows[] = {
    {"CONV_2D", LAYER, 0, 0, 1, 2, 0, 0, 0},
    {"DEPTHWISE_CONV_2D", LAYER, 0, 0, 1, 2, 3, 0, 0},
    {"FULLY_CONNECTED", LAYER, 0, 0, 1, 2, 0, 0, 0},
    {"TRANSPOSE_CONV", LAYER, 2, 2, 1, 3, 0, 0, 0},
    {"ADD", FREE, 0, 1, 0, 0, 0, 0, 0},
    {"SUB", FREE, 0, 1, 0, 0, 0, 0, 0},
    {"MUL", FREE, 0, 1, 0, 0, 0, 0, 0},
    {"SQUARED_DIFFERENCE", FREE, 0, 1, 0, 0, 0, 0, 0},
    {"PRELU", FREE, 0, 1, 0, 0, 0, 0, 0},
    {"BATCH_MATMUL", FREE, 0, 1, 0, 0, 0, 0, 0},
    {"MEAN", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"SUM", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"RELU", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"RELU6", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"RELU_N1_TO_1", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"LEAKY_RELU", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"HARD_SWISH", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"ELU", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"GELU", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"ABS", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"EXP", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"LOG", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"RSQRT", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"QUANTIZE", FREE, 0, 0, 0, 0, 0, 0, 0},
    {"AVERAGE_POOL_2D", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"MAX_POOL_2D", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"RESHAPE", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"EXPAND_DIMS", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"TRANSPOSE", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"RESIZE_BILINEAR", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"RESIZE_NEAREST_NEIGHBOR", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"PAD", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"MIRROR_PAD", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"GATHER", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"GATHER_ND", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"SLICE", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"STRIDED_SLICE", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"SPACE_TO_DEPTH", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"DEPTH_TO_SPACE", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"SPLIT", SAME_SCALE, 1, 1, 0, 0, 0, 0, 0},
    {"SPLIT_V", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"TILE", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"BROADCAST_TO", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"REDUCE_MAX", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"REDUCE_MIN", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0},
    {"MAXIMUM", SAME_SCALE, 0, 1, 0, 0, 0, 0, 0},
    {"MINIMUM", SAME_SCALE, 0, 1, 0, 0, 0, 0, 0},
    {"SELECT_V2", SAME_SCALE, 1, 2, 0, 0, 0, 0, 0},
    {"CONCATENATION", SAME_SCALE, 0, -1, 0, 0, 0, 0, 0},
    {"SOFTMAX", FIXED, 0, 0, 0, 0, 0, 1.0f / 256, -128},
    {"LOGISTIC", FIXED, 0, 0, 0, 0, 0, 1.0f / 256, -128},
    {"TANH", FIXED, 0, 0, 0, 0, 0, 1.0f / 128, 0},
    {"LOG_SOFTMAX", FIXED, 0, 0, 0, 0, 0, 16.0f / 256, 127},
    {"ARG_MAX", PLACES, 0, 0, 0, 0, 0, 0, 0},
    {"ARG_MIN", PLACES, 0, 0, 0, 0, 0, 0, 0},
};

static const row reals = {"", REALS, 0, -1, 0, 0, 0, 0, 0};

/* PADV2's filling is a constant of the data's own integers, or one to be made such. */
static const row pad_with = {"PADV2", SAME_SCALE, 0, 0, 0, 0, 0, 0, 0};
static const row pad_with_reals = {"PADV2", SAME_SCALE, 0, 2, 0, 0, 0, 0, 0};

static row find_row(const nrw_node *n) {
    if (strcmp(n->type, "PADV2") == 0) {
        row r = n->inputs[2]->quant != NULL ? pad_with : pad_with_reals;
        return r;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].type, n->type) != 0) continue;
        row r = rows[i];
        if (r.last < 0) r.last = n->n_inputs - 1;
        return r;
    }
    row r = reals;
    r.last = n->n_inputs - 1;
    return r;
}

typedef struct fitting {
    nrw_graph *graph;
    nrw_error *err;
} fitting;

static bool is_data(const row *r, int i) {
    return i >= r->first && i <= r->last && !(strcmp(r->type, "PADV2") == 0 && i == 1);
}

static bool is_bytes(const nrw_quant *q) {
    return q != NULL && q->axis < 0 && !q->dynamic && (q->dtype == NRW_I8 || q->dtype == NRW_I16);
}

static bool is_float_constant(const nrw_value *v) {
    return nrw_is_const(v) && v->quant == NULL && v->data->dtype == NRW_F32;
}

/* Making. */

static nrw_node *emit(fitting *f, const char *type, nrw_value *x, nrw_value *y, nrw_node *before) {
    nrw_node *n = nrw_node_new(f->graph, NULL, type, "tflite", NULL, 1, 1, before);
    if (n == NULL || nrw_node_set_input(n, 0, x, f->err) != NRW_OK) return NULL;
    nrw_node_set_output(n, 0, y);
    return n;
}

static nrw_value *like(fitting *f, const nrw_value *v, const nrw_quant *q) {
    nrw_type t = v->type;
    t.dtype = NRW_F32;
    nrw_value *w = nrw_value_new(f->graph, NULL, &t);
    if (w != NULL) w->quant = q;
    return w;
}

/* What x stands for, by these parameters; q NULL: as reals. Shared between readers. */
static nrw_status converted(fitting *f, nrw_value *x, const nrw_quant *q, nrw_value **out) {
    const char *type = q != NULL ? "QUANTIZE" : "DEQUANTIZE";
    for (size_t i = 0; i < x->n_uses; i++) {
        const nrw_node *u = x->uses[i].node;
        if (u == NULL || u->graph != f->graph || strcmp(u->domain, "tflite") != 0 ||
            strcmp(u->type, type) != 0 || nrw_value_is_graph_output(u->outputs[0]) ||
            !nrw_quant_equal(u->outputs[0]->quant, q))
            continue;
        *out = u->outputs[0];
        return NRW_OK;
    }
    /* Right behind x, so that later readers find it made. */
    nrw_node *at = x->producer != NULL ? x->producer->next : f->graph->first;
    *out = like(f, x, q);
    if (*out == NULL || emit(f, type, x, *out, at) == NULL) NRW_OOM(f->err);
    return NRW_OK;
}

static nrw_status replace_input(nrw_node *n, int i, nrw_value *v, nrw_error *err) {
    if (v == NULL) NRW_OOM(err);
    if (n->inputs[i] != NULL && n->inputs[i]->data != NULL && n->inputs[i]->n_uses == 1)
        nrw_value_swap_names(v, n->inputs[i]);
    return nrw_node_set_input(n, i, v, err);
}

/* A float constant as integers by these parameters. */
static nrw_value *integers(fitting *f, const nrw_value *v, const nrw_quant *q) {
    nrw_tensor t;
    if (nrw_tensor_new(&f->graph->model->arena, q->dtype, v->data->rank, v->data->dims, &t,
                       f->err) != NRW_OK)
        return NULL;
    t.quant = q;
    if (nrw_quantize_values(v->data->data, &t, f->err) != NRW_OK) return NULL;
    return nrw_const_new(f->graph, NULL, &t);
}

/* Parameters for all elements of a constant, 0 among them. */
static const nrw_quant *range_of(fitting *f, const nrw_value *v, nrw_dtype dtype) {
    const float *x = v->data->data;
    const int64_t n = nrw_tensor_count(v->data);
    const nrw_dtype_row *d = nrw_dtype_get(dtype);
    float lo = 0, hi = 0;
    for (int64_t i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    if (dtype == NRW_I16) {
        const float most = -lo > hi ? -lo : hi;
        return nrw_quant_per_tensor(&f->graph->model->arena, dtype, most > 0 ? most / 32767 : 1, 0);
    }
    float scale = (hi - lo) / 255;
    if (!(scale > 0)) scale = 1;
    const float zero = rintf((float)d->min - lo / scale);
    return nrw_quant_per_tensor(&f->graph->model->arena, dtype, scale, (int32_t)zero);
}

static nrw_value *reals_of(fitting *f, const nrw_value *v) {
    nrw_tensor t;
    if (nrw_tensor_new(&f->graph->model->arena, NRW_F32, v->data->rank, v->data->dims, &t,
                       f->err) != NRW_OK ||
        nrw_dequantize(v->data, t.data, f->err) != NRW_OK)
        return NULL;
    return nrw_const_new(f->graph, NULL, &t);
}

/* Which nodes compute in integers. */

static bool all_zero(const nrw_quant *q) {
    for (int64_t i = 0; i < q->count; i++) {
        if (q->zero_point[i] != 0) return false;
    }
    return true;
}

/* Constant weights of few bits without zero points, their scales for all or along the right axis.
 */
static bool fits_weights(const nrw_value *w, const row *r) {
    const nrw_quant *q = w != NULL ? w->quant : NULL;
    if (q == NULL || w->data == NULL || q->block > 0 || !all_zero(q)) return false;
    if (q->dtype != NRW_I8 && q->dtype != NRW_I4) return false;
    return q->axis < 0 || q->axis == r->axis;
}

static bool is_integer(const nrw_node *n, const row *r) {
    if (r->kind == REALS) return false;
    bool any = false;
    for (int i = r->first; i <= r->last; i++) {
        if (!is_data(r, i)) continue;
        if (n->inputs[i] == NULL) return false;
        if (is_bytes(n->inputs[i]->quant))
            any = true;
        else if (!is_float_constant(n->inputs[i]))
            return false;
    }
    for (int i = 0; i < n->n_outputs && r->kind != PLACES; i++) {
        if (n->outputs[i] != NULL && !is_bytes(n->outputs[i]->quant)) return false;
    }
    return any && (r->kind != LAYER || fits_weights(n->inputs[r->weights], r));
}

/* Integer nodes. */

static const nrw_quant *first_quant(const nrw_node *n, const row *r) {
    for (int i = r->first; i <= r->last; i++) {
        if (is_data(r, i) && n->inputs[i]->quant != NULL) return n->inputs[i]->quant;
    }
    return NULL;
}

/* n makes integers by q, which a QUANTIZE behind turns into what the output is. */
static nrw_status make_output_by(fitting *f, nrw_node *n, int i, const nrw_quant *q) {
    nrw_value *y = n->outputs[i];
    if (y == NULL || nrw_quant_equal(y->quant, q)) return NRW_OK;
    nrw_value *v = like(f, y, q);
    if (v == NULL) NRW_OOM(f->err);
    nrw_node_set_output(n, i, NULL);
    nrw_node_set_output(n, i, v);
    if (emit(f, "QUANTIZE", v, y, n->next) == NULL) NRW_OOM(f->err);
    return NRW_OK;
}

static nrw_status fit_same(fitting *f, nrw_node *n, const row *r) {
    /* Joined and compared values become what the result is; what is only moved stays. */
    const bool many = r->last > r->first || strcmp(n->type, "CONCATENATION") == 0;
    const nrw_quant *q = many ? n->outputs[0]->quant : first_quant(n, r);
    for (int i = r->first; i <= r->last; i++) {
        nrw_value *v = n->inputs[i], *w;
        if (!is_data(r, i) || nrw_quant_equal(v->quant, q)) continue;
        if (is_float_constant(v)) {
            NRW_TRY(replace_input(n, i, integers(f, v, q), f->err));
            continue;
        }
        NRW_TRY(converted(f, v, q, &w));
        NRW_TRY(nrw_node_set_input(n, i, w, f->err));
    }
    for (int i = 0; i < n->n_outputs; i++) NRW_TRY(make_output_by(f, n, i, q));
    return NRW_OK;
}

static nrw_status fit_free(fitting *f, nrw_node *n, const row *r) {
    const nrw_dtype dtype = first_quant(n, r)->dtype;
    for (int i = r->first; i <= r->last; i++) {
        const nrw_value *v = n->inputs[i];
        if (!is_data(r, i) || !is_float_constant(v)) continue;
        const nrw_quant *q = range_of(f, v, dtype);
        if (q == NULL) NRW_OOM(f->err);
        NRW_TRY(replace_input(n, i, integers(f, v, q), f->err));
    }
    return NRW_OK;
}

/* The bias as integers by the product of the data's scale and the weights'. */
static nrw_status fit_bias(fitting *f, nrw_node *n, const row *r) {
    nrw_value *b = nrw_input(n, r->bias);
    const nrw_quant *x = n->inputs[r->first]->quant, *w = n->inputs[r->weights]->quant;
    if (b == NULL || !nrw_is_const(b)) return NRW_OK;
    const nrw_quant *q = nrw_tflite_bias_quant(&f->graph->model->arena, NRW_I32, x, w);
    if (q == NULL) NRW_OOM(f->err);
    if (b->quant != NULL && b->quant->dtype == NRW_I32 && b->quant->count == q->count) {
        bool same = true;
        for (int64_t i = 0; i < q->count; i++)
            same = same && fabsf(b->quant->scale[i] - q->scale[i]) <= 1e-6f * q->scale[i];
        if (same) return NRW_OK; /* the integers are what they are */
    }
    if (b->quant != NULL) b = reals_of(f, b);
    if (b == NULL) NRW_OOM(f->err);
    if (b->type.dtype != NRW_F32)
        NRW_FAIL(f->err, NRW_ERR_UNSUPPORTED, "a bias of %s", nrw_dtype_name(b->type.dtype));
    return replace_input(n, r->bias, integers(f, b, q), f->err);
}

static nrw_status fit_node(fitting *f, nrw_node *n, const row *r) {
    switch (r->kind) {
    case LAYER:
        return fit_bias(f, n, r);
    case SAME_SCALE:
        return fit_same(f, n, r);
    case FREE:
        return fit_free(f, n, r);
    case FIXED: {
        const nrw_quant *y = n->outputs[0]->quant;
        if (y->dtype == NRW_I16) {
            /* 16 bits are symmetric: up to 1 in 2^15 steps. */
            const nrw_quant *q =
                nrw_quant_per_tensor(&f->graph->model->arena, NRW_I16, 1.0f / 32768, 0);
            return q != NULL ? make_output_by(f, n, 0, q)
                             : nrw_error_set(f->err, NRW_ERR_MEMORY, "out of memory");
        }
        const nrw_quant *q =
            nrw_quant_per_tensor(&f->graph->model->arena, y->dtype, r->scale, r->zero);
        if (q == NULL) NRW_OOM(f->err);
        return make_output_by(f, n, 0, q);
    }
    default:
        return NRW_OK;
    }
}

/* Nodes on reals. */

/* Layers on reals may keep weights of few bits: runtimes widen them, or measure the data. Where the
 * data were integers already, measuring them would round again. */
static bool keeps_weights(const nrw_node *n, const row *r, int i) {
    return r->kind == LAYER && i == r->weights && strcmp(n->type, "TRANSPOSE_CONV") != 0 &&
           fits_weights(n->inputs[i], r) && n->inputs[r->first]->quant == NULL &&
           (n->inputs[r->first]->producer == NULL ||
            strcmp(n->inputs[r->first]->producer->type, "DEQUANTIZE") != 0);
}

/* A constant as reals: stored as the integers that it is, where that is worth an operator. */
static nrw_status widen_constant(fitting *f, nrw_node *n, int i) {
    enum { BIG_ENOUGH = 256 };
    nrw_value *v = n->inputs[i], *w;
    const nrw_quant *q = v->quant;
    const bool stays = nrw_tensor_count(v->data) >= BIG_ENOUGH && q->block == 0 &&
                       (q->dtype == NRW_I8 || (q->dtype == NRW_U8 && q->axis < 0));
    if (!stays) return replace_input(n, i, reals_of(f, v), f->err);
    NRW_TRY(converted(f, v, NULL, &w));
    return nrw_node_set_input(n, i, w, f->err);
}

/* Rows are picked from the integers, and only those are made real. */
static bool picks_rows(const nrw_node *n) {
    const nrw_value *table = n->inputs[0];
    return strcmp(n->type, "GATHER") == 0 && nrw_attr_int(n, "axis", 0) == 0 &&
           table->data != NULL && table->data->rank == 2 && table->quant != NULL &&
           table->quant->dtype == NRW_I8 && table->quant->axis != 0 && table->quant->block == 0 &&
           n->outputs[0]->quant == NULL;
}

static nrw_status widen_rows(fitting *f, nrw_node *n) {
    nrw_value *y = n->outputs[0];
    nrw_quant *q = nrw_quant_copy(&f->graph->model->arena, n->inputs[0]->quant);
    if (q == NULL) NRW_OOM(f->err);
    if (q->axis > 0) q->axis = y->type.rank - 1;
    nrw_value *picked = like(f, y, q);
    if (picked == NULL) NRW_OOM(f->err);
    nrw_node_set_output(n, 0, NULL);
    nrw_node_set_output(n, 0, picked);
    return emit(f, "DEQUANTIZE", picked, y, n->next) != NULL
               ? NRW_OK
               : nrw_error_set(f->err, NRW_ERR_MEMORY, "out of memory");
}

static nrw_status widen_node(fitting *f, nrw_node *n, const row *r) {
    if (picks_rows(n)) return widen_rows(f, n);
    const bool hands_on = strcmp(n->type, "DEQUANTIZE") == 0 || strcmp(n->type, "QUANTIZE") == 0;
    for (int i = 0; i < n->n_inputs && !hands_on; i++) {
        nrw_value *v = n->inputs[i], *w;
        if (v == NULL || v->quant == NULL || keeps_weights(n, r, i)) continue;
        if (v->data != NULL) {
            NRW_TRY(widen_constant(f, n, i));
            continue;
        }
        if (v->quant->dynamic) continue; /* dealt with before */
        NRW_TRY(converted(f, v, NULL, &w));
        NRW_TRY(nrw_node_set_input(n, i, w, f->err));
    }
    for (int i = 0; i < n->n_outputs && !hands_on; i++) {
        nrw_value *y = n->outputs[i];
        if (y == NULL || y->quant == NULL) continue;
        nrw_value *v = like(f, y, NULL);
        if (v == NULL) NRW_OOM(f->err);
        nrw_node_set_output(n, i, NULL);
        nrw_node_set_output(n, i, v);
        if (emit(f, "QUANTIZE", v, y, n->next) == NULL) NRW_OOM(f->err);
    }
    return NRW_OK;
}

/* What is measured at run time is real numbers in the file: runtimes measure by themselves. */
static nrw_status drop_measured(fitting *f) {
    for (nrw_node *n = f->graph->first, *next; n != NULL; n = next) {
        next = n->next;
        nrw_value *y = n->n_outputs > 0 ? n->outputs[0] : NULL;
        if (y == NULL || y->quant == NULL || !y->quant->dynamic) continue;
        y->quant = NULL;
        if (strcmp(n->type, "QUANTIZE") != 0) continue;
        nrw_value *x = n->inputs[0];
        nrw_node_remove(n);
        NRW_TRY(nrw_value_replace(y, x, f->err));
    }
    return NRW_OK;
}

/* Callers give and get reals, unless the model says otherwise. */
static nrw_status fit_border(fitting *f) {
    nrw_graph *g = f->graph;
    for (int i = 0; i < g->n_inputs; i++) {
        nrw_value *v = g->inputs[i];
        if (v->quant == NULL || v->as_integers) continue;
        nrw_value *q = like(f, v, v->quant->dynamic ? NULL : v->quant);
        if (q == NULL) NRW_OOM(f->err);
        const bool measured = v->quant->dynamic;
        v->quant = NULL;
        if (measured) continue;
        for (size_t left = v->n_uses; left-- > 0;) {
            const nrw_use u = v->uses[left];
            if (u.node != NULL) NRW_TRY(nrw_node_set_input(u.node, u.index, q, f->err));
        }
        if (emit(f, "QUANTIZE", v, q, g->first) == NULL) NRW_OOM(f->err);
    }
    for (int i = 0; i < g->n_outputs; i++) {
        nrw_value *v = g->outputs[i];
        if (v->quant == NULL || v->as_integers || v->is_input) continue;
        nrw_value *y = like(f, v, NULL);
        if (y == NULL ||
            emit(f, "DEQUANTIZE", v, y, v->producer != NULL ? v->producer->next : g->first) == NULL)
            NRW_OOM(f->err);
        nrw_value_swap_names(v, y);
        NRW_TRY(nrw_graph_set_output(g, i, y, f->err));
    }
    return NRW_OK;
}

nrw_status nrw_tflite_fit_integers(nrw_model *m, nrw_error *err) {
    fitting f = {m->graph, err};
    NRW_TRY(drop_measured(&f));
    NRW_TRY(fit_border(&f));
    for (nrw_node *n = m->graph->first, *next; n != NULL; n = next) {
        next = n->next;
        if (nrw_node_attr(n, "kept") != NULL) continue; /* as it was read */
        const row r = find_row(n);
        NRW_TRY_CTX(err, is_integer(n, &r) ? fit_node(&f, n, &r) : widen_node(&f, n, &r),
                    "node '%s' (%s)", n->name, n->type);
    }
    return NRW_OK;
}
