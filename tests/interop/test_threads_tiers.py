"""Integer results do not depend on the processor's features nor on the number of threads."""
import os

import numpy as np
import pytest

import support

MODELS = ("digits", "pretrainedResnet", "vww_96_float", "kws_dscnn_float_bn", "ad01_fp32", "magika")


@pytest.mark.parametrize("mode", ("static", "dynamic"))
@pytest.mark.parametrize("name", MODELS)
def test_identical(name, mode, tmp_path):
    path = support.all_models().get(name)
    if path is None:
        pytest.skip(f"needs {name} (NARROW_SHARED or a Python package)")
    rng = np.random.default_rng(3)
    data = []
    if mode == "static":
        batches = [support.random_inputs(path, rng) for _ in range(8)]
        np.savez(tmp_path / "data.npz",
                 **{k: np.concatenate([b[k] for b in batches]) for k in batches[0]})
        data = ["--data", tmp_path / "data.npz"]
    quantized = tmp_path / "q.onnx"
    support.ok("quantize", path, "-o", quantized, "--mode", mode, *data)
    inputs = support.random_inputs(path, rng)
    want = support.run_model(quantized, inputs, tmp_path)
    for cpu in ("scalar", support.LOW_TIER, ""):
        env = {"NRW_CPU": cpu} if cpu else {}
        one, two = (support.run_model(quantized, inputs, tmp_path, "--threads", n, env=env) for n in "12")
        for out, value in want.items():
            assert np.array_equal(one[out], two[out]), f"{out}: {cpu or 'default'}: threads differ"
            assert close(value, one[out], mode), f"{out}: {cpu or 'default'} differs"


def close(a, b, mode):
    # Float steps around the integers may differ in their last bits between tiers, and dynamic
    # ranges are measured on floats; a different integer would show as a whole step.
    if mode == "dynamic":
        return a.shape == b.shape and np.allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(a).max())
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_unknown_tier_is_refused(tmp_path, digits):
    line = support.refused("bench", digits("digits.onnx"), env={"NRW_CPU": "abacus"})
    assert "abacus" in line and "scalar" in line


def test_files_are_reproducible(tmp_path, digits):
    """The same command writes the same bytes, whatever the threads and the processor."""
    outs = []
    for i, (cpu, threads) in enumerate((("scalar", "1"), (support.LOW_TIER, "2"), ("", "2"))):
        out = tmp_path / f"{i}.onnx"
        support.ok("quantize", digits("digits.onnx"), "-o", out, "--mode", "static", "--data",
                   digits("calib.npy"), "--preprocess", "scale=1/16", "--threads", threads,
                   env={"NRW_CPU": cpu} if cpu else {})
        outs.append(out.read_bytes())
    assert os.path.getsize(tmp_path / "0.onnx") > 0 and outs[1] == outs[2]
