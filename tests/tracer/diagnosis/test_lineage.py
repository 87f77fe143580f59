"""A size followed back: through every kind of dimension, as the letters of the explanation go."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.broken import CASES
from tests.cells import run_cell
from tests.together import together
from tracer import Trace, trace
from tracer.diagnosis.roots.lineage import Hop, back, birth
from tracer.ops.bound import HOWS, SAME
from tracer.record.run import record
from tracer.views.changes import explain


def of(*sizes: int) -> Tensor:
    return torch.randn(*sizes)


def traced(expression: str, *args: Tensor, layer: str = "None") -> Trace:
    cell = run_cell(f"""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = {layer}

            def forward(self, x, *rest):
                y = {expression}
                return y
    """)
    return trace(cell["Net"](), *args)


def hop(found: Trace, dim: int) -> Hop:
    return next(back(found, found.outputs[0], dim))


# --- what is only handed on -----------------------------------------------------------------------


@together(
    ("expression", "dim", "source"),
    [
        ("x.permute(2, 0, 1)", 0, 2),
        ("x.transpose(0, 2)", 0, 2),
        ("x.mT", 1, 2),
        ("x.movedim(0, 2)", 2, 0),
        ("x.unsqueeze(1)", 2, 1),
        ("x[:, None]", 3, 2),
        ("x[0]", 0, 1),
        ("x[..., 0]", 1, 1),
        ("x.sum(1)", 1, 2),
        ("x.amax(0, keepdim=True)", 1, 1),
        ("torch.aminmax(x, dim=0)[1]", 1, 2),
        ("x.flatten(0, 1)", 1, 2),
        ("x.view(2, 3, 1, 5)", 3, 2),
        ("x.diagonal(0, 0, 1)", 0, 2),
        ("torch.stack([x, x], 1)", 2, 1),
        ("torch.cat([x, x], 0)", 2, 2),
        ("F.relu(x + 1)", 2, 2),
        ("x * torch.ones(5)", 2, 2),
        ("torch.ones(5) * x", 0, 0),
        ("x.unbind(0)[0]", 1, 2),
        ("torch.einsum('abc->cab', x)", 0, 2),
        ("torch.einsum('...d,d->...', x, torch.ones(5))", 1, 1),
        ("x @ x.transpose(1, 2)", 1, 1),
        ("x @ torch.ones(5)", 1, 1),
        ("torch.tensordot(x, torch.ones(5), 1)", 1, 1),
        ("F.cosine_similarity(x, x, dim=-1)", 1, 1),
        ("F.linear(x, torch.ones(7, 5))", 1, 1),
        ("F.max_pool1d(x, 3, 1, 1)", 2, 2),
        ("F.pad(x, (1, 1))", 1, 1),
        ("F.layer_norm(x, (5,))", 2, 2),
        ("F.softmax(x, -1)", 2, 2),
        ("x.cumsum(1)", 1, 1),
        ("x.rot90(2, (1, 2))", 0, 0),
        ("torch.where(x > 0, x, 0)", 1, 1),
    ],
)
def test_a_size_is_followed_to_its_input(expression: str, dim: int, source: int) -> None:
    found = traced(expression, of(2, 3, 5))
    born = birth(found, found.outputs[0], dim)
    assert (born.note.kind, born.dim) == ("input", source)


@together(
    ("layer", "call", "dim", "source"),
    [
        ("nn.Linear(5, 4)", "self.layer(x)", 1, 1),
        ("nn.Conv1d(3, 4, 3, padding=1)", "self.layer(x)", 2, 2),
        ("nn.BatchNorm1d(3)", "self.layer(x)", 1, 1),
        ("nn.GRU(5, 4, batch_first=True)", "self.layer(x)[0]", 0, 0),
        ("nn.GRU(5, 4, batch_first=True)", "self.layer(x)[0]", 1, 1),
        ("nn.GRU(5, 4)", "self.layer(x)[1]", 1, 1),
        ("nn.MultiheadAttention(5, 1)", "self.layer(x, x, x)[0]", 0, 0),
        ("nn.Embedding(9, 4)", "self.layer(x.long().clamp(0, 8))", 2, 2),
    ],
)
def test_a_size_is_followed_through_a_layer(layer: str, call: str, dim: int, source: int) -> None:
    found = traced(call, of(2, 3, 5), layer=layer)
    born = birth(found, found.outputs[0], dim)
    assert (born.note.kind, born.dim) == ("input", source)


# --- where a size is born -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "expression", "dim", "sources"),
    [
        ("same", "x.permute(2, 0, 1)", 0, [2]),
        ("mixed", "F.linear(x, torch.ones(7, 5))", 2, [0]),
        ("resized", "F.max_pool1d(x, 2)", 2, [2]),
        ("grouped", "x.flatten(1)", 1, [1, 2]),
        ("joined", "torch.cat([x, x], 1)", 1, [1, 1]),
        ("piece", "x[:, 1:]", 1, [1]),
        ("reduced", "x.sum(1, keepdim=True)", 1, [1]),
        ("new", "x.unsqueeze(0)", 0, []),
    ],
)
def test_how_a_dimension_is_made(how: str, expression: str, dim: int, sources: list[int]) -> None:
    found = hop(traced(expression, of(2, 3, 5)), dim)
    assert (found.how, [d for _, d in found.sources]) == (how, sources)
    assert found.kept == (how == SAME)


def test_every_kind_of_dimension_is_tried() -> None:
    (mark,) = test_how_a_dimension_is_made.pytestmark  # type: ignore[attr-defined]
    assert sorted(case[0] for case in mark.args[1]) == sorted(HOWS)


def test_a_size_goes_through_every_family_of_operations() -> None:
    cell = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Embedding(9, 6)
                self.conv = nn.Conv1d(6, 8, 3)
                self.norm = nn.BatchNorm1d(8)
                self.gru = nn.GRU(8, 7, batch_first=True)
                self.fc = nn.Linear(7, 4)

            def forward(self, ids):
                h = self.embed(ids).transpose(1, 2)
                h = F.max_pool1d(self.norm(self.conv(h)).relu(), 2)
                h = torch.cat([h, h], 2)[:, :, 1:]
                h, _ = self.gru(h.transpose(1, 2).contiguous())
                h = self.fc(h) @ torch.ones(4, 5)
                return h.mean(2, keepdim=True).flatten(1)
    """)
    found = trace(cell["Net"](), torch.zeros(3, 12).long())
    batch = birth(found, found.outputs[0], 0)
    assert (batch.note.name, batch.dim, batch.last) == ("ids", 0, None)
    way = list(back(found, found.outputs[0], 1))
    made = [(each.how, each.size) for each in reversed(way) if not each.kept]
    assert made == [("resized", 10), ("resized", 5), ("joined", 10), ("piece", 9)]


def test_sizes_that_layers_make() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 9, 5), nn.ReLU()
    )
    found = trace(model, of(2, 3, 8, 8))
    last = birth(found, found.outputs[0], 1).last
    assert last is not None
    assert (last.how, last.step.op) == ("mixed", "nn.Linear")
    assert birth(found, found.outputs[0], 0).note.kind == "input"
    flat = birth(found, found.steps[2].outputs[0], 1).last
    assert flat is not None
    assert (flat.merged, [d for _, d in flat.sources]) == (True, [1, 2, 3])


# --- one engine -----------------------------------------------------------------------------------


@together("case", CASES, ids=lambda case: case.name)
def test_a_size_goes_the_way_of_its_letter(case: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = case.load(Path(folder))
        crash = record(program.build(), program.inputs(), {}).crash
    assert crash is not None
    for step, told in zip(crash.trace.steps, explain(crash.trace), strict=True):
        before = {note.id: letters for note, letters in zip(step.inputs, told.inputs, strict=True)}
        for note, letters in zip(step.outputs, told.outputs, strict=True):
            for dim, letter in enumerate(letters):
                made = next(back(crash.trace, note, dim), None)
                if made is not None and made.kept and made.size > 1:
                    source, at = made.sources[0]
                    assert before[source.id][at] == letter, (step.expression, dim)
