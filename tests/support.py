"""What the Python tests share: where things lie, and how to drive the narrow command."""
import glob
import importlib.util
import json
import os
import platform
import subprocess
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NARROW = os.environ.get("NARROW", os.path.join(ROOT, "build", "narrow"))
NARROW_ASAN = os.environ.get("NARROW_SANITIZED", os.path.join(ROOT, "build", "asan", "narrow"))
SHARED = os.environ.get("NARROW_SHARED") or os.path.join(os.path.dirname(ROOT), "shared")
ZOO = os.path.join(ROOT, "build", "zoo")
DIGITS = os.path.join(ROOT, "examples", "digits")
LOW_TIER = "neon" if platform.machine() in ("aarch64", "arm64") else "avx2"
IMAGENET = "scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225"


def narrow(*args, command=NARROW, env=None, timeout=600):
    """Runs the command; never fails by itself."""
    return subprocess.run([command, *map(str, args)], capture_output=True, text=True, timeout=timeout,
                          errors="surrogateescape", stdin=subprocess.DEVNULL,
                          env={**os.environ, **(env or {})}, check=False)


def ok(*args, **how):
    """Runs the command, which must succeed; its standard output."""
    done = narrow(*args, **how)
    assert done.returncode == 0, f"narrow {' '.join(map(str, args))}: {done.returncode}\n{done.stderr}"
    return done.stdout


def answer(*args, **how):
    """Runs the command with --json, which must succeed; the object that it prints."""
    return json.loads(ok(*args, "--json", **how))


def refused(*args, gone=None, **how):
    """Runs the command, which must refuse as the contract says: status 2, one line on stderr, and
    no output file. Gives the line."""
    done = narrow(*args, **how)
    what = f"narrow {' '.join(map(str, args))}: status {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.returncode == 2, what
    assert len(done.stderr.splitlines()) == 1, what
    if gone is not None:
        folder, name = os.path.split(str(gone))
        left = [f for f in os.listdir(folder) if f.startswith((name, ".narrow-"))]
        assert not left, f"{what}\nleft behind: {left}"
    return done.stderr


def measure(*command, timeout=3600):
    """Runs a program to its end: seconds, and its peak resident memory in MiB. The peak is the
    kernel's VmHWM, looked at while it runs: rusage's would start from this process's own."""
    start, peak = time.monotonic(), 0
    with subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL) as p:
        while p.poll() is None:
            try:
                with open(f"/proc/{p.pid}/status", encoding="ascii", errors="replace") as f:
                    peak = max([peak, *(int(line.split()[1]) for line in f if line.startswith("VmHWM"))])
            except OSError:
                pass
            assert time.monotonic() - start < timeout
            time.sleep(0.004)
        seconds = time.monotonic() - start
        words = p.stderr.read()
    assert p.returncode == 0, words.decode(errors="replace")
    return seconds, peak / 1024


def run_model(model, inputs, folder, *options, **how):
    """The outputs of `narrow run` by name."""
    args = []
    for i, (name, value) in enumerate(inputs.items()):
        path = os.path.join(str(folder), f"in{i}.npy")
        np.save(path, value)
        args += ["--input", f"{name}={path}"]
    out = os.path.join(str(folder), "out.npz")
    ok("run", model, *args, "-o", out, *options, **how)
    with np.load(out) as z:
        return {name: z[name] for name in z.files}


def installed(package, *path):
    """Files of an installed Python package, which is not imported; [] when it is not there."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:
        return []
    return sorted(glob.glob(os.path.join(os.path.dirname(spec.origin), *path)))


def all_models():
    """Every float ONNX model within reach: the project's own, the shared folder's, the zoo's, and
    what PyPI packages ship. name -> path."""
    paths = [os.path.join(DIGITS, "digits.onnx")]
    paths += sorted(glob.glob(os.path.join(SHARED, "models", "*.onnx")))
    paths += sorted(glob.glob(os.path.join(ZOO, "*.onnx")))
    models = {os.path.basename(p).removesuffix(".onnx"): p for p in paths}
    for p in installed("magika", "models", "*", "model.onnx")[-1:]:
        models["magika"] = p
    for p in installed("rapidocr_onnxruntime", "models", "*.onnx"):
        models["rapidocr_" + os.path.basename(p).removesuffix("_infer.onnx")] = p
    return models


def weight_bytes(path):
    """Bytes of the float weights of a model, constants in nodes included."""
    import onnx

    model = onnx.load(path)
    tensors = list(model.graph.initializer)
    tensors += [a.t for n in model.graph.node if n.op_type == "Constant" for a in n.attribute if a.HasField("t")]
    return sum(4 * int(np.prod(t.dims)) for t in tensors if t.data_type == 1)


def random_inputs(path, rng):
    """One valid random value for each real input of a model (initializers are not asked for)."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    constant = {t.name for t in model.graph.initializer}
    out = {}
    for value in model.graph.input:
        if value.name in constant:
            continue
        kind = value.type.tensor_type
        dims = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else 0
                for d in kind.shape.dim]
        dims = [d or free_dim(path, i, len(dims)) for i, d in enumerate(dims)]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        if np.issubdtype(dtype, np.floating):
            out[value.name] = rng.standard_normal(dims).astype(dtype)
        elif "mask" in value.name:
            out[value.name] = np.ones(dims, dtype)
        elif "type" in value.name:
            out[value.name] = np.zeros(dims, dtype)
        else:
            out[value.name] = rng.integers(0, 250, dims).astype(dtype)
    return out


def free_dim(path, axis, rank):
    """A fitting length for a dimension that the model leaves open."""
    if axis == 0:
        return 2
    if rank == 4:
        height_width = (48, 192) if "cls" in path else (48, 160) if "rec" in path else (96, 128)
        return height_width[axis - 2]
    return 16
