"""Where a tensor was handed on without an operation: the call of the helper that made it, the list
it was put into, the other name that it was given."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from dataclasses import replace

from tracer.diagnosis.roots.places import Search
from tracer.document import Call, Operand, Place, Step, TensorNote
from tracer.record.crash import Crash, Frame
from tracer.source.text import Text, called, text_of
from tracer.syntax import parsed

_NO_HELPERS = ("forward", "__call__", "__init__", "<module>", "<lambda>")


def helper(place: Place) -> str:
    """The function that a place is in when the author calls it by its name, else nothing."""
    names = place.function.replace(".<locals>", "").split(".")
    while names and names[-1] in ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>"):
        names.pop()
    name = names[-1] if names else ""
    return "" if name in _NO_HELPERS else name


def caller(crash: Crash, place: Place) -> tuple[Place, str] | None:
    """The call of the helper that a place is in, and the module that makes it; None where it is
    in none, or where it cannot be told which call it was."""
    name = helper(place)
    frames = crash.frames
    if not name:
        return None
    inside = list(itertools.dropwhile(lambda frame: frame.module is None, frames))
    for above, frame in itertools.pairwise(inside):
        if frame.code.co_name == name:
            return replace(above.place, source=None), above.module or ""
    text = text_of(place.file)
    if text is None:
        return None
    calls = [n for n in text.nodes if isinstance(n, ast.Call) and called(n) == name]
    near = [(n, f) for n in calls for f in frames if text.function(n) is _node(text, f)]
    if len(near) == 1:
        node, frame = near[0]
        return _placed(text, node, frame.code.co_qualname), frame.module or ""
    within = [n for n in calls if text.function(n) is not None]
    if len(within) != 1:
        return None
    return _placed(text, within[0], qualified(text, within[0])), ""


def renamed(s: Search, operand: Operand) -> tuple[Place, str] | None:
    """`labels = ids`: where a name of the failing expression was given another one's tensor."""
    frame = s.crash.frames[-1] if s.crash.frames else None
    text = text_of(frame.place.file) if frame is not None else None
    name = _base(operand.expression)
    if frame is None or text is None or not name:
        return None
    function = _node(text, frame)
    for node in ast.walk(function) if function is not None else ():
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Name | ast.Attribute)
            and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        ):
            return _placed(text, node.value, frame.code.co_qualname), frame.module or ""
    return None


def kept(s: Search, note: TensorNote) -> tuple[Place, str] | None:
    """`skips.append(x)`: where a tensor was put that something took out again."""
    makers: list[Call | Step] = [*s.trace.calls[1:], *s.trace.steps]
    made = [
        (each.place, each.targets, each.module)
        for each in makers
        if any(out.id == note.id for out in each.outputs) and each.targets
    ]
    for place, targets, module in made:
        text = text_of(place.file)
        node = text.at(place.span) if text is not None else None
        function = text.function(node) if text is not None and node is not None else None
        if text is None or node is None or function is None:
            continue
        for put in _stores(function, set(targets), place.line):
            return _placed(text, put, place.function), module
    return None


def _stores(function: ast.AST, names: set[str], line: int) -> Iterator[ast.expr]:
    """The nearest statements behind a line that put one of these names into something."""
    found: list[ast.expr] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and called(node) in ("append", "insert", "appendleft"):
            value: ast.expr | None = node.args[-1] if node.args else None
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            value = node.value
        else:
            continue
        if isinstance(value, ast.Name) and value.id in names and node.lineno >= line:
            found.append(node if isinstance(node, ast.Call) else node.value)
    yield from sorted(found, key=lambda node: node.lineno)


def _base(expression: str) -> str:
    """`labels` of `labels.reshape(-1)`."""
    try:
        node: ast.AST = parsed(expression.strip(), "eval").body
    except SyntaxError:
        return ""
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _node(text: Text, frame: Frame) -> ast.AST | None:
    return text.definition(frame.code) if text.file == frame.code.co_filename else None


def _placed(text: Text, node: ast.expr, function: str) -> Place:
    statement = text.statement(node)
    assert statement is not None
    return text.place(node, statement, function)


def qualified(text: Text, node: ast.AST) -> str:
    """The name of the function that a node is in, with those of its class and of what is around."""
    names = []
    above = text.parents.get(node)
    while above is not None:
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(above.name)
        above = text.parents.get(above)
    return ".".join(reversed(names))
