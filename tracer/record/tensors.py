"""The tensors in nested values, and what they are called."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import weakref
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from tracer.source.sites import Pattern

_DEPTH = 8
_MOST = 100_000
"""Tensors that are looked for in one value, and values that are looked at."""


def flatten(value: Any, path: str = "", objects: bool = False) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a nested value, each with how one would write it behind the value's name.
    What is met again is not walked again: a list may hold itself.  `objects` of other classes are
    walked as well, by their attributes or what they have under their keys."""
    seen: dict[int, Any] = {}  # kept alive, for an address may be taken anew
    pending = [(value, path, 0)]
    while pending and len(seen) < _MOST:
        value, path, depth = pending.pop()
        if isinstance(value, Tensor):
            if not isinstance(value, UninitializedTensorMixin):
                yield path, value
        elif depth <= _DEPTH and type(value) not in NO_TENSOR and id(value) not in seen:
            seen[id(value)] = value
            within = [
                (item, f"{path}{way}", depth + 1)
                for way, item in (_held if objects else _parts)(value)
                if type(item) not in NO_TENSOR
            ]
            pending += reversed(within)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value holds, each with how it is written behind it."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        for field in value._fields:
            yield f".{field}", getattr(value, field)
    elif isinstance(value, list | tuple):
        if not plain_numbers(value):
            for index, item in enumerate(value):
                yield f"[{index}]", item
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"[{key!r}]", item
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for member in dataclasses.fields(value):
            yield f".{member.name}", getattr(value, member.name, None)


_CODE = (type, nn.Module, FunctionType, MethodType, BuiltinFunctionType, ModuleType)


def _held(value: Any) -> Iterator[tuple[str, Any]]:
    """`_parts`, also of an object: a cache, a batch of graphs, a distribution, one's own class."""
    if isinstance(value, list | tuple | dict) or (
        dataclasses.is_dataclass(value) and not isinstance(value, type)
    ):
        yield from _parts(value)
        return
    if isinstance(value, _CODE) or type(value).__module__ == "builtins":
        return
    keys = getattr(value, "keys", None)
    if callable(keys) and hasattr(type(value), "__getitem__"):
        with contextlib.suppress(Exception):  # it is the user's, and may have keys of another kind
            yield from [(f"[{key!r}]", value[key]) for key in keys()]
            return
    slots = [slot for kind in type(value).__mro__ for slot in _slots(kind)]
    own = {slot: getattr(value, slot) for slot in slots if hasattr(value, slot)}
    own |= getattr(value, "__dict__", {})
    public = {name: each for name, each in own.items() if not name.startswith("_")}
    shown = set(map(id, public.values()))
    hidden = {n: each for n, each in own.items() if n not in public and id(each) not in shown}
    for name, each in {**public, **hidden}.items():
        yield f".{name}", each


def _slots(kind: type) -> tuple[str, ...]:
    found = vars(kind).get("__slots__", ())
    return (found,) if isinstance(found, str) else tuple(found)


def plain_numbers(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a sequence holds nothing but what holds no tensor: told without a step for each."""
    return NO_TENSOR.issuperset(map(type, value))


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


def _collect(
    value: Any, found: list[Tensor], depth: int, known: dict[int, tuple[Any, Any]] | None = None
) -> None:
    """`flatten` without the paths, and with all that is there twice.  `known` has what was found in
    values that were met before: nothing yet in one that is still open."""
    kind = type(value)
    if kind in ONE_TENSOR:
        found.append(value)
        return
    if kind is not tuple and kind is not list and kind is not dict:
        if kind not in NO_TENSOR and depth <= _DEPTH:
            found += [tensor for _, tensor in flatten(value)]
        return
    if depth > _DEPTH:
        return
    for item in value.values() if kind is dict else value:
        inner = type(item)
        if inner in ONE_TENSOR:
            found.append(item)
        elif inner not in NO_TENSOR and len(found) < _MOST:
            if known is None:
                known = {}
            known.setdefault(id(value), (value, ()))
            if id(item) in known:
                found += known[id(item)][1]
                continue
            start = len(found)
            _collect(item, found, depth + 1, known)
            known[id(item)] = item, found[start:]


def named_by(pattern: Pattern, value: Any) -> list[tuple[str, Tensor]]:
    """The names that assigning `value` to `pattern` gives to tensors."""
    if isinstance(pattern, str):
        name = pattern.removeprefix("*")
        if type(value) in ONE_TENSOR:
            return [(name, value)]
        return [(name + path, tensor) for path, tensor in flatten(value)]
    if not isinstance(value, list | tuple):
        return []
    items = list(value)
    star = next(
        (i for i, p in enumerate(pattern) if isinstance(p, str) and p.startswith("*")), None
    )
    if star is not None:
        behind = len(pattern) - star - 1
        stop = len(items) - behind
        items = [*items[:star], items[star:stop], *items[stop:]]
    pairs = zip(pattern, items, strict=False)
    return [pair for part, item in pairs for pair in named_by(part, item)]


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


def paths_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """As `model.named_modules(remove_duplicate=False)`, also of modules that cannot be hashed; one
    that holds itself is not entered again."""
    pending: list[tuple[str, nn.Module, tuple[int, ...]]] = [("", model, ())]
    count = 0
    while pending and count < _MOST:
        count += 1
        path, module, around = pending.pop()
        yield path, module
        if not module._modules:
            continue
        around = (*around, id(module))
        within = [
            (f"{path}.{name}" if path else name, each, around)
            for name, each in module._modules.items()
            if each is not None and id(each) not in around
        ]
        pending += reversed(within)


def settings_of(module: nn.Module) -> str:
    """What a module says of its settings; nothing where its own code for that fails."""
    try:
        return str(module.extra_repr())
    except Exception:  # noqa: BLE001 - the author's code, which the run does not need
        return ""


def count_parameters(module: nn.Module) -> int:
    """How many numbers the parameters of a module and of all within it have, shared ones once."""
    own = {
        id(parameter): parameter
        for each in modules_in(module)
        if each._parameters
        for parameter in each._parameters.values()
        if parameter is not None and not isinstance(parameter, UninitializedTensorMixin)
    }
    return sum([parameter.numel() for parameter in own.values()])


_signatures: weakref.WeakKeyDictionary[Any, inspect.Signature] = weakref.WeakKeyDictionary()


def signature_of(forward: Any) -> inspect.Signature:
    """Found once: of a method it is that of its function, which many modules share.

    Raises:
        TypeError, ValueError: it has none.
    """
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
        signature = signature_of(model.forward)
        given = signature.bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return [*flatten(args, "args", True), *flatten(kwargs, "kwargs", True)]
    found: list[tuple[str, Tensor]] = []
    for name, value in given.items():
        if type(value) in ONE_TENSOR:
            found.append((name, value))
        elif signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            for key, item in value.items():
                found += flatten(item, key, True)
        else:
            found += flatten(value, name, True)
    return found
