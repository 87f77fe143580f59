"""One step of a lesson as the player tells it, in HTML: what home shows beside its first words."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator
from html import escape

from tracer import Step
from tracer.document import TensorNote
from tracer.language import translator
from tracer.views.changes import explain
from tracer.views.colours import DIMENSIONS
from tracer.views.png import png
from ui import shipped
from ui.language import say


@functools.lru_cache(maxsize=8)
def glimpse(key: str, address: str, language: str) -> str:
    """The first step of that lesson at its defaults, as a link to `address`; empty where the lesson
    is to be run anew."""
    trace, lesson = shipped.default(key), shipped.lesson(key)
    if trace is None:
        return ""
    step = trace.steps[0]
    told = explain(trace, translate=translator(language))[0]
    labels = [label for each in (*told.inputs, *told.outputs) for label in each]
    letters = dict.fromkeys(label for label in labels if label.isalpha())
    colours = dict(zip(letters, DIMENSIONS, strict=False))
    where = say(
        "{title}, step {step} of {count}",
        title=escape(say(lesson.title)),
        step=1,
        count=len(trace.steps),
    )
    return (
        f'<p class="where">{where}</p>'
        f'<a href="{escape(address)}" data-lesson="{key}" translate="no">'
        f"<code>{escape(step.expression)}</code></a>"
        f'<div class="flow">{"".join(_tensors(step, told.inputs, told.outputs, colours))}</div>'
        f'<p class="summary">{escape(told.summary)}</p>'
    )


def _tensors(
    step: Step,
    before: tuple[tuple[str, ...], ...],
    after: tuple[tuple[str, ...], ...],
    colours: dict[str, str],
) -> Iterator[str]:
    sides = ((say("before"), step.inputs, before), (say("after"), step.outputs, after))
    for side, notes, labels in sides:
        for note, own in zip(notes, labels, strict=True):
            name = f'<b translate="no">{escape(note.name)}</b>'
            yield (
                f'<div class="tensor"><p><i>{side}</i> {name}</p>'
                f'<p class="cells" translate="no">{"".join(_cells(note, own, colours))}</p>'
                f"{_picture(note)}</div>"
            )


def _cells(note: TensorNote, labels: tuple[str, ...], colours: dict[str, str]) -> Iterator[str]:
    for size, letter in zip(note.shape, labels, strict=True):
        colour = colours.get(letter)
        style = f' style="--dim: {colour}"' if colour else ""
        name = f"<i>{escape(letter)}</i> " if colour else ""
        yield f'<span class="cell"{style}>{name}{size}</span> '


def _picture(note: TensorNote) -> str:
    if note.heatmap is None:
        return ""
    drawn = base64.b64encode(png(note)).decode()
    return f'<img alt="" src="data:image/png;base64,{drawn}">'
