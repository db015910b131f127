/* Attention (scaled dot products with caches, masks and windows) and FlexAttention. f16 and bf16
 * compute in f32: Attention rounds each step, as its function body does, FlexAttention the result.
 */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "ops/floats.h"
#include "ops/mm.h"
#include "ops/op.h"
#include "ops/vmath.h"

/* Query rows of a task. */
#define ROWS 16

/* Lengths; at run time all are known. */
typedef struct attention_dims {
    int64_t batch, heads, kv_heads, q_len, kv_len, past, total, width, v_width;
} attention_dims;

/* Makes *a and b one length where both are known; false when they differ. */
static bool meet(int64_t *a, int64_t b) {
    if (b < 0) return true;
    if (*a < 0) *a = b;
    return *a == b;
}

static int64_t divided(int64_t all, int64_t by) {
    return all >= 0 && by > 0 ? all / by : NRW_DIM_UNKNOWN;
}

static nrw_status read_3d(const nrw_node *n, const nrw_type *const *in, attention_dims *d,
                          nrw_error *err) {
    d->heads = nrw_attr_int(n, "q_num_heads", 0);
    d->kv_heads = nrw_attr_int(n, "kv_num_heads", 0);
    if (d->heads < 1 || d->kv_heads < 1) {
        NRW_FAIL(err, NRW_ERR_SHAPE,
                 "q_num_heads and kv_num_heads are needed for inputs of rank 3");
    }
    for (int i = 0; i < 3; i++) {
        int64_t heads = i == 0 ? d->heads : d->kv_heads;
        if (in[i]->dims[2] >= 0 && in[i]->dims[2] % heads != 0) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: %lld values do not divide into %lld heads", i,
                     (long long)in[i]->dims[2], (long long)heads);
        }
    }
    d->q_len = in[0]->dims[1];
    d->kv_len = in[1]->dims[1];
    d->width = divided(in[0]->dims[2], d->heads);
    d->v_width = divided(in[2]->dims[2], d->kv_heads);
    if (!meet(&d->width, divided(in[1]->dims[2], d->kv_heads)) ||
        !meet(&d->kv_len, in[2]->dims[1])) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "Q, K and V do not fit together");
    }
    return NRW_OK;
}

static nrw_status read_4d(const nrw_type *const *in, attention_dims *d, nrw_error *err) {
    d->heads = in[0]->dims[1];
    d->kv_heads = in[1]->dims[1];
    d->q_len = in[0]->dims[2];
    d->kv_len = in[1]->dims[2];
    d->width = in[0]->dims[3];
    d->v_width = in[2]->dims[3];
    if (!meet(&d->kv_heads, in[2]->dims[1]) || !meet(&d->kv_len, in[2]->dims[2]) ||
        !meet(&d->width, in[1]->dims[3])) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "Q, K and V do not fit together");
    }
    return NRW_OK;
}

static bool rank_known(const nrw_type *t) {
    return t->rank != NRW_RANK_UNKNOWN;
}

/* past_key and past_value, inputs 4 and 5. */
static nrw_status read_past(const nrw_type *const *in, int n_in, attention_dims *d,
                            nrw_error *err) {
    const nrw_type *key = n_in > 4 ? in[4] : NULL, *value = n_in > 5 ? in[5] : NULL;
    if ((key == NULL) != (value == NULL)) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "past_key and past_value come together");
    }
    d->past = key != NULL ? NRW_DIM_UNKNOWN : 0;
    for (int i = 4; key != NULL && i < 6; i++) {
        if (!rank_known(in[i])) continue;
        if (in[i]->rank != 4 || !meet(&d->batch, in[i]->dims[0]) ||
            !meet(&d->kv_heads, in[i]->dims[1]) || !meet(&d->past, in[i]->dims[2]) ||
            !meet(i == 4 ? &d->width : &d->v_width, in[i]->dims[3])) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: the past does not fit to K and V", i);
        }
    }
    d->total = d->kv_len >= 0 && d->past >= 0 ? d->kv_len + d->past : NRW_DIM_UNKNOWN;
    return NRW_OK;
}

/* The mask broadcasts to [batch, heads, q_len, total]; its last axis may be shorter. */
static nrw_status check_mask(const nrw_type *mask, const attention_dims *d, nrw_error *err) {
    if (mask == NULL || !rank_known(mask)) return NRW_OK;
    if (mask->rank < 1 || mask->rank > 4) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "input 3 (attn_mask): rank %d", mask->rank);
    }
    int64_t want[4] = {d->batch, d->heads, d->q_len, d->total};
    for (int i = 0; i < mask->rank; i++) {
        int64_t have = mask->dims[mask->rank - 1 - i], need = want[3 - i];
        if (have < 0 || need < 0) continue;
        if (i == 0 ? have > need : have != need && have != 1) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "input 3 (attn_mask): length %lld does not fit %lld",
                     (long long)have, (long long)need);
        }
    }
    return NRW_OK;
}

/* Everything that the inputs' types tell; *known is false when a rank is missing. */
static nrw_status read_dims(const nrw_node *n, const nrw_type *const *in, int n_in,
                            attention_dims *d, bool *known, nrw_error *err) {
    *known = false;
    for (int i = 0; i < 3; i++) {
        if (!rank_known(in[i])) return NRW_OK;
        if (in[i]->rank != in[0]->rank || in[i]->rank < 3 || in[i]->rank > 4) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "input %d: rank %d; Q, K and V have rank 3 or 4", i,
                     in[i]->rank);
        }
    }
    *known = true;
    d->batch = in[0]->dims[0];
    if (!meet(&d->batch, in[1]->dims[0]) || !meet(&d->batch, in[2]->dims[0])) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "Q, K and V differ in batch size");
    }
    NRW_TRY(in[0]->rank == 3 ? read_3d(n, in, d, err) : read_4d(in, d, err));
    if (d->heads >= 0 && d->kv_heads >= 0 && (d->kv_heads == 0 || d->heads % d->kv_heads != 0)) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "%lld query heads cannot share %lld key heads",
                 (long long)d->heads, (long long)d->kv_heads);
    }
    NRW_TRY(read_past(in, n_in, d, err));
    const nrw_type *lengths = n_in > 6 ? in[6] : NULL;
    if (lengths != NULL && rank_known(lengths) &&
        (lengths->rank != 1 || !meet(&d->batch, lengths->dims[0]))) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "input 6 (nonpad_kv_seqlen): one length per batch is needed");
    }
    if (lengths != NULL && d->past != 0) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "nonpad_kv_seqlen cannot stand beside a past");
    }
    return check_mask(n_in > 3 ? in[3] : NULL, d, err);
}

static nrw_status infer_attention(nrw_infer *c) {
    attention_dims d;
    bool known;
    c->out[0].dtype = c->in[0]->dtype;
    if (c->n_out > 1) c->out[1].dtype = c->in[1]->dtype;
    if (c->n_out > 2) c->out[2].dtype = c->in[2]->dtype;
    if (c->n_out > 3) c->out[3].dtype = c->in[0]->dtype;
    NRW_TRY(read_dims(c->node, c->in, c->n_in, &d, &known, c->err));
    if (!known) return NRW_OK;
    if (c->in[0]->rank == 3) {
        int64_t all = d.v_width >= 0 ? d.v_width * d.heads : NRW_DIM_UNKNOWN;
        c->out[0] = nrw_type_make(c->in[0]->dtype, 3, (int64_t[]){d.batch, d.q_len, all});
    } else {
        c->out[0] =
            nrw_type_make(c->in[0]->dtype, 4, (int64_t[]){d.batch, d.heads, d.q_len, d.v_width});
    }
    for (int i = 1; i < c->n_out && i < 3; i++) {
        int64_t dims[4] = {d.batch, d.kv_heads, d.total, i == 1 ? d.width : d.v_width};
        c->out[i] = nrw_type_make(c->in[i]->dtype, 4, dims);
    }
    if (c->n_out > 3) {
        c->out[3] =
            nrw_type_make(c->in[0]->dtype, 4, (int64_t[]){d.batch, d.heads, d.q_len, d.total});
    }
    return NRW_OK;
}

static double attention_scale(const nrw_node *n, const attention_dims *d) {
    return nrw_node_attr(n, "scale") != NULL ? (double)nrw_attr_float(n, "scale", 1)
                                             : 1 / sqrt((double)d->width);
}

/* nonpad_kv_seqlen, bounded to what there is. */
static nrw_status read_lengths(nrw_eval *e, const attention_dims *d, const int64_t **out) {
    *out = NULL;
    const nrw_tensor *t = e->n_in > 6 ? e->in[6] : NULL;
    if (t == NULL) return NRW_OK;
    int64_t *lengths = nrw_eval_scratch(e, d->batch, sizeof *lengths);
    if (lengths == NULL) NRW_OOM(e->err);
    NRW_TRY(nrw_to_i64(t->dtype, t->data, lengths, d->batch, e->err));
    for (int64_t b = 0; b < d->batch; b++) {
        if (lengths[b] < 0 || lengths[b] > d->total) {
            NRW_FAIL(e->err, NRW_ERR_DATA, "nonpad_kv_seqlen: %lld of %lld positions",
                     (long long)lengths[b], (long long)d->total);
        }
    }
    *out = lengths;
    return NRW_OK;
}

/* Rounds to a narrow type and back. */
static void round_f32(nrw_dtype type, float *x, int64_t n) {
    if (type == NRW_F16) {
        for (int64_t i = 0; i < n; i++) x[i] = nrw_f16_to_f32(nrw_f32_to_f16(x[i]));
    } else if (type == NRW_BF16) {
        for (int64_t i = 0; i < n; i++) x[i] = nrw_bf16_to_f32(nrw_f32_to_bf16(x[i]));
    }
}

/* f64 inputs are never rounded. */
static void round_f64(nrw_dtype type, double *x, int64_t n) {}

#define REAL          float
#define REAL_DTYPE    NRW_F32
#define ARRAY         array_f32
#define JOB           job_f32
#define BIAS_ROW      bias_row_f32
#define SOFTMAX_ROW   softmax_row_f32
#define CAP_ROW       cap_row_f32
#define SOFTMAX_STEPS softmax_steps_f32
#define SCORE_ROW     score_row_f32
#define SCALED        scaled_f32
#define NARROW_STEPS  narrow_steps_f32
#define ROUND         round_f32
#define TASK          task_f32
#define PLACE         place_f32
#define JOIN          join_f32
#define READ_MASK     read_mask_f32
#define ATTENTION     attention_f32
#define FLEX_SCORES   flex_scores_f32
#define FLEX_SOFTMAX  flex_softmax_f32
#define FLEX_VALUES   flex_values_f32
#define FLEX_BODY     flex_body_f32
#define FLEX          flex_f32
#define IN            nrw_floats_in
#define OUT           nrw_floats_out
#define DONE          nrw_floats_done
#define TO            nrw_to_f32
#define FROM          nrw_from_f32
#define MM            nrw_mm_f32
#define MM_NT         nrw_mm_nt_f32
#define EXP           nrw_exp_f32
#define TANH          nrw_tanh_f32
#include "ops/attention_tmpl.h"

#define REAL          double
#define REAL_DTYPE    NRW_F64
#define ARRAY         array_f64
#define JOB           job_f64
#define BIAS_ROW      bias_row_f64
#define SOFTMAX_ROW   softmax_row_f64
#define CAP_ROW       cap_row_f64
#define SOFTMAX_STEPS softmax_steps_f64
#define SCORE_ROW     score_row_f64
#define SCALED        scaled_f64
#define NARROW_STEPS  narrow_steps_f64
#define ROUND         round_f64
#define TASK          task_f64
#define PLACE         place_f64
#define JOIN          join_f64
#define READ_MASK     read_mask_f64
#define ATTENTION     attention_f64
#define FLEX_SCORES   flex_scores_f64
#define FLEX_SOFTMAX  flex_softmax_f64
#define FLEX_VALUES   flex_values_f64
#define FLEX_BODY     flex_body_f64
#define FLEX          flex_f64
#define IN            nrw_doubles_in
#define OUT           nrw_doubles_out
#define DONE          nrw_doubles_done
#define TO            nrw_to_f64
#define FROM          nrw_from_f64
#define MM            nrw_mm_f64
#define MM_NT         nrw_mm_nt_f64
#define EXP           exp
#define TANH          tanh
#include "ops/attention_tmpl.h"

static nrw_status dims_of_run(nrw_eval *e, attention_dims *d) {
    nrw_type types[8];
    const nrw_type *in[8] = {NULL};
    bool known;
    for (int i = 0; i < e->n_in; i++) {
        if (e->in[i] == NULL) continue;
        types[i] = nrw_type_of(e->in[i]);
        in[i] = &types[i];
    }
    return read_dims(e->node, in, e->n_in, d, &known, e->err);
}

static nrw_status attention(nrw_eval *e) {
    attention_dims d;
    NRW_TRY(dims_of_run(e, &d));
    return e->in[0]->dtype == NRW_F64 ? attention_f64(e, &d) : attention_f32(e, &d);
}

/* The type that bodies see: softmax_precision, or the inputs', but never below f32. */
static nrw_status flex_attention(nrw_eval *e) {
    attention_dims d;
    NRW_TRY(dims_of_run(e, &d));
    nrw_dtype type = e->in[0]->dtype == NRW_F64 ? NRW_F64 : NRW_F32;
    int64_t precision = nrw_attr_int(e->node, "softmax_precision", 0);
    if (precision != 0) type = nrw_dtype_from_onnx((int)precision);
    if (!nrw_dtype_is_float(type)) NRW_FAIL(e->err, NRW_ERR_SHAPE, "softmax_precision: no float");
    return type == NRW_F64 || e->in[0]->dtype == NRW_F64 ? flex_f64(e, &d, type)
                                                         : flex_f32(e, &d, type);
}

/* Both products. */
static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    attention_dims d;
    bool known;
    if (read_dims(n, in, n->n_inputs, &d, &known, NULL) != NRW_OK || !known) return 0;
    if (d.batch < 0 || d.heads < 0 || d.q_len < 0 || d.total < 0 || d.width < 0 || d.v_width < 0) {
        return 0;
    }
    return d.batch * d.heads * d.q_len * d.total * (d.width + d.v_width);
}

static const nrw_attr_def attention_attrs[] = {{"is_causal", NRW_ATTR_INT, false},
                                               {"kv_num_heads", NRW_ATTR_INT, false},
                                               {"left_window_size", NRW_ATTR_INT, false},
                                               {"q_num_heads", NRW_ATTR_INT, false},
                                               {"qk_matmul_output_mode", NRW_ATTR_INT, false},
                                               {"right_window_size", NRW_ATTR_INT, false},
                                               {"scale", NRW_ATTR_FLOAT, false},
                                               {"softcap", NRW_ATTR_FLOAT, false},
                                               {"softmax_precision", NRW_ATTR_INT, false},
                                               {0}};
static const nrw_attr_def flex_attrs[] = {{"prob_mod", NRW_ATTR_GRAPH, false},
                                          {"scale", NRW_ATTR_FLOAT, false},
                                          {"score_mod", NRW_ATTR_GRAPH, false},
                                          {"softmax_precision", NRW_ATTR_INT, false},
                                          {0}};

static const nrw_case attention_cases[] = {
    {"graph main(%q: f32[2,20,32], %k: f32[2,9,16], %v: f32[2,9,24]) {\n"
     "  %y: f32[...] = Attention(%q, %k, %v) {q_num_heads=4, kv_num_heads=2, softcap=2.0}\n"
     "  return %y\n"
     "}",
     -1, 1},
    {"graph main(%q: f32[1,4,3,8], %k: f32[1,2,3,8], %v: f32[1,2,3,8], %pk: f32[1,2,5,8], %pv: "
     "f32[1,2,5,8]) {\n"
     "  %y: f32[...], %nk: f32[...], %nv: f32[...] = Attention(%q, %k, %v, _, %pk, %pv) "
     "{is_causal=1, left_window_size=3}\n"
     "  return %y, %nk, %nv\n"
     "}",
     -1, 1},
    {"graph main(%q: f32[2,3,4,8], %k: f32[2,3,6,8], %v: f32[2,3,6,8], %m: f32[4,6]) {\n"
     "  %y: f32[...], _, _, %p: f32[...] = Attention(%q, %k, %v, %m) {qk_matmul_output_mode=3, "
     "scale=0.3}\n"
     "  return %y, %p\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op attention_row = {
    .name = "Attention",
    .domain = "",
    .min_in = 3,
    .max_in = 7,
    .min_out = 1,
    .max_out = 4,
    .attrs = attention_attrs,
    .infer = infer_attention,
    .reference = attention,
    .macs = macs,
    .onnx = {"Attention", 23},
    .aten = "aten.scaled_dot_product_attention.default",
    .cases = attention_cases,
};

static const nrw_case flex_cases[] = {
    {"graph main(%q: f32[1,4,3,8], %k: f32[1,2,5,8], %v: f32[1,2,5,6]) {\n"
     "  %y: f32[...] = ai.onnx.preview::FlexAttention(%q, %k, %v)\n"
     "  return %y\n"
     "}",
     -1, 1},
    {0}};

static const nrw_op flex_row = {
    .name = "FlexAttention",
    .domain = "ai.onnx.preview",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = flex_attrs,
    .infer = infer_attention,
    .reference = flex_attention,
    .macs = macs,
    .onnx = {"FlexAttention", 1},
    .cases = flex_cases,
};

NRW_OPS(attention, &attention_row, &flex_row);
