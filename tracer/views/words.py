"""What is said of one step, in the words of its operation's entry in the table; where it has none,
the shapes before and after are compared."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

from tracer.document import Step, TensorNote
from tracer.ops import say
from tracer.ops.call import Unclear
from tracer.ops.names import is_reflected
from tracer.ops.table import TABLE, bound_step
from tracer.sentences import Said, ShapeOf, said
from tracer.views.dimensions import Dims, Known


class Told(NamedTuple):
    """What is said of a step; dimensions it does not give are left to the step's children."""

    summary: Said
    changes: Sequence[Said] = ()
    outputs: Sequence[Dims] = ()


def tell(step: Step, known: Known) -> Told:
    """What `step` did, in words, and the dimensions of its outputs."""
    if step.error is not None:
        first = next(iter(step.error.strip().splitlines()), "")
        return Told(said("Stopped here: {error}", error=first))
    told = _by_table(step, known) or Told(_compared(step))
    english, summary = str(told.summary), told.summary
    if step.writes and "in place" not in english:
        summary = said("{summary}, in place", summary=summary)
    dtype = [] if "dtype" in english else _dtype_line(step)
    return Told(summary, [*told.changes, *dtype], told.outputs)


def _by_table(step: Step, known: Known) -> Told | None:
    bound = bound_step(step)
    entry = TABLE[bound.call.op] if bound is not None else None
    if bound is None or entry is None:
        return None
    told = say.Told(_compared(step))
    if entry.words is not None:
        # Words may read what the shapes do not depend on, which may be damaged on its own.
        with contextlib.suppress(Unclear):
            told = entry.words(say.Spoken(bound, step.op, is_reflected(step.op)))
    return Told(told.summary, told.changes, known.follow(bound, step))


def _compared(step: Step) -> Said:
    """What can be said of any step: the shapes before and after."""
    before, after = ([note.shape for note in notes] for notes in (step.inputs, step.outputs))
    if not after:
        return said("No tensor comes out")
    if not before:
        return said("A new tensor {shapes}", shapes=say.some_shapes(after))
    if len(after) == 1 and after[0] == before[0]:
        return said("Shape kept: {shape}", shape=ShapeOf(after[0]))
    return say.arrow(say.some_shapes(before), say.some_shapes(after))


def _dtype_line(step: Step) -> list[Said]:
    if not step.inputs or not step.outputs:
        return []
    before, after = _dtype(step.inputs[0]), _dtype(step.outputs[0])
    # A condition or an index beside an operand of this dtype did not turn into it.
    if after in [_dtype(note) for note in step.inputs]:
        return []
    return [say.property_changed("dtype", before, after)]


def _dtype(note: TensorNote) -> str:
    return note.dtype.removeprefix("torch.")
