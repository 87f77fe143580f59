"""The inspector: any slice of any tensor at full resolution, computed again when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from tracer import TensorNote, Trace
from tracer.views import figures, rounding
from tracer.views.graph import shape_text
from ui import player
from ui import run as runs
from ui.channels import channel_axes, channels
from ui.held import chosen
from ui.language import language, say
from ui.text import code, escaped

WINDOW = 1024
"""Cells to a side that are sent to the browser at once; a larger slice is shown by windows."""

BINS = 80


def inspector(run: runs.Run, compute: Callable[[int], Tensor]) -> None:
    """What the player's current step made, and with it any other tensor of the run.  `compute`
    gives the one of that id, made again, or raises what says why it cannot."""
    trace = run.trace
    if not trace.values:
        st.info(
            say(
                "This run has shapes alone. Choose “Values” in the sidebar, at sizes that fit into "
                "memory, to look into its tensors."
            )
        )
        return
    notes = {note.id: note for note in trace.tensors().values() if note.stats is not None}
    if not notes:
        st.info(say("This run has no tensors to look into."))
        return
    path = player.followed_step()
    # A step that the reader has just come to; a tensor chosen since then stays chosen.
    if path is not None and path != st.session_state.get("inspected-at"):
        st.session_state["inspected-at"] = path
        if (found := _result_of(trace, path)) in notes:
            st.session_state["inspected"] = found
    if st.session_state.get("inspected") not in notes:
        st.session_state["inspected"] = next(iter(notes))
    chosen = st.selectbox(
        say("Tensor"),
        list(notes),
        format_func=lambda i: _title(notes[i]),
        key="inspected",
        width=600,
    )
    note = notes[chosen]
    try:
        with st.spinner(say("Computing the tensor again …")):
            values = _real(compute(note.id))
    except (LookupError, RuntimeError, MemoryError) as error:
        st.error(
            say(
                "{name} cannot be computed again: {error}",
                name=escaped(_title(note)),
                error=code(str(error)),
            )
        )
        return
    if values.numel() == 0:
        st.info(say("{name} has no elements.", name=escaped(_title(note))))
        return
    letters = run.letters.get(note.id, ())
    names = dimensions(letters, len(values.shape))
    if channel_axes(values.shape) and _shows_channels():
        channels(trace, note, values, names, letters, compute)
        return
    left, right = st.columns([3, 2], gap="medium")
    scale = rounding.scales(trace)[note.id]
    with left:
        _slice(note, values, scale, names)
    with right:
        _distribution(note, values)


def _shows_channels() -> bool:
    """Which of the two ways to look at a tensor the reader has chosen."""
    ways = {False: say("One slice"), True: say("All channels")}
    name = f"inspects-channels/{language()}"
    return chosen(say("What is shown"), ways, "inspects-channels", name)


def _result_of(trace: Trace, path: str) -> int | None:
    """The id of what the step at the path made, None if there is no such step."""
    steps, found = trace.steps, None
    for part in path.split("."):
        if not part.isdigit() or int(part) >= len(steps):
            return None
        found = steps[int(part)]
        steps = found.children
    return found.outputs[0].id if found is not None and found.outputs else None


def dimensions(labels: Sequence[str], rank: int) -> list[str]:
    """What each dimension is called: by its letter, and by its place too where it has none or
    shares it."""
    names = [label if label[:1].isalpha() else "" for label in (*labels, *[""] * rank)][:rank]
    return [
        (name if names.count(name) == 1 else f"{name} ({dim})") if name else dim
        for dim, name in ((say("dim {axis}", axis=axis), name) for axis, name in enumerate(names))
    ]


def _title(note: TensorNote) -> str:
    kinds = {
        "input": say("input"),
        "parameter": say("parameter"),
        "buffer": say("buffer"),
        "constant": say("constant"),
    }
    if note.born is None:
        born = kinds.get(note.kind, note.kind)
    else:
        born = say("step {number}", number=note.born + 1)
    return f"{note.name or say('unnamed')} {shape_text(note)} · {born}"


def _real(values: Tensor) -> Tensor:
    return values.abs() if values.is_complex() else values


def _slice(note: TensorNote, values: Tensor, scale: float, names: Sequence[str]) -> None:
    shape = tuple(values.shape)

    def sized(axis: int) -> str:
        return f"{names[axis]} ({shape[axis]:,})"

    axes = list(range(len(shape)))
    scope = f"{note.id}/{len(shape)}"
    wide = sorted(sorted(axes, key=lambda axis: (shape[axis] > 1, axis))[-2:])
    rows: int | None = None
    columns: int | None = wide[-1] if wide else None
    if len(axes) >= 2:
        with st.container(horizontal=True):
            rows = st.selectbox(
                say("Rows"), axes, index=wide[0], format_func=sized, key=f"{scope}/rows"
            )
            others = [axis for axis in axes if axis != rows]
            columns = st.selectbox(
                say("Columns"),
                others,
                index=others.index(wide[1]) if wide[1] in others else 0,
                format_func=sized,
                key=f"{scope}/columns/{rows}",
            )
    index: list[int | slice] = []
    with st.container(horizontal=True):
        for axis in axes:
            if axis in (rows, columns):
                index.append(slice(None))
            elif shape[axis] == 1:
                index.append(0)
            else:
                last = f"{shape[axis] - 1:,}"
                label = say("Index in {dimension} (0 to {last})", dimension=names[axis], last=last)
                key = f"{scope}/at/{axis}"
                index.append(int(st.number_input(label, 0, shape[axis] - 1, 0, key=key)))
    plane = values[tuple(index)]
    if rows is not None and columns is not None and rows > columns:
        plane = plane.transpose(0, 1)
    plane = plane.reshape(1, -1) if plane.ndim < 2 else plane
    first_row, first_column = _window(plane, scope)
    window = plane[first_row : first_row + WINDOW, first_column : first_column + WINDOW]
    level = _is_level(window, scale, note.dtype)
    figure = figures.slice_figure(
        _array(window),
        rows=names[rows] if rows is not None else "",
        columns=names[columns] if columns is not None else "",
        first_row=first_row,
        first_column=first_column,
        level=level,
    )
    st.plotly_chart(figure, key="slice", config=_tools())
    if level:
        st.caption(say("All equal, but for rounding."))


def _tools() -> dict[str, Any]:
    """The figure's tools, in the reader's language: plotly knows its own words alone."""
    words = {
        "Download plot as a PNG": say("Download plot as a PNG"),
        "Zoom": say("Zoom"),
        "Pan": say("Pan"),
        "Zoom in": say("Zoom in"),
        "Zoom out": say("Zoom out"),
        "Autoscale": say("Autoscale"),
        "Reset axes": say("Reset axes"),
        "Double-click to zoom back out": say("Double-click to zoom back out"),
    }
    key = language()
    return {"displaylogo": False, "locale": key, "locales": {key: {"dictionary": words}}}


def _is_level(plane: Tensor, scale: float, dtype: str) -> bool:
    if plane.numel() < 2 or not bool(torch.isfinite(plane).all()):
        return False
    low, high = (float(bound) for bound in torch.aminmax(plane))
    return rounding.is_level(low, high, scale, dtype)


def _window(plane: Tensor, scope: str) -> tuple[int, int]:
    """Which part of a plane too large to send at once is shown."""
    starts = []
    with st.container(horizontal=True):
        for name, size in zip(("row", "column"), plane.shape, strict=True):
            start = 0
            if size > WINDOW:
                last = int(size) - WINDOW
                label = (
                    say("First row of {window} shown (0 to {last})", window=WINDOW, last=last)
                    if name == "row"
                    else say(
                        "First column of {window} shown (0 to {last})", window=WINDOW, last=last
                    )
                )
                key = f"{scope}/first/{name}/{size}"
                start = int(st.number_input(label, 0, last, 0, step=WINDOW // 2, key=key))
            starts.append(start)
    return starts[0], starts[1]


def _array(values: Tensor) -> np.ndarray:
    return values.to(torch.float32).cpu().numpy()


def _distribution(note: TensorNote, values: Tensor) -> None:
    flat = values.reshape(-1)
    finite = flat.to(torch.float32)
    if note.stats is not None and note.stats.nan + note.stats.inf:
        finite = finite[torch.isfinite(finite)]
    if finite.numel():
        low, high = (float(bound) for bound in torch.aminmax(finite))
        if low == high:
            low, high = low - 0.5, high + 0.5
        counts = torch.histc(finite, BINS, low, high).to(torch.int64).numpy()
        st.plotly_chart(
            figures.histogram(
                counts,
                low,
                high,
                value=say("value"),
                elements=say("elements"),
                between=say("{low} to {high}"),
            ),
            key="histogram",
            config={"displayModeBar": False},
        )
    stats = note.stats
    if stats is None:
        return

    def figure(value: float | None) -> str:
        return say("none") if value is None else f"{value:.6g}"

    st.table(
        {
            say("elements"): f"{stats.count:,}",
            say("type"): note.dtype.removeprefix("torch."),
            say("range"): say(
                "{low} to {high}", low=figure(stats.minimum), high=figure(stats.maximum)
            ),
            say("mean"): figure(stats.mean),
            say("standard deviation"): figure(stats.std),
            say("zeros"): f"{stats.zeros:.2%}",
            "NaN": f"{stats.nan:,}",
            say("infinite"): f"{stats.inf:,}",
            say("memory"): runs.in_bytes(runs.size_of(note)),
        },
        border="horizontal",
    )
