/* The parts of the writer: export.c writes graphs and models, export_tensor.c tensors and their
 * files, export_version.c chooses the opset. */
#ifndef NRW_FORMATS_ONNX_EXPORT_H
#define NRW_FORMATS_ONNX_EXPORT_H

#include "formats/onnx/proto.h"

/* Constants too large for the model's own file. */
typedef struct nrw_onnx_external {
    bool wanted;
    const char *location; /* name of the data file, relative to the model's */
    const nrw_tensor **tensors;
    uint64_t *offsets;
    size_t n, cap_tensors, cap_offsets;
    uint64_t size;
} nrw_onnx_external;

typedef struct nrw_onnx_exporter {
    const nrw_model *model;
    nrw_arena scratch;
    nrw_pb_writer w;
    nrw_map constants; /* graph (the pointer's bytes) -> nrw_onnx_constants * */
    nrw_onnx_external external;
    uint64_t weight_bytes; /* of constants large enough to be external */
    int made_up;
    nrw_error *err;
} nrw_onnx_exporter;

/* The content of a TensorProto. name may be NULL; attribute tensors are never external. */
nrw_status nrw_onnx_put_tensor(nrw_onnx_exporter *x, const char *name, const nrw_tensor *t,
                               bool may_be_external) NRW_MUST_CHECK;
nrw_status nrw_onnx_write_external(const nrw_onnx_external *e, nrw_output *o,
                                   nrw_error *err) NRW_MUST_CHECK;

/* The lowest opset of ONNX's domain, not below 13, that gives every node the meaning it has in the
 * graph; *because: a node that needs it (NULL: none in particular). */
int64_t nrw_onnx_lowest_opset(const nrw_model *m, const nrw_node **because);
/* The IR version that goes with an opset (onnx/docs/Versioning.md). */
int64_t nrw_onnx_ir_version(int64_t opset);

#endif
