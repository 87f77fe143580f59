"""What of an operation's call follows from the function and its arguments alone: its name, and the
arguments as a document keeps them.

Models make the same calls again and again, and every trace of them does.  A call whose arguments
are tensors and plain values is therefore looked up by the function, the types of its tensors and
its values; nothing of a tensor but its type and place is kept.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

from tracer.document import Bound
from tracer.record.bind import bind, bind_layer, moved_operands, only_reads, plain
from tracer.record.functions import (
    arguments_text,
    full_name,
    split_text,
    writes_in_place,
    written_silently,
)
from tracer.record.shaped import Form
from tracer.record.tensors import ONE_TENSOR, operands_of, settings_of


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """A call of torch's own Python code that is one operation and does nothing else.

    `own` are the names of a layer's own tensors that the operation takes, in its order; `places`
    where in torch's files it is called, from without to within; `bounds` are its arguments, by the
    order that a model gives these tensors.
    """

    own: tuple[str, ...]
    places: tuple[tuple[CodeType, int], ...]
    bounds: dict[tuple[str, ...], Bound] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class CallText:
    """`op`, `arguments` and `bound` as in `document.Step`; whether the call writes into its first
    operand, as its name or an `out=` says, and whether it is known to write into none.  `whole` is
    what it was seen to be on operands of the same shapes and types, `shaped` what it gave on the
    device `meta`, by their forms."""

    op: str
    arguments: tuple[str, ...]
    bound: Bound
    in_place: bool = False
    only_reads: bool = False
    whole: dict[Any, Whole] = field(default_factory=dict, repr=False)
    shaped: dict[Any, Form] = field(default_factory=dict, repr=False)
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
    number: Callable[[Any], int | float],
) -> tuple[CallText, list[Tensor]]:
    """The call `function(*args, **kwargs)`, and the tensors among its arguments; `number` as for
    `bind.plain`."""
    key, operands = _key(function, args, kwargs)
    if key is None:
        return _made(function, args, kwargs, operands, number), operands
    known = _known.get(key)
    if known is None:
        if len(_known) >= _MOST:
            _known.clear()
        known = _known[key] = _made(function, args, kwargs, operands, number)
    return known, operands


def layer_text(
    layer: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    number: Callable[[Any], int | float],
) -> tuple[CallText, list[Tensor]]:
    """The call of a layer of torch.nn, and the tensors among its arguments; its settings are told
    once, as long as they stay."""
    key, operands = _key(None, args, kwargs)
    known = _layers.get(layer)
    if known is None or not known.holds(layer):
        known = _layers[layer] = _Layer(layer)
    if key is None or known.owns_one(operands):
        return _layer_made(layer, args, kwargs, operands, number), operands
    text = known.texts.get(key)
    if text is None:
        text = _layer_made(layer, args, kwargs, operands, number)
        if known.fixed and len(known.texts) < _MOST_OF_LAYER:
            known.texts[key] = text
    return text, operands


def _layer_made(
    layer: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    operands: list[Tensor],
    number: Callable[[Any], int | float],
) -> CallText:
    return CallText(
        f"nn.{type(layer).__name__}",
        split_text(settings_of(layer)),
        plain(bind_layer(layer, args, kwargs), operands, number),
    )


class _Layer:
    """What one layer was told with: its settings, which tensors it had, and the texts of its calls.
    There are none where a setting can change without becoming another object."""

    def __init__(self, layer: nn.Module) -> None:
        settings = {name: value for name, value in vars(layer).items() if name[0] != "_"}
        self.fixed = all(map(_is_fixed, settings.values()))
        # Nothing else is kept alive here: it could hold the layer itself.
        self.settings = tuple(settings.values()) if self.fixed else ()
        self.names = tuple(settings) if self.fixed else ()
        self.count = len(vars(layer))
        self.own = _own(layer)
        self.addresses = frozenset(self.own)
        self.texts = _texts_of(layer) if self.fixed else {}

    def holds(self, layer: nn.Module) -> bool:
        now = layer.__dict__
        return (
            len(now) == self.count
            and all(map(operator.is_, map(now.get, self.names, repeat(self)), self.settings))
            and self.own == _own(layer)
        )

    def owns_one(self, operands: list[Tensor]) -> bool:
        return not self.addresses.isdisjoint(map(id, operands))


_Texts = dict[tuple[Any, ...], CallText]


def _texts_of(layer: nn.Module) -> _Texts:
    """The texts of the calls of all layers that are like this one: of its class, with equal
    settings and with tensors of the same forms, as the blocks of a model and its copies are."""
    if layer._modules:
        return {}
    parts: list[Any] = []
    for name, value in vars(layer).items():
        if name not in _USUAL:
            parts.append(name)
            if not _tell(value, parts, [], 0):
                return {}
    for name, tensor in (*layer._parameters.items(), *layer._buffers.items()):
        parts += (name, type(tensor))
        if tensor is not None:
            if type(tensor) not in ONE_TENSOR or any(
                type(size) is not int for size in tensor.shape
            ):
                return {}
            parts += (tensor.shape, tensor.dtype, tensor.device)
    alike = _alike.setdefault(type(layer), {})
    if len(alike) >= _MOST_ALIKE:
        alike.clear()
    return alike.setdefault((layer.training, *parts), {})


_USUAL = frozenset(nn.Module().__dict__)
_alike: weakref.WeakKeyDictionary[type, dict[tuple[Any, ...], _Texts]] = weakref.WeakKeyDictionary()
_MOST_ALIKE = 1000


def _own(layer: nn.Module) -> tuple[str | int, ...]:
    """The names of a layer's tensors, and their addresses."""
    parameters, buffers = layer._parameters, layer._buffers
    if not buffers:
        return (*parameters, *map(id, parameters.values()))
    return (*parameters, *buffers, *map(id, parameters.values()), *map(id, buffers.values()))


def _is_fixed(value: Any) -> bool:
    kind = type(value)
    if kind is tuple or kind is torch.Size:
        return all(map(_is_fixed, value))
    return kind is float or kind in _PLAIN


_layers: weakref.WeakKeyDictionary[nn.Module, _Layer] = weakref.WeakKeyDictionary()
_known: dict[tuple[Any, ...], CallText] = {}
_MOST = 20_000
_MOST_OF_LAYER = 100
MOST_OF_CALL = 100
"""So many kinds of operands are kept of one call."""
_DEEPEST = 4
_LONGEST = 100


def _made(
    function: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    operands: list[Tensor],
    number: Callable[[Any], int | float],
) -> CallText:
    in_place = writes_in_place(function, kwargs)
    return CallText(
        full_name(function),
        arguments_text(function, args, kwargs),
        plain(bind(function, args, kwargs), operands, number),
        in_place,
        not in_place and not written_silently(function, args) and only_reads(function),
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
_TWICE = object()
_SEVERAL = frozenset([tuple, list, torch.Size])


def _key(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...] | None, list[Tensor]]:
    """What tells two calls apart, None where a value is neither a tensor nor plain; and the tensors
    among the arguments."""
    parts = [function]
    operands: list[Tensor] = []
    for value in args:
        kind = type(value)
        if kind in ONE_TENSOR:
            parts.append(kind)
            operands.append(value)
        elif kind in _PLAIN:
            parts += (kind, value)
        elif not _tell(value, parts, operands, 0):
            return None, operands_of(args, kwargs)
    if kwargs:
        for name, value in kwargs.items():
            parts.append(name)
            if not _tell(value, parts, operands, 0):
                return None, operands_of(args, kwargs)
    if len(operands) > 1:
        ids = [*map(id, operands)]
        if len(set(ids)) < len(ids):  # which of them are one
            parts += [_TWICE, *map(ids.index, ids)]
    return tuple(parts), operands


def _tell(value: Any, parts: list[Any], operands: list[Tensor], depth: int) -> bool:
    """Add to `parts` what tells the value from others: its type first, then as many parts as
    follow from it, so that no two values are told alike."""
    kind = type(value)
    parts.append(kind)
    if kind in ONE_TENSOR:
        operands.append(value)
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
        items = value
    elif kind is slice:
        items, operands = (value.start, value.stop, value.step), []  # they are no operands
    else:
        return False
    return all(_tell(item, parts, operands, depth + 1) for item in items)
