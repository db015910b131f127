"""What is wrong is refused in one line, with status 2, and leaves no file. The sanitizer build runs
these, so a stray read is a failure as well."""
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import damage
import support

COMMAND = support.NARROW_ASAN
ENV = damage.ENV
MUTATIONS = 1000

pytestmark = pytest.mark.skipif(not os.path.exists(COMMAND),
                                reason="needs the sanitizer build (./run test interop)")


def refused(*args, gone=None):
    return support.refused(*args, gone=gone, command=COMMAND, env=ENV)


def value(name, dims, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, dims)


def save(path, nodes, inputs, outputs, weights=(), opset=17):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    with open(path, "wb") as f:
        f.write(model.SerializeToString())
    return path


def conv(path, weight=None, dims=(1, 3, 8, 8)):
    w = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32) if weight is None else weight
    return save(path, [helper.make_node("Conv", ["x", "w"], ["y"], "the_conv")],
                [value("x", dims)], [value("y", None)], [numpy_helper.from_array(w, "w")])


# --- files that were damaged -------------------------------------------------------------------

def test_mutated_models(digits, tmp_path):
    small = [p for p in support.all_models().values() if os.path.getsize(p) < 1 << 20]
    seeds = []
    for path in small or [digits("digits.onnx")]:
        with open(path, "rb") as f:
            seeds.append(f.read())
    damage.check_mutants(seeds, MUTATIONS, tmp_path, ".onnx", (
        ("", lambda path, out: ("inspect", path)),
        (".onnx", lambda path, out: ("quantize", path, "-o", out, "--mode", "dynamic",
                                     "--quiet"))))


# --- models that cannot be ---------------------------------------------------------------------

def quantize(path, tmp_path, *more):
    out = tmp_path / "out.onnx"
    return refused("quantize", path, "-o", out, *more, gone=out)


def test_cycle(tmp_path):
    nodes = [helper.make_node("Add", ["x", "b"], ["a"], "first"),
             helper.make_node("Relu", ["a"], ["b"], "second")]
    line = quantize(save(tmp_path / "cycle.onnx", nodes, [value("x", [1])], [value("b", [1])]), tmp_path)
    assert "cycle.onnx" in line and ("first" in line or "second" in line)


def test_missing_value(tmp_path):
    nodes = [helper.make_node("Relu", ["ghost"], ["y"], "lonely")]
    line = quantize(save(tmp_path / "m.onnx", nodes, [value("x", [1])], [value("y", [1])]), tmp_path)
    assert "ghost" in line


def test_wrong_shapes_in_the_graph(tmp_path):
    line = quantize(conv(tmp_path / "m.onnx", np.ones((4, 5, 3, 3), np.float32)), tmp_path)
    assert "m.onnx" in line and "the_conv" in line


@pytest.mark.parametrize("dims", ([2**62, 2**62], [-5], [2**63 - 1, 4], [2**40]))
def test_impossible_weight_dims(dims, tmp_path):
    w = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"\0" * 64)
    nodes = [helper.make_node("Add", ["x", "w"], ["y"], "add")]
    line = quantize(save(tmp_path / "m.onnx", nodes, [value("x", [1])], [value("y", None)], [w]), tmp_path)
    assert "m.onnx" in line and "w" in line


@pytest.mark.parametrize("bad", (np.nan, np.inf, -np.inf))
def test_weights_that_are_no_numbers(bad, tmp_path):
    w = np.ones((4, 3, 3, 3), np.float32)
    w[1, 2, 0, 0] = bad
    line = quantize(conv(tmp_path / "m.onnx", w), tmp_path, "--mode", "dynamic")
    assert "the_conv" in line or "w" in line


@pytest.mark.parametrize("where", ("../outside.bin", "/etc/passwd", "a/../../outside.bin", "link.bin"))
def test_external_data_stays_in_its_folder(where, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a").mkdir()
    (tmp_path / "outside.bin").write_bytes(b"\0" * 4096)
    os.symlink(tmp_path / "outside.bin", inside / "link.bin")
    w = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4],
                    data_location=TensorProto.EXTERNAL)
    for key, text in (("location", where), ("offset", "0"), ("length", "16")):
        w.external_data.add(key=key, value=text)
    nodes = [helper.make_node("Add", ["x", "w"], ["y"], "add")]
    path = save(inside / "m.onnx", nodes, [value("x", [4])], [value("y", None)], [w])
    line = quantize(path, inside)
    assert "m.onnx" in line


@pytest.mark.parametrize("content", (b"", b"\0", b"hello, world\n", b"\x08" * 100000, b"PK\x03\x04" + b"\0" * 50))
def test_files_that_are_no_models(content, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert "m.onnx" in quantize(path, tmp_path)
    assert "m.onnx" in refused("inspect", path)


def test_missing_file_and_folder(tmp_path):
    assert "nowhere.onnx" in quantize(tmp_path / "nowhere.onnx", tmp_path)
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    assert "folder.onnx" in quantize(folder, tmp_path)


def field(number, payload):
    """A length-delimited field of a protobuf message."""
    size, head = len(payload), bytearray()
    for value in (number << 3 | 2, size):
        while value > 0x7F:
            head.append(value & 0x7F | 0x80)
            value >>= 7
        head.append(value)
    return bytes(head) + payload


def test_deeply_nested_bodies(tmp_path):
    """A thousand graphs inside each other (more than the onnx package would write) must not exhaust
    the stack."""
    graph = helper.make_graph([], "g", [], []).SerializeToString()
    for _ in range(1000):
        body = field(1, b"then_branch") + field(6, graph) + b"\xa0\x01\x05"
        graph = field(1, field(1, b"c") + field(2, b"y") + field(4, b"If") + field(5, body)) + field(2, b"g")
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x08" + field(7, graph) + field(8, b"\x10\x11"))
    assert "m.onnx" in quantize(path, tmp_path)


# --- data that does not fit --------------------------------------------------------------------

def data(tmp_path, array, name="d.npy"):
    np.save(tmp_path / name, array)
    return tmp_path / name


@pytest.mark.parametrize("array", (
    np.zeros((0, 3, 8, 8), np.float32), np.zeros((4, 8), np.float32), np.zeros((4, 3, 8, 8, 2), np.float32),
    np.zeros((4, 5, 8, 8), np.float32), np.float32(3), np.array(["a", "b"]),
    np.full((4, 3, 8, 8), np.nan, np.float32)), ids=(
        "empty", "rank 2", "rank 5", "channels", "scalar", "strings", "nan"))
def test_calibration_data(array, tmp_path):
    line = quantize(conv(tmp_path / "m.onnx"), tmp_path, "--mode", "static", "--data", data(tmp_path, array))
    assert "d.npy" in line


def test_truncated_npy(tmp_path):
    path = data(tmp_path, np.zeros((4, 3, 8, 8), np.float32))
    whole = path.read_bytes()
    for size in (0, 5, 60, 200):
        path.write_bytes(whole[:size])
        assert "d.npy" in quantize(conv(tmp_path / "m.onnx"), tmp_path, "--mode", "static", "--data", path)


def test_labels_must_fit(tmp_path):
    model = conv(tmp_path / "m.onnx", dims=(1, 3, 3, 3))
    x = data(tmp_path, np.zeros((4, 3, 3, 3), np.float32))
    for labels in (np.zeros(3, np.int64), np.array([0, 1, 2, 99]), np.array([0, 1, -1, 2]),
                   np.zeros((4, 2), np.int64), np.zeros(4, np.float32) + 0.5):
        short = data(tmp_path, labels, "l.npy")
        assert "l.npy" in refused("eval", model, "--data", x, "--labels", short)


def test_static_without_data(tmp_path):
    assert "calibration data" in quantize(conv(tmp_path / "m.onnx"), tmp_path, "--mode", "static")


def test_output_that_cannot_be_written(tmp_path):
    assert "nodir" in refused("quantize", conv(tmp_path / "m.onnx"), "-o", tmp_path / "nodir" / "o.onnx",
                              "--mode", "dynamic")


def test_data_that_is_missing(tmp_path):
    model, out = conv(tmp_path / "m.onnx"), tmp_path / "out.onnx"
    np.savez(tmp_path / "d.npz", other=np.zeros((4, 3, 8, 8), np.float32))
    np.savez(tmp_path / "two.npz", other=np.zeros((4, 3, 8, 8), np.float32), b=np.zeros(4, np.float32))
    two = save(tmp_path / "two.onnx", [helper.make_node("Add", ["a", "b"], ["y"], "add")],
               [value("a", [1, 3]), value("b", [1, 3])], [value("y", None)])
    np.savez(tmp_path / "half.npz", a=np.zeros((4, 3), np.float32))
    assert "half.npz" in refused("quantize", two, "-o", out, "--mode", "static", "--data",
                                 tmp_path / "half.npz", gone=out)
    assert "two.npz" in quantize(model, tmp_path, "--mode", "static", "--data", tmp_path / "two.npz")
    for missing in ("nowhere.npy", "nowhere.npz", "nowhere.csv", "nowhere"):
        assert missing in quantize(model, tmp_path, "--mode", "static", "--data", tmp_path / missing)
    (tmp_path / "empty").mkdir()
    assert "empty" in quantize(model, tmp_path, "--mode", "static", "--data", tmp_path / "empty")
    for spec in ("random:0", "random:-1", "random:x", "random:"):
        assert spec in quantize(model, tmp_path, "--mode", "static", "--data", spec)


def test_clamped_weights(tmp_path):
    w = np.ones((4, 3, 3, 3), np.float32)
    w[1, 2, 0, 0], w[0, 0, 0, 0] = np.nan, np.inf
    support.ok("quantize", conv(tmp_path / "m.onnx", w), "-o", tmp_path / "o.onnx", "--mode", "dynamic",
               "--clamp-weights", command=COMMAND, env=ENV)


# --- small files that ask for much ----------------------------------------------------------------

GIANTS = (2**33, 2**41, 2**60, 2**62)


def ints(*a):
    return np.array(a, np.int64)


def giants(size):
    """name -> (nodes, constants, input dims)."""
    one = np.ones((1, 1, 3, 3), np.float32)
    image = (1, 1, 4, 4)
    node = helper.make_node
    return {
        "ConstantOfShape": ([node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"], ["y"])],
                            {"s": ints(size)}, (1,)),
        "Expand": ([node("Expand", ["x", "s"], ["y"])], {"s": ints(size)}, (1,)),
        "Tile": ([node("Tile", ["x", "s"], ["y"])], {"s": ints(size)}, (1,)),
        "Pad": ([node("Pad", ["x", "s"], ["y"])], {"s": ints(size, size)}, (1,)),
        "Range": ([node("Range", ["a", "s", "b"], ["r"]), node("Cast", ["r"], ["f"], to=1),
                   node("Add", ["x", "f"], ["y"])],
                  {"a": np.int64(0), "s": np.int64(size), "b": np.int64(1)}, (1,)),
        "Resize": ([node("Resize", ["x", "", "", "s"], ["y"])], {"s": ints(1, 1, size, 4)}, image),
        "Resize by scales": ([node("Resize", ["x", "", "s"], ["y"])],
                             {"s": np.array([1, 1, size, 1], np.float32)}, image),
        "OneHot": ([node("OneHot", ["i", "s", "v"], ["y"])],
                   {"s": ints(size), "i": ints(1), "v": np.array([0, 1], np.float32)}, (1,)),
        "Conv, pads": ([node("Conv", ["x", "w"], ["y"], pads=[size] * 4)], {"w": one}, image),
        "ConvTranspose": ([node("ConvTranspose", ["x", "w"], ["y"], strides=[size] * 2)], {"w": one}, image),
        "MaxPool, pads": ([node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], pads=[size] * 4)], {}, image),
        "RandomNormal": ([node("RandomNormal", [], ["r"], shape=[size]), node("Add", ["x", "r"], ["y"])],
                         {}, (1,)),
        "Loop": ([node("Loop", ["M", "", "x"], ["y", "ys"], body=endless_body())],
                 {"M": np.int64(size)}, (1,)),
        "an input": ([node("Relu", ["x"], ["y"])], {}, (size,)),
    }


def endless_body():
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in (("c", "co"), ("s", "so"), ("s", "t"))]
    return helper.make_graph(nodes, "body", [value("i", [], TensorProto.INT64),
                                             value("c", [], TensorProto.BOOL), value("s", [1])],
                             [value("co", [], TensorProto.BOOL), value("so", [1]), value("t", [1])])


@pytest.mark.parametrize("size", GIANTS, ids=("2^33", "2^41", "2^60", "2^62"))
@pytest.mark.parametrize("kind", giants(1))
def test_giants(kind, size, tmp_path):
    nodes, constants, dims = giants(size)[kind]
    weights = [numpy_helper.from_array(np.array(v), k) for k, v in constants.items()]
    model = save(tmp_path / "m.onnx", nodes, [value("x", dims)], [value("y", None)], weights)
    line = refused("bench", model, "--seconds", "0", "--max-ram", "2G")
    assert "m.onnx" in line or "memory" in line
    done = support.narrow("inspect", model, command=COMMAND, env=ENV, timeout=60)
    assert done.returncode in (0, 2) and len(done.stderr.splitlines()) == (done.returncode == 2)


def test_default_memory_limit(tmp_path):
    """Without --max-ram, what the machine has is the limit."""
    nodes, constants, dims = giants(2**46)["Expand"]
    weights = [numpy_helper.from_array(np.array(v), k) for k, v in constants.items()]
    model = save(tmp_path / "m.onnx", nodes, [value("x", dims)], [value("y", None)], weights)
    assert "memory" in support.refused("bench", model, "--seconds", "0")
