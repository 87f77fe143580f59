"""Rules for layers: convolution, pooling, resizing, tables, recurrence, attention."""

from __future__ import annotations

from tracer.views.dimensions import Dim, Dims
from tracer.views.rules.case import (
    Case,
    Told,
    effect_text,
    is_integer,
    many,
    need,
    tells,
)

# --- tables, recurrence, attention ---------------------------------------------------------------


@tells("nn.RNN nn.LSTM nn.GRU", "input_size hidden_size")
@tells(
    "lstm gru rnn_tanh rnn_relu", "has_biases num_layers dropout train bidirectional batch_first"
)
def _recurrent(case: Case) -> Told:
    x, out = case.x, case.out
    need(len(x) in (2, 3) and len(out) == len(x) and out[:-1] == x[:-1])
    # A packed sequence comes with whole numbers that say how many sequences still run.
    packed = any(is_integer(note) for note in case.step.inputs)
    need(not packed or len(x) == 2)
    both = case.args.flag("bidirectional")
    first = case.args.flag("batch_first")
    time = 1 if first and len(x) == 3 else 0
    dims = case.dims()
    hidden = out[-1] // 2 if both else out[-1]
    state = case.atoms.derive(dims[-1], hidden, "channel")
    last = case.atoms.total([state, state]) if both else state
    _gate_roles(case, dims[-1], state, last)
    outputs: list[Dims] = [(*dims[:-1], last)]
    for note in case.step.outputs[1:]:
        shape = note.shape
        if is_integer(note):
            outputs.append(case.known.dims(note))
            continue
        need(len(shape) == 3 if packed else len(shape) == len(x))
        batch = (dims[0 if first else 1],) if len(x) == 3 else case.known.fresh(shape[1:-1])
        inner = case.atoms.derive(state, shape[-1], "channel")
        outputs.append((case.atoms.new(shape[0]), *batch, inner))
    way = " in both directions" if both else ""
    along = "through each packed sequence" if packed else f"along dim {time}"
    axis = len(x) - 1
    line = f"dim {axis}: {x[-1]} → {out[-1]}, the state after each of {many(x[time], 'step')}"
    return Told(
        f"{effect_text(x[-1:], out[-1:], ('last dim',))}: read step by step {along}{way}, "
        "each result depends on the steps before",
        [line] if x[-1] != out[-1] else (),
        outputs,
    )


@tells("_pack_padded_sequence")
def _pack(case: Case) -> Told:
    x, out = case.x, case.out
    need(len(case.outs) == 2 and len(x) >= 2 and len(out) == len(x) - 1 and out[1:] == x[2:])
    line = f"dims 0 and 1: {x[0]} × {x[1]} → {out[0]}, the padding left out"
    return Told(
        f"{case.arrow}: the sequences packed without their padding",
        [line],
        [(case.atoms.new(out[0], kind="place"), *case.dims()[2:]), case.known.fresh(case.outs[1])],
    )


@tells("_pad_packed_sequence")
def _unpack(case: Case) -> Told:
    x, out = case.x, case.out
    need(len(case.outs) == 2 and len(x) >= 1 and len(out) == len(x) + 1 and out[2:] == x[1:])
    line = f"dim 0: {x[0]} → {out[0]} × {out[1]}, short sequences filled up"
    return Told(
        f"{case.arrow}: the sequences padded to one length again",
        [line],
        [(*case.known.fresh(out[:2]), *case.dims()[1:]), case.known.fresh(case.outs[1])],
    )


def _gate_roles(case: Case, *features: Dim) -> None:
    """Weights have the gates of the state, one after the other, as rows."""
    state = features[1]
    size = case.atoms.size(state)
    for position, note in enumerate(case.step.inputs):
        shape = note.shape
        if note.kind != "parameter" or len(shape) not in (1, 2) or not size:
            continue
        if shape[0] % size or not 1 <= shape[0] // size <= 4:
            continue
        rows = case.atoms.total([state] * (shape[0] // size))
        columns = next((dim for dim in features if case.atoms.size(dim) == shape[-1]), None)
        if len(shape) == 1:
            case.role(position, (rows,))
        elif columns is not None:
            case.role(position, (rows, columns))


@tells("nn.RNNCell nn.LSTMCell nn.GRUCell")
def _cell(case: Case) -> Told:
    x, out = case.x, case.out
    need(len(x) in (1, 2) and len(out) == len(x) and out[:-1] == x[:-1])
    dims = case.dims()
    state = case.atoms.derive(dims[-1], out[-1], "channel")
    for position, shape in enumerate(case.ins):
        if position and shape == out and case.step.inputs[position].kind != "parameter":
            case.role(position, (*dims[:-1], state))
    _gate_roles(case, dims[-1], state)
    return Told(
        f"{effect_text(x[-1:], out[-1:], ('last dim',))}: one step of the recurrence, "
        "from the input and the state before",
        [f"dim {len(x) - 1}: {x[-1]} → {out[-1]}, the new state"] if x[-1] != out[-1] else (),
        case.every((*dims[:-1], state)),
    )


@tells("nn.MultiheadAttention multi_head_attention_forward")
def _multihead(case: Case) -> Told:
    need(case.out == case.x)
    return Told(
        "Shape kept: every query takes an average of the values, weighted by how well the keys "
        "match, in several heads",
        (),
        [case.dims()],
    )


@tells(
    "nn.TransformerEncoderLayer nn.TransformerEncoder nn.TransformerDecoderLayer "
    "nn.TransformerDecoder"
)
def _transformer(case: Case) -> Told:
    return Told(
        "Shape kept: attention between the positions, then a small network at each",
        (),
        [case.keeps()],
    )


# --- modules -------------------------------------------------------------------------------------

MODULES: dict[str, str] = {}
# A module prints its positional settings in another order than its function takes them.
MODULE_SIGNATURES: dict[str, tuple[str, ...]] = {}
