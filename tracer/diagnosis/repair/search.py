"""The search for repairs: edits are generated, run on shapes, proven with values and ranked."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tracer.diagnosis import rules
from tracer.diagnosis.budget import Budget, OutOfBudget, TooCostly
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.repair import grammar, rank
from tracer.diagnosis.repair.bench import Bench, CannotRunError, Program, Run
from tracer.diagnosis.repair.draft import Draft
from tracer.diagnosis.repair.loops import LEAST, EndlessError, at_most
from tracer.diagnosis.repair.proof import Proof, prove
from tracer.diagnosis.repair.watched import Watched
from tracer.diagnosis.repair.world import World, files_of
from tracer.document import Failure
from tracer.record.crash import Crash
from tracer.record.isolation import moved, quiet, random_state

MOST_RUN = 420  # edits of one failure that are run on shapes
MOST_PROVEN = 14
MOST_BEHIND = 3  # edits that got further, whose next failure is mended too
MOST_SECOND = 60  # edits of such a next failure that are run
ENOUGH = 2  # repairs that passed all checks, after which much unlikelier edits are left
UNLIKELIER = 2.5  # in the score
BATCH = 30  # edits, after which it is asked whether this is enough
FOR_PROOFS = 0.35  # of the budget


@dataclass(frozen=True)
class Repair:
    """A program that ran where the model had failed: one edit, or two made together."""

    parts: tuple[Draft, ...]
    program: Program
    run: Run
    proof: Proof | None = None
    score: float = 0.0


@dataclass(frozen=True)
class Found:
    """What a search came to: the repairs that ran, best first, and how much of it was done."""

    repairs: tuple[Repair, ...]
    drafted: int
    tried: int
    ended: bool


class Search:
    """One search; `crash.build` makes the model anew, if anybody knows how."""

    def __init__(
        self,
        crash: Crash,
        finding: Finding,
        failure: Failure,
        budget: Budget | None = None,
    ) -> None:
        self.crash = crash
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
        self.further: list[tuple[Draft, Program, Run]] = []
        self.drafted = self.tried = 0
        self.ended = False

    def looked_at(self, crash: Crash, finding: Finding, failure: Failure) -> World:
        """Everything that names stood for, in a run on copies."""
        files = files_of(crash)
        watched = Watched(files)
        with quiet(), random_state(), torch.no_grad():
            if crash.build is not None and not self.built.ran:
                with contextlib.suppress(Exception), torch.device("meta"):
                    self.built.run(crash.build)
            with contextlib.suppress(Exception):
                meta = _on_meta(crash)
                watched.run(meta)
        return World(crash, finding, failure, self.built, watched)

    def search(self) -> Found:
        try:
            self.singles()
            if not self.ended and not any(self.sound(repair) for repair in self.repairs):
                self.pairs()
        except OutOfBudget:
            self.ended = True
        ranked = sorted(self.repairs, key=_order, reverse=True)
        return Found(tuple(ranked), self.drafted, self.tried, self.ended)

    def sound(self, repair: Repair) -> bool:
        return repair.proof is not None and repair.proof.verified

    # --- one edit ---

    def singles(self) -> None:
        found = self.ordered(self.world)
        self.drafted += len(found)
        plain = self.bench.plain
        run = self.bench.values if plain.ran else self.bench.shapes
        ran: list[Repair] = []
        groups: set[str] = set()
        for number, (value, draft) in enumerate(found[:MOST_RUN]):
            if self.budget.left < self.budget.total * FOR_PROOFS:
                self.ended = True
                break
            if number % BATCH == 0 and self.enough(ran, value):
                break
            if draft.group in groups:
                continue
            tried = self.attempt(run, draft, None)
            if tried is None:
                continue
            program, outcome = tried
            if outcome.ran and draft.group:
                groups.add(draft.group)
            if outcome.ran:
                ran.append(Repair((draft,), program, outcome, None, value))
            elif outcome.steps > plain.steps:
                self.further.append((draft, program, outcome))
        self.prove(ran)

    def enough(self, ran: list[Repair], value: float) -> bool:
        """Whether an edit of this score can hardly come before those that passed."""
        likely = [repair for repair in ran if repair.score > value + UNLIKELIER]
        if not likely:
            return False
        self.prove(likely)
        passed = [repair for repair in self.repairs if self.sound(repair)]
        return len(passed) >= ENOUGH

    def ordered(self, world: World) -> list[tuple[float, Draft]]:
        return _by_score(self.scored(world, grammar.drafts(world)))

    def scored(self, world: World, drafts: list[Draft]) -> list[tuple[float, Draft]]:
        return [(rank.score(rank.before(world, draft), "before"), draft) for draft in drafts]

    def attempt(
        self, run: Callable[[Program], Run], draft: Draft, after: Program | None
    ) -> tuple[Program, Run] | None:
        self.tried += 1
        constructs = draft.rebuilds or (after is not None and after.constructs)
        try:
            program = Program.of(
                draft.edits,
                after=after,
                constructs=constructs,
                change=draft.stand_in,
                inputs=draft.change,
                batches=draft.batches,
            )
            with at_most(LEAST) if self.loops else contextlib.nullcontext():
                return program, run(program)
        except (CannotRunError, EndlessError, TooCostly):
            return None

    def prove(self, repairs: list[Repair]) -> None:
        """Prove the likeliest that are not yet, and keep all."""
        known = {id(repair.program) for repair in self.repairs}
        fresh = [repair for repair in repairs if id(repair.program) not in known]
        fresh.sort(key=lambda repair: repair.score, reverse=True)
        for repair in fresh:
            proven = len([1 for each in self.repairs if each.proof is not None])
            self.repairs.append(self.judged(repair) if proven < MOST_PROVEN else repair)

    def judged(self, repair: Repair) -> Repair:
        try:
            proof = prove(self.bench, repair.program)
        except (CannotRunError, TooCostly):
            return repair
        except OutOfBudget:
            self.ended = True
            return repair
        features = rank.after(self.world, repair.parts, proof.run, proof)
        return dataclasses.replace(repair, proof=proof, score=rank.score(features, "after"))

    # --- two edits ---

    def pairs(self) -> None:
        """What fails behind an edit that got further is mended together with it, by an edit of the
        same kind: a mistake that was made at several places."""
        plain = self.bench.plain
        score = {
            id(draft): rank.score(rank.before(self.world, draft), "before")
            for draft, _, _ in self.further
        }
        self.further.sort(
            key=lambda item: score[id(item[0])] + (item[2].steps > plain.steps + 2), reverse=True
        )
        made: list[Repair] = []
        for draft, program, _ in self.further[:MOST_BEHIND]:
            try:
                crash = self.bench.crash(program)
            except (CannotRunError, TooCostly):
                continue
            if crash is None:
                continue
            crash = dataclasses.replace(crash, build=self.crash.build)
            finding = rules.explain(crash)
            failure = crash.trace.failure
            if failure is None:
                continue
            world = self.looked_at(crash, finding, failure)
            second = [item for item in self.ordered(world) if item[1].kind == draft.kind]
            second = second[:MOST_SECOND]
            self.drafted += len(second)
            for value, other in second:
                tried = self.attempt(self.bench.shapes, other, program)
                if tried is not None and tried[1].ran:
                    both = (draft, other)
                    total = value + score[id(draft)]
                    made.append(Repair(both, tried[0], tried[1], None, total))
        self.prove(made)


DISCARDS = frozenset(("crop", "input_crop"))
"""What throws pixels away comes after what keeps them."""


def _order(repair: Repair) -> tuple[bool, bool, bool, float]:
    proof = repair.proof
    keeps = not any(part.kind in DISCARDS for part in repair.parts)
    return (proof is not None and proof.verified, keeps, proof is not None, repair.score)


def _by_score(found: list[tuple[float, Draft]]) -> list[tuple[float, Draft]]:
    return sorted(found, key=lambda pair: pair[0], reverse=True)


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
