"""Small .tflite files from a few lines of Python: what the case tables are written in.

A case is a function of a Net that draws its inputs and weights from net.rng and adds operators.
The same function is run in several modes: in mode "float" everything is float32, in mode "int8"
the very same numbers become integers with the scales that a converter would choose. Quantized
outputs need ranges and every output needs a shape; both come from a run of the float form in
LiteRT, without its delegate, so that a table does not have to say them.
"""
import collections
import zlib

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3, "tanh": 4}

# What a mode makes of activations, weights and biases. `wrap` puts an operator between the stored
# weights and their user: DEQUANTIZE behind narrow ones, DENSIFY behind sparse ones; "CSR" leaves
# the sparse ones to the user.
Mode = collections.namedtuple("Mode", "activation weight per_axis bias wrap kind",
                              defaults=(None, "quantized"))
MODES = {
    "float": Mode("float32", "float32", False, "float32", None, "float"),
    "int8": Mode("int8", "int8", True, "int32"),
    "int8_tensor": Mode("int8", "int8", False, "int32"),
    "uint8": Mode("uint8", "uint8", False, "int32"),
    "int16": Mode("int16", "int8", True, "int64"),
    "int16_tensor": Mode("int16", "int8", False, "int64"),
    "int16_bias32": Mode("int16", "int8", True, "int32"),
    "int4": Mode("int8", "int4", True, "int32"),
    "int4_tensor": Mode("int8", "int4", False, "int32"),
    "int2": Mode("int8", "int2", True, "int32"),
    "int16_int4": Mode("int16", "int4", True, "int64"),
    "hybrid": Mode("float32", "int8", True, "float32"),
    "hybrid_tensor": Mode("float32", "int8", False, "float32"),
    "hybrid_int4": Mode("float32", "int4", True, "float32"),
    "hybrid_int4_tensor": Mode("float32", "int4", False, "float32"),
    "hybrid_int2": Mode("float32", "int2", True, "float32"),
    "float16_weights": Mode("float32", "float16", False, "float16", "DEQUANTIZE", "float"),
    "int8_weights": Mode("float32", "int8", True, "float32", "DEQUANTIZE", "float"),
    "int4_weights": Mode("float32", "int4", True, "float32", "DEQUANTIZE", "float"),
    "sparse": Mode("float32", "float32", False, "float32", "DENSIFY", "float"),
    "sparse_float16": Mode("float32", "float16", False, "float32", "DENSIFY", "float"),
    "sparse_int8": Mode("int8", "int8", True, "int32", "DENSIFY"),
    "sparse_int8_tensor": Mode("int8", "int8", False, "int32", "DENSIFY"),
    "csr": Mode("float32", "float32", False, "float32", "CSR", "float"),
    "csr_int8": Mode("int8", "int8", False, "int32", "CSR"),
    "csr_hybrid": Mode("float32", "int8", False, "float32", "CSR"),
}
# Integers of activations and weights: (lowest, highest, lowest of symmetric weights).
LIMITS = {"int8": (-128, 127, -127), "uint8": (0, 255, 1), "int16": (-32768, 32767, -32767),
          "int4": (-8, 7, -7), "int2": (-2, 1, -1)}

# Versions as the converter would write them where a type asks for more than 2.
VERSIONS = {
    "CONV_2D": {"int8": 3, "int16": 4, "int4": 7, "hybrid": 5},
    "DEPTHWISE_CONV_2D": {"int8": 3, "int16": 5, "int4": 7, "hybrid": 6},
    "FULLY_CONNECTED": {"int8": 4, "int16": 7, "int4": 10, "int2": 14, "hybrid": 12,
                        "hybrid_int4": 12, "int16_int4": 13, "hybrid_int2": 14},
    "BROADCAST_TO": {"float": 2, None: 3},
    "SVDF": {"int8": 3}, "LSTM": {"int8": 3}, "BATCH_MATMUL": {"int16": 3, None: 4},
}

# A case before it is built: build(net) makes it, kind says how near an answer has to come. The few
# with xnnpack False are wrong in LiteRT's default delegate; its own kernels are asked about them.
Recipe = collections.namedtuple("Recipe", "name op build mode kind xnnpack")
# Operators that stayed at version 1 when they learned int8.
FIRST_VERSION = {"ELU", "EXPAND_DIMS", "HARD_SWISH", "NEG", "PRELU", "RELU_0_TO_1", "RELU_N1_TO_1",
                 "RESHAPE"}

Tensor = collections.namedtuple("Tensor", "index shape dtype scale zero axis values")


def recipe(op, label, build, mode="float", kind=None, xnnpack=True):
    name = "_".join(part for part in (op, label, mode if mode != "float" else "") if part).lower()
    return Recipe(name, op, build, mode, kind or MODES[mode].kind, xnnpack)


def tag(label, dtype):
    """The label of a case in a type of its own: integers without a scale are plain."""
    plain = ("plain_" if dtype in LIMITS else "") + dtype if dtype != "float32" else ""
    return f"{label}_{plain}".strip("_")


class Refused(Exception):
    """LiteRT's message about a file that it does not run."""


class NeedRange(Exception):
    """A quantized output whose range nobody has told."""


class AlignedBuffer(schema.BufferT):
    """A buffer whose bytes start at a multiple of 16, as the converter writes them."""

    alignment = 16

    def Pack(self, builder):
        data = None
        if self.data is not None:
            raw = self.data.tobytes()
            builder.StartVector(1, len(raw), self.alignment)
            builder.head -= len(raw)
            builder.Bytes[builder.head:builder.head + len(raw)] = raw
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        schema.BufferAddOffset(builder, self.offset)
        schema.BufferAddSize(builder, self.size)
        return schema.BufferEnd(builder)


def packed(values, bits):
    """Signed integers of 4 or 2 bits, the first in the lowest bits of a byte."""
    per = 8 // bits
    flat = values.astype(np.int64).ravel() & ((1 << bits) - 1)
    flat = np.concatenate([flat, np.zeros(-len(flat) % per, np.int64)]).reshape(-1, per)
    return (flat << (np.arange(per) * bits)).sum(1).astype(np.uint8)


def type_number(dtype):
    return getattr(schema.TensorType, dtype.upper())


def choose(low, high, dtype):
    """Scale and zero point for a range, with the odd numbers that real ranges give."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    if dtype == "int16":
        return np.float32(max(-low, high, 1e-3) / 32767), 0
    lowest, highest, _ = LIMITS[dtype]
    scale = np.float32(max(high - low, 1e-3) / (highest - lowest))
    return scale, int(np.clip(round(lowest - low / scale), lowest, highest))


def quantized(values, scale, zero, dtype):
    lowest, highest, _ = LIMITS[dtype]
    raw = np.clip(np.rint(values / scale) + zero, lowest, highest)
    return raw.astype(dtype if dtype in ("int8", "uint8", "int16") else "int8")


def index_vector(numbers, kind):
    """One of the three unions of SparsityParameters: (type, vector)."""
    name = {"int32": "Int32Vector", "uint16": "Uint16Vector", "uint8": "Uint8Vector"}[kind]
    vector = getattr(schema, name + "T")()
    vector.values = np.array(numbers, kind)
    return getattr(schema.SparseIndexVector, name), vector


def sparse(values, order=None, blocks=(), formats=None, indices="int32"):
    """The stored elements and the SparsityParameters of an array.

    blocks: (dim, size) pairs; order: the traversal order of outer and block dims; formats: "d" or
    "s" per level. Two dims without blocks default to compressed rows.
    """
    rank = values.ndim
    sizes = dict(blocks)
    outer = [n // sizes.get(i, 1) for i, n in enumerate(values.shape)]
    split = []
    for i, n in enumerate(outer):
        split += [n, sizes.get(i, 1)]
    inner = [2 * i + 1 for i in sizes]
    levels = values.reshape(split).transpose([2 * i for i in range(rank)] + inner
                                             + [2 * i + 1 for i in range(rank) if i not in sizes])
    levels = levels.reshape(outer + list(sizes.values()))
    order = list(order or range(levels.ndim))
    formats = formats or "d" * (rank - 1) + "s" + "d" * len(sizes)
    levels = levels.transpose(order)
    nodes, table = [levels], []
    for size, form in zip(levels.shape, formats, strict=True):
        meta = schema.DimensionMetadataT()
        if form == "d":
            meta.format, meta.denseSize = schema.DimensionType.DENSE, size
            nodes = [part for node in nodes for part in node]
        else:
            meta.format = schema.DimensionType.SPARSE_CSR
            segments, found, parts = [0], [], []
            for node in nodes:
                keep = [i for i in range(size) if np.any(node[i])]
                found += keep
                parts += [node[i] for i in keep]
                segments.append(len(found))
            nodes = parts
            meta.arraySegmentsType, meta.arraySegments = index_vector(segments, indices)
            meta.arrayIndicesType, meta.arrayIndices = index_vector(found, indices)
        table.append(meta)
    parameters = schema.SparsityParametersT()
    parameters.traversalOrder, parameters.dimMetadata = order, table
    parameters.blockMap = list(sizes) or None
    return np.array(nodes, values.dtype), parameters


class Net:
    """A model in the making; see the top of this file."""

    def __init__(self, name, mode, known=None, aim=None):
        self.mode_name, self.mode, self.aim = mode, MODES[mode], MODES[aim or mode]
        self.known = known  # (shape, signature, range) by the order in which outputs were made
        self.alignment, self.behind = 16, False
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, name
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.model.subgraphs, self.model.signatureDefs = [], None
        self.inputs, self.made, self.codes = [], [], {}
        self.graph = self.new_graph("main")

    # Graphs and tensors

    def new_graph(self, name):
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = name, [], []
        graph.inputs, graph.outputs = [], []
        self.model.subgraphs.append(graph)
        return graph

    def branch(self, build):
        """Another subgraph, made by build(net), which returns its outputs; its index."""
        outer, index = self.graph, len(self.model.subgraphs)
        self.graph = self.new_graph(f"branch{index}")
        self.graph.outputs = [t.index for t in build(self)]
        self.graph = outer
        return index

    def tensor(self, shape, dtype, scale=None, zero=0, axis=0, data=None, values=None,
               signature=None, variable=False, sparsity=None, name=None):
        """A tensor of the current graph; data are the stored numbers of a constant."""
        t = schema.TensorT()
        t.shape, t.type = [int(n) for n in shape], type_number(dtype)
        t.name = name or f"t{len(self.graph.tensors)}"
        t.shapeSignature, t.isVariable, t.sparsity = signature, variable, sparsity
        t.buffer, t.hasRank = 0, True
        if scale is not None:
            t.quantization = schema.QuantizationParametersT()
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            t.quantization.scale = scales
            t.quantization.zeroPoint = np.resize(np.asarray(zero, np.int64), scales.shape)
            t.quantization.quantizedDimension = axis
        if data is not None:
            buffer = AlignedBuffer()
            buffer.alignment = self.alignment
            data = packed(data, int(dtype[3:])) if dtype in ("int4", "int2") else data
            buffer.data = np.ascontiguousarray(data)
            t.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(t)
        return Tensor(len(self.graph.tensors) - 1, list(shape), dtype, scale, zero, axis, values)

    def arg(self, dtype, shape, **more):
        """An input of a branch."""
        t = self.tensor(shape, dtype, **more)
        self.graph.inputs.append(t.index)
        return t

    def is_activation(self, values):
        return np.asarray(values).dtype in (np.float64, np.float32)

    def seen(self, values, scale, zero, dtype=None):
        """What is left of activations in the mode whose float form this is."""
        values, aim = np.asarray(values), dtype or self.aim.activation
        if self.mode is self.aim or aim not in LIMITS or not self.is_activation(values):
            return values
        if scale is None:
            scale, zero = choose(values.min(), values.max(), aim)
        return ((quantized(values, scale, zero, aim).astype(np.float32) - zero)
                * np.float32(scale)).astype(np.float32)

    def input(self, values, signature=None, scale=None, zero=0, dtype=None):
        """An input of the model. Floats become the mode's type, all else stays what it is."""
        values = self.seen(values, scale, zero, dtype)
        dtype = dtype or (self.mode.activation if self.is_activation(values) else str(values.dtype))
        raw = values
        if dtype in LIMITS and self.is_activation(values):
            if scale is None:
                scale, zero = choose(values.min(), values.max(), dtype)
            raw = quantized(values, scale, zero, dtype)
        shape = values.shape if signature is None else [max(n, 1) for n in signature]
        t = self.tensor(shape, dtype, scale, zero, values=values, signature=signature)
        self.graph.inputs.append(t.index)
        self.inputs.append(np.ascontiguousarray(raw).astype(dtype).reshape(values.shape))
        return t

    def const(self, values, **more):
        """A constant that is stored as it is: axes, shapes, tables of numbers."""
        values = np.asarray(values)
        return self.tensor(values.shape, str(values.dtype), data=values, values=values, **more)

    def constant(self, values, scale=None, zero=0):
        """A constant in the type of activations."""
        values, dtype = self.seen(values, scale, zero), self.mode.activation
        if dtype not in LIMITS or not self.is_activation(values):
            return self.const(values.astype(dtype) if self.is_activation(values) else values)
        if scale is None:
            scale, zero = choose(values.min(), values.max(), dtype)
        return self.tensor(values.shape, dtype, scale, zero, values=values,
                           data=quantized(values, scale, zero, dtype))

    def weight(self, values, axis=0, layout=None):
        """Constant weights: symmetric integers, with a scale for each slice along axis if the mode
        has scales per axis; uint8 ones have a zero point, as old files do. Sparse modes drop half
        of the blocks that layout cuts. The float form of a mode has the same weights as it."""
        values, mode, aim = np.asarray(values, np.float32), self.mode, self.aim
        if aim.wrap in ("DENSIFY", "CSR"):
            sizes = dict((layout or {}).get("blocks", ()))
            holes = self.rng.random([n // sizes.get(i, 1) for i, n in enumerate(values.shape)])
            for i, size in sizes.items():
                holes = holes.repeat(size, i)
            values = values * (holes < 0.5)
        dtype, scale, zero, raw = aim.weight, None, 0, values
        if dtype == "uint8":
            scale, zero = choose(values.min(), values.max(), dtype)
            raw = quantized(values, scale, zero, dtype)
            values = (raw.astype(np.float32) - zero) * scale
        elif dtype in LIMITS:
            high, lowest = LIMITS[dtype][1], LIMITS[dtype][2]
            others = tuple(i for i in range(values.ndim) if i != axis)
            size = np.abs(values).max(axis=others) if aim.per_axis else np.abs(values).max()
            scale = np.maximum(size, 1e-3).astype(np.float32) / np.float32(high)
            spread = scale.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
            raw = np.clip(np.rint(values / spread), lowest, high).astype("int8")
            values = raw * spread
        else:
            raw = values.astype(dtype)
        if mode is not aim:
            return self.const(values.astype(np.float32))
        axis, parameters = axis if mode.per_axis else 0, None
        if mode.wrap in ("DENSIFY", "CSR"):
            raw, parameters = sparse(raw, **(layout or {}))
        t = self.tensor(values.shape, dtype, scale, zero, axis, raw, values, sparsity=parameters)
        if mode.wrap == "DENSIFY":
            dense = self.tensor(values.shape, dtype, scale, zero, axis, values=values)
            t = self.emit("DENSIFY", [t], [dense], "Densify")[0]
        if mode.wrap == "DEQUANTIZE" or (dtype == "float16" and mode.wrap):
            wide = self.tensor(values.shape, "float32", values=values)
            t = self.emit("DEQUANTIZE", [t], [wide], "Dequantize")[0]
        return t

    def block_weight(self, values, size):
        """int4 weights with a float16 scale for each block of size along a row, in a tensor of
        their own: what language models have."""
        rows = np.asarray(values, np.float32).reshape(len(values), -1, size)
        scales = (np.abs(rows).max(-1) / 7).astype(np.float16)
        spread = scales[..., None].astype(np.float32)
        raw = np.clip(np.rint(rows / spread), -8, 7)
        if self.mode is not self.aim:
            return self.const((raw * spread).reshape(values.shape))
        table = self.const(scales)
        w = self.tensor(values.shape, "int4", data=raw.astype(np.int8))
        kept = self.graph.tensors[w.index].quantization = schema.QuantizationParametersT()
        kept.detailsType = schema.QuantizationDetails.BlockwiseQuantization
        kept.details = schema.BlockwiseQuantizationT()
        kept.details.scales, kept.details.zeroPoints = table.index, -1
        kept.details.blockSize = size
        return w

    def bias(self, values, x, w):
        """A constant bias: in integers of scale(x) * scale(w) where activations are integers."""
        values, dtype = np.asarray(values, np.float32), self.mode.bias
        if dtype in ("int32", "int64"):
            scale = np.float32(x.scale) * np.asarray(w.scale, np.float32)
            return self.tensor(values.shape, dtype, scale, 0, 0, values=values,
                               data=np.rint(values / scale).astype(dtype))
        t = self.const(values.astype(dtype))
        if dtype == "float16" and self.mode.wrap:
            wide = self.tensor(values.shape, "float32", values=values)
            return self.emit("DEQUANTIZE", [t], [wide], "Dequantize")[0]
        return t

    def stored(self, values, dtype, scale=None):
        """A constant of a given integer type and scale, symmetric; float32 in float forms."""
        values = np.asarray(values, np.float32)
        if self.mode.activation == "float32":
            return self.const(values)
        if scale is None:
            scale = np.abs(values).max() / np.float32(LIMITS[dtype][1])
        raw = np.rint(values / scale)
        raw = raw.astype(dtype) if dtype == "int32" else quantized(values, scale, 0, dtype)
        return self.tensor(values.shape, dtype, scale, 0, 0, raw, values)

    def coming(self, count=1):
        """Scale and zero point that suit the next outputs."""
        if self.mode.activation not in LIMITS:
            return None, 0
        if not self.known or len(self.made) not in self.known:
            raise NeedRange
        ends = [self.known[len(self.made) + i][2] for i in range(count)]
        return choose(min(low for low, _ in ends), max(high for _, high in ends),
                      self.mode.activation)

    def variable(self, shape, dtype=None, scale=None, zero=0):
        """A tensor that an operator keeps between runs, zero at first."""
        return self.tensor(shape, dtype or self.mode.activation, scale, zero, variable=True)

    # Operators

    def code(self, op, version):
        custom = op if not hasattr(schema.BuiltinOperator, op) else None
        if (op, version) not in self.codes:
            code = schema.OperatorCodeT()
            number = getattr(schema.BuiltinOperator, "CUSTOM" if custom else op)
            code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
            code.customCode, code.version = custom, version
            self.codes[op, version] = len(self.codes)
            self.model.operatorCodes.append(code)
        return self.codes[op, version]

    def version(self, op):
        """Not what LiteRT's rules say to the letter, but numbers that real files have."""
        if op in FIRST_VERSION:
            return 1
        table = VERSIONS.get(op, {})
        plain = self.mode_name.removesuffix("_tensor").removesuffix("_bias32")
        if plain in table:
            return table[plain]
        kind = self.mode.activation if self.mode.activation != "float32" else "float"
        return table.get(kind, table.get(None, 2 if kind in ("int8", "uint8") and not table else 1))

    def emit(self, op, inputs, outputs, options=None, version=1, custom=None, intermediates=None,
             **fields):
        node = schema.OperatorT()
        node.opcodeIndex = self.code(op, version)
        node.inputs = [-1 if t is None else t.index for t in inputs]
        node.outputs = [t.index for t in outputs]
        if options:
            table = getattr(schema, options + "OptionsT")()
            for key, value in fields.items():
                assert hasattr(table, key), (options, key)
                setattr(table, key, value)
            kinds = schema.BuiltinOptions
            which = "" if hasattr(kinds, options + "Options") else "2"
            kinds = schema.BuiltinOptions2 if which else kinds
            setattr(node, f"builtinOptions{which}Type", getattr(kinds, options + "Options"))
            setattr(node, f"builtinOptions{which}", table)
        if custom is not None:
            node.customOptions = np.frombuffer(custom, np.uint8)
        node.intermediates = [t.index for t in intermediates] if intermediates else None
        self.graph.operators.append(node)
        return outputs

    def op(self, op, inputs, outs="act", options=None, shapes=None, **more):
        """Adds an operator; its output, or a list of them where outs is a list.

        outs: "act" for the type of activations with a scale of its own, "same" for what the first
        input has, (scale, zero) for the type of activations with these, else a type.
        """
        first = next((t for t in inputs if t is not None), None)
        made = []
        for i, out in enumerate(outs if isinstance(outs, list) else [outs]):
            made.append(self.output(out, first, shapes[i] if shapes else None))
        version = more.pop("version", None) or self.version(op)
        self.emit(op, inputs, made, options, version, **more)
        return made if isinstance(outs, list) else made[0]

    def output(self, out, first, shape):
        key, main = len(self.made), self.graph is self.model.subgraphs[0]
        signature, scale, zero, dtype = None, None, 0, self.mode.activation
        if shape is None and main and self.known and key in self.known:
            shape, signature = self.known[key][:2]
        elif shape is None:
            shape = [] if main else first.shape
        if out == "same":
            dtype, scale, zero = first.dtype, first.scale, first.zero
        elif out == "act" and dtype in LIMITS:
            if not self.known or key not in self.known:
                raise NeedRange
            scale, zero = choose(*self.known[key][2], dtype)
        elif isinstance(out, tuple):
            scale, zero = out if dtype in LIMITS else (None, 0)
        elif out != "act":
            dtype = out
        t = self.tensor(shape, dtype, scale, zero, signature=signature)
        if main:
            self.made.append(t.index)
        return t

    def signature(self, key, inputs, outputs):
        """Names for inputs and outputs: {name: tensor} twice."""
        entry = schema.SignatureDefT()
        entry.signatureKey, entry.subgraphIndex = key, 0
        for role, tensors in (("inputs", inputs), ("outputs", outputs)):
            maps = []
            for name, t in tensors.items():
                one = schema.TensorMapT()
                one.name, one.tensorIndex = name, t.index
                maps.append(one)
            setattr(entry, role, maps)
        self.model.signatureDefs = (self.model.signatureDefs or []) + [entry]

    def finish(self, outputs):
        outputs = [outputs] if isinstance(outputs, Tensor) else outputs
        main = self.model.subgraphs[0]
        main.outputs = [t.index for t in outputs]
        if not self.behind:
            return self.packed_model()
        # As files over 2 GiB have it: the bytes of buffers lie behind the flatbuffer.
        tail, raws = b"", [b.data for b in self.model.buffers]
        for buffer, raw in zip(self.model.buffers, raws):
            if raw is not None:
                buffer.data, buffer.offset, buffer.size = None, 2, raw.nbytes
        start = -(-len(self.packed_model()) // 16) * 16
        for buffer, raw in zip(self.model.buffers, raws):
            if raw is not None:
                buffer.offset = start + len(tail)
                tail += raw.tobytes() + bytes(-raw.nbytes % 16)
        return self.packed_model().ljust(start, b"\0") + tail

    def packed_model(self):
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def normal(self, *shape, scale=1.0, shift=0.0):
        return (self.rng.standard_normal(shape) * scale + shift).astype(np.float32)

    def uniform(self, low, high, *shape):
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def integers(self, low, high, shape, dtype="int32"):
        """Integers from low to high, both among them."""
        return self.rng.integers(low, high, shape, endpoint=True).astype(dtype)


def interpreter(data, inputs, delegate=True, keep=False):
    """LiteRT with the inputs set, in one thread; raises Refused with its message. Without inputs:
    as the shapes in the file are."""
    kind = OpResolverType.BUILTIN if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        lite = Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=kind,
                           experimental_preserve_all_tensors=keep)
        for detail, value in zip(lite.get_input_details(), inputs or ()):
            if list(detail["shape"]) != list(value.shape):
                lite.resize_tensor_input(detail["index"], value.shape)
        lite.allocate_tensors()
        for detail, value in zip(lite.get_input_details(), inputs or ()):
            lite.set_tensor(detail["index"], value)
    except (RuntimeError, ValueError) as e:
        raise Refused(str(e)) from e
    return lite


def invoke(lite):
    try:
        lite.invoke()
    except (RuntimeError, ValueError) as e:
        raise Refused(str(e)) from e


def value_of(lite, index):
    """A tensor's value; LiteRT's own way to get it fails where there are no elements."""
    detail = next(d for d in lite.get_tensor_details() if d["index"] == index)
    if 0 in detail["shape"]:
        return np.zeros(detail["shape"], detail["dtype"])
    return np.array(lite.get_tensor(index))


def outputs_of(data, inputs, delegate=True):
    """What LiteRT computes: a list of arrays."""
    lite = interpreter(data, inputs, delegate)
    invoke(lite)
    try:
        return [value_of(lite, d["index"]) for d in lite.get_output_details()]
    except (RuntimeError, ValueError) as e:
        raise Refused(str(e)) from e


def shapes_in(lite):
    return {d["index"]: [int(n) for n in d["shape"]] for d in lite.get_tensor_details()}


def probe(name, build, mode, aim):
    """Shapes and ranges of all that operators make when the case is built in this mode, to be used
    in mode aim."""
    net = Net(name, mode, aim=aim)
    data = net.finish(build(net))
    tensors = net.model.subgraphs[0].tensors
    lite = interpreter(data, net.inputs, delegate=False, keep=True)
    before = shapes_in(lite)
    invoke(lite)
    after, known = shapes_in(lite), {}
    least = after
    if any(tensors[i].shapeSignature for i in net.model.subgraphs[0].inputs):
        least = shapes_in(interpreter(data, None, delegate=False))
    for key, index in enumerate(net.made):
        shape, signature, ends = after[index], None, (-1.0, 1.0)
        if before[index] != shape:  # known when it has been computed
            shape, signature = [1] * len(shape), [-1] * len(shape)
        elif least[index] != shape:
            signature = [n if n == m else -1 for n, m in zip(shape, least[index])]
            shape = least[index]
        if tensors[index].type == schema.TensorType.FLOAT32:
            values = value_of(lite, index)
            if values.size:
                ends = float(values.min()), float(values.max())
        known[key] = shape, signature, ends
    return known


def model_of(name, build, mode, aim=None):
    """The file of a case and its inputs. With an aim: the float form of the case in that mode."""
    known = None
    for first in dict.fromkeys(["float", mode]):
        try:
            known = probe(name, build, first, aim or mode)
            break
        except (Refused, NeedRange) as e:
            fault = e
    if known is None:
        raise Refused(str(fault) or "no range: the float form does not run")
    net = Net(name, mode, known, aim)
    data = net.finish(build(net))
    return data, net.inputs
