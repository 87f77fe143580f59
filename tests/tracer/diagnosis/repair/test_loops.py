"""A loop that an edit made long ends in the code that was edited, nowhere else."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from tests.together import together
from tests.tracer.diagnosis.repair.editing import bench_of, program
from tracer.diagnosis.budget import TooCostly
from tracer.diagnosis.repair.loops import at_most

TWICE = range(2)
COUNTS: Counter[str] = Counter()


class counted:  # noqa: N801 - as the context managers of torch are written
    def __enter__(self) -> None:
        COUNTS["entered"] += 1

    def __exit__(self, *raised: object) -> None:
        COUNTS["left"] += 1


class Repeats(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for each in TWICE:
            COUNTS["bits"] += each.bit_length()
        return x.view(7)


class Reckons(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        size, left = 0, 40
        while size < left:
            size += 1
        return x.view(5 + size)


LIMIT = "left = 0, " + "40"
ENDLESS = "size += " + "1"
LONG = "in " + "TWICE"  # what is edited stands in this file once
SEVEN = "view" + "(7)"


def test_a_loop_ends_where_the_edited_code_calls() -> None:
    model = Repeats()
    bench = bench_of(model, (torch.ones(3),))
    assert bench.plain.error is not None
    longer = program(model, LONG, "in range(10**9)")
    with pytest.raises(TooCostly), at_most(5_000, bench.files):
        bench.shapes(longer)
    assert bench.shapes(program(model, SEVEN, "view(3)")).ran


@together("calls", range(50, 650, 50))
def test_what_runs_the_code_is_never_broken_off(calls: int) -> None:
    """Wherever the last call is: torch's modes, sources and random state are as before."""
    model = Repeats()
    bench = bench_of(model, (torch.ones(3),))
    assert bench.plain.error is not None
    random = torch.random.get_rng_state()
    with contextlib.suppress(TooCostly), at_most(calls, bench.files):
        bench.shapes(program(model, LONG, "in range(50)"))
    assert torch._C._len_torch_dispatch_stack() == torch._C._len_torch_function_stack() == 0
    assert torch.equal(torch.random.get_rng_state(), random)
    assert bench.shapes(program(model, SEVEN, "view(3)")).ran


@together("calls", range(400, 420))
def test_a_with_that_was_entered_is_left(calls: int) -> None:
    def loop() -> None:
        while True:
            with counted():
                len(COUNTS)

    COUNTS.clear()
    with pytest.raises(TooCostly), at_most(calls, frozenset([__file__])):
        loop()
    assert COUNTS["entered"] == COUNTS["left"] > 10


@pytest.mark.skipif(sys.gettrace() is not None, reason="lines are another's to watch")
def test_a_loop_of_plain_arithmetic_ends_too() -> None:
    model = Reckons()
    bench = bench_of(model, (torch.ones(3),))
    assert bench.plain.error is not None
    with pytest.raises(TooCostly), at_most(5_000, bench.files):
        bench.shapes(program(model, ENDLESS, "size += 0"))
    assert sys.gettrace() is None
    with at_most(5_000, bench.files):
        assert bench.shapes(program(model, LIMIT, "left = 0, 9")).error is not None
