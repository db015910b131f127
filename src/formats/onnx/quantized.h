/* Quantization in ONNX files: annotations to nodes before writing, nodes to annotations after
 * reading. Graph to graph; the same annotations come back. */
#ifndef NRW_FORMATS_ONNX_QUANTIZED_H
#define NRW_FORMATS_ONNX_QUANTIZED_H

#include "ir/graph.h"

/* Every annotated value becomes one QuantizeLinear and, for each consumer, a DequantizeLinear of
 * its own (what onnxruntime fuses); constants become integers with a DequantizeLinear for each
 * consumer; values measured at run time become DynamicQuantizeLinear with MatMulInteger or
 * ConvInteger. qoperator: layers become QLinearConv and QLinearMatMul where they fit these, the
 * rest as before. Afterwards no value carries an annotation. */
nrw_status nrw_onnx_lower_quantization(nrw_model *m, bool qoperator, nrw_error *err) NRW_MUST_CHECK;

/* The reverse, for files of any origin: QuantizeLinear/DequantizeLinear pairs, dequantized
 * constants, QLinear* operators and the dynamic patterns. What does not fit stays as nodes. */
nrw_status nrw_onnx_fold_quantization(nrw_model *m, nrw_error *err) NRW_MUST_CHECK;

/* Between the parts of both directions (quant_nodes.c). */

/* Scale and zero point as constants: scalars per tensor, else of the shape that axis and block
 * give to a tensor of this type. */
nrw_status nrw_onnx_params(nrw_graph *g, const nrw_quant *q, const nrw_type *of, nrw_value **scale,
                           nrw_value **zero_point, nrw_error *err) NRW_MUST_CHECK;
/* Layers with measured inputs (lower_dynamic.c, fold_dynamic.c). */
nrw_status nrw_onnx_lower_dynamic(nrw_graph *g, nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_onnx_fold_dynamic(nrw_graph *g, nrw_error *err) NRW_MUST_CHECK;
/* QLinear* operators to and from their float forms between QuantizeLinear and DequantizeLinear
 * (qoperator.c). */
nrw_status nrw_onnx_to_qoperators(nrw_graph *g, nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_onnx_from_qoperators(nrw_graph *g, nrw_error *err) NRW_MUST_CHECK;

#endif
