"""Quantizes one model in several ways with the narrow command and prints them side by side."""
import json
import os
import subprocess
import tempfile


def call(command, *args):
    """Runs a narrow command with --json and gives its answer."""
    done = subprocess.run([*command, *args, "--json", "--quiet"], stdout=subprocess.PIPE, text=True,
                          check=True)
    return json.loads(done.stdout)


def show(narrow, model, calib, test, labels, preprocess=None, modes=("dynamic", "static", "fp16")):
    """Prints a table: the float model, then each mode; sizes, latency, accuracy, agreement."""
    spec = ["--preprocess", preprocess] if preprocess else []
    with tempfile.TemporaryDirectory() as folder:
        rows = [("float", model)]
        for mode in modes:
            out = os.path.join(folder, mode + ".onnx")
            data = ["--data", calib, *spec] if mode == "static" else []
            call([narrow, "quantize"], model, "-o", out, "--mode", mode, *data)
            rows.append((mode, out))
        print(f"{'':10}{'size':>10}{'of float':>10}{'latency':>12}{'top-1':>9}{'same answer':>13}")
        float_size = os.path.getsize(model)
        for name, path in rows:
            size = os.path.getsize(path)
            time = call([narrow, "bench"], path, "--threads", "1", "--seconds", "1")["median_ms"]
            score = call([narrow, "eval"], path, "--data", test, "--labels", labels, "--metric", "top1",
                         "--reference", model, *spec)
            print(f"{name:10}{size / 1024:>7.1f} kB{size / float_size:>9.0%} {time:>8.3f} ms"
                  f"{score['value']:>9.2%}{score['agreement']:>13.2%}")
