/* Runs the float model over the calibration samples and watches values. */
#ifndef NRW_QUANT_CALIBRATE_H
#define NRW_QUANT_CALIBRATE_H

#include "quant/observer.h"
#include "quant/quantize.h"

/* observers: [m->n_values] by value id of the main graph; NULL where nobody looks. At most `limit`
 * samples (0: all); *samples says how many there were. None at all: NRW_ERR_DATA. */
nrw_status nrw_calibrate(const nrw_model *m, const nrw_sample_source *source, int64_t limit,
                         nrw_observer *const *observers, int64_t *samples,
                         nrw_error *err) NRW_MUST_CHECK;

#endif
