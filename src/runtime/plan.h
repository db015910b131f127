/* A plan: a model made ready to run. Kernels are chosen, constant weights packed, constants that a
 * step wants in another form converted, all once. Immutable and shared between threads; a session
 * (session.h) runs it. */
#ifndef NRW_RUNTIME_PLAN_H
#define NRW_RUNTIME_PLAN_H

#include "narrow/session.h"
#include "ops/op.h"

/* How a step runs. */
typedef enum nrw_step_mode {
    NRW_STEP_PLAIN,     /* kernel on the tensors as they are: nothing annotated, or the kernel takes
                           integers */
    NRW_STEP_SIMULATED, /* float kernel between dequantized inputs and quantized outputs */
    NRW_STEP_ALIAS      /* output 0 is input 0's memory under another shape */
} nrw_step_mode;

typedef struct nrw_step {
    const nrw_node *node;
    nrw_step_mode mode;
    nrw_run_fn run;
    const void *state;
    const char *kernel; /* for profiles; never NULL */
    const nrw_tensor *const
        *consts; /* [n_inputs] stand-ins for constant inputs; NULL where none. NULL: none at all */
    bool clamps; /* does the work of the Relu or Clip that alone reads its output */
    bool adds;   /* … of the Add */
    bool has_body; /* If, Loop, Scan, …: subgraphs run inside */
} nrw_step;

typedef struct nrw_plan_graph {
    const nrw_graph *graph;
    nrw_step *steps;
    int n_steps;
    struct nrw_plan_graph *next;
} nrw_plan_graph;

struct nrw_plan {
    const nrw_context *context;
    const struct nrw_kernels *kernels;
    nrw_model *model; /* the plan's own copy */
    nrw_arena arena;
    nrw_plan_graph *graphs; /* the main graph first, then bodies */
    nrw_plan_options options;
};

const nrw_plan_graph *nrw_plan_find(const nrw_plan *p, const nrw_graph *g);

#endif
