"""All channels of a tensor as one picture, in their order or by the attention that they get; the
chosen one large, its weight beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from tracer import TensorNote, Trace
from tracer.ops.steps import call_of
from tracer.views import figures
from ui.language import say
from ui.text import code

SIDE = 640
"""Cells to a side of the whole picture: of larger channels every second, third, … is shown."""


@dataclass(frozen=True)
class Cut:
    """Which dimensions of a tensor are what: its `channels`, the rows and columns of their pictures
    (`plane`, one of them or two), and those of which one index is shown."""

    channels: int
    plane: tuple[int, ...]
    fixed: tuple[int, ...]


def cut(rank: int, channels: int) -> Cut:
    """Of a tensor with these channels: what stands before them counts samples, of what is left the
    last two dimensions are a picture."""
    left = [axis for axis in range(rank) if axis != channels]
    plane = tuple(left[1:] if channels and len(left) > 1 else left)[-2:]
    return Cut(channels, plane, tuple(axis for axis in left if axis not in plane))


def channel_axes(shape: Sequence[int]) -> list[int]:
    """The dimensions that may be channels."""
    if len(shape) < 3:
        return []
    samples = len(shape) > 3  # stand first
    return [axis for axis, size in enumerate(shape) if size > 1 and axis >= samples]


def likely(shape: Sequence[int], letters: Sequence[str]) -> int:
    """Which of them are the channels: those called C, else the dimension behind the samples."""
    axes = channel_axes(shape)
    named = [axis for axis in axes if axis < len(letters) and letters[axis][:1] == "C"]
    behind = 1 if len(shape) > 3 or letters[:1] == ("B",) else 0
    return (named or [axis for axis in axes if axis >= behind] or axes)[0]


# --- attention -----------------------------------------------------------------------------------


def gates(trace: Trace, note: TensorNote, channels: int) -> list[TensorNote]:
    """What the run weighs the tensor's channels with: the factors from 0 to 1, one for each channel
    at least, that it is multiplied with or was made by."""
    found: list[TensorNote] = []
    made, weighed = note.id, {note.id}
    for step in reversed(trace.steps):
        pair = _weighing(step.inputs, channels, call.op if (call := call_of(step)) else "")
        if pair is not None and made in {each.id for each in step.outputs}:
            made = pair[0].id
            found.insert(0, pair[1])
    if found:
        return found
    for step in trace.steps:
        pair = _weighing(step.inputs, channels, call.op if (call := call_of(step)) else "")
        if pair is not None and pair[0].id in weighed:
            found.append(pair[1])
            weighed |= {each.id for each in step.outputs}
    return found


def _weighing(
    inputs: Sequence[TensorNote], channels: int, op: str
) -> tuple[TensorNote, TensorNote] | None:
    """The tensor and its gate, if a product of these two is one of them."""
    if op != "mul" or len(inputs) != 2:
        return None
    for mine, gate in (inputs, inputs[::-1]):
        place = channels - len(mine.shape) + len(gate.shape)
        fits = len(mine.shape) > channels and 0 <= place < len(gate.shape)
        if fits and gate.shape[place] == mine.shape[channels] and _is_share(gate):
            return mine, gate
    return None


def _is_share(note: TensorNote) -> bool:
    """Whether the run has made it, of numbers from 0 to 1 alone."""
    stats = note.stats
    if note.kind != "made" or stats is None or stats.minimum is None or stats.maximum is None:
        return False
    return stats.minimum >= 0 and stats.maximum <= 1 and stats.nan == 0


# --- the picture ---------------------------------------------------------------------------------


def channels(
    trace: Trace,
    note: TensorNote,
    values: Tensor,
    names: Sequence[str],
    letters: Sequence[str],
    compute: Callable[[int], Tensor],
) -> None:
    """Draw them. `names` are those of the dimensions, `compute` gives a tensor of the run."""
    shape = tuple(values.shape)
    scope = f"channels/{note.id}/{len(shape)}"
    axes = channel_axes(shape)
    index: dict[int, int] = {}
    with st.container(horizontal=True):
        along = st.selectbox(
            say("Channels"),
            axes,
            axes.index(likely(shape, letters)),
            format_func=lambda axis: f"{names[axis]} ({shape[axis]:,})",
            key=f"{scope}/axis",
        )
        parts = cut(len(shape), along)
        for axis in parts.fixed:
            if shape[axis] > 1:
                last = f"{shape[axis] - 1:,}"
                words = say("Index in {dimension} (0 to {last})", dimension=names[axis], last=last)
                index[axis] = int(
                    st.number_input(words, 0, shape[axis] - 1, 0, key=f"{scope}/{along}/at/{axis}")
                )
    planes = _planes(values, parts, index)
    weighing = gates(trace, note, along)
    weights = _weights(values, weighing, parts, index, compute) if weighing else None
    order = np.arange(len(planes))
    if weights is not None:
        if st.toggle(say("The most attention first"), value=True, key=f"{scope}/sorted"):
            order = np.argsort(-weights, kind="stable")
    else:
        st.caption(
            say("The run multiplies these channels with no numbers from 0 to 1: no attention.")
        )
    left, right = st.columns([3, 2], gap="medium")
    with right:
        chosen = _chosen(planes, order, weights, weighing, f"{scope}/{along}")
    with left:
        _montage(planes, order, weights, chosen)


def _planes(values: Tensor, parts: Cut, index: dict[int, int]) -> np.ndarray:
    """(channels, rows, columns)"""
    for axis in sorted(parts.fixed, reverse=True):
        values = values.select(axis, index.get(axis, 0))
    kept = sorted((parts.channels, *parts.plane))
    values = values.movedim(kept.index(parts.channels), 0).to(torch.float32)
    return values.reshape(len(values), -1, values.shape[-1]).cpu().numpy()


def _weights(
    values: Tensor,
    weighing: Sequence[TensorNote],
    parts: Cut,
    index: dict[int, int],
    compute: Callable[[int], Tensor],
) -> np.ndarray | None:
    """Of each channel the mean of what its places are multiplied with."""
    try:
        product = torch.ones(())
        for gate in weighing:
            product = product * compute(gate.id)
        planes = _planes(product.expand(values.shape), parts, index)
    except (LookupError, RuntimeError, MemoryError):
        return None
    return np.asarray(planes.mean(axis=(1, 2)))


def _chosen(
    planes: np.ndarray,
    order: np.ndarray,
    weights: np.ndarray | None,
    weighing: Sequence[TensorNote],
    scope: str,
) -> int:
    last = len(planes) - 1
    chosen = int(
        st.number_input(
            say("Channel (0 to {last})", last=f"{last:,}"),
            0,
            last,
            int(order[0]),
            key=f"{scope}/{int(order[0])}/chosen",
        )
    )
    if weights is not None:
        rank = int((weights > weights[chosen]).sum()) + 1
        names = ", ".join(code(gate.name or say("unnamed")) for gate in weighing)
        st.markdown(
            say(
                "Weight **{weight}**, number {rank} of {count}: the mean of what its places are "
                "multiplied with, {names}.",
                weight=f"{weights[chosen]:.4g}",
                rank=rank,
                count=f"{len(weights):,}",
                names=names,
            )
        )
    step = math.ceil(max(planes.shape[1:]) / SIDE)
    figure = figures.slice_figure(planes[chosen, ::step, ::step], rows="", columns="")
    figure.update_layout(height=360)
    st.plotly_chart(figure, key="channel", config={"displayModeBar": False})
    return chosen


def _montage(
    planes: np.ndarray, order: np.ndarray, weights: np.ndarray | None, chosen: int
) -> None:
    count, height, width = planes.shape
    across = min(count, max(1, round(math.sqrt(count * (height + 1) / (width + 1)))))
    step = math.ceil(max(across * width, math.ceil(count / across) * height) / SIDE)
    figure = figures.montage_figure(
        planes[order, ::step, ::step],
        across=across,
        names=[
            say("channel {number}", number=number)
            if weights is None
            else say(
                "channel {number}, weight {weight}", number=number, weight=f"{weights[number]:.4g}"
            )
            for number in order
        ],
        chosen=int(np.flatnonzero(order == chosen)[0]),
    )
    st.plotly_chart(figure, key="montage", config={"displayModeBar": False})
    if step > 1:
        st.caption(say("Of rows and columns every {step}th is shown.", step=step))
