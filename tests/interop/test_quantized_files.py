"""Whatever model is quantized, whichever way: the file is valid, other engines take it, they compute
what this one computes, and ONNX Runtime finds no layer to run in float."""
import collections
import os

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import support

LARGEST = 64 << 20
MODELS = {name: path for name, path in support.all_models().items() if os.path.getsize(path) <= LARGEST}
WAYS = {
    "static": ["--mode", "static"],
    "qoperator": ["--mode", "static", "--style", "qoperator"],
    "dynamic": ["--mode", "dynamic"],
    "weights": ["--mode", "weights"],
    "fp16": ["--mode", "fp16"],
    "bf16": ["--mode", "bf16"],
}
LAYERS = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}


def ort_session(path, optimized=None):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimized)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def ort_outputs(path, inputs):
    session = ort_session(path)
    wanted = {i.name for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {k: v for k, v in inputs.items() if k in wanted})))


def openvino_outputs(path, inputs):
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", hints)
    said = compiled(inputs)
    return [said[o] for o in compiled.outputs]


def sqnr(want, got):
    """Of all real outputs the lowest, in dB. A probability of 1e-5 counts as much as none: engines
    approximate their sigmoids."""
    worst = np.inf
    for name, a in want.items():
        if not np.issubdtype(a.dtype, np.floating):
            continue
        a, b = np.nan_to_num(a.astype(np.float64)), np.nan_to_num(got[name].astype(np.float64))
        noise = np.square(a - b).sum()
        if noise > 0:
            worst = min(worst, 10 * np.log10(max(np.square(a).sum(), a.size * 1e-10) / noise))
    return worst


def float_layers(path):
    """Layers with constant weights that an optimized graph still computes in float."""
    graph = onnx.load(path).graph
    constant = {t.name for t in graph.initializer}
    for n in graph.node:
        if n.op_type == "DequantizeLinear" and n.input[0] in constant:
            constant.add(n.output[0])
    return collections.Counter(n.op_type for n in graph.node
                               if n.op_type in LAYERS and len(n.input) > 1 and n.input[1] in constant)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_engines_agree(name, way, tmp_path):
    path, rng, out = MODELS[name], np.random.default_rng(1), tmp_path / "q.onnx"
    inputs = support.random_inputs(path, rng)
    more = [support.random_inputs(path, rng) for _ in range(4)]
    np.savez(tmp_path / "data.npz", **{k: np.concatenate([m[k] for m in more]) for k in inputs})
    data = ["--data", tmp_path / "data.npz"] if "static" in WAYS[way] else []
    done = support.narrow("quantize", path, "-o", out, *WAYS[way], *data)
    assert done.returncode in (0, 1), done.stderr
    onnx.checker.check_model(str(out), full_check=True)

    theirs = ort_outputs(out, inputs)
    loss = sqnr(ort_outputs(path, inputs), theirs)
    ours = support.run_model(out, inputs, tmp_path)
    apart = sqnr(theirs, ours)
    print(f"{name} {way}: {loss:.1f} dB lost in ONNX Runtime, {apart:.1f} dB between engines")
    # A value that lies between two integers may go either way, and what follows amplifies it as it
    # does the loss itself: that is the yardstick, and 30 dB is a step of an 8-bit output.
    assert apart >= min(30, loss + 2)
    if way == "static":
        ort_session(out, tmp_path / "optimized.onnx")
        assert not float_layers(tmp_path / "optimized.onnx")
    if way != "qoperator":  # OpenVINO wants weight scales along axis 1 there, ONNX has them on 0
        for a, b in zip(theirs.values(), openvino_outputs(out, inputs)):
            assert a.shape == b.shape
