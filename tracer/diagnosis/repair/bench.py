"""Runs edited programs on the inputs that failed: on shapes alone, and with values for those that
get through.  The user's module, functions, inputs and random state are left as they were."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from tracer.diagnosis.budget import RECORDED, Budget
from tracer.diagnosis.verify import Bench as Trials
from tracer.diagnosis.verify import (
    CannotRunError,
    Change,
    Outcome,
    Shapes,
    unobserved_output,
)
from tracer.document import Edit, with_edits
from tracer.record.crash import Crash
from tracer.record.run import record
from tracer.source.edits import between
from tracer.source.text import text_of

__all__ = ["Bench", "CannotRunError", "Change", "Program", "Run"]

Sources = tuple[tuple[str, str], ...]
Inputs = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]


@dataclass(frozen=True)
class Program:
    """What is run in the place of what failed.

    `sources` has the whole new text of each edited file.  `constructs` says that an edit is in
    code that runs while the model is built; `change` then does to a copy of the model what these
    edits do, for where nobody knows how to build the model.  `inputs` is what a caller does to the
    inputs, those of other batch sizes too; `prepare` what he does to the model before the call
    (`model.eval()`).  `batches` is false where the inputs get the batch that they lacked.
    """

    sources: Sources = ()
    constructs: bool = False
    change: Change | None = None
    inputs: Inputs | None = None
    prepare: Change | None = None
    batches: bool = True

    @classmethod
    def of(cls, edits: Iterable[Edit], after: Program | None = None, **fields: Any) -> Program:
        """The program with the edits made, on top of those of `after`, whose edited text they may
        name as the file.

        Raises:
            CannotRunError: they overlap, or a file has no text.
        """
        sources = composed(after.sources if after is not None else (), tuple(edits))
        return cls(sources, **fields)


@dataclass(frozen=True)
class Run:
    """One run of a program on the inputs that failed.

    `error` is what it raised, None when it ran; `steps` counts the calls of torch until then.
    `shapes` are its outputs'.  `computed` is false when shapes alone were run, `executed` when an
    edited constructor was not and the program's `change` stood in for it; `kept` says that every
    parameter has the shape that it had, so that a checkpoint still loads.
    """

    error: Exception | None
    steps: int
    shapes: Shapes = ()
    computed: bool = True
    executed: bool = True
    kept: bool = True

    @property
    def ran(self) -> bool:
        return self.error is None


class Bench:
    """Runs programs in the place of one failed call `model(*args, **kwargs)`.

    Args:
        build: makes the model anew, for edits in a constructor; None if nobody knows how.
        budget: the work that all runs together may take.
        files: files whose functions may stand between the model and an edit.

    All of its runs raise:
        CannotRunError: the edits do not make a program.
        OutOfBudget: the budget is used up.
        TooCostly: this run alone takes a good part of it.
    """

    def __init__(
        self,
        model: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        build: Callable[[], nn.Module] | None = None,
        budget: Budget | None = None,
        files: frozenset[str] = frozenset(),
    ) -> None:
        self.budget = budget or Budget()
        self._given = (model, args, kwargs, build, self.budget, files)

    @functools.cached_property
    def _sized(self) -> Trials:
        return Trials(*self._given, values=False)

    @functools.cached_property
    def _valued(self) -> Trials:
        return Trials(*self._given, values=True)

    @property
    def batch(self) -> int | None:
        """The size of the inputs' batch."""
        return self._sized.batch

    @functools.cached_property
    def plain(self) -> Run:
        """The program as it is: how far it gets."""
        return self.shapes(Program())

    def shapes(self, program: Program) -> Run:
        """Run it on shapes alone."""
        return _run(self.outcome(program, values=False, batches=False))

    def values(self, program: Program) -> Run:
        """Run it with values; the weights are the user's own, without a copy."""
        return _run(self.outcome(program, values=True, batches=False))

    def outcome(self, program: Program, values: bool, batches: bool) -> Outcome:
        trials = self._valued if values else self._sized
        change = program.change or (_nothing if program.constructs else None)
        return trials.run((), change, batches and program.batches, program.sources)

    def crash(self, program: Program) -> Crash | None:
        """The failure of a program, recorded as the first was; None when it runs."""
        outcome = self.outcome(program, values=True, batches=False)

        def watch(_: int) -> None:
            self.budget.spend(RECORDED)

        if outcome.model is None or outcome.ran:
            return None
        trials = self._valued
        with unobserved_output(), trials.on_device():
            return record(outcome.model, trials.args, trials.kwargs, watch=watch).crash


def composed(sources: Sources, edits: tuple[Edit, ...]) -> Sources:
    """The edited texts with further edits made, which may name the edited file or the original.

    Raises:
        CannotRunError: two overlap, or a file has no text.
    """
    texts = dict(sources)
    for name in dict.fromkeys(edit.file for edit in edits):
        own = tuple(edit for edit in edits if edit.file == name)
        file = name.partition(" (edited ")[0]
        try:
            if name != file:
                current = text_of(name)
                if current is None or current.text != texts.get(file):
                    raise CannotRunError(f"{name} is another text")
                texts[file] = with_edits(texts[file], own)
            else:
                text = original(file)
                earlier = between(file, text, texts.get(file, text))
                texts[file] = with_edits(text, (*earlier, *own))
        except ValueError as error:
            raise CannotRunError(str(error)) from error
    return tuple(texts.items())


def original(file: str) -> str:
    """
    Raises:
        CannotRunError: the file has no text.
    """
    text = text_of(file)
    if text is None:
        raise CannotRunError(f"{file} has no text")
    return text.text


def _nothing(model: nn.Module) -> None:
    raise CannotRunError("nobody knows how to build the model")


def _run(outcome: Outcome) -> Run:
    return Run(outcome.error, outcome.steps, outcome.shapes, outcome.computed, outcome.executed)
