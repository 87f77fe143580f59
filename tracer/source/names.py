"""What gives a local name its value: assignments, loops, and what is put into it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator


def given_to(function: ast.AST, name: str) -> tuple[tuple[ast.expr, int | None], ...]:
    """The expressions that give a local name its value, or put something into it, with the item
    that is meant where one is unpacked."""
    return tuple(_given(function).get(name, ()))


def definitions(function: ast.AST, name: str) -> list[ast.expr]:
    """The same, the items themselves where they are written."""
    return [value for value, _ in given_to(function, name)]


Given = tuple[str, ast.expr, int | None]


@functools.lru_cache(maxsize=256)
def _given(function: ast.AST) -> dict[str, list[tuple[ast.expr, int | None]]]:
    """The same of each name."""
    found: dict[str, list[tuple[ast.expr, int | None]]] = {}
    for node in ast.walk(function):
        for name, value, item in _given_in(node):
            found.setdefault(name, []).append((value, item))
    return found


def _given_in(node: ast.AST) -> Iterator[Given]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _unpacked(target, node.value)
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
        if node.value is not None:
            yield from _unpacked(node.target, node.value)
    elif isinstance(node, ast.For | ast.comprehension):
        yield from _unpacked(node.target, node.iter)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        fills = node.func.attr in ("append", "extend", "insert") and node.args
        if fills and isinstance(node.func.value, ast.Name):
            yield node.func.value.id, node.args[-1], None


def _unpacked(target: ast.expr, value: ast.expr) -> Iterator[Given]:
    if isinstance(target, ast.Name):
        yield target.id, value, None
    elif isinstance(target, ast.Starred | ast.Subscript):
        yield from _unpacked(target.value, value)
    elif isinstance(target, ast.Tuple | ast.List):
        written = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
        starred = any(isinstance(each, ast.Starred) for each in target.elts)
        for position, part in enumerate(target.elts):
            if written and isinstance(value, ast.Tuple | ast.List):
                yield from _unpacked(part, value.elts[position])
            else:
                for name, found, inner in _unpacked(part, value):
                    yield name, found, (position if inner is None and not starred else None)


def settled(function: ast.AST, value: ast.expr, line: int) -> ast.expr | None:
    """Where names that are returned got their values last, if the function gave them any."""
    parts = value.elts if isinstance(value, ast.Tuple) else [value]
    if not all(isinstance(each, ast.Name) for each in parts):
        return None
    made = [
        each
        for part in parts
        if isinstance(part, ast.Name)
        for each, _ in given_to(function, part.id)
        if each.lineno < line
    ]
    return max(made, key=lambda each: each.lineno, default=None)
