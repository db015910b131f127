"""TensorFlow Lite's operators one at a time (cases.py) through the command, against LiteRT: what
tests/ops/node_test.c is for ONNX.

An operator that `narrow ops` lists must pass all its cases, or refuse those in exceptions.REFUSED
by its name; one that it does not list must be refused by name. What runs must give the same when it
is written as .tflite again and read by LiteRT, and written as .onnx and read by ONNX Runtime and
Narrow.
"""
import collections
import concurrent.futures
import functools
import os

import numpy as np
import onnxruntime as ort
import pytest
from ai_edge_litert import schema_py_generated as schema

import cases
import exceptions
import net
import support

CODES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
RECIPES = collections.defaultdict(list)
for family in cases.FAMILIES.values():
    for recipe in family():
        RECIPES[recipe.op].append(recipe)

# What became of a case that was run: status, standard error, outputs.
Answer = collections.namedtuple("Answer", "status words outputs")


@functools.cache
def listed():
    rows = support.answer("ops")["operators"]
    return {row["name"] for row in rows if row["domain"] == "tflite"}


def operators(case):
    """The names of a model's operators, with the names of custom ones."""
    model = schema.ModelT.InitFromPackedBuf(case.model_bytes, 0)
    names = [CODES[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]
    return {code.customCode.decode() if name == "CUSTOM" else name
            for name, code in zip(names, model.operatorCodes)}


def plain(name):
    return name.replace("_", "").lower()


def names(message, operator):
    """ONNX spells some names otherwise: ArgMax is ARG_MAX."""
    return plain(operator) in plain(message)


class Files:
    """A folder with the files of cases."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, case, end):
        return os.path.join(self.folder, case.name + end)

    def run(self, case, path):
        """`narrow run` on the case's inputs, which must not crash."""
        graph = schema.ModelT.InitFromPackedBuf(case.model_bytes, 0).subgraphs[0]
        args, out = [], path + ".npz"
        for i, (tensor, value) in enumerate(zip(graph.inputs, case.inputs)):
            np.save(self.path(case, f".{i}.npy"), value)
            name = graph.tensors[tensor].name.decode()
            args += ["--input", f"{name}={self.path(case, f'.{i}.npy')}"]
        done = support.narrow("run", path, *args, "-o", out, timeout=60)
        if done.returncode != 0:
            return Answer(done.returncode, done.stderr, None)
        with np.load(out) as arrays:
            return Answer(0, "", [arrays[name] for name in arrays.files])

    @functools.cache
    def first_run(self, recipe):
        """The case, LiteRT's outputs and Narrow's answer."""
        case = cases.build(recipe)
        with open(self.path(case, ".tflite"), "wb") as f:
            f.write(case.model_bytes)
        return case, cases.expected(case), self.run(case, self.path(case, ".tflite"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("cases"))


def all_of(op, judge):
    """Judges all cases of an operator, some at a time; what is wrong with them must be nothing."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        told = list(pool.map(judge, RECIPES[op]))
    wrong = [f"{r.name}: {why}" for r, why in zip(RECIPES[op], told) if why]
    assert not wrong, f"{len(wrong)} of {len(told)} cases of {op}:\n" + "\n".join(wrong)


def verdict(name, found, words, *tables):
    """What is wrong with a case that was found to belong into a table, or with "" into none."""
    known = next((t for t in tables if exceptions.reason(getattr(exceptions, t), name)), "")
    if found == known or (known == "ROUNDED" and not found):
        return None
    return f"{words or 'passes'} (but is in {known} of exceptions.py)" if known else words


def judge_refusal(case, answer):
    if answer.status != 2 or len(answer.words.splitlines()) != 1:
        return f"status {answer.status}: {answer.words}"
    ops = operators(case)
    unknown = ops - listed()
    if unknown:
        found = any(names(answer.words, op) for op in unknown)
        return None if found else f"{answer.words} names none of {unknown}"
    if not any(names(answer.words, op) for op in ops):
        return f"{answer.words} names none of {ops}"
    return verdict(case.name, "REFUSED", f"refused: {answer.words}", "REFUSED")


def judge_run(files, recipe):
    case, wanted, answer = files.first_run(recipe)
    if answer.status != 0:
        return judge_refusal(case, answer)
    if operators(case) - listed():
        return f"runs, but narrow ops does not list {operators(case) - listed()}"
    return cases.differs(case, answer.outputs, wanted) or verdict(case.name, "", "", "REFUSED")


@pytest.mark.parametrize("op", sorted(RECIPES))
def test_runs_or_is_refused(op, files):
    all_of(op, lambda recipe: judge_run(files, recipe))


# --- written again -------------------------------------------------------------------------------

def exactly(case):
    """The case with no room for integers that were rounded otherwise."""
    return case._replace(kind="exact") if case.kind == "quantized" else case


def write_tflite(files, case, wanted):
    """(the table of exceptions.py that this belongs into, what is wrong)."""
    out = files.path(case, ".again.tflite")
    done = support.narrow("convert", files.path(case, ".tflite"), out, timeout=60)
    if done.returncode == 2 and len(done.stderr.splitlines()) == 1 and out in done.stderr:
        return "UNWRITTEN", f"not written: {done.stderr}"
    if done.returncode != 0:
        return "CRASHED", f"status {done.returncode}: {done.stderr}"
    with open(out, "rb") as f:
        data = f.read()
    try:
        got = net.outputs_of(data, case.inputs, case.xnnpack)
    except net.Refused as e:
        return "BUGS_TFLITE", f"LiteRT refuses the file: {e}"
    fault = cases.differs(case, got, wanted)
    if fault:
        return "BUGS_TFLITE", fault
    fault = cases.differs(exactly(case), got, wanted)
    return ("ROUNDED" if fault else ""), fault


def judge_tflite(files, recipe):
    case, wanted, answer = files.first_run(recipe)
    if answer.status != 0:
        return None
    return verdict(case.name, *write_tflite(files, case, wanted), "UNWRITTEN", "BUGS_TFLITE",
                   "ROUNDED")


def in_onnxruntime(path, case):
    """Outputs, or the message with which ONNX Runtime refuses the file."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feeds = dict(zip([i.name for i in session.get_inputs()], case.inputs))
        return session.run(None, feeds)
    except Exception as e:  # pylint: disable=broad-except   it has no common base for its own
        return str(e)


def write_onnx(files, case, wanted, outputs):
    """As above."""
    out = files.path(case, ".onnx")
    done = support.narrow("convert", files.path(case, ".tflite"), out, timeout=60)
    if done.returncode == 2 and len(done.stderr.splitlines()) == 1 and out in done.stderr:
        return "UNWRITTEN_ONNX", f"not written: {done.stderr}"
    if done.returncode != 0:
        return "BUGS_ONNX", f"status {done.returncode}: {done.stderr}"
    again = files.run(case, out)
    # Models from .tflite files are rounded as LiteRT's kernels round, others by the contract.
    fault = again.words or cases.differs(case, again.outputs, outputs)
    if fault:
        return "BUGS_ONNX", fault
    got = in_onnxruntime(out, case)
    if isinstance(got, str):  # it lacks kernels for many types
        return ("", "") if "NOT_IMPLEMENTED" in got else ("NOT_IN_ONNXRUNTIME", got)
    fault = cases.differs(case, got, wanted)
    return ("BUGS_ONNX" if fault else ""), fault


def judge_onnx(files, recipe):
    case, wanted, answer = files.first_run(recipe)
    if answer.status != 0:
        return None
    return verdict(case.name, *write_onnx(files, case, wanted, answer.outputs),
                   "UNWRITTEN_ONNX", "BUGS_ONNX", "NOT_IN_ONNXRUNTIME")


@pytest.mark.parametrize("op", sorted(RECIPES))
def test_written_as_tflite(op, files):
    all_of(op, lambda recipe: judge_tflite(files, recipe))


@pytest.mark.parametrize("op", sorted(RECIPES))
def test_written_as_onnx(op, files):
    all_of(op, lambda recipe: judge_onnx(files, recipe))


def test_exceptions_are_about_cases():
    every = [recipe.name for recipes in RECIPES.values() for recipe in recipes]
    for title, table in vars(exceptions).items():
        for pattern in table if title.isupper() and title != "UNLISTED" else ():
            assert any(exceptions.reason({pattern: "x"}, name) for name in every), pattern


def test_what_is_not_listed(files):
    """An operator that gets lost, or was added, shows."""
    unknown = set()
    for recipes in RECIPES.values():
        for recipe in recipes:
            unknown |= operators(files.first_run(recipe)[0]) - listed()
    assert sorted(unknown) == sorted(exceptions.UNLISTED)
