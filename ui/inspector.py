"""The inspector: any slice of any tensor at full resolution, computed again when asked for."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from tracer import TensorNote, Trace
from tracer.views import figures
from tracer.views.graph import shape_text
from ui import player
from ui import run as runs
from ui.language import say
from ui.text import escaped
from ui.view import View

WINDOW = 1024
"""Cells to a side that are sent to the browser at once; a larger slice is shown by windows."""

BINS = 80


def inspector(trace: Trace, view: View) -> None:
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
    with st.container(key="choose-tensor", horizontal=True, vertical_alignment="bottom"):
        place = st.container()
        pressed = player.current_step_button(
            say("Result of step"), say("Look at what this step made")
        )
        if pressed is not None and (found := _result_of(trace, pressed)) in notes:
            st.session_state["inspected"] = found
        if st.session_state.get("inspected") not in notes:
            st.session_state["inspected"] = next(iter(notes))
        chosen = place.selectbox(
            say("Tensor"), list(notes), format_func=lambda i: _title(notes[i]), key="inspected"
        )
    note = notes[chosen]
    try:
        with st.spinner(say("Computing the tensor again …")):
            values = _real(runs.tensor(view, note.id))
    except (LookupError, RuntimeError, MemoryError) as error:
        st.error(
            say(
                "{name} cannot be computed again: {error}",
                name=escaped(_title(note)),
                error=escaped(str(error)),
            )
        )
        return
    if values.numel() == 0:
        st.info(say("{name} has no elements.", name=escaped(_title(note))))
        return
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _slice(note, values)
    with right:
        _distribution(note, values)


def _result_of(trace: Trace, path: str) -> int | None:
    """The id of what the step at the path made, None if there is no such step."""
    steps, found = trace.steps, None
    for part in path.split("."):
        if not part.isdigit() or int(part) >= len(steps):
            return None
        found = steps[int(part)]
        steps = found.children
    return found.outputs[0].id if found is not None and found.outputs else None


def _title(note: TensorNote) -> str:
    born = note.kind if note.born is None else say("step {number}", number=note.born + 1)
    return f"{note.name or say('unnamed')} {shape_text(note)} · {born}"


def _real(values: Tensor) -> Tensor:
    return values.abs() if values.is_complex() else values


def _slice(note: TensorNote, values: Tensor) -> None:
    shape = tuple(values.shape)
    axes = list(range(len(shape)))
    scope = f"{note.id}/{len(shape)}"
    wide = sorted(sorted(axes, key=lambda axis: (shape[axis] > 1, axis))[-2:])
    rows: int | None = None
    columns: int | None = wide[-1] if wide else None
    if len(axes) >= 2:
        with st.container(horizontal=True):
            rows = st.selectbox(
                say("Rows"), axes, index=wide[0], format_func=_axis(shape), key=f"{scope}/rows"
            )
            others = [axis for axis in axes if axis != rows]
            columns = st.selectbox(
                say("Columns"),
                others,
                index=others.index(wide[1]) if wide[1] in others else 0,
                format_func=_axis(shape),
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
                label = say(
                    "Index in dim {axis} (0 to {last})", axis=axis, last=f"{shape[axis] - 1:,}"
                )
                key = f"{scope}/at/{axis}"
                index.append(int(st.number_input(label, 0, shape[axis] - 1, 0, key=key)))
    plane = values[tuple(index)]
    if rows is not None and columns is not None and rows > columns:
        plane = plane.transpose(0, 1)
    plane = plane.reshape(1, -1) if plane.ndim < 2 else plane
    first_row, first_column = _window(plane, scope)
    window = plane[first_row : first_row + WINDOW, first_column : first_column + WINDOW]
    figure = figures.slice_figure(
        _array(window),
        rows=f"dim {rows}" if rows is not None else "",
        columns=f"dim {columns}" if columns is not None else "",
        first_row=first_row,
        first_column=first_column,
    )
    st.plotly_chart(figure, key="slice", config={"displaylogo": False})


def _axis(shape: tuple[int, ...]):  # type: ignore[no-untyped-def]
    return lambda axis: f"dim {axis} ({shape[axis]:,})"


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
        st.plotly_chart(figures.histogram(counts, low, high), key="histogram")
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
