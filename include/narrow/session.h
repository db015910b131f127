/* Running models: plans (immutable, shared between threads) and sessions (one per thread). */
#ifndef NARROW_SESSION_H
#define NARROW_SESSION_H

#include "narrow/status.h"
#include "narrow/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nrw_model nrw_model;
typedef struct nrw_plan nrw_plan;
typedef struct nrw_session nrw_session;

typedef struct nrw_plan_options {
    bool simulate; /* quantized values are rounded to their integers and back around float kernels:
                      no integer kernel runs */
    bool keep_values; /* run the graph as it is: nothing is fused or folded, every value can be
                         observed */
    bool fuse_clamps; /* with keep_values: a layer does the work of a Relu or Clip right behind it,
                         and what can be observed in between is the clamped value already */
} nrw_plan_options;

/* Makes a model ready to run: chooses kernels and packs weights. The model is copied and may be
 * changed or freed afterwards. options NULL: all false. An operator that Narrow does not know:
 * NRW_ERR_UNSUPPORTED, named. The caller owns *out (nrw_plan_destroy). */
NRW_API nrw_status nrw_plan_create(const nrw_model *m, const nrw_plan_options *options,
                                   nrw_plan **out, nrw_error *err) NRW_MUST_CHECK;
/* NULL allowed. No session of the plan may be left. */
NRW_API void nrw_plan_destroy(nrw_plan *p);

/* A session owns the memory that values live in while they are computed. The plan must outlive it.
 */
NRW_API nrw_status nrw_session_create(const nrw_plan *p, nrw_session **out,
                                      nrw_error *err) NRW_MUST_CHECK;
NRW_API void nrw_session_destroy(nrw_session *s); /* NULL allowed */

/* Runs the model once. inputs[i] is for input i of the model, of the input's type: real numbers
 * also where the model is quantized, unless the file itself has integers there (nrw_port), in which
 * case either will do; an input with dtype NRW_NONE takes its default if the model
 * has one. outputs[i] become views of the model's outputs (real numbers, or the file's integers
 * with ->quant set), valid until the next run or the session's end. n_in and n_out must equal the
 * model's counts. Shapes may change from run to run; runs with the shapes of the run before do not
 * allocate. Wrong type or shape: NRW_ERR_DATA naming the input. */
NRW_API nrw_status nrw_session_run(nrw_session *s, int n_in, const nrw_tensor *inputs, int n_out,
                                   nrw_tensor *outputs, nrw_error *err) NRW_MUST_CHECK;

/* From now on outputs are real numbers also where the model's are integers. */
NRW_API void nrw_session_give_reals(nrw_session *s);

/* Seeds the random operators; every run starts from the seed. 0 at first. */
NRW_API void nrw_session_seed(nrw_session *s, uint64_t seed);

/* Time spent in each step of the main graph, summed over the runs since profiling was switched on.
 */
typedef struct nrw_step_time {
    const char *node, *op, *kernel; /* live as long as the plan */
    double seconds;
    int64_t runs;
} nrw_step_time;
NRW_API void nrw_session_profile(nrw_session *s, bool on);
NRW_API const nrw_step_time *nrw_session_times(const nrw_session *s, int *n);
/* Bytes of the slab that holds the values whose size is known before a run. */
NRW_API size_t nrw_session_slab_bytes(const nrw_session *s);

#ifdef __cplusplus
}
#endif
#endif
