/* Rounded weights shift what a layer gives on average: by the sum of their errors, each times the
 * mean of what it multiplies. The bias takes the shift back (Nagel et al., "Data-Free Quantization
 * Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2; with means measured
 * during calibration, appendix D). */
#ifndef NRW_QUANT_BIAS_CORRECTION_H
#define NRW_QUANT_BIAS_CORRECTION_H

#include "ir/graph.h"
#include "quant/recipe.h"

/* Means of a value by channel, over all samples and positions. Memory does not grow with samples.
 */
typedef struct nrw_means nrw_means;

/* Channels lie on `axis` (negative: from the end) and are `channels` many. NULL: out of memory. */
nrw_means *nrw_means_new(const nrw_allocator *a, int axis, int64_t channels);
void nrw_means_free(nrw_means *m); /* NULL allowed */
void nrw_means_clear(nrw_means *m);
/* One sample, float32. What has another number of channels there is left out. */
void nrw_means_add(nrw_means *m, const nrw_tensor *t);
/* 0 when nothing was seen. Does not depend on the order of the samples. */
double nrw_means_get(const nrw_means *m, int64_t channel);

/* Which channels of its input the layer's correction needs the means of; false where there is none
 * for this operator. */
bool nrw_correction_channels(const nrw_node *layer, int *axis, int64_t *channels);

/* Sets the layer's bias input, which may be left out so far, to a new constant: the bias less the
 * shift that quantizing its weights with `weights` makes. Left alone when x is NULL or saw nothing,
 * and where padding cannot be told for want of the input's shape. */
nrw_status nrw_correct_bias(nrw_node *layer, const nrw_quant *weights, const nrw_means *x,
                            nrw_error *err) NRW_MUST_CHECK;

#endif
