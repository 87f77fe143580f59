"""What of an operation's call follows from the function and its arguments alone: its name, and the
arguments as a document keeps them.

Models make the same calls again and again, and every trace of them does.  A call whose arguments
are tensors and plain values is therefore looked up by the function, the types of its tensors and
its values; nothing of a tensor but its type and place is kept.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tracer.document import Bound
from tracer.record.bind import bind, bind_layer, moved_operands, plain
from tracer.record.functions import arguments_text, full_name, split_text
from tracer.record.tensors import ONE_TENSOR


@dataclass(frozen=True, slots=True, eq=False)
class CallText:
    """`op`, `arguments` and `bound` as in `document.Step`."""

    op: str
    arguments: tuple[str, ...]
    bound: Bound
    _moved: dict[Any, Bound] = field(default_factory=dict, repr=False)

    def moved(self, positions: tuple[int, ...], own: dict[str, int]) -> Bound:
        """`bound` with its operands elsewhere, see `bind.moved_operands`."""
        if not own and positions == _STAY[: len(positions)]:
            return self.bound
        key = (positions, *own.items())
        found = self._moved.get(key)
        if found is None:
            found = self._moved[key] = moved_operands(self.bound, positions, own)
        return found


_STAY = tuple(range(100))
UNTOLD = CallText("", (), Bound())


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


def layer_text(
    layer: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    operands: list[Tensor],
    number: Callable[[Any], int | float],
) -> CallText:
    """The call of a layer of torch.nn; its settings are told once, as long as they stay."""
    key = _key(None, args, kwargs)
    if key is None or not _alone(layer, operands):
        return _layer_made(layer, args, kwargs, operands, number)
    known = _layers.get(layer)
    if known is None or not known.holds(layer):
        known = _layers[layer] = _Layer(layer)
    text = known.texts.get(key)
    if text is None:
        text = _layer_made(layer, args, kwargs, operands, number)
        if known.fixed and len(known.texts) < _MOST_OF_LAYER:
            known.texts[key] = text
    return text


def _layer_made(
    layer: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    operands: list[Tensor],
    number: Callable[[Any], int | float],
) -> CallText:
    return CallText(
        f"nn.{type(layer).__name__}",
        split_text(layer.extra_repr()),
        plain(bind_layer(layer, args, kwargs), operands, number),
    )


def _alone(layer: nn.Module, operands: list[Tensor]) -> bool:
    """Whether no operand is given twice, or is the layer's own."""
    ids = set(map(id, operands))
    return len(ids) == len(operands) and ids.isdisjoint(
        map(id, (*layer._parameters.values(), *layer._buffers.values()))
    )


class _Layer:
    """What one layer was told with: its settings, which tensors it had, and the texts of its calls.
    There are none where a setting can change without becoming another object."""

    def __init__(self, layer: nn.Module) -> None:
        settings = {name: value for name, value in vars(layer).items() if name[0] != "_"}
        self.fixed = all(map(_is_fixed, settings.values()))
        # Nothing else is kept alive here: it could hold the layer itself.
        self.settings = settings if self.fixed else {}
        self.count = len(vars(layer))
        self.tensors = _tensors_given(layer)
        self.texts: dict[tuple[Any, ...], CallText] = {}

    def holds(self, layer: nn.Module) -> bool:
        now = vars(layer)
        if len(now) != self.count:
            return False
        for name, value in self.settings.items():
            if now.get(name, self) is not value:
                return False
        return self.tensors == _tensors_given(layer)


def _tensors_given(layer: nn.Module) -> list[Any]:
    """The names of a layer's own tensors, and which of them are there."""
    found: list[Any] = []
    for own in (layer._parameters, layer._buffers):
        found += own
        found += [tensor is None for tensor in own.values()]
    return found


def _is_fixed(value: Any) -> bool:
    kind = type(value)
    if kind is tuple or kind is torch.Size:
        return all(map(_is_fixed, value))
    return kind is float or kind in _PLAIN


_layers: weakref.WeakKeyDictionary[nn.Module, _Layer] = weakref.WeakKeyDictionary()
_known: dict[tuple[Any, ...], CallText] = {}
_MOST = 20_000
_MOST_OF_LAYER = 100
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
        if type(value) in ONE_TENSOR:
            parts.append(type(value))
        elif not _tell(value, parts, 0):
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
