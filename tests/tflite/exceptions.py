"""Cases that are refused, rounded elsewhere or known to be wrong, by patterns of their names, and
why.

A pattern stands for all cases that it matches: one of them that passes is an error as well, so that
the tables say what is so."""
import fnmatch

# Operators with cases that Narrow does not list; it refuses them by name.
UNLISTED = """
    AudioSpectrogram DILATE EMBEDDING_LOOKUP_SPARSE HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT
    HASHTABLE_LOOKUP HASHTABLE_SIZE LSH_PROJECTION MULTINOMIAL Mfcc RANDOM_STANDARD_NORMAL
    RANDOM_UNIFORM REDUCE_WINDOW STABLEHLO_GATHER STABLEHLO_PAD STABLEHLO_REDUCE_WINDOW
    STABLEHLO_RNG_BIT_GENERATOR STABLEHLO_SCATTER STABLEHLO_SHIFT_LEFT aeq.hadamard_rotation
""".split()

# Refused by an operator that Narrow lists: not all that it may be asked for is there.
REFUSED = {
    "transpose_conv_shape_input*": "the size of the output comes as an input",
    "transpose_inputs": "what is an attribute in ONNX comes as an input",
    "expand_dims_inputs": "what is an attribute in ONNX comes as an input",
    "strided_slice_inputs": "masks for places that are not known",
    "reverse_v2_inputs": "what is an attribute in ONNX comes as an input",
    "space_to_batch_nd_inputs": "what is an attribute in ONNX comes as an input",
    "batch_to_space_nd_inputs": "what is an attribute in ONNX comes as an input",
    "arg_max_inputs": "what is an attribute in ONNX comes as an input",
    "arg_min_inputs": "what is an attribute in ONNX comes as an input",
    "split_inputs": "what is an attribute in ONNX comes as an input",
    "bitcast_uint8_to_int16": "ONNX's BitCast keeps the number of elements",
    "non_max_suppression_v4_inputs": "thresholds that come as inputs",
    "non_max_suppression_v5*": "suppression that lowers scores, which ONNX's does not",
}

# Not written as .tflite: what came from there as one operator is several of ONNX's, and one of them
# has no equal.
UNWRITTEN = {
    "where_*": "how many places there are depends on data",
    "unique_*": "how many values there are depends on data",
    "non_max_suppression_v4*": "how many boxes stay depends on data",
    "broadcast_to_inputs": "a shape that comes as an input",
    "broadcast_args_*": "a shape that comes as an input",
    "fill_*_int??": "a shape that comes as an input",
    "range_*_inputs": "a shape that comes as an input",
    "pad_inputs": "a shape that comes as an input",
    "mirror_pad_inputs": "a shape that comes as an input",
    "resize_nearest_neighbor_inputs": "a shape that comes as an input",
    "resize_bilinear_size_input": "a shape that comes as an input",
    "reshape_shape_input": "a shape that comes as an input",
    "slice_inputs": "a shape that comes as an input",
    "tile_inputs": "a shape that comes as an input",
    "topk_v2_inputs": "a shape that comes as an input",
    "one_hot_inputs": "a shape that comes as an input",
    "sum_inputs": "axes that come as inputs",
    "mean_inputs": "axes that come as inputs",
    "cumsum_inputs": "an axis that comes as an input",
    "graph_dynamic_sizes": "sizes of images that are not fixed",
    "scatter_nd*": "ScatterND: no rule",
    "dynamic_update_slice*": "ScatterND: no rule",
    "segment_sum*": "ScatterND: no rule",
    "unsorted_segment_*": "ScatterND: no rule",
    "sparse_to_dense_*": "ScatterND: no rule",
    "gather_batch*": "GatherND with batch axes: no rule",
    "one_hot_*int32": "OneHot of other types than float: no rule",
    "one_hot_*int64": "OneHot of other types than float: no rule",
    "one_hot_*int8": "OneHot of other types than float: no rule",
    "one_hot_*bool": "OneHot of other types than float: no rule",
    "floor_div_*int*": "Xor: no rule",
    "floor_mod": "Mod of floats: no rule",
    "floor_mod_scalar": "Mod of floats: no rule",
    "floor_mod_last": "Mod of floats: no rule",
    "floor_mod_both": "Mod of floats: no rule",
    "right_shift_*uint*": "BitShift: no rule",
    "atan2": "Atan: no rule",
    "*complex64*": "complex numbers: no rule",
    "rfft2d*": "complex numbers: no rule",
    "if_*": "If: no rule",
    "stablehlo_case_*": "If: no rule",
    "while*": "Loop: no rule",
    "lstm": "the cells' state is an output",
    "lstm_hybrid_tensor": "the cells' state is an output",
    "lstm_cifg": "the cells' state is an output",
    "lstm_cifg_hybrid_tensor": "the cells' state is an output",
    "lstm_peephole": "the cells' state is an output",
    "lstm_peephole_hybrid_tensor": "the cells' state is an output",
    "lstm_cifg_peephole": "the cells' state is an output",
    "lstm_cifg_peephole_hybrid_tensor": "the cells' state is an output",
    "lstm_asymmetric_hybrid_tensor": "the cells' state is an output",
    "*rnn*": "RNN: no rule",
}

# Not written as .onnx, which has no operator that does this.
UNWRITTEN_ONNX = {
    "*complex64*": "complex numbers",
    "rfft2d*": "complex numbers",
    "svdf*": "a state that runs keep",
    "tflite_detection_postprocess_*": "boxes chosen as this operator does",
    "*lstm*_projection*": "projections",
    "*lstm*_norm*": "normalized gates",
    "*lstm*_clip*": "projections or clipped cells",
    "*lstm*_all*": "projections and normalized gates",
    "*lstm*_int8_tensor": "gates in integers",
}

# Written as .tflite again these may be a step off, as near as LiteRT's own engines are to each
# other. That is luck, so here a case may pass as well.
ROUNDED = {
    "conv_2d_same_int16_bias32": "a bias of 64 bits goes to another kernel",
    "transpose_conv_same_int16_bias32": "a bias of 64 bits goes to another kernel",
    "transpose_conv_gap_int8": "LiteRT's own kernel takes it",
    "average_pool_2d_*uint8": "uint8 becomes int8, whose kernel rounds ties otherwise",
    "concatenation_scales_three_uint8": "uint8 becomes int8, and each input is rescaled",
    "quantize_uint8_to_int8_1.9": "uint8 becomes int8 before it is rescaled",
    "transpose_conv_*hybrid*": "weights become floats, so that activations stay floats",
    "fully_connected_*hybrid_int2": "weights become floats, so that activations stay floats",
    "fully_connected_blocks??_depth*": "weights become floats, so that activations stay floats",
    "batch_matmul_weight_asymmetric_*": "weights become floats, so that activations stay floats",
    "batch_matmul_constant_adj_y_int*": "computed in floats",
    "rsqrt_int8": "computed in floats",
    "sqrt_int8": "computed in floats",
    "div_*int*": "computed in floats",
    "squared_difference_both_int8": "computed in floats",
    "reduce_prod_*int*": "computed in floats",
    "softmax_*_int16": "computed in floats",
    "l2_normalization_rank4_uint8": "computed in floats",
    "*lstm*hybrid*": "weights become floats, so that activations stay floats",
    "lstm_basic_uint8": "a state in uint8",
    "svdf_asymmetric_hybrid_tensor": "LiteRT measures activations otherwise",
}

# What written files get wrong. Each row is to go.
BUGS_TFLITE = {
    "right_shift_*int*": "POW of float64, which LiteRT does not have",
    "graph_dynamic_batch3*": "the batch becomes 1 for good: no shape_signature is written",
}
BUGS_ONNX = {
    "*rnn_none": "ONNX Runtime takes Affine without parameters for 0",
    "*rnn_relu_n1_to_1": "ONNX Runtime takes Affine without parameters for 0",
    "dequantize_*int*": "a last step from integers to floats gets lost: the output stays integers",
}

# Valid or not, ONNX Runtime refuses the written file; Narrow runs it.
NOT_IN_ONNXRUNTIME = {
    "one_hot_scalar*": "OneHot wants at least one index axis",
    "topk_v2_inputs": "TopK wants k as a vector of one",
    "embedding_lookup_plain_hybrid_int4_tensor": "Gather takes no int4",
}


def reason(table, name):
    """Why the table excepts this case; None if it does not."""
    return next((why for pattern, why in table.items() if fnmatch.fnmatchcase(name, pattern)), None)
