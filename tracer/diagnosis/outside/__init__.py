"""What goes wrong outside any forward: checkpoints, optimizers, batches of a loader, `backward`,
transforms of functions, patterns, other processes.  What is said is read from the frames that the
exception passed, which still hold their values; nothing is run."""

from __future__ import annotations

from tracer.diagnosis.finding import Finding, Mark
from tracer.diagnosis.outside import (  # noqa: F401 - the rules enter themselves
    autograd,
    checkpoints,
    loaders,
    optimizers,
    patterns,
    processes,
    programs,
    transforms,
)
from tracer.diagnosis.outside.raised import Raised, answer, told, unknown
from tracer.diagnosis.rules import Case, any_rule, report
from tracer.sentences import at_operands

__all__ = ["Raised", "answer", "told", "unknown"]


@any_rule
def inside_a_forward(case: Case) -> Finding | None:
    """The same of what a forward does: it may use patterns, transforms and gradients."""
    found = answer(Raised.of(case.crash.error))
    if found is None:
        return None
    positions = {
        number: position
        for number, shown in enumerate(found.shown)
        if (position := case.position(shown.tensor)) is not None
    }
    marks = tuple(
        Mark(positions[number], dim, int(shown.tensor.shape[dim]))
        for number, shown in enumerate(found.shown)
        if number in positions
        for dim in shown.marks
    )
    said = report(
        at_operands(found.rule, positions),
        tuple(at_operands(each, positions) for each in found.because),
        at_operands(found.check, positions) if found.check is not None else "",
    )
    return Finding(found.kind, said, marks, found.facts, found.fixes)
