/* The builtin operators of TensorFlow Lite and the fields of their options (schema.fbs: the enums
 * BuiltinOperator, BuiltinOptions and BuiltinOptions2 and the tables of the latter two). */
#include <stdlib.h>
#include <string.h>

#include "formats/tflite/schema.h"

/* By code, which is also the index. */
static const nrw_tflite_builtin rows[] = {
    /* clang-format off */
    {0, "ADD", 11, "fused_activation_function:y pot_scale_int16:b=1"},
    {1, "AVERAGE_POOL_2D", 5,
     "padding:y stride_w:i stride_h:i filter_width:i filter_height:i fused_activation_function:y"},
    {2, "CONCATENATION", 10, "axis:i fused_activation_function:y"},
    {3, "CONV_2D", 1,
     "padding:y stride_w:i stride_h:i fused_activation_function:y dilation_w_factor:i=1 "
     "dilation_h_factor:i=1 quantized_bias_type:y"},
    {4, "DEPTHWISE_CONV_2D", 2,
     "padding:y stride_w:i stride_h:i depth_multiplier:i fused_activation_function:y "
     "dilation_w_factor:i=1 dilation_h_factor:i=1"},
    {5, "DEPTH_TO_SPACE", 94, "block_size:i"},
    {6, "DEQUANTIZE", 38, ""},
    {7, "EMBEDDING_LOOKUP", 0, ""},
    {8, "FLOOR", 0, ""},
    {9, "FULLY_CONNECTED", 8,
     "fused_activation_function:y weights_format:y keep_num_dims:b asymmetric_quantize_inputs:b "
     "quantized_bias_type:y quant_spec:B"},
    {10, "HASHTABLE_LOOKUP", 0, ""},
    {11, "L2_NORMALIZATION", 12, "fused_activation_function:y"},
    {12, "L2_POOL_2D", 5,
     "padding:y stride_w:i stride_h:i filter_width:i filter_height:i fused_activation_function:y"},
    {13, "LOCAL_RESPONSE_NORMALIZATION", 13, "radius:i bias:f alpha:f beta:f"},
    {14, "LOGISTIC", 0, ""},
    {15, "LSH_PROJECTION", 4, "type:y"},
    {16, "LSTM", 14,
     "fused_activation_function:y cell_clip:f proj_clip:f kernel_type:y "
     "asymmetric_quantize_inputs:b"},
    {17, "MAX_POOL_2D", 5,
     "padding:y stride_w:i stride_h:i filter_width:i filter_height:i fused_activation_function:y"},
    {18, "MUL", 21, "fused_activation_function:y"},
    {19, "RELU", 0, ""},
    {20, "RELU_N1_TO_1", 0, ""},
    {21, "RELU6", 0, ""},
    {22, "RESHAPE", 17, "new_shape:I"},
    {23, "RESIZE_BILINEAR", 15, "- - align_corners:b half_pixel_centers:b"},
    {24, "RNN", 7, "fused_activation_function:y asymmetric_quantize_inputs:b"},
    {25, "SOFTMAX", 9, "beta:f"},
    {26, "SPACE_TO_DEPTH", 19, "block_size:i"},
    {27, "SVDF", 6, "rank:i fused_activation_function:y asymmetric_quantize_inputs:b"},
    {28, "TANH", 0, ""},
    {29, "CONCAT_EMBEDDINGS", 3,
     "num_channels:i num_columns_per_channel:I embedding_dim_per_channel:I"},
    {30, "SKIP_GRAM", 18, "ngram_size:i max_skip_size:i include_all_ngrams:b"},
    {31, "CALL", 16, "subgraph:u"},
    {32, "CUSTOM", 0, ""},
    {33, "EMBEDDING_LOOKUP_SPARSE", 20, "combiner:y"},
    {34, "PAD", 22, ""},
    {35, "UNIDIRECTIONAL_SEQUENCE_RNN", 31,
     "time_major:b fused_activation_function:y asymmetric_quantize_inputs:b"},
    {36, "GATHER", 23, "axis:i batch_dims:i"},
    {37, "BATCH_TO_SPACE_ND", 24, ""},
    {38, "SPACE_TO_BATCH_ND", 25, ""},
    {39, "TRANSPOSE", 26, ""},
    {40, "MEAN", 27, "keep_dims:b"},
    {41, "SUB", 28, "fused_activation_function:y pot_scale_int16:b=1"},
    {42, "DIV", 29, "fused_activation_function:y"},
    {43, "SQUEEZE", 30, "squeeze_dims:I"},
    {44, "UNIDIRECTIONAL_SEQUENCE_LSTM", 71,
     "fused_activation_function:y cell_clip:f proj_clip:f time_major:b "
     "asymmetric_quantize_inputs:b diagonal_recurrent_tensors:b"},
    {45, "STRIDED_SLICE", 32,
     "begin_mask:i end_mask:i ellipsis_mask:i new_axis_mask:i shrink_axis_mask:i offset:b"},
    {46, "BIDIRECTIONAL_SEQUENCE_RNN", 70,
     "time_major:b fused_activation_function:y merge_outputs:b asymmetric_quantize_inputs:b"},
    {47, "EXP", 33, ""},
    {48, "TOPK_V2", 34, ""},
    {49, "SPLIT", 35, "num_splits:i"},
    {50, "LOG_SOFTMAX", 36, ""},
    {51, "DELEGATE", 0, ""},
    {52, "BIDIRECTIONAL_SEQUENCE_LSTM", 69,
     "fused_activation_function:y cell_clip:f proj_clip:f merge_outputs:b time_major:b=1 "
     "asymmetric_quantize_inputs:b"},
    {53, "CAST", 37, "in_data_type:y out_data_type:y"},
    {54, "PRELU", 0, ""},
    {55, "MAXIMUM", 39, ""},
    {56, "ARG_MAX", 40, "output_type:y"},
    {57, "MINIMUM", 39, ""},
    {58, "LESS", 41, ""},
    {59, "NEG", 42, ""},
    {60, "PADV2", 43, ""},
    {61, "GREATER", 44, ""},
    {62, "GREATER_EQUAL", 45, ""},
    {63, "LESS_EQUAL", 46, ""},
    {64, "SELECT", 47, ""},
    {65, "SLICE", 48, ""},
    {66, "SIN", 0, ""},
    {67, "TRANSPOSE_CONV", 49,
     "padding:y stride_w:i stride_h:i fused_activation_function:y quantized_bias_type:y"},
    {68, "SPARSE_TO_DENSE", 50, "validate_indices:b"},
    {69, "TILE", 51, ""},
    {70, "EXPAND_DIMS", 52, ""},
    {71, "EQUAL", 53, ""},
    {72, "NOT_EQUAL", 54, ""},
    {73, "LOG", 0, ""},
    {74, "SUM", 27, "keep_dims:b"},
    {75, "SQRT", 0, ""},
    {76, "RSQRT", 0, ""},
    {77, "SHAPE", 55, "out_type:y"},
    {78, "POW", 56, ""},
    {79, "ARG_MIN", 57, "output_type:y"},
    {80, "FAKE_QUANT", 58, "min:f max:f num_bits:i narrow_range:b"},
    {81, "REDUCE_PROD", 27, "keep_dims:b"},
    {82, "REDUCE_MAX", 27, "keep_dims:b"},
    {83, "PACK", 59, "values_count:i axis:i"},
    {84, "LOGICAL_OR", 60, ""},
    {85, "ONE_HOT", 61, "axis:i"},
    {86, "LOGICAL_AND", 62, ""},
    {87, "LOGICAL_NOT", 63, ""},
    {88, "UNPACK", 64, "num:i axis:i"},
    {89, "REDUCE_MIN", 27, "keep_dims:b"},
    {90, "FLOOR_DIV", 65, ""},
    {91, "REDUCE_ANY", 27, "keep_dims:b"},
    {92, "SQUARE", 66, ""},
    {93, "ZEROS_LIKE", 67, ""},
    {94, "FILL", 68, ""},
    {95, "FLOOR_MOD", 72, ""},
    {96, "RANGE", 73, ""},
    {97, "RESIZE_NEAREST_NEIGHBOR", 74, "align_corners:b half_pixel_centers:b"},
    {98, "LEAKY_RELU", 75, "alpha:f"},
    {99, "SQUARED_DIFFERENCE", 76, ""},
    {100, "MIRROR_PAD", 77, "mode:y"},
    {101, "ABS", 78, ""},
    {102, "SPLIT_V", 79, "num_splits:i"},
    {103, "UNIQUE", 80, "idx_out_type:y=2"},
    {104, "CEIL", 0, ""},
    {105, "REVERSE_V2", 81, ""},
    {106, "ADD_N", 82, ""},
    {107, "GATHER_ND", 83, ""},
    {108, "COS", 84, ""},
    {109, "WHERE", 85, ""},
    {110, "RANK", 86, ""},
    {111, "ELU", 0, ""},
    {112, "REVERSE_SEQUENCE", 87, "seq_dim:i batch_dim:i"},
    {113, "MATRIX_DIAG", 88, ""},
    {114, "QUANTIZE", 89, ""},
    {115, "MATRIX_SET_DIAG", 90, ""},
    {116, "ROUND", 0, ""},
    {117, "HARD_SWISH", 91, ""},
    {118, "IF", 92, "then_subgraph_index:i else_subgraph_index:i"},
    {119, "WHILE", 93, "cond_subgraph_index:i body_subgraph_index:i"},
    {120, "NON_MAX_SUPPRESSION_V4", 95, ""},
    {121, "NON_MAX_SUPPRESSION_V5", 96, ""},
    {122, "SCATTER_ND", 97, ""},
    {123, "SELECT_V2", 98, ""},
    {124, "DENSIFY", 99, ""},
    {125, "SEGMENT_SUM", 100, ""},
    {126, "BATCH_MATMUL", 101, "adj_x:b adj_y:b asymmetric_quantize_inputs:b"},
    {127, "PLACEHOLDER_FOR_GREATER_OP_CODES", 0, ""},
    {128, "CUMSUM", 102, "exclusive:b reverse:b"},
    {129, "CALL_ONCE", 103, "init_subgraph_index:i"},
    {130, "BROADCAST_TO", 104, ""},
    {131, "RFFT2D", 105, ""},
    {132, "CONV_3D", 106,
     "padding:y stride_d:i stride_w:i stride_h:i fused_activation_function:y "
     "dilation_d_factor:i=1 dilation_w_factor:i=1 dilation_h_factor:i=1"},
    {133, "IMAG", 0, ""},
    {134, "REAL", 0, ""},
    {135, "COMPLEX_ABS", 0, ""},
    {136, "HASHTABLE", 107, "table_id:i key_dtype:y value_dtype:y"},
    {137, "HASHTABLE_FIND", 108, ""},
    {138, "HASHTABLE_IMPORT", 109, ""},
    {139, "HASHTABLE_SIZE", 110, ""},
    {140, "REDUCE_ALL", 27, "keep_dims:b"},
    {141, "CONV_3D_TRANSPOSE", 106,
     "padding:y stride_d:i stride_w:i stride_h:i fused_activation_function:y "
     "dilation_d_factor:i=1 dilation_w_factor:i=1 dilation_h_factor:i=1"},
    {142, "VAR_HANDLE", 111, "container:s shared_name:s"},
    {143, "READ_VARIABLE", 112, ""},
    {144, "ASSIGN_VARIABLE", 113, ""},
    {145, "BROADCAST_ARGS", 0, ""},
    {146, "RANDOM_STANDARD_NORMAL", 114, "seed:l seed2:l"},
    {147, "BUCKETIZE", 115, "boundaries:F"},
    {148, "RANDOM_UNIFORM", 114, "seed:l seed2:l"},
    {149, "MULTINOMIAL", 114, "seed:l seed2:l"},
    {150, "GELU", 116, "approximate:b"},
    {151, "DYNAMIC_UPDATE_SLICE", 117, ""},
    {152, "RELU_0_TO_1", 0, ""},
    {153, "UNSORTED_SEGMENT_PROD", 118, ""},
    {154, "UNSORTED_SEGMENT_MAX", 119, ""},
    {155, "UNSORTED_SEGMENT_SUM", 121, ""},
    {156, "ATAN2", 122, ""},
    {157, "UNSORTED_SEGMENT_MIN", 120, ""},
    {158, "SIGN", 123, ""},
    {159, "BITCAST", 124, ""},
    {160, "BITWISE_XOR", 125, ""},
    {161, "RIGHT_SHIFT", 126, ""},
    {162, "STABLEHLO_LOGISTIC", 0, ""},
    {163, "STABLEHLO_ADD", 0, ""},
    {164, "STABLEHLO_DIVIDE", 0, ""},
    {165, "STABLEHLO_MULTIPLY", 0, ""},
    {166, "STABLEHLO_MAXIMUM", 0, ""},
    {167, "STABLEHLO_RESHAPE", 0, ""},
    {168, "STABLEHLO_CLAMP", 0, ""},
    {169, "STABLEHLO_CONCATENATE", 1001, "dimension:l"},
    {170, "STABLEHLO_BROADCAST_IN_DIM", 1002, "broadcast_dimensions:L"},
    {171, "STABLEHLO_CONVOLUTION", 1004,
     "window_strides:L padding:L lhs_dilation:L rhs_dilation:L window_reversal:B "
     "input_batch_dimension:l input_feature_dimension:l input_spatial_dimensions:L "
     "kernel_input_feature_dimension:l kernel_output_feature_dimension:l "
     "kernel_spatial_dimensions:L output_batch_dimension:l output_feature_dimension:l "
     "output_spatial_dimensions:L feature_group_count:l batch_group_count:l precision_config:I"},
    {172, "STABLEHLO_SLICE", 1003, "start_indices:L limit_indices:L strides:L"},
    {173, "STABLEHLO_CUSTOM_CALL", 1005,
     "call_target_name:s has_side_effect:b backend_config:s api_version:i called_computations:I "
     "custom_attributes:B"},
    {174, "STABLEHLO_REDUCE", 1006, "dimensions:L body_subgraph_index:i"},
    {175, "STABLEHLO_ABS", 0, ""},
    {176, "STABLEHLO_AND", 0, ""},
    {177, "STABLEHLO_COSINE", 0, ""},
    {178, "STABLEHLO_EXPONENTIAL", 0, ""},
    {179, "STABLEHLO_FLOOR", 0, ""},
    {180, "STABLEHLO_LOG", 0, ""},
    {181, "STABLEHLO_MINIMUM", 0, ""},
    {182, "STABLEHLO_NEGATE", 0, ""},
    {183, "STABLEHLO_OR", 0, ""},
    {184, "STABLEHLO_POWER", 0, ""},
    {185, "STABLEHLO_REMAINDER", 0, ""},
    {186, "STABLEHLO_RSQRT", 0, ""},
    {187, "STABLEHLO_SELECT", 0, ""},
    {188, "STABLEHLO_SUBTRACT", 0, ""},
    {189, "STABLEHLO_TANH", 0, ""},
    {190, "STABLEHLO_SCATTER", 1007,
     "indices_are_sorted:b update_window_dims:L inserted_window_dims:L "
     "scatter_dims_to_operand_dims:L index_vector_dim:l unique_indices:b "
     "update_computation_subgraph_index:i"},
    {191, "STABLEHLO_COMPARE", 1008, "comparison_direction:u compare_type:u"},
    {192, "STABLEHLO_CONVERT", 0, ""},
    {193, "STABLEHLO_DYNAMIC_SLICE", 1009, "slice_sizes:L"},
    {194, "STABLEHLO_DYNAMIC_UPDATE_SLICE", 0, ""},
    {195, "STABLEHLO_PAD", 1010, "edge_padding_low:L edge_padding_high:L interior_padding:L"},
    {196, "STABLEHLO_IOTA", 1011, "iota_dimension:l"},
    {197, "STABLEHLO_DOT_GENERAL", 1012,
     "lhs_batching_dimensions:L rhs_batching_dimensions:L lhs_contracting_dimensions:L "
     "rhs_contracting_dimensions:L precision_config:I"},
    {198, "STABLEHLO_REDUCE_WINDOW", 1013,
     "window_dimensions:L window_strides:L base_dilations:L window_dilations:L padding:L "
     "body_subgraph_index:i"},
    {199, "STABLEHLO_SORT", 1014, "dimension:l is_stable:b comparator_subgraph_index:i"},
    {200, "STABLEHLO_WHILE", 1015, "cond_subgraph_index:i body_subgraph_index:i"},
    {201, "STABLEHLO_GATHER", 1016,
     "offset_dims:L collapsed_slice_dims:L start_index_map:L index_vector_dim:l slice_sizes:L "
     "indices_are_sorted:b"},
    {202, "STABLEHLO_TRANSPOSE", 1017, "permutation:L"},
    {203, "DILATE", 1018, ""},
    {204, "STABLEHLO_RNG_BIT_GENERATOR", 1019, "algorithm:y"},
    {205, "REDUCE_WINDOW", 1020, "reduce_function:i"},
    {206, "STABLEHLO_COMPOSITE", 1021,
     "name:s decomposition_subgraph_index:i composite_attributes:B "
     "composite_attributes_format:y version:i"},
    {207, "STABLEHLO_SHIFT_LEFT", 1022, ""},
    {208, "STABLEHLO_CBRT", 0, ""},
    {209, "STABLEHLO_CASE", 1023, "branch_subgraph_indices:I"},
    /* clang-format on */
};

enum { n_rows = sizeof rows / sizeof *rows };

const nrw_tflite_builtin *nrw_tflite_builtins(size_t *n) {
    *n = n_rows;
    return rows;
}

const nrw_tflite_builtin *nrw_tflite_builtin_of(int code) {
    return code >= 0 && code < n_rows ? &rows[code] : NULL;
}

const nrw_tflite_builtin *nrw_tflite_builtin_named(const char *name) {
    for (int i = 0; i < n_rows; i++) {
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    }
    return NULL;
}

bool nrw_tflite_next_field(const char **fields, int *slot, nrw_tflite_field *out) {
    const char *s = *fields;
    while (*s == ' ' || *s == '-') {
        if (*s++ == '-') ++*slot;
    }
    const char *colon = strchr(s, ':');
    if (colon == NULL) return false;
    *out = (nrw_tflite_field){.slot = (*slot)++, .kind = colon[1]};
    memcpy(out->name, s, (size_t)(colon - s)); /* names are shorter than its room: see the tests */
    s = colon + 2;
    if (*s == '=') {
        char *end;
        out->absent = strtod(s + 1, &end);
        s = end;
    }
    *fields = s;
    return true;
}
