/* How samples of a source become the input of a model; inside data only. The rules are in
 * data/dataset.h. */
#ifndef NRW_DATA_FIT_H
#define NRW_DATA_FIT_H

#include "data/preprocess.h"

/* One input of the model, with where its samples come from. */
typedef struct nrw_feed {
    const char *name;
    nrw_type type; /* of the input */
    nrw_source *source;
    bool whole;  /* a sample fills the input, batch axis and all */
    bool planar; /* with resize or crop: channels come first in the samples */
    nrw_buffer permuted, wide, out;
} nrw_feed;

/* Decides `whole` and `planar`, and refuses samples that cannot fit. */
nrw_status nrw_feed_decide(nrw_feed *f, const nrw_preprocess *p, nrw_error *err) NRW_MUST_CHECK;
/* Puts sample i at place `slot` of `slots` in *out, whose type and dims are set for slot 0 and must
 * agree from there on. */
nrw_status nrw_feed_sample(nrw_feed *f, const nrw_preprocess *p, nrw_buffer geometry[3], int64_t i,
                           int64_t slot, int64_t slots, nrw_tensor *out,
                           nrw_error *err) NRW_MUST_CHECK;
void nrw_feed_close(nrw_feed *f);

#endif
