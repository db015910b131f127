"""int8 weights beside real data: LiteRT measures the data run by run, a convolution of one pixel and a matrix
product row by row, other windows image by image. Ours are its results to the last bits."""
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import helper, numpy_helper

import support


def network(batch):
    rng = np.random.default_rng(7)
    weights = {
        "w1": rng.normal(0, .2, (16, 3, 3, 3)), "b1": rng.normal(0, .3, 16),
        "w2": rng.normal(0, .3, (16, 1, 3, 3)), "b2": rng.normal(0, .3, 16),
        "w3": rng.normal(0, .2, (24, 16, 1, 1)), "b3": rng.normal(0, .3, 24),
        "w4": rng.normal(0, .2, (24, 1, 5, 5)), "b4": rng.normal(0, .3, 24),
        "w5": rng.normal(0, .1, (10, 24 * 64)), "b5": rng.normal(0, .3, 10),
        "lo": np.array(0), "hi": np.array(6)}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Clip", ["a", "lo", "hi"], ["ac"]),
        helper.make_node("Conv", ["ac", "w2", "b2"], ["b"], pads=[1, 1, 1, 1], group=16),
        helper.make_node("Relu", ["b"], ["bc"]),
        helper.make_node("Conv", ["bc", "w3", "b3"], ["c"]),
        helper.make_node("Conv", ["c", "w4", "b4"], ["d"], pads=[2, 2, 2, 2], strides=[2, 2], group=24),
        helper.make_node("Flatten", ["d"], ["f"]),
        helper.make_node("Gemm", ["f", "w5", "b5"], ["y"], transB=1)]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "hybrid", [value("x", onnx.TensorProto.FLOAT, [batch, 3, 32, 32])],
        [value("y", onnx.TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("batch", [1, 3])
def test_is_litert_s(batch, tmp_path):
    onnx.save(network(batch), tmp_path / "m.onnx")
    support.answer("quantize", tmp_path / "m.onnx", "-o", tmp_path / "q.tflite", "--mode", "dynamic")
    run = Interpreter(model_path=str(tmp_path / "q.tflite"), num_threads=1)
    run.allocate_tensors()
    x, y = run.get_input_details()[0], run.get_output_details()[0]
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sample = (rng.normal(0, 1, x["shape"]) if seed % 2 else rng.uniform(0, 1, x["shape"]))
        run.set_tensor(x["index"], sample.astype(np.float32))
        run.invoke()
        np.save(tmp_path / "x.npy", sample.astype(np.float32))
        support.ok("run", tmp_path / "q.tflite", "--input", tmp_path / "x.npy", "-o", tmp_path / "y.npz")
        want, got = run.get_tensor(y["index"]), np.load(tmp_path / "y.npz")["y"]
        assert np.abs(got - want).max() <= 2e-6 * np.abs(want).max(), f"seed {seed}"
