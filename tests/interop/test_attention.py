"""Attention as exporters write it is found, and gives what ONNX Runtime computes."""
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import support

TOKENS, HEADS, DEPTH = 37, 3, 20
WIDE = HEADS * DEPTH
node = helper.make_node


class Graph:
    def __init__(self):
        self.nodes, self.constants, self.rng = [], {}, np.random.default_rng(3)

    def add(self, op, *inputs, **attrs):
        out = f"t{len(self.nodes)}"
        self.nodes.append(node(op, [self.constant(i) if not isinstance(i, str) else i for i in inputs], [out], **attrs))
        return out

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def dense(self, x, n, scale=0.3):
        w = self.rng.standard_normal((WIDE, n)).astype(np.float32) * np.float32(scale)
        return self.add("MatMul", x, w)

    def ints(self, *v):
        return np.array(v, np.int64)


def heads(g, x, perm):
    return g.add("Transpose", g.add("Reshape", x, g.ints(1, -1, HEADS, DEPTH)), perm=perm)


def merge(g, y):
    return g.add("Reshape", g.add("Transpose", y, perm=[0, 2, 1, 3]), g.ints(1, -1, WIDE))


def scaled_before(g, x):
    """torch's scaled_dot_product_attention: both sides scaled, NaN rows guarded, a mask with -inf."""
    root = np.float32(DEPTH ** -0.25)
    q = g.add("Mul", heads(g, g.dense(x, WIDE), [0, 2, 1, 3]), root)
    k = g.add("Mul", heads(g, g.dense(x, WIDE), [0, 2, 3, 1]), root)
    v = heads(g, g.dense(x, WIDE), [0, 2, 1, 3])
    mask = np.where(g.rng.random((1, 1, TOKENS, TOKENS)) < 0.3, -np.inf, 0).astype(np.float32)
    mask[0, 0, 5] = -np.inf
    p = g.add("Softmax", g.add("Add", g.add("MatMul", q, k), mask), axis=-1)
    p = g.add("Where", g.add("IsNaN", p), np.zeros(1, np.float32), p)
    return merge(g, g.add("MatMul", p, v))


def scaled_behind(g, x):
    """transformers' BERT: scores divided, then a mask of -1e9 for each key."""
    q, v = (heads(g, g.dense(x, WIDE), [0, 2, 1, 3]) for _ in range(2))
    k = heads(g, g.dense(x, WIDE), [0, 2, 3, 1])
    mask = np.where(g.rng.random((1, 1, 1, TOKENS)) < 0.3, -1e9, 0).astype(np.float32)
    s = g.add("Add", g.add("Div", g.add("MatMul", q, k), np.float32(DEPTH ** 0.5)), mask)
    return merge(g, g.add("MatMul", g.add("Softmax", s, axis=-1), v))


def one_product(g, x):
    """torch's MultiheadAttention: one product for all three, picked apart."""
    t = g.add("Unsqueeze", g.add("Reshape", g.dense(g.add("Transpose", x, perm=[1, 0, 2]), 3 * WIDE),
                                 g.ints(TOKENS, 1, 3, WIDE)), g.ints(0))
    t = g.add("Squeeze", g.add("Transpose", t, perm=[3, 1, 2, 0, 4]), g.ints(3))
    q, k, v = (g.add("Gather", t, np.int64(i), axis=0) for i in range(3))
    q, k, v = (g.add("Transpose", g.add("Reshape", i, g.ints(TOKENS, HEADS, DEPTH)), perm=[1, 0, 2]) for i in (q, k, v))
    k = g.add("Transpose", k, perm=[0, 2, 1])
    y = g.add("MatMul", g.add("Softmax", g.add("MatMul", g.add("Mul", q, np.float32(0.2)), k), axis=-1), v)
    return g.add("Reshape", g.add("Transpose", y, perm=[1, 0, 2]), g.ints(1, TOKENS, WIDE))


def copied(g, x):
    """A reshape that no view can express: the operand is copied, the rest is found."""
    q, v = (heads(g, g.dense(x, WIDE), [0, 2, 1, 3]) for _ in range(2))
    k = g.add("Reshape", g.add("Transpose", g.dense(x, WIDE), perm=[0, 2, 1]), g.ints(1, HEADS, TOKENS, DEPTH))
    k = g.add("Transpose", k, perm=[0, 1, 3, 2])
    return merge(g, g.add("MatMul", g.add("Softmax", g.add("MatMul", q, k), axis=-1), v))


@pytest.mark.parametrize("attention", [scaled_before, scaled_behind, one_product, copied], ids=lambda a: a.__name__)
def test_like_onnxruntime(attention, tmp_path):
    g = Graph()
    y = g.dense(attention(g, "x"), WIDE)
    shape = [1, TOKENS, WIDE]
    graph = helper.make_graph(g.nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info(y, TensorProto.FLOAT, shape)],
                              [numpy_helper.from_array(v, k) for k, v in g.constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "f.onnx")
    x = g.rng.standard_normal(shape).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    support.answer("quantize", tmp_path / "f.onnx", "-o", tmp_path / "q.onnx", "--mode", "static", "--data", tmp_path / "x.npy")
    want = ort.InferenceSession(str(tmp_path / "q.onnx"), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    got = support.run_model(tmp_path / "q.onnx", {"x": x}, tmp_path)[y]
    # A sum next to the border between two steps may fall on either side.
    assert np.abs(want - got).max() <= 0.02 * np.abs(want).max()
    assert np.square(want - got).mean() <= 1e-5 * np.square(want).mean()
    steps = support.ok("bench", tmp_path / "q.onnx", "--threads", 1, "--profile")
    if ", amx;" in steps:
        operators = [line.split()[-2] for line in steps.splitlines()]
        assert "AttentionViews" in operators and "Softmax" not in operators
