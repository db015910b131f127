/* The parts of the importer: import.c reads models and graphs, import_node.c nodes and attributes,
 * import_function.c inlines calls of model-local functions. */
#ifndef NRW_FORMATS_ONNX_IMPORT_H
#define NRW_FORMATS_ONNX_IMPORT_H

#include "formats/onnx/proto.h"
#include "formats/onnx/upgrade.h"
#include "ops/op.h"

/* The names that values of one graph have; what they are unique among reaches up to the root. */
typedef struct nrw_onnx_names {
    struct nrw_onnx_names *parent;
    nrw_graph *graph;
    nrw_map values; /* name -> nrw_value * */
} nrw_onnx_names;

/* An attribute of a call, found: where its message is, and where names in it are looked up. */
typedef struct nrw_onnx_given {
    nrw_pb message;
    struct nrw_onnx_scope *scope;
} nrw_onnx_given;

/* Where a text's names are looked up: the text of a graph, or of a function for one of its calls.
 * Names in a graph within reach outwards; those of a function do not. */
typedef struct nrw_onnx_scope {
    struct nrw_onnx_scope *parent;
    nrw_map values;  /* name -> nrw_value *, or nrw_onnx_omitted */
    nrw_map infos;   /* name -> nrw_string *, the type's bytes */
    nrw_map outputs; /* of a function: name -> the caller's nrw_value * */
    nrw_onnx_names *names;
    const char *prefix; /* of made-up names; NULL outside functions */
    nrw_map *given;     /* attribute name -> nrw_onnx_given *; NULL outside functions */
    const nrw_onnx_opsets *opsets;
} nrw_onnx_scope;

/* A node's text, taken apart. */
typedef struct nrw_onnx_raw_node {
    nrw_pb message;
    nrw_string name, type, domain, overload;
    nrw_string *inputs, *outputs;
    size_t n_inputs, n_outputs;
} nrw_onnx_raw_node;

typedef struct nrw_onnx_function {
    nrw_pb message;
    const nrw_onnx_opsets *opsets;
    nrw_string *inputs, *outputs;
    size_t n_inputs, n_outputs;
    nrw_pb *defaults; /* attribute_proto */
    size_t n_defaults;
    nrw_onnx_raw_node *nodes;
    size_t n_nodes;
    bool parsed, open; /* open: being inlined right now */
} nrw_onnx_function;

typedef struct nrw_onnx_importer {
    nrw_model *model;
    nrw_arena scratch;
    nrw_onnx_source source;
    nrw_onnx_symbols symbols;
    nrw_onnx_opsets opsets;
    nrw_onnx_versions versions;
    nrw_map taken;      /* names of values anywhere in the model */
    nrw_map node_names; /* likewise of nodes */
    int n_nameless;     /* nodes without a name so far */
    nrw_map functions;  /* domain, name, overload -> nrw_onnx_function * */
    int made_up;        /* counts names that were changed */
    int depth;          /* of graphs and functions within each other */
    uint64_t budget;    /* bytes of function text that may still be inlined */
    nrw_error *err;
} nrw_onnx_importer;

/* A formal input of a function for which a call gives nothing. */
extern const char nrw_onnx_omitted[];

void nrw_onnx_scope_init(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_onnx_scope *parent,
                         nrw_onnx_names *names);
/* A name that no value, or no node, has; starting with base. NULL: out of memory. */
const char *nrw_onnx_fresh(nrw_onnx_importer *im, nrw_map *taken, const char *base);
/* Makes the value that `name` stands for in this scope. Twice: NRW_ERR_FORMAT. */
nrw_status nrw_onnx_declare(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_string name,
                            nrw_value **out) NRW_MUST_CHECK;
/* NULL when nothing has that name. */
nrw_value *nrw_onnx_lookup(const nrw_onnx_scope *s, nrw_string name);
bool nrw_onnx_is(nrw_string s, const char *text);

nrw_status nrw_onnx_read_graph(nrw_onnx_importer *im, nrw_pb r, nrw_graph *g,
                               nrw_onnx_scope *parent) NRW_MUST_CHECK;
nrw_status nrw_onnx_read_opset(const nrw_pb *r, const nrw_pb_field *f, nrw_arena *arena,
                               nrw_onnx_opsets *out, nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_onnx_read_type_into(nrw_onnx_importer *im, nrw_string type,
                                   nrw_value *v) NRW_MUST_CHECK;

/* Takes apart one more node at the end of an array in scratch. */
nrw_status nrw_onnx_take_apart(nrw_onnx_importer *im, const nrw_pb *r, const nrw_pb_field *f,
                               nrw_onnx_raw_node **nodes, size_t *n, size_t *cap) NRW_MUST_CHECK;
/* Declares what the nodes make, then makes them. */
nrw_status nrw_onnx_make_nodes(nrw_onnx_importer *im, nrw_onnx_scope *s,
                               const nrw_onnx_raw_node *nodes, size_t n) NRW_MUST_CHECK;
/* The attribute that a message stands for: itself, or what a call gives for it. false: nothing. */
nrw_status nrw_onnx_resolve(nrw_onnx_importer *im, nrw_onnx_scope *s, nrw_pb message,
                            nrw_string *name, nrw_onnx_given *out, bool *found) NRW_MUST_CHECK;

nrw_status nrw_onnx_note_function(nrw_onnx_importer *im, const nrw_pb *r,
                                  const nrw_pb_field *f) NRW_MUST_CHECK;
nrw_status nrw_onnx_find_function(nrw_onnx_importer *im, const nrw_onnx_raw_node *node,
                                  nrw_onnx_function **out) NRW_MUST_CHECK;
nrw_status nrw_onnx_inline(nrw_onnx_importer *im, nrw_onnx_scope *s, const nrw_onnx_raw_node *node,
                           nrw_onnx_function *function) NRW_MUST_CHECK;

#endif
