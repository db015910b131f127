/* ai.narrow::MatMulGelu: Gelu(X W + B), quantized, as plans run it (the pass fuse_matmul_gelu puts
 * it there; files never hold it). X: 8-bit; W: constant, [k][n]; B: [n]. */
#include <string.h>

#include "ops/cases.h"
#include "ops/floats.h"
#include "ops/product.h"
#include "ops/quant_segments.h"

static nrw_status infer(nrw_infer *c) {
    const nrw_type *x = c->in[0], *w = c->in[1];
    nrw_type *y = &c->out[0];
    y->dtype = NRW_F32;
    if (w->rank != NRW_RANK_UNKNOWN && w->rank != 2)
        NRW_FAIL_INPUT(c, 1, "W", "rank %d; 2 is needed", w->rank);
    if (x->rank == 0) NRW_FAIL_INPUT(c, 0, "X", "a scalar");
    if (x->rank < 1 || w->rank != 2) return NRW_OK;
    const int64_t k = x->dims[x->rank - 1];
    if (k >= 0 && w->dims[0] >= 0 && k != w->dims[0])
        NRW_FAIL_INPUT(c, 1, "W", "%lld rows, but X has %lld columns", (long long)w->dims[0],
                       (long long)k);
    *y = *x;
    y->dtype = NRW_F32;
    y->dims[x->rank - 1] = w->dims[1];
    return NRW_OK;
}

static nrw_smooth function_of(const nrw_node *n) {
    return nrw_gelu(nrw_attr_str(n, "approximate", "none"));
}

static int64_t rows_of(const nrw_tensor *y) {
    const int64_t n = y->dims[y->rank - 1];
    return n > 0 ? nrw_tensor_count(y) / n : 0;
}

/* B, which may be shorter than it claims in a file that nobody should have written. */
static nrw_status read_bias(const nrw_eval *e, const float **b) {
    *b = e->n_in > 2 && e->in[2] != NULL ? e->in[2]->data : NULL;
    if (*b != NULL &&
        (e->in[2]->dtype != NRW_F32 || nrw_tensor_count(e->in[2]) != e->in[1]->dims[1]))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "B does not fit the columns of W");
    return NRW_OK;
}

static nrw_status reference(nrw_eval *e) {
    const nrw_tensor *w = e->in[1];
    const double *x, *values;
    const float *b;
    double *y;
    NRW_TRY(nrw_doubles_in(e, 0, &x));
    NRW_TRY(nrw_doubles_in(e, 1, &values));
    NRW_TRY(read_bias(e, &b));
    NRW_TRY(nrw_doubles_out(e, 0, &y));
    if (y == NULL) return NRW_OK;
    const nrw_smooth gelu = function_of(e->node);
    const int64_t m = rows_of(&e->out[0]), k = w->dims[0], n = w->dims[1];
    for (int64_t i = 0; i < m * n; i++) {
        double sum = b != NULL ? (double)b[i % n] : 0;
        for (int64_t j = 0; j < k; j++) sum += x[i / n * k + j] * values[j * n + i % n];
        y[i] = sum * gelu.f(sum);
    }
    return nrw_doubles_done(e, 0, y);
}

typedef struct state {
    nrw_product_i8 w;
    nrw_i8_epilogue epilogue;
    nrw_segments gelu;
} state;

static nrw_status run(nrw_eval *e) {
    const state *s = e->state;
    const nrw_tensor *x = e->in[0], *w = e->in[1];
    const int64_t m = rows_of(&e->out[0]);
    if (nrw_tensor_count(&e->out[0]) == 0) return NRW_OK;
    return nrw_run_product_i8(e, e->kernels, m, w->dims[0], w->dims[1],
                              (nrw_matrix){x->data, w->dims[0], 1}, x->dtype, &s->w, &s->epilogue,
                              e->out[0].data);
}

static nrw_status plan(nrw_plan_node *p, nrw_step_choice *choice) {
    const nrw_value *x = p->node->inputs[0], *w = p->node->inputs[1], *y = p->node->outputs[0];
    const nrw_value *b = p->node->n_inputs > 2 ? p->node->inputs[2] : NULL;
    if (!p->integers || w->data == NULL || w->is_input || w->data->rank != 2 ||
        !nrw_weighted_ok(p->node, 1, 0, 1) || x->quant->dynamic || !nrw_quant_is_u8(y->quant) ||
        y->quant->dynamic ||
        (b != NULL && (b->data == NULL || b->is_input || b->quant != NULL ||
                       b->data->dtype != NRW_F32 || nrw_tensor_count(b->data) != w->data->dims[1])))
        return NRW_OK;
    const int64_t k = w->data->dims[0], n = w->data->dims[1];
    state *s = nrw_arena_calloc(p->arena, 1, sizeof *s);
    nrw_i8_weights weights;
    if (s == NULL) NRW_OOM(p->err);
    NRW_TRY(nrw_weighted_make(w->data, 1, n, p->arena, &weights, p->err));
    NRW_TRY(nrw_product_pack_i8(p->kernels, NULL, k, n, (nrw_matrix){weights.values, n, 1},
                                weights.zero == NULL, p->arena, &s->w, p->err));
    NRW_TRY(nrw_weighted_epilogue(&weights, s->w.sums.sum, k, x->quant, b != NULL ? b->data : NULL,
                                  NULL, p->arena, &s->epilogue, p->err));
    const nrw_smooth gelu = function_of(p->node);
    nrw_smooth_segments(&gelu, y->quant, &s->gelu);
    s->epilogue.segments = &s->gelu;
    choice->run = run;
    choice->state = s;
    choice->takes_quantized = true;
    choice->kernel = nrw_arena_printf(p->arena, "matmul_gelu_i8_%s", p->kernels->tier);
    if (choice->kernel == NULL) NRW_OOM(p->err);
    return NRW_OK;
}

static int64_t macs(const nrw_node *n, const nrw_type *const *in, const nrw_type *out) {
    const int64_t count = nrw_type_count(&out[0]);
    int64_t all;
    (void)n;
    if (count < 0 || in[1]->rank != 2 || in[1]->dims[0] < 0) return 0;
    return nrw_mul_i64(count, in[1]->dims[0], &all) ? all : 0;
}

static const nrw_attr_def attrs[] = {{"approximate", NRW_ATTR_STRING, false}, {0}};

static const nrw_case cases[] = {
    {"graph main(%x: f32[2,35,70]) {\n"
     "  %xq: f32[2,35,70] q(u8, scale=0.0078, zero=128) = ai.narrow::Requantize(%x)\n"
     "  const %w: i8[70,45] q(i8, scale=0.004, zero=0) = random 2\n  const %b: f32[45] = random 3\n"
     "  %y: f32[2,35,45] q(u8, scale=0.011, zero=15) = ai.narrow::MatMulGelu(%xq, %w, %b)\n"
     "  %z: f32[2,35,45] = ai.narrow::Requantize(%y)\n  return %z\n}",
     -1, 1},
    {"graph main(%x: f32[3,16]) {\n"
     "  %xq: f32[3,16] q(i8, scale=0.0078, zero=3) = ai.narrow::Requantize(%x)\n"
     "  const %w: i8[16,3] q(i8, axis=1, scale=[0.01, 0.02, 0.005], zero=[0, 3, 0]) = random 2\n"
     "  %y: f32[3,3] q(u8, scale=0.05, zero=120) = ai.narrow::MatMulGelu(%xq, %w) "
     "{approximate=\"tanh\"}\n"
     "  %z: f32[3,3] = ai.narrow::Requantize(%y)\n  return %z\n}",
     -1, 1},
    {0}};

static const nrw_op matmul_gelu = {
    .name = "MatMulGelu",
    .domain = "ai.narrow",
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = reference,
    .plan = plan,
    .macs = macs,
    .cases = cases,
};

NRW_OPS(matmul_gelu, &matmul_gelu);
