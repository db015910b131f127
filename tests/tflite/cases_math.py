"""Functions of elements, comparisons, reductions, pools, normalizations, conversions of types."""
import numpy as np

from net import ACTIVATIONS, LIMITS, SAME, VALID, recipe, tag, type_number

QUANT = ("int8", "uint8", "int16")
INF, NAN = np.float32(np.inf), np.float32(np.nan)

# Operator: lowest and highest input, the output's (scale, zero) in int8 and int16 where these are
# fixed, the modes beside "float", the options.
UNARY = {
    "ABS": (-3, 3, "act", ("int8", "int16"), "Abs", {}),
    "CEIL": (-4, 4, "act", (), None, {}),
    "COS": (-9, 9, "act", (), "Cos", {}),
    "ELU": (-4, 3, "act", ("int8",), None, {}),
    "EXP": (-5, 2, "act", ("int8", "int16"), "Exp", {}),
    "FLOOR": (-4, 4, "act", (), None, {}),
    "GELU": (-4, 4, "act", QUANT, "Gelu", {"approximate": False}),
    "HARD_SWISH": (-5, 5, "act", ("int8", "uint8"), "HardSwish", {}),
    "LEAKY_RELU": (-3, 3, "act", QUANT, "LeakyRelu", {"alpha": 0.3}),
    "LOG": (0.1, 6, "act", ("int8", "int16"), None, {}),
    "LOGISTIC": (-7, 7, {"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 32768, 0)},
                 QUANT, None, {}),
    "NEG": (-3, 3, "act", (), "Neg", {}),
    "RELU": (-3, 3, "act", QUANT, None, {}),
    "RELU6": (-3, 9, "act", QUANT, None, {}),
    "RELU_N1_TO_1": (-3, 3, "act", ("int8", "uint8"), None, {}),
    "RELU_0_TO_1": (-1, 2, "act", ("int8", "uint8"), None, {}),
    "ROUND": (-4, 4, "act", (), None, {}),
    "RSQRT": (0.1, 5, "act", ("int8",), None, {}),  # int16 runs, 14 steps off
    "SIGN": (-3, 3, "act", (), "Sign", {}),
    "SIN": (-9, 9, "act", (), None, {}),
    "SQRT": (0, 5, "act", ("int8",), None, {}),
    "SQUARE": (-3, 3, "act", (), "Square", {}),
    "TANH": (-4, 4, {"int8": (1 / 128, 0), "uint8": (1 / 128, 128), "int16": (1 / 32768, 0)},
             QUANT, None, {}),
}
HUGE = 1e30, -1e30, 3.4e38
SPECIAL = np.array([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.5, -2.5, 1, -1, INF, -INF, NAN, 88, -104,
                    *HUGE, 0.49999997, 8388609, 6, 1e-6, -1e-6], np.float32)
# Where XNNPACK's approximations leave the function (or NaN the road); denormals do so in many.
ASTRAY = {"COS": (*HUGE, 8388609), "SIN": (*HUGE, 8388609), "LOGISTIC": HUGE, "EXP": (NAN,),
          "LOG": HUGE, "SQRT": HUGE, "RSQRT": (*HUGE, 0, -0.0), "GELU": (-INF,),
          "HARD_SWISH": (-INF,)}


# LiteRT's tables for int16 have 513 places over all of the input's range: far off where a function
# is steep.
EVEN = {"EXP": (-1, 1), "LOG": (3, 6)}


def special(op):
    leave = np.array(ASTRAY.get(op, (12345,)), np.float32)
    return SPECIAL[~(np.isin(SPECIAL, leave) | (np.isnan(SPECIAL) & np.isnan(leave).any()))]


def out_of(n, out):
    return out.get(n.mode.activation, "act") if isinstance(out, dict) else out


def unary(op, low, high, out, options, fields, shape=(2, 4, 32), values=None):
    def build(n):
        given = np.linspace(low, high, int(np.prod(shape)), dtype=np.float32).reshape(shape)
        if values is None and n.aim.activation not in ("int8", "uint8"):
            given = n.uniform(low, high, *shape)
        return n.op(op, [n.input(given if values is None else values)], out_of(n, out), options,
                    **fields)
    return build


def unary_recipes():
    for op, (low, high, out, modes, options, fields) in UNARY.items():
        args = op, low, high, out, options, fields
        for mode in ("float", *modes):
            ends = EVEN.get(op, args[1:3]) if mode == "int16" else args[1:3]
            yield recipe(op, "", unary(op, *ends, *args[3:]), mode)
        yield recipe(op, "vector", unary(*args, shape=(37,)))
        yield recipe(op, "special", unary(*args, values=special(op)))
        if "int8" in modes and out == "act" and op not in ("RSQRT", "SQRT", "LOG", "EXP", "GELU"):
            yield recipe(op, "same_scale", unary(op, low, high, "same", options, fields), "int8")
    yield recipe("GELU", "approximate", unary(*("GELU", *UNARY["GELU"][:3], "Gelu"),
                                              {"approximate": True}))
    yield recipe("GELU", "approximate", unary("GELU", -4, 4, "act", "Gelu", {"approximate": True}),
                 "int8")
    for alpha in (0.0, 1.5, -0.5):
        for mode in ("float", "int8", "int16"):
            yield recipe("LEAKY_RELU", f"alpha_{alpha}", unary("LEAKY_RELU", -3, 3, "act",
                                                               "LeakyRelu", {"alpha": alpha}), mode)
    whole = np.array([[-7, 0, 5], [2147483647, -2147483647, 1]], np.int32)
    for op in ("ABS", "SIGN"):
        yield recipe(op, "int32", plain_unary(op, whole), kind="exact")
    for dtype in ("int8", "int16", "int32", "int64"):  # int8 without regard to scale and zero
        yield recipe("NEG", tag("", dtype), plain_unary("NEG", whole.astype(dtype)), kind="exact")
    yield recipe("ABS", "plain_int16", plain_unary("ABS", np.array([-7, 0, 32767], np.int16)),
                 kind="exact")
    yield recipe("LOGICAL_NOT", "", plain_unary("LOGICAL_NOT", np.array([[True], [False]])),
                 kind="exact")
    for dtype in ("float32", "int32", "int64"):
        yield recipe("ZEROS_LIKE", dtype, plain_unary("ZEROS_LIKE", whole.astype(dtype)),
                     kind="exact")


def plain_unary(op, values):
    return lambda n: n.op(op, [n.input(values)], "same")


PAIRS = {
    "": ((2, 3, 4), (2, 3, 4)), "scalar": ((2, 3, 4), ()), "scalar_first": ((), (3, 5)),
    "last": ((2, 3, 4, 5), (5,)), "column": ((2, 3, 4), (3, 1)), "both": ((4, 1, 3), (2, 1)),
    "rank5": ((2, 1, 3, 2, 2), (2, 1, 1, 2)), "one": ((1, 1, 6), (1,)), "first": ((5,), (2, 3, 5)),
    "rank6": ((1, 2, 1, 3, 1, 2), (2, 1, 2, 1, 1, 1)),
}
ARITHMETIC = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div"}


def binary(op, a, b, options=None, act=None, out="act", low=-3.0, constant=None, like=False,
           **fields):
    """low: the lowest of both inputs; 0.5 keeps divisors away from 0. like: one scale for all.
    constant: which of the two is one."""
    def build(n):
        scale = (0.03, {"int8": 3, "uint8": 120}.get(n.aim.activation, 0)) if like else (None, 0)
        given = {"scale": scale[0], "zero": scale[1]} if like else {}
        x, y = n.uniform(low, 3, *a), n.uniform(low, 2.5, *b)
        makes = [n.constant if constant == i else n.input for i in range(2)]
        more = dict(fields, fusedActivationFunction=ACTIVATIONS[act]) if act else fields
        return n.op(op, [makes[0](x, **given), makes[1](y, **given)], scale if like else out,
                    options, **more)
    return build


def binary_recipes():
    for op, options in ARITHMETIC.items():
        low = 0.5 if op == "DIV" else -3.0
        pot = {"potScaleInt16": False} if op in ("ADD", "SUB") else {}
        for label, (a, b) in PAIRS.items():
            build = binary(op, a, b, options, "none", low=low, **pot)
            yield recipe(op, label, build)
            yield recipe(op, label, build, "int8")
        for mode in ("uint8", "int16"):
            for label in ("", "scalar", "last", "column", "both"):
                yield recipe(op, label, binary(op, *PAIRS[label], options, "none", low=low, **pot),
                             mode)
        for act in ("relu", "relu6", "relu_n1_to_1"):
            for mode in ("float", *QUANT):
                yield recipe(op, act, binary(op, (2, 3, 9), (3, 9), options, act, low=low, **pot),
                             mode)
        for mode in ("float", "int8"):
            yield recipe(op, "constant", binary(op, (2, 3, 4), (4,), options, "none", low=low,
                                                constant=1, **pot), mode)
            yield recipe(op, "constant_first", binary(op, (4,), (2, 3, 4), options, "none", low=low,
                                                      constant=0, **pot), mode)
        for dtype in ("int32", "int64", "int16"):
            if (op, dtype) in (("DIV", "int64"), ("DIV", "int16"), ("SUB", "int16")):
                continue  # refused; SUB of int16 without scales aborts
            for label in ("", "column", "scalar"):
                yield recipe(op, tag(label, dtype), whole_binary(
                    op, *PAIRS[label], dtype, options, fusedActivationFunction=0), kind="exact")
        yield recipe(op, "relu_int32", whole_binary(op, (3, 4), (3, 4), "int32", options,
                                                    fusedActivationFunction=1), kind="exact")
    for label, a, b in (("empty", (0, 3), (0, 3)), ("empty_broadcast", (2, 0), (1,))):
        yield recipe("ADD", label, binary("ADD", a, b, "Add", "none"))
    for op in ("ADD", "SUB"):
        yield recipe(op, "powers_of_two", powers_of_two(op), "int16")
    yield recipe("MUL", "uint32", whole_binary("MUL", (3, 4), (4,), "uint32", "Mul"), kind="exact")
    yield recipe("MUL", "complex64", complex_mul)
    for op in ("MAXIMUM", "MINIMUM"):
        for label, (a, b) in PAIRS.items():
            yield recipe(op, label, binary(op, a, b, "MaximumMinimum"), kind="exact")
        for mode in QUANT:
            for label in ("", "scalar", "last"):
                yield recipe(op, label, binary(op, *PAIRS[label], "MaximumMinimum", like=True),
                             mode, "exact")
        for dtype in ("int32", "int64"):
            yield recipe(op, tag("", dtype), whole_binary(op, (2, 3, 4), (3, 1), dtype,
                                                          "MaximumMinimum"), kind="exact")
    for label in ("", "scalar", "last", "both"):
        pair = PAIRS[label]
        for mode in ("float", "int8"):
            yield recipe("SQUARED_DIFFERENCE", label, binary("SQUARED_DIFFERENCE", *pair,
                                                             "SquaredDifference"), mode)
        yield recipe("POW", label, binary("POW", *pair, "Pow", low=0.1))
        yield recipe("POW", tag(label, "int32"), whole_binary("POW", *pair, "int32", "Pow",
                                                                      low=0, high=6), kind="exact")
        for op, options in (("FLOOR_DIV", "FloorDiv"), ("FLOOR_MOD", "FloorMod")):
            yield recipe(op, label, floor_binary(op, options, *pair))
            for dtype in ("int32", "int16", "int8", "int64"):
                if (op, dtype) != ("FLOOR_DIV", "int64"):
                    yield recipe(op, tag(label, dtype), whole_binary(
                        op, *pair, dtype, options, nonzero=True), kind="exact")
    yield recipe("ATAN2", "", binary("ATAN2", (3, 7), (3, 7), "ATan2"))  # does not broadcast
    yield recipe("SQUARED_DIFFERENCE", "int32", whole_binary(
        "SQUARED_DIFFERENCE", (2, 3), (3,), "int32", "SquaredDifference"), kind="exact")
    for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32"):
        for label in ("", "column", "scalar"):
            yield recipe("BITWISE_XOR", tag(label, dtype), whole_binary(
                "BITWISE_XOR", *PAIRS[label], dtype, "BitwiseXor"), kind="exact")
            yield recipe("RIGHT_SHIFT", tag(label, dtype), shift(
                *PAIRS[label], dtype), kind="exact")
    for op, options in (("LOGICAL_AND", "LogicalAnd"), ("LOGICAL_OR", "LogicalOr")):
        for label in ("", "scalar", "column", "both"):
            yield recipe(op, label, logical(op, *PAIRS[label], options), kind="exact")
    for dtype in ("float32", "int32"):
        for count in (2, 4):
            yield recipe("ADD_N", f"{count}_{dtype}", add_n(count, dtype),
                         kind="float" if dtype == "float32" else "exact")


def powers_of_two(op):
    """What int16 had before general scales: all scales are powers of two."""
    def build(n):
        x = n.input(n.uniform(-3, 3, 2, 9), scale=2.0 ** -13)
        y = n.input(n.uniform(-3, 3, 2, 9), scale=2.0 ** -12)
        return n.op(op, [x, y], (2.0 ** -12, 0), op.title(), potScaleInt16=True)
    return build


def complex_mul(n):
    x, y = (n.normal(3, 4) + 1j * n.normal(3, 4) for _ in "xy")
    return n.op("MUL", [n.input(x.astype(np.complex64)), n.input(y.astype(np.complex64))],
                "complex64", "Mul")


def whole_binary(op, a, b, dtype, options, low=None, high=20, nonzero=False, **fields):
    def build(n):
        low_of = (0 if dtype.startswith("u") else -20) if low is None else low
        x, y = (n.integers(low_of, high, shape, dtype) for shape in (a, b))
        y = np.where(y == 0, 3, y).astype(dtype) if nonzero or op == "DIV" else y
        return n.op(op, [n.input(x), n.input(y)], dtype, options, **fields)
    return build


def floor_binary(op, options, a, b):
    def build(n):
        y = n.uniform(0.4, 2, *b) * np.where(n.rng.random(b) < 0.5, -1, 1).astype(np.float32)
        return n.op(op, [n.input(n.uniform(-9, 9, *a)), n.input(y)], "float32", options)
    return build


def shift(a, b, dtype):
    def build(n):
        ends = np.iinfo(dtype)
        x = n.input(n.integers(ends.min, ends.max, a, dtype))
        # Distances past the ends are clamped.
        y = n.input(n.integers(0 if dtype.startswith("u") else -2, ends.bits + 2, b, dtype))
        return n.op("RIGHT_SHIFT", [x, y], dtype, "RightShift")
    return build


def logical(op, a, b, options):
    def build(n):
        return n.op(op, [n.input(n.rng.random(a) < 0.5), n.input(n.rng.random(b) < 0.5)], "bool",
                    options)
    return build


def add_n(count, dtype):
    def build(n):
        values = [n.normal(3, 4) if dtype == "float32" else n.integers(-9, 9, (3, 4))
                  for _ in range(count)]
        return n.op("ADD_N", [n.input(v) for v in values], dtype, "AddN")
    return build


COMPARISONS = {"EQUAL": "Equal", "NOT_EQUAL": "NotEqual", "LESS": "Less", "LESS_EQUAL": "LessEqual",
               "GREATER": "Greater", "GREATER_EQUAL": "GreaterEqual"}


def comparison(op, options, a, b, dtype):
    def build(n):
        if dtype == "bool":
            x, y = n.rng.random(a) < 0.5, n.rng.random(b) < 0.5
        else:
            x, y = n.integers(-3, 3, a, dtype), n.integers(-3, 3, b, dtype)
        return n.op(op, [n.input(x), n.input(y)], "bool", options)
    return build


def compare_quantized(op, options):
    """Two scales: equal numbers are rare unless the scales are multiples."""
    def build(n):
        x, y = n.input(n.uniform(-3, 3, 4, 9)), n.input(n.uniform(-2, 3, 4, 9))
        return n.op(op, [x, y], "bool", options)
    return build


def comparison_recipes():
    for op, options in COMPARISONS.items():
        for dtype in ("float32", "int32", "int64", "int16", "bool"):
            if dtype == "bool" and op not in ("EQUAL", "NOT_EQUAL"):
                continue
            if dtype == "int16" and op != "EQUAL":
                continue
            for label in ("", "scalar", "column"):
                yield recipe(op, tag(label, dtype), comparison(
                    op, options, *PAIRS[label], dtype), kind="exact")
        for mode in ("int8", "uint8"):
            # One number may fall on either side where rescaling rounds.
            yield recipe(op, "scales", compare_quantized(op, options), mode)


REDUCTIONS = {"": ((2, 3, 4, 5), [1, 2]), "last": ((3, 4, 7), [-1]), "first": ((4, 3), [0]),
              "all": ((2, 3, 4), [0, 1, 2]), "outer": ((2, 3, 4), [0, 2]),
              "repeated": ((3, 4), [1, -1]), "rank5": ((2, 2, 3, 2, 2), [1, 3]),
              "vector": ((9,), [0]), "none": ((2, 3), []), "empty": ((2, 0), [1])}


def reduction(op, shape, axes, keep, dtype="float32", out="act", scalar=False, low=-2.0):
    def build(n):
        if dtype == "float32":
            x = n.uniform(low, 2, *shape)
        elif dtype == "bool":
            x = n.rng.random(shape) < 0.5
        else:
            x = n.integers(0 if dtype.startswith("u") else -4, 4, shape, dtype)
        given = np.array(axes[0] if scalar else axes, np.int32)
        kind = "same" if dtype != "float32" else out
        return n.op(op, [n.input(x), n.const(given)], kind, "Reducer", keepDims=keep)
    return build


def reduction_recipes():
    for op in ("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
        kind = "exact" if op in ("REDUCE_MAX", "REDUCE_MIN") else None
        low = 0.6 if op == "REDUCE_PROD" else -2.0
        for label, (shape, axes) in REDUCTIONS.items():
            if label == "empty" and op not in ("SUM", "REDUCE_PROD"):
                continue
            for keep in (False, True):
                yield recipe(op, f"{label}_keep" if keep else label, reduction(
                    op, shape, axes, keep, low=low), kind=kind)
        yield recipe(op, "scalar_axis", reduction(op, (3, 4), [1], False, scalar=True, low=low),
                     kind=kind)
        modes = {"REDUCE_PROD": ("int8", "int16")}
        for mode in modes.get(op, QUANT):
            for label in ("", "last", "all", "outer"):
                shape, axes = REDUCTIONS[label]
                out = "same" if op in ("REDUCE_MAX", "REDUCE_MIN") else "act"
                yield recipe(op, label, reduction(op, shape, axes, label == "", out=out, low=low),
                             mode, kind)
        for dtype in ("int32", "int64"):
            yield recipe(op, dtype, reduction(op, (2, 3, 4), [1], False, dtype), kind="exact")
        if op == "MEAN":
            yield recipe(op, "same_scale", reduction(op, (2, 4, 4, 3), [1, 2], True, out="same"),
                         "int8")
            yield recipe(op, "same_scale", reduction(op, (2, 4, 4, 3), [1, 2], True, out="same"),
                         "uint8")
    for op in ("REDUCE_ANY", "REDUCE_ALL"):
        for label in ("", "last", "all"):
            shape, axes = REDUCTIONS[label]
            yield recipe(op, label, reduction(op, shape, axes, label == "last", "bool"),
                         kind="exact")
    for op in ("ARG_MAX", "ARG_MIN"):
        for axis in (0, 1, -1):
            for number, dtype in ((2, "int32"), (4, "int64")):
                yield recipe(op, f"axis{axis}_{dtype}", arg(op, axis, number, dtype), kind="exact")
        yield recipe(op, "int32_input", arg(op, 1, 2, "int32", n_of="int32"), kind="exact")
        yield recipe(op, "bool_input", arg(op, 1, 2, "int32", n_of="bool"), kind="exact")
        for mode in ("int8", "uint8"):
            yield recipe(op, "", arg(op, -1, 2, "int32"), mode, "exact")
    for exclusive in (False, True):
        for reverse in (False, True):
            for axis, dtype in ((0, "float32"), (-1, "int32"), (1, "int64")):
                yield recipe("CUMSUM", f"axis{axis}_{dtype}" + "_exclusive" * exclusive
                             + "_reverse" * reverse, cumsum(axis, dtype, exclusive, reverse),
                             kind="float" if dtype == "float32" else "exact")


def arg(op, axis, number, dtype, n_of="float32"):
    def build(n):
        x = n.normal(3, 4, 5)
        if n_of != "float32":
            x = n.integers(-3, 3, (3, 4, 5)) if n_of == "int32" else x > 0  # ties: the first wins
        options = "ArgMax" if op == "ARG_MAX" else "ArgMin"
        return n.op(op, [n.input(x), n.const(np.int32(axis))], dtype, options, outputType=number)
    return build


def cumsum(axis, dtype, exclusive, reverse):
    def build(n):
        x = n.normal(3, 4, 5) if dtype == "float32" else n.integers(-9, 9, (3, 4, 5), dtype)
        return n.op("CUMSUM", [n.input(x), n.const(np.int32(axis))], dtype, "Cumsum",
                    exclusive=exclusive, reverse=reverse)
    return build


def pool(op, x, size, stride=None, padding=VALID, act="none"):
    def build(n):
        steps = stride or size
        return n.op(op, [n.input(n.normal(*x))], "same", "Pool2D", padding=padding,
                    strideH=steps[0], strideW=steps[1], filterHeight=size[0], filterWidth=size[1],
                    fusedActivationFunction=ACTIVATIONS[act])
    return build


def pool_recipes():
    shapes = {
        "": ((2, 4, 6, 3), (2, 2)), "same": ((1, 5, 6, 3), (3, 3), (1, 1), SAME),
        "same_stride2": ((1, 7, 6, 4), (3, 3), (2, 2), SAME),
        "stride23": ((1, 9, 8, 2), (2, 4), (2, 3), SAME), "whole": ((1, 5, 4, 7), (5, 4)),
        "valid_stride1": ((1, 5, 5, 33), (2, 3), (1, 1)), "one": ((1, 3, 3, 4), (1, 1)),
        "stride_larger": ((1, 7, 7, 2), (2, 2), (3, 3)),
        "relu": ((1, 4, 4, 3), (2, 2), (2, 2), VALID, "relu"),
        "relu6": ((1, 4, 4, 3), (2, 2), (2, 2), VALID, "relu6"),
        "relu_n1_to_1": ((1, 4, 4, 3), (2, 2), (2, 2), VALID, "relu_n1_to_1"),
    }
    for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"):
        for label, args in shapes.items():
            for mode in ("float", *QUANT) if op != "L2_POOL_2D" else ("float",):
                exact = op == "MAX_POOL_2D" and not label.startswith("relu")
                yield recipe(op, label, pool(op, *args), mode, "exact" if exact else None)


def softmax(op, shape, out, beta=None, scale=2.0):
    def build(n):
        x = n.input(n.normal(*shape, scale=scale))
        fields = {} if beta is None else {"beta": beta}
        return n.op(op, [x], out_of(n, out), "Softmax" if fields else "LogSoftmax", **fields)
    return build


def normalization_recipes():
    out = {"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 32768, 0)}
    for mode in ("float", *QUANT):
        for label, shape, beta in (("", (3, 10), 1.0), ("beta", (2, 3, 7), 0.4),
                                   ("vector", (9,), 1.0), ("rank4", (1, 2, 3, 5), 2.0),
                                   ("wide", (2, 131), 1.0)):
            yield recipe("SOFTMAX", label, softmax("SOFTMAX", shape, out, beta), mode)
    yield recipe("SOFTMAX", "large_inputs", softmax("SOFTMAX", (3, 6), out, 1.0, 80.0))
    out = {"int8": (16 / 256, 127), "uint8": (16 / 256, 255)}
    for mode in ("float", "int8", "uint8"):
        for label, shape in (("", (3, 10)), ("rank3", (2, 3, 7)), ("rank4", (1, 2, 3, 5))):
            yield recipe("LOG_SOFTMAX", label, softmax("LOG_SOFTMAX", shape, out), mode)
    out = {"int8": (1 / 128, 0), "uint8": (1 / 128, 128)}
    for mode in ("float", "int8", "uint8"):
        for label, shape in (("", (3, 10)), ("rank4", (1, 2, 3, 5))):
            yield recipe("L2_NORMALIZATION", label, l2_norm(shape, out), mode)
    for label, fields in (("", {"radius": 2, "bias": 1.0, "alpha": 0.5, "beta": 0.75}),
                          ("wide", {"radius": 9, "bias": 0.5, "alpha": 1.0, "beta": 0.5})):
        yield recipe("LOCAL_RESPONSE_NORMALIZATION", label, local_response(fields))
    for mode in ("float", "int8", "uint8"):  # int16 runs, but not as PRELU
        for label, slope in (("", (5,)), ("per_place", (3, 4, 5)), ("scalar", (1,)),
                             ("shared", (1, 1, 5))):
            yield recipe("PRELU", label, prelu(slope), mode)
    yield recipe("PRELU", "input", prelu((1, 1, 5), "input"))


def l2_norm(shape, out):
    return lambda n: n.op("L2_NORMALIZATION", [n.input(n.normal(*shape))], out_of(n, out), "L2Norm")


def local_response(fields):
    return lambda n: n.op("LOCAL_RESPONSE_NORMALIZATION", [n.input(n.normal(2, 3, 2, 8))], "act",
                          "LocalResponseNormalization", **fields)


def prelu(slope, second="constant"):
    def build(n):
        x = n.input(n.normal(2, 3, 4, 5))
        make = n.constant if second == "constant" else n.input
        return n.op("PRELU", [x, make(n.uniform(-0.3, 0.8, *slope))], "act")
    return build


def quantize(source, target, ratio=1.0):
    """From float32, or between two integer types with scales that differ by ratio."""
    def build(n):
        values = n.uniform(-2, 3, 5, 7)
        lowest, highest, _ = LIMITS[target]
        scale = np.float32(5.3 / (highest - lowest)) if target != "int16" else np.float32(3 / 32767)
        zero = 0 if target == "int16" else lowest + 103 * (highest - lowest) // 256
        if source == "float32":
            x = n.input(values, dtype="float32")
        else:
            low, high, _ = LIMITS[source]
            step = scale * np.float32((highest - lowest) / (high - low) * ratio)
            x = n.input(values, scale=step, dtype=source,
                        zero=0 if source == "int16" else low + (high - low) // 2)
        made = n.tensor((5, 7), target, scale, zero)
        return n.emit("QUANTIZE", [x], [made], "Quantize", version=2)[0]
    return build


def quantize_axis(axis):
    def build(n):
        x = n.input(n.normal(3, 4), dtype="float32")
        scales = np.array([0.02, 0.03, 0.05, 0.07][:(3, 4)[axis]])
        made = n.tensor((3, 4), "int8", scales, 0, axis)
        return n.emit("QUANTIZE", [x], [made], "Quantize", version=3)[0]
    return build


def dequantize(source, axis=None):
    def build(n):
        if source == "float16":
            x = n.input(n.normal(3, 5).astype(np.float16))
            return n.op("DEQUANTIZE", [x], "float32", "Dequantize", version=3)
        if axis is None:
            return n.op("DEQUANTIZE", [n.input(n.normal(3, 5), dtype=source)], "float32",
                        "Dequantize", version=3)
        raw = n.integers(-127, 127, (4, 5), "int8")
        x = n.tensor((4, 5), "int8", np.array([0.1, 0.02, 0.3, 0.07, 0.5][:(4, 5)[axis]]), 0, axis)
        n.graph.inputs.append(x.index)
        n.inputs.append(raw)
        return n.op("DEQUANTIZE", [x], "float32", "Dequantize", version=5)
    return build


def cast(source, target):
    def build(n):
        if source == "bool":
            x = n.rng.random((3, 5)) < 0.5
        elif source == "complex64":
            x = (n.normal(3, 5) + 1j * n.normal(3, 5)).astype(source)
        elif source.startswith("float"):
            low = 0 if target.startswith("u") else -100
            x = n.rng.uniform(low, 100, (3, 5)).astype(source)
            x[0, :2] = 0, 2.5
        else:
            ends = np.iinfo(source)
            narrow = target.startswith("float") or target in ("complex64", "bool")
            x = n.integers(max(ends.min, -9), min(ends.max, 9), (3, 5), source) if narrow else \
                n.rng.integers(max(ends.min, -70000), min(ends.max, 70000), (3, 5)).astype(source)
        return n.op("CAST", [n.input(x, dtype=source)], target, "Cast",
                    inDataType=type_number(source), outDataType=type_number(target))
    return build


def fake_quant(low, high, bits):
    def build(n):
        return n.op("FAKE_QUANT", [n.input(n.uniform(-7, 7, 4, 20))], "act", "FakeQuant", min=low,
                    max=high, numBits=bits)
    return build


def conversion_recipes():
    for target in QUANT:
        yield recipe("QUANTIZE", f"float32_to_{target}", quantize("float32", target),
                     kind="quantized")
    for source in QUANT:
        for target in QUANT if source != "int16" else ("int8", "int16"):
            for ratio in (1.0, 0.7, 1.9):
                yield recipe("QUANTIZE", f"{source}_to_{target}_{ratio}", quantize(
                    source, target, ratio), kind="quantized")
    for source in ("int8", "uint8", "int16", "float16"):
        yield recipe("DEQUANTIZE", source, dequantize(source))
    for axis in (0, 1):
        yield recipe("QUANTIZE", f"float32_to_int8_axis{axis}", quantize_axis(axis),
                     kind="quantized")
        yield recipe("DEQUANTIZE", f"int8_axis{axis}", dequantize("int8", axis))
    types = ("float32", "int32", "int64", "uint8", "int8", "int16", "bool", "float16", "float64",
             "uint16", "uint32")
    for source in types:
        for target in types:
            if source != target:
                yield recipe("CAST", f"{source}_to_{target}", cast(source, target), kind="exact")
    for source, target in (("complex64", "float32"), ("float32", "complex64"),
                           ("int32", "complex64")):
        yield recipe("CAST", f"{source}_to_{target}", cast(source, target), kind="exact")
    for label, args in (("", (-3.0, 5.0, 8)), ("four_bits", (-3.0, 5.0, 4)),
                        ("positive", (1.0, 6.0, 8)), ("sixteen_bits", (-6.0, 6.0, 16))):
        yield recipe("FAKE_QUANT", label, fake_quant(*args))


def recipes():
    yield from unary_recipes()
    yield from binary_recipes()
    yield from comparison_recipes()
    yield from reduction_recipes()
    yield from pool_recipes()
    yield from normalization_recipes()
    yield from conversion_recipes()
