"""What is said of one step: its operation's words over the shapes of the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from tracer.ops.bound import PIECE, Bound, Dim
from tracer.ops.call import Shape
from tracer.sentences import Filling, Said, ShapeOf, said


class Told(NamedTuple):
    """`summary` is one sentence on a step, `changes` a line for what it does not say of a dimension
    that changed."""

    summary: Said
    changes: Sequence[Said] = ()


class Spoken:
    """A step whose call was bound, as the words of its operation see it."""

    def __init__(self, bound: Bound, op: str, reflected: bool = False) -> None:
        self.bound = bound
        self.call = bound.call
        self.name = bound.call.op
        self.op = op  # as recorded: `Tensor.unfold`, `F.unfold`
        self.reflected = reflected
        self.ins = [operand.shape for operand in bound.call.operands]
        self.outs = [operand.shape for operand in bound.call.results] or list(bound.shapes)

    @property
    def x(self) -> Shape:
        return self.ins[0]

    @property
    def out(self) -> Shape:
        return self.outs[0]

    @property
    def arrow(self) -> Said:
        """The first operand's shape → the first result's."""
        return arrow(ShapeOf(self.x), ShapeOf(self.out))


Words = Callable[[Spoken], Told]


# --- parts of sentences --------------------------------------------------------------------------

KEPT = said("Shape kept")
LAST_DIM = said("last dim")
_ORDINALS = (said("first"), said("second"), said("third"), said("fourth"))


def told(effect: Said, how: Said) -> Said:
    """What became of the shape, and how."""
    return said("{effect}: {how}", effect=effect, how=how)


def with_values(sentence: Said, **values: Filling) -> Said:
    """A sentence of a table, with what goes into its gaps."""
    return replace(sentence, values=tuple(values.items()))


def arrow(before: Filling, after: Filling) -> Said:
    """`(2, 3) → (6,)`"""
    return said("{before} → {after}", before=before, after=after)


def pair_arrow(first: Shape, second: Shape, after: Shape) -> Said:
    """`(2, 3), (3, 4) → (2, 4)`"""
    return arrow(joined([ShapeOf(first), ShapeOf(second)]), ShapeOf(after))


def product_arrow(first: Shape, second: Shape, after: Shape) -> Said:
    """`(2, 3) · (3, 4) → (2, 4)`"""
    factors = said("{first} · {second}", first=ShapeOf(first), second=ShapeOf(second))
    return arrow(factors, ShapeOf(after))


def joined(parts: Sequence[Filling]) -> Said:
    """`a, b, c` of at least one."""
    text = said("{part}", part=parts[0])
    for part in parts[1:]:
        text = said("{front}, {part}", front=text, part=part)
    return text


def some_shapes(shapes: Sequence[Shape]) -> Filling:
    """A few shapes, the rest counted."""
    if len(shapes) > 4:
        first = joined([ShapeOf(shape) for shape in shapes[:3]])
        return said("{shapes} and {rest} more", shapes=first, rest=len(shapes) - 3)
    return tuple(map(ShapeOf, shapes))


def times_text(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes))


def by_text(sizes: Iterable[int]) -> str:
    return " × ".join(map(str, sizes))


def dims_text(axes: Sequence[int]) -> Said:
    return said("dims {axes}" if len(axes) > 1 else "dim {axes}", axes=tuple(axes))


def count_text(shape: Iterable[int]) -> Filling:
    """The number of elements; a damaged file may hold sizes too long to print multiplied."""
    count = math.prod(shape)
    return count if count < 10**30 else said("very many")


def window_text(kernel: Shape) -> Filling:
    return times_text(kernel) if len(kernel) > 1 else said("of length {n}", n=kernel[0])


def ordinal(position: int) -> Said:
    if position < len(_ORDINALS):
        return _ORDINALS[position]
    return said("{number}th", number=position + 1)


def size_at(shape: Shape, axis: int) -> int:
    """The size at a negative axis, 1 where the shape is too short."""
    return shape[axis] if -axis <= len(shape) else 1


# --- what became of dimensions -------------------------------------------------------------------


def effect_text(before: Shape, after: Shape, names: Sequence[Said]) -> Said:
    """The shape effect that a summary begins with: the named sizes that did not stay."""
    changes = [
        said("{name} {before} → {after}", name=name, before=a, after=b)
        for name, a, b in zip(names, before, after, strict=True)
        if str(a) != str(b)  # of two formulas, whatever their numbers
    ]
    return joined(changes) if changes else KEPT


def by_reason(
    before: Shape, after: Shape, names: Sequence[Said], reasons: Sequence[Said | None]
) -> list[Said]:
    """Why the named sizes did not stay, what has one reason in one line."""
    found: dict[Said, list[Said]] = {}
    for name, a, b, why in zip(names, before, after, reasons, strict=True):
        if a != b and why is not None:
            found.setdefault(why, []).append(name)
    return [said("{names}: {why}", names=tuple(named), why=why) for why, named in found.items()]


def size_changed(axis: int, before: Shape, after: Shape) -> Said:
    """`dim 2: 8 → 4`; of a single number the size is 1."""
    old = before[axis] if before else 1
    return said("dim {axis}: {before} → {after}", axis=axis, before=old, after=after[axis])


def cut_out(dim: Dim, axis: int, size: int) -> Said:
    """A stretch of a dimension of that size, which is all that is left of it."""
    if dim.how != PIECE or not dim.size:
        return said("dim {axis}: {before} → 0, nothing taken", axis=axis, before=size)
    return said(
        "dim {axis}: {before} → {after}, from {first} to {last}"
        if dim.step == 1
        else "dim {axis}: {before} → {after}, from {first} to {last} in steps of {step}",
        axis=axis,
        before=size,
        after=dim.size,
        first=dim.start,
        last=dim.start + (dim.size - 1) * dim.step,
        step=dim.step,
    )


def entry_taken(axis: int, size: int, entry: int | None) -> Said:
    """Which entry a dimension was reduced to, None where that is not known."""
    return said(
        "dim {axis} ({size}) removed, one entry taken"
        if entry is None
        else "dim {axis} ({size}) removed, entry {entry} taken",
        axis=axis,
        size=size,
        entry=entry,
    )


def property_changed(name: str, before: str, after: str) -> Said:
    """`dtype float32 → int64`"""
    return said("{property} {before} → {after}", property=name, before=before, after=after)


def loss_told(step: Spoken, what: Said) -> Told:
    """What is said of a loss, of which `what` is what it measures."""
    if step.out:
        return Told(said("{arrow}, a number for each: {what}", arrow=step.arrow, what=what))
    return Told(said("One number left: {what}", what=what))
