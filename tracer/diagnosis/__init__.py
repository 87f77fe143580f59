"""A failed run → which rule is broken, where the wrong size was born, and what mends it."""

from __future__ import annotations

import contextlib
import dataclasses

from tracer.crash import Crash
from tracer.diagnosis import (  # noqa: F401 - the rules enter themselves
    fixes,
    root,
    rules,
    rules_layers,
    rules_product,
    rules_python,
    rules_shape,
)
from tracer.diagnosis.finding import Finding
from tracer.document import Failure, Operand
from tracer.isolation import random_state, unobserved


def diagnose(crash: Crash) -> Failure:
    """The failure of `crash.trace` with all that can be said of it.  Never raises: where a part
    of the diagnosis cannot be had, the failure goes without it."""
    failure = crash.trace.failure
    assert failure is not None
    with contextlib.suppress(Exception), random_state():
        with unobserved():
            finding = rules.explain(crash)
            failure = _with_finding(failure, finding)
            with contextlib.suppress(Exception):
                failure = dataclasses.replace(failure, root=root.root(crash, finding, failure))
        mended, untried = fixes.find(crash, finding, failure)
        check = "" if mended else finding.check
        parts = (failure.reason, check, _in_formulas(failure), untried)
        reason = " ".join(part for part in parts if part)
        failure = dataclasses.replace(failure, fixes=mended, reason=reason)
    return failure


def _in_formulas(failure: Failure) -> str:
    """What the sizes at odds are in the names of the inputs' sizes, where they have names."""
    found = dict.fromkeys(
        f"{operand.note.shape[dim]} is {operand.note.dims[dim].text}"
        for operand in failure.operands
        for dim in operand.marks
        if dim < len(operand.note.dims) and not operand.note.dims[dim].text.isdecimal()
    )
    return f"In the inputs' sizes, {' and '.join(found)}." if found else ""


def _with_finding(failure: Failure, finding: Finding) -> Failure:
    return dataclasses.replace(
        failure,
        rule=finding.rule,
        reason=finding.reason,
        operands=tuple(
            _marked(operand, {mark.dim for mark in finding.marks if mark.operand == index})
            for index, operand in enumerate(failure.operands)
        ),
    )


def _marked(operand: Operand, marks: set[int]) -> Operand:
    return dataclasses.replace(operand, marks=tuple(sorted(marks)))
