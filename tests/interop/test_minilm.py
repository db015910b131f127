"""A sentence encoder keeps the direction of its embeddings."""
import numpy as np
import onnxruntime as ort
import pytest

import support


def cosines(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("mode, bound", (("static", 0.995), ("dynamic", 0.994)))
def test_cosine(mode, bound, zoo, tmp_path):
    model, out = zoo("minilm.onnx"), tmp_path / "q.onnx"
    data = ["--data", zoo("minilm_calib.npz")] if mode == "static" else []
    support.ok("quantize", model, "-o", out, "--mode", mode, *data, timeout=1200)
    with np.load(zoo("minilm_test.npz")) as z:
        inputs = {name: z[name] for name in z.files}
    want, = ort.InferenceSession(model).run(["embedding"], inputs)
    ours = support.run_model(out, inputs, tmp_path)["embedding"]
    theirs, = ort.InferenceSession(str(out)).run(["embedding"], inputs)
    print(f"{mode}: cosine {cosines(ours, want).mean():.4f}, in ONNX Runtime {cosines(theirs, want).mean():.4f}")
    assert cosines(ours, want).mean() >= bound
    assert cosines(theirs, want).mean() >= bound - 0.002
    said = support.answer("eval", out, "--data", zoo("minilm_test.npz"), "--reference", model,
                          "--metric", "cosine")
    assert said["n"] == len(want) and abs(said["value"] - cosines(ours, want).mean()) < 1e-3
