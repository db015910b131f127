/* From a float graph to an annotated one. */
#ifndef NRW_QUANT_QUANTIZE_H
#define NRW_QUANT_QUANTIZE_H

#include "ir/graph.h"
#include "quant/recipe.h"

/* Calibration samples. Fills inputs[i] (one for each graph input, in order) with views that stay
 * valid until the next call; *end when there is no sample `index`. */
typedef struct nrw_sample_source {
    nrw_status (*next)(void *user, int64_t index, int n, nrw_tensor *inputs, bool *end,
                       nrw_error *err);
    /* Told what the float model gives on sample `index`, in order, while it is calibrated: outputs
     * [graph outputs], valid during the call. NULL: nobody asks. */
    nrw_status (*seen)(void *user, int64_t index, const nrw_tensor *outputs, nrw_error *err);
    void *user;
    int64_t count; /* for progress; -1: unknown */
} nrw_sample_source;

/* Makes a quantized copy of m. source is needed by the static mode, and the
 * dynamic one smooths better with it; else NULL.
 * result may be NULL. */
nrw_status nrw_quantize_graph(const nrw_model *m, const nrw_recipe *recipe,
                              const nrw_sample_source *source, nrw_model **out,
                              nrw_quantize_result *result, nrw_error *err) NRW_MUST_CHECK;

#endif
