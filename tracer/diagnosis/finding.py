"""What the parts of a diagnosis hand to each other: which rule is broken, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tracer.document import Fix
from tracer.ops.refusal import Report
from tracer.sentences import render


@dataclass(frozen=True)
class Mark:
    """Dimension `dim` (from 0) of `operands[operand]` has `size` where the rule wants `wanted`;
    `wanted` is None when no single number would do."""

    operand: int
    dim: int
    size: int
    wanted: int | None = None


@dataclass(frozen=True)
class Finding:
    """What an operation's rule says of a crash.

    `report` has the sentences; operands in it and in the marks are the failure's.  `facts` are the
    numbers a repair needs, by name (see the rules); `fixes` are changes that the rule knows itself.

    `kind` names the rule that is broken (`tracer.ops.kinds`).
    """

    kind: str
    report: Report
    marks: tuple[Mark, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    fixes: tuple[Fix, ...] = ()

    @property
    def rule(self) -> str:
        return render(self.report.rule)

    @property
    def reason(self) -> str:
        return " ".join(map(render, self.report.reason))
