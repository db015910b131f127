/* Making the nodes that stand for annotations. */
#include <string.h>

#include "formats/onnx/quantized.h"
#include "ops/op.h"

nrw_value *nrw_onnx_emit(nrw_graph *g, const char *type, int n_in, nrw_value *const *in,
                         const nrw_type *out, nrw_node *before) {
    /* Short names: large graphs get thousands of these. */
    const char *name = nrw_model_made_up_name(g->model, "n");
    if (name == NULL) return NULL;
    nrw_node *n = nrw_node_new(g, nrw_op_find(type, ""), type, "", name, n_in, 1, before);
    nrw_value *v = nrw_value_new(g, NULL, out);
    if (n == NULL || v == NULL) return NULL;
    for (int i = 0; i < n_in; i++) {
        if (in[i] != NULL && nrw_node_set_input(n, i, in[i], NULL) != NRW_OK) return NULL;
    }
    nrw_node_set_output(n, 0, v);
    return v;
}

nrw_status nrw_onnx_params(nrw_graph *g, const nrw_quant *q, const nrw_type *of, nrw_value **scale,
                           nrw_value **zero_point, nrw_error *err) {
    nrw_arena *arena = &g->model->arena;
    int rank = 0;
    int64_t dims[NRW_MAX_RANK] = {0};
    if (q->axis >= 0 && q->block > 0) {
        rank = of->rank;
        memcpy(dims, of->dims, sizeof dims);
        dims[q->axis] /= q->block;
    } else if (q->axis >= 0) {
        rank = 1;
        dims[0] = q->count;
    }
    nrw_tensor s, z;
    NRW_TRY(nrw_tensor_new(arena, NRW_F32, rank, dims, &s, err));
    NRW_TRY(nrw_tensor_new(arena, q->dtype, rank, dims, &z, err));
    memcpy(s.data, q->scale, (size_t)q->count * sizeof(float));
    for (int64_t i = 0; i < q->count; i++) {
        const int64_t zp = q->zero_point[i];
        NRW_TRY(nrw_from_i64(q->dtype, &zp, (char *)z.data + i * nrw_dtype_size(q->dtype), 1, err));
    }
    *scale = nrw_const_new(g, NULL, &s);
    *zero_point = nrw_const_new(g, NULL, &z);
    if (*scale == NULL || *zero_point == NULL) NRW_OOM(err);
    return NRW_OK;
}
