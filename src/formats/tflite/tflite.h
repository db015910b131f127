/* TensorFlow Lite models (.tflite): https://github.com/tensorflow/tensorflow,
 * lite/schema/schema.fbs, schema version 3. Reading gives a graph with ONNX's meaning: images with
 * channels first, fused activations and SAME padding spelled out, and quantized tensors as
 * annotated values with the file's own integers. Operators that have no such meaning, custom ones
 * among them, stay nodes of the domain "tflite" and are written back as they were. */
#ifndef NRW_FORMATS_TFLITE_H
#define NRW_FORMATS_TFLITE_H

#include "base/context.h"
#include "base/error.h"
#include "ir/graph.h"

/* The bytes are those of a .tflite file, by its identifier. */
bool nrw_tflite_is(const void *bytes, size_t size);

/* Maps the file and keeps it mapped: constants are views into it where their alignment allows.
 * Errors begin with the path and name the operator. */
nrw_status nrw_tflite_load(const nrw_context *c, const char *path, nrw_model **out,
                           nrw_error *err) NRW_MUST_CHECK;
/* The bytes are copied. */
nrw_status nrw_tflite_load_bytes(const nrw_context *c, const void *bytes, size_t size,
                                 nrw_model **out, nrw_error *err) NRW_MUST_CHECK;

/* Operators of ONNX's that TensorFlow Lite has no equal of become several that it has, so that each
 * can be given a range. */
nrw_status nrw_tflite_prepare(nrw_model *m, nrw_error *err) NRW_MUST_CHECK;

/* Writes the model, which is used up: its graph becomes one of TensorFlow Lite's operators. Shapes
 * must be fixed but for a batch, which becomes 1. The file appears whole or not at all. */
nrw_status nrw_tflite_save(nrw_model *m, const char *path, nrw_error *err) NRW_MUST_CHECK;

/* Calls each(user, name, reads, writes) for every builtin operator that Narrow reads or writes. */
void nrw_tflite_list(void (*each)(void *user, const char *name, bool reads, bool writes),
                     void *user);

#endif
