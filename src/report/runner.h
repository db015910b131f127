/* Brings the samples of a dataset to a model, and its first output back as floats. */
#ifndef NRW_REPORT_RUNNER_H
#define NRW_REPORT_RUNNER_H

#include "data/dataset.h"
#include "runtime/lanes.h"

typedef struct nrw_runner {
    const nrw_model *model;
    nrw_plan *plan;
    nrw_lanes *lanes;
    nrw_arena arena;
    int *source; /* [graph inputs] which of the dataset's inputs; -1: the model's default */
    nrw_tensor *inputs;
    float *values; /* the first output as floats, when it is of another type */
    size_t values_bytes;
} nrw_runner;

/* lanes: batches that may run side by side at most; 0: as many as pay. Inputs meet by name; where
 * no name fits and the counts are equal, by position. nrw_runner_close follows in any case, also
 * after a failure. The model and the dataset must outlive it. */
nrw_status nrw_runner_open(nrw_runner *f, const nrw_model *m, const nrw_dataset *d,
                           const nrw_plan_options *options, int lanes,
                           nrw_error *err) NRW_MUST_CHECK;
void nrw_runner_close(nrw_runner *f);
/* Batches that the next run takes at once (nrw_lanes_width). */
int nrw_runner_width(const nrw_runner *f);
/* Batch i of the next run is what nrw_dataset_read gave; it is copied. */
nrw_status nrw_runner_fill(nrw_runner *f, int i, const nrw_tensor *samples,
                           nrw_error *err) NRW_MUST_CHECK;
/* Runs on the first n batches. */
nrw_status nrw_runner_run(nrw_runner *f, int n, nrw_error *err) NRW_MUST_CHECK;
/* The first output of batch i of the last run, `batch` samples of *n floats each, valid until the
 * next call. NRW_ERR_DATA if it does not divide. */
nrw_status nrw_runner_output(nrw_runner *f, int i, int64_t batch, const float **rows, int64_t *n,
                             nrw_error *err) NRW_MUST_CHECK;
const nrw_tensor *nrw_runner_first_output(const nrw_runner *f, int i);

#endif
