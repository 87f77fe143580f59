"""What the parts of a diagnosis hand to each other: the crash as it was, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from torch import Tensor, nn

from tracer.document import Place, Trace


@dataclass(frozen=True)
class Frame:
    """One frame outside torch that the exception passed.

    `scope` is a copy of its local names, `module` the qualified path of its `self` when that is a
    module of the model, None otherwise.
    """

    code: CodeType
    place: Place
    scope: Mapping[str, Any]
    module: str | None


@dataclass(frozen=True)
class Running:
    """A module that was running when the exception passed: `layer(*args, **kwargs)`."""

    path: str
    layer: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Crash:
    """The live objects of a failed run.

    `model(*args, **kwargs)` raised `error`; `trace` is the run up to there, its `failure` still
    plain.  `function(*call_args, **call_kwargs)` is the innermost operation that raised, as torch
    saw it (`torch.conv2d(input, weight, ...)`), None when it was no operation of torch.  `op` is
    its short name, the same for a function, a method, an operator, in place or not: `linear`,
    `conv2d`, `matmul`, `add`, `view`; empty when `function` is None.  `running` are the modules
    that were running, outermost first: torch.nn's own checks in Python raise in the last of them.
    `operands` are the live tensors of `trace.failure.operands`, in that order.  `frames` are the
    author's, outermost first; the last one holds the failing expression.  `build` makes the model
    anew, None where nobody knows how.
    """

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    error: BaseException
    trace: Trace
    op: str
    function: Callable[..., Any] | None
    call_args: tuple[Any, ...]
    call_kwargs: dict[str, Any]
    running: tuple[Running, ...]
    operands: tuple[Tensor, ...]
    frames: tuple[Frame, ...]
    build: Callable[[], nn.Module] | None = None


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

    `kind` names the rule that is broken:

    - `matmul` (inner sizes), `batch` (the sizes in front of them), `broadcast`, `numel` (view,
      reshape, unflatten), `stride` (view of a tensor that is not contiguous), `join` (cat, stack)
    - `channels`, `features` (normalisation), `width` (the last size a layer wants), `rank`,
      `kernel` (larger than the input), `padding`, `single` (one value per channel in training)
    - `hidden` (a recurrent state), `heads`, `mask`, `target` (a loss), `einsum`
    - `range` (an index outside), `index` (gather, scatter and indexing), `split`, `axis` (there is
      no such dimension), `permute`, `divide`
    - `dtype`, `device`, `arguments` (number or names), `type` (no tensor where one was meant),
      `unpack`, `attribute`, `item`, `other`
    """

    kind: str
    rule: str
    reason: str
    marks: tuple[Mark, ...] = ()
    check: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
