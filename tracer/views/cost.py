"""What a run costs as its sizes change: memory and floating-point operations, from the formulas of
its steps.  Needs nothing but the trace, so that a saved one tells as much."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import plotly.graph_objects as go

from tracer.arithmetic import value
from tracer.document import Cost, Formula, Trace
from tracer.views import colours
from tracer.views.figures import calm


@dataclass(frozen=True)
class Curve:
    """Bytes of all tensors made, and floating-point operations, at each of `sizes` of one symbol,
    the others being as in the run."""

    sizes: tuple[int, ...]
    bytes: tuple[int, ...]
    flops: tuple[int, ...]


def curve(trace: Trace, name: str, sizes: Sequence[int]) -> Curve:
    """What the run would cost at other values of one symbol.

    A step without a formula counts what it costs in the run.  Sizes at which a formula has no
    value are left out.
    """
    here = {symbol.name: symbol.value for symbol in trace.symbols}
    points = []
    for size in sizes:
        at = {**here, name: size}
        try:
            points.append((size, _sum(trace, at, "bytes"), _sum(trace, at, "flops")))
        except ValueError:
            continue
    return (
        Curve(*(tuple(column) for column in zip(*points, strict=True)))
        if points
        else Curve((), (), ())
    )


def _sum(trace: Trace, at: Mapping[str, int], what: str) -> int:
    total = Fraction(0)
    for cost in trace.costs:
        formula: Formula | None = getattr(cost, f"{what}_formula")
        total += getattr(cost, what) if formula is None else value(formula.text, at)
    return max(0, int(total))


def choices(trace: Trace) -> list[str]:
    """The symbols on which the costs depend, the one on which they depend most first."""
    here = {symbol.name: symbol.value for symbol in trace.symbols}
    found: list[tuple[float, int, str]] = []
    for name, size in here.items():
        grown = curve(trace, name, (size, 2 * size))
        if len(grown.sizes) == 2 and (grown.bytes[0], grown.flops[0]) != (
            grown.bytes[1],
            grown.flops[1],
        ):
            factor = grown.bytes[1] / max(1, grown.bytes[0]) + grown.flops[1] / max(
                1, grown.flops[0]
            )
            found.append((-factor, len(found), name))
    return [name for _, _, name in sorted(found)]


def range_of(size: int) -> tuple[int, ...]:
    """Sizes from an eighth to eight times this one, evenly spread on a logarithmic scale."""
    spread = (round(size * 2 ** (step / 4)) for step in range(-12, 13))
    return tuple(sorted({max(1, each) for each in spread}))


def figure(trace: Trace, name: str, *, memory: str = "memory", flops: str = "FLOPs") -> go.Figure:
    """Memory and floating-point operations against one size, both axes logarithmic; the run's own
    size is marked.  `memory` and `flops` are what the two lines are called."""
    here = next(symbol.value for symbol in trace.symbols if symbol.name == name)
    found = curve(trace, name, range_of(here))
    drawn = go.Figure()
    lines = (
        (memory, found.bytes, colours.FIRST_SERIES, "y", "%{y:.3~s}B", "solid"),
        (flops, found.flops, colours.SECOND_SERIES, "y2", "%{y:.3~s}", "dash"),
    )
    for title, values, colour, axis, shown, dash in lines:
        if not any(values):
            continue
        drawn.add_trace(
            go.Scatter(
                x=found.sizes,
                y=values,
                name=title,
                yaxis=axis,
                mode="lines",
                line={"color": colour, "width": 2.5, "dash": dash},
                hovertemplate=f"{name} = %{{x}}<br>{title} <b>{shown}</b><extra></extra>",
            )
        )
    drawn.add_vline(x=here, line={"width": 1, "dash": "dot", "color": colours.MARK})
    drawn.update_xaxes(title=name, type="log", dtick=math.log10(2), tickformat="d")
    drawn.update_layout(
        yaxis={
            "title": memory,
            "type": "log",
            "dtick": 1,
            "tickformat": ".2~s",
            "ticksuffix": "B",
        },
        yaxis2={
            "title": flops,
            "type": "log",
            "dtick": 1,
            "tickformat": ".2~s",
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
        },
        hovermode="x unified",
    )
    return calm(drawn, height=340)


def largest(costs: Sequence[Cost], what: str, count: int = 8) -> list[int]:
    """The indices of the steps that take most of `bytes` or `flops`, the most expensive first."""
    order = sorted(range(len(costs)), key=lambda i: -getattr(costs[i], what))
    return [i for i in order if getattr(costs[i], what) > 0][:count]
