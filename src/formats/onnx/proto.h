/* Field numbers of onnx.proto3, and the readers of single messages that the importer shares. */
#ifndef NRW_FORMATS_ONNX_PROTO_H
#define NRW_FORMATS_ONNX_PROTO_H

#include "formats/onnx/onnx.h"
#include "wire/protobuf.h"

enum { /* ModelProto */
       MODEL_IR_VERSION = 1,
       MODEL_PRODUCER_NAME = 2,
       MODEL_PRODUCER_VERSION = 3,
       MODEL_DOMAIN = 4,
       MODEL_VERSION = 5,
       MODEL_DOC = 6,
       MODEL_GRAPH = 7,
       MODEL_OPSET_IMPORT = 8,
       MODEL_METADATA = 14,
       MODEL_FUNCTIONS = 25
};
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 }; /* StringStringEntryProto */
enum {                                   /* GraphProto */
       GRAPH_NODE = 1,
       GRAPH_NAME = 2,
       GRAPH_INITIALIZER = 5,
       GRAPH_INPUT = 11,
       GRAPH_OUTPUT = 12,
       GRAPH_VALUE_INFO = 13,
       GRAPH_SPARSE_INITIALIZER = 15
};
enum { /* NodeProto */
       NODE_INPUT = 1,
       NODE_OUTPUT = 2,
       NODE_NAME = 3,
       NODE_OP_TYPE = 4,
       NODE_ATTRIBUTE = 5,
       NODE_DOMAIN = 7,
       NODE_OVERLOAD = 8
};
enum { /* AttributeProto */
       ATTR_NAME = 1,
       ATTR_F = 2,
       ATTR_I = 3,
       ATTR_S = 4,
       ATTR_T = 5,
       ATTR_G = 6,
       ATTR_FLOATS = 7,
       ATTR_INTS = 8,
       ATTR_STRINGS = 9,
       ATTR_TENSORS = 10,
       ATTR_GRAPHS = 11,
       ATTR_TP = 14,
       ATTR_TYPE_PROTOS = 15,
       ATTR_TYPE = 20,
       ATTR_REF = 21,
       ATTR_SPARSE = 22,
       ATTR_SPARSES = 23
};
enum { /* AttributeProto.AttributeType */
       KIND_FLOAT = 1,
       KIND_INT,
       KIND_STRING,
       KIND_TENSOR,
       KIND_GRAPH,
       KIND_FLOATS,
       KIND_INTS,
       KIND_STRINGS,
       KIND_TENSORS,
       KIND_GRAPHS,
       KIND_SPARSE_TENSOR,
       KIND_SPARSE_TENSORS,
       KIND_TYPE_PROTO,
       KIND_TYPE_PROTOS
};
enum { /* TensorProto */
       TENSOR_DIMS = 1,
       TENSOR_DATA_TYPE = 2,
       TENSOR_SEGMENT = 3,
       TENSOR_FLOAT_DATA = 4,
       TENSOR_INT32_DATA = 5,
       TENSOR_STRING_DATA = 6,
       TENSOR_INT64_DATA = 7,
       TENSOR_NAME = 8,
       TENSOR_RAW_DATA = 9,
       TENSOR_DOUBLE_DATA = 10,
       TENSOR_UINT64_DATA = 11,
       TENSOR_EXTERNAL_DATA = 13,
       TENSOR_DATA_LOCATION = 14
};
enum { SPARSE_VALUES = 1, SPARSE_INDICES = 2, SPARSE_DIMS = 3 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2 }; /* ValueInfoProto */
enum {                                   /* TypeProto */
       TYPE_TENSOR = 1,
       TYPE_SEQUENCE = 4,
       TYPE_MAP = 5,
       TYPE_OPAQUE = 7,
       TYPE_SPARSE = 8,
       TYPE_OPTIONAL = 9
};
enum { TYPE_ELEM = 1, TYPE_SHAPE = 2 }; /* TypeProto.Tensor, .Sequence, .Optional */
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_PARAM = 2 };
enum { /* SequenceProto, OptionalProto */
       LIST_NAME = 1,
       LIST_ELEM_TYPE = 2,
       LIST_TENSORS = 3,
       LIST_SPARSE = 4,
       LIST_SEQUENCES = 5
};
enum { /* SequenceProto.DataType, OptionalProto.DataType */
       ELEM_UNDEFINED = 0,
       ELEM_TENSOR = 1,
       ELEM_SEQUENCE = 3
};
enum { /* FunctionProto */
       FUNCTION_NAME = 1,
       FUNCTION_INPUT = 4,
       FUNCTION_OUTPUT = 5,
       FUNCTION_ATTRIBUTE = 6,
       FUNCTION_NODE = 7,
       FUNCTION_OPSET_IMPORT = 9,
       FUNCTION_DOMAIN = 10,
       FUNCTION_ATTRIBUTE_PROTO = 11,
       FUNCTION_OVERLOAD = 13
};

/* Where tensors come from: what they are made in and which files their bytes may lie in. */
typedef struct nrw_onnx_source {
    nrw_arena *arena;
    nrw_arena *scratch;
    const char *path;  /* of the model; NULL: external data is refused */
    nrw_model *model;  /* keeps mapped external files */
    nrw_map externals; /* location -> nrw_mapping *, in scratch */
} nrw_onnx_source;
void nrw_onnx_source_init(nrw_onnx_source *s, nrw_arena *arena, nrw_arena *scratch);

/* r stands at the beginning of the message. name may be NULL. */
nrw_status nrw_onnx_tensor(nrw_onnx_source *s, nrw_pb r, nrw_tensor *out, nrw_string *name,
                           nrw_error *err) NRW_MUST_CHECK;
/* A SparseTensorProto, made dense. */
nrw_status nrw_onnx_sparse(nrw_onnx_source *s, nrw_pb r, nrw_tensor *out, nrw_string *name,
                           nrw_error *err) NRW_MUST_CHECK;

/* Finds the dim for a symbol; NULL: symbols become unknown dims. */
typedef struct nrw_onnx_symbols {
    nrw_model *model;
    nrw_map known; /* name -> (void *)(intptr_t)dim */
} nrw_onnx_symbols;
nrw_status nrw_onnx_type(nrw_pb r, nrw_onnx_symbols *symbols, nrw_type *out, bool *raw,
                         nrw_error *err) NRW_MUST_CHECK;

/* A terminated copy; NRW_ERR_FORMAT when the text has a zero byte inside. */
nrw_status nrw_onnx_text(nrw_arena *a, nrw_string s, const char *what, const char **out,
                         nrw_error *err) NRW_MUST_CHECK;

#endif
