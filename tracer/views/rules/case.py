"""What rules are made of: a step as its rule sees it, its arguments read, and small texts."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from tracer.document import Step, TensorNote
from tracer.ops.names import shape_text
from tracer.views.dimensions import Dim, Dims, Known, Shape


# --- rules ---------------------------------------------------------------------------------------
class Told(NamedTuple):
    """What a rule says of a step; dimensions it does not give are left to the step's children."""

    summary: str
    changes: Sequence[str] = ()
    outputs: Sequence[Dims] = ()


class Unclear(Exception):  # noqa: N818 - no error: shapes and arguments fit no rule
    pass


def need(condition: bool) -> None:
    if not condition:
        raise Unclear


class Rule(NamedTuple):
    """`signature` names the positional arguments that are no tensors."""

    tell: Callable[[Case], Told]
    signature: tuple[str, ...]
    words: tuple[str, ...]


RULES: dict[str, Rule] = {}


def tells(
    names: str, signature: str = ""
) -> Callable[[Callable[[Case], Told]], Callable[[Case], Told]]:
    def register(tell: Callable[[Case], Told]) -> Callable[[Case], Told]:
        for name in names.split():
            RULES[name] = Rule(tell, tuple(signature.split()), ())
        return tell

    return register


def tells_words(
    table: Mapping[str, tuple[str, ...] | str], signature: str = ""
) -> Callable[[Callable[[Case], Told]], Callable[[Case], Told]]:
    """One rule for many operations that differ in words; a key may hold several names."""

    def register(tell: Callable[[Case], Told]) -> Callable[[Case], Told]:
        for names, words in table.items():
            given = (words,) if isinstance(words, str) else words
            for name in names.split():
                RULES[name] = Rule(tell, tuple(signature.split()), given)
        return tell

    return register


# --- the arguments -------------------------------------------------------------------------------

_NUMBER = re.compile(r"-?(\d+\.?\d*(e[+-]?\d+)?|inf)|nan")
_KEYWORD = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_TENSORS = re.compile(r"[(\[]+tensor\b")


def read(text: str) -> object:
    """The value of a literal; anything else stays text."""
    if len(text) > 400 or "\\" in text:
        return text
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value


class Arguments:
    """The non-tensor arguments of a step, positional ones under the names of `signature`."""

    def __init__(self, texts: Sequence[str], signature: Sequence[str]) -> None:
        self.named: dict[str, str] = {}
        self.plain: list[str] = []
        for text in texts:
            keyword = _KEYWORD.fullmatch(text)
            if keyword:
                self.named[keyword[1]] = keyword[2]
            elif not _TENSORS.match(text):
                self.plain.append(text)
        free = [name for name in signature if name not in self.named]
        self.named.update(zip(free, self.plain, strict=False))

    def get(self, *names: str) -> object:
        """The value under the first of `names` that was given and is not None."""
        for name in names:
            if name in self.named:
                value = read(self.named[name])
                if value is not None:
                    return value
        return None

    def whole(self, *names: str) -> int | None:
        value = self.get(*names)
        if value is None or type(value) is int:
            return value
        raise Unclear

    def flag(self, name: str) -> bool:
        value = self.get(name)
        need(value is None or isinstance(value, bool))
        return bool(value)

    def axis(self, rank: int, *names: str, default: int | None = None) -> int:
        value = self.whole(*(names or ("dim", "axis")))
        if value is None:
            value = default
        if value is None:
            raise Unclear
        return axis_of(value, rank)

    def axes(self, rank: int, *names: str) -> tuple[int, ...] | None:
        """Several dimensions in rising order, None if none was given."""
        value = self.get(*(names or ("dim", "axis")))
        if value is None or value in ((), []):
            return None
        return tuple(sorted(axes_of(value, rank)))

    def each(self, name: str, count: int, default: int | None = None) -> Shape | None:
        """One whole number for each of `count` dimensions; None if they cannot be read."""
        value = self.get(name)
        if value is None:
            value = default
        if type(value) is int:
            return (value,) * count
        if isinstance(value, list | tuple) and all(type(part) is int for part in value):
            if len(value) == count:
                return tuple(value)
            if len(value) == 1:
                return tuple(value) * count
        return None

    def number(self, *names: str) -> str | None:
        """A number as it was written."""
        for text in (*(self.named.get(name, "") for name in names), *self.plain[:1]):
            if len(text) <= 24 and _NUMBER.fullmatch(text):
                return text
        return None


def axis_of(value: int, rank: int) -> int:
    rank = max(rank, 1)
    need(-rank <= value < rank)
    return value % rank


def axes_of(value: object, rank: int) -> list[int]:
    if type(value) is int:
        return [axis_of(value, rank)]
    if not isinstance(value, list | tuple):
        raise Unclear
    found = []
    for part in value:
        if type(part) is not int:
            raise Unclear
        found.append(axis_of(part, rank))
    need(len(set(found)) == len(found))
    return found


class Case:
    """One step as its rule sees it.

    Args:
        words: what the rule's table holds for this operation.
        reflected: the operands are written in the other order, as in `1 - x`.
    """

    def __init__(
        self,
        step: Step,
        known: Known,
        name: str,
        words: tuple[str, ...] = (),
        signature: Sequence[str] = (),
        reflected: bool = False,
    ) -> None:
        self.step = step
        self.known = known
        self.atoms = known.atoms
        self.name = name
        self.words = words
        self.reflected = reflected
        self.args = Arguments(step.arguments, signature)
        self.ins = [note.shape for note in step.inputs]
        self.outs = [note.shape for note in step.outputs]
        need(bool(self.outs))

    @property
    def x(self) -> Shape:
        return self.shape(0)

    @property
    def out(self) -> Shape:
        return self.outs[0]

    @property
    def arrow(self) -> str:
        """The first operand's shape → the first output's."""
        return f"{shape_text(self.x)} → {shape_text(self.out)}"

    def shape(self, position: int) -> Shape:
        need(position < len(self.ins))
        return self.ins[position]

    def dims(self, position: int = 0) -> Dims:
        need(position < len(self.ins))
        return self.known.dims(self.step.inputs[position])

    def role(self, position: int, dims: Sequence[Dim]) -> None:
        """An operand that is known by its part in the operation, such as a weight."""
        self.known.settle(self.step.inputs[position], dims)

    def operand(self, rank: int) -> int | None:
        """The first operand after the first that has this rank: the weight."""
        return next((i for i, s in enumerate(self.ins) if i and len(s) == rank), None)

    def keeps(self) -> Dims:
        """The dimensions of the first operand, whose shape the output has."""
        need(self.out == self.x)
        return self.dims()

    def every(self, dims: Dims) -> list[Dims]:
        """`dims` for all outputs, which have one shape."""
        need(all(out == self.out for out in self.outs))
        return [dims] * len(self.outs)


# --- small texts ---------------------------------------------------------------------------------

_ORDINALS = ("first", "second", "third", "fourth")


def listed(texts: Iterable[object]) -> str:
    *front, last = (str(text) for text in texts)
    return f"{', '.join(front)} and {last}" if front else last


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
    return f"{count} {noun}{'s' * (str(count) != '1')}"


def window_text(kernel: Shape) -> str:
    return times_text(kernel) if len(kernel) > 1 else f"of length {kernel[0]}"


def ordinal(position: int) -> str:
    return _ORDINALS[position] if position < len(_ORDINALS) else f"{position + 1}th"


def dtype_of(note: TensorNote) -> str:
    return note.dtype.removeprefix("torch.")


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


def is_integer(note: TensorNote) -> bool:
    return dtype_of(note) in {"int64", "int32", "int16", "int8", "uint8"}
