"""The tensors in nested values, and what they are called."""

from __future__ import annotations

import dataclasses
import inspect
import weakref
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from tracer.source.sites import Pattern


def flatten(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a nested value, each with how one would write it behind the value's name."""
    if isinstance(value, Tensor):
        if not isinstance(value, UninitializedTensorMixin):
            yield path, value
    elif depth > 8:
        return
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for field in value._fields:
            yield from flatten(getattr(value, field), f"{path}.{field}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from flatten(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, f"{path}[{key!r}]", depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for member in dataclasses.fields(value):
            yield from flatten(
                getattr(value, member.name, None), f"{path}.{member.name}", depth + 1
            )


# Most arguments are one of these; an exact type is told faster than by asking for each class.
ONE_TENSOR = frozenset([Tensor, nn.Parameter])
NO_TENSOR = frozenset(
    [type(None), bool, int, float, str, slice, type(...), torch.Size, torch.dtype, torch.device]
)


def tensors_in(value: Any) -> list[Tensor]:
    if type(value) in ONE_TENSOR:
        return [value]
    found: list[Tensor] = []
    _collect(value, found, 0)
    return found


def operands_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors among the arguments of a call, in order."""
    found: list[Tensor] = []
    for value in (*args, *kwargs.values()) if kwargs else args:
        kind = type(value)
        if kind in ONE_TENSOR:
            found.append(value)
        elif kind not in NO_TENSOR:
            _collect(value, found, 2)
    return found


def _collect(value: Any, found: list[Tensor], depth: int) -> None:
    """`flatten` without the paths."""
    kind = type(value)
    if kind in ONE_TENSOR:
        found.append(value)
    elif kind is tuple or kind is list:
        if depth <= 8:
            for item in value:
                _collect(item, found, depth + 1)
    elif kind is dict:
        if depth <= 8:
            for item in value.values():
                _collect(item, found, depth + 1)
    elif kind not in NO_TENSOR:
        found += [tensor for _, tensor in flatten(value, "", depth)]


def named_by(pattern: Pattern, value: Any) -> Iterator[tuple[str, Tensor]]:
    """The names that assigning `value` to `pattern` gives to tensors."""
    if isinstance(pattern, str):
        name = pattern.removeprefix("*")
        if type(value) in ONE_TENSOR:
            yield name, value
            return
        for path, tensor in flatten(value):
            yield name + path, tensor
    elif isinstance(value, list | tuple):
        items = list(value)
        star = next(
            (i for i, p in enumerate(pattern) if isinstance(p, str) and p.startswith("*")), None
        )
        if star is not None:
            behind = len(pattern) - star - 1
            stop = len(items) - behind
            items = [*items[:star], items[star:stop], *items[stop:]]
        for part, item in zip(pattern, items, strict=False):
            yield from named_by(part, item)


def modules_in(model: nn.Module) -> list[nn.Module]:
    """As `model.modules()`, which spells out every path on the way."""
    found: dict[int, nn.Module] = {}
    pending = [model]
    while pending:
        module = pending.pop()
        if id(module) not in found:
            found[id(module)] = module
            if module._modules:
                within = [each for each in module._modules.values() if each is not None]
                pending += reversed(within)
    return list(found.values())


def count_parameters(module: nn.Module) -> int:
    """How many numbers the parameters of a module and of all within it have, shared ones once."""
    own = {
        id(parameter): parameter
        for each in modules_in(module)
        for parameter in each._parameters.values()
        if parameter is not None and not isinstance(parameter, UninitializedTensorMixin)
    }
    return sum([parameter.numel() for parameter in own.values()])


_signatures: weakref.WeakKeyDictionary[Any, inspect.Signature] = weakref.WeakKeyDictionary()


def _signature(forward: Any) -> inspect.Signature:
    """Of a method it is that of its function, which many modules share."""
    function = getattr(forward, "__func__", None)
    if not isinstance(function, FunctionType):
        return inspect.signature(forward)
    found = _signatures.get(function)
    if found is None:
        found = _signatures[function] = inspect.signature(forward)
    return found


def flatten_arguments(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[str, Tensor]]:
    """The input tensors, named as the forward's signature names them."""
    try:
        bound = _signature(model.forward).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return [*flatten(args, "args"), *flatten(kwargs, "kwargs")]
    found: list[tuple[str, Tensor]] = []
    for name, value in bound.arguments.items():
        if bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            for key, item in value.items():
                found += flatten(item, key)
        else:
            found += flatten(value, name)
    return found
