/* An operator from end to end. Copy this file to FAMILY.c, keep what the operator needs, put FAMILY
 * for TEMPLATE in its last line and into the list in meson.build. The build compiles this file as
 * it stands, so that it cannot grow stale; the operator below is real: y = scale * x + x, in a
 * domain of its own.
 *
 * A family file has six parts, in this order: attributes, shape rule, reference kernel, integer
 * kernel (if any), sample cases, the row. */
#include "ops/broadcast.h"

/* 1. Attributes. The importer checks names and types against this list; absent ones are read with
 * their default where they are used. The list ends with an empty entry. */
static const nrw_attr_def attrs[] = {{"scale", NRW_ATTR_FLOAT, false}, {0}};

/* 2. Shape rule. c->in[i] is what is known of input i: any dim, the rank, even the dtype may be
 * unknown, and the rule must live with that. Set what can be told of c->out[]; refuse with
 * NRW_ERR_SHAPE what can never be valid. infer_common.c has the usual rules (nrw_infer_same,
 * nrw_infer_broadcast, nrw_infer_compare). */
static nrw_status infer(nrw_infer *c) {
    nrw_dtype t = c->in[0]->dtype;
    if (t != NRW_NONE && !nrw_dtype_is_float(t))
        NRW_FAIL_INPUT(c, 0, "x", "expected a float type, got %s", nrw_dtype_name(t));
    return nrw_infer_same(c);
}

/* 3. Reference kernel. Correct for every type that ONNX allows and every shape, including empty
 * ones. Element-wise operators bring one function per type for a row of elements; nrw_each_element
 * does the rest: broadcasting, threads, and the float types narrower than F32. */
static void scaled_f32(const void *arg, void *out, const void *const *in, const int64_t *step,
                       int64_t n) {
    const float scale = (float)*(const double *)arg;
    const float *x = in[0];
    float *y = out;
    for (int64_t i = 0; i < n; i++) y[i] = scale * x[i * step[0]] + x[i * step[0]];
}

static void scaled_f64(const void *arg, void *out, const void *const *in, const int64_t *step,
                       int64_t n) {
    const double scale = *(const double *)arg;
    const double *x = in[0];
    double *y = out;
    for (int64_t i = 0; i < n; i++) y[i] = scale * x[i * step[0]] + x[i * step[0]];
}

/* e->in[i] is NULL for an input left out. e->out[i] has its memory, because the shape rule could
 * tell its type; where only the data tells (NonZero, StringSplit), call nrw_eval_alloc first.
 * Scratch memory comes from e->scratch and goes by itself. */
static nrw_status run(nrw_eval *e) {
    static const nrw_rows rows = {.by[NRW_F32] = scaled_f32, .by[NRW_F64] = scaled_f64};
    double scale = (double)nrw_attr_float(e->node, "scale", 1.0f);
    return nrw_each_element(e, &e->out[0], 1, e->in, e->in[0]->dtype, &rows, &scale);
}

/* 4. Integer kernel. Without one, the executor dequantizes, runs the reference and quantizes. Here
 * quant_table.h would do: `.integer = nrw_table_integer, .integer_ok = nrw_table_integer_ok`. */

/* 5. Sample cases in the text form (docs/ir-text.md). The generic suite runs each: shapes against
 * the rule, one thread against many, integers against float, out to .onnx and back. Give one per
 * kind of thing the operator does; inputs are random within [lo, hi]. */
static const nrw_case cases[] = {{"graph main(%x: f32[2,N]) {"
                                  "  %y: f32[2,N] = ai.narrow.example::Scaled(%x) {scale=2.5}"
                                  "  return %y }",
                                  -1, 1},
                                 {0}};

/* 6. The row. op.h says what each field means. The quantization rule says how the operator takes
 * part when a model is quantized; onnx, tflite and aten name it in the formats. */
static const nrw_op scaled_op = {
    .name = "Scaled",
    .domain = "ai.narrow.example",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = run,
    .quant = {.rule = NRW_QUANT_UNARY},
    .onnx = {"Scaled", 1},
    .cases = cases,
};

/* All rows of the family, under the family's name, by which the registry finds them. */
NRW_OPS(TEMPLATE, &scaled_op);
