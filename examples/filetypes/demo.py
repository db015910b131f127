#!/usr/bin/env python3
"""File types: the model of Google's magika (PyPI), which tells 214 content types apart from 2048
bytes of a file, quantized in three ways. Files of this machine are the data; their names' endings
are the labels.

usage: demo.py NARROW
"""
import collections
import glob
import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import variants  # noqa: E402

# Endings that leave little doubt, and the model's name for what they hold.
ENDINGS = {
    "py": "python", "c": "c", "h": "c", "js": "javascript", "json": "json", "xml": "xml", "html": "html",
    "css": "css", "sh": "shell", "pl": "perl", "pm": "perl", "png": "png", "gz": "gzip", "so": "elf",
    "pyc": "pythonbytecode", "svg": "svg", "yaml": "yaml", "md": "markdown", "jpg": "jpeg", "gif": "gif",
    "rs": "rust", "go": "go", "java": "java", "rb": "ruby", "lua": "lua", "cpp": "cpp", "ttf": "ttf",
    "zip": "zip", "pdf": "pdf", "npy": "npy", "deb": "deb", "m4": "m4", "cmake": "cmake", "pem": "pem",
    "crt": "pem", "rst": "rst", "tcl": "tcl", "wav": "wav", "sql": "sql", "awk": "awk",
}
TOPS = ("/usr/share", "/usr/lib", "/usr/include", "/etc", "/usr/local")
PER_TYPE, CALIBRATE = 12, 100


def features(data, config):
    """The model's input, after its config: the first and the last bytes within one block of each
    end, white space outside stripped, filled up with a padding token."""
    block, pad = config["block_size"], config["padding_token"]
    first, last = config["beg_size"], config["end_size"]
    head = list(data[:block].strip() if len(data) <= block else data[:block].lstrip())[:first]
    tail = list(data[-block:].strip() if len(data) <= block else data[-block:].rstrip())[-last:]
    return head + [pad] * (first - len(head)) + [pad] * (last - len(tail)) + tail


def find_files(names):
    """Up to PER_TYPE files of each type, the same ones each time: (path, label index)."""
    found = collections.defaultdict(list)
    for top in TOPS:
        for folder, folders, files in os.walk(top):
            folders.sort()
            for name in sorted(files):
                kind = ENDINGS.get(name.rpartition(".")[2].lower()) if "." in name else None
                path = os.path.join(folder, name)
                if kind and len(found[kind]) < 40 * PER_TYPE and not os.path.islink(path):
                    found[kind].append(path)
    chosen = []
    for kind, paths in sorted(found.items()):
        step = max(1, len(paths) // PER_TYPE)
        chosen += [(path, names.index(kind)) for path in paths[::step][:PER_TYPE]]
    return chosen


def load(config):
    import numpy as np

    inputs, labels = [], []
    for path, label in find_files(config["target_labels_space"]):
        try:
            with open(path, "rb") as f:
                data = f.read()
        except OSError:
            continue
        if len(data) >= 256:
            inputs.append(features(data, config))
            labels.append(label)
    order = np.random.default_rng(1).permutation(len(labels))
    return np.array(inputs, np.int32)[order], np.array(labels, np.int64)[order]


def main(narrow):
    try:
        import magika
        import numpy as np
    except ImportError as error:
        print(f"file types: left out ({error})")
        return
    model = sorted(glob.glob(os.path.join(os.path.dirname(magika.__file__), "models", "*",
                                          "model.onnx")))[-1]
    with open(os.path.join(os.path.dirname(model), "config.min.json"), encoding="utf-8") as f:
        config = json.load(f)
    inputs, labels = load(config)
    if len(labels) < 2 * CALIBRATE:
        print(f"file types: left out (only {len(labels)} files found)")
        return
    print(f"\nfile types: magika's model, {len(labels) - CALIBRATE} files of {len(set(labels))} types from "
          f"this machine, calibrated on {CALIBRATE} others")
    with tempfile.TemporaryDirectory() as folder:
        def save(name, array):
            path = os.path.join(folder, name)
            np.save(path, array)
            return path

        variants.show(narrow, model, save("calib.npy", inputs[:CALIBRATE]),
                      save("test.npy", inputs[CALIBRATE:]),
                      save("test_labels.npy", labels[CALIBRATE:]))


if __name__ == "__main__":
    main(sys.argv[1])
