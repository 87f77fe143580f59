"""What has no end, or fails when it is asked, costs a trace no more than a few looks."""

from __future__ import annotations

import dataclasses
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.together import together
from tracer import trace
from tracer.record import picture
from tracer.record.tensors import flatten, paths_of, tensors_in


class First(nn.Module):
    """Adds one to the first tensor that it is given."""

    def forward(self, value: Any) -> Tensor:
        while not isinstance(value, Tensor):
            value = value[0] if isinstance(value, list) else value.inner
        return value + 1


@dataclasses.dataclass
class Link:
    inner: Any
    other: Any = None


def list_of_itself() -> Any:
    made: list[Any] = [torch.ones(2)]
    made += [made] * 30
    return made


def lists_of_lists() -> Any:
    made: list[Any] = [torch.ones(2)]
    for _ in range(9):
        made = [made] * 30
    return made


def dataclass_of_itself() -> Any:
    made = Link(torch.ones(2))
    made.other = made
    return made


def chain() -> Any:
    made = Link(torch.ones(2))
    for _ in range(2000):
        made = Link(torch.ones(2), made)
    return made


@together("make", [list_of_itself, dataclass_of_itself, chain, lists_of_lists])
def test_values_without_end(make: Callable[[], Any]) -> None:
    found = trace(First(), make())
    assert found.failure is None
    assert [step.op for step in found.steps] == ["Tensor.add"]


def test_what_is_met_again_is_not_walked_again() -> None:
    looks: list[int] = []

    class Counted(list[Any]):
        def __iter__(self) -> Any:
            looks.append(1)
            return super().__iter__()

    inner = Counted([torch.ones(1)])
    value: Any = inner
    for _ in range(7):
        value = [value, value]
    assert [path for path, _ in flatten(value)] == ["[0]" * 8]
    walked = len(looks)
    assert walked <= 2
    # The operands of a call are all that is there, though each list is looked at once.
    assert len(tensors_in(value)) == 2**7
    assert len(looks) - walked <= 2


def test_a_module_that_cannot_say_its_settings() -> None:
    class Silent(nn.Linear):
        def extra_repr(self) -> str:
            raise RuntimeError("not now")

    found = trace(nn.Sequential(Silent(2, 3)), torch.ones(1, 2))
    assert found.outputs[0].shape == (1, 3)
    broken = trace(nn.Sequential(Silent(2, 3)), torch.ones(1, 4))
    assert broken.failure is not None
    assert broken.failure.violation is not None


def test_a_module_that_cannot_be_hashed() -> None:
    class Equal(nn.Module):
        __hash__ = None  # type: ignore[assignment]

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def __eq__(self, other: object) -> bool:
            return self is other

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)

    for how in ({}, {"values": False, "device": "meta"}):
        found = trace(nn.Sequential(Equal()), torch.ones(1, 2), **how)  # type: ignore[arg-type]
        assert found.outputs[0].shape == (1, 3)
        assert [note.name for note in found.steps[0].inputs[1:]] == [
            "0.layer.weight",
            "0.layer.bias",
        ]


def test_a_module_that_holds_itself() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].around = [model]
    model[0]._modules["again"] = model
    assert [path for path, _ in paths_of(model)] == ["", "0"]


@pytest.mark.parametrize("bits", [29, 61])
def test_an_expanded_tensor_is_measured_by_what_it_stores(bits: int) -> None:
    class Wide(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.expand(2**bits)

    note = trace(Wide(), torch.full((1,), 3.0)).outputs[0]
    assert note.shape == (2**bits,)
    assert note.stats is not None
    assert (note.stats.minimum, note.stats.mean, note.stats.std) == (3.0, 3.0, 0.0)
    assert note.stats.count == 2**bits
    assert note.heatmap is not None
    cells = torch.frombuffer(bytearray(note.heatmap.cells), dtype=torch.float32)
    assert set(cells.tolist()) == {3.0}


@together("shape", [(1, 1, 5, 6), (2, 1, 5, 1), (3, 4, 1, 6), (1, 4, 5, 1), (2, 4, 1, 1)])
def test_an_expanded_tensor_looks_like_the_full_one(shape: tuple[int, ...]) -> None:
    values = torch.rand(shape)
    values.view(-1)[0] = float("nan")
    wide = values.expand(3 if shape[0] == 1 else shape[0], 4, 5 if shape[2] == 1 else 100 // 20, 6)
    full = wide.contiguous()
    mine, theirs = picture.stats(wide), picture.stats(full)
    assert (mine.count, mine.nan, mine.inf) == (theirs.count, theirs.nan, theirs.inf)
    assert (mine.minimum, mine.maximum) == (theirs.minimum, theirs.maximum)
    assert mine.mean == pytest.approx(theirs.mean)
    assert mine.std == pytest.approx(theirs.std, rel=1e-4)
    drawn, wanted = picture.heatmap(wide), picture.heatmap(full)
    assert drawn is not None
    assert wanted is not None
    assert drawn.text == wanted.text
    assert torch.allclose(
        torch.frombuffer(bytearray(drawn.cells), dtype=torch.float32),
        torch.frombuffer(bytearray(wanted.cells), dtype=torch.float32),
        equal_nan=True,
    )


def test_a_statement_is_walked_once_for_all_that_is_written_in_it(tmp_path: Path) -> None:
    # A walk for each of them would be four times as many looks for twice as many.
    assert looks_at(400, tmp_path) < 3 * looks_at(200, tmp_path)


def looks_at(terms: int, folder: Path) -> int:
    """How often the parsed source is looked at to trace a sum of so many terms in one line."""
    file = folder / f"sum_{terms}.py"
    file.write_text(
        "from torch import nn\n\nclass Long(nn.Module):\n    def forward(self, x):\n"
        f"        return {' + '.join(['x'] * terms)}\n"
    )
    model = runpy.run_path(str(file))["Long"]()
    looks = 0

    def watch(frame: Any, event: str, argument: Any) -> None:
        nonlocal looks
        if event == "call" and frame.f_code.co_filename.endswith("ast.py"):
            looks += 1

    sys.setprofile(watch)
    try:
        found = trace(model, torch.ones(2))
    finally:
        sys.setprofile(None)
    assert len(found.steps) == terms - 1
    return looks
