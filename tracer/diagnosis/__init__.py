"""A failed run → which rule is broken, where the wrong size was born, and what mends it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tracer.diagnosis import (  # noqa: F401 - the rules enter themselves
    fixes,
    origins,
    outside,
    python_errors,
    rules,
)
from tracer.diagnosis.chain import chain
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.histories import histories
from tracer.diagnosis.repair.answers import told_apart
from tracer.diagnosis.roots import root
from tracer.diagnosis.roots.places import Search
from tracer.document import Failure, Operand, Violation
from tracer.record.construction import paused
from tracer.record.crash import Crash, Mend
from tracer.record.isolation import is_tried, random_state, trying, unobserved
from tracer.sentences import Said, said
from tracer.strict import tolerant


def diagnose(crash: Crash, mend: Mend = True) -> Failure:
    """The failure of `crash.trace` with all that can be said of it, without a search of what mends
    it unless `mend` is true.  Never raises: where a part of the diagnosis cannot be had, the
    failure goes without it, and where the code that failed is tried by another diagnosis it goes
    without all."""
    failure = crash.trace.failure
    assert failure is not None
    if is_tried():
        return failure
    with tolerant(), trying(), random_state(), paused():
        finding, failure = understood(crash, failure)
        if mend is not True:
            if mend is not False:
                mend(crash)
            return failure
        mended, untried = fixes.find(crash, finding, failure)
        mended = told_apart((*finding.fixes, *mended))
        settled = any(fix.verified and not fix.caveat for fix in mended)
        check = None if settled else finding.report.check
        more = [sentence for sentence in (check, *_in_formulas(failure), untried) if sentence]
        failure = dataclasses.replace(failure, fixes=mended, violation=_violation(finding, more))
        with tolerant():
            failure = origins.judged(Search(crash, finding, failure))
    return failure


def understood(crash: Crash, failure: Failure) -> tuple[Finding, Failure]:
    """Which rule is broken, and the failure with all that can be said of it but what mends it."""
    with unobserved():
        finding = rules.explain(crash)
        failure = _with_finding(failure, finding)
        with tolerant():
            failure = dataclasses.replace(failure, root=root(crash, finding, failure))
        with tolerant():
            failure = dataclasses.replace(failure, histories=histories(crash, finding, failure))
        with tolerant():
            links = chain(Search(crash, finding, failure))
            failure = dataclasses.replace(failure, chain=links)
    return finding, failure


def _violation(finding: Finding, more: Sequence[Said] = ()) -> Violation:
    return Violation(finding.kind, finding.report.rule, (*finding.report.reason, *more))


def _in_formulas(failure: Failure) -> list[Said]:
    """What the sizes at odds are in the names of the inputs' sizes, where they have names."""
    found = dict.fromkeys(
        said("{size} is {formula}", size=operand.note.shape[dim], formula=formula.text)
        for operand in failure.operands
        for dim, formula in enumerate(operand.note.dims)
        if dim in operand.marks and not formula.text.isdecimal()
    )
    return [said("In the inputs' sizes, {sizes}.", sizes=tuple(found))] if found else []


def _with_finding(failure: Failure, finding: Finding) -> Failure:
    return dataclasses.replace(
        failure,
        violation=_violation(finding),
        operands=tuple(
            _marked(operand, {mark.dim for mark in finding.marks if mark.operand == index})
            for index, operand in enumerate(failure.operands)
        ),
    )


def _marked(operand: Operand, marks: set[int]) -> Operand:
    return dataclasses.replace(operand, marks=tuple(sorted(marks)))
