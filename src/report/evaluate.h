/* Evaluation with a reference that has run already; nrw_evaluate is in narrow/narrow.h. */
#ifndef NRW_REPORT_EVALUATE_H
#define NRW_REPORT_EVALUATE_H

#include "narrow/narrow.h"
#include "report/outputs.h"

/* As nrw_evaluate in the default metric, on the first `batches` of d only. outputs: the
 * reference's on these, in so far as it has run on them already; unless they are complete it runs
 * again. */
nrw_status nrw_evaluate_first(const nrw_model *m, const nrw_model *reference,
                              const nrw_outputs *outputs, nrw_dataset *d, int64_t batches,
                              nrw_evaluation *out, nrw_error *err) NRW_MUST_CHECK;

#endif
