"""What the names that a statement reads stand for."""

from __future__ import annotations

import types
from collections.abc import Mapping
from types import FrameType
from typing import Any

from torch import Tensor, nn

from tracer import document
from tracer.record.functions import (
    text_of_value,
)

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
    if len(chain) == 1:
        return chain[0], value
    for position, part in enumerate(chain[1:], start=1):
        if type(value) is types.ModuleType and part in value.__dict__:
            value = value.__dict__[part]
            continue
        if isinstance(value, Tensor):
            return ".".join(chain[:position]), value
        if isinstance(value, tuple) and part in getattr(value, "_fields", ()):
            value = getattr(value, part)
            continue
        own = getattr(value, "__dict__", None)
        if not isinstance(own, dict):
            return None
        tables = [own]
        if isinstance(value, nn.Module):
            tables += [own.get("_parameters", {}), own.get("_buffers", {}), own.get("_modules", {})]
        for table in tables:
            if part in table:
                value = table[part]
                break
        else:
            return None
    return ".".join(chain), value


_UNBOUND = document.Bound()


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
