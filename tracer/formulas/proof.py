"""Formulas for the sizes of a trace: a symbolic run finds them, plain runs at other sizes check
them and find out which of its conditions restrict a user.

torch answers every question of a symbolic run (does r divide C? is B one?) with the sizes at hand,
and what follows holds where the answers are the same.  Which of these matter is not guessed from
their form: the module is run where an answer differs.  What fails there is a constraint, what runs
with the same formulas was a heuristic of torch's, and where the formulas change, one that holds for
both is looked for.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch import Tensor, nn

from tracer import document
from tracer.formulas import writing
from tracer.formulas.answers import NOT_AUTHORS, Answers
from tracer.formulas.bounds import bounded, holds
from tracer.formulas.run import (
    Build,
    Inputs,
    Measured,
    Symbolic,
    TooLarge,
    Watch,
    measure,
    run_with_symbols,
)
from tracer.formulas.values import Made, Values, repeated
from tracer.formulas.writing import Condition, Expr, symbol
from tracer.ops.steps import call_of
from tracer.ops.table import bind
from tracer.record.isolation import moved, replaced
from tracer.record.tensors import flatten_arguments
from tracer.sentences import Said, said
from tracer.source.sites import SourceReader

Sizes = dict[str, int]

MOST_RUNS = 32
"""Plain runs that one solution may take..."""

MOST_STEPS = 8_000
"""...and the steps in them after which a large model gets no more."""

EDGE_RUNS = 12
"""Runs for each size beside these, at the edge of what it may be."""

MOST_NUMBERS = 2
"""Sizes that stay numbers where code refuses symbols."""

POOL = 160
"""Settings from which the runs are chosen."""

MOST_VALUED = 3
"""Runs with values at other sizes that are tried..."""

MOST_FLOPS = 10_000_000_000
"""...and floating-point operations that one may take."""


@dataclasses.dataclass(frozen=True)
class Solution:
    """Formulas for every run of a module that takes the same steps.

    `shapes` has one expression for each dimension, by the tensor's id in `like`, and `flops` one
    for each step; None where none was found.  `like` is a run that takes these steps.  `aliases`
    are the names that the source gives.  `constraints` are what the sizes must meet, with the
    step that demands it.  `remarks` say where numbers remain, and why.  `order` is the order in
    which names are written.
    """

    order: tuple[str, ...]
    like: document.Trace
    shapes: Mapping[int, tuple[Expr | None, ...]]
    fresh: frozenset[int]
    flops: tuple[Expr | None, ...]
    parameters: Expr | None
    constraints: tuple[tuple[Condition, int | None], ...]
    aliases: Mapping[Expr, tuple[str, ...]]
    remarks: tuple[Said, ...]

    def violated(self, sizes: Mapping[str, Any]) -> tuple[Said, ...]:
        """A sentence for each constraint that these sizes do not meet."""
        return tuple(
            writing.demanded(condition, self.order)[1]
            for condition, _ in self.constraints
            if not holds(condition, sizes)
        )


def solve(
    build: Build,
    inputs: Inputs,
    sizes: Mapping[str, int],
    *,
    ranges: Mapping[str, Sequence[int]] | None = None,
    order: Sequence[str] = (),
    training: bool = False,
    values: Values | None = None,
    watch: Watch | None = None,
) -> Solution:
    """Find formulas that hold at these sizes and at all others at which the same steps are taken.

    Args:
        build, inputs: make the module, and its arguments, from the sizes by name.
        sizes: a value for each size, at which the module runs.
        ranges: the values of each size that are of interest, in ascending order.
        order: the names in the order in which formulas are written.
        values: makes runs with values, to hear what they are answered where one without is refused.
        watch: see `tracer.trace`.

    Raises:
        Exception: what `build`, `inputs` or the forward raises at these sizes.
    """
    how: dict[str, Any] = {"ranges": ranges, "training": training, "values": values, "watch": watch}
    names = tuple(dict.fromkeys([*order, *sizes]))
    try:
        return _solve(build, inputs, sizes, order=names, **how)
    except _Refused as refused:
        # Code that wants numbers of Python's own gets them for as few sizes as will do.
        for count in range(1, min(MOST_NUMBERS, len(sizes)) + 1):
            for kept in itertools.combinations(reversed([*sizes]), count):
                fewer = _with_numbers(build, inputs, {name: sizes[name] for name in kept})
                rest = {name: size for name, size in sizes.items() if name not in kept}
                try:
                    found = _solve(*fewer, rest, order=[n for n in names if n not in kept], **how)
                except Exception:  # noqa: BLE001 - it is refused with these as well
                    continue
                remark = said(
                    "No formula names {names}: {place} cannot be run with symbols (`{error}`).",
                    names=", ".join(reversed(kept)),
                    place=_place(refused.error),
                    error=_first_sentence(refused.error),
                )
                return dataclasses.replace(found, remarks=(remark, *found.remarks))
        raise refused.error from None


class _Refused(Exception):  # noqa: N818 - as TooLarge
    """A run with symbols raised `error`, where a plain one succeeds."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _with_numbers(build: Build, inputs: Inputs, at: Sizes) -> tuple[Build, Inputs]:
    """These, where some of the sizes are the same at every setting."""
    return (
        lambda sizes: build({**sizes, **at}),
        lambda sizes: inputs({**sizes, **at}),
    )


# long: the order of the questions is the proof
def _solve(
    build: Build,
    inputs: Inputs,
    sizes: Mapping[str, int],
    *,
    ranges: Mapping[str, Sequence[int]] | None,
    order: Sequence[str],
    training: bool,
    values: Values | None,
    watch: Watch | None,
) -> Solution:
    """`solve`, with a symbol for every size.

    Raises:
        _Refused: this cannot be run so.
        TooLarge: the formulas grow without end.
        Exception: as for `solve`.
    """
    search = _Search(build, inputs, dict(sizes), ranges or {}, training, values, watch)
    names = tuple(order)
    pool = search.pool()
    first = search.begun(pool)
    fixed = search.fixed(first)
    if first.error is not None and not (fixed and isinstance(first.error, TooLarge)):
        raise first.error if isinstance(first.error, TooLarge) else _Refused(first.error)
    if fixed:
        # A size that only one number can take is that number, in formulas as well.
        at = {name: first.sizes[name] for name in fixed}
        rest = {name: size for name, size in sizes.items() if name not in fixed}
        solution = solve(
            *_with_numbers(build, inputs, at), rest, ranges=ranges, order=names,
            training=training, values=values, watch=watch,
        )  # fmt: skip
        demanded = tuple((sympy.Eq(symbol(name), at[name]), step) for name, step in fixed.items())
        return dataclasses.replace(solution, constraints=(*demanded, *solution.constraints))
    conditions = {
        demand.condition: demand.step
        for demand in first.demands
        if writing.readable(demand.condition)
        and any(not holds(demand.condition, each) for each in pool)
    }
    search.settle(conditions, pool)
    search.hold(first)
    constraints = search.constraints(conditions, names, first)
    shapes, flops, wrong, others = search.repaired(first)
    constraints = search.bounded(constraints, first)
    divisions = writing.divisions(condition for condition, _ in constraints)

    def simple(expression: Expr | None) -> Expr | None:
        if expression is None or not writing.readable(expression):
            return None
        return writing.simplified(expression, divisions)

    aliases: dict[Expr, tuple[str, ...]] = {}
    for run, ids in ((first, {id: id for id in shapes}), *others):
        for id, shape in shapes.items():
            for raw, found in zip(run.shapes[ids[id]], shape, strict=True):
                called = tuple(
                    name
                    for name, value in run.aliases.items()
                    if value == raw and name not in {*names, "_"}
                )
                known = simple(found)
                if called and known is not None and not known.is_number:
                    aliases.setdefault(known, called)
    return Solution(
        order=names,
        like=_steps(first.trace),
        shapes={id: tuple(map(simple, shape)) for id, shape in shapes.items()},
        fresh=first.fresh,
        flops=tuple(map(simple, flops)),
        parameters=simple(first.parameters),
        constraints=constraints,
        aliases=aliases,
        remarks=(
            *dict.fromkeys(_remark(first, id) for id in wrong),
            *search.shortened(),
            *search.unexplained(constraints),
            *search.assumed(bool(constraints)),
        ),
    )


def _steps(trace: document.Trace) -> document.Trace:
    """The run without what its calls count, which are symbols and hold on to all that it was."""
    calls = tuple(dataclasses.replace(call, parameters=0) for call in trace.calls)
    return dataclasses.replace(trace, calls=calls, parameters=0)


def _matched(like: document.Trace, other: document.Trace) -> dict[int, int] | None:
    """The ids of the tensors of `other` by those of `like`; None if they took other steps."""
    found: dict[int, int] = {}

    def match(
        ours: tuple[document.TensorNote, ...], theirs: tuple[document.TensorNote, ...]
    ) -> bool:
        if len(ours) != len(theirs):
            return False
        for one, another in zip(ours, theirs, strict=True):
            if len(one.shape) != len(another.shape) or one.dtype != another.dtype:
                return False
            if found.setdefault(one.id, another.id) != another.id:
                return False
        return True

    if not match(like.inputs, other.inputs):
        return None
    # A run that failed is compared up to where it did.
    stopped = other.failure is not None and like.failure is None
    for one, another in itertools.zip_longest(_every(like.steps), _every(other.steps)):
        if another is None and stopped:
            break
        if one is None or another is None:
            return None
        if (one.op, one.expression) != (another.op, another.expression):
            return None
        if stopped and another.error is not None:
            match(one.inputs, another.inputs)
            break
        if not (match(one.inputs, another.inputs) and match(one.outputs, another.outputs)):
            return None
    if stopped:
        return found
    if len(like.calls) != len(other.calls) or not match(like.outputs, other.outputs):
        return None
    for call, same in zip(like.calls, other.calls, strict=True):
        if not (match(call.inputs, same.inputs) and match(call.outputs, same.outputs)):
            return None
    return found


def _refused(trace: document.Trace) -> int | None:
    """The first step of a run that failed which the operation table refuses, as shapes alone may
    pass where values do not, else the one that raised; None where no operation did."""
    for step in trace.steps:
        call = call_of(step)
        found = bind(call) if call is not None else None
        if found is not None and found.violation is not None:
            return step.index
    failed = trace.failure.step if trace.failure is not None else None
    return None if failed is None else failed.index


def _every(steps: Iterable[document.Step]) -> Iterator[document.Step]:
    """Each step after those inside it: what is inside a failing one failed first."""
    for step in steps:
        yield from _every(step.children)
        yield step


def _remark(symbolic: Symbolic, id: int) -> Said:
    note = symbolic.trace.tensors()[id]
    name = note.name or said("a tensor")
    # What was asked for as a number is the number itself, or the number was made of it.
    values = set(symbolic.shapes[id])
    own = [number for number in symbolic.numbers if number.value in values]
    places = dict.fromkeys(
        said(
            "`{code}` ({file}:{line})",
            code=number.place.statement or number.place.expression,
            file=number.place.file.rsplit("/", 1)[-1],
            line=number.place.line,
        )
        for number in own or symbolic.numbers
    )
    if not places:
        return said(
            "A size of {name} is shown as a number: no formula fits all the sizes that were tried.",
            name=name,
        )
    first, *others = places
    return said(
        "A size of {name} is shown as a number: {places} makes it of this run's numbers.",
        name=name,
        places=said("{first} or {second}", first=first, second=others[0]) if others else first,
    )


@dataclasses.dataclass(frozen=True)
class _Run:
    """A plain run.  `error` is what the constructor or the forward raised."""

    sizes: Sizes
    measured: Measured | None
    error: Exception | None


class _Search:
    """The plain runs of one solution."""

    def __init__(
        self,
        build: Build,
        inputs: Inputs,
        sizes: Sizes,
        ranges: Mapping[str, Sequence[int]],
        training: bool,
        values: Values | None,
        watch: Watch | None,
    ) -> None:
        self.build, self.inputs, self.training = build, inputs, training
        self.values, self.watch = values, watch
        self.held: Said | None = None  # whether a run with values had the sizes of the formulas
        self.sizes, self.ranges = sizes, ranges
        self.runs: dict[tuple[int, ...], _Run] = {}
        self.reader = SourceReader()
        self.steps = 0

    @property
    def answers(self) -> Answers | None:
        """What runs without values are to be answered."""
        return self.values.answers if self.values is not None else None

    def run(self, sizes: Sizes) -> _Run:
        key = tuple(sizes.values())
        if key not in self.runs:
            try:
                found = measure(
                    self.build, self.inputs, sizes, training=self.training, reader=self.reader,
                    answers=self.answers, watch=self.watch,
                )  # fmt: skip
                self.runs[key] = _Run(sizes, found, found.error)
                self.steps += sum(1 for _ in found.trace.walk())
            except Exception as error:  # noqa: BLE001 - a constructor may raise anything
                self.runs[key] = _Run(sizes, None, error)
        return self.runs[key]

    def spent(self) -> bool:
        return len(self.runs) >= MOST_RUNS or self.steps >= MOST_STEPS

    def shortened(self) -> tuple[Said, ...]:
        """That there were fewer runs than there might have been, as a remark."""
        if self.steps < MOST_STEPS or len(self.runs) >= MOST_RUNS:
            return ()
        return (
            said(
                "The formulas were checked by {runs} runs at other sizes and not by {most}, since "
                "a run has so many steps: some demands may be missing.",
                runs=len(self.runs),
                most=MOST_RUNS,
            ),
        )

    def symbolic(self, sizes: Sizes) -> Symbolic:
        try:
            return run_with_symbols(
                self.build, self.inputs, sizes, training=self.training, reader=self.reader,
                answers=self.answers, watch=self.watch,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - whatever does not run with symbols
            raise _Refused(error) from None

    def begun(self, pool: Sequence[Sizes]) -> Symbolic:
        """The run with symbols, after a plain one that succeeds.  Where one of them is refused
        something, a run with values is listened to for its answers.

        Raises:
            Exception: what the constructor or the forward raises in the plain run.
        """
        base = self.run(self.sizes)
        if base.error is not None and self.heard():
            with self._answers().learned(same_sizes=True):
                base = self.run(self.sizes)
        if base.error is not None:
            raise base.error
        first = self.symbolic(self.generic(pool))
        if first.error is None or isinstance(first.error, TooLarge) or not self.heard():
            return first
        before = self._answers().refused
        with self._answers().learned(same_sizes=False):
            again = self.symbolic(self.generic(pool))
        if self._answers().refused == before:
            return first
        # Runs that were answered less are not to be compared with it.
        self.runs.clear()
        if self.run(self.sizes).error is not None:
            return first
        return again if again.error is not None else self.symbolic(self.generic(pool))

    def heard(self) -> bool:
        """Whether there are the answers of a run with values, which is made when first asked for;
        runs that had none are forgotten."""
        if self.values is not None and self.answers is None:
            self.values.heard()
            self.runs.clear()
        return self.answers is not None

    def _answers(self) -> Answers:
        assert self.answers is not None
        return self.answers

    def assumed(self, demanding: bool) -> tuple[Said, ...]:
        """What the formulas assume of values, as remarks, and so what is demanded as well."""
        found = () if self.answers is None else self.answers.remarks()
        if self.held is not None:
            found = (*found, self.held)
        if found and demanding:
            under = said(
                "The demands are those of a run with these answers: with others there may be fewer."
            )
            return (*found, under)
        return found

    def hold(self, like: Symbolic) -> None:
        """Where something is assumed of values, run with values at other sizes, as far as that is
        affordable: such a run takes the place of the one that was answered."""
        if self.values is None or self.answers is None or not self.answers.remarks():
            return
        told = said(
            "No run with values at other sizes could be made to hold these formulas against."
        )
        for sizes in itertools.islice(self.larger(), MOST_VALUED):
            try:
                found = self.values.measured(sizes, self.watch)
            except Exception:  # noqa: BLE001 - values of another size may be none that it takes
                continue
            if found.error is not None:
                continue
            if self.run(sizes).error is not None:
                # What fails on the answers of another size says nothing.
                self.runs = {key: run for key, run in self.runs.items() if run.error is None}
            at = ", ".join(f"{name} = {size}" for name, size in sizes.items())
            if _matched(like.trace, found.trace) is not None:
                self.runs[tuple(sizes.values())] = _Run(sizes, found, None)
                told = said(
                    "A run with values at {sizes} has the sizes that the formulas give.", sizes=at
                )
                break
            told = said(
                "A run with values at {sizes} takes other steps: the formulas are those of runs "
                "that take the same as this one.",
                sizes=at,
            )
        self.held = told

    def larger(self) -> Iterator[Sizes]:
        """Larger sizes at which a run with values costs no more than it may: what is whole numbers
        and is a place in something else stays one.  Those come first at which a run on the given
        answers succeeds; where it does not, that may be for the answers."""
        base = self.run(self.sizes).measured
        assert base is not None
        found = []
        for sizes in ([(name, times) for name in self.sizes] for times in (2, 3)):
            at = {name: self.inside(name, times * self.sizes[name]) for name, times in sizes}
            grown = math.prod(at[name] / size for name, size in self.sizes.items())
            if self.changes(at) and sum(base.flops) * grown <= MOST_FLOPS:
                found.append(at)
        found += [
            run.sizes
            for run in self.runs.values()
            if run.measured is not None and sum(run.measured.flops) <= MOST_FLOPS
            if self.changes(run.sizes) and all(run.sizes[n] >= s for n, s in self.sizes.items())
        ]
        apart = {tuple(sizes.values()): sizes for sizes in found}.values()
        yield from sorted(apart, key=lambda at: (self.run(at).error is not None, -self.changes(at)))

    def alike(self, like: document.Trace) -> Iterator[tuple[Sizes, Measured, dict[int, int]]]:
        """The runs that took the same steps, with the ids of their tensors."""
        for run in self.runs.values():
            if run.error is None and run.measured is not None:
                ids = _matched(like, run.measured.trace)
                if ids is not None:
                    yield run.sizes, run.measured, ids

    # --- which sizes ---

    def pool(self) -> list[Sizes]:
        """Each size alone at its smallest and near it, and all of them at random."""
        draw = random.Random(0)
        found: dict[tuple[int, ...], Sizes] = {}

        def keep(sizes: Sizes) -> None:
            inside = {name: self.inside(name, size) for name, size in sizes.items()}
            found.setdefault(tuple(inside.values()), inside)

        for size in dict.fromkeys(self.sizes.values()):
            alike = [name for name, value in self.sizes.items() if value == size]
            for value in (1, 2, 3, size - 1, size + 1, 2 * size, 3 * size):
                for name in alike:
                    keep({**self.sizes, name: value})
                # Sizes that agree may have to.
                keep({**self.sizes, **dict.fromkeys(alike, value)})
        while len(found) < POOL and self.sizes:
            before = len(found)
            for _ in range(POOL // 2):
                keep({name: _near(size, draw) for name, size in self.sizes.items()})
                drawn = {size: _near(size, draw) for size in self.sizes.values()}
                keep({name: drawn[size] for name, size in self.sizes.items()})
            if len(found) == before:
                break
        return list(found.values())

    def inside(self, name: str, size: int) -> int:
        legal = self.ranges.get(name)
        if legal is None:
            return max(1, size)
        position = bisect.bisect_left(legal, size)
        return legal[min(position, len(legal) - 1)]

    def generic(self, pool: Sequence[Sizes]) -> Sizes:
        """Sizes at which nothing coincides and no size is one, that run as the given ones do."""

        def coincidences(sizes: Sizes) -> int:
            values = list(sizes.values())
            products = [a * b for a, b in itertools.combinations(values, 2)]
            return (
                3 * sum(value == 1 for value in values)
                + 3 * (len(values) - len(set(values)))
                + sum(product in values for product in products)
            )

        best = min(map(coincidences, pool), default=0)
        if coincidences(self.sizes) <= best:
            return self.sizes
        for sizes in sorted(pool, key=coincidences)[:8]:
            if not self.spent():
                self.run(sizes)
        first = self.run(self.sizes).measured
        assert first is not None
        able = [sizes for sizes, _, _ in self.alike(first.trace)]
        return min(able, key=coincidences)

    # --- conditions ---

    def fixed(self, first: Symbolic) -> dict[str, int | None]:
        """The sizes that weights or constants fix, with the step that demands it: the run asks
        for this number, and fails with others."""
        found = {}
        for demand in first.demands:
            condition = demand.condition
            if not isinstance(condition, sympy.Eq) or not writing.readable(condition):
                continue
            condition = writing.demand(writing.simplified(condition))
            if not (isinstance(condition, sympy.Eq) and condition.rhs.is_Integer):
                continue
            name = getattr(condition.lhs, "name", None)
            if name in self.sizes and name not in found:
                size = self.sizes[name]
                others = {self.inside(name, other) for other in (size - 1, size + 1, 2 * size)}
                tried = [self.run({**self.sizes, name: other}) for other in others - {size}]
                if tried and all(run.error is not None for run in tried):
                    found[name] = demand.step
        return found

    def settle(self, conditions: Mapping[Condition, int | None], pool: Sequence[Sizes]) -> None:
        """Run where conditions are not met, until of each it is known whether that is possible;
        and at a few sizes that meet them all."""
        broken = [frozenset(c for c in conditions if not holds(c, sizes)) for sizes in pool]
        order = sorted(range(len(pool)), key=lambda i: len(broken[i]))
        varied = sorted(order[:40], key=lambda i: -self.changes(pool[i]))
        for i in varied[:3]:
            self.run(pool[i])
        harmless: set[Condition] = set()
        for i in range(len(pool)):
            run = self.runs.get(tuple(pool[i].values()))
            if run is not None and run.error is None:
                harmless |= broken[i]
        for condition in conditions:
            for _ in range(3):
                if condition in harmless or self.spent():
                    break
                fitting = [
                    i
                    for i in order
                    if condition in broken[i] and tuple(pool[i].values()) not in self.runs
                ]
                if not fitting:
                    break
                i = min(fitting, key=lambda i: len(broken[i] - harmless))
                if self.run(pool[i]).error is None:
                    harmless |= broken[i]
                elif broken[i] - harmless == {condition}:
                    break

    def changes(self, sizes: Sizes) -> int:
        return sum(sizes[name] != size for name, size in self.sizes.items())

    def constraints(
        self, conditions: Mapping[Condition, int | None], order: Sequence[str], like: Symbolic
    ) -> tuple[tuple[Condition, int | None], ...]:
        """The fewest and simplest conditions that explain all the runs that failed, each with the
        step that asked first; with the one that fails where this alone is not met, if the first
        passes there, or the condition is on one size alone."""
        harmless = {
            condition
            for run in self.runs.values()
            if run.error is None
            for condition in conditions
            if not holds(condition, run.sizes)
        }
        failed = [run.sizes for run in self.runs.values() if run.error is not None]
        suspects: dict[Condition, int | None] = {}
        for condition, step in conditions.items():
            if condition not in harmless and not all(holds(condition, at) for at in failed):
                stated = writing.demand(writing.simplified(condition))
                suspects.setdefault(stated, step)

        def simplicity(condition: Condition) -> tuple[int, int, str]:
            text = writing.demanded(condition, order)[0].text
            return len(condition.free_symbols), len(text), text

        found: list[Condition] = []
        for at in failed:
            explaining = [suspect for suspect in suspects if not holds(suspect, at)]
            if explaining and all(holds(condition, at) for condition in found):
                found.append(min(explaining, key=simplicity))
        # A simple one may be implied by a later one: ⌊H/4⌋ ≥ 1 says that H ≥ 2.
        for condition in list(found):
            rest = [other for other in found if other != condition]
            if all(
                holds(condition, at) or not all(holds(other, at) for other in rest) for at in failed
            ):
                found = rest
        steps = {condition: suspects[condition] for condition in found}
        for run in self.runs.values():
            unmet = [condition for condition in found if not holds(condition, run.sizes)]
            if run.measured is None or run.error is None or len(unmet) != 1:
                continue
            broken, asked = self.step_of(run, like), suspects[unmet[0]]
            reached = len(run.measured.trace.steps) if broken is None else broken
            passed = asked is not None and reached > asked
            if passed or len(unmet[0].free_symbols) == 1:
                steps[unmet[0]] = broken
        return tuple(steps.items())

    def step_of(self, run: _Run, like: Symbolic) -> int | None:
        """The step of `like` at which a run failed; None where that is none of its steps."""
        index = None if run.measured is None else _refused(run.measured.trace)
        if run.measured is None or index is None:
            return None
        mine, theirs = like.trace.steps[index : index + 1], run.measured.trace.steps[index]
        same = mine and (mine[0].op, mine[0].expression) == (theirs.op, theirs.expression)
        return index if same else None

    def bounded(
        self, constraints: tuple[tuple[Condition, int | None], ...], like: Symbolic
    ) -> tuple[tuple[Condition, int | None], ...]:
        """The constraints, with bounds that were run at their values and one below."""
        most = len(self.runs) + EDGE_RUNS * len(self.sizes)

        def works(sizes: Mapping[str, int]) -> bool | None:
            if tuple(sizes.values()) not in self.runs and (
                len(self.runs) >= most or self.steps >= 2 * MOST_STEPS
            ):
                return None
            return self.run(dict(sizes)).error is None

        def step_of(sizes: Mapping[str, int]) -> int | None:
            return self.step_of(self.run(dict(sizes)), like)

        def legal(name: str) -> Sequence[int]:
            return self.ranges.get(name) or range(1, self.sizes[name] + 1)

        return tuple(bounded(dict(constraints), self.sizes, legal, works, step_of).items())

    def unexplained(self, constraints: Sequence[tuple[Condition, int | None]]) -> tuple[Said, ...]:
        """What failed though it meets all that is said to be demanded, as a remark."""
        failed = (run.sizes for run in self.runs.values() if run.error is not None)
        at = next((a for a in failed if all(holds(c, a) for c, _ in constraints)), None)
        if at is None:
            return ()
        sizes = ", ".join(f"{name} = {size}" for name, size in at.items())
        return (said("The run fails at {sizes} too, which meets all these demands.", sizes=sizes),)

    # --- formulas that hold at every run ---

    # long: the order of the attempts is the proof
    def repaired(
        self, first: Symbolic
    ) -> tuple[
        dict[int, tuple[Expr | None, ...]],
        tuple[Expr | None, ...],
        list[int],
        list[tuple[Symbolic, dict[int, int]]],
    ]:
        """The expressions, those that a run contradicts replaced by ones that fit all runs; the
        tensors for which there is none; and the further symbolic runs that were needed."""
        # A question for a number, answered with this run's: the number stands for the expression.
        numbers = [(n.value, n.expression) for n in first.numbers if n.value.is_Integer]
        others: list[tuple[Symbolic, dict[int, int]]] = []

        Other = Callable[[Symbolic, dict[int, int]], Expr]

        def variants(expression: Expr, other: Other) -> Iterator[Expr]:
            for number, meant in numbers:
                # The number itself, or a multiple of it in a product.
                multiples = {
                    own: own / number * meant
                    for own in expression.atoms(sympy.Integer)
                    if own != 0 and own % number == 0
                }
                for own, product in multiples.items():
                    yield expression.xreplace({own: product})
                if len(multiples) > 1:
                    yield expression.xreplace(multiples)
            for each in others:
                found = other(*each)
                yield found
                yield writing.Max(expression, found)
                yield writing.Min(expression, found)

        def fitting(expression: Expr, points: list[tuple[Sizes, int]], other: Other) -> Expr | None:
            for candidate in itertools.chain([expression], variants(expression, other)):
                if all(_value(candidate, sizes) == true for sizes, true in points):
                    return candidate
            return None

        def attempt() -> tuple[Any, ...]:
            seen = list(self.shaped(first.trace))
            shapes: dict[int, tuple[Expr | None, ...]] = {}
            wrong: dict[int, Sizes] = {}
            for id in first.trace.tensors():
                shape = first.shapes[id]
                sizes = []
                for axis, expression in enumerate(shape):
                    points = [(at, known[id][axis]) for at, known, _ in seen]
                    found = fitting(expression, points, lambda o, ids: o.shapes[ids[id]][axis])  # noqa: B023
                    if found is None:
                        wrong[id] = next(
                            at for at, true in points if _value(expression, at) != true
                        )
                    sizes.append(found)
                shapes[id] = tuple(sizes)
            flops = tuple(
                fitting(
                    expression,
                    [(at, measured.flops[index]) for at, _, measured in seen],
                    lambda o, ids: o.flops[index],  # noqa: B023
                )
                for index, expression in enumerate(first.flops)
            )
            return shapes, flops, wrong

        shapes, flops, wrong = attempt()
        for _ in range(2):
            if not wrong:
                break
            try:
                other = self.symbolic(self.apart(first, *next(iter(wrong.items()))))
            except Exception:  # noqa: BLE001 - it ran with plain sizes: this is about symbols alone
                break
            matched = _matched(first.trace, other.trace)
            if other.error is not None or matched is None:
                break
            others.append((other, matched))
            shapes, flops, wrong = attempt()
        return shapes, flops, list(wrong), others

    def shaped(
        self, like: document.Trace
    ) -> Iterator[tuple[Sizes, dict[int, tuple[int, ...]], Measured]]:
        """The runs that took the same steps, with the shape of each tensor of `like`."""
        for sizes, measured, ids in self.alike(like):
            notes = measured.trace.tensors()
            yield sizes, {id: notes[ids[id]].shape for id in ids}, measured

    def apart(self, first: Symbolic, id: int, sizes: Sizes) -> Sizes:
        """Sizes at which the tensor's shape is another than in `first`, as at these `sizes`, and
        generic but for one of them, where that is enough: of what is one, no symbol is left."""
        for name, size in sizes.items():
            near = {**first.sizes, name: size}
            if near == first.sizes or self.run(near).error is not None:
                continue
            found = next((shape for at, shape, _ in self.shaped(first.trace) if at == near), None)
            if found is not None and any(
                _value(expression, near) != true
                for expression, true in zip(first.shapes[id], found[id], strict=True)
            ):
                return near
        return sizes


def _near(size: int, draw: random.Random) -> int:
    return max(
        1,
        draw.choice(
            (size, size + 1, size + 2, size + 3, size + 5, 2 * size, 3 * size, size - 1, size // 2)
        ),
    )


def _value(expression: Expr, sizes: Mapping[str, int]) -> Any:
    try:
        return writing.evaluate(expression, sizes)
    except ValueError:
        return None


def allowed(
    solution: Solution, sizes: Mapping[str, Any], name: str, values: Iterable[int]
) -> list[int]:
    """Those of `values` that the constraints allow for one size, the others being as they are."""
    about = [
        condition
        for condition, _ in solution.constraints
        if name in {each.name for each in condition.free_symbols}
    ]
    return [
        value
        for value in values
        if all(holds(condition, {**sizes, name: value}) for condition in about)
    ]


def with_symbols(
    recorded: document.Trace,
    build: Build,
    inputs: Inputs,
    sizes: Mapping[str, int],
    *,
    training: bool = False,
    ranges: Mapping[str, Sequence[int]] | None = None,
    order: Sequence[str] = (),
    values: Values | None = None,
    watch: Watch | None = None,
) -> document.Trace:
    """A trace that was recorded at these sizes, every shape with its formula; or with a remark
    that says why there are none.  Arguments as for `solve`."""

    def solved() -> Solution:
        if recorded.failure is not None:
            return _up_to_failure(build, inputs, dict(sizes), training)
        return solve(
            build, inputs, sizes, ranges=ranges, order=order, training=training,
            values=values, watch=watch,
        )  # fmt: skip

    try:
        found = solved()
        unheard = values is not None and values.answers is None
        if values is not None and unheard and _matched(found.like, recorded) is None:
            # Code that asks where it runs takes another way without values.
            values.heard()
            found = solved()
    except Exception as error:  # noqa: BLE001 - whatever cannot be run so keeps its numbers
        return _in_numbers(recorded, error)

    def count() -> tuple[int, ...]:
        answers = values.answers if values is not None else None
        return measure(build, inputs, sizes, training=training, answers=answers).flops

    return attached(recorded, found, sizes, count) or _in_numbers(recorded, None)


def named(
    recorded: document.Trace,
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dims: Mapping[str, str],
    build: Build | None = None,
    known: Mapping[str, int] | None = None,
    watch: Watch | None = None,
) -> document.Trace:
    """The trace of `model(*args, **kwargs)` with formulas in the names of its inputs' sizes.

    Args:
        dims: a name for each dimension of each input, as `{"x": "B C H W"}`.  A number or `_` in
            the place of a name stays a number, `...` stands for any number of them.
        build, known: make the model from hyper-parameters, which formulas then name as well, and
            their values.  Without these, sizes that the model's weights fix stay numbers.
        watch: see `tracer.trace`.

    Raises:
        ValueError: `dims` does not fit the inputs.
    """
    nested = (name for name, each in flatten_arguments(model, args, kwargs) if each.is_nested)
    if (name := next(nested, None)) is not None:
        return _nested(recorded, name)
    plain, given_arguments = model, (args, kwargs)
    own = dict(flatten_arguments(model, args, kwargs))
    model, args, kwargs = moved(model, args, kwargs, torch.device("meta"))
    tensors = dict(flatten_arguments(model, args, kwargs))
    given = {key: tuple(each.shape) for key, each in tensors.items()}
    sizes, shapes = _read_dims(dims, given, known or {})
    by_id = {id(tensors[key]): shape for key, shape in shapes.items()}
    by_id |= {id(own[key]): shape for key, shape in shapes.items()}

    def sized_at(tensor: Tensor, at: Mapping[str, Any]) -> tuple[Any, ...]:
        shape = by_id.get(id(tensor), tuple(tensor.shape))
        return tuple(at[size] if isinstance(size, str) else size for size in shape)

    def inputs(at: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        def sized(tensor: Tensor) -> Tensor:
            return torch.empty(sized_at(tensor, at), dtype=tensor.dtype, device="meta")

        made: tuple[tuple[Any, ...], dict[str, Any]] = replaced((args, kwargs), sized)
        return made

    def valued(at: Mapping[str, Any]) -> Made:
        if any(at[name] != size for name, size in (known or {}).items()):
            raise ValueError("with values it is run as it was built")
        return plain, *repeated(given_arguments, lambda tensor: sized_at(tensor, at))

    def copied(at: Mapping[str, Any]) -> nn.Module:
        # A forward may keep things for its next call.
        return moved(model, (), {}, torch.device("meta"))[0]

    order = [name for shape in shapes.values() for name in shape if isinstance(name, str)]
    return with_symbols(
        recorded, build or copied, inputs, sizes, training=model.training, order=order,
        values=Values(valued, sizes), watch=watch,
    )  # fmt: skip


def _nested(recorded: document.Trace, name: str) -> document.Trace:
    remark = said(
        "Sizes are shown as numbers: {name} is a nested tensor, which has no one shape.", name=name
    )
    return dataclasses.replace(recorded, remarks=(*recorded.remarks, remark))


def _read_dims(
    dims: Mapping[str, str], inputs: Mapping[str, tuple[int, ...]], known: Mapping[str, int]
) -> tuple[Sizes, dict[str, tuple[str | int, ...]]]:
    """The value of each name, and each input's shape in names and numbers."""
    sizes: Sizes = dict(known)
    shapes: dict[str, tuple[str | int, ...]] = {}
    for key, text in dims.items():
        if key not in inputs:
            there = ", ".join(inputs) or "none"
            raise ValueError(f"dims names the input {key!r}, but the inputs are {there}.")
        shape = inputs[key]
        names = text.replace(",", " ").split()
        if names.count("...") == 1:
            at = names.index("...")
            names[at : at + 1] = ["_"] * max(0, len(shape) - len(names) + 1)
        if len(names) != len(shape):
            raise ValueError(
                f"dims gives {key} {len(names)} names ({text}), but it has {len(shape)} "
                f"dimensions: {shape}."
            )
        row: list[str | int] = []
        for name, size in zip(names, shape, strict=True):
            if not name.isidentifier() or name == "_":
                if name != "_" and name != str(size):
                    raise ValueError(
                        f"dims gives a dimension of {key} the name {name!r}: use letters, or "
                        f"{size} or _ to leave it a number."
                    )
                row.append(size)
            elif sizes.setdefault(name, size) != size:
                raise ValueError(
                    f"dims uses {name} for two sizes, {sizes[name]} and {size} (of {key}): "
                    "use two names."
                )
            else:
                row.append(name)
        shapes[key] = tuple(row)
    return sizes, shapes


def _up_to_failure(build: Build, inputs: Inputs, sizes: Sizes, training: bool) -> Solution:
    """The formulas of a run that fails, which no other run can check."""
    found = run_with_symbols(build, inputs, sizes, training=training)
    return Solution(
        order=tuple(sizes),
        like=_steps(found.trace),
        shapes={
            id: tuple(map(writing.simplified, found.shapes[id])) for id in found.trace.tensors()
        },
        fresh=found.fresh,
        flops=tuple(map(writing.simplified, found.flops)),
        parameters=writing.simplified(found.parameters),
        constraints=(),
        aliases={},
        remarks=(),
    )


def _in_numbers(recorded: document.Trace, error: Exception | None) -> document.Trace:
    """The trace with a remark that says why its sizes are numbers."""
    if error is None:
        remark = said("Sizes are shown as numbers: the run with symbols took other steps.")
    elif isinstance(error, TooLarge):
        remark = said(
            "Sizes are shown as numbers: at {place} the formulas grow too large.",
            place=_place(error),
        )
    else:
        remark = said(
            "Sizes are shown as numbers: {place} cannot be run with symbols (`{error}`).",
            place=_place(error),
            error=_first_sentence(error),
        )
    return dataclasses.replace(recorded, remarks=(*recorded.remarks, remark))


def _first_sentence(error: Exception) -> str:
    reason = str(error).strip().split("\n")[0].split(". ")[0].rstrip(".")
    return f"{type(error).__name__}: {reason}".replace("`", "'")


def _place(error: Exception) -> Said:
    """What the author wrote where it was raised."""
    found = None
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith(NOT_AUTHORS):
            found = traceback
        traceback = traceback.tb_next
    if found is None:
        return said("the module")
    site = SourceReader().site(found.tb_frame.f_code, found.tb_lasti)
    return said(
        "`{code}` ({file}:{line})",
        code=site.place.expression or site.place.statement,
        file=site.place.file.rsplit("/", 1)[-1],
        line=site.place.line,
    )


# --- onto a trace -------------------------------------------------------------------------------


def attached(
    trace: document.Trace,
    solution: Solution,
    sizes: Mapping[str, int],
    count: Callable[[], tuple[int, ...]] | None = None,
) -> document.Trace | None:
    """The trace with formulas, constraints and costs; None if it took other steps than those that
    the solution is for.  A dimension that its formula does not give stays a number.

    `count` counts the floating-point operations of each step; it is asked where there is no
    formula for them.
    """
    ids = _matched(solution.like, trace)
    if ids is None:
        return None
    notes = trace.tensors()
    order = solution.order
    number = {name: sizes[name] for name in order if name in sizes}

    def size(true: int, expression: Expr | None) -> document.Formula:
        if expression is None or _value(expression, number) != true:
            return document.Formula(str(true), str(true))
        return writing.written(expression, order, solution.aliases.get(expression, ()))

    shapes = {id: solution.shapes[like] for like, id in ids.items()}
    renewed = {
        id: dataclasses.replace(notes[id], dims=tuple(map(size, notes[id].shape, shape)))
        for id, shape in shapes.items()
    }
    trace = document.with_notes(trace, renewed)
    fresh = {ids[like] for like in solution.fresh if like in ids}
    constraints = []
    for condition, step in solution.constraints:
        formula, rule = writing.demanded(condition, order)
        met = holds(condition, number)
        if step is not None and step >= len(trace.steps):
            step = None  # the run stopped before it
        constraints.append(document.Constraint(formula, rule, step, met))
    return dataclasses.replace(
        trace,
        symbols=tuple(document.Symbol(name, value) for name, value in number.items()),
        constraints=tuple(constraints),
        costs=_costs(trace, solution, shapes, fresh, number, count),
        remarks=(*trace.remarks, *solution.remarks),
    )


def _costs(
    trace: document.Trace,
    solution: Solution,
    shapes: Mapping[int, tuple[Expr | None, ...]],
    fresh: set[int],
    sizes: Mapping[str, int],
    count: Callable[[], tuple[int, ...]] | None,
) -> tuple[document.Cost, ...]:
    order = solution.order
    counted = [None if each is None else _value(each, sizes) for each in solution.flops]
    if count is not None and None in counted:
        counted = list(count())
    costs = []
    for step, flops in zip(trace.steps, solution.flops, strict=False):
        elements: Expr = sympy.Integer(0)
        bytes_: Expr = sympy.Integer(0)
        known = True
        new = total = 0
        for note in step.outputs:
            if note.born != step.index or note.id not in fresh:
                continue
            own = 1
            for dim in note.shape:
                own *= dim
            new += own
            total += own * _itemsize(note.dtype)
            shape = shapes.get(note.id, (None,))
            if any(
                dim is None or _value(dim, sizes) != true
                for dim, true in zip(shape, note.shape, strict=True)
            ):
                known = False
            else:
                product = sympy.Mul(*shape)
                elements += product
                bytes_ += _itemsize(note.dtype) * product
        operations = counted[step.index]

        def formula(expression: Expr | None) -> document.Formula | None:
            return None if expression is None else writing.written(expression, order)

        costs.append(
            document.Cost(
                elements=new,
                bytes=total,
                flops=int(operations) if operations is not None else 0,
                elements_formula=formula(sympy.expand(elements)) if known else None,
                bytes_formula=formula(sympy.expand(bytes_)) if known else None,
                flops_formula=formula(flops),
                memory_growth=writing.growth(elements, order) if known and elements != 0 else None,
                flops_growth=writing.growth(flops, order) if flops not in (None, 0) else None,
            )
        )
    return tuple(costs)


def _itemsize(dtype: str) -> int:
    return int(getattr(torch, dtype).itemsize)
