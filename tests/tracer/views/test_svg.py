"""The graph as a file that any program draws."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import torch

from tests.cells import forward_cell
from tracer import Trace, trace
from tracer.sentences import shape_text
from tracer.views.svg import svg
from ui import shipped

SPACE = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(picture).iter(f"{SPACE}text")]


@pytest.mark.parametrize("key", ["coordatt", "hacnn-regions"])
def test_it_has_every_name_shape_and_chapter_of_the_run(key: str) -> None:
    run = shipped.default(key)
    assert run is not None
    found = texts(svg(run))
    assert {chapter.title for chapter in run.chapters} <= set(found)
    made = [note for step in run.steps for note in step.outputs]
    read = {note.id for step in run.steps for note in step.inputs}
    assert {shape_text(note) for note in made if note.id in read} <= set(found)
    told = " ".join(found)
    assert all(note.name in told for note in made)


def test_learned_steps_are_shaded_and_texts_stay_texts() -> None:
    run = trace(forward_cell("x", "y = x + x\nreturn y"), torch.randn(2, 3))
    assert "fill-opacity" not in svg(run)
    assert "fill-opacity" in svg(trace(torch.nn.Linear(3, 4), torch.randn(2, 3)))
    hostile = svg(Trace.from_json(run.to_json().replace('"name":"y"', '"name":"<a>&\\""')))
    assert "<a>" not in hostile
    assert '<a>&"' in texts(hostile)
