/* Gemm: alpha * A' * B' + beta * C, where ' is an optional transposition. */
#include <string.h>

#include "ops/floats.h"
#include "ops/litert.h"
#include "ops/product.h"

static nrw_status infer(nrw_infer *c) {
    const nrw_type *a = c->in[0], *b = c->in[1];
    nrw_type *y = &c->out[0];
    bool ta = nrw_attr_int(c->node, "transA", 0) != 0, tb = nrw_attr_int(c->node, "transB", 0) != 0;
    y->dtype = a->dtype;
    y->rank = 2;
    y->dims[0] = y->dims[1] = NRW_DIM_UNKNOWN;
    int64_t ka = NRW_DIM_UNKNOWN, kb = NRW_DIM_UNKNOWN;
    if (a->rank != NRW_RANK_UNKNOWN) {
        if (a->rank != 2) NRW_FAIL_INPUT(c, 0, "A", "rank %d; 2 is needed", a->rank);
        y->dims[0] = a->dims[ta ? 1 : 0];
        ka = a->dims[ta ? 0 : 1];
    }
    if (b->rank != NRW_RANK_UNKNOWN) {
        if (b->rank != 2) NRW_FAIL_INPUT(c, 1, "B", "rank %d; 2 is needed", b->rank);
        y->dims[1] = b->dims[tb ? 0 : 1];
        kb = b->dims[tb ? 1 : 0];
    }
    if (ka >= 0 && kb >= 0 && ka != kb)
        NRW_FAIL_INPUT(c, 1, "B", "depth %lld, but A has %lld", (long long)kb, (long long)ka);
    if (c->n_in < 3 || c->in[2] == NULL || c->in[2]->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    const nrw_type *bias = c->in[2];
    if (bias->rank > 2) NRW_FAIL_INPUT(c, 2, "C", "rank %d; at most 2 is allowed", bias->rank);
    for (int i = 0; i < bias->rank; i++) {
        int64_t have = bias->dims[i], want = y->dims[2 - bias->rank + i];
        if (have >= 0 && want >= 0 && have != 1 && have != want)
            NRW_FAIL_INPUT(c, 2, "C", "dim %lld does not broadcast to %lld", (long long)have,
                           (long long)want);
    }
    return NRW_OK;
}

static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    int64_t outputs = nrw_type_count(&out[0]), count;
    if (in[0]->rank != 2 || outputs < 0) return 0;
    int64_t k = in[0]->dims[nrw_attr_int(n, "transA", 0) != 0 ? 0 : 1];
    return k >= 0 && nrw_mul_i64(outputs, k, &count) ? count : 0;
}

typedef struct form {
    int64_t m, k, n;
    bool ta, tb;
    float alpha, beta;
} form;

static form read_form(const nrw_node *node, const nrw_tensor *a, const nrw_tensor *b) {
    form f = {.ta = nrw_attr_int(node, "transA", 0) != 0,
              .tb = nrw_attr_int(node, "transB", 0) != 0,
              .alpha = nrw_attr_float(node, "alpha", 1),
              .beta = nrw_attr_float(node, "beta", 1)};
    if (a != NULL) f.m = a->dims[f.ta ? 1 : 0];
    f.k = b->dims[f.tb ? 1 : 0];
    f.n = b->dims[f.tb ? 0 : 1];
    return f;
}

static nrw_matrix left(const form *f, const void *a) {
    return f->ta ? (nrw_matrix){a, 1, f->m} : (nrw_matrix){a, f->k, 1};
}

static nrw_matrix right(const form *f, const void *b) {
    return f->tb ? (nrw_matrix){b, 1, f->k} : (nrw_matrix){b, f->n, 1};
}

/* Where C's element for (i, j) lies. */
static int64_t c_at(const nrw_tensor *c, int64_t i, int64_t j) {
    int64_t cols = c->rank > 0 ? c->dims[c->rank - 1] : 1;
    int64_t rows = c->rank > 1 ? c->dims[0] : 1;
    return (rows > 1 ? i : 0) * cols + (cols > 1 ? j : 0);
}

#define T         double
#define NAME      reference_f64
#define SCALAR(v) (v)
#define IN        nrw_doubles_in
#define OUT       nrw_doubles_out
#define DONE      nrw_doubles_done
#include "ops/gemm_tmpl.h"

/* Integers: modulo 2^64, and alpha and beta must be whole. */
static nrw_status load_wrapping(nrw_eval *e, int i, const uint64_t **out) {
    *out = NULL;
    if (i >= e->n_in || e->in[i] == NULL) return NRW_OK;
    const nrw_tensor *t = e->in[i];
    int64_t n = nrw_tensor_count(t);
    uint64_t *v = nrw_eval_scratch(e, n, sizeof *v);
    if (v == NULL) NRW_OOM(e->err);
    *out = v;
    if (t->dtype == NRW_U64) { /* nrw_to_i64 would saturate */
        memcpy(v, t->data, (size_t)n * sizeof *v);
        return NRW_OK;
    }
    return nrw_to_i64(t->dtype, t->data, (int64_t *)v, n, e->err);
}

static nrw_status place_wrapping(nrw_eval *e, int i, uint64_t **out) {
    *out = nrw_eval_scratch(e, nrw_tensor_count(&e->out[i]), sizeof **out);
    if (*out == NULL) NRW_OOM(e->err);
    return NRW_OK;
}

static nrw_status store_wrapping(nrw_eval *e, int i, const uint64_t *v) {
    int64_t n = nrw_tensor_count(&e->out[i]);
    for (int64_t j = 0; j < n; j++) {
        if (nrw_dtype_size(e->out[i].dtype) == 4)
            ((uint32_t *)e->out[i].data)[j] = (uint32_t)v[j];
        else
            ((uint64_t *)e->out[i].data)[j] = v[j];
    }
    return NRW_OK;
}

#define T         uint64_t
#define NAME      reference_u64
#define SCALAR(v) ((uint64_t)(int64_t)(v))
#define IN        load_wrapping
#define OUT       place_wrapping
#define DONE      store_wrapping
#include "ops/gemm_tmpl.h"

static bool is_whole(float v) {
    return v >= -0x1p31f && v < 0x1p31f && v == (float)(int32_t)v;
}

static nrw_status reference(nrw_eval *e) {
    nrw_dtype t = e->in[0]->dtype;
    bool whole = t == NRW_I32 || t == NRW_U32 || t == NRW_I64 || t == NRW_U64;
    if (nrw_dtype_is_float(t)) return reference_f64(e);
    for (int i = 0; i < e->n_in; i++) {
        if (e->in[i] != NULL && (!whole || e->in[i]->dtype != t))
            NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "input %d has type %s, input 0 %s", i,
                     nrw_dtype_name(e->in[i]->dtype), nrw_dtype_name(t));
    }
    form f = read_form(e->node, e->in[0], e->in[1]);
    if (!is_whole(f.alpha) || !is_whole(f.beta))
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "fractional alpha or beta with integers");
    return reference_u64(e);
}

/* Fast kernels. */

typedef struct gemm_state {
    const float *packed; /* NULL: packed on each run */
    nrw_i8_weights weights;
    nrw_product_i8 b;
    bool packed_i8;
    const nrw_i8_epilogue *epilogue; /* NULL: made on each run */
} gemm_state;

typedef struct tail {
    const form *f;
    const nrw_tensor *c;
    const float *values;
    float *y;
} tail;

/* alpha and C where the kernel could not take them along; one row. */
static void tail_task(void *arg, int64_t i, int worker) {
    const tail *t = arg;
    float *y = t->y + i * t->f->n;
    for (int64_t j = 0; j < t->f->n; j++) {
        y[j] *= t->f->alpha;
        if (t->values != NULL) y[j] += t->f->beta * t->values[c_at(t->c, i, j)];
    }
}

static nrw_status run_f32(nrw_eval *e) {
    const gemm_state *s = e->state;
    const nrw_kernels *kn = e->kernels;
    form f = read_form(e->node, e->in[0], e->in[1]);
    const float *a, *c, *packed = s->packed;
    float *y;
    NRW_TRY(nrw_floats_in(e, 0, &a));
    NRW_TRY(nrw_floats_in(e, 2, &c));
    NRW_TRY(nrw_floats_out(e, 0, &y));
    if (y == NULL || f.m == 0 || f.n == 0) return NRW_OK;
    if (packed == NULL) {
        const float *b;
        NRW_TRY(nrw_floats_in(e, 1, &b));
        NRW_TRY(
            nrw_product_pack_f32(kn, e->pool, f.k, f.n, right(&f, b), e->scratch, &packed, e->err));
    }
    bool by_col = c != NULL && f.alpha == 1 && f.beta == 1 && nrw_tensor_count(e->in[2]) == f.n &&
                  e->in[2]->dims[e->in[2]->rank - 1] == f.n;
    NRW_TRY(nrw_product_f32(e, kn, f.m, f.k, f.n, left(&f, a), packed, by_col ? c : NULL, y));
    if (!by_col && (c != NULL || f.alpha != 1)) {
        tail t = {&f, c != NULL ? e->in[2] : NULL, c, y};
        nrw_pool_run(e->pool, f.m, tail_task, &t);
    }
    return nrw_floats_done(e, 0, y);
}

/* Rows of data each have parameters of their own: sums first, and what they stand for by rows. */
static nrw_status run_by_rows(nrw_eval *e, const gemm_state *st, const form *f) {
    const nrw_tensor *x = e->in[0], *bias = e->n_in > 2 ? e->in[2] : NULL;
    const nrw_quant *q = x->quant;
    const float *added = NULL;
    float *y, *wide;
    int32_t *acc = nrw_arena_alloc(e->scratch, (size_t)(f->m * f->n) * sizeof *acc + 64);
    int32_t *none = nrw_arena_calloc(e->scratch, (size_t)f->n + 1, sizeof *none);
    if (acc == NULL || none == NULL) NRW_OOM(e->err);
    if (bias != NULL && bias->quant != NULL) {
        wide = nrw_arena_alloc(e->scratch, (size_t)f->n * sizeof *wide + 64);
        if (wide == NULL) NRW_OOM(e->err);
        NRW_TRY(nrw_dequantize(bias, wide, e->err));
        added = wide;
    } else if (bias != NULL) {
        NRW_TRY(nrw_floats_in(e, 2, &added));
    }
    NRW_TRY(nrw_floats_out(e, 0, &y));
    if (y == NULL || f->m == 0 || f->n == 0) return NRW_OK;
    const nrw_i8_epilogue sums = {.out = NRW_OUT_I32, .add = none, .w_zero = st->weights.zero};
    NRW_TRY(nrw_run_product_i8(e, e->kernels, f->m, f->k, f->n, left(f, x->data), x->dtype, &st->b,
                               &sums, acc));
    for (int64_t i = 0; i < f->m; i++) {
        nrw_litert_row(acc + i * f->n, st->b.sums.sum, q->zero_point[i], q->scale[i],
                       st->weights.scale, added, f->n, y + i * f->n);
    }
    return nrw_floats_done(e, 0, y);
}

static nrw_status run_i8(nrw_eval *e) {
    const gemm_state *st = e->state;
    const nrw_kernels *kn = e->kernels;
    const nrw_tensor *x = e->in[0], *w = e->in[1], *bias = e->n_in > 2 ? e->in[2] : NULL;
    form f = read_form(e->node, x, w);
    gemm_state here;
    if (st == NULL || !st->packed_i8) {
        NRW_TRY(nrw_weighted_make(w, f.tb ? 0 : 1, f.n, e->scratch, &here.weights, e->err));
        NRW_TRY(nrw_product_pack_i8(kn, e->pool, f.k, f.n, right(&f, here.weights.values),
                                    here.weights.zero == NULL, e->scratch, &here.b, e->err));
        here.epilogue = NULL;
        st = &here;
    }
    if (x->quant->dynamic && nrw_rounds_as_litert(x->quant) && st->weights.zero == NULL)
        return run_by_rows(e, st, &f);
    nrw_i8_epilogue ep;
    if (st->epilogue != NULL)
        ep = *st->epilogue;
    else
        NRW_TRY(nrw_weighted_epilogue(&st->weights, st->b.sums.sum, f.k, x->quant, bias,
                                      e->node->outputs[0]->quant, e->scratch, &ep, e->err));
    void *y;
    NRW_TRY(nrw_weighted_out(e, &y));
    if (f.m > 0 && f.n > 0) {
        NRW_TRY(
            nrw_run_product_i8(e, kn, f.m, f.k, f.n, left(&f, x->data), x->dtype, &st->b, &ep, y));
    }
    return nrw_weighted_done(e, y);
}

static int weight_axis(const nrw_node *n, int weight_rank) {
    return nrw_attr_int(n, "transB", 0) != 0 ? 0 : 1;
}

static bool integer_ok(const nrw_node *n) {
    const nrw_value *w = n->inputs[1], *c = n->n_inputs > 2 ? n->inputs[2] : NULL;
    int axis = weight_axis(n, 2);
    if (w == NULL || w->type.rank != 2 || !nrw_weighted_ok(n, 1, 2, axis)) return false;
    if (nrw_attr_float(n, "alpha", 1) != 1) return false;
    if (c == NULL) return true;
    /* One bias for each column. */
    if (nrw_attr_float(n, "beta", 1) != 1 || c->type.rank < 1 || w->type.dims[axis] < 0) {
        return false;
    }
    if (c->quant != NULL && c->quant->axis >= 0 && c->type.rank != 1) return false;
    return nrw_type_count(&c->type) == w->type.dims[axis] &&
           c->type.dims[c->type.rank - 1] == w->type.dims[axis];
}

static nrw_status plan_i8(nrw_plan_node *p, gemm_state *s) {
    const nrw_node *node = p->node;
    const nrw_value *x = node->inputs[0], *w = node->inputs[1];
    const nrw_value *bias = node->n_inputs > 2 ? node->inputs[2] : NULL;
    const nrw_kernels *kn = p->kernels;
    if (w->data == NULL || w->is_input) return NRW_OK;
    form f = read_form(node, NULL, w->data);
    NRW_TRY(nrw_weighted_make(w->data, f.tb ? 0 : 1, f.n, p->arena, &s->weights, p->err));
    NRW_TRY(nrw_product_pack_i8(kn, NULL, f.k, f.n, right(&f, s->weights.values),
                                s->weights.zero == NULL, p->arena, &s->b, p->err));
    s->packed_i8 = true;
    if (x->quant->dynamic || (bias != NULL && (bias->data == NULL || bias->is_input))) {
        return NRW_OK;
    }
    nrw_i8_epilogue *ep = nrw_arena_calloc(p->arena, 1, sizeof *ep);
    if (ep == NULL) NRW_OOM(p->err);
    s->epilogue = ep;
    return nrw_weighted_epilogue(&s->weights, s->b.sums.sum, f.k, x->quant,
                                 bias != NULL ? bias->data : NULL, node->outputs[0]->quant,
                                 p->arena, ep, p->err);
}

static nrw_status plan_f32(nrw_plan_node *p, gemm_state *s) {
    const float *values;
    NRW_TRY(nrw_weighted_floats(p, 1, &values));
    if (values == NULL || p->node->inputs[1]->data->rank != 2) return NRW_OK;
    form f = read_form(p->node, NULL, p->node->inputs[1]->data);
    return nrw_product_pack_f32(p->kernels, NULL, f.k, f.n, right(&f, values), p->arena, &s->packed,
                                p->err);
}

static nrw_status plan(nrw_plan_node *p, nrw_step_choice *choice) {
    bool integers = p->integers && integer_ok(p->node);
    if (!integers && !nrw_weighted_is_f32(p->node->inputs[0]->type.dtype)) return NRW_OK;
    gemm_state *s = nrw_arena_calloc(p->arena, 1, sizeof *s);
    if (s == NULL) NRW_OOM(p->err);
    NRW_TRY(integers ? plan_i8(p, s) : plan_f32(p, s));
    choice->run = integers ? run_i8 : run_f32;
    choice->state = s;
    choice->takes_quantized = integers;
    choice->kernel =
        nrw_arena_printf(p->arena, "gemm_%s_%s", integers ? "i8" : "f32", p->kernels->tier);
    if (choice->kernel == NULL) NRW_OOM(p->err);
    return NRW_OK;
}

static const nrw_attr_def attrs[] = {{"alpha", NRW_ATTR_FLOAT, false},
                                     {"beta", NRW_ATTR_FLOAT, false},
                                     {"transA", NRW_ATTR_INT, false},
                                     {"transB", NRW_ATTR_INT, false},
                                     {0}};

static const nrw_case cases[] = {
    {"graph main(%x: f32[5,33]) {\n  const %w: f32[20,33] = random 1\n"
     "  const %b: f32[20] = random 2\n"
     "  %y: f32[...] = Gemm(%x, %w, %b) {transB=1}\n  return %y\n}",
     -1, 1},
    {"graph main(%a: f32[6,4], %b: f32[6,3], %c: f32[4,1]) {\n"
     "  %y: f32[...] = Gemm(%a, %b, %c) {transA=1, alpha=0.5, beta=2.0}\n  return %y\n}",
     -1, 1},
    {"graph main(%x: f32[3,40]) {\n"
     "  %xq: f32[3,40] q(i8, scale=0.0078, zero=-3) = ai.narrow::Requantize(%x)\n"
     "  const %w: i8[10,40] q(i8, scale=0.01, zero=0) = random 3\n"
     "  const %b: i32[10] q(i32, scale=7.8e-05, zero=0) = random 4\n"
     "  %y: f32[3,10] q(i8, scale=0.05, zero=-7) = Gemm(%xq, %w, %b) {transB=1}\n"
     "  %z: f32[3,10] = ai.narrow::Requantize(%y)\n  return %z\n}",
     -1, 1},
    {0}};

static const nrw_op gemm = {
    .name = "Gemm",
    .domain = "",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = reference,
    .integer = run_i8,
    .integer_ok = integer_ok,
    .plan = plan,
    .macs = macs,
    .quant = {.rule = NRW_QUANT_WEIGHTED,
              .weight_input = 1,
              .bias_input = 2,
              .weight_channel = -1,
              .weight_axis = weight_axis},
    .onnx = {"Gemm", 1},
    .tflite = {"FULLY_CONNECTED", 9},
    .aten = "aten.linear.default",
    .cases = cases,
};

NRW_OPS(gemm, &gemm);
