"""A run as slides: a slide for each step, with what the run made and why."""

from __future__ import annotations

import re
from html import unescape

import pytest
import torch

from modules import chinese
from tests.cells import forward_cell
from tests.chinese import english
from tracer import Trace, trace
from tracer.sentences import shape_text
from tracer.views.changes import explain
from tracer.views.rounds import rounds
from tracer.views.slides import slides
from ui import shipped


def plain(page: str) -> list[str]:
    """The text of each slide."""
    return [unescape(re.sub(r"<[^>]+>", " ", each)) for each in page.split("<section>")[1:]]


@pytest.mark.parametrize("key", ["squeeze-excite", "coordatt", "hacnn-regions"])
def test_every_step_has_its_slide_with_shapes_and_reason(key: str) -> None:
    run = shipped.default(key)
    assert run is not None
    deck = plain(slides(run))
    again = {step for each in rounds(run) for step in range(each.start + each.length, each.stop)}
    told = [step for step in run.steps if step.index not in again]
    assert len(deck) == 1 + len(run.chapters) + len(told) + len(rounds(run))
    why = explain(run, {})
    for step in told:
        (slide,) = [each for each in deck if f" {step.index + 1} / {len(run.steps)} " in each]
        assert " ".join(step.expression.split()) in slide
        assert why[step.index].summary in slide
        for note in (*step.inputs, *step.outputs):
            assert shape_text(note) in slide


def test_a_failure_is_the_last_slide() -> None:
    run = trace(forward_cell("x", "y = x.sum(0)\nreturn y.view(5)"), torch.randn(2, 3))
    assert run.failure is not None
    *before, last = plain(slides(run))
    assert "y.view(5)" in last
    assert run.failure.told()[0] in last
    assert sum("y.view(5)" in each for each in before) <= 1


def test_it_is_told_in_chinese() -> None:
    run = shipped.default("hacnn-regions")
    assert run is not None
    page = slides(chinese.in_chinese(run), language="zh")
    assert '<html lang="zh">' in page
    said = re.sub(r"<code>.*?</code>|<h2>.*?</h2>", "", page.partition("<main>")[2])
    said = re.sub(r"<script\b.*", "", said, flags=re.DOTALL)
    lines = [text for text in re.sub(r"<[^>]+>", "\n", said).splitlines() if text.strip()]
    known = [note.name for note in run.tensors().values()]
    assert english(map(unescape, lines), [*known, "HA CNN"]) == {}


def test_names_stay_text() -> None:
    run = trace(forward_cell("x", "y = x.sum(0)\nreturn y"), torch.randn(2, 3))
    hostile = Trace.from_json(run.to_json().replace('"name":"y"', '"name":"<script>"'))
    assert slides(hostile).count("<script") == 1
