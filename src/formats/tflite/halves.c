/* Writing: constants that lose nothing in half precision are stored so, with a DEQUANTIZE behind,
 * which runtimes do once, at load. */
#include "base/half.h"
#include "formats/tflite/write.h"
#include "passes/match.h"

enum { BIG_ENOUGH = 256 }; /* elements that are worth an operator */

static bool fits_half(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (nrw_f16_to_f32(nrw_f32_to_f16(x[i])) != x[i]) return false;
    }
    return true;
}

static nrw_status store_half(nrw_value *v, nrw_error *err) {
    nrw_graph *g = v->graph;
    nrw_tensor t;
    NRW_TRY(nrw_tensor_new(&g->model->arena, NRW_F16, v->data->rank, v->data->dims, &t, err));
    NRW_TRY(nrw_from_f32(NRW_F16, v->data->data, t.data, nrw_tensor_count(&t), err));
    nrw_value *half = nrw_const_new(g, NULL, &t), *wide = nrw_value_new(g, NULL, &v->type);
    nrw_node *n = nrw_node_new(g, NULL, "DEQUANTIZE", "tflite", NULL, 1, 1, g->first);
    if (half == NULL || wide == NULL || n == NULL) NRW_OOM(err);
    NRW_TRY(nrw_node_set_input(n, 0, half, err));
    nrw_node_set_output(n, 0, wide);
    nrw_value_swap_names(half, v);
    return nrw_value_replace(v, wide, err);
}

nrw_status nrw_tflite_store_halves(nrw_graph *g, nrw_error *err) {
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_inputs; i++) {
            int64_t count;
            nrw_value *v = n->inputs[i];
            const float *x = nrw_const_floats(v, &count);
            if (x == NULL || count < BIG_ENOUGH || nrw_value_is_graph_output(v)) continue;
            if (fits_half(x, count)) NRW_TRY(store_half(v, err));
        }
    }
    return NRW_OK;
}
