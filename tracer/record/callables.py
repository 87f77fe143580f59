"""Whatever can be called as a module: a function, a method of a module, a partial of these."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from types import CellType, FunctionType, MethodType
from typing import Any

from torch import nn

from tracer.record.isolation import State


def as_module(
    target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[nn.Module, str, tuple[Any, ...], dict[str, Any]]:
    """A module whose call is `target(*args, **kwargs)`, what it is called, and its arguments.

    Modules that a function finds around it, or an object among its attributes, are its parts,
    under the names that they have there.

    Raises:
        TypeError: it cannot be called, or is a class.
    """
    while isinstance(target, functools.partial):
        args, kwargs = (*target.args, *args), {**target.keywords, **kwargs}
        target = target.func
    if isinstance(target, nn.Module):
        return target, type(target).__name__, args, kwargs
    if isinstance(target, type):
        built = f": build one, {target.__name__}(...)" if issubclass(target, nn.Module) else ""
        raise TypeError(f"trace needs a torch.nn.Module, and {target.__name__} is a class{built}.")
    if not callable(target):
        raise TypeError(
            f"trace needs a torch.nn.Module or another callable, not {type(target).__name__}."
        )
    owner = getattr(target, "__self__", None)
    if isinstance(owner, nn.Module) and isinstance(target, MethodType):
        if target.__func__ is getattr(type(owner), "forward", None):
            return owner, type(owner).__name__, args, kwargs
        return (
            _with_method(owner, target),
            f"{type(owner).__name__}.{target.__name__}",
            args,
            kwargs,
        )
    name = getattr(target, "__name__", type(target).__name__)
    cls = type(name if name.isidentifier() else "function", (_Function,), {})
    return cls(target), name, args, kwargs


def _with_method(owner: nn.Module, method: MethodType) -> nn.Module:
    """The same module, called by this method: without the hooks, which wait for its forward."""
    module = copy.copy(owner)
    for key in State.HOOKS & vars(module).keys():
        vars(module)[key] = type(vars(module)[key])()
    vars(module)["forward"] = MethodType(method.__func__, module)
    return module


class _Function(nn.Module):
    """A function as a module; `found` are the modules that it uses."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.forward = function
        for name, module in _modules_of(function):
            key = name.replace(".", "_")
            if key not in self._modules and module not in self._modules.values():
                self._modules[key] = module

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        copied: nn.Module = type(self).__new__(type(self))
        memo[id(self)] = copied
        for key, value in vars(self).items():
            if key != "forward":
                vars(copied)[key] = copy.deepcopy(value, memo)
        vars(copied)["forward"] = _on_copies(self.forward, memo)
        return copied


def _modules_of(function: Any) -> Iterator[tuple[str, nn.Module]]:
    owner = getattr(function, "__self__", None)
    if owner is None and not isinstance(function, FunctionType):
        owner = function
    for name, value in getattr(owner, "__dict__", {}).items():
        if isinstance(value, nn.Module):
            yield name, value
    plain = getattr(function, "__func__", function)
    if isinstance(plain, FunctionType):
        for name, cell in _cells(plain):
            if isinstance(cell.cell_contents, nn.Module):
                yield name, cell.cell_contents
        for name in plain.__code__.co_names:
            if isinstance(plain.__globals__.get(name), nn.Module):
                yield name, plain.__globals__[name]


def _cells(function: FunctionType) -> Iterator[tuple[str, CellType]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            cell.cell_contents  # noqa: B018 - it may hold nothing yet
        except ValueError:
            continue
        yield name, cell


def _on_copies(function: Any, memo: dict[int, Any]) -> Any:
    """The same code, with the copies of the modules that it finds around it."""
    if not isinstance(function, FunctionType):
        return copy.deepcopy(function, memo)

    def copied(value: Any) -> Any:
        return copy.deepcopy(value, memo) if isinstance(value, nn.Module) else value

    filled = dict(_cells(function))
    closure = tuple(
        CellType(copied(cell.cell_contents)) if name in filled else cell
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        )
    )
    used = {name: copied(function.__globals__.get(name)) for name in function.__code__.co_names}
    changed = {name: value for name, value in used.items() if isinstance(value, nn.Module)}
    # Only a function that reads modules from its file needs names of its own.
    names = {**function.__globals__, **changed} if changed else function.__globals__
    made = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, closure or None
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made
