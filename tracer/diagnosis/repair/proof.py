"""What an edited program has to show before it is called a repair: that it does for other batches,
other sizes, single samples, gradients and other users of the edited line what it should."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.diagnosis.repair.bench import Bench, Program, Run
from tracer.sentences import Said, said

CHECKS = (
    "runs",  # on the same inputs
    "batches",  # for two further batch sizes, and the output has the batch that the input has
    "sizes",  # for another width and height, and another length
    "independent",  # one sample changed alone changes its own result alone
    "permuted",  # a permuted batch gives a permuted result
    "gradients",  # they reach every parameter that they reached in the parts that ran
    "used",  # every value that was used is still used
    "instances",  # what else the edited line makes or computes stays as it was
    "kinds",  # no index and no class number serves as a quantity
    "literals",  # no number is written where a name serves
)
WEAK = ("literals",)  # it is told, and a repair may pass without it


@dataclass(frozen=True)
class Check:
    """`passed` is None where the check does not apply or could not be made; `said` is one sentence
    on what is wrong, or on why it could not be made."""

    name: str
    passed: bool | None
    said: Said | None = None


@dataclass(frozen=True)
class Proof:
    """What a program has shown; `checks` has those of `CHECKS` that were made, in that order, up to
    the first run that failed."""

    run: Run
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def verified(self) -> bool:
        """All hold, and what the edits changed was executed."""
        return self.run.ran and self.run.executed and all(c.name in WEAK for c in self.failed)

    def check(self, name: str) -> Check:
        """Of this name; one that was not made has `passed` None."""
        return next((check for check in self.checks if check.name == name), Check(name, None))


def prove(bench: Bench, program: Program) -> Proof:
    """Run what `bench.shapes` let through in all the ways in which a repair has to hold.

    Raises:
        CannotRunError, OutOfBudget, TooCostly: as the bench does.
    """
    outcome = bench.outcome(program, values=True, batches=True)
    run = Run(outcome.error, outcome.steps, outcome.shapes, outcome.computed, outcome.executed)
    checks = [Check("runs", run.ran)]
    if run.ran:
        holds = outcome.second is None and outcome.scales is not False
        checks.append(Check("batches", holds))
        mixes = said("It runs, but mixes samples.") if outcome.mixes else None
        checks.append(Check("independent", None if outcome.mixes is None else not mixes, mixes))
    return Proof(run, tuple(checks))
