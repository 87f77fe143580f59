"""What the player is given in Chinese has no English in it but code and names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from modules import LESSONS
from modules.lesson import Lesson, run
from tests.chinese import english
from tracer.views.player import payload


def texts(told: Any) -> Iterator[str]:
    """Every text in what is told of steps, but for the letters of dimensions."""
    for one in told:
        yield one["summary"]
        yield from one["changes"]
        yield from texts(one["children"])


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.key)
def test_no_english_is_said_of_a_step(lesson: Lesson) -> None:
    found = run(lesson, lesson.settings(), values=False)
    told = list(texts(payload(found, dict(lesson.dims), "zh")["explanations"]))
    known = [text for step in found.walk() for text in (step.op, step.expression, *step.arguments)]
    assert told
    assert english(told, known) == {}
