"""EfficientNet-Lite0 with its ImageNet weights, static int8: consumers take it whole, three
engines agree, and it costs less than ONNX Runtime's own quantizer in accuracy, time and memory."""
import collections
import os
import sys

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import support

MEAN, STD = "0.485,0.456,0.406", "0.229,0.224,0.225"


def images(path):
    mean, std = (np.array(v.split(","), np.float32)[:, None, None] for v in (MEAN, STD))
    return ((x[None].astype(np.float32) / 255 - mean) / std for x in np.load(path, mmap_mode="r"))


@pytest.fixture(scope="module")
def pictures(shared, tmp_path_factory):
    """The labelled 300 as they are, shifted, and both of these mirrored: one of 1,200 is 0.08 points, so
    that 0.3 can be told. Paths of the pictures and of their labels."""
    x, y = (np.load(os.path.join(shared, "data", f"imagenet_dev300{what}.npy")) for what in ("", "_labels"))
    shifted = np.roll(x, 6, axis=2)
    folder = tmp_path_factory.mktemp("pictures")
    np.save(folder / "x.npy", np.concatenate([x, x[..., ::-1], shifted, shifted[..., ::-1]]))
    np.save(folder / "y.npy", np.tile(y, 4))
    return folder / "x.npy", folder / "y.npy"


def top1(classify, pictures):
    got = [classify(x).argmax() for x in images(pictures[0])]
    return float((np.array(got) == np.load(pictures[1])).mean())


def ort_top1(model, pictures):
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return top1(lambda x: session.run(None, {name: x})[0], pictures)


def openvino_top1(model, pictures):
    import openvino

    compiled = openvino.Core().compile_model(str(model), "CPU")
    return top1(lambda x: compiled([x])[0], pictures)


def narrow_top1(model, pictures):
    said = support.answer("eval", model, "--data", pictures[0], "--labels", pictures[1],
                          "--preprocess", support.IMAGENET, "--metric", "top1")
    assert said["n"] == len(np.load(pictures[1]))
    return said["value"]


@pytest.fixture(scope="module")
def floating(zoo):
    return zoo("efficientnet_lite0.onnx")


@pytest.fixture(scope="module")
def ours(floating, shared, tmp_path_factory):
    """The quantized model, with the seconds and the memory that making it took."""
    out = tmp_path_factory.mktemp("static") / "q.onnx"
    cost = support.measure(support.NARROW, "quantize", floating, "-o", out, "--mode", "static", "--data",
                           os.path.join(shared, "data", "imagenet_calib100.npy"), "--preprocess",
                           support.IMAGENET, "--quiet")
    return out, cost


@pytest.fixture(scope="module")
def theirs(floating, shared, tmp_path_factory):
    out = tmp_path_factory.mktemp("static") / "ort.onnx"
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ort_quantize.py")
    cost = support.measure(sys.executable, script, floating, out,
                           os.path.join(shared, "data", "imagenet_calib100.npy"), MEAN, STD)
    return out, cost


def test_checks_and_holds_only_integer_weights(ours):
    model = onnx.load(ours[0])
    onnx.checker.check_model(model, full_check=True)
    floats = [t.name for t in model.graph.initializer if t.data_type == 1 and np.prod(t.dims) > 4096]
    assert not floats


def test_onnxruntime_runs_no_float_convolution(ours, tmp_path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(str(ours[0]), options, providers=["CPUExecutionProvider"])
    seen = collections.Counter(n.op_type for n in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert seen["Conv"] == 0 and seen["FusedConv"] == 0
    assert seen["QLinearConv"] == 49, seen


def test_agrees_with_onnxruntime(ours, pictures):
    theirs, mine = ort_top1(ours[0], pictures), narrow_top1(ours[0], pictures)
    print(f"top-1 {mine:.4f}, in ONNX Runtime {theirs:.4f}")
    assert abs(theirs - mine) <= 0.003


def has_vnni():
    """Without VNNI, OpenVINO's int8 products saturate in 16 bits: it then computes something else."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return not {"avx512_vnni", "avx_vnni"}.isdisjoint(f.read().split())


@pytest.mark.skipif(not has_vnni(), reason="OpenVINO saturates int8 products on processors without VNNI")
def test_agrees_with_openvino(ours, pictures):
    theirs, mine = openvino_top1(ours[0], pictures), narrow_top1(ours[0], pictures)
    print(f"top-1 {mine:.4f}, in OpenVINO {theirs:.4f}")
    assert abs(theirs - mine) <= 0.003


def test_loses_no_more_than_onnxruntimes_quantizer(floating, ours, theirs, pictures):
    start = ort_top1(floating, pictures)
    mine, other = start - ort_top1(ours[0], pictures), start - ort_top1(theirs[0], pictures)
    print(f"float {start:.4f}; loss {mine:.4f}, ONNX Runtime's quantizer {other:.4f}")
    assert mine <= other


def test_takes_a_fifth_of_the_memory(ours, theirs):
    """The time is a matter for bench/quantize.py: it depends on what else the machine does."""
    (_, mine), (_, other) = ours[1], theirs[1]
    print(f"{mine:.0f} MiB; ONNX Runtime {other:.0f} MiB")
    assert mine <= other / 5


def test_entropy_needs_little_more_memory_than_minmax(floating, shared, tmp_path):
    peak = {}
    for calibrator in ("minmax", "entropy"):
        _, peak[calibrator] = support.measure(
            support.NARROW, "quantize", floating, "-o", tmp_path / "q.onnx", "--mode", "static", "--data",
            os.path.join(shared, "data", "imagenet_calib100.npy"), "--preprocess", support.IMAGENET,
            "--calibrator", calibrator, "--quiet")
    print(peak)
    assert peak["entropy"] <= 1.5 * peak["minmax"]
