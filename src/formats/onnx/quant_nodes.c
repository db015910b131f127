/* Making the nodes that stand for annotations. */
#include <string.h>

#include "formats/onnx/quantized.h"
#include "ops/op.h"

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
