/* MatMul, MatMulInteger, QLinearMatMul: products of stacks of matrices, numpy's rules. */
#include <string.h>

#include "ops/floats.h"
#include "ops/product.h"
#include "ops/qlinear.h"

/* Shape rules. */

static nrw_status infer_at(nrw_infer *c, int a_in, int b_in) {
    const nrw_type *a = c->in[a_in], *b = c->in[b_in];
    nrw_type *y = &c->out[0];
    if (a->rank == NRW_RANK_UNKNOWN || b->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (a->rank == 0) NRW_FAIL_INPUT(c, a_in, "A", "a scalar");
    if (b->rank == 0) NRW_FAIL_INPUT(c, b_in, "B", "a scalar");
    int64_t ka = a->dims[a->rank - 1], kb = b->dims[b->rank > 1 ? b->rank - 2 : 0];
    if (ka >= 0 && kb >= 0 && ka != kb)
        NRW_FAIL_INPUT(c, b_in, "B", "%lld rows, but A has %lld columns", (long long)kb,
                       (long long)ka);
    nrw_type stack_a = *a, stack_b = *b, stack = nrw_type_unknown();
    stack_a.rank = a->rank > 2 ? a->rank - 2 : 0;
    stack_b.rank = b->rank > 2 ? b->rank - 2 : 0;
    const nrw_type *stacks[] = {&stack_a, &stack_b};
    NRW_TRY(nrw_broadcast(2, stacks, &stack, c->err));
    if (stack.rank == NRW_RANK_UNKNOWN) return NRW_OK;
    y->rank = stack.rank;
    memcpy(y->dims, stack.dims, (size_t)stack.rank * sizeof stack.dims[0]);
    if (a->rank > 1) y->dims[y->rank++] = a->dims[a->rank - 2];
    if (b->rank > 1) y->dims[y->rank++] = b->dims[b->rank - 1];
    return NRW_OK;
}

static nrw_status infer_matmul(nrw_infer *c) {
    c->out[0].dtype = c->in[0]->dtype;
    return infer_at(c, 0, 1);
}

static nrw_status infer_integer(nrw_infer *c) {
    c->out[0].dtype = NRW_I32;
    return infer_at(c, 0, 1);
}

static nrw_status infer_qlinear(nrw_infer *c) {
    c->out[0].dtype = c->in[7]->dtype;
    return infer_at(c, 0, 3);
}

static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    int64_t outputs = nrw_type_count(&out[0]), count;
    if (in[0]->rank < 1 || outputs < 0 || in[0]->dims[in[0]->rank - 1] < 0) return 0;
    return nrw_mul_i64(outputs, in[0]->dims[in[0]->rank - 1], &count) ? count : 0;
}

/* Which matrices are multiplied. */

typedef struct stacks {
    int64_t m, k, n, products, b_matrices;
    int rank;                                                               /* of the stack */
    int64_t dims[NRW_MAX_RANK], a_step[NRW_MAX_RANK], b_step[NRW_MAX_RANK]; /* in matrices */
} stacks;

/* Steps of one operand's stack along the axes of the broadcast one. */
static void set_steps(const nrw_tensor *t, int rank, int64_t *step) {
    int own = t->rank > 2 ? t->rank - 2 : 0;
    int64_t size = 1;
    for (int i = rank - 1; i >= 0; i--) {
        int at = i - (rank - own);
        step[i] = at < 0 || t->dims[at] == 1 ? 0 : size;
        if (at >= 0) size *= t->dims[at];
    }
}

static void read_stacks(const nrw_tensor *a, const nrw_tensor *b, stacks *s) {
    *s = (stacks){.m = a->rank > 1 ? a->dims[a->rank - 2] : 1,
                  .k = a->dims[a->rank - 1],
                  .n = b->rank > 1 ? b->dims[b->rank - 1] : 1,
                  .products = 1,
                  .b_matrices = 1};
    int own_a = a->rank > 2 ? a->rank - 2 : 0, own_b = b->rank > 2 ? b->rank - 2 : 0;
    for (int i = 0; i < own_b; i++) s->b_matrices *= b->dims[i];
    if (s->b_matrices == 1 && own_a >= own_b) { /* one tall matrix */
        for (int i = 0; i < own_a; i++) s->m *= a->dims[i];
        return;
    }
    s->rank = own_a > own_b ? own_a : own_b;
    set_steps(a, s->rank, s->a_step);
    set_steps(b, s->rank, s->b_step);
    for (int i = 0; i < s->rank; i++) {
        int ia = i - (s->rank - own_a), ib = i - (s->rank - own_b);
        int64_t da = ia >= 0 ? a->dims[ia] : 1, db = ib >= 0 ? b->dims[ib] : 1;
        s->dims[i] = da == 1 ? db : da;
        s->products *= s->dims[i];
    }
}

/* The matrices of product p, by index. */
static void locate(const stacks *s, int64_t p, int64_t *a, int64_t *b) {
    *a = *b = 0;
    for (int i = s->rank - 1; i >= 0; i--) {
        int64_t at = p % s->dims[i];
        p /= s->dims[i];
        *a += at * s->a_step[i];
        *b += at * s->b_step[i];
    }
}

/* Reference. */

#define T    double
#define NAME multiply_f64
#include "ops/matmul_tmpl.h"
#define T    uint64_t
#define NAME multiply_u64
#include "ops/matmul_tmpl.h"

static bool is_integer_type(nrw_dtype t) {
    return t == NRW_I32 || t == NRW_U32 || t == NRW_I64 || t == NRW_U64;
}

/* Integers modulo 2^64. */
static nrw_status widen(nrw_eval *e, int i, uint64_t **out) {
    const nrw_tensor *t = e->in[i];
    int64_t n = nrw_tensor_count(t);
    uint64_t *v = nrw_eval_scratch(e, n, sizeof *v);
    if (v == NULL) NRW_OOM(e->err);
    for (int64_t j = 0; j < n; j++) {
        switch (t->dtype) {
        case NRW_I32:
            v[j] = (uint64_t)(int64_t)((const int32_t *)t->data)[j];
            break;
        case NRW_U32:
            v[j] = ((const uint32_t *)t->data)[j];
            break;
        default:
            v[j] = ((const uint64_t *)t->data)[j];
        }
    }
    *out = v;
    return NRW_OK;
}

static nrw_status reference_wrapping(nrw_eval *e, const stacks *s) {
    uint64_t *a, *b;
    int64_t n = nrw_tensor_count(&e->out[0]);
    NRW_TRY(widen(e, 0, &a));
    NRW_TRY(widen(e, 1, &b));
    uint64_t *y = nrw_eval_scratch(e, n, sizeof *y);
    if (y == NULL) NRW_OOM(e->err);
    multiply_u64_all(e->pool, s, a, b, y);
    for (int64_t i = 0; i < n; i++) {
        if (nrw_dtype_size(e->out[0].dtype) == 4)
            ((uint32_t *)e->out[0].data)[i] = (uint32_t)y[i];
        else
            ((uint64_t *)e->out[0].data)[i] = y[i];
    }
    return NRW_OK;
}

static nrw_status reference(nrw_eval *e) {
    stacks s;
    const double *a, *b;
    double *y;
    nrw_dtype t = e->in[0]->dtype, other = e->in[1]->dtype;
    if (is_integer_type(t) != is_integer_type(other) || (is_integer_type(t) && t != other))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "cannot multiply %s with %s", nrw_dtype_name(t),
                 nrw_dtype_name(other));
    read_stacks(e->in[0], e->in[1], &s);
    if (is_integer_type(t)) return reference_wrapping(e, &s);
    NRW_TRY(nrw_doubles_in(e, 0, &a));
    NRW_TRY(nrw_doubles_in(e, 1, &b));
    NRW_TRY(nrw_doubles_out(e, 0, &y));
    if (y == NULL) return NRW_OK;
    multiply_f64_all(e->pool, &s, a, b, y);
    return nrw_doubles_done(e, 0, y);
}

static nrw_status reference_integer(nrw_eval *e) {
    stacks s;
    double *a, *b, *y;
    read_stacks(e->in[0], e->in[1], &s);
    NRW_TRY(nrw_centered(e, 0, 2, -2, &a));
    NRW_TRY(nrw_centered(e, 1, 3, -1, &b));
    NRW_TRY(nrw_doubles_out(e, 0, &y));
    if (y == NULL) return NRW_OK;
    multiply_f64_all(e->pool, &s, a, b, y); /* exact: far below 2^53 */
    return nrw_doubles_done(e, 0, y);
}

static nrw_status reference_qlinear(nrw_eval *e) {
    stacks s;
    double *a, *b;
    read_stacks(e->in[0], e->in[3], &s);
    NRW_TRY(nrw_centered(e, 0, 2, -2, &a));
    NRW_TRY(nrw_centered(e, 3, 5, -1, &b));
    double *y = nrw_eval_scratch(e, nrw_tensor_count(&e->out[0]), sizeof *y);
    if (y == NULL) NRW_OOM(e->err);
    multiply_f64_all(e->pool, &s, a, b, y);
    return nrw_requantize(e, y, s.n, 1);
}

/* Fast kernels. */

typedef struct matmul_state {
    const float *const *packed; /* [b_matrices], or NULL */
    nrw_i8_weights weights;
    nrw_product_i8 b;
    bool packed_i8;
    const nrw_i8_epilogue *epilogue; /* NULL: made on each run */
    bool adds;                       /* the epilogue has the addend of the plan as its bias */
} matmul_state;

static nrw_status run_f32(nrw_eval *e) {
    const matmul_state *st = e->state;
    const nrw_kernels *kn = e->kernels;
    stacks s;
    const float *a, *b = NULL;
    float *y;
    read_stacks(e->in[0], e->in[1], &s);
    NRW_TRY(nrw_floats_in(e, 0, &a));
    if (st->packed == NULL) NRW_TRY(nrw_floats_in(e, 1, &b));
    NRW_TRY(nrw_floats_out(e, 0, &y));
    if (y == NULL || nrw_tensor_count(&e->out[0]) == 0) return NRW_OK;
    for (int64_t p = 0; p < s.products; p++) {
        int64_t ia, ib;
        locate(&s, p, &ia, &ib);
        const float *packed;
        if (st->packed != NULL) {
            packed = st->packed[ib];
        } else {
            NRW_TRY(nrw_product_pack_f32(kn, e->pool, s.k, s.n,
                                         (nrw_matrix){b + ib * s.k * s.n, s.n, 1}, e->scratch,
                                         &packed, e->err));
        }
        NRW_TRY(nrw_product_f32(e, kn, s.m, s.k, s.n, (nrw_matrix){a + ia * s.m * s.k, s.k, 1},
                                packed, NULL, y + p * s.m * s.n));
    }
    return nrw_floats_done(e, 0, y);
}

/* Packs matrix ib of the weights and makes its epilogue. */
static nrw_status pack_on_run(nrw_eval *e, const nrw_kernels *kn, const stacks *s,
                              const nrw_i8_weights *w, int64_t ib, nrw_product_i8 *b,
                              nrw_i8_epilogue *ep) {
    nrw_matrix from = {w->values + ib * s->k * s->n, s->n, 1};
    NRW_TRY(
        nrw_product_pack_i8(kn, e->pool, s->k, s->n, from, w->zero == NULL, e->scratch, b, e->err));
    return nrw_weighted_epilogue(w, b->sums.sum, s->k, e->in[0]->quant, NULL,
                                 e->node->outputs[0]->quant, e->scratch, ep, e->err);
}

static nrw_status run_i8(nrw_eval *e) {
    const matmul_state *st = e->state;
    const nrw_kernels *kn = e->kernels;
    const nrw_tensor *x = e->in[0], *w = e->in[1];
    stacks s;
    read_stacks(x, w, &s);
    nrw_i8_weights made;
    nrw_i8_epilogue ep;
    nrw_product_i8 b;
    bool ready = st != NULL && st->packed_i8;
    if (!ready) NRW_TRY(nrw_weighted_make(w, w->rank - 1, s.n, e->scratch, &made, e->err));
    if (ready) {
        b = st->b;
        if (st->epilogue != NULL)
            ep = *st->epilogue;
        else
            NRW_TRY(nrw_weighted_epilogue(&st->weights, b.sums.sum, s.k, x->quant, NULL,
                                          e->node->outputs[0]->quant, e->scratch, &ep, e->err));
    }
    void *y;
    NRW_TRY(nrw_weighted_out(e, &y));
    bool empty = nrw_tensor_count(&e->out[0]) == 0;
    for (int64_t p = 0; p < s.products && !empty; p++) {
        int64_t ia, ib;
        locate(&s, p, &ia, &ib);
        if (!ready) NRW_TRY(pack_on_run(e, kn, &s, &made, ib, &b, &ep));
        nrw_matrix a = {(const uint8_t *)x->data + ia * s.m * s.k, s.k, 1};
        int64_t size = ep.out == NRW_OUT_F32 ? 4 : 1;
        NRW_TRY(nrw_run_product_i8(e, kn, s.m, s.k, s.n, a, x->dtype, &b, &ep,
                                   (char *)y + p * s.m * s.n * size));
    }
    return nrw_weighted_done(e, y);
}

static bool integer_ok(const nrw_node *n) {
    int rank = n->inputs[1] != NULL ? n->inputs[1]->type.rank : 0;
    return rank >= 2 && nrw_weighted_ok(n, 1, 0, rank - 1);
}

static nrw_status plan_i8(nrw_plan_node *p, matmul_state *s) {
    const nrw_value *x = p->node->inputs[0], *w = p->node->inputs[1];
    const nrw_kernels *kn = p->kernels;
    if (w->data == NULL || w->is_input || w->data->rank != 2) return NRW_OK;
    int64_t k = w->data->dims[0], n = w->data->dims[1];
    NRW_TRY(nrw_weighted_make(w->data, 1, n, p->arena, &s->weights, p->err));
    NRW_TRY(nrw_product_pack_i8(kn, NULL, k, n, (nrw_matrix){s->weights.values, n, 1},
                                s->weights.zero == NULL, p->arena, &s->b, p->err));
    s->packed_i8 = true;
    if (x->quant->dynamic) return NRW_OK;
    nrw_i8_epilogue *ep = nrw_arena_calloc(p->arena, 1, sizeof *ep);
    if (ep == NULL) NRW_OOM(p->err);
    s->epilogue = ep;
    s->adds = p->addend != NULL && p->node->outputs[0]->quant == NULL;
    return nrw_weighted_epilogue(&s->weights, s->b.sums.sum, k, x->quant,
                                 s->adds ? p->addend : NULL, p->node->outputs[0]->quant, p->arena,
                                 ep, p->err);
}

static nrw_status plan_f32(nrw_plan_node *p, matmul_state *s) {
    const nrw_kernels *kn = p->kernels;
    const float *values;
    NRW_TRY(nrw_weighted_floats(p, 1, &values));
    if (values == NULL || p->node->inputs[1]->data->rank < 1) return NRW_OK;
    const nrw_tensor *w = p->node->inputs[1]->data;
    int64_t k = w->rank > 1 ? w->dims[w->rank - 2] : w->dims[0];
    int64_t n = w->rank > 1 ? w->dims[w->rank - 1] : 1, matrices = 1;
    for (int i = 0; i < w->rank - 2; i++) matrices *= w->dims[i];
    const float **packed = nrw_arena_calloc(p->arena, (size_t)matrices + 1, sizeof *packed);
    if (packed == NULL) NRW_OOM(p->err);
    for (int64_t i = 0; i < matrices; i++) {
        NRW_TRY(nrw_product_pack_f32(kn, NULL, k, n, (nrw_matrix){values + i * k * n, n, 1},
                                     p->arena, &packed[i], p->err));
    }
    s->packed = packed;
    return NRW_OK;
}

static nrw_status plan(nrw_plan_node *p, nrw_step_choice *choice) {
    bool integers = p->integers && integer_ok(p->node);
    if (!integers && !nrw_weighted_is_f32(p->node->inputs[0]->type.dtype)) return NRW_OK;
    matmul_state *s = nrw_arena_calloc(p->arena, 1, sizeof *s);
    if (s == NULL) NRW_OOM(p->err);
    NRW_TRY(integers ? plan_i8(p, s) : plan_f32(p, s));
    choice->run = integers ? run_i8 : run_f32;
    choice->state = s;
    choice->adds = s->adds;
    choice->takes_quantized = integers;
    choice->kernel =
        nrw_arena_printf(p->arena, "matmul_%s_%s", integers ? "i8" : "f32", p->kernels->tier);
    if (choice->kernel == NULL) NRW_OOM(p->err);
    return NRW_OK;
}

/* Consumers know scales for each column only of a single matrix, not of a stack of them. */
static int weight_axis(const nrw_node *n, int weight_rank) {
    return weight_rank == 2 ? 1 : -1;
}

static const nrw_case cases[] = {
    {"graph main(%x: f32[3,5,70]) {\n  const %w: f32[70,37] = random 1\n"
     "  %y: f32[...] = MatMul(%x, %w)\n  return %y\n}",
     -1, 1},
    {"graph main(%a: f32[2,1,4,9], %b: f32[3,9,5]) {\n"
     "  %y: f32[...] = MatMul(%a, %b)\n  return %y\n}",
     -1, 1},
    {"graph main(%a: f32[9], %b: f32[4,9,6]) {\n"
     "  %y: f32[...] = MatMul(%a, %b)\n  return %y\n}",
     -1, 1},
    {"graph main(%x: f32[7,16]) {\n"
     "  %xq: f32[7,16] q(u8, scale=0.0078, zero=128) = ai.narrow::Requantize(%x)\n"
     "  const %w: i8[16,3] q(i8, axis=1, scale=[0.01, 0.02, 0.005], zero=[0, 3, 0]) = random 2\n"
     "  %y: f32[7,3] q(u8, scale=0.05, zero=120) = MatMul(%xq, %w)\n"
     "  %z: f32[7,3] = ai.narrow::Requantize(%y)\n  return %z\n}",
     -1, 1},
    {0}};

static const nrw_op matmul = {
    .name = "MatMul",
    .domain = "",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .infer = infer_matmul,
    .reference = reference,
    .integer = run_i8,
    .integer_ok = integer_ok,
    .plan = plan,
    .macs = macs,
    .quant = {.rule = NRW_QUANT_WEIGHTED,
              .weight_input = 1,
              .weight_channel = -1,
              .weight_axis = weight_axis},
    .onnx = {"MatMul", 1},
    .tflite = {"BATCH_MATMUL", 126},
    .aten = "aten.matmul.default",
    .cases = cases,
};

static const nrw_op matmul_integer = {
    .name = "MatMulInteger",
    .domain = "",
    .min_in = 2,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .infer = infer_integer,
    .reference = reference_integer,
    .macs = macs,
    .onnx = {"MatMulInteger", 10},
};

static const nrw_op qlinear_matmul = {
    .name = "QLinearMatMul",
    .domain = "",
    .min_in = 8,
    .max_in = 8,
    .min_out = 1,
    .max_out = 1,
    .infer = infer_qlinear,
    .reference = reference_qlinear,
    .macs = macs,
    .onnx = {"QLinearMatMul", 10},
};

NRW_OPS(matmul, &matmul, &matmul_integer, &qlinear_matmul);
