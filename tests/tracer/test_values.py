"""Arguments that hold themselves, or very much: a run is recorded all the same."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from tests.cells import forward_cell
from tests.together import together
from tracer import strict, trace
from tracer.record.bind import plain
from tracer.record.functions import text_of_value


@dataclasses.dataclass
class Node:
    me: Any = None


def circles() -> dict[str, Any]:
    row: list[Any] = [1]
    row.append(row)
    table: dict[str, Any] = {"x": 1}
    table["me"] = table
    node = Node()
    node.me = node
    through = Node([])
    through.me.append({"node": through})
    return {"list": row, "dict": table, "dataclass": node, "all three": through}


@together("kind", circles())
def test_what_holds_itself_can_be_given(kind: str) -> None:
    model = forward_cell("x given", "return x * 2")
    found = trace(model, torch.ones(2), circles()[kind])
    assert [step.op for step in found.steps] == ["Tensor.mul"]


def test_what_holds_itself_can_be_given_to_an_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(strict.SWITCH, "0")  # no repair is tried: torch cannot copy such arguments
    model = forward_cell("x given", "return x + torch.tensor(given)")
    found = trace(model, torch.ones(2), circles()["list"])
    assert found.failure is not None
    assert found.steps[-1].arguments == ("[1, [...]]",)


@together(
    ("value", "text"),
    [
        (circles()["list"], "[1, [...]]"),
        (circles()["dict"], "{'x': 1, 'me': {...}}"),
        ([[1], (2,), (), {}], "[[1], (2,), (), {}]"),
        ({"a": torch.ones(1), 2: (slice(None), slice(1, None, 2))}, "{'a': tensor, 2: (:, 1::2)}"),
        (slice(None, 3), ":3"),
        ("x" * 100, "'" + "x" * 76 + "..."),
    ],
)
def test_texts_of_values(value: Any, text: str) -> None:
    assert text_of_value(value) == text


def test_much_is_read_from_its_beginning_alone() -> None:
    read = []

    class Told(int):
        def __repr__(self) -> str:
            read.append(int(self))
            return "7"

    assert text_of_value([Told(n) for n in range(10**6)]).endswith("...")
    assert len(read) < 40
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep, deep]
    assert text_of_value(deep) == "[" * 77 + "..."


def test_few_values_of_a_call_are_kept() -> None:
    kept = plain({"data": [list(range(1000))] * 1000, "dim": 1}, []).get("data")
    assert isinstance(kept, tuple)
    assert kept[0] == tuple(range(1000))
    assert kept[-1] == "<1000 values>"
