"""Small recurrent networks, encoders and loops as PyTorch exports them: the float model computes
what ONNX Runtime computes, at lengths other than the exported one as well, and so does every
quantized form of it, file for file."""
import numpy as np
import onnx
import onnxruntime as ort
import pytest

import support

torch = pytest.importorskip("torch")
nn = torch.nn


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.conv = nn.Embedding(500, 64), nn.Conv1d(64, 96, 5, padding=2)
        self.cell, self.out = nn.LSTM(96, 64, batch_first=True, bidirectional=True), nn.Linear(128, 50)

    def forward(self, ids):
        x = torch.relu(self.conv(self.embed(ids).transpose(1, 2))).transpose(1, 2)
        return torch.log_softmax(self.out(self.cell(x)[0]), -1)


class Decoder(nn.Module):
    """A loop that stays one in the file, with a branch in it."""

    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x):
        h = torch.zeros(x.size(0), 64)
        for i in range(x.size(1)):
            h = torch.tanh(self.inner(h) + x[:, i])
            if bool(h.sum() > 0):
                h = self.out(h)
        return h


class Spectrum(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(33, 64)

    def forward(self, x):
        f = torch.stft(x, 64, 16, 64, torch.hann_window(64), center=False, return_complex=False)
        return self.out(torch.log((f ** 2).sum(-1).transpose(1, 2) + 1e-3))


def wave(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


MODELS = {
    "lstm": (lambda: nn.LSTM(40, 64, 2, batch_first=True, bidirectional=True), wave(3, 9, 40)),
    "gru": (lambda: nn.GRU(40, 64, 2, batch_first=True), wave(3, 9, 40)),
    "rnn": (lambda: nn.RNN(40, 64, batch_first=True), wave(3, 9, 40)),
    "encoder": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(
        64, 4, 128, batch_first=True, norm_first=True), 2, enable_nested_tensor=False), wave(3, 9, 64)),
    "tagger": (Tagger, torch.arange(36).reshape(3, 12) * 7),
    "decoder": (lambda: torch.jit.script(Decoder()), wave(3, 9, 64)),
    "spectrum": (Spectrum, wave(3, 640)),
}
MODES = {"dynamic": [], "static": [], "weights": [], "w4": ["--bits", "w4a16"], "fp16": []}


@pytest.fixture(scope="module", params=MODELS)
def exported(request, tmp_path_factory):
    make, x = MODELS[request.param]
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("sequences") / f"{request.param}.onnx"
    torch.onnx.export(make().eval(), (x,), path, opset_version=17, input_names=["x"], dynamo=False,
                      dynamic_axes={"x": {0: "batch", 1: "length"}})
    return path, x.numpy()


def in_onnxruntime(path, x):
    # Its layout changes crash on one-dimensional convolutions in half precision.
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": x})))


def worst(want, got):
    return max(np.abs(got[n] - want[n]).max() / np.abs(want[n]).max() for n in want)


def test_float(exported, tmp_path):
    path, x = exported
    others = [x[:1], x[:, :x.shape[1] * 2 // 3], np.concatenate([x, x], 1)]
    if path.stem == "encoder":  # its exporter fixes the shape
        others = []
    for value in [x] + others:
        value = np.ascontiguousarray(value)
        want = in_onnxruntime(path, value)
        for threads in (1, 2):
            assert worst(want, support.run_model(path, {"x": value}, tmp_path, "--threads", threads)) <= 1e-4


@pytest.mark.parametrize("mode", MODES)
def test_quantized(exported, mode, tmp_path):
    path, x = exported
    np.save(tmp_path / "x.npy", x)
    out, data = tmp_path / "q.onnx", ["--data", tmp_path / "x.npy"] if mode == "static" else []
    support.ok("quantize", path, "-o", out, "--mode", "weights" if mode == "w4" else mode, *MODES[mode], *data)
    onnx.checker.check_model(out, full_check=True)
    want, got = in_onnxruntime(out, x), support.run_model(out, {"x": x}, tmp_path)
    # ONNX Runtime computes products with 4-bit weights in 8 bits, and half precision in its own order.
    assert worst(want, got) <= (0.05 if mode in ("w4", "weights") else 1e-2 if mode == "fp16" else 1e-3)
