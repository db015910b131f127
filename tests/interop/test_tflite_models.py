"""Real TensorFlow Lite models give what LiteRT gives, and models keep their outputs on their way
through both formats."""
import glob
import os

import numpy as np
import onnxruntime as ort
import pytest

import support

litert = pytest.importorskip("ai_edge_litert.interpreter")

MODELS = {os.path.basename(p).removesuffix(".tflite"): p
          for p in sorted(glob.glob(os.path.join(support.SHARED, "models", "*.tflite")))}
# Further files, for a look at other models: paths with colons between them.
MODELS.update({os.path.basename(p).removesuffix(".tflite"): p
               for p in os.environ.get("NARROW_TFLITE_MODELS", "").split(":") if p})
ONNX = {name: path for name, path in support.all_models().items()
        if path.startswith((support.SHARED, support.ROOT + os.sep + "examples"))}
RANDOM = 8

# Recurrent layers in integers have no equal in ONNX.
NO_WAY_BACK = pytest.mark.xfail(strict=True, reason="recurrent layers in integers")


def named(models, *unwritten):
    return [pytest.param(name, marks=[NO_WAY_BACK] if name in unwritten else [])
            for name in sorted(models)]


class Lite:
    """A model in LiteRT with its default delegate, one thread."""

    def __init__(self, path):
        self.lite = litert.Interpreter(model_path=str(path), num_threads=1)
        self.lite.allocate_tensors()
        self.inputs, self.outputs = self.lite.get_input_details(), self.lite.get_output_details()

    def run(self, values):
        self.lite.reset_all_variables()  # else a recurrent layer goes on from where it was
        for detail, value in zip(self.inputs, values):
            self.lite.set_tensor(detail["index"], value)
        self.lite.invoke()
        return [np.array(self.lite.get_tensor(d["index"])) for d in self.outputs]


def stored(values, detail):
    """Real numbers as the input's integers."""
    scale, zero = detail["quantization"]
    if np.dtype(detail["dtype"]).kind == "f":
        return values.astype(np.float32)
    ends = np.iinfo(detail["dtype"])
    return np.clip(np.rint(values / scale) + zero, ends.min, ends.max).astype(detail["dtype"])


def faces(_):
    from PIL import Image

    for path in sorted(glob.glob(os.path.join(support.SHARED, "data", "faces", "*.jpg")))[:8]:
        picture = Image.open(path).convert("RGB").resize((320, 240))
        yield (np.asarray(picture, np.float32)[None] - 127) / 128


def array(name, count, change):
    def read(folder):
        values = np.load(os.path.join(folder, name), mmap_mode="r")[:count]
        return [change(np.asarray(v, np.float32))[None] for v in values]
    return read


# By parts of names: real inputs, as the models' makers feed them.
DATA = {
    "pretrainedResnet": array("cifar10_dev2000.npy", 60, lambda x: x),
    "kws_ref": array("kws_dev600.npy", 60, lambda x: x),
    "lstm": array("mnist_dev2000.npy", 60, lambda x: x / 255),
    "vww": array("imagenet_dev300.npy", 20, lambda x: x[:, 64:160, 64:160].transpose(1, 2, 0) / 255),
    "RFB": faces,
}


def some_inputs(name, lite):
    """Lists of values: random ones over the range that the input has, and real ones."""
    rng = np.random.default_rng(len(name))
    for i in range(RANDOM):
        values = []
        for detail in lite.inputs:
            kind, shape = np.dtype(detail["dtype"]), detail["shape"]
            if kind.kind == "f":
                low, size = ((0, 1), (-1, 2))[i % 2]
                values.append((low + size * rng.random(shape)).astype(kind))
            else:
                ends = np.iinfo(kind)
                values.append(rng.integers(ends.min, ends.max, shape, kind, endpoint=True))
        yield values
    for part, read in DATA.items():
        if part in name and len(lite.inputs) == 1:
            for values in read(os.path.join(support.SHARED, "data")):
                yield [stored(values, lite.inputs[0])]


def closeness(got, want, rel):
    """Asserts that floats are within rel of the largest; how many integers differ, of how many, and
    by how many steps at most."""
    off, count, steps = 0, 0, 0
    assert len(got) == len(want)
    for g, w in zip(got, want):
        assert g.shape == w.shape and g.dtype == w.dtype, (g.shape, g.dtype, w.shape, w.dtype)
        if w.dtype.kind == "f":
            size = np.abs(w).max()
            np.testing.assert_allclose(g, w, rtol=0, atol=rel * max(size, 1e-6))
        else:
            apart = np.abs(g.astype(np.int64) - w)
            off, count, steps = off + np.sum(apart > 0), count + w.size, max(steps, apart.max())
    return off, count, steps


@pytest.mark.parametrize("name", named(MODELS))
def test_equals_litert(name, tmp_path):
    lite, total, unequal = Lite(MODELS[name]), 0, 0
    for values in some_inputs(name, lite):
        feeds = {d["name"]: v for d, v in zip(lite.inputs, values)}
        got = list(support.run_model(MODELS[name], feeds, tmp_path).values())
        off, count, steps = closeness(got, lite.run(values), 1e-4)
        assert steps <= 1
        total, unequal = total + count, unequal + off
    assert unequal <= total / 1000, f"{unequal} of {total} integers differ"


def same_in_litert(name, before, after):
    one, other = Lite(before), Lite(after)
    assert [(d["name"], list(d["shape"]), d["dtype"]) for d in one.inputs] == \
        [(d["name"], list(d["shape"]), d["dtype"]) for d in other.inputs]
    for values in some_inputs(name, one):
        off, count, steps = closeness(other.run(values), one.run(values), 1e-5)
        assert off == 0, f"{off} of {count} integers differ, by {steps}"


@pytest.mark.parametrize("name", named(MODELS))
def test_written_again(name, tmp_path):
    support.ok("convert", MODELS[name], tmp_path / "again.tflite")
    same_in_litert(name, MODELS[name], tmp_path / "again.tflite")


@pytest.mark.parametrize("name", named(MODELS, "trained_lstm_int8"))
def test_through_onnx(name, tmp_path):
    support.ok("convert", MODELS[name], tmp_path / "m.onnx")
    support.ok("convert", tmp_path / "m.onnx", tmp_path / "again.tflite")
    same_in_litert(name, MODELS[name], tmp_path / "again.tflite")


def in_onnxruntime(path, feeds):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, feeds)


@pytest.mark.parametrize("name", sorted(ONNX))
def test_onnx_through_tflite(name, tmp_path):
    support.ok("convert", ONNX[name], tmp_path / "m.tflite")
    support.ok("convert", tmp_path / "m.tflite", tmp_path / "again.onnx")
    rng = np.random.default_rng(2)
    for _ in range(3):
        feeds = support.random_inputs(ONNX[name], rng)
        feeds = {k: v[:1] if v.ndim else v for k, v in feeds.items()}
        want = in_onnxruntime(ONNX[name], feeds)
        closeness(in_onnxruntime(str(tmp_path / "again.onnx"), feeds), want, 1e-5)
