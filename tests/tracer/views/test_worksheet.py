"""A run as a worksheet: nothing is told before it is asked, and every answer is the run's."""

from __future__ import annotations

import re
from html import unescape

import pytest
import torch

from modules import chinese
from tests.cells import forward_cell
from tests.chinese import english
from tracer import TensorNote, Trace, trace
from tracer.sentences import shape_text
from tracer.views.worksheet import worksheet
from ui import shipped


def halves(page: str) -> tuple[str, str]:
    asked, answers = page.split('<section class="answers">')
    return asked, answers


def plain(part: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", part))


@pytest.mark.parametrize("key", ["squeeze-excite", "coordatt", "hacnn-regions"])
def test_every_question_has_its_answer_and_none_stands_before_it(key: str) -> None:
    run = shipped.default(key)
    assert run is not None
    asked, answers = halves(worksheet(run))
    numbers = [int(each) for each in re.findall(r'<li value="(\d+)">', asked)]
    assert numbers == list(range(1, 1 + len(numbers)))
    rows = re.findall(r"<tr><td>(\d+)</td>(.*?)</tr>", answers, re.DOTALL)
    assert [int(number) for number, _ in rows] == numbers
    given = {"()", *(shape_text(note) for note in (*run.inputs, *_weights(run)))}
    made = {shape_text(note) for step in run.steps for note in step.outputs} - given
    assert [shape for shape in made if shape in plain(asked)] == []
    told = set(re.findall(r"\([\d, ]+\)", plain(answers)))
    assert len(numbers) >= 4
    assert {shape for shape in told if shape in made}
    assert asked.count('class="blanks"') >= len(numbers)


def _weights(run: Trace) -> list[TensorNote]:
    return [note for step in run.steps for note in step.inputs if note.born is None]


def test_what_is_asked_is_what_the_run_made() -> None:
    body = "y = x.reshape(6, 4)\nz = y + 1\nreturn z.sum(0)"
    asked, answers = halves(worksheet(trace(forward_cell("x", body), torch.randn(2, 3, 4))))
    assert "x (2, 3, 4)" in plain(asked)
    assert "y = x.reshape(6, 4)" in plain(asked)
    # An element-wise step is there to be read, and not asked.
    assert "z = y + 1" in plain(asked)
    assert asked.count("<li value=") == 2
    assert "(6, 4)" in plain(answers)
    assert "(4,)" in plain(answers)


def test_a_shape_that_is_an_argument_is_not_told() -> None:
    body = "B, C, N = x.shape\ny = x.view(B, C * N)\nreturn y[:, :C]"
    asked, answers = halves(worksheet(trace(forward_cell("x", body), torch.randn(2, 3, 4))))
    assert "y = x.view(B, C * N)" in plain(asked)
    assert "12" not in plain(asked).partition("y = ")[2].partition("y[")[0]
    assert "(2, 12)" in plain(answers)


def test_it_is_told_in_chinese() -> None:
    run = shipped.default("hacnn-regions")
    assert run is not None
    page = worksheet(chinese.in_chinese(run), language="zh")
    assert '<html lang="zh">' in page
    said = re.sub(r"<code>.*?</code>|<style>.*?</style>|<span class=\"given\">.*?</span>", "", page)
    lines = [text for text in plain(said.partition("<main>")[2]).splitlines() if text.strip()]
    known = [note.name for note in run.tensors().values()]
    assert english(lines, [*known, "HA CNN"]) == {}


def test_names_stay_text() -> None:
    run = trace(forward_cell("x", "y = x.sum(0)\nreturn y"), torch.randn(2, 3))
    hostile = Trace.from_json(run.to_json().replace('"name":"y"', '"name":"<script>"'))
    assert "<script>" not in worksheet(hostile)
