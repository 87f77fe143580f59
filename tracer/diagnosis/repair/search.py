"""The search for repairs: edits are generated, run on shapes, proven with values and ranked."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType

import torch
from torch import nn

from tracer.diagnosis import rules
from tracer.diagnosis.budget import Budget, OutOfBudget, TooCostly
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rebuild import recovered
from tracer.diagnosis.repair import grammar, rank
from tracer.diagnosis.repair.bench import (
    Bench,
    CannotRunError,
    Change,
    Print,
    Program,
    Run,
    rounded,
)
from tracer.diagnosis.repair.draft import Draft
from tracer.diagnosis.repair.loops import LEAST, LINES, at_most, lines_at_most
from tracer.diagnosis.repair.proof import QUIET, Proof, prove
from tracer.diagnosis.repair.shapes import OnZeros
from tracer.diagnosis.repair.watched import Watched
from tracer.diagnosis.repair.world import World, files_of
from tracer.document import Failure
from tracer.record.crash import Crash
from tracer.record.isolation import moved, quiet, random_state
from tracer.strict import tolerant

MOST_RUN = 420  # edits of one failure that are run on shapes
LEAST_RUN = 240  # before a change that only may be meant is enough
EACH_KIND = 6  # edits of each kind that are run besides
MOST_AT_ALL = 600  # that are run while none passed that may be the answer
MOST_PROVEN = 40
MOST_BEHIND = 4  # edits that got further, whose next failure is mended too
MOST_SECOND = 60  # edits of such a next failure that are run
DEPTH = 3  # edits that are made together
UNLIKELIER = 1.0  # in the score: more finds more to choose from, and takes as much longer
MIDDLING = 1.0  # the score of what may be the answer
BATCH = 30  # edits, after which it is asked whether this is enough
FOR_PROOFS = 0.35  # of the budget
LOOKED_AT = 400_000  # work: a further failure looked at, and its edits drafted

Known = Callable[[World], list[Draft]]


@dataclass(frozen=True)
class Repair:
    """A program that ran where the model had failed: one edit, or several made together.  `score`
    says how likely it is what the author wants, as far as is known by now; `rivals` counts those
    that are about as likely, passed the same checks and compute something else."""

    parts: tuple[Draft, ...]
    program: Program
    run: Run
    proof: Proof | None = None
    score: float = 0.0
    rivals: int = 0

    @property
    def verified(self) -> bool:
        return self.proof is not None and self.proof.verified

    @property
    def passed(self) -> bool:
        """It passed every check, though perhaps by a layer that stands in for what was edited."""
        return self.proof is not None and self.proof.passed

    @property
    def print(self) -> Print:
        """What it computes on the inputs that failed; its parts where only shapes were run."""
        run = self.run if self.proof is None else self.proof.run
        return run.print or (tuple(part.edits or part.inputs for part in self.parts),)


@dataclass(frozen=True)
class Found:
    """What a search came to: the repairs that ran, best first, and how much of it was done.
    `costly` are those of `tried` that were not run to their end, `in_time` is false where the
    search ended for its time."""

    repairs: tuple[Repair, ...]
    drafted: int
    tried: int
    costly: int
    ended: bool
    in_time: bool


class Search:
    """One search.

    Args:
        known: further edits of a failure, from those who know a kind of program.
    """

    def __init__(
        self,
        crash: Crash,
        finding: Finding,
        failure: Failure,
        known: Known,
        budget: Budget | None = None,
    ) -> None:
        crash = dataclasses.replace(crash, build=how_built(crash))
        self.crash = crash
        self.known = known
        self.budget = budget or Budget()
        self.files = files_of(crash)
        self.bench = Bench(
            crash.model, crash.args, crash.kwargs, crash.build, self.budget, self.files
        )
        self.built = Watched(self.files)
        self.world = self.looked_at(crash, finding, failure)
        self.loops = any(
            "range(" in text.text or "while " in text.text for text in self.world.texts
        )
        self.repairs: list[Repair] = []
        self.drafted = self.tried = self.costly = 0
        self.ended = False

    def looked_at(self, crash: Crash, finding: Finding, failure: Failure) -> World:
        """Everything that names stood for, in a run on copies."""
        watched = Watched(files_of(crash))
        with quiet(), random_state(), torch.no_grad(), OnZeros(self.bench.watch(False)):
            if crash.build is not None and not self.built.ran:
                with _as_far_as_it_goes(), torch.device("meta"):
                    self.built.run(crash.build)
            with _as_far_as_it_goes():
                meta = _on_meta(crash)
                watched.run(meta)
        return World(crash, finding, failure, self.built, watched)

    def search(self) -> Found:
        try:
            # Where it does not fail again nothing can be proven.
            if self.bench.plain.error is not None:
                self.several((), self.singles())
        except OutOfBudget:
            self.ended = True
        ranked = sorted(self.repairs, key=_order, reverse=True)
        return Found(
            among_rivals(ranked),
            self.drafted,
            self.tried,
            self.costly,
            self.ended,
            self.budget.in_time,
        )

    def ordered(self, world: World) -> list[tuple[float, Draft]]:
        """All edits of a failure, the likeliest first, with their scores."""
        # Where nothing was computed with, only those who know the kind of program know an edit.
        bench = self.bench if world is self.world else None
        drafts = grammar.drafts(world, bench) if world.failure.operands else []
        scored = [
            (rank.score(rank.before(world, draft), "before"), draft)
            for draft in merged(drafts, self.known(world))
        ]
        return sorted(scored, key=lambda pair: pair[0], reverse=True)

    # --- one edit ---

    def singles(self) -> list[Repair]:
        """Try single edits; of those with which the run gets further what they are."""
        found = self.ordered(self.world)
        self.drafted += len(found)
        ran: list[Repair] = []
        further: list[Repair] = []
        groups: set[str] = set()
        run: set[int] = set()
        for number, (value, draft) in enumerate(self.worth_running(found, ran)):
            if self.budget.left < self.budget.total * FOR_PROOFS:
                self.ended = True
                break
            if number % BATCH == 0 and self.enough(ran, value):
                break
            if draft.group in groups:
                continue
            run.add(id(draft))
            tried = self.attempt((draft,), None, value)
            if tried is None:
                continue
            if tried.run.ran:
                groups |= {draft.group} - {""}
                ran.append(tried)
            elif self.farther(self.world, tried, self.bench.plain):
                further.append(tried)
        self.prove(ran)
        left = [(value, draft) for value, draft in found if id(draft) not in run]
        self.prove(list(self.in_names(left)))
        self.prove(list(self.at_inputs(left)))
        return further

    def in_names(self, left: list[tuple[float, Draft]]) -> Iterator[Repair]:
        """Those literals that pass here and not with other numbers of a config, once more as what
        names make of them at the same place."""
        literals = {
            (draft.edits[0].span, draft.number)
            for repair in self.repairs
            for draft in repair.parts
            if repair.passed and repair.proof is not None and len(repair.parts) == 1
            if draft.number is not None and draft.new.isdigit()
            if any(check.name == "numbers" for check in repair.proof.failed)
        }
        for value, draft in left:
            if not draft.edits or draft.new.isdigit():
                continue
            if (draft.edits[0].span, draft.number) in literals:
                repair = self.attempt((draft,), None, value)
                if repair is not None and repair.run.ran:
                    yield repair

    def at_inputs(self, left: list[tuple[float, Draft]]) -> Iterator[Repair]:
        """Of those that were not run, the changes of the inputs after which as much comes out as of
        an edit that passed: which of the two is wrong no run tells."""
        shapes = {repair.run.shapes for repair in self.passing()}
        for value, draft in left if shapes else ():
            if draft.inputs:
                repair = self.attempt((draft,), None, value)
                if repair is not None and repair.run.ran and repair.run.shapes in shapes:
                    yield repair

    def worth_running(
        self, found: list[tuple[float, Draft]], ran: list[Repair]
    ) -> Iterator[tuple[float, Draft]]:
        """The likeliest edits, and the likeliest of each kind: what is rare is seldom the answer,
        and nothing else is where it is.  More of them while none passed that may be it."""
        kinds: Counter[str] = Counter()
        left: list[tuple[float, Draft]] = []
        for number, (value, draft) in enumerate(found):
            kinds[draft.kind] += 1
            if number < MOST_RUN or kinds[draft.kind] <= EACH_KIND:
                yield value, draft
            else:
                left.append((value, draft))
        for number, pair in enumerate(left[: MOST_AT_ALL - MOST_RUN]):
            if number % BATCH == 0:
                self.prove(ran)
            if self.answered:
                return
            yield pair

    def farther(self, world: World, tried: Repair, before: Run) -> bool:
        """Whether a run got further than that before its last edit, by more than the edit itself
        computes; a repair at the root may also change what an earlier layer sees, which then
        fails."""
        draft = tried.parts[-1]
        if tried.run.steps > before.steps + draft.calls:
            return True
        elsewhere = str(tried.run.error) != str(before.error)
        return elsewhere and not draft.rebuilds and bool(draft.lines & world.pointed["at the root"])

    def enough(self, ran: list[Repair], value: float) -> bool:
        """Whether an edit of this score can hardly come before those that passed."""
        likely = [r for r in ran if r.score > value + UNLIKELIER and not doubted(r)]
        if not likely:
            return False
        self.prove(likely)
        return self.answered and (self.tried >= LEAST_RUN or self.is_the_one)

    @property
    def is_the_one(self) -> bool:
        """Whether one passed that is nearly always the answer, and known to those who know the
        kind of program."""
        return any(rank.is_likely(each.score) and _is_known(each) for each in self.passing())

    def attempt(
        self, parts: tuple[Draft, ...], after: Program | None, value: float
    ) -> Repair | None:
        """Run the last of these edits on top of the others; None where that cannot be done."""
        draft = parts[-1]
        self.tried += 1
        try:
            program = Program.of(
                draft.edits,
                after=after,
                constructs=draft.rebuilds or (after is not None and after.constructs),
                change=_all_of([part.stand_in for part in parts if part.stand_in is not None]),
                inputs=draft.change,
                batches=all(part.batches for part in parts),
            )
            with at_most(LEAST, self.bench.files) if self.loops else contextlib.nullcontext():
                return Repair(parts, program, self.bench.shapes(program), None, value)
        except TooCostly:
            self.costly += 1
        except CannotRunError:
            pass
        return None

    def prove(self, repairs: list[Repair]) -> None:
        """Prove the likeliest that are not yet, and keep all."""
        known = {id(repair.program) for repair in self.repairs}
        fresh = [repair for repair in repairs if id(repair.program) not in known]
        fresh.sort(key=lambda repair: repair.score, reverse=True)
        for repair in fresh:
            proven = sum(each.proof is not None for each in self.repairs)
            self.repairs.append(self.judged(repair) if proven < MOST_PROVEN else repair)

    @property
    def answered(self) -> bool:
        """Whether one passed that may be the answer: a known repair, or none of the unlikely."""
        return any(each.score > MIDDLING or _is_known(each) for each in self.passing())

    def passing(self) -> Iterator[Repair]:
        """The repairs that passed every check, and which nothing speaks against."""
        return (each for each in self.repairs if each.verified and not doubted(each))

    def judged(self, repair: Repair) -> Repair:
        try:
            ends = lines_at_most(LINES * LEAST, self.bench.files)
            with ends if self.loops else contextlib.nullcontext():
                proof = prove(self.bench, repair.program)
        except (CannotRunError, TooCostly):
            return repair
        except OutOfBudget:
            self.ended = True
            return repair
        self.ended = self.ended or not proof.whole
        features = rank.after(self.world, repair.parts, proof.run, proof)
        return dataclasses.replace(repair, proof=proof, score=rank.score(features, "after"))

    # --- several edits ---

    def several(self, before: tuple[Draft, ...], further: list[Repair]) -> None:
        """What fails behind an edit that got further is mended together with it."""
        if len(before) + 1 >= DEPTH or self.answered:
            return
        likeliest = sorted(further, key=lambda each: each.score, reverse=True)
        for each in likeliest[:MOST_BEHIND]:
            world = self.behind(each.program)
            if world is None:
                continue
            second = [pair for pair in self.ordered(world) if _belong((*each.parts, pair[1]))]
            second = second[:MOST_SECOND]
            self.drafted += len(second)
            ran, more = [], []
            for value, draft in second:
                parts = (*each.parts, draft)
                tried = self.attempt(parts, each.program, value + each.score)
                if tried is not None and tried.run.ran:
                    ran.append(tried)
                elif tried is not None and self.farther(world, tried, each.run):
                    more.append(tried)
            self.prove(ran)
            self.several(each.parts, more)

    def behind(self, program: Program) -> World | None:
        """The failure of an edited model, as the first was seen."""
        self.budget.spend(LOOKED_AT)
        try:
            crash = self.bench.crash(program)
        except (CannotRunError, TooCostly):
            return None
        failure = crash.trace.failure if crash is not None else None
        if crash is None or failure is None:
            return None
        crash = dataclasses.replace(crash, build=self.crash.build)
        return self.looked_at(crash, rules.explain(crash), failure)


def how_built(crash: Crash) -> Callable[[], nn.Module] | None:
    """What makes the model anew: as it was noted, else as far as the model shows it."""
    if isinstance(crash.build, FunctionType | type | functools.partial):
        return crash.build
    noted = crash.constructions.get("")
    if noted is not None and noted.exact:
        return noted.call
    with tolerant(), quiet():
        return recovered(crash.model)
    return None


def merged(drafts: list[Draft], known: list[Draft]) -> list[Draft]:
    """All edits once: one that both came to has the rank and the words of those who know."""
    found = {(frozenset(draft.edits), draft.inputs): draft for draft in drafts}
    for draft in known:
        key = (frozenset(draft.edits), draft.inputs)
        if key in found:
            draft = dataclasses.replace(draft, kind=found[key].kind, spot=found[key].spot)
        found[key] = draft
    return list(found.values())


def _belong(parts: tuple[Draft, ...]) -> bool:
    """Whether edits may be one repair: the same in several places, or each a known one.  Of others
    nearly any two lead through somehow."""
    kinds = {part.kind.partition("_")[0] for part in parts}
    return len(kinds) == 1 or all(part.recipe is not None for part in parts)


def _all_of(changes: list[Change]) -> Change | None:
    def change(model: nn.Module) -> None:
        for each in changes:
            each(model)

    return change if changes else None


def among_rivals(ranked: list[Repair]) -> tuple[Repair, ...]:
    """The repairs, best first, those at the head with how many they are among."""
    passed = [repair for repair in ranked if repair.verified]
    head = [each for each in passed if each.score >= passed[0].score - rank.margin()]
    meanings = {rounded(each.print) for each in head}
    found = [dataclasses.replace(each, rivals=len(meanings) - 1) for each in head]
    return (*found, *ranked[len(head) :])


def _is_known(repair: Repair) -> bool:
    """Whether a part of it is of those who know the kind of program."""
    return any(part.recipe is not None for part in repair.parts)


def doubted(repair: Repair) -> bool:
    """Whether a check speaks against it: it may be the answer, and is none that ends a search."""
    return repair.proof is not None and any(e.name not in QUIET for e in repair.proof.failed)


DISCARDS = frozenset(("crop", "input_crop", "input_pad"))
"""What throws pixels away, or has the caller bring others, comes after what keeps them, as does
what loses the numbers' meaning."""


def _order(repair: Repair) -> tuple[bool, bool, bool, bool, int, float]:
    lost = repair.proof is not None and repair.proof.check("kinds").passed is False
    keeps = not lost and not any(part.kind in DISCARDS for part in repair.parts)
    # Of what did not pass the plainest is the likeliest.
    several = 0 if repair.passed else len(repair.parts)
    proven = repair.proof is not None
    return repair.verified, repair.passed, keeps, proven, -several, repair.score


def _as_far_as_it_goes() -> contextlib.AbstractContextManager[None]:
    """Of a run that ends early, for whatever reason, what was seen is kept."""
    return contextlib.suppress(Exception, OutOfBudget, TooCostly)


def _on_meta(crash: Crash) -> Callable[[], object]:
    """The failed call on a copy that computes nothing."""
    model, args, kwargs = moved(crash.model, crash.args, crash.kwargs, torch.device("meta"))
    assert isinstance(model, nn.Module)
    for module in model.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()

    def call() -> object:
        with torch.device("meta"):
            return model(*args, **kwargs)

    return call
