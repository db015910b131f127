/* Which opset a graph needs. The graph has the newest meaning of every operator, so that the newest
 * opset always fits; but the lower the opset, the more runtimes take the file. The tables say since
 * when a use of an operator may be written as it is: from the operators' changelog
 * (https://onnx.ai/onnx/operators/). */
#include <string.h>

#include "formats/onnx/export.h"

enum { lowest = 13 };

/* Operators, or meanings of operators that cannot be told apart by their looks, since an opset. */
static const struct {
    int since;
    const char *ops;
} introduced[] = {
    {14, "HardSwish Trilu"},
    {15, "Bernoulli CastLike Optional OptionalGetElement OptionalHasElement"},
    {16, "RoiAlign"},
    {17, "BlackmanWindow HammingWindow HannWindow LayerNormalization MelWeightMatrix STFT "
         "SequenceMap"},
    {18, "BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CenterCropPad Col2Im Mish"},
    {19, "DeformConv"},
    {20, "AffineGrid DFT Gelu GridSample ImageDecoder RegexFullMatch StringConcat StringSplit"},
    {21, "GroupNormalization"},
    {23, "Attention RMSNormalization RotaryEmbedding"},
    {24, "Swish TensorScatter"},
    {26, "BitCast CumProd"},
    {27, "CausalConvWithState LinearAttention"},
    {28, "SwiGLU"},
};

/* Attributes; ops NULL: of any operator. */
static const struct {
    int since;
    const char *attr, *ops;
} attributes[] = {
    {14, "allowzero", "Reshape"},
    {14, "layout", "GRU LSTM RNN"},
    {14, "training_mode", "BatchNormalization"},
    {15, "start", "Shape"},
    {15, "end", "Shape"},
    {16, "reduction", "ScatterElements ScatterND"},
    {18, "num_outputs", "Split"},
    {18, "antialias", "Resize"},
    {18, "axes", "Resize"},
    {18, "keep_aspect_ratio_policy", "Resize"},
    {18, "ceil_mode", "LpPool"},
    {18, "dilations", "LpPool"},
    {18, "noop_with_empty_axes",
     "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
     "ReduceSumSquare"},
    {19, "dilations", "AveragePool"},
    {19, "saturate", "Cast CastLike QuantizeLinear"},
    {21, "block_size", "DequantizeLinear QuantizeLinear"},
    {21, "output_dtype", "QuantizeLinear"},
    {23, "output_dtype", "DequantizeLinear"},
    {23, "precision", "QuantizeLinear"},
    {24, "round_mode", "Cast CastLike"},
    {25, "left_window_size", "Attention"},
    {25, "right_window_size", "Attention"},
    {27, "stash_type", "Range"},
    {28, "mode", "SpaceToDepth"},
};

/* More inputs than `over`. */
static const struct {
    int since, over;
    const char *ops;
} inputs[] = {
    {18, 1,
     "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
     "ReduceSumSquare"},
    {18, 3, "Pad"},
    {24, 6, "Attention"},
};

/* Values of string attributes. */
static const struct {
    int since;
    const char *op, *attr, *value;
} words[] = {
    {18, "ScatterElements", "reduction", "min"},
    {18, "ScatterElements", "reduction", "max"},
    {18, "ScatterND", "reduction", "min"},
    {18, "ScatterND", "reduction", "max"},
    {19, "Resize", "coordinate_transformation_mode", "half_pixel_symmetric"},
    {19, "Pad", "mode", "wrap"},
};

#define BIT(t) (UINT64_C(1) << NRW_##t)
#define FLOAT8 (BIT(F8E4M3FN) | BIT(F8E4M3FNUZ) | BIT(F8E5M2) | BIT(F8E5M2FNUZ))
#define HALVES (BIT(F16) | BIT(BF16))
#define SMALL  (BIT(I8) | BIT(U8) | BIT(I16) | BIT(U16))
#define SIGNED (BIT(I8) | BIT(I16) | BIT(I32) | BIT(I64))
#define NARROW (FLOAT8 | BIT(F8E8M0) | BIT(F4E2M1) | BIT(I4) | BIT(U4) | BIT(I2) | BIT(U2))
#define MOVERS "Flatten Pad Squeeze Transpose Unsqueeze"
/* Element types that an operator takes since an opset; ops NULL: that anything takes. */
static const struct {
    int since;
    uint64_t types;
    const char *ops;
} types[] = {
    {14, BIT(BF16), "BatchNormalization CumSum"},
    {14, BIT(F16), "CumSum"},
    {14, SMALL, "Add Div Mul Sub"},
    {14, SIGNED, "Relu"},
    {16, BIT(BF16), "GreaterOrEqual If LeakyRelu LessOrEqual Loop PRelu Scan Where"},
    {19, FLOAT8, NULL},
    {19, HALVES, "DequantizeLinear QuantizeLinear"},
    {19, BIT(STRING), "Equal"},
    {20, HALVES | FLOAT8, "IsInf"},
    {20, BIT(BF16) | FLOAT8, "ConstantOfShape"},
    {20, FLOAT8, "IsNaN"},
    {20, BIT(BOOL), "ReduceMax ReduceMin"},
    {21, BIT(I4) | BIT(U4), NULL},
    {21, FLOAT8, MOVERS},
    {21, BIT(I16) | BIT(U16), "DequantizeLinear QuantizeLinear"},
    {21, HALVES | FLOAT8, "QLinearMatMul"},
    {22, FLOAT8, "Dropout"},
    {22, BIT(BF16),
     "Acos Acosh Asin Asinh Atan Atanh AveragePool Conv ConvTranspose Cos Cosh DeformConv Det Elu "
     "EyeLike GRU GlobalAveragePool GlobalLpPool GlobalMaxPool GridSample HardSigmoid HardSwish "
     "InstanceNormalization LSTM LpNormalization LpPool MaxPool MaxRoiPool MaxUnpool Mish "
     "Multinomial NegativeLogLikelihoodLoss RNN RandomNormal RandomNormalLike RandomUniform "
     "RandomUniformLike RoiAlign Round Selu Sin Sinh Softplus Softsign Tan ThresholdedRelu"},
    {23, BIT(F4E2M1), NULL},
    {24, BIT(F8E8M0), NULL},
    {24, BIT(BF16), "SplitToSequence TopK"},
    {25, BIT(I2) | BIT(U2), NULL},
    {27, HALVES, "Range"},
    {28, BIT(BF16), "Celu Compress Einsum OneHot ReverseSequence Unique"},
    {28, BIT(F16) | BIT(F64), "Celu"},
    {28, SIGNED, "BitShift"},
    {28, NARROW | BIT(BF16), "Optional OptionalGetElement OptionalHasElement"},
};

/* Is `op` a word of the list? NULL lists everything. */
static bool listed(const char *ops, const char *op) {
    size_t n = strlen(op);
    if (ops == NULL) return true;
    for (const char *at = ops; (at = strstr(at, op)) != NULL; at += n) {
        bool begins = at == ops || at[-1] == ' ';
        if (begins && (at[n] == 0 || at[n] == ' ')) return true;
    }
    return false;
}

#define RAISE(v)                                                                                   \
    if ((v) > need) need = (v)
#define LENGTH(table) (sizeof(table) / sizeof *(table))

static int types_need(const nrw_node *n) {
    int need = 0;
    uint64_t used = 0;
    bool own = n->domain[0] == 0;
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] != NULL) used |= UINT64_C(1) << n->inputs[i]->type.dtype;
    }
    for (int i = 0; i < n->n_outputs; i++) {
        if (n->outputs[i] != NULL) used |= UINT64_C(1) << n->outputs[i]->type.dtype;
    }
    for (size_t i = 0; i < LENGTH(types); i++) {
        if ((types[i].types & used) == 0 || (types[i].ops != NULL && !own)) continue;
        if (listed(types[i].ops, n->type)) RAISE(types[i].since);
    }
    return need;
}

static bool is_optional(const nrw_value *v) {
    return v != NULL &&
           (v->type.kind == NRW_OPTIONAL_TENSOR || v->type.kind == NRW_OPTIONAL_SEQUENCE);
}

/* Identity moves sequences since 14; it and bodies give optionals since 16; questions about
 * optionals may be asked of plain values since 18. */
static int kinds_need(const nrw_node *n) {
    const nrw_value *in = n->n_inputs > 0 ? n->inputs[0] : NULL;
    if (listed("OptionalGetElement OptionalHasElement", n->type)) return is_optional(in) ? 0 : 18;
    if (!listed("Identity If Loop", n->type)) return 0;
    for (int i = 0; i < n->n_outputs; i++) {
        if (is_optional(n->outputs[i])) return 16;
    }
    for (int i = 0; i < n->n_inputs; i++) {
        if (is_optional(n->inputs[i])) return 16;
    }
    return in != NULL && in->type.kind == NRW_SEQUENCE ? 14 : 0;
}

static int node_needs(const nrw_node *n) {
    int need = types_need(n);
    if (n->domain[0] != 0) return need;
    RAISE(kinds_need(n));
    for (size_t i = 0; i < LENGTH(introduced); i++) {
        if (listed(introduced[i].ops, n->type)) RAISE(introduced[i].since);
    }
    for (size_t i = 0; i < LENGTH(attributes); i++) {
        if (listed(attributes[i].ops, n->type) && nrw_node_attr(n, attributes[i].attr) != NULL) {
            RAISE(attributes[i].since);
        }
    }
    for (size_t i = 0; i < LENGTH(inputs); i++) {
        if (n->n_inputs > inputs[i].over && listed(inputs[i].ops, n->type)) RAISE(inputs[i].since);
    }
    for (size_t i = 0; i < LENGTH(words); i++) {
        if (strcmp(words[i].op, n->type) == 0 &&
            strcmp(nrw_attr_str(n, words[i].attr, ""), words[i].value) == 0) {
            RAISE(words[i].since);
        }
    }
    return need;
}

static void graph_needs(const nrw_graph *g, int64_t *need, const nrw_node **because) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        int64_t v = node_needs(n);
        if (v > *need) {
            *need = v;
            *because = n;
        }
        for (int i = 0; i < n->n_attrs; i++) {
            const nrw_attr *a = &n->attrs[i];
            if (a->type == NRW_ATTR_GRAPH) graph_needs(a->graph, need, because);
            for (int64_t k = 0; a->type == NRW_ATTR_GRAPHS && k < a->n; k++) {
                graph_needs(a->graphs[k], need, because);
            }
        }
    }
}

int64_t nrw_onnx_lowest_opset(const nrw_model *m, const nrw_node **because) {
    int64_t need = lowest;
    *because = NULL;
    graph_needs(m->graph, &need, because);
    return need;
}

int64_t nrw_onnx_ir_version(int64_t opset) {
    static const struct {
        int opset, ir;
    } releases[] = {{28, 14}, {25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}, {15, 8}};
    for (size_t i = 0; i < LENGTH(releases); i++) {
        if (opset >= releases[i].opset) return releases[i].ir;
    }
    return 7;
}
