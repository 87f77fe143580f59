"""What the operation table says of a crash: the rule that the failed call breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from tracer.diagnosis.finding import Finding, Mark
from tracer.document import TensorAt
from tracer.ops.bound import Violation
from tracer.ops.call import Call
from tracer.ops.refusal import Refusal, Report
from tracer.ops.table import bind, report_on
from tracer.record.live import live_call, live_layer_call
from tracer.sentences import at_operands

if TYPE_CHECKING:
    from tracer.diagnosis.rules import Case


def by_table(case: Case) -> Finding | None:
    """The finding for the operation that failed; None where the table has no entry, cannot read the
    call or sees nothing wrong with it."""
    crash = case.crash
    if crash.function is None:
        return None
    call, tensors = live_call(crash.function, crash.call_args, crash.call_kwargs, op=crash.op)
    return _found(case, call, tensors)


def layer_by_table(case: Case) -> Finding | None:
    """The finding for the module of torch.nn that was running, as a whole: some are checked before
    they come to an operation."""
    running = case.running
    if running is None:
        return None
    return _found(case, *live_layer_call(running.layer, running.args, running.kwargs))


def _found(case: Case, call: Call, tensors: list[Tensor]) -> Finding | None:
    call = replace(
        call,
        operands=tuple(
            replace(operand, name=case.own_name(tensor))
            for operand, tensor in zip(call.operands, tensors, strict=True)
        ),
    )
    found = bind(call)
    if found is None or found.violation is None:
        return None
    report = _report(case, found.call, found.violation)
    positions = _positions(case, tensors)
    return Finding(
        found.violation.kind,
        Report(
            at_operands(report.rule, positions),
            tuple(at_operands(sentence, positions) for sentence in report.reason),
            at_operands(report.check, positions) if report.check is not None else None,
        ),
        _marks(found.violation, positions),
        {
            name: positions.get(value.index or 0) if type(value) is TensorAt else value
            for name, value in found.violation.facts.items()
        },
    )


def _report(case: Case, call: Call, violation: Violation) -> Report:
    path = case.running.path if case.running is not None else ""
    return report_on(Refusal(call, violation, case.who(call.op), case.built(), path, case.written))


def _positions(case: Case, tensors: list[Tensor]) -> dict[int, int]:
    """Which of the failure's operands each of the call's is: one tensor on both sides of an
    operator is two."""
    found: dict[int, int] = {}
    for number, tensor in enumerate(tensors):
        earlier = sum(each is tensor for each in tensors[:number])
        position = case.position(tensor, earlier)
        if position is not None:
            found[number] = position
    return found


def _marks(violation: Violation, positions: dict[int, int]) -> tuple[Mark, ...]:
    made = [
        Mark(positions[mark.operand], mark.dim, int(mark.size), mark.wanted)
        for mark in violation.marks
        if mark.operand in positions
    ]
    return tuple(dict.fromkeys(made))
