"""What makes quantized files smaller is undone by reading: written again, a file has the same bytes."""
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import support


def model(nodes, x, y, constants, opset=17):
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def weights(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def equal_channels():
    """Scales of channels that are all the same are a palette of one value."""
    w = np.clip(weights(32, 2048), -1, 1)
    w[0] = 1
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"], "product"), helper.make_node("Relu", ["t"], ["y"])]
    return model(nodes, [4, 32], [4, 2048], {"w": w})


def zero_bias():
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], "conv", dilations=[1, 1], group=1)]
    return model(nodes, [1, 8, 5, 5], [1, 512, 5, 5], {"w": weights(512, 8, 1, 1), "b": np.zeros(512, np.float32)})


def names_of_others():
    """Nodes without a name must not take that of one which has it."""
    nodes = [helper.make_node("Tanh", ["x"], ["t"]), helper.make_node("Tanh", ["t"], ["u"], "Tanh.1"),
             helper.make_node("MatMul", ["u", "w"], ["y"], "DequantizeLinear_1")]
    return model(nodes, [4, 32], [4, 64], {"w": weights(32, 64)})


def large_mask():
    mask = np.triu(np.full((1200, 1200), -1e9, np.float32), 1)
    nodes = [helper.make_node("Add", ["x", "mask"], ["t"], "hide"), helper.make_node("MatMul", ["t", "w"], ["y"])]
    return model(nodes, [1200, 1200], [1200, 8], {"mask": mask, "w": weights(1200, 8)})


MODELS = [equal_channels, zero_bias, names_of_others, large_mask]


@pytest.mark.parametrize("mode", ["dynamic", "static"])
@pytest.mark.parametrize("make", MODELS, ids=lambda m: m.__name__)
def test_same_bytes(make, mode, tmp_path):
    paths = [tmp_path / name for name in ("float.onnx", "q.onnx", "again.onnx")]
    onnx.save(make(), paths[0])
    data = ["--data", "random:2"] if mode == "static" else []
    support.answer("quantize", paths[0], "-o", paths[1], "--mode", mode, *data)
    support.ok("convert", paths[1], paths[2])
    assert paths[1].read_bytes() == paths[2].read_bytes()
    assert {n.name for n in make().graph.node} <= {n.name for n in onnx.load(paths[2]).graph.node} | {""}


def test_scales_of_blocks_are_no_product(tmp_path):
    """The bias's scale is the product of the others number by number, but has another rank."""
    rng = np.random.default_rng(0)
    sw = rng.uniform(0.01, 0.02, (1, 32)).astype(np.float32)
    sx = np.float32(0.05)
    constants = {"sx": np.array(sx), "zx": np.array(128, np.uint8), "sw": sw, "zw": np.zeros((1, 32), np.int8),
                 "w": rng.integers(-99, 99, (64, 32)).astype(np.int8), "sb": sx * sw[0],
                 "b": rng.integers(-999, 999, 32).astype(np.int32)}
    nodes = [helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["q"]),
             helper.make_node("DequantizeLinear", ["q", "sx", "zx"], ["r"]),
             helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["wr"], axis=0, block_size=64),
             helper.make_node("DequantizeLinear", ["b", "sb"], ["br"], axis=0),
             helper.make_node("Gemm", ["r", "wr", "br"], ["y"])]
    paths = [str(tmp_path / name) for name in ("a.onnx", "b.onnx")]
    onnx.save(model(nodes, [4, 64], [4, 32], constants, opset=21), paths[0])
    support.ok("convert", *paths)
    x = rng.standard_normal((4, 64)).astype(np.float32)
    want, got = (ort.InferenceSession(p, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0] for p in paths)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
