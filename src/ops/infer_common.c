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
