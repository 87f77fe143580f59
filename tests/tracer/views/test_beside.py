"""The shapes beside the lines of a source."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from tracer import trace
from tracer.views.beside import beside
from tracer.views.graph import shape_text


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return self.head(h.relu())


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = Block(width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x.sigmoid())
        return y + 1


def told(width: int) -> dict[str, list[str]]:
    found = trace(Net(width), torch.zeros(2, 8))
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    shown = beside(found, __file__, shape_text)
    return {lines[line - 1].strip(): texts for line, texts in shown.items()}


def test_each_line_has_what_it_made() -> None:
    assert told(8) == {
        "h = self.body(x)": ["(2, 8)"],
        "return self.head(h.relu())": ["(2, 3)"],
        "y: Tensor = self.block(x.sigmoid())": ["(2, 3)"],
        "return y + 1": ["(2, 3)"],
    }


def test_a_line_that_fails_shows_nothing_of_what_ran_on_it_before() -> None:
    assert told(9) == {"h = self.body(x)": ["(2, 8)"]}
