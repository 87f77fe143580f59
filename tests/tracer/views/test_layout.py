"""Where a run's graph stands: everything in order from top to bottom, and nothing over another."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tracer
from modules import LESSONS, lesson
from modules.lesson import run
from tracer.views.graph import MAX_NODES
from tracer.views.layout import layout
from tracer.views.player import payload


def laid_out(key: str) -> dict[str, Any]:
    found = layout(run(lesson(key), lesson(key).settings(), values=False, diagnose=False))
    assert found is not None
    return found


def boxes(graph: dict[str, Any]) -> Iterator[tuple[float, float, float, float]]:
    """Of each node its left, top, right and bottom."""
    for node in graph["nodes"]:
        wide, high = node["width"] / 2, node["height"] / 2
        yield node["x"] - wide, node["y"] - high, node["x"] + wide, node["y"] + high


KEYS = [each.key for each in LESSONS]


@pytest.mark.parametrize("key", KEYS)
def test_nothing_stands_over_another_and_all_on_the_paper(key: str) -> None:
    graph = laid_out(key)
    for one, other in itertools.combinations(boxes(graph), 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one, other)
    for left, top, right, bottom in boxes(graph):
        assert left >= 0
        assert top >= 0
        assert right <= graph["width"]
        assert bottom <= graph["height"]


@pytest.mark.parametrize("key", KEYS)
def test_a_step_stands_below_what_it_reads(key: str) -> None:
    graph = laid_out(key)
    assert graph["edges"]
    for edge in graph["edges"]:
        assert graph["nodes"][edge["from"]]["y"] < graph["nodes"][edge["to"]]["y"]


@pytest.mark.parametrize("key", KEYS)
def test_a_chapter_holds_its_steps_and_no_others(key: str) -> None:
    one = lesson(key)
    trace = run(one, one.settings(), values=False, diagnose=False)
    graph = layout(trace)
    assert graph is not None
    assert [frame["title"] for frame in graph["frames"]] == [c.title for c in trace.chapters]
    for frame, chapter in zip(graph["frames"], trace.chapters, strict=True):
        for node, (left, top, right, bottom) in zip(graph["nodes"], boxes(graph), strict=True):
            inside = (
                frame["x"] <= left
                and right <= frame["x"] + frame["width"]
                and frame["y"] <= top
                and bottom <= frame["y"] + frame["height"]
            )
            of_it = node["start"] is not None and chapter.start <= node["start"] < chapter.stop
            assert inside == of_it, (frame["title"], node["lines"])


def test_every_step_is_there_once_and_every_tensor_has_its_shape() -> None:
    one = lesson("dycaconv")
    trace = run(one, one.settings(), values=False, diagnose=False)
    graph = layout(trace)
    assert graph is not None
    starts = [node["start"] for node in graph["nodes"] if node["start"] is not None]
    assert sorted(starts) == list(range(len(trace.steps)))
    named = {(shape["node"], shape["note"]) for shape in graph["shapes"]}
    assert {(edge["from"], edge["note"]) for edge in graph["edges"]} == named


class Long(nn.Module):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.inner = Same(steps)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.inner(x))


class Same(nn.Module):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.steps):
            x = torch.relu(x)
        return x


def test_what_is_too_large_is_drawn_by_its_parts_or_not_at_all() -> None:
    graph = layout(tracer.trace(Long(MAX_NODES), torch.ones(2)))
    assert graph is not None
    spans = [(node["start"], node["stop"]) for node in graph["nodes"] if node["start"] is not None]
    assert spans == [(0, MAX_NODES), (MAX_NODES, 2 * MAX_NODES)]
    assert layout(tracer.trace(Same(MAX_NODES), torch.ones(2))) is None


def test_a_run_without_steps_has_no_graph_to_fail_over() -> None:
    graph = layout(tracer.trace(nn.Identity(), torch.ones(2)))
    assert graph is None or json.dumps(graph)


def test_the_player_and_so_each_exported_file_carries_it() -> None:
    trace = run(lesson("eca-image"), lesson("eca-image").settings(), values=False)
    assert payload(trace)["graph"] == layout(trace)
