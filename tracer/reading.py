"""What functions read of one of their parameters: its attributes and its items, also where they
hand it on or keep it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tracer.source.text import Text, definition

DEPTH = 4
"""Functions through which a parameter is followed."""

OF_TABLES = ("get", "items", "keys", "values", "pop", "setdefault", "copy", "update")
"""Methods by which a table is known."""


@dataclass(frozen=True)
class Scope:
    """A function whose parameter is followed; `called(call)` is what a call in it calls, if that is
    known, and `beside` are the functions that may read what it keeps on `self`.  A `bound` one has
    its first parameter already."""

    function: Any
    called: Callable[[ast.Call], Scope | None]
    beside: tuple[Any, ...] = ()
    bound: bool = True


@dataclass
class Reads:
    """What is read of a parameter.  `unpacked` are the names that it is taken apart into, and
    `is_called` says that it is called, or asked for a method that no table has."""

    attributes: dict[str, None] = field(default_factory=dict)
    items: dict[str, None] = field(default_factory=dict)
    unpacked: tuple[str, ...] = ()
    is_table: bool = False
    methods: dict[str, None] = field(default_factory=dict)
    is_called: bool = False


def reads(scope: Scope, name: str) -> Reads:
    """What is read of the parameter of that name."""
    found = Reads()
    for parent, node, text in _uses(scope, name, DEPTH):
        above = text.parents.get(parent)
        if isinstance(parent, ast.Attribute):
            if not (isinstance(above, ast.Call) and above.func is parent):
                found.attributes[parent.attr] = None
            elif parent.attr in OF_TABLES:
                found.is_table = True
            else:
                found.methods[parent.attr] = None
        elif isinstance(parent, ast.Subscript) and parent.value is node:
            if isinstance(parent.slice, ast.Constant) and isinstance(parent.slice.value, str):
                found.items[parent.slice.value] = None
        elif isinstance(parent, ast.keyword) and parent.arg is None:
            found.is_table = True
        elif isinstance(parent, ast.Call) and parent.func is node:
            found.is_called = True
        elif isinstance(parent, ast.Assign) and parent.value is node:
            found.unpacked = found.unpacked or _unpacked(parent.targets[0])
    return found


def _unpacked(target: ast.expr) -> tuple[str, ...]:
    parts = target.elts if isinstance(target, ast.Tuple | ast.List) else []
    names = tuple(each.id for each in parts if isinstance(each, ast.Name))
    return names if len(names) == len(parts) else ()


def _uses(scope: Scope, name: str, depth: int) -> Iterator[tuple[ast.AST, ast.AST, Text]]:
    """The nodes in which the parameter stands, with the node that it is."""
    known = definition(scope.function) if depth else None
    if known is None or isinstance(known[1], ast.Lambda):
        return
    text, function = known
    own, kept = {name}, set[str]()
    nodes = sorted(ast.walk(function), key=_place)
    for target, value in (pair for node in nodes for pair in _given(node)):
        if getattr(value, "id", "") in own:
            own |= {target.id} if isinstance(target, ast.Name) else set()
            kept |= {target.attr} if isinstance(target, ast.Attribute) else set()
    for node in nodes:
        if (isinstance(node, ast.Name) and node.id in own) or is_of_self(node, kept):
            parent = text.parents.get(node, text.tree)
            yield parent, node, text
            yield from _handed_on(scope, parent, node, text, depth)
    for method in scope.beside if kept else ():
        elsewhere = definition(method)
        if elsewhere is not None and elsewhere[1] is not function:
            for node in ast.walk(elsewhere[1]):
                if is_of_self(node, kept):
                    yield elsewhere[0].parents.get(node, node), node, elsewhere[0]


def _place(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _given(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What an assignment gives to each of its names, `a, b = c, d` as two."""
    for target in node.targets if isinstance(node, ast.Assign) else ():
        assert isinstance(node, ast.Assign)
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value


def _handed_on(
    scope: Scope, parent: ast.AST, node: ast.AST, text: Text, depth: int
) -> Iterator[tuple[ast.AST, ast.AST, Text]]:
    keyword = parent.arg if isinstance(parent, ast.keyword) else None
    call = text.parents.get(parent) if keyword else parent
    if not isinstance(call, ast.Call) or call.func is node:
        return
    inner = scope.called(call)
    if inner is None:
        return
    if keyword is None and node in call.args:
        names = positional(inner.function)[inner.bound :]
        place = call.args.index(node)
        keyword = names[place] if place < len(names) else None
    if keyword is not None:
        yield from _uses(inner, keyword, depth - 1)


def positional(function: Any) -> tuple[str, ...]:
    """The names of a function's parameters that may be given by place, `self` among them."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code.co_varnames[: code.co_argcount] if code is not None else ()


def is_of_self(node: ast.AST | None, names: set[str] | None = None) -> bool:
    """Whether it is `self.x`, of these names."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and (names is None or node.attr in names)
    )
