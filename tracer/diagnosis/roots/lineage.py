"""Where a dimension of a tensor comes from, step by step back through a recorded run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracer.document import Step, TensorNote, Trace
from tracer.ops.bound import (
    GROUPED,
    JOINED,
    MIXED,
    NEW,
    PIECE,
    REDUCED,
    RESIZED,
    SAME,
    Bound,
    Dim,
)
from tracer.ops.table import bound_step

MAX_HOPS = 4000

Sized = tuple[TensorNote, int]
"""A dimension of a tensor."""


@dataclass(frozen=True)
class Hop:
    """Dimension `dim` of `note`, which `step` made.

    `bound` is what the step's operation did and `made` what it did for this dimension, None where
    the operation is not known.  `sources` are what it was made of: what a number of places is
    worked out from besides, such as a kernel's size, is left out, and of what met in an addition
    the parameters come last, since they were made to fit the other.
    """

    note: TensorNote
    dim: int
    step: Step
    bound: Bound | None
    made: Dim | None
    sources: tuple[Sized, ...]

    @property
    def how(self) -> str:
        """One of `tracer.ops.bound.HOWS`, empty where it is not known."""
        return self.made.how if self.made is not None else ""

    @property
    def size(self) -> int:
        return self.note.shape[self.dim]

    @property
    def kept(self) -> bool:
        """Whether the size was only handed on."""
        if self.how in (RESIZED, PIECE, JOINED):
            assert self.made is not None
            alone = len(self.sources) == 1 and not self.made.moved
            return alone and size_at(self.sources[0]) == self.size
        return self.how == SAME

    @property
    def changed(self) -> bool:
        """Whether it was worked out from the sources' size: by a window, a slice, a cat."""
        given = self.made is not None and self.made.given
        return self.how in (RESIZED, PIECE, JOINED) and not self.kept and not given

    @property
    def fresh(self) -> bool:
        """Whether the step chose the size itself."""
        given = self.made is not None and self.made.given
        return self.how in (NEW, REDUCED) or (self.how == RESIZED and given and not self.kept)

    @property
    def merged(self) -> bool:
        """Whether several dimensions became this one."""
        return self.made is not None and self.how == GROUPED and len(self.made.group) == 1

    @property
    def split(self) -> bool:
        """Whether it is a part of one dimension."""
        return self.how == GROUPED and not self.merged and len(self.sources) == 1


def size_at(sized: Sized) -> int:
    note, dim = sized
    return note.shape[dim]


@dataclass(frozen=True)
class Birth:
    """Where a size was born: at the last of `hops` when that did not only hand it on, else in
    `note`, which no step made: an input, a parameter or a constant."""

    hops: tuple[Hop, ...]
    note: TensorNote
    dim: int

    @property
    def last(self) -> Hop | None:
        return self.hops[-1] if self.hops and not self.hops[-1].kept else None


def birth(trace: Trace, note: TensorNote, dim: int) -> Birth:
    """Follow a size back for as long as it is only handed on."""
    hops: list[Hop] = []
    for hop in back(trace, note, dim):
        hops.append(hop)
        if not hop.kept:
            return Birth(tuple(hops), hop.note, hop.dim)
        note, dim = hop.sources[0]
    return Birth(tuple(hops), note, dim)


def back(trace: Trace, note: TensorNote, dim: int) -> Iterator[Hop]:
    """Every hop on the way to the origin, also beyond steps that changed the size."""
    for _ in range(MAX_HOPS):
        step = made_by(trace, note)
        if step is None:
            return
        hop = _hop(step, note, dim)
        yield hop
        if not hop.sources or hop.how == MIXED:
            return
        note, dim = hop.sources[0]


def ancestors(trace: Trace, note: TensorNote) -> Iterator[tuple[Step, TensorNote, TensorNote]]:
    """(step, what it made, its main operand) back along the main operand of each step."""
    for _ in range(MAX_HOPS):
        step = made_by(trace, note)
        main = _main(step) if step is not None else None
        if step is None or main is None:
            return
        yield step, note, main
        note = main


def _main(step: Step) -> TensorNote | None:
    """The first operand, or one that gives the result all dimensions that the first does, and
    more; weights count for nothing."""
    given = [n for n, note in enumerate(step.inputs) if note.kind not in ("parameter", "buffer")]
    if not given:
        return None
    bound = bound_step(step)
    shares: dict[int, set[int]] = {n: set() for n in given}
    for place, dim in enumerate(bound.results[0] if bound is not None else ()):
        for at in dim.sources:
            shares.get(at.operand, set()).add(place)
    first = shares[given[0]]
    larger = [n for n in given if first and first < shares[n]]
    return step.inputs[larger[0] if larger else given[0]]


def made_by(trace: Trace, note: TensorNote) -> Step | None:
    """The step that made a tensor; None for one that a step only wrote into."""
    if note.born is None or not 0 <= note.born < len(trace.steps):
        return None
    step = trace.steps[note.born]
    return None if any(n.id == note.id for n in step.inputs) else step


def _hop(step: Step, note: TensorNote, dim: int) -> Hop:
    bound = bound_step(step)
    if bound is None:
        return Hop(note, dim, step, None, None, ())
    result = next((n for n, each in enumerate(step.outputs) if each.id == note.id), 0)
    made = bound.results[result][dim]
    sources = [(step.inputs[at.operand], at.dim) for at in made.sources]
    if made.how == SAME:
        sources.sort(key=lambda source: source[0].kind in ("parameter", "buffer"))
    return Hop(note, dim, step, bound, made, tuple(sources[:1] if made.how == RESIZED else sources))
