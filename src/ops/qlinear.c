#include "ops/qlinear.h"

#include <math.h>

#include "ops/floats.h"

nrw_status nrw_centered(nrw_eval *e, int i, int zero_in, int axis, double **out) {
    const nrw_tensor *t = e->in[i];
    const double *zero = NULL, one_zero = 0;
    int64_t n = nrw_tensor_count(t), inner = 1, zeros = 1;
    double *v = nrw_eval_scratch(e, n, sizeof *v);
    if (v == NULL) NRW_OOM(e->err);
    NRW_TRY(nrw_doubles_in(e, zero_in, &zero));
    if (zero != NULL)
        zeros = nrw_tensor_count(e->in[zero_in]);
    else
        zero = &one_zero;
    if (axis < 0) axis += t->rank;
    for (int k = axis + 1; k < t->rank; k++) inner *= t->dims[k];
    if (zeros != 1 && (axis < 0 || axis >= t->rank || zeros != t->dims[axis]))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "input %d: %lld zero points do not fit input %d", zero_in,
                 (long long)zeros, i);
    NRW_TRY(nrw_to_f64(t->dtype, t->data, v, n, e->err));
    for (int64_t k = 0; k < n; k++) v[k] -= zero[zeros == 1 ? 0 : k / inner % zeros];
    *out = v;
    return NRW_OK;
}

nrw_status nrw_requantize(nrw_eval *e, const double *acc, int64_t channels, int64_t inner) {
    const double *sa, *sb, *sy, *zero;
    NRW_TRY(nrw_doubles_in(e, 1, &sa));
    NRW_TRY(nrw_doubles_in(e, 4, &sb));
    NRW_TRY(nrw_doubles_in(e, 6, &sy));
    NRW_TRY(nrw_doubles_in(e, 7, &zero));
    int64_t n = nrw_tensor_count(&e->out[0]), scales = nrw_tensor_count(e->in[4]);
    if (nrw_tensor_count(e->in[1]) != 1 || (scales != 1 && scales != channels) ||
        nrw_tensor_count(e->in[6]) != 1 || nrw_tensor_count(e->in[7]) != 1)
        NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED,
                 "scales must be one for each tensor, or one for each channel of the weights");
    double *y = nrw_eval_scratch(e, n, sizeof *y);
    if (y == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < n; i++) {
        float m = (float)(sa[0] * sb[scales == 1 ? 0 : i / inner % channels] / sy[0]);
        y[i] = rint((double)((float)acc[i] * m)) + zero[0];
    }
    return nrw_from_f64(e->out[0].dtype, y, e->out[0].data, n, e->err); /* saturates */
}
