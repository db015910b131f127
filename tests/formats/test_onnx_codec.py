"""The ONNX reader and writer against the onnx package and ONNX Runtime."""
import collections
import os
import re
import subprocess

import numpy as np
import pytest

import support

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.defs import get_all_schemas_with_history  # noqa: E402

ROUNDTRIP = os.path.join(os.path.dirname(support.NARROW), "tests", "onnx_roundtrip")
F32, I64 = TensorProto.FLOAT, TensorProto.INT64


def roundtrip(*args):
    return subprocess.run([ROUNDTRIP, *map(str, args)], capture_output=True, text=True, timeout=120,
                          check=False)


@pytest.fixture
def through(tmp_path):
    """A function that saves a model, sends it through Narrow and gives what came out."""
    def run(model, *options):
        source, target = tmp_path / "in.onnx", tmp_path / "out.onnx"
        source.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        done = roundtrip(source, target, *options)
        assert done.returncode == 0, done.stderr
        try:
            onnx.checker.check_model(str(source))
        except onnx.checker.ValidationError:
            return onnx.load(str(target))
        onnx.checker.check_model(str(target))
        return onnx.load(str(target))
    return run


@pytest.fixture
def refused(tmp_path):
    """A function that gives the one line with which Narrow refuses a model."""
    def run(model):
        source = tmp_path / "in.onnx"
        source.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        done = roundtrip(source)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done
        assert done.stderr.startswith(str(source) + ": "), done.stderr
        return done.stderr[len(str(source)) + 2:].strip()
    return run


def info(name, kind=F32, shape=None):
    return helper.make_tensor_value_info(name, kind, shape)


def make(nodes, inputs, outputs, opset=21, ir=None, **graph):
    functions, imports = graph.pop("functions", []), graph.pop("imports", [])
    g = helper.make_graph(nodes, "g", inputs, outputs, **graph)
    sets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(*i) for i in imports]
    m = helper.make_model(g, opset_imports=sets, functions=functions)
    m.ir_version = ir or min(10, helper.find_min_ir_version_for(sets, ignore_unknown=True))
    return m


def outputs_of(model, feeds):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def same_results(before, after, feeds):
    for a, b in zip(outputs_of(before, feeds), outputs_of(after, feeds), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


# Tensors. ------------------------------------------------------------------------------------

KINDS = [k for k in TensorProto.DataType.values()
         if k and not TensorProto.DataType.Name(k).startswith("FLOAT6")]
FIELDS = {"float_data": (F32, TensorProto.COMPLEX64), "double_data": (11, 15), "int64_data": (7,),
          "uint64_data": (12, 13), "string_data": (8,)}


def random_tensor(kind, name, shape=(3, 5), typed=False):
    rng = np.random.default_rng(kind)
    n = int(np.prod(shape))
    if kind == TensorProto.STRING:
        return helper.make_tensor(name, kind, shape, [b"\x00\xff" * (i % 4) for i in range(n)])
    bits = helper.tensor_dtype_to_np_dtype(kind).itemsize * 8
    bits = {TensorProto.UINT4: 4, TensorProto.INT4: 4, TensorProto.FLOAT4E2M1: 4, TensorProto.UINT2: 2,
            TensorProto.INT2: 2, TensorProto.BOOL: 1}.get(kind, bits)
    if kind == TensorProto.BOOL:
        raw = rng.integers(0, 2, n).astype(np.uint8).tobytes()
    else:
        size = (n * bits + 7) // 8
        raw = bytearray(rng.integers(0, 256, size).astype(np.uint8).tobytes())
        if kind in (F32, 11, 14, 15):  # no signalling NaNs, which change when numpy touches them
            wide = np.float64 if kind in (11, 15) else np.float32
            raw = rng.normal(size=size // wide().itemsize).astype(wide).tobytes()
        elif n * bits % 8:  # the padding after the last element is zero
            raw[-1] &= (1 << (n * bits % 8)) - 1
    t = TensorProto(data_type=kind, dims=shape, name=name)
    if not typed:
        t.raw_data = bytes(raw)
        return t
    dtype = {32: np.uint32, 64: np.uint64, 16: np.uint16}.get(bits, np.uint8)
    if kind in (F32, 14):
        t.float_data.extend(np.frombuffer(raw, np.float32))
    elif kind in (11, 15):
        t.double_data.extend(np.frombuffer(raw, np.float64))
    elif kind == 7:
        t.int64_data.extend(np.frombuffer(raw, np.int64))
    elif kind in (12, 13):
        t.uint64_data.extend(np.frombuffer(raw, dtype).astype(np.uint64))
    else:
        signed = {3: np.int8, 5: np.int16, 6: np.int32}.get(kind, dtype)
        t.int32_data.extend(np.frombuffer(raw, signed).astype(np.int32))
    return t


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("shape", [(3, 5), (), (0, 4), (70, 130)])
def test_every_type_keeps_its_bits(through, typed, shape):
    tensors = [random_tensor(k, f"t{k}", shape, typed) for k in KINDS]
    nodes = [helper.make_node("Identity", [t.name], ["y" + t.name]) for t in tensors]
    model = make(nodes, [], [info("y" + t.name, t.data_type, shape) for t in tensors], opset=25,
                 initializer=tensors)
    result = through(model)
    got = {t.name: t for t in result.graph.initializer}
    for t in tensors:
        other = got[t.name]
        assert (other.data_type, list(other.dims)) == (t.data_type, list(t.dims))
        if t.data_type == TensorProto.STRING:
            assert list(other.string_data) == list(t.string_data)
        else:
            want = random_tensor(t.data_type, t.name, shape).raw_data
            assert other.raw_data == want, TensorProto.DataType.Name(t.data_type)


def test_external_data(through, tmp_path, refused):
    rng = np.random.default_rng(0)
    values = {f"w{i}": rng.normal(size=(40, 10 + i)).astype(np.float32) for i in range(4)}
    packed = numpy_helper.from_array(rng.integers(0, 255, 999).astype(np.uint8), "q")
    tensors = [numpy_helper.from_array(v, k) for k, v in values.items()] + [packed]
    nodes = [helper.make_node("Identity", [t.name], ["y" + t.name]) for t in tensors]
    model = make(nodes, [], [info("y" + t.name, t.data_type) for t in tensors], initializer=tensors)
    result = through(model, 1000)
    assert os.path.exists(tmp_path / "out.onnx.data")
    assert os.path.getsize(tmp_path / "out.onnx") < 4000
    for t in result.graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(t), dict(values, q=numpy_helper.to_array(packed))[t.name])
    again = roundtrip(tmp_path / "out.onnx", tmp_path / "again.onnx")
    assert again.returncode == 0, again.stderr
    assert [t.raw_data for t in onnx.load(str(tmp_path / "again.onnx")).graph.initializer] == \
        [t.raw_data for t in tensors]
    for key, value, message in (("location", "../w", "outside"), ("location", "/etc/passwd", "outside"),
                                ("offset", "99999999", "past the end"), ("length", "8", "needs 1600 bytes"),
                                ("offset", "18446744073709551615", "past the end"),
                                ("offset", "-1", "no byte count"), ("location", "nowhere", "nowhere")):
        m = onnx.load(str(tmp_path / "out.onnx"), load_external_data=False)
        for e in m.graph.initializer[0].external_data:
            if e.key == key:
                e.value = value
        assert message in refused(m)


def test_sparse_and_constants(through):
    def sparse(indices):
        return helper.make_sparse_tensor(
            helper.make_tensor("s", F32, [2], [1.5, -2.0]),
            helper.make_tensor("i", I64, np.array(indices).shape, np.array(indices).flatten()), [3, 4])
    nodes = [helper.make_node("Constant", [], [k], **{k: v}) for k, v in (
        ("value_int", 7), ("value_float", 2.5), ("value_string", "ab"), ("value_ints", [1, 2, 3]),
        ("value_floats", [1.0, 2.0]), ("value_strings", ["x", "yz"]))]
    nodes.append(helper.make_node("Constant", [], ["value"], value=helper.make_tensor("", 6, [2], [4, 5])))
    nodes.append(helper.make_node("Constant", [], ["sparse"], sparse_value=sparse([[0, 1], [2, 3]])))
    names = [n.output[0] for n in nodes] + ["s"]
    nodes += [helper.make_node("Identity", [n], ["y" + n]) for n in names]
    model = make(nodes, [], [info("y" + n, 0) for n in names], sparse_initializer=[sparse([1, 11])])
    for o in model.graph.output:
        kind = {"yvalue_int": 7, "yvalue_ints": 7, "yvalue_string": 8, "yvalue_strings": 8, "yvalue": 6}
        o.type.tensor_type.elem_type = kind.get(o.name, 1)
    result = through(model)
    got = {t.name: numpy_helper.to_array(t) for t in result.graph.initializer}
    assert {n.op_type for n in result.graph.node} == {"Identity"}
    dense = np.zeros((3, 4), np.float32)
    dense[0, 1], dense[2, 3] = 1.5, -2.0
    np.testing.assert_array_equal(got["sparse"], dense)
    np.testing.assert_array_equal(got["s"], dense)
    assert got["value_int"] == 7 and got["value_int"].shape == () and got["value_float"] == 2.5
    assert got["value_ints"].tolist() == [1, 2, 3] and got["value"].tolist() == [4, 5]
    assert got["value_strings"].tolist() == ["x", "yz"] and got["value_floats"].tolist() == [1, 2]


# Graphs. -------------------------------------------------------------------------------------

def test_what_a_file_holds_is_kept(through):
    node = helper.make_node("Strange", ["x"], ["y"], domain="some.where", i=3, f=0.25, s=b"\x00a",
                            ints=[1, -2], floats=[0.5], strings=["a", ""], name="odd",
                            t=numpy_helper.from_array(np.float32([1, 2])), tp=helper.make_tensor_type_proto(1, [2]),
                            ts=[numpy_helper.from_array(np.int64([9]))])
    map_info = onnx.ValueInfoProto(name="m")
    map_info.type.map_type.key_type = TensorProto.STRING
    map_info.type.map_type.value_type.tensor_type.elem_type = F32
    sequence = helper.make_tensor_sequence_value_info("s", F32, ["n", 3])
    model = make([node], [info("x", F32, ["batch", None, 3]), map_info, sequence], [info("y", F32, [2])], opset=21,
                 imports=[("some.where", 5)])
    model.producer_name, model.doc_string, model.model_version, model.domain = "p", "d", 9, "a.b"
    helper.set_model_props(model, {"k": "v", "l": "w"})
    result = through(model)
    attrs = {a.name: a for a in result.graph.node[0].attribute}
    for a in node.attribute:
        assert attrs[a.name] == a
    for field in ("producer_name", "doc_string", "model_version", "domain", "metadata_props"):
        assert getattr(result, field) == getattr(model, field)
    assert result.graph.node[0].name == "odd" and result.graph.node[0].domain == "some.where"
    assert result.graph.input == model.graph.input and result.graph.output == model.graph.output
    assert {(o.domain, o.version) for o in result.opset_import} == {("", 21), ("some.where", 5)}


def test_defaults_of_inputs(through):
    weight = numpy_helper.from_array(np.float32([1, 2]), "w")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    io = [info("x", F32, [2]), info("w", F32, [2])], [info("y", F32, [2])]
    new = through(make(nodes, *io, initializer=[weight]))
    assert [i.name for i in new.graph.input] == ["x", "w"] and len(new.graph.initializer) == 1
    old = through(make(nodes, *io, opset=8, ir=3, initializer=[weight]))
    assert [i.name for i in old.graph.input] == ["x"] and len(old.graph.initializer) == 1


def test_bodies_capture_and_shadow(through):
    then = helper.make_graph([helper.make_node("Add", ["x", "c"], ["y"])], "then", [], [info("y", F32, [2])],
                             initializer=[numpy_helper.from_array(np.float32([10, 20]), "c")])
    other = helper.make_graph([helper.make_node("Mul", ["x", "k"], ["t"]), helper.make_node("Neg", ["t"], ["y"])],
                              "else", [], [info("y", F32, [2])])
    model = make([helper.make_node("If", ["b"], ["y"], then_branch=then, else_branch=other),
                  helper.make_node("Identity", ["y"], ["z"])],
                 [info("x", F32, [2]), info("b", TensorProto.BOOL, [])], [info("z", F32, [2])],
                 initializer=[numpy_helper.from_array(np.float32([3]), "k")])
    renamed = onnx.ModelProto.FromString(model.SerializeToString())
    for g in (renamed.graph.node[0].attribute[0].g, renamed.graph.node[0].attribute[1].g):
        g.node[-1].output[0] = g.output[0].name = "y_" + g.name  # the runtime takes no shadowing
    result = through(model)
    for b in (True, False):
        same_results(renamed, result, {"x": np.float32([1, 2]), "b": np.array(b)})


def test_functions_are_inlined(through):
    inner = helper.make_function("f", "inner", ["a", "b"], ["o"], [
        helper.make_node("LeakyRelu", ["a"], ["t"]),
        helper.make_node("Add", ["t", "b"], ["o"])], [helper.make_opsetid("", 17)], ["alpha"])
    inner.node[0].attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="alpha", type=1))
    reduce = helper.make_node("ReduceMean", ["t"], ["o"], axes=[1], keepdims=0)  # of opset 17
    outer = helper.make_function("f", "outer", ["a"], ["o", "a"], [
        helper.make_node("Constant", [], ["b"]), helper.make_node("inner", ["a", "b"], ["t"], domain="f", alpha=0.5),
        reduce], [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)], [], [helper.make_attribute("c", 3.0)])
    outer.node[0].attribute.append(onnx.AttributeProto(name="value_float", ref_attr_name="c", type=1))
    del outer.output[1]
    model = make([helper.make_node("outer", ["x"], ["u"], domain="f"),
                  helper.make_node("outer", ["x"], ["v"], domain="f", c=-7.0, name="call"),
                  helper.make_node("Sub", ["u", "v"], ["w"]),
                  helper.make_node("ReduceMax", ["x", "ax"], ["r"])],
                 [info("x", F32, [2, 3])], [info("w", F32, [2]), info("u", F32, [2]), info("r", F32, None)], opset=18,
                 imports=[("f", 1)], functions=[inner, outer],
                 initializer=[numpy_helper.from_array(np.int64([0]), "ax")])
    result = through(model)
    assert not result.functions and {n.domain for n in result.graph.node} == {""}
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    leaky = np.where(x < 0, 0.5 * x, x)
    w, u, r = outputs_of(result, {"x": x})
    np.testing.assert_allclose(u, (leaky + 3).mean(1), rtol=1e-6)
    np.testing.assert_allclose(w, np.full(2, 10.0), rtol=1e-5)
    np.testing.assert_allclose(r.squeeze(), x.max(0))


def test_unsorted_nodes_are_sorted(through):
    model = make([helper.make_node("Neg", ["t"], ["y"]), helper.make_node("Abs", ["x"], ["t"])],
                 [info("x", F32, [2])], [info("y", F32, [2])])
    source = model.SerializeToString()
    assert [n.op_type for n in through(source).graph.node] == ["Abs", "Neg"]


# Upgrades. -----------------------------------------------------------------------------------

# Version bumps that need nothing: types were added, attributes with a default that keeps the old
# meaning, wording. "Op: versions".
UNCHANGED = """
Abs 6 13|Acos 22|Acosh 22|Add 6 13 14|ArgMax 11 12 13|ArgMin 11 12 13|Asin 22|Asinh 22|Atan 22|Atanh 22
Attention 24 25|AveragePool 7 10 11 19 22|BatchNormalization 6 15|Bernoulli 22|BitShift 28
Cast 9 13 19 21 23 24 25 28|CastLike 19 21 23 24 25|Ceil 6 13|Celu 28|Clip 6 12 13|Compress 11 28|Concat 11 13
Constant 9 11 12 13 19 21 23 24 25|ConstantOfShape 20 21 23 24 25|Conv 11 22|ConvTranspose 11 22|Cos 22|Cosh 22
CumSum 14|DeformConv 22|DepthToSpace 11 13 28|DequantizeLinear 13 19 21 23 24 25 28|Det 22|Div 6 13 14
Dropout 6 13 22|Einsum 28|Elu 6 22|Equal 11 13 19|Erf 13|Exp 6 13|Expand 13|EyeLike 22
Flatten 9 11 13 21 23 24 25|Floor 6 13|GRU 3 14 22|Gather 11 13|GatherElements 13|GatherND 12 13|Gemm 6 9 11 13
GlobalAveragePool 22|GlobalLpPool 22|GlobalMaxPool 22|Greater 9 13|GreaterOrEqual 16|GridSample 22
HardSigmoid 6 22|HardSwish 22|Hardmax 11|Identity 13 14 16 19 21 23 24 25|If 11 13 16 19 21 23 24 25
InstanceNormalization 6 22|IsInf 20|IsNaN 13 20|LRN 13|LSTM 14 22|LeakyRelu 6 16|Less 9 13|LessOrEqual 16
Log 6 13|LogSoftmax 11|Loop 11 13 16 19 21 23 24 25|LpNormalization 22|LpPool 11 18 22|MatMul 9 13
Max 6 8 12 13|MaxPool 8 10 11 12 22|MaxRoiPool 22|MaxUnpool 11 22|Mean 6 8 13|MeanVarianceNormalization 13
Min 6 8 12 13|Mish 22|Mod 13 28|Mul 6 13 14|Multinomial 22|Neg 6 13|NegativeLogLikelihoodLoss 13 22
NonMaxSuppression 11|NonZero 13|OneHot 11 28|Optional 28|OptionalGetElement 18 28|OptionalHasElement 18 28
PRelu 6 9 16|Pad 13 18 19 21 23 24 25|Pow 12 13 15|QLinearMatMul 21|QuantizeLinear 13 19 21 23 24 25 28
RNN 14 22|RandomNormal 22|RandomNormalLike 22|RandomUniform 22|RandomUniformLike 22|Range 27|Reciprocal 6 13
ReduceL1 11 13|ReduceL2 11 13|ReduceLogSum 11 13 28|ReduceLogSumExp 11 13 28|ReduceMax 11 12 13 20
ReduceMean 11 13|ReduceMin 11 12 13 20|ReduceProd 11 13|ReduceSum 11|ReduceSumSquare 11 13|Relu 6 13 14
Reshape 13 14 19 21 23 24 25|Resize 18 19|ReverseSequence 28|RoiAlign 22|Round 22|Scan 11 16 19 21 23 24 25
ScatterElements 13 16 18|ScatterND 13 16 18|Selu 22|Shape 13 15 19 21 23 24 25|Sigmoid 6 13|Sign 13|Sin 22
Sinh 22|Size 13 19 21 23 24 25|Slice 11 13|Softmax 11|SoftmaxCrossEntropyLoss 13|Softplus 22|Softsign 22
SpaceToDepth 13 28|Split 2 11|SplitToSequence 24|Sqrt 6 13|Squeeze 11 21 23 24 25|Sub 6 13 14|Sum 6 8 13|Tan 22
Tanh 6 13|ThresholdedRelu 22|Tile 13|TopK 11 24|Transpose 13 21 23 24 25|Unique 28|Unsqueeze 11 21 23 24 25
Where 16
"""


def test_every_version_bump_is_looked_at():
    steps = {tuple(line.split()) for line in roundtrip("--steps").stdout.splitlines()}
    assert len(steps) > 50
    for row in re.split(r"[|\n]", UNCHANGED.strip()):
        op, *versions = row.split()
        for v in versions:
            assert (op, v) not in steps, f"{op} {v} is listed twice"
            steps.add((op, v))
    versions = collections.defaultdict(set)
    for s in get_all_schemas_with_history():
        if s.domain == "":
            versions[s.name].add(s.since_version)
    bumps = {(op, str(v)) for op, all_of in versions.items() for v in all_of if v > min(all_of)}
    assert not bumps - steps, "new versions of operators: does their meaning differ?"
    assert not steps - bumps


def upgraded(op, opset, inputs, n_outputs=1, kinds=None, constants=None, **attrs):
    """A model of one node: random inputs of these shapes, and constants by position."""
    rng = np.random.default_rng(1)
    names, feeds, initializers, infos = [], {}, [], []
    for i, shape in enumerate(inputs):
        if shape is None:
            names.append("")
            continue
        name = f"i{i}"
        names.append(name)
        if constants and i in constants:
            initializers.append(numpy_helper.from_array(np.array(constants[i]), name))
            continue
        feeds[name] = (rng.uniform(0.1, 1, shape) if kinds == "positive" else
                       rng.normal(size=shape)).astype(np.float32)
        infos.append(info(name, F32, list(shape)))
    outs = [f"o{i}" for i in range(n_outputs)]
    node = helper.make_node(op, names, outs, **attrs)
    model = make([node], infos, [onnx.ValueInfoProto(name=o) for o in outs], opset=opset, initializer=initializers)
    model = onnx.shape_inference.infer_shapes(model)
    del model.graph.value_info[:]
    return model, feeds


CASES = {
    "squeeze": ("Squeeze", 11, [(1, 3, 1)], {"axes": [0, 2]}),
    "unsqueeze": ("Unsqueeze", 11, [(3,)], {"axes": [0, 2]}),
    "reduce_sum": ("ReduceSum", 11, [(2, 3, 4)], {"axes": [-1], "keepdims": 0}),
    "reduce_mean": ("ReduceMean", 13, [(2, 3, 4)], {"axes": [0, 2]}),
    "reduce_max_all": ("ReduceMax", 12, [(2, 3)], {"keepdims": 0}),
    "reduce_l2": ("ReduceL2", 17, [(2, 3)], {"axes": [1]}),
    "split": ("Split", 11, [(7, 2)], {"split": [3, 4], "axis": 0, "n_outputs": 2}),
    "split_even": ("Split", 13, [(6, 2)], {"axis": 0, "n_outputs": 3}),
    "slice": ("Slice", 9, [(5, 6, 7)], {"starts": [1, -3], "ends": [4, 2147483647], "axes": [0, 2]}),
    "slice_all": ("Slice", 7, [(5, 6)], {"starts": [1, 2], "ends": [-1, 5]}),
    "pad": ("Pad", 10, [(2, 3)], {"pads": [0, 1, 2, 0], "value": 1.5}),
    "pad_reflect": ("Pad", 7, [(4, 3)], {"pads": [0, 1, 2, 0], "mode": "reflect"}),
    "top_k": ("TopK", 9, [(3, 7)], {"k": 2, "axis": 1, "n_outputs": 2}),
    "clip": ("Clip", 10, [(3, 7)], {"min": -0.5, "max": 0.25}),
    "clip_one": ("Clip", 7, [(3, 7)], {"max": 0.25}),
    "dropout": ("Dropout", 7, [(3, 7)], {"ratio": 0.3}),
    "dropout_mask": ("Dropout", 10, [(3, 7)], {"ratio": 0.3}),
    "upsample": ("Upsample", 8, [(1, 2, 3, 4)], {"scales": [1.0, 1.0, 2.0, 3.0]}),
    "upsample_linear": ("Upsample", 9, [(1, 2, 3, 4), (4,)],
                        {"mode": "linear", "constants": {1: np.float32([1, 1, 2, 2])}}),
    "resize": ("Resize", 10, [(1, 2, 3, 4), (4,)], {"constants": {1: np.float32([1, 1, 2, 1.5])}}),
    "resize_11": ("Resize", 11, [(1, 2, 3, 4), (0,), (0,), (4,)],
                  {"constants": {1: np.zeros(0, np.float32), 2: np.zeros(0, np.float32), 3: np.int64([1, 2, 5, 7])},
                   "mode": "linear"}),
    "softmax_1": ("Softmax", 11, [(2, 3, 4, 5)], {"axis": 1}),
    "softmax_default": ("Softmax", 9, [(2, 3, 4)], {}),
    "softmax_last": ("Softmax", 9, [(2, 3, 4)], {"axis": 2}),
    "softmax_one_long": ("Softmax", 9, [(2, 3, 1, 1)], {"axis": 1}),
    "softmax_0": ("Softmax", 11, [(2, 3)], {"axis": 0}),
    "log_softmax": ("LogSoftmax", 11, [(2, 3, 4)], {"axis": 1}),
    "hardmax": ("Hardmax", 11, [(2, 3, 4)], {"axis": 1}),
    "batch_norm": ("BatchNormalization", 8, [(2, 3, 4, 4)] + [(3,)] * 4, {"kinds": "positive"}),
    "grid_sample": ("GridSample", 16, [(1, 2, 5, 5), (1, 3, 3, 2)], {"mode": "bicubic"}),
    "grid_sample_default": ("GridSample", 16, [(1, 2, 5, 5), (1, 3, 3, 2)], {}),
    "roi_align": ("RoiAlign", 10, [(1, 2, 8, 8), (1, 4), (1,)],
                  {"constants": {1: np.float32([[1, 1, 6, 5]]), 2: np.int64([0])}, "output_height": 3,
                   "output_width": 3, "sampling_ratio": 2, "spatial_scale": 0.7}),
    "scatter": ("Scatter", 9, [(3, 3), (1, 2), (1, 2)], {"constants": {1: np.int64([[2, 0]])}, "axis": 0}),
    "dft": ("DFT", 17, [(1, 6, 1)], {"axis": 1}),
    "gemm": ("Gemm", 9, [(2, 3), (3, 4), (4,)], {}),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_upgrades_keep_results(through, case):
    op, opset, shapes, attrs = CASES[case]
    model, feeds = upgraded(op, opset, shapes, **attrs)
    result = through(model)
    same_results(model, result, feeds)


def test_upgrade_without_known_rank(through):
    """The same, where nothing tells the rank of softmax's input."""
    model = make([helper.make_node("Strange", ["x"], ["t"], domain="q"),
                  helper.make_node("Softmax", ["t"], ["y"], axis=1)], [info("x")], [info("y")], opset=11,
                 imports=[("q", 1)])
    assert [n.op_type for n in through(model).graph.node] == ["Strange", "Flatten", "Shape", "Softmax", "Reshape"]


def test_group_norm_of_18(through):
    """No runtime at hand computes opset 18's GroupNormalization: the definition does."""
    rng = np.random.default_rng(0)
    x, scale, bias = (rng.normal(size=s).astype(np.float32) for s in ((2, 6, 5), (3,), (3,)))
    model = make([helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=3)],
                 [info("x", F32, [2, 6, 5]), info("s", F32, [3]), info("b", F32, [3])], [info("y", F32, [2, 6, 5])],
                 opset=18)
    (y,) = outputs_of(through(model), {"x": x, "s": scale, "b": bias})
    g = x.reshape(2, 3, -1)
    n = (g - g.mean(-1, keepdims=True)) / np.sqrt(g.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y.reshape(2, 3, -1), n * scale[:, None] + bias[:, None], rtol=1e-4, atol=1e-5)


def test_scan_of_8(through):
    """A cumulative sum along axis 1 of each sample, backwards."""
    body = helper.make_graph([helper.make_node("Add", ["s", "x"], ["t"]), helper.make_node("Identity", ["t"], ["o"])],
                             "body", [info("s", F32, [2]), info("x", F32, [2])],
                             [info("t", F32, [2]), info("o", F32, [2])])
    node = helper.make_node("Scan", ["", "init", "data"], ["last", "all"], body=body, num_scan_inputs=1, directions=[1])
    model = make([node], [info("init", F32, [3, 2]), info("data", F32, [3, 4, 2])],
                 [info("last", F32, [3, 2]), info("all", F32, [3, 4, 2])], opset=8)
    rng = np.random.default_rng(0)
    init, data = rng.normal(size=(3, 2)).astype(np.float32), rng.normal(size=(3, 4, 2)).astype(np.float32)
    last, everything = outputs_of(through(model), {"init": init, "data": data})
    want = init[:, None] + np.cumsum(data[:, ::-1], 1)
    np.testing.assert_allclose(everything, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last, want[:, -1], rtol=1e-5, atol=1e-6)


def test_before_numpy_broadcasting(through):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 4, 5)).astype(np.float32), rng.normal(size=(3, 4)).astype(np.float32)
    model = make([helper.make_node("Add", ["a", "b"], ["y"], broadcast=1, axis=1)],
                 [info("a", F32, a.shape), info("b", F32, b.shape)], [info("y", F32, a.shape)], opset=6, ir=3)
    (y,) = outputs_of(through(model), {"a": a, "b": b})
    np.testing.assert_array_equal(y, a + b[None, :, :, None])
    norm = make([helper.make_node("BatchNormalization", ["x", "p", "p", "p", "p"], ["y"], spatial=0)],
                [info("x", F32, [2, 3, 4]), info("p", F32, [3, 4])], [info("y", F32, [2, 3, 4])], opset=7, ir=3)
    x, p = rng.normal(size=(2, 3, 4)).astype(np.float32), rng.uniform(1, 2, (3, 4)).astype(np.float32)
    (y,) = outputs_of(through(norm), {"x": x, "p": p})
    np.testing.assert_allclose(y, (x - p) / np.sqrt(p + 1e-5) * p + p, rtol=1e-5, atol=1e-6)


# Writing. ------------------------------------------------------------------------------------

def node_cases():
    from onnx.backend.test.case.node import collect_testcases
    return collect_testcases(None)


@pytest.mark.filterwarnings("ignore")
def test_node_tests_survive(tmp_path):
    """Every node test of the onnx package comes through, is valid, and at the lowest opset that
    Narrow finds for it has types that the schemas accept."""
    source, target, low = tmp_path / "in.onnx", tmp_path / "out.onnx", tmp_path / "low.onnx"
    for case in node_cases():
        source.write_bytes(case.model.SerializeToString())
        done = roundtrip(source, target, 0)
        assert done.returncode == 0, done.stderr
        onnx.checker.check_model(str(target))
        result = onnx.load(str(target))
        assert [i.name for i in result.graph.input] == [i.name for i in case.model.graph.input], case.name
        assert [o.name for o in result.graph.output] == [o.name for o in case.model.graph.output], case.name
        if len(case.model.graph.node) > 1:  # types between nodes are not in the file
            continue
        try:
            onnx.shape_inference.infer_shapes(case.model, check_type=True, strict_mode=True)
        except Exception:  # the original does not pass either
            continue
        done = roundtrip(source, low, 0, 13)
        needed = re.search(r"(\d+) is needed", done.stderr)
        if done.returncode != 0:
            assert needed, done.stderr
            done = roundtrip(source, low, 0, needed[1])
            assert done.returncode == 0, done.stderr
        lowest = onnx.load(str(low))
        for o in lowest.graph.output:  # older shape rules of the package round otherwise
            if o.type.HasField("tensor_type"):
                o.type.tensor_type.ClearField("shape")
        try:
            onnx.shape_inference.infer_shapes(lowest, check_type=True, strict_mode=True)
        except Exception as e:
            raise AssertionError(f"{case.name} at {lowest.opset_import}: {e}") from e


# Broken files. -------------------------------------------------------------------------------

def small(**changes):
    return make([helper.make_node("Add", ["x", "w"], ["y"], name="a")], [info("x", F32, [2])], [info("y", F32, [2])],
                initializer=[helper.make_tensor("w", F32, [2], np.float32([1, 2]).tobytes(), raw=True)], **changes)


def test_broken_files_get_one_clear_line(refused):
    def changed(change):
        m = small()
        change(m)
        return refused(m)

    def tensor(**fields):
        def change(m):
            t = m.graph.initializer[0]
            for k, v in fields.items():
                t.ClearField(k)
                setattr(t, k, v) if not isinstance(v, list) else getattr(t, k).extend(v)
        return changed(change)

    assert changed(lambda m: m.graph.node[0].input.append("gone")) == \
        "node 'a' (Add): input 'gone' is made by no node, input or initializer"
    assert changed(lambda m: m.graph.node.append(m.graph.node[0])) == "node 'a' (Add): value 'y' is made twice"
    assert changed(lambda m: m.graph.initializer.append(m.graph.initializer[0])) == "initializer 'w' is given twice"
    assert "is part of a cycle" in changed(lambda m: m.graph.node.extend(
        [helper.make_node("Add", ["p", "x"], ["q"], name="b"), helper.make_node("Neg", ["q"], ["p"], name="c")]))
    assert tensor(dims=[-2]) == "initializer 'w': dim 0 is -2"
    assert tensor(dims=[3]) == "initializer 'w': f32[3] needs 12 bytes of data, there are 8"
    assert tensor(dims=[2**62, 2**62]).startswith("initializer 'w': ")
    assert tensor(dims=[1] * 11) == "initializer 'w': 11 axes, at most 10 are handled"
    assert tensor(data_type=99) == "initializer 'w': data type 99 is unknown"
    assert tensor(raw_data=b"") == "initializer 'w': f32[2] needs 8 bytes of data, there are 0"
    assert changed(lambda m: m.graph.output[0].__setattr__("name", "nix")) == "output 'nix' is made by no node"
    assert changed(lambda m: m.ClearField("opset_import")) == "the model imports no opset"
    assert changed(lambda m: m.ClearField("graph")) == "no graph in it; is this an ONNX model?"
    assert changed(lambda m: m.graph.node[0].attribute.extend([helper.make_attribute("k", 1)] * 2)) == \
        "node 'a' (Add): attribute 'k' is given twice"
    whole = small().SerializeToString()
    for n in range(1, len(whole)):
        refused_or_read(refused, whole[:n])


def test_operators_of_plans_are_checked_in_files(tmp_path):
    """Their kernels read whole tables, and know zero points of bytes only."""
    U8, I8 = TensorProto.UINT8, TensorProto.INT8

    def conv(table, **attributes):
        inputs = [("t", U8, [table], bytes(table)), ("w", I8, [4, 8, 1, 1], bytes(32))]
        node = helper.make_node("ConvLast", ["x", "w", "", "", "t"], ["y"], name="c", domain="ai.narrow", **attributes)
        (tmp_path / "in.onnx").write_bytes(make(
            [node], [info("x", F32, [1, 2, 2, 8])], [info("y", F32, [1, 2, 2, 4])], imports=[("ai.narrow", 1)],
            initializer=[helper.make_tensor(*i, raw=True) for i in inputs]).SerializeToString())
        return support.refused("inspect", tmp_path / "in.onnx")

    assert "node 'c' (ConvLast): input 4 (table): 256 constant bytes are needed" in conv(3)
    assert "inner_zero" in conv(256, inner_zero=65636)
    assert "inner_scale" in conv(256, inner_scale=-1.0)

    def attention(**attributes):
        """Two heads that are one, where y does not say otherwise."""
        views = {"sizes": [1, 2, 5, 5, 8, 8], "q": [0, 0, 0, 8], "k": [0, 0, 0, 8], "v": [0, 0, 0, 8]}
        node = helper.make_node("AttentionViews", ["x", "x", "x"], ["y"], name="a", domain="ai.narrow",
                                **{**views, **attributes})
        (tmp_path / "in.onnx").write_bytes(make([node], [info("x", F32, [5, 8])], [info("y", F32, None)],
                                                imports=[("ai.narrow", 1)]).SerializeToString())
        return support.refused("bench", tmp_path / "in.onnx", "--seconds", 0.01)

    assert "y: no view of the output" in attention(y=[0, 0, 8], shape=[5, 8])
    assert "y: no view of the output" in attention(y=[0, 8, 8], shape=[2, 5, 8])
    assert "y: no view of the output" in attention(y=[0, 8, 16], shape=[6, 2, 8])
    huge = [2**32, 2**32, 1, 1, 8, 8]
    assert "y: no view of the output" in attention(y=[0, 0, 0], shape=[1, 8], sizes=huge)


def refused_or_read(refused, data):
    """Cut between two fields, a file may still be a model."""
    try:
        assert refused(data)
    except AssertionError as e:
        assert "returncode=0" in str(e), e


def test_functions_that_never_end(refused):
    def f(name, *calls):
        nodes = [helper.make_node(c, ["x" if i == 0 else f"t{i - 1}"], [f"t{i}"], domain="f")
                 for i, c in enumerate(calls)]
        nodes.append(helper.make_node("Neg", [f"t{len(calls) - 1}"], ["y"]))
        return helper.make_function("f", name, ["x"], ["y"], nodes,
                                    [helper.make_opsetid("", 21), helper.make_opsetid("f", 1)])

    def model(functions):
        return make([helper.make_node(functions[0].name, ["x"], ["y"], domain="f", name="n")], [info("x")],
                    [info("y")], imports=[("f", 1)], functions=functions)
    assert "its function calls itself" in refused(model([f("a", "b"), f("b", "a")]))
    bomb = [f(f"f{i}", *[f"f{i + 1}"] * 4) for i in range(20)] + [f("f20", "g")] + [f("g", "Neg")]
    bomb[-1].node[0].domain = ""
    assert "far larger than the file" in refused(model(bomb))
    deep = [f(f"f{i}", f"f{i + 1}") for i in range(100)] + [f("f100", "Neg")]
    deep[-1].node[0].domain = ""
    assert "nest deeper than 64" in refused(model(deep))


def test_damaged_files(tmp_path):
    """Seeded damage to models that use much of the format, and to those of a folder if one is named;
    under the sanitizers when that build is there."""
    body = helper.make_graph([helper.make_node("Mul", ["x", "k"], ["v"])], "b", [], [info("v", F32, [2])])
    function = helper.make_function("f", "fn", ["a"], ["o"], [helper.make_node("Elu", ["a"], ["o"])],
                                    [helper.make_opsetid("", 17)], ["alpha"])
    function.node[0].attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="alpha", type=1))
    rich = make([helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body),
                 helper.make_node("fn", ["y"], ["z"], domain="f", alpha=2.0),
                 helper.make_node("Softmax", ["z"], ["s"], axis=0), helper.make_node("Squeeze", ["s"], ["q"], axes=[0]),
                 helper.make_node("Constant", [], ["k"], value_floats=[1.0, 2.0])],
                [info("x", F32, ["n"]), info("c", 9, [])], [info("q", F32, None)], opset=11, imports=[("f", 1)],
                functions=[function], initializer=[random_tensor(k, f"t{k}", typed=k % 2) for k in KINDS])
    files = [tmp_path / "rich.onnx"]
    files[0].write_bytes(rich.SerializeToString())
    for case in node_cases()[::50]:
        files.append(tmp_path / (case.name + ".onnx"))
        files[-1].write_bytes(case.model.SerializeToString())
    folder = os.environ.get("NARROW_MUTATE")
    if folder:
        files += [os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".onnx")]
    sanitized = os.path.join(support.ROOT, "build", "asan", "tests", "onnx_mutate")
    plain = os.path.join(os.path.dirname(ROUNDTRIP), "onnx_mutate")
    command = sanitized if os.path.exists(sanitized) else plain
    done = subprocess.run([command, "2000", "1", *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
