/* RotaryEmbedding: pairs of values turned by an angle that depends on the position (Su et al.,
 * "RoFormer", 2021, section 3.2). f16, bf16 and f32 compute in f32, f64 in f64. */
#include <string.h>

#include "ops/floats.h"
#include "ops/op.h"

typedef struct rotary_dims {
    int64_t batch, heads, length, width, turned; /* unknown: < 0 */
} rotary_dims;

static bool meets(int64_t a, int64_t b) {
    return a < 0 || b < 0 || a == b;
}

static nrw_status read_dims(const nrw_node *n, const nrw_type *x, rotary_dims *d, nrw_error *err) {
    d->batch = x->dims[0];
    if (x->rank == 4) {
        d->heads = x->dims[1];
        d->length = x->dims[2];
        d->width = x->dims[3];
    } else if (x->rank == 3) {
        d->heads = nrw_attr_int(n, "num_heads", 0);
        d->length = x->dims[1];
        if (d->heads < 1 || (x->dims[2] >= 0 && x->dims[2] % d->heads != 0)) {
            NRW_FAIL(err, NRW_ERR_SHAPE, "num_heads: %lld does not divide the last axis",
                     (long long)d->heads);
        }
        d->width = x->dims[2] < 0 ? x->dims[2] : x->dims[2] / d->heads;
    } else {
        NRW_FAIL(err, NRW_ERR_SHAPE, "input 0: rank %d instead of 3 or 4", x->rank);
    }
    d->turned = nrw_attr_int(n, "rotary_embedding_dim", 0);
    if (d->turned == 0) d->turned = d->width;
    if (d->turned >= 0 && (d->turned % 2 != 0 || (d->width >= 0 && d->turned > d->width))) {
        NRW_FAIL(err, NRW_ERR_SHAPE, "rotary_embedding_dim: %lld of %lld", (long long)d->turned,
                 (long long)d->width);
    }
    return NRW_OK;
}

/* A cache is [positions, turned / 2] with position_ids, else [batch, length, turned / 2]. */
static nrw_status check_cache(nrw_infer *c, int i, const rotary_dims *d) {
    const nrw_type *t = c->in[i];
    if (t->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    bool by_id = c->n_in > 3 && c->in[3] != NULL;
    int64_t half = d->turned < 0 ? d->turned : d->turned / 2;
    if (t->rank != (by_id ? 2 : 3) || !meets(t->dims[t->rank - 1], half) ||
        (!by_id && (!meets(t->dims[0], d->batch) || !meets(t->dims[1], d->length)))) {
        NRW_FAIL_INPUT(c, i, "cache", "does not fit the input");
    }
    return NRW_OK;
}

static nrw_status infer(nrw_infer *c) {
    c->out[0] = *c->in[0];
    if (c->in[0]->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    rotary_dims d;
    NRW_TRY(read_dims(c->node, c->in[0], &d, c->err));
    NRW_TRY(check_cache(c, 1, &d));
    NRW_TRY(check_cache(c, 2, &d));
    const nrw_type *ids = c->n_in > 3 ? c->in[3] : NULL;
    if (ids == NULL || ids->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (ids->rank != 2 || !meets(ids->dims[0], d.batch) || !meets(ids->dims[1], d.length)) {
        NRW_FAIL_INPUT(c, 3, "position_ids", "must be [batch, length]");
    }
    return NRW_OK;
}

#define REAL float
#define JOB  job_f32
#define TASK task_f32
#define RUN  run_f32
#define IN   nrw_floats_in
#define OUT  nrw_floats_out
#define DONE nrw_floats_done
#include "ops/rotary_tmpl.h"

#define REAL double
#define JOB  job_f64
#define TASK task_f64
#define RUN  run_f64
#define IN   nrw_doubles_in
#define OUT  nrw_doubles_out
#define DONE nrw_doubles_done
#include "ops/rotary_tmpl.h"

/* The cache row of every [batch, length] place. */
static nrw_status read_positions(nrw_eval *e, const rotary_dims *d, const int64_t **out) {
    int64_t n = d->batch * d->length, *rows = nrw_eval_scratch(e, n, sizeof *rows);
    if (rows == NULL) NRW_OOM(e->err);
    *out = rows;
    for (int64_t i = 0; i < n; i++) rows[i] = i;
    const nrw_tensor *ids = e->n_in > 3 ? e->in[3] : NULL;
    if (ids == NULL) return NRW_OK;
    NRW_TRY(nrw_to_i64(ids->dtype, ids->data, rows, n, e->err));
    int64_t limit = e->in[1]->dims[0] < e->in[2]->dims[0] ? e->in[1]->dims[0] : e->in[2]->dims[0];
    for (int64_t i = 0; i < n; i++) {
        if (rows[i] < 0 || rows[i] >= limit) {
            NRW_FAIL(e->err, NRW_ERR_DATA, "position_ids: %lld of %lld", (long long)rows[i],
                     (long long)limit);
        }
    }
    return NRW_OK;
}

static nrw_status rotary(nrw_eval *e) {
    rotary_dims d;
    const nrw_type x = nrw_type_of(e->in[0]);
    const int64_t *rows = NULL;
    NRW_TRY(read_dims(e->node, &x, &d, e->err));
    NRW_TRY(read_positions(e, &d, &rows));
    return x.dtype == NRW_F64 ? run_f64(e, &d, rows) : run_f32(e, &d, rows);
}

static const nrw_attr_def attrs[] = {{"interleaved", NRW_ATTR_INT, false},
                                     {"num_heads", NRW_ATTR_INT, false},
                                     {"rotary_embedding_dim", NRW_ATTR_INT, false},
                                     {0}};

static const nrw_case cases[] = {{"graph main(%x: f32[2,3,5,8]) {\n"
                                  "  const %c: f32[9,4] = random 1\n"
                                  "  const %s: f32[9,4] = random 2\n"
                                  "  const %i: i64[2,5] = [0, 1, 2, 3, 4, 8, 7, 6, 5, 4]\n"
                                  "  %y: f32[...] = RotaryEmbedding(%x, %c, %s, %i)\n"
                                  "  return %y\n"
                                  "}",
                                  -1, 1},
                                 {"graph main(%x: f32[2,5,24]) {\n"
                                  "  const %c: f32[2,5,2] = random 1\n"
                                  "  const %s: f32[2,5,2] = random 2\n"
                                  "  %y: f32[...] = RotaryEmbedding(%x, %c, %s) {interleaved=1, "
                                  "num_heads=3, rotary_embedding_dim=4}\n"
                                  "  return %y\n"
                                  "}",
                                  -1, 1},
                                 {0}};

static const nrw_op rotary_row = {
    .name = "RotaryEmbedding",
    .domain = "",
    .min_in = 3,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .attrs = attrs,
    .infer = infer,
    .reference = rotary,
    .onnx = {"RotaryEmbedding", 23},
    .cases = cases,
};

NRW_OPS(rotary, &rotary_row);
