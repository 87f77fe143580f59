"""Why a call was refused, as sentences that are data: a text with gaps, and what goes into them.

An entry says of its violations `report(refusal)`; nothing is put into words before somebody reads
it, in his language and with numbers or formulas (`tracer.sentences`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tracer.ops.bound import Violation
from tracer.ops.call import At, Call, Operand
from tracer.sentences import Count, Said, ShapeOf, SizeAt, said

THE_TENSOR = said("the tensor")
THE_FIRST, THE_SECOND = said("the first"), said("the second")


@dataclass(frozen=True)
class Report:
    """`rule` is the rule with its numbers, in one sentence, `reason` what that means here in a few
    plain ones.  `check` is one sentence for the reader when no fix is found."""

    rule: Said
    reason: tuple[Said, ...]
    check: Said | None = None


@dataclass(frozen=True)
class Refusal:
    """A violation as its report sees it.

    `call.operands[i].name` is what the reader calls a tensor.  `who` is the layer's path, or the
    operation, as the subject of a sentence; `built` the layer as it was built
    (`nn.Linear(400, 120)`), empty for a plain operation.  `written` is the operation as the author
    wrote it: `mse_loss`, where torch broke off in its `broadcast_tensors`.
    """

    call: Call
    violation: Violation
    who: str
    built: str = ""
    path: str = ""
    written: str = ""

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.violation.facts

    def operand(self, *names: str) -> Operand:
        index = self.call.tensor(*names)
        return self.call.operands[index if index is not None else 0]

    def name(self, index: int | None, otherwise: str | Said = THE_TENSOR) -> str | Said:
        """What the reader calls an operand, or words for it."""
        return (self.call.operands[index].name if index is not None else "") or otherwise

    def shape(self, index: int) -> ShapeOf:
        return ShapeOf(self.call.operands[index].shape, index)

    def size(self, at: At) -> SizeAt:
        return SizeAt(*at, self.call.operands[at.operand].shape[at.dim])

    def pair(
        self, first: str | Said = THE_FIRST, second: str | Said = THE_SECOND
    ) -> dict[str, Any]:
        """What a sentence on the first two marks is filled with: the sizes `one` and `two`, which
        do not go together, in dimensions `dim_a` and `dim_b` of `a` `shape_a` and `b` `shape_b`;
        `first` and `second` are words for a tensor without a name."""
        one, two = (SizeAt(m.operand, m.dim, m.size) for m in self.violation.marks[:2])
        return {
            "op": self.call.op,
            "who": self.who,
            "a": self.name(one.operand, first),
            "b": self.name(two.operand, second),
            "shape_a": self.shape(one.operand),
            "shape_b": self.shape(two.operand),
            "one": one,
            "two": two,
            "dim_a": one.dim,
            "dim_b": two.dim,
        }

    def is_built(self) -> Said:
        """`fc1 is nn.Linear(400, 120)`"""
        if not self.built:
            return said("{who} is a layer", who=self.who)
        if not self.path:
            return said("the layer is {built}", built=self.built)
        return said("{path} is {built}", path=self.path, built=self.built)


__all__ = ["Count", "Refusal", "Report", "Reports", "Said", "ShapeOf", "SizeAt", "said"]

Reports = Callable[[Refusal], Report | None]
