/* Passes: functions that change a graph and leave its meaning as it was. pipeline.c holds the
 * ordered lists. A pass works on the main graph and on bodies alike unless it says otherwise, never
 * removes or changes nodes of operators that it does not know, and treats a value that a body reads
 * like one that any other node reads (captures are ordinary uses). */
#ifndef NRW_PASSES_PASS_H
#define NRW_PASSES_PASS_H

#include "ir/graph.h"

typedef struct nrw_pass {
    const char *name;
    /* scratch is emptied after the pass. Sets *changed when anything was changed. */
    nrw_status (*run)(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err);
} nrw_pass;

typedef enum nrw_pipeline {
    NRW_PIPELINE_IMPORT,   /* after reading: shapes, constants, what is dead */
    NRW_PIPELINE_TURN,     /* after the layout of images has changed: Transposes cancel */
    NRW_PIPELINE_RUN,      /* on a session's private copy: everything that makes it faster */
    NRW_PIPELINE_QUANTIZE, /* before annotations are chosen: the form that quantizes well */
    NRW_PIPELINE_EXPORT,   /* before writing */
    NRW_PIPELINE_SHRINK,   /* the last before a quantized file: what makes it smaller */
    NRW_PIPELINE_UNSHRINK  /* the first after reading: undoes it where annotations could not be read
                            */
} nrw_pipeline;

/* What to do after each pass; all may be left out. */
typedef struct nrw_pass_watch {
    bool verify; /* nrw_graph_verify; a failure names the pass */
    void (*seen)(void *user, const char *pass, bool changed, const nrw_model *m);
    void *user;
} nrw_pass_watch;

nrw_status nrw_run_pipeline(nrw_model *m, nrw_pipeline pipeline, const nrw_pass_watch *watch,
                            nrw_error *err) NRW_MUST_CHECK; /* watch may be NULL */
nrw_status nrw_run_pass(nrw_model *m, const nrw_pass *pass, const nrw_pass_watch *watch,
                        nrw_error *err) NRW_MUST_CHECK;
const nrw_pass *nrw_pass_find(const char *name); /* NULL: no such pass */

/* Activations that are bytes of the other sign than `to` (U8 or I8) become such. */
nrw_status nrw_flip_bytes(nrw_model *m, nrw_dtype to, nrw_error *err) NRW_MUST_CHECK;

extern const nrw_pass nrw_pass_freeze_defaults;
extern const nrw_pass nrw_pass_infer_shapes;
extern const nrw_pass nrw_pass_fold_constants;
extern const nrw_pass nrw_pass_merge_constants;
extern const nrw_pass nrw_pass_palette_constants;
extern const nrw_pass nrw_pass_unpack_palettes;
extern const nrw_pass nrw_pass_short_names;
extern const nrw_pass nrw_pass_drop_defaults;
extern const nrw_pass nrw_pass_dead_code;
extern const nrw_pass nrw_pass_identity;
extern const nrw_pass nrw_pass_fold_batch_norm;
extern const nrw_pass nrw_pass_fold_pad;
extern const nrw_pass nrw_pass_merge_transposes;
extern const nrw_pass nrw_pass_sink_transposes;
extern const nrw_pass nrw_pass_bias_matmul;
extern const nrw_pass nrw_pass_fold_clamp;
extern const nrw_pass nrw_pass_fuse_gelu;

#endif
