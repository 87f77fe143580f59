"""What is said of one step: a rule for each kind of operation.

A rule reads the shapes and the recorded arguments, checks that they fit each other, and only then
speaks.  Where they do not determine what happened, the words only compare shapes.
"""

from __future__ import annotations

import contextlib

from tracer.document import Step
from tracer.ops import call as ops_call
from tracer.ops.names import is_reflected, op_name, shape_text
from tracer.ops.say import Spoken
from tracer.ops.table import TABLE, bound_step
from tracer.views.dimensions import Known
from tracer.views.rules import layers
from tracer.views.rules.case import RULES, Case, Told, Unclear, dtype_of, some_shapes

__all__ = ["Told", "layers", "tell"]

_HEADS = frozenset(
    ["torch", "Tensor", "F", "nn", "torch.special", "torch.nn.functional", "torch.functional"]
)
_LINALG = frozenset(["norm", "vector_norm", "matmul"])


def tell(step: Step, known: Known) -> Told:
    """What `step` did, in words, and the dimensions of its outputs."""
    if step.error is not None:
        first = next(iter(step.error.strip().splitlines()), "")
        return Told(f"Stopped here: {first}")
    told = _by_table(step, known) or _by_rule(step, known) or Told(_compared(step))
    in_place = ", in place" if step.writes and "in place" not in told.summary else ""
    return Told(told.summary + in_place, [*told.changes, *_dtype_line(step)], told.outputs)


def _by_table(step: Step, known: Known) -> Told | None:
    bound = bound_step(step)
    entry = TABLE[bound.call.op] if bound is not None else None
    if bound is None or entry is None:
        return None
    told = Told(_compared(step))
    if entry.words is not None:
        # Words may read what the shapes do not depend on, which may be damaged on its own.
        with contextlib.suppress(ops_call.Unclear):
            told = Told(*entry.words(Spoken(bound, step.op, is_reflected(step.op))))
    return Told(told.summary, told.changes, known.follow(bound, step.inputs))


def _by_rule(step: Step, known: Known) -> Told | None:
    name, reflected = _short_name(step.op)
    rule = RULES.get(name)
    if rule is None:
        return None
    signature = rule.signature
    if step.op.startswith("nn."):
        signature = layers.MODULE_SIGNATURES.get(name, signature)
    try:
        return rule.tell(Case(step, known, name, rule.words, signature, reflected))
    except Unclear:
        return None


def _short_name(op: str) -> tuple[str, bool]:
    """`add` for torch.add, Tensor.__add__, __iadd__, __radd__ and add_; and whether the operands
    are reflected, as in `1 - x`."""
    head, _, name = op.rpartition(".")
    if head == "nn":
        return layers.MODULES.get(name, f"nn.{name}"), False
    if head not in _HEADS and not (head == "torch.linalg" and name in _LINALG):
        return "", False
    return op_name(op), is_reflected(op)


def _compared(step: Step) -> str:
    """What can be said of any step: the shapes before and after."""
    before, after = ([note.shape for note in notes] for notes in (step.inputs, step.outputs))
    if not after:
        return "No tensor comes out"
    if not before:
        return f"A new tensor {some_shapes(after)}"
    if len(after) == 1 and after[0] == before[0]:
        return f"Shape kept: {shape_text(after[0])}"
    return f"{some_shapes(before)} → {some_shapes(after)}"


def _dtype_line(step: Step) -> list[str]:
    if not step.inputs or not step.outputs:
        return []
    before, after = dtype_of(step.inputs[0]), dtype_of(step.outputs[0])
    # A condition or an index beside an operand of this dtype did not turn into it.
    if after in [dtype_of(note) for note in step.inputs]:
        return []
    return [f"dtype {before} → {after}"]
