"""What gives a local name its value: assignments, loops, and what is put into it."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def given_to(function: ast.AST, name: str) -> Iterator[tuple[ast.expr, int | None]]:
    """The expressions that give a local name its value, or put something into it, with the item
    that is meant where one is unpacked."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _unpacked(target, node.value, name)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
            if node.value is not None:
                yield from _unpacked(node.target, node.value, name)
        elif isinstance(node, ast.For | ast.comprehension):
            yield from _unpacked(node.target, node.iter, name)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            fills = node.func.attr in ("append", "extend", "insert") and node.args
            if fills and isinstance(node.func.value, ast.Name) and node.func.value.id == name:
                yield node.args[-1], None


def definitions(function: ast.AST, name: str) -> Iterator[ast.expr]:
    """The same, the items themselves where they are written."""
    return (value for value, _ in given_to(function, name))


def _unpacked(
    target: ast.expr, value: ast.expr, name: str
) -> Iterator[tuple[ast.expr, int | None]]:
    if isinstance(target, ast.Name):
        if target.id == name:
            yield value, None
    elif isinstance(target, ast.Starred):
        yield from _unpacked(target.value, value, name)
    elif isinstance(target, ast.Tuple | ast.List):
        written = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
        starred = any(isinstance(each, ast.Starred) for each in target.elts)
        for position, part in enumerate(target.elts):
            if written and isinstance(value, ast.Tuple | ast.List):
                yield from _unpacked(part, value.elts[position], name)
            else:
                for found, inner in _unpacked(part, value, name):
                    yield found, (position if inner is None and not starred else None)
    elif isinstance(target, ast.Subscript):
        yield from _unpacked(target.value, value, name)


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
