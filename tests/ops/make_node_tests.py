#!/usr/bin/env python3
"""Writes ONNX's backend node tests as folders that tests/ops/node_test.c reads.

usage: make_node_tests.py OUTDIR

Each case becomes OUTDIR/NAME/ with model.onnx, input_I.pb and output_I.pb, and a text file `meta`:

    RTOL ATOL
    -KINDS of the inputs, -KINDS of the outputs    t TensorProto, s SequenceProto, o OptionalProto
    OPERATOR that the case is about
    DOMAIN/OPERATOR ...                            all operators in the file, bodies included

OUTDIR/stamp holds onnx's version; when it fits, nothing is done.
"""
import hashlib
import os
import shutil
import sys
import warnings


def proto_of(value, declared):
    """The protobuf message for one graph input or output."""
    from onnx import SequenceProto, TensorProto, OptionalProto, numpy_helper

    if isinstance(value, (TensorProto, SequenceProto, OptionalProto)):
        return value
    kind = declared.type.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.from_list(value, declared.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, declared.name)
    import numpy as np

    return numpy_helper.from_array(np.asarray(value), declared.name)


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def operators(nodes):
    """The operators of nodes and of the bodies in their attributes: domain/name."""
    found = set()
    for node in nodes:
        found.add(f"{node.domain}/{node.op_type}")
        for attribute in node.attribute:
            for graph in [attribute.g, *attribute.graphs]:
                found |= operators(graph.node)
    return found


def subject(case, by_name):
    """The operator that a case is about; the expanded form of a function is about the function."""
    base = by_name.get(case.name.split("_expanded")[0], case)
    return base.model.graph.node[-1].op_type


def tolerances(case):
    """What ONNX allows; more where its expected values cannot be met by a right answer."""
    if case.name.startswith("test_bernoulli"):
        return 0, float("inf")  # random: only type and shape can be held against it
    if case.name.startswith("test_dft_inverse"):
        return case.rtol, 1e-6  # rounding of a transform in single precision where the sum is 0
    return case.rtol, case.atol


def write_case(folder, case, about):
    os.makedirs(folder)
    write(os.path.join(folder, "model.onnx"), case.model.SerializeToString())
    (inputs, outputs), = case.data_sets
    kinds = []
    for role, values, declared in (("input", inputs, case.model.graph.input),
                                   ("output", outputs, case.model.graph.output)):
        letters = "-"
        for i, (value, info) in enumerate(zip(values, declared, strict=True)):
            proto = proto_of(value, info)
            letters += type(proto).__name__[0].lower()
            write(os.path.join(folder, f"{role}_{i}.pb"), proto.SerializeToString())
        kinds.append(letters)
    rtol, atol = tolerances(case)
    lines = [f"{rtol:g} {atol:g}", " ".join(kinds), about,
             " ".join(sorted(operators(case.model.graph.node)))]
    write(os.path.join(folder, "meta"), ("\n".join(lines) + "\n").encode())


def main(out):
    import onnx

    with open(__file__, "rb") as f:
        stamp = f"{onnx.__version__} {hashlib.sha256(f.read()).hexdigest()[:16]}\n"
    stamp_path = os.path.join(out, "stamp")
    if os.path.exists(stamp_path):
        with open(stamp_path, encoding="ascii") as f:
            if f.read() == stamp:
                return
    warnings.filterwarnings("ignore")
    from onnx.backend.test.case.node import collect_testcases

    if os.path.exists(out):
        shutil.rmtree(out)
    os.makedirs(out)
    cases = collect_testcases(None)
    by_name = {case.name: case for case in cases}
    for case in cases:
        write_case(os.path.join(out, case.name), case, subject(case, by_name))
    write(stamp_path, stamp.encode())
    print(f"{len(cases)} node tests written")


if __name__ == "__main__":
    main(sys.argv[1])
