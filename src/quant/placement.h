/* Which nodes compute in integers, and which values are integers then.
 *
 * The rule: a layer with constant weights (Conv, MatMul, …) is worth quantizing for itself. Every
 * other operator is quantized only on the way between such layers: all its data must come as
 * integers already, and its output must reach a quantized layer. Otherwise it would cost two
 * conversions and win nothing. Operators whose results need a wide range of magnitudes (Softmax,
 * normalizations, Exp, Div, …) stay float, so that in a transformer only the weighted layers are
 * quantized, and a MatMul or Gemm hands its sums on in float unless they go straight to the next
 * layer. */
#ifndef NRW_QUANT_PLACEMENT_H
#define NRW_QUANT_PLACEMENT_H

#include "ir/graph.h"
#include "ops/op.h"
#include "quant/observer.h"
#include "quant/recipe.h"
#include "quant/target.h"

typedef enum nrw_value_role {
    NRW_ROLE_FLOAT = 0,
    NRW_ROLE_ANNOTATED, /* the value itself is integers */
    NRW_ROLE_BRANCH     /* float for some; a Requantize node makes integers for quantized nodes */
} nrw_value_role;

typedef struct nrw_placement {
    const nrw_recipe *recipe;
    const nrw_target_rules *target;
    nrw_graph *graph;
    nrw_node **nodes; /* in order */
    bool *quantized;  /* [n_nodes]; node->tag is the index + 1 */
    bool *barred;     /* [n_nodes] stays float whatever the rule says */
    int n_nodes;
    nrw_value_role *roles; /* [n_values] */
    nrw_value **values;    /* [n_values] by id; NULL: not of the main graph */
    int32_t *group;        /* [n_values] union-find over values that share parameters */
    int32_t n_values;
} nrw_placement;

/* Decides for the main graph of m; bodies stay float. Uses node->tag. May be called again after
 * nodes were barred. */
nrw_status nrw_place(nrw_model *m, const nrw_recipe *r, nrw_arena *arena, nrw_placement *p,
                     nrw_error *err) NRW_MUST_CHECK;
void nrw_place_again(nrw_placement *p);

/* The inputs of n that hold data (as opposed to weights, shapes, bounds): indices in `at`, which
 * has room for n->n_inputs; how many. */
int nrw_data_inputs(const nrw_node *n, int *at);
bool nrw_is_layer(const nrw_node *n); /* weighted, with constant float weights */
bool nrw_node_is_quantized(const nrw_placement *p, const nrw_node *n);
/* v is read by a clamp alone, right after the operator that computes it, which will make the
 * clamped value itself. */
bool nrw_will_vanish(const nrw_placement *p, const nrw_value *v);
/* The representative of the values that share v's parameters. */
int32_t nrw_group_of(const nrw_placement *p, const nrw_value *v);

#endif
