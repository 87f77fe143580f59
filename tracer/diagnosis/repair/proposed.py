"""A change that somebody else proposes, in the place of a search: it is run and proven as our own
repairs are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tracer.diagnosis.budget import OutOfBudget
from tracer.diagnosis.repair.bench import Bench, CannotRunError, Program
from tracer.diagnosis.repair.edited import Sources
from tracer.diagnosis.repair.loops import LEAST, LINES, lines_at_most
from tracer.diagnosis.repair.proof import CHECKS, Proof, prove
from tracer.diagnosis.repair.search import how_built
from tracer.diagnosis.repair.world import files_of
from tracer.diagnosis.repair.written import changed_functions, changes_at_the_top
from tracer.patches import Checked, Outcome
from tracer.record.crash import Crash
from tracer.sentences import Said, said


class Proposed:
    """What is done with a crash (`tracer.record.crash.Mend`): `texts`, the new texts of edited
    files by their names, are proven to mend it, and `checked` is what came of it, None before."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = dict(texts)
        self.checked: Checked | None = None

    def __call__(self, crash: Crash) -> None:
        crash = dataclasses.replace(crash, build=how_built(crash))
        bench = Bench(crash.model, crash.args, crash.kwargs, crash.build, files=files_of(crash))
        sources: Sources = tuple(self.texts.items())
        try:
            with lines_at_most(LINES * LEAST, bench.files | self.texts.keys()):
                self.checked = _checked(bench, sources)
        except CannotRunError as error:
            self.checked = _unproven(
                said("It cannot be made in the program that runs: {words}.", words=str(error))
            )
        except OutOfBudget:
            self.checked = _unproven(said("Runs with it cost more than a proof may take."))


def _checked(bench: Bench, sources: Sources) -> Checked:
    """
    Raises:
        CannotRunError, OutOfBudget: as `prove`.
    """
    if bench.plain.error is None:
        return _unproven(
            said("Run again, the program as it is does not fail: nothing can be proven.")
        )
    # What was built is run where the change is in the forward alone, and else built anew.
    proof: Proof | None = None
    if _in_functions_alone(sources):
        proof = prove(bench, Program(sources))
    if proof is None or not proof.run.ran:
        proof = prove(bench, Program(sources, constructs=True))
    made = {each.name: each for each in proof.checks}
    outcomes = tuple(
        Outcome(name, words, made[name].passed, None if made[name].passed else made[name].said)
        if name in made
        else Outcome(name, words, None)
        for name, words in CHECKS.items()
    )
    unproven = None
    if not proof.run.ran:
        words = " ".join(str(proof.run.error).split())[:200].rstrip(".")
        unproven = said(
            "The call that failed, run again alone on the same inputs, fails with it too: {words}.",
            words=words,
        )
    elif not proof.whole:
        unproven = said("The proof ended at its limit of work, before all was tried.")
    return Checked(proof.run.ran, proof.verified, outcomes, unproven)


def _in_functions_alone(sources: Sources) -> bool:
    """Whether a change is in functions other than constructors."""
    return not changes_at_the_top(sources) and all(
        each.name.rpartition(".")[2] != "__init__" for each in changed_functions(sources)
    )


def _unproven(why: Said) -> Checked:
    return Checked(False, False, unproven=why)
