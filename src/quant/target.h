/* What is particular to the runtime that a quantized model is made for. */
#ifndef NRW_QUANT_TARGET_H
#define NRW_QUANT_TARGET_H

#include "ir/graph.h"
#include "narrow/narrow.h"

/* The result of an operator that has the same parameters always. zero_point: of unsigned bytes. */
typedef struct nrw_fixed_result {
    const char *type;
    float scale;
    int32_t zero_point;
} nrw_fixed_result;

typedef struct nrw_target_rules {
    const char *name;
    /* Whatever can compute in integers does, so that a device without float arithmetic runs it;
     * otherwise only what pays for the layers around it. */
    bool everything;
    const char *const *takes;  /* of the operators that feed on small differences, these all
                                  the same */
    const char *const *lacks;  /* operators without integer kernels there */
    const char *const *shares; /* operators whose data and results have one scale, beside those
                                  that only move elements */
    nrw_rounding rounding;
    const nrw_fixed_result *fixed;                       /* ended by a NULL type */
    nrw_status (*prepare)(nrw_model *m, nrw_error *err); /* what becomes several operators there
                                                            does so before ranges are measured */
} nrw_target_rules;

const nrw_target_rules *nrw_target_get(nrw_target t);
bool nrw_target_lists(const char *const *list, const char *type);
/* NULL: v is made by nothing of the kind. */
const nrw_fixed_result *nrw_target_fixed(const nrw_target_rules *t, const nrw_value *v);

#endif
