"""What operations over space share: their dimensions' names, windows, and what is refused."""

from __future__ import annotations

import re
from typing import Any

from tracer.ops.algebra import below, ceil_div, known
from tracer.ops.bound import RESIZED, SAME, Dim, Window, all_marks, mark, refuse, too_small
from tracer.ops.call import At, Call, Shape, Size, Unclear, need
from tracer.ops.refusal import Refusal, Report, said

CHANNELS = said("Channels")  # they stand first in a sentence; "channels" is what is counted
_HEIGHT, _WIDTH = said("height"), said("width")
NAMES = {1: (said("length"),), 2: (_HEIGHT, _WIDTH), 3: (said("depth"), _HEIGHT, _WIDTH)}
ROLES = {1: ("k",), 2: ("kh", "kw"), 3: ("kt", "kh", "kw")}
LAYOUTS = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}


def spatial(op: str) -> int:
    """The number of spatial dimensions, from the operation's name: 2 of `max_pool2d`."""
    return int(next(letter for letter in op if letter in "123"))


def over_space(name: str) -> int | None:
    """The number of spatial dimensions with which the name of an operation or a layer ends; None
    where it ends with none: 2 of `conv2d`."""
    found = re.search(r"([123])d$", name)
    return int(found[1]) if found else None


def whole_each(call: Call, name: str, count: int, default: Size | None = None) -> Shape:
    """An argument with one number for each spatial dimension.

    Raises:
        Unclear: it was not given and has no default.
    """
    found = call.each(name, count, default)
    if found is None:
        raise Unclear
    return found


def first_place(call: Call, count: int, operand: int = 0) -> int:
    """The first spatial dimension of (N, C, ...) or (C, ...).

    Raises:
        Refused: kind `rank`, the tensor is neither.
    """
    need(bool(call.operands))
    rank = call.operands[operand].rank
    if rank not in (count + 1, count + 2):
        ranks = count + 1, count + 2
        raise refuse("rank", *all_marks(call, operand), rank=ranks[1], ranks=ranks, at=operand)
    return rank - count


def at_least(call: Call, least: int, *names: str) -> None:
    """Whether settings such as a stride are no smaller than `least`.

    Raises:
        Refused: kind `arguments`, with the `argument` and its `value`.
    """
    for name in names:
        for value in call.sizes(name) or ():
            if known(value) and value < least:
                raise too_small(name, value, least)


def windows(room: Size, stride: Size, ceil: bool, whole: Size) -> Size:
    """How many windows there are, every `stride` places: ⌊room / stride⌋ + 1 where `room` is what a
    window can move.  With `ceil` a last one may hang over the end, as long as it begins before
    `whole`, the size with its padding in front."""
    if not ceil:
        return room // stride + 1
    last = ceil_div(room, stride)
    return last + 1 if below(last * stride, whole) else last


def windowed(
    call: Call,
    sources: tuple[At, ...],
    kernel: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    ceil: bool = False,
) -> Dim:
    """The dimension that windows make of another (the documentation of torch.nn.MaxPool2d), the
    first of `sources`; a kernel that is a dimension is the second.

    Raises:
        Refused: kind `kernel`, there is no place for one window.
    """
    at = sources[0]
    size = call.operands[at.operand].shape[at.dim]
    span = dilation * (kernel - 1) + 1
    room = size + 2 * padding - span
    if not ceil and below(room, 0):
        raise _too_large(call, at, span, padding)
    count = windows(room, stride, ceil, size + padding)
    if ceil and below(count, 1):
        raise _too_large(call, at, span, padding)
    window = Window(kernel, stride, padding, dilation, ceil)
    return Dim(count, RESIZED, sources, kind="place", window=window)


def _too_large(call: Call, at: At, span: Size, padding: Size) -> Exception:
    room = call.operands[at.operand].shape[at.dim] + 2 * padding
    return refuse("kernel", mark(call, at), span=span, room=room, padding=padding)


def placed(call: Call, at: At, size: Size) -> Dim:
    """The dimension `at` with as many places as an argument says."""
    return Dim(size, RESIZED, (at,), kind="place", given=True)


def handed(call: Call, operand: int, count: int) -> tuple[Dim, ...]:
    """The first `count` dimensions of an operand."""
    shape = call.operands[operand].shape
    return tuple(Dim(shape[dim], SAME, (At(operand, dim),)) for dim in range(count))


def full(call: Call, operand: int, start: int) -> None:
    """Whether there are entries along every dimension from `start` on.

    Raises:
        Refused: kind `kernel`, with the fact `empty`.
    """
    for dim in range(start, call.operands[operand].rank):
        if below(call.operands[operand].shape[dim], 1):
            raise refuse("kernel", mark(call, At(operand, dim)), empty=True)


# --- reports -------------------------------------------------------------------------------------


def kernel_report(refusal: Refusal, *, kernel: bool = False) -> Report:
    """A window, or the kernel of a convolution, larger than what it has to fit into."""
    facts = refusal.facts
    if facts.get("empty"):
        return _empty_report(refusal)
    at = At(refusal.violation.marks[0].operand, refusal.violation.marks[0].dim)
    values: dict[str, Any] = {
        "who": refusal.who,
        "span": facts["span"],
        "size": refusal.size(at),
        "room": facts["room"],
        "padding": facts["padding"],
        "dim": at.dim,
        "x": refusal.name(at.operand, said("the input")),
        "shape": refusal.shape(at.operand),
        "more": ceil_div(facts["span"] - refusal.size(at).size, 2),
    }
    values["offered"] = (
        said("{size} + 2·{padding} = {room}", **values) if facts["padding"] else facts["room"]
    )
    return Report(
        said(
            "{who} needs its kernel to fit into its (padded) input: {span} > {offered}."
            if kernel
            else "{who} needs its window to fit into its (padded) input: {span} > {offered}.",
            **values,
        ),
        (
            said(
                "The kernel covers {span} and dimension {dim} of {x} {shape} offers {offered}, so "
                "there is no place where it fits. The picture has become too small by here, or was "
                "too small from the start."
                if kernel
                else "The window covers {span} and dimension {dim} of {x} {shape} offers "
                "{offered}, so there is no place where it fits. The picture has become too small "
                "by here, or was too small from the start.",
                **values,
            ),
        ),
        said(
            "Feed a larger input, or shrink it less before {who}, or pad by {more}.",
            **values,
        ),
    )


def _empty_report(refusal: Refusal) -> Report:
    at = refusal.violation.marks[0]
    return Report(
        said(
            "{who} needs entries along every dimension after the batch: dimension {dim} of {x} has "
            "none.",
            who=refusal.who,
            dim=at.dim,
            x=refusal.name(at.operand, said("the input")),
        ),
        (
            said(
                "{x} is {shape}. See which step made a dimension of size 0.",
                x=refusal.name(at.operand, said("the input")),
                shape=refusal.shape(at.operand),
            ),
        ),
    )
