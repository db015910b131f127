"""Operators with a memory: RNN, LSTM and SVDF, their sequences and directions.

States are variable tensors that start at zero. Where an operator sees one step only, cases named
"steps" have several of them in a row that share their states: what one leaves the next one finds.
"""
import numpy as np

from net import ACTIVATIONS, recipe

HYBRID = ("hybrid_tensor",)
SMALL = 0.4  # of weights: gates stay away from their ends


def rnn_weights(n, inputs, units):
    return [n.weight(n.normal(units, inputs, scale=SMALL)),
            n.weight(n.normal(units, units, scale=SMALL)),
            n.const(n.normal(units, scale=0.3))]


def rnn(act="tanh", steps=1, **fields):
    def build(n):
        weights, state = rnn_weights(n, 5, 4), n.variable((2, 4))
        return [n.op("RNN", [n.input(n.normal(2, 5)), *weights, state], "act", "RNN",
                     fusedActivationFunction=ACTIVATIONS[act], **fields) for _ in range(steps)]
    return build


def sequence_rnn(time_major, act="tanh", **fields):
    def build(n):
        x = n.input(n.normal(*((6, 2, 5) if time_major else (2, 6, 5))))
        return n.op("UNIDIRECTIONAL_SEQUENCE_RNN", [x, *rnn_weights(n, 5, 4), n.variable((2, 4))],
                    "act", "SequenceRNN", timeMajor=time_major,
                    fusedActivationFunction=ACTIVATIONS[act], **fields)
    return build


def both_rnn(time_major, merge=False, aux=None, act="tanh", **fields):
    """aux: "weights" for an auxiliary input with weights of its own, "input" for one that takes the
    place of the backward pass's input."""
    def build(n):
        lead = (6, 2) if time_major else (2, 6)
        x = n.input(n.normal(*lead, 5))
        forward = [*rnn_weights(n, 5, 4), n.variable((2, 4))]
        backward = [*rnn_weights(n, 5, 3), n.variable((2, 3))]
        more = [None, None, None]
        if aux:
            more[0] = n.input(n.normal(*lead, 5))
        if aux == "weights":
            more[1:] = [n.weight(n.normal(units, 5, scale=SMALL)) for units in (4, 3)]
        return n.op("BIDIRECTIONAL_SEQUENCE_RNN", [x, *forward, *backward, *more],
                    ["act"] if merge else ["act", "act"], "BidirectionalSequenceRNN",
                    timeMajor=time_major, mergeOutputs=merge,
                    fusedActivationFunction=ACTIVATIONS[act], **fields)
    return build


def rnn_recipes():
    for mode in ("float", *HYBRID, "float16_weights"):
        yield recipe("RNN", "", rnn(), mode)
        yield recipe("RNN", "steps_relu", rnn("relu", 3), mode)
        for major in (False, True):
            name = "time_major" if major else "batch_major"
            yield recipe("UNIDIRECTIONAL_SEQUENCE_RNN", name, sequence_rnn(major), mode)
            # With integer weights and time first, LiteRT walks over all steps once for each step.
            if major and mode in HYBRID:
                continue
            yield recipe("BIDIRECTIONAL_SEQUENCE_RNN", name, both_rnn(major), mode)
            yield recipe("BIDIRECTIONAL_SEQUENCE_RNN", f"{name}_merged", both_rnn(major, True),
                         mode)
            for aux in ("weights", "input"):
                yield recipe("BIDIRECTIONAL_SEQUENCE_RNN", f"{name}_aux_{aux}", both_rnn(
                    major, aux=aux), mode)
    for act in ("none", "relu6", "relu_n1_to_1"):
        yield recipe("RNN", act, rnn(act, 2))
        yield recipe("UNIDIRECTIONAL_SEQUENCE_RNN", act, sequence_rnn(False, act))
    for mode in HYBRID:
        yield recipe("RNN", "asymmetric", rnn(asymmetricQuantizeInputs=True), mode)
        yield recipe("UNIDIRECTIONAL_SEQUENCE_RNN", "asymmetric", sequence_rnn(
            False, asymmetricQuantizeInputs=True), mode)
        yield recipe("BIDIRECTIONAL_SEQUENCE_RNN", "asymmetric", both_rnn(
            False, asymmetricQuantizeInputs=True), mode)


def svdf(rank=1, act="none", bias=True, steps=1, **fields):
    """In integers: the state in int16, the weights over time too."""
    def build(n):
        units, memory = 4, 5
        integer = n.mode.activation == "int8"
        feature = n.weight(n.normal(units * rank, 6, scale=SMALL))
        values = n.normal(units * rank, memory)
        time = n.stored(values, "int16") if integer else n.weight(values)
        state_scale = 5.0 / 32767 if integer else None
        state = n.variable((2, units * rank * memory), "int16" if integer else None, state_scale)
        values = n.normal(units)
        start = n.stored(values, "int32", state_scale * time.scale) if integer else n.const(values)
        xs = n.normal(steps, 2, 6)
        scale = 6.0 / 255 if n.aim.activation == "int8" else None
        made, outputs = None, []
        for x in xs:
            x = n.input(x, scale=scale, zero=-3)
            made = n.op("SVDF", [x, feature, time, start if bias else None, state], "act",
                        "SVDF", rank=rank, fusedActivationFunction=ACTIVATIONS[act], **fields)
            outputs.append(made)
        return outputs
    return build


def svdf_recipes():
    yield recipe("SVDF", "relu", svdf(2, "relu", steps=2), "int8_tensor")  # and no other activation
    yield recipe("SVDF", "steps_relu", svdf(1, "relu", steps=5), "int8_tensor")
    for mode in ("float", *HYBRID):
        yield recipe("SVDF", "", svdf(), mode)
        yield recipe("SVDF", "steps", svdf(steps=4), mode)
        yield recipe("SVDF", "rank2_steps", svdf(2, steps=3, bias=False), mode)
        yield recipe("SVDF", "relu", svdf(2, "relu", steps=2), mode)
    for mode in HYBRID:
        yield recipe("SVDF", "asymmetric", svdf(steps=3, asymmetricQuantizeInputs=True), mode)
    yield recipe("SVDF", "steps", svdf(steps=4), "float16_weights")
    yield recipe("SVDF", "tanh", svdf(act="tanh", steps=2))


def lstm_parts(n, x, inputs, cells, units, cifg=False, peephole=False, projection=False,
               projection_bias=False, norm=False):
    """Inputs 1 to 17 of an LSTM, with None for what it has not, and the four coefficients of layer
    normalization."""
    integer = n.mode.activation == "int8"
    gates = [None if cifg and g == 0 else n.weight(n.normal(cells, inputs, scale=SMALL))
             for g in range(4)]
    loops = [None if cifg and g == 0 else n.weight(n.normal(cells, units, scale=SMALL))
             for g in range(4)]

    def small(values, make):
        """What has int16 in integer forms."""
        if n.aim.activation == "int8":
            return n.stored(values, "int16")
        return make(values)
    peeps = [small(n.normal(cells, scale=SMALL), n.weight) if peephole and not (cifg and g == 0)
             else None for g in range(3)]
    norms = [small(n.normal(cells, scale=0.2, shift=0.7), n.const) if norm and not (cifg and g == 0)
             else None for g in range(4)]
    biases = []
    for gate, coefficient in zip(gates, norms):
        values = n.normal(cells, scale=0.3)
        if gate is None:
            biases.append(None)
        elif not integer:
            biases.append(n.const(values))
        else:
            scale = coefficient.scale / 1024 if norm else np.float32(x.scale) * gate.scale
            biases.append(n.stored(values, "int32", scale))
    project, offset = None, None
    if projection:
        project = n.weight(n.normal(units, cells, scale=0.7))
        if projection_bias:
            values = n.normal(units, scale=0.3)
            offset = n.stored(values, "int32", HIDDEN[0] * project.scale) if integer \
                else n.const(values)
    return [*gates, *loops, *peeps, *biases, project, offset], norms


HIDDEN = np.float32(1 / 128), 0  # of a hidden state that is projected


def lstm(op, steps=1, time_major=False, clip=0.0, projection_clip=0.0, units=3, cells=4,
         fields=None, **parts):
    """op: LSTM, with steps operators in a row, or UNIDIRECTIONAL_SEQUENCE_LSTM."""
    def build(n):
        single, integer = op == "LSTM", n.mode.activation == "int8"
        wide = units if parts.get("projection") else cells
        shape = (2, 5) if single else (6, 2, 5) if time_major else (2, 6, 5)
        xs = n.normal(steps if single else 1, *shape)
        scale = 6.0 / 255 if n.aim.activation == "int8" else None
        ins = [n.input(x, scale=scale, zero=-3) for x in xs]
        output = n.coming(len(ins))
        weights, norms = lstm_parts(n, ins[0], 5, cells, wide, **parts)
        cell = ("int16", 2.0 ** -11) if integer else ()
        states = [n.variable((2, wide), None, *output), n.variable((2, cells), *cell)]
        inner = None
        if integer:
            inner = [n.tensor((), "int16", 2.0 ** -11) for _ in range(4)]
            inner.append(n.tensor((), "int8", *(HIDDEN if parts.get("projection") else output)))
        more = {"timeMajor": time_major} if not single else {"kernelType": 0}
        return [n.op(op, [x, *weights, *states, *(norms if parts.get("norm") else [])],
                     output if integer else "act",
                     "LSTM" if single else "UnidirectionalSequenceLSTM", intermediates=inner,
                     fusedActivationFunction=ACTIVATIONS["tanh"], cellClip=clip,
                     projClip=projection_clip, **more, **(fields or {})) for x in ins]
    return build


def both_lstm(time_major, merge=False, aux=None, fields=None, **parts):
    def build(n):
        lead = (5, 2) if time_major else (2, 5)
        x = n.input(n.normal(*lead, 5))
        forward = lstm_parts(n, x, 5, 4, 4, **parts)[0]
        # LiteRT's checks let no other size pass.
        backward = lstm_parts(n, x, 5, 4, 4, **parts)[0]
        states = [n.variable((2, 4)) for _ in range(4)]
        more = [None] * 9
        if aux:
            more[0] = n.input(n.normal(*lead, 5))
        if aux == "weights":
            more[1:] = [n.weight(n.normal(size, 5, scale=SMALL)) for size in [4] * 8]
            if parts.get("cifg"):
                more[1] = more[5] = None
        return n.op("BIDIRECTIONAL_SEQUENCE_LSTM", [x, *forward, *backward, *states, *more],
                    ["act"] if merge else ["act", "act"], "BidirectionalSequenceLSTM",
                    fusedActivationFunction=ACTIVATIONS["tanh"], timeMajor=time_major,
                    mergeOutputs=merge, cellClip=0.0, projClip=0.0, **(fields or {}))
    return build


FORMS = {
    "": {}, "cifg": {"cifg": True}, "peephole": {"peephole": True},
    "cifg_peephole": {"cifg": True, "peephole": True}, "projection": {"projection": True},
    "projection_bias": {"projection": True, "projection_bias": True},
    "norm": {"norm": True}, "cifg_norm": {"cifg": True, "norm": True}, "clip": {"clip": 0.4},
    "projection_clip": {"projection_clip": 0.1, "projection": True},
    "peephole_projection": {"peephole": True, "projection": True},
    "all": {"norm": True, "peephole": True, "projection": True, "projection_bias": True,
            "units": 4},
}
# In integers, LiteRT takes peepholes for as long as the projection's output, and clips projections
# without regard to their zero point.
NOT_IN_INT8 = "peephole_projection", "projection_clip"


def lstm_recipes():
    name = "UNIDIRECTIONAL_SEQUENCE_LSTM"
    for label, parts in FORMS.items():
        for mode in ("float", *HYBRID, *(("int8_tensor",) if label not in NOT_IN_INT8 else ())):
            yield recipe(name, label, lstm(name, **parts), mode)
        for mode in ("float", *HYBRID):
            yield recipe("LSTM", label, lstm("LSTM", 3, **parts), mode)
    for mode in ("float", *HYBRID, "int8_tensor", "float16_weights"):
        yield recipe(name, "time_major", lstm(name, time_major=True), mode)
    for mode in HYBRID:
        asymmetric = {"asymmetricQuantizeInputs": True}
        yield recipe(name, "asymmetric", lstm(name, fields=asymmetric, peephole=True), mode)
        yield recipe("LSTM", "asymmetric", lstm("LSTM", 2, fields=asymmetric), mode)
    for label in ("", "peephole", "projection"):
        yield recipe("LSTM", label, lstm("LSTM", 3, **FORMS[label]), "int8_tensor")
    both = "BIDIRECTIONAL_SEQUENCE_LSTM"
    for mode in ("float", *HYBRID):
        for major in (False, True):
            lead = "time_major" if major else "batch_major"
            yield recipe(both, lead, both_lstm(major), mode)
        # With the batch first, merged outputs differ from run to run.
        yield recipe(both, "time_major_merged", both_lstm(True, True), mode)
        yield recipe(both, "cifg_peephole", both_lstm(True, cifg=True, peephole=True), mode)
        for aux in ("weights", "input"):
            yield recipe(both, f"aux_{aux}", both_lstm(True, aux=aux), mode)
    yield recipe(both, "asymmetric", both_lstm(True, fields={"asymmetricQuantizeInputs": True}),
                 "hybrid_tensor")
    yield recipe("LSTM", "basic", basic_lstm)
    yield recipe("LSTM", "basic", basic_lstm, "uint8")


def basic_lstm(n):
    """The kernel of version 2: states are inputs and outputs, the gates are i, j, f, o."""
    integer = n.mode.activation == "uint8"
    byte = {"scale": 1 / 128, "zero": 128}
    x = n.input(n.uniform(-0.9, 0.9, 2, 5), **byte)
    before = n.input(n.uniform(-0.9, 0.9, 2, 4), **byte)
    weights = n.weight(n.normal(16, 9, scale=SMALL))
    values = n.normal(16, scale=0.3)
    bias = n.stored(values, "int32", weights.scale / 128) if integer else n.const(values)
    states = n.normal(2, 4)
    if n.aim.activation == "uint8":
        raw = np.rint(states * 2048).astype(np.int16)
        states = raw.astype(np.float32) / 2048
    if integer:
        state = n.tensor((2, 4), "int16", 2.0 ** -11)
        n.graph.inputs.append(state.index)
        n.inputs.append(raw)
        made = [n.tensor((2, 4), "uint8", 1 / 128, 128), n.tensor((2, 4), "int16", 2.0 ** -11),
                n.tensor((2, 9), "uint8", 1 / 128, 128), n.tensor((2, 16), "int16", 2.0 ** -12)]
    else:
        state = n.input(states)
        made = [n.tensor(shape, "float32") for shape in ((2, 4), (2, 4), (2, 9), (2, 16))]
    n.emit("LSTM", [x, before, weights, bias, state], made, "LSTM", version=2, kernelType=1,
           fusedActivationFunction=ACTIVATIONS["tanh"], cellClip=0.0, projClip=0.0)
    return made[:2]


def recipes():
    yield from rnn_recipes()
    yield from svdf_recipes()
    yield from lstm_recipes()
