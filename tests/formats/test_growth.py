"""Small files stay small: constants that are computed when a file is read are bounded, whatever the
file says of shapes."""
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import support

INFO = helper.make_tensor_value_info


def constant(name, value):
    return numpy_helper.from_array(np.array(value), name)


def model(nodes, weights, x, y, claims=()):
    graph = helper.make_graph(nodes, "g", [x], [y], weights, value_info=list(claims))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def chain(n, make):
    """x + made[0] + made[1] + …"""
    nodes, last = [], "x"
    for i in range(n):
        nodes += [make(f"n{i}"), helper.make_node("Add", [last, f"n{i}"], [f"a{i}"])]
        last = f"a{i}"
    return nodes, last


def one_constant_read_often():
    nodes, last = chain(600, lambda name: helper.make_node("Neg", ["w"], [name]))
    shape = [512, 512]
    return model(nodes, [constant("w", np.ones(shape, np.float32))], INFO("x", 1, shape), INFO(last, 1, shape))


def many_small_results():
    nodes, last = chain(8000, lambda name: helper.make_node("ConstantOfShape", ["s"], [name]))
    return model(nodes, [constant("s", np.array([16384]))], INFO("x", 1, [16384]), INFO(last, 1, [16384]))


def doubling_text():
    nodes = [helper.make_node("StringConcat", [f"s{i}"] * 2, [f"s{i + 1}"]) for i in range(26)]
    nodes.append(helper.make_node("StringConcat", ["x", "s26"], ["y"]))
    text = numpy_helper.from_array(np.array([b"a" * 16], dtype=object), "s0")
    return model(nodes, [text], INFO("x", TensorProto.STRING, [1]), INFO("y", TensorProto.STRING, [1]))


def doubling_tensors():
    nodes = [helper.make_node("Concat", [f"s{i}"] * 2, [f"s{i + 1}"], axis=0) for i in range(28)]
    nodes.append(helper.make_node("ReduceSum", ["s28"], ["r"], keepdims=0))
    nodes.append(helper.make_node("Add", ["x", "r"], ["y"]))
    return model(nodes, [constant("s0", np.ones(8, np.float32))], INFO("x", 1, [1]), INFO("y", 1, [1]))


def a_claim_that_is_too_small():
    nodes = [helper.make_node("ReduceMax", ["k", "axis"], ["m"]),
             helper.make_node("ConstantOfShape", ["m"], ["big"]), helper.make_node("Add", ["x", "big"], ["y"])]
    weights = [constant("k", np.full(65, 1 << 27)), constant("axis", np.array([0]))]
    return model(nodes, weights, INFO("x", 1, [1]), INFO("y", 1, None), [INFO("big", 1, [1])])


@pytest.mark.parametrize("make", (one_constant_read_often, many_small_results, doubling_text,
                                  doubling_tensors, a_claim_that_is_too_small))
def test_reading_takes_little(make, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(make(), path)
    _, peak = support.measure(support.NARROW, "inspect", path, "--json")
    assert peak < 320, f"{path.stat().st_size} bytes of file took {peak:.0f} MiB"


def test_a_wrong_claim_is_not_believed(tmp_path):
    """NonZero makes two columns here; the file says four."""
    nodes = [helper.make_node("NonZero", ["x"], ["z"]), helper.make_node("Shape", ["z"], ["y"])]
    path = tmp_path / "m.onnx"
    onnx.save(model(nodes, [], INFO("x", 1, [4]), INFO("y", TensorProto.INT64, [2]),
                    [INFO("z", TensorProto.INT64, [1, 4])]), path)
    got = support.run_model(path, {"x": np.array([1, 0, 0, 2], np.float32)}, tmp_path)
    assert got["y"].tolist() == [1, 2]
