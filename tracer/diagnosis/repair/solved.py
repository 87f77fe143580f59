"""The number with which two sizes at odds agree: it is changed, what becomes of the sizes is looked
at, and where a straight line through both comes to nothing it is tried next (the secant method)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from torch import Tensor
from torch.utils._pytree import tree_flatten

from tracer.diagnosis.budget import TooCostly
from tracer.diagnosis.repair.bench import Bench, CannotRunError, Program
from tracer.diagnosis.repair.draft import Draft
from tracer.diagnosis.repair.numbers import whole_numbers, written
from tracer.diagnosis.repair.places import Spot
from tracer.diagnosis.repair.world import World
from tracer.document import Edit

MOST = 30  # numbers of one failure that are solved for
STEPS = 4  # runs for one of them
SMALL = 4
SHARE = 0.15  # of the budget
FARTHEST = 10**6

Leaves = tuple[tuple[int, ...] | int, ...]
"""What a call of torch was given: shapes of tensors, and whole numbers."""


@dataclass(frozen=True)
class Gap:
    """Two sizes of the failing call that should be one: dimensions of its tensors, by their places
    among all that it was given.  Without a second one the first should be `wanted`; without a first
    one its tensor should have as many elements as the numbers behind it ask for."""

    one: tuple[int, int] | None
    other: tuple[int, int] | None = None
    wanted: int = 0

    def of(self, leaves: Leaves) -> int | None:
        """How far they are apart; None where the call was given other things."""
        if self.one is None:
            return _surplus(leaves)
        size = _size(leaves, self.one)
        other = self.wanted if self.other is None else _size(leaves, self.other)
        return None if size is None or other is None else size - other


def solved(bench: Bench, world: World, places: list[Spot]) -> Iterator[Draft]:
    """Edits of the numbers at these places after which the failing call's sizes agree."""
    steps, leaves = reached(bench, Program())
    gap = gap_of(world, leaves)
    start = gap.of(leaves) if gap is not None else None
    if gap is None or not start:
        return
    left, least = MOST, bench.budget.left - SHARE * bench.budget.total
    for spot in places:
        if left == 0 or bench.budget.left < least:
            return
        number = next(iter(whole_numbers(world, spot) or ()), None)
        if number is None or (number < SMALL and not spot.constructs):  # an axis, nearly always
            continue
        left -= 1
        want = _Line(bench, spot, number, gap, steps, least).solution(start)
        if want is not None:
            yield from written(world, spot, want, "solved", number)


def reached(bench: Bench, program: Program) -> tuple[int, Leaves]:
    """How many calls of torch a program gets to, and what the last of them was given."""
    called = bench.called(program)
    leaves = tree_flatten(called.last)[0]
    if called.error is None:
        return called.steps + 1, ()
    return called.steps, tuple(
        tuple(map(int, leaf.shape)) if isinstance(leaf, Tensor) else leaf
        for leaf in leaves
        if isinstance(leaf, Tensor) or type(leaf) is int
    )


def gap_of(world: World, leaves: Leaves) -> Gap | None:
    """The sizes at odds among what the failing call was given; None where they are no two of it."""
    operands = world.failure.operands
    places = []
    for mark in world.finding.marks:
        shape = tuple(operands[mark.operand].note.shape) if mark.operand < len(operands) else None
        if shape in leaves and shape is not None and mark.dim < len(shape):
            places.append(((leaves.index(shape), mark.dim), mark))
    for number, (one, mark) in enumerate(places):
        for other, second in places[number + 1 :]:
            if second.size != mark.size:
                return Gap(one, other)
    if places and places[0][1].wanted is not None:
        return Gap(places[0][0], None, places[0][1].wanted)
    if world.finding.kind == "numel" and _surplus(leaves):
        return Gap(None)
    return None


def _size(leaves: Leaves, place: tuple[int, int]) -> int | None:
    leaf = leaves[place[0]] if place[0] < len(leaves) else None
    return leaf[place[1]] if isinstance(leaf, tuple) and place[1] < len(leaf) else None


def _surplus(leaves: Leaves) -> int | None:
    """How many elements the first tensor has beyond what the numbers behind it multiply to."""
    if not leaves or not isinstance(leaves[0], tuple):
        return None
    asked = [leaf for leaf in leaves[1:] if isinstance(leaf, int)]
    there, wanted = math.prod(leaves[0]), math.prod(n for n in asked if n > 0)
    if not asked or not wanted:
        return None
    return there % wanted if -1 in asked else there - wanted


@dataclass
class _Line:
    """The runs of a program with other numbers at one spot."""

    bench: Bench
    spot: Spot
    number: int
    gap: Gap
    steps: int
    least: float  # of the budget, below which none are run
    known: dict[int, tuple[int, int | None]] = field(default_factory=dict)

    def at(self, number: int) -> tuple[int, int | None]:
        """How far it gets with this number, and what is left of the gap; nothing where it gets
        further, None where it fails elsewhere."""
        if number not in self.known:
            self.known[number] = self._run(number)
        return self.known[number]

    def _run(self, number: int) -> tuple[int, int | None]:
        if self.bench.budget.left < self.least:
            return 0, None
        more = number - self.number
        own = self.spot.text.of(self.spot.node)
        new = f"(({own}) {'+' if more >= 0 else '-'} {abs(more)})"
        edit: Edit = self.spot.text.replace(self.spot.node, new)
        try:
            program = Program.of((edit,), constructs=self.spot.constructs)
            far, leaves = reached(self.bench, program)
        except (CannotRunError, TooCostly):
            return 0, None
        if far > self.steps:
            return far, 0
        return far, self.gap.of(leaves) if far == self.steps else None

    def solution(self, start: int) -> int | None:
        """The number with which nothing is left; of several the one that gets furthest."""
        root = self._root(start)
        if root is None:
            return None
        near = [root, root + 1, root - 1]
        far = {number: reach for number in near for reach, left in [self.at(number)] if left == 0}
        return max(far, key=lambda number: far[number], default=None)

    def _root(self, start: int) -> int | None:
        for trial in (self.number + 1, 2 * self.number):
            left = self.at(trial)[1] if trial <= FARTHEST else None
            if left == 0:
                return trial
            if left is not None and left != start:
                return self._secant((self.number, start), (trial, left))
        return None

    def _secant(self, before: tuple[int, int], now: tuple[int, int]) -> int | None:
        for _ in range(STEPS):
            if now[1] == before[1]:
                return None
            exact = now[0] - Fraction(now[1] * (now[0] - before[0]), now[1] - before[1])
            guess = round(exact)
            if guess in (before[0], now[0]) or not 0 < guess <= FARTHEST:
                return None
            left = self.at(guess)[1]
            if left == 0:
                return guess
            if left is None:
                return None
            before, now = now, (guess, left)
        return None
