"""Two runs beside each other: which steps are the same, and in which sizes they differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from tracer.document import Step, TensorNote, Trace
from tracer.ops.names import shape_text

_AROUND = 100_000
"""Pairs of steps that an alignment may look at for each other."""


@dataclass(frozen=True)
class Pair:
    """A step of one run and the same of the other, None where it has none.

    `outputs` has for each of their outputs the dimensions in which these differ; None where the
    number of dimensions, or the type, differs.
    """

    one: Step | None
    other: Step | None
    outputs: tuple[tuple[int, ...] | None, ...]

    @property
    def same(self) -> bool:
        """Both are there, and give the same shapes and types."""
        return (
            self.one is not None
            and self.other is not None
            and not any(found is None or found for found in self.outputs)
        )


@dataclass(frozen=True)
class Comparison:
    """Two runs, aligned; `str` says where they differ."""

    names: tuple[str, str]
    pairs: tuple[Pair, ...]

    @property
    def differences(self) -> tuple[Pair, ...]:
        """The pairs that are not the same."""
        return tuple(pair for pair in self.pairs if not pair.same)

    @property
    def same(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        one, other = self.names
        found = self.differences
        head = f"{one} and {other}: {len(self.pairs)} steps, "
        if not found:
            return f"{head}no difference in shapes and types."
        return "\n".join([f"{head}{len(found)} differ.", *(f"  {_line(pair)}" for pair in found)])

    __repr__ = __str__


def compare(one: Trace, other: Trace) -> Comparison:
    """Align the steps of two runs by operation, module and expression, and compare what they give.

    Raises:
        TypeError: one of them is no `Trace`.
    """
    for each in (one, other):
        if not isinstance(each, Trace):
            raise TypeError(f"compare takes two traces, and was given a {type(each).__name__}.")
    return Comparison((one.name, other.name), tuple(_pairs(one, other)))


def _key(step: Step) -> tuple[str, str, str]:
    return step.op, step.module, " ".join(step.expression.split())


def _pairs(one: Trace, other: Trace) -> Iterator[Pair]:
    ours, theirs = list(map(_key, one.steps)), list(map(_key, other.steps))
    matcher = SequenceMatcher(None, ours, theirs, autojunk=len(ours) * len(theirs) > _AROUND)
    for kind, start, stop, first, last in matcher.get_opcodes():
        if kind == "equal":
            for a, b in zip(one.steps[start:stop], other.steps[first:last], strict=True):
                found = zip_longest(a.outputs, b.outputs)
                yield Pair(a, b, tuple(_differing(x, y) for x, y in found))
        else:
            yield from (Pair(step, None, ()) for step in one.steps[start:stop])
            yield from (Pair(None, step, ()) for step in other.steps[first:last])


def _differing(x: TensorNote | None, y: TensorNote | None) -> tuple[int, ...] | None:
    if x is None or y is None or len(x.shape) != len(y.shape) or x.dtype != y.dtype:
        return None
    sizes = enumerate(zip(x.shape, y.shape, strict=True))
    return tuple(dim for dim, (a, b) in sizes if a != b)


def _line(pair: Pair) -> str:
    step = pair.one or pair.other
    assert step is not None
    where = f"{step.module or 'the root'}, line {step.line}: {' '.join(step.expression.split())}"
    if pair.one is None or pair.other is None:
        return f"{'+' if pair.one is None else '−'} {where}  {_shapes(step.outputs)}"
    return f"≠ {where}  {_shapes(pair.one.outputs)} | {_shapes(pair.other.outputs)}"


def _shapes(notes: tuple[TensorNote, ...]) -> str:
    return ", ".join(f"{shape_text(note.shape)} {note.dtype}" for note in notes) or "nothing"
