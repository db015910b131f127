/* What stands where in a .tflite file: slots of tables and codes of enumerations (schema.fbs). */
#ifndef NRW_FORMATS_TFLITE_SCHEMA_H
#define NRW_FORMATS_TFLITE_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NRW_TFLITE_IDENTIFIER "TFL3"

enum {
    MODEL_VERSION = 0,
    MODEL_OPERATOR_CODES,
    MODEL_SUBGRAPHS,
    MODEL_DESCRIPTION,
    MODEL_BUFFERS,
    MODEL_METADATA_BUFFER, /* deprecated */
    MODEL_METADATA,
    MODEL_SIGNATURES,
    MODEL_EXTERNAL_GROUPS,
    MODEL_EXTERNAL_BUFFERS,

    CODE_OLD_BUILTIN = 0, /* int8, for codes up to 127 */
    CODE_CUSTOM,
    CODE_VERSION,
    CODE_BUILTIN,

    BUFFER_DATA = 0,
    BUFFER_OFFSET, /* of data behind the flatbuffer, from the start of the file */
    BUFFER_SIZE,

    META_NAME = 0,
    META_BUFFER,

    SIGNATURE_INPUTS = 0,
    SIGNATURE_OUTPUTS,
    SIGNATURE_KEY,
    SIGNATURE_SUBGRAPH = 4,
    MAP_NAME = 0,
    MAP_TENSOR,

    GRAPH_TENSORS = 0,
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    GRAPH_OPERATORS,
    GRAPH_NAME,

    TENSOR_SHAPE = 0,
    TENSOR_TYPE,
    TENSOR_BUFFER,
    TENSOR_NAME,
    TENSOR_QUANT,
    TENSOR_IS_VARIABLE,
    TENSOR_SPARSITY,
    TENSOR_SIGNATURE, /* the shape with -1 for lengths that are not fixed */
    TENSOR_HAS_RANK,
    TENSOR_VARIANT,
    TENSOR_EXTERNAL,

    QUANT_MIN = 0,
    QUANT_MAX,
    QUANT_SCALE,
    QUANT_ZERO,
    QUANT_DETAILS_TYPE,
    QUANT_DETAILS,
    QUANT_AXIS,
    BLOCKWISE_SCALES = 0,
    BLOCKWISE_ZEROS,
    BLOCKWISE_SIZE,

    SPARSITY_ORDER = 0,
    SPARSITY_BLOCK_MAP,
    SPARSITY_DIMS,
    DIM_FORMAT = 0,
    DIM_DENSE_SIZE,
    DIM_SEGMENTS_TYPE,
    DIM_SEGMENTS,
    DIM_INDICES_TYPE,
    DIM_INDICES,

    OP_CODE = 0,
    OP_INPUTS,
    OP_OUTPUTS,
    OP_OPTIONS_TYPE,
    OP_OPTIONS,
    OP_CUSTOM_OPTIONS,
    OP_CUSTOM_FORMAT,
    OP_MUTATING,
    OP_INTERMEDIATES,
    OP_LARGE_CUSTOM_OFFSET,
    OP_LARGE_CUSTOM_SIZE,
    OP_OPTIONS2_TYPE,
    OP_OPTIONS2
};

enum { NRW_TFLITE_CUSTOM = 32, NRW_TFLITE_LAST_OLD_BUILTIN = 127 };
enum { NRW_TFLITE_BLOCKWISE = 2 }; /* QUANT_DETAILS_TYPE */
enum { SAME = 0, VALID };
enum { ACT_NONE = 0, ACT_RELU, ACT_RELU_N1_TO_1, ACT_RELU6, ACT_TANH, ACT_SIGN_BIT };

/* One builtin operator. */
typedef struct nrw_tflite_builtin {
    int code;
    const char *name;
    int options; /* type of its options in BuiltinOptions; above 1000: in BuiltinOptions2, less
                    1000; 0: none */
    /* The fields of the options by slot, "name:kind=default …": kinds b bool, y int8, i int32, l
     * int64, f float, s text, B bytes, I list of int32, L of int64, F of
     * float; "-" is a slot that is not in use. */
    const char *fields;
} nrw_tflite_builtin;

const nrw_tflite_builtin *nrw_tflite_builtin_of(int code);            /* NULL: unknown */
const nrw_tflite_builtin *nrw_tflite_builtin_named(const char *name); /* NULL: unknown */
const nrw_tflite_builtin *nrw_tflite_builtins(size_t *n);

/* One field of fields. */
typedef struct nrw_tflite_field {
    int slot;
    char kind;
    char name[40];
    double absent;
} nrw_tflite_field;
/* Takes the next field off *fields; false at the end. *slot counts, from 0. */
bool nrw_tflite_next_field(const char **fields, int *slot, nrw_tflite_field *out);

#endif
