/* The parts of the writer: lower*.c turn a graph of ONNX's operators into one of TensorFlow Lite's,
 * quantize.c makes it fit what runtimes require of integers, write.c makes the bytes. */
#ifndef NRW_FORMATS_TFLITE_WRITE_H
#define NRW_FORMATS_TFLITE_WRITE_H

#include "formats/tflite/tflite.h"
#include "ir/graph.h"

/* All nodes of the main graph become nodes of the domain "tflite", or the model is refused. */
nrw_status nrw_tflite_lower(nrw_model *m, nrw_error *err) NRW_MUST_CHECK;
/* Annotations become what INT8 kernels want: equal scales where they ask for them, fixed ones where
 * they have them, integers as biases, QUANTIZE and DEQUANTIZE where integers and reals meet. */
nrw_status nrw_tflite_fit_integers(nrw_model *m, nrw_error *err) NRW_MUST_CHECK;
/* Activations right behind operators that have them for an option become that option. */
nrw_status nrw_tflite_fuse_activations(nrw_graph *g, nrw_error *err) NRW_MUST_CHECK;
/* Float constants that lose nothing in half precision are stored so. */
nrw_status nrw_tflite_store_halves(nrw_graph *g, nrw_error *err) NRW_MUST_CHECK;
/* The version of its operator that a builtin needs. */
int nrw_tflite_version(const nrw_node *n);

#endif
