"""Two runs beside each other: which steps are the same, in which sizes they differ, and what each
run takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from tracer.document import Step, TensorNote, Trace
from tracer.ops.names import op_name, shape_text
from tracer.ops.steps import operation_of
from tracer.views.growth import ranked
from tracer.views.summary import in_bytes, new_bytes, size_in_bytes, summary

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
class Growth:
    """By how much a run's memory and floating-point operations are multiplied when one of its
    sizes is doubled and the others stay; None where a step has no formula for what it costs."""

    size: str
    bytes: float | None
    flops: float | None


@dataclass(frozen=True)
class Totals:
    """What a whole run takes: `parameters` in elements, each once; `flops`, two for each product
    that is summed, of the steps of which they are known; `bytes` of all results that are new
    memory; `peak`, the most bytes of these at the same time if each is freed behind the last step
    that reads it, or another look at it.  `growth` is known of runs with formulas."""

    steps: int
    parameters: int
    flops: int
    bytes: int
    peak: int
    growth: tuple[Growth, ...]


@dataclass(frozen=True)
class Comparison:
    """Two runs, aligned; `str` says what each takes and where they differ."""

    names: tuple[str, str]
    totals: tuple[Totals, Totals]
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
        takes = [
            f"  {name}: {_takes(each)}" for name, each in zip(self.names, self.totals, strict=True)
        ]
        if not found:
            return "\n".join([f"{head}no difference in shapes and types.", *takes])
        lines = [f"  {_line(pair)}" for pair in found]
        return "\n".join([f"{head}{len(found)} differ.", *takes, *lines])

    __repr__ = __str__


def compare(one: Trace, other: Trace) -> Comparison:
    """Align the steps of two runs and compare what they give.

    Steps of one operation, module and expression stand beside each other; between these, steps of
    one operation do, or of one module and expression, in their order, those first that agree in
    more besides.

    Raises:
        TypeError: one of them is no `Trace`.
    """
    for each in (one, other):
        if not isinstance(each, Trace):
            raise TypeError(f"compare takes two traces, and was given a {type(each).__name__}.")
    pairs = tuple(_pairs(one.steps, other.steps))
    return Comparison((one.name, other.name), (totals(one), totals(other)), pairs)


# --- alignment -------------------------------------------------------------------------------


def _key(step: Step) -> tuple[str, str, str]:
    return step.op, step.module, " ".join(step.expression.split())


def _pairs(one: Sequence[Step], other: Sequence[Step]) -> Iterator[Pair]:
    ours, theirs = list(map(_key, one)), list(map(_key, other))
    matcher = SequenceMatcher(None, ours, theirs, autojunk=len(ours) * len(theirs) > _AROUND)
    for kind, start, stop, first, last in matcher.get_opcodes():
        if kind == "equal":
            for a, b in zip(one[start:stop], other[first:last], strict=True):
                yield _pair(a, b)
        else:
            yield from _alike(one[start:stop], other[first:last])


def _pair(one: Step, other: Step) -> Pair:
    found = zip_longest(one.outputs, other.outputs)
    return Pair(one, other, tuple(_differing(x, y) for x, y in found))


def _differing(x: TensorNote | None, y: TensorNote | None) -> tuple[int, ...] | None:
    if x is None or y is None or len(x.shape) != len(y.shape) or x.dtype != y.dtype:
        return None
    sizes = enumerate(zip(x.shape, y.shape, strict=True))
    return tuple(dim for dim, (a, b) in sizes if a != b)


def _alike(one: Sequence[Step], other: Sequence[Step]) -> Iterator[Pair]:
    """The steps in their orders, with as much likeness beside each other as there can be: the
    alignment of Needleman and Wunsch (1970), in which a gap costs nothing."""
    rows, columns = len(one), len(other)
    if rows * columns > _AROUND:
        yield from (Pair(step, None, ()) for step in one)
        yield from (Pair(None, step, ()) for step in other)
        return
    # best[i][j]: the likeness of what is left from i and j on.
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    alike = [[_likeness(a, b) for b in other] for a in one]
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            paired = best[i + 1][j + 1] + alike[i][j] if alike[i][j] else 0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    i = j = 0
    while i < rows and j < columns:
        if alike[i][j] and best[i][j] == best[i + 1][j + 1] + alike[i][j]:
            yield _pair(one[i], other[j])
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            yield Pair(one[i], None, ())
            i += 1
        else:
            yield Pair(None, other[j], ())
            j += 1
    yield from (Pair(step, None, ()) for step in one[i:])
    yield from (Pair(None, step, ()) for step in other[j:])


def _likeness(one: Step, other: Step) -> int:
    """In how much two steps agree; not at all where neither the operation is the same nor the
    module and the expression, as of `self.g(x)` in two dimensions and in one."""
    ours, theirs = _key(one), _key(other)
    alike = _operation(one) == _operation(other)
    if not alike and ours[1:] != theirs[1:]:
        return 0
    names = [note.name for note in one.outputs], [note.name for note in other.outputs]
    shapes = [note.shape for note in one.outputs], [note.shape for note in other.outputs]
    return (
        4 * alike
        + (ours[1] == theirs[1])
        + 2 * (ours[2] == theirs[2])
        + sum(mine == yours for mine, yours in (names, shapes))
    )


def _operation(step: Step) -> str:
    return operation_of(step.op) or op_name(step.op)


# --- what a run takes --------------------------------------------------------------------------


def totals(trace: Trace) -> Totals:
    whole = summary(trace, depth=0)
    # What the run with formulas saw of the memory is exact, where an operation's name is a guess.
    made = [cost.bytes for cost in trace.costs] or [new_bytes(step) for step in trace.steps]
    return Totals(
        steps=len(trace.steps),
        parameters=whole.parameters,
        flops=whole.flops,
        bytes=sum(made),
        peak=_peak(trace.steps, made),
        growth=tuple(Growth(*each) for each in ranked(trace)),
    )


def _peak(steps: Sequence[Step], made: Sequence[int]) -> int:
    """As `Totals` says; `made` are the bytes that are new at each step."""
    memory: dict[int, int] = {}  # of each tensor whose memory was made here, the one that owns it
    sizes: dict[int, int] = {}
    last: dict[int, int] = {}  # the step that reads the memory last, or gives it
    for step, new in zip(steps, made, strict=True):
        taken = [memory[note.id] for note in step.inputs if note.id in memory]
        last |= dict.fromkeys(taken, step.index)
        for note in step.outputs:
            if note.id in memory:
                continue
            if new:
                memory[note.id] = note.id
                sizes[note.id] = size_in_bytes(note)
                last[note.id] = step.index
            elif taken:
                memory[note.id] = taken[0]
    ends: dict[int, list[int]] = {}
    for owner, index in last.items():
        ends.setdefault(index, []).append(owner)
    most = held = 0
    for step in steps:
        held += sum(
            sizes[note.id] for note in step.outputs if note.born == step.index and note.id in sizes
        )
        most = max(most, held)
        held -= sum(sizes[owner] for owner in ends.get(step.index, ()))
    return most


# --- as text -----------------------------------------------------------------------------------


def _takes(each: Totals) -> str:
    return (
        f"{each.parameters:,} parameters, {each.flops:,} FLOPs, {in_bytes(each.bytes)} made, "
        f"at most {in_bytes(each.peak)} at once"
    )


def _line(pair: Pair) -> str:
    step = pair.one or pair.other
    assert step is not None
    where = f"{step.module or 'the root'}, line {step.line}: {' '.join(step.expression.split())}"
    if pair.one is None or pair.other is None:
        return f"{'+' if pair.one is None else '−'} {where}  {_shapes(step.outputs)}"
    return f"≠ {where}  {_shapes(pair.one.outputs)} | {_shapes(pair.other.outputs)}"


def _shapes(notes: tuple[TensorNote, ...]) -> str:
    return ", ".join(f"{shape_text(note.shape)} {note.dtype}" for note in notes) or "nothing"
