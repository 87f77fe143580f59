"""Where a wrong size most probably comes from, once repairs were sought."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from tracer import Failure, trace
from tracer.diagnosis import origins
from tracer.language import translator


class Bands(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.collapse = nn.Conv2d(1, 8, (6, 1))
        self.memory = nn.GRU(8, 5, batch_first=True)

    def encode(self, x: Tensor) -> Tensor:
        y = self.collapse(x).squeeze()
        return torch.relu(y)

    def forward(self, x: Tensor) -> Tensor:
        y = self.encode(x)
        state = torch.zeros(1, x.size(0), 5)
        return self.memory(y.transpose(-2, -1), state)[0]


def failure() -> Failure:
    found = trace(Bands(), torch.ones(1, 1, 6, 9), values=False, build=Bands).failure
    assert found is not None
    return found


def test_what_a_repair_changes_is_a_link_and_what_is_told_of_it_is_so() -> None:
    found = failure()
    places = {link.place.statement: link for link in found.chain}
    assert len(places) == len(found.chain) <= 3
    assert found.chain[-1].kind == "failure"
    link = places["y = self.collapse(x).squeeze()"]
    assert link.kind == "step"
    assert link.why == "With a change of `y = self.collapse(x).squeeze()` the forward runs."
    changed = [fix for fix in found.fixes if {e.span.line for e in fix.edits} == {link.line}]
    assert any(fix.output_shapes for fix in changed)


def test_the_root_names_the_line_that_is_likelier() -> None:
    found = failure()
    assert found.root is not None
    other = next(link for link in found.chain if link.line not in (found.root.line, found.line))
    told = origins.with_another(found.root, other)
    assert told.why == f"{found.root.why} It may as well begin in line {other.line}."
    assert told.told(translator("zh")).endswith(f"起点也可能在第 {other.line} 行。")
    far = replace(other, place=replace(other.place, file="/tmp/model.py"))
    assert origins.with_another(found.root, far).why.endswith(f"line {far.line} of model.py.")
