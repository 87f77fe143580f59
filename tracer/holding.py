"""Arguments of a forward that hold tensors, `batch["image"]`, `data.x`, `x, y = batch`: which ones
it reads of them."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
import typing
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tracer import gathered, settings
from tracer.reading import Reads, Scope, is_of_self, reads

_PLAIN = ("shape", "device", "dtype", "ndim")


@dataclass(frozen=True)
class Holder:
    """What holds them: the parameter's `name`, and what is written before its parts, `{` of a
    table, `(` of a tuple, `Batch(` of an object."""

    name: str
    head: str

    def called(self, part: str, place: int) -> str:
        """How one of the parts is written behind the forward's parameter."""
        if self.head == "{":
            return f"{self.name}[{part!r}]"
        return f"{self.name}[{place}]" if self.head == "(" else f"{self.name}.{part}"

    def written(self, parts: list[str]) -> str:
        """The text of an input, of the texts of its parts."""
        return f"{self.name}={self.head}{'; '.join(parts)}{'}' if self.head == '{' else ')'}"


class Part(inspect.Parameter):
    """One of the tensors that a parameter holds, as a parameter."""

    holder: Holder
    place: int

    @classmethod
    def of(cls, holder: Holder, place: int, name: str, annotation: Any) -> Part:
        """The part of that name."""
        made = cls(name, cls.KEYWORD_ONLY, annotation=annotation)
        made.holder, made.place = holder, place
        return made


def parts(model: nn.Module, parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """The tensors and values that a forward reads of one of its parameters; none where it is a
    tensor, or nothing is read of it."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return []
    kind = _annotated(model, parameter)
    if kind is Tensor:
        return []
    found = reads(_forward(model), parameter.name)
    if found.is_called:
        return []
    declared = _declared(kind)
    if declared is None:
        kind, declared = _read_of(model, found)
    if kind is None:
        return []
    holder = Holder(parameter.name, kind if isinstance(kind, str) else f"{kind.__name__}(")
    valid = [(name, hint) for name, hint in declared.items() if name.isidentifier()]
    return [Part.of(holder, n, name, hint) for n, (name, hint) in enumerate(valid)]


def names_of(model: nn.Module) -> dict[str, Any]:
    """The names of the file in which the forward is written, by which objects are made."""
    function = inspect.unwrap(getattr(model.forward, "__func__", model.forward))
    return {"SimpleNamespace": types.SimpleNamespace, **getattr(function, "__globals__", {})}


def _annotated(model: nn.Module, parameter: inspect.Parameter) -> Any:
    try:
        hints = typing.get_type_hints(model.forward)
    except Exception:  # noqa: BLE001 - names of other people's annotations may not exist
        hints = {}
    return hints.get(parameter.name, parameter.annotation)


def _declared(kind: Any) -> dict[str, Any] | None:
    """What objects of a class cannot be without, with its annotations: of a dataclass, a named
    tuple or a typed dictionary."""
    if not isinstance(kind, type):
        return None
    hints = vars(kind).get("__annotations__", {})
    if dataclasses.is_dataclass(kind):
        absent = dataclasses.MISSING
        return {
            each.name: each.type
            for each in dataclasses.fields(kind)
            if each.init and each.default is absent and each.default_factory is absent
        }
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        defaults = getattr(kind, "_field_defaults", {})
        return {name: hints.get(name) for name in kind._fields if name not in defaults}
    return None


def _read_of(model: nn.Module, found: Reads) -> tuple[Any, dict[str, Any]]:
    """What a parameter is of which so much is read, and its parts."""
    none = dict.fromkeys
    if found.items:
        return "{", none(found.items, Any)
    own = {name: None for name in found.attributes if not hasattr(Tensor, name)}
    if own and not found.unpacked:
        names = {name: None for name in found.attributes if name not in _PLAIN}
        kind = settings.having(names_of(model), type(model).__module__, names | found.methods)
        known = _declared(kind)
        if known is not None:
            return kind, known
        return "SimpleNamespace(", none(names, Any)
    asked = set(found.attributes) | set(found.methods)
    if len(found.unpacked) > 1 and not asked:
        return "(", none(found.unpacked, Any)
    return None, {}


def _forward(model: nn.Module) -> Scope:
    return _scope(model, getattr(model.forward, "__func__", model.forward))


def _scope(model: nn.Module, function: Any) -> Scope:
    def called(call: ast.Call) -> Scope | None:
        inner = gathered.part(model, call.func)
        if inner is not None:
            return _forward(inner)
        if is_of_self(call.func):
            method = getattr(type(model), call.func.attr, None)  # type: ignore[attr-defined]
            return _scope(model, method) if inspect.isfunction(method) else None
        return None

    return Scope(function, called)
