/* Integer kernels of element-wise operators, equal to the bit to dequantizing, the float operator
 * and quantizing. */
#include "ops/quant_table.h"

#include "kernels/kernels.h"
#include "ops/litert.h"

static bool per_tensor(const nrw_value *v, int max_size) {
    return v != NULL && v->quant != NULL && v->quant->axis < 0 && !v->quant->dynamic &&
           nrw_dtype_size(v->quant->dtype) <= max_size;
}

bool nrw_table_integer_ok(const nrw_node *n) {
    for (int i = 1; i < n->n_inputs; i++) {
        if (n->inputs[i] != NULL && n->inputs[i]->quant != NULL) return false;
    }
    return per_tensor(n->inputs[0], 1) && per_tensor(n->outputs[0], 1);
}

typedef struct looking {
    const nrw_kernels *kernels;
    const uint8_t *table;
} looking;

static void look_up(const void *arg, void *out, const void *const *in, const int64_t *step,
                    int64_t n) {
    const looking *l = arg;
    const uint8_t *q = in[0];
    uint8_t *y = out;
    if (step[0] == 1 && l->kernels->table_u8 != NULL) {
        l->kernels->table_u8(l->table, q, y, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) y[i] = l->table[q[i * step[0]]];
}

nrw_status nrw_look_up(nrw_eval *e, const uint8_t *table) {
    const looking l = {e->kernels, table};
    return nrw_each_row(e, &e->out[0], 1, e->in, look_up, &l);
}

nrw_status nrw_table_integer(nrw_eval *e) {
    static const int64_t all[1] = {256};
    uint8_t pattern[256], table[256];
    float x[256], y[256];
    for (int i = 0; i < 256; i++) pattern[i] = (uint8_t)i;

    const nrw_tensor *inputs[NRW_ROW_INPUTS] = {NULL};
    if (e->n_in > NRW_ROW_INPUTS)
        NRW_FAIL(e->err, NRW_ERR_INTERNAL, "a table of %d inputs", e->n_in);
    for (int i = 1; i < e->n_in; i++) inputs[i] = e->in[i];
    nrw_tensor q = nrw_tensor_make(e->in[0]->dtype, 1, all, pattern);
    q.quant = e->in[0]->quant;
    NRW_TRY(nrw_dequantize(&q, x, e->err));
    nrw_tensor wide = nrw_tensor_make(NRW_F32, 1, all, x);
    inputs[0] = &wide;

    nrw_tensor result = nrw_tensor_make(NRW_F32, 1, all, y);
    nrw_eval inner = *e;
    inner.in = inputs;
    inner.out = &result;
    NRW_TRY(e->node->op->reference(&inner));
    nrw_tensor narrow = nrw_tensor_make(e->out[0].dtype, 1, all, table);
    narrow.quant = e->out[0].quant;
    NRW_TRY(nrw_quantize_values(y, &narrow, e->err));
    if (nrw_rounds_as_litert(narrow.quant)) nrw_litert_table(e->node, q.quant, narrow.quant, table);
    return nrw_look_up(e, table);
}

bool nrw_integer_pair_ok(const nrw_node *n) {
    return n->n_inputs == 2 && per_tensor(n->inputs[0], 2) && per_tensor(n->inputs[1], 2) &&
           per_tensor(n->outputs[0], 2);
}

/* Rows go through float buffers of this length. */
#define BLOCK 512

typedef struct pair {
    nrw_row_fn f32_row;
    const void *arg;
    nrw_dtype in[2], out;
    float in_scale[2], out_scale;
    int32_t in_zero[2], out_zero;
} pair;

#define T  int8_t
#define TN i8
#include "ops/quant_row_tmpl.h"
#define T  uint8_t
#define TN u8
#include "ops/quant_row_tmpl.h"
#define T  int16_t
#define TN i16
#include "ops/quant_row_tmpl.h"
#define T  uint16_t
#define TN u16
#include "ops/quant_row_tmpl.h"

/* By bytes and sign, which also serves the types of four and two bits. */
void nrw_dequantize_row(nrw_dtype t, const void *q, float scale, int32_t zero, float *x,
                        int64_t n) {
    bool is_signed = nrw_dtype_get(t)->klass == NRW_CLASS_SINT;
    if (nrw_dtype_size(t) == 1) {
        is_signed ? dequantize_i8(q, scale, zero, x, n) : dequantize_u8(q, scale, zero, x, n);
    } else {
        is_signed ? dequantize_i16(q, scale, zero, x, n) : dequantize_u16(q, scale, zero, x, n);
    }
}

void nrw_quantize_row(nrw_dtype t, const float *x, float scale, int32_t zero, void *q, int64_t n) {
    const nrw_dtype_row *row = nrw_dtype_get(t);
    float lo = (float)row->min, hi = (float)row->max;
    bool is_signed = row->klass == NRW_CLASS_SINT;
    if (row->size == 1) {
        is_signed ? quantize_i8(x, scale, zero, lo, hi, q, n)
                  : quantize_u8(x, scale, zero, lo, hi, q, n);
    } else {
        is_signed ? quantize_i16(x, scale, zero, lo, hi, q, n)
                  : quantize_u16(x, scale, zero, lo, hi, q, n);
    }
}

static void pair_row(const void *arg, void *out, const void *const *in, const int64_t *step,
                     int64_t n) {
    const pair *p = arg;
    float x[2][BLOCK], y[BLOCK];
    const void *rows[2] = {x[0], x[1]};
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t m = n - i < BLOCK ? n - i : BLOCK;
        for (int k = 0; k < 2; k++) {
            const char *q = (const char *)in[k] + i * step[k] * nrw_dtype_size(p->in[k]);
            nrw_dequantize_row(p->in[k], q, p->in_scale[k], p->in_zero[k], x[k],
                               step[k] != 0 ? m : 1);
        }
        p->f32_row(p->arg, y, rows, step, m);
        nrw_quantize_row(p->out, y, p->out_scale, p->out_zero,
                         (char *)out + i * nrw_dtype_size(p->out), m);
    }
}

nrw_status nrw_integer_pair(nrw_eval *e, nrw_row_fn f32_row, const void *arg) {
    const nrw_quant *out = e->out[0].quant;
    pair p = {.f32_row = f32_row, .arg = arg};
    for (int k = 0; k < 2; k++) {
        p.in[k] = e->in[k]->dtype;
        p.in_scale[k] = e->in[k]->quant->scale[0];
        p.in_zero[k] = e->in[k]->quant->zero_point[0];
    }
    p.out = e->out[0].dtype;
    p.out_scale = out->scale[0];
    p.out_zero = out->zero_point[0];
    return nrw_each_row(e, &e->out[0], 2, e->in, pair_row, &p);
}
