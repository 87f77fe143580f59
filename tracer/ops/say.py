"""What is said of one step: its operation's words over the shapes of the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tracer.ops.call import Shape
from tracer.sentences import listed, plural, shape_text

if TYPE_CHECKING:
    from tracer.ops.bound import Bound


class Told(NamedTuple):
    """`summary` is one sentence on a step, `changes` a line for each dimension that changed."""

    summary: str
    changes: Sequence[str] = ()


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
    def arrow(self) -> str:
        """The first operand's shape → the first result's."""
        return f"{shape_text(self.x)} → {shape_text(self.out)}"


Words = Callable[[Spoken], Told]


# --- small texts ---------------------------------------------------------------------------------

_ORDINALS = ("first", "second", "third", "fourth")


def some_shapes(shapes: Sequence[Shape]) -> str:
    """A few shapes, the rest counted."""
    if len(shapes) > 4:
        return f"{', '.join(map(shape_text, shapes[:3]))} and {len(shapes) - 3} more"
    return listed(map(shape_text, shapes))


def times_text(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes))


def by_text(sizes: Iterable[int]) -> str:
    return " × ".join(map(str, sizes))


def dims_text(axes: Sequence[int]) -> str:
    return f"dim{'s' * (len(axes) > 1)} {listed(axes)}"


def count_text(shape: Iterable[int]) -> str:
    """The number of elements; a damaged file may hold sizes too long to print multiplied."""
    count = math.prod(shape)
    return str(count) if count < 10**30 else "very many"


def many(count: int, noun: str) -> str:
    # A size that is a formula is many, though it be 1 here.
    return f"{count} {noun if str(count) == '1' else plural(noun)}"


def all_of(count: int, noun: str) -> str:
    """`the 3 rows`, and `the one row`."""
    return f"the {many(count, noun)}" if str(count) != "1" else f"the one {noun}"


def each_of(count: int, noun: str) -> str:
    """`each of the 3 rows`, and `the one row`."""
    return f"each of {all_of(count, noun)}" if str(count) != "1" else all_of(count, noun)


def window_text(kernel: Shape) -> str:
    return times_text(kernel) if len(kernel) > 1 else f"of length {kernel[0]}"


def ordinal(position: int) -> str:
    return _ORDINALS[position] if position < len(_ORDINALS) else f"{position + 1}th"


def size_at(shape: Shape, axis: int) -> int:
    """The size at a negative axis, 1 where the shape is too short."""
    return shape[axis] if -axis <= len(shape) else 1


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def effect_text(before: Shape, after: Shape, names: Sequence[str]) -> str:
    """The shape effect that a summary begins with."""
    changed = [
        f"{name} {a} → {b}" for name, a, b in zip(names, before, after, strict=True) if a != b
    ]
    return capital(", ".join(changed)) if changed else "Shape kept"
