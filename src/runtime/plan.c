/* Making plans: which kernel runs each node. */
#include "runtime/plan.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "ops/eval.h"
#include "passes/for_plans.h"
#include "passes/match.h"
#include "passes/pass.h"

enum { FORGET_AFTER = 4 << 20 }; /* bytes of constants */

const nrw_plan_graph *nrw_plan_find(const nrw_plan *p, const nrw_graph *g) {
    const nrw_plan_graph *pg = p->graphs;
    while (pg != NULL && pg->graph != g) pg = pg->next;
    return pg;
}

/* Constants that a simulated step reads are dequantized once, here. */
static nrw_status widen_constants(nrw_plan *p, nrw_step *step, nrw_error *err) {
    const nrw_node *n = step->node;
    const nrw_tensor **consts = NULL;
    for (int i = 0; i < n->n_inputs; i++) {
        const nrw_value *v = n->inputs[i];
        if (v == NULL || v->data == NULL || v->quant == NULL) continue;
        if (consts == NULL) {
            consts = nrw_arena_calloc(&p->arena, (size_t)n->n_inputs, sizeof *consts);
            if (consts == NULL) NRW_OOM(err);
        }
        nrw_tensor *wide = nrw_arena_calloc(&p->arena, 1, sizeof *wide);
        if (wide == NULL) NRW_OOM(err);
        NRW_TRY(nrw_tensor_new(&p->arena, NRW_F32, v->data->rank, v->data->dims, wide, err));
        NRW_TRY(nrw_dequantize(v->data, wide->data, err));
        consts[i] = wide;
    }
    step->consts = consts;
    return NRW_OK;
}

static bool is_alias(const nrw_node *n) {
    if (!n->op->alias || n->n_outputs < 1 || n->outputs[0] == NULL || n->inputs[0] == NULL)
        return false;
    for (int i = 1; i < n->n_outputs; i++) {
        if (n->outputs[i] != NULL) return false;
    }
    return nrw_quant_equal(n->inputs[0]->quant, n->outputs[0]->quant) &&
           n->inputs[0]->type.kind == NRW_TENSOR && n->inputs[0]->data == NULL;
}

/* What a Relu or Clip that alone reads n's output leaves of it. */
static void clamp_behind(const nrw_plan *p, const nrw_node *n, float *lo, float *hi) {
    const nrw_value *v = n->n_outputs > 0 ? n->outputs[0] : NULL;
    const nrw_use *use = v != NULL ? nrw_value_only_use(v) : NULL;
    double low, high;
    *lo = -INFINITY;
    *hi = INFINITY;
    if (p->options.keep_values && !p->options.fuse_clamps) return;
    if (use == NULL || use->node->graph != n->graph || use->index != 0 || v->quant != NULL ||
        v->type.dtype != NRW_F32 || !nrw_clamp_bounds(use->node, &low, &high))
        return;
    const nrw_value *y = use->node->outputs[0];
    if (y == NULL || y->quant != NULL) return;
    *lo = (float)low;
    *hi = (float)high;
}

/* The vector that the only reader of n's output adds to it; NULL: it does something else. */
static const nrw_tensor *added_behind(const nrw_plan *p, const nrw_node *n) {
    const nrw_value *v = n->n_outputs > 0 ? n->outputs[0] : NULL;
    const nrw_use *use = v != NULL ? nrw_value_only_use(v) : NULL;
    if (p->options.keep_values || use == NULL || use->node->graph != n->graph ||
        !nrw_is(use->node, "Add") || v->quant != NULL || v->type.dtype != NRW_F32 ||
        v->type.rank < 1)
        return NULL;
    const nrw_value *y = use->node->outputs[0], *c = use->node->inputs[1 - use->index];
    int64_t count;
    if (y == NULL || y->quant != NULL || nrw_const_floats(c, &count) == NULL) return NULL;
    const int64_t last = v->type.dims[v->type.rank - 1];
    const nrw_tensor *t = c->data;
    const bool vector = t->rank >= 1 && t->rank <= v->type.rank && t->dims[t->rank - 1] == count;
    return vector && count == last ? t : NULL;
}

/* n is a Relu, Clip or Add whose work the step before it does. What it reads becomes input 0. */
static nrw_status is_done_already(nrw_node *n, bool *done, nrw_error *err) {
    double lo, hi;
    const bool clamp = nrw_clamp_bounds(n, &lo, &hi), add = nrw_is(n, "Add");
    *done = false;
    for (int i = 0; i < (clamp ? 1 : add ? 2 : 0); i++) {
        const nrw_value *x = n->inputs[i];
        if (x == NULL || x->producer == NULL || x->producer->graph != n->graph) continue;
        const nrw_step *step = x->producer->tag;
        if (!(clamp ? step->clamps : step->adds)) continue;
        *done = true;
        if (i == 0) return NRW_OK;
        nrw_value *swap = n->inputs[0], *made = n->inputs[1];
        NRW_TRY(nrw_node_set_input(n, 1, swap, err));
        return nrw_node_set_input(n, 0, made, err);
    }
    return NRW_OK;
}

static nrw_status choose(nrw_plan *p, nrw_node *n, nrw_step *step, nrw_error *err) {
    step->node = n;
    step->kernel = "reference";
    n->tag = step;
    if (n->op == NULL)
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED,
                 "operator %s%s%s is not supported, so the model cannot run", n->domain,
                 n->domain[0] != 0 ? "::" : "", n->type);
    bool done;
    NRW_TRY(is_done_already(n, &done, err));
    if (done || is_alias(n)) {
        step->mode = NRW_STEP_ALIAS;
        step->kernel = "alias";
        return NRW_OK;
    }
    bool annotated = nrw_eval_is_annotated(n), integers = annotated && !p->options.simulate;
    nrw_plan_node hook = {p->context, p->kernels,         n,  &p->arena, integers, -INFINITY,
                          INFINITY,   added_behind(p, n), err};
    nrw_step_choice choice = {0};
    clamp_behind(p, n, &hook.clamp_lo, &hook.clamp_hi);
    if (n->op->plan != NULL) NRW_TRY(n->op->plan(&hook, &choice));
    if (choice.run == NULL && integers && nrw_eval_takes_integers(n)) {
        bool moves = n->op->integer == NULL || n->op->integer_ok == NULL || !n->op->integer_ok(n);
        choice.run = moves ? n->op->reference : n->op->integer;
        choice.kernel = moves ? "reference on integers" : "integer reference";
        choice.takes_quantized = true;
    }
    step->run = choice.run != NULL ? choice.run : n->op->reference;
    step->state = choice.state;
    step->adds = choice.adds && hook.addend != NULL;
    step->clamps = choice.clamps && (hook.clamp_lo > -INFINITY || hook.clamp_hi < INFINITY);
    if (choice.kernel != NULL) step->kernel = choice.kernel;
    if (!annotated || (choice.run != NULL && choice.takes_quantized)) return NRW_OK;
    step->mode = NRW_STEP_SIMULATED;
    return widen_constants(p, step, err);
}

static nrw_status plan_graph(nrw_plan *p, nrw_graph *g, nrw_plan_graph ***tail, nrw_error *err);

static nrw_status plan_bodies(nrw_plan *p, nrw_step *step, nrw_plan_graph ***tail, nrw_error *err) {
    for (int i = 0; i < step->node->n_attrs; i++) {
        const nrw_attr *a = &step->node->attrs[i];
        if (a->type != NRW_ATTR_GRAPH && a->type != NRW_ATTR_GRAPHS) continue;
        step->has_body = true;
        int64_t count = a->type == NRW_ATTR_GRAPH ? 1 : a->n;
        for (int64_t k = 0; k < count; k++) {
            nrw_graph *body = a->type == NRW_ATTR_GRAPH ? a->graph : a->graphs[k];
            NRW_TRY(plan_graph(p, body, tail, err));
        }
    }
    return NRW_OK;
}

/* Weights are packed into other memory one node after the other, so the file's pages need not stay
 * until all are done. */
static void forget_now_and_then(const nrw_plan *p, const nrw_node *n, size_t *read) {
    for (int i = 0; i < n->n_inputs; i++) {
        if (nrw_is_const(n->inputs[i])) *read += nrw_tensor_bytes(n->inputs[i]->data);
    }
    if (*read < FORGET_AFTER) return;
    nrw_model_forget_pages(p->model);
    *read = 0;
}

static nrw_status plan_graph(nrw_plan *p, nrw_graph *g, nrw_plan_graph ***tail, nrw_error *err) {
    size_t read = 0;
    nrw_plan_graph *pg = nrw_arena_calloc(&p->arena, 1, sizeof *pg);
    if (pg == NULL) NRW_OOM(err);
    pg->graph = g;
    pg->steps = nrw_arena_calloc(&p->arena, (size_t)g->n_nodes + 1, sizeof *pg->steps);
    if (pg->steps == NULL) NRW_OOM(err);
    **tail = pg;
    *tail = &pg->next;
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        nrw_step *step = &pg->steps[pg->n_steps++];
        NRW_TRY_CTX(err, choose(p, n, step, err), "node '%s' (%s)", n->name, n->type);
        NRW_TRY(plan_bodies(p, step, tail, err));
        forget_now_and_then(p, n, &read);
    }
    nrw_model_forget_pages(p->model);
    return NRW_OK;
}

nrw_status nrw_plan_create(const nrw_model *m, const nrw_plan_options *options, nrw_plan **out,
                           nrw_error *err) {
    const nrw_allocator *a = &m->context->memory.allocator;
    nrw_plan *p = nrw_mem_alloc(a, sizeof *p);
    if (p == NULL) NRW_OOM(err);
    *p = (nrw_plan){.context = m->context, .kernels = nrw_kernels_get(&m->context->cpu)};
    if (options != NULL) p->options = *options;
    nrw_arena_init(&p->arena, a);
    nrw_plan_graph **tail = &p->graphs;
    nrw_status s = nrw_model_clone(m, &p->model, err);
    if (s == NRW_OK && !p->options.keep_values)
        s = nrw_run_pipeline(p->model, NRW_PIPELINE_RUN, NULL, err);
    const bool tuned = !p->options.keep_values && !p->options.simulate;
    if (s == NRW_OK && tuned) s = nrw_ready_for_plan(p->model, p->kernels, err);
    if (s == NRW_OK) s = plan_graph(p, p->model->graph, &tail, err);
    if (s == NRW_OK)
        *out = p;
    else
        nrw_plan_destroy(p);
    return s;
}

void nrw_plan_destroy(nrw_plan *p) {
    if (p == NULL) return;
    nrw_model_destroy(p->model);
    nrw_arena_free(&p->arena);
    nrw_mem_free(&p->context->memory.allocator, p, sizeof *p);
}
