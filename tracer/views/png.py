"""Heatmaps as PNG: one of a tensor, and those of a whole run in one archive."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tracer.document import TensorNote, Trace
from tracer.views import colours, rounding

LONGER = 480
"""Pixels of a picture's longer side."""

_BORN = (1980, 1, 1, 0, 0, 0)
"""The same pictures are the same archive."""


def pictures(trace: Trace) -> bytes:
    """A zip with a PNG for each input (`00-x.png`) and each result (`03-theta.png`, by the number
    of its step) that has a heatmap."""
    level = rounding.level(trace)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, note in _named(trace):
            heatmap = note.heatmap
            if heatmap is not None and heatmap.rows * heatmap.columns:
                entry = zipfile.ZipInfo(f"{name}.png", _BORN)
                archive.writestr(entry, png(note, level=note.id in level))
    return file.getvalue()


def _named(trace: Trace) -> Iterator[tuple[str, TensorNote]]:
    """What is given and what is made, each under a name of its own that any system takes."""
    given = [(0, note) for note in trace.inputs]
    made = [(step.index + 1, note) for step in trace.steps for note in step.outputs]
    digits = max(2, len(str(len(trace.steps))))
    taken: set[str] = set()
    for number, note in [*given, *made]:
        word = re.sub(r"[^A-Za-z0-9_.]+", "-", note.name).strip("-.")[:60] or "result"
        name = stem = f"{number:0{digits}}-{word}"
        again = 1
        while name in taken:
            again += 1
            name = f"{stem}-{again}"
        taken.add(name)
        yield name, note


def png(note: TensorNote, *, level: bool = False) -> bytes:
    """A tensor's heatmap as PNG, in the proportions of its two axes; of one colour where it is
    `level` (see `tracer.views.rounding`).

    Raises:
        ValueError: it has no heatmap, or an empty one.
    """
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
        return round(LONGER / ratio), LONGER
    return LONGER, round(LONGER * ratio)
