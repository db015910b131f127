/* A recipe: everything that determines the result of a quantization but the model and the data.
 * Saved as JSON and followed again, it gives the same file. */
#ifndef NRW_QUANT_RECIPE_H
#define NRW_QUANT_RECIPE_H

#include "base/context.h"
#include "base/error.h"
#include "ir/dtype.h"
#include "narrow/narrow.h"

/* What is wanted of one node or value, by name, against the general rule. */
typedef struct nrw_override {
    const char *name;
    bool is_node;    /* else a value */
    bool keep_float; /* the node computes in float; the value is not annotated */
    bool has_range;  /* value: [lo, hi] instead of what calibration finds */
    double lo, hi;
    int weight_bits; /* node: 0 as the recipe */
} nrw_override;

typedef struct nrw_recipe {
    nrw_mode mode; /* not AUTO */
    nrw_target target;
    bool integer_io;
    int weight_bits, activation_bits;
    int granularity; /* NRW_PER_CHANNEL, … */
    int64_t block;
    nrw_calibrator calibrator; /* not DEFAULT */
    double percentile;
    bool symmetric;      /* activations: int8 around 0 instead of uint8 */
    bool search_weights; /* clip weights where that lowers the squared error */
    bool smooth;         /* shift the spread of channels from activations to weights */
    bool correct_bias;   /* take back what rounded weights add to a layer's mean output */
    bool clamp_weights;
    int64_t samples; /* 0: all */
    uint64_t seed;
    const char *preprocess; /* NULL: none */
    const nrw_override *overrides;
    int n_overrides;
} nrw_recipe;

/* The recipe that options ask for (options->recipe is read when given; what options set goes before
 * it). have_data settles AUTO. Lives in the arena. Contradictions are NRW_ERR_ARGUMENT. */
nrw_status nrw_recipe_make(nrw_arena *arena, const nrw_quantize_options *options, bool have_data,
                           nrw_recipe *out, nrw_error *err) NRW_MUST_CHECK;

/* Unknown keys and wrong types are refused by name, with the file's. */
nrw_status nrw_recipe_load(nrw_arena *arena, const char *path, nrw_recipe *out,
                           nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_recipe_parse(nrw_arena *arena, const char *text, size_t n, nrw_recipe *out,
                            nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_recipe_save(const nrw_allocator *a, const nrw_recipe *r, const char *path,
                           nrw_error *err) NRW_MUST_CHECK;

const nrw_override *nrw_recipe_override(const nrw_recipe *r, const char *name, bool is_node);

#endif
