#!/usr/bin/env python3
"""Holds the house in order: who may include whom, file lengths, no globals, no printing.

usage: layers.py [BUILDDIR]      (default: build; the library there is checked when it exists)
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAX_LINES = 800
SOURCE = (".c", ".h", ".py", ".inc")

# Layers that see less than everything above them in src/meson.build.
ONLY = {"kernels": {"base"}, "wire": {"base"}, "ir": {"base"}}

# Calls that a library has no business making, and the one place that may read the environment.
FORBIDDEN = {"printf", "__printf_chk", "fprintf", "__fprintf_chk", "vfprintf", "vprintf", "puts", "putchar",
             "perror", "stdout", "stderr", "exit", "_exit", "quick_exit", "abort", "__assert_fail",
             "getenv", "secure_getenv", "setenv", "putenv", "rand", "srand", "signal", "sigaction"}
ALLOWED = {("api", "getenv"), ("api", "secure_getenv")}


def layer_order():
    """The folders of src/ in the order in which src/meson.build lists them."""
    with open(os.path.join(ROOT, "src", "meson.build"), encoding="utf-8") as f:
        listed = re.search(r"foreach folder : \[(.*?)\]", f.read(), re.S).group(1)
    return re.findall(r"'(\w+)'", listed)


def sources(top, endings=SOURCE):
    for folder, folders, files in os.walk(os.path.join(ROOT, top)):
        folders[:] = sorted(d for d in folders if d != "__pycache__")
        for name in sorted(files):
            if name.endswith(endings):
                yield os.path.relpath(os.path.join(folder, name), ROOT)


def includes(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if found:
                yield number, found.group(1)


def check_directions(order):
    bad = []
    for layer in order:
        seen = ONLY.get(layer, set(order[:order.index(layer)])) | {layer, "narrow"}
        for path in sources(os.path.join("src", layer), (".c", ".h", ".inc")):
            for number, name in includes(path):
                target = name.split("/")[0] if "/" in name else layer
                if target in order + ["narrow"] and target not in seen:
                    bad.append(f"{path}:{number}: {layer} may not include {name}")
    for folder in os.listdir(os.path.join(ROOT, "src")):
        if os.path.isdir(os.path.join(ROOT, "src", folder)) and folder not in order:
            bad.append(f"src/{folder}: not listed in src/meson.build")
    for path in sources("cli", (".c", ".h")):
        for number, name in includes(path):
            beside = os.path.exists(os.path.join(ROOT, "cli", name))
            if not name.startswith("narrow/") and not beside:
                bad.append(f"{path}:{number}: the command may include only narrow/ and its own, not {name}")
    for path in sources("include", (".h",)):
        for number, name in includes(path):
            if not name.startswith("narrow/"):
                bad.append(f"{path}:{number}: a public header may include only public headers, not {name}")
    return bad


def check_lengths():
    bad = []
    for top in ("src", "include", "cli", "tests", "bench", "examples", "python"):
        for path in sources(top):
            with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                lines = sum(1 for _ in f)
            if lines > MAX_LINES:
                bad.append(f"{path}: {lines} lines, at most {MAX_LINES}")
    return bad


def layer_of_object(name, order):
    """libnarrow.a.p/src_formats_onnx.c.o or …/formats_onnx.c.o: formats."""
    words = re.split(r"[_/]", os.path.basename(name))
    return next((w for w in words if w in order), "")


def check_library(library, order):
    bad = []
    out = subprocess.run(["nm", "-A", "-f", "sysv", library], check=True, text=True,
                         capture_output=True).stdout
    for line in out.splitlines():
        columns = [c.strip() for c in line.split("|")]
        if len(columns) < 7:
            continue
        origin, symbol = columns[0].rsplit(":", 1)
        kind, section = columns[2], columns[6]
        layer = layer_of_object(origin.split(":")[-1], order)
        writable = re.match(r"(\.data|\.bss|\.tdata|\.tbss|COMMON|\*COM\*)(?!\.rel\.ro)", section)
        if writable and kind in "dDbBC":
            bad.append(f"{origin}: {symbol} is a mutable global ({section})")
        if kind == "U" and symbol.strip() in FORBIDDEN and (layer, symbol.strip()) not in ALLOWED:
            bad.append(f"{origin}: uses {symbol.strip()}")
    return bad


def main(build):
    order = layer_order()
    checks = [("include directions", check_directions(order)), ("file lengths", check_lengths())]
    library = os.path.join(build, "libnarrow.a")
    if os.path.exists(library):
        checks.append(("globals and forbidden calls", check_library(library, order)))
    failed = 0
    for name, bad in checks:
        if bad:
            failed += 1
            print(f"{name}:")
            for line in bad:
                print(f"  {line}")
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build")))
