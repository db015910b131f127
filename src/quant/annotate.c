/* The static mode: ranges become parameters, parameters go onto values. */
#include "quant/annotate.h"

#include <math.h>
#include <string.h>

#include "passes/match.h"
#include "passes/pass.h"
#include "quant/params.h"

typedef struct annotation {
    nrw_model *model;
    nrw_placement *p;
    const nrw_range *ranges;
    const nrw_watch *watches;
    nrw_range *group;  /* [n_values] of the representatives */
    double *narrowest; /* [n_values] of the representatives: the width of the narrowest member */
    nrw_arena *scratch;
} annotation;

static nrw_dtype activation_type(const nrw_recipe *r) {
    const bool is_signed = r->symmetric || r->target == NRW_TARGET_TFLITE;
    if (r->activation_bits == 16) return is_signed ? NRW_I16 : NRW_U16;
    return is_signed ? NRW_I8 : NRW_U8;
}

/* The range of one value: what the recipe says, what the operator's mathematics says, or what was
 * seen. */
static nrw_range range_of(const annotation *a, const nrw_value *v) {
    nrw_range r = a->ranges[v->id];
    const nrw_override *o = nrw_recipe_override(a->p->recipe, v->name, false);
    if (o != NULL && o->has_range) {
        r.lo = o->lo;
        r.hi = o->hi;
    } else if (v->producer != NULL && v->producer->op != NULL) {
        const nrw_quant_spec *s = &v->producer->op->quant;
        if (s->fixed_lo < s->fixed_hi) {
            r.lo = s->fixed_lo;
            r.hi = s->fixed_hi;
        }
    }
    return r;
}

static void widen(nrw_range *r, const nrw_range *by) {
    r->lo = fmin(r->lo, by->lo);
    r->hi = fmax(r->hi, by->hi);
}

static double width(const nrw_range *r) {
    return r->hi - r->lo;
}

static void gather_groups(annotation *a) {
    for (int32_t i = 0; i < a->p->n_values; i++) {
        const nrw_value *v = a->p->values[i];
        if (v == NULL || a->p->roles[i] == NRW_ROLE_FLOAT || nrw_is_const(v)) continue;
        const nrw_range r = range_of(a, v);
        widen(&a->group[nrw_group_of(a->p, v)], &r);
    }
    for (int32_t i = 0; i < a->p->n_values; i++) a->narrowest[i] = width(&a->group[i]);
}

/* How much wider than its own a range may become for the sake of sharing; 0: nothing is shared.
 *
 * Concat: integers are then copied, but inputs become coarser.
 * Add: the sum of integers is then exact. The one rounding that this saves outweighs what the
 * operands lose; and engines that add before they round the first operand, as fusing with a
 * convolution makes some do, get the same integers as those that round twice. */
static double room_to_share(const nrw_node *n) {
    return n->op->quant.rule == NRW_QUANT_CONCAT ? 1.5 : nrw_is(n, "Add") ? 3 : 0;
}

/* Of a node's inputs and output the range and the narrowest member; false when some of them has no
 * parameters to share, or is never negative while others are. */
static bool all_ranges(const annotation *a, const nrw_node *n, nrw_range *all, double *least) {
    const int32_t out = nrw_group_of(a->p, n->outputs[0]);
    bool good = a->p->roles[n->outputs[0]->id] != NRW_ROLE_FLOAT;
    *all = a->group[out];
    *least = a->narrowest[out];
    for (int k = 0; k < n->n_inputs; k++) {
        const nrw_value *v = n->inputs[k];
        if (v == NULL || nrw_is_const(v) || a->p->roles[v->id] == NRW_ROLE_FLOAT) {
            good = false;
            continue;
        }
        const int32_t in = nrw_group_of(a->p, v);
        good &= (a->group[in].lo < 0) == (a->group[out].lo < 0);
        widen(all, &a->group[in]);
        *least = fmin(*least, a->narrowest[in]);
    }
    return good;
}

static void share_ranges(annotation *a) {
    for (int i = 0; i < a->p->n_nodes; i++) {
        const nrw_node *n = a->p->nodes[i];
        if (!a->p->quantized[i] || room_to_share(n) == 0) continue;
        nrw_range all;
        double least;
        if (!all_ranges(a, n, &all, &least) || width(&all) > room_to_share(n) * least) continue;
        const int32_t out = nrw_group_of(a->p, n->outputs[0]);
        for (int k = 0; k < n->n_inputs; k++) {
            a->p->group[nrw_group_of(a->p, n->inputs[k])] = out;
        }
        a->group[out] = all;
        a->narrowest[out] = least;
    }
}

/* The parameters that the target prescribes for the results of some operator of a group, if those
 * can stand for all of the group. */
static const nrw_fixed_result *prescribed(const annotation *a, int32_t group, const nrw_range *r) {
    for (int32_t i = 0; i < a->p->n_values; i++) {
        const nrw_value *v = a->p->values[i];
        if (v == NULL || a->p->roles[i] == NRW_ROLE_FLOAT || nrw_group_of(a->p, v) != group)
            continue;
        const nrw_fixed_result *f = nrw_target_fixed(a->p->target, v);
        if (f == NULL || !nrw_node_is_quantized(a->p, v->producer)) continue;
        const double lo = (0 - f->zero_point) * (double)f->scale;
        const double hi = (256 - f->zero_point) * (double)f->scale;
        if (r->lo >= lo && r->hi <= hi) return f;
    }
    return NULL;
}

static nrw_quant *params(const annotation *a, nrw_dtype type, float scale, int32_t zero) {
    nrw_quant *q = nrw_quant_per_tensor(&a->model->arena, type, scale, zero);
    if (q != NULL && a->p->target->rounding != NRW_ROUND_ONCE) q->rounding = a->p->target->rounding;
    return q;
}

static nrw_quant *params_for(const annotation *a, const nrw_range *r) {
    const nrw_dtype type = activation_type(a->p->recipe);
    float scale;
    int32_t zp;
    nrw_quant_params(type, a->p->recipe->symmetric, r->lo, r->hi, &scale, &zp);
    return params(a, type, scale, zp);
}

static nrw_quant *params_of_group(const annotation *a, int32_t group) {
    const nrw_range *r = &a->group[group];
    const nrw_fixed_result *f = prescribed(a, group, r);
    const nrw_recipe *recipe = a->p->recipe;
    if (f == NULL || recipe->activation_bits != 8) return params_for(a, r);
    const nrw_dtype type = activation_type(recipe);
    return params(a, type, f->scale, type == NRW_U8 ? f->zero_point : f->zero_point - 128);
}

static nrw_status branch(annotation *a, nrw_value *v, nrw_quant *q, nrw_error *err) {
    nrw_graph *g = a->p->graph;
    nrw_node *before = v->producer != NULL ? v->producer->next : g->first;
    nrw_node *n = nrw_node_new(g, nrw_op_find("Requantize", "ai.narrow"), "Requantize", "ai.narrow",
                               NULL, 1, 1, before);
    nrw_value *y = nrw_value_new(g, NULL, &v->type);
    if (n == NULL || y == NULL) NRW_OOM(err);
    y->quant = q;
    nrw_node_set_output(n, 0, y);
    n->tag = NULL; /* not a node of the placement */
    for (size_t i = v->n_uses; i-- > 0;) {
        const nrw_use u = v->uses[i];
        if (u.node == NULL || !nrw_node_is_quantized(a->p, u.node)) continue;
        int at[64];
        const int k = nrw_data_inputs(u.node, at);
        for (int d = 0; d < k; d++) {
            if (at[d] == u.index) NRW_TRY(nrw_node_set_input(u.node, u.index, y, err));
        }
    }
    return nrw_node_set_input(n, 0, v, err);
}

static nrw_status annotate_values(annotation *a, nrw_error *err) {
    for (int32_t i = 0; i < a->p->n_values; i++) {
        nrw_value *v = a->p->values[i];
        if (v == NULL || a->p->roles[i] == NRW_ROLE_FLOAT || nrw_is_const(v)) continue;
        nrw_quant *q = params_of_group(a, nrw_group_of(a->p, v));
        if (q == NULL) NRW_OOM(err);
        if (a->p->roles[i] == NRW_ROLE_ANNOTATED)
            v->quant = q;
        else
            NRW_TRY(branch(a, v, q, err));
    }
    return NRW_OK;
}

/* Constants among the data of a quantized node: Add's second operand, and the like. */
static nrw_status annotate_operands(annotation *a, nrw_node *n, nrw_error *err) {
    int at[64];
    const int k = nrw_data_inputs(n, at);
    for (int d = 0; d < k; d++) {
        const nrw_value *v = n->inputs[at[d]];
        if (!nrw_is_const(v) || v->quant != NULL) continue;
        NRW_TRY(nrw_check_finite(n, at[d], a->p->recipe, err));
        v = n->inputs[at[d]];
        nrw_range r = {0};
        const float *x = v->data->data;
        for (int64_t i = 0; i < nrw_tensor_count(v->data); i++) {
            r.lo = fmin(r.lo, x[i]);
            r.hi = fmax(r.hi, x[i]);
        }
        nrw_quant *q = params_for(a, &r);
        if (q == NULL) NRW_OOM(err);
        NRW_TRY(nrw_put_quantized(n, at[d], q, err));
    }
    return NRW_OK;
}

/* The float value that a layer takes the integers of. */
static const nrw_value *measured_input(const nrw_node *layer) {
    const nrw_value *x = layer->inputs[0];
    const bool branched = x->producer != NULL && strcmp(x->producer->type, "Requantize") == 0;
    return branched ? x->producer->inputs[0] : x;
}

static nrw_status annotate_layer(annotation *a, nrw_node *n, nrw_error *err) {
    const nrw_quant_spec *s = &n->op->quant;
    nrw_quant *w;
    NRW_TRY(nrw_layer_weights(n, a->p->recipe, false, &w, err));
    const nrw_quant *x = n->inputs[0]->quant;
    if (x == NULL) NRW_FAIL(err, NRW_ERR_INTERNAL, "node '%s': input without range", n->name);
    if (s->bias_input > 0 && nrw_input(n, s->bias_input) != NULL)
        NRW_TRY(nrw_check_finite(n, s->bias_input, a->p->recipe, err));
    const nrw_value *seen = measured_input(n);
    if (seen->id < a->p->n_values) NRW_TRY(nrw_correct_bias(n, w, a->watches[seen->id].means, err));
    if (s->bias_input > 0 && nrw_input(n, s->bias_input) != NULL) {
        int64_t channels;
        const float *bias = nrw_const_floats(n->inputs[s->bias_input], &channels);
        nrw_quant_raise_for_bias(w, x->scale[0], bias, channels);
        nrw_quant *b = nrw_quant_bias(&a->model->arena, w, x->scale[0], channels);
        if (b == NULL) NRW_OOM(err);
        NRW_TRY(nrw_put_quantized(n, s->bias_input, b, err));
    }
    return nrw_put_quantized(n, s->weight_input, w, err);
}

/* A clamp that was expected to vanish and did not leaves its producer's output without parameters:
 * they may as well be those of what it leaves. */
static nrw_status annotate_rest(annotation *a, nrw_error *err) {
    for (int i = 0; i < a->p->n_nodes; i++) {
        nrw_node *n = a->p->nodes[i];
        if (!a->p->quantized[i]) continue;
        const nrw_value *y = n->n_outputs > 0 ? n->outputs[0] : NULL;
        if (y == NULL || y->quant != NULL || y->producer != n) continue;
        const nrw_use *u = nrw_value_only_use(y);
        if (u == NULL || !nrw_node_is_quantized(a->p, u->node)) continue;
        const nrw_range r = range_of(a, nrw_will_vanish(a->p, y) ? u->node->outputs[0] : y);
        nrw_quant *q = params_for(a, &r);
        if (q == NULL) NRW_OOM(err);
        n->outputs[0]->quant = q;
    }
    return NRW_OK;
}

nrw_status nrw_annotate_static(nrw_model *m, nrw_placement *p, const nrw_range *ranges,
                               const nrw_watch *watches, nrw_error *err) {
    nrw_arena scratch;
    nrw_arena_init(&scratch, m->arena.allocator);
    annotation a = {m, p, ranges, watches, NULL, NULL, &scratch};
    nrw_status s = NRW_OK;
    a.group = nrw_arena_calloc(&scratch, (size_t)p->n_values + 1, sizeof *a.group);
    a.narrowest = nrw_arena_calloc(&scratch, (size_t)p->n_values + 1, sizeof *a.narrowest);
    if (a.group == NULL || a.narrowest == NULL) {
        s = nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
        goto done;
    }
    gather_groups(&a);
    share_ranges(&a);
    if ((s = annotate_values(&a, err)) != NRW_OK) goto done;
    for (int i = 0; i < p->n_nodes; i++) {
        if (!p->quantized[i]) continue;
        nrw_node *n = p->nodes[i];
        s = n->op->quant.rule == NRW_QUANT_WEIGHTED ? annotate_layer(&a, n, err)
                                                    : annotate_operands(&a, n, err);
        if (s != NRW_OK) goto done;
    }
    if ((s = nrw_run_pass(m, &nrw_pass_fold_clamp, NULL, err)) != NRW_OK) goto done;
    s = annotate_rest(&a, err);
done:
    nrw_arena_free(&scratch);
    return s;
}
