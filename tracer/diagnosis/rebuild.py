"""How a module that was handed over alone can be built anew: what its constructor was called with,
as far as its attributes, its layers and the defaults show it."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
from types import FunctionType
from typing import Any

from torch import nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from tracer.record.crash import Construction, Frame
from tracer.record.isolation import random_state
from tracer.source.built import constructor, default_of, initialisers, parameters_of

_PLAIN = (int, float, str, bool, tuple, list, type(None))
_MOST = 20_000_000  # elements of parameters that are made for a comparison


def recovered(
    model: nn.Module, path: str = "", modules: bool = False
) -> functools.partial[nn.Module] | None:
    """The class of the module at `path` with arguments that make the same module again; None where
    they cannot be told.  It is called to find out.  With `modules`, an argument may be a module:
    the very one that the module holds."""
    module = model.get_submodule(path)
    if not _affordable(module) or next(initialisers(module), None) is None:
        return None
    shown = layer_arguments(model, path)
    values: dict[str, Any] = {}
    for name, parameter in inspect.signature(type(module)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        live = vars(module).get(name, module._modules.get(name, module))
        if live is not module and isinstance(live, (*_PLAIN, nn.Module) if modules else _PLAIN):
            known = live
        elif name in shown:
            known = shown[name]
        elif parameter.default is parameter.empty:
            return None
        else:
            continue
        # A default is left to the constructor: it may be what is edited.
        if type(known) is not type(parameter.default) or known != parameter.default:
            values[name] = known
    build = functools.partial(type(module), **values)
    try:
        with random_state():
            made = build()
    except Exception:  # noqa: BLE001 - then these are not the arguments
        return None
    return build if repr(made) == repr(module) and _outline(made) == _outline(module) else None


def recoverable(model: nn.Module) -> dict[str, functools.partial[nn.Module]]:
    """The outermost modules of the user's own classes that can be built anew, by path."""
    found: dict[str, functools.partial[nn.Module]] = {}
    for path, _ in model.named_modules():
        if not any(path.startswith(f"{other}.") or not other for other in found):
            with contextlib.suppress(Exception):
                build = recovered(model, path, modules=True)
                if build is not None:
                    found[path] = build
    return found


def with_modules_of(
    build: functools.partial[nn.Module], module: nn.Module
) -> functools.partial[nn.Module]:
    """The same call with the modules among its arguments taken from a copy of what it made."""
    values = {
        name: module._modules[name] if isinstance(value, nn.Module) else value
        for name, value in build.keywords.items()
    }
    return functools.partial(build.func, **values)


def _affordable(module: nn.Module) -> bool:
    elements = sum(
        parameter.numel()
        for parameter in module.parameters()
        if not isinstance(parameter, UninitializedTensorMixin)
    )
    return elements <= _MOST


def _outline(model: nn.Module) -> list[tuple[str, Any]]:
    return [(name, value.shape) for name, value in model.state_dict().items()]


def guessed(model: nn.Module, path: str) -> Construction | None:
    """How the module at `path` was probably constructed, of a model that nobody saw being made: the
    call in some `__init__` that agrees with it, with the whole numbers that its names stood for."""
    built = constructor(model, path)
    if built is None or built.via:
        return None
    owner = model.get_submodule(built.owner)
    function = built.text.function(built.call)
    found = next(
        (
            each
            for cls in type(owner).__mro__
            if isinstance(each := inspect.unwrap(vars(cls).get("__init__", cls)), FunctionType)
            and built.text.definition(each.__code__) is function
        ),
        None,
    )
    statement = built.text.statement(built.call)
    if found is None or statement is None:
        return None
    module = model.get_submodule(path)
    above = guessed(model, built.owner) if built.owner else None
    frame = Frame(
        found.__code__,
        built.text.place(built.call, statement, found.__code__.co_qualname),
        local_numbers(model, built.owner, function),
        built.owner,
        found.__globals__,
    )
    kwargs = {
        name: getattr(module, name)
        for name in built.parameters()
        if built.given(name) is not None and hasattr(module, name)
    }
    frames = (*(above.frames if above is not None else ()), frame)
    return Construction(path, type(module), (), kwargs, frames, exact=False)


def layer_arguments(model: nn.Module, path: str) -> dict[str, int]:
    """Numbers that the arguments of a module's `__init__` stood for, as far as its layers show."""
    found: dict[str, int] = {}
    module = model.get_submodule(path)
    for _, function in initialisers(module):
        names = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}
        known = local_numbers(model, path, function)
        found |= {name: value for name, value in known.items() if name in names}
        break
    return found


def local_numbers(model: nn.Module, path: str, function: ast.AST | None) -> dict[str, int]:
    """Whole numbers that names in a constructor, or a function that it calls, stood for, as far as
    the layers that are made there show it.  `path` is the module's that is constructed."""
    found: dict[str, int] = {}
    if not isinstance(function, ast.FunctionDef):
        return found
    owner = model.get_submodule(path)
    assigned: dict[str, int] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            assigned[node.id] = assigned.get(node.id, 0) + 1
    arguments = [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]
    for inner, module in owner.named_modules():
        other = constructor(model, f"{path}.{inner}".strip(".")) if inner else None
        if other is None or other.text.function(other.call) is not function:
            continue
        for parameter in parameters_of(type(module)):
            item = other.given(parameter)
            live = getattr(module, parameter, None)
            if isinstance(live, tuple) and len(set(live)) == 1:
                live = live[0]
            if isinstance(item, ast.Name) and type(live) is int:
                changes = assigned.get(item.id, 0)
                if changes <= (item.id not in arguments):
                    found[item.id] = live
    for name in arguments:
        default = default_of(function, name)
        live = getattr(owner, name, None)
        if name not in found and type(live) is int:
            found[name] = live
        elif (
            name not in found
            and not path
            and isinstance(default, ast.Constant)
            and type(default.value) is int
        ):
            found[name] = default.value
    return found
