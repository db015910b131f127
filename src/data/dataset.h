/* Datasets: samples for the inputs of a model, made one batch at a time from files that stay on
 * disk (mapped) or are decoded when they are asked for. nrw_dataset_open and its companions are in
 * narrow/narrow.h; this header adds what evaluation and calibration read samples with.
 *
 * What is read.
 *   x.npy      the first axis counts samples.
 *   x.npz      one array for each input, by its name; with one input, the only array under any
 * name. An array "labels" holds labels, unless it is an input. a folder   .jpg, .jpeg and .png
 * files in order of name; sub-folders in order of name are classes 0, 1, … Decoded to as many
 * channels as the input has. x.csv      one row for each sample; one column more than the input has
 * elements is a label. random:N   for timing: unknown dims are taken as 64. Labels of their own
 * come from a .npy file or the last column of a .csv file.
 *
 * How a sample meets an input. The input's first axis is the batch; the sample has the others.
 * A batch of fixed length B > 1 is filled with B samples in order; the last one, when it is short,
 * is filled up by repeating its last sample, and `valid` says how many count. Unknown dims take the
 * sample's length. A sample fits
 *   - when its dims are the input's dims, less the batch (nothing is touched);
 *   - when they are so after leaving out, or putting in, axes of length 1 (28x28 for 1x28x28);
 *   - when they are all the dims of an input whose batch is 1 or unknown, or that has no batch
 * axis;
 *   - as an image with 1, 3 or 4 channels, when it does with channels moved from last to first
 *     place or back, and only then. layout= decides where both ways fit.
 * Anything else is NRW_ERR_DATA that tells both shapes. Whole numbers become the input's type;
 * fractions never become whole numbers. A sample that holds NaN is refused. Preprocessing
 * (data/preprocess.h) touches inputs of floats only. */
#ifndef NRW_DATA_DATASET_H
#define NRW_DATA_DATASET_H

#include "ir/graph.h"
#include "narrow/narrow.h"

/* The number of runs that go through all samples once: samples / batch, rounded up. */
int64_t nrw_dataset_batches(const nrw_dataset *d);
/* Samples in one run of the model: 1, or the input's fixed batch. */
int64_t nrw_dataset_batch_size(const nrw_dataset *d);

/* The model's inputs that the dataset fills, in the order of the graph (those with a default value
 * are left out). */
int nrw_dataset_inputs(const nrw_dataset *d);
const char *nrw_dataset_input_name(const nrw_dataset *d, int k);

/* Fills in[0 … nrw_dataset_inputs) with batch b (0 <= b < nrw_dataset_batches): type, dims and
 * data. The data belong to the dataset and last until the next read. *valid (may be NULL) is the
 * number of samples that are not repeats; they are samples b * batch_size and following. */
nrw_status nrw_dataset_read(nrw_dataset *d, int64_t b, nrw_tensor *in, int *valid,
                            nrw_error *err) NRW_MUST_CHECK;

/* The label of sample i; only with nrw_dataset_has_labels. */
int64_t nrw_dataset_label(const nrw_dataset *d, int64_t i);
/* NRW_ERR_DATA when a label is not below the number of classes. */
nrw_status nrw_dataset_check_labels(const nrw_dataset *d, int64_t classes,
                                    nrw_error *err) NRW_MUST_CHECK;

/* The preprocessing in its canonical spelling, "" if there is none; lives as long as d. */
const char *nrw_dataset_preprocess(const nrw_dataset *d);

#endif
