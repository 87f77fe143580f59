"""The gallery's pictures: of each lesson one tensor, as the run at its default sizes makes it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from modules import lesson
from modules.lesson import tensor
from tracer import TensorNote
from tracer.views import colours, rounding
from ui import run as runs
from ui.view import View, default_view, preset_view

LARGE = 10**9
"""Bytes from which a thumbnail is made of one example instead of the batch."""

PICTURE = 480
"""Pixels of a thumbnail's longer side."""


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
    return thumbnail(note, level=note.id in rounding.level(trace))


def _affordable(view: View) -> View | None:
    for candidate in (view, *(preset_view(view, p.name) for p in lesson(view.lesson).presets)):
        shapes = runs.outline(candidate).trace
        if candidate.values and shapes.failure is None and runs.forecast(shapes).fits:
            large = runs.forecast(shapes).bytes > LARGE and "B" in dict(candidate.settings)
            # A picture shows the first of the batch: where many would take long, one does.
            return candidate.with_settings({"B": 1}) if large else candidate
    return None


def thumbnail(note: TensorNote, *, level: bool = False) -> bytes:
    """A tensor's heatmap as PNG, in the proportions of its two axes; of one colour where it is
    `level` (see `tracer.views.rounding`)."""
    heatmap = note.heatmap
    if heatmap is None or not heatmap.rows * heatmap.columns:
        raise ValueError(f"{note.name} has no heatmap to draw.")
    cells = np.frombuffer(heatmap.cells, "<f4").reshape(heatmap.rows, heatmap.columns)
    low, high = heatmap.low or 0.0, heatmap.high or 0.0
    scale: tuple[str, ...] = colours.ONE_SIDED
    if heatmap.signed:
        scale, high = colours.SIGNED, max(-low, high)
        low = -high
    share = (cells - low) / ((high - low) or 1.0)
    if level:
        share = np.full_like(cells, 0.5)
    known = np.array([colours.channels(colour) for colour in scale])
    stops = np.linspace(0, 1, len(scale))
    finite = np.nan_to_num(share, nan=0, posinf=0, neginf=0)
    pixels = np.stack([np.interp(finite, stops, part) for part in known.T], axis=-1)
    odd = (np.isnan(cells), np.isposinf(cells), np.isneginf(cells))
    own = (colours.NAN, colours.INFINITY, colours.MINUS_INFINITY)
    for colour, where in zip(own, odd, strict=True):
        pixels[where] = colours.channels(colour)
    height, width = _proportions(note)
    image = Image.fromarray(pixels.astype(np.uint8)).resize(
        (width, height), Image.Resampling.NEAREST
    )
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _proportions(note: TensorNote) -> tuple[int, int]:
    heatmap = note.heatmap
    assert heatmap is not None
    rows = note.shape[heatmap.row_axis] if heatmap.row_axis is not None else 1
    columns = note.shape[heatmap.column_axis] if heatmap.column_axis is not None else 1
    # A vector would be a hair: no thumbnail is more than four times as long as wide.
    ratio = min(max(columns / max(rows, 1), 0.25), 4.0)
    if ratio >= 1:
        return round(PICTURE / ratio), PICTURE
    return PICTURE, round(PICTURE * ratio)
