#!/usr/bin/env python3
"""Times models in Narrow and in other runtimes, one after the other on this machine.

usage: bench.py [--threads N] [--seconds S] [MODEL.onnx ...]

Without models: the digits example and what build/zoo holds. Every runtime gets the same random
inputs; the median of its runs is printed in milliseconds. Narrow is timed twice: the float model,
and the one that it quantizes statically (on random data, which serves timing only).
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import numpy as np  # noqa: E402
import support  # noqa: E402


def median_ms(call, seconds):
    """Median time of call, after a tenth of the time for warming up."""
    times, end = [], time.monotonic() + seconds / 10
    while time.monotonic() < end:
        call()
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def onnxruntime_ms(path, inputs, threads, seconds):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return median_ms(lambda: session.run(None, inputs), seconds)


def openvino_ms(path, inputs, threads, seconds):
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return median_ms(lambda: request.infer(inputs), seconds)


def narrow_ms(path, threads, seconds):
    done = subprocess.run([support.NARROW, "bench", path, "--json", "--threads", str(threads),
                           "--seconds", str(seconds)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["median_ms"]


def quantize(path, out):
    subprocess.run([support.NARROW, "quantize", path, "-o", out, "--mode", "static", "--data",
                    "random:8", "--quiet"], check=True, capture_output=True)
    return out


def attempt(call, *args):
    try:
        return f"{call(*args):10.3f}"
    except Exception as error:  # a peer that cannot run a model is a fact to show, not the end
        detail = getattr(error, "stderr", None) or str(error)
        print(f"  {call.__name__}: {detail.strip().splitlines()[-1][:120]}", file=sys.stderr)
        return f"{'-':>10}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("models", nargs="*")
    args = parser.parse_args()
    models = args.models or [os.path.join(support.DIGITS, "digits.onnx"),
                             *sorted(glob.glob(os.path.join(support.ZOO, "*.onnx")))]
    how = (args.threads, args.seconds)
    print(f"median ms, {args.threads} thread(s)")
    print(f"{'':24}{'ort f32':>10}{'ov f32':>10}{'narrow f32':>12}{'ort int8':>10}{'ov int8':>10}"
          f"{'narrow int8':>13}")
    with tempfile.TemporaryDirectory() as folder:
        for path in models:
            inputs = support.random_inputs(path, np.random.default_rng(0))
            row = [attempt(onnxruntime_ms, path, inputs, *how), attempt(openvino_ms, path, inputs, *how),
                   "  " + attempt(narrow_ms, path, *how)]
            try:
                q = quantize(path, os.path.join(folder, "q.onnx"))
                row += [attempt(onnxruntime_ms, q, inputs, *how), attempt(openvino_ms, q, inputs, *how),
                        "   " + attempt(narrow_ms, q, *how)]
            except subprocess.CalledProcessError as error:
                print(f"  quantize: {error.stderr.decode().strip()[:120]}", file=sys.stderr)
            print(f"{os.path.basename(path)[:23]:24}{''.join(row)}", flush=True)


if __name__ == "__main__":
    main()
