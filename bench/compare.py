#!/usr/bin/env python3
"""Times models in Narrow and in other runtimes on this machine, taking turns.

usage: compare.py [--threads N] [--seconds S] [--rounds R] [--no-amx] [MODEL.onnx ...]

Without models: the digits example and what build/zoo holds. Every runtime gets the same random
inputs and S seconds, in R turns of which one follows the other, so that a machine that slows down
slows down for all; what is printed is the median of the turns' medians in milliseconds. Integer
columns are the file that Narrow quantizes statically (on random data, which serves timing only), in
each engine; OpenVINO's bf16 is the float model at its own choice of precision. The ratio is the
fastest of the others, of any precision, by Narrow's integers. --no-amx: nobody gets tiles, which is
how a machine without them would do.
"""
import argparse
import glob
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import no_tiles  # noqa: E402
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


def onnxruntime(path, inputs, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda seconds: median_ms(lambda: session.run(None, inputs), seconds)


def openvino(path, inputs, threads, precision="f32"):
    import openvino as ov

    compiled = ov.Core().compile_model(path, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision})
    request = compiled.create_infer_request()
    return lambda seconds: median_ms(lambda: request.infer(inputs), seconds)


def openvino_bf16(path, inputs, threads):
    return openvino(path, inputs, threads, "bf16")


def narrow(path, inputs, threads):
    del inputs  # it makes its own

    def turn(seconds):
        said = support.answer("bench", path, "--threads", threads, "--seconds", seconds)
        narrow.tier = said["isa"]
        return said["median_ms"]
    return turn


COLUMNS = {"ort f32": (onnxruntime, False), "ov f32": (openvino, False), "ov bf16": (openvino_bf16, False),
           "narrow f32": (narrow, False), "ort int8": (onnxruntime, True), "ov int8": (openvino, True),
           "narrow int8": (narrow, True)}


def prepared(name, make, *args):
    try:
        return make(*args)
    except Exception as error:  # a peer that cannot run a model is a fact to show, not the end
        print(f"  {name}: {str(error).strip().splitlines()[-1][:120]}", file=sys.stderr)
        return None


def quantize(path, out):
    support.ok("quantize", path, "-o", out, "--mode", "static", "--data", "random:8", "--quiet")
    return out


def times(path, quantized, args):
    inputs = support.random_inputs(path, np.random.default_rng(0))
    turns = {name: prepared(name, make, quantized if integers else path, inputs, args.threads)
             for name, (make, integers) in COLUMNS.items()}
    seen = {name: [] for name, turn in turns.items() if turn is not None}
    for _ in range(args.rounds):
        for name in seen:
            seen[name].append(turns[name](args.seconds / args.rounds))
    return {name: statistics.median(ms) for name, ms in seen.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-amx", action="store_true")
    parser.add_argument("models", nargs="*")
    args = parser.parse_args()
    if args.no_amx:
        no_tiles.deny_tiles()
    models = args.models or [os.path.join(support.DIGITS, "digits.onnx"),
                             *sorted(glob.glob(os.path.join(support.ZOO, "*.onnx")))]
    print(f"median ms, {args.threads} thread(s)")
    print(f"{'':24}" + "".join(f"{name:>12}" for name in COLUMNS) + f"{'ratio':>8}")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for path in models:
            ms = times(path, quantize(path, os.path.join(folder, "q.onnx")), args)
            best = min((v for k, v in ms.items() if not k.startswith("narrow")), default=math.nan)
            ratios.append(best / ms["narrow int8"])
            row = "".join(f"{ms[name]:12.3f}" if name in ms else f"{'-':>12}" for name in COLUMNS)
            print(f"{os.path.basename(path)[:23]:24}{row}{ratios[-1]:8.2f}", flush=True)
    print(f"geometric mean {math.exp(statistics.fmean(map(math.log, ratios))):.2f}, lowest {min(ratios):.2f}; "
          f"tier {narrow.tier}")


if __name__ == "__main__":
    main()
