#!/usr/bin/env python3
"""Trains a small convolutional network on scikit-learn's digits (8x8, 0..16) in plain numpy and
writes it as digits.onnx, with the data that the demo calibrates and measures on.

usage: train.py          (rewrites the files beside it; a quarter of a minute on one core)
"""
import os

import numpy as np
import onnx
from onnx import helper, numpy_helper
from sklearn.datasets import load_digits

HERE = os.path.dirname(os.path.abspath(__file__))
EPOCHS, BATCH, RATE = 40, 32, 2e-3


def patches(x):
    """The 3x3 neighbourhoods of x [n,c,h,w], zeros outside: [n,h,w,c*9]."""
    n, c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    views = np.stack([padded[:, :, i:i + h, j:j + w] for i in range(3) for j in range(3)], 2)
    return views.transpose(0, 3, 4, 1, 2).reshape(n, h, w, c * 9)


def patches_back(d, shape):
    """The adjoint of patches: sums the neighbourhoods' gradients back to [n,c,h,w]."""
    n, c, h, w = shape
    d = d.reshape(n, h, w, c, 9).transpose(0, 3, 4, 1, 2)
    padded = np.zeros((n, c, h + 2, w + 2), np.float32)
    for k in range(9):
        padded[:, :, k // 3:k // 3 + h, k % 3:k % 3 + w] += d[:, :, k]
    return padded[:, :, 1:-1, 1:-1]


class Conv:
    """3x3 convolution with zero padding, followed by ReLU."""

    def __init__(self, rng, c_in, c_out):
        self.w = rng.normal(0, np.sqrt(2 / (9 * c_in)), (c_out, c_in * 9)).astype(np.float32)
        self.b = np.zeros(c_out, np.float32)

    def forward(self, x):
        self.shape, self.x = x.shape, patches(x)
        self.y = np.maximum((self.x @ self.w.T + self.b).transpose(0, 3, 1, 2), 0)
        return self.y

    def backward(self, d):
        d = (d * (self.y > 0)).transpose(0, 2, 3, 1)
        flat = d.reshape(-1, d.shape[3])
        self.grads = [flat.T @ self.x.reshape(flat.shape[0], -1), flat.sum(0)]
        return patches_back(d @ self.w, self.shape)


class MaxPool:
    """2x2, stride 2."""

    def forward(self, x):
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
        y = blocks.max((3, 5))
        self.mask = blocks == y[:, :, :, None, :, None]
        return y

    def backward(self, d):
        n, c, h, w = d.shape
        return (self.mask * d[:, :, :, None, :, None]).reshape(n, c, h * 2, w * 2)


class Dense:
    def __init__(self, rng, n_in, n_out):
        self.w = rng.normal(0, np.sqrt(1 / n_in), (n_out, n_in)).astype(np.float32)
        self.b = np.zeros(n_out, np.float32)

    def forward(self, x):
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        return self.x @ self.w.T + self.b

    def backward(self, d):
        self.grads = [d.T @ self.x, d.sum(0)]
        return (d @ self.w).reshape(self.shape)


def forward(layers, x):
    for layer in layers:
        x = layer.forward(x)
    return x


def train(layers, x, y, rng):
    """Adam (Kingma and Ba 2015, algorithm 1) on cross-entropy, the rate falling to 0 by a cosine."""
    weighted = [layer for layer in layers if hasattr(layer, "w")]
    moments = [[np.zeros_like(p), np.zeros_like(p)] for layer in weighted for p in (layer.w, layer.b)]
    steps, t = EPOCHS * (len(x) // BATCH), 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            pick = order[start:start + BATCH]
            logits = forward(layers, x[pick])
            p = np.exp(logits - logits.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            p[np.arange(BATCH), y[pick]] -= 1
            d = p / BATCH
            for layer in reversed(layers):
                d = layer.backward(d)
            t += 1
            rate = RATE * 0.5 * (1 + np.cos(np.pi * t / steps))
            flat = [(layer, i) for layer in weighted for i in range(2)]
            for (layer, i), (m, v) in zip(flat, moments):
                g = layer.grads[i]
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                step = rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
                (layer.w, layer.b)[i][...] -= step


def export(layers, path):
    nodes, weights, name = [], [], "image"
    for k, layer in enumerate(layers):
        out = f"t{k}" if k + 1 < len(layers) else "logits"
        if isinstance(layer, MaxPool):
            nodes.append(helper.make_node("MaxPool", [name], [out], f"pool{k}", kernel_shape=[2, 2],
                                          strides=[2, 2]))
        else:
            w = layer.w.reshape(len(layer.w), -1, 3, 3) if isinstance(layer, Conv) else layer.w
            weights += [numpy_helper.from_array(w, f"w{k}"), numpy_helper.from_array(layer.b, f"b{k}")]
            if isinstance(layer, Conv):
                nodes.append(helper.make_node("Conv", [name, f"w{k}", f"b{k}"], [f"c{k}"], f"conv{k}",
                                              kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
                nodes.append(helper.make_node("Relu", [f"c{k}"], [out], f"relu{k}"))
            else:
                nodes.append(helper.make_node("Flatten", [name], ["flat"], "flatten"))
                nodes.append(helper.make_node("Gemm", ["flat", f"w{k}", f"b{k}"], [out], f"dense{k}",
                                              transB=1))
        name = out
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "digits", [value("image", 1, ["batch", 1, 8, 8])],
                              [value("logits", 1, ["batch", 10])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
                              producer_name="narrow/examples/digits")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main():
    rng = np.random.default_rng(1)
    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(images))
    images = images[order].astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = labels[order].astype(np.int64)
    x = images.astype(np.float32) / 16
    layers = [Conv(rng, 1, 16), Conv(rng, 16, 32), MaxPool(), Conv(rng, 32, 48), MaxPool(),
              Dense(rng, 48 * 4, 10)]
    train(layers, x[:1197], labels[:1197], rng)
    right = forward(layers, x[1197:]).argmax(1) == labels[1197:]
    print(f"accuracy on {right.size} held-out digits: {right.mean():.4f}")
    export(layers, os.path.join(HERE, "digits.onnx"))
    np.save(os.path.join(HERE, "calib.npy"), images[:100])
    np.save(os.path.join(HERE, "test.npy"), images[1197:])
    np.save(os.path.join(HERE, "test_labels.npy"), labels[1197:])


if __name__ == "__main__":
    main()
