"""What a forward reads of the arguments that it gathers in `*args` and `**kwargs`, as
parameters."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from torch import nn

from tracer.syntax import parsed

_KEYED, _PLACED = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_ONLY


def parameters(model: nn.Module) -> list[inspect.Parameter]:
    """Those by place first, called `args_0`, `args_1`; then those by name, which what is handed on
    to another module's forward has there.  None where the forward gathers nothing or has no
    text."""
    try:
        signature = inspect.signature(model.forward).parameters.values()
        text = textwrap.dedent(inspect.getsource(model.forward))
        forward = parsed(text).body[0]
    except (OSError, TypeError, ValueError, SyntaxError, RecursionError, IndexError):
        return []
    several = {each.kind: each.name for each in signature}
    args = several.get(inspect.Parameter.VAR_POSITIONAL, "")
    kwargs = several.get(inspect.Parameter.VAR_KEYWORD, "")
    if not args and not kwargs:
        return []
    named = dict.fromkeys(_named(forward, kwargs)) if kwargs else {}
    placed = max(_placed(forward, args), default=0) if args else 0
    found = [inspect.Parameter(name, _KEYED) for name in named]
    for call in _handed_on(forward, args, kwargs):
        taken = _taken(model, call, args)
        if kwargs:
            found += [each.replace(kind=_KEYED) for each in taken if each.name not in named]
        else:
            placed = max(placed, len(taken))
    known = {each.name for each in signature}
    found = [each for each in found if each.name not in known]
    places = [inspect.Parameter(f"{args}_{n}", _PLACED) for n in range(placed)]
    return [*places, *found]


def _named(forward: ast.AST, kwargs: str) -> Iterator[str]:
    """The names that are read of `kwargs` and have no default there."""
    for node in ast.walk(forward):
        key: ast.expr | None = None
        if isinstance(node, ast.Subscript) and _is(node.value, kwargs):
            key = node.slice if isinstance(node.ctx, ast.Load) else None
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            reads = _is(node.func.value, kwargs) and node.func.attr in ("get", "pop")
            key = node.args[0] if reads and len(node.args) == 1 else None
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value


def _placed(forward: ast.AST, args: str) -> Iterator[int]:
    """How many of `args` each place that reads them needs."""
    for node in ast.walk(forward):
        if isinstance(node, ast.Assign) and _is(node.value, args):
            targets = node.targets[0]
            if isinstance(targets, ast.Tuple | ast.List):
                yield sum(not isinstance(each, ast.Starred) for each in targets.elts)
        elif isinstance(node, ast.Subscript) and _is(node.value, args):
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int):
                yield node.slice.value + 1
        elif isinstance(node, ast.Call) and any(_is(each, args) for each in node.args):
            yield 2  # several are joined, stacked or counted


def _handed_on(forward: ast.AST, args: str, kwargs: str) -> Iterator[ast.Call]:
    for node in ast.walk(forward):
        if isinstance(node, ast.Call):
            starred = [each.value for each in node.args if isinstance(each, ast.Starred)]
            doubled = [each.value for each in node.keywords if each.arg is None]
            if any(_is(each, args) for each in starred) or any(_is(e, kwargs) for e in doubled):
                yield node


def _taken(model: nn.Module, call: ast.Call, args: str) -> list[inspect.Parameter]:
    """The parameters without a default that a module of this one's is called with by what is handed
    on."""
    inner = part(model, call.func)
    if inner is None:
        return []
    found = list(inspect.signature(inner.forward).parameters.values())
    written = sum(not isinstance(each, ast.Starred) for each in call.args)
    keys = {each.arg for each in call.keywords}
    plain = inspect.Parameter.POSITIONAL_OR_KEYWORD, _KEYED
    rest = [each for each in found[written:] if each.kind in plain and each.name not in keys]
    return [each for each in rest if each.default is each.empty]


def part(model: nn.Module, node: ast.expr) -> nn.Module | None:
    """What `self.layers[0].inner` is, as far as it is a module."""
    found: Any = None
    if isinstance(node, ast.Name):
        found = model if node.id == "self" else None
    elif isinstance(node, ast.Attribute):
        inner = part(model, node.value)
        found = None if inner is None else inner._modules.get(node.attr)
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        inner = part(model, node.value)
        found = None if inner is None else inner._modules.get(str(node.slice.value))
    return found if isinstance(found, nn.Module) else None


def _is(node: ast.expr, name: str) -> bool:
    return bool(name) and isinstance(node, ast.Name) and node.id == name
