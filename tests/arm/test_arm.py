"""The tiers of aarch64 in a build for it, under emulation: detection, kernels, operators, and whole
models whose results must be those of this machine."""
import os
import shutil
import subprocess

import numpy as np
import pytest

import support

BUILD = os.path.join(support.ROOT, "build", "arm")
# What qemu calls processors with each tier at most.
PROCESSORS = {"neon": "cortex-a53", "dotprod": "neoverse-n1", "i8mm": "max"}
TIERS = ("scalar", *PROCESSORS)

pytestmark = pytest.mark.skipif(
    not os.path.exists(os.path.join(BUILD, "tests", "check_kernels")) or not shutil.which("qemu-aarch64"),
    reason="needs gcc-aarch64-linux-gnu, qemu-user and libraries for arm64")


def emulate(program, *args, processor="max", env=None):
    return subprocess.run(["qemu-aarch64", "-cpu", processor, os.path.join(BUILD, program), *map(str, args)],
                          capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL,
                          cwd=support.ROOT, env={**os.environ, **(env or {})}, check=False)


def passes(*args, **how):
    done = emulate(*args, **how)
    assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("tier", PROCESSORS)
def test_detection(tier):
    used = ["bench", os.path.join(support.DIGITS, "digits.onnx"), "--seconds", "0.01", "--json"]
    for cap in (None, *PROCESSORS):
        want = tier if cap is None else min(tier, cap, key=TIERS.index)
        out = passes("cli/narrow", *used, processor=PROCESSORS[tier], env={"NRW_CPU": cap or ""})
        assert f'"isa": "{want}"' in out, f"capped by {cap}: {out}"


def test_tiers_by_name():
    passes("tests/test_base_pool")
    model = os.path.join(support.DIGITS, "digits.onnx")
    for name in ("avx2", "abacus"):
        done = emulate("cli/narrow", "bench", model, "--cpu", name)
        assert done.returncode == 2
        assert name in done.stderr and "scalar, neon, dotprod, i8mm" in done.stderr


def test_kernels():
    out = passes("tests/check_kernels", 40)
    for tier in TIERS:
        assert f"{tier}: " in out, out


def test_operators():
    out = passes("tests/op_suite", "tests/ops/cases.txt")
    assert " 0 failed" in out


@pytest.mark.parametrize("mode", ("static", "dynamic"))
def test_same_results(mode, tmp_path):
    """Bit by bit: in these models floats only turn into integers and back."""
    def here(name):
        return os.path.join(support.DIGITS, name)

    model = tmp_path / "q.onnx"
    data = ["--data", here("calib.npy"), "--preprocess", "scale=1/16"] if mode == "static" else []
    support.ok("quantize", here("digits.onnx"), "-o", model, "--mode", mode, *data)
    images = np.load(here("test.npy")).astype(np.float32) / 16
    want = support.run_model(model, {"image": images}, tmp_path)
    for tier in TIERS:
        out = tmp_path / "arm.npz"
        passes("cli/narrow", "run", model, "--input", tmp_path / "in0.npy", "-o", out, "--cpu", tier)
        with np.load(out) as got:
            assert want.keys() == set(got.files)
            for name, value in want.items():
                assert value.tobytes() == got[name].tobytes(), f"{tier}: {name} differs"
