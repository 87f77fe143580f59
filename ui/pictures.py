"""The gallery's pictures: of each lesson one tensor, as the run at its default sizes makes it."""

from __future__ import annotations

from modules import lesson
from modules.lesson import tensor
from tracer.views import rounding
from tracer.views.png import png
from ui import run as runs
from ui.view import View, default_view, preset_view

LARGE = 10**9
"""Bytes from which a thumbnail is made of one example instead of the batch."""


def drawn(key: str) -> bytes:
    """The lesson's picture as PNG, from a run at its default sizes, or at its first preset that
    fits into memory.

    Raises:
        ValueError: no run fits, or its tensor cannot be drawn.
        CannotRun: it cannot be built, or memory ran out.
    """
    view = _affordable(default_view(key))
    if view is None:
        raise ValueError(f"No run of {key} fits into memory.")
    trace = runs.values(view).trace
    note = tensor(trace, lesson(key).map)
    return png(note, level=note.id in rounding.level(trace))


def _affordable(view: View) -> View | None:
    for candidate in (view, *(preset_view(view, p.name) for p in lesson(view.lesson).presets)):
        shapes = runs.outline(candidate).trace
        if candidate.values and shapes.failure is None and runs.forecast(shapes).fits:
            large = runs.forecast(shapes).bytes > LARGE and "B" in dict(candidate.settings)
            # A picture shows the first of the batch: where many would take long, one does.
            return candidate.with_settings({"B": 1}) if large else candidate
    return None
