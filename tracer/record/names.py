"""What the names that a statement reads stand for."""

from __future__ import annotations

from collections.abc import Mapping
from types import FrameType, ModuleType
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from tracer.record.functions import text_of_value
from tracer.record.tensors import ONE_TENSOR
from tracer.source.sites import Site

Scope = Mapping[str, Any]


class FrameScope(dict[str, Any]):
    """The names a frame sees: its own, copied once, and behind them those of its module."""

    __slots__ = ("of_module",)

    def __init__(self, frame: FrameType) -> None:
        super().__init__(frame.f_locals)
        self.of_module = frame.f_globals

    def __missing__(self, name: str) -> Any:
        return self.of_module[name]


def resolve(chain: tuple[str, ...], scope: Scope) -> tuple[str, Any] | None:
    """The first tensor along an attribute chain, or the chain's value; runs no property."""
    try:
        value = scope[chain[0]]
    except KeyError:
        return None
    return _along(chain, value)


def _along(chain: tuple[str, ...], value: Any) -> tuple[str, Any] | None:
    """`resolve`, where the chain's first name stands for `value`."""
    for position in range(1, len(chain)):
        part = chain[position]
        if isinstance(value, Tensor):
            return ".".join(chain[:position]), value
        if isinstance(value, tuple) and part in getattr(value, "_fields", ()):
            value = getattr(value, part)
            continue
        own = getattr(value, "__dict__", None)
        if not isinstance(own, dict):
            return None
        if part in own:
            value = own[part]
            continue
        if not isinstance(value, nn.Module):
            return None
        for table in _TABLES:
            if part in own.get(table, ()):
                value = own[table][part]
                break
        else:
            return None
    return ".".join(chain), value


_TABLES = ("_modules", "_parameters", "_buffers")


def tensors_read(site: Site, frame: FrameType) -> list[tuple[str, Tensor]]:
    """The tensors that the names and attribute chains that a statement reads stand for in a frame,
    as it is now."""
    own = frame.f_locals
    found: list[tuple[str, Tensor]] = []
    for name, chain in site.reading:
        value: Any = own.get(name)
        if type(value) in ONE_TENSOR:
            found.append((name, value))
            continue
        if value is None and name not in own:
            value = frame.f_globals.get(name)
            if type(value) is ModuleType and value.__name__.startswith("torch"):
                continue  # `torch.relu`, `nn.functional.relu`: a function
        if chain is not None:
            resolved = _along(chain, value)
            if resolved is None:
                continue
            name, value = resolved
        if isinstance(value, Tensor) and not isinstance(value, UninitializedTensorMixin):
            found.append((name, value))
    return found


def walk(value: Any, rest: tuple[str, ...], item: int | None) -> str | None:
    if rest == ("shape",) and isinstance(value, Tensor):
        value = tuple(value.shape)
    elif rest:
        return None
    if item is not None:
        try:
            value = value[item]
        except (TypeError, IndexError, KeyError):
            return None
    if isinstance(value, bool | int | str) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple) and all(isinstance(part, int) for part in value):
        return text_of_value(value)
    return None
