/* Writing a placement into the graph: parameters on values, quantized constants, Requantize nodes.
 */
#ifndef NRW_QUANT_ANNOTATE_H
#define NRW_QUANT_ANNOTATE_H

#include "quant/calibrate.h"
#include "quant/placement.h"

/* The static mode. ranges: [n_values] by id, of every value whose role is not FLOAT and that no
 * constant gives, and of the outputs of quantized nodes. watches: [n_values] with the means by
 * which biases are corrected. */
nrw_status nrw_annotate_static(nrw_model *m, nrw_placement *p, const nrw_range *ranges,
                               const nrw_watch *watches, nrw_error *err) NRW_MUST_CHECK;

/* The dynamic mode: layers take inputs measured at run time. Sets *layers. */
nrw_status nrw_annotate_dynamic(nrw_model *m, const nrw_recipe *r, int64_t *layers,
                                nrw_error *err) NRW_MUST_CHECK;

/* Constants of layers, recurrent cells and embeddings (looked up or added) that are still float
 * become integers which
 * the node reads dequantized. tables_only: leave layers
 * of the main graph alone. Sets *nodes. */
nrw_status nrw_annotate_weights(nrw_model *m, const nrw_recipe *r, bool tables_only, int64_t *nodes,
                                nrw_error *err) NRW_MUST_CHECK;

/* Replaces input i of n by a quantized copy of the constant there; q lies in the model's arena. */
nrw_status nrw_put_quantized(nrw_node *n, int i, nrw_quant *q, nrw_error *err) NRW_MUST_CHECK;
/* The parameters of a layer's weights by the recipe. */
nrw_status nrw_layer_weights(nrw_node *n, const nrw_recipe *r, bool blocks, nrw_quant **q,
                             nrw_error *err) NRW_MUST_CHECK;
/* Refuses NaN and infinities in the float constant at input i, or replaces them if the recipe says
 * so. */
nrw_status nrw_check_finite(nrw_node *n, int i, const nrw_recipe *r, nrw_error *err) NRW_MUST_CHECK;

#endif
