"""The FlatBuffers reader against the flatbuffers package, and written .tflite files against the
schema's own reader."""
import os
import random
import subprocess

import numpy as np
import pytest

import support

flatbuffers = pytest.importorskip("flatbuffers")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

DUMP = os.path.join(os.path.dirname(support.NARROW), "tests", "flatbuffer_dump")

# Letters of flatbuffer_dump.c: the builder's name, bits (of integers), signed.
WHOLE = {"b": ("Bool", 1, False), "c": ("Int8", 8, True), "C": ("Uint8", 8, False),
         "h": ("Int16", 16, True), "H": ("Uint16", 16, False), "i": ("Int32", 32, True),
         "I": ("Uint32", 32, False), "q": ("Int64", 64, True), "Q": ("Uint64", 64, False)}
REAL = {"f": "Float32", "d": "Float64"}


def signed(value):
    """As the reader has whole numbers: 64 bits with a sign."""
    return value - (1 << 64) if value >= 1 << 63 else value


def some_whole(letter, rng):
    _, bits, sign = WHOLE[letter]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if sign else (0, (1 << bits) - 1)
    return rng.choice((low, high, rng.randint(low, high), rng.randint(low, high)))


def some_real(letter, rng):
    value = rng.choice((0.5, -1e30, rng.gauss(0, 1)))
    return float(np.float32(value)) if letter == "f" else value


def some_text(rng):
    return "".join(rng.choice("abc é☃\0") for _ in range(rng.randrange(12)))


class Table:
    """A random table: its schema, a function that builds it, and the lines of its dump."""

    def __init__(self, rng, depth=0):
        self.rng, self.fields = rng, []
        for _ in range(rng.randrange(1, 9)):
            kinds = "bcChHiIqQfdsvS-" + ("TV" if depth < 3 else "")
            self.fields.append(self.field(rng.choice(kinds), depth))
        self.schema = "".join(letters for letters, _, _ in self.fields)

    def field(self, kind, depth):
        """(letters, default, value); a value of None is left out."""
        rng, there = self.rng, self.rng.random() < 0.8
        if kind in WHOLE:
            default = some_whole(kind, rng) if rng.random() < 0.3 else 0
            value = some_whole(kind, rng) if there else default
            return f"{kind}={signed(default)}", default, value
        if kind in REAL:
            default = some_real(kind, rng) if rng.random() < 0.3 else 0.0
            return f"{kind}={default!r}", default, some_real(kind, rng) if there else default
        if kind == "s":
            return kind, None, some_text(rng) if there else None
        if kind == "S":
            texts = [some_text(rng) for _ in range(rng.randrange(5))]
            return kind, None, texts if there else None
        if kind == "v":
            letter = rng.choice("bcChHiIqQf")
            some = some_real if letter == "f" else some_whole
            values = [some(letter, rng) for _ in range(rng.randrange(20))]
            return "v" + letter, None, values if there else None
        if kind == "T":
            child = Table(rng, depth + 1)
            return f"T({child.schema})", None, child if there else None
        if kind == "V":  # all of one schema, each with values of its own
            child = Table(rng, depth + 1)
            count = rng.randrange(4)
            return f"V({child.schema})", None, [child] * count if there else None
        return "-", None, None

    def build(self, b):
        refs = [self.build_reference(b, letters, value) for letters, _, value in self.fields]
        b.StartObject(len(self.fields))
        order = list(enumerate(self.fields))
        self.rng.shuffle(order)
        for slot, (letters, default, value) in order:
            if letters[0] in WHOLE:
                name = WHOLE[letters[0]][0]
                getattr(b, f"Prepend{name}Slot")(slot, value, default)
            elif letters[0] in REAL:
                getattr(b, f"Prepend{REAL[letters[0]]}Slot")(slot, value, default)
            elif refs[slot] is not None:
                b.PrependUOffsetTRelativeSlot(slot, refs[slot], 0)
        return b.EndObject()

    def build_reference(self, b, letters, value):
        if value is None or letters[0] in WHOLE or letters[0] in REAL:
            return None
        if letters == "s":
            return b.CreateString(value)
        if letters[0] == "T":
            return value.build(b)
        if letters[0] == "v":
            name = WHOLE[letters[1]][0] if letters[1] in WHOLE else "Float32"
            size = {"Bool": 1, "Float32": 4}.get(name) or WHOLE[letters[1]][1] // 8
            b.StartVector(size, len(value), size)
            for item in reversed(value):
                getattr(b, f"Prepend{name}")(item)
            return b.EndVector()
        refs = [b.CreateString(v) if letters == "S" else v.build(b) for v in value]
        b.StartVector(4, len(refs), 4)
        for ref in reversed(refs):
            b.PrependUOffsetTRelative(ref)
        return b.EndVector()

    def lines(self, path=""):
        for slot, (letters, _, value) in enumerate(self.fields):
            here = f"{path}.{slot}"
            if letters[0] in WHOLE:
                yield f"{here}={signed(int(value))}"
            elif letters[0] in REAL:
                yield f"{here}={value:.17g}"
            elif letters == "s":
                yield f'{here}="{(value or "").encode().hex()}"'
            elif letters[0] == "v":
                items = [f"{v:.17g}," if letters[1] == "f" else f"{signed(int(v))},"
                         for v in value or ()]
                yield f"{here}=[{''.join(items)}]"
            elif letters[0] == "T":
                yield f"{here}:{int(value is not None)}"
                yield from value.lines(here) if value else ()
            elif letters[0] in "SV":
                yield f"{here}:{len(value or ())}"
                for i, item in enumerate(value or ()):
                    if letters == "S":
                        yield f'{here}[{i}]="{item.encode().hex()}"'
                    else:
                        yield from item.lines(f"{here}[{i}]")


def dump(path, letters):
    return subprocess.run([DUMP, path, letters], capture_output=True, text=True, timeout=60,
                          check=False)


@pytest.mark.parametrize("seed", range(10))
def test_reads_what_the_package_builds(seed, tmp_path):
    rng = random.Random(seed)
    for i in range(30):
        table, path = Table(rng), tmp_path / f"{i}.bin"
        builder = flatbuffers.Builder(0)
        builder.Finish(table.build(builder), b"TEST" if rng.random() < 0.5 else None)
        path.write_bytes(builder.Output())
        done = dump(path, table.schema)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == list(table.lines()), table.schema


# --- files that are written ----------------------------------------------------------------------

def offset_in(data, array):
    """Where a view of the bytes begins."""
    start = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    return array.__array_interface__["data"][0] - start


def check_indices(model):
    """Everything that refers to something else by number refers to something that is there."""
    codes = model.operatorCodes
    assert model.buffers[0].data is None or len(model.buffers[0].data) == 0
    for graph in model.subgraphs:
        count = len(graph.tensors)
        for tensor in graph.tensors:
            assert 0 <= tensor.buffer < len(model.buffers)
            assert tensor.name and all(n >= 0 for n in tensor.shape)
            scale = tensor.quantization.scale if tensor.quantization else None
            if scale is not None and len(scale):
                assert len(tensor.quantization.zeroPoint) == len(scale)
                axis = tensor.quantization.quantizedDimension
                assert len(scale) == 1 or tensor.shape[axis] == len(scale)
        for index in (*graph.inputs, *graph.outputs):
            assert 0 <= index < count
        made = set(graph.inputs)
        made |= {i for i, t in enumerate(graph.tensors)
                 if model.buffers[t.buffer].data is not None or model.buffers[t.buffer].size}
        for node in graph.operators:
            assert 0 <= node.opcodeIndex < len(codes)
            assert all(i in made or i == -1 for i in node.inputs), "read before it is made"
            made |= set(node.outputs)
        assert set(graph.outputs) <= made


def models():
    """Models that can be written: the project's own, and float ones of the shared folder."""
    names = ("digits", "resnet20_cifar10", "ad01_fp32", "kws_dscnn_float_bn", "vww_96_float",
             "version-RFB-320")
    paths = support.all_models()
    return [paths[name] for name in names if name in paths]


@pytest.mark.parametrize("path", models(), ids=os.path.basename)
def test_written_files_are_whole(path, tmp_path):
    out = tmp_path / "out.tflite"
    support.ok("convert", path, out)
    data = out.read_bytes()
    assert data[4:8] == b"TFL3"
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    assert model.version == 3
    check_indices(model)
    view = schema.Model.GetRootAs(data, 0)
    lengths = 0
    for i in range(view.BuffersLength()):
        raw = view.Buffers(i).DataAsNumpy()
        if isinstance(raw, np.ndarray) and raw.size:
            assert offset_in(data, raw) % 16 == 0, f"buffer {i} is not aligned"
            lengths += raw.size
    assert lengths <= len(data)
    # Packed by the package and unpacked once more, the same things are there.
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    again = schema.ModelT.InitFromPackedBuf(bytes(builder.Output()), 0)
    assert plain(again) == plain(model)


def plain(thing):
    """Objects of the schema as nested tuples."""
    if isinstance(thing, np.ndarray):
        return thing.tobytes()
    if isinstance(thing, (list, tuple)):
        return tuple(plain(item) for item in thing)
    if hasattr(thing, "__dict__"):
        return type(thing).__name__, *((k, plain(v)) for k, v in sorted(vars(thing).items()))
    return thing
