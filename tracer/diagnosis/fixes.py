"""Edits of the source that mend a failure, each proven by running it, the soundest first."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import inspect
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from torch import nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from tracer.diagnosis import fixes_calls, fixes_indices, fixes_layers, fixes_roots, fixes_tensors
from tracer.diagnosis.edits import applied, between, called, initialisers, text_of
from tracer.diagnosis.finding import Crash, Finding
from tracer.diagnosis.fixes_scene import REPAIRS, Candidate, Scene
from tracer.diagnosis.verify import (
    Bench,
    CannotRunError,
    Change,
    Outcome,
    OutOfTime,
    unobserved_output,
)
from tracer.document import Edit, Failure, Fix
from tracer.isolation import random_state

# Each enters its repairs.
SOURCES = (fixes_roots, fixes_layers, fixes_tensors, fixes_indices, fixes_calls)

SECONDS = 2.5
MOST = 4  # fixes that are shown
DEPTH = 3  # mistakes that are mended together
DOUBTFUL = 70  # from this rank on a fix is not offered

# What a run adds to a candidate's rank.
MIXES, SHRINKS, FURTHER = 45, 30, 12
CHAINED = 40  # and several together must be sounder than one


@dataclass(frozen=True)
class _Trial:
    """A candidate that was run, or several that were run together."""

    parts: tuple[Candidate, ...]
    outcome: Outcome
    batches: bool

    @property
    def rank(self) -> int:
        added = FURTHER * (len(self.parts) - 1)
        if self.outcome.mixes:
            added += MIXES
        if self.outcome.scales is False and self.batches:
            added += SHRINKS
        return sum(part.rank for part in self.parts) + added

    @property
    def verified(self) -> bool:
        return self.outcome.holds or (self.outcome.ran and not self.batches)


def find(crash: Crash, finding: Finding, failure: Failure) -> tuple[Fix, ...]:
    """The fixes of a failure, best first; empty when nothing sound was found.

    Raises nothing: what goes wrong here leaves the failure without fixes.
    """
    try:
        return _Search(crash, finding, failure).fixes()
    except (Exception, OutOfTime):  # noqa: BLE001 - the failure matters, not its repair
        return ()


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
        for each in _guarded(source(scene)):
            if each.edits not in found or each.rank < found[each.edits].rank:
                found[each.edits] = each
    if not types and (
        "dtype" in str(scene.crash.error) or "expected scalar type" in str(scene.crash.error)
    ):
        for each in _guarded(fixes_calls.casts(scene)):
            found.setdefault(each.edits, each)
    return sorted(found.values(), key=lambda c: c.rank)


def _guarded(source: Iterable[Candidate]) -> Iterator[Candidate]:
    """One repair that cannot read what it finds does not end the others."""
    iterator = iter(source)
    while True:
        try:
            yield next(iterator)
        except StopIteration:
            return
        except Exception:  # noqa: BLE001 - anything may be wrong with a call that failed
            return


def recovered(model: nn.Module) -> Callable[[], nn.Module] | None:
    """How to build a model anew that was handed over alone: its class with the arguments that its
    attributes and defaults show, if that makes the same model again."""
    elements = sum(
        parameter.numel()
        for parameter in model.parameters()
        if not isinstance(parameter, UninitializedTensorMixin)
    )
    first = next(initialisers(model), None)
    if elements > 20_000_000 or first is None:
        return None
    plain = (int, float, str, bool, tuple, list, type(None))
    values: dict[str, Any] = {}
    for name, parameter in inspect.signature(type(model)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        live = vars(model).get(name, model)
        if isinstance(live, plain):
            values[name] = live
        elif parameter.default is parameter.empty:
            return None
    build = functools.partial(type(model), **values)
    with unobserved_output(), random_state():
        made = build()
    same = repr(made) == repr(model) and _outline(made) == _outline(model)
    return build if same else None


def _outline(model: nn.Module) -> list[tuple[str, Any]]:
    return [(name, value.shape) for name, value in model.state_dict().items()]


class _Search:
    def __init__(self, crash: Crash, finding: Finding, failure: Failure) -> None:
        if not isinstance(crash.build, FunctionType | type | functools.partial):
            build = None
            with contextlib.suppress(Exception):
                build = recovered(crash.model)
            crash = dataclasses.replace(crash, build=build)
        self.crash = crash
        self.scene = Scene(crash, finding, failure)
        self.bench = self.workbench(values=crash.trace.seconds < 2 * SECONDS)
        self.trials: list[_Trial] = []

    def workbench(self, values: bool) -> Bench:
        crash = self.crash
        files = frozenset(frame.place.file for frame in crash.frames if frame.place.file)
        return Bench(
            crash.model, crash.args, crash.kwargs, crash.build, SECONDS, files, values=values
        )

    def fixes(self) -> tuple[Fix, ...]:
        first = candidates(self.scene)
        if not first:
            return ()
        try:
            began = time.monotonic()
            plain = self.bench.run((), batches=False)
            if self.bench.computed and time.monotonic() - began > SECONDS / 6:
                # Too slow to be run again and again: shapes alone.
                self.bench = self.workbench(values=False)
                plain = self.bench.run((), batches=False)
            if plain.error is None:
                return ()  # it does not fail again: nothing can be proven
            self.search((), (), first, plain.steps)
        except OutOfTime:
            pass
        return self.chosen()

    def search(
        self,
        before: tuple[Candidate, ...],
        sources: tuple[tuple[str, str], ...],
        found: list[Candidate],
        steps: int,
    ) -> None:
        """Run candidates, and mend what fails behind those that get further."""
        further: list[tuple[Candidate, Outcome]] = []
        extra = FURTHER * len(before) + sum(part.rank for part in before)
        for each in found:
            if before and each.rank + extra > CHAINED:
                break
            if self.enough(each.rank + extra):
                break
            outcome = self.run((*before, each), sources)
            if outcome is None:
                continue
            if outcome.ran:
                batches = all(part.batches for part in (*before, each))
                self.trials.append(_Trial((*before, each), outcome, batches))
            elif outcome.steps > steps or (each.rank < 6 and self.elsewhere(outcome)):
                further.append((each, outcome))
        if len(before) + 1 >= DEPTH:
            return
        for each, outcome in further[:6]:
            if each.rank + extra + FURTHER > CHAINED or self.enough(each.rank + extra + FURTHER):
                break
            scene = self.again(outcome)
            if scene is not None:
                self.search((*before, each), outcome.sources, candidates(scene)[:12], outcome.steps)

    def elsewhere(self, outcome: Outcome) -> bool:
        """A repair at the root may change what an earlier layer sees: that fails next."""
        words = " ".join(str(outcome.error).split())
        return words != " ".join(str(self.crash.error).split())

    def enough(self, rank: int) -> bool:
        """Whether candidates of this rank can still matter."""
        good = sorted(t.rank for t in self.trials if t.verified)
        if rank >= DOUBTFUL:
            return True
        if good and good[0] < 20 and rank >= 40 and self.bench.left < SECONDS * 0.6:
            return True
        return len(good) >= MOST and good[MOST - 1] <= rank

    def run(
        self, parts: tuple[Candidate, ...], sources: tuple[tuple[str, str], ...]
    ) -> Outcome | None:
        changes = [part.change for part in parts if part.change is not None]
        change = _all_of(changes) if changes else None
        try:
            if sources:
                return self.bench.run(
                    (), change, _batched(parts), _composed(sources, parts[-1].edits)
                )
            return self.bench.run(parts[-1].edits, change, _batched(parts))
        except CannotRunError:
            return None

    def again(self, outcome: Outcome) -> Scene | None:
        """The failure of an edited model, as the first was seen."""
        from tracer.diagnosis import rules
        from tracer.recorder import _run

        if outcome.model is None:
            return None

        def watch(_: int) -> None:
            if self.bench.left <= 0:
                raise OutOfTime

        with unobserved_output():
            recording = _run(
                outcome.model,
                self.bench.args,
                self.bench.kwargs,
                False,
                None,
                True,
                None,
                watch,
                None,
            )
        crash = recording.crash
        failure = crash.trace.failure if crash is not None else None
        if crash is None or failure is None:
            return None
        crash = dataclasses.replace(crash, build=self.crash.build)
        return Scene(crash, rules.explain(crash), failure)

    def chosen(self) -> tuple[Fix, ...]:
        sound = [trial for trial in self.trials if trial.verified]
        apart = [trial for trial in sound if not trial.outcome.mixes]
        # A model may mix its samples on purpose: then every fix does.
        plain = [t for t in sound if len(t.parts) == 1 and t.parts[0].rank < 20]
        sound = [trial for trial in apart or plain if trial.rank < DOUBTFUL]
        sound.sort(key=lambda trial: (trial.rank, len(trial.parts)))
        if not sound:
            sound = sorted(self.trials, key=lambda trial: trial.rank)[:1]
            sound = [trial for trial in sound if trial.rank < 30]
        made: dict[tuple[Edit, ...], Fix] = {}
        for trial in sound:
            fix = self.fix(trial)
            made.setdefault(fix.edits, fix)
        return tuple(made.values())[:MOST]

    def fix(self, trial: _Trial) -> Fix:
        outcome = trial.outcome
        edits = trial.parts[0].edits
        if len(trial.parts) > 1:
            edits = tuple(
                edit
                for file, new in outcome.sources
                for edit in between(file, _original(file), new)
            )
        notes = [part.caveat for part in trial.parts if part.caveat]
        if outcome.mixes:
            notes.append("The result of one sample then depends on the others in its batch.")
        if outcome.scales is False and trial.batches:
            notes.append("The output does not grow with the batch.")
        if outcome.second is not None and trial.batches:
            words = " ".join(str(outcome.second).split())[:160]
            notes.append(f"It runs for these inputs, and not for another batch size: {words}.")
        return Fix(
            summary="; then ".join(_lowered(p.summary, n) for n, p in enumerate(trial.parts)) + ".",
            edits=edits,
            verified=trial.verified,
            output_shapes=outcome.shapes,
            caveat=" ".join(dict.fromkeys(notes)),
        )


def _lowered(text: str, number: int) -> str:
    return text if number == 0 else text[:1].lower() + text[1:]


def _batched(parts: tuple[Candidate, ...]) -> bool:
    return all(part.batches for part in parts)


def _all_of(changes: list[Change]) -> Change:
    def change(model: nn.Module) -> None:
        for each in changes:
            each(model)

    return change


def _original(file: str) -> str:
    text = text_of(file)
    if text is None:
        raise CannotRunError(f"{file} has no text")
    return text.text


def _composed(
    sources: tuple[tuple[str, str], ...], edits: tuple[Edit, ...]
) -> tuple[tuple[str, str], ...]:
    """The edited texts with further edits made, which may name the edited file or the original."""
    texts = dict(sources)
    for name in dict.fromkeys(edit.file for edit in edits):
        own = tuple(edit for edit in edits if edit.file == name)
        file = name.partition(" (edited ")[0]
        try:
            if name != file:
                current = text_of(name)
                if current is None or current.text != texts.get(file):
                    raise CannotRunError(f"{name} is another text")
                texts[file] = applied(texts[file], own)
            elif file not in texts:
                texts[file] = applied(_original(file), own)
            else:
                earlier = between(file, _original(file), texts[file])
                texts[file] = applied(_original(file), (*earlier, *own))
        except ValueError as error:
            raise CannotRunError(str(error)) from error
    return tuple(texts.items())
