#!/usr/bin/env python3
"""What static quantization costs in time and memory, beside ONNX Runtime's own per-channel quantizer.

usage: quantize.py MODEL.onnx IMAGES.npy [--rounds 3] [--mean M,M,M] [--std S,S,S]

IMAGES are uint8, channels first; the model takes them scaled to 0..1 and normalised. The two run in turn, each in a
process of its own; the best time and the peak memory of each, and the ratios, are printed.
"""
import argparse
import os
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import support  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mean", default="0.485,0.456,0.406")
    parser.add_argument("--std", default="0.229,0.224,0.225")
    a = parser.parse_args()
    script = os.path.join(ROOT, "tests", "interop", "ort_quantize.py")
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "q.onnx")
        commands = {
            "narrow": (support.NARROW, "quantize", a.model, "-o", out, "--mode", "static", "--data", a.images,
                       "--preprocess", f"scale=1/255 mean={a.mean} std={a.std}", "--quiet"),
            "onnxruntime": (sys.executable, script, a.model, out, a.images, a.mean, a.std),
        }
        seen = {who: [] for who in commands}
        for _ in range(a.rounds):
            for who, command in commands.items():
                seen[who].append(support.measure(*command))
    best = {who: (min(s for s, _ in runs), min(m for _, m in runs)) for who, runs in seen.items()}
    for who, (seconds, memory) in best.items():
        print(f"{who:12} {seconds:8.2f} s {memory:8.0f} MiB")
    print(f"{'ratio':12} {best['narrow'][0] / best['onnxruntime'][0]:8.3f}   "
          f"{best['narrow'][1] / best['onnxruntime'][1]:8.3f}")


if __name__ == "__main__":
    main()
