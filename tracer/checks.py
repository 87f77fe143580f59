"""What a forward that failed had asked for by itself: what its own check compares, and which names
its failing statement reads."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from typing import Any

from tracer.record.crash import Crash, Frame
from tracer.source.text import text_of
from tracer.source.values import Unknown, value_of

_MOST_FRAMES = 6


def at_odds(crash: Crash) -> list[tuple[int, int]]:
    """The sizes that the check compares which has failed, where they differ: `assert N == H * W`,
    `if x.shape[-1] % 7 != 0: raise`.  Each with what it would have to be."""
    for frame, node in _failing(crash):
        found = [pair for each in ast.walk(node) for pair in _pairs(each, frame)]
        if found:
            return list(dict.fromkeys(found))
    return []


def names_read(crash: Crash) -> dict[str, Any]:
    """The local names that the failing statement reads, with their values; of a call those as well
    that the statement reads which calls, and those that were only given another name."""
    found: dict[str, Any] = {}
    for frame, node in _failing(crash):
        names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
        renamed = _renamed(frame)
        for name in (*names, *(renamed[each] for each in names if each in renamed)):
            if name in frame.scope:
                found.setdefault(name, frame.scope[name])
    return found


def _renamed(frame: Frame) -> dict[str, str]:
    """What names stand for of which a function says `name = other`."""
    text = text_of(frame.place.file)
    function = text.definition(frame.code) if text is not None else None
    return {
        each.targets[0].id: each.value.id
        for each in (ast.walk(function) if function is not None else ())
        if isinstance(each, ast.Assign)
        and isinstance(each.targets[0], ast.Name)
        and isinstance(each.value, ast.Name)
    }


def unpacks(crash: Crash) -> Any:
    """What the failing statement takes apart, `x` of `a, b = x`; None if it does not, or if that
    is not known."""
    for frame, node in _failing(crash):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.List):
            return _value(node.value, frame)
    return None


def _failing(crash: Crash) -> Iterator[tuple[Frame, ast.AST]]:
    """The statement at which each frame was, the innermost first; of one that raises the conditions
    above it."""
    for frame in list(reversed(crash.frames))[:_MOST_FRAMES]:
        text = text_of(frame.place.file)
        statement = text.statement_on(frame.place.line) if text is not None else None
        if text is None or statement is None:
            continue
        if isinstance(statement, ast.Raise):
            above = text.around(statement, ast.If)
            while above is not None:
                yield frame, above.test
                above = text.around(above, ast.If)
        elif isinstance(statement, ast.If | ast.While):
            yield frame, statement.test
        elif isinstance(statement, ast.For):
            yield frame, statement.iter
        elif not isinstance(statement, ast.With | ast.Try):
            yield frame, statement


def _pairs(node: ast.AST, frame: Frame) -> Iterator[tuple[int, int]]:
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
        left, right = _value(node.left, frame), _value(node.comparators[0], frame)
        for one, other in zip(_sizes(left), _sizes(right), strict=False):
            if one != other:
                yield one, other
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        size, step = _value(node.left, frame), _value(node.right, frame)
        if type(size) is int and type(step) is int and step > 0 and size % step:
            yield size, size + step - size % step


def _sizes(value: Any) -> Sequence[int]:
    found = value if isinstance(value, tuple | list) else (value,)
    return found if all(type(each) is int for each in found) else ()


def _value(node: ast.expr, frame: Frame) -> Any:
    try:
        return value_of(_Shapes().visit(copy.deepcopy(node)), frame.scope, frame.globals)
    except Unknown:
        return None


class _Shapes(ast.NodeTransformer):
    """`x.size(1)` as `x.shape[1]`, which calls nothing."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Attribute) or node.func.attr != "size" or node.keywords:
            return node
        shape = ast.Attribute(node.func.value, "shape", ast.Load())
        return ast.Subscript(shape, node.args[0], ast.Load()) if node.args else shape
