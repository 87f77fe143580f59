"""All families together: what a call gives, or what it breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from tracer.document import Step
from tracer.ops import (  # noqa: F401 - each enters its operations
    affine_grid,
    attention,
    convolution,
    create,
    ctc_loss,
    diagonal,
    einsum,
    elementwise,
    embedding,
    gather,
    grid_sample,
    index,
    join,
    linear,
    loss,
    margin,
    matrices,
    memory,
    norm,
    patches,
    permute,
    pool,
    product,
    recurrent,
    reduce,
    repeat,
    reshape,
    resize,
    search,
    spectral,
    split,
    statistics,
)
from tracer.ops.bound import Bound, Violation
from tracer.ops.call import Call, Operand, Shape, Size, Unclear
from tracer.ops.kinds import general_report
from tracer.ops.refusal import Refusal, Report
from tracer.ops.reports import SHARED
from tracer.ops.spec import TABLE, Op, bind
from tracer.ops.steps import call_of

__all__ = [
    "TABLE",
    "Bound",
    "Call",
    "Op",
    "Operand",
    "Violation",
    "bind",
    "bound_step",
    "flops",
    "report_on",
    "shares_memory",
]


def report_on(refusal: Refusal) -> Report:
    """Why a call was refused, in its operation's words, else in those of the kind of violation."""
    kind = refusal.violation.kind
    for report in (TABLE[refusal.call.op].report, SHARED.get(kind)):
        found = report(refusal) if report is not None else None
        if found is not None:
            return found
    return general_report(refusal)


def entry_of(step: Step) -> Op | None:
    """The entry of a recorded step's operation."""
    call = call_of(step)
    return TABLE.get(call.op) if call is not None else None


def bound_step(step: Step) -> Bound | None:
    """What a recorded step's operation makes of its operands; None where the table has no entry,
    or where its shapes are not those that were recorded."""
    call = call_of(step)
    found = bind(call) if call is not None else None
    if found is None or found.violation is not None:
        return None
    made = found.shapes
    recorded = tuple(result.shape for result in call.results) if call is not None else ()
    return found if recorded and made == recorded and _is_whole(found) else None


def _is_whole(found: Bound) -> bool:
    """Whether all dimensions that it names are there: a file may be damaged."""
    named = [at for dims in found.results for dim in dims for at in dim.sources]
    named += [at for pair in found.ties for at in pair]
    named += [*found.roles, *found.stacked]
    return all(at.dim < found.call.operands[at.operand].rank for at in named)


def flops(step: Step, shapes: Mapping[int, Shape] | None = None) -> Size | None:
    """Floating-point operations of a recorded step, or of the steps inside it: two for each product
    that is summed, as `torch.utils.flop_counter` counts them (which leaves out some products with
    vectors).  None where it is not known.

    Args:
        shapes: sizes that are symbols, by the id of a tensor's note.
    """
    if step.children:
        found: list[Size] = [flops(child, shapes) for child in step.children]
        return None if None in found else sum(found)
    call = call_of(step)
    entry = TABLE.get(call.op) if call is not None else None
    if call is None or entry is None or entry.flops is None or step.error is not None:
        return 0
    if shapes is not None:
        sized = zip(step.inputs, call.operands, strict=True)
        own = tuple(replace(o, shape=shapes.get(note.id, o.shape)) for note, o in sized)
        call = replace(call, operands=own)
    bound = bind(call)
    if bound is None or bound.violation is not None:
        return None
    if shapes is not None:
        bound = _given(bound, [shapes.get(note.id) for note in step.outputs])
    try:
        return entry.flops(bound)
    except Unclear:
        return None


def _given(bound: Bound, shapes: Sequence[Shape | None]) -> Bound:
    """With the results' sizes as they are known.  Worked out from the operands they would be those
    of the arguments' numbers, as a padding of 1 is, which may follow from a size themselves."""
    results = tuple(
        dims
        if shape is None or len(shape) != len(dims)
        else tuple(replace(dim, size=size) for dim, size in zip(dims, shape, strict=True))
        for dims, shape in zip_longest(bound.results, shapes[: len(bound.results)], fillvalue=None)
        if dims is not None
    )
    return replace(bound, results=results)


def shares_memory(step: Step) -> bool:
    """Whether the step's results are (nearly always) another look at its operand's memory."""
    call = call_of(step)
    entry = TABLE.get(call.op) if call is not None else None
    return entry is not None and entry.shares
