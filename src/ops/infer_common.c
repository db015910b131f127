/* Shape rules that many operators share. */
#include "ops/op.h"

nrw_status nrw_infer_same(nrw_infer *c) {
    for (int i = 0; i < c->n_out; i++) c->out[i] = *c->in[0];
    return NRW_OK;
}

nrw_status nrw_infer_broadcast(nrw_infer *c) {
    c->out[0].kind = NRW_TENSOR;
    c->out[0].dtype = c->in[0]->dtype;
    return nrw_broadcast(c->n_in, c->in, &c->out[0], c->err);
}

nrw_status nrw_infer_compare(nrw_infer *c) {
    NRW_TRY(nrw_infer_broadcast(c));
    c->out[0].dtype = NRW_BOOL;
    return NRW_OK;
}

nrw_status nrw_infer_bias(nrw_infer *c, int i, int64_t channels) {
    const nrw_type *b = i < c->n_in ? c->in[i] : NULL;
    if (b == NULL || b->rank == NRW_RANK_UNKNOWN) return NRW_OK;
    if (b->rank != 1 || (b->dims[0] >= 0 && channels >= 0 && b->dims[0] != channels))
        NRW_FAIL_INPUT(c, i, "B", "not one number for each of %lld channels", (long long)channels);
    return NRW_OK;
}
