"""Operators that move, pick, repeat and count elements. Nearly all are exact."""
import numpy as np

from net import recipe, tag

QUANT = ("int8", "uint8", "int16")
PLAIN = ("int32", "int64", "bool")


def i32(*values):
    return np.array(values, np.int32)


def data(n, shape, dtype="float32"):
    if dtype == "float32":
        return n.normal(*shape)
    if dtype == "complex64":
        return (n.normal(*shape) + 1j * n.normal(*shape)).astype(dtype)
    if dtype.startswith("float"):
        return n.normal(*shape).astype(dtype)
    if dtype == "bool":
        return n.rng.random(shape) < 0.5
    return n.integers(0 if dtype.startswith("u") else -100, 100, shape, dtype)


def each(op, label, shape, add, dtypes=(), modes=(), first=True):
    """One case in float32, one per further type and quantized mode; add(net, x) adds the operator.
    first: with the float32 one."""
    for dtype in (("float32",) if first else ()) + tuple(dtypes):
        name = tag(label, dtype) if dtype != "float32" else label
        yield recipe(op, name, lambda n, d=dtype: add(n, n.input(data(n, shape, d))), kind="exact")
    for mode in modes:
        yield recipe(op, label,
                     lambda n: add(n, n.input(n.normal(*shape))), mode, "exact")


def one(op, *more, options=None, **fields):
    """Adds op with constants behind x; its output is like x."""
    return lambda n, x: n.op(op, [x, *(n.const(v) for v in more)], "same", options, **fields)


def asked_recipes():
    """What is a constant elsewhere comes as an input: shapes are known when it runs."""
    for op, shape, more, options, fields in (
            ("TRANSPOSE", (2, 3, 4), [i32(2, 0, 1)], "Transpose", {}),
            ("EXPAND_DIMS", (2, 3), [np.int32(1)], "ExpandDims", {}),
            ("PAD", (2, 3), [np.array([[1, 2], [0, 1]], np.int32)], "Pad", {}),
            ("MIRROR_PAD", (3, 4), [np.array([[1, 2], [0, 1]], np.int32)], "MirrorPad",
             {"mode": 0}),
            ("STRIDED_SLICE", (5, 6), [i32(1, 5), i32(4, 0), i32(1, -2)], "StridedSlice", {}),
            ("TILE", (2, 3), [i32(2, 1)], "Tile", {}),
            ("BROADCAST_TO", (3, 1), [i32(2, 3, 4)], "BroadcastTo", {}),
            ("SUM", (2, 3, 4), [i32(0, 2)], "Reducer", {"keepDims": False}),
            ("MEAN", (2, 3, 4), [i32(1)], "Reducer", {"keepDims": True}),
            ("REVERSE_V2", (2, 3), [i32(1)], "ReverseV2", {}),
            ("SPACE_TO_BATCH_ND", (1, 4, 4, 2), [i32(2, 2), np.zeros((2, 2), np.int32)],
             "SpaceToBatchND", {}),
            ("BATCH_TO_SPACE_ND", (4, 2, 2, 1), [i32(2, 2), np.zeros((2, 2), np.int32)],
             "BatchToSpaceND", {}),
            ("CUMSUM", (3, 4), [np.int32(1)], "Cumsum", {"exclusive": False, "reverse": False}),
            ("RESIZE_NEAREST_NEIGHBOR", (1, 2, 3, 2), [i32(4, 5)], "ResizeNearestNeighbor", {}),
            ("RFFT2D", (4, 8), [i32(4, 8)], "Rfft2d", {})):
        exact = op not in ("SUM", "MEAN", "CUMSUM", "RFFT2D")
        yield recipe(op, "inputs", asked(op, shape, more, options, fields),
                     kind="exact" if exact else "float")
    for op, out in (("ARG_MAX", "ArgMax"), ("ARG_MIN", "ArgMin")):
        yield recipe(op, "inputs", lambda n, o=op, t=out: n.op(
            o, [n.input(n.normal(3, 4)), n.input(np.int32(0))], "int64", t, outputType=4),
            kind="exact")
    yield recipe("TOPK_V2", "inputs", lambda n: n.op("TOPK_V2", [
        n.input(n.normal(3, 5)), n.input(np.int32(2))], ["same", "int32"], "TopKV2"), kind="exact")
    yield recipe("SPLIT", "inputs", lambda n: n.op("SPLIT", [
        n.input(np.int32(1)), n.input(n.normal(3, 4))], ["float32"] * 2, "Split", numSplits=2),
        kind="exact")
    yield recipe("ONE_HOT", "inputs", lambda n: n.op("ONE_HOT", [
        n.input(i32(1, 0, 3)), n.input(np.int32(4)), n.input(np.float32(2)),
        n.input(np.float32(-1))], "float32", "OneHot", axis=-1), kind="exact")


def asked(op, shape, more, options, fields):
    out = "complex64" if op == "RFFT2D" else "same"
    return lambda n: n.op(op, [n.input(n.normal(*shape)), *(n.input(v) for v in more)], out,
                          options, **fields)


def reshape_recipes():
    for label, shape, wanted in (("", (2, 3, 4), (4, 6)), ("infer", (2, 3, 4), (3, -1)),
                                 ("flat", (2, 3), (-1,)), ("scalar", (1, 1), ()),
                                 ("rank6", (4, 6), (1, 2, 2, 1, 3, 2))):
        some = label == ""
        yield from each("RESHAPE", label, shape, one("RESHAPE", np.array(wanted, np.int32),
                                                     options="Reshape", newShape=list(wanted)),
                        (*PLAIN, "uint8", "int16", "float16") * some, ("int8", "uint8") * some)
    yield from each("RESHAPE", "option_only", (2, 3, 4), one("RESHAPE", options="Reshape",
                                                             newShape=[6, -1]))
    yield recipe("RESHAPE", "shape_input", lambda n: n.op(
        "RESHAPE", [n.input(n.normal(3, 4)), n.input(i32(2, -1))], "same"), kind="exact")
    for label, shape, axes in (("", (1, 3, 1, 2), [0, 2]), ("negative", (2, 1, 3, 1), [-1]),
                               ("all", (1, 3, 1, 2), [])):
        yield from each("SQUEEZE", label, shape, one("SQUEEZE", options="Squeeze",
                                                     squeezeDims=axes), ("int32",), ("int8",))
    for axis in (0, 1, -1):
        yield from each("EXPAND_DIMS", f"axis{axis}", (2, 3), one(
            "EXPAND_DIMS", np.int32(axis), options="ExpandDims"), ("int32",), ("int8",))
    for label, shape, order in (("", (2, 3), (1, 0)), ("rank3", (2, 3, 4), (2, 0, 1)),
                                ("rank4", (2, 3, 4, 5), (0, 3, 1, 2)),
                                ("rank5", (2, 3, 1, 4, 2), (4, 2, 0, 3, 1)),
                                ("rank6", (2, 1, 3, 2, 2, 2), (5, 3, 1, 0, 2, 4)),
                                ("rank8", (2, 1, 2, 1, 3, 1, 2, 2), (7, 0, 4, 1, 2, 6, 5, 3)),
                                ("same", (2, 3, 4), (0, 1, 2)), ("vector", (5,), (0,)),
                                ("nhwc", (2, 3, 4, 5), (0, 2, 3, 1))):
        yield from each("TRANSPOSE", label, shape, one("TRANSPOSE", i32(*order),
                                                       options="Transpose"),
                        (*PLAIN, "uint8", "int16", "float16") if label in ("", "rank4") else (),
                        ("int8",))
    for label, shape, dtype in (("", (2, 3, 4), 2), ("int64", (2, 3), 4), ("scalar", (), 2)):
        yield recipe("SHAPE", label, lambda n, s=shape, d=dtype: n.op(
            "SHAPE", [n.input(n.normal(*s))], "int32" if d == 2 else "int64", "Shape", outType=d),
            kind="exact")
    for shape in ((), (2, 3, 4)):
        yield recipe("RANK", f"{len(shape)}", lambda n, s=shape: n.op(
            "RANK", [n.input(n.normal(*s))], "int32", "Rank"), kind="exact")
    for source, target in (("float32", "int32"), ("int32", "float32"), ("int64", "float64"),
                           ("uint8", "int16"), ("int16", "float16")):
        yield recipe("BITCAST", f"{source}_to_{target}", bitcast(source, target), kind="exact")


def bitcast(source, target):
    def build(n):
        values = data(n, (3, 2), target).view(source)
        if np.dtype(target).itemsize > np.dtype(source).itemsize:
            values = values.reshape(3, 2, -1)  # the last dimension goes
        return n.op("BITCAST", [n.input(values)], target, "Bitcast")
    return build


def pad_recipes():
    pads = {"": ((2, 3), [[1, 2], [0, 3]]),
            "image": ((1, 3, 4, 2), [[0, 0], [1, 2], [2, 1], [0, 0]]),
            "channels": ((1, 2, 2, 3), [[0, 0], [0, 0], [0, 0], [1, 2]]),
            "rank5": ((1, 2, 2, 1, 2), [[0, 1], [1, 0], [0, 2], [1, 1], [0, 0]]),
            "vector": ((4,), [[2, 3]]), "nothing": ((2, 2), [[0, 0], [0, 0]])}
    for label, (shape, pad) in pads.items():
        some = label in ("", "image")
        yield from each("PAD", label, shape, one("PAD", np.array(pad, np.int32), options="Pad"),
                        PLAIN * some, ("int8", "uint8", "int16") if some else ("int8",))
    yield from each("PAD", "int64_pads", (2, 3), one("PAD", np.array([[1, 0], [0, 2]]),
                                                     options="Pad"))
    for label in ("", "image"):
        shape, pad = pads[label]

        def add(n, x, pad=pad):
            whole = not n.is_activation(x.values) or n.mode.activation == "float32"
            value = np.array(7 if x.dtype != "bool" else True, x.dtype)
            value = n.const(value) if whole else n.constant(np.float32(0.7), x.scale, x.zero)
            return n.op("PADV2", [x, n.const(np.array(pad, np.int32)), value], "same", "PadV2")
        yield from each("PADV2", label, shape, add, ("int32", "int64"), ("int8", "uint8"))
    for mode, name in ((0, "reflect"), (1, "symmetric")):
        for label, shape, pad in (("", (3, 4), [[2, 1], [1, 3]]),
                                  ("image", (1, 3, 4, 2), [[0, 0], [1, 2], [2, 1], [0, 0]])):
            yield from each("MIRROR_PAD", f"{name}_{label}".strip("_"), shape, one(
                "MIRROR_PAD", np.array(pad, np.int32), options="MirrorPad", mode=mode),
                ("int32",), ("int8", "uint8"))


def slice_recipes():
    for label, shape, begin, size in (("", (4, 5), (1, 2), (2, 3)),
                                      ("rest", (4, 5), (1, 0), (-1, 2)),
                                      ("rank4", (2, 3, 4, 5), (0, 1, 1, 2), (2, 1, -1, 3)),
                                      ("rank5", (2, 2, 3, 2, 3), (1, 0, 1, 0, 1), (1, 2, 2, 1, 2)),
                                      ("vector", (9,), (3,), (4,))):
        yield from each("SLICE", label, shape, one("SLICE", i32(*begin), i32(*size),
                                                   options="Slice"),
                        (*PLAIN, "uint8", "int16") if label == "" else (), ("int8",))
    yield from each("SLICE", "int64_begin", (4, 5), one(
        "SLICE", np.array([1, 2]), np.array([2, -1]), options="Slice"))
    yield recipe("SLICE", "inputs", lambda n: n.op("SLICE", [
        n.input(n.normal(4, 5)), n.input(i32(1, 0)), n.input(i32(2, 4))], "same"), kind="exact")
    strided = {
        "": ((5, 6), (1, 2), (4, 6), (1, 1), {}), "strides": ((7, 9), (1, 0), (7, 9), (2, 3), {}),
        "negative": ((7, 9), (5, -1), (1, 0), (-2, -3), {}),
        "negative_ends": ((5, 6), (-4, -5), (-1, -1), (1, 1), {}),
        "begin_mask": ((5, 6), (3, 2), (5, 6), (1, 2), {"beginMask": 1}),
        "end_mask": ((5, 6), (1, 2), (0, 4), (1, 1), {"endMask": 1}),
        "both_masks_reverse": ((5, 6), (0, 0), (0, 0), (-1, 1), {"beginMask": 3, "endMask": 3}),
        "shrink": ((3, 4, 5), (1, 0, 2), (2, 4, 3), (1, 1, 1), {"shrinkAxisMask": 5}),
        "shrink_negative": ((3, 4), (-1, 0), (0, 4), (1, 1), {"shrinkAxisMask": 1}),
        "shrink_all": ((3, 4), (1, 2), (2, 3), (1, 1), {"shrinkAxisMask": 3}),
        "ellipsis": ((2, 3, 4, 5), (0, 0, 1), (0, 0, 4), (1, 1, 2), {"ellipsisMask": 2,
                                                                    "beginMask": 1, "endMask": 1}),
        "new_axis": ((3, 4), (0, 1, 0), (0, 3, 4), (1, 1, 1), {"newAxisMask": 1}),
        "new_axis_ellipsis": ((2, 3, 4), (0, 0, 1), (0, 0, 3), (1, 1, 1),
                              {"ellipsisMask": 1, "newAxisMask": 2}),
        "fewer": ((4, 3, 2), (1,), (3,), (1,), {}),
        "past_the_end": ((4, 5), (1, 0), (99, 3), (1, 1), {}),
        "empty": ((4, 5), (3, 0), (2, 5), (1, 1), {}),
        "offset": ((6, 5), (1, 2), (3, 2), (1, 1), {"offset": True}),
        "rank5": ((2, 3, 2, 3, 4), (0, 1, 0, 0, 1), (2, 3, 2, 3, 4), (1, 1, 1, 2, 2), {}),
    }
    for label, (shape, begin, end, step, fields) in strided.items():
        yield from each("STRIDED_SLICE", label, shape, one(
            "STRIDED_SLICE", i32(*begin), i32(*end), i32(*step), options="StridedSlice", **fields),
            (*PLAIN, "uint8", "int16") if label == "strides" else (),
            ("int8",) if label != "empty" else ())
    for shape, axis, count in (((4, 6), 1, 3), ((4, 6), 0, 2), ((2, 4, 3), -2, 2), ((4, 6), -1, 1)):
        yield from each("SPLIT", f"axis{axis}_{count}", shape, lambda n, x, a=axis, c=count: n.op(
            "SPLIT", [n.const(np.int32(a)), x], [like(x)] * c, "Split", numSplits=c),
            ("int32", "int16"), ("int8", "uint8"))
    for label, shape, axis, sizes in (("", (7, 3), 0, (2, 4, 1)), ("rest", (2, 9), 1, (2, -1, 3)),
                                      ("negative", (2, 3, 4), -1, (1, 3))):
        yield from each("SPLIT_V", label, shape, lambda n, x, a=axis, s=sizes: n.op(
            "SPLIT_V", [x, n.const(i32(*s)), n.const(np.int32(a))], ["same"] * len(s), "SplitV",
            numSplits=len(s)), ("int32", "int64"), ("int8",))
    for axis in (0, 1, -1):
        yield from each("UNPACK", f"axis{axis}", (3, 2, 4), lambda n, x, a=axis: n.op(
            "UNPACK", [x], ["same"] * (3, 2, 4)[a], "Unpack", num=(3, 2, 4)[a], axis=a),
            ("int32", "bool"), ("int8", "uint8"))
        yield from each("PACK", f"axis{axis}", (2, 3), lambda n, x, a=axis: n.op(
            "PACK", [x, again(n, x), again(n, x)], "same", "Pack", valuesCount=3, axis=a),
            ("int32", "int64"), ("int8", "uint8", "int16"))
    yield from each("PACK", "scalars", (), lambda n, x: n.op(
        "PACK", [x, again(n, x)], "same", "Pack", valuesCount=2, axis=0), ("int32",))


def like(x):
    """An output that has the type and scale of x, where x is not the first input."""
    return "act" if x.scale is None and x.dtype == "float32" else \
        (x.scale, x.zero) if x.scale is not None else x.dtype


def again(n, x):
    """Another input like x."""
    if x.dtype in ("int32", "int64", "bool") or x.scale is None:
        return n.input(data(n, x.values.shape, x.dtype))
    return n.input(n.normal(*x.values.shape), scale=x.scale, zero=x.zero)


def concat(shapes, axis, scales="same", act=0, constant=False):
    """scales: "same" for one scale, "own" for inputs with scales of their own."""
    def build(n):
        given = {"scale": 0.02, "zero": {"uint8": 120, "int8": -5}.get(n.aim.activation, 0)} \
            if scales == "same" else {}
        if n.aim.activation == "int16":
            given = {"scale": 0.0001} if scales == "same" else {}
        inputs = [n.input(n.normal(*s, scale=0.5 + i), **given) for i, s in enumerate(shapes)]
        if constant:
            inputs.append(n.constant(n.normal(*shapes[0]), **given))
        return n.op("CONCATENATION", inputs, "same" if scales == "same" else "act",
                    "Concatenation", axis=axis, fusedActivationFunction=act)
    return build


def concat_recipes():
    for label, shapes, axis in (("", [(2, 3), (2, 4)], 1), ("first", [(2, 3), (1, 3), (4, 3)], 0),
                                ("negative", [(2, 3, 1), (2, 3, 2)], -1), ("single", [(2, 3)], 0),
                                ("five", [(1, 2)] * 5, 0), ("rank5", [(1, 2, 1, 2, 3)] * 2, 2),
                                ("vectors", [(3,), (5,)], 0),
                                ("empty", [(0, 3), (2, 3)], 0)):
        for mode in ("float", *QUANT):
            yield recipe("CONCATENATION", label, concat(shapes, axis), mode, "exact")
    # Only uint8 may have several scales.
    for label, shapes in (("two", [(2, 3), (2, 4)]), ("three", [(2, 3), (2, 4), (2, 9)])):
        yield recipe("CONCATENATION", f"scales_{label}", concat(shapes, 1, "own"), "uint8")
    for mode in ("float", "int8"):
        yield recipe("CONCATENATION", "constant", concat([(2, 3), (2, 3)], 0, constant=True), mode,
                     "exact")
    for dtype in (*PLAIN, "int16"):
        yield from each("CONCATENATION", "plain", (2, 3), lambda n, x: n.op(
            "CONCATENATION", [x, n.input(data(n, (2, 2), x.dtype))], "same", "Concatenation",
            axis=1, fusedActivationFunction=0), (dtype,), first=False)


def image_recipes():
    blocks = (("", (2, 2), (1, 4, 6, 3), [[0, 0], [0, 0]]), ("pads", (2, 3), (2, 3, 4, 1),
                                                           [[1, 0], [1, 1]]),
              ("rank3", (3,), (1, 6, 4), [[0, 0]]))
    for label, block, shape, pad in blocks:
        yield from each("SPACE_TO_BATCH_ND", label, shape, one(
            "SPACE_TO_BATCH_ND", i32(*block), np.array(pad, np.int32), options="SpaceToBatchND"),
            ("int32", "int64"), ("int8", "uint8"))
    for label, block, shape, crop in (("", (2, 2), (4, 2, 3, 3), [[0, 0], [0, 0]]),
                                      ("crops", (2, 3), (12, 2, 2, 1), [[1, 0], [1, 2]]),
                                      ("rank3", (3,), (6, 2, 4), [[1, 0]])):
        yield from each("BATCH_TO_SPACE_ND", label, shape, one(
            "BATCH_TO_SPACE_ND", i32(*block), np.array(crop, np.int32), options="BatchToSpaceND"),
            ("int32", "int64"), ("int8", "uint8"))
    for size in (2, 3):
        yield from each("SPACE_TO_DEPTH", f"{size}", (2, 6, 6, 2), one(
            "SPACE_TO_DEPTH", options="SpaceToDepth", blockSize=size), ("int32", "int64"),
            ("int8", "uint8"))
        yield from each("DEPTH_TO_SPACE", f"{size}", (1, 2, 3, 2 * size * size), one(
            "DEPTH_TO_SPACE", options="DepthToSpace", blockSize=size), ("int32", "int64"),
            ("int8", "uint8"))
    sizes = {"up": ((1, 3, 4, 2), (7, 9)), "down": ((2, 6, 7, 3), (4, 3)),
             "double": ((1, 3, 4, 5), (6, 8)), "same": ((1, 3, 3, 2), (3, 3)),
             "one": ((1, 3, 4, 2), (1, 1)),
             "from_one": ((1, 1, 1, 3), (3, 2)), "half": ((1, 6, 8, 3), (3, 4))}
    for op, options, kind in (("RESIZE_BILINEAR", "ResizeBilinear", None),
                              ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor", "exact")):
        for label, (shape, size) in sizes.items():
            for way, fields in (("", {}), ("corners", {"alignCorners": True}),
                                ("half_pixel", {"halfPixelCenters": True})):
                # In int16, places between pixels have ten bits: only halves are near the truth.
                modes = ("float", "int8", *("uint8",) * (label in ("up", "down")),
                         *("int16",) * (label in ("double", "half") and way != "corners"))
                for mode in modes:
                    yield recipe(op, f"{label}_{way}".strip("_"), resize(
                        op, options, shape, size, fields), mode, kind)
    yield recipe("RESIZE_BILINEAR", "size_input", lambda n: n.op("RESIZE_BILINEAR", [
        n.input(n.normal(1, 3, 4, 2)), n.input(i32(5, 6))], "same", "ResizeBilinear"))


def resize(op, options, shape, size, fields):
    return lambda n: n.op(op, [n.input(n.normal(*shape)), n.const(i32(*size))], "same", options,
                          **fields)


def gather(shape, indices, axis, batch=0, dtype="float32", index="int32"):
    def build(n):
        x = n.input(data(n, shape, dtype))
        picked = n.input(n.integers(0, shape[axis] - 1, indices, index))
        return n.op("GATHER", [x, picked], "same", "Gather", axis=axis, batchDims=batch)
    return build


def gather_recipes():
    for label, args in {
        "": ((5, 3), (4,), 0), "axis1": ((2, 5, 3), (4,), 1), "negative": ((2, 3, 5), (3,), -1),
        "matrix": ((5, 3), (2, 4), 0), "scalar": ((5, 3), (), 0),
        "batch": ((2, 5, 3), (2, 4), 1, 1), "batch2": ((2, 3, 5), (2, 3, 2), 2, 2),
        "vector": ((7,), (9,), 0), "nothing": ((5, 3), (0,), 0),
    }.items():
        for mode in ("float", "int8"):
            yield recipe("GATHER", label, gather(*args), mode, "exact")
    for dtype in (*PLAIN, "uint8", "int16", "float16"):
        yield recipe("GATHER", tag("", dtype), gather((5, 3), (4,), 0, dtype=dtype), kind="exact")
    for index in ("int64", "int16"):
        yield recipe("GATHER", f"{index}_indices", gather((5, 3), (4,), 0, index=index),
                     kind="exact")
    for label, shape, depth, count in (("", (4, 5), 2, (3,)), ("rows", (4, 5), 1, (3,)),
                                       ("many", (2, 3, 4), 2, (2, 2)), ("whole", (2, 3), 2, ())):
        for dtype in ("float32", "int32", "int64", "bool", "int16"):
            for index in ("int32", "int64") if dtype == "float32" else ("int32",):
                name = tag(f"{label}_int64_indices" if index == "int64" else label, dtype)
                yield recipe("GATHER_ND", name, gather_nd(shape, depth, count, dtype, index),
                             kind="exact")
        yield recipe("GATHER_ND", label, gather_nd(shape, depth, count), "int8", "exact")
    for label, shape, indices in (("", (6,), [[1], [4]]), ("rows", (5, 3), [[1], [4], [0]]),
                                  ("places", (3, 4), [[0, 1], [2, 3]]),
                                  ("twice", (5,), [[1], [1], [3]])):
        for dtype in ("float32", "int32", "int64", "int8", "uint8"):
            yield recipe("SCATTER_ND", tag(label, dtype), scatter(shape, indices, dtype),
                         kind="exact")
    yield recipe("SCATTER_ND", "shape_input", scatter((6,), [[1], [4]], "float32", told="input"),
                 kind="exact")


def gather_nd(shape, depth, count, dtype="float32", index="int32"):
    def build(n):
        places = [n.integers(0, shape[i] - 1, count, index) for i in range(depth)]
        return n.op("GATHER_ND", [n.input(data(n, shape, dtype)), n.input(np.stack(places, -1))],
                    "same", "GatherNd")
    return build


def scatter(shape, indices, dtype, told="const"):
    def build(n):
        places = n.input(np.array(indices, np.int32))
        updates = n.input(data(n, (len(indices), *shape[len(indices[0]):]), dtype))
        size = n.const(i32(*shape)) if told == "const" else n.input(i32(*shape))
        return n.op("SCATTER_ND", [places, updates, size], dtype, "ScatterNd")
    return build


def update_recipes():
    for label, shape, part, begin in (("", (5, 6), (2, 3), (1, 2)),
                                      ("clamped", (5, 6), (2, 3), (4, 5)),
                                      ("rank4", (1, 4, 2, 3), (1, 1, 2, 3), (0, 2, 0, 0)),
                                      ("whole", (3, 2), (3, 2), (0, 0)),
                                      ("negative", (5, 6), (2, 3), (-1, 1))):
        yield from each("DYNAMIC_UPDATE_SLICE", label, shape, lambda n, x, p=part, b=begin: n.op(
            "DYNAMIC_UPDATE_SLICE", [x, update(n, x, p), n.input(i32(*b))], "same",
            "DynamicUpdateSlice"), ("int32", "int64", "bool") if label == "" else (),
            ("int8",) if label in ("", "clamped") else ())
    yield from each("DYNAMIC_UPDATE_SLICE", "int64_start", (5, 6), lambda n, x: n.op(
        "DYNAMIC_UPDATE_SLICE", [x, update(n, x, (2, 3)), n.input(np.array([1, 2]))], "same",
        "DynamicUpdateSlice"))


def update(n, x, shape):
    if x.scale is None:
        return n.input(data(n, shape, x.dtype))
    return n.input(n.normal(*shape), scale=x.scale, zero=x.zero)


def repeat_recipes():
    for label, shape, times in (("", (2, 3), (2, 3)), ("rank3", (1, 2, 3), (3, 1, 2)),
                                ("once", (4,), (1,)), ("vector", (3,), (4,))):
        yield from each("TILE", label, shape, one("TILE", i32(*times), options="Tile"),
                        ("int32", "int64", "bool", "uint8", "int16") if label == "" else (),
                        ("int8",))
    yield from each("TILE", "int64_times", (2, 3), one("TILE", np.array([1, 2]), options="Tile"))
    for label, shape, wanted in (("", (3, 1), (3, 4)), ("rank", (3,), (2, 3)),
                                 ("scalar", (), (2, 2)),
                                 ("rank5", (2, 1, 3, 1, 2), (2, 2, 3, 2, 2))):
        yield from each("BROADCAST_TO", label, shape, one("BROADCAST_TO", i32(*wanted),
                                                          options="BroadcastTo"),
                        (*PLAIN, "uint8") if label == "" else (), ("int8",))
    for a, b in (((2, 1, 3), (4, 1)), ((5,), (2, 3, 5)), ((1,), (7,))):
        for dtype in ("int32", "int64"):
            yield recipe("BROADCAST_ARGS", f"{len(a)}_{len(b)}_{dtype}", lambda n, a=a, b=b,
                         d=dtype: n.op("BROADCAST_ARGS", [n.input(np.array(a, d)),
                                                          n.input(np.array(b, d))], d),
                         kind="exact")
    for dtype in ("float32", "int32", "int64", "bool", "int8", "int16"):
        for index in ("int32", "int64") if dtype == "float32" else ("int32",):
            yield recipe("FILL", f"{dtype}_{index}", lambda n, d=dtype, k=index: n.op(
                "FILL", [n.input(np.array([2, 3], k)), n.input(data(n, (), d))], d, "Fill"),
                kind="exact")
    yield recipe("FILL", "constant_dims", lambda n: n.op(
        "FILL", [n.const(i32(2, 3)), n.input(np.array(0.5, np.float32))], "float32", "Fill"),
        kind="exact")
    for label, dtype, ends in (("", "int32", (2, 11, 3)), ("down", "int32", (9, -4, -2)),
                               ("", "float32", (0.5, 3.2, 0.4)), ("", "int64", (-3, 9, 1)),
                               ("empty", "int32", (3, 3, 1))):
        for way in ("inputs", "constants"):
            yield recipe("RANGE", "_".join(p for p in (label, dtype, way) if p), lambda n, d=dtype,
                         e=ends, w=way: n.op("RANGE", [(n.input if w == "inputs" else n.const)(
                             np.array(v, d)) for v in e], d, "Range"),
                         kind="float" if dtype == "float32" else "exact")
    for axes in ((0,), (1,), (-1,), (0, 1)):
        yield from each("REVERSE_V2", "axis" + "_".join(map(str, axes)), (2, 3, 4), one(
            "REVERSE_V2", i32(*axes), options="ReverseV2"),
            (*PLAIN, "int16") if axes == (1,) else (), ("int8", "uint8") if axes == (1,) else ())
    for label, along, batch, dtype in (("", 1, 0, "float32"), ("swapped", 0, 2, "float32"),
                                       ("int32", 1, 0, "int32"), ("last", 2, 0, "int64")):
        for index in ("int32", "int64"):
            yield recipe("REVERSE_SEQUENCE", f"{label}_{index}_lengths".strip("_"),
                         reverse_sequence(along, batch, dtype, index), kind="exact")


def reverse_sequence(along, batch, dtype, index):
    def build(n):
        shape = 3, 4, 2
        lengths = n.integers(0, shape[along], (shape[batch],), index)
        return n.op("REVERSE_SEQUENCE", [n.input(data(n, shape, dtype)), n.input(lengths)], "same",
                    "ReverseSequence", seqDim=along, batchDim=batch)
    return build


def one_hot(indices, depth, axis, dtype, index="int32"):
    def build(n):
        on, off = {"float32": (0.75, -0.5), "bool": (True, False)}.get(dtype, (5, -2))
        return n.op("ONE_HOT", [n.input(n.integers(-1, depth, indices, index)),
                                n.const(np.int32(depth)), n.const(np.array(on, dtype)),
                                n.const(np.array(off, dtype))], dtype, "OneHot", axis=axis)
    return build


def pick_recipes():
    for label, shape, axis in (("", (4,), -1), ("first", (4,), 0), ("middle", (2, 3), 1),
                               ("scalar", (), -1)):
        for dtype in ("float32", "int32", "int64", "bool", "int8"):
            yield recipe("ONE_HOT", tag(label, dtype), one_hot(shape, 5, axis, dtype),
                         kind="exact")
    yield recipe("ONE_HOT", "int64_indices", one_hot((4,), 5, -1, "float32", "int64"), kind="exact")
    for label, shape, k in (("", (3, 7), 3), ("vector", (9,), 4), ("all", (2, 4), 4),
                            ("one", (2, 5), 1)):
        for dtype in ("float32", "int32", "int64", "int8", "uint8", "int16"):
            yield recipe("TOPK_V2", tag(label, dtype), lambda n, s=shape, k=k, d=dtype:
                         n.op("TOPK_V2", [n.input(data(n, s, d)), n.const(np.int32(k))],
                              ["same", "int32"], "TopKV2"), kind="exact")
    yield recipe("TOPK_V2", "ties", lambda n: n.op("TOPK_V2", [
        n.input(n.integers(0, 3, (3, 8)).astype(np.float32)), n.const(np.int32(5))],
        ["same", "int32"], "TopKV2"), kind="exact")
    for dtype in ("bool", "float32", "int32", "int64", "int8", "uint8"):
        for shape in ((7,), (3, 4), (2, 2, 3)):
            yield recipe("WHERE", f"{dtype}_rank{len(shape)}", lambda n, s=shape, d=dtype: n.op(
                "WHERE", [n.input(n.integers(0, 1, s, d))], "int64", "Where"), kind="exact")
    yield recipe("WHERE", "nothing", lambda n: n.op("WHERE", [n.input(np.zeros((2, 3), bool))],
                                                    "int64", "Where"), kind="exact")
    for op, shapes in (("SELECT", {"": ((2, 3), (2, 3), (2, 3)), "rows": ((4,), (4, 3), (4, 3)),
                                   "scalar": ((), (2, 3), (2, 3))}),
                       ("SELECT_V2", {"": ((2, 3), (2, 3), (2, 3)), "broadcast": ((3,), (2, 1), ()),
                                      "condition": ((2, 1, 1), (2, 3, 4), (4,)),
                                      "scalar": ((), (2, 3), (2, 3)),
                                      "rank5": ((1, 2, 1, 1, 2), (2, 2, 1, 3, 2), (3, 1))})):
        for label, (c, a, b) in shapes.items():
            for dtype in ("float32", *PLAIN, "int8", "uint8", "int16"):
                yield recipe(op, tag(label, dtype), lambda n, c=c, a=a, b=b, d=dtype, o=op:
                             n.op(o, [n.input(n.rng.random(c) < 0.5), n.input(data(n, a, d)),
                                      n.input(data(n, b, d))], d, "SelectV2" if "V2" in o
                                  else "Select"), kind="exact")
    for dtype in ("float32", "int32", "int64", "int8", "uint8", "int16"):
        for number, index in ((2, "int32"), (4, "int64")):
            yield recipe("UNIQUE", f"{dtype}_{index}", lambda n, d=dtype, i=number, k=index: n.op(
                "UNIQUE", [n.input(n.integers(0, 4, (11,), d))], ["same", k], "Unique",
                idxOutType=i), kind="exact")


def segment_recipes():
    for dtype in ("float32", "int32"):
        kind = "float" if dtype == "float32" else "exact"
        for label, ids in (("", [0, 0, 1, 2, 2]), ("one", [0] * 5)):
            yield recipe("SEGMENT_SUM", tag(label, dtype), lambda n, i=ids, d=dtype: n.op(
                "SEGMENT_SUM", [n.input(data(n, (5, 3), d)), n.const(i32(*i))], "same",
                "SegmentSum"), kind=kind)
        for what in ("Sum", "Prod", "Max", "Min"):
            op = f"UNSORTED_SEGMENT_{what}".upper()
            for label, ids, count in (("", [2, 0, 2, 1, 0], 3), ("gaps", [4, 0, 4, -1, 0], 6),
                                      ("matrix", [[1, 0], [0, 1]], 2)):
                yield recipe(op, tag(label, dtype), lambda n, i=ids, c=count, d=dtype,
                             o=op, w=what: n.op(o, [n.input(
                                 data(n, (*np.shape(i), 2), d) if d == "float32"
                                 else n.integers(-9, 9, (*np.shape(i), 2))),
                                 n.input(np.array(i, np.int32)), n.const(np.int32(c))], "same",
                                 f"UnsortedSegment{w}"), kind=kind)
    for dtype in ("float32", "int32", "int64", "int8", "uint8", "int16"):
        for label, shape in (("", (3,)), ("batch", (2, 3))):
            yield recipe("MATRIX_DIAG", tag(label, dtype), lambda n, s=shape, d=dtype: n.op(
                "MATRIX_DIAG", [n.input(data(n, s, d))], "same", "MatrixDiag"), kind="exact")
        for label, shape in (("", (3, 3)), ("wide", (2, 3, 5)), ("tall", (4, 2))):
            yield recipe("MATRIX_SET_DIAG", tag(label, dtype), lambda n, s=shape, d=dtype:
                         n.op("MATRIX_SET_DIAG", [n.input(data(n, s, d)), n.input(
                             data(n, (*s[:-2], min(s[-2:])), d))], "same", "MatrixSetDiag"),
                         kind="exact")
        if dtype == "int16":
            continue
        for label, places, shape in (("vector", [1, 4], (6,)), ("places", [[0, 1], [2, 3]], (3, 4)),
                                     ("scalar", 2, (5,))):
            for same in (False, True):
                name = tag(label + "_one_value" * same, dtype)
                yield recipe("SPARSE_TO_DENSE", name, lambda n, p=places, s=shape, d=dtype, v=same:
                             n.op("SPARSE_TO_DENSE", [
                                 n.input(np.array(p, np.int32)), n.const(i32(*s)),
                                 n.input(data(n, () if v or np.ndim(p) == 0 else (len(p),), d)),
                                 n.const(np.array(7, d))], d, "SparseToDense"), kind="exact")
    for dtype in ("float32", "int32", "int64", "float64"):
        yield recipe("BUCKETIZE", dtype, lambda n, d=dtype: n.op("BUCKETIZE", [n.input(
            (n.uniform(-9, 9, 3, 7)).astype(d), dtype=d)], "int32", "Bucketize",
            boundaries=[-5.0, -1.0, 0.0, 2.5, 6.0]), kind="exact")


def complex_recipes():
    for dtype in ("complex64",):
        for op in ("REAL", "IMAG", "COMPLEX_ABS"):
            yield recipe(op, dtype, lambda n, d=dtype, o=op: n.op(
                o, [n.input(data(n, (3, 4), d))], "float32"),
                kind="float" if op == "COMPLEX_ABS" else "exact")
    for label, shape, size in (("", (4, 8), (4, 8)), ("padded", (2, 3, 5), (4, 8)),
                               ("cropped", (6, 10), (4, 4)), ("row", (1, 16), (1, 16)),
                               ("batch", (2, 2, 8, 4), (8, 4))):
        yield recipe("RFFT2D", label, lambda n, s=shape, z=size: n.op(
            "RFFT2D", [n.input(n.normal(*s)), n.const(i32(*z))], "complex64", "Rfft2d"))


def suppression_recipes():
    for soft in (False, True):
        for label, most, overlap, least in (("", 6, 0.5, 0.2), ("few", 2, 0.3, 0.0),
                                            ("many", 15, 0.9, 0.4)):
            yield recipe("NON_MAX_SUPPRESSION_V5" if soft else "NON_MAX_SUPPRESSION_V4", label,
                         suppression(most, overlap, least, soft))
        yield recipe("NON_MAX_SUPPRESSION_V5" if soft else "NON_MAX_SUPPRESSION_V4", "inputs",
                     suppression(6, 0.5, 0.2, soft, told="input"))


def suppression(most, overlap, least, soft, told="const"):
    def build(n):
        corner = n.uniform(0, 1, 12, 2)
        boxes = np.concatenate([corner, corner + n.uniform(0.2, 0.9, 12, 2)], 1)
        boxes[3] = boxes[3][[2, 3, 0, 1]]  # corners may come in either order
        make = n.const if told == "const" else n.input
        inputs = [n.input(boxes), n.input(n.rng.permutation(12).astype(np.float32) / 12),
                  make(np.int32(most)), make(np.float32(overlap)), make(np.float32(least))]
        if soft:
            return n.op("NON_MAX_SUPPRESSION_V5", [*inputs, make(np.float32(0.5))],
                        ["int32", "float32", "int32"], "NonMaxSuppressionV5")
        return n.op("NON_MAX_SUPPRESSION_V4", inputs, ["int32", "int32"], "NonMaxSuppressionV4")
    return build


def recipes():
    yield from asked_recipes()
    yield from reshape_recipes()
    yield from pad_recipes()
    yield from slice_recipes()
    yield from concat_recipes()
    yield from image_recipes()
    yield from gather_recipes()
    yield from update_recipes()
    yield from repeat_recipes()
    yield from pick_recipes()
    yield from segment_recipes()
    yield from complex_recipes()
    yield from suppression_recipes()
