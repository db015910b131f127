/* The graph: values and nodes with ONNX's meaning, at the newest opset that Narrow knows. Importers
 * upgrade older ones.
 *
 * Everything a model holds lives in the model's arena and goes with it; removing a node or value
 * only unlinks it. Weights are views into the mapped file until a pass changes them (a pass that
 * changes a constant makes a new tensor in the arena and never writes through the old one).
 *
 * Nodes stand in a doubly linked list in topological order. Nodes of a subgraph (bodies of If,
 * Loop, Scan) may use values of enclosing graphs directly, by pointer. Value ids are unique in the
 * model, subgraphs included.
 *
 * Quantization is an annotation: value->type.dtype stays the real type (F32) and value->quant says
 * which integers stand for it. There are no QuantizeLinear/DequantizeLinear pairs in a graph that
 * came through an importer, except where they could not be folded; where two consumers need
 * different parameters there is a `Requantize` node (domain "ai.narrow", one input, one output with
 * the wanted annotation; an unannotated output dequantizes). */
#ifndef NRW_IR_GRAPH_H
#define NRW_IR_GRAPH_H

#include "base/context.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "ir/tensor.h"

typedef struct nrw_model nrw_model;
typedef struct nrw_graph nrw_graph;
typedef struct nrw_node nrw_node;
typedef struct nrw_value nrw_value;
struct nrw_op; /* ops/op.h: what an operator means; the ir knows only that it exists */

typedef enum nrw_attr_type {
    NRW_ATTR_INT = 1,
    NRW_ATTR_FLOAT,
    NRW_ATTR_STRING,
    NRW_ATTR_TENSOR,
    NRW_ATTR_GRAPH,
    NRW_ATTR_INTS,
    NRW_ATTR_FLOATS,
    NRW_ATTR_STRINGS,
    NRW_ATTR_TENSORS,
    NRW_ATTR_GRAPHS,
    NRW_ATTR_RAW /* a kind that Narrow does not read: the file's bytes, written back as they were */
} nrw_attr_type;

typedef struct nrw_attr {
    const char *name;
    nrw_attr_type type;
    int64_t n; /* elements of the plural kinds; 1 otherwise */
    union {
        int64_t i;
        float f;
        nrw_string s;             /* STRING, RAW */
        const nrw_tensor *tensor; /* TENSOR, and TENSORS: [n] */
        nrw_graph *graph;
        const int64_t *ints;
        const float *floats;
        const nrw_string *strings;
        nrw_graph **graphs;
    };
} nrw_attr;

typedef struct nrw_use {
    nrw_node *node;   /* NULL: an output of value->graph or of a graph nested in it (see graph) */
    int index;        /* input index, or output index when node is NULL */
    nrw_graph *graph; /* the graph whose output it is, when node is NULL */
} nrw_use;

struct nrw_value {
    const char *
        name; /* unique within its graph and those around it; kept from the file where it had one */
    int32_t id; /* dense, unique in the model */
    nrw_graph *graph;
    nrw_type type;          /* real type; NRW_NONE / unknown where inference cannot tell */
    const nrw_quant *quant; /* NULL: not quantized */
    const nrw_tensor
        *data;          /* constants only; data->dtype is the storage type, data->quant == quant */
    nrw_node *producer; /* NULL: graph input or constant */
    int producer_index;
    bool as_integers; /* an annotated input or output of the main graph: callers give and get the
                         integers themselves, not the real numbers that they stand for */
    bool is_state; /* a constant of zeros that the file means to be updated from run to run; every
                      run here begins with the zeros */
    bool is_input; /* a graph input. May have data too: a default that callers may override */
    nrw_use *uses; /* every consumer edge, and every time it is a graph output */
    size_t n_uses, cap_uses;
    nrw_string raw_type; /* the file's type bytes when Narrow has no such type (maps, sparse);
                            written back */
};

struct nrw_node {
    const struct nrw_op
        *op;            /* NULL: an operator Narrow does not know; kept, written back, cannot run */
    const char *type;   /* operator name: "Conv" */
    const char *domain; /* "" for ONNX's own */
    const char *name;   /* never NULL; unique in the model */
    bool nameless;      /* the name is made up, for messages only */
    nrw_graph *graph;
    nrw_value **inputs; /* [n_inputs]; NULL where an optional input is left out */
    int n_inputs;
    nrw_value **outputs; /* [n_outputs]; NULL where an optional output is left out */
    int n_outputs;
    nrw_attr *attrs;
    int n_attrs;
    int cap_attrs, cap_inputs;
    nrw_node *prev, *next;
    void *tag; /* scratch of the pass that runs; meaningless between passes */
};

struct nrw_graph {
    nrw_model *model;
    nrw_graph *parent; /* enclosing graph; NULL for the main graph */
    const char *name;
    nrw_node *first, *last;
    int n_nodes;
    nrw_value **inputs;
    int n_inputs, cap_inputs;
    nrw_value **outputs;
    int n_outputs, cap_outputs;
};

typedef struct nrw_opset {
    const char *domain;
    int64_t version;
} nrw_opset;

/* What callers of a .tflite file call it and its inputs and outputs, beside the tensors' names. */
typedef struct nrw_signature {
    const char *key;         /* NULL: the file has none */
    const char **inputs;     /* [n_inputs]; NULL where it has none for one */
    const char **outputs;    /* [n_outputs] */
    int n_inputs, n_outputs; /* of the main graph */
} nrw_signature;

/* How a model came in and what else its file holds; the text form does not show it. */
struct nrw_model {
    const nrw_context *context;
    nrw_arena arena;
    nrw_graph *graph;
    int32_t n_values; /* next value id */
    int32_t n_names;  /* for made-up names: above the number of any "hint.number" in the model */
    int32_t n_given_names; /* numbers from here on are in names that Narrow made up */
    const char *source;    /* path as given, or "<memory>"; for messages */
    const char *format;    /* "onnx", "tflite", "pt2", "text" */
    nrw_opset *opsets;     /* imports of the file, foreign domains included */
    int n_opsets;
    const char *producer_name, *producer_version, *doc, *domain;
    int64_t model_version, ir_version;
    const nrw_string *metadata; /* key, value, key, value, …: [2 * n_metadata] */
    int n_metadata;
    nrw_signature signature;
    const char **symbols; /* names of symbolic dims; symbol k is dim -(k + 2) */
    size_t n_symbols, cap_symbols;
    struct nrw_shared
        *files; /* reference-counted mappings that constants point into; clones share them */
};

/* Making. Functions that allocate return NULL when out of memory.
 * -------------------------------------- */

nrw_model *nrw_model_create(const nrw_context *c);
void nrw_model_destroy(nrw_model *m); /* NULL allowed */
/* Keeps a mapping alive as long as this model or a clone of it lives; takes it over, also on
 * failure. */
nrw_status nrw_model_keep_file(nrw_model *m, nrw_mapping mapping, nrw_error *err) NRW_MUST_CHECK;
/* A copy that shares the bytes of constants and nothing else; either may go first. */
nrw_status nrw_model_clone(const nrw_model *m, nrw_model **out, nrw_error *err) NRW_MUST_CHECK;
/* Tells the system that the pages of mapped files need not stay in memory: they come back when they
 * are read. */
void nrw_model_forget_pages(const nrw_model *m);
nrw_graph *nrw_graph_new(nrw_model *m, nrw_graph *parent, const char *name);
/* The dim for a named symbol ("batch"), the same for the same name; NRW_DIM_UNKNOWN when out of
 * memory. */
int64_t nrw_model_symbol(nrw_model *m, const char *name, size_t n);
const char *nrw_model_symbol_name(const nrw_model *m, int64_t dim); /* NULL if dim is no symbol */
/* "hint.7", a name that nothing in the model has; in its arena. */
const char *nrw_model_made_up_name(nrw_model *m, const char *hint);
/* No name made up from now on will be this one. Values and nodes that are made are noted. */
void nrw_model_note_name(nrw_model *m, const char *name, size_t n);
/* From now on, names that are made up can be told from those that came with the model. */
void nrw_model_names_are_given(nrw_model *m);
/* The length of the part of a name that came with the model: less than its own if it is made up. */
size_t nrw_name_given(const nrw_model *m, const char *name);
int64_t nrw_model_opset(const nrw_model *m, const char *domain); /* 0 if not imported */
nrw_status nrw_model_set_opset(nrw_model *m, const char *domain, int64_t version,
                               nrw_error *err) NRW_MUST_CHECK;

/* name NULL: one is made up from hint-like text and a number. Names and types are copied. */
nrw_value *nrw_value_new(nrw_graph *g, const char *name, const nrw_type *type);
/* A constant. data is kept by reference and must live as long as the model (arena or mapped file).
 */
nrw_value *nrw_const_new(nrw_graph *g, const char *name, const nrw_tensor *data);
nrw_value *nrw_const_i64(nrw_graph *g, const char *name, int rank01, int64_t n,
                         const int64_t *values);
nrw_value *nrw_const_f32(nrw_graph *g, const char *name, int rank01, int64_t n,
                         const float *values);
nrw_status nrw_graph_add_input(nrw_graph *g, nrw_value *v, nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_graph_add_output(nrw_graph *g, nrw_value *v, nrw_error *err) NRW_MUST_CHECK;

/* A node with n_in inputs (all NULL until set) and n_out outputs (NULL until set), put before
 * `before` (NULL: at the end). op may be NULL. */
nrw_node *nrw_node_new(nrw_graph *g, const struct nrw_op *op, const char *type, const char *domain,
                       const char *name, int n_in, int n_out, nrw_node *before);

/* n is the same to the user as `other` was, which is about to go. */
static inline void nrw_node_take_name(nrw_node *n, const nrw_node *other) {
    n->name = other->name;
    n->nameless = other->nameless;
}

/* Changing. Use lists are kept.
 * ------------------------------------------------------------------------ */

nrw_status nrw_node_set_input(nrw_node *n, int i, nrw_value *v,
                              nrw_error *err) NRW_MUST_CHECK; /* v may be NULL */
nrw_status nrw_node_resize_inputs(nrw_node *n, int count, nrw_error *err) NRW_MUST_CHECK;
void nrw_node_set_output(nrw_node *n, int i,
                         nrw_value *v); /* v must have no producer; NULL unlinks */
nrw_status nrw_graph_set_output(nrw_graph *g, int i, nrw_value *v, nrw_error *err) NRW_MUST_CHECK;
/* Every use of old, graph outputs included, becomes a use of v. Graph output names are an
 * interface: when old is a graph output and v is neither input nor output, v takes over old's name.
 */
nrw_status nrw_value_replace(nrw_value *old, nrw_value *v, nrw_error *err) NRW_MUST_CHECK;
static inline void nrw_value_swap_names(nrw_value *a, nrw_value *b) {
    const char *name = a->name;
    a->name = b->name;
    b->name = name;
}
void nrw_node_remove(nrw_node *n); /* unlinks the node, its uses and its outputs' producer */
void nrw_node_move(nrw_node *n, nrw_node *before); /* within its graph; NULL: to the end */
/* Reorders every graph's nodes so that producers come first. A cycle: NRW_ERR_SHAPE naming a node
 * of it. */
nrw_status nrw_graph_sort(nrw_graph *g, nrw_error *err) NRW_MUST_CHECK;
bool nrw_value_is_graph_output(const nrw_value *v);
/* The only consumer edge of v; NULL if there are none, several, or v is a graph output. */
const nrw_use *nrw_value_only_use(const nrw_value *v);

/* Attributes.
 * ------------------------------------------------------------------------------------------ */

const nrw_attr *nrw_node_attr(const nrw_node *n, const char *name); /* NULL if absent */
int64_t nrw_attr_int(const nrw_node *n, const char *name, int64_t absent);
float nrw_attr_float(const nrw_node *n, const char *name, float absent);
/* The text as a terminated string if it has no zero byte inside; `absent` otherwise. */
const char *nrw_attr_str(const nrw_node *n, const char *name, const char *absent);
const int64_t *nrw_attr_ints(const nrw_node *n, const char *name,
                             int64_t *count); /* NULL and 0 if absent */
const float *nrw_attr_floats(const nrw_node *n, const char *name, int64_t *count);
nrw_graph *nrw_attr_graph(const nrw_node *n, const char *name);
const nrw_tensor *nrw_attr_tensor(const nrw_node *n, const char *name);
/* Sets or replaces; what is pointed to is copied into the arena, except graphs and tensor data. */
nrw_status nrw_node_set_attr(nrw_node *n, const nrw_attr *a, nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_node_set_int(nrw_node *n, const char *name, int64_t v,
                            nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_node_set_float(nrw_node *n, const char *name, float v,
                              nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_node_set_str(nrw_node *n, const char *name, const char *v,
                            nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_node_set_ints(nrw_node *n, const char *name, int64_t count, const int64_t *v,
                             nrw_error *err) NRW_MUST_CHECK;
void nrw_node_remove_attr(nrw_node *n, const char *name);

/* Checking and text.
 * ----------------------------------------------------------------------------------- */

/* Use lists, producers, order, names, ids, constants' sizes. NRW_ERR_INTERNAL or NRW_ERR_SHAPE. */
nrw_status nrw_graph_verify(const nrw_model *m, nrw_error *err) NRW_MUST_CHECK;
/* The text form (docs/ir-text.md). Constants of more than `elide` elements print as "…" with their
 * hash (elide < 0: everything is printed and the result parses back to an equal model). */
nrw_status nrw_model_print(const nrw_model *m, nrw_strbuf *out, int64_t elide,
                           nrw_error *err) NRW_MUST_CHECK;
/* Operators are looked up by `find` (ops/op.h's nrw_op_find). Errors name line and column. */
typedef const struct nrw_op *(*nrw_op_lookup)(const char *type, const char *domain);
nrw_status nrw_model_parse(const nrw_context *c, const char *text, size_t n, nrw_op_lookup find,
                           nrw_model **out, nrw_error *err) NRW_MUST_CHECK;

#endif
