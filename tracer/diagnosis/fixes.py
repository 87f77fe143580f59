"""Edits of the source that mend a failure, each proven by running it, the soundest first."""

from __future__ import annotations

import ast
import dataclasses
import functools
from dataclasses import dataclass
from types import FunctionType

from torch import nn

from tracer.diagnosis import (
    fixes_calls,
    fixes_indices,
    fixes_layers,
    fixes_roots,
    fixes_tensors,
    rules,
)
from tracer.diagnosis.budget import Budget, OutOfBudget, TooCostly
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.fixes_scene import REPAIRS, Candidate, Scene
from tracer.diagnosis.rebuild import recovered
from tracer.diagnosis.repair.answers import answers, cut_off
from tracer.diagnosis.repair.bench import Bench, CannotRunError, Change, Program, Run
from tracer.diagnosis.repair.edited import original
from tracer.diagnosis.repair.proof import WEAK, Proof, prove
from tracer.diagnosis.repair.search import Search
from tracer.document import Edit, Failure, Fix
from tracer.record.crash import Construction, Crash
from tracer.record.isolation import quiet
from tracer.sentences import Said, said
from tracer.source.edits import between
from tracer.source.text import called
from tracer.strict import tolerant, tolerated

# Each enters its repairs.
SOURCES = (fixes_roots, fixes_layers, fixes_tensors, fixes_indices, fixes_calls)

MOST = 4  # fixes that are shown
DEPTH = 3  # mistakes that are mended together
DOUBTFUL = 70  # from this rank on a fix is not offered

# What a run adds to a candidate's rank.
FAILED, FURTHER, UNEXECUTED = 45, 12, 8
BESIDE = 15  # a layer is built for a size that an earlier step got wrong
CHAINED = 40  # and several together must be sounder than one


def beside_the_root(scene: Scene, each: Candidate) -> Candidate:
    """A layer that is rebuilt for a size which an earlier step of the forward got wrong makes the
    forward run, and leaves the mistake where it is."""
    root = scene.failure.root
    if each.change is None or root is None or root.kind != "step":
        return each
    span = root.place.statement_span or root.place.span
    if span is None or (root.file, root.line) == (scene.failure.file, scene.failure.line):
        return each
    for edit in each.edits:
        if edit.file == root.file and span.line <= edit.span.line <= span.end_line:
            return each
    caveat = said(
        "The size comes from line {line}, which it leaves as it is: check that one first.",
        line=root.line,
    )
    if each.caveat is not None:
        caveat = said("{caveat} {further}", caveat=each.caveat, further=caveat)
    return dataclasses.replace(each, rank=each.rank + BESIDE, caveat=caveat)


@dataclass(frozen=True)
class _Trial:
    """A candidate that was run, or several that were run together."""

    parts: tuple[Candidate, ...]
    program: Program
    proof: Proof

    @property
    def rank(self) -> int:
        added = FURTHER * (len(self.parts) - 1) + FAILED * (not self.holds)
        if not self.proof.run.executed:
            added += UNEXECUTED
        return sum(part.rank for part in self.parts) + added

    @property
    def holds(self) -> bool:
        return all(check.name in WEAK for check in self.proof.failed)


def find(crash: Crash, finding: Finding, failure: Failure) -> tuple[tuple[Fix, ...], Said | None]:
    """The fixes of a failure, best first, none when there is nothing sound; and a sentence on what
    was not tried.

    Raises nothing: what goes wrong here leaves the failure without fixes.
    """
    with tolerant():
        search = _Search(crash, finding, failure)
        known, untried = search.fixes(), search.untried()
        if any(fix.verified for fix in known) or not _searched(crash, failure):
            return known, untried
        # Nobody knows this program: edits of every kind are tried at every place.
        found = Search(search.crash, finding, failure).search()
        tried = answers(found)
        proven = [fix for fix in tried if fix.verified]
        doubtful = [fix for fix in tried if not fix.verified]
        return (*proven, *known, *doubtful)[:MOST], untried or cut_off(found)
    return (), None


def _searched(crash: Crash, failure: Failure) -> bool:
    """Whether edits are tried everywhere: a size is wrong, and it is known, not guessed, how the
    model is built.  It takes seconds, for those who have asked why their program breaks."""
    known = crash.build is not None or _constructed(crash) is not None
    return known and bool(failure.operands)


def _constructed(crash: Crash) -> Construction | None:
    """How the model was constructed, if that was noted and would make the same again."""
    known = crash.constructions.get("")
    return known if known is not None and known.exact else None


def candidates(scene: Scene) -> list[Candidate]:
    """What might mend a failure, the soundest first; nothing of it has run."""
    kinds = {scene.op, f"kind:{scene.finding.kind}"} - {""}
    if scene.layer is not None:
        kinds.add(f"nn.{type(scene.layer).__name__}")
    if isinstance(scene.node, ast.Call):
        kinds.add(called(scene.node))  # `mm` may have failed as another operation inside
    found: dict[tuple[Edit, ...], Candidate] = {}
    types = "type" in scene.finding.kind or scene.finding.kind in ("dtype", "device")
    for names, source in REPAIRS:
        if names and not names & kinds:
            continue
        for each in tolerated(source(scene)):
            if each.edits not in found or each.rank < found[each.edits].rank:
                found[each.edits] = each
    if not types and ("dtype" in scene.crash.words or "expected scalar type" in scene.crash.words):
        for each in tolerated(fixes_calls.casts(scene)):
            found.setdefault(each.edits, each)
    return sorted((beside_the_root(scene, c) for c in found.values()), key=lambda c: c.rank)


class _Search:
    def __init__(self, crash: Crash, finding: Finding, failure: Failure) -> None:
        self.budget = Budget()
        if not isinstance(crash.build, FunctionType | type | functools.partial):
            build = None
            with tolerant(), quiet():
                known = _constructed(crash)
                build = recovered(crash.model) if known is None else known.call
            crash = dataclasses.replace(crash, build=build)
        self.crash = crash
        self.scene = Scene(crash, finding, failure)
        files = frozenset(frame.place.file for frame in crash.frames if frame.place.file)
        self.bench = Bench(crash.model, crash.args, crash.kwargs, crash.build, self.budget, files)
        self.trials: list[_Trial] = []
        # Candidates that were found, that were run, and that cost too much to be run to the end.
        self.found = self.ran = self.given_up = 0
        self.ended = False

    def fixes(self) -> tuple[Fix, ...]:
        first = candidates(self.scene)
        if not first:
            return ()
        self.found = len(first)
        try:
            plain = self.bench.plain
            if plain.error is not None:  # else it does not fail again, and nothing can be proven
                self.search((), Program(), first, plain.steps)
        except OutOfBudget:
            self.ended = True
        return self.chosen()

    def untried(self) -> Said | None:
        """What of the search was cut off, in one sentence; None if nothing was."""
        if self.ended and self.budget.in_time:
            return said(
                "The search for changes has a limit of work: {ran} of about {found} were tried.",
                ran=self.ran,
                found=self.found,
            )
        if self.ended:
            return said(
                "The search for changes has a limit of time: {ran} of about {found} were tried.",
                ran=self.ran,
                found=self.found,
            )
        if self.given_up:
            return said(
                "{given_up} of {ran} changes cost too much to be run to the end.",
                given_up=self.given_up,
                ran=self.ran,
            )
        return None

    def search(
        self,
        before: tuple[Candidate, ...],
        base: Program,
        found: list[Candidate],
        steps: int,
    ) -> None:
        """Run candidates, and mend what fails behind those that get further."""
        if before:
            self.found += len(found)
        further: list[tuple[Candidate, Program, Run]] = []
        extra = FURTHER * len(before) + sum(part.rank for part in before)
        for each in found:
            if before and each.rank + extra > CHAINED:
                break
            if self.enough(each.rank + extra):
                break
            parts = (*before, each)
            self.ran += 1
            try:
                program = _program(parts, base)
                run = self.bench.shapes(program)
                if run.ran:
                    proof = prove(self.bench, program)
                    self.trials.append(_Trial(parts, program, proof))
                    self.ended = self.ended or not proof.whole
                elif run.steps > steps or (each.rank < 6 and self.elsewhere(run)):
                    further.append((each, program, run))
            except CannotRunError:
                continue
            except TooCostly:
                self.given_up += 1
        if len(before) + 1 >= DEPTH:
            return
        for each, program, run in further[:6]:
            if each.rank + extra + FURTHER > CHAINED or self.enough(each.rank + extra + FURTHER):
                break
            scene = self.again(program)
            if scene is not None:
                self.search((*before, each), program, candidates(scene)[:12], run.steps)

    def elsewhere(self, run: Run) -> bool:
        """A repair at the root may change what an earlier layer sees: that fails next."""
        return str(run.error) != str(self.bench.plain.error)

    def enough(self, rank: int) -> bool:
        """Whether candidates of this rank can still matter."""
        good = sorted(t.rank for t in self.trials if t.holds)
        if rank >= DOUBTFUL:
            return True
        scarce = self.budget.left < self.budget.total * 0.6
        if good and good[0] < 20 and rank >= 40 and scarce:
            return True
        return len(good) >= MOST and good[MOST - 1] <= rank

    def again(self, program: Program) -> Scene | None:
        """The failure of an edited model, as the first was seen."""
        crash = self.bench.crash(program)
        failure = crash.trace.failure if crash is not None else None
        if crash is None or failure is None:
            return None
        crash = dataclasses.replace(crash, build=self.crash.build)
        return Scene(crash, rules.explain(crash), failure)

    def chosen(self) -> tuple[Fix, ...]:
        sound = [trial for trial in self.trials if trial.holds and trial.rank < DOUBTFUL]
        sound.sort(key=lambda trial: (trial.rank, len(trial.parts)))
        if not sound:
            ran = [trial for trial in self.trials if trial.proof.check("runs").passed]
            sound = sorted(ran, key=lambda trial: trial.rank)[:1]
            sound = [trial for trial in sound if trial.rank < FAILED + 30]
        made: dict[tuple[Edit, ...], Fix] = {}
        for trial in sound:
            fix = self.fix(trial)
            made.setdefault(fix.edits, fix)
        return tuple(made.values())[:MOST]

    def fix(self, trial: _Trial) -> Fix:
        edits = trial.parts[0].edits
        if len(trial.parts) > 1:
            edits = tuple(
                edit
                for file, new in trial.program.sources
                for edit in between(file, original(file).text, new)
            )
        notes = [part.caveat for part in trial.parts if part.caveat]
        if len(trial.parts) > 1 and max(part.rank for part in trial.parts) >= 10:
            notes.append(said("It changes several places, not all of which may be meant."))
        notes += [c.said for c in trial.proof.failed if c.said and c.name not in WEAK]
        if not trial.proof.whole:
            notes.append(said("The search ended before all was tried that a repair has to show."))
        run = trial.proof.run
        if not run.executed:
            notes.append(
                said(
                    "The edited constructor was not run, since its arguments are not known: the "
                    "layer was changed in a copy of the model instead."
                )
            )
        apart = trial.proof.check("independent").passed
        if not run.computed and apart is None and trial.program.batches:
            notes.append(
                said(
                    "Only shapes were run: whether each sample's result is independent of the "
                    "others was not checked."
                )
            )
        says, *further = (part.summary for part in trial.parts)
        for summary in further:
            says = said("{first}; then: {second}", first=says, second=summary)
        return Fix(
            says=said("{what}.", what=says),
            edits=edits,
            verified=trial.proof.verified,
            output_shapes=run.shapes,
            notes=tuple(dict.fromkeys(notes)),
        )


def _program(parts: tuple[Candidate, ...], base: Program) -> Program:
    """The last of the candidates on top of the others.

    Raises:
        CannotRunError: they do not make a program.
    """
    changes = [part.change for part in parts if part.change is not None]
    return Program.of(
        parts[-1].edits,
        base,
        constructs=bool(changes),
        change=_all_of(changes) if changes else None,
        batches=all(part.batches for part in parts),
    )


def _all_of(changes: list[Change]) -> Change:
    def change(model: nn.Module) -> None:
        for each in changes:
            each(model)

    return change
