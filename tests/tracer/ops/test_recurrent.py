"""Recurrent layers, cells and packed sequences against torch."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import sympy
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from tests.together import together
from tests.tracer.ops.against_torch import check
from tests.tracer.ops.samples import Draw, Sample, calls, entries
from tracer.ops.call import At
from tracer.ops.table import bind
from tracer.record.live import live_layer_call
from tracer.record.tensors import tensors_in

KINDS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CELLS: dict[str, Any] = {"lstm_cell": nn.LSTMCell, "gru_cell": nn.GRUCell, "rnn_cell": nn.RNNCell}


def sequence(kind: str) -> Sample:
    def sample(draw: Draw) -> tuple[Any, ...]:
        width, hidden, count, steps = (draw.size(2) for _ in range(4))
        settings: dict[str, Any] = {
            "num_layers": draw.randint(1, 2),
            "batch_first": draw.maybe(),
            "bidirectional": draw.maybe(0.3),
            "bias": draw.maybe(0.8),
        }
        if kind == "lstm" and draw.maybe(0.2):
            settings["proj_size"] = draw.randint(1, hidden - 1)
        layer = KINDS[kind](width, hidden, dtype=torch.float64, **settings)
        batched = draw.maybe(0.8)
        order = (count, steps) if settings["batch_first"] else (steps, count)
        x = draw.tensor(*(order if batched else (steps,)), width)
        if draw.maybe():
            return layer, x
        rows = settings["num_layers"] * (2 if settings["bidirectional"] else 1)
        middle = [count] if batched else []
        shown = settings.get("proj_size", hidden)
        h, c = (draw.tensor(rows, *middle, size) for size in (shown, hidden))
        pair = (h, c) if kind == "lstm" else h
        if draw.maybe(0.05):
            pair = h if kind == "lstm" else (h, c)
        return layer, x, pair

    return sample


def function(kind: str, made: Any) -> Sample:
    """The functions that the layers call, with weights that fit: others are read past their end."""

    def sample(draw: Draw) -> tuple[Any, ...]:
        width, hidden, count, steps = (draw.size(2) for _ in range(4))
        layer = KINDS[kind](width, hidden, dtype=torch.float64, batch_first=True)
        states = [torch.zeros(1, count, hidden).double() for _ in "hc"]
        x = torch.randn(count, steps, width).double()
        state = tuple(states) if kind == "lstm" else states[0]
        weights = [w.detach() for w in layer._flat_weights]
        return made, x, state, weights, True, 1, 0.0, False, False, True

    return sample


def cell(kind: str) -> Sample:
    def sample(draw: Draw) -> tuple[Any, ...]:
        width, hidden = draw.size(2), draw.size(2)
        layer = CELLS[kind](width, hidden, draw.maybe(), dtype=torch.float64)
        batch = [draw.size()] if draw.maybe(0.7) else []
        x = draw.tensor(*batch, width)
        if draw.maybe():
            return layer, x
        h, c = draw.tensor(*batch, hidden), draw.tensor(*batch, hidden)
        return layer, x, (h, c) if kind == "lstm_cell" else h

    return sample


def single(made: Any) -> Sample:
    def sample(draw: Draw) -> tuple[Any, ...]:
        width, hidden, batch = draw.size(2), draw.size(2), draw.size()
        layer = nn.RNNCell(width, hidden, dtype=torch.float64)
        x, h = draw.tensor(batch, width), torch.zeros(batch, hidden).double()
        weights = [w.detach() for w in layer.parameters()]
        x = x if x.shape == (batch, width) else torch.zeros(batch, width + 1).double()
        return made, x, h, *weights

    return sample


def pack(draw: Draw) -> tuple[Any, ...]:
    count, steps, first = draw.size(), draw.size(2), draw.maybe()
    x = draw.tensor(*((count, steps) if first else (steps, count)), *draw.sizes(0, 2))
    x = x if x.dim() >= 2 else x.new_zeros(1, 1)
    lengths = sorted((draw.randint(1, 2) for _ in range(count)), reverse=True)
    room = x.shape[1 if first else 0]
    given = torch.tensor([min(length, room) for length in lengths])
    return torch._VF._pack_padded_sequence, x, given, first  # type: ignore[attr-defined]


def unpack(draw: Draw) -> tuple[Any, ...]:
    count, steps, first = draw.size(), draw.size(2), draw.maybe()
    lengths = torch.tensor(sorted((draw.randint(1, steps) for _ in range(count)), reverse=True))
    packed = pack_padded_sequence(torch.zeros(steps, count, draw.size()), lengths)
    total = steps if draw.maybe() else -1
    function = torch._VF._pad_packed_sequence  # type: ignore[attr-defined]
    return function, packed.data, packed.batch_sizes, first, 0.0, total


SAMPLES: dict[str, Sample] = {
    **{kind: sequence(kind) for kind in KINDS},
    "rnn_tanh": function("rnn", torch.rnn_tanh),
    "rnn_relu": function("rnn", torch.rnn_relu),
    **{kind: cell(kind) for kind in CELLS},
    "rnn_tanh_cell": single(torch.rnn_tanh_cell),
    "rnn_relu_cell": single(torch.rnn_relu_cell),
    "_pack_padded_sequence": pack,
    "_pad_packed_sequence": unpack,
}
LEGAL = ("rnn_tanh", "rnn_relu", "_pad_packed_sequence")


def test_every_entry_has_samples() -> None:
    assert set(entries("recurrent")) == SAMPLES.keys()


def _passes_by_accident(x: Any, state: Any = ()) -> bool:
    """A cell given one sample puts a dimension of 1 before each state and then compares the first
    two: a state of as many rows as columns passes, and stretches the result."""
    states = state if isinstance(state, tuple) else (state,)
    return x.dim() == 1 and any(s.dim() == 2 and s.shape[0] == s.shape[1] for s in states)


@pytest.mark.parametrize("name", SAMPLES)
def test_as_torch(name: str) -> None:
    refused = 0
    for function, args, kwargs in calls(SAMPLES[name], 100):
        if name in CELLS and _passes_by_accident(*args):
            continue
        # Lengths are read: there is no meta kernel for packing.
        found = check(function, *args, on="cpu", **kwargs)
        refused += found.violation is not None
        assert found.call.op == name
    assert refused >= 5 or name in LEGAL


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_functions_are_read_as_the_layers(name: str) -> None:
    made = {"lstm": torch.lstm, "gru": torch.gru}[name]
    for function_, args, kwargs in calls(function(name, made), 20):
        assert check(function_, *args, on="cpu", **kwargs).violation is None


@together("kind", KINDS)
@together("sorted_", [True, False])
def test_packed_sequences_through_layers(kind: str, sorted_: bool) -> None:
    lengths = torch.tensor([4, 3, 1] if sorted_ else [1, 4, 3])
    packed = pack_padded_sequence(torch.randn(4, 3, 5), lengths, enforce_sorted=sorted_)
    found = check(KINDS[kind](5, 6, num_layers=2), packed, on="cpu")
    assert found.violation is None
    assert found.shapes[0] == (8, 6)
    wrong = check(KINDS[kind](7, 6), packed, on="cpu")
    assert wrong.violation is not None
    assert wrong.violation.kind == "width"
    state = torch.zeros(1, 2, 6)
    refused = check(KINDS[kind](5, 6), packed, (state, state) if kind == "lstm" else state)
    assert refused.violation is not None
    assert refused.violation.kind == "hidden"


def turned(layer: nn.Module, x: Tensor, order: Tensor) -> nn.Module:
    """The same layer with its hidden units in another order, in every gate, as the table says which
    dimensions of its weights hold them."""
    copied = copy.deepcopy(layer)
    call, tensors = live_layer_call(copied, (x,), {})
    bound = bind(call)
    assert bound is not None
    for at, (_, times) in bound.stacked.items():
        parts = tensors[at.operand].data.chunk(times, at.dim)
        tensors[at.operand].data = torch.cat([p.index_select(at.dim, order) for p in parts], at.dim)
    return copied


@together("kind", [*KINDS, *CELLS])
@together("first", [True, False])
def test_layers_flow(kind: str, first: bool) -> None:
    """Samples stay apart, and hidden units are the last dimension of what comes out."""
    torch.default_generator.manual_seed(0)
    settings = {"batch_first": first} if kind in KINDS else {}
    layer = {**KINDS, **CELLS}[kind](4, 5, dtype=torch.float64, **settings)
    x = torch.randn(3, 6, 4).double() if kind in KINDS else torch.randn(3, 4).double()
    bound = check(layer, x, on="cpu")
    before = tensors_in(layer(x))
    batch = At(0, 0 if first or kind in CELLS else 1)
    order = torch.randperm(x.shape[batch.dim])
    after = tensors_in(layer(x.index_select(batch.dim, order)))
    other = torch.tensor([3, 1, 4, 0, 2])
    new = tensors_in(turned(layer, x, other)(x))
    for dims, old, now, changed in zip(bound.results, before, after, new, strict=True):
        (place,) = [d for d, dim in enumerate(dims) if batch in dim.sources]
        assert torch.allclose(old.index_select(place, order), now)
        assert dims[-1].how == "mixed"
        assert torch.allclose(old[..., other], changed)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_layers_may_be_symbols(kind: str) -> None:
    b, t = sympy.symbols("B T", positive=True, integer=True)
    call, _ = live_layer_call(KINDS[kind](4, 5, batch_first=True), (torch.zeros(2, 3, 4),), {})
    sized = replace(call.operands[0], shape=(b, t, 4))
    bound = bind(replace(call, operands=(sized, *call.operands[1:])))
    assert bound is not None
    assert bound.shapes[0] == (b, t, 5)
    assert bound.shapes[1] == (1, b, 5)
