"""What the parts of a diagnosis hand to each other: which rule is broken, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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

    `rule` is the rule with its numbers, in one sentence, `reason` what that means here in two or
    three plain ones.  `check` is one sentence for the reader when no fix is found.  `facts` are the
    numbers a repair needs, by name (see the rules).

    `kind` names the rule that is broken (`tracer.ops.kinds`).
    """

    kind: str
    rule: str
    reason: str
    marks: tuple[Mark, ...] = ()
    check: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
