/* What an operator means. One row per operator, one file per family; the file holds everything that
 * is known of it: attributes, shape rule, reference kernel, integer kernel, plan hook, quantization
 * rule, names in each format. docs/adding-an-operator.md walks through it and TEMPLATE.c is the
 * place to start. */
#ifndef NRW_OPS_OP_H
#define NRW_OPS_OP_H

#include "base/context.h"
#include "base/error.h"
#include "base/rng.h"
#include "ir/graph.h"
#include "ir/tensor.h"

struct nrw_kernels; /* kernels/kernels.h */

/* Attributes that the operator has; the importer checks types and fills nothing in: absent
 * attributes are read with their default at the point of use. */
typedef struct nrw_attr_def {
    const char *name;
    nrw_attr_type type;
    bool required;
} nrw_attr_def;

/* Shape rule.
 * ------------------------------------------------------------------------------------------ */

/* in[i] is what is known of input i (NULL: left out); data[i] is its value where that is known (a
 * constant, or, at run time, the tensor itself), else NULL. out[] come in as unknown; the rule sets
 * what it can tell. A rule must accept any degree of ignorance and must refuse (NRW_ERR_SHAPE) what
 * cannot be valid. It never reads data[i] of tensors that are not small parameters (axes, shapes,
 * pads, …). */
typedef struct nrw_infer {
    const nrw_node *node;
    int n_in, n_out;
    const nrw_type *const *in;
    const nrw_tensor *const *data;
    nrw_type *out;
    nrw_arena *scratch;
    nrw_error *err;
} nrw_infer;

/* Running.
 * --------------------------------------------------------------------------------------------- */

/* One run of one node. in[i] NULL: left out. out[i] has its type, dims, quant and memory set where
 * the shape rule could tell; where it could not, out[i].data is NULL and the kernel calls
 * nrw_eval_alloc. An output that nobody wants has wanted[i] false, and may or may not have memory;
 * writing it is harmless if data is not NULL. */
typedef struct nrw_eval {
    const nrw_context *context;
    const struct nrw_kernels *kernels; /* the tier's table */
    const nrw_node *node;
    int n_in, n_out;
    const nrw_tensor *const *in;
    nrw_tensor *out;
    const bool *wanted;
    nrw_pool *pool;        /* may be NULL: serial */
    nrw_arena *scratch;    /* freed after the node has run */
    nrw_rng *rng;          /* seeded by the session */
    const void *state;     /* what the plan hook left; NULL for reference kernels */
    struct nrw_host *host; /* who runs this: allocation and subgraphs */
    nrw_error *err;
} nrw_eval;

typedef nrw_status (*nrw_run_fn)(nrw_eval *e);

/* What the executor offers to kernels. */
struct nrw_host {
    /* Gives t memory for its dtype and dims (strings: cleared), valid as long as the value lives.
     */
    nrw_status (*alloc)(struct nrw_host *h, nrw_tensor *t, nrw_error *err);
    /* Bytes that live as long as the values of this run: string contents, sequence elements. NULL:
     * out of memory. */
    void *(*bytes)(struct nrw_host *h, size_t n);
    /* Runs a body: inputs by position, outputs are views that stay valid until the next run of the
     * same body; copy what must live longer (nrw_host_keep). Values of enclosing graphs are seen by
     * the body as they are now. */
    nrw_status (*run_graph)(struct nrw_host *h, const nrw_graph *g, int n_in, const nrw_tensor *in,
                            int n_out, nrw_tensor *out, nrw_error *err);
};

/* Sets out[i] to this type and allocates it. dims are copied. */
nrw_status nrw_eval_alloc(nrw_eval *e, int i, nrw_dtype dtype, int rank,
                          const int64_t *dims) NRW_MUST_CHECK;
/* A deep copy that lives as long as the values of this run. */
nrw_status nrw_host_keep(nrw_eval *e, const nrw_tensor *src, nrw_tensor *dst) NRW_MUST_CHECK;

/* Planning.
 * -------------------------------------------------------------------------------------------- */

/* Once per node when a plan is made. The hook may look at constants and annotations, pack weights
 * into the arena, and choose step->run; leaving it NULL means the default (integer kernel if the
 * annotations allow it, else reference with inputs dequantized and outputs quantized around it).
 * Shapes may still be unknown: a run function must take any. */
typedef struct nrw_plan_node {
    const nrw_context *context;
    const struct nrw_kernels *kernels;
    const nrw_node
        *node;        /* inputs[i]->data: constants; ->quant: annotations; ->type: what is known */
    nrw_arena *arena; /* lives as long as the plan */
    bool integers;    /* false: annotations are to be simulated in float (fake quantization) */
    float clamp_lo, clamp_hi; /* what a Relu or Clip behind the node will leave of output 0;
                                 infinite where there is none */
    /* A constant that an Add behind the node adds to output 0, one float for each element of its
     * last axis; NULL: there is none. */
    const nrw_tensor *addend;
    nrw_error *err;
} nrw_plan_node;

typedef struct nrw_step_choice {
    nrw_run_fn run;
    const void *state;
    bool adds;            /* run adds the addend */
    bool clamps;          /* run leaves only [clamp_lo, clamp_hi] of output 0, NaN as it is */
    bool takes_quantized; /* run wants annotated inputs and outputs as integers, not dequantized */
    const char *kernel;   /* shown in profiles: "conv_u8s8_avx512vnni" */
} nrw_step_choice;

/* Quantization.
 * ---------------------------------------------------------------------------------------- */

typedef enum nrw_quant_rule {
    NRW_QUANT_NONE = 0,   /* stays float (or is not about real numbers at all) */
    NRW_QUANT_WEIGHTED,   /* data x weights + bias: Conv, ConvTranspose, MatMul, Gemm */
    NRW_QUANT_SAME_SCALE, /* output has input 0's parameters: moves or selects values (MaxPool,
                             Reshape, Slice, …) */
    NRW_QUANT_CONCAT,     /* as SAME_SCALE over all inputs where possible, else one output scale */
    NRW_QUANT_ARITH,      /* every input its own parameters, the output its own: Add, Mul, … */
    NRW_QUANT_UNARY, /* input and output their own parameters: Sigmoid, AveragePool, Softmax, … */
    NRW_QUANT_CLAMP  /* Relu, Clip: vanish into the producer's range where they can */
} nrw_quant_rule;

typedef struct nrw_quant_spec {
    nrw_quant_rule rule;
    /* WEIGHTED: which inputs; the channel axis of the weights, -1 where it depends (see
     * weight_axis). */
    int weight_input, bias_input; /* 0: none */
    int weight_channel;
    /* The weights' output-channel axis of this node (Gemm's transB, MatMul's rank); NULL:
     * weight_channel. */
    int (*weight_axis)(const nrw_node *n, int weight_rank);
    /* Outputs whose range is known beforehand (Sigmoid, Softmax, Tanh): real [lo, hi]; lo == hi:
     * measured. */
    float fixed_lo, fixed_hi;
    bool moves_only; /* reference kernel copies elements of any type: may run on the integers as
                        they are */
} nrw_quant_spec;

typedef struct nrw_format_name {
    const char *name; /* NULL: not there */
    int code;         /* tflite: builtin operator code; onnx: first opset */
} nrw_format_name;

/* A small example for the generic suites: a model in the text form (docs/ir-text.md); inputs are
 * filled at random from the seed, within [lo, hi]. */
typedef struct nrw_case {
    const char *text;
    float lo, hi;
} nrw_case;

typedef struct nrw_op {
    const char *name;
    const char *domain; /* "" for ONNX's own */
    int min_in, max_in; /* max -1: any number */
    int min_out, max_out;
    const nrw_attr_def *attrs; /* ended by a NULL name; NULL: none */
    nrw_status (*infer)(nrw_infer *c);
    nrw_run_fn reference;
    /* Integer kernel by the numeric contract: quantized inputs and outputs as they lie in memory
     * (float outputs where the output has no annotation). Used when `integer_ok` says that these
     * annotations fit; scalar and exact. */
    nrw_run_fn integer;
    bool (*integer_ok)(const nrw_node *n);
    nrw_status (*plan)(nrw_plan_node *p, nrw_step_choice *choice);
    int64_t (*macs)(const nrw_node *n, const nrw_type *const *in,
                    const nrw_type *out); /* NULL: none to speak of */
    nrw_quant_spec quant;
    nrw_format_name onnx, tflite;
    const char *aten;
    const nrw_case *cases; /* ended by a NULL text */
    bool random;           /* different on each run: never folded */
    bool alias; /* output 0 is input 0's bytes under another shape (Reshape, Squeeze, …) */
    bool takes_sequences; /* inputs or outputs may be sequences or optionals */
} nrw_op;

/* A family file ends with its rows: NRW_OPS(conv, &conv_row, &conv_integer_row); the word `conv`
 * goes into meson.build. */
#define NRW_OPS(family, ...) const nrw_op *const nrw_ops_##family[] = {__VA_ARGS__, NULL}

/* The registry (registry.c): all rows of all families. domain "" and "ai.onnx" are the same; NULL:
 * unknown. */
const nrw_op *nrw_op_find(const char *type, const char *domain);
/* The row that has this builtin operator of TensorFlow Lite for its equal; NULL: none. */
const nrw_op *nrw_op_find_tflite(int code);
/* All rows, sorted by domain, then name; the array lies in the arena. NULL: out of memory. */
const nrw_op **nrw_op_list(nrw_arena *arena, size_t *n);

/* Runs one node once, without a session: for constant folding and tests. Outputs lie in `arena`.
 * Subgraphs (If, Loop, Scan): NRW_ERR_UNSUPPORTED. Annotations are honoured through dequantize and
 * quantize. */
nrw_status nrw_op_run(const nrw_context *c, const nrw_node *n, const nrw_tensor *const *in,
                      nrw_tensor *out, nrw_arena *arena, nrw_error *err) NRW_MUST_CHECK;
/* Runs the shape rule with the checks that every operator shares (counts of inputs and outputs). */
nrw_status nrw_op_infer(const nrw_node *n, const nrw_type *const *in, const nrw_tensor *const *data,
                        nrw_type *out, nrw_arena *scratch, nrw_error *err) NRW_MUST_CHECK;

/* Shape rules that many operators share (infer_common.c). */
nrw_status nrw_infer_same(nrw_infer *c);      /* every output like input 0 */
nrw_status nrw_infer_broadcast(nrw_infer *c); /* output 0: all inputs broadcast, dtype of input 0 */
nrw_status nrw_infer_compare(nrw_infer *c);   /* as broadcast, dtype bool */
/* Fails unless input i, if it is there, has one axis of this length; -1: not known. */
nrw_status nrw_infer_bias(nrw_infer *c, int i, int64_t channels) NRW_MUST_CHECK;

/* Fails with the rule's usual words: "input 1 (axes): …". */
#define NRW_FAIL_INPUT(e, i, what, ...) NRW_FAIL_INPUT_((e)->err, i, what, __VA_ARGS__)
#define NRW_FAIL_INPUT_(err, i, what, ...)                                                         \
    return nrw_error_prefix((err), nrw_error_set((err), NRW_ERR_SHAPE, __VA_ARGS__),               \
                            "input %d (%s)", (i), (what))

#endif
