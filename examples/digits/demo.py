#!/usr/bin/env python3
"""Handwritten digits: a small float network, quantized in three ways.

usage: demo.py NARROW
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import variants  # noqa: E402


def main(narrow):
    def here(name):
        return os.path.join(HERE, name)

    print("digits: 3 convolutions, 600 held-out images of 8x8, calibrated on 100 others")
    variants.show(narrow, here("digits.onnx"), here("calib.npy"), here("test.npy"),
                  here("test_labels.npy"), "scale=1/16")


if __name__ == "__main__":
    main(sys.argv[1])
