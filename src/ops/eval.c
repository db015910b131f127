/* Running one node: what the session and the constant folder share. */
#include "ops/eval.h"

#include <string.h>

#include "kernels/kernels.h"
#include "ops/litert.h"

nrw_status nrw_eval_alloc(nrw_eval *e, int i, nrw_dtype dtype, int rank, const int64_t *dims) {
    size_t bytes;
    NRW_TRY(nrw_checked_bytes(dtype, rank, dims, &bytes, e->err));
    nrw_tensor *t = &e->out[i];
    const nrw_quant *quant = t->quant;
    *t = nrw_tensor_make(dtype, rank, dims, NULL);
    t->quant = quant;
    return e->host->alloc(e->host, t, e->err);
}

/* Copies into memory that lives as long as the values of this run. */
nrw_status nrw_host_keep(nrw_eval *e, const nrw_tensor *src, nrw_tensor *dst) {
    nrw_tensor t = *src;
    if (src->elements != NULL) {
        size_t bytes;
        if (!nrw_mul_size((size_t)src->n_elements + 1, sizeof *t.elements, &bytes)) NRW_OOM(e->err);
        t.elements = e->host->bytes(e->host, bytes);
        if (t.elements == NULL) NRW_OOM(e->err);
        for (int64_t i = 0; i < src->n_elements; i++) {
            NRW_TRY(nrw_host_keep(e, &src->elements[i], &t.elements[i]));
        }
    }
    if (src->data != NULL) {
        size_t bytes = nrw_tensor_bytes(src);
        t.data = e->host->bytes(e->host, bytes > 0 ? bytes : 1);
        if (t.data == NULL) NRW_OOM(e->err);
        if (bytes > 0) memcpy(t.data, src->data, bytes); /* string contents live as long already */
    }
    *dst = t;
    return NRW_OK;
}

nrw_status nrw_op_infer(const nrw_node *n, const nrw_type *const *in, const nrw_tensor *const *data,
                        nrw_type *out, nrw_arena *scratch, nrw_error *err) {
    const nrw_op *op = n->op;
    for (int i = 0; i < n->n_outputs; i++) out[i] = nrw_type_unknown();
    if (op == NULL) return NRW_OK;
    if (n->n_inputs < op->min_in || (op->max_in >= 0 && n->n_inputs > op->max_in))
        NRW_FAIL(err, NRW_ERR_SHAPE, "%s takes %d to %d inputs, got %d", op->name, op->min_in,
                 op->max_in, n->n_inputs);
    if (op->max_out >= 0 && n->n_outputs > op->max_out)
        NRW_FAIL(err, NRW_ERR_SHAPE, "%s has at most %d outputs, got %d", op->name, op->max_out,
                 n->n_outputs);
    /* Of any number of inputs none may be left out, but a Loop's. */
    const int needed = op->max_in < 0 && op->min_in > 0 ? n->n_inputs : op->min_in;
    for (int i = 0; i < needed; i++) {
        if (in[i] == NULL) NRW_FAIL(err, NRW_ERR_SHAPE, "input %d is missing", i);
    }
    nrw_infer c = {.node = n,
                   .n_in = n->n_inputs,
                   .n_out = n->n_outputs,
                   .in = in,
                   .data = data,
                   .out = out,
                   .scratch = scratch,
                   .err = err};
    NRW_TRY(op->infer(&c));
    for (int i = 0; i < n->n_outputs; i++) {
        size_t bytes;
        if (nrw_type_is_static(&out[i]) && out[i].dtype != NRW_NONE)
            NRW_TRY_CTX(err, nrw_checked_bytes(out[i].dtype, out[i].rank, out[i].dims, &bytes, err),
                        "output %d", i);
    }
    return NRW_OK;
}

bool nrw_eval_takes_integers(const nrw_node *n) {
    const nrw_op *op = n->op;
    const nrw_quant *first = n->n_inputs > 0 && n->inputs[0] != NULL ? n->inputs[0]->quant : NULL;
    if (op->integer != NULL && op->integer_ok != NULL && op->integer_ok(n)) return true;
    if (!op->quant.moves_only || first == NULL || first->axis >= 0 || first->dynamic) return false;
    for (int i = 1; i < n->n_inputs; i++) {
        if (n->inputs[i] != NULL && n->inputs[i]->quant != NULL) return false;
    }
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] != NULL && n->outputs[i]->type.dtype == NRW_F32 &&
            !nrw_quant_equal(n->outputs[i]->quant, first))
            return false;
    }
    return true;
}

bool nrw_eval_is_annotated(const nrw_node *n) {
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] != NULL && n->inputs[i]->quant != NULL) return true;
    }
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] != NULL && n->outputs[i]->quant != NULL) return true;
    }
    return false;
}

enum { CONVERT_CHUNK = 1 << 13 };

/* Uniform uint8 parameters as DynamicQuantizeLinear defines them. */
static void params_of_range(float lo, float hi, float *scale, int32_t *zero) {
    *scale = (hi - lo) / 255;
    if (!(*scale > 0)) *scale = 1;
    /* Zero is in the range, so that -lo / scale lies in [0, 255]. */
    *zero = (int32_t)__builtin_nearbyintf(-lo / *scale);
}

typedef struct params {
    nrw_quant q;
    float *scale;
    int32_t *zero;
} params;

/* Parameters of a tensor, to be measured, for as many parts of it along axis 0; NULL without
 * memory. */
static params *new_params(nrw_eval *e, int64_t parts, const nrw_quant *wanted) {
    params *p = e->host->bytes(e->host, sizeof *p);
    float *scale = e->host->bytes(e->host, (size_t)parts * sizeof *scale + 1);
    int32_t *zero = e->host->bytes(e->host, (size_t)parts * sizeof *zero + 1);
    if (p == NULL || scale == NULL || zero == NULL) return NULL;
    p->scale = scale;
    p->zero = zero;
    p->q = (nrw_quant){.dtype = NRW_U8,
                       .axis = parts == 1 ? -1 : 0,
                       .count = parts,
                       .scale = scale,
                       .zero_point = zero,
                       .dynamic = true,
                       .rounding = wanted->rounding};
    return p;
}

static nrw_status measure(nrw_eval *e, const float *x, nrw_tensor *dst) {
    float lo, hi;
    params *p = new_params(e, 1, dst->quant);
    if (p == NULL) NRW_OOM(e->err);
    nrw_litert_range(x, nrw_tensor_count(dst), &lo, &hi);
    params_of_range(lo, hi, p->scale, p->zero);
    dst->quant = &p->q;
    return NRW_OK;
}

typedef struct parts_job {
    const nrw_kernels *kernels;
    const float *from;
    uint8_t *to;
    params *p;
    int64_t n, group; /* elements of a part; parts of a task */
} parts_job;

static void quantize_parts(void *arg, int64_t task, int worker) {
    (void)worker;
    const parts_job *job = arg;
    const int64_t end = (task + 1) * job->group;
    for (int64_t i = task * job->group; i < end && i < job->p->q.count; i++) {
        const float *x = job->from + i * job->n;
        float lo, hi;
        nrw_litert_range(x, job->n, &lo, &hi);
        uint8_t *to = job->to + i * job->n;
        if (job->p->q.rounding == NRW_ROUND_LITERT)
            nrw_litert_quantize(job->kernels, lo, hi, x, job->n, to, &job->p->scale[i],
                                &job->p->zero[i]);
        else
            nrw_litert_quantize_own(lo, hi, x, job->n, to, &job->p->scale[i], &job->p->zero[i]);
    }
}

/* LiteRT measures each row of a matrix and each image of a batch on its own. */
static nrw_status measure_parts(nrw_eval *e, const float *x, nrw_tensor *dst) {
    const int64_t all = nrw_tensor_count(dst), parts = dst->rank > 1 ? dst->dims[0] : 1;
    const int64_t n = parts > 0 ? all / parts : 0;
    parts_job job = {e->kernels, x, dst->data, new_params(e, parts, dst->quant), n, 1};
    if (job.p == NULL) NRW_OOM(e->err);
    if (n > 0 && n < CONVERT_CHUNK) job.group = CONVERT_CHUNK / n;
    nrw_pool_run(e->pool, (parts + job.group - 1) / job.group, quantize_parts, &job);
    dst->quant = &job.p->q;
    return NRW_OK;
}

typedef struct convert_job {
    const nrw_kernels *kernels;
    const nrw_tensor *q; /* the quantized side; per tensor */
    const float *from;
    float *to;
    int64_t n;
} convert_job;

static void convert_chunk(void *arg, int64_t i, int worker) {
    (void)worker;
    const convert_job *job = arg;
    int64_t at = i * CONVERT_CHUNK, n = job->n - at < CONVERT_CHUNK ? job->n - at : CONVERT_CHUNK;
    nrw_tensor part = *job->q;
    part.rank = 1;
    part.dims[0] = n;
    part.data = (char *)job->q->data + at * nrw_dtype_size(part.dtype);
    const nrw_quantize_u8 bytes = {part.quant->scale[0], part.quant->zero_point[0],
                                   nrw_rounds_as_litert(part.quant) ? 1 / part.quant->scale[0] : 0};
    if (job->to == NULL && job->kernels->quantize_u8 != NULL && nrw_quant_is_u8(part.quant) &&
        nrw_has_reciprocal(bytes.scale)) {
        job->kernels->quantize_u8(&bytes, job->from + at, part.data, n);
        return;
    }
    /* Per tensor, both directions succeed for every integer type. */
    nrw_status s = job->to != NULL ? nrw_dequantize(&part, job->to + at, NULL)
                                   : nrw_quantize_values(job->from + at, &part, NULL);
    (void)s;
}

static nrw_status convert(const nrw_kernels *kn, nrw_pool *pool, nrw_tensor *q, const float *from,
                          float *to, nrw_error *err) {
    if (q->quant->axis >= 0) {
        return to != NULL ? nrw_dequantize(q, to, err) : nrw_quantize_values(from, q, err);
    }
    convert_job job = {kn, q, from, to, nrw_tensor_count(q)};
    nrw_pool_run(pool, (job.n + CONVERT_CHUNK - 1) / CONVERT_CHUNK, convert_chunk, &job);
    return NRW_OK;
}

nrw_status nrw_quantize_floats(const nrw_kernels *kn, nrw_pool *pool, const float *x, nrw_tensor *y,
                               nrw_error *err) {
    return convert(kn, pool, y, x, NULL, err);
}

/* Dequantizes the annotated inputs into in[]. */
static nrw_status widen_inputs(nrw_eval *e, const nrw_tensor **in, nrw_tensor *wide) {
    for (int i = 0; i < e->n_in; i++) {
        in[i] = e->in[i];
        if (in[i] == NULL || in[i]->quant == NULL) continue;
        wide[i] = nrw_tensor_make(NRW_F32, in[i]->rank, in[i]->dims, NULL);
        size_t bytes = (size_t)nrw_tensor_count(in[i]) * sizeof(float);
        wide[i].data = nrw_arena_alloc(e->scratch, bytes > 0 ? bytes : 1);
        if (wide[i].data == NULL) NRW_OOM(e->err);
        nrw_tensor q = *in[i];
        NRW_TRY(convert(e->kernels, e->pool, &q, NULL, wide[i].data, e->err));
        in[i] = &wide[i];
    }
    return NRW_OK;
}

nrw_status nrw_eval_quantize(nrw_eval *e, int i, const float *computed) {
    e->out[i].quant = e->node->outputs[i]->quant;
    if (e->out[i].quant->dynamic && nrw_rounds_as_litert(e->out[i].quant))
        return measure_parts(e, computed, &e->out[i]);
    if (e->out[i].quant->dynamic) NRW_TRY(measure(e, computed, &e->out[i]));
    return nrw_quantize_floats(e->kernels, e->pool, computed, &e->out[i], e->err);
}

/* Bytes under another shape: all there is to do is to quantize them. */
static bool only_quantizes(const nrw_eval *e) {
    return e->node->op->alias && e->n_out == 1 && e->out[0].data != NULL && e->n_in > 0 &&
           e->in[0] != NULL && e->in[0]->kind == NRW_TENSOR && e->in[0]->quant == NULL &&
           e->in[0]->dtype == NRW_F32 && e->node->outputs[0]->quant != NULL;
}

nrw_status nrw_eval_simulated(nrw_eval *e, nrw_run_fn run) {
    if (only_quantizes(e)) return nrw_eval_quantize(e, 0, e->in[0]->data);
    size_t n_in = (size_t)e->n_in + 1, n_out = (size_t)e->n_out + 1;
    const nrw_tensor **in = nrw_arena_calloc(e->scratch, n_in, sizeof *in);
    nrw_tensor *wide = nrw_arena_calloc(e->scratch, n_in, sizeof *wide);
    nrw_tensor *out = nrw_arena_calloc(e->scratch, n_out, sizeof *out);
    if (in == NULL || wide == NULL || out == NULL) NRW_OOM(e->err);
    NRW_TRY(widen_inputs(e, in, wide));
    for (int i = 0; i < e->n_out; i++) {
        out[i] = e->out[i];
        const nrw_value *v = e->node->outputs[i];
        if (v == NULL || v->quant == NULL) continue;
        out[i].quant = NULL;
        out[i].dtype = NRW_F32;
        if (out[i].data == NULL) continue;
        size_t bytes = (size_t)nrw_tensor_count(&out[i]) * sizeof(float);
        out[i].data = nrw_arena_alloc(e->scratch, bytes > 0 ? bytes : 1);
        if (out[i].data == NULL) NRW_OOM(e->err);
    }
    nrw_eval inner = *e;
    inner.in = in;
    inner.out = out;
    NRW_TRY(run(&inner));
    for (int i = 0; i < e->n_out; i++) {
        const nrw_value *v = e->node->outputs[i];
        if (v == NULL || v->quant == NULL) {
            e->out[i] = out[i];
            continue;
        }
        if (e->out[i].data == NULL)
            NRW_TRY(nrw_eval_alloc(e, i, v->quant->dtype, out[i].rank, out[i].dims));
        NRW_TRY(nrw_eval_quantize(e, i, out[i].data));
    }
    return NRW_OK;
}

/* A host for one node: everything lies in one arena, bodies cannot run. */
typedef struct arena_host {
    struct nrw_host base;
    nrw_arena *arena;
} arena_host;

static nrw_status arena_host_alloc(struct nrw_host *h, nrw_tensor *t, nrw_error *err) {
    size_t bytes;
    NRW_TRY(nrw_checked_bytes(t->dtype, t->rank, t->dims, &bytes, err));
    t->data = nrw_arena_calloc(((arena_host *)h)->arena, bytes > 0 ? bytes : 1, 1);
    if (t->data == NULL) NRW_OOM(err);
    return NRW_OK;
}

static void *arena_host_bytes(struct nrw_host *h, size_t n) {
    return nrw_arena_calloc(((arena_host *)h)->arena, n > 0 ? n : 1, 1);
}

static nrw_status no_bodies(struct nrw_host *h, const nrw_graph *g, int n_in, const nrw_tensor *in,
                            int n_out, nrw_tensor *out, nrw_error *err) {
    (void)h, (void)n_in, (void)in, (void)n_out, (void)out;
    NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "body '%s' needs a session", g->name);
}

nrw_status nrw_op_infer_now(const nrw_node *n, const nrw_tensor *const *in, nrw_type *out,
                            nrw_arena *scratch, nrw_error *err) {
    nrw_type *room = nrw_arena_calloc(scratch, (size_t)n->n_inputs + 1, sizeof *room);
    const nrw_type **types = nrw_arena_calloc(scratch, (size_t)n->n_inputs + 1, sizeof *types);
    if (room == NULL || types == NULL) NRW_OOM(err);
    for (int i = 0; i < n->n_inputs; i++) {
        if (in[i] == NULL) continue;
        room[i] = nrw_type_of(in[i]);
        if (in[i]->quant != NULL) room[i].dtype = NRW_F32;
        types[i] = &room[i];
    }
    return nrw_op_infer(n, types, in, out, scratch, err);
}

nrw_status nrw_eval_prepare_output(struct nrw_host *h, const nrw_value *v, const nrw_type *type,
                                   nrw_tensor *out, nrw_error *err) {
    *out = (nrw_tensor){.kind = type->kind};
    if (v != NULL && v->quant != NULL) out->quant = v->quant;
    if (type->dtype == NRW_NONE || !nrw_type_is_static(type)) return NRW_OK;
    nrw_dtype storage = out->quant != NULL ? out->quant->dtype : type->dtype;
    const nrw_quant *quant = out->quant;
    *out = nrw_tensor_make(storage, type->rank, type->dims, NULL);
    out->quant = quant;
    return h->alloc(h, out, err);
}

nrw_status nrw_op_run(const nrw_context *c, const nrw_node *n, const nrw_tensor *const *in,
                      nrw_tensor *out, nrw_arena *arena, nrw_error *err) {
    if (n->op == NULL)
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "operator %s%s%s is not supported", n->domain,
                 n->domain[0] != 0 ? "::" : "", n->type);
    arena_host host = {{arena_host_alloc, arena_host_bytes, no_bodies}, arena};
    nrw_rng rng;
    nrw_rng_seed(&rng, 0);
    nrw_type *out_types = nrw_arena_calloc(arena, (size_t)n->n_outputs + 1, sizeof *out_types);
    bool *wanted = nrw_arena_calloc(arena, (size_t)n->n_outputs + 1, sizeof *wanted);
    if (out_types == NULL || wanted == NULL) NRW_OOM(err);
    NRW_TRY(nrw_op_infer_now(n, in, out_types, arena, err));
    for (int i = 0; i < n->n_outputs; i++) {
        wanted[i] = n->outputs[i] != NULL;
        NRW_TRY(nrw_eval_prepare_output(&host.base, n->outputs[i], &out_types[i], &out[i], err));
    }
    nrw_eval e = {.context = c,
                  .kernels = nrw_kernels_get(&c->cpu),
                  .node = n,
                  .n_in = n->n_inputs,
                  .n_out = n->n_outputs,
                  .in = in,
                  .out = out,
                  .wanted = wanted,
                  .pool = c->pool,
                  .scratch = arena,
                  .rng = &rng,
                  .host = &host.base,
                  .err = err};
    if (!nrw_eval_is_annotated(n)) return n->op->reference(&e);
    if (!nrw_eval_takes_integers(n)) return nrw_eval_simulated(&e, n->op->reference);
    return n->op->integer != NULL ? n->op->integer(&e) : n->op->reference(&e);
}
