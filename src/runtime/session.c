/* Running plans. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ops/eval.h"
#include "runtime/session_impl.h"

nrw_status nrw_room_reserve(nrw_session *s, nrw_room *room, size_t bytes, nrw_error *err) {
    if (bytes <= room->cap && room->data != NULL) return NRW_OK;
    nrw_mem_free(s->allocator, room->data, room->cap);
    size_t cap = bytes + bytes / 4 + 64;
    *room = (nrw_room){nrw_mem_alloc(s->allocator, cap), cap};
    if (room->data != NULL) return NRW_OK;
    room->cap = 0;
    NRW_OOM(err);
}

/* The host: memory and bodies for kernels.
 * ------------------------------------------------------------- */

static nrw_status host_alloc(struct nrw_host *h, nrw_tensor *t, nrw_error *err) {
    nrw_session *s = (nrw_session *)h;
    nrw_frame *f = &s->frames[s->depth];
    size_t bytes;
    NRW_TRY(nrw_checked_bytes(t->dtype, t->rank, t->dims, &bytes, err));
    if (bytes == 0) bytes = 1;
    if (t >= f->out && t < f->out + f->node->n_outputs && f->node->outputs[t - f->out] != NULL) {
        nrw_room *room = &s->rooms[f->node->outputs[t - f->out]->id];
        NRW_TRY(nrw_room_reserve(s, room, bytes, err));
        t->data = room->data;
    } else {
        t->data = nrw_arena_alloc(&f->scratch, bytes);
        if (t->data == NULL) NRW_OOM(err);
    }
    if (t->dtype == NRW_STRING) memset(t->data, 0, bytes);
    return NRW_OK;
}

static void *host_bytes(struct nrw_host *h, size_t n) {
    return nrw_arena_alloc(&((nrw_session *)h)->run_arena, n > 0 ? n : 1);
}

static nrw_status run_steps(nrw_session *s, const nrw_plan_graph *pg, bool main, nrw_error *err);

static nrw_status host_run_graph(struct nrw_host *h, const nrw_graph *g, int n_in,
                                 const nrw_tensor *in, int n_out, nrw_tensor *out, nrw_error *err) {
    nrw_session *s = (nrw_session *)h;
    const nrw_plan_graph *pg = nrw_plan_find(s->plan, g);
    if (pg == NULL || n_in > g->n_inputs || n_out > g->n_outputs)
        NRW_FAIL(err, NRW_ERR_SHAPE, "body '%s' has %d inputs and %d outputs; %d and %d expected",
                 g->name, g->n_inputs, g->n_outputs, n_in, n_out);
    if (s->depth + 1 >= NRW_MAX_NESTING)
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "bodies nest deeper than %d levels", NRW_MAX_NESTING);
    for (int i = 0; i < n_in; i++) s->slots[g->inputs[i]->id] = in[i];
    s->depth++;
    nrw_status status = run_steps(s, pg, false, err);
    s->depth--;
    NRW_TRY(status);
    for (int i = 0; i < n_out; i++) out[i] = s->slots[g->outputs[i]->id];
    return NRW_OK;
}

/* One step.
 * ------------------------------------------------------------------------------------------- */

/* Outputs that the reshape placed lie in their slots already; the others are shaped now. */
static nrw_status prepare_outputs(nrw_session *s, const nrw_step *step, const nrw_tensor **in,
                                  nrw_tensor *out, bool main, nrw_error *err) {
    const nrw_node *n = step->node;
    bool ready = main;
    for (int i = 0; i < n->n_outputs && ready; i++) {
        if (n->outputs[i] != NULL) ready = s->placed[n->outputs[i]->id];
    }
    if (ready) {
        for (int i = 0; i < n->n_outputs; i++) {
            if (n->outputs[i] == NULL) continue;
            out[i] = s->slots[n->outputs[i]->id];
            out[i].quant = n->outputs[i]->quant;
        }
        return NRW_OK;
    }
    nrw_type *types =
        nrw_arena_calloc(&s->frames[s->depth].scratch, (size_t)n->n_outputs + 1, sizeof *types);
    if (types == NULL) NRW_OOM(err);
    NRW_TRY(nrw_op_infer_now(n, in, types, &s->frames[s->depth].scratch, err));
    for (int i = 0; i < n->n_outputs; i++) {
        if (step->mode == NRW_STEP_ALIAS) {
            out[i] = *in[0];
            out[i].rank = types[i].rank;
            memcpy(out[i].dims, types[i].dims, sizeof out[i].dims);
            return NRW_OK;
        }
        NRW_TRY(nrw_eval_prepare_output(&s->host, n->outputs[i], &types[i], &out[i], err));
    }
    return NRW_OK;
}

static nrw_status run_step(nrw_session *s, const nrw_step *step, bool main, nrw_error *err) {
    nrw_frame *f = &s->frames[s->depth];
    const nrw_node *n = step->node;
    const nrw_tensor **in = nrw_arena_calloc(&f->scratch, (size_t)n->n_inputs + 1, sizeof *in);
    nrw_tensor *out = nrw_arena_calloc(&f->scratch, (size_t)n->n_outputs + 1, sizeof *out);
    bool *wanted = nrw_arena_calloc(&f->scratch, (size_t)n->n_outputs + 1, sizeof *wanted);
    if (in == NULL || out == NULL || wanted == NULL) NRW_OOM(err);
    for (int i = 0; i < n->n_inputs; i++) {
        const nrw_value *v = n->inputs[i];
        if (v == NULL) continue;
        in[i] =
            step->consts != NULL && step->consts[i] != NULL ? step->consts[i] : &s->slots[v->id];
    }
    for (int i = 0; i < n->n_outputs; i++) {
        wanted[i] = n->outputs[i] != NULL && (n->outputs[i]->n_uses > 0 || s->observer != NULL);
    }
    f->node = n;
    f->out = out;
    NRW_TRY(prepare_outputs(s, step, in, out, main, err));
    nrw_eval e = {.context = s->plan->context,
                  .kernels = s->plan->kernels,
                  .node = n,
                  .n_in = n->n_inputs,
                  .n_out = n->n_outputs,
                  .in = in,
                  .out = out,
                  .wanted = wanted,
                  .pool = s->plan->context->pool,
                  .scratch = &f->scratch,
                  .rng = &s->rng,
                  .state = step->state,
                  .host = &s->host,
                  .err = err};
    if (step->mode == NRW_STEP_PLAIN) NRW_TRY(step->run(&e));
    if (step->mode == NRW_STEP_SIMULATED) NRW_TRY(nrw_eval_simulated(&e, step->run));
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] != NULL) s->slots[n->outputs[i]->id] = out[i];
    }
    return NRW_OK;
}

/* A step whose output was placed by the reshape but shares its input's memory: the address is known
 * now. */
static void alias(nrw_session *s, const nrw_node *n, const nrw_type *type) {
    nrw_tensor *out = &s->slots[n->outputs[0]->id];
    *out = s->slots[n->inputs[0]->id];
    out->rank = type->rank;
    memcpy(out->dims, type->dims, sizeof out->dims);
}

static nrw_status observe_outputs(nrw_session *s, const nrw_node *n, nrw_error *err) {
    for (int i = 0; i < n->n_outputs && s->observer != NULL; i++) {
        if (n->outputs[i] == NULL) continue;
        NRW_TRY(s->observer(s->observer_user, n->outputs[i], &s->slots[n->outputs[i]->id], err));
    }
    return NRW_OK;
}

static nrw_status run_steps(nrw_session *s, const nrw_plan_graph *pg, bool main, nrw_error *err) {
    for (int k = 0; k < pg->n_steps; k++) {
        const nrw_step *step = &pg->steps[k];
        const nrw_node *n = step->node;
        if (!main || !s->skip[k]) {
            double start = main && s->profiling ? nrw_seconds() : 0;
            const nrw_type *known =
                main && step->mode == NRW_STEP_ALIAS ? &s->alias_types[k] : NULL;
            if (known != NULL && nrw_type_is_static(known))
                alias(s, n, known);
            else
                NRW_TRY_CTX(err, run_step(s, step, main, err), "node '%s' (%s)", n->name, n->type);
            nrw_arena_reset(&s->frames[s->depth].scratch);
            if (main && s->profiling) {
                s->times[k].seconds += nrw_seconds() - start;
                s->times[k].runs++;
            }
        }
        NRW_TRY(observe_outputs(s, n, err));
    }
    return NRW_OK;
}

/* Inputs and outputs.
 * --------------------------------------------------------------------------------- */

static nrw_status check_input(const nrw_value *v, const nrw_tensor *t, nrw_error *err) {
    const nrw_type *want = &v->type;
    bool fits = want->kind == t->kind || (want->kind != NRW_TENSOR && want->kind != NRW_SEQUENCE);
    if (fits && t->kind == NRW_TENSOR) {
        fits = want->dtype == NRW_NONE || want->dtype == t->dtype ||
               (v->as_integers && t->dtype == v->quant->dtype);
        if (want->rank >= 0) {
            fits = fits && want->rank == t->rank;
            for (int i = 0; fits && i < t->rank; i++) {
                fits = want->dims[i] < 0 || want->dims[i] == t->dims[i];
            }
        }
    }
    if (fits) return NRW_OK;
    char a[160], b[160];
    nrw_type got = nrw_type_of(t), shown = *want;
    if (v->as_integers) shown.dtype = v->quant->dtype;
    NRW_FAIL(err, NRW_ERR_DATA, "input '%s': expected %s, got %s", v->name,
             nrw_type_str(&shown, a, sizeof a), nrw_type_str(&got, b, sizeof b));
}

/* Puts an input where its readers look; an annotated one is quantized on the way in, unless the
 * caller did. */
static nrw_status bind_input(nrw_session *s, const nrw_value *v, const nrw_tensor *t,
                             nrw_error *err) {
    if (v->quant == NULL) {
        s->slots[v->id] = *t;
        return NRW_OK;
    }
    nrw_tensor *slot = &s->slots[v->id];
    if (!s->placed[v->id]) {
        *slot = nrw_tensor_make(v->quant->dtype, t->rank, t->dims, NULL);
        slot->quant = v->quant;
        NRW_TRY(nrw_room_reserve(s, &s->rooms[v->id], nrw_tensor_bytes(slot) + 1, err));
        slot->data = s->rooms[v->id].data;
    }
    if (t->dtype == v->quant->dtype) {
        /* Kernels read a little beyond what they need, which callers' memory may not allow. */
        if (nrw_tensor_bytes(t) > 0) memcpy(slot->data, t->data, nrw_tensor_bytes(t));
        return NRW_OK;
    }
    return nrw_quantize_floats(s->plan->kernels, s->plan->context->pool, t->data, slot, err);
}

static bool same_type(const nrw_type *a, const nrw_type *b) {
    return a->kind == b->kind && a->dtype == b->dtype &&
           nrw_dims_equal(a->rank, a->dims, b->rank, b->dims);
}

static nrw_status bind_inputs(nrw_session *s, const nrw_tensor *inputs, nrw_error *err) {
    const nrw_graph *g = s->plan->graphs->graph;
    nrw_arena *scratch = &s->frames[0].scratch;
    nrw_tensor *bound = nrw_arena_calloc(scratch, (size_t)g->n_inputs + 1, sizeof *bound);
    nrw_type *types = nrw_arena_calloc(scratch, (size_t)g->n_inputs + 1, sizeof *types);
    if (bound == NULL || types == NULL) NRW_OOM(err);
    bool changed = !s->shaped;
    for (int i = 0; i < g->n_inputs; i++) {
        const nrw_value *v = g->inputs[i];
        bool absent = inputs[i].data == NULL && inputs[i].elements == NULL &&
                      inputs[i].kind == NRW_TENSOR && nrw_tensor_count(&inputs[i]) > 0;
        bound[i] = inputs[i];
        if (absent || (inputs[i].dtype == NRW_NONE && inputs[i].kind == NRW_TENSOR)) {
            if (v->data == NULL)
                NRW_FAIL(err, NRW_ERR_ARGUMENT, "input '%s' is not given", v->name);
            bound[i] = *v->data;
        } else {
            NRW_TRY(check_input(v, &inputs[i], err));
        }
        types[i] = nrw_type_of(&bound[i]);
        if (v->quant != NULL) types[i].dtype = NRW_F32;
        changed = changed || !same_type(&types[i], &s->shape_of_inputs[i]);
    }
    if (changed) NRW_TRY(nrw_session_reshape(s, types, err));
    for (int i = 0; i < g->n_inputs; i++) {
        NRW_TRY_CTX(err, bind_input(s, g->inputs[i], &bound[i], err), "input '%s'",
                    g->inputs[i]->name);
        if (s->observer != NULL)
            NRW_TRY(s->observer(s->observer_user, g->inputs[i], &s->slots[g->inputs[i]->id], err));
    }
    return NRW_OK;
}

/* Callers see real numbers, unless the model says otherwise: annotated outputs are dequantized into
 * a room of their own. */
static nrw_status fetch_output(nrw_session *s, int i, nrw_tensor *out, nrw_error *err) {
    const nrw_graph *g = s->plan->graphs->graph;
    *out = s->slots[g->outputs[i]->id];
    if (out->quant == NULL || (g->outputs[i]->as_integers && !s->real_outputs)) return NRW_OK;
    const nrw_tensor q = *out;
    *out = nrw_tensor_make(NRW_F32, q.rank, q.dims, NULL);
    NRW_TRY(nrw_room_reserve(s, &s->output_rooms[i], nrw_tensor_bytes(out) + 1, err));
    out->data = s->output_rooms[i].data;
    return nrw_dequantize(&q, out->data, err);
}

nrw_status nrw_session_run(nrw_session *s, int n_in, const nrw_tensor *inputs, int n_out,
                           nrw_tensor *outputs, nrw_error *err) {
    const nrw_graph *g = s->plan->graphs->graph;
    if (n_in != g->n_inputs || n_out != g->n_outputs)
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "the model has %d inputs and %d outputs; got %d and %d",
                 g->n_inputs, g->n_outputs, n_in, n_out);
    nrw_arena_reset(&s->run_arena);
    for (int i = 0; i < NRW_MAX_NESTING; i++) nrw_arena_reset(&s->frames[i].scratch);
    s->depth = 0;
    nrw_rng_seed(&s->rng, s->seed);
    NRW_TRY(bind_inputs(s, inputs, err));
    NRW_TRY(run_steps(s, s->plan->graphs, true, err));
    for (int i = 0; i < n_out; i++) NRW_TRY(fetch_output(s, i, &outputs[i], err));
    return NRW_OK;
}

/* Making.
 * --------------------------------------------------------------------------------------------- */

static void bind_constant(nrw_session *s, const nrw_value *v) {
    if (v == NULL || v->data == NULL || v->is_input) return;
    s->slots[v->id] = *v->data;
    s->constant[v->id] = true;
}

/* A graph input with a default may be overridden, so it is bound by each run. */
static void bind_constants(nrw_session *s) {
    for (const nrw_plan_graph *pg = s->plan->graphs; pg != NULL; pg = pg->next) {
        for (const nrw_node *n = pg->graph->first; n != NULL; n = n->next) {
            for (int i = 0; i < n->n_inputs; i++) bind_constant(s, n->inputs[i]);
        }
        for (int i = 0; i < pg->graph->n_outputs; i++) bind_constant(s, pg->graph->outputs[i]);
    }
}

nrw_status nrw_session_create(const nrw_plan *p, nrw_session **out, nrw_error *err) {
    const nrw_allocator *a = &p->context->memory.allocator;
    nrw_session *s = nrw_mem_alloc(a, sizeof *s);
    if (s == NULL) NRW_OOM(err);
    memset(s, 0, sizeof *s);
    s->host = (struct nrw_host){host_alloc, host_bytes, host_run_graph};
    s->plan = p;
    s->allocator = a;
    s->n_values = p->model->n_values;
    nrw_arena_init(&s->arena, a);
    nrw_arena_init(&s->shape_arena, a);
    nrw_arena_init(&s->run_arena, a);
    for (int i = 0; i < NRW_MAX_NESTING; i++) nrw_arena_init(&s->frames[i].scratch, a);
    const nrw_plan_graph *pg = p->graphs;
    size_t values = (size_t)s->n_values + 1, steps = (size_t)pg->n_steps + 1;
    s->slots = nrw_arena_calloc(&s->arena, values, sizeof *s->slots);
    s->rooms = nrw_arena_calloc(&s->arena, values, sizeof *s->rooms);
    s->constant = nrw_arena_calloc(&s->arena, values, sizeof *s->constant);
    s->known = nrw_arena_calloc(&s->arena, values, sizeof *s->known);
    s->placed = nrw_arena_calloc(&s->arena, values, sizeof *s->placed);
    s->skip = nrw_arena_calloc(&s->arena, steps, sizeof *s->skip);
    s->alias_types = nrw_arena_calloc(&s->arena, steps, sizeof *s->alias_types);
    s->times = nrw_arena_calloc(&s->arena, steps, sizeof *s->times);
    s->shape_of_inputs =
        nrw_arena_calloc(&s->arena, (size_t)pg->graph->n_inputs + 1, sizeof *s->shape_of_inputs);
    s->output_rooms =
        nrw_arena_calloc(&s->arena, (size_t)pg->graph->n_outputs + 1, sizeof *s->output_rooms);
    if (!s->slots || !s->rooms || !s->constant || !s->known || !s->placed || !s->skip ||
        !s->alias_types || !s->times || !s->shape_of_inputs || !s->output_rooms) {
        nrw_session_destroy(s);
        NRW_OOM(err);
    }
    for (int k = 0; k < pg->n_steps; k++) {
        const nrw_step *step = &pg->steps[k];
        s->times[k] = (nrw_step_time){
            .node = step->node->name, .op = step->node->type, .kernel = step->kernel};
    }
    bind_constants(s);
    *out = s;
    return NRW_OK;
}

void nrw_session_destroy(nrw_session *s) {
    if (s == NULL) return;
    const nrw_allocator *a = s->allocator;
    for (int i = 0; s->rooms != NULL && i < s->n_values; i++) {
        nrw_mem_free(a, s->rooms[i].data, s->rooms[i].cap);
    }
    for (int i = 0; s->output_rooms != NULL && i < s->plan->graphs->graph->n_outputs; i++) {
        nrw_mem_free(a, s->output_rooms[i].data, s->output_rooms[i].cap);
    }
    nrw_mem_free(a, s->slab, s->slab_size);
    for (int i = 0; i < NRW_MAX_NESTING; i++) nrw_arena_free(&s->frames[i].scratch);
    nrw_arena_free(&s->run_arena);
    nrw_arena_free(&s->shape_arena);
    nrw_arena_free(&s->arena);
    nrw_mem_free(a, s, sizeof *s);
}

void nrw_session_observe(nrw_session *s, nrw_observer_fn fn, void *user) {
    s->observer = fn;
    s->observer_user = user;
}

void nrw_session_seed(nrw_session *s, uint64_t seed) {
    s->seed = seed;
}

void nrw_session_give_reals(nrw_session *s) {
    s->real_outputs = true;
}

void nrw_session_profile(nrw_session *s, bool on) {
    s->profiling = on;
}

const nrw_step_time *nrw_session_times(const nrw_session *s, int *n) {
    *n = s->plan->graphs->n_steps;
    return s->times;
}

size_t nrw_session_slab_bytes(const nrw_session *s) {
    return s->slab_size;
}
