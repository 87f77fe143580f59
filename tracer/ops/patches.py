"""Windows written out: unfold, fold, and the sliding windows of `Tensor.unfold`."""

from __future__ import annotations

from typing import Any

from tracer.ops import algebra
from tracer.ops.algebra import below, differ, known, product
from tracer.ops.axes import axis_in
from tracer.ops.bound import GROUPED, NEW, RESIZED, Bound, Dim, all_marks, kept, mark, refuse
from tracer.ops.call import At, Call, Shape, need
from tracer.ops.refusal import Count, Refusal, Report, ShapeOf, said
from tracer.ops.reports import setting_report
from tracer.ops.say import (
    Spoken,
    Told,
    times_text,
)
from tracer.ops.space import (
    at_least,
    full,
    handed,
    kernel_report,
    whole_each,
    windowed,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layers

# --- unfold --------------------------------------------------------------------------------------


def _unfold(call: Call) -> Bound:
    """`F.unfold` and `Tensor.unfold` have one name and nothing else in common."""
    return _sliding(call) if "dimension" in call.arguments else _columns(call)


def _columns(call: Call) -> Bound:
    need(bool(call.operands))
    kernel = whole_each(call, "kernel_size", 2)
    at_least(call, 1, "kernel_size", "stride", "dilation")
    at_least(call, 0, "padding")
    rank = call.operands[0].rank
    if rank not in (3, 4):
        raise refuse("rank", *all_marks(call, 0), rank=4, ranks=(3, 4), at=0)
    full(call, 0, rank - 3)
    stride, padding, dilation = _window_settings(call)
    sizes = [
        windowed(call, (At(0, rank - 2 + k),), kernel[k], stride[k], padding[k], dilation[k]).size
        for k in range(2)
    ]
    column = call.operands[0].shape[-3] * product(kernel)
    return Bound(
        call,
        (
            (
                *handed(call, 0, rank - 3),
                Dim(
                    column,
                    GROUPED,
                    (At(0, rank - 3),),
                    group=(column,),
                    inner=(("kh", kernel[0]), ("kw", kernel[1])),
                ),
                Dim(
                    product(sizes),
                    NEW,
                    (At(0, rank - 2), At(0, rank - 1)),
                    hint="L",
                    kind="place",
                ),
            ),
        ),
    )


def _window_settings(call: Call) -> tuple[Shape, Shape, Shape]:
    return (
        whole_each(call, "stride", 2, 1),
        whole_each(call, "padding", 2, 0),
        whole_each(call, "dilation", 2, 1),
    )


def _sliding(call: Call) -> Bound:
    need(bool(call.operands))
    size, step = call.size("size"), call.size("step")
    axis = axis_in(call, call.size("dimension"))
    at_least(call, 1, "step")
    at_least(call, 0, "size")
    dims = list(kept(call))
    whole = call.operands[0].shape[axis] if dims else 1  # a number is a list of one here
    if below(whole, size):
        marks = (mark(call, At(0, axis)),) if dims else ()
        raise refuse("kernel", *marks, span=size, room=whole, dim=axis)
    if dims:
        dims[axis] = Dim((whole - size) // step + 1, RESIZED, (At(0, axis),), kind="place")
    return Bound(call, ((*dims, Dim(size, NEW)),))


# --- fold ----------------------------------------------------------------------------------------


def _fold(call: Call) -> Bound:
    """(N, C·kernel, L) → (N, C, H, W): the windows of `_columns` added where they were."""
    need(bool(call.operands))
    size, kernel = whole_each(call, "output_size", 2), whole_each(call, "kernel_size", 2)
    at_least(call, 1, "output_size", "kernel_size", "stride", "dilation")
    at_least(call, 0, "padding")
    rank = call.operands[0].rank
    if rank not in (2, 3):
        raise refuse("rank", *all_marks(call, 0), rank=3, ranks=(2, 3), at=0)
    full(call, 0, rank - 2)
    stride, padding, dilation = _window_settings(call)
    places = [
        algebra.window(size[k], kernel[k], stride[k], padding[k], dilation[k]) for k in range(2)
    ]
    column, blocks = call.operands[0].shape[-2:]
    wanted = product(places)
    if differ(blocks, wanted) or any(below(place, 1) for place in places):
        raise refuse(
            "split", mark(call, At(0, rank - 1), wanted), wanted=wanted, found=blocks, places=places
        )
    area = product(kernel)
    if known(column) and known(area) and column % area:
        raise refuse("divide", mark(call, At(0, rank - 2)), parts=area, size=column)
    return Bound(
        call,
        (
            (
                *handed(call, 0, rank - 2),
                Dim(column // area, RESIZED, (At(0, rank - 2),), kind="channel"),
                *(Dim(each, NEW, (At(0, rank - 1),)) for each in size),
            ),
        ),
    )


# --- what is said --------------------------------------------------------------------------------


def _unfold_words(step: Spoken) -> Told:
    if "dimension" in step.call.arguments:
        return _sliding_words(step)
    kernel = times_text(whole_each(step.call, "kernel_size", 2))
    axis = len(step.out) - 2
    return Told(
        said(
            "{arrow}: every window of {kernel} written as a column", arrow=step.arrow, kernel=kernel
        ),
        [
            said(
                "dim {axis}: {channels} channels × {kernel} = {n} values of a window",
                axis=axis,
                channels=step.x[-3],
                kernel=kernel,
                n=step.out[-2],
            ),
            said("dim {axis}: {n} windows", axis=axis + 1, n=step.out[-1]),
        ],
    )


def _sliding_words(step: Spoken) -> Told:
    rank, size = len(step.x), step.call.size("size")
    need(rank > 0)
    axis = axis_in(step.call, step.call.whole("dimension"))
    return Told(
        said(
            "{arrow}: windows of {size} along dim {axis}, one every {step}",
            arrow=step.arrow,
            size=size,
            axis=axis,
            step=step.call.whole("step"),
        ),
        [
            said(
                "dim {axis}: {before} → {n} windows",
                axis=axis,
                before=step.x[axis],
                n=step.out[axis],
            ),
            said("dim {axis}: new, {n} values a window", axis=rank, n=size),
        ],
    )


def _fold_words(step: Spoken) -> Told:
    kernel = times_text(whole_each(step.call, "kernel_size", 2))
    return Told(
        said(
            "{arrow}: {n} windows of {kernel} put in place and added",
            arrow=step.arrow,
            n=step.x[-1],
            kernel=kernel,
        ),
        [
            said(
                "dim {axis}: {before} = {channels} channels × {kernel}",
                axis=len(step.x) - 2,
                before=step.x[-2],
                channels=step.out[-3],
                kernel=kernel,
            )
        ],
    )


# --- why it is refused ---------------------------------------------------------------------------


def _unfold_report(refusal: Refusal) -> Report | None:
    kind, facts = refusal.violation.kind, refusal.facts
    if kind == "kernel" and "dim" in facts:
        return _short_report(refusal)
    if kind == "kernel":
        return kernel_report(refusal)
    if kind == "rank":
        return _rank_report(refusal, "(N, C, H, W)")
    return setting_report(refusal) if kind == "arguments" else None


def _short_report(refusal: Refusal) -> Report:
    at, rank = refusal.facts["dim"], refusal.call.operands[0].rank
    room = refusal.facts["room"]
    values: dict[str, Any] = {
        "dim": at,
        "span": refusal.facts["span"],
        "room": room,
        "entries": said("1 entry") if room == 1 else said("{room} entries", room=room),
        "x": refusal.name(0),
        "shape": refusal.shape(0),
    }
    return Report(
        said("unfold needs a window no larger than dimension {dim}: {span} > {room}.", **values),
        (
            said(
                "{x} {shape} has only {entries} along the last dimension."
                if at == rank - 1
                else "{x} {shape} has only {entries} along dimension {dim}.",
                **values,
            ),
        ),
    )


def _rank_report(refusal: Refusal, layout: str) -> Report:
    values: dict[str, Any] = {
        "who": refusal.who,
        "layout": layout,
        "x": refusal.name(0, said("the input")),
        "shape": refusal.shape(0),
        "has": Count(refusal.call.operands[0].rank, "dimension"),
    }
    return Report(
        said("{who} needs an input {layout}, or one without the batch: {x} has {has}.", **values),
        (said("{x} is {shape}.", **values),),
    )


def _fold_report(refusal: Refusal) -> Report | None:
    kind, facts = refusal.violation.kind, refusal.facts
    if kind == "rank":
        return _rank_report(refusal, "(N, C·window, L)")
    if kind == "kernel":
        return kernel_report(refusal)
    if kind not in ("split", "divide"):
        return setting_report(refusal) if kind == "arguments" else None
    call = refusal.call
    size, kernel = whole_each(call, "output_size", 2), whole_each(call, "kernel_size", 2)
    values: dict[str, Any] = {
        "who": refusal.who,
        "x": refusal.name(0, said("the input")),
        "shape": refusal.shape(0),
        "size": times_text(size),
        "kernel": times_text(kernel),
        "stride": ShapeOf(_window_settings(call)[0]),
        "column": refusal.size(At(0, call.operands[0].rank - 2)),
        "blocks": refusal.size(At(0, call.operands[0].rank - 1)),
    }
    if kind == "split":
        high, wide = facts["places"]
        return Report(
            said(
                "{who} needs {high}·{wide} = {wanted} blocks in the last dimension: {blocks} ≠ "
                "{wanted}.",
                **values,
                high=high,
                wide=wide,
                wanted=facts["wanted"],
            ),
            (
                said(
                    "Windows of {kernel} with stride {stride} fill {size} at {wanted} places, and "
                    "{x} {shape} has {blocks} blocks.",
                    **values,
                    wanted=facts["wanted"],
                ),
            ),
        )
    rest = facts["size"] % facts["parts"]
    return Report(
        said(
            "{who} needs channels that divide by the {area} places of its window: {column} % "
            "{area} = {rest}.",
            **values,
            area=facts["parts"],
            rest=rest,
        ),
        (
            said(
                "{x} is {shape}; its last but one dimension holds channels times places.", **values
            ),
        ),
    )


operation("unfold im2col", bind=_unfold, words=_unfold_words, report=_unfold_report)
operation("fold col2im", bind=_fold, words=_fold_words, report=_fold_report)
layers(unfold="Unfold", fold="Fold")
