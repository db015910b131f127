#!/usr/bin/env python3
"""TensorFlow Lite's operators one at a time, with the outputs of LiteRT: what ONNX's backend node
tests are for ONNX.

usage: cases.py --check [PATTERN]       runs all in LiteRT, prints counts and what it drops
       cases.py --write DIR [PATTERN]   CASE.tflite, CASE.in<i>.npy, CASE.out<i>.npy for each
                                        case, and index.json

cases() yields the cases, expected(case) runs LiteRT with its default delegate, XNNPACK, in one
thread (without it where case.xnnpack is False, because what it computes there is wrong).
differs(case, outputs, expected(case)) judges. How near an answer has to come is said by case.kind:

    exact        every bit: nothing is computed, or integers without a scale are
    float        rounding of float32, in the order of 1e-5 of the largest magnitude
    quantized    int8 and uint8 may differ by one step of their scale, int16 by four; floats by 2 %
                 of the largest magnitude (their weights are integers, and activations too where
                 the engine makes them so). Errors add up in whole graphs (op "graph"): three
                 steps; and in RNN, LSTM and SVDF, which feed back what they round: eight, 4 %

Outputs of type int32, int64 and bool are indices, counts and flags and exact whatever the kind.
NaN and infinities come where the expected ones are.

Why so near and no nearer. LiteRT has two engines, and both of them, as well as float arithmetic on
dequantized inputs and weights that is rounded once, pass in every case:

- XNNPACK in int8 and uint8 computes convolutions, FULLY_CONNECTED, MUL, MEAN and SUM as
  clamp(zero + rint((float)sum * m)), ties to even, m = (float)s_x * (float)s_w / (float)s_y; ADD,
  SUB, LEAKY_RELU, RESIZE_BILINEAR and int8 to int8 QUANTIZE in fixed point, ties up. Its float
  functions leave the function at odd places, of which cases_math.py has no cases: EXP(NaN) is 0,
  RSQRT(0) NaN, denormals are 0.
- LiteRT's own kernels round twice (the high half of a doubled product, then a shift), ties away
  from zero: a step off that in few places. They alone take int16, SOFTMAX, AVERAGE_POOL_2D, PRELU,
  HARD_SWISH, L2_NORMALIZATION, DIV, REDUCE_PROD and all that is recurrent.
- int16: tables of 513 places with lines between, 10 bits for places in RESIZE_BILINEAR: SOFTMAX,
  TANH, GELU and REDUCE_PROD are two or three steps off. EXP and LOG are hundreds of steps off where
  they are steep, so cases stay where they are even.
- Float activations with integer weights: XNNPACK makes 8 bits with a zero point of activations, by
  rows or images; LiteRT's own kernels 127 levels on both sides of 0. The two differ by up to 1.4 %
  of the largest output, exact float activations by up to 1 % from either (recurrent: 3.4 %).
- A fused TANH in CONV_2D, ADD and the pools of LiteRT is accepted and not applied.

No case is where LiteRT crashes or is plainly wrong: FULLY_CONNECTED with sparse weights and no
DENSIFY in XNNPACK (reads past their end), DEPTHWISE_CONV_2D without a bias, BATCH_MATMUL of int8
with scales per channel (all outputs are the zero point), PRELU in int16, ADD of int8 without scales
(aborts), recurrent layers in both directions with odd layouts.
Both commands run each family in a process of its own and go on behind a case that kills it.
"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys

import numpy as np

import net
import cases_graphs
import cases_math
import cases_recurrent
import cases_shape
import cases_weights

FAMILIES = {
    "weights": cases_weights.recipes,
    "math": cases_math.recipes,
    "shape": cases_shape.recipes,
    "recurrent": cases_recurrent.recipes,
    "graphs": cases_graphs.recipes,
}

Case = collections.namedtuple("Case", "name model_bytes inputs kind op xnnpack")


def build(recipe):
    data, inputs = net.model_of(recipe.name, recipe.build, recipe.mode)
    return Case(recipe.name, data, inputs, recipe.kind, recipe.op, recipe.xnnpack)


def cases(families=tuple(FAMILIES), pattern=""):
    """All cases that LiteRT runs, or those with a name that pattern finds something in."""
    for family in families:
        for recipe in FAMILIES[family]():
            if re.search(pattern, recipe.name):
                try:
                    yield build(recipe)
                except net.Refused:
                    pass


def expected(case):
    """LiteRT's outputs; None if it refuses to run the case."""
    try:
        return net.outputs_of(case.model_bytes, case.inputs, case.xnnpack)
    except net.Refused:
        return None


def differs(case, outputs, wanted):
    """What is wrong with outputs where LiteRT has wanted; None if they are near enough."""
    if len(outputs) != len(wanted):
        return f"{len(outputs)} outputs instead of {len(wanted)}"
    loop = re.search("LSTM|RNN|SVDF", case.op)
    for i, (got, right) in enumerate(zip(outputs, wanted)):
        if got.shape != right.shape or got.dtype != right.dtype:
            return f"output {i} is {got.dtype} {got.shape} instead of {right.dtype} {right.shape}"
        if case.kind == "exact" or got.dtype.kind == "b" or got.dtype.itemsize > 2 and \
                got.dtype.kind in "iu":
            if not np.array_equal(got, right, equal_nan=got.dtype.kind in "fc"):
                return f"output {i} is not the same in {np.sum(got != right)} of {got.size} places"
        elif got.dtype.kind in "iu":
            steps = 8 if loop else 4 if got.dtype == np.int16 else 3 if case.op == "graph" else 1
            off = np.abs(got.astype(np.int64) - right).max(initial=0)
            if off > steps:
                return f"output {i} is {off} steps off"
        else:
            finite = np.isfinite(right)
            if not np.array_equal(got[~finite], right[~finite], equal_nan=True):
                return f"output {i} has infinities or NaN elsewhere"
            size = np.abs(right[finite]).max(initial=1e-30)
            off = np.abs(got[finite] - right[finite]).max(initial=0) / size
            if off > (1e-5 if case.kind == "float" else 0.04 if loop else 0.02):
                return f"output {i} is {off:.1e} of its largest magnitude off"
    return None


def real(values, detail):
    """The numbers that quantized values stand for."""
    scales = detail["quantization_parameters"]["scales"]
    if scales.size != 1 or values.dtype.kind not in "iu":
        return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
    zero = detail["quantization_parameters"]["zero_points"][0]
    return (values.astype(np.float64) - zero) * scales[0]


def doubts(recipe, case, outputs):
    """What looks as if the case had been built wrongly: quantized results far from those of the
    float form, results that are nearly all alike."""
    lite = net.interpreter(case.model_bytes, case.inputs, case.xnnpack)
    details = lite.get_output_details()
    told = []
    again = net.outputs_of(case.model_bytes, case.inputs, case.xnnpack)
    if any(a.tobytes() != b.tobytes() for a, b in zip(outputs, again)):
        told.append("another run gives something else")
    for i, (values, detail) in enumerate(zip(outputs, details)):
        if list(detail["shape"]) != list(values.shape) and -1 not in detail["shape_signature"]:
            told.append(f"output {i} has shape {values.shape}, file says {detail['shape']}")
        if recipe.kind == "quantized" and values.dtype.kind in "iu" and values.size > 8:
            if np.mean((values == values.min()) | (values == values.max())) > 0.9:
                told.append(f"output {i} is mostly saturated")
        finite = values.dtype.kind != "f" or np.isfinite(values).all()
        if not finite and "special" not in case.name:
            told.append(f"output {i} is not finite")
    if recipe.kind != "quantized" or told:
        return told
    try:
        data, inputs = net.model_of(recipe.name, recipe.build, "float", recipe.mode)
        wanted = net.outputs_of(data, inputs, delegate=False)
    except (net.Refused, net.NeedRange):
        return told
    for i, (values, right, detail) in enumerate(zip(outputs, wanted, details)):
        if values.shape == right.shape and values.size and right.dtype.kind == "f":
            off = np.abs(real(values, detail) - right).max() / max(np.abs(right).max(), 1e-9)
            if off > 0.07:
                told.append(f"output {i} is {off:.2f} of its range away from the float form")
    return told


def work(family, pattern, skip, folder):
    """One family in this process: a line of JSON before and after each case."""
    for recipe in FAMILIES[family]():
        if not re.search(pattern, recipe.name) or recipe.name in skip:
            continue
        print(json.dumps({"begin": recipe.name, "op": recipe.op}), flush=True)
        try:
            case = build(recipe)
            outputs = net.outputs_of(case.model_bytes, case.inputs, case.xnnpack)
            told = [] if folder else doubts(recipe, case, outputs)
        except net.Refused as e:
            print(json.dumps({"refused": str(e)}), flush=True)
            continue
        if folder:
            write(folder, case, outputs)
        print(json.dumps({"done": recipe.kind, "inputs": len(case.inputs),
                          "outputs": len(outputs), "doubts": told}), flush=True)


def write(folder, case, outputs):
    with open(os.path.join(folder, f"{case.name}.tflite"), "wb") as f:
        f.write(case.model_bytes)
    for role, arrays in (("in", case.inputs), ("out", outputs)):
        for i, values in enumerate(arrays):
            np.save(os.path.join(folder, f"{case.name}.{role}{i}.npy"), values)


def run_family(family, pattern, folder=None):
    """(name, op, what became of it) for each case, in processes that may die."""
    skip, results = [], {}
    while True:
        child = subprocess.run(
            [sys.executable, os.path.abspath(__file__), "--work", family, pattern, folder or "",
             *skip], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        name = None
        for line in child.stdout.splitlines():
            entry = json.loads(line) if line.startswith("{") else {}
            if "begin" in entry:
                name, op = entry["begin"], entry["op"]
            elif entry:
                assert name not in results, f"two cases are called {name}"
                results[name], name = (op, entry), None
        if child.returncode == 0:
            return results
        if child.returncode > 0 or name is None:
            sys.exit(f"{family}: {child.stderr}")
        results[name] = op, {"died": f"signal {-child.returncode}"}
        skip = list(results)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage:")[1].split("\n\n")[0].strip())
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", metavar="DIR")
    parser.add_argument("pattern", nargs="?", default="")
    options = parser.parse_args()
    if options.write:
        os.makedirs(options.write, exist_ok=True)
    results = {}
    for family in FAMILIES:
        results.update(run_family(family, options.pattern, options.write))
    good = {name: (op, entry) for name, (op, entry) in results.items() if "done" in entry}
    if options.write:
        index = [{"name": name, "op": op, "kind": entry["done"], "inputs": entry["inputs"],
                  "outputs": entry["outputs"]} for name, (op, entry) in good.items()]
        with open(os.path.join(options.write, "index.json"), "w", encoding="utf-8") as f:
            json.dump(index, f, indent=1)
        print(f"{len(good)} cases written")
        return 0
    counts = collections.Counter(op for op, _ in good.values())
    for op, count in sorted(counts.items()):
        print(f"{count:5} {op}")
    for name, (op, entry) in results.items():
        if "done" not in entry:
            print(f"dropped {name}: {entry.get('refused') or entry.get('died')}")
        for doubt in entry.get("doubts", ()):
            print(f"doubtful {name}: {doubt}")
    print(f"{len(good)} cases of {len(counts)} operators, {len(results) - len(good)} dropped")
    return int(len(good) < len(results) or any(entry["doubts"] for _, entry in good.values()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], set(sys.argv[5:]), sys.argv[4])
        sys.exit()
    sys.exit(main())
