"""Numbers that are found by changing them and looking at the sizes at odds."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from tests.cells import run_cell
from tests.together import together
from tracer import diagnosis, recording_construction
from tracer.diagnosis import fixes
from tracer.diagnosis.budget import Budget, Meter, Watch
from tracer.diagnosis.repair import solved
from tracer.diagnosis.repair.places import spots
from tracer.diagnosis.repair.search import Search
from tracer.record.run import record

GATED = """
class Net(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.both = nn.Linear(5, width)
        self.out = nn.Linear(width, 2)

    def forward(self, x):
        value, gate = self.both(x).chunk(2, dim=-1)
        return self.out(value * gate.sigmoid())
"""
FINER = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(3, 8, 3, padding=1)
        self.finer = nn.PixelShuffle(2)
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        return self.last(self.finer(self.wide(x)))
"""
CHOPPED = """
class Net(nn.Module):
    def __init__(self, kernel=5):
        super().__init__()
        self.first = nn.Conv1d(4, 4, kernel)
        self.second = nn.Conv1d(4, 4, 3)
        self.off = 4

    def forward(self, x):
        return self.second(self.first(x)) + x[..., self.off:]
"""
TOKENS = """
class Net(nn.Module):
    def __init__(self, tokens=10):
        super().__init__()
        self.patches = nn.Conv2d(1, 4, 4, 4)
        self.places = nn.Parameter(torch.zeros(1, tokens, 4))

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        first = x.mean(1, keepdim=True)
        return torch.cat([first, x], 1) + self.places
"""


def searched(source: str, *inputs: Any) -> Search:
    net = run_cell(source)["Net"]
    with recording_construction():
        model = net()
    crash = record(model, inputs, {}, values=False, build=net).crash
    assert crash is not None
    assert crash.trace.failure is not None
    finding, failure = diagnosis.understood(crash, crash.trace.failure)
    return Search(crash, finding, failure, fixes.known)


CASES = (
    ("both halves of a layer", GATED, (torch.zeros(3, 5),), {"12": "nn.Linear(5, width)"}),
    ("what a pixel shuffle takes", FINER, (torch.zeros(2, 3, 6, 6),), {"32": "nn.Conv2d(3, 8"}),
    ("what convolutions take off", CHOPPED, (torch.zeros(2, 4, 20),), {"6": "self.off = 4"}),
    ("a token more", TOKENS, (torch.zeros(2, 1, 16, 16),), {"17": "tokens=10"}),
)


@together("source, inputs, wanted", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_number_with_which_sizes_agree_is_found(
    source: str, inputs: tuple[Any, ...], wanted: dict[str, str]
) -> None:
    search = searched(source, *inputs)
    found = {
        (draft.new, draft.spot.text.of(draft.spot.text.statement(draft.spot.node)))
        for draft in solved.solved(search.bench, search.world, spots(search.world))
    }
    for new, statement in wanted.items():
        assert any(new == each and statement in where for each, where in found), found


def test_what_has_no_such_number_costs_a_share_of_the_budget() -> None:
    search = searched(
        GATED, torch.zeros(3, 4)
    )  # another input, which no number of the halves mends
    before = search.budget.left
    list(solved.solved(search.bench, search.world, spots(search.world)))
    assert before - search.budget.left <= solved.SHARE * search.budget.total + 0.02 * before


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_recurrent_network_is_one_operation(dropout: float) -> None:
    lstm = torch.nn.LSTM(9, 8, 2, dropout=dropout, bidirectional=True)
    x = torch.randn(30, 3, 9, requires_grad=True)
    torch.manual_seed(0)
    plain = copy.deepcopy(lstm)(x)[0]
    watch = Watch(Budget(), 1e9)
    torch.manual_seed(0)
    with watch, Meter(watch):
        metered = lstm(x)[0]
    assert torch.equal(plain, metered)
    assert metered.requires_grad
    assert watch.work < 5_000
    assert watch.random is (dropout > 0)
