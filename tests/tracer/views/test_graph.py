"""The graph of a trace."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from modules import LESSONS
from modules.lesson import run
from tests.tracer.views.symbolic import with_formulas
from tracer import Trace, trace
from tracer.views.graph import MAX_NODES, dot, levels, too_large

NODE = re.compile(r'^\t*"?([\w-]+)"? \[(?!.*arrow)(.*?)\]$', re.M | re.S)
EDGE = re.compile(r'^\t"?([\w-]+)"? -> "?([\w-]+)"? \[label="? ?(.*?) ?"?\]$', re.M)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return torch.relu(y)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Block()
        self.second = Block()

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(x)
        b = self.second(a)
        total = a + b
        total += x
        return total * total


@pytest.fixture(scope="module")
def two() -> Trace:
    return trace(Two(), torch.randn(3, 4))


def ids(source: str) -> set[str]:
    return set(re.findall(r'id="?([\w-]+)"?', source))


def edges(source: str) -> set[tuple[str, str, str]]:
    return set(EDGE.findall(source))


def test_edges_and_inputs_as_formulas(two: Trace) -> None:
    symbolic = with_formulas(two, {"B": 3}, {3: "B"})
    assert dot(symbolic) == dot(two)
    labels = {label for _, _, label in edges(dot(symbolic, symbols=True))}
    assert labels == {"(B, 4)"}
    assert "x\n(B, 4)" in dot(symbolic, 0, symbols=True)
    assert dot(two, symbols=True) == dot(two)


def test_every_step_is_a_node_and_every_tensor_an_edge(two: Trace) -> None:
    source = dot(two)
    assert {f"step-{step.index}" for step in two.steps} <= ids(source)
    given = f"given-{two.inputs[0].id}"
    names = {step.expression: step.index for step in two.steps}
    add, inplace, product = names["a + b"], names["total += x"], names["total * total"]
    found = edges(source)
    shape = "(3, 4)"
    assert (given, "step-0", shape) in found
    assert ("step-0", "step-1", shape) in found
    assert ("step-1", f"step-{add}", shape) in found
    assert ("step-3", f"step-{add}", shape) in found
    assert (f"step-{add}", f"step-{inplace}", shape) in found
    assert (given, f"step-{inplace}", shape) in found
    assert (f"step-{inplace}", f"step-{product}", shape) in found
    assert (f"step-{product}", "result-0", shape) in found
    # x * x is one edge, and weights are none.
    assert len(found) == 10


def test_modules_are_frames_around_their_steps(two: Trace) -> None:
    source = dot(two)
    for name, inside in (("first", {"step-0", "step-1"}), ("second", {"step-2", "step-3"})):
        frame = re.search(rf"subgraph cluster_\d+ \{{[^}}]*{name} · Block[^}}]*\}}", source)
        assert frame is not None
        assert ids(frame[0]) & {f"step-{n}" for n in range(9)} == inside


def test_a_level_shows_each_call_inside_as_one_node(two: Trace) -> None:
    source = dot(two, 0)
    first, second = (call for call in two.calls if call.type == "Block")
    one = f"call-{first.index}-{first.start}-{first.stop}"
    other = f"call-{second.index}-{second.start}-{second.stop}"
    assert {one, other} <= ids(source)
    assert not {"step-0", "step-1", "step-2", "step-3"} & ids(source)
    assert (one, other, "(3, 4)") in edges(source)
    assert "cluster" not in source
    inside = dot(two, second.index)
    assert ids(inside) >= {"step-2", "step-3", f"given-{second.inputs[0].id}"}
    assert "step-0" not in ids(inside)


def test_levels_are_the_calls_with_something_inside(two: Trace) -> None:
    assert [call.module for call in levels(two)] == ["", "first", "second"]


def test_a_run_of_thousands_of_steps_is_too_large() -> None:
    class Long(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(MAX_NODES + 1):
                x = x + 1
            return x

    assert too_large(trace(Long(), torch.zeros(1), values=False))


def test_too_large_is_decided_by_steps(two: Trace) -> None:
    assert not too_large(two)


def test_weights_are_marked_and_no_edges(two: Trace) -> None:
    assert dot(two).count("learned") == 2


def test_the_failing_step_is_marked() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.transpose(0, 1)
            return x @ x + y

    failed = trace(Broken(), torch.zeros(2, 3))
    assert failed.failure is not None
    source = dot(failed)
    assert re.search(r'class="step failed" id="step-1"', source)
    assert "result-" not in source


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.key)
def test_every_lesson_has_its_graph(lesson) -> None:
    traced = run(lesson, lesson.settings(), values=False)
    source = dot(traced)
    assert {f"step-{step.index}" for step in traced.steps} <= ids(source)
    heads = {head for _, head, _ in edges(source)}
    # Nothing hangs in the air but the inputs and what the forward makes itself.
    from_inputs = {
        f"step-{s.index}"
        for s in traced.steps
        if any(n.kind in ("made", "input") for n in s.inputs)
    }
    assert from_inputs <= heads
    for call in levels(traced):
        assert dot(traced, call.index).startswith("digraph")


def test_text_from_a_trace_cannot_leave_its_label(two: Trace) -> None:
    nasty = '<<b>x</b>> "]; evil [label="\\N\\'
    steps = tuple(replace(step, op=f"torch.{nasty}", targets=(nasty,)) for step in two.steps)
    calls = tuple(replace(call, module=nasty, type=nasty) for call in two.calls)
    for level in (None, 0):
        source = dot(replace(two, steps=steps, calls=calls), level)
        # The same nodes and edges as ever, and no label that Graphviz would read as HTML.
        assert ids(source) == ids(dot(two, level))
        assert edges(source) == edges(dot(two, level))
        assert not re.search(r"label=<", source)
        assert "\\N" not in source.replace("\\\\N", "")


def test_a_trace_without_steps_has_a_graph() -> None:
    class Same(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    traced = trace(Same(), torch.zeros(2))
    assert ("given-" + str(traced.inputs[0].id), "result-0", "(2)") in {
        (tail, head, label.replace(",)", ")")) for tail, head, label in edges(dot(traced))
    }
