"""What of an operation's call follows from the function and its arguments alone: its name, and the
arguments as a document keeps them.

Models make the same calls again and again, and every trace of them does.  A call whose arguments
are tensors and plain values is therefore looked up by the function, the types of its tensors and
its values; nothing of a tensor but its type and place is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tracer.document import Bound
from tracer.record.bind import bind, plain
from tracer.record.functions import arguments_text, full_name
from tracer.record.tensors import ONE_TENSOR


@dataclass(frozen=True, slots=True)
class CallText:
    """`op`, `arguments` and `bound` as in `document.Step`."""

    op: str
    arguments: tuple[str, ...]
    bound: Bound


def call_text(
    function: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    operands: list[Tensor],
    number: Callable[[Any], int | float],
) -> CallText:
    """The call `function(*args, **kwargs)`, `operands` being the tensors among its arguments;
    `number` as for `bind.plain`."""
    key = _key(function, args, kwargs)
    if key is None or (len(operands) > 1 and len(set(map(id, operands))) < len(operands)):
        return _made(function, args, kwargs, operands, number)
    known = _known.get(key)
    if known is None:
        if len(_known) >= _MOST:
            _known.clear()
        known = _known[key] = _made(function, args, kwargs, operands, number)
    return known


_known: dict[tuple[Any, ...], CallText] = {}
_MOST = 20_000
_DEEPEST = 4
_LONGEST = 100


def _made(
    function: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    operands: list[Tensor],
    number: Callable[[Any], int | float],
) -> CallText:
    return CallText(
        full_name(function),
        arguments_text(function, args, kwargs),
        plain(bind(function, args, kwargs), operands, number),
    )


# Equal values of one of these types are written alike; 0.0 and -0.0 are not.
_PLAIN = frozenset(
    [
        type(None),
        bool,
        int,
        str,
        type(...),
        torch.dtype,
        torch.device,
        torch.layout,
        torch.memory_format,
    ]
)
_SEVERAL = frozenset([tuple, list, torch.Size])


def _key(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
    """What tells two calls apart; None where a value is neither a tensor nor plain."""
    parts = [function]
    for value in args:
        if not _tell(value, parts, 0):
            return None
    for name, value in kwargs.items():
        parts.append(name)
        if not _tell(value, parts, 0):
            return None
    return tuple(parts)


def _tell(value: Any, parts: list[Any], depth: int) -> bool:
    """Add to `parts` what tells the value from others: its type first, then as many parts as
    follow from it, so that no two values are told alike."""
    kind = type(value)
    parts.append(kind)
    if kind in ONE_TENSOR:
        return True
    if kind in _PLAIN:
        parts.append(value)
        return True
    if kind is float:
        parts.append(repr(value))
        return True
    if kind in _SEVERAL:
        if depth >= _DEEPEST or len(value) > _LONGEST:
            return False
        parts.append(len(value))
        return all(_tell(item, parts, depth + 1) for item in value)
    if kind is slice:
        return all(_tell(part, parts, depth + 1) for part in (value.start, value.stop, value.step))
    return False
