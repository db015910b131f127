/* Runs the float model over the calibration samples and watches values. */
#ifndef NRW_QUANT_CALIBRATE_H
#define NRW_QUANT_CALIBRATE_H

#include "quant/bias_correction.h"
#include "quant/observer.h"
#include "quant/quantize.h"

/* What looks at a value; each may be NULL. */
typedef struct nrw_watch {
    nrw_observer *range;
    nrw_means *means;
} nrw_watch;

/* watches: [m->n_values] by value id of the main graph. At most `limit` samples (0: all); *samples
 * says how many there were. None at all: NRW_ERR_DATA. What the watches hold afterwards does not
 * depend on the number of threads; in_order: samples are added one after the other, for the moving
 * average, which slows things down. */
nrw_status nrw_calibrate(const nrw_model *m, const nrw_sample_source *source, int64_t limit,
                         bool in_order, const nrw_watch *watches, int64_t *samples,
                         nrw_error *err) NRW_MUST_CHECK;

/* Frees what n watches hold. */
void nrw_watches_free(nrw_watch *watches, int64_t n);

#endif
