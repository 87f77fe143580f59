"""Plotly figures of a tensor's values: a slice at full resolution, and how they are distributed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from tracer.views import colours

_ODD_VALUES = (
    ("NaN", colours.NAN),
    ("+∞", colours.INFINITY),
    ("−∞", colours.MINUS_INFINITY),
)
"""How values that no scale can hold are shown: by a colour and a name of their own."""


# long: one figure, its settings written out
def slice_figure(
    values: npt.ArrayLike,
    *,
    rows: str,
    columns: str,
    first_row: int = 0,
    first_column: int = 0,
    level: bool = False,
) -> go.Figure:
    """A heatmap of one two-dimensional slice, one cell for each element.

    Args:
        values: (rows, columns), real.  NaN and infinities get a layer each and a line in the key.
        rows, columns: what the axes are called.
        first_row, first_column: the indices of the first element, when `values` is a window.

        level: whether the values differ by rounding alone: they are of one colour then.

    A slice with values on both sides of zero gets a scale centred on zero.
    """
    cells = np.asarray(values, dtype=np.float32)
    if cells.ndim != 2:
        raise ValueError(f"A slice has 2 dimensions, not {cells.ndim}.")
    finite = np.isfinite(cells)
    known = cells[finite]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    signed = low < 0 < high
    reach = max(-low, high)
    ends = (-reach, reach) if signed else (low, high)
    if level:
        ends = (low - max(abs(low), 1), high + max(abs(high), 1))
    place = {"x0": first_column, "dx": 1, "y0": first_row, "dy": 1}
    hover = f"{rows} %{{y}}, {columns} %{{x}}<br><b>%{{z}}</b><extra></extra>"
    figure = go.Figure(
        go.Heatmap(
            z=np.where(finite, cells, np.float32(np.nan)),
            zmin=ends[0],
            zmax=ends[1],
            showscale=not level,
            colorscale=colours.SIGNED if signed else colours.ONE_SIDED,
            hovertemplate=hover,
            hoverongaps=False,
            colorbar={"thickness": 12, "outlinewidth": 0, "tickformat": ".3~g"},
            **place,
        )
    )
    masks = (np.isnan(cells), np.isposinf(cells), np.isneginf(cells))
    for (name, colour), mask in zip(_ODD_VALUES, masks, strict=True):
        if mask.any():
            figure.add_trace(
                go.Heatmap(
                    z=np.where(mask, np.float32(1), np.float32(np.nan)),
                    colorscale=((0, colour), (1, colour)),
                    showscale=False,
                    hoverongaps=False,
                    hovertemplate=hover.replace("%{z}", name),
                    **place,
                )
            )
            # A heatmap has no entry in the key: a marker without a point gives it one.
            figure.add_trace(
                go.Scatter(
                    x=[None],
                    y=[None],
                    mode="markers",
                    marker={"symbol": "square", "size": 11, "color": colour},
                    name=f"{name}: {int(mask.sum()):,}",
                    showlegend=True,
                )
            )
    height, width = cells.shape
    figure.update_xaxes(title=columns, constrain="domain", showgrid=False, zeroline=False)
    figure.update_yaxes(title=rows, autorange="reversed", showgrid=False, zeroline=False)
    if max(height, width) <= 4 * max(1, min(height, width)):
        figure.update_yaxes(scaleanchor="x", constrain="domain")
    for update, count in ((figure.update_xaxes, width), (figure.update_yaxes, height)):
        if count <= 10:
            update(dtick=1)
    return calm(figure, height=460)


def montage_figure(
    planes: npt.ArrayLike, *, across: int, names: Sequence[str], chosen: int
) -> go.Figure:
    """All planes beside and below each other on one scale, row by row.

    Args:
        planes: (count, rows, columns), real.
        across: how many stand beside each other.
        names: what is said of each.
        chosen: the place of the one that has a frame.
    """
    cells = np.asarray(planes, dtype=np.float32)
    count, height, width = cells.shape
    down = -(-count // across)
    whole = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan, np.float32)
    said = np.zeros(whole.shape, dtype=np.int32)
    for place, plane in enumerate(cells):
        top, left = _corner(place, across, height, width)
        whole[top : top + height, left : left + width] = plane
        said[top : top + height, left : left + width] = place
    known = whole[np.isfinite(whole)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    reach = max(-low, high)
    signed = low < 0 < high
    figure = go.Figure(
        go.Heatmap(
            z=np.where(np.isfinite(whole), whole, np.float32(np.nan)),
            zmin=-reach if signed else low,
            zmax=reach if signed else high,
            colorscale=colours.SIGNED if signed else colours.ONE_SIDED,
            text=np.asarray(names, dtype=object)[said],
            hovertemplate="%{text}<br><b>%{z}</b><extra></extra>",
            hoverongaps=False,
            colorbar={"thickness": 12, "outlinewidth": 0, "tickformat": ".3~g"},
        )
    )
    top, left = _corner(chosen, across, height, width)
    figure.add_shape(
        type="rect",
        x0=left - 0.5 - min(0.5, width / 40),
        x1=left + width - 0.5 + min(0.5, width / 40),
        y0=top - 0.5 - min(0.5, height / 40),
        y1=top + height - 0.5 + min(0.5, height / 40),
        line={"width": 3, "color": colours.FIRST_SERIES},
    )
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor="x", constrain="domain")
    return calm(figure, height=520)


def _corner(place: int, across: int, height: int, width: int) -> tuple[int, int]:
    """Where a plane of a montage begins: its row and its column, a gap between any two."""
    return place // across * (height + 1), place % across * (width + 1)


def histogram(
    counts: Sequence[int] | npt.NDArray[np.int64],
    low: float,
    high: float,
    *,
    value: str = "value",
    elements: str = "elements",
    between: str = "{low} to {high}",
) -> go.Figure:
    """How often values occur: `counts` of equally wide bins from `low` to `high`.  `value` and
    `elements` are what the axes are called, `between` what a bin is."""
    edges = np.linspace(low, high, len(counts) + 1)
    middles = ((edges[:-1] + edges[1:]) / 2).astype(np.float32)
    texts = [between.format(low=f"{a:.4g}", high=f"{b:.4g}") for a, b in itertools.pairwise(edges)]
    figure = go.Figure(
        go.Bar(
            x=middles,
            y=np.asarray(counts),
            marker={"color": colours.FIRST_SERIES, "line": {"width": 0}},
            customdata=texts,
            hovertemplate=f"%{{customdata}}<br>{elements} <b>%{{y:,}}</b><extra></extra>",
        )
    )
    if low < 0 < high:
        figure.add_vline(x=0, line={"width": 1, "dash": "dot", "color": colours.MARK})
    figure.update_layout(bargap=0.04)
    figure.update_xaxes(title=value)
    figure.update_yaxes(title=elements, rangemode="tozero")
    return calm(figure, height=300)


def calm(figure: go.Figure, height: int) -> go.Figure:
    """The look that all figures share."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        legend={"orientation": "h", "y": 1.08, "x": 0},
        paper_bgcolor=colours.CLEAR,
    )
    return figure
