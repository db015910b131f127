/* Bodies of floats.h for one REAL. */

nrw_status IN(nrw_eval *e, int i, const REAL **out) {
    *out = NULL;
    if (i >= e->n_in || e->in[i] == NULL) return NRW_OK;
    const nrw_tensor *t = e->in[i];
    if (t->dtype == REAL_DTYPE) {
        *out = t->data;
        return NRW_OK;
    }
    int64_t n = nrw_tensor_count(t);
    REAL *copy = nrw_eval_scratch(e, n, sizeof *copy);
    if (copy == NULL) NRW_OOM(e->err);
    *out = copy;
    return TO(t->dtype, t->data, copy, n, e->err);
}

nrw_status OUT(nrw_eval *e, int i, REAL **out) {
    *out = NULL;
    if (i >= e->n_out || e->out[i].data == NULL) return NRW_OK;
    if (e->out[i].dtype == REAL_DTYPE) {
        *out = e->out[i].data;
        return NRW_OK;
    }
    *out = nrw_eval_scratch(e, nrw_tensor_count(&e->out[i]), sizeof **out);
    if (*out == NULL) NRW_OOM(e->err);
    return NRW_OK;
}

nrw_status DONE(nrw_eval *e, int i, const REAL *computed) {
    if (computed == NULL || e->out[i].dtype == REAL_DTYPE) return NRW_OK;
    return FROM(e->out[i].dtype, computed, e->out[i].data, nrw_tensor_count(&e->out[i]), e->err);
}

#undef REAL
#undef REAL_DTYPE
#undef IN
#undef OUT
#undef DONE
#undef TO
#undef FROM
