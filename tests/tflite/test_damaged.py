"""What is wrong in a .tflite file is refused in one line that names it, with status 2. The
sanitizer build runs these, so a stray read is a failure as well."""
import glob
import os
from concurrent.futures import ThreadPoolExecutor

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import cases
import damage
import net
import support

MUTATIONS = 1000
LARGEST = 1 << 20

pytestmark = pytest.mark.skipif(not os.path.exists(support.NARROW_ASAN),
                                reason="needs the sanitizer build (./run test tflite)")

COMMANDS = (
    ("", lambda path, out: ("inspect", path)),
    (".onnx", lambda path, out: ("convert", path, out)),
    (".tflite", lambda path, out: ("convert", path, out)),
    ("", lambda path, out: ("bench", path, "--seconds", "0", "--threads", "1", "--max-ram", "1G")),
)


def one_of_each():
    """A case of each operator and kind, and whole graphs."""
    seen = set()
    for family in cases.FAMILIES.values():
        for recipe in family():
            if recipe.op == "graph" or (recipe.op, recipe.kind) not in seen:
                seen.add((recipe.op, recipe.kind))
                yield cases.build(recipe)


def test_mutated_cases(tmp_path):
    seeds = [case.model_bytes for case in one_of_each()]
    damage.check_mutants(seeds, MUTATIONS, tmp_path, ".tflite", COMMANDS,
                         (damage.mutate, damage.mutate_words, damage.mutate_words))


def test_mutated_models(shared, tmp_path):
    seeds = []
    for path in sorted(glob.glob(os.path.join(shared, "models", "*.tflite"))):
        if os.path.getsize(path) < LARGEST:
            with open(path, "rb") as f:
                seeds.append(f.read())
    damage.check_mutants(seeds, MUTATIONS, tmp_path, ".tflite", COMMANDS,
                         (damage.mutate, damage.mutate_words))


def incomplete():
    """(name, bytes): each operator without one of its inputs, or with no more than some."""
    for case in one_of_each():
        count = len(schema.ModelT.InitFromPackedBuf(case.model_bytes, 0).subgraphs[0]
                    .operators[-1].inputs)
        for i in range(min(count, 6)):
            for cut in (False, True):
                model = schema.ModelT.InitFromPackedBuf(case.model_bytes, 0)
                op = model.subgraphs[0].operators[-1]
                op.inputs = list(op.inputs[:i]) if cut else [*op.inputs[:i], -1, *op.inputs[i + 1:]]
                builder = flatbuffers.Builder(0)
                builder.Finish(model.Pack(builder), b"TFL3")
                yield f"{case.name}_{'cut' if cut else 'no'}{i}", bytes(builder.Output())


def test_missing_inputs(tmp_path):
    def work(item):
        path = str(tmp_path / f"{item[0]}.tflite")
        with open(path, "wb") as f:
            f.write(item[1])
        told = damage.run_mutant(path, path + ".out", ("inspect", path))
        return told and f"{item[0]}: {told}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = [told for told in pool.map(work, incomplete()) if told]
    assert not bad, f"{len(bad)}:\n" + "\n".join(bad)


# --- one thing wrong -----------------------------------------------------------------------------

def conv_net():
    """A convolution and an addition, whose parts the changes below know by number."""
    def build(n):
        x = n.input(n.uniform(-1, 1, 1, 4, 4, 2))
        w, b = n.weight(n.normal(3, 3, 3, 2)), n.const(np.zeros(3, np.float32))
        y = n.op("CONV_2D", [x, w, b], "act", "Conv2D", padding=net.SAME, strideW=1, strideH=1,
                 dilationWFactor=1, dilationHFactor=1)
        return n.op("ADD", [y, n.const(np.float32([1, 2, 3]))], "act", "Add")
    data, _ = net.model_of("conv_net", build, "float")
    return schema.ModelT.InitFromPackedBuf(data, 0)


def changed(change):
    model = conv_net()
    graph = model.subgraphs[0]
    weight = graph.tensors[graph.operators[0].inputs[1]]
    weight.quantization = schema.QuantizationParametersT()
    weight.shape = list(weight.shape)
    graph.inputs, graph.outputs = list(graph.inputs), list(graph.outputs)
    for op in graph.operators:
        op.inputs, op.outputs = list(op.inputs), list(op.outputs)
    change(model, graph, graph.operators[0], weight)
    return model


def quantized(weight, scale, zero, axis=0):
    weight.quantization.scale, weight.quantization.zeroPoint = scale, zero
    weight.quantization.quantizedDimension = axis
    weight.type = schema.TensorType.INT8


def cycle(graph):
    graph.operators[0].inputs[0] = graph.operators[1].outputs[0]


def shorten(model, tensor):
    tensor.shape = [1]
    buffer = model.buffers[tensor.buffer]
    buffer.data = buffer.data[:4]


def blocks(weight, scales):
    weight.type = schema.TensorType.INT8
    weight.quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
    weight.quantization.details = schema.BlockwiseQuantizationT()
    weight.quantization.details.scales, weight.quantization.details.blockSize = scales, 3


CHANGES = {
    "a buffer that is not there": lambda m, g, op, w: setattr(w, "buffer", 99),
    "a buffer that is too short": lambda m, g, op, w: setattr(m.buffers[w.buffer], "data",
                                                             np.zeros(7, np.uint8)),
    "bytes behind the file": lambda m, g, op, w: (
        setattr(m.buffers[w.buffer], "data", None), setattr(m.buffers[w.buffer], "offset", 1 << 40),
        setattr(m.buffers[w.buffer], "size", 216)),
    "bytes that wrap around": lambda m, g, op, w: (
        setattr(m.buffers[w.buffer], "data", None),
        setattr(m.buffers[w.buffer], "offset", (1 << 64) - 16),
        setattr(m.buffers[w.buffer], "size", 216)),
    "a tensor that is not there": lambda m, g, op, w: op.inputs.__setitem__(0, 99),
    "a negative tensor": lambda m, g, op, w: op.inputs.__setitem__(0, -7),
    "an output that is not there": lambda m, g, op, w: op.outputs.__setitem__(0, 99),
    "an input of the model that is not there": lambda m, g, op, w: g.inputs.__setitem__(0, 99),
    "an output of the model that is not there": lambda m, g, op, w: g.outputs.__setitem__(0, -1),
    "an operator code that is not there": lambda m, g, op, w: setattr(op, "opcodeIndex", 9),
    "an operator nobody knows": lambda m, g, op, w: (
        setattr(m.operatorCodes[0], "builtinCode", 9999),
        setattr(m.operatorCodes[0], "deprecatedBuiltinCode", 127)),
    "a cycle": lambda m, g, op, w: cycle(g),
    "two that make one tensor": lambda m, g, op, w: g.operators[1].outputs.__setitem__(
        0, op.outputs[0]),
    "a negative length": lambda m, g, op, w: w.shape.__setitem__(1, -3),
    "a huge shape": lambda m, g, op, w: setattr(w, "shape", [2**31 - 1] * 4),
    "too many axes": lambda m, g, op, w: setattr(w, "shape", [1] * 40),
    "a type nobody knows": lambda m, g, op, w: setattr(w, "type", 77),
    "no inputs": lambda m, g, op, w: setattr(op, "inputs", []),
    "no outputs": lambda m, g, op, w: setattr(op, "outputs", []),
    "no weight": lambda m, g, op, w: op.inputs.__setitem__(1, -1),
    "a stride of 0": lambda m, g, op, w: setattr(op.builtinOptions, "strideW", 0),
    "a negative stride": lambda m, g, op, w: setattr(op.builtinOptions, "strideH", -2),
    "a dilation of 0": lambda m, g, op, w: setattr(op.builtinOptions, "dilationHFactor", 0),
    "a padding nobody knows": lambda m, g, op, w: setattr(op.builtinOptions, "padding", 9),
    "an activation nobody knows": lambda m, g, op, w: setattr(
        op.builtinOptions, "fusedActivationFunction", 88),
    "a bias that is too short": lambda m, g, op, w: shorten(m, g.tensors[op.inputs[2]]),
    "scales of blocks that are their own": lambda m, g, op, w: blocks(w, op.inputs[1]),
    "scales that are too many": lambda m, g, op, w: quantized(w, [0.1] * 5, [0] * 5),
    "a scale of 0": lambda m, g, op, w: quantized(w, [0.0], [0]),
    "a scale that is no number": lambda m, g, op, w: quantized(w, [float("nan")], [0]),
    "a negative scale": lambda m, g, op, w: quantized(w, [-0.5], [0]),
    "a zero point that is none": lambda m, g, op, w: quantized(w, [0.5], [300]),
    "an axis that is none": lambda m, g, op, w: quantized(w, [0.1] * 3, [0] * 3, 7),
    "no graph": lambda m, g, op, w: setattr(m, "subgraphs", []),
    "no buffers": lambda m, g, op, w: setattr(m, "buffers", []),
    "another version": lambda m, g, op, w: setattr(m, "version", 2),
}


# A padding that is neither SAME nor VALID is taken for SAME.
TAKEN = {"a padding nobody knows"}


@pytest.mark.parametrize("what", [pytest.param(
    what, marks=[pytest.mark.xfail(strict=True)] if what in TAKEN else []) for what in CHANGES])
def test_one_thing_wrong(what, tmp_path):
    """It does not run. An operator with options that it cannot have stays one of TensorFlow Lite's,
    so that it may be written again as it was."""
    builder, path = flatbuffers.Builder(0), tmp_path / "m.tflite"
    builder.Finish(changed(CHANGES[what]).Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    line = support.refused(*COMMANDS[3][1](path, ""), command=support.NARROW_ASAN, env=damage.ENV)
    assert "m.tflite" in line
    for end, command in COMMANDS[:3]:
        out = str(tmp_path / f"out{end}")
        assert damage.run_mutant(path, out, command(path, out)) is None


@pytest.mark.parametrize("content", (b"\0\0\0\0TFL3", b"\x08\0\0\0TFL3", b"\0" * 4 + b"TFL3" * 99,
                                     b"\x1c\0\0\0TFL3" + b"\xff" * 100))
def test_files_that_are_no_models(content, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    assert "m.tflite" in support.refused("inspect", path, command=support.NARROW_ASAN,
                                         env=damage.ENV)
