"""Two runs beside each other: what is aligned, where they differ, what each takes."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tracer
from modules import LESSONS
from tracer import trace
from tracer.ops.steps import operation_of
from tracer.views.compare import Comparison
from ui import shipped


class Gate(nn.Module):
    def __init__(self, layer: nn.Module | None) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(-1)
        if self.layer is not None:
            pooled = self.layer(pooled)
        gate = torch.sigmoid(pooled)
        return x * gate.unsqueeze(-1)


class Written(nn.Module):
    """The same in other words: another name, a module's sigmoid, another expression."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Sigmoid()

    def forward(self, y: Tensor) -> Tensor:
        m = torch.mean(y, -1)
        s = self.act(m)
        return torch.mul(y, s[..., None])


def pairs(found: Comparison) -> list[tuple[str, str]]:
    def name(step: tracer.Step | None) -> str:
        return "" if step is None else (operation_of(step.op) or step.op)

    return [(name(pair.one), name(pair.other)) for pair in found.pairs]


def test_what_one_run_has_more_stands_alone() -> None:
    x = torch.randn(2, 3, 5)
    found = tracer.compare(trace(Gate(None), x), trace(Gate(nn.Linear(3, 3)), x))
    assert pairs(found) == [
        ("mean", "mean"),
        ("", "linear"),
        ("sigmoid", "sigmoid"),
        ("unsqueeze", "unsqueeze"),
        ("mul", "mul"),
    ]
    assert [pair.same for pair in found.pairs] == [True, False, True, True, True]
    assert [t.parameters for t in found.totals] == [0, 12]


def test_the_same_operation_in_other_words_stands_beside_it() -> None:
    x = torch.randn(2, 3, 5)
    found = tracer.compare(trace(Gate(None), x), trace(Written(), x))
    both = [pair for pair in pairs(found) if "" not in pair]
    assert both == [("mean", "mean"), ("sigmoid", "sigmoid"), ("mul", "mul")]


def test_another_operation_at_the_same_place_stands_beside_it() -> None:
    """`self.layer(...)` is a linear layer in one, a softmax in the other."""
    x = torch.randn(2, 3, 5)
    found = tracer.compare(trace(Gate(nn.Linear(3, 3)), x), trace(Gate(nn.Softmax(-1)), x))
    assert ("linear", "softmax") in pairs(found)
    assert all(pair.same for pair in found.pairs)


def test_dimensions_that_differ() -> None:
    one, other = trace(Gate(None), torch.randn(2, 3, 5)), trace(Gate(None), torch.randn(2, 4, 6))
    found = tracer.compare(one, other)
    assert [pair.outputs for pair in found.pairs] == [((1,),), ((1,),), ((1,),), ((1, 2),)]
    halves = trace(Gate(None), torch.randn(2, 3, 5, dtype=torch.float64))
    assert {pair.outputs for pair in tracer.compare(one, halves).pairs} == {(None,)}


@pytest.mark.parametrize("seed", range(20))
def test_every_step_of_both_is_there_once_and_in_its_order(seed: int) -> None:
    draw = random.Random(seed)
    one, other = (shipped.default(draw.choice(LESSONS).key) for _ in "ab")
    assert one is not None
    assert other is not None
    found = tracer.compare(one, other).pairs
    assert [pair.one for pair in found if pair.one] == list(one.steps)
    assert [pair.other for pair in found if pair.other] == list(other.steps)
    assert all(pair.one or pair.other for pair in found)
    turned = tracer.compare(other, one).pairs
    assert sum(pair.same for pair in turned) == sum(pair.same for pair in found)


class Chain(nn.Module):
    """Results of 400, 200 and 40 bytes for each sample, each read by the next; at the end of
    `keeps` the first is read again."""

    def __init__(self, keeps: bool) -> None:
        super().__init__()
        self.keeps = keeps
        self.a, self.b, self.c = nn.Linear(7, 100), nn.Linear(100, 50), nn.Linear(50, 10)

    def forward(self, x: Tensor) -> Tensor:
        first = self.a(x)
        looked = first.view(-1, 2, 50)
        out = self.c(self.b(first))
        if self.keeps:
            return out + looked.sum((1, 2), keepdim=False)[:, None]
        return out


def test_the_most_memory_at_once_is_of_what_is_still_read() -> None:
    """Worked out by hand: 400 + 200 bytes beside each other; where the first is read at the end by
    another look at it, 400 + 200 + 40."""
    x = torch.randn(1, 7)
    freed, kept = (
        tracer.compare(t, t).totals[0] for t in (trace(Chain(k), x) for k in (False, True))
    )
    assert freed.peak == 600
    assert freed.bytes == 640
    assert kept.peak == 640
    assert kept.bytes == 640 + 4 + 40


@pytest.mark.parametrize("key", [each.key for each in LESSONS])
def test_totals_are_what_the_costs_of_the_steps_come_to(key: str) -> None:
    """The page says both by the same words."""
    run = shipped.default(key)
    assert run is not None
    found = tracer.compare(run, run).totals[0]
    assert found.bytes == sum(cost.bytes for cost in run.costs)
    assert found.flops == sum(cost.flops for cost in run.costs)
    assert max(cost.bytes for cost in run.costs) <= found.peak <= found.bytes


def test_what_grows_is_told_of_runs_with_formulas() -> None:
    plain = trace(Chain(False), torch.randn(1, 7))
    assert tracer.compare(plain, plain).totals[0].growth == ()
    named = trace(Chain(False), torch.randn(3, 7), dims={"x": "B 7"})
    (growth,) = tracer.compare(named, named).totals[0].growth
    assert (growth.size, growth.bytes, growth.flops) == ("B", 2.0, 2.0)


def test_as_text() -> None:
    x = torch.randn(2, 3, 5)
    text = str(tracer.compare(trace(Gate(None), x), trace(Gate(nn.Linear(3, 3)), x)))
    assert text.startswith("Gate and Gate: 5 steps, 1 differ.\n  Gate: 0 parameters, 0 FLOPs, ")
    assert "  Gate: 12 parameters, 36 FLOPs, " in text
    assert "\n  + layer, line " in text


def test_long_runs_are_aligned_as_far_as_they_are_alike() -> None:
    class Long(nn.Module):
        def __init__(self, count: int, last: bool) -> None:
            super().__init__()
            self.count, self.last = count, last

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(self.count):
                x = F.relu(x)
            return torch.tanh(x) if self.last else torch.exp(x)

    x = torch.randn(2)
    found = tracer.compare(trace(Long(500, True), x), trace(Long(400, False), x))
    assert sum(pair.same for pair in found.pairs) == 400
