"""Convolutions, fully connected layers, products of matrices, tables of embeddings."""
import numpy as np

from net import ACTIVATIONS, SAME, VALID, recipe

INT8 = ("float", "int8", "uint8")
ALL = ("float", "int8", "int8_tensor", "uint8", "int16", "int16_tensor", "hybrid", "hybrid_tensor",
       "int4", "int4_tensor", "float16_weights", "int8_weights", "sparse", "sparse_float16")


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def conv(x, w, stride=1, dilation=1, padding=SAME, act="none", fixed=True, **more):
    """w: output channels, height, width, input channels of a group. fixed: the weights are."""
    def build(n):
        t = n.input(n.normal(*x))
        values = n.normal(*w, scale=0.5) * n.uniform(0.3, 2, w[0], 1, 1, 1)
        weights = n.weight(values) if fixed else n.input(values)
        bias = n.bias(n.normal(w[0]), t, weights)
        return n.op("CONV_2D", [t, weights, bias], "act", "Conv2D", padding=padding,
                    strideH=pair(stride)[0], strideW=pair(stride)[1],
                    dilationHFactor=pair(dilation)[0], dilationWFactor=pair(dilation)[1],
                    fusedActivationFunction=ACTIVATIONS[act], **more)
    return build


def conv_recipes():
    for mode in (*ALL, "int16_int4", "hybrid_int4", "sparse_int8"):
        yield recipe("CONV_2D", "same", conv((2, 5, 6, 4), (8, 3, 3, 4)), mode)
        yield recipe("CONV_2D", "valid_relu", conv((1, 6, 5, 3), (5, 2, 3, 3), padding=VALID,
                                                   act="relu"), mode)
    yield recipe("CONV_2D", "same", conv((2, 5, 6, 4), (8, 3, 3, 4), quantizedBiasType=2),
                 "int16_bias32")
    for mode in INT8:
        for act in ("relu6", "relu_n1_to_1"):
            yield recipe("CONV_2D", act, conv((1, 4, 5, 3), (6, 3, 3, 3), act=act), mode)
        for label, build in {
            "stride2_even": conv((1, 6, 8, 3), (5, 3, 3, 3), stride=2),
            "stride2_odd": conv((1, 7, 5, 3), (5, 3, 3, 3), stride=2),
            "stride23": conv((1, 9, 11, 2), (3, 2, 3, 2), stride=(2, 3)),
            "stride3_valid": conv((1, 10, 9, 2), (3, 3, 2, 2), stride=(3, 2), padding=VALID),
            "dilated": conv((1, 9, 10, 2), (4, 3, 3, 2), dilation=(2, 3)),
            "dilated_valid": conv((1, 9, 10, 2), (4, 3, 3, 2), dilation=2, padding=VALID),
            "dilated_stride": conv((1, 11, 10, 2), (4, 3, 2, 2), dilation=2, stride=2),
            "pointwise": conv((2, 3, 4, 5), (7, 1, 1, 5)),
            "pointwise_stride2": conv((1, 5, 6, 8), (4, 1, 1, 8), stride=2),
            "whole": conv((1, 4, 5, 3), (6, 4, 5, 3), padding=VALID),
            "large_filter": conv((1, 3, 4, 2), (3, 5, 5, 2)),
            "even_filter": conv((1, 5, 6, 3), (4, 4, 2, 3)),
            "one_channel": conv((1, 6, 6, 1), (1, 3, 3, 1)),
            "row": conv((1, 1, 9, 3), (4, 1, 5, 3)),
            "many": conv((1, 3, 3, 67), (33, 3, 3, 67)),
        }.items():
            yield recipe("CONV_2D", label, build, mode)
    for mode in ("float", "int8", "int16"):
        yield recipe("CONV_2D", "grouped", conv((1, 5, 4, 6), (4, 3, 3, 3)), mode)
        yield recipe("CONV_2D", "grouped_deep", conv((1, 4, 4, 4), (8, 2, 2, 1)), mode)
    for mode in ("int16", "hybrid", "int4"):
        yield recipe("CONV_2D", "dilated", conv((1, 9, 10, 2), (4, 3, 3, 2), dilation=(2, 3)), mode)
        yield recipe("CONV_2D", "stride2", conv((1, 7, 6, 3), (5, 3, 3, 3), stride=2), mode)
    yield recipe("CONV_2D", "weights_input", conv((1, 4, 4, 3), (5, 3, 3, 3), fixed=False))


def depthwise(x, size, times=1, stride=1, dilation=1, padding=SAME, act="none"):
    def build(n):
        channels = x[3] * times
        t = n.input(n.normal(*x))
        weights = n.weight(n.normal(1, *size, channels) * n.uniform(0.3, 2, channels), axis=3)
        bias = n.bias(n.normal(channels), t, weights)
        return n.op("DEPTHWISE_CONV_2D", [t, weights, bias], "act", "DepthwiseConv2D",
                    padding=padding, strideH=pair(stride)[0], strideW=pair(stride)[1],
                    depthMultiplier=times,
                    dilationHFactor=pair(dilation)[0], dilationWFactor=pair(dilation)[1],
                    fusedActivationFunction=ACTIVATIONS[act])
    return build


def depthwise_recipes():
    name = "DEPTHWISE_CONV_2D"
    # Left out: hybrid_tensor and int16_int4, which LiteRT's kernels take for something else; no
    # bias, which makes it crash; hybrid_int4, which it refuses.
    for mode in (*ALL, "sparse_int8"):
        if mode == "hybrid_tensor":
            continue
        yield recipe(name, "same", depthwise((2, 5, 6, 4), (3, 3)), mode)
        yield recipe(name, "times2_relu6", depthwise((1, 4, 5, 3), (3, 2), times=2, act="relu6"),
                     mode)
    for mode in INT8:
        for label, build in {
            "stride2_even": depthwise((1, 6, 8, 5), (3, 3), stride=2),
            "stride2_odd_valid": depthwise((1, 7, 5, 5), (3, 3), stride=2, padding=VALID),
            "five": depthwise((1, 7, 6, 16), (5, 5), act="relu"),
            "dilated": depthwise((1, 9, 10, 3), (3, 3), dilation=2),
            "dilated_valid": depthwise((1, 9, 10, 3), (3, 3), dilation=(2, 3), padding=VALID),
            "one_to_many": depthwise((1, 5, 5, 1), (3, 3), times=8),
            "times3_stride2": depthwise((1, 6, 6, 4), (2, 3), times=3, stride=2),
            "relu_n1_to_1": depthwise((1, 4, 4, 6), (3, 3), act="relu_n1_to_1"),
            "large_filter": depthwise((1, 3, 4, 2), (5, 7)),
            "many": depthwise((1, 4, 4, 37), (3, 3)),
            "row": depthwise((1, 1, 9, 4), (1, 4), stride=(1, 1)),
        }.items():
            yield recipe(name, label, build, mode)
    for mode in ("int16", "hybrid"):
        yield recipe(name, "stride2", depthwise((1, 6, 8, 5), (3, 3), stride=2), mode)
        yield recipe(name, "dilated", depthwise((1, 9, 10, 3), (3, 3), dilation=2), mode)


def transpose_conv(x, w, size, stride=1, padding=SAME, act="none", bias=True, told="const", **more):
    """w: output channels, height, width, input channels; size: height and width of the output."""
    def build(n):
        shape = np.array([x[0], *size, w[0]], np.int32)
        t = n.input(n.normal(*x))
        wanted = n.const(shape) if told == "const" else n.input(shape)
        weights = n.weight(n.normal(*w) * n.uniform(0.3, 2, w[0], 1, 1, 1))
        inputs = [wanted, weights, t]
        if bias:
            inputs.append(n.bias(n.normal(w[0]), t, weights))
        return n.op("TRANSPOSE_CONV", inputs, "act", "TransposeConv", padding=padding,
                    strideH=pair(stride)[0], strideW=pair(stride)[1],
                    fusedActivationFunction=ACTIVATIONS[act],
                    version=4 if act != "none" else 3 if bias else 2, **more)
    return build


def transpose_conv_recipes():
    name = "TRANSPOSE_CONV"
    for mode in ("float", "int8", "int8_tensor", "uint8", "int16", "hybrid", "hybrid_tensor",
                 "float16_weights", "int8_weights", "sparse", "sparse_int8"):
        yield recipe(name, "same_stride2", transpose_conv((1, 3, 4, 3), (5, 3, 3, 3), (6, 8),
                                                          stride=2), mode)
        yield recipe(name, "valid", transpose_conv((2, 3, 2, 4), (3, 2, 3, 4), (4, 4),
                                                   padding=VALID), mode)
    for mode in INT8:
        for label, build in {
            "same_stride2_odd": transpose_conv((1, 3, 4, 3), (2, 3, 3, 3), (5, 7), stride=2),
            "valid_stride2": transpose_conv((1, 3, 4, 2), (4, 3, 3, 2), (7, 9), stride=2,
                                            padding=VALID),
            "valid_stride23": transpose_conv((1, 2, 3, 2), (4, 2, 4, 2), (4, 10), stride=(2, 3),
                                             padding=VALID),
            "valid_larger": transpose_conv((1, 3, 3, 2), (4, 2, 2, 2), (7, 7), stride=2,
                                           padding=VALID),
            "gap": transpose_conv((1, 3, 3, 2), (4, 2, 2, 2), (8, 8), stride=3, padding=VALID),
            "same_stride1": transpose_conv((1, 4, 5, 3), (2, 3, 3, 3), (4, 5)),
            "even_filter": transpose_conv((1, 4, 3, 3), (2, 4, 4, 3), (8, 6), stride=2),
            "no_bias": transpose_conv((1, 3, 3, 5), (4, 3, 3, 5), (6, 6), stride=2, bias=False),
            "relu": transpose_conv((1, 3, 3, 3), (4, 3, 3, 3), (6, 6), stride=2, act="relu"),
            "relu6": transpose_conv((1, 3, 3, 3), (4, 3, 3, 3), (6, 6), stride=2, act="relu6"),
            "shape_input": transpose_conv((1, 3, 3, 3), (4, 3, 3, 3), (6, 6), stride=2,
                                          told="input"),
        }.items():
            yield recipe(name, label, build, mode)
    yield recipe(name, "no_bias", transpose_conv((1, 3, 3, 5), (4, 3, 3, 5), (6, 6), stride=2,
                                                 bias=False), "int16")
    yield recipe(name, "same", transpose_conv((1, 3, 3, 3), (4, 3, 3, 3), (6, 6), stride=2,
                                              quantizedBiasType=2), "int16_bias32")


def dense(x, units, act="none", bias=True, keep=False, layout=None, fixed=True, **more):
    def build(n):
        t = n.input(n.normal(*x))
        values = n.normal(units, more.get("depth", x[-1])) * n.uniform(0.3, 2, units, 1)
        weights = n.weight(values, layout=layout) if fixed else n.input(values)
        fields = {key: value for key, value in more.items() if key != "depth"}
        inputs = [t, weights, n.bias(n.normal(units), t, weights) if bias else None]
        return n.op("FULLY_CONNECTED", inputs[:2 if bias == "absent" else 3], "act",
                    "FullyConnected", fusedActivationFunction=ACTIVATIONS[act], keepNumDims=keep,
                    **fields)
    return build


def dense_recipes():
    name = "FULLY_CONNECTED"
    for mode in (*ALL, "int16_int4", "hybrid_int4", "hybrid_int4_tensor", "int2", "hybrid_int2",
                 "int4_weights"):
        yield recipe(name, "plain", dense((3, 12), 7), mode)
        yield recipe(name, "keep_relu", dense((2, 3, 8), 5, keep=True, act="relu"), mode)
    for mode in INT8:
        for label, build in {
            "flattened": dense((2, 3, 10), 4),
            "flattened_more": dense((2, 2, 3, 5), 4, depth=30),
            "keep4": dense((2, 1, 3, 5), 4, keep=True),
            "vector": dense((1, 33), 17),
            "no_bias": dense((4, 9), 6, bias=False),
            "many": dense((5, 131), 67),
            "relu6": dense((3, 12), 7, act="relu6"),
            "relu_n1_to_1": dense((3, 12), 7, act="relu_n1_to_1"),
            "one": dense((1, 1), 1),
        }.items():
            yield recipe(name, label, build, mode)
    for mode in ("float", "int8_tensor"):
        yield recipe(name, "weights_input", dense((3, 12), 7, fixed=False, bias=False), mode)
    for shape, depth in (((12,), 12), ((3, 4), 12), ((2, 3, 4), 4)):
        yield recipe(name, f"rank{len(shape)}_depth{depth}", dense(shape, 5, depth=depth))
    for mode in ("hybrid", "hybrid_tensor", "hybrid_int4"):
        yield recipe(name, "asymmetric", dense((3, 16), 7, asymmetricQuantizeInputs=True), mode)
    for mode in ("int16", "hybrid", "hybrid_int4", "int4", "float16_weights"):
        yield recipe(name, "no_bias", dense((4, 9), 6, bias=False), mode)
    yield recipe(name, "plain", dense((3, 12), 7, quantizedBiasType=2), "int16_bias32")
    yield recipe(name, "odd_depth", dense((3, 13), 7), "int4")
    yield recipe(name, "odd_depth", dense((3, 13), 7), "hybrid_int4")
    # Sparse weights without DENSIFY: XNNPACK takes them for dense ones and reads past their end.
    yield recipe(name, "rows", dense((3, 12), 8), "csr", xnnpack=False)
    yield recipe(name, "blocks4", dense((3, 12), 8, layout={"blocks": [(1, 4)]}), "csr",
                 xnnpack=False)
    for mode in ("csr_int8", "csr_hybrid"):
        yield recipe(name, "blocks16", dense((3, 48), 8, layout={"blocks": [(1, 16)]}), mode,
                     xnnpack=False)


    for depth, size in ((32, 32), (96, 32), (128, 64)):
        yield recipe(name, f"blocks{size}_depth{depth}", blockwise(depth, size), "hybrid_int4")
    # ... and it does not take what DENSIFY makes of integers.
    for mode in ("sparse_int8", "sparse_int8_tensor"):
        yield recipe(name, "plain", dense((3, 12), 7), mode, xnnpack=False)


def blockwise(depth, size):
    def build(n):
        x = n.input(n.normal(3, depth))
        w = n.block_weight(n.normal(6, depth), size)
        return n.op("FULLY_CONNECTED", [x, w, n.const(n.normal(6))], "float32", "FullyConnected",
                    version=12)
    return build


def densified(shape, layout):
    def build(n):
        t = n.input(n.normal(*shape))
        return n.op("ADD", [t, n.weight(n.normal(*shape), layout=layout)], "act", "Add")
    return build


def densify_recipes():
    for mode in ("sparse", "sparse_float16", "sparse_int8_tensor"):
        for label, layout in {
            "blocks4": {"blocks": [(1, 4)]},
            "blocks4x2": {"blocks": [(0, 4), (1, 2)]},
            "blocks_by_column": {"blocks": [(0, 4)], "order": [1, 0, 2], "formats": "dsd"},
            "columns": {"order": [1, 0], "formats": "ds"},
            "dense": {"formats": "dd"},
            "both": {"formats": "ss"},
            "uint8": {"indices": "uint8"},
            "uint16": {"indices": "uint16", "blocks": [(1, 2)]},
        }.items():
            yield recipe("DENSIFY", label, densified((8, 12), layout), mode)
        for label, shape, layout in (
                ("rank1", (9,), {"formats": "s"}),
                ("rank3", (2, 4, 6), {"order": [2, 0, 1], "formats": "sds"}),
                ("rank4_blocks", (2, 4, 3, 4), {"blocks": [(1, 2), (3, 4)],
                                                "formats": "ddssdd"})):
            yield recipe("DENSIFY", label, densified(shape, layout), mode)


def matmul(x, y, adj_x=False, adj_y=False, second="input", **more):
    def build(n):
        a = n.input(n.normal(*x))
        make = {"input": n.input, "constant": n.constant,
                "weight": lambda v: n.weight(v, axis=len(y) - (2 if adj_y else 1))}[second]
        return n.op("BATCH_MATMUL", [a, make(n.normal(*y))], "act", "BatchMatMul", adjX=adj_x,
                    adjY=adj_y, **more)
    return build


def matmul_recipes():
    name = "BATCH_MATMUL"
    for mode in ("float", "int8", "int16"):
        for label, build in {
            "plain": matmul((2, 3, 4), (2, 4, 5)),
            "adj_x": matmul((2, 4, 3), (2, 4, 5), adj_x=True),
            "adj_y": matmul((2, 3, 4), (2, 5, 4), adj_y=True),
            "adj_both": matmul((2, 4, 3), (2, 5, 4), True, True),
            "matrices": matmul((3, 4), (4, 5)),
            "broadcast": matmul((2, 1, 3, 4), (3, 4, 5)),
            "broadcast_first": matmul((3, 4), (2, 2, 4, 5)),
            "constant": matmul((2, 3, 4), (2, 4, 5), second="constant"),
            "constant_adj_y": matmul((2, 3, 4), (5, 4), adj_y=True, second="constant"),
            "row": matmul((1, 1, 19), (1, 19, 23)),
            "rank5": matmul((2, 1, 2, 3, 4), (2, 1, 4, 5)),
        }.items():
            yield recipe(name, label, build, mode)
    for mode in ("hybrid", "hybrid_tensor", "int8_tensor"):
        yield recipe(name, "weight", matmul((2, 3, 8), (8, 5), second="weight"), mode)
        yield recipe(name, "weight_adj_y", matmul((2, 3, 8), (5, 8), adj_y=True, second="weight"),
                     mode)
    for mode in ("hybrid", "hybrid_tensor"):
        yield recipe(name, "weight_asymmetric", matmul((2, 3, 8), (2, 8, 5), second="weight",
                                                       asymmetricQuantizeInputs=True), mode)


def embedding(table, ids):
    def build(n):
        lookup = n.input(n.integers(0, table[0] - 1, ids))
        values = n.weight(n.normal(*table))
        # With integer activations the rows come out as they are.
        out = "same" if n.mode.activation == "int8" else "float32"
        if out == "same":
            shape = [*ids, *table[1:]]
            made = n.tensor(shape, "int8", values.scale, 0)
            return n.emit("EMBEDDING_LOOKUP", [lookup, values], [made])[0]
        return n.op("EMBEDDING_LOOKUP", [lookup, values], out,
                    version=4 if n.mode.weight == "int4" or n.mode.per_axis else 1)
    return build


def embedding_recipes():
    for mode in ("float", "hybrid", "hybrid_tensor", "hybrid_int4", "hybrid_int4_tensor",
                 "hybrid_int2"):
        yield recipe("EMBEDDING_LOOKUP", "plain", embedding((9, 8), (5,)), mode)
        yield recipe("EMBEDDING_LOOKUP", "rank3", embedding((7, 3, 4), (4,)), mode)
    yield recipe("EMBEDDING_LOOKUP", "plain", embedding((9, 8), (5,)), "int8_tensor", "exact")


def conv3d(x, w, stride=(1, 1, 1), dilation=(1, 1, 1), padding=SAME, act="none", bias=True):
    """w: depth, height, width, input channels, output channels."""
    def build(n):
        t, weights = n.input(n.normal(*x)), n.weight(n.normal(*w))
        inputs = [t, weights, n.bias(n.normal(w[4]), t, weights)]
        return n.op("CONV_3D", inputs if bias else inputs[:2], "act", "Conv3D", padding=padding,
                    strideD=stride[0], strideH=stride[1], strideW=stride[2],
                    dilationDFactor=dilation[0], dilationHFactor=dilation[1],
                    dilationWFactor=dilation[2], fusedActivationFunction=ACTIVATIONS[act])
    return build


def conv3d_transpose(x, w, size, stride=(1, 1, 1), padding=SAME, act="none", bias=True):
    """w: depth, height, width, output channels, input channels."""
    def build(n):
        t, weights = n.input(n.normal(*x)), n.weight(n.normal(*w))
        shape = n.const(np.array([x[0], *size, w[3]], np.int32))
        inputs = [shape, weights, t, n.bias(n.normal(w[3]), t, weights)]
        return n.op("CONV_3D_TRANSPOSE", inputs if bias else inputs[:3], "act", "Conv3D",
                    padding=padding, strideD=stride[0], strideH=stride[1], strideW=stride[2],
                    dilationDFactor=1, dilationHFactor=1, dilationWFactor=1,
                    fusedActivationFunction=ACTIVATIONS[act])
    return build


def conv3d_recipes():
    for label, build in {
        "same": conv3d((1, 4, 5, 6, 2), (3, 3, 3, 2, 4)),
        "valid_stride": conv3d((2, 5, 6, 7, 3), (2, 3, 2, 3, 2), (1, 2, 3), padding=VALID),
        "same_stride2": conv3d((1, 4, 5, 6, 2), (3, 3, 3, 2, 4), (2, 2, 2)),
        "dilated": conv3d((1, 5, 6, 7, 2), (2, 2, 2, 2, 3), dilation=(2, 1, 3)),
        "relu6_no_bias": conv3d((1, 3, 3, 3, 2), (2, 2, 2, 2, 3), act="relu6", bias=False),
    }.items():
        yield recipe("CONV_3D", label, build)
    for label, build in {
        "same_stride2": conv3d_transpose((1, 2, 3, 2, 2), (3, 3, 3, 4, 2), (4, 6, 4), (2, 2, 2)),
        "valid": conv3d_transpose((1, 2, 3, 2, 3), (2, 2, 3, 2, 3), (3, 4, 4), padding=VALID),
        "relu_no_bias": conv3d_transpose((1, 2, 2, 2, 2), (2, 2, 2, 3, 2), (4, 4, 4), (2, 2, 2),
                                         act="relu", bias=False),
    }.items():
        yield recipe("CONV_3D_TRANSPOSE", label, build)
    for mode in ("float16_weights", "sparse"):
        yield recipe("CONV_3D", "same", conv3d((1, 4, 5, 6, 2), (3, 3, 3, 2, 4)), mode)


def recipes():
    yield from conv_recipes()
    yield from depthwise_recipes()
    yield from transpose_conv_recipes()
    yield from dense_recipes()
    yield from densify_recipes()
    yield from matmul_recipes()
    yield from embedding_recipes()
    yield from conv3d_recipes()
