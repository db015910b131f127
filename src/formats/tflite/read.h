/* The parts of the reader: read.c goes through models, graphs and operators, read_tensor.c makes
 * values of tensors, raise*.c give operators ONNX's meaning. */
#ifndef NRW_FORMATS_TFLITE_READ_H
#define NRW_FORMATS_TFLITE_READ_H

#include "base/str.h"
#include "formats/tflite/schema.h"
#include "ir/graph.h"
#include "ops/op.h"
#include "wire/flatbuffer.h"

typedef struct nrw_tflite_reader {
    nrw_model *model;
    nrw_arena scratch;
    nrw_fb fb;
    nrw_fb_vector subgraphs, buffers, codes;
    nrw_map taken;          /* names of values anywhere in the model */
    int made_up, depth;     /* names that were changed; subgraphs within each other */
    int looping, branching; /* within what may run again; within what may not run */
    int varying;            /* within what changes lengths: what the file says of them is not so */
    nrw_map variables, handles; /* see raise_control.c */
    uint64_t operators; /* that subgraphs may still bring: they may be called from many places */
    nrw_error *err;
} nrw_tflite_reader;

/* A subgraph as it is being read into a graph. */
typedef struct nrw_tflite_scope {
    nrw_tflite_reader *reader;
    nrw_graph *graph;
    nrw_fb_vector tensors, operators;
    nrw_value **values; /* by tensor; NULL: not seen yet */
    int *reads;         /* by tensor: inputs of operators that it is; NULL: not counted yet */
} nrw_tflite_scope;

typedef enum nrw_tflite_role {
    NRW_TFLITE_READ = 0, /* something has made it, or the file has its elements */
    NRW_TFLITE_MADE,     /* it is being made now */
    NRW_TFLITE_SHOWN     /* only its type and its parameters of quantization matter */
} nrw_tflite_role;
/* The value of a tensor, which becomes a constant if the file has its elements. */
nrw_status nrw_tflite_value(nrw_tflite_scope *s, int64_t index, nrw_tflite_role role,
                            nrw_value **out) NRW_MUST_CHECK;
/* A name for a value that nothing else has. NULL: out of memory. */
const char *nrw_tflite_fresh_name(nrw_tflite_reader *r, nrw_string base);
/* How many inputs of the subgraph's operators are the tensor that v is the value of; -1: out of
 * memory. */
int nrw_tflite_read_count(nrw_tflite_scope *s, const nrw_value *v);
/* Puts the nodes of subgraph `index` at the end of g. Its inputs are the values given, or, with in
 * NULL, become inputs of g; *out are what it returns. `index` comes from the file. */
nrw_status nrw_tflite_read_subgraph(nrw_tflite_reader *r, int64_t index, nrw_graph *g, int n_in,
                                    nrw_value *const *in, int *n_out,
                                    nrw_value ***out) NRW_MUST_CHECK;

#endif
