/* The inside of a session; for the files of runtime/ only. */
#ifndef NRW_RUNTIME_SESSION_IMPL_H
#define NRW_RUNTIME_SESSION_IMPL_H

#include "base/rng.h"
#include "runtime/session.h"

enum { NRW_MAX_NESTING = 16 };

/* Memory of a value whose size only the run tells; kept and grown from run to run. */
typedef struct nrw_room {
    void *data;
    size_t cap;
} nrw_room;

/* The step that runs, one for each level of nested bodies. */
typedef struct nrw_frame {
    const nrw_node *node;
    nrw_tensor *out;
    nrw_arena scratch; /* emptied after each step, memory kept */
} nrw_frame;

struct nrw_session {
    struct nrw_host host; /* first: kernels hand it back to us */
    const nrw_plan *plan;
    const nrw_allocator *allocator;
    nrw_arena arena; /* the tables below */
    int n_values;
    nrw_tensor *slots; /* [n_values] where each value lies now */
    nrw_room *rooms;   /* [n_values] */
    bool *constant;    /* [n_values] slots hold constants of the model */

    /* What reshape found out, valid for `shape_of_inputs`. */
    bool shaped;
    nrw_type *shape_of_inputs; /* [graph inputs] */
    nrw_arena shape_arena;     /* everything here; reset by a reshape */
    bool *known;               /* [n_values] computed by the reshape itself: slots hold the data */
    bool *placed;              /* [n_values] has a place in the slab: slots hold type and address */
    bool *skip;                /* [steps of the main graph] evaluated by the reshape */
    nrw_type *alias_types; /* [steps of the main graph] the output's type, of steps that alias */
    void *slab;
    size_t slab_size;

    nrw_room *output_rooms; /* [graph outputs] dequantized copies */
    nrw_arena run_arena;    /* strings, sequence elements; reset at the start of a run */
    nrw_frame frames[NRW_MAX_NESTING];
    int depth;
    nrw_rng rng;
    uint64_t seed;
    nrw_observer_fn observer;
    void *observer_user;
    bool profiling;
    bool real_outputs;    /* dequantized, whatever the model shows its callers */
    nrw_step_time *times; /* [steps of the main graph] */
};

/* Finds shapes and places for the main graph, given the types of its inputs (all plain tensors). */
nrw_status nrw_session_reshape(nrw_session *s, const nrw_type *inputs,
                               nrw_error *err) NRW_MUST_CHECK;
/* Grows a room to hold `bytes`; the old content is lost. */
nrw_status nrw_room_reserve(nrw_session *s, nrw_room *room, size_t bytes,
                            nrw_error *err) NRW_MUST_CHECK;

#endif
