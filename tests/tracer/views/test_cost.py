"""What a run costs at other sizes, read from the formulas of a trace alone."""

from __future__ import annotations

import random

import pytest

from modules import LESSONS, lesson
from modules.lesson import Lesson, with_formulas
from modules.lesson import run as run_lesson
from tests.effort import one_of_each
from tests.together import together
from tests.tracer.test_formulas import ORDER, SIZES, random_expression
from tracer import Trace
from tracer.arithmetic import value
from tracer.formulas.writing import evaluate, simplified, written
from tracer.sentences import ToldError
from tracer.views import cost, growth
from tracer.views.summary import summary
from ui import shipped


@together("seed", range(80))
def test_a_formula_that_was_written_can_be_read(seed: int) -> None:
    draw = random.Random(seed)
    expression = simplified(random_expression(draw, draw.randint(1, 3)))
    text = written(expression, ORDER).text
    for _ in range(8):
        sizes = {name: draw.choice(SIZES) for name in "BCHWr"}
        assert value(text, sizes) == evaluate(expression, sizes), text


@together(
    "text",
    [
        "",
        "H +",
        "Q",
        "H.bit_length()",
        "__import__('os')",
        "9**9**9**9",
        "H⁹⁹",
        "'a'*H",
        "[H for H in x]",
        "H/0",
        "⌊H",
        "(" * 500 + "H" + ")" * 500,
        "H" * 5000,
        "max()",
        "lambda: H",
    ],
)
def test_what_is_no_formula_is_refused(text: str) -> None:
    """A trace file may come from anyone."""
    with pytest.raises(ValueError, match="formula"):
        value(text, {"H": 3})


def formulated(each: Lesson, **changes: int) -> Trace:
    settings = {**each.settings(), **changes}
    return with_formulas(each, run_lesson(each, settings, values=False), settings)


def test_a_curve_is_what_runs_at_these_sizes_cost() -> None:
    each = lesson("non-local")
    found = growth.curve(formulated(each), "H", (5, 10, 20))
    assert found.sizes == (5, 10, 20)
    for size, memory, flops in zip(found.sizes, found.bytes, found.flops, strict=True):
        there = formulated(each, H=size)
        assert memory == sum(c.bytes for c in there.costs)
        assert flops == sum(c.flops for c in there.costs)


@pytest.mark.parametrize("key", one_of_each(each.key for each in LESSONS))
def test_what_doubling_a_size_does_is_what_a_run_of_twice_the_size_takes(key: str) -> None:
    each, trace = lesson(key), shipped.default(key)
    assert trace is not None
    before = summary(run_lesson(each, each.settings(), values=False)).flops
    looked_at = 0
    for symbol in trace.symbols:
        grown = growth.doubled(trace, symbol.name)
        settings = {**each.settings(), symbol.name: 2 * symbol.value}
        try:
            there = run_lesson(each, settings, values=False, diagnose=False)
        except ToldError:
            continue
        if grown is None or there.failure is not None:
            continue
        if grown[1] is not None:
            looked_at += 1
            assert grown[1] * before == pytest.approx(summary(there).flops), symbol.name
    assert looked_at >= 2 or key in WITHOUT


WITHOUT = ("eca-image", "eca-sequence")
"""The kernel of ECA is a number of the channels' logarithm: no formula, and nothing said."""


def test_costs_without_a_formula_are_not_told_as_if_they_stayed() -> None:
    trace = shipped.default("eca-image")
    assert trace is not None
    assert growth.curve(trace, "B", (2, 4)).flops == ()
    assert growth.doubled(trace, "B") == (2.0, None)
    assert [step.expression for step in growth.unknown(trace, "flops")] == ["self.conv(line)"]
    assert growth.unknown(trace, "bytes") == []


def test_a_saved_trace_tells_as_much() -> None:
    trace = formulated(lesson("coordatt"))
    again = Trace.from_json(trace.to_json())
    for name in growth.choices(trace):
        assert growth.curve(again, name, (3, 9)) == growth.curve(trace, name, (3, 9))


def test_the_size_that_matters_most_comes_first() -> None:
    names = growth.choices(formulated(lesson("non-local")))
    assert set(names[:2]) == {"H", "W"}
    assert "B" in names


def test_sizes_without_a_value_are_left_out() -> None:
    trace = formulated(lesson("squeeze-excite"))
    assert growth.curve(trace, "reduction", (0, 4)).sizes == (4,)


def test_the_figure_marks_the_run() -> None:
    trace = formulated(lesson("non-local"))
    drawn = cost.figure(trace, "H", memory="Speicher")
    assert [line.name for line in drawn.data] == ["Speicher", "FLOPs"]
    assert 10 in drawn.data[0].x
    assert drawn.layout.xaxis.title.text == "H"
    (mark,) = drawn.layout.shapes
    assert mark.x0 == mark.x1 == 10


def test_sizes_around_one() -> None:
    assert cost.range_of(1)[0] == 1
    assert cost.range_of(100)[0] <= 13
    assert cost.range_of(100)[-1] >= 800


def test_the_steps_that_cost_most() -> None:
    trace = formulated(lesson("non-local"))
    order = cost.largest(trace.costs, "flops", 3)
    flops = [trace.costs[index].flops for index in order]
    assert flops == sorted((c.flops for c in trace.costs), reverse=True)[:3]
