"""The command line's contract: help, usage errors, exit statuses, and the keys that scripts read."""
import json
import os

import numpy as np
import pytest

import support

COMMANDS = ("inspect", "convert", "quantize", "run", "eval", "compare", "bench", "ops")
PREPROCESS = ("--preprocess", "scale=1/16")


@pytest.fixture(scope="module")
def quantized(digits, tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "q.onnx"
    support.ok("quantize", digits("digits.onnx"), "-o", out, "--mode", "static", "--data",
               digits("calib.npy"), *PREPROCESS)
    return out


# --- help and usage ----------------------------------------------------------------------------

def test_version():
    assert support.ok("--version").split()[0] == "narrow"


def test_help_names_every_command():
    text = support.ok("help")
    for command in COMMANDS:
        assert f"\n  {command} " in text or f" {command} " in text
    assert support.ok("--help") == text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command):
    text = support.ok("help", command)
    assert f"narrow {command}" in text
    assert support.ok(command, "--help") == text
    assert max(len(line) for line in text.splitlines()) <= 100


@pytest.mark.parametrize("options", (
    ("--mode", "--data", "--labels", "--samples", "--preprocess", "--bits", "--granularity", "--calibrator",
     "--max-loss", "--threads", "--seed", "--json"),))
def test_quantize_documents_its_options(options):
    text = support.ok("help", "quantize")
    assert not [o for o in options if o not in text]


@pytest.mark.parametrize("args, word", (
    (("frobnicate",), "frobnicate"),
    (("quantize",), "MODEL"),
    (("quantize", "MODEL"), "-o"),
    (("quantize", "MODEL", "-o"), "-o"),
    (("quantize", "MODEL", "-o", "OUT", "--mode", "sideways"), "sideways"),
    (("quantize", "MODEL", "-o", "OUT", "--no-such-option"), "--no-such-option"),
    (("quantize", "MODEL", "-o", "OUT", "--threads", "many"), "many"),
    (("quantize", "MODEL", "-o", "OUT", "--threads", "0"), "threads"),
    (("quantize", "MODEL", "-o", "OUT", "--samples", "-3"), "samples"),
    (("quantize", "MODEL", "-o", "OUT", "--calibrator", "guess"), "guess"),
    (("quantize", "MODEL", "-o", "OUT", "--mode", "static", "--data", "CALIB", "--preprocess", "scale=x"), "scale"),
    (("eval", "MODEL", "--data", "CALIB", "--metric", "beauty"), "beauty"),
    (("eval", "MODEL"), "--data"),
    (("run", "MODEL"), "-o"),
    (("run", "MODEL", "--input", "nosuch=CALIB", "-o", "OUT"), "nosuch"),
    (("inspect", "MODEL", "another"), "another"),
), ids=lambda v: " ".join(v) if isinstance(v, tuple) else None)
def test_usage_errors(args, word, digits, tmp_path):
    out = tmp_path / "out.onnx"
    names = {"MODEL": digits("digits.onnx"), "OUT": str(out), "CALIB": digits("calib.npy")}
    done = support.narrow(*[names.get(a, a.replace("=CALIB", "=" + names["CALIB"])) for a in args])
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and word in done.stderr
    assert not out.exists()


def test_nothing_on_stderr_when_it_is_no_terminal(digits, tmp_path):
    done = support.narrow("quantize", digits("digits.onnx"), "-o", tmp_path / "q.onnx", "--mode", "dynamic")
    assert done.returncode == 0 and done.stderr == ""


# --- keys that scripts read --------------------------------------------------------------------

def test_inspect_keys(digits):
    said = support.answer("inspect", digits("digits.onnx"))
    assert said["format"] == "onnx"
    assert [i["name"] for i in said["inputs"]] == ["image"]
    assert said["inputs"][0]["dtype"] == "float32" and len(said["inputs"][0]["shape"]) == 4
    assert [o["name"] for o in said["outputs"]] == ["logits"]
    assert said["operators"] == {"Conv": 3, "Relu": 3, "MaxPool": 2, "Flatten": 1, "Gemm": 1}
    assert said["parameters"] == 16 * 9 + 16 + 32 * 144 + 32 + 48 * 288 + 48 + 192 * 10 + 10
    assert said["macs"] == 64 * 16 * 9 + 64 * 32 * 144 + 16 * 48 * 288 + 1920
    assert said["quantized"] == {"values": 0, "nodes": 0}


def test_inspect_of_a_quantized_model(quantized):
    said = support.answer("inspect", quantized)
    assert said["quantized"]["nodes"] >= 4 and said["quantized"]["values"] >= 8


def test_inspect_text_is_readable(digits):
    text = support.ok("inspect", digits("digits.onnx"))
    assert "Conv" in text and "image" in text and len(text.splitlines()) < 60


@pytest.mark.parametrize("mode", ("static", "dynamic", "fp16", "auto"))
def test_quantize_keys(mode, digits, tmp_path):
    out = tmp_path / "q.onnx"
    data = ("--data", digits("calib.npy"), *PREPROCESS) if mode in ("static", "auto") else ()
    said = support.answer("quantize", digits("digits.onnx"), "-o", out, "--mode", mode, *data)
    assert said["output"] == str(out)
    assert said["size_bytes"] == os.path.getsize(out) < said["float_size_bytes"]
    assert said["seconds"] >= 0 and said["peak_rss_mb"] > 0
    assert isinstance(said["mode"], str) and isinstance(said["bits"], str)
    if data:
        assert said["samples"] > 0 and {"metric", "float", "quantized", "drop", "ci95"} <= set(said["loss"])


@pytest.mark.parametrize("metric", ("top1", "top5", "agreement", "sqnr", "cosine"))
def test_eval_keys(metric, digits, quantized):
    said = support.answer("eval", quantized, "--data", digits("test.npy"), "--labels", digits("test_labels.npy"),
                          "--reference", digits("digits.onnx"), "--metric", metric, *PREPROCESS)
    assert {"metric", "value", "n", "ci95", "reference_value", "agreement", "sqnr_db"} <= set(said)
    assert said["metric"] == metric and said["n"] == 600
    if metric == "top1":
        assert said["value"] > 0.97 and said["agreement"] > 0.97
    if metric == "cosine":
        assert 0.99 < said["value"] <= 1.0 + 1e-6


def test_eval_of_the_float_model(digits):
    said = support.answer("eval", digits("digits.onnx"), "--data", digits("test.npy"), "--labels",
                          digits("test_labels.npy"), *PREPROCESS)
    assert said["metric"] == "top1" and abs(said["value"] - 595 / 600) < 1e-6


def test_bench_keys(digits):
    said = support.answer("bench", digits("digits.onnx"), "--threads", "1", "--seconds", "0.2")
    assert said["threads"] == 1 and isinstance(said["isa"], str)
    assert 0 < said["min_ms"] <= said["median_ms"] and said["runs"] > 0 and said["load_ms"] > 0


def test_compare(digits, quantized):
    said = support.answer("compare", digits("digits.onnx"), quantized, "--data", digits("calib.npy"), *PREPROCESS)
    assert len(said["layers"]) >= 4


def test_ops():
    said = support.answer("ops")
    assert "Conv" in json.dumps(said)
    assert "Conv" in support.ok("ops")
    row = {"name": "CONV_2D", "domain": "tflite", "formats": "tflite"}
    assert row in said["operators"] and said["count"] == len(said["operators"])
    assert "tflite::CONV_2D" in support.ok("ops")


# --- behaviour ---------------------------------------------------------------------------------

def test_run_names_its_outputs(digits, tmp_path):
    x = np.load(digits("test.npy"))[:7].astype(np.float32) / 16
    got = support.run_model(digits("digits.onnx"), {"image": x}, tmp_path)
    assert list(got) == ["logits"] and got["logits"].shape == (7, 10)
    right = got["logits"].argmax(1) == np.load(digits("test_labels.npy"))[:7]
    assert right.mean() > 0.7


def test_run_takes_a_single_input_without_its_name(digits, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 8), np.float32))
    support.ok("run", digits("digits.onnx"), "--input", tmp_path / "x.npy", "-o", tmp_path / "o.npz")
    assert np.load(tmp_path / "o.npz")["logits"].shape == (1, 10)


def test_a_loss_bound_that_cannot_be_met_is_status_1(digits, tmp_path):
    done = support.narrow("quantize", digits("digits.onnx"), "-o", tmp_path / "q.onnx", "--mode", "static",
                          "--data", digits("test.npy"), "--labels", digits("test_labels.npy"),
                          "--max-loss", "-50%", *PREPROCESS)
    assert done.returncode in (1, 2)


def test_convert_keeps_the_numbers(digits, tmp_path):
    support.ok("convert", digits("digits.onnx"), tmp_path / "again.onnx")
    x = {"image": np.random.default_rng(0).random((3, 1, 8, 8), np.float32)}
    a = support.run_model(digits("digits.onnx"), x, tmp_path)
    b = support.run_model(tmp_path / "again.onnx", x, tmp_path)
    np.testing.assert_array_equal(a["logits"], b["logits"])


def test_convert_keys(digits, tmp_path):
    said = support.answer("convert", digits("digits.onnx"), tmp_path / "again.onnx")
    assert said == {"output": str(tmp_path / "again.onnx"),
                    "size_bytes": os.path.getsize(tmp_path / "again.onnx")}


def test_the_model_may_be_overwritten(digits, tmp_path):
    """Reading and writing the same path works: the output replaces it only when whole."""
    path = tmp_path / "m.onnx"
    with open(digits("digits.onnx"), "rb") as f:
        path.write_bytes(f.read())
    support.ok("quantize", path, "-o", path, "--mode", "dynamic")
    assert support.answer("inspect", path)["quantized"]["values"] > 0
