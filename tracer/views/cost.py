"""What a run costs, drawn: its most expensive steps, and both costs against one of its sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from tracer.document import Cost, Trace
from tracer.views import colours
from tracer.views.figures import calm
from tracer.views.growth import curve


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
