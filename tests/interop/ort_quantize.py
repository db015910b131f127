#!/usr/bin/env python3
"""ONNX Runtime's own static quantizer, per channel, as a program of its own so that its time and
memory can be measured.

usage: ort_quantize.py MODEL OUT DATA.npy MEAN STD     (uint8 images; MEAN, STD: comma-separated)
"""
import logging
import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

logging.disable(logging.WARNING)


class Images(CalibrationDataReader):
    def __init__(self, path, mean, std):
        self.data = np.load(path, mmap_mode="r")
        self.mean, self.std = (np.array(v.split(","), np.float32)[:, None, None] for v in (mean, std))
        self.next = 0

    def get_next(self):
        if self.next == len(self.data):
            return None
        x = (self.data[self.next:self.next + 1].astype(np.float32) / 255 - self.mean) / self.std
        self.next += 1
        return {"input": x}


def main(model, out, data, mean, std):
    quantize_static(model, out, Images(data, mean, std), quant_format=QuantFormat.QDQ,
                    per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


if __name__ == "__main__":
    main(*sys.argv[1:])
