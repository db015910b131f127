/* ONNX models: https://onnx.ai/onnx/repo-docs/IR.html and onnx.proto3. Reading gives a graph at the
 * newest opset's meaning whatever opset the file was written at, with model-local functions inlined
 * and Constant nodes turned into constants. QuantizeLinear and its kin are left as nodes. */
#ifndef NRW_FORMATS_ONNX_H
#define NRW_FORMATS_ONNX_H

#include "base/context.h"
#include "base/error.h"
#include "ir/graph.h"

/* The newest opset of ONNX's own domain whose operators are known. A file of a later opset is read
 * as if it were of this one: what it adds shows up as operators that Narrow does not know. */
#define NRW_ONNX_NEWEST_OPSET 28

/* Maps the file and keeps it mapped: constants are views into it where their alignment allows.
 * Errors begin with the path and name the node. */
nrw_status nrw_onnx_load(const nrw_context *c, const char *path, nrw_model **out,
                         nrw_error *err) NRW_MUST_CHECK;
/* The bytes are copied. External data is refused: there is no folder to look in. */
nrw_status nrw_onnx_load_bytes(const nrw_context *c, const void *bytes, size_t size,
                               nrw_model **out, nrw_error *err) NRW_MUST_CHECK;

typedef struct nrw_onnx_save_options {
    int64_t opset;          /* of ONNX's own domain; 0: the lowest that says what the graph means,
                               not below 13 nor below what the model was read from */
    uint64_t external_over; /* total bytes of weights beyond which they go to "<name>.data" beside
                               the file; 0: when the file would pass protobuf's 2 GiB */
} nrw_onnx_save_options;

/* Writes the graph as it stands: values must carry no quantization annotations (lower them to
 * nodes first). options may be NULL. The file appears whole or not at all. Unused constants are
 * not written. */
nrw_status nrw_onnx_save(const nrw_model *m, const char *path, const nrw_onnx_save_options *options,
                         nrw_error *err) NRW_MUST_CHECK;

/* Single messages, as files of test data hold them (TensorProto, SequenceProto, OptionalProto,
 * TypeProto). What they give points into the arena or into the bytes, which must live as long.
 * name may be NULL. */
nrw_status nrw_onnx_read_tensor(nrw_arena *a, const void *bytes, size_t size, nrw_tensor *out,
                                nrw_string *name, nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_onnx_read_sequence(nrw_arena *a, const void *bytes, size_t size, nrw_tensor *out,
                                  nrw_string *name, nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_onnx_read_optional(nrw_arena *a, const void *bytes, size_t size, nrw_tensor *out,
                                  nrw_string *name, nrw_error *err) NRW_MUST_CHECK;
/* Symbolic dims come out as unknown. *raw: the type is one that Narrow has none for. */
nrw_status nrw_onnx_read_type(const void *bytes, size_t size, nrw_type *out, bool *raw,
                              nrw_error *err) NRW_MUST_CHECK;

#endif
