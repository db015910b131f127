#!/usr/bin/env python3
"""How far LiteRT's own outputs move when each input value moves by its last bit, beside how far Narrow's are
from them: no engine that adds in another order can be nearer than the first.

    bench/tflite_conditioning.py IMAGES.npy MODEL.tflite…      IMAGES: [n][3][h][w] of bytes
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter

NARROW = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build", "narrow")


def resized(image, height, width):
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    return (image[rows][:, columns][None] / 255).astype(np.float32)


def largest(a, b):
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-9))


def main(images, *models):
    pictures = np.load(images)[:6].transpose(0, 2, 3, 1)
    rng = np.random.default_rng(0)
    for model in models:
        lite = Interpreter(model_path=model, num_threads=1)
        lite.allocate_tensors()
        x, outputs = lite.get_input_details()[0], lite.get_output_details()

        def run(value):
            lite.set_tensor(x["index"], value)
            lite.invoke()
            return {y["name"]: lite.get_tensor(y["index"]).copy() for y in outputs}

        moved, apart = {}, {}
        with tempfile.TemporaryDirectory() as folder:
            for picture in pictures:
                value = resized(picture, *x["shape"][1:3])
                aim = np.where(rng.random(value.shape) < .5, np.float32(2), np.float32(-2))
                want, near = run(value), run(np.nextafter(value, aim).astype(np.float32))
                np.save(f"{folder}/x.npy", value)
                subprocess.run([NARROW, "run", model, "--input", f"{x['name']}={folder}/x.npy",
                                "-o", f"{folder}/y.npz"], check=True, capture_output=True)
                got = np.load(f"{folder}/y.npz")
                for name, y in want.items():
                    moved[name] = max(moved.get(name, 0), largest(y, near[name]))
                    apart[name] = max(apart.get(name, 0), largest(y, got[name]))
        for name in moved:
            print(f"{os.path.basename(model)} {name}: moves by {moved[name]:.1e}, Narrow is {apart[name]:.1e} off")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
