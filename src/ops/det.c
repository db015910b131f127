/* Det: the determinant of square matrices, by elimination with partial pivoting, in double. */
#include <math.h>

#include "ops/floats.h"
#include "ops/move.h"

static nrw_status det_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    if (in->rank == 0 || in->rank == 1)
        NRW_FAIL_INPUT(c, 0, "X", "expected 2 axes or more, got %d", in->rank);
    NRW_TRY(nrw_infer_rank(c, in->rank < 0 ? NRW_RANK_UNKNOWN : in->rank - 2));
    if (in->rank < 0) return NRW_OK;
    int64_t rows = in->dims[in->rank - 2], columns = in->dims[in->rank - 1];
    if (rows >= 0 && columns >= 0 && rows != columns)
        NRW_FAIL_INPUT(c, 0, "X", "%lld by %lld matrices are not square", (long long)rows,
                       (long long)columns);
    for (int i = 0; i < in->rank - 2; i++) c->out[0].dims[i] = in->dims[i];
    return NRW_OK;
}

/* Destroys a. */
static double determinant(double *a, int64_t n) {
    double det = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t pivot = k;
        for (int64_t i = k + 1; i < n; i++) {
            if (fabs(a[i * n + k]) > fabs(a[pivot * n + k])) pivot = i;
        }
        for (int64_t j = 0; pivot != k && j < n; j++) {
            double t = a[k * n + j];
            a[k * n + j] = a[pivot * n + j];
            a[pivot * n + j] = t;
        }
        if (pivot != k) det = -det;
        det *= a[k * n + k];
        if (a[k * n + k] == 0) return 0;
        for (int64_t i = k + 1; i < n; i++) {
            double factor = a[i * n + k] / a[k * n + k];
            for (int64_t j = k + 1; j < n; j++) a[i * n + j] -= factor * a[k * n + j];
        }
    }
    return det;
}

static nrw_status det_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    int64_t n = in->dims[in->rank - 1], matrices = nrw_tensor_count(&e->out[0]);
    double *a = nrw_eval_scratch(e, n * n, sizeof *a), *out;
    if (a == NULL) NRW_OOM(e->err);
    NRW_TRY(nrw_doubles_out(e, 0, &out));
    for (int64_t i = 0; i < matrices; i++) {
        const char *from = (const char *)in->data + i * n * n * nrw_dtype_size(in->dtype);
        NRW_TRY(nrw_to_f64(in->dtype, from, a, n * n, e->err));
        out[i] = determinant(a, n);
    }
    return nrw_doubles_done(e, 0, out);
}

static const nrw_case det_cases[] = {{"graph main(%x: f32[N,3,3]) { "
                                      "  %y: f32[N] = Det(%x) "
                                      "  return %y } ",
                                      -1, 1},
                                     {0}};
static const nrw_op det_row = {
    .name = "Det",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .infer = det_infer,
    .reference = det_run,
    .onnx = {"Det", 11},
    .aten = "aten.det.default",
    .cases = det_cases,
};

NRW_OPS(det, &det_row);
