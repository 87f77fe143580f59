"""The graph of a run as a picture: one SVG file that any program draws, without a style sheet."""

from __future__ import annotations

from html import escape
from typing import Any

from tracer.document import Trace
from tracer.sentences import shape_text
from tracer.views import colours
from tracer.views.layout import layout

_SCALE = 1.35
"""Pixels of the layout's unit."""

_INK, _PAGE, _FRAME = colours.LIGHT.ink, colours.LIGHT.page, colours.LIGHT.panel
_SOFT = colours.MARK
_FILLS = {"learned": colours.LIGHT.accent, "call": colours.LIGHT.accent, "failed": colours.FAILED}
"""Of nodes, mixed into the page; the others are white."""


def svg(trace: Trace) -> str:
    """Steps as nodes, chapters as frames, and the shape of each tensor under the node that made it.

    Raises:
        ValueError: the run has no steps, or too many to be drawn.
    """
    found = layout(trace)
    if found is None:
        raise ValueError("This run has no graph: it has no steps, or too many to be drawn.")
    width, height = (round(found[side] * _SCALE) for side in ("width", "height"))
    notes = trace.tensors()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {found["width"]} {found["height"]}" '
        f'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="10" fill="{_INK}">',
        f"<title>{escape(trace.name)}</title>",
        f'<rect width="100%" height="100%" fill="{_PAGE}"/>',
        *map(_frame, found["frames"]),
        *map(_edge, found["edges"]),
        *map(_title, found["frames"]),
        *map(_node, found["nodes"]),
        *(_shape(each, shape_text(notes[each["note"]])) for each in found["shapes"]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _frame(frame: dict[str, Any]) -> str:
    x, y = frame["x"], frame["y"]
    return (
        f'<rect x="{x}" y="{y}" width="{frame["width"]}" height="{frame["height"]}" rx="6" '
        f'fill="{_FRAME}" stroke="{colours.LIGHT.line}"/>'
    )


def _title(frame: dict[str, Any]) -> str:
    """Over the edges, which may have to pass there."""
    x, y = frame["x"], frame["y"]
    return (
        f'<text x="{x + 8}" y="{y + 13}" font-weight="600" stroke="{_PAGE}" stroke-width="4" '
        f'stroke-linejoin="round" paint-order="stroke">{escape(frame["title"])}</text>'
    )


def _edge(edge: dict[str, Any]) -> str:
    return (
        f'<path d="{edge["path"]}" fill="none" stroke="{_SOFT}"/>'
        f'<polygon points="{edge["tip"]}" fill="{_SOFT}"/>'
    )


def _node(node: dict[str, Any]) -> str:
    width, height = node["width"], node["height"]
    left, top = node["x"] - width / 2, node["y"] - height / 2
    fill = next((_FILLS[kind] for kind in node["kind"].split() if kind in _FILLS), "")
    round_ = height / 2 if node["kind"] in ("given", "result") else 4
    box = f'x="{left:.1f}" y="{top:.1f}" width="{width}" height="{height}" rx="{round_:.1f}"'
    tint = f'<rect {box} fill="{fill}" fill-opacity="0.16"/>' if fill else ""
    first = node["y"] - 13 * (len(node["lines"]) - 1) / 2 + 3.5
    rows = "".join(
        f'<text x="{node["x"]}" y="{first + 13 * row:.1f}" text-anchor="middle" '
        f'font-weight="{400 if row else 600}">{escape(line)}</text>'
        for row, line in enumerate(node["lines"])
    )
    return f'<rect {box} fill="{colours.WHITE}" stroke="{_SOFT}"/>{tint}{rows}'


def _shape(shape: dict[str, Any], text: str) -> str:
    return (
        f'<text x="{shape["x"]}" y="{shape["y"] + 3.5:.1f}" text-anchor="middle" '
        f'stroke="{_PAGE}" stroke-width="3" paint-order="stroke">{escape(text)}</text>'
    )
