"""Control flow, variables, tables, operators with flexbuffers, StableHLO, small whole graphs."""
import numpy as np
from flatbuffers import flexbuffers

from net import ACTIVATIONS, SAME, VALID, recipe


def i32(*values):
    return np.array(values, np.int32)


def i64(*values):
    return np.array(values, np.int64)


# Control flow


def with_if(condition, dynamic=False):
    def then(n):
        a, b = n.arg("float32", (2, 3)), n.arg("float32", (2, 3))
        return [n.op("ADD", [a, b], options="Add", fusedActivationFunction=0)]

    def otherwise(n):
        a, b = n.arg("float32", (2, 3)), n.arg("float32", (2, 3))
        if dynamic:
            return [n.op("CONCATENATION", [a, b], options="Concatenation", axis=0, shapes=[(4, 3)],
                         fusedActivationFunction=0)]
        made = n.op("MUL", [a, b], options="Mul", fusedActivationFunction=0)
        return [n.op("SUB", [made, a], options="Sub", fusedActivationFunction=0)]

    def build(n):
        bodies = n.branch(then), n.branch(otherwise)
        return n.op("IF", [n.input(np.array([condition])), n.input(n.normal(2, 3)),
                           n.input(n.normal(2, 3))], "float32", "If", thenSubgraphIndex=bodies[0],
                    elseSubgraphIndex=bodies[1])
    return build


def with_while(growing=False):
    def condition(n):
        i = n.arg("int32", ())
        n.arg("float32", (2, 3))
        return [n.op("LESS", [i, n.const(np.int32(4))], "bool", "Less", shapes=[()])]

    def body(n):
        i, x = n.arg("int32", ()), n.arg("float32", (2, 3))
        i = n.op("ADD", [i, n.const(np.int32(1))], "int32", "Add", fusedActivationFunction=0)
        if growing:
            x = n.op("CONCATENATION", [x, n.const(np.ones((1, 3), np.float32))],
                     options="Concatenation", axis=0, shapes=[(3, 3)], fusedActivationFunction=0)
        else:
            x = n.op("MUL", [x, n.const(np.float32(-1.25))], options="Mul",
                     fusedActivationFunction=0)
        return [i, x]

    def build(n):
        parts = n.branch(condition), n.branch(body)
        return n.op("WHILE", [n.input(np.int32(0)), n.input(n.normal(2, 3))],
                    ["int32", "float32"], "While", condSubgraphIndex=parts[0],
                    bodySubgraphIndex=parts[1])
    return build


def never_entered(n):
    """A loop whose condition is false at once: what comes out is what went in."""
    def condition(n):
        return [n.op("GREATER", [n.arg("float32", ()), n.const(np.float32(100))], "bool", "Greater",
                     shapes=[()])]

    def body(n):
        return [n.op("EXP", [n.arg("float32", ())], shapes=[()])]
    parts = n.branch(condition), n.branch(body)
    return n.op("WHILE", [n.input(np.float32(3))], ["float32"], "While", condSubgraphIndex=parts[0],
                bodySubgraphIndex=parts[1])


def nested(n):
    """A branch within a loop: every other time, another function."""
    def even(n):
        return [n.op("ADD", [n.arg("float32", (3,)), n.const(np.float32(1.5))], options="Add",
                     fusedActivationFunction=0)]

    def odd(n):
        return [n.op("TANH", [n.arg("float32", (3,))])]

    def condition(n):
        i = n.arg("int32", ())
        n.arg("float32", (3,))
        return [n.op("LESS", [i, n.const(np.int32(5))], "bool", "Less", shapes=[()])]

    def body(n):
        i, x = n.arg("int32", ()), n.arg("float32", (3,))
        rest = n.op("FLOOR_MOD", [i, n.const(np.int32(2))], "int32", "FloorMod")
        flag = n.op("EQUAL", [rest, n.const(np.int32(0))], "bool", "Equal")
        x = n.op("IF", [flag, x], "float32", "If", shapes=[(3,)], thenSubgraphIndex=branches[0],
                 elseSubgraphIndex=branches[1])
        i = n.op("ADD", [i, n.const(np.int32(1))], "int32", "Add", fusedActivationFunction=0)
        return [i, x]
    branches = n.branch(even), n.branch(odd)
    parts = n.branch(condition), n.branch(body)
    return n.op("WHILE", [n.input(np.int32(0)), n.input(n.normal(3))], ["int32", "float32"],
                "While", condSubgraphIndex=parts[0], bodySubgraphIndex=parts[1])[1]


# Variables and tables


def variable(n, name="v"):
    handle = n.tensor((), "resource")
    return n.emit("VAR_HANDLE", [], [handle], "VarHandle", container="", sharedName=name)[0]


def variables(steps=1, dtype="float32"):
    """A running sum that a subgraph sets up, once."""
    values = np.arange(6).reshape(2, 3).astype(dtype)

    def start(n):
        n.emit("ASSIGN_VARIABLE", [variable(n), n.const(values)], [], "AssignVariable")
        return []

    def build(n):
        n.emit("CALL_ONCE", [], [], "CallOnce", initSubgraphIndex=n.branch(start))
        handle, outputs = variable(n), []
        for _ in range(steps):
            x = n.input(n.normal(2, 3) if dtype == "float32" else n.integers(-9, 9, (2, 3), dtype))
            held = n.tensor((2, 3), dtype)
            n.emit("READ_VARIABLE", [handle], [held], "ReadVariable")
            total = n.op("ADD", [held, x], dtype, "Add", fusedActivationFunction=0)
            n.emit("ASSIGN_VARIABLE", [handle, total], [], "AssignVariable")
            outputs.append(total)
        last = n.tensor((2, 3), dtype)
        n.emit("READ_VARIABLE", [handle], [last], "ReadVariable")
        return [*outputs, last]
    return build


def two_variables(n):
    """Names tell variables apart, not handles."""
    def start(n):
        for name, values in (("a", [1, 2]), ("b", [30, 40])):
            n.emit("ASSIGN_VARIABLE", [variable(n, name), n.const(np.float32(values))], [],
                   "AssignVariable")
        return []
    n.emit("CALL_ONCE", [], [], "CallOnce", initSubgraphIndex=n.branch(start))
    n.emit("ASSIGN_VARIABLE", [variable(n, "b"), n.input(n.normal(2))], [], "AssignVariable")
    made = []
    for name in "ab":
        made.append(n.tensor((2,), "float32"))
        n.emit("READ_VARIABLE", [variable(n, name)], made[-1:], "ReadVariable")
    return n.op("SUB", made, options="Sub", fusedActivationFunction=0)


def strings(n, *texts):
    """A constant of type string: count, offsets, bytes."""
    raw = [text.encode() for text in texts]
    ends = np.cumsum([0] + [len(r) for r in raw]) + 4 * (len(raw) + 2)
    head = np.array([len(raw), *ends], np.int32).tobytes()
    return n.tensor((len(raw),), "string", data=np.frombuffer(head + b"".join(raw), np.uint8))


def table(n, key, value, keys, values):
    """A lookup table between int64 and string, filled once; numbers of the types of both."""
    number = {"int64": 4, "string": 5}
    fields = {"tableId": len(n.model.subgraphs), "keyDtype": number[key],
              "valueDtype": number[value]}

    def handle(n):
        return n.emit("HASHTABLE", [], [n.tensor((1,), "resource")], "Hashtable", **fields)[0]

    def fill(n):
        sides = [strings(n, *side) if kind == "string" else n.const(i64(*side))
                 for kind, side in ((key, keys), (value, values))]
        n.emit("HASHTABLE_IMPORT", [handle(n), *sides], [], "HashtableImport")
        return []
    n.emit("CALL_ONCE", [], [], "CallOnce", initSubgraphIndex=n.branch(fill))
    return handle(n)


WORDS = ["plum", "", "a longer word", "fig"]


def string_to_number(n):
    found = n.op("HASHTABLE_FIND", [table(n, "string", "int64", WORDS, [7, -3, 11, 2 ** 40]),
                                    strings(n, "fig", "none of these", "plum"),
                                    n.const(i64(-1))], "int64", "HashtableFind")
    return n.op("ADD", [n.input(i64(1, 2, 3)), found], "int64", "Add", fusedActivationFunction=0)


def there_and_back(n):
    words = n.op("HASHTABLE_FIND", [table(n, "int64", "string", [5, 6, 7, 8], WORDS),
                                    n.input(i64(8, 5, 99, 7, 6)), strings(n, "unknown")], "string",
                 "HashtableFind")
    return n.op("HASHTABLE_FIND", [table(n, "string", "int64", WORDS, [1, 2, 3, 4]), words,
                                   n.const(i64(-1))], "int64", "HashtableFind")


def table_size(n):
    size = n.op("HASHTABLE_SIZE", [table(n, "int64", "string", [5, 6, 7, 8], WORDS)], "int64",
                "HashtableSize")
    return n.op("ADD", [n.input(i64(1)), size], "int64", "Add", fusedActivationFunction=0)


def string_equal(n):
    picked = n.op("GATHER", [strings(n, *WORDS), n.input(i32(3, 1, 2, 0))], "string", "Gather",
                  axis=0)
    return n.op("EQUAL", [picked, strings(n, *WORDS)], "bool", "Equal")


def sorted_table(n):
    return n.op("HASHTABLE_LOOKUP", [n.input(i32(5, 4, 9, 1)), n.const(i32(1, 4, 9, 12)),
                                     n.const(n.normal(4, 3))], ["float32", "uint8"])


def sparse_embedding(combiner):
    def build(n):
        places = i32([0, 0], [0, 1], [2, 0], [2, 1], [2, 2])
        return n.op("EMBEDDING_LOOKUP_SPARSE", [
            n.input(n.integers(0, 6, (5,))), n.const(places), n.const(i32(3, 3)),
            n.const(n.uniform(0.2, 2, 5)), n.const(n.normal(7, 4))], "float32",
            "EmbeddingLookupSparse", combiner=combiner)
    return build


def lsh(kind):
    def build(n):
        return n.op("LSH_PROJECTION", [n.const(n.normal(3, 4)), n.input(n.integers(0, 99, (6,))),
                                       n.const(n.uniform(0.2, 2, 6))], "int32", "LSHProjection",
                    type=kind)
    return build


# Operators with options in a flexbuffer


def flexible(**options):
    writer = flexbuffers.Builder()
    with writer.Map():
        for key, value in options.items():
            if isinstance(value, bool):
                writer.Bool(key, value)
            elif isinstance(value, int):
                writer.Int(key, value)
            elif isinstance(value, list):
                writer.TypedVectorFromElements(key, value)
            else:
                writer.Float(key, value)
    return bytes(writer.Finish())


def detection(regular, boxes=20, classes=3, **options):
    def build(n):
        given = dict(max_detections=5, max_classes_per_detection=1, detections_per_class=4,
                     num_classes=classes, nms_score_threshold=0.2, nms_iou_threshold=0.5,
                     y_scale=10.0, x_scale=10.0, h_scale=5.0, w_scale=5.0, use_regular_nms=regular)
        given.update(options)
        codes = n.input(n.normal(1, boxes, 4))
        scores = n.rng.permutation(boxes * (classes + 1)).reshape(1, boxes, -1)
        scores = n.input((scores / scores.size).astype(np.float32))
        anchors = n.constant(np.concatenate([n.uniform(0.1, 0.9, boxes, 2),
                                             n.uniform(0.1, 0.4, boxes, 2)], 1))
        return n.op("TFLite_Detection_PostProcess", [codes, scores, anchors], ["float32"] * 4,
                    version=1, custom=flexible(**given))
    return build


def custom_recipes():
    op = "TFLite_Detection_PostProcess"
    for mode in ("float", "uint8"):
        kind = "float"
        yield recipe(op, "fast", detection(False), mode, kind)
        yield recipe(op, "regular", detection(True), mode, kind)
        yield recipe(op, "fast_two_classes", detection(False, max_classes_per_detection=2), mode,
                     kind)
    yield recipe(op, "regular_many", detection(True, 40, 5, max_detections=10,
                                               nms_iou_threshold=0.3))
    yield recipe(op, "fast_whole_options", detection(False, y_scale=10, x_scale=10, h_scale=5,
                                                     w_scale=5))
    yield recipe("AudioSpectrogram", "", spectrogram(False))
    yield recipe("AudioSpectrogram", "squared", spectrogram(True))
    yield recipe("Mfcc", "", cepstrum)
    for size in (4, 8):
        yield recipe("aeq.hadamard_rotation", f"{size}", lambda n, s=size: n.op(
            "aeq.hadamard_rotation", [n.input(n.normal(3, 16))], "float32", version=1,
            shapes=[(3, 16)], custom=flexible(hadamard_size=s, random_binary_vector=[1] * s)))


def spectrogram(squared):
    return lambda n: n.op("AudioSpectrogram", [n.input(n.uniform(-1, 1, 100, 2))], "float32",
                          version=1, custom=flexible(window_size=32, stride=16,
                                                     magnitude_squared=squared))


def cepstrum(n):
    return n.op("Mfcc", [n.input(n.uniform(0.1, 4, 1, 3, 129)), n.const(i32(8000))], "float32",
                version=1, custom=flexible(upper_frequency_limit=3900.0, lower_frequency_limit=20.0,
                                           filterbank_channel_count=20, dct_coefficient_count=13))


# StableHLO and what came with it


def hlo_pair(op, dtype):
    def build(n):
        a, b = (n.normal(3, 4) if dtype == "float32" else n.rng.random((3, 4)) < 0.5
                if dtype == "bool" else n.integers(-9, 9, (3, 4), dtype) for _ in "ab")
        if op == "STABLEHLO_SHIFT_LEFT":
            b = np.abs(b) % 7
        return n.op(op, [n.input(a), n.input(b)], dtype)
    return build


def hlo_pad(low, high, inner):
    return lambda n: n.op("STABLEHLO_PAD", [n.input(n.normal(3, 4)), n.const(np.float32(9))],
                          "float32", "StablehloPad", edgePaddingLow=list(low),
                          edgePaddingHigh=list(high), interiorPadding=list(inner))


def hlo_gather(n):
    places = n.input(i64([0, 2], [1, 0], [2, 1]))
    return n.op("STABLEHLO_GATHER", [n.input(n.normal(3, 4, 2)), places], "float32",
                "StablehloGather", shapes=[(3, 2, 2)], offsetDims=[1, 2], collapsedSliceDims=[0],
                startIndexMap=[0, 1], indexVectorDim=1, sliceSizes=[1, 2, 2],
                indicesAreSorted=False)


def hlo_scatter(how):
    def update(n):
        a, b = n.arg("float32", ()), n.arg("float32", ())
        return [b if how is None else n.op(how, [a, b])]

    def build(n):
        return n.op("STABLEHLO_SCATTER", [n.input(n.normal(4, 3)), n.input(i64([1], [3])),
                                          n.input(n.normal(2, 3))], "float32", "StablehloScatter",
                    indicesAreSorted=False, updateWindowDims=[1], insertedWindowDims=[0],
                    scatterDimsToOperandDims=[0], indexVectorDim=1, uniqueIndices=False,
                    updateComputationSubgraphIndex=n.branch(update))
    return build


def hlo_window(how, start, **fields):
    def body(n):
        return [n.op(how, [n.arg("float32", ()), n.arg("float32", ())])]

    def build(n):
        given = dict(windowDimensions=[2, 3], windowStrides=[1, 2], baseDilations=[1, 1],
                     windowDilations=[1, 1], padding=[0, 0, 0, 0])
        given.update(fields)
        inputs = [n.input(n.normal(4, 7)), n.const(np.float32(start))]
        return n.op("STABLEHLO_REDUCE_WINDOW", inputs, "float32", "StablehloReduceWindow",
                    bodySubgraphIndex=n.branch(body), **given)
    return build


def window(function, start, dtype="float32", dilation=(1, 1)):
    def build(n):
        x = n.rng.random((4, 7)) < 0.6 if dtype == "bool" else n.normal(4, 7) \
            if dtype == "float32" else n.integers(-9, 9, (4, 7), dtype)
        return n.op("REDUCE_WINDOW", [n.input(x), n.const(np.array(start, dtype)),
                                      n.const(i64(2, 3)), n.const(i64(1, 2)),
                                      n.const(i64(*dilation))], dtype, "ReduceWindow",
                    reduceFunction=function)
    return build


def composite(n):
    def body(n):
        x, y = n.arg("float32", (2, 3)), n.arg("float32", (2, 3))
        return [n.op("TANH", [n.op("MUL", [x, y], options="Mul", fusedActivationFunction=0)])]
    inputs = [n.input(n.normal(2, 3)), n.input(n.normal(2, 3))]
    return n.op("STABLEHLO_COMPOSITE", inputs, "float32", "StableHLOComposite", name="narrow.test",
                decompositionSubgraphIndex=n.branch(body),
                compositeAttributes=np.frombuffer(flexible(level=3), np.uint8), version=1)


def hlo_case(index):
    def build(n):
        def branch(op):
            return lambda n: [n.op(op, [n.arg("float32", (2, 3))])]
        bodies = [n.branch(branch(op)) for op in ("TANH", "EXP", "ABS")]
        return n.op("STABLEHLO_CASE", [n.input(np.int32(index)), n.input(n.normal(2, 3))],
                    "float32", "StablehloCase", branchSubgraphIndices=bodies)
    return build


def bits(algorithm, dtype, count):
    state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    shapes = [(count,), (2, 5)]
    return lambda n: n.op("STABLEHLO_RNG_BIT_GENERATOR", [n.input(state)], ["uint64", dtype],
                          "StablehloRngBitGenerator", shapes=shapes, algorithm=algorithm)


def hlo_recipes():
    for dtype in ("float32", "int32", "int64"):
        for op in ("ADD", "MULTIPLY", "MAXIMUM", "MINIMUM"):
            yield recipe(f"STABLEHLO_{op}", dtype, hlo_pair(f"STABLEHLO_{op}", dtype),
                         kind="float" if dtype == "float32" else "exact")
    yield recipe("STABLEHLO_AND", "bool", hlo_pair("STABLEHLO_AND", "bool"), kind="exact")
    for dtype in ("int8", "int16", "int32"):
        yield recipe("STABLEHLO_SHIFT_LEFT", f"plain_{dtype}", hlo_pair(
            "STABLEHLO_SHIFT_LEFT", dtype), kind="exact")
    for label, args in (("", ((1, 2), (0, 1), (0, 0))), ("inner", ((0, 1), (2, 0), (1, 2))),
                        ("negative", ((-1, 0), (0, -2), (0, 0)))):
        yield recipe("STABLEHLO_PAD", label, hlo_pad(*args), kind="exact")
    yield recipe("STABLEHLO_GATHER", "", hlo_gather, kind="exact")
    for how, label in ((None, "set"), ("STABLEHLO_ADD", "add"), ("STABLEHLO_MULTIPLY", "multiply"),
                       ("STABLEHLO_MAXIMUM", "maximum"), ("STABLEHLO_MINIMUM", "minimum")):
        yield recipe("STABLEHLO_SCATTER", label, hlo_scatter(how))
        if how:
            yield recipe("STABLEHLO_REDUCE_WINDOW", label, hlo_window(
                how, {"add": 0, "multiply": 1, "maximum": -1e9, "minimum": 1e9}[label]))
    yield recipe("STABLEHLO_REDUCE_WINDOW", "padded", hlo_window("STABLEHLO_ADD", 0.5,
                                                                 padding=[1, 0, 2, 1]))
    yield recipe("STABLEHLO_REDUCE_WINDOW", "dilated", hlo_window(
        "STABLEHLO_MAXIMUM", -1e9, windowDilations=[2, 1], baseDilations=[1, 2]))
    for label, function, start in (("add", 1, 0), ("multiply", 2, 1), ("minimum", 3, 99),
                                   ("maximum", 4, -99)):
        for dtype in ("float32", "int32"):
            yield recipe("REDUCE_WINDOW", f"{label}_{dtype}", window(function, start, dtype),
                         kind="float" if dtype == "float32" else "exact")
    for label, function, start in (("all", 5, True), ("any", 6, False)):
        yield recipe("REDUCE_WINDOW", label, window(function, start, "bool"), kind="exact")
    yield recipe("REDUCE_WINDOW", "dilated", window(1, 0, dilation=(2, 2)))
    yield recipe("DILATE", "", lambda n: n.op("DILATE", [
        n.input(n.normal(3, 4)), n.const(i32(2, 3)), n.const(np.float32(-1))], "float32"),
        kind="exact")
    yield recipe("DILATE", "int32", lambda n: n.op("DILATE", [
        n.input(n.integers(-9, 9, (2, 2, 3))), n.const(i32(1, 3, 2)), n.const(np.int32(0))],
        "int32"), kind="exact")
    yield recipe("STABLEHLO_COMPOSITE", "", composite)
    for index in (0, 2, 7, -1):
        yield recipe("STABLEHLO_CASE", f"{index}", hlo_case(index))
    for label, algorithm, count in (("threefry", 2, 2), ("philox", 1, 3), ("default", 0, 3)):
        for dtype in ("int32", "uint64"):
            yield recipe("STABLEHLO_RNG_BIT_GENERATOR", f"{label}_{dtype}", bits(
                algorithm, dtype, count), kind="exact")


def seeded(op, count):
    """Random numbers that a seed fixes."""
    def build(n):
        fields = {"seed": 1234, "seed2": 5678}
        if op == "MULTINOMIAL":
            return n.op(op, [n.input(n.normal(2, 5)), n.const(np.int32(count))], "int64", "Random",
                        **fields)
        return n.op(op, [n.input(i32(2, count))], "float32", "Random", **fields)
    return build


# Whole graphs


def conv(n, x, channels, size=3, stride=1, act="relu", deep=None):
    w = n.weight(n.normal(channels, size, size, deep or x.shape[3], scale=0.4))
    return n.op("CONV_2D", [x, w, n.bias(n.normal(channels, scale=0.3), x, w)], "act", "Conv2D",
                padding=SAME, strideH=stride, strideW=stride, dilationHFactor=1, dilationWFactor=1,
                fusedActivationFunction=ACTIVATIONS[act])


def depthwise(n, x, channels, act="relu6"):
    w = n.weight(n.normal(1, 3, 3, channels, scale=0.5), axis=3)
    return n.op("DEPTHWISE_CONV_2D", [x, w, n.bias(n.normal(channels, scale=0.3), x, w)], "act",
                "DepthwiseConv2D", padding=SAME, strideH=1, strideW=1, depthMultiplier=1,
                dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=ACTIVATIONS[act])


def dense(n, x, units, depth, act="none"):
    w = n.weight(n.normal(units, depth, scale=0.4))
    return n.op("FULLY_CONNECTED", [x, w, n.bias(n.normal(units, scale=0.3), x, w)], "act",
                "FullyConnected", fusedActivationFunction=ACTIVATIONS[act])


def add(n, a, b, act="none"):
    return n.op("ADD", [a, b], "act", "Add", fusedActivationFunction=ACTIVATIONS[act],
                potScaleInt16=False)


def residual(n):
    x = n.input(n.normal(1, 6, 5, 4))
    first = conv(n, x, 4, act="relu6", deep=4)
    second = conv(n, first, 4, act="none", deep=4)
    return conv(n, add(n, second, x, "relu"), 3, size=1, act="none", deep=4)


def inverted(n):
    """A bottleneck of MobileNet V2, then its end: pool, dense layer, softmax."""
    x = n.input(n.normal(1, 6, 6, 3))
    wide = depthwise(n, conv(n, x, 9, size=1, act="relu6", deep=3), 9)
    back = add(n, conv(n, wide, 3, size=1, act="none", deep=9), x)
    pooled = n.op("MEAN", [back, n.const(i32(1, 2))], "act", "Reducer", keepDims=False)
    logits = dense(n, pooled, 5, 3)
    fixed = {"int8": (1 / 256, -128), "uint8": (1 / 256, 0)}.get(n.mode.activation, "act")
    return n.op("SOFTMAX", [logits], fixed, "Softmax", beta=1.0)


def explicit_pad(n):
    """PAD before a convolution without padding: stride 2 as other frameworks have it."""
    x = n.input(n.normal(1, 5, 6, 3))
    padded = n.op("PAD", [x, n.const(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))], "same",
                  "Pad")
    w = n.weight(n.normal(4, 3, 3, 3, scale=0.4))
    return n.op("CONV_2D", [padded, w, n.bias(n.normal(4), padded, w)], "act", "Conv2D",
                padding=VALID, strideH=2, strideW=2, dilationHFactor=1, dilationWFactor=1,
                fusedActivationFunction=1)


def attention(n):
    """Heads, products of activations, softmax."""
    x = n.input(n.normal(1, 4, 6))

    def head(values):
        parts = n.op("RESHAPE", [values, n.const(i32(1, 4, 2, 3))], "same", "Reshape",
                     newShape=[1, 4, 2, 3])
        return n.op("TRANSPOSE", [parts, n.const(i32(0, 2, 1, 3))], "same", "Transpose")

    def project(values):
        w = n.weight(n.normal(6, 6, scale=0.4))
        bias = n.bias(n.normal(6, scale=0.2), values, w)
        return n.op("FULLY_CONNECTED", [values, w, bias], "act", "FullyConnected",
                    keepNumDims=True)
    q, k, v = (head(project(x)) for _ in "qkv")
    scores = n.op("BATCH_MATMUL", [q, k], "act", "BatchMatMul", adjY=True)
    fixed = {"int8": (1 / 256, -128)}.get(n.mode.activation, "act")
    weights = n.op("SOFTMAX", [scores], fixed, "Softmax", beta=0.5)
    mixed = n.op("BATCH_MATMUL", [weights, v], "act", "BatchMatMul")
    back = n.op("TRANSPOSE", [mixed, n.const(i32(0, 2, 1, 3))], "same", "Transpose")
    flat = n.op("RESHAPE", [back, n.const(i32(1, 4, 6))], "same", "Reshape", newShape=[1, 4, 6])
    return add(n, project(flat), x)


def branches(n):
    """Several inputs and outputs, one of them from the middle."""
    a, b = n.input(n.normal(2, 4)), n.input(n.normal(2, 4))
    total = add(n, a, b)
    scaled = n.op("MUL", [total, b], "act", "Mul", fusedActivationFunction=1)
    halves = n.op("SPLIT", [n.const(np.int32(1)), scaled], ["act", "act"], "Split", numSplits=2)
    return [halves[1], total, halves[0]]


def in_and_out(n):
    """Quantized inside, float outside: what most int8 files from the converter look like."""
    x = n.input(n.normal(1, 5, 5, 3), dtype="float32")
    if n.mode.activation == "float32":
        return conv(n, x, 4, act="relu", deep=3)
    zero = {"int8": 7, "uint8": 135}[n.mode.activation]
    inner = n.emit("QUANTIZE", [x], [n.tensor((1, 5, 5, 3), n.mode.activation, 5 / 255, zero)],
                   "Quantize")[0]
    made = conv(n, inner, 4, act="relu", deep=3)
    return n.emit("DEQUANTIZE", [made], [n.tensor((1, 5, 5, 4), "float32")], "Dequantize",
                  version=2)[0]


def dynamic(batch):
    def build(n):
        x = n.input(n.normal(batch, 6, 5, 3), signature=[-1, 6, 5, 3])
        made = conv(n, x, 4, stride=2, deep=3)
        flat = n.op("RESHAPE", [made, n.const(i32(-1, 36))], "same", "Reshape", newShape=[-1, 36])
        return dense(n, flat, 5, 36)
    return build


def dynamic_sizes(n):
    """Height and width are open too; the shape is computed in the graph."""
    x = n.input(n.normal(2, 4, 7, 3), signature=[-1, -1, -1, 3])
    made = conv(n, x, 4, deep=3)
    shape = n.op("SHAPE", [made], "int32", "Shape", outType=2)
    batch = n.op("STRIDED_SLICE", [shape, n.const(i32(0)), n.const(i32(1)), n.const(i32(1))],
                 "int32", "StridedSlice", shrinkAxisMask=1)
    wanted = n.op("PACK", [batch, n.const(np.int32(-1))], "int32", "Pack", valuesCount=2, axis=0)
    return n.op("RESHAPE", [made, wanted], "act")


def odd_ends(n):
    """An input that is an output, a constant that is one, an input that nobody uses, one tensor
    that is an output twice."""
    a, unused, b = n.input(n.normal(2, 3)), n.input(n.normal(4)), n.input(i32(1, 2, 3))
    held = n.const(n.normal(2, 2))
    made = add(n, a, a)
    return [b, made, held, made, a]


def signed(n):
    """Names for inputs and outputs in another order than the graph's."""
    a, b = n.input(n.normal(2, 3)), n.input(n.normal(2, 3))
    total = add(n, a, b)
    less = n.op("SUB", [a, b], "act", "Sub", fusedActivationFunction=0)
    n.signature("serving_default", {"second": b, "first": a}, {"less": less, "total": total})
    return [total, less]


def shared(n):
    """One constant for two layers, and two operators that read one tensor."""
    x = n.input(n.normal(3, 4))
    w = n.weight(n.normal(4, 4, scale=0.4))
    for _ in range(2):
        x = n.op("FULLY_CONNECTED", [x, w, None], "act", "FullyConnected",
                 fusedActivationFunction=1)
    return [n.op("TANH", [x]), n.op("LOGISTIC", [x])]


def dead(n):
    """An operator whose output nobody reads, and one output of several that nobody reads."""
    x = n.input(n.normal(2, 6))
    n.op("EXP", [x])
    return n.op("SPLIT", [n.const(np.int32(1)), x], ["act"] * 3, "Split", numSplits=3)[1]


def loose(n):
    """Buffers at multiples of four only; int64 among them."""
    n.alignment = 4
    x = n.input(n.normal(3, 4))
    total = add(n, x, n.const(n.normal(4)))
    return n.op("GATHER", [total, n.const(i64(2, 0))], "act", "Gather", axis=0)


def behind(n):
    n.behind = True
    return residual(n)


def constants_only(n):
    """What can be computed before any input is there."""
    grid = n.op("RANGE", [n.const(np.float32(v)) for v in (0, 4, 1)], "float32", "Range",
                shapes=[(4,)])
    made = n.op("MUL", [grid, n.const(n.normal(4))], options="Mul", fusedActivationFunction=0)
    return add(n, n.input(n.normal(2, 4)), made)


def graph_recipes():
    for label, build, modes in (
            ("residual", residual, ("float", "int8", "uint8", "int16", "float16_weights",
                                    "hybrid")),
            ("inverted", inverted, ("float", "int8", "uint8", "float16_weights")),
            ("explicit_pad", explicit_pad, ("float", "int8", "uint8")),
            ("attention", attention, ("float", "int8", "hybrid")),
            ("branches", branches, ("float",)), ("in_and_out", in_and_out, ("int8", "uint8")),
            ("dynamic_batch1", dynamic(1), ("float", "int8")),
            ("dynamic_batch3", dynamic(3), ("float", "int8", "hybrid")),
            ("dynamic_sizes", dynamic_sizes, ("float",)), ("odd_ends", odd_ends, ("float",)),
            ("signature", signed, ("float",)), ("shared", shared, ("float",)),
            ("dead", dead, ("float",)), ("loose_buffers", loose, ("float",)),
            ("buffers_behind", behind, ("float", "int8")),
            ("constants_only", constants_only, ("float",))):
        for mode in modes:
            yield recipe("graph", label, build, mode)


def recipes():
    for flag in (True, False):
        yield recipe("IF", f"{flag}", with_if(flag))
    yield recipe("IF", "dynamic", with_if(False, True))
    yield recipe("WHILE", "", with_while())
    yield recipe("WHILE", "growing", with_while(True))
    yield recipe("WHILE", "never", never_entered)
    yield recipe("WHILE", "nested", nested)
    yield recipe("READ_VARIABLE", "", variables())
    yield recipe("READ_VARIABLE", "steps", variables(3))
    yield recipe("READ_VARIABLE", "int32", variables(2, "int32"), kind="exact")
    yield recipe("ASSIGN_VARIABLE", "two", two_variables)
    yield recipe("HASHTABLE_FIND", "number", string_to_number, kind="exact")
    yield recipe("HASHTABLE_FIND", "there_and_back", there_and_back, kind="exact")
    yield recipe("HASHTABLE_SIZE", "", table_size, kind="exact")
    yield recipe("EQUAL", "string", string_equal, kind="exact")
    yield recipe("HASHTABLE_LOOKUP", "", sorted_table, kind="exact")
    for combiner, label in enumerate(("sum", "mean", "sqrtn")):
        yield recipe("EMBEDDING_LOOKUP_SPARSE", label, sparse_embedding(combiner))
    for kind, label in ((1, "sparse"), (2, "dense")):
        yield recipe("LSH_PROJECTION", label, lsh(kind), kind="exact")
    for op in ("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"):
        yield recipe(op, "seeded", seeded(op, 5))
    yield from custom_recipes()
    yield from hlo_recipes()
    yield from graph_recipes()
