"""TensorFlow Lite's operators with a memory, subgraphs and custom ones against LiteRT."""
import os

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import support

flatbuffers = pytest.importorskip("flatbuffers")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
from ai_edge_litert.interpreter import Interpreter  # noqa: E402
from flatbuffers import flexbuffers  # noqa: E402

TANH, RELU = 4, 1


class Net:
    """A small model in the making. Tensors are numbers; a scale makes an array integers."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.model = schema.ModelT()
        self.model.version, self.model.operatorCodes = 3, []
        self.model.buffers, self.model.subgraphs = [schema.BufferT()], []
        self.values, self.codes = {}, {}
        self.graph = self.main = self.new_graph()

    def new_graph(self):
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self.model.subgraphs.append(graph)
        return graph

    def branch(self, build):
        """The number of a subgraph whose outputs build() returns."""
        outer, index = self.graph, len(self.model.subgraphs)
        self.graph = self.new_graph()
        self.graph.outputs = build()
        self.graph = outer
        return index

    def tensor(self, shape, dtype="float32", scale=None, zero=0, data=None, variable=False):
        t = schema.TensorT()
        t.name, t.shape = f"t{len(self.model.subgraphs)}_{len(self.graph.tensors)}", list(shape)
        t.type, t.isVariable, t.buffer = getattr(schema.TensorType, dtype.upper()), variable, 0
        if scale is not None:
            t.quantization = schema.QuantizationParametersT()
            t.quantization.scale = [np.float32(scale)]
            t.quantization.zeroPoint = [zero]
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            t.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def const(self, values):
        values = np.asarray(values)
        return self.tensor(values.shape, str(values.dtype), data=values)

    def weight(self, *shape, dtype=None, scale=None, size=0.5):
        """Random numbers; integers of this scale, or of one that fits."""
        values = self.rng.normal(size=shape).astype(np.float32) * np.float32(size)
        if dtype is None:
            return self.const(values)
        most = np.iinfo(dtype).max
        scale = scale or float(np.abs(values).max()) / most
        data = np.clip(np.rint(values / scale), -most, most).astype(dtype)
        return self.tensor(shape, dtype, scale, data=data)

    def input(self, shape, dtype="float32", scale=None, zero=0, values=None):
        index = self.tensor(shape, dtype, scale, zero)
        self.graph.inputs.append(index)
        if self.graph is self.main:
            if values is None:
                values = self.rng.normal(size=shape) if dtype == "float32" else \
                    self.rng.integers(-128, 128, shape)
            self.values[self.graph.tensors[index].name] = np.asarray(values, dtype)
        return index

    def op(self, name, inputs, outputs, options=None, inner=(), custom=None, **fields):
        key = name, custom is not None
        if key not in self.codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, "CUSTOM" if custom else name)
            code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
            code.customCode = name if custom else None
            self.codes[key] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        op = schema.OperatorT()
        op.opcodeIndex, op.inputs, op.outputs = self.codes[key], list(inputs), list(outputs)
        op.intermediates = list(inner) or None
        if custom:
            op.customOptions = np.frombuffer(custom, np.uint8)
        if options:
            op.builtinOptions = getattr(schema, options + "T")()
            op.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            for field, value in fields.items():
                assert hasattr(op.builtinOptions, field)
                setattr(op.builtinOptions, field, value)
        self.graph.operators.append(op)
        return outputs[0] if outputs else None

    def apply(self, name, inputs, shape, dtype="float32", options=None, **fields):
        return self.op(name, inputs, [self.tensor(shape, dtype)], options, **fields)

    def bytes(self, *outputs):
        self.main.outputs = list(outputs)
        builder = flatbuffers.Builder()
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def lite_outputs(data, values, delegate=True):
    kind = None
    if not delegate:
        from ai_edge_litert.interpreter import OpResolverType
        kind = {"experimental_op_resolver_type": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}
    lite = Interpreter(model_content=data, num_threads=1, **(kind or {}))
    lite.allocate_tensors()
    for d in lite.get_input_details():
        lite.set_tensor(d["index"], values[d["name"]])
    lite.invoke()
    return {d["name"]: lite.get_tensor(d["index"]) for d in lite.get_output_details()}


@pytest.fixture
def compare(tmp_path):
    """A function that runs a model here and there. Integers must be equal."""
    def run(net, *outputs, near=1e-5, delegate=True):
        data = net.bytes(*outputs)
        path = tmp_path / "m.tflite"
        path.write_bytes(data)
        want = lite_outputs(data, net.values, delegate)
        got = support.run_model(path, net.values, tmp_path)
        assert set(got) == set(want)
        for name, right in want.items():
            assert got[name].shape == right.shape and got[name].dtype == right.dtype
            if right.dtype.kind in "iub":
                np.testing.assert_array_equal(got[name], right)
            else:
                np.testing.assert_allclose(got[name], right, rtol=near, atol=near)
        return path
    return run


def lstm_inputs(n, cells, units, depth, *, mode="float", cifg=False, peephole=False,
                projection=False, norm=False, x_scale=None):
    """Inputs 1 to 17 of an LSTM and the coefficients of its normalization."""
    weights = None if mode == "float" else "int8"
    gates = [n.weight(cells, depth, dtype=weights) if g or not cifg else -1 for g in range(4)]
    loops = [n.weight(cells, units, dtype=weights) if g or not cifg else -1 for g in range(4)]
    wide = {"float": None, "hybrid": "int8", "int8": "int16"}[mode]
    peeps = [n.weight(cells, dtype=wide) if peephole and (g or not cifg) else -1 for g in range(3)]
    norms = [n.weight(cells, dtype="int16" if mode == "int8" else None) if norm and (g or not cifg)
             else -1 for g in range(4)]
    biases = []
    for gate, coefficient in zip(gates, norms):
        source = gate if not norm else coefficient
        if gate < 0:
            biases.append(-1)
        elif mode != "int8":
            biases.append(n.weight(cells))
        else:
            scale = n.graph.tensors[source].quantization.scale[0]
            biases.append(n.weight(cells, dtype="int32",
                                   scale=scale / 1024 if norm else scale * x_scale))
    project = n.weight(units, cells, dtype=weights) if projection else -1
    return [*gates, *loops, *peeps, *biases, project, -1], norms


FORMS = {"plain": {}, "cifg": {"cifg": True}, "peephole": {"peephole": True},
         "cifg_peephole": {"cifg": True, "peephole": True}, "norm": {"norm": True},
         "projection": {"projection": True}}


@pytest.mark.parametrize("mode", ["float", "hybrid", "int8"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("clip", [0.0, 0.3])
@pytest.mark.parametrize("major", [False, True])
def test_sequence_lstm(compare, mode, form, clip, major):
    """In integers every bit is LiteRT's; LiteRT rounds inputs of hybrid layers, which Narrow does not."""
    n = Net(3)
    cells, units = 8, 5 if form == "projection" else 8
    scale = 0.03 if mode == "int8" else None
    x = n.input((6, 2, 4) if major else (2, 6, 4), "int8" if scale else "float32", scale, -7)
    inputs, norms = lstm_inputs(n, cells, units, 4, mode=mode, x_scale=scale, **FORMS[form])
    out = (0.008, 11) if mode == "int8" else ()
    kind = ("int8", *out) if out else ()
    states = [n.tensor((2, units), *kind, variable=True),
              n.tensor((2, cells), *(("int16", 2.0 ** -11) if out else ()), variable=True)]
    inner = []
    if mode == "int8":
        inner = [n.tensor((), "int16", 2.0 ** -11) for _ in range(4)]
        inner.append(n.tensor((), "int8", *((1 / 128, 0) if form == "projection" else out)))
    y = n.tensor((6, 2, units) if major else (2, 6, units), *kind)
    n.op("UNIDIRECTIONAL_SEQUENCE_LSTM", [x, *inputs, *states, *norms], [y],
         "UnidirectionalSequenceLSTMOptions", inner, fusedActivationFunction=TANH, timeMajor=major,
         cellClip=clip, projClip=0.0)
    compare(n, y, near=3e-2 if mode == "hybrid" else 1e-5)


@pytest.mark.parametrize("model, near", [("trained_lstm.tflite", 1e-5), ("trained_lstm_int8.tflite", 0)])
def test_trained_lstm(shared, tmp_path, model, near):
    """On pictures, and on noise."""
    path = os.path.join(shared, "models", model)
    pictures = np.load(os.path.join(shared, "data", "mnist_dev2000.npy"))[:12].astype(np.float32) / 255
    noise = np.random.default_rng(0).normal(size=(4, 28, 28)).astype(np.float32)
    with open(path, "rb") as f:
        data = f.read()
    detail = Interpreter(model_content=data).get_input_details()[0]
    for x in np.concatenate([pictures, noise]):
        x = x.reshape(detail["shape"])
        if detail["dtype"] == np.int8:
            scale, zero = detail["quantization"]
            x = np.clip(np.rint(x / scale) + zero, -128, 127).astype(np.int8)
        values = {detail["name"]: x}
        (want,), (got,) = (o.values() for o in (lite_outputs(data, values),
                                                support.run_model(path, values, tmp_path)))
        np.testing.assert_allclose(got, want, rtol=0, atol=near)


def test_lstm_of_keras_is_onnx_s(shared, tmp_path):
    """Its clip of cells, which only Narrow knows, does not get into the file."""
    ort = pytest.importorskip("onnxruntime")
    path, target = os.path.join(shared, "models", "trained_lstm.tflite"), tmp_path / "m.onnx"
    support.ok("convert", path, target)
    session = ort.InferenceSession(str(target))
    name = session.get_inputs()[0].name
    x = np.random.default_rng(1).uniform(size=(1, 28, 28)).astype(np.float32)
    (want,) = support.run_model(path, {name: x}, tmp_path).values()
    np.testing.assert_allclose(session.run(None, {name: x})[0], want, atol=1e-6)


def test_integer_lstm_is_written_again(compare, tmp_path):
    """Its states are variables in the new file too."""
    n = Net(5)
    x = n.input((1, 4, 4), "int8", 0.03, 3)
    inputs, _ = lstm_inputs(n, 4, 4, 4, mode="int8", x_scale=0.03)
    states = [n.tensor((1, 4), "int8", 0.008, 11, variable=True),
              n.tensor((1, 4), "int16", 2.0 ** -11, variable=True)]
    inner = [n.tensor((), "int16", 2.0 ** -11) for _ in range(4)] + [n.tensor((), "int8", 0.008, 11)]
    y = n.tensor((1, 4, 4), "int8", 0.008, 11)
    n.op("UNIDIRECTIONAL_SEQUENCE_LSTM", [x, *inputs, *states, -1, -1, -1, -1], [y],
         "UnidirectionalSequenceLSTMOptions", inner, fusedActivationFunction=TANH)
    path = compare(n, y)
    support.ok("convert", path, tmp_path / "again.tflite")
    (want,) = lite_outputs(path.read_bytes(), n.values).values()
    (got,) = lite_outputs((tmp_path / "again.tflite").read_bytes(), n.values).values()
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("mode", ["float", "int8"])
def test_steps_share_states(compare, tmp_path, mode):
    """What one operator leaves in a state is what the next one with that state finds; in integers,
    where it stays an operator of TensorFlow Lite's, in a file written by Narrow too."""
    n = Net(7)
    kind = ("int8", 0.01, 4) if mode == "int8" else ()
    xs = [n.input((2, 4), *(("int8", 0.03, -7) if kind else ())) for _ in range(3)]
    inputs, norms = lstm_inputs(n, 4, 4, 4, mode=mode, x_scale=0.03)
    states = [n.tensor((2, 4), *kind, variable=True),
              n.tensor((2, 4), *(("int16", 2.0 ** -11) if kind else ()), variable=True)]
    inner = []
    if kind:
        inner = [n.tensor((), "int16", 2.0 ** -11) for _ in range(4)] + [n.tensor((), *kind)]
    ys = [n.op("LSTM", [x, *inputs, *states, *norms], [n.tensor((2, 4), *kind)], "LSTMOptions", inner,
               fusedActivationFunction=TANH) for x in xs]
    path = compare(n, *ys)
    if mode == "int8":
        support.ok("convert", path, tmp_path / "again.tflite")
        want, got = (lite_outputs(p.read_bytes(), n.values) for p in (path, tmp_path / "again.tflite"))
        for name, right in want.items():
            np.testing.assert_array_equal(got[name], right)


@pytest.mark.parametrize("aux", [None, "input", "weights"])
@pytest.mark.parametrize("merge", [False, True])
def test_both_directions(compare, aux, merge):
    n = Net(8)
    x = n.input((5, 2, 4))
    sides = [lstm_inputs(n, 4, 4, 4, cifg=True)[0] for _ in range(2)]
    states = [n.tensor((2, 4), variable=True) for _ in range(4)]
    more = [-1] * 9
    if aux:
        more[0] = n.input((5, 2, 4))
    if aux == "weights":
        more[1:] = [n.weight(4, 4) if g % 4 else -1 for g in range(8)]
    ys = [n.tensor((5, 2, 8 if merge else 4)) for _ in range(1 if merge else 2)]
    n.op("BIDIRECTIONAL_SEQUENCE_LSTM", [x, *sides[0], *sides[1], *states, *more], ys,
         "BidirectionalSequenceLSTMOptions", fusedActivationFunction=TANH, timeMajor=True,
         mergeOutputs=merge)
    compare(n, *ys)


@pytest.mark.parametrize("act", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("major", [False, True])
def test_rnn(compare, act, major):
    n = Net(9)
    x = n.input((5, 2, 4) if major else (2, 5, 4))
    y = n.tensor((5, 2, 3) if major else (2, 5, 3))
    n.op("UNIDIRECTIONAL_SEQUENCE_RNN", [x, n.weight(3, 4), n.weight(3, 3), n.weight(3),
                                         n.tensor((2, 3), variable=True)], [y], "SequenceRNNOptions",
         timeMajor=major, fusedActivationFunction=act)
    compare(n, y)


@pytest.mark.parametrize("mode", ["float", "int8"])
@pytest.mark.parametrize("rank", [1, 2])
def test_svdf(compare, mode, rank):
    """Four steps, longer than the memory."""
    n = Net(10)
    kind = ("int8", 0.03, -7) if mode == "int8" else ()
    feature = n.weight(4 * rank, 5, dtype="int8" if kind else None)
    time = n.weight(4 * rank, 3, dtype="int16" if kind else None)
    bias = n.weight(4, dtype="int32", scale=1e-4 * n.graph.tensors[time].quantization.scale[0]) \
        if kind else n.weight(4)
    state = n.tensor((2, 12 * rank), *(("int16", 1e-4) if kind else ()), variable=True)
    ys = []
    for _ in range(4):
        y = n.tensor((2, 4), *(("int8", 0.02, -128) if kind else ()))
        ys.append(n.op("SVDF", [n.input((2, 5), *kind), feature, time, bias, state], [y], "SVDFOptions",
                       rank=rank, fusedActivationFunction=RELU))
    compare(n, *ys)


@pytest.mark.parametrize("regular", [False, True])
@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_detections(compare, regular, kind):
    writer = flexbuffers.Builder()
    with writer.Map():
        for key, value in dict(max_detections=6, max_classes_per_detection=1, detections_per_class=4,
                               num_classes=3).items():
            writer.Int(key, value)
        for key, value in dict(nms_score_threshold=0.3, nms_iou_threshold=0.5, y_scale=10.0,
                               x_scale=10.0, h_scale=5.0, w_scale=5.0).items():
            writer.Float(key, value)
        writer.Bool("use_regular_nms", regular)
    n = Net(11)
    rng = n.rng
    scale = {"float32": (None, None, None), "uint8": (0.05, 1 / 256, 1 / 255)}[kind]
    scores = rng.permutation(30 * 4).reshape(1, 30, 4)
    if kind == "float32":
        scores = scores / 120
    codes = rng.normal(size=(1, 30, 4)) if kind == "float32" else rng.integers(90, 160, (1, 30, 4))
    anchors = np.concatenate([rng.uniform(0.1, 0.9, (30, 2)), rng.uniform(0.1, 0.4, (30, 2))], 1)
    anchors = anchors.astype(np.float32) if kind == "float32" else \
        np.rint(anchors * 255).astype(np.uint8)
    ins = [n.input((1, 30, 4), kind, scale[0], 128 if scale[0] else 0, codes),
           n.input((1, 30, 4), kind, scale[1], 0, scores),
           n.tensor((30, 4), kind, scale[2], data=anchors)]
    outs = [n.tensor(shape) for shape in ((1, 6, 4), (1, 6), (1, 6), (1,))]
    n.op("TFLite_Detection_PostProcess", ins, outs, custom=bytes(writer.Finish()))
    compare(n, *outs, near=0)


def test_transposed_convolution_of_mediapipe(compare):
    n = Net(12)
    x, y = n.input((1, 5, 6, 3)), n.tensor((1, 10, 12, 2))
    n.op("Convolution2DTransposeBias", [x, n.weight(2, 2, 2, 3), n.weight(2)], [y],
         custom=np.array([1, 2, 2], np.int32).tobytes())
    compare(n, y)


def test_pools_that_remember(compare):
    n = Net(19)
    window = np.array([2, 2, 2, 2, 2, 0, 0, 0, 0, 0], np.int32).tobytes()
    pooled, places = n.tensor((1, 3, 4, 3)), n.tensor((1, 3, 4, 3))
    x = n.input((1, 6, 8, 3))
    n.op("MaxPoolingWithArgmax2D", [x], [pooled, places], custom=window)
    y = n.op("MaxUnpooling2D", [pooled, places], [n.tensor((1, 6, 8, 3))], custom=window)
    compare(n, y, pooled)


@pytest.mark.parametrize("yes", [False, True])
def test_if(compare, yes):
    """The branches take quantized values and give them back."""
    n = Net(13)
    kind = "int8", 0.05, 3

    def then():
        a = n.input((2, 3), *kind)
        return [n.op("ADD", [a, a], [n.tensor((2, 3), *kind)], "AddOptions")]

    def otherwise():
        return [n.input((2, 3), *kind)]
    bodies = n.branch(then), n.branch(otherwise)
    flag = n.input((), "bool", values=yes)
    y = n.op("IF", [flag, n.input((2, 3), *kind)], [n.tensor((2, 3), *kind)], "IfOptions",
             thenSubgraphIndex=bodies[0], elseSubgraphIndex=bodies[1])
    compare(n, y)


@pytest.mark.parametrize("turns", [0, 1, 5])
@pytest.mark.parametrize("grows", [False, True])
def test_while(compare, turns, grows):
    n = Net(14)

    def condition():
        i, _ = n.input((), "int32"), n.input((1, 3))
        return [n.apply("LESS", [i, n.const(np.int32(turns))], (), "bool")]

    def body():
        i, x = n.input((), "int32"), n.input((1, 3))
        i = n.apply("ADD", [i, n.const(np.int32(1))], (), "int32", "AddOptions")
        if grows:
            x = n.apply("CONCATENATION", [x, n.weight(1, 3)], (2, 3), options="ConcatenationOptions",
                        axis=0)
        else:
            x = n.apply("TANH", [n.apply("MUL", [x, n.weight(3)], (1, 3), options="MulOptions")],
                        (1, 3))
        return [i, x]
    parts = n.branch(condition), n.branch(body)
    out = [n.tensor((), "int32"), n.tensor((1, 3))]
    n.op("WHILE", [n.input((), "int32", values=0), n.input((1, 3))], out, "WhileOptions",
         condSubgraphIndex=parts[0], bodySubgraphIndex=parts[1])
    compare(n, *out)


def test_slices_that_move(compare):
    """A step of a sequence, picked by a number that is computed, as in loops over time."""
    n = Net(15)
    i, x = n.input((1,), "int32", values=[2]), n.input((2, 5, 3))
    zero, one = (n.const(np.int32([v])) for v in (0, 1))
    begin = n.apply("CONCATENATION", [zero, i, one], (3,), "int32", "ConcatenationOptions", axis=0)
    ys = []
    for shrink, shape in ((2, (2, 2)), (3, (2,)), (0, (2, 3, 2))):
        ys.append(n.apply("STRIDED_SLICE", [x, begin, n.const(np.int32([9, 9, 3])),
                                            n.const(np.int32([1, 1, 1]))], shape,
                          options="StridedSliceOptions", beginMask=1, endMask=3, shrinkAxisMask=shrink))
    compare(n, *ys)


def test_variables(compare):
    """Set up once, read, changed and read again."""
    n = Net(16)

    def handle():
        return n.op("VAR_HANDLE", [], [n.tensor((), "resource")], "VarHandleOptions", sharedName="v",
                    container="")

    def start():
        n.op("ASSIGN_VARIABLE", [handle(), n.weight(2, 3)], [], "AssignVariableOptions")
        return []
    n.op("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=n.branch(start))
    v, x = handle(), n.input((2, 3))
    held = n.op("READ_VARIABLE", [v], [n.tensor((2, 3))], "ReadVariableOptions")
    total = n.apply("ADD", [held, x], (2, 3), options="AddOptions")
    n.op("ASSIGN_VARIABLE", [v, total], [], "AssignVariableOptions")
    last = n.op("READ_VARIABLE", [v], [n.tensor((2, 3))], "ReadVariableOptions")
    compare(n, total, last)


def test_variables_of_branches_are_not_guessed(tmp_path):
    """What a branch assigns depends on the run: the model is read, and refused when it is to run."""
    n = Net(17)

    def handle():
        return n.op("VAR_HANDLE", [], [n.tensor((), "resource")], "VarHandleOptions", sharedName="v",
                    container="")

    def start():
        n.op("ASSIGN_VARIABLE", [handle(), n.weight(2)], [], "AssignVariableOptions")
        return []

    def then():
        x = n.input((2,))
        n.op("ASSIGN_VARIABLE", [handle(), x], [], "AssignVariableOptions")
        return [x]

    def otherwise():
        return [n.input((2,))]
    n.op("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=n.branch(start))
    bodies = n.branch(then), n.branch(otherwise)
    y = n.op("IF", [n.input((), "bool", values=True), n.input((2,))], [n.tensor((2,))], "IfOptions",
             thenSubgraphIndex=bodies[0], elseSubgraphIndex=bodies[1])
    z = n.op("READ_VARIABLE", [handle()], [n.tensor((2,))], "ReadVariableOptions")
    path = tmp_path / "m.tflite"
    path.write_bytes(n.bytes(y, z))
    support.ok("inspect", path)
    for i, values in enumerate(n.values.values()):
        np.save(tmp_path / f"{i}.npy", values)
    args = [a for i, name in enumerate(n.values) for a in ("--input", f"{name}={tmp_path / f'{i}.npy'}")]
    assert "VAR_HANDLE" in support.refused("run", path, *args, "-o", tmp_path / "o.npz")


@pytest.mark.parametrize("shape, size", [((2, 3, 8), (4, 8)), ((5, 9), (4, 4))])
def test_fourier(compare, shape, size):
    n = Net(18)
    lead = (*shape[:-2], size[0], size[1] // 2 + 1)
    f = n.apply("RFFT2D", [n.input(shape), n.const(np.int32(size))], lead, "complex64",
                "Rfft2dOptions")
    parts = [n.apply(op, [f], lead) for op in ("REAL", "IMAG", "COMPLEX_ABS")]
    compare(n, f, *parts)


@pytest.mark.parametrize("direction", ("forward", "reverse", "bidirectional"))
@pytest.mark.parametrize("peephole", (False, True))
@pytest.mark.parametrize("outputs", (["y"], ["", "h"], ["y", "h"]), ids="_".join)
def test_lstm_of_onnx(direction, peephole, outputs, tmp_path):
    """Written as .tflite, for LiteRT; with and without a bias."""
    both, units, width = 1 + (direction == "bidirectional"), 4, 3
    for biased in (False, True):
        rng = np.random.default_rng(3)
        shapes = {"w": (both, 4 * units, width), "r": (both, 4 * units, units)}
        shapes |= {"b": (both, 8 * units)} if biased else {}
        shapes |= {"p": (both, 3 * units)} if peephole else {}
        inputs = ["x", "w", "r", "b" * biased, "", "", "", "p" * peephole]
        node = onnx.helper.make_node("LSTM", inputs, outputs, hidden_size=units, direction=direction)
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            [node], "lstm", [value("x", onnx.TensorProto.FLOAT, [5, 2, width])],
            [value(y, onnx.TensorProto.FLOAT, None) for y in outputs if y],
            [onnx.numpy_helper.from_array(rng.normal(0, .6, shape).astype(np.float32), name)
             for name, shape in shapes.items()])
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)],
                                         ir_version=8), tmp_path / "m.onnx")
        support.ok("convert", tmp_path / "m.onnx", tmp_path / "m.tflite")
        x = rng.normal(0, 1, (5, 2, width)).astype(np.float32)
        want = ort.InferenceSession(tmp_path / "m.onnx").run(None, {"x": x})
        run = Interpreter(model_path=str(tmp_path / "m.tflite"))
        run.allocate_tensors()
        run.set_tensor(run.get_input_details()[0]["index"], x)
        run.invoke()
        got = {y["name"]: run.get_tensor(y["index"]) for y in run.get_output_details()}
        for name, y in zip([y for y in outputs if y], want):
            np.testing.assert_allclose(got[name], y, atol=1e-6)
